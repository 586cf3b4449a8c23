//! Checks between dates and lengths of time.

use super::Checker;
use crate::diagnostic::{Code, quoted};
use crate::spec::types::Rollout;
use crate::types::duration::Duration;

/// A lifetime: how long something is valid and how long before its end it is renewed.
struct Lifetime<'spec> {
    what: &'static str,
    own: Vec<&'spec str>,
    validity: Option<Duration>,
    renew_before: Option<Duration>,
    default_validity: (&'static str, Duration),
}

/// `renewBefore` at or above `validity`, defaults included: everything would be renewed on every run.
pub(super) fn renew_before_too_long(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    let defaults = &spec.defaults;
    let leaf = ("validity", defaults.validity);
    let authority = ("authorityValidity", defaults.authority_validity);
    let certificates = spec.certificates.iter().map(|(name, certificate)| Lifetime {
        what: "a certificate",
        own: vec!["certificates", name.as_str()],
        validity: certificate.validity,
        renew_before: certificate.renew_before,
        default_validity: leaf,
    });
    let authorities = spec.authorities.iter().map(|(name, authority_spec)| Lifetime {
        what: "an authority",
        own: vec!["authorities", name.as_str()],
        validity: authority_spec.validity,
        renew_before: authority_spec.renew_before,
        default_validity: authority,
    });
    for lifetime in certificates.chain(authorities).collect::<Vec<_>>() {
        // Without a word of its own it is judged once, at the defaults.
        if lifetime.validity.is_some() || lifetime.renew_before.is_some() {
            check_lifetime(checker, &lifetime);
        }
    }
    for (what, default_validity) in [("a certificate", leaf), ("an authority", authority)] {
        let lifetime =
            Lifetime { what, own: vec!["defaults"], validity: None, renew_before: None, default_validity };
        check_lifetime(checker, &lifetime);
    }
}

fn check_lifetime(checker: &mut Checker<'_>, lifetime: &Lifetime<'_>) {
    let (default_name, default_validity) = lifetime.default_validity;
    let validity = lifetime.validity.unwrap_or(default_validity);
    let renew_before = lifetime.renew_before.unwrap_or(checker.spec.defaults.renew_before);
    // A length of zero is told by its own check.
    if renew_before < validity || validity == Duration::default() {
        return;
    }
    let own = |field| lifetime.own.iter().copied().chain([field]).collect::<Vec<_>>();
    let validity_path =
        if lifetime.validity.is_some() { own("validity") } else { vec!["defaults", default_name] };
    let renew_path =
        if lifetime.renew_before.is_some() { own("renewBefore") } else { vec!["defaults", "renewBefore"] };
    // What is declared for this thing itself is the fault; of two defaults the window is.
    let renewed = format!("renewed {renew_before} before its end");
    let valid = format!("valid for {validity}");
    let is_renewal = match (lifetime.renew_before, lifetime.validity) {
        (Some(_), _) => true,
        (None, Some(_)) => false,
        (None, None) => checker.is_written(&renew_path),
    };
    let (at, label, other, other_label) = if is_renewal {
        (renew_path, &renewed, validity_path, &valid)
    } else {
        (validity_path, &valid, renew_path, &renewed)
    };
    // A built-in default has no place to point at.
    let is_built_in = !checker.is_written(&other);
    let others = if is_built_in { Vec::new() } else { vec![(other.clone(), other_label.clone())] };
    let by_default = |of: &str| if is_built_in && of == other_label { " (the built-in default)" } else { "" };
    let message = format!(
        "{} {valid}{} and {renewed}{} would be renewed on every run",
        lifetime.what,
        by_default(&valid),
        by_default(&renewed)
    );
    let third = if validity.days() >= 3 {
        Duration::from_days(validity.days() / 3)
    } else {
        Duration::from_seconds(validity.seconds() / 3)
    };
    let help = format!("set `renewBefore` below {validity}; a third of the validity is usual: {third}");
    if checker.is_intact(&other) {
        checker.report_with(Code::RenewBeforeTooLong, &at, &message, label, &help, others);
    }
}

