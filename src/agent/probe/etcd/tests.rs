//! A real etcd of three members on this machine. Left out where the program `etcd` is not installed; `tests/run` installs it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use jiff::Timestamp;
use tempfile::TempDir;

use super::super::tests::make;
use super::*;
use crate::agent::Local;
use crate::protocol::facts::{EndpointQuestion, LiveRequest, NodeFacts, ObserveRequest, ServiceQuestion};
use crate::protocol::node::Inspect as _;

/// The members of a cluster, which end with this value.
pub(crate) struct Members {
    pub(crate) folder: TempDir,
    pub(crate) ports: Vec<u16>,
    pub(crate) running: Vec<Child>,
}

impl Members {
    /// Three members with certificates of one CA; nothing where there is no etcd.
    pub(crate) fn start() -> Option<Self> {
        Command::new("etcd").arg("--version").stdout(Stdio::null()).status().ok()?;
        let folder = tempfile::tempdir().unwrap();
        make(folder.path(), "ca", "/CN=etcd-ca", None);
        make(folder.path(), "member", "/CN=member", Some("ca"));
        make(folder.path(), "stranger", "/CN=stranger", None);
        // All six are held until all are known, so that they differ.
        let held: Vec<TcpListener> = (0..6).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports = held.iter().map(|socket| socket.local_addr().unwrap().port()).collect();
        drop(held);
        let mut members = Self { folder, ports, running: Vec::new() };
        members.running = (0..3).map(|index| members.spawn(index)).collect();
        Some(members)
    }

    fn url(&self, port: usize) -> String {
        format!("https://127.0.0.1:{}", self.ports[port])
    }

    pub(crate) fn spawn(&self, index: usize) -> Child {
        let cluster: Vec<String> = (0..3).map(|index| format!("m{index}={}", self.url(index + 3))).collect();
        let (client, peer) = (self.url(index), self.url(index + 3));
        let mut etcd = Command::new("etcd");
        etcd.args(["--name", &format!("m{index}"), "--data-dir", &format!("data-{index}")]);
        etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        etcd.args(["--listen-peer-urls", &peer, "--initial-advertise-peer-urls", &peer]);
        etcd.args(["--initial-cluster", &cluster.join(","), "--client-cert-auth", "--peer-client-cert-auth"]);
        for prefix in ["--", "--peer-"] {
            etcd.args([format!("{prefix}cert-file"), "member.crt".to_owned()]);
            etcd.args([format!("{prefix}key-file"), "member.key".to_owned()]);
            etcd.args([format!("{prefix}trusted-ca-file"), "ca.crt".to_owned()]);
        }
        etcd.current_dir(self.folder.path()).stdin(Stdio::null()).stdout(Stdio::null());
        etcd.stderr(Stdio::null()).spawn().unwrap()
    }

    /// What the node of the first member says, asked with a certificate of this name.
    fn ask(&self, certificate: &str) -> NodeFacts {
        let port = self.ports[0];
        let file = |ending: &str| path(self.folder.path(), &format!("{certificate}.{ending}"));
        let endpoint = EndpointQuestion { port, addresses: Vec::new(), serves: None, server_name: None };
        let service = ServiceQuestion { unit: None, endpoints: vec![endpoint] };
        let etcd = EtcdQuestion {
            service: "etcd".parse().unwrap(),
            port,
            certificate: file("crt"),
            key: file("key"),
        };
        let live = LiveRequest {
            services: [(etcd.service.clone(), service)].into(),
            etcd: Some(etcd),
            ..LiveRequest::default()
        };
        let request = ObserveRequest { live, ..ObserveRequest::default() };
        Local::new(None, Timestamp::now).observe(&request).unwrap()
    }

    /// What the node says once it says what is waited for.
    pub(crate) fn ask_until(&self, is_so: impl Fn(&EtcdFacts) -> bool) -> EtcdFacts {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let facts = self.ask("member").etcd;
            match facts.shown() {
                Some(etcd) if is_so(etcd) => return etcd.clone(),
                Some(_) | None => assert!(Instant::now() < deadline, "{facts:?}"),
            }
        }
    }

    pub(crate) fn kill(&mut self, index: usize) {
        self.running[index].kill().unwrap();
        self.running[index].wait().unwrap();
    }
}

impl Drop for Members {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _killed = child.kill().and_then(|()| child.wait());
        }
    }
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_str().unwrap().to_owned()
}

fn answering(etcd: &EtcdFacts) -> usize {
    etcd.members.values().filter(|member| member.status.shown().is_some()).count()
}

