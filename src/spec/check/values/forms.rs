//! What paths, names and addresses look like.
//!
//! What enters is a text; what leaves is whether it has the form, or what is wrong with it. Nothing is looked up.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What is wrong with a DNS name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DnsFault {
    /// It is an IP address.
    Address,
    /// It has capital letters.
    Upper,
    /// It has another form than RFC 1123 gives.
    Form,
}

/// Judges a name by RFC 1123, with `*` as the whole left-most label where a wildcard is possible.
pub(crate) fn dns_fault(name: &str, wildcard: bool) -> Option<DnsFault> {
    if name.parse::<IpAddr>().is_ok() {
        return Some(DnsFault::Address);
    }
    let name = name.replace("{node}", "node");
    let labels = if wildcard { name.strip_prefix("*.").unwrap_or(&name) } else { &name };
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if name.len() > 253 || !labels.split('.').all(is_label) {
        return Some(DnsFault::Form);
    }
    // `1.2.3` or `10.0.0.300`: an address with a slip, which RFC 1123 keeps out by the alphabetic last label.
    if labels.rsplit('.').next().is_some_and(|last| last.bytes().all(|byte| byte.is_ascii_digit())) {
        return Some(DnsFault::Form);
    }
    labels.bytes().any(|byte| byte.is_ascii_uppercase()).then_some(DnsFault::Upper)
}

pub(crate) fn is_ip_address(text: &str) -> bool {
    text == "{address}" || text.parse::<IpAddr>().is_ok()
}

/// `NETWORK/PREFIX` with no bit set behind the prefix.
pub(crate) fn is_subnet(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let is_plain = (1..=3).contains(&prefix.len()) && prefix.bytes().all(|byte| byte.is_ascii_digit());
    let (Ok(address), Ok(prefix)) = (address.parse::<IpAddr>(), prefix.parse::<u32>()) else { return false };
    let (bits, width) = match address {
        IpAddr::V4(address) => (u128::from(address.to_bits()), 32),
        IpAddr::V6(address) => (address.to_bits(), 128),
    };
    is_plain && prefix <= width && bits.trailing_zeros().min(width) >= width - prefix
}

/// What ssh and diallers take as a host, and never as an option.
pub(crate) fn is_host(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@%-".contains(&byte);
    (1..=253).contains(&text.len()) && !text.starts_with('-') && text.bytes().all(allowed)
}

/// `ssh-ed25519 AAAA...`, perhaps with a comment: the type of the key, and in base64 a text that begins with that type again (RFC 4253, 6.6).
pub(super) fn is_host_key(text: &str) -> bool {
    let mut words = text.split_ascii_whitespace();
    let (Some(kind), Some(key)) = (words.next(), words.next()) else { return false };
    let is_one_line = !text.contains(char::is_control) && text.len() <= 16_384;
    let named = |bytes: &[u8]| {
        bytes.split_first_chunk::<4>().is_some_and(|(length, rest)| {
            usize::try_from(u32::from_be_bytes(*length))
                .is_ok_and(|length| rest.get(..length) == Some(kind.as_bytes()))
        })
    };
    is_one_line && STANDARD.decode(key).is_ok_and(|bytes| named(&bytes))
}

/// `HOST` or `HOST:PORT`, with brackets around an IPv6 address that has a port.
pub(crate) fn is_endpoint(text: &str) -> bool {
    if text.parse::<IpAddr>().is_ok() {
        return true;
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    };
    let is_port = port.is_none_or(|port| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    });
    let bracketed = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    let is_host = match bracketed {
        Some(address) => address.parse::<std::net::Ipv6Addr>().is_ok(),
        None => {
            host.parse::<std::net::Ipv4Addr>().is_ok()
                || matches!(dns_fault(host, false), None | Some(DnsFault::Upper))
        }
    };
    is_port && is_host
}

/// A Unix account or group, by name or number.
pub(crate) fn is_account(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=32).contains(&text.len()) && !text.starts_with(['-', '.']) && text.bytes().all(allowed)
}

/// What is wrong with a path on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum PathFault {
    /// It does not begin with `/`.
    Relative,
    /// It has a `..` component.
    Climbs,
    /// It has an empty or `.` component; the shortest form is given.
    Loose(String),
    /// It is `/`.
    Root,
}

/// Judges a path by its text alone.
pub(crate) fn path_fault(path: &str) -> Option<PathFault> {
    let Some(rest) = path.strip_prefix('/') else { return Some(PathFault::Relative) };
    let components: Vec<&str> = rest.split('/').collect();
    let real: Vec<&str> =
        components.iter().copied().filter(|component| !component.is_empty() && *component != ".").collect();
    if components.contains(&"..") {
        Some(PathFault::Climbs)
    } else if real.is_empty() {
        Some(PathFault::Root)
    } else if real.len() < components.len() {
        Some(PathFault::Loose(format!("/{}", real.join("/"))))
    } else {
        None
    }
}

