//! What a repository says of itself: where its folders are, its HEAD and branches, what kind of names it uses, and
//! whether parts of it are missing on purpose. Objects are `objects`'.

use crate::fence::Fence;
use crate::objects::Oid;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Symbolic refs that point to symbolic refs: git follows five.
const SYMBOLIC_DEPTH_MAX: usize = 5;
/// Folders below `refs`; git has no limit, a file system has.
const REF_DEPTH_MAX: usize = 64;
/// Bytes of HEAD, a ref, or a file that names a folder: a path, and no path is longer.
const NAME_BYTES_MAX: u64 = 64 << 10;
/// Bytes of the settings; they are written by hand.
const CONFIG_BYTES_MAX: u64 = 4 << 20;
/// Bytes of a list of refs or commits: a million of them.
const LIST_BYTES_MAX: u64 = 128 << 20;

/// Why a folder cannot be used as a repository.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{0} is no git repository: there is neither a .git nor HEAD, objects and refs in it")]
    NotARepository(PathBuf),
    #[error("{path} cannot be read: {source}")]
    Io { path: PathBuf, source: std::io::Error },
    #[error("{path} names objects by {format}; only sha1 and sha256 are known")]
    ObjectFormat { path: PathBuf, format: String },
    #[error(
        "{0} keeps its refs in the reftable format, which is not supported; `git refs migrate --ref-format=files` converts it"
    )]
    Reftable(PathBuf),
    #[error("{path} keeps its data in a folder outside of those that were granted: {outside}")]
    Outside { path: PathBuf, outside: PathBuf },
}

/// Where a repository's parts lie.
#[derive(Debug)]
pub(crate) struct Layout {
    /// HEAD is here.
    pub git: PathBuf,
    /// Everything that worktrees share is here.
    pub common: PathBuf,
    /// Bytes of an object's name: 20 or 32.
    pub hash_len: usize,
    /// Commits without their parents: the history has been cut off below them.
    pub shallow: Vec<Oid>,
    /// A clone that left objects with its source.
    pub partial: bool,
    fence: Fence,
}

/// What HEAD says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Head {
    /// A branch, with its full name, and its commit unless it has none yet.
    Branch(Vec<u8>, Option<Oid>),
    Detached(Oid),
    /// HEAD says nothing that can be understood.
    Unknown,
}

impl Layout {
    /// Finds the repository in `path`: a work tree, a linked work tree or a bare repository.
    pub fn find(path: &Path, fence: &Fence) -> Result<Self, OpenError> {
        let (git, common) = folders(path, fence)?;
        let io = |path: PathBuf| |source: std::io::Error| OpenError::Io { path, source };
        let optional = |path: PathBuf, bytes_max: u64| match fence.read(&path, bytes_max) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(vec![]),
            read => read.map_err(io(path)),
        };
        let config = Config::parse(&optional(common.join("config"), CONFIG_BYTES_MAX)?);
        let hash_len = match config.get("extensions.objectformat") {
            None | Some("sha1") => 20,
            Some("sha256") => 32,
            Some(other) => return Err(OpenError::ObjectFormat { path: common, format: other.to_owned() }),
        };
        if config.get("extensions.refstorage").is_some_and(|format| format != "files") {
            return Err(OpenError::Reftable(common));
        }
        let partial = config.get("extensions.partialclone").is_some() || config.promisor;
        // Read again when refs are asked for; that it can be is found out here.
        optional(common.join("packed-refs"), LIST_BYTES_MAX)?;
        let shallow = optional(common.join("shallow"), LIST_BYTES_MAX)?;
        let shallow =
            shallow.split(|byte| *byte == b'\n').filter_map(|line| Oid::from_hex(line.trim_ascii())).collect();
        Ok(Self { git, common, hash_len, shallow, partial, fence: fence.clone() })
    }

    /// All refs below `refs/`, by full name. Symbolic ones are resolved; what points nowhere is left out.
    pub fn refs(&self) -> BTreeMap<Vec<u8>, Oid> {
        let mut refs = BTreeMap::new();
        let packed = self.fence.read(&self.common.join("packed-refs"), LIST_BYTES_MAX).unwrap_or_default();
        for line in packed.split(|byte| *byte == b'\n') {
            let Some(space) = memchr::memchr(b' ', line) else { continue };
            if let Some(oid) = self.oid(&line[..space]) {
                refs.insert(line[space + 1..].trim_ascii_end().to_vec(), oid);
            }
        }
        let mut symbolic = vec![];
        self.loose_refs(&self.common.join("refs"), b"refs", 0, &mut refs, &mut symbolic);
        if self.git != self.common {
            self.loose_refs(&self.git.join("refs"), b"refs", 0, &mut refs, &mut symbolic);
        }
        for (name, mut target) in symbolic {
            for _ in 0..SYMBOLIC_DEPTH_MAX {
                if let Some(oid) = refs.get(&target) {
                    let oid = *oid;
                    refs.insert(name, oid);
                    break;
                }
                match self.read_ref(&target) {
                    Some(Ref::Symbolic(next)) => target = next,
                    _ => break,
                }
            }
        }
        refs
    }

    fn loose_refs(
        &self,
        folder: &Path,
        prefix: &[u8],
        depth: usize,
        refs: &mut BTreeMap<Vec<u8>, Oid>,
        symbolic: &mut Vec<(Vec<u8>, Vec<u8>)>,
    ) {
        for entry in self.fence.list(folder) {
            let mut name = prefix.to_vec();
            name.push(b'/');
            name.extend_from_slice(entry.file_name().as_encoded_bytes());
            let path = entry.path();
            // Of links to folders none is followed: they may lead round and round.
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if depth < REF_DEPTH_MAX {
                    self.loose_refs(&path, &name, depth + 1, refs, symbolic);
                }
                continue;
            }
            match self.fence.read(&path, NAME_BYTES_MAX).ok().and_then(|bytes| self.parse(&bytes)) {
                Some(Ref::Oid(oid)) => drop(refs.insert(name, oid)),
                Some(Ref::Symbolic(target)) => symbolic.push((name, target)),
                None => {}
            }
        }
    }

    fn oid(&self, hex: &[u8]) -> Option<Oid> {
        Oid::from_hex(hex).filter(|oid| oid.as_bytes().len() == self.hash_len)
    }

    fn parse(&self, bytes: &[u8]) -> Option<Ref> {
        let text = bytes.trim_ascii();
        match text.strip_prefix(b"ref:") {
            Some(target) => Some(Ref::Symbolic(target.trim_ascii().to_vec())),
            None => self.oid(text).map(Ref::Oid),
        }
    }

    /// A loose ref's file. A name that would lead out of the repository is not followed.
    fn read_ref(&self, name: &[u8]) -> Option<Ref> {
        let text = std::str::from_utf8(name).ok()?;
        if !text.starts_with("refs/") || text.split('/').any(|part| part.is_empty() || part == ".." || part == ".") {
            return None;
        }
        let read = |folder: &Path| self.fence.read(&folder.join(text), NAME_BYTES_MAX);
        let bytes = read(&self.git).or_else(|_| read(&self.common)).ok()?;
        self.parse(&bytes)
    }

    /// What HEAD points to.
    pub fn head(&self, refs: &BTreeMap<Vec<u8>, Oid>) -> Head {
        let path = self.git.join("HEAD");
        // Old repositories have a symbolic link here; reading it follows the link, so the name is read first.
        if let Ok(target) = std::fs::read_link(&path) {
            let name = target.as_os_str().as_encoded_bytes().to_vec();
            let oid = refs.get(&name).copied();
            return Head::Branch(name, oid);
        }
        match self.fence.read(&path, NAME_BYTES_MAX).ok().and_then(|bytes| self.parse(&bytes)) {
            Some(Ref::Oid(oid)) => Head::Detached(oid),
            Some(Ref::Symbolic(name)) => {
                let oid = refs.get(&name).copied();
                Head::Branch(name, oid)
            }
            None => Head::Unknown,
        }
    }
}

