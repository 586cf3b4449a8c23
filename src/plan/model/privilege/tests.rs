//! Whose certificates, keys and names widen what somebody may do, and whose do not.

use std::collections::BTreeSet;

use super::*;
use crate::desired::Survey;
use crate::desired::hints::hints;
use crate::desired::{DesiredIdentity, Hints, resolve};
use crate::diff::diff;
use crate::observe::survey::tests::{SPEC, agreement, now};
use crate::plan::{Approval, Input, Options, PlanContent, draft};
use crate::profile::Profile;
use crate::protocol::facts::{Answer, Seen};
use crate::protocol::file::SpecReference;
use crate::spec::types::ClusterPki;
use crate::types::profile_name::ProfileName;

/// The cluster in agreement with a worker that holds the cluster's CA and nothing else, under a spec that says this besides.
fn world(addition: &str) -> Survey {
    let mut survey = agreement();
    let worker = "    w-1: { address: 10.0.0.21, roles: [worker] }\n";
    let text = format!("{SPEC}{worker}{addition}");
    let spec: ClusterPki = serde_saphyr::from_str(&text).unwrap();
    let Answer::Facts(mut facts) = survey.observed.nodes["cp-1"].clone() else { panic!() };
    for (path, seen) in &mut facts.files {
        if path != "/etc/kubernetes/pki/ca.crt" {
            *seen = Seen::Absent;
        }
    }
    facts.hostname = Some("w-1".to_owned());
    facts.services.clear();
    survey.observed.nodes.insert("w-1".parse().unwrap(), Answer::Facts(facts));
    let profile = Profile::load(ProfileName::Kubeadm).unwrap();
    let declared = resolve(&spec, &profile, &Hints::default(), &Default::default()).unwrap();
    survey.desired =
        resolve(&spec, &profile, &hints(&declared, &survey.observed), &Default::default()).unwrap();
    for (node, wanted) in &survey.desired.nodes {
        let Some(Answer::Facts(facts)) = survey.observed.nodes.get_mut(node) else { panic!() };
        let places = wanted.identities.values().flat_map(DesiredIdentity::places);
        for file in places.flat_map(|place| place.files()) {
            facts.files.entry(file.path.clone()).or_insert(Seen::Absent);
        }
    }
    survey
}

fn planned(survey: &Survey, options: &Options) -> PlanContent {
    let differences = diff(&survey.desired, &survey.observed, now());
    let spec = SpecReference {
        file: "spec.yaml".to_owned(),
        sha256: Sha256::of(b""),
        commit: None,
        files: Default::default(),
    };
    let (differences, place) = (&differences, &|_: &[String]| None);
    draft(&Input { survey, differences, now: now(), spec, options, signed: &Default::default(), place })
        .unwrap()
        .into_planned()
}

/// What a plan gives, as `SUBJECT @ NODES: WORDS`.
fn given(survey: &Survey) -> Vec<String> {
    let plan = planned(survey, &Options::default());
    plan.privileged().into_iter().map(|(words, on)| format!("{on}: {words}")).collect()
}

fn certificate(authority: &str, subject: &str, usages: &str, file: &str, on: &str) -> String {
    format!(
        "  certificates: {{ extra: {{ authority: {authority}, subject: {subject}, usages: [{usages}], files: {{ certificate: /etc/x/t.crt, key: /etc/x/t.key{file} }}, on: {on} }} }}\n"
    )
}

#[test]
fn what_the_profile_gives_is_ordinary_also_where_nothing_is_there() {
    assert!(given(&world("")).is_empty(), "{:?}", given(&world("")));
    let replace = vec!["@cp-1".parse().unwrap()];
    let plan = planned(&agreement(), &Options { replace, ..Options::default() });
    assert!(plan.actions().count() > 5 && plan.privileges.is_empty(), "{:?}", plan.privileges);
    assert_eq!(plan.approval(), Approval::Ordinary);
}

