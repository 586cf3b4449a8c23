//! No private key is told on the way to real machines: keys of leaves never leave their node, shared ones cross only in the messages that copy them, and none is in
//! a journal, a command line, an environment or any other file of either end.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::controller::Controller;
use crate::nodes::{Called, Node, below};
use crate::specs::{Reached, Spec};
use crate::support::traces::{LENGTH, traces, windows_of};
use crate::tap::Tap;

type Needles = BTreeSet<Vec<u8>>;

const SHARED: [&str; 4] = ["pki/ca.key", "pki/sa.key", "pki/front-proxy-ca.key", "pki/etcd/ca.key"];

#[test]
fn no_key_is_told_on_the_way_to_machines() {
    let (nodes, controller) = Controller::of_cluster();
    let _called = Called::as_in_the_example(&nodes);
    controller.spec(&Spec::default().text(Reached::There));
    let taps: Vec<_> = nodes.iter().map(Tap::on).collect();
    taps.iter().for_each(|tap| tap.order(""));
    let ended = AtomicBool::new(false);
    let words = std::thread::scope(|scope| {
        let watch = scope.spawn(|| watched(&ended));
        controller.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--format", "json"]);
        controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
        controller.ends(0, &["status", "-f", "spec.yaml", "--format", "json"]);
        controller.ends(0, &["snapshot", "list", "-f", "spec.yaml"]);
        ended.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    });
    let shared = keys(&nodes, |path| SHARED.iter().any(|name| path.ends_with(name)));
    let own = keys(&nodes, |path| !SHARED.iter().any(|name| path.ends_with(name)));
    assert!(own.len() >= 100 && shared.len() >= 15, "{} and {}", own.len(), shared.len());
    crossed(&taps, &own, &shared);

    let all: Needles = own.union(&shared).cloned().collect();
    assert!(words.iter().any(|words| contains(words, b"node\0serve")), "the node's processes were not seen");
    for words in &words {
        none_in("a command line or environment", words, &all);
    }
    none_in("what the program said", &controller.said(), &all);
    for node in &nodes {
        none_in("the journal", node.run("journalctl --no-pager --output=export | cat -v").as_bytes(), &all);
        below(&node.disk("var/lib/pki"), &mut |path| {
            let is_copy =
                path.parent().is_some_and(|parent| parent.ends_with("before") || parent.ends_with("after"));
            if path.is_file() && !is_copy {
                none_in(&path.display().to_string(), &std::fs::read(path).unwrap(), &all);
            }
        });
        node.is_left_clean("afterwards");
        let places = ["tmp", "var/tmp", "run", "root", "home"].join(" /");
        let files = node.run(&format!("find /{places} -xdev -type f -size -2000k -not -path '/run/log/*' -exec cat {{}} + 2>/dev/null | base64 -w0"));
        none_in("a file of the node", &decoded(&files), &all);
    }
    controller.is_left_clean();
    below(controller.path(), &mut |path| {
        if path.is_file() {
            none_in(&path.display().to_string(), &std::fs::read(path).unwrap(), &all);
        }
    });
}

fn decoded(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

/// How the keys below `/etc/kubernetes` show that are wanted.
fn keys(nodes: &[Node], wanted: impl Fn(&Path) -> bool) -> Needles {
    let mut needles = Needles::new();
    for node in nodes {
        below(&node.disk("etc/kubernetes"), &mut |path| {
            if path.is_file() && wanted(path) {
                needles.extend(traces(&std::fs::read(path).unwrap()));
            }
        });
    }
    needles
}

/// Own keys never crossed, and the shared ones where they are copied and nowhere else.
fn crossed(taps: &[Tap<'_>], own: &Needles, shared: &Needles) {
    let (mut copied, mut messages) = (Needles::new(), 0);
    for said in taps.iter().flat_map(Tap::said) {
        messages += 1;
        let may_hold = said.message.starts_with(br#"{"perform":{"writeShared"#)
            || said.message.starts_with(br#"{"done":{"shared"#);
        let told = windows_of(&said.message);
        assert_eq!(own.intersection(&told).next(), None, "{}", said.message.escape_ascii());
        let found: Needles = shared.intersection(&told).cloned().collect();
        assert!(may_hold || found.is_empty(), "{}", said.message.escape_ascii());
        copied.extend(found);
    }
    assert!(messages > 200, "only {messages} messages");
    assert!(copied.len() >= 4, "the shared keys crossed, so they would be found anywhere: {}", copied.len());
}

/// The command lines and environments of all processes, here and in the nodes, as often as they can be read until the runs have ended.
fn watched(ended: &AtomicBool) -> BTreeSet<Vec<u8>> {
    let mut seen = BTreeSet::new();
    while !ended.load(Ordering::Relaxed) {
        for process in std::fs::read_dir("/proc").unwrap().flatten() {
            if process.file_name().to_string_lossy().starts_with(|letter: char| letter.is_ascii_digit()) {
                for file in ["cmdline", "environ"] {
                    seen.extend(std::fs::read(process.path().join(file)).ok());
                }
            }
        }
    }
    seen
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

#[track_caller]
fn none_in(place: &str, text: &[u8], needles: &Needles) {
    let windows: BTreeSet<&[u8]> = text.windows(LENGTH).collect();
    let found = needles.iter().find(|needle| windows.contains(needle.as_slice()));
    assert!(found.is_none(), "{place}: {}", found.unwrap().escape_ascii());
    assert!(!contains(text, b"PRIVATE KEY"), "{place}: a PEM label");
}
