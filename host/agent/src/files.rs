//! Small files that the agent reads whole: keys, secrets, consents, certificates. What lies at their places may be anybody's
//! mistake: a pipe, from which nothing ever comes, is not waited for; a device is not read; and a file has a limit.
//!
//! What the agent keeps in such files is there whole or not at all, whatever breaks off when.
//!
//! What a flag names may be a pipe, since a shell makes one of `<(…)`: who reads flags reads those.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, OpenOptionsExt};
use std::path::Path;

/// Opens a file, and nothing that is none. Never waits.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    // Before it is opened, too: opening some devices does something already.
    judge(std::fs::metadata(path)?.file_type())?;
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    judge(file.metadata()?.file_type())?;
    Ok(file)
}

/// Reads a file of at most so many bytes.
pub(crate) fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    let too_large = || io::Error::new(io::ErrorKind::FileTooLarge, format!("it has more than {bytes_max} bytes"));
    let file = open(path)?;
    // What says itself that it is too large need not be read; what does not may be.
    if file.metadata()?.len() > bytes_max {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > bytes_max {
        return Err(too_large());
    }
    Ok(bytes)
}

/// Makes a folder of its owner's alone where there is none, and those that it lies in, for good: what is kept in it is kept only
/// if its name is.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    if let Some(outer) = path.parent().filter(|outer| !outer.as_os_str().is_empty()) {
        make_folder(outer)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Ok(()) => sync_folder(path),
        // Somebody else has made it meanwhile.
        Err(fault) if fault.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(fault) => Err(fault),
    }
}

/// Writes a small file of its owner's alone, synced, in the place of what is there: whole, or not at all. `beside` is where it is
/// written first, in the same folder; nobody else may do so meanwhile. What a process that was killed has left there is written
/// over.
pub(crate) fn replace(path: &Path, beside: &Path, pieces: &[&[u8]]) -> io::Result<()> {
    let put = || {
        // Anew, and not over what is there, which may be a link or a pipe.
        remove_if_there(beside)?;
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(beside)?;
        pieces.iter().try_for_each(|piece| file.write_all(piece))?;
        file.sync_all()?;
        std::fs::rename(beside, path)?;
        sync_folder(path)
    };
    put().inspect_err(|_| {
        // On a full disk it would take the room that is needed.
        let _ = std::fs::remove_file(beside);
    })
}

/// Removes a file, synced. Says whether it was there.
pub(crate) fn remove(path: &Path) -> io::Result<bool> {
    let was_there = remove_if_there(path)?;
    if was_there {
        sync_folder(path)?;
    }
    Ok(was_there)
}

fn remove_if_there(path: &Path) -> io::Result<bool> {
    match std::fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(fault) => Err(fault),
    }
}

/// A name is as durable as the folder that it stands in.
fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// What to do where a file cannot be written.
pub(crate) fn mend_of(fault: &io::Error) -> &'static str {
    match fault.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => "free some space there, and try again",
        _ => "let the agent's user read and write there",
    }
}

fn judge(found: std::fs::FileType) -> io::Result<()> {
    let what = match found {
        found if found.is_file() => return Ok(()),
        found if found.is_dir() => "folder",
        found if found.is_fifo() => "pipe",
        found if found.is_socket() => "socket",
        _ => "device",
    };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is a {what}, and is to be a file")))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Makes a pipe.
    #[track_caller]
    pub(crate) fn pipe(path: &Path) {
        let path = std::ffi::CString::new(path.as_os_str().as_encoded_bytes()).expect("it has no NUL");
        // SAFETY: the pointer is to a local text that outlives the call, which only reads it.
        assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
    }

    #[test]
    fn what_is_no_file_is_told_and_not_waited_for() {
        let folder = tempfile::tempdir().expect("a folder");
        let (pipe_at, socket) = (folder.path().join("pipe"), folder.path().join("socket"));
        pipe(&pipe_at);
        let _bound = std::os::unix::net::UnixListener::bind(&socket).expect("it can be made");
        for (path, what) in [
            (pipe_at.as_path(), "pipe"),
            (&socket, "socket"),
            (folder.path(), "folder"),
            (Path::new("/dev/zero"), "device"),
        ] {
            let fault = read(path, 9).expect_err(what);
            assert_eq!(
                (fault.kind(), fault.to_string()),
                (io::ErrorKind::InvalidInput, format!("it is a {what}, and is to be a file"))
            );
        }
        // A link is what it leads to.
        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&pipe_at, &link).expect("it can be made");
        assert_eq!(read(&link, 9).expect_err("a pipe").kind(), io::ErrorKind::InvalidInput);
        assert_eq!(read(&folder.path().join("none"), 9).expect_err("nothing").kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_is_replaced_whole_or_not_at_all() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let (file, beside) = (folder.path().join("file"), folder.path().join(".new"));
        replace(&file, &beside, &[b"on", b"e"]).expect("it can be written");
        // Of a process that was killed; and of somebody who would have another file written.
        std::fs::write(&beside, "half of somethi").expect("it can be written");
        replace(&file, &beside, &[b"two"]).expect("it can be written");
        let other = folder.path().join("other");
        std::os::unix::fs::symlink(&other, &beside).expect("it can be made");
        replace(&file, &beside, &[b"three"]).expect("it can be written");
        assert!(!other.exists() && !beside.exists());
        assert_eq!(read(&file, 9).expect("it is small"), b"three");
        assert_eq!(std::fs::metadata(&file).expect("it is there").permissions().mode() & 0o777, 0o600);
        // What cannot be put there leaves nothing beside it.
        let taken = folder.path().join("taken");
        std::fs::create_dir(&taken).expect("it can be made");
        std::fs::write(taken.join("x"), "").expect("it can be written");
        assert!(replace(&taken, &beside, &[b"four"]).is_err() && !beside.exists());
        assert!(remove(&file).expect("it can go") && !remove(&file).expect("it is gone"));
    }

    #[test]
    fn a_file_has_a_limit() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        std::fs::write(&file, "123").expect("it can be written");
        assert_eq!(read(&file, 3).expect("it is small"), b"123");
        let fault = read(&file, 2).expect_err("it is not");
        assert_eq!(
            (fault.kind(), fault.to_string().as_str()),
            (io::ErrorKind::FileTooLarge, "it has more than 2 bytes")
        );
        // Nobody has to believe what a file says of its length.
        assert!(read(Path::new("/proc/self/maps"), 10).is_err());
    }
}
