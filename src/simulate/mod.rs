//! The trust simulation: a plan is played on a model of the cluster before anybody sees it.
//!
//! What enters is a [`Draft`](crate::plan::Draft), what should be, what is, and what is known of running processes; what leaves is a [`Plan`], or a
//! [`Counterexample`]: the first step at which a connection between components that worked stops working without the plan saying so, or at which
//! too few members of etcd or API servers are left. What breaks only where a node undoes its changes bars no plan and is declared with it (`undone`). The model
//! is written apart from the planner: it reads of a plan only what the deeds do, in their order. Pure.
//!
//! Of each instance of a service it knows what lies on disk, what it may have loaded (by the catalogue's reload table, in the worst case) and whether it
//! is up; after each action every connection that the action can affect is verified again, each way, and so at each instant of the ways back that undo the
//! transaction: from its end and from each point in it from which the way back can be another one (`play::is_point` says which and why). Of a rollback it knows
//! what the snapshots tell, and names what breaks instead of refusing it. A process that polls has what is new once a health check has seen it serve that, or once
//! an action has waited as long as it takes.
//!
//! What it does not model: the milliseconds between the two files of a pair, for a reader that reads them just then; name constraints on certificates that do not
//! exist yet, time that passes unasked (a process that polls may have read a change or not, until then or its restart), tokens, what kubelets renew by themselves
//! meanwhile, that a way back waits for its own health checks, and what an interrupted run had restarted. A pair is one step wherever it changes: where it is
//! written and where a rollback puts it back a node stages both files and renames one right after the other, and an undo puts back one file after the other.

mod deeds;
mod plan;
mod play;
mod refusal;
#[cfg(test)]
mod tests;
mod trust;
mod trust_files;
mod undone;

use std::collections::BTreeSet;

pub use plan::{Plan, check, check_rollback};

use crate::desired::Survey;
use crate::diff::unlisted;
use crate::plan::model::checked::{Checked, Counterexample, Heals, Interruption, Least, UndoRisk, When};
use crate::plan::{Blocked, PlanContent, PlannedTransaction};
use crate::trust::broken_authorities::authorities_of;
use crate::trust::disk::Disk;
use crate::trust::judge::Verdict;
use crate::trust::model::ClusterModel;
use crate::trust::processes::{Processes, otherwise};
use crate::trust::restored::{Restorable, Snapshots};
use crate::trust::state::State;
use crate::trust::topology::{Input, InstanceId, LinkId, Topology, topology};
use crate::types::names::{AuthorityName, Target};
use play::{Break, Play, Shortage, waves};
use trust_files::Watch;

/// Plays a plan.
#[cfg(test)]
fn simulate(plan: &PlanContent, survey: &Survey, processes: &Processes) -> Result<Checked, Counterexample> {
    simulate_waves(plan, &waves(plan), survey, processes)
}

/// What is known before the first visit, besides what the nodes hold.
struct Before<'a> {
    processes: &'a Processes,
    /// What comes back where a path is restored.
    snapshots: &'a Snapshots,
    /// Whether its steps and its end are judged besides what breaks on the way. Who goes back gets what was there, whatever that is.
    judges_end: bool,
}

impl<'a> Before<'a> {
    fn known(processes: &'a Processes) -> Self {
        Self { processes, snapshots: &NO_SNAPSHOTS, judges_end: true }
    }
}

static NO_SNAPSHOTS: Snapshots = Snapshots::new();

#[cfg(test)]
fn first((checked, faults): (Checked, Vec<Counterexample>)) -> Result<Checked, Counterexample> {
    faults.into_iter().next().map_or(Ok(checked), Err)
}

/// Everything that a plan breaks without saying so, the first first, also what only an undo breaks, for which [`check`] refuses no plan; what a connection does on
/// the ways back once it is broken is not said again.
pub fn counterexamples(plan: &PlanContent, survey: &Survey, processes: &Processes) -> Vec<Counterexample> {
    let (_, faults) = played(plan, &waves(plan), survey, &Before::known(processes));
    once(faults)
}

/// Of each connection and each service the first fault.
fn once(faults: Vec<Counterexample>) -> Vec<Counterexample> {
    let mut named: BTreeSet<String> = BTreeSet::new();
    faults.into_iter().filter(|fault| named.insert(fault.what())).collect()
}

/// What blocks a plan with a step that its node would refuse: nobody begins what cannot be ended.
fn cannot_be_done(fault: &Counterexample) -> Option<Blocked> {
    let Counterexample::Refused { when, address, reason } = fault else { return None };
    Some(Blocked {
        address: address.clone(),
        because: format!("{when} would fail: {reason}"),
        help: Some("mend that first, by hand or with a plan of its own (--only), and plan again".to_owned()),
        findings: Vec::new(),
    })
}

