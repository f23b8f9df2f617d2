//! Fetches pages and exports what came of each: by the contract's own interface or by standard `wasi:http`, one after the
//! other or many at a time. What it asks for is in its configuration, so one guest serves the tests of both and the benchmark.

mod own;
mod standard;

use agent_sdk::{Error, ExportResult, Integration, Manifest, Model, NetworkRule, Result, ValidateResult, session};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Config {
    /// `{}` in it is the page's number.
    url: String,
    /// Other servers that it asks for, where a redirect may lead.
    #[serde(default)]
    #[allow(dead_code, reason = "the manifest's rules are made of it")]
    also: Vec<String>,
    #[serde(default)]
    interface: Interface,
    #[serde(default = "one")]
    pages: u32,
    #[serde(default = "one")]
    at_once: u32,
    #[serde(default = "get")]
    method: String,
    /// Bytes of the body that is sent.
    #[serde(default)]
    body: usize,
    #[serde(default)]
    headers: Vec<(String, String)>,
    /// Field names and values after the body, which only standard requests can have.
    #[serde(default)]
    trailers: Vec<(String, String)>,
    /// Of the contract's requests; standard requests carry them as header fields.
    #[serde(default)]
    options: Vec<(String, String)>,
    /// How much of each answer's body is exported, bytes.
    #[serde(default)]
    keep: usize,
}

#[derive(Deserialize, Default, Clone, Copy)]
#[serde(rename_all = "lowercase")]
enum Interface {
    #[default]
    Own,
    Wasi,
}

fn one() -> u32 {
    1
}

fn get() -> String {
    "GET".to_owned()
}

impl Config {
    fn url_of(&self, page: u32) -> String {
        self.url.replace("{}", &page.to_string())
    }

    fn page(&self, page: u32, came: std::result::Result<Came, String>) -> Page {
        let ref_id = page.to_string();
        match came {
            Ok(Came { status, headers, body }) => {
                let kept = String::from_utf8_lossy(&body[..body.len().min(self.keep)]).into_owned();
                Page { ref_id, status: Some(status), bytes: body.len(), headers, kept, error: None }
            }
            Err(error) => Page { ref_id, error: Some(error), ..Page::default() },
        }
    }
}

/// An answer, by whichever interface.
struct Came {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

#[derive(Serialize, Deserialize, Default)]
struct Page {
    ref_id: String,
    status: Option<u16>,
    bytes: usize,
    headers: Vec<(String, String)>,
    kept: String,
    error: Option<String>,
}

impl Model for Page {
    const NAME: &'static str = "fetch.Page";
    fn schema() -> Value {
        json!({ "type": "object", "required": ["ref_id"] })
    }
}

fn fetch(config: &Config, keep: &mut impl FnMut(u32, std::result::Result<Came, String>) -> Result<()>) -> Result<()> {
    match config.interface {
        Interface::Own => own::fetch(config, keep),
        Interface::Wasi => standard::fetch(config, keep),
    }
}

struct Fetch;

impl Integration for Fetch {
    type Config = Config;

    fn describe() -> Manifest {
        Manifest::new("fetch", env!("CARGO_PKG_VERSION"))
            .description("Whatever a server answers, for tests")
            .config(json!({ "type": "object", "required": ["url"], "properties": { "url": { "type": "string" } } }))
            .model::<Page>()
            .network(NetworkRule::config("/url"))
            .network(NetworkRule::config("/also/*"))
            .credential("token", "Whatever the server wants to see")
    }

    /// The same without a record: what is left is what fetching costs.
    fn validate_config(config: Config) -> Result<ValidateResult> {
        let mut count = |number: u32, came: std::result::Result<Came, String>| match came {
            Ok(came) if came.status == 200 => Ok(()),
            Ok(came) => Err(Error::msg(format!("page {number}: status {}", came.status))),
            Err(error) => Err(Error::msg(format!("page {number}: {error}"))),
        };
        fetch(&config, &mut count)?;
        Ok(ValidateResult::ok())
    }

    fn export(config: Config) -> Result<ExportResult> {
        let mut pages = session::root_model::<Page>()?;
        let mut keep = |number, came| pages.send(&config.page(number, came));
        fetch(&config, &mut keep)?;
        pages.done(None)?;
        Ok(ExportResult::new())
    }
}

agent_sdk::register!(Fetch);
