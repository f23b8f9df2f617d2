//! JSON Schema, with what documents and schemas of others need: no schema is fetched from anywhere, patterns take time in
//! proportion to the text, a schema cannot send the validator round in circles nor make it work without end over a small
//! document, and no error repeats a value, which may be a secret.

use std::collections::HashMap;
use std::fmt;

use jsonschema::error::ValidationErrorKind;
use jsonschema::{PatternOptions, ValidationError, Validator};
use serde_json::{Map, Value};

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

/// What judging one document may take: schemas looked at, over all of its values. A record of a few MiB takes less, and this
/// itself takes about a second. The validator forgets what it has looked at, so that schemas of a few bytes double its work with each level
/// of a document.
const WORK_MAX: u64 = 1_000_000;

/// The same, where all faults are to be told: the validator finds them all before it tells one, and each takes half a KiB.
const WORK_FOR_FAULTS_MAX: u64 = 100_000;

/// Schemas within one another over one document, its own depth included: the validator's stack grows with them, and host
/// calls have two MiB of it.
const NESTED_MAX: usize = 400;

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
    source: Value,
}

impl Schema {
    /// Whether a document fits.
    pub(super) fn fits(&self, document: &Value) -> bool {
        judge(self, document).is_empty()
    }
}

/// Makes a schema ready. A fault is the schema's.
pub(super) fn compile(schema: &Value) -> Result<Schema, Fault> {
    Search::new(schema).everywhere(schema, &mut String::new())?;
    let validator = jsonschema::options()
        .offline()
        .with_pattern_options(PatternOptions::regex().size_limit(PATTERN_BYTES_MAX).dfa_size_limit(PATTERN_BYTES_MAX))
        .build(schema)
        .map_err(|error| Fault::new(error.instance_path().as_str(), error.masked_with("the value").to_string()))?;
    Ok(Schema { validator, source: schema.clone() })
}

/// The faults of a document, the first of them. One that the schema would take too long over has that as its fault.
pub(super) fn judge(schema: &Schema, document: &Value) -> Vec<Fault> {
    match Work::of(&schema.source, document, WORK_MAX) {
        Err(why) => vec![Fault::new("", why)],
        Ok(work) if work <= WORK_FOR_FAULTS_MAX => {
            schema.validator.iter_errors(document).flat_map(|error| told(&error)).take(FAULTS_MAX).collect()
        }
        Ok(_) if schema.validator.is_valid(document) => Vec::new(),
        Ok(work) => {
            let why = format!("it does not fit its schema, and is too large to say where ({work} steps)");
            vec![Fault::new("", why)]
        }
    }
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

/// Keywords whose schemas judge the same value as the schema that they stand in.
const IN_PLACE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
const IN_PLACE: [&str; 4] = ["not", "if", "then", "else"];
const IN_PLACE_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];

