//! What servers say about how much they may be asked: budgets in the headers of each answer, and refusals that mean "later".
//! Pure: an answer in, what it says out. Who waits for it is `gate`.
//!
//! Read are GitHub's `x-ratelimit-*` (with its resources), GitLab's `ratelimit-*`, the IETF's drafts of `RateLimit` and
//! `RateLimit-Policy` in their forms so far, Atlassian's, and `Retry-After` in seconds and as a date. A time of day is read
//! against the server's own `Date`, so that a clock that is wrong on either side does no harm.

use std::time::Duration;

use time::format_description::BorrowedFormatItem;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;
use time::{OffsetDateTime, PrimitiveDateTime};

/// What a server says lies at most so far ahead: a day's budget and some. More is a mistake, or a lie.
pub(super) const RESET_MAX: Duration = Duration::from_secs(26 * 3600);
/// How long a limit lasts of which the server says nothing more: GitHub asks for at least so much.
pub(super) const LIMIT_UNTOLD: Duration = Duration::from_secs(60);
/// Numbers of seconds above this are times of day: no budget lasts for thirty years.
const EPOCH_MIN: i64 = 1_000_000_000;
/// Bytes of a refusal's body in which its reason is looked for.
const REASON_BYTES_MAX: usize = 16 << 10;
/// Bytes of a resource's name.
const RESOURCE_BYTES_MAX: usize = 64;

type Headers = [(String, String)];

/// A budget, as far as an answer tells it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Told {
    /// Which of the server's budgets; empty where it has one.
    pub resource: String,
    pub limit: Option<u64>,
    pub remaining: Option<u64>,
    /// From now.
    pub resets_in: Option<Duration>,
}

/// A header field's value. Names are in lower case.
pub(super) fn header<'a>(headers: &'a Headers, name: &str) -> Option<&'a str> {
    headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.trim())
}

/// All that an answer says about later requests.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Says {
    pub told: Option<Told>,
    /// It means "later", and how much later.
    pub limited: Option<Duration>,
    /// How long to wait before a next try.
    pub asked: Option<Duration>,
}

/// Reads an answer. Most servers say nothing at all, and then nothing is looked for.
pub(super) fn says(status: u16, headers: &Headers, body: &[u8], now: impl FnOnce() -> OffsetDateTime) -> Says {
    let limit = |name: &str| name.strip_prefix("x-").unwrap_or(name).starts_with("ratelimit");
    let speaks = |name: &str| name == "retry-after" || limit(name);
    if !matches!(status, 403 | 429) && !headers.iter().any(|(name, _)| speaks(name)) {
        return Says::default();
    }
    let now = now();
    let (told, limited) = (told(headers, now), limited(status, headers, body, now));
    Says { told, limited, asked: retry_after(headers, now) }
}

/// Reads a budget; none if the answer says nothing of one. `now` is our time of day.
fn told(headers: &Headers, now: OffsetDateTime) -> Option<Told> {
    let now = server_now(headers, now);
    if let Some(told) = structured(headers) {
        return Some(told);
    }
    for prefix in ["x-ratelimit-", "ratelimit-"] {
        let field = |name: &str| {
            let is = |known: &str| known.strip_prefix(prefix) == Some(name);
            headers.iter().find(|(known, _)| is(known)).map(|(_, value)| value.trim())
        };
        let told = Told {
            resource: field("resource").filter(|name| name.len() <= RESOURCE_BYTES_MAX).unwrap_or_default().to_owned(),
            limit: field("limit").and_then(first_number),
            remaining: field("remaining").and_then(first_number),
            resets_in: field("reset").and_then(|text| until(text, now)),
        };
        if told.remaining.is_some() {
            return Some(told);
        }
    }
    None
}

/// `RateLimit: "default";r=50;t=30` with `RateLimit-Policy: "default";q=100;w=60`, and the draft before it,
/// `RateLimit: limit=100, remaining=50, reset=5`. Of several budgets the one that is nearest to its end.
fn structured(headers: &Headers) -> Option<Told> {
    let text = header(headers, "ratelimit")?;
    let number = |part: &str, names: [&str; 2]| {
        part.split([';', ',']).find_map(|pair| {
            let (name, value) = pair.trim().split_once('=')?;
            names.contains(&name.trim()).then(|| first_number(value))?
        })
    };
    if text.contains("remaining=") {
        let remaining = number(text, ["remaining", "remaining"])?;
        let (limit, reset) = (number(text, ["limit", "limit"]), number(text, ["reset", "reset"]));
        let resets_in = reset.map(|secs| Duration::from_secs(secs).min(RESET_MAX));
        return Some(Told { resource: String::new(), limit, remaining: Some(remaining), resets_in });
    }
    let policies = header(headers, "ratelimit-policy").unwrap_or_default();
    let name_of = |item: &str| item.split(';').next().unwrap_or_default().trim().trim_matches('"').to_owned();
    let items = text.split(',').filter_map(|item| {
        let remaining = number(item, ["r", "remaining"])?;
        let name = name_of(item);
        let policy = policies.split(',').find(|policy| name_of(policy) == name).unwrap_or_default();
        let resets_in = number(item, ["t", "reset"]).map(|secs| Duration::from_secs(secs).min(RESET_MAX));
        Some(Told {
            resource: String::new(),
            limit: number(policy, ["q", "quota"]),
            remaining: Some(remaining),
            resets_in,
        })
    });
    items.min_by_key(|told| told.remaining)
}

