//! The names of the built-in profiles: one list, of which whoever needs something for each profile makes it.
//!
//! What enters is nothing; what leaves is the list and the enum of it. What a profile says is in the file of its name, in [`crate::profile`].

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The list: hands `VARIANT = NAME;` of every profile to another macro.
macro_rules! profiles {
    ($then:ident) => {
        $then! {
            /// A cluster made by kubeadm, with stacked or external etcd.
            Kubeadm = "kubeadm";
            /// An Alibaba Cloud ACK dedicated cluster: kubeadm's files, and etcd under systemd with files of its own.
            Ack = "ack";
            /// A StarlingX controller: kubeadm's files, and etcd with a CA of its own in `/etc/etcd`.
            Starlingx = "starlingx";
            /// The etcd cluster of kubespray.
            KubesprayEtcd = "kubespray-etcd";
            /// A cluster made by RKE1.
            Rke1 = "rke1";
            /// A plain etcd cluster under systemd.
            Etcd = "etcd";
            /// Nothing is built in: everything is declared in the spec.
            Custom = "custom";
        }
    };
}

pub(crate) use profiles;

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)*) => {
        /// The built-in catalogues of files, authorities, identities and services.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum ProfileName {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl ProfileName {
            /// Every profile.
            pub const ALL: [ProfileName; [$(ProfileName::$variant),*].len()] = [$(ProfileName::$variant),*];

            /// The name as a spec writes it.
            pub fn as_str(self) -> &'static str {
                match self { $(ProfileName::$variant => $name,)* }
            }
        }
    };
}

profiles!(names);

impl ProfileName {
    /// Whether it is the one in which nothing is built in.
    pub fn is_custom(self) -> bool {
        self == ProfileName::Custom
    }
}

impl fmt::Display for ProfileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
