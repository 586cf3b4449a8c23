//! Everything has expired and nothing runs: which deeds come in which phase, and what is started.

use jiff::Timestamp;

use crate::desired::Survey;
use crate::diff::diff;
use crate::observe::survey::tests::{SPEC, agreement};
use crate::output::schema::Document;
use crate::plan::{
    Draft, Input, NoSuchPhase, Options, Phase, PlanContent, PlanError, SavedPlan, draft, standing,
};
use crate::protocol::facts::{
    Answer, ClientCertificate, EndpointFacts, NodeFacts, Probe, Seen, Served, ServiceFacts, UnitFacts,
};
use crate::protocol::file::SpecReference;
use crate::protocol::file::{Facts, to_text};
use crate::simulate::check;
use crate::trust::processes::Processes;
use crate::x509::Sha256;

/// After the end of every certificate, and long before that of the CAs.
pub(crate) fn later() -> Timestamp {
    "2028-01-01T00:00:00Z".parse().unwrap()
}

fn plan_of(survey: &Survey) -> PlanContent {
    plan_until(survey, None).unwrap()
}

fn plan_until(survey: &Survey, until_phase: Option<Phase>) -> Result<PlanContent, PlanError> {
    let differences = diff(&survey.desired, &survey.observed, later());
    let spec = SpecReference {
        file: "spec.yaml".to_owned(),
        sha256: Sha256::of(SPEC.as_bytes()),
        commit: None,
        files: Default::default(),
    };
    let options = &Options { until_phase, ..Options::default() };
    let (differences, place) = (&differences, &|_: &[String]| None);
    draft(&Input { survey, differences, now: later(), spec, options, signed: &Default::default(), place })
        .map(Draft::into_planned)
}

fn facts<'a>(survey: &'a mut Survey, node: &str) -> &'a mut NodeFacts {
    match survey.observed.nodes.get_mut(node).unwrap() {
        Answer::Facts(facts) => facts,
        Answer::Unreachable { .. } | Answer::Skipped => panic!("{node} was not seen"),
    }
}

pub(crate) fn unit(active: &str, sub: &str, file: &str) -> UnitFacts {
    UnitFacts {
        active_state: active.to_owned(),
        sub_state: sub.to_owned(),
        invocation_id: None,
        main_pid: None,
        started: None,
        restarts: None,
        up_seconds: None,
        result: None,
        unit_file_state: Some(file.to_owned()),
        flags: std::collections::BTreeMap::new(),
    }
}

/// Every kubelet fails again and again, and no port answers.
pub(crate) fn everything_down() -> Survey {
    let mut survey = agreement();
    survey.observed.observed_at = later();
    let desired = survey.desired.clone();
    for (name, node) in &desired.nodes {
        let facts = facts(&mut survey, name.as_str());
        facts.clock = later();
        for (service, wanted) in &node.services {
            let silent = |endpoint: &crate::profile::Endpoint| EndpointFacts {
                port: endpoint.port,
                address: None,
                serves: endpoint.serves.clone(),
                server_name: None,
                probe: Probe::NotListening,
                process: Seen::Absent,
            };
            let unit = (service.as_str() == "kubelet")
                .then(|| Seen::Present(unit("activating", "auto-restart", "enabled")));
            let endpoints = wanted.endpoints.iter().map(silent).collect();
            facts.services.insert(service.clone(), ServiceFacts { unit, endpoints });
        }
    }
    survey
}

/// The ports of a service show these certificates.
fn answers(survey: &mut Survey, node: &str, service: &str, shown: &[&str]) {
    let served = agreement();
    let files = &served.observed.nodes[node].facts().unwrap().files;
    let service = facts(survey, node).services.get_mut(service).unwrap();
    for (endpoint, name) in service.endpoints.iter_mut().zip(shown) {
        let file = files[&format!("/etc/kubernetes/pki/{name}.crt")].shown().unwrap();
        endpoint.address = Some("127.0.0.1".parse().unwrap());
        endpoint.probe = Probe::Served(Box::new(Served {
            certificate: file.content.pem().unwrap().certificates[0].clone(),
            chain: Vec::new(),
            version: None,
            client: ClientCertificate::Required,
            accepts: Vec::new(),
            trouble: None,
        }));
    }
}

/// The same where the schedulers have outlived their kubelets.
fn nearly_everything_down() -> Survey {
    let mut survey = everything_down();
    ["cp-1", "cp-2", "cp-3"]
        .iter()
        .for_each(|node| answers(&mut survey, node, "kube-scheduler", &["apiserver"]));
    survey
}

