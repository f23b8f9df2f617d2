//! Settings that a manifest's schema marks as secrets (`writeOnly`): taken out of a configuration before anybody sees it, a
//! placeholder standing where each stood. What becomes of them is `policy`'s; where their values come from is `crate::secrets`'.

use std::collections::HashSet;
use std::rc::Rc;

use serde_json::Value;

use super::schema::Fault;
use crate::config::{SecretSource, marked_source};
use crate::secrets::Secret;

/// What a placeholder begins with; the JSON Pointer of the setting follows.
const PLACEHOLDER: &str = "secret:";
/// Values one within the other, of a configuration. Real ones have a few.
const LEVELS_MAX: usize = 64;
/// Schemas looked at for one configuration, or for one setting of a manifest. Real ones have hundreds; a malicious one has as
/// many as it likes, for each value.
const STEPS_MAX: usize = 1_000_000;
/// The same, to list all settings of a schema.
const LIST_STEPS_MAX: usize = 100_000;

/// Settings that one schema may mark as secrets, and bytes of their JSON Pointers together: all of them are agreed to, and kept.
/// Real schemas mark one to five.
const MARKED_MAX: usize = 1_000;
const POINTERS_BYTES_MAX: usize = 256 << 10;

/// A secret that was taken out.
#[derive(Debug, Clone)]
pub(super) struct Marked {
    /// A JSON Pointer.
    pub pointer: String,
    pub source: SecretSource,
}

/// What stands where the secret at this JSON Pointer stood.
pub(super) fn placeholder(pointer: &str) -> String {
    format!("{PLACEHOLDER}{pointer}")
}

/// Takes the marked secrets out of the configuration of the integration `name`. What is left may be handed to the guest.
///
/// # Errors
/// A secret that is neither a text nor says where it is; the place and what to write, and never a value.
pub(super) fn take(schema: &Value, name: &str, config: &mut Value) -> Result<Vec<Marked>, Vec<Fault>> {
    let mut taking =
        Taking { looking: Looking { root: schema, left: STEPS_MAX }, name, found: Vec::new(), faults: Vec::new() };
    let top = taking.looking.all(vec![schema]);
    taking.walk(config, &top, &mut String::new(), LEVELS_MAX);
    if taking.looking.left == 0 {
        taking
            .faults
            .push(Fault::new("", "the schema of the configuration has too many parts to tell what in it is a secret"));
    }
    if taking.faults.is_empty() { Ok(taking.found) } else { Err(taking.faults) }
}

/// Follows a schema to the schemas that judge one value.
struct Looking<'a> {
    root: &'a Value,
    left: usize,
}

impl<'a> Looking<'a> {
    /// Schemas with those that judge the same value: behind references, in lists of alternatives, in branches. Each once.
    fn all(&mut self, mut open: Vec<&'a Value>) -> Vec<&'a Value> {
        let mut seen: HashSet<*const Value> = HashSet::new();
        let mut found = Vec::new();
        while let Some(schema) = open.pop() {
            if self.left == 0 {
                return found;
            }
            if !seen.insert(std::ptr::from_ref(schema)) {
                continue;
            }
            self.left -= 1;
            let target = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
            open.extend(target.and_then(|pointer| self.root.pointer(pointer)));
            let lists = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|name| schema.get(name)?.as_array());
            open.extend(lists.flatten());
            open.extend(["if", "then", "else"].into_iter().filter_map(|name| schema.get(name)));
            found.push(schema);
        }
        found
    }

