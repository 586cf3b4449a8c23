//! Who takes part in the cluster and is in no node of the spec: members of etcd, and the etcd that API servers use.
//!
//! What enters is what should be and what is; what leaves is everybody whom a member list, a flag of a manifest or a unit names and no node of the spec stands for.
//! They hold the CAs that this cluster trusts, and nothing is done on them, so nothing that changes trust may be done without them. A member list that a member told
//! wins over flags: `--initial-cluster` is read once, when a member is made, and names members of that day (etcd's clustering guide). Pure.

mod outsider;

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

pub use outsider::{Outsider, Sighting};
use outsider::{canonical, is_loopback};

use super::{Finding, Reason};
use crate::desired::{Desired, DesiredNode};
use crate::diagnostic::escaped;
use crate::formats::manifest::ContainerFacts;
use crate::protocol::facts::{EtcdFacts, MemberFacts, NodeFacts, Observed};
use crate::types::names::{Address, AuthorityName, NodeName, ServiceName, Target};
use crate::types::service_kind::ServiceKind;
use crate::types::url::host_of;
use crate::x509::Certificate;

/// The container of what keeps its data in etcd, whoever made its manifest.
const API_SERVER: &str = "kube-apiserver";
/// What etcd calls a member that is given no name (`--name`), so it tells no two of them apart.
const NAMELESS: &str = "default";

/// Everybody who was seen and is in no node of the spec.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Unlisted {
    /// The members of the etcd whose other members are nodes of the spec, with the node that tells of them.
    pub members: Option<Seen>,
    /// The etcd of API servers whose members are all elsewhere. That is no fault: it is somebody else's, and so is its CA.
    pub external: Option<Seen>,
    /// The authorities that the API servers use with that etcd.
    pub external_authorities: BTreeSet<AuthorityName>,
}

/// Some of them, as one node tells of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// The service that tells.
    pub at: Address,
    /// Where it is told.
    pub by: Sighting,
    /// They.
    pub who: BTreeSet<Outsider>,
}

impl Seen {
    /// The finding about them.
    pub fn reason(&self) -> Reason {
        Reason::NotInSpec { who: self.who.iter().cloned().collect(), by: self.by.clone() }
    }
}

impl Unlisted {
    /// How many members of etcd no node of the spec stands for.
    pub fn count(&self) -> usize {
        self.members.as_ref().map_or(0, |seen| seen.who.len())
    }

    /// How many members of etcd no node of the spec stands for, and how many of them are up: all that did not keep silent when a member called them.
    pub(crate) fn members_up(&self, observed: &Observed) -> (usize, usize) {
        let Some(seen) = &self.members else { return (0, 0) };
        // Who gave no list calls nobody silent.
        let lists = || observed.nodes.values().filter_map(|answer| answer.facts()?.etcd.known().ok()?);
        let is_silent = |who: &&Outsider| {
            let urls = |member: &MemberFacts| who.urls.iter().all(|url| member.peer_urls.contains(url));
            let mut told =
                lists().flat_map(|list| list.members.values()).filter(|member| urls(member)).peekable();
            // One of which a member could not learn how it is kept silent: it counts as down.
            let answered = |member: &MemberFacts| matches!(member.status.known(), Ok(Some(_)));
            told.peek().is_some() && !told.any(answered)
        };
        (seen.who.len(), seen.who.len() - seen.who.iter().filter(is_silent).count())
    }

    /// Those without whom the trust in an authority must not be changed: it is theirs too, and what they hold of it is not known.
    ///
    /// Members that are not in the spec may run anything that the others run (masters have a member, an API server and all its clients), so they hold every
    /// authority.
    pub fn holding(&self, authority: &AuthorityName) -> Option<&Seen> {
        let external = self.external.as_ref().filter(|_| self.external_authorities.contains(authority));
        self.members.as_ref().or(external)
    }

    /// The finding about them.
    pub(super) fn finding(&self) -> Option<(&Address, Finding)> {
        let seen = self.members.as_ref()?;
        Some((&seen.at, Finding::blocks(seen.reason())))
    }
}

