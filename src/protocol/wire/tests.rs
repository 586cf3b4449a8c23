//! What is written can be read again and says the same, and what is not the protocol is refused without harm.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Cursor;
use std::sync::LazyLock;

use proptest::prelude::*;

use super::frame::{self, FrameError};
use super::*;
use crate::formats::kubeconfig::edit::EditError;
use crate::formats::pem_facts::tests::pair;
use crate::protocol::command::{
    AuthorityFiles, Command, IdentityCheck, ReadCommand, RequestContent, SharedIdentity, SignRequest, Slot,
    VisitId, WriteCommand,
};
use crate::protocol::health_check::HealthCheck;
use crate::protocol::lock::{Holder, LockState};
use crate::protocol::node::NodeError;
use crate::types::certificate::{NewKeyAlgorithm, SubjectName, Usage};
use crate::types::non_empty::NonEmpty;
use crate::types::secret::Secret;
use crate::types::storage::{FileSpec, Storage};
use crate::x509::{Certificate, CertificateRequest, PublicKey, Sha256, issue, pem};

fn request(command: Command) -> Request {
    Request::Perform(match command {
        Command::Read(command) => command.into(),
        Command::Write(command) => command.into(),
    })
}

fn crossed(command: Command) -> Command {
    let frame = frame::encode(&request(command), frame::REQUEST_LIMIT).unwrap();
    let read = frame::read(&mut Cursor::new(frame.as_slice()), || frame::REQUEST_LIMIT, || true).unwrap();
    let Request::Perform(command) = frame::decode(&read).unwrap() else { panic!("another request") };
    command.into()
}

fn answered(reply: Reply) -> Reply {
    let frame = frame::encode(&Outcome::<_>::Done(Performed(reply)), frame::ANSWER_LIMIT).unwrap();
    match frame::decode::<Outcome<Performed>>(&frame[4..]).unwrap() {
        Outcome::Done(Performed(reply)) => reply,
        Outcome::Failed(_) | Outcome::Ended(_) => panic!("no answer"),
    }
}

fn file(path: &str) -> FileSpec {
    FileSpec {
        path: path.to_owned(),
        user: "root".to_owned(),
        group: "etcd".to_owned(),
        mode: "0640".parse().unwrap(),
    }
}

static MATERIAL: LazyLock<(Certificate, PublicKey, CertificateRequest)> = LazyLock::new(|| {
    let (certificate, key) = pair("one");
    let certificate = pem::read(certificate.as_bytes()).certificates().next().unwrap().clone();
    let keys = pem::read(key.as_bytes());
    let key = keys.private_keys().next().unwrap();
    let subject = SubjectName { common_name: "one".to_owned(), organizations: Vec::new() };
    let usages = BTreeSet::from([Usage::Client]);
    let request = issue::csr(&subject, &BTreeSet::new(), &BTreeSet::new(), &usages, key).unwrap();
    (certificate, key.public_key().clone(), CertificateRequest::from_der(&request).unwrap())
});

fn material() -> (Certificate, PublicKey) {
    let (certificate, key, _) = &*MATERIAL;
    (certificate.clone(), key.clone())
}

fn gate(unit: &str) -> HealthCheck {
    HealthCheck::Active { unit: unit.to_owned() }
}

fn identity() -> SharedIdentity {
    SharedIdentity { certificate: Secret::new(b"public".to_vec()), key: Secret::new(b"hunter2".to_vec()) }
}

