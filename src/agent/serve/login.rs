#![expect(
    clippy::disallowed_methods,
    reason = "reads from the kernel to which group of processes this one belongs"
)]
//! Leaving the login in which the node's end was started.
//!
//! What enters is what the run is about; what leaves is a process that outlives the connection. A login with `KillUserProcesses=yes` (`logind.conf(5)`) ends
//! all processes of its scope with it, which would cut off the undo that begins at just that moment.
//!
//! `systemd-run --scope` starts new processes in a scope and cannot take one that runs. This one must go on: it holds the lock (`flock` ends with
//! the last descriptor), the stream to the controller, and soon the keys of the transaction, which a new program image could only be given in writing. So it
//! asks the same as `systemd-run` does, `StartTransientUnit` of `org.freedesktop.systemd1`, for itself: systemd then moves the process with
//! everything that it has. `busctl` comes with systemd, and the message bus is there wherever logind is, which cannot do without it. Writing into the
//! cgroup tree without asking would be undone by systemd, whose tree it is.
//!
//! Where that is not possible (no systemd, not root) the process at least begins a session of its own (`setsid`), so that no terminal
//! takes it along. What then still ends it is a SIGTERM from logind, upon which the service undoes what is open, before the SIGKILL that follows 90 s
//! later by default.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::agent::probe::program;
use crate::diagnostic::escaped;

/// There while systemd is the machine's init (`sd_booted(3)`).
const SYSTEMD: &str = "/run/systemd/system";
/// In which group this process is, by the kernel.
const GROUP: &str = "/proc/self/cgroup";
/// How long systemd may take. If it takes longer, the transaction begins all the same.
const PATIENCE: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(10);
/// Most characters of what the run is about.
const ABOUT_LIMIT: usize = 200;

/// How the process is to leave its login.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// For a systemd scope of its own, or else for a session of its own.
    LeaveForScope,
    /// For a session of its own only: the node is a directory, and the machine's systemd has no part in it.
    LeaveForSession,
}

impl Login {
    pub(super) fn leave(self, about: &str) {
        // A process that leads its session already, as the first one of a connection without a terminal does, is refused, and has nothing to leave.
        let _new = rustix::process::setsid();
        match self {
            Self::LeaveForSession => {}
            Self::LeaveForScope => {
                if Path::new(SYSTEMD).is_dir() && rustix::process::geteuid().is_root() {
                    scope(about);
                }
            }
        }
    }
}

/// Asks systemd for a scope with this process in it, and waits until it is there.
fn scope(about: &str) {
    let pid = std::process::id();
    let unit = format!("pki-node-serve-{pid}.scope");
    let about: String = escaped(about).chars().take(ABOUT_LIMIT).collect();
    let (pid, about) = (pid.to_string(), format!("pki node serve: {about}"));
    let arguments = [
        "--quiet",
        "--no-pager",
        "call",
        "org.freedesktop.systemd1",
        "/org/freedesktop/systemd1",
        "org.freedesktop.systemd1.Manager",
        "StartTransientUnit",
        "ssa(sv)a(sa(sv))",
        &unit,
        "fail",
        // Three properties: the processes; what people read; and that nothing is left of the scope, however it ends.
        "3",
        "PIDs",
        "au",
        "1",
        &pid,
        "Description",
        "s",
        &about,
        "CollectMode",
        "s",
        "inactive-or-failed",
        // No further units.
        "0",
    ];
    let arguments = arguments.map(str::to_owned);
    if program::run(Path::new("busctl"), &arguments, None, PATIENCE).is_err() {
        return;
    }
    // The answer comes when the job is queued, and the process is moved a little later.
    let start = Instant::now();
    while start.elapsed() < PATIENCE && !is_in(&unit) {
        std::thread::sleep(PAUSE);
    }
}

fn is_in(unit: &str) -> bool {
    std::fs::read_to_string(GROUP).is_ok_and(|groups| groups.contains(unit))
}
