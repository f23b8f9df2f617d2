//! Whether a request is within what an integration asks for and what the operator grants: scheme, host, port, method
//! and path. Says what to add where it is not. Addresses are `address`, secrets are `secrets`.

use std::borrow::Cow;
use std::net::IpAddr;

use url::Url;

use super::{EgressError, Policy};
use crate::config::NetworkRule;

impl Policy {
    /// Checks a request against the rules. The error's text is the rule to add and where.
    pub(super) fn check(&self, method: &str, url: &Url) -> Result<(), EgressError> {
        let within = |rules: &[NetworkRule]| rules.iter().any(|rule| covers(rule, method, url));
        if !within(&self.asked) {
            return Err(EgressError::Denied(format!(
                "the integration's manifest does not ask for it; its author has to add to `network`: {}",
                rule_for(method, url)
            )));
        }
        if !within(&self.granted) {
            return Err(EgressError::Denied(format!(
                "add to `grants.network` of this integration in agent.yaml: {}",
                rule_for(method, url)
            )));
        }
        Ok(())
    }

    /// Whether the operator listed this host as one whose addresses may be private.
    pub(super) fn is_private_host(&self, host: &str) -> bool {
        self.private_hosts.iter().any(|pattern| host_matches(pattern, host))
    }

    /// The policy for git to read one repository: `url` and what is below it, `GET` and `POST`, if a rule of each side
    /// covers the repository whatever its methods. Reading over HTTP takes a POST, and who grants a repository does
    /// not mean to grant half of that.
    pub(crate) fn for_repository(&self, url: &Url) -> Result<Policy, EgressError> {
        let within = |rules: &[NetworkRule]| rules.iter().any(|rule| covers_place(rule, url));
        let narrowed = repository_rule(url);
        let text = format!("- {}", rule_text(&narrowed));
        if !within(&self.asked) {
            return Err(EgressError::Denied(format!(
                "the integration's manifest does not ask for this repository; its author has to add to `network`: {text}"
            )));
        }
        if !within(&self.granted) {
            return Err(EgressError::Denied(format!(
                "add to `grants.network` of this integration in agent.yaml: {text}"
            )));
        }
        Ok(Policy {
            asked: vec![narrowed.clone()],
            granted: vec![narrowed],
            private_hosts: self.private_hosts.clone(),
            credentials: self.credentials.clone(),
            credentials_asked: self.credentials_asked.clone(),
        })
    }
}

/// The host of a URL as rules name it: lower case, without brackets and without a final dot.
pub(super) fn host_of(url: &Url) -> Cow<'_, str> {
    let host = url.host_str().unwrap_or_default();
    let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host).trim_end_matches('.');
    // The parser has done so where it knows the scheme.
    if bare.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return bare.to_ascii_lowercase().into();
    }
    bare.into()
}

/// Whether a host pattern (a name, a literal address, or `*.` and a name) stands for this host.
pub(super) fn host_matches(pattern: &str, host: &str) -> bool {
    // The same text is the same host, and the most common; so no address need be read for it.
    if pattern == host {
        return true;
    }
    let pattern = pattern.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.');
    if let Ok(address) = host.parse::<IpAddr>() {
        // A wildcard stands for names, never for addresses; addresses have several spellings.
        return pattern.parse::<IpAddr>() == Ok(address);
    }
    match pattern.strip_prefix("*.") {
        Some(parent) => host.len().checked_sub(parent.len() + 1).is_some_and(|at| {
            at > 0 && host.as_bytes()[at] == b'.' && host.as_bytes()[at + 1..].eq_ignore_ascii_case(parent.as_bytes())
        }),
        None => pattern.eq_ignore_ascii_case(host),
    }
}

pub(super) fn covers(rule: &NetworkRule, method: &str, url: &Url) -> bool {
    covers_place(rule, url) && (rule.methods.is_empty() || rule.methods.iter().any(|allowed| allowed == method))
}

