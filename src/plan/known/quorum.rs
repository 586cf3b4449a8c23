//! What the members of etcd say about being restarted: whether they have a quorum, whether the others can do without one of them, and which one leads.
//!
//! What enters is the facts of the nodes; what leaves is an answer. Restarting a member is safe only where the others keep a quorum without it, and
//! costs an election only where it leads (etcd raft: an election takes from one to two election timeouts, a second or two by default).

use crate::desired::{Desired, Survey};
use crate::diff::unlisted;
use crate::protocol::facts::{EtcdFacts, MemberStatus, NodeFacts, Observed, Seen, ServiceFacts};
use crate::types::names::NodeName;
use crate::types::service_kind::ServiceKind;

use super::draft_deed::DraftDeed;
use super::services;
use crate::plan::Deed;

/// Whether the members have a quorum.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Quorum {
    /// A member follows a leader.
    Kept,
    /// So many members do not work that the others are too few.
    Lost,
    /// Enough members run, and none of them says whom it follows.
    Unknown,
    /// Nobody has looked.
    Unseen,
}

/// The nodes that should have a member.
pub(crate) fn members(survey: &Survey) -> impl Iterator<Item = &NodeName> {
    let nodes = survey.desired.nodes.iter();
    nodes.filter(|(_, node)| node.has(ServiceKind::Etcd)).map(|(name, _)| name)
}

/// What was seen of the member that should run on a node.
pub(crate) fn live<'a>(survey: &'a Survey, node: &NodeName) -> Option<&'a ServiceFacts> {
    let mut members = survey.desired.nodes.get(node)?.services_of(ServiceKind::Etcd);
    let facts = survey.observed.nodes.get(node)?.facts()?;
    members.find_map(|(service, _)| facts.services.get(service))
}

/// How many members there are: those of the nodes, and those that no node of the spec stands for.
pub(crate) fn count(survey: &Survey) -> usize {
    members(survey).count() + outside(survey)
}

/// How many members no node of the spec stands for.
pub(crate) fn outside(survey: &Survey) -> usize {
    unlisted(&survey.desired, &survey.observed).count()
}

/// How many of so many members a quorum is.
pub(crate) fn needed(members: usize) -> usize {
    members / 2 + 1
}

/// Whether the members have a quorum, as far as was seen.
pub(crate) fn quorum(survey: &Survey) -> Quorum {
    let facts = |name: &NodeName| survey.observed.nodes.get(name).and_then(|answer| answer.facts());
    // Who gave no answer neither follows nor is evidently down.
    let follows = |facts: &NodeFacts| matches!(facts.etcd.known(), Ok(Some(etcd)) if etcd.follows_leader());
    let (mut all, mut seen, mut down) = (0, 0, 0);
    for name in members(survey) {
        all += 1;
        let Some(facts) = facts(name) else { continue };
        if follows(facts) {
            return Quorum::Kept;
        }
        let Some(live) = live(survey, name) else { continue };
        seen += 1;
        down += usize::from(matches!(facts.etcd.known(), Ok(Some(_))) || services::is_down(live));
    }
    // Of those outside the spec it is not known that they are down.
    all += outside(survey);
    match all - down {
        _ if seen == 0 => Quorum::Unseen,
        left if left < needed(all) => Quorum::Lost,
        _ => Quorum::Unknown,
    }
}

/// Whether every member follows a leader, by its own word.
pub(crate) fn all_follow(survey: &Survey) -> bool {
    let mut members = members(survey).map(|name| survey.observed.nodes.get(name));
    members.all(|answer| {
        // Who gave no answer does not follow.
        let etcd = answer.and_then(|answer| answer.facts()?.etcd.known().ok()?);
        etcd.is_some_and(EtcdFacts::follows_leader)
    })
}

/// Whether the other members keep a quorum, as the member on this node sees them. A single member has no others to ask, and of two each is needed: that such a
/// restart interrupts them is said of the plan as a whole. A member that was asked and gave no answer says nothing, so it is left to a person; so is one that was
/// not asked while there are members outside the spec, of which nothing is known then.
pub(crate) fn can_do_without(node: &NodeName, observed: &Observed, outside: usize) -> bool {
    let Some(facts) = observed.nodes.get(node).and_then(|answer| answer.facts()) else { return false };
    let etcd = match &facts.etcd {
        Seen::Present(etcd) => etcd,
        // No client certificate is known with which it could be asked, or the node is no member.
        unlooked if unlooked.is_unlooked() => return outside == 0,
        Seen::Unknown { .. } | Seen::Absent | Seen::Dangling { .. } | Seen::Looping { .. } => return false,
    };
    let voters = etcd.members.iter().filter(|(_, member)| !member.is_learner);
    let needed = needed(voters.clone().count());
    let follows =
        // One that kept silent does not follow.
        |status: &Seen<MemberStatus>| matches!(status.known(), Ok(Some(status)) if status.leader.is_some());
    let others = voters.clone().filter(|(id, member)| **id != etcd.member && follows(&member.status)).count();
    voters.count() < 3 || others >= needed
}

