//! GitHub, github.com or an Enterprise server: repositories, people, pull requests and issues with what hangs on them;
//! webhooks and mutations. GraphQL where it saves requests, REST elsewhere; `queries` has the arithmetic. The export is in
//! `export`, what lists of issues and pull requests have in common in `threads`, what becomes a record in the files named for one; the records' forms are `integration_model`'s.

mod api;
mod change;
mod comment;
mod config;
mod export;
mod hooks;
mod issue;
mod on_code;
mod onboard;
mod pull_request;
mod queries;
mod repo;
mod review;
mod single;
mod threads;
mod user;
mod walk;

use agent_sdk::{
    Data, ErrorKind, ExportResult, Integration, Manifest, MutateResult, NetworkRule, Place, Result, Signature,
    ValidateResult, Webhook,
};
use serde_json::{Value, json};

use config::{CREDENTIAL, Config};
use integration_model::{Stop, sourcecode, work};

/// The source of the records.
const REF_TYPE: &str = "github";

/// The name of a repository's session.
const REPOSITORY: &str = "repository";

struct GitHub;

impl Integration for GitHub {
    type Config = Config;

    fn describe() -> Manifest {
        let manifest = Manifest::new("github", env!("CARGO_PKG_VERSION"))
            .ref_type(REF_TYPE)
            .description("Repositories, people, pull requests and issues of GitHub, github.com or Enterprise")
            .config(config::schema())
            .model::<sourcecode::Repo>()
            .model::<sourcecode::RepoError>()
            .model::<sourcecode::RepoWebhook>()
            .model::<sourcecode::User>()
            .model::<sourcecode::CommitUser>()
            .model::<sourcecode::PullRequest>()
            .model::<sourcecode::PullRequestCommit>()
            .model::<sourcecode::PullRequestComment>()
            .model::<sourcecode::Review>()
            .model::<sourcecode::ReviewRequest>()
            .model::<work::Issue>()
            .model::<work::IssueComment>()
            .webhook_event_header(hooks::EVENT_HEADER)
            .webhook_signature(
                hooks::SECRET,
                Signature::HmacSha256 { header: "x-hub-signature-256", prefix: "sha256=" },
            )
            .network(NetworkRule::https("api.github.com").methods(&["GET", "POST", "PATCH"]))
            .network(NetworkRule::https("github.com").methods(&["GET", "POST"]))
            .network(NetworkRule::config("/url").methods(&["GET", "POST", "PATCH"]))
            .network(NetworkRule::config("/git_url").methods(&["GET", "POST"]))
            .credential(CREDENTIAL, "A token (bearer) that may read the repositories, and write what is to be changed")
            .secret_setting(
                hooks::CREDENTIAL,
                "What webhooks are signed with",
                hooks::SECRET,
                Place::body(&hooks::PATHS),
            )
            .git();
        let manifest = onboard::KINDS.iter().fold(manifest, |manifest, kind| manifest.onboard(kind));
        let manifest = change::MUTATIONS.iter().fold(manifest, |manifest, name| manifest.mutation(name));
        hooks::EVENTS.iter().fold(manifest, |manifest, event| manifest.webhook_event(event))
    }

    fn validate_config(config: Config) -> Result<ValidateResult> {
        let mut faults = config.faults();
        let mut version = None;
        if faults.is_empty() {
            match try_server(&config) {
                Ok((found, more)) => {
                    version = found;
                    faults.extend(more);
                }
                // Said first what it is, so that the host knows it too.
                Err(error) if error.kind() == ErrorKind::Unauthenticated => faults.push(error.to_string()),
                Err(error) => faults.push(format!("{}: {error}", config.graphql())),
            }
        }
        let result = ValidateResult::errors(faults).repo_url(config.server());
        Ok(result.server_version(version.unwrap_or_else(|| "github.com".to_owned())))
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

/// Logs in, and looks for the accounts. The version of an Enterprise server, and what is wrong.
fn try_server(config: &Config) -> Result<(Option<String>, Vec<String>)> {
    let api = api::Api::new(config);
    let answer = api.query(queries::VIEWER, &json!({})).map_err(|error| Stop::from(error).into_error())?;
    answer.whole()?;
    let version = answer.response.header("x-github-enterprise-version").map(|version| format!("Enterprise {version}"));
    let mut faults = Vec::new();
    for (login, _) in config.accounts() {
        // The list that the export begins with, one of it.
        let asked = json!({ "login": login, "first": 1, "after": null });
        let answer = api.query(queries::REPOSITORIES_BARE, &asked).map_err(|error| Stop::from(error).into_error())?;
        if answer.data["repositoryOwner"].is_null() {
            faults.push(format!(
                "there is no account `{login}` on {}, or the credential may not see it",
                config.server()
            ));
        }
    }
    Ok((version, faults))
}

agent_sdk::register!(GitHub);

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
