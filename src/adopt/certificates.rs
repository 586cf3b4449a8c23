//! What certificates say that their layout does not: issuers, subjects, usages, names, and that several nodes hold the same one.
//!
//! A setting counts for every node, so only what all of them hold alike, names and addresses aside, becomes one. What one node alone has is drift, which the
//! next plan tells.

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::{Draft, Evidence, Inventory, common};
use crate::desired::{DesiredIdentity, DesiredNames};
use crate::diagnostic::is_deceiving;
use crate::diff::{AuthorityView, Differences};
use crate::spec::check::forms::dns_fault;
use crate::spec::types::{Holders, OnlyNames};
use crate::types::certificate::{SubjectName, Usage};
use crate::types::names::{AuthorityName, IdentityName};
use crate::x509::chain::is_issued_by;
use crate::x509::{Certificate, ExtendedKeyUsage};

/// The upper bound of CN and O in X.509 (RFC 5280, appendix A, ub-common-name and ub-organization-name).
const LONGEST_ATTRIBUTE: usize = 64;

/// A certificate that a node holds.
struct Own<'a> {
    held: Inventory<'a>,
    certificate: Certificate,
}

/// Declares what they say.
pub(super) fn adopt(draft: &mut Draft, sight: &Evidence<'_>, differences: &Differences) {
    let authorities = differences.authorities();
    for (name, view) in authorities {
        authority(draft, sight, name, view);
    }
    for (name, held) in sight.identities() {
        let certificates = held.iter().filter_map(|held| {
            let certificate = differences.identity(held.node, held.own)?.certificate.clone()?;
            Some(Own { held: *held, certificate })
        });
        let own: Vec<Own<'_>> = certificates.collect();
        // What kubelets renew by themselves gets its names and usages from the cluster's signer.
        if own.iter().all(|own| own.held.wanted.rotated_by_kubelet) {
            continue;
        }
        if own.iter().any(|own| is_of_another(own, sight)) {
            continue;
        }
        let is_of_members = sight.is_of_members(&name);
        issuer(draft, &name, &own, authorities);
        usages(draft, &name, &own);
        if is_of_members {
            // Each member's says another name, and every setting counts for all of them.
            continue;
        }
        let is_shared = shared(draft, &name, &own);
        subject(draft, &name, &own, is_shared);
        names(draft, sight, &name, &own, is_shared);
    }
}

/// The subject of an authority, and that nobody here holds its key.
fn authority(draft: &mut Draft, sight: &Evidence<'_>, name: &AuthorityName, view: &AuthorityView) {
    let (Some(wanted), Some(signer)) = (sight.survey.desired.authorities.get(name), view.signer()) else {
        return;
    };
    let may_hold_key = sight
        .survey
        .desired
        .nodes
        .values()
        .any(|node| node.authorities.get(name).is_some_and(|copy| copy.may_hold_key));
    if !wanted.external && view.key_is_nowhere() && may_hold_key {
        let from = "its key is on none of these nodes; if another node holds it, add that node instead";
        draft.comments.say(&["authorities", name.as_str(), "external"], from);
        draft.spec.spec.authorities.entry(name.clone()).or_default().external = true;
    }
    let subject = subject_of(signer);
    if let Some(subject) = subject.filter(|subject| *subject != wanted.subject) {
        let from = "as in its certificate; a new one is made with it";
        draft.comments.say(&["authorities", name.as_str(), "subject"], from);
        draft.spec.spec.authorities.entry(name.clone()).or_default().subject = Some(subject);
    }
    let strays = sight.survey.desired.nodes.keys().filter_map(|node| Some((node, view.on_node(node)?)));
    for (node, held) in strays {
        for stray in held.iter().skip(1).filter(|stray| *stray != signer) {
            draft.remark(format!(
                "the bundle of {name} on {node} also trusts {} (sha256:{}); if it must go, declare it under authorities.{name}.distrust, and if it is to stay, under authorities.{name}.alsoTrusts",
                stray.facts().subject,
                stray.fingerprint()
            ));
        }
    }
}

