//! Certificates, keys and files that hold them: what is issued, what others issued, and what is broken.

pub(crate) mod chains;
pub(crate) mod issuing;
pub(crate) mod key_and_pem_shapes;
pub(crate) mod kubeconfigs;
pub(crate) mod mutations;
pub(crate) mod odd_cas;
