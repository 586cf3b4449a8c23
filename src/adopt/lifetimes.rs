//! How long certificates live and which keys they have, as a person would have written it.
//!
//! A span is not always what it seems: kubeadm's certificates begin with their CA (kubeadm `NewSignedCert`, all versions), so what one says that was renewed after
//! ten months is valid for 22. There the time at which the file was written tells when the certificate was made.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Draft, Evidence, Inventory};
use crate::diff::Differences;
use crate::spec::types::Defaults;
use crate::types::certificate::NewKeyAlgorithm;
use crate::types::duration::Duration;
use crate::types::names::{AuthorityName, IdentityName};
use crate::types::profile_name::ProfileName;
use crate::x509;
use crate::x509::Certificate;

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
const YEAR: u64 = 365 * DAY;

/// Issuers begin certificates a little before they make them, up to an hour, so that clocks that run behind accept them.
const BACKDATED: u64 = 2 * HOUR;

/// StarlingX's nightly job renews what has fifteen days to live (stx-puppet kube-cert-rotation.sh).
const STARLINGX_WINDOW: Duration = Duration::from_days(15);

/// Declares lifetimes and algorithms: the most common ones as defaults, and what differs.
pub(super) fn adopt(draft: &mut Draft, sight: &Evidence<'_>, differences: &Differences) {
    let views = differences.authorities();
    let mut leaves: BTreeMap<IdentityName, Leaf> = BTreeMap::new();
    for (name, held) in sight.identities() {
        // What kubelets renew by themselves follows the cluster's signer and not the spec.
        if held.iter().any(|held| held.wanted.rotated_by_kubelet) {
            continue;
        }
        let seen: Vec<Seen> = held.iter().filter_map(|held| seen(held, differences)).collect();
        if let Some(leaf) = Leaf::of(&seen) {
            leaves.insert(name, leaf);
        }
    }
    let authorities: BTreeMap<&AuthorityName, &Certificate> =
        views.iter().filter_map(|(name, view)| Some((name, view.signer()?))).collect();
    validity(draft, sight, &leaves);
    authority_validity(draft, sight, &leaves, &authorities);
    key_algorithm(draft, &leaves, &authorities);
    windows(draft);
}

/// What one certificate tells.
struct Seen {
    validity: Duration,
    algorithm: Option<NewKeyAlgorithm>,
    authority: Option<AuthorityName>,
}

/// What all certificates of one name tell.
struct Leaf {
    count: usize,
    validity: Duration,
    /// None where they differ, or where it is one that is not made any more.
    algorithm: Option<NewKeyAlgorithm>,
    authority: Option<AuthorityName>,
}

impl Leaf {
    fn of(seen: &[Seen]) -> Option<Self> {
        let first = seen.first()?;
        let is_alike = seen.iter().all(|seen| seen.algorithm == first.algorithm);
        Some(Self {
            count: seen.len(),
            validity: most_common(seen.iter().map(|seen| (seen.validity, 1)))?,
            algorithm: first.algorithm.filter(|_| is_alike),
            authority: first.authority.clone(),
        })
    }
}

fn seen(held: &Inventory<'_>, differences: &Differences) -> Option<Seen> {
    let certificate = differences.identity(held.node, held.own)?.certificate.as_ref()?;
    let path = held.wanted.storage.certificate_path();
    // The certificate was read, so its file was.
    let file = held.facts.files.get(path).and_then(|seen| seen.known().ok()?);
    let written = file.map(|file| file.modified);
    let authority = held.wanted.authority.clone();
    let issuer = authority.as_ref().and_then(|name| differences.authorities().get(name)?.signer());
    let facts = certificate.facts();
    let begins_with_issuer = issuer.is_some_and(|issuer| {
        // kubeadm before 1.28 wrote the CA's own beginning, later ones five minutes before (k8s#118922).
        seconds(issuer.facts().not_before, facts.not_before) <= 600
    });
    Some(Seen {
        validity: validity_of(facts.not_before, facts.not_after, written.filter(|_| begins_with_issuer)),
        algorithm: algorithm_of(certificate),
        authority,
    })
}

/// How long a certificate was made to live. `written` is when its file was, for one that begins with its CA.
fn validity_of(not_before: Timestamp, not_after: Timestamp, written: Option<Timestamp>) -> Duration {
    let span = seconds(not_before, not_after);
    let since_written = written
        .filter(|written| (not_before..not_after).contains(written))
        .map(|written| seconds(written, not_after));
    let years = since_written.and_then(whole_years).or_else(|| whole_years(span));
    years.unwrap_or_else(|| plain(since_written.filter(|since| plain(*since) != plain(span)).unwrap_or(span)))
}

fn seconds(from: Timestamp, until: Timestamp) -> u64 {
    until.as_second().saturating_sub(from.as_second()).unsigned_abs()
}

