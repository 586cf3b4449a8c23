//! Keys of distrusted CAs that only the snapshots still hold.
//!
//! What enters are the findings that say so; what leaves is one deed for each key on each node. That of a CA which this plan drops
//! is drawn with its replacement ([`crate::plan::rotation::phases`]); here it is about what an interrupted run, or another way of replacing it,
//! has left. Pure.

use crate::desired::DesiredNode;
use crate::diff::{Effect, Reason};
use crate::types::names::{Address, NodeName, Target};

use crate::plan::known::builder::Builder;
use crate::plan::{Deed, Phase};

/// What the snapshots of a node still hold goes in a phase of its own: there is no way back from it.
pub(crate) fn build(builder: &mut Builder<'_>, name: &NodeName, node: &DesiredNode) {
    for authority in node.authorities.keys() {
        let address = Address::on(Target::Authority(authority.clone()), name);
        let due: Vec<_> = builder
            .findings(&address)
            .iter()
            .filter(|finding| finding.effect == Effect::Due)
            .filter_map(|finding| {
                let Reason::KeyInSnapshots { fingerprint, key, .. } = &finding.reason else {
                    return None;
                };
                let deed = Deed::PurgeSnapshots { fingerprint: *fingerprint, key: *key };
                Some((deed, builder.why(finding)))
            })
            .collect();
        for (deed, why) in due {
            builder.add_in(Phase::Purge, address.clone(), deed, vec![why], false);
        }
    }
}