/// A silence after which nodes would undo what is well under way, or one that they do not wait for.
pub(super) fn silence_out_of_range(checker: &mut Checker<'_>) {
    let silence = checker.spec.rollout.silence;
    let [shortest, longest] = Rollout::SILENCE;
    let label = if silence < shortest {
        "no connection is that steady"
    } else if silence > longest {
        "a node does not wait that long"
    } else {
        return;
    };
    checker.report(
        Code::InvalidDuration,
        &["rollout", "silence"],
        &format!("{silence} is not within {shortest} and {longest}"),
        label,
        "write a length from 1s to 60s; pki says four times in it that it is alive",
    );
}

/// A certificate that would outlive the authority that issues it, where the spec declares both lengths.
pub(super) fn leaf_outlives_authority(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    let written = |path: &[&str], value| checker.is_written(path).then_some(value);
    let default_leaf = written(&["defaults", "validity"], spec.defaults.validity);
    let default_authority = written(&["defaults", "authorityValidity"], spec.defaults.authority_validity);
    let mut pairs = Vec::new();
    for (name, certificate) in &spec.certificates {
        let issuer = certificate.authority.as_ref().map(|authority| authority.as_str()).or_else(|| {
            checker.known.and_then(|known| known.certificates.get(name.as_str())).map(String::as_str)
        });
        let own =
            issuer.and_then(|issuer| spec.authorities.get(issuer).and_then(|authority| authority.validity));
        let authority = match (issuer, own, default_authority) {
            (Some(issuer), Some(own), _) => Some((vec!["authorities", issuer, "validity"], own)),
            (_, None, Some(default)) => Some((vec!["defaults", "authorityValidity"], default)),
            (_, None, None) | (None, Some(_), _) => None,
        };
        if let (Some(leaf), Some(authority)) = (certificate.validity, authority) {
            pairs.push(((vec!["certificates", name.as_str(), "validity"], leaf), authority));
        }
    }
    for (name, authority) in &spec.authorities {
        if let (Some(leaf), Some(own)) = (default_leaf, authority.validity) {
            let authority = (vec!["authorities", name.as_str(), "validity"], own);
            pairs.push(((vec!["defaults", "validity"], leaf), authority));
        }
    }
    if let (Some(leaf), Some(default)) = (default_leaf, default_authority) {
        let authority = (vec!["defaults", "authorityValidity"], default);
        pairs.push(((vec!["defaults", "validity"], leaf), authority));
    }
    for ((leaf_path, leaf), (authority_path, authority)) in pairs {
        if leaf > authority {
            checker.report_with(
                Code::LeafOutlivesAuthority,
                &leaf_path,
                &format!("a certificate valid for {leaf} would outlive its authority, valid for {authority}"),
                &format!("valid for {leaf}"),
                "shorten this validity, or lengthen the authority's; nobody accepts a certificate whose issuer has expired",
                vec![(authority_path, format!("its authority ends after {authority}"))],
            );
        }
    }
}

/// A `reissueIssuedBefore` later than now: no certificate could ever be new enough.
pub(super) fn cut_off_in_future(checker: &mut Checker<'_>) {
    let (spec, now) = (checker.spec, checker.now);
    for (name, authority) in &spec.authorities {
        if let Some(cut_off) = authority.reissue_issued_before.filter(|cut_off| *cut_off > now) {
            checker.report(
                Code::CutOffInFuture,
                &["authorities", name.as_str(), "reissueIssuedBefore"],
                &format!("{} is in the future", quoted(&cut_off.to_string())),
                &format!("it is {} now", now.strftime("%Y-%m-%dT%H:%M:%SZ")),
                "write an instant that has passed; a later one would reissue every certificate again and again",
            );
        }
    }
}
