//! The undo that a reboot in the middle of a transaction needs: what is open is rolled back before etcd and the kubelet read it.
//!
//! What enters is a transaction that has just been opened; what leaves is a copy of this program in the state directory and a systemd unit that runs it at
//! the next start of the machine, both gone with the end of the transaction. Both are put down after the transaction's marker and removed before it, so
//! whatever a crash leaves of them, the marker leads the next run there; and without the marker the unit does nothing. The unit only comes before the
//! services and is no condition of any: if it fails, they start all the same, and the transaction stays open for the next run.
//!
//! It is there only where systemd is the machine's init and this process is root. Where it cannot be put down (`/etc` is read-only, the state
//! directory is mounted noexec, the disk is full) the transaction goes on without it and its journal says why: then only the next run rolls back what
//! a reboot interrupted. It never keeps a transaction from beginning or from ending.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::agent::fs::disk::Dir;
use crate::files::confined::{Outcome, Tree};
use crate::protocol::error::HostError;
use crate::protocol::facts::FileKind;
use crate::protocol::state_layout::OPEN;

/// There while systemd is the machine's init (`sd_booted(3)`).
const SYSTEMD: &str = "/run/systemd/system";
/// This program's file, also when its name is gone: the copy that a controller uploads is unlinked as it starts.
const PROGRAM: &str = "/proc/self/exe";
/// Where an administrator's units are (`systemd.unit(5)`). They survive a reboot, which those below `/run` do not.
const UNITS: &str = "/etc/systemd/system";
const UNIT: &str = "pki-undo.service";
/// Units whose links are here start with the machine. Every usual default target leads to this one.
const WANTS: &str = "multi-user.target.wants";
/// The link in [`WANTS`].
const TARGET: &str = "../pki-undo.service";
/// The directory below the state directory, and the program in it.
const DIRECTORY: &str = "undo";
const COPY: &str = "pki";
/// What reads certificates on a node of any layout, or starts what does. Names that no unit has are no error to systemd.
const READERS: [&str; 6] = [
    "containerd.service",
    "crio.service",
    "docker.service",
    "etcd.service",
    "k3s.service",
    "kubelet.service",
];
/// The suffixes that a unit's name can have (`systemd.unit(5)`).
const SUFFIXES: [&str; 11] = [
    ".automount",
    ".device",
    ".mount",
    ".path",
    ".scope",
    ".service",
    ".slice",
    ".socket",
    ".swap",
    ".target",
    ".timer",
];
/// How long the services wait for it at most. Putting files back takes seconds; a disk that hangs must not keep the machine from starting.
const PATIENCE_SECONDS: u32 = 300;

/// How transactions of this process are undone at a reboot.
#[derive(Debug, Clone)]
pub(crate) struct Boot {
    /// The program that is copied.
    program: PathBuf,
}

/// What a unit is written for.
pub(crate) struct Undoing<'a> {
    pub(crate) state_directory: &'a str,
    /// The places that the transaction may change; what they are mounted from must be there first.
    pub(crate) locations: BTreeSet<&'a str>,
    /// The systemd units that read them, beyond the usual ones.
    pub(crate) units: &'a BTreeSet<String>,
}

impl Boot {
    /// For this machine; `None` where nothing would run the unit, or where this process may not write one.
    pub(crate) fn of_machine() -> Option<Self> {
        let runs = Path::new(SYSTEMD).is_dir() && rustix::process::geteuid().is_root();
        runs.then(|| Self { program: PROGRAM.into() })
    }

    /// The same with another program, for tests.
    #[cfg(test)]
    pub(crate) fn of(program: PathBuf) -> Self {
        Self { program }
    }

    /// Puts down the program, the unit and the link, in this order. After an error nothing is left of them, as far as the disk allows.
    pub(crate) fn place(&self, tree: &Tree, state: &Dir, undoing: &Undoing<'_>) -> Result<(), HostError> {
        let placed = self.place_all(tree, state, undoing);
        if placed.is_err() {
            // Whatever stays does no more than it should, and goes with the transaction.
            let _removed = remove(tree, state);
        }
        placed
    }

    fn place_all(&self, tree: &Tree, state: &Dir, undoing: &Undoing<'_>) -> Result<(), HostError> {
        let text = unit(undoing).ok_or_else(|| HostError::Refused {
            path: undoing.state_directory.to_owned(),
            reason: "no systemd unit can name this directory".to_owned(),
        })?;
        let units = directory(tree, UNITS)?.ok_or_else(|| HostError::Missing { path: UNITS.to_owned() })?;
        let programs = child(state, DIRECTORY, 0o700)?;
        programs.hold_program(COPY, &self.program)?;
        units.write_public(UNIT, text.as_bytes())?;
        let wants = child(&units, WANTS, 0o755)?;
        if wants.stat(UNIT)?.is_none() {
            wants.make_link(UNIT, TARGET)?;
            wants.sync()?;
        }
        Ok(())
    }
}

