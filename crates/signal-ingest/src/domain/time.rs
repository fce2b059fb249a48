//! Times as RFC 3339 writes them, and nothing else: no basic format, no zone names, no missing offset.

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::Offset;

/// What a time must look like; part of every refusal.
pub const SHAPE: &str = "an RFC 3339 time such as 2026-01-31T12:30:00Z or 2026-01-31T14:30:00.123+02:00";

/// Reads an RFC 3339 time. Digits beyond the nanosecond are cut off.
///
/// # Errors
/// What is wrong, for a person.
pub fn parse_rfc3339(text: &str) -> Result<Timestamp, String> {
    let shape = || format!("must be {SHAPE}");
    let bytes = text.as_bytes();
    if bytes.len() < 20 {
        return Err(shape());
    }
    let separators = [(4, b'-'), (7, b'-'), (13, b':'), (16, b':')];
    if separators.iter().any(|&(at, sep)| bytes[at] != sep) || !matches!(bytes[10], b'T' | b't') {
        return Err(shape());
    }
    let two = |at: usize| number(&bytes[at..at + 2]).ok_or_else(shape);
    let year = number(&bytes[..4]).ok_or_else(shape)?;
    let (month, day, hour, minute, second) = (two(5)?, two(8)?, two(11)?, two(14)?, two(17)?);
    if hour > 23 {
        return Err("hours go from 00 to 23; the end of a day is 00:00:00 of the next".to_owned());
    }
    if second == 60 {
        return Err("seconds go from 00 to 59; write a leap second as :59".to_owned());
    }
    let (nanos, rest) = fraction(&bytes[19..]).ok_or_else(shape)?;
    let offset = offset(rest).ok_or_else(shape)?;
    let (month, day) = (i8::try_from(month).unwrap_or(0), i8::try_from(day).unwrap_or(0));
    let (hour, minute) = (
        i8::try_from(hour).unwrap_or(-1),
        i8::try_from(minute).unwrap_or(-1),
    );
    let (year, second) = (
        i16::try_from(year).unwrap_or(-1),
        i8::try_from(second).unwrap_or(-1),
    );
    let local = DateTime::new(year, month, day, hour, minute, second, nanos)
        .map_err(|_| "there is no such date or time of day".to_owned())?;
    offset
        .to_timestamp(local)
        .map_err(|_| "is outside of the years that can be stored".to_owned())
}

/// The same instant with whole microseconds, which is what the database keeps.
#[must_use]
pub fn to_micros(at: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(at.as_microsecond()).unwrap_or(at)
}

/// Digits only; at most 9 of them.
fn number(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0_u32, |sum, &b| {
        b.is_ascii_digit().then(|| sum * 10 + u32::from(b - b'0'))
    })
}

/// An optional `.digits`: nanoseconds, and what follows.
fn fraction(text: &[u8]) -> Option<(i32, &[u8])> {
    let Some(rest) = text.strip_prefix(b".") else {
        return Some((0, text));
    };
    let digits = rest.iter().take_while(|b| b.is_ascii_digit()).count();
    if digits == 0 {
        return None;
    }
    let kept = digits.min(9);
    let scale = 10_u32.pow(9 - u32::try_from(kept).ok()?);
    let nanos = number(&rest[..kept])? * scale;
    Some((i32::try_from(nanos).ok()?, &rest[digits..]))
}

/// `Z` or `±hh:mm`.
fn offset(text: &[u8]) -> Option<Offset> {
    let (sign, rest) = match text {
        b"Z" | b"z" => return Some(Offset::UTC),
        [b'+', rest @ ..] => (1, rest),
        [b'-', rest @ ..] => (-1, rest),
        _ => return None,
    };
    if rest.len() != 5 || rest[2] != b':' {
        return None;
    }
    let (hours, minutes) = (number(&rest[..2])?, number(&rest[3..])?);
    if hours > 23 || minutes > 59 {
        return None;
    }
    Offset::from_seconds(sign * i32::try_from(hours * 3600 + minutes * 60).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn rfc_3339_is_read() {
        for (text, micros) in [
            ("1970-01-01T00:00:00Z", 0),
            ("1970-01-01t00:00:00.5z", 500_000),
            ("1970-01-01T02:00:00+02:00", 0),
            ("1969-12-31T23:00:00-01:00", 0),
            ("1970-01-01T00:00:00-00:00", 0),
            ("2024-02-29T12:00:00.123456789Z", 1_709_208_000_123_456),
            ("1970-01-01T00:00:00.0000019999999999999Z", 1),
        ] {
            assert_eq!(parse_rfc3339(text).unwrap().as_microsecond(), micros, "{text}");
        }
    }

    #[test]
    fn everything_else_is_refused_with_a_reason() {
        for text in [
            "",
            "now",
            "1700000000",
            "2024-01-01",
            "2024-01-01T00:00:00",
            "2024-01-01 00:00:00Z",
            "20240101T000000Z",
            "2024-W01-1T00:00:00Z",
            "2024-01-01T00:00:00+2:00",
            "2024-01-01T00:00:00+0200",
            "2024-01-01T00:00:00+02",
            "2024-01-01T00:00:00+24:00",
            "2024-01-01T00:00:00.Z",
            "2024-01-01T00:00Z",
            "10000-01-01T00:00:00Z",
            "+2024-01-01T00:00:00Z",
            "2024-01-01T00:00:00Z[UTC]",
            "2024-01-01T00:00:00ZZ",
            "2024-01-01T00:00:00Z ",
            "２０２４-01-01T00:00:00Z",
            "2024-1-01T00:00:00.00Z",
        ] {
            assert!(parse_rfc3339(text).unwrap_err().contains("RFC 3339"), "{text}");
        }
        assert!(
            parse_rfc3339("2024-01-01T24:00:00Z")
                .unwrap_err()
                .contains("00 to 23")
        );
        assert!(
            parse_rfc3339("2016-12-31T23:59:60Z")
                .unwrap_err()
                .contains("leap second")
        );
        for text in [
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-01-01T00:61:00Z",
            "2024-01-01T00:00:61Z",
        ] {
            assert!(
                parse_rfc3339(text).unwrap_err().contains("no such date"),
                "{text}"
            );
        }
        assert!(
            parse_rfc3339("9999-12-31T23:59:59-12:00")
                .unwrap_err()
                .contains("outside")
        );
    }

    proptest! {
        #[test]
        fn what_jiff_writes_is_read_back(micros in 0_i64..253_370_764_800_000_000) {
            let at = Timestamp::from_microsecond(micros).unwrap();
            prop_assert_eq!(parse_rfc3339(&at.to_string()), Ok(at));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = parse_rfc3339(&text);
        }

        #[test]
        fn almost_times_do_not_panic(text in "[0-9TZ:.+-]{18,36}") {
            let _ = parse_rfc3339(&text);
        }
    }
}
