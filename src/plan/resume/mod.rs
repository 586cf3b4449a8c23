//! What an interrupted or saved plan still has to do, and the way back. Pure.

pub mod again;
pub mod progress;
pub mod rollback;
pub mod selection;
