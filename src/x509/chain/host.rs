//! Host names: the names of a certificate and what a client dials go in, whether they match comes out. By Go's `VerifyHostname`.

use super::super::extensions::SubjectNames;
use super::ServerName;

/// Whether one of the names is the one that is dialled. The common name is not asked.
pub(super) fn matches(names: &SubjectNames, wanted: &ServerName) -> bool {
    match wanted {
        ServerName::Ip(address) => names.ip.iter().any(|name| name.to_canonical() == address.to_canonical()),
        ServerName::Dns(host) => names.dns.iter().any(|pattern| {
            if valid(host, false) && valid(pattern, true) {
                wildcard_match(pattern, host)
            } else {
                !matches!(host.as_str(), "" | ".") && pattern.eq_ignore_ascii_case(host)
            }
        }),
    }
}

/// A host name as programs use it, underscores included; as a pattern also with `*` for its left-most label.
fn valid(host: &str, pattern: bool) -> bool {
    let host = if pattern { host } else { host.strip_suffix('.').unwrap_or(host) };
    host != "*"
        && host.split('.').enumerate().all(|(index, label)| {
            let wildcard = pattern && index == 0 && label == "*";
            let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
            wildcard || !label.is_empty() && !label.starts_with('-') && label.bytes().all(allowed)
        })
}

fn wildcard_match(pattern: &str, host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    let (mut pattern, mut host) = (pattern.split('.'), host.split('.'));
    let first = match (pattern.next(), host.next()) {
        (Some("*"), Some(_)) => true,
        (Some(pattern), Some(host)) => pattern.eq_ignore_ascii_case(host),
        _ => false,
    };
    first && pattern.map(str::to_ascii_lowercase).eq(host.map(str::to_ascii_lowercase))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn check(name: &str, wanted: &str) -> bool {
        let mut names = SubjectNames::default();
        match name.parse() {
            Ok(address) => drop(names.ip.insert(address)),
            Err(_) => names.dns = BTreeSet::from([name.to_owned()]),
        }
        let Ok(wanted) = wanted.parse();
        matches(&names, &wanted)
    }

    #[test]
    fn names_match_without_regard_to_case_and_a_final_dot() {
        assert!(check("kubernetes.default.svc", "Kubernetes.Default.SVC"));
        assert!(check("kubernetes", "kubernetes."));
        assert!(!check("kubernetes.", "kubernetes"));
        assert!(check("node_1", "node_1"));
        assert!(!check("a.b", "b") && !check("b", "a.b"));
    }

    #[test]
    fn a_wildcard_stands_for_one_label_on_the_left() {
        assert!(check("*.example.com", "a.example.com"));
        assert!(!check("*.example.com", "example.com"));
        assert!(!check("*.example.com", "a.b.example.com"));
        assert!(!check("a.*.com", "a.b.com"));
        assert!(!check("a*.example.com", "ab.example.com"));
        assert!(!check("*", "a"));
    }

    #[test]
    fn an_address_matches_addresses_only() {
        assert!(check("10.0.0.1", "10.0.0.1"));
        assert!(check("::ffff:10.0.0.1", "10.0.0.1"));
        assert!(check("fd00::1", "[fd00::1]"));
        assert!(!check("10.0.0.1.example.com", "10.0.0.1"));
    }

    #[test]
    fn odd_names_match_only_as_they_are() {
        assert!(check("a b", "A B"));
        assert!(check("-x", "-x"));
        assert!(!check("", "") && !check(".", "."));
    }
}
