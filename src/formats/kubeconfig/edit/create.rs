//! A kubeconfig as kubeadm writes it.
//!
//! What enters is a server, names and an identity; what leaves is the text, keys in alphabetical order as client-go's serialiser has them. Pure.

use zeroize::Zeroizing;

use super::{EditError, NewIdentity, base64_of, certificates_pem};
use crate::types::secret::Secret;

/// A new kubeconfig with one server and one identity (kubeadm 1.20 `kubeconfigutil.CreateWithCerts`).
pub fn create(
    server: &str,
    user: &str,
    cluster: &str,
    identity: &NewIdentity<'_>,
) -> Result<Secret, EditError> {
    let Some(trusted) = identity.trusted else { return Err(EditError::NoTrusted) };
    let pem = |certificates: &[_]| Secret::new(certificates_pem(certificates).into_bytes());
    let (authority, certificate) = (base64_of(&pem(trusted)), base64_of(&pem(identity.certificates)));
    let key = base64_of(identity.key_pem);
    let context = scalar(&format!("{user}@{cluster}"));
    let (server, user, cluster) = (scalar(server), scalar(user), scalar(cluster));
    let parts = [
        "apiVersion: v1\nclusters:\n- cluster:\n    certificate-authority-data: ",
        &authority,
        "\n    server: ",
        &server,
        "\n  name: ",
        &cluster,
        "\ncontexts:\n- context:\n    cluster: ",
        &cluster,
        "\n    user: ",
        &user,
        "\n  name: ",
        &context,
        "\ncurrent-context: ",
        &context,
        "\nkind: Config\npreferences: {}\nusers:\n- name: ",
        &user,
        "\n  user:\n    client-certificate-data: ",
        &certificate,
        "\n    client-key-data: ",
        &key,
        "\n",
    ];
    let mut text = Zeroizing::new(String::with_capacity(parts.iter().map(|part| part.len()).sum()));
    parts.iter().for_each(|part| text.push_str(part));
    Ok(Secret::from(text))
}

/// A text without quotes where every reader takes it for a text, else in double quotes.
fn scalar(text: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'/' | b':' | b'@');
    let is_plain = text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(plain)
        && !text.ends_with(':')
        && text.contains(['-', ':', '@', '.'])
        || matches!(text, "kubernetes" | "default");
    if is_plain { text.to_owned() } else { serde_json::Value::from(text).to_string() }
}
