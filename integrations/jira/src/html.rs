//! The bodies of issues and comments, as HTML. Servers give them rendered, with links that lead nowhere outside of a page of
//! theirs; those are made whole. Where a body comes only in the form in which it is kept, a document of the cloud (ADF) or a
//! text, HTML is made of that.

use agent_sdk::updated::of_secs;
use serde_json::Value;

/// Levels of a document; more is nonsense.
const DEPTH_MAX: usize = 100;
/// The attributes that hold links.
const LINKS: [&str; 2] = ["src", "href"];

/// A body: as the server has rendered it, or else from the form in which it is kept.
pub fn body(rendered: Option<&str>, kept: &Value, server: &str) -> String {
    if let Some(rendered) = rendered.map(str::trim).filter(|text| !text.is_empty()) {
        return with_whole_links(rendered, server);
    }
    match kept {
        Value::String(text) => of_text(text),
        Value::Object(_) => of_document(kept),
        _ => String::new(),
    }
}

/// Scheme, host and port of a URL.
fn origin(url: &str) -> &str {
    let host = url.find("://").map_or(0, |at| at + 3);
    let end = url[host..].find(['/', '?', '#']).map_or(url.len(), |at| host + at);
    &url[..end]
}

/// HTML in which links that begin with a slash lead to the server: images of smileys, attachments, other issues.
pub fn with_whole_links(html: &str, server: &str) -> String {
    let origin = origin(server);
    let mut out = String::with_capacity(html.len() + 64);
    let mut rest = html;
    // Only inside of tags: what stands in the text is what somebody has written.
    while let Some(begin) = rest.find('<') {
        let (text, tag) = rest.split_at(begin);
        out.push_str(text);
        let end = end_of_tag(tag);
        let (tag, after) = tag.split_at(end);
        rest = after;
        push_tag(&mut out, tag, origin);
    }
    out.push_str(rest);
    out
}

/// Behind the `>` that ends a tag; one in quotes does not.
fn end_of_tag(tag: &str) -> usize {
    let mut quote = None;
    for (at, byte) in tag.bytes().enumerate() {
        match (quote, byte) {
            (Some(open), _) if byte == open => quote = None,
            (None, b'"' | b'\'') => quote = Some(byte),
            (None, b'>') => return at + 1,
            _ => {}
        }
    }
    tag.len()
}

fn push_tag(out: &mut String, tag: &str, origin: &str) {
    let mut rest = tag;
    while let Some(at) = rest.find('=') {
        let (before, value) = rest.split_at(at + 1);
        out.push_str(before);
        let name = before.trim_end_matches('=').rsplit(char::is_whitespace).next().unwrap_or_default();
        let quote = value.bytes().next().filter(|byte| matches!(byte, b'"' | b'\'')).map(char::from);
        rest = value;
        let Some(quote) = quote else { continue };
        let value = &value[1..];
        out.push(quote);
        let is_link = LINKS.iter().any(|known| name.eq_ignore_ascii_case(known));
        if is_link && value.starts_with('/') && !value.starts_with("//") {
            out.push_str(origin);
        }
        // To the end of the value, in which an equals sign names nothing.
        let end = value.find(quote).unwrap_or(value.len());
        out.push_str(&value[..end]);
        rest = &value[end..];
    }
    out.push_str(rest);
}

/// A text with what means something in HTML written so that it does not.
fn escape(out: &mut String, text: &str) {
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
}

/// The paragraphs of a text: empty lines are between them.
fn paragraphs(text: &str) -> Vec<Vec<&str>> {
    let mut all: Vec<Vec<&str>> = vec![Vec::new()];
    for line in text.lines().map(str::trim_end) {
        match (line.is_empty(), all.last_mut()) {
            (false, Some(last)) => last.push(line),
            _ => all.push(Vec::new()),
        }
    }
    all.retain(|paragraph| !paragraph.is_empty());
    all
}

fn of_text(text: &str) -> String {
    let mut out = String::new();
    for paragraph in paragraphs(text) {
        out.push_str("<p>");
        for (place, line) in paragraph.iter().enumerate() {
            if place > 0 {
                out.push_str("<br/>");
            }
            escape(&mut out, line);
        }
        out.push_str("</p>");
    }
    out
}

