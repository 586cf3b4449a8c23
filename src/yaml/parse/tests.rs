//! What the reader of YAML understands, where it says it is, and what it refuses before it costs anything.

use proptest::prelude::*;

use super::*;
use crate::diagnostic::{RenderStyle, render};

fn parsed(text: &str) -> Parsed {
    parse(&Source::new("t.yaml", text))
}

fn root(text: &str) -> Value {
    let parsed = parsed(text);
    assert_eq!(parsed.problems, [], "{text:?}");
    parsed.documents.first().unwrap().root().value.clone()
}

fn codes(text: &str) -> Vec<Code> {
    parsed(text).problems.iter().map(|problem| problem.code).collect()
}

/// The source text of every scalar and key, in order.
fn spelled<'text>(text: &'text str, node: &Node, found: &mut Vec<&'text str>) {
    match &node.value {
        Value::Null => {}
        Value::Bool(_) | Value::Number(_) | Value::String(_) => {
            found.push(text.get(node.span.start..node.span.end()).unwrap())
        }
        Value::Sequence(items) => items.iter().for_each(|item| spelled(text, item, found)),
        Value::Mapping(entries) => {
            for entry in entries {
                found.push(text.get(entry.key.span.start..entry.key.span.end()).unwrap());
                spelled(text, &entry.value, found);
            }
        }
    }
}

#[test]
fn scalars_are_those_of_yaml_1_2() {
    let text = |text: &str| Value::String(text.to_owned());
    let number = |text: &str| Value::Number(text.to_owned());
    for word in [
        "no",
        "on",
        "y",
        "1:30",
        "1_000",
        "2026-11-21",
        "365d",
        "v1.31",
        "0o8",
        "0xg",
        "1e",
        ".",
        "+",
        "1.2.3",
        "::1",
    ] {
        assert_eq!(
            root(&format!("[{word}]")),
            Value::Sequence(vec![Node {
                span: Span { start: 1, length: word.len() },
                value: text(word),
                plain: true
            }])
        );
    }
    for word in
        ["0", "0644", "-5", "+5", "1.5", ".5", "5.", "1e3", "1.5E-3", "0o17", "0xFF", ".inf", "-.inf", ".nan"]
    {
        assert_eq!(root(word), number(word), "{word}");
    }
    assert_eq!(root("true"), Value::Bool(true));
    assert_eq!(root("False"), Value::Bool(false));
    assert_eq!(root("~"), Value::Null);
    for quoted in ["\"true\"", "'true'", "!!str true", "|-\n  true\n", ">-\n  true\n"] {
        assert_eq!(root(quoted), text("true"), "{quoted}");
    }
}

#[test]
fn spans_are_exact_whatever_the_style_and_the_script() {
    let text = "\u{feff}größe: \"ä\\n\" # ü\r\n'k y': [plain text, 'q''q', 5]\r\nblock: {a: b}\r\n---\r\nzwei: true\r\n";
    let mut found = Vec::new();
    for document in parsed(text).documents {
        spelled(text, document.root(), &mut found);
    }
    assert_eq!(
        found,
        ["größe", "\"ä\\n\"", "'k y'", "plain text", "'q''q'", "5", "block", "a", "b", "zwei", "true"]
    );
}

#[test]
fn places_are_found_by_path_and_fall_back_to_what_is_around() {
    let text = "spec:\n  certificates:\n    apiserver: { validity: 90d, names: { dns: [a, b] } }\n";
    let parsed = parsed(text);
    let document = parsed.documents.first().unwrap();
    let at = |path: &[&str]| document.place(path).to_string();
    assert_eq!(at(&["spec", "certificates", "apiserver", "validity"]), "t.yaml:3:28");
    assert_eq!(
        document.key_place(&["spec", "certificates", "apiserver", "validity"]).to_string(),
        "t.yaml:3:18"
    );
    assert_eq!(at(&["spec", "certificates", "apiserver", "names", "dns", "1"]), "t.yaml:3:51");
    assert_eq!(at(&["spec", "certificates", "apiserver", "renewBefore"]), "t.yaml:3:5");
    assert_eq!(at(&["spec", "certificates", "apiserver"]), "t.yaml:3:5");
    assert_eq!(at(&["spec", "nodes", "cp-1"]), "t.yaml:1:1");
    assert_eq!(at(&["elsewhere"]), "t.yaml:1:1");
    assert_eq!(document.place(&["spec", "certificates"]).short(), "t.yaml:2");
    assert_eq!(document.keys(&["spec"]), ["certificates"]);
    assert_eq!(document.text(&["spec", "certificates", "apiserver", "validity"]), Some("90d"));
}

#[test]
fn every_duplicate_key_is_told_and_the_first_value_kept() {
    let text = "a: 1\nb: { c: 1, c: 2 }\na: 2\na: 3\n";
    let parsed = parsed(text);
    let lines: Vec<u32> = parsed.problems.iter().map(|problem| problem.place().unwrap().line).collect();
    assert_eq!(lines, [2, 3, 4]);
    assert_eq!(codes(text), [Code::DuplicateKey; 3]);
    let document = parsed.documents.first().unwrap();
    assert_eq!((document.is_faulty(), document.keys(&[])), (true, vec!["a", "b"]));
}

