//! What it may cost to judge a document by a schema, found out before the validator sees either. Schema and document may
//! both be an integration's: a few lines judge one value twice on each level, or a long text by a slow pattern, and the
//! validator knows no end. This walk does what the validator would do at the worst, counts, and looks at no value; it stops
//! where there is no more to spend, so it is itself as short as its budget.

use serde_json::{Map, Value};

/// What judging may cost, in steps of some tens of nanoseconds: seconds at the very worst. A configuration with ten
/// thousand URLs takes a third of it.
pub(super) const STEPS_MAX: u64 = 16_000_000;

/// Steps for a schema that judges a value, beside what its keywords take. This walk takes as long for it as the validator.
const VISIT_STEPS: u64 = 10;

/// Times that a schema judges a value, of a document whose faults are all told. The validator gathers them before it gives
/// the first, at some hundred bytes each.
pub(super) const TELL_MAX: u64 = 100_000;

/// Schemas one within the other on the way to a value, those for the values around it included: the validator's stack
/// grows with them.
pub(super) const LEVELS_MAX: usize = 512;

/// Steps for a byte that is matched by a pattern: what its length adds to them, and what a pattern costs whose compiled form
/// may be far larger than its text.
const PATTERN_STEPS: u64 = 4;
const PATTERN_BYTES_PER_STEP: u64 = 16;
const PATTERN_STEPS_MAX: u64 = 128;

/// Bytes of text that are compared or counted in a step.
const BYTES_PER_STEP: u64 = 64;

/// Keywords whose schemas judge the same value as the schema that they stand in.
pub(super) const IN_PLACE_LISTS: [&str; 3] = ["allOf", "anyOf", "oneOf"];
pub(super) const IN_PLACE: [&str; 4] = ["not", "if", "then", "else"];
pub(super) const IN_PLACE_MAPS: [&str; 2] = ["dependentSchemas", "dependencies"];

/// Keywords whose schema judges items of the value: all of them, for what is counted here.
const OF_ITEMS: [&str; 4] = ["items", "additionalItems", "contains", "unevaluatedItems"];
const OF_ITEM_LISTS: [&str; 2] = ["prefixItems", "items"];
/// Those of members that `properties` does not name.
const OF_MEMBERS: [&str; 2] = ["additionalProperties", "unevaluatedProperties"];

/// Keywords that repeat what stands within them when they say what is wrong.
const REPEATING: [&str; 4] = ["anyOf", "oneOf", "contains", "dependentSchemas"];

/// Keywords whose values are compared with a value, or counted through.
const COMPARED: [&str; 5] = ["enum", "const", "required", "dependentRequired", "dependencies"];

/// There is no more to spend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooMuch;

/// What may still be spent on one or several documents.
#[derive(Debug, Clone, Copy)]
pub(super) struct Budget {
    pub steps: u64,
    /// Times that a schema may yet judge a value, if the faults are to be told.
    pub tell: u64,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget { steps: STEPS_MAX, tell: TELL_MAX }
    }
}

/// Where the walk is: how deep, and how often the validator comes by.
#[derive(Debug, Clone, Copy)]
struct Way {
    level: usize,
    times: u64,
    /// Keywords above that come by once more when there is something wrong.
    repeats: u64,
}

impl Budget {
    /// Spends what judging the document by the schema may cost.
    pub(super) fn spend(&mut self, schema: &Value, document: &Value) -> Result<(), TooMuch> {
        self.visit(schema, schema, document, Way { level: 0, times: 1, repeats: 1 })
    }

    fn take(&mut self, steps: u64, way: Way) -> Result<(), TooMuch> {
        let steps = steps.saturating_mul(way.times).saturating_mul(way.repeats);
        self.steps = self.steps.checked_sub(steps).ok_or(TooMuch)?;
        Ok(())
    }

    /// One schema and one value. `root` is what references refer into.
    fn visit(&mut self, root: &Value, schema: &Value, value: &Value, way: Way) -> Result<(), TooMuch> {
        if way.level > LEVELS_MAX {
            return Err(TooMuch);
        }
        self.tell = self.tell.saturating_sub(way.times);
        let Value::Object(keywords) = schema else { return self.take(VISIT_STEPS, way) };
        self.take(own_steps(keywords, value), way)?;
        self.in_place(root, keywords, value, way)?;
        let deeper = Way { level: way.level + 1, ..way };
        match value {
            Value::Array(items) => self.items(root, keywords, items, deeper),
            Value::Object(members) => self.members(root, keywords, members, deeper),
            _ => Ok(()),
        }
    }

