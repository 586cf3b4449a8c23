//! Deeds about authorities and about key pairs that all their nodes hold alike.

use std::collections::BTreeSet;

use crate::desired::{AuthorityCopy, DesiredAuthority};
use crate::diff::{Effect, Finding, Reason};
use crate::formats::pem_facts::PemFacts;
use crate::protocol::facts::{Answer, Content, NodeFacts, Seen};
use crate::types::certificate::NewKeyAlgorithm;
use crate::types::names::{Address, AuthorityName, KeyPairName, NodeName, Target};
use crate::types::storage::FileSpec;
use crate::x509::chain::is_issued_by;
use crate::x509::{Certificate, Sha256};

use super::install;
use crate::plan::known::builder::Builder;
use crate::plan::known::chosen;
use crate::plan::known::foreign_cas::trusts_stranger;
use crate::plan::known::rotations::RotationProgress;
use crate::plan::known::signer::{Signer, is_put_right};
use crate::plan::rotation::holds::outsiders;
use crate::plan::rotation::{extend, phases, split_ca};
use crate::plan::{BACKDATE, Bundle, Deed, KeyCopy, Why};

pub(crate) fn build(builder: &mut Builder<'_>) {
    let desired = &builder.input.survey.desired;
    for (name, wanted) in &desired.authorities {
        authority(builder, name, wanted);
    }
    let pairs: BTreeSet<&KeyPairName> =
        desired.nodes.values().flat_map(|node| node.key_pairs.keys()).collect();
    for pair in pairs {
        key_pair(builder, pair);
    }
}

fn authority(builder: &mut Builder<'_>, name: &AuthorityName, wanted: &DesiredAuthority) {
    let Some(view) = builder.input.differences.authorities().get(name) else { return };
    let desired = &builder.input.survey.desired;
    let copies: Vec<(&NodeName, &AuthorityCopy)> = desired
        .nodes
        .iter()
        .filter_map(|(node, wanted)| Some((node, wanted.authorities.get(name)?)))
        .collect();
    if let Some(stays) = builder.stays(name).cloned() {
        let Some(signer) = split_ca::holder_of(builder, name, wanted, &copies, &stays) else { return };
        builder.sources.signers.insert(name.clone(), signer.clone());
        for copy in copies.into_iter().filter(|(node, _)| **node != signer.node) {
            split_ca::replace_authority(builder, name, copy, &signer, &stays);
        }
        return;
    }
    let signer = view.signer().cloned();
    let holder = signer.as_ref().and_then(|signer| {
        let spki = signer.facts().key.spki_sha256;
        let holds = |(_, key): &(&NodeName, &Sha256)| **key == spki;
        // Nothing is signed with a file that holds somebody else's CA while another node has a clean one.
        let is_clean = |node: &NodeName| !trusts_stranger(builder, name, node);
        let some_are_clean = view.keys.iter().filter(holds).any(|(node, _)| is_clean(node));
        let able = view.keys.iter().filter(holds).filter(|(node, _)| !some_are_clean || is_clean(node));
        let (node, _) = chosen::first_of(able, chosen::signer(builder.input, name))?;
        copies.iter().find(|(name, _)| *name == node).copied()
    });
    let source = |signer: &Certificate, node: &NodeName, files: &AuthorityCopy| Signer {
        node: node.clone(),
        files: files.clone(),
        not_after: signer.facts().not_after,
        certificate: Some(signer.clone()),
    };
    if let Some(reissues) = builder.replacements.get(name).map(RotationProgress::reissues) {
        let comes = phases::build(builder, name, wanted, &copies);
        let goes = signer.zip(holder).map(|(signer, (node, files))| source(&signer, node, files));
        let signs = if reissues { comes } else { goes };
        builder.sources.signers.extend(signs.map(|signs| (name.clone(), signs)));
        return;
    }
    match (signer, holder) {
        (Some(signer), Some((node, files))) => {
            let source = source(&signer, node, files);
            let extended = extend::build(builder, name, wanted, &copies, &signer);
            builder.sources.signers.insert(name.clone(), extended.unwrap_or(source));
            for (node, copy) in copies {
                repair(builder, name, node, copy, &signer, Some(files));
            }
        }
        (Some(signer), None) => {
            for (node, copy) in copies {
                repair(builder, name, node, copy, &signer, None);
            }
        }
        (None, _) if is_unreadable(builder, name, &copies) => {}
        (None, _) => create(builder, name, wanted, &copies),
    }
}

