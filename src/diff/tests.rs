//! Start in agreement, change one thing, look at the findings. What needs other certificates is in `tests/scenarios`.

use crate::desired::Survey;
use std::collections::{BTreeMap, BTreeSet};

use super::key_pair::odd_ones_out;
use super::*;
use crate::desired::Decided;
use crate::observe::survey::tests;
use crate::observe::survey::tests::now;
use crate::protocol::facts::{Content, FileFacts, FileKind, Hop, Seen, ServedBy};
use crate::types::scalars::FileMode;
use crate::types::storage::Storage;
use crate::x509::Sha256;

const CA: &str = "/etc/kubernetes/pki/ca.crt";
const CERTIFICATE: &str = "/etc/kubernetes/pki/apiserver.crt";
const KEY: &str = "/etc/kubernetes/pki/apiserver.key";

fn second() -> jiff::SignedDuration {
    jiff::SignedDuration::from_secs(1)
}

/// A cluster in which everything is as it should be.
pub(super) fn agreement() -> World {
    let Survey { desired, observed } = tests::agreement();
    World { desired, observed, now: now() }
}

pub(super) struct World {
    pub(super) desired: Desired,
    pub(super) observed: Observed,
    pub(super) now: Timestamp,
}

impl World {
    pub(super) fn node(&mut self, node: &str) -> &mut NodeFacts {
        match self.observed.nodes.get_mut(node).unwrap() {
            Answer::Facts(facts) => facts,
            Answer::Unreachable { reason } => panic!("{reason}"),
            Answer::Skipped => panic!("it was not asked"),
        }
    }

    pub(super) fn file(&mut self, node: &str, path: &str) -> &mut FileFacts {
        match self.node(node).files.get_mut(path).unwrap() {
            Seen::Present(file) => file,
            seen @ (Seen::Absent | Seen::Dangling { .. } | Seen::Looping { .. } | Seen::Unknown { .. }) => {
                panic!("{path}: {seen:?}")
            }
        }
    }

    pub(super) fn see(&mut self, node: &str, path: &str, seen: Seen<FileFacts>) {
        self.node(node).files.insert(path.to_owned(), seen);
    }

    pub(super) fn identity(&mut self, node: &str, name: &str) -> &mut crate::desired::DesiredIdentity {
        self.desired.nodes.get_mut(node).unwrap().identities.get_mut(name).unwrap()
    }

    fn certificate(&mut self, node: &str, path: &str) -> crate::x509::CertificateFacts {
        self.file(node, path).content.pem().unwrap().certificates[0].facts().clone()
    }

    /// Every finding, as `ADDRESS effect Reason`; that kubelets do not renew is the one thing to say of a cluster in agreement.
    pub(super) fn findings(&self) -> Vec<String> {
        let differences = diff(&self.desired, &self.observed, self.now);
        let findings = differences.findings.iter().flat_map(|(address, findings)| {
            findings.iter().map(move |finding| (address.to_string(), finding))
        });
        findings
            .filter(|(_, finding)| finding.reason != Reason::KubeletDoesNotRotate)
            .map(|(address, finding)| format!("{address} {:?} {}", finding.effect, finding.reason.name()))
            .collect()
    }

    /// The findings about one thing.
    pub(super) fn of(&self, address: &str) -> Vec<String> {
        let prefix = format!("{address} ");
        self.findings().into_iter().filter_map(|line| line.strip_prefix(&prefix).map(str::to_owned)).collect()
    }
}

fn unknown() -> Seen<FileFacts> {
    Seen::Unknown { reason: "permission denied".to_owned() }
}

#[test]
fn a_cluster_in_agreement_has_no_findings() {
    assert!(agreement().findings().is_empty(), "{:#?}", agreement().findings());
}

