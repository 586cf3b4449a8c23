//! Where the lines of a text begin.
//!
//! What enters is a text, always the same one, and offsets in it; what leaves are lines and columns. The text is read once, whatever number of offsets is asked
//! for, one without line breaks too.

use std::sync::OnceLock;

use crate::diagnostic::counted;

/// How many bytes lie between two of the places up to which characters are counted beforehand.
const STRIDE: usize = 1024;

/// The index, which is made when it is first asked.
#[derive(Debug, Clone, Default)]
pub(super) struct Lines(OnceLock<Index>);

#[derive(Debug, Clone)]
struct Index {
    /// The offsets at which lines begin.
    starts: Vec<usize>,
    /// How many characters begin before each multiple of [`STRIDE`].
    characters: Vec<usize>,
}

/// Of two texts only the texts are compared.
impl PartialEq for Lines {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Lines {}

impl Lines {
    /// Line and column of the character at, or around, an offset, both from 1.
    pub(super) fn position(&self, text: &str, offset: usize) -> (u32, u32) {
        let index = self.0.get_or_init(|| Index::of(text));
        let mut offset = offset.min(text.len());
        while !text.is_char_boundary(offset) {
            offset -= 1;
        }
        let line = index.starts.partition_point(|start| *start <= offset);
        let start = line.checked_sub(1).and_then(|line| index.starts.get(line)).copied().unwrap_or(0);
        let before = |offset| index.characters_before(text, offset);
        let column = before(offset).saturating_sub(before(start)).saturating_add(1);
        (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
    }
}

impl Index {
    fn of(text: &str) -> Self {
        counted::steps(text.len());
        let after_break = text.match_indices('\n').map(|(offset, _)| offset + 1);
        let mut characters = vec![0];
        for part in text.as_bytes().chunks(STRIDE) {
            characters.push(characters.last().copied().unwrap_or(0) + begun_in(part));
        }
        Self { starts: std::iter::once(0).chain(after_break).collect(), characters }
    }

    fn characters_before(&self, text: &str, offset: usize) -> usize {
        let stride = offset / STRIDE;
        let rest = text.as_bytes().get(stride * STRIDE..offset).unwrap_or_default();
        counted::steps(rest.len() / STRIDE + 1);
        self.characters.get(stride).copied().unwrap_or(0) + begun_in(rest)
    }
}

/// How many characters begin in a part of a text.
fn begun_in(part: &[u8]) -> usize {
    part.iter().filter(|byte| (**byte & 0b1100_0000) != 0b1000_0000).count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(text: &str, offset: usize) -> (u32, u32) {
        let mut start = offset.min(text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        let before = text.get(..start).unwrap();
        let column = before.rsplit('\n').next().unwrap().chars().count() + 1;
        (before.matches('\n').count() as u32 + 1, column as u32)
    }

    proptest! {
        #[test]
        fn a_place_is_what_counting_from_the_start_gives(text in "[a\u{e9}\u{20ac}\u{1f600}\r\n]{0,40}", repeated in 1..200usize, offset in 0..9000usize) {
            let text = text.repeat(repeated);
            let lines = Lines::default();
            for offset in [offset, offset + 1, offset / 2] {
                prop_assert_eq!(lines.position(&text, offset), counted(&text, offset));
            }
        }
    }
}
