//! JSON Schema, with what documents and schemas of others need: no schema is fetched from anywhere, patterns take time in
//! proportion to the text, a schema cannot send the validator round in circles, no document is judged that would take it
//! long (`price`), and no error repeats a value, which may be a secret.

use std::collections::HashMap;
use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::Value;

use super::price::{self, Budget, IN_PLACE, IN_PLACE_LISTS, IN_PLACE_MAPS};

/// Faults shown of one document; a person mends these first, and sees the others on the next try.
pub(super) const FAULTS_MAX: usize = 50;

/// Bytes that the compiled form of one pattern may take.
const PATTERN_BYTES_MAX: usize = 256 << 10;

/// Patterns in one schema: with the bound above, what all of them may take.
const PATTERNS_MAX: usize = 256;

/// Schemas that judge one value of the document, references followed. Real schemas have dozens; a malicious one doubles
/// at each reference.
const STEPS_MAX: u64 = 10_000;

/// Such schemas one within the other, references followed: the validator's stack grows with them.
const LEVELS_MAX: usize = 64;

/// One fault of a document: where, and what it should be.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Fault {
    /// A JSON Pointer; empty for the whole document.
    pub pointer: String,
    /// What is wrong, which also says what would be right.
    pub why: String,
}

impl Fault {
    pub(super) fn new(pointer: impl Into<String>, why: impl Into<String>) -> Fault {
        Fault { pointer: pointer.into(), why: why.into() }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = if self.pointer.is_empty() { "the document" } else { &self.pointer };
        write!(f, "{place}: {}", self.why)
    }
}

/// Faults, one a line.
pub(super) fn lines(faults: &[Fault]) -> String {
    faults.iter().map(|fault| format!("\n  {fault}")).collect()
}

/// A schema, ready to judge documents.
#[derive(Debug)]
pub(super) struct Schema {
    validator: Validator,
    /// What it was made from, by which judging is priced.
    written: Value,
}

/// Makes a schema ready.
pub(super) fn compile(schema: &Value) -> Result<Schema, Fault> {
    Search::new(schema).everywhere(schema, &mut String::new())?;
    let validator = jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX))
        .build(schema)
        .map_err(|error| Fault::new(error.instance_path().as_str(), error.masked_with("the value").to_string()))?;
    Ok(Schema { validator, written: schema.clone() })
}

/// The faults of a document, the first of them.
pub(super) fn judge(schema: &Schema, document: &Value) -> Vec<Fault> {
    judge_within(&mut Budget::default(), schema, document)
}

/// As `judge`, for several documents that share a budget.
pub(super) fn judge_within(budget: &mut Budget, schema: &Schema, document: &Value) -> Vec<Fault> {
    if budget.spend(&schema.written, document).is_err() {
        let why = format!(
            "it cannot be judged by this schema: that could take more than {} million steps, or more than {} levels; give a \
             smaller document, or make the schema simpler",
            price::STEPS_MAX / 1_000_000,
            price::LEVELS_MAX
        );
        return vec![Fault::new("", why)];
    }
    if budget.tell > 0 {
        return schema.validator.iter_errors(document).flat_map(|error| told(&error)).take(FAULTS_MAX).collect();
    }
    if schema.validator.is_valid(document) {
        return Vec::new();
    }
    vec![Fault::new("", "it does not fit the schema, and is too large to say where; judge a part of it")]
}

/// Whether a document fits, where it can be judged.
pub(super) fn fits(schema: &Schema, document: &Value) -> bool {
    judge(schema, document).is_empty()
}

/// What is wrong with a member that should not be there.
pub(super) const NO_SUCH: &str = "there is no setting of this name";

