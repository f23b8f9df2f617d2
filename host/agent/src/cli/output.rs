//! The result's file. Begun before the work, so that a path that cannot be written is known before and not after hours; put
//! in its place whole or not at all.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;
use tempfile::NamedTempFile;

use crate::app::AppError;

/// A result's file that has been begun.
pub(super) struct Output {
    file: NamedTempFile,
    path: PathBuf,
}

impl Output {
    pub fn begin(path: &Path) -> Result<Output, AppError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        if path.is_dir() {
            return Err(AppError::Usage(format!("--output-file {}: it is a folder; name a file", path.display())));
        }
        let mut builder = tempfile::Builder::new();
        // A result is no secret: it gets the permissions that any new file of this user gets.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let file = builder.tempfile_in(folder).map_err(|error| Output::failed(path, &error))?;
        Ok(Output { file, path: path.to_owned() })
    }

    /// Puts the result in its place.
    pub fn end(mut self, result: &Value) -> Result<(), AppError> {
        writeln!(self.file, "{result:#}").map_err(|error| Output::failed(&self.path, &error))?;
        self.file.persist(&self.path).map_err(|error| Output::failed(&self.path, &error.error))?;
        Ok(())
    }

    fn failed(path: &Path, error: &std::io::Error) -> AppError {
        AppError::Failed(format!(
            "the result cannot be written to {}: {error}; choose another --output-file",
            path.display()
        ))
    }
}
