//! Checks between the parts of a spec: what excludes, overlaps, refers to or lacks what.

use std::collections::{BTreeMap, BTreeSet};

use super::{Checker, Path};
use crate::diagnostic::{Code, all_of, one_of, quoted};
use crate::spec::types::{Connection, Endpoint, Restart};

/// Both or none of fields of which exactly one is wanted.
pub(super) fn not_exactly_one(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    let connections = spec.connection.iter().map(|connection| (vec!["connection"], connection)).chain(
        spec.nodes.iter().filter_map(|(name, node)| {
            node.connection
                .as_ref()
                .map(|connection| (vec!["nodes", name.as_str(), "connection"], connection))
        }),
    );
    for (path, Connection { ssh, local }) in connections.collect::<Vec<_>>() {
        choose_one(checker, &path, &[("ssh", ssh.is_some()), ("local", local.is_some())]);
    }
    for (name, service) in &spec.services {
        if let Some(Restart { systemd, static_pod, command }) = &service.restart {
            let fields = [
                ("systemd", systemd.is_some()),
                ("staticPod", static_pod.is_some()),
                ("command", command.is_some()),
            ];
            choose_one(checker, &["services", name.as_str(), "restart"], &fields);
        }
    }
}

pub(super) fn choose_one(checker: &mut Checker<'_>, path: Path<'_>, fields: &[(&str, bool)]) {
    let given: Vec<&str> = fields.iter().filter(|(_, given)| *given).map(|(field, _)| *field).collect();
    let possible = one_of(fields.iter().map(|(field, _)| *field));
    // A field that decoding dropped was given too: then nothing is missing.
    let any_written = fields.iter().any(|(field, _)| checker.is_written(&[path, &[*field]].concat()));
    match given.as_slice() {
        [] if !any_written => checker.report(
            Code::NotExactlyOne,
            path,
            &format!("one of {possible} is wanted"),
            "nothing is chosen here",
            &format!("write one of {possible}"),
        ),
        [first, second, ..] => checker.report_with(
            Code::NotExactlyOne,
            &[path, &[*second]].concat(),
            &format!("only one of {} can be given", all_of(fields.iter().map(|(field, _)| *field))),
            "this is one",
            "remove one of them",
            vec![([path, &[*first]].concat(), "and this is another".to_owned())],
        ),
        [] | [_] => {}
    }
}

/// Two nodes that are the same directory of this machine, or the same sshd.
pub(super) fn shared_root(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    let mut places: BTreeMap<String, &str> = BTreeMap::new();
    for (name, node) in &spec.nodes {
        let way = node.connection.as_ref().or(spec.connection.as_ref());
        // With both of them nobody knows which is meant: that is told already.
        let (field, shown) = match way {
            Some(Connection { ssh: None, local: Some(local) }) => (
                "local",
                match &local.root {
                    Some(root) => format!("the directory {}", quoted(&normalised(root))),
                    None => "this machine".to_owned(),
                },
            ),
            Some(Connection { ssh: Some(ssh), local: None }) => {
                let port = ssh.port.map_or(String::new(), |port| format!(", port {}", port.number()));
                ("ssh", format!("the host {}{port}", quoted(&ssh.host_of(name, node))))
            }
            Some(Connection { ssh: None, local: None } | Connection { ssh: Some(_), local: Some(_) })
            | None => {
                continue;
            }
        };
        match places.get(&shown) {
            None => {
                places.insert(shown, name.as_str());
            }
            Some(first) => {
                let (path, other) = (place_path(checker, name.as_str()), place_path(checker, first));
                let way_out = match field {
                    "local" => "give each local node a `connection.local.root` of its own",
                    _ => "give each node an `address` of its own, or a `connection.ssh.host`",
                };
                checker.report_with(
                    Code::SharedRoot,
                    &path,
                    &format!("{} and {} are both {shown}", quoted(first), quoted(name.as_str())),
                    "this node",
                    &format!("{way_out}: each would undo what the other one did"),
                    vec![(other, "and this one".to_owned())],
                );
            }
        }
    }
}