/// The node whose member leads, by its own word.
pub(crate) fn leader(observed: &Observed) -> Option<&NodeName> {
    let mut leading = observed.nodes.iter().filter(|(_, answer)| {
        // One that gave no answer is not taken for the leader; its restart may cost an election, and no more.
        let etcd = answer.facts().and_then(|facts| facts.etcd.known().ok()?);
        etcd.is_some_and(|etcd| etcd.own_status().is_some_and(|own| own.leader == Some(etcd.member)))
    });
    leading.next().map(|(name, _)| name)
}

/// Whether a deed starts a member of etcd anew.
pub(crate) fn restarts_member(deed: &DraftDeed, desired: &Desired) -> bool {
    let restarts = matches!(deed.deed, Deed::Restart { .. } | Deed::Restore { .. });
    restarts && desired.service_at(&deed.address).is_some_and(|service| service.is(ServiceKind::Etcd))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use jiff::Timestamp;

    use super::*;
    use crate::agent::Memory;
    use crate::protocol::facts::{Answer, EtcdFacts, EtcdId, MemberFacts, ObserveRequest};
    use crate::protocol::node::Inspect as _;

    /// A cluster whose members, numbered from 1, are or are not there; the first that is there leads.
    fn cluster(members: &[bool]) -> Observed {
        let leader = members.iter().position(|up| *up).map(|position| EtcdId(position as u64 + 1));
        let member = |up: bool| MemberFacts {
            name: String::new(),
            peer_urls: Vec::new(),
            client_urls: Vec::new(),
            is_learner: false,
            status: match up {
                true => Seen::Present(MemberStatus {
                    version: "3.5.1".to_owned(),
                    leader,
                    raft_term: 2,
                    raft_index: 9,
                    raft_applied_index: 9,
                    database_bytes: 1,
                    alarms: Vec::new(),
                }),
                false => Seen::Unknown { reason: "the connection is refused".to_owned() },
            },
        };
        let all: BTreeMap<EtcdId, MemberFacts> =
            members.iter().zip(1..).map(|(up, id)| (EtcdId(id), member(*up))).collect();
        let node = |id: u64| {
            let request = ObserveRequest::default();
            let mut facts = Memory::new(Timestamp::UNIX_EPOCH).observe(&request).unwrap();
            facts.etcd =
                Seen::Present(EtcdFacts { cluster: EtcdId(7), member: EtcdId(id), members: all.clone() });
            (format!("cp-{id}").parse().unwrap(), Answer::Facts(facts))
        };
        Observed { nodes: (1..=members.len() as u64).map(node).collect(), ..Observed::default() }
    }

    fn name(number: usize) -> NodeName {
        format!("cp-{number}").parse().unwrap()
    }

    #[test]
    fn a_member_can_be_restarted_while_the_others_keep_a_quorum() {
        for (members, number, can) in [
            (&[true, true, true][..], 1, true),
            (&[true, false, true], 1, false),
            (&[true, false, true], 2, true),
            (&[true, true, false, true, true], 1, true),
            (&[true, true, false, false, true], 1, false),
            (&[true], 1, true),
            (&[true, true], 1, true),
        ] {
            let answer = can_do_without(&name(number), &cluster(members), 0);
            assert_eq!(answer, can, "{members:?} without {number}");
        }
    }

    #[test]
    fn a_member_that_gave_no_answer_is_left_to_a_person_and_one_that_was_not_asked_is_not() {
        let mut observed = cluster(&[true, true, true]);
        for (etcd, can) in [("no answer in time", false), (crate::protocol::facts::NOT_LOOKED, true)] {
            if let Some(Answer::Facts(facts)) = observed.nodes.get_mut(&name(1)) {
                facts.etcd = Seen::Unknown { reason: etcd.to_owned() };
            }
            assert_eq!(can_do_without(&name(1), &observed, 0), can);
            assert!(!can_do_without(&name(1), &observed, 2), "of members outside the spec nothing is known");
        }
        assert!(!can_do_without(&name(9), &observed, 0));
    }

    #[test]
    fn the_leader_is_found_by_its_own_word() {
        assert_eq!(leader(&cluster(&[false, true, true])), Some(&name(2)));
        assert_eq!(leader(&cluster(&[false, false])), None);
    }
}
