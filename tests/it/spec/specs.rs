//! Every sample spec gives exactly the report beside it.
//!
//! `tests/specs/valid` and `tests/specs/invalid` hold samples, each `NAME.yaml` with `NAME.txt`: what a person reads. `UPDATE=1` rewrites the
//! reports; they are texts for an engineer on call, so read the difference before it is committed.
#![expect(clippy::disallowed_methods, reason = "samples and their reports are files")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use pki::apply::root_files;
use pki::diagnostic::{Code, RenderStyle, Severity, Source, has_errors, render};
use pki::output::schema::Document;
use pki::spec::check::KnownNames;
use pki::spec::custom_root::CertificateFile;
use pki::spec::{ReadOptions, Reading, read};
use pki::types::profile_name::ProfileName;
use pki::types::secret::Secret;
use pki::yaml::parse::{Node, Value};
use proptest::prelude::*;
use serde_json::json;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Problems that the JSON Schema can see as well: shapes and single values, nothing that needs two places or the clock.
const STRUCTURAL: &[Code] = &[
    Code::UnknownField,
    Code::MissingField,
    Code::WrongType,
    Code::QuotesNeeded,
    Code::UnknownWord,
    Code::DuplicateItem,
    Code::InvalidName,
    Code::InvalidMode,
    Code::InvalidVersion,
    Code::OutOfRange,
];

fn texts(items: &[&str]) -> BTreeSet<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
}

/// A small stand-in for the profiles, so that these reports do not change when a profile does.
fn known() -> BTreeMap<ProfileName, KnownNames> {
    let certificates = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(name, authority)| ((*name).to_owned(), (*authority).to_owned())).collect()
    };
    let kubeadm = KnownNames {
        authorities: texts(&["ca", "etcd-ca", "front-proxy-ca"]),
        consumers: BTreeMap::new(),
        certificates: certificates(&[
            ("apiserver", "ca"),
            ("apiserver-kubelet-client", "ca"),
            ("apiserver-etcd-client", "etcd-ca"),
            ("front-proxy-client", "front-proxy-ca"),
            ("etcd-server", "etcd-ca"),
            ("etcd-peer", "etcd-ca"),
            ("etcd-healthcheck-client", "etcd-ca"),
            ("admin.conf", "ca"),
        ]),
        directories: texts(&["etcd-pki", "kubernetes-pki"]),
        directories_of_others: BTreeMap::new(),
        services: texts(&["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet"]),
        ..KnownNames::default()
    };
    let etcd = KnownNames {
        authorities: texts(&["etcd-ca"]),
        consumers: BTreeMap::new(),
        certificates: certificates(&[
            ("etcd-server", "etcd-ca"),
            ("etcd-peer", "etcd-ca"),
            ("etcd-client", "etcd-ca"),
        ]),
        directories: texts(&["etcd-pki"]),
        directories_of_others: [("etcd-pki".to_owned(), "etcd".to_owned())].into(),
        places: [("etcd-pki".to_owned(), "/etc/etcd/pki".to_owned())].into(),
        services: texts(&["etcd"]),
        ..KnownNames::default()
    };
    BTreeMap::from([
        (ProfileName::Kubeadm, kubeadm),
        (ProfileName::Etcd, etcd),
        (ProfileName::Custom, KnownNames::default()),
    ])
}

fn read_all(sources: &[Source], ignore_other_kinds: bool) -> Reading {
    let known = known();
    let now = "2026-11-22T12:00:00Z".parse().unwrap();
    read(
        sources,
        &ReadOptions { now, ignore_other_kinds, known: &known, certificate_file: &certificate_file },
    )
}

/// The files that samples name in `source`: those of `tests/specs/roots`, and what cannot lie there.
fn certificate_file(_: &str, path: &str) -> CertificateFile {
    let folder = Path::new(ROOT).join("tests/specs");
    match path {
        "roots/for-others.crt" => CertificateFile::Denied,
        // A scanner for secrets would take even this one for a key.
        "roots/holds-key.crt" => {
            let mut content = std::fs::read(folder.join("roots/root.crt")).unwrap();
            let label = ["PRIVATE", "KEY"].join(" ");
            content.extend(format!("-----BEGIN {label}-----\naGVsbG8=\n-----END {label}-----\n").bytes());
            CertificateFile::Content(Secret::new(content))
        }
        _ if path.starts_with("/secure/") => root_files::certificate(Some(&folder), "roots/root.crt"),
        _ => root_files::certificate(Some(&folder), path),
    }
}

fn read_text(source: &Source) -> Reading {
    read_all(std::slice::from_ref(source), false)
}

