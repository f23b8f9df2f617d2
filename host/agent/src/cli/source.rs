//! Where a command's configuration comes from: a file, or the flags of the systems we succeed. The flags are the same for
//! every command that runs integrations.

use std::path::PathBuf;

use clap::Args;

use super::{CommandError, Global};
use crate::app::AppError;
use crate::config::{self, Config, Document, Integration, Loaded, Source, Surroundings};

/// The flags that give a configuration.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Configuration by flags")]
pub(super) struct SourceArguments {
    /// The agent's configuration as JSON: {customer_id, pinpoint_root, skip_git, integrations_dir, …}
    #[arg(long, value_name = "JSON", group = "agent", requires = "integrations")]
    agent_config_json: Option<String>,

    /// As --agent-config-json, from a file
    #[arg(long, value_name = "FILE", group = "agent", requires = "integrations")]
    agent_config_file: Option<PathBuf>,

    /// The integrations as JSON: [{name, id, type, config}]; this form grants them nothing
    #[arg(long, value_name = "JSON", group = "integrations", conflicts_with = "config")]
    integrations_json: Option<String>,

    /// As --integrations-json, from a file
    #[arg(long, value_name = "FILE", group = "integrations", conflicts_with = "config")]
    integrations_file: Option<PathBuf>,

    /// A folder with components; searched before those beside the agent
    #[arg(long, env = "AGENT_INTEGRATIONS_DIR", value_name = "DIR")]
    integrations_dir: Option<PathBuf>,
}

impl SourceArguments {
    /// Whether the flags give the integrations: then a program is likely to have written the command line.
    pub fn by_flags(&self) -> bool {
        self.integrations_json.is_some() || self.integrations_file.is_some()
    }

    /// What configurations are read in.
    pub fn surroundings(&self, global: &Global) -> Result<Surroundings, CommandError> {
        global.surroundings(self.integrations_dir.as_deref())
    }

    /// Reads the configuration; there must be one.
    pub fn load(&self, global: &Global) -> Result<Loaded, CommandError> {
        let around = self.surroundings(global)?;
        match self.source(global, &around) {
            Some(source) => Ok(config::load(&source, &around)?),
            None => Err(config::ConfigError::none_found(&around.working_dir).into()),
        }
    }

    /// Reads the configuration, if there is one.
    pub fn load_if_any(&self, global: &Global) -> Result<Option<Loaded>, CommandError> {
        let around = self.surroundings(global)?;
        match self.source(global, &around) {
            Some(source) => Ok(Some(config::load(&source, &around)?)),
            None => Ok(None),
        }
    }

    fn source(&self, global: &Global, around: &Surroundings) -> Option<Source> {
        let document = |flag, text: &Option<String>, file: &Option<PathBuf>| match (text, file) {
            (Some(text), _) => Some(Document::Inline { flag, text: text.clone() }),
            (None, Some(file)) => Some(Document::File(file.clone())),
            (None, None) => None,
        };
        let agent = document("--agent-config-json", &self.agent_config_json, &self.agent_config_file);
        match document("--integrations-json", &self.integrations_json, &self.integrations_file) {
            Some(integrations) => Some(Source::Flags { agent, integrations }),
            None => global.config_file(around).map(Source::File),
        }
    }
}

/// Keeps the integrations with these names, each named by `by`; all if there are none.
pub(super) fn keep_only(config: &mut Config, only: &[String], by: &str) -> Result<(), AppError> {
    for name in only {
        find(config, name, by)?;
    }
    if !only.is_empty() {
        config.integrations.retain(|integration| only.contains(&integration.name));
    }
    Ok(())
}

/// The integration that a command is for: the one of this name, or the only one.
pub(super) fn pick(config: &Config, name: Option<&str>) -> Result<Integration, AppError> {
    match (name, config.integrations.as_slice()) {
        (Some(name), _) => find(config, name, "").cloned(),
        (None, [one]) => Ok(one.clone()),
        (None, _) => Err(AppError::Usage(format!("which integration? Name one of {}", names(config)))),
    }
}

fn find<'a>(config: &'a Config, name: &str, by: &str) -> Result<&'a Integration, AppError> {
    config.integrations.iter().find(|integration| integration.name == name).ok_or_else(|| {
        let fault = format!("{by}{name}: there is no integration of that name; there are: {}", names(config));
        AppError::Usage(fault)
    })
}

fn names(config: &Config) -> String {
    config.integrations.iter().map(|integration| integration.name.as_str()).collect::<Vec<_>>().join(", ")
}
