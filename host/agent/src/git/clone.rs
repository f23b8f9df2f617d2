//! The cache of mirror clones, one bare repository for each URL, and the opening of repositories in place. A clone is
//! made beside its place and renamed into it when it is whole; one that turns out damaged is made anew, once.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use git2::{ErrorClass, Oid, Repository};
use ripsrc::{OpenError, Watch};
use sha2::{Digest, Sha256};

use super::fetch;
use super::memory::GitMemory;
use super::refs::{self, Refs};
use super::transport::{self, Advertised, Door};

/// Each fetch adds a pack and nothing is ever repacked; with more than this, looking objects up costs more than a new
/// clone.
const PACKS_MAX: usize = 300;
/// How often who waits for a clone in use looks whether the run has been asked to end.
const STOP_CHECKED_EVERY: Duration = Duration::from_millis(200);

/// Why there is no repository.
#[derive(Debug)]
pub(super) enum CloneError {
    /// The run has been asked to end.
    Stopped,
    /// For a person.
    Failed(String),
}

impl From<String> for CloneError {
    fn from(text: String) -> Self {
        CloneError::Failed(text)
    }
}

/// A mirror clone that is up to date and in nobody else's use.
pub(super) struct Mirror {
    /// Where it lies.
    pub path: PathBuf,
    _in_use: InUse,
}

impl Mirror {
    /// Opens it, to read it. What it holds came from a server, so it is kept from pointing elsewhere.
    pub(super) fn open(&self) -> Result<ripsrc::Repository, String> {
        ripsrc::Repository::open_within(&self.path, std::slice::from_ref(&self.path))
            .map_err(|fault| crate::error_chain(&fault))
    }

    /// Throws the clone away, because it is damaged; the next run makes a new one.
    pub(super) fn discard(self) -> io::Result<()> {
        let Mirror { path, _in_use } = self;
        fs::remove_dir_all(path)
    }
}

/// Brings the mirror clone of a repository up to date, or makes it. `heads` are commits (of pull requests) that are
/// wanted beside branches and tags; what the server does not offer by a ref is left out.
pub(super) fn mirror(
    cache: &Path,
    door: &Door,
    heads: &HashSet<Oid>,
    memory: &Arc<GitMemory>,
    stop: &Watch,
) -> Result<Mirror, CloneError> {
    transport::prepare()?;
    let folder = cache;
    let origin = Origin { door, heads, memory, stop };
    fs::create_dir_all(folder).map_err(|fault| format!("{}: {fault}", folder.display()))?;
    let name: String = Sha256::digest(door.url.as_str().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = folder.join(format!("{name}.git"));
    let in_use = InUse::wait(&path, stop)?;
    if path.exists() {
        match origin.update(&path) {
            Ok(()) => return Ok(Mirror { path, _in_use: in_use }),
            Err(Fault::Final(error)) => return Err(error),
            Err(Fault::Damaged(why)) => {
                tracing::warn!(url = %door.url, %why, "the cached clone is damaged and is made anew");
                fs::remove_dir_all(&path).map_err(|fault| format!("{}: {fault}", path.display()))?;
            }
        }
    }
    origin.clone_anew(&folder.join(format!("{name}.new")), &path)?;
    Ok(Mirror { path, _in_use: in_use })
}

/// Opens a repository of this machine in place, to read it. Whoever made it may have it point to any folder: as the place
/// of its data, to borrow objects from, or by links. Nothing is read that does not lie below granted folders.
pub(super) fn in_place(path: &Path, granted: &[PathBuf]) -> Result<ripsrc::Repository, String> {
    ripsrc::Repository::open_within(path, granted).map_err(|fault| match fault {
        OpenError::Outside { path, outside } => format!(
            "{} keeps its data in a folder that is not granted; add to `grants.git.paths` of this integration in agent.yaml: - {}",
            path.display(),
            outside.display()
        ),
        fault => format!("{} cannot be read: {}", path.display(), crate::error_chain(&fault)),
    })
}

/// What went wrong with a clone.
enum Fault {
    /// It is the clone's: making it anew may help.
    Damaged(String),
    /// It is not.
    Final(CloneError),
}

impl From<CloneError> for Fault {
    fn from(error: CloneError) -> Fault {
        Fault::Final(error)
    }
}

/// Where a mirror comes from, and what it is to have.
struct Origin<'a> {
    door: &'a Door,
    heads: &'a HashSet<Oid>,
    memory: &'a Arc<GitMemory>,
    stop: &'a Watch,
}

