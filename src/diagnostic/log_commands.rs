//! What the log processors of pipelines obey, and how each form of output is kept free of it.
//!
//! What enters is text that may hold the words of a node, a certificate or a spec; what leaves is the same text, readable, in which no processor finds a command. GitHub
//! obeys `##[` anywhere in a line and `::` behind leading white space, Azure `##vso[` and TeamCity `##teamcity[` anywhere. The environment is not asked: a plan that is shown
//! again is the same to the byte wherever that is. Pure.

use std::borrow::Cow;

/// What makes a command of `#`, `#` and itself, in letters of any case.
const WORDS: [&str; 3] = ["[", "vso[", "teamcity["];

/// A text for people: the second `#` of a command and the first `:` at a line's start are spelled out.
pub fn in_text(text: &str) -> Cow<'_, str> {
    if !has_hashes(text) && !text.contains("::") {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    // A processor may end a line at either character, and at both.
    for line in text.split_inclusive(['\n', '\r']) {
        let start = line.len() - line.trim_start_matches(is_leading).len();
        let (leading, rest) = line.split_at_checked(start).unwrap_or(("", line));
        out.push_str(leading);
        match rest.strip_prefix("::") {
            Some(rest) => {
                out.push_str("\\u{3a}:");
                out.push_str(&without_hashes(rest, "#\\u{23}"));
            }
            None => out.push_str(&without_hashes(rest, "#\\u{23}")),
        }
    }
    Cow::Owned(out)
}

/// A JSON text, or a YAML scalar that is quoted as in JSON: the same values, written otherwise. Both have such characters in strings only.
pub fn in_json(text: &str) -> Cow<'_, str> {
    replaced(text, "\\u0023\\u0023")
}

/// An XML text: the same values, written otherwise.
pub fn in_xml(text: &str) -> Cow<'_, str> {
    replaced(text, "&#35;&#35;")
}

fn replaced<'t>(text: &'t str, hashes: &str) -> Cow<'t, str> {
    if has_hashes(text) { Cow::Owned(without_hashes(text, hashes)) } else { Cow::Borrowed(text) }
}

/// Unicode's white space, and what some runtimes count as such or do not see at all.
fn is_leading(character: char) -> bool {
    character.is_whitespace()
        || character.is_control()
        || matches!(character, '\u{180E}' | '\u{200B}'..='\u{200F}' | '\u{2060}' | '\u{FEFF}')
}

fn has_hashes(text: &str) -> bool {
    text.match_indices("##").any(|(at, _)| is_command(text.get(at + 2..).unwrap_or_default()))
        || text.contains("###")
}

/// Whether what follows two `#` makes a command of them.
fn is_command(rest: &str) -> bool {
    WORDS.iter().any(|word| {
        rest.as_bytes().get(..word.len()).is_some_and(|found| found.eq_ignore_ascii_case(word.as_bytes()))
    })
}

fn without_hashes(text: &str, hashes: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("##") {
        let (before, found) = rest.split_at(at);
        out.push_str(before);
        let behind = found.get(2..).unwrap_or_default();
        if is_command(behind) {
            out.push_str(hashes);
            rest = behind;
        } else {
            // Of three in a row the last two may be a command.
            out.push('#');
            rest = found.get(1..).unwrap_or_default();
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_spelled_out_and_everything_else_stays() {
        for (text, shown) in [
            ("CN=##[add-mask]x", "CN=#\\u{23}[add-mask]x"),
            ("a ##vso[task.x] ##VSO[y]", "a #\\u{23}vso[task.x] #\\u{23}VSO[y]"),
            ("##teamcity[x]", "#\\u{23}teamcity[x]"),
            ("####[x]", "###\\u{23}[x]"),
            ("  ::error::x\n", "  \\u{3a}:error::x\n"),
            ("a\n\u{a0}\u{3000}::add-mask::x\n", "a\n\u{a0}\u{3000}\\u{3a}:add-mask::x\n"),
            ("\r\u{feff}::x", "\r\u{feff}\\u{3a}:x"),
            (
                "### pki plan: no changes\nsee fe80::1 and ::1\n",
                "### pki plan: no changes\nsee fe80::1 and ::1\n",
            ),
            ("::1\n", "\\u{3a}:1\n"),
        ] {
            assert_eq!(in_text(text), shown);
            assert_eq!(in_text(shown), shown, "what is harmless stays as it is");
        }
    }

    #[test]
    fn values_are_the_same_in_json_and_in_xml() {
        let value = serde_json::json!({ "a\\##[b": "\\\\##vso[x ##TeamCity[ ###[ ::y" });
        let text = value.to_string();
        let shown = in_json(&text);
        assert!(!shown.contains("##["), "{shown}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown).unwrap(), value);
        assert_eq!(in_xml("<a b=\"##[c\"/>"), "<a b=\"&#35;&#35;[c\"/>");
    }
}