fn commands() -> Vec<Command> {
    let (certificate, key) = material();
    let now = "2026-11-21T12:00:00.123456789Z".parse().unwrap();
    let storage = Storage::Pair { certificate: file("/a.crt"), key: file("/a.key") };
    let subject = SubjectName { common_name: "a\u{0}\"é".to_owned(), organizations: vec!["b".to_owned()] };
    let authority = AuthorityFiles { certificate: "/ca.crt".to_owned(), key: "/ca.key".to_owned() };
    let usages = BTreeSet::from([Usage::Server, Usage::Client]);
    let (dns, ip) = (BTreeSet::from(["a.example".to_owned()]), BTreeSet::from(["::1".parse().unwrap()]));
    let request = SignRequest {
        public_key: key.clone(),
        subject: subject.clone(),
        usages: usages.clone(),
        dns: dns.clone(),
        ip: ip.clone(),
        not_before: now,
        not_after: now,
        issuer: Sha256::of(b"issuer"),
    };
    let check = IdentityCheck { storage: storage.clone(), authority: None, usages, dns, ip, now };
    let slot = Slot("etcd-server@cp-1".to_owned());
    let path = "/etc/ü".to_owned();
    vec![
        Command::Write(WriteCommand::MakeDirectory {
            path: path.clone(),
            owner: "a".to_owned(),
            group: "b".to_owned(),
            mode: "0700".parse().unwrap(),
        }),
        Command::Write(WriteCommand::MakeLink { path: path.clone(), target: "../b".to_owned() }),
        Command::Write(WriteCommand::MoveDirectory {
            link: path.clone(),
            path: "/b".to_owned(),
            keeps_old: true,
        }),
        Command::Write(WriteCommand::CopyIdentity {
            source: storage.clone(),
            certificate: Sha256::of(b"x"),
            target: storage.clone(),
            trusted: Some(NonEmpty::one(certificate.clone())),
            cluster: "c".to_owned(),
        }),
        Command::Read(ReadCommand::ReadSharedIdentity {
            storage: storage.clone(),
            links: Default::default(),
        }),
        Command::Write(WriteCommand::WriteSharedIdentity {
            content: identity(),
            certificate: Sha256::of(b"x"),
            storage: storage.clone(),
            trusted: None,
            cluster: "c".to_owned(),
        }),
        Command::Write(WriteCommand::MakeKeys {
            keys: BTreeMap::from([(slot.clone(), NewKeyAlgorithm::EcdsaP256)]),
        }),
        Command::Write(WriteCommand::TakeKey { slot: slot.clone(), storage: storage.clone() }),
        Command::Read(ReadCommand::Sign {
            authority: authority.clone(),
            request: Box::new(request),
            links: [(path.clone(), "/data".to_owned())].into(),
        }),
        Command::Read(ReadCommand::Extend {
            authority,
            certificate: Sha256::of(b"x"),
            not_before: now,
            not_after: now,
            keeps_serial: false,
        }),
        Command::Write(WriteCommand::WriteIdentity {
            slot,
            certificate: certificate.clone(),
            chain: vec![certificate.clone()],
            storage,
            trusted: None,
            cluster: "c".to_owned(),
        }),
        Command::Write(WriteCommand::WriteRequest {
            slot: Slot("apiserver@cp-1".to_owned()),
            request: Box::new(RequestContent {
                subject: SubjectName { common_name: "a".to_owned(), organizations: vec!["b".to_owned()] },
                usages: BTreeSet::new(),
                dns: ["a.example".to_owned()].into(),
                ip: ["10.0.0.1".parse().unwrap()].into(),
            }),
            file: file("/var/lib/pki/requests/a.pem"),
        }),
        Command::Write(WriteCommand::RemoveRequest { path: "/var/lib/pki/requests/a.pem".to_owned() }),
        Command::Write(WriteCommand::WriteTrusted {
            file: file("/k"),
            trusted: NonEmpty::one(certificate.clone()),
        }),
        Command::Write(WriteCommand::CreateAuthority {
            certificate: file("/ca.crt"),
            key: file("/ca.key"),
            algorithm: NewKeyAlgorithm::EcdsaP256,
            subject,
            not_before: now,
            not_after: now,
            over: None,
        }),
        Command::Write(WriteCommand::CreateKeyPair {
            private: file("/s"),
            public: file("/p"),
            algorithm: NewKeyAlgorithm::EcdsaP256,
        }),
        Command::Write(WriteCommand::WritePublicKey { private: file("/s"), public: file("/p") }),
        Command::Write(WriteCommand::WriteCertificates {
            file: file("/b"),
            certificates: NonEmpty::one(certificate),
        }),
        Command::Read(ReadCommand::ReadShared { path: path.clone(), links: Default::default() }),
        Command::Write(WriteCommand::WriteShared {
            file: file("/sa.key"),
            content: Secret::new(vec![0, 255, 10, 34]),
            key: Sha256::of(b"k"),
        }),
        Command::Write(WriteCommand::CheckKey {
            path: path.clone(),
            key: Some(Sha256::of(b"k")),
            beside: Some(path.clone()),
        }),
        Command::Write(WriteCommand::SetPermissions { file: file("/x") }),
        Command::Write(WriteCommand::Run {
            argv: vec!["a".to_owned(), String::new()],
            timeout_seconds: u64::MAX,
        }),
        Command::Read(ReadCommand::Check { identity: Box::new(check) }),
        Command::Write(WriteCommand::Restore {
            from: VisitId { run: "7f3a-91c2".to_owned(), visit: 3 },
            path: path.clone(),
            with: Vec::new(),
        }),
        Command::Write(WriteCommand::Restore {
            from: VisitId { run: "7f3a-91c2".to_owned(), visit: 3 },
            path: "/a.crt".to_owned(),
            with: vec!["/a.key".to_owned()],
        }),
        Command::Write(WriteCommand::RemoveCopy { path: path.clone(), of: "/ca.crt".to_owned() }),
        Command::Write(WriteCommand::PurgeSnapshots { key: Sha256::of(b"k") }),
        Command::Write(WriteCommand::AnnotatePod { manifest: path.clone(), word: "7f3a-91c2-1".to_owned() }),
        Command::Write(WriteCommand::MoveLeader {
            address: "127.0.0.1:2379".parse().unwrap(),
            certificate: "/a.crt".to_owned(),
            key: "/a.key".to_owned(),
            timeout_seconds: 8,
        }),
        Command::Read(ReadCommand::Await {
            gates: [gate("etcd")].into(),
            kept: [gate("kubelet")].into(),
            settle_seconds: 1,
            timeout_seconds: 2,
            links: [(path.clone(), "/data".to_owned())].into(),
        }),
        Command::Read(ReadCommand::Await {
            gates: BTreeSet::new(),
            kept: BTreeSet::new(),
            settle_seconds: 0,
            timeout_seconds: 0,
            links: BTreeMap::new(),
        }),
        Command::Write(WriteCommand::CheckKey { path, key: None, beside: None }),
    ]
}

