//! The walk itself: from one descriptor to the next, with links read and followed here.
//!
//! What enters is the tree's root and the components of a path; what leaves is an [`Outcome`] and the links on the way.
//! It never gives the system a name with a `/` in it and never lets the system follow a link.

use std::ffi::{OsStr, OsString};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

use rustix::fs::{FileType, Mode, OFlags};
use rustix::io::Errno;

use super::domain::{Domain, Kind, Object, Purpose, Standing, Verdict, Way};
use super::{Found, Guard, Outcome, Place, Status, Tree, refused, status};
use crate::protocol::facts::{Hop, Met, UnsafeStep};
use crate::protocol::tree_error::TreeError;

/// Links followed in one walk before it counts as a loop; the number Linux itself uses (`MAXSYMLINKS`).
const HOP_LIMIT: usize = 40;
/// Bytes in a node path; the number Linux itself uses (`PATH_MAX`, with its closing NUL).
const PATH_LIMIT: usize = 4096;
/// Directories one walk may stand in. Each is an open descriptor, so a hostile chain of links must not use them all up.
const DEPTH_LIMIT: usize = 128;

/// One component still to be walked.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: OsString,
    /// Whether a link's target brought it, rather than the path that was asked for.
    from_link: bool,
}

/// A directory the walk went into.
#[derive(Debug)]
struct Entered {
    directory: OwnedFd,
    name: OsString,
    object: Object,
    standing: Standing,
}

/// A walk under way: the directories from the root to where it stands.
#[derive(Debug)]
pub(super) struct Walker<'tree> {
    tree: &'tree Tree,
    purpose: Purpose,
    entered: Vec<Entered>,
    /// Where it stands. After a link this is the link's, until the next step.
    standing: Standing,
    /// The names of the path that was asked for, up to here; none once a link has led away from it.
    asked: Option<String>,
    /// Whether this program's own directory must be closed already.
    pub(super) must_be_closed: bool,
    /// The link that was followed last, if no step was taken since.
    at_link: Option<String>,
    /// The link of another user that was followed last, and what it says.
    foreign_link: Option<(String, String)>,
    /// A step that was taken only for looking.
    pub(super) told: Option<UnsafeStep>,
    pub(super) hops: Vec<Hop>,
}

impl<'tree> Walker<'tree> {
    pub(super) fn new(tree: &'tree Tree, purpose: Purpose) -> Self {
        Self {
            tree,
            purpose,
            entered: Vec::new(),
            standing: Standing::at_root(tree.device),
            asked: Some(String::new()),
            must_be_closed: true,
            at_link: None,
            foreign_link: None,
            told: None,
            hops: Vec::new(),
        }
    }

