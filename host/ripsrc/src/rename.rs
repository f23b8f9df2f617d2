//! Which new file was which old one: git's rules, to the letter, because who owns a moved file's lines depends on
//! them. The judge of similarity is how many bytes two files have in common, counted in lines of at most 64 bytes.
//!
//! There are two questions. `git log -M` matches all new files of a commit with all that vanished, each of which is
//! used once. `git blame` asks for one file alone, as if it were the only new one.

use crate::memory::Share;
use crate::objects::ObjId;
use crate::objects::forest::{Object, Worker};
use crate::objects::{Kind, ObjectError};
use crate::trees::{Change, File, NameId, PathId};
use std::cell::OnceCell;
use std::collections::HashMap;

/// What identical files score.
const SCORE_MAX: u64 = 60_000;
/// What two files must score to be one: a half.
const SCORE_MIN: u64 = SCORE_MAX / 2;
/// What is enough if the names are the same and nobody else has that name: three quarters.
const SCORE_SAME_NAME: u64 = SCORE_MIN + (SCORE_MAX - SCORE_MIN) / 2;
/// Of so many identical files one is picked; more are not looked at.
const IDENTICAL_MAX: usize = 100;
/// The best sources that are remembered for each new file.
const CANDIDATES: usize = 4;
/// Pieces of lines are told apart by numbers below this prime; it is git's, and so are its collisions.
const PIECE_HASHES: u32 = 107_927;
const PIECE_LEN: u32 = 64;
/// Files are compared roughly before they are compared: bytes by the remainder of their pieces' hashes.
const BUCKETS: usize = 32;

/// What of a file is compared.
pub(crate) struct Sketch {
    size: u64,
    /// Hash and bytes of each distinct piece, by hash.
    pieces: Box<[(u32, u32)]>,
    buckets: [u32; BUCKETS],
}

impl Sketch {
    pub fn new(bytes: &[u8]) -> Self {
        let text = !is_binary(bytes);
        let mut pieces: Vec<(u32, u32)> = vec![];
        let (mut a, mut b, mut len) = (0u32, 0u32, 0u32);
        let mut finish = |a: &mut u32, b: &mut u32, len: &mut u32| {
            pieces.push((a.wrapping_add(b.wrapping_mul(0x61)) % PIECE_HASHES, *len));
            (*a, *b, *len) = (0, 0, 0);
        };
        for (at, &byte) in bytes.iter().enumerate() {
            if text && byte == b'\r' && bytes.get(at + 1) == Some(&b'\n') {
                continue;
            }
            let before = a;
            a = (a << 7) ^ (b >> 25);
            b = (b << 7) ^ (before >> 25);
            a = a.wrapping_add(u32::from(byte));
            len += 1;
            if len == PIECE_LEN || byte == b'\n' {
                finish(&mut a, &mut b, &mut len);
            }
        }
        if len > 0 {
            finish(&mut a, &mut b, &mut len);
        }
        pieces.sort_unstable();
        pieces.dedup_by(|piece, before| {
            let same = piece.0 == before.0;
            if same {
                before.1 = before.1.saturating_add(piece.1);
            }
            same
        });
        let mut buckets = [0u32; BUCKETS];
        for (hash, len) in &pieces {
            buckets[*hash as usize % BUCKETS] += len;
        }
        Self { size: bytes.len() as u64, pieces: pieces.into(), buckets }
    }
}

/// Whether git takes bytes for no text: a zero among the first 8,000.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    memchr::memchr(0, &bytes[..bytes.len().min(8000)]).is_some()
}

/// Score of two files, zero if it is certain to be below `least`.
fn score(old: &Sketch, new: &Sketch, least: u64) -> u64 {
    let (large, small) = (old.size.max(new.size), old.size.min(new.size));
    if large * (SCORE_MAX - least) < (large - small) * SCORE_MAX || new.size == 0 {
        return 0;
    }
    let rough: u64 = old.buckets.iter().zip(&new.buckets).map(|(a, b)| u64::from(*a.min(b))).sum();
    if rough * SCORE_MAX / large < SCORE_MIN {
        return 0;
    }
    let (mut common, mut at) = (0u64, 0);
    for (hash, len) in &old.pieces {
        while at < new.pieces.len() && new.pieces[at].0 < *hash {
            at += 1;
        }
        if at < new.pieces.len() && new.pieces[at].0 == *hash {
            common += u64::from((*len).min(new.pieces[at].1));
        }
    }
    common * SCORE_MAX / large
}

/// Makes sketches of files.
pub(crate) struct SketchWorker<'a> {
    pub made: Vec<(ObjId, Sketch)>,
    pub share: &'a Share,
}

