//! Twelve authorities as odd as real ones: every fact is compared with what `openssl x509` says of the same file, and a leaf that
//! openssl issued under each of them must verify here as it does there.

use jiff::{SignedDuration, Timestamp};
use pki::x509::certificate::MAX_CERTIFICATE_BYTES;
use pki::x509::chain::{ChainFault, Purpose, ServerName, verify};
use pki::x509::{Certificate, CertificateError, Sha256};
use rustls_pki_types::{CertificateDer, UnixTime};

use crate::support::openssl::{CA, LEAF, Openssl, Recipe};

/// Makes the authority, compares its facts and those of a leaf below it with openssl, and verifies the leaf.
fn authority(recipe: &Recipe<'_>) -> (Openssl, Certificate, Certificate) {
    let openssl = Openssl::new();
    let ca = openssl.issue("ca", None, recipe);
    let leaf =
        openssl.issue("leaf", Some("ca"), &Recipe { extensions: LEAF, days: "365", ..Recipe::default() });
    assert_facts(&openssl, "ca", &ca);
    assert_facts(&openssl, "leaf", &leaf);
    assert!(openssl.verifies("ca", &[], "leaf"));
    let path = verify(&leaf, &[], std::slice::from_ref(&ca), soon(&leaf), &server("node1.example.com"));
    assert_eq!(path, Ok(vec![leaf.clone(), ca.clone()]));
    assert_eq!(webpki_verdict(&leaf, &ca), Ok(()));
    (openssl, ca, leaf)
}

/// What rustls-webpki, as a third opinion, says of a server with this certificate. It takes every root on trust, whatever its dates.
fn webpki_verdict(leaf: &Certificate, root: &Certificate) -> Result<(), webpki::Error> {
    let (leaf_der, root_der) = (CertificateDer::from(leaf.der()), CertificateDer::from(root.der()));
    let root = webpki::anchor_from_trusted_cert(&root_der)?;
    let leaf_seen = webpki::EndEntityCert::try_from(&leaf_der)?;
    let now = UnixTime::since_unix_epoch(soon(leaf).as_duration().unsigned_abs());
    let usage = webpki::KeyUsage::server_auth();
    leaf_seen.verify_for_usage(webpki::ALL_VERIFICATION_ALGS, &[root], &[], now, usage, None, None)?;
    let name = rustls_pki_types::ServerName::try_from("node1.example.com").unwrap();
    leaf_seen.verify_is_valid_for_subject_name(&name)
}

fn soon(certificate: &Certificate) -> Timestamp {
    certificate.facts().not_before + SignedDuration::from_hours(1)
}

fn server(name: &str) -> Purpose {
    let Ok(name) = name.parse::<ServerName>();
    Purpose::Server { name: Some(name) }
}

fn assert_facts(openssl: &Openssl, name: &str, certificate: &Certificate) {
    let file = format!("{name}.crt");
    let facts = certificate.facts();
    let x509 = |arguments: &[&str]| openssl.text(&[&["x509", "-noout", "-in", &file], arguments].concat());
    let field = |argument: &str| {
        let text =
            x509(&[argument, "-nameopt", "esc_2253,utf8,sep_comma_plus_space,sname", "-dateopt", "iso_8601"]);
        text.trim_end_matches('\n').split_once('=').unwrap().1.to_owned()
    };
    let date = |argument| field(argument).replacen(' ', "T", 1);
    assert_eq!(facts.subject.to_string(), field("-subject"));
    assert_eq!(facts.issuer.to_string(), field("-issuer"));
    assert_eq!(facts.serial.to_string(), field("-serial").to_lowercase());
    assert_eq!(facts.not_before.to_string(), date("-startdate"));
    assert_eq!(facts.not_after.to_string(), date("-enddate"));
    assert_eq!(
        certificate.fingerprint(),
        &x509(&["-fingerprint", "-sha256"]).trim().split_once('=').unwrap().1.parse().unwrap()
    );
    assert_eq!(certificate.to_pem().as_bytes(), openssl.read(&file));

    let pem = x509(&["-pubkey"]);
    assert_eq!(facts.key.to_pem(), pem);
    openssl.write("public.pem", pem);
    let spki = openssl.run(&["pkey", "-pubin", "-in", "public.pem", "-outform", "DER"]);
    assert_eq!((facts.key.spki_sha256, facts.key.spki_der()), (Sha256::of(&spki), spki.as_slice()));

    let text = x509(&["-text"]);
    assert!(text.contains(&format!("Version: {} (", facts.version)));
    assert!(text.contains(&format!("Signature Algorithm: {}", facts.signature_algorithm)), "{text}");
    let extension = |title: &str| {
        let after = text.split_once(&format!("{title}: "))?.1;
        Some(after.lines().nth(1).unwrap_or_default().trim().to_owned())
    };
    let constraints = facts.basic_constraints.map(|constraints| {
        let limit = constraints.path_len.map(|length| format!(", pathlen:{length}")).unwrap_or_default();
        format!("CA:{}{limit}", constraints.ca.to_string().to_uppercase())
    });
    assert_eq!(constraints, extension("X509v3 Basic Constraints"));
    let shown = |id: &Vec<u8>| id.iter().map(|byte| format!("{byte:02X}")).collect::<Vec<_>>().join(":");
    assert_eq!(facts.subject_key_id.as_ref().map(shown), extension("X509v3 Subject Key Identifier"));
    let authority = facts.authority_key_id.as_ref();
    assert_eq!(authority.is_some(), extension("X509v3 Authority Key Identifier").is_some());
    if let Some(authority) = authority {
        let id = authority.key_id.as_ref().map(shown);
        assert!(id.is_none_or(|id| text.contains(&id)), "{text}");
        assert_eq!(authority.issuer_and_serial, text.contains("DirName:"), "{text}");
    }
    let negative = "a negative serial number, which Go 1.23 and later refuse";
    let defects = if facts.serial.is_negative() { vec![negative] } else { vec![] };
    assert_eq!(facts.defects, defects);
}

