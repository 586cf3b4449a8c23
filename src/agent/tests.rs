//! What a node says of the files that are put there, on disk and in memory.

use crate::protocol::facts::NodeFacts;
use crate::protocol::facts::ObserveRequest;
use crate::protocol::node::Inspect;
use crate::protocol::node::NodeError;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use proptest::prelude::*;

use super::*;
use crate::formats::kubeconfig::Material;
use crate::formats::pem_facts::DefectKind;
use crate::formats::pem_facts::tests::{keys, openssl, pair};
use crate::protocol::facts::{Content, Expect, FileFacts, FileKind, Seen};

fn now() -> Timestamp {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

fn request(files: &[(&str, Expect)]) -> ObserveRequest {
    ObserveRequest {
        files: files.iter().map(|(path, expect)| ((*path).to_owned(), *expect)).collect(),
        state_directory: None,
        ..ObserveRequest::default()
    }
}

fn memory() -> Memory {
    Memory::new(now())
}

/// What one file looks like.
fn see(node: &impl Inspect, path: &str, expect: Expect) -> Seen<FileFacts> {
    node.observe(&request(&[(path, expect)])).unwrap().files.remove(path).unwrap()
}

fn content(node: &impl Inspect, path: &str, expect: Expect) -> Content {
    see(node, path, expect).shown().unwrap().content.clone()
}

#[test]
fn a_certificate_is_whole_and_its_file_has_a_digest() {
    let (certificate, _) = pair("one");
    let node = memory().file("/ca.crt", certificate.as_str(), 0o644);
    let Seen::Present(facts) = see(&node, "/ca.crt", Expect::Certificates) else { panic!() };
    let Content::Pem(pem) = &facts.content else { panic!("{facts:?}") };
    assert_eq!(pem.certificates[0].facts().subject.to_string(), "CN=one");
    assert_eq!(facts.sha256, Some(crate::x509::Sha256::of(certificate.as_bytes())));
    assert_eq!((facts.kind, facts.mode, facts.size), (FileKind::Regular, 0o644, certificate.len() as u64));
}

/// The private parts of a key in PEM, as bytes: the scalar or seed of an elliptic curve, of RSA everything but modulus and exponent. Of a text
/// that openssl cannot read, or only with a passphrase, all bytes.
fn private_parts(pem: &str) -> Vec<Vec<u8>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), pem).unwrap();
    let shown = std::process::Command::new("openssl")
        .args(["pkey", "-noout", "-text", "-passin", "pass:", "-in"])
        .arg(file.path())
        .output()
        .unwrap();
    if !shown.status.success() {
        let base64 = pem.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
        return vec![STANDARD.decode(base64).unwrap()];
    }
    let mut parts = Vec::new();
    let mut private = false;
    for line in String::from_utf8(shown.stdout).unwrap().lines() {
        if let Some(bytes) = line.strip_prefix("    ").filter(|_| private) {
            let digits = bytes.split(':').filter(|digits| !digits.is_empty());
            let part: &mut Vec<u8> = parts.last_mut().unwrap();
            part.extend(digits.map(|digits| u8::from_str_radix(digits, 16).unwrap()));
        } else {
            let titles = [
                "priv:",
                "privateExponent:",
                "prime1:",
                "prime2:",
                "exponent1:",
                "exponent2:",
                "coefficient:",
            ];
            private = titles.contains(&line);
            parts.extend(private.then(Vec::new));
        }
    }
    parts
}

/// The ways in which bytes may stand in a text: hexadecimal in both cases, and base64 behind zero, one or two other bytes.
fn encodings(bytes: &[u8]) -> Vec<String> {
    let plain = hex::encode(bytes);
    let decimal = bytes.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    let aligned = (0..3_usize).map(|before| {
        let text = STANDARD.encode([vec![0; before], bytes.to_vec()].concat());
        // The first and the last digits also hold bits of the neighbours.
        text.chars().skip(before + 1).take(bytes.len() * 4 / 3 - 4).collect()
    });
    aligned.chain([plain.to_uppercase(), plain, decimal]).collect()
}

