//! A status as Prometheus metrics, for the textfile collector of node_exporter.
//!
//! What enters is a status and what the nodes told; what leaves is the text format. Certificates have the names and labels of x509-certificate-exporter, so that
//! alerts that exist for it fit; what only this program knows is called `pki_`. What is not known has no sample: a missing sample is no good news, and no bad one.

use prometheus::{GaugeVec, Opts, Registry, TextEncoder};

use crate::diagnostic::escaped;
use crate::diagnostic::log_commands::in_text;
use crate::diff::Effect;
use crate::output::status_report::{AlarmState, CertificateFields, Status};
use crate::protocol::facts::{Answer, Observed, Seen};
use crate::types::format::in_seconds;

/// The states of `pki_alarm`.
const EXPIRING: &str = "expiring";
const EXPIRED: &str = "expired";
const NOT_IN_USE: &str = "renewed-not-in-use";
const FAILED: &str = "renewal-failed";
const INTERRUPTED: &str = "interrupted";
const FOREIGN: &str = "foreign-ca";
const IMPOSSIBLE: &str = "cannot-be-done";

/// The labels of what is said of one certificate, those of x509-certificate-exporter first.
const CERTIFICATE: [&str; 8] =
    ["subject_CN", "issuer_CN", "serial_number", "filename", "filepath", "node", "cluster", "pki_id"];

/// Why metrics could not be put together: only a fault of their names.
type MetricsError = prometheus::Error;

/// Statuses of clusters as metrics, each with what its nodes told.
///
/// # Errors
/// Only a fault of this program: two metrics of one name.
pub fn metrics(statuses: &[(&Status, &Observed)]) -> Result<String, prometheus::Error> {
    let metrics = Metrics::new()?;
    for (status, observed) in statuses {
        metrics.certificates(status);
        metrics.drift(status);
        metrics.nodes(status, observed);
    }
    TextEncoder::new().encode_to_string(&metrics.registry.gather())
}

struct Metrics {
    registry: Registry,
    not_after: GaugeVec,
    not_before: GaugeVec,
    expired: GaugeVec,
    served: GaugeVec,
    drift: GaugeVec,
    alarm: GaugeVec,
    observed: GaugeVec,
    applied: GaugeVec,
    open: GaugeVec,
}

impl Metrics {
    fn new() -> Result<Self, MetricsError> {
        let registry = Registry::new();
        let gauge = |name: &str, help: &str, labels: &[&str]| {
            let gauge = GaugeVec::new(Opts::new(name, help), labels)?;
            registry.register(Box::new(gauge.clone()))?;
            Ok::<_, MetricsError>(gauge)
        };
        let node = ["cluster", "node"];
        Ok(Self {
            not_after: gauge(
                "x509_cert_not_after",
                "End of the certificate, in seconds since 1970",
                &CERTIFICATE,
            )?,
            not_before: gauge(
                "x509_cert_not_before",
                "Beginning of the certificate, in seconds since 1970",
                &CERTIFICATE,
            )?,
            expired: gauge("x509_cert_expired", "Whether the certificate has ended", &CERTIFICATE)?,
            served: gauge(
                "pki_served_matches_file",
                "Whether what processes serve and have loaded is what their files hold",
                &["cluster", "node", "pki_id"],
            )?,
            drift: gauge(
                "pki_drift_objects",
                "Things that are not as the spec says, by what that means for a plan",
                &["cluster", "effect"],
            )?,
            alarm: gauge(
                "pki_alarm",
                "Alarms that are raised: expiring, expired, renewed-not-in-use (StarlingX 250.003), renewal-failed, interrupted, foreign-ca, cannot-be-done",
                &["cluster", "node", "pki_id", "state"],
            )?,
            observed: gauge("pki_last_observe_success", "Whether the node told what it holds", &node)?,
            applied: gauge(
                "pki_last_apply_timestamp_seconds",
                "When the last run on the node began, in seconds since 1970",
                &node,
            )?,
            open: gauge(
                "pki_transaction_open",
                "Whether a run on the node was interrupted and is not undone yet",
                &node,
            )?,
            registry,
        })
    }

