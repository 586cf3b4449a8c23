//! A CA whose key is elsewhere: requests go out, `openssl` signs them as somebody else's CA would, and what comes back is installed, or refused with everything
//! that is wrong with it.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

mod refusals;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use crate::support::cluster::NODES;
use crate::support::listing::{Listing, differing};
use crate::support::made::{Made, Spec};
use crate::support::program;

const PKI: &str = "etc/kubernetes/pki";
const REQUESTS: &str = "pki-requests-prod-eu1";
const EXTERNAL: &str = "  authorities: { ca: { external: true } }\n";

/// A cluster in which everything is due, and whose `ca.key` lies in a folder of its own, beside those of the nodes.
struct Elsewhere {
    made: Made,
}

impl Elsewhere {
    fn new() -> Self {
        Self::with(EXTERNAL)
    }

    /// With these further lines of the spec.
    fn with(more: &str) -> Self {
        let made = Made::new();
        std::fs::create_dir(made.at("elsewhere")).unwrap();
        std::fs::create_dir(made.at("signed")).unwrap();
        for file in ["ca.crt", "ca.key"] {
            std::fs::copy(made.at("cp-1").join(PKI).join(file), made.at("elsewhere").join(file)).unwrap();
        }
        for node in NODES {
            std::fs::remove_file(made.at(node).join(PKI).join("ca.key")).unwrap();
        }
        let elsewhere = Self { made };
        elsewhere.spec(more);
        elsewhere
    }

    fn spec(&self, more: &str) {
        self.made.spec(&Spec { more, ..Spec::renewing() });
    }

    /// Gives a signed certificate another name.
    fn rename(&self, from: &str, to: &str) {
        let signed = self.made.at("signed");
        std::fs::rename(signed.join(from), signed.join(to)).unwrap();
    }

    /// One for which the request of the API server of cp-1 waits, and nothing else was done.
    fn asked() -> Self {
        let elsewhere = Self::new();
        elsewhere.apply(&["--only", "apiserver@cp-1"]);
        elsewhere
    }

    fn apply(&self, more: &[&str]) -> String {
        self.made.ends(0, &[&["apply", "-f", "spec.yaml", "--yes"], more].concat())
    }

    fn bring(&self, more: &[&str]) -> String {
        self.apply(&[&["--certificates", "signed"], more].concat())
    }

    /// What is said when what was brought is refused, upon which nothing has changed.
    #[track_caller]
    fn refused(&self) -> String {
        let before = (self.listing(), self.waiting());
        let said = ["plan", "apply"].map(|command| {
            let yes: &[&str] = if command == "apply" { &["--yes"] } else { &[] };
            let arguments = [&[command, "-f", "spec.yaml", "--certificates", "signed"], yes].concat();
            let output = self.made.pki(&arguments);
            assert_eq!(program::code(&output), 3, "{}{}", program::stderr(&output), program::stdout(&output));
            assert_eq!(program::stdout(&output), "");
            program::stderr(&output)
        });
        assert!(before == (self.listing(), self.waiting()), "something was touched");
        let [planned, applied] = said;
        assert_eq!(planned, applied);
        // Lines are broken for reading.
        planned.split_whitespace().filter(|word| !["|", "x"].contains(word)).collect::<Vec<_>>().join(" ")
    }

    /// What lies on the nodes.
    fn listing(&self) -> Listing {
        let of_nodes = |path: &String| path.starts_with("cp-");
        self.made.listing().into_iter().filter(|(path, _)| of_nodes(path)).collect()
    }

