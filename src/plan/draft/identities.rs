//! Deeds about identities: certificates with their keys.

use std::collections::BTreeSet;
use std::rc::Rc;

use crate::desired::{DesiredIdentity, DesiredNode};
use crate::diff::{Effect, Finding, IdentityView, Reason, in_the_way, linked_key};
use crate::formats::kubeconfig::{KubeconfigFacts, KubeconfigProblem, Material};
use crate::protocol::facts::NodeFacts;
use crate::types::certificate::{NewKeyAlgorithm, SubjectName, Usage};
use crate::types::names::{Address, AuthorityName, NodeName, Target};
use crate::types::non_empty::{NonEmpty, once};
use crate::types::storage::{FileSpec, Storage};
use crate::x509::issue::Refusal;
use crate::x509::{Certificate, ExtendedKeyUsage};

use super::{copies, shared};
use crate::plan::draft::Builder;
use crate::plan::known::advice::{help, not_mended};
use crate::plan::known::signer::Signer;
use crate::plan::{BACKDATE, Blocked, CaCertificates, Deed, Issue, KeySource, Why};

pub(crate) fn build(builder: &mut Builder<'_>, name: &NodeName, node: &DesiredNode, facts: &NodeFacts) {
    for (identity, wanted) in &node.identities {
        let address = Address { subject: Target::Identity(identity.clone()), node: name.clone() };
        let Some(view) = builder.held.identity(name, identity).cloned() else { continue };
        let model = view.certificate.clone();
        let case = Case { name, node, wanted, storage: &wanted.storage, facts, view, model, address };
        if wanted.shared {
            shared::build(builder, case, identity);
        } else {
            case.build(builder);
        }
        copies::of_identity(builder, (identity, wanted), name, node, facts);
    }
}

/// One place of one identity on one node.
pub(crate) struct Case<'a> {
    pub(crate) name: &'a NodeName,
    pub(crate) node: &'a DesiredNode,
    pub(crate) wanted: &'a DesiredIdentity,
    pub(crate) storage: &'a Storage,
    pub(crate) facts: &'a NodeFacts,
    /// What is there.
    pub(crate) view: Rc<IdentityView>,
    /// The certificate whose names, subject and usages a new one keeps.
    pub(crate) model: Option<Certificate>,
    pub(crate) address: Address,
}

