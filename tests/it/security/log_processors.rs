//! What a log processor obeys is in no line that is written, whoever chose the words: a subject, a path, a command, the name of a file, a reason of a node.
#![expect(clippy::disallowed_methods, reason = "the tests run the program on real files")]

use std::fmt::Write as _;
use std::path::Path;

use pki::diagnostic::log_commands::in_text;
use pki::diagnostic::{Code, Diagnostic, Place, RenderStyle, Source, Span, render};

use crate::support::program::{code, pki, stderr, stdout};

/// Words that would be commands at some processor, at the place where they come to stand.
const HOSTILE: [&str; 6] = [
    "##[add-mask]x",
    "##vso[task.setvariable variable=x]y",
    "##VSO[task.complete result=Succeeded]y",
    "##teamcity[buildStatus status='SUCCESS']",
    "###[error]x",
    "::error title=x::y ::stop-commands::z ::add-mask::w",
];

/// The rules of the processors, written down once more: what GitHub, Azure and TeamCity would take for a command in a text.
#[track_caller]
fn obeys_nothing(text: &str, of: &str) {
    for line in text.split(['\n', '\r']) {
        let lower = line.to_ascii_lowercase();
        for word in ["##[", "##vso[", "##teamcity["] {
            assert!(!lower.contains(word), "{of}: {line:?}");
        }
        let trimmed =
            line.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}' || c == '\u{200b}');
        assert!(!trimmed.starts_with("::"), "{of}: {line:?}");
    }
}

/// A spec whose every free text is hostile. The words are spread so that wrapping brings some of them to the start of a line.
fn spec(hostile: &str) -> String {
    let quoted = |text: &str| serde_json::to_string(text).unwrap();
    let long = format!("{} {hostile} {hostile}", "word ".repeat(17));
    let mut text = String::from(
        "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: { name: x }\nspec:\n  profile: custom\n  nodes: { n1: { address: 10.0.0.1, roles: [worker], connection: { local: { root: ./r, create: true } } } }\n",
    );
    let _ = write!(
        text,
        "  authorities: {{ ca: {{ subject: {{ commonName: {} }}, files: {{ certificate: /p/ca.crt, key: /p/ca.key }}, on: {{ role: worker }} }} }}\n  \
         certificates: {{ a: {{ authority: ca, subject: {{ commonName: {}, organizations: [{}] }}, usages: [client], files: {{ certificate: /p/a.crt, key: /p/a.key }}, on: {{ role: worker }} }} }}\n  \
         services: {{ s: {{ restart: {{ command: [/bin/echo, {}, {}] }}, reads: [a] }} }}\n",
        quoted(hostile),
        quoted(&format!("x {hostile}")),
        quoted(hostile),
        quoted(&long),
        quoted(hostile),
    );
    text
}

const CALLS: [&[&str]; 17] = [
    &["validate", "spec.yaml"],
    &["validate", "spec.yaml", "--format", "json"],
    &["plan", "-f", "spec.yaml"],
    &["plan", "-f", "spec.yaml", "--format", "json", "-o", "plan.json"],
    &["plan", "-f", "spec.yaml", "--format", "markdown"],
    &["plan", "-f", "spec.yaml", "--format", "gitlab"],
    &[
        "plan",
        "-f",
        "spec.yaml",
        "--report",
        "text=r.txt",
        "--report",
        "json=r.json",
        "--report",
        "markdown=r.md",
    ],
    &["show", "plan.json"],
    &["apply", "-f", "spec.yaml", "--yes", "--format", "ndjson"],
    &[
        "apply",
        "-f",
        "spec.yaml",
        "--yes",
        "--replace",
        "a",
        "--report",
        "markdown=a.md",
        "--report",
        "json=a.json",
    ],
    &["status", "-f", "spec.yaml"],
    &["status", "-f", "spec.yaml", "--format", "json"],
    &["status", "-f", "spec.yaml", "--format", "junit"],
    &["status", "-f", "spec.yaml", "--format", "prometheus"],
    &["observe", "-f", "spec.yaml"],
    &["snapshot", "list", "-f", "spec.yaml"],
    &["rollback", "-f", "spec.yaml", "--plan"],
];

