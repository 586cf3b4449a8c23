//! `status` of a real kubeadm cluster, compared field by field with what the openssl program says of the same files.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests run openssl over the files of the nodes, and the program itself"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Stdio};

use jiff::Timestamp;
use pki::output::status_report::CertificateFields;
use serde_json::Value;

use crate::support::cluster::{Cluster, NODES, ROOT, golden, now};

const PKI: &str = "etc/kubernetes/pki";

/// Every identity of a kubeadm control plane with stacked etcd: its name and where it is.
const IDENTITIES: [(&str, &str); 11] = [
    ("admin.conf", "etc/kubernetes/admin.conf"),
    ("apiserver", "etc/kubernetes/pki/apiserver.crt"),
    ("apiserver-etcd-client", "etc/kubernetes/pki/apiserver-etcd-client.crt"),
    ("apiserver-kubelet-client", "etc/kubernetes/pki/apiserver-kubelet-client.crt"),
    ("controller-manager.conf", "etc/kubernetes/controller-manager.conf"),
    ("etcd-healthcheck-client", "etc/kubernetes/pki/etcd/healthcheck-client.crt"),
    ("etcd-peer", "etc/kubernetes/pki/etcd/peer.crt"),
    ("etcd-server", "etc/kubernetes/pki/etcd/server.crt"),
    ("front-proxy-client", "etc/kubernetes/pki/front-proxy-client.crt"),
    ("kubelet.conf", "etc/kubernetes/kubelet.conf"),
    ("scheduler.conf", "etc/kubernetes/scheduler.conf"),
];

const AUTHORITIES: [(&str, &str); 3] =
    [("ca", "ca.crt"), ("etcd-ca", "etcd/ca.crt"), ("front-proxy-ca", "front-proxy-ca.crt")];

/// What runs `openssl` with this input and returns what it prints.
fn openssl(arguments: &[&str], input: &[u8]) -> Vec<u8> {
    use std::io::Write as _;
    let mut openssl = Command::new("openssl")
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    openssl.stdin.take().unwrap().write_all(input).unwrap();
    let output = openssl.wait_with_output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

fn text(arguments: &[&str], input: &[u8]) -> String {
    String::from_utf8(openssl(arguments, input)).unwrap()
}

/// The certificate in a file: the file itself, or what a kubeconfig embeds.
fn pem_of(path: &Path) -> Vec<u8> {
    let content = std::fs::read_to_string(path).unwrap();
    match content.lines().find_map(|line| line.trim().strip_prefix("client-certificate-data: ")) {
        Some(data) => openssl(&["base64", "-d", "-A"], data.as_bytes()),
        None => content.into_bytes(),
    }
}

/// The fields that `status` shows, as openssl tells them of this certificate.
fn fields(pem: &[u8]) -> BTreeMap<&'static str, String> {
    let options = ["-nameopt", "esc_2253,utf8,sep_comma_plus_space,sname", "-dateopt", "iso_8601"];
    let one = |flag: &str| {
        let printed = text(&[&["x509", "-noout", flag][..], &options].concat(), pem);
        printed.trim_end().split_once('=').unwrap().1.to_owned()
    };
    let public = text(&["x509", "-noout", "-pubkey"], pem);
    let spki = openssl(&["pkey", "-pubin", "-outform", "DER"], public.as_bytes());
    let digest = |bytes: &[u8]| {
        let printed = text(&["dgst", "-sha256", "-r"], bytes);
        printed.split_whitespace().next().unwrap().to_owned()
    };
    let all = text(&["x509", "-noout", "-text"], pem);
    let extension = |title: &str| {
        let mut lines = all.lines().skip_while(|line| !line.trim().starts_with(title)).skip(1);
        let words = lines.next().unwrap_or_default().split(", ").map(str::trim);
        words.filter(|word| !word.is_empty()).map(str::to_owned).collect::<Vec<_>>()
    };
    let names = extension("X509v3 Subject Alternative Name");
    let names = |prefix: &str| {
        let names: BTreeSet<String> =
            names.iter().filter_map(|name| name.strip_prefix(prefix)).map(address).collect();
        names.into_iter().collect::<Vec<_>>().join(",")
    };
    let bits = all.lines().find_map(|line| line.trim().strip_prefix("Public-Key: (")).unwrap().to_owned();
    BTreeMap::from([
        ("subject", one("-subject")),
        ("issuer", one("-issuer")),
        ("serial", one("-serial").to_lowercase()),
        ("notBefore", one("-startdate").replacen(' ', "T", 1)),
        ("expires", one("-enddate").replacen(' ', "T", 1)),
        ("dnsNames", names("DNS:")),
        ("ipAddresses", names("IP Address:")),
        ("keyUsages", words(&extension("X509v3 Key Usage"))),
        ("extendedKeyUsages", words(&extension("X509v3 Extended Key Usage"))),
        ("keyAlgorithm", format!("rsa-{}", bits.trim_end_matches(" bit)"))),
        ("fingerprint", digest(&openssl(&["x509", "-outform", "DER"], pem))),
        ("spki", digest(&spki)),
    ])
}

