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
//! - A new form of output: a file in `output`, and its row in `cli/formats` with the commands that offer it.
//! - A new layout: a YAML file in `profile`, and its row in `types/profile_name`.
//! - A service of which the code has to know what it is: a kind in `types/service_kind`, said by the layouts in `profile`.
//! - A new finding: a row of `diff/reason`, with its sentence and whether a new certificate mends it, made by the file of `diff` that looks at that thing.
//! - A new deed: `plan/model/deed` with its row in `plan/model/deed_traits`, drawn in `plan/draft` or `plan/rotation`, played in `simulate/deeds`, done in
//!   `apply/act`, told in `output/deed`.
//! - A new command to a node: its row in `protocol/command`, carried out by `agent/transaction/perform`, given by a deed in `apply/act`.
//! - A new phase: its row in `plan/model/phase`, at its place in the order.
//! - A reason to wait with a rotation: a function in `plan/rotation/holds` that gives a `Hold`.
//! - A step inside the cluster: a deed like any other whose address has [`types::place::Place::Cluster`]; what it needs to know becomes a field of
//!   `protocol/facts::Observed` beside the nodes; `simulate/deeds` plays it, and `apply` gives it to the node through which the API is asked. Each match on a place
//!   says today that nothing is there yet, so the compiler lists where something has to be said.
//! - What a node tells: `protocol/facts`, seen by `agent/inspect` or, of what runs, by `agent/probe`.
//!
//! # What holds the promises
//!
//! | Promise | What holds it |
//! |---|---|
//! | Apply does what the plan says | only `simulate` makes a [`simulate::Plan`], and `apply` takes nothing else; what a file says is a [`plan::SavedPlan`], compared and shown |
//! | Every state on the way is safe | [`simulate::check`] plays each step of a [`plan::Draft`]; random clusters in `tests/it/property` |
//! | No node is left half done | the journal of `agent/transaction`; `tests/it/crash` ends the program at each system call |
//! | No trust file loses its CA | a bundle is a [`types::non_empty::NonEmpty`], and a node refuses an empty one |
//! | Secrets stay where they are | [`types::secret::Secret`] has no form in which it could be printed or written; `tests/it/security/secrets.rs` looks for keys everywhere |
//! | Deciding touches nothing | `tests/it/contract/layers` refuses effects in pure rooms, and imports that go up |
//!
//! # Words
//!
//! | Word | Meaning |
//! |---|---|
//! | spec, desired | what was typed; what it means for each node, with the layout's part |
//! | layout, profile | how a distribution arranges its files; the catalogue that says so |
//! | facts, observed | what one node says; what all of them say |
//! | target, place, address | what something is about: a CA, a certificate, a service; a node, or the cluster behind its API; both together |
//! | authority, identity | a CA; a certificate with its key, in files or in a kubeconfig |
//! | trust bundle | the CA certificates that a component accepts |
//! | to present, to serve | what a client, what a server does with its certificate |
//! | finding, reason | something that differs or deserves attention; why, as data |
//! | deed, action | what is done to one thing; that with its number, reasons and place in the order |
//! | draft, plan | deeds in order; a draft that was played and breaks nothing |
//! | transaction | actions on one node that are committed or rolled back together: planned ones are `visits` in JSON |
//! | phase, barrier | a part of a rotation; what must hold on all nodes before the next one |
//! | hold | why a phase waits |
//! | rotation | one CA, or key pair, in the place of another |
//! | staged | made, and not in use yet |
//! | health check | what must hold on a node before a run goes on; `gates` in JSON |
//! | snapshot, journal | the files before and after a transaction; what a node writes down about one |
//! | survey | the wanted state and the observed one, side by side |
//! | kind of a service | what a layout says it is, where more has to be known of it: etcd, a kubelet, an API server |
//! | run, wave | one apply with its name; nodes that are worked on at the same time |
//! | to replace, to extend a CA | another key in its place; the same key with another end |
//! | undo, roll back | what a node does with a transaction that failed; what a person asks for later, from snapshots |
//! | soak | how long an old and a new CA are both trusted before the old one is dropped |
//! | consumer, waiver | who uses a CA and is not managed here; that nobody waits for him, with the reason |
//! | selector | an address of which parts may be left open, as `--only` takes it |
//! | external | signed by a CA whose key is on no node |
//! | stranger, outsider | a CA that is none of the cluster's; a member or server that is in no node of the spec |
//! | privilege | more rights in a certificate than its layout gives, which needs a name on the command line |

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
