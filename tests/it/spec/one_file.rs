//! Certificates that flags put into one file: one of them is wanted there, and a spec that wants both is refused.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

use super::adopt::{THEN, agrees, kubeadm};
use crate::support::cluster::NODES;
use crate::support::program::{code, pki, stderr, stdout, words};

#[test]
fn a_pair_that_etcd_shows_to_clients_and_to_peers_is_one_certificate() {
    let cluster = kubeadm(
        "for n in cp-1 cp-2 cp-3; do
           sed -i -e 's|--peer-cert-file=.*|--peer-cert-file=/etc/kubernetes/pki/etcd/server.crt|' \
             -e 's|--peer-key-file=.*|--peer-key-file=/etc/kubernetes/pki/etcd/server.key|' $n/etc/kubernetes/manifests/etcd.yaml
           rm $n/etc/kubernetes/pki/etcd/peer.*
         done",
    );
    let status = pki(cluster.path(), &[&["status", "--root", "cp-1"], &THEN[..]].concat());
    assert_eq!(code(&status), 0, "{}{}", stdout(&status), stderr(&status));
    assert!(
        !stdout(&status).contains("missing") && !stdout(&status).contains("etcd-peer"),
        "{}",
        stdout(&status)
    );
    let spec = agrees(cluster.path(), &NODES, &THEN);
    assert!(!spec.contains("etcd-peer"), "{spec}");
    // One is renewed, and once.
    let plan = [&["plan", "-f", "adopted.yaml", "--replace", "etcd-server@cp-1"], &THEN[..]].concat();
    let plan = stdout(&pki(cluster.path(), &plan));
    assert!(plan.ends_with("Plan: renew 1, issue 0, trust 0, remove 0, restart 0, repair 0.\n"), "{plan}");
}

#[test]
fn a_spec_that_wants_two_certificates_in_one_file_is_refused_also_where_the_layout_wants_one_of_them() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |output: &std::process::Output, part: &str| {
        assert_eq!(code(output), 65, "{}", stderr(output));
        assert!(words(&stderr(output).replace("| ", "")).contains(part), "{part}: {}", stderr(output));
    };
    let validate = |roles: &str, more: &str| {
        let spec = format!(
            "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: {{ name: prod }}\nspec:\n  profile: kubeadm\n  cluster: {{ controlPlaneEndpoint: api.example:6443 }}\n  \
             nodes: {{ n-1: {{ address: 10.0.0.1, roles: [{roles}] }} }}\n{more}"
        );
        std::fs::write(folder.path().join("spec.yaml"), spec).unwrap();
        pki(folder.path(), &["validate", "spec.yaml"])
    };
    let at = |path: &str| {
        format!(
            "  certificates:\n    apiserver-kubelet-client:\n      files: {{ certificate: {path}.crt, key: {path}.key }}\n"
        )
    };
    let both =
        "would hold both the certificate of `apiserver` and the certificate of `apiserver-kubelet-client`";
    refused(&validate("control-plane, etcd", &at("/etc/kubernetes/pki/apiserver")), both);
    let etcd = at("/etc/kubernetes/pki/etcd/peer");
    refused(
        &validate("control-plane, etcd", &etcd),
        "the key of `etcd-peer` and the key of `apiserver-kubelet-client`",
    );
    assert_eq!(code(&validate("control-plane, etcd", &at("/etc/kubernetes/pki/own"))), 0);
    // Where the directory lies elsewhere the file is free, and where it has been moved to it is not.
    let moved = "  directories: { pki: { path: /srv/pki } }\n";
    assert_eq!(code(&validate("control-plane", &(at("/etc/kubernetes/pki/apiserver") + moved))), 0);
    refused(&validate("control-plane, etcd", &(at("/srv/pki/apiserver") + moved)), both);
    // A node without that certificate has room for another one.
    let of_workers = "  certificates:\n    metrics:\n      authority: ca\n      subject: { commonName: metrics }\n      usages: [server]\n      \
        on: { role: worker }\n      files: { certificate: /etc/kubernetes/pki/apiserver.crt, key: /etc/kubernetes/pki/apiserver.key }\n";
    let output = validate("worker", of_workers);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
}
