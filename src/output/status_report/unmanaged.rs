//! Certificates that no plan renews: those that programs make for themselves, and those that nothing but a flag names.
//! What enters is what was seen; what leaves is where each is, and when it ends.
//!
//! The kubelet writes `kubelet.crt` for itself when it starts and the file is missing, valid for a year (Kubernetes 1.20.2, cmd/kubelet/app/server.go
//! InitializeTLS, client-go util/cert GenerateSelfSignedCertKey); kube-controller-manager and kube-scheduler make one in memory at each start (staging/src/k8s.io/apiserver
//! pkg/server/options/serving.go MaybeDefaultWithSelfSignedCerts). No plan touches them, so all that is done here is to tell of them.

use jiff::Timestamp;
use serde::Serialize;

use super::{Alarm, CertificateFields, FindingStatus, alarm, fields};
use crate::desired::request::KUBELET_CERTIFICATE;
use crate::desired::{Decided, Desired, DesiredService};
use crate::diff::{Differences, Finding, Reason, named_certificates};
use crate::protocol::facts::{NodeFacts, Observed};
use crate::types::duration::Duration;
use crate::types::names::{Address, NodeName, Target};
use crate::types::service_kind::ServiceKind;
use crate::x509::Certificate;

/// How long before the end an alarm is raised: no setting of a certificate is about these.
const ALARM_BEFORE: Duration = Duration::from_days(30);

/// A certificate that a service serves, or keeps for that, and that no plan renews.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UnmanagedStatus {
    /// The service, as `svc/kubelet@cp-1`.
    pub address: String,
    /// The node.
    pub node: NodeName,
    /// Where it was seen: ports that serve it, and its file.
    pub seen_at: Vec<String>,
    /// What names its file, where that is all that is known of it: `--oidc-ca-file in /etc/kubernetes/manifests/kube-apiserver.yaml`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub named_by: Option<String>,
    /// The certificate.
    pub certificate: CertificateFields,
    /// How to get a new one.
    pub renewal: String,
    /// The alarm about its end.
    pub alarm: Option<Alarm>,
    /// What is to be said about it.
    pub findings: Vec<FindingStatus>,
}

/// Those of every node that answered.
pub(super) fn unmanaged(
    desired: &Desired,
    observed: &Observed,
    differences: &Differences,
    now: Timestamp,
) -> Vec<UnmanagedStatus> {
    let mut rows = Vec::new();
    for (name, node) in &desired.nodes {
        let Some(facts) = observed.nodes.get(name).and_then(|answer| answer.facts()) else { continue };
        let is_managed = |certificate: &Certificate| {
            let mut held = node.identities.keys().filter_map(|identity| differences.identity(name, identity));
            held.any(|view| view.certificate.as_ref() == Some(certificate))
        };
        for (service, wanted) in &node.services {
            let address = Address::on(Target::Service(service.clone()), name).to_string();
            let live = facts.services.get(service);
            let served = live.into_iter().flat_map(|live| &live.endpoints).filter_map(|endpoint| {
                // By another name an API server shows what it calls itself with, which has a finding of its own.
                let is_own = endpoint.serves.is_none() && endpoint.server_name.is_none();
                let certificate = &endpoint.probe.served().filter(|_| is_own)?.certificate;
                let at = std::net::SocketAddr::new(endpoint.address?, endpoint.port).to_string();
                Some((certificate, at))
            });
            let kept = kept(wanted, facts).map(|certificate| (certificate, KUBELET_CERTIFICATE.to_owned()));
            let mut own: Vec<(&Certificate, Vec<String>)> = Vec::new();
            for (certificate, at) in served.chain(kept) {
                if is_managed(certificate) {
                    continue;
                }
                match own.iter_mut().find(|(known, _)| *known == certificate) {
                    Some((_, seen_at)) => seen_at.push(at),
                    None => own.push((certificate, vec![at])),
                }
            }
            rows.extend(own.into_iter().map(|(certificate, seen_at)| UnmanagedStatus {
                address: address.clone(),
                node: name.clone(),
                seen_at,
                named_by: None,
                certificate: fields(certificate, now),
                renewal: renewal(certificate, wanted),
                alarm: alarm(certificate, &Decided::built_in(ALARM_BEFORE), now),
                findings: Vec::new(),
            }));
        }
        rows.extend(named_certificates(node, facts).into_iter().map(|named| {
            let address = format!("svc/{}@{name}", named.reader);
            let reason = Reason::NotManaged { path: named.path.clone(), by: named.by.clone() };
            let message = reason.to_string();
            let renewal = format!("{message}; renew it where it comes from");
            UnmanagedStatus {
                node: name.clone(),
                seen_at: vec![named.path],
                named_by: Some(named.by),
                certificate: fields(named.certificate, now),
                renewal,
                alarm: alarm(named.certificate, &Decided::built_in(ALARM_BEFORE), now),
                findings: vec![FindingStatus {
                    address: address.clone(),
                    finding: Finding::note(reason),
                    message,
                    alarm: None,
                }],
                address,
            }
        }));
    }
    rows
}

/// What the kubelet keeps for its port. With a serving certificate of the cluster's CA it makes none.
fn kept<'f>(wanted: &DesiredService, facts: &'f NodeFacts) -> Option<&'f Certificate> {
    wanted.is(ServiceKind::Kubelet).then(|| facts.first_certificate(KUBELET_CERTIFICATE))?
}

/// How somebody gets a new one.
fn renewal(certificate: &Certificate, wanted: &DesiredService) -> String {
    if !is_self_made(certificate) {
        return "it comes from elsewhere; renew it there".to_owned();
    }
    if wanted.is(ServiceKind::Kubelet) {
        return format!(
            "nothing renews it; remove {KUBELET_CERTIFICATE} and its key, kubelet.key, then restart the kubelet, which makes new ones"
        );
    }
    match wanted.restart.as_ref().and_then(|restart| restart.static_pod.as_ref()) {
        Some(manifest) => {
            format!("nothing renews it; restart the pod of {manifest}, which makes a new one at its start")
        }
        None => "nothing renews it; restart the service, which makes a new one at its start".to_owned(),
    }
}

/// Whether its program made it for itself: client-go names it `HOST@TIME`, and its issuer `HOST-ca@TIME`.
fn is_self_made(certificate: &Certificate) -> bool {
    let facts = certificate.facts();
    let own = facts.subject.common_name().and_then(host);
    let issuer = facts.issuer.common_name().and_then(host);
    own.zip(issuer).is_some_and(|(own, issuer)| issuer.strip_suffix("-ca") == Some(own))
}

/// The host of `HOST@TIME`.
fn host(name: &str) -> Option<&str> {
    let (host, time) = name.rsplit_once('@')?;
    (!time.is_empty() && time.bytes().all(|byte| byte.is_ascii_digit())).then_some(host)
}
