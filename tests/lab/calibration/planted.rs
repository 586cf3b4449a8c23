//! Wrong plans, carried out by hand on real members: what the simulation names breaks, and nothing else does.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use pki::agent::Local;
use pki::desired::Survey;
use pki::diagnostic::Source;
use pki::diff::diff;
use pki::observe::survey::survey;
use pki::plan::model::checked::Counterexample;
use pki::plan::{
    Action, Bundle, Deed, Disruption, Input, Issue, Options, Phase, PlanContent, PlannedTransaction,
    RestartMethod, draft,
};
use pki::profile::Profile;
use pki::protocol::file::SpecReference;
use pki::simulate::{check, counterexamples};
use pki::spec::custom_root::CertificateFile;
use pki::spec::{ReadOptions, read};
use pki::trust::processes::Processes;
use pki::types::duration::Duration;
use pki::types::names::{Address, NodeName, Target};
use pki::types::profile_name::ProfileName;
use pki::x509::{Certificate, Sha256, pem};

use super::{AUTHORITY, issue};
use crate::etcd::Cluster;
use crate::nodes::{DEADLINE, Node, wait_until, within};

const OTHER: &str = "/var/lib/tests/other";

/// A connection, by the names of its ends.
type Pair = (String, String);

impl Cluster {
    /// What the library sees of the same spec and the same disks.
    fn survey(&self) -> Survey {
        let text = std::fs::read(self.controller.at("spec.yaml")).unwrap();
        let source = Source::from_bytes("spec.yaml", text).unwrap();
        let profile = Profile::load(ProfileName::Etcd).unwrap();
        let known = BTreeMap::from([(ProfileName::Etcd, profile.known_names())]);
        let options = ReadOptions {
            now: Timestamp::now(),
            ignore_other_kinds: false,
            known: &known,
            certificate_file: &|_, _| CertificateFile::Missing,
        };
        let reading = read(std::slice::from_ref(&source), &options);
        let spec = reading.specs.into_iter().next().unwrap().spec.clone();
        let nodes: BTreeMap<NodeName, Local> = self
            .nodes
            .iter()
            .map(|node| (node.name.parse().unwrap(), Local::new(Some(node.disk("/")), Timestamp::now)))
            .collect();
        survey(&spec, &profile, &nodes, Timestamp::now(), &Default::default()).unwrap()
    }

    /// The planner's own plan.
    fn plan(&self, survey: &Survey, replace: &[String]) -> PlanContent {
        let now = Timestamp::from_second(Timestamp::now().as_second()).unwrap();
        let replace = replace.iter().map(|text| text.parse().unwrap()).collect();
        let options = Options { replace, ..Options::default() };
        let draft = draft(&Input {
            survey,
            differences: &diff(&survey.desired, &survey.observed, now),
            now,
            spec: SpecReference {
                file: "spec.yaml".to_owned(),
                sha256: Sha256::of(b""),
                commit: None,
                files: Default::default(),
            },
            options: &options,
            signed: &Default::default(),
            place: &|_| None,
        });
        let plan = check(draft.unwrap(), survey, &Processes::default()).unwrap();
        (*plan).clone()
    }

    /// Between which members, by the word of the first, a connection stands, each as (from, to).
    fn connected(&self) -> BTreeMap<Pair, bool> {
        let mut numbers: BTreeMap<String, String> = BTreeMap::new();
        for line in self.nodes[2].run(". /var/lib/tests/client; etcdctl --endpoints $own member list").lines()
        {
            let fields: Vec<&str> = line.split(", ").collect();
            numbers.insert(fields[0].to_owned(), fields[2].to_owned());
        }
        let mut connected = BTreeMap::new();
        for node in &self.nodes {
            let metrics = node.ssh(
                "printf 'GET /metrics HTTP/1.0\\r\\n\\r\\n' | timeout 5 openssl s_client -quiet -connect 127.0.0.1:2379 \
                 -cert /etc/etcd/pki/client.crt -key /etc/etcd/pki/client.key 2>/dev/null",
            );
            let metrics = String::from_utf8_lossy(&metrics.stdout).into_owned();
            for line in metrics.lines().filter(|line| line.starts_with("etcd_network_active_peers{")) {
                let remote = line.split('"').nth(3).and_then(|number| numbers.get(number)).unwrap();
                connected.insert((node.name.clone(), remote.clone()), line.ends_with(" 1"));
            }
        }
        connected
    }

    /// Each connection between members is made anew: streams that stand do not look at certificates.
    fn reconnect(&self, node: &Node, other: &Node) {
        node.net("cut");
        let pair = (other.name.clone(), node.name.clone());
        wait_until("the streams break off", || self.connected().get(&pair) == Some(&false));
        node.net("join");
    }

