//! Rows of the table of reasons: CAs, who trusts them, and their keys.
//!
//! What enters are the tables that come after this one and the rows before it; what leaves is handed on to the next. The names that rows use are those of `reason`.

/// Hands on the rows that it was given, with its own behind them.
macro_rules! authorities {
    ([$next:ident $($after:ident)*] $($before:tt)*) => {
        $next! { [$($after)*] $($before)*
            /// kubeadm may still keep the key of a CA that is being replaced for control planes that join.
            KeyForJoining, reissues: false, |f| f.write_str(
                "for two hours after `kubeadm init --upload-certs` (or `kubeadm init phase upload-certs`) the Secret kubeadm-certs holds the old CA with its key, \
                 and a control plane that joins brings both back; first delete it with `kubectl -n kube-system delete secret kubeadm-certs`, and the \
                 bootstrap-token Secret that owns it (`kubectl -n kube-system get secret kubeadm-certs -o yaml` names it under ownerReferences); \
                 let no control plane join while the replacement runs",
            );
            /// A trust bundle lacks a certificate of its authority.
            BundleLacks {
                /// The certificate.
                fingerprint: Sha256,
            }, reissues: false, |f| {
                write!(f, "trust bundle lacks {}, the CA certificate in use", fingerprint.short())
            };
            /// The CA on the nodes is another one than the own root CA that the spec names.
            RootDiffers {
                /// The CA certificate on the node.
                found: Sha256,
                /// The certificate that `source` names.
                wanted: Sha256,
                /// Its file, as the spec writes it.
                source: String,
            }, reissues: false, |f| write!(
                f,
                "the cluster runs on the CA {}, and source names another one, {} ({})",
                found.short(),
                wanted.short(),
                escaped(source)
            );
            /// The spec says that a CA has to go.
            Distrusted {
                /// The CA certificate.
                fingerprint: Sha256,
                /// Why, as the spec says.
                because: String,
                /// It is nobody's of the cluster, so that nothing has to take its place.
                #[serde(default, skip_serializing_if = "std::ops::Not::not")]
                stray: bool,
            }, reissues: false, |f| write!(f, "distrusted: {} ({})", fingerprint.short(), escaped(because));
            /// Nobody holds a distrusted CA any more, and the node's snapshots still hold its private key.
            KeyInSnapshots {
                /// The CA certificate.
                fingerprint: Sha256,
                /// Its key, by its public half (SHA-256 of SubjectPublicKeyInfo).
                key: Sha256,
                /// The number of files.
                files: usize,
                /// Why it is distrusted, as the spec says.
                because: String,
            }, reissues: false, |f| write!(
                f,
                "{files} {} in the snapshots {} the private key of {}, which is distrusted ({})",
                if *files == 1 { "file" } else { "files" },
                if *files == 1 { "holds" } else { "hold" },
                fingerprint.short(),
                escaped(because)
            );
            /// Nobody holds a distrusted CA any more, and whether the node's snapshots hold its private key is not known.
            SnapshotsUnread {
                /// The CA certificate.
                fingerprint: Sha256,
                /// Why it is not known.
                because: String,
            }, reissues: false, |f| write!(
                f,
                "whether the snapshots hold the private key of {}, which is distrusted, is not known: {}",
                fingerprint.short(),
                escaped(because)
            );
            /// A CA that has to go issued it.
            IssuerGoes {
                /// The CA certificate.
                issuer: Sha256,
            }, reissues: true, |f| write!(f, "signed by {}, a CA that is being replaced", issuer.short());
            /// A CA that was to come has no key any more.
            SuccessorKeyLost {
                /// The CA certificate.
                fingerprint: Sha256,
            }, reissues: false, |f| write!(
                f,
                "no node holds the key of {}, which was to come, so another one comes in its place",
                fingerprint.short()
            );
            /// Somebody who is not managed here needs a CA that goes, and is not waited for.
            Waived {
                /// Who needs it, where and how.
                needs: String,
                /// Why nobody waits, in the words of the spec.
                because: String,
            }, reissues: false, |f| write!(f, "{}, and is not waited for: {}", escaped(needs), escaped(because));
            /// A trust bundle holds a CA certificate that is nobody's of the cluster.
            BundleHasStray(stray: Box<Stray>), reissues: false, |f| {
                let Stray { fingerprint, subject, path, judges, by, signs, ended } = &**stray;
                let place = if path.is_empty() { "trust bundle".to_owned() } else { escaped(path) };
                let (ca, power) = (spelled(subject), power(*judges));
                let digits = fingerprint.short();
                if let Some(ended) = ended {
                    return write!(
                        f,
                        "{place} also holds {digits} ({ca}), a CA that is none of this cluster's; it ended {}, so nobody is let in by it",
                        date(*ended)
                    );
                }
                write!(
                    f,
                    "{place} also holds {digits} ({ca}), a CA that is none of this cluster's: {power}"
                )?;
                if !by.is_empty() {
                    let to = if *judges == Judges::Unknown { "read" } else { "checked" };
                    write!(f, " ({to} by {})", services(by))?;
                }
                if !signs.is_empty() {
                    write!(f, "; {} signs with this file", services(signs))?;
                }
                Ok(())
            };
            /// A trust bundle holds a CA certificate of the cluster beside the one that signs: a rotation that a person has begun, or not ended.
            BegunByHand {
                /// The certificate.
                fingerprint: Sha256,
                /// Its subject.
                subject: String,
                /// The nodes that hold its key.
                key_on: Vec<NodeName>,
                /// Something that it signed, by its place.
                signed: Option<String>,
            }, reissues: false, |f| {
                let ca = spelled(subject);
                write!(f, "a rotation begun by hand: {} ({ca}) is trusted too", fingerprint.short())?;
                let nodes: Vec<&str> = key_on.iter().map(NodeName::as_str).collect();
                match signed {
                    Some(place) => write!(f, "; it signed {}", escaped(place)),
                    None => write!(f, "; its key is on {}", nodes.join(", ")),
                }
            };
            /// The spec trusts a CA beside the authority's own.
            AlsoTrusted {
                /// The certificate.
                fingerprint: Sha256,
                /// Its subject; none where the file does not hold it.
                subject: Option<String>,
                /// Why, as the spec says.
                because: String,
            }, reissues: false, |f| match subject {
                Some(subject) => {
                    let (ca, because) = (spelled(subject), escaped(because));
                    write!(f, "also trusts {} ({ca}), as the spec says: {because}", fingerprint.short())
                }
                None => write!(
                    f,
                    "the spec also trusts {} ({}), and the file does not hold it: pki never writes it, since it has only its digest",
                    fingerprint.short(),
                    escaped(because)
                ),
            };
            /// The spec names the authority's own CA as one that is trusted beside it.
            TrustedAnyway {
                /// The certificate.
                fingerprint: Sha256,
            }, reissues: false, |f| {
                write!(f, "alsoTrusts names {}, which is this authority's own CA", fingerprint.short())
            };
            /// A service signs with a file of several certificates and takes exactly one.
            SignerIsBundle {
                /// The file.
                path: String,
                /// The services.
                by: Vec<ServiceName>,
            }, reissues: false, |f| write!(
                f,
                "{} holds several certificates, and {} signs with it, which takes exactly one: it signs nothing, and does not start again",
                escaped(path),
                services(by)
            );
            /// The CA certificate to which the key belongs does not stand first in its file.
            SignerNotFirst {
                /// The file.
                path: String,
                /// The certificate that stands first.
                first: Sha256,
                /// The one to which the key belongs.
                signer: Sha256,
            }, reissues: false, |f| write!(
                f,
                "{} holds {} first, and the key belongs to {}, which signs: kubeadm takes the first one, and fails",
                escaped(path),
                first.short(),
                signer.short()
            );
            /// The spec, or the command line, asks for another CA or key in the place of one that this version does not replace.
            CannotReplace {
                /// The authority.
                authority: AuthorityName,
                /// What asks for it, as it is written.
                asked: String,
            }, reissues: false, |f| write!(
                f,
                "{} asks for another {authority}, which this version cannot replace",
                escaped(asked)
            );
            /// A trust bundle holds a certificate more than once.
            BundleDuplicates {
                /// The certificate.
                fingerprint: Sha256,
            }, reissues: false, |f| write!(f, "trust bundle holds {} more than once", fingerprint.short());
            /// A certificate is followed in its file by one of its CA that was signed again since.
            ChainOutdated {
                /// The one that follows it.
                found: Sha256,
                /// The CA's certificate now; none while a plan signs it again.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                wanted: Option<Sha256>,
            }, reissues: false, |f| {
                write!(f, "followed in its file by {}, a CA certificate that ", found.short())?;
                match wanted {
                    Some(wanted) => write!(f, "was signed again as {}", wanted.short()),
                    None => f.write_str("is signed again before"),
                }
            };
        }
    };
}

pub(super) use authorities;
