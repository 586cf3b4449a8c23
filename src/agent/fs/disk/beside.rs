//! The names of what waits beside the thing that it is to become, or was.
//!
//! What enters is the seed of a transaction and the name of a thing; what leaves is a row of names beside it, and something new under the first of them that
//! is free. Without the seed nobody can tell them: it is random, and stands in the journal, which only who serves the node can read, before the first of
//! them is used. With the journal everybody can, so what a crash left under one of them is found. What somebody has put under such a name stays while
//! something is made, and goes with what a crash left: whoever saw a name in use may have taken it since.

use std::os::fd::OwnedFd;

use rustix::fs::Mode;
use rustix::io::Errno;
use serde::{Deserialize, Serialize};

use super::{Dir, Identity, effect, host_error};
use crate::agent::fs::print::Salt;
use crate::protocol::error::HostError;
use crate::protocol::snapshots::temporary_name;

/// How many names a thing has. Each becomes known to the directory's owner when it is used, who may take it from then on; a transaction uses few.
const NAMES: u32 = 16;

/// What the names of a transaction are made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Seed(Salt);

impl Seed {
    /// A new one.
    pub(crate) fn drawn() -> Result<Self, HostError> {
        Salt::drawn().map(Self)
    }
}

/// The names that one transaction uses.
#[derive(Debug, Clone)]
pub(crate) enum Beside {
    /// Random to everyone who cannot read the journal.
    Seeded(Seed),
    /// The one name that versions without a seed gave, made from the run.
    Run(String),
}

impl Beside {
    /// The names beside a thing, in the order in which they are tried: 64 bits of each are random.
    pub(crate) fn names(&self, name: &str) -> Vec<String> {
        match self {
            Self::Seeded(Seed(salt)) => {
                let end = |number| {
                    let digest = salt.digest(format!("{number}/{name}").as_bytes());
                    hex::encode(digest.as_bytes().iter().take(8).copied().collect::<Vec<u8>>())
                };
                (0..NAMES).map(|number| temporary_name(name, &end(number))).collect()
            }
            Self::Run(run) => vec![temporary_name(name, run)],
        }
    }
}

impl Dir {
    /// Makes something new beside a name; under another name where somebody has taken the first. `make` must fail where there is something already.
    fn make_beside<T>(
        &self,
        name: &str,
        beside: &Beside,
        make: impl Fn(&Self, &str) -> Result<T, Errno>,
    ) -> Result<(String, T), HostError> {
        for temporary in beside.names(name) {
            match effect(|| make(self, &temporary)) {
                Ok(made) => return Ok((temporary, made)),
                Err(Errno::EXIST) => {}
                Err(error) => return Err(host_error(self.path_of(name), error)),
            }
        }
        let reason = "somebody has taken every name for a temporary file beside it".to_owned();
        Err(HostError::Refused { path: self.path_of(name), reason })
    }

    /// Makes a file beside a name; it and the name that it has.
    pub(crate) fn create_beside(&self, name: &str, beside: &Beside) -> Result<(String, OwnedFd), HostError> {
        self.make_beside(name, beside, Self::open_new)
    }

    /// Makes a link beside a name and gives it to its owner; the name that it has.
    pub(crate) fn link_beside(
        &self,
        name: &str,
        beside: &Beside,
        target: &str,
        (uid, gid): (u32, u32),
    ) -> Result<String, HostError> {
        let make = |here: &Self, name: &str| rustix::fs::symlinkat(target, &here.handle, name);
        let (temporary, ()) = self.make_beside(name, beside, make)?;
        let own = self.stat(&temporary)?;
        if own.is_none_or(|own| (own.st_uid, own.st_gid) != (uid, gid)) {
            self.own_link(&temporary, uid, gid)?;
        }
        Ok(temporary)
    }

    /// Makes a closed directory beside a name; the name that it has.
    pub(crate) fn directory_beside(&self, name: &str, beside: &Beside) -> Result<String, HostError> {
        let make =
            |here: &Self, name: &str| rustix::fs::mkdirat(&here.handle, name, Mode::from_raw_mode(0o700));
        Ok(self.make_beside(name, beside, make)?.0)
    }

    /// Gives what is under a name one of the names beside it, if it still is what was looked at; the name that it has then.
    pub(crate) fn move_beside(
        &self,
        name: &str,
        beside: &Beside,
        known: Option<&Identity>,
    ) -> Result<String, HostError> {
        self.check_is(name, known)?;
        let rename = |here: &Self, temporary: &str| here.rename_exclusively(name, temporary);
        let (temporary, ()) = self.make_beside(name, beside, rename)?;
        self.sync()?;
        Ok(temporary)
    }

    /// Removes whatever this transaction may have left beside a name; nothing is no error.
    pub(crate) fn remove_beside(&self, name: &str, beside: &Beside) -> Result<(), HostError> {
        beside.names(name).iter().try_for_each(|temporary| self.remove_any(temporary))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_name_of_each_thing_in_each_transaction_is_another_one_with_64_random_bits() {
        let seeds = [Seed::drawn().unwrap(), Seed::drawn().unwrap()];
        let mut seen = BTreeSet::new();
        for seed in &seeds {
            for thing in ["a", "b"] {
                let names = Beside::Seeded(seed.clone()).names(thing);
                assert_eq!(
                    names,
                    Beside::Seeded(seed.clone()).names(thing),
                    "whoever has the seed finds them again"
                );
                for name in names {
                    let end = name.strip_prefix(&format!(".{thing}.pki-")).unwrap().to_owned();
                    assert!(end.len() == 16 && end.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
                    assert!(seen.insert(end), "{name}");
                }
            }
        }
        assert_eq!(seen.len(), 2 * 2 * 16);
    }

    #[test]
    fn what_a_version_without_a_seed_left_is_found_under_its_name() {
        assert_eq!(Beside::Run("7f3a-91c2".to_owned()).names("x"), [".x.pki-7f3a-91c2"]);
    }
}
