//! New values in old kubeconfigs, in every style of YAML that people write, byte for byte.

use jiff::Timestamp;

use super::*;
use crate::types::certificate::{NewKeyAlgorithm, SubjectName};
use crate::x509::SerialNumber;
use crate::x509::issue::{RootRequest, issue_root};

struct Made {
    certificate: Certificate,
    key: PrivateKey,
    pem: Secret,
}

fn made(name: &str) -> Made {
    let key = PrivateKey::generate(NewKeyAlgorithm::EcdsaP256).unwrap();
    let at = |text: &str| text.parse::<Timestamp>().unwrap();
    let request = RootRequest {
        subject: SubjectName { common_name: name.to_owned(), organizations: Vec::new() },
        serial: SerialNumber::random().unwrap(),
        not_before: at("2026-01-01T00:00:00Z"),
        not_after: at("2027-01-01T00:00:00Z"),
    };
    let pem = Secret::from(key.to_pem().unwrap());
    Made { certificate: issue_root(&request, &key).unwrap(), key, pem }
}

fn b64(bytes: impl AsRef<[u8]>) -> String {
    STANDARD.encode(bytes)
}

fn edited(text: &str, new: &Made, trusted: &[Certificate]) -> Result<String, EditError> {
    let certificates = [new.certificate.clone()];
    let trusted = NonEmpty::try_from(trusted.to_vec()).ok();
    let trusted = trusted.as_ref();
    let identity = NewIdentity { certificates: &certificates, key: &new.key, key_pem: &new.pem, trusted };
    with_identity(text.as_bytes(), &identity)
        .map(|secret| String::from_utf8(secret.reveal().to_vec()).unwrap())
}

/// A kubeconfig of which `user` is the current user and `cluster` the current cluster, among others.
fn kubeconfig(cluster: &str, user: &str) -> String {
    format!(
        "# made by hand\nkind: Config\napiVersion: v1\nclusters:\n- name: c\n  cluster:{cluster}\n- cluster: {{server: 'https://other'}}\n  name: other\n\
         contexts:\n- {{name: x, context: {{cluster: c, user: u}}}}\ncurrent-context: x   # this one\npreferences: {{}}\nusers:\n- name: other\n  user: {{token: abc}}\n\
         - name: u\n  user:{user}\n- name: last # the end\n  user: {{token: def}}\n"
    )
}

type Style = Box<dyn Fn(&str, &str) -> String>;

#[test]
fn only_the_values_of_the_fields_change_in_every_style_of_yaml() {
    let (old, new) = (made("old"), made("new"));
    let (old_cert, old_key) = (b64(old.certificate.to_pem()), b64(old.pem.reveal()));
    let (cert, key) = (b64(new.certificate.to_pem()), b64(new.pem.reveal()));
    let wrapped = |text: &str, indent: &str| {
        let lines: Vec<&str> = text.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
        lines.join(&format!("\n{indent}"))
    };
    let styles: Vec<Style> = vec![
        Box::new(|cert, key| format!("\n    client-certificate-data: {cert}\n    client-key-data: {key}")),
        Box::new(|cert, key| {
            format!(
                "\n    client-key-data: {key} # the key\n    # a word\n    client-certificate-data:   {cert}\n    token: abc"
            )
        }),
        Box::new(|cert, key| {
            format!(" {{client-certificate-data: \"{cert}\", client-key-data: '{key}', token: abc}}")
        }),
        Box::new(|cert, key| {
            format!("\n      client-certificate-data: \"{cert}\"\n      \"client-key-data\": '{key}'")
        }),
        Box::new(|cert, key| {
            format!(
                "\n    client-certificate-data: |\n      {cert}\n\n    client-key-data: >-\n      {key}\n    # after"
            )
        }),
        Box::new(|cert, key| {
            format!("\n    client-certificate-data:\n      {cert}\n    client-key-data: &k\n      {key}")
        }),
    ];
    for style in styles {
        let text = kubeconfig(" {server: 'https://c'}", &style(&old_cert, &old_key));
        let expected = kubeconfig(" {server: 'https://c'}", &style(&cert, &key));
        assert_eq!(edited(&text, &new, &[]).as_ref(), Ok(&expected));
        assert_eq!(edited(&expected, &new, &[]).as_ref(), Ok(&expected), "a second time changes nothing");
    }
    // A value over several lines becomes one line; what is around it stays.
    for (before, after) in [("", ""), ("\"", "\""), ("|\n      ", ""), ("|-\n      ", "")] {
        let many = wrapped(&old_cert, "      ");
        let user = |cert: &str, key: &str| {
            format!(
                "\n    client-certificate-data: {before}{cert}{after}\n    # between\n    client-key-data: {key}"
            )
        };
        let text = kubeconfig(" {server: 'https://c'}", &user(&many, &old_key));
        let expected = kubeconfig(" {server: 'https://c'}", &user(&cert, &key));
        assert_eq!(edited(&text, &new, &[]), Ok(expected), "{before}");
    }
}

