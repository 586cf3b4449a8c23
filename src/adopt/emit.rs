//! The text of an adopted spec, and the proof that it says what it should.
//!
//! What enters is a draft; what leaves is YAML of one fixed shape with a comment for each value that was taken from somewhere. Texts from nodes are quoted and,
//! in comments, escaped. [`read_back`] reads it with the reader that every other command uses.

use std::collections::BTreeMap;

use jiff::Timestamp;

use super::{Draft, Outlook};
use crate::adopt::spec_tree::{Tree, named, of_spec};
use crate::diagnostic::Source;
use crate::diagnostic::log_commands::in_text;
use crate::diagnostic::{RenderStyle, escaped, render};
use crate::profile::Profile;
use crate::spec::custom_root::CertificateFile;
use crate::spec::{API_VERSION, KIND, Loaded, ReadOptions, read};
use crate::types::profile_name::ProfileName;

/// The widest line.
const WIDTH: usize = 150;
/// The widest mapping that is written in one line.
const FLOW_WIDTH: usize = 130;

/// An adopted spec that its own reader does not take as it was meant: a fault of this program.
#[derive(Debug, thiserror::Error)]
#[error("the adopted spec cannot be read back:\n{0}")]
pub struct Unreadable(String);

/// The text of a spec. What is to be said at its end is left out as long as it is not known: it moves no line.
pub fn text(draft: &Draft, outlook: Option<&Outlook>) -> String {
    let mut page = Page { text: String::new(), draft };
    let nodes: Vec<&str> = draft.spec.spec.nodes.keys().map(|name| name.as_str()).collect();
    let from = match &draft.only_from {
        Some(file) => format!("Written by `pki adopt` from {file}, without looking at any node."),
        None => {
            format!("Written by `pki adopt` from what {} told. It describes what is there.", nodes.join(", "))
        }
    };
    page.remark(0, &format!("{from} Review it: from here on it decides what should be."));
    page.text.push_str(&format!("apiVersion: {API_VERSION}\nkind: {KIND}\n"));
    page.entry(0, &mut vec!["metadata".to_owned()], "metadata", &named("name", &draft.spec.metadata.name));
    page.text.push_str("spec:\n");
    if let Tree::Map(fields) = of_spec(&draft.spec.spec) {
        page.fields(1, &mut Vec::new(), &fields);
    }
    for line in outlook.map(Outlook::lines).unwrap_or_default() {
        page.remark(0, &line);
    }
    page.text
}

struct Page<'a> {
    text: String,
    draft: &'a Draft,
}

impl Page<'_> {
    fn fields(&mut self, depth: usize, path: &mut Vec<String>, fields: &[(String, Tree)]) {
        for (key, value) in fields {
            path.push(key.trim_matches('"').to_owned());
            if path.as_slice() == ["nodes"] {
                self.missing(depth);
            }
            self.entry(depth, path, key, value);
            path.pop();
        }
    }

    /// Who is not among the nodes. The command stands in one line, to be pasted.
    fn missing(&mut self, depth: usize) {
        let Some(missing) = &self.draft.missing else { return };
        self.remark(
            depth,
            &format!("{}. Nothing that changes trust is done without them.", missing.sentence),
        );
        if let Some(command) = &missing.command {
            self.text.push_str(&format!(
                "{}# Look at all of them: {}\n",
                "  ".repeat(depth),
                escaped(command)
            ));
        }
    }

    fn entry(&mut self, depth: usize, path: &mut Vec<String>, key: &str, value: &Tree) {
        let indent = "  ".repeat(depth);
        let comment = self.draft.comments.of(path).map(shown);
        let line = format!("{indent}{key}: {}", flow(value));
        let fits = line.chars().count() <= FLOW_WIDTH && !self.draft.comments.are_below(path);
        // The sections stand out even where they hold little.
        let is_section = depth == 1 && matches!(value, Tree::Map(_)) && key != "connection";
        match value {
            Tree::Map(fields) if !fields.is_empty() && (!fits || is_section) => {
                self.line(depth, &format!("{indent}{key}:"), comment.as_deref());
                self.fields(depth + 1, path, fields);
            }
            Tree::List(items) if !fits => {
                self.line(depth, &format!("{indent}{key}:"), comment.as_deref());
                for item in items {
                    self.line(depth, &format!("{indent}  - {item}"), None);
                }
            }
            Tree::Scalar(_) | Tree::List(_) | Tree::Map(_) => self.line(depth, &line, comment.as_deref()),
        }
    }

    /// A line with its comment behind it, or above it where both are too wide.
    fn line(&mut self, depth: usize, line: &str, comment: Option<&str>) {
        let Some(comment) = comment else {
            self.text.push_str(line);
            self.text.push('\n');
            return;
        };
        if line.chars().count() + comment.chars().count() + 5 <= WIDTH {
            self.text.push_str(&format!("{line}   # {comment}\n"));
        } else {
            self.remark(depth, comment);
            self.text.push_str(&format!("{line}\n"));
        }
    }

    /// A comment by itself, in as many lines as it needs; what is indented in it stays so.
    fn remark(&mut self, depth: usize, comment: &str) {
        let start = format!("{}#", "  ".repeat(depth));
        let comment = shown(comment);
        let inner = comment.chars().take_while(|character| *character == ' ').count();
        let mut line = format!("{start} {}", " ".repeat(inner));
        let mut is_begun = false;
        for word in comment.split(' ').filter(|word| !word.is_empty()) {
            if is_begun && line.chars().count() + word.chars().count() + 1 > WIDTH {
                self.text.push_str(line.trim_end());
                self.text.push('\n');
                // What goes on stands deeper than the item that it belongs to.
                line = format!("{start} {}", " ".repeat(if inner == 0 { 0 } else { inner + 2 }));
                is_begun = false;
            }
            if is_begun {
                line.push(' ');
            }
            line.push_str(word);
            is_begun = true;
        }
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }
}

/// Words of a node as they may stand in a comment.
fn shown(comment: &str) -> String {
    in_text(&escaped(comment)).into_owned()
}

/// A value in one line.
fn flow(value: &Tree) -> String {
    match value {
        Tree::Scalar(text) => text.clone(),
        Tree::List(items) => format!("[{}]", items.join(", ")),
        Tree::Map(fields) if fields.is_empty() => "{}".to_owned(),
        Tree::Map(fields) => {
            let fields: Vec<String> =
                fields.iter().map(|(key, value)| format!("{key}: {}", flow(value))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
    }
}

/// Reads an adopted spec as every other command will.
///
/// # Errors
/// It has a problem, or is not the spec that was meant.
pub fn read_back(file: &str, text: &str, draft: &Draft, now: Timestamp) -> Result<Loaded, Unreadable> {
    let mut known = BTreeMap::new();
    for name in ProfileName::ALL {
        let profile = Profile::load(name).map_err(|error| Unreadable(error.to_string()))?;
        known.insert(name, profile.known_names());
    }
    let source = Source::new(file, text);
    let certificate_file = |_: &str, _: &str| CertificateFile::Missing;
    let options =
        ReadOptions { now, ignore_other_kinds: false, known: &known, certificate_file: &certificate_file };
    let mut reading = read(std::slice::from_ref(&source), &options);
    let problems = render(&reading.problems, &[source], RenderStyle::PLAIN);
    match reading.specs.pop() {
        Some(loaded) if reading.problems.is_empty() && loaded.spec == draft.spec => Ok(loaded),
        Some(_) if reading.problems.is_empty() => {
            Err(Unreadable("it says something else than was meant".to_owned()))
        }
        Some(_) | None => Err(Unreadable(problems)),
    }
}
