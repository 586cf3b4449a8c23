//! `pki adopt`: the spec that it writes is valid, and the next plan has nothing to do; after one file was changed it has exactly one thing to do.
//!
//! The golden texts are the specs of the layouts; `UPDATE=1` writes them anew.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::support::by_hand::by_hand;
use crate::support::cluster::{Cluster, NODES, ROOT, golden, is_root, left_out};
use crate::support::listing::listing;
use crate::support::program::{code, pki, stderr, stdout};

pub(super) const THEN: [&str; 2] = ["--as-of", "2026-12-01T00:00:00Z"];
const NOTHING: &str = "The next plan would change nothing.";

/// A cluster of kubeadm after these commands, with what the scenarios share.
pub(super) fn kubeadm(commands: &str) -> Cluster {
    let cluster = Cluster::unpack();
    // A spec of another origin would only mislead.
    std::fs::remove_file(cluster.path().join("spec.yaml")).unwrap();
    by_hand(cluster.path(), commands);
    cluster
}

/// Adopts the nodes in these folders, without touching any of them; what is in the file, and what was said.
fn adopt(folder: &Path, nodes: &[&str], more: &[&str]) -> (String, String) {
    let before = listing(folder);
    let mut arguments = vec!["adopt", "-o", "adopted.yaml", "--force"];
    arguments.extend(nodes.iter().flat_map(|node| ["--root", node]));
    arguments.extend(more);
    let output = pki(folder, &arguments);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert_eq!(stdout(&output), "", "the spec is in the file");
    assert_eq!(listing(folder), before, "nodes are only read");
    (std::fs::read_to_string(folder.join("adopted.yaml")).unwrap(), stderr(&output))
}

fn plan(folder: &Path, expected: i32, more: &[&str]) -> Value {
    let validated = pki(folder, &["validate", "adopted.yaml"]);
    assert_eq!((code(&validated), stderr(&validated)), (0, String::new()), "{}", stderr(&validated));
    let mut arguments = vec!["plan", "-f", "adopted.yaml", "--exit-code", "--format", "json"];
    arguments.extend(more);
    let output = pki(folder, &arguments);
    assert_eq!(code(&output), expected, "{}{}", stdout(&output), stderr(&output));
    serde_json::from_str(&stdout(&output)).unwrap()
}

/// Adopted, valid, and nothing to do.
#[track_caller]
pub(super) fn agrees(folder: &Path, nodes: &[&str], more: &[&str]) -> String {
    let (text, said) = adopt(folder, nodes, more);
    assert!(said.contains(NOTHING), "{said}\n{text}");
    assert!(text.contains(&format!("# {NOTHING}\n")), "{text}");
    plan(folder, 0, more);
    text
}

/// How many things a plan does.
fn counted(plan: &Value) -> u64 {
    let summary = &plan["summary"];
    ["renew", "issue", "trust", "remove", "repair", "copy"]
        .iter()
        .map(|kind| summary[kind].as_u64().unwrap())
        .sum()
}

/// After these commands, exactly this one thing is to be done.
#[track_caller]
fn one_change(folder: &Path, commands: &str, address: &str, more: &[&str]) {
    let kept = tempfile::tempdir().unwrap();
    let copy = |from: &Path, to: &Path| {
        let copied = Command::new("cp").arg("-a").arg(from.join(".")).arg(to).status().unwrap();
        assert!(copied.success());
    };
    copy(folder, kept.path());
    by_hand(kept.path(), commands);
    let plan = plan(kept.path(), 2, more);
    assert_eq!(counted(&plan), 1, "{commands}: {}", plan["summary"]);
    let visits = plan["visits"].as_array().unwrap();
    let actions = visits.iter().flat_map(|visit| visit["actions"].as_array().unwrap());
    let addresses: Vec<&str> = actions
        .map(|action| action["address"].as_str().unwrap())
        .filter(|of| !of.starts_with("node@"))
        .collect();
    assert!(!addresses.is_empty() && addresses.iter().all(|of| *of == address), "{commands}: {addresses:?}");
}

#[track_caller]
fn is_golden(name: &str, text: &str) {
    let compared = golden(&Path::new(ROOT).join("tests/golden").join(name), text);
    assert!(compared.is_ok(), "{}", compared.unwrap_err());
}

