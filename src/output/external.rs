//! Externally signed certificates: the lines of a plan about a request and about what comes back, and what a person does in between.

use std::fmt::Write as _;

use jiff::Timestamp;

use super::issue::{Lines, ca_certificates, certificate_name, names, told};
use super::status::left;
use super::wrap::wrapped;
use crate::diagnostic::escaped;
use crate::plan::{CsrRequest, Install, KeySource};
use crate::types::format::{date, instant};
use crate::types::lookalike::spelled;
use crate::types::names::{Address, Target};

pub(super) fn request_lines(body: &mut Lines, request: &CsrRequest, subject: &Target) {
    body.add("to be signed", format!("by {}, whose key is kept elsewhere", request.authority));
    body.add("subject", super::issue::subject(&request.subject));
    names(body, (&request.dns, &request.ip), request.before.as_ref());
    told(body, &request.told);
    let usages: Vec<String> = request.usages.iter().map(ToString::to_string).collect();
    body.add("usable as", usages.join(", "));
    if let KeySource::New(algorithm) = request.key {
        body.add("key", format!("new, {algorithm}; made at apply on this node, and waits there"));
    }
    if let Some(replaced) = request.replaces {
        body.add(
            "replaces",
            format!("the request with the key {}, which asks for less or other", replaced.short()),
        );
    }
    body.file(&request.file);
    body.add("handed out", format!("by apply, as {subject}@NODE.csr, in the directory of --requests"));
}

pub(super) fn install_lines(body: &mut Lines, install: &Install, now: Timestamp) {
    let facts = install.certificate.facts();
    let new_end = format!("{} ({})", instant(facts.not_after), left(facts.not_after, now));
    match install.before.as_ref().map(|before| before.facts().not_after) {
        Some(old) => body.add("not after", format!("{} ({}) -> {new_end}", date(old), left(old, now))),
        None => body.add("not after", new_end),
    }
    body.add("certificate", certificate_name(&install.certificate));
    names(body, (&install.dns, &install.ip), install.before.as_ref());
    body.add("key", "the one that waited for it on this node".to_owned());
    body.add(
        "issuer",
        format!("{}, signed elsewhere by {}", install.authority, spelled(&facts.issuer.to_string())),
    );
    for between in &install.chain {
        body.add("followed by", certificate_name(between));
    }
    if let Some(trusted) = &install.trusted {
        body.add("trusts", ca_certificates(trusted));
    }
    for file in install.storage.files() {
        body.file(file);
    }
    body.add("removes", escaped(&install.request.path));
}

/// The requests that were handed out, each with its file, and what comes next. Nothing where there are none.
pub fn requests(files: &[(Address, String)], spec: &str) -> String {
    let Some((first, _)) = files.first() else { return String::new() };
    let width = files.iter().map(|(address, _)| address.to_string().len()).max().unwrap_or(0);
    let mut text = String::from("\nThese certificates are signed elsewhere. Their requests:\n");
    for (address, file) in files {
        // Writing to a String cannot fail.
        let _ = writeln!(text, "  {:<width$}  {}", address.to_string(), escaped(file));
    }
    let _ = writeln!(
        text,
        "Next: have each of them signed with the subject, names and usages that it asks for, and put the certificates into one directory: PEM, the \
         certificate first, then any intermediates up to the CA on the nodes, named as {first}.crt. Then\n  \
         `pki apply -f {} --certificates DIRECTORY`\n\
         The keys wait on their nodes meanwhile. To apply again before that makes no new ones: it hands out the same requests.",
        escaped(spec)
    );
    wrapped(&text)
}
