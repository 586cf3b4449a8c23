//! The judgement of one action: what it gives that neither the layout nor what is in its place does.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{Desired, DesiredIdentity, DesiredNode, Survey};
use crate::diff::AuthorityView;
use crate::protocol::facts::{FileFacts, NodeFacts};
use crate::types::certificate::{SubjectName, Usage};
use crate::types::lookalike::mixes_scripts;
use crate::types::names::{Address, AuthorityName, NodeName};
use crate::types::storage::{FileSpec, Storage};
use crate::x509::chain::is_issued_by;
use crate::x509::{Certificate, ExtendedKeyUsage, Sha256};

use super::Privilege;
use crate::plan::model::deed_traits::Gives;
use crate::plan::{Action, Deed};

/// Bits of a mode that are others' than the owner's.
const OTHERS: u32 = 0o077;
const GROUP: u32 = 0o070;

/// A certificate as an action would write it.
struct New<'a> {
    authority: &'a AuthorityName,
    subject: SubjectName,
    usages: BTreeSet<Usage>,
    dns: &'a BTreeSet<String>,
    /// Where it will lie; what that is called is what the layout is asked about.
    storage: &'a Storage,
    before: Option<&'a Certificate>,
}

/// What the judgement of every action looks at.
pub(super) struct Judge<'a> {
    survey: &'a Survey,
    authorities: &'a BTreeMap<AuthorityName, AuthorityView>,
    /// What the plan itself writes as a certificate, by the address.
    issued: BTreeMap<&'a Address, SubjectName>,
    /// The certificates of CAs that the plan makes or brings.
    made: BTreeSet<Sha256>,
    /// The keys of CAs that the nodes hold, by their public halves.
    held: BTreeSet<Sha256>,
    /// The users of the layout's own client certificates, by authority.
    users: BTreeMap<&'a AuthorityName, BTreeMap<&'a str, &'a str>>,
}

impl<'a> Judge<'a> {
    pub(super) fn new(
        survey: &'a Survey,
        authorities: &'a BTreeMap<AuthorityName, AuthorityView>,
        actions: &[&'a Action],
    ) -> Self {
        let mut issued = BTreeMap::new();
        let mut made = BTreeSet::new();
        for action in actions {
            if let Some(issue) = action.deed.issue() {
                issued.insert(&action.address, issue.subject.clone());
            } else if let Deed::InstallAuthority { root, .. } = &action.deed {
                made.insert(*root.fingerprint());
            }
        }
        let keys = |view: &'a AuthorityView| view.keys.values().chain(view.staged.keys.values()).copied();
        let held = authorities.values().flat_map(keys).collect();
        let mut users: BTreeMap<&AuthorityName, BTreeMap<&str, &str>> = BTreeMap::new();
        let of_layout = survey.desired.layout().values().flat_map(|node| &node.identities);
        for (name, identity) in of_layout.filter(|(_, identity)| identity.usages.contains(&Usage::Client)) {
            let Some(authority) = &identity.authority else { continue };
            for subject in &identity.accepted_subjects {
                users.entry(authority).or_default().insert(&subject.common_name, name.as_str());
            }
        }
        Self { survey, authorities, issued, made, held, users }
    }

    pub(super) fn of(&self, action: &'a Action) -> Vec<Privilege> {
        let address = &action.address;
        match action.traits().gives {
            Gives::Nothing | Gives::Authority(None) => Vec::new(),
            Gives::Issued(issue) => {
                let new = New {
                    authority: &issue.authority,
                    subject: issue.subject.clone(),
                    usages: issue.usages.clone(),
                    dns: &issue.dns,
                    storage: &issue.storage,
                    before: issue.before.as_ref(),
                };
                self.of_certificate(address, &new, true)
            }
            Gives::Requested(request) => {
                let new = New {
                    authority: &request.authority,
                    subject: request.subject.clone(),
                    usages: request.usages.clone(),
                    dns: &request.dns,
                    storage: &request.storage,
                    before: request.before.as_ref(),
                };
                self.of_certificate(address, &new, false)
            }
            Gives::Installed(install) => {
                let new = New {
                    authority: &install.authority,
                    subject: subject_of(&install.certificate),
                    usages: usages_of(&install.certificate),
                    dns: &install.dns,
                    storage: &install.storage,
                    before: install.before.as_ref(),
                };
                self.of_certificate(address, &new, true)
            }
            Gives::Copied(copy) => {
                let at_home = Address::on(address.target.clone(), copy.from());
                let known = copy.certificate.as_ref().map(subject_of);
                let subject = known.or_else(|| self.issued.get(&at_home).cloned());
                let authority = self.wanted(address).and_then(|wanted| wanted.authority.as_ref());
                let (Some(subject), Some(authority)) = (subject, authority) else {
                    return self.of_keys(address, &copy.target);
                };
                let new = New {
                    authority,
                    subject,
                    usages: copy.usages.clone(),
                    dns: &copy.dns,
                    storage: &copy.target,
                    before: copy.before.as_ref(),
                };
                self.of_certificate(address, &new, true)
            }
            // What is no CA's key is nobody's of another role.
            Gives::Authority(Some(key)) | Gives::Key(key) => {
                self.key_of_another_role(address).into_iter().chain(self.open_key(address, key)).collect()
            }
            Gives::Access(file) if self.is_key(address, &file.path) => {
                self.open_key(address, file).into_iter().collect()
            }
            Gives::Access(_) => Vec::new(),
            Gives::Trust { bundle, before } => bundle
                .certificates()
                .iter()
                .filter_map(|one| self.trust_gained(address, one, before))
                .collect(),
        }
    }

    fn desired(&self) -> &'a Desired {
        &self.survey.desired
    }