#[test]
fn a_cluster_of_kubeadm_is_adopted_and_then_one_file_is_changed() {
    let cluster = kubeadm("");
    let folder = cluster.path();
    let text = agrees(folder, &NODES, &THEN);
    is_golden("adopt-kubeadm.yaml", &text);
    assert_eq!(agrees(folder, &NODES, &THEN), text, "the same bytes again");
    for (commands, address) in [
        ("chmod 0644 cp-2/$PKI/apiserver.key", "apiserver@cp-2"),
        ("rm cp-1/$PKI/front-proxy-client.crt", "front-proxy-client@cp-1"),
        ("cp cp-1/$PKI/etcd/server.key cp-1/$PKI/etcd/peer.key", "etcd-peer@cp-1"),
        ("reissue cp-3/$PKI/etcd/server cp-3/$PKI/etcd/ca $CA_STARTS $SOON_ENDS", "etcd-server@cp-3"),
        (
            "new_key cp-2/$PKI/apiserver -algorithm EC -pkeyopt ec_paramgen_curve:P-256; reissue cp-2/$PKI/apiserver cp-2/$PKI/ca $CA_STARTS 20271121234434Z",
            "apiserver@cp-2",
        ),
        ("rm cp-1/$PKI/sa.pub", "key/sa@cp-1"),
    ] {
        one_change(folder, commands, address, &THEN);
    }
}

