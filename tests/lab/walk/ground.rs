//! Where the walk takes place: one machine with a cluster's files, what it looked like before, and how it may look afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Output;
use std::time::Duration;

use super::Blow;
use crate::PLACES;
use crate::controller::{Controller, ended_with};
use crate::nodes::{Node, below, remove, within};
use crate::specs::{Reached, Spec, give, made};
use crate::tap::Tap;

/// What starts the service with the machine, as a kubelet does: after the undo of what a reboot has interrupted, or it has read another file.
/// One that were over would be taken for a dead kubelet.
const UNIT: &str = "[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/bin/sh -c 'sha256sum </etc/kubernetes/scheduler.conf >/var/lib/tests/served'
";
const UNIT_FILE: &str = "etc/systemd/system/kubelet.service";
const UNIT_LINK: &str = "etc/systemd/system/multi-user.target.wants/kubelet.service";
/// What the service reads, and where its program writes down what it has read.
const READ: &str = "etc/kubernetes/scheduler.conf";
const SERVED: &str = "var/lib/tests/served";
const ADDRESSES: [&str; 2] = ["etcd-server@cp-1", "scheduler.conf@cp-1"];

/// How a run left a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// As it was before.
    Old,
    /// As it should be.
    New,
    /// In the middle, told by the journal.
    Open,
}

type Tree = BTreeMap<PathBuf, (String, Vec<u8>)>;

pub(super) struct Ground<'a> {
    pub(super) node: &'a Node,
    pub(super) tap: Tap<'a>,
    pub(super) controller: Controller,
    blow: Blow,
    before: Tree,
}

impl<'a> Ground<'a> {
    pub(super) fn on(node: &'a Node, blow: Blow) -> Self {
        let (name, address) = PLACES[0];
        let controller = Controller::new(&[(name, address, node)]);
        let silence = match blow {
            Blow::Freeze(silence) => format!("  rollout: {{ silence: {}s }}\n", silence.as_secs()),
            Blow::KillController | Blow::KillNode | Blow::Cut | Blow::PowerCycle => String::new(),
        };
        let restart = format!("sha256sum </{READ} >/{SERVED}");
        let more = format!(
            "  services: {{ kube-scheduler: {{ restart: {{ command: [/bin/sh, -c, '{restart}'] }} }} }}\n{silence}"
        );
        let spec = Spec { places: &PLACES[..1], more: &more, ..Spec::default() };
        controller.spec(&spec.text(Reached::There));
        if blow == Blow::PowerCycle {
            std::fs::write(node.disk(UNIT_FILE), UNIT).unwrap();
            std::os::unix::fs::symlink("../kubelet.service", node.disk(UNIT_LINK)).unwrap();
        }
        let mut ground = Self { node, tap: Tap::on(node), controller, blow, before: Tree::new() };
        ground.begin();
        ground.before = ground.tree();
        assert!(ground.before.len() > 20 && ground.serves_its_file());
        ground
    }

    /// The node as before the first run.
    pub(super) fn begin(&self) {
        for path in ["etc/kubernetes", "var/lib/pki"] {
            remove(&self.node.disk(path));
        }
        give(self.node, &made().join("cp-1"));
        std::fs::create_dir_all(self.node.disk("var/lib/tests")).unwrap();
        std::fs::write(self.node.disk(SERVED), self.digest()).unwrap();
    }

    pub(super) fn arguments<'b>(&self, command: &'b str, more: &[&'b str]) -> Vec<&'b str> {
        let only = ADDRESSES.into_iter().flat_map(|address| ["--only", address]);
        [command, "-f", "spec.yaml"].into_iter().chain(only).chain(more.iter().copied()).collect()
    }

    fn digest(&self) -> String {
        let digest = pki::x509::Sha256::of(&std::fs::read(self.node.disk(READ)).unwrap());
        format!("{digest}  -\n")
    }

    fn serves_its_file(&self) -> bool {
        std::fs::read_to_string(self.node.disk(SERVED)).unwrap() == self.digest()
    }

    fn tree(&self) -> Tree {
        let mut tree = Tree::new();
        below(&self.node.disk("etc/kubernetes"), &mut |path| {
            let facts = path.symlink_metadata().unwrap();
            let bytes = if facts.is_file() { std::fs::read(path).unwrap() } else { Vec::new() };
            tree.insert(
                path.to_owned(),
                (format!("{:o} {}:{}", facts.mode(), facts.uid(), facts.gid()), bytes),
            );
        });
        tree
    }

    fn is_open(&self) -> bool {
        self.node.disk("var/lib/pki/open").exists()
    }

    /// A run whose node, or connection, was lost says so with a code that tells whether something was touched.
    pub(super) fn judge_words(&self, output: &Output, context: &str) {
        let text = [&output.stdout, &output.stderr]
            .map(|bytes| String::from_utf8_lossy(bytes).into_owned())
            .concat();
        let code = output.status.code();
        let may_be = match code {
            // All was done, and what was lost was only the goodbye.
            Some(0) => true,
            Some(1 | 3 | 5) => !text.contains("CONNECTION LOST"),
            Some(10..=12) => true,
            _ => false,
        };
        assert!(may_be && !text.contains("panicked"), "{context}: {code:?}\n{text}");
    }

    #[track_caller]
    pub(super) fn wait_until_left_alone_within(&self, deadline: Duration, context: &str) {
        let is_alone = within(deadline, || self.node.ours().is_empty());
        assert!(is_alone, "{context}: after {deadline:?} still at work: {:?}", self.node.ours());
    }

    /// How the node was left, and that the next run brings it to its end.
    pub(super) fn ended(&self, context: &str) -> End {
        let after = self.tree();
        let end = match (self.is_open(), after == self.before) {
            (true, _) => End::Open,
            (false, true) => End::Old,
            (false, false) => End::New,
        };
        // The undo at the start is provided for a little later than the visit is open, and given up a little before it is closed: nothing is changed then.
        assert!(
            end != End::Open || self.blow != Blow::PowerCycle || after == self.before,
            "{context}: the start of the machine has undone nothing"
        );
        let may_differ = end == End::Open && self.blow == Blow::KillNode;
        assert!(
            may_differ || self.serves_its_file(),
            "{context}: {end:?}, and the service has read another file"
        );
        if end == End::New {
            self.is_new(&after, context);
        }
        self.tap.order("");
        ended_with(0, &self.controller.pki(&self.arguments("apply", &["--yes"])));
        self.is_new(&self.tree(), context);
        assert!(self.serves_its_file(), "{context}");
        ended_with(0, &self.controller.pki(&self.arguments("plan", &["--exit-code"])));
        self.node.is_left_clean(context);
        end
    }

    /// Whether exactly what was due is new: a pair and a kubeconfig.
    fn is_new(&self, after: &Tree, context: &str) {
        let paths: BTreeSet<&PathBuf> = self.before.keys().chain(after.keys()).collect();
        let changed = paths.into_iter().filter(|path| self.before.get(*path) != after.get(*path));
        let top = self.node.disk("etc/kubernetes");
        let changed: Vec<&Path> = changed.map(|path| path.strip_prefix(&top).unwrap()).collect();
        let due = ["pki/etcd/server.crt", "pki/etcd/server.key", "scheduler.conf"].map(Path::new);
        assert_eq!(changed, due, "{context}: neither old nor new");
    }
}