#[test]
fn a_certificate_is_due_when_exactly_its_window_remains_and_expired_only_after_its_last_second() {
    let mut world = agreement();
    let end = world.certificate("cp-1", CERTIFICATE).not_after;
    let window = Duration::from_days(30);
    for (now, expected) in [
        (window.before(end) - second(), None),
        (window.before(end), Some("Due ExpiresSoon")),
        (end, Some("Due ExpiresSoon")),
        (end + second(), Some("Due Expired")),
    ] {
        world.now = now;
        assert_eq!(world.of("apiserver@cp-1"), Vec::from_iter(expected.map(str::to_owned)), "{now}");
    }
}

#[test]
fn a_window_of_its_own_counts_and_is_named() {
    let mut world = agreement();
    let end = world.certificate("cp-2", CERTIFICATE).not_after;
    let path = ["spec", "certificates", "apiserver", "renewBefore"];
    world.identity("cp-2", "apiserver").renew_before = Decided::declared(Duration::from_days(90), &path);
    world.now = Duration::from_days(90).before(end);
    assert_eq!(world.findings(), ["apiserver@cp-2 Due ExpiresSoon"]);
    let differences = diff(&world.desired, &world.observed, world.now);
    let by = differences.findings.values().flatten().find_map(|finding| finding.decided_by.clone());
    assert_eq!(by.unwrap(), path);
}

#[test]
fn an_authority_is_due_when_its_window_remains_and_blocks_once_it_has_ended() {
    let mut world = agreement();
    let end = world.certificate("cp-1", CA).not_after;
    for (now, expected) in [
        (Duration::from_days(30).before(end) - second(), None),
        (Duration::from_days(30).before(end), Some("Due ExpiresSoon")),
        (end, Some("Due ExpiresSoon")),
        (end + second(), Some("Blocks Expired")),
    ] {
        world.now = now;
        assert_eq!(world.of("ca/ca@cp-1"), Vec::from_iter(expected.map(str::to_owned)), "{now}");
    }
}

#[test]
fn a_certificate_is_valid_from_its_first_second_on() {
    let mut world = agreement();
    world.now = world.certificate("cp-1", CERTIFICATE).not_before;
    assert!(world.of("apiserver@cp-1").iter().all(|finding| !finding.ends_with("NotYetValid")));
    world.now -= second();
    assert_eq!(world.of("apiserver@cp-1"), ["Due NotYetValid"]);
    world.now = world.certificate("cp-1", CA).not_before - second();
    assert_eq!(world.of("ca/ca@cp-1"), ["Blocks NotYetValid"]);
}

#[test]
fn what_was_issued_at_the_cut_off_itself_stays() {
    let mut world = agreement();
    let not_before = world.certificate("cp-1", CERTIFICATE).not_before;
    let mut cut_off = |cut_off| {
        let path = ["spec", "authorities", "ca", "reissueIssuedBefore"];
        world.desired.authorities.get_mut("ca").unwrap().reissue_issued_before =
            Some(Decided::declared(cut_off, &path));
        world.of("apiserver@cp-1")
    };
    assert!(cut_off(not_before).is_empty());
    assert_eq!(cut_off(not_before + second()), ["Due IssuedBefore"]);
}

#[test]
fn modes_that_grant_less_are_as_good() {
    let mut world = agreement();
    for mode in [0o600, 0o400, 0o200, 0o000] {
        world.file("cp-1", KEY).mode = mode;
        assert!(world.findings().is_empty(), "{mode:o}");
    }
    for mode in [0o640, 0o604, 0o610, 0o700, 0o4600, 0o1600] {
        world.file("cp-1", KEY).mode = mode;
        assert_eq!(world.findings(), ["apiserver@cp-1 Due PermissionsDiffer"], "{mode:o}");
    }
    world.file("cp-1", KEY).mode = 0o640;
    let Storage::Pair { key, .. } = &mut world.identity("cp-1", "apiserver").storage else { panic!() };
    key.mode = "0640".parse::<FileMode>().unwrap();
    assert!(world.findings().is_empty());
    world.file("cp-2", CA).mode = 0o666;
    assert_eq!(world.findings(), ["ca/ca@cp-2 Due PermissionsDiffer"]);
}