/// Where it is written which machine a node is, or else the node.
fn place_path<'name>(checker: &Checker<'_>, name: &'name str) -> Vec<&'name str> {
    let places = [
        vec!["nodes", name, "connection", "local", "root"],
        vec!["nodes", name, "connection", "ssh", "host"],
        vec!["nodes", name, "address"],
    ];
    places.into_iter().find(|place| checker.is_written(place)).unwrap_or(vec!["nodes", name])
}

fn normalised(path: &str) -> String {
    let start = if path.starts_with('/') { "/" } else { "" };
    let components: Vec<&str> = path.split('/').filter(|part| !part.is_empty() && *part != ".").collect();
    format!("{start}{}", components.join("/"))
}

/// A root CA's certificate without its key, or the key without its certificate.
pub(super) fn half_source(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    for (name, authority) in &spec.authorities {
        let Some(source) = &authority.source else { continue };
        let path = ["authorities", name.as_str(), "source"];
        let (message, lacking) = match (&source.certificate, &source.key) {
            (Some(_), None) => ("a certificate without its key", "key"),
            (None, Some(_)) => ("a key without its certificate", "certificate"),
            (None, None) => ("neither a certificate nor a key", "certificate"),
            (Some(_), Some(_)) => continue,
        };
        if checker.is_written(&[path.as_slice(), &[lacking]].concat()) {
            continue;
        }
        checker.report(
            Code::HalfSource,
            &path,
            message,
            &format!("has no {}", quoted(lacking)),
            "give both files of the CA, or neither; for a CA whose key is elsewhere write `external: true` instead",
        );
    }
}

/// A reference to an authority, certificate or node that neither the spec nor the profile has.
pub(super) fn unknown_reference(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    let nodes: BTreeSet<&str> = checker.written_names(&["nodes"]).into_iter().collect();
    let placements = spec
        .authorities
        .iter()
        .filter_map(|(name, authority)| authority.on.as_ref().map(|on| (["authorities", name.as_str()], on)))
        .chain(spec.certificates.iter().filter_map(|(name, certificate)| {
            certificate.on.as_ref().map(|on| (["certificates", name.as_str()], on))
        }))
        .collect::<Vec<_>>();
    for (owner, placement) in placements {
        let on = [owner.as_slice(), &["on"]].concat();
        for (path, name) in checker.texts(&[on.as_slice(), &["nodes"]].concat()) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            refer(checker, &path, "node", &name, &nodes);
        }
        let is_empty = placement.role.is_none() && placement.nodes.is_empty();
        let is_written = |field| checker.is_written(&[on.as_slice(), &[field]].concat());
        if is_empty && !is_written("role") {
            checker.report(
                Code::IncompleteAddition,
                &on,
                "no node is chosen",
                "nobody holds it",
                "write `role: etcd`, or `nodes: [...]` with names from `spec.nodes`",
            );
        }
    }
    let Some(known) = checker.known else { return };
    let mut authorities: BTreeSet<&str> = checker.written_names(&["authorities"]).into_iter().collect();
    authorities.extend(known.authorities.iter().map(String::as_str));
    let mut certificates: BTreeSet<&str> = checker.written_names(&["certificates"]).into_iter().collect();
    certificates.extend(known.certificates.keys().map(String::as_str));
    for (name, certificate) in &spec.certificates {
        if name.as_str() == crate::types::names::NODE {
            checker.report(
                Code::InvalidName,
                &["certificates", name.as_str()],
                "no certificate can be called `node`: in addresses that is the node itself",
                "this name",
                "give it another name",
            );
        }
        if let Some(authority) = &certificate.authority {
            let path = ["certificates", name.as_str(), "authority"];
            refer(checker, &path, "authority", authority.as_str(), &authorities);
        }
    }
    for name in spec.services.keys() {
        for (path, certificate) in checker.texts(&["services", name.as_str(), "reads"]) {
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            refer(checker, &path, "certificate", &certificate, &certificates);
        }
    }
    for (name, service) in &spec.services {
        for (endpoint, Endpoint { serves, .. }) in &service.endpoints {
            let Some(certificate) = serves else { continue };
            let path = ["services", name.as_str(), "endpoints", endpoint.as_str(), "serves"];
            refer(checker, &path, "certificate", certificate.as_str(), &certificates);
        }
    }
}

