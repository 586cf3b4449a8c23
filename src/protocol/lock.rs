//! Who wants a node for himself, and who holds its lock. Plain values.

use std::fmt;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// Most characters of each word that is written about a holder.
const WORD_LIMIT: usize = 256;

/// Who wants a node for himself, for the next one to read.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Claim {
    /// The run, which is also the plan's id.
    pub run: String,
    /// The user who started it; empty when that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// The machine that it was started on; empty when that is not known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub host: String,
    /// The page of the pipeline's job.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
}

impl Claim {
    /// A run of which nothing else is known.
    pub fn of_run(run: &str) -> Self {
        Self { run: run.to_owned(), ..Self::default() }
    }

    /// The same for a file that is read only so far.
    pub(crate) fn shortened(&self) -> Self {
        let short = |word: &String| word.chars().take(WORD_LIMIT).collect();
        Self {
            run: short(&self.run),
            user: short(&self.user),
            host: short(&self.host),
            url: self.url.as_ref().map(short),
        }
    }
}

/// Who holds the lock of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Holder {
    /// The process that holds it, by the node's numbers.
    pub pid: u32,
    /// Since when, by the node's clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since: Option<Timestamp>,
    /// For whom.
    #[serde(flatten)]
    pub claim: Claim,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Claim { run, user, host, url } = &self.claim;
        write!(f, "run {run}")?;
        if !user.is_empty() {
            write!(f, " by {user}")?;
        }
        if !host.is_empty() {
            write!(f, " on {host}")?;
        }
        if let Some(since) = self.since {
            write!(f, " since {}", since.strftime("%Y-%m-%d %H:%M:%SZ"))?;
        }
        write!(f, " (process {}", self.pid)?;
        if let Some(url) = url {
            write!(f, ", {url}")?;
        }
        f.write_str(")")
    }
}

/// How the lock of a node stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum LockState {
    /// Nobody holds it.
    Free,
    /// Somebody holds it.
    Held {
        /// Who, if he says so.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        holder: Option<Holder>,
    },
}
