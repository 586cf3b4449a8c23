//! Keys, certificates and kubeconfigs on real files.

use super::*;
use crate::protocol::command::{AuthorityFiles, Reply, SignRequest};
use crate::types::non_empty::NonEmpty;
use crate::x509::{Certificate, PublicKey};

const CA: [&str; 2] = ["/etc/kubernetes/pki/ca.crt", "/etc/kubernetes/pki/ca.key"];
const PAIR: [&str; 2] = ["/etc/kubernetes/pki/apiserver.crt", "/etc/kubernetes/pki/apiserver.key"];
const ADMIN: &str = "/etc/kubernetes/admin.conf";
const CURRENT: &str = "/data/kubelet-client-current.pem";

fn name(common_name: &str) -> SubjectName {
    SubjectName { common_name: common_name.to_owned(), organizations: Vec::new() }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn authority(local: &mut Local) -> Certificate {
    let order = WriteCommand::CreateAuthority {
        certificate: spec(CA[0], "0644"),
        key: spec(CA[1], "0600"),
        algorithm: NewKeyAlgorithm::EcdsaP256,
        subject: name("kubernetes"),
        not_before: at("2026-01-01T00:00:00Z"),
        not_after: at("2036-01-01T00:00:00Z"),
        over: None,
    };
    let Reply::Certificate(root) = local.perform(order).unwrap() else { panic!() };
    root
}

fn key(local: &mut Local, order: WriteCommand) -> PublicKey {
    let Reply::PublicKey(key) = local.perform(order).unwrap() else { panic!() };
    key
}

fn new_key(local: &mut Local) -> PublicKey {
    let keys = [(slot(), NewKeyAlgorithm::EcdsaP256)].into();
    let Reply::PublicKeys(mut made) = local.perform(WriteCommand::MakeKeys { keys }).unwrap() else {
        panic!()
    };
    made.remove(&slot()).unwrap()
}

fn slot() -> Slot {
    Slot("one".to_owned())
}

fn leaf(local: &mut Local, root: &Certificate, public_key: PublicKey) -> Certificate {
    let request = SignRequest {
        public_key,
        subject: name("kube-apiserver"),
        usages: [Usage::Server, Usage::Client].into(),
        dns: ["api.example".to_owned()].into(),
        ip: ["10.0.0.1".parse().unwrap()].into(),
        not_before: at("2026-11-01T00:00:00Z"),
        not_after: at("2027-11-01T00:00:00Z"),
        issuer: *root.fingerprint(),
    };
    let authority = AuthorityFiles { certificate: CA[0].to_owned(), key: CA[1].to_owned() };
    let answer = local
        .ask(ReadCommand::Sign { authority, request: Box::new(request), links: Default::default() })
        .unwrap();
    let Reply::Certificate(leaf) = answer else { panic!() };
    leaf
}

fn pair() -> Storage {
    Storage::Pair { certificate: spec(PAIR[0], "0644"), key: spec(PAIR[1], "0600") }
}

fn combined() -> Storage {
    Storage::Combined { file: spec(CURRENT, "0600") }
}

fn kubeconfig() -> Storage {
    Storage::Kubeconfig {
        file: spec(ADMIN, "0600"),
        server: Some("https://10.0.0.1:6443".into()),
        user: "kubernetes-admin".into(),
        trusts: "ca".parse().unwrap(),
        rotated: None,
    }
}

fn identity(certificate: &Certificate, root: &Certificate, storage: Storage) -> WriteCommand {
    WriteCommand::WriteIdentity {
        slot: slot(),
        certificate: certificate.clone(),
        chain: Vec::new(),
        storage,
        trusted: Some(NonEmpty::one(root.clone())),
        cluster: "kubernetes".into(),
    }
}

fn check(storage: Storage) -> IdentityCheck {
    IdentityCheck {
        storage,
        authority: Some(CA[0].to_owned()),
        usages: [Usage::Server, Usage::Client].into(),
        dns: ["api.example".to_owned()].into(),
        ip: ["10.0.0.1".parse().unwrap()].into(),
        now: clock(),
    }
}

fn checked(local: &mut Local, identity: IdentityCheck) -> Result<(), HostError> {
    local.ask(ReadCommand::Check { identity: Box::new(identity) }).map(|_| ())
}

const ALL: [&str; 6] = [CA[0], CA[1], PAIR[0], PAIR[1], ADMIN, CURRENT];

#[test]
fn an_identity_in_every_storage_is_whole_and_is_taken_back() {
    let node = Node::new();
    node.file("/data/2026.pem", "", 0o600);
    symlink("2026.pem", node.at(CURRENT)).unwrap();
    let before = node.everything();
    let mut local = node.begun(&ALL);
    let root = authority(&mut local);
    let public = new_key(&mut local);
    let leaf = leaf(&mut local, &root, public.clone());
    for storage in [pair(), combined(), kubeconfig()] {
        local.perform(identity(&leaf, &root, storage.clone())).unwrap();
        checked(&mut local, check(storage.clone())).unwrap();
        // The slot is empty once its key is written.
        let taken = key(&mut local, WriteCommand::TakeKey { slot: slot(), storage });
        assert_eq!(taken, public);
    }
    for (path, mode) in [(PAIR[0], 0o644), (PAIR[1], 0o600), (ADMIN, 0o600), (CA[1], 0o600)] {
        assert_eq!(fs::metadata(node.at(path)).unwrap().mode() & 0o7777, mode, "{path}");
    }
    assert!(node.at(CURRENT).is_symlink());
    let verified = std::process::Command::new("openssl")
        .args(["verify", "-attime", "1795262400", "-CAfile"])
        .args([node.at(CA[0]), node.at(PAIR[0])])
        .output()
        .unwrap();
    assert!(verified.status.success(), "{verified:?}");
    local.undo().unwrap();
    assert_eq!(node.everything(), before);
}

#[test]
fn a_key_that_is_kept_keeps_its_bytes() {
    let node = Node::new();
    let mut local = node.begun(&ALL);
    let root = authority(&mut local);
    let public = new_key(&mut local);
    let first = leaf(&mut local, &root, public);
    local.perform(identity(&first, &root, pair())).unwrap();
    local.commit().unwrap();
    let commented = format!("# the key of 2025\n{}", node.text(PAIR[1]));
    node.file(PAIR[1], &commented, 0o600);
    local.begin(&begin("7f3a-91c2", 2, &ALL)).unwrap();
    let public = key(&mut local, WriteCommand::TakeKey { slot: slot(), storage: pair() });
    let second = leaf(&mut local, &root, public);
    assert_ne!(first, second);
    local.perform(identity(&second, &root, pair())).unwrap();
    local.commit().unwrap();
    assert_eq!(node.text(PAIR[1]), commented);
    assert_eq!(node.text(PAIR[0]), second.to_pem());
}

#[test]
fn the_key_takes_its_place_before_the_certificate() {
    let mut seen = BTreeSet::new();
    for survived in 0.. {
        let node = Node::new();
        let mut local = node.begun(&ALL);
        let root = authority(&mut local);
        let public = new_key(&mut local);
        let leaf = leaf(&mut local, &root, public);
        let end = FailPoint::after(survived);
        let outcome = local.perform(identity(&leaf, &root, pair()));
        drop(end);
        seen.insert((node.at(PAIR[1]).exists(), node.at(PAIR[0]).exists()));
        if outcome.is_ok() {
            break;
        }
    }
    assert_eq!(seen, [(false, false), (true, false), (true, true)].into());
}

#[test]
fn what_is_not_whole_is_found() {
    let node = Node::new();
    let mut local = node.begun(&ALL);
    let root = authority(&mut local);
    let public = new_key(&mut local);
    let leaf = leaf(&mut local, &root, public);
    local.perform(identity(&leaf, &root, pair())).unwrap();
    local.commit().unwrap();
    local.begin(&begin("7f3a-91c2", 2, &ALL)).unwrap();
    let whole = check(pair());
    let reason = |local: &mut Local, wanted: IdentityCheck| checked(local, wanted).unwrap_err().to_string();
    let late = IdentityCheck { now: at("2028-01-01T00:00:00Z"), ..whole.clone() };
    assert!(reason(&mut local, late).contains("expired"));
    let other = IdentityCheck { dns: ["other.example".to_owned()].into(), ..whole.clone() };
    assert!(reason(&mut local, other).ends_with("its names lack other.example"));
    let selfsigned = IdentityCheck { authority: None, ..whole.clone() };
    assert_eq!(checked(&mut local, selfsigned), Ok(()));
    let good = node.text(PAIR[1]);
    node.file(PAIR[1], node.text(CA[1]), 0o600);
    assert_eq!(checked(&mut local, whole.clone()), Err(HostError::PairMismatch { path: PAIR[0].into() }));
    node.file(PAIR[1], "", 0o600);
    assert!(reason(&mut local, whole.clone()).starts_with(PAIR[1]));
    node.file(PAIR[1], good, 0o600);
    assert_eq!(checked(&mut local, whole), Ok(()));
}

#[test]
fn an_authority_is_never_overwritten_and_signs_only_as_itself() {
    let node = Node::new();
    let mut local = node.begun(&ALL);
    let root = authority(&mut local);
    let again = WriteCommand::CreateAuthority {
        certificate: spec(PAIR[0], "0644"),
        key: spec(CA[1], "0600"),
        algorithm: NewKeyAlgorithm::EcdsaP256,
        subject: name("other"),
        not_before: at("2026-01-01T00:00:00Z"),
        not_after: at("2036-01-01T00:00:00Z"),
        over: None,
    };
    assert!(matches!(local.perform(again), Err(HostError::Occupied { .. })));
    let files = AuthorityFiles { certificate: CA[0].into(), key: CA[1].into() };
    let extend = |certificate| ReadCommand::Extend {
        authority: files.clone(),
        certificate,
        not_before: at("2026-11-01T00:00:00Z"),
        not_after: at("2046-01-01T00:00:00Z"),
        keeps_serial: false,
    };
    let Reply::Certificate(longer) = local.ask(extend(*root.fingerprint())).unwrap() else { panic!() };
    assert_eq!(longer.facts().key, root.facts().key);
    let unknown = local.ask(extend(*longer.fingerprint())).unwrap_err();
    assert!(unknown.to_string().contains("does not hold the certificate"), "{unknown}");
    let public = new_key(&mut local);
    let leaf = leaf(&mut local, &root, public);
    let _other = new_key(&mut local);
    let mismatch = local.perform(identity(&leaf, &root, pair())).unwrap_err();
    assert_eq!(mismatch, HostError::PairMismatch { path: PAIR[0].into() });
}

#[test]
fn no_byte_of_a_key_is_in_anything_but_its_file_and_the_copies() {
    let node = Node::new();
    let mut local = node.begun(&ALL);
    let root = authority(&mut local);
    let public = new_key(&mut local);
    let leaf = leaf(&mut local, &root, public);
    local.perform(identity(&leaf, &root, pair())).unwrap();
    local.perform(WriteCommand::TakeKey { slot: slot(), storage: pair() }).unwrap();
    local.perform(identity(&leaf, &root, kubeconfig())).unwrap();
    let mut shown = format!("{local:?}");
    let pairs = [node.text(CA[1]), node.text(PAIR[1])];
    shown += &format!(
        "{:?}",
        local.ask(ReadCommand::ReadShared { path: CA[1].into(), links: Default::default() }).unwrap()
    );
    shown += &format!("{:?}", write(PAIR[1], &pairs[1]));
    local.commit().unwrap();
    shown += &format!("{:?}", local.snapshots(STATE).unwrap());
    shown += &serde_json::to_string(&local.snapshots(STATE).unwrap()).unwrap();
    let visit = node.at("/var/lib/pki/snapshots/7f3a-91c2/1");
    for name in ["manifest.json", "journal.jsonl", "after.json"] {
        shown += &fs::read_to_string(visit.join(name)).unwrap();
    }
    for key in pairs {
        assert!(pem::read(key.as_bytes()).private_keys().next().is_some());
        for line in key.lines().filter(|line| line.len() > 20 && !line.starts_with("-----")) {
            assert!(!shown.contains(line), "{line}");
        }
    }
}

#[test]
fn what_would_be_trusted_twice_is_refused_and_nothing_is_written() {
    let node = Node::new();
    let mut local = node.begun(&ALL);
    let root = authority(&mut local);
    let public = new_key(&mut local);
    let leaf = leaf(&mut local, &root, public);
    local.perform(identity(&leaf, &root, kubeconfig())).unwrap();
    // What was written is in no slot any more, so the key is taken up again.
    local.perform(WriteCommand::TakeKey { slot: slot(), storage: kubeconfig() }).unwrap();
    let before = node.everything();
    let twice = || NonEmpty::with_first(root.clone(), vec![root.clone()]);
    let written = |chain: Vec<Certificate>, storage, trusted| WriteCommand::WriteIdentity {
        slot: slot(),
        certificate: leaf.clone(),
        chain,
        storage,
        trusted,
        cluster: "kubernetes".into(),
    };
    let orders = [
        (CA[0], WriteCommand::WriteCertificates { file: spec(CA[0], "0644"), certificates: twice() }),
        (ADMIN, WriteCommand::WriteTrusted { file: spec(ADMIN, "0600"), trusted: twice() }),
        (ADMIN, written(Vec::new(), kubeconfig(), Some(twice()))),
        (PAIR[0], written(vec![root.clone(), root.clone()], pair(), None)),
        (CURRENT, written(vec![leaf.clone()], combined(), None)),
    ];
    for (path, order) in orders {
        let refused = local.perform(order).unwrap_err();
        assert!(matches!(&refused, HostError::TwiceInFile { path: at, .. } if at == path), "{refused}");
        assert!(refused.to_string().ends_with(" twice, so nothing was written"), "{refused}");
    }
    assert_eq!(node.everything(), before);
}
