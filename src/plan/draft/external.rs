//! Deeds about identities whose authority keeps its key elsewhere: a request is written once, waits, and its certificate is installed when it comes back.

use crate::diff::{Finding, Reason, waiting_request};
use crate::types::names::AuthorityName;
use crate::types::storage::FileSpec;

use super::case::{Case, NotIssued};
use crate::plan::known::builder::Builder;
use crate::plan::{CsrRequest, Deed, Install, Waiting, Why};

/// The authority that signs elsewhere, with the place where a request waits for it. An authority whose key is on a node all the same signs there.
pub(crate) fn signed_elsewhere(case: &Case<'_>, builder: &Builder<'_>) -> Option<(AuthorityName, FileSpec)> {
    let (authority, file) = (case.wanted.authority.as_ref()?, case.wanted.request.as_ref()?);
    let is_here = builder.sources.signers.contains_key(authority);
    (!is_here).then(|| (authority.clone(), file.clone()))
}

/// Installs what was brought; else asks for it, unless it was asked for already.
pub(crate) fn have_signed(
    case: &Case<'_>,
    builder: &mut Builder<'_>,
    (authority, file): (AuthorityName, FileSpec),
    reasons: &[Finding],
) {
    let why: Vec<Why> = reasons.iter().map(|finding| builder.why(finding)).collect();
    if let Err(obstacle) = ask(case, builder, &authority, file, reasons, &why) {
        case.stopped(builder, obstacle, why);
    }
}

fn ask(
    case: &Case<'_>,
    builder: &mut Builder<'_>,
    authority: &AuthorityName,
    file: FileSpec,
    reasons: &[Finding],
    why: &[Why],
) -> Result<(), NotIssued> {
    case.can_be_written()?;
    case.authority_is_sound(builder, authority, case.name)?;
    let before = case.view.certificate.clone();
    let replaces = before.is_some();
    let lacks = reasons.iter().any(|finding| matches!(finding.reason, Reason::BundleLacks { .. }));
    if let Some(signed) = builder.input.signed.certificates.get(&case.address) {
        let facts = signed.certificate.facts();
        let install = Install {
            authority: authority.clone(),
            usages: case.wanted.usages.clone(),
            dns: facts.names.dns.clone(),
            ip: facts.names.ip.clone(),
            certificate: signed.certificate.clone(),
            chain: signed.chain.clone(),
            request: file,
            storage: case.storage.clone(),
            verified_by: case.verified_by(),
            trusted: case.trusted_if_needed(builder, lacks),
            before,
        };
        let deed = Deed::InstallIdentity(Box::new(install));
        builder.add(case.address.clone(), deed, why.to_vec(), replaces);
        return Ok(());
    }
    let old = case.model.as_ref();
    let (dns, ip) = case.names(builder, old)?;
    let mut request = CsrRequest {
        authority: authority.clone(),
        subject: case.subject(old)?,
        usages: case.usages(old),
        told: case.told((&dns, &ip)),
        dns,
        ip,
        key: case.key(old, reasons),
        storage: case.storage.clone(),
        file,
        replaces: None,
        before,
    };
    let waiting = waiting_request(case.wanted, case.facts).map_err(|reason| {
        NotIssued::Blocked(format!("whether a request for it waits is not known: {reason}"), None)
    })?;
    let because = match waiting {
        Some(waiting) if request.fits(waiting) => {
            let (address, waiting) = (case.address.clone(), waiting.clone());
            builder.draft.waiting.push(Waiting { address, request: waiting });
            format!("its request waits for a certificate of {authority}, which is signed elsewhere")
        }
        other => {
            request.replaces = other.map(|waiting| waiting.facts().key.spki_sha256);
            let deed = Deed::WriteCsr(Box::new(request));
            builder.add(case.address.clone(), deed, why.to_vec(), false);
            format!(
                "{authority} is kept elsewhere: this plan asks for the certificate, and another one installs it"
            )
        }
    };
    let help = format!(
        "apply hands out the request as NAME@NODE.csr; have it signed by whoever holds the key of {authority}, and bring the certificate back with --certificates, as NAME@NODE.crt"
    );
    Err(NotIssued::Elsewhere(because, help))
}
