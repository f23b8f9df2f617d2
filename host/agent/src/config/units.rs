//! Sizes and durations as people write them: `512MiB`, `1.5GB`, `90s`, `1h30m`. A number without a unit is refused: it
//! means bytes to one and megabytes to another.

use std::time::Duration;

/// Bytes of each unit; longest names first, so that `MiB` is not read as something ending in `B`.
const SIZES: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("TiB", 1 << 40),
    ("kB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("TB", 1_000_000_000_000),
    ("B", 1),
];

/// Milliseconds of each unit.
const DURATIONS: [(&str, u64); 5] = [("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

/// A size in bytes, rounded down; none if the text is not a size.
pub(crate) fn size(text: &str) -> Option<u64> {
    let (number, unit) = split_number(text.trim())?;
    let unit = unit.trim_start();
    let (_, factor) = SIZES.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit))?;
    scale(number, *factor)
}

/// A duration, to the millisecond; none if the text is not a duration. Parts add up: `1h30m`.
pub(super) fn duration(text: &str) -> Option<Duration> {
    let (mut rest, mut total) = (text.trim(), 0_u64);
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = split_number(rest)?;
        let end = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let (_, factor) = DURATIONS.iter().find(|(name, _)| *name == &after[..end])?;
        total = total.checked_add(scale(number, *factor)?)?;
        rest = after[end..].trim_start();
    }
    Some(Duration::from_millis(total))
}

/// Digits with at most one point, and what follows.
fn split_number(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let (number, rest) = text.split_at(end);
    let good = number.starts_with(|c: char| c.is_ascii_digit()) && !number.ends_with('.');
    (good && number.matches('.').count() <= 1).then_some((number, rest))
}

/// `number` times `factor`, exact but for the rounding down at the end.
fn scale(number: &str, factor: u64) -> Option<u64> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    // More places than this are below a byte or a millisecond for every unit.
    if fraction.len() > 15 {
        return None;
    }
    let places = 10_u128.pow(fraction.len() as u32);
    let digits: u128 = if fraction.is_empty() { 0 } else { fraction.parse().ok()? };
    let total = whole.parse::<u64>().ok()?.checked_mul(factor)?;
    total.checked_add((digits * u128::from(factor) / places) as u64)
}

/// A size for people, exact where it has a whole unit: `512 MiB`, `1.2 GiB`.
#[must_use]
pub fn show_size(bytes: u64) -> String {
    let (name, unit) = match bytes {
        0..1024 => return format!("{bytes} B"),
        1024..0x10_0000 => ("KiB", 1_u64 << 10),
        0x10_0000..0x4000_0000 => ("MiB", 1 << 20),
        0x4000_0000..0x100_0000_0000 => ("GiB", 1 << 30),
        _ => ("TiB", 1 << 40),
    };
    if bytes.is_multiple_of(unit) {
        format!("{} {name}", bytes / unit)
    } else {
        format!("{:.1} {name}", bytes as f64 / unit as f64)
    }
}

/// A duration for people: `350 ms`, `4.2 s`, `3 m 20 s`, `5 h 2 m`, `2 d 4 h`.
#[must_use]
pub fn show_duration(duration: Duration) -> String {
    let (ms, secs) = (duration.as_millis(), duration.as_secs());
    let pair = |big: u64, big_name: &str, small: u64, small_name: &str| match small {
        0 => format!("{big} {big_name}"),
        small => format!("{big} {big_name} {small} {small_name}"),
    };
    match secs {
        0 => format!("{ms} ms"),
        1..60 if ms.is_multiple_of(1000) => format!("{secs} s"),
        1..60 => format!("{:.1} s", (ms / 100) as f64 / 10.0),
        60..3600 => pair(secs / 60, "m", secs % 60, "s"),
        3600..86_400 => pair(secs / 3600, "h", secs % 3600 / 60, "m"),
        _ => pair(secs / 86_400, "d", secs % 86_400 / 3600, "h"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, expected) in [
            ("512MiB", Some(512 << 20)),
            ("512 mib", Some(512 << 20)),
            ("1.5GiB", Some(3 << 29)),
            ("10MB", Some(10_000_000)),
            ("4096B", Some(4096)),
            ("0B", Some(0)),
            ("512", None),
            ("", None),
            ("MiB", None),
            ("1.GiB", None),
            ("1.2.3MiB", None),
            ("-1MiB", None),
            ("5 apples", None),
            ("99999999999TiB", None),
        ] {
            assert_eq!(size(text), expected, "{text:?}");
        }
    }

    #[test]
    fn durations() {
        for (text, expected) in [
            ("30m", Some(1_800_000)),
            ("24h", Some(86_400_000)),
            ("1h30m", Some(5_400_000)),
            ("1h 30m", Some(5_400_000)),
            ("1.5s", Some(1500)),
            ("250ms", Some(250)),
            ("7d", Some(604_800_000)),
            ("30", None),
            ("m", None),
            ("", None),
            ("1h30", None),
            ("99999999999999999d", None),
        ] {
            assert_eq!(duration(text), expected.map(Duration::from_millis), "{text:?}");
        }
    }

    #[test]
    fn shown() {
        let sizes = [0, 1023, 1024, 512 << 20, 1_300_000_000].map(show_size);
        assert_eq!(sizes, ["0 B", "1023 B", "1 KiB", "512 MiB", "1.2 GiB"]);
        let durations =
            [350, 4_000, 4_250, 200_000, 18_120_000, 187_200_000].map(|ms| show_duration(Duration::from_millis(ms)));
        assert_eq!(durations, ["350 ms", "4 s", "4.2 s", "3 m 20 s", "5 h 2 m", "2 d 4 h"]);
    }
}
