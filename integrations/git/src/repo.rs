//! The model `sourcecode.Repo`: a repository as a record.

use agent_sdk::{Model, git};
use serde::Serialize;
use serde_json::{Value, json};

/// By this and `ref_id`, records of several integrations are told apart.
pub const REF_TYPE: &str = "git";

#[derive(Debug, Serialize)]
pub struct Repo {
    ref_id: String,
    ref_type: &'static str,
    name: String,
    url: String,
}

impl Model for Repo {
    const NAME: &'static str = "sourcecode.Repo";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "name", "url"],
            "properties": {
                "ref_id": { "type": "string", "description": "What commits and branches refer to" },
                "ref_type": { "const": REF_TYPE },
                "name": { "type": "string" },
                "url": { "type": "string", "description": "Where it is fetched from" }
            }
        })
    }
}

impl From<&git::Repo> for Repo {
    fn from(repo: &git::Repo) -> Repo {
        Repo { ref_id: repo.ref_id.clone(), ref_type: REF_TYPE, name: repo.name.clone(), url: repo.url.clone() }
    }
}
