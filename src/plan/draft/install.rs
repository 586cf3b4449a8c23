//! Deeds that put a custom root CA of the spec on the nodes of a cluster that has none yet.

use jiff::Timestamp;

use crate::desired::{AuthorityCopy, DesiredAuthority};
use crate::diagnostic::Code;
use crate::spec::custom_root::{CustomRoot, period_fault};
use crate::types::names::{Address, AuthorityName, NodeName, Target};

use crate::plan::known::builder::Builder;
use crate::plan::known::signer::Signer;
use crate::plan::{Bundle, Deed, RootSource};

/// Certificate and key go to the first holder, from where the other holders get the key; the certificate is known, so nobody waits for it.
pub(crate) fn install(
    builder: &mut Builder<'_>,
    name: &AuthorityName,
    wanted: &DesiredAuthority,
    (first, files): (&NodeName, &AuthorityCopy),
    due: &[(&NodeName, &AuthorityCopy)],
) {
    let address = |node: &NodeName| Address::on(Target::Authority(name.clone()), node);
    let at = address(first);
    let Some(CustomRoot { certificate_path, key_path, certificate: Some(root) }) = &wanted.root else {
        // That it may not be read is a finding of its own, which blocks.
        if wanted.root.is_none() {
            let because = format!("the own root CA that `source` names for {name} was not read");
            builder.block(&at, because, None, &[]);
        }
        return;
    };
    let longest = longest(builder, name);
    let longest = longest.as_ref().map(|(name, end)| (name.as_str(), *end));
    let fault = period_fault(root, builder.input.now, longest);
    if let Some(fault) = fault.filter(|fault| fault.code != Code::RootShortLived) {
        let because = format!("{certificate_path} cannot be put on the nodes: {}", fault.message);
        let help = format!("{}; pki explain {} says more", fault.help, fault.code);
        builder.block(&at, because, Some(help), &[]);
    }
    let deed = Deed::InstallAuthority {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        root: root.clone(),
        source: RootSource { certificate: certificate_path.clone(), key: key_path.clone() },
    };
    let why = builder.missing(&at);
    builder.add(at, deed, why, false);
    let signer = Signer {
        node: first.clone(),
        files: files.clone(),
        not_after: root.facts().not_after,
        certificate: Some(root.clone()),
    };
    builder.sources.signers.insert(name.clone(), signer.clone());
    for (node, copy) in due.iter().filter(|(node, _)| *node != first) {
        let why = builder.missing(&address(node));
        let bundle = Deed::WriteBundle {
            file: copy.certificate.clone(),
            bundle: Bundle::one(root),
            before: Vec::new(),
        };
        builder.add(address(node), bundle, why.clone(), false);
        if copy.may_hold_key {
            builder.add(address(node), signer.key_for(&copy.key), why, false);
        }
    }
}

/// The latest end of what the authority issues on any node, with its name.
fn longest(builder: &Builder<'_>, name: &AuthorityName) -> Option<(String, Timestamp)> {
    let now = builder.input.now;
    let nodes = builder.input.survey.desired.nodes.values();
    let issued =
        nodes.flat_map(|node| &node.identities).filter(|(_, wanted)| wanted.authority.as_ref() == Some(name));
    let ends = issued.map(|(identity, wanted)| (wanted.validity.value.after(now), identity));
    ends.max_by(|left, right| (left.0, right.1).cmp(&(right.0, left.1)))
        .map(|(end, identity)| (identity.to_string(), end))
}
