//! Lines that are short enough for a comment on a change and for a terminal beside an editor.
//!
//! What enters is a text with every line ended; what leaves is the same with no line longer than [`COLUMNS`] that could be broken at a space. What follows a break
//! stands below the last column that the line had, or two further in than the line. Paths, digests and commands in backticks are never broken, since people copy
//! them; a line of nothing else stays as long as it is.

use textwrap::{Options, WordSeparator, WordSplitter, WrapAlgorithm};

/// How long a line may be. It does not depend on the terminal, so that two people, and a pipeline, see the same text.
pub(super) const COLUMNS: usize = 100;

/// A column that begins further to the right than this has no room for words below each other.
const LAST_COLUMN: usize = 70;

/// Stands for a space at which nothing is broken.
const KEPT: char = '\u{a0}';

/// Breaks the lines that are too long.
pub(super) fn wrapped(text: &str) -> String {
    let mut result = String::with_capacity(text.len());
    for line in text.lines() {
        if textwrap::core::display_width(line) <= COLUMNS {
            result.push_str(line);
            result.push('\n');
            continue;
        }
        let indent = " ".repeat(hanging(line));
        let options = Options::new(COLUMNS)
            .subsequent_indent(&indent)
            .break_words(false)
            .word_separator(WordSeparator::AsciiSpace)
            .word_splitter(WordSplitter::NoHyphenation)
            .wrap_algorithm(WrapAlgorithm::FirstFit);
        for part in textwrap::wrap(&with_commands_kept(line), options) {
            result.push_str(&part.replace(KEPT, " "));
            result.push('\n');
        }
    }
    result
}

/// Where the words go that do not fit.
fn hanging(line: &str) -> usize {
    let indent = line.len() - line.trim_start_matches(' ').len();
    let gaps = line.as_bytes().windows(3).enumerate();
    let begins = gaps
        .filter_map(|(at, around)| matches!(around, [b' ', b' ', next] if *next != b' ').then_some(at + 2));
    // Each stretch is measured once, and none behind the last column: a node may send a line that has nothing but gaps.
    let columns = begins.scan((0, 0), |(from, column), at| {
        *column += textwrap::core::display_width(line.get(*from..at).unwrap_or_default());
        *from = at;
        Some(*column)
    });
    let possible = columns.take_while(|column| *column <= LAST_COLUMN).filter(|column| *column > indent);
    possible.last().unwrap_or(indent + 2)
}

/// The line with the spaces of each command in backticks kept together, where it fits at all.
fn with_commands_kept(line: &str) -> String {
    let mut parts = Vec::new();
    for (number, part) in line.split('`').enumerate() {
        let is_command = number % 2 == 1;
        parts.push(if is_command { part.replace(' ', &KEPT.to_string()) } else { part.to_owned() });
    }
    parts.join("`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_stays_as_it_is() {
        let text = format!("{}\n\n  a  b\n", "x".repeat(COLUMNS));
        assert_eq!(wrapped(&text), text);
    }

    #[test]
    fn words_go_below_the_last_column() {
        let text = format!("      because       {}end\n", "word ".repeat(20));
        let expected = format!(
            "      because       {}\n{}{}end\n",
            "word ".repeat(16).trim_end(),
            " ".repeat(20),
            "word ".repeat(4)
        );
        assert_eq!(wrapped(&text), expected);
    }

    #[test]
    fn a_line_without_columns_goes_on_two_further_in() {
        let text = format!("  help: {}end   undo\n", "word ".repeat(20));
        let expected =
            format!("  help: {}\n    {}end   undo\n", "word ".repeat(18).trim_end(), "word ".repeat(2));
        assert_eq!(wrapped(&text), expected);
    }

    #[test]
    fn a_line_of_a_hundred_kilobytes_of_gaps_is_broken_like_a_short_one() {
        let text = format!("{}\n", ["a"; 34 + 11 * 3000].join("  "));
        let first = format!("{}\n", ["a"; 34].join("  "));
        let further = format!("{}{}\n", " ".repeat(69), ["a"; 11].join("  "));
        assert_eq!(wrapped(&text), format!("{first}{}", further.repeat(3000)));
    }

    #[test]
    fn neither_paths_nor_commands_are_broken() {
        let path = format!("/{}", "directory/".repeat(12));
        assert_eq!(wrapped(&format!("  at {path} it is\n")), format!("  at\n    {path}\n    it is\n"));
        let before = "word ".repeat(17);
        let text = format!("{before}run `pki apply -f spec.yaml --yes` and look\n");
        let expected = format!("{before}run\n  `pki apply -f spec.yaml --yes` and look\n");
        assert_eq!(wrapped(&text), expected);
    }

    #[test]
    fn wrapping_what_is_wrapped_changes_nothing() {
        let once = wrapped(&format!("error: {}\n", "ca/ca@cp-1, ".repeat(30)));
        assert_eq!(wrapped(&once), once);
    }
}
