//! The extended attributes of files, as far as a copy must have them too.

use std::collections::BTreeMap;
use std::ffi::CString;
use std::os::fd::OwnedFd;

use rustix::io::Errno;

/// Most bytes of a file's attribute names, and of one value; the limits of Linux (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const ATTRIBUTE_LIMIT: usize = 64 * 1024;
/// Attributes that the kernel computes from the content (IMA, EVM): a copy of them would be wrong for any other.
const COMPUTED: [&str; 2] = ["security.ima", "security.evm"];

/// The extended attributes of a file that a copy of it must have too.
pub(super) fn attributes(file: &OwnedFd) -> Result<BTreeMap<String, Vec<u8>>, Errno> {
    let mut names = vec![0; ATTRIBUTE_LIMIT];
    let length = match rustix::fs::flistxattr(file, names.as_mut_slice()) {
        Ok(length) => length,
        Err(Errno::OPNOTSUPP | Errno::NOSYS) => return Ok(BTreeMap::new()),
        Err(error) => return Err(error),
    };
    names.truncate(length);
    let mut found = BTreeMap::new();
    for name in names.split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let Ok(name) = str::from_utf8(name) else { return Err(Errno::ILSEQ) };
        if COMPUTED.contains(&name) {
            continue;
        }
        let Ok(key) = CString::new(name) else { continue };
        let mut value = vec![0; ATTRIBUTE_LIMIT];
        match rustix::fs::fgetxattr(file, key.as_c_str(), value.as_mut_slice()) {
            Ok(length) => value.truncate(length),
            // It went away meanwhile, or only the kernel may read it.
            Err(Errno::NODATA | Errno::OPNOTSUPP) => continue,
            Err(error) => return Err(error),
        }
        found.insert(name.to_owned(), value);
    }
    Ok(found)
}
