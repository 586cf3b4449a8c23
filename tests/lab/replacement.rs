//! The replacement of CAs of a running etcd, whatever its layout: made in one run under a writer, with a look at every barrier.
//!
//! Enters: a healthy cluster, the CAs of it that go, and the spec that wants them gone. Leaves: what every port accepts and refuses at each barrier, and at the end
//! that every acknowledged write is there and nothing of the old CAs is.

use std::io::Write as _;
use std::process::Command;
use std::time::{Duration, Instant};

use pki::x509::Certificate;

use crate::controller::Run;
use crate::etcd::Cluster;
use crate::layouts::Pair;
use crate::nodes::{DEADLINE, Node, wait_until, within};
use crate::tap::Tap;

/// Makes a certificate of a CA that no member has, good for every member and client: `leaf NAME CA-CERTIFICATE CA-KEY`.
const LEAF: &str = r#"
leaf() {
  mkdir -p /var/lib/tests/probe; cd /var/lib/tests/probe
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=probe -keyout $1.key -out $1.csr 2>/dev/null
  printf 'extendedKeyUsage=serverAuth,clientAuth\n' >ext
  openssl x509 -req -in $1.csr -CA $2 -CAkey $3 -set_serial 77 -days 2 -extfile ext -out $1.crt 2>/dev/null
}
"#;

/// Whose certificates are tried.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ca {
    Old,
    New,
}

/// A CA that goes.
pub(crate) struct Going {
    pub(crate) authority: &'static str,
    /// Its files on every node.
    pub(crate) files: Pair,
    /// The ports at which members check certificates with it.
    pub(crate) ports: &'static [u16],
}

pub(crate) struct Replacement {
    pub(crate) cluster: Cluster,
    pub(crate) going: Vec<Going>,
    /// Parts of the old CAs' certificates and keys that no other file holds.
    traces: Vec<String>,
}

impl Ca {
    /// What its certificate to try is called.
    pub(crate) fn probe(self, going: &Going) -> String {
        let age = match self {
            Ca::Old => "old",
            Ca::New => "new",
        };
        format!("{age}-{}", going.authority)
    }
}

impl Replacement {
    /// A healthy cluster of which nothing is to go yet.
    pub(crate) fn new(cluster: Cluster, going: Vec<Going>) -> Self {
        let node = &cluster.nodes[0];
        for going in &going {
            make_leaf(node, &Ca::Old.probe(going), &going.files);
        }
        let files = going.iter().flat_map(|going| [&going.files.certificate, &going.files.key]);
        // The fifth line of PEM is in the middle of what is like no other.
        let traces = files.map(|path| node.run(&format!("sed -n 5p {path}")).trim().to_owned()).collect();
        Self { cluster, going, traces }
    }

    /// The one CA of a plain etcd, which the spec distrusts.
    pub(crate) fn of_plain_etcd() -> Self {
        let files = Pair::crt("/etc/etcd/pki/ca");
        let going = Going { authority: "etcd-ca", files, ports: &[2379, 2380] };
        let replacement = Self::new(Cluster::new(), vec![going]);
        replacement.distrust();
        replacement
    }

    /// Has the spec distrust all that go.
    pub(crate) fn distrust(&self) {
        let mut authorities = String::new();
        for Going { authority, files, .. } in &self.going {
            let pem = self.cluster.nodes[0].run(&format!("cat {}", files.certificate));
            let reading = pki::x509::pem::read(pem.as_bytes());
            let old = reading.certificates().next().map(Certificate::fingerprint).unwrap();
            authorities.push_str(&format!(
                "    {authority}: {{ distrust: {{ \"sha256:{old}\": \"INC-2291, key exposed\" }} }}\n"
            ));
        }
        self.cluster.spec(&format!("  authorities:\n{authorities}"));
    }

    /// Saves a plan and says how it is applied with everything that its approval needs.
    pub(crate) fn approved(&self) -> Vec<String> {
        let (_, digest) = self.cluster.controller.save_plan("plan.json", &[]);
        let authorities: Vec<&str> = self.going.iter().map(|going| going.authority).collect();
        let confirm = format!("etcd-1/{}", authorities.join("+"));
        let words = ["apply", "plan.json", "--yes", "--confirm", &confirm, "--expect-digest", &digest];
        [&words[..], &["--lock-timeout", "1m"]].concat().into_iter().map(str::to_owned).collect()
    }

