//! One CA in the place of another: which CA certificates have to go, and which one comes.
//!
//! What enters is what all nodes hold of an authority, what is wanted of it and the instant `now`; what leaves is which of its certificates go, each with the reason,
//! and the one that comes, where it is there already. Where a replacement stands is read from the certificates alone: there is no state beside them, so one that
//! was interrupted, or begun by hand, is found as it is. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use super::{AuthorityView, Finding, Reason};
use crate::desired::{Desired, DesiredAuthority};
use crate::spec::types::OnExpiry;
use crate::types::names::AuthorityName;
use crate::x509::chain::is_issued_by;
use crate::x509::{Certificate, Sha256};

/// A CA that takes the place of others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CaRotation {
    /// The certificates that go, by their digests, each with the finding that says why.
    pub leaving: BTreeMap<Sha256, (Certificate, Finding)>,
    /// The one that comes: the root that the spec names, or one that is there with its key; none while it has to be made.
    pub successor: Option<Certificate>,
}

impl CaRotation {
    /// The certificate that goes and issued this one, or one of those above it in its chain. Below the one that comes nothing needs what goes.
    pub fn issuer_that_goes(&self, certificate: &Certificate, chain: &[Certificate]) -> Option<&Certificate> {
        for below in line(certificate, chain) {
            let mut leaving = self.leaving.values().map(|(leaving, _)| leaving);
            if let Some(leaving) = leaving.find(|leaving| is_issued_by(below, leaving)) {
                return Some(leaving);
            }
            if self.comes_above(below) {
                return None;
            }
        }
        None
    }

    fn comes_above(&self, certificate: &Certificate) -> bool {
        self.successor.as_ref().is_some_and(|comes| is_issued_by(certificate, comes))
    }

    /// Whether it is one of the certificates that go, or the one that comes.
    pub fn knows(&self, certificate: &Certificate) -> bool {
        self.leaving.contains_key(certificate.fingerprint()) || self.successor.as_ref() == Some(certificate)
    }

    /// Whether only CAs of somebody else go, so that nothing has to come in their place.
    pub fn is_only_dropping(&self) -> bool {
        self.leaving.values().all(|(_, finding)| finding.is_of_stray())
    }

    /// Whether one of the certificates that go, or the one that comes, issued this one or one of those above it in its chain.
    pub fn issued(&self, certificate: &Certificate, chain: &[Certificate]) -> bool {
        self.issuer_that_goes(certificate, chain).is_some() || self.is_of_what_comes(certificate, chain)
    }

    /// Whether the one that comes issued this one or one of those above it in its chain.
    pub fn is_of_what_comes(&self, certificate: &Certificate, chain: &[Certificate]) -> bool {
        line(certificate, chain).into_iter().any(|below| self.comes_above(below))
    }
}

/// A certificate, and those of its chain above it, each of which issued the one before.
fn line<'c>(certificate: &'c Certificate, chain: &'c [Certificate]) -> Vec<&'c Certificate> {
    let mut line = vec![certificate];
    let mut at = certificate;
    while let Some(above) = chain.iter().find(|above| is_issued_by(at, above) && !line.contains(above)) {
        line.push(above);
        at = above;
    }
    line
}

/// What a CA may be called that takes the place of another one: by the day on which it is made, and numbered where that name is taken.
pub(crate) fn successor_names(own: &str, now: Timestamp) -> impl Iterator<Item = String> {
    let dated = format!("{own}-{}", now.strftime("%Y%m%d"));
    let first = dated.clone();
    std::iter::once(first).chain((2..).map(move |number: u32| format!("{dated}-{number}")))
}

/// Whether it is one of [`successor_names`] of any day.
fn is_successor_name(own: &str, name: &str) -> bool {
    let Some(dated) = name.strip_prefix(own).and_then(|rest| rest.strip_prefix('-')) else { return false };
    let (day, number) = dated.split_once('-').map_or((dated, None), |(day, number)| (day, Some(number)));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    day.len() == 8 && is_number(day) && number.is_none_or(is_number)
}