fn yaml_files(directory: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut waiting = vec![directory.to_owned()];
    while let Some(directory) = waiting.pop() {
        for entry in std::fs::read_dir(&directory).into_iter().flatten() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                waiting.push(path);
            } else if path.extension().is_some_and(|extension| extension == "yaml") {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn load(path: &Path) -> Source {
    let name = path.file_name().unwrap().to_str().unwrap();
    Source::from_bytes(name, std::fs::read(path).unwrap()).unwrap_or_else(|_| Source::new(name, ""))
}

/// The report of a sample, and the codes in it.
fn report(path: &Path) -> (String, Vec<Code>, Reading) {
    let name = path.file_name().unwrap().to_str().unwrap();
    match Source::from_bytes(name, std::fs::read(path).unwrap()) {
        Ok(source) => {
            let reading = read_text(&source);
            let codes = reading.problems.iter().map(|problem| problem.code).collect();
            (render(&reading.problems, &[source], RenderStyle::PLAIN), codes, reading)
        }
        Err(problem) => (
            render(std::slice::from_ref(&problem), &[], RenderStyle::PLAIN),
            vec![problem.code],
            Reading::default(),
        ),
    }
}

/// A report in which of many problems in a row that differ only in numbers and layout the first and the last are left, and how many there are.
fn shortened(report: &str) -> String {
    const MANY: usize = 20;
    const NEXT: &str = "\n\nerror[";
    let letters = |problem: &str| problem.chars().filter(|letter| letter.is_alphabetic()).collect::<String>();
    let problems: Vec<&str> = report.split(NEXT).collect();
    let rows = problems.chunk_by(|one, next| letters(one) == letters(next)).map(|row| match row {
        [first, between @ .., last] if between.len() > MANY => {
            format!("{first}\n\n({} more, the same but for numbers){NEXT}{last}", between.len())
        }
        row => row.join(NEXT),
    });
    rows.collect::<Vec<_>>().join(NEXT)
}

fn compare(path: &Path, report: &str, differing: &mut Vec<String>) {
    let report = shortened(report);
    let golden = path.with_extension("txt");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&golden, &report).unwrap();
    }
    let expected = std::fs::read_to_string(&golden).unwrap_or_default();
    if expected != report {
        differing.push(format!("{}\n--- expected\n{expected}\n--- found\n{report}", golden.display()));
    }
}

