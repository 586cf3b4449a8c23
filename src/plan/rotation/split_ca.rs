//! An authority that has become two: CAs that were mixed by hand, so that what one side shows the other refuses.
//!
//! What enters is what the nodes hold and what runs; what leaves is which CA stays, or a block that says what is broken and what would be done. While every node
//! trusts one of them only, no order of steps keeps the connections up: everything is replaced at once, which a person has to accept first. Pure.

use std::collections::{BTreeMap, BTreeSet};

use crate::desired::{AuthorityCopy, DesiredAuthority, DesiredIdentity};
use crate::diff::{AuthorityView, Effect, Finding, Reason, is_extension};
use crate::trust::broken_authorities::severed;
use crate::trust::processes::Processes;
use crate::types::names::{Address, AuthorityName, NodeName, Target};
use crate::x509::Certificate;
use crate::x509::chain::is_issued_by;

use super::holds::outsiders::is_held;
use crate::plan::known::builder::Builder;
use crate::plan::known::chosen;
use crate::plan::known::quorum::{self, Quorum};
use crate::plan::known::signer::Signer;
use crate::plan::{Bundle, Deed, RootSource};

/// Which CA stays.
enum Choice {
    This(Box<Certificate>),
    /// No one of them is held by more nodes than any other.
    Tie,
    /// No node holds any of them with its key.
    None,
}

/// Whether a finding is one of those that an authority that has become two leads to, and which were told.
pub(crate) fn is_told(builder: &Builder<'_>, address: &Address, finding: &Finding) -> bool {
    is_about_two(builder, address, finding, |authority| builder.recovery.told.contains(authority))
}

/// Whether this plan mends it by making one authority of two.
pub(crate) fn is_recovered(builder: &Builder<'_>, address: &Address, finding: &Finding) -> bool {
    is_about_two(builder, address, finding, |authority| builder.recovery.stays.contains_key(authority))
}

fn is_about_two(
    builder: &Builder<'_>,
    address: &Address,
    finding: &Finding,
    is_it: impl Fn(&AuthorityName) -> bool,
) -> bool {
    let follows = match address.target {
        Target::Authority(_) => matches!(
            finding.reason,
            Reason::DiffersBetweenNodes { .. } | Reason::RootDiffers { .. } | Reason::KeyMismatch { .. }
        ),
        Target::Identity(_) => matches!(finding.reason, Reason::WrongIssuer { .. }),
        Target::KeyPair(_) | Target::Directory(_) | Target::Service(_) | Target::Node => false,
    };
    follows && builder.input.survey.desired.authority_at(address).is_some_and(is_it)
}

/// Looks for authorities that have become two and do not work any more.
pub(crate) fn find_mixed(builder: &mut Builder<'_>) {
    let survey = builder.input.survey;
    // A part of it would be another mixture.
    if !builder.input.options.only.is_empty() {
        return;
    }
    let mixed: Vec<(&AuthorityName, &DesiredAuthority)> =
        survey.desired.authorities.iter().filter(|(name, _)| is_mixed(builder, name)).collect();
    if mixed.is_empty() {
        return;
    }
    let severed = severed(survey, &Processes::of(&survey.observed), builder.input.now);
    for (name, wanted) in mixed {
        if severed.contains(name) || etcd_is_broken_by(builder, name) {
            choose(builder, name, wanted);
        }
    }
}

/// Whether nodes hold different certificates of it, or certificates that another one issued. Where that is not known of each node, nobody can say what
/// stays.
fn is_mixed(builder: &Builder<'_>, name: &AuthorityName) -> bool {
    let Some(view) = builder.input.differences.authorities().get(name).filter(|view| view.unknown.is_empty())
    else {
        return false;
    };
    // Where everybody trusts whatever is shown, one only takes the place of the other.
    if builder.input.differences.successions().contains_key(name)
        && all_trust_what_is_shown(builder, name, view)
    {
        return false;
    }
    let firsts: BTreeSet<&Certificate> =
        view.certificates.values().filter_map(|certificates| certificates.first()).collect();
    let is_other = |first: &&Certificate| view.signer().is_some_and(|signer| !is_extension(first, signer));
    firsts.iter().copied().any(|first| is_other(&first))
        || firsts.first().is_some_and(|first| !issued_otherwise(builder, name, first).is_empty())
}

