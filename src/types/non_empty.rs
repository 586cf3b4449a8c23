//! A list that is never empty.
//!
//! What enters is a list; what leaves is the same list with the promise that something is in it. A trust file without a certificate locks out everybody whom its readers
//! know, so whatever is written to one is of this type, in plans, in commands to nodes and in the writer itself. Reading an empty list is an error. Pure.

use std::borrow::Cow;
use std::ops::Deref;

use schemars::generate::SchemaGenerator;
use schemars::{JsonSchema, Schema};
use serde::{Deserialize, Serialize};

/// A list with at least one entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "Vec<T>", into = "Vec<T>", bound(serialize = "T: Serialize + Clone"))]
pub struct NonEmpty<T>(Vec<T>);

/// A list that must not be empty is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("there is nothing in a list that must never be empty")]
pub struct NothingInIt;

impl<T> NonEmpty<T> {
    /// A list with one entry.
    pub fn one(only: T) -> Self {
        Self(vec![only])
    }

    /// One entry, and what follows it.
    pub fn with_first(first: T, mut rest: Vec<T>) -> Self {
        rest.insert(0, first);
        Self(rest)
    }

    /// What comes before, and one last entry.
    pub fn with_last(mut others: Vec<T>, last: T) -> Self {
        others.push(last);
        Self(others)
    }

    /// The entries, in their order.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }

    /// The first entry that stands there a second time.
    pub fn repeated(&self) -> Option<&T>
    where
        T: PartialEq,
    {
        let before = |place: usize, entry: &T| self.0.iter().take(place).any(|other| other == entry);
        self.0.iter().enumerate().find(|(place, entry)| before(*place, entry)).map(|(_, entry)| entry)
    }
}

impl<T: PartialEq> NonEmpty<T> {
    /// Each entry once, where it stands first; none of nothing.
    pub fn each_once(entries: impl IntoIterator<Item = T>) -> Option<Self> {
        Self::try_from(once(entries)).ok()
    }
}

/// Each entry once, where it stands first.
pub fn once<T: PartialEq>(entries: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut found: Vec<T> = Vec::new();
    for entry in entries {
        if !found.contains(&entry) {
            found.push(entry);
        }
    }
    found
}

impl<T> TryFrom<Vec<T>> for NonEmpty<T> {
    type Error = NothingInIt;

    fn try_from(entries: Vec<T>) -> Result<Self, NothingInIt> {
        if entries.is_empty() { Err(NothingInIt) } else { Ok(Self(entries)) }
    }
}

impl<T> From<NonEmpty<T>> for Vec<T> {
    fn from(list: NonEmpty<T>) -> Self {
        list.0
    }
}

impl<T> Deref for NonEmpty<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T: JsonSchema> JsonSchema for NonEmpty<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("NonEmpty_{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mut schema = Vec::<T>::json_schema(generator);
        schema.insert("minItems".to_owned(), 1.into());
        schema
    }
}

/// How a list that may be absent is written: as the list, and an absent one as an empty list.
pub(crate) mod or_nothing {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::NonEmpty;

    pub(crate) fn serialize<T: Serialize, S: Serializer>(
        list: &Option<NonEmpty<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        list.as_deref().unwrap_or_default().serialize(serializer)
    }

    pub(crate) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<NonEmpty<T>>, D::Error> {
        Ok(NonEmpty::try_from(Vec::deserialize(deserializer)?).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_refused_wherever_it_comes_from() {
        assert_eq!(NonEmpty::<u8>::try_from(Vec::new()), Err(NothingInIt));
        assert_eq!(NonEmpty::<u8>::each_once([]), None);
        let read = serde_json::from_str::<NonEmpty<u8>>("[]").unwrap_err();
        assert!(
            read.to_string().starts_with("there is nothing in a list that must never be empty"),
            "{read}"
        );
        assert_eq!(serde_json::from_str::<NonEmpty<u8>>("[1,2]").unwrap().into_vec(), [1, 2]);
        assert_eq!(serde_json::to_string(&NonEmpty::one(7)).unwrap(), "[7]");
    }

    #[test]
    fn what_stands_there_twice_is_found_and_can_be_left_out() {
        let twice = NonEmpty::with_first(1, vec![2, 1, 2]);
        assert_eq!(twice.repeated(), Some(&1));
        let once = NonEmpty::each_once(twice.into_vec()).unwrap();
        assert_eq!((once.repeated(), &*once), (None, &[1, 2][..]));
        assert_eq!(&*NonEmpty::with_last(vec![1], 2), [1, 2]);
    }
}
