//! One HTTP request on a fresh connection, with TLS or without.
//!
//! What enters is where it goes, and the TLS that is spoken; what leaves is the answer's status and the beginning of its body, or how far the connection came. Nothing is
//! sent but `GET` and the path; redirects are not followed, and no answer is read beyond its beginning.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::StatusCode;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::agent::probe::tls::Cause;
use crate::types::url::with_port;

/// Most bytes that are read of an answer's body.
const BODY: usize = 2048;
/// Most bytes of its head; hyper takes no less.
const HEAD: usize = 16 * 1024;

/// A request.
pub(crate) struct Request<'a> {
    /// A name or an address, without brackets.
    pub(crate) host: &'a str,
    pub(crate) port: u16,
    pub(crate) path: &'a str,
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    /// The beginning of the body, where the status is not 200.
    pub(crate) body: String,
}

/// How far it came.
#[derive(Debug)]
pub(crate) enum Failure {
    /// There is no connection.
    Unreached(Cause),
    /// The handshake failed, on a connection from this address.
    Handshake { from: Option<SocketAddr>, cause: Cause },
    /// The handshake went well, and no answer came.
    NoAnswer { from: Option<SocketAddr>, cause: Cause },
}

/// Makes the request.
pub(crate) fn get(request: &Request<'_>, patience: Duration) -> Result<Answer, Failure> {
    let unreached = |error: std::io::Error| Failure::Unreached(Cause::of(&error));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(unreached)?;
    let deadline = Instant::now() + patience;
    let answer = runtime.block_on(exchange(request, deadline));
    // A name that is still being looked up holds up nobody.
    runtime.shutdown_background();
    answer
}

async fn exchange(request: &Request<'_>, deadline: Instant) -> Result<Answer, Failure> {
    let late = || Cause::Other("no answer in time".to_owned());
    let connecting = TcpStream::connect((request.host, request.port));
    let stream = match tokio::time::timeout_at(deadline.into(), connecting).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(Failure::Unreached(Cause::of(&error))),
        Err(_) => return Err(Failure::Unreached(late())),
    };
    let from = stream.local_addr().ok();
    let answer = match &request.tls {
        None => tokio::time::timeout_at(deadline.into(), exchanged(stream, request)).await,
        Some(config) => {
            let name = ServerName::try_from(request.host.to_owned())
                .map_err(|error| Failure::Handshake { from, cause: Cause::of(&error) })?;
            let handshake = TlsConnector::from(config.clone()).connect(name, stream);
            let stream = match tokio::time::timeout_at(deadline.into(), handshake).await {
                Ok(Ok(stream)) => stream,
                Ok(Err(error)) => return Err(Failure::Handshake { from, cause: Cause::of(&error) }),
                Err(_) => return Err(Failure::Handshake { from, cause: late() }),
            };
            tokio::time::timeout_at(deadline.into(), exchanged(stream, request)).await
        }
    };
    answer.unwrap_or_else(|_| Err(late())).map_err(|cause| Failure::NoAnswer { from, cause })
}

/// The request and its answer on a connection.
async fn exchanged(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: &Request<'_>,
) -> Result<Answer, Cause> {
    let host = with_port(request.host, request.port);
    let asked = http::Request::get(request.path)
        .header(http::header::HOST, host)
        .header(http::header::CONNECTION, "close")
        .header(http::header::USER_AGENT, concat!("pki/", env!("CARGO_PKG_VERSION")))
        .body(Empty::<Bytes>::new())
        .map_err(|error| Cause::of(&error))?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(HEAD)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|error| Cause::of(&error))?;
    let connection = tokio::spawn(connection);
    let answer = match sender.send_request(asked).await {
        Ok(answer) => answer,
        // The connection knows better why there is no answer than the request that waits for it.
        Err(error) => {
            return Err(match connection.await {
                Ok(Err(cause)) => Cause::of(&cause),
                Ok(Ok(())) | Err(_) => Cause::of(&error),
            });
        }
    };
    let (head, mut body) = answer.into_parts();
    let mut kept = Vec::new();
    while head.status != StatusCode::OK && kept.len() < BODY {
        let Some(Ok(frame)) = body.frame().await else { break };
        kept.extend(frame.into_data().unwrap_or_default());
    }
    kept.truncate(BODY);
    Ok(Answer { status: head.status, body: String::from_utf8_lossy(&kept).into_owned() })
}