fn replies() -> Vec<Reply> {
    let (certificate, public) = material();
    vec![
        Reply::Done,
        Reply::PublicKey(public.clone()),
        Reply::PublicKeys(BTreeMap::from([(Slot("a".to_owned()), public)])),
        Reply::Certificate(certificate),
        Reply::Request(MATERIAL.2.clone()),
        Reply::Shared(Secret::new(b"hunter2".to_vec())),
        Reply::SharedIdentity(identity()),
    ]
}

/// A message as it is sent, but for what is another one each time.
fn written(message: &impl Serialize) -> String {
    let frame = frame::encode(message, frame::REQUEST_LIMIT).unwrap();
    let (certificate, key, request) = &*MATERIAL;
    let mut text = String::from_utf8(frame[4..].to_vec()).unwrap();
    let values = [("certificate", json(certificate)), ("public key", json(key)), ("request", json(request))];
    for (name, value) in values {
        text = text.replace(&value, &format!("<{name}>"));
    }
    text + "\n"
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap()
}

#[test]
fn every_frame_is_what_it_was() {
    let commands = commands().into_iter().map(|command| written(&request(command)));
    let replies = replies().into_iter().map(|reply| written(&Outcome::<_>::Done(Performed(reply))));
    let text: String = commands.chain(replies).collect();
    assert_eq!(text, include_str!("frames.txt"), "{text}");
}

#[test]
fn every_command_crosses_unchanged() {
    for command in commands() {
        let before = format!("{command:?}");
        assert_eq!(format!("{:?}", crossed(command)), before);
    }
    let (file, content) = (file("/sa.key"), Secret::new(b"hunter2".to_vec()));
    let secret = Command::Write(WriteCommand::WriteShared { file, content, key: Sha256::of(b"") });
    let Command::Write(WriteCommand::WriteShared { content, .. }) = crossed(secret) else {
        panic!("another command")
    };
    assert_eq!(content.reveal(), b"hunter2");
}

