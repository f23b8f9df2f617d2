//! As much of URLs as paging and tests need: their parts, their origin, and references resolved against them (RFC 3986,
//! section 5). What a URL may be is for the host to judge.

/// The parts of an absolute URL with an authority.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Parts<'a> {
    pub(crate) scheme: &'a str,
    pub(crate) authority: &'a str,
    pub(crate) path: &'a str,
    /// What is between `?` and `#`.
    pub(crate) query: Option<&'a str>,
}

/// Splits an absolute `http` or `https` URL; nothing for anything else. A fragment is left out.
pub(crate) fn split(url: &str) -> Option<Parts<'_>> {
    let (scheme, rest) = url.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, rest) = rest.split_at(end);
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    // To the host, as to a browser, a backslash is a slash, and ends the name of the server.
    (!authority.is_empty() && !authority.contains('\\')).then_some(Parts { scheme, authority, path, query })
}

impl Parts<'_> {
    /// Host in lower case, and port.
    pub(crate) fn host_port(&self) -> (String, u16) {
        let authority = self.authority.rsplit('@').next().unwrap_or_default();
        let default = if self.scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
        // The colons of an IPv6 address are inside its brackets.
        let (host, port) = match authority.rsplit_once(':') {
            Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(default)),
            _ => (authority, default),
        };
        (host.to_ascii_lowercase(), port)
    }
}

/// Whether two URLs have the same scheme, host and port. One that cannot be split has the origin of none.
pub(crate) fn same_origin(a: &str, b: &str) -> bool {
    match (split(a), split(b)) {
        (Some(a), Some(b)) => a.scheme.eq_ignore_ascii_case(b.scheme) && a.host_port() == b.host_port(),
        _ => false,
    }
}

/// Resolves a reference, absolute or relative, against an absolute URL. Nothing where `base` is none, or where the
/// reference has another scheme than `http` and `https`.
pub(crate) fn join(base: &str, reference: &str) -> Option<String> {
    let base = split(base)?;
    let reference = reference.split('#').next().unwrap_or_default();
    let scheme_end = reference.find(['/', '?']).unwrap_or(reference.len());
    if reference[..scheme_end].contains(':') {
        return split(reference).map(|_| reference.to_owned());
    }
    let origin = format!("{}://{}", base.scheme, base.authority);
    if let Some(rest) = reference.strip_prefix("//") {
        return Some(format!("{}://{rest}", base.scheme)).filter(|url| split(url).is_some());
    }
    let (path, query) = match reference.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (reference, None),
    };
    let path = match path {
        "" => base.path.to_owned(),
        _ if path.starts_with('/') => without_dots(path),
        _ => {
            let folder = base.path.rfind('/').map_or("/", |end| &base.path[..=end]);
            without_dots(&format!("{folder}{path}"))
        }
    };
    let query = if reference.is_empty() || reference.starts_with('#') { base.query } else { query };
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    Some(format!("{origin}{path}{query}"))
}

/// A path without `.` and `..`.
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            _ => kept.push(segment),
        }
    }
    format!("/{}", kept.join("/"))
}

/// Everything but the unreserved characters of RFC 3986 is encoded, which is right in a query and in a path's segment.
pub(crate) fn percent_encode(out: &mut String, text: &str) {
    use std::fmt::Write as _;
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a `String` cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
}

/// The text with `%XX` and `+` decoded; what is not well-formed stays as it is.
pub(crate) fn percent_decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).and_then(|hex| std::str::from_utf8(hex).ok());
        match (bytes[at], hex.and_then(|hex| u8::from_str_radix(hex, 16).ok())) {
            (b'%', Some(byte)) => {
                out.push(byte);
                at += 2;
            }
            (b'+', _) => out.push(b' '),
            (byte, _) => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The parameters of a query, decoded.
pub(crate) fn parameters(query: &str) -> impl Iterator<Item = (String, String)> {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (percent_decode(name), percent_decode(value))
    })
}

/// The URL with this parameter, and no other of its name.
pub(crate) fn with_parameter(url: &str, name: &str, value: &str) -> String {
    let (url, fragment) = match url.split_once('#') {
        Some((url, fragment)) => (url, Some(fragment)),
        None => (url, None),
    };
    let (base, query) = url.split_once('?').unwrap_or((url, ""));
    let mut out = base.to_owned();
    let others = query
        .split('&')
        .filter(|pair| !pair.is_empty() && percent_decode(pair.split('=').next().unwrap_or_default()) != name);
    for pair in others {
        out.push(if out.len() == base.len() { '?' } else { '&' });
        out.push_str(pair);
    }
    out.push(if out.len() == base.len() { '?' } else { '&' });
    percent_encode(&mut out, name);
    out.push('=');
    percent_encode(&mut out, value);
    if let Some(fragment) = fragment {
        out.push('#');
        out.push_str(fragment);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{join, percent_decode, same_origin, with_parameter};

    #[test]
    fn references_are_resolved_as_rfc_3986_says() {
        let base = "http://a/b/c/d;p?q";
        for (reference, expected) in [
            ("http://g/x", Some("http://g/x")),
            ("https://g", Some("https://g")),
            ("g", Some("http://a/b/c/g")),
            ("./g", Some("http://a/b/c/g")),
            ("g/", Some("http://a/b/c/g/")),
            ("/g", Some("http://a/g")),
            ("//g", Some("http://g")),
            ("?y", Some("http://a/b/c/d;p?y")),
            ("g?y", Some("http://a/b/c/g?y")),
            ("g?y/./x", Some("http://a/b/c/g?y/./x")),
            ("#s", Some("http://a/b/c/d;p?q")),
            ("g#s", Some("http://a/b/c/g")),
            ("", Some("http://a/b/c/d;p?q")),
            (".", Some("http://a/b/c/")),
            ("..", Some("http://a/b/")),
            ("../g", Some("http://a/b/g")),
            ("../../../g", Some("http://a/g")),
            ("g;x=1/../y", Some("http://a/b/c/y")),
            ("ftp://g/", None),
            ("javascript:alert(1)", None),
            ("http://", None),
            ("//", None),
        ] {
            assert_eq!(join(base, reference).as_deref(), expected, "{reference}");
        }
        assert_eq!(join("https://a", "b?c").as_deref(), Some("https://a/b?c"));
        assert_eq!(join("a/b", "c"), None);
    }

    #[test]
    fn an_origin_is_scheme_host_and_port() {
        for (a, b, same) in [
            ("https://a/x", "https://A:443/y", true),
            ("http://a", "http://a:80?x", true),
            ("https://a", "http://a", false),
            ("https://a", "https://a:8443", false),
            ("https://a", "https://a.b", false),
            ("http://[::1]:80", "http://[::1]", true),
            ("x", "x", false),
        ] {
            assert_eq!(same_origin(a, b), same, "{a} {b}");
        }
    }

    #[test]
    fn a_parameter_replaces_those_of_its_name() {
        for (url, expected) in [
            ("http://a", "http://a?p%2F=1"),
            ("http://a?x=y#f", "http://a?x=y&p%2F=1#f"),
            ("http://a?p%2f=0&x=y&p/=9&&", "http://a?x=y&p%2F=1"),
        ] {
            assert_eq!(with_parameter(url, "p/", "1"), expected, "{url}");
        }
        assert_eq!(percent_decode("a%20b+c%zz%4"), "a b c%zz%4");
    }
}
