//! From one action to the orders that carry it out.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{IdentityName, NodeName, Subject};
use crate::node::HostError;
use crate::node::order::{Answer, AuthorityFiles, IdentityCheck, Order, SignRequest, Slot, VisitId};
use crate::plan::{Action, Deed, Issue, KeySource, Trusted};
use crate::secret::Secret;
use crate::spec::types::KeyAlgorithm;
use crate::x509::{Certificate, PublicKey};

use super::Run;

pub(super) fn act(run: &mut Run<'_, '_>, action: &Action) -> Result<(), HostError> {
    let node = &action.address.node;
    match &action.deed {
        // The transaction was opened with the snapshot.
        Deed::Snapshot { .. } => make_keys(run, node),
        // What was open is undone by a visit of its own.
        Deed::UndoOpen { .. } => Ok(()),
        Deed::MakeDirectory { directory } => done(
            run,
            node,
            Order::MakeDirectory {
                path: directory.path.clone(),
                owner: directory.user.clone(),
                group: directory.group.clone(),
                mode: directory.mode,
            },
        ),
        Deed::MakeLink { path, target } => {
            done(run, node, Order::MakeLink { path: path.clone(), target: target.clone() })
        }
        Deed::MoveDirectory { link, path, keeps_old } => done(
            run,
            node,
            Order::MoveDirectory { link: link.clone(), path: path.clone(), keeps_old: *keeps_old },
        ),
        Deed::CreateAuthority { certificate, key, subject, algorithm, not_before, not_after } => {
            let order = Order::CreateAuthority {
                certificate: certificate.clone(),
                key: key.clone(),
                algorithm: *algorithm,
                subject: subject.clone(),
                not_before: *not_before,
                not_after: *not_after,
            };
            let made = certificate_of(perform(run, node, order)?)?;
            if let Subject::Authority(authority) = &action.address.subject {
                run.made.insert(authority.clone(), made);
            }
            Ok(())
        }
        Deed::CopyAuthorityCertificate { file, .. } => {
            let Subject::Authority(authority) = &action.address.subject else { return Err(unanswered()) };
            let made = run.made.get(authority).cloned().ok_or_else(unanswered)?;
            done(run, node, Order::WriteCertificates { file: file.clone(), certificates: vec![made] })
        }
        Deed::CopyKey { from, source, file } => {
            let content = shared(perform(run, from, Order::ReadShared { path: source.clone() })?)?;
            done(run, node, Order::WriteShared { file: file.clone(), content })
        }
        Deed::CreateKeyPair { private, public, algorithm } => done(
            run,
            node,
            Order::CreateKeyPair { private: private.clone(), public: public.clone(), algorithm: *algorithm },
        ),
        Deed::WritePublicKey { private, public } => {
            done(run, node, Order::WritePublicKey { private: private.clone(), public: public.clone() })
        }
        Deed::WriteBundle { file, certificates, .. } => done(
            run,
            node,
            Order::WriteCertificates { file: file.clone(), certificates: certificates.clone() },
        ),
        Deed::IssueIdentity(issue) => self::issue(run, action, issue),
        Deed::UpdateKubeconfig { file, trusted, .. } => {
            let trusted = certificates(run, trusted)?;
            done(run, node, Order::WriteTrusted { file: file.clone(), trusted })
        }
        Deed::SetPermissions { file, .. } => done(run, node, Order::SetPermissions { file: file.clone() }),
        Deed::Restart { command, timeout } => {
            done(run, node, Order::Run { argv: command.clone(), timeout_seconds: timeout.seconds() })
        }
        Deed::Verify { identities } => verify(run, action, identities),
        Deed::Restore { run: earlier, visit, path, .. } => done(
            run,
            node,
            Order::Restore { from: VisitId { run: earlier.clone(), visit: *visit }, path: path.clone() },
        ),
    }
}

/// Every new key of the visit is made before the first write: together they take a fraction of the time, and nothing waits for them half done.
fn make_keys(run: &mut Run<'_, '_>, node: &NodeName) -> Result<(), HostError> {
    let visits = run.plan.visits.iter().filter(|visit| visit.node == *node);
    let keys: BTreeMap<Slot, KeyAlgorithm> = visits
        .flat_map(|visit| &visit.actions)
        .filter_map(|action| {
            let Deed::IssueIdentity(issue) = &action.deed else { return None };
            Some((slot(action), issue.key.made()?))
        })
        .collect();
    if !keys.is_empty() {
        let made = public_keys(perform(run, node, Order::MakeKeys { keys })?)?;
        run.keys.extend(made);
    }
    Ok(())
}

fn slot(action: &Action) -> Slot {
    Slot(action.address.to_string())
}