/// The first `{word}` that stands for nothing.
pub(super) fn unknown_placeholder(text: &str) -> Option<&str> {
    let mut rest = text;
    while let Some((_, after)) = rest.split_once('{') {
        let (word, behind) = after.split_once('}')?;
        if !matches!(word, "node" | "address") {
            return text.split_inclusive('}').find_map(|part| {
                let (_, word) = part.split_once('{')?;
                (!matches!(word, "node}" | "address}")).then(|| part.get(part.find('{')?..))?
            });
        }
        rest = behind;
    }
    None
}

/// `sha256:` and 64 lower-case hexadecimal digits: one spelling only, since it is compared as text.
pub(crate) fn is_fingerprint(text: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    text.strip_prefix("sha256:").is_some_and(|digits| digits.len() == 64 && digits.bytes().all(is_digit))
}

/// The kinds of units that can be restarted.
const UNIT_SUFFIXES: [&str; 5] = [".service", ".socket", ".target", ".timer", ".path"];

/// A unit name by systemd.unit(5): not an option, not a path, with a suffix.
pub(super) fn is_unit(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b":-_.\\@".contains(&byte);
    text.len() <= 255
        && !text.starts_with(['-', '.'])
        && text.bytes().all(allowed)
        && UNIT_SUFFIXES.iter().any(|suffix| text.strip_suffix(suffix).is_some_and(|stem| !stem.is_empty()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dns_names_follow_rfc_1123() {
        for good in ["api.example.com", "*.example.com", "localhost", "3com.example", "{node}.example", "a-b"]
        {
            assert_eq!(dns_fault(good, true), None, "{good}");
        }
        for bad in [
            "",
            ".",
            "a..b",
            "-a",
            "a-",
            "a_b",
            "*",
            "a.*.b",
            "*x.example",
            "a b",
            "10.0.0.300",
            "bücher.example",
        ] {
            assert!(dns_fault(bad, true).is_some(), "{bad:?} was accepted");
        }
        assert_eq!(dns_fault("10.0.0.1", true), Some(DnsFault::Address));
        assert_eq!(dns_fault("Api.example", true), Some(DnsFault::Upper));
        assert!(dns_fault("*.cluster.local", false).is_some());
        assert!(dns_fault(&"a.".repeat(127), true).is_some());
    }

    #[test]
    fn subnets_have_no_bits_behind_the_prefix() {
        for good in ["10.96.0.0/12", "fd00::/108", "0.0.0.0/0", "10.0.0.1/32"] {
            assert!(is_subnet(good), "{good}");
        }
        for bad in ["10.96.0.0", "10.96.0.1/12", "10.96.0.0/33", "10.0.0.0/+8", "x/8", "10.96.0.0/"] {
            assert!(!is_subnet(bad), "{bad:?} was accepted");
        }
    }

    #[test]
    fn endpoints_are_what_kubeadm_takes() {
        for good in ["api.example", "api.example:6443", "10.0.0.1:6443", "[fd00::1]:6443", "fd00::1"] {
            assert!(is_endpoint(good), "{good}");
        }
        for bad in [
            "",
            "https://api.example",
            "api.example:0",
            "api.example:65536",
            "fd00::1:x",
            "api example",
            ":6443",
        ] {
            assert!(!is_endpoint(bad), "{bad:?} was accepted");
        }
    }

    #[test]
    fn nothing_that_ssh_could_take_for_an_option_is_a_host() {
        assert!(is_host("cp-1.example") && is_host("fe80::1%eth0"));
        for bad in ["", "-oProxyCommand=x", "a b", "a;b", "$(x)", "a/b"] {
            assert!(!is_host(bad), "{bad:?} was accepted");
        }
    }

    #[test]
    fn paths_are_absolute_and_plain() {
        assert_eq!(path_fault("/etc/kubernetes/pki/ca.crt"), None);
        assert_eq!(path_fault("etc/x"), Some(PathFault::Relative));
        assert_eq!(path_fault("/etc/../x"), Some(PathFault::Climbs));
        assert_eq!(path_fault("/etc//./x/"), Some(PathFault::Loose("/etc/x".to_owned())));
        assert_eq!(path_fault("/"), Some(PathFault::Root));
        assert_eq!(path_fault(""), Some(PathFault::Relative));
    }

    #[test]
    fn only_two_placeholders_exist() {
        assert_eq!(unknown_placeholder("/etc/{node}/{address}.crt"), None);
        assert_eq!(unknown_placeholder("/etc/{node}/{hostname}.crt"), Some("{hostname}"));
        assert_eq!(unknown_placeholder("system:node:{node"), None);
    }

    #[test]
    fn units_have_a_suffix_and_are_no_options() {
        assert!(is_unit("etcd.service") && is_unit("etcd@main.service"));
        for bad in ["etcd", "--now.service", ".service", "a/b.service", "a b.service"] {
            assert!(!is_unit(bad), "{bad:?} was accepted");
        }
    }
}
