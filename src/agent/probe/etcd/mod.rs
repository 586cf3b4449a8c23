//! What an etcd member says of itself and of its cluster.
//!
//! What enters is the addresses of the node's member and the files of a client certificate; what leaves is [`EtcdFacts`], asked over gRPC. To learn them, only calls
//! that read and need no quorum are made, so alarms are taken from the status: asking for them would write to the log. The server's certificate
//! is not judged, so that a member with an expired one still tells how it is; that it holds its key is checked.

pub(crate) mod leadership;
mod messages;
pub(crate) mod snapshot;
#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests start a real etcd")]
pub(crate) mod tests;

use std::collections::BTreeMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Uri;
use http::uri::PathAndQuery;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;
use tonic::client::Grpc;
use tonic::transport::{Channel, Endpoint};
use tonic_prost::ProstCodec;
use tower::service_fn;
use zeroize::Zeroizing;

use super::tls;
use crate::agent::fs::lookup::{Detail, Lookup, LookupResult, Payload};
use crate::protocol::facts::{EtcdFacts, EtcdId, EtcdQuestion, MemberFacts, MemberStatus, Seen};
use crate::types::url::tls_place;
use messages::{Member, MemberListRequest, MemberListResponse, StatusRequest, StatusResponse};

const MEMBER_LIST: &str = "/etcdserverpb.Cluster/MemberList";
const STATUS: &str = "/etcdserverpb.Maintenance/Status";
/// Most members that are kept; etcd advises seven at most.
const MEMBER_LIMIT: usize = 32;
/// Most texts of one kind that are kept of a member, and the longest one.
const TEXTS_LIMIT: usize = 16;
const TEXT_LIMIT: usize = 256;
/// How long the other members are waited for.
const OTHERS: Duration = Duration::from_secs(1);
/// How long the end of an election is waited for. With etcd's default timeout of one second an election takes one to two of them (etcd 3.5, raft), and where votes
/// are split a second one follows.
const ELECTION: Duration = Duration::from_secs(4);
/// How long between two questions while there is no leader.
const PAUSE: Duration = Duration::from_millis(200);
/// Longest answer that is read.
const ANSWER_LIMIT: usize = 1024 * 1024;

/// Asks the member that listens at one of these addresses. One that follows nobody is asked again until an election would be over: taken for a lost quorum, that
/// moment would make another plan, one that restarts members without regard to the others.
pub(crate) fn observe(
    question: &EtcdQuestion,
    tree: &impl Lookup,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Seen<EtcdFacts> {
    ask(question, tree, addresses, deadline).map_or_else(|reason| Seen::Unknown { reason }, Seen::Present)
}

fn ask(
    question: &EtcdQuestion,
    tree: &impl Lookup,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<EtcdFacts, String> {
    if addresses.is_empty() {
        return Err("etcd does not listen for clients".to_owned());
    }
    let asker = EtcdClient::prepare(&question.certificate, &question.key, tree)?;
    let patience = deadline.saturating_duration_since(Instant::now());
    once_elected(|| asker.ask(addresses, Instant::now() + patience), Instant::now() + ELECTION)
}

/// What a member says once it follows somebody, or at this time at the latest.
fn once_elected(
    mut ask: impl FnMut() -> Result<EtcdFacts, String>,
    elected: Instant,
) -> Result<EtcdFacts, String> {
    let mut facts = ask()?;
    while facts.own_status().is_some_and(|own| own.leader.is_none()) && Instant::now() < elected {
        std::thread::sleep(PAUSE);
        facts = ask()?;
    }
    Ok(facts)
}

/// Somebody with a client certificate, who can ask without the files.
pub(crate) struct EtcdClient {
    config: Arc<ClientConfig>,
}

impl EtcdClient {
    /// With the certificate and the key in two files of the node.
    pub(crate) fn prepare(certificate: &str, key: &str, tree: &impl Lookup) -> Result<Self, String> {
        Ok(Self { config: Arc::new(client(certificate, key, tree)?) })
    }

    /// Asks the member at one of these addresses.
    pub(crate) fn ask(&self, addresses: &[SocketAddr], deadline: Instant) -> Result<EtcdFacts, String> {
        finish(cluster(self.config.clone(), addresses, deadline))?
    }
}

/// Does something to its end on this thread.
fn finish<T>(work: impl Future<Output = T>) -> Result<T, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("etcd cannot be asked: {error}"))?;
    let answer = runtime.block_on(work);
    // A name that is still being looked up holds up nobody.
    runtime.shutdown_background();
    Ok(answer)
}