    /// What the layout itself has where a thing is; it has nothing in the cluster.
    fn layout(&self, address: &Address) -> Option<&'a DesiredNode> {
        self.desired().layout().get(address.node()?)
    }

    fn facts(&self, node: &NodeName) -> Option<&'a NodeFacts> {
        self.survey.observed.nodes.get(node)?.facts()
    }

    fn wanted(&self, address: &Address) -> Option<&'a DesiredIdentity> {
        self.desired().identity_at(address)
    }

    /// What the layout itself has at a place of a node.
    fn own(&self, address: &Address, storage: &Storage) -> Option<&'a DesiredIdentity> {
        let path = storage.certificate_path();
        let mut identities = self.layout(address)?.identities.values();
        // What a kubelet has pointed its kubeconfig at is the place of the same certificate.
        let is_rotated = |place: &Storage| match place {
            Storage::Kubeconfig { rotated, .. } => rotated.as_deref() == Some(path),
            Storage::Pair { .. } | Storage::Combined { .. } => false,
        };
        identities.find(|identity| {
            identity.places().any(|place| place.certificate_path() == path || is_rotated(place))
        })
    }

    fn of_certificate(&self, address: &Address, new: &New<'_>, writes_key: bool) -> Vec<Privilege> {
        let mut found = if writes_key { self.of_keys(address, new.storage) } else { Vec::new() };
        let before = new.before.filter(|before| self.is_vouched_for(new.authority, before));
        let had = before.map(subject_of);
        found.extend(look_alikes(new, before));
        if !new.usages.contains(&Usage::Client) {
            return found;
        }
        // What could be shown before can be shown after.
        let had = had.filter(|_| before.is_some_and(|before| usages_of(before).contains(&Usage::Client)));
        let own = self.own(address, new.storage).filter(|own| {
            own.authority.as_ref() == Some(new.authority) && own.usages.contains(&Usage::Client)
        });
        let given: &[SubjectName] = own.map_or(&[], |own| &own.accepted_subjects);
        let SubjectName { common_name: user, organizations: groups } = &new.subject;
        let had_group = |group: &String| had.as_ref().is_some_and(|had| had.organizations.contains(group));
        for group in groups.iter().filter(|group| !had_group(group)) {
            let is_given = given.iter().any(|subject| subject.organizations.contains(group));
            if is_privileged(group) && !is_given {
                found.push(Privilege::PrivilegedGroup { group: group.clone() });
            }
            if had.is_some() {
                found.push(Privilege::GroupAdded { group: group.clone() });
            }
        }
        if had.as_ref().is_some_and(|had| had.common_name == *user) {
            return found;
        }
        if let Some(had) = &had {
            let (from, to) = (had.common_name.clone(), user.clone());
            found.push(Privilege::UserChanged { from, to });
        }
        if given.iter().any(|subject| subject.common_name == *user) {
            return found;
        }
        let is_root = user == "root" && self.is_of_etcd(new.authority);
        if user.starts_with("system:") || is_root {
            found.push(Privilege::SystemUser { user: user.clone() });
        }
        if self.is_front_proxy(new.authority) {
            found.push(Privilege::FrontProxy { authority: new.authority.clone() });
        }
        if own.is_none() {
            found.extend(self.client_of_another_role(address, new.authority, user));
        }
        found
    }

    /// Whether one of the CA certificates that nodes hold of an authority issued it.
    fn is_vouched_for(&self, authority: &AuthorityName, certificate: &Certificate) -> bool {
        let view = self.authorities.get(authority);
        let mut held = view.into_iter().flat_map(|view| view.certificates.values().flatten());
        held.any(|issuer| is_issued_by(certificate, issuer))
    }

    /// A client certificate under one of the layout's own CAs, for a user whom the layout has elsewhere, or on a node that could not sign it for itself.
    fn client_of_another_role(
        &self,
        address: &Address,
        authority: &AuthorityName,
        user: &str,
    ) -> Option<Privilege> {
        let users = self.users.get(authority)?;
        if let Some(identity) = users.get(user) {
            return Some(Privilege::OtherRole { what: format!("a client certificate of {identity}'s user") });
        }
        let copy = self.layout(address).and_then(|node| node.authorities.get(authority));
        let holds_key = copy.is_some_and(|copy| copy.may_hold_key);
        (!holds_key)
            .then(|| Privilege::OtherRole { what: format!("a further client certificate of ca/{authority}") })
    }

    fn key_of_another_role(&self, address: &Address) -> Option<Privilege> {
        let authority = address.target.authority()?;
        let is_known = self.desired().layout().values().any(|node| node.authorities.contains_key(authority));
        let copy = self.layout(address).and_then(|node| node.authorities.get(authority));
        let is_given = copy.is_some_and(|copy| copy.may_hold_key);
        (is_known && !is_given).then(|| Privilege::OtherRole { what: format!("the key of ca/{authority}") })
    }

    /// Whether members of etcd check clients with it, by the layout or by their flags.
    fn is_of_etcd(&self, authority: &AuthorityName) -> bool {
        self.desired().nodes.values().any(|node| node.etcd_trusts(authority))
            || self.is_named_by(authority, "etcd", "trusted-ca-file")
    }

    fn is_front_proxy(&self, authority: &AuthorityName) -> bool {
        self.desired().authorities.get(authority).is_some_and(|wanted| wanted.is_front_proxy)
            || self.is_named_by(authority, "kube-apiserver", "requestheader-client-ca-file")
    }

    /// Whether a flag of a component names the file of an authority on any node.
    fn is_named_by(&self, authority: &AuthorityName, program: &str, flag: &str) -> bool {
        self.desired().nodes.iter().any(|(name, node)| {
            let Some(copy) = node.authorities.get(authority) else { return false };
            let manifests = self.facts(name).into_iter().flat_map(|facts| facts.manifests());
            let mut named = manifests.filter_map(|(_, manifest)| {
                let container = manifest.container(program)?;
                container.host_path(container.flags.last(flag)?)
            });
            named.any(|path| path == copy.certificate.path)
        })
    }

    /// The privileges of the files in which a key lies.
    fn of_keys(&self, address: &Address, storage: &Storage) -> Vec<Privilege> {
        self.open_key(address, key_file(storage)).into_iter().collect()
    }

    /// Whether a file is a private key or holds one.
    fn is_key(&self, address: &Address, path: &str) -> bool {
        let Some(wanted) = self.desired().at(&address.place) else { return false };
        key_files(wanted).any(|file| file.path == path)
    }

    /// Bits for others, or an owner, that neither the layout gives nor the key there has. Only files on nodes have any.
    fn open_key(&self, address: &Address, file: &FileSpec) -> Option<Privilege> {
        let node = address.node()?;
        let layout = self.layout(address);
        let own = layout.and_then(|layout| own_key_file(layout, &file.path));
        // A key that could not be read vouches for no owner and no bits: then more is asked for, and never less.
        let there = self.facts(node).and_then(|facts| facts.files.get(&file.path)?.known().ok()?);
        let there = there.filter(|there| holds_key(there));
        let held = there.map_or(0, |there| there.mode) | own.as_ref().map_or(0, |own| own.mode.bits());
        let is_open = file.mode.bits() & OTHERS & !held != 0;
        let is_of = |name: &str, held: Option<&String>, id: Option<u32>| {
            held.is_some_and(|held| held == name) || id.is_some_and(|id| id.to_string() == name)
        };
        let user = &file.user;
        let is_held_user = there.is_some_and(|there| is_of(user, there.owner.as_ref(), Some(there.uid)));
        // Whoever runs here with keys of the layout may have another one.
        let runs_here = layout.is_some_and(|layout| key_files(layout).any(|own| own.user == *user));
        let is_strange = !(is_root(user) || is_held_user || runs_here);
        let is_held_group =
            there.is_some_and(|there| is_of(&file.group, there.group.as_ref(), Some(there.gid)));
        let is_own_group = own.is_some_and(|own| own.group == file.group);
        let is_given_away =
            file.mode.bits() & GROUP != 0 && !(is_root(&file.group) || is_held_group || is_own_group);
        (is_open || is_strange || is_given_away).then(|| Privilege::OpenKey {
            path: file.path.clone(),
            mode: file.mode,
            owner: format!("{}:{}", file.user, file.group),
        })
    }

    /// A CA certificate that a file gets, and that comes from nowhere in the cluster.
    pub(super) fn trust_gained(
        &self,
        address: &Address,
        one: &Certificate,
        before: &[Sha256],
    ) -> Option<Privilege> {
        let fingerprint = *one.fingerprint();
        let facts = one.facts();
        let authority = address.target.authority()?;
        let is_known = before.contains(&fingerprint)
            || self.made.contains(&fingerprint)
            || self.held.contains(&facts.key.spki_sha256);
        // A node that lacks what all others trust gains nothing that the cluster did not accept.
        let elsewhere = self.authorities.get(authority).map(|view| &view.certificates);
        let mut others =
            elsewhere.into_iter().flatten().filter(|(node, _)| !address.place.is(node)).peekable();
        let is_everywhere = others.peek().is_some() && others.all(|(_, held)| held.contains(one));
        (!is_known && !is_everywhere)
            .then(|| Privilege::TrustGained { fingerprint, subject: facts.subject.to_string() })
    }
}