pub(super) fn refer(
    checker: &mut Checker<'_>,
    path: Path<'_>,
    kind: &str,
    name: &str,
    declared: &BTreeSet<&str>,
) {
    if declared.contains(name) {
        return;
    }
    let help = match (checker.nearest(name, declared.iter().copied()), declared.is_empty()) {
        (Some(near), _) => {
            format!("did you mean {}? Declared: {}", quoted(near), all_of(declared.iter().copied()))
        }
        (None, false) if !checker.may_suggest() => format!("write the name of a {kind} that is declared"),
        (None, false) => format!("declared: {}", all_of(declared.iter().copied())),
        (None, true) => format!("declare the {kind} first"),
    };
    checker.report(
        Code::UnknownReference,
        path,
        &format!("there is no {kind} {}", quoted(name)),
        "this name",
        &help,
    );
}

/// Something that the profile does not know and that the spec does not describe in full: often a slip of the pen.
pub(super) fn incomplete_addition(checker: &mut Checker<'_>) {
    let Some(known) = checker.known else { return };
    let spec = checker.spec;
    for (name, certificate) in &spec.certificates {
        if known.certificates.contains_key(name.as_str()) {
            continue;
        }
        let fields = [
            ("authority", certificate.authority.is_some()),
            ("subject", certificate.subject.is_some()),
            ("files", certificate.files.is_some() || certificate.kubeconfig.is_some()),
            ("on", certificate.on.is_some()),
        ];
        let names = known.certificates.keys().map(String::as_str);
        require(checker, &["certificates", name.as_str()], "certificate", &fields, names);
    }
    for (name, authority) in &spec.authorities {
        if known.authorities.contains(name.as_str()) {
            continue;
        }
        let fields = [
            ("subject", authority.subject.is_some() || authority.source.is_some() || authority.external),
            ("files", authority.files.is_some()),
            ("on", authority.on.is_some()),
        ];
        let names = known.authorities.iter().map(String::as_str);
        require(checker, &["authorities", name.as_str()], "authority", &fields, names);
    }
    for (name, directory) in &spec.directories {
        if !known.directories.contains(name.as_str()) {
            let names = known.directories.iter().map(String::as_str);
            let fields = [("link", directory.link.is_some())];
            require(checker, &["directories", name.as_str()], "directory", &fields, names);
        }
    }
    for (name, service) in &spec.services {
        if !known.services.contains(name.as_str()) {
            let names = known.services.iter().map(String::as_str);
            let fields = [("restart", service.restart.is_some()), ("reads", !service.reads.is_empty())];
            require(checker, &["services", name.as_str()], "service", &fields, names);
        }
    }
}

fn require<'name>(
    checker: &mut Checker<'_>,
    path: &[&str; 2],
    kind: &str,
    fields: &[(&str, bool)],
    known: impl Iterator<Item = &'name str>,
) {
    let lacks = |field: &str| !checker.is_written(&[path.as_slice(), &[field]].concat());
    let lacking: Vec<&str> =
        fields.iter().filter(|(field, given)| !given && lacks(field)).map(|(field, _)| *field).collect();
    if lacking.is_empty() {
        return;
    }
    let [_, name] = path;
    let profile = checker.spec.profile;
    let lacks = all_of(lacking.iter().copied());
    let (message, help) = match (checker.nearest(name, known), profile.is_custom()) {
        (Some(near), _) => (
            format!("the profile `{profile}` has no {kind} {}", quoted(name)),
            format!("did you mean {}? An addition of your own also needs {lacks}", quoted(near)),
        ),
        (None, true) => (format!("the {kind} is not complete"), format!("add {lacks}")),
        (None, false) => (
            format!("the profile `{profile}` has no {kind} {}", quoted(name)),
            format!("an addition of your own also needs {lacks}"),
        ),
    };
    checker.report(Code::IncompleteAddition, path, &message, &format!("lacks {lacks}"), &help);
}

/// How many links the kernel follows on one way.
const MOST_LINKS: usize = 40;

