//! Credentials: whether one may go with a request, and putting it in, last of all, when everything that the guest gave is fixed.
//! Where values come from, and how they are struck out of what comes back, is `crate::secrets`'; what a value is exchanged for
//! first is `minted`'s.

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use url::Url;
use zeroize::Zeroizing;

use super::policy::{host_matches, host_of, path_is_within, path_of};
use super::{Egress, EgressError, Policy, Request, Response};
use crate::config::{Credential, Placement};
use crate::secrets::{self, Secret, base64};

/// What stands where a secret was struck out, in a URL that comes back.
const STRUCK: &str = "[redacted]";

/// A credential with its value, ready to go into one request.
pub(super) struct Ready {
    field: Field,
    /// What is put in, or what is made of it: to tell whether a refused one is still the newest.
    value: Secret,
    /// Whether another value may be had when this one is refused.
    renewable: bool,
}

enum Field {
    Header(HeaderName, HeaderValue),
    /// A member of the query; its value is the credential's.
    Query(String),
}

impl Ready {
    /// Puts it into a request. The URL holds the secret from here on: it goes to the wire and nowhere else.
    pub(super) fn put(&self, url: &mut Url, headers: &mut HeaderMap) {
        match &self.field {
            Field::Header(name, value) => drop(headers.insert(name.clone(), value.clone())),
            Field::Query(name) => {
                // A redirect of the same origin repeats what was put into the one before; it comes back struck out.
                let others: Vec<(String, String)> = url
                    .query_pairs()
                    .filter(|(known, _)| known != name.as_str())
                    .map(|(n, v)| (n.into_owned(), v.into_owned()))
                    .collect();
                let repeated = url.query_pairs().any(|(known, _)| known == name.as_str());
                if repeated {
                    url.query_pairs_mut().clear().extend_pairs(others);
                }
                url.query_pairs_mut().append_pair(name, self.value.reveal());
            }
        }
    }

    pub(super) fn renewable(&self) -> bool {
        self.renewable
    }

    pub(super) fn value(&self) -> &Secret {
        &self.value
    }
}

/// The credential of a name, if it may go with this request.
pub(super) fn judge<'a>(
    policy: &'a Policy,
    name: &str,
    url: &Url,
    headers: &HeaderMap,
) -> Result<&'a Credential, EgressError> {
    let credential = granted(policy, name)?;
    let both = |what: String| {
        EgressError::Invalid(format!("{what} is set by the integration and by the credential `{name}`: leave one out"))
    };
    match &credential.placement {
        Placement::Body { .. } => {
            return Err(EgressError::Invalid(format!(
                "the credential `{name}` goes into bodies: name it with the option `fill`"
            )));
        }
        Placement::Query { name: member } => {
            if url.query_pairs().any(|(known, value)| known == member.as_str() && value != STRUCK) {
                return Err(both(format!("the query's member `{member}`")));
            }
        }
        placement => {
            let field = field_of(placement, name)?;
            if headers.contains_key(&field) {
                return Err(both(format!("the header `{field}`")));
            }
        }
    }
    may_go_to(policy, credential, name, url)?;
    Ok(credential)
}

/// The body of a request with a credential in the place of its placeholder. What holds it from here on goes to the wire and
/// nowhere else.
pub(super) async fn filled(
    egress: &Egress,
    policy: &Policy,
    request: &Request,
    name: &str,
    (url, headers): (&Url, &HeaderMap),
) -> Result<Bytes, EgressError> {
    let invalid = |why: String| EgressError::Invalid(format!("the option `fill`: {why}"));
    let credential = granted(policy, name)?;
    let Placement::Body { placeholder, paths } = &credential.placement else {
        return Err(invalid(format!(
            "the credential `{name}` does not go into bodies, by its `place` in the manifest; name it with the option `auth`"
        )));
    };
    may_be_kept_at(credential, paths, name, url)?;
    may_go_to(policy, credential, name, url)?;
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    if kind != "application/json" && !kind.ends_with("+json") {
        return Err(invalid(format!("the body's `content-type` is {kind:?}; only JSON can be filled in")));
    }
    let body = request.body.as_deref().unwrap_or_default();
    if memchr::memmem::find(body, placeholder.as_bytes()).is_none() {
        return Err(invalid(format!(
            "the body does not hold `{placeholder}`, which stands for the credential `{name}`"
        )));
    }
    let value = read(egress, policy, request, name, credential).await?;
    Ok(in_place(body, placeholder, value.reveal()).into())
}

