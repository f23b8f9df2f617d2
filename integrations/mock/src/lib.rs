//! An integration whose source is arithmetic: it shows each part of the contract once, and gives tests and benchmarks
//! records that are the same on every run. The configuration is in `config`, the export in `export`, mutations and webhooks
//! in `change`, a model in each of the other files.

mod change;
mod config;
mod export;
mod issue;
mod project;
mod user;

use agent_sdk::http::{Request, Response};
use agent_sdk::{
    Data, Error, ErrorKind, ExportResult, Integration, Manifest, MutateResult, NetworkRule, Result, ValidateResult,
    Webhook,
};
use serde_json::{Value, json};

use change::Comment;
use config::{Config, Fail};
use issue::{Issue, PRIORITIES, STATUSES};
use project::Project;
use user::User;

/// The kinds of onboarding data.
const ONBOARD: [&str; 5] = ["users", "repos", "projects", "workconfig", "calendars"];

struct Mock;

impl Integration for Mock {
    type Config = Config;

    fn describe() -> Manifest {
        let manifest = Manifest::new("mock", env!("CARGO_PKG_VERSION"))
            .description("Invented projects, issues and users, the same on every run")
            .config(config::schema())
            .model::<Project>()
            .model::<Issue>()
            .model::<User>()
            .model::<Comment>()
            .webhook_event_header(change::EVENT_HEADER)
            .network(NetworkRule::config("/http_url").methods(&["GET"]))
            .network(NetworkRule::config("/repos/*/url"))
            .credential("mock-token", "Sent to `http_url`, if `http_credential` names it")
            .git();
        let manifest = ONBOARD.iter().fold(manifest, |manifest, kind| manifest.onboard(kind));
        let manifest = change::MUTATIONS.iter().fold(manifest, |manifest, name| manifest.mutation(name));
        change::EVENTS.iter().fold(manifest, |manifest, event| manifest.webhook_event(event))
    }

    fn validate_config(config: Config) -> Result<ValidateResult> {
        log_in(&config)?;
        let mut faults = config.faults();
        let mut version = None;
        if let Some(request) = request(&config) {
            match request.send().map_err(Error::from).and_then(Response::error_for_status) {
                Ok(answer) => version = answer.header("server").map(str::to_owned),
                // Said first what it is, so that the host knows it too.
                Err(error) if error.kind() == ErrorKind::Unauthenticated => faults.push(error.to_string()),
                Err(error) => faults.push(format!("http_url: {error}")),
            }
        }
        let result = ValidateResult::errors(faults).repo_url("https://mock.invalid/");
        Ok(result.server_version(version.unwrap_or_else(|| "mock 1.0".to_owned())))
    }

    fn onboard(kind: &str, config: Config) -> Result<Vec<Value>> {
        log_in(&config)?;
        match kind {
            "users" => objects((0..config.users()).map(|index| User::new(&config, index))),
            "projects" => objects((0..config.projects).map(|index| Project::new(&config, index))),
            "repos" => objects(config.repos.iter()),
            "workconfig" => Ok(vec![workconfig()]),
            "calendars" => objects((0..config.users()).map(|index| calendar(&User::new(&config, index)))),
            _ => Err(Error::not_supported(format!("onboarding data `{kind}`: there are {}", ONBOARD.join(", ")))),
        }
    }

    fn export(config: Config) -> Result<ExportResult> {
        export::run(&config)
    }

    fn mutate(name: &str, data: Data, config: Config) -> Result<MutateResult> {
        log_in(&config)?;
        change::mutate(name, &data, &config)
    }

    fn webhook(webhook: Webhook, config: Config) -> Result<MutateResult> {
        log_in(&config)?;
        change::webhook(&webhook, &config)
    }
}

/// Fails as a source does that refuses the credentials, where the configuration asks for that.
fn log_in(config: &Config) -> Result<()> {
    match config.fail {
        Some(Fail::Unauthenticated) => Err(Error::unauthenticated("the configuration asks for this failure")),
        _ => Ok(()),
    }
}

/// What issues can be, for those who set it.
fn workconfig() -> Value {
    json!({ "statuses": STATUSES, "priorities": PRIORITIES, "closed_statuses": ["closed"] })
}

fn calendar(user: &User) -> Value {
    json!({ "ref_id": format!("{}-calendar", user.ref_id), "user_ref_id": user.ref_id, "name": "Work" })
}

/// The request that the configuration asks for, if any.
fn request(config: &Config) -> Option<Request> {
    let request = Request::get(config.http_url.as_ref()?).header("accept", "application/json").timeout_ms(10_000);
    Some(match &config.http_credential {
        Some(credential) => request.auth(credential),
        None => request,
    })
}

fn objects<T: serde::Serialize>(items: impl Iterator<Item = T>) -> Result<Vec<Value>> {
    items.map(|item| Ok(serde_json::to_value(item)?)).collect()
}

agent_sdk::register!(Mock);
