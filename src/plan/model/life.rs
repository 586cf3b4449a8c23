//! How long a plan may be applied after it was made.
//!
//! What enters is the work of a plan and what the user asked for; what leaves is a length of time. A plan lives as long as a review takes; what it was made from is
//! looked at again anyway. But its certificates begin when it was made, so one that waits too long would issue what has little left to live. Pure.

use jiff::Timestamp;

use crate::plan::{Action, Options, PlanContent, PlannedTransaction};
use crate::types::duration::Duration;

/// How long a plan may be applied where the user says nothing.
pub const PLAN_LIFE: Duration = Duration::from_days(7);

/// At most this part of the shortest validity that a plan issues.
const SHARE: u64 = 4;

/// How long a plan may be applied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// So long after it was made.
    pub length: Duration,
    /// The shortest validity that it issues, where that is why it is not longer.
    pub cut_by: Option<Duration>,
}

impl PlanContent {
    /// How long it may be applied.
    pub fn life(&self) -> Life {
        life(&self.visits, &self.options)
    }
}

/// How long work may be done after it was planned.
pub(crate) fn life(visits: &[PlannedTransaction], options: &Options) -> Life {
    let wanted = options.valid_for.unwrap_or(PLAN_LIFE);
    let periods = visits.iter().flat_map(|visit| &visit.actions).filter_map(issued);
    let shortest = periods.min();
    let most = shortest.map(|shortest| Duration::from_seconds(shortest.seconds() / SHARE));
    match most.filter(|most| *most < wanted) {
        Some(most) => Life { length: most, cut_by: shortest },
        None => Life { length: wanted, cut_by: None },
    }
}

/// When work that was planned for this instant is too old.
pub(crate) fn expires(visits: &[PlannedTransaction], options: &Options, made: Timestamp) -> Timestamp {
    life(visits, options).length.after(made)
}

/// For how long an action issues a certificate.
fn issued(action: &Action) -> Option<Duration> {
    let (from, to) = action.traits().issues?;
    let seconds = to.as_second().saturating_sub(from.as_second());
    Some(Duration::from_seconds(u64::try_from(seconds).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{lost_pair, plan_of};

    fn life_of(valid_for: Option<&str>) -> Life {
        let valid_for = valid_for.map(|text| text.parse().unwrap());
        plan_of(&lost_pair(), &Options { valid_for, ..Options::default() }).life()
    }

    #[test]
    fn a_plan_lives_for_a_week_or_as_long_as_is_said() {
        let length = |valid_for| life_of(valid_for).length.to_string();
        assert_eq!(
            (length(None), length(Some("2d")), length(Some("14d"))),
            ("7d".into(), "2d".into(), "14d".into())
        );
    }

    #[test]
    fn it_never_lives_longer_than_a_quarter_of_what_it_issues() {
        let life = life_of(Some("365d"));
        let shortest = life.cut_by.unwrap();
        assert_eq!(life.length.seconds(), shortest.seconds() / 4);
        assert!(shortest.days() >= 364, "{shortest}");
    }
}
