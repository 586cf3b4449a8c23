//! Start in agreement, change one thing, look at the plan.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::*;
use crate::desired::Survey;
use crate::diff::diff;
use crate::formats::kubelet::KubeletFacts;
use crate::observe::survey::tests::{SPEC, agreement, nothing, now};
use crate::protocol::facts::{Answer, Content, OpenTransaction, Seen};
use crate::protocol::file::SpecReference;
use crate::x509::Sha256;

pub(super) fn plan_of(survey: &Survey, options: &Options) -> PlanContent {
    plan_at(survey, options, now())
}

fn plan_at(survey: &Survey, options: &Options, now: Timestamp) -> PlanContent {
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

fn facts<'a>(survey: &'a mut Survey, node: &str) -> &'a mut crate::protocol::facts::NodeFacts {
    match survey.observed.nodes.get_mut(node).unwrap() {
        Answer::Facts(facts) => facts,
        Answer::Unreachable { reason } => panic!("{reason}"),
        Answer::Skipped => panic!("it was not asked"),
    }
}

fn lose(survey: &mut Survey, node: &str, paths: &[&str]) {
    for path in paths {
        facts(survey, node).files.insert((*path).to_owned(), Seen::Absent);
    }
}

fn only(texts: &[&str]) -> Options {
    Options { only: texts.iter().map(|text| text.parse().unwrap()).collect(), ..Options::default() }
}

/// `NUMBER VERB ADDRESS` of everything.
fn deeds(plan: &PlanContent) -> Vec<String> {
    plan.actions().map(|action| format!("{} {}", action.verb(), action.address)).collect()
}

/// Where the first action with this beginning comes.
fn place(deeds: &[String], beginning: &str) -> usize {
    deeds
        .iter()
        .position(|deed| deed.starts_with(beginning))
        .unwrap_or_else(|| panic!("{beginning}: {deeds:#?}"))
}

/// A node has lost a certificate with its key.
pub(super) fn lost_pair() -> Survey {
    let mut survey = agreement();
    lose(&mut survey, "cp-2", &PAIR);
    survey
}

const PAIR: [&str; 2] = ["/etc/kubernetes/pki/apiserver.crt", "/etc/kubernetes/pki/apiserver.key"];

#[test]
fn in_agreement_there_is_nothing_to_do() {
    let plan = plan_of(&agreement(), &Options::default());
    assert!(plan.is_empty() && plan.applicable, "{:?}", deeds(&plan));
    assert_eq!(plan.summary.unchanged, 33);
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let mut survey = agreement();
    lose(&mut survey, "cp-2", &PAIR);
    let text = |survey: &Survey| serde_json::to_string(&plan_of(survey, &Options::default())).unwrap();
    assert_eq!(text(&survey), text(&survey));
    assert_eq!(text(&survey), text(&survey.clone()));
    let other = plan_of(&nothing(), &Options::default());
    assert_ne!(other.id, plan_of(&survey, &Options::default()).id, "another plan has another name");
}

#[test]
fn a_plan_reads_back_from_its_json() {
    for survey in [agreement(), nothing()] {
        let replace = vec!["@cp-1".parse().unwrap()];
        let plan = plan_of(&survey, &Options { replace, ..Options::default() });
        let text = serde_json::to_string(&plan).unwrap();
        let back = SavedPlan::read(text.as_bytes()).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
        assert_eq!(*back.shown(), plan);
    }
}

fn replacing(selectors: &[&str]) -> Options {
    Options { replace: selectors.iter().map(|text| text.parse().unwrap()).collect(), ..Options::default() }
}

#[test]
fn whoever_replaces_everything_on_a_node_gets_nothing_that_it_need_not_have() {
    let mut survey = agreement();
    let node = survey.desired.nodes.values_mut().next().unwrap();
    node.identities.get_mut("admin.conf").unwrap().optional = true;
    lose(&mut survey, "cp-1", &["/etc/kubernetes/admin.conf"]);
    let everything = plan_of(&survey, &replacing(&["@cp-1"]));
    assert_eq!((everything.summary.renew, everything.summary.issue), (10, 0), "{:?}", deeds(&everything));
    let named = plan_of(&survey, &replacing(&["admin.conf@cp-1"]));
    assert_eq!((named.summary.renew, named.summary.issue), (0, 1), "{:?}", deeds(&named));
}