#[test]
fn an_election_is_waited_for_and_is_no_lost_quorum() {
    let member = |leader: Option<EtcdId>| {
        let status = MemberStatus {
            version: "3.5.0".to_owned(),
            leader,
            raft_term: 2,
            raft_index: 7,
            raft_applied_index: 7,
            database_bytes: 1,
            alarms: Vec::new(),
        };
        let (name, urls, is_learner) = ("m0".to_owned(), Vec::new(), false);
        let status = Seen::Present(status);
        let own = MemberFacts { name, peer_urls: urls.clone(), client_urls: urls, is_learner, status };
        EtcdFacts { cluster: EtcdId(1), member: EtcdId(1), members: [(EtcdId(1), own)].into() }
    };
    let long = Instant::now() + Duration::from_secs(600);
    let mut answers = vec![Ok(member(Some(EtcdId(2)))), Ok(member(None)), Ok(member(None))];
    assert_eq!(once_elected(|| answers.pop().unwrap(), long), Ok(member(Some(EtcdId(2)))));
    assert!(answers.is_empty());
    // One that follows is not asked twice, and what a later answer says counts as well where it is an error.
    let mut answers = vec![Err("not asked".to_owned()), Ok(member(Some(EtcdId(2))))];
    assert_eq!(once_elected(|| answers.pop().unwrap(), long), Ok(member(Some(EtcdId(2)))));
    let mut answers = vec![Err("refused".to_owned()), Ok(member(None))];
    assert_eq!(once_elected(|| answers.pop().unwrap(), long), Err("refused".to_owned()));
    // A lost quorum is told after a while.
    let mut asked = 0;
    let none = once_elected(
        || {
            asked += 1;
            Ok(member(None))
        },
        Instant::now() + 3 * PAUSE,
    );
    assert_eq!(none, Ok(member(None)));
    assert!(asked >= 2);
}

#[test]
fn a_real_cluster_tells_its_members_its_leader_and_where_their_logs_are() {
    let Some(mut members) = Members::start() else { return };
    let is_whole = |etcd: &EtcdFacts| {
        let mut statuses = etcd.members.values().map(|member| member.status.shown());
        statuses
            .all(|status| status.is_some_and(|status| status.leader.is_some() && status.alarms.is_empty()))
    };
    let etcd = members.ask_until(is_whole);
    let names: Vec<&str> = etcd.members.values().map(|member| member.name.as_str()).collect();
    assert_eq!(names.len(), 3);
    assert!(["m0", "m1", "m2"].iter().all(|name| names.contains(name)), "{names:?}");
    assert_eq!(etcd.members[&etcd.member].name, "m0");
    assert_eq!(etcd.members[&etcd.member].client_urls, [members.url(0)]);
    assert_eq!(etcd.members[&etcd.member].peer_urls, [members.url(3)]);
    let own = etcd.own_status().unwrap();
    assert!(etcd.members.contains_key(&own.leader.unwrap()));
    assert!(own.raft_index > 0 && own.raft_applied_index > 0 && own.raft_term > 0, "{own:?}");
    assert!(own.version.starts_with("3.") && own.database_bytes > 0, "{own:?}");
    let text = serde_json::to_string(&etcd).unwrap();
    assert_eq!(serde_json::from_str::<EtcdFacts>(&text).unwrap(), etcd);

    // One that is dead is known, and what it would say is not.
    members.kill(2);
    let etcd = members.ask_until(|etcd| answering(etcd) == 2);
    let dead = etcd.members.values().find(|member| member.name == "m2").unwrap();
    let reason = format!("127.0.0.1:{}: Connection refused", members.ports[2]);
    assert_eq!(dead.status, Seen::Unknown { reason });

    // Without a quorum a member still tells of its cluster, and that nobody leads it.
    members.kill(1);
    let alone = members.ask_until(|etcd| {
        etcd.own_status().is_some_and(|status| status.leader.is_none() && !status.alarms.is_empty())
    });
    assert_eq!((alone.members.len(), answering(&alone)), (3, 1));
    assert_eq!(alone.own_status().unwrap().alarms, ["etcdserver: no leader"]);

    // A certificate that etcd does not accept, one that is not there, and no etcd at all.
    let Seen::Unknown { reason } = members.ask("stranger").etcd else { panic!() };
    // Which of its words depends on who is faster: the server that says why, or the client that finds the connection closed.
    assert!(!reason.is_empty());
    let Seen::Unknown { reason } = members.ask("nobody").etcd else { panic!() };
    assert!(reason.ends_with("nobody.crt is not there, and etcd cannot be asked without it"), "{reason}");
    members.kill(0);
    let nothing = Seen::Unknown { reason: "etcd does not listen for clients".to_owned() };
    assert_eq!(members.ask("member").etcd, nothing);
}
