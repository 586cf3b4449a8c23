//! Whose machine answered for a node.
//!
//! A kubelet, its node and its certificates are called after the node's name in the spec, so a name that is not the machine's own would take the machine out of its
//! cluster. What a machine is called is told by the first of these that tells anything: the user in its kubelet's certificate, which *is* the node's name; the name of
//! its member of etcd, where the layout fixes it; its host name. Only the first has to be equal to the letter. Host names legitimately differ from node names (domains,
//! upper case, `--hostname-override`), and so do the names of members in most layouts, so these count only where they name another node of the spec, or where a
//! kubelet would get a name that nothing on the machine has.

use std::net::IpAddr;

use crate::desired::{Desired, DesiredNode};
use crate::protocol::facts::{NodeFacts, Observed};
use crate::types::names::NodeName;
use crate::types::service_kind::ServiceKind;
use crate::types::storage::Storage;

use super::{Finding, Form, Identities, Reason};

/// A name that a machine has, and what tells it.
struct Told {
    name: String,
    by: String,
}

/// The machine is not the node that the spec takes it for.
pub(super) fn other_machine(
    desired: &Desired,
    (own, node): (&NodeName, &DesiredNode),
    facts: &NodeFacts,
    held: &Identities,
) -> Option<Finding> {
    let differs = |told: Told| {
        let reason = Reason::OtherMachine { name: told.name, by: told.by, node: own.clone() };
        let by = ["spec", "nodes", own.as_str()].map(str::to_owned).to_vec();
        Finding::blocks(reason).decided_by(Some(&by))
    };
    let mut of_kubelet = kubelets(own, node, facts, held).peekable();
    if of_kubelet.peek().is_some() {
        // One that names the node is enough: what else was copied here is found by its own checks.
        let others: Option<Vec<Told>> =
            of_kubelet.map(|told| (told.name != own.as_str()).then_some(told)).collect();
        // What no spec could call a node is not asked for.
        return others?.into_iter().find(|told| told.name.parse::<NodeName>().is_ok()).map(differs);
    }
    let member = member(facts);
    if let (Some(told), Some(fixed)) = (&member, fixed_member_name(node)) {
        return (told.name != *fixed && told.name.parse::<NodeName>().is_ok())
            .then(|| member.map(differs))
            .flatten();
    }
    let host = facts
        .hostname
        .as_ref()
        .map(|name| Told { name: name.trim().to_ascii_lowercase(), by: "its host name".to_owned() });
    let names: Vec<Told> = member.into_iter().chain(host).collect();
    if names.iter().any(|told| is_same_host(&told.name, own.as_str())) || bears_name(own, held) {
        return None;
    }
    let is_another = |told: &Told| desired.nodes.keys().any(|other| is_same_host(&told.name, other.as_str()));
    let would_be_named = kubelet_is_wanted(own, node);
    names
        .into_iter()
        .find(|told| is_another(told) || would_be_named && told.name.parse::<NodeName>().is_ok())
        .map(differs)
}

/// The name of a node in the user of its kubelet.
fn user_of(node: &NodeName) -> String {
    format!("system:node:{node}")
}

/// Whether the layout has a kubelet on the node that would be called after it.
fn kubelet_is_wanted(own: &NodeName, node: &DesiredNode) -> bool {
    let user = user_of(own);
    node.identities.values().any(|wanted| !wanted.optional && names_user(wanted, &user))
}

fn names_user(wanted: &crate::desired::DesiredIdentity, user: &str) -> bool {
    wanted.subject.iter().chain(&wanted.accepted_subjects).any(|subject| subject.common_name == user)
}

