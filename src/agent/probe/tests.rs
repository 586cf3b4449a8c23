//! Handshakes with real servers on this machine.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::*;
use crate::agent::Local;
use crate::protocol::facts::{ClientCertificate, ObserveRequest, Served, ServiceQuestion};
use crate::protocol::node::Inspect as _;
use crate::x509::Certificate;

/// A directory with a CA and certificates for servers and clients.
pub(crate) fn certificates() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    make(folder.path(), "ca", "/CN=etcd-ca", None);
    make(folder.path(), "server", "/CN=server", Some("ca"));
    make(folder.path(), "loopback", "/CN=apiserver-loopback-client@1", None);
    folder
}

pub(crate) fn make(folder: &Path, name: &str, subject: &str, issuer: Option<&str>) {
    make_with(folder, name, subject, issuer, "IP:127.0.0.1");
}

/// The same with other names.
pub(crate) fn make_with(folder: &Path, name: &str, subject: &str, issuer: Option<&str>, names: &str) {
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]);
    openssl.args(["-days", "2", "-subj", subject, "-keyout", &format!("{name}.key")]);
    openssl.args(["-out", &format!("{name}.crt"), "-addext", &format!("subjectAltName={names}")]);
    if let Some(issuer) = issuer {
        openssl.args(["-CA", &format!("{issuer}.crt"), "-CAkey", &format!("{issuer}.key")]);
    }
    let made = openssl.current_dir(folder).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
}

fn read(folder: &TempDir, name: &str) -> Certificate {
    let text = std::fs::read(folder.path().join(name)).unwrap();
    crate::formats::pem_facts::PemFacts::read(&text).certificates[0].clone()
}

/// A server of the openssl program, which ends with this value.
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Server {
    pub(crate) fn start(folder: &TempDir, arguments: &[&str]) -> Self {
        Self::start_at(folder, 0, arguments)
    }

    /// At a port.
    pub(crate) fn start_at(folder: &TempDir, port: u16, arguments: &[&str]) -> Self {
        let mut openssl = Command::new("openssl");
        let at = format!("127.0.0.1:{port}");
        openssl.args(["s_server", "-accept", &at, "-cert", "server.crt", "-key", "server.key"]);
        openssl.args(["-cert_chain", "ca.crt", "-www"]).args(arguments).current_dir(folder.path());
        let mut child =
            openssl.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let said = lines.find_map(|line| line.unwrap().strip_prefix("ACCEPT").map(str::to_owned)).unwrap();
        // It tells the port only if it has chosen it.
        let address = said.trim().parse().unwrap_or_else(|_| at.parse().unwrap());
        // The pipe must stay open as long as the server has something to say.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }

    fn probe(&self, server_name: Option<&str>) -> Served {
        match tls::probe(self.address, server_name, soon()) {
            Probe::Served(served) => *served,
            other @ (Probe::Refused | Probe::NotListening | Probe::Unknown { .. }) => panic!("{other:?}"),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn soon() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn unknown(probe: Probe) -> String {
    match probe {
        Probe::Unknown { reason } => reason,
        other @ (Probe::Served(_) | Probe::Refused | Probe::NotListening) => panic!("{other:?}"),
    }
}

#[test]
fn a_handshake_shows_the_certificate_and_its_chain() {
    let folder = certificates();
    for version in ["1.2", "1.3"] {
        let server = Server::start(&folder, &[&format!("-tls{}", version.replace('.', "_"))]);
        let served = server.probe(None);
        assert_eq!(served.certificate, read(&folder, "server.crt"));
        assert_eq!(served.chain, [read(&folder, "ca.crt")]);
        assert_eq!((served.version.as_deref(), served.client), (Some(version), ClientCertificate::NotAsked));
        assert_eq!((served.trouble, served.accepts), (None, Vec::new()));
    }
}

#[test]
fn a_server_that_wants_clients_to_show_certificates_tells_whose_it_accepts() {
    let folder = certificates();
    for version in ["-tls1_2", "-tls1_3"] {
        for (flag, wants) in [("-verify", ClientCertificate::Asked), ("-Verify", ClientCertificate::Required)]
        {
            let server = Server::start(&folder, &[version, flag, "1", "-CAfile", "ca.crt"]);
            let served = server.probe(None);
            assert_eq!(served.certificate, read(&folder, "server.crt"));
            assert_eq!((served.client, served.trouble), (wants, None), "{version} {flag}");
            assert_eq!(served.accepts, ["CN=etcd-ca"]);
        }
    }
}

#[test]
fn a_server_has_another_certificate_for_another_name() {
    let folder = certificates();
    let name = "apiserver-loopback-client";
    let server =
        Server::start(&folder, &["-servername", name, "-cert2", "loopback.crt", "-key2", "loopback.key"]);
    assert_eq!(server.probe(Some(name)).certificate, read(&folder, "loopback.crt"));
    assert_eq!(server.probe(None).certificate, read(&folder, "server.crt"));
}

#[test]
fn a_port_on_which_nothing_listens_refuses() {
    let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert_eq!(tls::probe(address, None, soon()), Probe::Refused);
}

#[test]
fn a_server_that_is_silent_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let deadline = Instant::now() + Duration::from_secs(1);
    assert_eq!(unknown(tls::probe(address, None, deadline)), format!("{address}: no answer in time"));
}

#[test]
fn a_server_that_answers_drop_by_drop_is_given_up_in_time() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut byte = [0];
        // The beginning of a record of the greatest length, a byte for each byte of the client's, and then for ever.
        let header = [0x16, 3, 3, 0x40, 0];
        for one in header.iter().chain(std::iter::repeat(&0)) {
            if stream.read(&mut byte).is_err() || stream.write_all(&[*one]).is_err() {
                break;
            }
        }
    });
    let deadline = Instant::now() + Duration::from_secs(1);
    assert!(unknown(tls::probe(address, None, deadline)).starts_with(&format!("{address}: ")));
    assert!(Instant::now() < deadline + Duration::from_secs(5));
}

