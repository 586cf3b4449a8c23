//! Whether a certificate is what its request asked for: key, issuer, chain, period, subject, names and usages, each judged by itself, so that one look at
//! what is wrong is enough.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;

use super::{Asked, SignedCertificate};
use crate::diagnostic::{Code, Diagnostic, escaped, quoted};
use crate::types::certificate::Usage;
use crate::types::format::instant;
use crate::x509::chain;
use crate::x509::chain::{ChainError, ChainFault, Purpose};
use crate::x509::{Certificate, ExtendedKeyUsage, Name};

impl Asked<'_> {
    /// The certificate with what follows it, or everything that is wrong with them.
    pub(super) fn judge(
        &self,
        leaf: &Certificate,
        rest: &[Certificate],
    ) -> Result<SignedCertificate, Vec<Diagnostic>> {
        let mut problems: Vec<Diagnostic> = Vec::new();
        problems.extend(self.key(leaf));
        match self.path(leaf, rest) {
            Ok(end) => problems.extend(self.period(leaf, Some(end))),
            Err(problem) => {
                problems.push(problem);
                problems.extend(self.period(leaf, None));
            }
        }
        problems.extend(self.subject(leaf));
        problems.extend(self.names_missing(leaf));
        problems.extend(self.names_unwanted(leaf));
        problems.extend(self.usages(leaf));
        if !problems.is_empty() {
            return Err(problems);
        }
        let is_root = |certificate: &&Certificate| certificate.facts().self_issued;
        let chain = rest.iter().filter(|certificate| !is_root(certificate)).cloned().collect();
        Ok(SignedCertificate { file: self.file.to_owned(), certificate: leaf.clone(), chain })
    }

    fn fault(&self, code: Code, what: String, help: impl Into<String>) -> Diagnostic {
        Diagnostic::new(code, format!("{} {what}", quoted(self.file))).help(help)
    }

    fn key(&self, leaf: &Certificate) -> Option<Diagnostic> {
        let (found, wanted) = (&leaf.facts().key, &self.request.facts().key);
        if found == wanted {
            return None;
        }
        let other = self.others.iter().find(|(_, request)| request.facts().key == *found);
        let (whose, help) = match other {
            Some((address, _)) => (
                format!(", which waits for {address}"),
                format!("it answers the request of {address}: name it {address}.crt"),
            ),
            None => (
                String::new(),
                format!(
                    "have {}.csr signed as it is: the key of the request waits on {}, and no other one fits",
                    self.address, self.address.place
                ),
            ),
        };
        let what = format!(
            "is for another key: the request has the spki {}, and the certificate has {}{whose}",
            wanted.spki_sha256.short(),
            found.spki_sha256.short()
        );
        Some(self.fault(Code::SignedWrongKey, what, help))
    }

    /// When the first certificate above it ends, if a path leads over what follows it, in that order, to the authority on the node.
    fn path(&self, leaf: &Certificate, rest: &[Certificate]) -> Result<Timestamp, Diagnostic> {
        if self.roots.is_empty() {
            let what = format!(
                "cannot be checked: the certificate of {} is not on {}",
                self.authority, self.address.place
            );
            let help = "put the certificate of the CA there first";
            return Err(self.fault(Code::SignedWrongIssuer, what, help));
        }
        // Its own dates have faults of their own.
        let facts = leaf.facts();
        let instant = if facts.not_before <= facts.not_after {
            self.now.clamp(facts.not_before, facts.not_after)
        } else {
            self.now
        };
        let mut path = Vec::new();
        for usage in &self.wanted.usages {
            match chain::verify(leaf, rest, self.roots, instant, &Purpose::from(*usage)) {
                Ok(found) => path = found,
                // That it lacks the usage itself is said in plainer words.
                Err(ChainError { certificate, fault: ChainFault::UsageNotAllowed { .. } })
                    if certificate == *leaf => {}
                // How long those above it lived then is no fault of theirs.
                Err(ChainError {
                    fault: ChainFault::NotYetValid { .. } | ChainFault::Expired { .. },
                    ..
                }) if instant != self.now => {}
                Err(error) => return Err(self.no_path(leaf, &error)),
            }
        }
        let all: Vec<&Certificate> = std::iter::once(leaf).chain(rest).collect();
        let in_order = all.windows(2).all(|pair| match pair {
            [child, issuer] => chain::is_issued_by(child, issuer),
            _ => true,
        });
        if !in_order && !path.is_empty() {
            return Err(self.order(leaf, &path));
        }
        let above = path.iter().skip(1).map(|certificate| certificate.facts().not_after);
        Ok(above.min().unwrap_or(facts.not_after))
    }

    fn order(&self, leaf: &Certificate, path: &[Certificate]) -> Diagnostic {
        let between =
            path.iter().filter(|certificate| *certificate == leaf || !self.roots.contains(certificate));
        let expected: Vec<String> = between.map(|certificate| name(&certificate.facts().subject)).collect();
        let what = "has its certificates in another order than that in which each is issued by the next one";
        let help = format!("write these, in this order, and no others: {}", expected.join(", then "));
        self.fault(Code::SignedChainOrder, what.to_owned(), help)
    }

    /// Why no path leads to the authority on the node.
    fn no_path(&self, leaf: &Certificate, error: &ChainError) -> Diagnostic {
        let roots: BTreeSet<String> = self.roots.iter().map(|root| name(&root.facts().subject)).collect();
        let roots = roots.into_iter().collect::<Vec<_>>().join(" or ");
        let (authority, node) = (self.authority, &self.address.place);
        let ours = format!("{authority} on {node} is {roots}");
        let have_signed =
            format!("have {}.csr signed by {roots}, or by a CA that it has certified", self.address);
        let at = &error.certificate;
        let what = if at == leaf { "it".to_owned() } else { format!("{} in it", name(&at.facts().subject)) };
        match &error.fault {
            ChainFault::UnknownIssuer { issuer } if self.is_called_alike(issuer) => {
                let what = format!(
                    "was signed by another CA: {what} names {} as its issuer, which is not written as {authority} on {node} writes its name, and programs compare the bytes; {ours}, {}",
                    name(issuer),
                    self.digests()
                );
                self.fault(Code::SignedWrongIssuer, what, have_signed)
            }
            ChainFault::UnknownIssuer { issuer } => {
                let is_missing =
                    |known: &&Certificate| known.facts().subject == *issuer && chain::is_issued_by(at, known);
                let help = match self.known.iter().find(is_missing) {
                    Some(_) => format!("append the certificate of {} to the file", name(issuer)),
                    None => format!(
                        "if {} is an intermediate CA under {roots}, append its certificate to the file; if not, {have_signed}",
                        name(issuer)
                    ),
                };
                let what = format!(
                    "comes without the chain to its CA: {what} was issued by {}, of which neither the file nor {node} has the certificate; {ours}",
                    name(issuer)
                );
                self.fault(Code::SignedWithoutChain, what, help)
            }
            ChainFault::NotSignedByIssuer { issuer } => {
                let what = format!(
                    "was signed by another CA: {what} names {} as its issuer, and the key of none of that name made the signature; {ours}, {}",
                    name(issuer),
                    self.digests()
                );
                self.fault(Code::SignedWrongIssuer, what, have_signed)
            }
            ChainFault::NotTrusted => {
                let what = format!(
                    "was signed by another CA: its chain ends in {}; {ours}, {}",
                    name(&at.facts().subject),
                    self.digests()
                );
                self.fault(Code::SignedWrongIssuer, what, have_signed)
            }
            fault @ (ChainFault::Unreadable { .. }
            | ChainFault::NotYetValid { .. }
            | ChainFault::Expired { .. }
            | ChainFault::UnknownCriticalExtension { .. }
            | ChainFault::WrongName { .. }
            | ChainFault::Signature(_)
            | ChainFault::NotCa { .. }
            | ChainFault::MayNotSign { .. }
            | ChainFault::TooManyIntermediates { .. }
            | ChainFault::NameForbidden { .. }
            | ChainFault::NameNotComparable { .. }
            | ChainFault::UsageNotAllowed { .. }
            | ChainFault::TooManySignatures) => {
                let at = name(&at.facts().subject);
                let what = format!("would be accepted by nobody: of {at}, {fault}");
                let help =
                    format!("mend that where it was issued, and have {}.csr signed once more", self.address);
                self.fault(Code::SignedNotAccepted, what, help)
            }
        }
    }

    /// Whether a name reads as that of the authority on the node.
    fn is_called_alike(&self, issuer: &Name) -> bool {
        self.roots.iter().any(|root| root.facts().subject.to_string() == issuer.to_string())
    }

    fn digests(&self) -> String {
        let digests: Vec<String> = self.roots.iter().map(|root| root.fingerprint().short()).collect();
        format!("sha256 {}", digests.join(" "))
    }

    /// Whether it is valid, and long enough not to be due at once. One that ends with its issuer is as long as it can be.
    fn period(&self, leaf: &Certificate, above: Option<Timestamp>) -> Option<Diagnostic> {
        let (not_before, not_after) = (leaf.facts().not_before, leaf.facts().not_after);
        let again = format!(
            "have {}.csr signed once more, for {} from today",
            self.address, self.wanted.validity.value
        );
        if self.now > not_after {
            let what =
                format!("has expired: it ended {}, and now it is {}", instant(not_after), instant(self.now));
            return Some(self.fault(Code::SignedNotValid, what, again));
        }
        if self.now < not_before {
            let what = format!(
                "is not valid yet: it begins {}, and now it is {}",
                instant(not_before),
                instant(self.now)
            );
            return Some(self.fault(Code::SignedNotValid, what, format!("wait until then, or {again}")));
        }
        let renew_before = self.wanted.renew_before.value;
        let is_due =
            self.now >= renew_before.before(not_after) && above.is_none_or(|above| above > not_after);
        is_due.then(|| {
            let what = format!(
                "would be due at once: it ends {}, and renewBefore is {renew_before}",
                instant(not_after)
            );
            self.fault(Code::SignedEndsSoon, what, format!("{again}, or declare a shorter `renewBefore`"))
        })
    }

    fn subject(&self, leaf: &Certificate) -> Option<Diagnostic> {
        let (found, asked) = (&leaf.facts().subject, &self.request.facts().subject);
        let is_asked =
            found.common_name() == asked.common_name() && found.organizations() == asked.organizations();
        let accepted = &self.wanted.accepted_subjects;
        if accepted.iter().any(|subject| found.is(subject)) || accepted.is_empty() && is_asked {
            return None;
        }
        let what = format!(
            "has another subject: the request asks for {}, and the certificate has {}",
            name(asked),
            name(found)
        );
        let help = "have it signed with the subject of the request, its groups (O) included: Kubernetes reads user and groups from it";
        Some(self.fault(Code::SignedSubjectDiffers, what, help))
    }

    fn names_missing(&self, leaf: &Certificate) -> Option<Diagnostic> {
        let (found, asked) = (&leaf.facts().names, &self.request.facts().names);
        let wanted = self.wanted.names.dns.union(&asked.dns);
        let missing: BTreeSet<&String> = wanted.filter(|name| !has(&found.dns, name)).collect();
        let addresses = self.wanted.names.ip.union(&asked.ip).filter(|ip| !found.ip.contains(ip));
        let missing = listed(missing.into_iter().map(String::as_str), addresses)?;
        let (help, more) = match self.asks_for_all() {
            true => (
                "have the request signed with its subject alternative names; openssl x509 -req leaves them out without -copy_extensions copy",
                "",
            ),
            false => (
                "the spec wants more than the request asks for: run `pki apply` once more, which replaces it, and have the new one signed",
                " or the spec",
            ),
        };
        let what = format!("lacks names of the request{more}: {missing}");
        Some(self.fault(Code::SignedNamesMissing, what, help))
    }

    /// Whether the request asks for every name that the spec wants.
    fn asks_for_all(&self) -> bool {
        let (asked, wanted) = (&self.request.facts().names, &self.wanted.names);
        wanted.dns.iter().all(|name| has(&asked.dns, name)) && wanted.ip.is_subset(&asked.ip)
    }

    fn names_unwanted(&self, leaf: &Certificate) -> Option<Diagnostic> {
        let (found, wanted) = (&leaf.facts().names, &self.wanted.names);
        if !wanted.exact {
            return None;
        }
        let dns = found.dns.iter().filter(|name| !has(&wanted.dns, name)).map(String::as_str);
        let unwanted = listed(dns, found.ip.difference(&wanted.ip))?;
        let what = format!("has names that names.only excludes: {unwanted}");
        Some(self.fault(
            Code::SignedNamesUnwanted,
            what,
            "have it signed with the names of the request and no others",
        ))
    }

    fn usages(&self, leaf: &Certificate) -> Option<Diagnostic> {
        // A certificate without the extension may be used for everything (RFC 5280, 4.2.1.12).
        let found = leaf.facts().extended_key_usages.as_ref()?;
        let asked = self.request.facts().usages();
        let lacks = |usage: &&Usage| {
            let needed = ExtendedKeyUsage::from(**usage);
            !found.contains(&needed) && !found.contains(&ExtendedKeyUsage::Any)
        };
        let missing: Vec<String> =
            asked.union(&self.wanted.usages).filter(lacks).map(ToString::to_string).collect();
        (!missing.is_empty()).then(|| {
            let what = format!("may not be used as {}, which the request asks for", missing.join(" and "));
            let help = "have it signed with the extended key usages of the request: serverAuth for a server, clientAuth for a client";
            self.fault(Code::SignedUsagesMissing, what, help)
        })
    }
}

/// DNS names compare without case, as Go's verifier does.
fn has(names: &BTreeSet<String>, wanted: &str) -> bool {
    names.iter().any(|name| name.eq_ignore_ascii_case(wanted))
}

/// Names as people read them; none where there are none.
fn listed<'a>(dns: impl Iterator<Item = &'a str>, ip: impl Iterator<Item = &'a IpAddr>) -> Option<String> {
    let all: Vec<String> = dns.map(escaped).chain(ip.map(|ip| format!("IP {ip}"))).collect();
    (!all.is_empty()).then(|| all.join(", "))
}

/// A name between quotes: it comes from a certificate, so from anybody.
fn name(name: &Name) -> String {
    quoted(&name.to_string())
}