/// A layout of `tests/layouts`; none where files cannot be given to etcd.
fn layout(test: &str, script: &str, arguments: &[&str]) -> Option<tempfile::TempDir> {
    if !is_root() {
        left_out(test, "only root can give files to the user etcd");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    let script = format!("{ROOT}/tests/layouts/{script}.sh");
    let made = Command::new("bash").arg(script).args(arguments).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    Some(folder)
}

#[test]
fn the_masters_of_ack_are_adopted() {
    let Some(folder) = layout("the_masters_of_ack_are_adopted", "ack", &["1825", "365"]) else { return };
    let folder = folder.path();
    is_golden("adopt-ack.yaml", &agrees(folder, &["master-1", "master-2", "master-3"], &[]));
    one_change(
        folder,
        "chmod 0644 master-2/var/lib/etcd/cert/etcd-server-key.pem",
        "etcd-server@master-2",
        &[],
    );
    one_change(folder, "rm master-1/$PKI/apiserver.crt", "apiserver@master-1", &[]);
    one_change(
        folder,
        "rm master-3/var/lib/etcd/cert/10.0.0.11-name-1.pem",
        "etcd-member-master-1@master-3",
        &[],
    );
}

#[test]
fn fifty_years_under_a_ca_of_five_are_adopted_with_a_ca_as_long() {
    let name = "fifty_years_under_a_ca_of_five_are_adopted_with_a_ca_as_long";
    let Some(folder) = layout(name, "ack", &["1825", "18250"]) else { return };
    let text = agrees(folder.path(), &["master-1", "master-2", "master-3"], &[]);
    assert!(text.contains("    validity: 50y   # that of 36 of 36 certificates\n"), "{text}");
    assert!(text.contains("    authorityValidity: 50y   # the CA ends before what it issued"), "{text}");
}

#[test]
fn the_controllers_of_starlingx_are_adopted() {
    let name = "the_controllers_of_starlingx_are_adopted";
    let Some(folder) = layout(name, "starlingx", &["365", "16"]) else { return };
    let folder = folder.path();
    is_golden("adopt-starlingx.yaml", &agrees(folder, &["controller-0", "controller-1"], &[]));
    one_change(folder, "chmod 0640 controller-1/etc/etcd/etcd-client.key", "etcd-client@controller-1", &[]);
    let standby = "rm controller-0/opt/platform/config/24.09/etcd/etcd-server.crt";
    // What only the active controller has mounted may be missing.
    by_hand(folder, standby);
    plan(folder, 0, &[]);
    one_change(
        folder,
        "rm controller-0/$PKI/apiserver-etcd-client.crt",
        "apiserver-etcd-client@controller-0",
        &[],
    );
}

#[test]
fn a_directory_behind_a_link_is_declared_with_its_link() {
    let cluster = kubeadm(
        "for node in \"${NODES[@]}\"; do mkdir -p $node/data; mv $node/$PKI/etcd $node/data/etcd-pki; ln -s /data/etcd-pki $node/$PKI/etcd; done",
    );
    let text = agrees(cluster.path(), &NODES, &THEN);
    assert!(
        text.contains("    etcd-pki: { path: /data/etcd-pki, link: /etc/kubernetes/pki/etcd }   # "),
        "{text}"
    );
    one_change(cluster.path(), "rm cp-2/$PKI/etcd", "dir/etcd-pki@cp-2", &THEN);
}

#[test]
fn certificates_in_another_directory_are_found_by_the_flags() {
    let cluster = kubeadm(
        "for node in \"${NODES[@]}\"; do mkdir -p $node/srv; mv $node/$PKI $node/srv/pki; \
         sed -i 's|/etc/kubernetes/pki|/srv/pki|g' $node/$KUBERNETES/manifests/*.yaml; done",
    );
    let text = agrees(cluster.path(), &NODES, &THEN);
    assert!(
        text.contains("    pki: { path: /srv/pki }   # by the flags in the manifests on cp-1\n"),
        "{text}"
    );
    one_change(cluster.path(), "chmod 0644 cp-1/srv/pki/etcd/peer.key", "etcd-peer@cp-1", &THEN);
}

#[test]
fn a_single_pair_in_another_place_is_found_by_the_flags() {
    let cluster = kubeadm(
        "for node in \"${NODES[@]}\"; do mv $node/$PKI/apiserver.crt $node/$PKI/serving-$node.crt; mv $node/$PKI/apiserver.key $node/$PKI/serving-$node.key; \
         sed -i \"s#/etc/kubernetes/pki/apiserver\\.\\(crt\\|key\\)#/etc/kubernetes/pki/serving-$node.\\1#\" $node/$KUBERNETES/manifests/kube-apiserver.yaml; done",
    );
    let text = agrees(cluster.path(), &NODES, &THEN);
    let files = "files: { certificate: \"/etc/kubernetes/pki/serving-{node}.crt\", key: \"/etc/kubernetes/pki/serving-{node}.key\" }";
    assert!(text.contains(files), "{text}");
}

#[test]
fn names_that_all_have_are_declared_and_those_of_one_node_are_told() {
    let cluster = kubeadm(
        "for node in \"${NODES[@]}\"; do more=; [ $node = cp-2 ] && more=,DNS:only.example; \
         issue $node/$PKI/front-proxy-client $node/$PKI/front-proxy-ca /CN=front-proxy-client $CA_STARTS 20271121234434Z \
         extendedKeyUsage=clientAuth subjectAltName=DNS:$node,DNS:$node.example,DNS:Proxy.example,IP:10.0.0.99$more; done",
    );
    let text = agrees(cluster.path(), &NODES, &THEN);
    let names = "    front-proxy-client:\n      names: { dns: [proxy.example, \"{node}\", \"{node}.example\"], ip: [10.0.0.99] }   # as on cp-1, cp-2, cp-3, besides";
    assert!(text.contains(names), "{text}");
    assert!(
        text.contains("front-proxy-client on cp-2 alone also has the names only.example; renewals keep them"),
        "{text}"
    );
}

#[test]
fn names_that_all_lack_are_left_out() {
    let cluster = kubeadm(
        "for node in \"${NODES[@]}\"; do n=${node#cp-}; \
         issue $node/$PKI/etcd/peer $node/$PKI/etcd/ca /CN=$node $CA_STARTS 20271121234434Z extendedKeyUsage=serverAuth,clientAuth \
         subjectAltName=DNS:$node,IP:10.0.0.1$n; done",
    );
    let text = agrees(cluster.path(), &NODES, &THEN);
    assert!(text.contains("names: { only: { dns: [\"{node}\"], ip: [\"{address}\"] } }"), "{text}");
}

#[test]
fn subjects_usages_and_issuers_that_are_alike_on_all_nodes_are_declared() {
    let cluster = kubeadm(
        "for node in \"${NODES[@]}\"; do \
         issue $node/$PKI/apiserver-etcd-client $node/$PKI/etcd/ca /O=ops/CN=api.$node $CA_STARTS 20271121234434Z extendedKeyUsage=clientAuth,serverAuth; \
         issue $node/$PKI/front-proxy-client $node/$PKI/ca /CN=front-proxy-client $CA_STARTS 20271121234434Z extendedKeyUsage=clientAuth; done",
    );
    let text = agrees(cluster.path(), &NODES, &THEN);
    assert!(text.contains("subject: { commonName: \"api.{node}\", organizations: [ops] }"), "{text}");
    assert!(text.contains("usages: [server, client]"), "{text}");
    assert!(
        text.contains("authority: ca   # it is signed by ca, not by front-proxy-ca as the profile has it"),
        "{text}"
    );
    let drift = "issue cp-1/$PKI/apiserver-etcd-client cp-1/$PKI/etcd/ca /O=ops/CN=other $CA_STARTS 20271121234434Z extendedKeyUsage=clientAuth,serverAuth";
    one_change(cluster.path(), drift, "apiserver-etcd-client@cp-1", &THEN);
}

#[test]
fn what_differs_on_one_node_alone_stays_a_finding() {
    let cluster = kubeadm(
        "issue cp-1/$PKI/etcd/peer cp-1/$PKI/etcd/ca /CN=cp-1 $CA_STARTS 20271121234434Z extendedKeyUsage=serverAuth \
         subjectAltName=DNS:cp-1,DNS:localhost,IP:10.0.0.11,IP:127.0.0.1,IP:::1; chmod 0644 cp-2/$PKI/apiserver.key",
    );
    let (text, said) = adopt(cluster.path(), &NODES, &THEN);
    for finding in [
        "etcd-peer@cp-1: may not be used as client",
        "apiserver@cp-2: /etc/kubernetes/pki/apiserver.key has mode 0644, not 0600; a mode that grants more than it should is not adopted",
        "Plan: renew 1, issue 0, trust 0, remove 0, restart 0, repair 1.",
    ] {
        assert!(said.contains(&format!("  {finding}\n")), "{said}");
        assert!(text.contains(&format!("#   {finding}\n")), "{text}");
    }
    assert_eq!(counted(&plan(cluster.path(), 2, &THEN)), 2);
}

#[test]
fn what_lies_in_the_place_of_something_else_is_not_adopted() {
    let on_all = |commands: &str| format!("for node in \"${{NODES[@]}}\"; do {commands}; done");
    let copied = |from: &str, to: &str| {
        let of = |ending: &str| format!("cp -p $node/$PKI/{from}.{ending} $node/$PKI/{to}.{ending}");
        on_all(&format!("{}; {}", of("crt"), of("key")))
    };
    for (commands, identity) in [
        (copied("apiserver-kubelet-client", "apiserver"), "apiserver"),
        (copied("apiserver", "apiserver-kubelet-client"), "apiserver-kubelet-client"),
        (copied("front-proxy-client", "apiserver-etcd-client"), "apiserver-etcd-client"),
        (
            on_all("cp -p $node/$KUBERNETES/scheduler.conf $node/$KUBERNETES/controller-manager.conf"),
            "controller-manager.conf",
        ),
        (
            on_all(
                "issue $node/$PKI/etcd/server $node/$PKI/etcd/ca /CN=$node $CA_STARTS 20271121234434Z extendedKeyUsage=serverAuth,clientAuth",
            ),
            "etcd-server",
        ),
    ] {
        let cluster = kubeadm(&commands);
        let (text, said) = adopt(cluster.path(), &NODES, &THEN);
        assert!(!text.contains(&format!("\n    {identity}:\n")), "{identity}: {text}");
        let (_, left) = said.split_once("Not adopted, because it is not to stay so:\n").unwrap();
        assert!(left.contains(&format!("{identity}@cp-1")), "{identity}: {said}");
        let output =
            pki(cluster.path(), &[&["plan", "-f", "adopted.yaml", "--format", "json"][..], &THEN].concat());
        assert!(stdout(&output).contains(&format!("{identity}@cp-1")), "{identity}: {}", stdout(&output));
    }
}

#[test]
fn a_kubeconfig_into_which_another_cluster_was_merged_tells_of_its_own() {
    for trust in
        ["insecure-skip-tls-verify: true", "certificate-authority-data: $(base64 -w0 \"$work/other.crt\")"]
    {
        let cluster = kubeadm(&format!(
            "new_ca \"$work/other\" kubernetes; for node in \"${{NODES[@]}}\"; do sed -i \
             -e \"s#^clusters:#&\\n- name: dev\\n  cluster: {{ server: 'https://dev:6443', {trust} }}#\" \
             -e 's/^contexts:/&\\n- name: dev\\n  context: {{ cluster: dev, user: dev }}/' -e 's/^current-context:.*/current-context: dev/' \
             -e 's/^users:/&\\n- name: dev\\n  user: {{ token: t }}/' $node/$KUBERNETES/admin.conf; done"
        ));
        let text = agrees(cluster.path(), &NODES, &THEN);
        assert!(text.contains("metadata: { name: prod-eu1 }"), "{text}");
        assert!(text.contains("controlPlaneEndpoint: \"api.prod-eu1.example:6443\""), "{text}");
        assert!(!text.contains("\n    admin.conf:\n"), "{text}");
        assert!(
            text.contains("the current context of /etc/kubernetes/admin.conf leads to another cluster"),
            "{text}"
        );
    }
}

#[test]
fn a_ca_whose_key_is_on_no_node_is_external() {
    let cluster = kubeadm("rm cp-*/$PKI/ca.key");
    let text = agrees(cluster.path(), &NODES, &THEN);
    assert!(text.contains("    ca:\n      external: true   # its key is on none of these nodes"), "{text}");
    assert_eq!(text.matches("external").count(), 1, "{text}");
}

#[test]
fn a_certificate_that_all_nodes_hold_is_shared() {
    let cluster = kubeadm(
        "issue cp-1/$PKI/etcd/server cp-1/$PKI/etcd/ca /CN=etcd $CA_STARTS 20271121234434Z extendedKeyUsage=serverAuth,clientAuth \
         subjectAltName=DNS:cp-1,DNS:cp-2,DNS:cp-3,DNS:localhost,IP:10.0.0.11,IP:10.0.0.12,IP:10.0.0.13,IP:127.0.0.1,IP:::1; \
         for node in cp-2 cp-3; do cp -p cp-1/$PKI/etcd/server.crt cp-1/$PKI/etcd/server.key $node/$PKI/etcd/; done",
    );
    let text = agrees(cluster.path(), &NODES, &THEN);
    assert!(text.contains("holders: shared"), "{text}");
    assert!(text.contains("subject: { commonName: etcd }"), "{text}");
    assert!(text.contains("only: { dns: [cp-1, cp-2, cp-3, localhost], ip: [10.0.0.11, 10.0.0.12, 10.0.0.13, 127.0.0.1, \"::1\"] }"), "{text}");
    one_change(cluster.path(), "rm cp-2/$PKI/etcd/server.crt", "etcd-server@cp-2", &THEN);
}

#[test]
fn a_stray_ca_is_told_and_trusted_on() {
    let cluster = kubeadm("new_ca $work/other other-cluster; cat $work/other.crt >>cp-1/$PKI/etcd/ca.crt");
    let (text, said) = adopt(cluster.path(), &NODES, &THEN);
    assert!(said.contains("blocked: ca/etcd-ca@cp-1"), "{said}");
    let declared = text.lines().filter(|line| !line.starts_with('#'));
    assert!(
        !declared.into_iter().any(|line| line.contains("alsoTrusts") || line.contains("distrust")),
        "{text}"
    );
    plan(cluster.path(), 2, &THEN);
    assert!(text.contains("the bundle of etcd-ca on cp-1 also trusts CN=other-cluster (sha256:"), "{text}");
    assert!(text.contains("authorities.etcd-ca.distrust"), "{text}");
}

#[test]
fn owners_are_adopted_and_what_lets_others_read_a_key_is_not() {
    if !is_root() {
        left_out(
            "owners_are_adopted_and_what_lets_others_read_a_key_is_not",
            "only root can give files away",
        );
        return;
    }
    let cluster = kubeadm(
        "for node in \"${NODES[@]}\"; do printf 'root:x:0:0::/:\\netcd:x:997:997::/:\\n' >$node/etc/passwd; printf 'root:x:0:\\netcd:x:997:\\nops:x:900:\\n' >$node/etc/group; \
         chown 997:997 $node/$PKI/etcd/{ca,server,peer}.{crt,key}; chmod 0640 $node/$PKI/etcd/server.key; \
         chown 0:900 $node/$KUBERNETES/admin.conf $node/$KUBERNETES/scheduler.conf; chmod 0640 $node/$KUBERNETES/{admin,scheduler}.conf; done",
    );
    let text = agrees(cluster.path(), &NODES, &THEN);
    for part in [
        "key: /etc/kubernetes/pki/etcd/ca.key, owner: \"etcd:etcd\" }",
        "key: /etc/kubernetes/pki/etcd/peer.key, owner: \"etcd:etcd\" }",
        "key: /etc/kubernetes/pki/etcd/server.key\n        owner: \"etcd:etcd\"\n        mode: \"0640\"\n",
        "        server: \"https://api.prod-eu1.example:6443\"\n        owner: \"root:ops\"\n        mode: \"0640\"\n",
        "path: /etc/kubernetes/scheduler.conf, server: \"https://{address}:6443\", owner: \"root:ops\", mode: \"0640\" }",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    one_change(cluster.path(), "chmod 0644 cp-3/$PKI/etcd/server.key", "etcd-server@cp-3", &THEN);
    one_change(cluster.path(), "chown 0:0 cp-3/$PKI/etcd/peer.key", "etcd-peer@cp-3", &THEN);
}

#[test]
fn a_certificate_renewed_by_kubeadm_was_made_when_its_file_was_written() {
    // kubeadm's renewals begin with the CA: what this one says spans two years and a month.
    let cluster = kubeadm(
        "for node in \"${NODES[@]}\"; do reissue $node/$PKI/apiserver $node/$PKI/ca $CA_STARTS 20281221234434Z; touch -d 2027-12-22T23:44:34Z $node/$PKI/apiserver.crt; \
         issue $node/$PKI/front-proxy-client $node/$PKI/front-proxy-ca /CN=front-proxy-client 20261128000000Z 20270226000000Z extendedKeyUsage=clientAuth; done",
    );
    let text = agrees(cluster.path(), &NODES, &THEN);
    assert!(text.contains("    validity: 365d   # that of 27 of 30 certificates\n"), "{text}");
    assert!(text.contains("front-proxy-client: \n") || text.contains("validity: 90d"), "{text}");
    assert!(!text.contains("760d"), "{text}");
}

#[test]
fn etcd_on_other_machines_is_what_the_api_servers_are_told() {
    let cluster = kubeadm(
        "for node in \"${NODES[@]}\"; do rm $node/$KUBERNETES/manifests/etcd.yaml; mkdir $node/$PKI/external; \
         mv $node/$PKI/etcd/ca.crt $node/$PKI/external/ca.crt; mv $node/$PKI/apiserver-etcd-client.crt $node/$PKI/external/client.crt; \
         mv $node/$PKI/apiserver-etcd-client.key $node/$PKI/external/client.key; rm -r $node/$PKI/etcd; \
         sed -i -e 's|pki/etcd/ca|pki/external/ca|' -e 's|pki/apiserver-etcd-client|pki/external/client|' $node/$KUBERNETES/manifests/kube-apiserver.yaml; done",
    );
    let text = agrees(cluster.path(), &NODES, &THEN);
    for part in [
        "    external-etcd-ca:\n      external: true   # its key is where etcd runs\n",
        "certificate: /etc/kubernetes/pki/external/client.crt",
        "    kube-apiserver: { reads: [external-etcd-client] }\n",
        "roles: [control-plane], connection",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    one_change(
        cluster.path(),
        "chmod 0644 cp-1/$PKI/external/client.key",
        "external-etcd-client@cp-1",
        &THEN,
    );
}

#[test]
fn workers_are_adopted_too() {
    let cluster = kubeadm("rsa_keys; add_worker w-1");
    let text = agrees(cluster.path(), &["cp-1", "w-1"], &THEN);
    assert!(
        text.contains("    w-1: { roles: [worker], connection: { local: { root: ./w-1 } } }\n"),
        "{text}"
    );
}

const CONFIG: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\nlocalAPIEndpoint: { advertiseAddress: 10.0.0.11 }\nnodeRegistration: { name: cp-1 }\n\
    ---\napiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\nclusterName: prod-eu1\nkubernetesVersion: v1.31.2\ncontrolPlaneEndpoint: api.prod-eu1.example:6443\n\
    certificatesDir: /srv/pki\nnetworking: { serviceSubnet: 10.96.0.0/12, dnsDomain: cluster.local }\napiServer: { certSANs: [10.0.0.10, lb.example] }\n\
    etcd: { local: { serverCertSANs: [etcd.example] } }\ncertificateValidityPeriod: 2160h0m0s\ncaCertificateValidityPeriod: 43800h0m0s\nencryptionAlgorithm: ECDSA-P256\n\
    ---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\n";

#[test]
fn a_kubeadm_configuration_by_itself_is_a_spec() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("kubeadm.yaml"), CONFIG).unwrap();
    let output = pki(folder.path(), &["adopt", "--kubeadm-config", "kubeadm.yaml"]);
    // This machine is none of a cluster; if it were, its files would be adopted.
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    is_golden("adopt-kubeadm-config.yaml", &stdout(&output));
    std::fs::write(folder.path().join("adopted.yaml"), stdout(&output)).unwrap();
    assert_eq!(code(&pki(folder.path(), &["validate", "adopted.yaml"])), 0);
    assert!(stderr(&output).contains("No node was looked at"), "{}", stderr(&output));
}

#[test]
fn of_a_kubeadm_configuration_only_what_the_nodes_hold_is_adopted() {
    let cluster = kubeadm("");
    let indented: String =
        CONFIG.split("---\n").nth(1).unwrap().lines().map(|line| format!("    {line}\n")).collect();
    let map = format!("apiVersion: v1\nkind: ConfigMap\ndata:\n  ClusterConfiguration: |\n{indented}");
    std::fs::write(cluster.path().join("kubeadm-config.yaml"), map).unwrap();
    let more = [&["--kubeadm-config", "kubeadm-config.yaml"][..], &THEN].concat();
    let (text, said) = adopt(cluster.path(), &NODES, &more);
    assert!(said.contains(NOTHING), "{said}");
    plan(cluster.path(), 0, &THEN);
    for part in [
        "validity: 90d   # certificateValidityPeriod in kubeadm-config.yaml",
        "authorityValidity: 5y   # caCertificateValidityPeriod in kubeadm-config.yaml",
        "names: { ip: [10.0.0.10] }   # as on cp-1, cp-2, cp-3, and asked for in kubeadm-config.yaml",
        "asks for lb.example, which /etc/kubernetes/pki/apiserver.crt on cp-1 lacks",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn what_is_no_kubeadm_configuration_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    for (text, exit, part) in [
        ("kind: Pod\n", 65, "holds no ClusterConfiguration"),
        ("kind: ClusterConfiguration\n---\nkind: [\n", 65, "at line "),
        (
            "kind: ClusterConfiguration\n",
            3,
            "names no node; add --host for each node, or --root for a directory",
        ),
        ("kind: ClusterConfiguration\napiServer:\n\tcertSANs: []\n", 65, "at line 3: a tab cannot indent"),
    ] {
        std::fs::write(folder.path().join("x.yaml"), text).unwrap();
        let output = pki(folder.path(), &["adopt", "--kubeadm-config", "x.yaml"]);
        assert_eq!(code(&output), exit, "{text}: {}", stderr(&output));
        assert!(stderr(&output).contains(part), "{text}: {}", stderr(&output));
    }
    assert_eq!(code(&pki(folder.path(), &["adopt", "--kubeadm-config", "missing.yaml"])), 1);
}

pub(super) fn refused(output: &Output, exit: i32, part: &str) {
    assert_eq!(code(output), exit, "{}", stderr(output));
    assert!(stderr(output).contains(part), "{}", stderr(output));
    assert_eq!(stdout(output), "");
}

#[test]
fn a_file_is_replaced_only_by_force_and_readable_by_everyone() {
    let cluster = kubeadm("");
    let arguments = ["adopt", "--root", "cp-1", "-o", "out.yaml", "--as-of", "2026-12-01T00:00:00Z"];
    assert_eq!(code(&pki(cluster.path(), &arguments)), 0);
    let file = cluster.path().join("out.yaml");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);
    std::fs::write(&file, "precious").unwrap();
    refused(&pki(cluster.path(), &arguments), 64, "is there already");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "precious");
    assert_eq!(code(&pki(cluster.path(), &[&arguments[..], &["--force"]].concat())), 0);
    assert!(std::fs::read_to_string(&file).unwrap().starts_with("# Written by `pki adopt`"));
}

