//! Where a repository is: which forms are accepted, what to use instead of the others, and the id and name that follow.
//!
//! The id is host and path without what does not matter: the scheme, a default port, a trailing `/` or `.git`, and
//! capitals in the host. So it stays the same when somebody writes the same URL in another way.

/// An accepted place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Location {
    /// Host, with its port unless that is the default, and path.
    Http { host: String, path: String },
    /// An absolute path of the agent's machine.
    Local { path: String },
}

impl Location {
    /// Reads a URL or path.
    ///
    /// # Errors
    /// What is wrong with it and what to write instead, with user information left out.
    pub fn parse(text: &str) -> Result<Location, String> {
        if text != text.trim() || text.chars().any(char::is_control) {
            let text = without_secrets(text);
            return Err(format!("{text:?} has spaces around it or control characters in it: remove them"));
        }
        if text.starts_with('/') {
            return local(text, text);
        }
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(without_scheme(text));
        };
        match scheme.to_ascii_lowercase().as_str() {
            "http" => http(text, rest, ":80"),
            "https" => http(text, rest, ":443"),
            "file" => local(text, rest.strip_prefix("localhost").unwrap_or(rest)),
            "ssh" | "git+ssh" | "ssh+git" | "git" => Err(instead(scheme, rest)),
            _ => Err(format!(
                "`{}` has the scheme `{scheme}`: use an https URL or an absolute path",
                shown(scheme, rest)
            )),
        }
    }

    /// The id that follows from the place.
    pub fn ref_id(&self) -> String {
        match self {
            Location::Http { host, path } => format!("{host}/{path}"),
            Location::Local { path } => path.clone(),
        }
    }

    /// The last two segments of a URL's path (`owner/project`), the last one of a local path.
    pub fn name(&self) -> String {
        let (path, segments) = match self {
            Location::Http { path, .. } => (path, 2),
            Location::Local { path } => (path, 1),
        };
        let mut name: Vec<&str> = path.rsplit('/').filter(|segment| !segment.is_empty()).take(segments).collect();
        name.reverse();
        name.join("/")
    }
}

fn http(text: &str, rest: &str, default_port: &str) -> Result<Location, String> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    if authority.contains('@') {
        let clean = authority.rsplit('@').next().unwrap_or_default();
        return Err(format!(
            "the URL of {clean}/{path} has a user name or password in it: remove it, and name a credential in `credential`"
        ));
    }
    if text.contains(['?', '#']) {
        return Err(format!("`{text}` has a query or fragment: give the URL that `git clone` takes"));
    }
    let host = authority.to_ascii_lowercase();
    let host = host.strip_suffix(default_port).unwrap_or(&host);
    let path = trimmed(path);
    if host.is_empty() || host.starts_with(':') || path.is_empty() {
        return Err(format!("`{text}` has no host or no path: give a URL such as https://example.com/owner/project"));
    }
    Ok(Location::Http { host: host.to_owned(), path: path.to_owned() })
}

fn local(text: &str, path: &str) -> Result<Location, String> {
    if !path.starts_with('/') {
        return Err(format!("`{text}` names another machine: give file:///path, or an http or https URL"));
    }
    if path.split('/').any(|segment| segment == "..") {
        return Err(format!("`{text}` has `..` in it: give the path without"));
    }
    let path = trimmed(path);
    if path.is_empty() {
        return Err(format!("`{text}` is the root of the file system: give the path of a repository"));
    }
    Ok(Location::Local { path: path.to_owned() })
}

/// Without trailing slashes, `/.git` and `.git`; a path of nothing else becomes empty.
fn trimmed(path: &str) -> &str {
    let path = path.trim_end_matches('/');
    let path = path.strip_suffix(".git").unwrap_or(path);
    path.trim_end_matches('/')
}

/// `ext::…`, `host:path`, a relative path.
fn without_scheme(text: &str) -> String {
    if let Some((helper, _)) = text.split_once("::") {
        return format!(
            "`{helper}::` starts a program, which the agent does not do: use an https URL or an absolute path"
        );
    }
    match text.split_once(':') {
        Some((host, path)) if !host.contains('/') => {
            format!("`{}` is an ssh address: use {}", without_user(text), https(host, path))
        }
        _ => format!("`{text}` is neither a URL nor an absolute path: give https://… or /…"),
    }
}

