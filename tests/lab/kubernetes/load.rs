//! Clients of the cluster for as long as something is done to it.
//!
//! Through each API server and through the endpoint go a writer on a connection that it keeps, a writer that connects anew for each write, and a reader; one client
//! watches all that is written. Enters: the running cluster. Leaves: for each client how many requests it made, which failed, and its longest time without an answer; and
//! that every acknowledged write is there and was seen by the watch. Nothing is tried twice: what fails counts.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine as _;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::cluster::Cluster;
use crate::nodes::within;

/// How long one request may take.
const PATIENCE: Duration = Duration::from_secs(10);

type Connection = SendRequest<Full<Bytes>>;

/// Where requests go.
#[derive(Clone)]
struct Server {
    name: String,
    address: SocketAddr,
    /// By what its certificate is known.
    proves: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Does {
    WriteKept,
    WriteFresh,
    Read,
}

impl Does {
    fn word(self) -> &'static str {
        match self {
            Does::WriteKept => "write",
            Does::WriteFresh => "write, connecting anew",
            Does::Read => "read",
        }
    }

    fn pause(self) -> Duration {
        match self {
            Does::WriteKept | Does::Read => Duration::from_millis(250),
            Does::WriteFresh => Duration::from_millis(500),
        }
    }
}

/// What one client did.
struct Tally {
    does: Does,
    server: String,
    made: usize,
    failed: Vec<(Duration, String)>,
    longest_gap: Duration,
    acknowledged: Vec<String>,
}

pub(crate) struct Load {
    runtime: Runtime,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<Tally>>,
    seen: Arc<Mutex<BTreeSet<String>>>,
    api: Api,
    begun: Instant,
}

/// What they did while it lasted.
pub(crate) struct Used {
    tallies: Vec<Tally>,
    pub(crate) lasted: Duration,
}

/// The cluster as clients see it.
#[derive(Clone)]
struct Api {
    tls: TlsConnector,
    servers: Vec<Server>,
    /// What is written is in it, each time in another one: to remove it all would take longer than to write it.
    namespace: String,
}

impl Load {
    pub(crate) fn on(cluster: &Cluster) -> Self {
        let api = Api::of(cluster);
        cluster.kubectl(&format!("create namespace {}", api.namespace));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (stop, seen) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let begun = Instant::now();
        let mut clients = Vec::new();
        for server in &api.servers {
            for does in [Does::WriteKept, Does::WriteFresh, Does::Read] {
                let (api, server, stop) = (api.clone(), server.clone(), stop.clone());
                clients
                    .push(runtime.spawn(async move { api.keep_asking(&server, does, &stop, begun).await }));
            }
        }
        let (watching, seen_by_it) = (api.clone(), Arc::clone(&seen));
        runtime.spawn(async move { watching.watch(&seen_by_it).await });
        Self { runtime, stop, clients, seen, api, begun }
    }

    /// Stops them, and reads back what they have written.
    #[track_caller]
    pub(crate) fn end(self) -> Used {
        self.stop.store(true, Ordering::SeqCst);
        let lasted = self.begun.elapsed();
        let tallies: Vec<Tally> =
            self.clients.into_iter().map(|client| self.runtime.block_on(client).unwrap()).collect();
        let written: BTreeSet<String> = tallies.iter().flat_map(|tally| tally.acknowledged.clone()).collect();
        let there = self.runtime.block_on(self.api.all());
        let lost: Vec<&String> = written.difference(&there).collect();
        assert!(lost.is_empty(), "acknowledged and not there: {lost:?}");
        let sees_all = || written.is_subset(&self.seen.lock().unwrap());
        assert!(within(PATIENCE, sees_all), "the watch has not seen every acknowledged write");
        Used { tallies, lasted }
    }
}

impl Used {
    /// Says what was counted.
    pub(crate) fn tell(&self, what: &str) {
        let mut text = format!("{what}: {} s\n", self.lasted.as_secs());
        for Tally { does, server, made, failed, longest_gap, .. } in &self.tallies {
            let gap = longest_gap.as_secs_f64();
            writeln!(
                text,
                "  {server:10} {:24} {made:5} made, {:3} failed, longest gap {gap:.2} s",
                does.word(),
                failed.len()
            )
            .unwrap();
            for (at, error) in failed.iter().take(3) {
                writeln!(text, "    after {:.1} s: {error}", at.as_secs_f64()).unwrap();
            }
        }
        println!("{text}");
    }

