//! The order inside two rooms: imports go down there too, and no file of any room joins a circle of imports.
//!
//! What is counted is every `use` and every path that begins with `crate`, `super` or `self`, led through re-exports to the file that declares what is meant. A
//! module that calls its own children by their names alone is one thing with them.

use std::collections::{BTreeMap, BTreeSet};

use super::{Source, sources};

/// The parts of a room, lowest first. What is in no part stands above all of them.
const INSIDE: [(&str, &[&str]); 2] = [
    ("agent", &["fs", "probe", "inspect", "transaction", "local", "serve", "memory"]),
    ("plan", &["model", "known", "restart", "rotation", "draft", "order", "resume"]),
];

/// The files of the library by their modules, with what each hands on.
struct Tree {
    files: BTreeMap<Vec<String>, String>,
    /// By file and name.
    handed_on: BTreeMap<(String, String), String>,
}

/// Every path that a file names, and those that it hands on under a name of its own.
#[derive(Default)]
struct Named {
    used: BTreeSet<String>,
    handed_on: BTreeMap<String, String>,
}

fn module(path: &str) -> Vec<String> {
    let path = path.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).collect()
}

/// The paths of a tree of imports: `a::{b, c::{d}}` is `a::b` and `a::c::d`.
fn opened(tree: &str, before: &str, found: &mut Vec<String>) {
    let mut depth = 0;
    let parts = tree.split(|letter: char| {
        match letter {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        letter == ',' && depth == 0
    });
    for part in parts.map(str::trim).filter(|part| !part.is_empty()) {
        match part.split_once('{') {
            Some((head, list)) => {
                let list = list.rsplit_once('}').map_or(list, |(list, _)| list);
                opened(list, &format!("{before}{head}"), found);
            }
            None => found.push(format!("{before}{part}")),
        }
    }
}

fn named(code: &str) -> Named {
    let flat: String = code.split_whitespace().collect::<Vec<_>>().join(" ");
    let mut named = Named::default();
    for statement in flat.split(';') {
        let start = statement.rfind("use ").filter(|at| *at == 0 || statement.as_bytes()[at - 1] == b' ');
        let (others, tree) = start.map_or((statement, ""), |at| statement.split_at(at));
        let mut paths = Vec::new();
        opened(tree.trim_start_matches("use "), "", &mut paths);
        let is_handed_on =
            ["pub", "pub(crate)", "pub(super)"].iter().any(|word| others.trim_end().ends_with(word));
        for path in paths {
            let (path, name) = match path.split_once(" as ") {
                Some((path, name)) => (path.to_owned(), name.to_owned()),
                None => (path.clone(), path.rsplit("::").next().unwrap().to_owned()),
            };
            if is_handed_on {
                named.handed_on.insert(name, path);
            } else {
                named.used.insert(path);
            }
        }
        // From where something can be seen is no use.
        let others = others.split("pub(in ").enumerate();
        let others = others.map(|(at, rest)| if at == 0 { rest } else { rest.split_once(')').unwrap().1 });
        let is_between = |letter: char| !letter.is_alphanumeric() && letter != '_' && letter != ':';
        let words = others.flat_map(|others| others.split(is_between));
        named.used.extend(words.map(|word| word.trim_end_matches(':').to_owned()));
    }
    named.used.retain(|path| ["crate::", "super::", "self::"].iter().any(|start| path.starts_with(start)));
    named
}

impl Tree {
    /// The file that declares what a path of a module means.
    fn declares(&self, from: &[String], path: &str) -> Option<&str> {
        let mut steps = path.split("::").map(str::trim).peekable();
        let mut at = from.to_vec();
        if steps.peek() == Some(&"crate") {
            at.clear();
        }
        for step in steps {
            match step {
                "crate" | "self" => {}
                "super" => drop(at.pop()),
                name => at.push(name.to_owned()),
            }
        }
        let whole = (1..=at.len()).rev().find(|length| self.files.contains_key(&at[..*length]))?;
        let (module, rest) = at.split_at(whole);
        let file = &self.files[module];
        let handed_on = rest.first().and_then(|name| self.handed_on.get(&(file.clone(), name.clone())));
        // A macro is handed on by the file that declares it, under its own name.
        let handed_on = handed_on.filter(|path| {
            Some(path.as_str()) != rest.first().map(|name| format!("self::{name}")).as_deref()
        });
        handed_on.and_then(|path| self.declares(module, path)).or(Some(file))
    }
}

/// Which files of its own room each file uses.
fn uses(sources: &[Source]) -> BTreeMap<String, BTreeSet<String>> {
    let mut tree = Tree { files: BTreeMap::new(), handed_on: BTreeMap::new() };
    let mut all = Vec::new();
    for source in sources.iter().filter(|source| !source.path.starts_with("cli/")) {
        let named = named(&source.code);
        tree.files.insert(module(&source.path), source.path.clone());
        for (name, path) in named.handed_on {
            // What a module hands on of its children it names without more.
            let is_whole = ["crate::", "super::", "self::"].iter().any(|start| path.starts_with(start));
            let path = if is_whole { path } else { format!("self::{path}") };
            tree.handed_on.insert((source.path.clone(), name), path);
        }
        all.push((source.path.as_str(), named.used));
    }
    let room = |path: &str| path.split('/').next().unwrap().to_owned();
    let of_file = |(path, used): (&str, BTreeSet<String>)| {
        let targets = used.iter().filter_map(|used| tree.declares(&module(path), used));
        let targets = targets.filter(|target| *target != path && room(target) == room(path));
        (path.to_owned(), targets.map(str::to_owned).collect())
    };
    all.into_iter().map(of_file).collect()
}

/// The files from which a way leads back to themselves.
fn in_circles(uses: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<&String> {
    let reaches_itself = |file: &String| {
        let mut waiting: Vec<&String> = uses[file].iter().collect();
        let mut seen = BTreeSet::new();
        while let Some(next) = waiting.pop() {
            if next == file {
                return true;
            }
            if seen.insert(next) {
                waiting.extend(uses.get(next).into_iter().flatten());
            }
        }
        false
    };
    uses.keys().filter(|file| reaches_itself(file)).collect()
}

/// The part of a room that a file is in, with its rank there; none of a room without parts.
fn part(path: &str) -> Option<(&str, usize)> {
    let (room, inside) = path.split_once('/')?;
    let (_, parts) = INSIDE.iter().find(|(name, _)| *name == room)?;
    let part = inside.split_once('/').map_or(inside, |(part, _)| part);
    Some((part, parts.iter().position(|name| *name == part).unwrap_or(parts.len())))
}

/// What goes up inside its room: who, and the part that is used.
fn upward(uses: &BTreeMap<String, BTreeSet<String>>) -> BTreeSet<(String, String)> {
    let mut found = BTreeSet::new();
    for (file, used) in uses {
        let Some((_, rank)) = part(file) else { continue };
        for other in used {
            if let Some((part, _)) = part(other).filter(|(_, above)| *above > rank) {
                found.insert((file.clone(), part.to_owned()));
            }
        }
    }
    found
}

#[test]
fn inside_its_room_a_file_uses_what_is_below_it() {
    let found = upward(&uses(&sources()));
    assert!(found.is_empty(), "these go up: {found:#?}");
}

#[test]
fn no_file_is_in_a_circle_of_imports() {
    let uses = uses(&sources());
    let found = in_circles(&uses);
    assert!(found.is_empty(), "from these a way leads back to themselves: {found:#?}");
}

#[test]
fn a_planted_use_upwards_and_a_planted_circle_are_found() {
    let source = |(path, text): (&str, &str)| Source { path: path.to_owned(), code: super::code(text) };
    let planted = |files: &[(&str, &str)]| {
        let uses = uses(&files.iter().copied().map(source).collect::<Vec<_>>());
        (upward(&uses).len(), in_circles(&uses).len())
    };
    let engine = ("agent/transaction/mod.rs", "pub(crate) fn read() {}");
    for text in [
        "use crate::agent::transaction::read;",
        "use super::transaction::{self, read};",
        "fn look() { crate::agent::transaction::read() }",
        "use crate::agent::{\n    fs,\n    transaction::read,\n};",
    ] {
        assert_eq!(planted(&[engine, ("agent/probe.rs", text)]), (0, 0), "{text}: it is in no part");
        let text = text.replace("super::", "super::super::");
        assert_eq!(planted(&[engine, ("agent/probe/unit.rs", &text)]), (1, 0), "{text}");
    }
    let seen = ("plan/model/draft.rs", "pub(in crate::plan) fn new() {}");
    assert_eq!(planted(&[("plan/mod.rs", ""), seen]), (0, 0), "from where it can be seen");
    let handing = ("agent/mod.rs", "pub(crate) use transaction::read;");
    assert_eq!(planted(&[engine, handing, ("agent/fs/a.rs", "use crate::agent::read;")]), (1, 0));
    assert_eq!(planted(&[engine, ("agent/serve/mod.rs", "use crate::agent::transaction::read;")]), (0, 0));
    let circle = [
        ("spec/a.rs", "use super::b::B;"),
        ("spec/b.rs", "use super::c::C;"),
        ("spec/c.rs", "use crate::spec::a::A;"),
    ];
    assert_eq!(planted(&circle), (0, 3));
    assert_eq!(planted(&circle[..2]), (0, 0));
}
