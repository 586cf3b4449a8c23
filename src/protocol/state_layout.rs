//! What lies where in this program's own directory on a node.

/// The directory with requests that wait, below the one with snapshots.
pub const REQUESTS: &str = "requests";

/// The directory with snapshots of etcd's data, below the one with snapshots.
pub const ETCD_SNAPSHOTS: &str = "etcd";
