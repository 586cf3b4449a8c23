//! The lines of a plan's block about one certificate: what it will say, and how that differs from the one it replaces.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::IpAddr;

use jiff::Timestamp;

use super::status::left;
use crate::desired::Told;
use crate::diagnostic::escaped;
use crate::plan::{
    Action, Bundle, CaCertificates, Deed, IdentityCopy, Issue, KeyCopy, KeySource, Position, RootSource,
};
use crate::protocol::snapshots::temporary_name;
use crate::types::certificate::SubjectName;
use crate::types::format::{date, instant};
use crate::types::lookalike::spelled;
use crate::types::place::Place;
use crate::types::storage::Storage;
use crate::x509::{Certificate, Sha256};

/// Lines of a block, label and text.
#[derive(Default)]
pub(super) struct Lines(pub(super) String);

impl Lines {
    pub(super) fn add(&mut self, label: &str, text: String) {
        let _ = writeln!(self.0, "      {label:<13} {text}");
    }

    pub(super) fn file(&mut self, file: &crate::types::storage::FileSpec) {
        self.add("file", format!("{}   {} {}:{}", escaped(&file.path), file.mode, file.user, file.group));
    }
}

pub(super) fn issue_lines(body: &mut Lines, issue: &Issue, now: Timestamp) {
    let old = issue.before.as_ref().map(Certificate::facts);
    let clamp = if issue.clamped { "; cut to the end of its CA" } else { "" };
    let new_end = format!("{} ({}{clamp})", instant(issue.not_after), left(issue.not_after, now));
    match old {
        Some(old) => body
            .add("not after", format!("{} ({}) -> {new_end}", date(old.not_after), left(old.not_after, now))),
        None => body.add("not after", new_end),
    }
    let wanted = subject(&issue.subject);
    match old.map(|old| old.subject.to_string()) {
        Some(held) if !same_subject(old, &issue.subject) => {
            body.add("subject", format!("{} -> {wanted}", spelled(&held)));
        }
        Some(_) => {}
        None => body.add("subject", wanted),
    }
    names(body, (&issue.dns, &issue.ip), issue.before.as_ref());
    server(body, &issue.storage, issue.before.as_ref());
    told(body, &issue.told);
    let usages: Vec<String> = issue.usages.iter().map(ToString::to_string).collect();
    if old.is_none() {
        body.add("usable as", usages.join(", "));
    }
    // The digest of a kept key differs from node to node, so it is added once the nodes of a block are known.
    if let KeySource::New(algorithm) = issue.key {
        let was = old.map(|old| old.key.algorithm.to_string()).filter(|was| *was != algorithm.to_string());
        let was = was.map(|was| format!(" (was {was})")).unwrap_or_default();
        body.add("key", format!("new, {algorithm}{was}; made at apply on its node"));
    }
    body.add("issuer", format!("{}, signed on {}", issue.authority, issue.signer));
    if let Some(trusted) = &issue.trusted {
        body.add("trusts", ca_certificates(trusted));
    }
    if let Some(chain) = &issue.chain {
        body.add("followed by", ca_certificates(chain));
    }
    for file in issue.storage.files() {
        body.file(file);
    }
}

/// A certificate that goes to another place as it is. Where the key passes from node to node, that is said.
pub(super) fn copy_lines(body: &mut Lines, copy: &IdentityCopy, place: &Place, now: Timestamp) {
    let end = |not_after: Timestamp| format!("{} ({})", instant(not_after), left(not_after, now));
    match copy.before.as_ref().map(Certificate::facts) {
        Some(old) if old.not_after != copy.not_after => body.add(
            "not after",
            format!("{} ({}) -> {}", date(old.not_after), left(old.not_after, now), end(copy.not_after)),
        ),
        Some(_) | None => body.add("not after", end(copy.not_after)),
    }
    let what = match &copy.certificate {
        Some(certificate) => certificate.fingerprint().short(),
        None => "the new one".to_owned(),
    };
    let source = escaped(copy.source.certificate_path());
    if place.is(copy.from()) {
        body.add("copied", format!("{what}, from {source} on this node, with its key"));
    } else {
        body.add("copied", format!("{what}, from {source} on {}", copy.from()));
        body.add("private key", format!("the shared one, from {} through memory to this node", copy.from()));
    }
    server(body, &copy.target, copy.before.as_ref());
    told(body, &copy.told);
    if let Some(trusted) = &copy.trusted {
        body.add("trusts", ca_certificates(trusted));
    }
    for file in copy.target.files() {
        body.file(file);
    }
}

/// Where a kubeconfig leads that is made new. In one that is there nothing but certificates and keys is changed.
fn server(body: &mut Lines, storage: &Storage, before: Option<&Certificate>) {
    if let (Storage::Kubeconfig { server: Some(server), .. }, None) = (storage, before) {
        body.add("server", escaped(server));
    }
}

/// Each value that is the word of a node, with whose.
pub(super) fn told(body: &mut Lines, told: &[Told]) {
    for told in told {
        body.add("told", told.to_string());
    }
}

/// A private key that goes from node to node, with which one it must be; its sign.
pub(super) fn key_copy_lines(body: &mut Lines, KeyCopy { from, file, spki, .. }: &KeyCopy) -> char {
    let which = spki.map_or_else(String::new, |spki| format!(", spki {}", spki.short()));
    body.add("private key", format!("copied from {from}, from memory to memory{which}"));
    body.file(file);
    '+'
}

fn same_subject(old: Option<&crate::x509::CertificateFacts>, wanted: &SubjectName) -> bool {
    old.is_some_and(|old| old.subject.is(wanted))
}

