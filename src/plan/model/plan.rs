//! What a plan says: its work, and everything that a person reads before it is done.
//!
//! A plain value that is read, compared and shown. It answers questions about what it says itself, gives itself its name, and never makes or changes any work. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::checked::Checked;
use super::choices::Choices;
use super::csr::Waiting;
use super::deed::{Action, Deed};
use super::linked::LinkedPath;
use super::options::Options;
use super::phase::Phase;
use super::phase_table::PhaseLine;
use super::plan_name;
use super::postponed::Postponed;
use super::privilege::{Privileged, RootCommand};
use super::summary::Summary;
use super::visit::{Blocked, ManualRestart, Noted, PlannedTransaction};
use crate::desired::Told;
use crate::protocol::file::SpecReference;
use crate::types::names::{Address, ClusterName, NodeName};
use crate::types::profile_name::ProfileName;

/// What a plan says, in order. It is read, compared and shown, and cannot be carried out: a [`Draft`], which nobody has simulated, a [`SavedPlan`], which a file
/// says, and the plan that `simulate` makes of a draft all hold one.
///
/// [`Draft`]: super::draft::Draft
/// [`SavedPlan`]: super::saved_plan::SavedPlan
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(
    rename = "Plan",
    description = "What will be done, in order. Only the planner makes one, and only one of this type is ever carried out: what a file says is a [`SavedPlan`]."
)]
pub struct PlanContent {
    /// The version of the written form, such as `1.0`.
    #[serde(rename = "format_version")]
    pub format_version: String,
    /// The short name of the plan, of the run that carries it out and of its snapshots: `7f3a-91c2`.
    pub id: String,
    /// The cluster.
    pub cluster: ClusterName,
    /// The layout.
    pub profile: ProfileName,
    /// The spec.
    pub spec: SpecReference,
    /// The program that made it, with its version.
    pub tool: String,
    /// The instant for which it was made.
    pub created: Timestamp,
    /// When the nodes told what it was made from.
    pub observed_at: Timestamp,
    /// When it is too old to be applied.
    #[serde(rename = "expires_at")]
    pub expires: Timestamp,
    /// What the user asked for besides the spec.
    #[serde(default, skip_serializing_if = "Options::is_default")]
    pub options: Options,
    /// The nodes that were left alone because the user said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skipped: Vec<NodeName>,
    /// What was chosen where several nodes would have done. Plans of version 0.1.0 do not say it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<Choices>,
    /// Whether it may be applied: nothing blocks it, and it was made for the present.
    pub applicable: bool,
    /// What it gives beyond what the layout gives: it needs an approval of its own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub privileges: Vec<Privileged>,
    /// The commands of the spec that it runs as root.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs_as_root: Vec<RootCommand>,
    /// The nodes' work, in order.
    pub visits: Vec<PlannedTransaction>,
    /// The phases that are left for a later run, because the user said so.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<Phase>,
    /// What cannot be done, and why. Any of these makes the plan not applicable.
    pub blocked: Vec<Blocked>,
    /// What is due and has to be done elsewhere, such as by an external CA. The rest of the plan is applicable all the same.
    pub elsewhere: Vec<Blocked>,
    /// The requests that wait on their nodes for certificates that are signed elsewhere. Apply hands them out once more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub waiting: Vec<Waiting>,
    /// Services that have to be restarted by hand to use what is written.
    pub restart_yourself: Vec<ManualRestart>,
    /// What was found and is left alone.
    pub notes: Vec<Noted>,
    /// The phases in which CAs are replaced, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub phases: Vec<PhaseLine>,
    /// Replacements that go on later, by themselves. They are no change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub postponed: Vec<Postponed>,
    /// The outages without which it could not be done and which were accepted, in words.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted_outages: Vec<String>,
    /// How many things there are, and what happens to them.
    pub summary: Summary,
    /// The links by which paths of this plan lead elsewhere than they say.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub links: Vec<LinkedPath>,
    /// What its simulation says; none before it was simulated, which is no part of what it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checked: Option<Checked>,
}

impl PlanContent {
    /// Whether its name fits what it says.
    pub fn is_as_made(&self) -> bool {
        let nameless = Self { id: String::new(), checked: None, ..self.clone() };
        self.id == nameless.digest()
    }

