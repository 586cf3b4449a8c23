//! Files that lie elsewhere, or belong to somebody else, than the layout has them.
//!
//! A mode that lets more people read a key than its owner and a group made for it is never adopted.

use std::collections::BTreeSet;

use super::{Draft, Evidence, Inventory, common};
use crate::desired::flagged::PAIRS;
use crate::diagnostic::escaped;
use crate::diff::{Differences, Reason, named_certificates};
use crate::protocol::facts::{FileKind, NodeFacts};
use crate::spec::check::forms::{is_account, path_fault};
use crate::spec::types::{Files, KubeconfigFile};
use crate::types::names::{Address, AuthorityName, IdentityName, NodeName, Target};
use crate::types::scalars::FileMode;
use crate::types::storage::{FileSpec, Storage};

/// Declares where components really read their certificates.
pub(super) fn moved(draft: &mut Draft, sight: &Evidence<'_>) {
    let identities = sight.identities();
    for (program, certificate_flag, key_flag, name) in PAIRS {
        let Some((name, held)) = identities.get_key_value(name) else { continue };
        if draft.spec.spec.certificates.get(name).is_some_and(|own| own.files.is_some()) {
            continue;
        }
        let mut certificates = Vec::new();
        let mut keys = Vec::new();
        let mut is_moved = false;
        for held in held {
            let Storage::Pair { certificate, key } = &held.wanted.storage else { continue };
            let flagged = [certificate_flag, key_flag].map(|flag| flag_path(held.facts, program, flag));
            let [Some(own), Some(own_key)] = flagged else { continue };
            is_moved |= own != certificate.path || own_key != key.path;
            certificates.push((own, held.node, held.address));
            keys.push((own_key, held.node, held.address));
        }
        if !is_moved || certificates.len() != held.len() {
            continue;
        }
        let (Some(certificate), Some(key)) = (common(&certificates), common(&keys)) else {
            let text = format!("{name} lies elsewhere than the profile has it, on each node in another way");
            draft.remark(text);
            continue;
        };
        if path_fault(&certificate).is_some() || path_fault(&key).is_some() {
            continue;
        }
        // What two flags name is one certificate, that of the layout which lies there.
        let is_anothers = identities.iter().filter(|(other, _)| *other != name).any(|(_, others)| {
            others.iter().any(|held| held.wanted.storage.certificate_path() == certificate)
        });
        if is_anothers {
            continue;
        }
        let from = format!("--{certificate_flag} and --{key_flag} in the manifests of {program}");
        draft.comments.say(&["certificates", name.as_str(), "files"], from);
        let files = Files { certificate, key, owner: None, mode: None, certificate_mode: None };
        draft.certificate(name).files = Some(files);
    }
}

fn flag_path(facts: &NodeFacts, program: &str, flag: &str) -> Option<String> {
    facts.manifests().find_map(|(_, manifest)| {
        let container = manifest.container(program)?;
        container.host_path(container.flags.last(flag)?)
    })
}

/// Tells of the certificates that flags name and that no setting of the spec is about.
pub(super) fn left_out(draft: &mut Draft, sight: &Evidence<'_>) {
    for (name, node) in &sight.survey.desired.nodes {
        let Some(facts) = sight.facts(name) else { continue };
        for named in named_certificates(node, facts) {
            let (path, by) = (escaped(&named.path), escaped(&named.by));
            draft.remark(format!(
                "{path} on {name}, named by {by}, is not in this spec: renew it where it comes from"
            ));
        }
    }
}

/// Declares owners and modes that differ from the layout's, where all nodes have the same ones.
pub(super) fn owned(draft: &mut Draft, sight: &Evidence<'_>, differences: &Differences) {
    for (name, held) in sight.identities() {
        let subject = |held: &Inventory<'_>| Target::Identity(held.own.clone());
        if held.iter().any(|held| is_another(differences, subject(held), held.node)) {
            own_identity(draft, sight, &name, &held);
        }
    }
    let authorities: BTreeSet<&AuthorityName> =
        sight.survey.desired.nodes.values().flat_map(|node| node.authorities.keys()).collect();
    for name in authorities {
        let nodes = sight.survey.desired.nodes.keys();
        let subject = || Target::Authority(name.clone());
        if nodes.clone().any(|node| is_another(differences, subject(), node)) {
            own_authority(draft, sight, name);
        }
    }
}