/// What blocks a plan that leaves too few instances of a service of which some do not work before it.
fn too_few_already(plan: &PlanContent, checked: &Checked, fault: &Counterexample) -> Option<Blocked> {
    let Counterexample::TooFew { when, service, left, of, needed } = fault else { return None };
    let least = checked.least.iter().find(|least| least.service == *service);
    least.filter(|least| least.before < least.of)?;
    let action = plan.actions().find(|action| action.number == when.step())?;
    Some(Blocked {
        address: action.address.beside(Target::Service(service.clone())),
        because: format!("{when} would leave {left} of {of} that work, and {needed} are needed"),
        help: Some(format!("bring back first what of {service} does not work now")),
        findings: Vec::new(),
    })
}

#[cfg(test)]
fn simulate_waves(
    plan: &PlanContent,
    waves: &[Vec<&PlannedTransaction>],
    survey: &Survey,
    processes: &Processes,
) -> Result<Checked, Counterexample> {
    first(played(plan, waves, survey, &Before::known(processes)))
}

/// What is said of the plan, and what it breaks without saying so, the first first.
fn played(
    plan: &PlanContent,
    waves: &[Vec<&PlannedTransaction>],
    survey: &Survey,
    &Before { processes, snapshots, judges_end }: &Before<'_>,
) -> (Checked, Vec<Counterexample>) {
    let mut world = ClusterModel::default();
    world.kept = Restorable::new(snapshots, &survey.desired, &mut world.material);
    for (name, node) in &survey.desired.nodes {
        for (service, wanted) in &node.services {
            let manifest = wanted.restart.as_ref().and_then(|restart| restart.static_pod.clone());
            world.pods.extend(manifest.map(|manifest| ((name.clone(), manifest), service.clone())));
        }
    }
    for (name, answer) in &survey.observed.nodes {
        if let Some(facts) = answer.facts() {
            let disk = Disk::of(facts, &mut world.material);
            world.disks.insert(name.clone(), disk);
        }
    }
    let topology = topology(&survey.desired, &survey.observed, &world.disks);
    let loaded_otherwise =
        |input: &Input, world: &mut ClusterModel| otherwise(input, world, &topology, survey, processes);
    let mut state = State::new(world, &topology, plan.created, loaded_otherwise);
    let broken_on_disk = undone::broken_on_disk(&mut state);
    let connections =
        (0..topology.links.len()).filter(|index| *state.link(LinkId(*index)) == Verdict::Holds).count();
    let down = processes.down.iter().filter_map(|(service, node)| topology.of(service, node)).collect();
    let watch = Watch::new(&survey.desired, &state.world.disks);
    let outside = unlisted(&survey.desired, &survey.observed).members_up(&survey.observed);
    let mut play = Play::new(state, watch, told(plan, &topology), down, outside);
    for wave in waves {
        play.wave(wave);
    }
    let mut interruptions = BTreeSet::new();
    let mut if_undone: Vec<UndoRisk> = Vec::new();
    let mut faults: Vec<Counterexample> = Vec::new();
    for shortage in std::mem::take(&mut play.shortages) {
        match shortage_of(shortage, &topology, processes) {
            Ok(named) => interruptions.extend(named),
            Err(fault) => faults.push(fault),
        }
    }
    for found in std::mem::take(&mut play.breaks) {
        let link = found.link;
        match break_of(found, &mut play, &topology, processes) {
            Ok(named) => {
                interruptions.insert(named);
            }
            Err(fault) => match undone::also_without_plan(&broken_on_disk, link, &fault, plan) {
                Some(risk) => if_undone.push(risk),
                None => faults.push(fault),
            },
        }
    }
    if judges_end {
        for (when, address, reason) in std::mem::take(&mut play.refusals) {
            faults.push(Counterexample::Refused { when, address, reason });
        }
        for (action, reason) in refusal::unmet(plan, &survey.observed) {
            let (when, address) = (When::Step(action.number), action.address.clone());
            faults.push(Counterexample::Refused { when, address, reason });
        }
        faults.extend(trust::faults(&mut play, &topology, &survey.desired));
    }
    if processes.outage_accepted {
        faults.extend(left(plan, &mut play, &topology, survey));
    }
    // Of two faults of one step the shortage comes first: it was found first.
    faults.sort_by_key(|fault| (fault.when().step(), fault.when()));
    let least = play.before.iter().zip(&play.lowest).map(|(before, lowest)| Least {
        service: before.service.clone(),
        of: before.of,
        before: before.healthy,
        least: lowest.healthy,
    });
    let checked = Checked {
        connections,
        too_many: topology.too_many,
        processes: Some(processes.known.keys().chain(&processes.down).collect::<BTreeSet<_>>().len()),
        least: least.collect(),
        interruptions: interruptions.into_iter().collect(),
        if_undone: undone::once(if_undone),
    };
    (checked, faults)
}