/// Whether each node's file holds an issuer of each certificate of an authority.
fn all_trust_what_is_shown(builder: &Builder<'_>, name: &AuthorityName, view: &AuthorityView) -> bool {
    let issued = |certificate: &Certificate| {
        let mut bundles = view.certificates.values();
        bundles.all(|held| held.iter().any(|issuer| is_issued_by(certificate, issuer)))
    };
    builder.input.survey.desired.nodes.iter().all(|(node, wanted)| {
        let own = wanted.identities.iter();
        let own = own.filter(|(_, identity)| identity.authority.as_ref() == Some(name));
        let mut held = own.filter_map(|(identity, _)| builder.input.differences.identity(node, identity));
        held.all(|held| held.certificate.as_ref().is_none_or(issued))
    })
}

/// Whether everything about an authority that has become two is said.
pub(crate) fn is_mixed_up(builder: &Builder<'_>, name: &AuthorityName) -> bool {
    builder.recovery.told.contains(name) || builder.recovery.stays.contains_key(name)
}

/// Whether etcd trusts it and a member does not follow a leader.
fn etcd_is_broken_by(builder: &Builder<'_>, name: &AuthorityName) -> bool {
    let survey = builder.input.survey;
    let is_trusted = survey.desired.nodes.values().any(|node| node.etcd_trusts(name));
    match quorum::quorum(survey) {
        _ if !is_trusted => false,
        Quorum::Lost => true,
        Quorum::Kept => !quorum::all_follow(survey),
        Quorum::Unknown | Quorum::Unseen => false,
    }
}

/// The certificates of an authority that another CA than this one issued.
fn issued_otherwise(builder: &Builder<'_>, name: &AuthorityName, stays: &Certificate) -> Vec<Address> {
    let mut found = Vec::new();
    for (node, wanted) in &builder.input.survey.desired.nodes {
        let own = wanted.identities.iter().filter(|(_, identity)| identity.authority.as_ref() == Some(name));
        for (identity, _) in own {
            let held = builder.input.differences.identity(node, identity);
            let certificate = held.and_then(|held| held.certificate.as_ref());
            if certificate.is_some_and(|certificate| !is_issued_by(certificate, stays)) {
                found.push(Address::on(Target::Identity(identity.clone()), node));
            }
        }
    }
    found
}

fn choose(builder: &mut Builder<'_>, name: &AuthorityName, wanted: &DesiredAuthority) {
    let Some(view) = builder.input.differences.authorities().get(name) else { return };
    let holder = view.certificates.keys().next();
    let at = holder.map(|node| Address::on(Target::Authority(name.clone()), node));
    // Which CA stays cannot be decided while it is not known which one they hold.
    if at.is_some_and(|at| is_held(builder, name, &at, Vec::new())) {
        builder.recovery.told.insert(name.clone());
        return;
    }
    let choice = choice(view, wanted, builder.input.now);
    let firsts = view.certificates.values().filter_map(|held| held.first());
    let broken = match firsts.collect::<BTreeSet<_>>().len() {
        0 | 1 => {
            format!("certificates of {name} were signed by another CA, and are refused: {}", whose(view))
        }
        2 => format!(
            "{name} has become two CAs, and what one of them signed is refused by those who hold the other: {}",
            whose(view)
        ),
        many => format!(
            "{name} has become {many} CAs, and what one of them signed is refused by those who hold another: {}",
            whose(view)
        ),
    };
    let stays = match choice {
        Choice::This(stays) => *stays,
        Choice::Tie => {
            let because = format!("{broken}. None of them is held with its key on more nodes than any other");
            let help = format!(
                "declare which one stays: spec.authorities.{name}.source, with the files of its certificate and key; then plan with --accept-outage"
            );
            tell_mixed(builder, name, view.certificates.keys(), because, help);
            return;
        }
        Choice::None => return,
    };
    let others: Vec<&NodeName> = view.certificates.keys().filter(|node| !holds(view, node, &stays)).collect();
    let reissued = issued_otherwise(builder, name, &stays);
    if builder.input.options.accept_outage {
        builder.recovery.told.insert(name.clone());
        builder
            .draft
            .accepted
            .push(format!("{broken}; what is not of {} is replaced at once", named(&stays)));
        builder.recovery.stays.insert(name.clone(), stays);
        builder.troubled.remove(name);
        return;
    }
    let mut steps = Vec::new();
    if !others.is_empty() {
        let others: Vec<&str> = others.iter().map(|node| node.as_str()).collect();
        steps.push(format!("puts it on {}", others.join(", ")));
    }
    if !reissued.is_empty() {
        steps.push(format!("reissues the {} certificates that another CA signed", reissued.len()));
    }
    let how = match wanted.source {
        Some(_) => "which spec.authorities declares".to_owned(),
        None => format!("which is held with its key on {}", holders(view, &stays).join(", ")),
    };
    let because = format!("{broken}. No order of steps mends that without an outage");
    let help = format!(
        "--accept-outage keeps {}, {how}, {} and restarts what has read another one; to keep another one, declare spec.authorities.{name}.source",
        named(&stays),
        steps.join(", ")
    );
    let reissued_on = reissued.iter().filter_map(|address| address.node().cloned());
    let nodes: BTreeSet<NodeName> = others.into_iter().cloned().chain(reissued_on).collect();
    tell_mixed(builder, name, &nodes, because, help);
}

