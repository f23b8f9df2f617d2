//! Variables of the environment in texts: `${VAR}`, `${VAR:-default}` (also where it is empty), `${VAR:?message}`, and
//! `$${` for a literal `${`. After parsing and only inside texts, so that a variable's value can never become a key, a
//! list or another setting. Keys are left alone.

use std::ffi::OsString;

use super::fault::{Faults, quoted};
use super::read::{Node, Value};

/// Bytes that variables may add to a configuration in all: a short file must not grow without bound.
const ADDED_BYTES_MAX: usize = 4 << 20;

/// Reads a variable of the environment.
pub(super) type Variables<'v> = &'v dyn Fn(&str) -> Option<OsString>;

/// Puts variables into every text of a tree.
pub(super) fn interpolate(node: &mut Node, variables: Variables<'_>, faults: &mut Faults) {
    let mut added = 0;
    walk(node, &mut String::new(), &mut |node, path| {
        let Value::Text(text) = &mut node.value else { return };
        if !text.value.contains("${") {
            return;
        }
        let (fault, mend) = match expand(&text.value, variables) {
            Ok(expanded) if added + expanded.len() <= ADDED_BYTES_MAX => {
                added += expanded.len();
                let written = std::mem::replace(&mut text.value, expanded);
                text.written = Some(written);
                return;
            }
            Ok(_) => {
                let fault = format!("variables add more than {} MiB to the configuration", ADDED_BYTES_MAX >> 20);
                (fault, "put less into variables".to_owned())
            }
            Err(wrong) => wrong,
        };
        faults.add(node.at, path, fault, mend);
        node.value = Value::Faulty;
    });
}

/// Visits every value that is neither list nor mapping, with its path.
fn walk(node: &mut Node, path: &mut String, each: &mut dyn FnMut(&mut Node, &str)) {
    let before = path.len();
    match &mut node.value {
        Value::List(items) => {
            for (index, item) in items.iter_mut().enumerate() {
                path.push_str(&format!("[{index}]"));
                walk(item, path, each);
                path.truncate(before);
            }
        }
        Value::Map(entries) => {
            for entry in entries {
                super::lift::push_key(path, &entry.key);
                walk(&mut entry.node, path, each);
                path.truncate(before);
            }
        }
        _ => each(node, path),
    }
}

fn expand(text: &str, variables: Variables<'_>) -> Result<String, (String, String)> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some(start) = rest.find("${") {
        if rest[..start].ends_with('$') {
            out.push_str(&rest[..start - 1]);
            out.push_str("${");
            rest = &rest[start + 2..];
            continue;
        }
        out.push_str(&rest[..start]);
        let Some(length) = rest[start..].find('}') else {
            return Err((
                "`${` without its `}`".to_owned(),
                "write `}` after the variable, or `$${` for a literal `${`".to_owned(),
            ));
        };
        let inner = &rest[start + 2..start + length];
        out.push_str(&value_of(inner, variables)?);
        rest = &rest[start + length + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

fn value_of(inner: &str, variables: Variables<'_>) -> Result<String, (String, String)> {
    let end = inner.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(inner.len());
    let (name, how) = inner.split_at(end);
    let forms = "the forms are ${VAR}, ${VAR:-default} and ${VAR:?message}; `$${` is a literal `${`";
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Err((format!("{} does not name a variable", quoted(&format!("${{{inner}}}"))), forms.to_owned()));
    }
    if inner.contains("${") {
        return Err(("a variable within a variable".to_owned(), forms.to_owned()));
    }
    let value = match variables(name).map(OsString::into_string) {
        None => None,
        Some(Ok(value)) => Some(value),
        Some(Err(_)) => {
            return Err((format!("the variable {name} is not valid UTF-8"), format!("set {name} to text in UTF-8")));
        }
    };
    match (value, how.strip_prefix(":-"), how.strip_prefix(":?")) {
        (Some(value), ..) if how.is_empty() => Ok(value),
        (Some(value), Some(_), _) | (Some(value), _, Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default), _) => Ok(default.to_owned()),
        (_, _, Some("")) => Err((format!("the variable {name} is needed"), format!("set {name}"))),
        (_, _, Some(message)) => Err((format!("the variable {name} is needed: {message}"), format!("set {name}"))),
        (None, ..) if how.is_empty() => {
            Err((format!("the variable {name} is not set"), format!("set {name}, or give a default: ${{{name}:-…}}")))
        }
        _ => {
            Err((format!("{} is none of the forms of a variable", quoted(&format!("${{{inner}}}"))), forms.to_owned()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let variables = |name: &str| match name {
            "A" => Some("alpha".into()),
            "EMPTY" => Some("".into()),
            "TRICK" => Some("${A}: [x]".into()),
            _ => None,
        };
        match (expand(text, &variables), expected) {
            (Ok(value), Ok(expected)) => assert_eq!(value, expected, "{text}"),
            (Err((fault, _)), Err(expected)) => assert!(fault.contains(expected), "{text}: {fault}"),
            (other, _) => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn the_forms() {
        check("${A}", Ok("alpha"));
        check("x${A}y${A:-b}z", Ok("xalphayalphaz"));
        check("${B:-de:f}", Ok("de:f"));
        check("${EMPTY:-d}", Ok("d"));
        check("${EMPTY}", Ok(""));
        check("${A:?why}", Ok("alpha"));
        check("$A $ {A} $$", Ok("$A $ {A} $$"));
        check("$${A}", Ok("${A}"));
        check("${TRICK}", Ok("${A}: [x]"));
        check("${B}", Err("the variable B is not set"));
        check("${B:?tell me}", Err("tell me"));
        check("${EMPTY:?tell me}", Err("tell me"));
        check("${A", Err("without its"));
        check("${}", Err("does not name"));
        check("${1A}", Err("does not name"));
        check("${A-b}", Err("none of the forms"));
        check("${B:-${A}}", Err("within"));
    }
}