#[test]
fn every_reply_crosses_unchanged() {
    for reply in replies() {
        let before = format!("{reply:?}");
        assert_eq!(format!("{:?}", answered(reply)), before);
    }
    let Reply::Shared(secret) = answered(Reply::Shared(Secret::new(b"hunter2".to_vec()))) else {
        panic!("another reply")
    };
    assert_eq!(secret.reveal(), b"hunter2");
    let Reply::SharedIdentity(identity) = answered(Reply::SharedIdentity(identity())) else {
        panic!("another reply")
    };
    assert_eq!((identity.certificate.reveal(), identity.key.reveal()), (&b"public"[..], &b"hunter2"[..]));
}

/// What can be serialised fits both rows, and then this does not compile.
trait OnlyOnTheWire<Row> {
    fn is_held() {}
}

impl<T> OnlyOnTheWire<()> for T {}
impl<T: Serialize> OnlyOnTheWire<u8> for T {}

#[test]
fn nothing_that_holds_secrets_can_be_serialised_elsewhere() {
    <ReadCommand as OnlyOnTheWire<_>>::is_held();
    <WriteCommand as OnlyOnTheWire<_>>::is_held();
    <Command as OnlyOnTheWire<_>>::is_held();
    <Reply as OnlyOnTheWire<_>>::is_held();
    <SharedIdentity as OnlyOnTheWire<_>>::is_held();
    <Secret as OnlyOnTheWire<_>>::is_held();
    let shown = format!("{:?}{:?}", commands(), replies());
    for secret in ["hunter2", "aHVudGVyMg==", "104, 117, 110", "0, 255, 10, 34"] {
        assert!(!shown.contains(secret), "{secret}");
    }
}

#[test]
fn every_error_crosses_unchanged() {
    let (path, reason) = ("/a\u{1b}[0m".to_owned(), "why".to_owned());
    let visit = VisitId { run: "7f3a-91c2".to_owned(), visit: 1 };
    let holder =
        Holder { pid: 1, since: Some("2026-11-21T12:00:00Z".parse().unwrap()), claim: Claim::of_run("r") };
    let errors = [
        HostError::DiskFull { path: path.clone(), reason: reason.clone() },
        HostError::ReadOnly { path: path.clone() },
        HostError::ChangedSince { path: path.clone(), visit: visit.clone() },
        HostError::Locked { holder: Some(Box::new(holder.clone())) },
        HostError::Locked { holder: None },
        HostError::AlreadyOpen { open: visit },
        HostError::NotOpen,
        HostError::Occupied { path: path.clone(), found: "a directory".into() },
        HostError::UnknownAccount { kind: "user".into(), name: "x".to_owned() },
        HostError::EmptySlot { slot: Slot("s".to_owned()) },
        HostError::NoIssuer { path: path.clone(), issuer: Sha256::of(b"") },
        HostError::NotMade { what: "the certificate".into(), reason: reason.clone() },
        HostError::Kubeconfig {
            path: path.clone(),
            source: EditError::Lacks { part: "current user".into() },
        },
        HostError::UndoFailed { path, reason: reason.clone(), instruction: String::new() },
        HostError::Disconnected { reason },
    ];
    for error in errors {
        let text = serde_json::to_vec(&Outcome::<(), _>::Failed(error.clone())).unwrap();
        assert!(matches!(frame::decode(&text), Ok(Outcome::<(), HostError>::Failed(read)) if read == error));
    }
    let node = NodeError::NoFiles(crate::protocol::tree_error::TreeError::LoopingParent);
    assert_eq!(frame::decode::<NodeError>(&serde_json::to_vec(&node).unwrap()), Ok(node));
    let state = LockState::Held { holder: Some(holder) };
    assert_eq!(frame::decode::<LockState>(&serde_json::to_vec(&state).unwrap()), Ok(state));
}

#[test]
fn a_heartbeat_is_written_as_it_is_told_apart() {
    assert_eq!(serde_json::to_vec(&Request::Heartbeat).unwrap(), HEARTBEAT);
}