impl Origin<'_> {
    fn clone_anew(&self, temporary: &Path, path: &Path) -> Result<(), CloneError> {
        let at = |place: &Path, fault: io::Error| CloneError::Failed(format!("{}: {fault}", place.display()));
        // Left by a run that was killed; it is nobody's, since we hold the place.
        remove_if_there(temporary).map_err(|fault| at(temporary, fault))?;
        let made = Repository::init_bare(temporary)
            .map_err(|fault| self.judged(&fault))
            .and_then(|repository| self.fetch(&repository));
        if let Err(fault) = made {
            if let Err(left) = remove_if_there(temporary) {
                tracing::warn!(path = %temporary.display(), error = %left, "an unfinished clone cannot be removed");
            }
            return Err(match fault {
                Fault::Damaged(why) => CloneError::Failed(format!("{}: {why}", self.door.url)),
                Fault::Final(error) => error,
            });
        }
        fs::rename(temporary, path).map_err(|fault| at(path, fault))
    }

    fn update(&self, path: &Path) -> Result<(), Fault> {
        let repository = Repository::open_bare(path).map_err(|fault| self.judged(&fault))?;
        let packs =
            tidy_packs(&path.join("objects").join("pack")).map_err(|fault| Fault::Damaged(fault.to_string()))?;
        if packs > PACKS_MAX {
            return Err(Fault::Damaged(format!("it has {packs} packs, more than {PACKS_MAX}")));
        }
        self.fetch(&repository)
    }

    /// Makes branches, tags and the refs of wanted heads the same as the server's.
    fn fetch(&self, repository: &Repository) -> Result<(), Fault> {
        let judged = |fault: git2::Error| self.judged(&fault);
        let advertised = self.door.refs().map_err(|why| self.ended(why))?;
        let refs = Refs::of(&advertised, self.heads);
        refs.tell(&self.door.url);
        let odb = repository.odb().map_err(judged)?;
        let missing: HashSet<Oid> = refs.kept.values().filter(|oid| !odb.exists(**oid)).copied().collect();
        if !missing.is_empty() {
            fetch::fetch(repository, self.door, &advertised, &missing, self.memory, self.stop).map_err(Fault::Final)?;
            odb.refresh().map_err(judged)?;
        }
        if let Some((name, oid)) = refs.kept.iter().find(|(_, oid)| missing.contains(*oid) && !odb.exists(**oid)) {
            return Err(Fault::Final(CloneError::Failed(format!(
                "{}: the server lists {} at {oid}, and does not send that object: its repository is damaged, which `git fsck` there shows",
                self.door.url,
                refs::shown(name)
            ))));
        }
        refs.write(repository.path())
            .map_err(|fault| CloneError::Failed(format!("{}: {fault}", repository.path().display())))?;
        set_head(repository, &advertised, &refs).map_err(judged)
    }

    fn ended(&self, why: String) -> Fault {
        Fault::Final(if self.stop.stopped() { CloneError::Stopped } else { CloneError::Failed(why) })
    }

    /// What a fault of libgit2's stands for.
    fn judged(&self, fault: &git2::Error) -> Fault {
        // The machine's faults – a full disk, say – are not the clone's.
        match fault.class() {
            ErrorClass::Os | ErrorClass::NoMemory => self.ended(format!("{}: {}", self.door.url, fault.message())),
            _ => Fault::Damaged(fault.message().to_owned()),
        }
    }
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => Err(fault),
        _ => Ok(()),
    }
}

