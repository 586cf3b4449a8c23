//! Name constraints: an authority and the path below it go in, the first forbidden name comes out. By Go's `checkNameConstraints`.
//!
//! Go applies them to every certificate below that has alternative names, and never to the common name or directory names.

use std::net::IpAddr;

use super::super::certificate::Certificate;
use super::super::extensions::{self, NameSubtrees, SubjectNames};
use super::super::name::escape;
use super::{ChainError, ChainFault, fault};

/// Two texts that cannot be compared, because one is no such name.
struct Incomparable;

/// A name that no certificate of an authority may have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameFault {
    /// A constraint forbids it.
    #[error("its name constraints forbid the {kind} {name}")]
    Forbidden {
        /// Such as `DNS name`.
        kind: &'static str,
        /// The name, escaped.
        name: String,
    },
    /// It, or a constraint, cannot be compared.
    #[error("its name constraints cannot be applied to the {kind} {name}")]
    NotComparable {
        /// Such as `DNS name`.
        kind: &'static str,
        /// The name, escaped.
        name: String,
    },
}

/// Whether the constraints of `authority`, if it has any, allow all names of the certificates below it.
pub(super) fn check(authority: &Certificate, below: &[Certificate]) -> Result<(), ChainError> {
    for facts in below.iter().map(Certificate::facts) {
        allows(authority, &facts.names).map_err(|refused| {
            let of = facts.subject.clone();
            let found = match refused {
                NameFault::Forbidden { kind, name } => ChainFault::NameForbidden { kind, name, of },
                NameFault::NotComparable { kind, name } => ChainFault::NameNotComparable { kind, name, of },
            };
            fault(authority, found)
        })?;
    }
    Ok(())
}

/// Whether the constraints of `authority`, if it has any, allow these names.
///
/// # Errors
/// The first name that they do not allow.
pub fn allows(authority: &Certificate, names: &SubjectNames) -> Result<(), NameFault> {
    let Some(constraints) = &authority.facts().name_constraints else { return Ok(()) };
    let (permitted, excluded) = (&constraints.permitted, &constraints.excluded);
    for name in &names.dns {
        labels(name).map_err(|Incomparable| not_comparable("DNS name", name))?;
        check_name("DNS name", name, &permitted.dns, &excluded.dns, |constraint, excluding| {
            domain_matches(name, constraint, excluding)
        })?;
    }
    for name in &names.email {
        let (local, host) = mailbox(name).ok_or_else(|| not_comparable("mail address", name))?;
        let matches = |constraint: &str, excluding| match mailbox(constraint) {
            Some((mailbox, at)) => Ok(mailbox == local && at.eq_ignore_ascii_case(host)),
            None => host_matches(host, constraint, excluding),
        };
        check_name("mail address", name, &permitted.email, &excluded.email, matches)?;
    }
    for name in &names.uri {
        check_name("URI", name, &permitted.uri, &excluded.uri, |constraint, excluding| {
            host_matches(&uri_host(name)?, constraint, excluding)
        })?;
    }
    for address in &names.ip {
        check_address(*address, permitted, excluded)?;
    }
    Ok(())
}

fn check_name<'a>(
    kind: &'static str,
    name: &str,
    permitted: impl IntoIterator<Item = &'a String>,
    excluded: impl IntoIterator<Item = &'a String>,
    matches: impl Fn(&str, bool) -> Result<bool, Incomparable>,
) -> Result<(), NameFault> {
    let incomparable = |Incomparable| not_comparable(kind, name);
    for constraint in excluded {
        if matches(constraint, true).map_err(incomparable)? {
            return Err(forbidden(kind, name));
        }
    }
    let mut limited = false;
    for constraint in permitted {
        if matches(constraint, false).map_err(incomparable)? {
            return Ok(());
        }
        limited = true;
    }
    if limited { Err(forbidden(kind, name)) } else { Ok(()) }
}

/// Networks of the other address family limit too: a permitted IPv4 network forbids every IPv6 address, as in Go.
fn check_address(
    address: IpAddr,
    permitted: &NameSubtrees,
    excluded: &NameSubtrees,
) -> Result<(), NameFault> {
    let inside = |subtrees: &NameSubtrees| subtrees.ip.iter().any(|network| network.contains(address));
    if inside(excluded) || !permitted.ip.is_empty() && !inside(permitted) {
        return Err(forbidden("IP address", &address.to_string()));
    }
    Ok(())
}

