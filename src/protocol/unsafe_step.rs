//! A step of a path that somebody else could have made lead anywhere.
//!
//! What enters is what a walk met; what leaves is the same in words: the place, the link, and the owners of both. Pure.

use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::diagnostic::escaped;

/// A user of a node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// The number.
    pub uid: u32,
    /// The name in the node's own `/etc/passwd`. Absent for a number without a name there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

impl From<u32> for User {
    fn from(uid: u32) -> Self {
        Self { uid, name: None }
    }
}

impl fmt::Display for User {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.name, self.uid) {
            (Some(name), uid) => write!(f, "{} ({uid})", escaped(name)),
            (None, 0) => f.write_str("root (0)"),
            (None, uid) => write!(f, "user {uid}"),
        }
    }
}

/// What was met behind a directory that others than the node's administrators can change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Met {
    /// A symbolic link.
    Link {
        /// What it says.
        target: String,
    },
    /// A directory that exists.
    Directory,
    /// A directory of this program's own that is not closed to others, or is not its own.
    NotClosed {
        /// Its permission bits.
        mode: u32,
    },
    /// A file that exists under this one name.
    File,
    /// A file that exists under other names too.
    HardLink,
    /// The mount point of another file system.
    MountPoint,
    /// A FIFO, socket or device.
    Other,
    /// Nothing: the name is free to be taken by whoever may write to the directory.
    Nothing,
}

/// A step of a path that is not taken, or only for looking, because somebody who is not trusted with the whole node decides where it leads.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct UnsafeStep {
    /// The directory from which the step goes, or the link that leads on, resolved.
    pub from: String,
    /// Who can change what it leads to; none where more than one user can.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_owner: Option<User>,
    /// What the link says, where the step goes on from a link.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_link: Option<String>,
    /// What the step leads to, resolved.
    pub to: String,
    /// What that is.
    pub met: Met,
    /// Who owns that; none where nothing is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to_owner: Option<User>,
}

impl UnsafeStep {
    /// The same with the names of the users, as the node has them.
    pub(crate) fn with_names(mut self, name: impl Fn(u32) -> Option<String>) -> Self {
        for user in [&mut self.from_owner, &mut self.to_owner].into_iter().flatten() {
            user.name = name(user.uid);
        }
        self
    }

    /// The link that leads on, or is met.
    pub fn link(&self) -> Option<&str> {
        match (&self.by_link, &self.met) {
            (Some(_), _) => Some(&self.from),
            (None, Met::Link { .. }) => Some(&self.to),
            (
                None,
                Met::Directory
                | Met::NotClosed { .. }
                | Met::File
                | Met::HardLink
                | Met::MountPoint
                | Met::Other
                | Met::Nothing,
            ) => None,
        }
    }
}

impl fmt::Display for UnsafeStep {
    /// One clause, without a full stop; texts from nodes are escaped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = escaped(&self.to);
        if let Some(target) = &self.by_link {
            write!(f, "{} is a link to {}", escaped(&self.from), escaped(target))?;
            if let Some(owner) = &self.from_owner {
                write!(f, " of {owner}")?;
            }
            f.write_str(", and leads on to something else: ")?;
        }
        match &self.met {
            Met::Link { target } => write!(f, "{to} is a link to {}", escaped(target))?,
            Met::Directory => write!(f, "{to} is a directory")?,
            Met::NotClosed { mode } => {
                write!(f, "{to} is a directory of mode {mode:04o}")?;
                if let Some(owner) = &self.to_owner {
                    write!(f, " of {owner}")?;
                }
                return f.write_str(
                    ", and what is kept there must be of the user who serves the node, with mode 0700",
                );
            }
            Met::File => write!(f, "{to} is a file")?,
            Met::HardLink => write!(f, "{to} is a file with other names too")?,
            Met::MountPoint => write!(f, "{to} is on another file system")?,
            Met::Other => write!(f, "{to} is neither file nor directory")?,
            Met::Nothing => write!(f, "{to} does not exist")?,
        }
        if let Some(owner) = &self.to_owner {
            write!(f, " of {owner}")?;
        }
        match &self.from_owner {
            _ if self.by_link.is_some() => Ok(()),
            Some(owner) => {
                write!(f, ", and the way to it is by {}, which {owner} can change", escaped(&self.from))
            }
            None => {
                write!(f, ", and the way to it is by {}, which several users can change", escaped(&self.from))
            }
        }
    }
}