    /// Walks `steps`, the last of which comes first.
    pub(super) fn run(&mut self, mut steps: Vec<Step>) -> Outcome {
        while let Some(step) = steps.pop() {
            if step.name == "." {
                continue;
            }
            if step.name == ".." {
                self.asked = None;
                if let Err(refused) = self.go_back(|entered| drop(entered.pop())) {
                    return Outcome::Unsafe(refused);
                }
                continue;
            }
            let path = join(&self.path(), &step.name.to_string_lossy());
            match &mut self.asked {
                Some(asked) if !step.from_link => *asked = join_asked(asked, &step.name),
                other => *other = None,
            }
            let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
            let opened = match rustix::fs::openat(self.here(), step.name.as_os_str(), flags, Mode::empty()) {
                Ok(opened) => opened,
                Err(Errno::NOENT) if !self.standing.may_create(self.purpose) => {
                    let step = self.blamed(self.standing.refused(self.from(), path, None));
                    return Outcome::Unsafe(Box::new(step));
                }
                Err(Errno::NOENT) if step.from_link => return Outcome::Dangling { missing: path },
                Err(Errno::NOENT) => {
                    let name = step.name.to_string_lossy().into_owned();
                    return Outcome::Missing { parent: self.path(), name };
                }
                Err(error) => return Outcome::Failed(refused(path, error)),
            };
            let stat = match rustix::fs::fstat(&opened) {
                Ok(stat) => stat,
                Err(error) => return Outcome::Failed(refused(path, error)),
            };
            let is_last = steps.is_empty();
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Symlink => {
                    // The link that was opened is read through its own descriptor: it cannot have become another.
                    let target = match rustix::fs::readlinkat(&opened, c"", Vec::new()) {
                        Ok(target) => OsString::from_vec(target.into_bytes()),
                        Err(error) => return Outcome::Failed(refused(path, error)),
                    };
                    if self.hops.len() == HOP_LIMIT {
                        return Outcome::Loop;
                    }
                    let text = target.to_string_lossy().into_owned();
                    if let Some(place) = self.declared(&path, &text) {
                        self.hops.push(Hop { path, target: text });
                        // The spec says where this leads, and that is gone to: who owns the link has no say.
                        self.entered.clear();
                        self.standing = Standing::at_root(self.tree.device);
                        self.asked = None;
                        self.at_link = None;
                        steps.extend(split(OsStr::new(&place), true));
                        continue;
                    }
                    let object = object_of(&stat, false);
                    if let Err(refused) = self.take(&object, Way::Down { is_last }, &path, Some(&text)) {
                        return Outcome::Unsafe(refused);
                    }
                    self.asked = None;
                    self.at_link = Some(path.clone());
                    if !self.tree.trusted.includes(object.uid) {
                        self.foreign_link = Some((path.clone(), text.clone()));
                    }
                    self.hops.push(Hop { path, target: text });
                    if target.as_bytes().starts_with(b"/")
                        && let Err(refused) = self.go_back(Vec::clear)
                    {
                        return Outcome::Unsafe(refused);
                    }
                    steps.extend(split(&target, true));
                }
                FileType::Directory => {
                    if self.entered.len() == DEPTH_LIMIT {
                        return Outcome::Failed(TreeError::TooDeep { limit: DEPTH_LIMIT });
                    }
                    let object = object_of(&stat, has_access_list(&opened, &stat));
                    if let Err(refused) = self.take(&object, Way::Down { is_last }, &path, None) {
                        return Outcome::Unsafe(refused);
                    }
                    if let Some(refused) = self.unclosed(&object, &path) {
                        return refused;
                    }
                    let standing = self.standing;
                    self.entered.push(Entered { directory: opened, name: step.name, object, standing });
                }
                FileType::RegularFile
                | FileType::Fifo
                | FileType::Socket
                | FileType::CharacterDevice
                | FileType::BlockDevice
                | FileType::Unknown => {
                    if !is_last {
                        return Outcome::Failed(TreeError::NotADirectory { path });
                    }
                    let before = self.standing;
                    if let Err(refused) =
                        self.take(&object_of(&stat, false), Way::Down { is_last }, &path, None)
                    {
                        return Outcome::Unsafe(refused);
                    }
                    self.standing = before;
                    return self.arrive_at_leaf(opened, step.name, path, &stat);
                }
            }
        }
        self.arrive_at_directory()
    }

    /// Takes a step to an object, or says why it is not taken.
    fn take(
        &mut self,
        met: &Object,
        way: Way,
        to: &str,
        target: Option<&str>,
    ) -> Result<(), Box<UnsafeStep>> {
        let step = |walker: &Self| {
            walker.standing.refused(walker.from(), to.to_owned(), Some((met, target.map(str::to_owned))))
        };
        match self.standing.step(met, way, self.purpose, self.tree.trusted) {
            Verdict::Go(standing) => self.standing = standing,
            Verdict::Told(standing) => {
                let step = step(self);
                self.told.get_or_insert(step);
                self.standing = standing;
            }
            Verdict::Refused => return Err(Box::new(self.blamed(step(self)))),
        }
        self.at_link = None;
        Ok(())
    }

    /// Takes the step to the directory above, or to the root.
    fn go_back(&mut self, leave: impl FnOnce(&mut Vec<Entered>)) -> Result<(), Box<UnsafeStep>> {
        let before = self.from();
        leave(&mut self.entered);
        let (object, standing) = match self.entered.last() {
            Some(Entered { object, standing, .. }) => (*object, *standing),
            None => (self.tree.object, Standing::at_root(self.tree.device)),
        };
        match self.standing.step(&object, Way::Back, self.purpose, self.tree.trusted) {
            Verdict::Go(there) | Verdict::Told(there) => {
                // What was decided on the way there holds on the way back; the rest is as at the first time.
                let after_foreign_link = there.after_foreign_link;
                self.standing = match self.standing.domain {
                    Domain::Trusted => Standing { after_foreign_link, ..standing },
                    Domain::User(_) | Domain::Anyone => there,
                };
                Ok(())
            }
            Verdict::Refused => {
                let step = self.standing.refused(before, self.path(), Some((&object, None)));
                Err(Box::new(self.blamed(step)))
            }
        }
    }

    /// The step with the link of another user that has led here, if one has: that is what a person has to look at.
    fn blamed(&self, step: UnsafeStep) -> UnsafeStep {
        match &self.foreign_link {
            Some((link, target)) if self.standing.after_foreign_link && *link != step.to => {
                UnsafeStep { from: link.clone(), by_link: Some(target.clone()), ..step }
            }
            Some(_) | None => step,
        }
    }

    /// Where a link leads that the spec declares, if it leads there. Such a link is compared and never followed.
    fn declared(&self, path: &str, target: &str) -> Option<String> {
        let wanted = self.tree.links.get(self.asked.as_ref()?)?;
        (leads_to(path, target) == wanted.trim_end_matches('/')).then(|| wanted.clone())
    }

    /// This program's own directory must be its own, and closed to all others.
    fn unclosed(&self, met: &Object, path: &str) -> Option<Outcome> {
        let is_own = self.must_be_closed
            && self.purpose == Purpose::State
            && self.asked.as_deref() == self.tree.state.as_deref();
        let is_closed = met.uid == self.tree.trusted.serving && met.mode & 0o077 == 0;
        (is_own && !is_closed).then(|| {
            let mut step = self.standing.refused(path.to_owned(), path.to_owned(), Some((met, None)));
            step.met = Met::NotClosed { mode: met.mode };
            Outcome::Unsafe(Box::new(step))
        })
    }

    /// What a message calls the place from which the next step goes.
    fn from(&self) -> String {
        self.at_link.clone().unwrap_or_else(|| self.path())
    }

    fn arrive_at_leaf(
        &mut self,
        handle: OwnedFd,
        name: OsString,
        resolved: String,
        stat: &rustix::fs::Stat,
    ) -> Outcome {
        let status = Status::from_stat(stat);
        match self.place(name) {
            Ok(place) => {
                Outcome::Found(Found { handle, place: Some(place), resolved, status, told: self.told.take() })
            }
            Err(error) => Outcome::Failed(error),
        }
    }

    fn arrive_at_directory(&mut self) -> Outcome {
        let resolved = self.path();
        let own = self.standing;
        let (handle, place) = match self.entered.pop() {
            Some(last) => match self.place(last.name) {
                Ok(place) => (last.directory, Some(place)),
                Err(error) => return Outcome::Failed(error),
            },
            None => match self.tree.root.try_clone() {
                Ok(root) => (root, None),
                Err(error) => {
                    let reason = error.kind().to_string();
                    return Outcome::Failed(TreeError::Refused { path: resolved, reason });
                }
            },
        };
        self.standing = own;
        match status(handle.as_fd()) {
            Ok(status) => Outcome::Found(Found { handle, place, resolved, status, told: self.told.take() }),
            Err(error) => Outcome::Failed(refused(resolved, error)),
        }
    }

    /// What judges steps from the directory that the walk has led to.
    pub(super) fn guard(&self) -> Guard {
        Guard { standing: self.standing, purpose: self.purpose, trusted: self.tree.trusted }
    }

    /// The place of `name` in the directory the walk stands in.
    fn place(&mut self, name: OsString) -> Result<Place, TreeError> {
        let path = self.path();
        let (directory, standing) = match self.entered.pop() {
            Some(last) => (last.directory, last.standing),
            None => match self.tree.root.try_clone() {
                Ok(root) => (root, Standing::at_root(self.tree.device)),
                Err(error) => return Err(TreeError::Refused { path, reason: error.kind().to_string() }),
            },
        };
        self.standing = standing;
        Ok(Place { directory, path, name, standing: self.guard() })
    }

    fn here(&self) -> BorrowedFd<'_> {
        self.entered.last().map_or_else(|| self.tree.root.as_fd(), |entered| entered.directory.as_fd())
    }

    fn path(&self) -> String {
        if self.entered.is_empty() {
            return "/".to_owned();
        }
        self.entered.iter().map(|entered| format!("/{}", entered.name.to_string_lossy())).collect()
    }
}

