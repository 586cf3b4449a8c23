//! A control plane that is honest in the survey and lies when its keys and signatures are asked for. Whatever it gives, the node that receives it takes only
//! what the plan says, and what cannot be had is undone there and nowhere else.
#![expect(clippy::disallowed_methods, reason = "the tests run the program on real files")]

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pki::agent::Local;
use pki::apply::Hosts;
use pki::plan::model::outcome::{Outcome, Report, VisitEnd};
use pki::plan::{Deed, Options};
use pki::remote::session::Session;

use super::far::{OnAnswer, Served, Spec, Then, framed, now};
use crate::support::made::Made;

/// What became of a run in which cp-1 gave something else than it was asked for.
struct Told {
    made: Made,
    report: Report,
    /// What cp-1 gave.
    lied: bool,
}

/// Applies what is due after `spoil`, with cp-1 at the other end of a connection whose answers are changed.
fn told(
    spoil: impl FnOnce(&Made),
    mut lie: impl FnMut(&[u8], &[u8]) -> Option<Vec<u8>> + Send + 'static,
) -> Told {
    let made = Made::new();
    spoil(&made);
    let spec = Spec::read(made.path());
    let plan = spec.plan(&spec.local(made.path()), &Options::default());
    assert!(plan.blocked.is_empty() && !plan.visits.is_empty(), "{:?}", plan.blocked);
    let lied = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let mark = std::sync::Arc::clone(&lied);
    let on_answer: OnAnswer = Box::new(move |request, answer| match lie(request, &answer) {
        Some(lie) => {
            mark.store(true, std::sync::atomic::Ordering::SeqCst);
            framed(&lie)
        }
        None => framed(&answer),
    });
    let (_served, remote) =
        Served::lying(&made.at("cp-1"), &Session::default(), Box::new(|_| Then::Send), on_answer);
    let mut remote = remote.ok();
    let mut hosts: Hosts = spec.nodes(|name| match (name, remote.take()) {
        ("cp-1", Some(remote)) => Box::new(remote),
        (name, kept) => {
            remote = kept;
            Box::new(Local::new(Some(made.at(name)), now))
        }
    });
    let report = spec.apply(&plan, &mut hosts, Duration::ZERO);
    let lied = lied.load(std::sync::atomic::Ordering::SeqCst);
    Told { made, report, lied }
}

fn read(made: &Made, path: &str) -> Vec<u8> {
    std::fs::read(made.at(path)).unwrap()
}

const CA: &str = "etc/kubernetes/pki/ca.key";
const SA: &str = "etc/kubernetes/pki/sa.key";

#[test]
fn a_key_from_another_node_is_taken_only_if_it_is_the_one_that_the_plan_saw() {
    let given = |made: &Made, of: &str| {
        let (right, other) =
            (read(made, &format!("cp-2/{of}")), read(made, "cp-2/etc/kubernetes/pki/front-proxy-ca.key"));
        let public = std::process::Command::new("openssl")
            .args(["pkey", "-pubout", "-in"])
            .arg(made.at(&format!("cp-2/{of}")))
            .output()
            .unwrap()
            .stdout;
        let encrypted = std::process::Command::new("openssl")
            .args(["pkcs8", "-topk8", "-passout", "pass:x", "-in"])
            .arg(made.at(&format!("cp-2/{of}")))
            .output()
            .unwrap()
            .stdout;
        assert!(encrypted.starts_with(b"-----BEGIN ENCRYPTED") && public.starts_with(b"-----BEGIN PUBLIC"));
        vec![
            ("another key", other.clone(), false),
            ("garbage", b"not a key\n".to_vec(), false),
            ("nothing", Vec::new(), false),
            ("the public half", public, false),
            ("encrypted", encrypted, false),
            ("two keys", [right.clone(), other].concat(), false),
            ("text before it", [b"Bag Attributes\n  x: y\n".to_vec(), right.clone()].concat(), true),
            ("the right one", right, true),
        ]
    };
    for file in [CA, SA] {
        let number = given(&Made::new(), file).len();
        for case in 0..number {
            let mut chosen = None;
            let giving = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
            let given_now = std::sync::Arc::clone(&giving);
            let Told { made, report, lied } = told(
                |made| {
                    let (what, lie, is_taken) = given(made, file).swap_remove(case);
                    *giving.lock().unwrap() = lie;
                    chosen = Some((format!("{file}: {what}"), read(made, &format!("cp-2/{file}")), is_taken));
                    std::fs::remove_file(made.at(&format!("cp-2/{file}"))).unwrap();
                },
                move |request, _| {
                    let text = STANDARD.encode(&*given_now.lock().unwrap());
                    request
                        .starts_with(br#"{"perform":{"readShared":"#)
                        .then(|| format!(r#"{{"done":{{"shared":"{text}"}}}}"#).into_bytes())
                },
            );
            let (context, right, is_taken) = chosen.unwrap();
            assert!(lied, "{context}");
            let there = made.at(&format!("cp-2/{file}"));
            if is_taken {
                assert_eq!(report.outcome, Outcome::Done, "{context}: {report:?}");
                assert_eq!(std::fs::read(there).unwrap(), right, "{context}: the key and nothing else");
            } else {
                assert_eq!(report.outcome, Outcome::Undone, "{context}: {report:?}");
                assert!(!there.exists(), "{context}: nothing was written");
                let because = &report.failure.as_ref().unwrap().because;
                assert!(because.contains("what was given"), "{context}: {because}");
            }
        }
    }
}

#[test]
fn a_plan_binds_every_key_that_it_copies() {
    let made = Made::new();
    for file in [CA, SA, "etc/kubernetes/pki/etcd/ca.key"] {
        std::fs::remove_file(made.at(&format!("cp-2/{file}"))).unwrap();
    }
    let spec = Spec::read(made.path());
    let plan = spec.plan(&spec.local(made.path()), &Options::default());
    let bound: Vec<bool> = plan
        .actions()
        .filter_map(
            |action| if let Deed::CopyKey(copy) = &action.deed { Some(copy.spki.is_some()) } else { None },
        )
        .collect();
    assert_eq!(bound, [true; 3]);
}

#[test]
fn a_certificate_that_another_node_signs_is_taken_only_as_the_plan_says_it() {
    let spoil = |made: &Made| std::fs::remove_file(made.at("cp-2/etc/kubernetes/scheduler.conf")).unwrap();
    let mut first: Option<Vec<u8>> = None;
    let spoil_two = |made: &Made| {
        spoil(made);
        std::fs::remove_file(made.at("cp-3/etc/kubernetes/controller-manager.conf")).unwrap();
    };
    let Told { made, report, lied } = told(spoil_two, move |request, answer| {
        if !request.starts_with(br#"{"perform":{"sign":"#) {
            return None;
        }
        // The second one is answered with the first: it was signed well, and for somebody else.
        match &first {
            Some(first) => Some(first.clone()),
            None => {
                first = Some(answer.to_vec());
                None
            }
        }
    });
    assert!(lied, "{report:?}");
    let ends: Vec<&VisitEnd> = report.visits.iter().map(|visit| &visit.end).collect();
    assert!(matches!(ends[..], [VisitEnd::Committed, VisitEnd::Undone(_)]), "{report:?}");
    let because = &report.failure.as_ref().unwrap().because;
    assert!(because.contains("another key and another subject"), "{because}");
    assert!(made.at("cp-2/etc/kubernetes/scheduler.conf").exists(), "what others do is as it was");
    assert!(!made.at("cp-3/etc/kubernetes/controller-manager.conf").exists());
}
