//! Trees as lists of numbers. Each distinct entry (mode, name, object) has a number of its own, so that a tree costs
//! four bytes an entry and two trees are compared by comparing numbers; what a tree has in common with its delta base
//! is copied from there.
//!
//! Trees are there for one window of the history at a time; the numbers of names and paths hold for a whole run.

use crate::memory::Share;
use crate::objects::delta::Copied;
use crate::objects::forest::{Forest, Object, Worker};
use crate::objects::{Kind, ObjId, ObjectError, Odb, Oid};
use foldhash::fast::RandomState;
use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

/// Folders within folders: what git accepts.
const DEPTH_MAX: usize = 2048;
/// Each has its own lock; with as many as this, two threads hardly ever meet. A power of two.
const SHARDS: usize = 256;

type Map<K, V> = HashMap<K, V, RandomState>;

/// Number of a name within a folder.
pub(crate) type NameId = u32;
/// Number of a path.
pub(crate) type PathId = u32;
/// The root's number as a folder.
pub(crate) const ROOT: PathId = 0;

/// A file's mode and object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct File {
    pub mode: u32,
    pub id: ObjId,
}

impl File {
    /// The kind of file, without its permissions.
    pub fn kind(self) -> u32 {
        self.mode & 0o170_000
    }
    pub fn is_regular(self) -> bool {
        self.kind() == 0o100_000
    }
    /// A submodule: its object is a commit of another repository.
    pub fn is_submodule(self) -> bool {
        self.kind() == 0o160_000
    }
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    name: NameId,
    file: File,
}

impl Entry {
    fn is_folder(self) -> bool {
        self.file.kind() == 0o040_000
    }
}

/// A path that two trees have differently.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Change {
    pub path: PathId,
    pub old: Option<File>,
    pub new: Option<File>,
}

/// Why trees cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    #[error("a tree cannot be read")]
    Unreadable(#[from] ObjectError),
    #[error("tree {0} is no tree or is damaged")]
    Malformed(Oid),
    #[error("folders are nested deeper than {DEPTH_MAX}")]
    TooDeep,
    #[error("it was stopped")]
    Stopped,
    #[error("there are more or longer paths than {0} of usual length, which is all that fits into the memory granted")]
    TooManyPaths(usize),
}

/// Names of one folder entry each, numbered.
#[derive(Default)]
struct Names {
    numbers: Map<Arc<[u8]>, NameId>,
    list: Vec<Arc<[u8]>>,
}

impl Names {
    fn number(&mut self, name: &[u8], share: &Share) -> NameId {
        if let Some(number) = self.numbers.get(name) {
            return *number;
        }
        share.take(ENTRY_COST + name.len());
        let name: Arc<[u8]> = name.into();
        let number = self.list.len() as NameId;
        self.numbers.insert(Arc::clone(&name), number);
        self.list.push(name);
        number
    }
}

#[derive(Default)]
struct Shard {
    /// Entries by the hash of their bytes; two with one hash stand one behind the other.
    tokens: Map<u64, Vec<u32>>,
    entries: Vec<Entry>,
}

/// Numbers entries while trees are read by several threads.
struct Interner<'a> {
    odb: &'a Odb,
    hasher: RandomState,
    shards: Vec<Mutex<Shard>>,
    names: Mutex<Names>,
    share: &'a Share,
}

/// What a name costs that a thread has met, in bytes.
const NAME_COST: usize = 50;
/// What a distinct entry, or a distinct name, costs in memory, in bytes, tables included.
const ENTRY_COST: usize = 80;

impl Interner<'_> {
    fn name(&self, name: &[u8]) -> (NameId, Arc<[u8]>) {
        let mut names = self.names.lock().unwrap_or_else(PoisonError::into_inner);
        let number = names.number(name, self.share);
        (number, Arc::clone(&names.list[number as usize]))
    }

    fn token(&self, mode: u32, name: NameId, oid: &[u8], taken: &mut usize) -> u32 {
        let hash = self.hasher.hash_one((mode, name, oid));
        let at = (hash >> (64 - SHARDS.ilog2())) as usize;
        let mut shard = self.shards[at].lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tokens) = shard.tokens.get(&hash) {
            for &token in tokens {
                let entry = shard.entries[token as usize / SHARDS];
                let same = entry.file.mode == mode && entry.name == name;
                if same && self.odb.oid(entry.file.id).as_bytes() == oid {
                    return token;
                }
            }
        }
        let id = self.odb.id(&Oid::from_bytes(oid));
        *taken += ENTRY_COST;
        let token = (shard.entries.len() * SHARDS + at) as u32;
        shard.entries.push(Entry { name, file: File { mode, id } });
        shard.tokens.entry(hash).or_default().push(token);
        token
    }
}

