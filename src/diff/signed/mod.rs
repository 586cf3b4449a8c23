//! Externally signed certificates, as they come back: what is in the files, and whether each is what its request asked for.
//!
//! What enters is the files of a directory and what is known of the nodes; what leaves is the certificates, each for the request that waits for it, or everything
//! that is wrong with any of them. Nothing is half accepted: with one fault no certificate leaves. No file is read here, and no clock.

mod judge;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::desired::DesiredIdentity;
use crate::desired::Survey;
use crate::diagnostic::{Code, Diagnostic, quoted};
use crate::diff::{Differences, IdentityView, waiting_request};
use crate::protocol::facts::NodeFacts;
use crate::types::names::{Address, AuthorityName, Target};
use crate::types::place::Place;
use crate::types::secret::Secret;
use crate::x509::pem;
use crate::x509::pem::Item;
use crate::x509::{Certificate, CertificateRequest};

/// The ends of the names of files that hold certificates. Whatever else lies beside them is not looked at.
pub const EXTENSIONS: [&str; 2] = ["crt", "pem"];

/// Certificates that were brought back, each for the request that waits for it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signed {
    /// By the address of the request.
    pub certificates: BTreeMap<Address, SignedCertificate>,
}

/// One certificate that was brought back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCertificate {
    /// The file that held it.
    pub file: String,
    /// The certificate.
    pub certificate: Certificate,
    /// The certificates between it and the authority's, each issued by the next one. A root at the end of the file is left out: whoever needs it has it.
    pub chain: Vec<Certificate>,
}

impl Signed {
    /// Whether one was brought for this.
    pub fn has(&self, address: &Address) -> bool {
        self.certificates.contains_key(address)
    }
}

/// The content of a file, or why it could not be read.
pub type FileContent = Result<Secret, String>;

/// Checks the files of a directory, by their names.
///
/// # Errors
/// Everything that is wrong with any of them.
pub fn check(
    files: &BTreeMap<String, FileContent>,
    survey: &Survey,
    differences: &Differences,
    now: Timestamp,
) -> Result<Signed, Vec<Diagnostic>> {
    let mut check = Check {
        survey,
        differences,
        now,
        waiting: waiting(survey),
        known: Vec::new(),
        problems: Vec::new(),
        signed: Signed::default(),
    };
    let mut read: Vec<(&String, Vec<Certificate>)> = Vec::new();
    for (file, content) in files {
        if let Some(certificates) = check.read(file, content) {
            read.push((file, certificates));
        }
    }
    check.known = read.iter().flat_map(|(_, certificates)| certificates).cloned().collect();
    for (file, certificates) in read {
        check.file(file, certificates);
    }
    if check.problems.is_empty() { Ok(check.signed) } else { Err(check.problems) }
}

struct Check<'a> {
    survey: &'a Survey,
    /// What the nodes hold.
    differences: &'a Differences,
    now: Timestamp,
    /// Every request that waits on any node.
    waiting: Vec<(Address, CertificateRequest)>,
    /// Everything that any of the files holds.
    known: Vec<Certificate>,
    problems: Vec<Diagnostic>,
    signed: Signed,
}

/// A request that waits, with everything that its certificate is judged by.
struct Asked<'a> {
    file: &'a str,
    address: &'a Address,
    authority: &'a AuthorityName,
    wanted: &'a DesiredIdentity,
    request: &'a CertificateRequest,
    /// The authority's certificates on the node.
    roots: &'a [Certificate],
    /// Certificates that may be the missing part of a chain: those of the other files, and what followed the certificate that is there.
    known: Vec<Certificate>,
    /// The other requests that wait, by the digest of their keys.
    others: &'a [(Address, CertificateRequest)],
    now: Timestamp,
}

impl<'a> Check<'a> {
    /// The certificates in a file.
    fn read(&mut self, file: &str, content: &FileContent) -> Option<Vec<Certificate>> {
        let content = match content {
            Ok(content) => content,
            Err(reason) => {
                let help = "put the certificate there as a PEM file that pki may read";
                self.refuse(Code::SignedUnreadable, file, &format!("cannot be read: {reason}"), help);
                return None;
            }
        };
        let reading = pem::read(content.reveal());
        let holds_key = |item: &Item| matches!(item, Item::PrivateKey(_) | Item::EncryptedKey);
        if reading.items.iter().any(holds_key) {
            let help = "take it out of the file: the key of this certificate waits on its node, and no other belongs anywhere near it";
            self.refuse(Code::SignedHoldsKey, file, "holds a private key", help);
            return None;
        }
        if let Some(problem) = reading.problems.first() {
            let help = "write the certificate as PEM, the intermediates after it: openssl x509 -in FILE -out NAME@NODE.crt";
            self.refuse(Code::SignedUnreadable, file, &format!("is not whole: {problem}"), help);
            return None;
        }
        let certificates: Vec<Certificate> = reading.certificates().cloned().collect();
        if certificates.is_empty() {
            let help = "put the signed certificate into it; the request alone is of no use";
            self.refuse(Code::SignedUnreadable, file, "holds no certificate", help);
            return None;
        }
        Some(certificates)
    }

