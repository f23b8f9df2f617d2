//! Records held against the schema that their model has in the manifest. When which of them is looked at is for `export` to
//! say; that the schema is one was found out when the manifest was read.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::Value;

use super::manifest::Manifest;
use super::schema::{self, Schema};
use crate::export::{Judge, Misfit};

/// Characters of a key in a report.
const KEY_CHARS_MAX: usize = 120;

/// The judges of an integration's own models, by name. The host's own models need none.
pub(super) fn judges(manifest: &Manifest) -> HashMap<String, Arc<dyn Judge>> {
    let native: Vec<String> =
        if manifest.asks.git { crate::git::models().into_iter().map(|m| m.name).collect() } else { Vec::new() };
    let mut judges: HashMap<String, Arc<dyn Judge>> = HashMap::new();
    for model in manifest.models.iter().filter(|model| !native.contains(&model.name)) {
        // A schema that says nothing is not asked.
        let says_nothing = matches!(&model.schema, Value::Bool(true))
            || model.schema.as_object().is_some_and(serde_json::Map::is_empty);
        if !says_nothing && let Ok(schema) = schema::compile(&model.schema) {
            judges.insert(model.name.clone(), Arc::new(RecordJudge { schema, key: model.key.clone() }));
        }
    }
    judges
}

struct RecordJudge {
    schema: Schema,
    key: Vec<String>,
}

impl Judge for RecordJudge {
    fn judge(&self, record: &[u8]) -> Option<Misfit> {
        // A number that the general library cannot hold is none of the schema's business; the record was read before.
        let record: Value = serde_json::from_slice(record).ok()?;
        let fault = schema::judge(&self.schema, &record).into_iter().next()?;
        let parts: Vec<String> = self.key.iter().filter_map(|pointer| record.pointer(pointer)).map(text).collect();
        let key = parts.join(" ").chars().take(KEY_CHARS_MAX).collect();
        Some(Misfit { key, pointer: fault.pointer, why: fault.why })
    }
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_record_that_does_not_fit_is_named_by_its_key_and_place() {
        let manifest = json!({
            "schema": 1, "name": "m", "version": "1.0.0", "ref_type": "m", "config": {"type": "object"},
            "models": [
                {"name": "M", "key": ["/a", "/b"], "schema": {"properties": {"n": {"type": "integer"}}}},
                {"name": "Any", "key": ["/a"], "schema": {}},
            ],
        });
        let judges = judges(&Manifest::parse(&manifest.to_string()).expect("a manifest"));
        assert_eq!(judges.keys().collect::<Vec<_>>(), ["M"]);
        assert_eq!(judges["M"].judge(br#"{"a": "x", "b": 2, "n": 1}"#), None);
        let misfit = judges["M"].judge(br#"{"a": "x", "b": 2, "n": "secret"}"#).expect("a misfit");
        assert_eq!((misfit.key.as_str(), misfit.pointer.as_str()), ("x 2", "/n"));
        assert!(misfit.why.contains("integer") && !misfit.why.contains("secret"), "{}", misfit.why);
    }
}
