//! What the program is made of: licences, sources, versions and build scripts of all crates are those of `.deny.toml`, and none is unused.
#![expect(
    clippy::disallowed_methods,
    reason = "cargo is asked, and the files of the package are what is tested"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::contract::tidy::{above_tests, below, production};
use crate::support::cluster::ROOT;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// What cargo tells of the package and of all crates that it may be made of on Linux.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let arguments =
        ["metadata", "--format-version=1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"];
    let told = Command::new(env!("CARGO")).args(arguments).current_dir(ROOT).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).unwrap()
});

/// Every crate but this one, with its name and version.
fn crates() -> impl Iterator<Item = (&'static str, &'static str, &'static Value)> {
    let packages = METADATA["packages"].as_array().unwrap();
    let others = packages.iter().filter(|package| package["name"] != "pki");
    others.map(|package| (text(&package["name"]), text(&package["version"]), package))
}

fn text(value: &'static Value) -> &'static str {
    value.as_str().unwrap_or_default()
}

/// The rows of a list of `.deny.toml`, each of which has its reason.
fn rows(list: &str) -> BTreeSet<String> {
    let file = std::fs::read_to_string(Path::new(ROOT).join(".deny.toml")).unwrap();
    let mut rows = BTreeSet::new();
    let after = file.lines().skip_while(|line| *line != format!("{list} = [")).skip(1);
    for line in after.take_while(|line| *line != "]") {
        let row = line.trim().strip_prefix('"').and_then(|row| row.split_once("\", # "));
        let (row, reason) = row.unwrap_or_else(|| unreachable!("no row with a reason: {line}"));
        assert!(!reason.is_empty() && rows.insert(row.to_owned()), "{line}");
    }
    assert!(!rows.is_empty(), "{list} is no list of .deny.toml");
    rows
}

/// What is found must be listed, and what is listed must be found.
fn compare(list: &str, found: &BTreeSet<String>) {
    let listed = rows(list);
    let missing: Vec<_> = found.difference(&listed).collect();
    assert!(missing.is_empty(), "{list} of .deny.toml has no row for {missing:?}");
    let needless: Vec<_> = listed.difference(found).collect();
    assert!(needless.is_empty(), "these rows of {list} of .deny.toml can go: {needless:?}");
}

/// The pieces between a word, where it stands in no bracket.
fn pieces(expression: &str, word: &str) -> Vec<String> {
    let mut pieces: Vec<String> = Vec::new();
    let mut is_inside = false;
    for piece in expression.split(word) {
        match pieces.last_mut() {
            Some(last) if is_inside => *last = format!("{last}{word}{piece}"),
            Some(_) | None => pieces.push(piece.to_owned()),
        }
        let so_far = pieces.last().unwrap();
        is_inside = so_far.matches('(').count() > so_far.matches(')').count();
    }
    pieces
}

/// Whether one may choose among licences so that all that are needed are allowed.
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let expression = expression.trim();
    for word in [" OR ", "/"] {
        let choice = pieces(expression, word);
        if choice.len() > 1 {
            return choice.iter().any(|piece| is_allowed(piece, allowed));
        }
    }
    let all = pieces(expression, " AND ");
    if all.len() > 1 {
        return all.iter().all(|piece| is_allowed(piece, allowed));
    }
    match expression.strip_prefix('(').and_then(|rest| rest.strip_suffix(')')) {
        Some(inner) => is_allowed(inner, allowed),
        None => allowed.contains(expression),
    }
}

#[test]
fn every_licence_is_allowed_and_every_allowed_one_is_needed() {
    let allowed = rows("allow");
    let licence = |package: &'static Value| text(&package["license"]);
    for (name, version, package) in crates() {
        assert!(is_allowed(licence(package), &allowed), "{name} {version}: {}", licence(package));
    }
    for row in &allowed {
        let others = allowed.iter().filter(|other| *other != row).cloned().collect();
        let is_needed = crates().any(|(.., package)| !is_allowed(licence(package), &others));
        assert!(is_needed, "no crate needs {row}");
    }
    let allowed: BTreeSet<String> = ["MIT", "ISC"].map(str::to_owned).into();
    for (expression, is) in [
        ("MIT", true),
        ("GPL-3.0-only", false),
        ("", false),
        ("GPL-3.0-only OR MIT", true),
        ("GPL-3.0-only/MIT", true),
        ("GPL-3.0-only AND MIT", false),
        ("ISC AND (Apache-2.0 OR MIT)", true),
        ("(ISC OR MIT) AND (Apache-2.0 OR Zlib)", false),
        ("MIT WITH something", false),
    ] {
        assert_eq!(is_allowed(expression, &allowed), is, "{expression}");
    }
}