/// `60`, and `100, 100;w=60` of an older draft.
fn first_number(text: &str) -> Option<u64> {
    let digits = text.trim().split([',', ';', ' ']).next()?;
    // Some servers write a fraction.
    digits.split('.').next()?.parse().ok()
}

/// How long a server asks to wait before the next try, at most `RESET_MAX`.
fn retry_after(headers: &Headers, now: OffsetDateTime) -> Option<Duration> {
    until(header(headers, "retry-after")?, server_now(headers, now))
}

/// The duration from now that a text stands for: seconds, seconds since 1970, an HTTP date, or RFC 3339.
fn until(text: &str, now: OffsetDateTime) -> Option<Duration> {
    let moment = match text.parse::<f64>() {
        Ok(number) if number >= 0.0 && number < EPOCH_MIN as f64 => {
            return Some(Duration::from_secs_f64(number).min(RESET_MAX));
        }
        Ok(number) if number >= 0.0 => OffsetDateTime::from_unix_timestamp(number as i64).ok()?,
        Ok(_) => return None,
        Err(_) => date(text)?,
    };
    Some(Duration::try_from(moment - now).unwrap_or_default().min(RESET_MAX))
}

/// The server's time of day, if it tells it.
fn server_now(headers: &Headers, now: OffsetDateTime) -> OffsetDateTime {
    header(headers, "date").and_then(date).unwrap_or(now)
}