    /// These connections of members stand at no time, and each other one does: a member whose messages have to take another way now and then gives up one that
    /// stands, and makes it anew. What a member says of another is how its last message to it ended, and one that was under way while the network was cut may
    /// fail long after the streams stand again: so another member leads now and then, for only a member that leads or follows has something to say.
    #[track_caller]
    fn only_these_are_broken(&self, expected: &BTreeSet<Pair>) {
        const LOOKS: usize = 5;
        let mut looks: Vec<BTreeSet<Pair>> = Vec::new();
        let mut found = BTreeSet::new();
        let as_expected = within(DEADLINE, || {
            let connected = self.connected();
            let all: BTreeSet<Pair> = connected.keys().cloned().collect();
            looks.push(connected.into_iter().filter(|(_, stands)| *stands).map(|(pair, _)| pair).collect());
            let latest = looks.iter().rev().take(LOOKS);
            found = all
                .into_iter()
                .filter(|pair| !latest.clone().any(|standing| standing.contains(pair)))
                .collect();
            let is_so = looks.len() >= LOOKS && found == *expected;
            if !is_so && looks.len().is_multiple_of(2 * LOOKS) {
                self.may_lead(&self.nodes[looks.len() / (2 * LOOKS) % self.nodes.len()]);
            }
            is_so
        });
        assert!(as_expected, "not {expected:?} are broken but {found:?}");
    }

    /// The member of a node leads, where the others can make it.
    fn may_lead(&self, node: &Node) {
        node.ssh(
            ". /var/lib/tests/client; etcdctl --endpoints $all --command-timeout 3s move-leader \
             $(etcdctl --endpoints $own endpoint status | cut -d, -f2)",
        );
    }

    /// Every client reaches every member, whatever the members think of each other.
    fn clients_work(&self) {
        for (node, to) in self.nodes.iter().flat_map(|node| self.nodes.iter().map(move |to| (node, to))) {
            let status = format!(
                ". /var/lib/tests/client; etcdctl --endpoints https://{}:2379 endpoint status",
                to.address()
            );
            assert!(node.ssh(&status).status.success(), "etcdctl@{} -> etcd@{}", node.name, to.name);
        }
    }
}

/// What the simulation names, all of it between members.
fn named(plan: &PlanContent, survey: &Survey) -> BTreeSet<Pair> {
    let found = counterexamples(plan, survey, &Processes::default());
    let pair = |fault: Counterexample| {
        let ends = |connection: &str| {
            let (from, to) = connection.strip_suffix(":2380")?.split_once(" -> ")?;
            Some((from.strip_prefix("etcd@")?.to_owned(), to.strip_prefix("etcd@")?.to_owned()))
        };
        let named =
            if let Counterexample::Broken { connection, .. } = &fault { ends(connection) } else { None };
        assert!(named.is_some(), "{fault}");
        named.unwrap()
    };
    found.into_iter().map(pair).collect()
}

fn issued<'a>(plan: &'a mut PlanContent, address: &str) -> &'a mut Issue {
    let actions = plan.visits.iter_mut().flat_map(|visit| &mut visit.actions);
    let mut issues = actions.filter_map(|action| {
        let Deed::IssueIdentity(issue) = &mut action.deed else { return None };
        (action.address.to_string() == address).then_some(issue)
    });
    issues.next().unwrap()
}

/// Does what an action does: the certificate with exactly these names.
fn by_hand(node: &Node, authority: &str, wanted: &Issue) {
    let dns = wanted.dns.iter().map(|name| format!("DNS:{name}"));
    let names: Vec<String> = dns.chain(wanted.ip.iter().map(|ip| format!("IP:{ip}"))).collect();
    let pair = wanted.storage.certificate_path().strip_suffix(".crt").unwrap();
    issue(node, authority, &names.join(","), pair);
}

#[test]
fn a_peer_without_its_address_is_refused_by_those_and_only_those_that_the_simulation_names() {
    let cluster = Cluster::new();
    let odd = &cluster.nodes[1];
    let survey = cluster.survey();
    let address = format!("etcd-peer@{}", odd.name);
    let mut plan = cluster.plan(&survey, std::slice::from_ref(&address));
    assert_eq!(named(&plan, &survey), BTreeSet::new(), "the plan itself is in order");
    odd.run("mkdir -p /var/lib/tests/kept; cp -p /etc/etcd/pki/peer.* /var/lib/tests/kept/");
    // Its name is still there, and leads to it: whom it calls finds that out, whoever calls it does not ask.
    issued(&mut plan, &address).ip.remove(&odd.address().parse().unwrap());
    // Without that nobody can know that it is the one.
    let mut nameless = plan.clone();
    issued(&mut nameless, &address).dns.retain(|name| name == "localhost");
    for (plan, count) in [(&mut plan, 2), (&mut nameless, 4)] {
        let expected = named(plan, &survey);
        assert_eq!(expected.len(), count, "{expected:?}");
        by_hand(odd, "/etc/etcd/pki/ca", issued(plan, &address));
        cluster.reconnect(odd, &cluster.nodes[2]);
        cluster.only_these_are_broken(&expected);
        cluster.clients_work();
    }
    // The plan without the fault mends it.
    odd.run("cp -p /var/lib/tests/kept/peer.* /etc/etcd/pki/");
    cluster.only_these_are_broken(&BTreeSet::new());
    cluster.is_healthy();
    cluster.is_left_clean();
}

