//! YAML text to trees of nodes that know where they are written.
//!
//! What enters is the text of one file; what leaves is one [`Document`] for each `---` part and every problem of the
//! text: syntax errors (one for each document, reading goes on behind it), every duplicate key, every feature that a
//! spec may not use. It decides nothing about what the nodes mean.
//!
//! The events come from `granit-parser`, the parser inside serde-saphyr. Used directly it also tells how a scalar was
//! written (`0644` and `"0644"` are different things for a file mode), goes on after a duplicate key, and gives
//! offsets into the whole file for every document; serde-saphyr gives none of the three.
//!
//! Scalars are read by the core schema of YAML 1.2: `no` is a word, `010` is ten, only `true` and `false` are booleans.

mod ambiguous;
mod scalar;
mod syntax;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use ambiguous::ambiguous_scalars;
use granit_parser::{Event, Parser, ScalarStyle, Tag};
use scalar::plain_value;
use syntax::{syntax_problem, too_deep};

use crate::diagnostic::{Code, Diagnostic, Place, Source, Span, quoted, shown};
use crate::yaml::document::Document;

pub use crate::yaml::node::{Entry, Key, Node, Value};

/// How deep a spec may nest, aliases followed. The deepest field of the format is at eight.
const DEEPEST: usize = 64;

/// How many nodes a file may have, aliases followed. A spec of a thousand cluster nodes has about ten thousand.
const MOST_NODES: usize = 100_000;

/// How many problems of one file are told before reading stops.
const MOST_PROBLEMS: usize = 100;

/// What a text holds.
#[derive(Debug, Default)]
pub struct Parsed {
    /// The documents that could be read, empty ones too.
    pub documents: Vec<Document>,
    /// Everything that is wrong with the text as YAML.
    pub problems: Vec<Diagnostic>,
}

/// Reads every document of a text.
pub fn parse(source: &Source) -> Parsed {
    if source.text.len() > crate::diagnostic::LARGEST_SOURCE {
        let problem = crate::diagnostic::too_large(&source.name, source.text.len());
        return Parsed { documents: Vec::new(), problems: vec![problem] };
    }
    let mut options = granit_parser::options! {
        disallow_directives: true,
        flow_nesting_limit: DEEPEST,
        block_nesting_limit: DEEPEST,
    };
    options.set_emit_comments(false);
    let mut parser = Parser::new_from_str_with_options(&source.text, options);
    let source = Arc::new(source.clone());
    let mut builder = Builder::new(&source);
    let mut documents = Vec::new();
    while builder.problems.len() < MOST_PROBLEMS {
        let fault = match parser.next_event() {
            None => break,
            Some(Ok((Event::DocumentEnd, _))) => {
                documents.extend(builder.finish_document());
                continue;
            }
            Some(Ok((event, span))) => builder.take(event, Span::from(&span)),
            Some(Err(error)) => Err(Fault::Document(syntax_problem(&source, &error))),
        };
        match fault {
            Ok(()) => {}
            Err(Fault::Document(problem)) => {
                builder.abandon_document(problem);
                // An input error is impossible for a text in memory; were there one, nothing follows.
                if !parser.proceed_next_document().unwrap_or(false) {
                    break;
                }
            }
            Err(Fault::File(problem)) => {
                builder.abandon_document(problem);
                break;
            }
        }
    }
    Parsed { documents, problems: builder.problems }
}

impl From<&granit_parser::Span> for Span {
    fn from(span: &granit_parser::Span) -> Self {
        span.byte_range().map_or_else(Span::default, |range| Span::between(range.start, range.end))
    }
}

/// A problem behind which this document, or the whole file, cannot be read on.
enum Fault {
    Document(Diagnostic),
    File(Diagnostic),
}

/// A finished subtree with what an alias to it costs.
struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

/// A collection that is not closed yet.
struct Open {
    start: usize,
    anchor: usize,
    content: Content,
    /// Nodes inside, itself included.
    nodes: usize,
    /// The deepest nesting inside, itself included.
    depth: usize,
}

enum Content {
    Sequence(Vec<Node>),
    Mapping { entries: Vec<Entry>, names: BTreeMap<String, Span>, key: Awaited },
}

/// What a mapping expects next.
enum Awaited {
    Key,
    ValueOf(Key),
    /// The value of a key that was refused: it is read and dropped.
    Dropped,
}

