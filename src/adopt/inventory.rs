//! Which nodes an inventory names, and how they are reached: Ansible's YAML (kubespray, kubeasz, `ansible-inventory --list --yaml`), and KubeKey's `Cluster` and
//! `Inventory`.
//!
//! What enters is the text of such a file; what leaves is the hosts of the cluster's groups, in the file's order. Nothing is run and no other file is read: what
//! stands in `group_vars`, in templates or behind a vault is said to be unknown. Passwords are passed over, and no value is told that could be one.
//!
//! Sources: docs.ansible.com, "How to build your inventory" (variables of children before those of parents, then by name); kubespray `inventory/sample`;
//! KubeKey `docs/config-example.md` (v1alpha2), and its version 4 (kubekey.kubesphere.io/v1).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::Reached;
use super::host_range::expand;
use crate::diagnostic::{pasted, quoted, shown};
use crate::spec::check::forms::{is_account, is_host};
use crate::types::scalars::Port;
use crate::yaml::lenient;
use crate::yaml::lenient::at_line;

/// The groups whose hosts are nodes of a cluster: those of kubespray (with its names before 2.16), kubeasz, KubeKey, and what people call them.
const CLUSTER_GROUPS: [&str; 15] = [
    "kube_control_plane",
    "kube-master",
    "kube_master",
    "kube_node",
    "kube-node",
    "kube_worker",
    "etcd",
    "control_plane",
    "control-plane",
    "controlplane",
    "master",
    "masters",
    "worker",
    "workers",
    "k8s_cluster",
];
/// Groups within groups.
const DEPTH: usize = 32;
/// What an inventory of Ansible says besides the address of a host about how to log in there, and what ssh has its own configuration for.
const LOGIN: [&str; 4] =
    ["ansible_ssh_private_key_file", "ansible_ssh_common_args", "ansible_ssh_extra_args", "privateKeyPath"];

/// The nodes of an inventory.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inventory {
    /// The hosts, in the order in which the file names them first.
    pub hosts: Vec<InventoryHost>,
    /// What it says that is not taken, in words.
    pub remarks: Vec<String>,
}

/// One node of an inventory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InventoryHost {
    /// What the inventory calls it. What the node calls itself is what counts.
    pub name: String,
    /// How it is reached.
    pub reached: Reached,
}

/// Why an inventory cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InventoryError {
    /// It is not YAML.
    #[error("{file} is not the YAML of an inventory{}{}", at_line(*line), ini(file, *is_ini))]
    NotYaml {
        /// The file.
        file: String,
        /// The line, from 1; 0 when the place is not known.
        line: u64,
        /// Whether it looks like Ansible's other format.
        is_ini: bool,
    },
    /// No group of a cluster is in it.
    #[error(
        "{0} has no host in a group of a cluster\n  help: kube_control_plane, kube_node and etcd are looked for, as in kubespray; or name the nodes with --host"
    )]
    NoHost(String),
    /// Something about a host is not known or not possible.
    #[error("{file}: {host}: {problem}")]
    Host {
        /// The file.
        file: String,
        /// The host.
        host: String,
        /// What it is.
        problem: String,
    },
}

fn ini(file: &str, is_ini: bool) -> String {
    if !is_ini {
        return String::new();
    }
    format!("\n  help: ansible-inventory -i {} --list --yaml > hosts.yaml", pasted(file))
}

type Vars = BTreeMap<String, Value>;

impl Inventory {
    /// Reads an inventory.
    ///
    /// # Errors
    /// Everything that keeps it from being one.
    pub fn read(file: &str, text: &str) -> Result<Self, Vec<InventoryError>> {
        let root: Value = lenient::read(text).map_err(|error| {
            let is_ini = text.lines().any(|line| line.trim_start().starts_with('['));
            vec![InventoryError::NotYaml { file: file.to_owned(), line: error.line, is_ini }]
        })?;
        let Value::Object(root) = root else {
            return Err(vec![InventoryError::NotYaml { file: file.to_owned(), line: 0, is_ini: false }]);
        };
        let mut groups = Groups::default();
        match (root.get("kind").and_then(Value::as_str), root.get("spec")) {
            (Some("Cluster"), Some(Value::Object(spec))) => groups.take_kubekey(spec),
            (Some("Inventory"), Some(Value::Object(spec))) => groups.take_kubekey_4(spec),
            (_, _) => groups.take_ansible(&root),
        }
        groups.inventory(file)
    }
}

