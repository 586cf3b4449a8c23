//! Gates looked for at real servers on this machine: of the openssl program, of this process, and a real etcd where it is installed.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use tempfile::TempDir;

use super::*;
use crate::agent::Local;
use crate::agent::local::host::tests::{Node, begin};
use crate::agent::probe::etcd::tests::Members;
use crate::agent::probe::tests::{Server, certificates, make, make_with};
use crate::protocol::command::{Begin, ReadCommand};
use crate::protocol::error::HostError;
use crate::protocol::health_check::{Call, Shown, Trusted};
use crate::protocol::node::Host as _;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// Why a gate does not hold on this machine; none when it holds.
fn failing(gate: &HealthCheck) -> Option<String> {
    let mut node = Local::new(None, Timestamp::now);
    let question = ReadCommand::Await {
        gates: [gate.clone()].into(),
        kept: BTreeSet::new(),
        settle_seconds: 0,
        timeout_seconds: 0,
        links: Default::default(),
    };
    let error = node.ask(question).err()?.to_string();
    let words = error.strip_prefix(&format!("not healthy within 0 s: not so: {gate} (")).unwrap();
    Some(words.strip_suffix(')').unwrap().to_owned())
}

fn http(tls: bool, port: u16) -> HealthCheck {
    HealthCheck::Http { tls, address: LOOPBACK, port, path: "/healthz".to_owned() }
}

/// A server that answers one request with these bytes, and then for ever with nothing but zeros if it is to.
fn answering(answer: &'static str, forever: bool) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut asked = [0; 4096];
        let count = stream.read(&mut asked).unwrap();
        let asked = String::from_utf8_lossy(&asked[..count]).into_owned();
        assert!(asked.starts_with("GET /healthz HTTP/1.1\r\nhost: 127.0.0.1:"), "{asked}");
        stream.write_all(answer.as_bytes()).unwrap();
        while forever && stream.write_all(&[0; 4096]).is_ok() {}
    });
    port
}

#[test]
fn a_path_that_answers_200_holds_and_any_other_answer_is_told() {
    assert_eq!(
        failing(&http(false, answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false))),
        None
    );
    let broken = "HTTP/1.1 500 Internal Server Error\r\n\r\n[+]ping ok\n[-]etcd failed: reason withheld\nreadyz check failed\n";
    assert_eq!(
        failing(&http(false, answering(broken, false))).unwrap(),
        "it answers 500 Internal Server Error: [-]etcd failed: reason withheld"
    );
    for (answer, words) in [
        ("HTTP/1.1 401 Unauthorized\r\n\r\n", "it answers 401 Unauthorized"),
        ("HTTP/1.1 302 Found\r\nlocation: /\r\n\r\n", "it answers 302 Found"),
        ("", "it ends the connection"),
    ] {
        assert_eq!(failing(&http(false, answering(answer, false))).unwrap(), words);
    }
    assert!(failing(&http(false, answering("SSH-2.0-x\r\n", false))).is_some());
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    assert_eq!(failing(&http(false, free)).unwrap(), "Connection refused");
}

#[test]
fn an_api_server_is_ready_when_it_says_so_and_when_strangers_may_not_ask_it() {
    for (status, held) in [
        ("200 OK", None),
        ("401 Unauthorized", None),
        ("403 Forbidden", None),
        ("500 Internal Server Error", Some("it answers 500 Internal Server Error")),
        ("404 Not Found", Some("it answers 404 Not Found")),
    ] {
        let answer = format!("HTTP/1.1 {status}\r\n\r\n");
        let port = answering(Box::leak(answer.into_boxed_str()), false);
        let asked = answers(None, (LOOPBACK, port), "/healthz", &STRANGERS_REFUSED);
        assert_eq!(asked.err().as_deref(), held);
    }
}