struct Builder<'source> {
    source: &'source Arc<Source>,
    open: Vec<Open>,
    root: Option<Node>,
    anchors: BTreeMap<usize, Anchored>,
    nodes: usize,
    problems: Vec<Diagnostic>,
    /// How many problems there were when the document began.
    problems_before: usize,
}

impl<'source> Builder<'source> {
    fn new(source: &'source Arc<Source>) -> Self {
        Self {
            source,
            open: Vec::new(),
            root: None,
            anchors: BTreeMap::new(),
            nodes: 0,
            problems: Vec::new(),
            problems_before: 0,
        }
    }

    fn finish_document(&mut self) -> Option<Document> {
        self.open.clear();
        self.anchors.clear();
        let is_faulty = self.problems.len() > self.problems_before;
        self.problems_before = self.problems.len();
        self.root.take().map(|root| Document::new(Arc::clone(self.source), root, is_faulty))
    }

    fn abandon_document(&mut self, problem: Diagnostic) {
        self.problems.push(problem);
        self.finish_document();
    }

    fn place(&self, span: Span) -> Place {
        self.source.place(span)
    }

    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), Fault> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                let is_text = !plain || self.check_tag(tag.as_deref(), span);
                let value =
                    if is_text { Value::String(text.into_owned()) } else { plain_value(text.into_owned()) };
                self.spend(1, span)?;
                self.add(Node { span, value, plain }, anchor, 1, 1)
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), span);
                self.begin(Content::Sequence(Vec::new()), anchor, span)
            }
            Event::MappingStart(_, anchor, tag) => {
                self.check_tag(tag.as_deref(), span);
                let content =
                    Content::Mapping { entries: Vec::new(), names: BTreeMap::new(), key: Awaited::Key };
                self.begin(content, anchor, span)
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(span),
            Event::Alias(id) => self.repeat(id, span),
            Event::StreamStart | Event::StreamEnd | Event::DocumentStart(..) | Event::DocumentEnd => Ok(()),
            // Switched off in the options, like whatever a later version of the parser adds.
            Event::Anchor(..) | Event::UnresolvedAlias(_) | _ => Ok(()),
        }
    }

    /// Whether a tag makes the scalar a text; refuses every tag that is not of the core schema.
    fn check_tag(&mut self, tag: Option<&Tag>, span: Span) -> bool {
        let Some(tag) = tag else { return false };
        let suffix = tag.core_suffix();
        if !matches!(suffix, Some("str" | "int" | "bool" | "float" | "null" | "seq" | "map")) {
            let problem = Diagnostic::new(
                Code::UnsupportedYaml,
                format!("the tag {} is not possible in a spec", quoted(&tag.original())),
            )
            .at(self.place(span), "this value has a tag")
            .help("remove the tag; a spec needs none");
            self.problems.push(problem);
        }
        suffix == Some("str")
    }

    fn spend(&mut self, nodes: usize, span: Span) -> Result<(), Fault> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes <= MOST_NODES {
            return Ok(());
        }
        Err(Fault::File(
            Diagnostic::new(
                Code::TooLarge,
                format!(
                    "{} has more than {MOST_NODES} values, aliases followed; reading stops here",
                    quoted(&self.source.name)
                ),
            )
            .at(self.place(span), "the limit is reached here")
            .help(
                "split the file by cluster, or write fewer aliases (`*name`): each repeats all of its anchor",
            ),
        ))
    }

    fn begin(&mut self, content: Content, anchor: usize, span: Span) -> Result<(), Fault> {
        self.spend(1, span)?;
        if self.open.len() >= DEEPEST {
            return Err(self.too_deep(span));
        }
        self.open.push(Open { start: span.start, anchor, content, nodes: 1, depth: 1 });
        Ok(())
    }

    fn too_deep(&self, span: Span) -> Fault {
        Fault::Document(too_deep(self.place(span)))
    }

    fn end(&mut self, span: Span) -> Result<(), Fault> {
        let Some(open) = self.open.pop() else { return Ok(()) };
        let (value, last) = match open.content {
            Content::Sequence(items) => {
                let last = items.last().map(|item| item.span.end());
                (Value::Sequence(items), last)
            }
            Content::Mapping { entries, .. } => {
                let last = entries.last().map(|entry| entry.value.span.end().max(entry.key.span.end()));
                (Value::Mapping(entries), last)
            }
        };
        // A block collection ends where the parser notices it, lines later; the last child says where it really ends.
        let end = if span.length == 0 { last.unwrap_or(span.start) } else { span.end() };
        let node = Node { span: Span::between(open.start, end.max(open.start)), value, plain: false };
        self.add(node, open.anchor, open.nodes, open.depth)
    }

    fn repeat(&mut self, id: usize, span: Span) -> Result<(), Fault> {
        let Some(anchored) = self.anchors.get(&id) else {
            return Err(Fault::Document(
                Diagnostic::new(Code::UnsupportedYaml, "an alias inside the very value that it repeats")
                    .at(self.place(span), "this would never end")
                    .help("write the value out"),
            ));
        };
        let (nodes, depth) = (anchored.nodes, anchored.depth);
        self.spend(nodes, span)?;
        if self.open.len() + depth > DEEPEST {
            return Err(self.too_deep(span));
        }
        let Some(anchored) = self.anchors.get(&id) else { return Ok(()) };
        let node = anchored.node.clone();
        self.add(node, 0, nodes, depth)
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize, nodes: usize, depth: usize) -> Result<(), Fault> {
        if anchor != 0 {
            self.spend(nodes, node.span)?;
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, depth });
        }
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        open.nodes = open.nodes.saturating_add(nodes);
        open.depth = open.depth.max(depth + 1);
        match &mut open.content {
            Content::Sequence(items) => items.push(node),
            Content::Mapping { entries, names, key } => match std::mem::replace(key, Awaited::Key) {
                Awaited::Key => match accept_key(self.source, names, &node) {
                    Ok((accepted, None)) => *key = Awaited::ValueOf(accepted),
                    Ok((accepted, Some(problem))) => {
                        self.problems.push(problem);
                        *key = Awaited::ValueOf(accepted);
                    }
                    Err(problem) => {
                        self.problems.push(problem);
                        *key = Awaited::Dropped;
                    }
                },
                Awaited::ValueOf(key) => entries.push(Entry { key, value: node }),
                Awaited::Dropped => {}
            },
        }
        Ok(())
    }
}

