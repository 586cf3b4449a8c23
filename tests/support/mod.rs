//! What the tests stand on: clusters to work at, other programs as judges, and where random cases come from. No test is here.

pub(crate) mod begin;
pub(crate) mod by_hand;
pub(crate) mod cluster;
pub(crate) mod kept;
pub(crate) mod listing;
pub(crate) mod made;
pub(crate) mod openssl;
pub(crate) mod program;
pub(crate) mod seeds;
pub(crate) mod told_keys;
pub(crate) mod traces;
