//! What a repository says of itself: where its folders are, its HEAD and branches, what kind of names it uses, and
//! whether parts of it are missing on purpose. Objects are `objects`'.

use crate::fence::Fence;
use crate::objects::Oid;
use std::collections::{BTreeMap, HashMap};
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

/// What git knows of a repository's format and this reader can do without, or looks at by itself.
const EXTENSIONS: [&str; 8] = [
    "noop",
    "noop-v1",
    "objectformat",
    "partialclone",
    "preciousobjects",
    "refstorage",
    "relativeworktrees",
    "worktreeconfig",
];

/// Paths as git writes them into files.
pub(crate) fn path_from(bytes: &[u8]) -> PathBuf {
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
    }
    #[cfg(not(unix))]
    PathBuf::from(String::from_utf8_lossy(bytes).into_owned())
}

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
    #[error(
        "{path} is of a format that is not known ({what}); reading it could give wrong answers, so a newer version of \
         this program is needed"
    )]
    Format { path: PathBuf, what: String },
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
    /// Parents that commits are to be read with instead of their own, from `info/grafts`. As in git, the end of a
    /// shallow clone is stronger.
    pub grafts: HashMap<Oid, Vec<Oid>>,
    /// Objects that are to be read in the place of others, from `refs/replace`, as git does.
    pub replaced: HashMap<Oid, Oid>,
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
        let hash_len = config.check(&common)?;
        let partial = config.get("extensions.partialclone").is_some() || config.promisor;
        // Read again when refs are asked for; that it can be is found out here.
        optional(common.join("packed-refs"), LIST_BYTES_MAX)?;
        let shallow = optional(common.join("shallow"), LIST_BYTES_MAX)?;
        let grafts = optional(common.join("info/grafts"), LIST_BYTES_MAX)?;
        let mut layout = Self {
            git,
            common,
            hash_len,
            shallow: vec![],
            partial,
            grafts: HashMap::new(),
            replaced: HashMap::new(),
            fence: fence.clone(),
        };
        layout.shallow =
            shallow.split(|byte| *byte == b'\n').filter_map(|line| layout.oid(line.trim_ascii())).collect();
        let grafts: Vec<_> = grafts.split(|byte| *byte == b'\n').filter_map(|line| layout.graft(line)).collect();
        // Of two lines about one commit, the first counts.
        layout.grafts = grafts.into_iter().rev().collect();
        let replacement = |(name, by): (Vec<u8>, Oid)| Some((layout.oid(name.strip_prefix(b"refs/replace/")?)?, by));
        layout.replaced = layout.refs().into_iter().filter_map(replacement).collect();
        Ok(layout)
    }

    /// A line of the grafts: a commit and its parents. Lines that are anything else are not looked at, as in git.
    fn graft(&self, line: &[u8]) -> Option<(Oid, Vec<Oid>)> {
        let mut words = line.trim_ascii_end().split(|byte| *byte == b' ').map(|word| self.oid(word));
        let commit = words.next()??;
        Some((commit, words.collect::<Option<_>>()?))
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
            match self.loose(&path) {
                Some(Ref::Oid(oid)) => drop(refs.insert(name, oid)),
                Some(Ref::Symbolic(target)) => {
                    // A packed ref of the same name is covered, even by one that points nowhere.
                    refs.remove(&name);
                    symbolic.push((name, target));
                }
                None => {}
            }
        }
    }

    /// What a ref's file says. Old repositories have symbolic links in the place of symbolic refs; what a link
    /// points to is read only if that names no ref.
    fn loose(&self, path: &Path) -> Option<Ref> {
        if let Ok(target) = std::fs::read_link(path) {
            let name = target.as_os_str().as_encoded_bytes();
            if name.starts_with(b"refs/") {
                return Some(Ref::Symbolic(name.to_vec()));
            }
        }
        self.parse(&self.fence.read(path, NAME_BYTES_MAX).ok()?)
    }

    fn oid(&self, hex: &[u8]) -> Option<Oid> {
        Oid::from_hex(hex).filter(|oid| oid.as_bytes().len() == self.hash_len)
    }

    fn parse(&self, bytes: &[u8]) -> Option<Ref> {
        if let Some(target) = bytes.strip_prefix(b"ref:") {
            return Some(Ref::Symbolic(target.trim_ascii().to_vec()));
        }
        // More may stand behind the name, but only apart from it.
        let (hex, rest) = bytes.split_at_checked(self.hash_len * 2)?;
        self.oid(hex).filter(|_| rest.first().is_none_or(u8::is_ascii_whitespace)).map(Ref::Oid)
    }

    /// A loose ref's file. A name that would lead out of the repository is not followed.
    fn read_ref(&self, name: &[u8]) -> Option<Ref> {
        let text = std::str::from_utf8(name).ok()?;
        if !text.starts_with("refs/") || text.split('/').any(|part| part.is_empty() || part == ".." || part == ".") {
            return None;
        }
        self.loose(&self.git.join(text)).or_else(|| self.loose(&self.common.join(text)))
    }

    /// What HEAD points to.
    pub fn head(&self, refs: &BTreeMap<Vec<u8>, Oid>) -> Head {
        match self.loose(&self.git.join("HEAD")) {
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
    } else if dot.symlink_metadata().is_ok() {
        let bytes = fence.read(&dot, NAME_BYTES_MAX).map_err(|source| OpenError::Io { path: dot.clone(), source })?;
        let target = bytes.strip_prefix(b"gitdir:").ok_or_else(|| OpenError::NotARepository(path.clone()))?;
        path.join(path_from(target.trim_ascii()))
    } else {
        path.clone()
    };
    let git = inside(git)?;
    let common = match fence.read(&git.join("commondir"), NAME_BYTES_MAX) {
        Ok(bytes) => inside(git.join(path_from(bytes.trim_ascii())))?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => git.clone(),
        Err(source) => return Err(OpenError::Io { path: git.join("commondir"), source }),
    };
    // HEAD may be a symbolic link to a branch that has no commit yet.
    if git.join("HEAD").symlink_metadata().is_err() || !common.join("objects").is_dir() {
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
            let mut line = line;
            if let Some((head, rest)) = line.strip_prefix('[').and_then(|line| line.split_once(']')) {
                section = head.split([' ', '\t', '"']).next().unwrap_or_default().to_ascii_lowercase();
                // A setting may stand on its section's line.
                line = rest.trim();
            }
            if line.is_empty() || line.starts_with(['#', ';']) {
                continue;
            }
            let (key, value) = line.split_once('=').unwrap_or((line, "true"));
            // Of the settings that are asked for, each is one word.
            let value = value.split([' ', '\t']).find(|word| !word.is_empty()).unwrap_or_default();
            let value = value.split(['#', ';']).next().unwrap_or_default().replace('"', "");
            let key = key.trim().to_ascii_lowercase();
            config.promisor |= section == "remote" && key == "promisor" && value == "true";
            config.values.insert(format!("{section}.{key}"), value);
        }
        config
    }

    /// Whether the repository can be read: gives the length of its objects' names.
    fn check(&self, path: &Path) -> Result<usize, OpenError> {
        let extension = |key: &String| {
            key.strip_prefix("extensions.").is_some_and(|key| !EXTENSIONS.contains(&key)).then(|| key.clone())
        };
        let unknown = match self.get("core.repositoryformatversion").unwrap_or("0") {
            "0" => None,
            "1" => self.values.keys().find_map(extension),
            other => Some(format!("repository format version {other}")),
        };
        if let Some(what) = unknown {
            return Err(OpenError::Format { path: path.to_owned(), what });
        }
        if self.get("extensions.refstorage").is_some_and(|format| format != "files") {
            return Err(OpenError::Reftable(path.to_owned()));
        }
        match self.get("extensions.objectformat") {
            None | Some("sha1") => Ok(20),
            Some("sha256") => Ok(32),
            Some(other) => Err(OpenError::ObjectFormat { path: path.to_owned(), format: other.to_owned() }),
        }
    }

    fn get(&self, key: &str) -> Option<&str> {
        self.values.get(key).map(String::as_str)
    }
}
