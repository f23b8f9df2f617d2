//! Where a request goes: a URL that has been read once and is what the rules can judge. Nothing else makes one, so what is judged
//! is what is asked for.

use std::fmt;
use std::ops::Deref;

use url::{Host, Position, Url};

use super::EgressError;

/// Bytes of a URL; servers refuse longer ones.
const URL_BYTES_MAX: usize = 8 << 10;

/// An absolute URL with the scheme `http` or `https`, without user information, fragment, and final dot of its host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target(Url);

impl Target {
    /// Reads a URL.
    ///
    /// # Errors
    /// `EgressError::Invalid`: what is wrong with it. The URL itself is not shown: it may hold a secret.
    pub fn parse(text: &str) -> Result<Target, EgressError> {
        if text.len() > URL_BYTES_MAX {
            return invalid(format!("the URL has {} bytes; at most {URL_BYTES_MAX} are allowed", text.len()));
        }
        match Url::parse(text) {
            Ok(url) => Target::of(url),
            Err(fault) => invalid(format!("the URL is not absolute and well-formed: {fault}")),
        }
    }

    /// The same of one that is read.
    pub(super) fn of(mut url: Url) -> Result<Target, EgressError> {
        if !matches!(url.scheme(), "http" | "https") {
            return invalid(format!("the URL's scheme is `{}`; http and https are possible", url.scheme()));
        }
        if !url.username().is_empty() || url.password().is_some() {
            return invalid("the URL contains user information; use the option `auth`".to_owned());
        }
        // A final dot makes another `Host` and another certificate name of the same host.
        if let Some(Host::Domain(name)) = url.host()
            && let Some(bare) = name.strip_suffix('.')
        {
            let bare = bare.to_owned();
            if url.set_host(Some(&bare)).is_err() {
                return invalid(format!("the URL's host `{bare}.` is not a host name"));
            }
        }
        if url.fragment().is_some() {
            url.set_fragment(None);
        }
        Ok(Target(url))
    }

    /// The origin as text (RFC 6454, 6.2): scheme, host, and the port where it is not the scheme's own.
    pub(super) fn origin_text(&self) -> &str {
        // There is no user information in between, and the parser leaves a scheme's own port out.
        &self.0[..Position::AfterPort]
    }
}

fn invalid(why: String) -> Result<Target, EgressError> {
    Err(EgressError::Invalid(why))
}

impl Deref for Target {
    type Target = Url;

    fn deref(&self) -> &Url {
        &self.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_absolute_http_without_user_information() {
        let said = |text: &str| match Target::parse(text) {
            Ok(target) => target.to_string(),
            Err(EgressError::Invalid(why)) => why,
            Err(other) => panic!("{other:?}"),
        };
        for (url, expected) in [
            ("https://example.com/a?b", "https://example.com/a?b"),
            ("HTTP://EXAMPLE.com.#f", "http://example.com/"),
            ("/a", "not absolute"),
            ("file:///etc/passwd", "scheme is `file`"),
            ("https://a@example.com/", "user information"),
            ("https://:b@example.com/", "user information"),
            ("https://", "not absolute"),
        ] {
            assert!(said(url).contains(expected), "{url}: {}", said(url));
        }
        assert!(said(&format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX))).contains("at most 8192"));
    }

    #[test]
    fn an_origin_is_written_as_the_standard_says() {
        for text in
            ["http://a.test", "https://a.test:443", "http://a.test:443/x", "https://[::1]:8443/", "http://127.1"]
        {
            let target = Target::parse(text).unwrap();
            assert_eq!(target.origin_text(), target.origin().ascii_serialization(), "{text}");
        }
    }
}
