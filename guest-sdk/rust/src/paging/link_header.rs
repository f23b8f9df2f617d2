//! The header field `Link` (RFC 8288): targets with parameters, of which only the relation matters here.

/// The target of the first link with this relation. One field may hold several links, and one link several relations.
pub(super) fn find(field: &str, relation: &str) -> Option<String> {
    let mut rest = field;
    while let Some(open) = rest.find('<') {
        let (target, parameters) = rest[open + 1..].split_once('>')?;
        let (related, after) = read_parameters(parameters, relation);
        if related {
            return Some(target.trim().to_owned());
        }
        rest = after;
    }
    None
}

/// Reads the parameters of a link to its end: whether one is `rel` with this relation, and what follows the link.
fn read_parameters<'a>(text: &'a str, relation: &str) -> (bool, &'a str) {
    let (mut related, mut seen_rel) = (false, false);
    let mut rest = text.trim_start();
    while let Some(parameter) = rest.strip_prefix(';') {
        let name_end = parameter.find(['=', ';', ',']).unwrap_or(parameter.len());
        let (name, after) = parameter.split_at(name_end);
        let (value, after) = match after.strip_prefix('=') {
            Some(value) => read_value(value.trim_start()),
            None => (String::new(), after),
        };
        // Only the first `rel` of a link counts.
        if name.trim().eq_ignore_ascii_case("rel") && !seen_rel {
            seen_rel = true;
            related = value.split_ascii_whitespace().any(|one| one.eq_ignore_ascii_case(relation));
        }
        rest = after.trim_start();
    }
    (related, rest)
}

/// A token or a quoted text, and what follows it.
fn read_value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, character) in quoted.char_indices() {
        match character {
            _ if escaped => {
                value.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return (value, &quoted[at + 1..]),
            _ => value.push(character),
        }
    }
    (value, "")
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn links_are_read_as_rfc_8288_writes_them() {
        for (field, expected) in [
            (r#"<https://a/?page=2>; rel="next""#, Some("https://a/?page=2")),
            (r#"<https://a/?page=1>; rel="prev", <https://a/?page=3>; rel="next""#, Some("https://a/?page=3")),
            (r#"</x?a=1,2;3>; rel=next"#, Some("/x?a=1,2;3")),
            (r#"<x>; title="a, <y>; rel=\"next\""; rel="last", <z>; rel="start next""#, Some("z")),
            (r#"<x>;REL="NEXT";title*=UTF-8''n%C3%A4chste"#, Some("x")),
            (r#"<x>; rel="prev"; rel="next""#, None),
            (r#"<x>; rel="nextish", <y>; rel="x-next""#, None),
            (r#"<x>; anchor; rel = next"#, Some("x")),
            ("<x>", None),
            ("<x; rel=next", None),
            (r#"<x>; rel="next"#, Some("x")),
            ("", None),
        ] {
            assert_eq!(find(field, "next").as_deref(), expected, "{field}");
        }
    }
}
