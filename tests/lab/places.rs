//! Machines on which a program cannot simply be put and started: sudo, logins that take everything with them, a temporary directory in which nothing runs,
//! and an older Debian.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use crate::controller::Controller;
use crate::nodes::{Node, wait_until};
use crate::specs::{Reached, Spec, give, made};
use crate::support::cluster::left_out;
use crate::tap::Tap;
use crate::{PLACES, both};

fn on(node: &Node, ssh: &str, more: &str) -> Controller {
    let (name, address) = PLACES[0];
    let controller = Controller::new(&[(name, address, node)]);
    controller.spec(&Spec { places: &PLACES[..1], ssh, more, ..Spec::default() }.text(Reached::There));
    give(node, &made().join(name));
    controller
}

/// Plans, applies and plans again.
fn works(node: &Node, controller: &Controller) {
    controller.ends(2, &["plan", "-f", "spec.yaml", "--exit-code"]);
    // The plan has left nothing, not even its own directory.
    node.is_left_clean("afterwards");
    controller.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    node.is_left_clean("afterwards");
    controller.is_left_clean();
}

#[test]
fn a_node_without_pki() {
    let node = Node::take(1).remove(0);
    let controller = on(&node, "", "");
    works(&node, &controller);
    assert!(!node.disk("usr/local/bin/pki").exists());
}

#[test]
fn a_node_whose_pki_speaks_another_protocol() {
    let node = Node::take(1).remove(0);
    let controller = on(&node, "", "");
    let hello = r#"{"protocol":{"major":99,"minor":0},"version":"99.0.0"}"#;
    let program = controller.at("program");
    let script =
        format!("#!/bin/sh\nprintf '\\000\\000\\000\\{:o}%s' '{hello}'\nexec cat >/dev/null\n", hello.len());
    std::fs::write(&program, script).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    node.install(&program, "usr/local/bin/pki");
    works(&node, &controller);
}

#[test]
fn a_node_whose_pki_is_something_else() {
    let node = Node::take(1).remove(0);
    let controller = on(&node, "", "");
    node.install(Path::new("/bin/false"), "usr/local/bin/pki");
    let refused = controller.pki(&["plan", "-f", "spec.yaml"]);
    let said = both(&refused);
    assert!(refused.status.code() == Some(3) && said.contains("is not pki"), "{said}");
    controller.is_left_clean();
}

#[test]
fn operator_with_sudo_whose_logins_take_everything_with_them() {
    let node = Node::with_option("kill-user-processes");
    let restart = "echo >/var/lib/tests/begun; until test -e /var/lib/tests/may-end; do sleep 0.02; done";
    let more = format!(
        "  services: {{ kube-scheduler: {{ restart: {{ command: [/bin/sh, -c, '{restart}'] }} }} }}\n"
    );
    let ssh = "user: operator, sudo: true";
    let controller = on(&node, ssh, &more);
    std::fs::create_dir_all(node.disk("var/lib/tests")).unwrap();
    let [begun, may_end] = ["var/lib/tests/begun", "var/lib/tests/may-end"].map(|path| node.disk(path));

    // Once with the program on the node, which nothing in /tmp can be, and once with one that is copied there.
    for installed in [true, false] {
        give(&node, &made().join("cp-1"));
        let before = std::fs::read(node.disk("etc/kubernetes/scheduler.conf")).unwrap();
        if installed {
            Tap::on(&node).order("");
        } else {
            node.reset();
            give(&node, &made().join("cp-1"));
            std::fs::create_dir_all(node.disk("var/lib/tests")).unwrap();
        }
        let mut run =
            controller.start(&["apply", "-f", "spec.yaml", "--yes", "--only", "scheduler.conf@cp-1"]);
        wait_until("the service is not restarted", || begun.exists());
        let login = || node.ssh("loginctl show-user operator --property=State --value").stdout;
        assert!(login().starts_with(b"active"), "{:?}", String::from_utf8(login()));
        run.kill();
        // As when the machine with the controller is gone. The login ends with the connection, and with it everything that is in it.
        node.kill_connections();
        wait_until("the login does not end", || !login().starts_with(b"active"));
        std::fs::write(&may_end, "").unwrap();
        node.is_left_clean("afterwards");
        let after = std::fs::read(node.disk("etc/kubernetes/scheduler.conf")).unwrap();
        assert!(before == after, "the node did not undo (installed: {installed})");
        works(&node, &controller);
    }
}

#[test]
fn an_older_libc() {
    let node = Node::of_suite("bullseye");
    let controller = on(&node, "", "");
    let refused = controller.pki(&["plan", "-f", "spec.yaml"]);
    let said = both(&refused);
    assert_eq!(refused.status.code(), Some(3), "{said}");
    assert!(
        said.contains("C library") && said.contains("static"),
        "it does not say what to install:\n{said}"
    );
    node.is_left_clean("afterwards");
    controller.is_left_clean();
}

#[test]
fn a_static_build_on_an_older_libc() {
    let Some(program) = std::env::var_os("PKI_LAB_STATIC") else {
        left_out("a_static_build_on_an_older_libc", "PKI_LAB_STATIC names no static build of pki (README)");
        return;
    };
    let node = Node::of_suite("bullseye");
    let mut controller = on(&node, "", "");
    controller.program = program.into();
    works(&node, &controller);
}
