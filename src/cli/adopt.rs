//! `pki adopt`: writes a spec from what nodes already hold. It reads nodes and never changes one.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use jiff::Timestamp;
use pki::adopt::inventory::Inventory;
use pki::adopt::{
    Draft, Found, KubeadmConfig, Outlook, Reached, begin, first_look, known, read_back, settle, text,
};
use pki::agent::Local;
use pki::diagnostic::{escaped, shown};
use pki::diff::signed::Signed;
use pki::diff::{Differences, Reason};
use pki::files::named;
use pki::observe::ask::{Question, observe_all};
use pki::plan::Options;
use pki::profile::Profile;
use pki::profile::detect::layout;
use pki::protocol::facts::{Answer, Observed};
use pki::protocol::file::SpecReference;
use pki::protocol::node::Host;
use pki::remote::ssh::{Known, Ssh, SshTarget};
use pki::types::names::NodeName;
use pki::types::scalars::Port;
use pki::x509::Sha256;

use super::cluster::{Cluster, Compared};
use super::nodes::{self, Hosts};
use super::{Exit, Global, files, internal, terminal, written};

/// A kubeadm configuration is a few kilobytes, and an inventory of a thousand nodes some hundred.
const CONFIG_LIMIT: u64 = 1 << 20;
/// Looks after which a spec is taken as it is: places that become known with one look are looked at with the next.
const LOOKS: usize = 4;

/// What `pki adopt` takes.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Arguments {
    /// A node, over SSH: [USER@]HOST[:PORT]; may be given several times
    #[arg(long, value_name = "HOST", group = "over_ssh")]
    host: Vec<HostArgument>,
    /// The nodes of an inventory in YAML: Ansible's (kubespray, kubeasz) or KubeKey's
    #[arg(long, value_name = "FILE", group = "over_ssh")]
    inventory: Option<PathBuf>,
    /// Run under `sudo -n` on the nodes over SSH
    #[arg(long, requires = "over_ssh")]
    sudo: bool,
    /// A directory that stands for a node's `/`: DIR, or NAME=DIR; may be given several times
    #[arg(long, value_name = "[NAME=]DIR")]
    root: Vec<RootArgument>,
    /// What kubeadm was told: its configuration, or the ConfigMap kube-system/kubeadm-config
    #[arg(long, value_name = "FILE")]
    kubeadm_config: Option<PathBuf>,
    /// Write the spec to a file instead of standard output
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long, requires = "out")]
    force: bool,
    /// Tell what the next plan would do as if it were this instant, such as 2027-01-31T00:00:00Z
    #[arg(long, value_name = "TIME")]
    as_of: Option<Timestamp>,
}

/// `[USER@]HOST[:PORT]`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct HostArgument {
    user: Option<String>,
    host: String,
    port: Option<Port>,
}

impl FromStr for HostArgument {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        let (user, rest) = match typed.rsplit_once('@') {
            Some((user, rest)) => (Some(user.to_owned()), rest),
            None => (None, typed),
        };
        // An IPv6 address with a port has brackets; without them all its colons are its own.
        let (host, port) = match rest.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, "")) => (host, None),
            Some((host, port)) => (host, Some(port.strip_prefix(':').unwrap_or(port))),
            None => match rest.split_once(':') {
                Some((host, port)) if !port.contains(':') => (host, Some(port)),
                Some(_) | None => (rest, None),
            },
        };
        let port = match port.map(str::parse::<u16>) {
            None => None,
            Some(Ok(number)) => Some(Port::new(number).ok_or("0 is not a port")?),
            Some(Err(_)) => return Err("write [USER@]HOST[:PORT], with a port from 1 to 65535".to_owned()),
        };
        if host.is_empty() || user.as_deref() == Some("") {
            return Err("write [USER@]HOST[:PORT]".to_owned());
        }
        Ok(Self { user, host: host.to_owned(), port })
    }
}

/// `[NAME=]DIR`.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RootArgument {
    name: Option<NodeName>,
    directory: String,
}

impl FromStr for RootArgument {
    type Err = String;

    fn from_str(typed: &str) -> Result<Self, String> {
        // A directory with `=` in its name is written with its whole path, or `./` before it.
        let (name, directory) = match typed.split_once('=') {
            Some((name, directory)) if !name.contains('/') => (Some(name), directory),
            Some(_) | None => (None, typed),
        };
        if directory.is_empty() {
            return Err("write DIR or NAME=DIR".to_owned());
        }
        let name = name
            .map(str::parse)
            .transpose()
            .map_err(|error: pki::types::names::NameError| error.to_string())?;
        Ok(Self { name, directory: directory.to_owned() })
    }
}