fn instead(scheme: &str, rest: &str) -> String {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    // A port of another protocol says nothing about the web server's.
    let host = authority.rsplit_once(':').map_or(authority, |(host, _)| host);
    format!(
        "`{}` goes over {scheme}, which the agent does not speak: use {}",
        shown(scheme, rest),
        https(without_user(host), path)
    )
}

fn https(host: &str, path: &str) -> String {
    format!(
        "https://{}/{} with a credential in `credential` if it is private",
        without_user(host),
        path.trim_start_matches('/')
    )
}

fn shown(scheme: &str, rest: &str) -> String {
    format!("{scheme}://{}", without_user(rest))
}

/// A URL as it may be logged: user name and password, which may be secrets, are left out.
pub fn without_secrets(text: &str) -> String {
    match text.split_once("://") {
        Some((scheme, rest)) => shown(scheme, rest),
        None => without_user(text).to_owned(),
    }
}

/// What comes after the user name and password, which may be secrets.
fn without_user(text: &str) -> &str {
    let end = text.find('/').unwrap_or(text.len());
    text[..end].rfind('@').map_or(text, |at| &text[at + 1..])
}

#[cfg(test)]
mod tests {
    use super::{Location, without_secrets};

    fn check(text: &str, expected: Result<(&str, &str), &str>) {
        match (Location::parse(text), expected) {
            (Ok(location), Ok((ref_id, name))) => {
                assert_eq!((location.ref_id().as_str(), location.name().as_str()), (ref_id, name), "{text}");
            }
            (Err(fault), Err(part)) => {
                assert!(fault.contains(part), "{text}: {fault}");
                assert!(!fault.contains("hunter2"), "{text}: {fault}");
            }
            (got, expected) => panic!("{text}: {got:?}, expected {expected:?}"),
        }
    }

    #[test]
    fn places() {
        let same = Ok(("example.com/Owner/project", "Owner/project"));
        for text in [
            "https://example.com/Owner/project",
            "https://EXAMPLE.com:443/Owner/project.git",
            "http://example.com/Owner/project/",
            "HTTPS://example.com/Owner/project.git/",
        ] {
            check(text, same);
        }
        check("https://example.com:8443/a/b/c", Ok(("example.com:8443/a/b/c", "b/c")));
        check("http://127.0.0.1:3000/one", Ok(("127.0.0.1:3000/one", "one")));
        check("/srv/git/project.git", Ok(("/srv/git/project", "project")));
        check("/home/me/project/.git/", Ok(("/home/me/project", "project")));
        check("file:///srv/git/project", Ok(("/srv/git/project", "project")));
    }

    #[test]
    fn refusals_say_what_to_use() {
        check("git@example.com:owner/project.git", Err("use https://example.com/owner/project.git"));
        check("ssh://git:hunter2@example.com:22/owner/project", Err("use https://example.com/owner/project"));
        check("git://example.com/owner/project", Err("use https://example.com/owner/project"));
        check("ext::sh -c true", Err("use an https URL"));
        check("ftp://me:hunter2@example.com/x", Err("scheme `ftp`"));
        check("https://me:hunter2@example.com/x", Err("name a credential"));
        check("https://example.com", Err("no path"));
        check("https://:443/x", Err("no host"));
        check("project", Err("neither a URL"));
        check("/srv/../etc", Err("`..`"));
        check("/", Err("root"));
        check("file://server/share", Err("another machine"));
        check(" /srv/git", Err("spaces"));
        check(" https://me:hunter2@example.com/x", Err("spaces"));
    }

    #[test]
    fn secrets_are_not_shown() {
        assert_eq!(without_secrets("https://me:hunter2@example.com/a@b"), "https://example.com/a@b");
        assert_eq!(without_secrets("git@example.com:a/b"), "example.com:a/b");
        assert_eq!(without_secrets("/srv/a@b"), "/srv/a@b");
    }
}