fn forbidden(kind: &'static str, name: &str) -> NameFault {
    NameFault::Forbidden { kind, name: escape(name) }
}

fn not_comparable(kind: &'static str, name: &str) -> NameFault {
    NameFault::NotComparable { kind, name: escape(name) }
}

/// A domain constraint covers the domain and everything below it; with a leading dot only what is below it.
///
/// A wildcard is excluded as soon as one name it stands for is (Go since 1.25.5, CVE-2025-61727).
fn domain_matches(domain: &str, constraint: &str, excluding: bool) -> Result<bool, Incomparable> {
    if constraint.is_empty() {
        return Ok(true);
    }
    let below_only = constraint.starts_with('.');
    let mut domain = labels(domain)?;
    let mut constraint = labels(constraint.strip_prefix('.').unwrap_or(constraint))?;
    if excluding && domain.last() == Some(&"*") && domain.len() == constraint.len() && !below_only {
        domain.pop();
        constraint.pop();
    }
    let long_enough = domain.len() > constraint.len() || domain.len() == constraint.len() && !below_only;
    Ok(long_enough
        && constraint.iter().zip(&domain).all(|(constraint, label)| constraint.eq_ignore_ascii_case(label)))
}

fn host_matches(host: &str, constraint: &str, excluding: bool) -> Result<bool, Incomparable> {
    domain_matches(host, constraint, excluding)
}

/// The labels from the right; none may be empty or hold anything but visible ASCII.
fn labels(domain: &str) -> Result<Vec<&str>, Incomparable> {
    if domain.is_empty() {
        return Ok(Vec::new());
    }
    let labels: Vec<&str> = domain.rsplit('.').collect();
    let valid = |label: &&str| !label.is_empty() && label.bytes().all(|byte| byte.is_ascii_graphic());
    if labels.iter().all(valid) { Ok(labels) } else { Err(Incomparable) }
}

/// The two halves of a mail address.
fn mailbox(address: &str) -> Option<(&str, &str)> {
    address.rsplit_once('@').filter(|(local, host)| !local.is_empty() && !host.is_empty())
}

/// The host of a URI; an address instead of a name cannot be compared with a domain.
fn uri_host(uri: &str) -> Result<String, Incomparable> {
    extensions::uri_host(uri)
        .filter(|host| !host.is_empty() && !host.starts_with('[') && host.parse::<IpAddr>().is_err())
        .ok_or(Incomparable)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn covers(constraint: &str, domain: &str) -> Option<bool> {
        domain_matches(domain, constraint, false).ok()
    }

    fn excludes(constraint: &str, domain: &str) -> Option<bool> {
        domain_matches(domain, constraint, true).ok()
    }

    #[test]
    fn a_domain_covers_itself_and_what_is_below() {
        assert_eq!(covers("example.com", "example.com"), Some(true));
        assert_eq!(covers("example.com", "a.B.Example.COM"), Some(true));
        assert_eq!(covers("example.com", "notexample.com"), Some(false));
        assert_eq!(covers(".example.com", "example.com"), Some(false));
        assert_eq!(covers(".example.com", "a.example.com"), Some(true));
        assert_eq!(covers("", "anything"), Some(true));
        assert_eq!(covers("example.com", "a..example.com"), None);
        assert_eq!(covers("example.com", "example.com."), None);
    }

    #[test]
    fn a_wildcard_is_excluded_with_one_name_it_stands_for() {
        assert_eq!(excludes("a.example.com", "*.example.com"), Some(true));
        assert_eq!(excludes("a.b.example.com", "*.example.com"), Some(false));
        assert_eq!(covers("a.example.com", "*.example.com"), Some(false));
    }

    #[test]
    fn the_host_of_a_uri_is_what_counts() {
        assert_eq!(uri_host("spiffe://user@example.com:443/x?y").ok().as_deref(), Some("example.com"));
        for uri in ["urn:x", "https://10.0.0.1/", "https://[fd00::1]/", "https:///x"] {
            assert!(uri_host(uri).is_err(), "{uri}");
        }
    }
}