/// The forms of a date that HTTP knows (RFC 9110, 5.6.7), but for the one whose year has two digits; and Jira's, which
/// leaves the seconds out.
const DATES: [&[BorrowedFormatItem<'static>]; 3] = [
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"),
    format_description!("[weekday repr:short] [month repr:short] [day padding:space] [hour]:[minute]:[second] [year]"),
    format_description!("[year]-[month]-[day]T[hour]:[minute]Z"),
];

fn date(text: &str) -> Option<OffsetDateTime> {
    if let Ok(moment) = OffsetDateTime::parse(text, &Rfc3339) {
        return Some(moment);
    }
    DATES.iter().find_map(|form| PrimitiveDateTime::parse(text, *form).ok()).map(PrimitiveDateTime::assume_utc)
}

/// Whether an answer means "later", and how much later if it says so. A 403 is that only where it says that a limit was met:
/// one that refuses is never tried again.
fn limited(status: u16, headers: &Headers, body: &[u8], now: OffsetDateTime) -> Option<Duration> {
    let reset = || {
        let told = told(headers, now)?;
        (told.remaining == Some(0)).then(|| told.resets_in.unwrap_or(LIMIT_UNTOLD))
    };
    let asked = || retry_after(headers, now);
    match status {
        429 => Some(asked().or_else(reset).unwrap_or(LIMIT_UNTOLD)),
        403 => asked().or_else(reset).or_else(|| names_a_limit(headers, body).then_some(LIMIT_UNTOLD)),
        _ => None,
    }
}

/// GitHub's secondary limits may come without a header that says so.
fn names_a_limit(headers: &Headers, body: &[u8]) -> bool {
    if !header(headers, "content-type").is_some_and(|kind| kind.contains("json")) {
        return false;
    }
    let text = String::from_utf8_lossy(&body[..body.len().min(REASON_BYTES_MAX)]).to_ascii_lowercase();
    ["secondary rate limit", "api rate limit exceeded", "abuse detection mechanism"]
        .iter()
        .any(|words| text.contains(words))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_253_400;

    /// Header fields as they stand in a table.
    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn now() -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(NOW).unwrap()
    }

    fn headers(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    fn secs(secs: u64) -> Option<Duration> {
        Some(Duration::from_secs(secs))
    }

    #[test]
    fn every_way_to_tell_a_budget_is_read() {
        let reset = (NOW + 90).to_string();
        let told = |resource: &str, limit, remaining, resets_in| {
            Some(Told { resource: resource.to_owned(), limit, remaining, resets_in })
        };
        let table: &[(Pairs, Option<Told>)] = &[
            // GitHub
            (
                &[
                    ("x-ratelimit-limit", "5000"),
                    ("x-ratelimit-remaining", "4999"),
                    ("x-ratelimit-reset", &reset),
                    ("x-ratelimit-used", "1"),
                    ("x-ratelimit-resource", "graphql"),
                ],
                told("graphql", Some(5000), Some(4999), secs(90)),
            ),
            // The server's clock is an hour ahead of ours: what counts is the difference to its own.
            (
                &[
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", &(NOW + 3660).to_string()),
                    ("date", "Sat, 21 Nov 2026 10:30:00 GMT"),
                ],
                told("", None, Some(0), secs(60)),
            ),
            // GitLab
            (
                &[("ratelimit-limit", "60"), ("ratelimit-remaining", "3"), ("ratelimit-reset", &reset)],
                told("", Some(60), Some(3), secs(90)),
            ),
            // Drafts of the IETF, oldest first
            (
                &[("ratelimit-limit", "100, 100;w=60"), ("ratelimit-remaining", "50"), ("ratelimit-reset", "5")],
                told("", Some(100), Some(50), secs(5)),
            ),
            (&[("ratelimit", "limit=100, remaining=50, reset=5")], told("", Some(100), Some(50), secs(5))),
            (
                &[
                    ("ratelimit", "\"burst\";r=7;t=2, \"day\";r=900;t=4000"),
                    ("ratelimit-policy", "\"burst\";q=10;w=5, \"day\";q=1000;w=86400"),
                ],
                told("", Some(10), Some(7), secs(2)),
            ),
            // Jira
            (
                &[
                    ("x-ratelimit-limit", "350"),
                    ("x-ratelimit-remaining", "0"),
                    ("x-ratelimit-reset", "2026-11-21T09:31Z"),
                ],
                told("", Some(350), Some(0), secs(60)),
            ),
            (&[("x-ratelimit-remaining", "many")], None),
            (&[("x-ratelimit-limit", "5000")], None),
            (&[], None),
        ];
        for (pairs, expected) in table {
            assert_eq!(super::told(&headers(pairs), now()), *expected, "{pairs:?}");
        }
    }

    #[test]
    fn an_answer_is_read_where_it_says_something() {
        let says = |status, pairs: Pairs| says(status, &headers(pairs), b"", now);
        assert_eq!(says(200, &[("date", "Sat, 21 Nov 2026 09:31:00 GMT"), ("x-rate", "1")]), Says::default());
        assert_eq!(says(503, &[("retry-after", "7")]), Says { asked: secs(7), ..Says::default() });
        assert_eq!(says(429, &[]), Says { limited: Some(LIMIT_UNTOLD), ..Says::default() });
        for name in ["x-ratelimit-remaining", "ratelimit-remaining"] {
            assert_eq!(says(200, &[(name, "3")]).told.and_then(|told| told.remaining), Some(3), "{name}");
        }
        assert_eq!(says(200, &[("ratelimit", "\"day\";r=5;t=9")]).told.and_then(|told| told.remaining), Some(5));
    }

    #[test]
    fn retry_after_is_seconds_or_a_date_and_capped() {
        for (text, expected) in [
            ("0", secs(0)),
            ("120", secs(120)),
            ("1.5", Some(Duration::from_millis(1500))),
            ("Sat, 21 Nov 2026 09:31:00 GMT", secs(60)),
            ("Saturday, 21-Nov-26 09:31:00 GMT", None),
            ("Sat Nov 21 09:31:00 2026", secs(60)),
            ("Sat, 21 Nov 2026 09:29:00 GMT", secs(0)),
            ("Sat, 21 Nov 2099 09:29:00 GMT", Some(RESET_MAX)),
            ("99999999", Some(RESET_MAX)),
            ("1e300", None),
            ("-5", None),
            ("NaN", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(retry_after(&headers(&[("retry-after", text)]), now()), expected, "{text}");
        }
    }

    #[test]
    fn a_refusal_that_means_later_is_told_from_one_that_means_no() {
        let json = ("content-type", "application/json; charset=utf-8");
        let table: &[(u16, Pairs, &str, Option<Duration>)] = &[
            (429, &[], "", Some(LIMIT_UNTOLD)),
            (429, &[("retry-after", "7")], "", secs(7)),
            (429, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")], "", secs(30)),
            // GitHub's primary limit
            (403, &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")], "", secs(30)),
            // Its secondary limits
            (403, &[("retry-after", "61"), ("x-ratelimit-remaining", "4000")], "", secs(61)),
            (403, &[json], r#"{"message":"You have exceeded a secondary rate limit."}"#, Some(LIMIT_UNTOLD)),
            // A real refusal
            (403, &[json], r#"{"message":"Resource not accessible by integration"}"#, None),
            (403, &[("x-ratelimit-remaining", "4000"), ("x-ratelimit-reset", "30")], "", None),
            (403, &[("content-type", "text/html")], "a page about our secondary rate limit", None),
            (401, &[("retry-after", "61")], "", None),
            (200, &[("x-ratelimit-remaining", "0")], "", None),
        ];
        for (status, pairs, body, expected) in table {
            assert_eq!(
                limited(*status, &headers(pairs), body.as_bytes(), now()),
                *expected,
                "{status} {pairs:?} {body}"
            );
        }
    }
}
