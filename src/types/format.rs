//! How findings and plans write dates, errors, names and subjects.
//!
//! What enters is values; what leaves is text for people, in which whatever nodes said is escaped. Pure.

use std::error::Error;
use std::net::IpAddr;

use jiff::Timestamp;

use crate::diagnostic::escaped;
use crate::types::certificate::SubjectName;

/// A day in UTC, as plans show dates.
pub fn date(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%d").to_string()
}

/// An instant in UTC to the minute.
pub fn instant(instant: Timestamp) -> String {
    instant.strftime("%Y-%m-%d %H:%MZ").to_string()
}

/// An error with all its causes.
pub fn with_causes(error: &dyn Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {}", with_causes(cause)),
        None => error.to_string(),
    }
}

pub(crate) fn names(dns: &[String], ip: &[IpAddr]) -> String {
    let dns = dns.iter().map(|name| escaped(name));
    let ip = ip.iter().map(ToString::to_string);
    dns.chain(ip).collect::<Vec<_>>().join(", ")
}

/// Names in a sentence: at most eight of them, and how many more there are.
pub(crate) fn joined(all: &[String]) -> String {
    const MOST: usize = 8;
    let shown: Vec<&str> = all.iter().take(MOST).map(String::as_str).collect();
    match (shown.split_last(), all.len().saturating_sub(MOST)) {
        (_, more) if more > 0 => format!("{} and {more} more", shown.join(", ")),
        (Some((last, [])), _) => (*last).to_owned(),
        (Some((last, first)), _) => format!("{} and {last}", first.join(", ")),
        (None, _) => String::new(),
    }
}

/// A subject as findings write it: `O=system:masters, CN=kubernetes-admin`, organizations first as kubeadm encodes them.
pub(crate) fn subject_text(subject: &SubjectName) -> String {
    let organizations = subject.organizations.iter().map(|name| format!("O={name}"));
    organizations.chain([format!("CN={}", subject.common_name)]).collect::<Vec<_>>().join(", ")
}
