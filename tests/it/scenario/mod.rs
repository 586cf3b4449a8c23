//! What people and time do to a cluster, on real files: what is said of it, what an apply makes of it, and the way back.

pub(crate) mod as_declared;
pub(crate) mod broken_on_disk;
pub(crate) mod directories;
pub(crate) mod etcd_snapshots;
pub(crate) mod external;
pub(crate) mod failures;
pub(crate) mod foreseen;
pub(crate) mod late_failures;
pub(crate) mod layouts;
pub(crate) mod leadership;
pub(crate) mod named_trust;
pub(crate) mod observe;
pub(crate) mod phases;
pub(crate) mod quickstart;
pub(crate) mod recovery;
pub(crate) mod remote;
pub(crate) mod renewal;
pub(crate) mod scenarios;
pub(crate) mod shared;
pub(crate) mod status;
pub(crate) mod strangers;
