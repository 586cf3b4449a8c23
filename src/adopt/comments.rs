//! Where the values of a spec were taken from, by their path in it.

use std::collections::BTreeMap;

/// Comments by the path of the value that they belong to, below `spec`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Comments(BTreeMap<Vec<String>, String>);

impl Comments {
    /// Says of a value where it is from. What was said first stays: later rounds see a value that is there already.
    pub(super) fn say(&mut self, path: &[&str], text: impl Into<String>) {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.0.entry(path).or_insert_with(|| text.into());
    }

    /// Says it in place of what was said before.
    pub(super) fn say_anew(&mut self, path: &[&str], text: impl Into<String>) {
        let path = path.iter().map(|part| (*part).to_owned()).collect();
        self.0.insert(path, text.into());
    }

    /// Says it behind what was said before.
    pub(super) fn add(&mut self, path: &[&str], text: &str) {
        let path: Vec<String> = path.iter().map(|part| (*part).to_owned()).collect();
        let said = self.0.entry(path).or_default();
        if !said.is_empty() {
            said.push_str("; ");
        }
        said.push_str(text);
    }

    pub(super) fn of(&self, path: &[String]) -> Option<&str> {
        self.0.get(path).map(String::as_str)
    }

    /// Whether something is said of a value below this one.
    pub(super) fn are_below(&self, path: &[String]) -> bool {
        self.0.keys().any(|known| known.len() > path.len() && known.starts_with(path))
    }
}
