//! The plan: every action in the order in which it will be done, and why.
//!
//! What enters is what should be, what is, the differences, the instant `now` and what the user asked for; what leaves is a [`Draft`] that
//! leaves no choice open: names, dates, files, signers and order are in it. Only `simulate` makes a plan of it. Keys and serial numbers are the only things drawn later, so
//! a plan holds no secret and never can. Pure: the same input gives the same bytes.

pub(crate) mod draft;
pub mod known;
pub mod model;
mod order;
pub mod restart;
pub mod resume;
pub mod rotation;
#[cfg(test)]
mod tests;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use model::approval::Approval;
pub use model::bundle::{Bundle, Position};
pub use model::choices::{Again, Choices};
pub use model::csr::{CsrRequest, Install, Waiting};
pub use model::deed::{Action, Deed, Disruption, RestartMethod, RootSource, Undo, Why};
pub use model::draft::Draft;
pub use model::fact::{Expected, Fact, Precondition, fact};
pub use model::identity_copy::{IdentityCopy, KeyCopy};
pub use model::issue::{CaCertificates, Issue, KeySource};
pub use model::life::{Life, PLAN_LIFE};
pub use model::linked::LinkedPath;
pub use model::options::{Options, Selector, SelectorError, Withheld};
pub use model::phase::{Phase, PhaseError, Side};
pub use model::phase_table::PhaseLine;
pub use model::postponed::Postponed;
pub use model::privilege::{Privilege, Privileged, RootCommand};
pub use model::saved_plan::SavedPlan;
pub use model::summary::{Summary, Upcoming};
pub use order::graph::{Cycle, Graph};
pub use resume::again::{Dates, Difference, Passed, Rest};
pub use resume::progress::{Changed, Made, PlanProgress, TransactionProgress, standing};
pub use resume::rollback::{Rollback, RollbackError, rollback, runs};
pub use resume::selection::{SelectsNothing, selects_nothing};
pub use resume::until::NoSuchPhase;

use crate::protocol::file::SpecReference;

use crate::desired::Survey;
use crate::diff::signed::Signed;
use crate::diff::{Differences, Finding, Reason};
use crate::plan::model::checked::Checked;
use crate::protocol::facts::Answer;
use crate::protocol::file::{FORMAT_VERSION, TOOL};
use crate::types::names::{Address, ClusterName, NodeName, ServiceName};
use crate::types::profile_name::ProfileName;

/// How long before `now` a new certificate begins, so that a clock that runs a little behind accepts it (kubernetes#118922 uses the same).
pub const BACKDATE: crate::types::duration::Duration = crate::types::duration::Duration::from_seconds(300);

/// What a plan says, in order. It is read, compared and shown, and cannot be carried out: a [`Draft`], which nobody has simulated, a [`SavedPlan`], which a file
/// says, and the plan that `simulate` makes of a draft all hold one.
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

/// The work on one node, done or undone as a whole.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
// Saved plans and schemas know it by this name.
#[schemars(rename = "Visit")]
pub struct PlannedTransaction {
    /// Its place among the visits, from 1.
    pub number: u32,
    /// The phase to which it belongs. Visits come in the order of their phases.
    #[serde(default, skip_serializing_if = "Phase::is_ordinary")]
    pub phase: Phase,
    /// It is made at the same time as the visit before it: both are to workers, of which the spec lets so many be worked on at once.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub with_previous: bool,
    /// The node.
    pub node: NodeName,
    /// The actions, in order.
    pub actions: Vec<Action>,
}

/// Something that is due and cannot be done.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Blocked {
    /// What it is about.
    pub address: Address,
    /// Why it cannot be done, in one sentence.
    pub because: String,
    /// The way out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// The findings behind it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub findings: Vec<Why>,
}

/// A service that has to be restarted by hand.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManualRestart {
    /// The service.
    pub service: ServiceName,
    /// The nodes.
    pub nodes: Vec<NodeName>,
    /// What it has to read again.
    pub reads: Vec<String>,
    /// How it is restarted, in words.
    pub how: String,
    /// Why the plan does not do it, where it could.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<String>,
}

/// Something that was found and is left alone.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Noted {
    /// What it is about.
    pub address: Address,
    /// The finding.
    pub finding: Finding,
}

/// What a plan is made from.
pub struct Input<'a> {
    /// What should be, and what is.
    pub survey: &'a Survey,
    /// The differences between them.
    pub differences: &'a Differences,
    /// The instant for which the plan is made.
    pub now: Timestamp,
    /// The spec.
    pub spec: SpecReference,
    /// What the user asked for.
    pub options: &'a Options,
    /// Certificates that were signed elsewhere and brought back, checked.
    pub signed: &'a Signed,
    /// Where a path of the spec is written, as `FILE:LINE`; `None` for what is not written.
    pub place: &'a dyn Fn(&[String]) -> Option<String>,
}

