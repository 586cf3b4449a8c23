//! ASN.1 types that the libraries lack, or read less strictly than Go: bytes go in, borrowed fields come out.
//!
//! Declarations only; the `der` crate does the reading and writing. It refuses what is not DER: lengths or integers not in their shortest
//! form, and anything left over. Secret fields are borrowed, never copied.

use const_oid::ObjectIdentifier;
use der::Sequence;
use der::asn1::{AnyRef, BitStringRef, IntRef, OctetStringRef, UintRef};

/// Certificate (RFC 5280 4.1) and CertificationRequest (RFC 2986 4.2), which are the same: the frame, which x509-parser reads without noticing what is left over.
#[derive(Sequence)]
pub(super) struct Certificate<'a> {
    pub(crate) signed: AnyRef<'a>,
    pub(crate) algorithm: AnyRef<'a>,
    pub(crate) signature: BitStringRef<'a>,
}

/// TBSCertificate (RFC 5280 4.1).
#[derive(Sequence)]
pub(super) struct Signed<'a> {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) version: Option<u32>,
    pub(crate) serial: IntRef<'a>,
    pub(crate) algorithm: AnyRef<'a>,
    pub(crate) issuer: AnyRef<'a>,
    pub(crate) validity: Validity<'a>,
    pub(crate) subject: AnyRef<'a>,
    pub(crate) key: AnyRef<'a>,
    #[asn1(context_specific = "1", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) issuer_id: Option<BitStringRef<'a>>,
    #[asn1(context_specific = "2", tag_mode = "IMPLICIT", optional = "true")]
    pub(crate) subject_id: Option<BitStringRef<'a>>,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT", optional = "true")]
    pub(crate) extensions: Option<Vec<AnyRef<'a>>>,
}

/// Validity (RFC 5280 4.1), with dates of any form.
#[derive(Sequence)]
pub(super) struct Validity<'a> {
    pub(crate) not_before: AnyRef<'a>,
    pub(crate) not_after: AnyRef<'a>,
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
