//! A cluster whose services run, shortly before its certificates end: what each part of the plan waits for.

use jiff::Timestamp;

use super::*;
use crate::desired::Survey;
use crate::diff::diff;
use crate::observe::survey::tests::{SPEC, agreement};
use crate::plan::restart::cold_start::tests::unit;
use crate::plan::{Input, Options, PlanContent, draft};
use crate::protocol::facts::{
    Answer, Content, EtcdId, MemberFacts, MemberStatus, NodeFacts, Probe, ProcessFacts, Seen, Served,
    ServiceFacts,
};
use crate::protocol::file::SpecReference;
use crate::protocol::health_check;
use crate::x509::{Certificate, Sha256};

/// Every leaf is due, and none has ended.
pub(crate) fn soon() -> Timestamp {
    "2027-11-01T00:00:00Z".parse().unwrap()
}

pub(crate) fn plan_at(survey: &Survey, now: Timestamp) -> PlanContent {
    plan_with(survey, now, &Options::default())
}

pub(crate) fn plan_with(survey: &Survey, now: Timestamp, options: &Options) -> PlanContent {
    let differences = diff(&survey.desired, &survey.observed, now);
    let spec = SpecReference {
        file: "spec.yaml".to_owned(),
        sha256: Sha256::of(SPEC.as_bytes()),
        commit: None,
        files: Default::default(),
    };
    let (differences, place) = (&differences, &|_: &[String]| None);
    draft(&Input { survey, differences, now, spec, options, signed: &Default::default(), place })
        .unwrap()
        .into_planned()
}

pub(crate) fn facts<'a>(survey: &'a mut Survey, node: &str) -> &'a mut NodeFacts {
    match survey.observed.nodes.get_mut(node).unwrap() {
        Answer::Facts(facts) => facts,
        Answer::Unreachable { .. } | Answer::Skipped => panic!("{node} was not seen"),
    }
}

/// Every service of every node runs and serves what is in its files; what makes its own certificate serves that of the API server for the sake of the test.
pub(crate) fn running(client: ClientCertificate) -> Survey {
    let mut survey = agreement();
    survey.observed.observed_at = soon();
    let desired = survey.desired.clone();
    let members: BTreeMap<EtcdId, MemberFacts> =
        (1..).zip(&desired.nodes).map(|(id, (name, node))| (EtcdId(id), member(name, node))).collect();
    for (id, (name, node)) in (1..).zip(&desired.nodes) {
        let found = facts(&mut survey, name.as_str());
        let served = |identity: Option<&IdentityName>| -> Certificate {
            let identity = identity.map_or("apiserver", IdentityName::as_str);
            let path = node.identities[identity].storage.certificate_path();
            found.files[path].shown().unwrap().content.pem().unwrap().certificates[0].clone()
        };
        let endpoint = |port: u16, serves: Option<&IdentityName>| EndpointFacts {
            port,
            address: Some(Ipv4Addr::LOCALHOST.into()),
            serves: serves.cloned(),
            server_name: None,
            probe: Probe::Served(Box::new(Served {
                certificate: served(serves),
                chain: Vec::new(),
                version: Some("1.3".to_owned()),
                client,
                accepts: Vec::new(),
                trouble: None,
            })),
            process: Seen::Present(ProcessFacts { started: soon(), pid: 7, program: "x".to_owned() }),
        };
        let services: BTreeMap<ServiceName, ServiceFacts> = node
            .services
            .iter()
            .map(|(service, wanted)| {
                let unit = (service.as_str() == "kubelet")
                    .then(|| Seen::Present(unit("active", "running", "enabled")));
                let endpoints = wanted.endpoints.iter();
                let endpoints =
                    endpoints.map(|wanted| endpoint(wanted.port, wanted.serves.as_ref())).collect();
                (service.clone(), ServiceFacts { unit, endpoints })
            })
            .collect();
        found.services = services;
        found.clock = soon();
        found.etcd =
            Seen::Present(EtcdFacts { cluster: EtcdId(9), member: EtcdId(id), members: members.clone() });
    }
    survey
}

fn member(name: &NodeName, node: &DesiredNode) -> MemberFacts {
    let address = node.address.as_deref().unwrap();
    MemberFacts {
        name: name.to_string(),
        peer_urls: vec![format!("https://{address}:2380")],
        client_urls: vec![format!("https://{address}:2379")],
        is_learner: false,
        status: Seen::Present(MemberStatus {
            version: "3.4.13".to_owned(),
            leader: Some(EtcdId(1)),
            raft_term: 2,
            raft_index: 9,
            raft_applied_index: 9,
            database_bytes: 1,
            alarms: Vec::new(),
        }),
    }
}

