//! Answers that are kept so that the server need only say that they have not changed: at GitHub that costs nothing of the
//! budget. What is kept belongs to one integration, one account, one URL, and the header fields that the answer says it
//! depends on. It is never given out without the server's word, so nothing here can be stale.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use http::header::{
    CACHE_CONTROL, ETAG, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE, LAST_MODIFIED,
    RANGE, VARY,
};
use http::{HeaderMap, HeaderValue};

use super::Response;
use super::rates::header;
use super::room::fields_bytes;

/// Bytes of all answers kept, over all integrations: pages of lists that a run comes back to.
const KEPT_BYTES_MAX: usize = 64 << 20;
/// Bytes of one answer kept. Pages of a hundred objects have up to two megabytes.
const ANSWER_BYTES_MAX: usize = 4 << 20;
/// Answers kept for one URL, by what they vary with.
const VARIANTS_MAX: usize = 4;
/// What a kept answer takes beside its bytes.
const ENTRY_BYTES: usize = 256;

/// Header fields of a 304 that say nothing about the body that is kept (RFC 9110, 15.4.5, and what frames a message).
const NOT_TAKEN_OVER: [&str; 4] = ["content-length", "content-encoding", "transfer-encoding", "content-type"];

/// To whom an answer belongs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub integration: Arc<str>,
    pub who: Arc<str>,
    pub url: String,
}

struct Kept {
    number: u64,
    /// What the request said in the fields that the answer depends on.
    varies: Vec<(String, Option<HeaderValue>)>,
    etag: Option<HeaderValue>,
    modified: Option<HeaderValue>,
    answer: Arc<Response>,
    bytes: usize,
}

#[derive(Default)]
struct Shelf {
    kept: HashMap<Key, Vec<Kept>>,
    /// By number, the one used longest ago first; some are gone or have a newer number.
    order: VecDeque<(u64, Key)>,
    numbers: u64,
    bytes: usize,
}

/// The answers of one [`super::Egress`].
#[derive(Default)]
pub(super) struct Answers {
    shelf: Mutex<Shelf>,
}

impl Answers {
    fn lock(&self) -> std::sync::MutexGuard<'_, Shelf> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything is kept.
    pub(super) fn any(&self) -> bool {
        !self.lock().kept.is_empty()
    }

    /// Makes a request conditional, where an answer is kept: gives what a 304 then stands for.
    pub(super) fn ask(&self, key: &Key, headers: &mut HeaderMap) -> Option<Arc<Response>> {
        let mut shelf = self.lock();
        let Shelf { kept, order, numbers, .. } = &mut *shelf;
        let found = kept.get_mut(key)?.iter_mut().find(|kept| kept.fits(headers))?;
        if let Some(etag) = &found.etag {
            headers.insert(IF_NONE_MATCH, etag.clone());
        }
        if let Some(modified) = &found.modified {
            headers.insert(IF_MODIFIED_SINCE, modified.clone());
        }
        *numbers += 1;
        found.number = *numbers;
        order.push_back((*numbers, key.clone()));
        let answer = Arc::clone(&found.answer);
        shelf.trim();
        Some(answer)
    }

    /// Keeps an answer, if it may be. `headers` are the request's, without conditions.
    pub(super) fn keep(&self, key: &Key, headers: &HeaderMap, answer: &Response) {
        let (etag, modified) = validators(answer);
        let bytes = answer.body.len() + fields_bytes(&answer.headers) + key.url.len() + ENTRY_BYTES;
        if !may_be_kept(answer) || bytes > ANSWER_BYTES_MAX {
            return;
        }
        let Some(varies) = varies(&answer.headers, headers) else { return };
        // Its own bytes, and not the buffer in which they came.
        let kept = Response { body: Bytes::copy_from_slice(&answer.body), ..answer.clone() };
        let mut shelf = self.lock();
        shelf.numbers += 1;
        let number = shelf.numbers;
        let variants = shelf.kept.entry(key.clone()).or_default();
        let mut gone = 0;
        variants.retain(|kept| {
            let same = kept.fits(headers);
            gone += if same { kept.bytes } else { 0 };
            !same
        });
        if variants.len() >= VARIANTS_MAX {
            gone += variants.remove(0).bytes;
        }
        variants.push(Kept { number, varies, etag, modified, answer: Arc::new(kept), bytes });
        shelf.bytes = shelf.bytes + bytes - gone;
        shelf.order.push_back((number, key.clone()));
        shelf.trim();
    }

