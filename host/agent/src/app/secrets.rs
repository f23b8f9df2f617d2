//! The secrets of a root's safe: kept, listed, removed. Values come in here and never go out.

use std::path::{Path, PathBuf};

use serde::Serialize;

use super::AppError;
use crate::error_chain;
use crate::secrets::{Listed, SECRET_BYTES_MAX, Safe, SafeError, Secret};

/// What was done with one secret.
#[derive(Debug, Clone, Serialize)]
pub struct SecretReport {
    pub name: String,
    /// `set`, `replaced` or `removed`.
    pub done: &'static str,
    pub root: PathBuf,
}

/// The secrets of a root, without their values.
#[derive(Debug, Clone, Serialize)]
pub struct SecretsReport {
    pub root: PathBuf,
    pub secrets: Vec<Listed>,
}

impl From<SafeError> for AppError {
    fn from(error: SafeError) -> AppError {
        match error {
            SafeError::Refused(why) => AppError::Usage(why),
            other => AppError::Failed(error_chain(&other)),
        }
    }
}

/// Keeps a secret under a name.
///
/// # Errors
/// Name or value are none, or the safe cannot be opened or written.
pub fn secret_set(root: &Path, name: &str, value: String) -> Result<SecretReport, AppError> {
    // Before it is known as a secret: all forms of one are looked for from then on, which takes time to prepare.
    if value.len() > SECRET_BYTES_MAX {
        let bytes = value.len();
        return Err(AppError::Usage(format!(
            "the value has at least {bytes} bytes; a secret has 1 to {SECRET_BYTES_MAX}"
        )));
    }
    let value = Secret::new(value);
    let done = if Safe::of_root(root).set(name, &value)? { "replaced" } else { "set" };
    Ok(SecretReport { name: name.to_owned(), done, root: root.to_owned() })
}

/// Names the secrets that are kept.
///
/// # Errors
/// The safe cannot be opened.
pub fn secrets_list(root: &Path) -> Result<SecretsReport, AppError> {
    Ok(SecretsReport { root: root.to_owned(), secrets: Safe::of_root(root).list()? })
}

/// Forgets a secret.
///
/// # Errors
/// There is none of that name, or the safe cannot be opened or written.
pub fn secret_remove(root: &Path, name: &str) -> Result<SecretReport, AppError> {
    if !Safe::of_root(root).remove(name)? {
        return Err(AppError::Usage(format!(
            "there is no secret `{}` in {}; `agent secrets list` names those that there are",
            crate::cut(name, 64).escape_debug(),
            root.display()
        )));
    }
    Ok(SecretReport { name: name.to_owned(), done: "removed", root: root.to_owned() })
}
