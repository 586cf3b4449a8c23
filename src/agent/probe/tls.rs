//! One TLS handshake for what it shows.
//!
//! What enters is an address; what leaves is the certificate that is served there, its chain, and which authorities' clients are accepted. Any certificate is
//! taken, expired or foreign, since it is what is asked for; that the server holds its key is checked all the same. No client certificate is
//! shown and no request is made.

use std::fmt;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustls::client::ResolvesClientCert;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};

use crate::protocol::facts::{ClientCertificate, Probe, Served};
use crate::x509::{Certificate, Name};

/// Most certificates of a chain, and most names of authorities, that are kept.
const CHAIN_LIMIT: usize = 16;
const NAMES_LIMIT: usize = 64;
/// How long a server may take to turn away a client without a certificate. In TLS 1.3 it does so only after the handshake.
const SECOND_THOUGHT: Duration = Duration::from_millis(500);

/// Makes a handshake with `address`, and calls the server by `server_name` if there is one.
pub(crate) fn probe(address: SocketAddr, server_name: Option<&str>, deadline: Instant) -> Probe {
    let unknown = |reason: String| Probe::Unknown { reason };
    let stream = match TcpStream::connect_timeout(&address, remaining(deadline)) {
        Ok(stream) => stream,
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Probe::Refused,
        Err(error) => return unknown(format!("{address} cannot be called: {}", in_words(&error))),
    };
    let sight = Arc::new(ServerHello::new());
    let mut call = match Call::new(stream, address, server_name, &sight, deadline) {
        Ok(call) => call,
        Err(error) => return unknown(format!("{address} cannot be called: {error}")),
    };
    let end = call.handshake();
    let chain = sight.chain();
    let Some((first, rest)) = chain.split_first() else {
        let end = end.err().unwrap_or_else(|| "it showed no certificate".to_owned());
        return unknown(format!("{address}: {end}"));
    };
    let certificate = match Certificate::from_der(first) {
        Ok(certificate) => certificate,
        Err(error) => return unknown(format!("{address} serves a certificate that cannot be read: {error}")),
    };
    let accepted = sight.accepted();
    let client = match (&accepted, &end) {
        (None, _) => ClientCertificate::NotAsked,
        (Some(_), Ok(())) if !call.is_turned_away() => ClientCertificate::Asked,
        (Some(_), Ok(())) => ClientCertificate::Required,
        (Some(_), Err(_)) if call.was_alerted => ClientCertificate::Required,
        (Some(_), Err(_)) => ClientCertificate::Asked,
    };
    let accepted = accepted.unwrap_or_default();
    let accepts = accepted.iter().filter_map(|der| Name::from_der(der)).map(|name| name.to_string());
    Probe::Served(Box::new(Served {
        certificate,
        chain: rest.iter().filter_map(|der| Certificate::from_der(der).ok()).collect(),
        version: call.version(),
        client,
        accepts: accepts.collect(),
        trouble: end.err().filter(|_| client != ClientCertificate::Required),
    }))
}

/// A handshake on its way.
struct Call {
    stream: TcpStream,
    connection: ClientConnection,
    deadline: Instant,
    /// The server ended it with an alert.
    was_alerted: bool,
}

impl Call {
    fn new(
        stream: TcpStream,
        address: SocketAddr,
        server_name: Option<&str>,
        sight: &Arc<ServerHello>,
        deadline: Instant,
    ) -> Result<Self, Error> {
        let name = match server_name.map(|name| ServerName::try_from(name.to_owned())) {
            Some(Ok(name)) => name,
            Some(Err(_)) | None => ServerName::IpAddress(address.ip().into()),
        };
        let config = ClientConfig::builder_with_provider(sight.provider.clone())
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(sight.clone())
            .with_client_cert_resolver(sight.clone());
        let connection = ClientConnection::new(Arc::new(config), name)?;
        Ok(Self { stream, connection, deadline, was_alerted: false })
    }

    /// Goes on until both are done, or says in words why that does not happen.
    fn handshake(&mut self) -> Result<(), String> {
        while self.connection.is_handshaking() || self.connection.wants_write() {
            self.step(self.deadline)?;
        }
        Ok(())
    }