fn tell_mixed<'n>(
    builder: &mut Builder<'_>,
    name: &AuthorityName,
    nodes: impl IntoIterator<Item = &'n NodeName>,
    because: String,
    help: String,
) {
    for node in nodes {
        let address = Address::on(Target::Authority(name.clone()), node);
        builder.block(&address, because.clone(), Some(help.clone()), &[]);
    }
    builder.recovery.told.insert(name.clone());
}

/// Where the CA that stays signs: a node that holds it with its key, or else the first node, on which the spec has it put.
pub(crate) fn holder_of(
    builder: &mut Builder<'_>,
    name: &AuthorityName,
    wanted: &DesiredAuthority,
    copies: &[(&NodeName, &AuthorityCopy)],
    stays: &Certificate,
) -> Option<Signer> {
    let view = builder.input.differences.authorities().get(name)?;
    let able = copies.iter().copied();
    let able = able.filter(|(node, _)| holds(view, node, stays) && holds_key(view, node, stays));
    let held = chosen::first_of(able, chosen::signer(builder.input, name));
    let (node, files) = match held {
        Some((node, files)) => (node, files),
        None => {
            let (node, files) = copies.iter().find(|(_, copy)| copy.may_hold_key)?;
            let root = wanted.root.as_ref()?;
            let deed = Deed::InstallAuthority {
                certificate: files.certificate.clone(),
                key: files.key.clone(),
                root: stays.clone(),
                source: RootSource { certificate: root.certificate_path.clone(), key: root.key_path.clone() },
            };
            let address = Address::on(Target::Authority(name.clone()), node);
            let why = mixed_reasons(builder, &address);
            builder.add(address, deed, why, true);
            (*node, *files)
        }
    };
    Some(Signer {
        node: node.clone(),
        files: files.clone(),
        not_after: stays.facts().not_after,
        certificate: Some(stays.clone()),
    })
}

/// Puts the CA that stays, and its key, on a node that holds another one.
pub(crate) fn replace_authority(
    builder: &mut Builder<'_>,
    name: &AuthorityName,
    (node, copy): (&NodeName, &AuthorityCopy),
    signer: &Signer,
    stays: &Certificate,
) {
    let Some(view) = builder.input.differences.authorities().get(name) else { return };
    let address = Address::on(Target::Authority(name.clone()), node);
    let why = mixed_reasons(builder, &address);
    let held = view.on_node(node).unwrap_or_default();
    if held.iter().ne([stays]) {
        let before: Vec<_> = held.iter().map(|certificate| *certificate.fingerprint()).collect();
        let replaces = !before.is_empty();
        let deed = Deed::WriteBundle { file: copy.certificate.clone(), bundle: Bundle::one(stays), before };
        builder.add(address.clone(), deed, why.clone(), replaces);
    }
    if copy.may_hold_key && !holds_key(view, node, stays) {
        let replaces = view.keys.contains_key(node);
        let deed = signer.key_for(&copy.key);
        builder.add(address, deed, why, replaces);
    }
}

