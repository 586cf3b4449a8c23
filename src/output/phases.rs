//! The phases of a replacement as a table, and what waits.
//!
//! What enters is a finished plan; what leaves is text, empty where nothing is replaced. Nothing is decided here.

use std::fmt::Write as _;

use super::deed::counted;
use crate::diagnostic::escaped;
use crate::plan::{Phase, PlanContent, restarts};

/// The table, in columns.
pub(super) fn table(plan: &PlanContent) -> String {
    if plan.phases.is_empty() {
        return String::new();
    }
    let rows: Vec<[String; 5]> = std::iter::once(HEAD.map(str::to_owned)).chain(rows(plan)).collect();
    let width = |column: usize| rows.iter().filter_map(|row| row.get(column)).map(String::len).max();
    let mut text = String::from("\n");
    for row in &rows {
        let mut line = String::from("  ");
        for (column, cell) in row.iter().enumerate() {
            let _ = write!(line, "{cell:<width$}   ", width = width(column).unwrap_or_default());
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

/// The same for Markdown.
pub(super) fn markdown(plan: &PlanContent) -> String {
    if plan.phases.is_empty() {
        return String::new();
    }
    let mut text = format!("| {} |\n|---|---|---|---|---|\n", HEAD.join(" | "));
    for row in rows(plan) {
        let _ = writeln!(text, "| {} |", row.join(" | "));
    }
    text.push('\n');
    text
}

const HEAD: [&str; 5] = ["phase", "trusted by all", "shown", "restarts", "way back"];

/// Every phase has a row, also one in which no CA takes the place of another: they are counted here as wherever phases are spoken of.
fn rows(plan: &PlanContent) -> impl Iterator<Item = [String; 5]> {
    (1..).zip(plan.phases()).map(|(number, (phase, visits))| {
        let line = plan.phases.iter().find(|line| line.phase == phase);
        let sides = line.map(|line| [line.trusted.words(), line.shown.words()]);
        let [trusted, shown] = sides.unwrap_or(["-", "-"]).map(str::to_owned);
        let counted_restarts = restarts(visits);
        let services = counted_restarts.iter().map(|(service, count)| format!("{service} x{count}"));
        let restarts: Vec<String> = services.collect();
        [
            format!("{number} {} ({})", phase.title(), counted(visits.len(), "visit", "visits")),
            trusted,
            shown,
            if restarts.is_empty() { "none".to_owned() } else { restarts.join(", ") },
            way_back(phase, line.is_none_or(|line| line.can_go_back)).to_owned(),
        ]
    })
}

fn way_back(phase: Phase, can_go_back: bool) -> &'static str {
    match (can_go_back, phase) {
        (true, Phase::EtcdSnapshot) => "none needed",
        (true, _) => "pki rollback",
        (false, Phase::Purge) => "NONE: no snapshot holds its key from then on",
        (false, _) => "NONE: the old CA is refused from then on",
    }
}

/// The replacements that go on later by themselves.
pub(super) fn postponed(plan: &PlanContent) -> String {
    let mut text = String::new();
    for waiting in &plan.postponed {
        let _ = writeln!(text, "\n  Waiting: ca/{}\n    {}", waiting.authority, escaped(&waiting.because));
    }
    text
}

#[cfg(test)]
mod tests {
    use crate::diff::Differences;
    use crate::output;
    use crate::plan::model::outcome::{Report, VisitEnd};
    use crate::plan::restart::health_checks::tests::{plan_at, running, soon};
    use crate::plan::{Phase, PlanContent};
    use crate::protocol::facts::ClientCertificate;

    /// A running cluster whose CA of etcd has to go: its data is saved first, which is no phase of the replacement.
    fn replacing() -> PlanContent {
        let mut survey = running(ClientCertificate::Required);
        let held = Differences::without_findings(&survey.desired, &survey.observed, soon());
        let old = held.authorities()["etcd-ca"].signer().unwrap().fingerprint().to_string();
        let authority = survey.desired.authorities.get_mut("etcd-ca").unwrap();
        authority.distrust.insert(format!("sha256:{old}"), "INC-2291, key exposed".to_owned());
        plan_at(&survey, soon())
    }

    #[test]
    fn phases_are_counted_alike_wherever_they_are_spoken_of() {
        let plan = replacing();
        let phases: Vec<Phase> = plan.phases().map(|(phase, _)| phase).collect();
        assert_eq!(phases.first(), Some(&Phase::EtcdSnapshot));
        let prepare = phases.iter().position(|phase| *phase == Phase::Prepare).unwrap() + 1;
        let mut report = Report::new(&plan);
        report.visits.iter_mut().for_each(|visit| visit.end = VisitEnd::Committed);
        let (text, count) = (output::plan(&plan), phases.len());
        let markdown = output::markdown(&plan, None, usize::MAX);
        let ended = output::report(&plan, &report);
        let ended_markdown = output::report_markdown(&plan, &report, usize::MAX);
        for (number, phase) in (1..).zip(phases) {
            let (row, order) = (format!("{number} {} (", phase.title()), format!("phase {number} ({phase})"));
            assert!(text.contains(&format!("\n  {row}")), "{row}: {text}");
            assert!(markdown.contains(&format!("\n| {row}")), "{row}: {markdown}");
            assert!(text.contains(&order), "{order}: {text}");
            let whose = format!("phase {number} of {count} ({phase})");
            assert!(ended.contains(&format!("  cp-1  {whose}: done, checked, kept\n")), "{whose}: {ended}");
            assert!(ended_markdown.contains(&format!("| {whose} |")), "{whose}: {ended_markdown}");
        }
        let first = plan.clone().until(Phase::Prepare).unwrap();
        assert!(output::plan(&first).contains(&format!(" Phases {prepare} of {count}.")));
    }
}
