//! Certificate extensions: the DER of the extension list goes in, facts come out.
//!
//! What Go's `crypto/x509` (1.19 to 1.25, `parser.go`) would refuse the certificate for is kept as a defect with its reason; nothing here
//! decides whether a certificate is good.

use std::collections::BTreeSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use der::Decode as _;
use fluent_uri::UriRef;
use serde::{Deserialize, Serialize};
use x509_parser::asn1_rs::FromDer;
use x509_parser::error::X509Error;
use x509_parser::extensions::{self as parsed, GeneralName, GeneralSubtree, X509Extension};

use super::asn1::{self, dotted};
use super::name::escape;
use crate::types::certificate::Usage;

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

impl From<Usage> for ExtendedKeyUsage {
    fn from(usage: Usage) -> Self {
        match usage {
            Usage::Server => Self::ServerAuth,
            Usage::Client => Self::ClientAuth,
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
    /// A broken extension is a defect.
    pub(super) fn new(list: &[X509Extension<'_>]) -> Self {
        let mut extensions = Self::default();
        let mut seen = BTreeSet::new();
        for extension in list {
            let (oid, critical) = (dotted(extension.oid.as_bytes()), extension.critical);
            if !seen.insert(oid.clone()) {
                extensions.defects.push(format!("extension {oid} stands in it twice"));
                continue;
            }
            if critical && NEVER_CRITICAL.contains(&oid.as_str()) {
                extensions
                    .defects
                    .push(format!("extension {oid} is critical, which Go 1.23 and later refuse"));
            }
            match extensions.read(&oid, extension.value) {
                Ok(true) => {}
                Ok(false) if critical => extensions.unknown_critical.push(oid),
                Ok(false) => {}
                Err(Malformed(reason)) => {
                    extensions.defects.push(format!("extension {oid} is malformed: {reason}"));
                }
            }
        }
        extensions
    }

    /// Reads one extension; says whether Go takes account of it.
    fn read(&mut self, oid: &str, value: &[u8]) -> Result<bool, Malformed> {
        match oid {
            SUBJECT_KEY_ID => {
                self.subject_key_id = Some(whole::<parsed::KeyIdentifier<'_>>(value)?.0.to_vec())
            }
            "2.5.29.15" => {
                let flags = whole::<parsed::KeyUsage>(value)?.flags;
                let usages = KeyUsage::ALL.into_iter().enumerate();
                self.key_usages =
                    Some(usages.filter(|(bit, _)| flags >> bit & 1 == 1).map(|(_, usage)| usage).collect());
            }
            "2.5.29.17" => {
                let names = subject_names(&whole(value)?);
                let read = !names.is_empty();
                self.names = Some(names);
                return Ok(read);
            }
            "2.5.29.19" => {
                let parsed::BasicConstraints { ca, path_len_constraint } = whole(value)?;
                self.basic_constraints = Some(BasicConstraints { ca, path_len: path_len_constraint });
            }
            "2.5.29.30" => {
                let constraints = name_constraints(value, &mut self.defects)?;
                let complete = constraints.permitted.unchecked + constraints.excluded.unchecked == 0;
                self.name_constraints = Some(constraints);
                return Ok(complete);
            }
            AUTHORITY_KEY_ID => {
                let id: parsed::AuthorityKeyIdentifier<'_> = whole(value)?;
                self.authority_key_id = Some(AuthorityKeyId {
                    key_id: id.key_identifier.map(|id| id.0.to_vec()),
                    issuer_and_serial: id.authority_cert_issuer.is_some()
                        && id.authority_cert_serial.is_some(),
                });
            }
            "2.5.29.37" => self.extended_key_usages = Some(extended_key_usages(&whole(value)?)),
            // CRL distribution points, certificate policies and authority information: read by Go, no say in what we decide.
            "2.5.29.31" | "2.5.29.32" | AUTHORITY_INFORMATION => {}
            _ => return Ok(false),
        }
        Ok(true)
    }
}

const SUBJECT_KEY_ID: &str = "2.5.29.14";
const AUTHORITY_KEY_ID: &str = "2.5.29.35";
const AUTHORITY_INFORMATION: &str = "1.3.6.1.5.5.7.1.1";

/// RFC 5280 forbids to mark these as critical, and Go's `parser.go` refuses them so since 1.23.
const NEVER_CRITICAL: [&str; 3] = [SUBJECT_KEY_ID, AUTHORITY_KEY_ID, AUTHORITY_INFORMATION];

/// Why an extension cannot be read.
struct Malformed(String);

/// The one value that `bytes` consist of.
fn whole<'a, T: FromDer<'a, X509Error>>(bytes: &'a [u8]) -> Result<T, Malformed> {
    match T::from_der(bytes) {
        Ok(([], value)) => Ok(value),
        Ok(_) => Err(Malformed("bytes are left over at its end".into())),
        Err(source) => Err(Malformed(X509Error::from(source).to_string())),
    }
}

fn extended_key_usages(list: &parsed::ExtendedKeyUsage<'_>) -> BTreeSet<ExtendedKeyUsage> {
    let known = [
        (list.any, ExtendedKeyUsage::Any),
        (list.server_auth, ExtendedKeyUsage::ServerAuth),
        (list.client_auth, ExtendedKeyUsage::ClientAuth),
        (list.code_signing, ExtendedKeyUsage::CodeSigning),
        (list.email_protection, ExtendedKeyUsage::EmailProtection),
        (list.time_stamping, ExtendedKeyUsage::TimeStamping),
        (list.ocsp_signing, ExtendedKeyUsage::OcspSigning),
    ];
    let known = known.into_iter().filter(|(present, _)| *present).map(|(_, usage)| usage);
    known.chain(list.other.iter().map(|oid| ExtendedKeyUsage::Other(dotted(oid.as_bytes())))).collect()
}

fn subject_names(list: &parsed::SubjectAlternativeName<'_>) -> SubjectNames {
    let mut names = SubjectNames::default();
    for name in &list.general_names {
        match Kind::of(name) {
            Some((Kind::Ip, bytes)) => match ip(bytes) {
                Some(address) => drop(names.ip.insert(address)),
                None => names.invalid.push(format!("an IP address of {} bytes", bytes.len())),
            },
            Some((kind, bytes)) => match ascii(bytes) {
                Some(text) if kind == Kind::Uri && !uri(text) => {
                    names.invalid.push(format!("a URI that cannot be parsed: {}", escape(text)));
                }
                Some(text) => {
                    let set = match kind {
                        Kind::Dns => &mut names.dns,
                        Kind::Email => &mut names.email,
                        Kind::Uri | Kind::Ip => &mut names.uri,
                    };
                    set.insert(text.to_owned());
                }
                None => {
                    let shown = escape(&String::from_utf8_lossy(bytes));
                    names.invalid.push(format!("a {} that is not ASCII: {shown}", kind.name()));
                }
            },
            None => {}
        }
    }
    names
}

/// Whether Go's `url.Parse` takes it, and its host is a domain as Go's `parseSANExtension` wants it.
fn uri(text: &str) -> bool {
    uri_host(text).is_some_and(|host| host.is_empty() || host.split('.').all(|label| !label.is_empty()))
}

/// The host of a URI, empty if it has none; nothing if it is no URI.
///
/// Go's `url.Parse` also takes characters in paths and queries that RFC 3986 forbids there, so these are not held against it.
pub(super) fn uri_host(text: &str) -> Option<String> {
    let forbidden = |character| " \"<>\\^`{|}".contains(character);
    let tolerated = text.replace(forbidden, "_");
    let uri = UriRef::parse(tolerated.as_str()).ok()?;
    Some(uri.authority().map(|authority| authority.host().to_owned()).unwrap_or_default())
}

fn name_constraints(value: &[u8], defects: &mut Vec<String>) -> Result<NameConstraints, Malformed> {
    let counted = asn1::NameConstraints::from_der(value).map_err(|source| Malformed(source.to_string()))?;
    let read: parsed::NameConstraints<'_> = whole(value)?;
    let mut side = |counted: Option<Vec<_>>, read: Option<Vec<GeneralSubtree<'_>>>| {
        if counted.map(|list| list.len()) == read.as_ref().map(Vec::len) {
            Ok(subtrees(&read.unwrap_or_default(), defects))
        } else {
            Err(Malformed("a name constraint cannot be read".into()))
        }
    };
    Ok(NameConstraints {
        permitted: side(counted.permitted, read.permitted_subtrees)?,
        excluded: side(counted.excluded, read.excluded_subtrees)?,
    })
}

fn subtrees(list: &[GeneralSubtree<'_>], defects: &mut Vec<String>) -> NameSubtrees {
    let mut subtrees = NameSubtrees::default();
    for GeneralSubtree { base } in list {
        match Kind::of(base) {
            Some((Kind::Ip, bytes)) => match IpNetwork::parse(bytes) {
                Some(network) => drop(subtrees.ip.insert(network)),
                None => defects.push("a name constraint on IP addresses is no network".into()),
            },
            Some((kind, bytes)) => match ascii(bytes) {
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
    subtrees
}

/// The kinds of GeneralName that Go reads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Email,
    Dns,
    Uri,
    Ip,
}

impl Kind {
    /// The kind and the contents of a name, also of one that is not even UTF-8.
    fn of<'a>(name: &GeneralName<'a>) -> Option<(Self, &'a [u8])> {
        match *name {
            GeneralName::RFC822Name(text) => Some((Self::Email, text.as_bytes())),
            GeneralName::DNSName(text) => Some((Self::Dns, text.as_bytes())),
            GeneralName::URI(text) => Some((Self::Uri, text.as_bytes())),
            GeneralName::IPAddress(bytes) => Some((Self::Ip, bytes)),
            GeneralName::Invalid(tag, bytes) => [(1, Self::Email), (2, Self::Dns), (6, Self::Uri)]
                .into_iter()
                .find(|(number, _)| *number == tag.0)
                .map(|(_, kind)| (kind, bytes)),
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::RegisteredID(_) => None,
        }
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
