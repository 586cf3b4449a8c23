//! A static pod started anew by its manifest.
//!
//! What enters is a manifest and a word; what leaves is the same manifest, byte for byte, with that word in one annotation of the pod. A kubelet knows a
//! static pod by the content of its manifest (kubelet config/common.go, `applyDefaults`, hashes it into the pod's UID), so it replaces the pod. Of several
//! documents it takes the first; the others stay as they are. The result is read again, and anything else that would have changed is a refusal. Pure.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use crate::diagnostic::Source;
use crate::yaml::edit::{Text, child, forget, same};
use crate::yaml::lenient::first_document;
use crate::yaml::parse;
use crate::yaml::parse::{Node, Value};

/// The annotation, of which nothing but its change matters.
const ANNOTATION: &str = "pki/restarted-by";

/// Why a manifest cannot be annotated.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum AnnotateError {
    /// It is no text, no YAML, or YAML with features that are not edited.
    #[error("it is not YAML that can be edited")]
    NotYaml,
    /// A part of a pod is missing or is something else.
    #[error("it has no usable {part}")]
    Lacks {
        /// Which one.
        part: Cow<'static, str>,
    },
    /// The change would reach further than the annotation, for instance because of an alias.
    #[error("its annotations cannot be changed without changing something else")]
    Entangled,
}

/// The same manifest with this word in its annotation: letters, digits and hyphens.
///
/// # Errors
/// When it is not the manifest of a pod, or cannot be edited without another change.
pub fn annotate(bytes: &[u8], word: &str) -> Result<Vec<u8>, AnnotateError> {
    if word.is_empty() || !word.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Err(AnnotateError::Lacks { part: "word for the annotation".into() });
    }
    let text = str::from_utf8(bytes).map_err(|_| AnnotateError::NotYaml)?;
    let (text, rest) = first_document(text);
    let root = read(text)?;
    let lacks = |part: &'static str| AnnotateError::Lacks { part: part.into() };
    let is_pod = child(&root, "kind").is_some_and(|kind| kind.value.value == Value::String("Pod".to_owned()));
    if !is_pod {
        return Err(lacks("kind Pod"));
    }
    let metadata = child(&root, "metadata").ok_or(lacks("metadata"))?;
    // A kubelet takes a text that begins with a brace for JSON, where names and texts have quotes.
    let (name, value) = (format!("\"{ANNOTATION}\""), format!("\"{word}\""));
    let edited = match child(&metadata.value, "annotations") {
        Some(annotations) => Text(text).set(annotations, &annotations.value, &name, &value),
        None => {
            let annotations = format!("{{{name}: {value}}}");
            Text(text).set(metadata, &metadata.value, "\"annotations\"", &annotations)
        }
    };
    let edited = edited.ok_or(AnnotateError::Entangled)?;
    let new = read(&edited).map_err(|_| AnnotateError::Entangled)?;
    let annotation = |root: &Node| -> Option<Value> {
        let annotations = &child(&child(root, "metadata")?.value, "annotations")?.value;
        Some(child(annotations, ANNOTATION)?.value.value.clone())
    };
    if annotation(&new) != Some(Value::String(word.to_owned())) || !same(&without(root), &without(new)) {
        return Err(AnnotateError::Entangled);
    }
    Ok([edited.as_bytes(), rest.as_bytes()].concat())
}

fn read(text: &str) -> Result<Node, AnnotateError> {
    let parsed = parse::parse(&Source::new("manifest", text));
    match parsed.documents.as_slice() {
        [only] if parsed.problems.is_empty() => Ok(only.root().clone()),
        _ => Err(AnnotateError::NotYaml),
    }
}