/// A tree while its children in the delta tree are built.
struct Cut {
    tokens: Arc<[u32]>,
    /// Where each entry ends.
    ends: Vec<u32>,
    wanted: bool,
}

struct TreeWorker<'a> {
    interner: &'a Interner<'a>,
    /// Names that this thread has met: most are known after a few trees, and asking all threads for them is slow.
    names: Map<Arc<[u8]>, NameId>,
    hash_len: usize,
    /// Empty between trees, and used again.
    tokens: Vec<u32>,
    made: Vec<(ObjId, Arc<[u32]>)>,
    /// Entries of wanted trees, except for those that a wanted base has told already.
    fresh: Vec<u32>,
    error: Option<TreeError>,
    /// Bytes that were not yet taken from the share of memory.
    taken: usize,
}

impl TreeWorker<'_> {
    /// The entry that begins the bytes: its length, or None if it is malformed.
    fn entry(&mut self, bytes: &[u8]) -> Option<(u32, usize)> {
        let zero = memchr::memchr(0, bytes)?;
        let end = zero + 1 + self.hash_len;
        let oid = bytes.get(zero + 1..end)?;
        let space = memchr::memchr(b' ', &bytes[..zero])?;
        let mode = bytes[..space].iter().try_fold(0u32, |mode, digit| match digit {
            b'0'..=b'7' if mode < 1 << 24 => Some(mode * 8 + u32::from(digit - b'0')),
            _ => None,
        })?;
        let name = self.name(&bytes[space + 1..zero]);
        Some((self.interner.token(canonical(mode), name, oid, &mut self.taken), end))
    }

    fn name(&mut self, name: &[u8]) -> NameId {
        if let Some(number) = self.names.get(name) {
            return *number;
        }
        let (number, bytes) = self.interner.name(name);
        self.taken += NAME_COST;
        self.names.insert(bytes, number);
        number
    }
}

/// Modes as git sees them: of a regular file's permissions, only whether its owner may execute it.
fn canonical(mode: u32) -> u32 {
    match mode & 0o170_000 {
        0o100_000 => 0o100_644 | if mode & 0o100 != 0 { 0o111 } else { 0 },
        0o120_000 => 0o120_000,
        0o040_000 => 0o040_000,
        _ => 0o160_000,
    }
}

