//! Names of subjects and issuers: the DER of a Name goes in, its bytes and its readable parts come out.
//!
//! Two names are the same when their bytes are the same, as in Go's `crypto/x509`, which compares `RawIssuer` with `RawSubject`; this file
//! never compares or rebuilds names from their text. The texts come from certificates, so from anybody: print a [`Name`] or
//! [`escape`] a part, never the part as it is.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use x509_parser::asn1_rs::{
    Any, BmpString, Class, Error, FromDer as _, Sequence, Set, Tag, ToDer as _, UniversalString,
};
use x509_parser::error::X509Error;
use x509_parser::x509::AttributeTypeAndValue;

use super::asn1::dotted;
use crate::types::certificate::SubjectName;

/// A distinguished name as it stands in a certificate.
///
/// Prints as `openssl x509 -nameopt esc_2253,utf8,sep_comma_plus_space,sname` does, in the order of its encoding:
/// `O=system:masters, CN=kubernetes-admin`, with ` + ` between the attributes of one multi-valued part.
#[derive(Clone)]
pub struct Name(Arc<Inner>);

struct Inner {
    der: Vec<u8>,
    parts: Vec<Vec<Attribute>>,
    defects: Vec<String>,
}

/// One attribute of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// The short name that OpenSSL uses (`CN`, `O`, `emailAddress`), or the dotted object identifier.
    pub kind: String,
    /// The text; `#` and the hex digits of the whole DER value when it is no text or does not decode.
    pub value: String,
}

impl Name {
    /// Reads one DER Name; `None` when it is none.
    pub fn from_der(der: &[u8]) -> Option<Self> {
        Self::parse(der).ok()
    }

    /// Reads the SEQUENCE of a Name. Goes through it itself, because x509-parser's own name ends before the first part it cannot read.
    pub(super) fn parse(der: &[u8]) -> Result<Self, X509Error> {
        let (_, sequence) = Sequence::from_der(der)?;
        let mut name = Inner { der: der.to_vec(), parts: Vec::new(), defects: Vec::new() };
        for set in sequence.der_iter::<Set<'_>, Error>() {
            let set = set?;
            let mut part = Vec::new();
            for attribute in set.der_iter::<AttributeTypeAndValue<'_>, X509Error>() {
                let attribute = attribute?;
                let (kind, value) =
                    (short_name(&dotted(attribute.attr_type().as_bytes())), attribute.attr_value());
                if let Some(defect) = refused_by_go(value) {
                    name.defects.push(format!("{kind} in a name: {defect}"));
                }
                let value = match text(value) {
                    Some(text) => text,
                    None => format!("#{}", hex::encode(value.to_der_vec().unwrap_or_default())),
                };
                part.push(Attribute { kind, value });
            }
            name.parts.push(part);
        }
        Ok(Self(Arc::new(name)))
    }

    /// What Go's `parseName` (1.19 to 1.25) does not read; it then refuses the whole certificate.
    pub(super) fn defects(&self) -> &[String] {
        &self.0.defects
    }

    /// All bytes of the name: copy these into what is issued under it.
    pub fn der(&self) -> &[u8] {
        &self.0.der
    }

    /// The parts in the order of the encoding; a part has several attributes when it is multi-valued.
    pub fn parts(&self) -> impl Iterator<Item = &[Attribute]> {
        self.0.parts.iter().map(Vec::as_slice)
    }

    /// Every attribute in the order of the encoding.
    pub fn attributes(&self) -> impl Iterator<Item = &Attribute> {
        self.0.parts.iter().flatten()
    }

    /// Whether the name has no attribute at all.
    pub fn is_empty(&self) -> bool {
        self.attributes().next().is_none()
    }

    /// The common name: the last one where there are several, as in Go (so it is the user name that kube-apiserver takes).
    pub fn common_name(&self) -> Option<&str> {
        self.attributes()
            .filter(|attribute| attribute.kind == "CN")
            .last()
            .map(|attribute| attribute.value.as_str())
    }

    /// The organisations, which kube-apiserver takes as the groups of a client.
    pub fn organizations(&self) -> BTreeSet<String> {
        self.attributes()
            .filter(|attribute| attribute.kind == "O")
            .map(|attribute| attribute.value.clone())
            .collect()
    }

    /// Whether its common name and its organisations are those of a subject, the order of the organisations aside.
    pub fn is(&self, subject: &SubjectName) -> bool {
        self.common_name() == Some(subject.common_name.as_str())
            && self.organizations() == subject.organizations.iter().cloned().collect()
    }
}

