//! The layouts as tables of their own, written against what their installers do and not read from the profiles: which CA certificates lie where, and who is
//! presented with which certificate. What judges by them knows nothing of how plans are made.

use pki::types::profile_name::ProfileName;

/// A part of a file that is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// A PEM file. `{number}`, `{address}` and `{dashed}` stand for a member, each of them for itself.
    Pem(&'static str),
    /// The CA certificates of a kubeconfig.
    Authority(&'static str),
    /// The client certificate and key of a kubeconfig.
    User(&'static str),
}

/// A certificate, its key, and what it is judged by wherever that lies.
#[derive(Clone, Copy)]
pub(super) struct Leaf {
    pub(super) certificate: Part,
    pub(super) key: Part,
    pub(super) judged_by: &'static [Part],
}

const fn pair(certificate: &'static str, key: &'static str, judged_by: &'static [Part]) -> Leaf {
    Leaf { certificate: Pem(certificate), key: Pem(key), judged_by }
}

const fn user(path: &'static str, judged_by: &'static [Part]) -> Leaf {
    Leaf { certificate: Part::User(path), key: Part::User(path), judged_by }
}

/// What can be done with a CA while it is in use.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Can {
    /// Nothing by this version.
    Stay,
    /// Its key can sign it for another period.
    Last,
    /// That, or another one takes its place.
    Go,
}

/// A CA with the file from which its fingerprint is read.
pub(super) struct Authority {
    pub(super) name: &'static str,
    pub(super) file: &'static str,
    /// Its fields in the spec, whatever is wanted of it.
    pub(super) declared: &'static str,
    /// What can be done with it while it is in use.
    pub(super) can: Can,
}

/// What runs on each node: the service, its unit or manifest, and its ports with what they serve.
pub(super) struct Process {
    pub(super) service: &'static str,
    pub(super) unit: Option<&'static str>,
    pub(super) manifest: Option<&'static str>,
    pub(super) ports: &'static [(u16, &'static str, &'static str, &'static str)],
}

pub(super) struct Layout {
    pub(super) profile: ProfileName,
    /// Lines of `spec`, besides nodes and authorities.
    pub(super) head: &'static str,
    pub(super) roles: &'static str,
    pub(super) most: usize,
    /// What its installer makes before any certificate.
    pub(super) folders: &'static [&'static str],
    pub(super) authorities: &'static [Authority],
    /// Every place from which somebody takes what is trusted.
    pub(super) trusted: &'static [Part],
    pub(super) leaves: &'static [Leaf],
    pub(super) processes: &'static [Process],
}

use Part::{Authority as Ca, Pem};

const KUBELET: Process =
    Process { service: "kubelet", unit: Some("kubelet.service"), manifest: None, ports: &[] };
const API_SERVER: Process = Process {
    service: "kube-apiserver",
    unit: None,
    manifest: Some("/etc/kubernetes/manifests/kube-apiserver.yaml"),
    ports: &[(6443, "apiserver", "/etc/kubernetes/pki/apiserver.crt", "/etc/kubernetes/pki/apiserver.key")],
};

const CLUSTER: &str = "  kubernetesVersion: v1.20.11\n  cluster: { controlPlaneEndpoint: \"10.0.0.9:6443\", serviceSubnet: 10.96.0.0/12 }\n";

const K_CA: &[Part] = &[Pem("/etc/kubernetes/pki/ca.crt")];
const K_SERVER: &[Part] = &[
    Pem("/etc/kubernetes/pki/ca.crt"),
    Ca("/etc/kubernetes/admin.conf"),
    Ca("/etc/kubernetes/controller-manager.conf"),
    Ca("/etc/kubernetes/scheduler.conf"),
    Ca("/etc/kubernetes/kubelet.conf"),
];
const K_FRONT: &[Part] = &[Pem("/etc/kubernetes/pki/front-proxy-ca.crt")];