    /// The requests that wait on the nodes, by the paths of their files.
    fn waiting(&self) -> BTreeMap<String, Vec<u8>> {
        let mut waiting = BTreeMap::new();
        for node in NODES {
            let folder = self.made.at(node).join("var/lib/pki/requests");
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                let name = format!("{node}/{}", path.file_name().unwrap().to_str().unwrap());
                waiting.insert(name, std::fs::read(path).unwrap());
            }
        }
        waiting
    }

    /// The requests that were handed out, by name.
    fn handed_out(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.made.at(REQUESTS)).unwrap();
        let entries = entries.map(|entry| entry.unwrap());
        let name = |entry: &std::fs::DirEntry| entry.file_name().to_str().unwrap().to_owned();
        entries.map(|entry| (name(&entry), std::fs::read(entry.path()).unwrap())).collect()
    }

    /// Runs openssl beside the keys of the CAs; what it prints.
    fn openssl(&self, arguments: &str) -> String {
        let folder = self.made.at("elsewhere");
        let output = Command::new("openssl").args(arguments.split(' ')).current_dir(folder).output().unwrap();
        assert!(output.status.success(), "openssl {arguments}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Signs a request as the CA of the cluster does, with these arguments besides.
    fn sign(&self, address: &str, more: &str) {
        self.sign_by("ca", address, &format!("-copy_extensions copy -days 730{more}"));
    }

    fn sign_by(&self, ca: &str, address: &str, how: &str) {
        self.openssl(&format!(
            "x509 -req -in ../{REQUESTS}/{address}.csr -CA {ca}.crt -CAkey {ca}.key -CAcreateserial {how} -out ../signed/{address}.crt"
        ));
    }

    /// Signs every request that was handed out.
    fn sign_all(&self) {
        for name in self.handed_out().keys() {
            self.sign(name.strip_suffix(".csr").unwrap(), "");
        }
    }

    /// Makes a CA, under another one or by itself.
    fn ca(&self, name: &str, subject: &str, under: Option<&str>) {
        let by = under
            .map_or_else(|| "-x509".to_owned(), |root| format!("-x509 -CA {root}.crt -CAkey {root}.key"));
        self.openssl(&format!(
            "req {by} -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout {name}.key -out {name}.crt -days 3650 -subj {subject} \
             -addext keyUsage=critical,keyCertSign,cRLSign"
        ));
    }

    /// Puts files one behind the other into one.
    fn join(&self, files: &[&str], into: &str) {
        let parts: Vec<Vec<u8>> =
            files.iter().map(|file| std::fs::read(self.made.at(file)).unwrap()).collect();
        std::fs::write(self.made.at(into), parts.concat()).unwrap();
    }

    fn certificate(&self, path: &str) -> Vec<u8> {
        std::fs::read(self.made.at(path)).unwrap()
    }
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

#[test]
fn requests_are_handed_out_and_their_keys_stay_on_their_nodes() {
    let elsewhere = Elsewhere::new();
    let planned = elsewhere.made.ends(2, &["plan", "-f", "spec.yaml", "--exit-code"]);
    assert!(planned.contains("+ request for apiserver-kubelet-client @ cp-1, cp-2, cp-3\n"), "{planned}");
    assert!(planned.ends_with(", request 18.\n"), "{planned}");
    let before = elsewhere.listing();
    let said = elsewhere.apply(&[]);
    assert!(said.contains("These certificates are signed elsewhere. Their requests:"), "{said}");
    assert!(
        said.contains(&format!("apiserver@cp-1                 {REQUESTS}/apiserver@cp-1.csr")),
        "{said}"
    );
    assert!(said.contains("pki apply -f spec.yaml --certificates DIRECTORY"), "{said}");
    // What is under the other authorities was renewed, and nothing under this one was touched.
    let changed = differing(&before, &elsewhere.listing());
    assert!(changed.contains("cp-1/etc/kubernetes/pki/etcd/server.crt"), "{changed:?}");
    for path in ["pki/apiserver.crt", "pki/apiserver.key", "admin.conf"] {
        assert!(!changed.contains(&format!("cp-1/etc/kubernetes/{path}")), "{changed:?}");
    }
    assert_eq!(elsewhere.handed_out().len(), 18);
    for node in NODES {
        let folder = elsewhere.made.at(node).join("var/lib/pki/requests");
        assert_eq!(mode(&folder), 0o700);
        assert_eq!(mode(&folder.join("apiserver.pem")), 0o600);
    }
    let text = elsewhere.openssl(&format!("req -in ../{REQUESTS}/apiserver@cp-1.csr -noout -verify -text"));
    for part in [
        "CN = kube-apiserver",
        "DNS:kubernetes.default.svc.cluster.local",
        "DNS:api.prod-eu1.example",
        "IP Address:10.96.0.1",
        "TLS Web Server Authentication",
        "Digital Signature, Key Encipherment",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let groups = elsewhere.openssl(&format!("req -in ../{REQUESTS}/admin.conf@cp-2.csr -noout -text"));
    assert!(groups.contains("O = kubeadm:cluster-admins, CN = kubernetes-admin"), "{groups}");
    assert!(groups.contains("TLS Web Client Authentication"), "{groups}");
    elsewhere.made.no_secret_was_told();
}

#[test]
fn to_ask_again_makes_no_new_keys() {
    let elsewhere = Elsewhere::new();
    elsewhere.apply(&[]);
    let (handed_out, waiting) = (elsewhere.handed_out(), elsewhere.waiting());
    std::fs::remove_dir_all(elsewhere.made.at(REQUESTS)).unwrap();
    let planned = elsewhere.made.ends(2, &["plan", "-f", "spec.yaml", "--exit-code"]);
    assert!(
        planned.contains("its request waits for a certificate of ca, which is signed elsewhere"),
        "{planned}"
    );
    let said = elsewhere.apply(&["--requests", "out/of/here"]);
    assert!(said.contains("out/of/here/apiserver@cp-1.csr"), "{said}");
    assert_eq!(elsewhere.waiting(), waiting);
    assert!(!elsewhere.made.at(REQUESTS).exists());
    std::fs::rename(elsewhere.made.at("out/of/here"), elsewhere.made.at(REQUESTS)).unwrap();
    assert_eq!(elsewhere.handed_out(), handed_out);
    let status = elsewhere.made.ends(0, &["status", "-f", "spec.yaml"]);
    assert!(
        status.contains("its request waits for a certificate: /var/lib/pki/requests/apiserver.pem"),
        "{status}"
    );
    let events = elsewhere.made.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--format", "ndjson"]);
    let request = format!(
        "{{\"type\":\"request\",\"address\":\"apiserver@cp-1\",\"node\":\"cp-1\",\"file\":\"{REQUESTS}/apiserver@cp-1.csr\"}}"
    );
    assert!(events.lines().any(|line| line == request), "{events}");
    let json = elsewhere.made.ends(0, &["apply", "-f", "spec.yaml", "--yes", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(json["requests"].as_array().unwrap().len(), 18);
    assert_eq!(json["requests"][3]["address"], "apiserver@cp-1");
    elsewhere.made.no_secret_was_told();
}

#[test]
fn what_comes_back_is_installed_and_nothing_waits_any_more() {
    let elsewhere = Elsewhere::new();
    elsewhere.apply(&[]);
    elsewhere.sign_all();
    let said = elsewhere.bring(&[]);
    assert!(said.contains("install apiserver, signed elsewhere"), "{said}");
    assert!(said.contains("its signed certificate was brought, apiserver@cp-1.crt"), "{said}");
    elsewhere.made.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    assert!(elsewhere.waiting().is_empty());
    for node in NODES {
        let installed = elsewhere.certificate(&format!("{node}/{PKI}/apiserver.crt"));
        let of_certificate =
            elsewhere.openssl(&format!("x509 -in ../{node}/{PKI}/apiserver.crt -noout -pubkey"));
        let of_key = elsewhere.openssl(&format!("pkey -in ../{node}/{PKI}/apiserver.key -pubout"));
        assert_eq!(of_certificate, of_key);
        elsewhere.openssl(&format!("verify -CAfile ca.crt ../{node}/{PKI}/apiserver.crt"));
        let signed = elsewhere.openssl(&format!("x509 -in ../signed/apiserver@{node}.crt -outform PEM"));
        assert_eq!(String::from_utf8(installed).unwrap(), signed);
        assert_eq!(mode(&elsewhere.made.at(node).join(PKI).join("apiserver.key")), 0o600);
    }
    // Once more it is done already.
    let said = elsewhere.bring(&[]);
    assert!(said.contains("No changes"), "{said}");
    elsewhere.made.no_secret_was_told();
}

#[test]
fn a_rollback_brings_the_old_pair_back_and_the_request_waits_again() {
    let elsewhere = Elsewhere::asked();
    let (before, waiting) = (elsewhere.listing(), elsewhere.waiting());
    elsewhere.sign("apiserver@cp-1", "");
    elsewhere.bring(&["--only", "apiserver@cp-1"]);
    assert!(elsewhere.waiting().is_empty());
    let changed = differing(&before, &elsewhere.listing());
    assert_eq!(
        changed,
        ["crt", "key"].map(|kind| format!("cp-1/{PKI}/apiserver.{kind}")).into(),
        "and nothing else"
    );
    elsewhere.made.ends(0, &["rollback", "-f", "spec.yaml", "--yes"]);
    assert!(elsewhere.listing() == before);
    assert_eq!(elsewhere.waiting(), waiting);
    elsewhere.bring(&["--only", "apiserver@cp-1"]);
    assert!(elsewhere.waiting().is_empty());
    elsewhere.made.no_secret_was_told();
}

#[test]
fn a_rollback_of_the_asking_takes_the_request_away() {
    let elsewhere = Elsewhere::asked();
    assert_eq!(elsewhere.waiting().len(), 1);
    elsewhere.made.ends(0, &["rollback", "-f", "spec.yaml", "--yes"]);
    assert!(elsewhere.waiting().is_empty());
}

#[test]
fn a_visit_that_fails_puts_pair_and_request_back() {
    let restart = "  services: { kube-controller-manager: { restart: { command: [/bin/there-is-none] } } }\n";
    let elsewhere = Elsewhere::with(&format!("{EXTERNAL}{restart}"));
    let only = ["--only", "controller-manager.conf@cp-2"];
    elsewhere.apply(&only);
    let (before, waiting) = (elsewhere.listing(), elsewhere.waiting());
    elsewhere.sign("controller-manager.conf@cp-2", "");
    let arguments = ["apply", "-f", "spec.yaml", "--yes", "--certificates", "signed"];
    let said = elsewhere.made.ends(10, &[&arguments[..], &only].concat());
    assert!(said.contains("UNDONE"), "{said}");
    assert!(elsewhere.listing() == before);
    assert_eq!(elsewhere.waiting(), waiting);
}

#[test]
fn a_key_that_is_kept_goes_into_the_request_and_stays() {
    let elsewhere = Elsewhere::new();
    let defaults = "validity: 730d, renewBefore: 400d, reuseKeys: true";
    elsewhere.made.spec(&Spec { defaults, more: EXTERNAL });
    let only = ["--only", "apiserver@cp-1"];
    elsewhere.apply(&only);
    let key = elsewhere.certificate(&format!("cp-1/{PKI}/apiserver.key"));
    let of_request = elsewhere.openssl(&format!("req -in ../{REQUESTS}/apiserver@cp-1.csr -noout -pubkey"));
    assert_eq!(of_request, elsewhere.openssl(&format!("pkey -in ../cp-1/{PKI}/apiserver.key -pubout")));
    elsewhere.sign("apiserver@cp-1", "");
    elsewhere.bring(&only);
    assert_eq!(elsewhere.certificate(&format!("cp-1/{PKI}/apiserver.key")), key);
}

#[test]
fn an_intermediate_under_the_root_of_an_organisation_signs() {
    let elsewhere = Elsewhere::new();
    elsewhere.ca("issuing", "/O=Example/CN=issuing", Some("ca"));
    elsewhere.apply(&[]);
    for name in elsewhere.handed_out().keys() {
        let address = name.strip_suffix(".csr").unwrap();
        elsewhere.sign_by("issuing", address, "-copy_extensions copy -days 730");
        let file = format!("signed/{address}.crt");
        elsewhere.join(&[&file, "elsewhere/issuing.crt"], &file);
    }
    // The root at the end does no harm, and is not installed.
    elsewhere.join(&["signed/apiserver@cp-1.crt", "elsewhere/ca.crt"], "signed/apiserver@cp-1.crt");
    let said = elsewhere.bring(&[]);
    assert!(said.contains("followed by   O=Example, CN=issuing ("), "{said}");
    elsewhere.made.ends(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    for node in NODES {
        let file = format!("../{node}/{PKI}/apiserver.crt");
        elsewhere.openssl(&format!("verify -CAfile ca.crt -untrusted {file} {file}"));
        let installed = elsewhere.certificate(&format!("{node}/{PKI}/apiserver.crt"));
        assert_eq!(String::from_utf8(installed).unwrap().matches("BEGIN").count(), 2);
    }
    // Where the nodes trust the intermediate too, nothing of it is strange to them.
    for bundle in [["ca", "issuing"], ["issuing", "ca"]] {
        let files = bundle.map(|name| format!("elsewhere/{name}.crt"));
        for node in NODES {
            elsewhere.join(&files.each_ref().map(String::as_str), &format!("{node}/{PKI}/ca.crt"));
        }
        let said = elsewhere.made.ends(0, &["status", "-f", "spec.yaml"]);
        assert!(!said.contains("also holds"), "{said}");
        assert!(said.contains("blocked 0, unknown 0"), "{said}");
    }
    elsewhere.made.no_secret_was_told();
}

#[test]
fn the_spec_asks_for_more_so_another_request_takes_the_place_of_the_one_that_waits() {
    let elsewhere = Elsewhere::asked();
    let first = elsewhere.handed_out();
    elsewhere.sign("apiserver@cp-1", "");
    let more = format!("{EXTERNAL}  certificates: {{ apiserver: {{ names: {{ dns: [new.example] }} }} }}\n");
    elsewhere.spec(&more);
    let said = elsewhere.refused();
    assert!(
        said.contains("PKI2018") && said.contains("lacks names of the request or the spec: new.example"),
        "{said}"
    );
    let said = elsewhere.apply(&["--only", "apiserver@cp-1"]);
    assert!(said.contains("replaces      the request with the key "), "{said}");
    assert_ne!(elsewhere.handed_out(), first);
    let said = elsewhere.refused();
    assert!(said.contains("PKI2010") && said.contains("PKI2018"), "{said}");
    elsewhere.sign("apiserver@cp-1", "");
    elsewhere.bring(&["--only", "apiserver@cp-1"]);
    let text = elsewhere.openssl(&format!("x509 -in ../cp-1/{PKI}/apiserver.crt -noout -text"));
    assert!(text.contains("DNS:new.example"), "{text}");
}

#[test]
fn saved_plans_ask_and_install_too() {
    let elsewhere = Elsewhere::new();
    let plan = ["plan", "-f", "spec.yaml", "--only", "apiserver", "-o", "plan.json"];
    elsewhere.made.ends(0, &plan);
    elsewhere.made.ends(0, &["apply", "plan.json", "--yes"]);
    let (handed_out, waiting) = (elsewhere.handed_out(), elsewhere.waiting());
    assert_eq!(handed_out.len(), 3);
    std::fs::remove_dir_all(elsewhere.made.at(REQUESTS)).unwrap();
    // Once more it is done already, and hands out the same.
    elsewhere.made.ends(0, &["apply", "plan.json", "--yes"]);
    assert_eq!((elsewhere.handed_out(), elsewhere.waiting()), (handed_out, waiting));
    elsewhere.sign_all();
    elsewhere.made.ends(0, &[&plan[..], &["--certificates", "signed"]].concat());
    std::fs::remove_dir_all(elsewhere.made.at("signed")).unwrap();
    elsewhere.made.ends(0, &["apply", "plan.json", "--yes"]);
    assert!(elsewhere.waiting().is_empty());
    let again = elsewhere.made.pki(&["apply", "plan.json", "--yes"]);
    assert!(program::stderr(&again).contains("is already applied"), "{}", program::stderr(&again));
    elsewhere.made.no_secret_was_told();
}

#[test]
fn what_nodes_share_is_asked_for_once_and_copied() {
    let shared = "  certificates: { apiserver-kubelet-client: { holders: shared } }\n";
    let elsewhere = Elsewhere::with(&format!("{EXTERNAL}{shared}"));
    let only = ["--only", "apiserver-kubelet-client"];
    elsewhere.apply(&only);
    let handed_out: Vec<String> = elsewhere.handed_out().into_keys().collect();
    assert_eq!(handed_out, ["apiserver-kubelet-client@cp-1.csr"]);
    elsewhere.sign_all();
    elsewhere.bring(&only);
    assert!(elsewhere.waiting().is_empty());
    for kind in ["crt", "key"] {
        let held =
            NODES.map(|node| elsewhere.certificate(&format!("{node}/{PKI}/apiserver-kubelet-client.{kind}")));
        assert!(held[0] == held[1] && held[1] == held[2]);
    }
    let said = elsewhere.made.ends(0, &[&["plan", "-f", "spec.yaml", "--exit-code"][..], &only].concat());
    assert!(said.contains("Nothing to do for apiserver-kubelet-client"), "{said}");
}

#[test]
fn an_authority_that_nobody_declared_external_asks_for_nothing() {
    let elsewhere = Elsewhere::with("");
    let said = elsewhere.apply(&["--only", "apiserver@cp-1"]);
    assert!(said.contains("no node holds the key of ca, so its certificates are signed elsewhere"), "{said}");
    assert!(!elsewhere.made.at(REQUESTS).exists() && elsewhere.waiting().is_empty());
}