/// The repository's own folder and the one that it shares with its work trees.
fn folders(path: &Path, fence: &Fence) -> Result<(PathBuf, PathBuf), OpenError> {
    let inside = |folder: PathBuf| {
        fence.folder(&folder).map_err(|outside| OpenError::Outside { path: path.to_owned(), outside })
    };
    let path = inside(path.to_owned())?;
    let dot = path.join(".git");
    let git = if dot.is_dir() {
        dot
    } else if dot.is_file() {
        let bytes = fence.read(&dot, NAME_BYTES_MAX).map_err(|source| OpenError::Io { path: dot.clone(), source })?;
        let text = String::from_utf8_lossy(&bytes);
        let target = text.strip_prefix("gitdir:").map(str::trim);
        path.join(target.ok_or_else(|| OpenError::NotARepository(path.clone()))?)
    } else {
        path.clone()
    };
    let git = inside(git)?;
    let common = match fence.read(&git.join("commondir"), NAME_BYTES_MAX) {
        Ok(bytes) => inside(git.join(String::from_utf8_lossy(&bytes).trim()))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => git.clone(),
        Err(source) => return Err(OpenError::Io { path: git.join("commondir"), source }),
    };
    if !git.join("HEAD").exists() || !common.join("objects").is_dir() {
        return Err(OpenError::NotARepository(path));
    }
    Ok((git, common))
}

enum Ref {
    Oid(Oid),
    Symbolic(Vec<u8>),
}

/// The few settings that say how a repository is to be read.
#[derive(Default)]
struct Config {
    values: BTreeMap<String, String>,
    /// Some remote is one that objects are fetched from when they are needed.
    promisor: bool,
}

impl Config {
    fn parse(bytes: &[u8]) -> Self {
        let mut config = Self::default();
        let text = String::from_utf8_lossy(bytes);
        let mut section = String::new();
        for line in text.lines().map(str::trim) {
            if let Some(head) = line.strip_prefix('[') {
                let head = head.split(']').next().unwrap_or_default();
                section = head.split([' ', '\t', '"']).next().unwrap_or_default().to_ascii_lowercase();
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or((line, "true"));
            let (key, value) = (key.trim().to_ascii_lowercase(), value.trim().trim_matches('"'));
            config.promisor |= section == "remote" && key == "promisor" && value == "true";
            config.values.insert(format!("{section}.{key}"), value.to_owned());
        }
        config
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }
}
