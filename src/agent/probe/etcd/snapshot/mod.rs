//! The data of an etcd member, as it sends it: its database piece by piece, and behind that the SHA-256 of it.
//!
//! What enters is where the member listens; what leaves is the pieces, handed on as they come, and the digest that all of them have. No more is held than one
//! piece. What is cut short, longer than announced, or other than its digest says is refused. It asks for a snapshot of a member that follows a leader
//! only: another one's data may be old.

use std::net::SocketAddr;
use std::time::Instant;

use aws_lc_rs::digest::{Context, SHA256, SHA256_OUTPUT_LEN};
use http::uri::PathAndQuery;
use rustls::ClientConfig;
use std::sync::Arc;
use tonic::client::Grpc;
use tonic_prost::ProstCodec;

use super::messages::{SnapshotRequest, SnapshotResponse, StatusRequest, StatusResponse};
use super::{ANSWER_LIMIT, EtcdClient, STATUS, call, connect, finish, last_cause, refusal};
use crate::protocol::error::HostError;
use crate::x509::Sha256;

const SNAPSHOT: &str = "/etcdserverpb.Maintenance/Snapshot";

/// What is known before the first byte.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Announced {
    /// The length of the database with its digest.
    pub(crate) bytes: u64,
    /// The revision that the member has reached.
    pub(crate) revision: u64,
}

/// Who keeps what is sent.
pub(crate) trait Keeper {
    /// Gets ready for so much.
    fn begin(&mut self, announced: Announced) -> Result<(), HostError>;
    /// Keeps the next bytes, of which there are never more than were announced.
    fn keep(&mut self, bytes: &[u8]) -> Result<(), HostError>;
}

/// What is wrong with what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the member sent no database")]
    Empty,
    #[error("the member sent more than the {announced} bytes that it announced")]
    TooLong { announced: u64 },
    #[error("the member sent {taken} of the {announced} bytes that it announced, and then no more")]
    CutShort { taken: u64, announced: u64 },
    #[error("what came has SHA-256 {found}, and the member says that it sent {wanted}")]
    Differs { wanted: Sha256, found: Sha256 },
}

/// Compares what is sent with the digest that follows it.
#[derive(Clone)]
struct Check {
    digest: Context,
    /// How much of the database has not come yet.
    left: u64,
    announced: u64,
    /// As much of the digest as has come.
    wanted: Vec<u8>,
}

impl Check {
    /// Of a database of so many bytes.
    fn new(database: u64) -> Result<Self, Fault> {
        let digest = u64::try_from(SHA256_OUTPUT_LEN).unwrap_or(u64::MAX);
        let announced = database.checked_add(digest).filter(|_| database > 0).ok_or(Fault::Empty)?;
        Ok(Self { digest: Context::new(&SHA256), left: database, announced, wanted: Vec::new() })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let of_database = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let (database, digest) = bytes.split_at_checked(of_database).unwrap_or((bytes, &[]));
        self.digest.update(database);
        self.left = self.left.saturating_sub(u64::try_from(of_database).unwrap_or(u64::MAX));
        if self.wanted.len().saturating_add(digest.len()) > SHA256_OUTPUT_LEN {
            return Err(Fault::TooLong { announced: self.announced });
        }
        self.wanted.extend_from_slice(digest);
        Ok(())
    }

    fn end(self) -> Result<Sha256, Fault> {
        let Self { digest, left, announced, wanted } = self;
        let missing = u64::try_from(SHA256_OUTPUT_LEN.saturating_sub(wanted.len())).unwrap_or(u64::MAX);
        let Ok(wanted) = <[u8; SHA256_OUTPUT_LEN]>::try_from(wanted.as_slice()) else {
            let taken = announced.saturating_sub(left).saturating_sub(missing);
            return Err(Fault::CutShort { taken, announced });
        };
        let mut found = [0; SHA256_OUTPUT_LEN];
        found.iter_mut().zip(digest.finish().as_ref()).for_each(|(to, from)| *to = *from);
        let (wanted, found) = (Sha256::from(wanted), Sha256::from(found));
        if wanted == found { Ok(found) } else { Err(Fault::Differs { wanted, found }) }
    }
}

fn not_saved(reason: impl ToString) -> HostError {
    HostError::EtcdNotSaved { reason: reason.to_string() }
}

impl EtcdClient {
    /// Has the member at this address send its data. Says which digest it has; whatever was kept when that fails is worth nothing.
    pub(crate) fn snapshot(
        &self,
        address: SocketAddr,
        deadline: Instant,
        keeper: &mut impl Keeper,
    ) -> Result<Sha256, HostError> {
        let receiving = receive(self.config.clone(), address, keeper);
        let late = |_| not_saved(format!("{address}: not all of it has come in time"));
        let received =
            finish(async { tokio::time::timeout_at(deadline.into(), receiving).await.map_err(late) });
        received.map_err(not_saved)??
    }
}

async fn receive(
    config: Arc<ClientConfig>,
    address: SocketAddr,
    keeper: &mut impl Keeper,
) -> Result<Sha256, HostError> {
    let at = |reason: String| not_saved(format!("{address}: {reason}"));
    // Who cannot connect says where.
    let channel = connect(config, address.ip().to_string(), address.port()).await.map_err(not_saved)?;
    let status: StatusResponse = call(channel.clone(), STATUS, StatusRequest {}).await.map_err(at)?;
    if status.leader == 0 {
        return Err(at("the member follows no leader, so its data may be old".to_owned()));
    }
    let revision = status.header.map(|header| header.revision).unwrap_or_default();
    let revision = u64::try_from(revision).unwrap_or_default();
    let mut client = Grpc::new(channel).max_decoding_message_size(ANSWER_LIMIT);
    client.ready().await.map_err(|error| at(last_cause(&error)))?;
    let codec = ProstCodec::<SnapshotRequest, SnapshotResponse>::default();
    let request = tonic::Request::new(SnapshotRequest {});
    let answer = client.server_streaming(request, PathAndQuery::from_static(SNAPSHOT), codec).await;
    let mut pieces = answer.map_err(|status| at(refusal(&status)))?.into_inner();
    let mut check: Option<Check> = None;
    while let Some(piece) = pieces.message().await.map_err(|status| at(refusal(&status)))? {
        let check = match &mut check {
            Some(check) => check,
            None => {
                let first = u64::try_from(piece.blob.len()).unwrap_or(u64::MAX);
                let begun = Check::new(piece.remaining_bytes.saturating_add(first)).map_err(not_saved)?;
                keeper.begin(Announced { bytes: begun.announced, revision })?;
                check.insert(begun)
            }
        };
        check.take(&piece.blob).map_err(not_saved)?;
        keeper.keep(&piece.blob)?;
    }
    check.ok_or(Fault::Empty).and_then(Check::end).map_err(not_saved)
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests start a real etcd and look at its files")]
mod tests;
