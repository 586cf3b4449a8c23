//! Why a node could not be reached over SSH.
//!
//! What enters is the log of the OpenSSH client, or what the programs on the node said instead of serving it; what leaves is one of a closed list of reasons,
//! in words that name the way out. The client's texts are those of OpenSSH 8.4 to 9.2 (sshconnect.c, ssh.c, clientloop.c), which are the same in any locale.
//! Whatever of it is shown comes from the network: the words of both ends are bounded, and whoever shows them escapes them.

use super::target::SshTarget;

/// Why there is no connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SshError {
    /// The name has no address.
    #[error("{host} has no address: the name cannot be resolved")]
    NameNotFound {
        /// What was looked up.
        host: String,
    },
    /// No way leads there.
    #[error("no route to {host}: is it on, and is this network the right one?")]
    NoRoute {
        /// What was to be connected to.
        host: String,
    },
    /// Nothing listens.
    #[error("{host} refuses the connection: sshd does not listen there, or a firewall rejects it")]
    Refused {
        /// What was to be connected to.
        host: String,
    },
    /// No answer in time.
    #[error("{host} did not answer within {seconds} s")]
    TimedOut {
        /// What was to be connected to.
        host: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The host shows a key, and none is known for it.
    #[error(
        "the host key of {host} is not known: it shows {}. Compare it with the node's own (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) and put it into \
         `knownHosts` or `hostKeys` of the spec, or into your known_hosts", shown.as_deref().unwrap_or("one that ssh does not tell")
    )]
    HostKeyUnknown {
        /// What was connected to.
        host: String,
        /// The type and SHA-256 fingerprint of the key that it shows.
        shown: Option<String>,
    },
    /// The host shows another key than the known one.
    #[error(
        "the host key of {host} has CHANGED: known is {}, and it shows {}. If the node was installed anew, replace the key in {place}; if not, somebody may be \
         in between", known.as_deref().unwrap_or("another one"), shown.as_deref().unwrap_or("one that ssh does not tell")
    )]
    HostKeyChanged {
        /// What was connected to.
        host: String,
        /// The type and SHA-256 fingerprint of the key that is known.
        known: Option<String>,
        /// The type and SHA-256 fingerprint of the key that it shows.
        shown: Option<String>,
        /// Where the known one is written.
        place: String,
    },
    /// The login is refused.
    #[error("{host} refuses the login{}: {methods}", user.as_ref().map_or(String::new(), |user| format!(" as {user}")))]
    AuthenticationRefused {
        /// What was connected to.
        host: String,
        /// The user of the spec.
        user: Option<String>,
        /// What ssh says of it.
        methods: String,
    },
    /// sudo does not allow it.
    #[error(
        "sudo is refused on {host}: {said}. `sudo: true` needs a rule with NOPASSWD for the user of the connection"
    )]
    SudoRefused {
        /// What was connected to.
        host: String,
        /// What sudo said.
        said: String,
    },
    /// The node has no program of ours that fits, and ours is for another kind of machine.
    #[error(
        "{host} is {node} and this pki is for {own}: install a pki {version} for {node} on it, in the PATH of the login (such as /usr/local/bin/pki)"
    )]
    OtherArchitecture {
        /// What was connected to.
        host: String,
        /// The node's system and processor.
        node: String,
        /// Ours.
        own: String,
        /// Our version.
        version: &'static str,
    },
    /// The copied program does not run there.
    #[error(
        "the copy of pki does not run on {host}: {said}. Its C library is too old for this build: use a static build (README, \"Static build\") here, or install \
         pki {version} on the node, in the PATH of the login (such as /usr/local/bin/pki)"
    )]
    LibraryTooOld {
        /// What was connected to.
        host: String,
        /// What the loader said.
        said: String,
        /// Our version.
        version: &'static str,
    },
    /// There is no place on the node for a copy of the program.
    #[error(
        "{host} has no place to run a copy of pki from ({said}): install pki {version} on it, in the PATH of the login (such as /usr/local/bin/pki)"
    )]
    NoPlace {
        /// What was connected to.
        host: String,
        /// Which places were tried.
        said: String,
        /// Our version.
        version: &'static str,
    },
    /// There is no program that fits, and none may be copied there.
    #[error(
        "{host} has no pki of protocol {version}, and with --untrusted none is copied there: install pki on it, in the PATH of the login (such as /usr/local/bin/pki)"
    )]
    NotInstalled {
        /// What was connected to.
        host: String,
        /// Our version.
        version: &'static str,
    },
    /// What answers is not what should.
    #[error("what answers on {host} is not pki: {said}")]
    Protocol {
        /// What was connected to.
        host: String,
        /// What is wrong, with what was said instead.
        said: String,
    },
    /// The connection ended while it was being made.
    #[error("the connection to {host} ended: {said}")]
    Ended {
        /// What was connected to.
        host: String,
        /// What is known of it.
        said: String,
    },
    /// Something on this side.
    #[error("{host} cannot be connected to from here: {said}")]
    Here {
        /// What was to be connected to.
        host: String,
        /// What is wrong.
        said: String,
    },
}

