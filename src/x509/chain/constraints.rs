//! Name constraints: an authority and the path below it go in, the first forbidden name comes out. By Go's `checkNameConstraints`.
//!
//! Go applies them to every certificate below that has alternative names, and never to the common name or directory names.

use std::net::IpAddr;

use super::super::certificate::Certificate;
use super::super::extensions::{self, NameSubtrees};
use super::super::name::{Name, escape};
use super::{ChainError, ChainFault, fault};

/// Two texts that cannot be compared, because one is no such name.
struct Incomparable;

/// Whether the constraints of `authority`, if it has any, allow all names of the certificates below it.
pub(super) fn check(authority: &Certificate, below: &[Certificate]) -> Result<(), ChainError> {
    let Some(constraints) = &authority.facts().name_constraints else { return Ok(()) };
    let (permitted, excluded) = (&constraints.permitted, &constraints.excluded);
    for certificate in below {
        let names = &certificate.facts().names;
        let check = Check { authority, of: &certificate.facts().subject };
        for name in &names.dns {
            labels(name).map_err(|Incomparable| check.not_comparable("DNS name", name))?;
            check.name("DNS name", name, &permitted.dns, &excluded.dns, |constraint, excluding| {
                domain_matches(name, constraint, excluding)
            })?;
        }
        for name in &names.email {
            let (local, host) = mailbox(name).ok_or_else(|| check.not_comparable("mail address", name))?;
            check.name(
                "mail address",
                name,
                &permitted.email,
                &excluded.email,
                |constraint, excluding| match mailbox(constraint) {
                    Some((mailbox, at)) => Ok(mailbox == local && at.eq_ignore_ascii_case(host)),
                    None => host_matches(host, constraint, excluding),
                },
            )?;
        }
        for name in &names.uri {
            check.name("URI", name, &permitted.uri, &excluded.uri, |constraint, excluding| {
                host_matches(&uri_host(name)?, constraint, excluding)
            })?;
        }
        for address in &names.ip {
            check.address(*address, permitted, excluded)?;
        }
    }
    Ok(())
}

struct Check<'a> {
    authority: &'a Certificate,
    of: &'a Name,
}

impl Check<'_> {
    fn name<'a>(
        &self,
        kind: &'static str,
        name: &str,
        permitted: impl IntoIterator<Item = &'a String>,
        excluded: impl IntoIterator<Item = &'a String>,
        matches: impl Fn(&str, bool) -> Result<bool, Incomparable>,
    ) -> Result<(), ChainError> {
        let not_comparable = |Incomparable| self.not_comparable(kind, name);
        for constraint in excluded {
            if matches(constraint, true).map_err(not_comparable)? {
                return Err(self.forbidden(kind, name));
            }
        }
        let mut limited = false;
        for constraint in permitted {
            if matches(constraint, false).map_err(not_comparable)? {
                return Ok(());
            }
            limited = true;
        }
        if limited { Err(self.forbidden(kind, name)) } else { Ok(()) }
    }

    /// Networks of the other address family limit too: a permitted IPv4 network forbids every IPv6 address, as in Go.
    fn address(
        &self,
        address: IpAddr,
        permitted: &NameSubtrees,
        excluded: &NameSubtrees,
    ) -> Result<(), ChainError> {
        let inside = |subtrees: &NameSubtrees| subtrees.ip.iter().any(|network| network.contains(address));
        if inside(excluded) || !permitted.ip.is_empty() && !inside(permitted) {
            return Err(self.forbidden("IP address", &address.to_string()));
        }
        Ok(())
    }

    fn forbidden(&self, kind: &'static str, name: &str) -> ChainError {
        fault(self.authority, ChainFault::NameForbidden { kind, name: escape(name), of: self.of.clone() })
    }

    fn not_comparable(&self, kind: &'static str, name: &str) -> ChainError {
        fault(self.authority, ChainFault::NameNotComparable { kind, name: escape(name), of: self.of.clone() })
    }
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
