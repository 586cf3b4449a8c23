//! Keys and PEM files in every shape that openssl writes, and in the shapes that people make of them.

use pki::x509::key::KeyError;
use pki::x509::pem::{Item, PemProblem, read};
use pki::x509::{Certificate, KeyAlgorithm, KeyEncoding, PrivateKey, Sha256};

use crate::support::openssl::{CA, Openssl, P256, Recipe};

/// What openssl says the digest of the public key is.
fn spki(openssl: &Openssl, file: &str) -> Sha256 {
    Sha256::of(&openssl.run(&["pkey", "-in", file, "-pubout", "-outform", "DER"]))
}

#[track_caller]
pub(crate) fn only_key(bytes: &[u8]) -> PrivateKey {
    let reading = read(bytes);
    assert_eq!(reading.problems, []);
    reading
        .items
        .into_iter()
        .find_map(|item| if let Item::PrivateKey(key) = item { Some(key) } else { None })
        .unwrap()
}

#[track_caller]
fn assert_key(openssl: &Openssl, file: &str, algorithm: &str, encoding: KeyEncoding) -> PrivateKey {
    let key = only_key(&openssl.read(file));
    assert_eq!((key.algorithm().to_string().as_str(), key.encoding()), (algorithm, encoding));
    assert_eq!(key.public_key().spki_sha256, spki(openssl, file));
    key
}

/// openssl must accept what the key signed.
fn assert_signs(openssl: &Openssl, key: &PrivateKey, hash: Option<&str>) {
    openssl.write("message", b"a message");
    openssl.write("signature", key.sign(b"a message").unwrap());
    openssl.write("public.pem", key.public_key().to_pem());
    match hash {
        Some(hash) => {
            openssl.run(&["dgst", hash, "-verify", "public.pem", "-signature", "signature", "message"])
        }
        None => openssl.run(&[
            "pkeyutl",
            "-verify",
            "-pubin",
            "-inkey",
            "public.pem",
            "-rawin",
            "-in",
            "message",
            "-sigfile",
            "signature",
        ]),
    };
}

#[test]
fn rsa_keys_are_pkcs1_or_pkcs8() {
    let openssl = Openssl::new();
    openssl.run(&["genrsa", "-traditional", "-out", "pkcs1.key", "2048"]);
    openssl.run(&["pkcs8", "-topk8", "-nocrypt", "-in", "pkcs1.key", "-out", "pkcs8.key"]);
    assert_key(&openssl, "pkcs1.key", "rsa-2048", KeyEncoding::Pkcs1);
    let key = assert_key(&openssl, "pkcs8.key", "rsa-2048", KeyEncoding::Pkcs8);
    assert_signs(&openssl, &key, Some("-sha256"));
    assert_eq!(format!("{key:?}"), "PrivateKey(rsa-2048, redacted)");
}

#[test]
fn elliptic_curve_keys_are_sec1_or_pkcs8_with_or_without_public_key() {
    let openssl = Openssl::new();
    for (curve, algorithm, hash) in [
        ("P-256", "ecdsa-p256", "-sha256"),
        ("P-384", "ecdsa-p384", "-sha384"),
        ("P-521", "ecdsa-p521", "-sha512"),
    ] {
        openssl.run(&[
            "genpkey",
            "-algorithm",
            "EC",
            "-pkeyopt",
            &format!("ec_paramgen_curve:{curve}"),
            "-out",
            "pkcs8.key",
        ]);
        openssl.run(&["ec", "-in", "pkcs8.key", "-out", "sec1.key"]);
        openssl.run(&["ec", "-in", "pkcs8.key", "-no_public", "-out", "bare.key"]);
        openssl.run(&["ec", "-in", "pkcs8.key", "-param_enc", "explicit", "-out", "explicit.key"]);
        assert_key(&openssl, "sec1.key", algorithm, KeyEncoding::Sec1);
        assert_key(&openssl, "bare.key", algorithm, KeyEncoding::Sec1);
        let key = assert_key(&openssl, "pkcs8.key", algorithm, KeyEncoding::Pkcs8);
        assert_signs(&openssl, &key, Some(hash));
        // openssl's digest of an explicit key holds the whole curve; ours is that of the named curve, as in a certificate.
        let explicit = only_key(&openssl.read("explicit.key"));
        assert_eq!(explicit.public_key(), key.public_key());
    }
}