/// What is waited for about something on cp-1: in any case, as before, and as before seen from others.
fn awaited(plan: &PlanContent, subject: &str) -> [Vec<String>; 3] {
    let address = format!("{subject}@cp-1");
    let mut found = plan.actions().filter(|action| action.address.to_string() == address);
    let deed = found.find_map(|action| {
        if let Deed::AwaitHealthy { gates, kept, elsewhere, .. } = &action.deed {
            Some((gates, kept, elsewhere))
        } else {
            None
        }
    });
    let (gates, kept, elsewhere) = deed.unwrap_or_else(|| panic!("{subject}"));
    let elsewhere = elsewhere.iter().flat_map(|(node, gates)| {
        health_check::lines(gates).into_iter().map(move |line| format!("{node}: {line}"))
    });
    [health_check::lines(gates), health_check::lines(kept), elsewhere.collect()]
}

#[test]
fn a_member_that_takes_up_its_certificates_must_keep_up_and_be_taken_by_its_peers_both_ways() {
    let plan = plan_at(&running(ClientCertificate::Required), soon());
    let [required, kept, elsewhere] = awaited(&plan, "svc/etcd");
    assert_eq!(
        required,
        [
            "127.0.0.1:2379 shows the certificate of /etc/kubernetes/pki/etcd/server.crt",
            "127.0.0.1:2380 shows the certificate of /etc/kubernetes/pki/etcd/peer.crt",
            "etcd at 127.0.0.1:2379 follows a leader, without alarm, and keeps up",
        ]
    );
    assert_eq!(
        kept,
        [
            "http://127.0.0.1:2381/health answers 200",
            "https://10.0.0.12:2380, https://10.0.0.13:2380 accept /etc/kubernetes/pki/etcd/peer.crt",
        ]
    );
    assert_eq!(
        elsewhere,
        [
            "cp-2: https://10.0.0.11:2380 accepts /etc/kubernetes/pki/etcd/peer.crt",
            "cp-3: https://10.0.0.11:2380 accepts /etc/kubernetes/pki/etcd/peer.crt",
        ]
    );
}

#[test]
fn a_pod_that_is_restarted_must_be_another_process_and_healthy_where_it_may_be_asked() {
    let plan = plan_at(&running(ClientCertificate::Asked), soon());
    let [required, kept, elsewhere] = awaited(&plan, "svc/kube-scheduler");
    assert_eq!(required, ["127.0.0.1:10259 answers with TLS", "127.0.0.1:10259 is served by a new process"]);
    assert_eq!(kept, ["https://127.0.0.1:10259/healthz answers 200"]);
    assert_eq!(elsewhere, [""; 0]);
    let [required, kept, _] = awaited(&plan, "svc/kube-apiserver");
    assert_eq!(required, ["127.0.0.1:6443 shows the certificate of /etc/kubernetes/pki/apiserver.crt"]);
    assert_eq!(kept, ["https://127.0.0.1:6443/readyz answers 200"]);
    // Who turns away everybody without a certificate is not asked.
    let plan = plan_at(&running(ClientCertificate::Required), soon());
    assert_eq!(awaited(&plan, "svc/kube-apiserver")[1], [""; 0]);
}

#[test]
fn a_client_certificate_is_tried_at_what_it_is_for_once_everything_runs() {
    let plan = plan_at(&running(ClientCertificate::Asked), soon());
    let kept = |identity: &str| awaited(&plan, identity)[1].clone();
    assert_eq!(
        kept("apiserver-etcd-client"),
        ["https://127.0.0.1:2379 accepts /etc/kubernetes/pki/apiserver-etcd-client.crt"]
    );
    assert_eq!(
        kept("apiserver-kubelet-client"),
        ["https://10.0.0.11:10250 accepts /etc/kubernetes/pki/apiserver-kubelet-client.crt"],
        "one kubelet stands for all"
    );
    assert_eq!(kept("scheduler.conf"), ["https://10.0.0.11:6443 accepts /etc/kubernetes/scheduler.conf"]);
    assert_eq!(kept("admin.conf"), ["https://api.prod-eu1.example:6443 accepts /etc/kubernetes/admin.conf"]);
    let verbs: Vec<String> = plan.visits[0]
        .actions
        .iter()
        .map(|action| format!("{} {}", action.verb(), action.address.target))
        .collect();
    let last = verbs.iter().rposition(|verb| verb.contains("svc/")).unwrap();
    let first = verbs.iter().position(|verb| verb == "await-healthy admin.conf").unwrap();
    assert!(last < first, "{verbs:?}");
}

