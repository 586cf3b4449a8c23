//! CA certificates that are trusted beside an authority's own, file by file: whose they are, and who lets their owners in.
//!
//! What enters is an authority on a node, or a kubeconfig; what leaves is findings. A stranger's CA in a file by which clients are judged, or of which nothing says who uses it,
//! is an alarm and blocks what would load it or sign with it. One by which only servers are judged is noted: its owner can deceive, and is let in nowhere. One that the spec
//! names in `alsoTrusts` is noted with the reason. Trust is never dropped by itself: what must go is named in `distrust`. Pure.

use jiff::Timestamp;
use std::collections::BTreeSet;

use crate::desired::{DesiredNode, DesiredService};
use crate::formats::manifest::ManifestFacts;
use crate::profile::{Trusts, What};
use crate::protocol::facts::NodeFacts;
use crate::types::names::{AuthorityName, ServiceName};
use crate::types::storage::Storage;
use crate::x509::Certificate;

use super::cases::{AuthorityCase, IdentityCase};
use super::view::storage_view;
use super::{Finding, Judges, Reason, Stray};

/// The flag that names the certificate with which a controller manager signs, where it is not the authority's own file.
const SIGNING_FLAG: &str = "cluster-signing-cert-file";

/// The findings about the files of an authority on one node.
pub(super) fn findings(case: &AuthorityCase<'_>) -> Vec<Finding> {
    let mut findings = Vec::new();
    let main = &case.copy.certificate.path;
    let first = case.view.on_node(case.node).and_then(<[Certificate]>::first);
    let mut told: BTreeSet<&Certificate> = BTreeSet::new();
    for path in [main].into_iter().chain(case.copy.copies.values().map(|file| &file.path)) {
        for certificate in case.facts.certificates(path) {
            if told.insert(certificate) {
                findings.extend(about(case, certificate, path, first == Some(certificate)));
            }
        }
    }
    findings.extend(not_trusted(case));
    findings.extend(signer_is_bundle(case));
    findings
}

fn about(case: &AuthorityCase<'_>, certificate: &Certificate, path: &str, is_first: bool) -> Option<Finding> {
    let (fingerprint, subject) = (*certificate.fingerprint(), certificate.facts().subject.to_string());
    let is_strange = case.view.is_strange(certificate);
    if let Some(because) = case.wanted.also_trusts.get(&format!("sha256:{fingerprint}")) {
        let because = because.clone();
        return Some(match is_strange || case.view.begun_by_hand(certificate).is_some() {
            true => Finding::note(Reason::AlsoTrusted { fingerprint, subject: Some(subject), because }),
            false => Finding::blocks(Reason::TrustedAnyway { fingerprint }),
        });
    }
    if case.succession.is_some_and(|succession| succession.knows(certificate)) {
        return None;
    }
    if is_strange {
        // Of a further file nothing says who reads it.
        let is_main = path == case.copy.certificate.path;
        let (judges, by) = match is_main {
            true => judges(case.on, case.name, &case.view.admits),
            false => (Judges::Unknown, Vec::new()),
        };
        let path = path.to_owned();
        let signs = if is_main { signers(case) } else { Vec::new() };
        let ended = ended(certificate, case.now);
        let is_let_in = ended.is_none() && (judges != Judges::Servers || !signs.is_empty());
        let stray = Stray { fingerprint, subject, path, judges, by, signs, ended };
        let reason = Reason::BundleHasStray(Box::new(stray));
        return Some(if is_let_in { Finding::blocks(reason) } else { Finding::note(reason) });
    }
    // That another one stands first here than elsewhere is said as that.
    let evidence = case.view.begun_by_hand(certificate).filter(|_| !is_first)?.clone();
    let (key_on, signed) = (evidence.key_on, evidence.signed);
    Some(Finding::note(Reason::BegunByHand { fingerprint, subject, key_on, signed }))
}

/// Whom a node judges by the CA certificates of an authority, and which services do.
fn judges(
    node: &DesiredNode,
    authority: &AuthorityName,
    admits: &BTreeSet<ServiceName>,
) -> (Judges, Vec<ServiceName>) {
    let trusts = What::Trust(authority.clone());
    let readers = node.services.iter().filter(|(_, service)| {
        service.reads.iter().any(|read| read.what == trusts)
            // What a dial says of it holds whether or not it is said how the file is read.
            || service.dials.iter().any(|dial| checks_with(dial.trusts.as_ref(), authority))
    });
    let readers: Vec<_> = readers.collect();
    let clients: Vec<ServiceName> =
        readers.iter().map(|(name, _)| *name).filter(|name| admits.contains(*name)).cloned().collect();
    if !clients.is_empty() {
        return (Judges::Clients, clients);
    }
    let is_client = |(_, service): &(_, &DesiredService)| {
        service.dials.iter().any(|dial| checks_with(dial.trusts.as_ref(), authority))
    };
    let names = || readers.iter().map(|(name, _)| (*name).clone()).collect();
    match !readers.is_empty() && readers.iter().all(is_client) {
        true => (Judges::Servers, names()),
        false => (Judges::Unknown, names()),
    }
}

