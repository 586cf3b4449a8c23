//! A transaction as any node carries it out: what may be touched, what is known to be there, and how one object becomes another.
//!
//! What enters is paths and images from the orders; what leaves is changes for [`Objects`], each announced before it is made and refused
//! when somebody else has been there. It follows links and never replaces one. It touches nothing itself, so that a real node and one in memory
//! behave the same.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::accounts::Accounts;
use super::error::HostError;
use super::image::{Access, FileImage, Image};
use super::observe::{Look, Payload, Sight, Want};
use super::order::{Begin, Slot, VisitId};
use crate::desired::FileSpec;
use crate::observed::{FileKind, ServedBy};
use crate::secret::Secret;
use crate::x509::PrivateKey;

/// A file tree that can be changed. A location is a path in which no directory is a link; the last name is taken as it is.
pub(super) trait Objects: Look {
    /// What is at a location.
    fn capture(&self, location: &str) -> Result<Image, HostError>;

    /// Records, so that it survives this process, that a location is about to change. `unrecorded` is what is there when the transaction's beginning
    /// could not know the location.
    fn announce(&mut self, touch: &Touch, unrecorded: Option<&Image>) -> Result<(), HostError>;

    /// Makes each location what the image says: all files are staged first and then take their places in this order.
    fn replace(&mut self, changes: &[(String, Image)]) -> Result<(), HostError>;

    /// As whom it works.
    fn served_by(&self) -> ServedBy;

    /// Runs a program.
    fn run(&mut self, argv: &[String], timeout: std::time::Duration) -> Result<(), HostError>;

    /// What an earlier, committed visit changed when it was told to change `path`, in the order in which it did.
    fn earlier(&self, visit: &VisitId, path: &str) -> Result<Vec<Earlier>, HostError>;
}

/// A path of an order with the place that it led to.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub(super) struct Touch {
    pub(super) path: String,
    pub(super) location: String,
}

/// A change of an earlier visit.
pub(super) struct Earlier {
    pub(super) location: String,
    pub(super) before: Image,
    pub(super) after: Image,
}

/// A transaction under way.
#[derive(Debug, Clone)]
pub(super) struct Visit {
    pub(super) begin: Begin,
    /// What is at each location: as it was copied, and after a change as it was left.
    pub(super) known: BTreeMap<String, Image>,
    /// What was changed, each location once, in the order of the first change.
    pub(super) touched: Vec<Touch>,
    /// The keys in memory.
    pub(super) slots: BTreeMap<Slot, Arc<PrivateKey>>,
}

impl Visit {
    /// Captures everything that the transaction may touch.
    pub(super) fn open(begin: &Begin, objects: &impl Objects) -> Result<Self, HostError> {
        let mut known = BTreeMap::new();
        for path in &begin.paths {
            // A path that leads nowhere yet may lead somewhere once this transaction has made a directory or link; it is captured then.
            for location in [own_place(objects, path), destination(objects, path)].into_iter().flatten() {
                let image = objects.capture(&location)?;
                known.insert(location, image);
            }
        }
        Ok(Self { begin: begin.clone(), known, touched: Vec::new(), slots: BTreeMap::new() })
    }

    /// The image of a file with new content: who is there keeps owner, attributes and what of the mode the spec grants too.
    pub(super) fn renewed(
        &mut self,
        objects: &impl Objects,
        file: &FileSpec,
        bytes: Secret,
    ) -> Result<(Touch, Image), HostError> {
        self.check_listed(&file.path)?;
        let location = destination(objects, &file.path)?;
        let wanted = self.access(objects, &file.user, &file.group, file.mode.bits())?;
        let (access, attributes) = match objects.capture(&location)? {
            Image::File(old) => {
                (Access { mode: old.access.mode & wanted.mode, ..old.access }, old.attributes)
            }
            Image::Absent => (wanted, BTreeMap::new()),
            Image::Directory(_) | Image::Link { .. } | Image::Other => {
                return Err(HostError::NotAFile { path: file.path.clone() });
            }
        };
        let image = Image::File(FileImage { bytes, access, attributes, modified: None });
        Ok((Touch { path: file.path.clone(), location }, image))
    }

    /// Writes files: all are staged before the first takes its place.
    pub(super) fn write(
        &mut self,
        objects: &mut impl Objects,
        files: Vec<(&FileSpec, Secret)>,
    ) -> Result<(), HostError> {
        let mut changes = Vec::new();
        for (file, bytes) in files {
            changes.push(self.renewed(objects, file, bytes)?);
        }
        self.change(objects, changes)
    }

    pub(super) fn make_directory(
        &mut self,
        objects: &mut impl Objects,
        path: &str,
        (user, group): (&str, &str),
        mode: u32,
    ) -> Result<(), HostError> {
        self.check_listed(path)?;
        let location = own_place(objects, path)?;
        let occupied =
            |found: &'static str| Err(HostError::Occupied { path: path.to_owned(), found: found.into() });
        match objects.look(path, Want::Place) {
            Sight::Found { status, .. } => match status.kind {
                FileKind::Directory => Ok(()),
                FileKind::Regular => occupied("a file"),
                FileKind::Other => occupied("neither file nor directory"),
            },
            Sight::Dangling { .. } | Sight::Looping { .. } => occupied("a link that leads nowhere"),
            Sight::Failed { reason } => Err(HostError::Path { path: path.to_owned(), reason }),
            Sight::Missing => {
                let access = usable(objects, path, self.access(objects, user, group, mode)?)?;
                let touch = Touch { path: path.to_owned(), location };
                self.change(objects, vec![(touch, Image::Directory(access))])
            }
        }
    }

