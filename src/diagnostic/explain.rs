//! The long text of each code: what it means, an example, the way out.
//!
//! What enters is a code as typed; what leaves is its page from `explain.md`, which is embedded and cut at its headings. Nothing is read from disk.

use std::fmt;

use crate::diagnostic::{Code, quoted};

/// One section for each code, `## PKI1001 Title`, in the order of the codes.
const PAGES: &str = include_str!("explain.md");

/// A text that is no code, with codes that may be meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownCode {
    /// What was typed.
    pub typed: String,
    /// The nearest codes, at most three.
    pub nearest: Vec<Code>,
}

impl fmt::Display for UnknownCode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "there is no code {}", quoted(&self.typed))?;
        if self.nearest.is_empty() {
            return formatter.write_str("; codes look like PKI1020");
        }
        formatter.write_str("; near it are:")?;
        self.nearest.iter().try_for_each(|code| write!(formatter, "\n  {code}  {}", code.title()))
    }
}

impl std::error::Error for UnknownCode {}

/// The page of a code, with its heading; `PKI1020`, `pki1020` and `1020` are the same.
///
/// # Errors
/// What was typed is no code of this version; the error names near ones.
pub fn explain(typed: &str) -> Result<String, UnknownCode> {
    match typed.trim().parse::<Code>() {
        Ok(code) => Ok(page(code)),
        Err(_) => Err(UnknownCode { typed: typed.to_owned(), nearest: nearest(typed) }),
    }
}

/// Every code with its title, one a line.
pub fn overview() -> String {
    Code::ALL.iter().map(|code| format!("{code}  {:<7}  {}\n", code.severity(), code.title())).collect()
}

fn page(code: Code) -> String {
    let heading = heading(code);
    let text = sections().find_map(|(title, text)| (title == heading).then_some(text)).unwrap_or_default();
    format!("{heading} ({})\n\n{}\n", code.severity(), text.trim())
}

fn heading(code: Code) -> String {
    format!("{code} {}", code.title())
}

fn sections() -> impl Iterator<Item = (&'static str, &'static str)> {
    PAGES.split("\n## ").skip(1).filter_map(|section| section.split_once('\n'))
}

fn nearest(typed: &str) -> Vec<Code> {
    let digits: String = typed.chars().filter(char::is_ascii_digit).take(4).collect();
    let Ok(number) = digits.parse::<u16>() else { return Vec::new() };
    let mut codes = Code::ALL.to_vec();
    codes.sort_by_key(|code| (code.number().abs_diff(number), code.number()));
    codes.truncate(3);
    codes.sort();
    codes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_exactly_one_page_and_no_page_is_left_over() {
        let found: Vec<String> = sections().map(|(title, _)| title.to_owned()).collect();
        let expected: Vec<String> = Code::ALL.iter().map(|code| heading(*code)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn every_page_has_an_example_and_a_way_out() {
        for (title, text) in sections() {
            assert!(text.contains("\nMend it: "), "{title} has no way out");
            assert!(text.contains("\n    "), "{title} has no example");
            assert!(
                text.lines().all(|line| line.chars().count() <= 100),
                "{title} has lines longer than 100 characters"
            );
        }
    }

    #[test]
    fn codes_are_unique_ordered_and_stable() {
        let numbers: Vec<u16> = Code::ALL.iter().map(|code| code.number()).collect();
        assert!(numbers.is_sorted_by(|left, right| left < right), "{numbers:?}");
        assert_eq!(Code::UnknownField.to_string(), "PKI1020");
        assert!(Code::ALL.iter().all(|code| code.to_string().parse() == Ok(*code)));
    }

    #[test]
    fn a_code_is_found_however_it_is_typed() {
        let page = explain("PKI1020").unwrap();
        assert!(page.starts_with("PKI1020 A field that does not exist (error)\n\n"), "{page}");
        assert_eq!(explain("1020"), Ok(page.clone()));
        assert_eq!(explain(" pki1020 "), Ok(page));
    }

    #[test]
    fn an_unknown_code_names_its_neighbours() {
        let error = explain("PKI1028").unwrap_err();
        assert!(error.nearest.contains(&Code::DuplicateItem), "{error}");
        assert!(error.to_string().contains("PKI1027  The same item twice in one list"), "{error}");
        assert_eq!(
            explain("what").unwrap_err().to_string(),
            "there is no code `what`; codes look like PKI1020"
        );
        assert!(explain("\u{1b}[2J").unwrap_err().to_string().contains(r"\u{1b}"));
    }
}
