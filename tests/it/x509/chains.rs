//! Chain verification by Go's rules, on certificates that openssl issued: one rule a test, with the certificate that is at fault.

use jiff::{SignedDuration, Timestamp};
use pki::x509::Certificate;
use pki::x509::chain::{
    ChainError, ChainFault, MAX_SIGNATURE_CHECKS, Purpose, ServerName, WeakHash, is_issued_by, verify,
    weak_signature,
};
use pki::x509::verify::SignatureError;

use crate::support::openssl::{CA, LEAF, Openssl, P256, Recipe};

struct World {
    openssl: Openssl,
    root: Certificate,
    leaf: Certificate,
}

fn world() -> World {
    let openssl = Openssl::new();
    let root = openssl.issue("root", None, &named("CN=root", CA));
    let leaf = openssl.issue("leaf", Some("root"), &named("CN=leaf", LEAF));
    World { openssl, root, leaf }
}

fn named<'a>(subject: &'a str, extensions: &'a str) -> Recipe<'a> {
    Recipe { subject, extensions, ..Recipe::default() }
}

fn soon(certificate: &Certificate) -> Timestamp {
    certificate.facts().not_before + SignedDuration::from_hours(1)
}

fn any(
    leaf: &Certificate,
    intermediates: &[Certificate],
    roots: &[Certificate],
) -> Result<Vec<Certificate>, ChainError> {
    verify(leaf, intermediates, roots, soon(leaf), &Purpose::Any)
}

#[track_caller]
fn assert_fault(
    result: Result<Vec<Certificate>, ChainError>,
    certificate: &Certificate,
    expected: &ChainFault,
) {
    let error = result.unwrap_err();
    assert_eq!((&error.certificate, &error.fault), (certificate, expected));
}

#[test]
fn dates_of_every_certificate_count_the_root_too() {
    let World { openssl, root, .. } = world();
    let leaf =
        openssl.issue("long", Some("root"), &Recipe { extensions: LEAF, days: "7300", ..Recipe::default() });
    let roots = [root.clone()];
    let at = |now| verify(&leaf, &[], &roots, now, &Purpose::Any);
    let (first, last) = (leaf.facts().not_before, root.facts().not_after);
    let second = SignedDuration::from_secs(1);
    assert!(at(first).is_ok() && at(last).is_ok());
    assert_fault(
        at(first - second),
        &leaf,
        &ChainFault::NotYetValid { not_before: first, now: first - second },
    );
    assert_fault(at(last + second), &root, &ChainFault::Expired { not_after: last, now: last + second });
    let end = leaf.facts().not_after;
    assert_fault(at(end + second), &leaf, &ChainFault::Expired { not_after: end, now: end + second });
}

#[test]
fn of_two_roots_with_one_name_the_one_that_signed_is_found() {
    let World { openssl, root, leaf } = world();
    let other = openssl.issue("other", None, &named("CN=root", CA));
    for roots in [[root.clone(), other.clone()], [other.clone(), root.clone()]] {
        assert_eq!(any(&leaf, &[], &roots), Ok(vec![leaf.clone(), root.clone()]));
    }
    let issuer = root.facts().subject.clone();
    assert_fault(any(&leaf, &[], &[other]), &leaf, &ChainFault::NotSignedByIssuer { issuer });
}

#[test]
fn a_key_identifier_that_does_not_fit_only_orders_the_candidates() {
    let World { openssl, .. } = world();
    let odd = CA.replace("=hash", "=00:11:22");
    let ca = openssl.issue("ca", None, &named("CN=ca", &odd));
    let leaf = openssl.issue("below", Some("ca"), &named("CN=below", LEAF));
    openssl.write("ca.ext", CA);
    openssl.run(&[
        "x509", "-req", "-in", "ca.csr", "-signkey", "ca.key", "-extfile", "ca.ext", "-days", "9", "-out",
        "ca.crt",
    ]);
    let renewed = openssl.certificate("ca");
    assert_ne!(ca.facts().subject_key_id, renewed.facts().subject_key_id);
    assert_eq!(any(&leaf, &[], std::slice::from_ref(&renewed)), Ok(vec![leaf.clone(), renewed.clone()]));
    assert_eq!(any(&leaf, &[], &[renewed, ca.clone()]), Ok(vec![leaf, ca]));
}

