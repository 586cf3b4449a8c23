//! Start in agreement, let a CA of etcd go, look at the plan.

use std::collections::BTreeMap;

use crate::desired::Survey;
use crate::desired::{Decided, DesiredConsumer, DesiredService};
use crate::diff::{Differences, Reason, diff};
use crate::formats::pem_facts;
use crate::observe::survey::tests::{SPEC, agreement, now, signed_again};
use crate::output;
use crate::output::StatusStyle;
use crate::output::status_report::Status;
use crate::plan::{Approval, Input, Options, Phase, draft};
use crate::profile::{Read, Reload, What};
use crate::protocol::facts::{
    Answer, ClientCertificate, Content, EndpointFacts, FileFacts, KeptKey, NodeFacts, Probe, ProcessFacts,
    Seen, Served,
};
use crate::protocol::file::SpecReference;
use crate::simulate::{Plan, check};
use crate::spec::types::OnExpiry;
use crate::trust::processes::Processes;
use crate::types::certificate::{NewKeyAlgorithm, SubjectName};
use crate::x509::issue::{RootRequest, issue_root};
use crate::x509::{PrivateKey, SerialNumber, Sha256};

fn distrusted() -> Survey {
    let mut survey = agreement();
    let held = Differences::without_findings(&survey.desired, &survey.observed, now());
    let old = held.authorities()["etcd-ca"].signer().unwrap().fingerprint().to_string();
    let authority = survey.desired.authorities.get_mut("etcd-ca").unwrap();
    authority.distrust.insert(format!("sha256:{old}"), "INC-2291, key exposed".to_owned());
    survey
}

fn plan_of(survey: &Survey) -> Plan {
    let differences = diff(&survey.desired, &survey.observed, now());
    let spec = SpecReference {
        file: "spec.yaml".to_owned(),
        sha256: Sha256::of(SPEC.as_bytes()),
        commit: None,
        files: Default::default(),
    };
    let options = &Options::default();
    let draft = draft(&Input {
        survey,
        differences: &differences,
        now: now(),
        spec,
        options,
        signed: &Default::default(),
        place: &|_| None,
    });
    check(draft.unwrap(), survey, &Processes::of(&survey.observed)).unwrap().in_order()
}

#[test]
fn a_distrusted_ca_goes_in_phases_each_of_which_is_done_on_all_nodes_first() {
    let plan = plan_of(&distrusted());
    assert!(plan.applicable);
    let phases: Vec<Phase> = plan.phases().map(|(phase, _)| phase).collect();
    let all = [
        Phase::Prepare,
        Phase::TrustBoth,
        Phase::Clients,
        Phase::Peers,
        Phase::Servers,
        Phase::DropOld,
        Phase::Purge,
    ];
    assert_eq!(phases, all);
    assert!(plan.phases().all(|(_, visits)| visits.len() == 3));
    assert!(plan.phases.last().is_some_and(|line| line.phase == Phase::Purge && !line.can_go_back));
    assert!(!plan.can_take_back(plan.visits.len()));
}

#[test]
fn the_key_of_a_ca_that_goes_for_another_reason_stays_in_the_snapshots() {
    let mut survey = agreement();
    let authority = survey.desired.authorities.get_mut("etcd-ca").unwrap();
    authority.on_expiry = OnExpiry::Replace;
    authority.reissue_issued_before = Some(Decided { value: now(), by: None });
    let plan = plan_of(&survey);
    assert_eq!(plan.phases().last().map(|(phase, _)| phase), Some(Phase::DropOld));
}

/// A cluster that holds nothing of a distrusted CA any more, of whose snapshots the nodes tell this.
fn dropped(kept: impl Fn(&str) -> Seen<BTreeMap<Sha256, KeptKey>>) -> Survey {
    let mut survey = agreement();
    let authority = survey.desired.authorities.get_mut("etcd-ca").unwrap();
    authority.distrust.insert(format!("sha256:{}", gone()), "INC-2291, key exposed".to_owned());
    for (name, answer) in &mut survey.observed.nodes {
        if let Answer::Facts(facts) = answer {
            facts.kept_keys = kept(name.as_str());
        }
    }
    survey
}

fn gone() -> Sha256 {
    Sha256::of(b"a CA that has gone")
}