#[test]
fn every_kind_of_file_has_a_mode_to_keep() {
    for (path, address) in [
        (CERTIFICATE, "apiserver@cp-1"),
        (KEY, "apiserver@cp-1"),
        (CA, "ca/ca@cp-1"),
        ("/etc/kubernetes/pki/ca.key", "ca/ca@cp-1"),
        ("/etc/kubernetes/pki/sa.key", "key/sa@cp-1"),
        ("/etc/kubernetes/pki/sa.pub", "key/sa@cp-1"),
        ("/etc/kubernetes/admin.conf", "admin.conf@cp-1"),
        ("/etc/kubernetes/kubelet.conf", "kubelet.conf@cp-1"),
    ] {
        let mut world = agreement();
        world.file("cp-1", path).mode = 0o666;
        assert_eq!(world.findings(), [format!("{address} Due PermissionsDiffer")], "{path}");
    }
}

#[test]
fn who_is_not_root_stands_for_root() {
    let mut world = agreement();
    let mut owned = |served: u32, owner: u32, group: u32| {
        world.node("cp-1").served_by = ServedBy { uid: served, gid: served };
        let file = world.file("cp-1", KEY);
        (file.uid, file.gid) = (owner, group);
        world.of("apiserver@cp-1").iter().any(|finding| finding == "Due OwnerDiffers")
    };
    assert!(!owned(0, 0, 0) && owned(0, 1000, 0) && owned(0, 0, 1000));
    assert!(
        !owned(1000, 1000, 1000) && !owned(1000, 0, 0) && owned(1000, 1001, 1000) && owned(1000, 1000, 1001)
    );
}

#[test]
fn a_declared_owner_is_compared_by_name_and_without_one_by_number() {
    let mut world = agreement();
    let Storage::Pair { key, .. } = &mut world.identity("cp-1", "apiserver").storage else { panic!() };
    (key.user, key.group) = ("etcd".to_owned(), "998".to_owned());
    let mut owned = |user: Option<&str>, uid: u32, group: Option<&str>, gid: u32| {
        let file = world.file("cp-1", KEY);
        (file.owner, file.uid) = (user.map(str::to_owned), uid);
        (file.group, file.gid) = (group.map(str::to_owned), gid);
        world.findings()
    };
    assert!(owned(Some("etcd"), 52034, None, 998).is_empty());
    let differs = ["apiserver@cp-1 Due OwnerDiffers"];
    assert_eq!(owned(Some("etcd"), 52034, Some("staff"), 998), differs);
    assert_eq!(owned(Some("root"), 0, None, 998), differs);
    assert_eq!(owned(None, 52034, None, 998), differs);
}

#[test]
fn a_clock_may_be_a_minute_off_and_no_more() {
    for (seconds, expected) in [(60, false), (-60, false), (61, true), (-61, true)] {
        let mut world = agreement();
        world.node("cp-2").clock = now() + jiff::SignedDuration::from_secs(seconds);
        let expected = if expected { vec!["node@cp-2 Blocks ClockSkew".to_owned()] } else { Vec::new() };
        assert_eq!(world.findings(), expected, "{seconds}");
    }
}

#[test]
fn what_could_not_be_seen_is_unknown_and_neither_missing_nor_wrong() {
    for (path, address) in [
        (CERTIFICATE, "apiserver@cp-1"),
        (KEY, "apiserver@cp-1"),
        (CA, "ca/ca@cp-1"),
        ("/etc/kubernetes/pki/ca.key", "ca/ca@cp-1"),
        ("/etc/kubernetes/pki/sa.key", "key/sa@cp-1"),
        ("/etc/kubernetes/pki/sa.pub", "key/sa@cp-1"),
        ("/etc/kubernetes/admin.conf", "admin.conf@cp-1"),
        ("/etc/kubernetes/pki", "dir/pki@cp-1"),
    ] {
        let mut world = agreement();
        world.see("cp-1", path, unknown());
        assert!(world.of(address).contains(&"Unknown Unknown".to_owned()), "{path}: {:?}", world.findings());
        let all = world.findings();
        assert!(all.iter().all(|finding| finding.ends_with(" Unknown Unknown")), "{path}: {all:?}");
        let mut world = agreement();
        world.node("cp-1").files.remove(path);
        assert!(
            world.findings().iter().all(|finding| finding.ends_with(" Unknown Unknown")),
            "{path} was not looked at"
        );
    }
}