impl Worker for TreeWorker<'_> {
    type Made = Cut;

    fn cost(made: &Cut) -> usize {
        made.tokens.len() * 4 + made.ends.capacity() * 4
    }

    fn object(&mut self, object: Object<'_, Cut>) -> Cut {
        let bytes = object.bytes;
        let mut tokens = std::mem::take(&mut self.tokens);
        // As many as its base has, and some: most trees differ from theirs by little.
        let mut ends = Vec::with_capacity(object.base.map_or(0, |(base, _)| base.ends.len() + 4));
        let (base, copied) = object.base.map_or((None, &[][..]), |(base, copied)| (Some(base), copied));
        let mut pieces = copied.iter().peekable();
        let told = base.is_some_and(|base| base.wanted);
        let mut at = 0;
        while at < bytes.len() {
            while pieces.next_if(|piece| piece.to + piece.len <= at).is_some() {}
            if let (Some(piece), Some(base)) = (pieces.peek().filter(|piece| piece.to <= at), base) {
                let range = whole_units(&base.ends, piece, at);
                if !range.is_empty() {
                    let shift = at as i64 - i64::from(if range.start == 0 { 0 } else { base.ends[range.start - 1] });
                    tokens.extend_from_slice(&base.tokens[range.clone()]);
                    if object.wanted && !told {
                        self.fresh.extend_from_slice(&base.tokens[range.clone()]);
                    }
                    ends.extend(base.ends[range].iter().map(|end| (i64::from(*end) + shift) as u32));
                    at = ends.last().map_or(at, |end| *end as usize);
                    continue;
                }
            }
            let Some((token, len)) = self.entry(&bytes[at..]) else {
                if object.wanted {
                    self.error.get_or_insert(TreeError::Malformed(self.interner.odb.oid(object.id)));
                }
                break;
            };
            at += len;
            tokens.push(token);
            ends.push(at as u32);
            if object.wanted {
                self.fresh.push(token);
            }
        }
        self.tokens = tokens;
        let tokens: Arc<[u32]> = self.tokens.as_slice().into();
        self.tokens.clear();
        if object.wanted {
            if object.kind != Kind::Tree {
                self.error.get_or_insert(TreeError::Malformed(self.interner.odb.oid(object.id)));
            }
            self.taken += size_of_val(&*tokens) + TREE_COST;
            // Now and then: a number that all threads write is slow to write.
            if self.taken > TAKEN_AT_ONCE {
                self.interner.share.take(std::mem::take(&mut self.taken));
            }
            self.made.push((object.id, Arc::clone(&tokens)));
        }
        Cut { tokens, ends, wanted: object.wanted }
    }

    fn fault(&mut self, _: ObjId, error: ObjectError) {
        self.error.get_or_insert(error.into());
    }
}

/// Which units of a base, ended by `ends`, lie whole in a copied stretch from the place `at` of the result on. Empty
/// unless a unit begins there.
pub(crate) fn whole_units(ends: &[u32], piece: &Copied, at: usize) -> std::ops::Range<usize> {
    let from = (at - piece.to + piece.from) as u32;
    let first = ends.partition_point(|end| *end <= from);
    let begins = if first == 0 { from == 0 } else { ends[first - 1] == from };
    if !begins {
        return 0..0;
    }
    let limit = (piece.from + piece.len) as u32;
    first..first + ends[first..].partition_point(|end| *end <= limit)
}

/// So many trees are worth starting threads for; fewer are read in less time than those take.
const THREADS_FROM: usize = 1500;
/// Bytes that a thread takes of the share of memory at a time.
const TAKEN_AT_ONCE: usize = 16 << 10;

/// What a tree costs in memory besides its entries, in bytes, tables included.
const TREE_COST: usize = 80;

/// All trees of a window, and the names and paths of a run.
pub(crate) struct Trees {
    entries: Vec<Vec<Entry>>,
    names: Names,
    trees: Map<ObjId, Arc<[u32]>>,
    paths: Paths,
    nothing: Arc<[u32]>,
}

/// Paths by number; each is a name in a folder.
struct Paths {
    numbers: Map<(PathId, NameId), PathId>,
    list: Vec<(PathId, NameId)>,
    /// Bytes of each path written out.
    lens: Vec<u32>,
    /// How many there may be, and what is left of that: a long path counts as several.
    most: usize,
    left: usize,
}

/// Bytes of a path that counts as one; hardly any is longer.
const PATH_LEN: u32 = 160;

impl Paths {
    fn number(&mut self, folder: PathId, name: NameId, name_len: usize) -> Result<PathId, TreeError> {
        if let Some(number) = self.numbers.get(&(folder, name)) {
            return Ok(*number);
        }
        let len = self.lens[folder as usize].saturating_add(1).saturating_add(name_len as u32);
        let cost = 1 + (len / PATH_LEN) as usize;
        self.left = self.left.checked_sub(cost).ok_or(TreeError::TooManyPaths(self.most))?;
        let number = self.list.len() as PathId;
        self.list.push((folder, name));
        self.lens.push(len);
        self.numbers.insert((folder, name), number);
        Ok(number)
    }
}

impl Trees {
    /// No trees yet. At most `paths_max` paths will be told apart, fewer if they are long.
    pub fn new(paths_max: usize) -> Self {
        let mut names = Names::default();
        let empty = names.number(b"", &Share::endless());
        let most = paths_max.max(1);
        let paths = Paths { numbers: Map::default(), list: vec![(ROOT, empty)], lens: vec![0], most, left: most };
        Self { entries: vec![], names, trees: Map::default(), paths, nothing: Arc::new([]) }
    }