/// What takes the place of each authority that is being replaced.
///
/// It takes a look at every node, so it is worked out once for all that ask.
pub(super) fn successions(
    desired: &Desired,
    authorities: &BTreeMap<AuthorityName, AuthorityView>,
    now: Timestamp,
) -> BTreeMap<AuthorityName, CaRotation> {
    let of_authority = |(name, view): (&AuthorityName, &AuthorityView)| {
        Some((name.clone(), view.succession(desired.authorities.get(name)?, now)?))
    };
    authorities.iter().filter_map(of_authority).collect()
}

impl AuthorityView {
    /// Which of its certificates go, and which one comes; none where none has to go, or where it is none that can be replaced.
    fn succession(&self, wanted: &DesiredAuthority, now: Timestamp) -> Option<CaRotation> {
        let mut leaving: BTreeMap<Sha256, (Certificate, Finding)> = BTreeMap::new();
        for certificate in self.known().chain(self.further.iter()) {
            if let Some(finding) = self.leaves(certificate, wanted, now) {
                leaving.insert(*certificate.fingerprint(), (certificate.clone(), finding));
            }
        }
        // What nobody trusts any more has gone.
        if !leaving.values().any(|(held, _)| self.is_held(held)) {
            return None;
        }
        // Without a CA of somebody else it would trust the same, and nothing has to come.
        let only_drops = leaving.values().all(|(_, finding)| finding.is_of_stray());
        if only_drops {
            return Some(CaRotation { leaving, successor: self.signer().cloned() });
        }
        for (lost, finding) in self.lost(&leaving, wanted) {
            leaving.insert(*lost.fingerprint(), (lost, finding));
        }
        let root = wanted.root.as_ref().and_then(|root| root.certificate.clone());
        let successor = match wanted.source {
            Some(_) => root,
            None => self.successor(&leaving, now).cloned(),
        };
        Some(CaRotation { leaving, successor })
    }

    /// Why a CA certificate has to go.
    fn leaves(
        &self,
        certificate: &Certificate,
        wanted: &DesiredAuthority,
        now: Timestamp,
    ) -> Option<Finding> {
        let facts = certificate.facts();
        if let Some(because) = wanted.distrust.get(&format!("sha256:{}", certificate.fingerprint())) {
            let fingerprint = *certificate.fingerprint();
            let stray = self.is_strange(certificate) && self.signer() != Some(certificate);
            let reason = Reason::Distrusted { fingerprint, because: because.clone(), stray };
            // Nothing takes the place of a CA that is not etcd's alone, but one of somebody else has no place.
            return (self.domain.is_replaceable() || stray).then(|| Finding::due(reason));
        }
        if !self.domain.is_replaceable() {
            return None;
        }
        // What else is in a bundle is somebody's decision: only who signs, or would, is replaced for these reasons.
        if !self.signs(certificate) {
            return None;
        }
        if wanted.source.is_some() {
            let root = wanted.root.as_ref()?;
            let own = root.certificate.as_ref().filter(|own| *own != certificate)?;
            let (found, wanted_one) = (*certificate.fingerprint(), *own.fingerprint());
            let source = root.certificate_path.clone();
            let reason = Reason::RootDiffers { found, wanted: wanted_one, source };
            return Some(Finding::due(reason).decided_by(wanted.source.as_ref()?.by.as_ref()));
        }
        if wanted.on_expiry != OnExpiry::Replace {
            return None;
        }
        let cut_off = wanted.reissue_issued_before.as_ref();
        if let Some(cut_off) =
            cut_off.filter(|cut_off| facts.not_before < cut_off.value && cut_off.value <= now)
        {
            let reason = Reason::IssuedBefore { not_before: facts.not_before, cut_off: cut_off.value };
            return Some(Finding::due(reason).decided_by(cut_off.by.as_ref()));
        }
        let (not_after, renew_before) = (facts.not_after, wanted.renew_before.value);
        (now >= renew_before.before(not_after)).then(|| {
            Finding::due(Reason::ExpiresSoon { not_after, renew_before })
                .decided_by(wanted.renew_before.by.as_ref())
        })
    }