/// The names as a difference, name by name.
pub(super) fn names(
    body: &mut Lines,
    (dns, ip): (&BTreeSet<String>, &BTreeSet<IpAddr>),
    before: Option<&Certificate>,
) {
    let new: Vec<String> =
        dns.iter().map(|name| escaped(name)).chain(ip.iter().map(|ip| format!("IP {ip}"))).collect();
    let Some(before) = before else {
        if !new.is_empty() {
            body.add("names", new.join(", "));
        }
        return;
    };
    let held = &before.facts().names;
    let old: Vec<String> = held
        .dns
        .iter()
        .map(|name| escaped(name))
        .chain(held.ip.iter().map(|ip| format!("IP {ip}")))
        .collect();
    let difference = similar::TextDiff::from_slices(
        &old.iter().map(String::as_str).collect::<Vec<_>>(),
        &new.iter().map(String::as_str).collect::<Vec<_>>(),
    );
    let changes: Vec<String> = difference
        .iter_all_changes()
        .filter_map(|change| match change.tag() {
            similar::ChangeTag::Equal => None,
            similar::ChangeTag::Delete => Some(format!("- {}", change.value())),
            similar::ChangeTag::Insert => Some(format!("+ {}", change.value())),
        })
        .collect();
    if !changes.is_empty() {
        body.add("names", format!("kept, but {}", changes.join(", ")));
    } else if !old.is_empty() {
        body.add("names", format!("kept ({})", old.len()));
    }
}

/// The digest of the key that a renewal keeps.
pub(super) fn kept_key(action: &Action) -> Option<String> {
    let issued = action.deed.issue().map(|issue| &issue.key);
    let key = if let Deed::WriteCsr(request) = &action.deed { Some(&request.key) } else { issued };
    match key? {
        KeySource::Kept(spki) => Some(spki.short()),
        KeySource::New(_) => None,
    }
}

pub(super) fn subject(subject: &SubjectName) -> String {
    let organizations = subject.organizations.iter().map(|name| format!("O={}", spelled(name)));
    organizations.chain([format!("CN={}", spelled(&subject.common_name))]).collect::<Vec<_>>().join(", ")
}

pub(super) fn certificate_name(certificate: &Certificate) -> String {
    format!("{} ({})", spelled(&certificate.facts().subject.to_string()), certificate.fingerprint().short())
}

pub(super) fn ca_certificates(trusted: &CaCertificates) -> String {
    match trusted {
        CaCertificates::Certificates(certificates) => {
            certificates.iter().map(certificate_name).collect::<Vec<_>>().join(", ")
        }
        CaCertificates::Made(authority) => format!("the {authority} that is made before"),
    }
}

pub(super) fn fingerprints(before: &[Sha256]) -> String {
    if before.is_empty() {
        return "nothing".to_owned();
    }
    before.iter().map(|fingerprint| fingerprint.short()).collect::<Vec<_>>().join(", ")
}

/// A custom root CA, or an intermediate one, that comes from the machine that runs the apply.
pub(super) fn custom_root_lines(body: &mut Lines, root: &Certificate, source: &RootSource, now: Timestamp) {
    let facts = root.facts();
    let kind = if facts.self_issued { "own root CA" } else { "intermediate CA" };
    body.add("certificate", format!("the {kind} in {}", escaped(&source.certificate)));
    body.add("sha256", root.fingerprint().to_string());
    body.add("subject", spelled(&facts.subject.to_string()));
    body.add("not after", format!("{} ({})", instant(facts.not_after), left(facts.not_after, now)));
    let key_text = format!("{}, read from {} at apply", facts.key.algorithm, escaped(&source.key));
    body.add("private key", format!("{key_text}, on the machine that runs it"));
}

/// What an extension changes of a CA.
pub(super) fn extension_lines(
    body: &mut Lines,
    of: &Certificate,
    (not_after, keeps_serial): (Timestamp, bool),
    now: Timestamp,
) {
    let facts = of.facts();
    body.add("subject", format!("kept, {}", spelled(&facts.subject.to_string())));
    let end = format!("{} ({})", instant(not_after), left(not_after, now));
    body.add("not after", format!("{} -> {end}", date(facts.not_after)));
    body.add("private key", "kept, so that everything it signed stays valid".to_owned());
    if keeps_serial {
        body.add("serial", "kept: certificates name their issuer by it".to_owned());
    }
}

/// What a trust bundle holds and will hold.
pub(super) fn bundle_line(body: &mut Lines, bundle: &Bundle, before: &[Sha256]) {
    let mut names: Vec<String> = bundle.certificates().iter().map(certificate_name).collect();
    let held = match bundle.made() {
        // What is made may be among those before, or come to them.
        Some(Position::First) => {
            names.insert(0, "the new one".to_owned());
            String::new()
        }
        Some(Position::Last) => {
            names.push("the new one".to_owned());
            format!("{} -> ", before.len())
        }
        None => format!("{} -> ", before.len()),
    };
    body.add("certificates", format!("{held}{}: {}", names.len(), names.join(", ")));
}

/// How a directory moves.
pub(super) fn move_lines(body: &mut Lines, (link, path): (&str, &str), keeps_old: bool) {
    body.add("moves", format!("{} -> {}, everything in it", escaped(link), escaped(path)));
    body.add("how", "copied first; then a link takes the directory's place in one step".to_owned());
    let (above, name) = link.rsplit_once('/').unwrap_or_default();
    let aside = format!("{}/{}", escaped(above), temporary_name(&escaped(name), "*"));
    let old = match keeps_old {
        true => format!("{aside}; those who have it open go on, until the next run on this node removes it"),
        false => format!("{aside}; removed at the end of the visit, when its readers are restarted"),
    };
    body.add("set aside as", old);
}
