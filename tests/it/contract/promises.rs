//! What README.md promises about safety is held by tests, and each sentence names its own.
#![expect(clippy::disallowed_methods, reason = "the test reads the project's own files")]

use std::path::Path;

use crate::support::cluster::ROOT;

/// A row of the table: words of a sentence above it, and the test that holds them.
struct Row {
    words: String,
    test: String,
}

fn flat(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn readme() -> (String, Vec<Row>) {
    let text = std::fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap();
    let (above, rest) = text.split_once("### The tests that hold these promises").unwrap();
    let (table, below) = rest.split_once("\n## ").unwrap();
    let cells = |line: &str| -> Option<Row> {
        let (words, test) = line.strip_prefix("| ")?.strip_suffix(" |")?.split_once(" | `")?;
        Some(Row { words: flat(words), test: test.strip_suffix('`')?.to_owned() })
    };
    let rows: Vec<Row> =
        table.lines().filter(|line| line.starts_with("| ")).skip(1).filter_map(cells).collect();
    assert_eq!(
        rows.len() + 2,
        table.lines().filter(|line| line.starts_with('|')).count(),
        "a row is not read"
    );
    (format!("{above}\n## {below}"), rows)
}

#[test]
fn each_row_has_its_sentence_and_its_test() {
    let (text, rows) = readme();
    let text = flat(&text);
    for Row { words, test } in rows {
        assert!(text.contains(&words), "no sentence says: {words}");
        let (path, name) = test.split_once("::").unwrap_or((&test, ""));
        let path = Path::new(ROOT).join(path);
        if name.is_empty() {
            assert!(path.join("plan.txt").is_file(), "{test} is no scenario");
            continue;
        }
        let source = std::fs::read_to_string(&path).unwrap_or_default();
        let (before, _) = source.split_once(&format!("fn {name}(")).unwrap_or_default();
        let attributes = before.rsplit_once("\n\n").map_or(before, |(_, last)| last);
        let is_property = before.rsplit_once("proptest! {").is_some();
        assert!(attributes.contains("#[test]") || is_property, "{test} is no test");
    }
}

#[test]
fn each_sentence_about_security_has_a_row() {
    let (text, rows) = readme();
    let (_, security) = text.split_once("\n## Security\n").unwrap();
    let security = security.split("\n## ").next().unwrap();
    for promise in security.split("\n- ").skip(1).map(flat) {
        assert!(rows.iter().any(|row| promise.contains(&row.words)), "nothing holds: {promise}");
    }
}