    /// No request of any client failed.
    #[track_caller]
    pub(crate) fn none_failed(&self) {
        self.none_failed_but_through(&[]);
    }

    /// None failed but through these API servers, and through the endpoint, which may have led to one of them.
    #[track_caller]
    pub(crate) fn none_failed_but_through(&self, servers: &[&str]) {
        for tally in &self.tallies {
            assert!(tally.made > 0, "{} never asked {}", tally.does.word(), tally.server);
            let may_fail = servers.contains(&tally.server.as_str());
            assert!(
                may_fail || tally.failed.is_empty(),
                "{} through {}: {:?}",
                tally.does.word(),
                tally.server,
                tally.failed
            );
        }
    }
}

impl Api {
    fn of(cluster: &Cluster) -> Self {
        let kubeconfig = cluster.planes[0].run("cat /etc/kubernetes/admin.conf");
        let field = |name: &str| {
            let line = kubeconfig.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
            base64::engine::general_purpose::STANDARD.decode(line.trim()).unwrap()
        };
        let mut roots = rustls::RootCertStore::empty();
        for root in CertificateDer::pem_slice_iter(&field("certificate-authority-data:")) {
            roots.add(root.unwrap()).unwrap();
        }
        let chain =
            CertificateDer::pem_slice_iter(&field("client-certificate-data:")).map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_slice(&field("client-key-data:")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap();
        let tls = tls.with_root_certificates(roots).with_client_auth_cert(chain, key).unwrap();
        let server = |name: &str, address: &str, proves: &str| Server {
            name: name.to_owned(),
            address: SocketAddr::new(address.parse().unwrap(), 6443),
            proves: proves.to_owned(),
        };
        let mut servers: Vec<Server> =
            cluster.planes.iter().map(|node| server(&node.name, &node.address(), &node.address())).collect();
        servers.push(server("endpoint", "10.78.0.10", "api.lab.example"));
        let namespace = format!("load-{}", jiff::Timestamp::now().as_millisecond());
        Self { tls: TlsConnector::from(Arc::new(tls)), servers, namespace }
    }

    fn maps(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.namespace)
    }

    /// The one through which a test looks itself.
    fn endpoint(&self) -> &Server {
        self.servers.last().unwrap()
    }

    async fn connect(&self, server: &Server) -> Result<Connection, String> {
        let tcp = TcpStream::connect(server.address).await.map_err(|error| format!("connect: {error}"))?;
        tcp.set_nodelay(true).unwrap();
        let name = ServerName::try_from(server.proves.clone()).unwrap();
        let tls = self.tls.connect(name, tcp).await.map_err(|error| format!("TLS: {error}"))?;
        let (asks, connection) =
            handshake(TokioIo::new(tls)).await.map_err(|error| format!("HTTP: {error}"))?;
        tokio::spawn(connection);
        Ok(asks)
    }

    async fn send(
        &self,
        on: &mut Connection,
        method: Method,
        path: &str,
        body: Value,
    ) -> Result<Incoming, String> {
        let body = if body.is_null() { Bytes::new() } else { body.to_string().into() };
        let request = Request::builder().method(method).uri(path).header("Host", "api.lab.example");
        let request = request.header("Content-Type", "application/json").body(Full::new(body)).unwrap();
        let answer = on.send_request(request).await.map_err(|error| format!("request: {error:?}"))?;
        let status = answer.status();
        if status.is_success() {
            Ok(answer.into_body())
        } else {
            Err(refused(status, answer.into_body()).await)
        }
    }

    /// One request and its whole answer, on a connection that is there or made; it stays for the next one if all went well.
    async fn ask(
        &self,
        server: &Server,
        kept: &mut Option<Connection>,
        method: Method,
        path: &str,
        body: Value,
    ) -> Result<Bytes, String> {
        // A server may end a connection on which nothing is asked; a client sees that before it asks.
        let usable = kept.take().filter(|connection| !connection.is_closed());
        let asked = async {
            let mut connection = match usable {
                Some(connection) => connection,
                None => self.connect(server).await?,
            };
            connection.ready().await.map_err(|error| format!("connection: {error}"))?;
            let answer = self.send(&mut connection, method, path, body).await?;
            let whole = answer.collect().await.map_err(|error| format!("answer: {error}"))?;
            Ok((connection, whole.to_bytes()))
        };
        let answered = tokio::time::timeout(PATIENCE, asked).await;
        let (connection, bytes) =
            answered.unwrap_or_else(|_| Err(format!("no answer within {PATIENCE:?}")))?;
        *kept = Some(connection);
        Ok(bytes)
    }