#[test]
fn curve_parameters_may_stand_before_the_key() {
    let openssl = Openssl::new();
    openssl.run(&["ecparam", "-name", "secp384r1", "-genkey", "-out", "both.key"]);
    let reading = read(&openssl.read("both.key"));
    assert!(matches!(reading.items.as_slice(), [Item::Parameters, Item::PrivateKey(_)]));
    assert_key(&openssl, "both.key", "ecdsa-p384", KeyEncoding::Sec1);

    // The same key without the curve inside: only the block before it says which.
    openssl.run(&["pkcs8", "-topk8", "-nocrypt", "-in", "both.key", "-outform", "DER", "-out", "pkcs8.der"]);
    let pkcs8 = openssl.read("pkcs8.der");
    let start = pkcs8.windows(5).position(|window| window[0] == 0x30 && window[2..] == [0x02, 0x01, 0x01]);
    let start =
        start.unwrap_or_else(|| pkcs8.windows(4).position(|w| w == [0x81, 0x9b, 0x02, 0x01]).unwrap() - 1);
    openssl.write("inner.der", &pkcs8[start..]);
    let body = openssl.text(&["base64", "-in", "inner.der"]);
    let inner = format!("-----BEGIN EC PRIVATE KEY-----\n{body}-----END EC PRIVATE KEY-----\n");
    let parameters = openssl.text(&["ecparam", "-name", "secp384r1"]);
    assert_eq!(
        only_key(format!("{parameters}{inner}").as_bytes()).public_key().spki_sha256,
        spki(&openssl, "both.key")
    );
    let alone = read(inner.as_bytes());
    assert!(matches!(
        alone.problems.as_slice(),
        [PemProblem::PrivateKey { source: KeyError::Malformed { .. }, .. }]
    ));
}

#[test]
fn ed25519_keys_sign() {
    let openssl = Openssl::new();
    openssl.run(&["genpkey", "-algorithm", "ED25519", "-out", "ed.key"]);
    let key = assert_key(&openssl, "ed.key", "ed25519", KeyEncoding::Pkcs8);
    assert_signs(&openssl, &key, None);
}

#[test]
fn a_short_rsa_key_is_known_but_does_not_sign() {
    let openssl = Openssl::new();
    openssl.run(&["genrsa", "-traditional", "-out", "short.key", "1024"]);
    let key = assert_key(&openssl, "short.key", "rsa-1024", KeyEncoding::Pkcs1);
    let error = key.sign(b"x").unwrap_err();
    assert_eq!(error.to_string(), "RSA key of 1024 bits: too short to sign with, at least 2048 are needed");
}

#[test]
fn unsupported_keys_are_named() {
    let openssl = Openssl::new();
    for (arguments, name) in [
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1"][..], "ecdsa-secp256k1"),
        (&["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-224"], "ecdsa-p224"),
        (&["-algorithm", "RSA-PSS"], "rsa-pss"),
        (&["-algorithm", "X25519"], "x25519"),
        (&["-algorithm", "ED448"], "ed448"),
    ] {
        openssl.run(&[&["genpkey", "-out", "odd.key"], arguments].concat());
        let reading = read(&openssl.read("odd.key"));
        let algorithm = KeyAlgorithm::Other(name.into());
        let [PemProblem::PrivateKey { source, .. }] = reading.problems.as_slice() else {
            panic!("{reading:?}")
        };
        assert_eq!(source, &KeyError::Unsupported { algorithm });
    }
}

#[test]
fn a_key_whose_numbers_do_not_fit_is_refused() {
    let openssl = Openssl::new();
    openssl.run(&["genrsa", "-traditional", "-out", "rsa.key", "2048"]);
    let mut der = openssl.run(&["rsa", "-in", "rsa.key", "-outform", "DER", "-traditional"]);
    let last = der.len() - 1;
    der[last - 300] ^= 1;
    assert!(matches!(PrivateKey::from_der(&der), Err(KeyError::Inconsistent { .. })));
}

#[test]
fn encrypted_keys_are_named() {
    let openssl = Openssl::new();
    openssl.run(&["genrsa", "-traditional", "-out", "rsa.key", "2048"]);
    openssl.run(&[
        "rsa",
        "-in",
        "rsa.key",
        "-traditional",
        "-aes128",
        "-passout",
        "pass:x",
        "-out",
        "legacy.key",
    ]);
    openssl.run(&["pkcs8", "-topk8", "-in", "rsa.key", "-passout", "pass:x", "-out", "pkcs8.key"]);
    openssl.run(&[
        "pkcs8",
        "-topk8",
        "-in",
        "rsa.key",
        "-passout",
        "pass:x",
        "-outform",
        "DER",
        "-out",
        "pkcs8.der",
    ]);
    for (file, problems) in
        [("legacy.key", vec![]), ("pkcs8.key", vec![]), ("pkcs8.der", vec![PemProblem::NotPem])]
    {
        let reading = read(&openssl.read(file));
        assert!(matches!(reading.items.as_slice(), [Item::EncryptedKey]), "{file}");
        assert_eq!(reading.problems, problems);
    }
}