    fn in_place(
        &mut self,
        root: &Value,
        keywords: &Map<String, Value>,
        value: &Value,
        way: Way,
    ) -> Result<(), TooMuch> {
        let mut below = Way { level: way.level + 1, ..way };
        below.repeats += u64::from(REPEATING.iter().any(|name| keywords.contains_key(*name)));
        // What is not evaluated is found out by judging everything else again.
        if keywords.contains_key("unevaluatedProperties") || keywords.contains_key("unevaluatedItems") {
            below.times = below.times.saturating_mul(2 + length(value));
        }
        let lists = IN_PLACE_LISTS.iter().filter_map(|name| keywords.get(*name)?.as_array()).flatten();
        let single = IN_PLACE.iter().filter_map(|name| keywords.get(*name));
        let maps = IN_PLACE_MAPS.iter().filter_map(|name| Some(keywords.get(*name)?.as_object()?.values())).flatten();
        let reference =
            keywords.get("$ref").and_then(Value::as_str).and_then(|text| root.pointer(text.strip_prefix('#')?));
        for schema in lists.chain(single).chain(maps).chain(reference) {
            self.visit(root, schema, value, below)?;
        }
        Ok(())
    }

    fn items(&mut self, root: &Value, keywords: &Map<String, Value>, items: &[Value], way: Way) -> Result<(), TooMuch> {
        for schema in OF_ITEMS.iter().filter_map(|name| keywords.get(*name)).filter(|schema| !schema.is_array()) {
            items.iter().try_for_each(|item| self.visit(root, schema, item, way))?;
        }
        for schemas in OF_ITEM_LISTS.iter().filter_map(|name| keywords.get(*name)?.as_array()) {
            schemas.iter().zip(items).try_for_each(|(schema, item)| self.visit(root, schema, item, way))?;
        }
        Ok(())
    }

    fn members(
        &mut self,
        root: &Value,
        keywords: &Map<String, Value>,
        members: &Map<String, Value>,
        way: Way,
    ) -> Result<(), TooMuch> {
        let properties = keywords.get("properties").and_then(Value::as_object);
        for (name, member) in members {
            if let Some(schema) = properties.and_then(|properties| properties.get(name)) {
                self.visit(root, schema, member, way)?;
                continue;
            }
            for schema in OF_MEMBERS.iter().filter_map(|name| keywords.get(*name)) {
                self.visit(root, schema, member, way)?;
            }
        }
        for (pattern, schema) in keywords.get("patternProperties").and_then(Value::as_object).into_iter().flatten() {
            for (name, member) in members {
                // Twice: `additionalProperties` asks the patterns as well.
                self.take(pattern_steps(pattern, name).saturating_mul(2), way)?;
                self.visit(root, schema, member, way)?;
            }
        }
        if let Some(schema) = keywords.get("propertyNames") {
            for name in members.keys() {
                self.visit(root, schema, &Value::String(name.clone()), way)?;
            }
        }
        Ok(())
    }
}

/// The steps of the keywords that look at the value itself.
fn own_steps(keywords: &Map<String, Value>, value: &Value) -> u64 {
    let compared: u64 = COMPARED.iter().filter_map(|name| keywords.get(*name)).map(size).sum();
    let whole = if keywords.contains_key("uniqueItems") { size(value).saturating_mul(2) } else { length(value) };
    let text = match value {
        Value::String(text) => text_steps(keywords, text),
        _ => 0,
    };
    VISIT_STEPS + keywords.len() as u64 + compared + whole + text
}

fn text_steps(keywords: &Map<String, Value>, text: &str) -> u64 {
    let pattern = keywords.get("pattern").and_then(Value::as_str).map_or(0, |pattern| pattern_steps(pattern, text));
    let other = ["format", "contentEncoding", "contentMediaType"].iter().filter(|name| keywords.contains_key(**name));
    pattern + other.count() as u64 * PATTERN_STEPS * text.len() as u64
}

fn pattern_steps(pattern: &str, text: &str) -> u64 {
    let may_be_large = pattern.contains('{') || pattern.contains("\\p") || pattern.contains("\\P");
    let each = PATTERN_STEPS + pattern.len() as u64 / PATTERN_BYTES_PER_STEP;
    let each = if may_be_large { PATTERN_STEPS_MAX } else { each.min(PATTERN_STEPS_MAX) };
    each.saturating_mul(1 + text.len() as u64)
}

