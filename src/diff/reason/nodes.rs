//! Rows of the table of reasons: processes, machines, what lies on them, and what cannot be told.
//!
//! What enters are the tables that come after this one and the rows before it; what leaves is handed on to the next. The names that rows use are those of `reason`.

/// Hands on the rows that it was given, with its own behind them.
macro_rules! nodes {
    ([$next:ident $($after:ident)*] $($before:tt)*) => {
        $next! { [$($after)*] $($before)*
            /// The process serves another certificate than the file holds.
            ServedDiffersFromFile {
                /// The address and port at which it does.
                at: String,
                /// The certificate served.
                served: Sha256,
                /// The file.
                path: String,
                /// The certificate in the file.
                file: Sha256,
            }, reissues: false, |f| write!(
                f,
                "renewed, not in use: {} serves {}, {} holds {}",
                escaped(at),
                served.short(),
                escaped(path),
                file.short()
            );
            /// The process started before the file changed, and does not read it again.
            StartedBeforeFile {
                /// The file.
                path: String,
                /// When the process started.
                started: Timestamp,
                /// When the file changed.
                changed: Timestamp,
            }, reissues: false, |f| write!(
                f,
                "renewed, not in use: {} changed {}, and the process that read it at its start runs since {}",
                escaped(path),
                instant(*changed),
                instant(*started)
            );
            /// The certificate in its memory with which an API server calls itself ends; only a restart makes another one.
            LoopbackEnds {
                /// When it ends.
                not_after: Timestamp,
            }, reissues: false, |f| write!(
                f,
                "the certificate in its memory with which it calls itself ends {}; only a restart makes another one",
                instant(*not_after)
            );
            /// The node belongs to a distribution whose own program takes care of its certificates.
            TakesCareItself {
                /// The distribution.
                distribution: String,
                /// The directory that marks it.
                path: String,
            }, reissues: false, |f| write!(
                f,
                "{path} belongs to {distribution}, whose own program makes and renews its certificates"
            );
            /// The key of an authority lies on a node that should not hold it.
            CaKeyOnWrongNode {
                /// The file.
                path: String,
            }, reissues: false, |f| write!(f, "{} is a CA key and does not belong here", escaped(path));
            /// The file cannot be understood.
            Unparseable {
                /// The file.
                path: String,
                /// What is wrong with it.
                problem: String,
            }, reissues: true, |f| write!(f, "{}: {}", escaped(path), escaped(problem));
            /// A certificate that something names is no part of what is managed.
            NotManaged {
                /// Its file.
                path: String,
                /// What names it.
                by: String,
            }, reissues: false, |f| write!(f, "{} is named by {} and not managed here", escaped(path), escaped(by));
            /// Two manifests in the folder of static pods describe one component.
            SecondManifest {
                /// The second one.
                path: String,
                /// The component.
                service: ServiceName,
                /// The first one.
                first: String,
            }, reissues: false, |f| write!(
                f,
                "{} describes {service} too, as {} does; a kubelet reads every file in this folder, whatever its name, and starts one of them",
                escaped(path),
                escaped(first)
            );
            /// The file is empty.
            ZeroLength {
                /// The file.
                path: String,
            }, reissues: true, |f| write!(f, "{} is empty", escaped(path));
            /// The file holds raw DER; Kubernetes and etcd read PEM only.
            NotPem {
                /// The file.
                path: String,
            }, reissues: true, |f| write!(f, "{} is DER, and Kubernetes and etcd read PEM only", escaped(path));
            /// The file holds an encrypted key; Kubernetes and etcd cannot ask for a passphrase.
            KeyEncrypted {
                /// The file.
                path: String,
            }, reissues: true, |f| {
                write!(f, "{} is encrypted, and no component can ask for a passphrase", escaped(path))
            };
            /// Something that is not a regular file stands in the place of a file.
            NotAFile {
                /// The path.
                path: String,
            }, reissues: false, |f| write!(f, "{} is not a regular file", escaped(path));
            /// Something that is not a directory stands in the place of a directory.
            NotADirectory {
                /// The path.
                path: String,
            }, reissues: false, |f| write!(f, "{} is not a directory", escaped(path));
            /// A kubeconfig has no usable user for its current context.
            KubeconfigIncomplete {
                /// What is missing.
                problem: String,
            }, reissues: true, |f| f.write_str(&escaped(problem));
            /// The machine that answers for a node is another one by its own name.
            OtherMachine {
                /// What it is called.
                name: String,
                /// What tells so.
                by: String,
                /// What the spec calls it.
                node: NodeName,
            }, reissues: false, |f| {
                write!(
                    f,
                    "this machine is node {}, by {}; the spec calls it {node}",
                    escaped(name),
                    escaped(by)
                )
            };
            /// Two nodes have one address.
            AddressOfAnother {
                /// The address.
                address: String,
                /// The other node.
                other: NodeName,
            }, reissues: false, |f| write!(f, "its address {} is that of {other} too", escaped(address));
            /// The node's clock is off.
            ClockSkew {
                /// The node's clock.
                node: Timestamp,
                /// Our clock.
                ours: Timestamp,
            }, reissues: false, |f| write!(f, "the node's clock says {}, ours {}", instant(*node), instant(*ours));
            /// A unit does not run, and nobody wants it to.
            StoppedByHand {
                /// The unit.
                unit: String,
                /// What systemd says of its file, such as `disabled`.
                state: String,
            }, reissues: false, |f| {
                write!(f, "{unit} was stopped and is ")?;
                match state.is_empty() {
                    true => f.write_str("not started with the node")?,
                    false => f.write_str(state)?,
                }
                f.write_str(", so it is not started here either")
            };
            /// A unit ends by itself, and systemd starts it again and again.
            KeepsFailing {
                /// The unit.
                unit: String,
                /// How often systemd has started it again; none where it does not count.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                restarts: Option<u32>,
                /// How its last process ended, in systemd's word, such as `exit-code`.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                result: Option<String>,
            }, reissues: false, |f| {
                write!(f, "{} keeps failing", escaped(unit))?;
                if let Some(restarts) = restarts {
                    write!(f, ": systemd has started it again {}", counted_times(*restarts))?;
                }
                match result.as_deref() {
                    // While it is up for a moment, the process before it is not told.
                    None | Some("success") => Ok(()),
                    Some(result) => write!(f, ", last result {}", escaped(result)),
                }
            };
            /// etcd's data is not saved before its members are restarted, although the spec wants that.
            EtcdNotSaved {
                /// Why.
                because: String,
            }, reissues: false, |f| write!(
                f,
                "etcd's data is not saved before its members are restarted: {}; if you need a copy, make it yourself first",
                escaped(because)
            );
            /// Those to whom it is presented refuse it: its issuer is in none of the CA files with which they check it.
            Refused {
                /// They, such as `etcd@cp-1`.
                by: Vec<String>,
                /// Who presents it to them, such as `etcd@cp-2`.
                presented_by: Vec<String>,
                /// Its issuer.
                issuer: String,
                /// Whether they would accept one that the CA in use issues.
                reissue: bool,
            }, reissues: *reissue, |f| {
                let verb = |all: &[String], one, many| if all.len() == 1 { one } else { many };
                write!(
                    f,
                    "{} {} it when {} {} it: its issuer, {}, is not among the CAs trusted there",
                    joined(by),
                    verb(by, "refuses", "refuse"),
                    joined(presented_by),
                    verb(presented_by, "presents", "present"),
                    escaped(issuer)
                )
            };
            /// Somebody takes part in the cluster, holds its CAs, and is in no node of the spec.
            NotInSpec {
                /// They.
                who: Vec<Outsider>,
                /// Where they were seen.
                by: Sighting,
            }, reissues: false, |f| {
                let who: Vec<String> = who.iter().map(ToString::to_string).collect();
                let who = joined(&who);
                match by {
                    Sighting::MemberList | Sighting::InitialCluster { .. } => {
                        write!(f, "etcd has members that are not in this spec: {who} ({by})")
                    }
                    Sighting::EtcdServers { .. } => {
                        write!(f, "the API server uses etcd where no node of this spec is: {who} ({by})")
                    }
                }
            };
            /// What the spec declares has no effect yet, or none here.
            NotAsDeclared {
                /// What it is.
                how: Box<NotAsDeclared>,
            }, reissues: false, |f| write!(f, "{how}");
            /// No reachable node holds the authority's key.
            AuthorityKeyLost, reissues: false, |f| f.write_str(
                "no node holds its key; declare `external: true` if it is kept elsewhere on purpose",
            );
            /// The user of a kubeconfig proves itself with something else than a certificate, so none is issued for it.
            OtherCredentials {
                /// The kubeconfig.
                path: String,
                /// With what.
                by: OtherCredentials,
            }, reissues: false, |f| {
                if *by == OtherCredentials::AnotherCluster {
                    return write!(
                        f,
                        "the current context of {} leads to another cluster; left alone until it is the one of this cluster again",
                        escaped(path)
                    );
                }
                write!(
                    f,
                    "the credentials in {} come from {by}, not from a certificate; left alone",
                    escaped(path)
                )
            };
            /// The kubelet renews it by itself.
            KubeletRotates, reissues: false, |f| f.write_str("renewed by the kubelet itself");
            /// The kubelet does not renew it: the kubeconfig embeds the certificate instead of pointing at the kubelet's own file.
            KubeletDoesNotRotate, reissues: false, |f| {
                f.write_str("embedded in kubelet.conf, so the kubelet does not renew it")
            };
            /// The kubelet renews it by itself, and should have long ago.
            RotationOverdue, reissues: false, |f| f.write_str(
                "the kubelet should have renewed it by itself, and has not: look at its log, and for requests that wait (`kubectl get csr`)",
            );
            /// The kubelet would renew it, and its configuration says that it does not.
            RotationTurnedOff {
                /// The path of the configuration.
                path: String,
            }, reissues: false, |f| {
                write!(f, "the kubelet does not renew it: `rotateCertificates` is off in {}", escaped(path))
            };
            /// The way to it leads through a link that somebody else decides about.
            UnsafeLink {
                /// The path asked for.
                path: String,
                /// The step on the way.
                step: Box<UnsafeStep>,
                /// What to declare, where the link is an administrator's.
                #[serde(default, skip_serializing_if = "Option::is_none")]
                declare: Option<String>,
            }, reissues: false, |f| write!(f, "{} is not relied on: {step}", escaped(path));
            /// The way to it leads through a directory that somebody else decides about.
            ForeignDirectory {
                /// The path asked for.
                path: String,
                /// The step on the way.
                step: Box<UnsafeStep>,
            }, reissues: false, |f| write!(f, "{} is not relied on: {step}", escaped(path));
            /// A link stands in the place of a file with a private key.
            KeyBehindLink {
                /// The path asked for.
                path: String,
                /// What the link says.
                target: String,
                /// Where it ends.
                resolved: String,
            }, reissues: false, |f| {
                write!(f, "{} is a link to {}", escaped(path), escaped(target))?;
                if target != resolved {
                    write!(f, ", which is {}", escaped(resolved))?;
                }
                f.write_str(", and no private key is written through a link")
            };
            /// The file is not empty, and holds nothing that this program knows.
            ForeignContent {
                /// The file.
                path: String,
                /// What was looked for.
                wanted: KnownContent,
            }, reissues: true, |f| {
                let wanted = match wanted {
                    KnownContent::Pem => "holds neither certificates nor keys",
                    KnownContent::Kubeconfig => "is no kubeconfig",
                };
                write!(f, "{} is not empty and {wanted}, so it may be anything", escaped(path))
            };
            /// The user does not want it to be asked, so nothing is known of it.
            Skipped, reissues: false, |f| {
                f.write_str("skipped, by --skip-node; nothing is known of it and nothing is done on it")
            };
            /// It could not be read, so nothing is known of it.
            Unknown {
                /// Why.
                because: String,
            }, reissues: false, |f| write!(f, "unknown: {}", escaped(because));
        }
    };
}

pub(super) use nodes;