impl PartialEq for Name {
    fn eq(&self, other: &Self) -> bool {
        self.0.der == other.0.der
    }
}

impl Eq for Name {}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.der.cmp(&other.0.der)
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, part) in self.0.parts.iter().enumerate() {
            f.write_str(if index == 0 { "" } else { ", " })?;
            for (index, attribute) in part.iter().enumerate() {
                f.write_str(if index == 0 { "" } else { " + " })?;
                write!(f, "{}={}", attribute.kind, escape_2253(&attribute.value))?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

/// The text with control characters and characters that change the direction or hide text written as `\u{..}`, so that a name
/// from a hostile certificate cannot rewrite the terminal or the line it is printed in.
pub fn escape(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        if hides_or_controls(character) {
            out.extend(character.escape_unicode());
        } else {
            out.push(character);
        }
        out
    })
}

fn hides_or_controls(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}'
        )
}

/// RFC 2253 2.4: separators, quotes and the spaces and `#` that would change the meaning get a backslash.
fn escape_2253(value: &str) -> String {
    let last = value.chars().count().saturating_sub(1);
    let mut out = String::with_capacity(value.len());
    let undecoded = value.starts_with('#')
        && value.len() > 1
        && value.chars().skip(1).all(|digit| digit.is_ascii_hexdigit());
    for (index, character) in value.chars().enumerate() {
        let special = match character {
            ',' | '+' | '"' | '\\' | '<' | '>' | ';' => true,
            ' ' => index == 0 || index == last,
            '#' => index == 0 && !undecoded,
            _ => false,
        };
        if special {
            out.push('\\');
        }
        out.push(character);
    }
    escape(&out)
}

/// The text of a string value, or nothing if it is no string or its bytes do not fit its type.
fn text(value: &Any<'_>) -> Option<String> {
    match string_tag(value)? {
        Tag::Utf8String | Tag::PrintableString | Tag::Ia5String | Tag::NumericString | Tag::VisibleString => {
            std::str::from_utf8(value.data).ok().map(str::to_owned)
        }
        // T.61 proper is practically unused: OpenSSL and Go both read the bytes as Latin-1, as the writers meant them.
        Tag::T61String => Some(value.data.iter().copied().map(char::from).collect()),
        Tag::BmpString if value.data.len().is_multiple_of(2) => {
            BmpString::try_from(value).ok().map(|text| text.string())
        }
        Tag::UniversalString => UniversalString::try_from(value).ok().map(|text| text.string()),
        _ => None,
    }
}