#[test]
fn no_error_tells_what_was_in_a_message() {
    let base64 = "aHVudGVyMg==";
    for wrong in [
        format!(r#"{{"perform":{{"writeShared":{{"file":"{base64}","content":"{base64}"}}}}}}"#),
        format!(r#"{{"perform":{{"{base64}":1}}}}"#),
        format!(r#"{{"perform":{{"readShared":{{"path":"/a","{base64}":"{base64}"}}}}}}"#),
        format!(r#"{{"perform":{{"makeKeys":{{"keys":{{"a":"{base64}"}}}}}}}}"#),
        format!(r#""{base64}""#),
    ] {
        let Err(error) = frame::decode::<Request>(wrong.as_bytes()) else { panic!("{wrong} is taken") };
        assert!(!format!("{error} {error:?}").contains(base64), "{error}");
    }
}

#[test]
fn a_trust_file_without_a_certificate_cannot_be_asked_for() {
    let file = r#"{"path":"/ca","user":"root","group":"root","mode":"0644"}"#;
    for (command, list) in [("writeCertificates", "certificates"), ("writeTrusted", "trusted")] {
        let asked =
            |held: &str| format!(r#"{{"perform":{{"{command}":{{"file":{file},"{list}":[{held}]}}}}}}"#);
        let text = pair("ca").0;
        let certificate = pem::read(text.as_bytes()).certificates().next().unwrap().clone();
        let certificate = serde_json::to_string(&certificate).unwrap();
        assert!(frame::decode::<Request>(asked(&certificate).as_bytes()).is_ok(), "{command}");
        assert!(frame::decode::<Request>(asked("").as_bytes()).is_err(), "{command}");
    }
}

fn read(bytes: &[u8], limit: usize) -> Result<frame::Frame, FrameError> {
    frame::read(&mut Cursor::new(bytes), || limit, || true)
}

#[test]
fn what_is_too_long_torn_or_no_message_is_refused() {
    assert_eq!(read(b"", 10), Err(FrameError::Closed));
    assert_eq!(read(b"\0\0", 10), Err(FrameError::Torn));
    assert_eq!(read(b"\0\0\0\x05abc", 10), Err(FrameError::Torn));
    assert_eq!(read(b"\0\0\0\x03abcd", 10).unwrap().as_slice(), b"abc");
    assert_eq!(read(b"\0\0\0\x0babc", 10), Err(FrameError::TooLong { length: 11, limit: 10 }));
    assert_eq!(
        read(b"\xff\xff\xff\xff", 10),
        Err(FrameError::TooLong { length: u32::MAX as usize, limit: 10 })
    );
    let banner = read(b"Welcome to Debian", frame::ANSWER_LIMIT).unwrap_err();
    assert_eq!(banner.to_string(), "\"Welc\" came instead of a message: the login must not print anything");
    assert!(matches!(frame::encode(&"x".repeat(20), 20), Err(FrameError::TooLong { length: 22, limit: 20 })));
}

#[test]
fn deep_json_overflows_no_stack() {
    for (open, close) in [("[", "]"), (r#"{"perform":"#, "}")] {
        let deep = format!("{}{}", open.repeat(200_000), close.repeat(200_000));
        assert!(frame::decode::<Request>(deep.as_bytes()).is_err());
        assert!(frame::decode::<Outcome<crate::protocol::facts::NodeFacts>>(deep.as_bytes()).is_err());
    }
}

proptest! {
    #![proptest_config(crate::seeds::cases(256))]

    #[test]
    fn random_bytes_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        let _refused = read(&bytes, 200);
        prop_assert!(frame::decode::<Request>(&bytes).is_err());
        prop_assert!(frame::decode::<Outcome<Performed>>(&bytes).is_err());
    }

    #[test]
    fn damaged_messages_do_no_harm(which in 0..commands().len(), at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let command = commands().swap_remove(which);
        let mut frame = frame::encode(&request(command), frame::REQUEST_LIMIT).unwrap();
        let at = at.index(frame.len());
        frame[at] = byte;
        if let Ok(read) = read(&frame, frame::REQUEST_LIMIT) {
            let _either = frame::decode::<Request>(&read).is_ok();
        }
        let _torn = frame::decode::<Request>(&frame[4..at.max(4)]).is_ok();
    }
}
