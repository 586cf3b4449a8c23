//! How long the whole program takes, from its start to its end: `cargo bench`.
//!
//! What is measured is what a person or a timer waits for: the process itself, on the files of one kubeadm control plane. For comparison,
//! `kubeadm certs check-expiration` of 1.20 needs 34 to 50 ms for the same files on two cores (published figure; it is not run here).
#![expect(clippy::disallowed_methods, reason = "measures the program on real files")]
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a measurement that cannot be made has failed, and its result is printed"
)]

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Enough that the median stands still on a busy machine.
const RUNS: usize = 200;

fn main() {
    let folder = tempfile::tempdir().unwrap();
    let archive = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/kubeadm-v1.20.2.tar");
    let unpacked = Command::new("tar").args(["-xf", archive, "-C"]).arg(folder.path()).status().unwrap();
    assert!(unpacked.success());
    let root = folder.path().join("cp-1").display().to_string();
    measure("start-up (pki --version)", &["--version"]);
    measure("pki status, one control plane", &["status", "--root", &root]);
    measure("pki status --format json", &["status", "--root", &root, "--format", "json"]);
    println!("kubeadm certs check-expiration: 34 to 50 ms (published figure, two cores)");
}

fn measure(name: &str, arguments: &[&str]) {
    let mut times: Vec<Duration> = (0..RUNS).map(|_| once(arguments)).collect();
    times.sort();
    let milliseconds = |part: usize| times.get(RUNS * part / 100).unwrap().as_secs_f64() * 1000.0;
    println!(
        "{name:<32} median {:>6.2} ms   fastest {:>6.2} ms   95th percentile {:>6.2} ms",
        milliseconds(50),
        milliseconds(0),
        milliseconds(95)
    );
}

fn once(arguments: &[&str]) -> Duration {
    let mut pki = Command::new(env!("CARGO_BIN_EXE_pki"));
    pki.args(arguments).stdin(Stdio::null()).stdout(Stdio::null());
    let start = Instant::now();
    let status = pki.status().unwrap();
    let time = start.elapsed();
    assert!(status.success());
    time
}