#[test]
fn fields_that_are_missing_are_added_in_the_style_that_is_there() {
    let new = made("new");
    let (cert, key) = (b64(new.certificate.to_pem()), b64(new.pem.reveal()));
    for (before, after) in [
        (
            "\n    token: abc # secret",
            format!(
                "\n    client-key-data: {key}\n    client-certificate-data: {cert}\n    token: abc # secret"
            ),
        ),
        (
            " {token: abc}",
            format!(" {{client-key-data: {key}, client-certificate-data: {cert}, token: abc}}"),
        ),
        (" {}", format!(" {{client-key-data: {key}, client-certificate-data: {cert}}}")),
        ("", format!(" {{client-key-data: {key}, client-certificate-data: {cert}}}")),
        (" null # none", format!(" {{client-key-data: {key}, client-certificate-data: {cert}}} # none")),
        (
            "\n    client-certificate-data:\n    client-key-data: \"\"",
            format!("\n    client-certificate-data: {cert}\n    client-key-data: \"{key}\""),
        ),
    ] {
        let text = kubeconfig("\n    server: https://c", before);
        let expected = kubeconfig("\n    server: https://c", &after);
        assert_eq!(edited(&text, &new, &[]), Ok(expected), "{before}");
    }
}

#[test]
fn the_authority_changes_only_when_asked_and_a_key_that_stays_keeps_its_bytes() {
    let (old, new) = (made("old"), made("new"));
    let user = |made: &Made, key: &str| {
        format!(
            "\n    client-certificate-data: {}\n    client-key-data: {key}",
            b64(made.certificate.to_pem())
        )
    };
    // The same key in other bytes: a comment before it.
    let kept = b64([b"# key of 2025\n".as_slice(), new.pem.reveal()].concat());
    let cluster =
        |trusted: &str| format!("\n    certificate-authority-data: {trusted}\n    server: https://c");
    let text = kubeconfig(&cluster("bm90aGluZw=="), &user(&old, &kept));
    let expected = kubeconfig(&cluster("bm90aGluZw=="), &user(&new, &kept));
    assert_eq!(edited(&text, &new, &[]), Ok(expected));
    let both = [old.certificate.clone(), new.certificate.clone()];
    let bundle = b64(format!("{}{}", old.certificate.to_pem(), new.certificate.to_pem()));
    let expected = kubeconfig(&cluster(&bundle), &user(&new, &kept));
    assert_eq!(edited(&text, &new, &both), Ok(expected));
    let only = with_trusted(text.as_bytes(), &both.to_vec().try_into().unwrap()).unwrap();
    assert_eq!(str::from_utf8(only.reveal()), Ok(kubeconfig(&cluster(&bundle), &user(&old, &kept)).as_str()));
    assert_eq!(
        current_key(text.as_bytes()).unwrap().reveal(),
        [b"# key of 2025\n", new.pem.reveal()].concat()
    );
}

