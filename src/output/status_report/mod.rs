//! The report of what every node holds: when it ends, who issued it, and what is wrong with it.
//!
//! What enters is what should be, what is, the differences and the instant `now`; what leaves is [`Status`], which is also the JSON of
//! `pki status --format json`. Pure, and free of secrets: it shows certificates, and of keys the digest of the public half.

mod interrupted;
mod rotation;
mod unmanaged;

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

pub use interrupted::InterruptedRun;
pub use rotation::{PhaseStatus, RotationStatus};
pub use unmanaged::UnmanagedStatus;

use crate::desired::{Decided, Desired, DesiredIdentity};
use crate::diff::{AuthorityView, Differences, Effect, Finding, FindingAlarm, Reason, Renewal};
use crate::protocol::facts::{NodeFacts, Observed, VisitState};
use crate::types::duration::Duration;
use crate::types::format::serialize_instant;
use crate::types::names::{Address, AuthorityName, ClusterName, NodeName, Target};
use crate::types::profile_name::ProfileName;
use crate::types::scalars::KubernetesVersion;
use crate::types::storage::Storage;
use crate::x509::{Certificate, KeyAlgorithm, Sha256};

/// The version of the JSON form: minor steps only add, a reader refuses a major one that it does not know.
pub const FORMAT_VERSION: &str = "1.0";

/// The report of one cluster.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Status {
    /// The version of the written form, such as `1.0`.
    #[serde(rename = "format_version")]
    pub format_version: &'static str,
    /// The cluster.
    pub cluster: ClusterName,
    /// The layout.
    pub profile: ProfileName,
    /// The Kubernetes version, where known.
    pub kubernetes_version: Option<KubernetesVersion>,
    /// The instant that residual times count from.
    pub as_of: Timestamp,
    /// Certificates with their keys, in files and in kubeconfigs.
    pub certificates: Vec<CertificateStatus>,
    /// CAs. One that differs between nodes occurs once for each difference.
    pub certificate_authorities: Vec<AuthorityStatus>,
    /// The CAs that are being replaced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rotations: Vec<RotationStatus>,
    /// Certificates that programs make for themselves, which no plan renews.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unmanaged: Vec<UnmanagedStatus>,
    /// What is wrong with other things: directories, key pairs, nodes.
    pub others: Vec<OtherStatus>,
    /// The nodes on which the last run failed.
    pub failed_renewals: Vec<FailedRenewal>,
    /// The nodes that a run left half changed.
    pub interrupted: Vec<InterruptedRun>,
}

/// One certificate on one node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateStatus {
    /// Its address, such as `apiserver@cp-1`.
    pub address: String,
    /// The certificate's name.
    pub name: String,
    /// The node.
    pub node: NodeName,
    /// The file that holds it.
    pub path: String,
    /// How it is kept.
    pub kind: Kind,
    /// The authority that should have issued it.
    pub authority: Option<AuthorityName>,
    /// Its renewal is not this tool's: the kubelet's, or that of a CA whose key is kept elsewhere.
    pub externally_managed: bool,
    /// The certificate, where it could be read.
    pub certificate: Option<CertificateFields>,
    /// The alarm about its end.
    pub alarm: Option<Alarm>,
    /// What is wrong with it.
    pub findings: Vec<FindingStatus>,
}

/// An alarm about the end of a certificate, for monitoring. It says nothing about what a plan does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Alarm {
    /// Which one.
    pub state: AlarmState,
    /// How long before the end it is raised, such as `30d`.
    pub before: Duration,
    /// The path in the spec that decides how long.
    #[serde(skip)]
    pub decided_by: Option<Vec<String>>,
}

/// Which alarm about the end of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum AlarmState {
    /// It has ended.
    Expired,
    /// It ends soon.
    Expiring,
    /// It was renewed, and what runs does not use the new one.
    #[serde(rename = "notInUse")]
    NotInUse,
    /// The last run on a node failed there and was undone, or could not be.
    #[serde(rename = "renewalFailed")]
    RenewalFailed,
    /// A run on a node was interrupted, and is not undone yet.
    Interrupted,
    /// Somebody else's CA is in a file by which clients are judged, or with which a service signs.
    #[serde(rename = "foreignCa")]
    ForeignCa,
    /// The spec wishes for something that this version cannot do.
    #[serde(rename = "cannotBeDone")]
    CannotBeDone,
}

impl From<FindingAlarm> for AlarmState {
    fn from(alarm: FindingAlarm) -> Self {
        match alarm {
            FindingAlarm::ForeignCa => AlarmState::ForeignCa,
            FindingAlarm::CannotBeDone => AlarmState::CannotBeDone,
        }
    }
}

