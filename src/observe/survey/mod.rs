//! From a spec to what should be and what is: resolve, ask the nodes, and resolve again with what they told.
//!
//! What enters is a spec, its profile and the nodes behind [`Inspect`]; what leaves is [`Survey`]. It only reads. A node is asked once; only one
//! whose components say that files lie elsewhere than the profile expects is asked again, about those files.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;

use crate::desired::Survey;
use crate::desired::hints::hints;
use crate::desired::request::{live_request, request, see_through_missing_links};
use crate::desired::{Desired, DesiredAuthority, Hints, ResolveError, resolve};
use crate::formats::manifest::kubernetes_version;
use crate::observe::ask::{PATIENCE, Question, observe_all};
use crate::profile::Profile;
use crate::protocol::facts::{Answer, Content, Expect, LiveRequest, NodeFacts, Observed, Seen};
use crate::protocol::node::Inspect;
use crate::spec::custom_root::Roots;
use crate::spec::types::ClusterPki;
use crate::types::names::NodeName;
use crate::x509::Sha256;

/// How often nodes are asked again for what they told of before: about the directory that their flags name, and about files that are not in it.
const ROUNDS: usize = 2;

/// The nodes of a cluster, each behind the reading half of its connection.
pub type Nodes = BTreeMap<NodeName, Box<dyn Inspect + Send + Sync>>;

/// Surveys a cluster. `observed_at` is our own clock.
///
/// # Errors
/// Every part of the spec that cannot be worked out.
pub fn survey<N: Inspect + Sync>(
    spec: &ClusterPki,
    profile: &Profile,
    nodes: &BTreeMap<NodeName, N>,
    observed_at: Timestamp,
    roots: &Roots,
) -> Result<Survey, Vec<ResolveError>> {
    survey_further((spec, roots), profile, nodes, Observed { observed_at, nodes: BTreeMap::new() }, PATIENCE)
}

/// Surveys a cluster of which something is `known` already, such as what told its layout; that is not asked again. Each node may take as long as
/// `patience` for an answer.
///
/// # Errors
/// Every part of the spec that cannot be worked out.
pub fn survey_further<N: Inspect + Sync>(
    (spec, roots): (&ClusterPki, &Roots),
    profile: &Profile,
    nodes: &BTreeMap<NodeName, N>,
    known: Observed,
    patience: Duration,
) -> Result<Survey, Vec<ResolveError>> {
    let mut observed = known;
    let mut asked = BTreeMap::new();
    let first = resolve(spec, profile, &Hints::default(), roots)?;
    let open = questions(&first, nodes, &observed, &mut asked);
    ask(&mut observed, &open, patience);
    let mut desired = resolve(spec, profile, &hints(&first, &observed), roots)?;
    for _ in 0..ROUNDS {
        let open = questions(&desired, nodes, &observed, &mut asked);
        if open.is_empty() {
            break;
        }
        ask(&mut observed, &open, patience);
        desired = resolve(spec, profile, &hints(&first, &observed), roots)?;
    }
    for (name, node) in &desired.nodes {
        if let Some(Answer::Facts(facts)) = observed.nodes.get_mut(name) {
            see_through_missing_links(node, facts);
        }
    }
    desired.take_named_trust(&observed);
    Ok(Survey { desired, observed })
}

fn ask(observed: &mut Observed, questions: &BTreeMap<NodeName, Question<'_>>, patience: Duration) {
    if !questions.is_empty() {
        for (name, answer) in observe_all(questions, observed.observed_at, patience).nodes {
            merge(observed, name, answer);
        }
    }
}

/// What to ask each node: what its answer does not hold yet. What it has been `asked` about its services is not asked again, unless it is another question now
/// and the node is one that looks at them.
fn questions<'a, N: Inspect + Sync>(
    desired: &Desired,
    nodes: &'a BTreeMap<NodeName, N>,
    known: &Observed,
    asked: &mut BTreeMap<NodeName, LiveRequest>,
) -> BTreeMap<NodeName, Question<'a>> {
    let declared = desired.authorities.values().flat_map(DesiredAuthority::distrusted);
    let distrusted: BTreeSet<Sha256> = declared.map(|(fingerprint, _)| fingerprint).collect();
    let mut questions: BTreeMap<NodeName, Question<'a>> = BTreeMap::new();
    for (name, wanted) in &desired.nodes {
        let Some(node) = nodes.get(name) else { continue };
        let mut request = request(wanted, &desired.snapshots.directory);
        request.distrusted = distrusted.clone();
        request.live = live_request(wanted);
        match known.nodes.get(name) {
            Some(Answer::Facts(facts)) => {
                request.files.retain(|path, expect| !is_known(facts, path, *expect));
                // An answer from before the profile was known says nothing about transactions.
                if !matches!(facts.open_transaction, Seen::Unknown { .. }) {
                    request.state_directory = None;
                    request.distrusted.clear();
                }
                let is_answered =
                    asked.get(name).is_some_and(|asked| *asked == request.live || facts.services.is_empty());
                if is_answered {
                    request.live = LiveRequest::default();
                }
            }
            Some(Answer::Unreachable { .. } | Answer::Skipped) => continue,
            None => {}
        }
        if request.files.is_empty() && request.state_directory.is_none() && request.live.is_empty() {
            continue;
        }
        if !request.live.is_empty() {
            asked.insert(name.clone(), request.live.clone());
        }
        questions.insert(name.clone(), (node as &(dyn Inspect + Sync), request));
    }
    questions
}

/// Whether an answer says what is at a path, and not only that something is there, unless that is all that is asked.
fn is_known(facts: &NodeFacts, path: &str, expect: Expect) -> bool {
    let seen = facts.files.get(path);
    expect == Expect::Link && seen.is_some()
        || seen.is_some_and(|seen| !matches!(seen, Seen::Present(file) if file.content == Content::NotRead))
}

/// Adds a second answer of a node to its first one. A node that has gone away in between is unreachable: half its facts would be a wrong picture.
fn merge(observed: &mut Observed, name: NodeName, second: Answer) {
    match (observed.nodes.get_mut(&name), second) {
        (Some(Answer::Facts(first)), Answer::Facts(second)) => {
            // What is seen anew is seen on another way, or on the same.
            first.unsafe_steps.retain(|path, _| !second.files.contains_key(path));
            first.unsafe_steps.extend(second.unsafe_steps);
            first.files.extend(second.files);
            first.named_by.extend(second.named_by);
            if matches!(first.open_transaction, Seen::Unknown { .. }) {
                first.open_transaction = second.open_transaction;
                first.last_transaction = second.last_transaction;
                first.kept_keys = second.kept_keys;
            }
            // All three are the answer to one question.
            if !second.services.is_empty() || !second.consumers.is_empty() {
                first.services = second.services;
                first.consumers = second.consumers;
                first.etcd = second.etcd;
            }
            first.kubernetes_version = kubernetes_version(first.manifests().map(|(_, manifest)| manifest));
        }
        (Some(Answer::Facts(_) | Answer::Unreachable { .. } | Answer::Skipped) | None, second) => {
            observed.nodes.insert(name, second);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests unpack the files of a real cluster")]
pub(crate) mod tests;
