//! No private key leaves its file: not into what the program prints, nor into the journals and manifests that nodes keep.
#![expect(clippy::disallowed_methods, reason = "the tests read a key of a node")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::made::{Made, Spec};
use crate::support::told_keys::told;
use crate::support::traces::of_der;

#[test]
fn a_key_that_was_told_would_be_found() {
    let made = Made::new();
    let key = std::fs::read_to_string(made.at("cp-2/etc/kubernetes/pki/apiserver.key")).unwrap();
    let body: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let line = key.lines().nth(2).unwrap().as_bytes().to_vec();
    for trace in of_der(&STANDARD.decode(body).unwrap()).into_iter().chain([line]) {
        let said = [b"key=", trace.as_slice(), b"\n"].concat();
        assert!(told(made.path(), &said).is_some(), "{}", trace.escape_ascii());
    }
    assert_eq!(told(made.path(), b"no key at all"), None);
}

#[test]
fn no_run_tells_a_key() {
    let made = Made::new();
    made.spec(&Spec::renewing());
    made.ends(0, &["plan", "-f", "spec.yaml", "--format", "json"]);
    made.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--format", "json"]);
    made.ends(0, &["snapshot", "list", "-f", "spec.yaml"]);
    made.ends(0, &["status", "-f", "spec.yaml", "--format", "json"]);
    made.no_secret_was_told();
    made.ends(0, &["rollback", "-f", "spec.yaml", "--yes"]);
    let listed = made.ends(0, &["snapshot", "list", "-f", "spec.yaml"]);
    assert!(!listed.is_empty());
    made.no_secret_was_told();
}