#[test]
fn each_way_to_more_than_the_profile_gives_is_told() {
    let (cp, worker) = ("{ nodes: [cp-1] }", "{ nodes: [w-1] }");
    let plain = "{ commonName: scraper }";
    let cases = [
        (certificate("etcd-ca", plain, "client", "", cp), vec![]),
        (certificate("ca", plain, "client", "", cp), vec![]),
        (certificate("ca", plain, "server", "", worker), vec![]),
        (
            certificate("ca", "{ commonName: m, organizations: [\"system:masters\"] }", "client", "", cp),
            vec!["extra @ cp-1: a client certificate in the group system:masters"],
        ),
        (
            certificate(
                "ca",
                "{ commonName: m, organizations: [\"kubeadm:cluster-admins\"] }",
                "client",
                "",
                cp,
            ),
            vec!["extra @ cp-1: a client certificate in the group kubeadm:cluster-admins"],
        ),
        (
            certificate("ca", "{ commonName: m, organizations: [\"system:masters\"] }", "server", "", cp),
            vec![],
        ),
        (
            certificate("ca", "{ commonName: \"system:admin\" }", "client", "", cp),
            vec!["extra @ cp-1: a client certificate of the user system:admin"],
        ),
        (
            certificate("etcd-ca", "{ commonName: root }", "client", "", cp),
            vec!["extra @ cp-1: a client certificate of the user root"],
        ),
        (certificate("ca", "{ commonName: root }", "client", "", cp), vec![]),
        (
            certificate("front-proxy-ca", plain, "client", "", cp),
            vec![
                "extra @ cp-1: a client certificate of front-proxy-ca, whose holders may speak for every user",
            ],
        ),
        (
            certificate("ca", plain, "client", "", worker),
            vec![
                "extra @ w-1: a further client certificate of ca/ca, on a node of a role to which the profile does not give it",
            ],
        ),
        (
            certificate("ca", "{ commonName: kube-apiserver-kubelet-client }", "client", "", cp),
            vec![
                "extra @ cp-1: a client certificate of apiserver-kubelet-client's user, on a node of a role to which the profile does not give it",
            ],
        ),
        (
            certificate("etcd-ca", plain, "client", ", mode: \"0640\"", cp),
            vec!["extra @ cp-1: a key that others may open: /etc/x/t.key 0640 root:root"],
        ),
        (
            certificate("etcd-ca", plain, "client", ", owner: \"www-data:www-data\"", cp),
            vec!["extra @ cp-1: a key that others may open: /etc/x/t.key 0600 www-data:www-data"],
        ),
        (
            certificate("etcd-ca", "{ commonName: \"ops-\u{430}dmin\" }", "client", "", cp),
            vec![r"extra @ cp-1: a name with letters of two scripts in one word: ops-\u{430}dmin"],
        ),
        (
            "  certificates: { admin.conf: { on: { nodes: [w-1] } } }\n".to_owned(),
            vec![
                "admin.conf @ w-1: a client certificate in the group system:masters",
                "admin.conf @ w-1: a client certificate of admin.conf's user, on a node of a role to which the profile does not give it",
            ],
        ),
        (
            "  certificates: { admin.conf: { kubeconfig: { path: /home/ops/config, owner: ops } } }\n"
                .to_owned(),
            vec![
                "admin.conf @ cp-1, cp-2, cp-3: a client certificate in the group system:masters",
                "admin.conf @ cp-1, cp-2, cp-3: a client certificate of admin.conf's user, on a node of a role to which the profile does not give it",
                "admin.conf @ cp-1, cp-2, cp-3: a key that others may open: /home/ops/config 0600 ops:ops",
            ],
        ),
    ];
    for (addition, mut expected) in cases {
        let mut found = given(&world(&addition));
        found.sort();
        expected.sort();
        assert_eq!(found, expected, "{addition}");
    }
}

#[test]
fn a_group_or_user_that_an_existing_certificate_lacks_is_told_and_its_renewal_is_not() {
    let subject =
        |subject: &str| format!("  certificates: {{ front-proxy-client: {{ subject: {subject} }} }}\n");
    let found = given(&world(&subject("{ commonName: front-proxy-client, organizations: [ops] }")));
    assert_eq!(
        found,
        ["front-proxy-client @ cp-1, cp-2, cp-3: adds the group ops to a certificate that lacks it"]
    );
    let found = given(&world(&subject("{ commonName: someone }")));
    assert_eq!(
        found,
        [
            "front-proxy-client @ cp-1, cp-2, cp-3: a client certificate of front-proxy-ca, whose holders may speak for every user",
            "front-proxy-client @ cp-1, cp-2, cp-3: makes a certificate of front-proxy-client one of someone",
        ]
    );
    // What is on disk already is renewed as it is, also where the spec now names it: admin.conf is in system:masters here.
    let addition = "  certificates: { admin.conf: { subject: { commonName: kubernetes-admin, organizations: [\"system:masters\"] }, renewBefore: 364d } }\n";
    let survey = world(addition);
    let plan = planned(&survey, &Options::default());
    assert!(plan.actions().any(|action| action.address.to_string() == "admin.conf@cp-2"), "it is renewed");
    assert!(plan.privileges.is_empty(), "{:?}", plan.privileges);
}

#[test]
fn a_mode_that_the_key_has_already_is_ordinary_and_one_that_another_file_has_is_not() {
    let addition = "  certificates: { apiserver: { files: { certificate: /etc/kubernetes/pki/apiserver.crt, key: /etc/kubernetes/pki/apiserver.key, mode: \"0640\" }, renewBefore: 364d } }\n";
    let open = |mode: u32| {
        let mut survey = world(addition);
        for node in ["cp-1", "cp-2", "cp-3"] {
            let Some(Answer::Facts(facts)) = survey.observed.nodes.get_mut(node) else { panic!() };
            let Some(Seen::Present(file)) = facts.files.get_mut("/etc/kubernetes/pki/apiserver.key") else {
                panic!()
            };
            file.mode = mode;
        }
        given(&survey)
    };
    assert_eq!(
        open(0o600),
        [
            "apiserver @ cp-1, cp-2, cp-3: a key that others may open: /etc/kubernetes/pki/apiserver.key 0640 root:root"
        ]
    );
    assert!(open(0o640).is_empty());
    assert!(open(0o644).is_empty(), "it is narrowed");
}

