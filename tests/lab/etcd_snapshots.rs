//! etcd's data is saved before its members are restarted: what the leader sends is whole, for root alone, and accepted by `etcdctl`; and where it cannot be saved,
//! nothing else is begun.

use crate::etcd::Cluster;
use crate::nodes::{Node, wait_until};
use crate::tap::Tap;

/// A snapshot on a node.
struct Snapshot<'a> {
    node: &'a Node,
    path: String,
}

impl Snapshot<'_> {
    /// What `etcdctl` says of it, in a word each: revision, keys, size in bytes.
    fn status(&self, word: &str) -> u64 {
        let told = self.node.run(&format!("ETCDCTL_API=3 etcdctl snapshot status {} -w json", self.path));
        let told: serde_json::Value = serde_json::from_str(&told).unwrap();
        told[word].as_u64().unwrap_or_else(|| panic!("{told}"))
    }

    fn run(&self, command: &str) -> String {
        self.node.run(&command.replace("FILE", &self.path)).trim().to_owned()
    }
}

/// Everything that a cluster keeps of etcd's data, by node and name.
fn kept(cluster: &Cluster) -> Vec<Snapshot<'_>> {
    let of_node = |node| {
        let names = well(node, "find /var/lib/pki/etcd -type f 2>/dev/null | sort || true");
        names.into_iter().map(move |path| Snapshot { node, path })
    };
    cluster.nodes.iter().flat_map(of_node).collect()
}

fn well(node: &Node, command: &str) -> Vec<String> {
    node.run(command).lines().map(str::to_owned).collect()
}

/// As after a renewal by hand: every member has to be restarted.
fn touch(cluster: &Cluster) {
    cluster.nodes.iter().for_each(|node| drop(node.run("touch /etc/etcd/pki/ca.crt")));
}

const APPLY: [&str; 4] = ["apply", "-f", "spec.yaml", "--yes"];

#[test]
fn the_leader_sends_its_data_before_any_member_is_restarted_and_etcdctl_accepts_it() {
    let cluster = Cluster::new();
    cluster.spec("  snapshots: { keep: 2, etcd: always }\n");
    cluster.nodes[0].run(
        ". /var/lib/tests/client; for key in 1 2 3; do etcdctl --endpoints $own put key-$key $key; done",
    );
    touch(&cluster);
    let leader = cluster.leader();
    let starts = cluster.starts();
    let taps: Vec<Tap<'_>> = cluster.nodes.iter().map(Tap::on).collect();
    taps.iter().for_each(|tap| tap.order("hold-at \"visit\":2}"));
    let run = cluster.controller.start(&APPLY);
    wait_until("the first restarting visit is held", || taps.iter().any(Tap::holds));
    // It is there, and no member has been restarted.
    let snapshots = kept(&cluster);
    let [snapshot] = &snapshots[..] else { panic!("{} snapshots", snapshots.len()) };
    assert_eq!((&snapshot.node.name, cluster.starts()), (&leader.name, starts.clone()));
    assert_eq!(snapshot.run("stat -c '%a %U:%G' FILE"), "600 root:root");
    assert_eq!(snapshot.run("stat -c '%a %U:%G' /var/lib/pki/etcd"), "700 root:root");
    let digest = snapshot.run("head -c -32 FILE | sha256sum | cut -d ' ' -f 1");
    assert_eq!(snapshot.run("tail -c 32 FILE | od -An -v -tx1 | tr -d ' \\n'"), digest);
    let (revision, bytes) = (snapshot.status("revision"), snapshot.run("stat -c %s FILE"));
    assert!(snapshot.status("totalKey") >= 3 && revision >= 4);
    taps.iter().filter(|tap| tap.holds()).for_each(Tap::go_on);
    let text = crate::controller::ended_with(0, &cluster.controller.ended(run));
    taps.iter().for_each(|tap| tap.order(""));
    for words in [
        "+ snapshot of svc/etcd @ ",
        &format!("etcd's data saved: revision {revision}, {bytes} bytes; no rollback restores it"),
        &snapshot.path,
        &format!("sha256 {digest}"),
    ] {
        assert!(crate::words(&text).contains(words), "{words}: {text}");
    }
    assert!(cluster.starts().iter().zip(&starts).all(|(one, other)| one != other));
    let listed = cluster.controller.ends(0, &["snapshot", "list", "-f", "spec.yaml"]);
    assert!(listed.contains(&snapshot.path) && listed.contains(&digest), "{listed}");
    // It is what a person restores a member from.
    snapshot.run("ETCDCTL_API=3 etcdctl snapshot restore FILE --data-dir /var/lib/tests/restored");

    // The latest two stay; nothing is restarted by it, so the leader is the same.
    touch(&cluster);
    let of_leader =
        |cluster: &Cluster| kept(cluster).iter().map(|kept| kept.path.clone()).collect::<Vec<_>>();
    let mut seen = of_leader(&cluster);
    for _ in 0..3 {
        cluster.controller.ends(0, &[&APPLY[..], &["--until-phase", "etcd-snapshot"]].concat());
        seen.extend(of_leader(&cluster));
    }
    seen.sort();
    seen.dedup();
    let others = kept(&cluster).iter().filter(|kept| kept.node.name != cluster.leader().name).count();
    assert_eq!(kept(&cluster).len() - others, 2, "{seen:?}");
    assert!(seen.len() >= 3, "{seen:?}");
    cluster.controller.ends(0, &["snapshot", "prune", "-f", "spec.yaml", "--keep", "1"]);
    assert_eq!(kept(&cluster).len() - others, 1);

    // Before a CA goes it is saved where nothing is said; never, where that is said.
    let there = of_leader(&cluster);
    cluster.spec("  snapshots: { etcd: never }\n");
    let text = cluster.controller.ends(0, &APPLY);
    assert!(text.contains("restart 3, repair 0.") && !text.contains("snapshot of svc/etcd"), "{text}");
    assert_eq!(of_leader(&cluster), there);
    let pem = std::fs::read(cluster.nodes[0].disk("etc/etcd/pki/ca.crt")).unwrap();
    let reading = pki::x509::pem::read(&pem);
    let old = reading.certificates().next().unwrap().fingerprint().to_string();
    cluster
        .spec(&format!("  authorities: {{ etcd-ca: {{ distrust: {{ \"sha256:{old}\": \"INC-1\" }} }} }}\n"));
    cluster.controller.ends(0, &[&APPLY[..], &["--until-phase", "trust-both"]].concat());
    let now = of_leader(&cluster);
    assert_eq!(now.len(), there.len() + 1, "{there:?} {now:?}");
    assert!(kept(&cluster).iter().all(|kept| kept.status("totalKey") >= 3));
    cluster.is_healthy();
    cluster.is_left_clean();
}

