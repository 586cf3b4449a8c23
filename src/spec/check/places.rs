//! Checks of the places where certificates are kept: their form, their files, and whether several nodes can hold the same one.

use std::collections::{BTreeMap, BTreeSet};

use super::relations::choose_one;
use super::values::forms;
use super::{Checker, KnownNames, Path};
use crate::diagnostic::counted;
use crate::diagnostic::{Code, quoted};
use crate::spec::types::{Holders, Node, Placement, Role, Spec};

/// The fields of a place, each with the fields in it that are files.
const FORMS: [(&str, &[&str]); 3] =
    [("files", &["certificate", "key"]), ("combined", &["path"]), ("kubeconfig", &["path"])];

/// Where the spec may write a file of an authority or certificate, in the order of reading.
fn files<'spec>(spec: &'spec Spec, kind: &'spec str, name: &'spec str) -> Vec<Vec<&'spec str>> {
    let mut fields = Vec::new();
    let mut add = |place: &[&'spec str]| {
        for (form, files) in FORMS {
            fields.extend(files.iter().map(|file| [place, &[form, *file]].concat()));
        }
    };
    add(&[kind, name]);
    if kind == "certificates" {
        let certificate = spec.certificates.get(name);
        for copy in certificate.into_iter().flat_map(|certificate| certificate.copies.keys()) {
            add(&[kind, name, "copies", copy.as_str()]);
        }
    } else {
        let authority = spec.authorities.get(name);
        for copy in authority.into_iter().flat_map(|authority| authority.copies.keys()) {
            fields.push(vec![kind, name, "copies", copy.as_str(), "path"]);
        }
    }
    fields
}

/// Every authority and certificate of the spec, with the nodes that it names.
fn owners_of_files(spec: &Spec) -> Vec<(&'static str, &str, Option<&Placement>)> {
    let authorities = spec.authorities.iter();
    let authorities =
        authorities.map(|(name, authority)| ("authorities", name.as_str(), authority.on.as_ref()));
    let certificates = spec.certificates.iter();
    let certificates =
        certificates.map(|(name, certificate)| ("certificates", name.as_str(), certificate.on.as_ref()));
    authorities.chain(certificates).collect()
}

/// Every field that is a file on a node.
pub(super) fn paths(spec: &Spec) -> Vec<Vec<&str>> {
    owners_of_files(spec).into_iter().flat_map(|(kind, name, _)| files(spec, kind, name)).collect()
}

/// Every field that names the owner of such a file.
pub(super) fn owners(spec: &Spec) -> Vec<Vec<&str>> {
    let mut owners: BTreeSet<Vec<&str>> = BTreeSet::new();
    for path in paths(spec) {
        let Some((_, place)) = path.split_last() else { continue };
        owners.insert([place, &["owner"]].concat());
    }
    owners.into_iter().collect()
}

/// A place of two forms or of none.
pub(super) fn place_form(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    for (name, certificate) in &spec.certificates {
        let own = [("files", certificate.files.is_some()), ("kubeconfig", certificate.kubeconfig.is_some())];
        // Without either the profile places it.
        if own.iter().all(|(_, given)| *given) {
            choose_one(checker, &["certificates", name.as_str()], &own);
        }
        for (copy, place) in &certificate.copies {
            let forms = [
                ("files", place.files.is_some()),
                ("combined", place.combined.is_some()),
                ("kubeconfig", place.kubeconfig.is_some()),
            ];
            choose_one(checker, &["certificates", name.as_str(), "copies", copy.as_str()], &forms);
        }
    }
}

/// The server of a kubeconfig that no client could dial.
pub(super) fn invalid_server(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    for path in paths(spec) {
        let Some((_, place)) = path.split_last().filter(|(_, place)| place.last() == Some(&"kubeconfig"))
        else {
            continue;
        };
        for (path, text) in checker.texts(&[place, &["server"]].concat()) {
            let filled = text.replace("{node}", "node").replace("{address}", "address");
            if !filled.strip_prefix("https://").is_some_and(forms::is_endpoint) {
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                checker.report(
                    Code::InvalidHost,
                    &path,
                    &format!("{} is not the URL of an API server", quoted(&text)),
                    "this URL",
                    "write https://HOST:PORT, such as https://api.example.com:6443",
                );
            }
        }
    }
}

