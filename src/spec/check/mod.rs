//! What a spec must be beyond its types: values that cannot be right, names that nothing declares, fields that contradict each other.
//!
//! What enters is a decoded spec with its document, the names that profiles know, and `now`; what leaves is a diagnostic for each problem. Each check is
//! one function that is named as what it finds. A check is silent where decoding dropped what it would judge, so that one fault is told once. It
//! never opens a file: of those that `source` names the content is handed in.

mod consumers;
mod fingerprints;
mod lifetimes;
mod lookalikes;
mod places;
mod relations;
mod roots;
#[cfg(test)]
mod tests;
mod values;

pub(crate) use places::foreign_user;
pub(crate) use values::forms;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::diagnostic::counted;
use crate::diagnostic::{Code, Diagnostic, MOST_SHOWN, Place, Span, is_deceiving, nearest, quoted};
use crate::spec::custom_root::{CertificateFile, CustomRoot};
use crate::spec::types::{ClusterPki, Role, Spec};
use crate::types::names::AuthorityName;
use crate::yaml::document::Document;

/// The names that a profile declares, as far as a spec can refer to them.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownNames {
    /// The authorities.
    pub authorities: BTreeSet<String>,
    /// Who else uses each of them.
    pub consumers: BTreeMap<String, BTreeSet<String>>,
    /// The certificates, each with the authority that issues it.
    pub certificates: BTreeMap<String, String>,
    /// The directories.
    pub directories: BTreeSet<String>,
    /// Those of them with files that belong to somebody else than root, and to whom.
    pub directories_of_others: BTreeMap<String, String>,
    /// The services.
    pub services: BTreeSet<String>,
    /// Where each certificate that is a pair of files is kept.
    pub files: BTreeMap<String, KnownFiles>,
    /// Where each directory is by itself; it may begin with another one in braces, as files do.
    pub places: BTreeMap<String, String>,
}

/// Where a layout keeps a certificate and its key, such as `{pki}/apiserver.crt`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownFiles {
    /// The certificate.
    pub certificate: String,
    /// The key.
    pub key: String,
    /// The roles of nodes that have it.
    pub on: BTreeSet<Role>,
}

/// Every check, in the order of the codes.
const CHECKS: &[fn(&mut Checker<'_>)] = &[
    values::duplicate_item,
    values::zero_duration,
    values::invalid_dns_name,
    values::invalid_ip_address,
    values::invalid_host,
    values::invalid_path,
    fingerprints::invalid_fingerprint,
    values::invalid_owner,
    values::out_of_range,
    values::invalid_restart,
    values::invalid_subject,
    values::control_character,
    lookalikes::look_alike,
    lifetimes::silence_out_of_range,
    lifetimes::renew_before_too_long,
    lifetimes::leaf_outlives_authority,
    lifetimes::cut_off_in_future,
    relations::not_exactly_one,
    places::place_form,
    places::invalid_server,
    relations::shared_root,
    relations::half_source,
    places::shared_file,
    places::state_of_others,
    relations::unknown_reference,
    relations::incomplete_addition,
    relations::link_loop,
    relations::no_nodes,
    relations::contradiction,
    fingerprints::distrusted_and_trusted,
    places::shared_differs,
    consumers::unseen_consumer,
    consumers::unknown_waiver,
    relations::migration_without_link,
];

/// What the checks found.
pub struct Checked {
    /// Everything that is wrong.
    pub problems: Vec<Diagnostic>,
    /// The custom root CAs that can be used, or that may not be read.
    pub roots: BTreeMap<AuthorityName, CustomRoot>,
}

/// Runs every check over one spec. `known` is absent when the profile's names are not known: then no name is judged. `certificate_file` gives the content of
/// the files that `source` names.
pub fn check(
    cluster: &ClusterPki,
    document: &Document,
    dropped: &[Span],
    known: Option<&KnownNames>,
    now: Timestamp,
    certificate_file: &dyn Fn(&str) -> CertificateFile,
) -> Checked {
    let dropped = Dropped::of(dropped);
    let mut checker = Checker {
        spec: &cluster.spec,
        document,
        dropped,
        known,
        now,
        problems: Vec::new(),
        suggestions: MOST_SHOWN.into(),
    };
    for check in CHECKS {
        check(&mut checker);
    }
    let roots = roots::custom_roots(&mut checker, certificate_file);
    fingerprints::names_custom_root(&mut checker, &roots);
    Checked { problems: checker.problems, roots }
}

/// What a check sees, and where it puts what it finds.
struct Checker<'spec> {
    spec: &'spec Spec,
    document: &'spec Document,
    dropped: Dropped,
    known: Option<&'spec KnownNames>,
    now: Timestamp,
    problems: Vec<Diagnostic>,
    /// How many more times a name is looked for that was probably meant.
    suggestions: Cell<usize>,
}

/// The stretches that decoding dropped, by where they begin, each with where the last of it and of those before ends.
struct Dropped(Vec<(usize, usize)>);

impl Dropped {
    fn of(spans: &[Span]) -> Self {
        let mut ends: Vec<(usize, usize)> = spans.iter().map(|span| (span.start, span.end())).collect();
        ends.sort_unstable();
        let mut last = 0;
        for (_, end) in &mut ends {
            last = last.max(*end);
            *end = last;
        }
        Self(ends)
    }