/// Looks for everybody who takes part and is in no node of the spec.
pub fn unlisted(desired: &Desired, observed: &Observed) -> Unlisted {
    let look = Look::new(desired, observed);
    let told = look.by_member_list();
    let members = match told {
        Some(members) => members.or_else(|| look.by_etcd_servers()),
        None => look.by_initial_cluster().or_else(|| look.by_etcd_servers()),
    };
    if look.nodes.is_empty() {
        return Unlisted { members: None, external: members, external_authorities: look.used_with_etcd() };
    }
    Unlisted { members, ..Unlisted::default() }
}

/// The command that looks at everybody, and what else helps.
pub fn way_out(seen: &Seen, desired: &Desired) -> String {
    let without_role: Vec<&str> =
        seen.who.iter().filter_map(|who| Some(who.node.as_ref()?.as_str())).collect();
    if !without_role.is_empty() {
        return format!("give {} the role etcd in spec.nodes", without_role.join(" and "));
    }
    let known = desired.nodes.values().filter(|node| is_member(node)).filter_map(|node| node.address.clone());
    let hosts: BTreeSet<String> =
        seen.who.iter().filter_map(|who| who.host().map(str::to_owned)).chain(known).collect();
    let hosts: Vec<String> = hosts.iter().map(|host| format!(" --host {}", escaped(host))).collect();
    let gone = match seen.by {
        Sighting::MemberList => "a member that is gone for good is removed with `etcdctl member remove`",
        Sighting::InitialCluster { .. } | Sighting::EtcdServers { .. } => {
            "one that is gone for good is removed from that flag"
        }
    };
    format!("add them under spec.nodes; `pki adopt{}` writes a spec with all of them; {gone}", hosts.concat())
}

struct Look<'a> {
    desired: &'a Desired,
    observed: &'a Observed,
    /// What each node with a member goes by: its names, and the hosts at which it is reached.
    nodes: BTreeMap<&'a NodeName, Known>,
    service: Option<ServiceName>,
}

#[derive(Default)]
struct Known {
    names: BTreeSet<String>,
    hosts: BTreeSet<String>,
    is_silent: bool,
}

impl<'a> Look<'a> {
    fn new(desired: &'a Desired, observed: &'a Observed) -> Self {
        let mut nodes = BTreeMap::new();
        for (name, node) in desired.nodes.iter().filter(|(_, node)| is_member(node)) {
            nodes.insert(name, known(name, node, observed));
        }
        let mut members = desired.nodes.values().flat_map(|node| node.services_of(ServiceKind::Etcd));
        let service = members.next().map(|(service, _)| service.clone());
        Self { desired, observed, nodes, service }
    }

