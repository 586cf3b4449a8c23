//! Where a test ends the process, or lets somebody else act: before any change of a disk, and in the middle of any write.
//!
//! What enters is how many changes the thread of the test still makes; what leaves is whether the next one is made. One holds for its own thread only, so that
//! tests beside each other do not meet it, and for as long as it lives. The program has none.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;

use rustix::io::Errno;

thread_local! {
    static ARMED: RefCell<Option<Rc<Armed>>> = const { RefCell::new(None) };
}

enum Armed {
    /// How many changes would still be made; negative when the end has come.
    Ends(Cell<i64>),
    /// What is done before each change, and how many there were.
    Meanwhile(Box<dyn Fn(usize)>, Cell<usize>),
}

/// The end of the process, or somebody else, between two changes that this thread makes.
pub(crate) struct FailPoint(Rc<Armed>);

impl FailPoint {
    /// Lets so many changes pass, and none after them.
    pub(crate) fn after(changes: i64) -> Self {
        Self::armed(Armed::Ends(changes.into()))
    }

    /// Does something before each change, which is told its number, from 0.
    pub(crate) fn with_meanwhile(deed: impl Fn(usize) + 'static) -> Self {
        Self::armed(Armed::Meanwhile(Box::new(deed), Cell::new(0)))
    }

    fn armed(armed: Armed) -> Self {
        let armed = Rc::new(armed);
        let before = ARMED.replace(Some(armed.clone()));
        assert!(before.is_none(), "one thread has one fail point at a time");
        Self(armed)
    }

    /// How many changes would still pass; negative when the end has come.
    pub(crate) fn left(&self) -> i64 {
        match &*self.0 {
            Armed::Ends(left) => left.get(),
            Armed::Meanwhile(..) => i64::MAX,
        }
    }
}

impl Drop for FailPoint {
    fn drop(&mut self) {
        ARMED.take();
    }
}

/// Whether the next change is made.
pub(super) fn pass() -> Result<(), Errno> {
    // What somebody else does may come here again.
    let armed = ARMED.with_borrow(Clone::clone);
    match armed.as_deref() {
        Some(Armed::Ends(left)) if left.replace(left.get() - 1) <= 0 => Err(Errno::INTR),
        Some(Armed::Meanwhile(deed, passed)) => {
            deed(passed.replace(passed.get() + 1));
            Ok(())
        }
        Some(Armed::Ends(_)) | None => Ok(()),
    }
}

/// Whether these bytes are written; the end may come when half of them are.
pub(super) fn pass_writing(file: &OwnedFd, bytes: &[u8]) -> Result<(), Errno> {
    let passed = pass();
    let has_just_ended = ARMED.with_borrow(|armed| match armed.as_deref() {
        Some(Armed::Ends(left)) => left.get() == -1,
        Some(Armed::Meanwhile(..)) | None => false,
    });
    if has_just_ended {
        let _torn = rustix::io::write(file, bytes.get(..bytes.len() / 2).unwrap_or_default());
    }
    passed
}
