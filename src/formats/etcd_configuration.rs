//! What etcd's own configuration file says, in the words of its flags.
//!
//! What enters is the bytes of the file that `--config-file` names, of unknown origin; what leaves is [`EtcdConfiguration`]. With such a file etcd ignores every
//! other flag and its environment (etcd 3.4 to 3.6, etcdmain/config.go `parse`). Only what is known to be no secret leaves. Pure.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::manifest::Flags;
use crate::yaml::lenient;
use crate::yaml::lenient::null_is_default;

/// The settings outside of the two sections about TLS that matter here, as flags and fields call them alike (etcd 3.4 to 3.6, embed/config.go).
const SETTINGS: [&str; 9] = [
    "name",
    "data-dir",
    "listen-client-urls",
    "listen-peer-urls",
    "listen-metrics-urls",
    "advertise-client-urls",
    "initial-advertise-peer-urls",
    "initial-cluster",
    "initial-cluster-state",
];

/// What etcd's configuration file says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct EtcdConfiguration {
    /// What it sets, under the names of the flags that would set the same.
    pub flags: Flags,
    /// Why it was not understood. Then the flags mean nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<EtcdConfigurationProblem>,
}

/// Why etcd's configuration file was not understood.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum EtcdConfigurationProblem {
    /// The file is not UTF-8 text.
    #[error("is not UTF-8 text")]
    NotText,
    /// The file is not YAML, or not of a configuration's shape.
    #[error("is not the YAML of etcd's configuration, at line {line}")]
    NotYaml {
        /// The line, from 1; 0 when the place is not known.
        line: u64,
    },
}

impl EtcdConfiguration {
    /// Reads a configuration file. It never fails: what is not understood is the problem.
    pub fn read(bytes: &[u8]) -> Self {
        let problem = |problem| Self { problem: Some(problem), ..Self::default() };
        let Ok(text) = str::from_utf8(bytes) else { return problem(EtcdConfigurationProblem::NotText) };
        let raw = match lenient::read::<Raw>(text) {
            Ok(raw) => raw,
            Err(error) => return problem(EtcdConfigurationProblem::NotYaml { line: error.line }),
        };
        let own = raw.settings.into_iter().filter_map(|(name, value)| {
            let Value::Text(value) = value else { return None };
            SETTINGS.contains(&name.as_str()).then_some((name, value))
        });
        let flags = own.chain(raw.client.flags("")).chain(raw.peer.flags("peer-"));
        Self { flags: flags.collect(), problem: None }
    }
}

#[derive(Default, Deserialize)]
struct Raw {
    #[serde(default, deserialize_with = "null_is_default", rename = "client-transport-security")]
    client: Transport,
    #[serde(default, deserialize_with = "null_is_default", rename = "peer-transport-security")]
    peer: Transport,
    #[serde(flatten)]
    settings: BTreeMap<String, Value>,
}

/// A setting; only texts are of interest.
#[derive(Deserialize)]
#[serde(untagged)]
enum Value {
    Text(String),
    Other(serde::de::IgnoredAny),
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Transport {
    #[serde(default, deserialize_with = "null_is_default")]
    cert_file: String,
    #[serde(default, deserialize_with = "null_is_default")]
    key_file: String,
    #[serde(default, deserialize_with = "null_is_default")]
    client_cert_file: String,
    #[serde(default, deserialize_with = "null_is_default")]
    client_key_file: String,
    #[serde(default, deserialize_with = "null_is_default")]
    trusted_ca_file: String,
    #[serde(default, deserialize_with = "null_is_default")]
    client_cert_auth: bool,
    #[serde(default, deserialize_with = "null_is_default")]
    auto_tls: bool,
}

impl Transport {
    fn flags(self, side: &str) -> impl Iterator<Item = (String, String)> {
        // A switch that is off is as good as not there.
        let on = |is_on: bool| if is_on { "true".to_owned() } else { String::new() };
        let all = [
            ("cert-file", self.cert_file),
            ("key-file", self.key_file),
            ("client-cert-file", self.client_cert_file),
            ("client-key-file", self.client_key_file),
            ("trusted-ca-file", self.trusted_ca_file),
            ("client-cert-auth", on(self.client_cert_auth)),
            ("auto-tls", on(self.auto_tls)),
        ];
        let written = all.into_iter().filter(|(_, value)| !value.is_empty());
        written.map(move |(name, value)| (format!("{side}{name}"), value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_says_is_said_as_flags_say_it() {
        let text = b"name: m\ninitial-cluster-token: hunter2\nlisten-client-urls: 'https://127.0.0.1:2379'\nsnapshot-count: 10000\n\
            client-transport-security:\n  cert-file: /c.crt\n  key-file: /c.key\n  trusted-ca-file: /ca.crt\n  client-cert-auth: true\n  auto-tls: false\n\
            peer-transport-security: {cert-file: /p.crt, trusted-ca-file: null}\nlogger: zap\n";
        let found = EtcdConfiguration::read(text);
        assert_eq!(found.problem, None);
        let flags: Vec<(&str, &str)> =
            found.flags.iter().map(|(name, values)| (name, values[0].as_str())).collect();
        assert_eq!(
            flags,
            [
                ("cert-file", "/c.crt"),
                ("client-cert-auth", "true"),
                ("key-file", "/c.key"),
                ("listen-client-urls", "https://127.0.0.1:2379"),
                ("name", "m"),
                ("peer-cert-file", "/p.crt"),
                ("trusted-ca-file", "/ca.crt"),
            ]
        );
    }

    #[test]
    fn what_is_no_configuration_says_why() {
        let problem = |bytes: &[u8]| EtcdConfiguration::read(bytes).problem;
        assert_eq!(problem(b"\xff"), Some(EtcdConfigurationProblem::NotText));
        assert_eq!(problem(b"name: [\n"), Some(EtcdConfigurationProblem::NotYaml { line: 1 }));
        assert_eq!(
            problem(b"peer-transport-security: /x\n"),
            Some(EtcdConfigurationProblem::NotYaml { line: 1 })
        );
        assert_eq!(problem(b"name: m\n"), None);
    }
}
