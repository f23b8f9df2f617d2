//! A complete integration: one model, one page after the other, a cursor. It is the example in the SDK's README.

use agent_sdk::http::Request;
use agent_sdk::{ExportResult, Integration, Manifest, Model, NetworkRule, Result, session};
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

    /// One page after the other until there is an empty one, committed page by page.
    fn export(config: Config) -> Result<ExportResult> {
        let mut tickets = session::root_model::<Ticket>()?;
        let mut since = tickets.last_processed().unwrap_or_default();
        while !tickets.should_stop() {
            let request = Request::get(format!("{}/tickets", config.url)).query("after", &since);
            let page: Vec<Ticket> = request.send()?.error_for_status()?.json()?;
            let Some(last) = page.last() else { break };
            for ticket in &page {
                tickets.send(ticket)?;
            }
            since.clone_from(&last.updated_at);
            tickets.checkpoint(&since)?;
        }
        tickets.done(Some(&since))?;
        Ok(ExportResult::new())
    }
}

agent_sdk::register!(Hello);