#[test]
fn what_cannot_be_changed_alone_is_left_alone_and_nothing_of_it_is_told() {
    let new = made("new");
    let cluster = " {server: 'https://c'}";
    let names_file = |field| Err(EditError::NamesFile { field });
    for (text, error) in [
        (kubeconfig(cluster, " {client-certificate: /f, client-key: /f}"), names_file(Field::ClientKey)),
        (
            kubeconfig(cluster, "\n    client-key: /var/lib/kubelet/pki/kubelet-client-current.pem"),
            names_file(Field::ClientKey),
        ),
        (kubeconfig(cluster, " [canary]"), Err(EditError::Entangled)),
        (kubeconfig(cluster, " {a: canary, a: canary}"), Err(EditError::NotYaml)),
        ("users: [canary".to_owned(), Err(EditError::NotYaml)),
        ("kind: Config\nusers: []\n".to_owned(), Err(EditError::Lacks { part: "current context".into() })),
        (
            kubeconfig(cluster, " {}").replace("user: u}", "user: v}"),
            Err(EditError::Lacks { part: "current user".into() }),
        ),
    ] {
        let outcome = edited(&text, &new, &[]);
        assert_eq!(outcome, error, "{text}");
        assert!(!format!("{outcome:?}{}", outcome.as_ref().unwrap_err()).contains("canary"));
    }
    let shared = "users:\n- {name: u, user: &u {client-certificate-data: aaaa, client-key-data: aaaa}}\n- {name: v, user: *u}\n\
                  clusters: [{name: c, cluster: {server: a}}]\ncontexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n";
    assert_eq!(edited(shared, &new, &[]), Err(EditError::Entangled), "the other user would change too");
    let of_file = kubeconfig("\n    certificate-authority: /ca.crt\n    server: https://c", " {}");
    let outcome = with_trusted(of_file.as_bytes(), &NonEmpty::one(new.certificate.clone())).map(|_| ());
    assert_eq!(outcome, Err(EditError::NamesFile { field: Field::CertificateAuthority }));
}

#[test]
fn a_new_kubeconfig_is_as_kubeadm_writes_it() {
    let new = made("kubernetes-admin");
    let certificates = [new.certificate.clone()];
    let trusted = NonEmpty::one(new.certificate.clone());
    let identity = NewIdentity {
        certificates: &certificates,
        key: &new.key,
        key_pem: &new.pem,
        trusted: Some(&trusted),
    };
    let text = create("https://10.0.0.11:6443", "system:node:cp-1", "kubernetes", &identity).unwrap();
    let text = str::from_utf8(text.reveal()).unwrap();
    let cert = b64(new.certificate.to_pem());
    let expected = format!(
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: {cert}\n    server: https://10.0.0.11:6443\n  name: kubernetes\n\
         contexts:\n- context:\n    cluster: kubernetes\n    user: system:node:cp-1\n  name: system:node:cp-1@kubernetes\n\
         current-context: system:node:cp-1@kubernetes\nkind: Config\npreferences: {{}}\nusers:\n- name: system:node:cp-1\n  user:\n    \
         client-certificate-data: {cert}\n    client-key-data: {}\n",
        b64(new.pem.reveal())
    );
    assert_eq!(text, expected);
    assert!(KubeconfigFacts::read(text.as_bytes()).problems.is_empty());
    for name in ["true", "12", "a: b", "*x", "a #b", "\"q\"", "null", "x\ny", "a:"] {
        let text = create(name, name, name, &identity).unwrap();
        let facts = KubeconfigFacts::read(text.reveal());
        assert!(facts.problems.is_empty(), "{name}: {:?}", facts.problems);
        assert!(facts.users.contains_key(name) && facts.clusters.contains_key(name), "{name}");
    }
    let none = NewIdentity { trusted: None, ..identity };
    assert_eq!(create("a", "b", "c", &none).map(|_| ()), Err(EditError::NoTrusted));
}

#[test]
fn documents_behind_the_first_stay_as_they_are() {
    let (old, new) = (made("old"), made("new"));
    let style = |made: &Made| {
        let (cert, key) = (b64(made.certificate.to_pem()), b64(made.pem.reveal()));
        format!("\n    client-certificate-data: {cert}\n    client-key-data: {key}")
    };
    for rest in ["---\n", "---\nkind: Config\n}: [\n"] {
        let text = |made: &Made| kubeconfig(" {server: 'https://c'}", &style(made)) + rest;
        assert_eq!(edited(&text(&old), &new, &[]).as_ref(), Ok(&text(&new)));
    }
}