/// A certificate that all nodes hold alike, with something in it that is another on each.
pub(super) fn shared_differs(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    for (name, certificate) in &spec.certificates {
        if certificate.holders != Some(Holders::Shared) {
            continue;
        }
        let own = ["certificates", name.as_str()];
        let fields: [&[&str]; 6] = [
            &["subject", "commonName"],
            &["subject", "organizations"],
            &["names", "dns"],
            &["names", "ip"],
            &["names", "only", "dns"],
            &["names", "only", "ip"],
        ];
        for field in fields {
            for (path, text) in checker.texts(&[own.as_slice(), field].concat()) {
                let Some(placeholder) = ["{node}", "{address}"].into_iter().find(|word| text.contains(word))
                else {
                    continue;
                };
                let path: Vec<&str> = path.iter().map(String::as_str).collect();
                let holders = [own.as_slice(), &["holders"]].concat();
                checker.report_with(
                    Code::SharedDiffers,
                    &path,
                    &format!("{} is another on each node, and all hold the same certificate", quoted(placeholder)),
                    "differs from node to node",
                    "write what is true of every node, such as the names of all of them; or remove `holders: shared`",
                    vec![(holders, "the same on all nodes".to_owned())],
                );
            }
        }
    }
}

/// A directory for this program's own state in one that belongs to somebody else than root, who could put there what is then done as root.
pub(super) fn state_of_others(checker: &mut Checker<'_>) {
    let of_others = directories_of_others(checker);
    let field = ["snapshots", "directory"];
    for (path, state) in checker.texts(&field) {
        let is_in = |directory: &str| {
            let rest = state.strip_prefix(directory.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let Some((directory, user)) = of_others.iter().find(|(directory, _)| is_in(directory)) else {
            continue;
        };
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        let message =
            format!("{} is in {}, where files belong to {}", quoted(&state), quoted(directory), quoted(user));
        let help = "name a directory in which only root can change names, such as /var/lib/pki: what lies there is put back as root";
        checker.report(Code::InvalidPath, &path, &message, "this path", help);
    }
}

/// The directories that the layout gives to somebody else than root, each with that user.
fn directories_of_others(checker: &Checker<'_>) -> BTreeMap<String, String> {
    let spec = checker.spec;
    let mut found = BTreeMap::new();
    let Some(known) = checker.known else { return found };
    for (name, user) in &known.directories_of_others {
        let places = match spec.directories.get(name.as_str()) {
            Some(declared) => vec![Some(declared.path.clone()), declared.link.clone()],
            None => vec![known.places.get(name).cloned()],
        };
        found.extend(places.into_iter().flatten().map(|place| (place, user.clone())));
    }
    found
}

/// The user of an owner, unless that is root.
pub(crate) fn foreign_user(owner: &str) -> Option<&str> {
    let user = owner.split_once(':').map_or(owner, |(user, _)| user);
    (!["root", "0", ""].contains(&user)).then_some(user)
}

/// A file as a message calls it.
fn called(path: Path<'_>, name: &str) -> String {
    let name = quoted(name);
    match path {
        [_, _, "files", field] => format!("the {field} of {name}"),
        [_, _, "copies", copy, .., field @ ("certificate" | "key")] => {
            format!("the {field} of {name} in its copy {}", quoted(copy))
        }
        [_, _, "copies", copy, ..] => format!("the copy {} of {name}", quoted(copy)),
        _ => format!("the kubeconfig of {name}"),
    }
}

/// One file of a spec, for the comparison.
struct Used<'spec> {
    /// Where the spec writes it; empty for one that the layout has there.
    path: Vec<&'spec str>,
    file: String,
    nodes: Option<BTreeSet<&'spec str>>,
    what: String,
}

/// The same file for two certificates, or for a certificate and its key.
pub(super) fn shared_file(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    // Those of the layout come first: what the spec writes is what could be written otherwise.
    let mut used: Vec<Used<'_>> = files_of_layout(checker);
    for (kind, name, on) in owners_of_files(spec) {
        let own: Vec<Vec<&str>> = files(spec, kind, name);
        for path in own {
            let Some(file) = checker.texts(&path).into_iter().next().map(|(_, text)| text) else { continue };
            let nodes = on.map(|placement| nodes_of(spec, placement));
            let what = called(&path, name);
            used.push(Used { path, file, nodes, what });
        }
    }
    let mut taken = Taken::default();
    for (index, second) in used.iter().enumerate() {
        let Some(first) = taken.take(index, second).and_then(|first| used.get(first)) else { continue };
        if second.file.is_empty() || second.path.is_empty() {
            continue;
        }
        let other = Some((first.path.clone(), first.what.clone())).filter(|(path, _)| !path.is_empty());
        checker.report_with(
            Code::SharedFile,
            &second.path,
            &format!("{} would hold both {} and {}", quoted(&second.file), first.what, second.what),
            &second.what,
            "give each its own file; each would overwrite the other on every run",
            other.into_iter().collect(),
        );
    }
}

/// The files of the layout's own certificates that the spec leaves where they are.
fn files_of_layout<'spec>(checker: &Checker<'spec>) -> Vec<Used<'spec>> {
    let spec = checker.spec;
    let Some(known) = checker.known else { return Vec::new() };
    let mut used = Vec::new();
    for (name, files) in &known.files {
        let declared = spec.certificates.get(name.as_str());
        if declared.is_some_and(|declared| declared.files.is_some() || declared.kubeconfig.is_some()) {
            continue;
        }
        let nodes = match declared.and_then(|declared| declared.on.as_ref()) {
            Some(placement) => nodes_of(spec, placement),
            None => {
                let has_it = |node: &Node| files.on.iter().any(|role| node.roles.contains(role));
                let nodes = spec.nodes.iter().filter(|(_, node)| has_it(node));
                nodes.map(|(name, _)| name.as_str()).collect()
            }
        };
        for (field, path) in [("certificate", &files.certificate), ("key", &files.key)] {
            let Some(file) = filled(path, spec, known, 0) else { continue };
            let what = called(&["certificates", name, "files", field], name);
            used.push(Used { path: Vec::new(), file, nodes: Some(nodes.clone()), what });
        }
    }
    used
}

