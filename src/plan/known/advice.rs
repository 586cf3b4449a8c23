//! What a person can do about a finding that a plan does not fix: the texts, and nothing else.

use crate::diagnostic::escaped;
use crate::diff::{MoveObstacle, Reason, safe_way};
use crate::types::names::{Address, Target};

/// Why something that is due is in no plan, and the way out.
pub(crate) fn not_mended(reason: &Reason, subject: &Target) -> (String, String) {
    let (because, help) = if matches!(reason, Reason::LinkDangling { .. })
        && matches!(subject, Target::Directory(_))
    {
        (
            "the directory behind a link is not there, and an empty one in its place would hide the right one",
            "mount the disk that holds it, or make the directory by hand if it is to be empty",
        )
    } else if matches!(
        reason,
        Reason::NotAFile { .. } | Reason::NotADirectory { .. } | Reason::LinkLoops { .. }
    ) {
        (
            "something else lies in its place, and pki never removes what it does not know",
            "look at it on the node and move it away; the next plan makes what is missing",
        )
    } else if matches!(reason, Reason::SnapshotsUnread { .. }) {
        (
            "a key that may be there is not taken for gone",
            "look at `spec.snapshots.directory` on the node, remove what cannot be read there, and plan again",
        )
    } else if matches!(reason, Reason::Refused { .. }) {
        (
            "those who refuse it do not trust the CA in use either, and trust is never added by guess",
            "compare the CA files of both ends, and put the CA in use into the one that lacks it",
        )
    } else if matches!(subject, Target::Authority(_)) {
        (
            "this version does not replace an authority that is there",
            "plan its replacement in time: nothing that it signs outlives it",
        )
    } else {
        ("pki does not mend this by itself", "look at it on the node, and plan again")
    };
    (because.to_owned(), help.to_owned())
}

/// How a person replaces a CA that no plan replaces.
fn by_hand(authority: &str) -> String {
    format!(
        "do it by hand, as the page \"Manual Rotation of CA Certificates\" of the Kubernetes documentation says: make the new CA; have every node, kubeconfig and pod trust both (kube-controller-manager signs with a file of one certificate, `--cluster-signing-cert-file`); issue every certificate of {authority} anew; only then drop the old one. Remove this wish from the spec until the rotation has begun: `pki status` tells how far it is, and `pki plan` goes on with everything else"
    )
}

/// The way out of what blocks.
pub(crate) fn help(reason: &Reason, address: &Address) -> Option<String> {
    let Address { target, place: node } = address;
    if matches!(reason, Reason::WrongIssuer { .. }) {
        return Some(format!(
            "find out which CA the cluster really uses; if the CA on {node} is right, reissue: `pki plan --replace {address} --only {address}`"
        ));
    }
    if let Reason::LinkIsDirectory { wanted, .. } = reason {
        return Some(format!(
            "declare `migrate: true` in `directories` to have it moved to {wanted} and the link put in its place; programs that read below it have to be restarted then"
        ));
    }
    if let Reason::CannotMove { obstacle, .. } = reason {
        return Some(match obstacle {
            MoveObstacle::HoldsFiles { .. } => "look at both on the node: pki never merges two directories. Move away the one that is not in use".to_owned(),
            MoveObstacle::IsLink { .. } | MoveObstacle::IsNoDirectory => "look at it on the node: pki never replaces something that is there. Move it away, or declare another `path`".to_owned(),
            MoveObstacle::IsMounted => "the files are on a file system of their own already: remove `link` and let `path` name this place, or mount it elsewhere".to_owned(),
        });
    }
    if matches!(reason, Reason::LinkIsFile { .. }) {
        return Some(
            "look at the file on the node and move it away; the next plan makes the link".to_owned(),
        );
    }
    if let Reason::UnsafeLink { step, declare, .. } = reason {
        return Some(safe_way(step, declare.as_ref()));
    }
    if let Reason::ForeignDirectory { step, .. } = reason {
        return Some(safe_way(step, None));
    }
    if let Reason::KeyBehindLink { resolved, .. } = reason {
        let resolved = escaped(resolved);
        return Some(format!(
            "put the key itself there, or declare the file's own place in the spec: {resolved}"
        ));
    }
    if let Reason::ForeignContent { path, .. } = reason {
        return Some(format!(
            "look at it on {node}; if it may go, say so: --replace-foreign {}. Its bytes stay in the snapshot",
            escaped(path)
        ));
    }
    if *target == Target::Node && matches!(reason, Reason::Unknown { .. }) {
        return Some(format!("leave it out with --skip-node {node}, or make it reachable"));
    }
    if let Reason::OtherMachine { name, by, .. } = reason {
        return Some(format!(
            "call it {name} in the spec, or give {node} the connection that leads to {node}; if {by} was copied from another machine, put the right one back"
        ));
    }
    if let Reason::AddressOfAnother { other, .. } = reason {
        return Some(format!("declare the `address` of {node} and of {other} in the spec, each its own"));
    }
    if let Reason::CannotReplace { authority, .. } = reason {
        return Some(by_hand(authority.as_str()));
    }
    let text = if matches!(reason, Reason::RootDiffers { .. }) {
        "this version replaces the CAs of a running etcd only; remove `source` to stay with the one that is there, or put the other one in its place by hand, as the page \"Manual Rotation of CA Certificates\" of the Kubernetes documentation says"
    } else if matches!(reason, Reason::TrustedAnyway { .. }) {
        "remove it from `alsoTrusts`: an authority's own CA is trusted as long as it is the authority"
    } else if matches!(reason, Reason::DiffersBetweenNodes { .. }) {
        "copy the right one to this node by hand; which one that is only you can tell"
    } else if matches!(reason, Reason::KeyMismatch { .. } | Reason::PublicKeyMismatch { .. }) {
        "put back the half that belongs to the other one, from a backup or another node"
    } else if matches!(reason, Reason::TakesCareItself { .. }) {
        "take the node out of the spec, and renew its certificates as its distribution does"
    } else if matches!(reason, Reason::ClockSkew { .. }) {
        "set the node's clock right, for example with chrony, and plan again"
    } else if matches!(reason, Reason::LinkLoops { .. } | Reason::LinkDiffers { .. }) {
        "look at the link on the node; pki never replaces something that is there"
    } else {
        return None;
    };
    Some(text.to_owned())
}
