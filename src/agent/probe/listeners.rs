//! Who listens on which port, from `/proc`.
//!
//! What enters is nothing but the machine; what leaves is listening TCP sockets and the processes that hold them. Sockets are those of this process's own
//! network. Processes of other users are seen by root only. Nothing is called.
#![expect(clippy::disallowed_methods, reason = "the kernel's own files below /proc are read here")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::protocol::facts::ProcessFacts;

/// Most bytes that are read of the kernel's list of sockets: tens of thousands of them.
const LIST_LIMIT: u64 = 8 * 1024 * 1024;
/// Most bytes that are read of a process's own file.
const STAT_LIMIT: u64 = 4096;
/// Longest name of a program that is told.
const NAME_LIMIT: usize = 64;
/// How `/proc/net/tcp` writes that a socket listens (kernel `TCP_LISTEN`).
const LISTENS: &str = "0A";

/// A listening socket.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Listener {
    pub(super) port: u16,
    pub(super) address: IpAddr,
    /// The number of the socket, by which its processes are found.
    pub(super) socket: u64,
}

impl Listener {
    /// Whether it is reached at an address, or at any when there is none.
    pub(super) fn answers(&self, address: Option<IpAddr>) -> bool {
        self.address.is_unspecified() || address.is_none_or(|address| address == self.address)
    }
}

/// The listening sockets of the machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Listeners(BTreeSet<Listener>);

impl Listeners {
    /// Reads them.
    ///
    /// # Errors
    /// Why they cannot be read, in words.
    pub(super) fn read() -> Result<Self, String> {
        let mut found = BTreeSet::new();
        for path in ["/proc/net/tcp", "/proc/net/tcp6"] {
            match text(Path::new(path), LIST_LIMIT) {
                Ok(text) => found.extend(text.lines().skip(1).filter_map(listener)),
                // A kernel without IPv6 has no list for it.
                Err(error) if error.kind() == io::ErrorKind::NotFound && path.ends_with('6') => {}
                Err(error) => return Err(format!("{path} cannot be read: {error}")),
            }
        }
        Ok(Self(found))
    }

    /// Those on a port, each address once: programs may share an address between several sockets.
    pub(super) fn on(&self, port: u16) -> impl Iterator<Item = &Listener> {
        let mut seen = BTreeSet::new();
        self.0.iter().filter(move |listener| listener.port == port && seen.insert(listener.address))
    }
}

/// Reads one line of `/proc/net/tcp` or `tcp6`.
fn listener(line: &str) -> Option<Listener> {
    let words: Vec<&str> = line.split_ascii_whitespace().collect();
    let [_, local, _, LISTENS, _, _, _, _, _, socket, ..] = words.as_slice() else { return None };
    let (address, port) = local.split_once(':')?;
    Some(Listener {
        port: u16::from_str_radix(port, 16).ok()?,
        address: address_of(address)?,
        socket: socket.parse().ok()?,
    })
}

/// An address as the kernel prints it: words of 32 bits, each in network order and printed as a number of this processor.
fn address_of(text: &str) -> Option<IpAddr> {
    if text.len() != 8 && text.len() != 32 {
        return None;
    }
    let words: Option<Vec<[u8; 4]>> = text
        .as_bytes()
        .chunks(8)
        .map(|word| Some(u32::from_str_radix(str::from_utf8(word).ok()?, 16).ok()?.to_ne_bytes()))
        .collect();
    let bytes = words?.concat();
    if let Ok(four) = <[u8; 4]>::try_from(bytes.as_slice()) {
        return Some(Ipv4Addr::from(four).into());
    }
    let sixteen = <[u8; 16]>::try_from(bytes.as_slice()).ok()?;
    Some(IpAddr::V6(Ipv6Addr::from(sixteen)).to_canonical())
}

