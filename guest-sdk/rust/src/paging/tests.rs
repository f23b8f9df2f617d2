//! Every kind of paging against a server in a function: what comes, where it ends, and what is found to be wrong.

use std::cell::RefCell;

use serde_json::{Value, json};

use super::{Fault, Pages, PagingError, keyset, link, link_at, numbered, offset, token, token_in_header};
use crate::http::{HttpError, Request};
use crate::testing::{Answer, Asked, Host};
use crate::{ErrorKind, ExportResult, Integration, Manifest, NetworkRule, Result};

const URL: &str = "https://x.invalid/items";

type Test = Box<dyn FnOnce()>;

thread_local! {
    static TEST: RefCell<Option<Test>> = const { RefCell::new(None) };
}

/// Does in `export` what the test lays out.
struct Runs;

impl Integration for Runs {
    type Config = crate::Ignored;

    fn describe() -> Manifest {
        Manifest::new("runs", "0.1.0")
            .network(NetworkRule::https("x.invalid"))
            .network(NetworkRule::https("y.invalid"))
            .credential("token", "Reads")
    }

    fn export(_: Self::Config) -> Result<ExportResult> {
        TEST.take().expect("a test is laid out")();
        Ok(ExportResult::new())
    }
}

/// Runs a test with this server behind it; the requests that it made.
fn with_server(server: impl FnMut(&Asked) -> Option<Answer> + 'static, test: impl FnOnce() + 'static) -> Vec<Asked> {
    TEST.set(Some(Box::new(test)));
    let host = Host::new();
    host.serve(server);
    host.export::<Runs>(json!({})).ok().requests
}

fn number(asked: &Asked, name: &str) -> Option<u64> {
    asked.parameter(name)?.parse().ok()
}

fn items(mut pages: Pages<u64>) -> (Vec<u64>, Option<Fault>) {
    let mut items = Vec::new();
    let mut fault = None;
    for page in pages.by_ref() {
        match page {
            Ok(page) => items.extend(page.items),
            Err(error) => fault = Some(error),
        }
    }
    assert!(pages.next().is_none(), "what has ended stays ended");
    (items, fault)
}

fn complete(pages: Pages<u64>) -> Vec<u64> {
    let (items, fault) = items(pages);
    assert_eq!(fault, None);
    items
}

fn fault(pages: Pages<u64>) -> (Vec<u64>, PagingError) {
    let (items, fault) = items(pages);
    (items, fault.expect("it fails").why)
}

/// Numbers from 0 to 24, ten a page.
fn slice(from: u64, count: u64) -> Vec<u64> {
    (from.min(25)..(from + count).min(25)).collect()
}

fn all() -> Vec<u64> {
    slice(0, 25)
}

