//! The CA of a running etcd is replaced under a writer: in one run with a look at every barrier, interrupted at every visit, and taken back from every barrier.

use std::io::Write as _;
use std::time::Instant;

use pki::x509::{Certificate, Sha256};

use crate::etcd::Cluster;
use crate::nodes::{DEADLINE, Node, wait_until, within};
use crate::tap::Tap;

/// Makes a certificate of a CA that no member has, good for every member and client: `leaf NAME CA-FILES`.
const LEAF: &str = r#"
leaf() {
  mkdir -p /var/lib/tests/probe; cd /var/lib/tests/probe
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=probe -keyout $1.key -out $1.csr 2>/dev/null
  printf 'extendedKeyUsage=serverAuth,clientAuth\n' >ext
  openssl x509 -req -in $1.csr -CA $2.crt -CAkey $2.key -set_serial 77 -days 2 -extfile ext -out $1.crt 2>/dev/null
}
"#;

/// Whose certificates are tried.
#[derive(Debug, Clone, Copy)]
enum Ca {
    Old,
    New,
}

impl Ca {
    fn name(self) -> &'static str {
        match self {
            Ca::Old => "old",
            Ca::New => "new",
        }
    }
}

struct Replacement {
    cluster: Cluster,
    old: String,
}

impl Replacement {
    /// A healthy cluster whose CA the spec distrusts.
    fn new(soak: &str) -> Self {
        let cluster = Cluster::new();
        cluster.nodes[0].run(&format!("{LEAF} leaf old /etc/etcd/pki/ca"));
        let pem = std::fs::read_to_string(cluster.nodes[0].disk("etc/etcd/pki/ca.crt")).unwrap();
        let old = fingerprint(&pem);
        let replacement = Self { cluster, old };
        replacement.distrust(soak);
        replacement
    }

    fn distrust(&self, soak: &str) {
        let distrust = format!("distrust: {{ \"sha256:{}\": \"INC-2291, key exposed\" }}", self.old);
        self.cluster.spec(&format!("  authorities: {{ etcd-ca: {{ {distrust}{soak} }} }}\n"));
    }

    /// Saves a plan and says how it is applied with everything that its approval needs.
    fn approved(&self) -> Vec<String> {
        self.cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "-o", "plan.json"]);
        let saved = std::fs::read(self.cluster.controller.at("plan.json")).unwrap();
        let digest = format!("sha256:{}", Sha256::of(&saved));
        let words =
            ["apply", "plan.json", "--yes", "--confirm", "etcd-1/etcd-ca", "--expect-digest", &digest];
        [&words[..], &["--lock-timeout", "1m"]].concat().into_iter().map(str::to_owned).collect()
    }

    /// Whether each port of each member accepts, or refuses, a certificate of a CA as a client's.
    #[track_caller]
    fn all_take(&self, ca: Ca, accepted: bool, when: &str) {
        for node in &self.cluster.nodes {
            for port in [2379, 2380] {
                let name = ca.name();
                // With TLS 1.3 a client learns only later that it is refused.
                let try_it = format!(
                    "openssl s_client -tls1_2 -connect {}:{port} -cert /var/lib/tests/probe/{name}.crt \
                     -key /var/lib/tests/probe/{name}.key </dev/null",
                    node.address()
                );
                let takes = self.cluster.nodes[0].ssh(&try_it).status.success();
                assert_eq!(takes, accepted, "{when}: {ca:?} at {}:{port}", node.name);
            }
        }
    }

    fn the_old_one_is_nowhere(&self) {
        for node in &self.cluster.nodes {
            let names = node.run("ls /etc/etcd/pki");
            assert!(!names.contains("next"), "{names}");
            for name in ["ca", "server", "peer", "client"] {
                let pem = std::fs::read_to_string(node.disk(&format!("etc/etcd/pki/{name}.crt"))).unwrap();
                assert_ne!(fingerprint(&pem), self.old, "{name}.crt on {}", node.name);
                assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 1, "{name}.crt on {}", node.name);
            }
            // The key is that of the certificate.
            node.run("test \"$(openssl pkey -in /etc/etcd/pki/ca.key -pubout)\" = \"$(openssl x509 -in /etc/etcd/pki/ca.crt -noout -pubkey)\"");
        }
    }
}