/// Whole years of 365 days, with or without the days that a calendar adds.
fn whole_years(span: u64) -> Option<Duration> {
    let years = span.saturating_add(BACKDATED) / YEAR;
    let rest = span.saturating_add(BACKDATED) % YEAR;
    let leap_days = (years / 4).saturating_add(1).saturating_mul(DAY);
    (years > 0 && rest <= leap_days.saturating_add(BACKDATED))
        .then(|| Duration::from_seconds(years.saturating_mul(YEAR)))
}

/// Whole days, or whole hours of what lives shorter than two days.
fn plain(span: u64) -> Duration {
    let unit = if span >= 2 * DAY { DAY } else { HOUR };
    // Half a unit up, as people count.
    let whole = span.saturating_add(unit / 2) / unit;
    Duration::from_seconds(whole.max(1).saturating_mul(unit))
}

fn algorithm_of(certificate: &Certificate) -> Option<NewKeyAlgorithm> {
    match certificate.facts().key.algorithm {
        x509::KeyAlgorithm::Rsa { bits: 2048 } => Some(NewKeyAlgorithm::Rsa2048),
        x509::KeyAlgorithm::Rsa { bits: 3072 } => Some(NewKeyAlgorithm::Rsa3072),
        x509::KeyAlgorithm::Rsa { bits: 4096 } => Some(NewKeyAlgorithm::Rsa4096),
        x509::KeyAlgorithm::EcdsaP256 => Some(NewKeyAlgorithm::EcdsaP256),
        x509::KeyAlgorithm::EcdsaP384 => Some(NewKeyAlgorithm::EcdsaP384),
        x509::KeyAlgorithm::Ed25519 => Some(NewKeyAlgorithm::Ed25519),
        x509::KeyAlgorithm::Rsa { .. } | x509::KeyAlgorithm::EcdsaP521 | x509::KeyAlgorithm::Other(_) => None,
    }
}

/// The value that most have; of equally common ones the largest.
fn most_common<T: Ord + Copy>(values: impl Iterator<Item = (T, usize)>) -> Option<T> {
    let mut counts: BTreeMap<T, usize> = BTreeMap::new();
    for (value, count) in values {
        let entry = counts.entry(value).or_default();
        *entry = entry.saturating_add(count);
    }
    counts.into_iter().max_by_key(|(value, count)| (*count, *value)).map(|(value, _)| value)
}

fn validity(draft: &mut Draft, sight: &Evidence<'_>, leaves: &BTreeMap<IdentityName, Leaf>) {
    let intended = sight.config.and_then(|config| config.validity);
    let common = most_common(leaves.values().map(|leaf| (leaf.validity, leaf.count)));
    let Some(default) = intended.or(common) else { return };
    let with_it =
        leaves.values().filter(|leaf| leaf.validity == default).map(|leaf| leaf.count).sum::<usize>();
    let all = leaves.values().map(|leaf| leaf.count).sum::<usize>();
    draft.comments.say(&["defaults", "validity"], format!("that of {with_it} of {all} certificates"));
    draft.spec.spec.defaults.validity = default;
    for (name, leaf) in leaves {
        let differs = leaf.validity != default;
        if differs {
            let from = "from the beginning to the end of its certificate";
            draft.comments.say(&["certificates", name.as_str(), "validity"], from);
        }
        if differs || draft.spec.spec.certificates.contains_key(name) {
            draft.certificate(name).validity = differs.then_some(leaf.validity);
        }
    }
}

fn authority_validity(
    draft: &mut Draft,
    sight: &Evidence<'_>,
    leaves: &BTreeMap<IdentityName, Leaf>,
    authorities: &BTreeMap<&AuthorityName, &Certificate>,
) {
    let longest_leaf = |name: &AuthorityName| {
        let issued = leaves.values().filter(|leaf| leaf.authority.as_ref() == Some(name));
        issued.map(|leaf| leaf.validity).max().unwrap_or_default()
    };
    let default_leaf = draft.spec.spec.defaults.validity;
    let mut lengths: BTreeMap<&AuthorityName, (Duration, bool)> = BTreeMap::new();
    for (name, certificate) in authorities {
        let facts = certificate.facts();
        let found = validity_of(facts.not_before, facts.not_after, None);
        let needed = longest_leaf(name).max(default_leaf);
        lengths.insert(name, (found.max(needed), needed > found));
    }
    let intended = sight.config.and_then(|config| config.authority_validity);
    let common = most_common(lengths.values().map(|(length, _)| (*length, 1)));
    let Some(default) = intended.or(common) else { return };
    // A default shorter than what is issued would be refused, for authorities that are not made yet too.
    let default = default.max(default_leaf);
    draft.spec.spec.defaults.authority_validity = default;
    let with_it = lengths.values().filter(|(length, _)| *length == default).count();
    let as_found = format!("that of {with_it} of {} CAs", lengths.len());
    let longer =
        "the CA ends before what it issued, which a spec cannot ask for: as long as its longest certificate";
    let any_longer = lengths.values().any(|(length, is_longer)| *is_longer && *length == default);
    draft
        .comments
        .say(&["defaults", "authorityValidity"], if any_longer { longer.to_owned() } else { as_found });
    for (name, (length, is_longer)) in lengths {
        let differs = length != default;
        if differs {
            let from = if is_longer { longer } else { "from the beginning to the end of its certificate" };
            draft.comments.say(&["authorities", name.as_str(), "validity"], from);
        }
        if differs || draft.spec.spec.authorities.contains_key(name) {
            let own = draft.spec.spec.authorities.entry(name.clone()).or_default();
            own.validity = differs.then_some(length);
        }
    }
}

