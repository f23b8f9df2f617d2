//! A file that is written beside its place and put there whole or not at all. What is no regular file (a pipe, a device) is
//! written to and stays what it is. What a fault means, and which flag mends it, is for whoever asked for the file.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tempfile::TempPath;

/// A file that has been begun. Dropped before its end, it leaves no trace.
#[derive(Debug)]
pub struct NewFile {
    file: File,
    /// Of what is no regular file there is nothing to put anywhere.
    place: Option<(Leftover, PathBuf)>,
}

/// What is to be removed if the file is never ended, even where its writer is still stuck: it goes with the last copy.
#[derive(Debug, Clone)]
pub struct Leftover(Arc<Mutex<Option<TempPath>>>);

impl Leftover {
    fn take(&self) -> Option<TempPath> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Removes it now.
    pub fn remove(&self) {
        drop(self.take());
    }
}

impl NewFile {
    /// Begins a file for this place, so that a place that cannot be written is known before the work and not after. Behind a
    /// link it is what the link refers to that is replaced.
    ///
    /// # Errors
    /// If nothing can be written there.
    pub fn begin(path: &Path) -> io::Result<NewFile> {
        let there = std::fs::metadata(path).ok();
        if there.as_ref().is_some_and(|there| !there.is_file()) {
            return Ok(NewFile { file: File::options().append(true).open(path)?, place: None });
        }
        let place = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        // A process that is killed outright leaves it behind: its name tells whose it was.
        // Names may be as long as 255 bytes; of a long one the beginning does.
        let name = place.file_name().unwrap_or_default().to_string_lossy();
        let prefix = format!(".{}.", name.chars().take(40).collect::<String>());
        let mut builder = tempfile::Builder::new();
        builder.prefix(&prefix).suffix(".part");
        // What is written is no secret: it gets the permissions that any new file of this user gets.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        let (file, beside) = builder.tempfile_in(folder(&place))?.into_parts();
        // Who may read what was there may read what comes in its place, and nobody else.
        if let Some(there) = there {
            file.set_permissions(there.permissions())?;
        }
        Ok(NewFile { file, place: Some((Leftover(Arc::new(Mutex::new(Some(beside)))), place)) })
    }

    /// What there is to remove should the file never be ended.
    #[must_use]
    pub fn leftover(&self) -> Option<Leftover> {
        self.place.as_ref().map(|(leftover, _)| leftover.clone())
    }

    /// Puts the file in its place, synced before.
    ///
    /// # Errors
    /// If it cannot be synced or put there; then there is what there was before.
    pub fn end(self) -> io::Result<()> {
        let Some((leftover, place)) = self.place else { return Ok(()) };
        self.file.sync_all()?;
        let Some(beside) = leftover.take() else {
            return Err(io::Error::other("it was given up"));
        };
        beside.persist(&place).map_err(|error| error.error)?;
        // The folder holds the name; where folders cannot be synced, the rename must do.
        let _ = File::open(folder(&place)).and_then(|folder| folder.sync_all());
        Ok(())
    }
}

fn folder(place: &Path) -> &Path {
    match place.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("file");
        std::fs::write(&place, "old").unwrap();
        let count = || std::fs::read_dir(folder.path()).unwrap().count();
        let mut given_up = NewFile::begin(&place).unwrap();
        given_up.write_all(b"half").unwrap();
        drop(given_up);
        assert_eq!((std::fs::read_to_string(&place).unwrap().as_str(), count()), ("old", 1));
        let mut stuck = NewFile::begin(&place).unwrap();
        let leftover = stuck.leftover().unwrap();
        stuck.write_all(b"half").unwrap();
        assert_eq!(count(), 2);
        leftover.remove();
        assert_eq!(count(), 1);
        assert!(stuck.end().is_err());
        let mut good = NewFile::begin(&place).unwrap();
        good.write_all(b"new").unwrap();
        good.end().unwrap();
        assert_eq!((std::fs::read_to_string(&place).unwrap().as_str(), count()), ("new", 1));
        // What only its owner could read stays so.
        let permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(&place, permissions).unwrap();
        let mut private = NewFile::begin(&place).unwrap();
        private.write_all(b"private").unwrap();
        private.end().unwrap();
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&place).unwrap().permissions());
        assert_eq!((std::fs::read_to_string(&place).unwrap().as_str(), mode & 0o777), ("private", 0o600));
    }
}
