//! What random cases of other seeds, or of more of them, have found.

use std::collections::BTreeSet;

use super::{Case, Damage, Wish, go};
use pki::types::profile_name::ProfileName;

use super::layouts::LAYOUTS;
use crate::property::properties::Trouble;

/// A cluster of a layout that runs and in which something is wished of all its CAs.
fn of(profile: ProfileName, members: usize, wish: Wish) -> Case {
    let layout = LAYOUTS.iter().position(|layout| layout.profile == profile).unwrap();
    let of: BTreeSet<usize> = (0..LAYOUTS[layout].authorities.len()).collect();
    Case { layout, members, wish, of, runs: true, damaged: Vec::new(), blows: Vec::new() }
}

/// The member is made to work first, with the CA that is there; the replacement that waits for it is named, and comes with the next plan.
#[test]
fn a_missing_client_certificate_comes_before_the_replacement_of_its_ca() {
    let case = of(ProfileName::Etcd, 1, Wish::Replace);
    let damaged = vec![(0, "/etc/etcd/pki/client.crt".to_owned(), Damage::Gone)];
    go(&Case { damaged, ..case }).unwrap();
}

/// Each interrupted run costs a plan of its own, which takes back what that run left half done and says that the rest is planned after it.
#[test]
fn a_replacement_that_is_interrupted_twice_goes_on() {
    let case = of(ProfileName::Kubeadm, 3, Wish::Replace);
    let etcd = BTreeSet::from([1]);
    let damaged = vec![(1, "/etc/kubernetes/pki/ca.crt".to_owned(), Damage::Gone)];
    let blows = vec![(1, Trouble::Death(4)), (0, Trouble::Death(4))];
    go(&Case { of: etcd, damaged, blows, ..case }).unwrap();
}

/// A CA is extended on all nodes at once; where its certificate is missing, that is put back first, and the extension, which is named, comes with the next plan.
#[test]
fn a_ca_that_is_missing_on_one_node_is_put_back_before_it_is_extended() {
    for node in 0..2 {
        let damaged = vec![(node, "/etc/kubernetes/pki/etcd/ca.crt".to_owned(), Damage::Gone)];
        go(&Case { of: BTreeSet::from([1]), damaged, ..of(ProfileName::Kubeadm, 2, Wish::Extend) }).unwrap();
    }
}
