//! Faults that leave a trust file without what its readers need, planted: each is found, with the step and the file, also where nobody is known to read it or nobody
//! restarts who does; and steps that a node would refuse, though what is known of it shows that already.

use super::*;
use crate::profile::Trusts;
use crate::protocol::facts::{Content, FileFacts, Seen};
use crate::types::storage::FileSpec;

const NEW: &str = "front-proxy-ca";
const COPY: &str = "/etc/etcd-for-others/ca.crt";

/// Etcd's CA has a further place on each node.
fn with_copies() -> Survey {
    let mut survey = agreement();
    for node in NODES {
        let node: NodeName = node.parse().unwrap();
        let held = survey.desired.nodes.get_mut(&node).unwrap().authorities.get_mut("etcd-ca").unwrap();
        let file = FileSpec { path: COPY.to_owned(), ..held.certificate.clone() };
        held.copies.insert("others".parse().unwrap(), file);
        let main = held.certificate.path.clone();
        let facts = facts_of(&mut survey, node.as_str());
        let same = facts.files[&main].clone();
        facts.files.insert(COPY.to_owned(), same);
    }
    survey
}

fn facts_of<'s>(survey: &'s mut Survey, node: &str) -> &'s mut crate::protocol::facts::NodeFacts {
    let Some(Answer::Facts(facts)) = survey.observed.nodes.get_mut(node) else { panic!() };
    facts
}

pub(super) fn file_of<'s>(survey: &'s mut Survey, node: &str, path: &str) -> &'s mut FileFacts {
    let Some(Seen::Present(file)) = facts_of(survey, node).files.get_mut(path) else { panic!("{path}") };
    file
}

/// The same deed with another file.
fn at(path: &str, (subject, deed): (Target, Deed)) -> (Target, Deed) {
    let Deed::WriteBundle { mut file, bundle, before } = deed else { panic!() };
    file.path = path.to_owned();
    (subject, Deed::WriteBundle { file, bundle, before })
}

fn left(plan: &PlanContent, survey: &Survey) -> (u32, String, String, String) {
    match simulate(plan, survey, &Processes::default()).unwrap_err() {
        Counterexample::Trust { when: When::Step(step), node, path, fault } => {
            (step, node.to_string(), path, fault)
        }
        other @ (Counterexample::Broken { .. }
        | Counterexample::Trust { .. }
        | Counterexample::Refused { .. }
        | Counterexample::TooFew { .. }) => panic!("{other}"),
    }
}

#[test]
fn a_copy_of_an_authority_that_is_left_empty() {
    let survey = with_copies();
    let path = survey.desired.nodes["cp-2"].authorities["etcd-ca"].certificate.path.clone();
    let removed = Deed::RemoveCopy { path: COPY.to_owned(), of: path };
    let subject = Target::Authority("etcd-ca".parse().unwrap());
    let plan = by_hand(vec![
        ("cp-1", vec![at(COPY, bundle("etcd-ca", &["etcd-ca"]))]),
        ("cp-2", vec![bundle("etcd-ca", &["etcd-ca"]), (subject, removed)]),
    ]);
    let found = left(&plan, &survey);
    assert_eq!(found, (3, "cp-2".to_owned(), COPY.to_owned(), "without a certificate".to_owned()));
    let said = simulate(&plan, &survey, &Processes::default()).unwrap_err().to_string();
    assert_eq!(
        said,
        format!("the plan is wrong, so it is not shown: step 3 leaves {COPY} on cp-2 without a certificate")
    );
}

#[test]
fn a_copy_of_an_authority_that_loses_its_ca() {
    let survey = with_copies();
    // What an extension once did: the main file is written, and its copy gets what was beside the CA in it.
    let plan = by_hand(vec![(
        "cp-2",
        vec![bundle("etcd-ca", &["etcd-ca", NEW]), at(COPY, bundle("etcd-ca", &[NEW]))],
    )]);
    let (step, node, path, fault) = left(&plan, &survey);
    assert_eq!((step, node.as_str(), path.as_str()), (2, "cp-2", COPY));
    assert!(fault.starts_with("without a CA certificate that "), "{fault}");
    let whole = by_hand(vec![(
        "cp-2",
        vec![bundle("etcd-ca", &["etcd-ca", NEW]), at(COPY, bundle("etcd-ca", &["etcd-ca", NEW]))],
    )]);
    assert!(simulate(&whole, &survey, &Processes::default()).is_ok());
}

