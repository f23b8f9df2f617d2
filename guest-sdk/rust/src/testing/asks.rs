//! Whether a request is within what a manifest asks for. The agent's own judge is finer; this one is for the mistake that
//! every author makes once: a host, a method or a credential that the manifest forgot.

use serde_json::Value;

use crate::url;

/// Whether one of the manifest's network rules covers this request. `Err` says what to add.
pub(super) fn network(manifest: &Value, config: &Value, method: &str, target: &str) -> Result<(), String> {
    let Some(parts) = url::split(target) else {
        return Err(format!("`{target}` is not an absolute URL"));
    };
    let (host, port) = parts.host_port();
    let scheme = parts.scheme.to_ascii_lowercase();
    let rules = manifest["asks"]["network"].as_array().map(Vec::as_slice).unwrap_or_default();
    let covered = rules.iter().any(|rule| {
        let methods = rule["methods"].as_array().map(Vec::as_slice).unwrap_or_default();
        (methods.is_empty() || methods.iter().any(|allowed| allowed == method))
            && below(rule["path"].as_str().unwrap_or("/"), parts.path)
            && reaches(rule, config, &scheme, &host, port)
    });
    if covered {
        return Ok(());
    }
    Err(format!(
        "the manifest does not ask for {method} {scheme}://{}: add a `NetworkRule` that covers it to `describe`",
        parts.authority
    ))
}

fn reaches(rule: &Value, config: &Value, scheme: &str, host: &str, port: u16) -> bool {
    let asked = rule["host"].as_str().unwrap_or_default();
    if let Some(pointer) = asked.strip_prefix("{config:").and_then(|rest| rest.strip_suffix('}')) {
        let segments: Vec<&str> = pointer.split('/').skip(1).collect();
        return texts_at(config, &segments).iter().any(|text| {
            url::split(text).is_some_and(|parts| {
                parts.scheme.eq_ignore_ascii_case(scheme) && parts.host_port() == (host.to_owned(), port)
            })
        });
    }
    let named = match asked.strip_prefix("*.") {
        Some(suffix) => host.strip_suffix(suffix).is_some_and(|label| label.len() > 1 && label.ends_with('.')),
        None => asked == host,
    };
    named
        && rule["scheme"].as_str().is_none_or(|asked| asked == scheme)
        && rule["port"].as_u64().is_none_or(|asked| asked == u64::from(port))
}

/// Whether a path lies below another, on a segment boundary.
fn below(prefix: &str, path: &str) -> bool {
    let path = if path.is_empty() { "/" } else { path };
    path.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || prefix.ends_with('/') || rest.starts_with('/'))
}

/// The texts at a pointer in which `*` stands for each element of an array.
fn texts_at<'a>(value: &'a Value, segments: &[&str]) -> Vec<&'a str> {
    match (segments, value) {
        ([], Value::String(text)) => vec![text],
        (["*", rest @ ..], Value::Array(items)) => items.iter().flat_map(|item| texts_at(item, rest)).collect(),
        ([name, rest @ ..], Value::Object(members)) => members
            .get(&name.replace("~1", "/").replace("~0", "~"))
            .map_or_else(Vec::new, |value| texts_at(value, rest)),
        _ => Vec::new(),
    }
}

/// Whether the manifest asks for a credential of this name.
pub(super) fn credential(manifest: &Value, name: &str) -> bool {
    let asked = manifest["asks"]["credentials"].as_array().map(Vec::as_slice).unwrap_or_default();
    asked.iter().any(|credential| credential["name"] == name)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::network;
    use crate::{Manifest, NetworkRule};

    #[test]
    fn a_request_is_within_what_is_asked_or_not() {
        let manifest = Manifest::new("a", "0.1.0")
            .network(NetworkRule::https("*.example.com").methods(&["GET"]).path("/v1"))
            .network(NetworkRule::config("/repos/*/url"))
            .network(NetworkRule::http("local").port(8080));
        let manifest = serde_json::to_value(manifest).unwrap();
        let config = json!({ "repos": [{ "url": "https://git.test/x" }, { "url": 1 }] });
        for (request, covered) in [
            ("GET https://a.example.com/v1", true),
            ("GET https://a.example.com:443/v1/b?c", true),
            ("POST https://a.example.com/v1", false),
            ("GET https://a.example.com/v10", false),
            ("GET https://example.com/v1", false),
            ("GET https://badexample.com/v1", false),
            ("GET http://a.example.com/v1", false),
            ("POST https://git.test/y", true),
            ("GET https://git.test:444/y", false),
            ("GET http://local:8080", true),
            ("GET http://local", false),
            ("GET /v1", false),
        ] {
            let (method, url) = request.split_once(' ').unwrap();
            assert_eq!(network(&manifest, &config, method, url).is_ok(), covered, "{request}");
        }
    }
}