/// A text as a document of the cloud.
pub fn document_of(text: &str) -> Value {
    let content: Vec<Value> = paragraphs(text)
        .iter()
        .map(|lines| {
            let line = |text: &&str| serde_json::json!({ "type": "text", "text": text });
            let mut nodes = Vec::new();
            for (place, text) in lines.iter().enumerate() {
                if place > 0 {
                    nodes.push(serde_json::json!({ "type": "hardBreak" }));
                }
                nodes.push(line(text));
            }
            serde_json::json!({ "type": "paragraph", "content": nodes })
        })
        .collect();
    serde_json::json!({ "type": "doc", "version": 1, "content": content })
}

/// HTML of a document of the cloud (Atlassian Document Format). Of a node that is not known there is what is in it.
fn of_document(document: &Value) -> String {
    let mut out = String::new();
    node(&mut out, document, 0);
    out
}

fn children(out: &mut String, parent: &Value, depth: usize) {
    for child in parent["content"].as_array().into_iter().flatten() {
        node(out, child, depth + 1);
    }
}

fn node(out: &mut String, value: &Value, depth: usize) {
    if depth > DEPTH_MAX {
        return;
    }
    let attribute = |name: &str| value["attrs"][name].as_str().unwrap_or_default();
    let mut within = |tag: &str| {
        out.push_str(&format!("<{tag}>"));
        children(out, value, depth);
        out.push_str(&format!("</{tag}>"));
    };
    match value["type"].as_str().unwrap_or_default() {
        "text" => text(out, value),
        "paragraph" => within("p"),
        "heading" => within(&format!("h{}", value["attrs"]["level"].as_u64().unwrap_or(1).clamp(1, 6))),
        "bulletList" | "taskList" | "decisionList" => within("ul"),
        "orderedList" => within("ol"),
        "listItem" | "taskItem" | "decisionItem" => within("li"),
        "blockquote" => within("blockquote"),
        "panel" => within("div"),
        "table" => within("table"),
        "tableRow" => within("tr"),
        "tableHeader" => within("th"),
        "tableCell" => within("td"),
        "codeBlock" => {
            out.push_str("<pre>");
            children(out, value, depth);
            out.push_str("</pre>");
        }
        "expand" | "nestedExpand" => {
            out.push_str("<p>");
            escape(out, attribute("title"));
            out.push_str("</p>");
            children(out, value, depth);
        }
        "rule" => out.push_str("<hr/>"),
        "hardBreak" => out.push_str("<br/>"),
        "mention" | "status" => escape(out, attribute("text")),
        "emoji" => {
            let text = attribute("text");
            escape(out, if text.is_empty() { attribute("shortName") } else { text });
        }
        "inlineCard" | "blockCard" | "embedCard" => link(out, attribute("url"), |out| escape(out, attribute("url"))),
        "date" => {
            let millis: Option<i64> = attribute("timestamp").parse().ok();
            // The day, which the time begins with.
            let time = millis.map(|millis| of_secs(millis.div_euclid(1_000))).unwrap_or_default();
            escape(out, time.split('T').next().unwrap_or_default());
        }
        "media" | "mediaInline" => {
            let name = attribute("alt");
            escape(out, if name.is_empty() { "[attachment]" } else { name });
        }
        _ => children(out, value, depth),
    }
}

/// A link where it leads somewhere that a link may; else only what it says.
fn link(out: &mut String, target: &str, says: impl FnOnce(&mut String)) {
    let safe = ["https://", "http://", "mailto:", "/"].iter().any(|begin| target.starts_with(begin));
    if safe {
        out.push_str("<a href=\"");
        escape(out, target);
        out.push_str("\">");
    }
    says(out);
    if safe {
        out.push_str("</a>");
    }
}

/// A text with its marks, the first of them outermost.
fn text(out: &mut String, value: &Value) {
    let marks: Vec<&Value> = value["marks"].as_array().into_iter().flatten().take(DEPTH_MAX).collect();
    marked(out, &marks, value["text"].as_str().unwrap_or_default());
}

