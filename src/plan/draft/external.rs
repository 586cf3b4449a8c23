//! Deeds about identities whose authority keeps its key elsewhere: a request is written once, waits, and its certificate is installed when it comes back.

use crate::diff::{Finding, Reason, waiting_request};
use crate::types::names::AuthorityName;
use crate::types::storage::FileSpec;

use super::identities::{Case, NotIssued};
use crate::plan::draft::Builder;
use crate::plan::{CsrRequest, Deed, Install, Waiting, Why};

impl Case<'_> {
    /// The authority that signs elsewhere, with the place where a request waits for it. An authority whose key is on a node all the same signs there.
    pub(crate) fn signed_elsewhere(&self, builder: &Builder<'_>) -> Option<(AuthorityName, FileSpec)> {
        let (authority, file) = (self.wanted.authority.as_ref()?, self.wanted.request.as_ref()?);
        let is_here = builder.sources.signers.contains_key(authority);
        (!is_here).then(|| (authority.clone(), file.clone()))
    }

    /// Installs what was brought; else asks for it, unless it was asked for already.
    pub(crate) fn have_signed(
        &self,
        builder: &mut Builder<'_>,
        (authority, file): (AuthorityName, FileSpec),
        reasons: &[Finding],
    ) {
        let why: Vec<Why> = reasons.iter().map(|finding| builder.why(finding)).collect();
        if let Err(obstacle) = self.ask(builder, &authority, file, reasons, &why) {
            self.stopped(builder, obstacle, why);
        }
    }

    fn ask(
        &self,
        builder: &mut Builder<'_>,
        authority: &AuthorityName,
        file: FileSpec,
        reasons: &[Finding],
        why: &[Why],
    ) -> Result<(), NotIssued> {
        self.can_be_written()?;
        self.authority_is_sound(builder, authority, self.name)?;
        let before = self.view.certificate.clone();
        let replaces = before.is_some();
        let lacks = reasons.iter().any(|finding| matches!(finding.reason, Reason::BundleLacks { .. }));
        if let Some(signed) = builder.input.signed.certificates.get(&self.address) {
            let facts = signed.certificate.facts();
            let install = Install {
                authority: authority.clone(),
                usages: self.wanted.usages.clone(),
                dns: facts.names.dns.clone(),
                ip: facts.names.ip.clone(),
                certificate: signed.certificate.clone(),
                chain: signed.chain.clone(),
                request: file,
                storage: self.storage.clone(),
                verified_by: self.verified_by(),
                trusted: self.trusted_if_needed(builder, lacks),
                before,
            };
            let deed = Deed::InstallIdentity(Box::new(install));
            builder.add(self.address.clone(), deed, why.to_vec(), replaces);
            return Ok(());
        }
        let old = self.model.as_ref();
        let (dns, ip) = self.names(builder, old)?;
        let mut request = CsrRequest {
            authority: authority.clone(),
            subject: self.subject(old)?,
            usages: self.usages(old),
            told: self.told((&dns, &ip)),
            dns,
            ip,
            key: self.key(old, reasons),
            storage: self.storage.clone(),
            file,
            replaces: None,
            before,
        };
        let waiting = waiting_request(self.wanted, self.facts).map_err(|reason| {
            NotIssued::Blocked(format!("whether a request for it waits is not known: {reason}"), None)
        })?;
        let because = match waiting {
            Some(waiting) if request.fits(waiting) => {
                let (address, waiting) = (self.address.clone(), waiting.clone());
                builder.draft.waiting.push(Waiting { address, request: waiting });
                format!("its request waits for a certificate of {authority}, which is signed elsewhere")
            }
            other => {
                request.replaces = other.map(|waiting| waiting.facts().key.spki_sha256);
                let deed = Deed::WriteCsr(Box::new(request));
                builder.add(self.address.clone(), deed, why.to_vec(), false);
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
}
