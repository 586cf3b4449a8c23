//! Kubeconfigs as kubeadm and kubectl write them, and as people break them.

use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::formats::pem_facts::tests::pair;

const BY_FILES: &str = "\
apiVersion: v1
kind: Config
clusters:
- name: default-cluster
  cluster:
    certificate-authority: pki/ca.crt
    server: https://api.example:6443
contexts:
- name: default-context
  context: { cluster: default-cluster, namespace: default, user: default-auth }
current-context: default-context
users:
- name: default-auth
  user:
    client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem
    client-key: /var/lib/kubelet/pki/kubelet-client-current.pem
preferences: {}
a-field-of-the-future: [1, 2]
";

fn read(text: &str) -> KubeconfigFacts {
    KubeconfigFacts::read(text.as_bytes())
}

/// A sound kubeconfig with one user, whose lines are given.
fn of_user(lines: &str) -> String {
    let user: String = lines.lines().map(|line| format!("    {line}\n")).collect();
    format!(
        "kind: Config\nclusters: [{{name: c, cluster: {{server: 'https://s'}}}}]\ncontexts: [{{name: x, context: {{cluster: c, user: u}}}}]\n\
         current-context: x\nusers:\n- name: u\n  user:\n{user}"
    )
}

fn user(lines: &str) -> (UserFacts, Vec<KubeconfigProblem>) {
    let mut facts = read(&of_user(lines));
    (facts.users.remove("u").unwrap(), facts.problems)
}

#[test]
fn embedded_certificates_are_read_and_of_the_key_its_public_half() {
    let (authority, _) = pair("authority");
    let (certificate, key) = pair("client");
    let text = of_user(&format!(
        "client-certificate-data: {}\nclient-key-data: {}",
        STANDARD.encode(&certificate),
        STANDARD.encode(&key)
    ))
    .replace(
        "server: 'https://s'",
        &format!("server: 'https://s', certificate-authority-data: {}", STANDARD.encode(authority)),
    );
    let facts = read(&text);
    assert_eq!(facts.problems, []);
    let (cluster, user) = facts.current().unwrap();
    assert_eq!(cluster.server, "https://s");
    assert_eq!(cluster.authority.embedded().unwrap().certificates.len(), 1);
    let certificate = &user.certificate.embedded().unwrap().certificates[0];
    let key_facts = &user.key.embedded().unwrap().keys[0];
    assert_eq!(key_facts.spki_sha256, certificate.facts().key.spki_sha256);
    assert!(facts.holds_secrets());
    let shown = format!("{facts:?}{}", serde_json::to_string(&facts).unwrap());
    assert!(!shown.contains(STANDARD.encode(&key).get(60..100).unwrap()));
    assert!(!shown.contains(key.lines().nth(1).unwrap()));
    assert_eq!(
        serde_json::from_str::<KubeconfigFacts>(&serde_json::to_string(&facts).unwrap()).unwrap(),
        facts
    );
}

#[test]
fn certificates_and_keys_may_lie_in_files() {
    let facts = read(BY_FILES);
    assert_eq!(facts.problems, []);
    let current = "/var/lib/kubelet/pki/kubelet-client-current.pem";
    assert_eq!(
        facts.named_files(),
        [
            (Field::CertificateAuthority, "pki/ca.crt"),
            (Field::ClientCertificate, current),
            (Field::ClientKey, current)
        ]
    );
    assert!(!facts.holds_secrets());
}

#[test]
fn base64_is_read_as_go_reads_it() {
    let (certificate, _) = pair("client");
    let data = STANDARD.encode(certificate);
    let (first, rest) = data.split_at(76);
    let certificates = |lines: &str| user(lines).0.certificate.embedded().map(|pem| pem.certificates.len());
    assert_eq!(
        certificates(&format!("client-certificate-data: |\n  {first}\n  {rest}")),
        Some(1),
        "line ends are passed over"
    );
    assert_eq!(
        certificates(&format!("client-certificate-data: {first}\n  {rest}")),
        None,
        "YAML folds this into a space"
    );
    assert_eq!(certificates(&format!("client-certificate-data: \"{data}\"")), Some(1));
    assert_eq!(certificates("client-certificate-data: '%%%'"), None);
    let (facts, problems) = user("client-key-data: AAA");
    assert_eq!(facts.key, Material::Undecodable);
    let bad =
        KubeconfigProblem::BadBase64 { section: Section::User, name: "u".into(), field: Field::ClientKey };
    assert_eq!(bad.to_string(), "user \"u\": client-key-data is not base64");
    assert_eq!(problems, [bad]);
}

