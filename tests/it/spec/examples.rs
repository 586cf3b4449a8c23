//! The examples are valid: for the program, for the JSON Schema that editors use, and for what the profiles know.
#![expect(clippy::disallowed_methods, reason = "the examples are files")]

use std::path::Path;
use std::process::Command;

use crate::support::cluster::ROOT;
use pki::output::schema::Document;

use crate::contract::schema::published;

const FOLDERS: [&str; 3] = ["examples", "examples/ack", "examples/starlingx"];
const EXAMPLES: [&str; 9] = [
    "ack/moved-directory",
    "ack/on-a-master",
    "custom",
    "etcd-systemd",
    "kubeadm-external-etcd",
    "kubeadm-ha",
    "quickstart",
    "starlingx/nightly",
    "starlingx/own-root",
];

#[test]
fn every_example_is_valid() {
    let output = Command::new(env!("CARGO_BIN_EXE_pki"))
        .arg("validate")
        .args(FOLDERS)
        .current_dir(ROOT)
        .output()
        .unwrap();
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
    let expected = "valid: broker   profile custom   2 nodes   examples/custom.yaml\n\
        valid: etcd-eu1   profile etcd   3 nodes   examples/etcd-systemd.yaml\n\
        valid: prod-eu2   profile kubeadm   3 nodes   examples/kubeadm-external-etcd.yaml\n\
        valid: prod-eu2-etcd   profile etcd   3 nodes   examples/kubeadm-external-etcd.yaml\n\
        valid: prod-eu1   profile kubeadm   5 nodes   examples/kubeadm-ha.yaml\n\
        valid: quickstart   profile kubeadm   3 nodes   examples/quickstart.yaml\n\
        valid: ack-data-disk   profile ack   3 nodes   examples/ack/moved-directory.yaml\n\
        valid: ack-hangzhou   profile ack   3 nodes   examples/ack/on-a-master.yaml\n\
        valid: starlingx-1   profile starlingx   2 nodes   examples/starlingx/nightly.yaml\n\
        valid: starlingx-2   profile starlingx   1 node   examples/starlingx/own-root.yaml\n";
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
}

#[test]
fn editors_find_the_schema_of_every_example_and_agree() {
    let schema = serde_json::from_str(&std::fs::read_to_string(published(Document::Spec)).unwrap()).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for name in EXAMPLES {
        let path = Path::new(ROOT).join("examples").join(name).with_extension("yaml");
        let text = std::fs::read_to_string(&path).unwrap();
        let modeline = text.lines().next().unwrap().strip_prefix("# yaml-language-server: $schema=").unwrap();
        assert!(path.parent().unwrap().join(modeline).exists(), "{modeline}");
        for document in serde_saphyr::from_multiple::<serde_json::Value>(&text).unwrap() {
            let errors: Vec<String> =
                validator.iter_errors(&document).map(|error| error.to_string()).collect();
            assert!(errors.is_empty(), "{name}: {errors:?}");
        }
    }
    let files = FOLDERS.iter().flat_map(|folder| std::fs::read_dir(Path::new(ROOT).join(folder)).unwrap());
    let is_spec = |path: &std::path::PathBuf| path.extension().is_some_and(|extension| extension == "yaml");
    assert_eq!(files.map(|entry| entry.unwrap().path()).filter(is_spec).count(), EXAMPLES.len());
}
