//! Where a repository may come from: http and https through the door, and folders of this machine that the operator
//! grants. Everything else is refused with what to use instead.

use std::path::{Path, PathBuf};

use ::url::Url;

/// A place that a repository may be read from. That the network rules allow it is not said yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Source {
    /// Over http or https; without user information, query and fragment.
    Remote(Url),
    /// In place. Canonical, and below a granted folder.
    Path(PathBuf),
}

/// Judges where a repository is said to be. The error says what to use instead.
pub(super) fn judge(text: &str, granted: &[PathBuf]) -> Result<Source, String> {
    if text.starts_with('/') {
        return in_place(Path::new(text), granted);
    }
    // `ext::COMMAND` and its like run a helper program.
    if let Some((helper, _)) = text.split_once("::")
        && helper.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        return Err(format!("`{helper}::` URLs run a program and are not supported: use an https URL"));
    }
    let url = match Url::parse(text) {
        Ok(url) => url,
        Err(_) if is_scp_like(text) => return Err(instead_of_ssh(text)),
        Err(fault) => {
            return Err(format!(
                "the repository's URL cannot be read ({fault}): use an http or https URL or an absolute path"
            ));
        }
    };
    match url.scheme() {
        "http" | "https" => remote(url),
        "file" => match url.to_file_path() {
            Ok(path) => in_place(&path, granted),
            Err(()) => Err("a file URL names a folder of this machine: file:///path".to_owned()),
        },
        "ssh" | "git+ssh" | "ssh+git" => Err(instead_of_ssh(text)),
        "git" => Err(
            "git:// is neither encrypted nor authenticated and is not supported: use the https URL of the repository"
                .to_owned(),
        ),
        _ if is_scp_like(text) => Err(instead_of_ssh(text)),
        other => Err(format!("`{other}:` URLs are not supported: use an http or https URL or an absolute path")),
    }
}

fn remote(url: Url) -> Result<Source, String> {
    if !url.username().is_empty() || url.password().is_some() {
        return Err(
            "the repository's URL holds user information: put the secret into `grants.credentials` in agent.yaml and name the credential with the repository"
                .to_owned(),
        );
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err("the repository's URL has a query or a fragment: use the URL that `git clone` takes".to_owned());
    }
    Ok(Source::Remote(url))
}

/// `user@host:path`, which is ssh; but not `C:\path` and not a relative path.
fn is_scp_like(text: &str) -> bool {
    text.split_once(':').is_some_and(|(host, path)| {
        host.len() > 1 && !host.contains('/') && !path.is_empty() && !path.starts_with("//")
    })
}

/// What to use instead of an ssh URL: the same repository over https, as the large hosts name it.
fn instead_of_ssh(text: &str) -> String {
    let bare = text.split_once("://").map_or(text, |(_, rest)| rest);
    let after_user = bare.rsplit_once('@').map_or(bare, |(_, rest)| rest);
    let (host, path) = after_user.split_once([':', '/']).unwrap_or((after_user, ""));
    // `ssh://host:22/path` has a port before its path.
    let path = match path.split_once('/') {
        Some((port, rest)) if port.parse::<u16>().is_ok() && text.contains("://") => rest,
        _ => path,
    };
    format!("git over ssh is not supported: use https://{host}/{} with a credential", path.trim_start_matches('/'))
}

fn in_place(path: &Path, granted: &[PathBuf]) -> Result<Source, String> {
    let refused = |path: &Path| {
        format!(
            "this folder is not granted; add to `grants.git.paths` of this integration in agent.yaml: - {}",
            path.display()
        )
    };
    if granted.is_empty() {
        return Err(refused(path));
    }
    let canonical = path.canonicalize().map_err(|fault| format!("{}: {fault}", path.display()))?;
    if is_granted(&canonical, granted) { Ok(Source::Path(canonical)) } else { Err(refused(&canonical)) }
}

/// Whether a canonical path is a granted folder or below one.
pub(super) fn is_granted(canonical: &Path, granted: &[PathBuf]) -> bool {
    granted.iter().filter_map(|folder| folder.canonicalize().ok()).any(|folder| canonical.starts_with(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_and_https_are_taken_and_the_rest_refused_with_what_to_use() {
        for (text, expected) in [
            ("https://github.com/a/b.git", "ok"),
            ("http://127.0.0.1:8080/b", "ok"),
            ("HTTPS://GitHub.com/a/b", "ok"),
            ("https://me:token@github.com/a/b", "grants.credentials"),
            ("https://github.com/a/b?x=1", "query"),
            ("git@github.com:a/b.git", "use https://github.com/a/b.git with a credential"),
            ("github.com:a/b.git", "use https://github.com/a/b.git with a credential"),
            ("ssh://git@github.com/a/b.git", "use https://github.com/a/b.git with a credential"),
            ("ssh://git@git.example.com:7999/a/b.git", "use https://git.example.com/a/b.git with a credential"),
            ("git+ssh://git@github.com/a/b.git", "use https://github.com/a/b.git"),
            ("git://github.com/a/b.git", "https URL"),
            ("ext::sh -c touch% /tmp/x", "run a program"),
            ("fd::17/foo", "run a program"),
            ("ftp://example.com/a", "`ftp:` URLs are not supported"),
            ("a/b", "absolute path"),
            ("../a", "absolute path"),
            ("-oProxyCommand=x", "absolute path"),
            ("", "absolute path"),
            ("/etc", "grants.git.paths"),
            ("file:///etc", "grants.git.paths"),
            ("file://server/share", "file:///path"),
        ] {
            let said = match judge(text, &[]) {
                Ok(_) => "ok".to_owned(),
                Err(said) => said,
            };
            assert!(said.contains(expected), "{text}: {said}");
            assert!(!said.contains("token"), "{text}: {said}");
        }
    }

    #[test]
    fn a_path_is_read_below_a_granted_folder_and_nowhere_else() {
        let root = tempfile::tempdir().expect("there is room for a folder");
        let granted = root.path().join("repos");
        let outside = root.path().join("repos-secret");
        for folder in [granted.join("a"), outside.clone()] {
            std::fs::create_dir_all(folder).expect("there is room for a folder");
        }
        std::os::unix::fs::symlink(&outside, granted.join("link")).expect("links can be made");
        let granted = vec![granted];
        let base = granted[0].display();
        assert!(matches!(judge(&format!("{base}/a"), &granted), Ok(Source::Path(_))));
        assert!(matches!(judge(&format!("file://{base}/a"), &granted), Ok(Source::Path(_))));
        for text in
            [format!("{base}/link"), format!("{base}/../repos-secret"), outside.display().to_string(), "/".to_owned()]
        {
            let said = judge(&text, &granted).expect_err("it is outside");
            assert!(said.contains("grants.git.paths"), "{text}: {said}");
        }
        assert!(judge(&format!("{base}/none"), &granted).is_err());
    }
}