/// `PHASE NODE: ACTION, ACTION` of each visit, snapshots and checks left out.
fn visits(plan: &PlanContent) -> Vec<String> {
    let visit = |visit: &crate::plan::PlannedTransaction| {
        let actions = visit.actions.iter();
        let actions = actions.filter(|action| !matches!(action.verb(), "snapshot" | "verify"));
        let actions: Vec<String> =
            actions.map(|action| format!("{} {}", action.verb(), action.address.target)).collect();
        format!("{:?} {}: {}", visit.phase, visit.place, actions.join(", "))
    };
    plan.visits.iter().map(visit).collect()
}

#[test]
fn where_nothing_runs_all_leaves_of_a_node_come_first_and_then_its_kubelet_once() {
    let plan = plan_of(&everything_down());
    assert!(plan.applicable && plan.elsewhere.is_empty(), "{:?}", plan.elsewhere);
    let visits = visits(&plan);
    // All leaves of a node, then its kubelet, which starts every pod, once.
    let first = "issue-identity admin.conf, issue-identity apiserver, issue-identity apiserver-etcd-client, \
                 issue-identity apiserver-kubelet-client, issue-identity controller-manager.conf, \
                 issue-identity etcd-healthcheck-client, issue-identity etcd-peer, issue-identity etcd-server, \
                 issue-identity front-proxy-client, issue-identity kubelet.conf, issue-identity scheduler.conf, \
                 restart svc/kubelet, await-healthy svc/kubelet, await-healthy svc/etcd";
    let second = "await-healthy svc/kube-apiserver, await-healthy svc/kube-controller-manager, await-healthy svc/kube-scheduler";
    let mut expected: Vec<String> = [("Quorum", first), ("Ordinary", second)]
        .into_iter()
        .flat_map(|(phase, deeds)| ["cp-1", "cp-2", "cp-3"].map(|node| format!("{phase} {node}: {deeds}")))
        .collect();
    expected[5].push_str(", await-healthy node");
    assert_eq!(visits, expected);
}

/// What the last gate of a plan waits for, and where.
fn last_gate(plan: &PlanContent) -> (String, Vec<String>) {
    let mut awaited = plan.actions().filter_map(|action| match (&action.deed, &action.address.target) {
        (crate::plan::Deed::AwaitHealthy { gates, .. }, crate::types::names::Target::Node) => {
            Some((action.address.place.to_string(), crate::protocol::health_check::lines(gates)))
        }
        _ => None,
    });
    let found = awaited.next().unwrap();
    assert_eq!(awaited.next(), None);
    found
}

#[test]
fn a_recovery_ends_with_a_look_at_the_whole_cluster_as_far_as_it_can_be_whole() {
    let ready = |node: u8| {
        format!("https://10.0.0.{node}:6443/readyz answers 200 (401, 403 without anonymous access)")
    };
    let accept = |nodes: &[u8], file: &str| {
        let urls: Vec<String> = nodes.iter().map(|node| format!("https://10.0.0.{node}:6443")).collect();
        let verb = if urls.len() == 1 { "accepts" } else { "accept" };
        format!("{} {verb} /etc/kubernetes/{file}", urls.join(", "))
    };
    let etcd = "etcd at 127.0.0.1:2379 follows a leader, without alarm, and keeps up".to_owned();
    let gate = |nodes: &[u8]| {
        let mut lines = vec![etcd.clone()];
        lines.extend(nodes.iter().map(|node| ready(*node)));
        let files = ["admin.conf", "controller-manager.conf", "kubelet.conf", "scheduler.conf"];
        lines.extend(files.map(|file| accept(nodes, file)));
        lines
    };
    assert_eq!(last_gate(&plan_of(&everything_down())), ("cp-3".to_owned(), gate(&[11, 12, 13])));
    // Nobody waits for what is down for repair, nor for what cannot be reached or is switched off.
    let off = Some(Seen::Present(unit("inactive", "dead", "disabled")));
    let mut survey = everything_down();
    facts(&mut survey, "cp-3").services.get_mut("kubelet").unwrap().unit = off;
    assert_eq!(last_gate(&plan_of(&survey)), ("cp-2".to_owned(), gate(&[11, 12])));
    let mut survey = everything_down();
    survey.observed.nodes.insert("cp-2".parse().unwrap(), Answer::Skipped);
    assert_eq!(last_gate(&plan_of(&survey)), ("cp-3".to_owned(), gate(&[11, 13])));
}

#[test]
fn a_visit_that_only_waits_is_to_do_as_long_as_what_it_waits_for() {
    let survey = everything_down();
    let plan = plan_of(&survey);
    let standings = standing(&plan, &survey, &diff(&survey.desired, &survey.observed, later()));
    assert_eq!(standings.to_do().collect::<Vec<u32>>(), [1, 2, 3, 4, 5, 6]);
}

