//! What is refused of what comes back, each by its code, with what was expected and found.

use super::*;

/// One certificate that is wrong, and what must be said of it.
struct Wrong {
    make: fn(&Elsewhere),
    code: &'static str,
    says: &'static [&'static str],
}

const APISERVER: &str = "apiserver@cp-1";

/// Signs with dates, which `openssl x509` cannot.
fn sign_between(elsewhere: &Elsewhere, from: &str, until: &str) {
    let config = "[ca]\ndefault_ca=own\n[own]\ndatabase=index\nserial=serial-of-ca\nnew_certs_dir=.\ndefault_md=sha256\npolicy=any\n\
        copy_extensions=copy\nunique_subject=no\nrand_serial=yes\n[any]\ncommonName=supplied\norganizationName=optional\n";
    std::fs::write(elsewhere.made.at("elsewhere/ca.cnf"), config).unwrap();
    std::fs::write(elsewhere.made.at("elsewhere/index"), "").unwrap();
    elsewhere.openssl(&format!(
        "ca -batch -notext -config ca.cnf -cert ca.crt -keyfile ca.key -startdate {from} -enddate {until} -in ../{REQUESTS}/{APISERVER}.csr \
         -out ../signed/{APISERVER}.crt"
    ));
}

#[test]
fn whatever_is_wrong_with_a_certificate_is_said_by_name() {
    let wrongs = [
        Wrong {
            make: |e| {
                e.openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout own.key -out own.csr -subj /CN=kube-apiserver");
                let names = "subjectAltName=DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,DNS:kubernetes.default.svc.cluster.local,DNS:cp-1,DNS:api.prod-eu1.example,IP:10.96.0.1,IP:10.0.0.11\n";
                std::fs::write(e.made.at("elsewhere/own.ext"), names).unwrap();
                e.openssl(&format!("x509 -req -in own.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 730 -extfile own.ext -out ../signed/{APISERVER}.crt"));
            },
            code: "PKI2010",
            says: &[
                "is for another key: the request has the spki ",
                "have apiserver@cp-1.csr signed as it is",
            ],
        },
        Wrong {
            make: |e| {
                // As every CA that kubeadm makes is called, to the byte.
                e.openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out other.key");
                e.openssl("x509 -in ca.crt -signkey other.key -days 3650 -out other.crt");
                e.sign_by("other", APISERVER, "-copy_extensions copy -days 730");
            },
            code: "PKI2011",
            says: &[
                "the key of none of that name made the signature",
                "ca on cp-1 is `CN=kubernetes`, sha256 ",
            ],
        },
        Wrong {
            make: |e| {
                // The same letters in other bytes.
                e.ca("other", "/CN=kubernetes", None);
                e.sign_by("other", APISERVER, "-copy_extensions copy -days 730");
            },
            code: "PKI2011",
            says: &["was signed by another CA", "programs compare the bytes"],
        },
        Wrong {
            make: |e| {
                e.ca("other", "/CN=other", None);
                e.sign_by("other", APISERVER, "-copy_extensions copy -days 730");
                e.join(&["signed/apiserver@cp-1.crt", "elsewhere/other.crt"], "signed/apiserver@cp-1.crt");
            },
            code: "PKI2011",
            says: &["its chain ends in `CN=other`"],
        },
        Wrong {
            make: |e| {
                e.ca("issuing", "/CN=issuing", Some("ca"));
                e.sign_by("issuing", APISERVER, "-copy_extensions copy -days 730");
            },
            code: "PKI2012",
            says: &[
                "comes without the chain to its CA: it was issued by `CN=issuing`",
                "if `CN=issuing` is an intermediate CA under `CN=kubernetes`, append its certificate to the file",
            ],
        },
        Wrong {
            make: |e| {
                e.ca("upper", "/CN=upper", Some("ca"));
                e.ca("issuing", "/CN=issuing", Some("upper"));
                e.sign_by("issuing", APISERVER, "-copy_extensions copy -days 730");
                e.join(
                    &["signed/apiserver@cp-1.crt", "elsewhere/upper.crt", "elsewhere/issuing.crt"],
                    "signed/apiserver@cp-1.crt",
                );
            },
            code: "PKI2013",
            says: &[
                "write these, in this order, and no others: `CN=kube-apiserver`, then `CN=issuing`, then `CN=upper`",
            ],
        },
        Wrong {
            make: |e| {
                e.openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout no-ca.key -out no-ca.csr -subj /CN=no-ca");
                e.openssl("x509 -req -in no-ca.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 999 -out no-ca.crt");
                e.sign_by("no-ca", APISERVER, "-copy_extensions copy -days 730");
                e.join(&["signed/apiserver@cp-1.crt", "elsewhere/no-ca.crt"], "signed/apiserver@cp-1.crt");
            },
            code: "PKI2014",
            says: &["it is no certificate authority"],
        },
        Wrong {
            make: |e| sign_between(e, "20240101000000Z", "20250101000000Z"),
            code: "PKI2015",
            says: &["has expired: it ended 2025-01-01 00:00Z"],
        },
        Wrong {
            make: |e| sign_between(e, "20910101000000Z", "20920101000000Z"),
            code: "PKI2015",
            says: &["is not valid yet: it begins 2091-01-01 00:00Z"],
        },
        Wrong {
            make: |e| e.sign_by("ca", APISERVER, "-copy_extensions copy -days 365"),
            code: "PKI2016",
            says: &["would be due at once", "renewBefore is 400d"],
        },
        Wrong {
            make: |e| e.sign(APISERVER, " -subj /O=Example/CN=kube-apiserver"),
            code: "PKI2017",
            says: &[
                "the request asks for `CN=kube-apiserver`, and the certificate has `O=Example, CN=kube-apiserver`",
            ],
        },
        Wrong {
            make: |e| e.sign_by("ca", APISERVER, "-days 730"),
            code: "PKI2018",
            says: &[
                "lacks names of the request: api.prod-eu1.example, ",
                "IP 10.96.0.1",
                "-copy_extensions copy",
            ],
        },
        Wrong {
            make: |e| {
                let text = e.openssl(&format!("req -in ../{REQUESTS}/{APISERVER}.csr -noout -text"));
                let names = text.lines().find(|line| line.contains("DNS:kubernetes")).unwrap();
                let names = names.trim().replace("IP Address:", "IP:").replace(", ", ",");
                let extensions = format!("extendedKeyUsage=clientAuth\nsubjectAltName={names}\n");
                std::fs::write(e.made.at("elsewhere/client.ext"), extensions).unwrap();
                e.sign_by("ca", APISERVER, "-days 730 -extfile client.ext");
            },
            code: "PKI2020",
            says: &["may not be used as server"],
        },
        Wrong {
            make: |e| {
                e.sign(APISERVER, "");
                e.join(&["signed/apiserver@cp-1.crt", "elsewhere/ca.key"], "signed/apiserver@cp-1.crt");
            },
            code: "PKI2003",
            says: &["holds a private key"],
        },
        Wrong {
            make: |e| e.join(&[&format!("{REQUESTS}/{APISERVER}.csr")], "signed/apiserver@cp-1.crt"),
            code: "PKI2002",
            says: &["holds no certificate"],
        },
        Wrong {
            make: |e| std::fs::create_dir(e.made.at("signed/apiserver@cp-1.crt")).unwrap(),
            code: "PKI2002",
            says: &["is a directory"],
        },
        Wrong {
            make: |e| {
                e.sign(APISERVER, "");
                e.rename("apiserver@cp-1.crt", "apiserver-cp-1.crt");
            },
            code: "PKI2001",
            says: &["is not called after any certificate", "there wait: apiserver@cp-1.crt"],
        },
        Wrong {
            make: |e| {
                e.sign(APISERVER, "");
                e.rename("apiserver@cp-1.crt", "etcd-server@cp-1.crt");
            },
            code: "PKI2001",
            says: &["whose authority is not kept elsewhere"],
        },
        Wrong {
            make: |e| {
                e.sign(APISERVER, "");
                e.rename("apiserver@cp-1.crt", "apiserver@cp-2.crt");
            },
            code: "PKI2001",
            says: &["no request of it waits on cp-2"],
        },
    ];
    let elsewhere = Elsewhere::asked();
    for Wrong { make, code, says } in wrongs {
        std::fs::remove_dir_all(elsewhere.made.at("signed")).unwrap();
        std::fs::create_dir(elsewhere.made.at("signed")).unwrap();
        make(&elsewhere);
        let said = elsewhere.refused();
        assert!(said.contains(&format!("error[{code}]")), "{code}\n{said}");
        assert_eq!(said.matches("error[").count(), 1, "{code} alone\n{said}");
        for part in says {
            assert!(said.contains(part), "{code}: {part}\n{said}");
        }
    }
    elsewhere.made.no_secret_was_told();
}