/// Puts one node's copy right: the certificate from what all nodes know, the key from the node that signs.
fn repair(
    builder: &mut Builder<'_>,
    name: &AuthorityName,
    node: &NodeName,
    copy: &AuthorityCopy,
    signer: &Certificate,
    holder: Option<&AuthorityCopy>,
) {
    let address = Address::on(Target::Authority(name.clone()), node);
    let due: Vec<Finding> =
        builder.findings(&address).iter().filter(|finding| finding.effect == Effect::Due).cloned().collect();
    let about_certificate = |reason: &Reason| is_put_right(reason, copy);
    let about_key = |reason: &Reason| {
        matches!(reason, Reason::KeyMissing)
            || matches!(reason, Reason::ZeroLength { path } | Reason::ForeignContent { path, .. } if *path == copy.key.path)
    };
    let reasons = |builder: &Builder<'_>, about: &dyn Fn(&Reason) -> bool| -> Vec<Why> {
        due.iter().filter(|finding| about(&finding.reason)).map(|finding| builder.why(finding)).collect()
    };
    let why = reasons(builder, &about_certificate);
    if !why.is_empty() {
        let held = builder
            .input
            .differences
            .authorities()
            .get(name)
            .and_then(|view| view.on_node(node))
            .unwrap_or_default()
            .to_vec();
        let before: Vec<Sha256> = held.iter().map(|certificate| *certificate.fingerprint()).collect();
        let replaces = !before.is_empty();
        let bundle = deduplicated(signer, held);
        let deed = Deed::WriteBundle { file: copy.certificate.clone(), bundle, before };
        builder.add(address.clone(), deed, why, replaces);
    }
    let missing_whole = due.iter().any(|finding| finding.reason == Reason::Missing);
    let mut why = reasons(builder, &about_key);
    if missing_whole && why.is_empty() && copy.may_hold_key {
        let keyless = builder
            .input
            .differences
            .authorities()
            .get(name)
            .is_some_and(|view| !view.keys.contains_key(node));
        if keyless {
            why = reasons(builder, &about_certificate);
        }
    }
    let source = builder.sources.signers.get(name).cloned();
    if let (false, true, Some(_), Some(source)) = (why.is_empty(), copy.may_hold_key, holder, source) {
        let deed = source.key_for(&copy.key);
        builder.add(address, deed, why, false);
    }
}

/// The certificates that are there, each once; the signer first if it is not among them.
fn deduplicated(signer: &Certificate, held: Vec<Certificate>) -> Bundle {
    match held.contains(signer) {
        true => Bundle::known(held).unwrap_or_else(|| Bundle::one(signer)),
        false => Bundle::with_first(signer, held),
    }
}

/// Whether its certificate is on no node, and a file that should hold it holds something else. Whoever trusts it trusts what was in that file, so nothing is made in
/// its place, and nothing that belongs to it can be checked: that blocks.
fn is_unreadable(
    builder: &mut Builder<'_>,
    name: &AuthorityName,
    copies: &[(&NodeName, &AuthorityCopy)],
) -> bool {
    let mut found = false;
    for (node, copy) in copies {
        let address = Address::on(Target::Authority(name.clone()), node);
        let is_the_file = |path: &String| *path == copy.certificate.path;
        let is_unread = |finding: &&Finding| {
            matches!(finding.effect, Effect::Due | Effect::Blocks)
                && matches!(&finding.reason, Reason::ZeroLength { path } | Reason::Unparseable { path, .. } | Reason::NotPem { path } | Reason::ForeignContent { path, .. } | Reason::NotAFile { path } | Reason::LinkDangling { path, .. } | Reason::LinkLoops { path } if is_the_file(path))
        };
        let unread: Vec<Finding> = builder.findings(&address).iter().filter(is_unread).cloned().collect();
        let Some(first) = unread.first() else { continue };
        found = true;
        let because = format!("the certificate of {name} cannot be read on any node: {}", first.reason);
        let help =
            format!("put {} back from a backup; pki snapshot list shows what is kept", copy.certificate.path);
        builder.block(&address, because, Some(help), &unread.iter().collect::<Vec<_>>());
    }
    found
}

