//! The layouts of ACK and StarlingX as they really lie on disk, made with openssl by the scripts in `tests/layouts`, and looked after by the specs in
//! `examples`. The clock is the real one, as at night when nobody watches.
#![expect(clippy::disallowed_methods, reason = "the tests work on real files")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::cluster::{ROOT, is_root, left_out};
use crate::support::listing::{Listing, differing, listing, without_contents};
use crate::support::program::{code, pki, stderr, stdout};

const MASTERS: [&str; 3] = ["master-1", "master-2", "master-3"];

/// What ACK's documentation runs to see that everything was renewed; keys are skipped.
const LOOPS: &str = r#"
for file in var/lib/etcd/cert/*.pem; do case $file in *-key.pem) ;; *) openssl x509 -in "$file" -noout -text | grep -i "after" ;; esac; done
for file in etc/kubernetes/pki/etcd/*.pem; do case $file in *-key.pem) ;; *) openssl x509 -in "$file" -noout -text | grep -i "after" ;; esac; done
for file in etc/kubernetes/pki/*.crt; do openssl x509 -in "$file" -noout -text | grep -i "after"; done
"#;

/// How many certificates these loops see: two CAs, two shared pairs and three members; two copies for the API server; two CAs and three pairs of kubeadm's.
const CERTIFICATES: usize = 7 + 2 + 5;

/// The nodes' folders, and `spec.yaml` beside them.
struct Layout {
    folder: tempfile::TempDir,
}

impl Layout {
    /// `None` where files cannot be given to etcd.
    fn make(test: &str, script: &str, arguments: &[&str], example: &str) -> Option<Self> {
        if !is_root() {
            left_out(test, "only root can give files to the user etcd");
            return None;
        }
        let layout = Self { folder: tempfile::tempdir().unwrap() };
        let script = format!("{ROOT}/tests/layouts/{script}.sh");
        layout.run("bash", &[&[script.as_str()], arguments].concat());
        layout.spec(example, "");
        Some(layout)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn at(&self, path: &str) -> PathBuf {
        self.path().join(path)
    }

    fn run(&self, program: &str, arguments: &[&str]) -> String {
        let output = Command::new(program).args(arguments).current_dir(self.path()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// An example, with each node in its folder here instead of where it really is.
    fn spec(&self, example: &str, local: &str) {
        let text = std::fs::read_to_string(format!("{ROOT}/examples/{example}")).unwrap();
        let mut spec = String::new();
        for line in text.lines() {
            let node = line.trim_start().split_once(": { address: ").map(|(name, _)| name);
            let line = match (node, line.contains("connection: { ssh:")) {
                (_, true) => continue,
                (None, false) => line.to_owned(),
                (Some(name), false) => {
                    let line = line.replace(", connection: { local: {} }", "");
                    line.replace(
                        "] }",
                        &format!("], connection: {{ local: {{ root: ./{name}{local} }} }} }}"),
                    )
                }
            };
            spec.push_str(&line);
            spec.push('\n');
        }
        std::fs::write(self.at("spec.yaml"), spec).unwrap();
    }

    /// Runs pki, which must end with this code.
    fn pki(&self, expected: i32, arguments: &[&str]) -> String {
        let output = pki(self.path(), arguments);
        assert_eq!(code(&output), expected, "{arguments:?}\n{}{}", stdout(&output), stderr(&output));
        stdout(&output)
    }

    fn listing(&self) -> Listing {
        listing(self.path())
    }

    /// The years that ACK's three loops print on a node.
    fn years(&self, node: &str) -> Vec<i16> {
        let printed = self.run("bash", &["-c", &format!("cd {node} && {LOOPS}")]);
        let year = |line: &str| line.trim_end_matches(" GMT").rsplit(' ').next().unwrap().parse().unwrap();
        printed.lines().map(year).collect()
    }

    /// What `openssl verify` says of a certificate under a CA.
    fn verifies(&self, ca: &str, certificate: &str) {
        let said = self.run("openssl", &["verify", "-CAfile", ca, certificate]);
        assert!(said.ends_with(": OK\n"), "{said}");
    }

    /// The public keys in a certificate and in its key's file.
    fn is_pair(&self, certificate: &str, key: &str) {
        let of_certificate = self.run("openssl", &["x509", "-in", certificate, "-noout", "-pubkey"]);
        let of_key = self.run("openssl", &["pkey", "-in", key, "-pubout"]);
        assert_eq!(of_certificate, of_key, "{certificate} and {key}");
    }
}

fn year_in(years: i16) -> i16 {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).year() + years
}

/// Everything on a master that a renewal changes.
fn renewed_on(master: &str) -> BTreeSet<String> {
    let mut paths: BTreeSet<String> = ["admin", "controller-manager", "scheduler", "kubelet"]
        .iter()
        .map(|name| format!("etc/kubernetes/{name}.conf"))
        .collect();
    for pair in ["apiserver", "apiserver-kubelet-client", "front-proxy-client", "dashboard/dashboard"] {
        paths.extend(["crt", "key"].map(|kind| format!("etc/kubernetes/pki/{pair}.{kind}")));
    }
    for pair in ["etcd-server", "etcd-client", "10.0.0.11-name-1", "10.0.0.12-name-2", "10.0.0.13-name-3"] {
        paths.extend(["", "-key"].map(|kind| format!("var/lib/etcd/cert/{pair}{kind}.pem")));
    }
    paths.extend(["", "-key"].map(|kind| format!("etc/kubernetes/pki/etcd/etcd-client{kind}.pem")));
    paths.into_iter().map(|path| format!("{master}/{path}")).collect()
}

/// Etcd's files are byte for byte the same on every master, and every pair is whole.
fn etcd_is_alike(layout: &Layout, directory: &str) {
    let cert = |master: &str| format!("{master}/{directory}");
    for master in &MASTERS[1..] {
        layout.run("diff", &["-r", &cert(MASTERS[0]), &cert(master)]);
    }
    for (ca, pair) in [
        ("ca", "etcd-server"),
        ("ca", "etcd-client"),
        ("peer-ca", "10.0.0.11-name-1"),
        ("peer-ca", "10.0.0.12-name-2"),
        ("peer-ca", "10.0.0.13-name-3"),
    ] {
        let at = |name: &str| format!("{}/{name}.pem", cert(MASTERS[2]));
        layout.verifies(&at(ca), &at(pair));
        layout.is_pair(&at(pair), &at(&format!("{pair}-key")));
    }
    for master in MASTERS {
        for name in ["ca.pem", "etcd-client.pem", "etcd-client-key.pem"] {
            let copy = format!("{master}/etc/kubernetes/pki/etcd/{name}");
            layout.run("cmp", &[&format!("{}/{name}", cert(master)), &copy]);
        }
    }
}

#[test]
fn the_masters_of_ack_are_renewed_for_fifty_years_and_nothing_else_is_touched() {
    let name = "the_masters_of_ack_are_renewed_for_fifty_years_and_nothing_else_is_touched";
    let Some(layout) = Layout::make(name, "ack", &["18250", "50"], "ack/on-a-master.yaml") else { return };
    let before = layout.listing();
    assert!(layout.years("master-1").iter().any(|year| *year <= year_in(1)));

    let shown = layout.pki(0, &["apply", "-f", "spec.yaml", "--yes"]);
    assert!(shown.contains("the shared one, from master-1 through memory to this node"), "{shown}");
    let checked =
        "Checked: no connection breaks; no process was seen on these nodes, so nothing was checked live";
    assert!(shown.contains(checked), "{shown}");
    let after = layout.listing();
    let expected: BTreeSet<String> = MASTERS.into_iter().flat_map(renewed_on).collect();
    assert_eq!(differing(&before, &after), expected);
    assert_eq!(without_contents(&before), without_contents(&after), "modes, owners and links stay");
    etcd_is_alike(&layout, "var/lib/etcd/cert");
    for master in MASTERS {
        let years = layout.years(master);
        assert_eq!(years.len(), CERTIFICATES);
        assert!(years.iter().all(|year| (year_in(49)..=year_in(50)).contains(year)), "{years:?}");
    }
    let again = layout.pki(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    assert!(again.contains("No changes"), "{again}");

    layout.pki(0, &["rollback", "-f", "spec.yaml", "--yes"]);
    assert_eq!(layout.listing(), before, "every byte is back");
}

#[test]
fn masters_of_ack_can_be_made_with_fifty_years_everywhere() {
    let name = "masters_of_ack_can_be_made_with_fifty_years_everywhere";
    let Some(layout) = Layout::make(name, "ack", &["10", "5"], "ack/on-a-master.yaml") else { return };
    for master in MASTERS {
        for made in ["etc/kubernetes", "var/lib/etcd/cert"] {
            std::fs::remove_dir_all(layout.at(master).join(made)).unwrap();
        }
    }
    let spec = std::fs::read_to_string(layout.at("spec.yaml")).unwrap();
    let spec = spec.replace("  profile: ack\n", "  profile: ack\n  kubernetesVersion: v1.20.11\n");
    std::fs::write(layout.at("spec.yaml"), spec).unwrap();
    layout.pki(0, &["apply", "-f", "spec.yaml", "--yes"]);
    etcd_is_alike(&layout, "var/lib/etcd/cert");
    for master in MASTERS {
        let years = layout.years(master);
        assert_eq!(years.len(), CERTIFICATES);
        assert!(years.iter().all(|year| (year_in(49)..=year_in(50)).contains(year)), "{years:?}");
    }
    layout.pki(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
}

#[test]
fn a_ca_of_ack_is_extended_in_every_place_at_once() {
    let name = "a_ca_of_ack_is_extended_in_every_place_at_once";
    let Some(layout) = Layout::make(name, "ack", &["1826", "300"], "ack/on-a-master.yaml") else { return };
    let spec = std::fs::read_to_string(layout.at("spec.yaml")).unwrap();
    let extend = "  authorities: { etcd-ca: { onExpiry: extend, renewBefore: 10y } }\n";
    std::fs::write(layout.at("spec.yaml"), format!("{spec}{extend}")).unwrap();
    let places = ["var/lib/etcd/cert/ca.pem", "etc/kubernetes/pki/etcd/ca.pem"];
    // A copy that is missing on the node where the new one is made gets that one, and not the one before it.
    std::fs::remove_file(layout.at("master-1/etc/kubernetes/pki/etcd/ca.pem")).unwrap();
    let shown = layout.pki(0, &["apply", "-f", "spec.yaml", "--yes"]);
    assert!(!shown.contains("-> 0"), "{shown}");
    let mut fingerprints = BTreeSet::new();
    for master in MASTERS {
        for place in places {
            let file = format!("{master}/{place}");
            let count = layout.run("bash", &["-c", &format!("grep -c BEGIN.CERTIFICATE {file}")]);
            assert_eq!(count, "1\n", "{file}");
            fingerprints.insert(layout.run("openssl", &["x509", "-in", &file, "-noout", "-fingerprint"]));
            let end = layout.run("openssl", &["x509", "-in", &file, "-noout", "-enddate"]);
            let year = end.trim().trim_end_matches(" GMT").rsplit(' ').next().unwrap().parse().unwrap();
            assert!((year_in(9)..=year_in(50)).contains(&year), "{file}: {end}");
            for leaf in [
                "var/lib/etcd/cert/etcd-server.pem",
                "var/lib/etcd/cert/etcd-client.pem",
                "etc/kubernetes/pki/etcd/etcd-client.pem",
            ] {
                MASTERS.iter().for_each(|other| layout.verifies(&file, &format!("{other}/{leaf}")));
            }
        }
    }
    assert_eq!(fingerprints.len(), 1, "the same one everywhere");
    let again = layout.pki(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    assert!(again.contains("Plan: nothing to do."), "one apply is enough\n{again}");
}

#[test]
fn the_link_that_ack_asks_for_is_made_before_anything_is_renewed() {
    let name = "the_link_that_ack_asks_for_is_made_before_anything_is_renewed";
    let Some(layout) = Layout::make(name, "ack", &["18250", "50"], "ack/moved-directory.yaml") else {
        return;
    };
    for master in MASTERS {
        std::fs::create_dir_all(layout.at(master).join("data/etcd")).unwrap();
        let cert = layout.at(master).join("var/lib/etcd/cert");
        std::fs::rename(cert, layout.at(master).join("data/etcd/cert")).unwrap();
    }
    let before = layout.listing();
    let shown = layout.pki(0, &["apply", "-f", "spec.yaml", "--yes"]);
    let order = shown.lines().find(|line| line.trim_start().starts_with("2  ")).unwrap();
    assert!(order.contains("link"), "{order}");
    let after = layout.listing();
    let mut expected: BTreeSet<String> = MASTERS
        .into_iter()
        .flat_map(renewed_on)
        .map(|path| path.replace("var/lib/etcd/cert", "data/etcd/cert"))
        .collect();
    expected.extend(
        MASTERS
            .map(|master| format!("{master}/var/lib/etcd"))
            .into_iter()
            .filter(|path| before.get(path) != after.get(path)),
    );
    expected.extend(MASTERS.map(|master| format!("{master}/var/lib/etcd/cert")));
    assert_eq!(differing(&before, &after), expected);
    let link = std::fs::read_link(layout.at("master-2/var/lib/etcd/cert")).unwrap();
    assert_eq!(link, Path::new("/data/etcd/cert"));
    etcd_is_alike(&layout, "data/etcd/cert");
    layout.pki(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
    layout.pki(0, &["rollback", "-f", "spec.yaml", "--yes"]);
    assert_eq!(layout.listing(), before, "every byte is back, and the link is gone");
}

/// Etcd's server certificate again, with this many days to live, on both controllers.
fn server_ends_in(layout: &Layout, days: u32) {
    let script = format!(
        "set -e; cd controller-0/etc/etcd
        openssl x509 -x509toreq -copy_extensions copyall -in etcd-server.crt -key etcd-server.key -out ../../../server.csr 2>/dev/null
        openssl x509 -req -in ../../../server.csr -copy_extensions copyall -CA ca.crt -CAkey ca.key -set_serial 77 -days {days} -out etcd-server.crt 2>/dev/null
        cp etcd-server.crt ../../../controller-1/etc/etcd/etcd-server.crt
        cp etcd-server.crt ../../opt/platform/config/24.09/etcd/etcd-server.crt
        rm ../../../server.csr"
    );
    layout.run("bash", &["-c", &script]);
}

#[test]
fn a_nightly_run_on_starlingx_renews_at_fifteen_days_and_not_before() {
    let name = "a_nightly_run_on_starlingx_renews_at_fifteen_days_and_not_before";
    let Some(layout) = Layout::make(name, "starlingx", &["300", "16"], "starlingx/nightly.yaml") else {
        return;
    };
    let nightly = ["apply", "-f", "spec.yaml", "--yes"];
    let before = layout.listing();
    let shown = layout.pki(0, &nightly);
    assert!(shown.contains("Plan: nothing to do."), "sixteen days are left\n{shown}");
    assert_eq!(layout.listing(), before);

    // The boundary to the second, as the field's description states it: with fifteen days and one second left nothing is done.
    let certificate = std::fs::read(layout.at("controller-0/etc/etcd/etcd-server.crt")).unwrap();
    let end = pki::x509::pem::read(&certificate).certificates().next().unwrap().facts().not_after;
    let days = |days: i64| jiff::SignedDuration::from_hours(24 * days);
    let second = jiff::SignedDuration::from_secs(1);
    for (instant, code) in [(end - days(15) - second, 0), (end - days(15), 2), (end - days(15) + second, 2)] {
        let instant = instant.to_string();
        layout.pki(code, &["plan", "-f", "spec.yaml", "--exit-code", "--as-of", &instant]);
    }

    server_ends_in(&layout, 14);
    let before = layout.listing();
    let shown = layout.pki(0, &nightly);
    assert!(shown.contains("Checked: no connection breaks; no process was seen on these nodes"), "{shown}");
    let after = layout.listing();
    let expected: BTreeSet<String> =
        ["controller-0/etc/etcd", "controller-1/etc/etcd", "controller-0/opt/platform/config/24.09/etcd"]
            .iter()
            .flat_map(|directory| ["crt", "key"].map(|kind| format!("{directory}/etcd-server.{kind}")))
            .collect();
    assert_eq!(
        differing(&before, &after),
        expected,
        "one pair, on both controllers and in the shared configuration"
    );
    assert_eq!(without_contents(&before), without_contents(&after));
    for kind in ["crt", "key"] {
        let file = |directory: &str| format!("{directory}/etcd-server.{kind}");
        layout.run("cmp", &[&file("controller-0/etc/etcd"), &file("controller-1/etc/etcd")]);
        layout.run(
            "cmp",
            &[&file("controller-0/etc/etcd"), &file("controller-0/opt/platform/config/24.09/etcd")],
        );
    }
    layout.verifies("controller-1/etc/etcd/ca.crt", "controller-1/etc/etcd/etcd-server.crt");
    let text =
        layout.run("openssl", &["x509", "-in", "controller-1/etc/etcd/etcd-server.crt", "-noout", "-text"]);
    for part in [
        "Public-Key: (4096 bit)",
        "CN = etcd-server",
        "IP Address:10.0.0.10, IP Address:127.0.0.1",
        "TLS Web Server Authentication, TLS Web Client Authentication",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
    let shown = layout.pki(0, &nightly);
    assert!(shown.contains("Plan: nothing to do."), "the next night\n{shown}");
}

#[test]
fn what_haproxy_shows_on_starlingx_follows_admin_conf() {
    let name = "what_haproxy_shows_on_starlingx_follows_admin_conf";
    let Some(layout) = Layout::make(name, "starlingx", &["300", "300"], "starlingx/nightly.yaml") else {
        return;
    };
    let before = layout.listing();
    let selected = ["--replace", "admin.conf@controller-1", "--only", "admin.conf@controller-1"];
    layout.pki(0, &[&["apply", "-f", "spec.yaml", "--yes"][..], &selected].concat());
    let expected: BTreeSet<String> = ["etc/kubernetes/admin.conf", "etc/kubernetes/pki/haproxy_client.pem"]
        .iter()
        .map(|path| format!("controller-1/{path}"))
        .collect();
    assert_eq!(differing(&before, &layout.listing()), expected);
    let combined = "controller-1/etc/kubernetes/pki/haproxy_client.pem";
    layout.verifies("controller-1/etc/kubernetes/pki/ca.crt", combined);
    layout.is_pair(combined, combined);
    let config = std::fs::read_to_string(layout.at("controller-1/etc/kubernetes/admin.conf")).unwrap();
    let data = config.lines().find_map(|line| line.trim().strip_prefix("client-certificate-data: ")).unwrap();
    let shown =
        layout.run("bash", &["-c", &format!("echo {data} | base64 -d | openssl x509 -noout -fingerprint")]);
    let in_file = layout.run("openssl", &["x509", "-in", combined, "-noout", "-fingerprint"]);
    assert_eq!(shown, in_file);
}

#[test]
fn a_controller_of_starlingx_starts_with_a_custom_root() {
    let name = "a_controller_of_starlingx_starts_with_a_custom_root";
    let Some(layout) = Layout::make(name, "starlingx", &["300", "300"], "starlingx/own-root.yaml") else {
        return;
    };
    for made in ["etc/kubernetes", "etc/etcd"] {
        std::fs::remove_dir_all(layout.at("controller-0").join(made)).unwrap();
    }
    layout.run("bash", &["-c", "openssl req -x509 -newkey rsa:2048 -nodes -keyout etcd-root.key -out etcd-root.crt -subj '/O=Example/CN=Example etcd root' -days 3650 -addext keyUsage=critical,keyCertSign,cRLSign 2>/dev/null; chmod 600 etcd-root.key"]);
    layout.pki(0, &["apply", "-f", "spec.yaml", "--yes"]);
    layout.run("cmp", &["etcd-root.crt", "controller-0/etc/etcd/ca.crt"]);
    layout.is_pair("controller-0/etc/etcd/ca.crt", "controller-0/etc/etcd/ca.key");
    for leaf in [
        "etc/etcd/etcd-server.crt",
        "etc/etcd/etcd-client.crt",
        "etc/kubernetes/pki/apiserver-etcd-client.crt",
    ] {
        layout.verifies("etcd-root.crt", &format!("controller-0/{leaf}"));
    }
    layout.pki(0, &["plan", "-f", "spec.yaml", "--exit-code"]);
}

/// As ACK's documentation moves it for a larger disk: root's link, in a directory of etcd.
#[test]
fn an_etcd_directory_of_ack_behind_roots_link_is_seen_whole_declared_and_blocked_until_it_is() {
    let name = "an_etcd_directory_of_ack_behind_roots_link_is_seen_whole_declared_and_blocked_until_it_is";
    let Some(layout) = Layout::make(name, "ack", &["1826", "300"], "ack/on-a-master.yaml") else { return };
    let manifest = "apiVersion: v1\nkind: Pod\nmetadata: { name: kube-apiserver, namespace: kube-system }\nspec:\n  containers:\n  - name: kube-apiserver\n    \
        image: registry/kube-apiserver:v1.20.4\n    command: [kube-apiserver, --advertise-address=10.0.0.11]\n";
    std::fs::create_dir_all(layout.at("master-1/etc/kubernetes/manifests")).unwrap();
    std::fs::write(layout.at("master-1/etc/kubernetes/manifests/kube-apiserver.yaml"), manifest).unwrap();
    layout.run(
        "bash",
        &["-c", "mkdir -p master-1/data/etcd; mv master-1/var/lib/etcd/cert master-1/data/etcd/cert; ln -s /data/etcd/cert master-1/var/lib/etcd/cert"],
    );
    // Without a spec every certificate has its row, with its end.
    let report = layout.pki(0, &["status", "--root", "master-1", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&report).unwrap();
    for certificate in report["certificates"].as_array().unwrap() {
        assert!(certificate["certificate"]["expires"].is_string(), "{certificate}");
    }
    assert_eq!(report["certificates"].as_array().unwrap().len(), 11, "{report}");
    let told = crate::support::program::words(&layout.pki(0, &["status", "--root", "master-1"]));
    assert!(told.contains("/var/lib/etcd/cert is a link to /data/etcd/cert of root (0)"), "{told}");
    // What adopt says of the next plan is what that does, and it has nothing to do.
    let adopted = pki(layout.path(), &["adopt", "--root", "master-1=master-1", "-o", "adopted.yaml"]);
    let said = stderr(&adopted);
    assert!(said.contains("The next plan would change nothing."), "{said}");
    let spec = std::fs::read_to_string(layout.at("adopted.yaml")).unwrap();
    let entry = "    etcd-cert: { path: /data/etcd/cert, link: /var/lib/etcd/cert }";
    assert!(spec.contains(entry), "{spec}");
    layout.pki(0, &["plan", "-f", "adopted.yaml", "--exit-code"]);
    // Undeclared it blocks, with the entry to paste.
    let (before, _) = spec.split_once("  directories:\n").unwrap();
    std::fs::write(layout.at("undeclared.yaml"), before).unwrap();
    let blocked =
        pki(layout.path(), &["plan", "-f", "undeclared.yaml", "--replace", "etcd-server", "--exit-code"]);
    let told = crate::support::program::words(&stdout(&blocked));
    assert_eq!(code(&blocked), 3, "{told}{}", stderr(&blocked));
    assert!(told.contains("etcd-cert: { path: /data/etcd/cert, link: /var/lib/etcd/cert }"), "{told}");
}
