//! Any bytes as a PEM file: nothing panics, and every BEGIN becomes an item or a named problem.
//!
//! Needs cargo-fuzz and a nightly toolchain. From the root of the package: `cargo +nightly fuzz run --fuzz-dir tests/fuzz pem`
#![no_main]

use libfuzzer_sys::fuzz_target;
use pki::x509::pem::{MAX_BLOCKS, MAX_FILE_BYTES, read};

fuzz_target!(|bytes: &[u8]| {
    let reading = read(bytes);
    let marker = b"-----BEGIN";
    let markers = bytes.windows(marker.len()).filter(|window| window == marker).count();
    if markers > 0 && markers <= MAX_BLOCKS && bytes.len() <= MAX_FILE_BYTES {
        let lost = reading.problems.iter().filter(|problem| problem.loses_block()).count();
        assert_eq!(markers, reading.items.len() + lost);
    }
});
