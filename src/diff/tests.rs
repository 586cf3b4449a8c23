//! Start in agreement, change one thing, look at the findings.

use std::collections::BTreeMap;

use super::key_pair::odd_ones_out;
use super::*;
use crate::x509::Sha256;

fn held(values: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
    let names: Vec<NodeName> = values.iter().map(|(node, _)| node.parse().unwrap()).collect();
    let by_node: BTreeMap<&NodeName, Sha256> =
        names.iter().zip(values).map(|(node, (_, value))| (node, Sha256::of(value.as_bytes()))).collect();
    let odd = odd_ones_out(&by_node).into_iter();
    odd.map(|(node, reason)| {
        let Reason::DiffersBetweenNodes { others, .. } = reason else { panic!("{reason:?}") };
        (node.to_string(), others.iter().map(ToString::to_string).collect())
    })
    .collect()
}

#[test]
fn nodes_that_hold_the_same_are_in_agreement() {
    assert!(held(&[("cp-1", "a"), ("cp-2", "a"), ("cp-3", "a")]).is_empty());
    assert!(held(&[]).is_empty());
}

#[test]
fn the_odd_one_out_is_named_with_those_that_agree() {
    let others = vec!["cp-1".to_owned(), "cp-3".to_owned()];
    assert_eq!(held(&[("cp-1", "a"), ("cp-2", "b"), ("cp-3", "a")]), [("cp-2".to_owned(), others)]);
}

#[test]
fn without_a_majority_every_node_that_differs_from_the_first_is_named() {
    assert_eq!(held(&[("cp-1", "a"), ("cp-2", "b")]), [("cp-2".to_owned(), vec!["cp-1".to_owned()])]);
}
