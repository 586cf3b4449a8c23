//! Certificate and key files as people have them: the bytes of a file go in, everything in it comes out in its order.
//!
//! Never silently half: each `-----BEGIN` becomes either an item or a problem that says which block it was. What can be read here but not by
//! the Go programs that use the file (a byte order mark, two blocks on one line, raw DER) is read and is a problem too. The texts of labels
//! are escaped. Copies of key material are wiped.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use zeroize::Zeroizing;

use super::algorithm::{PublicKey, PublicKeyError};
use super::certificate::{Certificate, CertificateError};
use super::key::{KeyError, PrivateKey};
use super::name::escape;
use super::request::CertificateRequest;

/// Largest file that is read, in bytes; a bundle of all public roots has a fifth of that.
pub const MAX_FILE_BYTES: usize = 1024 * 1024;

/// Most blocks that are read of one file.
pub const MAX_BLOCKS: usize = 2048;

const BEGIN: &[u8] = b"-----BEGIN";
const END: &[u8] = b"-----END";
const DASHES: &[u8] = b"-----";
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const MAX_LABEL_BYTES: usize = 64;

/// What a file holds.
#[derive(Debug, Default)]
pub struct Reading {
    /// In the order of the file; a certificate that stands in it twice is here twice.
    pub items: Vec<Item>,
    /// What is wrong with the file. Those for which [`PemProblem::loses_block`] holds stand for a block that is no item.
    pub problems: Vec<PemProblem>,
}

/// One block of a file.
#[derive(Debug)]
pub enum Item {
    /// `CERTIFICATE`
    Certificate(Certificate),
    /// `PRIVATE KEY`, `RSA PRIVATE KEY`, `EC PRIVATE KEY`
    PrivateKey(PrivateKey),
    /// `ENCRYPTED PRIVATE KEY`, or any key with `Proc-Type: 4,ENCRYPTED`: not opened.
    EncryptedKey,
    /// `PUBLIC KEY`, `RSA PUBLIC KEY`
    PublicKey(PublicKey),
    /// `CERTIFICATE REQUEST`, `NEW CERTIFICATE REQUEST`; none where it cannot be read, which breaks nothing that reads the other blocks.
    CertificateRequest(Option<CertificateRequest>),
    /// `EC PARAMETERS` and other parameters.
    Parameters,
    /// Another label, escaped: among them `TRUSTED CERTIFICATE`, OpenSSL's own form, which Go skips, and what is written like one in the middle of a line.
    Other(String),
}

/// What is wrong with a file. Blocks are counted from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the fields are named by the message")]
pub enum PemProblem {
    /// Zero length: what a crash or a full disk leaves.
    #[error("the file is empty")]
    Empty,
    /// Only spaces and line ends.
    #[error("the file holds nothing but white space")]
    OnlyWhitespace,
    /// Bytes, but none of them a PEM block, nor DER that is known.
    #[error("the file holds no PEM block")]
    NoBlocks,
    /// More than [`MAX_FILE_BYTES`]; nothing of it was read.
    #[error("{bytes} bytes are too many for a certificate or key file (the limit is {MAX_FILE_BYTES})")]
    TooLarge { bytes: usize },
    /// More than [`MAX_BLOCKS`]; the rest was not read.
    #[error(
        "{blocks} blocks are too many for a certificate or key file: only the first {MAX_BLOCKS} were read"
    )]
    TooManyBlocks { blocks: usize },
    /// Raw DER, which kubeadm, etcd and Kubernetes do not read.
    #[error("the file is DER, not PEM")]
    NotPem,
    /// Go does not see a block that directly follows it.
    #[error("the file starts with a byte order mark: Go programs skip its first block")]
    ByteOrderMark,
    /// For instance `-----END CERTIFICATE----------BEGIN CERTIFICATE-----`. Go skips such a block.
    #[error("block {block} ({label}) shares its first or last line with other text: Go programs skip it")]
    SharesLine { block: usize, label: String },
    /// Go's `AppendCertsFromPEM` skips certificates with headers.
    #[error("block {block} (CERTIFICATE) has header lines: Go programs skip it")]
    CertificateHeaders { block: usize },
    /// The BEGIN line has no label or does not end.
    #[error("block {block} has a broken BEGIN line")]
    BrokenBegin { block: usize },
    /// The next block or the end of the file comes first.
    #[error("block {block} ({label}) has no END line")]
    MissingEnd { block: usize, label: String },
    /// The labels of BEGIN and END differ.
    #[error("block {block} begins as {label} and ends as {end}")]
    EndDiffers { block: usize, label: String, end: String },
    /// The text between is no base64, or cut short.
    #[error("block {block} ({label}) is not base64")]
    Base64 { block: usize, label: String },
    /// Not a certificate.
    #[error("block {block} (CERTIFICATE) cannot be read")]
    Certificate { block: usize, source: CertificateError },
    /// Not a private key that can be read.
    #[error("block {block} ({label}) cannot be read")]
    PrivateKey { block: usize, label: String, source: KeyError },
    /// Not a public key.
    #[error("block {block} ({label}) cannot be read")]
    PublicKey { block: usize, label: String, source: PublicKeyError },
}

