//! The tree of a YAML text: values of the core schema of YAML 1.2, each with the place where it is written.
//!
//! These are the types alone. `parse` makes them of a text, and whoever reads them decides what they mean.

use crate::diagnostic::Span;

/// A value with the place where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// The bytes of the value in its file; a value that an alias repeats is where its anchor is.
    pub span: Span,
    /// The value.
    pub value: Value,
    /// Whether it is a scalar without quotes.
    pub plain: bool,
}

/// A YAML value by the core schema of YAML 1.2.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Nothing, `null` or `~`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as written.
    Number(String),
    /// A text, quoted or not.
    String(String),
    /// A list.
    Sequence(Vec<Node>),
    /// A mapping in the order of the file; no key occurs twice.
    Mapping(Vec<Entry>),
}

/// A key of a mapping with the place where it is written.
#[derive(Debug, Clone, PartialEq)]
pub struct Key {
    /// The key's text.
    pub name: String,
    /// The bytes of the key in its file.
    pub span: Span,
    /// Whether it is written without quotes.
    pub plain: bool,
}

/// One line of a mapping.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// The key.
    pub key: Key,
    /// Its value.
    pub value: Node,
}
