//! The cache of mirror clones, one bare repository for each URL, and the opening of repositories in place. A clone is
//! made beside its place and renamed into it when it is whole; one that turns out damaged is made anew, once.

use std::collections::HashSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use git2::{AutotagOption, Direction, ErrorClass, FetchOptions, Oid, RemoteCallbacks, Repository};
use ripsrc::{OpenError, Watch};
use sha2::{Digest, Sha256};

use super::first::{self, First};
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
pub(super) fn mirror(cache: &Path, door: &Arc<Door>, heads: &HashSet<Oid>, stop: &Watch) -> Result<Mirror, CloneError> {
    transport::prepare()?;
    let folder = cache;
    fs::create_dir_all(folder).map_err(|fault| format!("{}: {fault}", folder.display()))?;
    let name: String = Sha256::digest(door.url.as_str().as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let path = folder.join(format!("{name}.git"));
    let in_use = InUse::wait(&path, stop)?;
    if path.exists() {
        match update(&path, door, heads, stop) {
            Ok(()) => return Ok(Mirror { path, _in_use: in_use }),
            Err(Fault::Final(error)) => return Err(error),
            Err(Fault::Damaged(why)) => {
                tracing::warn!(url = %door.url, %why, "the cached clone is damaged and is made anew");
                fs::remove_dir_all(&path).map_err(|fault| format!("{}: {fault}", path.display()))?;
            }
        }
    }
    clone_anew(&folder.join(format!("{name}.new")), &path, door, heads, stop)?;
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

/// What went wrong with a clone that was there.
enum Fault {
    /// It is the clone's: making it anew may help.
    Damaged(String),
    /// It is not.
    Final(CloneError),
}

fn clone_anew(
    temporary: &Path,
    path: &Path,
    door: &Arc<Door>,
    heads: &HashSet<Oid>,
    stop: &Watch,
) -> Result<(), CloneError> {
    let at = |place: &Path, fault: io::Error| CloneError::Failed(format!("{}: {fault}", place.display()));
    // Left by a run that was killed; it is nobody's, since we hold the place.
    remove_if_there(temporary).map_err(|fault| at(temporary, fault))?;
    let made = Repository::init_bare(temporary)
        .map_err(|fault| Fault::Damaged(fault.message().to_owned()))
        .and_then(|repository| fetch(&repository, true, door, heads, stop));
    if let Err(fault) = made {
        if let Err(left) = remove_if_there(temporary) {
            tracing::warn!(path = %temporary.display(), error = %left, "an unfinished clone cannot be removed");
        }
        return Err(match fault {
            Fault::Damaged(why) => CloneError::Failed(format!("{}: {why}", door.url)),
            Fault::Final(error) => error,
        });
    }
    fs::rename(temporary, path).map_err(|fault| at(path, fault))
}

fn remove_if_there(path: &Path) -> io::Result<()> {
    match fs::remove_dir_all(path) {
        Err(fault) if fault.kind() != io::ErrorKind::NotFound => Err(fault),
        _ => Ok(()),
    }
}

fn update(path: &Path, door: &Arc<Door>, heads: &HashSet<Oid>, stop: &Watch) -> Result<(), Fault> {
    let repository = Repository::open_bare(path).map_err(|fault| Fault::Damaged(fault.message().to_owned()))?;
    let packs = tidy_packs(&path.join("objects").join("pack")).map_err(|fault| Fault::Damaged(fault.to_string()))?;
    if packs > PACKS_MAX {
        return Err(Fault::Damaged(format!("it has {packs} packs, more than {PACKS_MAX}")));
    }
    fetch(&repository, false, door, heads, stop)
}

/// Removes what an interrupted fetch left, and counts packs.
fn tidy_packs(folder: &Path) -> io::Result<usize> {
    let mut packs = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with("pack_git2_") {
            fs::remove_file(entry.path())?;
        } else if name.ends_with(".pack") {
            packs += 1;
        }
    }
    Ok(packs)
}

/// Makes branches, tags and the refs of wanted heads the same as the server's. In a new clone there is nothing yet.
fn fetch(
    repository: &Repository,
    is_new: bool,
    door: &Arc<Door>,
    heads: &HashSet<Oid>,
    stop: &Watch,
) -> Result<(), Fault> {
    let judged = |fault: git2::Error| judged(fault, door, stop);
    transport::through(door, || {
        let mut remote = repository.remote_anonymous(door.url.as_str()).map_err(judged)?;
        let mut connection = remote.connect_auth(Direction::Fetch, None, None).map_err(judged)?;
        let advertised = door.advertised().unwrap_or_default();
        let wanted = wanted_refs(&advertised, heads);
        // First, because a branch `a` that is gone is in the way of a new branch `a/b`.
        prune(repository, &wanted).map_err(judged)?;
        let is_there = wanted.is_empty() || (is_new && first_fetch(repository, door, &advertised, &wanted, stop)?);
        if !is_there {
            let mut specs = vec!["+refs/heads/*:refs/heads/*".to_owned(), "+refs/tags/*:refs/tags/*".to_owned()];
            specs.extend(other_refs(&wanted).map(|name| format!("+{name}:{name}")));
            let mut callbacks = RemoteCallbacks::new();
            callbacks.transfer_progress(|_| !stop.stopped());
            let mut options = FetchOptions::new();
            options.remote_callbacks(callbacks).download_tags(AutotagOption::None).update_fetchhead(false);
            connection.remote().fetch(&specs, Some(&mut options), None).map_err(judged)?;
        }
        set_head(repository, &advertised).map_err(judged)?;
        verify(repository, &wanted).map_err(Fault::Damaged)
    })
}

/// What a fault of libgit2's stands for.
fn judged(fault: git2::Error, door: &Door, stop: &Watch) -> Fault {
    match door.take_fault() {
        _ if stop.stopped() => Fault::Final(CloneError::Stopped),
        Some(text) => Fault::Final(CloneError::Failed(text)),
        // The machine's faults – a full disk, say – are not the clone's.
        None if matches!(fault.class(), ErrorClass::Os | ErrorClass::NoMemory) => {
            Fault::Final(CloneError::Failed(format!("{}: {}", door.url, fault.message())))
        }
        None => Fault::Damaged(fault.message().to_owned()),
    }
}

/// Fetches into a new clone by the short way. False if that is not for this repository.
fn first_fetch(
    repository: &Repository,
    door: &Door,
    advertised: &Advertised,
    wanted: &[(&[u8], Oid)],
    stop: &Watch,
) -> Result<bool, Fault> {
    let names: Option<Vec<(&str, Oid)>> =
        wanted.iter().map(|(name, oid)| Some((std::str::from_utf8(name).ok()?, *oid))).collect();
    let Some(names) = names else { return Ok(false) };
    let oids = wanted.iter().map(|(_, oid)| *oid).collect();
    match first::fetch(repository.path(), door, advertised, &oids, stop) {
        Ok(First::Done) => {}
        Ok(First::Stopped) => return Err(Fault::Final(CloneError::Stopped)),
        Ok(First::Odd(why)) => {
            tracing::info!(url = %door.url, %why, "the repository is fetched the long way");
            return Ok(false);
        }
        Err(why) => return Err(Fault::Final(CloneError::Failed(why))),
    }
    for (name, oid) in names {
        if !git2::Reference::is_valid_name(name) {
            tracing::warn!(url = %door.url, ?name, "this ref is left out: git allows no such name");
            continue;
        }
        repository.reference(name, oid, true, "").map_err(|fault| judged(fault, door, stop))?;
    }
    Ok(true)
}

/// The advertised refs that a mirror holds: branches, tags, and one for each wanted head.
fn wanted_refs<'a>(advertised: &'a Advertised, heads: &HashSet<Oid>) -> Vec<(&'a [u8], Oid)> {
    let plain = |name: &[u8]| name.starts_with(b"refs/heads/") || name.starts_with(b"refs/tags/");
    let mut found: HashSet<Oid> =
        advertised.refs.iter().filter(|(name, _)| name.starts_with(b"refs/heads/")).map(|(_, oid)| *oid).collect();
    let mut wanted = Vec::new();
    for (name, oid) in &advertised.refs {
        let other = name.starts_with(b"refs/") && heads.contains(oid) && !found.contains(oid);
        if plain(name) || other {
            wanted.push((name.as_slice(), *oid));
            found.insert(*oid);
        }
    }
    wanted
}