    /// The saved plan.
    pub(crate) fn saved(&self) -> serde_json::Value {
        let text = std::fs::read_to_string(self.cluster.controller.at("plan.json")).unwrap();
        let saved: serde_json::Value = serde_json::from_str(&text).unwrap();
        if saved["plan"].is_object() { saved["plan"].clone() } else { saved }
    }

    /// The first visit after these phases.
    fn first_visit_after(&self, phases: &[&str]) -> usize {
        let saved = self.saved();
        let visits = saved["visits"].as_array().unwrap();
        let is_in = |visit: &&serde_json::Value| phases.contains(&visit["phase"].as_str().unwrap());
        1 + visits.iter().take_while(is_in).count()
    }

    /// Whether each port of each member accepts, or refuses, a certificate of its CA as a client's.
    #[track_caller]
    pub(crate) fn all_take(&self, ca: Ca, accepted: bool, when: &str) {
        self.take(&self.cluster.nodes.iter().collect::<Vec<_>>(), ca, accepted, when);
    }

    /// The same of the members on these nodes.
    #[track_caller]
    pub(crate) fn take(&self, nodes: &[&Node], ca: Ca, accepted: bool, when: &str) {
        let ports = |going: &Going| {
            let probe = ca.probe(going);
            let port = |node: &&Node| {
                going
                    .ports
                    .iter()
                    .map(|port| format!("{probe} {}:{port}\n", node.address()))
                    .collect::<String>()
            };
            nodes.iter().map(port).collect::<String>()
        };
        let tries: String = self.going.iter().map(ports).collect();
        let wanted = tries.replace('\n', if accepted { " accepted\n" } else { " refused\n" });
        assert_eq!(self.tried(&tries), wanted, "{when}: {ca:?}");
    }

    /// Has each CA that is to come issue a certificate to try.
    pub(crate) fn try_the_new_one(&self) {
        for going in &self.going {
            make_leaf(&self.cluster.nodes[0], &Ca::New.probe(going), &going.files.next());
        }
    }

    /// The ports of one CA take nothing of another one.
    #[track_caller]
    fn nobody_is_taken_for_another(&self, when: &str) {
        let mut tries = String::new();
        for (going, other) in
            self.going.iter().flat_map(|going| self.going.iter().map(move |other| (going, other)))
        {
            for port in other.ports.iter().filter(|port| !going.ports.contains(port)) {
                for ca in [Ca::Old, Ca::New] {
                    tries.push_str(&format!(
                        "{} {}:{port}\n",
                        ca.probe(going),
                        self.cluster.nodes[0].address()
                    ));
                }
            }
        }
        assert_eq!(self.tried(&tries), tries.replace('\n', " refused\n"), "{when}");
    }

    /// Shows certificates as a client to ports, a line for each, and says which were accepted.
    fn tried(&self, tries: &str) -> String {
        // With TLS 1.3 a client learns only later that it is refused.
        self.cluster.nodes[0].run(&format!(
            "cd /var/lib/tests/probe; while read -r probe port; do \
             openssl s_client -tls1_2 -connect $port -cert $probe.crt -key $probe.key </dev/null >/dev/null 2>&1 \
             && echo $probe $port accepted || echo $probe $port refused; done <<'END'\n{tries}END"
        ))
    }

    /// No node holds an old CA or its key outside of snapshots, and nothing waits beside the files.
    pub(crate) fn the_old_one_is_nowhere(&self) {
        let traces: String = self.traces.iter().map(|trace| format!(" -e {trace}")).collect();
        for node in &self.cluster.nodes {
            // What was said inside connections is written down by these tests alone.
            let holds = node.ssh(&format!(
                "grep -rlF --exclude-dir=snapshots --exclude-dir=pki-relay{traces} /etc /data /var/lib /root /tmp 2>/dev/null"
            ));
            assert_eq!(String::from_utf8_lossy(&holds.stdout), "", "on {}", node.name);
            assert_eq!(node.run("find /etc /data /var/lib/etcd -name '*-next*' 2>/dev/null || true"), "");
            for Pair { certificate, key } in self.going.iter().map(|going| &going.files) {
                assert_eq!(
                    node.run(&format!("grep -c BEGIN {certificate}")),
                    "1\n",
                    "{certificate} on {}",
                    node.name
                );
                node.run(&format!(
                    "test \"$(openssl pkey -in {key} -pubout)\" = \"$(openssl x509 -in {certificate} -noout -pubkey)\""
                ));
            }
        }
    }

