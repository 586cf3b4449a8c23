//! A pair that a running process still serves from memory, and that no longer works on disk: it can be planned and repaired, and what an undo would break is said.
#![expect(clippy::disallowed_methods, reason = "the tests change the files of a node and what was observed")]

use pki::output::schema::Document;
use serde_json::{Value, json};

use crate::contract::schema::conforms;
use crate::support::made::Made;
use crate::support::program::words;

const SERVER: &str = "/etc/kubernetes/pki/etcd/server.crt";

fn json_of(made: &Made, file: &str) -> Value {
    serde_json::from_slice(&std::fs::read(made.at(file)).unwrap()).unwrap()
}

#[test]
fn a_key_that_was_overwritten_below_a_running_member_is_replaced_with_the_risk_declared() {
    let made = Made::new();
    let etcd = made.at("cp-2/etc/kubernetes/pki/etcd");
    std::fs::copy(etcd.join("peer.key"), etcd.join("server.key")).unwrap();
    made.ends(0, &["observe", "-f", "spec.yaml", "-o", "facts.json"]);
    let mut facts = json_of(&made, "facts.json");
    let node = &mut facts["observed"]["nodes"]["cp-2"]["facts"];
    let certificate = node["files"][SERVER]["present"]["content"]["pem"]["certificates"][0].clone();
    assert!(!certificate.is_null(), "{node}");
    // The member started before that, and serves what it has read then.
    node["services"] = json!({ "etcd": { "endpoints": [{
        "port": 2379,
        "address": "10.0.0.12",
        "serves": "etcd-server",
        "probe": { "served": { "certificate": certificate, "client": "required" } },
        "process": "absent",
    }] } });
    std::fs::write(made.at("running.json"), facts.to_string()).unwrap();
    let text = made.ends(0, &["plan", "-f", "spec.yaml", "--facts", "running.json", "-o", "plan.json"]);
    assert!(text.contains("etcd-server @ cp-2"), "{text}");
    assert!(words(&text).contains("if the changes on cp-2 have to be undone, this breaks: "), "{text}");
    assert!(!text.contains("--confirm"), "a yes is enough: {text}");
    let plan = json_of(&made, "plan.json");
    conforms(Document::Plan, &plan).unwrap();
    let risks = plan["checked"]["ifUndone"].as_array().unwrap();
    let is_known = |risk: &Value| risk["node"] == "cp-2" && risk["alsoWithoutPlan"] == true;
    assert!(!risks.is_empty() && risks.iter().all(is_known), "{risks:?}");
    assert_eq!(made.ends(0, &["show", "plan.json"]), text);
    made.ends(0, &["apply", "-f", "spec.yaml", "--yes"]);
    made.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    made.no_secret_was_told();
}
