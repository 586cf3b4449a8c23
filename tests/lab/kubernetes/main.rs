//! pki against a real Kubernetes: kubeadm's control planes with their etcd, and workers, each a machine with systemd, containerd and kubelet.
//!
//! `tests/run` builds what they run (`tests/lab/kubernetes/build`) and then runs these tests: `cargo test --test kubernetes -- --test-threads 1 --nocapture`. They use one
//! cluster, one after the other; each starts it first if it is not up or not sound (`tests/lab/kubernetes/up`), and leaves it up.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "tests on real machines; one that meets what it does not expect has failed"
)]

#[path = "../../support/by_hand.rs"]
mod by_hand;
mod cluster;
#[expect(dead_code, reason = "shared with the other lab")]
#[path = "../controller.rs"]
mod controller;
mod experiment;
mod judges;
mod kills;
mod live;
mod load;
#[expect(dead_code, reason = "shared with the other lab")]
#[path = "../nodes.rs"]
mod nodes;
#[expect(dead_code, reason = "shared with the other lab")]
#[path = "../tap.rs"]
mod tap;

pub(crate) const LAB: nodes::Lab = nodes::Lab {
    variable: "PKI_LAB_KUBERNETES",
    directory: "/var/lib/pki-lab-kubernetes",
    cgroup: "pki-kube",
    scripts: "tests/lab/kubernetes",
};

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The names and addresses of the control planes.
pub(crate) const PLACES: [(&str, &str); 3] =
    [("cp-1", "10.78.0.11"), ("cp-2", "10.78.0.12"), ("cp-3", "10.78.0.13")];
