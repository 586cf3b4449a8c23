//! Deeds about identities: certificates with their keys.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::case::{Case, NotIssued, trust};
use super::issue::write_new;
use super::shared::Shared;
use super::{copies, shared};
use crate::desired::DesiredNode;
use crate::diff::{Effect, Finding, IdentityView};
use crate::formats::kubeconfig::{KubeconfigFacts, Material};
use crate::formats::node_path::beside;
use crate::plan::known::builder::Builder;
use crate::plan::rotation::holds::is_waited_for;
use crate::plan::rotation::split_ca::issued_by_the_other;
use crate::protocol::facts::{NodeFacts, Seen};
use crate::types::names::{Address, IdentityName, NodeName, Target};
use crate::types::storage::{FileSpec, Storage};

pub(crate) fn build(
    builder: &mut Builder<'_>,
    shared: &BTreeMap<IdentityName, Shared<'_>>,
    name: &NodeName,
    node: &DesiredNode,
    facts: &NodeFacts,
) {
    for (identity, wanted) in &node.identities {
        let address = Address::on(Target::Identity(identity.clone()), name);
        let Some(view) = builder.input.differences.identity(name, identity).cloned() else { continue };
        let model = view.certificate.clone();
        let case = Case { name, node, wanted, storage: &wanted.storage, facts, view, model, address };
        if wanted.shared {
            shared::build(builder, shared, case, identity);
        } else {
            build_own(&case, builder);
        }
        copies::of_identity(builder, (identity, wanted), name, node, facts);
    }
}

fn build_own(case: &Case<'_>, builder: &mut Builder<'_>) {
    let findings = builder.findings(&case.address).to_vec();
    let mut reasons: Vec<Finding> = findings
        .iter()
        .filter(|finding| finding.effect == Effect::Due && finding.reason.reissues())
        .filter(|finding| !is_waited_for(builder, &case.address, finding))
        .cloned()
        .collect();
    reasons.extend(issued_by_the_other(builder, case.wanted, case.view.certificate.as_ref()));
    reasons.extend(builder.input.asked_for(&case.address));
    if reasons.is_empty() {
        case.update_trust(builder, &trust(&findings));
    } else if is_read_by_no_kubelet(case, builder) {
        let (path, node) = (case.storage.certificate_path(), case.name);
        let because =
            format!("no kubelet on {node} reads {path}: its configuration has no `serverTLSBootstrap: true`");
        let help = "set it in the kubelet's configuration first, or name only nodes whose kubelet has it";
        let reasons = reasons.iter().map(|finding| builder.why(finding)).collect();
        case.stopped(builder, NotIssued::Blocked(because, Some(help.to_owned())), reasons);
    } else if !case.is_blocked(builder, &findings) {
        match kubelets_own_file(case) {
            Some(storage) => {
                let view = Arc::new(IdentityView::clone(&case.view));
                let (model, address) = (case.model.clone(), case.address.clone());
                let own = Case { storage: &storage, view, model, address, ..*case };
                write_new(&own, builder, reasons);
                case.update_trust(builder, &trust(&findings));
            }
            None => {
                reasons.extend(trust(&findings));
                write_new(case, builder, reasons);
            }
        }
    }
}

/// Whether a kubelet's own file is not there, and its kubelet would not look for it. One without `serverTLSBootstrap` serves a certificate that it signs itself
/// (Kubernetes 1.20, cmd/kubelet/app/server.go `InitializeTLS`, and pkg/kubelet/certificate/kubelet.go).
fn is_read_by_no_kubelet(case: &Case<'_>, builder: &Builder<'_>) -> bool {
    case.wanted.rotated_by_kubelet
        && builder.input.is_rightly_absent(&case.address)
        && !case.facts.kubelet_configurations().any(|(_, own)| own.server_tls_bootstrap)
}

/// The file to which a kubelet has pointed its kubeconfig. With what lies there it cannot ask for another certificate any more, else it would be left to it; with a
/// new one in the same place it goes on as before (kubeadm#2054).
fn kubelets_own_file(case: &Case<'_>) -> Option<Storage> {
    let Storage::Kubeconfig { file, rotated: Some(path), .. } = case.storage else { return None };
    let (_, user) = case.kubeconfig().and_then(KubeconfigFacts::current)?;
    let is_it = |material: &Material| matches!(material, Material::File { path: named } if beside(&file.path, named) == *path);
    // One that could not be read is not the kubelet's to go on with; that is a finding, which blocks.
    let is_there = matches!(case.facts.files.get(path).map(Seen::known), Some(Ok(Some(_))));
    (is_there && is_it(&user.certificate) && is_it(&user.key))
        .then(|| Storage::Combined { file: FileSpec { path: path.clone(), ..file.clone() } })
}
