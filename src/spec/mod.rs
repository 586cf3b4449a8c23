//! What users write: the declared PKI of a cluster.
//!
//! What enters are the texts of files, each with any number of documents; what leaves are the specs without fault, and every problem of every
//! document at its place. Nothing here opens a file: what `source` names is handed in, and `knownHosts` is read elsewhere.

pub mod authority;
pub mod check;
pub mod custom_root;
pub mod operation;
pub mod places;
pub mod types;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::diagnostic::Source;
use crate::diagnostic::{Code, Diagnostic, Place, has_errors, nearest, quoted, sort};
use crate::spec::custom_root::{CertificateFile, Roots};
use crate::types::profile_name::ProfileName;
use crate::yaml::document::Document;
use check::KnownNames;
use types::ClusterPki;

/// The version of the format that this library reads.
pub const API_VERSION: &str = "pki/v1alpha1";
/// The kind of document that this library reads.
pub const KIND: &str = "ClusterPKI";

/// The fields whose keys are names that people choose.
const MAPS_OF_NAMES: [&str; 8] =
    ["nodes", "authorities", "certificates", "directories", "services", "endpoints", "labels", "annotations"];

/// What reading depends on besides the texts.
#[derive(Clone, Copy)]
pub struct ReadOptions<'known> {
    /// The current time; a cut-off after it is refused.
    pub now: Timestamp,
    /// Whether documents of other kinds are passed over in silence, as in the output of `kustomize build` with other resources.
    pub ignore_other_kinds: bool,
    /// The names that each profile declares. Names are not judged for a profile that is absent.
    pub known: &'known BTreeMap<ProfileName, KnownNames>,
    /// Gives the content of the certificate file that `source` names in the spec of a given name.
    pub certificate_file: &'known dyn Fn(&str, &str) -> CertificateFile,
}

/// A spec without fault, with its document for places.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// What was written.
    pub spec: ClusterPki,
    /// Where it was written.
    pub document: Document,
    /// The custom root CAs that it names.
    pub roots: Roots,
}

/// What the given texts hold.
#[derive(Debug, Default)]
pub struct Reading {
    /// The specs whose documents have no error, in the order of the files.
    pub specs: Vec<Loaded>,
    /// Every problem, sorted by file, position and code.
    pub problems: Vec<Diagnostic>,
}

/// Reads every document of every text.
pub fn read(sources: &[Source], options: &ReadOptions<'_>) -> Reading {
    let mut reading = Reading::default();
    let mut names: BTreeMap<String, Place> = BTreeMap::new();
    let mut passed_over = 0_usize;
    for source in sources {
        let parsed = crate::yaml::parse::parse(source);
        reading.problems.extend(parsed.problems);
        for document in parsed.documents.into_iter().filter(|document| !document.is_empty()) {
            match belonging(&document) {
                Belonging::Foreign if options.ignore_other_kinds => passed_over += 1,
                Belonging::Foreign => reading.problems.push(foreign_document(&document)),
                Belonging::OtherVersion => reading.problems.push(unknown_version(&document)),
                Belonging::Ours => {
                    let duplicate = duplicate_cluster(&mut names, &document);
                    read_document(document, duplicate, options, &mut reading);
                }
            }
        }
    }
    crate::yaml::withheld::withhold(&mut reading.problems, sources);
    if reading.specs.is_empty() && !has_errors(&reading.problems) {
        reading.problems.push(no_cluster(sources, passed_over));
    }
    sort(&mut reading.problems);
    reading
}

