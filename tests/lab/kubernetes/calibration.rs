//! The simulation beside real components: what the reload table says of each file is what kube-apiserver, kube-controller-manager, kube-scheduler and kubelet do when it is
//! changed and nobody restarts them.
//!
//! The table is read from the built-in profile, so that a wrong row of it fails here. All files are changed, on several nodes at once, and everything is looked at for as long
//! as an API server may take to look at its files (60 s in 1.20) and a little more. What was not taken up until then has to be after a restart; then all is put back, and each
//! sign has to say that too. The rows of etcd are looked at in the other lab.

mod bench;

use std::time::Duration;

use bench::{Bench, Part, STARTED, at_once, logged, patiently, restart};
use jiff::Timestamp;
use pki::profile::{Profile, Reload, What};
use pki::types::profile_name::ProfileName;
use pki::types::scalars::KubernetesVersion;

use crate::cluster::Cluster;
use crate::is_left_out;
use crate::judges::{files, running};
use crate::nodes::Node;

/// As long as a process may take that looks at its files every minute.
const BOUND: Duration = Duration::from_secs(75);
/// As long as a process may take that looks at them when it connects, or when they change: what shows it takes its time too.
const AT_ONCE: Duration = Duration::from_secs(10);

const API: &str = "kube-apiserver";
const CONTROLLERS: &str = "kube-controller-manager";
const SCHEDULER: &str = "kube-scheduler";
const KUBELET: &str = "kubelet";

/// By what it is seen whether a process uses what lies on disk.
#[derive(Debug, Clone, Copy)]
enum Sign {
    /// A command of `signs.sh` ends well.
    Command(&'static str),
    /// Once it has what was changed it logs that it is refused, or that it refuses the other side.
    Logs(&'static str),
}

/// A row of the reload table, and where and by what it is looked at.
struct Row<'a> {
    service: &'static str,
    what: What,
    said: Reload,
    node: &'a Node,
    sign: Sign,
}

impl Row<'_> {
    fn words(&self) -> String {
        let (what, said) = (what(&self.what), reload(self.said));
        format!("{:23} {what:35} {said:17}", self.service)
    }

    /// Whether the process uses what lies on disk, which was `changed` since then, or is what it was.
    fn is_up_to_date(&self, bench: &Bench, since: Timestamp, changed: bool) -> bool {
        match self.sign {
            Sign::Command(command) => bench.is_so(self.node, command),
            Sign::Logs(words) => logged(self.node, self.service, since).contains(words) == changed,
        }
    }

    /// It comes to use what lies on disk.
    fn becomes_up_to_date(&self, bench: &Bench, since: Timestamp, changed: bool) {
        let is = patiently(STARTED, || self.is_up_to_date(bench, since, changed)).is_some();
        let found = || match self.sign {
            Sign::Command(command) => format!("{:?}", bench.beside(self.node, command)),
            Sign::Logs(_) => logged(self.node, self.service, since),
        };
        assert!(is, "{} on {}, {:?}: {}", self.words(), self.node.name, self.sign, found());
    }

    /// How long after the change it was seen to use it, if nobody restarts it.
    fn seen(&self, bench: &Bench, since: Timestamp) -> Option<Duration> {
        if self.said == Reload::Start {
            std::thread::sleep(BOUND);
            return self.is_up_to_date(bench, since, true).then_some(BOUND);
        }
        patiently(BOUND, || self.is_up_to_date(bench, since, true))
    }
}

/// Whether what was seen is what the table says. Who looks now and then may look at once.
fn is_as_said(said: Reload, seen: Option<Duration>) -> bool {
    match (said, seen) {
        (Reload::Start, seen) => seen.is_none(),
        (Reload::Handshake | Reload::Watch, seen) => seen.is_some_and(|after| after <= AT_ONCE),
        (Reload::Poll(_), seen) => seen.is_some(),
    }
}

fn what(what: &What) -> String {
    match what {
        What::Identity(identity) => identity.to_string(),
        What::Trust(authority) => format!("trust in {authority}"),
        What::Signer(authority) => format!("{authority}, to sign with"),
        What::KubeconfigTrust(kubeconfig) => format!("trust of {kubeconfig}"),
        What::KeyPair(pair) => format!("key pair {pair}"),
    }
}