/// Steps to go once over a list's items or an object's members, or over a text.
fn length(value: &Value) -> u64 {
    match value {
        Value::Array(items) => items.len() as u64,
        Value::Object(members) => members.len() as u64,
        Value::String(text) => text.len() as u64 / BYTES_PER_STEP,
        _ => 0,
    }
}

/// Steps to go over all of a value. Recursive: the parsers bound the depth.
fn size(value: &Value) -> u64 {
    1 + match value {
        Value::Array(items) => items.iter().map(size).sum(),
        Value::Object(members) => members.values().map(size).sum(),
        text_or_less => length(text_or_less),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spent(schema: &Value, document: &Value) -> Option<u64> {
        let mut budget = Budget::default();
        budget.spend(schema, document).ok().map(|()| STEPS_MAX - budget.steps)
    }

    /// A document of so many levels.
    fn nested(levels: usize) -> Value {
        (0..levels).fold(json!({}), |inner, _| json!({"a": [inner]}))
    }

    #[test]
    fn what_judges_a_value_twice_on_each_level_is_too_much() {
        for twice in [
            json!({"properties": {"a": {"$ref": "#"}}, "patternProperties": {"^a": {"$ref": "#"}}, "items": {"$ref": "#"}}),
            json!({"properties": {"a": {"$ref": "#"}}, "items": {"$ref": "#"}, "contains": {"$ref": "#"}}),
            json!({"additionalProperties": {"anyOf": [{"$ref": "#"}, {"$ref": "#"}]}, "items": {"$ref": "#"}}),
            json!({"allOf": [{"properties": {"a": {"$ref": "#"}}, "items": {"$ref": "#"}}], "unevaluatedProperties": {}, "unevaluatedItems": {}}),
        ] {
            assert_eq!(spent(&twice, &nested(60)), None, "{twice}");
            assert!(spent(&twice, &nested(3)).is_some(), "{twice}");
        }
        let once = json!({"properties": {"a": {"items": {"$ref": "#"}}}});
        assert!(spent(&once, &nested(60)).is_some_and(|steps| steps < 100_000), "{:?}", spent(&once, &nested(60)));
    }

    #[test]
    fn slow_patterns_and_long_comparisons_are_too_much() {
        let often = |schema: Value| json!({"anyOf": vec![json!({"$ref": "#/$defs/s"}); 200], "$defs": {"s": schema}});
        let text = Value::from("a".repeat(64 << 10));
        assert_eq!(spent(&often(json!({"pattern": "(?:[ab]*a[ab]{800}c)$"})), &text), None);
        assert_eq!(spent(&often(json!({"pattern": "^[a-z]+$"})), &text), None);
        assert!(spent(&json!({"pattern": "^[a-z]{1,64}$"}), &text).is_some());
        let list = Value::from(vec![1; 10_000]);
        assert_eq!(spent(&often(json!({"items": {"enum": vec![2; 1000]}})), &list), None);
        assert_eq!(spent(&often(json!({"uniqueItems": true})), &Value::from(vec![1; 100_000])), None);
        assert!(spent(&json!({"items": {"enum": vec![2; 1000]}}), &list).is_some());
    }

    #[test]
    fn what_people_write_costs_little() {
        let schema = json!({"properties": {"repos": {"items": {
            "required": ["url"],
            "properties": {"url": {"type": "string", "format": "uri", "pattern": "^https://[^/]+/.+$"}},
        }}}});
        let repos: Vec<Value> =
            (0..10_000).map(|i| json!({"url": format!("https://git.example.com/team/repository-{i}")})).collect();
        let steps = spent(&schema, &json!({"repos": repos}));
        assert!(steps.is_some_and(|steps| steps < STEPS_MAX / 2), "{steps:?}");
    }

    #[test]
    fn depth_is_bounded() {
        let mut definitions: Map<String, Value> =
            (0..30).map(|i| (i.to_string(), json!({"allOf": [{"$ref": format!("#/$defs/{}", i + 1)}]}))).collect();
        definitions.insert("30".to_owned(), json!({"properties": {"a": {"items": {"$ref": "#/$defs/0"}}}}));
        let schema = json!({"$ref": "#/$defs/0", "$defs": definitions});
        assert!(spent(&schema, &nested(5)).is_some());
        assert_eq!(spent(&schema, &nested(60)), None);
    }
}
