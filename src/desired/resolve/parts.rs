//! From the texts of a spec or profile to single values: subjects, files, names and endpoints.

use std::net::IpAddr;

use crate::desired::DesiredNames;
use crate::desired::template::Values;
use crate::spec::types::Files;
use crate::types::certificate::SubjectName;
use crate::types::names::ServiceName;
use crate::types::scalars::FileMode;
use crate::types::service_kind::ServiceKind;
use crate::types::storage::FileSpec;

/// What a service is that no layout knows: a spec says nothing of that, so it goes by the name that every distribution gives it.
pub(crate) fn kind_by_name(service: &ServiceName) -> Option<ServiceKind> {
    match service.as_str() {
        "etcd" => Some(ServiceKind::Etcd),
        "kubelet" => Some(ServiceKind::Kubelet),
        "kube-apiserver" => Some(ServiceKind::ApiServer),
        _ => None,
    }
}

pub(super) fn fill_subject(subject: &SubjectName, values: &Values) -> Option<SubjectName> {
    Some(SubjectName {
        common_name: values.fill(&subject.common_name)?,
        organizations: subject.organizations.iter().map(|part| values.fill(part)).collect::<Option<_>>()?,
    })
}

pub(super) fn pair(files: &Files, values: &Values) -> Option<(FileSpec, FileSpec)> {
    let file = |path: &str, mode: FileMode| owned_file(path, files.owner.as_deref(), mode, values);
    let certificate = file(&files.certificate, files.certificate_mode.unwrap_or(FileMode::PUBLIC))?;
    let key = file(&files.key, files.mode.unwrap_or(FileMode::PRIVATE))?;
    Some((certificate, key))
}

/// A file whose owner is given as `USER` or `USER:GROUP`, or is root.
pub(super) fn owned_file(
    path: &str,
    owner: Option<&str>,
    mode: FileMode,
    values: &Values,
) -> Option<FileSpec> {
    let owner = owner.unwrap_or("root");
    let (user, group) = owner.split_once(':').unwrap_or((owner, owner));
    let path = values.fill(path)?;
    Some(FileSpec { path, user: user.to_owned(), group: group.to_owned(), mode })
}

pub(super) fn add_name(names: &mut DesiredNames, text: String) {
    match text.parse::<IpAddr>() {
        Ok(ip) => {
            names.ip.insert(ip);
        }
        Err(_) => {
            names.dns.insert(text);
        }
    }
}

/// Host and port of `HOST`, `HOST:PORT`, `[IPV6]` or `[IPV6]:PORT`; 6443 is kubeadm's default port.
pub(super) fn split_endpoint(endpoint: &str) -> (&str, &str) {
    if let Some((host, rest)) = endpoint.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        return (host, rest.strip_prefix(':').unwrap_or("6443"));
    }
    match endpoint.split_once(':') {
        Some((host, port)) if !port.contains(':') => (host, port),
        Some(_) | None => (endpoint, "6443"),
    }
}

/// The first address of the first subnet: the API server's own service address.
pub(super) fn first_service_address(subnets: &str) -> Option<IpAddr> {
    let first = subnets.split(',').next()?.trim();
    let (address, length) = first.split_once('/')?;
    let length: u32 = length.parse().ok()?;
    match address.parse::<IpAddr>().ok()? {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32_u32.checked_sub(length)?).unwrap_or(0);
            Some(IpAddr::V4(((u32::from(ip) & mask).checked_add(1)?).into()))
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128_u32.checked_sub(length)?).unwrap_or(0);
            Some(IpAddr::V6(((u128::from(ip) & mask).checked_add(1)?).into()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::Profile;
    use crate::types::profile_name::ProfileName;

    #[test]
    fn every_layout_says_of_its_services_what_their_names_say() {
        for name in ProfileName::ALL {
            let profile = Profile::load(name).unwrap();
            for (service, entry) in &profile.services {
                assert_eq!(entry.kind, kind_by_name(service), "{service} of {name}");
            }
            let of_services = profile.services.values().flat_map(|entry| &entry.dials);
            let of_programs = profile.programs.values().flat_map(|entry| &entry.dials);
            for dial in of_services.chain(of_programs) {
                assert_eq!(dial.to_kind, kind_by_name(&dial.to), "to {} in {name}", dial.to);
            }
        }
    }
}
