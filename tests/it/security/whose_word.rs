//! Whose word counts for what: each kind of value that a spec leaves open, with a lie from a worker, from one of three control planes, and from all of them.
#![expect(clippy::disallowed_methods, reason = "the tests change real files")]

use std::os::unix::fs::PermissionsExt as _;

use pki::output;
use pki::plan::Options;
use pki::simulate::Plan;
use serde_json::Value;

use crate::support::cluster::Cluster;

const EVIL: &str = "evil.example";

/// The real cluster with a worker in front of all others by name; `declared` is what the spec says of the cluster.
fn cluster(declared: &str) -> Cluster {
    let cluster = Cluster::unpack();
    let nodes: String = (1..=3)
        .map(|number| {
            format!("    cp-{number}: {{ address: 10.0.0.1{number}, roles: [control-plane, etcd], connection: {{ local: {{ root: ./cp-{number} }} }} }}\n")
        })
        .collect();
    let worker = "    a-w1: { address: 10.9.9.9, roles: [worker], connection: { local: { root: ./w } } }\n";
    let spec = format!(
        "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: {{ name: prod-eu1 }}\nspec:\n  profile: kubeadm\n{declared}  nodes:\n{worker}{nodes}"
    );
    std::fs::write(cluster.path().join("spec.yaml"), spec).unwrap();
    join(&cluster);
    cluster
}