fn checks_with(trusts: Option<&Trusts>, authority: &AuthorityName) -> bool {
    match trusts {
        Some(Trusts::Authority { authority: own, .. }) => own == authority,
        Some(Trusts::Kubeconfig { .. }) | None => false,
    }
}

/// The services of a node that sign with the file of an authority.
fn signers(case: &AuthorityCase<'_>) -> Vec<ServiceName> {
    let signs = What::Signer(case.name.clone());
    let services = case.on.services.iter();
    let signers = services.filter(|(_, service)| service.reads.iter().any(|read| read.what == signs));
    let own = &case.copy.certificate.path;
    let is_own = |name: &ServiceName| signing_file(case.facts, name).is_none_or(|file| file == own);
    signers.map(|(name, _)| name).filter(|name| is_own(name)).cloned().collect()
}

/// The file that a manifest gives a service to sign with.
fn signing_file<'a>(facts: &'a NodeFacts, service: &ServiceName) -> Option<&'a str> {
    let of_service = |manifest: &'a ManifestFacts| {
        let mut containers = manifest.containers.iter();
        containers
            .find(|container| container.program.as_deref().unwrap_or(&container.name) == service.as_str())
    };
    facts.manifests().find_map(|(_, manifest)| of_service(manifest)?.flags.last(SIGNING_FLAG))
}

/// A controller manager takes exactly one certificate to sign with: with two it signs nothing, and ends as soon as it leads (kubeadm#1350).
fn signer_is_bundle(case: &AuthorityCase<'_>) -> Option<Finding> {
    let path = &case.copy.certificate.path;
    let held: BTreeSet<&Certificate> = case.facts.certificates(path).iter().collect();
    let by = signers(case);
    (held.len() > 1 && !by.is_empty())
        .then(|| Finding::note(Reason::SignerIsBundle { path: path.clone(), by }))
}

/// A CA that the spec trusts too and that a node which signs does not hold. It is never written: nobody but its owner knows that it is the right one.
fn not_trusted(case: &AuthorityCase<'_>) -> Vec<Finding> {
    let held = case.facts.certificates(&case.copy.certificate.path);
    if held.is_empty() || !case.copy.may_hold_key {
        return Vec::new();
    }
    let declared = case.wanted.also_trusted();
    let missing = declared.filter(|(named, _)| !held.iter().any(|held| held.fingerprint() == named));
    let note = |(fingerprint, because): (_, &str)| {
        Finding::note(Reason::AlsoTrusted { fingerprint, subject: None, because: because.to_owned() })
    };
    missing.map(note).collect()
}

/// The findings about the CA data of a kubeconfig, in all its places: whoever uses it judges servers alone.
pub(super) fn in_kubeconfig(case: &IdentityCase<'_>) -> Vec<Finding> {
    let Some(authority) = case.authority else { return Vec::new() };
    let mut findings = Vec::new();
    for place in case.wanted.managed_places() {
        let Storage::Kubeconfig { file, .. } = place else { continue };
        let trusted = storage_view(place, case.on, case.facts).trusted.unwrap_or_default();
        for ca in trusted.iter().collect::<BTreeSet<&Certificate>>() {
            let leaving = authority.succession.and_then(|going| going.leaving.get(ca.fingerprint()));
            if let Some((_, finding)) = leaving {
                // Of one that is replaced the kubeconfig follows with everything else.
                findings.extend(Some(finding.clone()).filter(Finding::is_of_stray));
                continue;
            }
            let named = format!("sha256:{}", ca.fingerprint());
            // Where it is in the authority's own files too, those say it.
            let is_told = authority.view.certificates.values().any(|held| held.contains(ca))
                || authority.wanted.also_trusts.contains_key(&named);
            if authority.view.is_strange(ca) && !is_told {
                let stray = Stray {
                    fingerprint: *ca.fingerprint(),
                    subject: ca.facts().subject.to_string(),
                    path: file.path.clone(),
                    judges: Judges::Servers,
                    by: Vec::new(),
                    signs: Vec::new(),
                    ended: ended(ca, case.now),
                };
                findings.push(Finding::note(Reason::BundleHasStray(Box::new(stray))));
            }
        }
    }
    findings
}

/// When a CA ended, if it has. Nobody is let in by one then: Go and OpenSSL judge the CA's period as well.
fn ended(ca: &Certificate, now: Timestamp) -> Option<Timestamp> {
    Some(ca.facts().not_after).filter(|end| now > *end)
}
