//! The near side of the relay (`relay.rs`) that stands on a node in the place of pki: what it is to do, and what it has written down.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::ROOT;
use crate::nodes::{Node, remove, wait_until, well};

const FOLDER: &str = "var/lib/pki-relay";

/// A relay on a node.
pub(crate) struct Tap<'a> {
    node: &'a Node,
}

/// One message, and who said it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) by_controller: bool,
    pub(crate) message: Vec<u8>,
}

impl<'a> Tap<'a> {
    /// Installs the relay and the program behind it.
    pub(crate) fn on(node: &'a Node) -> Self {
        node.install(Path::new(env!("CARGO_BIN_EXE_pki")), &format!("{FOLDER}/real"));
        node.install(relay(), "usr/local/bin/pki");
        Self { node }
    }

    /// The one that is there already.
    pub(crate) fn on_running(node: &'a Node) -> Self {
        Self { node }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.node.disk(FOLDER).join(name)
    }

    /// Forgets what was said and held, and sets what is to be done from now on; see `relay.rs`.
    pub(crate) fn order(&self, order: &str) {
        for name in ["said", "count", "held", "go"] {
            remove(&self.file(name));
        }
        std::fs::write(self.file("order"), order).unwrap();
    }

    /// Whether a message is held.
    pub(crate) fn holds(&self) -> bool {
        self.file("held").exists()
    }

    /// Waits until a message is held.
    #[track_caller]
    pub(crate) fn wait_until_held(&self) {
        wait_until("the message is not reached", || self.holds());
    }

    /// Lets the held message go on.
    pub(crate) fn go_on(&self) {
        std::fs::write(self.file("go"), "").unwrap();
    }

    /// Everything that was said, in its order.
    pub(crate) fn said(&self) -> Vec<Said> {
        let bytes = std::fs::read(self.file("said")).unwrap_or_default();
        let (mut rest, mut all) = (bytes.as_slice(), Vec::new());
        while let Some(([direction, length @ ..], after)) = rest.split_first_chunk::<5>() {
            let (message, after) = after.split_at(u32::from_be_bytes(*length) as usize);
            all.push(Said { by_controller: *direction == b'>', message: message.to_vec() });
            rest = after;
        }
        all
    }

    /// How many messages were said that count.
    pub(crate) fn count(&self) -> usize {
        std::fs::read_to_string(self.file("count")).unwrap_or_default().parse().unwrap_or(0)
    }
}

/// The relay's program, which `cargo test --test lab` alone does not build.
fn relay() -> &'static Path {
    static RELAY: OnceLock<PathBuf> = OnceLock::new();
    RELAY.get_or_init(|| {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.current_dir(ROOT).args([
            "build",
            "--quiet",
            "--locked",
            "--example",
            "relay",
            "--message-format=json",
        ]);
        let messages = well(&cargo.output().unwrap());
        let mut programs = messages.lines().filter_map(|line| {
            let message: serde_json::Value = serde_json::from_str(line).ok()?;
            Some(message.get("executable")?.as_str()?.into())
        });
        programs.next().expect("cargo says where the relay is")
    })
}
