//! GitLab, gitlab.com or a server of one's own: projects, people, merge requests and issues with what hangs on them,
//! milestones; webhooks and mutations. All of it is asked over REST v4; `moved` has the arithmetic of a quiet hour, `children`
//! that of a first export. The export is in `export`, what lists have in common in `walk` and `threads`, what becomes a record
//! in the files named for one; the records' forms are `integration_model`'s.

mod api;
mod change;
mod children;
mod config;
mod export;
mod graphql;
mod hooks;
mod issue;
mod merge_request;
mod milestone;
mod moved;
mod note;
mod onboard;
mod project;
mod review;
mod single;
mod threads;
mod user;
mod walk;

use agent_sdk::{
    Data, ErrorKind, ExportResult, Integration, Manifest, MutateResult, NetworkRule, Place, Result, Signature,
    ValidateResult, Webhook,
};
use integration_model::{Stop, sourcecode, work};
use serde_json::Value;

use config::{CREDENTIAL, Config};

/// The source of the records.
const REF_TYPE: &str = "gitlab";

/// The name of a project's session.
const PROJECT: &str = "project";

struct GitLab;

impl Integration for GitLab {
    type Config = Config;

    fn describe() -> Manifest {
        let manifest = Manifest::new("gitlab", env!("CARGO_PKG_VERSION"))
            .ref_type(REF_TYPE)
            .description("Projects, people, merge requests, issues and milestones of GitLab, gitlab.com or self-hosted")
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
            .model::<work::Project>()
            .model::<work::Issue>()
            .model::<work::IssueComment>()
            .model::<work::Sprint>()
            .webhook_signature(hooks::SECRET, Signature::Token { header: "x-gitlab-token" })
            .network(NetworkRule::https("gitlab.com").methods(&["GET", "POST", "PUT"]))
            .network(NetworkRule::config("/url").methods(&["GET", "POST", "PUT"]))
            .network(NetworkRule::config("/git_url").methods(&["GET", "POST"]))
            .credential(
                CREDENTIAL,
                "A token that may read the API (`read_api`), and write what is to be changed (`api`)",
            )
            .secret_setting(hooks::CREDENTIAL, "What webhooks bring along", hooks::SECRET, Place::body(&hooks::PATHS))
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
                    version = Some(found);
                    faults.extend(more);
                }
                // Said first what it is, so that the host knows it too.
                Err(error) if error.kind() == ErrorKind::Unauthenticated => faults.push(error.to_string()),
                Err(error) => faults.push(format!("{}: {error}", config.rest())),
            }
        }
        let result = ValidateResult::errors(faults).repo_url(config.server());
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

/// Logs in, and looks for the accounts. The version of the server, and what is wrong.
fn try_server(config: &Config) -> Result<(String, Vec<String>)> {
    let api = api::Api::new(config);
    let answer = api.get(&["version"]).map_err(Stop::into_error)?;
    let version: String = answer.json_at("/version")?;
    let mut faults = Vec::new();
    for (path, group) in config.accounts() {
        if project::account(&api, path, group).map_err(Stop::into_error)?.is_none() {
            let kind = if group { "group" } else { "user" };
            faults
                .push(format!("there is no {kind} `{path}` on {}, or the credential may not see it", config.server()));
        }
    }
    Ok((format!("GitLab {version}"), faults))
}

agent_sdk::register!(GitLab);

#[cfg(test)]
mod recorded;
#[cfg(test)]
mod tests;
