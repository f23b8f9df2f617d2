//! Git repositories by URL or path. The host does the work; this integration says which repositories there are, by ids
//! that stay the same, and sends one `sourcecode.Repo` for each. Commits, branches and users are the host's own models.

mod config;
mod repo;
mod url;

use agent_sdk::{Error, ExportResult, Integration, Manifest, NetworkRule, Result, ValidateResult, git, log, session};

use config::Config;
use repo::Repo;

struct Git;

impl Integration for Git {
    type Config = Config;

    fn describe() -> Manifest {
        Manifest::new("git", env!("CARGO_PKG_VERSION"))
            .description("Commits, branches and authors of git repositories, by URL or path")
            .config(config::schema())
            .model::<Repo>()
            .onboard("repos")
            .network(NetworkRule::config("/url"))
            .network(NetworkRule::config("/repos/*/url"))
            .git()
    }

    /// Judges the forms of the URLs. Whether a repository answers shows at the export, repository by repository.
    fn validate_config(config: Config) -> Result<ValidateResult> {
        let faults = match config.repos() {
            Ok(repos) => repos.into_iter().filter_map(|(_, repo)| repo.err()).collect(),
            Err(fault) => vec![fault],
        };
        Ok(ValidateResult::errors(faults))
    }

    fn onboard(kind: &str, config: Config) -> Result<Vec<serde_json::Value>> {
        if kind != "repos" {
            return Err(Error::not_supported(format!("onboarding data `{kind}`: there is repos")));
        }
        let repos = config.repos().map_err(Error::invalid)?;
        let good = repos.into_iter().filter_map(|(_, repo)| repo.ok());
        good.map(|repo| Ok(serde_json::to_value(Repo::from(&repo))?)).collect()
    }

    /// A repository that cannot be exported is in the result, and does not keep the others from it.
    fn export(config: Config) -> Result<ExportResult> {
        let configured = config.repos().map_err(Error::invalid)?;
        let mut result = ExportResult::new();
        let tracking = session::root_tracking("git")?;
        let mut records = session::root_model::<Repo>()?;
        for (url, repo) in configured {
            let queued = repo.map_err(Error::invalid).and_then(|repo| {
                git::export_repo(&tracking, &repo)?;
                Ok(repo)
            });
            match queued {
                Ok(repo) => {
                    records.send(&Repo::from(&repo))?;
                    result.exported(repo.ref_id, repo.name);
                }
                Err(error) => {
                    log::error("the repository is left out", &[("url", &url), ("error", &error.to_string())]);
                    result.failed(&url, &url, &error);
                }
            }
        }
        records.done(None)?;
        tracking.done(None)?;
        Ok(result)
    }
}

agent_sdk::register!(Git);
