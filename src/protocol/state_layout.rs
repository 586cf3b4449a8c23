//! What lies where in this program's own directory on a node.

/// The directory with requests that wait, below the one with snapshots.
pub const REQUESTS: &str = "requests";

/// The directory with snapshots of etcd's data, below the one with snapshots.
pub const ETCD_SNAPSHOTS: &str = "etcd";

/// The file that names the open transaction, as JSON of [`OpenTransaction`](crate::protocol::facts::OpenTransaction).
pub const OPEN: &str = "open";

/// The file that names the last one that ended, as JSON of [`PastTransaction`](crate::protocol::facts::PastTransaction).
pub const LAST: &str = "last";

/// The directory with the snapshots of all runs.
pub const SNAPSHOTS: &str = "snapshots";

/// The directory of a snapshot with copies of what was there before.
pub const BEFORE_COPIES: &str = "before";

/// The directory in which versions before 0.2 kept copies of what was left; they are read, and no new ones are made.
pub const AFTER_COPIES: &str = "after";
