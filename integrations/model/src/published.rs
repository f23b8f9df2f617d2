//! The forms of models as they are published in `docs/models`, for tests: every integration's manifest is held against them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use agent_sdk::Manifest;
use serde_json::{Value, json};

/// Set, the forms are written instead of compared.
const WRITE: &str = "AGENT_WRITE_MODELS";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/models")
}

/// Insists that the models of a manifest are published as they are; their names.
///
/// # Panics
/// Where one is not.
#[must_use]
pub fn check(manifest: &Manifest) -> BTreeSet<String> {
    let manifest = serde_json::to_value(manifest).expect("a manifest is JSON");
    let models = manifest["models"].as_array().expect("a manifest has models");
    models.iter().map(check_model).collect()
}

fn check_model(model: &Value) -> String {
    let name = model["name"].as_str().unwrap_or_default();
    let required = model["schema"]["required"].as_array().cloned().unwrap_or_default();
    assert!(required.contains(&json!("ref_id")) && required.contains(&json!("ref_type")), "{name}");
    let mut form = json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "title": name });
    if let (Some(form), Some(schema)) = (form.as_object_mut(), model["schema"].as_object()) {
        form.extend(schema.clone());
    }
    let (file, text) = (folder().join(format!("{name}.json")), format!("{form:#}\n"));
    if std::env::var_os(WRITE).is_some() {
        let written = std::fs::create_dir_all(folder()).and_then(|()| std::fs::write(&file, &text));
        assert!(written.is_ok(), "{}: {written:?}", file.display());
    }
    let published = std::fs::read_to_string(&file).unwrap_or_default();
    assert!(published == text, "{name} has changed: run this test with {WRITE}=1 and look at the difference");
    name.to_owned()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{check, folder};
    use crate::{sourcecode, work};

    #[test]
    fn every_form_is_published_and_nothing_else() {
        let manifest = agent_sdk::Manifest::new("all", "0.1.0")
            .model::<sourcecode::CommitUser>()
            .model::<sourcecode::PullRequest>()
            .model::<sourcecode::PullRequestComment>()
            .model::<sourcecode::PullRequestCommit>()
            .model::<sourcecode::Repo>()
            .model::<sourcecode::RepoError>()
            .model::<sourcecode::RepoWebhook>()
            .model::<sourcecode::Review>()
            .model::<sourcecode::ReviewRequest>()
            .model::<sourcecode::User>()
            .model::<work::Issue>()
            .model::<work::IssueComment>()
            .model::<work::Project>()
            .model::<work::Sprint>();
        let published = std::fs::read_dir(folder()).unwrap().map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".json").unwrap_or(&name).to_owned()
        });
        let forms = check(&manifest);
        assert_eq!(forms, published.collect::<BTreeSet<_>>());
    }
}
