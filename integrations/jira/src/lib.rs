//! Jira, of the cloud or on a server of one's own: projects, issues with their changes and comments, boards, sprints, people, and
//! what issues are sorted by; webhooks and mutations. The export is in `export`, how issues are searched in `search`, and what of
//! a project's issues is read when in `issues`.

mod api;
mod board;
mod change;
mod changelog;
mod config;
mod export;
mod fields;
mod hooks;
mod html;
mod issue;
mod issues;
mod lists;
mod moved;
mod onboard;
mod project;
mod search;
mod single;
mod sprint;
mod user;

use agent_sdk::{
    Data, ErrorKind, ExportResult, Integration, Manifest, MutateResult, NetworkRule, Place, Result, ValidateResult,
    Webhook,
};
use integration_model::notes::Notes;
use integration_model::{Stop, work};
use serde_json::Value;

use config::{CLOUD_API, CREDENTIAL, Config};

/// The source of the records.
const REF_TYPE: &str = "jira";

/// The name of a project's session.
const PROJECT: &str = "project";

/// The id of what a site has one of.
const SITE: &str = "site";

/// What is asked of the server.
const METHODS: [&str; 3] = ["GET", "POST", "PUT"];

struct Jira;

impl Integration for Jira {
    type Config = Config;

    fn describe() -> Manifest {
        let manifest = Manifest::new("jira", env!("CARGO_PKG_VERSION"))
            .ref_type(REF_TYPE)
            .description("Projects, issues, boards, sprints and people of Jira, Cloud or Data Center and Server")
            .config(config::schema())
            .model::<work::Project>()
            .model::<work::ProjectError>()
            .model::<work::ProjectWebhook>()
            .model::<work::Issue>()
            .model::<work::IssueComment>()
            .model::<work::IssueStatus>()
            .model::<work::IssueType>()
            .model::<work::IssuePriority>()
            .model::<work::Config>()
            .model::<work::Board>()
            .model::<work::Sprint>()
            .model::<work::User>()
            .webhook_signature(hooks::SECRET, hooks::SIGNATURE)
            .secret_setting(
                hooks::CREDENTIAL,
                "What webhooks are signed with",
                hooks::SECRET,
                Place::body(&hooks::PATHS),
            )
            .network(NetworkRule::config("/url").methods(&METHODS))
            .network(NetworkRule::config("/api_url").methods(&METHODS))
            .credential(
                CREDENTIAL,
                "Mail address and API token (basic), a personal access token or OAuth (bearer), that may read the \
                 projects, and write what is to be changed",
            );
        let manifest = manifest.network(NetworkRule::https(CLOUD_API).methods(&METHODS));
        let manifest = onboard::KINDS.iter().fold(manifest, |manifest, kind| manifest.onboard(kind));
        let manifest = change::MUTATIONS.iter().fold(manifest, |manifest, name| manifest.mutation(name));
        // What an event may be called in a manifest has no colon.
        let names = hooks::EVENTS.iter().map(|event| event.trim_start_matches("jira:"));
        names.fold(manifest, Manifest::webhook_event)
    }

    fn validate_config(config: Config) -> Result<ValidateResult> {
        let mut faults = config.faults();
        let mut version = None;
        if faults.is_empty() {
            match try_server(&config) {
                Ok((found, more)) => {
                    version = Some(found);
                    faults.extend(more);
                }
                Err(stop) => {
                    let error = stop.into_error();
                    // Said first what it is, so that the host knows it too.
                    faults.push(match error.kind() {
                        ErrorKind::Unauthenticated => error.to_string(),
                        _ => format!("{}: {error}", config.api()),
                    });
                }
            }
        }
        let result = ValidateResult::errors(faults);
        Ok(match version {
            Some(version) => result.server_version(version),
            None => result,
        })
    }

    fn onboard(kind: &str, config: Config) -> Result<Vec<Value>> {
        onboard::list(kind, &config)
    }

    fn export(config: Config) -> Result<ExportResult> {
        export::run(&config)
    }

    fn mutate(name: &str, data: Data, config: Config) -> Result<MutateResult> {
        change::mutate(name, &data, &config)
    }

    fn webhook(webhook: Webhook, config: Config) -> Result<MutateResult> {
        hooks::take(&webhook, &config)
    }
}

/// Logs in, and looks for projects. The version of the server, and what is wrong.
fn try_server(config: &Config) -> Result<(String, Vec<String>), Stop> {
    let api = api::Api::open(config)?;
    api.log_in()?;
    let mut notes = Notes::default();
    let (projects, selection) = (project::all(&api, &mut notes)?, config.selection());
    let mut faults = Vec::new();
    if projects.is_empty() {
        faults.push(format!("there is no project on {} that the credential may see", config.server()));
    } else if !projects.iter().any(|project| selection.takes(&project.key)) {
        let some: Vec<&str> = projects.iter().take(5).map(|project| project.key.as_str()).collect();
        faults.push(format!("inclusions and exclusions leave no project; there are {}, for example", some.join(", ")));
    }
    Ok((api.version, faults))
}

agent_sdk::register!(Jira);

#[cfg(test)]
mod described;
#[cfg(test)]
mod tests;