    /// The name that its content gives it while it has neither a name nor a simulation: eight hexadecimal digits of the digest of everything else in it.
    pub(super) fn digest(&self) -> String {
        // A plan is made of types that always serialise; an empty text would still give an id.
        // With white space, which the name leaves out, since that is how it is saved: one encoder is in the program.
        plan_name::name(serde_json::to_string_pretty(self).unwrap_or_default().as_bytes())
    }

    /// Every action, in order.
    pub fn actions(&self) -> impl Iterator<Item = &Action> {
        self.visits.iter().flat_map(|visit| &visit.actions)
    }

    /// Whether all it does is to undo what an interrupted run left open: what else is due can only be seen after that.
    pub fn only_undoes(&self) -> bool {
        self.actions().all(|action| matches!(action.deed, Deed::UndoOpen { .. }))
    }

    /// The phases that it has, each with its visits.
    pub fn phases(&self) -> impl Iterator<Item = (Phase, &[PlannedTransaction])> {
        let phases = self.visits.chunk_by(|one, next| one.phase == next.phase);
        phases.filter_map(|visits| Some((visits.first()?.phase, visits)))
    }

    /// How many phases there are, with those that are left for a later run.
    pub fn phase_count(&self) -> usize {
        self.phases().count() + self.later.len()
    }

    /// To which phase each visit belongs, by its number, such as `phase 3 of 7 (clients)`, counted as the plan's table and its order count; none where the
    /// ordinary one is the only one.
    pub fn phase_names(&self) -> BTreeMap<u32, String> {
        let count = self.phase_count();
        let named = (1..).zip(self.phases()).filter(|(_, (phase, _))| count > 1 || !phase.is_ordinary());
        let name = |(number, (phase, visits)): (u32, (Phase, &[PlannedTransaction]))| {
            let name = format!("phase {number} of {count} ({phase})");
            visits.iter().map(|visit| (visit.number, name.clone())).collect::<Vec<_>>()
        };
        named.flat_map(name).collect()
    }

    /// The visits in waves: those of a wave are made at the same time, and a wave begins when the one before it has ended.
    pub fn waves(&self) -> impl Iterator<Item = &[PlannedTransaction]> {
        self.visits.chunk_by(|one, next| next.with_previous && one.phase == next.phase)
    }

    /// Whether its first visits can be taken back. Once snapshots begin to forget a key, what needs it stays dropped everywhere.
    pub fn can_take_back(&self, visits: usize) -> bool {
        self.visits.iter().take(visits).all(|visit| visit.phase != Phase::Purge)
    }

    /// The visit to which an action belongs.
    pub fn visit_of(&self, action: &Action) -> Option<&PlannedTransaction> {
        let is_here =
            |visit: &&PlannedTransaction| visit.actions.iter().any(|own| own.number == action.number);
        self.visits.iter().find(is_here)
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.visits.is_empty() && self.blocked.is_empty() && self.elsewhere.is_empty()
    }

    /// Values that come into the files of one node by the word of another, and that not every control plane says. A person has to look at them.
    pub fn told_by_others(&self) -> impl Iterator<Item = (&Action, &Told)> {
        let told =
            self.actions().flat_map(|action| action.deed.told().iter().map(move |told| (action, told)));
        told.filter(|(action, told)| !told.agreed && !action.address.place.is(&told.from.node))
    }

    /// What a person has to look at before it is done, and what for: privileges, and what not every control plane says.
    pub fn waits_for_a_person(&self) -> Vec<(Address, String)> {
        let privileges = self.privileges.iter().map(|one| (one.address.clone(), one.privilege.to_string()));
        let told = self.told_by_others().map(|(action, told)| (action.address.clone(), told.to_string()));
        privileges.chain(told).collect()
    }

    /// Where the links of a node lead, as they must still do when its work begins. What the plan itself makes lead elsewhere is not among them.
    pub fn leads(&self, node: &NodeName) -> BTreeMap<String, String> {
        let is_changed = |path: &String| {
            self.actions().filter(|action| action.address.place.is(node)).any(|action| {
                matches!(
                    &action.deed,
                    Deed::MoveDirectory { link: made, .. }
                    | Deed::MakeLink { path: made, .. }
                    | Deed::Restore { path: made, .. } if made == path
                )
            })
        };
        let own = self.links.iter().filter(|linked| linked.node == *node && !is_changed(&linked.path));
        own.map(|linked| (linked.path.clone(), linked.resolved.clone())).collect()
    }
}
