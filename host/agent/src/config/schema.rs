//! The published JSON Schema of agent.yaml, for editors. It is written by hand, for people; a test holds its keys and
//! the reader's together.

/// `schemas/agent-config.json`.
pub const AGENT_CONFIG: &str = include_str!("../../schemas/agent-config.json");

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::{egress, grants, lift};

    fn keys(schema: &Value, pointer: &str) -> Vec<String> {
        let object = schema.pointer(pointer).unwrap_or_else(|| panic!("{pointer} is not in the schema"));
        assert_eq!(object["additionalProperties"], Value::Bool(false), "{pointer} lets unknown keys in");
        let mut keys: Vec<String> = object["properties"].as_object().unwrap().keys().cloned().collect();
        keys.sort();
        keys
    }

    #[test]
    fn the_schema_and_the_reader_know_the_same_keys() {
        let schema: Value = serde_json::from_str(super::AGENT_CONFIG).unwrap();
        for (pointer, known) in [
            ("", lift::ROOT_KEYS),
            ("/$defs/sink_folder", lift::SINK_KEYS),
            ("/$defs/integration", lift::INTEGRATION_KEYS),
            ("/$defs/limits", lift::LIMIT_KEYS),
            ("/$defs/agent_limits", lift::ROOT_LIMIT_KEYS),
            ("/$defs/egress", egress::EGRESS_KEYS),
            ("/$defs/grants", grants::GRANT_KEYS),
            ("/$defs/grants/properties/git", grants::GIT_KEYS),
            ("/$defs/network_rule", grants::RULE_KEYS),
            ("/$defs/credential", grants::CREDENTIAL_KEYS),
            ("/$defs/credential/properties/basic", grants::BASIC_KEYS),
            ("/$defs/credential/properties/header", grants::HEADER_KEYS),
            ("/$defs/credential/properties/query", grants::QUERY_KEYS),
            ("/$defs/credential/properties/oauth2", grants::OAUTH2_KEYS),
            ("/$defs/credential/properties/github_app", grants::GITHUB_APP_KEYS),
            ("/$defs/secret_source", grants::SOURCE_KEYS),
        ] {
            let mut known: Vec<String> = known.iter().map(|key| (*key).to_owned()).collect();
            known.sort();
            assert_eq!(keys(&schema, pointer), known, "{pointer}");
        }
    }

    #[test]
    fn every_setting_is_described() {
        fn walk(value: &Value, path: &str) {
            if let Some(properties) = value.get("properties").and_then(Value::as_object) {
                for (key, property) in properties {
                    assert!(property.get("description").is_some(), "{path}/{key} has no description");
                }
            }
            for (key, child) in value.as_object().into_iter().flatten() {
                walk(child, &format!("{path}/{key}"));
            }
        }
        walk(&serde_json::from_str(super::AGENT_CONFIG).unwrap(), "");
    }
}