#[test]
fn every_crate_comes_from_crates_io() {
    let others: Vec<_> =
        crates().filter(|(.., package)| package["source"] != CRATES_IO).map(|(name, ..)| name).collect();
    assert!(others.is_empty(), "{others:?}");
}

#[test]
fn a_crate_in_two_versions_has_its_reason() {
    let mut versions: BTreeMap<&str, BTreeSet<Vec<u64>>> = BTreeMap::new();
    for (name, version, _) in crates() {
        let numbers = version.split(['.', '-', '+']).map_while(|number| number.parse().ok()).collect();
        versions.entry(name).or_default().insert(numbers);
    }
    // As cargo compares: below 1.0 by the second number.
    let row = |name: &str, version: &Vec<u64>| match version[..] {
        [0, minor, ..] => format!("{name}:^0.{minor}"),
        [major, ..] => format!("{name}:^{major}"),
        [] => unreachable!("a version without numbers: {name}"),
    };
    let older = |(name, versions): (&&str, &BTreeSet<Vec<u64>>)| {
        versions.iter().rev().skip(1).map(|version| row(name, version)).collect::<Vec<_>>()
    };
    compare("skip", &versions.iter().flat_map(older).collect());
}

#[test]
fn a_crate_that_runs_a_program_while_it_is_built_has_its_reason() {
    let runs = |package: &Value| {
        let mut targets = package["targets"].as_array().unwrap().iter();
        targets.any(|target| target["kind"].as_array().unwrap().contains(&"custom-build".into()))
    };
    let found = crates().filter(|(.., package)| runs(package)).map(|(name, ..)| name.to_owned()).collect();
    compare("allow-build-scripts", &found);
}

/// Whether code, comments left out, has a path that begins with this crate.
fn names(code: &str, name: &str) -> bool {
    let path = format!("{}::", name.replace('-', "_"));
    code.lines().filter(|line| !line.trim_start().starts_with("//")).any(|line| {
        line.match_indices(&path).any(|(at, _)| {
            let before = line.split_at(at).0;
            !before.ends_with(|letter: char| letter.is_alphanumeric() || ['_', ':'].contains(&letter))
        })
    })
}

#[test]
fn every_dependency_is_named_by_a_source() {
    let program: Vec<String> = production().map(|(_, text)| above_tests(&text).to_owned()).collect();
    let tests: Vec<String> = ["src", "tests/it", "tests/lab", "tests/bench"]
        .iter()
        .flat_map(|folder| below(&Path::new(ROOT).join(folder)))
        .map(|(_, text)| text)
        .collect();
    let packages = METADATA["packages"].as_array().unwrap();
    let own = packages.iter().find(|package| package["name"] == "pki").unwrap();
    let mut unused = Vec::new();
    for dependency in own["dependencies"].as_array().unwrap() {
        let name = dependency["rename"].as_str().or(dependency["name"].as_str()).unwrap();
        let sources = match dependency["kind"].as_str() {
            None => &program,
            Some(_) => &tests,
        };
        if !sources.iter().any(|code| names(code, name)) {
            unused.push(name);
        }
    }
    assert!(unused.is_empty(), "no source names {unused:?}");
    for (code, is) in [
        ("use sec1::EcPrivateKey;", true),
        ("#[derive(sec1::Read)]", true),
        ("// sec1::EcPrivateKey", false),
        ("use crate::sec1::Key;", false),
        ("let key = from_sec1::<Key>();", false),
        ("let encoding = \"sec1\";", false),
    ] {
        assert_eq!(names(code, "sec1"), is, "{code}");
    }
}
