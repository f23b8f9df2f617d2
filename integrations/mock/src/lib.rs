//! An integration whose source is arithmetic: it shows each part of the contract once, and gives tests and benchmarks
//! records that are the same on every run. The configuration is in `config`, the export in `export`, a model in each of
//! the other files.

mod config;
mod export;
mod issue;
mod project;
mod user;

use agent_sdk::http::{Request, Response};
use agent_sdk::{
    Data, Error, ExportResult, Integration, Manifest, MutateResult, NetworkRule, Result, ValidateResult, Webhook,
};
use serde::Deserialize;
use serde_json::{Value, json};

use config::Config;
use issue::{Issue, IssueSource};
use project::Project;
use user::User;

struct Mock;

/// What `issue.set_title` and the webhook take.
#[derive(Deserialize)]
struct TitleChange {
    ref_id: String,
    title: String,
}

impl Integration for Mock {
    type Config = Config;

    fn describe() -> Manifest {
        Manifest::new("mock", env!("CARGO_PKG_VERSION"))
            .description("Invented projects, issues and users, the same on every run")
            .config(config::schema())
            .model::<Project>()
            .model::<Issue>()
            .model::<User>()
            .onboard("users")
            .onboard("repos")
            .onboard("projects")
            .mutation("issue.set_title")
            .webhook_event("issue.updated")
            .network(NetworkRule::config("/http_url").methods(&["GET"]))
            .network(NetworkRule::config("/repos/*/url"))
            .credential("mock-token", "Sent to `http_url`, if `http_credential` names it")
            .git()
    }

    fn validate_config(config: Config) -> Result<ValidateResult> {
        let mut faults = config.faults();
        let mut version = None;
        if let Some(request) = request(&config) {
            match request.send().map_err(Error::from).and_then(Response::error_for_status) {
                Ok(answer) => version = answer.header("server").map(str::to_owned),
                Err(error) => faults.push(format!("http_url: {error}")),
            }
        }
        let result = ValidateResult::errors(faults).repo_url("https://mock.invalid/");
        Ok(result.server_version(version.unwrap_or_else(|| "mock 1.0".to_owned())))
    }

    fn onboard(kind: &str, config: Config) -> Result<Vec<Value>> {
        match kind {
            "users" => objects((0..config.users()).map(|index| User::new(&config, index))),
            "projects" => objects((0..config.projects).map(|index| Project::new(&config, index))),
            "repos" => objects(config.repos.iter()),
            _ => Err(Error::not_supported(format!("onboarding data `{kind}`: there are users, repos and projects"))),
        }
    }

    fn export(config: Config) -> Result<ExportResult> {
        export::run(&config)
    }

    fn mutate(name: &str, data: Data, config: Config) -> Result<MutateResult> {
        match name {
            "issue.set_title" => set_title(data.parse()?, &config),
            _ => Err(Error::not_supported(format!("mutation `{name}`: there is issue.set_title"))),
        }
    }

    fn webhook(webhook: Webhook, config: Config) -> Result<MutateResult> {
        match webhook.header("x-mock-event") {
            Some("issue.updated") => set_title(webhook.json()?, &config),
            event => Err(Error::invalid(format!("header x-mock-event is {event:?}: there is issue.updated"))),
        }
    }
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

/// There is no server to change: the changed record is the answer.
fn set_title(change: TitleChange, config: &Config) -> Result<MutateResult> {
    let source = IssueSource::new(config);
    let (project, index) = source
        .find(&change.ref_id)
        .ok_or_else(|| Error::not_found(format!("there is no issue `{}`", change.ref_id)))?;
    if change.title.is_empty() {
        return Err(Error::invalid("title is empty: an issue needs one"));
    }
    let mut issue = Issue::default();
    source.fill(&mut issue, project, index);
    issue.title = change.title;
    let response = json!({ "url": format!("https://mock.invalid/{}", issue.ref_id) });
    Ok(MutateResult::new().mutated(&issue)?.response(response))
}

agent_sdk::register!(Mock);
