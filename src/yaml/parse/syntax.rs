//! Syntax errors in words that say what to look at.

use granit_parser::{ErrorKind, ScanError};

use super::DEEPEST;
use crate::diagnostic::{Code, Diagnostic, Place, Source, Span};

pub(super) fn too_deep(place: Place) -> Diagnostic {
    Diagnostic::new(Code::TooLarge, format!("nested deeper than {DEEPEST} levels"))
        .at(place, "the limit is reached here")
        .help("a spec needs eight levels; check that this is the right file")
}

/// A syntax error in words that say what to look at.
pub(super) fn syntax_problem(source: &Source, error: &ScanError) -> Diagnostic {
    let offset = error.marker().byte_offset().unwrap_or(source.text.len()).min(source.text.len());
    let rest = source.text.get(offset..).unwrap_or_default();
    let length = rest.chars().next().filter(|next| !next.is_whitespace()).map_or(0, char::len_utf8);
    let place = source.place(Span { start: offset, length });
    let kind = error.kind();
    if *kind == ErrorKind::RecursionLimitExceeded {
        return too_deep(place);
    }
    if *kind == ErrorKind::DirectiveDisallowed {
        return Diagnostic::new(Code::UnsupportedYaml, "a `%` directive is not possible in a spec")
            .at(place, "this line")
            .help("remove the line; specs are YAML 1.2");
    }
    Diagnostic::new(Code::NotYaml, format!("not valid YAML: {kind}"))
        .at(place, "reading stops here; the mistake can be a line above")
        .help(syntax_help(kind))
}

fn syntax_help(kind: &ErrorKind) -> &'static str {
    let tabs = [
        ErrorKind::TabNotAllowed,
        ErrorKind::TabInBlockIndentation,
        ErrorKind::TabInIndentation,
        ErrorKind::TabAtBlockScalarStart,
        ErrorKind::TabInPlainScalar,
    ];
    let unclosed = [
        ErrorKind::UnexpectedEofFlowSequence,
        ErrorKind::UnexpectedEofFlowMapping,
        ErrorKind::UnexpectedEofImplicitFlowMapping,
        ErrorKind::ExpectedFlowMappingSeparator,
        ErrorKind::ExpectedFlowSequenceSeparator,
        ErrorKind::UnclosedFlowCollection { open: '[' },
        ErrorKind::UnclosedFlowCollection { open: '{' },
    ];
    if tabs.contains(kind) {
        "indent with spaces; YAML allows no tabs there"
    } else if unclosed.contains(kind) || matches!(kind, ErrorKind::MismatchedFlowCollectionEnd { .. }) {
        "close every `[` with `]` and every `{` with `}`, and put commas between the items"
    } else if [ErrorKind::UnclosedQuotedScalar, ErrorKind::InvalidQuotedScalarIndent].contains(kind) {
        "close the quotes; inside \"double quotes\" a backslash is doubled"
    } else if *kind == ErrorKind::UnknownAnchor {
        "define the anchor (`&name`) above its first use, in the same document; quote a text that starts with `*`"
    } else {
        "compare the indentation of this line and the one above; quote a text that has `: `, ` #` or a leading `*`, `&`, `%`, `@` in it"
    }
}
