//! Checks of single values whose types are plain texts or numbers.

pub(crate) mod forms;

use std::collections::{BTreeMap, BTreeSet};

use super::{Checker, consumers, places};
use crate::diagnostic::{Code, escaped, is_deceiving, quoted};
use crate::spec::types::Spec;
use crate::types::duration::Duration;
use crate::yaml::parse::{Entry, Value};
use forms::{DnsFault, PathFault};

/// Borrows the steps of an owned path.
fn steps(path: &[String]) -> Vec<&str> {
    path.iter().map(String::as_str).collect()
}

/// The same text twice in a list that is a set.
pub(super) fn duplicate_item(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    let mut lists: Vec<Vec<&str>> = Vec::new();
    for name in spec.nodes.keys() {
        lists.push(vec!["nodes", name.as_str(), "roles"]);
    }
    for name in spec.certificates.keys() {
        let name = name.as_str();
        lists.push(vec!["certificates", name, "usages"]);
        lists.push(vec!["certificates", name, "names", "dns"]);
        lists.push(vec!["certificates", name, "names", "ip"]);
        lists.push(vec!["certificates", name, "names", "only", "dns"]);
        lists.push(vec!["certificates", name, "names", "only", "ip"]);
        lists.push(vec!["certificates", name, "on", "nodes"]);
    }
    for name in spec.authorities.keys() {
        lists.push(vec!["authorities", name.as_str(), "on", "nodes"]);
    }
    lists.extend(consumers::lists(spec));
    for name in spec.services.keys() {
        lists.push(vec!["services", name.as_str(), "reads"]);
    }
    for list in lists {
        let mut seen: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (path, text) in checker.texts(&list) {
            match seen.get(&text).cloned() {
                None => drop(seen.insert(text, path)),
                Some(first) => checker.report_with(
                    Code::DuplicateItem,
                    &steps(&path),
                    &format!("{} is listed twice", quoted(&text)),
                    "again here",
                    "remove one of them",
                    vec![(steps(&first), "first here".to_owned())],
                ),
            }
        }
    }
}

/// A length of zero where something must last.
pub(super) fn zero_duration(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    let mut lengths: Vec<(Vec<&str>, Duration)> = vec![
        (vec!["defaults", "validity"], spec.defaults.validity),
        (vec!["defaults", "authorityValidity"], spec.defaults.authority_validity),
        (vec!["rollout", "timeout"], spec.rollout.timeout),
        (vec!["defaults", "alarmBefore"], spec.defaults.alarm_before),
        (vec!["defaults", "authorityAlarmBefore"], spec.defaults.authority_alarm_before),
    ];
    for (name, certificate) in &spec.certificates {
        lengths.extend(
            certificate.validity.map(|length| (vec!["certificates", name.as_str(), "validity"], length)),
        );
        let alarm = certificate.alarm_before;
        lengths.extend(alarm.map(|length| (vec!["certificates", name.as_str(), "alarmBefore"], length)));
    }
    for (name, authority) in &spec.authorities {
        lengths.extend(
            authority.validity.map(|length| (vec!["authorities", name.as_str(), "validity"], length)),
        );
        let alarm = authority.alarm_before;
        lengths.extend(alarm.map(|length| (vec!["authorities", name.as_str(), "alarmBefore"], length)));
    }
    for (path, length) in lengths {
        if length == Duration::default() {
            checker.report(
                Code::InvalidDuration,
                &path,
                "the length is zero",
                "this must last",
                "write a length above zero, such as 90d",
            );
        }
    }
}

/// A name that no DNS server could hold.
pub(super) fn invalid_dns_name(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    let mut names = Vec::new();
    for name in spec.certificates.keys() {
        names.extend(checker.texts(&["certificates", name.as_str(), "names", "dns"]));
        names.extend(checker.texts(&["certificates", name.as_str(), "names", "only", "dns"]));
    }
    for (path, text) in names {
        report_dns_name(checker, &path, &text, true);
    }
    for (path, text) in checker.texts(&["cluster", "dnsDomain"]) {
        report_dns_name(checker, &path, &text, false);
    }
}