#[test]
fn a_key_that_only_snapshots_hold_is_purged_by_itself_and_not_without_the_upper_approval() {
    let holds = KeptKey { key: Sha256::of(b"its key"), files: 2 };
    let kept = [(gone(), holds)];
    let on = |node: &str| Seen::Present(kept.clone().into_iter().filter(|_| node == "cp-2").collect());
    let plan = plan_of(&dropped(on));
    let phases: Vec<Phase> = plan.phases().map(|(phase, _)| phase).collect();
    assert_eq!((phases, plan.visits.len(), plan.visits[0].place.as_str()), (vec![Phase::Purge], 1, "cp-2"));
    let Approval::Upper { name, why } = plan.approval() else { panic!() };
    assert_eq!((name.as_str(), why.len()), ("prod-eu1/etcd-ca", 1));
    assert!(why[0].contains("is removed from the snapshots"), "{why:?}");
    assert!(plan_of(&dropped(|_| Seen::Present(BTreeMap::new()))).is_empty());
}

#[test]
fn snapshots_of_which_nothing_is_known_are_told_and_never_taken_for_purged() {
    let plan = plan_of(&dropped(|_| Seen::Unknown { reason: "permission denied".to_owned() }));
    assert!(plan.applicable && plan.visits.is_empty());
    assert_eq!(plan.elsewhere.len(), 3);
    assert!(
        plan.elsewhere.iter().all(|left| left.because == "a key that may be there is not taken for gone")
    );
}

#[test]
fn a_plan_that_replaces_a_ca_of_kubeadm_says_what_may_bring_the_old_one_back() {
    let noted = |survey: &Survey| -> Vec<String> {
        let plan = plan_of(survey);
        let notes = plan.notes.iter().filter(|note| note.finding.reason == Reason::KeyForJoining);
        notes.map(|note| note.address.to_string()).collect()
    };
    assert_eq!(noted(&distrusted()), ["ca/etcd-ca@cp-1"]);
    assert!(noted(&agreement()).is_empty());
    let text = output::plan(&plan_of(&distrusted()));
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "kubectl -n kube-system delete secret kubeadm-certs",
        "let no control plane join while the replacement runs",
    ] {
        assert!(words.contains(said), "{text}");
    }
}

/// Writes files of the CA of etcd on a node.
fn put(survey: &mut Survey, node: &str, files: &[(&str, String)]) {
    let Some(Answer::Facts(facts)) = survey.observed.nodes.get_mut(node) else { panic!("{node}") };
    let Some(Seen::Present(like)) = facts.files.get(CA).cloned() else { panic!("{CA}") };
    for (path, text) in files {
        let content = Content::Pem(pem_facts::PemFacts::read(text.as_bytes()));
        let file = FileFacts { content, resolved: (*path).to_owned(), ..like.clone() };
        facts.files.insert((*path).to_owned(), Seen::Present(file));
    }
}

#[test]
fn status_says_how_far_a_replacement_is_and_shows_the_ca_that_comes() {
    let mut survey = distrusted();
    let status = |survey: &Survey| {
        let Survey { desired, observed } = survey;
        Status::new(desired, observed, &diff(desired, observed, now()), now())
    };
    assert!(status(&survey).rotations.is_empty(), "what nobody has begun is only due");
    let key = PrivateKey::generate(NewKeyAlgorithm::EcdsaP256).unwrap();
    let request = RootRequest {
        subject: SubjectName { common_name: "etcd-ca-20261201".to_owned(), organizations: Vec::new() },
        serial: SerialNumber::random().unwrap(),
        not_before: now(),
        not_after: "2036-12-01T00:00:00Z".parse().unwrap(),
    };
    let root = issue_root(&request, &key).unwrap();
    let copy = &survey.desired.nodes["cp-1"].authorities["etcd-ca"];
    let (waits, old) = (copy.successor(), copy.certificate.path.clone());
    let pem = key.to_pem().unwrap().as_str().to_owned();
    for node in ["cp-1", "cp-2", "cp-3"] {
        let files =
            [(waits.certificate.path.as_str(), root.to_pem()), (waits.key.path.as_str(), pem.clone())];
        put(&mut survey, node, &files);
    }
    let facts = survey.observed.nodes["cp-1"].facts().unwrap();
    let both = format!("{}{}", facts.first_certificate(&old).unwrap().to_pem(), root.to_pem());
    put(&mut survey, "cp-1", &[(&old, both)]);

    let status = status(&survey);
    let [rotation] = status.rotations.as_slice() else { panic!("{:?}", status.rotations) };
    assert_eq!((rotation.authority.as_str(), rotation.phase), ("etcd-ca", Some(Phase::TrustBoth)));
    assert_eq!(rotation.successor.fingerprint, *root.fingerprint());
    let shown = status.certificate_authorities.iter().find(|row| row.successor).unwrap();
    assert_eq!(
        (shown.nodes.len(), shown.signers.len(), shown.path.as_str()),
        (3, 3, waits.certificate.path.as_str())
    );
    let text = output::status(&status, StatusStyle { color: false, unicode: false }, &|_| None);
    for said in [
        "etcd-ca (successor)  cp-1, cp-2, cp-3  2036-12-01 00:00",
        "Replacement under way\n  ca/etcd-ca",
        "    prepare     done\n    trust-both  done on cp-1; not on cp-2, cp-3\n    clients     not started\n",
        "`pki plan` shows what is left of it; `pki apply` continues it.",
    ] {
        assert!(text.contains(said), "{said}: {text}");
    }
    let json = serde_json::to_value(&status).unwrap();
    assert_eq!(json["rotations"][0]["phase"], "trust-both");
    assert_eq!(json["rotations"][0]["phases"][1]["left"], serde_json::json!(["cp-2", "cp-3"]));
    // What the plan draws next is what the status says.
    assert_eq!(plan_of(&survey).phases().next().map(|(phase, _)| phase), rotation.phase);
}

