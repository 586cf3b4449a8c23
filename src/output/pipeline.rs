//! What the widgets of pipelines read: GitLab's counts of a plan, and JUnit's test cases of a status or a validation.
//!
//! What enters are finished values; what leaves is text in the form that these programs define. Nothing is decided here.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};
use serde::Serialize;

use super::status::{failed_renewal, interrupted, not_in_use};
use crate::diagnostic::log_commands::in_xml;
use crate::diagnostic::{Diagnostic, Severity, escaped};
use crate::diff::Effect;
use crate::output::status_report::{Alarm, AlarmState, FindingStatus, Status};
use crate::plan::PlanContent;

/// What GitLab shows of a plan at a merge request (its `terraform` report: `create`, `update`, `delete`).
#[derive(Serialize)]
struct Counts {
    create: usize,
    update: usize,
    delete: usize,
}

/// The counts of a plan, as GitLab's widget reads them.
pub fn gitlab(plan: &PlanContent) -> String {
    let summary = &plan.summary;
    let update =
        summary.renew + summary.trust + summary.restart + summary.repair + summary.restore + summary.copy;
    crate::protocol::file::to_text(&Counts { create: summary.issue, update, delete: summary.remove })
}

/// The counts where no plan could be made.
pub fn gitlab_of_no_plan() -> String {
    crate::protocol::file::to_text(&Counts { create: 0, update: 0, delete: 0 })
}

/// Statuses as JUnit: a suite for each cluster, with one case for each certificate, CA and other thing; it fails where something is due, blocked or unknown.
pub fn junit_of_status<'a>(statuses: impl Iterator<Item = &'a Status>) -> String {
    text("pki status", statuses.map(suite))
}

fn suite(status: &Status) -> TestSuite {
    let mut suite = TestSuite::new(status.cluster.as_str());
    for row in &status.certificates {
        let alarm = by_end(row.alarm.as_ref());
        suite.add_test_case(case(&row.address, row.node.as_str(), &row.findings, alarm));
    }
    for row in &status.certificate_authorities {
        let nodes: Vec<&str> = row.nodes.iter().map(|node| node.as_str()).collect();
        let alarm = by_end(row.alarm.as_ref());
        suite.add_test_case(case(&format!("ca/{}", row.name), &nodes.join(","), &row.findings, alarm));
    }
    for row in &status.others {
        suite.add_test_case(case(
            &row.address,
            "",
            &row.findings,
            row.alarms.iter().map(not_in_use).collect(),
        ));
    }
    for failed in &status.failed_renewals {
        suite.add_test_case(case(&failed.address, failed.node.as_str(), &[], vec![failed_renewal(failed)]));
    }
    for run in &status.interrupted {
        let mut case = TestCase::new(&run.address, outcome(&[interrupted(run)], NonSuccessKind::Error));
        case.set_classname(run.node.as_str());
        suite.add_test_case(case);
    }
    suite
}

/// What an alarm about the end of a certificate says where no finding does.
fn by_end(alarm: Option<&Alarm>) -> Vec<String> {
    let words = |alarm: &Alarm| match alarm.state {
        AlarmState::Expired => "it has expired".to_owned(),
        AlarmState::Expiring
        | AlarmState::NotInUse
        | AlarmState::RenewalFailed
        | AlarmState::Interrupted
        | AlarmState::ForeignCa
        | AlarmState::CannotBeDone => format!("it ends within {}", alarm.before),
    };
    alarm.map(words).into_iter().collect()
}

/// A case that fails with what is due, blocked or unknown, and with its alarms; what is unknown is an error of the look and not of what was looked at.
fn case(name: &str, class: &str, findings: &[FindingStatus], alarms: Vec<String>) -> TestCase {
    let fails = |finding: &&FindingStatus| match finding.finding.effect {
        Effect::Blocks | Effect::Unknown | Effect::Due => true,
        Effect::Note => finding.alarm.is_some(),
    };
    let failing: Vec<&FindingStatus> = findings.iter().filter(fails).collect();
    let kind = match failing.iter().any(|status| status.finding.effect == Effect::Unknown) {
        true => NonSuccessKind::Error,
        false => NonSuccessKind::Failure,
    };
    let messages: Vec<String> =
        failing.iter().map(|finding| escaped(&finding.message)).chain(alarms).collect();
    let mut case = TestCase::new(name, outcome(&messages, kind));
    case.set_classname(if class.is_empty() { "node" } else { class });
    case
}

/// A validation as JUnit: one case for each file, which fails with each of its errors.
pub fn junit_of_validation(files: &[String], problems: &[Diagnostic]) -> String {
    let mut suite = TestSuite::new("specs");
    for file in files {
        let of_file = |problem: &&Diagnostic| {
            problem.severity == Severity::Error && problem.place().is_none_or(|place| place.file == *file)
        };
        let messages: Vec<String> = problems
            .iter()
            .filter(of_file)
            .map(|problem| {
                let place = problem.place().map(|place| format!("{}:{}: ", place.line, place.column));
                format!("{}{}: {}", place.unwrap_or_default(), problem.code, escaped(&problem.message))
            })
            .collect();
        let mut case = TestCase::new(escaped(file), outcome(&messages, NonSuccessKind::Failure));
        case.set_classname("spec");
        suite.add_test_case(case);
    }
    text("pki validate", [suite].into_iter())
}

fn outcome(messages: &[String], kind: NonSuccessKind) -> TestCaseStatus {
    let Some(first) = messages.first() else { return TestCaseStatus::success() };
    let mut failed = TestCaseStatus::non_success(kind);
    failed.set_message(first.as_str());
    failed.set_description(messages.join("\n"));
    failed
}

fn text(name: &str, suites: impl Iterator<Item = TestSuite>) -> String {
    let mut report = Report::new(name);
    suites.for_each(|suite| {
        report.add_test_suite(suite);
    });
    // Only a writer that fails makes this fail, and a String does not.
    in_xml(&report.to_string().unwrap_or_default()).into_owned()
}