/// Directories in directories.
const NESTED: usize = 8;

/// A path of the layout, with the directory that it begins with; none where something else in it is known on the nodes only.
fn filled(path: &str, spec: &Spec, known: &KnownNames, depth: usize) -> Option<String> {
    let Some((name, rest)) = path.strip_prefix('{').and_then(|path| path.split_once('}')) else {
        return (!path.contains('{')).then(|| path.to_owned());
    };
    let place = match spec.directories.get(name) {
        Some(directory) => &directory.path,
        None => known.places.get(name)?,
    };
    if depth > NESTED || rest.contains('{') {
        return None;
    }
    Some(filled(place, spec, known, depth + 1)? + rest)
}

/// Who was the first to use each file: at all, wherever the profile wants, and on each node.
#[derive(Default)]
struct Taken<'used> {
    at_all: BTreeMap<&'used str, usize>,
    anywhere: BTreeMap<&'used str, usize>,
    on: BTreeMap<(&'used str, &'used str), usize>,
}

impl<'used> Taken<'used> {
    /// Notes who uses a file, and gives the first who used it on one of the same nodes.
    fn take(&mut self, index: usize, used: &'used Used<'_>) -> Option<usize> {
        let file = used.file.as_str();
        let first = match &used.nodes {
            // Without a word about nodes the profile places it: it may be anywhere.
            None => {
                let first = self.at_all.get(file).copied();
                self.anywhere.entry(file).or_insert(index);
                first
            }
            Some(nodes) => {
                let mut first = self.anywhere.get(file).copied();
                counted::steps(nodes.len());
                for node in nodes {
                    let on = *self.on.entry((file, node)).or_insert(index);
                    if on < index {
                        first = Some(first.map_or(on, |first| first.min(on)));
                    }
                }
                first
            }
        };
        self.at_all.entry(file).or_insert(index);
        first
    }
}

fn nodes_of<'spec>(spec: &'spec Spec, placement: &'spec Placement) -> BTreeSet<&'spec str> {
    let has_role = |role: Role| spec.nodes.iter().filter(move |(_, node)| node.roles.contains(&role));
    let by_role = placement.role.into_iter().flat_map(has_role).map(|(name, _)| name.as_str());
    by_role.chain(placement.nodes.iter().map(|name| name.as_str())).collect()
}