pub(super) fn covers_place(rule: &NetworkRule, url: &Url) -> bool {
    rule.scheme == url.scheme()
        && Some(rule.port) == url.port_or_known_default()
        && host_matches(&rule.host, &host_of(url))
        && path_is_below(&rule.path, url.path())
}

/// Whether a path begins with a prefix, on a segment boundary. `path` has gone through the URL parser, which resolves
/// plain dot segments; what a server might still take for one after decoding is never below anything but `/`.
pub(super) fn path_is_below(prefix: &str, path: &str) -> bool {
    let prefix = prefix.trim_end_matches('/');
    if prefix.is_empty() {
        return true;
    }
    let below = path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    below && !hides_dot_segments(path)
}

/// Whether a path begins with one of a credential, as `config::parse_path` has it: judged like that of a rule, and a `*` in it
/// stands for one segment. In that `%2f` may stand, since ids are written so; nothing that some server might take for the end of
/// the path, or for a part of it that is to be decoded once more.
pub(super) fn path_is_within(pattern: &str, path: &str) -> bool {
    if !pattern.contains('*') {
        return path_is_below(pattern, path);
    }
    let mut segments = path.split('/');
    let begins = pattern.trim_end_matches('/').split('/').all(|wanted| match (wanted, segments.next()) {
        ("*", Some(segment)) => !segment.is_empty() && !hides_an_end(segment),
        (wanted, Some(segment)) => wanted == segment,
        (_, None) => false,
    });
    begins && !hides_dot_segments(path)
}

/// Whether a segment has `?`, `#`, `;`, `%` or a control character, encoded or not.
fn hides_an_end(segment: &str) -> bool {
    let encoded = segment.split('%').skip(1).any(|rest| {
        let byte = rest.get(..2).and_then(|digits| u8::from_str_radix(digits, 16).ok());
        byte.is_none_or(|byte| byte.is_ascii_control() || b"?#;%\\".contains(&byte))
    });
    encoded || segment.contains([';', '\\'])
}

/// Rounds of decoding that are looked through; a server that decodes more often than this is not to be helped.
const DECODE_ROUNDS: usize = 3;

/// Whether a path has dot segments once `%2f`, `%5c`, `%2e` (also encoded twice) and path parameters are taken away.
fn hides_dot_segments(path: &str) -> bool {
    let mut path = path.to_ascii_lowercase();
    for _ in 0..DECODE_ROUNDS {
        let dotted = path
            .split(['/', '\\'])
            .map(|segment| segment.split(';').next().unwrap_or(segment))
            .any(|segment| segment == "." || segment == "..");
        if dotted {
            return true;
        }
        path =
            path.replace("%2f", "/").replace("%5c", "\\").replace("%2e", ".").replace("%3b", ";").replace("%25", "%");
    }
    false
}

/// A rule that would allow a request: its first path segment, its method.
pub(super) fn rule_of(method: &str, url: &Url) -> NetworkRule {
    let first = url.path().split('/').nth(1).unwrap_or_default();
    // What a rule cannot hold, because it could be read in two ways, is left to the rule for all paths.
    let plain = first.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'%' && byte != b'\\');
    NetworkRule {
        scheme: url.scheme().to_owned(),
        host: host_of(url).into_owned(),
        port: url.port_or_known_default().unwrap_or(0),
        methods: vec![method.to_owned()],
        path: if plain { format!("/{first}") } else { "/".to_owned() },
    }
}

/// The path that a credential would need for a request: its own, with `*` where it has what a path of a grant cannot hold.
pub(super) fn path_of(url: &Url) -> String {
    let plain = |segment: &&str| segment.bytes().all(|byte| byte.is_ascii_graphic() && !b"%*\\".contains(&byte));
    let segments = url.path().split('/').map(|segment| Some(segment).filter(plain).unwrap_or("*"));
    segments.collect::<Vec<_>>().join("/")
}

