//! The certificates of a spec and its profile: what each should be on a node, where it is kept, and where else it lies.

use std::collections::{BTreeMap, BTreeSet};

use super::parts::{add_name, fill_subject};
use super::storage::{ENDPOINT_URL, declared_copies, declared_modes, declared_storage, entry_storage};
use super::{ResolveError, Resolver, decide, placed, spec_path, unknown_placeholder};
use crate::desired::template::Values;
use crate::desired::{DesiredCopy, DesiredIdentity, DesiredNames, DesiredNode};
use crate::formats::node_path::file_name;
use crate::profile::{IdentityEntry, NamesOf, PlaceEntry, StorageEntry, applicable};
use crate::protocol::state_layout::REQUESTS;
use crate::spec::types::{Certificate, Holders, Names, Node, Role};
use crate::types::certificate::SubjectName;
use crate::types::names::{AuthorityName, CopyName, IdentityName, NodeName};
use crate::types::scalars::FileMode;
use crate::types::storage::{FileSpec, Storage};

impl Resolver<'_> {
    pub(super) fn identities(
        &self,
        name: &NodeName,
        node: &Node,
        values: &Values,
        problems: &mut Vec<ResolveError>,
    ) -> BTreeMap<IdentityName, DesiredIdentity> {
        let mut identities = BTreeMap::new();
        for (identity, entry) in &self.profile.identities {
            let own = self.hints.versions.get(name).copied();
            let version = self.version_of(name).max(own);
            let exists = entry.since.is_none_or(|since| version.is_none_or(|version| since <= version));
            let declared = self.spec.certificates.get(identity);
            let wanted = match declared.and_then(|declared| declared.on.as_ref()) {
                Some(on) => placed(on, name, node),
                None => self.applies(&entry.on, entry.needs, node),
            };
            if !exists || !wanted {
                continue;
            }
            let declared = declared.cloned().unwrap_or_default();
            for (own_name, values) in self.instances(identity, entry.each, values, problems) {
                let desired =
                    self.profile_identity((identity, entry), &declared, (name, node), &values, problems);
                identities.extend(desired.map(|desired| (own_name, desired)));
            }
        }
        for (identity, declared) in &self.spec.certificates {
            if !self.profile.identities.contains_key(identity)
                && let Some(desired) =
                    self.additional_identity(identity, declared, name, node, values, problems)
            {
                identities.insert(identity.clone(), desired);
            }
        }
        self.leave_to_owners(&mut identities);
        for (identity, desired) in &mut identities {
            desired.request = self.request(identity, desired.authority.as_ref());
        }
        identities
    }

    /// Where a flag gives a component the files of another certificate, that one alone is issued there: two would overwrite each other. What it has to be good for
    /// then is good for both.
    fn leave_to_owners(&self, identities: &mut BTreeMap<IdentityName, DesiredIdentity>) {
        let mut places: BTreeMap<String, Vec<IdentityName>> = BTreeMap::new();
        for (name, identity) in &*identities {
            places.entry(identity.storage.certificate_path().to_owned()).or_default().push(name.clone());
        }
        for (path, names) in places {
            let is_free = |name: &&IdentityName| {
                let declared = self.spec.certificates.get(*name);
                declared.is_none_or(|declared| declared.files.is_none() && declared.kubeconfig.is_none())
            };
            let is_own = |name: &&IdentityName| self.file_of(name) == Some(file_name(&path));
            let Some(owner) = names.iter().find(|name| !is_free(name) || is_own(name)) else { continue };
            for name in names.iter().filter(|name| *name != owner).filter(is_free) {
                let Some(guest) = identities.remove(name) else { continue };
                if let Some(owner) = identities.get_mut(owner) {
                    owner.usages.extend(guest.usages);
                }
            }
        }
    }

    /// What the layout calls the file of a certificate, without its directory.
    fn file_of(&self, name: &IdentityName) -> Option<&str> {
        let StorageEntry::Files(files) = &self.profile.identities.get(name)?.storage else { return None };
        Some(file_name(&files.certificate))
    }

    /// The names under which an identity exists, each with the values of its placeholders: one, or one for each member.
    fn instances(
        &self,
        identity: &IdentityName,
        each: Option<Role>,
        values: &Values,
        problems: &mut Vec<ResolveError>,
    ) -> Vec<(IdentityName, Values)> {
        let Some(role) = each else { return vec![(identity.clone(), values.clone())] };
        let mut instances = Vec::new();
        for (member, values) in self.members(role, values) {
            if let Some(dispute) = values.disputed("{member-index}") {
                let message = format!("{}; {}", dispute.because, dispute.help);
                problems.push(ResolveError::new(&["spec", "nodes", member.as_str()], message));
                continue;
            }
            let Some(name) = member_name(identity, member) else {
                let message =
                    format!("the name of the node is too long for its certificate {identity}-{member}");
                problems.push(ResolveError::new(&["spec", "nodes", member.as_str()], message));
                continue;
            };
            if values.fill("{member-address}").is_none() {
                if self.hints.asked {
                    let message = format!(
                        "the files of {name} are called after the address of {member}, which is not known; declare its `address`"
                    );
                    problems.push(ResolveError::new(&["spec", "nodes", member.as_str()], message));
                }
                continue;
            }
            instances.push((name, values));
        }
        instances
    }

    /// Every node of a role, each with the values of the placeholders that stand for it.
    fn members(&self, role: Role, values: &Values) -> Vec<(&NodeName, Values)> {
        let members = self.spec.nodes.iter().filter(|(_, node)| node.roles.contains(&role));
        let with_values = |(position, (member, node)): (usize, (_, &Node))| {
            // What a node says of itself goes into its own certificates; into those of others only where it was reached there.
            let name: &NodeName = member;
            let is_itself = values.fill("{node}").as_deref() == Some(name.as_str());
            let word = self.hints.addresses.get(name).map(|told| &told.value);
            let own = word.filter(|word| is_itself || self.is_reached_at(name, node, word)).cloned();
            let address = node.address.clone().or(own);
            let told = address.as_ref().and_then(|address| self.hints.member_indexes.get(address)).cloned();
            let disputed = address.as_ref().and_then(|address| self.hints.disputed_members.get(address));
            let dashed = address.as_ref().map(|address| address.replace(['.', ':'], "-"));
            let mut values = values.clone();
            values.set("member", name.as_str());
            values.set_if_known("member-dashed", dashed);
            values.set_if_known("member-address", address);
            values.set("member-index", told.unwrap_or_else(|| (position + 1).to_string()));
            if let Some(dispute) = disputed {
                values.dispute("member-index", dispute);
            }
            (name, values)
        };
        members.enumerate().map(with_values).collect()
    }

    /// Whether the operator's own connection leads to this address.
    fn is_reached_at(&self, name: &NodeName, node: &Node, address: &str) -> bool {
        let connection = node.connection.as_ref().or(self.spec.connection.as_ref());
        let ssh = connection.and_then(|connection| connection.ssh.as_ref());
        ssh.is_some_and(|ssh| ssh.host_of(name, node) == address)
    }

    fn profile_identity(
        &self,
        (name, entry): (&IdentityName, &IdentityEntry),
        declared: &Certificate,
        (node_name, node): (&NodeName, &Node),
        values: &Values,
        problems: &mut Vec<ResolveError>,
    ) -> Option<DesiredIdentity> {
        let fill = |subject: &SubjectName| fill_subject(subject, values);
        let (subject, accepted_subjects) = match &declared.subject {
            Some(subject) => (fill(subject), fill(subject).into_iter().collect()),
            None => {
                let accepted = entry.subjects.iter().filter(|subject| subject.held_up_to(self.newest()));
                let accepted: Vec<_> = accepted.filter_map(|subject| fill(&subject.value)).collect();
                (applicable(&entry.subjects, self.version_of(node_name)).and_then(fill), accepted)
            }
        };
        let authority = declared.authority.clone().or_else(|| entry.authority.clone());
        // A user of a kubeconfig needs a name before the version is known, and subjects differ between versions in their groups only.
        let named = subject.as_ref().or(accepted_subjects.first()).cloned();
        let own = (declared.files.as_ref(), declared.kubeconfig.as_ref());
        let storage = match own {
            (None, None) => {
                let storage = entry_storage(&entry.storage, values);
                storage.map(|storage| self.storage_placed(node_name, storage))
            }
            (files, kubeconfig) => {
                declared_storage(files, kubeconfig, named.as_ref(), authority.as_ref(), values)
            }
        };
        let Some(storage) = storage else {
            problems.push(unknown_placeholder(&["spec", "certificates", name.as_str(), "files"]));
            return None;
        };
        let mut copies = self.profile_copies(&entry.copies, node, values);
        copies.extend(declared_copies(
            name,
            declared,
            &storage,
            named.as_ref(),
            authority.as_ref(),
            values,
            problems,
        ));
        let common = self.common(name, declared, storage);
        Some(DesiredIdentity {
            authority,
            subject,
            accepted_subjects,
            usages: declared.usages.clone().unwrap_or_else(|| entry.usages.clone()),
            names: self.profile_names(name, entry, &declared.names, values),
            server_told: own_server(entry, declared).and_then(|server| values.word(server)),
            server_disputed: own_server(entry, declared).and_then(|server| values.disputed(server)).cloned(),
            optional: entry.optional,
            rotated_by_kubelet: entry.rotated_by_kubelet,
            shared: declared.holders.unwrap_or(entry.holders) == Holders::Shared,
            copies,
            reuse_key: common.reuse_key || entry.keeps_key,
            ..common
        })
    }

    /// A place of the profile that cannot be filled in belongs to something that the cluster does not have.
    fn profile_copies(
        &self,
        entries: &BTreeMap<CopyName, PlaceEntry>,
        node: &Node,
        values: &Values,
    ) -> BTreeMap<CopyName, DesiredCopy> {
        let here = entries.iter().filter(|(_, entry)| self.applies(&entry.on, None, node));
        here.filter_map(|(name, entry)| {
            let storage = entry_storage(&entry.storage, values)?;
            Some((name.clone(), DesiredCopy { storage, keep: entry.keep }))
        })
        .collect()
    }

    fn additional_identity(
        &self,
        name: &IdentityName,
        declared: &Certificate,
        node_name: &NodeName,
        node: &Node,
        values: &Values,
        problems: &mut Vec<ResolveError>,
    ) -> Option<DesiredIdentity> {
        let path = ["spec", "certificates", name.as_str()];
        let has_place = declared.files.is_some() || declared.kubeconfig.is_some();
        let (Some(authority), Some(subject), Some(usages), true, Some(on)) =
            (&declared.authority, &declared.subject, &declared.usages, has_place, &declared.on)
        else {
            problems.push(ResolveError::new(
                &path,
                format!(
                    "the profile {} has no certificate `{name}`; an additional one needs `authority`, `subject`, `usages`, `files` or `kubeconfig`, and `on`",
                    self.spec.profile
                ),
            ));
            return None;
        };
        if !self.knows_authority(authority) {
            problems.push(ResolveError::new(
                &["spec", "certificates", name.as_str(), "authority"],
                format!("no authority `{authority}` in the profile {} or in this spec", self.spec.profile),
            ));
            return None;
        }
        if !placed(on, node_name, node) {
            return None;
        }
        let subject = fill_subject(subject, values);
        let (files, kubeconfig) = (declared.files.as_ref(), declared.kubeconfig.as_ref());
        let storage = declared_storage(files, kubeconfig, subject.as_ref(), Some(authority), values);
        let (Some(subject), Some(storage)) = (subject, storage) else {
            problems.push(unknown_placeholder(&path));
            return None;
        };
        Some(DesiredIdentity {
            authority: Some(authority.clone()),
            accepted_subjects: vec![subject.clone()],
            usages: usages.clone(),
            names: self.names(name, &[], &declared.names, values),
            shared: declared.holders == Some(Holders::Shared),
            copies: declared_copies(
                name,
                declared,
                &storage,
                Some(&subject),
                Some(authority),
                values,
                problems,
            ),
            subject: Some(subject),
            ..self.common(name, declared, storage)
        })
    }

    /// What every identity takes from its own declaration and the defaults; the caller fills in the rest.
    fn common(&self, name: &IdentityName, declared: &Certificate, storage: Storage) -> DesiredIdentity {
        let defaults = &self.spec.defaults;
        let section = ["spec", "certificates", name.as_str()];
        DesiredIdentity {
            authority: None,
            subject: None,
            accepted_subjects: Vec::new(),
            usages: BTreeSet::new(),
            names: DesiredNames::default(),
            validity: decide(declared.validity, &section, "validity", defaults.validity, "validity"),
            renew_before: self.renew_before(declared.renew_before, &section),
            alarm_before: decide(
                declared.alarm_before,
                &section,
                "alarmBefore",
                defaults.alarm_before,
                "alarmBefore",
            ),
            key_algorithm: self.key_algorithm(declared.key_algorithm, &section),
            reuse_key: declared.reuse_keys.unwrap_or(defaults.reuse_keys),
            declared_modes: declared_modes(name, declared, &storage),
            storage,
            server_told: None,
            server_disputed: None,
            optional: false,
            rotated_by_kubelet: false,
            shared: false,
            copies: BTreeMap::new(),
            request: None,
        }
    }

    /// Where the request of a certificate waits that is signed elsewhere.
    fn request(&self, name: &IdentityName, authority: Option<&AuthorityName>) -> Option<FileSpec> {
        let declared = self.spec.authorities.get(authority?)?;
        let root = || "root".to_owned();
        let directory = self.spec.snapshots.directory.trim_end_matches('/');
        declared.external.then(|| FileSpec {
            path: format!("{directory}/{REQUESTS}/{name}.pem"),
            user: root(),
            group: root(),
            mode: FileMode::PRIVATE,
        })
    }

    fn profile_names(
        &self,
        name: &IdentityName,
        entry: &IdentityEntry,
        declared: &Names,
        values: &Values,
    ) -> DesiredNames {
        let mut names = self.names(name, &entry.names, declared, values);
        let others = entry.names_of.iter().filter(|_| declared.only.is_none());
        for NamesOf { role, names: templates } in others {
            for (_, values) in self.members(*role, values) {
                templates.iter().for_each(|template| fill_name(&mut names, template, &values));
            }
        }
        names
    }

    fn names(
        &self,
        name: &IdentityName,
        profile: &[String],
        declared: &Names,
        values: &Values,
    ) -> DesiredNames {
        let mut names = DesiredNames::default();
        if declared.only.is_none() {
            profile.iter().for_each(|template| fill_name(&mut names, template, values));
        }
        let own = declared.dns.iter().chain(&declared.ip);
        let only = declared.only.iter().flat_map(|only| only.dns.iter().chain(&only.ip));
        own.chain(only).for_each(|template| fill_name(&mut names, template, values));
        names.exact = declared.only.is_some();
        if *declared != Names::default() {
            names.by = Some(spec_path(&["spec", "certificates", name.as_str(), "names"]));
        }
        names
    }
}