    #[cfg(test)]
    fn bytes(&self) -> usize {
        self.lock().bytes
    }
}

impl Shelf {
    /// Lets go of what was used longest ago, until what is left fits.
    fn trim(&mut self) {
        while self.bytes > KEPT_BYTES_MAX || self.order.len() > 2 * self.kept.len() + 1024 {
            let Some((number, key)) = self.order.pop_front() else { return };
            let Some(variants) = self.kept.get_mut(&key) else { continue };
            let Some(at) = variants.iter().position(|kept| kept.number == number) else { continue };
            if self.bytes <= KEPT_BYTES_MAX {
                // Only the list of uses is long; this one is still of use.
                self.order.push_back((number, key));
                self.order.retain(|(number, key)| {
                    self.kept.get(key).is_some_and(|variants| variants.iter().any(|kept| kept.number == *number))
                });
                return;
            }
            self.bytes -= variants.remove(at).bytes;
            if variants.is_empty() {
                self.kept.remove(&key);
            }
        }
    }
}

impl Kept {
    fn fits(&self, headers: &HeaderMap) -> bool {
        self.varies.iter().all(|(name, value)| headers.get(name) == value.as_ref())
    }
}

/// What an answer depends on, as the request had it; none if nobody can tell.
fn varies(answer: &[(String, String)], request: &HeaderMap) -> Option<Vec<(String, Option<HeaderValue>)>> {
    let named = answer.iter().filter(|(name, _)| name == VARY.as_str()).flat_map(|(_, value)| value.split(','));
    let mut varies = Vec::new();
    for name in named.map(|name| name.trim().to_ascii_lowercase()).filter(|name| !name.is_empty()) {
        if name == "*" {
            return None;
        }
        varies.push((name.clone(), request.get(&name).cloned()));
    }
    Some(varies)
}

/// What an answer can be recognized by.
fn validators(answer: &Response) -> (Option<HeaderValue>, Option<HeaderValue>) {
    let value = |name| header(&answer.headers, name).and_then(|text| HeaderValue::from_str(text).ok());
    (value(ETAG.as_str()), value(LAST_MODIFIED.as_str()))
}

/// Whether an answer has something to be recognized by, and its server does not forbid to keep it.
pub(super) fn may_be_kept(answer: &Response) -> bool {
    let forbidden = || header(&answer.headers, CACHE_CONTROL.as_str()).is_some_and(|text| text.contains("no-store"));
    answer.status == 200 && validators(answer) != (None, None) && !forbidden()
}

/// A request's header fields as they were before [`Answers::ask`] added to them: one that has such fields of its own is not
/// asked for ([`fits`]).
pub(super) fn unconditional(mut headers: HeaderMap) -> HeaderMap {
    headers.remove(IF_NONE_MATCH);
    headers.remove(IF_MODIFIED_SINCE);
    headers
}

/// Whether a request leaves room for conditions of ours.
pub(super) fn fits(method: &http::Method, headers: &HeaderMap) -> bool {
    let own = [&IF_NONE_MATCH, &IF_MODIFIED_SINCE, &IF_MATCH, &IF_UNMODIFIED_SINCE, &IF_RANGE, &RANGE];
    *method == http::Method::GET && !own.into_iter().any(|name| headers.contains_key(name))
}

