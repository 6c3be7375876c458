//! The cells of a table: times and readings.

use windward_protocol::{NoData, Reading, Value, parse_iso8601};

/// Digits alone are seconds since 1970 below this, which is the year 5138, and milliseconds from it.
const FIRST_MILLISECONDS: i64 = 100_000_000_000;
/// Milliseconds since 1970 at which the year 5138 begins; what is greater counts microseconds or is no time.
const LAST_MILLISECONDS: i64 = 100_000_000_000_000;

/// The time a cell gives, ms since 1970; `None`: it gives none.
///
/// - ISO 8601 with `T` or a space, seconds and their fraction optional: `2026-11-20T13:54:00.25Z`, `2026-11-20 13:54`.
///   Without `Z` or an offset such as `+01:00` it is taken for UTC.
/// - Digits alone: seconds since 1970, or milliseconds from 100,000,000,000. Seconds may have a fraction.
pub fn time(cell: &str) -> Option<i64> {
    let cell = cell.trim();
    // The usual form needs no second look.
    parse_iso8601(cell).or_else(|| epoch(cell)).or_else(|| loose_iso8601(cell))
}

/// The reading a cell gives. Nothing at all is [`NoData::Invalid`], a float that is no number [`NoData::NotANumber`];
/// `None`: the cell is something else.
pub fn reading(cell: &str) -> Option<Reading> {
    let cell = cell.trim();
    if cell.is_empty() {
        return Some(Err(NoData::Invalid));
    }
    let number: f64 = cell.parse().ok()?;
    Some(if number.is_finite() { Ok(Value::F64(number)) } else { Err(NoData::NotANumber) })
}

fn epoch(cell: &str) -> Option<i64> {
    let (whole, fraction) = cell.split_once('.').unwrap_or((cell, "0"));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(whole) || !is_number(fraction) {
        return None;
    }
    let whole: i64 = whole.parse().ok()?;
    let digit = |at: usize| fraction.as_bytes().get(at).map_or(0, |digit| i64::from(digit - b'0'));
    match whole {
        0..FIRST_MILLISECONDS => Some(whole * 1_000 + digit(0) * 100 + digit(1) * 10 + digit(2)),
        FIRST_MILLISECONDS..LAST_MILLISECONDS => Some(whole),
        _ => None,
    }
}

fn loose_iso8601(cell: &str) -> Option<i64> {
    let (date, rest) = (cell.get(..10)?, cell.get(11..)?);
    if !matches!(cell.as_bytes()[10], b'T' | b't' | b' ') {
        return None;
    }
    let (clock, offset_ms) = match rest.find(['Z', 'z', '+', '-']) {
        None => (rest, 0),
        Some(at) => (&rest[..at], offset_ms(&rest[at..])?),
    };
    let seconds = if clock.len() == 5 { ":00" } else { "" };
    Some(parse_iso8601(&format!("{date}T{}{seconds}", clock.trim_end()))? - offset_ms)
}

/// The offset from UTC that `Z`, `+01`, `+01:00` or `-0930` gives, ms.
fn offset_ms(zone: &str) -> Option<i64> {
    let (sign, digits) = match zone.split_at_checked(1)? {
        ("Z" | "z", "") => return Some(0),
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    let two = |text: Option<&str>| -> Option<i64> {
        text.filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()))?.parse().ok()
    };
    let (hours, minutes) = match digits.len() {
        2 => (two(Some(digits))?, 0),
        4 => (two(digits.get(..2))?, two(digits.get(2..))?),
        5 if digits.as_bytes()[2] == b':' => (two(digits.get(..2))?, two(digits.get(3..))?),
        _ => return None,
    };
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes) * 60_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use windward_protocol::Iso8601;

    #[test]
    fn a_time_is_read_in_each_form() {
        for (cell, ms) in [
            ("2026-11-20T13:54:00Z", 1_795_182_840_000),
            ("2026-11-20T13:54:00", 1_795_182_840_000),
            ("2026-11-20 13:54:00", 1_795_182_840_000),
            ("2026-11-20 13:54:00Z", 1_795_182_840_000),
            ("2026-11-20 13:54", 1_795_182_840_000),
            ("2026-11-20T13:54Z", 1_795_182_840_000),
            (" 2026-11-20t13:54:00z ", 1_795_182_840_000),
            ("2026-11-20T13:54:00.25", 1_795_182_840_250),
            ("2026-11-20 13:54:00.123456789Z", 1_795_182_840_123),
            ("2026-11-20T14:54:00+01:00", 1_795_182_840_000),
            ("2026-11-20 14:54:00 +01:00", 1_795_182_840_000),
            ("2026-11-20 04:24:00.5-0930", 1_795_182_840_500),
            ("2026-11-20T13:54:00+00", 1_795_182_840_000),
            ("1795182840", 1_795_182_840_000),
            ("1795182840.5", 1_795_182_840_500),
            ("1795182840250", 1_795_182_840_250),
            ("0", 0),
            ("7", 7_000),
        ] {
            assert_eq!(time(cell), Some(ms), "{cell}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for cell in [
            "",
            "yesterday",
            "2026-11-20",
            "20.11.2026 13:54",
            "2026-02-30 00:00:00",
            "2026-11-20 25:00:00",
            "2026-11-20T13:54:00+1:00",
            "2026-11-20T13:54:00+24:00",
            "2026-11-20T13:54:00Zulu",
            "2026-11-20é13:54:00",
            "2026-11-2é 13:54:00",
            "-5",
            "1.5e9",
            "1795182840.",
            "1795182840000000",
            "99999999999999999999",
        ] {
            assert_eq!(time(cell), None, "{cell}");
        }
    }

    #[test]
    fn a_cell_is_a_value_or_the_reason_why_there_is_none() {
        for (cell, expected) in [
            ("9.21", Some(Ok(Value::F64(9.21)))),
            (" -3 ", Some(Ok(Value::F64(-3.0)))),
            ("1e-3", Some(Ok(Value::F64(0.001)))),
            ("", Some(Err(NoData::Invalid))),
            ("  ", Some(Err(NoData::Invalid))),
            ("NaN", Some(Err(NoData::NotANumber))),
            ("nan", Some(Err(NoData::NotANumber))),
            ("inf", Some(Err(NoData::NotANumber))),
            ("calm", None),
            ("9,21", None),
        ] {
            assert_eq!(reading(cell), expected, "{cell}");
        }
    }

    proptest! {
        #[test]
        fn no_cell_makes_it_panic(cell in ".{0,40}") {
            time(&cell);
            reading(&cell);
        }

        #[test]
        fn every_moment_goes_round(ms in 0i64..FIRST_MILLISECONDS * 10) {
            let text = Iso8601(ms).to_string();
            prop_assert_eq!(time(&text), Some(ms));
            prop_assert_eq!(time(&text.replace('T', " ")), Some(ms));
        }
    }
}
