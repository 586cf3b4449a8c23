//! One place of one certificate: what it should say, whether it can be written, and what keeps it from that.
//!
//! What enters is what should be in the place and what is; what leaves are the parts of a new certificate, or an [`NotIssued`]. Of what a node holds nothing is kept that no
//! CA in use vouches for, and whose word each value is stays known. Which deed it becomes is decided in the files beside this one. Pure.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use crate::desired::{DesiredIdentity, DesiredNode, Dispute, Told};
use crate::diff::{Effect, Finding, IdentityView, Reason, in_the_way, linked_key};
use crate::formats::kubeconfig::{KubeconfigFacts, KubeconfigProblem, Material};
use crate::plan::known::advice::{help, not_mended};
use crate::plan::known::builder::Builder;
use crate::plan::known::foreign_cas::stranger;
use crate::plan::rotation::split_ca::is_recovered;
use crate::plan::{Blocked, CaCertificates, Deed, KeySource, Why};
use crate::protocol::facts::NodeFacts;
use crate::types::certificate::{NewKeyAlgorithm, SubjectName, Usage};
use crate::types::names::{Address, AuthorityName, NodeName, Target};
use crate::types::non_empty::{NonEmpty, once};
use crate::types::storage::Storage;
use crate::x509::chain::is_issued_by;
use crate::x509::{Certificate, ExtendedKeyUsage};

/// Most certificates between a leaf and its CA that are followed upwards.
const LONGEST_CHAIN: usize = 8;

/// One place of one identity on one node.
pub(crate) struct Case<'a> {
    pub(crate) name: &'a NodeName,
    pub(crate) node: &'a DesiredNode,
    pub(crate) wanted: &'a DesiredIdentity,
    pub(crate) storage: &'a Storage,
    pub(crate) facts: &'a NodeFacts,
    /// What is there.
    pub(crate) view: Arc<IdentityView>,
    /// The certificate whose names, subject and usages a new one keeps.
    pub(crate) model: Option<Certificate>,
    pub(crate) address: Address,
}

/// Why an identity is not issued.
pub(crate) enum NotIssued {
    /// Somebody else signs; why and what to do.
    Elsewhere(String, String),
    /// It cannot be done; why and the way out.
    Blocked(String, Option<String>),
}

impl NotIssued {
    /// Nodes contradict each other about a value, so nobody guesses.
    pub(crate) fn of(dispute: &Dispute) -> Self {
        Self::Blocked(dispute.because.clone(), Some(dispute.help.clone()))
    }
}