fn is_root(name: &str) -> bool {
    name == "root" || name == "0"
}

fn is_privileged(group: &str) -> bool {
    group.starts_with("system:") || group == "kubeadm:cluster-admins"
}

/// Names with letters of two scripts in one word that the certificate in its place does not have.
fn look_alikes(new: &New<'_>, before: Option<&Certificate>) -> Vec<Privilege> {
    let had: BTreeSet<String> = before
        .map(|before| {
            let SubjectName { common_name, organizations } = subject_of(before);
            let names = before.facts().names.dns.iter().cloned();
            names.chain(organizations).chain([common_name]).collect()
        })
        .unwrap_or_default();
    let names = new.subject.organizations.iter().chain([&new.subject.common_name]).chain(new.dns);
    let mixed = names.filter(|name| mixes_scripts(name) && !had.contains(*name));
    mixed.map(|name| Privilege::LookAlike { name: name.clone() }).collect()
}

fn subject_of(certificate: &Certificate) -> SubjectName {
    let subject = &certificate.facts().subject;
    SubjectName {
        common_name: subject.common_name().unwrap_or_default().to_owned(),
        organizations: subject.organizations().into_iter().collect(),
    }
}

fn usages_of(certificate: &Certificate) -> BTreeSet<Usage> {
    let both = [(Usage::Server, ExtendedKeyUsage::ServerAuth), (Usage::Client, ExtendedKeyUsage::ClientAuth)];
    // Without the extension a certificate is good for everything (RFC 5280, 4.2.1.12).
    let allowed = certificate.facts().extended_key_usages.as_ref();
    let allows = |needed: &ExtendedKeyUsage| {
        allowed.is_none_or(|found| found.contains(needed) || found.contains(&ExtendedKeyUsage::Any))
    };
    both.into_iter().filter(|(_, needed)| allows(needed)).map(|(usage, _)| usage).collect()
}

