//! The beginning of a transaction, for tests that open one on a node without a plan, as a run that is killed there leaves it.

use pki::protocol::command::{Begin, VisitId};

/// The first transaction of a run, which may change these paths.
pub(crate) fn begin(run: &str, paths: &[&str]) -> Begin {
    Begin {
        id: VisitId { run: run.to_owned(), visit: 1 },
        paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        state_directory: "/var/lib/pki".to_owned(),
        keep: 3,
        note: "a test".to_owned(),
        units: Default::default(),
        gates: Default::default(),
        gates_seconds: 0,
        links: Default::default(),
        leads: Default::default(),
        replace_foreign: Default::default(),
    }
}
