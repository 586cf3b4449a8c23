//! What a static pod manifest says about the files and the version of the component it runs.
//!
//! What enters is the bytes of a manifest as they lie on a node, of unknown origin; what leaves is [`ManifestFacts`]: the
//! containers with their programs, versions, flags and host mounts, and what about the manifest could not be understood. Pure: no files are touched.
//! Of environment variables only etcd's `ETCD_...` are kept, as the flags for which they stand, and a flag of a program that is not a known component is kept only when it names files,
//! so that a password someone put into a manifest does not reach a plan.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::yaml::lenient;
use crate::yaml::lenient::null_is_default;

mod annotate;
mod files;
mod flags;
mod listening;

pub use annotate::{AnnotateError, annotate};
pub use files::{FileUse, KUBELET_CLIENT_CA, NamedFile, UNNAMEABLE_READER, is_trust_reader, names_files};
pub use flags::Flags;

/// What a static pod manifest says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ManifestFacts {
    /// `metadata.name`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The containers, in the manifest's order.
    pub containers: Vec<ContainerFacts>,
    /// Whether a value was left out because it may be a secret; then the hash of the file is left out too.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub withholds: bool,
    /// What could not be understood. Facts beside a problem may be incomplete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<ManifestProblem>,
}

/// What a manifest says about one container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ContainerFacts {
    /// The container's name; kubeadm names it like the component it runs.
    pub name: String,
    /// The program that is run: the last component of the command's path, `kube-apiserver` in a kubeadm manifest. Absent
    /// when the image decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub program: Option<String>,
    /// The image as written.
    pub image: String,
    /// The image's tag when it starts like a version (`v1.31.2`, `3.4.13-0`). Absent for an image named by its digest alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The flags of the program.
    pub flags: Flags,
    /// Directories and files of the node that the container sees.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<HostMount>,
}

/// A path of the node mounted into a container.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HostMount {
    /// The volume's name.
    pub name: String,
    /// The path on the node.
    pub host_path: String,
    /// The path in the container.
    pub mount_path: String,
    /// A path below the host path that is mounted instead of the whole, from `subPath`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub_path: Option<String>,
    /// What the kubelet expects at the host path. `Unset` makes no check at all.
    pub kind: HostPathKind,
    /// Whether the container cannot write there.
    pub read_only: bool,
}

/// The `type` of a host path volume, as Kubernetes defines it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum HostPathKind {
    /// No type is written, or the empty one.
    Unset,
    /// An existing directory.
    Directory,
    /// A directory, made empty by the kubelet when missing.
    DirectoryOrCreate,
    /// An existing file.
    File,
    /// A file, made empty by the kubelet when missing.
    FileOrCreate,
    /// An existing socket.
    Socket,
    /// An existing character device.
    CharDevice,
    /// An existing block device.
    BlockDevice,
    /// A word that Kubernetes 1.31 does not know.
    Unknown,
}

/// Why a manifest was not understood completely.
#[derive(
    Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, thiserror::Error, JsonSchema,
)]
#[serde(rename_all = "camelCase")]
pub enum ManifestProblem {
    /// The file is not UTF-8 text.
    #[error("is not UTF-8 text")]
    NotText,
    /// The file is not YAML, or not of a pod's shape.
    #[error("is not the YAML of a pod, at line {line}")]
    NotYaml {
        /// The line, from 1; 0 when the place is not known.
        line: u64,
    },
    /// The file is YAML of another kind, which a kubelet would not start.
    #[error("is of kind {kind:?}, not Pod")]
    NotAPod {
        /// The kind as written, empty when there is none.
        kind: String,
    },
    /// The pod has no containers.
    #[error("has no containers")]
    NoContainers,
    /// A container runs its program through a shell, so its flags cannot be told from its script.
    #[error("container {container} runs a shell script, so its flags are not known")]
    ShellCommand {
        /// The container's name.
        container: String,
    },
}

impl ManifestFacts {
    /// Reads a manifest. It never fails: what is not understood is among the problems.
    pub fn read(bytes: &[u8]) -> Self {
        let Ok(text) = str::from_utf8(bytes) else { return Self::with_problem(ManifestProblem::NotText) };
        let pod = match lenient::read::<Pod>(text) {
            Ok(pod) => pod,
            Err(error) => return Self::with_problem(ManifestProblem::NotYaml { line: error.line }),
        };
        if pod.kind != "Pod" {
            return Self::with_problem(ManifestProblem::NotAPod { kind: pod.kind });
        }
        let mut problems = Vec::new();
        let mut withholds = false;
        let containers: Vec<ContainerFacts> = pod
            .spec
            .containers
            .into_iter()
            .map(|container| container.facts(&pod.spec.volumes, &mut withholds, &mut problems))
            .collect();
        if containers.is_empty() {
            problems.push(ManifestProblem::NoContainers);
        }
        Self { name: pod.metadata.name, containers, withholds, problems }
    }

