//! What a plan says of its work once that is in order: the counters, and whether a replacement had begun before it.
//!
//! What enters are finished transactions, and what planning looked at; what leaves is a plan with its work in it. What cannot be done, and what a person has to do,
//! is told by whoever found it. Pure.

use crate::desired::Desired;
use crate::diff::{CaRotation, Differences, Effect};
use crate::plan::known::chosen;
use crate::plan::model::life;
use crate::plan::model::linked::linked;
use crate::plan::model::summary::touched;
use crate::plan::{Blocked, Choices, Input, Options, PlanContent, PlannedTransaction, Summary, Upcoming};
use crate::protocol::facts::Answer;
use crate::protocol::file::{FORMAT_VERSION, TOOL};
use crate::types::names::{Address, AuthorityName, Target};

/// A plan with nothing but its work in it. Whatever is blocked does not stay as it is.
pub(crate) fn content(
    input: &Input<'_>,
    visits: Vec<PlannedTransaction>,
    blocked: &[Blocked],
) -> PlanContent {
    let summary = summary(input, &visits, blocked);
    let observed = &input.survey.observed;
    let links = linked(&visits, input.survey);
    let skipped = observed.nodes.iter().filter(|(_, answer)| matches!(answer, Answer::Skipped));
    PlanContent {
        format_version: FORMAT_VERSION.to_owned(),
        id: String::new(),
        cluster: input.survey.desired.cluster.clone(),
        profile: input.survey.desired.profile,
        spec: input.spec.clone(),
        tool: TOOL.to_owned(),
        created: input.now,
        observed_at: observed.observed_at,
        expires: life::expires(&visits, input.options, observed.observed_at.min(input.now)),
        options: Options { again: None, ..input.options.clone() },
        skipped: skipped.map(|(name, _)| name.clone()).collect(),
        choices: Some(Choices::of(&visits, chosen::leader(input))),
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

/// How many things there are, and what happens to them.
fn summary(input: &Input<'_>, visits: &[PlannedTransaction], blocked: &[Blocked]) -> Summary {
    let mut summary = Summary::default();
    for action in visits.iter().flat_map(|visit| &visit.actions) {
        summary.count(action);
    }
    let mut touched = touched(visits);
    touched.extend(blocked.iter().map(|blocked| &blocked.address));
    let (survey, differences) = (input.survey, input.differences);
    for (name, node) in &survey.desired.nodes {
        summary.nodes += 1;
        if !differences.identities().contains_key(name) {
            summary.not_seen += node.identities.values().filter(|identity| !identity.optional).count();
            summary.unseen.push(name.clone());
            continue;
        }
        summary.nodes_seen += 1;
        for (identity, wanted) in &node.identities {
            let view = differences.identity(name, identity);
            let certificate = view.and_then(|view| view.certificate.as_ref());
            let has_none = view.is_some_and(|view| view.other_credentials.is_some());
            let kept = (!wanted.optional || certificate.is_some()) && !has_none;
            summary.certificates += usize::from(kept);
            let address = Address::on(Target::Identity(identity.clone()), name);
            summary.unchanged += usize::from(kept && !touched.contains(&address));
            if let (Some(certificate), false) = (certificate, wanted.rotated_by_kubelet) {
                let expires = certificate.facts().not_after;
                let at = wanted.renew_before.value.before(expires);
                let name = identity.to_string();
                keep_first(&mut summary.next_renewal, Upcoming { at, name, expires });
            }
        }
    }
    let outside = differences.findings.iter().filter(|(address, findings)| {
        let is_due = findings.iter().any(|finding| finding.effect == Effect::Due);
        is_due && !input.options.selects(address)
    });
    summary.outside_only = outside.count();
    for (name, view) in differences.authorities() {
        summary.authorities += 1;
        if let Some(signer) = view.signer() {
            let expires = signer.facts().not_after;
            keep_first(
                &mut summary.first_authority_end,
                Upcoming { at: expires, name: name.to_string(), expires },
            );
        }
    }
    summary
}

fn keep_first(first: &mut Option<Upcoming>, next: Upcoming) {
    if first.as_ref().is_none_or(|first| next < *first) {
        *first = Some(next);
    }
}

/// Whether somebody shows what a CA signed that is only coming, since the replacement began earlier.
pub(crate) fn is_begun(desired: &Desired, differences: &Differences) -> bool {
    let shows_new = |(authority, succession): (&AuthorityName, &CaRotation)| {
        desired.nodes.iter().any(|(node, wanted)| {
            let mut own = wanted.identities.iter();
            own.any(|(identity, wanted)| {
                let view = differences
                    .identity(node, identity)
                    .filter(|_| wanted.authority.as_ref() == Some(authority));
                view.is_some_and(|view| {
                    let certificate = view.certificate.as_ref();
                    certificate.is_some_and(|own| succession.is_of_what_comes(own, &view.chain))
                })
            })
        })
    };
    differences.successions().iter().filter(|(_, succession)| !succession.is_only_dropping()).any(shows_new)
}
