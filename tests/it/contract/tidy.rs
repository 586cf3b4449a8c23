//! Rules about the source files themselves, which no lint knows.
#![expect(clippy::disallowed_methods, reason = "the source files are what is tested")]

use std::path::{Path, PathBuf};

use crate::support::cluster::ROOT;

/// The longest file that one can still hold in mind.
const LONGEST: usize = 700;

/// Every source file of the library and the program: its path below `src` and its text.
fn sources() -> Vec<(PathBuf, String)> {
    let found = below(&Path::new(ROOT).join("src"));
    assert!(found.len() > 60, "only {} files", found.len());
    found
}

/// Every Rust file below a folder: its path there and its text.
pub(crate) fn below(root: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                found.push((path.strip_prefix(root).unwrap().to_owned(), text));
            }
        }
    }
    found.sort();
    found
}

/// The files of the program; those that hold only tests are left out.
pub(crate) fn production() -> impl Iterator<Item = (PathBuf, String)> {
    let is_test =
        |path: &Path| path.ends_with("tests.rs") || path.components().any(|part| part.as_os_str() == "tests");
    sources().into_iter().filter(move |(path, _)| !is_test(path))
}

/// The part of a file above its own tests.
pub(crate) fn above_tests(text: &str) -> &str {
    text.split_once("\n#[cfg(test)]\nmod tests {").map_or(text, |(above, _)| above)
}

fn module(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_str().unwrap();
    first.trim_end_matches(".rs").to_owned()
}

#[test]
fn every_file_says_at_its_top_what_it_is_for() {
    for (path, text) in sources() {
        let first =
            text.lines().find(|line| !line.starts_with("#![expect") && !is_inside_attribute(line)).unwrap();
        assert!(first.starts_with("//! "), "{} opens with {first:?}", path.display());
    }
}

/// The lines of an attribute that is written over several lines.
fn is_inside_attribute(line: &str) -> bool {
    line.starts_with("    ") || line == ")]"
}

#[test]
fn no_file_is_longer_than_one_can_hold_in_mind() {
    let long: Vec<String> = production()
        .map(|(path, text)| (path, above_tests(&text).lines().count()))
        .filter(|(_, lines)| *lines > LONGEST)
        .map(|(path, lines)| format!("{}: {lines} lines", path.display()))
        .collect();
    assert!(long.is_empty(), "{long:#?}");
}

#[test]
fn nothing_is_put_off() {
    let words =
        [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X"].concat(), ["for ", "now"].concat()];
    for (path, text) in sources() {
        for (number, line) in text.lines().enumerate() {
            let found = words.iter().find(|word| line.contains(word.as_str()));
            assert_eq!(found, None, "{}:{}", path.display(), number + 1);
        }
    }
}

#[test]
fn the_library_does_not_know_the_program() {
    for (path, text) in production().filter(|(path, _)| !["cli", "main"].contains(&module(path).as_str())) {
        for word in ["clap::", "crate::cli", "println!", "std::process::exit"] {
            assert!(!above_tests(&text).contains(word), "{} uses {word}", path.display());
        }
    }
}
