//! A run of pki on the live cluster, with everything that judges it beside it.

use std::collections::BTreeSet;
use std::time::Instant;

use serde_json::Value;

use crate::cluster::Cluster;
use crate::judges::{Running, listed, restarted, running};
use crate::load::{Load, Used};

/// Something that is done to the cluster while clients use it.
pub(crate) struct Experiment<'a> {
    cluster: &'a Cluster,
    what: &'a str,
    load: Load,
    before: Running,
    begun: Instant,
}

impl<'a> Experiment<'a> {
    pub(crate) fn begin(cluster: &'a Cluster, what: &'a str) -> Self {
        let (load, before) = (Load::on(cluster), running(cluster.all()));
        Self { cluster, what, load, before, begun: Instant::now() }
    }

    /// Ends the load; exactly what the plan lists was restarted, but for who gives up by itself.
    #[track_caller]
    pub(crate) fn end(self, plan: &Value) -> Used {
        let took = self.begun.elapsed();
        let after = running(self.cluster.all());
        let (found, wanted) = (restarted(&self.before, &after), listed(plan));
        let used = self.load.end();
        used.tell(&format!("{} in {:.0} s; {} restarts listed", self.what, took.as_secs_f64(), wanted.len()));
        let unlisted: Vec<&String> =
            found.difference(&wanted).filter(|one| !gives_up(one, &wanted)).collect();
        assert!(unlisted.is_empty(), "{}: restarted and not listed: {unlisted:?}", self.what);
        let missing: Vec<&String> = wanted.difference(&found).collect();
        assert!(missing.is_empty(), "{}: listed and not restarted: {missing:?}", self.what);
        used
    }
}

/// Whether it may have ended by itself: a controller-manager or scheduler that leads gives up where its API server is away for ten seconds (Kubernetes 1.20,
/// `--leader-elect-renew-deadline`), and its kubelet starts it again.
fn gives_up(program: &str, listed: &BTreeSet<String>) -> bool {
    let Some((name, node)) = program.split_once('@') else { return false };
    let leads = ["kube-controller-manager", "kube-scheduler"].contains(&name);
    leads && listed.contains(&format!("kube-apiserver@{node}"))
}

/// A plan that is saved, as people approve it.
pub(crate) struct Saved {
    pub(crate) plan: Value,
    file: &'static str,
    digest: String,
}

impl Saved {
    pub(crate) fn make(cluster: &Cluster, file: &'static str, more: &[&str]) -> Self {
        let (plan, digest) = cluster.controller.save_plan(file, more);
        Self { plan, file, digest }
    }

    /// How it is applied, with everything that its approval needs.
    pub(crate) fn apply<'a>(&'a self, confirm: &'a [&'a str]) -> Vec<&'a str> {
        let words = ["apply", self.file, "--yes", "--expect-digest", &self.digest, "--lock-timeout", "1m"];
        [&words[..], confirm].concat()
    }
}