fn fingerprint(pem: &str) -> String {
    let reading = pki::x509::pem::read(pem.as_bytes());
    reading.certificates().next().map(Certificate::fingerprint).unwrap().to_string()
}

/// Names, modes, owners, links and bytes of everything that pki keeps.
fn listing(node: &Node) -> String {
    node.run("cd /etc/etcd/pki; find . -printf '%p %m %U %G %l\\n' | sort; find . -type f | sort | xargs sha256sum")
}

fn told(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

/// The tap that holds its message.
fn held<'t, 'n>(taps: &'t [Tap<'n>]) -> &'t Tap<'n> {
    wait_until("a visit is held", || taps.iter().any(Tap::holds));
    taps.iter().find(|tap| tap.holds()).unwrap()
}

fn hold_at(taps: &[Tap<'_>], visit: usize) {
    taps.iter().for_each(|tap| tap.order(&format!("hold-at \"visit\":{visit}}}")));
}

#[test]
fn one_run_replaces_the_ca_and_every_barrier_is_what_it_promises() {
    let replacement = Replacement::new("");
    let cluster = &replacement.cluster;
    let taps: Vec<Tap<'_>> = cluster.nodes.iter().map(Tap::on).collect();
    cluster.write_and_count();
    let apply = replacement.approved();
    let apply: Vec<&str> = apply.iter().map(String::as_str).collect();
    replacement.all_take(Ca::Old, true, "before");
    let begun = Instant::now();
    let mut looked = std::time::Duration::ZERO;
    // The first visit saves etcd's data.
    hold_at(&taps, 5);
    let run = cluster.controller.start(&apply);
    for (visit, next, old, new, when) in [
        (5, Some(8), true, false, "once it is made"),
        (8, Some(17), true, true, "once all trust both"),
        (17, None, true, true, "once everything is reissued"),
    ] {
        let tap = held(&taps);
        let look = Instant::now();
        cluster.nodes[0].run(&format!(
            "test -e /var/lib/tests/probe/new.crt || {{ {LEAF} leaf new /etc/etcd/pki/ca-next; }}"
        ));
        replacement.all_take(Ca::Old, old, when);
        replacement.all_take(Ca::New, new, when);
        cluster.is_healthy();
        looked += look.elapsed();
        let others = taps.iter().filter(|other| !std::ptr::eq(*other, tap));
        let order = next.map_or(String::new(), |next| format!("hold-at \"visit\":{next}}}"));
        others.for_each(|other| other.order(&order));
        let count = tap.count();
        tap.go_on();
        wait_until("the visit goes on", || tap.count() > count);
        tap.order(&order);
        told(&format!("barrier before visit {visit}: as promised {when}\n"));
    }
    let text = crate::controller::ended_with(0, &cluster.controller.ended(run));
    told(&format!("replaced in {:?}, besides {looked:?} of looking\n", begun.elapsed() - looked));
    assert!(text.contains("etcd 2 of 3 at least"), "{text}");
    assert!(crate::words(&text).contains("NONE: the old CA is refused from then on"), "{text}");
    replacement.all_take(Ca::Old, false, "at the end");
    replacement.all_take(Ca::New, true, "at the end");
    replacement.the_old_one_is_nowhere();
    cluster.everything_written_is_there();
    let fewest = cluster.fewest_healthy();
    told(&format!("never fewer than {fewest} healthy members\n"));
    assert!(fewest >= 2);
    cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    // There is no way back from here.
    let output = cluster.controller.pki(&["rollback", "-f", "spec.yaml", "--yes"]);
    let text = crate::both(&output);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.contains("no way back to a dropped CA"), "{text}");
    cluster.is_left_clean();
}

