//! Values that cannot be taken, one after the other: each is told.

use super::*;

fn config(body: &str) -> KubeadmConfig {
    let text = format!("apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n{body}\n");
    KubeadmConfig::read("kubeadm.yaml", &text).unwrap()
}

#[test]
fn durations_are_read_as_go_reads_them() {
    let seconds = |text: &str| go_duration(text).ok().map(Duration::seconds);
    for (text, expected) in [
        ("8760h", Some(8760 * 3600)),
        ("17520.5h", Some(17520 * 3600 + 1800)),
        ("8760h0m0.5s", Some(8760 * 3600)),
        ("+1h30m", Some(5400)),
        (".5h", Some(1800)),
        ("1.h", Some(3600)),
        ("1500ms", Some(1)),
        ("3600000000000ns", Some(3600)),
        ("0.333333333333333333333333333h", Some(1199)),
        ("2562047h", Some(2_562_047 * 3600)),
    ] {
        assert_eq!(seconds(text), expected, "{text}");
    }
    for text in [
        "",
        "8760",
        "365d",
        "1e5h",
        "-1h",
        "h",
        ".h",
        "1 h",
        "0",
        "0s",
        "10ms",
        "2562048h",
        "9999999999999999999999999999999999999999999h",
    ] {
        assert_eq!(seconds(text), None, "{text}");
    }
}

#[test]
fn every_value_that_cannot_be_taken_is_told() {
    for (body, field) in [
        ("kubernetesVersion: stable-1", "kubernetesVersion: `stable-1`"),
        ("controlPlaneEndpoint: 'https://api'", "controlPlaneEndpoint"),
        ("networking: { serviceSubnet: ten }", "networking.serviceSubnet"),
        ("networking: { dnsDomain: 'a b' }", "networking.dnsDomain"),
        ("certificatesDir: pki", "certificatesDir"),
        ("certificateValidityPeriod: 365d", "certificateValidityPeriod"),
        ("caCertificateValidityPeriod: 1e5h", "caCertificateValidityPeriod"),
        ("encryptionAlgorithm: RSA-1024", "encryptionAlgorithm"),
        ("apiServer: { certSANs: ['a b'] }", "certSANs of apiserver"),
        ("etcd: { local: { peerCertSANs: ['a b'] } }", "peerCertSANs of etcd-peer"),
        ("featureGates: { RootlessControlPlane: true }", "featureGates.RootlessControlPlane"),
        ("apiServer: { extraArgs: { oidc-ca-file: /a.crt } }", "apiServer.extraArgs.oidc-ca-file"),
        (
            "apiServer: { extraArgs: [{ name: tls-cert-file, value: /a.crt }] }",
            "apiServer.extraArgs.tls-cert-file",
        ),
        (
            "controllerManager: { extraArgs: [{ name: root-ca-file, value: /a.crt }] }",
            "controllerManager.extraArgs.root-ca-file",
        ),
        (
            "etcd: { local: { extraArgs: { trusted-ca-file: /a.crt } } }",
            "etcd.local.extraArgs.trusted-ca-file",
        ),
    ] {
        let refused = config(body).refused;
        let [refused] = refused.as_slice() else { panic!("{body}: {refused:?}") };
        assert!(
            refused.starts_with(field) && refused.contains(" in kubeadm.yaml is not taken: "),
            "{refused}"
        );
    }
    for body in [
        "apiServer: { extraArgs: { audit-log-path: /a } }",
        "featureGates: { RootlessControlPlane: false }",
        "certificatesDir: /etc/kubernetes/pki/",
        "certificateValidityPeriod: null",
    ] {
        assert_eq!(config(body).refused, Vec::<String>::new(), "{body}");
    }
}

#[test]
fn an_algorithm_may_be_asked_for_by_a_feature_gate() {
    let algorithm = |body: &str| config(body).key_algorithm;
    assert_eq!(algorithm("featureGates: { PublicKeysECDSA: true }"), Some(NewKeyAlgorithm::EcdsaP256));
    assert_eq!(algorithm("featureGates: { PublicKeysECDSA: false }"), None);
    let both = "featureGates: { PublicKeysECDSA: true }\nencryptionAlgorithm: RSA-3072";
    assert_eq!(algorithm(both), Some(NewKeyAlgorithm::Rsa3072));
}

#[test]
fn a_tab_that_indents_is_called_so() {
    let text = "kind: InitConfiguration\n---\nkind: ClusterConfiguration\napiServer:\n\tcertSANs: []\n";
    let error = KubeadmConfig::read("kubeadm.yaml", text).unwrap_err().to_string();
    assert_eq!(error, "kubeadm.yaml is not YAML, at line 5: a tab cannot indent, write spaces");
    let text = "kind: ClusterConfiguration\napiServer: [\n";
    let error = KubeadmConfig::read("kubeadm.yaml", text).unwrap_err();
    assert!(matches!(error, KubeadmConfigError::NotYaml { .. }), "{error}");
}