fn reload(reload: Reload) -> String {
    match reload {
        Reload::Start => "at its start".to_owned(),
        Reload::Handshake => "when it connects".to_owned(),
        Reload::Watch => "when it changes".to_owned(),
        Reload::Poll(period) => format!("within {period}"),
    }
}

/// The table of this version.
struct Table {
    profile: Profile,
    version: KubernetesVersion,
}

impl Table {
    fn says(&self, service: &str, what: &What) -> Reload {
        let mut reads = self.profile.services[service].reads.iter();
        reads.find(|read| read.what == *what).unwrap().reload(Some(self.version))
    }

    /// Each row, and by what it is seen; the client of etcd is looked at by itself.
    fn rows<'a>(&self, leader: &'a Node, others: [&'a Node; 2], workers: [&'a Node; 2]) -> Vec<Row<'a>> {
        let row =
            |service, what, node, sign| Row { service, said: self.says(service, &what), what, node, sign };
        let by = |service, what, node, command| row(service, what, node, Sign::Command(command));
        let refused = |service, what, node| row(service, what, node, Sign::Logs("Unauthorized"));
        let refuses = |service, what, node| {
            row(service, what, node, Sign::Logs("certificate signed by unknown authority"))
        };
        let [one, two] = others;
        vec![
            by(API, identity("apiserver"), leader, "serves 6443 $PKI/apiserver.crt"),
            by(API, trust("ca"), leader, "knows_other $ADDRESS:6443 /api"),
            by(API, trust("front-proxy-ca"), leader, "knows_other_proxy $ADDRESS:6443 /api"),
            by(API, identity("front-proxy-client"), leader, "shows_aggregated $PKI/front-proxy-client.crt"),
            by(
                API,
                identity("apiserver-kubelet-client"),
                leader,
                "shows_kubelet $PKI/apiserver-kubelet-client.crt",
            ),
            row(API, trust("etcd-ca"), one, Sign::Logs("authentication handshake failed")),
            by(API, key_pair("sa"), leader, "verifies"),
            by(API, key_pair("sa"), leader, "signs_requested_tokens"),
            refused(CONTROLLERS, identity("controller-manager.conf"), one),
            refuses(CONTROLLERS, kubeconfig("controller-manager.conf"), two),
            by(CONTROLLERS, trust("ca"), leader, "publishes"),
            // In three ways it reads that file, of which the table has the slowest one. This is how it checks clients.
            Row {
                said: self.says(CONTROLLERS, &trust("front-proxy-ca")),
                ..by(CONTROLLERS, trust("ca"), leader, "knows_other 127.0.0.1:10257 /metrics")
            },
            by(CONTROLLERS, What::Signer("ca".parse().unwrap()), leader, "signs"),
            by(CONTROLLERS, trust("front-proxy-ca"), leader, "knows_other_proxy 127.0.0.1:10257 /metrics"),
            by(CONTROLLERS, key_pair("sa"), leader, "signs_kept_tokens"),
            refused(SCHEDULER, identity("scheduler.conf"), one),
            refuses(SCHEDULER, kubeconfig("scheduler.conf"), two),
            refused(KUBELET, identity("kubelet.conf"), workers[0]),
            refuses(KUBELET, kubeconfig("kubelet.conf"), workers[1]),
            by(KUBELET, trust("ca"), workers[0], "knows_other $ADDRESS:10250 /healthz"),
            by(KUBELET, identity("kubelet-serving"), workers[1], "serves 10250 $SERVING"),
        ]
    }

    /// Nothing that the table says is left out.
    fn is_covered_by(&self, rows: &[Row<'_>]) {
        for service in [API, CONTROLLERS, SCHEDULER, KUBELET] {
            for read in &self.profile.services[service].reads {
                let is_of = |row: &&Row<'_>| row.service == service && row.what == read.what;
                let is_seen =
                    rows.iter().any(|row| is_of(&row)) || read.what == identity("apiserver-etcd-client");
                assert!(is_seen, "a row of the table without a sign: {service}: {:?}", read.what);
            }
        }
    }
}

fn identity(name: &str) -> What {
    What::Identity(name.parse().unwrap())
}

fn trust(name: &str) -> What {
    What::Trust(name.parse().unwrap())
}

fn kubeconfig(name: &str) -> What {
    What::KubeconfigTrust(name.parse().unwrap())
}