/// An error of the validator; one about members that should not be there is one for each of them, at its own place.
fn told(error: &ValidationError<'_>) -> Vec<Fault> {
    let place = error.instance_path().as_str();
    match error.kind() {
        ValidationErrorKind::AdditionalProperties { unexpected }
        | ValidationErrorKind::UnevaluatedProperties { unexpected } => {
            unexpected.iter().map(|name| Fault::new(format!("{place}/{}", escaped(name)), NO_SUCH)).collect()
        }
        _ => vec![Fault::new(place, error.masked_with("the value").to_string())],
    }
}

/// A name as a JSON Pointer has it.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// What judges a value where a schema does.
#[derive(Debug, Clone, Copy)]
struct Reach {
    /// How many schemas.
    steps: u64,
    /// How many at most one within the other.
    levels: usize,
}

/// Looks for what would make a validator run for ever or without bound. References are followed only within the
/// document and by pointer; other kinds (dynamic, by anchor, by identifier) are refused, so that what is followed here
/// and what the validator follows is the same.
struct Search<'a> {
    root: &'a Value,
    patterns: usize,
    /// None while it is being found out.
    reaches: HashMap<*const Value, Option<Reach>>,
}

impl<'a> Search<'a> {
    fn new(root: &'a Value) -> Search<'a> {
        Search { root, patterns: 0, reaches: HashMap::new() }
    }

    /// Looks at each object of the document as if it were a schema: more than there are, and it harms none.
    fn everywhere(&mut self, value: &'a Value, pointer: &mut String) -> Result<(), Fault> {
        let length = pointer.len();
        if let Value::Object(members) = value {
            self.reach(value, 0).map_err(|why| Fault::new(pointer.clone(), why))?;
            self.patterns += usize::from(members.get("pattern").is_some_and(Value::is_string));
            self.patterns +=
                members.get("patternProperties").and_then(Value::as_object).map_or(0, serde_json::Map::len);
            if self.patterns > PATTERNS_MAX {
                return Err(Fault::new(pointer.clone(), format!("there are more than {PATTERNS_MAX} patterns")));
            }
            if !pointer.is_empty() && members.get("$id").is_some_and(Value::is_string) {
                return Err(Fault::new(pointer.clone(), "an `$id` may stand only at the top"));
            }
            for (name, member) in members {
                pointer.push('/');
                pointer.push_str(&escaped(name));
                self.everywhere(member, pointer)?;
                pointer.truncate(length);
            }
        } else if let Value::Array(items) = value {
            for (index, item) in items.iter().enumerate() {
                pointer.push_str(&format!("/{index}"));
                self.everywhere(item, pointer)?;
                pointer.truncate(length);
            }
        }
        Ok(())
    }

    /// What judges a value where this schema does; `level`s stand above it.
    fn reach(&mut self, schema: &'a Value, level: usize) -> Result<Reach, String> {
        let Value::Object(members) = schema else { return Ok(Reach { steps: 1, levels: 1 }) };
        let deep = || format!("more than {LEVELS_MAX} schemas stand one within the other");
        if level > LEVELS_MAX {
            return Err(deep());
        }
        let key = std::ptr::from_ref(schema);
        match self.reaches.get(&key) {
            Some(Some(reach)) => return Ok(*reach),
            Some(None) => return Err("this leads back to itself without going deeper into the document".to_owned()),
            None => self.reaches.insert(key, None),
        };
        let reference =
            members.get("$ref").and_then(Value::as_str).map(|text| self.target(text)).transpose()?.flatten();
        let other =
            ["$dynamicRef", "$recursiveRef"].into_iter().find(|name| members.get(*name).is_some_and(Value::is_string));
        if let Some(name) = other {
            return Err(format!("`{name}` is not possible; use `$ref`"));
        }
        let lists = IN_PLACE_LISTS.iter().filter_map(|name| members.get(*name)?.as_array()).flatten();
        let single = IN_PLACE.iter().filter_map(|name| members.get(*name));
        let maps = IN_PLACE_MAPS.iter().filter_map(|name| Some(members.get(*name)?.as_object()?.values())).flatten();
        let mut reach = Reach { steps: 1, levels: 1 };
        for part in lists.chain(single).chain(maps).chain(reference) {
            let part = self.reach(part, level + 1)?;
            reach.steps = reach.steps.saturating_add(part.steps);
            reach.levels = reach.levels.max(part.levels + 1);
        }
        if reach.steps > STEPS_MAX {
            return Err(format!("more than {STEPS_MAX} schemas would judge one value"));
        }
        if reach.levels > LEVELS_MAX {
            return Err(deep());
        }
        self.reaches.insert(key, Some(reach));
        Ok(reach)
    }

    /// What a reference refers to, if it is there: the validator says it if not.
    fn target(&self, reference: &str) -> Result<Option<&'a Value>, String> {
        let pointer = reference.strip_prefix('#').filter(|pointer| pointer.is_empty() || pointer.starts_with('/'));
        match pointer {
            // An escaped pointer would be followed differently here and there.
            Some(pointer) if !pointer.contains('%') => Ok(self.root.pointer(pointer)),
            _ => Err(format!("the `$ref` {reference:?} is not possible; refer within the schema, like `#/$defs/name`")),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_that_never_end_are_refused() {
        for schema in [
            json!({"$ref": "#"}),
            json!({"allOf": [{"$ref": "#"}]}),
            json!({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/b"}]}, "b": {"if": {"$ref": "#/$defs/a"}}}}),
            json!({"properties": {"x": {"not": {"$ref": "#/properties/x"}}}}),
            json!({"$dynamicRef": "#a", "$dynamicAnchor": "a"}),
            json!({"$ref": "#a", "$anchor": "a"}),
            json!({"$id": "https://a.invalid/s", "$ref": "https://a.invalid/s"}),
            json!({"$ref": "https://a.invalid/schema.json"}),
            json!({"$ref": "file:///etc/passwd"}),
            json!({"$id": "https://a.invalid/s", "allOf": [{"$ref": "s"}]}),
            json!({"$ref": "#/%24defs/a", "$defs": {"a": {"$ref": "#/%24defs/a"}}}),
            json!({"properties": {"a": {"$id": "b"}}}),
            json!({"type": "wrong"}),
        ] {
            assert!(compile(&schema).is_err(), "{schema}");
        }
    }

    #[test]
    fn schemas_that_grow_without_bound_are_refused() {
        let twice = |name: String| json!({"allOf": [{"$ref": name.clone()}, {"$ref": name}]});
        let mut definitions: serde_json::Map<String, Value> =
            (0..30).map(|i| (i.to_string(), twice(format!("#/$defs/{}", i + 1)))).collect();
        definitions.insert("30".to_owned(), json!({}));
        let fault = compile(&json!({"$ref": "#/$defs/0", "$defs": definitions})).expect_err("doubling");
        assert!(fault.why.contains("more than 10000"), "{fault}");
        let patterns: Vec<Value> = (0..=PATTERNS_MAX).map(|i| json!({"pattern": format!("a{i}")})).collect();
        let fault = compile(&json!({"items": {"anyOf": patterns}})).expect_err("patterns");
        assert!(fault.why.contains("more than 256 patterns"), "{fault}");
        assert!(compile(&json!({"pattern": "(a{1000}){1000}"})).is_err());
    }

    /// Definitions each of which refers to the next, in this form.
    fn chain(length: usize, form: fn(Value) -> Value) -> Value {
        let link = |i: usize| json!({"$ref": format!("#/$defs/{i}")});
        let mut definitions: serde_json::Map<String, Value> =
            (0..length).rev().map(|i| (i.to_string(), form(link(i + 1)))).collect();
        definitions.insert(length.to_string(), json!({}));
        json!({"$ref": "#/$defs/0", "$defs": definitions})
    }

    #[test]
    fn long_chains_do_not_exhaust_the_stack() {
        for form in [|next| next, |next| json!({"allOf": [next]})] as [fn(Value) -> Value; 2] {
            assert!(compile(&chain(20_000, form)).is_err());
            assert!(compile(&chain(20, form)).is_ok());
        }
        // One that goes deeper into the document is as long as its author likes.
        let validator = compile(&chain(20_000, |next| json!({"properties": {"a": next}}))).expect("a schema");
        assert!(judge(&validator, &json!({"a": {"a": 1}})).is_empty());
    }

    #[test]
    fn schemas_that_go_deeper_are_taken() {
        let tree =
            json!({"type": "object", "properties": {"children": {"items": {"$ref": "#"}}}, "$defs": {"$ref": {}}});
        let validator = compile(&tree).expect("a tree");
        assert!(judge(&validator, &json!({"children": [{"children": []}]})).is_empty());
        let faults = judge(&validator, &json!({"children": [{}, {"children": [1]}]}));
        assert_eq!(faults[0].pointer, "/children/1/children/0");
    }

    #[test]
    fn all_faults_are_told_at_once_and_no_value_is() {
        let schema = json!({
            "type": "object", "required": ["url"], "additionalProperties": false,
            "properties": {"token": {"type": "string", "maxLength": 3, "pattern": "^a+$"}, "n": {"type": "integer"}},
        });
        let faults = judge(&compile(&schema).expect("a schema"), &json!({"token": "s3cret", "n": "s3cret", "x": 1}));
        assert_eq!(faults.len(), 5, "{faults:?}");
        assert!(faults.iter().all(|fault| !fault.to_string().contains("s3cret")), "{faults:?}");
        assert!(faults.iter().any(|fault| fault.pointer == "/n" && fault.why.contains("integer")), "{faults:?}");
    }

    #[test]
    fn a_document_that_would_take_long_is_not_judged() {
        let twice = json!({"properties": {"a": {"$ref": "#"}}, "patternProperties": {"^a": {"$ref": "#"}}});
        let schema = compile(&twice).expect("a schema");
        let nested = |levels| (0..levels).fold(json!({}), |inner, _| json!({"a": inner}));
        assert_eq!(judge(&schema, &nested(5)), []);
        let faults = judge(&schema, &nested(60));
        assert!(faults.len() == 1 && faults[0].why.contains("cannot be judged"), "{faults:?}");
    }

    #[test]
    fn many_faults_are_not_gathered() {
        let schema = compile(&json!({"items": {"type": "string"}})).expect("a schema");
        let faults = judge(&schema, &Value::from(vec![1; 200_000]));
        assert!(faults.len() == 1 && faults[0].why.contains("too large to say where"), "{faults:?}");
        assert_eq!(judge(&schema, &Value::from(vec!["a"; 200_000])), []);
    }

    #[test]
    fn the_deepest_that_is_judged_does_not_exhaust_the_stack() {
        let links = 29;
        let mut definitions: serde_json::Map<String, Value> =
            (0..links).map(|i| (i.to_string(), json!({"anyOf": [{"$ref": format!("#/$defs/{}", i + 1)}]}))).collect();
        definitions.insert(links.to_string(), json!({"properties": {"a": {"$ref": "#/$defs/0"}}, "type": "object"}));
        let schema = compile(&json!({"$ref": "#/$defs/0", "$defs": definitions})).expect("a schema");
        let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!({"a": inner}));
        let faults: Vec<Vec<Fault>> = (1..20).map(|levels| judge(&schema, &nested(levels))).collect();
        assert!(faults[0][0].why.contains("anyOf") || faults[0][0].pointer == "/a", "{:?}", faults[0]);
        assert!(faults[18][0].why.contains("cannot be judged"), "{:?}", faults[18]);
    }

    #[test]
    fn faults_are_bounded() {
        let schema = json!({"items": {"type": "string"}});
        let faults = judge(&compile(&schema).expect("a schema"), &Value::from(vec![1; 1000]));
        assert_eq!(faults.len(), FAULTS_MAX);
    }
}