/// Removes the link, the unit and the program, in this order; what is not there is no error.
pub(crate) fn remove(tree: &Tree, state: &Dir) -> Result<(), HostError> {
    if let Some(units) = directory(tree, UNITS)? {
        if let Some(wants) = units.child(WANTS)? {
            remove_file(&wants, UNIT)?;
        }
        remove_file(&units, UNIT)?;
        remove_file(&units, &crate::agent::fs::disk::staged_name(UNIT))?;
    }
    if state.stat(DIRECTORY)?.is_some() {
        state.remove_tree(DIRECTORY)?;
        state.sync()?;
    }
    Ok(())
}

/// Only what is there, so that a read-only `/etc` without anything of ours is no obstacle.
fn remove_file(directory: &Dir, name: &str) -> Result<(), HostError> {
    if directory.stat(name)?.is_some() {
        directory.remove_file(name)?;
        directory.sync()?;
    }
    Ok(())
}

fn child(parent: &Dir, name: &str, mode: u32) -> Result<Dir, HostError> {
    if parent.stat(name)?.is_none() {
        parent.make_directory(name, mode)?;
        parent.sync()?;
    }
    parent.child(name)?.ok_or_else(|| HostError::Missing { path: parent.path_of(name) })
}

/// A directory of the machine; `None` when it is not there.
fn directory(tree: &Tree, path: &str) -> Result<Option<Dir>, HostError> {
    match tree.walk_to_state(path).outcome {
        Outcome::Found(found) => match (found.status.kind, &found.place) {
            (FileKind::Directory, Some(place)) => Dir::of(place)?.child(&place.name.to_string_lossy()),
            (FileKind::Directory | FileKind::Regular | FileKind::Other, _) => Ok(None),
        },
        Outcome::Missing { .. } | Outcome::Dangling { .. } | Outcome::Loop => Ok(None),
        Outcome::Unsafe(step) => Err(HostError::Unsafe { path: path.to_owned(), step }),
        Outcome::Failed(error) => Err(HostError::Path { path: path.to_owned(), reason: error.to_string() }),
    }
}

/// The text of the unit; `None` when the state directory cannot be named in one without quoting, on which the lines of a unit do not agree.
fn unit(undoing: &Undoing<'_>) -> Option<String> {
    let state = Some(undoing.state_directory.trim_end_matches('/')).filter(|path| is_plain(path))?;
    let mounts: BTreeSet<&str> = undoing
        .locations
        .iter()
        .filter_map(|location| location.rsplit_once('/'))
        .map(|(above, _)| above)
        .filter(|path| is_plain(path))
        .chain([state])
        .collect();
    let mut text = format!(
        "# Put here by pki for one transaction and removed at its end: should the machine restart in between, what was
# half done is taken back before anything reads it.
[Unit]
Description=Take back what a reboot interrupted (pki)
ConditionPathExists={state}/{OPEN}
After=local-fs.target
"
    );
    // Without its disk a path would be put back below the place where the disk belongs.
    for path in mounts {
        text.push_str(&format!("RequiresMountsFor={path}\n"));
    }
    let named = undoing.units.iter().filter_map(|name| unit_name(name));
    let readers: BTreeSet<String> = READERS.iter().map(|name| (*name).to_owned()).chain(named).collect();
    for reader in readers {
        text.push_str(&format!("Before={reader}\n"));
    }
    let _infallible = write!(
        text,
        "
[Service]
Type=oneshot
ExecStart={state}/{DIRECTORY}/{COPY} node undo --state-directory {state}
TimeoutStartSec={PATIENCE_SECONDS}

[Install]
WantedBy=multi-user.target
"
    );
    Some(text)
}

/// Whether a path means itself in every line of a unit: no blank, quote, backslash, `%` or `$`.
fn is_plain(path: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"/._-+@:,=".contains(&byte);
    path.starts_with('/') && path.bytes().all(fits)
}

/// A unit's full name, as `systemctl` completes it; `None` for what is no name of a unit.
fn unit_name(name: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b":_.\\@-".contains(&byte);
    if name.is_empty() || name.len() > 255 || !name.bytes().all(fits) || name == UNIT {
        return None;
    }
    let is_full = SUFFIXES.iter().any(|suffix| name.ends_with(suffix));
    Some(if is_full { name.to_owned() } else { format!("{name}.service") })
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests make the files that are changed")]
mod tests;
