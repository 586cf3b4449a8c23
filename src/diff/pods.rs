//! Manifests in the folder of static pods from which it cannot be told what runs, and what follows from that.
//!
//! What enters is a node as it should be and what was seen of it; what leaves are notes on the node, and the doubts about what the layout has in usual places. A component
//! whose flags are not known may read its files anywhere, so what is missing from the usual place is not known to be missing. Pure.

use std::collections::BTreeMap;

use crate::desired::DesiredNode;
use crate::formats::manifest::{ContainerFacts, ManifestFacts, ManifestProblem};
use crate::profile::What;
use crate::protocol::facts::{Content, NodeFacts, Seen};
use crate::types::names::Target;

use super::{Effect, Finding, Reason};

/// Why it is not known where a service has its files, by what the layout has it read or serve.
pub(super) type Doubts = BTreeMap<What, String>;

/// Manifests that were not understood, each with why.
pub(super) type Unread = BTreeMap<String, String>;

/// What is to be said about the manifests of a node.
pub(super) fn notes(node: &DesiredNode, facts: &NodeFacts, unread: &Unread) -> Vec<Finding> {
    let of_unread = unread.iter().map(|(path, problem)| {
        Finding::note(Reason::Unparseable { path: path.clone(), problem: problem.clone() })
    });
    let mut notes: Vec<Finding> = of_unread.collect();
    for service in node.services.keys() {
        let mut of_service = facts.manifests().filter(|(_, pod)| pod.container(service.as_str()).is_some());
        let Some((first, _)) = of_service.next() else { continue };
        notes.extend(of_service.map(|(path, _)| {
            let (path, first, service) = (path.to_owned(), first.to_owned(), service.clone());
            Finding::note(Reason::SecondManifest { path, service, first })
        }));
    }
    notes
}

/// What is not known of where the services of a node have their files.
pub(super) fn doubts(node: &DesiredNode, facts: &NodeFacts, unread: &Unread) -> Doubts {
    let mut doubts = Doubts::new();
    if unread.is_empty() {
        return doubts;
    }
    for (service, wanted) in &node.services {
        if wanted.restart.as_ref().and_then(|restart| restart.static_pod.as_ref()).is_none() {
            continue;
        }
        let own = facts.manifests().find(|(_, pod)| pod.container(service.as_str()).is_some());
        let why = match own {
            Some((path, _)) => unread.get(path).map(|problem| (path, problem)),
            // It may be any that is no pod, and its own by its name first.
            None => {
                let is_named = |path: &str| path.contains(service.as_str());
                let by_name = unread.iter().find(|(path, _)| is_named(path));
                by_name.or(unread.first_key_value()).map(|(path, problem)| (path.as_str(), problem))
            }
        };
        let Some((path, problem)) = why else { continue };
        let because = format!(
            "not where the layout has it; {path} {problem}, so it is not known where {service} has it"
        );
        let read = wanted.reads.iter().map(|read| read.what.clone());
        let served =
            wanted.endpoints.iter().filter_map(|endpoint| endpoint.serves.clone()).map(What::Identity);
        for what in read.chain(served) {
            doubts.entry(what).or_insert_with(|| because.clone());
        }
    }
    doubts
}

/// The findings about a thing, where what is missing may be elsewhere.
pub(super) fn doubted(doubts: &Doubts, target: &Target, findings: Vec<Finding>) -> Vec<Finding> {
    let whats = match target {
        Target::Authority(name) => vec![What::Trust(name.clone()), What::Signer(name.clone())],
        Target::Identity(name) => vec![What::Identity(name.clone())],
        Target::KeyPair(name) => vec![What::KeyPair(name.clone())],
        Target::Directory(_) | Target::Service(_) | Target::Node => Vec::new(),
    };
    let Some(because) = whats.iter().find_map(|what| doubts.get(what)) else { return findings };
    let is_doubtful = |finding: &Finding| {
        finding.effect == Effect::Due
            && matches!(finding.reason, Reason::Missing | Reason::KeyMissing | Reason::PublicKeyMissing)
    };
    let unknown = |finding: Finding| match is_doubtful(&finding) {
        true => Finding {
            effect: Effect::Unknown,
            reason: Reason::Unknown { because: because.clone() },
            decided_by: None,
        },
        false => finding,
    };
    findings.into_iter().map(unknown).collect()
}

/// The manifests that were not understood, each with why: those that a kubelet would not start, and those whose flags are elsewhere.
pub(super) fn unread(facts: &NodeFacts) -> Unread {
    let of_pods = facts.manifests().filter_map(|(path, pod)| Some((path.to_owned(), problem(pod, facts)?)));
    let folders: Vec<String> = facts
        .static_pod_folder()
        .map(|(folder, _)| folder)
        .into_iter()
        .chain(facts.manifests().filter_map(|(path, _)| Some(path.rsplit_once('/')?.0.to_owned())))
        .collect();
    let is_manifest = |path: &str| {
        let (folder, name) = path.rsplit_once('/').unwrap_or_default();
        !name.starts_with('.') && folders.iter().any(|known| known == folder)
    };
    let unseen =
        facts.files.iter().filter(|(path, _)| is_manifest(path)).filter_map(|(path, seen)| match seen {
            Seen::Unknown { reason } => Some((path.clone(), format!("cannot be read ({reason})"))),
            Seen::Present(file) => match &file.content {
                Content::Unreadable { reason } => Some((path.clone(), format!("cannot be read ({reason})"))),
                Content::Empty => Some((path.clone(), "is empty".to_owned())),
                Content::Pem(_)
                | Content::Kubeconfig(_)
                | Content::Manifest(_)
                | Content::Kubelet(_)
                | Content::EtcdConfiguration(_)
                | Content::Directory { .. }
                | Content::Opaque
                | Content::NotRead => None,
            },
            Seen::Absent | Seen::Dangling { .. } | Seen::Looping { .. } => None,
        });
    of_pods.chain(unseen).collect()
}

