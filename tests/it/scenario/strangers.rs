//! A CA of somebody else in the files by which a real kubeadm cluster judges clients: told as an alarm in every form, loaded and dropped by nobody, until the spec says what it is.
//! What is trusted is judged by the openssl program alone.
#![expect(
    clippy::disallowed_methods,
    reason = "the tests change the files of the nodes, and run openssl over them"
)]

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use pki::plan::model::outcome::Outcome;
use pki::plan::{Approval, Options, Phase};
use pki::protocol::facts::Observed;
use serde_json::Value;

use crate::support::by_hand;
use crate::support::cluster::{Cluster, NODES, ROOT, now};
use crate::support::listing::listing;

const BUNDLES: [&str; 3] = ["ca.crt", "etcd/ca.crt", "front-proxy-ca.crt"];
const LEAVES: [(&str, &str); 6] = [
    ("ca.crt", "apiserver.crt"),
    ("ca.crt", "apiserver-kubelet-client.crt"),
    ("etcd/ca.crt", "etcd/server.crt"),
    ("etcd/ca.crt", "etcd/peer.crt"),
    ("etcd/ca.crt", "apiserver-etcd-client.crt"),
    ("front-proxy-ca.crt", "front-proxy-client.crt"),
];

/// Commands for which a folder is there to put things aside.
fn by_hand(cluster: &Cluster, commands: &str) {
    by_hand::by_hand(cluster.path(), &format!("mkdir -p aside; {commands}"));
}

fn pki_of(cluster: &Cluster, node: &str) -> PathBuf {
    cluster.path().join(node).join("etc/kubernetes/pki")
}

/// Whether openssl takes a certificate for a client of whoever trusts a bundle.
fn is_let_in(certificate: &Path, bundle: &Path) -> bool {
    let mut openssl = Command::new("openssl");
    openssl
        .args(["verify", "-attime", &now().as_second().to_string(), "-CAfile"])
        .arg(bundle)
        .arg(certificate);
    openssl.output().unwrap().status.success()
}

/// The digests of the certificates in a file, one by one as openssl reads them.
fn digests(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap();
    let blocks =
        text.split_inclusive("-----END CERTIFICATE-----").filter(|block| block.contains("BEGIN CERT"));
    let digest = |block: &str| {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("one.crt");
        std::fs::write(&own, block).unwrap();
        let output = Command::new("openssl")
            .args(["x509", "-noout", "-fingerprint", "-sha256", "-in"])
            .arg(&own)
            .output();
        let text = String::from_utf8(output.unwrap().stdout).unwrap();
        text.trim().rsplit('=').next().unwrap().replace(':', "").to_lowercase()
    };
    blocks.map(digest).collect()
}

/// A cluster that trusts a CA of somebody else in one kind of bundle, on two nodes of three, and its digest. `aside/user.crt` is signed by that CA.
fn with_stranger(bundle: &str) -> (Cluster, String) {
    let cluster = Cluster::unpack();
    by_hand(
        &cluster,
        &format!(
            "new_ca aside/other other-cluster; \
             issue aside/user aside/other /O=system:masters/CN=anybody $CA_STARTS 20271121234434Z extendedKeyUsage=clientAuth; \
             for node in cp-1 cp-3; do cat aside/other.crt >>$node/$PKI/{bundle}; done"
        ),
    );
    let digest = digests(&cluster.path().join("aside/other.crt")).remove(0);
    (cluster, digest)
}

fn declare(cluster: &Cluster, authorities: &str) {
    let path = cluster.path().join("spec.yaml");
    let text = std::fs::read_to_string(Path::new(ROOT).join("tests/scenarios/spec.yaml")).unwrap();
    std::fs::write(
        path,
        text.replace("  nodes:\n", &format!("  authorities: {{ {authorities} }}\n  nodes:\n")),
    )
    .unwrap();
}

fn authority(bundle: &str) -> &'static str {
    match bundle {
        "ca.crt" => "ca",
        "etcd/ca.crt" => "etcd-ca",
        _ => "front-proxy-ca",
    }
}