#[test]
fn where_a_pod_has_outlived_its_kubelet_only_what_etcd_needs_is_brought_forward() {
    let visits = visits(&plan_of(&nearly_everything_down()));
    let (first, second) = visits.split_at(3);
    let restarts = |visit: &String, pod: &str| visit.contains(&format!("restart svc/{pod}"));
    for visit in first {
        assert!(restarts(visit, "kubelet") && !restarts(visit, "etcd"), "{visits:#?}");
        assert!(!visit.contains("scheduler.conf"), "{visits:#?}");
    }
    // Their kubelets have started them with what lay there before.
    let pods = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
    assert!(second.iter().all(|visit| pods.iter().all(|pod| restarts(visit, pod))), "{visits:#?}");
}

#[test]
fn only_the_last_member_is_waited_for_with_the_others() {
    let plan = plan_of(&everything_down());
    let phase = plan.phases().next().unwrap();
    assert_eq!(phase.0, Phase::Quorum);
    for (visit, is_last) in phase.1.iter().zip([false, false, true]) {
        let text = serde_json::to_string(&visit.actions).unwrap();
        assert_eq!(text.contains("\"etcd\":{\"address\""), is_last, "{text}");
        assert!(text.contains("\"port\":2380"), "the port that answers without the others: {text}");
    }
}

#[test]
fn members_that_run_and_lead_nobody_get_their_certificates_first_and_are_not_restarted() {
    let mut survey = everything_down();
    for node in ["cp-1", "cp-2", "cp-3"] {
        facts(&mut survey, node).etcd =
            Seen::Unknown { reason: "etcd does not accept the client certificate".to_owned() };
        answers(&mut survey, node, "etcd", &["etcd/server", "etcd/peer"]);
    }
    let visits = visits(&plan_of(&survey));
    assert!(visits[..3].iter().all(|visit| visit.starts_with("Quorum")), "{visits:#?}");
    assert!(!visits.iter().any(|visit| visit.contains("restart svc/etcd")), "{visits:#?}");
    assert!(visits[0].contains("await-healthy svc/etcd"), "{visits:#?}");
}

#[test]
fn members_that_the_plan_cannot_bring_back_are_waited_for_by_nobody() {
    let quorum =
        |survey: &Survey| plan_of(survey).visits.iter().filter(|visit| visit.phase == Phase::Quorum).count();
    assert!(quorum(&everything_down()) > 0);
    // Nobody can sign what has expired: with it no member comes back, whatever else is renewed beside it.
    let mut survey = everything_down();
    for node in ["cp-1", "cp-2", "cp-3"] {
        facts(&mut survey, node).files.insert("/etc/kubernetes/pki/etcd/ca.key".to_owned(), Seen::Absent);
    }
    assert_eq!(quorum(&survey), 0);
}

#[test]
fn a_kubelet_that_was_switched_off_is_left_alone_and_so_are_its_pods() {
    let mut survey = everything_down();
    let off = Some(Seen::Present(unit("inactive", "dead", "disabled")));
    facts(&mut survey, "cp-2").services.get_mut("kubelet").unwrap().unit = off;
    let plan = plan_of(&survey);
    let restarts: Vec<String> = plan
        .actions()
        .filter(|action| action.verb() == "restart")
        .map(|action| action.address.to_string())
        .collect();
    assert!(!restarts.iter().any(|restart| restart.ends_with("@cp-2")), "{restarts:?}");
    assert!(restarts.contains(&"svc/kubelet@cp-1".to_owned()));
    let notes: Vec<String> = plan
        .notes
        .iter()
        .filter(|note| note.finding.reason.name() == "StoppedByHand")
        .map(|note| note.address.to_string())
        .collect();
    assert_eq!(notes, ["svc/kubelet@cp-2"]);
}

#[test]
fn a_pod_whose_manifest_is_gone_is_waited_for_by_nobody() {
    let mut survey = everything_down();
    facts(&mut survey, "cp-2").files.insert("/etc/kubernetes/manifests/etcd.yaml".to_owned(), Seen::Absent);
    let plan = plan_of(&survey);
    let awaited = |node: &str| {
        let is_etcd = |action: &&crate::plan::Action| {
            action.verb() == "await-healthy" && action.address.to_string() == format!("svc/etcd@{node}")
        };
        plan.actions().find(is_etcd).is_some()
    };
    assert_eq!(["cp-1", "cp-2", "cp-3"].map(awaited), [true, false, true]);
}

