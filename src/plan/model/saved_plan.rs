//! A plan as a file says it: shown, and compared with the plan that apply makes itself. It is never carried out.
//!
//! What enters is the bytes of a file, which anybody may have written; what leaves is a value of a type of its own, from which no [`PlanContent`] can be had outside of this
//! library: `apply` takes a plan, and only the planner makes one. A name that fits what the file says protects against accidents and no more. Pure.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer, de};

use super::plan_name::name;
use crate::diff::signed::FileContent;
use crate::plan::model::checked::Checked;
use crate::plan::{
    Blocked, Choices, Deed, LinkedPath, ManualRestart, NoSuchPhase, Noted, Options, Phase, PhaseLine,
    PlanContent, PlanProgress, PlannedTransaction, Postponed, Privileged, RootCommand, Summary,
    TransactionProgress, Waiting,
};
use crate::protocol::file::SpecReference;
use crate::protocol::file::{SavedError, check_format};
use crate::types::names::{Address, ClusterName, NodeName};
use crate::types::place::Place;
use crate::types::profile_name::ProfileName;
use crate::types::secret::Secret;
use crate::x509::Certificate;

/// What a saved plan says.
#[derive(Debug, Clone, PartialEq)]
pub struct SavedPlan {
    pub(crate) says: PlanContent,
    /// The phase after which it was cut when it was about to be applied.
    pub(crate) cut_after: Option<Phase>,
}

impl SavedPlan {
    /// Reads what [`crate::protocol::file::to_text`] wrote of a plan.
    ///
    /// # Errors
    /// It is something else, of a later format, or was changed since: its name does not fit what it says.
    pub fn read(text: &[u8]) -> Result<Self, SavedError> {
        check_format(text)?;
        let mut from = serde_json::Deserializer::from_slice(text);
        let says = PlanDef::deserialize(&mut from).map_err(SavedError::Unreadable)?;
        from.end().map_err(SavedError::Unreadable)?;
        if let Some(address) = in_the_cluster(&says) {
            let words =
                format!("{address} is in the cluster and on no node, and this program works on nodes only");
            return Err(SavedError::Unreadable(de::Error::custom(words)));
        }
        if says.id != name(text) || !is_numbered(&says.visits) {
            return Err(SavedError::Changed);
        }
        Ok(Self { says, cut_after: None })
    }

    /// What it says, for showing and comparing it.
    pub(crate) fn shown(&self) -> &PlanContent {
        &self.says
    }

    /// Its name, which is that of its run and of the snapshots of it.
    pub fn id(&self) -> &str {
        &self.says.id
    }

    /// The cluster that it is for.
    pub fn cluster(&self) -> &ClusterName {
        &self.says.cluster
    }

    /// The layout that it was made for.
    pub fn profile(&self) -> ProfileName {
        self.says.profile
    }

    /// The spec from which it was made.
    pub fn spec(&self) -> &SpecReference {
        &self.says.spec
    }

    /// The program that made it, with its version.
    pub fn tool(&self) -> &str {
        &self.says.tool
    }

    /// The instant for which it was made.
    pub fn created(&self) -> Timestamp {
        self.says.created
    }

    /// When it is too old to be applied: by its beginning and by what it issues, whatever the file says of that itself.
    pub fn expires(&self) -> Timestamp {
        self.says.life().length.after(self.says.observed_at.min(self.says.created))
    }

    /// What the user asked for besides the spec.
    pub fn options(&self) -> &Options {
        &self.says.options
    }

    /// The nodes that it leaves alone.
    pub fn skipped(&self) -> &[NodeName] {
        &self.says.skipped
    }

    /// Whether it was made to be applied.
    pub fn is_applicable(&self) -> bool {
        self.says.applicable
    }

    /// What was chosen when it was made; none of a plan of version 0.1.0, which therefore cannot be made again.
    pub fn choices(&self) -> Option<&Choices> {
        self.says.choices.as_ref()
    }

    /// Its work, for looking at it.
    pub fn visits(&self) -> &[PlannedTransaction] {
        &self.says.visits
    }

    /// Whether all it does is to undo what an interrupted run left open.
    pub fn only_undoes(&self) -> bool {
        self.says.only_undoes()
    }

    /// The plan up to a phase and with it.
    ///
    /// # Errors
    /// It has no such phase.
    pub fn until(self, last: Phase) -> Result<Self, NoSuchPhase> {
        Ok(Self { says: self.says.until(last)?, cut_after: Some(last) })
    }

    /// The certificates that were signed elsewhere and that it installs in visits that are not done yet, as the files that were brought with them.
    pub fn brought(&self, standings: &PlanProgress) -> BTreeMap<String, FileContent> {
        let left = self.says.visits.iter();
        let left =
            left.filter(|visit| standings.visits.get(&visit.number) != Some(&TransactionProgress::Done));
        let brought = left.flat_map(|visit| &visit.actions).filter_map(|action| {
            let Deed::InstallIdentity(install) = &action.deed else { return None };
            let certificates = std::iter::once(&install.certificate).chain(&install.chain);
            let text: String = certificates.map(Certificate::to_pem).collect();
            Some((format!("{}.crt", action.address), Ok(Secret::new(text.into_bytes()))))
        });
        brought.collect()
    }
}

impl Serialize for SavedPlan {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.says.serialize(serializer)
    }
}

