//! Each layout with each wish through the program itself, on files, with openssl as the judge.
#![expect(clippy::disallowed_methods, reason = "the tests run the program and openssl on real files")]

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use pki::types::certificate::{NewKeyAlgorithm, SubjectName};
use pki::types::secret::Secret;
use pki::x509::issue::{RootRequest, issue_root};
use pki::x509::{PrivateKey, SerialNumber, Sha256, pem};

use super::judge::{Node, bundles, leaves, missing};
use super::layouts::{LAYOUTS, Layout};
use super::{WISHES, Wish, spec};
use crate::property::members::name;
use crate::support::cluster::{is_root, left_out};
use crate::support::program;

/// A root CA of one's own, `root.crt` and `root.key`. It is valid at every clock of these tests, whenever they run.
pub(super) fn make_root(folder: &Path) {
    let key = PrivateKey::generate(NewKeyAlgorithm::EcdsaP256).unwrap();
    let request = RootRequest {
        subject: SubjectName { common_name: "own root".into(), organizations: Vec::new() },
        serial: SerialNumber::random().unwrap(),
        not_before: "2026-01-01T00:00:00Z".parse().unwrap(),
        not_after: "2046-01-01T00:00:00Z".parse().unwrap(),
    };
    let root = issue_root(&request, &key).unwrap();
    std::fs::write(folder.join("root.crt"), root.to_pem()).unwrap();
    let file = folder.join("root.key");
    std::fs::write(&file, Secret::from(key.to_pem().unwrap()).reveal()).unwrap();
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600)).unwrap();
}

pub(super) fn root_in(folder: &Path) -> (Vec<u8>, Vec<u8>) {
    (std::fs::read(folder.join("root.crt")).unwrap(), std::fs::read(folder.join("root.key")).unwrap())
}

/// Machines below a folder that have nothing yet.
struct Machines {
    layout: &'static Layout,
    members: usize,
    folder: tempfile::TempDir,
}

impl Machines {
    fn new(layout: &'static Layout) -> Self {
        let machines = Self { layout, members: layout.most.min(2), folder: tempfile::tempdir().unwrap() };
        for node in machines.roots() {
            for folder in layout.folders.iter().chain(&["/etc", "/var/lib"]) {
                std::fs::create_dir_all(format!("{node}{folder}")).unwrap();
            }
            std::fs::write(
                format!("{node}/etc/passwd"),
                "root:x:0:0::/:/bin/sh\netcd:x:998:998::/:/bin/false\n",
            )
            .unwrap();
            std::fs::write(format!("{node}/etc/group"), "root:x:0:\netcd:x:998:\n").unwrap();
        }
        make_root(machines.folder.path());
        machines
    }

    fn roots(&self) -> Vec<String> {
        (0..self.members).map(|number| format!("{}/{}", self.folder.path().display(), name(number))).collect()
    }

    /// Writes the spec in which something is asked of one CA.
    fn wish(&self, wish: Option<Wish>, of: usize) {
        let fingerprints: Vec<Sha256> = self
            .layout
            .authorities
            .iter()
            .filter_map(|authority| std::fs::read(format!("{}{}", self.roots()[0], authority.file)).ok())
            .map(|bytes| *pem::read(&bytes).certificates().next().unwrap().fingerprint())
            .collect();
        let now = jiff::Timestamp::from_second(jiff::Timestamp::now().as_second()).unwrap();
        let connection = ", connection: { local: { root: ./{node} } }";
        let text = spec(self.layout, self.members, wish, &[of].into(), (&fingerprints, now), connection);
        std::fs::write(self.folder.path().join("spec.yaml"), text).unwrap();
    }

    fn pki(&self, arguments: &[&str]) -> (i32, String) {
        let output = program::pki(self.folder.path(), arguments);
        (program::code(&output), format!("{}{}", program::stdout(&output), program::stderr(&output)))
    }

    /// One apply of a saved plan, which is confirmed by its name only where a yes is not enough; its exit code, and what was said.
    fn apply(&self, authority: &str) -> (i32, String) {
        let (code, said) = self.pki(&["plan", "-f", "spec.yaml", "-o", "plan.json"]);
        if code != 0 {
            return (code, said);
        }
        let digest = Sha256::of(&std::fs::read(self.folder.path().join("plan.json")).unwrap()).to_string();
        let yes = ["apply", "plan.json", "--yes", "--expect-digest", &digest];
        match self.pki(&yes) {
            (6, _) => {
                let name = format!("random/{authority}");
                self.pki(&[yes.as_slice(), &["--confirm", name.as_str()]].concat())
            }
            done => done,
        }
    }

