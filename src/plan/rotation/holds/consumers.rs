//! Those who use an authority and are not managed here: what of them stands in the way of an old CA.
//!
//! What enters is a replacement and what the nodes told of the consumers of its authority; what leaves is who still needs the old CA, where, how, and which
//! phase waits for it. Whoever trusts it alone would refuse what the new one signs, so nothing is reissued before; whoever shows what it signed would be refused, so it is not dropped
//! before. What could not be looked at counts as in use. Pure.

use crate::desired::DesiredConsumer;
use crate::desired::Survey;
use crate::diff::{CaRotation, is_extension};
use crate::protocol::facts::{EndpointFacts, NodeFacts, Probe, Seen, Served};
use crate::types::names::{AuthorityName, ConsumerName, NodeName};
use crate::x509::Certificate;

use super::hold::{Hold, HoldEffect, RotationCase};
use crate::plan::Phase;

/// Somebody who needs the CA that goes.
struct Dependency {
    consumer: ConsumerName,
    node: NodeName,
    /// The file or port.
    place: String,
    how: DependencyKind,
}

/// How somebody needs it.
enum DependencyKind {
    /// It is trusted there, and the one that comes is not.
    TrustedAlone,
    /// A certificate that it signed is shown there.
    Shown,
    /// It is not known.
    Unknown {
        /// Why.
        reason: String,
    },
}

impl Dependency {
    /// It in words, to be followed by what waits for it.
    fn words(&self, authority: &AuthorityName) -> String {
        let Self { consumer, node, place, how } = self;
        match how {
            DependencyKind::TrustedAlone => {
                format!("{consumer} on {node} trusts only the old CA of {authority}, in {place}")
            }
            DependencyKind::Shown => {
                format!("{consumer} on {node} shows a certificate of the old CA of {authority}, {place}")
            }
            DependencyKind::Unknown { reason } => {
                format!(
                    "whether {consumer} on {node} needs the old CA of {authority} is not known: {place}: {reason}"
                )
            }
        }
    }
}

/// Those who still need what goes, each told with what to do, unless the user says that it is not waited for.
pub(super) fn holds(case: &RotationCase<'_, '_>) -> Vec<Hold> {
    let needs = needs(case.input.survey, case.name, case.succession);
    needs.into_iter().map(|need| hold(case, &need)).collect()
}

fn hold(case: &RotationCase<'_, '_>, need: &Dependency) -> Hold {
    let words = need.words(case.name);
    let (before, waits) = match need.how {
        DependencyKind::TrustedAlone | DependencyKind::Unknown { .. } => {
            (Phase::Clients, "so nobody shows what a new one signs, and no old one is dropped, before")
        }
        DependencyKind::Shown => (Phase::DropOld, "so no old one is dropped before"),
    };
    if let Some(reason) = case.wanted.waive.get(&need.consumer) {
        let effect = HoldEffect::Noted { waived: reason.clone() };
        return Hold { before, who: case.at(&need.node), because: words, help: None, until: None, effect };
    }
    let help = match need.how {
        DependencyKind::TrustedAlone => bundle_on(case, &need.node).map_or_else(
            || "let it trust both".to_owned(),
            |path| format!("let it trust both, as {path} does after this plan"),
        ),
        DependencyKind::Shown => "give it a certificate of the new one".to_owned(),
        DependencyKind::Unknown { .. } => "let it be read".to_owned(),
    };
    let help = format!(
        "{help}, and plan again; or say that it is not waited for: spec.authorities.{}.waive.{}: WHY",
        case.name, need.consumer
    );
    case.hold((before, HoldEffect::Elsewhere), &need.node, format!("{words}, {waits}"), help)
}

fn bundle_on<'c>(case: &'c RotationCase<'_, '_>, node: &NodeName) -> Option<&'c str> {
    let copy = case.input.survey.desired.nodes.get(node)?.authorities.get(case.name)?;
    Some(&copy.certificate.path)
}