/// How many alarms of a kind each form of the report has: the last line of the text, the JSON, the metrics; and how many test cases fail.
fn alarms(cluster: &Cluster, state: &str) -> [usize; 4] {
    let report = cluster.report();
    let text = report.text();
    let of_text = text.trim_end().rsplit("alarms ").next().unwrap().trim_end_matches('.').parse().unwrap();
    let json: Value = serde_json::to_value(&report.status).unwrap();
    let authorities = json["certificateAuthorities"].as_array().unwrap();
    let findings = authorities.iter().flat_map(|row| row["findings"].as_array().unwrap());
    let words: String = state
        .split('-')
        .enumerate()
        .map(|(at, word)| match at {
            0 => word.to_owned(),
            _ => {
                let (first, rest) = word.split_at(1);
                first.to_uppercase() + rest
            }
        })
        .collect();
    let of_json = findings.filter(|finding| finding["alarm"] == words.as_str()).count();
    let nothing = Observed { observed_at: now(), nodes: BTreeMap::new() };
    let metrics = pki::output::metrics(&[(&report.status, &nothing)]).unwrap();
    let of_metrics = metrics
        .lines()
        .filter(|line| line.starts_with("pki_alarm{") && line.contains(&format!("state=\"{state}\"")))
        .count();
    let junit = pki::output::junit_of_status([&report.status].into_iter());
    [of_text, of_json, of_metrics, junit.matches("<failure").count()]
}

#[test]
fn a_strangers_ca_is_an_alarm_and_goes_by_distrust_alone() {
    for bundle in BUNDLES {
        let (cluster, digest) = with_stranger(bundle);
        let name = authority(bundle);
        let user = cluster.path().join("aside/user.crt");
        let lets_in = |node: &str| is_let_in(&user, &pki_of(&cluster, node).join(bundle));
        assert_eq!(NODES.map(lets_in), [true, false, true], "{bundle}");

        // Told in every form, and nothing is done about it by itself.
        let [text, json, metrics, cases] = alarms(&cluster, "foreign-ca");
        // The two test cases are one: rows of CAs are by certificate, not by node.
        assert_eq!([text, json, metrics], [2, 2, 2], "{bundle}");
        assert_eq!(cases, 1, "{bundle}");
        let before = listing(cluster.path());
        let plan = cluster.plan(&Options::default());
        assert!(plan.visits.is_empty() && plan.blocked.is_empty(), "{bundle}: {:?}", plan.blocked);
        let told: Vec<String> = plan.elsewhere.iter().map(|told| told.address.to_string()).collect();
        assert_eq!(told, [format!("ca/{name}@cp-1"), format!("ca/{name}@cp-3")]);
        let help = plan.elsewhere[0].help.as_ref().unwrap();
        assert!(help.contains(&digest) && help.contains("distrust") && help.contains("alsoTrusts"), "{help}");
        cluster.apply(&plan);
        assert_eq!(listing(cluster.path()), before, "{bundle}");

        // What the spec trusts too stays, and is no alarm.
        declare(
            &cluster,
            &format!("{name}: {{ alsoTrusts: {{ \"sha256:{digest}\": \"a partner, SEC-12\" }} }}"),
        );
        assert_eq!(alarms(&cluster, "foreign-ca"), [0, 0, 0, 0], "{bundle}");
        let plan = cluster.plan(&Options::default());
        assert!(plan.is_empty(), "{bundle}: {}", pki::output::plan(&plan));
        let text = pki::output::plan(&plan).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("as the spec says: a partner, SEC-12"), "{text}");
        // On the node that lacks it that is noted, too.
        assert!(text.contains("does not hold it"), "{text}");

        // What the spec distrusts goes, by an approval of its own.
        declare(&cluster, &format!("{name}: {{ distrust: {{ \"sha256:{digest}\": \"INC-2301\" }} }}"));
        assert_eq!(alarms(&cluster, "foreign-ca")[..3], [0, 0, 0], "{bundle}");
        let plan = cluster.plan(&Options::default());
        let Approval::Upper { name: typed, why } = plan.approval() else {
            panic!("{bundle}: an ordinary yes")
        };
        assert_eq!(typed, format!("prod-eu1/{name}"));
        assert!(why.iter().any(|why| why.contains("none of this cluster's")), "{why:?}");
        assert!(
            plan.visits.iter().all(|visit| visit.phase == Phase::DropOld),
            "{}",
            pki::output::plan(&plan)
        );
        assert_eq!(cluster.apply(&plan).outcome, Outcome::Done);
        assert_eq!(NODES.map(lets_in), [false; 3], "{bundle}");
        for node in NODES {
            let pki = pki_of(&cluster, node);
            assert_eq!(digests(&pki.join(bundle)).len(), 1, "{bundle} on {node}");
            for (bundle, leaf) in LEAVES {
                assert!(is_let_in(&pki.join(leaf), &pki.join(bundle)), "{leaf} on {node}");
            }
        }
        let after = cluster.plan(&Options::default());
        assert!(after.is_empty(), "{bundle}: {}", pki::output::plan(&after));
    }
}

