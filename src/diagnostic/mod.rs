//! Problems, as values: what is wrong, where, and the way out.
//!
//! What enters are codes, words and places; what leaves are [`Diagnostic`]s, gathered in bulk, and (in [`render()`]) the
//! text that a person reads. A diagnostic never ends the program and never prints itself. Names that come from
//! a file or from a node are untrusted: [`quoted`] shows them with control and bidirectional characters spelled out.

mod code;
pub(crate) mod counted;
pub mod explain;
pub mod log_commands;
mod render;
mod source;
#[cfg(test)]
mod tests;

use std::fmt;

pub use code::Code;
pub(crate) use render::MOST_SHOWN;
pub use render::{RenderStyle, render, summary};
pub(crate) use source::{LARGEST_SOURCE, too_large};
pub use source::{Place, Source, Span};

/// Whether a problem stops the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Severity {
    /// Nothing may be planned from this input.
    Error,
    /// The input is usable; a person should look.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

/// A place in a source, with what is to be said about it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Label {
    /// Where.
    pub place: Place,
    /// What is to be seen there, in a few words; may be empty.
    pub text: String,
}

/// One problem with its places and its way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    /// The stable code that `pki explain` knows.
    pub code: Code,
    /// Whether the problem stops the work.
    pub severity: Severity,
    /// One sentence without a full stop: what is wrong.
    pub message: String,
    /// Where it is wrong; the first label is the fault itself, the others are what it collides with.
    pub labels: Vec<Label>,
    /// How to mend it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A problem with the severity that its code has.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, severity: code.severity(), message: message.into(), labels: Vec::new(), help: None }
    }

    /// Adds a place with what is to be seen there.
    #[must_use]
    pub fn at(mut self, place: Place, text: impl Into<String>) -> Self {
        self.labels.push(Label { place, text: text.into() });
        self
    }

    /// Sets the way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// The place of the fault itself, if it has one.
    pub fn place(&self) -> Option<&Place> {
        self.labels.first().map(|label| &label.place)
    }
}

/// Sorts problems by file, position and code, and drops exact repetitions (an anchor used twice yields its faults twice).
pub fn sort(problems: &mut Vec<Diagnostic>) {
    problems.sort_by(|left, right| {
        (position(left), left.code, &left.message).cmp(&(position(right), right.code, &right.message))
    });
    problems.dedup();
}

/// File first; that there are more problems than are shown is said behind those of the file that are.
fn position(problem: &Diagnostic) -> Option<(&str, bool, u32, u32)> {
    let is_last_word = problem.code == Code::TooManyProblems;
    problem.place().map(|at| (at.file.as_str(), is_last_word, at.line, at.column))
}

/// Whether any of the problems stops the work.
pub fn has_errors(problems: &[Diagnostic]) -> bool {
    problems.iter().any(|problem| problem.severity == Severity::Error)
}

/// The longest untrusted name, in characters, that a message repeats in full.
const LONGEST_NAME: usize = 80;

/// An untrusted name between backquotes, as [`shown`] shows it.
pub fn quoted(name: &str) -> String {
    format!("`{}`", shown(name))
}

/// A text as a shell takes it for one word, with every deceiving character spelled out.
pub fn pasted(text: &str) -> String {
    format!("'{}'", escaped(text).replace('\'', r"'\''"))
}

/// An untrusted text, cut at 80 characters, with every deceiving character spelled out.
pub fn shown(name: &str) -> String {
    let mut text = String::new();
    for character in name.chars().take(LONGEST_NAME) {
        push_escaped(&mut text, character);
    }
    if name.chars().nth(LONGEST_NAME).is_some() {
        text.push_str("...");
    }
    text
}

/// The text with every deceiving character spelled out as `\u{202e}`; line breaks too.
pub fn escaped(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, character| {
        push_escaped(&mut out, character);
        out
    })
}

