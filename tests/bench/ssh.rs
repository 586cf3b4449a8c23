//! How long it takes to look at fifty machines over SSH, beside fifty bare `ssh NODE true` in the same run, with pki on the nodes and without:
//! `cargo bench --bench ssh`, as root on Debian, while no lab is up.
//!
//! Starts the machines itself (`tests/lab/up`) and removes them. Prints figures, and judges none.
#![expect(clippy::disallowed_methods, reason = "measures the program on real machines")]
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a measurement that cannot be made has failed, and its result is printed"
)]

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
const PKI: &str = env!("CARGO_BIN_EXE_pki");
const NODES: usize = 50;
const ROUNDS: usize = 5;
/// How many connections are made at the same time, which is what the program does by default.
const AT_ONCE: usize = 32;

fn main() {
    let lab = Lab::up();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spec.yaml"), lab.spec()).unwrap();
    let observe = || {
        let begun = Instant::now();
        let status = lab.pki(folder.path());
        assert!(status.success(), "status ends with {status}");
        begun.elapsed()
    };
    // Interleaved, so that what else the machine does meets all of them.
    let mut times: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for _ in 0..ROUNDS {
        times.entry("1 bare").or_default().push(lab.bare());
        lab.install(false);
        times.entry("3 copied").or_default().push(observe());
        lab.install(true);
        times.entry("2 installed").or_default().push(observe());
    }
    let medians: BTreeMap<_, _> = times.iter().map(|(name, times)| (*name, median(times))).collect();
    for (name, what) in [
        ("1 bare", "ssh NODE true"),
        ("2 installed", "pki status, pki on the nodes"),
        ("3 copied", "pki status, pki copied there"),
    ] {
        let ratio = medians[name].as_secs_f64() / medians["1 bare"].as_secs_f64();
        println!(
            "{NODES} nodes   {what:<30} median {:>7.2} s   {ratio:.2} times bare",
            medians[name].as_secs_f64()
        );
    }
}

fn median(times: &[Duration]) -> Duration {
    let mut times = times.to_vec();
    times.sort_unstable();
    times[times.len() / 2]
}

struct Lab {
    folder: PathBuf,
    addresses: Vec<String>,
}

impl Lab {
    fn up() -> Self {
        let up = Command::new(Path::new(ROOT).join("tests/lab/up"))
            .arg(NODES.to_string())
            .stdout(Stdio::null())
            .status();
        let folder = std::env::var_os("PKI_LAB").map_or_else(|| "/var/lib/pki-lab".into(), PathBuf::from);
        // Made first, so that a lab that is there only in part is removed too.
        let mut lab = Self { folder, addresses: Vec::new() };
        assert!(up.unwrap().success(), "no lab");
        for number in 1..=NODES {
            let address = std::fs::read_to_string(lab.node(number).join("address")).unwrap();
            lab.addresses.push(address.trim().to_owned());
            let kubernetes = lab.node(number).join("root");
            let archive = Path::new(ROOT).join("tests/fixtures/kubeadm-v1.20.2.tar");
            let mut tar = Command::new("tar");
            tar.args(["--no-same-owner", "--strip-components=1", "-pxf"])
                .arg(archive)
                .arg("-C")
                .arg(kubernetes)
                .arg("cp-1/etc");
            assert!(tar.status().unwrap().success());
        }
        lab
    }

    fn node(&self, number: usize) -> PathBuf {
        self.folder.join(format!("nodes/node-{number}"))
    }

    fn spec(&self) -> String {
        let mut spec = "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: { name: fifty }\nspec:\n  profile: kubeadm\n  kubernetesVersion: v1.20.2\n  \
             cluster: { controlPlaneEndpoint: \"api.prod-eu1.example:6443\", serviceSubnet: 10.96.0.0/12 }\n  connection: { ssh: {} }\n  nodes:\n"
            .to_owned();
        for (index, address) in self.addresses.iter().enumerate() {
            writeln!(spec, "    node-{}: {{ address: {address}, roles: [control-plane, etcd] }}", index + 1)
                .unwrap();
        }
        spec
    }

    /// `pki status` with no connection left over from before.
    fn pki(&self, folder: &Path) -> ExitStatus {
        let run = tempfile::tempdir().unwrap();
        let mut pki = Command::new(PKI);
        pki.args(["status", "-q", "-f", "spec.yaml", "--ssh-config"]).arg(self.folder.join("ssh_config"));
        pki.current_dir(folder).env("XDG_RUNTIME_DIR", run.path()).stdout(Stdio::null()).status().unwrap()
    }

    /// The same connections without anything on them.
    fn bare(&self) -> Duration {
        let begun = Instant::now();
        let next = std::sync::atomic::AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    while let Some(address) =
                        self.addresses.get(next.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
                    {
                        let mut ssh = Command::new("ssh");
                        ssh.arg("-n")
                            .arg("-F")
                            .arg(self.folder.join("ssh_config"))
                            .args([address.as_str(), "true"]);
                        assert!(ssh.status().unwrap().success());
                    }
                });
            }
        });
        begun.elapsed()
    }

    /// Puts the program on every node, or takes it away.
    fn install(&self, there: bool) {
        for number in 1..=NODES {
            let path = self.node(number).join("root/usr/local/bin/pki");
            if there {
                std::fs::copy(PKI, path).unwrap();
            } else if path.exists() {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        let down = Command::new(Path::new(ROOT).join("tests/lab/down")).status();
        assert!(down.unwrap().success(), "the lab is not removed: tests/lab/down");
    }
}