/// The template of the API server's URL in a kubeconfig.
fn own_server<'a>(entry: &'a IdentityEntry, declared: &'a Certificate) -> Option<&'a str> {
    if let Some(kubeconfig) = &declared.kubeconfig {
        return Some(kubeconfig.server.as_deref().unwrap_or(ENDPOINT_URL));
    }
    match &entry.storage {
        StorageEntry::Kubeconfig(kubeconfig) => Some(&kubeconfig.server),
        StorageEntry::Files(_) | StorageEntry::Combined(_) => None,
    }
}

fn fill_name(names: &mut DesiredNames, template: &str, values: &Values) {
    match values.fill(template) {
        Some(text) => {
            names.told.extend(values.word(template).map(|word| (text.clone(), word)));
            add_name(names, text);
        }
        None => {
            names.disputed = names.disputed.take().or_else(|| values.disputed(template).cloned());
            names.unresolved.insert(template.to_owned());
        }
    }
}

/// Shared identities whose subject or names would be others on another node: the profile has a placeholder in them.
pub(super) fn shared_and_different(nodes: &BTreeMap<NodeName, DesiredNode>) -> Vec<ResolveError> {
    let mut first: BTreeMap<&IdentityName, (&NodeName, &DesiredIdentity)> = BTreeMap::new();
    let mut problems = Vec::new();
    for (node, wanted) in nodes {
        for (name, identity) in wanted.identities.iter().filter(|(_, identity)| identity.shared) {
            let (other, known) = *first.entry(name).or_insert((node, identity));
            if known.subject != identity.subject || !known.names.are_those_of(&identity.names) {
                let message = format!(
                    "its nodes share one certificate, and its subject or names are others on {node} than on {other}; \
                     declare `subject` and `names.only` that hold for all of them"
                );
                problems
                    .push(ResolveError::new(&["spec", "certificates", name.as_str(), "holders"], message));
            }
        }
    }
    problems
}

/// The name of an identity that exists once for each member; `None` when it is too long.
pub(super) fn member_name(identity: &IdentityName, member: &NodeName) -> Option<IdentityName> {
    format!("{identity}-{member}").parse().ok()
}
