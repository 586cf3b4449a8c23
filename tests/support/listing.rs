//! What lies below a folder, told by `find` and `sha256sum` and not by the program that is tested: of every object its type, mode, owner and
//! link target, and of a file its digest. Left out are what pki keeps for itself, `/var/lib/pki` and `/run` with the lock.
#![expect(clippy::disallowed_methods, reason = "the listing is made by other programs")]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

/// Each path with what is there.
pub(crate) type Listing = BTreeMap<String, String>;

/// Everything in the nodes' folders below `folder`.
pub(crate) fn listing(folder: &Path) -> Listing {
    let mut listing = Listing::new();
    let printed = find(folder, &["-printf", "%P\\t%y %m %U:%G %l\\n"]);
    for line in printed.lines() {
        let (path, facts) = line.split_once('\t').unwrap();
        listing.insert(path.to_owned(), facts.trim_end().to_owned());
    }
    let digests = find(folder, &["-type", "f", "-exec", "sha256sum", "{}", "+"]);
    for line in digests.lines() {
        let (digest, path) = line.split_once("  ").unwrap();
        let facts = listing.get_mut(path.trim_start_matches("./")).unwrap();
        facts.push_str(" sha256 ");
        facts.push_str(digest);
    }
    listing
}

fn find(folder: &Path, action: &[&str]) -> String {
    let kept_by_pki = ["(", "-path", "./*/var/lib/pki", "-o", "-path", "./*/run", ")", "-prune", "-o"];
    let output = Command::new("find")
        .args([".", "-mindepth", "2"])
        .args(kept_by_pki)
        .args(action)
        .current_dir(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The paths that are not the same in both.
pub(crate) fn differing(before: &Listing, after: &Listing) -> BTreeSet<String> {
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    paths.into_iter().filter(|path| before.get(*path) != after.get(*path)).cloned().collect()
}

/// A listing without the digests: what must stay when only contents change.
pub(crate) fn without_contents(listing: &Listing) -> Listing {
    let cut = |facts: &String| facts.split(" sha256 ").next().unwrap().to_owned();
    listing.iter().map(|(path, facts)| (path.clone(), cut(facts))).collect()
}
