//! Which values of a configuration are secrets: those that the schema in the manifest marks `writeOnly`, and all texts below
//! them. What is done about them is for whoever asks.

use serde_json::Value;

/// Steps of the walk: configurations and their schemas are small, and a schema may lead in a circle.
const STEPS_MAX: usize = 10_000;
/// Levels below which nothing is looked for.
const DEPTH_MAX: usize = 32;
/// Members of a schema that hold schemas for the same value.
const ALTERNATIVES: [&str; 3] = ["allOf", "anyOf", "oneOf"];

/// A text that is a secret.
#[derive(Clone, PartialEq, Eq)]
pub struct Marked {
    /// Where it stands, as a JSON pointer.
    pub pointer: String,
    pub value: String,
}

impl Marked {
    /// What it is called: `hooks.0.secret`.
    #[must_use]
    pub fn name(&self) -> String {
        self.pointer.trim_start_matches('/').replace('/', ".").replace("~1", "/").replace("~0", "~")
    }
}

/// The secrets of a configuration.
#[must_use]
pub fn marked(config: &Value, schema: &Value) -> Vec<Marked> {
    let mut walk = Walk { root: schema, steps: 0, found: Vec::new() };
    walk.value(config, schema, String::new(), false, 0);
    walk.found
}

struct Walk<'a> {
    root: &'a Value,
    steps: usize,
    found: Vec<Marked>,
}

impl Walk<'_> {
    fn value(&mut self, value: &Value, schema: &Value, pointer: String, within: bool, depth: usize) {
        self.steps += 1;
        if self.steps > STEPS_MAX || depth > DEPTH_MAX {
            return;
        }
        let secret = within || schema.get("writeOnly") == Some(&Value::Bool(true));
        let reference = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'));
        if let Some(below) = reference.and_then(|path| self.root.pointer(path)) {
            self.value(value, below, pointer.clone(), secret, depth + 1);
        }
        for name in ALTERNATIVES {
            for below in schema.get(name).and_then(Value::as_array).into_iter().flatten() {
                self.value(value, below, pointer.clone(), secret, depth + 1);
            }
        }
        match value {
            Value::String(text) if secret && !text.is_empty() => {
                let marked = Marked { pointer, value: text.clone() };
                if !self.found.contains(&marked) {
                    self.found.push(marked);
                }
            }
            Value::Array(items) => {
                let below = schema.get("items").unwrap_or(&Value::Null);
                for (index, item) in items.iter().enumerate() {
                    self.value(item, below, format!("{pointer}/{index}"), secret, depth + 1);
                }
            }
            Value::Object(members) => {
                for (name, member) in members {
                    let below = schema.get("properties").and_then(|properties| properties.get(name));
                    let below = below.or_else(|| schema.get("additionalProperties")).unwrap_or(&Value::Null);
                    let step = name.replace('~', "~0").replace('/', "~1");
                    self.value(member, below, format!("{pointer}/{step}"), secret, depth + 1);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn marked_values_are_found_wherever_the_schema_puts_them() {
        let schema = json!({
            "properties": {
                "token": {"writeOnly": true},
                "url": {"type": "string"},
                "hooks": {"items": {"$ref": "#/$defs/hook"}},
                "all": {"anyOf": [{"type": "null"}, {"writeOnly": true, "type": "object"}]},
            },
            "additionalProperties": {"writeOnly": true},
            "$defs": {"hook": {"properties": {"secret": {"allOf": [{"writeOnly": true}]}, "again": {"$ref": "#/$defs/hook"}}}},
        });
        let config = json!({
            "token": "t", "url": "u", "hooks": [{"secret": "s"}, {"again": {"secret": "r"}}],
            "all": {"a": ["x"], "b/c": "y", "n": 1}, "more": "m", "empty": "",
        });
        let names: Vec<(String, String)> =
            marked(&config, &schema).into_iter().map(|marked| (marked.name(), marked.value)).collect();
        let expected = [
            ("token", "t"),
            ("hooks.0.secret", "s"),
            ("hooks.1.again.secret", "r"),
            ("all.a.0", "x"),
            ("all.b/c", "y"),
            ("more", "m"),
        ];
        assert_eq!(names, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
        for marked in marked(&config, &schema) {
            assert_eq!(config.pointer(&marked.pointer).and_then(Value::as_str), Some(marked.value.as_str()));
        }
    }

    #[test]
    fn a_schema_that_leads_in_a_circle_ends() {
        let schema = json!({"$ref": "#", "allOf": [{"$ref": "#"}, {"$ref": "#"}]});
        assert!(marked(&json!({"a": "b"}), &schema).is_empty());
    }
}
