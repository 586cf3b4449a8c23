//! The first thing that a newcomer does: three empty directories become a cluster's whole PKI, and `openssl` finds every file as it should be.
#![expect(clippy::disallowed_methods, reason = "the tests run the program and openssl on real files")]

use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::cluster::{NODES, ROOT};
use crate::support::listing::listing;
use crate::support::program::{code, pki, stderr, stdout};

const PKI: &str = "etc/kubernetes/pki";
/// Every certificate file of a node with its authority's, its subject, what it may be used for and the names it has; `NODE` and `ADDRESS` stand
/// for the node's own.
const CERTIFICATES: [(&str, &str, &str, &str, &str); 7] = [
    (
        "apiserver",
        "ca",
        "CN=kube-apiserver",
        "server",
        "DNS:NODE; DNS:api.quickstart.example; DNS:kubernetes; DNS:kubernetes.default; DNS:kubernetes.default.svc; \
         DNS:kubernetes.default.svc.cluster.local; IP Address:10.96.0.1; IP Address:ADDRESS",
    ),
    (
        "apiserver-kubelet-client",
        "ca",
        "CN=kube-apiserver-kubelet-client,O=kubeadm:cluster-admins",
        "client",
        "",
    ),
    ("apiserver-etcd-client", "etcd/ca", "CN=kube-apiserver-etcd-client", "client", ""),
    ("front-proxy-client", "front-proxy-ca", "CN=front-proxy-client", "client", ""),
    ("etcd/healthcheck-client", "etcd/ca", "CN=kube-etcd-healthcheck-client", "client", ""),
    ("etcd/server", "etcd/ca", "CN=NODE", "server client", ETCD),
    ("etcd/peer", "etcd/ca", "CN=NODE", "server client", ETCD),
];
const ETCD: &str =
    "DNS:NODE; DNS:localhost; IP Address:0:0:0:0:0:0:0:1; IP Address:127.0.0.1; IP Address:ADDRESS";
/// Every kubeconfig of a node with the subject of its user.
const KUBECONFIGS: [(&str, &str); 4] = [
    ("admin.conf", "CN=kubernetes-admin,O=kubeadm:cluster-admins"),
    ("controller-manager.conf", "CN=system:kube-controller-manager"),
    ("scheduler.conf", "CN=system:kube-scheduler"),
    ("kubelet.conf", "CN=system:node:NODE,O=system:nodes"),
];

#[test]
fn three_empty_directories_become_a_whole_pki() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir(folder.path().join("examples")).unwrap();
    std::fs::copy(
        Path::new(ROOT).join("examples/quickstart.yaml"),
        folder.path().join("examples/quickstart.yaml"),
    )
    .unwrap();
    let apply = ["apply", "-f", "examples/quickstart.yaml", "--yes"];
    let output = pki(folder.path(), &apply);
    assert_eq!(code(&output), 0, "{}{}", stdout(&output), stderr(&output));
    let nodes = folder.path().join("target/quickstart");
    for (index, node) in NODES.into_iter().enumerate() {
        let check = Check { root: nodes.join(node), node, address: format!("10.0.0.{}", index + 11) };
        check.authorities();
        check.certificates();
        check.kubeconfigs();
        check.service_account();
        check.access();
    }
    for shared in [
        "ca.crt",
        "ca.key",
        "etcd/ca.crt",
        "etcd/ca.key",
        "front-proxy-ca.crt",
        "front-proxy-ca.key",
        "sa.key",
        "sa.pub",
    ] {
        let read = |node: &str| std::fs::read(nodes.join(node).join(PKI).join(shared)).unwrap();
        assert!(
            read("cp-1") == read("cp-2") && read("cp-1") == read("cp-3"),
            "{shared} differs between nodes"
        );
    }
    let before = listing(&nodes);
    let again = pki(folder.path(), &apply);
    assert_eq!(code(&again), 0);
    assert!(
        stdout(&again).contains("No changes. quickstart matches examples/quickstart.yaml."),
        "{}",
        stdout(&again)
    );
    assert_eq!(listing(&nodes), before);
    let pending = pki(folder.path(), &["plan", "-f", "examples/quickstart.yaml", "--exit-code"]);
    assert_eq!(code(&pending), 0);
}

/// One node's files, looked at with openssl.
struct Check<'a> {
    root: PathBuf,
    node: &'a str,
    address: String,
}