/// The links that do not work at the end, of the authorities that the plan writes or signs with.
fn left(
    plan: &PlanContent,
    play: &mut Play<'_>,
    topology: &Topology,
    survey: &Survey,
) -> Option<Counterexample> {
    let concerned = plan.actions().filter_map(|action| match &action.address.target {
        Target::Authority(authority) => Some(authority.clone()),
        Target::Identity(_)
        | Target::KeyPair(_)
        | Target::Directory(_)
        | Target::Service(_)
        | Target::Node => Some(action.deed.signed_under()?.clone()),
    });
    let concerned: BTreeSet<AuthorityName> = concerned.collect();
    let when = When::Step(plan.actions().last()?.number);
    let told = told(plan, topology);
    for (index, link) in topology.links.iter().enumerate() {
        if authorities_of(link, topology, survey).is_disjoint(&concerned) {
            continue;
        }
        let id = LinkId(index);
        if let (Verdict::Fails(reason), _) = play.state.verdict(id, &told) {
            let (connection, reason) = (topology.words(id), reason.to_string());
            return Some(Counterexample::Broken { when, connection, reason, heals: Heals::Never });
        }
    }
    None
}

/// The instances that the plan tells a person to restart.
fn told(plan: &PlanContent, topology: &Topology) -> BTreeSet<InstanceId> {
    let all = plan.restart_yourself.iter();
    all.flat_map(|manual| manual.nodes.iter().filter_map(|node| topology.of(&manual.service, node))).collect()
}

/// A shortage is an interruption where there are too few instances for anything else, or where it was accepted.
fn shortage_of(
    Shortage { when, count, down }: Shortage,
    topology: &Topology,
    processes: &Processes,
) -> Result<Vec<Interruption>, Counterexample> {
    let accepted = processes.outage_accepted;
    if !count.inherent && !accepted {
        let fault = Counterexample::TooFew {
            when,
            service: count.service,
            left: count.healthy,
            of: count.of,
            needed: count.needed,
        };
        return Err(fault);
    }
    // The way back restarts what the way forth restarted, which is named already.
    let down = if matches!(when, When::WayBack(_)) { BTreeSet::new() } else { down };
    let down = down.into_iter().filter_map(|instance| topology.instance(instance));
    let of_service = down.filter(|instance| instance.service == count.service);
    let named = of_service.map(|instance| Interruption::Restart {
        service: instance.service.clone(),
        node: instance.node.clone(),
        step: when.step(),
        of: count.of,
        accepted: !count.inherent,
    });
    Ok(named.collect())
}

/// A break is an interruption where the plan tells a person to restart what mends it, or where an outage was accepted and the plan itself ends it.
fn break_of(
    found: Break,
    play: &mut Play<'_>,
    topology: &Topology,
    processes: &Processes,
) -> Result<Interruption, Counterexample> {
    let connection = topology.words(found.link);
    let names = |instances: &BTreeSet<InstanceId>| {
        instances.iter().filter_map(|id| topology.instance(*id)).map(ToString::to_string).collect::<Vec<_>>()
    };
    if !found.told.is_empty() {
        return Ok(Interruption::UntilRestarted {
            connection,
            step: found.when.step(),
            reason: found.reason,
            restart: names(&found.told),
        });
    }
    let heals = match (found.mended, play.would_mend(found.link)) {
        (Some(step), _) => Heals::Step(step),
        (None, Some(instances)) => Heals::Restart(names(&instances)),
        (None, None) => Heals::Never,
    };
    if processes.outage_accepted {
        let (step, reason) = (found.when.step(), found.reason.clone());
        match (found.when, &heals) {
            (_, Heals::Step(until)) => {
                return Ok(Interruption::Outage { connection, step, reason, until: Some(*until) });
            }
            // A way back from an outage leads to where it began.
            (When::WayBack(_), Heals::Restart(_) | Heals::Never) => {
                return Ok(Interruption::Outage { connection, step, reason, until: None });
            }
            (When::Step(_), Heals::Restart(restart)) if play.is_mended_by_hand(found.link) => {
                let restart = restart.clone();
                return Ok(Interruption::UntilRestarted { connection, step, reason, restart });
            }
            (When::Step(_), Heals::Restart(_) | Heals::Never) => {}
        }
    }
    Err(Counterexample::Broken { when: found.when, connection, reason: found.reason, heals })
}
