//! The rooms of the source tree: imports go down only, and what decides never reaches for what does.
#![expect(clippy::disallowed_methods, reason = "the source files are what is tested")]

mod inside;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::contract::tidy::{above_tests, production};
use crate::support::cluster::ROOT;

/// Whether a room only decides, or also touches the world.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Pure,
    Effects,
}

use Kind::{Effects, Pure};

/// Every room with its rank. A room uses rooms of a lower rank, and none of its own.
const ROOMS: [(&str, u8, Kind); 20] = [
    ("diagnostic", 0, Pure),
    ("types", 1, Pure),
    ("yaml", 2, Pure),
    ("x509", 2, Pure),
    ("formats", 3, Pure),
    ("protocol", 4, Pure),
    ("spec", 4, Pure),
    ("files", 5, Effects),
    ("profile", 5, Pure),
    ("agent", 6, Effects),
    ("remote", 6, Effects),
    ("desired", 6, Pure),
    ("trust", 7, Pure),
    ("observe", 7, Effects),
    ("diff", 8, Pure),
    ("plan", 9, Pure),
    ("simulate", 10, Pure),
    ("output", 10, Pure),
    ("apply", 11, Effects),
    ("adopt", 11, Pure),
];

/// Crates that only some rooms may use. All others are for everybody.
const CRATES: [(&str, &[&str]); 25] = [
    ("aws_lc_rs", &["x509", "agent", "remote"]),
    ("comfy_table", &["output"]),
    ("der", &["x509"]),
    ("fluent_uri", &["x509"]),
    ("granit_parser", &["yaml"]),
    ("http", &["agent", "types"]),
    ("http_body_util", &["agent"]),
    ("hyper", &["agent"]),
    ("hyper_util", &["agent"]),
    ("miette", &["diagnostic"]),
    ("openssh", &["remote"]),
    ("petgraph", &["plan"]),
    ("pkcs8", &["x509"]),
    ("prometheus", &["output"]),
    ("prost", &["agent"]),
    ("quick_junit", &["output"]),
    ("rcgen", &["x509"]),
    ("rustix", &["files", "agent", "remote", "apply", "observe"]),
    ("rustls", &["agent"]),
    ("similar", &["output"]),
    ("tokio", &["agent", "remote"]),
    ("tonic", &["agent"]),
    ("tower", &["agent"]),
    ("x509_cert", &["x509"]),
    ("x509_parser", &["x509"]),
];

/// Parts of the standard library with effects.
const EFFECTS: [&str; 6] =
    ["std::fs::", "std::process::", "std::net::Tcp", "std::thread::", "std::time::Instant", "std::env::"];

/// Who makes a draft, who looks into one, and who takes the plan out of it: text, and the files or rooms where it may stand.
const PLANS: [(&str, &[&str]); 3] = [
    ("Draft::new(", &["plan/mod.rs", "plan/resume/rollback/mod.rs", "adopt/"]),
    ("as_planned", &["plan/", "simulate/"]),
    ("into_planned", &["plan/model/draft.rs", "simulate/plan.rs"]),
];

/// What a file makes nothing of: a plan comes of a draft, a draft of the planner, and neither of what a file says.
const NEVER: [(&str, &[&str]); 3] = [
    ("simulate/", &["SavedPlan", "PlanDef"]),
    ("simulate/plan.rs", &[": PlanContent", ": &PlanContent", "From<", "Deserialize", "DerefMut"]),
    ("plan/model/draft.rs", &["SavedPlan", "From<", "Serialize", "Deserialize", "DerefMut"]),
];

/// Rooms that ask what is known of a thing: what there is to show of it does not tell the absent from the unknown.
const DECIDING: [&str; 7] = ["profile/", "desired/", "trust/", "diff/", "plan/", "simulate/", "adopt/"];

/// A file of the library.
struct Source {
    /// Below `src`.
    path: String,
    /// Its code, without comments, texts and its own tests.
    code: String,
}

