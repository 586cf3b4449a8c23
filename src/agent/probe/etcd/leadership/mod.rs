//! The leadership of a cluster of etcd, handed on before the member that has it is stopped.
//!
//! What enters is where the node's member listens and who asks; what leaves is that this member does not lead, or why it still does. A member that leads is
//! told which other one is to lead (`MoveLeader`, etcd 3.3 and later); one that does not is only asked. A leader that just stops costs the writes of an
//! election. Whether anything is stopped is not decided here.

use std::cmp::Reverse;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use rustls::ClientConfig;

use super::messages::{MoveLeaderRequest, MoveLeaderResponse};
use super::{EtcdClient, PAUSE, call, cluster, connect, finish};
use crate::protocol::facts::{EtcdFacts, EtcdId};

const MOVE_LEADER: &str = "/etcdserverpb.Maintenance/MoveLeader";

impl EtcdClient {
    /// Sees to it that the member at this address does not lead.
    ///
    /// # Errors
    /// Why it may still lead.
    pub(crate) fn hand_on_leadership(&self, address: SocketAddr, deadline: Instant) -> Result<(), String> {
        let handing_on = hand_on(&self.config, address, deadline);
        let late = |_| format!("{address}: etcd gives no answer in time");
        finish(async { tokio::time::timeout_at(deadline.into(), handing_on).await.map_err(late) })??
    }
}

async fn hand_on(config: &Arc<ClientConfig>, address: SocketAddr, deadline: Instant) -> Result<(), String> {
    let own = connect(config.clone(), address.ip().to_string(), address.port()).await?;
    let mut goal = None;
    let mut refused: Option<String> = None;
    let mut is_told = false;
    while Instant::now() < deadline {
        let etcd = cluster(config.clone(), &[address], deadline).await?;
        let status = etcd.own_status().ok_or("the member does not tell whom it follows")?;
        match status.leader {
            Some(leader) if leader == etcd.member => {
                // Whoever has what this one had at the first look keeps up; with every look after that there would be more to reach.
                let goal = *goal.get_or_insert(status.raft_index);
                if let Some(next) = successor(&etcd, goal) {
                    let wanted = MoveLeaderRequest { target_id: next.0 };
                    match call(own.clone(), MOVE_LEADER, wanted).await {
                        Ok(MoveLeaderResponse {}) => is_told = true,
                        // Once may be because somebody else has begun to lead meanwhile, or because the other one was slow.
                        Err(reason) if refused.is_some() => return Err(reason),
                        Err(reason) => refused = Some(reason),
                    }
                }
            }
            Some(_) => return Ok(()),
            None if is_told => {}
            // Where nobody leads there is nothing to hand on.
            None => return Ok(()),
        }
        tokio::time::sleep(PAUSE).await;
    }
    Err(refused.unwrap_or_else(|| "no other member has caught up in time".to_owned()))
}

/// Who can lead instead: of the members with a vote that follow this one, by their own word, the one that has come furthest, if it has come so far.
pub(crate) fn successor(etcd: &EtcdFacts, goal: u64) -> Option<EtcdId> {
    let others = etcd.members.iter().filter(|(id, member)| **id != etcd.member && !member.is_learner);
    let following = others.filter_map(|(id, member)| {
        let status = member.status.shown().filter(|status| status.leader == Some(etcd.member))?;
        (status.raft_index >= goal).then_some((status.raft_index, Reverse(*id)))
    });
    following.max().map(|(_, Reverse(id))| id)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests start a real etcd and write to it")]
mod tests;
