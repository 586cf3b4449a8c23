//! Certificate extensions: the DER of the extension list goes in, facts come out.
//!
//! What Go's `crypto/x509` (1.19 to 1.25, `parser.go`) would refuse the certificate for is kept as a defect with its reason; nothing here
//! decides whether a certificate is good.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize};

use super::der::{DerError, Element, Reader, tag};
use super::name::escape;

/// Whether the subject may issue certificates, and how deep (RFC 5280 4.2.1.9).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BasicConstraints {
    /// The subject is a certificate authority.
    pub ca: bool,
    /// How many intermediate certificates may follow below; no limit when absent.
    pub path_len: Option<u32>,
}

/// What the key may be used for (RFC 5280 4.2.1.3). Printed and written as in that document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[expect(missing_docs, reason = "the names are those of the standard")]
pub enum KeyUsage {
    DigitalSignature,
    ContentCommitment,
    KeyEncipherment,
    DataEncipherment,
    KeyAgreement,
    KeyCertSign,
    #[serde(rename = "cRLSign")]
    CrlSign,
    EncipherOnly,
    DecipherOnly,
}

impl KeyUsage {
    /// In the order of the bits of the extension.
    pub const ALL: [Self; 9] = [
        Self::DigitalSignature,
        Self::ContentCommitment,
        Self::KeyEncipherment,
        Self::DataEncipherment,
        Self::KeyAgreement,
        Self::KeyCertSign,
        Self::CrlSign,
        Self::EncipherOnly,
        Self::DecipherOnly,
    ];
}

impl fmt::Display for KeyUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DigitalSignature => "digitalSignature",
            Self::ContentCommitment => "contentCommitment",
            Self::KeyEncipherment => "keyEncipherment",
            Self::DataEncipherment => "dataEncipherment",
            Self::KeyAgreement => "keyAgreement",
            Self::KeyCertSign => "keyCertSign",
            Self::CrlSign => "cRLSign",
            Self::EncipherOnly => "encipherOnly",
            Self::DecipherOnly => "decipherOnly",
        })
    }
}

/// What the certificate may be used for (RFC 5280 4.2.1.12).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExtendedKeyUsage {
    /// anyExtendedKeyUsage
    Any,
    /// id-kp-serverAuth
    ServerAuth,
    /// id-kp-clientAuth
    ClientAuth,
    /// id-kp-codeSigning
    CodeSigning,
    /// id-kp-emailProtection
    EmailProtection,
    /// id-kp-timeStamping
    TimeStamping,
    /// id-kp-OCSPSigning
    OcspSigning,
    /// Any other, as a dotted object identifier.
    Other(String),
}

impl ExtendedKeyUsage {
    fn from_oid(oid: String) -> Self {
        match oid.as_str() {
            "2.5.29.37.0" => Self::Any,
            "1.3.6.1.5.5.7.3.1" => Self::ServerAuth,
            "1.3.6.1.5.5.7.3.2" => Self::ClientAuth,
            "1.3.6.1.5.5.7.3.3" => Self::CodeSigning,
            "1.3.6.1.5.5.7.3.4" => Self::EmailProtection,
            "1.3.6.1.5.5.7.3.8" => Self::TimeStamping,
            "1.3.6.1.5.5.7.3.9" => Self::OcspSigning,
            _ => Self::Other(oid),
        }
    }
}

impl fmt::Display for ExtendedKeyUsage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Any => "anyExtendedKeyUsage",
            Self::ServerAuth => "serverAuth",
            Self::ClientAuth => "clientAuth",
            Self::CodeSigning => "codeSigning",
            Self::EmailProtection => "emailProtection",
            Self::TimeStamping => "timeStamping",
            Self::OcspSigning => "OCSPSigning",
            Self::Other(oid) => oid,
        })
    }
}

/// Whom the certificate speaks for besides its subject (RFC 5280 4.2.1.6). Texts are as they stand in the certificate: [`escape`] them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SubjectNames {
    /// DNS names, also wildcards.
    pub dns: BTreeSet<String>,
    /// IP addresses.
    pub ip: BTreeSet<IpAddr>,
    /// Mail addresses.
    pub email: BTreeSet<String>,
    /// URIs.
    pub uri: BTreeSet<String>,
    /// Names of the kinds above that do not hold what they should, in words; Go refuses the whole certificate for each.
    pub invalid: Vec<String>,
}

