//! What the command line asks for and no plan does: another CA, or another key for service accounts, by `--replace`.
//!
//! What enters is what the user named; what leaves is a block for each thing that is no certificate. A wish that is accepted and not followed would look as if all were well.
//! What the spec wishes for is judged where it is compared with the nodes (`diff::wishes`). Pure.

use crate::types::names::{Address, AuthorityName, KeyPairName, Target};

use crate::plan::known::builder::Builder;

/// Blocks what was named by itself and is replaced in no plan.
pub(crate) fn refuse(builder: &mut Builder<'_>) {
    let desired = &builder.input.survey.desired;
    let mut refused = Vec::new();
    for (name, node) in &desired.nodes {
        let authorities = node.authorities.keys().map(|own| (Target::Authority(own.clone()), of_ca(own)));
        let pairs = node.key_pairs.keys().map(|own| (Target::KeyPair(own.clone()), of_keys(own)));
        for (subject, told) in authorities.chain(pairs) {
            let address = Address::on(subject, name);
            if builder.input.options.names_to_replace(&address) {
                refused.push((address, told));
            }
        }
    }
    for (address, (because, help)) in refused {
        builder.block(&address, because, Some(help), &[]);
    }
}

fn of_ca(authority: &AuthorityName) -> (String, String) {
    (
        format!("`--replace` replaces certificates, and ca/{authority} is a CA"),
        format!(
            "say in the spec why it goes: spec.authorities.{authority}.distrust, with the fingerprint that `pki status` shows"
        ),
    )
}

fn of_keys(pair: &KeyPairName) -> (String, String) {
    (
        format!("key/{pair} signs the tokens of service accounts, and this version does not replace it"),
        "do it by hand, as the page \"Manual Rotation of CA Certificates\" of the Kubernetes documentation says: have every API server verify with both keys (`--service-account-key-file` twice), then sign with the new one, then have every token issued anew, and only then drop the old one".to_owned(),
    )
}