    /// Whether it is a pod at all. One whose flags are hidden in a script, or that has nothing to run, is a pod too.
    pub fn is_pod(&self) -> bool {
        self.problems.iter().all(|problem| match problem {
            ManifestProblem::NotText | ManifestProblem::NotYaml { .. } | ManifestProblem::NotAPod { .. } => {
                false
            }
            ManifestProblem::NoContainers | ManifestProblem::ShellCommand { .. } => true,
        })
    }

    /// The first container that runs `program`, by the program's name or, when the image decides that, the container's.
    pub fn container(&self, program: &str) -> Option<&ContainerFacts> {
        self.containers.iter().find(|container| container.component() == program)
    }

    /// The files that the containers' flags name, as paths of the node.
    pub fn named_files(&self) -> Vec<NamedFile> {
        self.containers.iter().flat_map(ContainerFacts::named_files).collect()
    }

    fn with_problem(problem: ManifestProblem) -> Self {
        Self { problems: vec![problem], ..Self::default() }
    }
}

impl ContainerFacts {
    /// The files that its flags name, as paths of the node.
    pub fn named_files(&self) -> Vec<NamedFile> {
        files::named_files(self)
    }

    /// Whether its flags are those of the configuration file at this path of the node, which then are all that count.
    pub fn is_configured_by(&self, path: &str) -> bool {
        self.configuration().and_then(|named| self.host_path(named)).as_deref() == Some(path)
    }

    /// The path in the container of etcd's configuration file, where it has one.
    pub fn configuration(&self) -> Option<&str> {
        self.flags.last(files::ETCD_CONFIGURATION).filter(|_| self.component() == "etcd")
    }

    /// Takes what that file says for its flags.
    pub(crate) fn configure(&mut self, by_file: &Flags) {
        let named = self.flags.last(files::ETCD_CONFIGURATION).map(str::to_owned);
        self.flags = by_file.clone();
        if let Some(named) = named {
            self.flags.or_given(files::ETCD_CONFIGURATION.to_owned(), named);
        }
    }

    /// The component this container is: its program, or its own name when the image decides what is run.
    pub fn component(&self) -> &str {
        self.program.as_deref().unwrap_or(&self.name)
    }

    /// The path on the node of a path in the container, by the deepest mount that covers it.
    ///
    /// None when no host mount covers it: such a file is part of the image or of a volume of another kind.
    pub fn host_path(&self, path: &str) -> Option<String> {
        let covers = |mount: &&HostMount| below(path, &mount.mount_path).is_some();
        let mount = self
            .mounts
            .iter()
            .filter(covers)
            .max_by_key(|mount| mount.mount_path.trim_end_matches('/').len())?;
        let rest = below(path, &mount.mount_path)?;
        let sub_path = mount.sub_path.as_deref().unwrap_or_default();
        let parts = [mount.host_path.as_str(), sub_path, rest];
        let joined: String = parts
            .iter()
            .map(|part| part.trim_matches('/'))
            .filter(|part| !part.is_empty())
            .map(|part| format!("/{part}"))
            .collect();
        Some(if joined.is_empty() { "/".to_owned() } else { joined })
    }

    /// The mount that is exactly this path of the container. A file named by such a path is mounted by its inode: when it
    /// is replaced by a rename, the container keeps the old one until it is made anew (kubelet, all versions).
    pub fn own_mount(&self, path: &str) -> Option<&HostMount> {
        self.mounts.iter().find(|mount| mount.mount_path == path)
    }
}

impl HostMount {
    /// Whether the manifest declares the mount to be one file. Without a type it does not tell; a path that a flag names as a
    /// file and that has its [`ContainerFacts::own_mount`] is one all the same.
    pub fn is_single_file(&self) -> bool {
        match self.kind {
            HostPathKind::File | HostPathKind::FileOrCreate => true,
            HostPathKind::Unset
            | HostPathKind::Directory
            | HostPathKind::DirectoryOrCreate
            | HostPathKind::Socket
            | HostPathKind::CharDevice
            | HostPathKind::BlockDevice
            | HostPathKind::Unknown => false,
        }
    }
}

/// The Kubernetes version that a control plane's manifests tell, by the image tag of its most telling component.
pub fn kubernetes_version<'facts>(manifests: impl Iterator<Item = &'facts ManifestFacts>) -> Option<String> {
    const COMPONENTS: [&str; 3] = ["kube-apiserver", "kube-controller-manager", "kube-scheduler"];
    let mut containers: BTreeMap<&str, &ContainerFacts> = BTreeMap::new();
    for container in manifests.flat_map(|manifest| &manifest.containers) {
        if container.version.is_some() {
            // Of two manifests of one component, such as one and its backup, a kubelet starts the first.
            containers.entry(container.component()).or_insert(container);
        }
    }
    COMPONENTS.iter().find_map(|component| containers.get(component)?.version.clone())
}

/// What is left of `path` below `directory`; empty when they are the same.
fn below<'path>(path: &'path str, directory: &str) -> Option<&'path str> {
    let rest = path.strip_prefix(directory.trim_end_matches('/'))?;
    (rest.is_empty() || rest.starts_with('/')).then_some(rest)
}

