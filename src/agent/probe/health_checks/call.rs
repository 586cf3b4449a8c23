//! Whether a server accepts a client certificate, on a fresh connection and with one request on it.
//!
//! What enters is a [`Call`] and the node's files; what leaves is that it is accepted, or in words for an operator on call who refuses whose certificate and why. The request counts because
//! servers judge clients late: in TLS 1.3 only after the handshake, etcd even compares a peer's names with its address only then, and an API server answers 401. Any
//! other answer below 500 is from somebody who has accepted the client, 403 among them.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use jiff::Timestamp;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, Error, SignatureScheme};

use crate::agent::fs::lookup::{Lookup, read};
use crate::agent::probe::http_request;
use crate::agent::probe::http_request::{Answer, Failure, Request};
use crate::agent::probe::tls;
use crate::agent::probe::tls::Cause;
use crate::formats::kubeconfig::{KubeconfigFacts, Material, edit};
use crate::formats::node_path::beside;
use crate::protocol::health_check::{Call, Shown, Trusted};
use crate::types::secret::Secret;
use crate::x509::chain;
use crate::x509::chain::Purpose;
use crate::x509::{Certificate, pem};

/// What is asked for. Every server that is called has it or says so: etcd serves it to clients and peers without a quorum, an API server to everyone.
const PATH: &str = "/version";
/// Most certificates of a server's chain that are looked at.
const CHAIN_LIMIT: usize = 16;
/// Most names of a certificate that are told.
const NAMES_TOLD: usize = 12;

/// A call with everything that the node's files add to it.
pub(super) struct Prepared {
    call: Call,
    /// The certificate that is shown.
    shown: Certificate,
    config: Arc<ClientConfig>,
    judge: Arc<Judge>,
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prepared").field("call", &self.call).finish_non_exhaustive()
    }
}