/// Makes an authority that is nowhere. Where certificates of it exist, making another one would split the cluster, so a person has to look.
fn create(
    builder: &mut Builder<'_>,
    name: &AuthorityName,
    wanted: &DesiredAuthority,
    copies: &[(&NodeName, &AuthorityCopy)],
) {
    let address = |node: &NodeName| Address::on(Target::Authority(name.clone()), node);
    let is_due = |builder: &Builder<'_>, node: &NodeName| {
        builder.findings(&address(node)).iter().any(|finding| finding.reason == Reason::Missing)
    };
    let due: Vec<(&NodeName, &AuthorityCopy)> =
        copies.iter().filter(|(node, _)| is_due(builder, node)).copied().collect();
    let Some((first, files)) = due.iter().find(|(_, copy)| copy.may_hold_key).copied() else { return };
    let at = address(first);
    if wanted.external {
        let because =
            format!("the authority {name} is kept elsewhere, and its certificate is not on any node");
        builder.block(
            &at,
            because,
            Some(format!("place its certificate at {}", files.certificate.path)),
            &[],
        );
        return;
    }
    let why = builder.missing(&at);
    if outsiders::is_held(builder, name, &at, why) {
        return;
    }
    let root = wanted.root.as_ref().and_then(|root| root.certificate.as_ref());
    let orphans = certificates_of(builder, name, root);
    let spki = root.map(|root| root.facts().key.spki_sha256);
    let keys = builder
        .input
        .differences
        .authorities()
        .get(name)
        .is_some_and(|view| view.keys.values().any(|key| Some(*key) != spki));
    let unreadable = due.len() < copies.len();
    let not_asked = builder.input.differences.authorities().get(name).filter(|view| !view.skipped.is_empty());
    if let Some(view) = not_asked.filter(|_| !keys && orphans.is_empty()) {
        let because = format!(
            "whether {} holds {name} is not known, and a new authority would not be trusted where another one is",
            view.unknown_nodes()
        );
        builder.block(&at, because, Some("plan with all its nodes".to_owned()), &[]);
        return;
    }
    if keys || unreadable || !orphans.is_empty() {
        let because = format!(
            "the certificate of {name} is on no node, but what belongs to it is ({}); a new authority would not be trusted by the rest",
            if orphans.is_empty() {
                "its key, or a file that cannot be read".to_owned()
            } else {
                orphans.join(", ")
            }
        );
        let help = format!(
            "put {} back from a backup; pki snapshot list shows what is kept",
            files.certificate.path
        );
        builder.block(&at, because, Some(help), &[]);
        return;
    }
    if wanted.source.is_some() {
        install::install(builder, name, wanted, (first, files), &due);
        return;
    }
    let now = builder.input.now;
    let not_after = wanted.validity.value.after(now);
    let deed = Deed::CreateAuthority {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        subject: wanted.subject.clone(),
        algorithm: wanted
            .key_algorithm
            .as_ref()
            .map_or(NewKeyAlgorithm::Rsa2048, |algorithm| algorithm.value),
        not_before: BACKDATE.before(now),
        not_after,
        over: None,
    };
    let why = builder.missing(&at);
    builder.add(at, deed, why, false);
    let signer = Signer { node: first.clone(), files: files.clone(), not_after, certificate: None };
    builder.sources.signers.insert(name.clone(), signer.clone());
    for (node, copy) in due.into_iter().filter(|(node, _)| *node != first) {
        let why = builder.missing(&address(node));
        let certificate = Deed::CopyAuthorityCertificate {
            from: first.clone(),
            source: files.certificate.path.clone(),
            file: copy.certificate.clone(),
        };
        builder.add(address(node), certificate, why.clone(), false);
        if copy.may_hold_key {
            builder.add(address(node), signer.key_for(&copy.key), why, false);
        }
    }
}

/// The addresses of certificates that exist and belong to an authority, but for those that this root issued.
fn certificates_of(builder: &Builder<'_>, name: &AuthorityName, root: Option<&Certificate>) -> Vec<String> {
    let survey = builder.input.survey;
    let mut found = Vec::new();
    for (node, wanted) in &survey.desired.nodes {
        for (identity, wanted) in &wanted.identities {
            let held = builder.input.differences.identity(node, identity);
            let belongs = wanted.authority.as_ref() == Some(name);
            let is_other = |held: Certificate| !root.is_some_and(|root| is_issued_by(&held, root));
            if belongs && held.and_then(|held| held.certificate.clone()).is_some_and(is_other) {
                found.push(format!("{identity}@{node}"));
            }
        }
    }
    found
}