    /// Whether a node signs with it, or holds it for the time when it will.
    fn signs(&self, certificate: &Certificate) -> bool {
        self.certificates.values().any(|held| held.first() == Some(certificate))
            || self.is_staged(certificate)
    }

    /// Whether any node holds a CA certificate, in use or to come.
    pub(super) fn holds(&self, fingerprint: &Sha256) -> bool {
        let mut known = self.certificates.values().flatten().chain(self.staged.certificates.values());
        known.any(|held| held.fingerprint() == fingerprint)
    }

    /// Whether any node holds a key, in use or to come.
    pub(super) fn holds_key(&self, key: &Sha256) -> bool {
        self.keys.values().chain(self.staged.keys.values()).any(|held| held == key)
    }

    fn is_held(&self, certificate: &Certificate) -> bool {
        self.certificates.values().any(|held| held.contains(certificate))
            // One of its own goes out of further files together with the main one.
            || self.is_strange(certificate) && self.further.contains(certificate)
    }

    /// Every CA certificate of it on any node, each once.
    fn known(&self) -> impl Iterator<Item = &Certificate> {
        let all = self.certificates.values().flatten().chain(self.staged.certificates.values());
        all.collect::<BTreeSet<_>>().into_iter()
    }

    /// Those that were to come and whose keys are nowhere: they can sign nothing, and go with the others. Where another one waits in the place of one already, it is
    /// trusted still, and known by its name; whatever else is trusted without a key is somebody's decision.
    fn lost(
        &self,
        leaving: &BTreeMap<Sha256, (Certificate, Finding)>,
        wanted: &DesiredAuthority,
    ) -> Vec<(Certificate, Finding)> {
        let root = wanted.root.as_ref().and_then(|root| root.certificate.as_ref());
        let was_to_come = |known: &Certificate| {
            let name = known.facts().subject.common_name();
            let is_named_so = name.is_some_and(|name| is_successor_name(&wanted.subject.common_name, name));
            self.is_staged(known) || is_named_so && is_issued_by(known, known) && !self.signs(known)
        };
        let is_lost = |known: &&Certificate| {
            self.unknown.is_empty()
                && root != Some(*known)
                && !leaving.contains_key(known.fingerprint())
                && !self.holds_key_of(known)
                && was_to_come(known)
        };
        let lost = self.known().filter(is_lost);
        lost.map(|lost| {
            let fingerprint = *lost.fingerprint();
            (lost.clone(), Finding::due(Reason::SuccessorKeyLost { fingerprint }))
        })
        .collect()
    }

    fn is_staged(&self, certificate: &Certificate) -> bool {
        self.staged.certificates.values().any(|staged| staged == certificate)
    }

    fn holds_key_of(&self, certificate: &Certificate) -> bool {
        self.holds_key(&certificate.facts().key.spki_sha256)
    }

    /// The one that comes, of those that are there with their keys: one that waits beside the file before one in it, then the youngest.
    fn successor(
        &self,
        leaving: &BTreeMap<Sha256, (Certificate, Finding)>,
        now: Timestamp,
    ) -> Option<&Certificate> {
        let can_come = |known: &&Certificate| {
            let facts = known.facts();
            facts.is_ca()
                && facts.is_in_time(now)
                && !leaving.contains_key(known.fingerprint())
                && self.holds_key_of(known)
        };
        let known: Vec<&Certificate> = self.known().filter(can_come).collect();
        known
            .into_iter()
            .max_by_key(|known| (self.is_staged(known), known.facts().not_before, *known.fingerprint()))
    }
}
