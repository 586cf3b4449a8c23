//! What has come from the controller, and whether it is still there.
//!
//! What enters is the stream, which a thread of its own reads to its end; what leaves is one message at a time, or that there will be none any more. Nothing is
//! piled up: the controller waits for each answer, so that no more than the greeting and the first request ever wait together.

use std::collections::VecDeque;
use std::io::Read;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::protocol::wire::HEARTBEAT;
use crate::protocol::wire::frame;
use crate::protocol::wire::frame::{Frame, FrameError};

/// The greeting has no answer, so the first request may be there before it was taken.
const MOST_WAITING: usize = 2;

/// Why nothing comes any more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Gone {
    /// The stream ended.
    Closed,
    /// Nothing came for too long.
    Silent,
    /// The process was told to end.
    Stopped,
    /// What came is not the protocol.
    Refused(String),
}

/// The message that waits, and the state of the stream.
#[derive(Debug)]
pub(super) struct Inbox {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug)]
struct State {
    waiting: VecDeque<Frame>,
    gone: Option<Gone>,
    heard: Instant,
    /// How long may pass without a byte.
    silence: Duration,
}

impl Inbox {
    /// Begins to read.
    pub(super) fn listen(mut input: impl Read + Send + 'static, silence: Duration) -> Arc<Self> {
        let state = State { waiting: VecDeque::new(), gone: None, heard: Instant::now(), silence };
        let inbox = Arc::new(Self { state: Mutex::new(state), changed: Condvar::new() });
        let own = Arc::clone(&inbox);
        std::thread::spawn(move || {
            let mut limit = frame::HELLO_LIMIT;
            loop {
                match frame::read(&mut input, || limit, || own.hear()) {
                    Ok(frame) if frame.as_slice() == HEARTBEAT => {}
                    Ok(frame) => {
                        if !own.put(frame) {
                            return;
                        }
                        limit = frame::REQUEST_LIMIT;
                    }
                    Err(error) => return own.close(why(&error)),
                }
            }
        });
        inbox
    }

    /// Sets how long may pass without a byte.
    pub(super) fn expect_within(&self, silence: Duration) {
        self.state().silence = silence;
    }

    /// Waits for a message. That the controller is gone counts for more than what it may have wanted before.
    pub(super) fn next(&self) -> Result<Frame, Gone> {
        let mut state = self.state();
        loop {
            if let Some(gone) = &state.gone {
                return Err(gone.clone());
            }
            if let Some(frame) = state.waiting.pop_front() {
                return Ok(frame);
            }
            let left = state.silence.saturating_sub(state.heard.elapsed());
            if left.is_zero() {
                state.gone = Some(Gone::Silent);
                continue;
            }
            (state, _) = self.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Nothing more will be taken. The first reason stays.
    pub(super) fn close(&self, gone: Gone) {
        self.state().gone.get_or_insert(gone);
        self.changed.notify_all();
    }

    /// Something came; whether it came in time.
    fn hear(&self) -> bool {
        let mut state = self.state();
        if state.heard.elapsed() > state.silence {
            state.gone.get_or_insert(Gone::Silent);
        }
        state.heard = Instant::now();
        let goes_on = state.gone.is_none();
        drop(state);
        if !goes_on {
            self.changed.notify_all();
        }
        goes_on
    }

    fn put(&self, frame: Frame) -> bool {
        let mut state = self.state();
        if state.waiting.len() >= MOST_WAITING {
            let reason = "a request came before the one before it was answered".to_owned();
            state.gone.get_or_insert(Gone::Refused(reason));
        } else {
            state.waiting.push_back(frame);
        }
        let goes_on = state.gone.is_none();
        drop(state);
        self.changed.notify_all();
        goes_on
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn why(error: &FrameError) -> Gone {
    match error {
        FrameError::Closed | FrameError::Torn | FrameError::Failed { .. } => Gone::Closed,
        FrameError::TooLong { .. } | FrameError::NotAFrame { .. } | FrameError::NotUnderstood { .. } => {
            Gone::Refused(error.to_string())
        }
    }
}
