//! What a transaction has touched, and the order in which it goes back.
//!
//! What enters is paths with the places that they led to; what leaves is the same in the order of the way back. It touches nothing.

/// A path of a command with the place that it led to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(crate) struct PathChange {
    pub(crate) path: String,
    pub(crate) location: String,
    /// Something starts as soon as this is there, as a static pod does by its manifest. So it stops before this changes, and on the way back this comes after
    /// everything that is read then.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) starts: bool,
}

impl PathChange {
    /// Of a path whose change starts nothing.
    pub(crate) fn new(path: &str, location: String) -> Self {
        Self { path: path.to_owned(), location, starts: false }
    }
}

/// What was touched, in the order in which it goes back: the last change first, and at the end what starts something.
pub(crate) fn backwards<T>(
    touched: impl DoubleEndedIterator<Item = T>,
    touch: impl Fn(&T) -> &PathChange,
) -> Vec<T> {
    let mut backwards: Vec<T> = touched.rev().collect();
    backwards.sort_by_key(|each| touch(each).starts);
    backwards
}