#[test]
fn where_it_cannot_be_saved_no_member_is_restarted_and_nothing_is_left_of_the_attempt() {
    let cluster = Cluster::new();
    cluster.spec("  snapshots: { etcd: always }\n");
    touch(&cluster);
    let leader = cluster.leader();
    let starts = cluster.starts();
    let listing = || {
        leader.run("cd /etc/etcd/pki; find . -printf '%p %m %U %G %l\\n' | sort; find . -type f | sort | xargs sha256sum")
    };
    let before = listing();

    // A disk that is too small.
    leader.run(
        "mkdir -m 700 -p /var/lib/pki/etcd && mount -t tmpfs -o size=8m,mode=700 tmpfs /var/lib/pki/etcd",
    );
    let output = cluster.controller.pki(&APPLY);
    let text = crate::both(&output);
    assert_ne!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("PKI3010: a snapshot of etcd's data needs") && text.contains("nothing was touched"),
        "{text}"
    );
    assert!(text.contains("`snapshots: { etcd: never }`"), "{text}");
    assert_eq!(leader.run("ls -A /var/lib/pki/etcd"), "");
    assert_eq!((cluster.starts(), listing()), (starts.clone(), before.clone()));
    leader.run("umount /var/lib/pki/etcd");

    // Users in etcd, of whom the one that the client certificate names is none: it may look, and is not sent the data.
    cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "-o", "plan.json"]);
    let client =
        |command: &str| leader.run(&format!(". /var/lib/tests/client; etcdctl --endpoints $own {command}"));
    client(
        "user add root:secret && etcdctl --endpoints $own user grant-role root root && etcdctl --endpoints $own auth enable",
    );
    let output = cluster.controller.pki(&["apply", "plan.json", "--yes"]);
    let text = crate::both(&output);
    client("--user root:secret auth disable");
    assert_ne!(output.status.code(), Some(0), "{text}");
    assert!(
        text.contains("PKI3011: etcd's data could not be saved") && text.contains("auth: user not found"),
        "{text}"
    );
    assert!(text.contains("nothing was touched"), "{text}");
    assert_eq!((cluster.starts(), kept(&cluster).len()), (starts.clone(), 0));

    // Once it can be saved, the same plan goes on.
    assert_eq!(listing(), before);
    cluster.controller.ends(0, &["apply", "plan.json", "--yes"]);
    assert_eq!(kept(&cluster).len(), 1);
    assert!(cluster.starts().iter().zip(&starts).all(|(one, other)| one != other));
    cluster.is_healthy();
    cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    cluster.is_left_clean();
}