    /// Lets go of all trees; paths are kept.
    pub fn clear(&mut self) {
        self.entries = vec![];
        self.trees = Map::default();
    }

    /// Reads the trees of these commits and all trees below them, in the place of those that were there. If their share
    /// of memory doesn't suffice, it is full afterwards, and nothing is there.
    pub fn load(
        &mut self,
        odb: &Odb,
        forest: &mut Forest,
        roots: &[ObjId],
        (hash_len, threads): (usize, usize),
        share: &Share,
    ) -> Result<(), TreeError> {
        self.clear();
        let interner = Interner {
            odb,
            hasher: RandomState::default(),
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
            names: Mutex::new(std::mem::take(&mut self.names)),
            share,
        };
        let read = read_trees(&interner, forest, roots, hash_len, threads);
        self.names = interner.names.into_inner().unwrap_or_else(PoisonError::into_inner);
        self.trees = read?;
        if share.is_full() {
            self.clear();
            return Ok(());
        }
        let entries = |shard: Mutex<Shard>| shard.into_inner().unwrap_or_else(PoisonError::into_inner).entries;
        self.entries = interner.shards.into_iter().map(entries).collect();
        Ok(())
    }
}

/// Reads trees, level by level. Ends early when the share is full.
fn read_trees(
    interner: &Interner<'_>,
    forest: &mut Forest,
    roots: &[ObjId],
    hash_len: usize,
    threads: usize,
) -> Result<Map<ObjId, Arc<[u32]>>, TreeError> {
    let mut trees: Map<ObjId, Arc<[u32]>> = Map::default();
    let mut known: HashSet<ObjId, RandomState> = HashSet::default();
    let mut level: Vec<ObjId> = roots.iter().copied().filter(|id| known.insert(*id)).collect();
    let mut depth = 0;
    while !level.is_empty() && !interner.share.is_full() {
        depth += 1;
        if depth > DEPTH_MAX {
            return Err(TreeError::TooDeep);
        }
        let new = || TreeWorker {
            interner,
            names: Map::default(),
            hash_len,
            tokens: vec![],
            made: vec![],
            fresh: vec![],
            error: None,
            taken: 0,
        };
        let threads = if level.len() < THREADS_FROM { 1 } else { threads.max(1) };
        let mut workers: Vec<_> = (0..threads).map(|_| new()).collect();
        forest.walk(interner.odb, &level, &[interner.share], &mut workers);
        if forest.stopped() {
            return Err(TreeError::Stopped);
        }
        let mut fresh = vec![];
        trees.reserve(workers.iter().map(|worker| worker.made.len()).sum());
        for worker in workers {
            if let Some(error) = worker.error {
                return Err(error);
            }
            interner.share.take(worker.taken);
            trees.extend(worker.made);
            fresh.extend(worker.fresh);
        }
        level = vec![];
        for token in fresh {
            let shard = interner.shards[token as usize % SHARDS].lock().unwrap_or_else(PoisonError::into_inner);
            let entry = shard.entries[token as usize / SHARDS];
            if entry.is_folder() && known.insert(entry.file.id) {
                level.push(entry.file.id);
            }
        }
    }
    Ok(trees)
}

impl Trees {
    fn entry(&self, token: u32) -> Entry {
        self.entries[token as usize % SHARDS][token as usize / SHARDS]
    }

    fn tokens(&self, tree: ObjId) -> &Arc<[u32]> {
        self.trees.get(&tree).unwrap_or(&self.nothing)
    }

    /// Git's order of entries: by name, folders as if theirs ended with a slash.
    fn order(&self, a: Entry, b: Entry) -> Ordering {
        if a.name == b.name && a.is_folder() == b.is_folder() {
            return Ordering::Equal;
        }
        let (left, right) = (&*self.names.list[a.name as usize], &*self.names.list[b.name as usize]);
        let common = left.len().min(right.len());
        let end = |name: &[u8], entry: Entry| match name.get(common) {
            Some(byte) => u16::from(*byte) + 1,
            None if entry.is_folder() => u16::from(b'/') + 1,
            None => 0,
        };
        left[..common].cmp(&right[..common]).then_with(|| end(left, a).cmp(&end(right, b)))
    }

