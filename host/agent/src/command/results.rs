//! What calls return, held against the published forms (`wit/schemas/`): a result that does not fit is a failure of the
//! kind `result`, which names the places, and nobody behind this has to wonder what a guest may have sent.

use std::sync::OnceLock;

use serde_json::Value;

use super::manifest::Manifest;
use super::outcome::Outcome;
use super::schema::{self, Fault, Schema};
use crate::sandbox::Call;

/// Which result a call has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// `describe`: the manifest, which is judged where it is read.
    Manifest,
    Validate,
    Onboard,
    Export,
    /// `mutate` and `webhook`.
    Mutate,
}

impl Form {
    pub(super) fn of(call: &Call) -> Form {
        match call {
            Call::Describe => Form::Manifest,
            Call::ValidateConfig { .. } => Form::Validate,
            Call::OnboardExport { .. } => Form::Onboard,
            Call::Export { .. } => Form::Export,
            Call::Mutate { .. } | Call::Webhook { .. } => Form::Mutate,
        }
    }

    fn published(self) -> Option<(&'static str, &'static Schema)> {
        static FORMS: [OnceLock<Schema>; 4] = [const { OnceLock::new() }; 4];
        let (index, name, text) = match self {
            Form::Manifest => return None,
            Form::Validate => (0, "validate-result.json", include_str!("../../../../wit/schemas/validate-result.json")),
            Form::Onboard => (1, "onboard-result.json", include_str!("../../../../wit/schemas/onboard-result.json")),
            Form::Export => (2, "export-result.json", include_str!("../../../../wit/schemas/export-result.json")),
            Form::Mutate => (3, "mutate-result.json", include_str!("../../../../wit/schemas/mutate-result.json")),
        };
        let validator = FORMS[index].get_or_init(|| {
            let schema =
                serde_json::from_str(text).expect("a published schema is part of this program, and a test reads it");
            schema::compile(&schema).expect("a published schema is part of this program, and a test compiles it")
        });
        Some((name, validator))
    }
}

/// The outcome, or the failure that its result is not what it should be.
pub(super) fn judged(outcome: Outcome, form: Form, manifest: &Manifest) -> Outcome {
    let Outcome::Ok { result } = &outcome else { return outcome };
    let Some((name, validator)) = form.published() else { return outcome };
    let mut faults = schema::judge(validator, result);
    if faults.is_empty() && form == Form::Mutate {
        faults = faults_of_records(result, manifest);
    }
    if faults.is_empty() {
        return outcome;
    }
    let lines = schema::lines(&faults);
    Outcome::failed(
        "result",
        format!("what the integration returned does not fit schemas/{name}; its author has to mend it:{lines}"),
    )
}

/// What changed must be records of the manifest's models.
fn faults_of_records(result: &Value, manifest: &Manifest) -> Vec<Fault> {
    let mut faults = Vec::new();
    for (model, records) in result.get("mutated").and_then(Value::as_object).into_iter().flatten() {
        let place = format!("/mutated/{}", schema::escaped(model));
        let Some(declared) = manifest.models.iter().find(|declared| declared.name == *model) else {
            faults.push(Fault::new(place, "there is no model of this name in the manifest"));
            continue;
        };
        // The manifest was judged: its schemas compile.
        let Ok(validator) = schema::compile(&declared.schema) else { continue };
        for (index, record) in records.as_array().into_iter().flatten().enumerate() {
            let found = schema::judge(&validator, record);
            faults.extend(found.into_iter().map(|f| Fault::new(format!("{place}/{index}{}", f.pointer), f.why)));
            if faults.len() >= schema::FAULTS_MAX {
                return faults;
            }
        }
    }
    faults
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn word_of(form: Form, result: Value) -> Result<(), String> {
        let manifest = json!({
            "schema": 1, "name": "m", "version": "1.0.0", "ref_type": "m", "config": {"type": "object"},
            "models": [{"name": "M", "key": ["/id"], "schema": {"required": ["id"], "properties": {"id": {"type": "string"}}}}],
        });
        let manifest = Manifest::parse(&manifest.to_string()).expect("a manifest");
        match judged(Outcome::Ok { result }, form, &manifest) {
            Outcome::Ok { .. } => Ok(()),
            Outcome::Failed { kind, reason } if kind == "result" => Err(reason),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn results_are_held_against_the_published_forms() {
        for (form, result, said) in [
            (Form::Validate, json!({"ok": true}), ""),
            (Form::Validate, json!({"ok": true, "later": 1}), ""),
            (Form::Validate, json!({}), "\"ok\" is a required property"),
            (Form::Validate, json!({"ok": false, "errors": []}), "/errors"),
            (Form::Validate, json!([]), "the document: "),
            (Form::Onboard, json!([{"a": 1}]), ""),
            (Form::Onboard, json!([{"a": 1}, 2]), "/1: "),
            (Form::Onboard, json!({"a": 1}), "onboard-result.json"),
            (Form::Export, json!({}), ""),
            (Form::Export, json!({"projects": [{"name": "x"}]}), "/projects/0"),
            (Form::Mutate, json!({"mutated": {"M": [{"id": "1"}]}, "response": 7}), ""),
            (Form::Mutate, json!({"mutated": {"M": [{"id": "1"}, {"id": 2}]}}), "/mutated/M/1/id"),
            (Form::Mutate, json!({"mutated": {"N": []}}), "/mutated/N: there is no model"),
            (Form::Mutate, json!({"mutated": []}), "/mutated"),
        ] {
            let found = word_of(form, result.clone());
            assert_eq!(found.is_ok(), said.is_empty(), "{result}: {found:?}");
            assert!(found.err().unwrap_or_default().contains(said), "{result}");
        }
    }
}
