//! Single values of a spec that have a form of their own: file modes, ports, Kubernetes versions.
//!
//! What enters is text; what leaves is a checked value that prints as it was meant. No value here depends on another one.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::diagnostic::{Code, Refusal, quoted, shown};

/// Why a value of a spec is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScalarError {
    /// Not three or four octal digits, or a mode that gives others more than reading.
    #[error("`{0}` is not a file mode; write three or four octal digits in quotes, such as \"0600\"")]
    Mode(String),
    /// Not `vMAJOR.MINOR[.PATCH]`.
    #[error("`{0}` is not a Kubernetes version; write it like v1.31.2")]
    Version(String),
    /// Not the path of a URL.
    #[error(
        "`{0}` is not the path of a URL; write it as it is asked for, such as /healthz, up to {MAX_URL_PATH} characters"
    )]
    UrlPath(String),
    /// Port 0.
    #[error("0 is not a port; write a number from 1 to 65535")]
    Port,
}

/// The permission bits of a file, such as `0600`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileMode(u32);

impl FileMode {
    /// Readable and writable by the owner alone: private keys and kubeconfigs.
    pub const PRIVATE: FileMode = FileMode(0o600);
    /// Entered by everyone, written by the owner: directories.
    pub const DIRECTORY: FileMode = FileMode(0o755);
    /// Readable by everyone: certificates.
    pub const PUBLIC: FileMode = FileMode(0o644);

    /// Everything that a file grants may stay granted.
    pub const ALL: FileMode = FileMode(0o777);

    /// The mode with these bits; none where there are others than those for reading, writing and running.
    pub const fn new(bits: u32) -> Option<Self> {
        if bits <= Self::ALL.0 { Some(Self(bits)) } else { None }
    }

    /// The bits.
    pub const fn bits(self) -> u32 {
        self.0
    }
}

impl FromStr for FileMode {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let error = || ScalarError::Mode(shown(text));
        if !(3..=4).contains(&text.len()) || !text.bytes().all(|b| (b'0'..=b'7').contains(&b)) {
            return Err(error());
        }
        u32::from_str_radix(text, 8).ok().filter(|bits| *bits <= 0o777).map(FileMode).ok_or_else(error)
    }
}

impl fmt::Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl fmt::Debug for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for FileMode {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| de::Error::custom(Refusal::of(Code::InvalidMode, &error)))
    }
}

impl JsonSchema for FileMode {
    fn schema_name() -> Cow<'static, str> {
        "FileMode".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^0?[0-7]{3}$",
            "description": "Permission bits in octal, quoted, such as \"0600\"."
        })
    }
}

/// Longest path of a URL.
pub const MAX_URL_PATH: usize = 256;

/// The path of a URL, with a query or without, as it is asked for: `/readyz?exclude=etcd`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct UrlPath(String);

impl UrlPath {
    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for UrlPath {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        // Whatever an HTTP request line takes; a fragment is never sent.
        let is_sent = |one: char| one.is_ascii_graphic() && !r##""#<>\^`{|}"##.contains(one);
        let is_path = text.starts_with('/') && text.len() <= MAX_URL_PATH && text.chars().all(is_sent);
        if is_path { Ok(Self(text.to_owned())) } else { Err(ScalarError::UrlPath(shown(text))) }
    }
}

impl<'de> Deserialize<'de> for UrlPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| de::Error::custom(Refusal::of(Code::InvalidPath, &error)))
    }
}

impl JsonSchema for UrlPath {
    fn schema_name() -> Cow<'static, str> {
        "UrlPath".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": r"^/[!$-;=?-\[\]_a-z~]*$", "maxLength": MAX_URL_PATH })
    }
}

/// A TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Port(u16);

impl Port {
    /// The port of this number; none for 0.
    pub const fn new(number: u16) -> Option<Self> {
        if number == 0 { None } else { Some(Self(number)) }
    }

    /// The number.
    pub const fn number(self) -> u16 {
        self.0
    }
}

impl<'de> Deserialize<'de> for Port {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match u16::deserialize(deserializer)? {
            0 => Err(de::Error::custom(Refusal::of(Code::OutOfRange, &ScalarError::Port))),
            number => Ok(Port(number)),
        }
    }
}

impl JsonSchema for Port {
    fn schema_name() -> Cow<'static, str> {
        "Port".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": 65535 })
    }
}

/// A Kubernetes version. Pre-release and build parts are read and ignored: no rule depends on them.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct KubernetesVersion {
    /// The first number.
    pub major: u32,
    /// The second number.
    pub minor: u32,
    /// The third number, 0 when absent.
    pub patch: u32,
}

impl FromStr for KubernetesVersion {
    type Err = ScalarError;

    fn from_str(text: &str) -> Result<Self, ScalarError> {
        let error = || ScalarError::Version(shown(text));
        let bare = text.strip_prefix('v').unwrap_or(text);
        let numbers = bare.split(['-', '+']).next().unwrap_or(bare);
        let mut parts = numbers.split('.').map(|part| part.parse::<u32>());
        let mut next = || parts.next().transpose();
        let (Ok(Some(major)), Ok(Some(minor)), Ok(patch)) = (next(), next(), next()) else {
            return Err(error());
        };
        if parts.next().is_some() {
            return Err(error());
        }
        Ok(Self { major, minor, patch: patch.unwrap_or(0) })
    }
}

impl fmt::Display for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

impl fmt::Debug for KubernetesVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for KubernetesVersion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KubernetesVersion {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|error| de::Error::custom(Refusal::of(Code::InvalidVersion, &error)))
    }
}

impl JsonSchema for KubernetesVersion {
    fn schema_name() -> Cow<'static, str> {
        "KubernetesVersion".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^v?[0-9]+\\.[0-9]+(\\.[0-9]+)?([-+].*)?$" })
    }
}

/// Reads an optional instant, for `#[serde(deserialize_with)]`: jiff's own errors speak of parsing, not of a way out.
///
/// # Errors
/// Anything but RFC 3339 with an offset.
pub fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let Some(text) = Option::<String>::deserialize(deserializer)? else { return Ok(None) };
    text.parse().map(Some).map_err(|_| {
        let refusal = Refusal::new(Code::InvalidTime, format!("{} is not an instant", quoted(&text)));
        de::Error::custom(
            refusal.help("write date, time and offset in quotes, such as \"2026-11-21T00:00:00Z\""),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_octal() {
        assert_eq!("0640".parse::<FileMode>().unwrap().bits(), 0o640);
        assert_eq!("640".parse::<FileMode>().unwrap().to_string(), "0640");
        for bad in ["", "64", "0680", "06400", "1777", "rw-r--"] {
            assert!(bad.parse::<FileMode>().is_err(), "{bad:?} was accepted");
        }
    }

    #[test]
    fn versions_compare_by_number() {
        let version = |text: &str| text.parse::<KubernetesVersion>().unwrap();
        assert!(version("v1.9.0") < version("1.29"));
        assert_eq!(version("v1.31.2-rc.1+k3s1"), version("v1.31.2"));
        for bad in ["", "v1", "1.x", "1.2.3.4"] {
            assert!(bad.parse::<KubernetesVersion>().is_err(), "{bad:?} was accepted");
        }
    }
}