#[test]
fn empty_data_is_no_data() {
    let (facts, problems) = user("client-key-data: ''\nclient-key: /key");
    assert_eq!((facts.key, problems), (Material::File { path: "/key".into() }, vec![]));
    assert_eq!(user("client-key-data: null").0.key, Material::Absent);
    // "Cg==" is one line end: data, and nothing in them.
    let (facts, _) = user("client-certificate-data: Cg==");
    assert_eq!(facts.certificate.embedded().unwrap().defects.len(), 1);
}

#[test]
fn data_win_over_a_file_and_both_are_a_problem() {
    let (facts, problems) = user("client-key-data: Cg==\nclient-key: /key");
    assert!(facts.key.embedded().is_some());
    let both =
        KubeconfigProblem::DataAndFile { section: Section::User, name: "u".into(), field: Field::ClientKey };
    assert_eq!(problems, [both]);
}

#[test]
fn tokens_passwords_and_programs_are_told_and_never_kept() {
    for lines in [
        "token: hunter2",
        "tokenFile: /run/hunter2",
        "username: hunter2",
        "password: hunter2",
        "exec: { command: login, args: [hunter2], env: [{name: A, value: hunter2}] }",
        "auth-provider: { name: oidc, config: { id-token: hunter2 } }",
    ] {
        let facts = read(&of_user(lines));
        let user = &facts.users["u"];
        assert!(user.has_token || user.has_password || user.has_program, "{lines}");
        assert!(facts.holds_secrets(), "{lines}");
        assert!(
            !format!("{facts:?}{}", serde_json::to_string(&facts).unwrap()).contains("hunter2"),
            "{lines}"
        );
    }
    assert!(!read(&of_user("token: ''")).users["u"].has_token);
}

#[test]
fn credentials_in_a_server_url_do_not_leave() {
    for (url, shown) in [
        ("https://me:hunter2@api:6443/x@y", "https://api:6443/x@y"),
        ("me:hunter2@api:6443", "api:6443"),
        ("https://api:6443", "https://api:6443"),
    ] {
        let facts = read(&of_user("{}").replace("https://s", url));
        assert_eq!(facts.clusters["c"].server, shown);
    }
}

#[test]
fn loose_ends_of_the_current_context_are_problems() {
    let with = |from: &str, to: &str| read(&of_user("token: t").replace(from, to)).problems;
    assert_eq!(with("current-context: x", "current-context: ''"), [KubeconfigProblem::NoCurrentContext]);
    assert_eq!(
        with("current-context: x", "current-context: y"),
        [KubeconfigProblem::ContextMissing { context: "y".into() }]
    );
    assert_eq!(with("user: u}", "user: v}"), [KubeconfigProblem::UserMissing { user: "v".into() }]);
    assert_eq!(
        with("cluster: c,", "cluster: d,"),
        [KubeconfigProblem::ClusterMissing { cluster: "d".into() }]
    );
    assert_eq!(with("", ""), []);
}

#[test]
fn a_certificate_needs_a_key() {
    let (_, problems) = user("client-certificate: /c");
    assert_eq!(problems, [KubeconfigProblem::CertificateWithoutKey { user: "u".into() }]);
}

#[test]
fn of_two_entries_with_one_name_the_first_is_kept_and_both_are_reported() {
    let facts = read(&format!("{}- name: u\n  user: {{token: t}}\n", of_user("client-key: /key")));
    assert_eq!(facts.users["u"].key, Material::File { path: "/key".into() });
    assert_eq!(
        facts.problems,
        [KubeconfigProblem::DuplicateName { section: Section::User, name: "u".into() }]
    );
    assert!(facts.holds_secrets(), "the second one was not looked into");
}

