//! ASN.1 that the libraries lack, or read less strictly than Go: types that are written and keys, and whether a certificate is DER.
//!
//! The `der` crate does the reading and writing. It refuses what is not DER: lengths or integers not in their shortest form, and anything
//! left over. What a certificate says is never taken from here: that is x509-parser's part. Secret fields are borrowed, never copied.

use const_oid::ObjectIdentifier;
use der::asn1::{AnyRef, BitStringRef, IntRef, OctetStringRef, UintRef};
use der::{Decode as _, Encode as _, Sequence, Tag, TagNumber, Tagged as _};
use x509_parser::asn1_rs;
use x509_parser::error::X509Error;
use x509_parser::time::ASN1Time;

/// Certificate (RFC 5280 4.1) and CertificationRequest (RFC 2986 4.2), which are the same: the frame, as it is written.
#[derive(Sequence)]
pub(super) struct Certificate<'a> {
    pub(crate) signed: AnyRef<'a>,
    pub(crate) algorithm: AnyRef<'a>,
    pub(crate) signature: BitStringRef<'a>,
}

/// Why a certificate is not DER, or not the form of it that RFC 5280 asks for.
#[derive(Debug)]
pub(super) enum NotStrict {
    /// A length or an integer is not in its shortest form, something is left over, or something is not where it belongs.
    Form(&'static str, der::Error),
    /// A date in another form than UTC to the second, or one that does not exist.
    Date(&'static str, Vec<u8>),
    /// The signed part and the signature name different algorithms.
    AlgorithmsDiffer,
    /// A certificate of version 1 has parts that only later versions have.
    LaterParts,
}

/// Refuses the certificates that x509-parser reads without noticing that something is wrong with them: it passes over what is left over,
/// takes lengths and integers that are longer than they need to be, looks at the numbers of tags alone, and reads dates of any form.
///
/// Looks at the frame only, down to the fields of the signed part: names, key and extensions are refused by those who read them.
pub(super) fn is_strict(certificate: &[u8]) -> Result<(), NotStrict> {
    let form = |field| move |error: der::Error| NotStrict::Form(field, error);
    let outer = Certificate::from_der(certificate).map_err(form("certificate"))?;
    if outer.signature.as_bytes().is_none() {
        return Err(form("signature")(Tag::BitString.value_error().into()));
    }
    let frame = form("tbsCertificate");
    let fields: Vec<AnyRef<'_>> = outer.signed.decode_as().map_err(frame)?;
    let (version, fields) = match fields.split_first() {
        Some((first, others)) if first.tag() == explicit(0) => {
            (u32::from_der(first.value()).map_err(frame)?, others)
        }
        Some(_) | None => (0, fields.as_slice()),
    };
    let [serial, algorithm, _issuer, validity, _subject, _key, later @ ..] = fields else {
        return Err(frame(Tag::Sequence.length_error().into()));
    };
    serial.decode_as::<IntRef<'_>>().map_err(frame)?;
    let dates: Vec<AnyRef<'_>> = validity.decode_as().map_err(frame)?;
    let [not_before, not_after] = dates.as_slice() else {
        return Err(frame(Tag::Sequence.length_error().into()));
    };
    for part in later {
        if part.tag() == explicit(3) {
            Vec::<AnyRef<'_>>::from_der(part.value()).map_err(frame)?;
        } else if part.tag() == implicit(1) || part.tag() == implicit(2) {
            AnyRef::new(Tag::BitString, part.value())
                .and_then(|bits| bits.decode_as::<BitStringRef<'_>>())
                .map_err(frame)?;
        } else {
            return Err(frame(part.tag().unexpected_error(None).into()));
        }
    }
    if *algorithm != outer.algorithm {
        return Err(NotStrict::AlgorithmsDiffer);
    }
    for (field, date) in [("notBefore", not_before), ("notAfter", not_after)] {
        if !is_date(*date) {
            return Err(NotStrict::Date(field, date.value().to_vec()));
        }
    }
    if version == 0 && !later.is_empty() { Err(NotStrict::LaterParts) } else { Ok(()) }
}

fn explicit(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

fn implicit(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: false, number: TagNumber(number) }
}

/// Whether it is an UTCTime (seconds optional, as in Go) or a GeneralizedTime in UTC, the only forms that RFC 5280 4.1.2.5 allows, and exists.
/// x509-parser also takes other time zones, fractions of a second, and a GeneralizedTime without seconds.
pub(super) fn is_date(value: AnyRef<'_>) -> bool {
    let digits = value.value().strip_suffix(b"Z").filter(|digits| digits.iter().all(u8::is_ascii_digit));
    let read = value
        .to_der()
        .ok()
        .and_then(|der| Some(<ASN1Time as asn1_rs::FromDer<'_, X509Error>>::from_der(&der).ok()?.1));
    digits.zip(read).is_some_and(|(digits, read)| read.is_utctime() || digits.len() == 14)
}

/// NameConstraints (RFC 5280 4.2.1.10): how many subtrees there are, because x509-parser skips a side that it cannot read.
#[derive(Sequence)]
pub(super) struct NameConstraints<'a> {
    #[asn1(context_specific = "0", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) permitted: Option<Vec<AnyRef<'a>>>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) excluded: Option<Vec<AnyRef<'a>>>,
}

/// RSAPublicKey (RFC 8017 A.1.1).
#[derive(Sequence)]
pub(super) struct RsaPublicKey<'a> {
    pub(crate) modulus: UintRef<'a>,
    pub(crate) exponent: UintRef<'a>,
}

/// RSAPrivateKey (RFC 8017 A.1.2).
#[derive(Sequence)]
pub(super) struct RsaPrivateKey<'a> {
    pub(crate) version: u8,
    pub(crate) modulus: UintRef<'a>,
    pub(crate) exponent: UintRef<'a>,
    pub(crate) private_exponent: UintRef<'a>,
    pub(crate) prime1: UintRef<'a>,
    pub(crate) prime2: UintRef<'a>,
    pub(crate) exponent1: UintRef<'a>,
    pub(crate) exponent2: UintRef<'a>,
    pub(crate) coefficient: UintRef<'a>,
    /// Present exactly in version 1, which Go and OpenSSL's `genrsa` do not make.
    pub(crate) other_primes: Option<AnyRef<'a>>,
}

/// ECPrivateKey (RFC 5915 3). The `sec1` crate reads only keys whose curve has a name; this also reads curves that are spelled out.
#[derive(Sequence)]
pub(super) struct EcPrivateKey<'a> {
    pub(crate) version: u8,
    pub(crate) private_key: &'a OctetStringRef,
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) parameters: Option<AnyRef<'a>>,
    #[asn1(context_specific = "1", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) public_key: Option<BitStringRef<'a>>,
}