fn report_dns_name(checker: &mut Checker<'_>, path: &[String], text: &str, wildcard: bool) {
    let Some(fault) = forms::dns_fault(text, wildcard) else { return };
    let help = match fault {
        DnsFault::Address => "move it to `ip`: verifiers look for addresses only there",
        DnsFault::Upper => "write it in lower case, as kubeadm and the API server want it",
        DnsFault::Form if wildcard => {
            "write labels of letters, digits and inner hyphens (RFC 1123), such as api.example.com; `*` only as the whole first label"
        }
        DnsFault::Form => {
            "write labels of letters, digits and inner hyphens (RFC 1123), such as cluster.local"
        }
    };
    checker.report(
        Code::InvalidDnsName,
        &steps(path),
        &format!("{} is not a DNS name", quoted(text)),
        "this name",
        help,
    );
}

/// An address or subnet that cannot be parsed.
pub(super) fn invalid_ip_address(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    let mut addresses = Vec::new();
    for name in spec.certificates.keys() {
        addresses.extend(checker.texts(&["certificates", name.as_str(), "names", "ip"]));
        addresses.extend(checker.texts(&["certificates", name.as_str(), "names", "only", "ip"]));
    }
    for (path, text) in addresses {
        if !forms::is_ip_address(&text) {
            checker.report(
                Code::InvalidIpAddress,
                &steps(&path),
                &format!("{} is not an IP address", quoted(&text)),
                "this address",
                "write an IPv4 or IPv6 address without port, prefix or brackets; host names belong under `dns`",
            );
        }
    }
    for (path, text) in checker.texts(&["cluster", "serviceSubnet"]) {
        if let Some(part) = text.split(',').find(|part| !forms::is_subnet(part)) {
            checker.report(
                Code::InvalidIpAddress,
                &steps(&path),
                &format!("{} is not a subnet", quoted(part)),
                "this subnet",
                "write the network address and its prefix, such as 10.96.0.0/12; two of them with a comma for dual stack",
            );
        }
    }
}

/// A host, endpoint or login that ssh or a dialler could misread.
pub(super) fn invalid_host(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    for name in spec.nodes.keys() {
        for (path, text) in checker.texts(&["nodes", name.as_str(), "address"]) {
            if !forms::is_host(&text) {
                checker.report(
                    Code::InvalidHost,
                    &steps(&path),
                    &format!("{} is not an address", quoted(&text)),
                    "this address",
                    "write an IP address or host name: letters, digits and `.`, `_`, `:`, `@`, `%`, `-`, not starting with `-`",
                );
            }
        }
    }
    for (path, text) in checker.texts(&["cluster", "controlPlaneEndpoint"]) {
        if !forms::is_endpoint(&text) {
            checker.report(
                Code::InvalidHost,
                &steps(&path),
                &format!("{} is not an endpoint", quoted(&text)),
                "this endpoint",
                "write HOST or HOST:PORT, as in kubeadm's configuration, without https:// in front; IPv6 in brackets",
            );
        }
    }
    for connection in connections(spec) {
        for (path, text) in checker.texts(&[connection.as_slice(), &["ssh", "host"]].concat()) {
            report_placeholder(checker, &path, &text);
            let filled = text.replace("{node}", "node").replace("{address}", "address");
            if forms::unknown_placeholder(&text).is_none() && !forms::is_host(&filled) {
                checker.report(
                    Code::InvalidHost,
                    &steps(&path),
                    &format!("{} is not a host", quoted(&text)),
                    "this host",
                    "write an IP address, a host name or a `Host` of your SSH configuration, not starting with `-`",
                );
            }
        }
        for (path, text) in checker.texts(&[connection.as_slice(), &["ssh", "hostKeys"]].concat()) {
            if !forms::is_host_key(&text) {
                checker.report(
                    Code::InvalidHost,
                    &steps(&path),
                    "this is not a public host key",
                    "this key",
                    "write one line of the node's /etc/ssh/ssh_host_*_key.pub, such as `ssh-ed25519 AAAA...`",
                );
            }
        }
        for (path, text) in checker.texts(&[connection.as_slice(), &["ssh", "user"]].concat()) {
            if !forms::is_account(&text) {
                checker.report(
                    Code::InvalidHost,
                    &steps(&path),
                    &format!("{} is not a login name", quoted(&text)),
                    "this user",
                    "write letters, digits and `.`, `_`, `-`, not starting with `-`",
                );
            }
        }
    }
}