fn marked(out: &mut String, marks: &[&Value], text: &str) {
    let Some((mark, inner)) = marks.split_first() else { return escape(out, text) };
    let tag = match mark["type"].as_str().unwrap_or_default() {
        "strong" => "strong",
        "em" => "em",
        "code" => "code",
        "strike" => "s",
        "underline" => "u",
        "subsup" if mark["attrs"]["type"] == "sub" => "sub",
        "subsup" => "sup",
        "link" => {
            let target = mark["attrs"]["href"].as_str().unwrap_or_default();
            return link(out, target, |out| marked(out, inner, text));
        }
        _ => return marked(out, inner, text),
    };
    out.push_str(&format!("<{tag}>"));
    marked(out, inner, text);
    out.push_str(&format!("</{tag}>"));
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::{body, document_of, of_document, with_whole_links};

    #[test]
    fn links_of_a_page_are_made_whole() {
        let check = |html: &str, expected: &str| {
            assert_eq!(with_whole_links(html, "https://acme.example/jira"), expected, "{html}");
        };
        check("<p>text</p>", "<p>text</p>");
        check(
            "<img class=\"emoticon\" src=\"/jira/images/icons/smile.png\" alt=\"\"/>",
            "<img class=\"emoticon\" src=\"https://acme.example/jira/images/icons/smile.png\" alt=\"\"/>",
        );
        check("<a HREF='/browse/A-1'>A-1</a>", "<a HREF='https://acme.example/browse/A-1'>A-1</a>");
        // What leads somewhere already is left alone, and so is what only looks like a link.
        for same in [
            "<a href=\"https://x.example/a\">x</a>",
            "<a href=\"//cdn.example/a\">x</a>",
            "<a href=\"#top\">x</a>",
            "write src=\"/x\" into it",
            "<p title=\"a > src=\" data-src=\"/x\">1 < 2</p>",
            "<p title=' src=\"/x\"'>x</p>",
            "<a href=/x>unquoted</a>",
            "<img src=\"",
            "<",
            "",
        ] {
            check(same, same);
        }
    }

    #[test]
    fn a_body_is_what_was_rendered_or_is_made_of_what_is_kept() {
        let server = "https://acme.example";
        assert_eq!(body(Some(" <p>a</p>\n"), &json!("a"), server), "<p>a</p>");
        assert_eq!(body(Some(""), &json!("a < b\nc\n\n\nd"), server), "<p>a &lt; b<br/>c</p><p>d</p>");
        assert_eq!(body(None, &Value::Null, server), "");
        assert_eq!(body(None, &json!(17), server), "");
        assert_eq!(body(None, &document_of("a <b>\nc\n\nd"), server), "<p>a &lt;b&gt;<br/>c</p><p>d</p>");
    }

    #[test]
    fn documents_of_the_cloud_become_html() {
        let check = |content: Value, expected: &str| {
            let document = json!({ "type": "doc", "version": 1, "content": content });
            assert_eq!(of_document(&document), expected, "{document}");
        };
        let text = |text: &str, marks: Value| json!({ "type": "text", "text": text, "marks": marks });
        check(json!([{ "type": "heading", "attrs": { "level": 9 }, "content": [text("T", json!([]))] }]), "<h6>T</h6>");
        let strong_link =
            json!([{ "type": "strong" }, { "type": "link", "attrs": { "href": "https://x.example/?a&b" } }]);
        check(
            json!([{ "type": "paragraph", "content": [text("a", strong_link), { "type": "hardBreak" }, text("b", json!([{ "type": "textColor" }]))] }]),
            "<p><strong><a href=\"https://x.example/?a&amp;b\">a</a></strong><br/>b</p>",
        );
        check(json!([text("x", json!([{ "type": "link", "attrs": { "href": "javascript:alert(1)" } }]))]), "x");
        check(
            json!([{ "type": "bulletList", "content": [{ "type": "listItem", "content": [
                { "type": "paragraph", "content": [{ "type": "mention", "attrs": { "text": "@Ada" } }] }] }] }]),
            "<ul><li><p>@Ada</p></li></ul>",
        );
        check(
            json!([{ "type": "codeBlock", "content": [text("a < b", json!([]))] }, { "type": "rule" }]),
            "<pre>a &lt; b</pre><hr/>",
        );
        check(json!([{ "type": "date", "attrs": { "timestamp": "1582152559000" } }]), "2020-02-19");
        check(json!([{ "type": "newer", "content": [text("kept", json!([]))] }, null, 7]), "kept");
        let mut deep = json!({ "type": "paragraph" });
        for _ in 0..200 {
            deep = json!({ "type": "blockquote", "content": [deep] });
        }
        assert!(of_document(&deep).len() < 10_000);
    }
}