fn mixed_reasons(builder: &Builder<'_>, address: &Address) -> Vec<crate::plan::Why> {
    let findings = builder.input.differences.of(address).iter();
    let mixed =
        findings.filter(|finding| finding.effect == Effect::Due || is_recovered(builder, address, finding));
    mixed.map(|finding| builder.why(finding)).collect()
}

/// Of two CAs only one stays, and the other one issued it.
pub(crate) fn issued_by_the_other(
    builder: &Builder<'_>,
    wanted: &DesiredIdentity,
    held: Option<&Certificate>,
) -> Option<Finding> {
    let authority = wanted.authority.clone()?;
    let (stays, held) = (builder.stays(&authority)?, held?);
    let issuer = held.facts().issuer.to_string();
    (!is_issued_by(held, stays)).then(|| Finding::blocks(Reason::WrongIssuer { issuer, authority }))
}

/// The CA that the spec names; else the one that most nodes hold with its key.
fn choice(view: &AuthorityView, wanted: &DesiredAuthority, now: jiff::Timestamp) -> Choice {
    if wanted.source.is_some() {
        let root = wanted.root.as_ref().and_then(|root| root.certificate.clone());
        return root.map_or(Choice::None, |root| Choice::This(Box::new(root)));
    }
    let mut votes: BTreeMap<&Certificate, usize> = BTreeMap::new();
    for (node, certificates) in &view.certificates {
        let Some(first) = certificates.first() else { continue };
        let facts = first.facts();
        let signs = facts.is_ca() && facts.is_in_time(now);
        if signs && holds_key(view, node, first) {
            *votes.entry(first).or_default() += 1;
        }
    }
    let Some(most) = votes.values().max().copied() else { return Choice::None };
    let mut first = votes.into_iter().filter(|(_, votes)| *votes == most).map(|(certificate, _)| certificate);
    match (first.next(), first.next()) {
        (Some(stays), None) => Choice::This(Box::new(stays.clone())),
        (Some(_), Some(_)) => Choice::Tie,
        (None, _) => Choice::None,
    }
}

fn holds(view: &AuthorityView, node: &NodeName, certificate: &Certificate) -> bool {
    view.on_node(node).and_then(|held| held.first()) == Some(certificate)
}

fn holds_key(view: &AuthorityView, node: &NodeName, certificate: &Certificate) -> bool {
    view.keys.get(node) == Some(&certificate.facts().key.spki_sha256)
}

fn holders<'a>(view: &'a AuthorityView, certificate: &Certificate) -> Vec<&'a str> {
    let nodes = view.certificates.keys();
    let nodes = nodes.filter(|node| holds(view, node, certificate) && holds_key(view, node, certificate));
    nodes.map(NodeName::as_str).collect()
}

/// Subject and fingerprint.
fn named(certificate: &Certificate) -> String {
    format!("{} ({})", certificate.facts().subject, certificate.fingerprint().short())
}

/// Which node holds which.
fn whose(view: &AuthorityView) -> String {
    let mut nodes: BTreeMap<&Certificate, Vec<&str>> = BTreeMap::new();
    for (node, certificates) in &view.certificates {
        if let Some(first) = certificates.first() {
            nodes.entry(first).or_default().push(node.as_str());
        }
    }
    let mut parts: Vec<(Vec<&str>, String)> =
        nodes.into_iter().map(|(certificate, nodes)| (nodes, named(certificate))).collect();
    parts.sort();
    let parts: Vec<String> =
        parts.into_iter().map(|(nodes, name)| format!("{name} is on {}", nodes.join(", "))).collect();
    parts.join("; ")
}