/// The file of a place in which the key lies.
fn key_file(storage: &Storage) -> &FileSpec {
    match storage {
        Storage::Pair { key, .. } => key,
        Storage::Combined { file } | Storage::Kubeconfig { file, .. } => file,
    }
}

/// Every file of a node in which a private key lies.
fn key_files(node: &DesiredNode) -> impl Iterator<Item = &FileSpec> {
    let identities = node.identities.values().flat_map(DesiredIdentity::places).map(key_file);
    let authorities = node.authorities.values().map(|copy| &copy.key);
    identities.chain(authorities).chain(node.key_pairs.values().map(|pair| &pair.private))
}

/// The file with a private key that a node has at a path. The key of a CA that is to come waits beside the one that is there, as open as that.
fn own_key_file(node: &DesiredNode, path: &str) -> Option<FileSpec> {
    let is_there = |file: &FileSpec| file.path == path;
    let mut successors = node.authorities.values().map(|copy| copy.successor().key);
    key_files(node).find(|file| is_there(file)).cloned().or_else(|| successors.find(is_there))
}

/// Whether what lies there is a key, so that its owner and bits are those of one.
fn holds_key(file: &FileFacts) -> bool {
    let content = &file.content;
    content.pem().is_some_and(|pem| !pem.keys.is_empty() || pem.encrypted_keys > 0)
        || content.kubeconfig().is_some_and(|config| config.holds_secrets())
}