fn push_escaped(text: &mut String, character: char) {
    if is_deceiving(character) {
        text.extend(character.escape_default());
    } else {
        text.push(character);
    }
}

/// Whether a character can move the cursor, hide itself or reorder its neighbours on a terminal.
pub(crate) fn is_deceiving(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{00AD}' | '\u{061C}' | '\u{115F}' | '\u{1160}' | '\u{180E}'
            | '\u{200B}'..='\u{200F}' | '\u{2028}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}'
            | '\u{E0000}'..='\u{E0FFF}')
}

/// The candidate nearest to what was typed, if one is near enough to be what was meant.
pub fn nearest<'a>(typed: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A hostile name of a megabyte must not cost a megabyte squared.
    if typed.len() > LONGEST_NAME {
        return None;
    }
    let typed_lower = typed.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&typed_lower, &candidate.to_lowercase()), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.chars().count() / 4)
        .min()
        .map(|(_, candidate)| candidate)
}

/// "`a`, `b` or `c`", for texts that list what would be right; a long list is cut.
pub fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    listed(words, "or")
}

/// "`a`, `b` and `c`", for texts that list what there is; a long list is cut.
pub fn all_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    listed(words, "and")
}

fn listed<'a>(words: impl IntoIterator<Item = &'a str>, conjunction: &str) -> String {
    const LONGEST_LIST: usize = 20;
    let mut rest = words.into_iter();
    let mut words: Vec<String> = rest.by_ref().take(LONGEST_LIST).map(quoted).collect();
    match rest.count() {
        0 => {}
        rest => words.push(format!("{rest} more")),
    }
    match words.split_last() {
        None => String::new(),
        Some((last, [])) => last.clone(),
        Some((last, others)) => format!("{} {conjunction} {last}", others.join(", ")),
    }
}

/// A refused value that carries its own code and way out through serde's `Error::custom`.
///
/// A newtype's `Deserialize` gives it to `serde::de::Error::custom`; the spec decoder takes it apart again (it formats
/// with `{:#}`), any other deserializer shows the sentence and its help.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// One sentence without a full stop: what is wrong with the value.
    pub message: String,
    /// How to write it instead.
    pub help: Option<String>,
}

/// Separates the parts of an encoded refusal; no YAML scalar of a spec holds it unescaped.
const SEPARATOR: char = '\u{1f}';

impl Refusal {
    /// A refusal without a way out yet.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), help: None }
    }

    /// The refusal of a value whose error says `what is wrong; the way out`.
    pub fn of(code: Code, error: &dyn std::error::Error) -> Self {
        let text = error.to_string();
        match text.split_once("; ") {
            Some((message, help)) => Self::new(code, message).help(help),
            None => Self::new(code, text),
        }
    }

    /// Sets the way out.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Takes apart what `{:#}` wrote; any other text is a sentence about an invalid value.
    pub(crate) fn decode(text: &str) -> Self {
        let mut parts = text.split(SEPARATOR);
        let encoded = (parts.next(), parts.next(), parts.next(), parts.next(), parts.next());
        if let (Some(""), Some(code), Some(message), Some(help), None) = encoded
            && let Ok(code) = code.parse()
        {
            let help = (!help.is_empty()).then(|| help.to_owned());
            return Self { code, message: message.to_owned(), help };
        }
        Self::new(Code::InvalidValue, text)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let help = self.help.as_deref().unwrap_or_default();
        if formatter.alternate() {
            // Names inside were escaped by `quoted`; a separator typed by someone would only break the parts apart.
            let clean = |text: &str| text.replace(SEPARATOR, "?");
            return write!(
                formatter,
                "{SEPARATOR}{}{SEPARATOR}{}{SEPARATOR}{}",
                self.code,
                clean(&self.message),
                clean(help)
            );
        }
        formatter.write_str(&self.message)?;
        if help.is_empty() { Ok(()) } else { write!(formatter, " ({help})") }
    }
}

impl std::error::Error for Refusal {}