    fn certificates(&self, status: &Status) {
        for row in &status.certificates {
            if let Some(fields) = &row.certificate {
                self.certificate(status, fields, &row.path, row.node.as_str(), &row.address);
            }
            if let Some(alarm) = &row.alarm {
                self.raise(status, row.node.as_str(), &row.address, word(alarm.state));
            }
        }
        for row in &status.unmanaged {
            let seen_at = row.seen_at.first().map_or("", String::as_str);
            self.certificate(status, &row.certificate, seen_at, row.node.as_str(), &row.address);
            if let Some(alarm) = &row.alarm {
                self.raise(status, row.node.as_str(), &row.address, word(alarm.state));
            }
        }
        for (state, finding) in status.alarming() {
            self.raise(status, node_of(&finding.address), &finding.address, word(state));
        }
        for row in &status.certificate_authorities {
            for node in &row.nodes {
                let address = format!("ca/{}@{node}", row.name);
                if let Some(fields) = &row.certificate {
                    self.certificate(status, fields, &row.path, node.as_str(), &address);
                }
                if let Some(alarm) = &row.alarm {
                    self.raise(status, node.as_str(), &address, word(alarm.state));
                }
            }
        }
    }

    fn certificate(
        &self,
        status: &Status,
        fields: &CertificateFields,
        path: &str,
        node: &str,
        address: &str,
    ) {
        let file = path.rsplit('/').next().unwrap_or_default();
        let labels = [
            &label(&fields.subject_common_name),
            &label(&fields.issuer_common_name),
            fields.serial.as_str(),
            &label(file),
            &label(path),
            node,
            status.cluster.as_str(),
            address,
        ];
        let has_ended = fields.expires < status.as_of;
        set(&self.not_after, &labels, in_seconds(fields.expires));
        set(&self.not_before, &labels, fields.not_before.as_second());
        set(&self.expired, &labels, i64::from(has_ended));
    }

    fn drift(&self, status: &Status) {
        for (effect, word) in [
            (Effect::Blocks, "blocked"),
            (Effect::Unknown, "unknown"),
            (Effect::Due, "due"),
            (Effect::Note, "note"),
        ] {
            let count = status.findings().filter(|finding| finding.finding.effect == effect).count();
            set(&self.drift, &[status.cluster.as_str(), word], i64::try_from(count).unwrap_or(i64::MAX));
        }
    }

    fn nodes(&self, status: &Status, observed: &Observed) {
        let cluster = status.cluster.as_str();
        for failed in &status.failed_renewals {
            self.raise(status, failed.node.as_str(), &failed.address, word(failed.state));
        }
        for run in &status.interrupted {
            self.raise(status, run.node.as_str(), &run.address, word(run.state));
        }
        for row in &status.others {
            for alarm in &row.alarms {
                self.raise(status, node_of(&row.address), &row.address, word(alarm.state));
            }
        }
        for (node, answer) in &observed.nodes {
            let own = [cluster, node.as_str()];
            let facts = match answer {
                Answer::Facts(facts) => facts,
                Answer::Unreachable { .. } => {
                    set(&self.observed, &own, 0);
                    continue;
                }
                Answer::Skipped => continue,
            };
            set(&self.observed, &own, 1);
            match &facts.open_transaction {
                Seen::Present(_) => set(&self.open, &own, 1),
                Seen::Absent => set(&self.open, &own, 0),
                Seen::Dangling { .. } | Seen::Looping { .. } | Seen::Unknown { .. } => {}
            }
            if let Some(past) = facts.last_transaction.shown() {
                set(&self.applied, &own, past.transaction.begun_at.as_second());
            }
            for service in facts.services.keys() {
                let address = format!("svc/{service}@{node}");
                let is_stale =
                    status.others.iter().any(|row| row.address == address && !row.alarms.is_empty());
                set(&self.served, &[cluster, node.as_str(), &address], i64::from(!is_stale));
            }
        }
    }

    fn raise(&self, status: &Status, node: &str, address: &str, state: &str) {
        set(&self.alarm, &[status.cluster.as_str(), node, address, state], 1);
    }
}

/// The node of an address.
fn node_of(address: &str) -> &str {
    address.rsplit_once('@').map_or("", |(_, node)| node)
}

/// The words of a certificate or of a path as the value of a label.
fn label(text: &str) -> String {
    in_text(&escaped(text)).into_owned()
}

fn word(state: AlarmState) -> &'static str {
    match state {
        AlarmState::Expired => EXPIRED,
        AlarmState::Expiring => EXPIRING,
        AlarmState::NotInUse => NOT_IN_USE,
        AlarmState::RenewalFailed => FAILED,
        AlarmState::Interrupted => INTERRUPTED,
        AlarmState::ForeignCa => FOREIGN,
        AlarmState::CannotBeDone => IMPOSSIBLE,
    }
}

fn set(gauge: &GaugeVec, labels: &[&str], value: i64) {
    // Instants, counts and yes or no: all far below what a double holds exactly.
    #[expect(clippy::cast_precision_loss, reason = "an instant in seconds is far below 2^53")]
    let value = value as f64;
    // Only a wrong number of labels fails, and the tests set each gauge.
    if let Ok(sample) = gauge.get_metric_with_label_values(labels) {
        sample.set(value);
    }
}
