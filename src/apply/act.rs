//! From one action to the commands that carry it out.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

use jiff::Timestamp;

use crate::plan::{
    Action, CaCertificates, CsrRequest, Deed, IdentityCopy, Install, Issue, KeySource, RestartMethod,
};
use crate::protocol::command::{
    AuthorityFiles, IdentityCheck, ReadCommand, RequestContent, SignRequest, Slot, VisitId, WriteCommand,
};
use crate::protocol::error::HostError;
use crate::types::certificate::NewKeyAlgorithm;
use crate::types::names::{Address, IdentityName, Target};
use crate::types::non_empty::NonEmpty;
use crate::types::place::Place;
use crate::types::secret::Secret;
use crate::types::storage::Storage;
use crate::x509::Certificate;

use super::answers::{
    ask, certificate_of, done, perform, public_key, public_keys, request_of, shared_identity, unanswered,
};
use super::{Run, judge, keys};
use crate::plan::model::outcome::VisitEnd;

pub(super) fn act(run: &mut Run<'_, '_>, action: &Action) -> Result<(), HostError> {
    let place = &action.address.place;
    match &action.deed {
        // The transaction was opened with the snapshot.
        Deed::Snapshot { .. } => make_keys(run, action),
        // What was open is undone by a visit of its own.
        Deed::UndoOpen { .. } => Ok(()),
        Deed::SnapshotEtcd { .. } => run.snapshot_etcd(action).map(|_| ()),
        Deed::MakeDirectory { directory } => done(
            run,
            place,
            WriteCommand::MakeDirectory {
                path: directory.path.clone(),
                owner: directory.user.clone(),
                group: directory.group.clone(),
                mode: directory.mode,
            },
        ),
        Deed::MakeLink { path, target } => {
            done(run, place, WriteCommand::MakeLink { path: path.clone(), target: target.clone() })
        }
        Deed::MoveDirectory { link, path, keeps_old } => done(
            run,
            place,
            WriteCommand::MoveDirectory { link: link.clone(), path: path.clone(), keeps_old: *keeps_old },
        ),
        Deed::CreateAuthority { certificate, key, subject, algorithm, not_before, not_after, over } => {
            let command = WriteCommand::CreateAuthority {
                certificate: certificate.clone(),
                key: key.clone(),
                algorithm: *algorithm,
                subject: subject.clone(),
                not_before: *not_before,
                not_after: *not_after,
                over: *over,
            };
            let made = certificate_of(perform(run, place, command)?)?;
            judge::authority(&made, Some(subject), (*not_before, *not_after), &certificate.path)?;
            if let Target::Authority(authority) = &action.address.target {
                run.made.insert(authority.clone(), made);
            }
            Ok(())
        }
        Deed::ExtendAuthority { certificate, key, of, others, keeps_serial, not_after } => {
            let command = ReadCommand::Extend {
                authority: AuthorityFiles { certificate: certificate.path.clone(), key: key.path.clone() },
                certificate: *of.fingerprint(),
                not_before: of.facts().not_before,
                not_after: *not_after,
                keeps_serial: *keeps_serial,
            };
            let made = certificate_of(ask(run, place, command)?)?;
            judge::extended_authority(&made, of, *not_after, &certificate.path)?;
            let certificates = NonEmpty::with_first(made.clone(), others.clone());
            done(run, place, WriteCommand::WriteCertificates { file: certificate.clone(), certificates })?;
            if let Target::Authority(authority) = &action.address.target {
                run.made.insert(authority.clone(), made);
            }
            Ok(())
        }
        Deed::InstallAuthority { certificate, key, root, .. } => {
            let content = root_key(run, action)?;
            let spki = root.facts().key.spki_sha256;
            done(run, place, WriteCommand::WriteShared { file: key.clone(), content, key: spki })?;
            let certificates = NonEmpty::one(root.clone());
            done(run, place, WriteCommand::WriteCertificates { file: certificate.clone(), certificates })?;
            if let Target::Authority(authority) = &action.address.target {
                run.made.insert(authority.clone(), root.clone());
            }
            Ok(())
        }
        Deed::CopyAuthorityCertificate { file, .. } => {
            let Target::Authority(authority) = &action.address.target else { return Err(unanswered()) };
            let made = run.made.get(authority).cloned().ok_or_else(unanswered)?;
            done(
                run,
                place,
                WriteCommand::WriteCertificates { file: file.clone(), certificates: NonEmpty::one(made) },
            )
        }
        Deed::CopyKey(copy) => keys::copy(run, action, copy),
        Deed::CreateKeyPair { private, public, algorithm } => {
            keys::create_pair(run, action, (private, public), *algorithm)
        }
        Deed::WritePublicKey { private, public } => done(
            run,
            place,
            WriteCommand::WritePublicKey { private: private.clone(), public: public.clone() },
        ),
        Deed::WriteBundle { file, bundle, .. } => {
            let made = action.address.target.authority().and_then(|authority| run.made.get(authority));
            let certificates = bundle.whole(Certificate::clone, made.cloned()).ok_or_else(unanswered)?;
            done(run, place, WriteCommand::WriteCertificates { file: file.clone(), certificates })
        }
        Deed::WriteChain { file, certificate, chain, .. } => {
            let chain = certificates(run, Some(chain))?.map(NonEmpty::into_vec).unwrap_or_default();
            let certificates = NonEmpty::with_first(certificate.clone(), chain);
            done(run, place, WriteCommand::WriteCertificates { file: file.clone(), certificates })
        }
        Deed::RemoveCopy { path, of } => {
            done(run, place, WriteCommand::RemoveCopy { path: path.clone(), of: of.clone() })
        }
        Deed::PurgeSnapshots { key, .. } => done(run, place, WriteCommand::PurgeSnapshots { key: *key }),
        Deed::IssueIdentity(issue) => self::issue(run, action, issue),
        Deed::CopyIdentity(copy) => self::copy(run, action, copy),
        Deed::WriteCsr(request) => self::request(run, action, request),
        Deed::InstallIdentity(install) => self::install(run, action, install),
        Deed::UpdateKubeconfig { file, trusted, .. } => {
            let trusted = certificates(run, Some(trusted))?.ok_or_else(unanswered)?;
            done(run, place, WriteCommand::WriteTrusted { file: file.clone(), trusted })
        }
        Deed::SetPermissions { file, .. } => {
            done(run, place, WriteCommand::SetPermissions { file: file.clone() })
        }
        Deed::MoveLeader { address, port, certificate, key, timeout } => {
            let command = WriteCommand::MoveLeader {
                address: SocketAddr::new(*address, *port),
                certificate: certificate.clone(),
                key: key.clone(),
                timeout_seconds: timeout.seconds(),
            };
            match perform(run, place, command) {
                Ok(_) => Ok(()),
                Err(error @ HostError::LeaderNotMoved { .. }) => {
                    run.report.remarks.insert(action.number, error.to_string());
                    Ok(())
                }
                Err(error) => Err(error),
            }
        }
        Deed::Restart { how: RestartMethod::Command { argv }, timeout } => {
            done(run, place, WriteCommand::Run { argv: argv.clone(), timeout_seconds: timeout.seconds() })
        }
        Deed::Restart { how: RestartMethod::Systemd { unit }, timeout } => {
            let argv = ["systemctl", "restart", "--", unit].map(str::to_owned).to_vec();
            done(run, place, WriteCommand::Run { argv, timeout_seconds: timeout.seconds() })
        }
        Deed::Restart { how: RestartMethod::Start { unit }, timeout } => {
            start(run, place, unit, timeout.seconds())
        }
        Deed::Restart { how: RestartMethod::StaticPod { manifest }, .. } => {
            let word = format!("{}-{}", run.plan.id, action.number);
            done(run, place, WriteCommand::AnnotatePod { manifest: manifest.clone(), word })
        }
        Deed::AwaitHealthy { gates, kept, elsewhere, settle, timeout } => {
            let command = ReadCommand::Await {
                gates: gates.clone(),
                kept: kept.clone(),
                settle_seconds: settle.seconds(),
                timeout_seconds: timeout.seconds(),
                links: run.links_on(place),
            };
            ask(run, place, command)?;
            run.await_elsewhere(elsewhere, *timeout)
        }
        Deed::Verify { identities } => verify(run, action, identities),
        Deed::Restore { run: earlier, visit, path, with, .. } => done(
            run,
            place,
            WriteCommand::Restore {
                from: VisitId { run: earlier.clone(), visit: *visit },
                path: path.clone(),
                with: with.iter().map(|other| other.path.clone()).collect(),
            },
        ),
    }
}

