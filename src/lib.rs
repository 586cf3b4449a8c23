//! Declarative plan and apply for the certificates of self-managed Kubernetes and etcd clusters.
//!
//! ```text
//! Spec --resolve(profile)--> Desired --+
//!                                      +--diff(now)--> Differences --plan--> Draft --simulate--> Plan --apply--> Report
//! Nodes --observe--> Observed ---------+                                      ^--- rollback(snapshots) ---'
//! ```
//!
//! What enters is a reviewed YAML file and what the nodes say; what leaves are values: findings, plans, reports and texts. Deciding is pure: no I/O, no clock
//! but the `now` that it is given, no randomness, so the same input gives the same bytes. The library never prints, never reads the environment and never ends
//! the process: that is the program's part (`cli`).
//!
//! # Rooms
//!
//! Imports go down only; `tests/it/contract/layers/mod.rs` holds this table, and which crates each room may use.
//!
//! | Rank | Room | What is in it |
//! |---|---|---|
//! | 0 | [`diagnostic`] | problems with places, the table of codes, what is escaped for whom |
//! | 1 | [`types`] | names, durations, secrets, files and certificates as they are wished for |
//! | 2 | [`yaml`], [`x509`] | YAML with places; certificates, keys, chains by Go's rules, issuing |
//! | 3 | [`formats`] | what lies on nodes: PEM, kubeconfigs, manifests, the kubelet's configuration |
//! | 4 | [`protocol`], [`spec`] | what controller and nodes say to each other; what a user declares |
//! | 5 | [`files`], [`profile`] | paths walked as an attacker's (effects); the layouts |
//! | 6 | [`agent`], [`remote`], [`desired`] | what runs on a node (effects); nodes behind a connection (effects); the wanted state |
//! | 7 | [`trust`], [`observe`] | who accepts whom; all nodes asked at once (effects) |
//! | 8 | [`diff`] | findings |
//! | 9 | [`plan`] | deeds, their order, phases, what is left of a plan, the way back |
//! | 10 | [`simulate`], [`output`] | a draft played, of which a plan comes; every text and every format |
//! | 11 | [`apply`], [`adopt`] | a plan carried out (effects); a spec from what nodes hold |
//!
//! # Where does it go?
//!
//! - A new form of output: a file in `output`, and its word in the command that offers it.
//! - A new deed: `plan/model/deed` with its row in `plan/model/deed_traits`, drawn in `plan/draft` or `plan/rotation`, played in `simulate/deeds`, done in `apply/act`, told in `output/deed`.
//! - A new layout: a YAML file in `profile`, and its row in `types/profile_name`.
//! - A new finding: a row of `diff/reason`, with its sentence and whether a new certificate mends it, made by the file of `diff` that looks at that thing.
//! - A new order to a node: `protocol/command` with its form in `protocol/wire`, carried out by `agent/transaction`.
//! - What a node tells: `protocol/facts`, seen by `agent/inspect` or, of what runs, by `agent/probe`.

pub mod adopt;
pub mod agent;
pub mod apply;
pub mod desired;
pub mod diagnostic;
pub mod diff;
pub mod files;
pub mod formats;
pub mod observe;
pub mod output;
pub mod plan;
pub mod profile;
pub mod protocol;
pub mod remote;
#[cfg(test)]
#[path = "../tests/support/seeds.rs"]
mod seeds;
pub mod simulate;
pub mod spec;
pub mod trust;
pub mod types;
pub mod x509;
pub mod yaml;