/// Most characters of what the other end says.
const SAID_LIMIT: usize = 300;

/// What ssh's log, written at `DEBUG1`, says of a failure. `known_key` tells the fingerprint of a line of a known_hosts file.
pub(super) fn of_log(
    target: &SshTarget,
    log: &str,
    seconds: u64,
    known_key: impl Fn(&str, usize) -> Option<String>,
) -> SshError {
    let host = target.host.clone();
    let lines: Vec<&str> = log.lines().map(str::trim).collect();
    let has = |text: &str| lines.iter().any(|line| !is_debug(line) && line.contains(text));
    let after = |start: &str| lines.iter().rev().find_map(|line| line.strip_prefix(start)).map(str::to_owned);
    let shown = after("debug1: Server host key: ");
    if has("REMOTE HOST IDENTIFICATION HAS CHANGED") {
        let (place, known) = match offending(&lines) {
            Some((file, line)) => (format!("{file}:{line}"), known_key(file, line)),
            None => ("your known_hosts".to_owned(), None),
        };
        return SshError::HostKeyChanged { host, known, shown, place };
    }
    if has("Host key verification failed") || has("host key is known for") {
        return SshError::HostKeyUnknown { host, shown };
    }
    if has("Could not resolve hostname") {
        return SshError::NameNotFound { host };
    }
    if let Some(methods) =
        lines.iter().rev().find(|line| !is_debug(line) && line.contains("Permission denied ("))
    {
        let methods = bounded(methods);
        return SshError::AuthenticationRefused { host, user: target.user.clone(), methods };
    }
    if has("Too many authentication failures") {
        let methods = "too many keys were offered; name one with `IdentityFile` and `IdentitiesOnly` in your SSH configuration".to_owned();
        return SshError::AuthenticationRefused { host, user: target.user.clone(), methods };
    }
    // With several addresses the last one counts.
    if has("Connection timed out") || has("Operation timed out") || has("timed out during banner exchange") {
        return SshError::TimedOut { host, seconds };
    }
    if has("Connection refused") {
        return SshError::Refused { host };
    }
    if has("No route to host") || has("Network is unreachable") || has("Host is down") {
        return SshError::NoRoute { host };
    }
    let said = lines
        .iter()
        .filter(|line| !line.is_empty() && !is_debug(line))
        .copied()
        .collect::<Vec<_>>()
        .join("; ");
    let said = if said.is_empty() { "ssh does not say why".to_owned() } else { bounded(&said) };
    SshError::Ended { host, said }
}

fn is_debug(line: &str) -> bool {
    line.starts_with("debug1:") || line.starts_with("OpenSSH_")
}

/// The place of the known key that does not fit: `Offending ED25519 key in FILE:LINE`.
fn offending<'line>(lines: &[&'line str]) -> Option<(&'line str, usize)> {
    let place = lines
        .iter()
        .find_map(|line| line.strip_prefix("Offending ")?.split_once(" key in ").map(|(_, place)| place))?;
    let (file, line) = place.rsplit_once(':')?;
    Some((file, line.parse().ok()?))
}

/// What the far end said before it ended, instead of serving the node.
pub(super) enum RemoteFailure {
    /// There is no such program.
    NoProgram,
    /// Something else is wrong.
    Wrong(SshError),
}

/// What it means that a program on the node ended with this code and these words.
pub(super) fn of_program(target: &SshTarget, code: Option<i32>, words: &str) -> RemoteFailure {
    let host = target.host.clone();
    let said = bounded(words);
    let has = |text: &str| words.contains(text);
    if target.sudo && has("sudo:") {
        if has("command not found") {
            return RemoteFailure::NoProgram;
        }
        return RemoteFailure::Wrong(SshError::SudoRefused { host, said });
    }
    if target.sudo && code == Some(127) && has("sudo") {
        let said = "there is no sudo".to_owned();
        return RemoteFailure::Wrong(SshError::SudoRefused { host, said });
    }
    if code == Some(127) || has("command not found") || has("not found") && code.is_some_and(|code| code != 0)
    {
        return RemoteFailure::NoProgram;
    }
    let how = match code {
        None => "it ended with the connection".to_owned(),
        Some(code) => format!("it ended with {code}"),
    };
    let said = if said.is_empty() { how } else { format!("{how} and said: {said}") };
    RemoteFailure::Wrong(SshError::Protocol { host, said })
}