#[test]
fn every_fault_of_every_file_is_said_in_one_run() {
    let elsewhere = Elsewhere::new();
    elsewhere.apply(&["--only", "apiserver", "--only", "admin.conf"]);
    elsewhere.sign_all();
    // Two were given each other's names, one was signed without anything that it asks for, and one is somebody's notes.
    elsewhere.rename("apiserver@cp-1.crt", "kept");
    elsewhere.rename("apiserver@cp-2.crt", "apiserver@cp-1.crt");
    elsewhere.rename("kept", "apiserver@cp-2.crt");
    elsewhere.ca("other", "/CN=kubernetes", None);
    elsewhere.sign_by("other", "admin.conf@cp-3", "-subj /CN=kubernetes-admin -days 30");
    std::fs::write(elsewhere.made.at("signed/notes.pem"), "call them on monday\n").unwrap();
    let said = elsewhere.refused();
    for (code, count) in
        [("PKI2002", 1), ("PKI2010", 2), ("PKI2011", 1), ("PKI2016", 1), ("PKI2017", 1), ("PKI2018", 2)]
    {
        assert_eq!(said.matches(&format!("error[{code}]")).count(), count, "{code}\n{said}");
    }
    assert!(said.contains("which waits for apiserver@cp-2"), "{said}");
    assert!(said.contains("it answers the request of apiserver@cp-2: name it apiserver@cp-2.crt"), "{said}");
    assert!(said.contains("the request asks for `O=kubeadm:cluster-admins, CN=kubernetes-admin`"), "{said}");
    assert!(said.contains("8 errors. `pki explain PKI2"), "{said}");
}