    /// Whether one of them holds all of a stretch.
    fn contain(&self, span: &Span) -> bool {
        let before = self.0.partition_point(|(start, _)| *start <= span.start);
        let last = before.checked_sub(1).and_then(|last| self.0.get(last));
        last.is_some_and(|(_, end)| span.end() <= *end)
    }
}

/// A path of field names below `spec`.
type Path<'path> = &'path [&'path str];

impl<'spec> Checker<'spec> {
    /// The name that was probably meant. A name is compared with all others, so no more are looked for than problems are shown.
    fn nearest<'name>(
        &self,
        typed: &str,
        candidates: impl Iterator<Item = &'name str>,
    ) -> Option<&'name str> {
        let left = self.suggestions.get().checked_sub(1)?;
        self.suggestions.set(left);
        nearest(typed, candidates.inspect(|_| counted::steps(1)))
    }

    /// Whether more suggestions are made.
    fn may_suggest(&self) -> bool {
        self.suggestions.get() > 0
    }

    /// Notes that the value at a path is wrong, unless decoding dropped it.
    fn report(&mut self, code: Code, path: Path<'_>, message: &str, label: &str, help: &str) {
        self.report_with(code, path, message, label, help, Vec::new());
    }

    /// Notes a problem between several values, unless decoding dropped one of them.
    fn report_with(
        &mut self,
        code: Code,
        path: Path<'_>,
        message: &str,
        label: &str,
        help: &str,
        others: Vec<(Vec<&str>, String)>,
    ) {
        if !self.is_intact(path) || others.iter().any(|(other, _)| !self.is_intact(other)) {
            return;
        }
        let name = quoted(&self.field_name(path));
        let problem =
            Diagnostic::new(code, format!("{name}: {message}")).at(self.place(path), label).help(help);
        let problem =
            others.into_iter().fold(problem, |problem, (other, label)| problem.at(self.place(&other), label));
        self.problems.push(problem);
    }

    /// Notes that a key of a mapping is wrong; the message names the mapping.
    fn report_key(&mut self, code: Code, path: Path<'_>, message: &str, label: &str, help: &str) {
        if self.is_intact(path) {
            let outer = path.split_last().map(|(_, outer)| outer).unwrap_or_default();
            let name = quoted(&below_spec(outer).join("."));
            let place = self.document.key_place(&below_spec(path));
            self.problems
                .push(Diagnostic::new(code, format!("{name}: {message}")).at(place, label).help(help));
        }
    }

    /// The path as a message names it; the index of a list item says less than the place does.
    fn field_name(&self, path: Path<'_>) -> String {
        let full = below_spec(path);
        let is_item = |outer: &[&str]| {
            matches!(
                self.document.node(outer).map(|node| &node.value),
                Some(crate::yaml::parse::Value::Sequence(_))
            )
        };
        match full.split_last() {
            Some((_, outer)) if is_item(outer) => outer.join("."),
            Some(_) | None => full.join("."),
        }
    }

    fn place(&self, path: Path<'_>) -> Place {
        self.document.place(&below_spec(path))
    }

    /// Whether the path is written in the file; defaults and what stands in for missing fields are not.
    fn is_written(&self, path: Path<'_>) -> bool {
        self.document.node(&below_spec(path)).is_some()
    }

    /// Whether the value is the one of the file, or a default: not the rest of something that was dropped.
    fn is_intact(&self, path: Path<'_>) -> bool {
        match self.document.node(&below_spec(path)) {
            None => true,
            Some(node) => !self.dropped.contain(&node.span),
        }
    }

    /// The names that the file has below a path, those of faulty entries too.
    fn written_names(&self, path: Path<'_>) -> Vec<&'spec str> {
        self.document.keys(&below_spec(path))
    }

    /// Every text that is written at a path, one by one for a list, each with its own path. Texts with invisible characters are left out: those
    /// have their own check, and any other complaint about them would puzzle.
    fn texts(&self, path: Path<'_>) -> Vec<(Vec<String>, String)> {
        use crate::yaml::parse::Value;
        let owned = |path: Path<'_>| path.iter().map(|step| (*step).to_owned()).collect::<Vec<_>>();
        match self.document.node(&below_spec(path)).map(|node| &node.value) {
            Some(Value::String(text)) if is_readable(text) => vec![(owned(path), text.clone())],
            Some(Value::Sequence(items)) => items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| match &item.value {
                    Value::String(text) if is_readable(text) => {
                        let mut path = owned(path);
                        path.push(index.to_string());
                        Some((path, text.clone()))
                    }
                    Value::Null
                    | Value::Bool(_)
                    | Value::Number(_)
                    | Value::String(_)
                    | Value::Sequence(_)
                    | Value::Mapping(_) => None,
                })
                .collect(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Mapping(_))
            | None => Vec::new(),
        }
    }
}

fn is_readable(text: &str) -> bool {
    !text.chars().any(is_deceiving)
}

fn below_spec<'path>(path: Path<'path>) -> Vec<&'path str> {
    std::iter::once("spec").chain(path.iter().copied()).collect()
}
