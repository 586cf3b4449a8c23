//! One YAML document: its tree, and the way from a path of field names to a place in the file.
//!
//! What enters is a tree from [`crate::yaml::parse`]; what leaves are places. Reasons in a plan ("pki.yaml:41") and semantic
//! problems get their places here.

use std::sync::Arc;

use crate::diagnostic::{Place, Source, Span};
use crate::yaml::name_index::Names;
use crate::yaml::node::{Entry, Node, Value};

/// A document of a file.
#[derive(Debug, Clone)]
pub struct Document {
    source: Arc<Source>,
    root: Node,
    /// Where the names of large mappings are.
    names: Arc<Names>,
    origin: Option<String>,
    is_faulty: bool,
}

impl Document {
    /// A document that was read from a source; a faulty one has problems as YAML already.
    pub(crate) fn new(source: Arc<Source>, root: Node, is_faulty: bool) -> Self {
        let names = Arc::new(Names::of(&root));
        let mut document = Self { source, root, names, origin: None, is_faulty };
        document.origin =
            document.text(&["metadata", "annotations", "config.kubernetes.io/origin"]).and_then(origin_path);
        document
    }

    /// The whole tree.
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// The name of the file.
    pub fn file(&self) -> &str {
        &self.source.name
    }

    /// Whether a part of the text was refused as YAML, so that the tree is not the whole text.
    pub fn is_faulty(&self) -> bool {
        self.is_faulty
    }

    /// Whether there is nothing between two `---`.
    pub fn is_empty(&self) -> bool {
        self.root.value == Value::Null
    }

    /// The value at a path of field names (and indexes of lists).
    pub fn node(&self, path: &[&str]) -> Option<&Node> {
        path.iter().try_fold(&self.root, |node, step| self.child(node, step).map(|(_, value)| value))
    }

    /// The text at a path, if there is a text.
    pub fn text(&self, path: &[&str]) -> Option<&str> {
        match &self.node(path)?.value {
            Value::String(text) => Some(text),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Sequence(_) | Value::Mapping(_) => None,
        }
    }

    /// The names in the mapping at a path, in the order of the file; none if there is no mapping.
    pub fn keys(&self, path: &[&str]) -> Vec<&str> {
        match self.node(path).map(|node| &node.value) {
            Some(Value::Mapping(entries)) => entries.iter().map(|entry| entry.key.name.as_str()).collect(),
            Some(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Sequence(_))
            | None => Vec::new(),
        }
    }

    /// Where the value at a path is written: a scalar itself, of a mapping or list its key. If the path is not written,
    /// the nearest field around it that is.
    pub fn place(&self, path: &[&str]) -> Place {
        self.place_of(self.find(path, false))
    }

    /// Where the key of a path is written, or the nearest field around it.
    pub fn key_place(&self, path: &[&str]) -> Place {
        self.place_of(self.find(path, true))
    }

    /// The place of a stretch of this document's file.
    pub fn place_of(&self, span: Span) -> Place {
        Place { origin: self.origin.clone(), ..self.source.place(span) }
    }

    fn find(&self, path: &[&str], want_key: bool) -> Span {
        let mut node = &self.root;
        let mut span = Span { start: self.root.span.start, length: 0 };
        for (index, step) in path.iter().enumerate() {
            let Some((key, value)) = self.child(node, step) else { return span };
            node = value;
            let is_last = index + 1 == path.len();
            let is_scalar = !matches!(value.value, Value::Sequence(_) | Value::Mapping(_) | Value::Null);
            span = match key {
                Some(key) if !is_last || want_key || !is_scalar => key,
                Some(_) | None => value.span,
            };
        }
        span
    }

    /// The child of a node with the span of its key.
    fn child<'node>(&self, node: &'node Node, step: &str) -> Option<(Option<Span>, &'node Node)> {
        match &node.value {
            Value::Mapping(entries) => {
                let Entry { key, value } = self.names.entry(node.span, entries, step)?;
                Some((Some(key.span), value))
            }
            Value::Sequence(items) => items.get(step.parse::<usize>().ok()?).map(|item| (None, item)),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
        }
    }
}

/// The path in kustomize's origin annotation, a small YAML text such as `path: base/pki.yaml`.
fn origin_path(annotation: &str) -> Option<String> {
    let field = |name: &str| {
        annotation
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))
            .map(|value| value.trim().trim_matches(['"', '\'']).to_owned())
            .filter(|value| !value.is_empty())
    };
    let path = field("path")?;
    Some(match field("repo") {
        Some(repository) => format!("{repository} {path}"),
        None => path,
    })
}
