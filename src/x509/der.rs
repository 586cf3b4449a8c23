//! DER elements one after another: bytes go in, tagged slices of the same bytes come out.
//!
//! Strict as Go's `cryptobyte`: definite lengths in their shortest form, tag numbers below 31, nothing left over where the caller
//! says so. Borrows only; it never recurses, never allocates for what the input claims, and never panics. The `der` crate is not
//! used for this because it refuses UniversalString, which real certificate names contain. [`encode`] writes one element.

/// Tags of the elements that certificates and keys are made of.
pub(super) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const NULL: u8 = 0x05;
    pub(crate) const OID: u8 = 0x06;
    pub(crate) const UTF8_STRING: u8 = 0x0c;
    pub(crate) const NUMERIC_STRING: u8 = 0x12;
    pub(crate) const PRINTABLE_STRING: u8 = 0x13;
    pub(crate) const T61_STRING: u8 = 0x14;
    pub(crate) const IA5_STRING: u8 = 0x16;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const VISIBLE_STRING: u8 = 0x1a;
    pub(crate) const UNIVERSAL_STRING: u8 = 0x1c;
    pub(crate) const BMP_STRING: u8 = 0x1e;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;

    /// Context-specific, primitive: `[number]` with implicit tagging of a primitive type.
    pub(crate) const fn implicit(number: u8) -> u8 {
        0x80 | number
    }

    /// Context-specific, constructed: `[number]` with explicit tagging, or implicit tagging of a constructed type.
    pub(crate) const fn explicit(number: u8) -> u8 {
        0xa0 | number
    }
}

/// Why bytes are not the DER that was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum DerError {
    #[error("it ends too early")]
    Truncated,
    #[error("a length is not in its shortest form, or is indefinite")]
    Length,
    #[error("a tag number of 31 or more")]
    HighTag,
    #[error("an element of type 0x{found:02x} where 0x{wanted:02x} belongs")]
    Tag { wanted: u8, found: u8 },
    #[error("bytes are left over at its end")]
    LeftOver,
    #[error("an integer is not in its shortest form, or is too large")]
    Integer,
    #[error("a boolean is neither 0x00 nor 0xff")]
    Boolean,
    #[error("a bit string has an impossible number of unused bits")]
    BitString,
    #[error("an object identifier is malformed")]
    Oid,
}

/// One element: its tag, its contents and all its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) value: &'a [u8],
    pub(super) raw: &'a [u8],
}

/// Reads elements from the front of a slice.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next element, whatever it is.
    pub(super) fn any(&mut self) -> Result<Element<'a>, DerError> {
        let (&tag, after_tag) = self.rest.split_first().ok_or(DerError::Truncated)?;
        if tag & 0x1f == 0x1f {
            return Err(DerError::HighTag);
        }
        let (length, contents) = length(after_tag)?;
        let (value, rest) = contents.split_at_checked(length).ok_or(DerError::Truncated)?;
        let raw = self.rest.get(..self.rest.len() - rest.len()).ok_or(DerError::Truncated)?;
        self.rest = rest;
        Ok(Element { tag, value, raw })
    }

    /// The next element, which must have this tag.
    pub(super) fn expect(&mut self, wanted: u8) -> Result<Element<'a>, DerError> {
        let element = self.any()?;
        if element.tag == wanted { Ok(element) } else { Err(DerError::Tag { wanted, found: element.tag }) }
    }

    /// The next element if it has this tag; else nothing is read.
    pub(super) fn optional(&mut self, wanted: u8) -> Result<Option<Element<'a>>, DerError> {
        if self.rest.first() == Some(&wanted) { self.any().map(Some) } else { Ok(None) }
    }

    /// Nothing may be left.
    pub(super) fn finish(&self) -> Result<(), DerError> {
        if self.rest.is_empty() { Ok(()) } else { Err(DerError::LeftOver) }
    }
}

impl<'a> Element<'a> {
    /// The one element that `bytes` consist of.
    pub(super) fn only(bytes: &'a [u8], wanted: u8) -> Result<Self, DerError> {
        let mut reader = Reader::new(bytes);
        let element = reader.expect(wanted)?;
        reader.finish()?;
        Ok(element)
    }

    pub(super) fn reader(&self) -> Reader<'a> {
        Reader::new(self.value)
    }

    /// The two's complement bytes of an INTEGER, which DER wants in their shortest form.
    pub(super) fn integer(&self) -> Result<&'a [u8], DerError> {
        match self.value {
            [] => Err(DerError::Integer),
            [0x00, next, ..] if next & 0x80 == 0 => Err(DerError::Integer),
            [0xff, next, ..] if next & 0x80 != 0 => Err(DerError::Integer),
            bytes => Ok(bytes),
        }
    }

    /// A non-negative INTEGER without its sign byte; zero is one zero byte.
    pub(super) fn unsigned(&self) -> Result<&'a [u8], DerError> {
        match self.integer()? {
            [0x00, magnitude @ ..] if !magnitude.is_empty() => Ok(magnitude),
            [first, ..] if first & 0x80 != 0 => Err(DerError::Integer),
            bytes => Ok(bytes),
        }
    }

    /// A small non-negative INTEGER.
    pub(super) fn small(&self) -> Result<u32, DerError> {
        let bytes = self.unsigned()?;
        if bytes.len() > 4 {
            return Err(DerError::Integer);
        }
        Ok(bytes.iter().fold(0, |number, byte| number << 8 | u32::from(*byte)))
    }

    pub(super) fn boolean(&self) -> Result<bool, DerError> {
        match self.value {
            [0x00] => Ok(false),
            [0xff] => Ok(true),
            _ => Err(DerError::Boolean),
        }
    }

    /// The bytes of a BIT STRING and the number of unused bits in the last one, which must be zero bits.
    pub(super) fn bits(&self) -> Result<(&'a [u8], u8), DerError> {
        let (&unused, bytes) = self.value.split_first().ok_or(DerError::BitString)?;
        match bytes.last() {
            _ if unused > 7 => Err(DerError::BitString),
            None if unused != 0 => Err(DerError::BitString),
            Some(last) if last & ((1_u8 << unused) - 1) != 0 => Err(DerError::BitString),
            _ => Ok((bytes, unused)),
        }
    }

    /// A BIT STRING that holds whole bytes, as keys and signatures do.
    pub(super) fn bit_bytes(&self) -> Result<&'a [u8], DerError> {
        match self.bits()? {
            (bytes, 0) => Ok(bytes),
            _ => Err(DerError::BitString),
        }
    }

    /// An OBJECT IDENTIFIER in dotted form.
    pub(super) fn oid(&self) -> Result<String, DerError> {
        dotted(self.value)
    }
}

