//! The result's file. Begun before the work, so that a path that cannot be written is known before and not after hours; put
//! in its place whole or not at all. What is no regular file (a pipe, `/dev/stdout`) is written to and stays what it is.

use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::app::{AppError, NewFile};

/// A result's file that has been begun.
pub(super) struct Output {
    file: NewFile,
    /// As it was given.
    path: PathBuf,
}

impl Output {
    pub fn begin(path: &Path) -> Result<Output, AppError> {
        if path.is_dir() {
            return Err(AppError::Usage(format!("--output-file {}: it is a folder; name a file", path.display())));
        }
        let file = NewFile::begin(path).map_err(|error| Output::failed(path, &error))?;
        Ok(Output { file, path: path.to_owned() })
    }

    /// Puts the result in its place.
    pub fn end(self, result: &Value) -> Result<(), AppError> {
        let mut file = self.file;
        let written = writeln!(file, "{}", crate::secrets::struck(&format!("{result:#}"))).and_then(|()| file.end());
        written.map_err(|error| Output::failed(&self.path, &error))
    }

    fn failed(path: &Path, error: &std::io::Error) -> AppError {
        AppError::Failed(format!(
            "the result cannot be written to {}: {error}; choose another --output-file",
            path.display()
        ))
    }
}

#[cfg(all(test, unix))]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_link_refers_to_is_replaced_and_the_link_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (target, link) = (folder.path().join("target.json"), folder.path().join("link.json"));
        std::fs::write(&target, "old").unwrap();
        std::os::unix::fs::symlink(&target, &link).unwrap();
        Output::begin(&link).unwrap().end(&json!({"new": 1})).unwrap();
        assert!(link.is_symlink());
        assert!(std::fs::read_to_string(&target).unwrap().contains("new"));
    }

    #[test]
    fn what_is_no_regular_file_stays_what_it_is() {
        use std::os::unix::fs::FileTypeExt;

        let folder = tempfile::tempdir().unwrap();
        // A device behind a link: should this ever go wrong, the link is lost and not the device.
        let link = folder.path().join("full");
        std::os::unix::fs::symlink("/dev/full", &link).unwrap();
        let failed = Output::begin(&link).unwrap().end(&json!({})).unwrap_err().to_string();
        assert!(failed.contains("cannot be written") && failed.contains("full"), "{failed}");
        assert!(std::fs::metadata(&link).unwrap().file_type().is_char_device());
    }
}