impl Check<'_> {
    fn openssl(&self, arguments: &[&str]) -> String {
        let output = Command::new("openssl").args(arguments).current_dir(&self.root).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: openssl {arguments:?}: {errors}", self.node);
        String::from_utf8(output.stdout).unwrap()
    }

    fn own(&self, text: &str) -> String {
        text.replace("NODE", self.node).replace("ADDRESS", &self.address)
    }

    fn authorities(&self) {
        for (name, subject) in
            [("ca", "kubernetes"), ("etcd/ca", "etcd-ca"), ("front-proxy-ca", "front-proxy-ca")]
        {
            let file = format!("{PKI}/{name}.crt");
            self.openssl(&["verify", "-CAfile", &file, "-check_ss_sig", &file]);
            self.matches(&file, &format!("{PKI}/{name}.key"));
            assert_eq!(self.subject(&file), format!("CN={subject}"));
            let extensions =
                self.openssl(&["x509", "-in", &file, "-noout", "-ext", "basicConstraints,keyUsage"]);
            assert!(
                extensions.contains("CA:TRUE") && extensions.contains("Certificate Sign"),
                "{extensions}"
            );
        }
    }

    fn certificates(&self) {
        for (name, authority, subject, usages, names) in CERTIFICATES {
            let file = format!("{PKI}/{name}.crt");
            self.leaf(&file, &format!("{PKI}/{authority}.crt"), &self.own(subject), usages, &self.own(names));
            self.matches(&file, &format!("{PKI}/{name}.key"));
        }
    }

    fn kubeconfigs(&self) {
        for (name, subject) in KUBECONFIGS {
            let text = std::fs::read_to_string(self.root.join("etc/kubernetes").join(name)).unwrap();
            let scratch = tempfile::tempdir().unwrap();
            let extracted = |field: &str| {
                let line =
                    text.lines().find_map(|line| line.trim().strip_prefix(&format!("{field}: "))).unwrap();
                let path = scratch.path().join(field);
                let decoded =
                    base64::Engine::decode(&base64::engine::general_purpose::STANDARD, line).unwrap();
                std::fs::write(&path, decoded).unwrap();
                path.to_str().unwrap().to_owned()
            };
            let (ca, certificate, key) = (
                extracted("certificate-authority-data"),
                extracted("client-certificate-data"),
                extracted("client-key-data"),
            );
            self.leaf(&certificate, &ca, &self.own(subject), "client", "");
            self.matches(&certificate, &key);
            let ours = std::fs::read(self.root.join(PKI).join("ca.crt")).unwrap();
            assert_eq!(std::fs::read(&ca).unwrap(), ours, "{name} trusts the cluster's CA");
            let server = text.lines().find_map(|line| line.trim().strip_prefix("server: ")).unwrap();
            let expected = match name {
                "admin.conf" | "kubelet.conf" => "https://api.quickstart.example:6443".to_owned(),
                _ => format!("https://{}:6443", self.address),
            };
            assert_eq!(server.trim_matches('"'), expected, "{name}");
        }
    }

    fn leaf(&self, file: &str, authority: &str, subject: &str, usages: &str, names: &str) {
        assert_eq!(self.subject(file), subject, "{file}");
        let extensions =
            self.openssl(&["x509", "-in", file, "-noout", "-ext", "extendedKeyUsage,subjectAltName"]);
        for (usage, words, purpose) in [
            ("server", "TLS Web Server Authentication", "sslserver"),
            ("client", "TLS Web Client Authentication", "sslclient"),
        ] {
            assert_eq!(extensions.contains(words), usages.contains(usage), "{file}: {extensions}");
            if usages.contains(usage) {
                self.openssl(&["verify", "-purpose", purpose, "-x509_strict", "-CAfile", authority, file]);
            }
        }
        let mut found: Vec<&str> = extensions
            .lines()
            .filter(|line| line.contains("DNS:") || line.contains("IP Address:"))
            .flat_map(|line| line.trim().split(", "))
            .collect();
        found.sort_unstable();
        let mut wanted: Vec<&str> = names.split("; ").filter(|name| !name.is_empty()).collect();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{file}");
    }

    fn subject(&self, file: &str) -> String {
        let text = self.openssl(&["x509", "-in", file, "-noout", "-subject", "-nameopt", "RFC2253"]);
        text.trim().trim_start_matches("subject=").to_owned()
    }

    fn matches(&self, certificate: &str, key: &str) {
        let of_certificate = self.openssl(&["x509", "-in", certificate, "-noout", "-pubkey"]);
        assert_eq!(of_certificate, self.openssl(&["pkey", "-in", key, "-pubout"]), "{certificate} and {key}");
    }

    fn service_account(&self) {
        let public = std::fs::read_to_string(self.root.join(PKI).join("sa.pub")).unwrap();
        assert_eq!(public, self.openssl(&["pkey", "-in", &format!("{PKI}/sa.key"), "-pubout"]));
    }

    /// Keys and kubeconfigs are for root alone, and everything belongs to whoever ran the program.
    fn access(&self) {
        let printed =
            Command::new("find").args(["etc", "-type", "f"]).current_dir(&self.root).output().unwrap();
        let files = String::from_utf8(printed.stdout).unwrap();
        assert_eq!(files.lines().count(), 2 * 7 + 2 * 3 + 4 + 2, "{files}");
        for file in files.lines() {
            let metadata = std::fs::metadata(self.root.join(file)).unwrap();
            let is_public = file.ends_with(".crt");
            let expected = if is_public { 0o644 } else { 0o600 };
            assert_eq!(metadata.mode() & 0o7777, expected, "{file}");
            assert_eq!(metadata.uid(), std::fs::metadata(&self.root).unwrap().uid(), "{file}");
        }
    }
}