fn read_document(
    document: Document,
    duplicate: Option<Diagnostic>,
    options: &ReadOptions<'_>,
    reading: &mut Reading,
) {
    let decoded = crate::yaml::decode::decode::<ClusterPki>(&document);
    let mut problems = decoded.problems;
    problems.extend(duplicate);
    let mut roots = BTreeMap::new();
    if let Some(cluster) = &decoded.value {
        // A profile that is not written, or is none, says nothing about names.
        let profile_is_sound = document.text(&["spec", "profile"]) == Some(cluster.spec.profile.as_str());
        let known = profile_is_sound.then(|| options.known.get(&cluster.spec.profile)).flatten();
        let certificate_file = |path: &str| (options.certificate_file)(document.file(), path);
        let checked =
            check::check(cluster, &document, &decoded.dropped, known, options.now, &certificate_file);
        problems.extend(checked.problems);
        roots = checked.roots;
    }
    let told: BTreeSet<&Place> = problems.iter().filter_map(Diagnostic::place).collect();
    let is_told = |warning: &Diagnostic| warning.place().is_some_and(|place| told.contains(place));
    let warnings: Vec<Diagnostic> = crate::yaml::parse::ambiguous_scalars(&document, &MAPS_OF_NAMES)
        .into_iter()
        .filter(|warning| !is_told(warning))
        .collect();
    problems.extend(warnings);
    if let Some(spec) = decoded.value.filter(|_| !document.is_faulty() && !has_errors(&problems)) {
        reading.specs.push(Loaded { spec, document, roots });
    }
    reading.problems.extend(problems);
}

/// Whose document it is.
enum Belonging {
    Ours,
    OtherVersion,
    Foreign,
}

fn belonging(document: &Document) -> Belonging {
    let version = document.text(&["apiVersion"]).unwrap_or_default();
    let kind = document.text(&["kind"]).unwrap_or_default();
    let is_our_group = version.starts_with("pki/") || version == "pki";
    // A slip in the kind must not make the document invisible to `ignore_other_kinds`.
    let is_our_kind = nearest(kind, [KIND]).is_some();
    match (is_our_group, is_our_kind) {
        (true, true) if version != API_VERSION && version.starts_with("pki/v") => Belonging::OtherVersion,
        (true, true) | (true, false) | (false, true) => Belonging::Ours,
        (false, false) => Belonging::Foreign,
    }
}

fn foreign_document(document: &Document) -> Diagnostic {
    let field = |name| document.text(&[name]).map_or_else(|| "none".to_owned(), quoted);
    let place =
        if document.node(&["kind"]).is_some() { document.place(&["kind"]) } else { document.place(&[]) };
    Diagnostic::new(
        Code::ForeignDocument,
        format!("not a cluster's PKI: apiVersion is {}, kind is {}", field("apiVersion"), field("kind")),
    )
    .at(place, "this document")
    .help(format!("write `apiVersion: {API_VERSION}` and `kind: {KIND}`; `--ignore-other-kinds` passes over other documents"))
}

fn unknown_version(document: &Document) -> Diagnostic {
    let version = document.text(&["apiVersion"]).unwrap_or_default();
    Diagnostic::new(Code::UnknownVersion, format!("this pki does not read {}", quoted(version)))
        .at(document.place(&["apiVersion"]), "this version")
        .help(format!("it reads {}; a newer format needs a newer pki", quoted(API_VERSION)))
}

fn duplicate_cluster(names: &mut BTreeMap<String, Place>, document: &Document) -> Option<Diagnostic> {
    let name = document.text(&["metadata", "name"])?;
    let place = document.place(&["metadata", "name"]);
    match names.get(name) {
        None => {
            names.insert(name.to_owned(), place);
            None
        }
        Some(first) => Some(
            Diagnostic::new(
                Code::DuplicateCluster,
                format!("the cluster {} is declared twice; first in {}", quoted(name), first.short()),
            )
            .at(place, "again here")
            .at(first.clone(), "first here")
            .help("give each cluster a name of its own, or merge the documents with kustomize"),
        ),
    }
}

fn no_cluster(sources: &[Source], passed_over: usize) -> Diagnostic {
    let files = crate::diagnostic::all_of(sources.iter().map(|source| source.name.as_str()));
    let (message, help) = match (sources.is_empty(), passed_over) {
        (true, _) => ("no file was given".to_owned(), "name a file with -f"),
        (false, 0) => {
            (format!("nothing is declared in {files}"), "check the path; `pki adopt` writes a first spec")
        }
        (false, count) => (
            format!("no {KIND} among the {count} documents of {files}"),
            "check the path, or leave out --ignore-other-kinds to see what the documents are",
        ),
    };
    Diagnostic::new(Code::NoCluster, message).help(help)
}
