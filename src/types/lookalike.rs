//! Letters that look like other letters, in subjects and names that a person reviews.
//!
//! What enters is a text; what leaves is the text with such letters spelled out, or a word about it. Which letters look alike is Unicode's own table (UTS 39). Pure.

use unicode_security::MixedScript as _;
use unicode_security::confusable_detection::skeleton;

use crate::diagnostic::escaped;

/// Names to which Kubernetes, kubeadm or etcd give rights.
const PRIVILEGED: [&str; 14] = [
    "system:masters",
    "system:nodes",
    "system:authenticated",
    "system:serviceaccounts",
    "system:kube-controller-manager",
    "system:kube-scheduler",
    "system:kube-proxy",
    "kubeadm:cluster-admins",
    "kubernetes-admin",
    "kubernetes-super-admin",
    "kube-apiserver-kubelet-client",
    "kube-apiserver-etcd-client",
    "front-proxy-client",
    "root",
];

/// What all users and groups of Kubernetes itself begin with.
const OF_KUBERNETES: &str = "system:";

/// A text as people are shown it: every character outside ASCII spelled out, as `s\u{443}stem:masters`.
pub fn spelled(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in escaped(text).chars() {
        if character.is_ascii() {
            out.push(character);
        } else {
            out.extend(character.escape_default());
        }
    }
    out
}

/// Whether one word of it has letters of two scripts, as no language writes them.
pub fn mixes_scripts(text: &str) -> bool {
    let words = text.split(|character: char| !character.is_alphanumeric());
    words.filter(|word| !word.is_ascii()).any(|word| !word.is_single_script())
}

/// The privileged name for which a text could be taken without being it: all of it, or what the names of Kubernetes itself begin with.
pub fn resembles(text: &str) -> Option<&'static str> {
    let folded = |text: &str| skeleton(text).collect::<String>();
    let own = folded(text);
    let is_it = |name: &&&str| text != **name && own == folded(name);
    if let Some(name) = PRIVILEGED.iter().find(is_it) {
        return Some(name);
    }
    (!text.starts_with(OF_KUBERNETES) && own.starts_with(&folded(OF_KUBERNETES))).then_some(OF_KUBERNETES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_outside_ascii_are_spelled_out() {
        assert_eq!(spelled("s\u{443}stem:masters"), r"s\u{443}stem:masters");
        assert_eq!(spelled("M\u{fc}ller \u{202e}"), r"M\u{fc}ller \u{202e}");
        assert_eq!(spelled("system:masters"), "system:masters");
    }

    #[test]
    fn a_word_of_two_scripts_is_told_from_two_words_of_one_each() {
        for mixed in ["s\u{443}stem:masters", "ops-\u{430}dmin", "\u{3b1}bc"] {
            assert!(mixes_scripts(mixed), "{mixed}");
        }
        for single in [
            "system:masters",
            "M\u{fc}ller",
            "ops \u{430}\u{434}\u{43c}\u{438}\u{43d}",
            "\u{6771}\u{4eac}\u{30bf}",
            "a-1",
            "",
        ] {
            assert!(!mixes_scripts(single), "{single}");
        }
    }

    #[test]
    fn what_could_be_taken_for_a_privileged_name_is_known_by_its_folded_form() {
        let cases = [
            ("s\u{443}stem:masters", Some("system:masters")),
            ("system:m\u{430}sters", Some("system:masters")),
            ("system\u{589}masters", Some("system:masters")),
            ("systern:rnasters", Some("system:masters")),
            ("\u{455}\u{443}\u{455}tem:whoever", Some("system:")),
            ("kubeadm:cluster-\u{430}dmins", Some("kubeadm:cluster-admins")),
            ("r\u{43e}\u{43e}t", Some("root")),
            ("system:masters", None),
            ("system:node:cp-1", None),
            ("scraper", None),
            ("systems", None),
            ("\u{43e}\u{442}\u{434}\u{435}\u{43b}", None),
        ];
        for (text, expected) in cases {
            assert_eq!(resembles(text), expected, "{text}");
        }
    }
}
