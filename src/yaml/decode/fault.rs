//! One fault of a tree, and what serde's errors become.
//!
//! What enters are serde's complaints; what leaves is a sentence in the words of the format, with the way from the root to the node at fault.

use std::fmt;

use serde::de::{self, Expected, Unexpected};

use crate::diagnostic::{Code, Refusal, nearest, one_of, quoted};

/// Which part of an entry is at fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FaultyPart {
    Value,
    Key,
}

/// One fault of a tree.
#[derive(Debug, Clone)]
pub(super) struct Fault {
    pub(super) code: Code,
    /// What is wrong, without naming the place.
    pub(super) message: Box<str>,
    /// What is to be seen at the place.
    pub(super) label: &'static str,
    pub(super) help: Option<String>,
    pub(super) target: FaultyPart,
    /// The field that is not there, if that is the fault.
    pub(super) missing: Option<&'static str>,
    /// A word that would be right, if one of a list is wanted.
    pub(super) word: Option<&'static str>,
    /// Indexes from the node up to the root.
    pub(super) way: Vec<usize>,
}

impl Fault {
    pub(super) fn new(code: Code, message: impl Into<Box<str>>) -> Self {
        Self {
            code,
            message: message.into(),
            label: "this value",
            help: None,
            target: FaultyPart::Value,
            missing: None,
            word: None,
            way: Vec::new(),
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    pub(super) fn label(mut self, label: &'static str) -> Self {
        self.label = label;
        self
    }

    pub(super) fn inside(mut self, index: usize) -> Self {
        self.way.push(index);
        self
    }

    pub(super) fn at_key(mut self, index: usize) -> Self {
        self.target = FaultyPart::Key;
        if self.label == "this value" {
            self.label = "this name";
        }
        self.inside(index)
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

impl de::Error for Fault {
    fn custom<T: fmt::Display>(message: T) -> Self {
        let refusal = Refusal::decode(&format!("{message:#}"));
        Self { help: refusal.help, ..Self::new(refusal.code, refusal.message) }
    }

    fn invalid_type(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Code::WrongType, format!("expected {expected}, found {}", unexpectedly_found(unexpected)))
            .help(format!("write {expected}"))
    }

    fn invalid_value(unexpected: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(Code::InvalidValue, format!("expected {expected}, found {unexpected}"))
    }

    fn invalid_length(length: usize, expected: &dyn Expected) -> Self {
        Self::new(Code::InvalidValue, format!("expected {expected}, found {length} items"))
    }

    fn unknown_variant(word: &str, expected: &'static [&'static str]) -> Self {
        let fault = Self::new(Code::UnknownWord, format!("{} is not possible here", quoted(word)));
        Self { word: expected.first().copied(), ..fault.help(suggestion(word, expected)) }
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(Code::UnknownField, format!("there is no field {}", quoted(field)))
            .label("no such field")
            .help(suggestion(field, expected))
    }

    fn missing_field(field: &'static str) -> Self {
        let fault = Self::new(Code::MissingField, format!("the field {} is missing", quoted(field)))
            .help(format!("add {}", quoted(&format!("{field}:"))));
        Self { missing: Some(field), ..fault }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(Code::DuplicateKey, format!("the field {} is written twice", quoted(field)))
    }
}

pub(super) fn suggestion(typed: &str, expected: &[&str]) -> String {
    let known = || expected.iter().copied();
    match (nearest(typed, known()), expected.is_empty()) {
        (_, true) => "remove it: nothing is possible here".to_owned(),
        (Some(near), false) if expected.len() > 1 => {
            format!("did you mean {}? Possible here: {}", quoted(near), one_of(known()))
        }
        (Some(near), false) => format!("did you mean {}?", quoted(near)),
        (None, false) => format!("possible here: {}", one_of(known())),
    }
}

/// What serde found, in the words of the format instead of Rust's.
fn unexpectedly_found(unexpected: Unexpected<'_>) -> String {
    if matches!(unexpected, Unexpected::Unit | Unexpected::Option) {
        "nothing".to_owned()
    } else if unexpected == Unexpected::Map {
        "a mapping".to_owned()
    } else if unexpected == Unexpected::Seq {
        "a list".to_owned()
    } else {
        format!("the {unexpected}")
    }
}
