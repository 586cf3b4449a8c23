//! Distributions whose own program makes, renews and guards their certificates. They are recognised, and never written.
//!
//! What enters are the facts of a node; what leaves is whose certificates lie there, and what renews them. Pure data and look-up.

use crate::protocol::facts::{NodeFacts, Seen};

/// A distribution that takes care of its certificates itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Foreign {
    /// Its name.
    pub name: &'static str,
    /// The directory that marks it.
    pub marker: &'static str,
    /// How its certificates are renewed.
    pub renewal: &'static str,
}

/// Every such distribution. k3s and RKE2 keep their certificates in their own datastore too and renew them at start (docs.k3s.io/cli/certificate,
/// docs.rke2.io/security/certificates); k0s makes them again at each start of the controller (docs.k0sproject.io/stable/custom-ca).
pub const FOREIGN: [Foreign; 5] = [
    Foreign {
        name: "k3s",
        marker: "/var/lib/rancher/k3s/server/tls",
        renewal: "k3s certificate rotate, then restart k3s.service",
    },
    Foreign {
        name: "k3s",
        marker: "/var/lib/rancher/k3s/agent/client-kubelet.crt",
        renewal: "k3s certificate rotate, then restart k3s-agent.service",
    },
    Foreign {
        name: "RKE2",
        marker: "/var/lib/rancher/rke2/server/tls",
        renewal: "rke2 certificate rotate, then restart rke2-server.service",
    },
    Foreign {
        name: "RKE2",
        marker: "/var/lib/rancher/rke2/agent/client-kubelet.crt",
        renewal: "rke2 certificate rotate, then restart rke2-agent.service",
    },
    Foreign { name: "k0s", marker: "/var/lib/k0s/pki", renewal: "restart k0scontroller.service" },
];

/// The distribution whose files a node has, if any.
pub fn foreign(facts: &NodeFacts) -> Option<Foreign> {
    let is_there = |entry: &Foreign| matches!(facts.files.get(entry.marker), Some(Seen::Present(_)));
    FOREIGN.into_iter().find(is_there)
}