#[test]
fn raw_der_is_read_and_named() {
    let openssl = Openssl::new();
    let certificate = openssl.issue("ca", None, &Recipe::default());
    openssl.run(&["genrsa", "-traditional", "-out", "rsa.key", "2048"]);
    openssl.run(&["genpkey", "-out", "ec.key", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"]);
    let reading = read(certificate.der());
    assert_eq!(reading.problems, [PemProblem::NotPem]);
    assert_eq!(reading.certificates().collect::<Vec<_>>(), [&certificate]);
    for (arguments, encoding) in [
        (&["rsa", "-in", "rsa.key", "-traditional"][..], KeyEncoding::Pkcs1),
        (&["pkcs8", "-topk8", "-nocrypt", "-in", "rsa.key"], KeyEncoding::Pkcs8),
        (&["ec", "-in", "ec.key"], KeyEncoding::Sec1),
    ] {
        let reading = read(&openssl.run(&[arguments, &["-outform", "DER"]].concat()));
        assert_eq!(reading.problems, [PemProblem::NotPem]);
        assert_eq!(reading.private_keys().map(PrivateKey::encoding).collect::<Vec<_>>(), [encoding]);
    }
    let reading = read(&openssl.run(&["pkey", "-in", "ec.key", "-pubout", "-outform", "DER"]));
    assert!(matches!(reading.items.as_slice(), [Item::PublicKey(_)]));
}

#[test]
fn bundles_are_read_in_order_however_they_were_put_together() {
    let openssl = Openssl::new();
    let one = openssl.issue("one", None, &Recipe { subject: "CN=one", ..Recipe::default() });
    let two = openssl.issue("two", None, &Recipe { subject: "CN=two", ..Recipe::default() });
    let (first, second) = (one.to_pem(), two.to_pem());
    let text = openssl.text(&["x509", "-in", "one.crt", "-text"]);
    let read_names = |bundle: &str| {
        let reading = read(bundle.as_bytes());
        let names = reading
            .certificates()
            .map(|certificate| certificate.facts().subject.to_string())
            .collect::<Vec<_>>();
        (names.join(" "), reading.problems)
    };
    let both = "CN=one CN=two".to_owned();
    assert_eq!(read_names(&format!("{first}{second}")), (both.clone(), vec![]));
    assert_eq!(read_names(&format!("{text}{second}")), (both.clone(), vec![]));
    assert_eq!(read_names(&format!("{first}{second}").replace('\n', "\r\n")), (both.clone(), vec![]));
    assert_eq!(read_names(&format!("{first}{first}")), ("CN=one CN=one".to_owned(), vec![]));
    let shares = |block| PemProblem::SharesLine { block, label: "CERTIFICATE".into() };
    assert_eq!(
        read_names(&format!("{}{second}", first.trim_end())),
        (both.clone(), vec![shares(1), shares(2)])
    );
    assert_eq!(read_names(&format!("\u{feff}{first}{second}")), (both, vec![PemProblem::ByteOrderMark]));
}

#[test]
fn certificate_and_key_in_one_file_and_public_keys_and_requests() {
    let openssl = Openssl::new();
    let certificate = openssl.issue("node", None, &Recipe { key: P256, extensions: CA, ..Recipe::default() });
    openssl.run(&["x509", "-in", "node.crt", "-trustout", "-addtrust", "serverAuth", "-out", "trusted.crt"]);
    openssl.run(&["genrsa", "-traditional", "-out", "rsa.key", "2048"]);
    let rsa_public = openssl.text(&["rsa", "-in", "rsa.key", "-RSAPublicKey_out"]);
    let public = openssl.text(&["rsa", "-in", "rsa.key", "-pubout"]);
    let files = ["node.crt", "node.key", "rsa.key", "node.csr", "trusted.crt"]
        .map(|file| String::from_utf8(openssl.read(file)).unwrap());
    let reading = read(format!("{}{rsa_public}{public}", files.concat()).as_bytes());
    assert_eq!(reading.problems, []);
    let digest = spki(&openssl, "rsa.key");
    match reading.items.as_slice() {
        [
            Item::Certificate(first),
            Item::PrivateKey(key),
            Item::PrivateKey(rsa),
            Item::CertificateRequest(Some(request)),
            Item::Other(trusted),
            Item::PublicKey(pkcs1),
            Item::PublicKey(spki),
        ] => {
            assert_eq!(first, &certificate);
            assert_eq!(key.public_key(), &certificate.facts().key);
            assert_eq!(&request.facts().key, key.public_key());
            assert_eq!(trusted, "TRUSTED CERTIFICATE");
            assert_eq!([rsa.public_key().spki_sha256, pkcs1.spki_sha256, spki.spki_sha256], [digest; 3]);
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_certificate_is_written_as_base64_and_read_back_only_if_it_is_one() {
    let certificate = Openssl::new().issue("ca", None, &Recipe::default());
    let json = serde_json::to_string(&certificate).unwrap();
    assert_eq!(serde_json::from_str::<Certificate>(&json).unwrap(), certificate);
    for bad in ["\"\"", "\"AAAA\"", "\"*\"", &json.replace('M', "N")] {
        assert!(serde_json::from_str::<Certificate>(bad).is_err(), "{bad}");
    }
}