/// What a 304 stands for: the answer that is kept, with what the 304 has newer (its date, its budget).
pub(super) fn renewed(kept: &Response, unchanged: Response) -> Response {
    let news = unchanged.headers.into_iter().filter(|(name, _)| !NOT_TAKEN_OVER.contains(&name.as_str()));
    let news: Vec<_> = news.collect();
    let mut headers: Vec<_> =
        kept.headers.iter().filter(|(name, _)| !news.iter().any(|(newer, _)| newer == name)).cloned().collect();
    headers.extend(news);
    Response { status: kept.status, url: unchanged.url, headers, body: kept.body.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(url: &str, who: &str) -> Key {
        Key { integration: Arc::from("one"), who: Arc::from(who), url: url.to_owned() }
    }

    fn answer(pairs: &[(&str, &str)], body: usize) -> Response {
        let headers = pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Response { status: 200, url: String::new(), headers, body: vec![b'x'; body].into() }
    }

    fn request(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), HeaderValue::from_static(value))).collect()
    }

    fn asked(answers: &Answers, key: &Key, mut headers: HeaderMap) -> Option<String> {
        answers.ask(key, &mut headers)?;
        Some(headers.get(IF_NONE_MATCH).map_or("none", |tag| tag.to_str().unwrap()).to_owned())
    }

    #[test]
    fn what_is_kept_belongs_to_url_account_integration_and_what_it_varies_with() {
        let answers = Answers::default();
        let one = key("https://a.test/1", "t");
        let (english, german) = (request(&[("accept-language", "en")]), request(&[("accept-language", "de")]));
        answers.keep(&one, &english, &answer(&[("etag", "\"e\""), ("vary", "Accept-Language, Authorization")], 1));
        answers.keep(&one, &german, &answer(&[("etag", "\"g\""), ("vary", "Accept-Language")], 1));
        assert_eq!(asked(&answers, &one, english.clone()).as_deref(), Some("\"e\""));
        assert_eq!(asked(&answers, &one, german).as_deref(), Some("\"g\""));
        assert_eq!(asked(&answers, &one, request(&[("accept-language", "fr")])), None);
        assert_eq!(asked(&answers, &key("https://a.test/2", "t"), english.clone()), None);
        assert_eq!(asked(&answers, &key("https://a.test/1", "u"), english.clone()), None);
        let other = Key { integration: Arc::from("other"), ..one };
        assert_eq!(asked(&answers, &other, english), None);
    }

    #[test]
    fn what_may_not_be_kept_is_not() {
        let answers = Answers::default();
        for pairs in [
            &[("content-type", "x")][..],
            &[("etag", "\"e\""), ("cache-control", "private, no-store")],
            &[("etag", "\"e\""), ("vary", "*")],
        ] {
            answers.keep(&key("u", ""), &request(&[]), &answer(pairs, 1));
        }
        answers.keep(&key("u", ""), &request(&[]), &Response { status: 404, ..answer(&[("etag", "\"e\"")], 1) });
        answers.keep(&key("u", ""), &request(&[]), &answer(&[("etag", "\"e\"")], ANSWER_BYTES_MAX));
        assert_eq!(answers.bytes(), 0);
        for (pairs, fit) in [
            (&[][..], true),
            (&[("if-none-match", "x")], false),
            (&[("range", "bytes=0-1")], false),
            (&[("accept", "x")], true),
        ] {
            assert_eq!(fits(&http::Method::GET, &request(pairs)), fit, "{pairs:?}");
        }
        assert!(!fits(&http::Method::POST, &request(&[])));
    }

    #[test]
    fn it_is_bounded_and_what_was_used_longest_ago_goes_first() {
        let answers = Answers::default();
        let size = 1 << 20;
        let kept = answer(&[("etag", "\"e\"")], size);
        for number in 0..100 {
            answers.keep(&key(&number.to_string(), ""), &request(&[]), &kept);
            // The first is used again and again.
            assert!(asked(&answers, &key("0", ""), request(&[])).is_some(), "{number}");
        }
        assert!(answers.bytes() <= KEPT_BYTES_MAX && answers.bytes() > KEPT_BYTES_MAX - 2 * size);
        assert!(asked(&answers, &key("1", ""), request(&[])).is_none());
        assert!(asked(&answers, &key("99", ""), request(&[])).is_some());
        let small = answer(&[("etag", "\"e\"")], 1);
        for _ in 0..10_000 {
            answers.keep(&key("99", ""), &request(&[]), &small);
        }
        assert!(answers.bytes() <= KEPT_BYTES_MAX && answers.lock().order.len() < 3_000);
    }

    #[test]
    fn a_304_brings_news_and_leaves_the_body() {
        let kept = answer(&[("etag", "\"e\""), ("content-type", "a/b"), ("x-ratelimit-remaining", "9")], 3);
        let unchanged = Response {
            status: 304,
            url: "u".to_owned(),
            ..answer(&[("x-ratelimit-remaining", "8"), ("content-length", "0")], 0)
        };
        let renewed = renewed(&kept, unchanged);
        assert_eq!((renewed.status, renewed.body.len(), renewed.url.as_str()), (200, 3, "u"));
        assert_eq!(header(&renewed.headers, "x-ratelimit-remaining"), Some("8"));
        assert_eq!(header(&renewed.headers, "content-type"), Some("a/b"));
        assert_eq!(header(&renewed.headers, "content-length"), None);
    }
}
