//! Settings of an integration's configuration as one types them: `repos.0.url=https://…`, its kind by the schema in the
//! manifest. Whether the whole fits the schema is judged afterwards, with the rest of the configuration.

use serde_json::{Map, Value};

/// References followed to find the schema of one setting. Real ones have a few.
const REFERENCES_MAX: usize = 32;

/// Items of a list that a setting may name: what is longer stands in a file.
const INDEX_MAX: usize = 1_000;

/// Names shown in a fault.
const NAMES_MAX: usize = 20;

/// Why a setting cannot be put in: what is wrong and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {fault}; {mend}")]
pub struct SettingError {
    pub setting: String,
    pub fault: String,
    pub mend: String,
}

/// Puts `path=value`, or `path:=JSON`, into a configuration. The parts of a path are names, and numbers in lists. The kind
/// of a value is the schema's; where that leaves it open, JSON is taken for what it is and everything else for a text.
///
/// # Errors
/// The path leads nowhere in the schema, or the value is not of its kind.
pub fn put(config: &mut Value, setting: &str, schema: &Value) -> Result<(), SettingError> {
    let wrong = |name: &str, fault: String, mend: &str| {
        Err(SettingError { setting: name.to_owned(), fault, mend: mend.to_owned() })
    };
    let Some((path, text)) = setting.split_once('=') else {
        return wrong(setting, "it is no setting".to_owned(), "write name=value, or name:=JSON");
    };
    let (path, as_json) = path.strip_suffix(':').map_or((path, false), |path| (path, true));
    let parts: Vec<&str> = path.split('.').collect();
    if parts.iter().any(|part| part.is_empty()) {
        return wrong(path, "it has an empty part".to_owned(), "write names with single dots between them: a.b=value");
    }
    let schemas = find(schema, &parts).map_err(|(name, known)| {
        let mend = match known.len() {
            0 => "leave it out: there is nothing below it".to_owned(),
            _ => format!("there are: {}", some(&known)),
        };
        SettingError { setting: path.to_owned(), fault: format!("there is no setting `{name}`"), mend }
    })?;
    let value = if as_json {
        serde_json::from_str(text).map_err(|error| SettingError {
            setting: path.to_owned(),
            fault: format!("the value is not JSON: {error}"),
            mend: "quote it for the shell: 'name:=[\"a\",\"b\"]'".to_owned(),
        })?
    } else {
        typed(text, &schemas).map_err(|(fault, mend)| SettingError { setting: path.to_owned(), fault, mend })?
    };
    insert(config, &parts, value).or_else(|(fault, mend)| wrong(path, fault, mend))
}

fn some(names: &[String]) -> String {
    let more = if names.len() > NAMES_MAX { ", …" } else { "" };
    format!("{}{more}", names[..names.len().min(NAMES_MAX)].join(", "))
}

/// The schemas that judge the value at a path; none where nothing is said of it. An error is a name that may not be there,
/// and those that may.
fn find<'a>(root: &'a Value, parts: &[&str]) -> Result<Vec<&'a Value>, (String, Vec<String>)> {
    let mut here = resolved(root, root);
    for part in parts {
        let mut next = Vec::new();
        let mut known = Vec::new();
        let mut closed = here.iter().any(|schema| !says_nothing(schema));
        for schema in &here {
            let properties = schema.get("properties").and_then(Value::as_object);
            known.extend(properties.into_iter().flat_map(Map::keys).cloned());
            let below = properties.and_then(|properties| properties.get(*part)).or_else(|| {
                part.parse::<usize>().ok()?;
                schema.get("items")
            });
            let additional = schema.get("additionalProperties");
            closed &= additional == Some(&Value::Bool(false)) || says_nothing(schema);
            if let Some(below) = below.or(additional.filter(|schema| schema.is_object())) {
                next.extend(resolved(root, below));
            }
        }
        if next.is_empty() && closed {
            known.sort();
            known.dedup();
            return Err(((*part).to_owned(), known));
        }
        here = next;
    }
    Ok(here)
}