    /// The new one has taken the place of the old one everywhere, under the eyes of those who use the cluster.
    #[track_caller]
    pub(crate) fn is_at_its_end(&self) {
        let cluster = &self.cluster;
        self.all_take(Ca::Old, false, "at the end");
        self.all_take(Ca::New, true, "at the end");
        self.the_old_one_is_nowhere();
        cluster.everything_written_is_there();
        let fewest = cluster.fewest_healthy();
        told(&format!("never fewer than {fewest} healthy members\n"));
        assert!(fewest >= 2);
        cluster.controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    }

    /// One run under a writer, a reader and a watcher, held at every barrier to look whether it is what it promises. Says what the run said.
    #[track_caller]
    pub(crate) fn goes_through_its_barriers(&self) -> String {
        let cluster = &self.cluster;
        let taps: Vec<Tap<'_>> = cluster.nodes.iter().map(Tap::on).collect();
        cluster.write_and_count();
        let apply = self.approved();
        let apply: Vec<&str> = apply.iter().map(String::as_str).collect();
        self.all_take(Ca::Old, true, "before");
        let made = self.first_visit_after(&["etcd-snapshot", "prepare"]);
        let trusted = self.first_visit_after(&["etcd-snapshot", "prepare", "trust-both"]);
        let reissued = self.first_visit_after(&[
            "etcd-snapshot",
            "prepare",
            "trust-both",
            "clients",
            "peers",
            "servers",
        ]);
        let begun = Instant::now();
        let mut looked = Duration::ZERO;
        hold_at(&taps, made);
        let mut run = cluster.controller.start(&apply);
        for (visit, next, new, when) in [
            (made, Some(trusted), false, "once it is made"),
            (trusted, Some(reissued), true, "once all trust both"),
            (reissued, None, true, "once everything is reissued"),
        ] {
            let tap = held(&taps, &mut run);
            let look = Instant::now();
            if visit == made {
                self.try_the_new_one();
            }
            self.all_take(Ca::Old, true, when);
            self.all_take(Ca::New, new, when);
            self.nobody_is_taken_for_another(when);
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
        assert!(crate::words(&text).contains("NONE: the old CA is refused from then on"), "{text}");
        self.is_at_its_end();
        text
    }
}

/// Names, modes, owners, links and bytes of everything in a folder of a node, seen from outside: it may be cut off.
pub(crate) fn listing(node: &Node, folder: &str) -> String {
    let list = "find . -printf '%p %m %U %G %l\\n' | sort; find . -type f | sort | xargs -r sha256sum";
    let mut shell = Command::new("sh");
    crate::well(&shell.args(["-c", list]).current_dir(node.disk(folder)).output().unwrap())
}

/// Writes down every start of a member.
pub(crate) fn count_starts(cluster: &Cluster) {
    for node in &cluster.nodes {
        let count = "[Service]\nExecStartPre=/bin/sh -c 'echo started >>/var/lib/tests/starts'\n";
        cluster.set_up_unit(node, "count.conf", count);
        node.run("touch /var/lib/tests/starts");
    }
}

/// Each member was started so often since.
#[track_caller]
pub(crate) fn each_was_started(cluster: &Cluster, times: usize) {
    for node in &cluster.nodes {
        let starts = node.run("cat /var/lib/tests/starts").lines().count();
        assert_eq!(starts, times, "{}", node.name);
    }
}

/// Has a CA issue a certificate to try.
pub(crate) fn make_leaf(node: &Node, name: &str, ca: &Pair) {
    node.run(&format!("{LEAF} leaf {name} {} {}", ca.certificate, ca.key));
}

pub(crate) fn told(text: &str) {
    std::io::stderr().write_all(text.as_bytes()).unwrap();
}

/// The tap that holds its message. A run may make many visits before that one, each with its restart.
pub(crate) fn held<'t, 'n>(taps: &'t [Tap<'n>], run: &mut Run) -> &'t Tap<'n> {
    let comes = within(DEADLINE * 5, || taps.iter().any(Tap::holds) || run.has_ended());
    let holds = taps.iter().find(|tap| tap.holds());
    holds.unwrap_or_else(|| {
        let how = if comes { format!("and the run has ended: {}", run.said()) } else { "yet".to_owned() };
        panic!("no visit is held, {how}")
    })
}

pub(crate) fn hold_at(taps: &[Tap<'_>], visit: usize) {
    taps.iter().for_each(|tap| tap.order(&format!("hold-at \"visit\":{visit}}}")));
}
