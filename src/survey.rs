//! From a spec to what should be and what is: resolve, ask the nodes, and resolve again with what they told.
//!
//! What enters is a spec, its profile and the nodes behind [`Inspect`]; what leaves is [`Survey`]. It only reads. A node is asked once; only one
//! whose components say that files lie elsewhere than the profile expects is asked a second time, about those files.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::desired::{Desired, Hints, ResolveError, resolve};
use crate::hints::hints;
use crate::ids::NodeName;
use crate::node::Inspect;
use crate::observe::{Question, observe_all};
use crate::observed::{Answer, Observed};
use crate::profile::Profile;
use crate::request::request;
use crate::spec::types::ClusterPki;

/// The nodes of a cluster, each behind the reading half of its connection.
pub type Nodes = BTreeMap<NodeName, Box<dyn Inspect + Send + Sync>>;

/// What should be, and what is.
#[derive(Debug, Clone, PartialEq)]
pub struct Survey {
    /// What should be.
    pub desired: Desired,
    /// What is.
    pub observed: Observed,
}

/// Surveys a cluster. `observed_at` is our own clock.
///
/// # Errors
/// Every part of the spec that cannot be worked out.
pub fn survey<N: Inspect + Sync>(
    spec: &ClusterPki,
    profile: &Profile,
    nodes: &BTreeMap<NodeName, N>,
    observed_at: Timestamp,
) -> Result<Survey, Vec<ResolveError>> {
    let first = resolve(spec, profile, &Hints::default())?;
    let mut observed = observe_all(&questions(&first, nodes, None), observed_at);
    let desired = resolve(spec, profile, &hints(&observed))?;
    let again = questions(&desired, nodes, Some(&observed));
    if !again.is_empty() {
        for (name, answer) in observe_all(&again, observed_at).nodes {
            merge(&mut observed, name, answer);
        }
    }
    Ok(Survey { desired, observed })
}

/// What to ask each node; with `known`, only what its answer does not hold yet.
fn questions<'a, N: Inspect + Sync>(
    desired: &Desired,
    nodes: &'a BTreeMap<NodeName, N>,
    known: Option<&Observed>,
) -> BTreeMap<NodeName, Question<'a>> {
    let mut questions: BTreeMap<NodeName, Question<'a>> = BTreeMap::new();
    for (name, wanted) in &desired.nodes {
        let Some(node) = nodes.get(name) else { continue };
        let mut request = request(wanted, &desired.snapshots.directory);
        request.state_directory = Some(desired.snapshots.directory.clone());
        if let Some(known) = known {
            request.state_directory = None;
            match known.nodes.get(name) {
                Some(Answer::Facts(facts)) => request.files.retain(|path, _| !facts.files.contains_key(path)),
                Some(Answer::Unreachable { .. }) | None => continue,
            }
            if request.files.is_empty() {
                continue;
            }
        }
        questions.insert(name.clone(), (node as &(dyn Inspect + Sync), request));
    }
    questions
}

/// Adds a second answer of a node to its first one. A node that has gone away in between is unreachable: half its facts would be a wrong picture.
fn merge(observed: &mut Observed, name: NodeName, second: Answer) {
    match (observed.nodes.get_mut(&name), second) {
        (Some(Answer::Facts(first)), Answer::Facts(second)) => {
            first.files.extend(second.files);
            first.named_by.extend(second.named_by);
        }
        (Some(Answer::Facts(_) | Answer::Unreachable { .. }) | None, second) => {
            observed.nodes.insert(name, second);
        }
    }
}