#[test]
fn a_file_that_could_not_be_read_is_unknown_too() {
    for (path, address) in
        [(KEY, "apiserver@cp-1"), (CA, "ca/ca@cp-1"), ("/etc/kubernetes/admin.conf", "admin.conf@cp-1")]
    {
        let mut world = agreement();
        world.file("cp-1", path).content = Content::Unreadable { reason: "input/output error".to_owned() };
        assert_eq!(world.findings(), [format!("{address} Unknown Unknown")], "{path}");
    }
}

#[test]
fn a_node_that_was_not_asked_is_unknown() {
    let mut world = agreement();
    world.observed.nodes.remove("cp-3");
    assert_eq!(world.findings(), ["node@cp-3 Unknown Unknown"]);
}

#[test]
fn a_key_that_is_nowhere_is_lost_unless_the_spec_says_that_it_is_elsewhere() {
    let mut world = agreement();
    for node in ["cp-1", "cp-2", "cp-3"] {
        world.see(node, "/etc/kubernetes/pki/front-proxy-ca.key", Seen::Absent);
    }
    let lost = ["cp-1", "cp-2", "cp-3"].map(|node| format!("ca/front-proxy-ca@{node} Note AuthorityKeyLost"));
    assert_eq!(world.findings(), lost);
    world.desired.authorities.get_mut("front-proxy-ca").unwrap().external = true;
    assert!(world.findings().is_empty());
    world.desired.authorities.get_mut("front-proxy-ca").unwrap().external = false;
    world.see("cp-2", "/etc/kubernetes/pki/front-proxy-ca.key", unknown());
    let unknown = ["cp-1", "cp-2", "cp-3"].map(|node| format!("ca/front-proxy-ca@{node} Unknown Unknown"));
    assert_eq!(world.findings(), unknown, "it may be on cp-2");
}

#[test]
fn an_authority_that_is_missing_is_said_once_and_its_leaves_are_not_called_wrong() {
    let mut world = agreement();
    for path in ["/etc/kubernetes/pki/front-proxy-ca.crt", "/etc/kubernetes/pki/front-proxy-ca.key"] {
        world.see("cp-3", path, Seen::Absent);
    }
    assert_eq!(world.findings(), ["ca/front-proxy-ca@cp-3 Due Missing"]);
}

#[test]
fn absence_is_fine_where_it_is_optional() {
    let mut world = agreement();
    world.see("cp-1", "/etc/kubernetes/admin.conf", Seen::Absent);
    assert_eq!(world.findings(), ["admin.conf@cp-1 Due Missing"]);
    world.identity("cp-1", "admin.conf").optional = true;
    assert!(world.findings().is_empty());
    world.see("cp-1", "/etc/kubernetes/admin.conf", unknown());
    assert_eq!(world.findings(), ["admin.conf@cp-1 Unknown Unknown"]);
}

#[test]
fn names_that_nobody_could_work_out_are_not_asked_for() {
    let mut world = agreement();
    let names = &mut world.identity("cp-1", "apiserver").names;
    names.unresolved.insert("{somewhere}".to_owned());
    assert!(world.findings().is_empty());
    world.identity("cp-1", "apiserver").names.dns.insert("API.PROD-EU1.EXAMPLE".to_owned());
    assert!(world.findings().is_empty(), "DNS names compare without case");
    world.identity("cp-1", "apiserver").names.dns.insert("api.prod-eu2.example".to_owned());
    assert_eq!(world.findings(), ["apiserver@cp-1 Due NamesMissing"]);
}

