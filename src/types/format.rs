//! How findings and plans write dates, errors, names and subjects.
//!
//! What enters is values; what leaves is text for people, in which whatever nodes said is escaped. Pure.

use std::error::Error;
use std::net::IpAddr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;
use serde::Serializer;

use crate::diagnostic::escaped;
use crate::types::certificate::SubjectName;

/// 9999-12-31T23:59:59Z in seconds since 1970: a certificate that has no end (RFC 5280 4.1.2.5).
const NO_END: i64 = 253_402_300_799;

/// The date and time in UTC. The last instant that can be counted with stands for the date without end, which lies a little after it.
pub fn in_utc(instant: Timestamp) -> DateTime {
    match instant == Timestamp::MAX {
        true => jiff::civil::date(9999, 12, 31).at(23, 59, 59, 0),
        false => Offset::UTC.to_datetime(instant),
    }
}

/// An instant in seconds since 1970.
pub fn in_seconds(instant: Timestamp) -> i64 {
    if instant == Timestamp::MAX { NO_END } else { instant.as_second() }
}

/// Writes an instant for machines (RFC 3339).
///
/// # Errors
/// Those of the serializer.
pub fn serialize_instant<S: Serializer>(instant: &Timestamp, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{}Z", in_utc(*instant)))
}

/// A day in UTC, as plans show dates.
pub fn date(instant: Timestamp) -> String {
    in_utc(instant).strftime("%Y-%m-%d").to_string()
}

/// An instant in UTC to the minute.
pub fn instant(instant: Timestamp) -> String {
    in_utc(instant).strftime("%Y-%m-%d %H:%MZ").to_string()
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_date_without_end_is_written_as_certificates_have_it() {
        assert_eq!(date(Timestamp::MAX), "9999-12-31");
        assert_eq!(instant(Timestamp::MAX), "9999-12-31 23:59Z");
        let json = |instant: Timestamp| {
            let mut text = Vec::new();
            serialize_instant(&instant, &mut serde_json::Serializer::new(&mut text)).unwrap();
            String::from_utf8(text).unwrap()
        };
        assert_eq!(json(Timestamp::MAX), "\"9999-12-31T23:59:59Z\"");
        let other: Timestamp = "2026-11-30T03:00:05Z".parse().unwrap();
        assert_eq!((json(other), in_seconds(other)), (format!("\"{other}\""), other.as_second()));
        let day_before: Timestamp = "9999-12-30T12:00:00Z".parse().unwrap();
        assert_eq!(in_seconds(Timestamp::MAX) - in_seconds(day_before), 86_400 + 43_199);
    }
}
