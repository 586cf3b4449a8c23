//! The deed that issues a certificate, or why there is none.
//!
//! What enters is one place of a certificate and the reasons for another one; what leaves is a deed, or a block with the way out. Whether a certificate is due is decided by
//! whoever calls this. Pure.

use super::case::{Case, NotIssued};
use super::{chains, external};
use crate::diff::{Finding, Reason};
use crate::formats::kubeconfig::OtherCredentials;
use crate::plan::known::builder::Builder;
use crate::plan::known::signer::Signer;
use crate::plan::{BACKDATE, Deed, Issue, Why};
use crate::types::names::AuthorityName;
use crate::x509::issue::Refusal;

/// Issues it, or says why not.
pub(crate) fn write_new(case: &Case<'_>, builder: &mut Builder<'_>, reasons: Vec<Finding>) {
    if let Some(obstacle) = other_credentials(case) {
        let why = reasons.iter().map(|finding| builder.why(finding)).collect();
        return case.stopped(builder, obstacle, why);
    }
    if let Some(elsewhere) = external::signed_elsewhere(case, builder) {
        return external::have_signed(case, builder, elsewhere, &reasons);
    }
    let why: Vec<Why> = reasons.iter().map(|finding| builder.why(finding)).collect();
    match issue(case, builder, &reasons) {
        Ok(issue) => {
            let replaces = issue.before.is_some();
            builder.add(case.address.clone(), Deed::IssueIdentity(Box::new(issue)), why, replaces);
        }
        Err(obstacle) => case.stopped(builder, obstacle, why),
    }
}

/// A certificate beside a token or a program would be taken first by the API server: its user would become another one without a word.
fn other_credentials(case: &Case<'_>) -> Option<NotIssued> {
    let by = case.view.other_credentials?;
    let path = case.storage.certificate_path();
    if by == OtherCredentials::AnotherCluster {
        return Some(NotIssued::Elsewhere(
            format!(
                "the current context of {path} leads to another cluster, so no certificate is written into it"
            ),
            format!("make the context of this cluster the current one in {path} on {} first", case.name),
        ));
    }
    Some(NotIssued::Elsewhere(
        format!("the credentials in {path} come from {by}, so no certificate is written into it"),
        format!(
            "to have a certificate there, remove {path} on {} first: the next plan creates it",
            case.name
        ),
    ))
}

fn issue(case: &Case<'_>, builder: &Builder<'_>, reasons: &[Finding]) -> Result<Issue, NotIssued> {
    let authority = case.wanted.authority.clone().ok_or_else(|| {
        NotIssued::Blocked("it signs itself, and pki does not make such certificates".to_owned(), None)
    })?;
    case.can_be_written()?;
    let signer = signer(builder, &authority)?;
    case.authority_is_sound(builder, &authority, &signer.node)?;
    let old = case.model.as_ref();
    let now = builder.input.now;
    let declared_end = case.wanted.validity.value.after(now);
    let not_after = declared_end.min(signer.not_after);
    let cut_off = builder
        .input
        .survey
        .desired
        .authorities
        .get(&authority)
        .and_then(|authority| authority.reissue_issued_before.as_ref())
        .map(|cut_off| cut_off.value)
        .filter(|cut_off| *cut_off <= now);
    // Not before its issuer: some verifiers refuse such a chain, and people take it for a fault.
    let issuer_from = signer.certificate.as_ref().map(|issuer| issuer.facts().not_before);
    let from = [cut_off, issuer_from.filter(|from| *from <= now)];
    let not_before = from.into_iter().flatten().fold(BACKDATE.before(now), Ord::max);
    let (dns, ip) = case.names(builder, old)?;
    let is_one_of_two = builder.stays(&authority).is_some();
    let lacks = reasons.iter().any(|finding| matches!(finding.reason, Reason::BundleLacks { .. }));
    let trusted = case.trusted_if_needed(builder, lacks || is_one_of_two);
    let issuer = signer.certificate.clone();
    let issue = Issue {
        subject: case.subject(old)?,
        usages: case.usages(old),
        told: case.told((&dns, &ip)),
        dns,
        ip,
        not_before,
        not_after,
        clamped: signer.not_after < declared_end,
        key: case.key(old, reasons),
        storage: case.storage.clone(),
        // A node without a copy of the authority's certificate checks against the signer's, which apply brings along.
        verified_by: case.verified_by(),
        trusted,
        chain: chains::chain(case, &authority, &signer),
        before: case.view.certificate.clone(),
        issuer: signer.certificate.as_ref().map(|certificate| *certificate.fingerprint()),
        signer_certificate: signer.files.certificate.path.clone(),
        signer_key: signer.files.key.path.clone(),
        signer: signer.node,
        authority,
    };
    match issuer.iter().flat_map(|issuer| issue.refusals(issuer)).next() {
        Some(refusal) => Err(cannot_be_issued(&issue.authority, &refusal)),
        None => Ok(issue),
    }
}

fn signer(builder: &Builder<'_>, authority: &AuthorityName) -> Result<Signer, NotIssued> {
    if let Some(signer) = builder.sources.signers.get(authority) {
        return Ok(signer.clone());
    }
    let external =
        builder.input.survey.desired.authorities.get(authority).is_some_and(|authority| authority.external);
    let view = builder.input.differences.authorities().get(authority);
    if external || view.is_some_and(|view| view.key_is_nowhere() && !view.certificates.is_empty()) {
        return Err(NotIssued::Elsewhere(
            format!("no node holds the key of {authority}, so its certificates are signed elsewhere"),
            format!(
                "have it renewed by whoever holds the key of {authority}, or put the key back on a control-plane node"
            ),
        ));
    }
    let is_nowhere = view.is_none_or(|view| view.certificates.is_empty() && view.keys.is_empty());
    if is_nowhere && !builder.input.options.only.is_empty() {
        return Err(NotIssued::Blocked(
            format!("it needs ca/{authority}, which is nowhere yet and which --only leaves out"),
            Some(format!("add --only ca/{authority}")),
        ));
    }
    let because = if builder.troubled.contains(authority) {
        format!("it needs ca/{authority}, about which there is an error of its own")
    } else {
        format!("no usable key of {authority} was seen on any node")
    };
    Err(NotIssued::Blocked(because, None))
}

/// No run could issue it, so none is begun: what else is due on its node is done.
fn cannot_be_issued(authority: &AuthorityName, refusal: &Refusal) -> NotIssued {
    NotIssued::Elsewhere(
        format!("no certificate of {authority} can say this: {refusal}"),
        format!("change what the spec asks for, or replace {authority} by a CA that may issue it"),
    )
}