/// The rule for reading one repository.
pub(super) fn repository_rule(url: &Url) -> NetworkRule {
    NetworkRule {
        scheme: url.scheme().to_owned(),
        host: host_of(url).into_owned(),
        port: url.port_or_known_default().unwrap_or(0),
        methods: vec!["GET".to_owned(), "POST".to_owned()],
        path: url.path().trim_end_matches('/').to_owned(),
    }
}

fn rule_for(method: &str, url: &Url) -> String {
    format!("- {}", rule_text(&rule_of(method, url)))
}

/// A rule as it is written in the configuration.
fn rule_text(rule: &NetworkRule) -> String {
    let host = if rule.host.contains(':') { format!("[{}]", rule.host) } else { rule.host.clone() };
    let port = match (rule.scheme.as_str(), rule.port) {
        ("http", 80) | ("https", 443) => String::new(),
        (_, port) => format!(":{port}"),
    };
    let methods = if rule.methods.is_empty() { String::new() } else { format!(" {}", rule.methods.join(",")) };
    format!("{}://{host}{port}{}{methods}", rule.scheme, rule.path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(scheme: &str, host: &str, port: u16, path: &str, methods: &[&str]) -> NetworkRule {
        NetworkRule {
            scheme: scheme.to_owned(),
            host: host.to_owned(),
            port,
            methods: methods.iter().map(|m| (*m).to_owned()).collect(),
            path: path.to_owned(),
        }
    }

    fn url(text: &str) -> Url {
        Url::parse(text).expect("the tests' URLs are valid")
    }

    #[test]
    fn hosts_match_exactly_or_below_a_wildcard() {
        for (pattern, host, expected) in [
            ("api.github.com", "api.github.com", true),
            ("api.github.com", "xapi.github.com", false),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.example.com", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "aexample.com", false),
            ("*.example.com", "example.com.evil.org", false),
            ("*", "example.com", false),
            ("api.*.com", "api.github.com", false),
            ("*.0.0.1", "127.0.0.1", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("[::1]", "::1", true),
            ("0:0:0:0:0:0:0:1", "::1", true),
        ] {
            assert_eq!(host_matches(pattern, host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn every_part_of_a_rule_counts() {
        let rule = rule("https", "api.example.com", 443, "/repos", &["GET"]);
        for (method, text, expected) in [
            ("GET", "https://api.example.com/repos", true),
            ("GET", "https://api.example.com/repos/", true),
            ("GET", "https://api.example.com/repos/a?b=c", true),
            ("GET", "https://API.example.com./repos/a", true),
            ("GET", "https://api.example.com:443/repos/group%2Fproject", true),
            ("POST", "https://api.example.com/repos", false),
            ("GET", "http://api.example.com/repos", false),
            ("GET", "https://api.example.com:8443/repos", false),
            ("GET", "https://example.com/repos", false),
            ("GET", "https://api.example.com/reposx", false),
            ("GET", "https://api.example.com/", false),
            ("GET", "https://api.example.com/repos/../admin", false),
            ("GET", "https://api.example.com/repos/%2e%2e/admin", false),
            ("GET", "https://api.example.com/repos/%2e%2e%2fadmin", false),
            ("GET", "https://api.example.com/repos/x%2f..%2f..%2fadmin", false),
            ("GET", "https://api.example.com/repos/x%2f%2e%2e%2fadmin", false),
            ("GET", "https://api.example.com/repos/%252e%252e%252fadmin", false),
            ("GET", "https://api.example.com/repos/..;/admin", false),
            ("GET", "https://api.example.com/repos/..%5cadmin", false),
            ("GET", "https://api.example.com/repos\\..\\admin", false),
            ("GET", "https://api.example.com//repos", false),
        ] {
            assert_eq!(covers(&rule, method, &url(text)), expected, "{method} {text}");
        }
    }

    #[test]
    fn a_star_stands_for_one_segment() {
        let hooks = "/repos/*/*/hooks";
        for (pattern, path, expected) in [
            (hooks, "/repos/o/r/hooks", true),
            (hooks, "/repos/o/r/hooks/", true),
            (hooks, "/repos/o/r/hooks/7/config", true),
            (hooks, "/repos/o/a%2Fr/hooks", true),
            (hooks, "/repos/o/r/hooksx", false),
            (hooks, "/repos/o/r/issues", false),
            (hooks, "/repos/o/hooks", false),
            (hooks, "/repos/o/r/x/hooks", false),
            (hooks, "/repos//r/hooks", false),
            (hooks, "/api/repos/o/r/hooks", false),
            (hooks, "/repos/o/r/hooks/%2e%2e/issues", false),
            (hooks, "/repos/o/r/hooks/..%2fissues", false),
            (hooks, "/repos/o/r/hooks/%252e%252e/issues", false),
            (hooks, "/repos/%2e%2e/r/hooks", false),
            (hooks, "/repos/o/..;/hooks", false),
            (hooks, "/repos/o/r%2fissues%2f1%2fcomments%3f/hooks", false),
            (hooks, "/repos/o/r%2fissues%23/hooks", false),
            (hooks, "/repos/o/r%00/hooks", false),
            (hooks, "/repos/o/r%253f/hooks", false),
            (hooks, "/repos/o/r%5cx/hooks", false),
            (hooks, "/repos/o/r;x/hooks", false),
            (hooks, "/repos/o/r%/hooks", false),
            ("/repos/*", "/repos", false),
            ("/repos/*", "/repos/", false),
            ("/repos/*/", "/repos/o", true),
            ("/*", "/anything/below", true),
            ("/hooks", "/hooks/1", true),
            ("/hooks", "/hooksx", false),
            ("/hooks", "/hooks/%2e%2e/x", false),
            ("/", "/anything", true),
        ] {
            assert_eq!(path_is_within(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn both_sides_have_to_agree_and_the_refusal_is_the_rule_to_add() {
        let policy = Policy {
            asked: vec![rule("https", "api.github.com", 443, "/", &[])],
            granted: vec![rule("https", "api.github.com", 443, "/repos", &["GET"])],
            ..Policy::default()
        };
        assert_eq!(policy.check("GET", &url("https://api.github.com/repos/a/b")), Ok(()));
        let denied = |method: &str, text: &str| match policy.check(method, &url(text)) {
            Err(EgressError::Denied(text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            denied("GET", "https://api.github.com/users/x"),
            "add to `grants.network` of this integration in agent.yaml: - https://api.github.com/users GET"
        );
        assert!(denied("POST", "https://api.github.com/repos/a").ends_with(": - https://api.github.com/repos POST"));
        assert!(denied("GET", "https://evil.org:8443/a/b").contains("manifest does not ask for it"));
        assert!(denied("GET", "https://evil.org:8443/a/b").ends_with(": - https://evil.org:8443/a GET"));
        assert!(denied("GET", "http://[::1]/").ends_with(": - http://[::1]/ GET"));
    }

    #[test]
    fn git_gets_both_methods_of_one_repository_and_nothing_else() {
        let policy = Policy {
            asked: vec![rule("https", "*.example.com", 443, "/", &[])],
            granted: vec![rule("https", "git.example.com", 443, "/team", &["GET"])],
            ..Policy::default()
        };
        let narrowed = policy.for_repository(&url("https://git.example.com/team/a.git")).expect("it is granted");
        assert_eq!(narrowed.check("POST", &url("https://git.example.com/team/a.git/git-upload-pack")), Ok(()));
        assert!(narrowed.check("GET", &url("https://git.example.com/team/b.git/info/refs")).is_err());
        assert!(narrowed.check("PUT", &url("https://git.example.com/team/a.git/info/refs")).is_err());
        let Err(EgressError::Denied(text)) = policy.for_repository(&url("https://git.example.com/other/a.git")) else {
            panic!("it is not granted");
        };
        assert!(text.ends_with("agent.yaml: - https://git.example.com/other/a.git GET,POST"), "{text}");
    }
}