/// Groups and their hosts, as they are found one after the other.
#[derive(Debug, Default)]
struct Groups {
    vars: BTreeMap<String, Vars>,
    parents: BTreeMap<String, BTreeSet<String>>,
    hosts: BTreeMap<String, Host>,
    order: Vec<String>,
    faults: Vec<(String, String)>,
}

#[derive(Debug, Default)]
struct Host {
    groups: BTreeSet<String>,
    vars: Vars,
}

impl Groups {
    fn take_ansible(&mut self, root: &Map<String, Value>) {
        for (name, group) in root.iter().filter(|(name, _)| *name != "_meta") {
            self.take_group(name, group, 0);
        }
        // `ansible-inventory --list` has the variables of all hosts in one place.
        let all = root.get("_meta").and_then(|meta| meta.get("hostvars")).and_then(Value::as_object);
        for (name, vars) in all.into_iter().flatten() {
            if let Some(host) = self.hosts.get_mut(name) {
                host.vars.extend(fields(vars));
            }
        }
    }

    fn take_group(&mut self, name: &str, group: &Value, depth: usize) {
        if depth > DEPTH {
            self.faults.push((name.to_owned(), "it has groups in groups without end".to_owned()));
            return;
        }
        let Value::Object(group) = group else { return };
        self.vars
            .entry(name.to_owned())
            .or_default()
            .extend(group.get("vars").map(fields).unwrap_or_default());
        match group.get("hosts") {
            Some(Value::Object(hosts)) => {
                hosts.iter().for_each(|(host, vars)| self.take_hosts(name, host, &fields(vars)));
            }
            Some(Value::Array(hosts)) => {
                let names = hosts.iter().filter_map(Value::as_str);
                names.for_each(|host| self.take_hosts(name, host, &Vars::new()));
            }
            Some(Value::String(host)) => self.take_hosts(name, host, &Vars::new()),
            Some(_) | None => {}
        }
        let children: Vec<(&str, &Value)> = match group.get("children") {
            Some(Value::Object(children)) => {
                children.iter().map(|(child, group)| (child.as_str(), group)).collect()
            }
            Some(Value::Array(children)) => {
                children.iter().filter_map(Value::as_str).map(|child| (child, &Value::Null)).collect()
            }
            Some(_) | None => Vec::new(),
        };
        for (child, group) in children {
            self.parents.entry(child.to_owned()).or_default().insert(name.to_owned());
            self.take_group(child, group, depth.saturating_add(1));
        }
    }

    /// Hosts of one line, which may stand for many: `node[01:10]`.
    fn take_hosts(&mut self, group: &str, pattern: &str, vars: &Vars) {
        for name in self.expanded(pattern) {
            self.take_host(group, name, vars);
        }
    }

    fn expanded(&mut self, pattern: &str) -> Vec<String> {
        expand(pattern).unwrap_or_else(|problem| {
            self.faults.push((pattern.to_owned(), problem));
            Vec::new()
        })
    }

    fn take_host(&mut self, group: &str, name: String, vars: &Vars) {
        if !self.hosts.contains_key(&name) {
            self.order.push(name.clone());
        }
        let host = self.hosts.entry(name).or_default();
        host.groups.insert(group.to_owned());
        host.vars.extend(vars.clone());
    }

    /// A list of hosts, and groups that name some of them.
    fn take_kubekey(&mut self, spec: &Map<String, Value>) {
        let listed = spec.get("hosts").and_then(Value::as_array).into_iter().flatten();
        let mut known: BTreeMap<String, Vars> = BTreeMap::new();
        for entry in listed {
            let mut vars = fields(entry);
            let Some(name) = vars.get("name").and_then(Value::as_str).map(str::to_owned) else { continue };
            vars.extend(as_ansible("address", &vars));
            known.insert(name, vars);
        }
        for (group, members) in spec.get("roleGroups").and_then(Value::as_object).into_iter().flatten() {
            let members = members.as_array().into_iter().flatten().filter_map(Value::as_str);
            members.for_each(|pattern| self.take_known(group, pattern, &known));
        }
    }