/// Everybody who needs a CA of an authority that goes.
fn needs(survey: &Survey, authority: &AuthorityName, succession: &CaRotation) -> Vec<Dependency> {
    let mut needs = Vec::new();
    for (node, wanted) in &survey.desired.nodes {
        for (consumer, places) in wanted.consumers.get(authority).into_iter().flatten() {
            let facts = survey.observed.nodes.get(node).and_then(|answer| answer.facts());
            let found = match facts {
                Some(facts) => of_consumer(places, facts, succession),
                None => vec![("the node".to_owned(), unknown("it was not seen"))],
            };
            needs.extend(found.into_iter().map(|(place, how)| {
                let (consumer, node) = (consumer.clone(), node.clone());
                Dependency { consumer, node, place, how }
            }));
        }
    }
    needs
}

fn of_consumer(
    places: &DesiredConsumer,
    facts: &NodeFacts,
    succession: &CaRotation,
) -> Vec<(String, DependencyKind)> {
    let of_path = |path: &String| Some((path.clone(), in_file(facts, path, succession)?));
    let of_port = |port: u16| Some((format!("at port {port}"), at_port(facts, port, succession)?));
    let paths = places.paths.iter().filter_map(of_path);
    paths.chain(places.ports.iter().filter_map(|port| of_port(port.get()))).collect()
}

fn in_file(facts: &NodeFacts, path: &str, succession: &CaRotation) -> Option<DependencyKind> {
    match facts.file(path) {
        Seen::Absent => return None,
        Seen::Unknown { reason } => return Some(unknown(&reason)),
        Seen::Dangling { missing, .. } => {
            return Some(unknown(&format!("it is a link to {missing}, where nothing is")));
        }
        Seen::Looping { .. } => return Some(unknown("it is a link to itself")),
        Seen::Present(file) if file.content.pem().is_none() => {
            return Some(unknown("no certificate can be read in it"));
        }
        Seen::Present(_) => {}
    }
    let held = facts.certificates(path);
    // The same CA for another period is trusted, and gone, like it.
    let goes = |certificate: &Certificate| {
        succession.leaving.values().any(|(leaving, _)| is_extension(certificate, leaving))
    };
    let comes = |certificate: &Certificate| {
        succession.successor.as_ref().is_some_and(|comes| is_extension(certificate, comes))
    };
    // Behind a leaf stands its chain, which nobody trusts for standing there.
    let is_chain = held.first().is_some_and(|first| !first.facts().is_ca());
    if !is_chain && held.iter().any(goes) && !held.iter().any(comes) {
        return Some(DependencyKind::TrustedAlone);
    }
    let mut below = held.iter().filter(|certificate| !goes(certificate) && !comes(certificate));
    let shows = below.any(|certificate| succession.issuer_that_goes(certificate, held).is_some());
    shows.then_some(DependencyKind::Shown)
}

/// Where it does not answer now it may again, with what it has shown before.
fn at_port(facts: &NodeFacts, port: u16, succession: &CaRotation) -> Option<DependencyKind> {
    let asked: Vec<&EndpointFacts> =
        facts.consumers.iter().filter(|endpoint| endpoint.port == port).collect();
    if asked.is_empty() {
        // Of a node without services nothing that runs was looked at.
        return (!facts.services.is_empty()).then(|| unknown("it was not looked at"));
    }
    let served: Vec<&Served> = asked.iter().filter_map(|endpoint| endpoint.probe.served()).collect();
    let goes = |served: &&Served| succession.issuer_that_goes(&served.certificate, &served.chain).is_some();
    if served.iter().any(goes) {
        return Some(DependencyKind::Shown);
    }
    asked.iter().find_map(|endpoint| match &endpoint.probe {
        Probe::Unknown { reason } => Some(unknown(reason)),
        Probe::Refused | Probe::NotListening => served.is_empty().then(|| unknown("nothing answers there")),
        Probe::Served(_) => None,
    })
}

fn unknown(reason: &str) -> DependencyKind {
    DependencyKind::Unknown { reason: reason.to_owned() }
}
