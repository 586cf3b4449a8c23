//! Which of several certificates is the right one.

use std::collections::BTreeSet;

use super::*;
use crate::types::certificate::{NewKeyAlgorithm, SubjectName, Usage};
use crate::x509::issue::{LeafRequest, RootRequest, issue, issue_root};
use crate::x509::{PrivateKey, SerialNumber};

/// One that ends on a day of 2027.
fn ending(day: &str) -> Certificate {
    let key = PrivateKey::generate(NewKeyAlgorithm::EcdsaP256).unwrap();
    let subject = |name: &str| SubjectName { common_name: name.to_owned(), organizations: Vec::new() };
    let instant = |text: &str| format!("{text}T00:00:00Z").parse::<Timestamp>().unwrap();
    let serial = || SerialNumber::random().unwrap();
    let (not_before, not_after) = (instant("2026-01-01"), instant("2036-01-01"));
    let root = RootRequest { subject: subject("root"), serial: serial(), not_before, not_after };
    let root = issue_root(&root, &key).unwrap();
    let leaf = LeafRequest {
        subject: subject("front"),
        public_key: key.public_key().clone(),
        serial: serial(),
        not_before,
        not_after: instant(&format!("2027-{day}")),
        usages: BTreeSet::from([Usage::Server]),
        dns: BTreeSet::new(),
        ip: BTreeSet::new(),
    };
    issue(&leaf, &root, &key).unwrap()
}

fn view(held: &[(&str, CertificateHealth, Option<&Certificate>)]) -> SharedView {
    let held = held.iter().map(|(node, standing, certificate)| {
        (node.parse().unwrap(), (*standing, certificate.map(Clone::clone)))
    });
    SharedView::new(held.collect())
}

fn best(view: &SharedView) -> Option<String> {
    view.best().map(|(node, ..)| node.to_string())
}

/// The nodes that hold another one, each with those that hold the right one.
fn odd(view: SharedView) -> Vec<(String, Vec<String>)> {
    let views = BTreeMap::from([("front".parse().unwrap(), view)]);
    let odd = between_nodes(&views).into_iter();
    odd.map(|(_, node, findings)| {
        let Reason::DiffersBetweenNodes { others, .. } = &findings[0].reason else { panic!("{findings:?}") };
        (node.to_string(), others.iter().map(ToString::to_string).collect())
    })
    .collect()
}

#[test]
fn of_good_ones_that_which_ends_last_is_right_and_then_the_first_node() {
    let (early, late) = (ending("03-01"), ending("09-01"));
    let good = CertificateHealth::Good;
    let mixed = view(&[("a", good, Some(&early)), ("b", good, Some(&late)), ("c", good, Some(&late))]);
    assert_eq!(best(&mixed).as_deref(), Some("b"));
    assert_eq!(odd(mixed), [("a".to_owned(), vec!["b".to_owned(), "c".to_owned()])]);
}

#[test]
fn a_good_one_is_right_before_one_that_is_due_however_long_that_lasts() {
    let (early, late) = (ending("03-01"), ending("09-01"));
    let mixed =
        view(&[("a", CertificateHealth::Due, Some(&late)), ("b", CertificateHealth::Good, Some(&early))]);
    assert_eq!(best(&mixed).as_deref(), Some("b"));
}

#[test]
fn what_has_no_key_of_its_own_or_is_barred_is_never_right() {
    let (one, other) = (ending("03-01"), ending("09-01"));
    let mixed = view(&[
        ("a", CertificateHealth::Unusable, Some(&other)),
        ("b", CertificateHealth::Barred, Some(&other)),
        ("c", CertificateHealth::Due, Some(&one)),
        ("d", CertificateHealth::Unusable, None),
    ]);
    assert_eq!(best(&mixed).as_deref(), Some("c"));
    let c = vec!["c".to_owned()];
    assert_eq!(odd(mixed), [("a".to_owned(), c.clone()), ("b".to_owned(), c)]);
    let none = view(&[
        ("a", CertificateHealth::Unusable, Some(&one)),
        ("b", CertificateHealth::Unusable, Some(&other)),
    ]);
    assert_eq!((best(&none), odd(none)), (None, Vec::new()));
}

#[test]
fn a_new_one_is_issued_on_the_first_node_that_nothing_forbids() {
    let one = ending("03-01");
    let mixed = view(&[
        ("a", CertificateHealth::Barred, Some(&one)),
        ("b", CertificateHealth::Unusable, None),
        ("c", CertificateHealth::Due, Some(&one)),
    ]);
    assert_eq!(mixed.home().map(ToString::to_string).as_deref(), Some("b"));
    assert_eq!(view(&[("a", CertificateHealth::Barred, None)]).home(), None);
}