/// openssl writes IPv6 addresses in full: `0:0:0:0:0:0:0:1`.
fn address(text: &str) -> String {
    text.parse::<std::net::IpAddr>().map_or_else(|_| text.to_owned(), |address| address.to_string())
}

/// openssl's words for usages, in the standard's (RFC 5280).
fn words(printed: &[String]) -> String {
    printed
        .iter()
        .map(|word| standard(word))
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect::<Vec<_>>()
        .join(",")
}

fn standard(word: &str) -> &str {
    match word {
        "Digital Signature" => "digitalSignature",
        "Key Encipherment" => "keyEncipherment",
        "Certificate Sign" => "keyCertSign",
        "TLS Web Server Authentication" => "serverAuth",
        "TLS Web Client Authentication" => "clientAuth",
        other => other,
    }
}

/// The same fields as the library tells them.
fn told(fields: &CertificateFields) -> BTreeMap<&'static str, String> {
    let sorted = |items: &[String]| {
        items.iter().cloned().collect::<BTreeSet<String>>().into_iter().collect::<Vec<_>>().join(",")
    };
    BTreeMap::from([
        ("subject", fields.subject.clone()),
        ("issuer", fields.issuer.clone()),
        ("serial", fields.serial.clone()),
        ("notBefore", fields.not_before.to_string()),
        ("expires", fields.expires.to_string()),
        ("dnsNames", sorted(&fields.dns_names)),
        ("ipAddresses", sorted(&fields.ip_addresses)),
        ("keyUsages", sorted(&fields.key_usages)),
        ("extendedKeyUsages", sorted(&fields.extended_key_usages)),
        ("keyAlgorithm", fields.key_algorithm.to_string()),
        ("fingerprint", fields.fingerprint.to_string()),
        ("spki", fields.spki.to_string()),
    ])
}

/// The same fields as the JSON form tells them.
fn told_by_json(fields: &Value) -> BTreeMap<&'static str, String> {
    let text = |name: &str| fields[name].as_str().unwrap().trim_start_matches("sha256:").to_owned();
    let list = |name: &str| {
        let items = fields[name].as_array().unwrap().iter().map(|item| item.as_str().unwrap().to_owned());
        items.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>().join(",")
    };
    let texts =
        ["subject", "issuer", "serial", "notBefore", "expires", "keyAlgorithm", "fingerprint", "spki"];
    let lists = ["dnsNames", "ipAddresses", "keyUsages", "extendedKeyUsages"];
    let texts = texts.into_iter().map(|name| (name, text(name)));
    texts.chain(lists.into_iter().map(|name| (name, list(name)))).collect()
}

/// What openssl says of every certificate, by address, and of every CA, by name.
fn expected(cluster: &Cluster) -> BTreeMap<String, BTreeMap<&'static str, String>> {
    let mut expected = BTreeMap::new();
    for node in NODES {
        let root = cluster.path().join(node);
        for (name, path) in IDENTITIES {
            expected.insert(format!("{name}@{node}"), fields(&pem_of(&root.join(path))));
        }
    }
    for (name, path) in AUTHORITIES {
        expected.insert(name.to_owned(), fields(&pem_of(&cluster.path().join("cp-1").join(PKI).join(path))));
    }
    expected
}

#[test]
fn status_lists_every_certificate_and_ca_as_openssl_sees_them() {
    let cluster = Cluster::unpack();
    let report = cluster.report();
    let status = &report.status;
    assert_eq!((status.certificates.len(), status.certificate_authorities.len()), (33, 3));
    let identities =
        status.certificates.iter().map(|row| (row.address.clone(), told(row.certificate.as_ref().unwrap())));
    let authorities = status
        .certificate_authorities
        .iter()
        .map(|row| (row.name.to_string(), told(row.certificate.as_ref().unwrap())));
    let found: BTreeMap<_, _> = identities.chain(authorities).collect();
    let expected = expected(&cluster);
    for (address, fields) in &expected {
        assert_eq!(found.get(address), Some(fields), "{address}");
    }
    assert_eq!(found.len(), expected.len());
    for row in &status.certificates {
        let left = row.certificate.as_ref().unwrap();
        assert_eq!(left.residual_time, left.expires.duration_since(now()).as_secs());
        assert!(!row.externally_managed, "the kubelets of this cluster do not renew: {}", row.address);
    }
    for row in &status.certificate_authorities {
        let names =
            |nodes: &[pki::types::names::NodeName]| nodes.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(
            (names(&row.nodes), names(&row.signers)),
            (NODES.map(str::to_owned).into(), NODES.map(str::to_owned).into())
        );
    }
}