/// A node that was named on the command line.
struct Source {
    called: String,
    name: Option<NodeName>,
    reached: Reached,
    host: Box<dyn Host + Send + Sync>,
}

/// What nodes told, and the nodes in the same order.
type Looked = (Vec<Found>, Vec<Box<dyn Host + Send + Sync>>);

/// Adopts.
pub(super) fn run(arguments: &Arguments, global: &Global) -> Exit {
    // As everywhere, `-` is standard output.
    let out = arguments.out.clone().filter(|path| path.as_path() != Path::new("-"));
    adopt(&Arguments { out, ..arguments.clone() }, global).unwrap_or_else(|exit| exit)
}

fn adopt(arguments: &Arguments, global: &Global) -> Result<Exit, Exit> {
    if let Some(path) =
        arguments.out.as_deref().filter(|path| !arguments.force && path.symlink_metadata().is_ok())
    {
        let path = files::shown(path);
        terminal::tell(&format!(
            "error: {path} is there already\n  help: name another file, or add --force\n"
        ));
        return Err(Exit::Usage);
    }
    let config = arguments.kubeadm_config.as_deref().map(read_config).transpose()?;
    let sources = sources(arguments, global)?;
    let (found, hosts) = look(sources, arguments, config.is_some(), global)?;
    let (draft, names) = begin(&found, config.as_ref()).map_err(|error| {
        terminal::tell(&format!("error: {error}\n"));
        Exit::Blocked
    })?;
    let now = arguments.as_of.unwrap_or_else(super::now);
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now);
    let (draft, outlook) = if found.is_empty() {
        let outlook = Outlook::unseen(&draft);
        (draft, outlook)
    } else {
        let observed = known(&found, &names, super::now());
        let hosts: Hosts = names.into_iter().zip(hosts).collect();
        planned(draft, observed, &hosts, config.as_ref(), (arguments, global, now))?
    };
    let text = text(&draft, Some(&outlook));
    read_back(&file_name(arguments), &text, &draft, now).map_err(|error| internal(&error))?;
    let exit = match &arguments.out {
        Some(path) => files::write(path, &text, files::SHOWN).map(|()| Exit::Done)?,
        None => written(terminal::print(&text)),
    };
    tell(&draft, &outlook, arguments);
    Ok(exit)
}

/// The spec once everything that it can express is in it, and what the next plan would do with it.
fn planned(
    mut draft: Draft,
    observed: Observed,
    hosts: &Hosts,
    config: Option<&KubeadmConfig>,
    (arguments, global, now): (&Arguments, &Global, Timestamp),
) -> Result<(Draft, Outlook), Exit> {
    let profile = Profile::load(draft.spec.spec.profile).map_err(|error| internal(&error))?;
    let cluster = |draft: &Draft| Cluster {
        spec: draft.spec.clone(),
        profile: profile.clone(),
        loaded: None,
        reference: SpecReference {
            file: file_name(arguments),
            sha256: Sha256::of(&[]),
            commit: None,
            files: Default::default(),
        },
        ssh_config: global.ssh_config.clone(),
        hosts: None,
        patience: global.patience(),
        skipped: BTreeSet::new(),
    };
    let mut survey = cluster(&draft).survey_further(hosts, observed)?;
    for _ in 0..LOOKS {
        refuse_unreachable(&survey.observed)?;
        let before = draft.spec.clone();
        (draft, survey) = settle(draft, survey, &profile, config, now).map_err(|problems| {
            for problem in problems {
                terminal::tell(&format!("error: {}: {problem}\n", problem.path.join(".")));
            }
            Exit::Blocked
        })?;
        if draft.spec == before {
            break;
        }
        let mut known = survey.observed;
        if draft.spec.spec.directories != before.spec.directories {
            forget_files(&mut known);
        }
        survey = cluster(&draft).survey_further(hosts, known)?;
    }
    let body = text(&draft, None);
    let loaded = read_back(&file_name(arguments), &body, &draft, now).map_err(|error| internal(&error))?;
    let cluster = Cluster { loaded: Some(loaded), ..cluster(&draft) };
    let compared = Compared::at(&survey, now);
    let plan = cluster.plan(&compared, &Options::default(), &Signed::default())?;
    refuse_other_machines(&compared.differences)?;
    let outlook = Outlook::new(&draft, &plan, &compared.differences);
    Ok((draft, outlook))
}