/// A thing that is on no node. Nothing can be done to it, and no plan of version 1 is about one.
fn in_the_cluster(says: &PlanContent) -> Option<&Address> {
    let told = says.blocked.iter().chain(&says.elsewhere).map(|blocked| &blocked.address);
    let noted = says.notes.iter().map(|noted| &noted.address);
    let waiting = says.waiting.iter().map(|waiting| &waiting.address);
    let privileged = says.privileges.iter().map(|privileged| &privileged.address);
    let withheld = says.options.withheld.iter().map(|withheld| &withheld.address);
    let worked_on = says.actions().map(|action| &action.address);
    let mut all = worked_on.chain(told).chain(noted).chain(waiting).chain(privileged).chain(withheld);
    all.find(|address| match address.place {
        Place::Node(_) => false,
        Place::Cluster => true,
    })
}

/// Visits and actions are numbered by their places, and everything that is said of a step goes by its number.
fn is_numbered(visits: &[PlannedTransaction]) -> bool {
    let actions = visits.iter().flat_map(|visit| &visit.actions);
    visits.iter().map(|visit| visit.number).eq((1..).take(visits.len()))
        && actions.clone().map(|action| action.number).eq((1..).take(actions.count()))
}

/// The fields of a [`PlanContent`], which has no way of its own out of a file.
#[derive(Deserialize)]
#[serde(remote = "PlanContent", rename_all = "camelCase")]
struct PlanDef {
    #[serde(rename = "format_version")]
    format_version: String,
    id: String,
    cluster: ClusterName,
    profile: ProfileName,
    spec: SpecReference,
    tool: String,
    created: Timestamp,
    observed_at: Timestamp,
    #[serde(rename = "expires_at")]
    expires: Timestamp,
    #[serde(default)]
    options: Options,
    #[serde(default)]
    skipped: Vec<NodeName>,
    #[serde(default)]
    choices: Option<Choices>,
    applicable: bool,
    #[serde(default)]
    privileges: Vec<Privileged>,
    #[serde(default)]
    runs_as_root: Vec<RootCommand>,
    visits: Vec<PlannedTransaction>,
    #[serde(default)]
    later: Vec<Phase>,
    blocked: Vec<Blocked>,
    elsewhere: Vec<Blocked>,
    #[serde(default)]
    waiting: Vec<Waiting>,
    restart_yourself: Vec<ManualRestart>,
    notes: Vec<Noted>,
    #[serde(default)]
    phases: Vec<PhaseLine>,
    #[serde(default)]
    postponed: Vec<Postponed>,
    #[serde(default)]
    accepted_outages: Vec<String>,
    summary: Summary,
    #[serde(default)]
    links: Vec<LinkedPath>,
    #[serde(default)]
    checked: Option<Checked>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{lost_pair, plan_of};
    use crate::protocol::file::to_text;

    fn text() -> String {
        to_text(&plan_of(&lost_pair(), &Options::default()))
    }

    #[test]
    fn what_was_written_is_read() {
        let plan = plan_of(&lost_pair(), &Options::default());
        let saved = SavedPlan::read(to_text(&plan).as_bytes()).unwrap();
        assert_eq!((saved.shown(), to_text(&saved)), (&plan, to_text(&plan)));
        // White space is no content.
        let value: serde_json::Value = serde_json::from_str(&text()).unwrap();
        let other = serde_json::to_string(&value).unwrap();
        assert!(matches!(SavedPlan::read(other.as_bytes()), Err(SavedError::Changed)), "but the order is");
    }

    #[test]
    fn whatever_was_changed_without_a_name_that_fits_is_refused() {
        let text = text();
        let id = text.lines().find(|line| line.starts_with("  \"id\"")).unwrap();
        for changed in [
            text.replacen("apiserver", "apisrver", 1),
            text.replacen(id, "  \"id\": \"0000-0000\",", 1),
            text.replacen("{", "{\n  \"later_field\": 1,", 1),
            text.replacen(id, &format!("{id}\n{id}"), 1),
        ] {
            let read = SavedPlan::read(changed.as_bytes());
            assert!(matches!(read, Err(SavedError::Changed | SavedError::Unreadable(_))), "{changed}");
        }
    }

    #[test]
    fn a_plan_that_works_in_the_cluster_is_refused_in_words() {
        let text = text();
        let plan = plan_of(&lost_pair(), &Options::default());
        let (node, address) =
            (plan.visits[0].place.to_string(), plan.visits[0].actions[1].address.to_string());
        let bare = address.split('@').next().unwrap();
        for (was, now, words) in [
            (
                format!("\"node\": \"{node}\",\n      \"actions\""),
                "\"node\": null,\n      \"actions\"",
                "names the cluster",
            ),
            (format!("\"address\": \"{address}\""), &format!("\"address\": \"{bare}\""), "is in the cluster"),
        ] {
            let changed = text.replacen(&was, now, 1);
            assert_ne!(changed, text, "{was}");
            let named = changed.replacen(&plan.id, &name(changed.as_bytes()), 1);
            let Err(SavedError::Unreadable(why)) = SavedPlan::read(named.as_bytes()) else { panic!("{now}") };
            assert!(why.to_string().contains(words), "{why}");
        }
        // What is no place at all is said as before.
        let missing = text.replacen(&format!("\"node\": \"{node}\",\n      \"actions\""), "\"actions\"", 1);
        let Err(SavedError::Unreadable(why)) = SavedPlan::read(missing.as_bytes()) else { panic!() };
        assert!(why.to_string().contains("missing field `node`"), "{why}");
    }

    #[test]
    fn fields_of_a_later_minor_format_count_for_the_name_and_nothing_else() {
        let later =
            text().replacen("{", "{\n  \"laterField\": {\"b\": 1.5, \"a\": [null, true, -7, \"é\"]},", 1);
        let name = name(later.as_bytes());
        let id = plan_of(&lost_pair(), &Options::default()).id;
        assert!(SavedPlan::read(later.replacen(&id, &name, 1).as_bytes()).is_ok());
    }
}