/// The connections of the cluster and of its nodes.
fn connections(spec: &Spec) -> Vec<Vec<&str>> {
    let of_nodes = spec.nodes.keys().map(|name| vec!["nodes", name.as_str(), "connection"]);
    std::iter::once(vec!["connection"]).chain(of_nodes).collect()
}

/// A path on a node that is relative, climbs with `..`, or is not written in its shortest form.
pub(super) fn invalid_path(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    let mut paths: Vec<Vec<&str>> = vec![vec!["snapshots", "directory"]];
    paths.extend(places::paths(spec));
    for name in spec.directories.keys() {
        paths.push(vec!["directories", name.as_str(), "path"]);
        paths.push(vec!["directories", name.as_str(), "link"]);
    }
    for name in spec.services.keys() {
        paths.push(vec!["services", name.as_str(), "restart", "staticPod"]);
    }
    paths.extend(consumers::lists(spec).filter(|list| list.last() == Some(&"paths")));
    for (path, text) in local_paths(checker) {
        if text.trim().is_empty() {
            checker.report(
                Code::InvalidPath,
                &steps(&path),
                "the path is empty",
                "this path",
                "write a path, absolute or relative to the spec, or remove the field",
            );
        }
    }
    for field in paths {
        for (path, text) in checker.texts(&field) {
            report_placeholder(checker, &path, &text);
            let Some(fault) = forms::path_fault(&text) else { continue };
            let (message, help) = match fault {
                PathFault::Relative => {
                    ("is not absolute", "write the whole path on the node, beginning with `/`".to_owned())
                }
                PathFault::Climbs => ("has `..` in it", "write where it really leads".to_owned()),
                PathFault::Loose(better) => {
                    ("is not in its shortest form", format!("write {}", quoted(&better)))
                }
                PathFault::Root => {
                    ("is the whole file system", "name a file or directory below `/`".to_owned())
                }
            };
            checker.report(
                Code::InvalidPath,
                &steps(&path),
                &format!("{} {message}", quoted(&text)),
                "this path",
                &help,
            );
        }
    }
}

/// Paths on the machine that runs `pki`; those may be relative.
fn local_paths(checker: &Checker<'_>) -> Vec<(Vec<String>, String)> {
    let spec = checker.spec;
    let mut fields: Vec<Vec<&str>> =
        vec![vec!["connection", "ssh", "knownHosts"], vec!["connection", "local", "root"]];
    for name in spec.nodes.keys() {
        fields.push(vec!["nodes", name.as_str(), "connection", "ssh", "knownHosts"]);
        fields.push(vec!["nodes", name.as_str(), "connection", "local", "root"]);
    }
    for name in spec.authorities.keys() {
        fields.push(vec!["authorities", name.as_str(), "source", "certificate"]);
        fields.push(vec!["authorities", name.as_str(), "source", "key"]);
    }
    fields.iter().flat_map(|field| checker.texts(field)).collect()
}

fn report_placeholder(checker: &mut Checker<'_>, path: &[String], text: &str) {
    if let Some(placeholder) = forms::unknown_placeholder(text) {
        checker.report(
            Code::UnknownPlaceholder,
            &steps(path),
            &format!("there is no placeholder {}", quoted(placeholder)),
            "this text",
            "possible here: `{node}` for the node's name and `{address}` for its address",
        );
    }
}

/// An owner that is not `USER` or `USER:GROUP`.
pub(super) fn invalid_owner(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    for field in places::owners(spec) {
        for (path, text) in checker.texts(&field) {
            let mut parts = text.split(':');
            let is_owner = parts.clone().count() <= 2 && parts.all(forms::is_account);
            if !is_owner {
                checker.report(
                    Code::InvalidOwner,
                    &steps(&path),
                    &format!("{} is not an owner", quoted(&text)),
                    "this owner",
                    "write USER or USER:GROUP, by name or number, such as \"etcd:etcd\"",
                );
            }
        }
    }
}

/// A count of zero.
pub(super) fn out_of_range(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    let counts = [
        (["rollout", "maxUnavailable"], spec.rollout.max_unavailable, "nothing could ever be restarted"),
        (["snapshots", "keep"], spec.snapshots.keep, "a step that fails could not be undone"),
    ];
    for (path, count, consequence) in counts {
        if count == 0 {
            let message = format!("0 is too few: {consequence}");
            checker.report(Code::OutOfRange, &path, &message, "this number", "write 1 or more");
        }
    }
}

