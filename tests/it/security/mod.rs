//! What somebody who lies gets: a local user, the author of a checkout or of a plan, and whoever reads memory or logs.

pub(crate) mod ci_examples;
pub(crate) mod dumps;
pub(crate) mod forged_plans;
pub(crate) mod hostile_user;
pub(crate) mod log_processors;
pub(crate) mod privileges;
pub(crate) mod secrets;
pub(crate) mod whose_word;
