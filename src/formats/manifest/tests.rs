//! What manifests of static pods tell, as kubeadm writes them and as nobody should.

use proptest::prelude::*;

use super::*;

const APISERVER: &str = r#"
apiVersion: v1
kind: Pod
metadata:
  creationTimestamp: null
  name: kube-apiserver
  namespace: kube-system
spec:
  containers:
  - command:
    - kube-apiserver
    - --advertise-address=10.0.0.11
    - --client-ca-file=/etc/kubernetes/pki/ca.crt
    - --etcd-cafile
    - /etc/kubernetes/pki/etcd/ca.crt
    - --allow-privileged
    - --service_account_key_file=/etc/kubernetes/pki/sa.pub
    - --service-account-key-file=/etc/kubernetes/pki/old-sa.pub,/etc/kubernetes/pki/older-sa.pub
    - --tls-cert-file=/etc/kubernetes/pki/first.crt
    - --tls-cert-file=/etc/kubernetes/pki/apiserver.crt
    - --tls-sni-cert-key=/etc/kubernetes/pki/sni.crt,/etc/kubernetes/pki/sni.key:*.example
    - --oidc-ca-file=/opt/in-the-image/ca.crt
    image: registry.k8s.io:5000/kube-apiserver:v1.31.2@sha256:0123
    name: kube-apiserver
    volumeMounts:
    - { mountPath: /etc/kubernetes/pki, name: k8s-certs, readOnly: true }
    - { mountPath: /var/run/secret, name: emptied }
  volumes:
  - { name: k8s-certs, hostPath: { path: /data/pki/, type: DirectoryOrCreate } }
  - { name: emptied, emptyDir: {} }
"#;

fn read(text: &str) -> ManifestFacts {
    ManifestFacts::read(text.as_bytes())
}

/// The only container of a pod with this command line, of which `/` of the node is mounted at `/`.
fn container(words: &str) -> ContainerFacts {
    let text = format!(
        "{{kind: Pod, spec: {{containers: [{{name: one, image: one, command: [{words}], volumeMounts: [{{name: v, mountPath: /}}]}}], \
         volumes: [{{name: v, hostPath: {{path: /}}}}]}}}}"
    );
    read(&text).containers.remove(0)
}

#[test]
fn a_manifest_is_read_as_a_kubelet_reads_it() {
    let plain = read(APISERVER);
    let second = "---\nkind: Pod\nmetadata: {name: other}\nspec: {containers: [{name: other, image: o}]}\n";
    let shapes = [
        format!("{APISERVER}---\n"),
        format!("---{APISERVER}---\n"),
        format!("{APISERVER}{second}"),
        format!("{APISERVER}---\n}}: [ no YAML\n"),
        APISERVER.replace("kind: Pod", "kind:\tPod"),
        APISERVER.replace('\n', "\r\n"),
    ];
    for text in &shapes {
        assert_eq!(read(text), plain, "{text}");
    }
    let json = r#"{"kind": "Pod", "metadata": {"name": "etcd"}, "spec": {"containers": [{"name": "etcd", "command": ["etcd", "--name=m"], "image": "etcd:3.4.13-0"}]}}"#;
    assert_eq!(read(json).container("etcd").unwrap().flags.last("name"), Some("m"));
}

#[test]
fn the_component_its_version_and_its_flags_are_read() {
    let facts = read(APISERVER);
    assert_eq!((facts.name.as_deref(), facts.problems.as_slice()), (Some("kube-apiserver"), [].as_slice()));
    let apiserver = facts.container("kube-apiserver").unwrap();
    assert_eq!(apiserver.version.as_deref(), Some("v1.31.2"));
    assert_eq!(kubernetes_version([&facts].into_iter()).as_deref(), Some("v1.31.2"));
    assert_eq!(apiserver.flags.last("advertise-address"), Some("10.0.0.11"));
    assert!(apiserver.flags.is_on("allow-privileged"));
    assert!(!apiserver.flags.is_on("client-cert-auth"));
    assert_eq!(
        apiserver.flags.last("tls-cert-file"),
        Some("/etc/kubernetes/pki/apiserver.crt"),
        "the last one wins"
    );
    assert_eq!(apiserver.flags.all("service-account-key-file").len(), 2, "repeated, once with underscores");
}

