//! The authorities of a spec and its profile: what each should be, and which nodes hold a copy.

use std::collections::{BTreeMap, BTreeSet};

use super::parts::{owned_file, pair};
use super::{ResolveError, Resolver, decide, placed, unknown_placeholder};
use crate::desired::template::Values;
use crate::desired::{
    AuthorityCopy, Decided, DesiredAuthority, DesiredConsumer, DesiredIdentity, DesiredNode,
};
use crate::profile::{Domain, What};
use crate::spec::custom_root::Roots;
use crate::spec::types::{Authority, CertificateFile, Consumer, Node};
use crate::types::certificate::SubjectName;
use crate::types::names::{AuthorityName, ConsumerName, CopyName, NodeName};
use crate::types::scalars::FileMode;
use crate::types::storage::{FileSpec, Storage};

impl Resolver<'_> {
    pub(super) fn authority_copies(
        &self,
        name: &NodeName,
        node: &Node,
        values: &Values,
        problems: &mut Vec<ResolveError>,
    ) -> BTreeMap<AuthorityName, AuthorityCopy> {
        let mut copies = BTreeMap::new();
        for (authority, entry) in &self.profile.authorities {
            if self.applies(&entry.on, entry.needs, node) {
                let may_hold_key = self.applies(&entry.key_on, entry.needs, node);
                let declared =
                    self.spec.authorities.get(authority).and_then(|declared| declared.files.as_ref());
                let files = pair(declared.unwrap_or(&entry.files), values);
                if let Some((certificate, key)) = files {
                    let (certificate, key) = match declared {
                        Some(_) => (certificate, key),
                        None => (self.placed(name, certificate), self.placed(name, key)),
                    };
                    let here = entry.copies.iter().filter(|(_, copy)| self.applies(&copy.on, None, node));
                    let mut further: BTreeMap<CopyName, FileSpec> = here
                        .filter_map(|(name, copy)| {
                            Some((name.clone(), certificate_file(&copy.file, values)?))
                        })
                        .collect();
                    further.extend(self.declared_copies(authority, values, problems));
                    let copy = AuthorityCopy { certificate, key, may_hold_key, copies: further };
                    copies.insert(authority.clone(), copy);
                }
            }
        }
        for (authority, entry) in &self.spec.authorities {
            let (Some(files), Some(on)) = (&entry.files, &entry.on) else { continue };
            if self.profile.authorities.contains_key(authority) || !placed(on, name, node) {
                continue;
            }
            match pair(files, values) {
                Some((certificate, key)) => {
                    let further = self.declared_copies(authority, values, problems);
                    let copy = AuthorityCopy { certificate, key, may_hold_key: true, copies: further };
                    copies.insert(authority.clone(), copy);
                }
                None => {
                    problems.push(unknown_placeholder(&["spec", "authorities", authority.as_str(), "files"]))
                }
            }
        }
        copies
    }

    fn declared_copies(
        &self,
        authority: &AuthorityName,
        values: &Values,
        problems: &mut Vec<ResolveError>,
    ) -> BTreeMap<CopyName, FileSpec> {
        let mut copies = BTreeMap::new();
        let declared = self.spec.authorities.get(authority);
        for (name, file) in declared.into_iter().flat_map(|declared| &declared.copies) {
            match certificate_file(file, values) {
                Some(file) => {
                    copies.insert(name.clone(), file);
                }
                None => problems.push(unknown_placeholder(&[
                    "spec",
                    "authorities",
                    authority.as_str(),
                    "copies",
                    name.as_str(),
                ])),
            }
        }
        copies
    }

    /// Who else uses each authority on a node: those of the profile where it is installed, and those that the spec declares.
    pub(super) fn consumers(
        &self,
        name: &NodeName,
        node: &Node,
        values: &Values,
        problems: &mut Vec<ResolveError>,
    ) -> BTreeMap<AuthorityName, BTreeMap<ConsumerName, DesiredConsumer>> {
        let mut consumers: BTreeMap<AuthorityName, BTreeMap<ConsumerName, DesiredConsumer>> = BTreeMap::new();
        let known = self.profile.authorities.iter().map(|(authority, entry)| (authority, &entry.consumers));
        let declared = self.spec.authorities.iter().map(|(authority, entry)| (authority, &entry.consumers));
        for (authority, entries) in known.chain(declared) {
            let is_here = |consumer: &&Consumer| consumer.on.as_ref().is_none_or(|on| placed(on, name, node));
            for (consumer, entry) in entries.iter().filter(|(_, entry)| is_here(entry)) {
                let paths: Option<BTreeSet<String>> =
                    entry.paths.iter().map(|path| values.fill(path)).collect();
                let Some(paths) = paths else {
                    let path = ["spec", "authorities", authority.as_str(), "consumers", consumer.as_str()];
                    problems.push(unknown_placeholder(&path));
                    continue;
                };
                let found = DesiredConsumer { paths, ports: entry.ports.clone(), named_by: None };
                consumers.entry(authority.clone()).or_default().insert(consumer.clone(), found);
            }
        }
        consumers
    }

    pub(super) fn authorities(
        &self,
        nodes: &BTreeMap<NodeName, DesiredNode>,
        roots: &Roots,
    ) -> BTreeMap<AuthorityName, DesiredAuthority> {
        let mut subjects: BTreeMap<&AuthorityName, SubjectName> = BTreeMap::new();
        for (name, entry) in &self.profile.authorities {
            if entry.needs.is_none_or(|role| self.roles.contains(&role)) {
                subjects.insert(name, entry.subject.clone());
            }
        }
        for (name, declared) in &self.spec.authorities {
            let named = || SubjectName { common_name: name.to_string(), organizations: Vec::new() };
            match &declared.subject {
                Some(subject) => {
                    subjects.insert(name, subject.clone());
                }
                None if declared.files.is_some() => {
                    subjects.entry(name).or_insert_with(named);
                }
                None => {}
            }
        }
        let authority = |(name, subject): (&AuthorityName, SubjectName)| {
            let declared = self.spec.authorities.get(name).cloned().unwrap_or_default();
            let holds = |node: &DesiredNode| node.authorities.get(name).is_some_and(|copy| copy.may_hold_key);
            let signers =
                nodes.iter().filter(|(_, node)| holds(node)).map(|(node, _)| node.clone()).collect();
            let authority = self.authority(name, declared, subject, signers);
            let (root, domain) = (roots.get(name).cloned(), self.domain(name, nodes));
            (name.clone(), DesiredAuthority { root, domain, ..authority })
        };
        subjects.into_iter().map(authority).collect()
    }

    /// What the layout says of its own authority; what the spec adds, or leaves out, can only take from that. Of one that the spec adds its use tells.
    fn domain(&self, name: &AuthorityName, nodes: &BTreeMap<NodeName, DesiredNode>) -> Domain {
        let by_use = domain_by_use(name, nodes);
        match self.profile.authorities.get(name) {
            Some(entry) => entry.replace.clone().or_less(by_use),
            None => by_use,
        }
    }

    fn authority(
        &self,
        name: &AuthorityName,
        declared: Authority,
        subject: SubjectName,
        signers: BTreeSet<NodeName>,
    ) -> DesiredAuthority {
        let defaults = &self.spec.defaults;
        let section = ["spec", "authorities", name.as_str()];
        let at = |field: &str| [section[0], section[1], section[2], field].map(str::to_owned).to_vec();
        DesiredAuthority {
            subject,
            validity: decide(
                declared.validity,
                &section,
                "validity",
                defaults.authority_validity,
                "authorityValidity",
            ),
            renew_before: self.renew_before(declared.renew_before, &section),
            alarm_before: decide(
                declared.alarm_before,
                &section,
                "alarmBefore",
                defaults.authority_alarm_before,
                "authorityAlarmBefore",
            ),
            key_algorithm: self.key_algorithm(declared.key_algorithm, &section),
            external: declared.external,
            source: declared.source.map(|value| Decided { value, by: Some(at("source")) }),
            root: None,
            reissue_issued_before: declared
                .reissue_issued_before
                .map(|value| Decided { value, by: Some(at("reissueIssuedBefore")) }),
            distrust: declared.distrust,
            also_trusts: declared.also_trusts,
            on_expiry: declared.on_expiry,
            soak: declared.soak,
            waive: declared.waive,
            domain: Domain::default(),
            is_front_proxy: self.profile.authorities.get(name).is_some_and(|entry| entry.is_front_proxy),
            signers,
        }
    }
}