/// The code of a file with every comment and every text cut out.
fn code(text: &str) -> String {
    let mut code = String::new();
    for line in above_tests(text).lines() {
        let mut parts = line.split('"');
        // Every other part is in quotes; a quote in quotes hides code at most.
        let mut kept: String = std::iter::from_fn(|| {
            let outside = parts.next()?;
            parts.next();
            Some(outside)
        })
        .collect();
        if let Some(comment) = kept.find("//") {
            kept.truncate(comment);
        }
        code.push_str(&kept);
        code.push('\n');
    }
    code
}

fn sources() -> Vec<Source> {
    let source = |(path, text): (PathBuf, String)| Source {
        path: path.to_str().unwrap().to_owned(),
        code: code(&text),
    };
    let found: Vec<Source> = production().map(source).collect();
    assert!(found.len() > 200, "only {} files", found.len());
    found
}

/// The room of a file; none for those that stand above all.
fn room(path: &str) -> Option<&str> {
    match path.split_once('/') {
        Some(("cli", _)) | None => None,
        Some((room, _)) => Some(room),
    }
}

fn of_room(name: &str) -> (u8, Kind) {
    let row = ROOMS.iter().find(|(room, ..)| *room == name);
    let (_, rank, kind) = row.unwrap_or_else(|| unreachable!("{name} is in no row of this test"));
    (*rank, *kind)
}

/// The rooms that code names by an absolute path, those of a list in braces too.
fn rooms_used(code: &str) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let flat: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    for (start, _) in flat.match_indices("crate::") {
        let rest = flat.split_at(start + "crate::".len()).1;
        let names = match rest.strip_prefix('{') {
            Some(list) => {
                // The first names of a list stand at its own depth.
                let mut depth = 0;
                let mut tops = String::new();
                for letter in list.chars() {
                    match letter {
                        '{' => depth += 1,
                        '}' if depth == 0 => break,
                        '}' => depth -= 1,
                        _ if depth == 0 => tops.push(letter),
                        _ => {}
                    }
                }
                tops.split(',').map(|path| path.trim().to_owned()).collect()
            }
            None => vec![rest.to_owned()],
        };
        for name in names {
            let end = name.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
            used.insert(name.split_at(end.unwrap_or(name.len())).0.to_owned());
        }
    }
    used.remove("");
    used
}

/// What is wrong with the imports of a file.
fn faults(source: &Source) -> Vec<String> {
    let Some(own) = room(&source.path) else { return Vec::new() };
    let (rank, kind) = of_room(own);
    let mut faults = Vec::new();
    for used in rooms_used(&source.code) {
        if used == own {
            continue;
        }
        let (other, other_kind) = of_room(&used);
        if other >= rank {
            faults.push(format!("{} uses {used}, which is not below it", source.path));
        } else if kind == Pure && other_kind == Effects {
            faults.push(format!("{} decides, and uses {used}, which does", source.path));
        }
    }
    for (name, rooms) in CRATES {
        let paths =
            [format!("use {name}::"), format!(" {name}::"), format!("({name}::"), format!("&{name}::")];
        if !rooms.contains(&own) && paths.iter().any(|path| source.code.contains(path.as_str())) {
            faults.push(format!("{} uses the crate {name}", source.path));
        }
    }
    for effect in EFFECTS {
        if kind == Pure && source.code.contains(effect) {
            faults.push(format!("{} decides, and uses {effect}", source.path));
        }
    }
    let is_in = |rooms: &[&str]| rooms.iter().any(|room| source.path.starts_with(room));
    let made = PLANS.iter().filter(|(text, rooms)| source.code.contains(text) && !is_in(rooms));
    faults.extend(made.map(|(text, _)| format!("{} has no draft to call {text}", source.path)));
    for (path, texts) in NEVER.iter().filter(|(path, _)| source.path.starts_with(path)) {
        let found = texts.iter().filter(|text| source.code.contains(**text));
        faults.extend(found.map(|text| format!("{path} makes nothing of {text}, and {} does", source.path)));
    }
    if is_in(&DECIDING) && [".shown()", "Seen::shown"].iter().any(|asked| source.code.contains(asked)) {
        faults.push(format!("{} decides by what there is to show", source.path));
    }
    // Each user names the room that declares a thing.
    for line in source.code.lines() {
        let line = line.trim();
        let reexported =
            ["pub use crate::", "pub(crate) use crate::"].iter().find_map(|start| line.strip_prefix(start));
        if let Some(path) = reexported
            && path.split("::").next() != Some(own)
        {
            faults.push(format!("{} hands on {path}", source.path));
        }
    }
    faults
}

