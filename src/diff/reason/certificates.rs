//! Rows of the table of reasons: what is wrong with a certificate or a key by itself, or with the certificate that issued it.
//!
//! What enters are the tables that come after this one and the rows before it; what leaves is handed on to the next. The names that rows use are those of `reason`.

/// Hands on the rows that it was given, with its own behind them.
macro_rules! certificates {
    ([$next:ident $($after:ident)*] $($before:tt)*) => {
        $next! { [$($after)*] $($before)*
            /// The file is not there.
            Missing, reissues: true, |f| f.write_str("missing");
            /// The user asked for it.
            Requested, reissues: true, |f| f.write_str("asked for with --replace");
            /// Its signed certificate was brought.
            Signed {
                /// The file, as it is called on the machine that runs `pki`.
                file: String,
            }, reissues: true, |f| write!(f, "its signed certificate was brought, {}", escaped(file));
            /// Its request waits on the node for a certificate that is signed elsewhere.
            AwaitsCertificate {
                /// The file with the key and the request.
                path: String,
            }, reissues: false, |f| write!(f, "its request waits for a certificate: {}", escaped(path));
            /// The remaining life is within the renewal window.
            ExpiresSoon {
                /// When it ends.
                not_after: Timestamp,
                /// The window.
                renew_before: Duration,
            }, reissues: true, |f| write!(f, "expires {} and renewBefore is {renew_before}", date(*not_after));
            /// It has ended.
            Expired {
                /// When it ended.
                not_after: Timestamp,
            }, reissues: true, |f| write!(f, "expired {}", instant(*not_after));
            /// It has not begun.
            NotYetValid {
                /// When it begins.
                not_before: Timestamp,
            }, reissues: true, |f| write!(f, "not valid before {}", instant(*not_before));
            /// It was issued before the instant that the spec names.
            IssuedBefore {
                /// When it was issued.
                not_before: Timestamp,
                /// The instant.
                cut_off: Timestamp,
            }, reissues: true, |f| write!(f, "issued {}, before {}", instant(*not_before), instant(*cut_off));
            /// Its issuer ends no later than it does, so renewing it would gain nothing.
            IssuerEndsFirst {
                /// When its issuer ends.
                issuer_not_after: Timestamp,
            }, reissues: false, |f| {
                write!(f, "its issuer ends {}, so renewing it would gain nothing", date(*issuer_not_after))
            };
            /// None of the authority's certificates on this node issued it.
            WrongIssuer {
                /// The issuer that the certificate names.
                issuer: String,
                /// The authority that should have issued it.
                authority: AuthorityName,
            }, reissues: false, |f| {
                write!(
                    f,
                    "not signed by this node's {authority}; the issuer that it names is {}",
                    spelled(issuer)
                )
            };
            /// The subject is not one of those that the profile or the spec allows.
            SubjectDiffers {
                /// The subject on disk.
                found: String,
                /// The subject that it should be.
                wanted: String,
            }, reissues: true, |f| write!(f, "subject is {}, not {}", spelled(found), spelled(wanted));
            /// Names are missing.
            NamesMissing {
                /// The missing DNS names.
                dns: Vec<String>,
                /// The missing IP addresses.
                ip: Vec<IpAddr>,
            }, reissues: true, |f| write!(f, "lacks the names {}", names(dns, ip));
            /// Names are there that the spec's `names.only` excludes.
            NamesUnwanted {
                /// The DNS names.
                dns: Vec<String>,
                /// The IP addresses.
                ip: Vec<IpAddr>,
            }, reissues: true, |f| write!(f, "has names that names.only excludes: {}", names(dns, ip));
            /// The extended key usages are others.
            UsagesDiffer {
                /// Those that are missing.
                missing: Vec<Usage>,
            }, reissues: true, |f| {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                write!(f, "may not be used as {}", missing.join(" and "))
            };
            /// The key has another algorithm than the spec declares.
            KeyAlgorithmDiffers {
                /// The algorithm on disk.
                found: KeyAlgorithm,
                /// The algorithm that it should be.
                wanted: KeyAlgorithm,
            }, reissues: true, |f| write!(f, "key is {found}, declared is {wanted}");
            /// The private key does not belong to the certificate.
            KeyMismatch {
                /// SHA-256 of the certificate's public key (SPKI).
                certificate: Sha256,
                /// SHA-256 of the public key that belongs to the private key.
                key: Sha256,
            }, reissues: true, |f| write!(
                f,
                "private key does not match: certificate has spki {}, key file {}",
                certificate.short(),
                key.short()
            );
            /// No public key by which tokens are checked belongs to the private key of a key pair.
            PublicKeyMismatch {
                /// SHA-256 of the first public key (SPKI) in the file.
                public: Sha256,
                /// SHA-256 of each further one.
                #[serde(default, skip_serializing_if = "Vec::is_empty")]
                further: Vec<Sha256>,
                /// SHA-256 of the public key that belongs to the private key.
                key: Sha256,
            }, reissues: false, |f| {
                let held: Vec<String> = [public].into_iter().chain(further).map(Sha256::short).collect();
                let (held, key) = (held.join(", "), key.short());
                write!(f, "public key does not match: its file holds {held}, the private key belongs to {key}")
            };
            /// The private key is not there.
            KeyMissing, reissues: true, |f| f.write_str("private key missing");
            /// The public key of a key pair is not there.
            PublicKeyMissing, reissues: false, |f| f.write_str("public key missing");
            /// The certificate of an authority may not sign others.
            NotACa, reissues: false, |f| f.write_str("is no CA certificate, so nothing it signed is accepted");
            /// It is valid longer than the certificate that issued it.
            OutlivesIssuer {
                /// When it ends.
                not_after: Timestamp,
                /// When its issuer ends.
                issuer_not_after: Timestamp,
            }, reissues: false, |f| write!(
                f,
                "valid until {}, longer than its issuer ({})",
                date(*not_after),
                date(*issuer_not_after)
            );
            /// The authority issued it, yet no verifier with the authority's certificate would accept it.
            NotTrusted {
                /// Why, in the verifier's words.
                because: String,
            }, reissues: true, |f| write!(f, "no verifier would accept it: {}", escaped(because));
            /// It is signed with a hash that Go refuses.
            WeakSignature {
                /// The hash.
                hash: WeakHash,
                /// Whether it is certain that the authority signed it.
                is_certain: bool,
            }, reissues: true, |f| weak_signature(*hash, *is_certain, f);
            /// Its key is one that a verifier does not take.
            WeakKey {
                /// The algorithm of the key.
                algorithm: KeyAlgorithm,
            }, reissues: true, |f| weak_key(algorithm, f);
            /// Go takes it, and OpenSSL does not.
            RefusedByOpenssl {
                /// Why.
                because: String,
            }, reissues: false, |f| write!(
                f,
                "{}: Go programs take it, and those with OpenSSL, such as haproxy, nginx and curl, refuse it",
                escaped(because)
            );
        }
    };
}

pub(super) use certificates;
