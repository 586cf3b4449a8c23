//! What a plan writes to a trust file.
//!
//! What enters is the certificates that are known, and whether one is among them that an earlier action of the plan makes; what leaves is a list that is never empty
//! and holds nothing twice. A plan that says otherwise cannot be read. Pure.

use std::borrow::Cow;

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

use crate::types::non_empty::{NonEmpty, once};
use crate::x509::{Certificate, Sha256};

/// Where a certificate that is made comes in a bundle. Whoever signs comes first: kubeadm signs with the first one (certs/renewal, 1.20).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Position {
    /// Before all others.
    First,
    /// After all others.
    Last,
}

/// The certificates of a trust file: at least one, and none twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Form", into = "Form")]
pub enum Bundle {
    /// All of them are known.
    Known(NonEmpty<Certificate>),
    /// An earlier action of the plan makes one of them.
    WithMade {
        /// Where that one stands.
        position: Position,
        /// The others, of which there may be none.
        others: Vec<Certificate>,
    },
}

/// How it is written.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Form {
    /// What it will hold.
    certificates: Vec<Certificate>,
    /// Where the certificate comes that an earlier action of this plan makes for the authority; none where none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    made: Option<Position>,
}

/// Why a written bundle is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum NoBundle {
    #[error("a trust file would be left without a certificate")]
    Empty,
    #[error("a trust file would hold a certificate twice")]
    Repeated,
}

impl Bundle {
    /// These certificates, each once; none of nothing.
    pub(crate) fn known(certificates: impl IntoIterator<Item = Certificate>) -> Option<Self> {
        NonEmpty::each_once(certificates).map(Self::Known)
    }

    /// One certificate.
    pub(crate) fn one(only: &Certificate) -> Self {
        Self::Known(NonEmpty::one(only.clone()))
    }

    /// One certificate, and these besides, each once.
    pub(crate) fn with_first(first: &Certificate, others: impl IntoIterator<Item = Certificate>) -> Self {
        let others = others.into_iter().filter(|other| other != first);
        Self::Known(NonEmpty::with_first(first.clone(), once(others)))
    }

    /// These certificates and last another one, each once.
    pub(crate) fn with_last(others: impl IntoIterator<Item = Certificate>, last: &Certificate) -> Self {
        let others = once(others);
        match others.contains(last) {
            true => Self::known(others).unwrap_or_else(|| Self::one(last)),
            false => Self::Known(NonEmpty::with_last(others, last.clone())),
        }
    }

    /// The one that an earlier action makes, and these besides, each once.
    pub(crate) fn with_made(position: Position, others: impl IntoIterator<Item = Certificate>) -> Self {
        Self::WithMade { position, others: once(others) }
    }

    /// The certificates that are known.
    pub fn certificates(&self) -> &[Certificate] {
        match self {
            Self::Known(certificates) => certificates,
            Self::WithMade { others, .. } => others,
        }
    }

    /// Where the one stands that an earlier action makes.
    pub fn made(&self) -> Option<Position> {
        match self {
            Self::Known(_) => None,
            Self::WithMade { position, .. } => Some(*position),
        }
    }

    /// How many certificates the file will hold.
    pub fn count(&self) -> usize {
        self.certificates().len() + usize::from(self.made().is_some())
    }

    /// The digests of those that are known.
    pub(crate) fn fingerprints(&self) -> Vec<Sha256> {
        self.certificates().iter().map(|certificate| *certificate.fingerprint()).collect()
    }

    /// All of them, once it is known what was made; none where that is needed and is not there.
    pub fn whole<T: Clone>(&self, known: impl Fn(&Certificate) -> T, made: Option<T>) -> Option<NonEmpty<T>> {
        match self {
            Self::Known(certificates) => {
                NonEmpty::try_from(certificates.iter().map(known).collect::<Vec<T>>()).ok()
            }
            Self::WithMade { position, others } => {
                let (made, others) = (made?, others.iter().map(known).collect());
                Some(match position {
                    Position::First => NonEmpty::with_first(made, others),
                    Position::Last => NonEmpty::with_last(others, made),
                })
            }
        }
    }
}

impl TryFrom<Form> for Bundle {
    type Error = NoBundle;

    fn try_from(Form { certificates, made }: Form) -> Result<Self, NoBundle> {
        if once(&certificates).len() != certificates.len() {
            return Err(NoBundle::Repeated);
        }
        match made {
            Some(position) => Ok(Self::WithMade { position, others: certificates }),
            None => NonEmpty::try_from(certificates).map(Self::Known).map_err(|_| NoBundle::Empty),
        }
    }
}

impl From<Bundle> for Form {
    fn from(bundle: Bundle) -> Self {
        Self { certificates: bundle.certificates().to_vec(), made: bundle.made() }
    }
}

impl JsonSchema for Bundle {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Bundle".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Form::json_schema(generator)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::x509::issue;
    use crate::x509::issue::RootRequest;
    use crate::x509::{PrivateKey, SerialNumber};

    fn certificate(name: &str) -> Certificate {
        let key = PrivateKey::generate(crate::types::certificate::NewKeyAlgorithm::EcdsaP256).unwrap();
        let request = RootRequest {
            subject: crate::types::certificate::SubjectName {
                common_name: name.to_owned(),
                organizations: Vec::new(),
            },
            serial: SerialNumber::random().unwrap(),
            not_before: "2026-01-01T00:00:00Z".parse().unwrap(),
            not_after: "2036-01-01T00:00:00Z".parse().unwrap(),
        };
        issue::issue_root(&request, &key).unwrap()
    }

    #[test]
    fn a_plan_that_empties_a_trust_file_cannot_be_read() {
        let read = |text: &str| serde_json::from_str::<Bundle>(text).map_err(|error| error.to_string());
        let refused = read(r#"{"certificates":[]}"#).unwrap_err();
        assert!(refused.contains("a trust file would be left without a certificate"), "{refused}");
        assert_eq!(read(r#"{"certificates":[],"made":"first"}"#), Ok(Bundle::with_made(Position::First, [])));
        let one = serde_json::to_value(certificate("ca")).unwrap();
        let refused = read(&format!(r#"{{"certificates":[{one},{one}]}}"#)).unwrap_err();
        assert!(refused.contains("a trust file would hold a certificate twice"), "{refused}");
    }

    #[test]
    fn what_is_made_comes_to_its_place_and_nothing_comes_without_it() {
        let (one, other) = (certificate("one"), certificate("other"));
        let bundle = Bundle::with_made(Position::Last, [one.clone(), one.clone()]);
        assert_eq!((bundle.count(), bundle.certificates()), (2, &[one.clone()][..]));
        assert_eq!(bundle.whole(Certificate::clone, None), None);
        let whole = bundle.whole(Certificate::clone, Some(other.clone())).unwrap();
        assert_eq!(*whole, [one.clone(), other.clone()]);
        assert_eq!(Bundle::known([]), None);
        assert_eq!(Bundle::with_first(&one, [other.clone(), one.clone(), other]).count(), 2);
    }
}
