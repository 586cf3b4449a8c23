//! One CA in the place of another, phase by phase: one saved plan is carried out up to each barrier and goes on from it, and from each barrier there is a way back
//! but the last one.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

use std::process::Command;

use crate::support::cluster::NODES;
use crate::support::made::{Made, Spec};
use crate::support::program;

const PKI: &str = "etc/kubernetes/pki";

/// The phases before the last one, each with what is true once it is passed.
const BARRIERS: [Barrier; 5] = [
    Barrier { phase: "prepare", trusted: 1, client: Old, peer: Old, server: Old },
    Barrier { phase: "trust-both", trusted: 2, client: Old, peer: Old, server: Old },
    Barrier { phase: "clients", trusted: 2, client: New, peer: Old, server: Old },
    Barrier { phase: "peers", trusted: 2, client: New, peer: New, server: Old },
    Barrier { phase: "servers", trusted: 2, client: New, peer: New, server: New },
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ca {
    Old,
    New,
}

use Ca::{New, Old};

struct Barrier {
    phase: &'static str,
    /// How many CA certificates a node trusts.
    trusted: usize,
    client: Ca,
    peer: Ca,
    server: Ca,
}

/// Runs openssl, which must succeed; what it printed.
fn openssl(arguments: &[&str]) -> String {
    let output = Command::new("openssl").args(arguments).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

struct Replacing {
    made: Made,
}

impl Replacing {
    /// One whose plan to replace the CA of etcd is saved; its digest.
    fn new() -> (Self, String) {
        let made = Made::new();
        let old = made.at("cp-1").join(PKI).join("etcd/ca.crt");
        std::fs::copy(&old, made.at("old.crt")).unwrap();
        std::fs::copy(old.with_extension("key"), made.at("old.key")).unwrap();
        let told = openssl(&["x509", "-in", old.to_str().unwrap(), "-noout", "-fingerprint", "-sha256"]);
        let fingerprint = told.trim().split('=').nth(1).unwrap().replace(':', "").to_lowercase();
        let distrust = format!(
            "  authorities: {{ etcd-ca: {{ distrust: {{ \"sha256:{fingerprint}\": key exposed }} }} }}\n"
        );
        made.spec(&Spec { more: &distrust, ..Spec::default() });
        let replacing = Self { made };
        let digest = replacing.saved();
        (replacing, digest)
    }

    /// Saves the plan; its digest.
    fn saved(&self) -> String {
        let output = self.made.pki(&["plan", "-f", "spec.yaml", "-o", "plan.json"]);
        assert_eq!(program::code(&output), 0, "{}", program::stderr(&output));
        let said = program::stderr(&output);
        said.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap().to_owned()
    }

    fn path(&self, node: &str, file: &str) -> String {
        self.made.at(node).join(PKI).join(file).to_str().unwrap().to_owned()
    }

    /// Who signed a certificate that a node shows.
    fn signer(&self, node: &str, file: &str) -> Ca {
        let old = self.made.at("old.crt");
        let arguments =
            ["verify", "-partial_chain", "-trusted", old.to_str().unwrap(), &self.path(node, file)];
        let verified = Command::new("openssl").args(arguments).output().unwrap();
        if verified.status.success() { Old } else { New }
    }

    /// What a command says that is refused.
    fn refuses(&self, arguments: &[&str]) -> String {
        let output = self.made.pki(arguments);
        assert_ne!(program::code(&output), 0, "{arguments:?}\n{}", program::stdout(&output));
        program::stderr(&output)
    }

    /// The nodes below whose state directory any file holds the old CA's key, by its text or by its public half.
    fn keeps_the_old_key(&self, nodes: &[&str]) {
        let text = std::fs::read(self.made.at("old.key")).unwrap();
        let public = |path: &str| {
            let told = Command::new("openssl").args(["pkey", "-in", path, "-pubout"]).output().unwrap();
            told.status.success().then_some(told.stdout)
        };
        let old = public(self.made.at("old.key").to_str().unwrap()).unwrap();
        for node in NODES {
            let mut waiting = vec![self.made.at(node).join("var/lib/pki")];
            let mut holding = 0;
            while let Some(path) = waiting.pop() {
                if path.is_dir() {
                    waiting.extend(std::fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
                } else {
                    let bytes = std::fs::read(&path).unwrap();
                    let is_text = bytes.windows(text.len()).any(|window| window == text);
                    holding += usize::from(is_text || public(path.to_str().unwrap()) == Some(old.clone()));
                }
            }
            assert_eq!(holding > 0, nodes.contains(&node), "{holding} files on {node}");
        }
    }

    fn stands_at(&self, barrier: &Barrier) {
        let Barrier { phase, trusted, client, peer, server } = barrier;
        for node in NODES {
            let bundle = std::fs::read_to_string(self.path(node, "etcd/ca.crt")).unwrap();
            assert_eq!(bundle.matches("BEGIN CERTIFICATE").count(), *trusted, "{node} after {phase}");
            for (file, signer) in [
                ("apiserver-etcd-client.crt", client),
                ("etcd/healthcheck-client.crt", client),
                ("etcd/peer.crt", peer),
                ("etcd/server.crt", server),
            ] {
                assert_eq!(self.signer(node, file), *signer, "{file} on {node} after {phase}");
                let bundle = self.path(node, "etcd/ca.crt");
                openssl(&["verify", "-CAfile", &bundle, &self.path(node, file)]);
            }
        }
    }
}

#[test]
fn one_saved_plan_goes_on_from_barrier_to_barrier() {
    let (replacing, digest) = Replacing::new();
    let made = &replacing.made;
    for barrier in &BARRIERS {
        let text = made.ends(0, &["apply", "plan.json", "--yes", "--until-phase", barrier.phase]);
        assert!(text.contains("Left for a later run: phase drop-old"), "{text}");
        replacing.stands_at(barrier);
        // To go there again changes nothing.
        let before = made.listing();
        made.ends(0, &["apply", "plan.json", "--yes", "--until-phase", barrier.phase]);
        assert_eq!(made.listing(), before, "{}", barrier.phase);
    }
    // The last one needs more than a yes.
    let before = made.listing();
    made.ends(6, &["apply", "plan.json", "--yes"]);
    assert_eq!(made.listing(), before);
    let approved = ["--yes", "--confirm", "prod-eu1/etcd-ca", "--expect-digest", &digest];
    made.ends(0, &[&["apply", "plan.json"][..], &approved].concat());
    replacing.stands_at(&Barrier { phase: "drop-old", trusted: 1, client: New, peer: New, server: New });
    replacing.keeps_the_old_key(&[]);
    made.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    made.no_secret_was_told();
}

#[test]
fn from_each_barrier_but_the_last_everything_is_taken_back() {
    let (replacing, _) = Replacing::new();
    let made = &replacing.made;
    let before = made.listing();
    for barrier in &BARRIERS {
        made.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--until-phase", barrier.phase]);
        replacing.stands_at(barrier);
        made.ends(0, &["rollback", "-f", "spec.yaml", "--yes"]);
        assert_eq!(made.listing(), before, "back from {}", barrier.phase);
    }
}

#[test]
fn a_consumer_holds_the_barrier_until_it_trusts_both_and_shows_the_new_one() {
    let (replacing, _) = Replacing::new();
    let made = &replacing.made;
    let spec = std::fs::read_to_string(made.at("spec.yaml")).unwrap();
    let consumer = "consumers: { backup: { paths: [/etc/backup/ca.crt, /etc/backup/client.crt], on: { nodes: [cp-3] } } }, distrust";
    std::fs::write(made.at("spec.yaml"), spec.replace("distrust", consumer)).unwrap();
    let backup = made.at("cp-3/etc/backup");
    std::fs::create_dir(&backup).unwrap();
    let give =
        |name: &str, from: &str| std::fs::copy(replacing.path("cp-3", from), backup.join(name)).unwrap();
    give("ca.crt", "etcd/ca.crt");
    give("client.crt", "etcd/healthcheck-client.crt");
    let apply = ["apply", "-f", "spec.yaml", "--yes"];
    let told = program::words(&made.ends(0, &apply));
    assert!(
        told.contains("backup on cp-3 trusts only the old CA of etcd-ca, in /etc/backup/ca.crt"),
        "{told}"
    );
    replacing.stands_at(&BARRIERS[1]);
    give("ca.crt", "etcd/ca.crt");
    let told = program::words(&made.ends(0, &apply));
    assert!(
        told.contains("backup on cp-3 shows a certificate of the old CA of etcd-ca, /etc/backup/client.crt"),
        "{told}"
    );
    replacing.stands_at(&BARRIERS[4]);
    give("client.crt", "etcd/healthcheck-client.crt");
    // Now the drop is left, and that is more than a yes.
    made.ends(6, &apply);
    let told = program::words(&made.ends(0, &["plan", "-f", "spec.yaml"]));
    assert!(!told.contains("backup on cp-3") && told.contains("--confirm prod-eu1/etcd-ca"), "{told}");
}

#[test]
fn the_key_of_a_distrusted_ca_is_purged_from_the_snapshots_also_after_an_interruption() {
    let (replacing, digest) = Replacing::new();
    let made = &replacing.made;
    let confirmed = ["apply", "plan.json", "--yes", "--confirm", "prod-eu1/etcd-ca", "--expect-digest"];
    let until = [digest.as_str(), "--until-phase", "drop-old"];
    let text = made.ends(0, &[&confirmed[..], &until].concat());
    assert!(text.contains("Left for a later run: phase purge"), "{text}");
    replacing.keeps_the_old_key(&NODES);
    let dropped = replacing.refuses(&["rollback", "-f", "spec.yaml", "--yes"]);
    assert!(dropped.contains("no way back to a dropped CA"), "{dropped}");
    let plan = made.ends(0, &["plan", "-f", "spec.yaml"]);
    assert!(plan.contains("1 file in the snapshots holds the private key of"), "{plan}");
    assert!(plan.contains("NONE") && !plan.contains("Nothing of what is due"), "{plan}");
    assert!(plan.contains("Plan: renew 0, issue 0, trust 0, remove 3, restart 0, repair 0."), "{plan}");
    // It needs more than a yes.
    let before = made.listing();
    made.ends(6, &["apply", "-f", "spec.yaml", "--yes"]);
    assert_eq!(made.listing(), before);
    let digest = replacing.saved();
    made.ends(0, &[&confirmed[..], &[&digest]].concat());
    replacing.keeps_the_old_key(&[]);
    assert_eq!(made.listing(), before, "nothing outside of the snapshots is touched");
    made.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    let refused = replacing.refuses(&["rollback", "-f", "spec.yaml", "--yes"]);
    assert!(refused.contains("was removed from the snapshots by run"), "{refused}");
    let runs = made.ends(0, &["snapshot", "list", "-f", "spec.yaml"]);
    assert!(runs.contains("a distrusted CA's key was removed from it"), "{runs}");
    let first = runs.lines().last().unwrap().split_whitespace().next().unwrap();
    let shown = made.ends(0, &["snapshot", "show", first, "-f", "spec.yaml"]);
    assert!(shown.contains("removed here: it held the key of a distrusted CA"), "{shown}");
    let refused = replacing.refuses(&["rollback", first, "-f", "spec.yaml", "--yes"]);
    assert!(refused.contains("there is no way back"), "{refused}");
    made.ends(0, &["snapshot", "prune", "-f", "spec.yaml", "--keep", "1"]);
    made.no_secret_was_told();
}

#[test]
fn no_run_of_a_rotation_is_taken_back_once_another_run_has_dropped_the_old_ca() {
    let (replacing, _) = Replacing::new();
    let made = &replacing.made;
    let (prod, confirm) = ("prod-eu1/etcd-ca", "--confirm");
    let apply = |until: &str| {
        let digest = replacing.saved();
        let bound = ["apply", "plan.json", "--yes", "--expect-digest", &digest, "--until-phase", until];
        // Only what cannot be taken back is asked for by its name.
        let named = if until == "drop-old" { &[confirm, prod][..] } else { &[] };
        made.ends(0, &[&bound, named].concat());
    };
    ["trust-both", "servers", "drop-old"].into_iter().for_each(apply);
    let runs = made.ends(0, &["snapshot", "list", "-f", "spec.yaml"]);
    let is_id = |word: &&str| word.len() == 9 && word.as_bytes()[4] == b'-';
    let ids: Vec<&str> =
        runs.lines().filter_map(|line| line.split_whitespace().next().filter(is_id)).collect();
    assert_eq!(ids.len(), 3, "{runs}");
    let before = made.listing();
    for run in ids {
        let refused =
            replacing.refuses(&["rollback", run, "-f", "spec.yaml", "--yes", confirm, "prod-eu1/rollback"]);
        assert!(refused.contains("no way back to a dropped CA"), "{run}: {refused}\n{runs}");
    }
    assert_eq!(made.listing(), before);
}

#[test]
fn both_are_trusted_for_as_long_as_the_soak_lasts_whatever_the_times_of_files_say() {
    let (replacing, _) = Replacing::new();
    let made = &replacing.made;
    let spec = std::fs::read_to_string(made.at("spec.yaml")).unwrap();
    std::fs::write(made.at("spec.yaml"), spec.replace("distrust", "soak: 24h, distrust")).unwrap();
    let told = program::words(&made.ends(0, &["apply", "-f", "spec.yaml", "--yes"]));
    assert!(told.contains("both trusted for 1d after this plan"), "{told}");
    replacing.stands_at(&BARRIERS[4]);
    let waits = || {
        let told = program::words(&made.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]));
        assert!(told.contains("it is dropped by a plan after"), "{told}");
    };
    waits();
    // As after a copy that keeps the times.
    for node in NODES {
        for file in ["apiserver-etcd-client", "etcd/healthcheck-client", "etcd/peer", "etcd/server"] {
            let path = replacing.path(node, &format!("{file}.crt"));
            assert!(Command::new("touch").args(["-d", "30 days ago", &path]).status().unwrap().success());
        }
    }
    waits();
    let output = Command::new("date").args(["-u", "-d", "25 hours", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    let later = String::from_utf8(output.stdout).unwrap();
    let told = made.ends(2, &["plan", "-f", "spec.yaml", "--exit-code", "--as-of", later.trim()]);
    assert!(
        told.contains("drop-old") && !program::words(&told).contains("it is dropped by a plan"),
        "{told}"
    );
}