/// Turns a node into a key: `Ok` with a problem is a key that is understood but must be written otherwise.
fn accept_key(
    source: &Source,
    names: &mut BTreeMap<String, Span>,
    node: &Node,
) -> Result<(Key, Option<Diagnostic>), Diagnostic> {
    let place = |span| source.place(span);
    let written = source.text.get(node.span.start..node.span.end()).unwrap_or_default();
    let (name, problem) = match &node.value {
        Value::String(name) if node.plain && name == "<<" => {
            return Err(Diagnostic::new(Code::UnsupportedYaml, "the merge key `<<` is not part of YAML 1.2")
                .at(place(node.span), "this line is not read")
                .help("write the fields out, or keep the variants as kustomize overlays"));
        }
        Value::String(name) => (name.clone(), None),
        Value::Bool(_) => (
            written.to_owned(),
            Some((
                "a boolean",
                "; if it was `on` or `off`, a YAML 1.1 tool has rewritten it: write that word in quotes",
            )),
        ),
        Value::Number(_) => (written.to_owned(), Some(("a number", ""))),
        Value::Null | Value::Sequence(_) | Value::Mapping(_) => {
            return Err(Diagnostic::new(Code::WrongType, "the key of a mapping must be a text")
                .at(place(node.span), "this is no text")
                .help("a key is one word before a colon, as in `validity: 90d`"));
        }
    };
    if let Some(first) = names.get(&name) {
        return Err(Diagnostic::new(
            Code::DuplicateKey,
            format!("the key {} is written twice", quoted(&name)),
        )
        .at(place(node.span), "written again here")
        .at(place(*first), "first written here")
        .help("keep one of them: which one a reader takes is a matter of luck"));
    }
    names.insert(name.clone(), node.span);
    let problem = problem.map(|(kind, also)| {
        Diagnostic::new(Code::QuotesNeeded, format!("the key {} is {kind}, not a text", quoted(written)))
            .at(place(node.span), "this key")
            .help(format!("quote it: \"{}\"{also}", shown(written)))
    });
    Ok((Key { name, span: node.span, plain: node.plain }, problem))
}
