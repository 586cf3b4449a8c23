//! What must hold on the nodes of a layout, read from their files and from the tables of the layouts alone.

use std::collections::BTreeSet;

use jiff::Timestamp;
use pki::x509::chain::{Purpose, verify};
use pki::x509::{Certificate, PrivateKey, pem};

use super::layouts::{Layout, Leaf, Part};

/// A node as a judge sees it.
pub(super) struct Node<'a> {
    pub(super) name: String,
    pub(super) bytes: &'a dyn Fn(&str) -> Option<Vec<u8>>,
}

/// The members whose names stand in the names of files.
pub(super) fn filled(template: &str, number: usize) -> String {
    let address = crate::property::members::address(number);
    template
        .replace("{number}", &(number + 1).to_string())
        .replace("{dashed}", &address.replace('.', "-"))
        .replace("{address}", &address)
        .replace("{node}", &crate::property::members::name(number))
}

fn template(part: Part) -> &'static str {
    let (Part::Pem(path) | Part::Authority(path) | Part::User(path)) = part;
    path
}

pub(super) fn names(part: Part, members: usize) -> BTreeSet<String> {
    (0..members).map(|number| filled(template(part), number)).collect()
}

/// The files of a certificate and of its key, as many as there are.
fn pairs(leaf: &Leaf, members: usize) -> BTreeSet<(String, String)> {
    let of = |number| [leaf.certificate, leaf.key].map(|part| filled(template(part), number)).into();
    (0..members).map(of).collect()
}

/// The value of a key of a kubeconfig, as kubeadm writes them: one a line, in base64.
fn value(text: &[u8], key: &str) -> Option<Vec<u8>> {
    let text = std::str::from_utf8(text).ok()?;
    let value = text.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "))?;
    Some(base64(value.trim()))
}

fn base64(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.decode(text).unwrap()
}

fn content(node: &Node<'_>, part: Part, path: &str, is_key: bool) -> Option<Vec<u8>> {
    let bytes = (node.bytes)(path)?;
    match part {
        Part::Pem(_) => Some(bytes),
        Part::Authority(_) => value(&bytes, "certificate-authority-data"),
        Part::User(_) if is_key => value(&bytes, "client-key-data"),
        Part::User(_) => value(&bytes, "client-certificate-data"),
    }
}

fn certificates(bytes: &[u8]) -> Vec<Certificate> {
    pem::read(bytes).certificates().cloned().collect()
}

/// Each place with what it holds; a place where nothing is holds nothing that could be wrong.
fn found(node: &Node<'_>, part: Part, members: usize) -> Vec<(String, Vec<u8>)> {
    let paths = names(part, members).into_iter();
    paths
        .filter_map(|path| Some((format!("{}:{path}", node.name), content(node, part, &path, false)?)))
        .collect()
}

/// Trust files without a CA, or with one CA twice.
pub(super) fn bundles(layout: &Layout, nodes: &[Node<'_>]) -> BTreeSet<String> {
    let mut faults = BTreeSet::new();
    for (node, part) in nodes.iter().flat_map(|node| layout.trusted.iter().map(move |part| (node, *part))) {
        for (place, bytes) in found(node, part, nodes.len()) {
            let certificates = certificates(&bytes);
            let distinct: BTreeSet<_> = certificates.iter().map(Certificate::fingerprint).collect();
            if certificates.is_empty() {
                faults.insert(format!("{place} holds no CA certificate"));
            }
            if distinct.len() < certificates.len() {
                faults.insert(format!("{place} holds a CA certificate twice"));
            }
        }
    }
    faults
}

/// Certificates that somebody who is presented with them does not accept, on whichever node, and keys of other certificates.
pub(super) fn leaves(layout: &Layout, nodes: &[Node<'_>], now: Timestamp) -> BTreeSet<String> {
    let mut faults = BTreeSet::new();
    let judged: Vec<_> = layout.leaves.iter().map(|leaf| (leaf, judges(leaf, nodes))).collect();
    for ((leaf, judges), node) in judged.iter().flat_map(|leaf| nodes.iter().map(move |node| (leaf, node))) {
        for (path, key) in pairs(leaf, nodes.len()) {
            let Some(bytes) = content(node, leaf.certificate, &path, false) else { continue };
            let (place, held) = (format!("{}:{path}", node.name), certificates(&bytes));
            let Some((first, behind)) = held.split_first() else {
                faults.insert(format!("{place} holds no certificate"));
                continue;
            };
            if content(node, leaf.key, &key, true).is_none_or(|key| !is_its_key(first, &key)) {
                faults.insert(format!("{place} has another key in {key}"));
            }
            for (bundle, trusted) in judges {
                if let Err(why) = verify(first, behind, trusted, now, &Purpose::Any) {
                    faults.insert(format!("{bundle} does not verify {place}: {why}"));
                }
            }
        }
    }
    faults
}

fn judges(leaf: &Leaf, nodes: &[Node<'_>]) -> Vec<(String, Vec<Certificate>)> {
    let parts = |node| leaf.judged_by.iter().flat_map(move |part| found(node, *part, nodes.len()));
    nodes.iter().flat_map(parts).map(|(place, bytes)| (place, certificates(&bytes))).collect()
}

fn is_its_key(certificate: &Certificate, key: &[u8]) -> bool {
    let read = pem::read(key);
    let mut keys = read.private_keys().map(PrivateKey::public_key);
    keys.any(|key| key.spki_der() == certificate.facts().key.spki_der())
}

/// What is not there although the layout has it: without it nothing above could be wrong.
pub(super) fn missing(layout: &Layout, nodes: &[Node<'_>]) -> BTreeSet<String> {
    let certificates = layout.leaves.iter().map(|leaf| leaf.certificate);
    let parts = layout.trusted.iter().copied().chain(certificates);
    let nowhere = |part: &Part| nodes.iter().all(|node| found(node, *part, nodes.len()).is_empty());
    parts.filter(nowhere).map(|part| format!("{part:?} is on no node")).collect()
}

/// Every certificate beside every bundle by which it is judged, as texts for another judge.
pub(super) fn chains(layout: &Layout, nodes: &[Node<'_>]) -> BTreeSet<(Vec<u8>, Vec<u8>)> {
    let mut chains = BTreeSet::new();
    for (leaf, node) in layout.leaves.iter().flat_map(|leaf| nodes.iter().map(move |node| (leaf, node))) {
        for (_, bytes) in found(node, leaf.certificate, nodes.len()) {
            let bundles = leaf.judged_by.iter().flat_map(|part| nodes.iter().map(move |node| (*part, node)));
            let bundles = bundles.flat_map(|(part, node)| found(node, part, nodes.len()));
            chains.extend(bundles.map(|(_, bundle)| (bytes.clone(), bundle)));
        }
    }
    chains
}
