//! An integration that goes on where it was badly: its pages are committed one by one, and each fault of its configuration is
//! one that authors make with cursors. Without a fault it is right.

use agent_sdk::http::Request;
use agent_sdk::{Error, ExportResult, Integration, Manifest, Model, NetworkRule, Result, Session, session};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// Records of a page.
const PER_PAGE: u32 = 3;

#[derive(Deserialize)]
struct Config {
    #[serde(default = "three")]
    pages: u32,
    /// A server that is asked before each page.
    url: Option<String>,
    fault: Option<Fault>,
}

fn three() -> u32 {
    3
}

#[derive(Clone, Copy, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Fault {
    /// A page's cursor is committed before its records are sent.
    Drops,
    /// Ids count from the beginning of the run.
    Renumbers,
    /// It begins a page earlier than it was, with records that say where the run began.
    Doubles,
    /// It fails where it has a cursor.
    Stumbles,
    /// It asks the server for what it asks nobody for in a run from the beginning.
    Asks,
    /// It sends its first record once more at the end.
    Repeats,
    /// Its records say what time it is.
    Times,
}

#[derive(Serialize)]
struct Ticket {
    ref_id: String,
    page: u32,
    began: u32,
    now: u128,
}

impl Model for Ticket {
    const NAME: &'static str = "careless.Ticket";
    fn schema() -> Value {
        json!({ "type": "object", "required": ["ref_id", "page", "began", "now"] })
    }
}

struct Careless;

impl Integration for Careless {
    type Config = Config;

    fn describe() -> Manifest {
        let config = json!({
            "type": "object",
            "properties": {
                "pages": { "type": "integer", "minimum": 0 },
                "url": { "type": "string" },
                "fault": { "enum": ["drops", "renumbers", "doubles", "stumbles", "asks", "repeats", "times"] },
            },
        });
        Manifest::new("careless", env!("CARGO_PKG_VERSION"))
            .config(config)
            .model::<Ticket>()
            .network(NetworkRule::config("/url").methods(&["GET"]))
    }

    fn export(config: Config) -> Result<ExportResult> {
        let mut tickets = session::root_model::<Ticket>()?;
        let cursor: Option<u32> = tickets.last_processed().and_then(|cursor| cursor.parse().ok());
        if config.fault == Some(Fault::Stumbles) && cursor.is_some() {
            return Err(Error::msg("it does not know where it was"));
        }
        let back = if config.fault == Some(Fault::Doubles) { 1 } else { 0 };
        let began = cursor.unwrap_or(0).saturating_sub(back);
        if config.fault == Some(Fault::Asks) && cursor.is_some() {
            ask(&config, "since")?;
        }
        for page in began..config.pages {
            ask(&config, &page.to_string())?;
            if config.fault == Some(Fault::Drops) {
                tickets.checkpoint(&(page + 1).to_string())?;
            }
            send(&config, &mut tickets, page, began)?;
            if config.fault != Some(Fault::Drops) {
                tickets.checkpoint(&(page + 1).to_string())?;
            }
        }
        if config.fault == Some(Fault::Repeats) {
            tickets.send(&ticket(&config, 0, 0, began))?;
        }
        tickets.done(Some(&config.pages.to_string()))?;
        Ok(ExportResult::new())
    }
}

fn ask(config: &Config, path: &str) -> Result<()> {
    let Some(url) = &config.url else { return Ok(()) };
    Request::get(format!("{url}/{path}")).send()?.error_for_status()?;
    Ok(())
}

fn send(config: &Config, tickets: &mut Session<Ticket>, page: u32, began: u32) -> Result<()> {
    (0..PER_PAGE).try_for_each(|number| tickets.send(&ticket(config, page, number, began)))
}

fn ticket(config: &Config, page: u32, number: u32, began: u32) -> Ticket {
    let first = if config.fault == Some(Fault::Renumbers) { page - began } else { page };
    let began = if config.fault == Some(Fault::Doubles) { began } else { 0 };
    let since = || std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let now = if config.fault == Some(Fault::Times) { since().map_or(0, |time| time.as_nanos()) } else { 0 };
    Ticket { ref_id: format!("T{}", first * PER_PAGE + number), page, began, now }
}

agent_sdk::register!(Careless);
