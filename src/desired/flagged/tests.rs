//! Start in agreement, have flags name files elsewhere, look at where the node should have them.

use std::collections::BTreeSet;

use super::*;
use crate::desired::hints::hints;
use crate::desired::{Desired, Hints, Survey, resolve};
use crate::formats::manifest::{ContainerFacts, Flags, HostMount, HostPathKind};
use crate::observe::survey::tests::{SPEC, agreement};
use crate::profile::Profile;
use crate::protocol::facts::{Answer, Content};
use crate::types::profile_name::ProfileName;

const NODE: &str = "cp-1";
const PKI: &str = "/etc/kubernetes/pki";

fn facts(survey: &mut Survey) -> &mut NodeFacts {
    match survey.observed.nodes.get_mut(NODE) {
        Some(Answer::Facts(facts)) => facts,
        other => panic!("{other:?}"),
    }
}

fn container<'a>(survey: &'a mut Survey, program: &str) -> &'a mut ContainerFacts {
    let path = format!("/etc/kubernetes/manifests/{program}.yaml");
    let Some(Seen::Present(file)) = facts(survey).files.get_mut(&path) else { panic!("{path}") };
    let Content::Manifest(pod) = &mut file.content else { panic!("{path}") };
    &mut pod.containers[0]
}

/// Gives a flag another value, which the container sees on the node under the same path.
fn name(survey: &mut Survey, program: &str, flag: &str, path: &str) {
    let container = container(survey, program);
    let all = container.flags.iter().flat_map(|(name, values)| values.iter().map(move |value| (name, value)));
    let others = all.filter(|(name, _)| *name != flag).map(|(name, value)| (name.to_owned(), value.clone()));
    container.flags = others.chain([(flag.to_owned(), path.to_owned())]).collect::<Flags>();
    let mount = HostMount {
        name: "elsewhere".to_owned(),
        host_path: "/elsewhere".to_owned(),
        mount_path: "/elsewhere".to_owned(),
        sub_path: None,
        kind: HostPathKind::Unset,
        read_only: true,
    };
    container.mounts.push(mount);
}

/// Every file that the node should have.
fn wanted(survey: &Survey) -> BTreeSet<String> {
    let spec = serde_saphyr::from_str(SPEC).unwrap();
    let profile = Profile::load(ProfileName::Kubeadm).unwrap();
    let roots = Default::default();
    let declared = resolve(&spec, &profile, &Hints::default(), &roots).unwrap();
    let desired: Desired = resolve(&spec, &profile, &hints(&declared, &survey.observed), &roots).unwrap();
    let node = &desired.nodes[NODE];
    let of_identities = node.identities.values().flat_map(|identity| identity.storage.files());
    let of_pairs = node.key_pairs.values().flat_map(|pair| [&pair.private, &pair.public]);
    let of_authorities = node.authorities.values().flat_map(|copy| [&copy.certificate, &copy.key]);
    of_identities.chain(of_pairs).chain(of_authorities).map(|file| file.path.clone()).collect()
}

/// What is wanted elsewhere now, and where it was wanted before.
fn moves(survey: &Survey) -> (Vec<String>, Vec<String>) {
    let (before, after) = (wanted(&agreement()), wanted(survey));
    let only = |of: &BTreeSet<String>, other: &BTreeSet<String>| of.difference(other).cloned().collect();
    (only(&after, &before), only(&before, &after))
}

/// Every flag that names a pair or a key, with where kubeadm has it.
fn flags() -> Vec<(&'static str, &'static str, String)> {
    let survey = agreement();
    let node = &survey.desired.nodes[NODE];
    let mut flags = Vec::new();
    for (program, certificate_flag, key_flag, name) in PAIRS {
        let Storage::Pair { certificate, key } = &node.identities[name].storage else { panic!("{name}") };
        flags.push((program, certificate_flag, certificate.path.clone()));
        flags.push((program, key_flag, key.path.clone()));
    }
    for (program, flag, name) in KUBECONFIGS {
        flags.push((program, flag, node.identities[name].storage.certificate_path().to_owned()));
    }
    flags.push(("kube-apiserver", "service-account-key-file", format!("{PKI}/sa.pub")));
    flags
}

