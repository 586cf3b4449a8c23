//! Files of a tree or of this machine, opened so that nobody but those who are trusted with it decides where a path leads.

pub mod confined;
pub mod named;