#[test]
fn half_a_cluster_or_none_is_no_spec() {
    let cluster = kubeadm(
        "mkdir empty; add_worker w-1; mkdir -p etcd-1/etc/etcd/pki; touch etcd-1/etc/etcd/pki/ca.crt",
    );
    let folder = cluster.path();
    refused(&pki(folder, &["adopt", "--root", "cp-1", "--root", "nowhere"]), 3, "nowhere: ");
    refused(
        &pki(folder, &["adopt", "--root", "empty"]),
        3,
        "no Kubernetes or etcd layout that pki knows on empty",
    );
    refused(
        &pki(folder, &["adopt", "--root", "cp-1", "--root", "./cp-1"]),
        3,
        "cp-1 and ./cp-1 are both called cp-1",
    );
    refused(
        &pki(folder, &["adopt", "--root", "cp-1", "--root", "etcd-1"]),
        3,
        "adopt them one after the other",
    );
    refused(&pki(folder, &["adopt", "--host", "cp-1:0"]), 64, "0 is not a port");
    refused(&pki(folder, &["adopt", "--root", "NAME=cp-1"]), 64, "lower-case");
    refused(
        &pki(folder, &["adopt", "--root", "cp-9=cp-1", "--as-of", "2026-12-01T00:00:00Z"]),
        3,
        "this machine is node cp-1",
    );
}

