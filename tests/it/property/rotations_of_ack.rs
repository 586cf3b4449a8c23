//! What is true of every replacement of ACK's two etcd CAs, together or the second one begun while the first one goes on, wherever they are interrupted: random
//! masters in memory whose members run, load files and serve them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use pki::agent::{Memory, Port, Running};
use pki::plan::Phase;
use pki::plan::model::outcome::Outcome;
use pki::simulate::Plan;
use pki::types::profile_name::ProfileName;
use pki::x509::{Sha256, pem};
use proptest::prelude::*;
use proptest::sample::Index;

use crate::property::members::{Blow, Cluster, Place, address, blow, name, shown};
use crate::property::properties::{CLOCKS, Shared, Trouble};
use crate::property::rotations::fail;

const MOST: usize = 3;
/// The authorities with their files.
const CAS: [(&str, &str); 2] = [("etcd-ca", "ca"), ("etcd-peer-ca", "peer-ca")];

fn folder(place: Place) -> &'static str {
    match place {
        Place::Usual => "/var/lib/etcd/cert",
        Place::Linked => "/data/etcd/cert",
    }
}

fn cluster(members: usize, place: Place, memory: impl Fn(usize) -> Memory) -> Cluster {
    let line = |number| {
        format!("    {}: {{ address: {}, roles: [control-plane, etcd] }}\n", name(number), address(number))
    };
    let lines: String = (0..members).map(line).collect();
    let directories = match place {
        Place::Usual => "",
        Place::Linked => {
            "  directories: { etcd-cert: { path: /data/etcd/cert, link: /var/lib/etcd/cert } }\n"
        }
    };
    let text = format!(
        "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: {{ name: random }}\nspec:\n  profile: ack\n  \
         kubernetesVersion: v1.20.11\n  cluster: {{ controlPlaneEndpoint: \"10.0.0.9:6443\", serviceSubnet: 10.96.0.0/12 }}\n  \
         defaults: {{ keyAlgorithm: ecdsa-p256 }}\n{directories}  nodes:\n{lines}"
    );
    let nodes = (0..members).map(|number| (name(number).parse().unwrap(), Shared::new(memory(number))));
    Cluster::of(text, ProfileName::Ack, nodes.collect(), CLOCKS[0])
}

/// A master on which nothing was made yet.
fn empty() -> Memory {
    Memory::new(CLOCKS[0]())
        .directory("/var/lib/etcd", 0o755)
        .directory("/data/etcd", 0o755)
        .directory("/etc/kubernetes", 0o755)
        .file("/etc/passwd", "root:x:0:0::/:/bin/sh\netcd:x:1234:1234::/:/bin/sh\n", 0o644)
        .file("/etc/group", "root:x:0:\netcd:x:1234:\n", 0o644)
}

/// Every master as the first apply leaves it, by how many there are and where the files of etcd lie.
static MADE: LazyLock<BTreeMap<(usize, Place), Vec<Memory>>> = LazyLock::new(|| {
    let made = |(members, place)| {
        let cluster = cluster(members, place, |_| empty());
        let plan = cluster.plan();
        assert!(plan.applicable, "{}", pki::output::plan(&plan));
        let (report, _) = cluster.apply(&plan);
        assert_eq!(report.outcome, Outcome::Done, "{:?}", report.failure);
        ((members, place), cluster.nodes.values().map(|node| node.memory().clone()).collect())
    };
    let all = (1..=MOST).flat_map(|members| [(members, Place::Usual), (members, Place::Linked)]);
    all.map(made).collect()
});

/// The member of a master.
fn etcd(number: usize) -> Running {
    let port = |port, serves: String, file: String| Port {
        address: address(number).parse().unwrap(),
        port,
        serves: serves.parse().unwrap(),
        certificate: format!("/var/lib/etcd/cert/{file}.pem"),
        key: format!("/var/lib/etcd/cert/{file}-key.pem"),
        is_read_again: true,
    };
    let peer = format!("{}-name-{}", address(number), number + 1);
    let ports = vec![
        port(2379, "etcd-server".to_owned(), "etcd-server".to_owned()),
        port(2380, format!("etcd-member-{}", name(number)), peer),
    ];
    Running { unit: Some("etcd.service".to_owned()), manifest: None, ports }
}

const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

/// Everything runs on a master that trusts a CA of etcd.
fn running(memory: Memory, number: usize) -> Memory {
    let port = Port {
        address: address(number).parse().unwrap(),
        port: 6443,
        serves: "apiserver".parse().unwrap(),
        certificate: "/etc/kubernetes/pki/apiserver.crt".to_owned(),
        key: "/etc/kubernetes/pki/apiserver.key".to_owned(),
        is_read_again: true,
    };
    let kubelet = Running { unit: Some("kubelet.service".to_owned()), manifest: None, ports: Vec::new() };
    let server = Running { unit: None, manifest: Some(MANIFEST.to_owned()), ports: vec![port] };
    let pod = "apiVersion: v1\nkind: Pod\nmetadata:\n  name: kube-apiserver\nspec:\n  containers: []\n";
    memory
        .directory("/etc/kubernetes/manifests", 0o700)
        .file(MANIFEST, pod, 0o600)
        .running("etcd".parse().unwrap(), etcd(number))
        .running("kubelet".parse().unwrap(), kubelet)
        .running("kube-apiserver".parse().unwrap(), server)
}

