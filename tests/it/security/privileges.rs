//! What gives more than the profile does: who has to approve it, what a timer does about it, and what is ordinary ever after.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

use crate::support::made::{Made, Spec};
use crate::support::program;

/// A cluster admin that no profile has.
const METRICS: &str = "  certificates: { metrics: { authority: ca, subject: { commonName: metrics, organizations: [\"system:masters\"] }, usages: [client], files: { certificate: /etc/m/tls.crt, key: /etc/m/tls.key, mode: \"0644\" }, on: { nodes: [cp-1] } } }\n";

fn digest(made: &Made) -> String {
    let saved = made.pki(&["plan", "-f", "spec.yaml", "-o", "plan.json"]);
    let told = program::stderr(&saved);
    told.split_whitespace().find(|word| word.starts_with("sha256:")).unwrap().to_owned()
}

#[test]
fn a_timer_leaves_a_privileged_certificate_out_does_the_rest_and_goes_on_after_one_approval() {
    let made = Made::new();
    made.spec(&Spec { more: METRICS, ..Spec::default() });
    let key = made.at("cp-1/etc/m/tls.key");
    let pair = made.at("cp-2/etc/kubernetes/pki/apiserver.crt");
    let read = || std::fs::read(&pair).unwrap();

    let before = read();
    let told = made.ends(6, &["apply", "-f", "spec.yaml", "--unattended", "--replace", "apiserver@cp-2"]);
    assert!(!key.exists() && read() != before, "{told}");
    assert!(
        told.contains("it waits for an approval: a client certificate in the group system:masters"),
        "{told}"
    );
    // Alone it leaves everything as it is.
    let before = made.listing();
    made.ends(6, &["apply", "-f", "spec.yaml", "--unattended"]);
    let refused = made.pki(&["apply", "-f", "spec.yaml", "--yes"]);
    assert_eq!(program::code(&refused), 6, "{}", program::stderr(&refused));
    assert!(
        program::stderr(&refused).contains("--confirm prod-eu1/privilege"),
        "{}",
        program::stderr(&refused)
    );
    assert_eq!(made.listing(), before);

    let digest = digest(&made);
    let shown = made.ends(0, &["show", "plan.json"]);
    let head: Vec<&str> = shown.lines().take(9).collect();
    assert!(
        head.join("\n").contains("metrics @ cp-1: a client certificate in the group system:masters"),
        "{shown}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&made.ends(0, &["show", "plan.json", "--format", "json"])).unwrap();
    assert_eq!(json["privileges"].as_array().unwrap().len(), 2, "{json}");
    made.ends(6, &["apply", "plan.json", "--yes", "--expect-digest", &digest]);
    made.ends(0, &["apply", "plan.json", "--confirm", "prod-eu1/privilege", "--expect-digest", &digest]);
    let before = std::fs::read(&key).unwrap();

    // What it has is ordinary from now on, also for a timer.
    made.ends(0, &["apply", "-f", "spec.yaml", "--unattended", "--replace", "metrics@cp-1"]);
    assert_ne!(std::fs::read(&key).unwrap(), before);
    made.spec(&Spec {
        more: &METRICS.replace("[\"system:masters\"]", "[\"system:masters\", ops]"),
        ..Spec::default()
    });
    let told = made.ends(6, &["apply", "-f", "spec.yaml", "--unattended"]);
    assert!(told.contains("adds the group ops to a certificate that lacks it"), "{told}");
}

/// The text without the breaks that keep its lines short.
fn in_one_line(text: &str) -> String {
    text.split_whitespace().filter(|word| *word != "|").collect::<Vec<_>>().join(" ")
}

#[test]
fn a_name_that_reads_as_a_privileged_one_is_no_spec() {
    let made = Made::empty();
    made.spec(&Spec { more: &METRICS.replace("system:masters", "s\u{443}stem:masters"), ..Spec::default() });
    let refused = made.pki(&["validate", "spec.yaml"]);
    assert_eq!(program::code(&refused), 65);
    let told = in_one_line(&program::stderr(&refused));
    assert!(
        told.contains("PKI1046") && told.contains(r"`s\u{443}stem:masters` reads as `system:masters`"),
        "{told}"
    );
    made.spec(&Spec {
        more: &METRICS.replace("commonName: metrics", "commonName: \"m\u{435}trics\""),
        ..Spec::default()
    });
    let told = in_one_line(&made.ends(0, &["plan", "-f", "spec.yaml"]));
    assert!(told.contains(r"two scripts in one word: m\u{435}trics"), "{told}");
    assert!(!told.contains('\u{435}'), "it is spelled out wherever it stands: {told}");
}

#[test]
fn a_machine_is_not_adopted_under_another_name_than_its_own() {
    let made = Made::new();
    std::fs::remove_file(made.at("spec.yaml")).unwrap();
    let before = made.listing();
    let refused = made.pki(&["adopt", "--root", "node1=cp-1", "-o", "adopted.yaml"]);
    assert_eq!(program::code(&refused), 3, "{}", program::stderr(&refused));
    assert!(program::stderr(&refused).contains("this machine is node cp-1"), "{}", program::stderr(&refused));
    assert_eq!(made.listing(), before, "nothing was written");
    made.ends(0, &["adopt", "--root", "cp-1=cp-1", "-o", "adopted.yaml"]);
}
