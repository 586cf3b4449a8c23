//! A spec that is twice as long is read in twice the steps.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::*;
use crate::diagnostic::{RenderStyle, Source, render};
use crate::spec::{ReadOptions, Reading, read};
use crate::types::profile_name::ProfileName;

const HEAD: &str =
    "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: { name: large }\nspec:\n  profile: custom\n";

fn reading(source: &Source) -> Reading {
    let certificates = ["a", "b"].map(|name| (name.to_owned(), "ca".to_owned()));
    let names = KnownNames {
        authorities: ["ca".to_owned()].into(),
        certificates: certificates.into(),
        ..KnownNames::default()
    };
    let known: BTreeMap<ProfileName, KnownNames> = [(ProfileName::Custom, names)].into();
    let options = ReadOptions {
        now: "2026-11-30T00:00:00Z".parse().unwrap(),
        ignore_other_kinds: false,
        known: &known,
        certificate_file: &|_, _| CertificateFile::Missing,
    };
    read(std::slice::from_ref(source), &options)
}

/// Nodes that are all the same directory.
fn nodes_on_one_root(count: usize) -> String {
    let mut text = format!("{HEAD}  connection: {{ local: {{ root: ./all }} }}\n  nodes:\n");
    for number in 0..count {
        writeln!(text, "    n-{number}: {{ address: 10.0.0.1, roles: [worker] }}").unwrap();
    }
    text
}

/// Names of one certificate that are all the same, in lines or all in one.
fn names(count: usize, parted: &str, name: impl Fn(usize) -> String) -> String {
    let names: Vec<String> = (0..count).map(name).collect();
    let names = names.join(parted);
    format!(
        "{HEAD}  nodes: {{ n-1: {{ address: 10.0.0.1, roles: [worker] }} }}\n  certificates:\n    a: {{ names: {{ dns: [{names}] }} }}\n"
    )
}

/// References to nodes that there are not.
fn unknown_nodes(count: usize) -> String {
    let mut text = format!("{HEAD}  nodes:\n");
    for number in 0..count {
        writeln!(text, "    n-{number}: {{ address: n{number}.example, roles: [worker] }}").unwrap();
    }
    let nodes: Vec<String> = (0..count).map(|number| format!("m{number}")).collect();
    writeln!(text, "  certificates:\n    a: {{ on: {{ nodes: [{}] }} }}", nodes.join(", ")).unwrap();
    text
}

/// Certificates that are all in the same file, each on a node of its own, and of one that all would meet.
fn files_of_one_name(count: usize) -> String {
    let mut text = format!("{HEAD}  nodes:\n");
    for number in 0..count {
        writeln!(text, "    n-{number}: {{ address: n{number}.example, roles: [worker] }}").unwrap();
    }
    text.push_str("  certificates:\n");
    for number in 0..count {
        writeln!(
            text,
            "    c-{number}: {{ authority: ca, subject: {{ commonName: c }}, on: {{ nodes: [n-{number}] }}, files: {{ certificate: /a.crt, key: /a-{number}.key }} }}"
        )
        .unwrap();
    }
    text
}

/// Links each of which leads to the next one.
fn chain_of_links(count: usize) -> String {
    let mut text =
        format!("{HEAD}  nodes: {{ n-1: {{ address: 10.0.0.1, roles: [worker] }} }}\n  directories:\n");
    for number in 0..count {
        writeln!(text, "    d-{number}: {{ link: /l/{number}, path: /l/{} }}", number + 1).unwrap();
    }
    text
}

