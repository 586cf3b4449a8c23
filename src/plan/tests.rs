//! Start in agreement, change one thing, look at the plan.