#[test]
fn a_client_that_could_not_connect_because_its_certificate_has_expired_must_afterwards() {
    let mut survey = running(ClientCertificate::Asked);
    let later: Timestamp = "2027-12-01T00:00:00Z".parse().unwrap();
    survey.observed.observed_at = later;
    let accepted = "https://127.0.0.1:2379 accepts /etc/kubernetes/pki/apiserver-etcd-client.crt";
    // What etcd shows has expired with it, and is renewed with it.
    assert_eq!(awaited(&plan_at(&survey, later), "apiserver-etcd-client")[0], [accepted]);
    // The CA stands for a certificate that is still valid.
    for node in ["cp-1", "cp-2", "cp-3"] {
        let found = facts(&mut survey, node);
        found.clock = later;
        let path = "/etc/kubernetes/pki/etcd/ca.crt";
        let valid = found.files[path].shown().unwrap().content.pem().unwrap().certificates[0].clone();
        for endpoint in &mut found.services.get_mut("etcd").unwrap().endpoints {
            if let Probe::Served(served) = &mut endpoint.probe {
                served.certificate = valid.clone();
            }
        }
    }
    let [required, kept, _] = awaited(&plan_at(&survey, later), "apiserver-etcd-client");
    assert_eq!((required, kept), (vec![accepted.to_owned()], Vec::new()));
}

#[test]
fn a_member_that_is_not_healthy_now_is_required_to_be_no_worse_and_nothing_is_called_where_nothing_runs() {
    let mut survey = running(ClientCertificate::Required);
    let found = facts(&mut survey, "cp-1");
    if let Seen::Present(etcd) = &mut found.etcd
        && let Seen::Present(own) = &mut etcd.members.get_mut(&EtcdId(1)).unwrap().status
    {
        own.alarms.push("memberID:1 alarm:NOSPACE".to_owned());
    }
    let [required, kept, _] = awaited(&plan_at(&survey, soon()), "svc/etcd");
    let healthy = |line: &String| line.contains("keeps up");
    assert!(!required.iter().any(healthy) && kept.iter().any(healthy), "{required:?} {kept:?}");
    let mut survey = agreement();
    survey.observed.observed_at = soon();
    for node in ["cp-1", "cp-2", "cp-3"] {
        facts(&mut survey, node).clock = soon();
    }
    let plan = plan_at(&survey, soon());
    assert!(!plan.is_empty());
    assert!(plan.actions().all(|action| !matches!(action.deed, Deed::AwaitHealthy { .. })));
}

/// What is done about services on cp-1, in order.
fn service_actions(plan: &PlanContent) -> Vec<&crate::plan::Action> {
    let own = plan.actions().filter(|action| action.address.to_string().ends_with("@cp-1"));
    own.filter(|action| matches!(action.address.target, Target::Service(_))).collect()
}

#[test]
fn a_kubelet_that_fails_again_and_again_comes_first_and_its_plan_is_the_same_at_every_moment() {
    let later: Timestamp = "2027-12-01T00:00:00Z".parse().unwrap();
    let failing = |active: bool| {
        let mut kubelet = match active {
            true => unit("active", "running", "enabled"),
            false => unit("activating", "auto-restart", "enabled"),
        };
        kubelet.restarts = Some(512);
        kubelet.up_seconds = active.then_some(0);
        kubelet.result = Some(if active { "success" } else { "exit-code" }.to_owned());
        let mut survey = running(ClientCertificate::Asked);
        survey.observed.observed_at = later;
        for node in ["cp-1", "cp-2", "cp-3"] {
            let found = facts(&mut survey, node);
            found.clock = later;
            let kubelet = ServiceFacts { unit: Some(Seen::Present(kubelet.clone())), endpoints: Vec::new() };
            found.services.insert("kubelet".parse().unwrap(), kubelet);
        }
        survey
    };
    let plans = [true, false].map(|active| plan_at(&failing(active), later));
    let actions = plans.each_ref().map(service_actions);
    let verbs: Vec<String> =
        actions[0].iter().map(|action| format!("{} {}", action.verb(), action.address.target)).collect();
    assert_eq!(verbs[..2], ["restart svc/kubelet", "await-healthy svc/kubelet"], "{verbs:?}");
    assert!(verbs.iter().any(|verb| verb == "restart svc/kube-scheduler"), "{verbs:?}");
    assert_eq!(actions[0], actions[1], "no moment decides, and none makes a saved plan stale");
    let note = |plan: &PlanContent| {
        let about = plan.notes.iter().find(|note| note.address.to_string() == "svc/kubelet@cp-1").unwrap();
        about.finding.reason.to_string()
    };
    assert_eq!(note(&plans[0]), "kubelet.service keeps failing: systemd has started it again 512 times");
    assert_eq!(
        note(&plans[1]),
        "kubelet.service keeps failing: systemd has started it again 512 times, last result exit-code"
    );
}

