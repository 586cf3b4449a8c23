//! Private keys that nodes share by their layout: each is bound by its public half, by the plan or by what this run has made.

use crate::plan::{Action, Deed, KeyCopy};
use crate::protocol::command::{ReadCommand, WriteCommand};
use crate::protocol::error::HostError;
use crate::types::certificate::NewKeyAlgorithm;
use crate::types::names::Target;
use crate::types::place::Place;
use crate::types::storage::FileSpec;
use crate::x509::Sha256;

use super::Run;
use super::answers::{ask, done, perform, public_key, shared};

/// From memory to memory. The node that receives it compares it with what the plan says before it writes: the one that gave it may lie.
pub(super) fn copy(run: &mut Run<'_, '_>, action: &Action, copy: &KeyCopy) -> Result<(), HostError> {
    let Some(key) = bound(run, &action.address.target, copy.spki) else {
        let reason = format!(
            "the plan does not say which key {} gives, and this run has not made it; make a new plan",
            copy.from
        );
        return Err(HostError::Refused { path: copy.file.path.clone(), reason });
    };
    let from = Place::from(&copy.from);
    let command = ReadCommand::ReadShared { path: copy.source.clone(), links: run.links_on(&from) };
    let content = shared(ask(run, &from, command)?)?;
    done(run, &action.address.place, WriteCommand::WriteShared { file: copy.file.clone(), content, key })
}

/// Which key it must be: what the plan saw, else what this run has made.
fn bound(run: &Run<'_, '_>, subject: &Target, planned: Option<Sha256>) -> Option<Sha256> {
    let made = match subject {
        Target::Authority(authority) => {
            run.made.get(authority).map(|certificate| certificate.facts().key.spki_sha256)
        }
        Target::KeyPair(pair) => run.pairs.get(pair).copied(),
        Target::Identity(_) | Target::Directory(_) | Target::Service(_) | Target::Node => None,
    };
    planned.or(made)
}

pub(super) fn create_pair(
    run: &mut Run<'_, '_>,
    action: &Action,
    (private, public): (&FileSpec, &FileSpec),
    algorithm: NewKeyAlgorithm,
) -> Result<(), HostError> {
    let command = WriteCommand::CreateKeyPair { private: private.clone(), public: public.clone(), algorithm };
    let made = public_key(perform(run, &action.address.place, command)?)?;
    if let Target::KeyPair(pair) = &action.address.target {
        run.pairs.insert(pair.clone(), made.spki_sha256);
    }
    Ok(())
}

/// Every key that the visit wrote without issuing a certificate for it is read afresh, with what lies beside it.
pub(super) fn verify(run: &mut Run<'_, '_>, verify: &Action) -> Result<(), HostError> {
    let checks: Vec<WriteCommand> = {
        let visit = run.plan.visit_of(verify).into_iter();
        let actions = visit.flat_map(|visit| &visit.actions);
        actions.filter_map(|action| check(run, action)).collect()
    };
    for command in checks {
        done(run, &verify.address.place, command)?;
    }
    Ok(())
}

fn check(run: &Run<'_, '_>, action: &Action) -> Option<WriteCommand> {
    let subject = &action.address.target;
    let (path, planned, beside) = if let Deed::CopyKey(copy) = &action.deed {
        (&copy.file.path, copy.spki, None)
    } else if let Deed::CreateAuthority { certificate, key, .. } = &action.deed {
        (&key.path, None, Some(certificate.path.clone()))
    } else if let Deed::InstallAuthority { certificate, key, root, .. } = &action.deed {
        (&key.path, Some(root.facts().key.spki_sha256), Some(certificate.path.clone()))
    } else if let Deed::CreateKeyPair { private, public, .. } = &action.deed {
        (&private.path, None, Some(public.path.clone()))
    } else if let Deed::WritePublicKey { private, public } = &action.deed {
        return Some(WriteCommand::CheckKey {
            path: private.path.clone(),
            key: None,
            beside: Some(public.path.clone()),
        });
    } else {
        return None;
    };
    Some(WriteCommand::CheckKey { path: path.clone(), key: bound(run, subject, planned), beside })
}