    /// The schemas of a member or an item of what these judge.
    fn below(&mut self, schemas: &[&'a Value], name: &str) -> Vec<&'a Value> {
        let below = schemas.iter().flat_map(|schema| below(schema, name)).collect();
        self.all(below)
    }
}

struct Taking<'a> {
    looking: Looking<'a>,
    name: &'a str,
    found: Vec<Marked>,
    faults: Vec<Fault>,
}

impl<'a> Taking<'a> {
    fn walk(&mut self, value: &mut Value, schemas: &[&'a Value], pointer: &mut String, levels: usize) {
        if schemas.iter().any(|schema| is_write_only(schema)) {
            return self.take(value, pointer);
        }
        if levels == 0 && (value.is_object() || value.is_array()) {
            let why =
                format!("it lies more than {LEVELS_MAX} values deep, where nobody looks for secrets: make it flatter");
            self.faults.push(Fault::new(pointer.clone(), why));
            return;
        }
        let before = pointer.len();
        match value {
            Value::Object(members) => {
                for (name, member) in members {
                    pointer.push('/');
                    pointer.push_str(&name.replace('~', "~0").replace('/', "~1"));
                    let below = self.looking.below(schemas, name);
                    self.walk(member, &below, pointer, levels - 1);
                    pointer.truncate(before);
                }
            }
            Value::Array(items) => {
                for (index, item) in items.iter_mut().enumerate() {
                    pointer.push_str(&format!("/{index}"));
                    let below = self.looking.below(schemas, &index.to_string());
                    self.walk(item, &below, pointer, levels - 1);
                    pointer.truncate(before);
                }
            }
            _ => {}
        }
    }

    fn take(&mut self, value: &mut Value, pointer: &str) {
        // What is left out is no secret; whether it may be is the schema's to say.
        if value.is_null() {
            return;
        }
        let place = format!("`config{}` of `{}`", pointer.replace('/', "."), self.name);
        match marked_source(value, &place) {
            Ok(source) => {
                if let SecretSource::Written { value, .. } = &source {
                    // Known from now on, whether it is ever used or not.
                    drop(Secret::new(value.reveal().to_owned()));
                }
                self.found.push(Marked { pointer: pointer.to_owned(), source });
            }
            Err(why) => self.faults.push(Fault::new(pointer, why)),
        }
        *value = Value::from(placeholder(pointer));
    }
}

fn is_write_only(schema: &Value) -> bool {
    schema.get("writeOnly") == Some(&Value::Bool(true))
}

/// The schemas that may judge a member or an item of what this one judges: rather one too many, since what is taken for a secret
/// is only kept from the guest.
fn below<'a>(schema: &'a Value, name: &str) -> Vec<&'a Value> {
    let member = schema.get("properties").and_then(|properties| properties.get(name));
    let patterns = schema.get("patternProperties").and_then(Value::as_object).into_iter().flat_map(|map| map.values());
    let index = name.parse::<usize>().ok();
    let item = index
        .and_then(|index| schema.get("prefixItems").and_then(|items| items.get(index)).or_else(|| schema.get("items")));
    let others = ["additionalProperties", "unevaluatedProperties"].into_iter().filter_map(|key| schema.get(key));
    let others = others.filter(|_| member.is_none());
    member.into_iter().chain(patterns).chain(item).chain(others).filter(|schema| schema.is_object()).collect()
}

/// The settings that the schema marks, as JSON Pointers in their order; `*` stands for each item of a list. The error is why they
/// cannot all be told.
pub(super) fn all(schema: &Value) -> Result<Vec<String>, String> {
    let settings = settings(schema, |_, schemas| schemas.iter().any(|schema| is_write_only(schema)));
    match settings.left_out {
        None => Ok(settings.pointers),
        Some(why) => Err(why),
    }
}

/// Words that say of a setting that it is a secret, at the end of its name.
const SECRET_WORDS: [&str; 8] =
    ["secret", "password", "passwd", "passphrase", "token", "apikey", "secrets", "passwords"];
/// Words before `key` that say so.
const KEY_WORDS: [&str; 6] = ["api", "private", "access", "secret", "signing", "encryption"];