/// A schema with those that judge the same value: behind references and in lists of alternatives.
fn resolved<'a>(root: &'a Value, schema: &'a Value) -> Vec<&'a Value> {
    let (mut found, mut open) = (Vec::new(), vec![schema]);
    let mut left = REFERENCES_MAX;
    while let Some(schema) = open.pop() {
        if left == 0 {
            break;
        }
        left -= 1;
        let target = schema.get("$ref").and_then(Value::as_str).and_then(|text| text.strip_prefix('#'));
        open.extend(target.and_then(|pointer| root.pointer(pointer)));
        let lists = ["allOf", "anyOf", "oneOf"].into_iter().filter_map(|name| schema.get(name)?.as_array());
        open.extend(lists.flatten());
        found.push(schema);
    }
    found
}

/// Whether a schema leaves it to others, which are among those found, what members there are.
fn says_nothing(schema: &Value) -> bool {
    let has = |name: &&str| schema.get(*name).is_some();
    ["$ref", "allOf", "anyOf", "oneOf"].iter().any(has)
        && !["properties", "additionalProperties", "items"].iter().any(has)
}

/// A value of the kind that the schemas want.
fn typed(text: &str, schemas: &[&Value]) -> Result<Value, (String, String)> {
    let options: Vec<&Value> = schemas.iter().filter_map(|schema| schema.get("enum")?.as_array()).flatten().collect();
    if !options.is_empty() {
        let option = options.iter().find(|option| as_typed(option) == text);
        return option.map(|option| (*option).clone()).ok_or_else(|| {
            let options: Vec<String> = options.iter().map(|option| as_typed(option)).collect();
            (format!("{text:?} is none of its values"), format!("there are: {}", some(&options)))
        });
    }
    let kinds: Vec<&str> = schemas.iter().filter_map(|schema| schema.get("type")).flat_map(kinds).collect();
    let json = serde_json::from_str::<Value>(text).ok();
    if kinds.is_empty() {
        return Ok(json.unwrap_or_else(|| text.into()));
    }
    // Another kind goes first: who wants the text `7` where a number is possible writes it as JSON.
    let fits = |value: &Value| kinds.iter().any(|kind| *kind != "string" && is(value, kind));
    match json.filter(fits) {
        Some(value) => Ok(value),
        None if kinds.contains(&"string") => Ok(text.into()),
        None => {
            let mend = match kinds[0] {
                "array" => "write a list as JSON, 'name:=[1,2]', or its items: name.0=…",
                "object" => "write an object as JSON, 'name:={\"a\":1}', or its members: name.a=…",
                "boolean" => "write true or false",
                _ => "write a number, for example 10",
            };
            Err((format!("{text:?} is not of the type {}", kinds.join(" or ")), mend.to_owned()))
        }
    }
}

fn as_typed(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn kinds(kind: &Value) -> Vec<&str> {
    match kind {
        Value::String(kind) => vec![kind],
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    }
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0),
        "number" => value.is_number(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => false,
    }
}