#[test]
fn imports_go_down_and_what_decides_touches_nothing() {
    let found: Vec<String> = sources().iter().flat_map(faults).collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn what_is_planted_is_found() {
    let planted = |path: &str, code: &str| {
        let source = Source { path: path.to_owned(), code: self::code(code) };
        faults(&source)
    };
    for (path, code) in [
        ("x509/name.rs", "use crate::spec::types::Usage;"),
        ("diff/mod.rs", "use crate::{\n    types::names,\n    plan::{Plan, Deed},\n};"),
        ("protocol/facts.rs", "fn look() { crate::agent::Local::new(); }"),
        ("diff/mod.rs", "use crate::agent::Local;"),
        ("plan/order/mod.rs", "use openssh::Session;"),
        ("plan/order/mod.rs", "fn now() { let at = std::time::Instant::now(); }"),
        ("spec/mod.rs", "pub use crate::types::names::NodeName;"),
        ("diff/view.rs", "fn file(seen: &Seen<FileFacts>) -> Option<&FileFacts> { seen.shown() }"),
    ] {
        assert_eq!(planted(path, code).len(), 1, "{path}: {code}: {:?}", planted(path, code));
    }
    // What a file says, made a plan in each place where that could be written.
    for (path, code) in [
        ("plan/resume/again.rs", "impl SavedPlan { fn drafted(self) -> Draft { Draft::new(self.says) } }"),
        ("plan/model/draft.rs", "impl From<SavedPlan> for Draft { }"),
        ("plan/model/draft.rs", "#[derive(Deserialize)]\npub struct Draft(PlanContent);"),
        ("simulate/plan.rs", "pub fn believe(saved: &SavedPlan) -> Plan { Plan(saved.shown().clone()) }"),
        ("simulate/plan.rs", "pub fn believe(content: PlanContent) -> Plan { Plan(content) }"),
        ("simulate/plan.rs", "impl From<PlanContent> for Plan { }"),
        ("apply/mod.rs", "pub fn apply(draft: Draft) { carry_out(draft.into_planned()) }"),
        ("output/plan.rs", "pub fn draft(draft: &Draft) -> String { plan(draft.as_planned()) }"),
    ] {
        assert!(!planted(path, code).is_empty(), "{path}: {code}");
    }
    for (path, code) in [
        ("plan/mod.rs", "use crate::plan::model::deed::Deed;\nuse crate::{types::names::NodeName, x509};"),
        ("x509/name.rs", "//! [`crate::spec`]\nconst WORDS: &str = \"crate::plan\"; // crate::plan"),
        ("cli/plan.rs", "use pki::simulate::Plan;"),
    ] {
        assert_eq!(planted(path, code), Vec::<String>::new(), "{path}: {code}");
    }
}

#[test]
fn every_file_is_in_a_room_and_every_room_is_on_the_page_of_the_library() {
    let page = std::fs::read_to_string(Path::new(ROOT).join("src/lib.rs")).unwrap();
    let mut rooms: BTreeMap<&str, u8> = BTreeMap::new();
    let sources = sources();
    for source in &sources {
        match room(&source.path) {
            Some(room) => drop(rooms.insert(room, of_room(room).0)),
            None => {
                let is_loose = ["lib.rs", "main.rs"].contains(&source.path.as_str());
                assert!(is_loose || source.path.starts_with("cli/"), "{} is in no room", source.path);
            }
        }
    }
    assert_eq!(rooms.len(), ROOMS.len());
    for (room, rank) in rooms {
        let row = page.lines().find(|line| line.starts_with(&format!("//! | {rank} |")));
        assert!(row.is_some_and(|row| row.contains(&format!("[`{room}`]"))), "{room} is not at rank {rank}");
    }
}