/// Settings that are called like secrets, take a text, and are not marked: JSON Pointers, `*` for each item of a list.
#[must_use]
pub fn unmarked(schema: &Value) -> Vec<String> {
    let settings = settings(schema, |name, schemas| {
        let is_marked = schemas.iter().any(|schema| is_write_only(schema));
        is_called_secret(name) && !is_marked && schemas.iter().any(|schema| takes_text(schema))
    });
    settings.pointers
}

/// Settings of a schema.
struct Settings {
    /// In their order.
    pointers: Vec<String>,
    /// Why these are not all.
    left_out: Option<String>,
}

/// Schemas that judge one setting, and those of the settings around it.
struct Around {
    schemas: Vec<*const Value>,
    outer: Option<Rc<Around>>,
}

impl Around {
    /// Those of one setting more; none if a setting around it is judged by the same: what is in it was found there.
    fn more(outer: Option<&Rc<Around>>, schemas: &[&Value]) -> Option<Rc<Around>> {
        // Those that only lead to others say nothing of what is in it.
        let holds = |schema: &&&Value| schema.get("properties").is_some() || schema.get("items").is_some();
        let mut schemas: Vec<*const Value> =
            schemas.iter().filter(holds).map(|schema| std::ptr::from_ref(*schema)).collect();
        schemas.sort_unstable();
        let mut at = outer;
        while let Some(around) = at {
            if around.schemas == schemas {
                return None;
            }
            at = around.outer.as_ref();
        }
        Some(Rc::new(Around { schemas, outer: outer.cloned() }))
    }
}

