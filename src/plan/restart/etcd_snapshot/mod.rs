//! Saving etcd's data before the first member is restarted.
//!
//! What enters are the deeds of a plan, what the spec wants and what the members say of themselves; what leaves is one deed more, in a phase before all others, or
//! why there is none. Which member is asked follows from the facts alone, and that another one leads by the time of the apply makes no plan stale: every
//! member that follows a leader has the same data. Where no member can be asked, such as in a cluster whose certificates have expired, the plan goes on
//! without and says so: there is nothing to ask, and waiting for it would keep people from bringing etcd back. Pure.

use crate::diff::{Finding, Reason};
use crate::profile::What;
use crate::spec::types::EtcdSnapshots;
use crate::types::names::{Address, NodeName, Target};
use crate::types::service_kind::ServiceKind;

use super::cause::changes;
use super::health_checks;
use crate::plan::known::builder::Builder;
use crate::plan::known::chosen;
use crate::plan::known::draft_deed::DraftDeed;
use crate::plan::known::{quorum, services};
use crate::plan::{Deed, Noted, Phase};

/// What becomes of etcd's data before a plan.
pub(crate) enum Saving {
    /// It stays where it is: the spec does not want it saved.
    Unwanted,
    /// It is saved.
    Saved(Box<DraftDeed>),
    /// The spec wants it saved, and nobody can be asked for it.
    Impossible(Noted),
}

/// Adds what saves etcd's data to a plan that restarts members.
pub(crate) fn save_etcd(builder: &mut Builder<'_>) {
    match saving(builder, builder.draft.deeds.values().flatten()) {
        Saving::Unwanted => {}
        Saving::Saved(deed) => builder.draft.add(*deed),
        Saving::Impossible(noted) => builder.draft.notes.push(noted),
    }
}

/// What becomes of etcd's data before these deeds.
pub(crate) fn saving<'d>(
    builder: &Builder<'_>,
    deeds: impl Iterator<Item = &'d DraftDeed> + Clone,
) -> Saving {
    let desired = &builder.input.survey.desired;
    let restarts =
        |deed: &&DraftDeed| quorum::restarts_member(deed, desired) || waits_for_dead(builder, deed);
    let Some(restart) = deeds.clone().find(restarts) else { return Saving::Unwanted };
    let is_wanted = match desired.snapshots.etcd {
        EtcdSnapshots::Always => true,
        EtcdSnapshots::Rotation => deeds.clone().any(|deed| is_of_rotation(builder, deed)),
        EtcdSnapshots::Never => false,
    };
    if !is_wanted {
        return Saving::Unwanted;
    }
    match member_that_sends(builder) {
        Some(deed) => Saving::Saved(Box::new(deed)),
        None => {
            let reason = Reason::EtcdNotSaved { because: nobody_to_ask(builder).to_owned() };
            Saving::Impossible(Noted { address: restart.address.clone(), finding: Finding::note(reason) })
        }
    }
}

/// Whether a deed waits for a member that does not run and that its kubelet starts.
fn waits_for_dead(builder: &Builder<'_>, deed: &DraftDeed) -> bool {
    let survey = builder.input.survey;
    let is_member =
        survey.desired.service_at(&deed.address).is_some_and(|service| service.is(ServiceKind::Etcd));
    let live = deed.address.node().and_then(|node| quorum::live(survey, node));
    matches!(deed.deed, Deed::AwaitHealthy { .. }) && is_member && live.is_some_and(services::is_down)
}

/// Whether a deed changes which CAs etcd trusts. The way back from such a plan does not count: the data was saved before the plan.
fn is_of_rotation(builder: &Builder<'_>, deed: &DraftDeed) -> bool {
    let nodes = &builder.input.survey.desired.nodes;
    let is_etcds = |what: &What| match what {
        What::Trust(authority) => nodes.values().any(|node| node.etcd_trusts(authority)),
        What::Identity(_) | What::Signer(_) | What::KubeconfigTrust(_) | What::KeyPair(_) => false,
    };
    let is_back = matches!(deed.deed, Deed::Restore { .. });
    deed.phase.is_of_replacement() || !is_back && changes(deed).iter().any(is_etcds)
}

/// What saves it: the leader sends it, or else the first member that follows one.
fn member_that_sends(builder: &Builder<'_>) -> Option<DraftDeed> {
    let survey = builder.input.survey;
    let leader = chosen::leader(builder.input);
    let mut members: Vec<&NodeName> =
        quorum::members(survey).filter(|name| chosen::follows(name, &survey.observed)).collect();
    members.sort_by_key(|name| leader != Some(*name));
    members.into_iter().find_map(|name| {
        let node = survey.desired.nodes.get(name)?;
        let (address, question) = health_checks::member(builder, (name, node))?;
        let deed = Deed::SnapshotEtcd {
            address,
            port: question.port,
            certificate: question.certificate,
            key: question.key,
            directory: survey.desired.snapshots.directory.clone(),
            keep: survey.desired.snapshots.keep,
            timeout: survey.desired.rollout.timeout,
        };
        let address = Address::on(Target::Service(question.service), name);
        let (phase, reasons) = (Phase::EtcdSnapshot, Vec::new());
        Some(DraftDeed { phase, address, deed, reasons, replaces: false })
    })
}

fn nobody_to_ask(builder: &Builder<'_>) -> &'static str {
    let survey = builder.input.survey;
    let mut facts = quorum::members(survey)
        .filter_map(|name| survey.observed.nodes.get(name).and_then(|answer| answer.facts()));
    match facts.all(|facts| facts.etcd.is_unlooked()) {
        true => "no client certificate is known with which a member could be asked for it",
        false => "no member that could be asked for it follows a leader",
    }
}

#[cfg(test)]
mod tests;