/// A unit that has failed too often is not started again before that is forgotten. Of one that has not failed there is nothing to forget, and systemd may not
/// even have it in memory, so whether it could be is told by the start alone.
fn start(run: &mut Run<'_, '_>, place: &Place, unit: &str, timeout_seconds: u64) -> Result<(), HostError> {
    let systemctl = |words: &[&str]| WriteCommand::Run {
        argv: words.iter().map(|word| (*word).to_owned()).collect(),
        timeout_seconds,
    };
    match perform(run, place, systemctl(&["systemctl", "reset-failed", "--", unit])) {
        Ok(_) | Err(HostError::Program { .. }) => {}
        Err(error) => return Err(error),
    }
    done(run, place, systemctl(&["systemctl", "restart", "--no-block", "--", unit]))
}

/// The key of the root that an action installs, as it is written.
pub(super) fn root_key(run: &Run<'_, '_>, action: &Action) -> Result<Secret, HostError> {
    let Deed::InstallAuthority { key: file, root, .. } = &action.deed else { return Err(unanswered()) };
    let Target::Authority(authority) = &action.address.target else { return Err(unanswered()) };
    let key = run.settings.root_keys.get(authority);
    let key = key.filter(|key| key.certificate() == root.fingerprint());
    let key = key.ok_or_else(|| HostError::PairMismatch { path: file.path.clone() })?;
    let reason = || "its PEM cannot be written".to_owned();
    key.to_pem().ok_or_else(|| HostError::NotMade { what: "the key of the root CA".into(), reason: reason() })
}

