//! Points in time as the contract writes them (RFC 3339, UTC), as HTTP writes them, and as seconds since 1970; enough to
//! move one back by a few minutes without a library.

use std::time::{SystemTime, UNIX_EPOCH};

const DAY_SECS: i64 = 86_400;
const MONTHS: [&str; 12] = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/// Days from 1970-01-01 to a day of the Gregorian calendar. Years begin in March, so that the leap day ends one.
fn days_of(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The day that is so many days after 1970-01-01: year, month, day.
fn day_of(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day = days.rem_euclid(146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let of_year = day - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    let month_day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (era * 400 + year + i64::from(month <= 2), month, month_day)
}

fn number(text: &str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|number| digits && range.contains(number))
}

fn clock(text: &str) -> Option<i64> {
    let mut parts = text.split(':');
    let hour = number(parts.next()?, 0..=23)?;
    let minute = number(parts.next()?, 0..=59)?;
    // A leap second is 60.
    let second = number(parts.next()?, 0..=60)?;
    parts.next().is_none().then_some(hour * 3_600 + minute * 60 + second)
}

/// Seconds since 1970 of a time in RFC 3339, with any offset; fractions of a second are left out.
pub(crate) fn parse(text: &str) -> Option<i64> {
    let (date, rest) = text.get(..10).zip(text.get(11..))?;
    if !matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let mut parts = date.split('-');
    let year = number(parts.next()?, 0..=9999)?;
    let month = number(parts.next()?, 1..=12)?;
    let day = number(parts.next()?, 1..=31)?;
    let of_day = clock(rest.get(..8)?)?;
    let mut zone = &rest[8..];
    if let Some(fraction) = zone.strip_prefix('.') {
        zone = fraction.trim_start_matches(|c: char| c.is_ascii_digit());
    }
    let offset = match zone {
        "Z" | "z" => 0,
        _ => {
            let sign = match zone.as_bytes().first()? {
                b'+' => 1,
                b'-' => -1,
                _ => return None,
            };
            // `+02:00`, and the `+0200` of some servers.
            let digits = zone[1..].replace(':', "");
            if digits.len() != 4 {
                return None;
            }
            sign * (number(&digits[..2], 0..=23)? * 3_600 + number(&digits[2..], 0..=59)? * 60)
        }
    };
    Some(days_of(year, month, day) * DAY_SECS + of_day - offset)
}

/// Seconds since 1970 of a `Date` header field: `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(crate) fn parse_http(text: &str) -> Option<i64> {
    let mut words = text.split(' ').skip(1);
    let day = number(words.next()?, 1..=31)?;
    let name = words.next()?;
    let month = (1..).zip(MONTHS).find(|(_, month)| *month == name)?.0;
    let year = number(words.next()?, 0..=9999)?;
    let of_day = clock(words.next()?)?;
    (words.next() == Some("GMT")).then_some(days_of(year, month, day) * DAY_SECS + of_day)
}

/// RFC 3339, whole seconds, UTC.
pub(crate) fn format(secs: i64) -> String {
    let (year, month, day) = day_of(secs.div_euclid(DAY_SECS));
    let of_day = secs.rem_euclid(DAY_SECS);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

/// Now, by the clock of the agent's machine.
pub(crate) fn now() -> i64 {
    // A clock before 1970 is broken; then everything is new.
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::{day_of, days_of, format, parse, parse_http};

    #[test]
    fn every_day_of_a_thousand_years_comes_back() {
        for days in -200_000..200_000 {
            let (year, month, day) = day_of(days);
            assert_eq!(days_of(year, month, day), days);
        }
        assert_eq!((day_of(0), day_of(19_782)), ((1970, 1, 1), (2024, 2, 29)));
    }

    #[test]
    fn times_are_read_in_the_forms_of_servers() {
        for (text, expected) in [
            ("1970-01-01T00:00:00Z", Some("1970-01-01T00:00:00Z")),
            ("2026-11-21T09:30:00.123456Z", Some("2026-11-21T09:30:00Z")),
            ("2026-11-21T09:30:00+02:00", Some("2026-11-21T07:30:00Z")),
            ("2026-11-21T09:30:00.000+0000", Some("2026-11-21T09:30:00Z")),
            ("2024-02-29 23:59:60-00:30", Some("2024-03-01T00:30:00Z")),
            ("2026-11-21", None),
            ("2026-11-21T09:30:00", None),
            ("2026-13-21T09:30:00Z", None),
            ("yesterday", None),
            ("2026-11-21T09:30:0öZ", None),
            ("", None),
        ] {
            assert_eq!(parse(text).map(format).as_deref(), expected, "{text}");
        }
        assert_eq!(parse_http("Sun, 06 Nov 1994 08:49:37 GMT").map(format).as_deref(), Some("1994-11-06T08:49:37Z"));
        assert_eq!(parse_http("Sunday, 06-Nov-94 08:49:37 GMT"), None);
    }
}