#[test]
fn a_missing_issuer_is_named() {
    let World { openssl, root, leaf } = world();
    let middle = openssl.issue("middle", Some("root"), &named("CN=middle", CA));
    let below = openssl.issue("below", Some("middle"), &named("CN=below", LEAF));
    assert_eq!(
        any(&below, std::slice::from_ref(&middle), std::slice::from_ref(&root)),
        Ok(vec![below.clone(), middle.clone(), root.clone()])
    );
    let missing = |of: &Certificate| ChainFault::UnknownIssuer { issuer: of.facts().issuer.clone() };
    assert_fault(any(&below, &[], std::slice::from_ref(&root)), &below, &missing(&below));
    assert_fault(any(&below, std::slice::from_ref(&middle), &[]), &middle, &missing(&middle));
    assert_fault(any(&leaf, std::slice::from_ref(&root), &[]), &root, &ChainFault::NotTrusted);
    assert_fault(any(&root, &[], &[leaf]), &root, &ChainFault::NotTrusted);
}

#[test]
fn an_issuer_must_be_a_ca_that_may_sign() {
    let World { openssl, .. } = world();
    for (extensions, may) in [
        ("subjectKeyIdentifier=hash\n", false),
        ("basicConstraints=CA:FALSE\n", false),
        ("basicConstraints=CA:TRUE\n", true),
        ("basicConstraints=CA:TRUE\nkeyUsage=digitalSignature\n", false),
    ] {
        let ca = openssl.issue("ca", None, &named("CN=ca", extensions));
        let leaf = openssl.issue("below", Some("ca"), &named("CN=below", "keyUsage=digitalSignature\n"));
        let issued = leaf.facts().subject.clone();
        let result = any(&leaf, &[], std::slice::from_ref(&ca));
        match (may, extensions.contains("keyUsage")) {
            (true, _) => assert!(result.is_ok()),
            (false, true) => assert_fault(result, &ca, &ChainFault::MayNotSign { issued }),
            (false, false) => assert_fault(result, &ca, &ChainFault::NotCa { issued }),
        }
    }
}

#[test]
fn a_root_of_version_1_is_a_ca_and_an_intermediate_of_version_1_is_none() {
    let openssl = Openssl::new();
    openssl.issue("old", None, &named("CN=old", CA));
    openssl.run(&["x509", "-req", "-in", "old.csr", "-signkey", "old.key", "-days", "99", "-out", "old.crt"]);
    let old = openssl.certificate("old");
    assert_eq!((old.facts().version, old.facts().is_ca()), (1, true));
    let leaf = openssl.issue(
        "below",
        Some("old"),
        &named("CN=below", LEAF.replace("authorityKeyIdentifier=keyid\n", "").as_str()),
    );
    assert!(any(&leaf, &[], std::slice::from_ref(&old)).is_ok());
    let issued = leaf.facts().subject.clone();
    assert_fault(any(&leaf, std::slice::from_ref(&old), &[]), &old, &ChainFault::NotCa { issued });
}

#[test]
fn a_leaf_may_be_a_ca_and_a_leaf_may_be_the_root() {
    let World { openssl, root, leaf } = world();
    let ca_leaf = openssl.issue("caleaf", Some("root"), &named("CN=caleaf", CA));
    assert!(any(&ca_leaf, &[], std::slice::from_ref(&root)).is_ok());
    assert_eq!(any(&leaf, &[], std::slice::from_ref(&leaf)), Ok(vec![leaf.clone()]));
    assert_eq!(any(&root, &[], std::slice::from_ref(&root)), Ok(vec![root]));
}

#[test]
fn self_issued_intermediates_count_against_a_path_length_as_in_go() {
    let openssl = Openssl::new();
    let limited = CA.replace("CA:TRUE", "CA:TRUE,pathlen:0");
    let old = openssl.issue("old", None, &named("CN=ca", &limited));
    let cross = openssl.issue("cross", Some("old"), &named("CN=ca", CA));
    assert!(cross.facts().self_issued);
    let leaf = openssl.issue("leaf", Some("cross"), &named("CN=leaf", LEAF));
    let expected = ChainFault::TooManyIntermediates { allowed: 0, found: 1 };
    assert_fault(any(&leaf, &[cross], std::slice::from_ref(&old)), &old, &expected);
}

#[test]
fn cross_signed_authorities_verify_under_the_old_and_the_new_root() {
    let openssl = Openssl::new();
    let old = openssl.issue("old", None, &named("CN=ca", CA));
    let new = openssl.issue("new", None, &named("CN=ca", CA));
    openssl.run(&[
        "x509",
        "-req",
        "-in",
        "new.csr",
        "-CA",
        "old.crt",
        "-CAkey",
        "old.key",
        "-extfile",
        "new.ext",
        "-set_serial",
        "7",
        "-days",
        "99",
        "-out",
        "cross.crt",
    ]);
    let cross = openssl.certificate("cross");
    let leaf = openssl.issue("leaf", Some("new"), &named("CN=leaf", LEAF));
    let cross_only = [cross.clone()];
    assert_eq!(any(&leaf, &[], std::slice::from_ref(&new)), Ok(vec![leaf.clone(), new.clone()]));
    assert_eq!(
        any(&leaf, &cross_only, std::slice::from_ref(&old)),
        Ok(vec![leaf.clone(), cross, old.clone()])
    );
    assert!(any(&leaf, &cross_only, &[old, new]).is_ok());
}