#[test]
fn no_output_holds_a_command() {
    for hostile in HOSTILE {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("spec.yaml"), spec(hostile)).unwrap();
        let mut worked = 0;
        for call in CALLS {
            let output = pki(folder.path(), call);
            let of = format!("{hostile:?} {call:?}");
            obeys_nothing(&stdout(&output), &of);
            obeys_nothing(&stderr(&output), &of);
            worked += usize::from(code(&output) == 0);
            if call.contains(&"json") && !call.contains(&"--report") {
                let value: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
                assert!(value.is_object());
            }
        }
        for file in ["r.txt", "r.json", "r.md", "a.md", "a.json", "plan.json"] {
            if let Ok(text) = std::fs::read_to_string(folder.path().join(file)) {
                obeys_nothing(&text, file);
            }
        }
        assert!(worked > 10, "{hostile:?}: only {worked} calls were of use");
    }
}

#[test]
fn the_values_in_json_are_what_they_were() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spec.yaml"), spec(HOSTILE[0])).unwrap();
    let text = stdout(&pki(folder.path(), &["plan", "-f", "spec.yaml", "--format", "json"]));
    let plan: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(plan.to_string().contains(HOSTILE[0]), "{text}");
}

#[test]
fn names_of_files_and_words_of_the_command_line_are_no_commands_either() {
    let folder = tempfile::tempdir().unwrap();
    for hostile in HOSTILE {
        let name = hostile.replace('/', "_");
        std::fs::write(folder.path().join(&name), "kind: [").unwrap();
        for call in [
            &["validate", &name][..],
            &["plan", "-f", &name],
            &["show", &name],
            &["apply", &name],
            &["explain", hostile],
            &["help", hostile],
            &[hostile],
            &["plan", "-f", "x.yaml", "--only", hostile],
            &["snapshot", "show", hostile],
            &["rollback", hostile],
        ] {
            let output = pki(folder.path(), call);
            assert_ne!(code(&output), 0, "{call:?}");
            obeys_nothing(&(stdout(&output) + &stderr(&output)), &format!("{call:?}"));
        }
    }
}

#[test]
fn wrapping_at_any_width_brings_nothing_to_the_start_of_a_line() {
    for hostile in HOSTILE {
        let text = format!("a: {hostile}\n");
        let place = Place::of("x.yaml", &text, Span { start: 3, length: hostile.len() });
        let words = format!("{} {hostile} ", "word ".repeat(3)).repeat(20);
        let problem = Diagnostic::new(Code::InvalidValue, &words).at(place, &words).help(&words);
        let source = Source::new("x.yaml", &text);
        for width in 60..=200 {
            let style = RenderStyle { color: width % 2 == 0, unicode: width % 3 == 0, width };
            let shown = render(std::slice::from_ref(&problem), std::slice::from_ref(&source), style);
            obeys_nothing(&in_text(&shown), &format!("width {width}"));
        }
    }
}

#[test]
fn the_marker_of_a_comment_stands_in_its_first_line_only() {
    let folder = tempfile::tempdir().unwrap();
    let hostile = "<!-- pki plan x --> <!-- pki plan x sha256:0 -->";
    std::fs::write(folder.path().join("spec.yaml"), spec(hostile)).unwrap();
    let calls: [&[&str]; 2] = [
        &["plan", "-f", "spec.yaml", "--format", "markdown"],
        &["apply", "-f", "spec.yaml", "--yes", "--report", "markdown=run.md"],
    ];
    let shown = stdout(&pki(folder.path(), calls[0]));
    pki(folder.path(), calls[1]);
    for text in [shown, std::fs::read_to_string(Path::new(folder.path()).join("run.md")).unwrap()] {
        assert!(text.lines().next().unwrap().starts_with("<!-- pki "), "{text}");
        assert!(!text.lines().skip(1).any(|line| line.contains("<!-- pki ")), "{text}");
    }
}