#[test]
fn more_names_are_wrong_only_when_the_spec_lists_all() {
    let mut world = agreement();
    world.identity("cp-1", "apiserver").names.dns.remove("kubernetes");
    assert!(world.findings().is_empty());
    world.identity("cp-1", "apiserver").names.exact = true;
    assert_eq!(world.findings(), ["apiserver@cp-1 Due NamesUnwanted"]);
}

#[test]
fn an_organization_more_or_less_is_another_subject() {
    let mut world = agreement();
    let identity = world.identity("cp-1", "admin.conf");
    identity.accepted_subjects[0].organizations.push("ops".to_owned());
    assert_eq!(world.findings(), ["admin.conf@cp-1 Due SubjectDiffers"]);
    world.identity("cp-1", "admin.conf").accepted_subjects[0].organizations = Vec::new();
    assert_eq!(world.findings(), ["admin.conf@cp-1 Due SubjectDiffers"]);
}

#[test]
fn a_further_usage_is_no_fault_and_a_missing_one_is() {
    let mut world = agreement();
    world.identity("cp-1", "etcd-peer").usages = BTreeSet::from([crate::types::certificate::Usage::Client]);
    assert!(world.findings().is_empty());
    world.identity("cp-1", "apiserver").usages.insert(crate::types::certificate::Usage::Client);
    assert_eq!(world.findings(), ["apiserver@cp-1 Due UsagesDiffer"]);
}

#[test]
fn another_algorithm_is_wrong_only_when_one_is_declared() {
    let mut world = agreement();
    let path = ["spec", "certificates", "apiserver", "keyAlgorithm"];
    world.identity("cp-1", "apiserver").key_algorithm =
        Some(Decided::declared(crate::types::certificate::NewKeyAlgorithm::EcdsaP256, &path));
    assert_eq!(world.findings(), ["apiserver@cp-1 Due KeyAlgorithmDiffers"]);
    world.identity("cp-1", "apiserver").key_algorithm =
        Some(Decided::declared(crate::types::certificate::NewKeyAlgorithm::Rsa2048, &path));
    assert!(world.findings().is_empty());
}

#[test]
fn what_the_kubelet_renews_is_not_measured_by_the_algorithm_of_what_is_issued_here() {
    let mut world = agreement();
    let key = world.file("cp-1", KEY).content.pem().unwrap().keys.clone();
    let Content::Pem(both) = &mut world.file("cp-1", CERTIFICATE).content else { panic!() };
    both.keys = key;
    let own = world.identity("cp-1", "apiserver");
    let Storage::Pair { certificate, .. } = own.storage.clone() else { panic!() };
    own.storage = Storage::Combined { file: certificate };
    own.key_algorithm =
        Some(Decided::declared(crate::types::certificate::NewKeyAlgorithm::EcdsaP256, &["spec"]));
    assert_eq!(world.findings(), ["apiserver@cp-1 Due KeyAlgorithmDiffers"]);
    world.identity("cp-1", "apiserver").rotated_by_kubelet = true;
    assert_eq!(world.findings(), ["apiserver@cp-1 Note KubeletRotates"]);
}

/// A directory that should be a link, seen through these hops.
fn linked(target: &str, seen: impl Fn(Vec<Hop>, FileFacts) -> Seen<FileFacts>) -> Vec<String> {
    let mut world = agreement();
    let directory = world.file("cp-1", "/etc/kubernetes/pki").clone();
    let wanted = world.desired.nodes.get_mut("cp-1").unwrap().directories.get_mut("pki").unwrap();
    (wanted.path, wanted.link) = ("/data/pki".to_owned(), Some("/etc/kubernetes/pki".to_owned()));
    let hops = vec![Hop { path: "/etc/kubernetes/pki".to_owned(), target: target.to_owned() }];
    world.see("cp-1", "/data/pki", Seen::Present(directory.clone()));
    world.see("cp-1", "/etc/kubernetes/pki", seen(hops, directory));
    world.of("dir/pki@cp-1")
}