#[test]
fn what_stands_first_is_told_too() {
    // Whoever puts his CA before the cluster's own is no less of a stranger, and neither is one of the same name.
    for name in ["other-cluster", "kubernetes"] {
        let cluster = Cluster::unpack();
        by_hand(
            &cluster,
            &format!(
                "new_ca aside/other {name}; cat aside/other.crt cp-2/$PKI/ca.crt >aside/both.crt; cat aside/both.crt >cp-2/$PKI/ca.crt"
            ),
        );
        assert_eq!(alarms(&cluster, "foreign-ca")[1..3], [1, 1], "{name}: {}", cluster.report().text());
        // The signer is the one that the key fits, so all else can be renewed; what is done about the stranger its owner says.
        let before = listing(cluster.path());
        let plan = cluster.plan(&Options::default());
        let told: Vec<String> = plan.elsewhere.iter().map(|left| left.address.to_string()).collect();
        assert_eq!((plan.applicable, told), (true, vec!["ca/ca@cp-2".to_owned()]), "{name}");
        cluster.apply(&plan);
        assert_eq!(listing(cluster.path()), before, "{name}");
    }
}

#[test]
fn what_signed_something_or_has_its_key_here_is_begun_by_hand_and_stays() {
    let with_key = "cat aside/other.key >cp-3/$PKI/etcd/ca.key; cat aside/other.crt cp-3/$PKI/etcd/ca.crt >aside/both.crt; cat aside/both.crt >cp-3/$PKI/etcd/ca.crt; \
                    for node in cp-1 cp-2; do cat aside/other.crt >>$node/$PKI/etcd/ca.crt; done";
    let with_leaf = "for node in \"${NODES[@]}\"; do cat aside/other.crt >>$node/$PKI/etcd/ca.crt; done; \
                     reissue cp-2/$PKI/etcd/server aside/other 20261130000000Z 20271130000000Z";
    for (commands, evidence) in [
        (with_key, "its key is on cp-3"),
        (with_leaf, "it signed /etc/kubernetes/pki/etcd/server.crt on cp-2"),
    ] {
        let cluster = Cluster::unpack();
        by_hand(&cluster, &format!("new_ca aside/other etcd-ca-2026; {commands}"));
        let text = cluster.report().text().split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains("a rotation begun by hand") && text.contains(evidence), "{text}");
        assert_eq!(alarms(&cluster, "foreign-ca")[1..3], [0, 0], "{text}");
        let before = listing(cluster.path());
        let plan = cluster.plan(&Options::default());
        if plan.applicable {
            cluster.apply(&plan);
        }
        assert_eq!(listing(cluster.path()), before, "{}", pki::output::plan(&plan));
    }
}

#[test]
fn a_wish_that_no_plan_can_fulfil_is_blocked_and_an_alarm() {
    let own = digests(&pki_of(&Cluster::unpack(), "cp-1").join("ca.crt")).remove(0);
    let proxy = digests(&pki_of(&Cluster::unpack(), "cp-1").join("front-proxy-ca.crt")).remove(0);
    for wish in [
        format!("ca: {{ distrust: {{ \"sha256:{own}\": INC-1 }} }}"),
        format!("front-proxy-ca: {{ distrust: {{ \"sha256:{proxy}\": INC-1 }} }}"),
        "ca: { onExpiry: replace }".to_owned(),
        "front-proxy-ca: { onExpiry: replace, reissueIssuedBefore: \"2026-11-30T00:00:00Z\" }".to_owned(),
    ] {
        let cluster = Cluster::unpack();
        declare(&cluster, &wish);
        let plan = cluster.plan(&Options::default());
        assert!(!plan.applicable && !plan.blocked.is_empty(), "{wish}");
        let helps = plan.blocked.iter().filter_map(|blocked| blocked.help.as_ref());
        assert!(
            helps.into_iter().any(|help| help.contains("\"Manual Rotation of CA Certificates\"")),
            "{wish}"
        );
        let [text, json, metrics, cases] = alarms(&cluster, "cannot-be-done");
        assert!(
            text == 3 && json == 3 && metrics == 3 && cases > 0,
            "{wish}: {text} {json} {metrics} {cases}"
        );
    }
    for asked in ["ca/ca", "ca/etcd-ca@cp-1", "key/sa", "key/sa@cp-2"] {
        let options = Options { replace: vec![asked.parse().unwrap()], ..Options::default() };
        let plan = Cluster::unpack().plan(&options);
        assert!(!plan.applicable && plan.blocked.iter().all(|blocked| blocked.help.is_some()), "{asked}");
    }
    // Everything on a node means its certificates.
    let options = Options { replace: vec!["@cp-1".parse().unwrap()], ..Options::default() };
    assert!(Cluster::unpack().plan(&options).applicable);
}