/// What kubeadm makes, etcd's part aside.
const K_LEAVES: [Leaf; 7] = [
    pair("/etc/kubernetes/pki/apiserver.crt", "/etc/kubernetes/pki/apiserver.key", K_SERVER),
    pair(
        "/etc/kubernetes/pki/apiserver-kubelet-client.crt",
        "/etc/kubernetes/pki/apiserver-kubelet-client.key",
        K_CA,
    ),
    pair("/etc/kubernetes/pki/front-proxy-client.crt", "/etc/kubernetes/pki/front-proxy-client.key", K_FRONT),
    user("/etc/kubernetes/admin.conf", K_CA),
    user("/etc/kubernetes/controller-manager.conf", K_CA),
    user("/etc/kubernetes/scheduler.conf", K_CA),
    user("/etc/kubernetes/kubelet.conf", K_CA),
];
const KUBEADM_ETCD: &[Part] = &[Pem("/etc/kubernetes/pki/etcd/ca.crt")];
const ACK_ETCD: &[Part] = &[Pem("/var/lib/etcd/cert/ca.pem"), Pem("/etc/kubernetes/pki/etcd/ca.pem")];
const ACK_PEERS: &[Part] = &[Pem("/var/lib/etcd/cert/peer-ca.pem")];
const STARLINGX_ETCD: &[Part] = &[Pem("/etc/etcd/ca.crt")];
const ETCD: &[Part] = &[Pem("/etc/etcd/pki/ca.crt"), Pem("/etc/backup/ca.pem")];
const KUBESPRAY_ETCD: &[Part] = &[Pem("/etc/ssl/etcd/ssl/ca.pem")];
const RKE_CA: &[Part] = &[Pem("/etc/kubernetes/ssl/kube-ca.pem")];
const RKE_FRONT: &[Part] = &[Pem("/etc/kubernetes/ssl/kube-apiserver-requestheader-ca.pem")];
const OWN: &[Part] = &[Pem("/etc/broker/ca.crt"), Pem("/etc/clients/ca.crt")];