/// The key is made or taken on its node, only its public half goes to the signer, and the certificate comes back.
fn issue(run: &mut Run<'_, '_>, action: &Action, issue: &Issue) -> Result<(), HostError> {
    let node = &action.address.node;
    let slot = slot(action);
    let public_key = match issue.key {
        KeySource::New(_) => run.keys.remove(&slot).ok_or_else(unanswered)?,
        KeySource::Kept(_) => {
            let order = Order::TakeKey { slot: slot.clone(), storage: issue.storage.clone() };
            public_key(perform(run, node, order)?)?
        }
    };
    let made = run.made.get(&issue.authority).map(|certificate| *certificate.fingerprint());
    let issuer = issue.issuer.or(made).ok_or_else(unanswered)?;
    let request = SignRequest {
        public_key,
        subject: issue.subject.clone(),
        usages: issue.usages.clone(),
        dns: issue.dns.clone(),
        ip: issue.ip.clone(),
        not_before: issue.not_before,
        not_after: issue.not_after,
        issuer,
    };
    let authority =
        AuthorityFiles { certificate: issue.signer_certificate.clone(), key: issue.signer_key.clone() };
    let signed = perform(run, &issue.signer, Order::Sign { authority, request: Box::new(request) })?;
    let certificate = certificate_of(signed)?;
    let trusted = match &issue.trusted {
        Some(trusted) => certificates(run, trusted)?,
        None => Vec::new(),
    };
    let cluster = run.plan.cluster.to_string();
    done(
        run,
        node,
        Order::WriteIdentity {
            slot,
            certificate,
            chain: Vec::new(),
            storage: issue.storage.clone(),
            trusted,
            cluster,
        },
    )
}

/// Every identity that the visit wrote is read afresh and judged as the components would judge it.
fn verify(
    run: &mut Run<'_, '_>,
    action: &Action,
    identities: &BTreeSet<IdentityName>,
) -> Result<(), HostError> {
    let node = &action.address.node;
    let visits = &run.plan.visits;
    let issued: Vec<Issue> = visits
        .iter()
        .filter(|visit| visit.node == *node)
        .flat_map(|visit| &visit.actions)
        .filter_map(|action| match (&action.deed, &action.address.subject) {
            (Deed::IssueIdentity(issue), Subject::Identity(identity)) if identities.contains(identity) => {
                Some((**issue).clone())
            }
            _ => None,
        })
        .collect();
    for issue in issued {
        let check = IdentityCheck {
            storage: issue.storage,
            authority: (!issue.verified_by.is_empty()).then_some(issue.verified_by),
            usages: issue.usages,
            dns: issue.dns,
            ip: issue.ip,
            now: (run.settings.now)(),
        };
        done(run, node, Order::Check { identity: Box::new(check) })?;
    }
    Ok(())
}

fn perform(run: &mut Run<'_, '_>, node: &NodeName, order: Order) -> Result<Answer, HostError> {
    match run.hosts.get_mut(node) {
        Some(host) => host.perform(order),
        None => Err(HostError::NotOpen),
    }
}

fn done(run: &mut Run<'_, '_>, node: &NodeName, order: Order) -> Result<(), HostError> {
    perform(run, node, order).map(|_| ())
}

fn certificates(run: &Run<'_, '_>, trusted: &Trusted) -> Result<Vec<Certificate>, HostError> {
    match trusted {
        Trusted::Certificates(certificates) => Ok(certificates.clone()),
        Trusted::Made(authority) => Ok(vec![run.made.get(authority).cloned().ok_or_else(unanswered)?]),
    }
}

fn certificate_of(answer: Answer) -> Result<Certificate, HostError> {
    match answer {
        Answer::Certificate(certificate) => Ok(certificate),
        Answer::Done | Answer::PublicKey(_) | Answer::PublicKeys(_) | Answer::Shared(_) => Err(unanswered()),
    }
}

fn public_key(answer: Answer) -> Result<PublicKey, HostError> {
    match answer {
        Answer::PublicKey(key) => Ok(key),
        Answer::Done | Answer::Certificate(_) | Answer::PublicKeys(_) | Answer::Shared(_) => {
            Err(unanswered())
        }
    }
}

fn public_keys(answer: Answer) -> Result<BTreeMap<Slot, PublicKey>, HostError> {
    match answer {
        Answer::PublicKeys(keys) => Ok(keys),
        Answer::Done | Answer::Certificate(_) | Answer::PublicKey(_) | Answer::Shared(_) => Err(unanswered()),
    }
}

fn shared(answer: Answer) -> Result<Secret, HostError> {
    match answer {
        Answer::Shared(secret) => Ok(secret),
        Answer::Done | Answer::Certificate(_) | Answer::PublicKey(_) | Answer::PublicKeys(_) => {
            Err(unanswered())
        }
    }
}

/// A node that answers something else than it was asked breaks the protocol.
fn unanswered() -> HostError {
    HostError::NotMade {
        what: "an answer",
        reason: "the node answered something else than it was asked".to_owned(),
    }
}
