//! Declarative plan and apply for the certificates of self-managed Kubernetes and etcd clusters.
//!
//! ```text
//! Spec --resolve(profile)--> Desired --+
//!                                      +--diff(now)--> Changes --plan--> Plan --check--> apply --> Journal --> Report
//! Nodes --observe--> Observed ---------+                                   ^------ rollback(plan, journal) ----'
//! ```
//!
//! What enters is a reviewed YAML file ([`spec`]) and what the nodes say ([`node`], [`observed`]); what leaves are
//! values: findings ([`diff`]), reports ([`status`]) and texts ([`render`]). Deciding is pure: no I/O, no clock but the `now` it is given, no
//! randomness, so the same input gives the same bytes. Effects live in [`node`] alone. The library never prints, never reads the
//! environment and never ends the process: that is the binary's part (`cli`).

pub mod adopt;
pub mod apply;
mod counted;
pub mod desired;
pub mod detect;
pub mod diagnostic;
pub mod diff;
pub mod duration;
pub mod explain;
pub mod gate;
pub mod hints;
pub mod ids;
pub mod kubeconfig;
pub mod kubelet;
pub mod log_commands;
pub mod lookalike;
pub mod manifest;
pub mod material;
pub mod named_files;
pub mod node;
mod node_yaml;
pub mod non_empty;
pub mod observe;
pub mod observed;
pub mod own_root;
pub mod plan;
pub mod profile;
pub mod render;
pub mod request;
pub mod root_files;
pub mod saved;
pub mod schema;
pub mod secret;
#[cfg(test)]
#[path = "../tests/it/seeds.rs"]
mod seeds;
pub mod signed;
pub mod simulate;
pub mod spec;
pub mod status;
pub mod survey;
pub mod visits;
pub mod x509;
mod yaml_edit;