impl PemProblem {
    /// Whether the problem stands for a block that could not be read, so is no item.
    pub fn loses_block(&self) -> bool {
        match self {
            Self::BrokenBegin { .. }
            | Self::MissingEnd { .. }
            | Self::EndDiffers { .. }
            | Self::Base64 { .. }
            | Self::Certificate { .. }
            | Self::PrivateKey { .. }
            | Self::PublicKey { .. } => true,
            Self::Empty
            | Self::OnlyWhitespace
            | Self::NoBlocks
            | Self::TooLarge { .. }
            | Self::TooManyBlocks { .. }
            | Self::NotPem
            | Self::ByteOrderMark
            | Self::SharesLine { .. }
            | Self::CertificateHeaders { .. } => false,
        }
    }
}

impl Reading {
    /// The certificates, in the order of the file.
    pub fn certificates(&self) -> impl Iterator<Item = &Certificate> {
        self.items.iter().filter_map(|item| {
            if let Item::Certificate(certificate) = item { Some(certificate) } else { None }
        })
    }

    /// The private keys that could be read, in the order of the file.
    pub fn private_keys(&self) -> impl Iterator<Item = &PrivateKey> {
        self.items.iter().filter_map(|item| if let Item::PrivateKey(key) = item { Some(key) } else { None })
    }
}

/// Reads a whole file.
pub fn read(bytes: &[u8]) -> Reading {
    if bytes.len() > MAX_FILE_BYTES {
        let problems = vec![PemProblem::TooLarge { bytes: bytes.len() }];
        return Reading { problems, ..Reading::default() };
    }
    read_larger(bytes)
}

/// Reads what may be larger than [`MAX_FILE_BYTES`], such as a file that lay beside certificates and was copied with them. The caller bounds it.
pub fn read_larger(bytes: &[u8]) -> Reading {
    let mut reading = Reading::default();
    let starts = positions(bytes, BEGIN);
    if starts.is_empty() {
        return without_blocks(bytes);
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        reading.problems.push(PemProblem::ByteOrderMark);
    }
    let mut parameters: Option<Zeroizing<Vec<u8>>> = None;
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    for (index, (&start, end)) in starts.iter().zip(ends).enumerate().take(MAX_BLOCKS) {
        let number = index + 1;
        let before = bytes.get(..start).unwrap_or_default();
        let marked = before == BYTE_ORDER_MARK;
        let at_line_start = marked || before.last().is_none_or(|byte| *byte == b'\n');
        let segment = bytes.get(start..end).unwrap_or_default();
        match Block::find(number, segment) {
            Ok(block) => {
                // A block whose END line runs into the next BEGIN shares its line as much as the next one does.
                let runs_on = block.ends_segment && end < bytes.len();
                if !at_line_start || block.shares_end_line || runs_on {
                    reading
                        .problems
                        .push(PemProblem::SharesLine { block: number, label: block.label.clone() });
                }
                block.read(&mut parameters, &mut reading);
            }
            // Go and OpenSSL look for blocks at the beginning of lines only. What such a text would hold is nothing that is known.
            Err(_) if !at_line_start && is_text(before) => {
                let label = label_of(segment.get(BEGIN.len()..).unwrap_or_default());
                reading.items.push(Item::Other(label.map(|(label, _)| label).unwrap_or_default()));
            }
            Err(problem) => reading.problems.push(problem),
        }
    }
    if starts.len() > MAX_BLOCKS {
        reading.problems.push(PemProblem::TooManyBlocks { blocks: starts.len() });
    }
    reading
}