#[test]
fn no_file_with_a_key_has_a_digest_and_no_byte_of_a_key_leaves() {
    let (certificate, key) = pair("one");
    let cut_short = key.lines().take(2).collect::<Vec<_>>().join("\n");
    let mut texts: Vec<(String, String)> = keys().into_iter().map(|(text, _)| (text.clone(), text)).collect();
    texts.extend([(format!("{certificate}{key}"), key), (cut_short.clone(), cut_short)]);
    for (text, secret) in texts {
        let parts = private_parts(&secret);
        assert!(!parts.is_empty() && parts.iter().all(|part| part.len() >= 32), "{parts:?}");
        let mut forbidden: Vec<String> = Vec::new();
        for part in &parts {
            // Pieces of sixteen bytes, so that no half of a key leaves either.
            forbidden.extend(part.chunks_exact(16).flat_map(encodings));
        }
        for expect in
            [Expect::PrivateKey, Expect::Pair, Expect::Certificates, Expect::PublicKey, Expect::Text]
        {
            let facts =
                memory().file("/k", text.as_str(), 0o600).observe(&request(&[("/k", expect)])).unwrap();
            assert_eq!(facts.files["/k"].shown().unwrap().sha256, None);
            let shown = format!("{facts:?}{}", serde_json::to_string(&facts).unwrap());
            for encoded in &forbidden {
                assert!(!shown.contains(encoded), "{expect:?}");
            }
        }
    }
}

#[test]
fn the_search_for_private_parts_would_find_them() {
    for (pem, expected) in keys().into_iter().filter(|(_, expected)| *expected != "encrypted") {
        let base64: String = pem
            .split("PRIVATE KEY-----")
            .nth(1)
            .unwrap()
            .lines()
            .filter(|line| !line.starts_with("-----"))
            .collect();
        let der = STANDARD.decode(base64.trim_end_matches("-----END ")).unwrap();
        for part in private_parts(&pem) {
            let piece = &part[..16];
            let found = |text: &str| encodings(piece).iter().any(|encoded| text.contains(encoded));
            assert!(found(&STANDARD.encode(&der)) && found(&hex::encode(&der)), "{expected}");
            assert!(found(&format!("{der:?}")), "{expected}");
        }
    }
}

#[test]
fn absent_dangling_looping_empty_and_unknown_are_five_different_things() {
    let node = memory()
        .file("/etc/file", "text", 0o644)
        .file("/etc/empty", "", 0o644)
        .file("/etc/garbage", "garbage", 0o644)
        .file("/etc/huge", vec![b'x'; 1024 * 1024 + 1], 0o644)
        .unreadable("/etc/denied", "Permission denied")
        .fifo("/etc/fifo")
        .link("/etc/broken", "gone")
        .link("/etc/round", "/etc/round");
    let at = |path: &str| see(&node, path, Expect::Certificates);
    assert_eq!(at("/etc/none"), Seen::Absent);
    let Seen::Dangling { hops, missing } = at("/etc/broken") else { panic!() };
    assert_eq!((hops[0].path.as_str(), missing.as_str()), ("/etc/broken", "/etc/gone"));
    assert!(matches!(at("/etc/round"), Seen::Looping { .. }));
    assert_eq!(at("/etc/file/x"), Seen::Unknown { reason: "/etc/file is not a directory".into() });
    assert_eq!(at("etc/file"), Seen::Unknown { reason: "\"etc/file\" is not an absolute path".into() });
    let held = |path: &str| at(path).shown().unwrap().content.clone();
    assert_eq!(held("/etc/empty"), Content::Empty);
    let Content::Pem(garbage) = held("/etc/garbage") else { panic!() };
    assert_eq!(garbage.defects[0].kind, DefectKind::NotPem);
    assert_eq!(held("/etc/denied"), Content::Unreadable { reason: "/etc/denied: Permission denied".into() });
    assert!(matches!(held("/etc/huge"), Content::Unreadable { .. }));
    assert_eq!(held("/etc/fifo"), Content::NotRead);
    assert!(matches!(held("/etc"), Content::Directory { .. }));
    let facts = node.observe(&request(&[])).unwrap();
    assert_eq!(facts.file("/etc/file"), Seen::Unknown { reason: "/etc/file was not looked at".into() });
}

#[test]
fn a_directory_and_a_link_are_looked_at_and_not_read() {
    let node = memory().file("/d/b", "1", 0o600).file("/d/a/deep", "1", 0o600).link("/l", "/d/b");
    let listed = Content::Directory { entries: vec!["a".into(), "b".into()], complete: true };
    assert_eq!(content(&node, "/d", Expect::Directory), listed);
    assert_eq!(content(&node, "/d/b", Expect::Directory), Content::NotRead);
    let Seen::Present(link) = see(&node, "/l", Expect::Link) else { panic!() };
    assert_eq!((link.resolved.as_str(), link.content), ("/d/b", Content::NotRead));
    assert_eq!((link.hops[0].path.as_str(), link.hops[0].target.as_str()), ("/l", "/d/b"));
}

