//! One node of three is in the spec, and its member tells who the members are; want a change of trust, look at the plan.

use crate::desired::Decided;
use crate::desired::Survey;
use crate::diff::{Differences, diff};
use crate::observe::survey::tests::{SPEC, agreement, now};
use crate::plan::{Deed, Input, Options, draft};
use crate::protocol::facts::{Answer, EtcdFacts, EtcdId, MemberFacts, MemberStatus, NodeFacts, Seen};
use crate::protocol::file::SpecReference;
use crate::simulate::{Plan, check};
use crate::spec::types::OnExpiry;
use crate::trust::processes::Processes;
use crate::x509::Sha256;

fn facts<'a>(survey: &'a mut Survey, node: &str) -> &'a mut NodeFacts {
    match survey.observed.nodes.get_mut(node) {
        Some(Answer::Facts(facts)) => facts,
        other => panic!("{other:?}"),
    }
}

/// A cluster of three members, all of which tell of each other, with these nodes in the spec.
fn with(nodes: &[&str]) -> Survey {
    let mut survey = agreement();
    let member = |number: u64| {
        let status = MemberStatus {
            version: "3.5.1".to_owned(),
            leader: Some(EtcdId(1)),
            raft_term: 2,
            raft_index: 9,
            raft_applied_index: 9,
            database_bytes: 1,
            alarms: Vec::new(),
        };
        let member = MemberFacts {
            name: format!("cp-{number}"),
            peer_urls: vec![format!("https://10.0.0.1{number}:2380")],
            client_urls: vec![format!("https://10.0.0.1{number}:2379")],
            is_learner: false,
            status: Seen::Present(status),
        };
        (EtcdId(number), member)
    };
    for number in 1..=3 {
        let members = (1..=3).map(member).collect();
        let told = EtcdFacts { cluster: EtcdId(7), member: EtcdId(number), members };
        facts(&mut survey, &format!("cp-{number}")).etcd = Seen::Present(told);
    }
    survey.desired.nodes.retain(|name, _| nodes.contains(&name.as_str()));
    survey.observed.nodes.retain(|name, _| nodes.contains(&name.as_str()));
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

fn distrust(survey: &mut Survey) {
    let held = Differences::without_findings(&survey.desired, &survey.observed, now());
    let old = held.authorities()["etcd-ca"].signer().cloned();
    let authority = survey.desired.authorities.get_mut("etcd-ca").unwrap();
    authority.distrust.insert(format!("sha256:{}", old.unwrap().fingerprint()), "INC-2291".to_owned());
}

fn expires(survey: &mut Survey) {
    let authority = survey.desired.authorities.get_mut("etcd-ca").unwrap();
    authority.renew_before = Decided::built_in("3650d".parse().unwrap());
    authority.validity = Decided::built_in("20y".parse().unwrap());
}

fn extend(survey: &mut Survey) {
    expires(survey);
    survey.desired.authorities.get_mut("etcd-ca").unwrap().on_expiry = OnExpiry::Extend;
}

fn replace(survey: &mut Survey) {
    expires(survey);
    survey.desired.authorities.get_mut("etcd-ca").unwrap().on_expiry = OnExpiry::Replace;
}

fn cut_off(survey: &mut Survey) {
    let authority = survey.desired.authorities.get_mut("etcd-ca").unwrap();
    authority.on_expiry = OnExpiry::Replace;
    authority.reissue_issued_before = Some(Decided { value: now(), by: None });
}

type Change = fn(&mut Survey);
const CHANGES: [(&str, Change); 4] =
    [("distrust", distrust), ("extend", extend), ("replace", replace), ("cut-off", cut_off)];

fn changes_trust(plan: &Plan) -> bool {
    plan.actions().any(|action| {
        matches!(
            action.deed,
            Deed::CreateAuthority { .. }
                | Deed::ExtendAuthority { .. }
                | Deed::InstallAuthority { .. }
                | Deed::WriteBundle { .. }
                | Deed::CreateKeyPair { .. }
        )
    })
}

#[test]
fn every_change_of_trust_is_held_by_members_outside_the_spec_and_names_them() {
    for (name, change) in CHANGES {
        let mut survey = with(&["cp-2"]);
        change(&mut survey);
        let plan = plan_of(&survey);
        assert!(!changes_trust(&plan), "{name}");
        let told: Vec<_> = plan.blocked.iter().chain(&plan.elsewhere).collect();
        let held = told.iter().find(|told| told.address.to_string() == "ca/etcd-ca@cp-2");
        let held = held.unwrap_or_else(|| panic!("{name}: {told:#?}"));
        for part in
            ["cp-1 (https://10.0.0.11:2380) and cp-3 (https://10.0.0.13:2380)", "they hold etcd-ca too"]
        {
            assert!(held.because.contains(part), "{name}: {}", held.because);
        }
        let help = held.help.as_deref().unwrap();
        assert!(help.contains("pki adopt --host 10.0.0.11 --host 10.0.0.12 --host 10.0.0.13"), "{help}");
        assert!(!plan.applicable && plan.blocked.contains(held), "{name}");
    }
}

#[test]
fn with_everybody_in_the_spec_the_same_changes_are_made() {
    for (name, change) in CHANGES {
        let mut survey = with(&["cp-1", "cp-2", "cp-3"]);
        change(&mut survey);
        let plan = plan_of(&survey);
        assert!(plan.applicable && changes_trust(&plan), "{name}: {:#?}", plan.blocked);
        assert!(plan.elsewhere.is_empty(), "{name}: {:#?}", plan.elsewhere);
    }
}

#[test]
fn nothing_else_to_do_is_no_match_and_what_changes_no_trust_is_done() {
    let mut survey = with(&["cp-2"]);
    let plan = plan_of(&survey);
    assert!(plan.applicable && plan.visits.is_empty() && !plan.is_empty());
    assert_eq!(plan.elsewhere[0].address.to_string(), "svc/etcd@cp-2");
    let text = crate::output::plan(&plan);
    assert!(!text.contains("matches") && text.contains("cp-1 (https://10.0.0.11:2380)"), "{text}");
    for path in ["server.crt", "server.key"] {
        let path = format!("/etc/kubernetes/pki/etcd/{path}");
        facts(&mut survey, "cp-2").files.insert(path, Seen::Absent);
    }
    distrust(&mut survey);
    let plan = plan_of(&survey);
    assert!(plan.applicable && !changes_trust(&plan), "{:#?}", plan.blocked);
    let issued: Vec<String> = plan
        .actions()
        .filter(|action| action.deed.issue().is_some())
        .map(|action| action.address.to_string())
        .collect();
    assert_eq!(issued, ["etcd-server@cp-2"]);
    assert!(plan.elsewhere.iter().any(|held| held.because.contains("they hold etcd-ca too")));
}

#[test]
fn a_ca_or_key_pair_that_is_gone_here_is_not_made_anew_while_others_hold_one() {
    let mut survey = with(&["cp-2"]);
    let pki = "/etc/kubernetes/pki";
    for path in ["etcd/ca.crt", "etcd/ca.key", "sa.key", "sa.pub"] {
        facts(&mut survey, "cp-2").files.insert(format!("{pki}/{path}"), Seen::Absent);
    }
    for name in ["server", "peer", "healthcheck-client"] {
        for end in ["crt", "key"] {
            facts(&mut survey, "cp-2").files.insert(format!("{pki}/etcd/{name}.{end}"), Seen::Absent);
        }
    }
    for end in ["crt", "key"] {
        facts(&mut survey, "cp-2").files.insert(format!("{pki}/apiserver-etcd-client.{end}"), Seen::Absent);
    }
    let plan = plan_of(&survey);
    assert!(!changes_trust(&plan));
    let told: Vec<String> = plan
        .blocked
        .iter()
        .chain(&plan.elsewhere)
        .map(|told| format!("{} {}", told.address, told.because))
        .collect();
    for address in ["ca/etcd-ca@cp-2", "key/sa@cp-2"] {
        let held =
            |text: &&String| text.starts_with(address) && text.contains("cp-1 (https://10.0.0.11:2380)");
        assert!(told.iter().any(|text| held(&text)), "{address}: {told:#?}");
    }
}

#[test]
fn members_outside_the_spec_count_in_what_is_checked() {
    let mut survey = with(&["cp-2"]);
    let options = Options { replace: vec!["etcd-server@cp-2".parse().unwrap()], ..Options::default() };
    let differences = diff(&survey.desired, &survey.observed, now());
    let spec = SpecReference {
        file: "spec.yaml".to_owned(),
        sha256: Sha256::of(SPEC.as_bytes()),
        commit: None,
        files: Default::default(),
    };
    let draft = draft(&Input {
        survey: &survey,
        differences: &differences,
        now: now(),
        spec,
        options: &options,
        signed: &Default::default(),
        place: &|_| None,
    });
    let plan = check(draft.unwrap(), &survey, &Processes::of(&survey.observed)).unwrap();
    let least = &plan.checked.as_ref().unwrap().least;
    let etcd = least.iter().find(|least| least.service.as_str() == "etcd").unwrap();
    assert_eq!((etcd.of, etcd.before), (3, 3));
    assert_eq!(crate::plan::known::quorum::count(&survey), 3);
    // Those who kept silent when they were called are not up.
    if let Seen::Present(told) = &mut facts(&mut survey, "cp-2").etcd {
        told.members.get_mut(&EtcdId(3)).unwrap().status = Seen::Unknown { reason: "no answer".to_owned() };
    }
    let unlisted = crate::diff::unlisted(&survey.desired, &survey.observed);
    assert_eq!(unlisted.members_up(&survey.observed), (2, 1));
}