/// Every new key of the visit is made before the first write: together they take a fraction of the time, and nothing waits for them half done.
fn make_keys(run: &mut Run<'_, '_>, snapshot: &Action) -> Result<(), HostError> {
    let place = &snapshot.address.place;
    let visit = run.plan.visit_of(snapshot);
    let keys: BTreeMap<Slot, NewKeyAlgorithm> = visit
        .into_iter()
        .flat_map(|visit| &visit.actions)
        .filter_map(|action| Some((slot(action), key_of(&action.deed)?.made()?)))
        .collect();
    if !keys.is_empty() {
        let made = public_keys(perform(run, place, WriteCommand::MakeKeys { keys })?)?;
        run.keys.extend(made);
    }
    Ok(())
}

/// The key of a certificate that a deed issues or asks for.
fn key_of(deed: &Deed) -> Option<KeySource> {
    let asked = if let Deed::WriteCsr(request) = deed { Some(request.key) } else { None };
    deed.issue().map(|issue| issue.key).or(asked)
}

fn slot(action: &Action) -> Slot {
    Slot(action.address.to_string())
}

/// The key is made or taken on its node, only its public half goes to the signer, and the certificate comes back.
fn issue(run: &mut Run<'_, '_>, action: &Action, issue: &Issue) -> Result<(), HostError> {
    let place = &action.address.place;
    let slot = slot(action);
    let public_key = match issue.key {
        KeySource::New(_) => run.keys.remove(&slot).ok_or_else(unanswered)?,
        KeySource::Kept(_) => {
            let command = WriteCommand::TakeKey { slot: slot.clone(), storage: issue.storage.clone() };
            public_key(perform(run, place, command)?)?
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
    let signer = Place::from(&issue.signer);
    let authority =
        AuthorityFiles { certificate: issue.signer_certificate.clone(), key: issue.signer_key.clone() };
    let command =
        ReadCommand::Sign { authority, request: Box::new(request.clone()), links: run.links_on(&signer) };
    let certificate = certificate_of(ask(run, &signer, command)?)?;
    judge::signed(&certificate, &request, issue.storage.certificate_path())?;
    let trusted = certificates(run, issue.trusted.as_ref())?;
    let chain = certificates(run, issue.chain.as_ref())?.map(NonEmpty::into_vec).unwrap_or_default();
    let cluster = run.plan.cluster.to_string();
    run.issued.insert(action.address.clone(), certificate.clone());
    done(
        run,
        place,
        WriteCommand::WriteIdentity {
            slot,
            certificate,
            chain,
            storage: issue.storage.clone(),
            trusted,
            cluster,
        },
    )
}

/// The key is made or taken on its node and stays there; the request comes back.
fn request(run: &mut Run<'_, '_>, action: &Action, request: &CsrRequest) -> Result<(), HostError> {
    let place = &action.address.place;
    let slot = slot(action);
    match request.key {
        KeySource::New(_) => drop(run.keys.remove(&slot)),
        KeySource::Kept(_) => {
            let command = WriteCommand::TakeKey { slot: slot.clone(), storage: request.storage.clone() };
            public_key(perform(run, place, command)?)?;
        }
    }
    let content = RequestContent {
        subject: request.subject.clone(),
        usages: request.usages.clone(),
        dns: request.dns.clone(),
        ip: request.ip.clone(),
    };
    let command = WriteCommand::WriteRequest { slot, request: Box::new(content), file: request.file.clone() };
    let made = request_of(perform(run, place, command)?)?;
    if !request.fits(&made) {
        let reason = "the request that was given asks for something else than the plan says".to_owned();
        return Err(HostError::Refused { path: request.file.path.clone(), reason });
    }
    run.requests.insert(action.address.clone(), made);
    Ok(())
}

/// The key goes from where it waited to its place, and nothing is left where it waited.
fn install(run: &mut Run<'_, '_>, action: &Action, install: &Install) -> Result<(), HostError> {
    let place = &action.address.place;
    let slot = slot(action);
    let waits = Storage::Combined { file: install.request.clone() };
    public_key(perform(run, place, WriteCommand::TakeKey { slot: slot.clone(), storage: waits })?)?;
    let trusted = certificates(run, install.trusted.as_ref())?;
    let command = WriteCommand::WriteIdentity {
        slot,
        certificate: install.certificate.clone(),
        chain: install.chain.clone(),
        storage: install.storage.clone(),
        trusted,
        cluster: run.plan.cluster.to_string(),
    };
    done(run, place, command)?;
    run.issued.insert(action.address.clone(), install.certificate.clone());
    done(run, place, WriteCommand::RemoveRequest { path: install.request.path.clone() })
}

impl Run<'_, '_> {
    /// Requests that a visit has written wait on its node where it was kept, also where it was left as it is.
    pub(super) fn keep_requests(&mut self, place: &Place, end: &VisitEnd) {
        let is_kept = matches!(end, VisitEnd::Committed | VisitEnd::Left(_));
        let (own, others) = std::mem::take(&mut self.requests)
            .into_iter()
            .partition::<BTreeMap<_, _>, _>(|(address, _)| address.place == *place);
        self.requests = others;
        self.report.requests.extend(own.into_iter().filter(|_| is_kept));
    }
}

/// On its own node a key goes from place to place without leaving it. From another node it comes through memory, and only if the layout shares it:
/// that is looked up once more, because a saved plan is somebody else's word.
fn copy(run: &mut Run<'_, '_>, action: &Action, copy: &IdentityCopy) -> Result<(), HostError> {
    let Address { target: identity, place } = &action.address;
    let at_source = Address::on(identity.clone(), copy.from());
    let issued = run.issued.get(&at_source).map(|certificate| *certificate.fingerprint());
    let planned = copy.certificate.as_ref().map(|certificate| *certificate.fingerprint());
    let certificate = planned.or(issued).ok_or_else(unanswered)?;
    let trusted = certificates(run, copy.trusted.as_ref())?;
    let cluster = run.plan.cluster.to_string();
    let (source, target) = (copy.source.clone(), copy.target.clone());
    if place.is(copy.from()) {
        return done(
            run,
            place,
            WriteCommand::CopyIdentity { source, certificate, target, trusted, cluster },
        );
    }
    let source_place = Place::from(copy.from());
    if ![&at_source, &action.address].into_iter().all(|address| is_shared(run, address)) {
        let reason = format!("{identity} is not shared between nodes, so its key stays where it is");
        return Err(HostError::Refused { path: target.certificate_path().to_owned(), reason });
    }
    let command = ReadCommand::ReadSharedIdentity { storage: source, links: run.links_on(&source_place) };
    let content = shared_identity(ask(run, &source_place, command)?)?;
    done(
        run,
        place,
        WriteCommand::WriteSharedIdentity { content, certificate, storage: target, trusted, cluster },
    )?;
    if let Some(certificate) = run.issued.get(&at_source).cloned() {
        run.issued.insert(action.address.clone(), certificate);
    }
    Ok(())
}

fn is_shared(run: &Run<'_, '_>, address: &Address) -> bool {
    run.settings.desired.identity_at(address).is_some_and(|wanted| wanted.shared)
}

/// Every identity that the visit wrote is read afresh and judged as the components would judge it.
fn verify(
    run: &mut Run<'_, '_>,
    action: &Action,
    identities: &BTreeSet<IdentityName>,
) -> Result<(), HostError> {
    let place = &action.address.place;
    let visit = run.plan.visit_of(action);
    let now = (run.settings.now)();
    let checks: Vec<IdentityCheck> = visit
        .into_iter()
        .flat_map(|visit| &visit.actions)
        .filter(|action| action.address.target.identity().is_some_and(|name| identities.contains(name)))
        .filter_map(|action| check(&action.deed, now))
        .collect();
    for identity in checks {
        ask(run, place, ReadCommand::Check { identity: Box::new(identity) })?;
    }
    keys::verify(run, action)
}

/// What the place that a deed wrote must be.
fn check(deed: &Deed, now: Timestamp) -> Option<IdentityCheck> {
    let (storage, verified_by, usages, (dns, ip)) = if let Deed::IssueIdentity(issue) = deed {
        (&issue.storage, &issue.verified_by, &issue.usages, (&issue.dns, &issue.ip))
    } else if let Deed::CopyIdentity(copy) = deed {
        (&copy.target, &copy.verified_by, &copy.usages, (&copy.dns, &copy.ip))
    } else if let Deed::InstallIdentity(install) = deed {
        (&install.storage, &install.verified_by, &install.usages, (&install.dns, &install.ip))
    } else {
        return None;
    };
    Some(IdentityCheck {
        storage: storage.clone(),
        authority: (!verified_by.is_empty()).then(|| verified_by.clone()),
        usages: usages.clone(),
        dns: dns.clone(),
        ip: ip.clone(),
        now,
    })
}

fn certificates(
    run: &Run<'_, '_>,
    from: Option<&CaCertificates>,
) -> Result<Option<NonEmpty<Certificate>>, HostError> {
    match from {
        Some(CaCertificates::Certificates(certificates)) => Ok(Some(certificates.clone())),
        Some(CaCertificates::Made(authority)) => {
            let made = run.made.get(authority).cloned().ok_or_else(unanswered)?;
            Ok(Some(NonEmpty::one(made)))
        }
        None => Ok(None),
    }
}
