//! Members of etcd that were not named to `pki adopt`: a spec without them is not the whole cluster.
//!
//! What enters is what the nodes told; what leaves is a sentence that names them and the command that looks at all of them, reached as the others are. Pure.

use std::collections::BTreeMap;

use super::{Draft, Evidence};
use crate::diff::unlisted;
use crate::spec::types::{Connection, Node, Ssh};
use crate::types::names::NodeName;

/// Somebody whom the spec lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Missing {
    /// Who they are.
    pub(super) sentence: String,
    /// The command that adopts them too; none where nobody tells how they are reached.
    pub(super) command: Option<String>,
}

pub(super) fn look(draft: &mut Draft, sight: &Evidence<'_>) {
    let seen = unlisted(&sight.survey.desired, &sight.survey.observed).members;
    draft.missing = seen.map(|seen| {
        let hosts = seen.who.iter().filter_map(|who| who.host().map(str::to_owned));
        Missing { sentence: seen.reason().to_string(), command: command(draft, hosts.collect()) }
    });
}

/// `pki adopt` with the nodes of the draft and others, all over SSH as the first of those that are: what is local here is not so from elsewhere.
fn command(draft: &Draft, others: Vec<String>) -> Option<String> {
    if others.is_empty() {
        return None;
    }
    let spec = &draft.spec.spec;
    let common = spec.connection.as_ref();
    let mut hosts: BTreeMap<String, ()> = BTreeMap::new();
    let ways = spec.nodes.iter().map(|(name, node)| (name, node, ssh_of(node, common)));
    let ways: Vec<(&NodeName, &Node, Ssh)> = ways.collect();
    let usual = ways.first().map(|(_, _, ssh)| ssh.clone()).unwrap_or_default();
    for (name, node, ssh) in &ways {
        hosts.insert(argument(&ssh.host_of(name, node), ssh), ());
    }
    hosts.extend(others.into_iter().map(|host| (argument(&host, &usual), ())));
    let sudo = if usual.sudo { " --sudo" } else { "" };
    let hosts: Vec<String> = hosts.into_keys().map(|host| format!(" --host {host}")).collect();
    Some(format!("pki adopt{sudo}{}", hosts.concat()))
}

fn ssh_of(node: &Node, common: Option<&Connection>) -> Ssh {
    let own = node.connection.as_ref().or(common);
    own.and_then(|connection| connection.ssh.clone()).unwrap_or_default()
}

/// `[USER@]HOST[:PORT]`.
fn argument(host: &str, ssh: &Ssh) -> String {
    let user = ssh.user.as_ref().map(|user| format!("{user}@")).unwrap_or_default();
    match ssh.port {
        Some(port) if host.contains(':') => format!("{user}'[{host}]:{}'", port.number()),
        Some(port) => format!("{user}{host}:{}", port.number()),
        None => format!("{user}{host}"),
    }
}