#[test]
fn texts_of_nodes_stay_texts() {
    let cluster = kubeadm(
        "for node in \"${NODES[@]}\"; do \
         issue $node/$PKI/front-proxy-client $node/$PKI/front-proxy-ca '/O=a: {b}, [c] # d/CN=x: \"y\" # z' $CA_STARTS 20271121234434Z extendedKeyUsage=clientAuth; \
         issue $node/$PKI/apiserver-etcd-client $node/$PKI/etcd/ca '/O=e: f # g/CN=x: \"y\" # z' $CA_STARTS 20271121234434Z extendedKeyUsage=clientAuth; done; \
         sed -i 's|service-cluster-ip-range=.*|service-cluster-ip-range=\"10.96.0.0/12 }: !!x\"|' cp-1/$KUBERNETES/manifests/kube-apiserver.yaml",
    );
    let (text, _) = adopt(cluster.path(), &NODES, &THEN);
    assert!(
        text.contains(r##"subject: { commonName: "x: \"y\" # z", organizations: ["e: f # g"] }"##),
        "{text}"
    );
    // Braces are placeholders in a spec, so this one cannot be said.
    assert!(
        text.contains("# ")
            && text.contains(
                "front-proxy-client@cp-1, front-proxy-client@cp-2, front-proxy-client@cp-3: subject is "
            ),
        "{text}"
    );
    assert!(text.contains("serviceSubnet: 10.96.0.0/12   # --service-cluster-ip-range in /etc/kubernetes/manifests/kube-apiserver.yaml on cp-2"), "{text}");
    plan(cluster.path(), 2, &THEN);
}

#[test]
fn what_is_said_of_the_next_plan_is_what_it_does_in_every_scenario() {
    let folders = crate::scenario::scenarios::folders(&Path::new(ROOT).join("tests/scenarios"));
    let waiting = AtomicUsize::new(0);
    let check_all = || {
        let mut checked = 0;
        while let Some(folder) = folders.get(waiting.fetch_add(1, Ordering::Relaxed)) {
            checked += usize::from(is_as_said(folder));
        }
        checked
    };
    let checked: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(check_all)).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    assert!(checked > 80, "only {checked} scenarios");
}

