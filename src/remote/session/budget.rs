//! What the answers of all nodes together may cost in memory.
//!
//! What enters is how long each answer is; what leaves is that there is room for it, or not. What an ordinary answer costs every node may spend; what goes beyond
//! comes out of one purse, so that a few nodes with huge answers take nothing from the others. What is kept of an answer can be many times as long as its text.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::protocol::wire::frame::MEBIBYTE;

/// What all nodes together may cost.
const ALL: usize = 512 * MEBIBYTE;
/// What of it the long answers may cost, beyond what is ordinary.
const LONG: usize = 192 * MEBIBYTE;
/// An answer of this length is ordinary: some sixty files with their certificates.
const ORDINARY: usize = 256 * 1024;
/// What a byte of an ordinary answer costs, and what one beyond it may: the shortest things that JSON can say take many times their length.
const COST: usize = 2;
const COST_BEYOND: usize = 16;

static SPENT: AtomicUsize = AtomicUsize::new(0);
static SPENT_BEYOND: AtomicUsize = AtomicUsize::new(0);

/// What one answer costs, until it is dropped.
#[derive(Debug)]
pub(super) struct Cost {
    ordinary: usize,
    beyond: usize,
}

impl Cost {
    /// Takes room for an answer of this length; none where there is not enough.
    pub(super) fn of(length: usize) -> Option<Self> {
        let ordinary = length.min(ORDINARY).saturating_mul(COST);
        let beyond = length.saturating_sub(ORDINARY).saturating_mul(COST_BEYOND);
        let spend = |spent: &AtomicUsize, cost: usize, most: usize| {
            let take = |now: usize| now.checked_add(cost).filter(|sum| *sum <= most);
            spent.fetch_update(Ordering::SeqCst, Ordering::SeqCst, take).is_ok()
        };
        if !spend(&SPENT_BEYOND, beyond, LONG) {
            return None;
        }
        let mut cost = Self { ordinary: 0, beyond };
        // What was taken from the purse goes back when the rest cannot be paid.
        if !spend(&SPENT, ordinary, ALL - LONG) {
            return None;
        }
        cost.ordinary = ordinary;
        Some(cost)
    }
}

impl Cost {
    /// Whether another answer costs more.
    pub(super) fn is_less_than(&self, other: &Self) -> bool {
        (self.ordinary, self.beyond) < (other.ordinary, other.beyond)
    }
}

impl Drop for Cost {
    fn drop(&mut self) {
        SPENT.fetch_sub(self.ordinary, Ordering::SeqCst);
        SPENT_BEYOND.fetch_sub(self.beyond, Ordering::SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_answers_share_one_purse_and_leave_the_others_theirs() {
        let long: Vec<Cost> = std::iter::from_fn(|| Cost::of(4 * MEBIBYTE)).take(1000).collect();
        assert!((1..=4).contains(&long.len()), "{}", long.len());
        let ordinary: Vec<Cost> = std::iter::from_fn(|| Cost::of(100 * 1024)).take(1000).collect();
        assert_eq!(ordinary.len(), 1000, "a thousand nodes are seen all the same");
        drop(long);
        assert!(Cost::of(4 * MEBIBYTE).is_some(), "what is dropped can be spent again");
    }
}
