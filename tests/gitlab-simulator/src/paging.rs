//! Lists as GitLab pages them: by number, with the whole length in header fields unless it is above ten thousand, or by
//! keyset, where the next page is what comes after the last item and nobody says how many there are.

use serde_json::Value;
use simulator::http::Request;

/// Items on a page, at most and unless the request says otherwise.
const PER_PAGE_MAX: usize = 100;
const PER_PAGE: usize = 20;
/// Lengths above are not told.
pub const TOTAL_MAX: usize = 10_000;

/// One page, and the header fields that go with it.
pub struct Page {
    pub items: Value,
    pub headers: Vec<(&'static str, String)>,
}

fn number(request: &Request, name: &str) -> Option<usize> {
    request.parameter(name)?.parse().ok()
}

fn per_page(request: &Request) -> usize {
    number(request, "per_page").unwrap_or(PER_PAGE).clamp(1, PER_PAGE_MAX)
}

/// The URL of the request with these parameters, and without others of their names.
fn url(base: &str, request: &Request, parameters: &[(&str, &str)]) -> String {
    let (path, query) = request.target.split_once('?').unwrap_or((&request.target, ""));
    let named = |pair: &str| parameters.iter().any(|(name, _)| pair.split('=').next() == Some(name));
    let mut all: Vec<String> =
        query.split('&').filter(|pair| !pair.is_empty() && !named(pair)).map(str::to_owned).collect();
    all.extend(parameters.iter().map(|(name, value)| format!("{name}={value}")));
    format!("{base}{path}?{}", all.join("&"))
}

/// A page by its number. In a circle the next is the first again.
pub fn by_number<T>(base: &str, request: &Request, all: &[T], circle: bool, show: impl Fn(&T) -> Value) -> Page {
    let (size, page) = (per_page(request), number(request, "page").unwrap_or(1).max(1));
    let items: Value = all.iter().skip((page - 1).saturating_mul(size)).take(size).map(show).collect();
    let last = all.len().div_ceil(size).max(1);
    let to =
        |page: usize, rel: &str| format!("<{}>; rel=\"{rel}\"", url(base, request, &[("page", &page.to_string())]));
    let mut links = vec![to(1, "first")];
    let mut headers = vec![("x-page", page.to_string()), ("x-per-page", size.to_string())];
    if all.len() <= TOTAL_MAX {
        headers.extend([("x-total", all.len().to_string()), ("x-total-pages", last.to_string())]);
        links.push(to(last, "last"));
    }
    let next = if circle { Some(1) } else { (page < last).then_some(page + 1) };
    links.extend(next.map(|next| to(next, "next")));
    headers.push(("x-next-page", next.map(|next| next.to_string()).unwrap_or_default()));
    headers.push(("link", links.join(", ")));
    Page { items, headers }
}

/// A page of what comes after the key of the last item; the items are in the order of their keys.
pub fn by_key<T>(
    base: &str,
    request: &Request,
    all: &[T],
    circle: bool,
    key: impl Fn(&T) -> (i64, u64),
    show: impl Fn(&T) -> Value,
) -> Page {
    let size = per_page(request);
    let after = request.parameter("cursor").and_then(|cursor| {
        let (at, id) = cursor.split_once('.')?;
        Some((at.parse().ok()?, id.parse().ok()?))
    });
    let rest: Vec<&T> = all.iter().filter(|item| after.is_none_or(|after: (i64, u64)| key(item) > after)).collect();
    let page: Vec<&T> = rest.iter().take(size).copied().collect();
    let mut headers = Vec::new();
    // A page that is full may be the last one; the next is empty then.
    if let Some(last) = page.last().filter(|_| page.len() == size || circle) {
        let (at, id) = if circle { (0, 0) } else { key(last) };
        headers.push(("link", format!("<{}>; rel=\"next\"", url(base, request, &[("cursor", &format!("{at}.{id}"))]))));
    }
    Page { items: page.into_iter().map(show).collect(), headers }
}

#[cfg(test)]
mod tests {
    use simulator::http::Request;

    use super::{TOTAL_MAX, by_key, by_number};

    fn request(target: &str) -> Request {
        Request { target: target.to_owned(), ..Request::default() }
    }

    fn link(headers: &[(&'static str, String)]) -> String {
        headers.iter().find(|(name, _)| *name == "link").map(|(_, value)| value.clone()).unwrap_or_default()
    }

    #[test]
    fn pages_by_number_say_how_many_there_are_unless_they_are_too_many() {
        let all: Vec<u64> = (0..45).collect();
        let page = by_number("http://h", &request("/x?page=2&state=all"), &all, false, |item| (*item).into());
        assert_eq!((page.items[0].as_u64(), page.items.as_array().unwrap().len()), (Some(20), 20));
        assert!(link(&page.headers).contains("<http://h/x?state=all&page=3>; rel=\"next\""), "{:?}", page.headers);
        assert!(page.headers.contains(&("x-total", "45".to_owned())));
        let many: Vec<u64> = (0..=TOTAL_MAX as u64).collect();
        let page = by_number("http://h", &request("/x"), &many, false, |item| (*item).into());
        assert!(!page.headers.iter().any(|(name, _)| *name == "x-total") && !link(&page.headers).contains("last"));
    }

    #[test]
    fn pages_by_key_go_on_after_the_last_item() {
        let all: Vec<u64> = (0..45).collect();
        let mut target = "/x?per_page=20".to_owned();
        let mut seen = Vec::new();
        loop {
            let page = by_key("", &request(&target), &all, false, |item| (7, *item), |item| (*item).into());
            seen.extend(page.items.as_array().unwrap().iter().filter_map(serde_json::Value::as_u64));
            let link = link(&page.headers);
            let Some(next) = link.strip_prefix('<').and_then(|rest| rest.split('>').next()) else { break };
            target = next.to_owned();
        }
        assert_eq!(seen, all);
    }
}
