//! The text form of a network rule, `https://api.github.com/repos GET,POST`: read from configurations and from
//! manifests, written into refusals as the rule to add. Whether a request is within a rule is for `egress` to say.

use std::fmt;

use super::NetworkRule;
use super::fault::quoted;

/// Why a text is not a rule: what is wrong and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{fault}; {mend}")]
pub struct RuleFault {
    /// What is wrong.
    pub fault: String,
    /// What to do about it.
    pub mend: String,
}

fn wrong<T>(fault: impl Into<String>, mend: &str) -> Result<T, RuleFault> {
    Err(RuleFault { fault: fault.into(), mend: mend.to_owned() })
}

/// The form, for mends.
const FORM: &str = "write scheme://host[:port][/path] [METHOD,METHOD], for example https://api.github.com GET";

impl NetworkRule {
    /// Reads a rule: `scheme://host[:port][/path] [METHOD,METHOD]`. Without a port it is the scheme's, without a path
    /// `/`, without methods all.
    pub fn parse(text: &str) -> Result<NetworkRule, RuleFault> {
        let mut words = text.split_ascii_whitespace();
        let address = words.next().unwrap_or_default();
        let methods = match words.next() {
            Some(list) => list.split(',').map(method).collect::<Result<Vec<_>, _>>()?,
            None => Vec::new(),
        };
        if words.next().is_some() {
            return wrong(format!("{} has more than an address and methods", quoted(text)), FORM);
        }
        let Some((scheme, rest)) = address.split_once("://") else {
            return wrong(format!("{} is not a rule for the network", quoted(text)), FORM);
        };
        let scheme = scheme.to_ascii_lowercase();
        let (authority, path) = rest.find(['/', '?', '#']).map_or((rest, ""), |end| rest.split_at(end));
        let (host, port) = split_port(authority)?;
        NetworkRule::from_parts(&scheme, host, port, path, methods)
    }

    /// A rule from its parts, checked. `path` empty stands for `/`, no port for the scheme's; `methods` are as
    /// [`method`] gives them.
    pub(super) fn from_parts(
        scheme: &str,
        host: &str,
        port: Option<u16>,
        path: &str,
        methods: Vec<String>,
    ) -> Result<NetworkRule, RuleFault> {
        let default_port = match scheme {
            "https" => 443,
            "http" => 80,
            _ => return wrong(format!("the scheme {} is not for requests", quoted(scheme)), "write https or http"),
        };
        let path = if path.is_empty() { "/" } else { path };
        check_path(path)?;
        Ok(NetworkRule {
            scheme: scheme.to_owned(),
            host: parse_host(host)?,
            port: port.unwrap_or(default_port),
            methods,
            path: path.to_owned(),
        })
    }
}

impl fmt::Display for NetworkRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // An IPv6 address needs its brackets before a port.
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{}://{open}{}{close}", self.scheme, self.host)?;
        if !matches!((self.scheme.as_str(), self.port), ("https", 443) | ("http", 80)) {
            write!(f, ":{}", self.port)?;
        }
        if self.path != "/" {
            f.write_str(&self.path)?;
        }
        if !self.methods.is_empty() {
            write!(f, " {}", self.methods.join(","))?;
        }
        Ok(())
    }
}

/// A host as rules hold it: a name in lower case (international names in their ASCII form), `*.` before a name for every
/// name below it, or a literal address (IPv6 without brackets).
pub fn parse_host(text: &str) -> Result<String, RuleFault> {
    let (below, name) = text.strip_prefix("*.").map_or((false, text), |name| (true, name));
    let mend = "write a name like api.github.com, *.github.com for all names below github.com, or an address";
    let bad = || RuleFault { fault: format!("{} is not a host", quoted(text)), mend: mend.to_owned() };
    if name.contains(['*', '%', '@']) || name.is_empty() {
        return Err(bad());
    }
    let bracketed = if name.contains(':') && !name.starts_with('[') { format!("[{name}]") } else { name.to_owned() };
    match url::Host::parse(&bracketed).map_err(|_| bad())? {
        url::Host::Domain(name) => {
            let name = name.trim_end_matches('.');
            if name.is_empty() || name.split('.').any(str::is_empty) {
                return Err(bad());
            }
            Ok(if below { format!("*.{name}") } else { name.to_owned() })
        }
        _ if below => Err(bad()),
        url::Host::Ipv4(address) => Ok(address.to_string()),
        url::Host::Ipv6(address) => Ok(address.to_string()),
    }
}

/// A path as credentials have it: what a request's path begins with, on a segment boundary, where `*` stands for one segment.
///
/// # Errors
/// It is none.
pub fn parse_path(text: &str) -> Result<String, RuleFault> {
    check_path(text)?;
    if text.len() > PATH_BYTES_MAX {
        return wrong(
            format!("the path has {} bytes", text.len()),
            "write a shorter one; what is below it is meant too",
        );
    }
    if text.split('/').any(|segment| segment.contains('*') && segment != "*") {
        return wrong(
            format!("{} has `*` in a part of a segment", quoted(text)),
            "write it for a whole one: /repos/*/*/hooks",
        );
    }
    Ok(text.to_owned())
}