/// An alarm about a node on which the last run failed, for monitoring. It is over once a run succeeds there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FailedRenewal {
    /// Which alarm: always [`AlarmState::RenewalFailed`].
    pub state: AlarmState,
    /// The node, as `node@cp-1`.
    pub address: String,
    /// The node.
    pub node: NodeName,
    /// The run.
    pub run: String,
    /// When it began, by the node's clock.
    pub begun_at: Timestamp,
    /// Whether the node was put back as it was before.
    pub undone: bool,
}

/// The alarm about the last run on a node, if it failed there.
fn failed_renewal(node: &NodeName, facts: &NodeFacts) -> Option<FailedRenewal> {
    let past = facts.last_transaction.shown()?;
    let undone = match past.state {
        VisitState::Undone => true,
        VisitState::UndoFailed => false,
        VisitState::Open | VisitState::Committed => return None,
    };
    let address = Address::on(Target::Node, node).to_string();
    let (run, begun_at) = (past.transaction.run.clone(), past.transaction.begun_at);
    Some(FailedRenewal {
        state: AlarmState::RenewalFailed,
        address,
        node: node.clone(),
        run,
        begun_at,
        undone,
    })
}

/// An alarm about a service that does not use what was renewed, for monitoring (StarlingX raises 250.003 for it).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotInUse {
    /// Which alarm: always [`AlarmState::NotInUse`].
    pub state: AlarmState,
    /// The file that was renewed.
    pub path: String,
    /// The first certificate in the file, where one could be read: SHA-256 of its DER.
    pub file: Option<Sha256>,
    /// The certificate that is served instead; none where the process is known to be older than the file and what it has loaded is not.
    pub served: Option<Sha256>,
    /// The address and port at which that was seen.
    pub at: Option<String>,
}

/// The alarms behind the findings about a service. What it takes up by itself soon is none.
fn not_in_use(findings: &[FindingStatus], facts: &NodeFacts) -> Vec<NotInUse> {
    let due = findings.iter().filter(|status| status.finding.effect == Effect::Due);
    let alarm = |reason: &Reason| {
        let state = AlarmState::NotInUse;
        if let Reason::ServedDiffersFromFile { at, served, path, file } = reason {
            let (file, served, at) = (Some(*file), Some(*served), Some(at.clone()));
            return Some(NotInUse { state, path: path.clone(), file, served, at });
        }
        let Reason::StartedBeforeFile { path, .. } = reason else { return None };
        let file = facts.first_certificate(path).map(|certificate| *certificate.fingerprint());
        Some(NotInUse { state, path: path.clone(), file, served: None, at: None })
    };
    due.filter_map(|status| alarm(&status.finding.reason)).collect()
}

/// The alarm about a certificate, if it is time for one.
fn alarm(certificate: &Certificate, before: &Decided<Duration>, now: Timestamp) -> Option<Alarm> {
    let end = certificate.facts().not_after;
    let state = if now > end {
        AlarmState::Expired
    } else if now >= before.value.before(end) {
        AlarmState::Expiring
    } else {
        return None;
    };
    Some(Alarm { state, before: before.value, decided_by: before.by.clone() })
}

/// How an identity is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// In files of its own.
    Certificate,
    /// In a kubeconfig.
    Kubeconfig,
}

/// One CA certificate, on all nodes that hold it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthorityStatus {
    /// The authority's name.
    pub name: AuthorityName,
    /// The nodes that hold this certificate first in the authority's file.
    pub nodes: Vec<NodeName>,
    /// The file that holds it, on the first of them.
    pub path: String,
    /// The nodes that hold its key.
    pub signers: Vec<NodeName>,
    /// No node holds its key, or the spec says that it is elsewhere.
    pub externally_managed: bool,
    /// It is to take the place of the CA of this name, and is first in no file yet: it waits beside them, or is trusted besides.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub successor: bool,
    /// The certificate, where one could be read.
    pub certificate: Option<CertificateFields>,
    /// The alarm about its end.
    pub alarm: Option<Alarm>,
    /// What is wrong with it, by address.
    pub findings: Vec<FindingStatus>,
}

/// Something that is neither a certificate nor a CA, with what is wrong with it.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OtherStatus {
    /// Its address, such as `key/sa@cp-2`.
    pub address: String,
    /// The alarms about what a service does not use.
    pub alarms: Vec<NotInUse>,
    /// What is wrong with it.
    pub findings: Vec<FindingStatus>,
}

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CertificateFields {
    /// The subject.
    pub subject: String,
    /// The issuer.
    pub issuer: String,
    /// The subject's common name; empty where it has none.
    #[serde(skip)]
    pub subject_common_name: String,
    /// The issuer's common name; empty where it has none.
    #[serde(skip)]
    pub issuer_common_name: String,
    /// The serial number, hexadecimal.
    pub serial: String,
    /// The beginning of its life.
    pub not_before: Timestamp,
    /// The end of its life.
    #[serde(serialize_with = "serialize_instant")]
    pub expires: Timestamp,
    /// What is left of its life, in seconds; negative once it has ended.
    pub residual_time: i64,
    /// DNS names.
    pub dns_names: Vec<String>,
    /// IP addresses.
    pub ip_addresses: Vec<String>,
    /// Key usages, in the standard's words.
    pub key_usages: Vec<String>,
    /// Extended key usages, in the standard's words.
    pub extended_key_usages: Vec<String>,
    /// The algorithm of its key.
    pub key_algorithm: KeyAlgorithm,
    /// SHA-256 of the certificate (DER).
    pub fingerprint: Sha256,
    /// SHA-256 of its public key (SPKI).
    pub spki: Sha256,
}