fn problem(pod: &ManifestFacts, facts: &NodeFacts) -> Option<String> {
    let of_pod = pod.problems.iter().find(|problem| match problem {
        ManifestProblem::NotText
        | ManifestProblem::NotYaml { .. }
        | ManifestProblem::NotAPod { .. }
        | ManifestProblem::ShellCommand { .. } => true,
        // Nothing runs, so nothing reads.
        ManifestProblem::NoContainers => false,
    });
    let configuration = || pod.containers.iter().find_map(|container| unread_configuration(container, facts));
    of_pod.map(ToString::to_string).or_else(configuration)
}

/// Why the file is not known that configures etcd.
fn unread_configuration(container: &ContainerFacts, facts: &NodeFacts) -> Option<String> {
    let named = container.configuration()?;
    let of = |what: &str| Some(format!("says that etcd is configured by {named}, which {what}"));
    let Some(path) = container.host_path(named) else { return of("is not on the node") };
    match facts.files.get(&path).map(Seen::known) {
        Some(Ok(Some(file))) => match &file.content {
            Content::EtcdConfiguration(configuration) => {
                let problem = configuration.problem.as_ref()?;
                of(&problem.to_string())
            }
            Content::Unreadable { reason } => of(&format!("cannot be read ({reason})")),
            Content::Empty
            | Content::Pem(_)
            | Content::Kubeconfig(_)
            | Content::Manifest(_)
            | Content::Kubelet(_)
            | Content::Directory { .. }
            | Content::Opaque
            | Content::NotRead => of("says nothing"),
        },
        Some(Ok(None)) => of("is not there"),
        Some(Err(unseen)) => of(&format!("cannot be read ({})", unseen.reason)),
        None => of("was not looked at"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::desired::Survey;
    use crate::diff::diff;
    use crate::observe::survey::tests::{agreement, now};
    use crate::protocol::facts::Answer;

    const FOLDER: &str = "/etc/kubernetes/manifests";

    fn facts(survey: &mut Survey) -> &mut NodeFacts {
        match survey.observed.nodes.get_mut("cp-1") {
            Some(Answer::Facts(facts)) => facts,
            other => panic!("{other:?}"),
        }
    }

    /// Puts a manifest in the folder.
    fn put(survey: &mut Survey, file: &str, text: &str) {
        let files = &mut facts(survey).files;
        let mut like = files[&format!("{FOLDER}/etcd.yaml")].known().unwrap().unwrap().clone();
        like.content = Content::Manifest(ManifestFacts::read(text.as_bytes()));
        files.insert(format!("{FOLDER}/{file}"), Seen::Present(like));
    }

    /// The findings about a thing on the node, each with its effect.
    fn found(survey: &Survey, about: &str) -> Vec<(Effect, String)> {
        let differences = diff(&survey.desired, &survey.observed, now());
        let of = differences.findings.iter().filter(|(address, _)| address.to_string() == about);
        of.flat_map(|(_, findings)| {
            findings.iter().map(|finding| (finding.effect, finding.reason.to_string()))
        })
        .collect()
    }

    #[test]
    fn what_a_component_whose_flags_are_hidden_reads_is_not_known_to_be_missing() {
        let wrapped = "kind: Pod\nmetadata: {name: etcd}\nspec: {containers: [{name: etcd, command: [sh, -c, exec etcd $FLAGS]}]}\n";
        let by_file = "kind: Pod\nspec: {containers: [{name: etcd, command: [etcd, --config-file=/in/the/image.yml]}]}\n";
        for text in [wrapped, by_file, "kind: Pod\n  spec: [\n", "kind: List\n", "\u{0}"] {
            let mut survey = agreement();
            put(&mut survey, "etcd.yaml", text);
            let note = found(&survey, "node@cp-1");
            assert!(
                note.iter().any(|(effect, text)| *effect == Effect::Note && text.contains("etcd.yaml")),
                "{note:?}"
            );
            assert_eq!(found(&survey, "etcd-server@cp-1"), [], "what is in its usual place is not doubted");
            let files = &mut facts(&mut survey).files;
            for path in ["/etc/kubernetes/pki/etcd/server.crt", "/etc/kubernetes/pki/apiserver.crt"] {
                files.insert(path.to_owned(), Seen::Absent);
            }
            let [(Effect::Unknown, because)] = &found(&survey, "etcd-server@cp-1")[..] else {
                panic!("{text}: {:?}", found(&survey, "etcd-server@cp-1"))
            };
            assert!(because.contains("etcd.yaml"), "{because}");
            assert_eq!(found(&survey, "apiserver@cp-1")[0], (Effect::Due, Reason::Missing.to_string()));
        }
    }

    #[test]
    fn a_backup_beside_a_manifest_is_named() {
        let mut survey = agreement();
        let pod =
            "kind: Pod\nspec: {containers: [{name: etcd, image: 'etcd:3.3.0', command: [etcd, --name=m]}]}\n";
        put(&mut survey, "etcd.yaml.bak", pod);
        let notes = found(&survey, "node@cp-1");
        let [(Effect::Note, text)] = &notes[..] else { panic!("{notes:?}") };
        assert!(text.starts_with("/etc/kubernetes/manifests/etcd.yaml.bak describes etcd too"), "{text}");
    }
}