    async fn keep_asking(&self, server: &Server, does: Does, stop: &AtomicBool, begun: Instant) -> Tally {
        let mut tally = Tally {
            does,
            server: server.name.clone(),
            made: 0,
            failed: Vec::new(),
            longest_gap: Duration::ZERO,
            acknowledged: Vec::new(),
        };
        let mut kept = None;
        let mut last = Instant::now();
        while !stop.load(Ordering::SeqCst) {
            let at = Instant::now();
            tally.made += 1;
            let name = format!("{}-{}-{}", server.name, does.word().len(), tally.made);
            let answer = match does {
                Does::WriteKept | Does::WriteFresh => {
                    let map = serde_json::json!({ "metadata": { "name": name }, "data": { "n": name } });
                    self.ask(server, &mut kept, Method::POST, &self.maps(), map).await
                }
                Does::Read => {
                    self.ask(
                        server,
                        &mut kept,
                        Method::GET,
                        &format!("/api/v1/namespaces/{}", self.namespace),
                        Value::Null,
                    )
                    .await
                }
            };
            match answer {
                Ok(_) => {
                    tally.longest_gap = tally.longest_gap.max(last.elapsed());
                    last = Instant::now();
                    if does != Does::Read {
                        tally.acknowledged.push(name);
                    }
                }
                Err(error) => tally.failed.push((begun.elapsed(), error)),
            }
            if does == Does::WriteFresh {
                kept = None;
            }
            tokio::time::sleep((at + does.pause()).saturating_duration_since(Instant::now())).await;
        }
        tally.longest_gap = tally.longest_gap.max(last.elapsed());
        tally
    }

    /// Notes every name that is written, and goes on after the last one where a watch ends.
    async fn watch(&self, seen: &Mutex<BTreeSet<String>>) {
        let mut version = "0".to_owned();
        loop {
            if self.watch_once(seen, &mut version).await.is_err() {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }

    async fn watch_once(&self, seen: &Mutex<BTreeSet<String>>, version: &mut String) -> Result<(), String> {
        let mut connection = tokio::time::timeout(PATIENCE, self.connect(self.endpoint()))
            .await
            .map_err(|_| "no connection".to_owned())??;
        let path = format!("{}?watch=1&resourceVersion={version}&timeoutSeconds=600", self.maps());
        let mut body = self.send(&mut connection, Method::GET, &path, Value::Null).await?;
        let mut text = Vec::new();
        while let Some(frame) = body.frame().await {
            text.extend_from_slice(
                frame.map_err(|error| error.to_string())?.data_ref().unwrap_or(&Bytes::new()),
            );
            while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = text.drain(..=end).collect();
                let event: Value = serde_json::from_slice(&line).map_err(|error| error.to_string())?;
                let about = &event["object"]["metadata"];
                if event["type"] == "ERROR" {
                    return Err(event.to_string());
                }
                version.clear();
                version.push_str(about["resourceVersion"].as_str().unwrap());
                seen.lock().unwrap().insert(about["name"].as_str().unwrap().to_owned());
            }
        }
        Ok(())
    }

    /// The names of all that was written and is there.
    async fn all(&self) -> BTreeSet<String> {
        let listed =
            self.ask(self.endpoint(), &mut None, Method::GET, &self.maps(), Value::Null).await.unwrap();
        let listed: Value = serde_json::from_slice(&listed).unwrap();
        let names =
            listed["items"].as_array().unwrap().iter().map(|item| item["metadata"]["name"].as_str().unwrap());
        names.map(str::to_owned).collect()
    }
}

async fn refused(status: StatusCode, body: Incoming) -> String {
    let said = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let said: String = String::from_utf8_lossy(&said).chars().take(200).collect();
    format!("{status}: {said}")
}