/// Reads what is shown and what is trusted.
pub(super) fn prepare(node: &impl Lookup, call: &Call) -> Result<Prepared, String> {
    let (certificate, key) = match &call.shows {
        Shown::Files { certificate, key } => (existing(node, certificate)?, existing(node, key)?),
        Shown::Kubeconfig { file } => user(node, file)?,
    };
    let file = call.shows.file();
    let no_certificate = || format!("{file} has no certificate that can be read");
    let shown = pem::read(certificate.reveal()).certificates().next().cloned().ok_or_else(no_certificate)?;
    let roots = match &call.trusts {
        None => None,
        Some(Trusted::File { path }) => Some(certificates(&existing(node, path)?)),
        Some(Trusted::Kubeconfig { file }) => authorities(node, file)?,
    };
    let name = call.server_name.clone().unwrap_or_else(|| call.host.clone());
    let judge = Arc::new(Judge::new(roots, name));
    let chain: Result<Vec<CertificateDer<'static>>, _> =
        CertificateDer::pem_slice_iter(certificate.reveal()).collect();
    let key = PrivateKeyDer::from_pem_slice(key.reveal())
        .map_err(|_| format!("the private key of {file} cannot be read"))?;
    let config = ClientConfig::builder_with_provider(judge.sight.provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .dangerous()
        .with_custom_certificate_verifier(judge.clone())
        .with_client_auth_cert(chain.map_err(|_| no_certificate())?, key)
        .map_err(|error| format!("{file} cannot be shown: {error}"))?;
    Ok(Prepared { call: call.clone(), shown, config: Arc::new(config), judge })
}

impl Prepared {
    /// Makes the call.
    pub(super) fn make(&self, patience: Duration) -> Result<(), String> {
        let Call { host, port, .. } = &self.call;
        let request = Request { host, port: *port, path: PATH, tls: Some(self.config.clone()) };
        match http_request::get(&request, patience) {
            Ok(Answer { status: StatusCode::UNAUTHORIZED, .. }) => {
                Err(format!("it answers 401, so it does not accept {}", self.words()))
            }
            Ok(Answer { status, .. }) if status.is_server_error() => Err(format!("it answers {status}")),
            Ok(_) => Ok(()),
            Err(Failure::Unreached(cause)) => Err(cause.to_string()),
            Err(Failure::Handshake { from, cause }) => Err(self.refusal(from, &cause, false)),
            Err(Failure::NoAnswer { from, cause }) => Err(self.refusal(from, &cause, true)),
        }
    }

    /// Who refuses whom, and why.
    fn refusal(&self, from: Option<SocketAddr>, cause: &Cause, is_after_handshake: bool) -> String {
        if let Some(verdict) = self.judge.verdict() {
            return verdict;
        }
        let from = from.map(|from| from.ip().to_canonical());
        let shown = from.map(|from| format!(", shown from {from}")).unwrap_or_default();
        match (cause, from) {
            (Cause::Refused(alert), _) => format!("it refuses {}{shown} (TLS alert {alert})", self.words()),
            (Cause::Ended, Some(from)) if self.call.is_peer && is_after_handshake => {
                let refused = format!("it refuses {}{shown}, after the handshake", self.words());
                format!("{refused}. {}", self.advice(from))
            }
            (Cause::Ended, _) if is_after_handshake => {
                format!("it ends the connection: it refuses {}{shown}, or has just ended", self.words())
            }
            (Cause::Ended, _) => "it ends the connection".to_owned(),
            (Cause::Other(words), _) => words.clone(),
        }
    }

    /// etcd looks at the names of a peer's certificate once it is connected, unless it has none (`client/pkg/transport` checkCertSAN, 3.4 and 3.5).
    fn advice(&self, from: IpAddr) -> String {
        const RULE: &str =
            "An etcd member takes a peer only from an address that the peer's certificate names";
        match self.shown.facts().names.ip.contains(&from) {
            true => format!(
                "{RULE}, and behind NAT it sees another one than {from}: the log of etcd on {} has it after \"rejected connection from\"; add it to the names",
                self.call.host
            ),
            false => format!("{RULE}, and {from} is not among them: add it to the names"),
        }
    }

    /// The certificate, as somebody recognises it.
    fn words(&self) -> String {
        let facts = self.shown.facts();
        let addresses = facts.names.ip.iter().map(ToString::to_string);
        let names: Vec<String> = addresses.chain(facts.names.dns.iter().cloned()).collect();
        let more = names.len().saturating_sub(NAMES_TOLD);
        let mut told = names.into_iter().take(NAMES_TOLD).collect::<Vec<_>>().join(", ");
        if more > 0 {
            told.push_str(&format!(" and {more} more"));
        }
        let named = if told.is_empty() { "no names".to_owned() } else { format!("names {told}") };
        format!(
            "{} ({}, {named}, issued by {}, until {})",
            self.call.shows.file(),
            facts.subject,
            facts.issuer,
            facts.not_after.strftime("%Y-%m-%d %H:%MZ")
        )
    }
}

/// Judges the server as the real client does, by the rules of Go, and remembers what it found.
#[derive(Debug)]
struct Judge {
    sight: tls::ServerHello,
    /// None where the real client does not check.
    roots: Option<Vec<Certificate>>,
    name: String,
    verdict: Mutex<Option<String>>,
}

impl Judge {
    fn new(roots: Option<Vec<Certificate>>, name: String) -> Self {
        Self { sight: tls::ServerHello::new(), roots, name, verdict: Mutex::default() }
    }

    fn verdict(&self) -> Option<String> {
        self.verdict.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn judge(&self, chain: &[&CertificateDer<'_>], now: UnixTime) -> Result<(), String> {
        let Some(roots) = &self.roots else { return Ok(()) };
        let read: Vec<Certificate> = chain.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
        let Some((leaf, intermediates)) = read.split_first() else {
            return Err("it shows a certificate that cannot be read".to_owned());
        };
        let seconds = i64::try_from(now.as_secs()).unwrap_or(i64::MAX);
        let now = Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX);
        let Ok(name) = self.name.parse();
        let purpose = Purpose::Server { name: Some(name) };
        let verified = chain::verify(leaf, intermediates, roots, now, &purpose);
        verified.map(|_| ()).map_err(|error| {
            let serial = leaf.fingerprint().short();
            let subject = &leaf.facts().subject;
            format!("it shows {subject} (sha256:{serial}), which is not accepted here: {}", error.fault)
        })
    }
}

impl ServerCertVerifier for Judge {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain: Vec<&CertificateDer<'_>> =
            std::iter::once(end_entity).chain(intermediates).take(CHAIN_LIMIT).collect();
        match self.judge(&chain, now) {
            Ok(()) => Ok(ServerCertVerified::assertion()),
            Err(reason) => {
                *self.verdict.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.clone());
                Err(Error::General(reason))
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.sight.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.sight.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.sight.supported_verify_schemes()
    }
}

fn existing(node: &impl Lookup, path: &str) -> Result<Secret, String> {
    let bytes = read(node, path).map_err(|error| error.to_string())?;
    bytes.ok_or_else(|| format!("{path} is not there"))
}

fn certificates(bytes: &Secret) -> Vec<Certificate> {
    pem::read(bytes.reveal()).certificates().cloned().collect()
}

/// Certificate and key of the current user of a kubeconfig, in it or in files that it names.
fn user(node: &impl Lookup, file: &str) -> Result<(Secret, Secret), String> {
    let bytes = existing(node, file)?;
    let facts = KubeconfigFacts::read(bytes.reveal());
    let (_, user) = facts.current().ok_or_else(|| format!("{file} has no current user"))?;
    let lacks = |what: &str| format!("the current user of {file} has no {what} that can be read");
    let certificate = match &user.certificate {
        Material::Embedded(_) => {
            edit::current_certificate(bytes.reveal()).map_err(|_| lacks("certificate"))?
        }
        Material::File { path } => existing(node, &beside(file, path))?,
        Material::Absent | Material::Undecodable => return Err(lacks("certificate")),
    };
    let key = match &user.key {
        Material::Embedded(_) => edit::current_key(bytes.reveal()).map_err(|_| lacks("key"))?,
        Material::File { path } => existing(node, &beside(file, path))?,
        Material::Absent | Material::Undecodable => return Err(lacks("key")),
    };
    Ok((certificate, key))
}

/// What a kubeconfig checks its server with; none where it says that it does not check.
fn authorities(node: &impl Lookup, file: &str) -> Result<Option<Vec<Certificate>>, String> {
    let bytes = existing(node, file)?;
    let facts = KubeconfigFacts::read(bytes.reveal());
    let (cluster, _) = facts.current().ok_or_else(|| format!("{file} has no current cluster"))?;
    if cluster.insecure {
        return Ok(None);
    }
    match &cluster.authority {
        Material::Embedded(pem) => Ok(Some(pem.certificates.clone())),
        Material::File { path } => Ok(Some(certificates(&existing(node, &beside(file, path))?))),
        Material::Absent | Material::Undecodable => Err(format!("{file} has no CA certificates")),
    }
}