fn insert(config: &mut Value, parts: &[&str], value: Value) -> Result<(), (String, &'static str)> {
    let mut at = config;
    for part in parts {
        let index = part.parse::<usize>().ok();
        if at.is_null() {
            *at = if index.is_some() { Value::Array(Vec::new()) } else { Value::Object(Map::new()) };
        }
        at = match (at, index) {
            (Value::Object(members), _) => members.entry((*part).to_owned()).or_insert(Value::Null),
            (Value::Array(items), Some(index)) => {
                if index > items.len() || index >= INDEX_MAX {
                    let fault = format!("the list has {} items, and {index} is not the next", items.len());
                    return Err((fault, "number items from 0, one after the other"));
                }
                if index == items.len() {
                    items.push(Value::Null);
                }
                &mut items[index]
            }
            (Value::Array(_), None) => {
                return Err((format!("`{part}` is no place in a list"), "number its items from 0"));
            }
            _ => {
                let fault = format!("`{part}` is below a value that is neither an object nor a list");
                return Err((fault, "leave out the setting above it"));
            }
        };
    }
    *at = value;
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({
            "type": "object", "additionalProperties": false,
            "properties": {
                "records": {"type": "integer"}, "ratio": {"type": "number"}, "full": {"type": "boolean"},
                "unique": {"type": "string"}, "url": {"type": ["string", "null"]},
                "fail": {"enum": ["error", "panic", 7, null]}, "either": {"anyOf": [{"type": "string"}, {"type": "integer"}]},
                "repos": {"type": "array", "items": {"$ref": "#/$defs/repo"}},
                "open": {"type": "object"}, "names": {"type": "object", "additionalProperties": {"type": "integer"}},
            },
            "$defs": {"repo": {"type": "object", "additionalProperties": false, "properties": {
                "url": {"type": "string"}, "depth": {"type": "integer"}}}},
        })
    }

    #[test]
    fn settings_have_the_kind_that_the_schema_gives_them() {
        for (settings, expected) in [
            (&["records=10"][..], json!({"records": 10})),
            (&["ratio=1"], json!({"ratio": 1})),
            (&["full=true"], json!({"full": true})),
            (&["unique=10"], json!({"unique": "10"})),
            (&["unique=true"], json!({"unique": "true"})),
            (&["unique="], json!({"unique": ""})),
            (&["unique=a=b"], json!({"unique": "a=b"})),
            (&["url=null"], json!({"url": null})),
            (&["url=https://a"], json!({"url": "https://a"})),
            (&["fail=panic"], json!({"fail": "panic"})),
            (&["fail=7"], json!({"fail": 7})),
            (&["either=7"], json!({"either": 7})),
            (&["either:=\"7\""], json!({"either": "7"})),
            (
                &["repos.0.url=a", "repos.1.url=b", "repos.1.depth=3"],
                json!({"repos": [{"url": "a"}, {"url": "b", "depth": 3}]}),
            ),
            (&["repos:=[]"], json!({"repos": []})),
            (&["open.any.thing=7"], json!({"open": {"any": {"thing": 7}}})),
            (&["open.any=a b"], json!({"open": {"any": "a b"}})),
            (&["names.x=7"], json!({"names": {"x": 7}})),
            (&["records=1", "records=2"], json!({"records": 2})),
        ] {
            let mut config = json!({});
            for setting in settings {
                put(&mut config, setting, &schema()).unwrap_or_else(|error| panic!("{setting}: {error}"));
            }
            assert_eq!(config, expected, "{settings:?}");
        }
    }

    #[test]
    fn what_cannot_be_put_in_is_named_with_its_mend() {
        for (setting, said) in [
            ("records", "it is no setting"),
            ("=1", "empty part"),
            ("a..b=1", "empty part"),
            ("recods=1", "there is no setting `recods`; there are: either, fail, full"),
            ("repos.0.ur=x", "there is no setting `ur`; there are: depth, url"),
            ("records=ten", "\"ten\" is not of the type integer; write a number"),
            ("records=1.5", "not of the type integer"),
            ("full=yes", "not of the type boolean; write true or false"),
            ("fail=maybe", "\"maybe\" is none of its values; there are: error, panic, 7, null"),
            ("repos=a", "not of the type array; write a list as JSON"),
            ("repos.1.url=a", "the list has 0 items"),
            ("repos.1000000000.url=a", "the list has 0 items"),
            ("repos:=[", "the value is not JSON"),
        ] {
            let error = put(&mut json!({}), setting, &schema()).expect_err(setting).to_string();
            assert!(error.contains(said), "{setting}: {error}");
        }
        let error = put(&mut json!({"open": 7}), "open.x=1", &schema()).expect_err("a number has no members");
        assert!(error.to_string().contains("neither an object nor a list"), "{error}");
        assert!(put(&mut json!({"repos": [{}]}), "repos.x.url=1", &json!({})).is_err());
    }

    #[test]
    fn a_schema_that_goes_round_in_circles_is_left() {
        let schema = json!({"$ref": "#/$defs/a", "$defs": {"a": {"allOf": [{"$ref": "#/$defs/a"}]}}});
        let mut config = json!({});
        put(&mut config, "x=1", &schema).expect("nothing is said of it");
        assert_eq!(config, json!({"x": 1}));
    }
}
