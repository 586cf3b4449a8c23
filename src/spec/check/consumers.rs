//! Checks of those who use an authority and are not managed here: that something of them can be seen, and that whoever is waived is known.

use std::collections::BTreeSet;

use super::Checker;
use super::relations::refer;
use crate::diagnostic::{Code, quoted};
use crate::formats::manifest::is_trust_reader;
use crate::spec::types::Spec;

/// Every list of a consumer's places.
pub(super) fn lists(spec: &Spec) -> impl Iterator<Item = Vec<&str>> {
    spec.authorities.iter().flat_map(|(authority, declared)| {
        declared.consumers.keys().flat_map(move |name| {
            ["paths", "ports"]
                .map(|list| vec!["authorities", authority.as_str(), "consumers", name.as_str(), list])
        })
    })
}

/// A consumer of whom nothing could be looked at: it would never stand in the way.
pub(super) fn unseen_consumer(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    for (authority, declared) in &spec.authorities {
        let unseen = declared.consumers.iter();
        for (name, _) in unseen.filter(|(_, consumer)| consumer.paths.is_empty() && consumer.ports.is_empty())
        {
            checker.report(
                Code::IncompleteAddition,
                &["authorities", authority.as_str(), "consumers", name.as_str()],
                &format!("nothing says where to look at the consumer {}", quoted(name.as_str())),
                "lacks `paths` or `ports`",
                "add `paths` with the files that it reads certificates from, or `ports` at which it shows one",
            );
        }
    }
}

/// A waiver for somebody who is not known: a slip of the pen would leave the one meant in the way, or hide one who comes later.
pub(super) fn unknown_waiver(checker: &mut Checker<'_>) {
    let Some(known) = checker.known else { return };
    let spec = checker.spec;
    for (authority, declared) in &spec.authorities {
        let mut consumers: BTreeSet<&str> = declared.consumers.keys().map(|name| name.as_str()).collect();
        consumers.extend(known.consumers.get(authority.as_str()).into_iter().flatten().map(String::as_str));
        for name in declared.waive.keys().filter(|name| !is_trust_reader(name.as_str())) {
            let path = ["authorities", authority.as_str(), "waive", name.as_str()];
            refer(checker, &path, "consumer", name.as_str(), &consumers);
        }
    }
}