/// Removes what an interrupted fetch left, and counts packs.
fn tidy_packs(folder: &Path) -> io::Result<usize> {
    let mut packs = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("pack_git2_") || name.ends_with(".part") {
            fs::remove_file(entry.path())?;
        } else if name.ends_with(".pack") {
            packs += 1;
        }
    }
    Ok(packs)
}

/// Makes `HEAD` stand for what the server's stands for: it tells which branch is the default.
fn set_head(repository: &Repository, advertised: &Advertised, refs: &Refs) -> Result<(), git2::Error> {
    let detached = || advertised.refs.iter().find(|(name, _)| name == b"HEAD").map(|(_, oid)| *oid);
    let same = |name: &[u8]| refs.kept.get(name).is_some_and(|oid| Some(*oid) == detached());
    let usual = || {
        [b"refs/heads/main".as_slice(), b"refs/heads/master"].into_iter().find(|name| same(name)).map(<[u8]>::to_vec)
    };
    // A name that git does not allow is no branch's here either.
    let named = advertised.head.clone().filter(|name| refs::fault_of(name).is_none());
    match named.or_else(usual) {
        Some(name) => repository.set_head_bytes(&name),
        // What no branch has is not here, and need not be.
        None => match detached().filter(|oid| repository.odb().is_ok_and(|odb| odb.exists(*oid))) {
            Some(oid) => repository.set_head_detached(oid),
            None => Ok(()),
        },
    }
}

static PLACES: Mutex<Option<HashSet<PathBuf>>> = Mutex::new(None);
static PLACE_FREED: Condvar = Condvar::new();

/// A clone that is in use by one job of this process; other processes are kept out by the lock on the agent's root.
struct InUse {
    path: PathBuf,
}

impl InUse {
    fn wait(path: &Path, stop: &Watch) -> Result<InUse, CloneError> {
        let mut places = PLACES.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if stop.stopped() {
                return Err(CloneError::Stopped);
            }
            if places.get_or_insert_default().insert(path.to_owned()) {
                return Ok(InUse { path: path.to_owned() });
            }
            places = PLACE_FREED.wait_timeout(places, STOP_CHECKED_EVERY).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for InUse {
    fn drop(&mut self) {
        PLACES.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_default().remove(&self.path);
        PLACE_FREED.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use git2::{Error, ErrorCode};

    use super::*;
    use crate::egress::{Caller, Egress, Policy};

    /// Only what is the clone's fault has it thrown away and made anew.
    #[test]
    fn a_full_disk_is_not_the_clones_fault() {
        let tokio = tokio::runtime::Builder::new_current_thread().build().expect("a runtime can be made");
        let url = url::Url::parse("https://a.test/x.git").expect("a URL");
        let door = Door::new(Egress::new(), Policy::default(), tokio.handle().clone(), url, None, Caller::default());
        let (heads, memory) = (HashSet::new(), GitMemory::new(1 << 26, 1));
        let judged =
            |fault: &Error, stop: &Watch| Origin { door: &door, heads: &heads, memory: &memory, stop }.judged(fault);
        let of = |class| judged(&Error::new(ErrorCode::GenericError, class, "no space left"), &Watch::default());
        for class in [ErrorClass::Os, ErrorClass::NoMemory] {
            assert!(matches!(of(class), Fault::Final(CloneError::Failed(why)) if why.contains("no space left")));
        }
        for class in [ErrorClass::Odb, ErrorClass::Zlib, ErrorClass::Reference] {
            assert!(matches!(of(class), Fault::Damaged(_)));
        }
        let stopped = Watch::default();
        stopped.stop();
        let fault = Error::new(ErrorCode::GenericError, ErrorClass::Os, "interrupted");
        assert!(matches!(judged(&fault, &stopped), Fault::Final(CloneError::Stopped)));
    }
}