/// Whether the line that a BEGIN stands in began with words, and neither with white space alone nor with the END of another block.
fn is_text(before: &[u8]) -> bool {
    let line = before.rsplit(|byte| *byte == b'\n').next().unwrap_or_default();
    !blank(line) && !line.ends_with(DASHES)
}

/// A file without any BEGIN line: raw DER, nothing, or something else.
fn without_blocks(bytes: &[u8]) -> Reading {
    let item = if let Ok(certificate) = Certificate::from_der(bytes) {
        Some(Item::Certificate(certificate))
    } else if let Ok(key) = PublicKey::from_spki_der(bytes) {
        Some(Item::PublicKey(key))
    } else {
        match PrivateKey::from_der(bytes) {
            Ok(key) => Some(Item::PrivateKey(key)),
            Err(KeyError::Encrypted) => Some(Item::EncryptedKey),
            Err(
                KeyError::Malformed { .. } | KeyError::Unsupported { .. } | KeyError::Inconsistent { .. },
            ) => None,
        }
    };
    let problem = match (&item, bytes) {
        (Some(_), _) => PemProblem::NotPem,
        (None, []) => PemProblem::Empty,
        (None, bytes) if bytes.iter().all(u8::is_ascii_whitespace) => PemProblem::OnlyWhitespace,
        (None, _) => PemProblem::NoBlocks,
    };
    Reading { items: item.into_iter().collect(), problems: vec![problem] }
}

/// A block that begins and ends as it should; what is between is not looked at yet.
struct Block<'a> {
    number: usize,
    label: String,
    body: &'a [u8],
    shares_end_line: bool,
    /// Nothing follows the END line, not even a line end.
    ends_segment: bool,
}

impl<'a> Block<'a> {
    /// `segment` reaches from one BEGIN to the next.
    fn find(number: usize, segment: &'a [u8]) -> Result<Self, PemProblem> {
        let broken = PemProblem::BrokenBegin { block: number };
        let Some((label, after_begin)) = label_of(segment.get(BEGIN.len()..).unwrap_or_default()) else {
            return Err(broken);
        };
        let missing_end = || PemProblem::MissingEnd { block: number, label: label.clone() };
        let end = positions(after_begin, END).first().copied().ok_or_else(missing_end)?;
        let (body, from_end) = after_begin.split_at_checked(end).ok_or_else(missing_end)?;
        let (end_label, after) =
            label_of(from_end.get(END.len()..).unwrap_or_default()).ok_or_else(missing_end)?;
        if end_label != label {
            return Err(PemProblem::EndDiffers { block: number, label, end: end_label });
        }
        let rest_of_begin_line = body.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let rest_of_end_line = after.split(|byte| *byte == b'\n').next().unwrap_or_default();
        let shares_end_line =
            !blank(rest_of_begin_line) || !blank(rest_of_end_line) || !body.ends_with(b"\n");
        Ok(Self { number, label, body, shares_end_line, ends_segment: !after.contains(&b'\n') })
    }

