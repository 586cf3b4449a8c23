//! Hosts in URLs: an IPv6 address has brackets there and nowhere else.
//!
//! What enters is hosts, ports and what others wrote as a URL; what leaves is text or the parts. No name is looked up. Pure.

use http::Uri;

/// A host as it is written before a port.
pub(crate) fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// `HOST:PORT`.
pub(crate) fn with_port(host: &str, port: u16) -> String {
    format!("{}:{port}", bracketed(host))
}

/// The host of a URL or of what should be one, without brackets.
pub(crate) fn host_of(url: &str) -> Option<&str> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?']).next()?;
    let host = match authority.strip_prefix('[') {
        Some(bracketed) => bracketed.split(']').next()?,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    };
    Some(host).filter(|host| !host.is_empty())
}

/// The host, without brackets, and the port of a URL with TLS.
pub(crate) fn tls_place(url: &str) -> Option<(String, u16)> {
    let uri: Uri = url.parse().ok()?;
    let host = uri.host()?.trim_start_matches('[').trim_end_matches(']').to_owned();
    (uri.scheme_str() == Some("https")).then_some((host, uri.port_u16().unwrap_or(443)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_with_colons_has_brackets_before_a_port() {
        assert_eq!(with_port("10.0.0.1", 2379), "10.0.0.1:2379");
        assert_eq!(with_port("fd00::1", 2379), "[fd00::1]:2379");
        assert_eq!(bracketed("cp-1.example"), "cp-1.example");
    }

    #[test]
    fn the_host_of_a_url_has_none() {
        for (url, host) in [
            ("https://10.0.0.1:2379", Some("10.0.0.1")),
            ("https://[fd00::1]:2379/health", Some("fd00::1")),
            ("https://cp-1.example?x", Some("cp-1.example")),
            ("cp-1.example:6443", Some("cp-1.example")),
            ("https://", None),
        ] {
            assert_eq!(host_of(url), host, "{url}");
        }
    }

    #[test]
    fn only_a_url_with_tls_is_a_place() {
        let place = |host: &str, port| Some((host.to_owned(), port));
        assert_eq!(tls_place("https://[fd00::1]:2379"), place("fd00::1", 2379));
        assert_eq!(tls_place("https://cp-1.example"), place("cp-1.example", 443));
        assert_eq!(tls_place("http://cp-1.example:2381"), None);
        assert_eq!(tls_place("not a URL"), None);
    }
}