#[test]
fn a_kubelet_gets_a_certificate_to_serve_only_where_it_would_read_it() {
    let mut survey = agreement();
    let named = replacing(&["kubelet-serving@cp-1"]);
    let plan = plan_of(&survey, &named);
    assert!(deeds(&plan).is_empty() && !plan.applicable, "{:?}", deeds(&plan));
    assert_eq!(
        plan.blocked[0].because,
        "no kubelet on cp-1 reads /var/lib/kubelet/pki/kubelet-server-current.pem: its configuration has no `serverTLSBootstrap: true`"
    );
    let files = &mut facts(&mut survey, "cp-1").files;
    let mut file = files["/etc/kubernetes/admin.conf"].known().unwrap().unwrap().clone();
    let kubelet = KubeletFacts { server_tls_bootstrap: true, ..KubeletFacts::default() };
    file.content = Content::Kubelet(kubelet);
    files.insert("/var/lib/kubelet/config.yaml".to_owned(), Seen::Present(file));
    let plan = plan_of(&survey, &named);
    assert!(place(&deeds(&plan), "issue-identity kubelet-serving@cp-1") > 0);
}

#[test]
fn a_missing_certificate_is_issued_between_snapshot_and_check() {
    let mut survey = agreement();
    lose(&mut survey, "cp-2", &PAIR);
    let plan = plan_of(&survey, &Options::default());
    assert_eq!(deeds(&plan), ["snapshot node@cp-2", "issue-identity apiserver@cp-2", "verify node@cp-2"]);
    let Deed::Snapshot { paths } = &plan.visits[0].actions[0].deed else { panic!() };
    assert_eq!(*paths, BTreeSet::from(PAIR.map(str::to_owned)));
    let needed = plan.visits[0].actions[1].preconditions.iter().map(|one| {
        let Precondition::File { node, path, expected: Expected::Fact(fact) } = one else {
            panic!("{one:?}")
        };
        (node.as_ref().map_or("", |node| node.as_str()), path.as_str(), *fact == Fact::Absent)
    });
    // What is written, what signs, and what it is checked with.
    let ca = ["/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/ca.key"];
    let expected = BTreeSet::from([
        ("", PAIR[1], true),
        ("", PAIR[0], true),
        ("cp-1", ca[0], false),
        ("cp-1", ca[1], false),
        ("", ca[0], false),
    ]);
    assert_eq!(needed.collect::<BTreeSet<_>>(), expected);
    assert_eq!(plan.visits[0].actions[2].after, [1, 2]);
}

#[test]
fn a_certificate_begins_no_earlier_than_the_ca_that_issues_it() {
    let mut survey = agreement();
    lose(&mut survey, "cp-1", &PAIR);
    let issuer = facts(&mut survey, "cp-1").first_certificate("/etc/kubernetes/pki/ca.crt").unwrap();
    let from = issuer.facts().not_before;
    // A minute and an hour after the CA was made: a new certificate is dated back by five minutes.
    for (minutes, earlier) in [(1, 1), (60, 5)] {
        let now = from + jiff::SignedDuration::from_mins(minutes);
        let plan = plan_at(&survey, &Options::default(), now);
        let issued = |action: &Action| {
            let Deed::IssueIdentity(issue) = &action.deed else { return None };
            (issue.authority.as_str() == "ca").then_some(issue.not_before)
        };
        let issued: Vec<Timestamp> = plan.actions().filter_map(issued).collect();
        assert_eq!(issued, [now - jiff::SignedDuration::from_mins(earlier)], "{minutes}");
    }
}