    pub(super) fn make_link(
        &mut self,
        objects: &mut impl Objects,
        path: &str,
        target: &str,
    ) -> Result<(), HostError> {
        self.check_listed(path)?;
        if target.is_empty() || target.contains('\0') {
            let reason = "a link must say where it leads".to_owned();
            return Err(HostError::Path { path: path.to_owned(), reason });
        }
        let location = own_place(objects, path)?;
        match objects.capture(&location)? {
            Image::Absent => {
                let ServedBy { uid, gid } = objects.served_by();
                let touch = Touch { path: path.to_owned(), location };
                self.change(objects, vec![(touch, Image::Link { target: target.to_owned(), uid, gid })])
            }
            Image::Link { target: found, .. } if found == target => Ok(()),
            other @ (Image::Directory(_) | Image::Link { .. } | Image::File(_) | Image::Other) => {
                Err(HostError::Occupied { path: path.to_owned(), found: other.kind().into() })
            }
        }
    }

    pub(super) fn set_permissions(
        &mut self,
        objects: &mut impl Objects,
        file: &FileSpec,
    ) -> Result<(), HostError> {
        self.check_listed(&file.path)?;
        let location = destination(objects, &file.path)?;
        let wanted = self.access(objects, &file.user, &file.group, file.mode.bits())?;
        // Who is not root cannot give files away, so for him a `root` in the spec leaves the owner as it is.
        let keep = |old: Access| match objects.served_by().uid {
            0 => wanted,
            _ => Access {
                mode: wanted.mode,
                uid: if file.user == "root" { old.uid } else { wanted.uid },
                gid: if file.group == "root" { old.gid } else { wanted.gid },
            },
        };
        let image = match objects.capture(&location)? {
            Image::File(old) => Image::File(FileImage { access: keep(old.access), ..old }),
            Image::Directory(old) => Image::Directory(usable(objects, &file.path, keep(old))?),
            Image::Absent => return Err(HostError::Missing { path: file.path.clone() }),
            Image::Link { .. } | Image::Other => {
                return Err(HostError::NotAFile { path: file.path.clone() });
            }
        };
        self.change(objects, vec![(Touch { path: file.path.clone(), location }, image)])
    }

    /// Puts back what an earlier visit changed at a path, all of it or nothing.
    pub(super) fn restore(
        &mut self,
        objects: &mut impl Objects,
        from: &VisitId,
        path: &str,
    ) -> Result<(), HostError> {
        self.check_listed(path)?;
        let mut changes = Vec::new();
        for Earlier { location, before, after } in objects.earlier(from, path)?.into_iter().rev() {
            let current = objects.capture(&location)?;
            if current.same_as(&before) {
                continue;
            }
            if !current.same_as(&after) {
                return Err(HostError::ChangedSince { path: path.to_owned(), visit: from.clone() });
            }
            changes.push((Touch { path: path.to_owned(), location }, before));
        }
        self.change(objects, changes)
    }

    /// Announces and makes changes. Locations that are so already are left alone.
    fn change(&mut self, objects: &mut impl Objects, changes: Vec<(Touch, Image)>) -> Result<(), HostError> {
        let mut needed = Vec::new();
        for (touch, image) in changes {
            let current = objects.capture(&touch.location)?;
            let known = self.known.get(&touch.location);
            if known.is_some_and(|known| !known.same_as(&current)) {
                return Err(HostError::Changed { path: touch.path });
            }
            if !current.same_as(&image) {
                let unrecorded = known.is_none().then_some(current);
                needed.push((touch, image, unrecorded));
            }
        }
        let mut replacements = Vec::new();
        for (touch, image, unrecorded) in needed {
            if !self.touched.iter().any(|before| before.location == touch.location) {
                objects.announce(&touch, unrecorded.as_ref())?;
                self.touched.push(touch.clone());
            }
            replacements.push((touch.location, image));
        }
        let outcome = objects.replace(&replacements);
        for (location, intended) in replacements {
            let left = match (objects.capture(&location), &outcome) {
                (Ok(left), _) => left,
                (Err(error), Ok(())) => return Err(error),
                // What went wrong first is what a person needs to know.
                (Err(_), Err(_)) => continue,
            };
            if outcome.is_ok() && !is_as_intended(&left, &intended) {
                return Err(HostError::Changed { path: location });
            }
            self.known.insert(location, left);
        }
        outcome
    }

    fn check_listed(&self, path: &str) -> Result<(), HostError> {
        if self.begin.paths.contains(path) {
            return Ok(());
        }
        Err(HostError::NotListed { path: path.to_owned() })
    }