/// A restart that could not be run, or that would be read as an option.
pub(super) fn invalid_restart(checker: &mut Checker<'_>) {
    let spec = checker.spec;
    for (name, service) in &spec.services {
        let Some(restart) = &service.restart else { continue };
        let base = ["services", name.as_str(), "restart"];
        if let Some(unit) = &restart.systemd
            && !forms::is_unit(unit)
        {
            checker.report(
                Code::InvalidRestart,
                &[base.as_slice(), &["systemd"]].concat(),
                &format!("{} is not a systemd unit", quoted(unit)),
                "this unit",
                "write the unit with its suffix, such as etcd.service",
            );
        }
        if let Some(command) = &restart.command
            && command.first().is_none_or(|program| forms::path_fault(program).is_some())
        {
            checker.report(
                Code::InvalidRestart,
                &[base.as_slice(), &["command"]].concat(),
                "the program is not an absolute path",
                "this command",
                "write a list that begins with the whole path, such as [/usr/bin/systemctl, reload, nginx]; no shell and no PATH is involved",
            );
        }
    }
}

/// A subject without a common name, or longer than X.509 allows; usages for nothing.
pub(super) fn invalid_subject(checker: &mut Checker<'_>) {
    /// The upper bound of CN and O in X.509 (RFC 5280, appendix A, ub-common-name and ub-organization-name).
    const LONGEST_ATTRIBUTE: usize = 64;
    let spec = checker.spec;
    let mut subjects = Vec::new();
    for (name, certificate) in &spec.certificates {
        subjects.extend(certificate.subject.as_ref().map(|_| vec!["certificates", name.as_str(), "subject"]));
        if certificate.usages.as_ref().is_some_and(BTreeSet::is_empty) {
            checker.report(
                Code::InvalidSubject,
                &["certificates", name.as_str(), "usages"],
                "a certificate for no use at all",
                "empty",
                "write [server], [client] or both",
            );
        }
    }
    for (name, authority) in &spec.authorities {
        subjects.extend(authority.subject.as_ref().map(|_| vec!["authorities", name.as_str(), "subject"]));
    }
    for subject in subjects {
        for field in ["commonName", "organizations"] {
            let path: Vec<&str> = subject.iter().copied().chain([field]).collect();
            for (path, text) in checker.texts(&path) {
                report_placeholder(checker, &path, &text);
                let length = text.chars().count();
                let message = if text.trim().is_empty() {
                    "the attribute is empty".to_owned()
                } else if length > LONGEST_ATTRIBUTE {
                    format!("{length} characters, at most {LONGEST_ATTRIBUTE} are possible in a subject")
                } else {
                    continue;
                };
                checker.report(
                    Code::InvalidSubject,
                    &steps(&path),
                    &message,
                    "this attribute",
                    "Kubernetes and etcd read the common name as the user and organizations as groups: write what they know",
                );
            }
        }
    }
}

/// A character that nobody sees: it could hide what a reviewer approves, or end a text early.
pub(super) fn control_character(checker: &mut Checker<'_>) {
    let mut waiting = vec![checker.document.root()];
    let mut found = BTreeSet::new();
    while let Some(node) = waiting.pop() {
        match &node.value {
            Value::String(text) if text.chars().any(is_deceiving) => {
                found.insert((node.span, text.clone()));
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
            Value::Sequence(items) => waiting.extend(items),
            Value::Mapping(entries) => {
                for Entry { key, value } in entries {
                    // Annotations are other tools' texts, with their line breaks, and never used.
                    if key.name != "annotations" {
                        waiting.push(value);
                    }
                }
            }
        }
    }
    for (span, text) in found {
        if checker.dropped.contain(&span) {
            continue;
        }
        let shown =
            text.chars().find(|character| is_deceiving(*character)).map(String::from).unwrap_or_default();
        let problem = crate::diagnostic::Diagnostic::new(
            Code::ControlCharacter,
            format!("{} has the invisible character {}", quoted(&text), escaped(&shown)),
        )
        .at(checker.document.place_of(span), "this text")
        .help("retype the text; quote it in one line if it is a path or a name");
        checker.problems.push(problem);
    }
}