#[test]
fn a_kubelet_that_runs_on_with_an_expired_certificate_comes_first_and_one_with_a_valid_one_in_its_turn() {
    let first = |now: Timestamp| {
        let mut survey = running(ClientCertificate::Asked);
        survey.observed.observed_at = now;
        for node in ["cp-1", "cp-2", "cp-3"] {
            facts(&mut survey, node).clock = now;
        }
        let plan = plan_at(&survey, now);
        let restarts: Vec<String> = service_actions(&plan)
            .iter()
            .filter(|action| action.verb() == "restart")
            .map(|action| action.address.target.to_string())
            .collect();
        assert!(restarts.contains(&"svc/kubelet".to_owned()), "{restarts:?}");
        restarts[0].clone()
    };
    assert_eq!(first("2027-12-01T00:00:00Z".parse().unwrap()), "svc/kubelet");
    assert_eq!(first(soon()), "svc/kube-controller-manager");
}

/// Puts something else into a file of cp-1.
fn put(survey: &mut Survey, path: &str, content: Content) {
    let Some(Seen::Present(file)) = facts(survey, "cp-1").files.get_mut(path) else { panic!("{path}") };
    file.content = content;
}

#[test]
fn what_was_empty_must_be_served_afterwards_by_who_runs_on_with_what_was_there_before() {
    let today: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
    let mut survey = running(ClientCertificate::Asked);
    survey.observed.observed_at = today;
    for node in ["cp-1", "cp-2", "cp-3"] {
        facts(&mut survey, node).clock = today;
    }
    put(&mut survey, "/etc/kubernetes/pki/apiserver.crt", Content::Empty);
    let plan = plan_at(&survey, today);
    assert_eq!((plan.summary.issue, plan.summary.renew), (1, 0));
    let [required, kept, _] = awaited(&plan, "svc/kube-apiserver");
    assert_eq!(required, ["127.0.0.1:6443 shows the certificate of /etc/kubernetes/pki/apiserver.crt"]);
    assert_eq!(kept, ["https://127.0.0.1:6443/readyz answers 200"]);
    // A client whose certificate was empty could not call anybody.
    put(&mut survey, "/etc/kubernetes/pki/apiserver-etcd-client.crt", Content::Empty);
    let [required, kept, _] = awaited(&plan_at(&survey, today), "apiserver-etcd-client");
    assert_eq!(required, ["https://127.0.0.1:2379 accepts /etc/kubernetes/pki/apiserver-etcd-client.crt"]);
    assert_eq!(kept, [""; 0]);
}

#[test]
fn a_mended_pair_must_be_served_where_nobody_could_connect_and_be_accepted_by_the_others() {
    let today: Timestamp = "2026-12-01T00:00:00Z".parse().unwrap();
    let mut survey = running(ClientCertificate::Required);
    survey.observed.observed_at = today;
    for node in ["cp-1", "cp-2", "cp-3"] {
        facts(&mut survey, node).clock = today;
    }
    // The key of another pair: etcd reads both at each handshake, and ends it.
    let other = facts(&mut survey, "cp-1").files["/etc/kubernetes/pki/etcd/server.key"].shown().unwrap();
    let other = other.content.clone();
    put(&mut survey, "/etc/kubernetes/pki/etcd/peer.key", other);
    let etcd = facts(&mut survey, "cp-1").services.get_mut("etcd").unwrap();
    let peer = etcd.endpoints.iter_mut().find(|endpoint| endpoint.port == 2380).unwrap();
    peer.probe = Probe::Unknown { reason: "the handshake failed".to_owned() };
    let [required, kept, _] = awaited(&plan_at(&survey, today), "svc/etcd");
    assert_eq!(
        required,
        [
            "127.0.0.1:2380 shows the certificate of /etc/kubernetes/pki/etcd/peer.crt",
            "etcd at 127.0.0.1:2379 follows a leader, without alarm, and keeps up",
            "https://10.0.0.12:2380, https://10.0.0.13:2380 accept /etc/kubernetes/pki/etcd/peer.crt",
        ]
    );
    assert_eq!(kept, ["http://127.0.0.1:2381/health answers 200"]);
}

#[test]
fn an_api_server_that_is_restarted_must_be_ready_though_strangers_may_not_ask() {
    let mut survey = running(ClientCertificate::Asked);
    let later: Timestamp = "2027-11-01T01:00:00Z".parse().unwrap();
    let found = facts(&mut survey, "cp-1");
    found.clock = later;
    let Some(Seen::Present(file)) = found.files.get_mut("/etc/kubernetes/pki/etcd/ca.crt") else { panic!() };
    file.modified = later;
    let [required, kept, _] = awaited(&plan_at(&survey, later), "svc/kube-apiserver");
    assert_eq!(
        required,
        [
            "127.0.0.1:6443 shows the certificate of /etc/kubernetes/pki/apiserver.crt",
            "127.0.0.1:6443 is served by a new process",
            "https://127.0.0.1:6443/readyz answers 200 (401, 403 without anonymous access)",
        ]
    );
    assert_eq!(kept, [""; 0]);
}
