//! Somebody else's CA in a file: where one is, and who must not load it.
//!
//! What enters is what was found of a file; what leaves are answers, and the way out for a person. A CA that nobody here knows must not keep certificates from being
//! renewed that have nothing to do with it, so only those wait that would load it or sign with it. Pure.

use super::builder::Builder;
use crate::desired::DesiredService;
use crate::diff::{Finding, Reason};
use crate::profile::{Reload, What};
use crate::types::names::{Address, AuthorityName, NodeName, Target};

/// The way out of somebody else's CA, for one that the spec calls by this fingerprint.
pub(crate) fn help(reason: &Reason, authority: &AuthorityName) -> Option<String> {
    let fingerprint = if let Reason::BundleHasStray(stray) = reason {
        &stray.fingerprint
    } else if let Reason::BegunByHand { fingerprint, .. } = reason {
        fingerprint
    } else {
        return None;
    };
    Some(format!(
        "find out whose it is. To have it dropped, declare spec.authorities.{authority}.distrust: {{ \"sha256:{fingerprint}\": \"WHY\" }}; to keep it, the same below `alsoTrusts`"
    ))
}

/// Whether an authority's file on a node holds a CA of somebody else that lets its owner in.
pub(crate) fn trusts_stranger(builder: &Builder<'_>, authority: &AuthorityName, node: &NodeName) -> bool {
    stranger(builder, authority, node).is_some()
}

/// That it does.
pub(crate) fn stranger<'b>(
    builder: &'b Builder<'_>,
    authority: &AuthorityName,
    node: &NodeName,
) -> Option<&'b Finding> {
    let address = Address::on(Target::Authority(authority.clone()), node);
    let findings = builder.input.differences.of(&address);
    findings.iter().find(|finding| is_in_main(builder, authority, node, finding))
}

/// Whether a CA of somebody else is in the file that services read, and not in a further one alone.
fn is_in_main(builder: &Builder<'_>, authority: &AuthorityName, node: &NodeName, finding: &Finding) -> bool {
    let Reason::BundleHasStray(stray) = &finding.reason else { return false };
    let wanted = builder.input.survey.desired.nodes.get(node);
    let copy = wanted.and_then(|node| node.authorities.get(authority));
    finding.is_foreign_ca() && copy.is_some_and(|copy| copy.certificate.path == stray.path)
}

/// Whether any file of an authority on a node holds a CA of somebody else.
pub(crate) fn holds_stranger(builder: &Builder<'_>, address: &Address) -> bool {
    builder.input.differences.of(address).iter().any(Finding::is_foreign_ca)
}

/// What a restart of a service would load that nobody has agreed to: the files that it reads at its start only, or signs with.
pub(crate) fn must_not_load(
    builder: &Builder<'_>,
    name: &NodeName,
    wanted: &DesiredService,
) -> Option<(AuthorityName, Finding)> {
    let version = builder.input.survey.desired.version;
    let at_start = wanted.reads.iter().filter_map(|read| match &read.what {
        What::Trust(authority) if read.reload(version) == Reload::Start => Some((authority, false)),
        // However often it reads what it signs with, it ends at its start if that is not one certificate.
        What::Signer(authority) => Some((authority, true)),
        What::Trust(_) | What::Identity(_) | What::KubeconfigTrust(_) | What::KeyPair(_) => None,
    });
    at_start.into_iter().find_map(|(authority, signs)| {
        let address = Address::on(Target::Authority(authority.clone()), name);
        let findings = builder.input.differences.of(&address).iter();
        let mut bad = findings.filter(|finding| {
            if matches!(finding.reason, Reason::BundleHasStray(_)) {
                is_in_main(builder, authority, name, finding)
            } else if matches!(finding.reason, Reason::SignerIsBundle { .. }) {
                signs
            } else {
                matches!(finding.reason, Reason::BegunByHand { .. }) || finding.is_of_stray()
            }
        });
        bad.next().map(|finding| (authority.clone(), finding.clone()))
    })
}

/// Whether this plan drops somebody else's CA from a file that a service reads at its start only: then it is restarted, once that is gone.
pub(crate) fn loads_what_is_dropped(builder: &Builder<'_>, name: &NodeName, wanted: &DesiredService) -> bool {
    must_not_load(builder, name, wanted).is_some_and(|(authority, finding)| {
        let going = builder.replacements.get(&authority);
        finding.is_of_stray() && going.is_some_and(|going| going.drops())
    })
}