    /// What differs between two trees; a tree that isn't there has no files.
    pub fn diff(&mut self, old: Option<ObjId>, new: Option<ObjId>, out: &mut Vec<Change>) -> Result<(), TreeError> {
        self.diff_folder(old, new, ROOT, 0, out)
    }

    fn diff_folder(
        &mut self,
        old: Option<ObjId>,
        new: Option<ObjId>,
        folder: PathId,
        depth: usize,
        out: &mut Vec<Change>,
    ) -> Result<(), TreeError> {
        if old == new {
            return Ok(());
        }
        if depth > DEPTH_MAX {
            return Err(TreeError::TooDeep);
        }
        let get = |tree: Option<ObjId>| Arc::clone(tree.map_or(&self.nothing, |tree| self.tokens(tree)));
        let (a, b) = (get(old), get(new));
        let front = a.iter().zip(b.iter()).take_while(|(a, b)| a == b).count();
        let back = a[front..].iter().rev().zip(b[front..].iter().rev()).take_while(|(a, b)| a == b).count();
        let (mut a, mut b) = (&a[front..a.len() - back], &b[front..b.len() - back]);
        loop {
            let (left, right) = (a.first().map(|token| self.entry(*token)), b.first().map(|token| self.entry(*token)));
            let order = match (left, right) {
                (None, None) => return Ok(()),
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(left), Some(right)) => self.order(left, right),
            };
            let left = left.filter(|_| order.is_le());
            let right = right.filter(|_| order.is_ge());
            a = &a[usize::from(left.is_some())..];
            b = &b[usize::from(right.is_some())..];
            let Some(any) = right.or(left) else { continue };
            let (old, new) = (left.map(|entry| entry.file), right.map(|entry| entry.file));
            if old == new {
                continue;
            }
            let path = self.paths.number(folder, any.name, self.names.list[any.name as usize].len())?;
            if any.is_folder() {
                self.diff_folder(old.map(|file| file.id), new.map(|file| file.id), path, depth + 1, out)?;
            } else {
                out.push(Change { path, old, new });
            }
        }
    }

    /// The file that a tree has at a path.
    pub fn find(&self, tree: ObjId, path: PathId) -> Option<File> {
        let mut names = vec![];
        let mut at = path;
        while at != ROOT {
            let (folder, name) = self.paths.list[at as usize];
            names.push(name);
            at = folder;
        }
        let mut tree = tree;
        for (left, name) in names.into_iter().enumerate().rev() {
            let file = left == 0;
            let entry = self.tokens(tree).iter().map(|token| self.entry(*token)).filter(|entry| entry.name == name);
            // A folder and a file of one name would be damage; the path tells which is meant.
            let mut entry = entry.filter(|entry| file || entry.is_folder());
            let entry = entry.next()?;
            if !entry.is_folder() {
                return file.then_some(entry.file);
            }
            tree = entry.file.id;
        }
        None
    }

    /// A path as bytes, its parts joined by slashes.
    pub fn path(&self, path: PathId) -> Vec<u8> {
        let mut parts = vec![];
        let mut at = path;
        while at != ROOT {
            let (folder, name) = self.paths.list[at as usize];
            parts.push(&*self.names.list[name as usize]);
            at = folder;
        }
        parts.reverse();
        parts.join(&b'/')
    }

    /// Number of paths that are known; their numbers are smaller.
    pub fn path_count(&self) -> usize {
        self.paths.list.len()
    }

    /// The last part of a path.
    pub fn name(&self, path: PathId) -> NameId {
        self.paths.list[path as usize].1
    }

    /// The number of a path that is told as bytes.
    pub fn path_number(&mut self, path: &[u8]) -> Result<PathId, TreeError> {
        let mut at = ROOT;
        for part in path.split(|byte| *byte == b'/') {
            let name = self.names.number(part, &Share::endless());
            at = self.paths.number(at, name, part.len())?;
        }
        Ok(at)
    }
}
