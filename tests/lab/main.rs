//! pki against real machines: SSH, systemd, sudo, cut networks and lost power. `tests/run` starts the machines (`tests/lab/up`) and then these tests, which
//! fail where there are none: `cargo test --test lab`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "tests on real machines; one that meets what it does not expect has failed"
)]

mod adopt;
mod barriers;
mod calibration;
mod controller;
mod etcd;
mod etcd_kills;
mod etcd_snapshots;
mod expired;
mod extend;
mod layouts;
#[expect(dead_code, reason = "shared with the lab of Kubernetes")]
mod nodes;
mod outcomes;
mod outsiders;
mod pipelines;
mod places;
mod pods;
mod replace;
mod replace_layouts;
mod replacement;
mod rival;
mod same;
mod secrets;
mod specs;
mod strangers;
#[expect(dead_code, reason = "shared with tests that need more of it")]
#[path = "../support/mod.rs"]
mod support;
mod tap;
mod walk;

pub(crate) use nodes::well;
pub(crate) use support::cluster::ROOT;
pub(crate) use support::program::words;

pub(crate) const LAB: nodes::Lab = nodes::Lab {
    variable: "PKI_LAB",
    directory: "/var/lib/pki-lab",
    cgroup: "pki-lab",
    scripts: "tests/lab",
};

/// Everything that a run said.
pub(crate) fn both(output: &std::process::Output) -> String {
    [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).into_owned()).concat()
}

/// The names and addresses of the nodes in the fixtures and the examples.
pub(crate) const PLACES: [(&str, &str); 3] =
    [("cp-1", "10.0.0.11"), ("cp-2", "10.0.0.12"), ("cp-3", "10.0.0.13")];