fn certificate_file(file: &CertificateFile, values: &Values) -> Option<FileSpec> {
    owned_file(&file.path, file.owner.as_deref(), file.mode.unwrap_or(FileMode::PUBLIC), values)
}

/// How far a plan can go with an authority, by who uses it: where members of etcd trust it and no kubeconfig does, nothing inside the cluster has to change.
pub(crate) fn domain_by_use(authority: &AuthorityName, nodes: &BTreeMap<NodeName, DesiredNode>) -> Domain {
    let is_embedded = |node: &DesiredNode| {
        let mut places = node.identities.values().flat_map(DesiredIdentity::places);
        places.any(|place| matches!(place, Storage::Kubeconfig { trusts, .. } if trusts == authority))
    };
    // It takes exactly one certificate to sign with (kubeadm#1350), and while a CA is replaced its file holds two.
    let signer = What::Signer(authority.clone());
    let signs = |node: &DesiredNode| {
        node.services.values().flat_map(|service| &service.reads).any(|read| read.what == signer)
    };
    if !nodes.values().any(|node| node.etcd_trusts(authority)) {
        Domain::None("no member of etcd trusts it".to_owned())
    } else if nodes.values().any(is_embedded) {
        Domain::None("a kubeconfig trusts it".to_owned())
    } else if nodes.values().any(signs) {
        Domain::ExtendOnly(
            "a service signs with its file, which must hold exactly one certificate".to_owned(),
        )
    } else {
        Domain::Nodes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::{Hints, resolve};
    use crate::profile::Profile;
    use crate::spec::types::ClusterPki;
    use crate::types::profile_name::ProfileName;

    #[test]
    fn every_layout_says_of_its_authorities_what_their_use_tells() {
        for name in ProfileName::ALL {
            let profile = Profile::load(name).unwrap();
            let text = format!(
                "apiVersion: pki/v1alpha1
kind: ClusterPKI
metadata: {{ name: prod }}
spec:
  profile: {name}
  kubernetesVersion: v1.31.2
  cluster: {{ controlPlaneEndpoint: api.example.org, serviceSubnet: 10.96.0.0/12 }}
  nodes:
    cp-1: {{ address: 10.0.0.11, roles: [control-plane, etcd] }}
    w-1: {{ address: 10.0.0.21, roles: [worker] }}
"
            );
            let spec: ClusterPki = serde_saphyr::from_str(&text).unwrap();
            let desired = resolve(&spec, &profile, &Hints::default(), &Roots::new()).unwrap();
            for (authority, entry) in &profile.authorities {
                let by_use = domain_by_use(authority, &desired.nodes);
                let allowed = |domain: &Domain| (domain.is_extendable(), domain.is_replaceable());
                assert_eq!(allowed(&entry.replace), allowed(&by_use), "{name} {authority}: {by_use:?}");
                assert_eq!(desired.authorities[authority].domain, entry.replace, "{name} {authority}");
            }
        }
    }
}