#[test]
fn a_link_may_be_absolute_or_relative_as_long_as_it_leads_there() {
    let followed = |hops, directory| Seen::Present(FileFacts { hops, ..directory });
    for target in ["/data/pki", "/data/pki/", "../../data/pki", "../../data/./pki", "../../srv/../data/pki"] {
        assert!(linked(target, followed).is_empty(), "{target}");
    }
    for target in ["/data/pki2", "/data", "../data/pki", "data/pki"] {
        assert_eq!(linked(target, followed), ["Blocks LinkDiffers"], "{target}");
    }
}

#[test]
fn a_link_that_leads_to_no_directory_is_told_by_what_is_there() {
    let missing = |hops, _| Seen::Dangling { hops, missing: "/data/pki".to_owned() };
    assert_eq!(linked("/data/pki", missing), ["Due LinkDangling"]);
    assert_eq!(linked("/gone", missing), ["Blocks LinkDiffers"]);
    assert_eq!(linked("/data/pki", |hops, _| Seen::Looping { hops }), ["Blocks LinkLoops"]);
    assert_eq!(linked("/data/pki", |_, _| Seen::Absent), ["Due LinkMissing"]);
    assert_eq!(linked("/data/pki", |_, _| unknown()), ["Unknown Unknown"]);
    assert_eq!(linked("/data/pki", |_, directory| Seen::Present(directory)), ["Blocks CannotMove"]);
    let file = |hops, directory| Seen::Present(FileFacts { hops, kind: FileKind::Regular, ..directory });
    assert_eq!(linked("/data/pki", file), ["Blocks NotADirectory"]);
    let file = |_, directory| Seen::Present(FileFacts { kind: FileKind::Regular, ..directory });
    assert_eq!(linked("/data/pki", file), ["Blocks LinkIsFile"]);
}

/// The finding where a real directory stands in the place of the link, and this at the place where it should be.
fn in_the_way(migrate: bool, there: impl FnOnce(FileFacts) -> Seen<FileFacts>) -> String {
    let mut world = agreement();
    let directory = world.file("cp-1", "/etc/kubernetes/pki").clone();
    let wanted = world.desired.nodes.get_mut("cp-1").unwrap().directories.get_mut("pki").unwrap();
    (wanted.path, wanted.link) = ("/data/pki".to_owned(), Some("/etc/kubernetes/pki".to_owned()));
    wanted.migrate = migrate;
    world.see("cp-1", "/data/pki", there(directory));
    world.of("dir/pki@cp-1").join(", ")
}

#[test]
fn a_directory_is_moved_only_where_that_is_declared_and_nothing_is() {
    let holding = |entries: &[&str]| {
        let entries = entries.iter().map(|name| (*name).to_owned()).collect();
        |directory| {
            let content = Content::Directory { entries, complete: true };
            Seen::Present(FileFacts { content, ..directory })
        }
    };
    let link = |directory| {
        let hops = vec![Hop { path: "/data/pki".to_owned(), target: "/etc/kubernetes/pki".to_owned() }];
        Seen::Present(FileFacts { hops, ..directory })
    };
    assert_eq!(in_the_way(true, |_| Seen::Absent), "Due LinkIsDirectory");
    assert_eq!(in_the_way(true, holding(&[])), "Due LinkIsDirectory");
    assert_eq!(in_the_way(false, |_| Seen::Absent), "Blocks LinkIsDirectory");
    assert_eq!(in_the_way(true, |_| unknown()), "Unknown Unknown");
    for migrate in [true, false] {
        assert_eq!(in_the_way(migrate, holding(&["ca.crt"])), "Blocks CannotMove");
        assert_eq!(in_the_way(migrate, link), "Blocks CannotMove");
        assert_eq!(in_the_way(migrate, |_| Seen::Looping { hops: Vec::new() }), "Blocks CannotMove");
        let file = |directory| {
            let content = Content::NotRead;
            Seen::Present(FileFacts { kind: FileKind::Regular, content, ..directory })
        };
        assert_eq!(in_the_way(migrate, file), "Blocks CannotMove");
    }
}