fn other_refs<'a>(wanted: &'a [(&'a [u8], Oid)]) -> impl Iterator<Item = &'a str> {
    wanted
        .iter()
        .filter(|(name, _)| !name.starts_with(b"refs/heads/") && !name.starts_with(b"refs/tags/"))
        .filter_map(|(name, _)| std::str::from_utf8(name).ok())
}

fn prune(repository: &Repository, wanted: &[(&[u8], Oid)]) -> Result<(), git2::Error> {
    let names: HashSet<&[u8]> = wanted.iter().map(|(name, _)| *name).collect();
    for reference in repository.references()? {
        let mut reference = reference?;
        if !names.contains(reference.name_bytes()) {
            reference.delete()?;
        }
    }
    Ok(())
}

/// Makes `HEAD` stand for what the server's stands for: it tells which branch is the default.
fn set_head(repository: &Repository, advertised: &Advertised) -> Result<(), git2::Error> {
    let detached = || advertised.refs.iter().find(|(name, _)| name == b"HEAD").map(|(_, oid)| *oid);
    let same = |name: &[u8]| advertised.refs.iter().any(|(known, oid)| known == name && Some(*oid) == detached());
    let usual = || {
        [b"refs/heads/main".as_slice(), b"refs/heads/master"].into_iter().find(|name| same(name)).map(<[u8]>::to_vec)
    };
    match advertised.head.clone().or_else(usual) {
        Some(name) => repository.set_head_bytes(&name),
        None => detached().map_or(Ok(()), |oid| repository.set_head_detached(oid)),
    }
}

/// Whether every ref is there and points to an object that is. What lies below is found out by reading it.
fn verify(repository: &Repository, wanted: &[(&[u8], Oid)]) -> Result<(), String> {
    let odb = repository.odb().map_err(|fault| fault.message().to_owned())?;
    for (name, oid) in wanted {
        odb.read_header(*oid)
            .map_err(|fault| format!("{} points to {oid}: {}", String::from_utf8_lossy(name), fault.message()))?;
    }
    Ok(())
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
        let of = |class| judged(Error::new(ErrorCode::GenericError, class, "no space left"), &door, &Watch::default());
        for class in [ErrorClass::Os, ErrorClass::NoMemory] {
            assert!(matches!(of(class), Fault::Final(CloneError::Failed(why)) if why.contains("no space left")));
        }
        for class in [ErrorClass::Odb, ErrorClass::Zlib, ErrorClass::Reference] {
            assert!(matches!(of(class), Fault::Damaged(_)));
        }
        let stopped = Watch::default();
        stopped.stop();
        let fault = Error::new(ErrorCode::User, ErrorClass::Callback, "stopped");
        assert!(matches!(judged(fault, &door, &stopped), Fault::Final(CloneError::Stopped)));
    }
}