/// Where a consumer of the CA looks.
const BUNDLE: &str = "/etc/calico/certs/ca.crt";
const SHOWN: &str = "/etc/calico/certs/client.crt";

/// The facts of cp-2.
fn cp_2(survey: &mut Survey) -> &mut NodeFacts {
    match survey.observed.nodes.get_mut("cp-2") {
        Some(Answer::Facts(facts)) => facts,
        other => panic!("{other:?}"),
    }
}

/// A cluster whose CA of etcd is distrusted, with a consumer on cp-2 that holds what other files hold.
fn with_consumer(files: &[(&str, &str)]) -> Survey {
    let mut survey = distrusted();
    let paths = files.iter().map(|(path, _)| (*path).to_owned()).collect();
    let consumer = DesiredConsumer { paths, ..DesiredConsumer::default() };
    let node = survey.desired.nodes.get_mut("cp-2").unwrap();
    node.consumers.entry("etcd-ca".parse().unwrap()).or_default().insert("calico".parse().unwrap(), consumer);
    let facts = cp_2(&mut survey);
    for (path, from) in files {
        let seen = facts.files.get(*from).cloned().unwrap_or(Seen::Absent);
        facts.files.insert((*path).to_owned(), seen);
    }
    survey
}

fn phases(plan: &Plan) -> Vec<Phase> {
    plan.phases().map(|(phase, _)| phase).collect()
}

const CA: &str = "/etc/kubernetes/pki/etcd/ca.crt";
const LEAF: &str = "/etc/kubernetes/pki/apiserver-etcd-client.crt";

#[test]
fn nothing_is_reissued_while_a_consumer_trusts_the_old_ca_alone() {
    let plan = plan_of(&with_consumer(&[(BUNDLE, CA)]));
    assert_eq!(phases(&plan), [Phase::Prepare, Phase::TrustBoth]);
    let [told] = plan.elsewhere.as_slice() else { panic!("{:?}", plan.elsewhere) };
    assert!(
        told.because
            .contains("calico on cp-2 trusts only the old CA of etcd-ca, in /etc/calico/certs/ca.crt")
    );
    assert!(told.help.as_ref().unwrap().contains("spec.authorities.etcd-ca.waive.calico"));
    assert!(plan.blocked.is_empty() && plan.applicable);
}

#[test]
fn nothing_is_dropped_while_a_consumer_shows_what_the_old_ca_signed() {
    let plan = plan_of(&with_consumer(&[(SHOWN, LEAF)]));
    assert_eq!(phases(&plan).last(), Some(&Phase::Servers));
    assert!(plan.elsewhere[0].because.contains("shows a certificate of the old CA of etcd-ca"));
    // Nobody has to approve a drop that is not made.
    assert!(matches!(plan.approval(), Approval::Ordinary));
}