#[test]
fn names_that_are_excluded_are_refused() {
    let only =
        "  certificates: { apiserver: { names: { only: { dns: [api.example], ip: [10.0.0.11] } } } }\n";
    let elsewhere = Elsewhere::with(&format!("{EXTERNAL}{only}"));
    elsewhere.apply(&["--only", "apiserver@cp-1"]);
    std::fs::write(
        elsewhere.made.at("elsewhere/more.ext"),
        "subjectAltName=DNS:api.example,DNS:www.example,IP:10.0.0.11\n",
    )
    .unwrap();
    elsewhere.sign_by("ca", "apiserver@cp-1", "-days 730 -extfile more.ext");
    let said = elsewhere.refused();
    assert!(said.contains("error[PKI2019]") && said.contains("names.only excludes: www.example"), "{said}");
}

#[test]
fn what_lies_beside_the_certificates_is_left_alone() {
    let elsewhere = Elsewhere::asked();
    // Whoever signs in place has the requests, and a CA's serial numbers, beside them.
    std::fs::remove_dir(elsewhere.made.at("signed")).unwrap();
    std::fs::copy(elsewhere.made.at("elsewhere/ca.key"), elsewhere.made.at(REQUESTS).join("ca.key")).unwrap();
    std::os::unix::fs::symlink(elsewhere.made.at(REQUESTS), elsewhere.made.at("signed")).unwrap();
    elsewhere.sign("apiserver@cp-1", "");
    elsewhere.bring(&["--only", "apiserver@cp-1"]);
    assert!(elsewhere.waiting().is_empty());
}

#[test]
fn a_directory_that_is_not_there_is_said() {
    let elsewhere = Elsewhere::asked();
    let output = elsewhere.made.pki(&["plan", "-f", "spec.yaml", "--certificates", "nowhere"]);
    assert_eq!(program::code(&output), 1);
    assert!(program::stderr(&output).contains("cannot read `nowhere`"), "{}", program::stderr(&output));
    let output = elsewhere.made.pki(&["apply", "plan.json", "--yes", "--certificates", "signed"]);
    assert_eq!(program::code(&output), 64);
}