#[test]
fn a_broken_document_does_not_hide_the_next_one() {
    let parsed = parsed("a: 1\n---\nb: [\n---\nc: 2\n---\nd: }\n---\ne: 3\n");
    let keys: Vec<Vec<&str>> = parsed.documents.iter().map(|document| document.keys(&[])).collect();
    assert_eq!(keys, [["a"], ["c"], ["e"]]);
    assert_eq!(parsed.problems.len(), 2);
}

#[test]
fn aliases_repeat_their_anchor_and_cannot_contain_themselves() {
    let Value::Mapping(entries) = root("a: &x [1]\nb: *x\n") else { panic!("no mapping") };
    assert_eq!(entries[0].value, entries[1].value);
    assert_eq!(codes("a: &x [*x]\n"), [Code::UnsupportedYaml]);
    assert_eq!(codes("a: *x\n"), [Code::NotYaml]);
    assert_eq!(codes("a: &x 1\n---\nb: *x\n"), [Code::NotYaml], "anchors end with their document");
}

#[test]
fn what_readers_disagree_about_is_refused() {
    assert_eq!(codes("a: !env X\n"), [Code::UnsupportedYaml]);
    assert_eq!(codes("a: !!binary aGk=\n"), [Code::UnsupportedYaml]);
    assert_eq!(codes("%YAML 1.1\n---\na: 1\n"), [Code::UnsupportedYaml]);
    assert_eq!(codes("a: &x {b: 1}\nc: { <<: *x }\n"), [Code::UnsupportedYaml]);
    assert_eq!(codes("[a]: 1\n"), [Code::WrongType]);
    assert_eq!(codes("1: a\ntrue: b\nnull: c\n"), [Code::QuotesNeeded, Code::QuotesNeeded, Code::WrongType]);
}

#[test]
fn a_word_that_another_tool_rewrote_is_recognised() {
    let problem = parsed("true: { role: etcd }\n").problems.remove(0);
    assert!(problem.help.unwrap().contains("if it was `on`"));
}

#[test]
fn hostile_sizes_are_refused() {
    let ten_megabytes = "a: b\n".repeat(2_000_000);
    assert_eq!(codes(&ten_megabytes), [Code::TooLarge]);
    for opener in ["[", "{a: ", "- ", "{", "? ", "[{a: "] {
        assert_eq!(codes(&opener.repeat(100_000)), [Code::TooLarge], "{opener:?}");
    }
    let deep_block: String = (0..900).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect();
    assert_eq!(codes(&deep_block), [Code::TooLarge]);
    assert_eq!(codes(&"- x\n".repeat(200_000)), [Code::TooLarge]);
    assert_eq!(codes(&"- &a x\n".repeat(140_000)), [Code::TooLarge]);
}

#[test]
fn alias_bombs_are_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for level in 1..20 {
        let previous = format!("*a{},", level - 1).repeat(10);
        bomb.push_str(&format!("a{level}: &a{level} [{previous}]\n"));
    }
    assert_eq!(codes(&bomb), [Code::TooLarge]);
    let mut ladder = "a0: &a0 [[[[[[[[x]]]]]]]]\n".to_owned();
    for level in 1..20 {
        ladder.push_str(&format!("a{level}: &a{level} [[[[[[[[*a{}]]]]]]]]\n", level - 1));
    }
    assert_eq!(codes(&ladder), [Code::TooLarge], "depth counts through aliases");
}

#[test]
fn problems_of_one_file_are_bounded() {
    assert_eq!(codes(&"a: 1\n".repeat(10_000)).len(), MOST_PROBLEMS);
    assert_eq!(codes(&"--- }\n".repeat(10_000)).len(), MOST_PROBLEMS);
}

#[test]
fn words_of_yaml_1_1_are_warned_of_where_people_choose_them() {
    let text = "names: { on: x, yes: 'no', plain: off }\nfields: { on: 1:30 }\ndate: 2026-11-21\ngroup: 1_000\nfine: [nope, 12:99, v1, a_b]\n";
    let parsed = parsed(text);
    let mut problems = ambiguous_scalars(parsed.documents.first().unwrap(), &["names"]);
    crate::diagnostic::sort(&mut problems);
    let words: Vec<&str> = problems.iter().filter_map(|problem| problem.message.split('`').nth(1)).collect();
    assert_eq!(words, ["on", "yes", "off", "1:30", "2026-11-21", "1_000"]);
}

proptest! {
    #![proptest_config(crate::seeds::cases(400))]

    #[test]
    fn no_text_makes_it_panic(text in "([a-z0-9:{}\\[\\],&*!|>'\"#%@~?<. \\-\n\t\r]|ü|\u{202e}|\u{feff}|---\n){0,80}") {
        let source = Source::new("t.yaml", text.clone());
        let parsed = parse(&source);
        for document in &parsed.documents {
            let mut found = Vec::new();
            spelled(&text, document.root(), &mut found);
            ambiguous_scalars(document, &[]);
        }
        render(&parsed.problems, &[source], RenderStyle::PLAIN);
    }
}
