//! Steps of what could take more of them than its input is long.
//!
//! What enters is how many steps a search has taken; what leaves, for tests alone, is their sum: a time says as much about the machine, a count only about the
//! code. Outside of tests nothing is counted.

#[cfg(test)]
std::thread_local! {
    static STEPS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
}

/// Notes that as many things were compared or passed over.
#[cfg(test)]
pub(crate) fn steps(count: usize) {
    STEPS.with(|steps| steps.set(steps.get().saturating_add(count)));
}

/// Notes that as many things were compared or passed over.
#[cfg(not(test))]
pub(crate) const fn steps(_: usize) {}

/// The steps that something takes.
#[cfg(test)]
pub(crate) fn of(deed: impl FnOnce()) -> usize {
    let before = STEPS.with(std::cell::Cell::get);
    deed();
    STEPS.with(std::cell::Cell::get) - before
}
