//! What breaks only where a node undoes its changes: declared with the plan, and no reason to refuse it.
//!
//! What enters is the state before a plan, the plan and what it was found to break; what leaves is the risks of undoing it. An undo begins where something has failed
//! already and leads to what was there before, so to refuse a plan for its sake would keep what is there now: whoever needs a repair most would not get it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::plan::PlanContent;
use crate::plan::model::checked::{Counterexample, UndoRisk};
use crate::trust::judge::Verdict;
use crate::trust::state::State;
use crate::trust::topology::{InputId, InstanceId, LinkId};
use crate::types::names::NodeName;

/// The links that work only as long as what a process has loaded is not read again, each with the node whose disk would break it.
pub(super) type BrokenOnDisk = BTreeSet<(LinkId, NodeName)>;

/// Of the state before the plan, in which nothing has been written yet: what breaks then breaks without the plan.
pub(super) fn broken_on_disk(state: &mut State<'_>) -> BrokenOnDisk {
    let topology = state.topology;
    let mut broken = BrokenOnDisk::new();
    let mut links: BTreeSet<LinkId> = BTreeSet::new();
    for id in (0..topology.inputs.len()).map(InputId) {
        let on_disk = state.on_disk(id);
        if state.loaded(id).iter().any(|loaded| loaded.holding != on_disk) {
            links.extend(topology.links_of.get(&id).into_iter().flatten());
        }
    }
    for id in links {
        let Some(link) = topology.links.get(id.0) else { continue };
        if *state.link(id) != Verdict::Holds {
            continue;
        }
        let (client, server) = (link.client, link.server);
        let both = BTreeSet::from([client, server]);
        for read_again in [BTreeSet::from([client]), BTreeSet::from([server]), both] {
            let on = |instance: &InstanceId| topology.instance(*instance).map(|instance| &instance.node);
            let nodes: BTreeSet<&NodeName> = read_again.iter().filter_map(on).collect();
            // One node that undoes its changes makes no other one read anything.
            let (Some(node), 1) = (nodes.first(), nodes.len()) else { continue };
            if matches!(state.verdict(id, &read_again).0, Verdict::Fails(_)) {
                broken.insert((id, (*node).clone()));
            }
        }
    }
    broken
}

/// The risk that a broken link is, where what lies on the disk of the node that undoes its changes breaks it without the plan as well.
pub(super) fn also_without_plan(
    broken: &BrokenOnDisk,
    link: LinkId,
    fault: &Counterexample,
    plan: &PlanContent,
) -> Option<UndoRisk> {
    let node = node_of(plan, fault)?;
    let is_known = broken.contains(&(link, node.clone()));
    is_known.then(|| UndoRisk::of(fault, node, true)).flatten()
}

/// The risks among faults, and the faults of steps, each in their order.
pub(super) fn apart(plan: &PlanContent, faults: Vec<Counterexample>) -> (Vec<UndoRisk>, Vec<Counterexample>) {
    let (mut risks, mut of_steps) = (Vec::new(), Vec::new());
    for fault in faults {
        match node_of(plan, &fault).and_then(|node| UndoRisk::of(&fault, node, false)) {
            Some(risk) => risks.push(risk),
            None => of_steps.push(fault),
        }
    }
    (risks, of_steps)
}

fn node_of<'p>(plan: &'p PlanContent, fault: &Counterexample) -> Option<&'p NodeName> {
    let step = fault.when().step();
    plan.actions().find(|action| action.number == step)?.address.node()
}

/// Of what may break on a node the first time that it does, and one that lasts before one that passes.
pub(super) fn once(risks: Vec<UndoRisk>) -> Vec<UndoRisk> {
    let mut first: BTreeMap<(NodeName, String, bool), UndoRisk> = BTreeMap::new();
    let order = |risk: &UndoRisk| match risk {
        UndoRisk::Breaks { step, passing, .. } => (*passing, *step),
        UndoRisk::TooFew { step, .. } => (false, *step),
    };
    for risk in risks {
        let key = (risk.node().clone(), risk.what().to_owned(), risk.is_also_without_plan());
        match first.get(&key) {
            Some(known) if order(known) <= order(&risk) => {}
            Some(_) | None => {
                first.insert(key, risk);
            }
        }
    }
    let mut risks: Vec<UndoRisk> = first.into_values().collect();
    risks.sort();
    risks
}
