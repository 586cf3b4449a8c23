//! Somebody else's CA in a file: what waits because of it, and what it is dropped from.
//!
//! What enters is what was found of a file; what leaves is who is not restarted to load it, and what is not signed with it, each with the way out. Everything else of the
//! plan is done all the same: a CA that nobody here knows must not keep certificates from being renewed that have nothing to do with it. Pure.

use std::collections::BTreeSet;

use crate::desired::{DesiredNode, DesiredService};
use crate::diff::{CaRotation, Effect, Finding, Reason, storage_view};
use crate::profile::{Reload, What};
use crate::types::names::{Address, AuthorityName, NodeName, ServiceName, Target};
use crate::types::non_empty::NonEmpty;
use crate::types::storage::Storage;
use crate::x509::Certificate;

use crate::plan::draft::Builder;
use crate::plan::known::paths::facts_of;
use crate::plan::{Blocked, CaCertificates, Deed, Phase, Why};

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

impl Builder<'_> {
    /// Whether an authority's file on a node holds a CA of somebody else that lets its owner in.
    pub(crate) fn trusts_stranger(&self, authority: &AuthorityName, node: &NodeName) -> bool {
        self.stranger(authority, node).is_some()
    }

    /// That it does.
    pub(crate) fn stranger(&self, authority: &AuthorityName, node: &NodeName) -> Option<&Finding> {
        let address = Address { subject: Target::Authority(authority.clone()), node: node.clone() };
        let findings = self.input.differences.of(&address);
        findings.iter().find(|finding| self.is_in_main(authority, node, finding))
    }

    /// Whether a CA of somebody else is in the file that services read, and not in a further one alone.
    fn is_in_main(&self, authority: &AuthorityName, node: &NodeName, finding: &Finding) -> bool {
        let Reason::BundleHasStray(stray) = &finding.reason else { return false };
        let wanted = self.input.survey.desired.nodes.get(node);
        let copy = wanted.and_then(|node| node.authorities.get(authority));
        finding.is_foreign_ca() && copy.is_some_and(|copy| copy.certificate.path == stray.path)
    }

    /// Whether any file of an authority on a node holds a CA of somebody else.
    pub(crate) fn holds_stranger(&self, address: &Address) -> bool {
        self.input.differences.of(address).iter().any(Finding::is_foreign_ca)
    }

    /// Tells of a CA of somebody else, which no plan drops by itself.
    pub(crate) fn tell_stranger(&mut self, address: &Address, finding: &Finding) {
        let Target::Authority(authority) = &address.subject else { return };
        let blocked = Blocked {
            address: address.clone(),
            because: "trust is never dropped by itself, and while this CA is there nobody is restarted to load that file and nothing is signed with it".to_owned(),
            help: help(&finding.reason, authority),
            findings: vec![self.why(finding)],
        };
        self.draft.elsewhere.push(blocked);
    }

    /// What a restart of a service would load that nobody has agreed to: the files that it reads at its start only, or signs with.
    pub(crate) fn must_not_load(
        &self,
        name: &NodeName,
        wanted: &DesiredService,
    ) -> Option<(AuthorityName, Finding)> {
        let version = self.input.survey.desired.version;
        let at_start = wanted.reads.iter().filter_map(|read| match &read.what {
            What::Trust(authority) if read.reload(version) == Reload::Start => Some((authority, false)),
            // However often it reads what it signs with, it ends at its start if that is not one certificate.
            What::Signer(authority) => Some((authority, true)),
            What::Trust(_) | What::Identity(_) | What::KubeconfigTrust(_) | What::KeyPair(_) => None,
        });
        at_start.into_iter().find_map(|(authority, signs)| {
            let address = Address { subject: Target::Authority(authority.clone()), node: name.clone() };
            let findings = self.input.differences.of(&address).iter();
            let mut bad = findings.filter(|finding| {
                if matches!(finding.reason, Reason::BundleHasStray(_)) {
                    self.is_in_main(authority, name, finding)
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
    pub(crate) fn loads_what_is_dropped(&self, name: &NodeName, wanted: &DesiredService) -> bool {
        self.must_not_load(name, wanted).is_some_and(|(authority, finding)| {
            let going = self.replacements.get(&authority);
            finding.is_of_stray() && going.is_some_and(|going| going.drops())
        })
    }

    /// Tells that a service is not restarted, and what waits for that.
    pub(crate) fn leave_running(
        &mut self,
        (service, name): (&ServiceName, &NodeName),
        (authority, finding): (&AuthorityName, &Finding),
        waits: &BTreeSet<String>,
        due: Vec<Why>,
    ) {
        let what = match waits.is_empty() {
            true => String::new(),
            false => {
                let waits: Vec<&str> = waits.iter().map(String::as_str).collect();
                format!(", and goes on with what it has read of {}", waits.join(", "))
            }
        };
        let because = format!(
            "{service} on {name} is not restarted{what}: it would load the file of ca/{authority} ({})",
            finding.reason
        );
        let help = help(&finding.reason, authority).or_else(|| {
            if let Reason::SignerIsBundle { path, .. } = &finding.reason {
                return Some(format!(
                    "give {service} a file with its one certificate in `--cluster-signing-cert-file`, or leave one certificate in {path}; then plan again"
                ));
            }
            Some(format!("plan again once this CA is dropped from ca/{authority}"))
        });
        let address = Address { subject: Target::Service(service.clone()), node: name.clone() };
        let blocked = Blocked { address, because, help, findings: due };
        // Members of etcd that wait for each other need every one of them.
        match self.is_cold {
            true => self.draft.blocked.push(blocked),
            false => self.draft.elsewhere.push(blocked),
        }
    }
}

/// Takes somebody else's CAs out of the CA data of every kubeconfig that trusts the authority.
pub(crate) fn drop_from_kubeconfigs(
    builder: &mut Builder<'_>,
    authority: &AuthorityName,
    succession: &CaRotation,
) {
    let survey = builder.input.survey;
    let mut deeds = Vec::new();
    for (name, node) in &survey.desired.nodes {
        let Some(facts) = facts_of(&survey.observed, name) else { continue };
        for (identity, place) in places(node, authority) {
            let Storage::Kubeconfig { file, .. } = place else { continue };
            let held = storage_view(place, facts).trusted.unwrap_or_default();
            let goes = |held: &Certificate| succession.leaving.contains_key(held.fingerprint());
            if !held.iter().any(goes) {
                continue;
            }
            let left = held.iter().filter(|held| !goes(held)).cloned();
            let left = NonEmpty::each_once(left).or(succession.successor.clone().map(NonEmpty::one));
            let Some(left) = left else { continue };
            let before = held.iter().map(|held| *held.fingerprint()).collect();
            let trusted = CaCertificates::Certificates(left);
            let deed = Deed::UpdateKubeconfig { file: file.clone(), trusted, before };
            let address = Address { subject: Target::Identity(identity.clone()), node: name.clone() };
            let why = why_dropped(builder, &address);
            deeds.push((address, deed, why));
        }
    }
    for (address, deed, why) in deeds {
        builder.add_in(Phase::DropOld, address, deed, why, true);
    }
}

/// The findings about a thing that say which CAs of somebody else go.
pub(crate) fn why_dropped(builder: &Builder<'_>, address: &Address) -> Vec<Why> {
    let findings = builder.findings(address).iter();
    let due = findings.filter(|finding| finding.effect == Effect::Due && finding.is_of_stray());
    due.map(|finding| builder.why(finding)).collect()
}

/// The kubeconfigs of a node that trust an authority, in all their places.
fn places<'a>(
    node: &'a DesiredNode,
    authority: &'a AuthorityName,
) -> impl Iterator<Item = (&'a crate::types::names::IdentityName, &'a Storage)> {
    let all = node.identities.iter();
    all.flat_map(|(identity, wanted)| wanted.managed_places().map(move |place| (identity, place)))
        .filter(move |(_, place)| matches!(place, Storage::Kubeconfig { trusts, .. } if trusts == authority))
}