/// Go's `parseASN1String` knows six string types and checks the characters of some.
fn refused_by_go(value: &Any<'_>) -> Option<&'static str> {
    let bytes = value.data;
    let printable = |byte: &u8| byte.is_ascii_alphanumeric() || b" '()+,-./:=?*&".contains(byte);
    match string_tag(value) {
        Some(Tag::T61String) => None,
        Some(Tag::PrintableString) if bytes.iter().all(printable) => None,
        Some(Tag::PrintableString) => Some("a PrintableString with a character that is not allowed in it"),
        Some(Tag::Utf8String) if std::str::from_utf8(bytes).is_ok() => None,
        Some(Tag::Utf8String) => Some("an UTF8String that is no UTF-8"),
        Some(Tag::BmpString) if bytes.len().is_multiple_of(2) => None,
        Some(Tag::BmpString) => Some("a BMPString of an odd number of bytes"),
        Some(Tag::Ia5String) if bytes.is_ascii() => None,
        Some(Tag::Ia5String) => Some("an IA5String that is not ASCII"),
        Some(Tag::NumericString) if bytes.iter().all(|byte| byte.is_ascii_digit() || *byte == b' ') => None,
        Some(Tag::NumericString) => Some("a NumericString with something else than digits"),
        _ => Some("a string type that Go does not read"),
    }
}

/// The tag of a value that can be a string by its class and form.
fn string_tag(value: &Any<'_>) -> Option<Tag> {
    (value.class() == Class::Universal && !value.header.is_constructed()).then(|| value.tag())
}

/// The short name OpenSSL prints for an attribute type.
fn short_name(oid: &str) -> String {
    let known = match oid {
        "2.5.4.3" => "CN",
        "2.5.4.4" => "SN",
        "2.5.4.5" => "serialNumber",
        "2.5.4.6" => "C",
        "2.5.4.7" => "L",
        "2.5.4.8" => "ST",
        "2.5.4.9" => "street",
        "2.5.4.10" => "O",
        "2.5.4.11" => "OU",
        "2.5.4.12" => "title",
        "2.5.4.13" => "description",
        "2.5.4.17" => "postalCode",
        "2.5.4.41" => "name",
        "2.5.4.42" => "GN",
        "2.5.4.43" => "initials",
        "2.5.4.46" => "dnQualifier",
        "0.9.2342.19200300.100.1.1" => "UID",
        "0.9.2342.19200300.100.1.25" => "DC",
        "1.2.840.113549.1.9.1" => "emailAddress",
        other => other,
    };
    known.to_owned()
}

#[cfg(test)]
mod tests {
    use const_oid::ObjectIdentifier;
    use der::Encode as _;

    use super::*;

    const CN: &str = "2.5.4.3";
    const O: &str = "2.5.4.10";

    fn attribute(kind: &str, tag: Tag, value: &[u8]) -> Vec<u8> {
        let value = Any::from_tag_and_data(tag, value).to_der_vec().unwrap();
        let kind = ObjectIdentifier::new(kind).unwrap().to_der().unwrap();
        Sequence::new([kind, value].concat().into()).to_der_vec().unwrap()
    }

    fn name(parts: &[&[Vec<u8>]]) -> Name {
        let parts = parts.iter().map(|part| Set::new(part.concat().into()).to_der_vec().unwrap());
        let parts: Vec<Vec<u8>> = parts.collect();
        Name::parse(&Sequence::new(parts.concat().into()).to_der_vec().unwrap()).unwrap()
    }

    #[test]
    fn prints_in_the_order_of_the_encoding() {
        let masters = attribute(O, Tag::PrintableString, b"system:masters");
        let admin = attribute(CN, Tag::Utf8String, b"kubernetes-admin");
        assert_eq!(
            name(&[std::slice::from_ref(&masters), std::slice::from_ref(&admin)]).to_string(),
            "O=system:masters, CN=kubernetes-admin"
        );
        assert_eq!(name(&[&[masters, admin]]).to_string(), "O=system:masters + CN=kubernetes-admin");
    }

    #[test]
    fn the_last_common_name_counts_and_every_organisation() {
        let (first, last) =
            (attribute(CN, Tag::Utf8String, b"first"), attribute(CN, Tag::Utf8String, b"last"));
        let (dev, ops) = (attribute(O, Tag::Utf8String, b"dev"), attribute(O, Tag::Utf8String, b"ops"));
        let name = name(&[&[first], &[dev, ops], &[last]]);
        assert_eq!(name.common_name(), Some("last"));
        assert_eq!(name.organizations(), BTreeSet::from(["dev".to_owned(), "ops".to_owned()]));
    }

    #[test]
    fn what_could_deceive_a_reader_is_escaped() {
        let value = "a\u{202e}b\x1b[2J, CN=\"x\"\n ";
        let name = name(&[&[attribute(CN, Tag::Utf8String, value.as_bytes())]]);
        assert_eq!(name.to_string(), r#"CN=a\u{202e}b\u{1b}[2J\, CN=\"x\"\u{a}\ "#);
        assert_eq!(name.common_name(), Some(value));
    }

    #[test]
    fn every_string_type_is_read_and_what_go_refuses_is_said() {
        let read = |tag, bytes: &[u8]| {
            let name = name(&[&[attribute(CN, tag, bytes)]]);
            (name.common_name().unwrap().to_owned(), name.defects().is_empty())
        };
        assert_eq!(read(Tag::T61String, b"caf\xe9"), ("café".into(), true));
        assert_eq!(read(Tag::BmpString, &[0x20, 0xac]), ("€".into(), true));
        assert_eq!(read(Tag::Ia5String, b"a@b"), ("a@b".into(), true));
        assert_eq!(read(Tag::UniversalString, &[0, 0, 0x20, 0xac]), ("€".into(), false));
        assert_eq!(read(Tag::PrintableString, b"node_1"), ("node_1".into(), false));
        assert_eq!(read(Tag::Utf8String, &[0xff]), ("#0c01ff".into(), false));
        assert_eq!(read(Tag::OctetString, &[1, 2]), ("#04020102".into(), false));
    }
}
