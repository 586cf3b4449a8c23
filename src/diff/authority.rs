//! The checks of an authority: a CA certificate on every node that trusts it, and its key on those that sign.

use std::collections::BTreeSet;

use crate::formats::pem_facts::PemFacts;
use crate::x509::{Certificate, Sha256};

use super::cases::AuthorityCase;
use super::view::{pem, pem_reasons};
use super::{CaRotation, Effect, Finding, NotAsDeclared, Reason, files, snapshot_keys, strangers, wishes};

impl AuthorityCase<'_> {
    pub(super) fn findings(&self) -> Vec<Finding> {
        let mut findings = Vec::new();
        match pem(self.facts, &self.copy.certificate.path) {
            Ok(pem) => {
                let reasons = pem_reasons(pem, &self.copy.certificate.path);
                findings.extend(reasons.into_iter().map(Finding::due_unless_unknown));
                if pem.certificates.is_empty() && findings.is_empty() {
                    let problem = "holds no certificate".to_owned();
                    let path = self.copy.certificate.path.clone();
                    findings.push(Finding::due(Reason::Unparseable { path, problem }));
                }
                findings.extend(self.certificate_findings(&pem.certificates));
            }
            Err(reason) => findings.push(Finding::due_unless_unknown(reason)),
        }
        findings.extend(strangers::findings(self));
        findings.extend(wishes::findings(self));
        findings.extend(self.custom_root());
        findings.extend(self.key_findings());
        findings.extend(snapshot_keys::findings(self));
        findings.extend(files::findings(&self.copy.certificate, self.facts));
        if self.copy.may_hold_key {
            findings.extend(files::findings(&self.copy.key, self.facts));
        }
        findings
    }

    /// The CA on this node must be the custom root that the spec names; where that could not be read, it is not known which one is right.
    fn custom_root(&self) -> Option<Finding> {
        let root = self.wanted.root.as_ref()?;
        let by = self.wanted.source.as_ref().and_then(|source| source.by.as_ref());
        let Some(certificate) = &root.certificate else {
            let because = format!(
                "the user who runs pki may not read {}, so which root CA it should be is not known",
                root.certificate_path
            );
            let finding =
                Finding { effect: Effect::Unknown, reason: Reason::Unknown { because }, decided_by: None };
            return Some(finding.decided_by(by));
        };
        // Where the certificate is missing, the one that all nodes together say will be written beside the key.
        let here = self.view.on_node(self.node).and_then(<[Certificate]>::first);
        let first = here.or_else(|| self.view.signer())?;
        if self.succession.is_some_and(|succession| succession.knows(first)) {
            return None;
        }
        (first != certificate).then(|| {
            let (found, wanted) = (*first.fingerprint(), *certificate.fingerprint());
            let source = root.certificate_path.clone();
            Finding::blocks(Reason::RootDiffers { found, wanted, source }).decided_by(by)
        })
    }

    fn certificate_findings(&self, certificates: &[Certificate]) -> Vec<Finding> {
        let mut findings = Vec::new();
        if let Some(first) = self.view.on_node(self.node).and_then(<[Certificate]>::first) {
            findings.extend([self.expired(first), self.expires_soon(first), self.not_yet_valid(first)]);
            findings.extend([self.not_a_ca(first), self.differs_between_nodes()]);
            findings.push(self.signer_not_first(first, certificates));
        }
        findings.extend(bundle_duplicates(certificates));
        findings.extend(self.goes(certificates).map(Some));
        findings.into_iter().flatten().collect()
    }

    /// What has to go.
    fn goes(&self, certificates: &[Certificate]) -> impl Iterator<Item = Finding> {
        let leaving = self.succession.map(|succession| &succession.leaving);
        let further = self.copy.copies.values().flat_map(|file| self.facts.certificates(&file.path));
        let held: BTreeSet<&Certificate> = certificates.iter().chain(further).collect();
        let going = move |held: &Certificate| Some(leaving?.get(held.fingerprint())?.1.clone());
        held.into_iter().filter_map(going).collect::<Vec<_>>().into_iter()
    }

    fn expired(&self, certificate: &Certificate) -> Option<Finding> {
        let not_after = certificate.facts().not_after;
        (self.now > not_after).then(|| Finding::blocks(Reason::Expired { not_after }))
    }

    fn expires_soon(&self, certificate: &Certificate) -> Option<Finding> {
        let not_after = certificate.facts().not_after;
        let renew_before = self.wanted.renew_before.value;
        let soon = self.now <= not_after && self.now >= renew_before.before(not_after);
        soon.then(|| {
            Finding::due(Reason::ExpiresSoon { not_after, renew_before })
                .decided_by(self.wanted.renew_before.by.as_ref())
        })
    }

    fn not_yet_valid(&self, certificate: &Certificate) -> Option<Finding> {
        let not_before = certificate.facts().not_before;
        (self.now < not_before).then(|| Finding::blocks(Reason::NotYetValid { not_before }))
    }

    fn not_a_ca(&self, certificate: &Certificate) -> Option<Finding> {
        (!certificate.facts().is_ca()).then(|| Finding::blocks(Reason::NotACa))
    }

    /// Where nobody signs, the order of a trust file means nothing.
    fn signer_not_first(&self, own: &Certificate, certificates: &[Certificate]) -> Option<Finding> {
        let first = certificates.first().filter(|first| *first != own)?;
        let (path, first, own) = (&self.copy.certificate.path, first.fingerprint(), own.fingerprint());
        let reason = Reason::SignerNotFirst { path: path.clone(), first: *first, signer: *own };
        self.view.keys.contains_key(self.node).then(|| Finding::note(reason))
    }

    fn differs_between_nodes(&self) -> Option<Finding> {
        let odd = self.view.odd_one_out(self.node)?;
        // While one takes the place of the other, some nodes are further than others.
        let first = self.view.on_node(self.node).and_then(<[Certificate]>::first);
        let is_on_the_way = first.zip(self.succession).is_some_and(|(first, going)| going.knows(first));
        (!is_on_the_way).then(|| Finding::blocks(odd.clone()))
    }

    fn key_findings(&self) -> Vec<Finding> {
        let key = pem(self.facts, &self.copy.key.path);
        if !self.copy.may_hold_key {
            let holds_key = key.is_ok_and(|pem| !pem.keys.is_empty() || pem.encrypted_keys > 0);
            let reason = Reason::CaKeyOnWrongNode { path: self.copy.key.path.clone() };
            return holds_key.then(|| Finding::note(reason)).into_iter().collect();
        }
        match key {
            Ok(pem) => {
                let mut findings: Vec<Finding> =
                    pem_reasons(pem, &self.copy.key.path).into_iter().map(Finding::blocks).collect();
                match pem.keys.first() {
                    Some(key) => findings.extend(self.key_mismatch(key.spki_sha256)),
                    None if pem.encrypted_keys > 0 => {
                        findings
                            .push(Finding::blocks(Reason::KeyEncrypted { path: self.copy.key.path.clone() }));
                    }
                    None => {}
                }
                findings.extend(self.external_key_held(pem));
                findings
            }
            Err(Reason::Missing) => self.key_missing().into_iter().collect(),
            Err(reason @ (Reason::ZeroLength { .. } | Reason::Unknown { .. })) => {
                vec![Finding::due_unless_unknown(reason)]
            }
            Err(reason) => vec![Finding::blocks(reason)],
        }
    }

    /// A key that the spec says is elsewhere, and is here, can sign all the same.
    fn external_key_held(&self, pem: &PemFacts) -> Option<Finding> {
        let holds_key = !pem.keys.is_empty() || pem.encrypted_keys > 0;
        let by: Vec<String> =
            ["spec", "authorities", self.name.as_str(), "external"].map(str::to_owned).into();
        let how = NotAsDeclared::ExternalKeyHeld { path: self.copy.key.path.clone() };
        (self.wanted.external && holds_key).then(|| Finding::not_as_declared(how).decided_by(Some(&by)))
    }

    fn key_mismatch(&self, key: Sha256) -> Option<Finding> {
        // Where the certificate is missing, the one that all nodes together say will be written beside the key.
        let here = self.view.on_node(self.node).and_then(<[Certificate]>::first);
        let first = here.or_else(|| self.view.signer())?;
        if !first.facts().is_ca() {
            // Something else lies in the place of the certificate, which `not_a_ca` says; of the key that proves nothing.
            return None;
        }
        let certificate = first.facts().key.spki_sha256;
        let is_next = |succession: &CaRotation| {
            succession.successor.as_ref().is_some_and(|next| next.facts().key.spki_sha256 == key)
        };
        if self.succession.is_some_and(is_next) {
            return None;
        }
        (certificate != key).then(|| Finding::blocks(Reason::KeyMismatch { certificate, key }))
    }

    /// A key that is nowhere is kept elsewhere on purpose (external CA) or lost; either way it cannot be made again.
    fn key_missing(&self) -> Option<Finding> {
        if matches!(pem(self.facts, &self.copy.certificate.path), Err(Reason::Missing)) {
            // The whole authority is missing on this node, which the certificate's finding says.
            return None;
        }
        if self.wanted.external {
            return None;
        }
        if !self.view.keys.is_empty() {
            return Some(Finding::due(Reason::KeyMissing));
        }
        if self.view.unknown.is_empty() {
            return Some(Finding::note(Reason::AuthorityKeyLost));
        }
        let because = format!("whether {} holds the key of {}", self.view.unknown_nodes(), self.name);
        Some(Finding { effect: Effect::Unknown, reason: Reason::Unknown { because }, decided_by: None })
    }
}

fn bundle_duplicates(certificates: &[Certificate]) -> Vec<Option<Finding>> {
    let mut seen = BTreeSet::new();
    let mut twice = BTreeSet::new();
    for certificate in certificates {
        if !seen.insert(certificate.fingerprint()) {
            twice.insert(*certificate.fingerprint());
        }
    }
    let duplicates = twice.into_iter().map(|fingerprint| Reason::BundleDuplicates { fingerprint });
    duplicates.map(|reason| Some(Finding::due(reason))).collect()
}
