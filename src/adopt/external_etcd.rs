//! An etcd cluster that no node of this cluster is a member of: the API servers' certificate for it, and the CA by which they check it.

use std::collections::BTreeMap;

use super::{Draft, Evidence, common};
use crate::desired::flagged::key_beside;
use crate::profile::detect::API_SERVER;
use crate::protocol::facts::NodeFacts;
use crate::spec::check::forms::path_fault;
use crate::spec::types::{Authority, Certificate, Files, Placement, Role, Service};
use crate::types::certificate::{SubjectName, Usage};
use crate::types::names::{AuthorityName, IdentityName, NodeName, ServiceName};
use crate::types::profile_name::ProfileName;

/// Declares them where every API server names the same files.
pub(super) fn adopt(draft: &mut Draft, sight: &Evidence<'_>) {
    let spec = &draft.spec.spec;
    let nodes = &sight.survey.desired.nodes;
    let (Ok(authority), Ok(client), Ok(api_server)) = (
        "external-etcd-ca".parse::<AuthorityName>(),
        "external-etcd-client".parse::<IdentityName>(),
        "kube-apiserver".parse::<ServiceName>(),
    ) else {
        return;
    };
    let has_members = nodes.values().any(|node| node.roles.contains(&Role::Etcd));
    if spec.profile != ProfileName::Kubeadm || has_members || spec.certificates.contains_key(&client) {
        return;
    }
    let mut found: BTreeMap<&NodeName, [String; 3]> = BTreeMap::new();
    for (node, _) in nodes.iter().filter(|(_, node)| node.roles.contains(&Role::ControlPlane)) {
        let Some(files) = sight.facts(node).and_then(named) else { return };
        found.insert(node, files);
    }
    let Some((first, [ca, certificate, key])) = found.first_key_value() else { return };
    let Some(facts) = sight.facts(first) else { return };
    let (Some(held), Some(trusted)) = (facts.first_certificate(certificate), facts.first_certificate(ca))
    else {
        return;
    };
    let is_sayable = [ca, certificate, key].iter().all(|path| path_fault(path).is_none());
    if !is_sayable || !found.values().all(|files| files == &[ca.clone(), certificate.clone(), key.clone()]) {
        draft.remark("the API servers name different files for etcd, which is not on these nodes".to_owned());
        return;
    }
    let subjects: Vec<(String, &NodeName, Option<&str>)> = found
        .keys()
        .filter_map(|node| {
            let name =
                sight.facts(node)?.first_certificate(certificate)?.facts().subject.common_name()?.to_owned();
            Some((name, *node, nodes.get(*node)?.address.as_deref()))
        })
        .collect();
    let Some(common_name) = common(&subjects) else { return };
    let organizations = held.facts().subject.organizations().into_iter().collect();
    let subject = SubjectName { common_name, organizations };
    let ca_subject = trusted.facts().subject.common_name().unwrap_or("etcd-ca").to_owned();
    let on = || Some(Placement { role: Some(Role::ControlPlane), ..Placement::default() });
    let files = |certificate: &str, key: String| Files {
        certificate: certificate.to_owned(),
        key,
        owner: None,
        mode: None,
        certificate_mode: None,
    };
    let from = |flag: &str| format!("--{flag} in {API_SERVER}; etcd runs on none of these nodes");
    draft.comments.say(&["authorities", authority.as_str(), "files"], from("etcd-cafile"));
    draft.comments.say(&["authorities", authority.as_str(), "external"], "its key is where etcd runs");
    draft.comments.say(&["certificates", client.as_str(), "files"], from("etcd-certfile"));
    let spec = &mut draft.spec.spec;
    spec.authorities.insert(
        authority.clone(),
        Authority {
            subject: Some(SubjectName { common_name: ca_subject, organizations: Vec::new() }),
            files: Some(files(ca, key_beside(ca))),
            on: on(),
            external: true,
            ..Authority::default()
        },
    );
    spec.certificates.insert(
        client.clone(),
        Certificate {
            authority: Some(authority),
            subject: Some(subject),
            usages: Some([Usage::Client].into()),
            files: Some(files(certificate, key.clone())),
            on: on(),
            ..Certificate::default()
        },
    );
    spec.services.insert(api_server, Service { reads: [client].into(), ..Service::default() });
}

/// The CA, certificate and key for etcd that a node's API server is given.
fn named(facts: &NodeFacts) -> Option<[String; 3]> {
    let (_, manifest) =
        facts.manifests().find(|(_, manifest)| manifest.container("kube-apiserver").is_some())?;
    let container = manifest.container("kube-apiserver")?;
    let path = |flag: &str| container.host_path(container.flags.last(flag)?);
    Some([path("etcd-cafile")?, path("etcd-certfile")?, path("etcd-keyfile")?])
}