/// Whether a scenario's cluster can be adopted; then the next plan does what was said of it.
fn is_as_said(folder: &Path) -> bool {
    let name = folder.file_name().unwrap().display().to_string();
    let cluster = crate::scenario::scenarios::set_up(folder).unwrap();
    let path = cluster.path();
    let is_node = |name: &&str| path.join(name).join("etc/kubernetes").exists();
    let nodes: Vec<&str> = ["cp-1", "cp-2", "cp-3", "w-1"].into_iter().filter(is_node).collect();
    let roots = nodes.iter().flat_map(|node| ["--root", node]);
    let arguments: Vec<&str> = ["adopt", "-o", "adopted.yaml"].into_iter().chain(roots).chain(THEN).collect();
    let output = pki(path, &arguments);
    if code(&output) == 3 {
        return false;
    }
    let said = stderr(&output);
    assert_eq!(code(&output), 0, "{name}: {said}");
    let shown = pki(path, &[&["plan", "-f", "adopted.yaml", "--exit-code"][..], &THEN].concat());
    let last = stdout(&shown).lines().last().unwrap().to_owned();
    if said.contains(NOTHING) {
        assert_eq!((code(&shown), last.as_str()), (0, "Plan: nothing to do."), "{name}");
    } else {
        assert!(said.contains(&format!("  {last}\n")), "{name}: {last}\n{said}");
    }
    true
}