    fn refuse(&mut self, code: Code, file: &str, what: &str, help: &str) {
        self.problems.push(Diagnostic::new(code, format!("{} {what}", quoted(file))).help(help));
    }

    /// Judges the certificates of a file by the request that its name says.
    fn file(&mut self, file: &str, certificates: Vec<Certificate>) {
        let survey = self.survey;
        let Some(address) = address_of(file) else {
            let help = self.names_that_wait();
            self.refuse(Code::SignedUnasked, file, "is not called after any certificate", &help);
            return;
        };
        let Some(wanted) = survey.desired.identity_at(&address) else {
            let help = self.names_that_wait();
            self.refuse(
                Code::SignedUnasked,
                file,
                &format!("is for {address}, which the spec does not have"),
                &help,
            );
            return;
        };
        let (Some(authority), true) = (&wanted.authority, wanted.request.is_some()) else {
            let help = "declare `external: true` for its authority, or leave the file out";
            let what = format!("is for {address}, whose authority is not kept elsewhere");
            self.refuse(Code::SignedUnasked, file, &what, help);
            return;
        };
        // Of a node that was not seen nothing is known, which the plan says.
        let facts = survey.observed.facts_at(&address.place);
        let Some(facts) = facts else { return };
        let Some((leaf, rest)) = certificates.split_first() else { return };
        let Some(held) = self.held(&address) else { return };
        let request = match waiting_request(wanted, facts) {
            Ok(Some(request)) => request,
            // It was installed by an earlier run.
            Ok(None) if held.certificate.as_ref() == Some(leaf) => return,
            Ok(None) => {
                let help = self.names_that_wait();
                let what = format!("is for {address}, and no request of it waits on {}", address.place);
                self.refuse(Code::SignedUnasked, file, &what, &help);
                return;
            }
            Err(_) => return,
        };
        let roots = address
            .node()
            .and_then(|node| self.differences.authorities().get(authority)?.on_node(node))
            .unwrap_or_default();
        let asked = Asked {
            file,
            address: &address,
            authority,
            wanted,
            request,
            roots,
            known: self.known.iter().chain(&held.chain).cloned().collect(),
            others: &self.waiting,
            now: self.now,
        };
        match asked.judge(leaf, rest) {
            Ok(signed) => {
                if let Some(earlier) = self.signed.certificates.insert(address.clone(), signed) {
                    let what = format!("is for {address}, and so is {}", quoted(&earlier.file));
                    self.refuse(Code::SignedUnasked, file, &what, "leave one of them");
                }
            }
            Err(problems) => self.problems.extend(problems),
        }
    }

    /// What the node holds of an identity.
    fn held(&self, address: &Address) -> Option<&'a IdentityView> {
        self.differences.identity(address.node()?, address.target.identity()?).map(|held| &**held)
    }

    /// The way out for a file that belongs to nothing.
    fn names_that_wait(&self) -> String {
        let waiting: Vec<String> = self.waiting.iter().map(|(address, _)| format!("{address}.crt")).collect();
        if waiting.is_empty() {
            return "no request waits on any node: run `pki apply` first, which writes them".to_owned();
        }
        format!(
            "name it after the request that it answers, or take it out of the directory; there wait: {}",
            waiting.join(", ")
        )
    }
}

/// The identity that the name of a file says. Requests wait on nodes, so one without a node is none.
fn address_of(file: &str) -> Option<Address> {
    let (stem, extension) = file.rsplit_once('.')?;
    let address: Address = EXTENSIONS.contains(&extension).then(|| stem.parse().ok())??;
    matches!(address, Address { target: Target::Identity(_), place: Place::Node(_) }).then_some(address)
}

/// Every request that waits on any node.
fn waiting(survey: &Survey) -> Vec<(Address, CertificateRequest)> {
    let seen = survey.desired.nodes.iter().filter_map(|(name, node)| {
        let facts: &NodeFacts = survey.observed.nodes.get(name)?.facts()?;
        Some(node.identities.iter().filter_map(move |(identity, wanted)| {
            let request = waiting_request(wanted, facts).ok()??.clone();
            Some((Address::on(Target::Identity(identity.clone()), name), request))
        }))
    });
    seen.flatten().collect()
}