fn key_pair(builder: &mut Builder<'_>, name: &KeyPairName) {
    let survey = builder.input.survey;
    let chosen = chosen::key_pair(builder.input, name).cloned();
    let mut holder: Option<(NodeName, FileSpec, Option<Sha256>)> = None;
    let mut due: Vec<(NodeName, Vec<Why>, bool)> = Vec::new();
    let mut remnants = false;
    let is_skipped = |node: &NodeName| survey.observed.nodes.get(node) == Some(&Answer::Skipped);
    let mut skipped: Vec<&str> = Vec::new();
    let mut unread: Option<(&NodeName, &str)> = None;
    for (node, wanted) in &survey.desired.nodes {
        let (Some(pair), Some(facts)) =
            (wanted.key_pairs.get(name), survey.observed.nodes.get(node).and_then(|answer| answer.facts()))
        else {
            let should_hold = wanted.key_pairs.contains_key(name);
            remnants |= should_hold;
            skipped.extend(Some(node.as_str()).filter(|_| should_hold && is_skipped(node)));
            continue;
        };
        let private = pem(facts, &pair.private.path);
        let is_first = holder.is_none() || chosen.as_ref() == Some(node);
        if let (true, Some(key)) = (is_first, private.and_then(|pem| pem.keys.first())) {
            holder = Some((node.clone(), pair.private.clone(), Some(key.spki_sha256)));
        }
        remnants |= pem(facts, &pair.public.path).is_some_and(|pem| !pem.public_keys.is_empty());
        if may_hold_key(facts, &pair.private.path) {
            unread.get_or_insert((node, &pair.private.path));
        }
        let address = Address::on(Target::KeyPair(name.clone()), node);
        let why = |about: &dyn Fn(&Reason) -> bool| -> Vec<Why> {
            let findings = builder.findings(&address).iter();
            findings
                .filter(|finding| finding.effect == Effect::Due && about(&finding.reason))
                .map(|finding| builder.why(finding))
                .collect()
        };
        let private_due = why(&|reason| {
            matches!(reason, Reason::Missing)
                || matches!(reason, Reason::ZeroLength { path } if *path == pair.private.path)
        });
        let public_due = why(&|reason| {
            let is_the_file = |path: &String| *path == pair.public.path;
            matches!(reason, Reason::PublicKeyMissing)
                || matches!(reason, Reason::ZeroLength { path } | Reason::Unparseable { path, .. } if is_the_file(path))
        });
        if !private_due.is_empty() {
            due.push((node.clone(), private_due, true));
        } else if !public_due.is_empty() {
            due.push((node.clone(), public_due, false));
        }
    }
    let address = |node: &NodeName| Address::on(Target::KeyPair(name.clone()), node);
    if holder.is_none()
        && (remnants || unread.is_some())
        && let Some((node, _, _)) = due.first()
    {
        let because = match (unread, skipped.as_slice()) {
            (Some((holder, path)), _) => {
                format!(
                    "the private key of {name} is on no node where it can be read, and {path} on {holder} may hold it"
                )
            }
            (None, []) => format!(
                "the private key of {name} is on no node that was seen, but its public key or an unseen node is"
            ),
            (None, skipped) => format!(
                "the private key of {name} is on no node that was seen, and {} may hold it (skipped, by --skip-node)",
                skipped.join(", ")
            ),
        };
        let help = "put it back from a backup: tokens that it signed are in use".to_owned();
        builder.block(&address(node), because, Some(help), &[]);
        return;
    }
    let makes_another = due.iter().find(|(_, _, private_too)| *private_too && holder.is_none());
    if let Some((node, why, _)) = makes_another
        && outsiders::is_pair_held(builder, &address(node), why.clone())
    {
        return;
    }
    for (node, why, private_too) in due {
        let Some(pair) = survey.desired.nodes.get(&node).and_then(|wanted| wanted.key_pairs.get(name)) else {
            continue;
        };
        if private_too {
            let deed = match &holder {
                Some((from, file, spki)) => Deed::CopyKey(KeyCopy {
                    from: from.clone(),
                    source: file.path.clone(),
                    file: pair.private.clone(),
                    spki: *spki,
                }),
                None => Deed::CreateKeyPair {
                    private: pair.private.clone(),
                    public: pair.public.clone(),
                    algorithm: NewKeyAlgorithm::Rsa2048,
                },
            };
            let made = matches!(deed, Deed::CreateKeyPair { .. });
            builder.add(address(&node), deed, why.clone(), false);
            if made {
                holder = Some((node.clone(), pair.private.clone(), None));
                continue;
            }
        }
        let deed = Deed::WritePublicKey { private: pair.private.clone(), public: pair.public.clone() };
        builder.add(address(&node), deed, why, false);
    }
}

/// Whether a file holds a key for all that is known: a look at it failed, or it lies behind a link whose end is not there now, such as a disk that is not mounted.
fn may_hold_key(facts: &NodeFacts, path: &str) -> bool {
    match facts.file(path) {
        Seen::Absent => false,
        Seen::Present(file) => file.content != Content::Empty,
        Seen::Dangling { .. } | Seen::Looping { .. } | Seen::Unknown { .. } => true,
    }
}

fn pem<'a>(facts: &'a NodeFacts, path: &str) -> Option<&'a PemFacts> {
    // A private key that could not be read does not count as there. The finding about it blocks, unless `--only` leaves that node out.
    let content: &Content = &facts.files.get(path)?.known().ok()??.content;
    content.pem()
}
