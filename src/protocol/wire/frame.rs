//! One message on the wire: four bytes with its length, the first one the highest, and as many bytes of JSON.
//!
//! What enters is a stream of bytes from somebody who may not be what he says; what leaves is messages of bounded size, or why there is none. No error tells
//! what was in a message, and the memory of each message is wiped, because it may hold a key.

use std::io::{self, ErrorKind, Read, Write};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// The longest first message of each side.
pub(crate) const HELLO_LIMIT: usize = 64 * 1024;
/// The longest request: shared key material is at most two files of 16 MiB, as base64 a third more.
pub(crate) const REQUEST_LIMIT: usize = 48 * 1024 * 1024;
/// The longest answer that says only that something is done, or why not.
pub(crate) const WORD_LIMIT: usize = 64 * 1024;
/// The longest answer of all: shared key material.
pub(crate) const ANSWER_LIMIT: usize = 4 * 1024 * 1024;
/// The longest answer that lists what is kept of earlier runs, with the certificates in it.
pub(crate) const LISTING_LIMIT: usize = 16 * 1024 * 1024;

/// In which sizes are told to people.
pub(crate) const MEBIBYTE: usize = 1024 * 1024;

const HEADER: usize = 4;
/// How much is read at once, so that whoever sends a long message slowly is not taken for silent.
const CHUNK: usize = 64 * 1024;

/// A message, without its length when it was read and with it when it is to be written.
pub(crate) type Frame = Zeroizing<Vec<u8>>;

/// Why there is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum FrameError {
    /// The stream ended where a message could have begun.
    #[error("the other end has closed it")]
    Closed,
    /// The stream ended inside a message.
    #[error("it ended in the middle of a message")]
    Torn,
    /// The system refused.
    #[error("{reason}")]
    Failed { reason: String },
    /// The message is longer than any honest one.
    #[error("a message of {length} bytes was announced, and at most {limit} are taken")]
    TooLong { length: usize, limit: usize },
    /// Something else speaks.
    #[error("{start:?} came instead of a message: the login must not print anything")]
    NotAFrame { start: String },
    /// The JSON is none, or not that of the message which was expected.
    #[error("a message cannot be understood, at byte {at}")]
    NotUnderstood { at: usize },
}

/// Reads one message. How long it may be is asked once it begins. Each time that some of it has come, `heard` is called, and its answer says whether to go on.
pub(crate) fn read(
    input: &mut impl Read,
    limit: impl FnOnce() -> usize,
    mut heard: impl FnMut() -> bool,
) -> Result<Frame, FrameError> {
    let mut header = [0; HEADER];
    let count = fill(input, &mut header, &mut heard)?;
    if count == 0 {
        return Err(FrameError::Closed);
    }
    if count < HEADER {
        return Err(FrameError::Torn);
    }
    let length = usize::try_from(u32::from_be_bytes(header)).unwrap_or(usize::MAX);
    let limit = limit();
    if length > limit {
        // No message that is taken is so long that the first byte of its length is a letter.
        let is_text = header.iter().all(|byte| byte.is_ascii_graphic() || byte.is_ascii_whitespace());
        return Err(match is_text {
            true => FrameError::NotAFrame { start: String::from_utf8_lossy(&header).into_owned() },
            false => FrameError::TooLong { length, limit },
        });
    }
    // All at once, so that no key stays behind in a buffer that was too small.
    let mut frame = Zeroizing::new(vec![0; length]);
    if fill(input, &mut frame, &mut heard)? < length {
        return Err(FrameError::Torn);
    }
    Ok(frame)
}

/// Fills the buffer as far as the stream goes.
fn fill(
    input: &mut impl Read,
    buffer: &mut [u8],
    heard: &mut impl FnMut() -> bool,
) -> Result<usize, FrameError> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        let chunk = rest.len().min(CHUNK);
        match input.read(rest.get_mut(..chunk).unwrap_or_default()) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(FrameError::Failed { reason: in_words(&error) }),
        }
        if !heard() {
            return Err(FrameError::Closed);
        }
    }
    Ok(count)
}

/// A message as it is written, with its length.
pub(crate) fn encode(message: &impl Serialize, limit: usize) -> Result<Frame, FrameError> {
    // Counted first: a buffer that grows leaves copies of keys behind.
    let mut counted = Counted(0);
    into(&mut counted, message).map_err(|_| FrameError::NotUnderstood { at: counted.0 })?;
    let Counted(length) = counted;
    let header = u32::try_from(length).ok().filter(|_| length <= limit);
    let header = header.ok_or(FrameError::TooLong { length, limit })?;
    let mut frame = Zeroizing::new(Vec::with_capacity(HEADER + length));
    frame.extend_from_slice(&header.to_be_bytes());
    into(&mut *frame, message).map_err(|_| FrameError::NotUnderstood { at: length })?;
    Ok(frame)
}

/// One encoder for whatever it writes into: each message has only one of them in the program.
fn into(output: &mut dyn Write, message: &impl Serialize) -> Result<(), serde_json::Error> {
    serde_json::to_writer(output, message)
}

/// The message in a frame. serde_json refuses what is nested deeper than 128 levels, so that no stack overflows.
pub(crate) fn decode<'a, T: Deserialize<'a>>(frame: &'a [u8]) -> Result<T, FrameError> {
    // Its own words repeat what it found.
    serde_json::from_slice(frame).map_err(|error| FrameError::NotUnderstood { at: error.column() })
}

/// Writes a message that [`encode`] made.
pub(crate) fn write(output: &mut impl Write, frame: &Frame) -> Result<(), FrameError> {
    let written = output.write_all(frame).and_then(|()| output.flush());
    written.map_err(|error| {
        let is_closed = error.kind() == ErrorKind::BrokenPipe;
        if is_closed { FrameError::Closed } else { FrameError::Failed { reason: in_words(&error) } }
    })
}

fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    text.split_once(" (os error").map_or(text.clone(), |(words, _)| words.to_owned())
}

struct Counted(usize);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 = self.0.saturating_add(bytes.len());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