fn pki(cluster: &Cluster, arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_pki"))
        .args(arguments)
        .current_dir(cluster.path())
        .env_clear()
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_json_form_tells_the_same() {
    let cluster = Cluster::unpack();
    let text =
        pki(&cluster, &["status", "-f", "spec.yaml", "--format", "json", "--as-of", "2026-12-01T00:00:00Z"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    let rows = |list: &str, name: &'static str| {
        let rows = json[list].as_array().unwrap().iter();
        rows.map(|row| (row[name].as_str().unwrap().to_owned(), told_by_json(&row["certificate"])))
            .collect::<Vec<_>>()
    };
    let (certificates, authorities) =
        (rows("certificates", "address"), rows("certificateAuthorities", "name"));
    assert_eq!((certificates.len(), authorities.len()), (33, 3));
    assert_eq!(certificates.into_iter().chain(authorities).collect::<BTreeMap<_, _>>(), expected(&cluster));
    assert_eq!(json["format_version"], "1.0");
    assert_eq!((&json["cluster"], &json["profile"]), (&"prod-eu1".into(), &"kubeadm".into()));
    assert_eq!(
        (&json["kubernetesVersion"], &json["asOf"]),
        (&"v1.20.2".into(), &"2026-12-01T00:00:00Z".into())
    );
    let first = &json["certificates"][0];
    // 2026-12-01 to 2027-11-21T23:44:35Z, in seconds, as kubeadm counts it.
    let end: Timestamp = first["certificate"]["expires"].as_str().unwrap().parse().unwrap();
    assert_eq!(first["certificate"]["residualTime"], end.duration_since(now()).as_secs());
    assert_eq!(
        (&first["kind"], &first["path"]),
        (&"kubeconfig".into(), &"/etc/kubernetes/admin.conf".into())
    );
    let kubelet = &json["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .find(|row| row["name"] == "kubelet.conf")
        .unwrap()["findings"][0];
    assert_eq!((&kubelet["reason"], &kubelet["effect"]), (&"KubeletDoesNotRotate".into(), &"note".into()));
    let order: Vec<&str> = text.lines().rev().skip(1).take(3).map(str::trim).collect();
    assert_eq!(order, ["\"touched\": false", "\"exit\": 0,", "\"outcome\": \"done\","]);
}

#[test]
fn the_text_form_is_this_page() {
    let cluster = Cluster::unpack();
    let text = pki(&cluster, &["status", "-f", "spec.yaml", "--as-of", "2026-12-01T00:00:00Z"]);
    assert_eq!(golden(&Path::new(ROOT).join("tests/golden/status-kubeadm.txt"), &text), Ok(()));
}

#[test]
fn no_part_of_any_private_key_is_printed() {
    let cluster = Cluster::unpack();
    let everything = pki(&cluster, &["status", "-f", "spec.yaml", "--format", "json"])
        + &pki(&cluster, &["status", "-f", "spec.yaml"]);
    for node in NODES {
        for key in ["ca.key", "etcd/ca.key", "apiserver.key", "sa.key"] {
            let text = std::fs::read_to_string(cluster.path().join(node).join(PKI).join(key)).unwrap();
            for line in text.lines().filter(|line| line.len() == 64) {
                assert!(!everything.contains(line));
            }
        }
    }
    assert!(!everything.contains("PRIVATE KEY") && !everything.contains("client-key-data"));
}

#[test]
fn what_ends_first_stands_first_when_asked() {
    let cluster = Cluster::unpack();
    let text = pki(&cluster, &["status", "-f", "spec.yaml", "--sort", "expiry", "--format", "json"]);
    let json: Value = serde_json::from_str(&text).unwrap();
    for list in ["certificates", "certificateAuthorities"] {
        let ends: Vec<&str> = json[list]
            .as_array()
            .unwrap()
            .iter()
            .map(|row| row["certificate"]["expires"].as_str().unwrap())
            .collect();
        assert!(ends.is_sorted(), "{ends:?}");
    }
}