#[test]
fn a_consumer_that_is_waived_by_name_is_noted_and_not_waited_for() {
    let mut survey = with_consumer(&[(BUNDLE, CA), (SHOWN, LEAF)]);
    let authority = survey.desired.authorities.get_mut("etcd-ca").unwrap();
    authority.waive.insert("calico".parse().unwrap(), "it is taken down today".to_owned());
    let plan = plan_of(&survey);
    assert!(phases(&plan).contains(&Phase::DropOld));
    assert!(plan.elsewhere.is_empty(), "{:?}", plan.elsewhere);
    let notes: Vec<String> = plan.notes.iter().map(|noted| noted.finding.reason.to_string()).collect();
    let told = notes.iter().filter(|note| note.contains("is not waited for: it is taken down today"));
    assert_eq!(told.count(), 2, "{notes:?}");
}

#[test]
fn a_consumer_that_is_not_there_does_not_stand_in_the_way_and_one_that_cannot_be_read_does() {
    let plan = plan_of(&with_consumer(&[(BUNDLE, "/etc/nowhere")]));
    assert!(phases(&plan).contains(&Phase::DropOld));
    let mut survey = with_consumer(&[(BUNDLE, CA)]);
    let facts = cp_2(&mut survey);
    facts.files.insert(BUNDLE.to_owned(), Seen::Unknown { reason: "permission denied".to_owned() });
    let plan = plan_of(&survey);
    assert_eq!(phases(&plan), [Phase::Prepare, Phase::TrustBoth]);
    assert!(plan.elsewhere[0].because.contains("is not known: /etc/calico/certs/ca.crt: permission denied"));
}

#[test]
fn what_ends_meanwhile_is_renewed_by_the_ca_that_all_trust() {
    let mut survey = with_consumer(&[(BUNDLE, CA)]);
    // Everything that etcd's CA issued is due.
    for node in survey.desired.nodes.values_mut() {
        let own = node.identities.values_mut();
        for identity in own.filter(|identity| {
            identity.authority.as_ref().is_some_and(|authority| authority.as_str() == "etcd-ca")
        }) {
            identity.renew_before.value = "360d".parse().unwrap();
        }
    }
    let plan = plan_of(&survey);
    assert_eq!(phases(&plan), [Phase::Ordinary, Phase::Prepare, Phase::TrustBoth]);
    let issued = plan.actions().filter(|action| matches!(action.deed, crate::plan::Deed::IssueIdentity(_)));
    assert_eq!(issued.count(), 12);
}

#[test]
fn who_trusts_the_old_ca_for_another_period_alone_is_waited_for_like_who_trusts_it() {
    let mut survey = with_consumer(&[(BUNDLE, CA)]);
    let Some(Seen::Present(file)) = cp_2(&mut survey).files.get_mut(BUNDLE) else { panic!("it is there") };
    file.content = Content::Pem(pem_facts::PemFacts::read(&signed_again()));
    let plan = plan_of(&survey);
    assert_eq!(phases(&plan), [Phase::Prepare, Phase::TrustBoth]);
    assert!(plan.elsewhere[0].because.contains("trusts only the old CA of etcd-ca"));
}

#[test]
fn the_old_ca_behind_what_a_consumer_shows_is_no_trust_of_it() {
    let mut survey = with_consumer(&[(SHOWN, LEAF)]);
    let [leaf, ca] = [LEAF, CA].map(|path| cp_2(&mut survey).certificates(path).to_vec());
    let Some(Seen::Present(file)) = cp_2(&mut survey).files.get_mut(SHOWN) else { panic!("it is there") };
    let Content::Pem(pem) = &mut file.content else { panic!("{file:?}") };
    pem.certificates = [leaf, ca].concat();
    let plan = plan_of(&survey);
    assert_eq!(phases(&plan).last(), Some(&Phase::Servers));
    assert!(plan.elsewhere[0].because.contains("shows a certificate of the old CA"));
}

/// What a consumer's port answered at two addresses.
fn with_port(probes: [Probe; 2]) -> Plan {
    let mut survey = distrusted();
    let consumer = DesiredConsumer { ports: [9379.try_into().unwrap()].into(), ..DesiredConsumer::default() };
    let node = survey.desired.nodes.get_mut("cp-2").unwrap();
    node.consumers.entry("etcd-ca".parse().unwrap()).or_default().insert("backup".parse().unwrap(), consumer);
    cp_2(&mut survey).consumers = probes.map(answered).to_vec();
    plan_of(&survey)
}

