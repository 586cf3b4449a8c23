//! What `--only` and `--replace` select: a selector that finds nothing is an error, never a plan with nothing in it.
//!
//! What enters is what the user asked for and what should be on the nodes of one cluster or several, worked out before any node is asked; what leaves is each selector
//! that selects nothing, with the name that may be meant and where that one is. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{Desired, DesiredNode};
use crate::diagnostic::{all_of, nearest, quoted};
use crate::plan::Options;
use crate::plan::model::options::Selector;
use crate::types::names::{Address, NodeName, Target};

/// A selector that selects nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{option}: {because}")]
pub struct SelectsNothing {
    /// The option that holds it.
    pub option: &'static str,
    /// Why it selects nothing.
    pub because: String,
    /// What may be meant.
    pub help: String,
}

/// Every selector that selects nothing in any of these clusters, each with the nodes of it that are left alone.
pub fn selects_nothing(
    options: &Options,
    clusters: &[(&Desired, &BTreeSet<NodeName>)],
) -> Vec<SelectsNothing> {
    let known = Known::of(clusters);
    let only = options.only.iter().filter_map(|selector| known.fault(selector, "--only", &|_| None));
    let replace = options.replace.iter().filter_map(|selector| {
        known.fault(selector, "--replace", &|address| {
            if !matches!(address.target, Target::Identity(_)) {
                return Some(no_certificate(selector, &address.target));
            }
            let only: Vec<String> = options.only.iter().map(ToString::to_string).collect();
            let outside = format!("{} is outside --only {}", quoted(&selector.to_string()), only.join(", "));
            let help = format!("add --only {selector}, or leave --only out");
            (!options.selects(address)).then_some((outside, help))
        })
    });
    only.chain(replace).collect()
}

/// Why a thing cannot be replaced, and what to do instead.
fn no_certificate(selector: &Selector, subject: &Target) -> (String, String) {
    let help = match subject {
        Target::Authority(name) => format!(
            "a CA is replaced by what the spec says: authorities.{name}.distrust with its fingerprint and a reason, or onExpiry"
        ),
        Target::Service(name) => {
            format!("pki restarts {name} when what it reads has changed; name the certificate instead")
        }
        Target::KeyPair(_) | Target::Directory(_) | Target::Node | Target::Identity(_) => {
            "name a certificate; `pki status` lists them".to_owned()
        }
    };
    (
        format!(
            "{} is no certificate, and only those are replaced by request",
            quoted(&selector.to_string())
        ),
        help,
    )
}

/// Why something that a selector finds does not count after all, with a way out.
type Excluded<'a> = &'a dyn Fn(&Address) -> Option<(String, String)>;

/// Everything that can be named, by how it is written.
struct Known {
    addresses: Vec<Address>,
    nodes_of: BTreeMap<String, BTreeSet<NodeName>>,
    nodes: BTreeSet<NodeName>,
    left_alone: BTreeSet<NodeName>,
}

impl Known {
    fn of(clusters: &[(&Desired, &BTreeSet<NodeName>)]) -> Self {
        let mut known = Self {
            addresses: Vec::new(),
            nodes_of: BTreeMap::new(),
            nodes: BTreeSet::new(),
            left_alone: BTreeSet::new(),
        };
        for (desired, left_alone) in clusters {
            known.left_alone.extend(left_alone.iter().cloned());
            for (name, node) in &desired.nodes {
                known.nodes.insert(name.clone());
                for subject in subjects(node) {
                    known.nodes_of.entry(subject.to_string()).or_default().insert(name.clone());
                    known.addresses.push(Address::on(subject, name));
                }
            }
        }
        known
    }

    /// Why a selector selects nothing.
    fn fault(
        &self,
        selector: &Selector,
        option: &'static str,
        excluded: Excluded<'_>,
    ) -> Option<SelectsNothing> {
        let mut first = None;
        for address in self.addresses.iter().filter(|address| selector.matches(address)) {
            let why = match address.node().filter(|node| self.left_alone.contains(*node)) {
                Some(node) => Some((
                    format!("{} is left out by --skip-node {node}", quoted(&selector.to_string())),
                    "leave out one of the two".to_owned(),
                )),
                None => excluded(address),
            };
            match why {
                Some(why) => first = first.or(Some(why)),
                None => return None,
            }
        }
        let (because, help) = first.unwrap_or_else(|| self.unknown(selector));
        Some(SelectsNothing { option, because, help })
    }