/// Whether a file of a thing has another owner or a wider mode than it should.
fn is_another(differences: &Differences, subject: Target, node: &NodeName) -> bool {
    differences.of(&Address::on(subject, node)).iter().any(|finding| {
        matches!(finding.reason, Reason::OwnerDiffers { .. } | Reason::PermissionsDiffer { .. })
    })
}

fn own_identity(draft: &mut Draft, sight: &Evidence<'_>, name: &IdentityName, held: &[Inventory<'_>]) {
    // Files of members are called after them, which a spec cannot say; what the kubelet writes it owns as it likes.
    if sight.is_of_members(name) || held.iter().any(|held| held.wanted.rotated_by_kubelet) {
        return;
    }
    let mut owned = Owned::default();
    let (mut certificates, mut keys, mut servers) = (Vec::new(), Vec::new(), Vec::new());
    for held in held {
        let path = |paths: &mut Vec<_>, file: &FileSpec| {
            paths.push((file.path.clone(), held.node, held.address));
        };
        match &held.wanted.storage {
            Storage::Pair { certificate, key } => {
                owned.see(held.facts, certificate, false);
                owned.see(held.facts, key, true);
                path(&mut certificates, certificate);
                path(&mut keys, key);
            }
            Storage::Kubeconfig { file, server, .. } => {
                owned.see(held.facts, file, true);
                path(&mut certificates, file);
                servers.push((server.clone().unwrap_or_default(), held.node, held.address));
            }
            Storage::Combined { .. } => return,
        }
    }
    let (Some(owner), Some(certificate)) = (owned.owner(), common(&certificates)) else { return };
    let from = format!("as on {}", nodes_of(held));
    if let Some(key) = common(&keys) {
        let files = Files {
            certificate,
            key,
            owner,
            mode: owned.key_mode(),
            certificate_mode: owned.certificate_mode(),
        };
        if !changes(&files, held) {
            return;
        }
        draft.comments.say_anew(&["certificates", name.as_str(), "files"], from);
        draft.certificate(name).files = Some(files);
    } else if keys.is_empty() {
        let server = common(&servers).filter(|server| !server.is_empty());
        let Some(server) = server else { return };
        let mode = owned.key_mode();
        if owner.is_none() && mode.is_none() {
            return;
        }
        draft.comments.say_anew(&["certificates", name.as_str(), "kubeconfig"], from);
        draft.certificate(name).kubeconfig =
            Some(KubeconfigFile { path: certificate, server: Some(server), owner, mode });
    }
}

