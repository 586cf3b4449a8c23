//! The `openssl` program in a folder of its own: arguments go in, what it prints comes out. A failure of `openssl` fails the test.
#![expect(clippy::disallowed_methods, reason = "the tests compare with the openssl program and its files")]

use std::path::PathBuf;
use std::process::Command;

use pki::x509::Certificate;

pub(crate) struct Openssl {
    folder: tempfile::TempDir,
}

/// How a certificate is made; the defaults make a CA or leaf that has nothing special.
pub(crate) struct Recipe<'a> {
    /// Lines of an OpenSSL `distinguished_name` section.
    pub(crate) subject: &'a str,
    /// `string_mask` of the subject.
    pub(crate) mask: &'a str,
    /// Lines of an OpenSSL extension section.
    pub(crate) extensions: &'a str,
    /// Arguments of `openssl genpkey`.
    pub(crate) key: &'a [&'a str],
    pub(crate) serial: &'a str,
    pub(crate) days: &'a str,
}

pub(crate) const P256: &[&str] = &["-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"];
pub(crate) const CA: &str =
    "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n";
pub(crate) const LEAF: &str = "keyUsage=critical,digitalSignature\nextendedKeyUsage=serverAuth,clientAuth\n\
    authorityKeyIdentifier=keyid\nsubjectAltName=DNS:node1.example.com,IP:10.0.0.1\n";

impl Default for Recipe<'_> {
    fn default() -> Self {
        Self { subject: "CN=x", mask: "utf8only", extensions: CA, key: P256, serial: "0x1234", days: "3650" }
    }
}

impl Openssl {
    pub(crate) fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Vec<u8> {
        let output =
            Command::new("openssl").args(arguments).current_dir(self.folder.path()).output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {}: {errors}", arguments.join(" "));
        output.stdout
    }

    pub(crate) fn text(&self, arguments: &[&str]) -> String {
        String::from_utf8(self.run(arguments)).unwrap()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn write(&self, name: &str, contents: impl AsRef<[u8]>) {
        std::fs::write(self.path(name), contents).unwrap();
    }

    pub(crate) fn certificate(&self, name: &str) -> Certificate {
        let der = self.run(&["x509", "-in", &format!("{name}.crt"), "-outform", "DER"]);
        Certificate::from_der(&der).unwrap()
    }

    /// Makes `NAME.key` and `NAME.crt`, signed by `ISSUER.key`, or by its own key.
    pub(crate) fn issue(&self, name: &str, issuer: Option<&str>, recipe: &Recipe<'_>) -> Certificate {
        let (key, request, certificate) =
            (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        let (config, extensions) = (format!("{name}.cnf"), format!("{name}.ext"));
        let Recipe { subject, mask, .. } = recipe;
        self.write(
            &config,
            format!(
                "[req]\nprompt=no\nutf8=yes\nstring_mask={mask}\ndistinguished_name=dn\n[dn]\n{subject}\n"
            ),
        );
        self.write(&extensions, recipe.extensions);
        self.run(&[&["genpkey", "-out", &key], recipe.key].concat());
        self.run(&["req", "-new", "-key", &key, "-config", &config, "-out", &request]);
        let signer = match issuer {
            Some(issuer) => {
                vec!["-CA".to_owned(), format!("{issuer}.crt"), "-CAkey".to_owned(), format!("{issuer}.key")]
            }
            None => vec!["-signkey".to_owned(), key],
        };
        let mut arguments =
            vec!["x509", "-req", "-in", &request, "-out", &certificate, "-extfile", &extensions];
        arguments.extend(["-set_serial", recipe.serial, "-days", recipe.days]);
        arguments.extend(signer.iter().map(String::as_str));
        self.run(&arguments);
        self.certificate(name)
    }

    /// Whether `openssl verify` accepts the certificate under this root, with these intermediates.
    pub(crate) fn verifies(&self, root: &str, intermediates: &[&str], leaf: &str) -> bool {
        let (root, leaf) = (format!("{root}.crt"), format!("{leaf}.crt"));
        let intermediates: Vec<String> = intermediates.iter().map(|name| format!("{name}.crt")).collect();
        let mut arguments = vec!["verify", "-CAfile", &root];
        for intermediate in &intermediates {
            arguments.extend(["-untrusted", intermediate]);
        }
        arguments.push(&leaf);
        self.accepts(&arguments)
    }

    /// Whether openssl ends well with these arguments.
    pub(crate) fn accepts(&self, arguments: &[&str]) -> bool {
        let output = Command::new("openssl").args(arguments).current_dir(self.folder.path()).output();
        output.unwrap().status.success()
    }
}
