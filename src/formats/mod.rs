//! What lies in the files of nodes: PEM, kubeconfigs, manifests of static pods, the kubelet's configuration. Pure.

pub mod etcd_configuration;
pub mod kubeconfig;
pub mod kubelet;
pub mod manifest;
pub mod node_path;
pub mod pem_facts;