impl Case<'_> {
    fn build(&self, builder: &mut Builder<'_>) {
        let findings = builder.findings(&self.address).to_vec();
        let mut reasons: Vec<Finding> = findings
            .iter()
            .filter(|finding| finding.effect == Effect::Due && finding.reason.reissues())
            .filter(|finding| !builder.is_waited_for(&self.address, finding))
            .cloned()
            .collect();
        reasons.extend(self.issued_by_the_other(builder));
        reasons.extend(builder.input.asked_for(&self.address));
        if reasons.is_empty() {
            self.update_trust(builder, &trust(&findings));
        } else if !self.is_blocked(builder, &findings) {
            match self.kubelets_own_file() {
                Some(storage) => {
                    let view = Rc::new(IdentityView::clone(&self.view));
                    let (model, address) = (self.model.clone(), self.address.clone());
                    let own = Case { storage: &storage, view, model, address, ..*self };
                    own.write_new(builder, reasons);
                    self.update_trust(builder, &trust(&findings));
                }
                None => {
                    reasons.extend(trust(&findings));
                    self.write_new(builder, reasons);
                }
            }
        }
    }

    /// The file to which a kubelet has pointed its kubeconfig. With what lies there it cannot ask for another certificate any more, else it would be left to it; with a
    /// new one in the same place it goes on as before (kubeadm#2054).
    fn kubelets_own_file(&self) -> Option<Storage> {
        let Storage::Kubeconfig { file, rotated: Some(path), .. } = self.storage else { return None };
        let (_, user) = self.kubeconfig().and_then(KubeconfigFacts::current)?;
        let is_it =
            |material: &Material| matches!(material, Material::File { path: named, .. } if named == path);
        let is_there = self.facts.files.get(path).and_then(|seen| seen.present()).is_some();
        (is_there && is_it(&user.certificate) && is_it(&user.key))
            .then(|| Storage::Combined { file: FileSpec { path: path.clone(), ..file.clone() } })
    }

    /// Issues it, or says why not.
    pub(crate) fn write_new(&self, builder: &mut Builder<'_>, reasons: Vec<Finding>) {
        if let Some(obstacle) = self.other_credentials() {
            let why = reasons.iter().map(|finding| builder.why(finding)).collect();
            return self.stopped(builder, obstacle, why);
        }
        if let Some(elsewhere) = self.signed_elsewhere(builder) {
            return self.have_signed(builder, elsewhere, &reasons);
        }
        let why: Vec<Why> = reasons.iter().map(|finding| builder.why(finding)).collect();
        match self.issue(builder, &reasons) {
            Ok(issue) => {
                let replaces = issue.before.is_some();
                builder.add(self.address.clone(), Deed::IssueIdentity(Box::new(issue)), why, replaces);
            }
            Err(obstacle) => self.stopped(builder, obstacle, why),
        }
    }

    /// A certificate beside a token or a program would be taken first by the API server: its user would become another one without a word.
    fn other_credentials(&self) -> Option<NotIssued> {
        let by = self.view.other_credentials?;
        let path = self.storage.certificate_path();
        Some(NotIssued::Elsewhere(
            format!("the credentials in {path} come from {by}, so no certificate is written into it"),
            format!(
                "to have a certificate there, remove {path} on {} first: the next plan creates it",
                self.name
            ),
        ))
    }

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
                !builder.is_recovered(&self.address, finding) && !builder.is_lifted(&self.address, finding)
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
        match (builder.held.authorities.get(authority).and_then(|view| view.signer()), signer) {
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

    fn issue(&self, builder: &Builder<'_>, reasons: &[Finding]) -> Result<Issue, NotIssued> {
        let authority = self.wanted.authority.clone().ok_or_else(|| {
            NotIssued::Blocked("it signs itself, and pki does not make such certificates".to_owned(), None)
        })?;
        self.can_be_written()?;
        let signer = self.signer(builder, &authority)?;
        self.authority_is_sound(builder, &authority, &signer.node)?;
        let old = self.model.as_ref();
        let now = builder.input.now;
        let declared_end = self.wanted.validity.value.after(now);
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
        let back_dated = BACKDATE.before(now);
        let (dns, ip) = self.names(builder, old)?;
        let is_one_of_two = builder.stays(&authority).is_some();
        let lacks = reasons.iter().any(|finding| matches!(finding.reason, Reason::BundleLacks { .. }));
        let trusted = self.trusted_if_needed(builder, lacks || is_one_of_two);
        let issuer = signer.certificate.clone();
        let issue = Issue {
            subject: self.subject(old)?,
            usages: self.usages(old),
            told: self.told((&dns, &ip)),
            dns,
            ip,
            not_before: cut_off.map_or(back_dated, |cut_off| back_dated.max(cut_off)),
            not_after,
            clamped: signer.not_after < declared_end,
            key: self.key(old, reasons),
            storage: self.storage.clone(),
            // A node without a copy of the authority's certificate checks against the signer's, which apply brings along.
            verified_by: self.verified_by(),
            trusted,
            chain: self.chain(&authority, &signer),
            before: self.view.certificate.clone(),
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

    fn kubeconfig(&self) -> Option<&KubeconfigFacts> {
        let Storage::Kubeconfig { file, .. } = self.storage else { return None };
        self.facts.files.get(&file.path)?.present()?.content.kubeconfig()
    }

    /// Whether files can take the place of what is there.
    pub(crate) fn can_be_written(&self) -> Result<(), NotIssued> {
        let mut files = self.storage.files().into_iter();
        if let Some(lies_there) = files.find_map(|file| in_the_way(self.facts, &file.path)) {
            let (because, help) = not_mended(&lies_there, &self.address.subject);
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

    fn signer(&self, builder: &Builder<'_>, authority: &AuthorityName) -> Result<Signer, NotIssued> {
        if let Some(signer) = builder.sources.signers.get(authority) {
            return Ok(signer.clone());
        }
        let external = builder
            .input
            .survey
            .desired
            .authorities
            .get(authority)
            .is_some_and(|authority| authority.external);
        let view = builder.held.authorities.get(authority);
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
}

/// No run could issue it, so none is begun: what else is due on its node is done.
fn cannot_be_issued(authority: &AuthorityName, refusal: &Refusal) -> NotIssued {
    NotIssued::Elsewhere(
        format!("no certificate of {authority} can say this: {refusal}"),
        format!("change what the spec asks for, or replace {authority} by a CA that may issue it"),
    )
}

/// The findings that a kubeconfig's own CA certificates are not right.
pub(crate) fn trust(findings: &[Finding]) -> Vec<Finding> {
    let is_trust = |finding: &&Finding| {
        finding.effect == Effect::Due && matches!(finding.reason, Reason::BundleLacks { .. })
    };
    findings.iter().filter(is_trust).cloned().collect()
}

/// Why an identity is not issued.
pub(crate) enum NotIssued {
    /// Somebody else signs; why and what to do.
    Elsewhere(String, String),
    /// It cannot be done; why and the way out.
    Blocked(String, Option<String>),
}