#[test]
fn the_files_that_flags_name_are_paths_of_the_node() {
    let files = read(APISERVER).named_files();
    let named: Vec<(&str, FileUse)> = files.iter().map(|file| (file.path.as_str(), file.usage)).collect();
    assert_eq!(
        named,
        [
            ("/data/pki/apiserver.crt", FileUse::Certificates),
            ("/data/pki/ca.crt", FileUse::Trust),
            ("/data/pki/etcd/ca.crt", FileUse::Trust),
            ("/data/pki/first.crt", FileUse::Certificates),
            ("/data/pki/old-sa.pub", FileUse::PublicKeys),
            ("/data/pki/older-sa.pub", FileUse::PublicKeys),
            ("/data/pki/sa.pub", FileUse::PublicKeys),
            ("/data/pki/sni.crt", FileUse::Certificates),
            ("/data/pki/sni.key", FileUse::PrivateKey),
        ],
        "and the file that lies in the image is not among them"
    );
}

#[test]
fn only_the_deepest_mount_decides_where_a_path_lies() {
    let mount = |host: &str, inside: &str, sub: Option<&str>| HostMount {
        name: "v".into(),
        host_path: host.into(),
        mount_path: inside.into(),
        sub_path: sub.map(str::to_owned),
        kind: HostPathKind::Unset,
        read_only: true,
    };
    let mut facts = container("etcd");
    facts.mounts = vec![
        mount("/host/pki", "/pki", None),
        mount("/elsewhere", "/pki/etcd/", None),
        mount("/deep", "/sub", Some("inner/dir")),
        mount("/host/file.conf", "/etc/file.conf", None),
    ];
    assert_eq!(facts.host_path("/pki/ca.crt").as_deref(), Some("/host/pki/ca.crt"));
    assert_eq!(facts.host_path("/pki/etcd/ca.crt").as_deref(), Some("/elsewhere/ca.crt"));
    assert_eq!(facts.host_path("/sub/x").as_deref(), Some("/deep/inner/dir/x"));
    assert_eq!(facts.host_path("/pki-other/ca.crt"), None);
    assert_eq!(facts.host_path("/etc/file.conf").as_deref(), Some("/host/file.conf"));
    assert!(facts.own_mount("/etc/file.conf").is_some());
    assert!(facts.own_mount("/pki/ca.crt").is_none());
    assert_eq!(container("etcd").host_path("/").as_deref(), Some("/"));
}

#[test]
fn the_type_of_a_mount_says_whether_it_is_one_file() {
    let text = "{kind: Pod, spec: {containers: [{name: kcm, image: i, volumeMounts: [{name: conf, mountPath: /etc/kcm.conf}]}], \
                volumes: [{name: conf, hostPath: {path: /etc/kcm.conf, type: FileOrCreate}}]}}";
    let facts = read(text);
    let mount = facts.containers[0].own_mount("/etc/kcm.conf").unwrap();
    assert_eq!(
        (mount.kind, mount.is_single_file(), mount.read_only),
        (HostPathKind::FileOrCreate, true, false)
    );
}

#[test]
fn versions_come_from_tags_that_look_like_one() {
    let tag = |image: &str| version(image);
    assert_eq!(tag("k8s.gcr.io/etcd:3.4.13-0").as_deref(), Some("3.4.13-0"));
    assert_eq!(tag("host:5000/kube-apiserver:v1.20.2").as_deref(), Some("v1.20.2"));
    assert_eq!(tag("etcd:v3.5.9@sha256:ab").as_deref(), Some("v3.5.9"));
    for image in ["etcd", "host:5000/etcd", "etcd@sha256:ab", "etcd:latest", "etcd:7", ""] {
        assert_eq!(tag(image), None, "{image}");
    }
}

