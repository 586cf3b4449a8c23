//! A cluster in which every process runs what its files hold; change one thing, look at the findings.

use std::net::{IpAddr, Ipv4Addr};

use jiff::Timestamp;

use super::super::diff;
use crate::desired::Survey;
use crate::formats::pem_facts::PemFacts;
use crate::observe::survey::tests::{agreement, now};
use crate::output;
use crate::output::StatusStyle;
use crate::output::status_report::{AlarmState, Status};
use crate::protocol::facts::{
    Answer, ClientCertificate, Content, EndpointFacts, NodeFacts, Probe, ProcessFacts, Seen, Served,
    ServiceFacts, UnitFacts,
};
use crate::types::certificate::{NewKeyAlgorithm, SubjectName, Usage};
use crate::x509::issue::{LeafRequest, RootRequest, issue, issue_root};
use crate::x509::{Certificate, PrivateKey, SerialNumber};

const ETCD: &str = "/etc/kubernetes/pki/etcd/server.crt";
const APISERVER: &str = "/etc/kubernetes/pki/apiserver.crt";

fn instant(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Later than everything in the files.
fn started() -> Timestamp {
    instant("2026-11-28T10:00:00Z")
}

/// The cluster with its services on cp-1 as they run there.
struct World(Survey);

impl World {
    fn running() -> Self {
        let mut world = Self(agreement());
        for (service, port, path) in [("etcd", 2379, ETCD), ("kube-apiserver", 6443, APISERVER)] {
            let serves = if service == "etcd" { "etcd-server" } else { "apiserver" };
            let certificate = world.certificate("cp-1", path);
            world.run(service, endpoint(port, Some(serves), certificate));
        }
        let unit = UnitFacts {
            active_state: "active".to_owned(),
            sub_state: "running".to_owned(),
            invocation_id: None,
            main_pid: Some(7),
            started: Some(started()),
            restarts: None,
            up_seconds: None,
            result: None,
            unit_file_state: None,
            flags: std::collections::BTreeMap::new(),
        };
        let kubelet = ServiceFacts { unit: Some(Seen::Present(unit)), endpoints: Vec::new() };
        world.node("cp-1").services.insert("kubelet".parse().unwrap(), kubelet);
        world
    }

    fn run(&mut self, service: &str, endpoint: EndpointFacts) {
        let services = &mut self.node("cp-1").services;
        services.entry(service.parse().unwrap()).or_default().endpoints.push(endpoint);
    }

    fn node(&mut self, name: &str) -> &mut NodeFacts {
        match self.0.observed.nodes.get_mut(name) {
            Some(Answer::Facts(facts)) => facts,
            other => panic!("{other:?}"),
        }
    }

    fn certificate(&mut self, node: &str, path: &str) -> Certificate {
        let file = self.node(node).files[path].shown().unwrap();
        file.content.pem().unwrap().certificates[0].clone()
    }

    fn touch(&mut self, path: &str, at: &str) {
        match self.node("cp-1").files.get_mut(path) {
            Some(Seen::Present(file)) => file.modified = instant(at),
            other => panic!("{other:?}"),
        }
    }

    /// Every finding about a service, as `ADDRESS effect text`.
    fn findings(&self) -> Vec<String> {
        let differences = diff(&self.0.desired, &self.0.observed, now());
        let all = differences.findings.iter().filter(|(address, _)| address.to_string().starts_with("svc/"));
        all.flat_map(|(address, findings)| {
            findings.iter().map(move |finding| format!("{address} {:?} {}", finding.effect, finding.reason))
        })
        .collect()
    }
}

fn endpoint(port: u16, serves: Option<&str>, certificate: Certificate) -> EndpointFacts {
    let served = Served {
        certificate,
        chain: Vec::new(),
        version: Some("1.3".to_owned()),
        client: ClientCertificate::Asked,
        accepts: Vec::new(),
        trouble: None,
    };
    EndpointFacts {
        port,
        address: Some(IpAddr::V4(Ipv4Addr::LOCALHOST)),
        serves: serves.map(|name| name.parse().unwrap()),
        server_name: None,
        probe: Probe::Served(Box::new(served)),
        process: Seen::Present(ProcessFacts { started: started(), pid: 812, program: "etcd".to_owned() }),
    }
}

/// A certificate in memory, as an API server makes it for itself.
fn in_memory(common_name: &str, not_after: &str) -> Certificate {
    let request = RootRequest {
        subject: SubjectName { common_name: common_name.to_owned(), organizations: Vec::new() },
        serial: SerialNumber::random().unwrap(),
        not_before: instant("2026-01-01T00:00:00Z"),
        not_after: instant(not_after),
    };
    issue_root(&request, &PrivateKey::generate(NewKeyAlgorithm::EcdsaP256).unwrap()).unwrap()
}

#[test]
fn what_runs_on_its_files_has_no_findings() {
    assert_eq!(World::running().findings(), Vec::<String>::new());
}

#[test]
fn what_was_not_looked_at_or_does_not_answer_has_no_findings() {
    let mut world = World::running();
    for probe in
        [Probe::Refused, Probe::NotListening, Probe::Unknown { reason: "no answer in time".to_owned() }]
    {
        let endpoints = &mut world.node("cp-1").services.get_mut("etcd").unwrap().endpoints;
        endpoints[0].probe = probe;
        assert_eq!(world.findings(), Vec::<String>::new());
    }
    world.node("cp-1").services.clear();
    world.touch("/etc/kubernetes/pki/etcd/ca.crt", "2026-11-30T00:00:00Z");
    assert_eq!(world.findings(), Vec::<String>::new());
}

#[test]
fn a_renewed_certificate_that_is_not_served_is_named_with_both_fingerprints() {
    let mut world = World::running();
    let other = world.certificate("cp-2", ETCD);
    let file = world.certificate("cp-1", ETCD);
    let (served, file) = (other.fingerprint().short(), file.fingerprint().short());
    world.run("etcd", EndpointFacts { port: 2380, ..endpoint(2379, Some("etcd-server"), other) });
    assert_eq!(
        world.findings(),
        [format!(
            "svc/etcd@cp-1 Due renewed, not in use: 127.0.0.1:2380 serves {served}, {ETCD} holds {file}"
        )]
    );
}

#[test]
fn files_that_changed_after_the_process_read_them_for_the_only_time_are_named() {
    let mut world = World::running();
    // Of these, etcd and the API server read only their CA at the start alone.
    for path in ["etcd/ca.crt", "etcd/server.crt", "etcd/peer.crt", "apiserver-etcd-client.crt"] {
        world.touch(&format!("/etc/kubernetes/pki/{path}"), "2026-11-30T00:00:00Z");
    }
    let changed = "renewed, not in use: /etc/kubernetes/pki/etcd/ca.crt changed 2026-11-30 00:00Z, and the process that read it at its start runs since 2026-11-28 10:00Z";
    assert_eq!(
        world.findings(),
        [format!("svc/etcd@cp-1 Due {changed}"), format!("svc/kube-apiserver@cp-1 Due {changed}")]
    );
    world.touch("/etc/kubernetes/pki/etcd/ca.crt", "2026-11-28T10:00:00Z");
    assert_eq!(world.findings(), Vec::<String>::new());
}

#[test]
fn the_process_of_a_unit_counts_where_no_port_shows_one() {
    let mut world = World::running();
    world.touch("/etc/kubernetes/kubelet.conf", "2026-11-30T00:00:00Z");
    let [finding] = world.findings().try_into().unwrap();
    assert!(finding.starts_with("svc/kubelet@cp-1 Due renewed, not in use: /etc/kubernetes/kubelet.conf"));
    let kubelet = world.node("cp-1").services.get_mut("kubelet").unwrap();
    if let Some(Seen::Present(unit)) = &mut kubelet.unit {
        unit.active_state = "failed".to_owned();
    }
    assert_eq!(world.findings(), Vec::<String>::new());
}

#[test]
fn the_certificate_in_the_memory_of_an_api_server_is_told_of_a_month_before_its_end() {
    let name = "apiserver-loopback-client";
    for (common_name, not_after, expected) in [
        ("apiserver-loopback-client-ca@1", "2027-01-01T00:00:00Z", 0),
        ("apiserver-loopback-client@1", "2026-12-31T00:00:00Z", 1),
        ("apiserver-loopback-client@1", "2026-11-30T00:00:00Z", 1),
        // A server that does not know the name.
        ("kube-apiserver", "2026-12-02T00:00:00Z", 0),
    ] {
        let mut world = World::running();
        let mut endpoint = endpoint(6443, None, in_memory(common_name, not_after));
        endpoint.server_name = Some(name.to_owned());
        world.run("kube-apiserver", endpoint);
        assert_eq!(world.findings().len(), expected, "{common_name} {not_after}: {:?}", world.findings());
    }
}

#[test]
fn status_says_what_is_not_in_use() {
    let mut world = World::running();
    let other = world.certificate("cp-2", ETCD);
    world.run("etcd", EndpointFacts { port: 2380, ..endpoint(2379, Some("etcd-server"), other) });
    world.touch("/etc/kubernetes/pki/sa.pub", "2026-11-30T00:00:00Z");
    let Survey { desired, observed } = &world.0;
    let status = Status::new(desired, observed, &diff(desired, observed, now()), now());
    let text = output::status(&status, StatusStyle { color: false, unicode: false }, &|_| None);
    let (_, findings) = text.split_once("\nFindings\n").unwrap();
    assert_eq!(findings, include_str!("../../../tests/golden/status-live.txt"));
    let json = serde_json::to_value(&status).unwrap();
    let services = json["others"].as_array().unwrap();
    assert_eq!(services[0]["address"], "svc/etcd@cp-1");
    assert_eq!(services[0]["findings"][0]["reason"], "ServedDiffersFromFile");
    assert_eq!(services[0]["findings"][0]["at"], "127.0.0.1:2380");
    // The alarm names both certificates whole; of a process that is older than its file only the file's is known.
    let alarm = &services[0]["alarms"][0];
    assert_eq!((&alarm["state"], &alarm["at"]), (&"notInUse".into(), &"127.0.0.1:2380".into()));
    let [file, served] = ["file", "served"].map(|which| alarm[which].as_str().unwrap().to_owned());
    assert!(file != served && [&file, &served].iter().all(|digest| digest.len() == 71), "{alarm}");
    let (alarms, _) = text.split_once("\nFindings\n").unwrap();
    let words = alarms.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = format!("which holds {file}; 127.0.0.1:2380 serves {served}");
    assert!(alarms.contains("  unused   svc/etcd@cp-1\n") && words.contains(&said), "{alarms}");
    let count = json["others"].as_array().unwrap().iter().map(|row| row["alarms"].as_array().unwrap().len());
    assert!(text.ends_with(&format!("alarms {}.\n", count.sum::<usize>())), "{text}");
}

/// A certificate as client-go makes one for a server that was given none: of a CA whose key is thrown away.
fn self_made(host: &str, not_after: &str) -> Certificate {
    let ca_key = PrivateKey::generate(NewKeyAlgorithm::EcdsaP256).unwrap();
    let subject = |name: String| SubjectName { common_name: name, organizations: Vec::new() };
    let (not_before, not_after) = (instant("2026-01-01T00:00:00Z"), instant(not_after));
    let serial = || SerialNumber::random().unwrap();
    let name = subject(format!("{host}-ca@1764547200"));
    let ca = issue_root(&RootRequest { subject: name, serial: serial(), not_before, not_after }, &ca_key);
    let request = LeafRequest {
        subject: subject(format!("{host}@1764547200")),
        public_key: PrivateKey::generate(NewKeyAlgorithm::EcdsaP256).unwrap().public_key().clone(),
        serial: serial(),
        not_before,
        not_after,
        usages: [Usage::Server].into(),
        dns: [host.to_owned()].into(),
        ip: [].into(),
    };
    issue(&request, &ca.unwrap(), &ca_key).unwrap()
}

#[test]
fn what_programs_make_for_themselves_is_shown_with_its_end_and_the_way_to_a_new_one() {
    let mut world = World::running();
    let own = self_made("cp-1", "2027-11-01T00:00:00Z");
    world.run("kubelet", endpoint(10250, None, own.clone()));
    let Some(Seen::Present(mut file)) = world.node("cp-1").files.get(APISERVER).cloned() else { panic!() };
    file.content = Content::Pem(PemFacts::read(own.to_pem().as_bytes()));
    world.node("cp-1").files.insert("/var/lib/kubelet/pki/kubelet.crt".to_owned(), Seen::Present(file));
    let of_manager = self_made("localhost", "2026-12-20T00:00:00Z");
    world.run("kube-controller-manager", endpoint(10257, None, of_manager));
    world
        .run("kube-scheduler", endpoint(10259, None, in_memory("scheduler.example", "2026-11-30T00:00:00Z")));
    // What is one of the node's files has a row of its own.
    let apiserver = world.certificate("cp-1", APISERVER);
    world.run("kube-scheduler", endpoint(10260, None, apiserver));
    assert_eq!(world.findings(), Vec::<String>::new(), "no plan is made of it");

    let Survey { desired, observed } = &world.0;
    let status = Status::new(desired, observed, &diff(desired, observed, now()), now());
    let rows: Vec<(&str, String, Option<AlarmState>)> = status
        .unmanaged
        .iter()
        .map(|row| (row.address.as_str(), row.seen_at.join(" "), row.alarm.as_ref().map(|alarm| alarm.state)))
        .collect();
    let at = |text: &str| text.to_owned();
    assert_eq!(
        rows,
        [
            ("svc/kube-controller-manager@cp-1", at("127.0.0.1:10257"), Some(AlarmState::Expiring)),
            ("svc/kube-scheduler@cp-1", at("127.0.0.1:10259"), Some(AlarmState::Expired)),
            ("svc/kubelet@cp-1", at("127.0.0.1:10250 /var/lib/kubelet/pki/kubelet.crt"), None),
        ]
    );
    assert!(status.is_alarming());
    let text = output::status(&status, StatusStyle { color: false, unicode: false }, &|_| None);
    let words = text.split_whitespace().collect::<Vec<_>>().join(" ");
    for said in [
        "NOT MANAGED NODE EXPIRES (UTC) LEFT SEEN AT",
        "svc/kubelet cp-1 2027-11-01 00:00 335d 127.0.0.1:10250, /var/lib/kubelet/pki/kubelet.crt",
        "expiring svc/kube-controller-manager@cp-1 ends 2026-12-20 00:00Z, 19d left; alarm from 30d before the end; nothing renews it; restart the pod of /etc/kubernetes/manifests/kube-controller-manager.yaml",
        "expired svc/kube-scheduler@cp-1 ended 2026-11-30 00:00Z; it comes from elsewhere; renew it there",
        "alarms 2.",
    ] {
        assert!(words.contains(said), "{said}: {text}");
    }
    assert!(status.unmanaged[2].renewal.contains("remove /var/lib/kubelet/pki/kubelet.crt and its key"));
}
