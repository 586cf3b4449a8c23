//! Static pods that the layout does not know and that see what a plan replaces.
//!
//! What enters is a node and the deeds on it; what leaves are restarts for a person. A pod that mounts a file by itself keeps the inode that it was started with: when the file is
//! replaced by a rename, it goes on with the old one until it is made anew (kubelet, all versions), as kube-vip does with admin.conf. When any other pod reads what it
//! mounts is not known. Nothing here is restarted by the plan: what such a pod is good for is not known. Pure.

use std::collections::BTreeSet;

use crate::desired::DesiredNode;
use crate::formats::manifest::{ContainerFacts, ManifestFacts};
use crate::plan::ManualRestart;
use crate::plan::known::builder::Builder;
use crate::protocol::facts::NodeFacts;
use crate::types::names::{NodeName, ServiceName};

use super::cause::{changes, what_name};

/// Tells of each pod which a deed on its node concerns.
pub(crate) fn other_pods(builder: &mut Builder<'_>, name: &NodeName, node: &DesiredNode, facts: &NodeFacts) {
    let is_known = |pod: &ManifestFacts| {
        pod.containers.iter().any(|container| node.services.contains_key(container.component()))
    };
    for (manifest, pod) in facts.manifests().filter(|(_, pod)| !is_known(pod)) {
        let (mut once, mut whenever) = (BTreeSet::new(), BTreeSet::new());
        for deed in builder.draft.on(name).iter().filter(|deed| deed.replaces) {
            for path in deed.paths() {
                let sights: Vec<Sight> =
                    pod.containers.iter().filter_map(|container| sight(container, facts, path)).collect();
                let reads = match (sights.contains(&Sight::Inode), sights.is_empty()) {
                    (true, _) => &mut once,
                    (false, false) => &mut whenever,
                    (false, true) => continue,
                };
                reads.extend(changes(deed).iter().map(what_name));
            }
        }
        whenever.retain(|what| !once.contains(what));
        let how =
            format!("its static pod, by its manifest {manifest}: aside until it has stopped, then back");
        let by_mount = "it mounts these as single files, so it keeps the old ones";
        let unknown = "it sees these, and when it reads them is not known";
        for (reads, because) in [(once, by_mount), (whenever, unknown)] {
            if let (false, Some(service)) = (reads.is_empty(), called(pod)) {
                let reads = reads.into_iter().collect();
                let (how, because) = (how.clone(), Some(because.to_owned()));
                let nodes = vec![name.clone()];
                builder.draft.leave_restart(ManualRestart { service, nodes, reads, how, because });
            }
        }
    }
}

/// How a container sees a file of the node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// By its inode.
    Inode,
    /// By its name, in a directory.
    Name,
}

fn sight(container: &ContainerFacts, facts: &NodeFacts, path: &str) -> Option<Sight> {
    let mounts = container.mounts.iter().filter(|mount| mount.sub_path.is_none());
    let mut mounted = mounts.map(|mount| mount.host_path.trim_end_matches('/'));
    if mounted.clone().any(|mounted| facts.is_same_file(mounted, path)) {
        return Some(Sight::Inode);
    }
    let folder = path.rsplit_once('/')?.0;
    mounted.any(|mounted| facts.is_same_file(mounted, folder)).then_some(Sight::Name)
}

/// What a pod goes by: its name, else that of a container.
fn called(pod: &ManifestFacts) -> Option<ServiceName> {
    let names =
        pod.name.iter().map(String::as_str).chain(pod.containers.iter().map(ContainerFacts::component));
    names.filter_map(|name| name.parse().ok()).next().or_else(|| "static-pod".parse().ok())
}

#[cfg(test)]
mod tests {
    use crate::formats::manifest::ManifestFacts;
    use crate::observe::survey::tests::agreement;
    use crate::plan::tests::plan_of;
    use crate::plan::{ManualRestart, Options};
    use crate::protocol::facts::{Answer, Content, Seen};

    /// The restarts that a plan leaves to a person that renews these things, where a pod mounts this path.
    fn restarts(mounted: &str, replaced: &str) -> Vec<ManualRestart> {
        let mut survey = agreement();
        let Some(Answer::Facts(facts)) = survey.observed.nodes.get_mut("cp-1") else { panic!() };
        let text = format!(
            "kind: Pod\nmetadata: {{name: kube-vip}}\nspec:\n  containers: [{{name: vip, command: [/kube-vip, manager], volumeMounts: [{{name: v, mountPath: /mounted}}]}}]\n  volumes: [{{name: v, hostPath: {{path: {mounted}}}}}]\n"
        );
        let mut like = facts.files["/etc/kubernetes/manifests/etcd.yaml"].known().unwrap().unwrap().clone();
        like.content = Content::Manifest(ManifestFacts::read(text.as_bytes()));
        facts.files.insert("/etc/kubernetes/manifests/vip.yaml".to_owned(), Seen::Present(like));
        let replace = vec![replaced.parse().unwrap()];
        plan_of(&survey, &Options { replace, ..Options::default() }).restart_yourself
    }

    #[test]
    fn a_pod_that_mounts_what_is_replaced_is_named() {
        for (mounted, replaced, reads, why) in [
            ("/etc/kubernetes/admin.conf", "admin.conf@cp-1", "admin.conf", "single files"),
            ("/etc/kubernetes/pki/apiserver.key", "apiserver@cp-1", "apiserver", "single files"),
            ("/etc/kubernetes/pki/", "apiserver@cp-1", "apiserver", "not known"),
        ] {
            let own = restarts(mounted, replaced);
            let own: Vec<&ManualRestart> =
                own.iter().filter(|manual| manual.service.as_str() == "kube-vip").collect();
            let [manual] = own[..] else { panic!("{mounted}: {own:?}") };
            assert_eq!(manual.reads, [reads]);
            assert!(manual.because.as_ref().unwrap().contains(why), "{manual:?}");
            assert!(manual.how.contains("/etc/kubernetes/manifests/vip.yaml"), "{manual:?}");
        }
        for (mounted, replaced) in
            [("/etc/kubernetes/admin.conf", "apiserver@cp-1"), ("/etc/ssl/certs", "apiserver@cp-1")]
        {
            assert!(restarts(mounted, replaced).iter().all(|manual| manual.service.as_str() != "kube-vip"));
        }
    }
}