pub(super) const LAYOUTS: [Layout; 7] = [
    Layout {
        profile: ProfileName::Kubeadm,
        head: CLUSTER,
        roles: "control-plane, etcd",
        most: 3,
        folders: &["/etc/kubernetes/manifests"],
        authorities: &[
            Authority { name: "ca", file: "/etc/kubernetes/pki/ca.crt", declared: "", can: Can::Stay },
            Authority {
                name: "etcd-ca",
                file: "/etc/kubernetes/pki/etcd/ca.crt",
                declared: "",
                can: Can::Go,
            },
            Authority {
                name: "front-proxy-ca",
                file: "/etc/kubernetes/pki/front-proxy-ca.crt",
                declared: "",
                can: Can::Stay,
            },
        ],
        trusted: &[
            Pem("/etc/kubernetes/pki/ca.crt"),
            Pem("/etc/kubernetes/pki/etcd/ca.crt"),
            Pem("/etc/kubernetes/pki/front-proxy-ca.crt"),
            Ca("/etc/kubernetes/admin.conf"),
            Ca("/etc/kubernetes/controller-manager.conf"),
            Ca("/etc/kubernetes/scheduler.conf"),
            Ca("/etc/kubernetes/kubelet.conf"),
        ],
        leaves: &[
            K_LEAVES[0],
            K_LEAVES[1],
            K_LEAVES[2],
            K_LEAVES[3],
            K_LEAVES[4],
            K_LEAVES[5],
            K_LEAVES[6],
            pair(
                "/etc/kubernetes/pki/apiserver-etcd-client.crt",
                "/etc/kubernetes/pki/apiserver-etcd-client.key",
                KUBEADM_ETCD,
            ),
            pair("/etc/kubernetes/pki/etcd/server.crt", "/etc/kubernetes/pki/etcd/server.key", KUBEADM_ETCD),
            pair("/etc/kubernetes/pki/etcd/peer.crt", "/etc/kubernetes/pki/etcd/peer.key", KUBEADM_ETCD),
            pair(
                "/etc/kubernetes/pki/etcd/healthcheck-client.crt",
                "/etc/kubernetes/pki/etcd/healthcheck-client.key",
                KUBEADM_ETCD,
            ),
        ],
        processes: &[
            KUBELET,
            API_SERVER,
            Process {
                service: "etcd",
                unit: None,
                manifest: Some("/etc/kubernetes/manifests/etcd.yaml"),
                ports: &[
                    (
                        2379,
                        "etcd-server",
                        "/etc/kubernetes/pki/etcd/server.crt",
                        "/etc/kubernetes/pki/etcd/server.key",
                    ),
                    (
                        2380,
                        "etcd-peer",
                        "/etc/kubernetes/pki/etcd/peer.crt",
                        "/etc/kubernetes/pki/etcd/peer.key",
                    ),
                ],
            },
        ],
    },
    Layout {
        profile: ProfileName::Ack,
        head: CLUSTER,
        roles: "control-plane, etcd",
        most: 3,
        folders: &["/var/lib/etcd", "/etc/kubernetes/manifests"],
        authorities: &[
            Authority { name: "ca", file: "/etc/kubernetes/pki/ca.crt", declared: "", can: Can::Stay },
            Authority { name: "etcd-ca", file: "/var/lib/etcd/cert/ca.pem", declared: "", can: Can::Go },
            Authority {
                name: "etcd-peer-ca",
                file: "/var/lib/etcd/cert/peer-ca.pem",
                declared: "",
                can: Can::Go,
            },
        ],
        trusted: &[
            Pem("/etc/kubernetes/pki/ca.crt"),
            Pem("/etc/kubernetes/pki/front-proxy-ca.crt"),
            Pem("/var/lib/etcd/cert/ca.pem"),
            Pem("/etc/kubernetes/pki/etcd/ca.pem"),
            Pem("/var/lib/etcd/cert/peer-ca.pem"),
            Ca("/etc/kubernetes/admin.conf"),
            Ca("/etc/kubernetes/controller-manager.conf"),
            Ca("/etc/kubernetes/scheduler.conf"),
            Ca("/etc/kubernetes/kubelet.conf"),
        ],
        leaves: &[
            K_LEAVES[0],
            K_LEAVES[1],
            K_LEAVES[2],
            K_LEAVES[3],
            K_LEAVES[4],
            K_LEAVES[5],
            K_LEAVES[6],
            pair("/var/lib/etcd/cert/etcd-server.pem", "/var/lib/etcd/cert/etcd-server-key.pem", ACK_ETCD),
            pair("/var/lib/etcd/cert/etcd-client.pem", "/var/lib/etcd/cert/etcd-client-key.pem", ACK_ETCD),
            pair(
                "/etc/kubernetes/pki/etcd/etcd-client.pem",
                "/etc/kubernetes/pki/etcd/etcd-client-key.pem",
                ACK_ETCD,
            ),
            pair(
                "/var/lib/etcd/cert/{address}-name-{number}.pem",
                "/var/lib/etcd/cert/{address}-name-{number}-key.pem",
                ACK_PEERS,
            ),
        ],
        processes: &[
            KUBELET,
            API_SERVER,
            Process {
                service: "etcd",
                unit: Some("etcd.service"),
                manifest: None,
                ports: &[
                    (
                        2379,
                        "etcd-server",
                        "/var/lib/etcd/cert/etcd-server.pem",
                        "/var/lib/etcd/cert/etcd-server-key.pem",
                    ),
                    (
                        2380,
                        "etcd-member-{node}",
                        "/var/lib/etcd/cert/{address}-name-{number}.pem",
                        "/var/lib/etcd/cert/{address}-name-{number}-key.pem",
                    ),
                ],
            },
        ],
    },
    Layout {
        profile: ProfileName::Starlingx,
        head: CLUSTER,
        roles: "control-plane, etcd",
        most: 2,
        folders: &["/etc/etcd", "/etc/kubernetes/manifests"],
        authorities: &[
            Authority {
                name: "front-proxy-ca",
                file: "/etc/kubernetes/pki/front-proxy-ca.crt",
                declared: "",
                can: Can::Stay,
            },
            Authority { name: "etcd-ca", file: "/etc/etcd/ca.crt", declared: "", can: Can::Go },
        ],
        trusted: &[
            Pem("/etc/kubernetes/pki/ca.crt"),
            Pem("/etc/kubernetes/pki/front-proxy-ca.crt"),
            Pem("/etc/etcd/ca.crt"),
            Ca("/etc/kubernetes/admin.conf"),
            Ca("/etc/kubernetes/controller-manager.conf"),
            Ca("/etc/kubernetes/scheduler.conf"),
            Ca("/etc/kubernetes/kubelet.conf"),
        ],
        leaves: &[
            K_LEAVES[0],
            K_LEAVES[1],
            K_LEAVES[2],
            K_LEAVES[3],
            K_LEAVES[4],
            K_LEAVES[5],
            K_LEAVES[6],
            pair("/etc/etcd/etcd-server.crt", "/etc/etcd/etcd-server.key", STARLINGX_ETCD),
            pair("/etc/etcd/etcd-client.crt", "/etc/etcd/etcd-client.key", STARLINGX_ETCD),
            pair(
                "/etc/kubernetes/pki/apiserver-etcd-client.crt",
                "/etc/kubernetes/pki/apiserver-etcd-client.key",
                STARLINGX_ETCD,
            ),
        ],
        processes: &[
            KUBELET,
            API_SERVER,
            Process {
                service: "etcd",
                unit: Some("etcd.service"),
                manifest: None,
                ports: &[(2379, "etcd-server", "/etc/etcd/etcd-server.crt", "/etc/etcd/etcd-server.key")],
            },
        ],
    },
    Layout {
        profile: ProfileName::Etcd,
        head: "",
        roles: "etcd",
        most: 3,
        folders: &["/etc/etcd"],
        authorities: &[Authority {
            name: "etcd-ca",
            file: "/etc/etcd/pki/ca.crt",
            declared: "copies: { backup: { path: /etc/backup/ca.pem } }",
            can: Can::Go,
        }],
        trusted: &[Pem("/etc/etcd/pki/ca.crt"), Pem("/etc/backup/ca.pem")],
        leaves: &[
            pair("/etc/etcd/pki/server.crt", "/etc/etcd/pki/server.key", ETCD),
            pair("/etc/etcd/pki/peer.crt", "/etc/etcd/pki/peer.key", ETCD),
            pair("/etc/etcd/pki/client.crt", "/etc/etcd/pki/client.key", ETCD),
        ],
        processes: &[Process {
            service: "etcd",
            unit: Some("etcd.service"),
            manifest: None,
            ports: &[
                (2379, "etcd-server", "/etc/etcd/pki/server.crt", "/etc/etcd/pki/server.key"),
                (2380, "etcd-peer", "/etc/etcd/pki/peer.crt", "/etc/etcd/pki/peer.key"),
            ],
        }],
    },
    Layout {
        profile: ProfileName::KubesprayEtcd,
        head: "",
        roles: "control-plane, etcd",
        most: 3,
        folders: &["/etc/ssl/etcd"],
        authorities: &[Authority {
            name: "etcd-ca",
            file: "/etc/ssl/etcd/ssl/ca.pem",
            declared: "",
            can: Can::Go,
        }],
        trusted: &[Pem("/etc/ssl/etcd/ssl/ca.pem")],
        leaves: &[
            pair(
                "/etc/ssl/etcd/ssl/member-{node}.pem",
                "/etc/ssl/etcd/ssl/member-{node}-key.pem",
                KUBESPRAY_ETCD,
            ),
            pair(
                "/etc/ssl/etcd/ssl/admin-{node}.pem",
                "/etc/ssl/etcd/ssl/admin-{node}-key.pem",
                KUBESPRAY_ETCD,
            ),
            pair(
                "/etc/ssl/etcd/ssl/node-{node}.pem",
                "/etc/ssl/etcd/ssl/node-{node}-key.pem",
                KUBESPRAY_ETCD,
            ),
        ],
        processes: &[Process {
            service: "etcd",
            unit: Some("etcd.service"),
            manifest: None,
            ports: &[
                (
                    2379,
                    "etcd-member",
                    "/etc/ssl/etcd/ssl/member-{node}.pem",
                    "/etc/ssl/etcd/ssl/member-{node}-key.pem",
                ),
                (
                    2380,
                    "etcd-member",
                    "/etc/ssl/etcd/ssl/member-{node}.pem",
                    "/etc/ssl/etcd/ssl/member-{node}-key.pem",
                ),
            ],
        }],
    },
    Layout {
        profile: ProfileName::Rke1,
        head: CLUSTER,
        roles: "control-plane, etcd, worker",
        most: 3,
        folders: &["/etc/kubernetes"],
        authorities: &[
            Authority {
                name: "kube-ca",
                file: "/etc/kubernetes/ssl/kube-ca.pem",
                declared: "",
                // Etcd trusts it, and its signing file keeps one certificate; while it is replaced the controller manager would sign with two.
                can: Can::Last,
            },
            Authority {
                name: "requestheader-ca",
                file: "/etc/kubernetes/ssl/kube-apiserver-requestheader-ca.pem",
                declared: "",
                can: Can::Stay,
            },
        ],
        trusted: &[
            Pem("/etc/kubernetes/ssl/kube-ca.pem"),
            Pem("/etc/kubernetes/ssl/kube-apiserver-requestheader-ca.pem"),
        ],
        leaves: &[
            pair(
                "/etc/kubernetes/ssl/kube-apiserver.pem",
                "/etc/kubernetes/ssl/kube-apiserver-key.pem",
                RKE_CA,
            ),
            pair(
                "/etc/kubernetes/ssl/kube-apiserver-proxy-client.pem",
                "/etc/kubernetes/ssl/kube-apiserver-proxy-client-key.pem",
                RKE_FRONT,
            ),
            pair(
                "/etc/kubernetes/ssl/kube-controller-manager.pem",
                "/etc/kubernetes/ssl/kube-controller-manager-key.pem",
                RKE_CA,
            ),
            pair(
                "/etc/kubernetes/ssl/kube-scheduler.pem",
                "/etc/kubernetes/ssl/kube-scheduler-key.pem",
                RKE_CA,
            ),
            pair("/etc/kubernetes/ssl/kube-proxy.pem", "/etc/kubernetes/ssl/kube-proxy-key.pem", RKE_CA),
            pair("/etc/kubernetes/ssl/kube-node.pem", "/etc/kubernetes/ssl/kube-node-key.pem", RKE_CA),
            pair(
                "/etc/kubernetes/ssl/kube-etcd-{dashed}.pem",
                "/etc/kubernetes/ssl/kube-etcd-{dashed}-key.pem",
                RKE_CA,
            ),
        ],
        processes: &[],
    },
    Layout {
        profile: ProfileName::Custom,
        head: "  certificates:\n    broker: { authority: broker-ca, subject: { commonName: broker }, usages: [server, client], \
               files: { certificate: /etc/broker/tls.crt, key: /etc/broker/tls.key }, copies: { proxy: { combined: { path: /etc/proxy/tls.pem } } }, on: { role: worker } }\n    \
               client: { authority: broker-ca, subject: { commonName: client }, usages: [client], holders: shared, \
               files: { certificate: /etc/clients/tls.crt, key: /etc/clients/tls.key }, on: { role: worker } }\n",
        roles: "worker",
        most: 3,
        folders: &[],
        authorities: &[Authority {
            name: "broker-ca",
            file: "/etc/broker/ca.crt",
            declared: "subject: { commonName: broker-ca }, files: { certificate: /etc/broker/ca.crt, key: /etc/broker/ca.key }, copies: { clients: { path: /etc/clients/ca.crt } }, on: { role: worker }",
            can: Can::Stay,
        }],
        trusted: &[Pem("/etc/broker/ca.crt"), Pem("/etc/clients/ca.crt")],
        leaves: &[
            pair("/etc/broker/tls.crt", "/etc/broker/tls.key", OWN),
            pair("/etc/proxy/tls.pem", "/etc/proxy/tls.pem", OWN),
            pair("/etc/clients/tls.crt", "/etc/clients/tls.key", OWN),
        ],
        processes: &[],
    },
];