/// The certificates in a file of each node.
fn certificates(cluster: &Cluster, path: &str) -> Vec<Vec<Sha256>> {
    let of_node = |node: &Shared| {
        let memory = node.memory();
        let bytes = memory.bytes(path).unwrap_or_default();
        pem::read(bytes).certificates().map(|certificate| *certificate.fingerprint()).collect()
    };
    cluster.nodes.values().map(of_node).collect()
}

fn distrust(cluster: &mut Cluster, authority: &str, old: Sha256) {
    let authority = cluster.spec.spec.authorities.entry(authority.parse().unwrap()).or_default();
    authority.distrust.insert(format!("sha256:{old}"), "INC-1".to_owned());
}

/// How often each instance of a service was started.
fn starts(cluster: &Cluster, service: &str) -> Vec<u32> {
    cluster.nodes.values().filter_map(|node| node.memory().is_running(service)).collect()
}

/// Whoever is restarted, is restarted because of what it trusts.
fn only_trust_is_restarted_for(plan: &Plan) -> bool {
    let mut restarting = plan.phases.iter().filter(|line| !line.restarts.is_empty());
    restarting.all(|line| matches!(line.phase, Phase::TrustBoth | Phase::DropOld))
}

proptest! {
    #![proptest_config(crate::support::seeds::cases(24))]

    #[test]
    fn the_two_cas_of_ack_go_together_and_share_restarts_or_one_joins_the_other(
        members in 1..=MOST,
        place in prop::sample::select(vec![Place::Usual, Place::Linked]),
        first in prop::sample::select(vec![vec![0, 1], vec![0, 1], vec![0], vec![1]]),
        joins in 1..4_usize,
        blows in prop::collection::vec((any::<Index>(), blow()), 0..4),
    ) {
        let made = |number: usize| running(MADE[&(members, place)][number].clone(), number);
        let mut cluster = cluster(members, place, made);
        let files = CAS.map(|(_, file)| format!("{}/{file}.pem", folder(place)));
        let old = files.each_ref().map(|file| certificates(&cluster, file)[0][0]);
        for ca in &first {
            distrust(&mut cluster, CAS[*ca].0, old[*ca]);
        }
        let before = ["etcd", "kube-apiserver"].map(|service| (service, starts(&cluster, service)));
        let is_calm = blows.is_empty();
        let mut blows = blows.into_iter();
        let mut log = String::new();
        let mut is_mute = false;
        for round in 0..24 {
            if round == joins {
                (0..CAS.len()).for_each(|ca| distrust(&mut cluster, CAS[ca].0, old[ca]));
            }
            let plan = cluster.planned().map_err(|wrong| TestCaseError::fail(format!("{wrong}\n{log}")))?;
            prop_assert!(plan.applicable, "{}", pki::output::plan(&plan));
            // What a failure has left down is started again with whatever comes next.
            prop_assert!(is_mute || only_trust_is_restarted_for(&plan), "{}", pki::output::plan(&plan));
            for least in plan.checked.iter().flat_map(|checked| &checked.least).filter(|least| least.of > 2 && least.before == least.of) {
                prop_assert!(least.least + 1 >= least.of, "{least:?}\n{}", pki::output::plan(&plan));
            }
            if plan.visits.is_empty() && round >= joins {
                if !plan.elsewhere.is_empty() || !plan.postponed.is_empty() {
                    // A member that could not be started again, or runs and serves nothing, is for a person to bring back.
                    prop_assert!(is_mute || cluster.running() < members, "round {round}: {}\n{log}", pki::output::plan(&plan));
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
        for (file, old) in files.iter().zip(old) {
            let bundles: BTreeSet<Vec<Sha256>> = certificates(&cluster, file).into_iter().collect();
            prop_assert!(bundles.len() == 1 && bundles.iter().all(|bundle| bundle.len() == 1 && !bundle.contains(&old)), "{bundles:?}\n{log}");
            let waits = file.replace(".pem", "-next.pem");
            prop_assert!(certificates(&cluster, &waits).iter().all(Vec::is_empty));
        }
        let copies = certificates(&cluster, "/etc/kubernetes/pki/etcd/ca.pem");
        prop_assert_eq!(copies, certificates(&cluster, &files[0]), "{}", log);
        prop_assert_eq!(cluster.running(), members);
        if is_calm {
            // Together they need no more restarts than one alone; API servers trust one of them only.
            let apart = if first.len() == CAS.len() { 2 } else { 4 };
            for ((service, before), times) in before.into_iter().zip([apart, 2]) {
                let expected: Vec<u32> = before.iter().map(|start| start + times).collect();
                prop_assert_eq!(starts(&cluster, service), expected, "{}: {}", service, log);
            }
        }
    }
}