    /// Hosts by their names, each with a connector, and groups of hosts and groups.
    fn take_kubekey_4(&mut self, spec: &Map<String, Value>) {
        let mut known: BTreeMap<String, Vars> = BTreeMap::new();
        for (name, host) in spec.get("hosts").and_then(Value::as_object).into_iter().flatten() {
            let connector = host.get("connector").map(fields).unwrap_or_default();
            let mut vars = as_ansible("host", &connector);
            let kind = connector.get("type").and_then(Value::as_str);
            if let Some(kind) = kind.filter(|kind| *kind != "ssh") {
                vars.insert("ansible_connection".to_owned(), Value::String(kind.to_owned()));
            }
            known.insert(name.clone(), vars);
        }
        for (group, members) in spec.get("groups").and_then(Value::as_object).into_iter().flatten() {
            let of = |field: &str| members.get(field).and_then(Value::as_array).cloned().unwrap_or_default();
            of("hosts")
                .iter()
                .filter_map(Value::as_str)
                .for_each(|host| self.take_known(group, host, &known));
            for child in of("groups").iter().filter_map(Value::as_str) {
                self.parents.entry(child.to_owned()).or_default().insert(group.clone());
            }
        }
    }

    fn take_known(&mut self, group: &str, pattern: &str, known: &BTreeMap<String, Vars>) {
        for name in self.expanded(pattern) {
            match known.get(&name) {
                Some(vars) => self.take_host(group, name, vars),
                None => self.faults.push((name, "it is in a group, and not among the hosts".to_owned())),
            }
        }
    }

    /// A host's groups with those around them, each with how deep it lies.
    fn groups_of<'a>(&'a self, host: &'a Host) -> BTreeMap<&'a str, usize> {
        let mut found = BTreeMap::new();
        let mut waiting: Vec<&str> = host.groups.iter().map(String::as_str).collect();
        while let Some(group) = waiting.pop() {
            if found.insert(group, self.depth(group, 0)).is_none() {
                waiting.extend(self.parents.get(group).into_iter().flatten().map(String::as_str));
            }
        }
        found
    }

    fn depth(&self, group: &str, below: usize) -> usize {
        if below > DEPTH {
            return DEPTH;
        }
        let parents = self.parents.get(group).into_iter().flatten();
        parents.map(|parent| 1 + self.depth(parent, below + 1)).max().unwrap_or_default()
    }

    /// What is said of a host: by itself, then by its groups, the inner ones first.
    fn vars_of(&self, host: &Host, groups: &BTreeMap<&str, usize>) -> Vars {
        let mut ordered: Vec<(usize, &str)> = groups.iter().map(|(group, depth)| (*depth, *group)).collect();
        // Everything belongs to `all`, which stands before all others wherever it is written.
        ordered.sort_by_key(|(depth, group)| (*group != "all", *depth, *group));
        let mut vars = self.vars.get("all").cloned().unwrap_or_default();
        for (_, group) in ordered {
            vars.extend(self.vars.get(group).cloned().unwrap_or_default());
        }
        vars.extend(host.vars.clone());
        vars
    }

