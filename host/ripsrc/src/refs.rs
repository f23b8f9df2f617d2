//! What a repository says of itself: where its folders are, its HEAD and branches, what kind of names it uses, and
//! whether parts of it are missing on purpose. Objects are `objects`'.

use crate::objects::Oid;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Symbolic refs that point to symbolic refs: git follows five.
const SYMBOLIC_DEPTH_MAX: usize = 5;
/// Folders below `refs`; git has no limit, a file system has.
const REF_DEPTH_MAX: usize = 64;

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
    pub fn find(path: &Path) -> Result<Self, OpenError> {
        let dot = path.join(".git");
        let git = if dot.is_dir() {
            dot
        } else if dot.is_file() {
            let text = std::fs::read_to_string(&dot).map_err(|source| OpenError::Io { path: dot.clone(), source })?;
            let target = text.strip_prefix("gitdir:").map(str::trim);
            path.join(target.ok_or_else(|| OpenError::NotARepository(path.to_owned()))?)
        } else {
            path.to_owned()
        };
        let common = match std::fs::read_to_string(git.join("commondir")) {
            Ok(text) => git.join(text.trim()),
            Err(_) => git.clone(),
        };
        if !git.join("HEAD").exists() || !common.join("objects").is_dir() {
            return Err(OpenError::NotARepository(path.to_owned()));
        }
        let config = Config::read(&common.join("config"));
        let hash_len = match config.get("extensions.objectformat") {
            None | Some("sha1") => 20,
            Some("sha256") => 32,
            Some(other) => return Err(OpenError::ObjectFormat { path: common, format: other.to_owned() }),
        };
        if config.get("extensions.refstorage").is_some_and(|format| format != "files") {
            return Err(OpenError::Reftable(common));
        }
        let partial = config.get("extensions.partialclone").is_some() || config.promisor;
        let shallow = std::fs::read(common.join("shallow")).unwrap_or_default();
        let shallow =
            shallow.split(|byte| *byte == b'\n').filter_map(|line| Oid::from_hex(line.trim_ascii())).collect();
        Ok(Self { git, common, hash_len, shallow, partial })
    }

    /// All refs below `refs/`, by full name. Symbolic ones are resolved; what points nowhere is left out.
    pub fn refs(&self) -> BTreeMap<Vec<u8>, Oid> {
        let mut refs = BTreeMap::new();
        for line in std::fs::read(self.common.join("packed-refs")).unwrap_or_default().split(|byte| *byte == b'\n') {
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
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        for entry in entries.flatten() {
            let mut name = prefix.to_vec();
            name.push(b'/');
            name.extend_from_slice(entry.file_name().as_encoded_bytes());
            let path = entry.path();
            if path.is_dir() {
                if depth < REF_DEPTH_MAX {
                    self.loose_refs(&path, &name, depth + 1, refs, symbolic);
                }
                continue;
            }
            match std::fs::read(&path).ok().and_then(|bytes| self.parse(&bytes)) {
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
        let bytes = std::fs::read(self.git.join(text)).or_else(|_| std::fs::read(self.common.join(text))).ok()?;
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
        match std::fs::read(&path).ok().and_then(|bytes| self.parse(&bytes)) {
            Some(Ref::Oid(oid)) => Head::Detached(oid),
            Some(Ref::Symbolic(name)) => {
                let oid = refs.get(&name).copied();
                Head::Branch(name, oid)
            }
            None => Head::Unknown,
        }
    }
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
    fn read(path: &Path) -> Self {
        let mut config = Self::default();
        let text = String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
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