fn key_pair(name: &str) -> What {
    What::KeyPair(name.parse().unwrap())
}

/// An API server is to show etcd another pair, which is a stranger's: how long after it had to connect anew it was refused. It is not restarted.
fn seen_of_the_client_of_etcd(bench: &Bench, node: &Node) -> Option<Duration> {
    let reaches = || bench.is_so(node, "kubectl_there get --raw /readyz/etcd");
    let before = running([node]);
    let root = node.disk("");
    bench.change(&root, "keep $MADE/pair $PKI/apiserver-etcd-client.*");
    bench.change(&root, "renew $PKI/apiserver-etcd-client $MADE/stranger clientAuth");
    assert!(reaches(), "connections that stand do not look at certificates");
    bench.sever(node, 2379);
    let seen = patiently(BOUND, || !reaches());
    bench.change(&root, "put_back $MADE/pair");
    bench.sever(node, 2379);
    assert!(patiently(BOUND, reaches).is_some(), "it does not take up what is put back");
    let program = format!("{API}@{}", node.name);
    assert_eq!(running([node]).get(&program), before.get(&program), "nobody has restarted it");
    seen
}

/// A kubelet asks the cluster for its serving certificate, and has it.
fn let_kubelet_ask_for_what_it_serves(bench: &Bench, cluster: &Cluster, node: &Node) {
    node.run(
        "cp -a /var/lib/kubelet/config.yaml /root/kubelet-config; \
         echo 'serverTLSBootstrap: true' >>/var/lib/kubelet/config.yaml; systemctl restart kubelet",
    );
    let has_it = || {
        cluster.kubectl("get csr -o name | xargs -r kubectl certificate approve");
        bench.is_so(node, "serves 10250 $SERVING")
    };
    assert!(patiently(STARTED, has_it).is_some(), "{} has no serving certificate", node.name);
}

fn let_kubelet_serve_what_it_makes(node: &Node) {
    node.run(
        "mv /root/kubelet-config /var/lib/kubelet/config.yaml; rm /var/lib/kubelet/pki/kubelet-server-*; \
         systemctl restart kubelet",
    );
}

/// On which node the controller-manager runs that leads now, not the one that led before a restart.
fn leader(cluster: &Cluster) -> &Node {
    let since = Timestamp::now();
    let lease = "-n kube-system get lease kube-controller-manager \
                 -o jsonpath='{.spec.holderIdentity} {.spec.renewTime}'";
    let mut leads = None;
    let is_seen = patiently(STARTED, || {
        let said = cluster.kubectl(lease);
        let (holder, renewed) = said.trim().split_once(' ').unwrap();
        let name = holder.split('_').next().unwrap();
        leads = cluster.planes.iter().find(|node| node.name == name);
        renewed.parse::<Timestamp>().unwrap() >= since
    });
    assert!(is_seen.is_some(), "no controller-manager leads");
    leads.unwrap()
}

fn beside<'a>(cluster: &'a Cluster, leader: &Node) -> [&'a Node; 2] {
    let others: Vec<&Node> = cluster.planes.iter().filter(|node| node.name != leader.name).collect();
    others.try_into().ok().unwrap()
}

fn parts<'a>(leader: &'a Node, [one, two]: [&'a Node; 2], workers: [&'a Node; 2]) -> [Part<'a>; 5] {
    [
        Part {
            node: leader,
            change: "renew $PKI/apiserver $PKI/ca serverAuth; renew $PKI/apiserver-kubelet-client $PKI/ca clientAuth; \
                     renew $PKI/front-proxy-client $PKI/front-proxy-ca clientAuth; extend_ca; \
                     also_trust $PKI/ca.crt $MADE/other; also_trust $PKI/front-proxy-ca.crt $MADE/front; \
                     other_service_account_key",
            sever: &[],
            services: &[API, CONTROLLERS],
            last: &[],
        },
        Part {
            node: one,
            change: "client_of $KUBERNETES/controller-manager.conf $MADE/stranger; client_of $KUBERNETES/scheduler.conf $MADE/stranger; \
                     put $MADE/stranger.crt $PKI/etcd/ca.crt",
            sever: &[6443, 2379],
            services: &[CONTROLLERS, SCHEDULER],
            last: &[API],
        },
        Part {
            node: two,
            change: "trusting_a_stranger $KUBERNETES/controller-manager.conf; \
                     trusting_a_stranger $KUBERNETES/scheduler.conf",
            sever: &[6443],
            services: &[CONTROLLERS, SCHEDULER],
            last: &[],
        },
        Part {
            node: workers[0],
            change: "kubelet_of_a_stranger; also_trust $PKI/ca.crt $MADE/other",
            sever: &[6443],
            services: &[KUBELET],
            last: &[],
        },
        Part {
            node: workers[1],
            change: "trusting_a_stranger $KUBERNETES/kubelet.conf; another_serving_certificate",
            sever: &[6443],
            services: &[KUBELET],
            last: &[],
        },
    ]
}

