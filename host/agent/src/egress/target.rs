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

    /// Reads a URL of which the last one that was read is likely to be another page: what stands before the path is then not read
    /// again.
    ///
    /// # Errors
    /// As [`Target::parse`], which it gives the same as.
    pub(crate) fn parse_after(last: &mut Option<Target>, text: &str) -> Result<Target, EgressError> {
        let target = match last.as_ref().and_then(|last| last.beside(text)) {
            Some(target) => target,
            None => Target::parse(text)?,
        };
        *last = Some(target.clone());
        Ok(target)
    }

    /// This one with another path and query, if that is all in which the text differs, and if all of that is letters that stand
    /// for themselves.
    fn beside(&self, text: &str) -> Option<Target> {
        if text.len() > URL_BYTES_MAX {
            return None;
        }
        let rest = text.strip_prefix(self.origin_text())?;
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"/-_.~?&=%+,:@".contains(&byte);
        if !rest.starts_with('/') || !rest.bytes().all(plain) {
            return None;
        }
        let (path, query) = rest.split_once('?').map_or((rest, None), |(path, query)| (path, Some(query)));
        let mut url = self.0.clone();
        url.set_path(path);
        url.set_query(query);
        Some(Target(url))
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
            if bare.ends_with('.') || url.set_host(Some(&bare)).is_err() {
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
            ("https://a.test../", "not a host name"),
            ("https://../", "not a host name"),
        ] {
            assert!(said(url).contains(expected), "{url}: {}", said(url));
        }
        assert!(said(&format!("https://example.com/{}", "a".repeat(URL_BYTES_MAX))).contains("at most 8192"));
    }

    /// Whatever was read before, and whatever the two have in common.
    #[test]
    fn what_was_read_before_makes_no_difference() {
        let pieces = "http:// https:// HTTP:// a.test b.test a.test. a.test.. . .. A.test 127.0.0.1 0x7f.1 [::1] u@ :80 :443 \
                      :8080 / // \\ /.. /. /%2e%2E/ /%2F p page/1 ? ?q=1&r #f % %zz \u{fc} ' \" < | @ : ; ~ , +";
        let pieces: Vec<&str> = pieces.split(' ').chain([" ", "\t", "\n", ""]).collect();
        let bases = [
            "http://a.test",
            "http://a.test/",
            "http://a.test.",
            "http://a.test:8080/",
            "https://127.0.0.1",
            "http://",
            "",
        ];
        let mut seed = 7_u64;
        let mut below = |bound: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            usize::try_from(seed >> 33).unwrap() % bound
        };
        let (mut last, mut quick) = (None, 0);
        for _ in 0..50_000 {
            // Half of them are of one host.
            let mut text = bases[below(bases.len() * 2).saturating_sub(bases.len())].to_owned();
            for _ in 0..below(5) {
                text.push_str(pieces[below(pieces.len())]);
            }
            quick += usize::from(last.as_ref().is_some_and(|last: &Target| last.beside(&text).is_some()));
            // Its parts, too: two URLs are equal when their texts are, however those are divided.
            let parts = |target: Result<Target, EgressError>| {
                target.map(|target| format!("{target} {:?} {:#?}", target.origin_text(), target.0))
            };
            assert_eq!(parts(Target::parse_after(&mut last, &text)), parts(Target::parse(&text)), "{text:?}");
        }
        assert!(quick > 2_000, "only {quick} were not read anew");
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
