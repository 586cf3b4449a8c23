//! The real program ended or failed at each of its system calls.

pub(crate) mod walk;
