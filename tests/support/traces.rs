//! How private keys show where they are told: as PEM, as base64 of their DER form and of its secret part, and as hexadecimal digits; and everything of a
//! key's length in a message of the protocol.

use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// Bytes of a key that are looked for: so many cannot occur by chance.
pub(crate) const LENGTH: usize = 24;

/// How the keys of a file could show: each as the first bytes of a text that holds it.
pub(crate) fn traces(content: &[u8]) -> Vec<Vec<u8>> {
    let text = String::from_utf8_lossy(content);
    let mut traces = Vec::new();
    for line in text.lines() {
        if let Some(encoded) = line.trim().strip_prefix("client-key-data: ") {
            let pem = STANDARD.decode(encoded).unwrap();
            traces.push(encoded.bytes().skip(encoded.len() / 2).take(LENGTH).collect());
            traces.extend(self::traces(&pem));
        }
    }
    let mut inside = false;
    let mut body = String::new();
    for line in text.lines() {
        if line.contains("-----BEGIN") && line.contains("PRIVATE KEY") {
            (inside, body) = (true, String::new());
        } else if line.starts_with("-----END") && inside {
            inside = false;
            let der = STANDARD.decode(&body).unwrap();
            traces.extend(of_der(&der));
            // As PEM: lines of 48 bytes. The rest of them is the public half, which certificates hold too.
            let secret = if der.len() < 200 { 48..49 } else { 336..500 };
            traces.extend(
                secret.step_by(48).map(|start| body.bytes().skip(start / 3 * 4).take(LENGTH).collect()),
            );
        } else if inside {
            body.push_str(line);
        }
    }
    // The beginning of every key of one kind is the same, and no secret.
    traces.retain(|trace: &Vec<u8>| trace.len() == LENGTH && !trace.starts_with(b"MI"));
    traces
}

/// The secret part of a DER form: for P-256 in PKCS #8 it begins at byte 36; of RSA keys that place lies in the modulus, so the middle is taken.
pub(crate) fn of_der(der: &[u8]) -> Vec<Vec<u8>> {
    let start = if der.len() < 200 { 36 } else { der.len() / 2 };
    let secret = der.get(start..start + 30).unwrap_or_default();
    let hexadecimal: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
    let forms = [
        STANDARD.encode(secret),
        STANDARD.encode(secret.get(1..).unwrap_or_default()),
        STANDARD.encode(secret.get(2..).unwrap_or_default()),
        hexadecimal.to_uppercase(),
        hexadecimal,
    ];
    let raw = secret.iter().copied().take(LENGTH).collect();
    forms.iter().map(|form| form.bytes().take(LENGTH).collect()).chain([raw]).collect()
}

/// The messages of one direction of a connection.
pub(crate) fn frames(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut frames = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let (frame, rest) = rest.split_at(u32::from_be_bytes(*length) as usize);
        frames.push(frame.to_vec());
        bytes = rest;
    }
    frames
}

/// Everything of a key's length in a message, also inside its strings where they are base64.
pub(crate) fn windows_of(message: &[u8]) -> BTreeSet<Vec<u8>> {
    let value: Value = serde_json::from_slice(message).unwrap();
    let mut texts = vec![message.to_vec()];
    let mut waiting = vec![&value];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Array(items) => waiting.extend(items),
            Value::Object(fields) => waiting.extend(fields.values()),
            Value::String(text) => texts.extend(STANDARD.decode(text)),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    texts.iter().flat_map(|text| text.windows(LENGTH)).map(<[u8]>::to_vec).collect()
}
