//! What a redirect asks for, by our own rule: pure, an answer in and the next request out. The next request is judged like
//! any other; nothing is carried over to another origin that could be a secret.

use url::Url;

use super::rates::header;
use super::{EgressError, Request, Response, Target};

/// Most redirects that a request may have followed; browsers follow twenty, and APIs one.
pub(crate) const REDIRECTS_MAX: u32 = 10;

/// Header fields that may go to another origin: what is asked for, and nothing of who asks. Keys of APIs have any name, so
/// what is not listed stays behind.
const CARRIED: [&str; 6] = ["accept", "accept-language", "accept-encoding", "user-agent", "range", "content-type"];

/// The request that follows an answer; none if it is not a redirect, or none that is to be followed.
pub(super) fn next(request: &Request, answer: &Response) -> Result<Option<Request>, EgressError> {
    if request.manner.redirects_max == 0 {
        return Ok(None);
    }
    let Some(location) = header(&answer.headers, "location") else { return Ok(None) };
    let rewrite = match answer.status {
        301 | 302 => request.method == "POST",
        303 => request.method != "GET" && request.method != "HEAD",
        307 | 308 => false,
        _ => return Ok(None),
    };
    let invalid = |why: &str| EgressError::Other(format!("{} redirects to what cannot be followed: {why}", answer.url));
    let from = Url::parse(&answer.url).map_err(|_| invalid("the URL it came from is lost"))?;
    let to = from.join(location).map_err(|_| invalid("its `location` is not a URL"))?;
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err(EgressError::Denied(format!(
            "{} redirects from https to {}: that is not followed, because what was protected would not be any more",
            shown(&from),
            shown(&to)
        )));
    }
    let mut next = request.clone();
    next.manner.redirects_max -= 1;
    next.url = Target::of(to)?;
    if rewrite {
        next.method = "GET".to_owned();
        next.body = None;
        next.fill = None;
        next.headers.retain(|(name, _)| !name.to_ascii_lowercase().starts_with("content-"));
        // What may be repeated was said of the first.
        next.manner.idempotent = false;
    }
    if from.origin() != next.url.origin() {
        // Its placeholder would be taken for the secret there, and kept.
        if let Some(name) = &next.fill {
            return Err(EgressError::Denied(format!(
                "{} redirects to {}, and wants the body there: that is not followed, because the credential `{name}` is in it",
                shown(&from),
                shown(&next.url)
            )));
        }
        next.credential = None;
        next.headers.retain(|(name, _)| CARRIED.contains(&name.to_ascii_lowercase().as_str()));
    }
    Ok(Some(next))
}

/// An origin, for an error: paths and queries of redirects carry tokens.
fn shown(url: &Url) -> String {
    url.origin().ascii_serialization()
}

#[cfg(test)]
mod tests {
    use super::super::tests::get;
    use super::*;

    fn answer(status: u16, url: &str, location: &str) -> Response {
        let headers = vec![("location".to_owned(), location.to_owned())];
        Response { status, url: url.to_owned(), headers, body: bytes::Bytes::new() }
    }

    fn request(method: &str) -> Request {
        let header = |name: &str| (name.to_owned(), "1".to_owned());
        let mut request = Request {
            method: method.to_owned(),
            headers: vec![
                header("Accept"),
                header("Authorization"),
                header("X-Api-Key"),
                header("Cookie"),
                header("Content-Type"),
            ],
            body: (method != "GET").then(|| vec![1].into()),
            credential: Some("token".to_owned()),
            fill: Some("kept".to_owned()),
            ..get("https://a.test/one?x=1")
        };
        request.manner.redirects_max = 3;
        request
    }

    fn followed(method: &str, status: u16, location: &str) -> Request {
        next(&request(method), &answer(status, "https://a.test/one?x=1", location)).unwrap().unwrap()
    }

    #[test]
    fn methods_are_rewritten_as_browsers_do() {
        for (method, status, expected) in [
            ("GET", 301, "GET"),
            ("POST", 301, "GET"),
            ("POST", 302, "GET"),
            ("PUT", 302, "PUT"),
            ("PUT", 303, "GET"),
            ("HEAD", 303, "HEAD"),
            ("POST", 307, "POST"),
            ("DELETE", 308, "DELETE"),
        ] {
            let next = followed(method, status, "/two");
            assert_eq!(next.method, expected, "{method} {status}");
            assert_eq!(next.body.is_some(), expected == method && method != "GET", "{method} {status}");
            assert_eq!(next.manner.redirects_max, 2);
        }
    }

    #[test]
    fn nothing_secret_goes_to_another_origin() {
        let names = |request: &Request| request.headers.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        let same = followed("GET", 302, "two?y=2");
        assert_eq!((same.url.as_str(), same.credential.as_deref()), ("https://a.test/two?y=2", Some("token")));
        assert_eq!(names(&same).len(), 5);
        for elsewhere in ["https://b.test/", "//b.test/one", "https://a.test:8443/one", "https://sub.a.test/"] {
            // What has no body has nothing to be filled in.
            let bare = Request { fill: None, ..request("GET") };
            let other = next(&bare, &answer(302, "https://a.test/one?x=1", elsewhere)).unwrap().unwrap();
            assert_eq!(names(&other), ["Accept", "Content-Type"], "{elsewhere}");
            assert_eq!(other.credential, None, "{elsewhere}");
            let post = Request { body: Some(vec![1].into()), ..request("POST") };
            let made_get = next(&post, &answer(303, "https://a.test/one", elsewhere)).unwrap().unwrap();
            assert_eq!((made_get.body, made_get.fill), (None, None), "{elsewhere}");
            for status in [307, 308] {
                let refused = next(&post, &answer(status, "https://a.test/one", elsewhere));
                assert!(matches!(&refused, Err(EgressError::Denied(why)) if why.contains("`kept`")), "{refused:?}");
            }
        }
    }

    #[test]
    fn what_is_no_redirect_is_the_answer() {
        for (status, location) in [(200, "/two"), (304, "/two"), (300, "/two"), (305, "/two")] {
            assert!(next(&request("GET"), &answer(status, "https://a.test/", location)).unwrap().is_none(), "{status}");
        }
        let mut spent = request("GET");
        spent.manner.redirects_max = 0;
        assert!(next(&spent, &answer(302, "https://a.test/", "/two")).unwrap().is_none());
        let bare = Response { headers: vec![], ..answer(302, "https://a.test/", "") };
        assert!(next(&request("GET"), &bare).unwrap().is_none());
    }

    #[test]
    fn clear_text_is_not_gone_back_to() {
        let refused = next(&request("GET"), &answer(302, "https://a.test/", "http://a.test/secret?token=1"));
        assert!(matches!(&refused, Err(EgressError::Denied(why)) if !why.contains("secret")), "{refused:?}");
        let nonsense = next(&request("GET"), &answer(302, "https://a.test/", "https://[oops"));
        assert!(matches!(nonsense, Err(EgressError::Other(_))), "{nonsense:?}");
    }
}