/// A JSON document with a text in the place of a placeholder, which is a text in it or a part of one.
fn in_place(body: &[u8], placeholder: &str, value: &str) -> Vec<u8> {
    let quoted = Zeroizing::new(serde_json::Value::from(value).to_string());
    // Between the quotes.
    let text = &quoted.as_bytes()[1..quoted.len() - 1];
    let mut filled = Vec::with_capacity(body.len() + text.len());
    let mut from = 0;
    for at in memchr::memmem::find_iter(body, placeholder) {
        filled.extend_from_slice(&body[from..at]);
        filled.extend_from_slice(text);
        from = at + placeholder.len();
    }
    filled.extend_from_slice(&body[from..]);
    filled
}

fn granted<'a>(policy: &'a Policy, name: &str) -> Result<&'a Credential, EgressError> {
    policy.credentials.get(name).ok_or_else(|| {
        EgressError::Denied(format!(
            "no credential `{name}` is granted: add it to `grants.credentials` of this integration in agent.yaml"
        ))
    })
}

/// The value, with its fault told as a request's.
async fn read(
    egress: &Egress,
    policy: &Policy,
    request: &Request,
    name: &str,
    credential: &Credential,
) -> Result<Secret, EgressError> {
    egress.value(policy, &request.caller, credential).await.map_err(|fault| {
        let mut text = format!("credential `{name}`: {fault}");
        secrets::strike(&mut text);
        EgressError::Other(text)
    })
}

/// Reads the value, exchanges it where that is said, and gives it the form in which it goes. The request was judged.
pub(super) async fn ready(
    egress: &Egress,
    policy: &Policy,
    request: &Request,
    name: &str,
    credential: &Credential,
) -> Result<Ready, EgressError> {
    let value = read(egress, policy, request, name, credential).await?;
    let text = match &credential.placement {
        Placement::Bearer => format!("Bearer {}", value.reveal()),
        Placement::Basic { username } => {
            let token = Secret::new(base64(format!("{username}:{}", value.reveal()).as_bytes()));
            format!("Basic {}", token.reveal())
        }
        Placement::Header { prefix, .. } => format!("{prefix}{}", value.reveal()),
        Placement::Query { name } => {
            let field = Field::Query(name.clone());
            return Ok(Ready { field, value, renewable: renewable(credential) });
        }
        // Judged before: it is none that a request is made with.
        Placement::Body { .. } => {
            return Err(EgressError::Other(format!("credential `{name}` in a header; this is a fault of the agent")));
        }
    };
    let mut field_value = HeaderValue::from_str(&text).map_err(|_| {
        EgressError::Other(format!("credential `{name}`: its value has characters that a header cannot carry"))
    })?;
    // Marked, so that no `Debug` of a request shows it and HTTP/2 does not keep it in a compression table.
    field_value.set_sensitive(true);
    let field = Field::Header(field_of(&credential.placement, name)?, field_value);
    Ok(Ready { field, value, renewable: renewable(credential) })
}

fn renewable(credential: &Credential) -> bool {
    credential.exchange.is_some() || matches!(credential.source, crate::config::SecretSource::Command(_))
}

fn field_of(placement: &Placement, name: &str) -> Result<HeaderName, EgressError> {
    match placement {
        Placement::Header { name: field, .. } => HeaderName::from_bytes(field.as_bytes()).map_err(|_| {
            EgressError::Other(format!("credential `{name}`: `{field}` is not the name of a header field"))
        }),
        Placement::Bearer | Placement::Basic { .. } | Placement::Query { .. } | Placement::Body { .. } => {
            Ok(AUTHORIZATION)
        }
    }
}

fn may_go_to(policy: &Policy, credential: &Credential, name: &str, url: &Url) -> Result<(), EgressError> {
    let host = host_of(url);
    if !credential.hosts.iter().any(|pattern| host_matches(pattern, &host)) {
        return Err(EgressError::Denied(format!(
            "the credential `{name}` does not belong to {host}: add to `grants.credentials.{name}.hosts` of this integration in agent.yaml: - {host}"
        )));
    }
    if let Some(PathLacking::Granted) = path_lacking(credential, url) {
        return Err(EgressError::Denied(format!(
            "the credential `{name}` may not go to {} of {host}: add to `grants.credentials.{name}.paths` of this integration in agent.yaml: - {}",
            url.path(),
            path_of(url)
        )));
    }
    if url.scheme() != "https" && !policy.is_private_host(&host) {
        return Err(EgressError::Denied(format!(
            "the credential `{name}` is not sent to {host} in clear text: use https, or list the host in `grants.private_hosts`"
        )));
    }
    Ok(())
}