/// The components of a node path, the last one first.
pub(super) fn components(path: &str) -> Result<Vec<Step>, TreeError> {
    if path.len() >= PATH_LIMIT {
        return Err(TreeError::TooLong { length: path.len(), limit: PATH_LIMIT - 1 });
    }
    if path.contains('\0') {
        return Err(TreeError::ContainsNul { path: path.to_owned() });
    }
    if !path.starts_with('/') {
        return Err(TreeError::Relative { path: path.to_owned() });
    }
    Ok(split(OsStr::new(path), false))
}

/// An ending slash becomes a last `.`, because both ask for a directory.
fn split(path: &OsStr, from_link: bool) -> Vec<Step> {
    let bytes = path.as_bytes();
    let ending = bytes.ends_with(b"/").then_some(b".".as_slice());
    let names = bytes.split(|byte| *byte == b'/').filter(|name| !name.is_empty());
    let mut steps: Vec<Step> = names
        .chain(ending)
        .map(|name| Step { name: OsStr::from_bytes(name).to_owned(), from_link })
        .collect();
    steps.reverse();
    steps
}

pub(super) fn join(parent: &str, name: &str) -> String {
    if parent == "/" { format!("/{name}") } else { format!("{parent}/{name}") }
}

fn join_asked(asked: &str, name: &OsStr) -> String {
    format!("{asked}/{}", name.to_string_lossy())
}

