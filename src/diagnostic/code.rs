//! The table of codes: each kind of problem has one number that never changes its meaning.
//!
//! `PKI1xxx` are problems of the spec, `PKI2xxx` findings about certificates, `PKI3xxx` problems of working on nodes.
//! A number is never used again for something else. The long texts are in `src/explain.md`, one section for each code.

use std::fmt;
use std::str::FromStr;

use super::Severity;

macro_rules! codes {
    ($($variant:ident = $number:literal, $severity:ident, $title:literal;)*) => {
        /// What kind of problem it is; the number is stable.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code {
            $(#[doc = $title] $variant,)*
        }

        impl Code {
            /// Every code, by number.
            pub const ALL: &'static [Code] = &[$(Code::$variant),*];

            /// The number, for example 1020 of `PKI1020`.
            pub fn number(self) -> u16 {
                match self { $(Code::$variant => $number,)* }
            }

            /// What kind of problem it is, in a few words.
            pub fn title(self) -> &'static str {
                match self { $(Code::$variant => $title,)* }
            }

            /// Whether a problem of this kind stops the work.
            pub fn severity(self) -> Severity {
                match self { $(Code::$variant => Severity::$severity,)* }
            }
        }
    };
}

codes! {
    NotYaml = 1001, Error, "The text is not YAML";
    DuplicateKey = 1002, Error, "The same key twice in one mapping";
    TooLarge = 1003, Error, "Larger or deeper than any spec";
    UnsupportedYaml = 1004, Error, "A YAML feature that a spec may not use";
    NotText = 1005, Error, "The file is not UTF-8 text";
    AmbiguousScalar = 1006, Warning, "An unquoted word that other YAML readers take for something else";
    TooManyProblems = 1007, Error, "More problems than are shown";
    NoCluster = 1008, Error, "No cluster is declared";
    Unreadable = 1009, Error, "A file that cannot be read";

    ForeignDocument = 1010, Error, "A document that is not a ClusterPKI";
    UnknownVersion = 1011, Error, "A version of the format that this pki does not read";
    DuplicateCluster = 1012, Error, "Two documents declare the same cluster";

    UnknownField = 1020, Error, "A field that does not exist";
    MissingField = 1021, Error, "A required field is missing";
    WrongType = 1022, Error, "A value of the wrong type";
    QuotesNeeded = 1023, Error, "A value that must be quoted";
    InvalidValue = 1024, Error, "A value that cannot be right";
    UnknownWord = 1025, Error, "A word that is not one of the possible ones";
    NotExactlyOne = 1026, Error, "Exactly one of several fields is wanted";
    DuplicateItem = 1027, Error, "The same item twice in one list";

    InvalidName = 1030, Error, "A name that is not possible";
    InvalidDuration = 1031, Error, "A length of time that cannot be understood";
    InvalidMode = 1032, Error, "Permission bits that cannot be understood";
    InvalidVersion = 1033, Error, "Not a Kubernetes version";
    InvalidTime = 1034, Error, "An instant that cannot be understood";
    InvalidDnsName = 1035, Error, "Not a DNS name";
    InvalidIpAddress = 1036, Error, "Not an IP address or subnet";
    InvalidHost = 1037, Error, "An address, endpoint or login that is not possible";
    InvalidPath = 1038, Error, "A path that is not possible";
    InvalidFingerprint = 1039, Error, "Not a SHA-256 fingerprint";
    InvalidOwner = 1040, Error, "An owner that is not possible";
    OutOfRange = 1041, Error, "A number outside its range";
    InvalidRestart = 1042, Error, "A restart that cannot be run";
    InvalidSubject = 1043, Error, "A subject that cannot be issued";
    UnknownPlaceholder = 1044, Error, "A placeholder that does not exist";
    ControlCharacter = 1045, Error, "A text with invisible characters";
    LookAlike = 1046, Error, "A name that looks like a privileged one";

    RenewBeforeTooLong = 1050, Error, "Renewal would be due at once";
    LeafOutlivesAuthority = 1051, Error, "A certificate longer than its authority";
    SharedRoot = 1052, Error, "Two nodes on one machine or directory";
    HalfSource = 1053, Error, "Half a root CA";
    SharedFile = 1054, Error, "Two things in one file";
    CutOffInFuture = 1055, Error, "A cut-off in the future";
    UnknownReference = 1056, Error, "A name that nothing declares";
    IncompleteAddition = 1057, Error, "An addition to the profile that is not complete";
    LinkLoop = 1058, Error, "A link that leads back to itself";
    NoNodes = 1059, Error, "Nobody to work on";
    Contradiction = 1060, Error, "Two fields that exclude each other";
    MigrationWithoutLink = 1061, Error, "A directory to move, and no link to take its place";
    SharedDiffers = 1064, Error, "A shared certificate that cannot be the same on all nodes";

    RootUnreadable = 1070, Error, "A root CA's certificate that is not there or no file";
    RootDenied = 1071, Warning, "A root CA's certificate that this user may not read";
    RootNotCertificate = 1072, Error, "Not exactly one certificate in a root CA's file";
    RootHoldsKey = 1073, Error, "A private key in the file of a root CA's certificate";
    RootNotCa = 1074, Error, "A root that is no CA";
    RootMayNotIssue = 1075, Error, "A root CA that may not issue certificates";
    RootNotSelfSigned = 1076, Error, "A CA that is no root";
    RootWeak = 1077, Error, "A root CA whose key or signature does not count";
    RootNotValidNow = 1078, Warning, "A root CA that is not valid now";
    RootEndsFirst = 1079, Warning, "A root CA that ends before the certificates under it";
    RootShortLived = 1080, Warning, "A root CA with less than five years left";

    SignedUnasked = 2001, Error, "A certificate that no request waits for";
    SignedUnreadable = 2002, Error, "A file of a signed certificate that cannot be used";
    SignedHoldsKey = 2003, Error, "A private key beside a signed certificate";
    SignedWrongKey = 2010, Error, "A signed certificate for another key";
    SignedWrongIssuer = 2011, Error, "A signed certificate of another CA";
    SignedWithoutChain = 2012, Error, "A signed certificate without the chain to its CA";
    SignedChainOrder = 2013, Error, "A chain in another order";
    SignedNotAccepted = 2014, Error, "A signed certificate that nobody would accept";
    SignedNotValid = 2015, Error, "A signed certificate that is not valid now";
    SignedEndsSoon = 2016, Error, "A signed certificate that would be due at once";
    SignedSubjectDiffers = 2017, Error, "A signed certificate with another subject";
    SignedNamesMissing = 2018, Error, "A signed certificate that lacks names";
    SignedNamesUnwanted = 2019, Error, "A signed certificate with names that are excluded";
    SignedUsagesMissing = 2020, Error, "A signed certificate that lacks usages";

    EtcdNoRoom = 3010, Error, "No room for a snapshot of etcd's data";
    EtcdNotSaved = 3011, Error, "etcd's data that could not be saved";
}

impl fmt::Display for Code {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "PKI{:04}", self.number())
    }
}

/// A text that is no code of this version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a code of this version of pki")]
pub struct UnknownCode;

impl FromStr for Code {
    type Err = UnknownCode;

    /// Reads `PKI1020`; also `pki1020` and `1020`.
    fn from_str(text: &str) -> Result<Self, UnknownCode> {
        let digits = text.strip_prefix("PKI").or_else(|| text.strip_prefix("pki")).unwrap_or(text);
        if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(UnknownCode);
        }
        let number: u16 = digits.parse().map_err(|_| UnknownCode)?;
        Code::ALL.iter().copied().find(|code| code.number() == number).ok_or(UnknownCode)
    }
}
