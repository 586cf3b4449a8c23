//! Signals during a run: the first SIGINT or SIGTERM asks the run to stop, the second one stops the program at once.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

use super::output;

/// Sets the flag at the first signal; what is open when a second one ends the program is undone by the next run.
pub(super) fn stop_on_signal(stop: &Arc<AtomicBool>) {
    for signal in [SIGINT, SIGTERM] {
        let registered = flag::register_conditional_default(signal, Arc::clone(stop))
            .and_then(|_| flag::register(signal, Arc::clone(stop)));
        if let Err(error) = registered {
            output::tell(&format!("warning: signals cannot be caught: {error}\n"));
        }
    }
}
