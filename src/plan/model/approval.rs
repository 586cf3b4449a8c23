//! Who has to say yes to a plan, and how.
//!
//! What enters is a finished plan; what leaves is its tier. The upper tier is for what cannot be rolled back or takes a cluster down: dropping trust, removing a
//! key from the snapshots, a loss of quorum of a cluster of several members, an undo that would break what works now, bringing back what has expired, and giving a
//! certificate or file more than the layout gives it. Nothing else is in it, so that nobody gets used to it.

use std::collections::BTreeSet;

use crate::plan::model::checked::UndoRisk;
use crate::plan::{Action, Deed, Phase, PlanContent, Privileged};
use crate::types::names::AuthorityName;

/// What a plan needs to be approved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Approval {
    /// A yes.
    Ordinary,
    /// The name, typed out.
    Upper {
        /// What is typed, such as `prod-eu1/outage`.
        name: String,
        /// Why, in one sentence for each reason.
        why: Vec<String>,
    },
}

impl PlanContent {
    /// What it needs to be approved.
    pub fn approval(&self) -> Approval {
        let mut what: Vec<&str> = Vec::new();
        let mut why = self.accepted_outages.clone();
        why.extend(self.undo_breaks());
        if !why.is_empty() {
            what.push("outage");
        }
        let (dropped, purged) = (self.of_phase(Phase::DropOld), self.of_phase(Phase::Purge));
        let drops = || {
            let visits = self.visits.iter().filter(|visit| visit.phase == Phase::DropOld);
            visits.flat_map(|visit| &visit.actions)
        };
        let own = drops().filter(|action| action.drops_own()).filter_map(Action::authority);
        let own: BTreeSet<&AuthorityName> = own.collect();
        let strays: BTreeSet<&AuthorityName> = dropped.difference(&own).copied().collect();
        let kubeconfigs = drops().filter(|action| matches!(action.deed, Deed::UpdateKubeconfig { .. }));
        let kubeconfigs: BTreeSet<String> =
            kubeconfigs.map(|action| action.address.target.to_string()).collect();
        if dropped.is_empty() && !kubeconfigs.is_empty() {
            what.extend(kubeconfigs.iter().map(String::as_str));
            why.push(
                "a CA that is none of this cluster's is dropped from the CA data of kubeconfigs".to_owned(),
            );
        }
        for authority in dropped.union(&purged) {
            what.push(authority.as_str());
            if strays.contains(authority) {
                why.push(format!(
                    "a CA that is none of this cluster's is dropped from ca/{authority}: from then on whoever shows a certificate that it signed is refused"
                ));
            } else if dropped.contains(authority) {
                why.push(format!(
                    "the old CA of ca/{authority} is dropped: from then on nobody trusts what it signed, and there is no way back but another replacement"
                ));
            }
            if purged.contains(authority) {
                why.push(format!(
                    "the private key of the distrusted CA of ca/{authority} is removed from the snapshots, and nothing brings it back"
                ));
            }
        }
        if !self.privileges.is_empty() {
            what.push("privilege");
            why.extend(self.privileged().into_iter().map(|(words, on)| format!("{on}: {words}")));
        }
        match what.is_empty() {
            true => Approval::Ordinary,
            false => Approval::Upper { name: format!("{}/{}", self.cluster, what.join("+")), why },
        }
    }

    /// What it needs to be approved as a way back, which brings back certificates that have `expired`. Where nothing is seen to run, as on nodes that are directories,
    /// nothing is interrupted for certain.
    pub fn approval_of_way_back(&self, expired: &[String], runs: bool) -> Approval {
        let interruptions = self.checked.iter().flat_map(|checked| &checked.interruptions);
        let outages = interruptions.filter(|interruption| runs && interruption.is_outage()).count();
        let mut why = Vec::new();
        if !expired.is_empty() {
            why.push(format!("This brings back certificates that have expired: {}.", expired.join(", ")));
        }
        match outages {
            0 => {}
            1 => why.push("This interrupts what works now, as the plan says.".to_owned()),
            outages => why.push(format!("This interrupts {outages} things that work now, as the plan says.")),
        }
        if runs && self.undo_risks().next().is_some() {
            why.push(
                "If a step or a health check fails, undoing the rollback interrupts what works now, as the plan says."
                    .to_owned(),
            );
        }
        match why.is_empty() {
            true => Approval::Ordinary,
            false => Approval::Upper { name: format!("{}/rollback", self.cluster), why },
        }
    }

    /// What would not work if a node undid its changes, and works for as long as the plan is left alone.
    ///
    /// A run undoes changes by itself, where a step or a health check fails and nobody is asked any more: so an outage that may come of it is approved before, by the
    /// same name as one that is planned. What breaks without the plan as well, as soon as a node's disk is read again, is shown and needs no more than a yes: it is no
    /// outage that the plan brings, and the plan is what ends that danger. A timer that had to wait for a person with it would leave the cluster in it.
    pub fn undo_risks(&self) -> impl Iterator<Item = &UndoRisk> {
        let all = self.checked.iter().flat_map(|checked| &checked.if_undone);
        all.filter(|risk| !risk.is_also_without_plan())
    }

    fn undo_breaks(&self) -> Option<String> {
        let nodes: BTreeSet<&str> = self.undo_risks().map(|risk| risk.node().as_str()).collect();
        let nodes: Vec<&str> = nodes.into_iter().collect();
        (!nodes.is_empty()).then(|| {
            let nodes = nodes.join(", ");
            format!("if a step or a health check fails, undoing the changes on {nodes} breaks what works now")
        })
    }

    /// Each privilege that it gives, in words, with the names of what is given it: those on several nodes once.
    pub fn privileged(&self) -> Vec<(String, String)> {
        let mut found: Vec<(String, String, Vec<&str>)> = Vec::new();
        for Privileged { address, privilege, .. } in &self.privileges {
            let (words, subject) = (privilege.to_string(), address.target.to_string());
            let node = address.place.as_str();
            match found.iter_mut().find(|(known, of, _)| *known == words && *of == subject) {
                Some((.., nodes)) if nodes.contains(&node) => {}
                Some((.., nodes)) => nodes.push(node),
                None => found.push((words, subject, vec![node])),
            }
        }
        found.into_iter().map(|(words, of, nodes)| (words, format!("{of} @ {}", nodes.join(", ")))).collect()
    }

    /// The authorities on which it works in a phase.
    fn of_phase(&self, phase: Phase) -> BTreeSet<&AuthorityName> {
        let visits = self.visits.iter().filter(|visit| visit.phase == phase);
        visits.flat_map(|visit| &visit.actions).filter_map(Action::authority).collect()
    }
}