/// Bytes of such a path, as in the manifest.
const PATH_BYTES_MAX: usize = 1024;

/// A method in capitals.
pub(super) fn method(text: &str) -> Result<String, RuleFault> {
    // The longest registered one has 17 letters.
    if text.is_empty() || text.len() > 32 || !text.bytes().all(|byte| byte.is_ascii_alphabetic() || byte == b'-') {
        return wrong(
            format!("{} is not a method", quoted(text)),
            "write methods as GET,POST without spaces; none for all",
        );
    }
    Ok(text.to_ascii_uppercase())
}

fn split_port(authority: &str) -> Result<(&str, Option<u16>), RuleFault> {
    if authority.contains('@') {
        return wrong("a rule holds no user or password", "remove what is before `@`; give a credential instead");
    }
    let after_brackets = authority.rfind(']').map_or(0, |end| end + 1);
    let Some(colon) = authority[after_brackets..].find(':').map(|index| index + after_brackets) else {
        return Ok((authority, None));
    };
    match authority[colon + 1..].parse::<u16>() {
        Ok(port) if port > 0 => Ok((&authority[..colon], Some(port))),
        _ => wrong(format!("{} is not a port", quoted(&authority[colon + 1..])), "write a number from 1 to 65535"),
    }
}

fn check_path(path: &str) -> Result<(), RuleFault> {
    if path.contains(['?', '#']) {
        return wrong("a rule has no query and no fragment", "end the rule with the path");
    }
    if !path.starts_with('/') {
        return wrong(format!("the path {} does not begin with `/`", quoted(path)), "write /path");
    }
    // A rule is compared with the path as it is sent: what a server might read in two ways has no place in it.
    if path.contains('\\') || path.contains('%') || path.split('/').any(|segment| segment == "." || segment == "..") {
        return wrong(
            format!("the path {} can be read in two ways", quoted(path)),
            "write a plain path without .., % and \\",
        );
    }
    if !path.bytes().all(|byte| byte.is_ascii_graphic()) {
        return wrong(format!("the path {} has characters that no URL has", quoted(path)), "write ASCII only");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rules_are_read_and_written() {
        for (text, expected) in [
            ("https://api.github.com", "https://api.github.com"),
            ("HTTPS://API.GitHub.com:443/ get,Post", "https://api.github.com GET,POST"),
            ("http://localhost:8080/v1/x GET", "http://localhost:8080/v1/x GET"),
            ("https://*.example.com", "https://*.example.com"),
            ("https://[::1]:8443/a", "https://[::1]:8443/a"),
            ("http://10.0.0.1", "http://10.0.0.1"),
            ("https://bücher.example", "https://xn--bcher-kva.example"),
        ] {
            let rule = NetworkRule::parse(text).unwrap();
            assert_eq!(rule.to_string(), expected, "{text}");
            assert_eq!(NetworkRule::parse(expected).unwrap(), rule, "{text}");
        }
    }

    #[test]
    fn paths_have_whole_segments_for_any() {
        for good in ["/", "/repos", "/repos/*/*/hooks", "/*/x/", "/rest/webhooks/1.0"] {
            assert_eq!(parse_path(good).unwrap(), good);
        }
        for (text, said) in [
            ("", "does not begin"),
            ("repos", "does not begin"),
            ("/re*s", "part of a segment"),
            ("/repos/**", "part of a segment"),
            ("/a/../b", "two ways"),
            ("/a%2fb", "two ways"),
            ("/a?b", "no query"),
            ("/ü", "no URL has"),
        ] {
            let fault = parse_path(text).unwrap_err();
            assert!(fault.fault.contains(said), "{text}: {fault}");
        }
        assert!(parse_path(&format!("/{}", "a".repeat(PATH_BYTES_MAX))).is_err());
    }

    #[test]
    fn what_is_not_a_rule_is_refused_with_its_mend() {
        for (text, said) in [
            ("", "not a rule"),
            ("api.github.com", "not a rule"),
            ("ftp://example.com", "scheme"),
            ("https://", "not a host"),
            ("https://*", "not a host"),
            ("https://a.*.com", "not a host"),
            ("https://*.10.0.0.1", "not a host"),
            ("https://a..b", "not a host"),
            ("https://u:p@example.com", "no user"),
            ("https://example.com:0", "not a port"),
            ("https://example.com:99999", "not a port"),
            ("https://example.com/a/../b", "two ways"),
            ("https://example.com/%2e", "two ways"),
            ("https://example.com?x=1", "no query"),
            ("https://example.com GET POST", "more than"),
            ("https://example.com G€T", "not a method"),
            ("https://example.com GET,", "not a method"),
        ] {
            let fault = NetworkRule::parse(text).unwrap_err();
            assert!(fault.fault.contains(said), "{text}: {fault}");
        }
    }
}