#[test]
fn links_are_followed_relative_ones_too() {
    let server = |asked: &Asked| {
        let page = number(asked, "page").unwrap_or(1);
        let answer = Answer::json(&slice((page - 1) * 10, 10));
        Some(match page {
            1 => answer.header("Link", r#"</items?page=2&x=a,b>; rel="next", </items?page=3>; rel="last""#),
            2 => answer.header("link", "<?page=1>; rel=prev").header("link", "<?page=3>; rel=next"),
            _ => answer.header("link", "<?page=1>; rel=first"),
        })
    };
    let requests = with_server(server, || {
        let mut pages = link::<u64>(Request::get(URL).auth("token").header("accept", "text/json"));
        let first = pages.next().unwrap().unwrap();
        assert_eq!(first.next.as_deref(), Some("https://x.invalid/items?page=2&x=a,b"));
        assert_eq!((first.number, pages.position()), (1, first.next.as_deref()));
        let rest: Vec<u64> = pages.flat_map(|page| page.unwrap().items).collect();
        assert_eq!([first.items, rest].concat(), all());
        // A later run goes on.
        assert_eq!(complete(link(Request::get(URL)).resume(first.next.as_deref())), slice(10, 15));
    });
    assert!(requests[..3].iter().all(|asked| asked.auth.is_some() && asked.header("accept").is_some()));
}

#[test]
fn a_link_in_the_body_is_followed() {
    let server = |asked: &Asked| {
        let page = number(asked, "page").unwrap_or(1);
        let next = ["https://x.invalid/items?page=2", "?page=3"].get(page as usize - 1);
        Some(Answer::json(&json!({ "found": slice((page - 1) * 10, 10), "links": { "next": next } })))
    };
    let requests = with_server(server, || {
        let pages = || link_at::<u64>(Request::get(URL).auth("token"), "/links/next").items_at("/found");
        assert_eq!(complete(pages()), all());
        assert_eq!(complete(pages().resume(Some("https://x.invalid/items?page=3"))), slice(20, 5));
    });
    assert_eq!(requests.len(), 4);
    assert!(requests.iter().all(|asked| asked.auth.is_some()));

    let odd = |_: &Asked| Some(Answer::json(&json!({ "found": [1], "links": { "next": { "href": "?page=2" } } })));
    with_server(odd, || {
        let (_, why) = fault(link_at(Request::get(URL), "/links/next").items_at("/found"));
        assert!(why.to_string().contains("/links/next"), "{why}");
    });
}

#[test]
fn a_link_to_elsewhere_is_followed_if_told_to_and_without_secrets() {
    let server = |asked: &Asked| {
        let first = asked.url == URL;
        Some(if first {
            Answer::json(&[1]).header("link", "<https://y.invalid/items>; rel=next")
        } else {
            Answer::json(&[2])
        })
    };
    let requests = with_server(server, || {
        let request = Request::get(URL).auth("token").header("x-api-key", "secret");
        let (before, why) = fault(link(request.clone()));
        assert_eq!((before, &why), (vec![1], &PagingError::Elsewhere("https://y.invalid/items".to_owned())));
        assert!(why.to_string().contains("set `follow_elsewhere`"), "{why}");
        // A cursor that leads there is not followed either, nor one that only seems to stay.
        let (_, why) = fault(link(request.clone()).resume(Some("https://y.invalid/items")));
        assert!(matches!(why, PagingError::Elsewhere(_)), "{why}");
        let (_, why) = fault(link(request.clone()).resume(Some(r"https://y.invalid\@x.invalid/items")));
        assert!(matches!(why, PagingError::Body(_)), "{why}");
        assert_eq!(complete(link(request).follow_elsewhere()), [1, 2]);
    });
    assert_eq!(requests.len(), 3);
    let requests = &requests[1..];
    assert_eq!((requests[0].auth.as_deref(), requests[0].headers.len()), (Some("token"), 1));
    assert_eq!((requests[1].auth.as_deref(), requests[1].headers.len()), (None, 0));
}

#[test]
fn tokens_come_from_the_body_or_a_header_field() {
    let body = |asked: &Asked| {
        let from = asked.parameter("cursor").map_or(0, |token| token[2..].parse().unwrap());
        let next = if from < 20 { json!(format!("t+{}", from + 10)) } else { Value::Null };
        Some(Answer::json(&json!({ "data": { "items": slice(from, 10) }, "meta": { "next": next } })))
    };
    with_server(body, || {
        let pages = || token(Request::get(URL), "cursor", "/meta/next").items_at("/data/items");
        assert_eq!(complete(pages()), all());
        assert_eq!(complete(pages().resume(Some("t+20"))), slice(20, 5));
        let (_, wrong) = fault(token(Request::get(URL), "cursor", "/data").items_at("/data/items"));
        assert!(wrong.to_string().contains("neither text nor a number"), "{wrong}");
    });
    let header = |asked: &Asked| {
        let from = number(asked, "after").unwrap_or(0);
        let answer = Answer::json(&slice(from, 10));
        Some(if from < 20 { answer.header("x-next", &(from + 10).to_string()) } else { answer.header("X-Next", "") })
    };
    with_server(header, || assert_eq!(complete(token_in_header(Request::get(URL), "after", "X-Next")), all()));
}

#[test]
fn pages_and_offsets_are_counted_until_a_page_is_empty() {
    let server = |asked: &Asked| {
        let from = number(asked, "page").map_or_else(|| number(asked, "offset"), |page| Some((page - 1) * 10));
        Some(Answer::json(&slice(from?, 10)))
    };
    let requests = with_server(server, || {
        assert_eq!(complete(numbered(Request::get(URL), "page", 1)), all());
        assert_eq!(complete(numbered(Request::get(URL), "page", 1).resume(Some("3"))), slice(20, 5));
        assert_eq!(complete(offset(Request::get(URL).query("offset", 7), "offset")), all());
        let (_, wrong) = fault(numbered(Request::get(URL), "page", 1).resume(Some("soon")));
        assert!(wrong.to_string().contains("soon") || matches!(wrong, PagingError::Http(_)), "{wrong}");
    });
    assert_eq!(requests[3].url, "https://x.invalid/items?page=4", "a short page does not end it");
}

/// A server may give less than it is asked for; offsets follow what came.
#[test]
fn offsets_follow_what_came() {
    let server = |asked: &Asked| Some(Answer::json(&slice(number(asked, "offset")?, number(asked, "limit")?.min(4))));
    with_server(server, || {
        assert_eq!(complete(offset(Request::get(URL).query("limit", 10), "offset")), all());
    });
}

#[test]
fn pages_come_in_order_when_several_are_asked_for_at_a_time() {
    let server = |asked: &Asked| {
        let page = number(asked, "page")?;
        Some(Answer::json(&slice((page - 1) * 5, 5)).header("x-pages", "5"))
    };
    let requests = with_server(server, || {
        let pages = |total: Option<u64>| {
            numbered(Request::get(URL), "page", 1)
                .parallel(3, move |first| total.or_else(|| first.header("x-pages")?.parse().ok()))
        };
        assert_eq!(complete(pages(None)), all());
        // A total that is wrong, either way, costs requests and loses nothing.
        assert_eq!(complete(pages(Some(2))), all());
        assert_eq!(complete(pages(Some(50))), all());
        assert_eq!(complete(pages(None).resume(Some("4"))), slice(15, 10));
    });
    assert_eq!(requests[..6].iter().filter_map(|asked| number(asked, "page")).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6]);
    // The first page is the longest: the places worked out from it are wrong.
    let uneven = |asked: &Asked| {
        let from = number(asked, "offset")?;
        Some(Answer::json(&slice(from, if from == 0 { 8 } else { 3 })))
    };
    with_server(uneven, || {
        assert_eq!(complete(offset(Request::get(URL), "offset").parallel(4, |_| Some(25))), all());
    });
}