#[test]
fn the_key_of_a_ca_that_comes_may_be_as_open_as_the_layout_has_the_key_of_the_ca() {
    let world = |mode: &str| {
        world(&format!(
            "  authorities: {{ etcd-ca: {{ onExpiry: replace, renewBefore: 3650d, validity: 20y, files: {{ certificate: /etc/kubernetes/pki/etcd/ca.crt, key: /etc/kubernetes/pki/etcd/ca.key, mode: \"{mode}\" }} }} }}\n"
        ))
    };
    let next = "/etc/kubernetes/pki/etcd/ca-next.key";
    let mut survey = world("0640");
    let told = given(&survey);
    assert!(told.iter().any(|told| told.contains(next)), "the spec has opened it: {told:?}");
    survey.desired.layout = Some(survey.desired.nodes.clone());
    assert_eq!(given(&survey), Vec::<String>::new(), "the layout has it so");
    assert_eq!(given(&world("0600")), Vec::<String>::new());
}

#[test]
fn a_ca_that_one_node_alone_trusts_is_not_spread_without_an_approval() {
    let survey = world("");
    let differences = diff(&survey.desired, &survey.observed, now());
    let authorities = differences.authorities();
    let judge = Judge::new(&survey, authorities, &[]);
    let address: Address = "ca/ca@cp-1".parse().unwrap();
    let own = authorities[&"ca".parse::<AuthorityName>().unwrap()].signer().unwrap().clone();
    let foreign = authorities[&"etcd-ca".parse::<AuthorityName>().unwrap()].signer().unwrap().clone();
    assert_eq!(judge.trust_gained(&address, &own, &[]), None, "its key is here");
    assert_eq!(judge.trust_gained(&address, &foreign, &[]), None, "its key is here too");
    // The same without its key on any node.
    let mut keyless = authorities.clone();
    for view in keyless.values_mut() {
        view.keys.clear();
    }
    let judge = Judge::new(&survey, &keyless, &[]);
    assert_eq!(judge.trust_gained(&address, &own, &[]), None, "all other nodes trust it");
    assert!(judge.trust_gained(&address, &foreign, &[]).is_some());
    assert_eq!(judge.trust_gained(&address, &foreign, &[*foreign.fingerprint()]), None, "it is there");
}

#[test]
fn what_is_withheld_is_named_and_everything_else_is_done() {
    let subject = "{ commonName: m, organizations: [\"system:masters\"] }";
    let survey = world(&certificate("ca", subject, "client", "", "{ nodes: [cp-1, cp-2] }"));
    let mut options = Options { replace: vec!["apiserver@cp-1".parse().unwrap()], ..Options::default() };
    let whole = planned(&survey, &options);
    let Approval::Upper { name, why } = whole.approval() else { panic!("{:?}", whole.approval()) };
    assert_eq!(name, "prod-eu1/privilege");
    assert_eq!(why, ["extra @ cp-1, cp-2: a client certificate in the group system:masters"]);
    assert!(options.withhold(whole.waits_for_a_person()) && !options.withhold(whole.waits_for_a_person()));
    let rest = planned(&survey, &options);
    assert!(rest.privileges.is_empty() && rest.approval() == Approval::Ordinary && rest.applicable);
    let written: BTreeSet<String> = rest.actions().map(|action| action.address.to_string()).collect();
    assert!(
        written.contains("apiserver@cp-1") && !written.iter().any(|address| address.starts_with("extra"))
    );
    let told: Vec<String> =
        rest.elsewhere.iter().map(|told| format!("{}: {}", told.address, told.because)).collect();
    for node in ["cp-1", "cp-2"] {
        let line = format!(
            "extra@{node}: it waits for an approval: a client certificate in the group system:masters"
        );
        assert!(told.contains(&line), "{told:#?}");
    }
}

#[test]
fn commands_of_the_spec_are_told_and_those_of_the_profile_are_not() {
    let addition = "  services: { apiserver-proxy: { restart: { command: [/usr/local/bin/reload, \"a b\"] }, reads: [apiserver] } }\n";
    let survey = world(addition);
    let options = Options { replace: vec!["apiserver".parse().unwrap()], ..Options::default() };
    let plan = planned(&survey, &options);
    let [command] = plan.runs_as_root.as_slice() else { panic!("{:?}", plan.runs_as_root) };
    assert_eq!(command.argv, ["/usr/local/bin/reload", "a b"]);
    assert_eq!(command.nodes.len(), 3);
    assert!(planned(&agreement(), &options).runs_as_root.is_empty());
}