/// What was found on the way through a link that is declared by now is another thing than what is found there from now on.
fn forget_files(observed: &mut Observed) {
    for answer in observed.nodes.values_mut() {
        match answer {
            Answer::Facts(facts) => facts.files.clear(),
            Answer::Unreachable { .. } | Answer::Skipped => {}
        }
    }
}

fn file_name(arguments: &Arguments) -> String {
    arguments.out.as_ref().map_or_else(|| "adopted.yaml".to_owned(), |path| path.display().to_string())
}

/// The nodes that were named; this machine when none was.
fn sources(arguments: &Arguments, global: &Global) -> Result<Vec<Source>, Exit> {
    let mut sources = Vec::new();
    for RootArgument { name, directory } in &arguments.root {
        let root = Some(beside_the_spec(directory, arguments.out.as_deref()));
        sources.push(Source {
            called: directory.clone(),
            name: name.clone(),
            reached: Reached::Local { root },
            host: Box::new(Local::new(Some(PathBuf::from(directory)), super::now)),
        });
    }
    let mut named = inventory(arguments)?;
    named.extend(arguments.host.iter().map(|HostArgument { user, host, port }| {
        let (host, user) = (host.clone(), user.clone());
        (host.clone(), Reached::Ssh { host, user, port: *port, sudo: arguments.sudo })
    }));
    if !named.is_empty() {
        let client = nodes::client(global.ssh_config.as_deref(), global.patience()).map_err(|reason| {
            terminal::tell(&format!("error: {reason}\n"));
            Exit::Internal
        })?;
        for (called, reached) in named {
            let host: Box<dyn Host + Send + Sync> = match &reached {
                Reached::Local { root } => Box::new(Local::new(root.clone().map(PathBuf::from), super::now)),
                Reached::Ssh { host, user, port, sudo } => {
                    let target = SshTarget {
                        host: host.clone(),
                        user: user.clone(),
                        port: port.map(Port::number),
                        sudo: *sudo,
                        known: Known::Configuration,
                    };
                    let session = nodes::session("adopt".to_owned(), global.patience());
                    Box::new(Ssh::new(&client, target, session))
                }
            };
            sources.push(Source { called, name: None, reached, host });
        }
    }
    if sources.is_empty() {
        sources.push(Source {
            called: "this machine".to_owned(),
            name: None,
            reached: Reached::Local { root: None },
            host: Box::new(Local::new(None, super::now)),
        });
    }
    Ok(sources)
}

/// The nodes that an inventory names, with what it calls them.
fn inventory(arguments: &Arguments) -> Result<Vec<(String, Reached)>, Exit> {
    let Some(path) = arguments.inventory.as_deref() else { return Ok(Vec::new()) };
    let inventory = Inventory::read(&path.display().to_string(), &read(path)?).map_err(|problems| {
        for problem in problems {
            terminal::tell(&format!("error: {problem}\n"));
        }
        Exit::InvalidSpec
    })?;
    for remark in &inventory.remarks {
        terminal::tell(&format!("note: {}: {}\n", files::shown(path), escaped(remark)));
    }
    let with_sudo = |reached| match reached {
        // Kubespray is told so on its command line more often than by the inventory.
        Reached::Ssh { host, user, port, sudo } => {
            Reached::Ssh { host, user, port, sudo: sudo || arguments.sudo }
        }
        Reached::Local { root } => Reached::Local { root },
    };
    Ok(inventory.hosts.into_iter().map(|host| (host.name, with_sudo(host.reached))).collect())
}

/// A directory as the spec names it: relative to where the spec will lie, else with its whole path.
fn beside_the_spec(directory: &str, out: Option<&Path>) -> String {
    let path = Path::new(directory);
    let folder = out.and_then(Path::parent).filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        _ if path.is_absolute() => directory.to_owned(),
        None if path.starts_with(".") || path.starts_with("..") => directory.to_owned(),
        None => format!("./{directory}"),
        Some(_) => {
            std::path::absolute(path).map_or_else(|_| directory.to_owned(), |path| path.display().to_string())
        }
    }
}