impl SubjectNames {
    /// Whether there is no name at all, not even an invalid one.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

/// How the certificate points at its issuer's key (RFC 5280 4.2.1.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthorityKeyId {
    /// The issuer's subject key identifier.
    pub key_id: Option<Vec<u8>>,
    /// The issuer's own issuer and serial number are given too, which ties the certificate to one certificate of the authority: it
    /// does not verify under OpenSSL once that is renewed.
    pub issuer_and_serial: bool,
}

/// The names below an authority (RFC 5280 4.2.1.10).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameConstraints {
    /// If a kind of name has an entry here, every such name must match one.
    pub permitted: NameSubtrees,
    /// No name may match one of these.
    pub excluded: NameSubtrees,
}

/// One side of [`NameConstraints`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NameSubtrees {
    /// Domains; a leading dot excludes the domain itself.
    pub dns: BTreeSet<String>,
    /// Networks.
    pub ip: BTreeSet<IpNetwork>,
    /// Mail addresses, hosts, or domains with a leading dot.
    pub email: BTreeSet<String>,
    /// Hosts of URIs, or domains with a leading dot.
    pub uri: BTreeSet<String>,
    /// Number of entries of a kind that Go does not check (directory names and others).
    pub unchecked: usize,
}

/// An IP network, printed as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct IpNetwork {
    /// The address as encoded.
    pub address: IpAddr,
    /// Length of the prefix in bits.
    pub prefix: u8,
}

impl IpNetwork {
    /// Whether the address lies in the network; never across the address families, as in Go.
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address, address) {
            (IpAddr::V4(network), IpAddr::V4(address)) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            (IpAddr::V6(network), IpAddr::V6(address)) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.prefix)).unwrap_or(0);
                network.to_bits() & mask == address.to_bits() & mask
            }
            _ => false,
        }
    }

    fn parse(bytes: &[u8]) -> Option<Self> {
        let (address, mask) = bytes.split_at_checked(bytes.len() / 2)?;
        let ones: u32 = mask.iter().map(|byte| byte.count_ones()).sum();
        let leading = mask.iter().take_while(|byte| **byte == 0xff).count() * 8;
        let partial = mask.get(leading / 8).map_or(0, |byte| byte.leading_ones());
        let contiguous = u32::try_from(leading).ok()? + partial == ones;
        if contiguous { Some(Self { address: ip(address)?, prefix: u8::try_from(ones).ok()? }) } else { None }
    }
}

impl fmt::Display for IpNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Everything the extensions of one certificate say.
#[derive(Debug, Default)]
pub(super) struct Extensions {
    pub(super) basic_constraints: Option<BasicConstraints>,
    pub(super) key_usages: Option<BTreeSet<KeyUsage>>,
    pub(super) extended_key_usages: Option<BTreeSet<ExtendedKeyUsage>>,
    pub(super) names: Option<SubjectNames>,
    pub(super) subject_key_id: Option<Vec<u8>>,
    pub(super) authority_key_id: Option<AuthorityKeyId>,
    pub(super) name_constraints: Option<NameConstraints>,
    pub(super) unknown_critical: Vec<String>,
    pub(super) defects: Vec<String>,
}

impl Extensions {
    /// Reads the SEQUENCE OF Extension. Fails only if the list itself is broken; a broken extension is a defect.
    pub(super) fn parse(list: &Element<'_>) -> Result<Self, DerError> {
        let mut extensions = Self::default();
        let mut seen = BTreeSet::new();
        let mut list = list.reader();
        while !list.is_empty() {
            let mut fields = list.expect(tag::SEQUENCE)?.reader();
            let oid = fields.expect(tag::OID)?.oid()?;
            let critical = fields.optional(tag::BOOLEAN)?.map_or(Ok(false), |flag| flag.boolean())?;
            let value = fields.expect(tag::OCTET_STRING)?.value;
            fields.finish()?;
            if !seen.insert(oid.clone()) {
                extensions.defects.push(format!("extension {oid} stands in it twice"));
                continue;
            }
            match extensions.read(&oid, value) {
                Ok(true) => {}
                Ok(false) if critical => extensions.unknown_critical.push(oid),
                Ok(false) => {}
                Err(source) => extensions.defects.push(format!("extension {oid} is malformed: {source}")),
            }
        }
        Ok(extensions)
    }