#[test]
fn extended_key_usages_nest_through_the_whole_path() {
    let World { openssl, root, .. } = world();
    let usages = |usages: &str| format!("{CA}extendedKeyUsage={usages}\n");
    let verdict = |ca: &str, leaf: &str, purpose: &Purpose| {
        let middle = openssl.issue("middle", Some("root"), &named("CN=middle", &usages(ca)));
        let leaf =
            openssl.issue("below", Some("middle"), &named("CN=below", &format!("extendedKeyUsage={leaf}\n")));
        verify(&leaf, &[middle], std::slice::from_ref(&root), soon(&leaf), purpose)
            .map_err(|error| error.fault.to_string())
    };
    let server = Purpose::Server { name: None };
    assert!(verdict("serverAuth", "serverAuth", &server).is_ok());
    assert!(verdict("anyExtendedKeyUsage", "clientAuth", &Purpose::Client).is_ok());
    assert!(verdict("clientAuth", "serverAuth", &Purpose::Any).is_ok());
    let refused = |usage: &str| Err(format!("its extended key usages do not allow {usage}"));
    assert_eq!(verdict("clientAuth", "serverAuth", &server), refused("serverAuth"));
    assert_eq!(verdict("serverAuth,clientAuth", "serverAuth", &Purpose::Client), refused("clientAuth"));
    assert_eq!(verdict("1.2.3.4", "serverAuth", &server), refused("serverAuth"));
}

#[test]
fn server_names_are_alternative_names_never_the_common_name() {
    let World { root, leaf, .. } = world();
    let dial = |name: &str| {
        let Ok(name) = name.parse::<ServerName>();
        let purpose = Purpose::Server { name: Some(name) };
        verify(&leaf, &[], std::slice::from_ref(&root), soon(&leaf), &purpose)
    };
    assert!(dial("NODE1.example.com").is_ok() && dial("10.0.0.1").is_ok());
    for name in ["leaf", "example.com", "10.0.0.2"] {
        let Ok(wanted) = name.parse();
        assert_fault(dial(name), &leaf, &ChainFault::WrongName { wanted });
    }
}

#[test]
fn critical_extensions_that_are_not_understood_refuse() {
    let World { openssl, root, .. } = world();
    let leaf = openssl.issue("odd", Some("root"), &named("CN=odd", "1.2.3.4=critical,DER:05:00\n"));
    let expected = ChainFault::UnknownCriticalExtension { extensions: vec!["1.2.3.4".into()] };
    assert_fault(any(&leaf, &[], std::slice::from_ref(&root)), &leaf, &expected);
    let leaf = openssl.issue("odd", Some("root"), &named("CN=odd", "1.2.3.4=DER:05:00\n"));
    assert!(any(&leaf, &[], &[root]).is_ok());
}

#[test]
fn an_address_of_five_bytes_makes_the_certificate_unreadable_for_go() {
    let World { openssl, root, .. } = world();
    let leaf = openssl.issue(
        "odd",
        Some("root"),
        &named("CN=odd", "subjectAltName=DER:30:07:87:05:0a:00:00:01:02\n"),
    );
    assert_eq!(leaf.facts().names.invalid, ["an IP address of 5 bytes"]);
    let defects = vec!["subject alternative name: an IP address of 5 bytes".to_owned()];
    assert_fault(any(&leaf, &[], &[root]), &leaf, &ChainFault::Unreadable { defects });
}