impl Input<'_> {
    /// Why a thing is replaced whatever it is like: the user asked for it, or brought what is to replace it.
    fn asked_for(&self, address: &Address) -> Vec<Finding> {
        if !self.options.selects(address) {
            return Vec::new();
        }
        let replaced = self.options.replaces(address).then_some(Reason::Requested);
        let brought = self.signed.certificates.get(address);
        let brought = brought.map(|signed| Reason::Signed { file: signed.file.clone() });
        replaced.into_iter().chain(brought).map(Finding::due).collect()
    }
}

/// Why there is no plan.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// A fault of the planner: actions that wait for each other.
    #[error(transparent)]
    Cycle(#[from] Cycle),
    /// The user named a phase that the plan does not have.
    #[error(transparent)]
    Phase(#[from] NoSuchPhase),
}

/// Makes the plan, which then has to be simulated.
///
/// # Errors
/// A fault of the planner; or the user named a phase that the plan does not have.
pub fn draft(input: &Input<'_>) -> Result<Draft, PlanError> {
    let differences = input.differences.accepting(&input.options.replace_foreign);
    let input = &Input { differences: &differences, spec: input.spec.clone(), ..*input };
    let (work, held) = draft::worklist(input);
    let visits = order::visits(order::stages(work.deeds), input)?;
    let summary = Summary::of(input, &held, &visits, &work.blocked);
    let is_begun = model::phase_table::is_begun(&input.survey.desired, &held);
    let mut plan = PlanContent::new(input, visits, summary);
    plan.privileges = model::privilege::privileges(input, &held.authorities, &plan.visits);
    plan.runs_as_root = model::privilege::runs_as_root(&input.survey.desired, &plan.visits);
    plan.phases = model::phase_table::table(&plan.visits, is_begun);
    plan.applicable = work.blocked.is_empty() && !input.options.as_of;
    plan.blocked = work.blocked;
    plan.elsewhere = work.elsewhere;
    plan.waiting = work.waiting;
    plan.restart_yourself = work.restart_yourself;
    plan.notes = work.notes;
    plan.accepted_outages = work.accepted;
    plan.postponed = work.postponed;
    if let Some(last) = input.options.until_phase {
        plan = plan.until(last)?;
    }
    Ok(Draft::new(plan))
}

impl PlanContent {
    /// A plan with nothing but its work in it.
    fn new(input: &Input<'_>, visits: Vec<PlannedTransaction>, summary: Summary) -> Self {
        let observed = &input.survey.observed;
        let links = model::linked::linked(&visits, input.survey);
        let skipped = observed.nodes.iter().filter(|(_, answer)| matches!(answer, Answer::Skipped));
        Self {
            format_version: FORMAT_VERSION.to_owned(),
            id: String::new(),
            cluster: input.survey.desired.cluster.clone(),
            profile: input.survey.desired.profile,
            spec: input.spec.clone(),
            tool: TOOL.to_owned(),
            created: input.now,
            observed_at: observed.observed_at,
            expires: model::life::expires(&visits, input.options, observed.observed_at.min(input.now)),
            options: Options { again: None, ..input.options.clone() },
            skipped: skipped.map(|(name, _)| name.clone()).collect(),
            choices: Some(Choices::of(&visits, input)),
            applicable: true,
            privileges: Vec::new(),
            runs_as_root: Vec::new(),
            visits,
            later: Vec::new(),
            blocked: Vec::new(),
            elsewhere: Vec::new(),
            waiting: Vec::new(),
            restart_yourself: Vec::new(),
            notes: Vec::new(),
            phases: Vec::new(),
            postponed: Vec::new(),
            accepted_outages: Vec::new(),
            summary,
            links,
            checked: None,
        }
    }

    /// Whether its name fits what it says.
    pub fn is_as_made(&self) -> bool {
        let nameless = Self { id: String::new(), checked: None, ..self.clone() };
        self.id == nameless.digest()
    }

    /// The name that its content gives it while it has neither a name nor a simulation: eight hexadecimal digits of the digest of everything else in it.
    fn digest(&self) -> String {
        // A plan is made of types that always serialise; an empty text would still give an id.
        // With white space, which the name leaves out, since that is how it is saved: one encoder is in the program.
        model::saved_plan::name(serde_json::to_string_pretty(self).unwrap_or_default().as_bytes())
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
}