#[test]
fn it_is_taken_back_from_each_barrier_before_the_old_one_is_dropped() {
    let replacement = Replacement::new("");
    let cluster = &replacement.cluster;
    let taps: Vec<Tap<'_>> = cluster.nodes.iter().map(Tap::on).collect();
    let before: Vec<String> = cluster.nodes.iter().map(listing).collect();
    cluster.write_and_count();
    for visit in [5, 8, 11, 14, 17] {
        hold_at(&taps, visit);
        let apply = replacement.approved();
        let mut run = cluster.controller.start(&apply.iter().map(String::as_str).collect::<Vec<_>>());
        let tap = held(&taps);
        run.kill();
        tap.go_on();
        taps.iter().for_each(|tap| tap.order(""));
        // What the node undoes by itself is undone before anything else.
        let saved = std::fs::read_to_string(cluster.controller.at("plan.json")).unwrap();
        let id = saved.split("\"id\":").nth(1).and_then(|rest| rest.split('"').nth(1)).unwrap();
        // What clients show is put back in two files, one after the other, which a way back calls an interruption.
        let approved = ["--yes", "--confirm", "etcd-1/rollback", "--lock-timeout", "1m"];
        let back = [&["rollback", id, "-f", "spec.yaml"][..], &approved].concat();
        let mut said = String::new();
        let is_back = within(DEADLINE, || {
            let output = cluster.controller.pki(&back);
            said = crate::both(&output);
            output.status.success()
        });
        assert!(is_back, "before visit {visit}: {said}");
        let after: Vec<String> = cluster.nodes.iter().map(listing).collect();
        assert_eq!(after, before, "back from before visit {visit}");
        cluster.is_healthy();
        replacement.all_take(Ca::Old, true, "taken back");
        told(&format!("taken back from before visit {visit}\n"));
    }
    cluster.everything_written_is_there();
    cluster.is_left_clean();
}

#[test]
fn killed_at_each_visit_it_goes_on_where_it_stands() {
    let replacement = Replacement::new("");
    let cluster = &replacement.cluster;
    let taps: Vec<Tap<'_>> = cluster.nodes.iter().map(Tap::on).collect();
    cluster.write_and_count();
    let mut killed = 0;
    // The first visit of a run is kept, and it is killed in the second one: so each visit is killed once, and then made.
    for round in 0..40 {
        taps.iter().for_each(|tap| tap.order(""));
        let apply = replacement.approved();
        let text = std::fs::read_to_string(cluster.controller.at("plan.json")).unwrap();
        let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
        let visits = plan["visits"].as_array().or(plan["plan"]["visits"].as_array()).unwrap();
        if visits.is_empty() {
            break;
        }
        // One that saves etcd's data before it is none of those that can be killed half done.
        let saves = usize::from(visits[0]["phase"] == "etcd-snapshot");
        let apply: Vec<&str> = apply.iter().map(String::as_str).collect();
        if visits.len() == 1 + saves {
            cluster.controller.ends(0, &apply);
            continue;
        }
        let kills_node = round % 2 == 0;
        let how = if kills_node { "kill-at" } else { "hold-at" };
        taps.iter().for_each(|tap| tap.order(&format!("{how} \"visit\":{}}}", 2 + saves)));
        let mut run = cluster.controller.start(&apply);
        if kills_node {
            let output = cluster.controller.ended(run);
            assert_ne!(output.status.code(), Some(0), "round {round}: {output:?}");
        } else {
            assert!(within(DEADLINE, || taps.iter().any(Tap::holds) || run.has_ended()), "round {round}");
            run.kill();
            taps.iter().for_each(Tap::go_on);
        }
        killed += 1;
        cluster.is_healthy();
    }
    told(&format!("killed {killed} times\n"));
    assert!(killed >= 16, "{killed}");
    replacement.the_old_one_is_nowhere();
    cluster.everything_written_is_there();
    assert!(cluster.fewest_healthy() >= 2);
    cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    cluster.is_left_clean();
}