/// What the certificates of the kubelet call the node, where the layout calls them after it.
fn kubelets<'a>(
    own: &'a NodeName,
    node: &'a DesiredNode,
    facts: &'a NodeFacts,
    held: &'a Identities,
) -> impl Iterator<Item = Told> + 'a {
    let user = user_of(own);
    let named = node.identities.iter().filter(move |(_, wanted)| names_user(wanted, &user));
    named.filter_map(|(identity, wanted)| {
        let view = held.get(identity)?;
        let path = wanted.storage.certificate_path();
        let of_certificate = view.certificate.as_ref().and_then(|held| held.facts().subject.common_name());
        // Without a certificate the kubeconfig still names its user.
        let of_context = || match (&wanted.storage, view.form) {
            (Storage::Kubeconfig { file, .. }, Form::Embedded | Form::Referenced) => {
                context_user(facts, &file.path)
            }
            (Storage::Pair { .. } | Storage::Combined { .. } | Storage::Kubeconfig { .. }, _) => None,
        };
        let name = of_certificate.or_else(of_context)?.strip_prefix("system:node:")?;
        Some(Told { name: name.to_owned(), by: path.to_owned() })
    })
}

fn context_user<'a>(facts: &'a NodeFacts, path: &str) -> Option<&'a str> {
    // One that could not be read names nobody, which is a finding of its own; the other names count.
    let config = facts.files.get(path)?.known().ok()??.content.kubeconfig()?;
    Some(config.contexts.get(config.current_context.as_ref()?)?.user.as_str())
}

/// What its member of etcd is called, by its manifest, else by its own word.
fn member(facts: &NodeFacts) -> Option<Told> {
    let of_manifest = facts.manifests().find_map(|(path, manifest)| {
        let name = manifest.container("etcd")?.flags.last("name")?;
        Some(Told { name: name.to_owned(), by: format!("--name in {path}") })
    });
    let of_member = || {
        // One that gave no answer tells no name; that of the host counts.
        let etcd = facts.etcd.known().ok()??;
        let name = etcd.members.get(&etcd.member)?.name.clone();
        Some(Told { name, by: "the list of etcd's members".to_owned() })
    };
    of_manifest.or_else(of_member).filter(|told| !told.name.is_empty())
}

fn fixed_member_name(node: &DesiredNode) -> Option<&String> {
    node.services_of(ServiceKind::Etcd).next()?.1.member_name.as_ref()
}

/// Whether two names can be those of one host: letters count without case, and a name without a domain is that of any domain.
fn is_same_host(one: &str, other: &str) -> bool {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let short = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
    one == other || !(one.contains('.') && other.contains('.')) && short(&one) == short(&other)
}

/// Whether a certificate on the machine is for this name.
fn bears_name(own: &NodeName, held: &Identities) -> bool {
    held.values().any(|view| {
        let Some(held) = view.certificate.as_ref().map(|held| held.facts()) else { return false };
        let is_own = |name: &str| is_same_host(name, own.as_str());
        held.subject.common_name().is_some_and(is_own) || held.names.dns.iter().any(|name| is_own(name))
    })
}

/// The nodes that have one address in common: one of them cannot be where the spec or it itself says.
pub(super) fn common_addresses(desired: &Desired, observed: &Observed) -> Vec<(NodeName, Finding)> {
    let normal = |address: &str| match address.parse::<IpAddr>() {
        Ok(ip) => ip.to_canonical().to_string(),
        Err(_) => address.to_ascii_lowercase(),
    };
    let addresses: Vec<(&NodeName, String)> = desired
        .nodes
        .iter()
        .filter_map(|(name, node)| Some((name, normal(node.address.as_deref()?))))
        .collect();
    let mut first: std::collections::BTreeMap<&String, &NodeName> = std::collections::BTreeMap::new();
    let mut found = Vec::new();
    for (name, address) in &addresses {
        let one: &NodeName = first.entry(address).or_insert(name);
        let is_seen = observed.nodes.get(*name).is_some_and(|answer| answer.facts().is_some());
        if one != *name && is_seen {
            let reason = Reason::AddressOfAnother { address: address.clone(), other: one.clone() };
            found.push(((*name).clone(), Finding::blocks(reason)));
        }
    }
    found
}

#[cfg(test)]
mod tests;