#[test]
fn owners_have_the_names_of_the_nodes_own_files() {
    let node = memory()
        .file(
            "/etc/passwd",
            "root:x:0:0::/root:/bin/sh\nbroken\netcd:x:52034:52034::/:/sbin/nologin\ntoor:x:0:0::/:/bin/sh\n",
            0o644,
        )
        .file("/etc/group", "root:x:0:\nkube-cert:x:998:etcd\n", 0o644)
        .file("/k", "", 0o640)
        .owned("/k", 52034, 998)
        .file("/r", "", 0o640)
        .owned("/r", 0, 5);
    let names = |path: &str| {
        let Seen::Present(facts) = see(&node, path, Expect::PrivateKey) else { panic!() };
        (facts.owner, facts.group, facts.uid, facts.gid)
    };
    assert_eq!(names("/k"), (Some("etcd".into()), Some("kube-cert".into()), 52034, 998));
    assert_eq!(names("/r"), (Some("root".into()), None, 0, 5));
}

#[test]
fn files_that_other_files_name_are_looked_at_too() {
    let (certificate, key) = pair("one");
    let manifest = "{kind: Pod, metadata: {name: a}, spec: {containers: [{name: kube-apiserver, image: 'r/kube-apiserver:v1.31.2', command: [\
                    kube-apiserver, --client-ca-file=/pki/ca.crt, --kubeconfig=/conf/my.conf]\
                    , volumeMounts: [{name: p, mountPath: /pki}, {name: c, mountPath: /conf}]}], \
                    volumes: [{name: p, hostPath: {path: /etc/pki}}, {name: c, hostPath: {path: /etc/kubernetes}}]}}";
    let kubeconfig = "{kind: Config, users: [{name: u, user: {client-certificate: ../pki/client.crt, client-key: /etc/pki/client.key}}]}";
    let kubelet =
        "{kind: KubeletConfiguration, authentication: {x509: {clientCAFile: /etc/pki/kubelet-ca.crt}}}";
    let node = memory()
        .file("/m/kube-apiserver.yaml", manifest, 0o600)
        .file("/etc/kubernetes/my.conf", kubeconfig, 0o600)
        .file("/var/lib/kubelet/config.yaml", kubelet, 0o644)
        .file("/etc/pki/client.crt", certificate, 0o644)
        .file("/etc/pki/client.key", key, 0o600);
    let facts = node
        .observe(&request(&[
            ("/m/kube-apiserver.yaml", Expect::Manifest),
            ("/var/lib/kubelet/config.yaml", Expect::KubeletConfiguration),
        ]))
        .unwrap();
    assert_eq!(facts.kubernetes_version.as_deref(), Some("v1.31.2"));
    let named: Vec<(&str, &str)> =
        facts.named_by.iter().map(|(path, by)| (path.as_str(), by.first().unwrap().as_str())).collect();
    assert_eq!(
        named,
        [
            ("/etc/kubernetes/my.conf", "/m/kube-apiserver.yaml"),
            ("/etc/pki/ca.crt", "/m/kube-apiserver.yaml"),
            ("/etc/pki/client.crt", "/etc/kubernetes/my.conf"),
            ("/etc/pki/client.key", "/etc/kubernetes/my.conf"),
            ("/etc/pki/kubelet-ca.crt", "/var/lib/kubelet/config.yaml"),
        ]
    );
    assert_eq!(facts.files["/etc/pki/ca.crt"], Seen::Absent);
    let Content::Pem(key) = &facts.files["/etc/pki/client.key"].shown().unwrap().content else { panic!() };
    assert_eq!(key.keys.len(), 1);
    let Content::Kubeconfig(my) = &facts.files["/etc/kubernetes/my.conf"].shown().unwrap().content else {
        panic!()
    };
    assert_eq!(my.users["u"].certificate, Material::File { path: "../pki/client.crt".into() });
}