/// Another authority of the layout has issued all of them.
fn issuer(
    draft: &mut Draft,
    name: &IdentityName,
    own: &[Own<'_>],
    authorities: &std::collections::BTreeMap<AuthorityName, AuthorityView>,
) {
    let by = |authority: &AuthorityName| {
        let signer = authorities.get(authority).and_then(AuthorityView::signer);
        signer.is_some_and(|signer| own.iter().all(|own| is_issued_by(&own.certificate, signer)))
    };
    let Some(wanted) = own.first().and_then(|own| own.held.wanted.authority.as_ref()) else { return };
    if by(wanted) {
        return;
    }
    if let Some(other) = authorities.keys().find(|other| by(other)) {
        let from = format!("it is signed by {other}, not by {wanted} as the profile has it");
        draft.comments.say(&["certificates", name.as_str(), "authority"], from);
        draft.certificate(name).authority = Some(other.clone());
    }
}

/// Whether it cannot do what its place is for: the certificate of another place was put there, or one that is good for nobody. It stays a finding.
fn is_of_another(own: &Own<'_>, sight: &Evidence<'_>) -> bool {
    let Inventory { node, own: name, wanted, .. } = own.held;
    let facts = own.certificate.facts();
    let usages = found_usages(own);
    if !usages.is_empty() && usages.is_disjoint(&wanted.usages) {
        return true;
    }
    // Go has not looked at the common name of a server since 1.15.
    if wanted.usages.contains(&Usage::Server) && facts.names.dns.is_empty() && facts.names.ip.is_empty() {
        return true;
    }
    let is_subject_of =
        |identity: &DesiredIdentity| identity.accepted_subjects.iter().any(|own| facts.subject.is(own));
    let Some(node) = sight.survey.desired.nodes.get(node) else { return false };
    let mut others = node.identities.iter().filter(|(other, _)| *other != name);
    !is_subject_of(wanted) && others.any(|(_, other)| is_subject_of(other))
}

/// What the certificate may be used as; one that says nothing is good for everything, and what is wanted of it is as good as any.
fn found_usages(own: &Own<'_>) -> BTreeSet<Usage> {
    let Some(found) = &own.certificate.facts().extended_key_usages else {
        return own.held.wanted.usages.clone();
    };
    if found.contains(&ExtendedKeyUsage::Any) {
        return own.held.wanted.usages.clone();
    }
    let both = [(ExtendedKeyUsage::ServerAuth, Usage::Server), (ExtendedKeyUsage::ClientAuth, Usage::Client)];
    let held = both.into_iter().filter(|(extended, _)| found.contains(extended));
    held.map(|(_, usage)| usage).collect()
}

/// Other usages than the layout's, alike on all nodes.
fn usages(draft: &mut Draft, name: &IdentityName, own: &[Own<'_>]) {
    let Some(first) = own.first() else { return };
    let wanted = &first.held.wanted.usages;
    let usages = found_usages(first);
    if usages != *wanted && !usages.is_empty() && own.iter().all(|own| found_usages(own) == usages) {
        draft.comments.say(&["certificates", name.as_str(), "usages"], as_on(own));
        draft.certificate(name).usages = Some(usages);
    }
}

/// Whether all nodes hold the same certificate; said where the layout has one for each.
fn shared(draft: &mut Draft, name: &IdentityName, own: &[Own<'_>]) -> bool {
    let Some(first) = own.first() else { return false };
    let is_same = own.iter().all(|own| own.certificate == first.certificate);
    let is_shared = first.held.wanted.shared;
    if is_same && own.len() > 1 && !is_shared {
        draft
            .comments
            .say(&["certificates", name.as_str(), "holders"], "the same certificate on all of them");
        draft.certificate(name).holders = Some(Holders::Shared);
        return true;
    }
    let different: BTreeSet<&Certificate> = own.iter().map(|own| &own.certificate).collect();
    if is_shared && own.len() > 1 && different.len() == own.len() {
        let from = "another certificate on each of them, where the profile has one for all";
        draft.comments.say(&["certificates", name.as_str(), "holders"], from);
        draft.certificate(name).holders = Some(Holders::Each);
        return false;
    }
    is_shared
}

/// A subject that no version of the layout has.
fn subject(draft: &mut Draft, name: &IdentityName, own: &[Own<'_>], is_shared: bool) {
    let is_accepted = |own: &Own<'_>| {
        let found = &own.certificate.facts().subject;
        own.held.wanted.accepted_subjects.iter().any(|accepted| found.is(accepted))
    };
    let wanted = |own: &Own<'_>| own.held.wanted.subject.clone();
    let is_alike = own.iter().all(|other| own.first().map(wanted) == Some(wanted(other)));
    if own.iter().all(is_accepted) && (!is_shared || is_alike) {
        return;
    }
    let Some(first) = own.first() else { return };
    let organizations = first.certificate.facts().subject.organizations();
    let texts: Option<Vec<_>> = own
        .iter()
        .map(|own| {
            let subject = subject_of(&own.certificate)?;
            let is_same = own.certificate.facts().subject.organizations() == organizations;
            is_same.then_some((subject.common_name, own.held.node, own.held.address))
        })
        .collect();
    let Some(common_name) = texts.and_then(|texts| common(&texts)) else { return };
    let subject = SubjectName { common_name, organizations: organizations.into_iter().collect() };
    draft.comments.say(&["certificates", name.as_str(), "subject"], as_on(own));
    draft.certificate(name).subject = Some(subject);
}

/// A subject as a spec can say it: one common name and organizations.
fn subject_of(certificate: &Certificate) -> Option<SubjectName> {
    let name = &certificate.facts().subject;
    let can_be_said = |text: &str| {
        !text.trim().is_empty()
            && text.chars().count() <= LONGEST_ATTRIBUTE
            && !text.chars().any(|c| is_deceiving(c) || matches!(c, '{' | '}'))
    };
    let mut kinds = name.attributes();
    let common_names = name.attributes().filter(|attribute| attribute.kind == "CN").count();
    let is_simple =
        kinds.all(|attribute| matches!(attribute.kind.as_str(), "CN" | "O") && can_be_said(&attribute.value));
    if !is_simple || common_names != 1 {
        return None;
    }
    let organizations = name.attributes().filter(|attribute| attribute.kind == "O");
    Some(SubjectName {
        common_name: name.common_name()?.to_owned(),
        organizations: organizations.map(|attribute| attribute.value.clone()).collect(),
    })
}

/// Names as a spec says them.
#[derive(Clone, Default, PartialEq, Eq)]
struct Texts {
    dns: BTreeSet<String>,
    ip: BTreeSet<String>,
}

/// Names that all certificates have besides those of the layout, or that all lack.
fn names(draft: &mut Draft, sight: &Evidence<'_>, name: &IdentityName, own: &[Own<'_>], is_shared: bool) {
    let is_declared = draft.spec.spec.certificates.get(name).is_some_and(|own| own.names.only.is_some());
    if is_declared {
        return;
    }
    let lacks = |own: &Own<'_>| {
        let (wanted, found) = (&own.held.wanted.names, &own.certificate.facts().names);
        let has = |name: &String| found.dns.iter().any(|held| held.eq_ignore_ascii_case(name));
        !wanted.dns.iter().all(has) || !wanted.ip.is_subset(&found.ip)
    };
    let first = own.first().map(|own| &own.held.wanted.names);
    let is_alike = own.iter().all(|own| Some(&own.held.wanted.names) == first);
    if own.iter().any(lacks) || is_shared && !is_alike {
        let all = own.iter().map(|own| texts(own, &DesiredNames::default(), is_shared));
        let all: Option<Vec<Texts>> = all.collect();
        let Some(all) = all else { return };
        let Some(same) = all.first().filter(|first| all.iter().all(|other| other == *first)) else { return };
        if is_shared && !is_alike || own.iter().all(lacks) {
            let from = if is_shared && !is_alike {
                "the one certificate holds the names of all nodes"
            } else {
                "it lacks names that the profile gives it; without `only` the next plan adds them"
            };
            draft.comments.say_anew(&["certificates", name.as_str(), "names"], from);
            let only = OnlyNames { dns: same.dns.clone(), ip: same.ip.clone() };
            let names = &mut draft.certificate(name).names;
            names.dns.clear();
            names.ip.clear();
            names.only = Some(only);
        }
        return;
    }
    let extra: Vec<Texts> =
        own.iter().filter_map(|own| texts(own, &own.held.wanted.names, is_shared)).collect();
    if extra.len() != own.len() {
        draft.remark(format!("some names of {name} cannot be said in a spec; renewals keep them"));
        return;
    }
    let in_all = |get: fn(&Texts) -> &BTreeSet<String>| {
        let mut sets = extra.iter().map(get);
        let first = sets.next().cloned().unwrap_or_default();
        sets.fold(first, |common, set| common.intersection(set).cloned().collect::<BTreeSet<String>>())
    };
    let (dns, ip) = (in_all(|texts| &texts.dns), in_all(|texts| &texts.ip));
    for (own, extra) in own.iter().zip(&extra) {
        let some: Vec<&str> =
            extra.dns.difference(&dns).chain(extra.ip.difference(&ip)).map(String::as_str).collect();
        if !some.is_empty() {
            draft.remark(format!(
                "{name} on {} alone also has the names {}; renewals keep them",
                own.held.node,
                some.join(", ")
            ));
        }
    }
    if dns.is_empty() && ip.is_empty() {
        return;
    }
    let asked: Vec<&str> = dns.iter().chain(&ip).map(String::as_str).collect();
    let asked_for = sight.config.filter(|config| asked.iter().any(|text| config.asks_for(name, text)));
    let from = match asked_for {
        Some(config) => format!("{}, and asked for in {}", as_on(own), config.file),
        None => format!("{}, besides those of the profile", as_on(own)),
    };
    draft.comments.say(&["certificates", name.as_str(), "names"], from);
    let names = &mut draft.certificate(name).names;
    names.dns.extend(dns);
    names.ip.extend(ip);
}

/// The names of a certificate that are not among these; `None` when one of them cannot be said in a spec.
fn texts(own: &Own<'_>, known: &DesiredNames, is_shared: bool) -> Option<Texts> {
    let found = &own.certificate.facts().names;
    let as_template = |text: &str| if is_shared { text.to_owned() } else { own.held.as_template(text) };
    let mut texts = Texts::default();
    for name in &found.dns {
        let name = name.to_ascii_lowercase();
        if known.dns.iter().any(|known| known.eq_ignore_ascii_case(&name)) {
            continue;
        }
        if name.contains(['{', '}']) || dns_fault(&name, true).is_some() {
            return None;
        }
        texts.dns.insert(as_template(&name));
    }
    let others = found.ip.iter().filter(|ip| !known.ip.contains(ip));
    texts.ip.extend(others.map(|ip: &IpAddr| as_template(&ip.to_string())));
    Some(texts)
}

fn as_on(own: &[Own<'_>]) -> String {
    let nodes: Vec<&str> = own.iter().map(|own| own.held.node.as_str()).collect();
    format!("as on {}", nodes.join(", "))
}
