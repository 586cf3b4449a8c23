//! The two date types of certificates: a DER element goes in, a timestamp comes out. It never rounds a date it cannot hold into
//! another one, but for the very last day of the calendar (see [`timestamp`]).

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;

use super::der::{Element, tag};

/// Reads UTCTime (1950 to 2049, seconds optional as in Go) and GeneralizedTime, both in UTC (`Z`), the only form DER knows.
///
/// RFC 5280 4.1.2.5 writes "has no end" as 9999-12-31 23:59:59, which lies a day beyond the last moment a [`Timestamp`] can hold; dates of
/// that last day are read as [`Timestamp::MAX`].
pub(super) fn timestamp(element: &Element<'_>) -> Option<Timestamp> {
    let digits = element.value.strip_suffix(b"Z")?;
    let (year, rest) = match element.tag {
        tag::UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year = number(year)?;
            (if year >= 50 { 1900 + year } else { 2000 + year }, rest)
        }
        tag::GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (number(year)?, rest)
        }
        _ => return None,
    };
    let (chunks, left_over) = rest.as_chunks::<2>();
    if !left_over.is_empty() {
        return None;
    }
    let mut fields = [0_i8; 5];
    for (field, chunk) in fields.iter_mut().zip(chunks) {
        *field = i8::try_from(number(chunk)?).ok()?;
    }
    let [month, day, hour, minute, second] = fields;
    let shortest = if element.tag == tag::UTC_TIME { 4 } else { 5 };
    if !(shortest..=5).contains(&chunks.len()) {
        return None;
    }
    let date = DateTime::new(year, month, day, hour, minute, second, 0).ok()?;
    match TimeZone::UTC.to_timestamp(date) {
        Ok(timestamp) => Some(timestamp),
        Err(_) if year == 9999 => Some(Timestamp::MAX),
        Err(_) => None,
    }
}

fn number(digits: &[u8]) -> Option<i16> {
    digits.iter().try_fold(0_i16, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + i16::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(tag: u8, text: &str) -> Option<String> {
        timestamp(&Element { tag, value: text.as_bytes(), raw: &[] }).map(|timestamp| timestamp.to_string())
    }

    #[test]
    fn two_digit_years_turn_at_1950() {
        assert_eq!(read(tag::UTC_TIME, "491231235959Z").unwrap(), "2049-12-31T23:59:59Z");
        assert_eq!(read(tag::UTC_TIME, "500101000000Z").unwrap(), "1950-01-01T00:00:00Z");
        assert_eq!(read(tag::UTC_TIME, "2601020304Z").unwrap(), "2026-01-02T03:04:00Z");
    }

    #[test]
    fn four_digit_years_reach_from_1_to_9999() {
        assert_eq!(read(tag::GENERALIZED_TIME, "21250101000000Z").unwrap(), "2125-01-01T00:00:00Z");
        assert_eq!(read(tag::GENERALIZED_TIME, "00010101000000Z").unwrap(), "0001-01-01T00:00:00Z");
        assert_eq!(read(tag::GENERALIZED_TIME, "99991231235959Z").unwrap(), Timestamp::MAX.to_string());
    }

    #[test]
    fn dates_that_do_not_exist_are_refused() {
        for text in [
            "",
            "Z",
            "260230000000Z",
            "261301000000Z",
            "260101240000Z",
            "260101000060Z",
            "260101000000",
            "2601010000+1Z",
        ] {
            assert_eq!(read(tag::UTC_TIME, text), None, "{text}");
        }
        for text in [
            "260101000000Z",
            "202601010000Z",
            "20260101000000.5Z",
            "20260101000000+0100",
            "2026010100000000Z",
        ] {
            assert_eq!(read(tag::GENERALIZED_TIME, text), None, "{text}");
        }
        assert_eq!(read(tag::IA5_STRING, "260101000000Z"), None);
    }
}