#[test]
fn wrappers_and_images_with_an_entry_point_are_seen_through() {
    let wrapped =
        container("/go-runner, --log-file=/var/log/x, /usr/local/bin/kube-apiserver, --secure-port=6443");
    assert_eq!(wrapped.program.as_deref(), Some("kube-apiserver"));
    assert_eq!((wrapped.flags.last("secure-port"), wrapped.flags.last("log-file")), (Some("6443"), None));
    let text =
        "{kind: Pod, spec: {containers: [{name: etcd, image: e, args: [-name, cp-1, -cert-file=/c]}]}}";
    let bare = read(text).containers.remove(0);
    assert_eq!((bare.program.as_deref(), bare.component()), (None, "etcd"));
    assert_eq!((bare.flags.last("name"), bare.flags.last("cert-file")), (Some("cp-1"), Some("/c")));
}

#[test]
fn a_shell_script_is_said_to_be_unknown() {
    let text = "{kind: Pod, spec: {containers: [{name: etcd, image: e, command: [/bin/sh, -c, 'exec /usr/bin/etcd --cert-file=/c']}]}}";
    let facts = read(text);
    assert_eq!(facts.problems, [ManifestProblem::ShellCommand { container: "etcd".into() }]);
    assert_eq!(facts.containers[0].flags, Flags::default());
}

#[test]
fn passwords_in_manifests_do_not_leave() {
    let strangers =
        container("keepalived, --auth=hunter2, --password, hunter2, --config=/etc/k.conf, hunter2");
    let etcd = container(
        "etcd, --initial-cluster-token=hunter2, --discovery=https://u:hunter2@host, --name=m, hunter2",
    );
    for facts in [&strangers, &etcd] {
        assert!(!serde_json::to_string(facts).unwrap().contains("hunter2"), "{facts:?}");
    }
    assert_eq!(strangers.flags.last("config"), Some("/etc/k.conf"));
    assert_eq!(etcd.flags.last("name"), Some("m"));
    let env = "{kind: Pod, spec: {containers: [{name: a, image: b, env: [{name: P, value: hunter2}]}]}}";
    assert!(!format!("{:?}", read(env)).contains("hunter2"));
}

#[test]
fn what_is_no_manifest_says_why() {
    let problems = |bytes: &[u8]| ManifestFacts::read(bytes).problems;
    assert_eq!(problems(b"\xff\xfe"), [ManifestProblem::NotText]);
    assert_eq!(problems(b"kind: Pod\nspec: {containers: [hunter2"), [ManifestProblem::NotYaml { line: 2 }]);
    assert_eq!(problems(b"kind: Pod\nspec: 5\n"), [ManifestProblem::NotYaml { line: 2 }]);
    assert_eq!(problems(b"kind: ConfigMap\n"), [ManifestProblem::NotAPod { kind: "ConfigMap".into() }]);
    assert_eq!(problems(b"kind: Pod\n"), [ManifestProblem::NoContainers]);
    assert_eq!(
        problems(b"kind: Pod\nspec: {containers: null, volumes: ~}\n"),
        [ManifestProblem::NoContainers]
    );
}

#[test]
fn facts_survive_their_own_json() {
    let facts = read(APISERVER);
    let text = serde_json::to_string(&facts).unwrap();
    assert_eq!(serde_json::from_str::<ManifestFacts>(&text).unwrap(), facts);
}

proptest! {
    #![proptest_config(crate::seeds::cases(400))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        ManifestFacts::read(&bytes).named_files();
    }

    #[test]
    fn no_damage_to_a_manifest_makes_it_panic(at in 0..APISERVER.len(), with in "[-\\[\\]{}:,&*!|>'\"%@`#?a \n]{0,4}") {
        let mut bytes = APISERVER.as_bytes().to_vec();
        bytes.splice(at..(at + 3).min(APISERVER.len()), with.bytes());
        ManifestFacts::read(&bytes).named_files();
    }
}
