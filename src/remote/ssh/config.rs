//! What this program adds to the configuration of the OpenSSH client of whoever runs it.
//!
//! What enters is where the known host keys of the spec and the user's own configuration are; what leaves is a configuration that includes the latter. The first value
//! of a word counts, so what no configuration may take back stands before the `Include`; only lists that add up, such as `SendEnv`, are cleared behind it. Pure.

use std::path::Path;

/// What counts for every connection. A jump host is connected to with this file as well.
const ALWAYS: [&str; 15] = [
    "BatchMode yes",
    "StrictHostKeyChecking yes",
    "UpdateHostKeys no",
    "ForwardAgent no",
    "ForwardX11 no",
    "GSSAPIDelegateCredentials no",
    "AddKeysToAgent no",
    "ClearAllForwardings yes",
    "Tunnel no",
    "PermitLocalCommand no",
    "RemoteCommand none",
    "RequestTTY no",
    "ServerAliveCountMax 3",
    // Tells the host key.
    "LogLevel DEBUG1",
    "EnableSSHKeysign no",
];

/// What counts as well where the spec names the host keys: no other source of keys may accept one that it does not name.
const ONLY_THE_SPECS_KEYS: [&str; 3] =
    ["GlobalKnownHostsFile /dev/null", "VerifyHostKeyDNS no", "NoHostAuthenticationForLocalhost no"];

/// A program of the user that names host keys. Without keys in the spec it is as good a source as the user's files are. OpenSSH knows the word since 8.4, and ends
/// at words that it does not know; no configuration of an older one can have it.
const NO_COMMAND: &str = "KnownHostsCommand none";

/// The configuration: `known` is the file with the host keys of the spec, `own` the configuration that is used instead of the user's and the system's.
pub(super) fn text(known: Option<&Path>, own: Option<&Path>, knows_command: bool) -> String {
    let mut lines: Vec<String> = ALWAYS.iter().map(|line| (*line).to_owned()).collect();
    if let Some(known) = known {
        lines.push(format!("UserKnownHostsFile {}", known.display()));
        lines.extend(ONLY_THE_SPECS_KEYS.iter().map(|line| (*line).to_owned()));
        if knows_command {
            lines.push(NO_COMMAND.to_owned());
        }
    }
    lines.push(match own {
        Some(config) => format!("Include {}", quoted(config)),
        None => "Include ~/.ssh/config /etc/ssh/ssh_config".to_owned(),
    });
    let first: String = lines.iter().map(|line| format!("  {line}\n")).collect();
    // The patterns of the user's `Host` lines end with the file that holds them; said again, so that nothing depends on that.
    format!("Host *\n{first}Host *\n  SendEnv -*\n")
}

/// A path as one word of OpenSSH's configuration.
fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display().to_string().replace('\\', "\\\\").replace('"', "\\\""))
}

#[cfg(test)]
mod tests {
    #![expect(clippy::disallowed_methods, reason = "the tests ask the OpenSSH client what it makes of files")]

    use std::collections::BTreeMap;
    use std::process::{Command, Stdio};

    use super::*;

    /// What a user may have written that must not count, and what OpenSSH says where it does not.
    const WORDS: [(&str, &str); 22] = [
        ("BatchMode no", "batchmode yes"),
        ("StrictHostKeyChecking no", "stricthostkeychecking true"),
        ("UpdateHostKeys yes", "updatehostkeys false"),
        ("ForwardAgent yes", "forwardagent no"),
        ("ForwardX11 yes", "forwardx11 no"),
        ("GSSAPIDelegateCredentials yes", "gssapidelegatecredentials no"),
        ("AddKeysToAgent yes", "addkeystoagent false"),
        ("ClearAllForwardings no", "clearallforwardings yes"),
        ("LocalForward 1234 localhost:22", "localforward"),
        ("RemoteForward 1234 localhost:22", "remoteforward"),
        ("DynamicForward 1234", "dynamicforward"),
        ("Tunnel yes", "tunnel false"),
        ("PermitLocalCommand yes", "permitlocalcommand no"),
        ("RemoteCommand /bin/evil", "remotecommand"),
        ("RequestTTY force", "requesttty false"),
        ("SendEnv SECRET", "sendenv"),
        ("EnableSSHKeysign yes", "enablesshkeysign no"),
        ("UserKnownHostsFile /evil", "userknownhostsfile /known"),
        ("GlobalKnownHostsFile /evil", "globalknownhostsfile /dev/null"),
        ("VerifyHostKeyDNS yes", "verifyhostkeydns false"),
        ("NoHostAuthenticationForLocalhost yes", "nohostauthenticationforlocalhost no"),
        ("KnownHostsCommand /bin/evil", "knownhostscommand"),
    ];

    /// What OpenSSH makes of a user's configuration behind ours.
    fn effect(users: &str) -> BTreeMap<String, Vec<String>> {
        let folder = tempfile::tempdir().unwrap();
        let (own, ours) = (folder.path().join("with \"space"), folder.path().join("ours"));
        std::fs::write(&own, users).unwrap();
        std::fs::write(&ours, text(Some(Path::new("/known")), Some(&own), true)).unwrap();
        let mut ssh = Command::new("ssh");
        let told = ssh.arg("-F").arg(&ours).args(["-G", "node"]).stdin(Stdio::null()).output().unwrap();
        assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
        let mut words: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for line in String::from_utf8(told.stdout).unwrap().lines() {
            let (word, value) = line.split_once(' ').unwrap_or((line, ""));
            words.entry(word.to_owned()).or_default().push(value.to_owned());
        }
        words
    }

    #[test]
    fn no_configuration_of_the_user_takes_anything_back() {
        let all: String = WORDS.iter().map(|(users, _)| format!("{users}\n")).collect();
        let hosts = format!("SendEnv LANG LC_*\nHost node\n{all}Match all\n{all}");
        let single = WORDS.iter().map(|(users, _)| format!("{users}\n"));
        for users in single.chain([hosts]) {
            let words = effect(&users);
            for (_, expected) in WORDS {
                match expected.split_once(' ') {
                    Some((word, value)) => assert_eq!(words[word], [value], "{word} with {users}"),
                    // What is none, or an empty list, is not told.
                    None => assert_eq!(words.get(expected), None, "with {users}"),
                }
            }
        }
    }

    #[test]
    fn what_is_the_users_own_business_stays() {
        let words = effect("User operator\nProxyJump door\nPort 2222\nIdentityFile /id\n");
        let told = ["user", "proxyjump", "port", "identityfile"].map(|word| words[word].join(" "));
        assert_eq!(told, ["operator", "door", "2222", "/id"]);
        let without_keys = text(None, None, true);
        assert!(!without_keys.contains("KnownHosts"), "{without_keys}");
        assert!(!text(Some(Path::new("/known")), None, false).contains("KnownHostsCommand"));
    }
}
