//! Opening a repository's files. Whoever made the repository may have put links, pipes and devices in the place of
//! files, so only regular files are opened; and where folders were named, only what lies below them in truth, whatever
//! links lead there. What files say is others'.
//!
//! A path is judged by where the opened file lies and not by where its name led a moment ago: on Linux it is opened
//! without being read, asked for its place, and only then opened for reading. Elsewhere the name is resolved first.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Folders below which everything that is read must lie; None for anywhere.
#[derive(Clone, Debug, Default)]
pub(crate) struct Fence {
    folders: Option<Arc<[PathBuf]>>,
}

impl Fence {
    /// Around these folders, links in their names resolved. One that isn't there has nothing below it.
    pub fn around(folders: &[PathBuf]) -> Self {
        Self { folders: Some(folders.iter().filter_map(|folder| folder.canonicalize().ok()).collect()) }
    }

    fn holds(&self, real: &Path) -> bool {
        self.folders.as_ref().is_none_or(|folders| folders.iter().any(|folder| real.starts_with(folder)))
    }

    /// Where a folder lies in truth, or the place outside of the fence. A name that cannot be resolved is judged as it
    /// is, so that nobody learns what there is outside.
    pub fn folder(&self, path: &Path) -> Result<PathBuf, PathBuf> {
        let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        let climbs = real.components().any(|part| part == std::path::Component::ParentDir);
        let free = self.folders.is_none();
        if free || (self.holds(&real) && !climbs) { Ok(real) } else { Err(real) }
    }

    /// Opens a regular file for reading.
    pub fn open(&self, path: &Path) -> io::Result<File> {
        let (file, real) = regular(path)?;
        if self.holds(&real) {
            return file.open();
        }
        let what = format!("{} lies outside of the folders that were granted", real.display());
        Err(io::Error::new(io::ErrorKind::PermissionDenied, what))
    }

    /// Reads a file of up to so many bytes.
    pub fn read(&self, path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
        let mut bytes = vec![];
        self.open(path)?.take(bytes_max + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > bytes_max {
            return Err(io::Error::new(io::ErrorKind::InvalidData, format!("it has more than {bytes_max} bytes")));
        }
        Ok(bytes)
    }

    /// The names in a folder; none if it lies outside or is not there.
    pub fn list(&self, path: &Path) -> Vec<std::fs::DirEntry> {
        let Ok(real) = self.folder(path) else { return vec![] };
        std::fs::read_dir(real).map(|entries| entries.flatten().collect()).unwrap_or_default()
    }
}

fn no_file() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")
}

/// A regular file that is known and not yet opened for reading.
struct Found {
    #[cfg(target_os = "linux")]
    held: File,
    #[cfg(not(target_os = "linux"))]
    real: PathBuf,
}

#[cfg(target_os = "linux")]
fn place(held: &File) -> PathBuf {
    use std::os::fd::AsRawFd;
    PathBuf::from(format!("/proc/self/fd/{}", held.as_raw_fd()))
}

#[cfg(target_os = "linux")]
fn regular(path: &Path) -> io::Result<(Found, PathBuf)> {
    use std::os::unix::fs::OpenOptionsExt;
    // Nothing happens to a pipe or a device that is opened so, and nothing waits for one.
    let held = std::fs::OpenOptions::new().read(true).custom_flags(libc::O_PATH).open(path)?;
    if !held.metadata()?.is_file() {
        return Err(no_file());
    }
    let real = std::fs::read_link(place(&held)).map_err(|error| {
        // Not "not found": the file is there.
        io::Error::other(format!("/proc, which tells where a file lies, cannot be read: {error}"))
    })?;
    Ok((Found { held }, real))
}

#[cfg(not(target_os = "linux"))]
fn regular(path: &Path) -> io::Result<(Found, PathBuf)> {
    let real = path.canonicalize()?;
    if !std::fs::metadata(&real)?.is_file() {
        return Err(no_file());
    }
    Ok((Found { real: real.clone() }, real))
}

impl Found {
    #[cfg(target_os = "linux")]
    fn open(&self) -> io::Result<File> {
        File::open(place(&self.held))
    }

    #[cfg(not(target_os = "linux"))]
    fn open(&self) -> io::Result<File> {
        File::open(&self.real)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn only_regular_files_inside_are_opened() {
        let folder = tempfile::tempdir().unwrap();
        let (inside, outside) = (folder.path().join("inside"), folder.path().join("inside-not"));
        std::fs::create_dir_all(inside.join("sub")).unwrap();
        std::fs::create_dir(&outside).unwrap();
        std::fs::write(inside.join("sub/file"), "good").unwrap();
        std::fs::write(outside.join("file"), "secret").unwrap();
        symlink("sub/file", inside.join("link")).unwrap();
        symlink(outside.join("file"), inside.join("out")).unwrap();
        symlink(&outside, inside.join("out-folder")).unwrap();
        symlink("/dev/zero", inside.join("zero")).unwrap();
        let status = std::process::Command::new("mkfifo").arg(inside.join("pipe")).status().unwrap();
        assert!(status.success());
        let fence = Fence::around(std::slice::from_ref(&inside));
        let read = |name: &str| fence.read(&inside.join(name), 100).map_err(|error| error.kind());
        assert_eq!(read("sub/file"), Ok(b"good".to_vec()));
        assert_eq!(read("link"), Ok(b"good".to_vec()));
        for name in ["out", "out-folder/file", "../inside-not/file"] {
            assert_eq!(read(name), Err(io::ErrorKind::PermissionDenied), "{name}");
        }
        for name in ["zero", "pipe", "sub"] {
            assert_eq!(read(name), Err(io::ErrorKind::InvalidInput), "{name}");
        }
        assert_eq!(read("none"), Err(io::ErrorKind::NotFound));
        assert_eq!(fence.read(&inside.join("link"), 3).map_err(|error| error.kind()), Err(io::ErrorKind::InvalidData));
        assert_eq!(Fence::default().read(&inside.join("out"), 100).unwrap(), b"secret");
        assert_eq!((fence.list(&inside.join("sub")).len(), fence.list(&inside.join("out-folder")).len()), (1, 0));
        assert!(fence.folder(&inside.join("none/../../inside-not")).is_err());
        assert!(fence.folder(&inside.join("none")).is_ok());
    }
}