/// The dotted form of the contents of an OBJECT IDENTIFIER.
fn dotted(contents: &[u8]) -> Result<String, DerError> {
    let mut text = String::new();
    let mut arc: u64 = 0;
    let mut inside = false;
    for &byte in contents {
        if !inside && byte == 0x80 || arc > u64::MAX >> 7 {
            return Err(DerError::Oid);
        }
        arc = arc << 7 | u64::from(byte & 0x7f);
        inside = byte & 0x80 != 0;
        if inside {
            continue;
        }
        if text.is_empty() {
            let root = (arc / 40).min(2);
            text = format!("{root}.{}", arc - root * 40);
        } else {
            text.push('.');
            text.push_str(&arc.to_string());
        }
        arc = 0;
    }
    if inside || text.is_empty() { Err(DerError::Oid) } else { Ok(text) }
}

/// The length octets at the front, and what follows them.
fn length(bytes: &[u8]) -> Result<(usize, &[u8]), DerError> {
    let (&first, rest) = bytes.split_first().ok_or(DerError::Truncated)?;
    if first < 0x80 {
        return Ok((usize::from(first), rest));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 4 {
        return Err(DerError::Length);
    }
    let (octets, rest) = rest.split_at_checked(count).ok_or(DerError::Truncated)?;
    let length = octets.iter().fold(0_usize, |length, octet| length << 8 | usize::from(*octet));
    let shortest = octets.first() != Some(&0) && length >= 0x80;
    if shortest { Ok((length, rest)) } else { Err(DerError::Length) }
}

/// One element with this tag around the parts, one after another.
pub(super) fn encode(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length = parts.iter().map(|part| part.len()).sum::<usize>();
    let mut out = Vec::with_capacity(length + 10);
    out.push(tag);
    if let Ok(short @ 0..0x80) = u8::try_from(length) {
        out.push(short);
    } else {
        let octets = length.to_be_bytes();
        let significant: Vec<u8> = octets.iter().copied().skip_while(|octet| *octet == 0).collect();
        out.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
        out.extend_from_slice(&significant);
    }
    for part in parts {
        out.extend_from_slice(part);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_element_is_read_with_its_bytes_and_what_follows_stays() {
        let mut reader = Reader::new(&[0x02, 0x01, 0x05, 0x05, 0x00]);
        let element = reader.expect(tag::INTEGER).unwrap();
        assert_eq!((element.value, element.raw), (&[5][..], &[0x02, 0x01, 0x05][..]));
        assert_eq!(reader.finish(), Err(DerError::LeftOver));
        assert_eq!(reader.optional(tag::INTEGER), Ok(None));
        reader.expect(tag::NULL).unwrap();
        assert_eq!(reader.finish(), Ok(()));
    }

    #[test]
    fn lengths_that_are_not_der_are_refused() {
        for bytes in [
            &[0x04, 0x80, 0, 0][..],
            &[0x04, 0x81, 0x01, 0],
            &[0x04, 0x82, 0x00, 0x80],
            &[0x04, 0x85, 1, 1, 1, 1, 1],
        ] {
            assert_eq!(Reader::new(bytes).any(), Err(DerError::Length), "{bytes:x?}");
        }
        for bytes in [
            &[][..],
            &[0x04],
            &[0x04, 0x02, 0x00],
            &[0x04, 0x84, 0xff, 0xff, 0xff, 0xff],
            &[0x04, 0x82, 0x01],
        ] {
            assert_eq!(Reader::new(bytes).any(), Err(DerError::Truncated), "{bytes:x?}");
        }
        assert_eq!(Reader::new(&[0x1f, 0x20, 0x00]).any(), Err(DerError::HighTag));
    }

    #[test]
    fn object_identifiers_are_dotted() {
        assert_eq!(
            dotted(&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x0b]).unwrap(),
            "1.2.840.113549.1.1.11"
        );
        assert_eq!(dotted(&[0x88, 0x37]).unwrap(), "2.999");
        for bytes in [&[][..], &[0x2a, 0x80], &[0x2a, 0x80, 0x01], &[0xff; 12]] {
            assert_eq!(dotted(bytes), Err(DerError::Oid), "{bytes:x?}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for length in [0, 1, 127, 128, 255, 256, 65_535, 65_536] {
            let contents = vec![7; length];
            let bytes = encode(tag::OCTET_STRING, &[&contents]);
            assert_eq!(Element::only(&bytes, tag::OCTET_STRING).unwrap().value, contents);
        }
    }
}
