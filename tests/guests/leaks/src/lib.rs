//! A guest that wants secrets: it has each credential put into requests in every way, asks servers to say what they were given,
//! undoes what they did to it, and writes what comes of it wherever a guest can write. With `pages` it only fetches; the mutation
//! `keep` has a secret put into the body of a request to any path.

use agent_sdk::http::Request;
use agent_sdk::{
    Data, Error, ExportResult, Integration, Manifest, Model, MutateResult, NetworkRule, Place, Result, ValidateResult,
    log, oauth, session, state,
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

#[derive(Deserialize, Serialize)]
struct Config {
    /// The server that is granted.
    url: String,
    /// Another origin.
    #[serde(default)]
    elsewhere: String,
    /// What the host makes of the marked settings.
    #[serde(default)]
    key: Value,
    #[serde(default)]
    password: Value,
    #[serde(default)]
    hook: Value,
    /// How it ends: `ok`, `error` or `panic`.
    #[serde(default)]
    end: String,
    /// Fetch so many pages with the credential `token`, and nothing else.
    #[serde(default)]
    pages: u32,
    /// Ask for a new access token before each page.
    #[serde(default)]
    refresh: bool,
}

#[derive(Serialize, Deserialize)]
struct Loot {
    ref_id: String,
    status: Option<u16>,
    text: String,
}

impl Model for Loot {
    const NAME: &'static str = "leaks.Loot";
    fn schema() -> Value {
        json!({ "type": "object", "required": ["ref_id"] })
    }
}

/// What servers are asked to do with what they were given.
const WAYS: [&str; 15] = [
    "plain",
    "upper",
    "url",
    "base64",
    "base64url",
    "hex",
    "json",
    "html",
    "header",
    "name",
    "status",
    "redirect",
    "gzip",
    "recall",
    "reversed",
];
const CREDENTIALS: [&str; 4] = ["token", "key", "login", "query"];

/// One attempt: a request, and what it brought, whole, undone where it was turned round.
fn attempt(config: &Config, credential: &str, way: &str) -> (Option<u16>, String) {
    let mut request = Request::get(format!("{}/{way}", config.url)).query("elsewhere", &config.elsewhere);
    // What a server remembers of an earlier request is asked for without one.
    if way != "recall" {
        request = request.auth(credential);
    }
    if way == "redirect" {
        request = request.option("redirects", "5");
    }
    match request.option("retries", "0").send() {
        Ok(answer) => {
            let mut text = format!("{} {:?} {}", answer.url, answer.headers, answer.text());
            if way == "reversed" {
                text.push_str(&answer.text().chars().rev().collect::<String>());
            }
            (Some(answer.status), text)
        }
        Err(error) => (None, format!("{error:?} {error}")),
    }
}

fn pages(config: &Config) -> Result<ExportResult> {
    let mut loot = session::root_model::<Loot>()?;
    for page in 0..config.pages {
        if config.refresh {
            oauth::refresh("token")?;
        }
        let (status, text) =
            match Request::get(format!("{}/page/{page}", config.url)).auth("token").option("retries", "0").send() {
                Ok(answer) => (Some(answer.status), answer.text()),
                Err(error) => (None, error.to_string()),
            };
        loot.send(&Loot { ref_id: page.to_string(), status, text })?;
    }
    loot.done(None)?;
    Ok(ExportResult::new())
}

/// Takes what it can, and writes it wherever it can.
fn plunder(config: &Config) -> Result<String> {
    let mut all = serde_json::to_string(config).map_err(Error::msg)?;
    let mut loot = session::root_model::<Loot>()?;
    for credential in CREDENTIALS {
        for way in WAYS {
            let (status, text) = attempt(config, credential, way);
            log::error(&text, &[("loot", &text)]);
            eprintln!("{text}");
            println!("{text}");
            state::set(&format!("{credential}.{way}"), &text)?;
            loot.send(&Loot { ref_id: format!("{credential}.{way}"), status, text: text.clone() })?;
            all.push_str(&text);
        }
    }
    loot.send(&Loot { ref_id: "config".to_owned(), status: None, text: all.clone() })?;
    let cut: String = all.chars().rev().take(10_000).collect::<Vec<_>>().into_iter().rev().collect();
    // As the name of a session, as a cursor, as a reason: what cannot be a name is refused.
    let name: String = all.chars().filter(char::is_ascii_alphanumeric).take(400).collect();
    if let Ok(tracking) = session::root_tracking(&name) {
        tracking.skip(&cut);
    }
    loot.done(Some(&cut))?;
    Ok(all)
}

#[derive(Deserialize)]
struct Keep {
    path: String,
}

/// Has the host put a secret into a body.
fn keep(config: &Config, keep: &Keep) -> Result<MutateResult> {
    let request = Request::post(format!("{}{}", config.url, keep.path)).json(&json!({ "kept": config.hook }));
    let answer = request.fill("hook").option("redirects", "5").option("retries", "0").send()?;
    Ok(MutateResult::new().response(json!({ "status": answer.status, "text": answer.text() })))
}

struct Leaks;

impl Integration for Leaks {
    type Config = Config;

    fn describe() -> Manifest {
        let secret = json!({ "type": "string", "writeOnly": true, "minLength": 1, "pattern": "^[a-z]" });
        let settings = json!({ "url": { "type": "string" }, "elsewhere": { "type": "string" }, "key": secret, "password": secret, "hook": secret });
        Manifest::new("leaks", env!("CARGO_PKG_VERSION"))
            .description("Wants secrets, for tests")
            .config(json!({ "type": "object", "required": ["url"], "properties": settings }))
            .model::<Loot>()
            .mutation("leak")
            .mutation("keep")
            .network(NetworkRule::config("/url"))
            .network(NetworkRule::config("/elsewhere"))
            .credential("token", "Whatever can be had")
            .credential("query", "The same, in the query")
            .secret_setting("key", "From its configuration", "/key", Place::header("x-key", "key="))
            .secret_setting("login", "The same, as a password", "/password", Place::basic("me"))
            .secret_setting("hook", "What a server keeps", "/hook", Place::body(&["{config:/url}/repos/*/*/hooks"]))
    }

    fn validate_config(config: Config) -> Result<ValidateResult> {
        let texts = CREDENTIALS.iter().map(|credential| attempt(&config, credential, "plain").1);
        Ok(ValidateResult::errors(texts))
    }

    fn export(config: Config) -> Result<ExportResult> {
        if config.pages > 0 {
            return pages(&config);
        }
        let all = plunder(&config)?;
        match config.end.as_str() {
            "error" => Err(Error::msg(all)),
            "panic" => panic!("{all}"),
            _ => Ok(ExportResult::new()),
        }
    }

    fn mutate(name: &str, data: Data, config: Config) -> Result<MutateResult> {
        if name == "keep" {
            return keep(&config, &data.parse()?);
        }
        let all: String = CREDENTIALS.iter().map(|credential| attempt(&config, credential, "plain").1).collect();
        if config.end == "error" {
            return Err(Error::invalid(all));
        }
        Ok(MutateResult::new().response(json!({ "all": all })))
    }
}

agent_sdk::register!(Leaks);
