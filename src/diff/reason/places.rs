//! Rows of the table of reasons: files, links and directories, and what must be alike in several places.
//!
//! What enters are the tables that come after this one and the rows before it; what leaves is handed on to the next. The names that rows use are those of `reason`.

/// Hands on the rows that it was given, with its own behind them.
macro_rules! places {
    ([$next:ident $($after:ident)*] $($before:tt)*) => {
        $next! { [$($after)*] $($before)*
            /// The permission bits are others.
            PermissionsDiffer {
                /// The file.
                path: String,
                /// The bits on disk.
                found: u32,
                /// The bits that it should have.
                wanted: FileMode,
            }, reissues: false, |f| write!(f, "{} has mode {found:04o}, not {wanted}", escaped(path));
            /// The owner is another.
            OwnerDiffers {
                /// The file.
                path: String,
                /// `USER:GROUP` on disk.
                found: String,
                /// `USER:GROUP` that it should have.
                wanted: String,
            }, reissues: false, |f| write!(f, "{} belongs to {}, not {wanted}", escaped(path), escaped(found));
            /// The link under which programs know a directory is not there.
            LinkMissing {
                /// Where it should lead.
                wanted: String,
            }, reissues: false, |f| write!(f, "link to {} missing", escaped(wanted));
            /// The link leads elsewhere.
            LinkDiffers {
                /// Where it leads.
                found: String,
                /// Where it should lead.
                wanted: String,
            }, reissues: false, |f| write!(f, "link leads to {}, not {}", escaped(found), escaped(wanted));
            /// A link on the way leads to nothing.
            LinkDangling {
                /// The path asked for.
                path: String,
                /// Where the last link leads.
                target: String,
            }, reissues: true, |f| write!(f, "{} leads to {}, which does not exist", escaped(path), escaped(target));
            /// The links on the way lead in a circle.
            LinkLoops {
                /// The path asked for.
                path: String,
            }, reissues: false, |f| write!(f, "the links at {} lead in a circle", escaped(path));
            /// A real directory stands where a link should be.
            LinkIsDirectory {
                /// The path of the link.
                path: String,
                /// Where it should lead.
                wanted: String,
            }, reissues: false, |f| write!(f, "{} is a directory, not a link to {}", escaped(path), escaped(wanted));
            /// A file stands where a link should be.
            LinkIsFile {
                /// The path of the link.
                path: String,
                /// Where it should lead.
                wanted: String,
            }, reissues: false, |f| write!(f, "{} is a file, not a link to {}", escaped(path), escaped(wanted));
            /// The directory that stands where a link should be cannot be moved.
            CannotMove {
                /// The directory.
                path: String,
                /// Where it should be.
                wanted: String,
                /// Why.
                obstacle: MoveObstacle,
            }, reissues: false, |f| {
                let (path, wanted) = (escaped(path), escaped(wanted));
                write!(
                    f,
                    "{path} is a directory, not a link to {wanted}, and cannot be moved there: {obstacle}"
                )
            };
            /// Something that all nodes must hold alike differs.
            DiffersBetweenNodes {
                /// The nodes that hold what most nodes hold.
                others: Vec<NodeName>,
                /// What this node holds (SHA-256 of the public key or certificate).
                found: Sha256,
                /// What the others hold.
                elsewhere: Sha256,
            }, reissues: false, |f| {
                let others: Vec<&str> = others.iter().map(NodeName::as_str).collect();
                let (here, there) = (found.short(), elsewhere.short());
                write!(f, "not the same as on {}: {here} here, {there} there", others.join(", "))
            };
            /// A file that should hold the same as another one is not there.
            CopyMissing {
                /// The file.
                path: String,
            }, reissues: false, |f| write!(f, "its copy {} is missing", escaped(path));
            /// A file that should hold the same as another one holds something else.
            CopyDiffers {
                /// The file.
                path: String,
                /// The file of the main place.
                of: String,
                /// What it holds.
                held: Box<CopyHeld>,
            }, reissues: false, |f| held.write(f, path, of);
            /// A person's own copy is outdated. It is never written.
            CopyOutdated {
                /// The file.
                path: String,
                /// The file of the main place.
                of: String,
                /// What it holds.
                held: Box<CopyHeld>,
            }, reissues: false, |f| held.write_outdated(f, path, of);
        }
    };
}

pub(super) use places;
