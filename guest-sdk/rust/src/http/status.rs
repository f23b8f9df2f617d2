//! A bad status as an error: what it means for an integration, and what to do about it.

use super::Response;
use crate::error::{Error, ErrorKind};
use crate::time;

/// A server answered with a status of 400 or more.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{url} answered {status}{}: {}; body {excerpt}", waits(*retry_after_secs), advice(*status))]
#[non_exhaustive]
pub struct StatusError {
    /// The status code, 400 to 599.
    pub status: u16,
    /// The URL that answered.
    pub url: String,
    /// Seconds to wait before the request is worth repeating, where the server said so (`Retry-After`).
    pub retry_after_secs: Option<u64>,
    /// Whether the budget of requests is spent (`X-RateLimit-Remaining: 0`): some servers answer 403 for it.
    pub budget_spent: bool,
    /// The beginning of the body, quoted.
    excerpt: String,
}

fn waits(secs: Option<u64>) -> String {
    secs.map(|secs| format!(" (wait {secs} s)")).unwrap_or_default()
}

/// What to do about a status.
fn advice(status: u16) -> &'static str {
    match status {
        400 | 422 => "it does not take this request; look at the parameters",
        401 => {
            "it does not know who asks; grant a credential, or replace one that has expired, and name it with `auth`"
        }
        403 => "it does not allow this; the credential needs more rights, or its budget of requests is spent",
        404 | 410 => "there is no such thing, or the credential may not see it",
        405 => "it does not take this method here",
        408 | 504 => "it was too slow; ask for less at a time, or again later",
        429 => "it was asked too often; wait, and ask less often",
        500.. => "it has a fault of its own; ask again later",
        _ => "it refused",
    }
}

impl StatusError {
    pub(super) fn of(response: &Response) -> Option<StatusError> {
        if response.status < 400 {
            return None;
        }
        Some(StatusError {
            status: response.status,
            url: response.url.clone(),
            retry_after_secs: response.header("retry-after").and_then(retry_after),
            budget_spent: response.header("x-ratelimit-remaining") == Some("0"),
            excerpt: response.excerpt(),
        })
    }

    /// Whether the credentials are what is wrong: missing, expired, or without the right.
    #[must_use]
    pub fn is_credentials(&self) -> bool {
        matches!(self.status, 401 | 403) && !self.asks_to_wait()
    }

    /// Whether the same request may succeed later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self.status, 408 | 429 | 500 | 502..=504) || self.asks_to_wait()
    }

    /// A server that names a time for a 403, or says that nothing is left, means its rate limit.
    fn asks_to_wait(&self) -> bool {
        self.retry_after_secs.is_some() || (self.status == 403 && self.budget_spent)
    }
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(value: &str) -> Option<u64> {
    let value = value.trim();
    value.parse().ok().or_else(|| u64::try_from((time::parse_http(value)? - time::now()).max(0)).ok())
}

impl From<StatusError> for Error {
    fn from(error: StatusError) -> Error {
        let kind = match error.status {
            _ if error.asks_to_wait() => ErrorKind::Unavailable,
            401 | 403 => ErrorKind::Unauthenticated,
            404 | 410 => ErrorKind::NotFound,
            408 | 429 | 500.. => ErrorKind::Unavailable,
            _ => ErrorKind::Other,
        };
        Error::new(kind, error.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::{Response, retry_after};
    use crate::ErrorKind;

    #[test]
    fn a_status_says_what_to_do() {
        let error = |status, headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            Response { status, url: "https://x.invalid/".to_owned(), headers, body: b"no".to_vec() }.check().err()
        };
        assert!(error(200, &[]).is_none() && error(304, &[]).is_none());
        let limited = error(429, &[("retry-after", "30")]).unwrap();
        assert_eq!((limited.retry_after_secs, limited.is_temporary()), (Some(30), true));
        assert_eq!(
            limited.to_string(),
            "https://x.invalid/ answered 429 (wait 30 s): it was asked too often; wait, and ask less often; body \"no\""
        );
        let refused = error(401, &[]).unwrap();
        assert!(refused.is_credentials() && !refused.is_temporary());
        assert!(refused.to_string().contains("grant a credential"), "{refused}");
        let secondary = error(403, &[("retry-after", "60")]).unwrap();
        assert_eq!(crate::Error::from(secondary).kind(), ErrorKind::Unavailable);
        let spent = error(403, &[("x-ratelimit-remaining", "0")]).unwrap();
        assert!(!spent.is_credentials() && spent.is_temporary());
        assert_eq!(crate::Error::from(refused).kind(), ErrorKind::Unauthenticated);
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        assert_eq!(retry_after(" 120 "), Some(120));
        assert_eq!(retry_after("Fri, 31 Dec 1999 23:59:59 GMT"), Some(0));
        assert!(retry_after("Fri, 31 Dec 2999 23:59:59 GMT").unwrap() > 1_000_000_000);
        assert_eq!(retry_after("soon"), None);
    }
}