#[test]
fn a_file_that_a_flag_names_elsewhere_is_wanted_there_and_no_other_file_moves() {
    for (program, flag, usual) in flags() {
        // Under the name that it has, and under another one.
        for called in ["server.pem", usual.rsplit_once('/').unwrap().1] {
            let mut survey = agreement();
            let there = format!("/elsewhere/{called}");
            name(&mut survey, program, flag, &there);
            assert_eq!(moves(&survey), (vec![there], vec![usual.clone()]), "{program} --{flag}");
        }
    }
}

#[test]
fn a_directory_is_where_most_of_its_files_are() {
    let mut survey = agreement();
    for (program, flag, usual) in flags() {
        if let Some(rest) = usual.strip_prefix(PKI) {
            name(&mut survey, program, flag, &format!("/elsewhere{rest}"));
        }
    }
    for (program, flag) in PRIVATE_KEYS {
        name(&mut survey, program, flag, "/elsewhere/sa.key");
    }
    let (there, usual) = moves(&survey);
    let moved: Vec<String> = usual.iter().map(|path| path.replace(PKI, "/elsewhere")).collect();
    assert_eq!(there, moved);
    // With the certificates of its authorities, of which no flag tells that they are elsewhere.
    assert!(there.contains(&"/elsewhere/front-proxy-ca.crt".to_owned()), "{there:?}");
    assert!(there.contains(&"/elsewhere/etcd/healthcheck-client.key".to_owned()), "{there:?}");
}

#[test]
fn a_trust_file_elsewhere_moves_nothing_while_the_authority_lies_where_the_layout_has_it() {
    let trust = AUTHORITIES.map(|(program, flag, _)| (program, flag));
    for (program, flag) in trust.into_iter().chain([("kube-apiserver", "etcd-cafile")]) {
        for called in ["bundle.crt", "ca.crt", "front-proxy-ca.crt"] {
            let mut survey = agreement();
            name(&mut survey, program, flag, &format!("/elsewhere/{called}"));
            assert_eq!(moves(&survey), (vec![], vec![]), "{program} --{flag} {called}");
        }
    }
}

#[test]
fn an_authority_that_is_only_where_its_flags_say_is_wanted_there() {
    let authorities: BTreeSet<&str> = AUTHORITIES.iter().map(|(_, _, name)| *name).collect();
    for authority in authorities {
        let mut survey = agreement();
        let copy = survey.desired.nodes[NODE].authorities[authority].clone();
        for (program, flag, _) in AUTHORITIES.iter().filter(|(_, _, name)| *name == authority) {
            name(&mut survey, program, flag, "/elsewhere/root.pem");
        }
        for (program, flag, _) in AUTHORITY_KEYS.iter().filter(|(_, _, name)| *name == authority) {
            name(&mut survey, program, flag, "/elsewhere/root-key.pem");
        }
        let files = &mut facts(&mut survey).files;
        for (from, to) in [(&copy.certificate, "/elsewhere/root.pem"), (&copy.key, "/elsewhere/root-key.pem")]
        {
            let there = files.insert(from.path.clone(), Seen::Absent).unwrap();
            files.insert(to.to_owned(), there);
        }
        let there = ["/elsewhere/root-key.pem", "/elsewhere/root.pem"].map(str::to_owned).to_vec();
        assert_eq!(moves(&survey), (there, vec![copy.certificate.path, copy.key.path]), "{authority}");
    }
}

#[test]
fn what_no_path_can_be_is_not_taken() {
    for path in ["/elsewhere/../../etc/shadow", "relative.crt", "/elsewhere/./../b.crt"] {
        let mut survey = agreement();
        name(&mut survey, "kube-apiserver", "tls-cert-file", path);
        assert_eq!(moves(&survey).0, Vec::<String>::new(), "{path}");
    }
}