/// The process that holds each of these sockets. Of several, as where a service manager opened it, the one that started last is the one that serves.
///
/// # Errors
/// Why no processes can be seen, in words.
pub(super) fn processes(
    sockets: &BTreeSet<u64>,
    deadline: Instant,
    clock: fn() -> Timestamp,
) -> Result<BTreeMap<u64, ProcessFacts>, String> {
    let mut found: BTreeMap<u64, ProcessFacts> = BTreeMap::new();
    if sockets.is_empty() {
        return Ok(found);
    }
    let start_of_machine = machine_started(clock());
    let entries = fs::read_dir("/proc").map_err(|error| format!("/proc cannot be read: {error}"))?;
    for entry in entries.flatten() {
        if Instant::now() >= deadline {
            return Err("there was no time to look at all processes".to_owned());
        }
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let held = held_sockets(&entry.path(), sockets);
        if held.is_empty() {
            continue;
        }
        // One that ended in between held them for the last time.
        let Some(process) = process(&entry.path(), pid, start_of_machine) else { continue };
        for socket in held {
            let last = found.entry(socket).or_insert_with(|| process.clone());
            if *last < process {
                *last = process.clone();
            }
        }
    }
    Ok(found)
}

fn held_sockets(process: &Path, sockets: &BTreeSet<u64>) -> BTreeSet<u64> {
    let Ok(entries) = fs::read_dir(process.join("fd")) else { return BTreeSet::new() };
    let held = entries.flatten().filter_map(|entry| {
        let target = fs::read_link(entry.path()).ok()?;
        let number = target.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?;
        number.parse().ok()
    });
    held.filter(|socket| sockets.contains(socket)).collect()
}

fn process(path: &Path, pid: u32, start_of_machine: Timestamp) -> Option<ProcessFacts> {
    let stat = text(&path.join("stat"), STAT_LIMIT).ok()?;
    let (name, ticks) = name_and_start(&stat)?;
    let per_second = rustix::param::clock_ticks_per_second();
    let milliseconds = ticks.checked_mul(1000)?.checked_div(per_second)?;
    let since = SignedDuration::from_millis(i64::try_from(milliseconds).ok()?);
    let executable = fs::read_link(path.join("exe")).ok();
    let executable = executable.as_deref().and_then(Path::file_name).map(|name| name.to_string_lossy());
    // The kernel marks a program whose file was replaced since.
    let executable = executable.as_deref().map(|name| name.strip_suffix(" (deleted)").unwrap_or(name));
    let program = executable.unwrap_or(name).chars().take(NAME_LIMIT).collect();
    Some(ProcessFacts { started: start_of_machine.checked_add(since).ok()?, pid, program })
}

/// A process, however its number is used again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Instance {
    pub(crate) pid: u32,
    /// When it started, in ticks since the machine did: of a clock that nobody sets.
    pub(crate) ticks: u64,
}

impl Instance {
    /// The name of its program while it runs. One that has ended and was not waited for holds nothing any more (proc(5): Z, X).
    pub(crate) fn name(self) -> Option<String> {
        let stat = text(&Path::new("/proc").join(self.pid.to_string()).join("stat"), STAT_LIMIT).ok()?;
        let (name, ticks) = name_and_start(&stat)?;
        let has_ended = stat.rsplit_once(')')?.1.trim_start().starts_with(['Z', 'X']);
        let shown = name.chars().filter(|one| !one.is_control()).take(NAME_LIMIT).collect();
        (ticks == self.ticks && !has_ended).then_some(shown)
    }
}

/// The processes that hold a listening socket.
///
/// # Errors
/// Why they cannot be seen, in words.
pub(crate) fn holders(address: IpAddr, port: u16) -> Result<BTreeSet<Instance>, String> {
    let listeners = Listeners::read()?;
    let sockets: BTreeSet<u64> = listeners
        .on(port)
        .filter(|listener| listener.answers(Some(address)))
        .map(|listener| listener.socket)
        .collect();
    let mut found = BTreeSet::new();
    if sockets.is_empty() {
        return Ok(found);
    }
    let entries = fs::read_dir("/proc").map_err(|error| format!("/proc cannot be read: {error}"))?;
    for entry in entries.flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        if held_sockets(&entry.path(), &sockets).is_empty() {
            continue;
        }
        // One that ended in between held it for the last time.
        let Ok(stat) = text(&entry.path().join("stat"), STAT_LIMIT) else { continue };
        found.extend(name_and_start(&stat).map(|(_, ticks)| Instance { pid, ticks }));
    }
    if found.is_empty() { Err("no process that holds the socket can be seen".to_owned()) } else { Ok(found) }
}