#[test]
fn a_copy_that_alone_is_written_and_no_longer_verifies_what_it_verified() {
    let survey = with_copies();
    let plan =
        by_hand(vec![("cp-1", vec![bundle("etcd-ca", &["etcd-ca"]), at(COPY, bundle("etcd-ca", &[NEW]))])]);
    let faults = counterexamples(&plan, &survey, &Processes::default());
    let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
    assert!(said.iter().any(|said| said.contains(&format!("step 2 leaves {COPY} on cp-1 "))), "{said:?}");
}

#[test]
fn a_trust_file_that_holds_something_twice() {
    let twice = (bundle("etcd-ca", &["etcd-ca", "etcd-ca"]), "with a certificate that is in it twice");
    let plan = by_hand(vec![("cp-1", vec![twice.0])]);
    let (step, node, _, fault) = left(&plan, &agreement());
    assert_eq!((step, node.as_str(), fault.as_str()), (1, "cp-1", twice.1));
}

#[test]
fn what_nobody_restarts_hides_nothing() {
    // The API server reads the copy at its start, and nothing in the plan starts it.
    let mut survey = with_copies();
    for node in survey.desired.nodes.values_mut() {
        let server = node.services.get_mut("kube-apiserver").unwrap();
        for dial in server.dials.iter_mut().filter(|dial| dial.to.as_str() == "etcd") {
            let (authority, copy) = ("etcd-ca".parse().unwrap(), Some("others".parse().unwrap()));
            dial.trusts = Some(Trusts::Authority { authority, copy });
        }
    }
    let plan = by_hand(vec![("cp-1", vec![at(COPY, bundle("etcd-ca", &[NEW]))])]);
    let faults = counterexamples(&plan, &survey, &Processes::default());
    let said: Vec<String> = faults.iter().map(ToString::to_string).collect();
    let broken = "step 1 breaks kube-apiserver@cp-1 -> etcd@cp-1:2379: as soon as its ends are restarted, ";
    assert!(said.iter().any(|said| said.contains(broken)), "{said:?}");
}

#[test]
fn a_check_that_what_lies_on_the_node_cannot_pass() {
    let mut survey = agreement();
    let ca = survey.desired.nodes["cp-2"].authorities["ca"].certificate.path.clone();
    let plan = by_hand(vec![(
        "cp-2",
        vec![
            issue("apiserver", "cp-2", |_| {}),
            (Target::Node, Deed::Verify { identities: ["apiserver".parse().unwrap()].into() }),
        ],
    )]);
    assert!(simulate(&plan, &survey, &Processes::default()).is_ok());
    file_of(&mut survey, "cp-2", &ca).content =
        Content::Pem(crate::formats::pem_facts::PemFacts::read(b"garbage"));
    let refused = check(Draft::by_hand(plan), &survey, &Processes::default()).unwrap();
    let [blocked] = refused.blocked.as_slice() else { panic!("{:?}", refused.blocked) };
    assert!(!refused.applicable && blocked.because.starts_with("step 2 would fail: "), "{blocked:?}");
    assert!(blocked.because.contains(&ca), "{blocked:?}");
}

#[test]
fn a_step_whose_preconditions_the_plan_itself_does_not_keep() {
    let survey = agreement();
    let mut plan = plan_of(&survey, &["apiserver@cp-2"]);
    let number = plan.actions().find(|action| matches!(action.deed, Deed::IssueIdentity(_))).unwrap().number;
    let verify = plan.visits[0].actions.iter_mut().find(|action| action.number == number).unwrap();
    let path = "/etc/kubernetes/pki/ca.crt".to_owned();
    verify.preconditions.push(crate::plan::Precondition::File {
        node: None,
        path,
        expected: crate::plan::Expected::AsLeftBy(1),
    });
    let refused = check(Draft::by_hand(plan), &survey, &Processes::default()).unwrap();
    let [blocked] = refused.blocked.as_slice() else { panic!("{:?}", refused.blocked) };
    assert_eq!(
        blocked.because,
        format!("step {number} would fail: it needs /etc/kubernetes/pki/ca.crt as step 1 leaves it")
    );
}