    /// Reads one extension; says whether Go takes account of it.
    fn read(&mut self, oid: &str, value: &[u8]) -> Result<bool, DerError> {
        match oid {
            "2.5.29.14" => {
                self.subject_key_id = Some(Element::only(value, tag::OCTET_STRING)?.value.to_vec())
            }
            "2.5.29.15" => self.key_usages = Some(key_usages(value)?),
            "2.5.29.17" => {
                let names = subject_names(value)?;
                let read = !names.is_empty();
                self.names = Some(names);
                return Ok(read);
            }
            "2.5.29.19" => self.basic_constraints = Some(basic_constraints(value)?),
            "2.5.29.30" => {
                let constraints = name_constraints(value, &mut self.defects)?;
                let complete = constraints.permitted.unchecked + constraints.excluded.unchecked == 0;
                self.name_constraints = Some(constraints);
                return Ok(complete);
            }
            "2.5.29.35" => self.authority_key_id = Some(authority_key_id(value)?),
            "2.5.29.37" => self.extended_key_usages = Some(extended_key_usages(value)?),
            // CRL distribution points, certificate policies and authority information: read by Go, no say in what we decide.
            "2.5.29.31" | "2.5.29.32" | "1.3.6.1.5.5.7.1.1" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

fn basic_constraints(value: &[u8]) -> Result<BasicConstraints, DerError> {
    let mut fields = Element::only(value, tag::SEQUENCE)?.reader();
    let ca = fields.optional(tag::BOOLEAN)?.map_or(Ok(false), |flag| flag.boolean())?;
    let path_len = fields.optional(tag::INTEGER)?.map(|length| length.small()).transpose()?;
    fields.finish()?;
    Ok(BasicConstraints { ca, path_len })
}

fn key_usages(value: &[u8]) -> Result<BTreeSet<KeyUsage>, DerError> {
    let (bytes, _) = Element::only(value, tag::BIT_STRING)?.bits()?;
    let set = |index: usize| bytes.get(index / 8).is_some_and(|byte| byte & (0x80 >> (index % 8)) != 0);
    Ok(KeyUsage::ALL
        .into_iter()
        .enumerate()
        .filter(|(index, _)| set(*index))
        .map(|(_, usage)| usage)
        .collect())
}

fn extended_key_usages(value: &[u8]) -> Result<BTreeSet<ExtendedKeyUsage>, DerError> {
    let mut list = Element::only(value, tag::SEQUENCE)?.reader();
    let mut usages = BTreeSet::new();
    while !list.is_empty() {
        usages.insert(ExtendedKeyUsage::from_oid(list.expect(tag::OID)?.oid()?));
    }
    Ok(usages)
}

fn authority_key_id(value: &[u8]) -> Result<AuthorityKeyId, DerError> {
    let mut fields = Element::only(value, tag::SEQUENCE)?.reader();
    let key_id = fields.optional(tag::implicit(0))?.map(|id| id.value.to_vec());
    let issuer = fields.optional(tag::explicit(1))?.is_some();
    let serial = fields.optional(tag::implicit(2))?.is_some();
    Ok(AuthorityKeyId { key_id, issuer_and_serial: issuer && serial })
}

fn subject_names(value: &[u8]) -> Result<SubjectNames, DerError> {
    let mut list = Element::only(value, tag::SEQUENCE)?.reader();
    let mut names = SubjectNames::default();
    while !list.is_empty() {
        let entry = list.any()?;
        match Kind::of(entry.tag) {
            Some(Kind::Ip) => match ip(entry.value) {
                Some(address) => drop(names.ip.insert(address)),
                None => names.invalid.push(format!("an IP address of {} bytes", entry.value.len())),
            },
            Some(kind) => match ascii(entry.value) {
                Some(text) => {
                    let set = match kind {
                        Kind::Dns => &mut names.dns,
                        Kind::Email => &mut names.email,
                        Kind::Uri | Kind::Ip => &mut names.uri,
                    };
                    set.insert(text.to_owned());
                }
                None => {
                    let shown = escape(&String::from_utf8_lossy(entry.value));
                    names.invalid.push(format!("a {} that is not ASCII: {shown}", kind.name()));
                }
            },
            None => {}
        }
    }
    Ok(names)
}

fn name_constraints(value: &[u8], defects: &mut Vec<String>) -> Result<NameConstraints, DerError> {
    let mut fields = Element::only(value, tag::SEQUENCE)?.reader();
    let mut side = |number| match fields.optional(tag::explicit(number))? {
        Some(list) => subtrees(list.reader(), defects),
        None => Ok(NameSubtrees::default()),
    };
    let (permitted, excluded) = (side(0)?, side(1)?);
    fields.finish()?;
    Ok(NameConstraints { permitted, excluded })
}

fn subtrees(mut list: Reader<'_>, defects: &mut Vec<String>) -> Result<NameSubtrees, DerError> {
    let mut subtrees = NameSubtrees::default();
    while !list.is_empty() {
        let base = list.expect(tag::SEQUENCE)?.reader().any()?;
        match Kind::of(base.tag) {
            Some(Kind::Ip) => match IpNetwork::parse(base.value) {
                Some(network) => drop(subtrees.ip.insert(network)),
                None => defects.push("a name constraint on IP addresses is no network".into()),
            },
            Some(kind) => match ascii(base.value) {
                Some(text) => {
                    let set = match kind {
                        Kind::Dns => &mut subtrees.dns,
                        Kind::Email => &mut subtrees.email,
                        Kind::Uri | Kind::Ip => &mut subtrees.uri,
                    };
                    set.insert(text.to_owned());
                }
                None => defects.push(format!("a name constraint on a {} is not ASCII", kind.name())),
            },
            None => subtrees.unchecked += 1,
        }
    }
    Ok(subtrees)
}

/// The kinds of GeneralName that Go reads.
#[derive(Clone, Copy)]
enum Kind {
    Email,
    Dns,
    Uri,
    Ip,
}

impl Kind {
    fn of(element_tag: u8) -> Option<Self> {
        [(1, Self::Email), (2, Self::Dns), (6, Self::Uri), (7, Self::Ip)]
            .into_iter()
            .find(|(number, _)| element_tag == tag::implicit(*number))
            .map(|(_, kind)| kind)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Email => "mail address",
            Self::Dns => "DNS name",
            Self::Uri => "URI",
            Self::Ip => "IP address",
        }
    }
}

fn ascii(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok().filter(|text| text.is_ascii())
}

fn ip(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(|octets| Ipv4Addr::from(octets).into()),
        16 => <[u8; 16]>::try_from(bytes).ok().map(|octets| Ipv6Addr::from(octets).into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_read_only_with_a_contiguous_mask() {
        let shown = |bytes: &[u8]| IpNetwork::parse(bytes).map(|network| network.to_string());
        assert_eq!(shown(&[10, 0, 0, 0, 255, 0, 0, 0]).unwrap(), "10.0.0.0/8");
        assert_eq!(shown(&[10, 0, 0, 0, 255, 240, 0, 0]).unwrap(), "10.0.0.0/12");
        assert_eq!(shown(&[0; 8]).unwrap(), "0.0.0.0/0");
        assert_eq!(
            shown(&[[0xfd; 16], [0xff; 16]].concat()).unwrap(),
            "fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd:fdfd/128"
        );
        for bytes in
            [&[10, 0, 0, 0, 255, 0, 255, 0][..], &[10, 0, 0, 0, 0, 255, 0, 0], &[10, 0, 0, 0], &[0; 7], &[]]
        {
            assert_eq!(shown(bytes), None, "{bytes:?}");
        }
    }

    #[test]
    fn a_network_contains_its_addresses_and_none_of_the_other_family() {
        let network = IpNetwork { address: [10, 1, 0, 0].into(), prefix: 16 };
        assert!(network.contains([10, 1, 255, 255].into()));
        assert!(!network.contains([10, 2, 0, 0].into()));
        assert!(!network.contains("::ffff:10.1.0.1".parse().unwrap()));
        let all = IpNetwork { address: [0, 0, 0, 0].into(), prefix: 0 };
        assert!(all.contains([255, 255, 255, 255].into()) && !all.contains("::".parse().unwrap()));
    }
}