/// The dotted form of the contents of an object identifier; `#` and their hex digits where `const-oid` does not read them, because they are
/// malformed or have numbers beyond 32 bits. (x509-parser would name some wrongly, and spend seconds on hostile ones.)
pub(super) fn dotted(contents: &[u8]) -> String {
    let dotted = ObjectIdentifier::from_bytes(contents).map(|oid| oid.to_string());
    // const-oid 0.10 drops the upper bits of some numbers that are too large for it, so what it says is encoded again.
    match dotted.and_then(|dotted| Ok((ObjectIdentifier::new(&dotted)?, dotted))) {
        Ok((oid, dotted)) if oid.as_bytes() == contents => dotted,
        Ok(_) | Err(_) => format!("#{}", hex::encode(contents)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(tag: u8, contents: &[&[u8]]) -> Vec<u8> {
        let contents = contents.concat();
        [&[tag, u8::try_from(contents.len()).unwrap()], contents.as_slice()].concat()
    }

    const VERSION_3: [u8; 5] = [0xa0, 3, 2, 1, 2];
    const SERIAL: [u8; 3] = [2, 1, 7];
    const ALGORITHM: [u8; 5] = [0x30, 3, 6, 1, 0x2a];
    const EMPTY: [u8; 2] = [0x30, 0];
    const EXTENSIONS: [u8; 4] = [0xa3, 2, 0x30, 0];

    fn dates(contents: &[&[u8]]) -> Vec<u8> {
        element(0x30, contents)
    }

    fn date(text: &str) -> Vec<u8> {
        element(0x17, &[text.as_bytes()])
    }

    /// A frame of a certificate with a part of it replaced, and what is said about it.
    fn said(version: &[u8], serial: &[u8], dates: &[u8], later: &[u8], behind: &[u8]) -> String {
        let fields = [version, serial, &ALGORITHM, &EMPTY, dates, &EMPTY, &EMPTY, later];
        let signed = element(0x30, &fields);
        let certificate = element(0x30, &[&signed, &ALGORITHM, &[3, 2, 0, 1], behind]);
        match is_strict(&certificate) {
            Ok(()) => "strict".to_owned(),
            Err(NotStrict::Form(field, _)) => field.to_owned(),
            Err(NotStrict::Date(field, _)) => field.to_owned(),
            Err(NotStrict::AlgorithmsDiffer) => "algorithms".to_owned(),
            Err(NotStrict::LaterParts) => "later parts".to_owned(),
        }
    }

    #[test]
    fn what_x509_parser_passes_over_is_refused() {
        let good = dates(&[&date("260101000000Z"), &date("270101000000Z")]);
        assert_eq!(said(&VERSION_3, &SERIAL, &good, &EXTENSIONS, &[]), "strict");
        assert_eq!(said(&[], &SERIAL, &good, &[], &[]), "strict");
        assert_eq!(said(&[], &SERIAL, &good, &EXTENSIONS, &[]), "later parts");
        assert_eq!(said(&VERSION_3, &SERIAL, &good, &EXTENSIONS, &[5, 0]), "certificate");
        let form = "tbsCertificate";
        // Left over: behind the extensions, in their frame, behind the dates and behind the version.
        assert_eq!(said(&VERSION_3, &SERIAL, &good, &[&EXTENSIONS[..], &[5, 0]].concat(), &[]), form);
        assert_eq!(said(&VERSION_3, &SERIAL, &good, &[0xa3, 4, 0x30, 0, 5, 0], &[]), form);
        let three = dates(&[&date("260101000000Z"), &date("270101000000Z"), &[5, 0]]);
        assert_eq!(said(&VERSION_3, &SERIAL, &three, &EXTENSIONS, &[]), form);
        assert_eq!(said(&[0xa0, 5, 2, 1, 2, 5, 0], &SERIAL, &good, &EXTENSIONS, &[]), form);
        // Longer than they need to be: an integer and a length.
        assert_eq!(said(&VERSION_3, &[2, 2, 0, 7], &good, &EXTENSIONS, &[]), form);
        assert_eq!(said(&VERSION_3, &[2, 0x81, 1, 7], &good, &EXTENSIONS, &[]), form);
        // The number of the tag is right, and its class is not.
        assert_eq!(said(&VERSION_3, &[0x82, 1, 7], &good, &EXTENSIONS, &[]), form);
        assert_eq!(said(&VERSION_3, &SERIAL, &good, &[0x83, 2, 0x30, 0], &[]), form);
        assert_eq!(
            said(&VERSION_3, &SERIAL, &good, &[0x81, 2, 8, 0], &[]),
            form,
            "no byte has eight unused bits"
        );
        for text in ["260230000000Z", "260101000000+0000", "20260101000000Z"] {
            let dates = dates(&[&date("260101000000Z"), &date(text)]);
            assert_eq!(said(&VERSION_3, &SERIAL, &dates, &EXTENSIONS, &[]), "notAfter", "{text}");
        }
    }

    #[test]
    fn both_names_of_the_algorithm_are_the_same_bytes() {
        let dates = dates(&[&date("260101000000Z"), &date("270101000000Z")]);
        let fields: [&[u8]; 6] = [&SERIAL, &ALGORITHM, &EMPTY, &dates, &EMPTY, &EMPTY];
        let longer = [0x30, 5, 6, 1, 0x2a, 5, 0];
        let certificate = element(0x30, &[&element(0x30, &fields), &longer, &[3, 2, 0, 1]]);
        assert!(matches!(is_strict(&certificate), Err(NotStrict::AlgorithmsDiffer)));
    }

    #[test]
    fn object_identifiers_are_dotted_or_else_shown_as_they_are() {
        assert_eq!(dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d]), "1.2.840.113549");
        assert_eq!(dotted(&[0x69, 0x01]), "2.25.1");
        assert_eq!(dotted(&[0x69, 0x90, 0x80, 0x80, 0x80, 0x00]), "#699080808000");
        for bytes in [&[][..], &[0x2a, 0x80], &[0x55, 0x1d, 0x80, 0x13], &[0x88, 0x37], &[0xff; 100]] {
            assert!(dotted(bytes).starts_with('#'), "{}", dotted(bytes));
        }
    }
}
