//! The flags a container gives to its program.
//!
//! What enters is the words of `command` and `args`; what leaves is the program's name and its flags. Values that may be
//! secret do not leave.

use crate::formats::node_path::file_name;
use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Components whose flags are known to be configuration and not passwords (Kubernetes 1.20 to 1.31, etcd 3.4 to 3.5).
const COMPONENTS: [&str; 7] = [
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "etcd",
    "kubelet",
    "kube-proxy",
    "cloud-controller-manager",
];

const SHELLS: [&str; 5] = ["sh", "bash", "ash", "dash", "busybox"];

/// Flags by name, without their dashes and with `-` for `_`, each with all its values in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct Flags(BTreeMap<String, Vec<String>>);

impl Flags {
    /// The value that counts where a flag may be given once: the last one.
    pub fn last(&self, name: &str) -> Option<&str> {
        self.all(name).last().map(String::as_str)
    }

    /// Every value of a flag that may be repeated, in order.
    pub fn all(&self, name: &str) -> &[String] {
        self.0.get(name).map_or(&[], Vec::as_slice)
    }

    /// Whether a yes-or-no flag is on; `--flag` alone turns it on.
    pub fn is_on(&self, name: &str) -> bool {
        matches!(self.last(name), Some("true" | "1" | "t" | "T" | "TRUE" | "True"))
    }

    /// A flag that is given once, unless it is there already.
    pub(super) fn or_given(&mut self, name: String, value: String) {
        self.0.entry(name).or_insert_with(|| vec![value]);
    }

    /// All flags, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[String])> {
        self.0.iter().map(|(name, values)| (name.as_str(), values.as_slice()))
    }
}

impl FromIterator<(String, String)> for Flags {
    fn from_iter<I: IntoIterator<Item = (String, String)>>(flags: I) -> Self {
        let mut all = Self::default();
        flags.into_iter().for_each(|(name, value)| all.0.entry(name).or_default().push(value));
        all
    }
}

/// What a container runs.
pub(super) enum Command {
    /// A program with its flags; the program is absent when the image decides. `withheld` tells that a word was left out because it
    /// may be a secret.
    Known { program: Option<String>, flags: Flags, withheld: bool },
    /// A script for a shell.
    Shell,
}

/// Reads the words of a container called `container`.
pub(super) fn read(words: &[String], container: &str) -> Command {
    let first = words.first().map(|word| file_name(word));
    if first.is_some_and(|first| SHELLS.contains(&first)) {
        return Command::Shell;
    }
    // A wrapper such as Kubernetes' go-runner comes before the component and has flags of its own.
    let component =
        words.iter().position(|word| !word.starts_with('-') && COMPONENTS.contains(&file_name(word)));
    let program = component.or((first.is_some_and(|first| !first.starts_with('-'))).then_some(0));
    let name = program.and_then(|at| words.get(at)).map(|word| file_name(word).to_owned());
    let rest = words.get(program.map_or(0, |at| at.saturating_add(1))..).unwrap_or_default();
    let is_component = COMPONENTS.contains(&name.as_deref().unwrap_or(container));
    let (flags, withheld) = parse(rest, is_component);
    Command::Known { program: name, flags, withheld }
}

/// Whether a value with this name looks like a secret.
pub(super) fn may_be_secret(name: &str, value: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let names_a_secret = ["token", "password", "secret", "key"].iter().any(|ending| name.ends_with(ending));
    let has_credentials = value.contains("://") && value.contains('@');
    names_a_secret && !names_files(value) || has_credentials
}

/// Reads `--flag=value`, `--flag value` and `--flag`, with one dash or two, as Go's flag packages do, and tells whether
/// anything was left out.
fn parse(words: &[String], is_component: bool) -> (Flags, bool) {
    let mut flags = Flags::default();
    let mut withheld = false;
    let mut words = words.iter().peekable();
    while let Some(word) = words.next() {
        let Some(flag) =
            word.strip_prefix("--").or_else(|| word.strip_prefix('-')).filter(|flag| !flag.is_empty())
        else {
            withheld |= !is_component;
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, value.to_owned()),
            None => match words.next_if(|next| !next.starts_with('-')) {
                Some(value) => (flag, value.clone()),
                None => (flag, "true".to_owned()),
            },
        };
        // Kubernetes treats the two alike (component-base `WordSepNormalizeFunc`).
        let name = name.replace('_', "-");
        let may_show = names_files(&value) || is_component && !may_be_secret(&name, &value);
        if may_show {
            flags.0.entry(name).or_default().push(value);
        } else {
            withheld = true;
        }
    }
    (flags, withheld)
}

/// Whether a value is one or several absolute paths, which are no secrets.
fn names_files(value: &str) -> bool {
    value.split(',').all(|part| part.starts_with('/'))
}
