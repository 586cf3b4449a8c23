//! Static pods: a unit in the place of the kubelet, which runs a program for each manifest that is there.

use std::path::Path;

use crate::PLACES;
use crate::controller::Controller;
use crate::nodes::{Node, wait_until};
use crate::same::without_connections;
use crate::specs::give;
use crate::support::cluster::Cluster as Fixture;

/// As a real kubelet it passes over names that begin with a dot, knows a pod by its manifest's content, and takes a while to end one. As that of 1.20 it starts a pod
/// whose manifest has changed before the old one is gone, and one that has failed only after a while. Every program serves TLS at the port of its component,
/// with the certificate that the component has at its start.
const KUBELET: &str = r#"#!/bin/bash
cd /etc/kubernetes
declare -A known pids again
run() {
  local port pair answers=
  case $1 in
    */kube-scheduler.yaml) port=10259 pair=/run/own ;;
    */kube-controller-manager.yaml) port=10257 pair=/run/own ;;
    # Its own copies: it knows what it found at its start.
    */kube-apiserver.yaml) cp pki/apiserver.crt pki/apiserver.key /run/; port=6443 pair=/run/apiserver answers=-www ;;
    *) return ;;
  esac
  openssl s_server -quiet $answers -accept $port -cert $pair.crt -key $pair.key </dev/null >/dev/null 2>&1 &
  pids[$1]=$! again[$1]=$((SECONDS + 24))
}
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=own -keyout /run/own.key -out /run/own.crt 2>/dev/null
while :; do
  for manifest in manifests/*.yaml; do
    content=$(sha256sum "$manifest" 2>/dev/null)
    [ -n "$content" ] || continue
    pid=${pids[$manifest]}
    if [ "$content" != "${known[$manifest]}" ]; then
      known[$manifest]=$content
      [ -z "$pid" ] || { (sleep 1; kill $pid) & }
      run "$manifest"
    elif [ -n "$pid" ] && ! kill -0 $pid 2>/dev/null && [ $SECONDS -ge ${again[$manifest]} ]; then
      run "$manifest"
    fi
  done
  for manifest in "${!pids[@]}"; do
    [ ! -e "$manifest" ] || continue
    sleep 1
    kill ${pids[$manifest]}
    wait ${pids[$manifest]}
    unset "pids[$manifest]" "known[$manifest]"
  done
  sleep 0.1
done
"#;
const UNIT: &str = "[Service]\nExecStart=/bin/bash /var/lib/tests/kubelet\n";

/// A control plane with the files of a real cluster, whose static pods run.
fn control_plane() -> (Vec<Node>, Controller) {
    let fixture = Fixture::unpack();
    let (nodes, controller) = Controller::of_cluster();
    let text = std::fs::read_to_string(fixture.path().join("spec.yaml")).unwrap();
    let text = text.replace(
        "validity: 365d, renewBefore: 30d",
        "validity: 730d, renewBefore: 400d, keyAlgorithm: ecdsa-p256",
    );
    controller.spec(&format!("{}  rollout: {{ settle: 1s, timeout: 20s }}\n", without_connections(&text)));
    for ((name, _), node) in PLACES.iter().zip(&nodes) {
        give(node, &fixture.path().join(name));
        std::fs::create_dir_all(node.disk("var/lib/tests")).unwrap();
        std::fs::write(node.disk("var/lib/tests/kubelet"), KUBELET).unwrap();
        std::fs::write(node.disk("etc/systemd/system/kubelet.service"), UNIT).unwrap();
        node.run("systemctl daemon-reload; systemctl start kubelet");
        for port in [6443, 10257, 10259] {
            wait_until("the pods run", || {
                node.ssh(&format!("ss -Hltn 'sport = :{port}' | grep -q .")).status.success()
            });
        }
    }
    (nodes, controller)
}

fn process(node: &Node, port: u16) -> String {
    node.run(&format!("ss -Hltnp 'sport = :{port}' | grep -o 'pid=[0-9]*' | sort -u"))
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

#[test]
fn a_pod_is_replaced_by_an_annotation_and_no_other_pod_is() {
    let (nodes, controller) = control_plane();
    let node = &nodes[0];
    let manifest = node.disk("etc/kubernetes/manifests/kube-scheduler.yaml");
    let (text, ports) = (read(&manifest), [6443, 10257, 10259].map(|port| process(node, port)));
    let only = ["apply", "-f", "spec.yaml", "--yes", "--only", "scheduler.conf@cp-1"];
    let said = controller.ends(0, &only);
    assert!(said.contains("Plan: renew 1, issue 0, trust 0, remove 0, restart 1, repair 0."), "{said}");
    assert!(said.contains("annotates     /etc/kubernetes/manifests/kube-scheduler.yaml"), "{said}");
    assert!(crate::words(&said).contains("127.0.0.1:10259 is served by a new process"), "{said}");
    let now = [6443, 10257, 10259].map(|port| process(node, port));
    assert_eq!(now[..2], ports[..2]);
    assert_ne!(now[2], ports[2]);
    let annotated = read(&manifest);
    let added: Vec<&str> = annotated.lines().filter(|line| !text.contains(*line)).collect();
    assert!(matches!(added[..], [line] if line.contains("pki/restarted-by")), "{added:?}");
    assert_eq!(
        annotated.lines().filter(|line| !added.contains(line)).collect::<Vec<_>>(),
        text.lines().collect::<Vec<_>>()
    );
    controller.ends(0, &["plan", "-f", "spec.yaml", "--exit-code", "--only", "scheduler.conf@cp-1"]);
    // On the way back the manifest is the restart: it is what it was, to the byte, and so is the pod.
    let said = controller.ends(0, &["rollback", "-f", "spec.yaml", "--yes"]);
    assert!(said.contains("restart 1, repair 0, restore 2."), "{said}");
    assert!(crate::words(&said).contains("kube-scheduler.yaml, which restarts svc/kube-scheduler"), "{said}");
    assert_eq!(read(&manifest), text);
    assert_ne!(process(node, 10259), now[2]);
    node.is_left_clean("afterwards");
}

#[test]
fn a_pod_that_does_not_show_what_was_written_is_put_back_with_its_files() {
    let (nodes, controller) = control_plane();
    let node = &nodes[0];
    let manifest = node.disk("etc/kubernetes/manifests/kube-apiserver.yaml");
    let files = ["apiserver.crt", "apiserver.key"].map(|name| node.disk("etc/kubernetes/pki").join(name));
    let before = (read(&manifest), files.clone().map(|file| read(&file)), process(node, 6443));
    // It reads its certificate at its start alone, whereas a real one would find the new one within a minute.
    let said = controller.ends(10, &["apply", "-f", "spec.yaml", "--yes", "--only", "apiserver@cp-1"]);
    assert!(
        crate::words(&said).contains("not healthy within 20 s")
            && crate::words(&said).contains("shows the certificate of /etc/kubernetes/pki/apiserver.crt"),
        "{said}"
    );
    assert_eq!((read(&manifest), files.map(|file| read(&file)), process(node, 6443)), before);
    node.is_left_clean("afterwards");
}
