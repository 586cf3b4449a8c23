//! Lengths of time as people write them in a spec: `365d`, `8760h`, `10y`, `1h30m`.
//!
//! What enters is text; what leaves is a whole number of seconds. A year is 365 days exactly, because kubeadm (8760 h), ACK (438000 h for
//! 50 years) and StarlingX (365 d) all mean that by a year; a calendar library would add leap days. Bare numbers and months are refused, since nobody can
//! tell what they mean. Nothing here knows a date: see [`Duration::after`] and [`Duration::before`].

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::{SignedDuration, Timestamp};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::diagnostic::{Code, Refusal, shown};

const MINUTE: u64 = 60;
const HOUR: u64 = 60 * MINUTE;
const DAY: u64 = 24 * HOUR;
const WEEK: u64 = 7 * DAY;
const YEAR: u64 = 365 * DAY;

/// The longest duration: a thousand years, far from every overflow.
const MAX: u64 = 1000 * YEAR;

/// A length of time in whole seconds, at most a thousand years.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Duration(u64);

/// Why a text is not a duration.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing was written.
    #[error("a duration cannot be empty; write a whole number and one of s, m, h, d, w, y")]
    Empty,
    /// A number has no unit.
    #[error("`{0}` has no unit; write {0}d for days, or use one of s, m, h, d, w, y")]
    NoUnit(String),
    /// A unit has no number, or the number is not a whole one.
    #[error("`{0}` is not a duration; write a whole number and one of s, m, h, d, w, y, such as 90d or 1y")]
    NotANumber(String),
    /// The unit is unknown. Months are not offered: their length varies.
    #[error(
        "unknown unit `{unit}` in `{text}`; use one of s, m, h, d, w, y (a month has no fixed length, `m` is minutes)"
    )]
    Unit {
        /// What stands where a unit should be.
        unit: String,
        /// The whole text.
        text: String,
    },
    /// The sum exceeds a thousand years.
    #[error("`{0}` is longer than 1000y; write at most 1000y")]
    TooLong(String),
}

impl Duration {
    /// A duration of whole seconds; longer than a thousand years is cut to that.
    pub const fn from_seconds(seconds: u64) -> Self {
        Self(if seconds > MAX { MAX } else { seconds })
    }

    /// A duration of whole days.
    pub const fn from_days(days: u64) -> Self {
        Self::from_seconds(days.saturating_mul(DAY))
    }

    /// The length in seconds.
    pub const fn seconds(self) -> u64 {
        self.0
    }

    /// The whole days in it, rounded down.
    pub const fn days(self) -> u64 {
        self.0 / DAY
    }

    /// The instant this long after `start`; the end of representable time when that is later than year 9999.
    pub fn after(self, start: Timestamp) -> Timestamp {
        start.saturating_add(self.signed()).unwrap_or(Timestamp::MAX)
    }

    /// The instant this long before `end`.
    pub fn before(self, end: Timestamp) -> Timestamp {
        end.saturating_sub(self.signed()).unwrap_or(Timestamp::MIN)
    }

    fn signed(self) -> SignedDuration {
        // MAX is about 3.2e10 seconds, far below i64.
        SignedDuration::from_secs(i64::try_from(self.0).unwrap_or(i64::MAX))
    }
}

impl FromStr for Duration {
    type Err = DurationError;

    fn from_str(text: &str) -> Result<Self, DurationError> {
        let shown = || shown(text);
        if text.is_empty() {
            return Err(DurationError::Empty);
        }
        let mut total: u64 = 0;
        let mut rest = text;
        while !rest.is_empty() {
            let (digits, after) = split_while(rest, |c| c.is_ascii_digit());
            if digits.is_empty() || after.starts_with('.') {
                return Err(DurationError::NotANumber(shown()));
            }
            let (unit, after) = split_while(after, |c| !c.is_ascii_digit());
            let seconds = match unit {
                "s" => 1,
                "m" => MINUTE,
                "h" => HOUR,
                "d" => DAY,
                "w" => WEEK,
                "y" => YEAR,
                "" => return Err(DurationError::NoUnit(shown())),
                other => {
                    return Err(DurationError::Unit { unit: crate::diagnostic::shown(other), text: shown() });
                }
            };
            let number: u64 = digits.parse().map_err(|_| DurationError::TooLong(shown()))?;
            total = number
                .checked_mul(seconds)
                .and_then(|part| total.checked_add(part))
                .filter(|sum| *sum <= MAX)
                .ok_or_else(|| DurationError::TooLong(shown()))?;
            rest = after;
        }
        Ok(Self(total))
    }
}

fn split_while(text: &str, keep: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !keep(c)).unwrap_or(text.len());
    text.split_at(end)
}

impl fmt::Display for Duration {
    /// Days where it is whole days (people compare days), else the largest units that fit.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.pad("0s");
        }
        let mut text = String::new();
        let mut rest = self.0;
        for (unit, seconds) in [("d", DAY), ("h", HOUR), ("m", MINUTE), ("s", 1)] {
            if rest >= seconds {
                text.push_str(&format!("{}{unit}", rest / seconds));
                rest %= seconds;
            }
        }
        f.pad(&text)
    }
}

impl fmt::Debug for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(DurationVisitor)
    }
}

/// Takes texts; also sees bare numbers, to say that they lack a unit instead of asking for quotes.
struct DurationVisitor;

impl de::Visitor<'_> for DurationVisitor {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time such as 90d")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Duration, E> {
        text.parse().map_err(|error| E::custom(Refusal::of(Code::InvalidDuration, &error)))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Duration, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Duration, E> {
        self.visit_str(&number.to_string())
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Duration, E> {
        self.visit_str(&number.to_string())
    }
}

impl JsonSchema for Duration {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "pattern": "^([0-9]+[smhdwy])+$",
            "description": "A whole number and one of s, m, h, d, w, y (365 days), such as 90d, 8760h or 10y."
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_year_is_kubeadms_year() {
        assert_eq!("1y".parse(), Ok(Duration::from_seconds(8760 * 3600)));
        assert_eq!("50y".parse::<Duration>(), "438000h".parse::<Duration>());
        assert_eq!("8760h0m0s".parse(), Ok(Duration::from_days(365)));
    }

    #[test]
    fn what_cannot_be_understood_is_refused_with_a_way_out() {
        for (text, part) in [
            ("", "empty"),
            ("365", "365d for days"),
            ("365days", "unknown unit `days`"),
            ("1M", "unknown unit `M`"),
            ("1.5d", "whole number"),
            ("-3d", "whole number"),
            ("d", "whole number"),
            ("1001y", "longer than 1000y"),
            ("99999999999999999999y", "longer than 1000y"),
        ] {
            let error = text.parse::<Duration>().unwrap_err().to_string();
            assert!(error.contains(part), "{text:?}: {error}");
        }
    }

    #[test]
    fn durations_print_in_days() {
        assert_eq!("1y".parse::<Duration>().unwrap().to_string(), "365d");
        assert_eq!("90m".parse::<Duration>().unwrap().to_string(), "1h30m");
        assert_eq!(Duration::default().to_string(), "0s");
    }
}
