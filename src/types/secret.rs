//! Bytes that nobody may see.
//!
//! What enters is key material or a file that may hold some; what leaves is the same bytes, to whoever asks for them by name. They are wiped when
//! dropped, `Debug` shows only how many there are, and there is no `Display`, no `Serialize` and no comparison.

use std::fmt;

use zeroize::Zeroizing;

/// Secret bytes.
#[derive(Clone, Default)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes the bytes over. They must not have been copied on the way, because only this copy is wiped.
    pub fn new(bytes: impl Into<Zeroizing<Vec<u8>>>) -> Self {
        Self(bytes.into())
    }

    /// The bytes, for writing them to where they belong.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Zeroizing<String>> for Secret {
    fn from(mut text: Zeroizing<String>) -> Self {
        Self(Zeroizing::new(std::mem::take(&mut *text).into_bytes()))
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Secret({} bytes)", self.0.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_given_to_who_asks_and_shown_to_no_one() {
        let secret = Secret::new(b"hunter2".to_vec());
        assert_eq!(secret.reveal(), b"hunter2");
        assert_eq!(format!("{secret:?}"), "Secret(7 bytes)");
        assert_eq!(Secret::from(Zeroizing::new("hunter2".to_owned())).reveal(), b"hunter2");
    }
}