#[test]
fn one_control_plane_of_three_is_adopted_with_the_names_of_the_others_and_the_command_for_all() {
    let cluster = kubeadm(
        "cluster=cp-1=https://10.0.0.11:2380,cp-2=https://10.0.0.12:2380,cp-3=https://10.0.0.13:2380
         sed -i \"s|--initial-cluster=.*|--initial-cluster=$cluster|\" cp-2/etc/kubernetes/manifests/etcd.yaml",
    );
    let (spec, said) = adopt(cluster.path(), &["cp-2"], &THEN);
    let members = "etcd has members that are not in this spec: cp-1 (https://10.0.0.11:2380) and cp-3 (https://10.0.0.13:2380)";
    let command = "pki adopt --host 10.0.0.11 --host 10.0.0.12 --host 10.0.0.13";
    assert!(said.contains(members) && said.contains(command), "{said}");
    let line = spec.lines().position(|line| line == format!("  # Look at all of them: {command}")).unwrap();
    let nodes = spec.lines().position(|line| line.trim_start().starts_with("nodes:")).unwrap();
    assert_eq!(line + 1, nodes, "{spec}");
    assert!(
        spec.split_whitespace().collect::<Vec<_>>().join(" ").contains("etcd has members that are not in")
    );
    let plan = plan(cluster.path(), 2, &THEN);
    assert_eq!(plan["elsewhere"][0]["findings"][0]["reason"], "NotInSpec", "{plan}");
    // With all of them nothing is said.
    let (spec, said) = adopt(cluster.path(), &["cp-1", "cp-2", "cp-3"], &THEN);
    assert!(!said.contains("not in this spec") && !spec.contains("Look at all of them"), "{said}");
}