    fn inventory(self, file: &str) -> Result<Inventory, Vec<InventoryError>> {
        let fault = |host: &str, problem: String| InventoryError::Host {
            file: shown(file),
            host: shown(host),
            problem,
        };
        let mut inventory = Inventory::default();
        let mut faults: Vec<InventoryError> =
            self.faults.iter().map(|(host, problem)| fault(host, problem.clone())).collect();
        let mut logins: BTreeMap<&str, usize> = BTreeMap::new();
        for name in &self.order {
            let Some(host) = self.hosts.get(name) else { continue };
            let groups = self.groups_of(host);
            if !groups.keys().any(|group| CLUSTER_GROUPS.contains(group)) {
                continue;
            }
            let vars = self.vars_of(host, &groups);
            for login in LOGIN.into_iter().filter(|login| vars.contains_key(*login)) {
                let count = logins.entry(login).or_default();
                *count = count.saturating_add(1);
            }
            match reached(name, &vars) {
                Ok(reached) => inventory.hosts.push(InventoryHost { name: name.clone(), reached }),
                Err(problems) => faults.extend(problems.into_iter().map(|problem| fault(name, problem))),
            }
        }
        if inventory.hosts.is_empty() && faults.is_empty() {
            faults.push(InventoryError::NoHost(shown(file)));
        }
        if !faults.is_empty() {
            return Err(faults);
        }
        inventory.remarks.extend(logins.into_iter().map(|(login, hosts)| {
            let plural = if hosts == 1 { "" } else { "s" };
            format!("{login} of {hosts} host{plural} is not taken: say it in the configuration of ssh")
        }));
        Ok(inventory)
    }
}

/// How KubeKey reaches a host, in the words of Ansible; one field is not called alike in its versions. What it does on a node it does as root (KubeKey 3: `sudo -E`).
fn as_ansible(host: &str, fields: &Vars) -> Vars {
    let names = [(host, "ansible_host"), ("user", "ansible_user"), ("port", "ansible_port")];
    let said =
        names.into_iter().filter_map(|(theirs, ours)| Some((ours.to_owned(), fields.get(theirs)?.clone())));
    said.chain([("ansible_become".to_owned(), Value::Bool(true))]).collect()
}

/// The fields of an object; none of anything else.
fn fields(value: &Value) -> Vars {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// How a host is reached, or everything that is not known about it.
fn reached(name: &str, vars: &Vars) -> Result<Reached, Vec<String>> {
    let mut problems = Vec::new();
    let mut text = |names: &[&str]| -> Option<String> {
        let (name, value) = names.iter().find_map(|name| Some((name, vars.get(*name)?)))?;
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(number) => number.to_string(),
            Value::Bool(flag) => flag.to_string(),
            Value::Null => return None,
            Value::Array(_) | Value::Object(_) => {
                problems.push(format!("{name} is not one value"));
                return None;
            }
        };
        if text.contains("{{") {
            problems.push(format!("{name} is a template, which only Ansible can fill in"));
            return None;
        }
        Some(text)
    };
    let address = text(&["ansible_host", "ansible_ssh_host"]);
    let user = text(&["ansible_user", "ansible_ssh_user"]);
    let port = text(&["ansible_port", "ansible_ssh_port"]);
    let connection = text(&["ansible_connection"]);
    let become_root = text(&["ansible_become", "ansible_sudo"]);
    let become_user = text(&["ansible_become_user"]);
    match connection.as_deref() {
        None | Some("ssh" | "smart" | "paramiko" | "paramiko_ssh" | "openssh" | "ansible.builtin.ssh") => {}
        Some("local") if problems.is_empty() => return Ok(Reached::Local { root: None }),
        Some(_) => problems.push("ansible_connection is neither ssh nor local".to_owned()),
    }
    let host = address.unwrap_or_else(|| name.to_owned());
    if !is_host(&host) {
        problems.push(format!("{} is not a host name or an address", quoted(&host)));
    }
    if let Some(user) = user.as_deref().filter(|user| !is_account(user)) {
        problems.push(format!("{} is not a login name", quoted(user)));
    }
    let port = match port.map(|port| port.parse().ok().and_then(Port::new)) {
        Some(None) => {
            problems.push("ansible_port is not a port from 1 to 65535".to_owned());
            None
        }
        other => other.flatten(),
    };
    let is_yes = |text: &str| matches!(text.to_ascii_lowercase().as_str(), "true" | "yes" | "on" | "1" | "y");
    let becomes = become_root.is_some_and(|text| is_yes(&text));
    if becomes && become_user.is_some_and(|user| user != "root") {
        problems.push("ansible_become_user is not root, to whom the certificates belong".to_owned());
    }
    // Who is root already needs no sudo.
    let sudo = becomes && user.as_deref() != Some("root");
    if problems.is_empty() { Ok(Reached::Ssh { host, user, port, sudo }) } else { Err(problems) }
}

#[cfg(test)]
mod tests;
