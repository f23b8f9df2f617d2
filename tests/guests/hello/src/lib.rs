//! A complete integration: one model, one page after the other, a cursor. It is the example in the SDK's README.

use agent_sdk::http::Request;
use agent_sdk::{ExportResult, Integration, Manifest, Model, NetworkRule, Result, ValidateResult, session};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Config {
    url: String,
}

#[derive(Serialize, Deserialize)]
struct Ticket {
    ref_id: String,
    title: String,
    updated_at: String,
}

impl Model for Ticket {
    const NAME: &'static str = "hello.Ticket";

    fn schema() -> Value {
        json!({ "type": "object", "required": ["ref_id", "title", "updated_at"] })
    }
}

struct Hello;

impl Integration for Hello {
    type Config = Config;

    fn describe() -> Manifest {
        Manifest::new("hello", env!("CARGO_PKG_VERSION"))
            .description("Tickets of a server that lists them oldest change first")
            .config(json!({ "type": "object", "required": ["url"], "properties": { "url": { "type": "string" } } }))
            .model::<Ticket>()
            .network(NetworkRule::config("/url").methods(&["GET"]))
    }

    fn validate_config(config: Config) -> Result<ValidateResult> {
        let answer = Request::get(format!("{}/version", config.url)).send()?.error_for_status()?;
        Ok(ValidateResult::ok().server_version(answer.text()))
    }

    fn export(config: Config) -> Result<ExportResult> {
        let mut tickets = session::root_model::<Ticket>()?;
        let mut since = tickets.last_processed().unwrap_or_default();
        loop {
            let request = Request::get(format!("{}/tickets", config.url)).query("after", &since);
            let page: Vec<Ticket> = request.send()?.error_for_status()?.json()?;
            let Some(last) = page.last() else { break };
            for ticket in &page {
                tickets.send(ticket)?;
            }
            since.clone_from(&last.updated_at);
            tickets.checkpoint(&since)?;
            if tickets.should_stop() {
                break;
            }
        }
        tickets.done(Some(&since))?;
        Ok(ExportResult::new())
    }
}

agent_sdk::register!(Hello);
