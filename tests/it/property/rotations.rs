//! What is true of every replacement of an etcd CA, wherever it is interrupted and whatever is broken besides: random clusters in memory that run, load files
//! and serve them.

use std::collections::BTreeSet;

use pki::plan::Deed;
use pki::plan::model::checked::Counterexample;
use pki::plan::model::outcome::Outcome;
use pki::spec::types::OnExpiry;
use pki::x509::{Sha256, pem};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::property::members::{
    Blow, Cluster, Damage, MADE, MOST, Place, blow, broken, damage, etcd, name, shown,
};
use crate::property::properties::{CLOCKS, Trouble};

/// Why the CA goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Distrusted,
    Older,
    Ending,
}

fn folder(place: Place) -> &'static str {
    match place {
        Place::Usual => "/etc/etcd/pki",
        Place::Linked => "/data/etcd/pki",
    }
}

fn certificates(cluster: &Cluster, place: Place, file: &str) -> Vec<Vec<Sha256>> {
    let of_node = |node: &crate::property::properties::Shared| {
        let memory = node.memory();
        let bytes = memory.bytes(&format!("{}/{file}", folder(place))).unwrap_or_default();
        pem::read(bytes).certificates().map(|certificate| *certificate.fingerprint()).collect()
    };
    cluster.nodes.values().map(of_node).collect()
}

fn go(cluster: &mut Cluster, cause: Cause, old: Sha256) {
    let authority = cluster.spec.spec.authorities.entry("etcd-ca".parse().unwrap()).or_default();
    match cause {
        Cause::Distrusted => {
            authority.distrust.insert(format!("sha256:{old}"), "INC-1".to_owned());
        }
        Cause::Older => {
            authority.on_expiry = OnExpiry::Replace;
            authority.reissue_issued_before = Some(CLOCKS[0]());
        }
        Cause::Ending => {
            authority.on_expiry = OnExpiry::Replace;
            authority.renew_before = Some("3650d".parse().unwrap());
            authority.validity = Some("20y".parse().unwrap());
        }
    }
}

proptest! {
    #![proptest_config(crate::support::seeds::cases(64))]

    #[test]
    fn a_ca_is_replaced_from_every_half_way_state_and_never_with_an_outage(
        members in 1..=MOST,
        place in prop::sample::select(vec![Place::Usual, Place::Linked]),
        damaged in prop::collection::vec((any::<Index>(), damage()), 0..3),
        cause in prop::sample::select(vec![Cause::Distrusted, Cause::Older, Cause::Ending]),
        blows in prop::collection::vec((any::<Index>(), blow()), 0..5),
    ) {
        let made = |number: usize| {
            let own: Vec<&Damage> = damaged.iter().filter(|(node, _)| node.index(members) == number).map(|(_, damage)| damage).collect();
            broken(MADE[&place][number].clone().running("etcd".parse().unwrap(), etcd(number)), place, &own)
        };
        let mut cluster = Cluster::new(members, place, made, CLOCKS[0]);
        let old = *pem::read(MADE[&place][0].bytes(&format!("{}/ca.crt", folder(place))).unwrap()).certificates().next().unwrap().fingerprint();
        go(&mut cluster, cause, old);
        let mut blows = blows.into_iter();
        let mut log = String::new();
        let mut is_mute = false;
        for round in 0..24 {
            let before = cluster.copies();
            let plan = match cluster.planned() {
                Ok(plan) => plan,
                // Members that do not work leave no way to restart another one, and nothing is shown.
                Err(Counterexample::TooFew { .. }) if !damaged.is_empty() => return Ok(()),
                Err(wrong) => return Err(TestCaseError::fail(format!("{wrong}\n{log}"))),
            };
            prop_assert!(cluster.is_as(&before), "planning changed a node");
            if !plan.applicable {
                prop_assert!(!damaged.is_empty(), "{}", pki::output::plan(&plan));
                return Ok(());
            }
            for least in plan.checked.iter().flat_map(|checked| &checked.least).filter(|least| least.of > 2 && least.before == least.of) {
                prop_assert!(least.least + 1 >= least.of, "{least:?}\n{}", pki::output::plan(&plan));
            }
            if plan.visits.is_empty() {
                if !plan.elsewhere.is_empty() || !plan.postponed.is_empty() {
                    // A member that could not be started again, or runs and serves nothing, is for a person to bring back; until then it is waited for, by name.
                    prop_assert!(is_mute || !damaged.is_empty() || cluster.running() < members, "round {round}: {}\n{log}", pki::output::plan(&plan));
                    return Ok(());
                }
                break;
            }
            prop_assert!(round < 23, "it does not end: {}\n{log}", pki::output::plan(&plan));
            let blow = blows.next();
            let struck = blow.as_ref().map(|(index, _)| cluster.nodes[name(index.index(members)).as_str()].clone());
            is_mute |= matches!(blow, Some((_, Blow::Start | Blow::Serve)));
            match (&struck, &blow) {
                (Some(node), Some((_, Blow::Trouble(trouble)))) => node.state().trouble = *trouble,
                (Some(node), Some((_, Blow::Start))) => fail(node, pki::agent::Failure::Start),
                (Some(node), Some((_, Blow::Serve))) => fail(node, pki::agent::Failure::Serve),
                (Some(node), Some((_, Blow::Stop))) => fail(node, pki::agent::Failure::Stop),
                (_, _) => {}
            }
            let (report, least) = cluster.apply(&plan);
            if let Some(node) = struck {
                node.heal();
                let whole = node.memory().clone().unfailing();
                *node.memory() = whole;
            }
            prop_assert!(least + 1 >= members, "{least} of {members} ran\n{}", shown(&plan, &report));
            let can_fail = blow.is_some_and(|(_, blow)| blow != Blow::Trouble(Trouble::None));
            if is_mute && !can_fail && report.outcome != Outcome::Done {
                // Nothing that is written makes a member speak again that runs and serves nothing.
                return Ok(());
            }
            prop_assert!(report.outcome == Outcome::Done || can_fail, "{}", shown(&plan, &report));
            log.push_str(&format!("{:?} {:?} {:?}\n", report.outcome, plan.phases().map(|(phase, _)| phase).collect::<Vec<_>>(), report.failure));
        }
        let bundles: BTreeSet<Vec<Sha256>> = certificates(&cluster, place, "ca.crt").into_iter().collect();
        prop_assert_eq!(bundles.len(), 1, "{}", log);
        prop_assert!(bundles.iter().all(|bundle| bundle.len() == 1 && !bundle.contains(&old)), "{bundles:?}\n{log}");
        prop_assert!(certificates(&cluster, place, "ca-next.crt").iter().all(Vec::is_empty));
        let nothing = cluster.plan();
        let makes_another = nothing.actions().any(|action| matches!(action.deed, Deed::CreateAuthority { .. }));
        prop_assert!(!makes_another);
        prop_assert_eq!(cluster.running(), members);
    }
}

pub(crate) fn fail(node: &crate::property::properties::Shared, failure: pki::agent::Failure) {
    let failing = node.memory().clone().failing(failure);
    *node.memory() = failing;
}