    fn facts(&self, node: &NodeName) -> Option<&'a NodeFacts> {
        self.observed.nodes.get(node)?.facts()
    }

    fn etcd(&self, node: &NodeName) -> Option<Address> {
        Some(Address::on(Target::Service(self.service.clone()?), node))
    }

    /// What the members told; `None` when none of them told anything.
    fn by_member_list(&self) -> Option<Option<Seen>> {
        // Who gave no list is passed over: the lists of others tell the same, or else flags do.
        let told = |name: &&'a NodeName| Some((*name, self.facts(name)?.etcd.known().ok()??));
        let lists: Vec<(&NodeName, &EtcdFacts)> = self.nodes.keys().filter_map(told).collect();
        let (first, _) = lists.first()?;
        let own: BTreeSet<_> = lists.iter().map(|(_, list)| list.member).collect();
        let all: BTreeMap<_, &MemberFacts> = lists.iter().flat_map(|(_, list)| &list.members).collect();
        let others = all.into_iter().filter(|(id, _)| !own.contains(id));
        let others = others.map(|(_, member)| Outsider {
            name: Some(member.name.clone()).filter(|name| !name.is_empty()),
            urls: match member.peer_urls.is_empty() {
                true => member.client_urls.iter().cloned().collect(),
                false => member.peer_urls.iter().cloned().collect(),
            },
            node: None,
        });
        let who = self.strangers(others.collect());
        Some(self.etcd(first).zip(who).map(|(at, who)| Seen { at, by: Sighting::MemberList, who }))
    }

    fn by_initial_cluster(&self) -> Option<Seen> {
        let mut urls: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        let mut first = None;
        for name in self.nodes.keys().copied() {
            let Some((node, facts)) = self.desired.nodes.get(name).zip(self.facts(name)) else { continue };
            let Some((path, flag)) = etcd_flag(node, facts, "initial-cluster") else { continue };
            let entries = flag.split(',');
            for (member, url) in entries.filter_map(|entry| entry.trim().split_once('=')) {
                urls.entry(member.to_owned()).or_default().insert(url.to_owned());
                let is_new = |outsider: &Outsider| !self.nodes.values().any(|known| known.is(outsider));
                let outsider =
                    Outsider { name: Some(member.to_owned()), urls: [url.to_owned()].into(), node: None };
                first = first.or_else(|| is_new(&outsider).then_some((name, path)));
            }
        }
        let (name, path) = first?;
        let members = urls.into_iter().map(|(name, urls)| Outsider { name: Some(name), urls, node: None });
        let who = self.strangers(members.collect())?;
        let by = Sighting::InitialCluster { path: path.to_owned() };
        Some(Seen { at: self.etcd(name)?, by, who })
    }

    fn by_etcd_servers(&self) -> Option<Seen> {
        self.desired.nodes.iter().find_map(|(name, node)| {
            let (service, _) = node.services_of(ServiceKind::ApiServer).next()?;
            let (path, server) = container(self.facts(name)?, API_SERVER)?;
            let urls = server.flags.last("etcd-servers")?.split(',').map(str::trim);
            let elsewhere = urls.filter(|url| host_of(url.trim()).is_some_and(|host| !is_loopback(host)));
            let elsewhere = elsewhere.filter(|url| !self.leads_to_members(url));
            let servers =
                elsewhere.map(|url| Outsider { name: None, urls: [url.to_owned()].into(), node: None });
            let who = self.strangers(servers.collect())?;
            let at = Address::on(Target::Service(service.clone()), name);
            Some(Seen { at, by: Sighting::EtcdServers { path: path.to_owned() }, who })
        })
    }

    /// Whether a place is one of the members that told who all members are, under another name: their certificates have it.
    fn leads_to_members(&self, url: &str) -> bool {
        let Some(host) = host_of(url.trim()) else { return false };
        // One that gave no answer stands for no other name, so that place is told, and never taken for known.
        let is_told = |facts: &NodeFacts| matches!(facts.etcd.known(), Ok(Some(_)));
        let told = |name: &&NodeName| self.facts(name).is_some_and(is_told);
        self.nodes.keys().copied().filter(|name| told(name)).any(|name| self.serves_as(name, host))
    }

    fn serves_as(&self, name: &NodeName, host: &str) -> bool {
        let Some((node, facts)) = self.desired.nodes.get(name).zip(self.facts(name)) else { return false };
        let members = node.services_of(ServiceKind::Etcd);
        let served = members.flat_map(|(_, service)| &service.endpoints).filter_map(|endpoint| {
            let wanted = node.identities.get(endpoint.serves.as_ref()?)?;
            facts.first_certificate(wanted.storage.certificate_path())
        });
        let has_it = |certificate: &Certificate| {
            let names = &certificate.facts().names;
            match host.parse::<IpAddr>() {
                Ok(address) => names.ip.contains(&address),
                Err(_) => names.dns.iter().any(|name| name.eq_ignore_ascii_case(host)),
            }
        };
        served.into_iter().any(has_it)
    }

    /// Those for whom no node of the spec stands. A node that gave no answer may be any one of them: what it holds is not known, which holds changes by itself.
    fn strangers(&self, seen: Vec<Outsider>) -> Option<BTreeSet<Outsider>> {
        let mut found: BTreeSet<&NodeName> = BTreeSet::new();
        let mut left = BTreeSet::new();
        for mut outsider in seen {
            match self.nodes.iter().find(|(_, known)| known.is(&outsider)) {
                Some((name, _)) => {
                    found.insert(*name);
                }
                None => {
                    outsider.node = self.node_at(&outsider);
                    left.insert(outsider);
                }
            }
        }
        let silent = self.nodes.iter().filter(|(name, known)| known.is_silent && !found.contains(*name));
        (left.len() > silent.count()).then_some(left)
    }

    /// The node of the spec at that place which has no member.
    fn node_at(&self, outsider: &Outsider) -> Option<NodeName> {
        let others = self.desired.nodes.iter().filter(|(name, _)| !self.nodes.contains_key(*name));
        let mut others = others.filter(|(name, node)| known(name, node, self.observed).is(outsider));
        others.next().map(|(name, _)| name.clone())
    }

    /// The authorities with which API servers check their etcd, and those that issued what they show it.
    fn used_with_etcd(&self) -> BTreeSet<AuthorityName> {
        let mut used = BTreeSet::new();
        for (name, node) in &self.desired.nodes {
            let Some((_, server)) = self.facts(name).and_then(|facts| container(facts, API_SERVER)) else {
                continue;
            };
            let path = |flag: &str| server.host_path(server.flags.last(flag)?);
            let (trusted, shown) = (path("etcd-cafile"), path("etcd-certfile"));
            for (authority, copy) in &node.authorities {
                let mut files = copy.copies.values().chain([&copy.certificate]);
                if files.any(|file| Some(&file.path) == trusted.as_ref()) {
                    used.insert(authority.clone());
                }
            }
            let issued = node.identities.values().filter(|wanted| {
                let mut places = wanted.copies.values().map(|copy| &copy.storage).chain([&wanted.storage]);
                places.any(|storage| Some(storage.certificate_path()) == shown.as_deref())
            });
            used.extend(issued.filter_map(|wanted| wanted.authority.clone()));
        }
        used
    }
}