/// Whether what is put into a body may be kept where the request leads: somebody has to have said where, or it could be written
/// to where others read it.
fn may_be_kept_at(credential: &Credential, asked: &[String], name: &str, url: &Url) -> Result<(), EgressError> {
    match path_lacking(credential, url) {
        Some(PathLacking::Asked) => Err(EgressError::Denied(format!(
            "the integration's manifest asks to put the credential `{name}` into bodies for other paths ({}) than {}; its author has \
             to add to `place.body.paths` of it in `asks.credentials`: {}",
            asked.join(", "),
            url.path(),
            path_of(url)
        ))),
        Some(PathLacking::Any) => Err(EgressError::Denied(format!(
            "nothing says for which paths the credential `{name}` may be put into bodies: add to `grants.credentials` of this \
             integration in agent.yaml: {name}: {{body: true, hosts: [{}], paths: [{}]}}",
            host_of(url),
            path_of(url)
        ))),
        // Judged with the hosts.
        Some(PathLacking::Granted) | None => Ok(()),
    }
}

fn is_within(paths: &[String], url: &Url) -> bool {
    paths.iter().any(|path| path_is_within(path, url.path()))
}

/// What of its paths a request to this URL lacks first: none where it has all that it needs.
pub(super) fn path_lacking(credential: &Credential, url: &Url) -> Option<PathLacking> {
    let granted = &credential.paths;
    match &credential.placement {
        Placement::Body { paths, .. } if !paths.is_empty() && !is_within(paths, url) => Some(PathLacking::Asked),
        Placement::Body { paths, .. } if paths.is_empty() && granted.is_empty() => Some(PathLacking::Any),
        _ if !granted.is_empty() && !is_within(granted, url) => Some(PathLacking::Granted),
        _ => None,
    }
}

/// Which path is missing.
pub(super) enum PathLacking {
    /// One of the manifest's.
    Asked,
    /// One of the operator's, who named others.
    Granted,
    /// One of either: there is none at all.
    Any,
}

/// Strikes every secret of this process out of an answer: the server may repeat what it was given with another request. A body
/// without any is not copied.
pub(super) fn strike_answer(answer: &mut Response) {
    if let Some(clean) = secrets::strike_bytes(&answer.body) {
        answer.body = clean.into();
    }
    strike_fields(&mut answer.headers);
    secrets::strike(&mut answer.url);
}

/// The same for header fields. A name that holds a secret is no name any more, and gets one.
pub(super) fn strike_fields(fields: &mut [(String, String)]) {
    for (name, value) in fields {
        if secrets::strike_bytes(name.as_bytes()).is_some() {
            "x-redacted".clone_into(name);
        }
        secrets::strike(value);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_comes_back_is_struck_out_of_names_values_body_and_url() {
        let _held = Secret::new("Answered-Canary-1".to_owned());
        let mut answer = Response {
            status: 200,
            url: "https://a.test/?t=Answered-Canary-1".to_owned(),
            headers: vec![
                ("x-answered-canary-1".to_owned(), "1".to_owned()),
                ("location".to_owned(), "/?t=Answered-Canary-1".to_owned()),
            ],
            body: b"<Answered-Canary-1>"[..].into(),
        };
        strike_answer(&mut answer);
        assert!(!format!("{answer:?}").to_lowercase().contains("answered-canary"), "{answer:?}");
        assert_eq!(answer.headers[0].0, "x-redacted");
        assert_eq!(answer.body, "<[redacted]>");
    }

    #[test]
    fn a_value_is_a_text_of_the_document_whatever_is_in_it() {
        let body = json!({ "config": { "secret": "secret:/key", "url": "https://a.test/?s=secret:/key" }, "n": 1 });
        for value in ["plain", "", "\"quoted\"", "\\ and \n", "ümlaut \u{1f511}", "\", \"n\": 2, \"x\": \""] {
            let filled = in_place(body.to_string().as_bytes(), "secret:/key", value);
            let read: serde_json::Value = serde_json::from_slice(&filled).expect("it is JSON still");
            let url = format!("https://a.test/?s={value}");
            assert_eq!(read, json!({ "config": { "secret": value, "url": url }, "n": 1 }));
        }
    }

    #[test]
    fn a_query_member_is_put_in_once() {
        let ready = Ready {
            field: Field::Query("key".to_owned()),
            value: Secret::new("queried-canary".to_owned()),
            renewable: false,
        };
        for (before, after) in [
            ("https://a.test/x", "https://a.test/x?key=queried-canary"),
            ("https://a.test/x?b=1", "https://a.test/x?b=1&key=queried-canary"),
            ("https://a.test/x?key=[redacted]&b=1", "https://a.test/x?b=1&key=queried-canary"),
        ] {
            let mut url = Url::parse(before).expect("a URL");
            ready.put(&mut url, &mut HeaderMap::new());
            assert_eq!(url.as_str(), after);
        }
    }
}
