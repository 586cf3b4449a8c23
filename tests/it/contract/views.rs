//! No view of what the nodes hold knows less than another: each alarm is in the text, in JSON, in the metrics, in JUnit and in the exit code.

use std::collections::BTreeSet;

use pki::output::status_report::{AlarmState, FailedRenewal, InterruptedRun, NotInUse, OtherStatus, Status};
use pki::protocol::facts::Observed;
use pki::types::names::NodeName;
use serde_json::Value;

use crate::support::cluster::Cluster;

/// The words for an alarm in the text and in the metrics.
fn words(state: &str) -> Option<(&'static str, &'static str)> {
    Some(match state {
        "expired" => ("expired", "expired"),
        "expiring" => ("expiring", "expiring"),
        "notInUse" => ("unused", "renewed-not-in-use"),
        "renewalFailed" => ("failed", "renewal-failed"),
        "interrupted" => ("open", "interrupted"),
        "foreignCa" => ("foreign", "foreign-ca"),
        "cannotBeDone" => ("no way", "cannot-be-done"),
        _ => return None,
    })
}

/// Every alarm of the JSON, with the address that it is about.
fn alarms(value: &Value, address: &str, found: &mut BTreeSet<(String, String)>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| alarms(item, address, found)),
        Value::Object(fields) => {
            let own = match (&fields.get("address"), &fields.get("nodes"), &fields.get("name")) {
                (Some(Value::String(own)), _, _) => own.clone(),
                (None, Some(Value::Array(nodes)), Some(Value::String(name))) => {
                    let nodes: Vec<&str> = nodes.iter().map(|node| node.as_str().unwrap()).collect();
                    format!("ca/{name}@{}", nodes.join(","))
                }
                _ => address.to_owned(),
            };
            for (field, value) in fields {
                match (field.as_str(), value) {
                    ("state" | "alarm", Value::String(state)) => {
                        found.insert((own.clone(), state.clone()));
                    }
                    _ => alarms(value, &own, found),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Whether all views tell the same alarms; what differs.
pub(crate) fn agree(status: &Status, observed: &Observed, text: &str) -> Result<(), String> {
    let mut found = BTreeSet::new();
    alarms(&serde_json::to_value(status).unwrap(), "", &mut found);
    let section = text.split_once("\nAlarms\n").map_or("", |(_, rest)| rest);
    let section = section.split_once("\n\n").map_or(section, |(section, _)| section);
    let metrics = pki::output::metrics(&[(status, observed)]).unwrap();
    let junit = pki::output::junit_of_status(std::iter::once(status));
    let mut raised = BTreeSet::new();
    for (address, state) in &found {
        let (in_text, in_metrics) = words(state).ok_or(format!("no words for the alarm {state}"))?;
        let (subject, nodes) = address.rsplit_once('@').ok_or(format!("{address} names no node"))?;
        for node in nodes.split(',') {
            let labels = format!("node=\"{node}\",pki_id=\"{subject}@{node}\",state=\"{in_metrics}\"}} 1");
            if !metrics.lines().any(|line| line.starts_with("pki_alarm{") && line.ends_with(&labels)) {
                return Err(format!("no metric says {labels}\n{metrics}"));
            }
            raised.insert(labels);
            let told = section.contains(in_text) && section.contains(subject);
            if !told || !section.contains(node) {
                return Err(format!("the text does not say that {address} is {in_text}\n{text}"));
            }
        }
        let names = [address.as_str(), subject];
        let case = names.iter().find_map(|name| junit.split_once(&format!("<testcase name=\"{name}\"")));
        let (_, case) = case.ok_or(format!("no test case is about {address}\n{junit}"))?;
        let case = case.split("<testcase").next().unwrap();
        if !case.contains("<failure") && !case.contains("<error") {
            return Err(format!("the test case of {address} does not fail for {state}\n{case}"));
        }
    }
    let count = metrics.lines().filter(|line| line.starts_with("pki_alarm{") && line.ends_with(" 1")).count();
    if count != raised.len() {
        return Err(format!(
            "{count} alarms in the metrics, and {} in JSON\n{metrics}\n{found:?}",
            raised.len()
        ));
    }
    // What is about to end and renewed in time is told by what is due.
    let is_grave = found.iter().any(|(_, state)| state != "expiring");
    if is_grave && !status.is_alarming() {
        return Err(format!("nothing is alarming for the exit code, with {found:?}"));
    }
    Ok(())
}

#[test]
fn an_alarm_about_a_node_or_a_service_is_in_every_view() {
    let cluster = Cluster::unpack();
    let report = cluster.report();
    let node = || "cp-2".parse::<NodeName>().unwrap();
    let address = "node@cp-2".to_owned();
    let at: jiff::Timestamp = "2026-11-30T00:00:00Z".parse().unwrap();
    let service = NotInUse {
        state: AlarmState::NotInUse,
        path: "/etc/kubernetes/pki/etcd/server.crt".to_owned(),
        file: None,
        served: None,
        at: None,
    };
    let changes: [&dyn Fn(&mut Status); 3] = [
        &|status| {
            let (run, note) = ("7f3a-91c2".to_owned(), "a test".to_owned());
            let (address, state) = (address.clone(), AlarmState::Interrupted);
            status.interrupted.push(InterruptedRun { state, address, node: node(), run, since: at, note });
        },
        &|status| {
            let (address, state, run) = (address.clone(), AlarmState::RenewalFailed, "7f3a-91c2".to_owned());
            let node = node();
            let failed = FailedRenewal { state, address, node, run, begun_at: at, undone: true };
            status.failed_renewals.push(failed);
        },
        &|status| {
            let address = "svc/etcd@cp-2".to_owned();
            let alarms = vec![service.clone()];
            status.others.push(OtherStatus { address, alarms, findings: Vec::new() });
        },
    ];
    for change in changes {
        let mut report = cluster.report();
        change(&mut report.status);
        assert!(report.status.is_alarming());
        agree(&report.status, &report.observed, &report.text()).unwrap();
    }
    assert!(!report.status.is_alarming());
}