#[test]
fn twice_the_spec_takes_at_most_thrice_the_steps() {
    let same = |_: usize| "a.example".to_owned();
    let wrong = |number: usize| format!("No_{number}");
    let lines = ",\n          ";
    type Shape<'a> = (&'a str, &'a dyn Fn(usize) -> String);
    let shapes: [Shape<'_>; 8] = [
        ("nodes on one root", &nodes_on_one_root),
        ("the same name again and again", &|count| names(count, lines, same)),
        ("different names", &|count| names(count, lines, |number| format!("n{number}.example"))),
        ("wrong names", &|count| names(count, lines, wrong)),
        ("wrong names in one line", &|count| names(count, ", ", wrong)),
        ("unknown nodes", &unknown_nodes),
        ("one file", &files_of_one_name),
        ("a chain of links", &chain_of_links),
    ];
    for (what, shape) in shapes {
        let steps = [500, 1_000, 2_000].map(|count| {
            let source = Source::new("large.yaml", shape(count));
            counted::of(|| drop(reading(&source)))
        });
        let [few, some, many] = steps;
        assert!(few > 500, "{what}: nothing is counted: {steps:?}");
        assert!(some < 3 * few && many < 3 * some, "{what}: {steps:?}");
    }
}

#[test]
fn of_five_thousand_problems_the_first_hundred_are_shown_and_the_others_counted() {
    let source = Source::new("large.yaml", names(5_000, ",\n          ", |number| format!("No_{number}")));
    let reading = reading(&source);
    assert_eq!(reading.problems.len(), 5_000);
    let text = render(&reading.problems, std::slice::from_ref(&source), RenderStyle::PLAIN);
    assert_eq!(text.matches("is not a DNS name").count(), MOST_SHOWN);
    assert!(text.contains("`No_99`") && !text.contains("`No_100`"), "the first are shown");
    assert!(text.contains("\n... and 4,900 more problems\n\n5000 errors. "), "{text}");
}

#[test]
fn two_certificates_in_one_file_are_told_if_a_node_would_hold_both() {
    let on = |nodes: &str| format!("authority: ca, subject: {{ commonName: c }}, on: {{ nodes: [{nodes}] }}");
    let place = "files: { certificate: /x.crt, key: /x.key }";
    let told = |certificates: &[(&str, String)]| {
        let mut text = format!("{HEAD}  nodes:\n");
        for node in ["n-1", "n-2", "n-3"] {
            writeln!(text, "    {node}: {{ address: {node}.example, roles: [worker] }}").unwrap();
        }
        text.push_str("  certificates:\n");
        for (name, fields) in certificates {
            let key = format!("key: /{name}.key");
            writeln!(text, "    {name}: {{ {fields}, {} }}", place.replace("key: /x.key", &key)).unwrap();
        }
        let problems = reading(&Source::new("x.yaml", text)).problems;
        let shared = problems.into_iter().filter(|problem| problem.code == Code::SharedFile);
        shared.map(|problem| problem.message).collect::<Vec<_>>()
    };
    let called = |one: &str, other: &str| {
        vec![format!(
            "`spec.certificates.{other}.files.certificate`: `/x.crt` would hold both the certificate of `{one}` and the certificate of `{other}`"
        )]
    };
    assert!(told(&[("c", on("n-1")), ("d", on("n-2"))]).is_empty());
    assert_eq!(told(&[("c", on("n-1, n-2")), ("d", on("n-2, n-3"))]), called("c", "d"));
    assert_eq!(told(&[("c", on("n-1")), ("d", on("n-2")), ("e", on("n-3, n-2"))]), called("d", "e"));
    // `a` is placed by the profile: it may be on every node.
    let anywhere = "validity: 90d".to_owned();
    assert_eq!(told(&[("a", anywhere.clone()), ("d", on("n-2"))]), called("a", "d"));
    assert_eq!(told(&[("a", anywhere.clone()), ("b", anywhere)]), called("a", "b"));
}

#[test]
fn what_was_dropped_is_known_whatever_lies_in_what() {
    let span = |start, end| Span::between(start, end);
    let spans = [span(10, 20), span(12, 14), span(40, 41), span(10, 11)];
    let dropped = Dropped::of(&spans);
    for start in 0..45 {
        for end in start..45 {
            let asked = span(start, end);
            assert_eq!(dropped.contain(&asked), spans.iter().any(|one| one.contains(&asked)), "{asked:?}");
        }
    }
}