#[test]
fn reasons_that_differ_between_the_nodes_of_a_block_say_whose_they_are() {
    let mut survey = agreement();
    for (node, before) in [("cp-1", "400d"), ("cp-2", "400d"), ("cp-3", "500d")] {
        let node = survey.desired.nodes.get_mut(node).unwrap();
        node.identities.get_mut("apiserver").unwrap().renew_before.value = before.parse().unwrap();
    }
    let text = crate::output::plan(&plan_of(&survey, &Options::default()));
    assert!(text.contains("  ~ apiserver @ cp-1, cp-2, cp-3\n"), "{text}");
    for whose in [
        "cp-1, cp-2: expires 2027-11-21 and renewBefore is 400d",
        "cp-3: expires 2027-11-21 and renewBefore is 500d",
    ] {
        assert!(text.contains(&format!("      because       {whose}\n")), "{text}");
    }
}

#[test]
fn from_nothing_directories_come_first_and_authorities_before_what_they_sign() {
    let plan = plan_of(&nothing(), &Options::default());
    let nodes: Vec<&str> = plan.visits.iter().map(|visit| visit.place.as_str()).collect();
    assert_eq!(nodes, ["cp-1", "cp-2", "cp-3"], "the node that makes the authorities comes first");
    for visit in &plan.visits {
        let deeds: Vec<String> =
            visit.actions.iter().map(|action| format!("{} {}", action.verb(), action.address)).collect();
        let node = &visit.place;
        assert!(
            deeds[0].starts_with("snapshot ") && deeds.last().unwrap().starts_with("verify "),
            "{deeds:#?}"
        );
        let ca = match node.as_str() {
            "cp-1" => place(&deeds, "create-authority ca/etcd-ca"),
            _ => place(&deeds, "copy-authority-certificate ca/etcd-ca"),
        };
        assert!(place(&deeds, "make-directory") < ca);
        assert!(ca < place(&deeds, "issue-identity etcd-server"));
        let made: Vec<&str> = visit
            .actions
            .iter()
            .filter(|action| action.verb() == "make-directory")
            .flat_map(|action| action.paths())
            .collect();
        let sorted: BTreeSet<&str> = made.iter().copied().collect();
        assert!(sorted.contains("/etc/kubernetes/pki/etcd"), "{made:?}");
        assert_eq!(made, sorted.into_iter().collect::<Vec<_>>(), "the outer one before the inner one");
    }
}