#[test]
fn what_held_before_a_transaction_counts_in_it_and_not_beside_it() {
    let node = Node::new();
    // It answers once, which is before anything is touched.
    let gate = http(false, answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok", false));
    let question = || ReadCommand::Await {
        gates: BTreeSet::new(),
        kept: [gate.clone()].into(),
        settle_seconds: 0,
        timeout_seconds: 0,
        links: Default::default(),
    };
    let mut local = node.local();
    local.ask(question()).unwrap();
    local.begin(&Begin { gates: [gate.clone()].into(), ..begin("7f3a-91c2", 1, &["/data/a"]) }).unwrap();
    let error = local.ask(question()).unwrap_err();
    assert!(matches!(error, HostError::NotHealthy { .. }), "{error}");
    local.commit().unwrap();
    local.ask(question()).unwrap();
}

#[test]
fn an_answer_without_an_end_is_given_up() {
    let told = failing(&http(false, answering("HTTP/1.1 503 Not Now\r\n\r\n", true))).unwrap();
    assert!(told.starts_with("it answers 503 ") && told.len() < 300, "{told}");
    let begun = Instant::now();
    assert!(failing(&http(false, answering("HTTP/1.1 200 OK\r\nx: ", true))).is_some());
    assert!(begun.elapsed() < LOOK * 2);
}

#[test]
fn a_path_behind_tls_is_asked_whatever_certificate_the_server_has() {
    let folder = certificates();
    let server = Server::start(&folder, &["-tls1_3"]);
    assert_eq!(failing(&http(true, server.address.port())), None);
    let told = failing(&http(false, server.address.port()));
    assert!(told.is_some(), "without TLS");
}

fn call(folder: &TempDir, port: u16, client: &str, trust: &str) -> Call {
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    Call {
        host: "127.0.0.1".to_owned(),
        port,
        server_name: None,
        shows: Shown::Files {
            certificate: file(&format!("{client}.crt")),
            key: file(&format!("{client}.key")),
        },
        trusts: Some(Trusted::File { path: file(&format!("{trust}.crt")) }),
        is_peer: false,
    }
}

fn accepts(call: Call) -> Option<String> {
    failing(&HealthCheck::Accepts(Box::new(call)))
}

#[test]
fn a_client_certificate_is_accepted_or_it_is_told_who_refuses_whose() {
    let folder = certificates();
    make(folder.path(), "client", "/CN=etcd-client", Some("ca"));
    make(folder.path(), "stranger", "/CN=stranger", None);
    for version in ["-tls1_2", "-tls1_3"] {
        let wants = [version, "-Verify", "1", "-verify_return_error", "-CAfile", "ca.crt"];
        let server = Server::start(&folder, &wants);
        let port = server.address.port();
        assert_eq!(accepts(call(&folder, port, "client", "ca")), None, "{version}");
        let told = accepts(call(&folder, port, "stranger", "ca")).unwrap();
        assert!(
            told.contains("stranger.crt (CN=stranger, names 127.0.0.1, issued by CN=stranger, until 20")
                && told.contains("shown from 127.0.0.1"),
            "{told}"
        );
        let told = accepts(call(&folder, port, "client", "stranger")).unwrap();
        assert!(
            told.starts_with("it shows CN=server (sha256:") && told.contains("which is not accepted here: "),
            "{told}"
        );
        let by_name =
            Call { server_name: Some("etcd.example".to_owned()), ..call(&folder, port, "client", "ca") };
        let told = accepts(by_name).unwrap();
        assert!(told.ends_with("it is not for etcd.example"), "{told}");
        let unchecked = Call { trusts: None, ..call(&folder, port, "client", "ca") };
        assert_eq!(accepts(unchecked), None);
    }
    let told = accepts(call(&folder, 1, "nobody", "ca")).unwrap();
    assert!(told.ends_with("nobody.crt is not there"), "{told}");
}

#[test]
fn the_user_of_a_kubeconfig_is_shown_whether_it_is_in_the_file_or_beside_it() {
    let folder = certificates();
    make(folder.path(), "client", "/CN=admin", Some("ca"));
    let server = Server::start(&folder, &["-Verify", "1", "-verify_return_error", "-CAfile", "ca.crt"]);
    let data = |name: &str| STANDARD.encode(std::fs::read(folder.path().join(name)).unwrap());
    let config = |cluster: &str, user: &str| {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: x\ncontexts: [{{ name: x, context: {{ cluster: c, user: u }} }}]\n\
             clusters: [{{ name: c, cluster: {{ server: \"https://127.0.0.1\", {cluster} }} }}]\nusers: [{{ name: u, user: {{ {user} }} }}]\n"
        )
    };
    let embedded = config(
        &format!("certificate-authority-data: {}", data("ca.crt")),
        &format!("client-certificate-data: {}, client-key-data: {}", data("client.crt"), data("client.key")),
    );
    let beside =
        config("certificate-authority: ca.crt", "client-certificate: client.crt, client-key: client.key");
    for text in [embedded, beside] {
        let file = folder.path().join("admin.conf").to_str().unwrap().to_owned();
        std::fs::write(&file, text).unwrap();
        let asked = Call {
            shows: Shown::Kubeconfig { file: file.clone() },
            trusts: Some(Trusted::Kubeconfig { file }),
            ..call(&folder, server.address.port(), "client", "ca")
        };
        assert_eq!(accepts(asked), None);
    }
}

#[test]
fn an_api_server_that_answers_401_has_not_accepted_the_client_and_one_that_answers_403_has() {
    let folder = certificates();
    make(folder.path(), "client", "/CN=admin", Some("ca"));
    // openssl answers with the content of files: the head is the file's own.
    for (head, accepted) in [
        ("HTTP/1.0 401 Unauthorized", false),
        ("HTTP/1.0 403 Forbidden", true),
        ("HTTP/1.0 404 Not Found", true),
        ("HTTP/1.0 503 Service Unavailable", false),
    ] {
        std::fs::write(folder.path().join("version"), format!("{head}\r\n\r\n")).unwrap();
        let server = Server::start(&folder, &["-HTTP"]);
        let told = accepts(call(&folder, server.address.port(), "client", "ca"));
        assert_eq!(told.is_none(), accepted, "{head}: {told:?}");
    }
}

#[test]
fn a_process_is_replaced_when_a_newer_one_listens_and_the_old_one_no_more() {
    let folder = certificates();
    // None that the system gives to others, so that it is free for the second server as well.
    let port = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    let old = Server::start_at(&folder, port, &[]);
    let gate = HealthCheck::Replaced {
        manifest: "/etc/kubernetes/manifests/x.yaml".to_owned(),
        address: LOOPBACK,
        port,
    };
    assert_eq!(failing(&gate).unwrap(), "nothing was restarted");
    let first = before(&gate, None, LOOK).unwrap();
    let told = replaced::is_replaced(&first, (LOOPBACK, port)).unwrap_err();
    assert!(told.ends_with("from before the change still serves it"), "{told}");
    // On the way back the process of the time before may stay.
    let back = before(&gate, Some(&first), LOOK).unwrap();
    assert_eq!(replaced::is_replaced(&back, (LOOPBACK, port)), Ok(()));
    drop(old);
    assert_eq!(replaced::is_replaced(&first, (LOOPBACK, port)).unwrap_err(), "nothing listens");
    let new = Server::start_at(&folder, port, &[]);
    assert_eq!(replaced::is_replaced(&first, (LOOPBACK, port)), Ok(()));
    assert_eq!(behind(&gate), Running::behind(LOOPBACK, port));
    // What has let go of the port and is still there, as an API server with its watches, is this process here.
    let mut lingering = serde_json::to_value(&first).unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let ticks: u64 = stat.rsplit_once(')').unwrap().1.split_whitespace().nth(19).unwrap().parse().unwrap();
    let own = serde_json::json!({ "pid": std::process::id(), "ticks": ticks });
    lingering["processes"].as_array_mut().unwrap().push(own);
    let lingering: Before = serde_json::from_value(lingering).unwrap();
    assert_eq!(replaced::is_replaced(&lingering, (LOOPBACK, port)), Ok(()));
    // A process that has the new files must go when they are taken back.
    let back = before(&gate, Some(&first), LOOK).unwrap();
    assert!(replaced::is_replaced(&back, (LOOPBACK, port)).is_err());
    drop(new);
    let text = serde_json::to_string(&back).unwrap();
    assert_eq!(serde_json::from_str::<Before>(&text).unwrap(), back);
}

#[test]
fn a_server_that_is_started_again_and_again_does_not_hold_however_fast_it_is_back() {
    let folder = certificates();
    let port = 30_000 + u16::try_from(std::process::id() % 2_000).unwrap();
    let mut server = Some(Server::start_at(&folder, port, &[]));
    let gate = HealthCheck::Listens { address: LOOPBACK, port };
    let waiting = std::thread::spawn({
        let gates: BTreeSet<HealthCheck> = [gate.clone()].into();
        move || {
            let tree = Local::new(None, Timestamp::now).tree().unwrap();
            wait(&tree, &gates, Duration::from_secs(4), Duration::from_secs(2))
        }
    });
    while !waiting.is_finished() {
        std::thread::sleep(Duration::from_millis(900));
        drop(server.take());
        server = Some(Server::start_at(&folder, port, &[]));
    }
    let error = waiting.join().unwrap().unwrap_err().to_string();
    assert!(
        error.contains(&format!("not so: {gate} (it does not last: process "))
            && error.contains("was followed by process "),
        "{error}"
    );
    // The one that is there now stays.
    let tree = Local::new(None, Timestamp::now).tree().unwrap();
    wait(&tree, &[gate].into(), Duration::from_secs(1), Duration::from_secs(2)).unwrap();
}

#[test]
fn of_a_server_that_exchanges_its_workers_the_rest_stays_the_same() {
    let processes = |numbers: &[u32]| {
        Running::Processes(
            numbers
                .iter()
                .map(|pid| serde_json::from_value(serde_json::json!({ "pid": pid, "ticks": 7 })).unwrap())
                .collect(),
        )
    };
    assert_eq!(processes(&[1, 2]).common_with(&processes(&[1, 3])), Some(processes(&[1])));
    assert_eq!(processes(&[1, 2]).common_with(&processes(&[3])), None);
    let invocation = |word: &str| Running::Invocation(word.to_owned());
    assert_eq!(invocation("a").common_with(&invocation("a")), Some(invocation("a")));
    assert_eq!(invocation("a").common_with(&invocation("b")), None);
}

#[test]
fn a_real_member_keeps_up_and_takes_a_peer_only_from_an_address_that_it_names() {
    let Some(mut members) = Members::start() else { return };
    members.ask_until(|etcd| {
        etcd.members
            .values()
            .all(|member| member.status.shown().is_some_and(|status| status.leader.is_some()))
    });
    let folder = members.folder.path();
    make_with(folder, "far", "/CN=far", Some("ca"), "IP:192.0.2.1");
    make(folder, "other", "/CN=other-ca", None);
    let file = |name: &str| folder.join(name).to_str().unwrap().to_owned();
    let member = HealthCheck::Etcd {
        address: LOOPBACK,
        port: members.ports[0],
        certificate: file("member.crt"),
        key: file("member.key"),
    };
    assert_eq!(failing(&member), None);
    let peer = |name: &str| Call { is_peer: true, ..call(&members.folder, members.ports[4], name, "ca") };
    assert_eq!(accepts(peer("member")), None);
    let told = accepts(peer("far")).unwrap();
    assert_eq!(
        told,
        format!(
            "it refuses {} (CN=far, names 192.0.2.1, issued by CN=etcd-ca, until {}), shown from 127.0.0.1, after the handshake. An etcd member takes a peer only from an address that the peer's certificate names, and 127.0.0.1 is not among them: add it to the names",
            file("far.crt"),
            until(&file("far.crt")),
        )
    );
    // As a client the same certificate is taken.
    assert_eq!(accepts(call(&members.folder, members.ports[1], "far", "ca")), None);
    assert!(accepts(peer("other")).unwrap().contains("it refuses"));
    members.kill(1);
    members.kill(2);
    members.ask_until(|etcd| etcd.own_status().is_some_and(|own| own.leader.is_none()));
    assert_eq!(failing(&member).unwrap(), "the member has no leader");
}

fn until(path: &str) -> String {
    let text = std::fs::read(path).unwrap();
    let end = pem::read(&text).certificates().next().unwrap().facts().not_after;
    end.strftime("%Y-%m-%d %H:%MZ").to_string()
}