#[test]
fn what_is_no_kubeconfig_says_why() {
    let problems = |bytes: &[u8]| KubeconfigFacts::read(bytes).problems;
    assert_eq!(problems(b""), [KubeconfigProblem::Empty]);
    assert_eq!(problems(b"\xff\xfe"), [KubeconfigProblem::NotText]);
    assert_eq!(problems(b"kind: Config\nusers: hunter2\n"), [KubeconfigProblem::NotYaml { line: 2 }]);
    assert_eq!(problems(b"kind: Pod\n"), [KubeconfigProblem::WrongKind { kind: "Pod".into() }]);
    assert_eq!(problems(b"kind: Config\nusers: null\n"), [KubeconfigProblem::NoCurrentContext]);
    assert!(KubeconfigFacts::read(b"users: [hunter2").holds_secrets(), "it may hold anything");
}

#[test]
fn json_is_a_kubeconfig_too() {
    let facts = read(
        r#"{"kind":"Config","current-context":"x","contexts":[{"name":"x","context":{"cluster":"c","user":"u"}}],"clusters":[{"name":"c","cluster":{"insecure-skip-tls-verify":true,"tls-server-name":"n"}}],"users":[{"name":"u","user":{}}]}"#,
    );
    assert_eq!(facts.problems, []);
    let (cluster, user) = facts.current().unwrap();
    assert!(cluster.insecure);
    assert_eq!(cluster.tls_server_name.as_deref(), Some("n"));
    assert_eq!(*user, UserFacts::default());
}

proptest! {
    #![proptest_config(crate::seeds::cases(400))]

    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
        KubeconfigFacts::read(&bytes).holds_secrets();
    }

    #[test]
    fn no_damage_to_a_kubeconfig_makes_it_panic(at in 0..BY_FILES.len(), with in "[-\\[\\]{}:,&*!|>'\"%@`#?a \n]{0,4}") {
        let mut bytes = BY_FILES.as_bytes().to_vec();
        bytes.splice(at..(at + 3).min(BY_FILES.len()), with.bytes());
        KubeconfigFacts::read(&bytes).named_files();
    }
}

#[test]
fn the_context_of_a_cluster_is_told_by_its_ca_certificates() {
    let (ours, _) = pair("kubernetes");
    let (other, _) = pair("kubernetes");
    let data = |certificate: &str| format!("certificate-authority-data: {}", STANDARD.encode(certificate));
    let config = |current: &str, dev: &str, own: &str| {
        read(&format!(
            "kind: Config\nclusters:\n- {{ name: dev, cluster: {{ server: 'https://dev', {dev} }} }}\n- {{ name: prod, cluster: {{ server: 'https://prod', {own} }} }}\n\
             contexts:\n- {{ name: dev, context: {{ cluster: dev, user: a }} }}\n- {{ name: prod, context: {{ cluster: prod, user: a }} }}\n\
             current-context: {current}\nusers:\n- {{ name: a, user: {{}} }}\n"
        ))
    };
    let cas = PemFacts::read(ours.as_bytes()).certificates;
    let own = |current: &str, dev: &str, own: &str| {
        config(current, dev, own).own_context(&cas).map(|(name, _)| name.to_owned())
    };
    let (ours, other) = (data(&ours), data(&other));
    let (prod, dev) = (Some("prod".to_owned()), Some("dev".to_owned()));
    assert_eq!(own("prod", &other, &ours), prod);
    assert_eq!(own("dev", &other, &ours), prod, "one name for two CAs: keys decide");
    assert_eq!(own("dev", "insecure-skip-tls-verify: true", &ours), prod);
    assert_eq!(own("dev", &ours, &ours), dev, "two ways to one cluster");
    assert_eq!(own("dev", "certificate-authority: ca.crt", &ours), dev, "what is in the file is not known");
    assert_eq!(own("dev", "tls-server-name: dev", &ours), dev, "its CA is one of the machine's");
    assert_eq!(own("dev", &other, &other), None);
    let unknown = config("dev", &other, &ours);
    assert_eq!(unknown.own_context(&[]).map(|(name, _)| name), Some("dev"), "nothing to compare with");
}