/// The schemas in a schema that judge the same value, references aside.
fn in_place(members: &Map<String, Value>) -> impl Iterator<Item = &Value> {
    let lists = IN_PLACE_LISTS.iter().filter_map(|name| members.get(*name)?.as_array()).flatten();
    let single = IN_PLACE.iter().filter_map(|name| members.get(*name));
    let maps = IN_PLACE_MAPS.iter().filter_map(|name| Some(members.get(*name)?.as_object()?.values())).flatten();
    lists.chain(single).chain(maps)
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
            self.patterns += members.get("patternProperties").and_then(Value::as_object).map_or(0, Map::len);
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
        let mut reach = Reach { steps: 1, levels: 1 };
        for part in in_place(members).chain(reference) {
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

/// Finds out what judging a document would take, by going the way of a validator that decides nothing: each schema that
/// could judge a value counts. Takes no longer than what it allows.
struct Work<'a> {
    root: &'a Value,
    done: u64,
    max: u64,
}

impl<'a> Work<'a> {
    /// The steps that a document takes, or why they are too many.
    fn of(root: &'a Value, document: &Value, max: u64) -> Result<u64, String> {
        let mut work = Work { root, done: 0, max };
        work.look(root, document, 1, 0)?;
        Ok(work.done)
    }

    fn spend(&mut self, steps: u64) -> Result<(), String> {
        self.done = self.done.saturating_add(steps);
        if self.done > self.max {
            return Err(format!(
                "the schema would take more than {} steps over this document; make it simpler",
                self.max
            ));
        }
        Ok(())
    }

    /// A schema judges a value, `times` over.
    fn look(&mut self, schema: &'a Value, value: &Value, times: u64, nested: usize) -> Result<(), String> {
        if nested > NESTED_MAX {
            let why = "more than {} schemas stand one within the other over this document; make the schema simpler";
            return Err(why.replace("{}", &NESTED_MAX.to_string()));
        }
        self.spend(times)?;
        let Value::Object(members) = schema else { return Ok(()) };
        if let Value::String(text) = value {
            self.spend(times.saturating_mul(text.len() as u64 / 64))?;
        }
        let list = |name: &str| members.get(name).and_then(Value::as_array).map_or(0, |list| list.len() as u64);
        self.spend(times.saturating_mul((list("required") + list("enum")) / 16))?;
        // These compare the value with all that is in it.
        if ["enum", "const", "uniqueItems"].into_iter().any(|name| members.contains_key(name)) {
            self.compare(value, times)?;
        }
        // What has not been evaluated is found out by evaluating all else again, for each member.
        let children = match value {
            Value::Object(values) => values.len(),
            Value::Array(values) => values.len(),
            _ => 0,
        };
        let again = ["unevaluatedProperties", "unevaluatedItems"].into_iter().any(|name| members.contains_key(name));
        let times_here = if again { times.saturating_mul(children as u64 + 2) } else { times };
        let reference = members.get("$ref").and_then(Value::as_str);
        let reference = reference.and_then(|text| self.root.pointer(text.strip_prefix('#')?));
        for part in in_place(members).chain(reference) {
            self.look(part, value, times_here, nested + 1)?;
        }
        match value {
            Value::Object(values) => self.look_into_object(members, values, times, nested + 1),
            Value::Array(values) => self.look_into_array(members, values, times, nested + 1),
            _ => Ok(()),
        }
    }

    fn look_into_object(
        &mut self,
        members: &'a Map<String, Value>,
        values: &Map<String, Value>,
        times: u64,
        nested: usize,
    ) -> Result<(), String> {
        let properties = members.get("properties").and_then(Value::as_object);
        let by_pattern = members.get("patternProperties").and_then(Value::as_object);
        let others = ["additionalProperties", "unevaluatedProperties"];
        let of_all: Vec<&Value> = by_pattern
            .into_iter()
            .flat_map(Map::values)
            .chain(others.into_iter().filter_map(|name| members.get(name)))
            .collect();
        let of_names = members.get("propertyNames");
        for (name, value) in values {
            for schema in properties.and_then(|schemas| schemas.get(name)).into_iter().chain(of_all.iter().copied()) {
                self.look(schema, value, times, nested)?;
            }
            if let Some(schema) = of_names {
                self.look(schema, &Value::String(name.clone()), times, nested)?;
            }
        }
        Ok(())
    }

    fn look_into_array(
        &mut self,
        members: &'a Map<String, Value>,
        values: &[Value],
        times: u64,
        nested: usize,
    ) -> Result<(), String> {
        let by_place = ["prefixItems", "items"].into_iter().filter_map(|name| members.get(name)?.as_array());
        for schemas in by_place {
            for (schema, value) in schemas.iter().zip(values) {
                self.look(schema, value, times, nested)?;
            }
        }
        let of_all = ["items", "additionalItems", "contains", "unevaluatedItems"];
        for schema in of_all.into_iter().filter_map(|name| members.get(name)).filter(|schema| !schema.is_array()) {
            for value in values {
                self.look(schema, value, times, nested)?;
            }
        }
        Ok(())
    }

    fn compare(&mut self, value: &Value, times: u64) -> Result<(), String> {
        self.spend(times)?;
        match value {
            Value::Object(values) => values.values().try_for_each(|value| self.compare(value, times)),
            Value::Array(values) => values.iter().try_for_each(|value| self.compare(value, times)),
            _ => Ok(()),
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
    fn faults_are_bounded() {
        let schema = json!({"items": {"type": "string"}});
        let faults = judge(&compile(&schema).expect("a schema"), &Value::from(vec![1; 1000]));
        assert_eq!(faults.len(), FAULTS_MAX);
    }

    fn deep(depth: usize) -> Value {
        (0..depth).fold(json!(1), |value, _| json!([value]))
    }

    /// Each of these schemas is small, and takes a validator for ever (or all memory) over a small document.
    #[test]
    fn a_small_document_does_not_keep_the_validator_busy() {
        let again = json!({"items": {"$ref": "#"}});
        let doubled = |name: &str| json!({name: [again.clone(), again.clone()], "type": "array"});
        let unevaluated = (0..40).fold(
            json!({"properties": {"a": true}}),
            |schema, _| json!({"allOf": [schema], "unevaluatedProperties": {"type": "object"}}),
        );
        let named = json!({"additionalProperties": {"$ref": "#"}, "patternProperties": {"": {"$ref": "#"}}});
        let many = json!({"items": {"allOf": vec![json!(false); 9000]}});
        let unique = json!({"allOf": vec![json!({"uniqueItems": true}); 9000]});
        let object = (0..60).fold(json!(1), |value, _| json!({"a": value}));
        for (schema, document) in [
            (doubled("allOf"), deep(60)),
            (doubled("anyOf"), deep(60)),
            (doubled("oneOf"), deep(60)),
            (json!({"if": again, "then": again, "else": again, "type": "array"}), deep(60)),
            (json!({"contains": {"$ref": "#"}, "items": {"$ref": "#"}, "type": "array"}), deep(60)),
            (unevaluated, json!({"a": 1, "b": {}, "c": {}})),
            (named, object),
            (many, Value::from(vec![1; 30_000])),
            (unique, Value::from((0..30_000).collect::<Vec<u32>>())),
        ] {
            // Fewer than are allowed are enough to see it, and take less time.
            compile(&schema).expect("a schema");
            let refused = Work::of(&schema, &document, WORK_MAX / 50).expect_err("too many");
            assert!(refused.contains("more than 20000 steps"), "{refused}");
        }
    }

    /// The validator goes down with a document; what it stands on is a host call's stack.
    #[test]
    fn a_deep_schema_over_a_deep_document_does_not_exhaust_the_stack() {
        let nested = |levels: usize| {
            let inner = json!({"items": {"$ref": "#"}, "type": ["array", "string"]});
            compile(&(0..levels).fold(inner, |schema, _| json!({"allOf": [schema]}))).expect("a schema")
        };
        let judged = std::thread::Builder::new().stack_size(2 << 20).spawn(move || {
            let refused = judge(&nested(60), &deep(120));
            assert!(refused[0].why.contains("more than 400 schemas stand one within the other"), "{refused:?}");
            assert_eq!(judge(&nested(0), &deep(120)).len(), 1);
            assert_eq!(judge(&nested(20), &deep(16)).len(), 1);
        });
        judged.expect("a thread").join().expect("its stack is enough");
    }

    #[test]
    fn a_large_document_is_judged_without_telling_all_faults() {
        let schema = compile(&json!({"items": {"type": "integer"}})).expect("a schema");
        assert!(judge(&schema, &Value::from(vec![1; 200_000])).is_empty());
        let faults = judge(&schema, &Value::from(vec!["a"; 200_000]));
        assert!(faults.len() == 1 && faults[0].why.contains("too large to say where"), "{faults:?}");
    }
}
