//! The messages of etcd's gRPC interface, as far as they are used here.
//!
//! Field numbers are those of etcd's `rpc.proto` (3.2 to 3.6); fields that are not listed are passed over, and fields that an older etcd does not send are zero.

/// Who answers, and at which point of the cluster's life.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ResponseHeader {
    #[prost(uint64, tag = "1")]
    pub(super) cluster_id: u64,
    #[prost(uint64, tag = "2")]
    pub(super) member_id: u64,
    /// The revision of the keys.
    #[prost(int64, tag = "3")]
    pub(super) revision: i64,
}

/// Asks for the members. Without the field `linearizable` (3.5) the member answers from its own store, as all did before.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MemberListRequest {}

/// The members.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MemberListResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<ResponseHeader>,
    #[prost(message, repeated, tag = "2")]
    pub(super) members: Vec<Member>,
}

/// A member.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Member {
    #[prost(uint64, tag = "1")]
    pub(super) id: u64,
    #[prost(string, tag = "2")]
    pub(super) name: String,
    #[prost(string, repeated, tag = "3")]
    pub(super) peer_urls: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    pub(super) client_urls: Vec<String>,
    /// Since 3.4.
    #[prost(bool, tag = "5")]
    pub(super) is_learner: bool,
}

/// Asks a member about itself.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StatusRequest {}

/// What a member says of itself.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct StatusResponse {
    #[prost(message, optional, tag = "1")]
    pub(super) header: Option<ResponseHeader>,
    #[prost(string, tag = "2")]
    pub(super) version: String,
    #[prost(int64, tag = "3")]
    pub(super) db_size: i64,
    #[prost(uint64, tag = "4")]
    pub(super) leader: u64,
    #[prost(uint64, tag = "5")]
    pub(super) raft_index: u64,
    #[prost(uint64, tag = "6")]
    pub(super) raft_term: u64,
    /// Since 3.4.
    #[prost(uint64, tag = "7")]
    pub(super) raft_applied_index: u64,
    /// Alarms and the lack of a leader, in words. Since 3.4.
    #[prost(string, repeated, tag = "8")]
    pub(super) errors: Vec<String>,
}

/// Asks the member that leads to hand its leadership on. Since 3.3.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MoveLeaderRequest {
    #[prost(uint64, tag = "1")]
    pub(super) target_id: u64,
}

/// Another member leads.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct MoveLeaderResponse {}

/// Asks a member for its database.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SnapshotRequest {}

/// A piece of a member's database. The last piece is no part of it but its SHA-256.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct SnapshotResponse {
    /// How much of the database is still to come.
    #[prost(uint64, tag = "2")]
    pub(super) remaining_bytes: u64,
    #[prost(bytes = "vec", tag = "3")]
    pub(super) blob: Vec<u8>,
}