#[test]
fn signatures_of_every_kind_that_go_accepts_are_checked() {
    let rsa: &[&str] = &["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let p384: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"];
    let p521: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-521"];
    let openssl = Openssl::new();
    for key in [rsa, P256, p384, p521, &["-algorithm", "ED25519"]] {
        let ca = openssl.issue("ca", None, &Recipe { subject: "CN=ca", key, ..Recipe::default() });
        openssl.issue("leaf", Some("ca"), &named("CN=leaf", LEAF));
        let sign = |options: &[&str]| {
            let arguments = [
                "x509",
                "-req",
                "-in",
                "leaf.csr",
                "-CA",
                "ca.crt",
                "-CAkey",
                "ca.key",
                "-set_serial",
                "5",
                "-out",
                "leaf.crt",
            ];
            openssl.run(&[arguments.as_slice(), options].concat());
            any(&openssl.certificate("leaf"), &[], std::slice::from_ref(&ca)).map_err(|error| error.fault)
        };
        if key.contains(&"ED25519") {
            assert!(sign(&[]).is_ok());
            continue;
        }
        for hash in ["-sha256", "-sha384", "-sha512"] {
            assert!(sign(&[hash]).is_ok(), "{key:?} {hash}");
        }
        let insecure = |algorithm: &str| {
            Err(ChainFault::Signature(SignatureError::InsecureAlgorithm { algorithm: algorithm.to_owned() }))
        };
        if key == rsa {
            assert_eq!(sign(&["-sha1"]), insecure("sha1WithRSAEncryption"));
            let pss = |salt| sign(&["-sha256", "-sigopt", "rsa_padding_mode:pss", "-sigopt", salt]);
            assert!(pss("rsa_pss_saltlen:32").is_ok());
            assert!(matches!(
                pss("rsa_pss_saltlen:20"),
                Err(ChainFault::Signature(SignatureError::CannotCheck { .. }))
            ));
        } else {
            assert_eq!(sign(&["-sha1"]), insecure("ecdsa-with-SHA1"));
        }
    }
}

#[test]
fn a_short_rsa_key_is_checked_and_an_unknown_curve_is_not_called_a_forgery() {
    let openssl = Openssl::new();
    let verdict = |key: &[&str]| {
        let ca = openssl.issue("ca", None, &Recipe { subject: "CN=ca", key, ..Recipe::default() });
        let leaf = openssl.issue("leaf", Some("ca"), &named("CN=leaf", LEAF));
        any(&leaf, &[], &[ca]).map_err(|error| error.fault)
    };
    assert!(verdict(&["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"]).is_ok());
    let unknown = verdict(&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"]).unwrap_err();
    let ChainFault::Signature(SignatureError::CannotCheck { key, .. }) = unknown else {
        panic!("{unknown:?}")
    };
    assert_eq!(key.to_string(), "ecdsa-secp256k1");
}

#[test]
fn a_hostile_bundle_costs_a_bounded_number_of_signature_checks() {
    let World { openssl, leaf, .. } = world();
    let other = openssl.issue("other", None, &named("CN=root", CA));
    let many = vec![other; MAX_SIGNATURE_CHECKS + 1];
    assert_fault(any(&leaf, &[], &many), &leaf, &ChainFault::TooManySignatures);
}

#[test]
fn of_a_signature_that_go_refuses_is_told_who_made_it_where_that_can_be_told() {
    let openssl = Openssl::new();
    let rsa = ["-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048"];
    let plain = "keyUsage=critical,digitalSignature\nauthorityKeyIdentifier=none\n";
    for (key, hash, extensions, of_the_other, expected) in [
        (rsa.as_slice(), "-sha1", plain, false, (WeakHash::Sha1, Some(true))),
        (&rsa, "-sha1", plain, true, (WeakHash::Sha1, Some(false))),
        (&rsa, "-md5", LEAF, false, (WeakHash::Md5, Some(true))),
        (&rsa, "-md5", LEAF, true, (WeakHash::Md5, Some(false))),
        (&rsa, "-sha224", plain, false, (WeakHash::Sha224, None)),
        (P256, "-sha224", LEAF, false, (WeakHash::Sha224, Some(true))),
        (P256, "-sha1", plain, false, (WeakHash::Sha1, None)),
    ] {
        let of = |name| Recipe { subject: name, key, ..Recipe::default() };
        let ca = openssl.issue("ca", None, &of("CN=ca"));
        let other = openssl.issue("other", None, &of("CN=ca"));
        let by = if of_the_other { "other" } else { "ca" };
        openssl.issue("leaf", Some(by), &Recipe { key, ..named("CN=leaf", extensions) });
        let (certificate, signer) = (format!("{by}.crt"), format!("{by}.key"));
        openssl.run(&[
            "x509",
            "-req",
            "-in",
            "leaf.csr",
            "-out",
            "leaf.crt",
            "-extfile",
            "leaf.ext",
            "-set_serial",
            "5",
            "-CA",
            &certificate,
            "-CAkey",
            &signer,
            hash,
        ]);
        let leaf = openssl.certificate("leaf");
        let weak = weak_signature(&leaf, &ca).unwrap();
        assert_eq!((weak.hash, weak.is_by_issuer), expected, "{hash} {extensions}");
        assert!(!is_issued_by(&leaf, &ca) && !is_issued_by(&leaf, &other), "it never counts");
        let of_another_name = openssl.issue("stranger", None, &of("CN=stranger"));
        assert_eq!(weak_signature(&leaf, &of_another_name), None);
        let sound = openssl.issue("leaf", Some("ca"), &Recipe { key, ..named("CN=leaf", LEAF) });
        assert_eq!(weak_signature(&sound, &ca), None);
    }
}