/// A declared algorithm makes every other one a finding, so none is where one of them cannot be declared.
fn key_algorithm(
    draft: &mut Draft,
    leaves: &BTreeMap<IdentityName, Leaf>,
    authorities: &BTreeMap<&AuthorityName, &Certificate>,
) {
    let known: Option<Vec<(NewKeyAlgorithm, usize)>> =
        leaves.values().map(|leaf| Some((leaf.algorithm?, leaf.count))).collect();
    let Some(known) = known else {
        let odd = leaves.iter().filter(|(_, leaf)| leaf.algorithm.is_none());
        let odd: Vec<&str> = odd.map(|(name, _)| name.as_str()).collect();
        draft.remark(format!(
            "the keys of {} are of several algorithms, or of one that pki does not make: none is declared, and renewals keep what they find",
            odd.join(", ")
        ));
        return;
    };
    let Some(default) = most_common(known.into_iter()) else { return };
    draft.spec.spec.defaults.key_algorithm = Some(default);
    for (name, leaf) in leaves.iter().filter(|(_, leaf)| leaf.algorithm != Some(default)) {
        draft.certificate(name).key_algorithm = leaf.algorithm;
    }
    for (name, certificate) in authorities {
        let own = algorithm_of(certificate).filter(|own| *own != default);
        if own.is_some() {
            let authority = draft.spec.spec.authorities.entry((*name).clone()).or_default();
            authority.key_algorithm = own;
        }
    }
}

/// When things are renewed, which no certificate tells: before their end, and never on every run.
fn windows(draft: &mut Draft) {
    let spec = &mut draft.spec.spec;
    let usual = Defaults::default().renew_before;
    let (window, from) = if spec.profile == ProfileName::Starlingx {
        (STARLINGX_WINDOW, "as the platform's own nightly job")
    } else {
        (usual, "no certificate tells it: what pki does when nothing is said")
    };
    let shortest = spec.defaults.validity.min(spec.defaults.authority_validity);
    let (window, from) = match third_of(shortest, window) {
        Some(third) => (third, "a third of the validity"),
        None => (window, from),
    };
    spec.defaults.renew_before = window;
    draft.comments.say(&["defaults", "renewBefore"], from);
    for certificate in spec.certificates.values_mut() {
        certificate.renew_before = certificate.validity.and_then(|validity| third_of(validity, window));
    }
    for authority in spec.authorities.values_mut() {
        authority.renew_before = authority.validity.and_then(|validity| third_of(validity, window));
    }
}

/// A third of a validity that is not longer than the window.
fn third_of(validity: Duration, window: Duration) -> Option<Duration> {
    (validity <= window).then(|| {
        let third = validity.seconds() / 3;
        let unit = if third >= DAY { DAY } else { 1 };
        Duration::from_seconds((third / unit).max(1).saturating_mul(unit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn validity(from: &str, until: &str, written: Option<&str>) -> String {
        validity_of(at(from), at(until), written.map(at)).to_string()
    }

    #[test]
    fn years_are_years_with_and_without_leap_days_and_backdating() {
        assert_eq!(validity("2026-11-21T23:44:34Z", "2027-11-21T23:44:35Z", None), "365d");
        assert_eq!(validity("2026-11-21T23:39:34Z", "2027-11-21T23:44:34Z", None), "365d");
        assert_eq!(validity("2026-01-01T00:00:00Z", "2036-01-01T00:00:00Z", None), "3650d");
        assert_eq!(validity("2026-01-01T00:00:00Z", "2075-12-20T00:00:00Z", None), "18250d");
    }

    #[test]
    fn shorter_lives_are_days_and_hours() {
        assert_eq!(validity("2026-01-01T00:00:00Z", "2026-04-01T00:00:00Z", None), "90d");
        assert_eq!(validity("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", None), "1d");
        assert_eq!(validity("2026-01-01T00:00:00Z", "2026-01-01T08:04:00Z", None), "8h");
        assert_eq!(validity("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z", None), "1h");
    }

    #[test]
    fn what_begins_with_its_ca_was_made_when_its_file_was_written() {
        let (from, until) = ("2026-01-01T00:00:00Z", "2027-11-01T00:00:00Z");
        assert_eq!(validity(from, until, Some("2026-11-01T00:00:00Z")), "365d");
        // Copied since, so the time of the file says nothing; neither does the span.
        assert_eq!(validity(from, "2027-01-01T00:00:00Z", Some("2026-06-01T00:00:00Z")), "365d");
        // A file from before the certificate is none of its own.
        assert_eq!(validity(from, "2027-01-01T00:00:00Z", Some("2025-06-01T00:00:00Z")), "365d");
    }
}