/// Links that lead to themselves, into themselves, or around in a circle.
pub(super) fn link_loop(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    let links: BTreeMap<&str, (&str, &str)> = spec
        .directories
        .iter()
        .filter_map(|(name, directory)| {
            directory.link.as_deref().map(|link| (link, (name.as_str(), directory.path.as_str())))
        })
        .collect();
    for (name, directory) in &spec.directories {
        let Some(link) = directory.link.as_deref() else { continue };
        let mut target = directory.path.as_str();
        let mut way = vec![name.as_str()];
        while let Some((next, path)) = links.get(target).filter(|_| target != link && way.len() <= MOST_LINKS)
        {
            way.push(next);
            target = path;
        }
        // A way that leads into a circle never comes back to its link; the circle is told of at its own.
        if way.len() > MOST_LINKS && way.iter().collect::<BTreeSet<_>>().len() < way.len() {
            continue;
        }
        let is_below = |outer: &str, inner: &str| {
            inner.strip_prefix(outer).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let others = way
            .iter()
            .skip(1)
            .map(|other| (vec!["directories", *other, "link"], "by way of this link".to_owned()));
        let message = if way.len() > MOST_LINKS {
            format!(
                "the link {} leads over more than {MOST_LINKS} links, which no kernel follows",
                quoted(link)
            )
        } else if target == link {
            format!("the link {} leads back to itself", quoted(link))
        } else if is_below(link, target) {
            format!("the link {} leads into itself: {} is below it", quoted(link), quoted(target))
        } else {
            continue;
        };
        checker.report_with(
            Code::LinkLoop,
            &["directories", name.as_str(), "link"],
            &message,
            "this link",
            "`path` is where the files really are, `link` is the old path that programs know; they cannot be the same or one inside the other",
            others.collect(),
        );
    }
}

/// A directory that is to be moved, and no link that is to take its place.
pub(super) fn migration_without_link(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    for (name, directory) in spec.directories.iter().filter(|(_, directory)| directory.migrate) {
        let link = ["directories", name.as_str(), "link"];
        if directory.link.is_none() && !checker.is_written(&link) {
            checker.report(
                Code::MigrationWithoutLink,
                &["directories", name.as_str(), "migrate"],
                "`migrate` moves a directory away from where a link should be, and there is no `link`",
                "needs a `link`",
                "write in `link` the path under which programs know the directory, or remove `migrate`",
            );
        }
    }
}

/// A cluster without nodes, or a node without a role.
pub(super) fn no_nodes(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    if checker.is_written(&["nodes"]) && checker.written_names(&["nodes"]).is_empty() {
        checker.report(
            Code::NoNodes,
            &["nodes"],
            "no node is declared",
            "empty",
            "write each node by name: `cp-1: { address: 10.0.0.11, roles: [control-plane, etcd] }`",
        );
    }
    for (name, node) in &spec.nodes {
        let path = ["nodes", name.as_str(), "roles"];
        if node.roles.is_empty() && checker.is_written(&path) && checker.texts(&path).is_empty() {
            checker.report(
                Code::NoNodes,
                &path,
                "the node has no role, so no certificate belongs on it",
                "empty",
                "write one or more of `control-plane`, `etcd` and `worker`, or remove the node",
            );
        }
    }
}

/// Fields of which one makes the other meaningless.
pub(super) fn contradiction(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    for (name, certificate) in &spec.certificates {
        let names = ["certificates", name.as_str(), "names"];
        for (field, given) in [("dns", &certificate.names.dns), ("ip", &certificate.names.ip)] {
            if certificate.names.only.is_some() && !given.is_empty() {
                checker.report_with(
                    Code::Contradiction,
                    &[names.as_slice(), &[field]].concat(),
                    "`only` replaces all names, so these would not be used",
                    "these names",
                    &format!("move them to `only.{field}`, or remove `only` to add them to the profile's"),
                    vec![([names.as_slice(), &["only"]].concat(), "replaces all names".to_owned())],
                );
            }
        }
    }
    for (name, authority) in &spec.authorities {
        if authority.external && authority.source.is_some() {
            let path = ["authorities", name.as_str()];
            checker.report_with(
                Code::Contradiction,
                &[path.as_slice(), &["source"]].concat(),
                "an external authority has its key elsewhere, so it has no `source`",
                "this source",
                "remove `external` to sign with this key, or remove `source` to request certificates with CSRs",
                vec![([path.as_slice(), &["external"]].concat(), "external".to_owned())],
            );
        }
    }
}
