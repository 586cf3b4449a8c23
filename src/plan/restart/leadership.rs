//! Moving etcd's leadership away from a member that is about to be restarted.
//!
//! What enters is the member of a node; what leaves is one deed more, in front of its restart. Which member leads when its turn comes nobody knows when the plan
//! is made, since every restart of the plan may change it: so each member is asked, on its own node, right before. In a cold start nobody leads. Pure.

use super::health_checks;
use crate::desired::DesiredNode;
use crate::plan::known::builder::Builder;
use crate::plan::known::quorum;
use crate::plan::{Deed, Phase};
use crate::types::duration::Duration;
use crate::types::names::{Address, NodeName};

/// How long another leader is waited for. etcd itself gives up after five seconds and two election timeouts (etcd 3.4, `ServerConfig.ReqTimeout`).
const HANDING_ON: Duration = Duration::from_seconds(8);

/// Has the member of a node hand its leadership on before it is restarted. Alone it has nobody to hand it to, and without a client certificate nobody to ask.
pub(crate) fn hand_on(
    builder: &mut Builder<'_>,
    phase: Phase,
    (name, node): (&NodeName, &DesiredNode),
    address: &Address,
) {
    if phase == Phase::Quorum || quorum::count(builder.input.survey) < 2 {
        return;
    }
    let Some((member, question)) = health_checks::member(builder, (name, node)) else { return };
    let deed = Deed::MoveLeader {
        address: member,
        port: question.port,
        certificate: question.certificate,
        key: question.key,
        timeout: HANDING_ON,
    };
    builder.add_in(phase, address.clone(), deed, Vec::new(), false);
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use crate::desired::Survey;
    use crate::plan::restart::health_checks::tests::{facts, plan_at, running, soon};
    use crate::plan::{Deed, RestartMethod};
    use crate::protocol::facts::{ClientCertificate, Seen};

    /// Three members that have read their CA before its file was written.
    fn stale() -> Survey {
        let mut survey = running(ClientCertificate::Required);
        for node in ["cp-1", "cp-2", "cp-3"] {
            let found = facts(&mut survey, node);
            for endpoint in &mut found.services.get_mut("etcd").unwrap().endpoints {
                let Seen::Present(process) = &mut endpoint.process else { panic!() };
                process.started = soon() - SignedDuration::from_hours(2);
            }
            let ca = found.files.get_mut("/etc/kubernetes/pki/etcd/ca.crt");
            let Some(Seen::Present(file)) = ca else { panic!() };
            file.modified = soon() - SignedDuration::from_hours(1);
        }
        survey
    }

    /// Of each restart of a pod of etcd, the node and whether its member is asked to hand on before it.
    fn restarts(survey: &Survey) -> Vec<(String, bool)> {
        let plan = plan_at(survey, soon());
        let mut restarts = Vec::new();
        for visit in &plan.visits {
            let mut before: Option<&Deed> = None;
            for action in &visit.actions {
                let is_pod =
                    matches!(action.deed, Deed::Restart { how: RestartMethod::StaticPod { .. }, .. });
                if is_pod && action.address.target.to_string() == "svc/etcd" {
                    restarts.push((visit.place.to_string(), matches!(before, Some(Deed::MoveLeader { .. }))));
                }
                before = Some(&action.deed);
            }
        }
        restarts
    }

    #[test]
    fn every_member_is_asked_whoever_leads_when_the_plan_is_made_and_not_where_nobody_can_ask_it() {
        let mut survey = stale();
        let asked = |is_asked: [bool; 3]| {
            ["cp-2", "cp-3", "cp-1"].map(str::to_owned).into_iter().zip(is_asked).collect::<Vec<_>>()
        };
        assert_eq!(restarts(&survey), asked([true; 3]), "the one that leads now comes last");
        facts(&mut survey, "cp-2").services.get_mut("etcd").unwrap().endpoints.clear();
        let others = restarts(&survey);
        assert!(others.iter().all(|(node, is_asked)| *is_asked == (node != "cp-2")), "{others:?}");
    }
}