impl Worker for SketchWorker<'_> {
    type Made = ();
    fn cost((): &()) -> usize {
        0
    }
    fn object(&mut self, object: Object<'_, ()>) {
        if object.wanted && object.kind == Kind::Blob {
            let sketch = Sketch::new(object.bytes);
            self.share.take(sketch.pieces.len() * 8 + 256);
            self.made.push((object.id, sketch));
        }
    }
    /// Files that cannot be read are like no others; that they cannot be read is told when their lines are wanted.
    fn fault(&mut self, _: ObjId, _: ObjectError) {}
}

/// A file that came or went.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Side {
    pub path: PathId,
    pub name: NameId,
    pub file: File,
}

/// What came and what went between two trees, by path.
#[derive(Default, Debug)]
pub(crate) struct Sides {
    pub came: Vec<Side>,
    pub went: Vec<Side>,
    found: OnceCell<Found>,
}

/// Where things stand in the two lists, found once however many files are asked for.
#[derive(Default, Debug)]
struct Found {
    came_at: HashMap<PathId, usize>,
    /// Places in `went` by content.
    by_id: HashMap<ObjId, Vec<usize>>,
    /// Places in `went` by name; None if several have it.
    by_name: HashMap<NameId, Option<usize>>,
}

impl Sides {
    /// `order` gives a path's bytes, by which git orders what it compares.
    pub fn new(changes: &[Change], name: impl Fn(PathId) -> NameId, order: impl Fn(PathId) -> Vec<u8>) -> Self {
        let side = |path, file| Side { path, name: name(path), file };
        let mut sides = Self::default();
        for change in changes {
            match (change.old, change.new) {
                (None, Some(file)) => sides.came.push(side(change.path, file)),
                (Some(file), None) => sides.went.push(side(change.path, file)),
                _ => {}
            }
        }
        if sides.came.is_empty() || sides.went.is_empty() {
            return Self::default();
        }
        sides.came.sort_by_cached_key(|side| order(side.path));
        sides.went.sort_by_cached_key(|side| order(side.path));
        sides
    }

    pub fn is_empty(&self) -> bool {
        self.came.is_empty()
    }

    /// Files whose sketches are needed to answer either question.
    pub fn needed(&self) -> Vec<ObjId> {
        let exact = self.exact(&self.came, &mut vec![false; self.went.len()]);
        let open = |side: &Side, found: &Option<usize>| found.is_none() && side.file.is_regular();
        let mut needed: Vec<ObjId> = self
            .came
            .iter()
            .zip(&exact)
            .filter(|(side, found)| open(side, found))
            .map(|(side, _)| side.file.id)
            .collect();
        if !needed.is_empty() {
            needed.extend(self.went.iter().filter(|side| side.file.is_regular()).map(|side| side.file.id));
        }
        needed
    }

    /// Sources of identical content, for each of `came`.
    fn exact(&self, came: &[Side], used: &mut [bool]) -> Vec<Option<usize>> {
        let by_id = &self.found().by_id;
        came.iter().map(|side| pick_unused(by_id, &self.went, side, used)).collect()
    }

    fn found(&self) -> &Found {
        self.found.get_or_init(|| {
            let mut found = Found::default();
            for (at, side) in self.went.iter().enumerate() {
                found.by_id.entry(side.file.id).or_default().push(at);
                found.by_name.entry(side.name).and_modify(|known| *known = None).or_insert(Some(at));
            }
            found.came_at = self.came.iter().enumerate().map(|(at, side)| (side.path, at)).collect();
            found
        })
    }
}

fn pick_unused(by_id: &HashMap<ObjId, Vec<usize>>, went: &[Side], side: &Side, used: &mut [bool]) -> Option<usize> {
    let at = pick(by_id, went, side, |at| !used[at])?;
    used[at] = true;
    Some(at)
}

/// One of the identical files that went: the first of the same name, else the first.
fn pick(by_id: &HashMap<ObjId, Vec<usize>>, went: &[Side], side: &Side, free: impl Fn(usize) -> bool) -> Option<usize> {
    let mut best: Option<(bool, usize)> = None;
    for (looked, &at) in by_id.get(&side.file.id)?.iter().filter(|at| free(**at)).enumerate() {
        let source = &went[at];
        let regular = side.file.is_regular() && source.file.is_regular();
        if !regular && side.file.mode != source.file.mode {
            continue;
        }
        let same_name = source.name == side.name;
        if best.is_none_or(|(best, _)| same_name && !best) {
            best = Some((same_name, at));
        }
        if same_name || looked + 1 >= IDENTICAL_MAX {
            break;
        }
    }
    best.map(|(_, at)| at)
}

pub(crate) type Sketches = HashMap<ObjId, Sketch, foldhash::fast::RandomState>;