/// A finding with the thing it is about.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingStatus {
    /// What it is about.
    pub address: String,
    /// The finding's figures.
    #[serde(flatten)]
    pub finding: Finding,
    /// The finding in words.
    pub message: String,
    /// The alarm that it raises.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alarm: Option<AlarmState>,
}

impl Status {
    /// Puts the report together.
    pub fn new(desired: &Desired, observed: &Observed, differences: &Differences, now: Timestamp) -> Self {
        let authorities = differences.authorities();
        let mut certificates = Vec::new();
        let mut others = Vec::new();
        for (node, wanted) in &desired.nodes {
            for (name, identity) in &wanted.identities {
                let Some(view) = differences.identity(node, name) else { continue };
                if identity.optional && view.reasons == [Reason::Missing] {
                    continue;
                }
                let address = Address::on(Target::Identity(name.clone()), node);
                let keyless = identity
                    .authority
                    .as_ref()
                    .is_some_and(|authority| is_external(desired, authority, authorities.get(authority)));
                let by_kubelet = view.renewal == Renewal::ByKubelet;
                certificates.push(CertificateStatus {
                    address: address.to_string(),
                    name: name.to_string(),
                    node: node.clone(),
                    path: identity.storage.certificate_path().to_owned(),
                    kind: kind(identity),
                    authority: identity.authority.clone(),
                    externally_managed: keyless || by_kubelet,
                    certificate: view.certificate.as_ref().map(|certificate| fields(certificate, now)),
                    alarm: view
                        .certificate
                        .as_ref()
                        .and_then(|certificate| alarm(certificate, &identity.alarm_before, now)),
                    findings: findings_of(differences, &address),
                });
            }
        }
        for address in differences.findings.keys() {
            match address.target {
                Target::Directory(_) | Target::KeyPair(_) | Target::Service(_) | Target::Node => {
                    let findings = findings_of(differences, address);
                    let facts = observed.facts_at(&address.place);
                    let alarms = facts.map(|facts| not_in_use(&findings, facts)).unwrap_or_default();
                    others.push(OtherStatus { address: address.to_string(), alarms, findings });
                }
                Target::Authority(_) | Target::Identity(_) => {}
            }
        }
        let mut certificate_authorities = Vec::new();
        for (name, view) in authorities {
            certificate_authorities.extend(authority_statuses(desired, name, view, differences, now));
        }
        let (rotations, successors) =
            rotation::rotations(desired, differences, &certificate_authorities, now);
        certificate_authorities.extend(successors);
        certificate_authorities.sort_by(|one, other| one.name.cmp(&other.name));
        let unmanaged = unmanaged::unmanaged(desired, observed, differences, now);
        let seen = observed.nodes.iter().filter(|(node, _)| desired.nodes.contains_key(*node));
        let failed_renewals =
            seen.clone().filter_map(|(node, answer)| failed_renewal(node, answer.facts()?)).collect();
        let interrupted =
            seen.filter_map(|(node, answer)| interrupted::interrupted(node, answer.facts()?)).collect();
        Self {
            format_version: FORMAT_VERSION,
            cluster: desired.cluster.clone(),
            profile: desired.profile,
            kubernetes_version: desired.version,
            as_of: now,
            certificates,
            certificate_authorities,
            rotations,
            unmanaged,
            others,
            failed_renewals,
            interrupted,
        }
    }

    /// Puts what ends first at the top.
    pub fn sort_by_expiry(&mut self) {
        self.certificates
            .sort_by_key(|status| status.certificate.as_ref().map(|certificate| certificate.expires));
        let expires =
            |status: &AuthorityStatus| status.certificate.as_ref().map(|certificate| certificate.expires);
        self.certificate_authorities.sort_by_key(expires);
        self.unmanaged.sort_by_key(|row| row.certificate.expires);
    }

    /// The findings that raise an alarm, each with it.
    pub fn alarming(&self) -> impl Iterator<Item = (AlarmState, &FindingStatus)> {
        self.findings().filter_map(|finding| Some((finding.alarm?, finding)))
    }