#[test]
fn keysets_go_on_after_the_last_item() {
    let after = |asked: &Asked| Some(Answer::json(&slice(number(asked, "after").map_or(0, |id| id + 1), 10)));
    let from = |asked: &Asked| Some(Answer::json(&slice(number(asked, "after").unwrap_or(0), 10)));
    let pages = || keyset(Request::get(URL), "after", |id: &u64| id.to_string());
    with_server(after, move || {
        assert_eq!(complete(pages()), all());
        assert_eq!(complete(pages().resume(Some("21"))), slice(22, 3));
    });
    with_server(from, move || {
        let mut items = complete(pages());
        items.dedup();
        assert_eq!(items, all());
    });
    with_server(
        |_| Some(Answer::json(&[7, 7, 7])),
        move || {
            assert_eq!(fault(pages()), (vec![7, 7, 7], PagingError::Stuck("7".to_owned())));
        },
    );
}

#[test]
fn a_server_that_repeats_or_never_ends_is_found() {
    with_server(
        |_| Some(Answer::json(&[1, 2])),
        || {
            assert_eq!(fault(numbered(Request::get(URL), "page", 1)), (vec![1, 2], PagingError::Repeated));
            assert_eq!(fault(offset(Request::get(URL), "offset")), (vec![1, 2], PagingError::Repeated));
        },
    );
    // New items under links that go round.
    let mut count = 0;
    let round = move |asked: &Asked| {
        count += 1;
        let next = if asked.url.ends_with("=b") { "a" } else { "b" };
        Some(Answer::json(&[count]).header("link", &format!("<?p={next}>; rel=next")))
    };
    with_server(round, || assert_eq!(fault(link(Request::get(URL))), (vec![1, 2], PagingError::Repeated)));
    let mut count = 0;
    let endless = move |_: &Asked| {
        count += 1;
        Some(Answer::json(&json!({ "items": [count], "next": count })))
    };
    with_server(endless, || {
        let pages = token(Request::get(URL), "p", "/next").items_at("/items").pages_max(3);
        assert_eq!(fault(pages), (vec![1, 2, 3], PagingError::Endless(3)));
    });
    // Pages that are empty and go on are neither.
    let mut count = 0;
    let filtered = move |_: &Asked| {
        count += 1;
        let answer = Answer::json(&if count == 4 { vec![9] } else { vec![] });
        Some(if count < 4 { answer.header("link", &format!("<?p={count}>; rel=next")) } else { answer })
    };
    with_server(filtered, || assert_eq!(complete(link(Request::get(URL))), [9]));
}

#[test]
fn an_error_says_page_and_position_and_what_came_before_is_kept() {
    let server = |asked: &Asked| match number(asked, "page")? {
        1 => Some(Answer::json(&[1])),
        2 => Some(Answer::new(429, "slow down").header("retry-after", "7")),
        3 => Some(Answer::json(&json!([3, "four"]))),
        4 => Some(Answer::new(200, "<html>").header("content-type", "text/html")),
        _ => Some(Answer::fault(HttpError::Timeout)),
    };
    with_server(server, || {
        let at = |page: &str| items(numbered(Request::get(URL), "page", 1).resume(Some(page)));
        let (before, fault) = at("1");
        let fault = fault.unwrap();
        assert_eq!((before, fault.page, fault.position.as_deref()), (vec![1], 2, Some("2")));
        let PagingError::Status(status) = &fault.why else { panic!("{fault}") };
        assert_eq!((status.status, status.retry_after_secs), (429, Some(7)));
        let error = crate::Error::from(fault);
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().starts_with("page 2: ") && error.message().contains("wait"), "{error}");
        assert!(at("3").1.unwrap().to_string().contains("item 1 (counted from 0)"));
        assert!(at("4").1.unwrap().to_string().contains("a page of HTML"));
        assert_eq!(at("5").1.unwrap().why, PagingError::Http(HttpError::Timeout));
        let mut alone = numbered::<u64>(Request::get(URL), "page", 1).items();
        assert_eq!(alone.next(), Some(Ok(1)));
        assert!(alone.next().unwrap().is_err() && alone.next().is_none());
    });
}
