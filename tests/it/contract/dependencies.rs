//! What the program is made of: no dependency is one that no source names.
#![expect(
    clippy::disallowed_methods,
    reason = "cargo is asked, and the files of the package are what is tested"
)]

use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

use serde_json::Value;

use crate::support::cluster::ROOT;
use crate::contract::tidy::{above_tests, below, production};

/// What cargo tells of the package and of all crates that it may be made of on Linux.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let arguments =
        ["metadata", "--format-version=1", "--locked", "--filter-platform", "x86_64-unknown-linux-gnu"];
    let told = Command::new(env!("CARGO")).args(arguments).current_dir(ROOT).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    serde_json::from_slice(&told.stdout).unwrap()
});

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
