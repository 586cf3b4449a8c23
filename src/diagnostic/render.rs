//! Problems as text for a terminal or a log.
//!
//! What enters are diagnostics and the sources they point into; what leaves is text: ASCII and without colour unless
//! asked. It never looks at the terminal or the environment, never shows a file that is not among the sources, and
//! shows no byte of a source that could move the cursor or reorder what is read.

use std::fmt;

use miette::{
    GraphicalReportHandler, GraphicalTheme, LabeledSpan, MietteError, MietteSpanContents, SourceCode,
    SourceSpan, SpanContents, ThemeCharacters, ThemeStyles,
};

use super::{Code, Diagnostic, Place, Severity, Source, escaped, is_deceiving};

/// How a report is to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RenderStyle {
    /// Whether colours may be used; they never carry a meaning alone.
    pub color: bool,
    /// Whether lines may be drawn with Unicode characters.
    pub unicode: bool,
    /// Columns to wrap at; less than 40 counts as 40.
    pub width: usize,
}

impl RenderStyle {
    /// ASCII, no colour, 100 columns: what a pipe and a golden file get.
    pub const PLAIN: Self = Self { color: false, unicode: false, width: 100 };
}

/// The narrowest layout in which the snippets still fit.
const NARROWEST: usize = 40;

/// A line longer than this, in bytes, is not shown as a snippet: the place is named in words.
const LONGEST_LINE: usize = 400;

/// How many problems are shown: more than anybody mends in one go. The others are counted.
pub(crate) const MOST_SHOWN: usize = 100;

/// The first problems as text, in the given order, with how many more there are and a last line that counts them all. Where not all are shown, errors go
/// before warnings: what stops the work must not be hidden behind what does not. Nothing for no problems.
pub fn render(problems: &[Diagnostic], sources: &[Source], style: RenderStyle) -> String {
    if problems.is_empty() {
        return String::new();
    }
    let theme = GraphicalTheme {
        characters: if style.unicode { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() },
        styles: if style.color { ThemeStyles::ansi() } else { ThemeStyles::none() },
    };
    let handler = GraphicalReportHandler::new_themed(theme)
        .with_links(false)
        .with_urls(false)
        .with_width(style.width.max(NARROWEST))
        .without_syntax_highlighting();
    let chosen = chosen(problems);
    let shown: Vec<Source> = sources
        .iter()
        .map(|source| Source::new(source.name.clone(), without_deception(&source.text)))
        .collect();
    let mut out = String::new();
    for problem in &chosen {
        let report = Report::new(problem, &shown);
        if handler.render_report(&mut out, &report).is_err() {
            // Writing to a string fails only if miette cannot read its own source: the sentence still has to be seen.
            out.push_str(&format!("{}\n", report.message));
        }
        for label in &report.unshown {
            out.push_str(label);
        }
        out.push('\n');
    }
    match problems.len() - chosen.len() {
        0 => {}
        1 => out.push_str("... and 1 more problem\n\n"),
        more => out.push_str(&format!("... and {} more problems\n\n", grouped(more))),
    }
    out.push_str(&summary(problems));
    out.push('\n');
    out
}

/// Those that are shown, in their order.
fn chosen(problems: &[Diagnostic]) -> Vec<&Diagnostic> {
    let is_error = |problem: &&Diagnostic| problem.severity == Severity::Error;
    let errors = problems.iter().filter(is_error).count().min(MOST_SHOWN);
    let mut left = [errors, MOST_SHOWN - errors];
    let mut take = |problem: &&Diagnostic| {
        // Who left the others out has the last word.
        if problem.code == Code::TooManyProblems {
            return true;
        }
        let [errors, warnings] = &mut left;
        let left = if is_error(problem) { errors } else { warnings };
        left.checked_sub(1).map(|rest| *left = rest).is_some()
    };
    problems.iter().filter(|problem| take(problem)).collect()
}

/// A number with a comma between each three digits.
fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// "2 errors, 1 warning. `pki explain PKI1020` says more about a code."
pub fn summary(problems: &[Diagnostic]) -> String {
    let count = |severity| problems.iter().filter(|problem| problem.severity == severity).count();
    let words: Vec<String> = [Severity::Error, Severity::Warning]
        .into_iter()
        .filter_map(|severity| match count(severity) {
            0 => None,
            1 => Some(format!("1 {severity}")),
            many => Some(format!("{many} {severity}s")),
        })
        .collect();
    match problems.first() {
        None => "no problems".to_owned(),
        Some(first) => format!("{}. `pki explain {}` says more about a code.", words.join(", "), first.code),
    }
}

/// The text with each deceiving character replaced by visible ones of the same length in bytes, so that offsets hold.
fn without_deception(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\n' | '\t' => out.push(character),
            '\r' if characters.peek() == Some(&'\n') => out.push(' '),
            _ if is_deceiving(character) => out.push_str(match character.len_utf8() {
                1 => "?",
                2 => "\u{BF}",
                3 => "\u{FFFD}",
                _ => "\u{FFFD}?",
            }),
            _ => out.push(character),
        }
    }
    out
}