    /// Owner and mode of something new. A node that is not served by root cannot give files away; there its own user stands for root.
    fn access(
        &self,
        objects: &impl Objects,
        user: &str,
        group: &str,
        mode: u32,
    ) -> Result<Access, HostError> {
        let (mut uid, mut gid) = Accounts::read(objects).numbers(user, group)?;
        let own = objects.served_by();
        if own.uid != 0 {
            uid = if user == "root" { own.uid } else { uid };
            gid = if group == "root" { own.gid } else { gid };
        }
        Ok(Access { mode, uid, gid })
    }
}

/// Who is not root could put nothing back below a directory that he has closed to himself.
fn usable(objects: &impl Objects, path: &str, access: Access) -> Result<Access, HostError> {
    if objects.served_by().uid == 0 || access.mode & 0o700 == 0o700 {
        return Ok(access);
    }
    let reason = format!("the mode {:04o} would close the directory to its owner", access.mode);
    Err(HostError::Denied { path: path.to_owned(), reason })
}

/// Whether what is there now is what was to be made. The system may add attributes of its own to a new file, such as an SELinux label, and a directory
/// that somebody else has filled cannot go.
fn is_as_intended(left: &Image, intended: &Image) -> bool {
    match (left, intended) {
        (Image::File(left), Image::File(intended)) => {
            left.access == intended.access && left.bytes.reveal() == intended.bytes.reveal()
        }
        (Image::Directory(_), Image::Absent) => true,
        (Image::Absent | Image::Directory(_) | Image::Link { .. } | Image::File(_) | Image::Other, _) => {
            left.same_as(intended)
        }
    }
}

/// Reads a file through every link; `None` when nothing is there.
pub(super) fn read(objects: &impl Look, path: &str) -> Result<Option<Secret>, HostError> {
    match objects.look(path, Want::Bytes) {
        Sight::Found { payload: Payload::Bytes(bytes), .. } => Ok(Some(Secret::new(bytes))),
        Sight::Found { payload: Payload::NotRead | Payload::Names(_), .. } => {
            Err(HostError::NotAFile { path: path.to_owned() })
        }
        Sight::Found { payload: Payload::Failed { reason }, .. } | Sight::Failed { reason } => {
            Err(HostError::Path { path: path.to_owned(), reason })
        }
        Sight::Missing => Ok(None),
        Sight::Dangling { missing, .. } => Err(HostError::Dangling { path: path.to_owned(), missing }),
        Sight::Looping { .. } => Err(looping(path)),
    }
}

/// Where a path leads, the last name's link included: the place of a file that is there or could be made.
fn destination(objects: &impl Look, path: &str) -> Result<String, HostError> {
    match objects.look(path, Want::Place) {
        Sight::Found { resolved, status, .. } => match status.kind {
            FileKind::Regular | FileKind::Directory if resolved == "/" => Err(unnamed(path)),
            FileKind::Regular | FileKind::Directory => readable(path, resolved),
            FileKind::Other => Err(HostError::NotAFile { path: path.to_owned() }),
        },
        Sight::Missing => own_place(objects, path),
        Sight::Dangling { missing, .. } => Err(HostError::Dangling { path: path.to_owned(), missing }),
        Sight::Looping { .. } => Err(looping(path)),
        Sight::Failed { reason } => Err(HostError::Path { path: path.to_owned(), reason }),
    }
}

/// The place of a path's own last name, whatever is there. Its directory must be there.
fn own_place(objects: &impl Look, path: &str) -> Result<String, HostError> {
    let (parent, name) = path.trim_end_matches('/').rsplit_once('/').ok_or_else(|| unnamed(path))?;
    if matches!(name, "" | "." | "..") {
        return Err(unnamed(path));
    }
    let parent = if parent.is_empty() { "/" } else { parent };
    match objects.look(parent, Want::Place) {
        Sight::Found { resolved, status, .. } => match status.kind {
            FileKind::Directory => readable(path, format!("{}/{name}", resolved.trim_end_matches('/'))),
            FileKind::Regular | FileKind::Other => Err(HostError::Path {
                path: path.to_owned(),
                reason: format!("{resolved} is not a directory"),
            }),
        },
        Sight::Missing => Err(HostError::Missing { path: parent.to_owned() }),
        Sight::Dangling { missing, .. } => Err(HostError::Dangling { path: parent.to_owned(), missing }),
        Sight::Looping { .. } => Err(looping(path)),
        Sight::Failed { reason } => Err(HostError::Path { path: path.to_owned(), reason }),
    }
}

/// A resolved path in which bytes were replaced for showing it is the path of something else.
fn readable(path: &str, resolved: String) -> Result<String, HostError> {
    if resolved.contains(char::REPLACEMENT_CHARACTER) {
        let reason = "a link on the way has a name that is not UTF-8".to_owned();
        return Err(HostError::Path { path: path.to_owned(), reason });
    }
    Ok(resolved)
}

fn unnamed(path: &str) -> HostError {
    HostError::Path { path: path.to_owned(), reason: "it does not end in a name".to_owned() }
}

fn looping(path: &str) -> HostError {
    HostError::Path { path: path.to_owned(), reason: "the links on the way form a loop".to_owned() }
}