impl Case<'_> {
    /// Says why something is not done. Where the user asked for it by name, that blocks: a run that leaves it out has not done what it was told.
    pub(crate) fn stopped(&self, builder: &mut Builder<'_>, obstacle: NotIssued, findings: Vec<Why>) {
        let address = self.address.clone();
        let is_asked = findings.iter().any(|why| why.finding.reason == Reason::Requested);
        match obstacle {
            NotIssued::Elsewhere(because, help) if is_asked => {
                builder.draft.blocked.push(Blocked { address, because, help: Some(help), findings });
            }
            NotIssued::Elsewhere(because, help) => {
                builder.draft.elsewhere.push(Blocked { address, because, help: Some(help), findings });
            }
            NotIssued::Blocked(because, help) => {
                builder.draft.blocked.push(Blocked { address, because, help, findings });
            }
        }
    }

    /// Whether a finding about the identity itself forbids touching it; the user was told by `note_everything`.
    pub(crate) fn is_blocked(&self, builder: &Builder<'_>, findings: &[Finding]) -> bool {
        findings.iter().any(|finding| match finding.effect {
            Effect::Unknown => true,
            Effect::Blocks => {
                !is_recovered(builder, &self.address, finding) && !builder.is_lifted(&self.address, finding)
            }
            Effect::Due | Effect::Note => false,
        })
    }

    pub(crate) fn update_trust(&self, builder: &mut Builder<'_>, trust: &[Finding]) {
        let Storage::Kubeconfig { file, trusts, .. } = self.storage else { return };
        if trust.is_empty() {
            return;
        }
        let Some(trusted) = self.trusted(builder, trusts) else { return };
        let before =
            self.view.trusted.iter().flatten().map(|certificate| *certificate.fingerprint()).collect();
        let why = trust.iter().map(|finding| builder.why(finding)).collect();
        let deed = Deed::UpdateKubeconfig { file: file.clone(), trusted, before };
        builder.add(self.address.clone(), deed, why, true);
    }

    /// The CA certificates that a kubeconfig should hold: the authority's own bundle on this node, as it will be.
    fn trusted(&self, builder: &Builder<'_>, authority: &AuthorityName) -> Option<CaCertificates> {
        if let Some(stays) = builder.stays(authority) {
            return Some(CaCertificates::Certificates(NonEmpty::one(stays.clone())));
        }
        let signer = builder.sources.signers.get(authority);
        match (builder.input.differences.authorities().get(authority).and_then(|view| view.signer()), signer)
        {
            (Some(certificate), _) => {
                // What the kubeconfig trusts besides is somebody's decision: trust is never dropped by itself.
                let held = self.view.trusted.iter().flatten().filter(|held| *held != certificate);
                let besides = once(held.cloned());
                Some(CaCertificates::Certificates(NonEmpty::with_first(certificate.clone(), besides)))
            }
            (None, Some(_)) => Some(CaCertificates::Made(authority.clone())),
            (None, None) => None,
        }
    }

    /// The file with the authority's certificates on this node.
    pub(crate) fn verified_by(&self) -> String {
        let authority = self.wanted.authority.as_ref();
        let copy = authority.and_then(|authority| self.node.authorities.get(authority));
        copy.map(|copy| copy.certificate.path.clone()).unwrap_or_default()
    }

    /// A kubeconfig that is made anew, or lacks the authority, gets the CA certificates too.
    pub(crate) fn trusted_if_needed(&self, builder: &Builder<'_>, lacks: bool) -> Option<CaCertificates> {
        let Storage::Kubeconfig { trusts, .. } = self.storage else { return None };
        // One that names a file of CA certificates trusts what is in that file, and goes on doing so.
        let names_file = self
            .kubeconfig()
            .and_then(KubeconfigFacts::current)
            .is_some_and(|(cluster, _)| matches!(cluster.authority, Material::File { .. }));
        let unread = self.view.trusted.is_none() && !names_file;
        (lacks || unread).then(|| self.trusted(builder, trusts)).flatten()
    }

    pub(super) fn kubeconfig(&self) -> Option<&KubeconfigFacts> {
        let Storage::Kubeconfig { file, .. } = self.storage else { return None };
        // One that could not be read is a finding, which blocks before anything is written.
        self.facts.files.get(&file.path)?.known().ok()??.content.kubeconfig()
    }

    /// Whether files can take the place of what is there.
    pub(crate) fn can_be_written(&self) -> Result<(), NotIssued> {
        let mut files = self.storage.files().into_iter();
        if let Some(lies_there) = files.find_map(|file| in_the_way(self.facts, &file.path)) {
            let (because, help) = not_mended(&lies_there, &self.address.target);
            return Err(NotIssued::Elsewhere(format!("{because}: {lies_there}"), help));
        }
        if let Some(Finding { reason, .. }) = linked_key(self.storage, self.facts).first() {
            let way_out = help(reason, &self.address).unwrap_or_default();
            return Err(NotIssued::Elsewhere(reason.to_string(), way_out));
        }
        self.kubeconfig_can_be_edited()
    }

    /// Only data that a kubeconfig itself holds are changed, in the place where they stand.
    fn kubeconfig_can_be_edited(&self) -> Result<(), NotIssued> {
        let Storage::Kubeconfig { file, server, .. } = self.storage else { return Ok(()) };
        if server.is_none() && self.view.form_is_absent() {
            if let Some(dispute) = &self.wanted.server_disputed {
                return Err(NotIssued::of(dispute));
            }
            return Err(NotIssued::Blocked(
                "the API server's address is not known, so the kubeconfig cannot be made".to_owned(),
                Some("declare spec.cluster.controlPlaneEndpoint, or the node's address".to_owned()),
            ));
        }
        // What is none was told as foreign; where it may go all the same, another one is made.
        let Some(config) = self.kubeconfig().filter(|config| !config.is_foreign()) else { return Ok(()) };
        if let Some(problem) = config.incurable() {
            return Err(NotIssued::Elsewhere(
                format!("{} {problem}, so Kubernetes would refuse it with a new certificate too", file.path),
                format!("edit {} on {}, or move it away: the next plan makes it anew", file.path, self.name),
            ));
        }
        let is_empty = config.problems.contains(&KubeconfigProblem::Empty);
        let named = match config.current() {
            None if is_empty => return Ok(()),
            None => {
                return Err(NotIssued::Elsewhere(
                    format!("{} does not lead to a user whose certificate could be written", file.path),
                    format!("move {} away on {}: the next plan makes it anew", file.path, self.name),
                ));
            }
            Some((_, user)) => {
                [&user.certificate, &user.key].into_iter().find_map(|material| match material {
                    Material::File { path, .. } => Some(path),
                    Material::Absent | Material::Embedded(_) | Material::Undecodable => None,
                })
            }
        };
        match named {
            None => Ok(()),
            Some(named) => Err(NotIssued::Elsewhere(
                format!("{} names the file {named}, which belongs to another program", file.path),
                format!(
                    "have that program renew it; or move {} and {named} away on {}: the next plan makes the kubeconfig anew, and its program has to be restarted then",
                    file.path, self.name
                ),
            )),
        }
    }

    /// The subject that it has, if that is right; else the one that it should have.
    pub(crate) fn subject(&self, old: Option<&Certificate>) -> Result<SubjectName, NotIssued> {
        let held = old.map(|certificate| &certificate.facts().subject);
        let accepted =
            held.and_then(|held| self.wanted.accepted_subjects.iter().find(|subject| held.is(subject)));
        accepted.or(self.wanted.subject.as_ref()).cloned().ok_or_else(|| {
            NotIssued::Blocked(
                "its subject depends on the Kubernetes version, which is not known".to_owned(),
                Some("declare spec.kubernetesVersion".to_owned()),
            )
        })
    }

    /// What it should be usable for, and what it is usable for at present: somebody may rely on that.
    pub(crate) fn usages(&self, old: Option<&Certificate>) -> BTreeSet<Usage> {
        let held = old.and_then(|certificate| certificate.facts().extended_key_usages.as_ref());
        let mut usages = self.wanted.usages.clone();
        for (extended, usage) in
            [(ExtendedKeyUsage::ServerAuth, Usage::Server), (ExtendedKeyUsage::ClientAuth, Usage::Client)]
        {
            if held.is_some_and(|held| held.contains(&extended)) {
                usages.insert(usage);
            }
        }
        usages
    }

    pub(crate) fn key(&self, old: Option<&Certificate>, reasons: &[Finding]) -> KeySource {
        let unusable = reasons.iter().any(|finding| {
            matches!(
                finding.reason,
                Reason::KeyMismatch { .. }
                    | Reason::KeyMissing
                    | Reason::KeyEncrypted { .. }
                    | Reason::KeyAlgorithmDiffers { .. }
                    | Reason::Missing
            ) || finding.effect == Effect::Due && matches!(finding.reason, Reason::WeakKey { .. })
        });
        if let (true, false, Some(spki)) = (self.wanted.reuse_key, unusable, self.view.key) {
            return KeySource::Kept(spki);
        }
        let declared = self.wanted.key_algorithm.as_ref().map(|algorithm| algorithm.value);
        let found = old.and_then(|certificate| NewKeyAlgorithm::of_key(&certificate.facts().key.algorithm));
        KeySource::New(declared.or(found).unwrap_or(NewKeyAlgorithm::Rsa2048))
    }

    /// The names that it should have, and those that it has now unless the spec excludes them: people add load balancers by hand. Of a certificate that
    /// no CA in use vouches for nothing is kept: whoever may write the file could have put any name into it.
    pub(crate) fn names(
        &self,
        builder: &Builder<'_>,
        old: Option<&Certificate>,
    ) -> Result<(BTreeSet<String>, BTreeSet<IpAddr>), NotIssued> {
        let wanted = &self.wanted.names;
        let (mut dns, mut ip) = (wanted.dns.clone(), wanted.ip.clone());
        if let Some(dispute) = &wanted.disputed {
            return Err(NotIssued::of(dispute));
        }
        let old = old.filter(|old| self.is_vouched_for(builder, old));
        match old {
            Some(old) if !wanted.exact => {
                let held = &old.facts().names;
                let known: BTreeSet<String> = dns.iter().map(|name| name.to_ascii_lowercase()).collect();
                dns.extend(
                    held.dns.iter().filter(|name| !known.contains(&name.to_ascii_lowercase())).cloned(),
                );
                ip.extend(held.ip.iter().copied());
            }
            Some(_) => {}
            None if !wanted.unresolved.is_empty() => {
                let unresolved: Vec<&str> = wanted.unresolved.iter().map(String::as_str).collect();
                return Err(NotIssued::Blocked(
                    format!("some of its names are not known: {}", unresolved.join(", ")),
                    Some(
                        "declare spec.cluster (controlPlaneEndpoint, serviceSubnet) and the node's address"
                            .to_owned(),
                    ),
                ));
            }
            None => {}
        }
        Ok((dns, ip))
    }

    /// Whether a certificate was issued under a CA that is in use: the one that signs, one that goes, or one that every node trusts.
    fn is_vouched_for(&self, builder: &Builder<'_>, old: &Certificate) -> bool {
        let Some(authority) = &self.wanted.authority else { return true };
        let Some(view) = builder.input.differences.authorities().get(authority) else { return false };
        let are_mixed = builder.stays(authority).is_some();
        let everywhere = view.certificates.values().flatten().filter(|certificate| {
            are_mixed || view.certificates.values().all(|held| held.contains(certificate))
        });
        let replacement = builder.replacements.get(authority);
        let leaving = replacement.into_iter().flat_map(|replacement| replacement.succession.leaving.values());
        let in_use: Vec<&Certificate> =
            view.signer().into_iter().chain(leaving.map(|(leaving, _)| leaving)).chain(everywhere).collect();
        let mut below = old;
        for _ in 0..LONGEST_CHAIN {
            if in_use.iter().any(|issuer| is_issued_by(below, issuer)) {
                return true;
            }
            match self.view.chain.iter().find(|above| *above != below && is_issued_by(below, above)) {
                Some(above) => below = above,
                None => return false,
            }
        }
        false
    }

    /// What comes into a certificate or kubeconfig by the word of a node, and is not in it yet.
    pub(crate) fn told(&self, (dns, ip): (&BTreeSet<String>, &BTreeSet<IpAddr>)) -> Vec<Told> {
        let held = self.view.certificate.as_ref().map(|held| &held.facts().names);
        let names = self.wanted.names.told.iter().filter(|(text, _)| match text.parse::<IpAddr>() {
            Ok(address) => ip.contains(&address) && !held.is_some_and(|held| held.ip.contains(&address)),
            Err(_) => dns.contains(*text) && !held.is_some_and(|held| held.dns.contains(*text)),
        });
        names.map(|(_, word)| word.clone()).chain(self.server_told()).collect()
    }

    /// Whose word it is where a kubeconfig leads that is made new.
    pub(crate) fn server_told(&self) -> Option<Told> {
        let Storage::Kubeconfig { server: Some(server), .. } = self.storage else { return None };
        self.wanted.server_told.clone().filter(|told| told.value == *server && self.view.form_is_absent())
    }

    /// What is wrong with the authority here or where it signs forbids issuing from it.
    pub(crate) fn authority_is_sound(
        &self,
        builder: &Builder<'_>,
        authority: &AuthorityName,
        other: &NodeName,
    ) -> Result<(), NotIssued> {
        if let Some(stranger) = stranger(builder, authority, other) {
            return Err(NotIssued::Elsewhere(
                format!("nothing is signed on {other} while this is so: {}", stranger.reason),
                "do first what is said of that CA, and plan again".to_owned(),
            ));
        }
        for node in BTreeSet::from([self.name, other]) {
            let address = Address::on(Target::Authority(authority.clone()), node);
            let findings = builder.input.differences.of(&address);
            let grave = findings.iter().find(|finding| {
                matches!(finding.effect, Effect::Blocks | Effect::Unknown)
                    && !is_recovered(builder, &address, finding)
                    && !finding.is_foreign_ca()
            });
            if let Some(grave) = grave {
                return Err(NotIssued::Blocked(format!("{address}: {}", grave.reason), None));
            }
        }
        Ok(())
    }
}

/// The findings that a kubeconfig's own CA certificates are not right.
pub(crate) fn trust(findings: &[Finding]) -> Vec<Finding> {
    let is_trust = |finding: &&Finding| {
        finding.effect == Effect::Due && matches!(finding.reason, Reason::BundleLacks { .. })
    };
    findings.iter().filter(is_trust).cloned().collect()
}
