//! The profiles as tables, read against what kubeadm and etcd do.

use super::*;

#[test]
fn every_profile_parses_and_is_closed_in_itself() {
    for name in ProfileName::ALL {
        let profile = Profile::load(name).unwrap();
        for (identity, entry) in &profile.identities {
            assert!(!entry.subjects.is_empty(), "{name} {identity} has no subject");
            if let Some(authority) = &entry.authority {
                assert!(profile.authorities.contains_key(authority), "{name} {identity}: {authority}");
            }
        }
        for (service, entry) in &profile.services {
            for read in &entry.reads {
                assert!(read.source.is_some(), "{name} {service}: {:?} has no source", read.what);
                match &read.what {
                    What::Identity(identity) | What::KubeconfigTrust(identity) => {
                        assert!(profile.identities.contains_key(identity), "{name} {service} {identity}");
                    }
                    What::Trust(authority) | What::Signer(authority) => {
                        assert!(profile.authorities.contains_key(authority), "{name} {service} {authority}");
                    }
                    What::KeyPair(pair) => assert!(profile.key_pairs.contains_key(pair), "{name} {pair}"),
                }
            }
        }
    }
}
