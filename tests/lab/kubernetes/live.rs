//! Everything that pki does to a cluster, done to a live one under load.

use std::time::Instant;

use crate::by_hand::by_hand;
use crate::cluster::Cluster;
use crate::experiment::{Experiment, Saved};
use crate::judges::{each_port_shows_its_file, files, kubeadm_sees_a_year};

#[test]
fn all_certificates_are_renewed_and_rolled_back_and_no_request_fails() {
    let cluster = Cluster::up();
    // What was planned for a manifest as it was is not done to another one.
    let stale = Saved::make(&cluster, "stale.json", &["--replace", "scheduler.conf@cp-1"]);
    cluster.planes[0].run("echo '# by hand' >>/etc/kubernetes/manifests/kube-scheduler.yaml");
    cluster.controller.ends(4, &stale.apply(&[]));
    let before = files(&cluster);
    let all = ["--replace", "@cp-1", "--replace", "@cp-2", "--replace", "@cp-3"];
    let saved = Saved::make(&cluster, "plan.json", &all);
    assert_eq!(saved.plan["summary"]["renew"], 33, "{}", saved.plan["summary"]);

    let renewal = Experiment::begin(&cluster, "all certificates renewed");
    cluster.controller.ends(0, &saved.apply(&[]));
    renewal.end(&saved.plan).none_failed();
    each_port_shows_its_file(&cluster);
    kubeadm_sees_a_year(&cluster);
    cluster.is_ready();
    cluster.nothing_is_to_be_done();
    let again = cluster.controller.pki(&saved.apply(&[]));
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.success() && said.contains("is already applied"), "{again:?}");

    let back = cluster.controller.ends(0, &["rollback", "-f", "spec.yaml", "--plan"]);
    assert!(back.contains(", restart 9, "), "{back}");
    let rollback = Experiment::begin(&cluster, "all certificates rolled back");
    cluster.controller.ends(0, &["rollback", "-f", "spec.yaml", "--yes"]);
    rollback.end(&saved.plan).none_failed();
    assert_eq!(files(&cluster), before);
    each_port_shows_its_file(&cluster);
    cluster.is_ready();
    cluster.is_left_clean();
}

/// Everything that kubeadm and the kubelets have, issued in the past.
const EXPIRE_PLANE: &str = r#"
for name in apiserver apiserver-kubelet-client; do reissue $PKI/$name $PKI/ca 20250101000000Z 20260101000000Z; done
reissue $PKI/front-proxy-client $PKI/front-proxy-ca 20250101000000Z 20260101000000Z
for name in apiserver-etcd-client etcd/server etcd/peer etcd/healthcheck-client; do
  reissue $PKI/$name $PKI/etcd/ca 20250101000000Z 20260101000000Z
done
for name in admin controller-manager scheduler; do
  reissue_kubeconfig $KUBERNETES/$name.conf $PKI/ca 20250101000000Z 20260101000000Z
done
"#;

/// The file in which a kubelet keeps its certificate with its key.
const EXPIRE_KUBELET: &str = r#"
current=var/lib/kubelet/pki/$(readlink var/lib/kubelet/pki/kubelet-client-current.pem | sed 's,.*/,,')
openssl x509 -in $current -out $work/kubelet.crt
openssl pkey -in $current -out $work/kubelet.key
reissue $work/kubelet $CA 20250101000000Z 20260101000000Z
cat $work/kubelet.crt $work/kubelet.key >$current
"#;

#[test]
fn a_cluster_that_was_off_until_everything_had_expired_comes_back_with_one_run() {
    let cluster = Cluster::up();
    cluster.kubectl(
        "create configmap kept --from-literal=is=there --dry-run=client -o yaml | kubectl apply -f -",
    );
    power(&cluster, "kill");
    for node in &cluster.planes {
        by_hand(&node.disk(""), EXPIRE_PLANE);
    }
    let ca = cluster.planes[0].disk("etc/kubernetes/pki/ca");
    for node in cluster.all() {
        by_hand(&node.disk(""), &format!("CA={}\n{EXPIRE_KUBELET}", ca.display()));
    }
    power(&cluster, "on");

    let saved = Saved::make(&cluster, "plan.json", &[]);
    println!("{}", saved.plan["summary"]);
    let begun = Instant::now();
    cluster.controller.ends(0, &saved.apply(&[]));
    println!("an expired cluster back in {} s", begun.elapsed().as_secs());
    cluster.is_ready();
    assert_eq!(cluster.kubectl("get configmap kept -o jsonpath='{.data.is}'"), "there");
    each_port_shows_its_file(&cluster);
    kubeadm_sees_a_year(&cluster);
    cluster.nothing_is_to_be_done();
    cluster.is_left_clean();
}

/// All nodes at once.
fn power(cluster: &Cluster, what: &str) {
    std::thread::scope(|scope| {
        for node in cluster.all() {
            scope.spawn(move || node.power(what));
        }
    });
}

#[test]
fn the_ca_of_etcd_is_replaced_though_the_run_is_killed_and_a_worker_joins() {
    let cluster = Cluster::up();
    let old = cluster.planes[0].run("cat /etc/kubernetes/pki/etcd/ca.crt");
    let reading = pki::x509::pem::read(old.as_bytes());
    let old = *reading.certificates().next().unwrap().fingerprint();
    cluster.add_to_spec(&format!(
        "  authorities:\n    etcd-ca: {{ distrust: {{ \"sha256:{old}\": \"INC-2291, key exposed\" }} }}\n"
    ));
    let saved = Saved::make(&cluster, "plan.json", &[]);
    let replacement = Experiment::begin(&cluster, "the CA of etcd replaced");
    let words = saved.apply(&["--confirm", "lab/etcd-ca"]);
    let mut run = cluster.controller.start(&words);
    // In the middle: the members trust both CAs, and the first ones show certificates of the new one.
    run.wait_for_words("(9 of ");
    run.kill();
    cluster.controller.ends(0, &words);
    replacement.end(&saved.plan).none_failed_but_through(&["cp-1", "cp-2", "cp-3", "endpoint"]);
    let there = cluster.planes[0].run("cat /etc/kubernetes/pki/etcd/ca.crt");
    let reading = pki::x509::pem::read(there.as_bytes());
    assert!(reading.certificates().all(|certificate| *certificate.fingerprint() != old));
    each_port_shows_its_file(&cluster);
    cluster.is_ready();
    cluster.nothing_is_to_be_done();

    let join = cluster.planes[0].run("kubeadm token create --print-join-command");
    let worker = &cluster.workers[1];
    cluster.kubectl("delete node worker-2");
    worker.run("kubeadm reset --force");
    worker.run(&format!("{} --ignore-preflight-errors=all", join.trim()));
    cluster.is_ready();
    cluster.nothing_is_to_be_done();
    cluster.is_left_clean();
}
