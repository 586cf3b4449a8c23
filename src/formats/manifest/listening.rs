//! Where a component listens, by the flags of its container.
//!
//! What enters is a container's facts and the port that its layout gives an endpoint; what leaves is the addresses and ports that the flags name instead.
//! A flag that cannot be understood is as good as none. Pure.

use std::net::IpAddr;

use super::ContainerFacts;

/// The ports of etcd for clients and for peers (IANA), to which its flags with URLs belong.
const ETCD_URLS: [(u16, &str); 2] = [(2379, "listen-client-urls"), (2380, "listen-peer-urls")];

impl ContainerFacts {
    /// Where the endpoint listens that has `port` by its layout: each port with its address, or with none for all addresses of the node. Nothing where no
    /// flag says so (kube-apiserver, kube-controller-manager and kube-scheduler 1.20 to 1.31, etcd 3.4 to 3.5).
    pub fn listening(&self, port: u16) -> Vec<(u16, Option<IpAddr>)> {
        match self.component() {
            "etcd" => {
                let flag = ETCD_URLS.iter().find(|(default, _)| *default == port).map(|(_, flag)| *flag);
                let urls = flag.and_then(|flag| self.flags.last(flag)).unwrap_or_default();
                urls.split(',').filter_map(tls_url).collect()
            }
            "kube-apiserver" | "kube-controller-manager" | "kube-scheduler" => {
                let moved = self.flags.last("secure-port").and_then(|port| port.parse().ok());
                let bound = self.flags.last("bind-address").and_then(|address| address.parse().ok());
                let bound = bound.filter(|address: &IpAddr| !address.is_unspecified());
                if moved.is_none() && bound.is_none() {
                    return Vec::new();
                }
                vec![(moved.unwrap_or(port), bound)]
            }
            _ => Vec::new(),
        }
    }
}

/// The port and address of a URL like `https://10.0.0.1:2379`; none for plain text.
fn tls_url(url: &str) -> Option<(u16, Option<IpAddr>)> {
    let rest = url.trim().strip_prefix("https://")?;
    let (host, port) = rest.trim_end_matches('/').rsplit_once(':')?;
    let address: IpAddr = host.trim_start_matches('[').trim_end_matches(']').parse().ok()?;
    Some((port.parse().ok()?, Some(address).filter(|address| !address.is_unspecified())))
}

#[cfg(test)]
mod tests {
    use super::super::ManifestFacts;
    use super::*;

    fn listening(program: &str, flags: &[&str], port: u16) -> Vec<(u16, Option<IpAddr>)> {
        let words: Vec<String> =
            std::iter::once(&program).chain(flags).map(|word| format!("{word:?}")).collect();
        let text = format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{ name: x }}\nspec:\n  containers:\n  - name: x\n    image: i\n    command: [{}]\n",
            words.join(", ")
        );
        ManifestFacts::read(text.as_bytes()).containers[0].listening(port)
    }

    fn address(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn flags_move_ports_and_addresses() {
        let moved = listening("kube-apiserver", &["--secure-port=8443", "--bind-address=10.0.0.1"], 6443);
        assert_eq!(moved, [(8443, address("10.0.0.1"))]);
        assert_eq!(
            listening("kube-scheduler", &["--bind-address=127.0.0.1"], 10259),
            [(10259, address("127.0.0.1"))]
        );
        let urls = "--listen-client-urls=https://127.0.0.1:3379,https://[::1]:3379,http://127.0.0.1:1";
        assert_eq!(listening("etcd", &[urls], 2379), [(3379, address("127.0.0.1")), (3379, address("::1"))]);
    }

    #[test]
    fn without_flags_the_layout_counts() {
        assert_eq!(listening("kube-apiserver", &["--secure-port=none"], 6443), []);
        assert_eq!(listening("etcd", &["--listen-client-urls=https://127.0.0.1:3379"], 2380), []);
        assert_eq!(listening("something", &["--secure-port=1"], 6443), []);
        assert_eq!(
            listening("kube-apiserver", &["--secure-port=8443", "--bind-address=::"], 6443),
            [(8443, None)]
        );
    }
}