/// A diagnostic in the shape that miette draws.
struct Report {
    code: String,
    severity: Severity,
    message: String,
    help: Option<String>,
    source: Option<Excerpt>,
    labels: Vec<LabeledSpan>,
    /// Labels that no snippet can show: their source is absent, another one, or its line is too long.
    unshown: Vec<String>,
}

impl Report {
    fn new(problem: &Diagnostic, sources: &[Source]) -> Self {
        let primary = problem.place().and_then(|place| {
            let source = sources.iter().find(|source| source.name == place.file)?;
            shown_span(&source.text, place).map(|_| (source, place))
        });
        let mut labels = Vec::new();
        let mut unshown = Vec::new();
        for label in &problem.labels {
            let span = primary
                .filter(|(source, _)| source.name == label.place.file)
                .and_then(|(source, _)| shown_span(&source.text, &label.place));
            let text = shown_text(&label.text);
            match span {
                Some((start, length)) => {
                    let text = (!text.is_empty()).then_some(text);
                    labels.push(if labels.is_empty() {
                        LabeledSpan::new_primary_with_span(text, (start, length))
                    } else {
                        LabeledSpan::new_with_span(text, (start, length))
                    });
                }
                None if text.is_empty() => unshown.push(format!("  at {}\n", label.place)),
                None => unshown.push(format!("  at {}: {text}\n", label.place)),
            }
        }
        Self {
            code: format!("{}[{}]", problem.severity, problem.code),
            severity: problem.severity,
            message: shown_text(&problem.message),
            help: problem.help.as_deref().map(shown_text),
            source: primary.map(|(source, place)| Excerpt::around(place.shown_file(), &source.text, &labels)),
            labels,
            unshown,
        }
    }
}

/// How many lines around the labels are kept; miette shows one of them on each side.
const LINES_AROUND: usize = 3;

/// The part of a source around the labels, as miette reads it: its own sources are searched from their first byte for each label, and count columns
/// in bytes. Offsets are those of the whole source.
struct Excerpt {
    name: String,
    text: String,
    start: usize,
    line: usize,
}

impl Excerpt {
    fn around(name: String, text: &str, labels: &[LabeledSpan]) -> Self {
        let first = labels.iter().map(LabeledSpan::offset).min().unwrap_or_default();
        let last = labels.iter().map(|label| label.offset() + label.len()).max().unwrap_or_default();
        let before = text.get(..first).unwrap_or_default();
        let after = text.get(last..).unwrap_or_default();
        let start = before.rmatch_indices('\n').nth(LINES_AROUND).map_or(0, |(offset, _)| offset + 1);
        let end =
            after.match_indices('\n').nth(LINES_AROUND).map_or(text.len(), |(offset, _)| last + offset + 1);
        let line = text.bytes().take(start).filter(|byte| *byte == b'\n').count();
        Self { name, text: text.get(start..end).unwrap_or_default().to_owned(), start, line }
    }
}

impl SourceCode for Excerpt {
    fn read_span<'a>(
        &'a self,
        span: &SourceSpan,
        lines_before: usize,
        lines_after: usize,
    ) -> Result<Box<dyn SpanContents<'a> + 'a>, MietteError> {
        let offset = span.offset().checked_sub(self.start).ok_or(MietteError::OutOfBounds)?;
        let inner = self.text.read_span(&(offset, span.len()).into(), lines_before, lines_after)?;
        let before = self.text.get(..inner.span().offset()).unwrap_or_default();
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count();
        Ok(Box::new(MietteSpanContents::new_named(
            self.name.clone(),
            inner.data(),
            (inner.span().offset() + self.start, inner.span().len()).into(),
            inner.line() + self.line,
            column,
            inner.line_count() + self.line,
        )))
    }
}

/// The bytes to underline: the part of the span on its first line, if a snippet of that line can be shown.
fn shown_span(text: &str, place: &Place) -> Option<(usize, usize)> {
    let (before, after) = text.split_at_checked(place.span.start)?;
    let first = after.split('\n').next().unwrap_or_default();
    let mut neighbours = before.rsplit('\n').take(2).chain(after.split('\n').take(2));
    if neighbours.any(|line| line.len() > LONGEST_LINE) {
        return None;
    }
    let length = place.span.length.min(first.trim_end().len());
    Some((place.span.start, length))
}

/// A message with its own line breaks kept and every other deceiving character spelled out.
fn shown_text(text: &str) -> String {
    text.split('\n').map(escaped).collect::<Vec<_>>().join("\n")
}

impl fmt::Debug for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Report").field("code", &self.code).finish_non_exhaustive()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Report {}

impl miette::Diagnostic for Report {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(&self.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.help.as_ref().map(|help| Box::new(help) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn SourceCode> {
        self.source.as_ref().map(|source| source as &dyn SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        Some(Box::new(self.labels.iter().cloned()))
    }
}