#[test]
fn what_is_not_tls_is_told_in_words() {
    for (answer, expected) in [
        ("HTTP/1.0 400 Bad Request\r\n\r\n", "what it answers is not TLS"),
        ("", "it ended the connection"),
        ("\u{16}\u{3}\u{3}", "it ended the connection"),
    ] {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            // All that the client says is taken first: unread bytes would make the end a reset.
            let mut hello = [0; 4096];
            assert!(stream.read(&mut hello).unwrap() > 0);
            stream.write_all(answer.as_bytes()).unwrap();
        });
        assert_eq!(unknown(tls::probe(address, None, soon())), format!("{address}: {expected}"));
        server.join().unwrap();
    }
}

/// What this machine says about a service `x` with these endpoints.
fn observe(endpoints: Vec<EndpointQuestion>) -> NodeFacts {
    let question = ServiceQuestion { unit: None, endpoints };
    let live = LiveRequest {
        services: [("x".parse().unwrap(), question)].into(),
        etcd: None,
        ..LiveRequest::default()
    };
    let request = ObserveRequest { live, ..ObserveRequest::default() };
    Local::new(None, Timestamp::now).observe(&request).unwrap()
}

fn endpoint(port: u16) -> EndpointQuestion {
    EndpointQuestion {
        port,
        addresses: vec![Ipv4Addr::LOCALHOST.into()],
        serves: Some("apiserver".parse().unwrap()),
        server_name: None,
    }
}

#[test]
fn this_machine_tells_what_its_services_serve_and_which_process_does() {
    let folder = certificates();
    let server = Server::start(&folder, &[]);
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let facts = observe(vec![endpoint(server.address.port()), endpoint(free)]);
    let [found, nothing] = facts.services["x"].endpoints.as_slice() else { panic!("{facts:?}") };
    assert_eq!(found.probe.served().unwrap().certificate, read(&folder, "server.crt"));
    let process = found.process.shown().unwrap();
    assert_eq!((process.pid, process.program.as_str()), (server.child.id(), "openssl"));
    assert_eq!(
        (found.address, found.serves.as_ref()),
        (Some(Ipv4Addr::LOCALHOST.into()), Some(&"apiserver".parse().unwrap()))
    );
    assert_eq!(
        (nothing.address, &nothing.probe, &nothing.process),
        (None, &Probe::NotListening, &Seen::Absent)
    );
    assert_eq!(facts.services["x"].started(), [process.started].into());
    let text = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<NodeFacts>(&text).unwrap(), facts);
    assert!(!text.contains("PRIVATE"));
}

#[test]
fn a_socket_for_all_addresses_is_called_at_the_loopback() {
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || listener.accept());
    let facts = observe(vec![endpoint(port)]);
    let [found] = facts.services["x"].endpoints.as_slice() else { panic!("{facts:?}") };
    assert_eq!(found.address, Some(Ipv4Addr::LOCALHOST.into()));
    assert!(unknown(found.probe.clone()).contains("it ended the connection"), "{found:?}");
}

#[test]
fn on_a_directory_that_stands_for_a_node_nothing_runs() {
    let folder = tempfile::tempdir().unwrap();
    let question = ServiceQuestion { unit: Some("etcd.service".to_owned()), endpoints: vec![endpoint(1)] };
    let live = LiveRequest {
        services: [("etcd".parse().unwrap(), question)].into(),
        etcd: None,
        ..LiveRequest::default()
    };
    let request = ObserveRequest { live, ..ObserveRequest::default() };
    let facts = Local::new(Some(folder.path().into()), Timestamp::now).observe(&request).unwrap();
    assert!(facts.services.is_empty());
}
