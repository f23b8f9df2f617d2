//! Space kept back, so that delivery can still acknowledge, and thereby free, when the disk is full.

use std::fs::{File, OpenOptions};
use std::os::fd::AsRawFd;
use std::path::PathBuf;

/// Enough for the database's log to grow by many acknowledgements.
const RESERVE_BYTES: u64 = 4 << 20;

/// Free bytes under which the reserve is given up for the moment.
const LOW_BYTES: u64 = 1 << 20;

pub(super) struct Reserve {
    path: PathBuf,
}

impl Reserve {
    pub(super) fn new(path: PathBuf) -> Reserve {
        let reserve = Reserve { path };
        reserve.restore();
        reserve
    }

    /// Gives the space up if there is hardly any other.
    pub(super) fn release_if_full(&self) {
        release_if_full(&self.path);
    }

    /// Takes the space again where it has been given up and there is room for it. Best effort: without it, a full disk
    /// needs an operator to free a little, and nothing is lost.
    pub(super) fn restore(&self) {
        // After a power failure its name may be there and its space not.
        let is_taken = std::fs::metadata(&self.path).is_ok_and(|metadata| metadata.len() >= RESERVE_BYTES);
        if is_taken || free_bytes(&self.path).is_some_and(|free| free < 4 * RESERVE_BYTES) {
            return;
        }
        let Ok(file) = OpenOptions::new().create(true).truncate(true).write(true).open(&self.path) else { return };
        if !allocate(&file) {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Gives a reserve up if there is hardly any other space.
pub(super) fn release_if_full(reserve: &std::path::Path) {
    if free_bytes(reserve).is_some_and(|free| free < LOW_BYTES) {
        drop(std::fs::remove_file(reserve));
    }
}

fn allocate(file: &File) -> bool {
    // SAFETY: the descriptor is open for the length of the call, and the call touches no memory of ours.
    unsafe { libc::posix_fallocate(file.as_raw_fd(), 0, RESERVE_BYTES as libc::off_t) == 0 }
}

/// Bytes that we may still write on the file system that holds `path` or its folder.
pub(crate) fn free_bytes(path: &std::path::Path) -> Option<u64> {
    use std::os::unix::ffi::OsStrExt;
    let folder = if path.is_dir() { path } else { path.parent()? };
    let c_path = std::ffi::CString::new(folder.as_os_str().as_bytes()).ok()?;
    let mut stat = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the path is a valid C string and `stat` has room for the answer, which is read only on success.
    unsafe {
        if libc::statvfs(c_path.as_ptr(), stat.as_mut_ptr()) != 0 {
            return None;
        }
        let stat = stat.assume_init();
        // Both are narrower on other systems.
        #[allow(clippy::useless_conversion)]
        Some(u64::from(stat.f_bavail).saturating_mul(u64::from(stat.f_frsize)))
    }
}