#[test]
fn invalid_specs_give_their_reports() {
    let files = yaml_files(&Path::new(ROOT).join("tests/specs/invalid"));
    assert!(files.len() >= 45, "only {} samples", files.len());
    let mut differing = Vec::new();
    let mut seen = BTreeSet::new();
    for path in &files {
        let (report, codes, reading) = report(path);
        assert!(!codes.is_empty(), "{} has no problem", path.display());
        let is_refused = has_errors(&reading.problems) || reading.specs.is_empty();
        let is_only_warned_of = codes.iter().all(|code| code.severity() == Severity::Warning);
        assert!(is_refused || is_only_warned_of, "{} was read", path.display());
        seen.extend(codes);
        compare(path, &report, &mut differing);
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
    // A sample that cannot be opened is no sample: that code belongs to the command line.
    seen.insert(Code::Unreadable);
    let unseen: Vec<Code> = Code::ALL
        .iter()
        .copied()
        // A file that cannot be read has no text; the tests of the program show it.
        .filter(|code| {
            (1000..2000).contains(&code.number()) && *code != Code::Unreadable && !seen.contains(code)
        })
        .collect();
    assert!(unseen.is_empty(), "codes without a sample: {unseen:?}");
}

#[test]
fn valid_specs_are_read() {
    let files = yaml_files(&Path::new(ROOT).join("tests/specs/valid"));
    assert!(files.len() >= 8, "only {} samples", files.len());
    let mut differing = Vec::new();
    for path in &files {
        let (report, _, reading) = report(path);
        assert!(!reading.specs.is_empty(), "{} was not read:\n{report}", path.display());
        assert!(!has_errors(&reading.problems), "{}:\n{report}", path.display());
        compare(path, &report, &mut differing);
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

/// A document as the JSON that a schema validator sees.
fn to_json(node: &Node) -> serde_json::Value {
    match &node.value {
        Value::Null => json!(null),
        Value::Bool(value) => json!(value),
        Value::Number(text) => text
            .parse::<u64>()
            .map(|number| json!(number))
            .unwrap_or_else(|_| json!(text.parse::<f64>().unwrap_or(0.5))),
        Value::String(text) => json!(text),
        Value::Sequence(items) => items.iter().map(to_json).collect(),
        Value::Mapping(entries) => {
            entries.iter().map(|entry| (entry.key.name.clone(), to_json(&entry.value))).collect()
        }
    }
}

#[test]
fn the_json_schema_accepts_what_the_reader_accepts() {
    let validator = jsonschema::draft7::new(&Document::Spec.schema()).unwrap();
    let root = Path::new(ROOT);
    let valid = yaml_files(&root.join("tests/specs/valid"));
    for path in valid.iter().chain(&yaml_files(&root.join("examples"))) {
        let source = load(path);
        // A patch of an overlay is no whole spec.
        let is_patch = path.components().any(|part| part.as_os_str() == "overlays");
        if is_patch || !source.text.contains("\nkind: ClusterPKI") {
            continue;
        }
        for document in
            pki::yaml::parse::parse(&source).documents.iter().filter(|document| !document.is_empty())
        {
            let errors: Vec<String> = validator
                .iter_errors(&to_json(document.root()))
                .map(|error| format!("{}: {error}", error.instance_path))
                .collect();
            assert!(errors.is_empty(), "{}: {errors:?}", path.display());
        }
    }
}

#[test]
fn the_json_schema_refuses_faults_of_structure() {
    let validator = jsonschema::draft7::new(&Document::Spec.schema()).unwrap();
    for path in yaml_files(&Path::new(ROOT).join("tests/specs/invalid")) {
        let (_, codes, _) = report(&path);
        if !codes.iter().any(|code| STRUCTURAL.contains(code)) {
            continue;
        }
        let parsed = pki::yaml::parse::parse(&load(&path));
        if !parsed.problems.is_empty() {
            continue;
        }
        let is_refused =
            parsed.documents.iter().any(|document| !validator.is_valid(&to_json(document.root())));
        assert!(is_refused, "{} passes the JSON Schema", path.display());
    }
}

const SMALL: &str = "apiVersion: pki/v1alpha1\nkind: ClusterPKI\nmetadata: { name: one }\nspec: { profile: etcd, nodes: { e-1: { roles: [etcd] } } }\n";
const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: settings }\n";

#[test]
fn one_cluster_in_two_files_names_both_places() {
    let sources = [Source::new("a.yaml", SMALL), Source::new("b.yaml", SMALL)];
    let reading = read_all(&sources, false);
    let report = render(&reading.problems, &sources, RenderStyle::PLAIN);
    assert_eq!(reading.problems.first().map(|problem| problem.code), Some(Code::DuplicateCluster));
    assert!(
        report.contains("[b.yaml:3:19]") && report.contains("  at a.yaml:3:19: first here\n"),
        "{report}"
    );
    assert_eq!(reading.specs.len(), 1);
}

#[test]
fn documents_of_other_kinds_are_passed_over_only_when_asked() {
    let mixed = [Source::new("-", format!("{CONFIG_MAP}---\n{SMALL}"))];
    assert_eq!(read_all(&mixed, true).problems, []);
    assert_eq!(read_all(&mixed, true).specs.len(), 1);
    assert_eq!(read_all(&mixed, false).problems.len(), 1);
    let others = [Source::new("-", CONFIG_MAP)];
    let codes: Vec<Code> = read_all(&others, true).problems.iter().map(|problem| problem.code).collect();
    assert_eq!(codes, [Code::NoCluster], "nothing at all is never a success");
    let misspelt = [Source::new("-", SMALL.replace("ClusterPKI", "ClusterPki"))];
    assert!(has_errors(&read_all(&misspelt, true).problems), "a slip is not another kind");
}

#[test]
fn reasons_can_name_the_line_of_a_field() {
    let reading = read_text(&Source::new("pki.yaml", SMALL));
    let document = &reading.specs.first().unwrap().document;
    assert_eq!(document.place(&["spec", "nodes", "e-1", "roles"]).short(), "pki.yaml:4");
}

#[test]
fn references_are_not_judged_for_a_profile_whose_names_are_unknown() {
    let text = SMALL.replace("nodes:", "certificates: { anything: { validity: 90d } }, nodes:");
    let now = "2026-11-22T12:00:00Z".parse().unwrap();
    let options = ReadOptions {
        now,
        ignore_other_kinds: false,
        known: &BTreeMap::new(),
        certificate_file: &certificate_file,
    };
    assert_eq!(read(&[Source::new("a.yaml", text)], &options).problems, []);
}

proptest! {
    #![proptest_config(crate::support::seeds::cases(300))]

    /// Whatever a slip or an attacker makes of a spec: it is read or refused with a report that no terminal acts on.
    #[test]
    fn no_mutation_of_a_spec_makes_reading_panic(
        edits in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..6, "[ -~\n\t\u{202e}\u{1b}ü]{0,6}"), 1..6),
    ) {
        let mut text = std::fs::read_to_string(Path::new(ROOT).join("tests/specs/valid/full.yaml")).unwrap();
        for (place, cut, insert) in edits {
            let start = text.floor_char_boundary(place.index(text.len() + 1));
            let end = text.floor_char_boundary((start + cut).min(text.len())).max(start);
            text.replace_range(start..end, &insert);
        }
        let source = Source::new("full.yaml", text);
        let reading = read_text(&source);
        let report = render(&reading.problems, &[source], RenderStyle::PLAIN);
        let acts = report.contains(['\u{1b}', '\u{202e}']);
        prop_assert!(!acts);
        prop_assert!(!reading.specs.is_empty() || has_errors(&reading.problems));
    }
}