fn answered(probe: Probe) -> EndpointFacts {
    EndpointFacts { port: 9379, address: None, serves: None, server_name: None, probe, process: Seen::Absent }
}

fn serves(path: &str) -> Probe {
    let mut survey = agreement();
    let certificate = cp_2(&mut survey).certificates(path)[0].clone();
    Probe::Served(Box::new(Served {
        certificate,
        chain: Vec::new(),
        version: None,
        client: ClientCertificate::NotAsked,
        accepts: Vec::new(),
        trouble: None,
    }))
}

#[test]
fn a_port_that_shows_what_the_old_ca_signed_is_waited_for_and_so_is_one_that_says_nothing() {
    let other = "/etc/kubernetes/pki/apiserver.crt";
    for (probes, told) in [
        ([serves(LEAF), serves(other)], Some("shows a certificate of the old CA of etcd-ca, at port 9379")),
        ([Probe::Refused, serves(LEAF)], Some("shows a certificate of the old CA of etcd-ca, at port 9379")),
        ([Probe::Refused, Probe::NotListening], Some("is not known: at port 9379: nothing answers there")),
        ([serves(other), Probe::Unknown { reason: "timed out".to_owned() }], Some("port 9379: timed out")),
        ([serves(other), Probe::Refused], None),
    ] {
        let plan = with_port(probes);
        assert_eq!(phases(&plan).contains(&Phase::DropOld), told.is_none(), "{told:?}");
        let because: Vec<&str> = plan.elsewhere.iter().map(|blocked| blocked.because.as_str()).collect();
        match told {
            Some(told) => assert!(because.iter().any(|because| because.contains(told)), "{because:?}"),
            None => assert!(because.is_empty(), "{because:?}"),
        }
    }
}

#[test]
fn a_node_that_shows_a_certificate_and_holds_no_copy_of_the_ca_has_to_be_seen_too() {
    let mut survey = distrusted();
    let node = survey.desired.nodes.get_mut("cp-3").unwrap();
    node.authorities.remove("etcd-ca").unwrap();
    node.services.clear();
    survey.observed.nodes.insert("cp-3".parse().unwrap(), Answer::Skipped);
    let plan = plan_of(&survey);
    assert!(phases(&plan).is_empty() && !plan.applicable);
    let because: Vec<&str> = plan.blocked.iter().map(|blocked| blocked.because.as_str()).collect();
    assert!(because.iter().any(|because| because.contains("what cp-3 shows is not known")), "{because:?}");
}

#[test]
fn a_ca_that_waits_and_cannot_be_read_is_not_taken_for_lost() {
    let mut survey = distrusted();
    let next = "/etc/kubernetes/pki/etcd/ca-next.key".to_owned();
    cp_2(&mut survey).files.insert(next, Seen::Unknown { reason: "input/output error".to_owned() });
    let plan = plan_of(&survey);
    assert!(phases(&plan).is_empty() && !plan.applicable);
    assert!(plan.blocked.iter().any(|blocked| blocked.because.contains("what cp-2 trusts is not known")));
}

#[test]
fn who_reads_its_certificate_at_its_start_and_is_restarted_by_a_person_holds_the_drop() {
    let mut survey = distrusted();
    let what = What::Identity("apiserver-etcd-client".parse().unwrap());
    let read = Read { what, reload: Vec::new(), single_file_mount: false, source: None };
    assert_eq!(read.reload(None), Reload::Start);
    let scraper = DesiredService { reads: vec![read], ..DesiredService::default() };
    let services = &mut survey.desired.nodes.get_mut("cp-2").unwrap().services;
    services.insert("scraper".parse().unwrap(), scraper);
    let process = ProcessFacts { started: now(), pid: 7, program: "scraper".to_owned() };
    let endpoint = EndpointFacts { process: Seen::Present(process), ..answered(Probe::Refused) };
    let services = &mut cp_2(&mut survey).services;
    services.entry("scraper".parse().unwrap()).or_default().endpoints.push(endpoint);
    let plan = plan_of(&survey);
    assert_eq!(phases(&plan).last(), Some(&Phase::Servers));
    let [told] = plan.elsewhere.as_slice() else { panic!("{:?}", plan.elsewhere) };
    assert!(told.because.contains("scraper on cp-2 shows what it has read at its start"), "{}", told.because);
    assert!(told.help.as_ref().unwrap().contains("spec.services.scraper.restart"));
}