/// The worker is one more machine, whose kubelet has a certificate of the cluster's CA in its own name.
fn join(cluster: &Cluster) {
    std::fs::create_dir_all(cluster.path().join("w/etc/kubernetes/pki")).unwrap();
    let at = |node: &str, file: &str| cluster.path().join(node).join("etc/kubernetes").join(file);
    std::fs::copy(at("cp-1", "pki/ca.crt"), at("w", "pki/ca.crt")).unwrap();
    let script = "openssl req -newkey rsa:2048 -nodes -keyout w.key -out w.csr -subj /O=system:nodes/CN=system:node:a-w1 &&
        printf 'extendedKeyUsage=clientAuth\\nkeyUsage=digitalSignature,keyEncipherment\\n' > w.ext &&
        openssl x509 -req -in w.csr -CA cp-1/etc/kubernetes/pki/ca.crt -CAkey cp-1/etc/kubernetes/pki/ca.key -set_serial 4711 -days 300 -extfile w.ext -out w.crt &&
        cat w.crt w.key && rm w.csr w.ext w.crt w.key";
    let made =
        std::process::Command::new("sh").args(["-c", script]).current_dir(cluster.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let kubelet = "/var/lib/kubelet/pki/kubelet-client-current.pem";
    let pair = cluster.path().join("w").join(kubelet.trim_start_matches('/'));
    std::fs::create_dir_all(pair.parent().unwrap()).unwrap();
    std::fs::write(&pair, made.stdout).unwrap();
    std::fs::set_permissions(pair, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = std::fs::read_to_string(at("cp-1", "kubelet.conf")).unwrap();
    let (kept, _) = config.split_once("users:").unwrap();
    let kept = kept.replace("system:node:cp-1", "system:node:a-w1");
    let user = format!(
        "users:\n- name: system:node:a-w1\n  user:\n    client-certificate: {kubelet}\n    client-key: {kubelet}\n"
    );
    std::fs::write(at("w", "kubelet.conf"), kept + &user).unwrap();
}

fn edit(cluster: &Cluster, path: &str, from: &str, to: &str) {
    let path = cluster.path().join(path);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{} has no {from}", path.display());
    std::fs::write(path, text.replace(from, to)).unwrap();
}

fn remove(cluster: &Cluster, path: &str) {
    std::fs::remove_file(cluster.path().join(path)).unwrap();
}

fn json(plan: &Plan) -> Value {
    serde_json::to_value(plan).unwrap()
}

/// The plan as text, however its lines are broken.
fn text_of(plan: &Plan) -> String {
    output::plan(plan).split_whitespace().collect::<Vec<_>>().join(" ")
}

fn blocked(plan: &Plan) -> String {
    let all = plan.blocked.iter();
    all.map(|blocked| format!("{}: {} {:?}\n", blocked.address, blocked.because, blocked.help)).collect()
}

/// One control plane says something, and the others say nothing.
fn on_the_word_of_one() -> Cluster {
    let cluster = cluster("");
    edit(&cluster, "cp-1/etc/kubernetes/admin.conf", SERVER, "https://evil.example:6443");
    for node in ["cp-2", "cp-3"] {
        remove(&cluster, &format!("{node}/etc/kubernetes/admin.conf"));
        remove(&cluster, &format!("{node}/etc/kubernetes/kubelet.conf"));
    }
    cluster
}

/// The server that the fixture's kubeconfigs lead to.
const SERVER: &str = "https://api.prod-eu1.example:6443";

#[test]
fn a_worker_says_nothing_about_the_cluster() {
    let cluster = cluster("");
    edit(&cluster, "w/etc/kubernetes/kubelet.conf", SERVER, "https://evil.example:6443");
    // A file that it was not asked for, and a manifest of a component that it does not run.
    std::fs::create_dir_all(cluster.path().join("w/etc/kubernetes/manifests")).unwrap();
    for file in ["admin.conf", "manifests/kube-apiserver.yaml"] {
        std::fs::copy(
            cluster.path().join("cp-1/etc/kubernetes").join(file),
            cluster.path().join("w/etc/kubernetes").join(file),
        )
        .unwrap();
    }
    edit(&cluster, "w/etc/kubernetes/admin.conf", SERVER, "https://evil.example:6443");
    edit(&cluster, "w/etc/kubernetes/manifests/kube-apiserver.yaml", "10.96.0.0/12", "10.66.0.0/16");
    remove(&cluster, "cp-3/etc/kubernetes/admin.conf");
    remove(&cluster, "cp-3/etc/kubernetes/pki/apiserver.crt");
    remove(&cluster, "cp-3/etc/kubernetes/pki/apiserver.key");
    let plan = cluster.plan(&Options::default());
    assert_eq!(blocked(&plan), "");
    let text = json(&plan).to_string() + &text_of(&plan);
    assert!(!text.contains(EVIL) && !text.contains("10.66."), "{text}");
    assert!(text.contains(SERVER), "the control planes say it");
}

#[test]
fn one_control_plane_that_says_something_else_blocks_and_is_named() {
    let cases = [
        (
            "cp-2/etc/kubernetes/admin.conf",
            (SERVER, "https://evil.example:6443"),
            "cp-1 says api.prod-eu1.example:6443 (/etc/kubernetes/admin.conf), cp-2 says evil.example:6443 (/etc/kubernetes/admin.conf)",
            "declare spec.cluster.controlPlaneEndpoint",
            "  cluster: { controlPlaneEndpoint: \"api.prod-eu1.example:6443\" }\n",
        ),
        (
            "cp-2/etc/kubernetes/manifests/kube-apiserver.yaml",
            ("10.96.0.0/12", "10.66.0.0/16"),
            "cp-1 says 10.96.0.0/12 (/etc/kubernetes/manifests/kube-apiserver.yaml), cp-2 says 10.66.0.0/16",
            "declare spec.cluster.serviceSubnet",
            "  cluster: { serviceSubnet: 10.96.0.0/12 }\n",
        ),
    ];
    for (path, (from, to), says, help, declared) in cases {
        for declared in ["", declared] {
            let cluster = cluster(declared);
            edit(&cluster, path, from, to);
            remove(&cluster, "cp-3/etc/kubernetes/pki/apiserver.crt");
            remove(&cluster, "cp-3/etc/kubernetes/pki/apiserver.key");
            let plan = cluster.plan(&Options::default());
            let blocked = blocked(&plan);
            if declared.is_empty() {
                assert!(blocked.contains(says) && blocked.contains(help), "{path}: {blocked}");
            } else {
                assert_eq!(blocked, "", "{path}: what is declared counts");
                let text = json(&plan).to_string();
                assert!(!text.contains(EVIL) && !text.contains("10.66.0.1"), "{path}: {text}");
            }
        }
    }
}

#[test]
fn what_all_control_planes_say_is_taken_and_says_whose_word_it_is() {
    let cluster = cluster("");
    for node in ["cp-1", "cp-2", "cp-3"] {
        edit(&cluster, &format!("{node}/etc/kubernetes/admin.conf"), SERVER, "https://evil.example:6443");
    }
    let plan = cluster.plan(&Options::default());
    let text = text_of(&plan);
    let said = "evil.example by the word of cp-1 (/etc/kubernetes/admin.conf)";
    assert!(text.contains(said), "{text}");
    assert_eq!(plan.told_by_others().count(), 0, "all say the same");
    let plan = json(&plan);
    let visits = plan["visits"].as_array().unwrap().iter();
    let mut actions = visits.flat_map(|visit| visit["actions"].as_array().unwrap());
    let told = actions.find_map(|action| action["deed"].get("told")?.get(0)).unwrap();
    assert_eq!(told["value"], EVIL);
    assert_eq!(told["from"]["node"], "cp-1");
    assert_eq!(told["from"]["path"], "/etc/kubernetes/admin.conf");
}

#[test]
fn what_one_says_and_others_do_not_deny_waits_for_a_person() {
    let cluster = on_the_word_of_one();
    let plan = cluster.plan(&Options::default());
    let text = text_of(&plan);
    assert!(text.contains("server https://evil.example:6443"), "{text}");
    assert!(
        text.contains("https://evil.example:6443 by the word of cp-1 (/etc/kubernetes/admin.conf)"),
        "{text}"
    );
    let others: Vec<String> = plan.told_by_others().map(|(action, _)| action.address.to_string()).collect();
    assert!(others.contains(&"admin.conf@cp-2".to_owned()), "{others:?}");
    assert!(!others.contains(&"apiserver@cp-1".to_owned()), "its own certificate is its own affair");
}

#[test]
fn the_address_of_another_node_is_nobodys_until_it_is_declared() {
    let cluster = cluster("");
    edit(&cluster, "spec.yaml", "cp-2: { address: 10.0.0.12, roles", "cp-2: { roles");
    let manifest = "cp-2/etc/kubernetes/manifests/kube-apiserver.yaml";
    edit(&cluster, manifest, "advertise-address=10.0.0.12", "advertise-address=10.0.0.11");
    remove(&cluster, "cp-2/etc/kubernetes/pki/apiserver.crt");
    remove(&cluster, "cp-2/etc/kubernetes/pki/apiserver.key");
    let found = blocked(&cluster.plan(&Options::default()));
    let says = "cp-2 says that its address is 10.0.0.11 (/etc/kubernetes/manifests/kube-apiserver.yaml), and that is the address of cp-1";
    assert!(found.contains(says) && found.contains("declare spec.nodes.cp-2.address"), "{found}");
    edit(&cluster, manifest, "advertise-address=10.0.0.11", "advertise-address=10.0.0.12");
    let plan = cluster.plan(&Options::default());
    assert_eq!(blocked(&plan), "", "its own address is its own word");
    assert!(text_of(&plan).contains("10.0.0.12 by the word of cp-2"));
}

#[test]
fn a_renewal_keeps_no_name_of_a_certificate_that_no_ca_in_use_vouches_for() {
    let cluster = cluster("");
    let pki = cluster.path().join("cp-2/etc/kubernetes/pki");
    let script = "openssl req -x509 -newkey rsa:2048 -nodes -keyout f.key -out f.crt -subj /CN=kubernetes -days 30 &&
        openssl req -newkey rsa:2048 -nodes -keyout apiserver.key -out r.csr -subj /CN=kube-apiserver &&
        printf 'subjectAltName=DNS:evil.example\\nextendedKeyUsage=serverAuth\\n' > e &&
        openssl x509 -req -in r.csr -CA f.crt -CAkey f.key -CAcreateserial -days 20 -extfile e -out apiserver.crt && rm f.key f.crt r.csr e";
    let made = std::process::Command::new("sh").args(["-c", script]).current_dir(&pki).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let replace = Options { replace: ["apiserver@cp-2".parse().unwrap()].into(), ..Options::default() };
    let plan = cluster.plan(&replace);
    let issue = plan.actions().find_map(|action| action.deed.issue()).expect("it is replaced");
    assert!(!issue.dns.contains(EVIL), "{:?}", issue.dns);
    assert!(text_of(&plan).contains("- evil.example"), "what is dropped is shown");
}

#[test]
fn a_timer_leaves_out_what_not_every_control_plane_says_and_does_the_rest() {
    let cluster = on_the_word_of_one();
    remove(&cluster, "cp-3/etc/kubernetes/pki/front-proxy-client.crt");
    let timer = ["apply", "-f", "spec.yaml", "--unattended"];
    let output = crate::support::program::pki(cluster.path(), &timer);
    let told = crate::support::program::words(&crate::support::program::stdout(&output));
    assert_eq!(crate::support::program::code(&output), 6, "{told}");
    assert!(
        told.contains("it waits for an approval: https://evil.example:6443 by the word of cp-1"),
        "{told}"
    );
    assert!(!cluster.path().join("cp-2/etc/kubernetes/admin.conf").exists(), "{told}");
    assert!(cluster.path().join("cp-3/etc/kubernetes/pki/front-proxy-client.crt").exists(), "{told}");
}