#[test]
fn a_node_that_names_too_many_files_is_not_followed_without_end() {
    let users: Vec<String> =
        (0..2000).map(|n| format!("{{name: u{n}, user: {{client-key: /k{n}}}}}")).collect();
    let kubeconfig = format!("{{kind: Config, users: [{}]}}", users.join(", "));
    let facts =
        memory().file("/c", kubeconfig, 0o600).observe(&request(&[("/c", Expect::Kubeconfig)])).unwrap();
    let unknown = facts.files.values().filter(|seen| matches!(seen, Seen::Unknown { .. })).count();
    let absent = facts.files.values().filter(|seen| **seen == Seen::Absent).count();
    assert_eq!(
        (absent, unknown),
        (512, 1024),
        "none of them is taken for absent, and there is an end to them too"
    );
}

/// The same files on disk below a temporary directory and in memory.
fn on_disk_and_in_memory() -> (tempfile::TempDir, Local, Memory) {
    let (certificate, key) = pair("one");
    let root = tempfile::tempdir().unwrap();
    let mut memory = memory().hostname("cp-1");
    let files: [(&str, &str, u32); 9] = [
        ("/etc/hostname", "cp-1\n", 0o644),
        ("/etc/passwd", "root:x:0:0::/root:/bin/sh\n", 0o644),
        ("/etc/kubernetes/pki/ca.crt", &certificate, 0o644),
        ("/etc/kubernetes/pki/ca.key", &key, 0o600),
        ("/etc/kubernetes/pki/empty.crt", "", 0o644),
        (
            "/etc/kubernetes/admin.conf",
            "kind: Config\nusers: [{name: a, user: {client-key: pki/ca.key}}]\n",
            0o600,
        ),
        ("/etc/kubernetes/manifests/etcd.yaml", "kind: Pod\n", 0o600),
        ("/var/lib/kubelet/config.yaml", "kind: KubeletConfiguration\nrotateCertificates: true\n", 0o644),
        ("/data/cert/ca.pem", &certificate, 0o4640),
    ];
    let at = |path: &str| root.path().join(path.trim_start_matches('/'));
    for (path, text, mode) in files {
        fs::create_dir_all(at(path).parent().unwrap()).unwrap();
        fs::write(at(path), text).unwrap();
        fs::set_permissions(at(path), fs::Permissions::from_mode(mode)).unwrap();
        memory = memory.file(path, text, mode);
    }
    let links = [
        ("/var/lib/etcd", "/data"),
        ("/etc/kubernetes/pki/etcd", "../../../data/current"),
        ("/data/current", "cert"),
        ("/etc/broken", "/data/gone/x"),
        ("/etc/round", "round"),
    ];
    for (path, target) in links {
        symlink(target, at(path)).unwrap();
        memory = memory.link(path, target);
    }
    let local = Local::new(Some(root.path().to_owned()), now);
    (root, local, memory)
}

/// What a tree of values cannot know of one on disk: times, numbers and owners.
fn leveled(mut facts: NodeFacts) -> NodeFacts {
    for seen in facts.files.values_mut() {
        if let Seen::Present(file) = seen {
            file.modified = now();
            (file.device, file.inode, file.uid, file.gid) = (0, 0, 0, 0);
            (file.owner, file.group) = (None, None);
            if file.kind == FileKind::Directory {
                (file.mode, file.size) = (0o755, 0);
            }
        }
    }
    facts
}

#[test]
fn a_node_in_memory_says_what_the_same_files_on_disk_say() {
    let (_root, local, memory) = on_disk_and_in_memory();
    let request = request(&[
        ("/etc/kubernetes/pki/ca.crt", Expect::Certificates),
        ("/etc/kubernetes/pki/etcd/ca.pem", Expect::Certificates),
        ("/etc/kubernetes/pki/etcd", Expect::Link),
        ("/etc/kubernetes/pki/empty.crt", Expect::Certificates),
        ("/etc/kubernetes/pki/none.crt", Expect::Certificates),
        ("/etc/kubernetes/pki/ca.crt/none", Expect::Certificates),
        ("/etc/kubernetes/pki", Expect::PrivateKey),
        ("/etc/kubernetes/admin.conf", Expect::Kubeconfig),
        ("/etc/kubernetes/manifests", Expect::Directory),
        ("/etc/kubernetes/manifests/etcd.yaml", Expect::Manifest),
        ("/var/lib/etcd/cert/../cert/./ca.pem", Expect::Text),
        ("/var/lib/kubelet/config.yaml", Expect::KubeletConfiguration),
        ("/etc/broken", Expect::Certificates),
        ("/etc/broken/y", Expect::Certificates),
        ("/etc/round", Expect::Link),
        ("/", Expect::Directory),
    ]);
    let (on_disk, in_memory) =
        (leveled(local.observe(&request).unwrap()), leveled(memory.observe(&request).unwrap()));
    for (path, seen) in &on_disk.files {
        assert_eq!(Some(seen), in_memory.files.get(path), "{path}");
    }
    assert_eq!(on_disk, in_memory);
    assert_eq!(on_disk.files.len(), request.files.len() + 1, "the kubeconfig names ca.key");
    assert_eq!((on_disk.hostname.as_deref(), on_disk.clock), (Some("cp-1"), now()));
}

