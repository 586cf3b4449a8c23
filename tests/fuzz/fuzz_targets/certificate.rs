//! Any bytes as a certificate: nothing panics, neither in reading, nor in printing, nor in verifying it under itself.
//!
//! Needs cargo-fuzz and a nightly toolchain. From the root of the package: `cargo +nightly fuzz run --fuzz-dir tests/fuzz certificate`
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::x509::Certificate;
use pki::x509::chain::{Purpose, verify};

fuzz_target!(|bytes: &[u8]| {
    let Ok(certificate) = Certificate::from_der(bytes) else { return };
    assert_eq!(certificate.der(), bytes);
    let facts = certificate.facts();
    let _ = format!("{facts:?} {} {} {}", facts.subject, facts.issuer, facts.serial);
    let itself = [certificate.clone()];
    let _ = verify(&certificate, &itself, &[], facts.not_before, &Purpose::Any);
    let _ = verify(&certificate, &[], &itself, facts.not_before, &Purpose::Client);
});