#[test]
fn a_once_reader_that_is_not_restarted_refuses_what_the_simulation_says_and_nothing_else() {
    let cluster = Cluster::new();
    let [new, forgotten, _] = cluster.nodes.as_slice() else { panic!() };
    new.run(AUTHORITY);
    let text = std::fs::read(new.disk(&format!("{OTHER}.crt"))).unwrap();
    let other: Certificate = pem::read(&text).certificates().next().unwrap().clone();
    let survey = cluster.survey();
    let address = format!("etcd-peer@{}", new.name);
    let rotation = |restarts: &dyn Fn(&Node) -> bool| {
        // Both authorities are trusted everywhere, and then one member shows the new one.
        let mut plan = cluster.plan(&survey, std::slice::from_ref(&address));
        let issue = issued(&mut plan, &address);
        issue.issuer = Some(*other.fingerprint());
        (issue.signer_certificate, issue.signer_key) = (format!("{OTHER}.crt"), format!("{OTHER}.key"));
        let trusting = cluster.nodes.iter().map(|node| trusting(&survey, node, &other, restarts(node)));
        plan.visits = trusting.chain(plan.visits).collect();
        for (number, action) in (1..).zip(plan.visits.iter_mut().flat_map(|visit| &mut visit.actions)) {
            action.number = number;
            // They were worked out for a plan that does not write the bundles before.
            action.preconditions.clear();
        }
        plan
    };
    assert_eq!(named(&rotation(&|_| true), &survey), BTreeSet::new(), "without the fault it is in order");
    let mut plan = rotation(&|node| node.name != forgotten.name);
    let expected = named(&plan, &survey);
    let (one, two) = (new.name.clone(), forgotten.name.clone());
    assert_eq!(expected, BTreeSet::from([(one.clone(), two.clone()), (two, one)]));
    let text = String::from_utf8(text).unwrap();
    for node in &cluster.nodes {
        let file = node.disk("etc/etcd/pki/ca.crt");
        let old = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{old}{text}")).unwrap();
        if node.name != forgotten.name {
            node.run("systemctl restart etcd");
            cluster.is_healthy();
        }
    }
    by_hand(new, OTHER, issued(&mut plan, &address));
    cluster.reconnect(new, &cluster.nodes[2]);
    cluster.only_these_are_broken(&expected);
    cluster.clients_work();
    // The restart that was forgotten mends it, as the simulation says.
    forgotten.run("systemctl restart etcd");
    cluster.only_these_are_broken(&BTreeSet::new());
    cluster.is_healthy();
    cluster.is_left_clean();
}

/// A visit after which a member's file has both authorities, and the member too if it `restarts`.
fn trusting(survey: &Survey, node: &Node, other: &Certificate, restarts: bool) -> PlannedTransaction {
    let name: NodeName = node.name.parse().unwrap();
    let file = survey.desired.nodes[&name].authorities["etcd-ca"].certificate.clone();
    let text = std::fs::read(node.disk(&file.path)).unwrap();
    let mut certificates: Vec<Certificate> = pem::read(&text).certificates().cloned().collect();
    certificates.push(other.clone());
    let bundle = Bundle::Known(certificates.try_into().unwrap());
    let bundle = Deed::WriteBundle { file, bundle, before: Vec::new() };
    let restart = Deed::Restart {
        how: RestartMethod::Systemd { unit: "etcd.service".to_owned() },
        timeout: Duration::from_seconds(60),
    };
    let mut deeds = vec![(Target::Authority("etcd-ca".parse().unwrap()), bundle)];
    if restarts {
        deeds.push((Target::Service("etcd".parse().unwrap()), restart));
    }
    let actions = deeds.into_iter().map(|(subject, deed)| {
        let address = Address::on(subject, &name);
        Action {
            number: 0,
            undo: deed.traits(&address).undo,
            address,
            deed,
            reasons: Vec::new(),
            preconditions: Vec::new(),
            disruption: Disruption::None,
            after: Vec::new(),
        }
    });
    PlannedTransaction {
        number: 0,
        phase: Phase::Ordinary,
        with_previous: false,
        place: name.clone().into(),
        actions: actions.collect(),
    }
}
