//! What is sent is compared with its digest, and a real member sends what `etcdctl` accepts.

use std::process::Command;
use std::time::Duration;

use super::super::tests::Members;
use super::*;

/// A database of so many bytes, as it is sent: with its digest.
fn sent(length: usize) -> Vec<u8> {
    let database: Vec<u8> = (0..length).map(|index| u8::try_from(index % 251).unwrap()).collect();
    let digest = Sha256::of(&database);
    [&database[..], digest.as_bytes()].concat()
}

/// What a check says that was told of a database of so many bytes, of these in pieces.
fn checked(database: usize, bytes: &[u8], piece: usize) -> Result<Sha256, Fault> {
    let mut check = Check::new(u64::try_from(database).unwrap())?;
    for piece in bytes.chunks(piece) {
        check.take(piece)?;
    }
    check.end()
}

#[test]
fn what_has_its_digest_is_taken_however_it_is_cut_into_pieces() {
    let bytes = sent(1000);
    for piece in [1, 7, 32, 33, 500, 1000, 1032, 4096] {
        assert_eq!(checked(1000, &bytes, piece), Ok(Sha256::of(&bytes[..1000])), "pieces of {piece}");
    }
}

#[test]
fn what_is_cut_short_anywhere_is_refused() {
    let bytes = sent(100);
    for length in 0..132 {
        let expected = Fault::CutShort { taken: u64::try_from(length).unwrap(), announced: 132 };
        assert_eq!(checked(100, &bytes[..length], 10), Err(expected), "{length} bytes");
    }
}

#[test]
fn a_single_bit_that_is_another_one_is_refused() {
    let bytes = sent(100);
    for index in 0..bytes.len() {
        let mut other = bytes.clone();
        other[index] ^= 1;
        assert!(matches!(checked(100, &other, 10), Err(Fault::Differs { .. })), "byte {index}");
    }
}

#[test]
fn more_than_was_announced_is_refused_and_so_is_nothing() {
    let bytes = [&sent(100)[..], &[0]].concat();
    assert_eq!(checked(100, &bytes, 10), Err(Fault::TooLong { announced: 132 }));
    assert_eq!(checked(50, &sent(100), 10), Err(Fault::TooLong { announced: 82 }));
    assert_eq!(checked(0, &sent(0), 10), Err(Fault::Empty));
    assert!(Check::new(u64::MAX).is_err());
}

/// Keeps what comes in memory, or fails after so many pieces.
#[derive(Default)]
struct Kept {
    announced: Option<Announced>,
    bytes: Vec<u8>,
    fails: bool,
}

impl Keeper for Kept {
    fn begin(&mut self, announced: Announced) -> Result<(), HostError> {
        self.announced = Some(announced);
        Ok(())
    }

    fn keep(&mut self, bytes: &[u8]) -> Result<(), HostError> {
        if self.fails {
            return Err(HostError::NotOpen);
        }
        self.bytes.extend_from_slice(bytes);
        Ok(())
    }
}

#[test]
fn a_real_member_sends_what_etcdctl_accepts_and_only_to_a_client_that_it_knows() {
    let Some(mut members) = Members::start() else { return };
    members.ask_until(|etcd| etcd.own_status().is_some_and(|own| own.leader.is_some()));
    let address = SocketAddr::from(([127, 0, 0, 1], members.ports[0]));
    let soon = || Instant::now() + Duration::from_secs(60);
    let asker = |name: &str| {
        let file = |ending| members.folder.path().join(format!("{name}.{ending}")).display().to_string();
        let tree = crate::files::confined::Tree::open(None).unwrap();
        EtcdClient::prepare(&file("crt"), &file("key"), &tree).unwrap()
    };
    let (own, stranger) = (asker("member"), asker("stranger"));
    let mut kept = Kept::default();
    let digest = own.snapshot(address, soon(), &mut kept).unwrap();
    let announced = kept.announced.unwrap();
    assert_eq!(announced.bytes, u64::try_from(kept.bytes.len()).unwrap());
    assert_eq!(kept.bytes.len() % 512, 32, "a database has whole pages, and a digest behind them");
    assert!(kept.bytes.ends_with(digest.as_bytes()));
    assert!(announced.revision >= 1);
    let file = members.folder.path().join("kept.db");
    std::fs::write(&file, &kept.bytes).unwrap();
    if let Ok(told) =
        Command::new("etcdctl").env("ETCDCTL_API", "3").args(["snapshot", "status"]).arg(&file).output()
    {
        assert!(told.status.success(), "{told:?}");
    }

    // The keeper's own trouble ends it.
    let failed = own.snapshot(address, soon(), &mut Kept { fails: true, ..Kept::default() });
    assert_eq!(failed, Err(HostError::NotOpen));
    // Nobody else is sent anything.
    let mut nothing = Kept::default();
    let refused = stranger.snapshot(address, soon(), &mut nothing).unwrap_err();
    assert!(matches!(refused, HostError::EtcdNotSaved { .. }) && nothing.announced.is_none(), "{refused}");
    // It ends in time, whatever the member does.
    let late = own.snapshot(address, Instant::now(), &mut Kept::default()).unwrap_err().to_string();
    assert!(late.contains("not all of it has come in time") && late.starts_with("PKI3011: "), "{late}");
    // A member that has lost the others has data that may be old.
    members.kill(1);
    members.kill(2);
    members.ask_until(|etcd| etcd.own_status().is_some_and(|own| own.leader.is_none()));
    let alone = own.snapshot(address, soon(), &mut Kept::default()).unwrap_err().to_string();
    assert!(alone.contains("the member follows no leader"), "{alone}");
    members.kill(0);
    let gone = own.snapshot(address, soon(), &mut Kept::default()).unwrap_err().to_string();
    assert!(gone.contains("Connection refused"), "{gone}");
}