impl Known {
    fn is(&self, outsider: &Outsider) -> bool {
        let is_named = |name: &String| name != NAMELESS && self.names.contains(&name.to_ascii_lowercase());
        outsider.name.as_ref().is_some_and(is_named) || outsider.is_at(&self.hosts)
    }
}

/// What a node goes by: what the spec says, what it is called itself, and what its own flags say.
fn known(name: &NodeName, node: &DesiredNode, observed: &Observed) -> Known {
    let facts = observed.nodes.get(name).and_then(|answer| answer.facts());
    let mut own = Known { is_silent: facts.is_none(), ..Known::default() };
    own.names.insert(name.to_string());
    own.hosts.insert(name.to_string());
    own.hosts.extend(node.address.as_deref().map(canonical));
    let Some(facts) = facts else { return own };
    if let Some(hostname) = &facts.hostname {
        own.names.insert(hostname.to_ascii_lowercase());
        own.hosts.insert(hostname.to_ascii_lowercase());
    }
    let mut urls: Vec<&str> = Vec::new();
    own.names.extend(etcd_flag(node, facts, "name").map(|(_, name)| name.to_ascii_lowercase()));
    for flag in ["initial-advertise-peer-urls", "advertise-client-urls"] {
        urls.extend(etcd_flag(node, facts, flag).into_iter().flat_map(|(_, urls)| urls.split(',')));
    }
    // One that gave no answer goes by fewer names, so more are told as strangers to the spec, and never fewer.
    if let Ok(Some(etcd)) = facts.etcd.known()
        && let Some(member) = etcd.members.get(&etcd.member)
    {
        own.names.insert(member.name.to_ascii_lowercase());
        urls.extend(member.peer_urls.iter().chain(&member.client_urls).map(String::as_str));
    }
    own.hosts.extend(urls.into_iter().filter_map(|url| host_of(url.trim())).map(canonical));
    if let Some((_, server)) = container(facts, API_SERVER) {
        own.hosts.extend(server.flags.last("advertise-address").map(canonical));
    }
    own.hosts.retain(|host| !is_loopback(host));
    own
}

fn is_member(node: &DesiredNode) -> bool {
    node.has(ServiceKind::Etcd)
}

fn container<'f>(facts: &'f NodeFacts, program: &str) -> Option<(&'f str, &'f ContainerFacts)> {
    facts.manifests().find_map(|(path, manifest)| Some((path, manifest.container(program)?)))
}

/// A flag of the member on a node, in its manifest or its unit, with what holds it.
fn etcd_flag<'f>(node: &DesiredNode, facts: &'f NodeFacts, flag: &str) -> Option<(&'f str, &'f str)> {
    let by_unit = || {
        let (service, _) = node.services_of(ServiceKind::Etcd).next()?;
        let live = facts.services.get(service)?;
        // What the flags of a unit say that could not be read is not known: only a list of members tells of who is named there.
        Some(("its unit", live.unit.as_ref()?.known().ok()??.flags.get(flag)?.as_str()))
    };
    match container(facts, "etcd") {
        Some((path, etcd)) => Some((path, etcd.flags.last(flag)?)),
        None => by_unit(),
    }
}

#[cfg(test)]
mod tests;
