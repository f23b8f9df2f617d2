//! The pauses of a run, kept in a file of the root so that `agent status` finds them: beside the run, and after it for as long
//! as a server's budget is spent. It is for people. Nothing waits by it, and a run begins without it: what still lasts, the
//! run's first request is told anew.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use tokio::task::JoinHandle;

use super::AppError;
use crate::egress::{Egress, Pause};
use crate::files;
use crate::shutdown::Shutdown;

/// The file, in the root.
const FILE: &str = "pauses.json";
/// Its bytes. A pause has some hundred, and there is one for each budget of a server.
const BYTES_MAX: u64 = 16 << 20;

/// Keeps the file as long as a run lasts.
pub(super) struct Keeper {
    file: PathBuf,
    task: JoinHandle<()>,
}

impl Keeper {
    /// Begins with no pause. From then on the file has what the door has.
    pub(super) fn start(root: &Path, egress: &Egress, shutdown: &Shutdown) -> Keeper {
        let file = root.join(FILE);
        write_or_warn(&file, &[]);
        let (kept, egress) = (file.clone(), egress.clone());
        let task = shutdown.spawn(async move {
            loop {
                egress.pauses_change().await;
                write_or_warn(&kept, &egress.pauses().0);
            }
        });
        Keeper { file, task }
    }

    /// Leaves what lasts beyond the run.
    pub(super) async fn end(mut self, pauses: &[Pause]) {
        self.task.abort();
        // It is at most in the middle of a small file; the last word is said after it.
        drop((&mut self.task).await);
        write_or_warn(&self.file, pauses);
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn write_or_warn(file: &Path, pauses: &[Pause]) {
    if let Err(error) = write(file, pauses) {
        tracing::warn!(file = %file.display(), %error, "the pauses cannot be written down for `agent status`");
    }
}

/// Writes what lasts; without any, there is no file.
fn write(file: &Path, pauses: &[Pause]) -> io::Result<()> {
    let now = OffsetDateTime::now_utc();
    let lasting: Vec<&Pause> = pauses.iter().filter(|pause| pause.lasts(now)).collect();
    if lasting.is_empty() {
        return match fs::remove_file(file) {
            Err(fault) if fault.kind() != io::ErrorKind::NotFound => Err(fault),
            _ => Ok(()),
        };
    }
    let new = file.with_extension("new");
    fs::write(&new, serde_json::to_vec(&lasting).map_err(io::Error::other)?)?;
    fs::rename(new, file)
}

/// The pauses that last now.
pub(super) fn lasting(root: &Path) -> Result<Vec<Pause>, AppError> {
    let file = root.join(FILE);
    let bytes = match files::read(&file, BYTES_MAX) {
        Ok(bytes) => bytes,
        Err(fault) if fault.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(fault) => return Err(AppError::Failed(format!("{}: {fault}", file.display()))),
    };
    let mut pauses: Vec<Pause> = serde_json::from_slice(&bytes)
        .map_err(|fault| AppError::Failed(format!("{} is damaged ({fault}): delete it", file.display())))?;
    let now = OffsetDateTime::now_utc();
    pauses.retain(|pause| pause.lasts(now));
    Ok(pauses)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause(host: &str, until: &str, resumed: Option<&str>) -> Pause {
        Pause {
            host: host.to_owned(),
            resource: "core".to_owned(),
            until: until.to_owned(),
            integrations: vec!["github".to_owned()],
            resumed: resumed.map(str::to_owned),
        }
    }

    #[test]
    fn what_lasts_is_found_again_and_nothing_else() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join(FILE);
        assert!(lasting(root.path()).unwrap().is_empty(), "no run has been here");
        let (past, future) = ("2020-01-01T00:00:00Z", "9999-01-01T00:00:00Z");
        let all = [pause("a", past, None), pause("b", future, None), pause("c", future, Some(past))];
        write(&file, &all).unwrap();
        assert_eq!(lasting(root.path()).unwrap(), all[1..2]);
        write(&file, &all[..1]).unwrap();
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 0);
        write(&file, &[]).unwrap();
        fs::write(&file, "[").unwrap();
        assert!(lasting(root.path()).unwrap_err().to_string().contains("pauses.json is damaged"));
    }
}