    /// Sends what is to be sent, else takes in what comes next.
    fn step(&mut self, deadline: Instant) -> Result<(), String> {
        let left = remaining(deadline);
        let limits = self.stream.set_read_timeout(Some(left)).and(self.stream.set_write_timeout(Some(left)));
        limits.map_err(|error| in_words(&error))?;
        if Instant::now() >= deadline {
            return Err(in_words(&ErrorKind::TimedOut.into()));
        }
        if self.connection.wants_write() {
            return self.connection.write_tls(&mut self.stream).map(|_| ()).map_err(|error| in_words(&error));
        }
        if self.connection.read_tls(&mut self.stream).map_err(|error| in_words(&error))? == 0 {
            return Err("it ended the connection".to_owned());
        }
        self.connection.process_new_packets().map(|_| ()).map_err(|error| {
            self.was_alerted = matches!(error, Error::AlertReceived(_));
            let is_tls = !matches!(error, Error::InvalidMessage(_));
            if is_tls { error.to_string() } else { "what it answers is not TLS".to_owned() }
        })
    }

    /// After the handshake: whether the server turns away a client without a certificate.
    fn is_turned_away(&mut self) -> bool {
        let deadline = self.deadline.min(Instant::now() + SECOND_THOUGHT);
        while self.step(deadline).is_ok() {
            // Whoever has something to say to the client takes it.
            if self.connection.process_new_packets().is_ok_and(|state| state.plaintext_bytes_to_read() > 0) {
                return false;
            }
        }
        self.was_alerted
    }

    fn version(&self) -> Option<String> {
        let version = self.connection.protocol_version()?;
        let name =
            version.as_str().and_then(|name| name.strip_prefix("TLSv")).map(|name| name.replace('_', "."));
        Some(name.unwrap_or_else(|| format!("{version:?}")))
    }
}

/// What was seen of the server during a handshake.
#[derive(Debug)]
pub(crate) struct ServerHello {
    provider: Arc<CryptoProvider>,
    chain: Mutex<Vec<Vec<u8>>>,
    /// None as long as no client certificate was asked for.
    accepted: Mutex<Option<Vec<Vec<u8>>>>,
}

impl ServerHello {
    /// Of a server that has not been called yet.
    pub(crate) fn new() -> Self {
        let provider = Arc::new(aws_lc_rs::default_provider());
        Self { provider, chain: Mutex::default(), accepted: Mutex::default() }
    }

    /// The algorithms that are spoken.
    pub(crate) fn provider(&self) -> Arc<CryptoProvider> {
        self.provider.clone()
    }

    fn chain(&self) -> Vec<Vec<u8>> {
        self.chain.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn accepted(&self) -> Option<Vec<Vec<u8>>> {
        self.accepted.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl ServerCertVerifier for ServerHello {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let chain = std::iter::once(end_entity).chain(intermediates).take(CHAIN_LIMIT);
        *self.chain.lock().unwrap_or_else(PoisonError::into_inner) = chain.map(|der| der.to_vec()).collect();
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.provider.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ResolvesClientCert for ServerHello {
    fn resolve(&self, hints: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        let hints = hints.iter().take(NAMES_LIMIT).map(|der| der.to_vec()).collect();
        *self.accepted.lock().unwrap_or_else(PoisonError::into_inner) = Some(hints);
        None
    }

    fn has_certs(&self) -> bool {
        // Otherwise nobody would ask which authorities the server names.
        true
    }
}

/// Why a connection came to nothing, as the innermost error says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cause {
    /// The server says in TLS that it takes nobody with this certificate, or none without one.
    Refused(String),
    /// The other end closed it, and did not say why or was not heard.
    Ended,
    /// Anything else, in words.
    Other(String),
}

impl Cause {
    /// What is behind an error of any of the libraries.
    pub(crate) fn of(error: &(dyn std::error::Error + 'static)) -> Self {
        let mut last = error;
        while let Some(cause) = last.source() {
            last = cause;
        }
        let text = last.to_string();
        if let Some(alert) = text.strip_prefix("received fatal alert: ")
            && (alert.contains("Certificate") || alert == "UnknownCA")
        {
            return Self::Refused(alert.to_owned());
        }
        const ENDS: [&str; 6] =
            ["broken pipe", "Broken pipe", "Connection reset", "connection closed", "close_notify", "eof"];
        if ENDS.iter().any(|words| text.contains(words)) {
            return Self::Ended;
        }
        Self::Other(text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned()))
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(alert) => write!(f, "it refuses the client certificate ({alert})"),
            Self::Ended => f.write_str("it ends the connection"),
            Self::Other(words) => f.write_str(words),
        }
    }
}

/// What is left until a deadline; a socket takes no zero.
fn remaining(deadline: Instant) -> Duration {
    deadline.saturating_duration_since(Instant::now()).max(Duration::from_millis(1))
}

fn in_words(error: &io::Error) -> String {
    let kind = error.kind();
    if matches!(kind, ErrorKind::TimedOut | ErrorKind::WouldBlock) {
        return "no answer in time".to_owned();
    }
    if matches!(kind, ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) {
        return "it ended the connection".to_owned();
    }
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned())
}
