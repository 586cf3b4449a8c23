//! Restarts of a plan: which services, in which order, and what must hold before the next one. Pure.

pub(crate) mod cause;
pub(crate) mod cold_start;
pub(crate) mod etcd_snapshot;
pub(crate) mod health_checks;
pub(crate) mod leadership;
pub(crate) mod other_pods;
pub(crate) mod recovered;
pub(crate) mod restarts;