#[test]
fn without_a_look_at_what_runs_a_plan_has_one_phase() {
    let mut survey = agreement();
    survey.observed.observed_at = later();
    for node in ["cp-1", "cp-2", "cp-3"] {
        facts(&mut survey, node).clock = later();
    }
    let plan = plan_of(&survey);
    assert_eq!(plan.phases().count(), 1);
    assert!(!serde_json::to_string(&plan).unwrap().contains("\"phase\""));
}

#[test]
fn the_plan_for_an_expired_cluster_is_told_as_its_golden_text_says() {
    let survey = everything_down();
    let processes = Processes::of(&survey.observed);
    let plan = check(Draft::by_hand(plan_of(&survey)), &survey, &processes).unwrap();
    let text = crate::output::plan(&plan).replace(&plan.id, "<plan>");
    assert_eq!(text, include_str!("expired.txt"), "{text}");
}

#[test]
fn a_plan_ends_with_the_phase_that_was_named_and_counts_no_more_than_it_does() {
    let survey = nearly_everything_down();
    let (whole, first) = (plan_of(&survey), plan_until(&survey, Some(Phase::Quorum)).unwrap());
    assert_eq!((first.visits.len(), first.later.as_slice()), (3, [Phase::Ordinary].as_slice()));
    assert_eq!(first.visits, whole.visits[..3]);
    assert!(first.is_as_made() && first.id != whole.id);
    assert_eq!((whole.summary.renew, first.summary.renew), (33, 15));
    assert_eq!((whole.summary.restart, first.summary.restart), (12, 3));
    assert_eq!(first.summary.unchanged, whole.summary.unchanged + 18);
    let checked = check(Draft::by_hand(first), &survey, &Processes::of(&survey.observed)).unwrap().in_order();
    let text = crate::output::plan(&checked);
    assert!(text.contains("    Left for a later run: phase ordinary, to do everything else.\n"), "{text}");
    let last = "Plan: renew 15, issue 0, trust 0, remove 0, restart 3, repair 0. Phases 1 of 2.";
    assert!(text.ends_with(&format!("{last}\n")), "{text}");
    let markdown = crate::output::markdown(&checked, None, 4096);
    assert!(markdown.contains("### pki plan: renew 15, restart 3\n"), "{markdown}");
    assert!(markdown.ends_with(&format!("**{last}**\n")), "{markdown}");
}

#[test]
fn a_saved_plan_ends_with_a_phase_under_its_own_name() {
    let survey = everything_down();
    let whole = SavedPlan::read(to_text(&plan_of(&survey)).as_bytes()).unwrap();
    let first = whole.clone().until(Phase::Quorum).unwrap();
    assert_eq!((first.id(), first.visits().len()), (whole.id(), 3));
    // The last phase leaves nothing out.
    assert_eq!(whole.clone().until(Phase::Ordinary).unwrap().shown(), whole.shown());
}

#[test]
fn only_a_phase_of_the_plan_is_accepted() {
    let refused = |survey: &Survey| plan_until(survey, Some(Phase::Quorum)).unwrap_err();
    let mut expired = agreement();
    expired.observed.observed_at = later();
    for node in ["cp-1", "cp-2", "cp-3"] {
        facts(&mut expired, node).clock = later();
    }
    let has = vec![Phase::Ordinary];
    assert_eq!(refused(&expired), PlanError::Phase(NoSuchPhase { phase: Phase::Quorum, has }));
    assert_eq!(
        refused(&expired).to_string(),
        "this plan has no phase quorum; its only phase is ordinary (to do everything else)"
    );
    assert_eq!(
        "soak".parse::<Phase>().unwrap_err().to_string(),
        "no phase is called so; there are etcd-snapshot, quorum, ordinary, prepare, trust-both, clients, peers, servers, drop-old, purge"
    );
}

#[test]
fn where_nothing_is_due_nothing_is_left_for_later() {
    let plan = whole_of_nothing().until(Phase::Quorum).unwrap();
    assert!(plan.visits.is_empty() && plan.later.is_empty());
}

/// The plan for a cluster in which nothing is due.
fn whole_of_nothing() -> PlanContent {
    let mut plan = plan_of(&everything_down());
    plan.visits.clear();
    plan
}

#[test]
fn what_runs_and_what_is_restarted_are_written_as_their_schemas_say() {
    let survey = everything_down();
    let plan = check(Draft::by_hand(plan_of(&survey)), &survey, &Processes::of(&survey.observed)).unwrap();
    let facts = Facts::new(plan.cluster.clone(), plan.spec.clone(), survey.observed);
    for (document, value) in [
        (Document::Plan, serde_json::to_value(&plan).unwrap()),
        (Document::Facts, serde_json::to_value(&facts).unwrap()),
    ] {
        let validator = jsonschema::draft7::new(&document.schema()).unwrap();
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new(), "{document:?}");
    }
}
