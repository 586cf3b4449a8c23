//! Runs that a node made of values forgets.
//!
//! What enters is how many are kept; what leaves is the names of those that are not any more, the oldest first. It touches nothing but their records.

use crate::agent::memory::Memory;

impl Memory {
    pub(super) fn prune_runs(&mut self, keep: u32) -> Vec<String> {
        let mut runs: Vec<String> = Vec::new();
        for kept in self.work.visits.iter().rev() {
            if !runs.contains(&kept.about.run) {
                runs.push(kept.about.run.clone());
            }
        }
        let old: Vec<String> = runs.into_iter().skip(usize::try_from(keep).unwrap_or(usize::MAX)).collect();
        self.work.visits.retain(|kept| !old.contains(&kept.about.run));
        old.into_iter().rev().collect()
    }
}