/// A TLS client that shows the certificate in the node's files.
fn client(certificate: &str, key: &str, tree: &impl Lookup) -> Result<ClientConfig, String> {
    let sight = Arc::new(tls::ServerHello::new());
    let text = bytes(tree, certificate)?;
    let chain: Result<Vec<CertificateDer<'static>>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let chain = chain.map_err(|_| format!("{certificate} cannot be read as certificates"))?;
    let pair = PrivateKeyDer::from_pem_slice(&bytes(tree, key)?);
    let pair = pair.map_err(|_| format!("{key} cannot be read as a private key"))?;
    let config = ClientConfig::builder_with_provider(sight.provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(sight)
        .with_client_auth_cert(chain, pair);
    let mut config = config.map_err(|error| format!("{certificate} cannot be shown to etcd: {error}"))?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

fn bytes(tree: &impl Lookup, path: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    match tree.look(path, Detail::Bytes) {
        LookupResult::Found { payload: Payload::Bytes(bytes), .. } => Ok(bytes),
        LookupResult::Found { payload: Payload::Failed { reason }, .. } | LookupResult::Failed { reason } => {
            Err(reason)
        }
        LookupResult::Found { payload: Payload::NotRead | Payload::Names(_), .. } => {
            Err(format!("{path} is not a regular file"))
        }
        LookupResult::Unsafe { step } => Err(step.to_string()),
        LookupResult::Missing | LookupResult::Dangling { .. } | LookupResult::Looping { .. } => {
            Err(format!("{path} is not there, and etcd cannot be asked without it"))
        }
    }
}

/// The member and its cluster. What the other members say of themselves has a time of its own, since without it everything else is known.
async fn cluster(
    config: Arc<ClientConfig>,
    addresses: &[SocketAddr],
    deadline: Instant,
) -> Result<EtcdFacts, String> {
    let asking = tokio::time::timeout_at(deadline.into(), own_answers(&config, addresses)).await;
    let (list, own) = asking.unwrap_or_else(|_| Err("etcd gives no answer in time".to_owned()))?;
    let header = list.header.unwrap_or_default();
    let mut waiting = JoinSet::new();
    let mut members = BTreeMap::new();
    for member in list.members.into_iter().take(MEMBER_LIMIT) {
        let id = EtcdId(member.id);
        let mut facts = member_facts(member);
        if id.0 == header.member_id {
            facts.status = seen(own.clone());
        } else {
            let (config, urls) = (config.clone(), facts.client_urls.clone());
            waiting.spawn(async move { (id, seen(status_at(config, urls).await)) });
        }
        members.insert(id, facts);
    }
    let others = async {
        while let Some(joined) = waiting.join_next().await {
            let Ok((id, status)) = joined else { continue };
            if let Some(member) = members.get_mut(&id) {
                member.status = status;
            }
        }
    };
    // Those that are not back by then keep what is said of them until they answer.
    let _late = tokio::time::timeout(OTHERS, others).await;
    Ok(EtcdFacts { cluster: EtcdId(header.cluster_id), member: EtcdId(header.member_id), members })
}

/// What the node's own member says of its cluster and of itself.
async fn own_answers(
    config: &Arc<ClientConfig>,
    addresses: &[SocketAddr],
) -> Result<(MemberListResponse, Result<MemberStatus, String>), String> {
    let mut tried = Err("etcd has no address".to_owned());
    for address in addresses {
        tried = connect(config.clone(), address.ip().to_string(), address.port()).await;
        if tried.is_ok() {
            break;
        }
    }
    let own = tried?;
    let list = call(own.clone(), MEMBER_LIST, MemberListRequest {}).await?;
    Ok((list, status(own).await))
}

fn member_facts(member: Member) -> MemberFacts {
    MemberFacts {
        name: shortened(member.name),
        peer_urls: texts(member.peer_urls),
        client_urls: texts(member.client_urls),
        is_learner: member.is_learner,
        status: Seen::Unknown { reason: "it gives no answer in time".to_owned() },
    }
}

fn seen(status: Result<MemberStatus, String>) -> Seen<MemberStatus> {
    status.map_or_else(|reason| Seen::Unknown { reason }, Seen::Present)
}

/// The status of a member that is reached at one of its URLs.
async fn status_at(config: Arc<ClientConfig>, urls: Vec<String>) -> Result<MemberStatus, String> {
    let mut last = "it has not started".to_owned();
    for url in urls {
        let Some((host, port)) = tls_place(&url) else {
            last = format!("{url} is no URL with TLS");
            continue;
        };
        match connect(config.clone(), host, port).await {
            Ok(channel) => return status(channel).await,
            Err(reason) => last = reason,
        }
    }
    Err(last)
}

async fn status(channel: Channel) -> Result<MemberStatus, String> {
    call(channel, STATUS, StatusRequest {}).await.map(member_status)
}

fn member_status(response: StatusResponse) -> MemberStatus {
    MemberStatus {
        version: shortened(response.version),
        leader: Some(response.leader).filter(|leader| *leader != 0).map(EtcdId),
        raft_term: response.raft_term,
        raft_index: response.raft_index,
        raft_applied_index: response.raft_applied_index,
        database_bytes: u64::try_from(response.db_size).unwrap_or_default(),
        alarms: texts(response.errors),
    }
}

/// A connection with a finished handshake.
async fn connect(config: Arc<ClientConfig>, host: String, port: u16) -> Result<Channel, String> {
    let shown = format!("{host}:{port}");
    let connector = service_fn(move |_: Uri| {
        let (config, host) = (config.clone(), host.clone());
        async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            let name = ServerName::try_from(host).map_err(std::io::Error::other)?;
            TlsConnector::from(config).connect(name, stream).await.map(TokioIo::new)
        }
    });
    let channel = Endpoint::from_static("https://etcd").connect_with_connector(connector).await;
    channel.map_err(|error| format!("{shown}: {}", last_cause(&error)))
}

/// One question and its answer.
async fn call<Q, A>(channel: Channel, path: &'static str, question: Q) -> Result<A, String>
where
    Q: prost::Message + 'static,
    A: prost::Message + Default + 'static,
{
    let mut client = Grpc::new(channel).max_decoding_message_size(ANSWER_LIMIT);
    client.ready().await.map_err(|error| last_cause(&error))?;
    let codec = ProstCodec::<Q, A>::default();
    let path = PathAndQuery::from_static(path);
    let answer = client.unary(tonic::Request::new(question), path, codec).await;
    answer.map(tonic::Response::into_inner).map_err(|status| refusal(&status))
}

/// Why a question has no answer.
fn refusal(status: &tonic::Status) -> String {
    match status.source() {
        Some(cause) => last_cause(cause),
        None => shortened(status.message().to_owned()),
    }
}

/// In words, of which most failures to connect have only one.
fn last_cause(error: &(dyn Error + 'static)) -> String {
    const NOT_ACCEPTED: &str = "etcd does not accept the client certificate";
    match tls::Cause::of(error) {
        tls::Cause::Refused(alert) => format!("{NOT_ACCEPTED} ({alert})"),
        // In TLS 1.3 the server says so only after the handshake, and whoever still writes then may find the connection closed before he reads why.
        tls::Cause::Ended => format!("{NOT_ACCEPTED}, or has just ended"),
        tls::Cause::Other(words) => shortened(words),
    }
}

fn texts(texts: Vec<String>) -> Vec<String> {
    texts.into_iter().take(TEXTS_LIMIT).map(shortened).collect()
}

fn shortened(text: String) -> String {
    if text.len() <= TEXT_LIMIT { text } else { text.chars().take(TEXT_LIMIT).collect() }
}
