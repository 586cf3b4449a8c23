//! pki against a real Kubernetes: kubeadm's control planes with their etcd, and workers, each a machine with systemd, containerd and kubelet.
//!
//! `tests/run` builds what they run (`tests/lab/kubernetes/build`) and then runs these tests: `cargo test --test kubernetes -- --test-threads 1 --nocapture`. They use one
//! cluster, one after the other; each starts it first if it is not up or not sound (`tests/lab/kubernetes/up`), and leaves it up.
//!
//! What takes longer than it says more than others do is left out unless it is asked for: `PKI_LAB_SLOW=1` runs `calibration` too, and `PKI_LAB_ALL=1` hits an apply at each
//! message (`kills`). `PKI_LAB_ETCD=trixie` runs them with etcd 3.5. That the lab leaves nothing on the machine, five times in a row, is
//! `tests/lab/kubernetes/again`.
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
mod calibration;
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

/// Whether a test of the slow tier is to be left out, which is said.
pub(crate) fn is_left_out(test: &str) -> bool {
    let is_left_out = std::env::var_os("PKI_LAB_SLOW").is_none();
    if is_left_out {
        println!("left out without PKI_LAB_SLOW=1: {test}");
    }
    is_left_out
}

pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// The names and addresses of the control planes.
pub(crate) const PLACES: [(&str, &str); 3] =
    [("cp-1", "10.78.0.11"), ("cp-2", "10.78.0.12"), ("cp-3", "10.78.0.13")];