#[test]
fn a_link_that_was_never_made_hides_nothing() {
    let mut world = agreement();
    let wanted = world.desired.nodes.get_mut("cp-1").unwrap().directories.get_mut("pki").unwrap();
    (wanted.path, wanted.link) = ("/data/pki".to_owned(), Some("/etc/kubernetes/pki".to_owned()));
    world.see("cp-1", "/data/pki", Seen::Absent);
    world.see("cp-1", "/etc/kubernetes/pki", Seen::Absent);
    for path in [CERTIFICATE, KEY] {
        world.see("cp-1", path, Seen::Absent);
    }
    assert_eq!(world.findings(), ["apiserver@cp-1 Due Missing", "dir/pki@cp-1 Due LinkMissing"]);
}

#[test]
fn the_gravest_effect_comes_first() {
    let effects = [Effect::Blocks, Effect::Unknown, Effect::Due, Effect::Note];
    assert!(effects.is_sorted());
    let mut world = agreement();
    assert_eq!(diff(&world.desired, &world.observed, now()).gravest(), Some(Effect::Note));
    world.file("cp-1", KEY).mode = 0o644;
    assert_eq!(diff(&world.desired, &world.observed, now()).gravest(), Some(Effect::Due));
    world.see("cp-2", KEY, unknown());
    assert_eq!(diff(&world.desired, &world.observed, now()).gravest(), Some(Effect::Unknown));
    world.node("cp-3").clock = "2026-12-02T00:00:00Z".parse().unwrap();
    assert_eq!(diff(&world.desired, &world.observed, now()).gravest(), Some(Effect::Blocks));
}

fn held(values: &[(&str, &str)]) -> Vec<(String, Vec<String>)> {
    let names: Vec<NodeName> = values.iter().map(|(node, _)| node.parse().unwrap()).collect();
    let by_node: BTreeMap<&NodeName, Sha256> =
        names.iter().zip(values).map(|(node, (_, value))| (node, Sha256::of(value.as_bytes()))).collect();
    let odd = odd_ones_out(&by_node).into_iter();
    odd.map(|(node, reason)| {
        let Reason::DiffersBetweenNodes { others, .. } = reason else { panic!("{reason:?}") };
        (node.to_string(), others.iter().map(ToString::to_string).collect())
    })
    .collect()
}

#[test]
fn nodes_that_hold_the_same_are_in_agreement() {
    assert!(held(&[("cp-1", "a"), ("cp-2", "a"), ("cp-3", "a")]).is_empty());
    assert!(held(&[]).is_empty());
}

#[test]
fn the_odd_one_out_is_named_with_those_that_agree() {
    let others = vec!["cp-1".to_owned(), "cp-3".to_owned()];
    assert_eq!(held(&[("cp-1", "a"), ("cp-2", "b"), ("cp-3", "a")]), [("cp-2".to_owned(), others)]);
}

#[test]
fn without_a_majority_every_node_that_differs_from_the_first_is_named() {
    assert_eq!(held(&[("cp-1", "a"), ("cp-2", "b")]), [("cp-2".to_owned(), vec!["cp-1".to_owned()])]);
}

#[test]
fn what_the_nodes_hold_comes_with_the_findings_and_without_any() {
    let world = agreement();
    let (found, held) = (
        diff(&world.desired, &world.observed, now()),
        Differences::without_findings(&world.desired, &world.observed, now()),
    );
    assert!(held.findings.is_empty());
    assert_eq!((found.authorities(), found.identities()), (held.authorities(), held.identities()));
    assert_eq!((found.successions(), found.shared()), (held.successions(), held.shared()));
    assert_eq!(found.identities().len(), world.desired.nodes.len());
    let accepted = found.accepting(&["/etc/kubernetes/pki/ca.crt".to_owned()].into());
    assert!(std::ptr::eq(found.authorities(), accepted.authorities()), "made once");
}
