//! What reports say where no plan could be made: a pipeline that posts a report must never post that of an earlier run.
//!
//! What enters is a spec with its problems, or how the command ended; what leaves is text in each form that a plan has.

use pki::output::{gitlab_of_no_plan, no_plan_markdown};
use serde::Serialize;

use super::exit::Outcome;
use super::input::Input;
use super::terminal::Style;
use super::{Exit, json, validate};

/// Why there is no plan.
pub(super) struct NoPlan<'a> {
    /// The spec, where that is what is wrong.
    pub(super) input: Option<&'a Input>,
    /// How the command ends.
    pub(super) exit: Exit,
}

/// The result for programs where the spec is not what is wrong.
#[derive(Serialize)]
struct Ended {
    problems: [(); 0],
    #[serde(flatten)]
    outcome: Outcome,
}

impl NoPlan<'_> {
    /// For people.
    pub(super) fn text(&self) -> String {
        const PLAIN: Style = Style { color: false, unicode: false, width: 100, is_live: false };
        match self.input {
            Some(input) => input.report(PLAIN),
            None => format!(
                "No plan: pki ended with {}, {}. Its standard error says why.\n",
                self.exit.code(),
                self.exit.meaning()
            ),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> String {
        match self.input {
            Some(input) => json(&validate::report(input, self.exit)),
            None => json(&Ended { problems: [], outcome: Outcome::untouched(self.exit) }),
        }
    }

    /// For a comment on a pull request.
    pub(super) fn markdown(&self, max_bytes: usize) -> String {
        let specs = self.input.map_or(&[][..], |input| input.reading.specs.as_slice());
        let cluster = match specs {
            [one] => Some(one.spec.metadata.name.as_str()),
            _ => None,
        };
        no_plan_markdown(cluster, &self.title(), &self.text(), max_bytes)
    }

    /// What GitLab shows at a merge request.
    pub(super) fn gitlab() -> String {
        gitlab_of_no_plan()
    }

    fn title(&self) -> String {
        let Some(input) = self.input else { return format!("ended with {}", self.exit.code()) };
        match input.errors() {
            1 => "1 error in the spec".to_owned(),
            errors => format!("{errors} errors in the spec"),
        }
    }
}