#[test]
fn each_row_of_the_reload_table_is_what_real_components_do() {
    if is_left_out("each row of the reload table") {
        return;
    }
    let cluster = Cluster::up();
    let before = files(&cluster);
    let version = cluster.planes[0].run("kubeadm version -o short").trim().parse().unwrap();
    let table = Table { profile: Profile::load(ProfileName::Kubeadm).unwrap(), version };
    let first = leader(&cluster);
    let (others, workers) = (beside(&cluster, first), [&cluster.workers[0], &cluster.workers[1]]);
    let (rows, parts) = (table.rows(first, others, workers), parts(first, others, workers));
    table.is_covered_by(&rows);
    let mut bench = Bench::new();
    let_kubelet_ask_for_what_it_serves(&bench, &cluster, workers[1]);
    let client = identity("apiserver-etcd-client");
    let of_etcd = Row {
        said: table.says(API, &client),
        what: client,
        service: API,
        node: others[0],
        sign: Sign::Command("by itself"),
    };
    let of_etcd = (&of_etcd, seen_of_the_client_of_etcd(&bench, others[0]));
    bench.start_witnesses(first);
    let bench = &bench;
    at_once(&rows, |row| row.becomes_up_to_date(bench, Timestamp::now(), false));

    // Nobody restarts anything.
    let since = Timestamp::now();
    at_once(&parts, |part| part.change(bench));
    let seen = at_once(&rows, |row| row.seen(bench, since));
    let seen: Vec<_> = rows.iter().zip(seen).chain([of_etcd]).collect();
    for (row, seen) in &seen {
        let seen = seen.map_or("at its start".to_owned(), |after| format!("{:.0} s", after.as_secs_f64()));
        println!("{} {seen}", row.words());
    }
    let wrong = seen.iter().filter(|(row, seen)| !is_as_said(row.said, *seen));
    let wrong: Vec<String> = wrong.map(|(row, _)| row.words()).collect();

    // What was not taken up is after a restart. A controller-manager does not start with two certificates to sign with.
    bench.change(&first.disk(""), "extend_ca");
    let at_start = |last: bool| {
        let is_last = |row: &&Row<'_>| row.what == trust("etcd-ca");
        let rows = rows.iter().filter(|row| row.said == Reload::Start && is_last(row) == last);
        rows.collect::<Vec<_>>()
    };
    let since = Timestamp::now();
    at_once(&parts, Part::restart);
    at_once(&at_start(false), |row| row.becomes_up_to_date(bench, since, true));
    let since = Timestamp::now();
    parts.iter().for_each(|part| restart(part.node, part.last));
    at_once(&at_start(true), |row| row.becomes_up_to_date(bench, since, true));

    at_once(&parts, |part| part.put_back(bench));
    let since = Timestamp::now();
    let now = leader(&cluster);
    let of_leader = table.rows(now, beside(&cluster, now), workers);
    let of_leader = of_leader.into_iter().filter(|row| row.service == CONTROLLERS);
    let rows: Vec<Row<'_>> =
        rows.into_iter().filter(|row| row.service != CONTROLLERS).chain(of_leader).collect();
    at_once(&rows, |row| row.becomes_up_to_date(bench, since, false));
    bench.remove(first);
    let_kubelet_serve_what_it_makes(workers[1]);
    cluster.is_ready();
    assert_eq!(files(&cluster), before);
    cluster.nothing_is_to_be_done();
    cluster.is_left_clean();
    assert!(wrong.is_empty(), "the table says otherwise: {wrong:#?}");
}