#[test]
fn repeated_domain_components() {
    let (_, ca, _) = authority(&Recipe { subject: "0.DC=com\n1.DC=example\nCN=ca", ..Recipe::default() });
    assert_eq!(ca.facts().subject.to_string(), "DC=com, DC=example, CN=ca");
}

#[test]
fn two_organisational_units() {
    let (_, ca, _) = authority(&Recipe { subject: "O=x\n0.OU=one\n1.OU=two\nCN=ca", ..Recipe::default() });
    assert_eq!(ca.facts().subject.to_string(), "O=x, OU=one, OU=two, CN=ca");
}

#[test]
fn multi_valued_part() {
    let (_, ca, _) = authority(&Recipe { subject: "O=x\nOU=unit\n+CN=ca", ..Recipe::default() });
    assert_eq!(ca.facts().subject.parts().map(<[_]>::len).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(ca.facts().subject.common_name(), Some("ca"));
}

#[test]
fn t61_string() {
    let (_, ca, _) = authority(&Recipe { subject: "CN=Zürich", mask: "MASK:0x4", ..Recipe::default() });
    assert_eq!(ca.facts().subject.common_name(), Some("Zürich"));
    assert!(ca.facts().subject.der().contains(&0x14));
}

#[test]
fn bmp_string() {
    let (_, ca, _) = authority(&Recipe { subject: "CN=Ωmega", mask: "MASK:0x800", ..Recipe::default() });
    assert_eq!(ca.facts().subject.common_name(), Some("Ωmega"));
    assert!(ca.facts().subject.der().contains(&0x1e));
}

#[test]
fn no_subject_key_identifier() {
    let extensions = "basicConstraints=critical,CA:TRUE\nsubjectKeyIdentifier=none\n";
    let openssl = Openssl::new();
    let ca = openssl.issue("ca", None, &Recipe { extensions, ..Recipe::default() });
    let leaf = LEAF.replace("authorityKeyIdentifier=keyid\n", "authorityKeyIdentifier=none\n");
    let leaf = openssl.issue("leaf", Some("ca"), &Recipe { extensions: &leaf, ..Recipe::default() });
    assert_facts(&openssl, "ca", &ca);
    assert_facts(&openssl, "leaf", &leaf);
    assert_eq!((&ca.facts().subject_key_id, &leaf.facts().authority_key_id), (&None, &None));
    assert!(verify(&leaf, &[], &[ca], soon(&leaf), &server("10.0.0.1")).is_ok());
}

#[test]
fn authority_key_identifier_with_issuer_and_serial() {
    let openssl = Openssl::new();
    let ca = openssl.issue("ca", None, &Recipe::default());
    let leaf = LEAF.replace("=keyid\n", "=keyid:always,issuer:always\n");
    let leaf = openssl.issue("leaf", Some("ca"), &Recipe { extensions: &leaf, ..Recipe::default() });
    assert_facts(&openssl, "leaf", &leaf);
    assert!(leaf.facts().authority_key_id.as_ref().unwrap().issuer_and_serial);
    assert!(verify(&leaf, &[], &[ca], soon(&leaf), &Purpose::Client).is_ok());
}

#[test]
fn serial_number_zero() {
    let (_, ca, _) = authority(&Recipe { serial: "0", ..Recipe::default() });
    assert_eq!(ca.facts().serial.to_string(), "00");
}

#[test]
fn long_and_negative_serial_numbers() {
    let openssl = Openssl::new();
    for serial in ["-1", "-0x80", "-0x1234", "0x80", "0xff00", "0x7fffffffffffffffffffffffffffffffffffffff"] {
        let certificate = openssl.issue("ca", None, &Recipe { serial, ..Recipe::default() });
        assert_eq!(certificate.facts().serial.is_negative(), serial.starts_with('-'));
        assert_facts(&openssl, "ca", &certificate);
    }
}

#[test]
fn p521_key() {
    let key = ["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
    let (_, ca, _) = authority(&Recipe { key: &key, ..Recipe::default() });
    assert_eq!(ca.facts().key.algorithm.to_string(), "ecdsa-p521");
}

#[test]
fn name_constraints_on_domains_and_networks() {
    let extensions =
        format!("{CA}nameConstraints=critical,permitted;DNS:example.com,permitted;IP:10.0.0.0/255.0.0.0\n");
    let (openssl, ca, _) = authority(&Recipe { extensions: &extensions, ..Recipe::default() });
    let constraints = ca.facts().name_constraints.clone().unwrap();
    assert_eq!(constraints.permitted.dns.iter().collect::<Vec<_>>(), ["example.com"]);
    assert_eq!(constraints.permitted.ip.iter().map(ToString::to_string).collect::<Vec<_>>(), ["10.0.0.0/8"]);
    for (names, kind, name) in [
        ("DNS:node1.example.org", "DNS name", "node1.example.org"),
        ("DNS:node1.example.com,IP:192.168.0.1", "IP address", "192.168.0.1"),
        ("IP:fd00::1", "IP address", "fd00::1"),
    ] {
        let extensions = format!("extendedKeyUsage=serverAuth\nsubjectAltName={names}\n");
        let outside =
            openssl.issue("outside", Some("ca"), &Recipe { extensions: &extensions, ..Recipe::default() });
        let error =
            verify(&outside, &[], std::slice::from_ref(&ca), soon(&outside), &Purpose::Any).unwrap_err();
        let forbidden =
            ChainFault::NameForbidden { kind, name: name.into(), of: outside.facts().subject.clone() };
        assert_eq!((error.certificate, error.fault), (ca.clone(), forbidden));
        assert_eq!(webpki_verdict(&outside, &ca), Err(webpki::Error::NameConstraintViolation));
        assert!(!openssl.verifies("ca", &[], "outside"), "{names}");
    }
}

#[test]
fn path_length_zero() {
    let extensions = CA.replace("CA:TRUE", "CA:TRUE,pathlen:0");
    let (openssl, ca, _) = authority(&Recipe { extensions: &extensions, ..Recipe::default() });
    let middle = openssl.issue("middle", Some("ca"), &Recipe { subject: "CN=middle", ..Recipe::default() });
    let below = openssl.issue("below", Some("middle"), &Recipe { extensions: LEAF, ..Recipe::default() });
    let error =
        verify(&below, &[middle], std::slice::from_ref(&ca), soon(&below), &Purpose::Any).unwrap_err();
    assert_eq!(
        (error.certificate, error.fault),
        (ca, ChainFault::TooManyIntermediates { allowed: 0, found: 1 })
    );
    assert!(!openssl.verifies("ca", &["middle"], "below"));
}

#[test]
fn a_hundred_years() {
    let (_, ca, _) = authority(&Recipe { days: "36525", ..Recipe::default() });
    assert!(ca.facts().not_after > "2100-01-01T00:00:00Z".parse().unwrap());
    assert!(ca.der().windows(2).any(|pair| pair == [0x18, 0x0f]), "a GeneralizedTime");
}

/// The certificate with the only occurrence of `from` in its DER replaced.
fn altered(certificate: &Certificate, from: &[u8], to: &[u8]) -> Result<Certificate, CertificateError> {
    let mut der = certificate.der().to_vec();
    let at = der.windows(from.len()).position(|window| window == from).unwrap();
    der[at..at + from.len()].copy_from_slice(to);
    Certificate::from_der(&der)
}

#[test]
fn certificates_that_no_one_could_use_are_refused_by_name() {
    let openssl = Openssl::new();
    let ca = openssl.issue("ca", None, &Recipe::default());
    let date = ca.facts().not_before.strftime("%y%m%d%H%M%SZ").to_string();
    let error = altered(&ca, date.as_bytes(), b"261301000000Z").unwrap_err();
    assert_eq!(error.to_string(), "notBefore is no date of years 1 to 9999 in UTC: 261301000000Z");
    assert_eq!(
        altered(&ca, &[0x02, 0x01, 0x02], &[0x02, 0x01, 0x04]),
        Err(CertificateError::Version { version: 5 })
    );
    let ecdsa = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
    let other = [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x03];
    assert_eq!(altered(&ca, &ecdsa, &other), Err(CertificateError::SignatureAlgorithmsDiffer));
    assert_eq!(Certificate::from_der(&[]), Err(CertificateError::Empty));
    let two = [ca.der(), ca.der()].concat();
    assert!(matches!(
        Certificate::from_der(&two),
        Err(CertificateError::Malformed { field: "certificate", .. })
    ));
    let bytes = MAX_CERTIFICATE_BYTES + 1;
    assert_eq!(Certificate::from_der(&vec![0x30; bytes]), Err(CertificateError::TooLarge { bytes }));
}

#[test]
fn an_extension_that_stands_twice_is_a_defect() {
    let openssl = Openssl::new();
    let extensions = "1.2.3.4=DER:05:00\n1.2.3.5=DER:05:00\n";
    let certificate = openssl.issue("odd", None, &Recipe { extensions, ..Recipe::default() });
    let twice =
        altered(&certificate, &[0x06, 0x03, 0x2a, 0x03, 0x05], &[0x06, 0x03, 0x2a, 0x03, 0x04]).unwrap();
    assert_eq!(twice.facts().defects, ["extension 1.2.3.4 stands in it twice"]);
}

/// What is wrong with a certificate that has these lines in its OpenSSL extension section.
fn defects(extensions: &str) -> Vec<String> {
    Openssl::new().issue("odd", None, &Recipe { extensions, ..Recipe::default() }).facts().defects.clone()
}

#[test]
fn a_critical_key_identifier_is_a_defect_as_in_newer_go() {
    let refused = |oid| vec![format!("extension {oid} is critical, which Go 1.23 and later refuse")];
    assert_eq!(defects("subjectKeyIdentifier=critical,hash\n"), refused("2.5.29.14"));
    let authority = "subjectKeyIdentifier=hash\nauthorityKeyIdentifier=critical,keyid:always\n";
    assert_eq!(defects(authority), refused("2.5.29.35"));
    assert_eq!(
        defects("authorityInfoAccess=critical,OCSP;URI:http://ocsp.example.com\n"),
        refused("1.3.6.1.5.5.7.1.1")
    );
}

#[test]
fn a_uri_that_go_cannot_parse_is_a_defect() {
    for uri in
        ["http://[::1/", "https://a..example.com/", "http://example.com/%zz", "http://example.com:port/"]
    {
        assert_eq!(
            defects(&format!("subjectAltName=URI:{uri}\n")),
            [format!("subject alternative name: a URI that cannot be parsed: {uri}")]
        );
    }
    for uri in ["spiffe://example.com/ns/x/sa/y", "urn:x", "x/y", "http://[::1]:80/", "http://a_b/c|d{e}"] {
        assert_eq!(defects(&format!("subjectAltName=URI:{uri}\n")), Vec::<String>::new(), "{uri}");
    }
}

#[test]
fn what_is_left_over_in_an_extension_is_a_defect() {
    for (extension, reason) in [
        (
            "basicConstraints=DER:30:00:05:00",
            "extension 2.5.29.19 is malformed: bytes are left over at its end",
        ),
        (
            "subjectKeyIdentifier=DER:04:01:07:05:00",
            "extension 2.5.29.14 is malformed: bytes are left over at its end",
        ),
        // The permitted names are no list of names: a reader that skips them would take the authority for unlimited.
        (
            "nameConstraints=DER:30:06:a0:04:30:02:05:00",
            "extension 2.5.29.30 is malformed: a name constraint cannot be read",
        ),
    ] {
        assert_eq!(defects(&format!("{extension}\n")), [reason]);
    }
}

#[test]
fn a_name_that_is_damaged_after_its_first_part_is_refused() {
    let openssl = Openssl::new();
    let ca = openssl.issue("ca", None, &Recipe { subject: "O=aa\nCN=bb", ..Recipe::default() });
    let common_name = [0x31, 0x0b, 0x30, 0x09, 0x06, 0x03, 0x55, 0x04, 0x03];
    let other = [0x31, 0x0b, 0x31, 0x09, 0x06, 0x03, 0x55, 0x04, 0x03];
    let refused = altered(&ca, &common_name, &other);
    assert!(matches!(refused, Err(CertificateError::Malformed { field: "issuer", .. })), "{refused:?}");
}
