//! Who decides what a name means: the rules by which a walk goes from one object to the next.
//!
//! What enters is where a walk stands and what it meets; what leaves is whether the step may be taken, and who decides from there on. Nothing is opened and
//! nothing is asked, so every rule is a row of a table in the tests.
//!
//! The danger: this program works as root in directories of other users. Whoever owns a directory can put any link, and any file of its own, under any name
//! in it, at every moment. So a step out of such a directory is taken only to what its owner could have changed without us.

use crate::protocol::facts::{Met as What, UnsafeStep, User};

/// What a walk is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// For reading facts: a link of an administrator in a directory of somebody else is looked through, and told.
    Look,
    /// For changing what is there, and for reading what is then written elsewhere.
    Work,
    /// For this program's own state: nobody else may decide anything on the way.
    State,
}

/// Who decides what the names in a directory mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Domain {
    /// Root, or the user who serves the node.
    Trusted,
    /// One other user.
    User(u32),
    /// Several users.
    Anyone,
}

/// The users who are trusted with all of a node: root, and whoever serves it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Trusted {
    /// Who serves it.
    pub(crate) serving: u32,
}

impl Trusted {
    pub(crate) fn includes(self, uid: u32) -> bool {
        uid == 0 || uid == self.serving
    }
}

/// What an object is, as far as the rules ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Directory,
    Link,
    Regular,
    Other,
}

/// An object that a walk meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) kind: Kind,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) mode: u32,
    pub(crate) links: u64,
    pub(crate) device: u64,
    /// Whether an access list is on it; then the group's bits are the most that the list gives to anybody.
    pub(crate) has_access_list: bool,
}

/// Where a walk stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) domain: Domain,
    /// Others may add names, and nobody but their owners may change them.
    pub(crate) is_sticky: bool,
    pub(crate) device: u64,
    /// Whether a link was followed that no administrator made.
    pub(crate) after_foreign_link: bool,
}

/// The way in which a step goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// To a name in the directory.
    Down {
        /// Whether the path ends there.
        is_last: bool,
    },
    /// To the directory above, or back to the root.
    Back,
}

/// Whether a step may be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Go(Standing),
    /// Only for looking, and said.
    Told(Standing),
    Refused,
}

/// Whether a directory of this mode lets others than its owner add names. With an access list the group's bits are the most that the list gives to anybody.
pub(crate) fn opens_to_others(mode: u32, gid: u32, has_access_list: bool) -> bool {
    mode & 0o002 != 0 || mode & 0o020 != 0 && (gid != 0 || has_access_list)
}

impl Object {
    /// Who decides about what is in it, if it is a directory, or whose it is.
    fn domain(&self, trusted: Trusted) -> (Domain, bool) {
        let own = if trusted.includes(self.uid) { Domain::Trusted } else { Domain::User(self.uid) };
        if self.kind != Kind::Directory {
            return (own, false);
        }
        match (opens_to_others(self.mode, self.gid, self.has_access_list), self.mode & 0o1000 != 0) {
            (false, _) => (own, false),
            (true, true) => (own, true),
            (true, false) => (Domain::Anyone, false),
        }
    }

    /// What it is, in the words of a message.
    pub(crate) fn what(&self, from: &Standing, target: Option<String>) -> What {
        match (self.kind, target) {
            (Kind::Link, target) => What::Link { target: target.unwrap_or_default() },
            (_, _) if self.device != from.device => What::MountPoint,
            (Kind::Directory, _) => What::Directory,
            (Kind::Regular, _) if self.links > 1 => What::HardLink,
            (Kind::Regular, _) => What::File,
            (Kind::Other, _) => What::Other,
        }
    }
}

impl Standing {
    /// At the root of a tree, which is trusted whoever owns it: whoever runs the program chose it.
    pub(crate) fn at_root(device: u64) -> Self {
        Self { domain: Domain::Trusted, is_sticky: false, device, after_foreign_link: false }
    }

    /// Whether a step to an object may be taken.
    pub(crate) fn step(&self, met: &Object, way: Way, purpose: Purpose, trusted: Trusted) -> Verdict {
        let (domain, is_sticky) = met.domain(trusted);
        let is_foreign_link = met.kind == Kind::Link && !trusted.includes(met.uid);
        let after_foreign_link = self.after_foreign_link || is_foreign_link;
        let there = Self { domain, is_sticky, device: met.device, after_foreign_link };
        match (self.domain, purpose) {
            (Domain::Trusted, Purpose::State) if domain != Domain::Trusted => Verdict::Refused,
            // Who has another name for it can write to it, whatever this one is closed to.
            (Domain::Trusted, Purpose::State) if met.kind == Kind::Regular && met.links > 1 => {
                Verdict::Refused
            }
            // Anybody may put a link into such a directory, for whoever follows it.
            (Domain::Trusted, _) if self.is_sticky && is_foreign_link => Verdict::Refused,
            (Domain::Trusted, _) => Verdict::Go(there),
            (Domain::Anyone, _) | (Domain::User(_), Purpose::State) => Verdict::Refused,
            (Domain::User(owner), _) if met.uid == owner => {
                // Whoever owns a directory cannot mount anything on it.
                if met.device == self.device { Verdict::Go(there) } else { Verdict::Refused }
            }
            (Domain::User(_), purpose) => self.step_to_trusted(met, way, purpose, trusted, there),
        }
    }

    /// From a directory of another user: that user cannot make an object of an administrator, only rename one that is in a directory of its own.
    fn step_to_trusted(
        &self,
        met: &Object,
        way: Way,
        purpose: Purpose,
        trusted: Trusted,
        there: Self,
    ) -> Verdict {
        let Way::Down { is_last } = way else { return Verdict::Refused };
        if !trusted.includes(met.uid) || self.after_foreign_link || met.device != self.device {
            return Verdict::Refused;
        }
        let stays = if there.domain == Domain::Anyone { Domain::Anyone } else { self.domain };
        match met.kind {
            Kind::Directory => Verdict::Go(Self { domain: stays, ..there }),
            Kind::Regular if is_last && met.links == 1 => Verdict::Go(Self { domain: stays, ..there }),
            Kind::Link if purpose == Purpose::Look => Verdict::Told(there),
            Kind::Regular | Kind::Link | Kind::Other => Verdict::Refused,
        }
    }

    /// Whether a name that is free may be taken.
    pub(crate) fn may_create(&self, purpose: Purpose) -> bool {
        match self.domain {
            Domain::Trusted => true,
            Domain::User(_) => purpose != Purpose::State,
            Domain::Anyone => false,
        }
    }

    /// Who can change what the walk meets next.
    pub(crate) fn owner(&self) -> Option<User> {
        match self.domain {
            Domain::Trusted if self.is_sticky => None,
            Domain::Trusted => Some(User::from(0)),
            Domain::User(uid) => Some(User::from(uid)),
            Domain::Anyone => None,
        }
    }

    /// A step that may not be taken, in words.
    pub(crate) fn refused(
        &self,
        from: String,
        to: String,
        met: Option<(&Object, Option<String>)>,
    ) -> UnsafeStep {
        let (met, to_owner) = match met {
            Some((object, target)) => (object.what(self, target), Some(User::from(object.uid))),
            None => (What::Nothing, None),
        };
        UnsafeStep { from, from_owner: self.owner(), by_link: None, to, met, to_owner }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "the tests make the files that the steps lead to")]
mod tests;