    fn read(self, parameters: &mut Option<Zeroizing<Vec<u8>>>, reading: &mut Reading) {
        let Self { number: block, label, body, .. } = self;
        let (headers, body) = split_headers(body);
        let encrypted = !positions(headers, b"ENCRYPTED").is_empty();
        if encrypted && label.ends_with("PRIVATE KEY") {
            reading.items.push(Item::EncryptedKey);
            return;
        }
        let Some(der) = decode(body) else {
            reading.problems.push(PemProblem::Base64 { block, label });
            return;
        };
        let item = match label.as_str() {
            "CERTIFICATE" => {
                if !headers.is_empty() {
                    reading.problems.push(PemProblem::CertificateHeaders { block });
                }
                Certificate::from_der(&der)
                    .map(Item::Certificate)
                    .map_err(|source| PemProblem::Certificate { block, source })
            }
            "ENCRYPTED PRIVATE KEY" => Ok(Item::EncryptedKey),
            "PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
                match PrivateKey::from_der_after_parameters(&der, parameters.as_deref().map(Vec::as_slice)) {
                    Ok(key) => Ok(Item::PrivateKey(key)),
                    Err(source) => Err(PemProblem::PrivateKey { block, label, source }),
                }
            }
            "PUBLIC KEY" => PublicKey::from_spki_der(&der)
                .map(Item::PublicKey)
                .map_err(|source| PemProblem::PublicKey { block, label, source }),
            "RSA PUBLIC KEY" => PublicKey::from_pkcs1_der(&der)
                .map(Item::PublicKey)
                .map_err(|source| PemProblem::PublicKey { block, label, source }),
            "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => {
                Ok(Item::CertificateRequest(CertificateRequest::from_der(&der).ok()))
            }
            "EC PARAMETERS" => {
                *parameters = Some(der);
                Ok(Item::Parameters)
            }
            other if other.ends_with(" PARAMETERS") => Ok(Item::Parameters),
            _ => Ok(Item::Other(label)),
        };
        match item {
            Ok(item) => reading.items.push(item),
            Err(problem) => reading.problems.push(problem),
        }
    }
}

/// The label after `-----BEGIN` or `-----END`, and what follows the closing dashes.
fn label_of(after_keyword: &[u8]) -> Option<(String, &[u8])> {
    let line = after_keyword.strip_prefix(b" ")?;
    let end =
        positions(line.get(..line.len().min(MAX_LABEL_BYTES + DASHES.len()))?, DASHES).first().copied()?;
    let (label, rest) = line.split_at_checked(end)?;
    if label.contains(&b'\n') {
        return None;
    }
    Some((escape(&String::from_utf8_lossy(label)), rest.get(DASHES.len()..)?))
}

/// RFC 1421 headers (`Name: value`), up to the empty line that ends them, and the base64 text.
fn split_headers(body: &[u8]) -> (&[u8], &[u8]) {
    if !body.contains(&b':') {
        return (&[], body);
    }
    let mut offset = 0;
    let mut inside = false;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let ends = inside && blank(line);
        if !ends && !blank(line) && !inside && !line.contains(&b':') {
            return (&[], body);
        }
        inside |= line.contains(&b':');
        offset += line.len();
        if ends {
            return body.split_at_checked(offset).unwrap_or((&[], body));
        }
    }
    (&[], body)
}

fn decode(body: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut text = Zeroizing::new(Vec::with_capacity(body.len()));
    text.extend(body.iter().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
    let length = STANDARD.decode_slice(text.as_slice(), &mut der).ok()?;
    der.truncate(length);
    Some(der)
}

fn blank(bytes: &[u8]) -> bool {
    bytes.iter().all(u8::is_ascii_whitespace)
}

/// Where `pattern` starts in `bytes`, without overlaps.
fn positions(bytes: &[u8], pattern: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut from = 0;
    while let Some(rest) = bytes.get(from..) {
        match rest.windows(pattern.len()).position(|window| window == pattern) {
            Some(offset) => {
                found.push(from + offset);
                from += offset + pattern.len();
            }
            None => break,
        }
    }
    found
}

#[cfg(test)]
mod tests;