/// The settings that a schema names and that are `wanted`, by their name and the schemas that judge them; below one that is
/// marked nothing is looked at, and one that is within itself is looked at once. As JSON Pointers in their order, `*` for each
/// item of a list.
fn settings<'a>(schema: &'a Value, wanted: impl Fn(&str, &[&'a Value]) -> bool) -> Settings {
    let mut looking = Looking { root: schema, left: LIST_STEPS_MAX };
    let (mut found, mut bytes, mut left_out) = (Vec::new(), 0, None);
    let mut open = vec![(looking.all(vec![schema]), String::new(), "", None)];
    while let Some((schemas, pointer, name, outer)) = open.pop() {
        if looking.left == 0 {
            left_out = Some("it has too many parts to tell which of its settings are secrets".to_owned());
            break;
        }
        let is_wanted = wanted(name, &schemas);
        if pointer.len() > POINTERS_BYTES_MAX || is_wanted && bytes + pointer.len() > POINTERS_BYTES_MAX {
            left_out = Some(format!("its settings have names of more than {POINTERS_BYTES_MAX} bytes"));
            break;
        }
        if is_wanted && found.len() >= MARKED_MAX {
            left_out = Some(format!("it has more than {MARKED_MAX} settings that are secrets (`writeOnly`)"));
            break;
        }
        if is_wanted {
            bytes += pointer.len();
            found.push(pointer.clone());
        }
        if schemas.is_empty() || schemas.iter().any(|schema| is_write_only(schema)) {
            continue;
        }
        let Some(around) = Around::more(outer.as_ref(), &schemas) else { continue };
        let members = schemas.iter().filter_map(|schema| schema.get("properties")?.as_object());
        let names: HashSet<&'a str> = members.flat_map(|members| members.keys().map(String::as_str)).collect();
        for name in names {
            let pointer = format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
            open.push((looking.below(&schemas, name), pointer, name, Some(Rc::clone(&around))));
        }
        if schemas.iter().any(|schema| schema.get("items").is_some()) {
            open.push((looking.below(&schemas, "0"), format!("{pointer}/*"), "", Some(around)));
        }
    }
    found.sort();
    Settings { pointers: found, left_out }
}

/// Whether a name says that a secret stands there: `api_token`, `webhookSecret`, `private-key`.
fn is_called_secret(name: &str) -> bool {
    let mut words: Vec<String> = vec![String::new()];
    for letter in name.chars() {
        if letter.is_uppercase() || !letter.is_alphanumeric() {
            words.push(String::new());
        }
        if let (true, Some(word)) = (letter.is_alphanumeric(), words.last_mut()) {
            word.extend(letter.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    match &words[..] {
        [.., before, last] if last == "key" => KEY_WORDS.contains(&before.as_str()),
        [.., last] => SECRET_WORDS.contains(&last.as_str()),
        [] => false,
    }
}

/// Whether a setting of this schema may be a text.
fn takes_text(schema: &Value) -> bool {
    match schema.get("type") {
        Some(Value::String(kind)) => kind == "string",
        Some(Value::Array(kinds)) => kinds.iter().any(|kind| kind == "string"),
        _ => false,
    }
}

/// Whether the schema marks the setting that a JSON Pointer names; `*` stands for each item of a list.
pub(super) fn is_marked(schema: &Value, pointer: &str) -> bool {
    let mut looking = Looking { root: schema, left: STEPS_MAX };
    let mut here = looking.all(vec![schema]);
    for segment in pointer.split('/').skip(1) {
        let name = segment.replace("~1", "/").replace("~0", "~");
        let name = if name == "*" { "0" } else { &name };
        here = looking.below(&here, name);
    }
    here.iter().any(|schema| is_write_only(schema))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_called_a_secret_is_to_be_marked() {
        let schema = json!({
            "properties": {
                "token": {"type": "string"}, "api_key": {"type": ["string", "null"]}, "webhookSecret": {"$ref": "#/$defs/text"},
                "password": {"type": "string", "writeOnly": true}, "token_url": {"type": "string"},
                "max_token": {"type": "integer"}, "key": {"type": "string"}, "secret": {"type": "object", "writeOnly": true,
                "properties": {"token": {"type": "string"}}},
                "servers": {"type": "array", "items": {"properties": {"private-key": {"type": "string"}}}},
            },
            "$defs": {"text": {"type": "string"}},
        });
        assert_eq!(unmarked(&schema), ["/api_key", "/servers/*/private-key", "/token", "/webhookSecret"]);
        let endless = json!({"$ref": "#/$defs/a", "$defs": {"a": {"properties": {"a": {"$ref": "#/$defs/a"}}}}});
        assert_eq!(unmarked(&endless), [""; 0]);
    }

    fn schema() -> Value {
        json!({
            "type": "object",
            "properties": {
                "url": {"type": "string"},
                "token": {"type": "string", "writeOnly": true},
                "servers": {"type": "array", "items": {"$ref": "#/$defs/server"}},
                "auth": {"oneOf": [{"properties": {"password": {"writeOnly": true}}}, {"type": "null"}]},
            },
            "additionalProperties": {"properties": {"key": {"writeOnly": true}}},
            "$defs": {"server": {"properties": {"name": {}, "pass/word": {"type": "string", "writeOnly": true}}}},
        })
    }

    #[test]
    fn what_is_marked_is_taken_out_wherever_it_stands() {
        let mut config = json!({
            "url": "https://a.test",
            "token": "marked-canary-1",
            "servers": [{"name": "a", "pass/word": {"env": "A"}}, {"name": "b", "pass/word": "marked-canary-2"}],
            "auth": {"password": "marked-canary-3"},
            "more": {"key": "marked-canary-4"},
        });
        let taken = take(&schema(), "a", &mut config).expect("sources");
        assert_eq!(
            config,
            json!({
                "url": "https://a.test",
                "token": "secret:/token",
                "servers": [{"name": "a", "pass/word": "secret:/servers/0/pass~1word"}, {"name": "b", "pass/word": "secret:/servers/1/pass~1word"}],
                "auth": {"password": "secret:/auth/password"},
                "more": {"key": "secret:/more/key"},
            })
        );
        let mut pointers: Vec<&str> = taken.iter().map(|marked| marked.pointer.as_str()).collect();
        pointers.sort_unstable();
        assert_eq!(
            pointers,
            ["/auth/password", "/more/key", "/servers/0/pass~1word", "/servers/1/pass~1word", "/token"]
        );
        assert!(!format!("{taken:?}{config}").contains("canary"));
        // From now on it is known, used or not.
        assert_eq!(crate::secrets::struck("marked-canary-4"), "[redacted]");
    }

    #[test]
    fn what_is_no_source_is_a_fault_that_repeats_nothing() {
        let mut config = json!({"token": {"file": "marked-canary/relative"}, "auth": {"password": 12345678}});
        let faults = take(&schema(), "a", &mut config).expect_err("two faults");
        let places: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        assert_eq!(places, ["/token", "/auth/password"]);
        assert!(!format!("{faults:?}{config}").contains("canary") && !format!("{faults:?}").contains("1234"));
        assert!(take(&schema(), "a", &mut json!({"token": null})).expect("nothing is no fault").is_empty());
    }

    #[test]
    fn whether_a_setting_is_marked() {
        for (pointer, expected) in [
            ("/token", true),
            ("/url", false),
            ("/servers/*/pass~1word", true),
            ("/servers/*/name", false),
            ("/auth/password", true),
            ("", false),
        ] {
            assert_eq!(is_marked(&schema(), pointer), expected, "{pointer}");
        }
    }

    #[test]
    fn all_that_is_marked_is_listed() {
        let told = ["/auth/password", "/servers/*/pass~1word", "/token"].map(str::to_owned);
        assert_eq!(all(&schema()), Ok(told.to_vec()));
        assert_eq!(all(&json!({"type": "object"})), Ok(Vec::new()));
    }

    /// A schema that marks more than anybody can agree to, in few bytes.
    #[test]
    fn what_is_marked_has_a_limit() {
        // One that is within itself is no such, and has each of its secrets once.
        let round = json!({"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}, "c": {"writeOnly": true}}});
        assert_eq!(all(&round), Ok(vec!["/c".to_owned()]));
        // Each of twenty refers to all of them.
        let names = 0..20;
        let all_of = |marked: bool| -> serde_json::Map<String, Value> {
            let member = |number| (format!("s{number}"), json!({"$ref": format!("#/$defs/d{number}")}));
            names.clone().map(member).chain(marked.then(|| ("key".to_owned(), json!({"writeOnly": true})))).collect()
        };
        let mesh = |marked: bool| {
            let defs: serde_json::Map<String, Value> =
                names.clone().map(|number| (format!("d{number}"), json!({"properties": all_of(marked)}))).collect();
            all(&json!({"properties": all_of(false), "$defs": defs})).unwrap_err()
        };
        assert!(mesh(false).contains("too many parts"));
        assert!(mesh(true).contains("more than 1000 settings that are secrets"));
        let name = "x".repeat(200_000);
        let long = json!({"properties": {&name: {"properties": {&name: {"writeOnly": true}}}}});
        assert!(all(&long).unwrap_err().contains("names of more than 262144 bytes"));
        let many = |count: usize| {
            let settings: serde_json::Map<String, Value> =
                (0..count).map(|number| (format!("s{number}"), json!({"writeOnly": true}))).collect();
            all(&json!({ "properties": settings }))
        };
        assert_eq!(many(MARKED_MAX).map(|all| all.len()), Ok(MARKED_MAX));
        assert!(many(MARKED_MAX + 1).is_err());
    }

    #[test]
    fn a_schema_that_goes_round_in_circles_ends() {
        let round = json!({"$ref": "#", "properties": {"a": {"$ref": "#"}}, "anyOf": [{"$ref": "#"}, {"$ref": "#"}]});
        let mut config = json!({});
        for _ in 0..200 {
            config = json!({"a": config});
        }
        let faults = take(&round, "a", &mut config).expect_err("it is too deep");
        assert!(faults.len() == 1 && faults[0].why.contains("more than 64 values deep"), "{faults:?}");
    }
}