/// The beginning of a text, on one line.
pub(super) fn bounded(text: &str) -> String {
    let line = text
        .split(['\r', '\n'])
        .map(str::trim)
        .filter(|line| !line.is_empty())
        .collect::<Vec<_>>()
        .join("; ");
    match line.char_indices().nth(SAID_LIMIT) {
        None => line,
        Some((end, _)) => format!("{}...", line.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target() -> SshTarget {
        SshTarget { host: "10.0.0.11".to_owned(), user: Some("admin".to_owned()), ..SshTarget::default() }
    }

    fn of(log: &str) -> SshError {
        of_log(&target(), log, 30, |file, line| {
            (file == "/home/me/.ssh/known_hosts" && line == 3).then(|| "SHA256:old".to_owned())
        })
    }

    #[test]
    fn each_failure_of_ssh_has_its_own_words() {
        let cases = [
            (
                "ssh: Could not resolve hostname cp-9: Name or service not known",
                "10.0.0.11 has no address: the name cannot be resolved",
            ),
            (
                "debug1: connect to address 10.0.0.11 port 22: No route to host\nssh: connect to host 10.0.0.11 port 22: No route to host",
                "no route to 10.0.0.11: is it on, and is this network the right one?",
            ),
            (
                "ssh: connect to host 10.0.0.11 port 22: Connection refused",
                "10.0.0.11 refuses the connection: sshd does not listen there, or a firewall rejects it",
            ),
            (
                "ssh: connect to host 10.0.0.11 port 22: Connection timed out",
                "10.0.0.11 did not answer within 30 s",
            ),
            (
                "Connection timed out during banner exchange\nConnection to 10.0.0.11 port 22 timed out",
                "10.0.0.11 did not answer within 30 s",
            ),
            (
                "debug1: No more authentication methods to try.\nadmin@10.0.0.11: Permission denied (publickey).",
                "10.0.0.11 refuses the login as admin: admin@10.0.0.11: Permission denied (publickey).",
            ),
            (
                "kex_exchange_identification: Connection closed by remote host\nConnection closed by 10.0.0.11 port 22",
                "the connection to 10.0.0.11 ended: kex_exchange_identification: Connection closed by remote host; Connection closed by 10.0.0.11 port 22",
            ),
            ("debug1: one\ndebug1: two", "the connection to 10.0.0.11 ended: ssh does not say why"),
        ];
        for (log, words) in cases {
            assert_eq!(of(log).to_string(), words);
        }
    }

    #[test]
    fn a_host_key_is_named_by_fingerprint() {
        let unknown = of(
            "debug1: Server host key: ssh-ed25519 SHA256:abc\nNo ED25519 host key is known for 10.0.0.11 and you have requested strict checking.\nHost key verification failed.",
        );
        assert_eq!(
            unknown,
            SshError::HostKeyUnknown {
                host: "10.0.0.11".to_owned(),
                shown: Some("ssh-ed25519 SHA256:abc".to_owned())
            }
        );
        let changed = of(
            "debug1: Server host key: ssh-ed25519 SHA256:new\n@    WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED!     @\nOffending ED25519 key in /home/me/.ssh/known_hosts:3\nHost key verification failed.",
        );
        assert_eq!(
            changed,
            SshError::HostKeyChanged {
                host: "10.0.0.11".to_owned(),
                known: Some("SHA256:old".to_owned()),
                shown: Some("ssh-ed25519 SHA256:new".to_owned()),
                place: "/home/me/.ssh/known_hosts:3".to_owned(),
            }
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_told_from_one_that_fails() {
        let with_sudo = SshTarget { sudo: true, ..target() };
        let is_missing = |target: &SshTarget, code, words| {
            matches!(of_program(target, code, words), RemoteFailure::NoProgram)
        };
        assert!(is_missing(&target(), Some(127), "bash: pki: command not found"));
        assert!(is_missing(&with_sudo, Some(1), "sudo: pki: command not found"));
        assert!(!is_missing(&target(), Some(1), "something is wrong"));
        let refused = "sudo: a password is required";
        match of_program(&with_sudo, Some(1), refused) {
            RemoteFailure::Wrong(SshError::SudoRefused { said, .. }) => assert_eq!(said, refused),
            RemoteFailure::Wrong(other) => panic!("{other}"),
            RemoteFailure::NoProgram => panic!("sudo was refused"),
        }
    }

    #[test]
    fn what_is_said_is_bounded_and_on_one_line() {
        let long = bounded(&format!("first\r\n\n second {}", "x".repeat(10_000)));
        assert!(long.starts_with("first; second xxx") && long.len() < 320, "{long}");
    }
}
