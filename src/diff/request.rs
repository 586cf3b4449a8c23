//! Requests that wait on a node until their certificates come back from whoever signs them.

use crate::desired::DesiredIdentity;
use crate::protocol::facts::NodeFacts;
use crate::x509::CertificateRequest;

use super::view::pem;
use super::{Finding, Reason};

/// The request of an identity that waits on a node. Without its own key beside it, it is of no use to anybody and does not count.
///
/// # Errors
/// Nobody knows whether one waits.
pub fn waiting_request<'a>(
    wanted: &DesiredIdentity,
    facts: &'a NodeFacts,
) -> Result<Option<&'a CertificateRequest>, Reason> {
    let Some(file) = &wanted.request else { return Ok(None) };
    match pem(facts, &file.path) {
        Ok(pem) => {
            let request = pem.requests.first();
            let key = pem.keys.first().map(|key| key.spki_sha256);
            Ok(request.filter(|request| Some(request.facts().key.spki_sha256) == key))
        }
        Err(reason @ Reason::Unknown { .. }) => Err(reason),
        // Whatever else lies there is replaced.
        Err(_) => Ok(None),
    }
}

/// That a request waits, or that nobody knows.
pub(super) fn finding(wanted: &DesiredIdentity, facts: &NodeFacts) -> Option<Finding> {
    let path = wanted.request.as_ref()?.path.clone();
    match waiting_request(wanted, facts) {
        Ok(request) => request.map(|_| Finding::note(Reason::AwaitsCertificate { path })),
        Err(reason) => Some(Finding::due_unless_unknown(reason)),
    }
}