#[test]
fn every_action_comes_after_those_that_it_names() {
    for survey in [nothing(), agreement()] {
        let replace = ["@cp-1", "@cp-2", "@cp-3"].map(|text| text.parse().unwrap()).to_vec();
        let plan = plan_of(&survey, &Options { replace, ..Options::default() });
        let numbers: Vec<u32> = plan.actions().map(|action| action.number).collect();
        assert_eq!(numbers, (1..=u32::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
        for action in plan.actions() {
            assert!(action.after.iter().all(|before| *before < action.number), "{action:?}");
        }
    }
}

#[test]
fn the_node_that_signs_with_a_new_authority_comes_first_whatever_its_name() {
    let mut survey = agreement();
    let ca = "/etc/kubernetes/pki/front-proxy-ca";
    lose(&mut survey, "cp-1", &[&format!("{ca}.crt"), &format!("{ca}.key")]);
    let plan = plan_of(&survey, &Options::default());
    let deeds = deeds(&plan);
    assert_eq!(
        deeds[1..deeds.len() - 1],
        ["write-bundle ca/front-proxy-ca@cp-1", "copy-key ca/front-proxy-ca@cp-1"],
        "the others hold it, so it is copied and not made"
    );
    let Deed::CopyKey(KeyCopy { from, .. }) = &plan.visits[0].actions[2].deed else { panic!() };
    assert_eq!(from.as_str(), "cp-2");
}

#[test]
fn only_what_is_selected_is_planned() {
    let mut survey = agreement();
    lose(&mut survey, "cp-1", &PAIR);
    lose(&mut survey, "cp-3", &PAIR);
    assert_eq!(deeds(&plan_of(&survey, &only(&["@cp-3"])))[1], "issue-identity apiserver@cp-3");
    assert_eq!(plan_of(&survey, &only(&["apiserver"])).visits.len(), 2);
    assert!(plan_of(&survey, &only(&["etcd-server"])).is_empty());
}

#[test]
fn a_certificate_below_an_authority_that_the_selection_leaves_out_is_blocked() {
    let plan = plan_of(&nothing(), &only(&["apiserver@cp-1"]));
    assert!(!plan.applicable);
    let because: Vec<&str> = plan.blocked.iter().map(|blocked| blocked.because.as_str()).collect();
    assert_eq!(because, ["it needs ca/ca, which is nowhere yet and which --only leaves out"]);
}

#[test]
fn for_another_instant_a_plan_is_not_applicable() {
    let mut survey = agreement();
    lose(&mut survey, "cp-1", &PAIR);
    assert!(!plan_of(&survey, &Options { as_of: true, ..Options::default() }).applicable);
}

#[test]
fn what_a_crash_left_open_is_undone_before_anything_else() {
    let mut survey = agreement();
    lose(&mut survey, "cp-1", &PAIR);
    let begun_at = now();
    let open = OpenTransaction { run: "7f3a-91c2".to_owned(), visit: 2, begun_at, note: String::new() };
    facts(&mut survey, "cp-2").open_transaction = Seen::Present(open);
    assert_eq!(deeds(&plan_of(&survey, &Options::default())), ["undo-open node@cp-2"]);
}

#[test]
fn what_may_be_half_done_blocks_the_node_and_a_plan_that_leaves_it_alone_goes_on() {
    let mut survey = agreement();
    lose(&mut survey, "cp-1", &PAIR);
    facts(&mut survey, "cp-2").open_transaction =
        Seen::Unknown { reason: "/var/lib/pki/open cannot be understood".to_owned() };
    let plan = plan_of(&survey, &Options::default());
    assert!(!plan.applicable);
    let blocked: Vec<String> = plan
        .blocked
        .iter()
        .map(|blocked| {
            format!("{}: {}\n{}", blocked.address, blocked.because, blocked.help.as_deref().unwrap())
        })
        .collect();
    assert_eq!(
        blocked,
        [
            "node@cp-2: whether an interrupted run left something half done there cannot be read: /var/lib/pki/open cannot be understood\n\
          look at /var/lib/pki/open on cp-2: once it can be read, the next plan undoes what is open, and so does \
          `pki node undo --state-directory /var/lib/pki` on the node; if no run is open, move it away"
        ]
    );
    assert!(plan_of(&survey, &only(&["@cp-1"])).applicable, "nothing is done on cp-2");
    assert!(!plan_of(&survey, &only(&["@cp-2"])).applicable);
    // A link that leads nowhere, and one that leads in a circle, tell no more.
    let missing = "/mnt/state".to_owned();
    for unread in [Seen::Dangling { hops: Vec::new(), missing }, Seen::Looping { hops: Vec::new() }] {
        facts(&mut survey, "cp-2").open_transaction = unread;
        assert!(!plan_of(&survey, &Options::default()).applicable);
    }
    // Another node's run is undone all the same, and nothing else is planned with that.
    let open =
        OpenTransaction { run: "7f3a-91c2".to_owned(), visit: 2, begun_at: now(), note: String::new() };
    facts(&mut survey, "cp-1").open_transaction = Seen::Present(open);
    assert_eq!(deeds(&plan_of(&survey, &Options::default())), ["undo-open node@cp-1"]);
}

#[test]
fn a_due_finding_that_nothing_mends_is_named() {
    let survey = agreement();
    let later: Timestamp = "2036-11-10T00:00:00Z".parse().unwrap();
    let differences = diff(&survey.desired, &survey.observed, later);
    let spec = SpecReference {
        file: "spec.yaml".to_owned(),
        sha256: Sha256::of(b""),
        commit: None,
        files: Default::default(),
    };
    let options = &Options::default();
    let input = Input {
        survey: &survey,
        differences: &differences,
        now: later,
        spec,
        options,
        signed: &Default::default(),
        place: &|_| None,
    };
    let plan = draft(&input).unwrap().into_planned();
    let named: Vec<String> = plan.elsewhere.iter().map(|blocked| blocked.address.to_string()).collect();
    assert!(named.contains(&"ca/ca@cp-1".to_owned()), "{named:?}");
    assert!(!plan.is_empty());
}
