//! Texts and the places in them.
//!
//! What enters is the text of a file and byte offsets; what leaves are lines and columns. It never reads a file.

use std::fmt;

use lines::Lines;

use super::{Code, Diagnostic, quoted};

mod lines;

/// The largest file that is read as a spec, in bytes. A cluster of five thousand nodes needs a tenth of it.
pub(crate) const LARGEST_SOURCE: usize = 1024 * 1024;

/// A text with the name that messages call it by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The file name as typed, or `stdin`.
    pub name: String,
    /// Its content.
    pub text: String,
    lines: Lines,
}

impl Source {
    /// A text with its name.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into(), lines: Lines::default() }
    }

    /// Takes the bytes of a file, refusing more than 1 MiB and what is not UTF-8.
    ///
    /// # Errors
    /// One diagnostic that names the file.
    pub fn from_bytes(name: impl Into<String>, bytes: Vec<u8>) -> Result<Self, Diagnostic> {
        let name = name.into();
        if bytes.len() > LARGEST_SOURCE {
            return Err(too_large(&name, bytes.len()));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Ok(Self::new(name, text)),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let line = error.as_bytes().iter().take(valid).filter(|byte| **byte == b'\n').count() + 1;
                Err(Diagnostic::new(
                    Code::NotText,
                    format!("{} is not UTF-8 text: byte {valid}, in line {line}, is no character", quoted(&name)),
                )
                .help("save the file as UTF-8; certificates in DER form go into `source` by path, not into the spec"))
            }
        }
    }

    /// Finds line and column of a stretch. Of a file with many problems every one asks, so the lines are searched for once.
    pub fn place(&self, span: Span) -> Place {
        let (line, column) = self.lines.position(&self.text, span.start);
        Place { file: self.name.clone(), line, column, span, origin: None }
    }
}

/// Says that a file is too large to be a spec; the same words whoever finds out.
pub(crate) fn too_large(name: &str, bytes: usize) -> Diagnostic {
    Diagnostic::new(
        Code::TooLarge,
        format!("{} has {bytes} bytes; a spec has at most {LARGEST_SOURCE}", quoted(name)),
    )
    .help("check that this is the right file; a cluster of a thousand nodes fits ten times over")
}

/// A stretch of bytes of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Span {
    /// Offset of the first byte.
    pub start: usize,
    /// Number of bytes; zero for something that is not written out.
    pub length: usize,
}

impl Span {
    /// The stretch from one offset up to another.
    pub fn between(start: usize, end: usize) -> Self {
        Self { start, length: end.saturating_sub(start) }
    }

    /// Offset just behind the last byte.
    pub fn end(&self) -> usize {
        self.start.saturating_add(self.length)
    }

    /// Whether the other stretch lies wholly in this one.
    pub fn contains(&self, other: &Span) -> bool {
        self.start <= other.start && other.end() <= self.end()
    }
}

/// A place that a person can find: file, line and column, with the bytes for a snippet.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// Name of the source.
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The bytes.
    pub span: Span,
    /// The file that kustomize says this text came from, if it says so.
    pub origin: Option<String>,
}

impl Place {
    /// Finds line and column of a stretch of a text.
    pub fn of(file: &str, text: &str, span: Span) -> Self {
        let (line, column) = Lines::default().position(text, span.start);
        Self { file: file.to_owned(), line, column, span, origin: None }
    }

    /// "pki.yaml:41", for reasons in a plan.
    pub fn short(&self) -> String {
        format!("{}:{}", self.shown_file(), self.line)
    }

    /// The file's name, with where kustomize took it from.
    pub(crate) fn shown_file(&self) -> String {
        let file = super::escaped(&self.file);
        match &self.origin {
            Some(origin) => format!("{file} (from {})", super::escaped(origin)),
            None => file,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.shown_file(), self.line, self.column)
    }
}