#[test]
fn facts_survive_their_own_json() {
    let (_root, local, _) = on_disk_and_in_memory();
    let facts = local
        .observe(&request(&[
            ("/etc/kubernetes/pki/ca.crt", Expect::Certificates),
            ("/etc/kubernetes/pki/ca.key", Expect::PrivateKey),
            ("/etc/kubernetes/pki/etcd/ca.pem", Expect::Certificates),
            ("/etc/kubernetes/pki", Expect::Directory),
            ("/etc/kubernetes/admin.conf", Expect::Kubeconfig),
            ("/etc/kubernetes/manifests/etcd.yaml", Expect::Manifest),
            ("/var/lib/kubelet/config.yaml", Expect::KubeletConfiguration),
            ("/etc/broken", Expect::Certificates),
            ("/etc/round", Expect::Link),
            ("/none", Expect::Text),
            ("/etc/hostname/x", Expect::Text),
        ]))
        .unwrap();
    let json = serde_json::to_string_pretty(&facts).unwrap();
    assert_eq!(serde_json::from_str::<NodeFacts>(&json).unwrap(), facts);
    assert!(json.contains(r#""mode": "4640""#), "modes are written as people write them");
}

#[test]
fn a_node_whose_root_is_missing_gives_no_answer() {
    let error = Local::new(Some("/nowhere/at/all".into()), now).observe(&request(&[])).unwrap_err();
    assert!(matches!(error, NodeError::NoFiles(_)));
    assert_eq!(error.to_string(), "the node's files cannot be reached");
}

#[test]
fn files_that_are_replaced_all_the_time_are_whole_or_unknown() {
    let (root, local, _) = on_disk_and_in_memory();
    let path = root.path().join("etc/kubernetes/pki/ca.crt");
    let texts = [openssl("genpkey -algorithm ed25519"), pair("one").0, pair("two").0];
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // Both ways that files are replaced: written over in place as kubeadm does, and renamed over.
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                for text in &texts {
                    fs::write(&path, text).unwrap();
                    fs::write(path.with_extension("new"), text).unwrap();
                    fs::rename(path.with_extension("new"), &path).unwrap();
                }
            }
        });
        for _ in 0..500 {
            let seen = see(&local, "/etc/kubernetes/pki/ca.crt", Expect::Certificates);
            match seen.shown().map(|file| &file.content) {
                Some(Content::Pem(pem)) => assert_eq!(pem.certificates.len() + pem.keys.len(), 1, "{pem:?}"),
                Some(Content::Empty) => {}
                Some(other) => panic!("{other:?}"),
                None => assert!(matches!(seen, Seen::Unknown { .. }), "{seen:?}"),
            }
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}

proptest! {
    #![proptest_config(crate::seeds::cases(200))]

    #[test]
    fn no_bytes_and_no_path_make_a_node_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200), path in "\\PC{0,30}") {
        let files: BTreeMap<String, Expect> = [
            Expect::Certificates,
            Expect::PrivateKey,
            Expect::Kubeconfig,
            Expect::Manifest,
            Expect::KubeletConfiguration,
            Expect::Directory,
            Expect::Link,
            Expect::Text,
        ]
        .into_iter()
        .map(|expect| (format!("/{expect:?}"), expect))
        .chain([(path, Expect::Text)])
        .collect();
        let node = files.keys().fold(memory(), |node, path| node.file(path, bytes.clone(), 0o600));
        let node = node.file("/etc/passwd", bytes.clone(), 0o644).file("/etc/hostname", bytes, 0o644);
        node.observe(&ObserveRequest { files, state_directory: None, ..ObserveRequest::default() }).unwrap();
    }
}
