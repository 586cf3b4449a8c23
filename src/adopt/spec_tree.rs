//! A spec as a tree of lines to be: keys and values in the order in which people read them.
//!
//! What enters is a spec with what [`super::settle`] can set; what leaves is a [`Tree`]. Reading the text again proves that nothing was forgotten.

use std::fmt::Display;

use crate::diagnostic::log_commands::in_json;
use crate::spec::types::{
    Authority, Certificate, Cluster, Connection, Defaults, Directory, Files, Holders, KubeconfigFile, Names,
    Node, Placement, Service, Spec, Ssh,
};
use crate::types::certificate::SubjectName;
use crate::types::duration::Duration;

/// A value.
pub(super) enum Tree {
    /// A scalar, as it is written.
    Scalar(String),
    /// A list of scalars.
    List(Vec<String>),
    /// Keys and values.
    Map(Vec<(String, Tree)>),
}

/// A mapping on its way.
#[derive(Default)]
struct Fields(Vec<(String, Tree)>);

impl Fields {
    fn put(&mut self, key: &str, value: Tree) {
        self.0.push((scalar(key), value));
    }

    fn text(&mut self, key: &str, value: impl Display) {
        self.put(key, Tree::Scalar(scalar(&value.to_string())));
    }

    fn maybe(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn list(&mut self, key: &str, items: impl IntoIterator<Item = impl Display>) {
        let items: Vec<String> = items.into_iter().map(|item| scalar(&item.to_string())).collect();
        if !items.is_empty() {
            self.put(key, Tree::List(items));
        }
    }

    fn yes(&mut self, key: &str, is_so: bool) {
        if is_so {
            self.put(key, Tree::Scalar("true".to_owned()));
        }
    }

    /// A mapping, left out when it is empty.
    fn map(&mut self, key: &str, fields: Fields) {
        if !fields.0.is_empty() {
            self.put(key, Tree::Map(fields.0));
        }
    }
}

/// What stands below `spec`.
pub(super) fn of_spec(spec: &Spec) -> Tree {
    let mut fields = Fields::default();
    fields.text("profile", spec.profile);
    fields.maybe("kubernetesVersion", spec.kubernetes_version);
    fields.map("cluster", cluster(&spec.cluster));
    fields.map("defaults", defaults(&spec.defaults));
    let mut nodes = Fields::default();
    for (name, own) in &spec.nodes {
        nodes.put(name.as_str(), Tree::Map(node(own).0));
    }
    fields.map("nodes", nodes);
    if let Some(way) = &spec.connection {
        fields.map("connection", connection(way));
    }
    let mut authorities = Fields::default();
    for (name, own) in &spec.authorities {
        authorities.map(name.as_str(), authority(own));
    }
    fields.map("authorities", authorities);
    let mut certificates = Fields::default();
    for (name, own) in &spec.certificates {
        certificates.map(name.as_str(), certificate(own));
    }
    fields.map("certificates", certificates);
    let mut directories = Fields::default();
    for (name, own) in &spec.directories {
        directories.map(name.as_str(), directory(own));
    }
    fields.map("directories", directories);
    let mut services = Fields::default();
    for (name, own) in &spec.services {
        services.map(name.as_str(), service(own));
    }
    fields.map("services", services);
    Tree::Map(fields.0)
}

/// One mapping with one field.
pub(super) fn named(key: &str, value: &impl Display) -> Tree {
    let mut fields = Fields::default();
    fields.text(key, value);
    Tree::Map(fields.0)
}

fn cluster(cluster: &Cluster) -> Fields {
    let mut fields = Fields::default();
    fields.maybe("controlPlaneEndpoint", cluster.control_plane_endpoint.as_ref());
    fields.maybe("serviceSubnet", cluster.service_subnet.as_ref());
    fields.maybe("dnsDomain", cluster.dns_domain.as_ref());
    fields
}

fn defaults(defaults: &Defaults) -> Fields {
    let mut fields = Fields::default();
    fields.text("validity", length(defaults.validity));
    fields.text("renewBefore", length(defaults.renew_before));
    fields.text("authorityValidity", length(defaults.authority_validity));
    fields.maybe("keyAlgorithm", defaults.key_algorithm);
    fields
}

fn node(node: &Node) -> Fields {
    let mut fields = Fields::default();
    fields.maybe("address", node.address.as_ref());
    fields.list("roles", &node.roles);
    if let Some(way) = &node.connection {
        fields.map("connection", connection(way));
    }
    fields
}

fn connection(connection: &Connection) -> Fields {
    let mut fields = Fields::default();
    if let Some(way) = &connection.ssh {
        fields.put("ssh", Tree::Map(ssh(way).0));
    }
    if let Some(local) = &connection.local {
        let mut own = Fields::default();
        own.maybe("root", local.root.as_ref());
        own.yes("create", local.create);
        fields.put("local", Tree::Map(own.0));
    }
    fields
}

fn ssh(ssh: &Ssh) -> Fields {
    let mut fields = Fields::default();
    fields.maybe("host", ssh.host.as_ref());
    fields.maybe("user", ssh.user.as_ref());
    if let Some(port) = ssh.port {
        // A number, and not the text of one.
        fields.put("port", Tree::Scalar(port.number().to_string()));
    }
    fields.yes("sudo", ssh.sudo);
    fields.maybe("knownHosts", ssh.known_hosts.as_ref());
    fields.list("hostKeys", &ssh.host_keys);
    fields
}

fn authority(authority: &Authority) -> Fields {
    let mut fields = Fields::default();
    fields.yes("external", authority.external);
    fields.maybe("validity", authority.validity.map(length));
    fields.maybe("renewBefore", authority.renew_before.map(length));
    fields.maybe("keyAlgorithm", authority.key_algorithm);
    if let Some(own) = &authority.subject {
        fields.map("subject", subject(own));
    }
    if let Some(own) = &authority.files {
        fields.map("files", files(own));
    }
    if let Some(on) = &authority.on {
        fields.map("on", placement(on));
    }
    fields
}

fn certificate(certificate: &Certificate) -> Fields {
    let mut fields = Fields::default();
    fields.maybe("authority", certificate.authority.as_ref());
    if let Some(own) = &certificate.subject {
        fields.map("subject", subject(own));
    }
    if let Some(usages) = &certificate.usages {
        fields.list("usages", usages);
    }
    fields.map("names", names(&certificate.names));
    fields.maybe("validity", certificate.validity.map(length));
    fields.maybe("renewBefore", certificate.renew_before.map(length));
    fields.maybe("keyAlgorithm", certificate.key_algorithm);
    let holders = certificate.holders.map(|holders| match holders {
        Holders::Each => "each",
        Holders::Shared => "shared",
    });
    fields.maybe("holders", holders);
    if let Some(own) = &certificate.files {
        fields.map("files", files(own));
    }
    if let Some(own) = &certificate.kubeconfig {
        fields.map("kubeconfig", kubeconfig(own));
    }
    if let Some(on) = &certificate.on {
        fields.map("on", placement(on));
    }
    fields
}

fn subject(subject: &SubjectName) -> Fields {
    let mut fields = Fields::default();
    fields.text("commonName", &subject.common_name);
    fields.list("organizations", &subject.organizations);
    fields
}

fn names(names: &Names) -> Fields {
    let mut fields = Fields::default();
    fields.list("dns", &names.dns);
    fields.list("ip", &names.ip);
    if let Some(only) = &names.only {
        let mut own = Fields::default();
        own.list("dns", &only.dns);
        own.list("ip", &only.ip);
        fields.put("only", Tree::Map(own.0));
    }
    fields
}

fn files(files: &Files) -> Fields {
    let mut fields = Fields::default();
    fields.text("certificate", &files.certificate);
    fields.text("key", &files.key);
    fields.maybe("owner", files.owner.as_ref());
    fields.maybe("mode", files.mode);
    fields.maybe("certificateMode", files.certificate_mode);
    fields
}

fn kubeconfig(file: &KubeconfigFile) -> Fields {
    let mut fields = Fields::default();
    fields.text("path", &file.path);
    fields.maybe("server", file.server.as_ref());
    fields.maybe("owner", file.owner.as_ref());
    fields.maybe("mode", file.mode);
    fields
}

fn placement(on: &Placement) -> Fields {
    let mut fields = Fields::default();
    fields.maybe("role", on.role);
    fields.list("nodes", &on.nodes);
    fields
}

fn directory(directory: &Directory) -> Fields {
    let mut fields = Fields::default();
    fields.text("path", &directory.path);
    fields.maybe("link", directory.link.as_ref());
    fields.yes("migrate", directory.migrate);
    fields
}

fn service(service: &Service) -> Fields {
    let mut fields = Fields::default();
    fields.list("reads", &service.reads);
    fields
}

/// A length of time as people write it: in years from two of them on, else as plans show it.
fn length(length: Duration) -> String {
    let days = length.days();
    let is_years = days >= 730 && days.is_multiple_of(365) && length == Duration::from_days(days);
    if is_years { format!("{}y", days / 365) } else { length.to_string() }
}

/// A text as a YAML scalar: plain where every reader takes it for a text, else between quotes. JSON's strings are YAML's (YAML 1.2, 1.3).
pub(super) fn scalar(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._/-".contains(&byte);
    let first = text.bytes().next();
    let is_word = first.is_some_and(|first| first.is_ascii_alphabetic() || first == b'/')
        || text.starts_with("./")
        || text.starts_with("../");
    let is_address = text.split('/').next().is_some_and(|ip| ip.parse::<std::net::Ipv4Addr>().is_ok());
    let is_taken = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"]
        .iter()
        .any(|word| text.eq_ignore_ascii_case(word));
    let may_be_plain = is_word && !is_taken || is_address || text.parse::<Duration>().is_ok();
    if may_be_plain && text.bytes().all(is_plain) {
        return text.to_owned();
    }
    // A text without a map in it always serialises.
    in_json(&serde_json::to_string(text).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_quoted_where_a_reader_could_take_them_for_something_else() {
        for plain in [
            "cp-1",
            "10.0.0.11",
            "10.96.0.0/12",
            "365d",
            "/etc/kubernetes/pki",
            "v1.31.2",
            "nothing",
            "./cp-1",
        ] {
            assert_eq!(scalar(plain), plain);
        }
        for quoted in [
            "api.example:6443",
            "0600",
            "no",
            "1.5",
            "{node}",
            "fd00::1",
            "",
            "a b",
            "etcd:etcd",
            "*.x",
            "1e3",
        ] {
            assert_eq!(scalar(quoted), format!("\"{quoted}\""));
        }
        assert_eq!(scalar("a\"b\n"), "\"a\\\"b\\n\"");
    }

    #[test]
    fn lengths_are_years_from_two_on() {
        let written = |text: &str| length(text.parse().unwrap());
        assert_eq!(written("1y"), "365d");
        assert_eq!(written("10y"), "10y");
        assert_eq!(written("731d"), "731d");
        assert_eq!(written("8h"), "8h");
    }
}
