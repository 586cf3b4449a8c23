//! What a transaction left, as it is recorded: enough to say later whether it still is so, and not a byte of any file.

use std::collections::BTreeMap;

use super::{Record, encoded};
use crate::agent::fs::file_state::{Access, DirectoryImage, Entry, FileImage, FileState};
use crate::agent::fs::print::{Print, Salt};
use crate::protocol::error::HostError;

/// What a transaction left at a location, without a byte of any file.
pub(super) fn record(image: &FileState) -> Result<Record, HostError> {
    Ok(match image {
        FileState::Absent => Record::Absent,
        FileState::Other => Record::Other,
        FileState::Link { target, uid, gid } => Record::Link { target: target.clone(), uid: *uid, gid: *gid },
        FileState::Directory(access) => directory_record(access, None, &BTreeMap::new()),
        FileState::File(file) => print(file)?,
        FileState::Tree(tree) => {
            let mut entries = BTreeMap::new();
            for (name, entry) in &tree.entries {
                let record = match entry {
                    Entry::Directory(DirectoryImage { access, attributes, modified }) => {
                        directory_record(access, *modified, attributes)
                    }
                    Entry::Link { target, uid, gid } => {
                        Record::Link { target: target.clone(), uid: *uid, gid: *gid }
                    }
                    Entry::File(file) => print(file)?,
                };
                entries.insert(name.clone(), record);
            }
            Record::Tree { entries }
        }
    })
}

fn directory_record(
    access: &Access,
    modified: Option<(i64, i64)>,
    attributes: &BTreeMap<String, Vec<u8>>,
) -> Record {
    let Access { mode, uid, gid } = *access;
    Record::Directory { mode, uid, gid, modified, attributes: encoded(attributes) }
}

fn print(file: &FileImage) -> Result<Record, HostError> {
    let FileImage { bytes, access: Access { mode, uid, gid }, attributes, modified } = file;
    let Print { salt, sha256, told } = *bytes.clone().print(&Salt::drawn()?);
    Ok(Record::Print {
        mode: *mode,
        uid: *uid,
        gid: *gid,
        told: Box::new(told),
        salt,
        sha256,
        modified: *modified,
        attributes: encoded(attributes),
    })
}