/// One of the best sources of a new file.
#[derive(Clone, Copy)]
struct Candidate {
    score: u64,
    same_name: bool,
    came: usize,
    went: usize,
}

impl Candidate {
    fn key(&self) -> (u64, bool) {
        (self.score, self.same_name)
    }
}

impl Sides {
    /// What `git log -M` finds: for each file that came, which of those that went it was. No more than
    /// `limit` × `limit` pairs are compared; beyond, only identical files and unique names are matched.
    pub fn all(&self, sketches: &Sketches, limit: usize) -> Vec<Option<usize>> {
        let mut used = vec![false; self.went.len()];
        let mut found = self.exact(&self.came, &mut used);
        self.by_name(&self.came, sketches, &mut used, &mut found);
        let open = found.iter().filter(|found| found.is_none()).count();
        let left: Vec<usize> = (0..used.len()).filter(|at| !used[*at]).collect();
        if open == 0 || left.is_empty() || open.saturating_mul(left.len()) > limit.saturating_mul(limit) {
            return found;
        }
        let mut candidates = vec![];
        for (at, side) in self.came.iter().enumerate().filter(|(at, _)| found[*at].is_none()) {
            candidates.extend(self.best(at, side, left.iter().copied(), sketches));
        }
        candidates.sort_by_key(|candidate| std::cmp::Reverse(candidate.key()));
        for candidate in candidates {
            if found[candidate.came].is_none() && !used[candidate.went] && candidate.score >= SCORE_MIN {
                used[candidate.went] = true;
                found[candidate.came] = Some(candidate.went);
            }
        }
        found
    }

    /// What `git blame` finds for one file that came.
    pub fn one(&self, path: PathId, sketches: &Sketches) -> Option<usize> {
        let known = self.found();
        let at = *known.came_at.get(&path)?;
        let side = &self.came[at];
        if let Some(exact) = pick(&known.by_id, &self.went, side, |_| true) {
            return Some(exact);
        }
        if let Some(Some(same_name)) = known.by_name.get(&side.name).copied()
            && self.score(&self.went[same_name], side, sketches, SCORE_SAME_NAME) >= SCORE_SAME_NAME
        {
            return Some(same_name);
        }
        let mut best = self.best(at, side, 0..self.went.len(), sketches);
        best.sort_by_key(|candidate| std::cmp::Reverse(candidate.key()));
        best.first().filter(|best| best.score >= SCORE_MIN).map(|best| best.went)
    }

    /// Matches files that alone have their name, on either side.
    fn by_name(&self, came: &[Side], sketches: &Sketches, used: &mut [bool], found: &mut [Option<usize>]) {
        let unique = |sides: &mut dyn Iterator<Item = (usize, &Side)>| {
            let mut names: HashMap<NameId, Option<usize>> = HashMap::new();
            for (at, side) in sides {
                names.entry(side.name).and_modify(|known| *known = None).or_insert(Some(at));
            }
            names
        };
        let sources = unique(&mut self.went.iter().enumerate().filter(|(at, _)| !used[*at]));
        let targets = unique(&mut came.iter().enumerate().filter(|(at, _)| found[*at].is_none()));
        for (name, source) in sources {
            let (Some(source), Some(Some(target))) = (source, targets.get(&name).copied()) else { continue };
            if self.score(&self.went[source], &came[target], sketches, SCORE_SAME_NAME) >= SCORE_SAME_NAME {
                used[source] = true;
                found[target] = Some(source);
            }
        }
    }

    fn score(&self, old: &Side, new: &Side, sketches: &Sketches, least: u64) -> u64 {
        if !old.file.is_regular() || !new.file.is_regular() {
            return 0;
        }
        match (sketches.get(&old.file.id), sketches.get(&new.file.id)) {
            (Some(old), Some(new)) => score(old, new, least),
            _ => 0,
        }
    }

    /// The best sources of a file, in the order in which they were found.
    fn best(&self, at: usize, side: &Side, left: impl Iterator<Item = usize>, sketches: &Sketches) -> Vec<Candidate> {
        let mut best: Vec<Candidate> = Vec::with_capacity(CANDIDATES);
        for went in left {
            let source = &self.went[went];
            let score = self.score(source, side, sketches, SCORE_MIN);
            let candidate = Candidate { score, same_name: source.name == side.name, came: at, went };
            if best.len() < CANDIDATES {
                best.push(candidate);
                continue;
            }
            // The first of the worst gives way.
            let mut worst = 0;
            for other in 1..CANDIDATES {
                if best[other].key() < best[worst].key() {
                    worst = other;
                }
            }
            if candidate.key() > best[worst].key() {
                best[worst] = candidate;
            }
        }
        best
    }
}