/// Whether files say anything else than what the nodes should have by now.
fn changes(files: &Files, held: &[Inventory<'_>]) -> bool {
    held.iter().any(|held| match &held.wanted.storage {
        Storage::Pair { certificate, key } => differ(files, certificate, key),
        Storage::Combined { .. } | Storage::Kubeconfig { .. } => false,
    })
}

fn differ(files: &Files, certificate: &FileSpec, key: &FileSpec) -> bool {
    format!("{}:{}", key.user, key.group) != files.owner.as_deref().unwrap_or("root:root")
        || files.mode.unwrap_or(FileMode::PRIVATE) != key.mode
        || files.certificate_mode.unwrap_or(FileMode::PUBLIC) != certificate.mode
}

fn own_authority(draft: &mut Draft, sight: &Evidence<'_>, name: &AuthorityName) {
    let mut owned = Owned::default();
    let (mut certificates, mut keys) = (Vec::new(), Vec::new());
    let mut nodes: Vec<&str> = Vec::new();
    let mut wanted_so_far = Vec::new();
    for (node, wanted) in &sight.survey.desired.nodes {
        let (Some(copy), Some(facts)) = (wanted.authorities.get(name), sight.facts(node)) else { continue };
        owned.see(facts, &copy.certificate, false);
        if copy.may_hold_key {
            owned.see(facts, &copy.key, true);
        }
        certificates.push((copy.certificate.path.clone(), node, wanted.address.as_deref()));
        keys.push((copy.key.path.clone(), node, wanted.address.as_deref()));
        nodes.push(node.as_str());
        wanted_so_far.push((&copy.certificate, &copy.key));
    }
    let (Some(owner), Some(certificate), Some(key)) = (owned.owner(), common(&certificates), common(&keys))
    else {
        return;
    };
    let (mode, certificate_mode) = (owned.key_mode(), owned.certificate_mode());
    let files = Files { certificate, key, owner, mode, certificate_mode };
    if !wanted_so_far.into_iter().any(|(certificate, key)| differ(&files, certificate, key)) {
        return;
    }
    draft.comments.say_anew(&["authorities", name.as_str(), "files"], format!("as on {}", nodes.join(", ")));
    draft.spec.spec.authorities.entry(name.clone()).or_default().files = Some(files);
}

fn nodes_of(held: &[Inventory<'_>]) -> String {
    let nodes: Vec<&str> = held.iter().map(|held| held.node.as_str()).collect();
    nodes.join(", ")
}

/// Who owns the files of one thing on all nodes, and what they grant.
#[derive(Default)]
struct Owned {
    owners: BTreeSet<(String, String)>,
    certificate_bits: u32,
    key_bits: u32,
    /// What the files should grant so far.
    wanted: Option<(FileMode, FileMode)>,
}

impl Owned {
    fn see(&mut self, facts: &NodeFacts, wanted: &FileSpec, is_key: bool) {
        let modes = self.wanted.get_or_insert((FileMode::PUBLIC, FileMode::PRIVATE));
        if is_key {
            modes.1 = wanted.mode;
        } else {
            modes.0 = wanted.mode;
        }
        // What could not be read is left as the layout has it, and stays a finding of the next plan.
        let seen = facts.files.get(&wanted.path).and_then(|seen| seen.known().ok()?);
        let Some(file) = seen else { return };
        if file.kind != FileKind::Regular {
            return;
        }
        // Where pki does not run as root, its own user stands for root.
        let name = |id: u32, own: u32, name: &Option<String>| match name {
            _ if id == 0 || own != 0 && id == own => "root".to_owned(),
            Some(name) => name.clone(),
            None => id.to_string(),
        };
        let by = facts.served_by;
        self.owners.insert((name(file.uid, by.uid, &file.owner), name(file.gid, by.gid, &file.group)));
        if is_key {
            self.key_bits |= file.mode;
        } else {
            self.certificate_bits |= file.mode;
        }
    }

    /// The one owner of all files as a spec says it, which says nothing of root; `None` when there are several, or one that cannot be said.
    fn owner(&self) -> Option<Option<String>> {
        let mut owners = self.owners.iter();
        let (Some((user, group)), None) = (owners.next(), owners.next()) else { return None };
        if !is_account(user) || !is_account(group) {
            return None;
        }
        let is_root = user == "root" && group == "root";
        Some((!is_root).then(|| format!("{user}:{group}")))
    }

    /// The mode of the key, where it is not the usual one. Reading by a group is adopted only if that group is not root's, so was chosen.
    fn key_mode(&self) -> Option<FileMode> {
        let wanted = self.wanted.map_or(FileMode::PRIVATE, |(_, key)| key);
        let is_for_group =
            self.key_bits & !0o640 == 0 && self.owners.iter().all(|(_, group)| group != "root");
        let bits = if is_for_group { wanted.bits() | self.key_bits } else { wanted.bits() };
        FileMode::new(bits).filter(|mode| *mode != FileMode::PRIVATE)
    }

    /// The mode of the certificate, where it is not the usual one. Writing by others is never adopted.
    fn certificate_mode(&self) -> Option<FileMode> {
        let wanted = self.wanted.map_or(FileMode::PUBLIC, |(certificate, _)| certificate);
        let is_safe = self.certificate_bits & 0o022 == 0;
        let bits = if is_safe { wanted.bits() | self.certificate_bits } else { wanted.bits() };
        FileMode::new(bits).filter(|mode| *mode != FileMode::PUBLIC)
    }
}