/// Where a link leads by its text alone.
fn leads_to(link: &str, target: &str) -> String {
    if target.starts_with('/') {
        return target.trim_end_matches('/').to_owned();
    }
    let mut parts: Vec<&str> = link.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            name => parts.push(name),
        }
    }
    parts.join("/")
}

/// What the rules ask of an object.
pub(crate) fn object_of(stat: &rustix::fs::Stat, has_access_list: bool) -> Object {
    let kind = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => Kind::Regular,
        FileType::Directory => Kind::Directory,
        FileType::Symlink => Kind::Link,
        FileType::Fifo
        | FileType::Socket
        | FileType::CharacterDevice
        | FileType::BlockDevice
        | FileType::Unknown => Kind::Other,
    };
    #[expect(clippy::useless_conversion, reason = "the width of the field differs between architectures")]
    Object {
        kind,
        uid: stat.st_uid,
        gid: stat.st_gid,
        mode: stat.st_mode & 0o7777,
        links: u64::from(stat.st_nlink),
        device: stat.st_dev,
        has_access_list,
    }
}

/// Whether a directory has an access list, asked only where it would tell something: of one that cannot be opened it is assumed.
pub(crate) fn has_access_list(directory: &OwnedFd, stat: &rustix::fs::Stat) -> bool {
    if stat.st_mode & 0o020 == 0 || stat.st_gid != 0 {
        return false;
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(opened) = rustix::fs::openat(directory, ".", flags, Mode::empty()) else { return true };
    let asked = rustix::fs::fgetxattr(&opened, c"system.posix_acl_access", &mut [0_u8; 0]);
    !matches!(asked, Err(Errno::NODATA | Errno::OPNOTSUPP | Errno::NOSYS))
}