/// Asks every node what it is. Half a cluster would make half a spec, so one that does not answer ends it.
fn look(
    sources: Vec<Source>,
    arguments: &Arguments,
    has_config: bool,
    global: &Global,
) -> Result<Looked, Exit> {
    let request = first_look().map_err(|error| internal(&error))?;
    let numbered: Vec<(NodeName, Source)> = sources
        .into_iter()
        .enumerate()
        .filter_map(|(number, source)| Some((format!("{number:04}").parse().ok()?, source)))
        .collect();
    let questions: BTreeMap<NodeName, Question<'_>> = numbered
        .iter()
        .map(|(name, source)| {
            (name.clone(), (&source.host as &(dyn pki::protocol::node::Inspect + Sync), request.clone()))
        })
        .collect();
    let mut answers = observe_all(&questions, super::now(), global.patience()).nodes;
    let mut found = Vec::new();
    let mut hosts = Vec::new();
    let mut is_silent = false;
    for (number, source) in numbered {
        let Source { called, name, reached, host } = source;
        match answers.remove(&number) {
            Some(Answer::Facts(facts)) => {
                found.push(Found { called, name, reached, facts });
                hosts.push(host);
            }
            Some(Answer::Unreachable { reason }) => {
                terminal::tell(&format!("error: {}: {}\n", escaped(&called), escaped(&reason)));
                is_silent = true;
            }
            Some(Answer::Skipped) | None => is_silent = true,
        }
    }
    if is_silent {
        terminal::tell("  help: no spec was written, because what a node holds was not seen\n");
        return Err(Exit::Blocked);
    }
    // A configuration by itself is adopted where no node was named and this machine is none.
    let is_default = arguments.root.is_empty() && arguments.host.is_empty() && arguments.inventory.is_none();
    let is_node = |found: &Found| layout(&found.facts).is_ok_and(|layout| layout.is_some());
    if has_config && is_default && !found.iter().any(is_node) {
        return Ok((Vec::new(), Vec::new()));
    }
    Ok((found, hosts))
}

fn refuse_unreachable(observed: &Observed) -> Result<(), Exit> {
    let mut exit = Ok(());
    for (name, answer) in &observed.nodes {
        if let Answer::Unreachable { reason } = answer {
            terminal::tell(&format!("error: {name}: {}\n", escaped(reason)));
            exit = Err(Exit::Blocked);
        }
    }
    exit
}

/// A machine that was given another name than its own would get that name into its certificates with the next plan.
fn refuse_other_machines(differences: &Differences) -> Result<(), Exit> {
    let mut exit = Ok(());
    for (address, finding) in
        differences.findings.iter().flat_map(|(at, found)| found.iter().map(move |one| (at, one)))
    {
        if let Reason::OtherMachine { name, .. } = &finding.reason {
            terminal::tell(&format!(
                "error: {}: {}\n  help: name it so: --root {}=DIR\n",
                address.place,
                finding.reason,
                escaped(name)
            ));
            exit = Err(Exit::Blocked);
        }
    }
    exit
}

fn read_config(path: &Path) -> Result<KubeadmConfig, Exit> {
    let text = read(path)?;
    KubeadmConfig::read(&shown(&path.display().to_string()), &text).map_err(|error| {
        terminal::tell(&format!("error: {error}\n"));
        Exit::InvalidSpec
    })
}

/// A small file that was named on the command line. One that is longer would be cut in the middle of a value.
fn read(path: &Path) -> Result<String, Exit> {
    let mut text = String::new();
    let read = named::named(path)
        .and_then(|file| file.take(CONFIG_LIMIT.saturating_add(1)).read_to_string(&mut text));
    let problem = match read {
        Ok(length) if length as u64 > CONFIG_LIMIT => format!("it has more than {CONFIG_LIMIT} bytes"),
        Ok(_) => return Ok(text),
        Err(error) => error.to_string(),
    };
    terminal::tell(&format!("error: cannot read {}: {problem}\n", files::shown(path)));
    Err(Exit::Internal)
}

/// Says what was adopted, and what the next plan would do.
fn tell(draft: &Draft, outlook: &Outlook, arguments: &Arguments) {
    let spec = &draft.spec;
    let count = spec.spec.nodes.len();
    let plural = if count == 1 { "" } else { "s" };
    let place = arguments.out.as_deref().map(|path| format!(", written to {}", files::shown(path)));
    let place = place.unwrap_or_default();
    let mut said = format!(
        "Adopted {}: profile {}, {count} node{plural}{place}.\n",
        spec.metadata.name, spec.spec.profile
    );
    for line in outlook.lines() {
        said.push_str(&escaped(&line));
        said.push('\n');
    }
    terminal::tell(&said);
}