/// The tag of an image, when it starts like a version.
fn version(image: &str) -> Option<String> {
    let without_digest = image.split_once('@').map_or(image, |(name, _)| name);
    let last = without_digest.rsplit_once('/').map_or(without_digest, |(_, last)| last);
    let (_, tag) = last.split_once(':')?;
    let digits = tag.strip_prefix('v').unwrap_or(tag);
    let looks_like_a_version =
        digits.starts_with(|first: char| first.is_ascii_digit()) && digits.contains('.');
    looks_like_a_version.then(|| tag.to_owned())
}

#[derive(Default, Deserialize)]
struct Pod {
    #[serde(default, deserialize_with = "null_is_default")]
    kind: String,
    #[serde(default, deserialize_with = "null_is_default")]
    metadata: Metadata,
    #[serde(default, deserialize_with = "null_is_default")]
    spec: PodSpec,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default, deserialize_with = "null_is_default")]
    name: Option<String>,
}

#[derive(Default, Deserialize)]
struct PodSpec {
    #[serde(default, deserialize_with = "null_is_default")]
    containers: Vec<Container>,
    #[serde(default, deserialize_with = "null_is_default")]
    volumes: Vec<Volume>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Container {
    #[serde(default, deserialize_with = "null_is_default")]
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    image: String,
    #[serde(default, deserialize_with = "null_is_default")]
    command: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    args: Vec<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    env: Vec<Variable>,
    #[serde(default, deserialize_with = "null_is_default")]
    volume_mounts: Vec<VolumeMount>,
}

#[derive(Deserialize)]
struct Variable {
    #[serde(default, deserialize_with = "null_is_default")]
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct VolumeMount {
    #[serde(default, deserialize_with = "null_is_default")]
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    mount_path: String,
    #[serde(default, deserialize_with = "null_is_default")]
    sub_path: Option<String>,
    #[serde(default, deserialize_with = "null_is_default")]
    read_only: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Volume {
    #[serde(default, deserialize_with = "null_is_default")]
    name: String,
    #[serde(default, deserialize_with = "null_is_default")]
    host_path: Option<HostPath>,
}

#[derive(Deserialize)]
struct HostPath {
    #[serde(default, deserialize_with = "null_is_default")]
    path: String,
    #[serde(default, deserialize_with = "null_is_default", rename = "type")]
    kind: String,
}

impl Container {
    fn facts(
        self,
        volumes: &[Volume],
        withholds: &mut bool,
        problems: &mut Vec<ManifestProblem>,
    ) -> ContainerFacts {
        *withholds |= self.env.iter().any(|variable| flags::may_be_secret(&variable.name, &variable.value));
        let environment = self.env;
        let words: Vec<String> = self.command.into_iter().chain(self.args).collect();
        let (program, flags) = match flags::read(&words, &self.name) {
            flags::Command::Known { program, flags, withheld } => {
                *withholds |= withheld;
                (program, flags)
            }
            flags::Command::Shell => {
                *withholds = true;
                problems.push(ManifestProblem::ShellCommand { container: self.name.clone() });
                (None, Flags::default())
            }
        };
        let mounts = self.volume_mounts.into_iter().filter_map(|mount| mount.of_host(volumes)).collect();
        let mut flags = flags;
        if program.as_deref().unwrap_or(&self.name) == "etcd" {
            of_environment(environment, &mut flags);
        }
        ContainerFacts {
            version: version(&self.image),
            name: self.name,
            program,
            image: self.image,
            flags,
            mounts,
        }
    }
}

/// What etcd takes from its environment: each flag that is not given, under its name in capitals (etcd pkg/flags `SetFlagsFromEnv`, all versions).
fn of_environment(environment: Vec<Variable>, flags: &mut Flags) {
    for Variable { name, value } in environment {
        let Some(flag) = name.strip_prefix("ETCD_") else { continue };
        if !value.is_empty() && !flags::may_be_secret(&name, &value) {
            flags.or_given(flag.to_ascii_lowercase().replace('_', "-"), value);
        }
    }
}

impl VolumeMount {
    /// This mount when its volume is a path of the node.
    fn of_host(self, volumes: &[Volume]) -> Option<HostMount> {
        let volume = volumes.iter().find(|volume| volume.name == self.name)?;
        let host_path = volume.host_path.as_ref()?;
        Some(HostMount {
            name: self.name,
            host_path: host_path.path.clone(),
            mount_path: self.mount_path,
            sub_path: self.sub_path.filter(|path| !path.is_empty()),
            kind: host_path_kind(&host_path.kind),
            read_only: self.read_only,
        })
    }
}

fn host_path_kind(word: &str) -> HostPathKind {
    match word {
        "" => HostPathKind::Unset,
        "Directory" => HostPathKind::Directory,
        "DirectoryOrCreate" => HostPathKind::DirectoryOrCreate,
        "File" => HostPathKind::File,
        "FileOrCreate" => HostPathKind::FileOrCreate,
        "Socket" => HostPathKind::Socket,
        "CharDevice" => HostPathKind::CharDevice,
        "BlockDevice" => HostPathKind::BlockDevice,
        _ => HostPathKind::Unknown,
    }
}

#[cfg(test)]
mod tests;