    /// The gravest effect of all findings; `None` when there are none.
    pub fn gravest(&self) -> Option<Effect> {
        self.findings().map(|status| status.finding.effect).min()
    }

    /// Every finding, in the order of the report.
    pub fn findings(&self) -> impl Iterator<Item = &FindingStatus> {
        let certificates = self.certificates.iter().flat_map(|status| &status.findings);
        let authorities = self.certificate_authorities.iter().flat_map(|status| &status.findings);
        certificates.chain(authorities).chain(self.others.iter().flat_map(|status| &status.findings))
    }
}

fn kind(identity: &DesiredIdentity) -> Kind {
    match identity.storage {
        Storage::Pair { .. } | Storage::Combined { .. } => Kind::Certificate,
        Storage::Kubeconfig { .. } => Kind::Kubeconfig,
    }
}

fn is_external(desired: &Desired, name: &AuthorityName, view: Option<&AuthorityView>) -> bool {
    let declared = desired.authorities.get(name).is_some_and(|authority| authority.external);
    declared || view.is_some_and(AuthorityView::key_is_nowhere)
}

fn authority_statuses(
    desired: &Desired,
    name: &AuthorityName,
    view: &AuthorityView,
    differences: &Differences,
    now: Timestamp,
) -> Vec<AuthorityStatus> {
    let holders =
        desired.nodes.iter().filter(|(_, node)| node.authorities.contains_key(name)).map(|(node, _)| node);
    let mut by_certificate: BTreeMap<Option<&Certificate>, Vec<NodeName>> = BTreeMap::new();
    for node in holders {
        let first = view.certificates.get(node).and_then(|certificates| certificates.first());
        by_certificate.entry(first).or_default().push(node.clone());
    }
    // Nodes without a readable certificate have no row of their own beside nodes that have one; their findings stand in the first row.
    let unreadable =
        if by_certificate.len() > 1 { by_certificate.remove(&None).unwrap_or_default() } else { Vec::new() };
    let mut rows = Vec::new();
    for (position, (certificate, nodes)) in by_certificate.into_iter().enumerate() {
        let key = certificate.map(|certificate| certificate.facts().key.spki_sha256);
        let signers = view.keys.iter().filter(|(_, spki)| Some(**spki) == key).map(|(node, _)| node.clone());
        let also = if position == 0 { unreadable.as_slice() } else { &[] };
        let findings = nodes.iter().chain(also).flat_map(|node| {
            let subject = Target::Authority(name.clone());
            findings_of(differences, &Address::on(subject, node))
        });
        let first = nodes.first().and_then(|node| desired.nodes.get(node)?.authorities.get(name));
        rows.push(AuthorityStatus {
            name: name.clone(),
            path: first.map(|copy| copy.certificate.path.clone()).unwrap_or_default(),
            signers: signers.collect(),
            externally_managed: is_external(desired, name, Some(view)),
            successor: false,
            certificate: certificate.map(|certificate| fields(certificate, now)),
            alarm: certificate
                .zip(desired.authorities.get(name))
                .and_then(|(certificate, wanted)| alarm(certificate, &wanted.alarm_before, now)),
            findings: findings.collect(),
            nodes,
        });
    }
    rows
}

fn findings_of(differences: &Differences, address: &Address) -> Vec<FindingStatus> {
    let status = |finding: &Finding| FindingStatus {
        address: address.to_string(),
        message: finding.reason.to_string(),
        finding: finding.clone(),
        alarm: finding.alarm().map(AlarmState::from),
    };
    differences.of(address).iter().map(status).collect()
}

fn fields(certificate: &Certificate, now: Timestamp) -> CertificateFields {
    let facts = certificate.facts();
    let usages = facts.key_usages.iter().flatten().map(ToString::to_string);
    let extended = facts.extended_key_usages.iter().flatten().map(ToString::to_string);
    CertificateFields {
        subject: facts.subject.to_string(),
        issuer: facts.issuer.to_string(),
        subject_common_name: facts.subject.common_name().unwrap_or_default().to_owned(),
        issuer_common_name: facts.issuer.common_name().unwrap_or_default().to_owned(),
        serial: facts.serial.to_string(),
        not_before: facts.not_before,
        expires: facts.not_after,
        residual_time: residual(facts.not_after, now).as_secs(),
        dns_names: facts.names.dns.iter().cloned().collect(),
        ip_addresses: facts.names.ip.iter().map(ToString::to_string).collect(),
        key_usages: usages.collect(),
        extended_key_usages: extended.collect(),
        key_algorithm: facts.key.algorithm.clone(),
        fingerprint: *certificate.fingerprint(),
        spki: facts.key.spki_sha256,
    }
}

/// What is left until `end`; negative once it has passed.
pub fn residual(end: Timestamp, now: Timestamp) -> SignedDuration {
    end.duration_since(now)
}