#[test]
fn what_control_planes_say_differently_is_left_open_and_told() {
    let cluster = kubeadm(
        "sed -i 's#https://api.prod-eu1.example:6443#https://evil.example:6443#' cp-2/etc/kubernetes/admin.conf
         sed -i 's#10.96.0.0/12#10.66.0.0/16#' cp-3/etc/kubernetes/manifests/kube-apiserver.yaml",
    );
    let (spec, told) = adopt(cluster.path(), &NODES, &[]);
    for field in ["controlPlaneEndpoint:", "serviceSubnet:"] {
        assert!(!spec.contains(&format!("\n    {field}")), "{spec}");
    }
    let told = crate::support::program::words(&(spec + &told));
    for said in [
        "controlPlaneEndpoint is left open, because control planes say different things",
        "evil.example:6443 is the server in /etc/kubernetes/admin.conf on cp-2",
        "10.66.0.0/16 is --service-cluster-ip-range in /etc/kubernetes/manifests/kube-apiserver.yaml on cp-3",
    ] {
        assert!(told.contains(said), "{said}: {told}");
    }
}

#[test]
fn a_dash_is_standard_output_and_no_file() {
    let cluster = kubeadm("true");
    let roots: Vec<&str> = NODES.iter().flat_map(|node| ["--root", node]).collect();
    let output = pki(cluster.path(), &[&["adopt", "-o", "-"], &roots[..]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    assert!(stdout(&output).contains("kind: ClusterPKI"), "{}", stdout(&output));
    assert!(!cluster.path().join("-").exists());
}
