//! Paths of a node as files on it name them, so that one file has one name. Nothing is looked at: what leaves is letters. Pure.

/// An absolute path as it is, a relative one against the directory of the file that names it. Kubernetes does this by the letters of
/// the paths, before any link (client-go `ResolveLocalPaths`, kubelet `resolveRelativePaths`), so `..` is taken out the same way.
pub fn beside(path: &str, named: &str) -> String {
    if named.starts_with('/') {
        return tidy(named);
    }
    let directory = path.rsplit_once('/').map_or("", |(directory, _)| directory);
    let mut names = Vec::new();
    for name in directory.split('/').chain(named.split('/')) {
        match name {
            "" | "." => {}
            ".." => {
                names.pop();
            }
            name => names.push(name),
        }
    }
    format!("/{}", names.join("/"))
}

/// The same path without doubled slashes and `.`, so that one file has one name.
pub fn tidy(path: &str) -> String {
    let names: Vec<&str> = path.split('/').filter(|name| !matches!(*name, "" | ".")).collect();
    format!("/{}", names.join("/"))
}

/// What a file is called in its directory.
pub fn file_name(path: &str) -> &str {
    path.rsplit_once('/').map_or(path, |(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_are_taken_from_the_directory_of_the_file_that_names_them() {
        assert_eq!(beside("/etc/kubernetes/admin.conf", "pki/ca.crt"), "/etc/kubernetes/pki/ca.crt");
        assert_eq!(beside("/etc/kubernetes/admin.conf", "../ca.crt"), "/etc/ca.crt");
        assert_eq!(beside("/admin.conf", "../../ca.crt"), "/ca.crt");
        assert_eq!(beside("/etc/admin.conf", "/abs//./ca.crt"), "/abs/ca.crt");
    }
}
