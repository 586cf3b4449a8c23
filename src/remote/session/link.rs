//! The connection to a node, as a sequence of questions with answers.
//!
//! What enters is frames; what leaves is the next frame of the other end, or why there will be none any more. A thread writes and a thread reads, so that no
//! stalled connection holds up whoever asks for longer than he wants to wait; the writing one also says from time to time that this end lives.

use std::io::{Read, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::time::{Duration, Instant};

use serde::de::IgnoredAny;
use zeroize::Zeroizing;

use crate::protocol::wire::frame;
use crate::protocol::wire::frame::{Frame, FrameError};
use crate::protocol::wire::{HEARTBEAT, Outcome};

/// Why nothing more can be asked, in words for people.
#[derive(Debug, Clone)]
pub(super) struct Broken(pub(super) String);

enum Writing {
    Frame(Frame),
    /// From now on a heartbeat follows whenever nothing else was written for so long.
    KeepAlive(Duration),
}

/// A connection. When it is dropped, the writer is closed.
pub(super) struct Link {
    /// None once it is broken: the writing thread ends and closes the writer.
    output: Option<Sender<Writing>>,
    input: Receiver<Result<Frame, FrameError>>,
    /// How long the next answer may be.
    limit: Arc<AtomicUsize>,
    broken: Option<String>,
}

impl Link {
    pub(super) fn new(input: impl Read + Send + 'static, output: impl Write + Send + 'static) -> Self {
        // One waits and one is under way: whoever says more than he was asked is not listened to.
        let (arrived, arrivals) = sync_channel(1);
        let limit = Arc::new(AtomicUsize::new(frame::HELLO_LIMIT));
        let allowed = Arc::clone(&limit);
        std::thread::spawn(move || listen(input, &arrived, &allowed));
        let (to_write, writings) = channel();
        std::thread::spawn(move || speak(output, &writings));
        Self { output: Some(to_write), input: arrivals, limit, broken: None }
    }

    pub(super) fn send(&mut self, frame: Frame) -> Result<(), Broken> {
        self.write(Writing::Frame(frame))
    }

    /// Says from now on at least this often that this end lives.
    pub(super) fn keep_alive(&mut self, interval: Duration) {
        // That it is broken is found by the next request.
        let _begun = self.write(Writing::KeepAlive(interval));
    }

    fn write(&mut self, writing: Writing) -> Result<(), Broken> {
        if let Some(reason) = &self.broken {
            return Err(Broken(reason.clone()));
        }
        let sent = self.output.as_ref().is_some_and(|output| output.send(writing).is_ok());
        // Why it could not be written the reader tells, or nobody.
        if sent { Ok(()) } else { Err(self.give_up(FrameError::Closed.to_string())) }
    }

    pub(super) fn receive(&mut self, deadline: Duration) -> Result<Frame, Broken> {
        match self.input.recv_timeout(deadline) {
            Ok(Ok(frame)) => Ok(frame),
            Ok(Err(error)) => Err(self.give_up(in_words(&error))),
            Err(RecvTimeoutError::Timeout) => {
                Err(self.give_up(format!("no answer came within {} s", deadline.as_secs_f32())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(self.give_up(FrameError::Closed.to_string())),
        }
    }

    /// Sends a question and waits for its answer, which may be as long as `limit`.
    pub(super) fn exchange(
        &mut self,
        frame: Frame,
        limit: usize,
        deadline: Duration,
    ) -> Result<Frame, Broken> {
        if let Some(reason) = &self.broken {
            return Err(Broken(reason.clone()));
        }
        match self.input.try_recv() {
            Err(_) => {}
            Ok(Ok(frame)) => {
                let reason = match frame::decode(&frame) {
                    Ok(Outcome::<IgnoredAny, IgnoredAny>::Ended(reason)) => {
                        format!("the node ended it: {reason}")
                    }
                    Ok(Outcome::Done(_) | Outcome::Failed(_)) | Err(_) => {
                        "the node spoke without being asked".to_owned()
                    }
                };
                return Err(self.give_up(reason));
            }
            Ok(Err(error)) => return Err(self.give_up(in_words(&error))),
        }
        self.limit.store(limit, Ordering::SeqCst);
        self.send(frame)?;
        let answer = self.receive(deadline)?;
        // Whoever speaks now was not asked.
        self.limit.store(frame::WORD_LIMIT, Ordering::SeqCst);
        Ok(answer)
    }

    /// Ends the connection. The first reason stays.
    pub(super) fn give_up(&mut self, reason: String) -> Broken {
        self.output = None;
        // The reading thread takes nothing any more, also of what has begun.
        self.limit.store(0, Ordering::SeqCst);
        Broken(self.broken.get_or_insert(reason).clone())
    }
}

fn in_words(error: &FrameError) -> String {
    match error {
        FrameError::TooLong { limit, .. } if *limit >= frame::MEBIBYTE => {
            format!("the node's answer is larger than {} MiB", limit.div_ceil(frame::MEBIBYTE))
        }
        FrameError::TooLong { .. }
        | FrameError::Closed
        | FrameError::Torn
        | FrameError::Failed { .. }
        | FrameError::NotAFrame { .. }
        | FrameError::NotUnderstood { .. } => error.to_string(),
    }
}

fn listen(mut input: impl Read, arrived: &SyncSender<Result<Frame, FrameError>>, limit: &AtomicUsize) {
    let allowed = || limit.load(Ordering::SeqCst);
    loop {
        let frame = frame::read(&mut input, allowed, || allowed() > 0);
        let is_last = frame.is_err();
        if arrived.send(frame).is_err() || is_last {
            return;
        }
    }
}

fn speak(mut output: impl Write, writings: &Receiver<Writing>) {
    let heartbeat = heartbeat();
    let mut interval = None;
    let mut last = Instant::now();
    loop {
        let writing = match interval {
            None => writings.recv().map_err(RecvTimeoutError::from),
            Some(interval) => writings.recv_timeout(Duration::saturating_sub(interval, last.elapsed())),
        };
        let frame = match writing {
            Ok(Writing::Frame(frame)) => frame,
            Ok(Writing::KeepAlive(wanted)) => {
                interval = Some(wanted);
                continue;
            }
            Err(RecvTimeoutError::Timeout) => heartbeat.clone(),
            Err(RecvTimeoutError::Disconnected) => return,
        };
        if frame::write(&mut output, &frame).is_err() {
            return;
        }
        last = Instant::now();
    }
}

fn heartbeat() -> Frame {
    let length = u32::try_from(HEARTBEAT.len()).unwrap_or_default();
    Zeroizing::new([&length.to_be_bytes(), HEARTBEAT].concat())
}