    fn judged<T>(&self, judge: impl FnOnce(&[Node<'_>]) -> T) -> T {
        let roots = self.roots();
        let read: Vec<_> =
            roots.iter().map(|root| move |path: &str| std::fs::read(format!("{root}{path}")).ok()).collect();
        let nodes: Vec<Node<'_>> =
            read.iter().enumerate().map(|(number, bytes)| Node { name: name(number), bytes }).collect();
        judge(&nodes)
    }

    /// A wish comes true, and after each of its plans nothing is wrong.
    fn go_through(&self, authority: &str, told: &str) {
        for round in 0.. {
            let (code, text) = self.apply(authority);
            let said = format!("{told}, round {round}\n{text}\n");
            self.is_sound(&said);
            assert_eq!(code, 0, "{said}");
            if text.contains("No changes") {
                return;
            }
            assert!(round < 8, "it does not end: {said}");
        }
    }

    /// A wish that cannot be fulfilled is told by the name of the CA, with a way out, and nothing is written. A wish for another CA blocks every plan and is an alarm.
    /// To extend a CA that is about to end is what happens by itself where nothing is declared: that blocks nothing, so that what it issued is renewed until the last day.
    fn is_refused(&self, authority: &str, wish: Wish, told: &str) {
        let before = self.files();
        let (code, text) = self.apply(authority);
        let said = format!("{told}\n{text}");
        assert_eq!(self.files(), before, "{said}");
        assert!(text.contains(&format!("ca/{authority}@member-0")) && text.contains("help: "), "{said}");
        if wish == Wish::Extend {
            let cannot = format!("{authority} itself is about to end, and this version extends and replaces");
            assert!(text.contains("Not by this plan: ") && text.contains(&cannot), "{said}");
            assert_eq!(code, 0, "{said}");
            return;
        }
        assert_eq!(code, 3, "{said}");
        let (_, status) = self.pki(&["status", "-f", "spec.yaml"]);
        assert!(status.contains(&format!("no way   ca/{authority}@member-0")), "{status}");
    }

    /// Every file of every machine.
    fn files(&self) -> BTreeMap<std::path::PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders: Vec<std::path::PathBuf> = self.roots().into_iter().map(Into::into).collect();
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.clone(), std::fs::read(path).unwrap());
                }
            }
        }
        files
    }

    /// Nothing is wrong on the files, neither by the judge of the random clusters nor by openssl.
    fn is_sound(&self, said: &str) {
        let nothing: BTreeSet<String> = BTreeSet::new();
        let now = jiff::Timestamp::now();
        assert_eq!(self.judged(|nodes| missing(self.layout, nodes)), nothing, "{said}");
        assert_eq!(self.judged(|nodes| bundles(self.layout, nodes)), nothing, "{said}");
        assert_eq!(self.judged(|nodes| leaves(self.layout, nodes, now)), nothing, "{said}");
        let paths = self.judged(|nodes| super::judge::chains(self.layout, nodes));
        assert!(!paths.is_empty());
        for (leaf, bundle) in paths {
            for (file, text) in [("leaf.pem", &leaf), ("bundle.pem", &bundle)] {
                std::fs::write(self.folder.path().join(file), text).unwrap();
            }
            let verified = Command::new("openssl")
                .args(["verify", "-CAfile", "bundle.pem", "leaf.pem"])
                .current_dir(self.folder.path())
                .output()
                .unwrap();
            assert!(verified.status.success(), "{}\n{said}", String::from_utf8_lossy(&verified.stderr));
        }
    }
}

/// Every wish of one layout, each on machines of its own.
fn every_wish(index: usize) {
    let layout = &LAYOUTS[index];
    if !is_root() {
        left_out("every_layout", "only root can give files to the user etcd");
        return;
    }
    for (of, authority) in layout.authorities.iter().enumerate() {
        for wish in WISHES {
            // Leaves are renewed with whatever CA: once is enough.
            if wish == Wish::Renew && of > 0 {
                continue;
            }
            let machines = Machines::new(layout);
            machines.wish(None, of);
            let (code, said) = machines.apply(authority.name);
            assert_eq!(code, 0, "{said}");
            machines.is_sound(&said);
            machines.wish(Some(wish), of);
            let told = format!("{}: {wish:?} of {}", layout.profile, authority.name);
            if wish.is_fulfilled(authority) {
                machines.go_through(authority.name, &told);
            } else {
                machines.is_refused(authority.name, wish, &told);
            }
        }
    }
}

#[test]
fn every_wish_on_files_of_kubeadm() {
    every_wish(0);
}

#[test]
fn every_wish_on_files_of_ack() {
    every_wish(1);
}

#[test]
fn every_wish_on_files_of_starlingx() {
    every_wish(2);
}

#[test]
fn every_wish_on_files_of_plain_etcd() {
    every_wish(3);
}

#[test]
fn every_wish_on_files_of_kubespray() {
    every_wish(4);
}

#[test]
fn every_wish_on_files_of_rke1() {
    every_wish(5);
}

#[test]
fn every_wish_on_files_of_own_certificates() {
    every_wish(6);
}