/// The tree without the annotation, and without annotations that have nothing in them.
fn without(mut root: Node) -> Node {
    let Some(metadata) = child(&root, "metadata").map(|entry| entry.value.clone()) else { return root };
    if let Some(annotations) = child(&metadata, "annotations") {
        forget(&mut root, annotations.value.span, ANNOTATION);
    }
    let is_empty = child(&root, "metadata")
        .and_then(|metadata| child(&metadata.value, "annotations"))
        .is_some_and(|annotations| match &annotations.value.value {
            Value::Null => true,
            Value::Mapping(entries) => entries.is_empty(),
            Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Sequence(_) => false,
        });
    if is_empty {
        forget(&mut root, metadata.span, "annotations");
    }
    root
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotated(text: &str) -> String {
        String::from_utf8(annotate(text.as_bytes(), "7f3a-91c2-1").unwrap()).unwrap()
    }

    #[test]
    fn a_manifest_of_kubeadm_gets_one_line_more() {
        let before = "apiVersion: v1\nkind: Pod\nmetadata:\n  annotations:\n    kubeadm.kubernetes.io/etcd.advertise-client-urls: https://10.0.0.11:2379\n  creationTimestamp: null\n  name: etcd   # by hand\nspec: {}\nstatus: {}\n";
        let after = annotated(before);
        let line = "    \"pki/restarted-by\": \"7f3a-91c2-1\"\n";
        assert_eq!(after.replace(line, ""), before);
        assert_eq!(after.len(), before.len() + line.len());
    }

    #[test]
    fn documents_behind_the_first_stay_as_they_are() {
        for rest in ["---\n", "---\nkind: Pod\nmetadata: {name: b}\n", "...\n}: [ no YAML\n"] {
            let after = annotated(&format!("---\nkind: Pod\nmetadata:\n  name: etcd\n{rest}"));
            let head = after.strip_suffix(rest).unwrap();
            assert_eq!(head.matches("pki/restarted-by").count(), 1, "{after}");
        }
    }

    #[test]
    fn another_word_takes_the_place_of_the_first() {
        let before = "kind: Pod\nmetadata:\n  annotations: {a: b}\n  name: etcd\n";
        let once = annotated(before);
        let twice = annotate(once.as_bytes(), "0000-0000-2").unwrap();
        assert_eq!(String::from_utf8(twice).unwrap(), once.replace("7f3a-91c2-1", "0000-0000-2"));
        assert_ne!(once, before);
    }

    #[test]
    fn annotations_are_made_where_there_are_none() {
        for before in [
            "kind: Pod\nmetadata:\n  name: etcd\n",
            "kind: Pod\nmetadata:\n  annotations:\n  name: etcd\n",
            "kind: Pod\nmetadata:\n  annotations: {}\n  name: etcd\n",
            "kind: Pod\nmetadata:\n  annotations: null\n  name: etcd\n",
            "kind: Pod\r\nmetadata:\r\n  name: etcd\r\n",
            "{\"kind\": \"Pod\", \"metadata\": {\"name\": \"etcd\"}}",
        ] {
            let after = annotated(before);
            assert!(after.contains("\"pki/restarted-by\": \"7f3a-91c2-1\""), "{after}");
            assert_eq!(before.contains('\r'), after.contains('\r'));
            if before.starts_with('{') {
                serde_json::from_str::<serde_json::Value>(&after).unwrap();
            }
        }
    }

    #[test]
    fn what_is_not_the_manifest_of_a_pod_or_says_more_is_refused() {
        for text in [
            "",
            "kind: Secret\nmetadata: {name: a}\n",
            "kind: Pod\n",
            "kind: Pod\nmetadata: [1]\n",
            "---\n---\nkind: Pod\nmetadata: {name: a}\n",
            "kind: Pod\nmetadata: &m\n  annotations: &a {b: c}\n  labels: *a\n",
            "kind: Pod\nmetadata: {annotations: 3}\n",
        ] {
            assert!(annotate(text.as_bytes(), "a").is_err(), "{text}");
        }
        assert!(annotate(b"kind: Pod\nmetadata: {name: a}\n", "a\"b").is_err());
        assert!(annotate(&[0xff, 0xfe], "a").is_err());
    }
}