/// This start of the machine, and the ticks since.
///
/// # Errors
/// Why it is not known, in words.
pub(crate) fn moment() -> Result<(String, u64), String> {
    const BOOT: &str = "/proc/sys/kernel/random/boot_id";
    let boot =
        text(Path::new(BOOT), STAT_LIMIT).map_err(|error| format!("{BOOT} cannot be read: {error}"))?;
    let since = clock_gettime(ClockId::Boottime);
    let per_second = rustix::param::clock_ticks_per_second();
    let whole = u64::try_from(since.tv_sec).unwrap_or_default().saturating_mul(per_second);
    let rest = u64::try_from(since.tv_nsec).unwrap_or_default().saturating_mul(per_second) / 1_000_000_000;
    Ok((boot.trim().to_owned(), whole.saturating_add(rest)))
}

/// The name and the start, in ticks since the machine's, of the line in `/proc/PID/stat`. The name stands in parentheses and may hold any character.
fn name_and_start(stat: &str) -> Option<(&str, u64)> {
    let (head, rest) = stat.rsplit_once(')')?;
    let (_, name) = head.split_once('(')?;
    // The 22nd field is the start, and the first one after the name is the third.
    let ticks = rest.split_ascii_whitespace().nth(19)?;
    Some((name, ticks.parse().ok()?))
}

/// When the machine started, by a clock that says `now`, to the millisecond.
fn machine_started(now: Timestamp) -> Timestamp {
    before(now, ClockId::Boottime)
}

/// When one of the kernel's clocks began to count, by a clock that says `now`, to the millisecond.
pub(super) fn before(now: Timestamp, clock: ClockId) -> Timestamp {
    let counted = clock_gettime(clock);
    let nanoseconds = i32::try_from(counted.tv_nsec).unwrap_or_default();
    let start = now.checked_sub(SignedDuration::new(counted.tv_sec, nanoseconds)).unwrap_or(Timestamp::MIN);
    start.round(jiff::Unit::Millisecond).unwrap_or(start)
}

fn text(path: &Path, limit: u64) -> io::Result<String> {
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(30)
    }

    #[test]
    fn a_listening_socket_is_seen_with_its_process() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = socket.local_addr().unwrap().port();
        let listeners = Listeners::read().unwrap();
        let found: Vec<&Listener> = listeners.on(port).collect();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].address, IpAddr::V4(Ipv4Addr::LOCALHOST));
        let processes = processes(&[found[0].socket].into(), soon(), Timestamp::now).unwrap();
        let process = &processes[&found[0].socket];
        assert_eq!(process.pid, std::process::id());
        let own = std::env::current_exe().unwrap();
        assert!(own.file_name().unwrap().to_str().unwrap().starts_with(&process.program));
        let age = Timestamp::now().duration_since(process.started);
        assert!(age >= SignedDuration::ZERO && age < SignedDuration::from_hours(1), "{age}");
        drop(socket);
        assert_eq!(Listeners::read().unwrap().on(port).count(), 0);
    }

    #[test]
    fn a_socket_of_ipv6_is_seen_with_its_address() {
        let Ok(socket) = TcpListener::bind("[::1]:0") else { return };
        let port = socket.local_addr().unwrap().port();
        let listeners = Listeners::read().unwrap();
        let addresses: Vec<IpAddr> = listeners.on(port).map(|listener| listener.address).collect();
        assert_eq!(addresses, [IpAddr::V6(Ipv6Addr::LOCALHOST)]);
    }

    #[test]
    fn lines_that_are_not_understood_are_no_listeners() {
        let good = "   0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4711 1";
        assert_eq!(listener(good).unwrap().port, 8080);
        for bad in [
            "",
            "0:",
            &good.replace(" 0A ", " 01 "),
            &good.replace("0100007F", "0100007G"),
            &good.replace("0100007F", "01007F"),
            &good.replace("1F90", "1F9000"),
            &good.replace("4711", "-1"),
        ] {
            assert_eq!(listener(bad), None, "{bad}");
        }
    }

    #[test]
    fn the_name_of_a_program_cannot_pretend_another_start() {
        let fields = "S 1 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 777 1 2";
        assert_eq!(name_and_start(&format!("12 (etcd) {fields}")), Some(("etcd", 777)));
        assert_eq!(name_and_start(&format!("12 (a) S 1 (b) {fields}")), Some(("a) S 1 (b", 777)));
        assert_eq!(name_and_start("12 (etcd) S 1"), None);
        assert_eq!(name_and_start(""), None);
    }
}
