//! Milliseconds since 1970 to ISO 8601 in UTC and back, without a date library: the wire needs no more.

use core::fmt;

const DAY_MS: i64 = 86_400_000;

/// Shows milliseconds since 1970-01-01T00:00:00Z as `2026-11-20T13:54:00.123Z`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Iso8601(pub i64);

impl fmt::Display for Iso8601 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, ms) = (self.0.div_euclid(DAY_MS), self.0.rem_euclid(DAY_MS));
        let (year, month, day) = civil(days);
        let (hour, minute, second) = (ms / 3_600_000, ms / 60_000 % 60, ms / 1000 % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{:03}Z", ms % 1000)
    }
}

/// Reads `YYYY-MM-DDTHH:MM:SS[.fraction]Z` (UTC only, the letter `Z` may be missing). `None`: not in that form.
pub fn parse_iso8601(text: &str) -> Option<i64> {
    let text = text.strip_suffix('Z').unwrap_or(text);
    let bytes = text.as_bytes();
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if bytes.len() < 19 || !separators.iter().all(|&(at, sign)| bytes[at] == sign) {
        return None;
    }
    let field = |from: usize, to: usize| -> Option<i64> {
        let digits = &bytes[from..to];
        digits.iter().all(u8::is_ascii_digit).then(|| digits.iter().fold(0, |n, d| n * 10 + i64::from(d - b'0')))
    };
    let (year, month, day) = (field(0, 4)?, field(5, 7)?, field(8, 10)?);
    let (hour, minute, second) = (field(11, 13)?, field(14, 16)?, field(17, 19)?);
    let days = days_since_1970(year, month, day);
    if civil(days) != (year, month, day) || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = match bytes.get(19) {
        None => 0,
        Some(b'.') if bytes.len() > 20 => {
            // As many digits as anybody likes, of which three count.
            bytes[20..].iter().all(u8::is_ascii_digit).then_some(())?;
            let digit = |at: usize| bytes.get(at).map_or(0, |d| i64::from(d - b'0'));
            digit(20) * 100 + digit(21) * 10 + digit(22)
        }
        Some(_) => return None,
    };
    Some(days * DAY_MS + (hour * 3600 + minute * 60 + second) * 1000 + fraction)
}

/// Day number to (year, month, day) of the proleptic Gregorian calendar. Counts in 400-year cycles of years that
/// begin in March, so that the leap day is a year's last.
fn civil(days: i64) -> (i64, i64, i64) {
    let from_year_0 = days + 719_468;
    let (cycle, in_cycle) = (from_year_0.div_euclid(146_097), from_year_0.rem_euclid(146_097));
    let year = (in_cycle - in_cycle / 1460 + in_cycle / 36_524 - in_cycle / 146_096) / 365;
    let in_year = in_cycle - (365 * year + year / 4 - year / 100);
    let march_month = (5 * in_year + 2) / 153;
    let day = in_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    (cycle * 400 + year + i64::from(month <= 2), month, day)
}

/// The inverse of [`civil`].
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let (cycle, in_cycle) = (year.div_euclid(400), year.rem_euclid(400));
    let march_month = if month > 2 { month - 3 } else { month + 9 };
    let in_year = (153 * march_month + 2) / 5 + day - 1;
    cycle * 146_097 + in_cycle * 365 + in_cycle / 4 - in_cycle / 100 + in_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    #[test]
    fn known_moments() {
        for (ms, text) in [
            (0, "1970-01-01T00:00:00.000Z"),
            (951_782_400_123, "2000-02-29T00:00:00.123Z"),
            (1_795_182_840_000, "2026-11-20T13:54:00.000Z"),
            (-1, "1969-12-31T23:59:59.999Z"),
        ] {
            assert_eq!(Iso8601(ms).to_string(), text);
            assert_eq!(parse_iso8601(text), Some(ms));
        }
    }

    #[test]
    fn every_day_of_eight_centuries_goes_round() {
        for day in -146_097..146_097 {
            let ms = day * DAY_MS;
            assert_eq!(parse_iso8601(&Iso8601(ms).to_string()), Some(ms));
        }
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "2026-11-20",
            "2026-02-30T00:00:00Z",
            "2026-13-01T00:00:00Z",
            "2026-11-20T24:00:00Z",
            "2026-11-20T00:00:00.Z",
            "2026-11-20T00:00:00.1x",
            "2026-11-20 00:00:00",
            "é026-11-20T00:00:00",
        ] {
            assert_eq!(parse_iso8601(text), None, "{text}");
        }
        assert_eq!(parse_iso8601("1970-01-01T00:00:01.5"), Some(1500));
    }
}
