//! Filling in the placeholders of a profile.

use std::collections::BTreeMap;

/// The values of placeholders; a value that is not known is absent.
#[derive(Debug, Clone, Default)]
pub(super) struct Values(BTreeMap<String, String>);

impl Values {
    pub(super) fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }

    pub(super) fn set_if_known(&mut self, name: &str, value: Option<String>) {
        if let Some(value) = value {
            self.set(name, value);
        }
    }

    /// The text with every placeholder replaced; `None` when one of them is not known.
    pub(super) fn fill(&self, text: &str) -> Option<String> {
        let mut filled = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}')?;
            filled.push_str(before);
            filled.push_str(self.0.get(name)?);
            rest = after;
        }
        filled.push_str(rest);
        Some(filled)
    }
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