    /// What is wrong with a selector that finds nothing.
    fn unknown(&self, selector: &Selector) -> (String, String) {
        let nodes = || format!("the nodes are {}", all_of(self.nodes.iter().map(NodeName::as_str)));
        let (subject, node) = selector.parts();
        if let Some(node) = node.filter(|node| !self.nodes.contains(*node)) {
            let help = match nearest(node, self.nodes.iter().map(NodeName::as_str)) {
                Some(near) => format!("did you mean {}? {}", quoted(near), capital(&nodes())),
                None => nodes(),
            };
            return (format!("there is no node {}", quoted(node)), help);
        }
        let Some(subject) = subject else { return (format!("nothing is on {selector}"), nodes()) };
        if let Some(on) = self.nodes_of.get(subject) {
            let node = node.map(quoted).unwrap_or_default();
            return (format!("{} is not on {node}", quoted(subject)), format!("it is on {}", listed(on)));
        }
        let names = || self.nodes_of.keys().map(String::as_str);
        // Whoever forgets the kind of a name, or writes another one, means the same name.
        let bare = |name: &str| name.rsplit_once('/').map_or(name.to_owned(), |(_, bare)| bare.to_owned());
        let meant = names().find(|name| bare(name) == bare(subject)).or_else(|| nearest(subject, names()));
        let help = match meant.and_then(|meant| Some((meant, self.nodes_of.get(meant)?))) {
            Some((meant, on)) => {
                let everything = on.first().map(|node| format!("; @{node} is everything on a node"));
                let everything = everything.unwrap_or_default();
                format!("did you mean {}? It is on {}{everything}", quoted(meant), listed(on))
            }
            None => format!("there are {}", all_of(names())),
        };
        (format!("nothing is called {}", quoted(subject)), help)
    }
}

fn listed(nodes: &BTreeSet<NodeName>) -> String {
    let nodes: Vec<&str> = nodes.iter().map(NodeName::as_str).collect();
    nodes.join(", ")
}

fn capital(text: &str) -> String {
    let mut characters = text.chars();
    characters.next().map_or_else(String::new, |first| first.to_uppercase().chain(characters).collect())
}

/// Everything on a node that has an address.
fn subjects(node: &DesiredNode) -> impl Iterator<Item = Target> {
    let DesiredNode { authorities, identities, key_pairs, directories, services, .. } = node;
    let authorities = authorities.keys().cloned().map(Target::Authority);
    let identities = identities.keys().cloned().map(Target::Identity);
    let key_pairs = key_pairs.keys().cloned().map(Target::KeyPair);
    let directories = directories.keys().cloned().map(Target::Directory);
    let services = services.keys().cloned().map(Target::Service);
    let all = identities.chain(authorities).chain(key_pairs).chain(directories).chain(services);
    all.chain(std::iter::once(Target::Node))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::survey::tests::agreement;

    fn told(only: &[&str], replace: &[&str], left_alone: &[&str]) -> Vec<String> {
        let survey = agreement();
        let parse = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let options = Options { only: parse(only), replace: parse(replace), ..Options::default() };
        let left_alone = left_alone.iter().map(|node| node.parse().unwrap()).collect();
        let faults = selects_nothing(&options, &[(&survey.desired, &left_alone)]);
        faults.iter().map(|fault| format!("{fault} | {}", fault.help)).collect()
    }

    #[test]
    fn what_is_there_is_selected() {
        let all = ["etcd-server", "@cp-1", "ca/etcd-ca@cp-2", "key/sa", "svc/etcd", "node@cp-3"];
        assert_eq!(told(&all, &["apiserver@cp-1", "@cp-2"], &[]), Vec::<String>::new());
    }

    #[test]
    fn what_selects_nothing_is_told_with_what_may_be_meant() {
        for (only, replace, left_alone, expected) in [
            (
                &["etcd-srver"][..],
                &[][..],
                &[][..],
                "--only: nothing is called `etcd-srver` | did you mean `etcd-server`? It is on cp-1, cp-2, cp-3; @cp-1 is everything on a node",
            ),
            (
                &["@cp-9"],
                &[],
                &[],
                "--only: there is no node `cp-9` | did you mean `cp-1`? The nodes are `cp-1`, `cp-2` and `cp-3`",
            ),
            (
                &["etcd-ca"],
                &[],
                &[],
                "--only: nothing is called `etcd-ca` | did you mean `ca/etcd-ca`? It is on cp-1, cp-2, cp-3; @cp-1 is everything on a node",
            ),
            (
                &["@cp-1"],
                &[],
                &["cp-1"],
                "--only: `@cp-1` is left out by --skip-node cp-1 | leave out one of the two",
            ),
            (
                &[],
                &["ca/ca"],
                &[],
                "--replace: `ca/ca` is no certificate, and only those are replaced by request | a CA is replaced by what the spec says: authorities.ca.distrust with its fingerprint and a reason, or onExpiry",
            ),
            (
                &["etcd-server"],
                &["apiserver"],
                &[],
                "--replace: `apiserver` is outside --only etcd-server | add --only apiserver, or leave --only out",
            ),
        ] {
            assert_eq!(told(only, replace, left_alone), [expected]);
        }
        let [nothing] = told(&["zzzzzzzz"], &[], &[]).try_into().unwrap();
        assert!(nothing.starts_with("--only: nothing is called `zzzzzzzz` | there are `"), "{nothing}");
    }
}
