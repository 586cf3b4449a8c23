//! Filling in the placeholders of a profile.

use std::collections::BTreeMap;

use super::{Dispute, Disputes, Told};

/// The values of placeholders; a value that is not known is absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Values {
    values: BTreeMap<String, String>,
    /// Whose word a value is.
    words: BTreeMap<String, Told>,
    /// Why a value is not known.
    disputes: Disputes,
}

impl Values {
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.words.remove(name);
        self.disputes.remove(name);
        self.values.insert(name.to_owned(), value.into());
    }

    pub(super) fn set_if_known(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// Sets a value that is the word of a node.
    pub(super) fn set_told(&mut self, name: &str, value: impl Into<String>, word: &Told) {
        let value = value.into();
        self.set(name, value.clone());
        self.words.insert(name.to_owned(), word.with(value));
    }

    /// Notes why a value is not known.
    pub(super) fn dispute(&mut self, name: &str, dispute: &Dispute) {
        self.values.remove(name);
        self.disputes.insert(name.to_owned(), dispute.clone());
    }

    /// Whose word a text is that [`Values::fill`] makes.
    pub(super) fn word(&self, text: &str) -> Option<Told> {
        let word = placeholders(text).find_map(|name| self.words.get(name))?;
        Some(word.with(self.fill(text)?))
    }

    /// Why a text cannot be filled in.
    pub(super) fn disputed(&self, text: &str) -> Option<&Dispute> {
        placeholders(text).find_map(|name| self.disputes.get(name))
    }

    /// The text with every placeholder replaced; `None` when one of them is not known.
    pub(super) fn fill(&self, text: &str) -> Option<String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            filled.push_str(before);
            filled.push_str(self.values.get(name)?);
            rest = after;
        }
        filled.push_str(rest);
        Some(filled)
    }
}

/// The names of the placeholders in a text.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_filled_in_only_when_everything_in_it_is_known() {
        let mut values = Values::default();
        values.set("pki", "/etc/kubernetes/pki");
        values.set_if_known("address", None);
        assert_eq!(values.fill("{pki}/ca.crt").as_deref(), Some("/etc/kubernetes/pki/ca.crt"));
        assert_eq!(values.fill("plain").as_deref(), Some("plain"));
        assert_eq!(values.fill("https://{address}:6443"), None);
        assert_eq!(values.fill("{pki"), None);
    }
}
