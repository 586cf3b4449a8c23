//! Phases: what a plan does on every node that it concerns before it does the next thing on any.
//!
//! What enters is nothing; what leaves is a closed list of phases, one row for each, in their order. A phase is a barrier over the whole cluster: none of its transactions is
//! open when the next one begins, and whoever goes back goes back through them. Inside a phase a node has one transaction at most.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The CA that goes, the one that comes, or both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The one that goes.
    Old,
    /// One and the other.
    Both,
    /// The one that comes.
    New,
}

impl Side {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Side::Old => "old",
            Side::Both => "old + new",
            Side::New => "new",
        }
    }
}

/// What holds once a phase is done in which one CA takes the place of another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sides {
    /// Which CAs everybody trusts.
    pub trusted: Side,
    /// Which CA issued what is shown; none where that is as the plan found it.
    pub shown: Option<Side>,
}

/// Makes the enum and its questions of the rows `VARIANT = NAME, TITLE, WORDS, [trusted: SIDE, shown: SIDE,] back: WHETHER;`. A row with sides is of a
/// replacement.
macro_rules! phases {
    ($(
        $(#[$doc:meta])*
        $variant:ident = $name:literal, $title:literal, $words:literal,
        $(trusted: $trusted:ident, shown: $shown:ident,)?
        back: $back:literal;
    )*) => {
        /// A phase. They are carried out in this order.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
        pub enum Phase {
            $($(#[$doc])* #[serde(rename = $name)] $variant,)*
        }

        impl Phase {
            /// All of them, in order.
            pub const ALL: [Phase; [$(Phase::$variant),*].len()] = [$(Phase::$variant),*];

            /// Its name.
            pub fn name(self) -> &'static str {
                match self { $(Phase::$variant => $name,)* }
            }

            /// What it is called.
            pub fn title(self) -> &'static str {
                match self { $(Phase::$variant => $title,)* }
            }

            /// What it is for, in words.
            pub fn words(self) -> &'static str {
                match self { $(Phase::$variant => $words,)* }
            }

            /// What everybody trusts and shows once it is done; none where no CA takes the place of another.
            pub(crate) fn sides(self) -> Option<Sides> {
                match self { $(Phase::$variant => phases!(@sides $($trusted $shown)?),)* }
            }

            /// Whether it can be taken back once it is done.
            pub(crate) fn has_way_back(self) -> bool {
                match self { $(Phase::$variant => $back,)* }
            }
        }
    };
    (@sides) => { None };
    (@sides $trusted:ident AsFound) => { Some(Sides { trusted: Side::$trusted, shown: None }) };
    (@sides $trusted:ident $shown:ident) => { Some(Sides { trusted: Side::$trusted, shown: Some(Side::$shown) }) };
}

phases! {
    /// A member of etcd sends its data, which is kept: no member is restarted before.
    EtcdSnapshot = "etcd-snapshot", "save etcd's data", "save etcd's data before any member is restarted", back: true;
    /// Etcd, which has no quorum, gets one again: nobody else works before.
    Quorum = "quorum", "bring etcd back", "bring etcd back, whose members wait for each other", back: true;
    /// Everything that needs no phase of its own.
    #[default]
    Ordinary = "ordinary", "everything else", "do everything else", back: true;
    /// A CA that takes the place of another is made, where nobody reads it yet.
    Prepare = "prepare", "prepare", "make the new CA, which nobody reads yet", trusted: Old, shown: AsFound, back: true;
    /// Everybody who checks certificates trusts both.
    TrustBoth = "trust-both", "trust both", "trust the old CA and the new one", trusted: Both, shown: AsFound, back: true;
    /// Those who only connect show certificates of the new one: they fail softly, one at a time.
    Clients = "clients", "reissue clients", "reissue what clients show", trusted: Both, shown: Both, back: true;
    /// Members of etcd show each other certificates of the new one.
    Peers = "peers", "reissue peers", "reissue what members show each other", trusted: Both, shown: Both, back: true;
    /// Servers show certificates of the new one: whoever does not trust it fails now, so all others were proven before.
    Servers = "servers", "reissue servers", "reissue what servers show", trusted: Both, shown: New, back: true;
    /// Nobody trusts the old one any more. There is no way back from here.
    DropOld = "drop-old", "drop old", "drop the old CA", trusted: New, shown: New, back: false;
    /// The snapshots forget the key of a CA that is distrusted. There is no way back from here either.
    Purge = "purge", "purge", "remove the distrusted CA's key from the snapshots", trusted: New, shown: New, back: false;
}

/// No phase is called so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no phase is called so; there are {}", Phase::ALL.map(Phase::name).join(", "))]
pub struct PhaseError;

impl Phase {
    /// Whether it is the one that a plan without phases has.
    pub fn is_ordinary(&self) -> bool {
        *self == Phase::Ordinary
    }

    /// Whether it is one of those in which one CA takes the place of another.
    pub fn is_of_replacement(self) -> bool {
        self.sides().is_some()
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Phase {
    type Err = PhaseError;

    fn from_str(text: &str) -> Result<Self, PhaseError> {
        Phase::ALL.into_iter().find(|phase| phase.name() == text).ok_or(PhaseError)
    }
}
