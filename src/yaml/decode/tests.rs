//! What decoding tells, in one run, and what it keeps.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::*;
use crate::diagnostic::Source;
use crate::yaml::parse;

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Machine {
    name: String,
    kind: Kind,
    #[serde(default)]
    cores: u8,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(default)]
    disks: BTreeMap<String, Disk>,
    #[serde(default)]
    owner: Option<Owner>,
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
enum Kind {
    Bare,
    Virtual { host: String },
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Disk {
    size: i64,
    #[serde(default)]
    fast: bool,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Owner(String);

fn decoded(text: &str) -> Decoded<Machine> {
    let parsed = parse::parse(&Source::new("m.yaml", text));
    assert_eq!(parsed.problems, [], "the YAML itself is sound");
    decode(parsed.documents.first().unwrap())
}

/// "LINE:COLUMN CODE message" of each problem.
fn told(text: &str) -> Vec<String> {
    let mut problems = decoded(text).problems;
    crate::diagnostic::sort(&mut problems);
    let line = |problem: &Diagnostic| {
        let place = problem.place().unwrap();
        format!("{}:{} {} {}", place.line, place.column, problem.code, problem.message)
    };
    problems.iter().map(line).collect()
}

#[test]
fn a_sound_document_is_decoded() {
    let machine = decoded(
        "name: a\nkind: { virtual: { host: h } }\ncores: 4\ntags: [x, \"1\"]\nowner: me\ndisks: { sda: { size: -1, fast: true } }\n",
    );
    assert_eq!(machine.problems, []);
    let disk = Disk { size: -1, fast: true };
    assert_eq!(
        machine.value,
        Some(Machine {
            name: "a".to_owned(),
            kind: Kind::Virtual { host: "h".to_owned() },
            cores: 4,
            tags: vec!["x".to_owned(), "1".to_owned()],
            disks: BTreeMap::from([("sda".to_owned(), disk)]),
            owner: Some(Owner("me".to_owned())),
        })
    );
}

#[test]
fn every_fault_is_told_at_its_place_in_one_run() {
    let text = "nmae: a\nkind: bore\ncores: 256\ntags: [x, 1, true, [y]]\ndisks:\n  sda: { size: big }\n  sdb: { fast: yes, size: 1, extra: 1 }\n";
    assert_eq!(
        told(text),
        [
            "1:1 PKI1020 there is no field `nmae`",
            "1:1 PKI1021 the field `name` is missing",
            "2:7 PKI1025 `kind`: `bore` is not possible here",
            "3:8 PKI1041 `cores`: expected a whole number from 0 to 255, found `256`",
            "4:11 PKI1023 `tags`: expected a text, but `1` without quotes is a number",
            "4:14 PKI1023 `tags`: expected a text, but `true` without quotes is a boolean",
            "4:20 PKI1022 `tags`: expected a text, found a list",
            "6:16 PKI1022 `disks.sda.size`: expected a whole number from -9223372036854775808 to 9223372036854775807, found the text `big`",
            "7:16 PKI1022 `disks.sdb.fast`: expected `true` or `false`, found the text `yes`",
            "7:30 PKI1020 there is no field `extra` in `disks.sdb`",
        ]
    );
}

#[test]
fn a_field_that_was_refused_is_not_missing_too() {
    assert_eq!(
        told("name: 5\nkind: bare\n"),
        ["1:7 PKI1023 `name`: expected a text, but `5` without quotes is a number"]
    );
}

#[test]
fn a_forgotten_value_is_not_the_default() {
    assert_eq!(told("name: a\nkind: bare\nowner:\n"), ["3:1 PKI1022 `owner`: there is no value"]);
}

#[test]
fn all_missing_fields_of_a_mapping_are_told() {
    assert_eq!(
        told("disks: { sda: {} }\n"),
        [
            "1:1 PKI1021 the field `kind` is missing",
            "1:1 PKI1021 the field `name` is missing",
            "1:10 PKI1021 the field `size` is missing in `disks.sda`",
        ]
    );
}

#[test]
fn one_of_several_shapes_is_wanted_and_only_one() {
    assert_eq!(
        told("name: a\nkind: { bare: {}, virtual: { host: h } }\n"),
        [
            "2:1 PKI1022 `kind`: `bare` stands alone",
            "2:19 PKI1026 `kind`: only one of these fields can be given"
        ]
    );
    assert_eq!(told("name: a\nkind: virtual\n"), ["2:7 PKI1022 `kind`: `virtual` needs a value of its own"]);
    assert_eq!(
        told("name: a\nkind: { vitual: { host: h } }\n"),
        ["2:9 PKI1025 `kind`: `vitual` is not possible here"]
    );
    assert_eq!(
        told("name: a\nkind: { virtual: { hots: h } }\n"),
        [
            "2:9 PKI1021 the field `host` is missing in `kind.virtual`",
            "2:20 PKI1020 there is no field `hots` in `kind.virtual`"
        ]
    );
}

#[test]
fn what_is_sound_is_kept_and_what_was_dropped_is_known() {
    let text = "name: a\nkind: bare\ncores: many\ndisks: { sda: { size: 1 }, sdb: { size: x } }\n";
    let decoded = decoded(text);
    let machine = decoded.value.unwrap();
    assert_eq!((machine.cores, machine.disks.get("sda").map(|disk| disk.size)), (0, Some(1)));
    let dropped: Vec<&str> =
        decoded.dropped.iter().map(|span| text.get(span.start..span.end()).unwrap()).collect();
    assert_eq!(dropped, ["cores: many", "size: x"]);
}

#[test]
fn a_document_of_another_shape_is_refused_whole() {
    for text in ["[]", "text", "5", "true"] {
        let decoded = decoded(text);
        assert_eq!((decoded.value, decoded.problems.len()), (None, 1), "{text}");
    }
}

#[test]
fn numbers_with_leading_zeros_are_not_guessed_at() {
    assert_eq!(
        told("name: a\nkind: bare\ncores: 010\n"),
        ["3:8 PKI1024 `cores`: the number `010` starts with 0, which some readers take for octal"]
    );
    assert_eq!(told("name: a\nkind: bare\ncores: 1_0\n").len(), 1);
    assert_eq!(told("name: a\nkind: bare\ncores: 0x10\n").len(), 1);
}

#[test]
fn an_alias_is_judged_where_its_anchor_is() {
    let text = "name: a\nkind: bare\ndisks: { sda: &d { size: x }, sdb: *d }\n";
    assert_eq!(
        told(text),
        [
            "3:26 PKI1022 `disks.sda.size`: expected a whole number from -9223372036854775808 to 9223372036854775807, found the text `x`",
            "3:26 PKI1022 `disks.sdb.size`: expected a whole number from -9223372036854775808 to 9223372036854775807, found the text `x`",
        ]
    );
}

#[test]
fn after_a_hundred_problems_it_stops() {
    let text = format!(
        "name: a\nkind: bare\ndisks:\n{}",
        (0..500).map(|n| format!("  d{n}: {{ sise: 1 }}\n")).collect::<String>()
    );
    let decoded = decoded(&text);
    assert_eq!(decoded.problems.len(), MOST_PROBLEMS + 1);
    assert_eq!(
        (decoded.value, decoded.problems.last().map(|last| last.code)),
        (None, Some(Code::TooManyProblems))
    );
}
