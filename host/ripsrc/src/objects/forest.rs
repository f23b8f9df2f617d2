//! Many objects at once, each inflated once and each delta applied once: packs are walked along their delta trees,
//! from whole objects to those that are told as differences from them. What is made of an object is up to a `Worker`,
//! who also sees which stretches came from the object's base.
//!
//! Memory: a base is let go as soon as its last child has been built, and the largest subtree is walked last, so a
//! thread holds a number of objects that grows with the logarithm of a tree's size. Where even these are more than their
//! share, their children are built alone, from the whole object on; and of large objects one is built at a time.

use super::delta::{self, Copied};
use super::pack::Base;
use super::{Inflater, Kind, ObjId, ObjectError, Odb};
use crate::memory::{Memory, Share};
use crate::watch::Watch;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

/// Base of an object that is whole.
const WHOLE: u32 = u32::MAX;
/// The base is outside of the pack, or the header is damaged: the object is read alone, which tells what is wrong.
const ALONE: u32 = u32::MAX - 1;
/// Below this share of a pack's objects, reading each alone is cheaper than reading all headers.
const ALONE_SHARE: usize = 64;
/// Bytes that a thread builds before it takes them from what the run may build: all threads write this number.
const SPENT_EVERY: u64 = 1 << 20;
/// Smaller objects are kept without asking: there are not many of them at a time.
const COUNTED_BYTES_MIN: usize = 16 << 10;
/// Objects after which a thread tells how far it is.
const TOLD_EVERY: usize = 64;
/// Objects of a pack after which a scan asks whether it is to end.
const ASKED_EVERY: usize = 1024;
/// Trees that a thread begins at a time, so that threads seldom meet.
const ROOTS_AT_ONCE: usize = 8;
/// A thread gives others what it has to do if that is worth waking them: this many objects, or one built on so many bytes.
const WORTH_GIVING: u32 = 16;
const WORTH_GIVING_BYTES: usize = 64 << 10;
/// Buffers that a thread keeps for reuse, and bytes of each; larger ones are given back.
const SPARE_BUFFERS_MAX: usize = 8;
const SPARE_BYTES_MAX: usize = 1 << 20;

/// An object as a worker sees it.
pub(crate) struct Object<'a, D> {
    pub id: ObjId,
    pub kind: Kind,
    pub bytes: &'a [u8],
    /// What was made of its base, and what the two have in common.
    pub base: Option<(&'a D, &'a [Copied])>,
    /// False for those that are only bases of others.
    pub wanted: bool,
}

/// Makes something of objects; one for each thread.
pub(crate) trait Worker: Send {
    /// What is made of an object and kept while its children are built.
    type Made: Send + Sync;
    /// Bytes of memory of what was made, roughly.
    fn cost(made: &Self::Made) -> usize;
    fn object(&mut self, object: Object<'_, Self::Made>) -> Self::Made;
    /// A wanted object that cannot be read.
    fn fault(&mut self, id: ObjId, error: ObjectError);
}

/// The delta trees of all packs, found once and kept.
pub(crate) struct Forest {
    /// For each pack, the base of each object as a position of the pack's index.
    bases: HashMap<usize, Vec<u32>>,
    watch: Watch,
    memory: Memory,
}

struct Node {
    id: ObjId,
    wanted: bool,
    /// Whole or alone; of those below, this isn't asked.
    alone: bool,
    /// Children are `children[first..][..count]`.
    first: u32,
    count: u32,
    /// Objects of its subtree, itself included.
    weight: u32,
}

/// One walk's part of the forest: only what is wanted, and what that is built on.
#[derive(Default)]
struct Plan {
    nodes: Vec<Node>,
    children: Vec<u32>,
    roots: Vec<u32>,
}

struct Built<D> {
    bytes: Vec<u8>,
    made: D,
    kind: Kind,
}

struct Task<D> {
    node: u32,
    base: Option<Arc<Built<D>>>,
    /// There was no room to keep its base.
    alone: bool,
}

struct Queue<D> {
    next_root: usize,
    given: Vec<Task<D>>,
    working: usize,
}

/// What keeping an object costs, in bytes; zero if that is so little that nobody counts it.
fn cost<W: Worker>(bytes: &Vec<u8>, made: &W::Made) -> usize {
    let cost = bytes.capacity() + W::cost(made);
    if cost < COUNTED_BYTES_MIN { 0 } else { cost }
}

struct Shared<D> {
    queue: Mutex<Queue<D>>,
    changed: Condvar,
    waiting: AtomicUsize,
    /// What is kept for children to be built on.
    bases: Share,
    /// Held while a large object is worked on.
    large: Mutex<()>,
}

impl Forest {
    /// Counts the objects that are read, and ends a walk early when it is asked to; what was made by then is not all.
    pub fn watched(watch: &Watch, memory: Memory) -> Self {
        Self { bases: HashMap::new(), watch: watch.clone(), memory }
    }

    /// Whether a walk may have ended early because it was asked to.
    pub fn stopped(&self) -> bool {
        self.watch.stopped()
    }

    pub fn memory(&self) -> Memory {
        self.memory
    }

    /// Reads the wanted objects and gives them to the workers, one thread each. They come in no particular order, but
    /// trees are begun in the order in which their objects are first named in `wanted`. Ends early when one of the
    /// workers' shares of memory is full.
    pub fn walk<W: Worker>(&mut self, odb: &Odb, wanted: &[ObjId], shares: &[&Share], workers: &mut [W]) {
        let plan = self.plan(odb, wanted);
        self.watch.expect_objects(plan.nodes.len());
        for id in plan.lost() {
            if let Some(worker) = workers.first_mut() {
                let what = "its deltas go round in a circle".to_owned();
                worker.fault(id, ObjectError::Damaged { oid: odb.oid(id), what });
            }
        }
        let shared: Shared<W::Made> = Shared {
            queue: Mutex::new(Queue { next_root: 0, given: vec![], working: 0 }),
            changed: Condvar::new(),
            waiting: AtomicUsize::new(0),
            bases: Share::new(self.memory.bases()),
            large: Mutex::new(()),
        };
        let round = Round { odb, plan: &plan, watch: &self.watch, memory: self.memory, shares };
        let Some((here, others)) = workers.split_first_mut() else { return };
        std::thread::scope(|scope| {
            for worker in others {
                let shared = &shared;
                scope.spawn(move || Walker::new(round, shared, worker).run());
            }
            Walker::new(round, &shared, here).run();
        });
    }

    /// The base of every object of a pack.
    fn bases(&mut self, odb: &Odb, pack: usize) -> &[u32] {
        if !self.bases.contains_key(&pack) {
            self.scan(odb, pack, &|| false);
        }
        self.bases.get(&pack).map_or(&[], Vec::as_slice)
    }

    /// Finds the base of every object of a pack, and gives the positions of the commits that are whole, as they lie in it.
    /// None if it was to end before, and then nothing is known.
    pub fn scan(&mut self, odb: &Odb, pack: usize, ended: &dyn Fn() -> bool) -> Option<Vec<u32>> {
        let (key, pack) = (pack, &odb.packs()[pack]);
        let mut by_offset: Vec<(u64, u32)> = (0..pack.count() as u32)
            .filter_map(|position| Some((pack.offset(position as usize).ok()?, position)))
            .collect();
        by_offset.sort_unstable();
        let mut bases = vec![ALONE; pack.count()];
        let mut commits = vec![];
        let mut released = 0;
        for (at, &(offset, position)) in by_offset.iter().enumerate() {
            if at % ASKED_EVERY == 0 && ended() {
                return None;
            }
            // Every page of the pack is touched.
            if offset > released + self.memory.release_bytes() {
                pack.release();
                released = offset;
            }
            let Ok(entry) = pack.entry(offset) else { continue };
            if let Base::Whole(Kind::Commit) = entry.base {
                commits.push(position);
            }
            bases[position as usize] = match entry.base {
                Base::Whole(_) => WHOLE,
                Base::Offset(base) => match by_offset.binary_search_by_key(&base, |(offset, _)| *offset) {
                    Ok(at) => by_offset[at].1,
                    Err(_) => ALONE,
                },
                Base::Name(name) => pack.find(&name).map_or(ALONE, |position| position as u32),
            };
        }
        pack.release();
        self.bases.insert(key, bases);
        Some(commits)
    }

    fn plan(&mut self, odb: &Odb, wanted: &[ObjId]) -> Plan {
        let mut plan = Plan::default();
        let mut per_pack = vec![0usize; odb.packs().len()];
        for (pack, _) in wanted.iter().filter_map(|id| odb.place(*id)) {
            per_pack[pack] += 1;
        }
        let many: Vec<bool> =
            odb.packs().iter().zip(&per_pack).map(|(pack, n)| *n * ALONE_SHARE > pack.count() && *n > 1).collect();
        // Node of each position, in packs that are walked.
        let mut node_of: Vec<Vec<u32>> = odb
            .packs()
            .iter()
            .zip(&many)
            .map(|(pack, many)| vec![u32::MAX; if *many { pack.count() } else { 0 }])
            .collect();
        let mut base_of: Vec<u32> = vec![];
        let mut alone: HashMap<ObjId, ()> = HashMap::new();
        for &id in wanted {
            let Some((pack, position)) = odb.place(id).filter(|(pack, _)| many[*pack]) else {
                if alone.insert(id, ()).is_none() {
                    plan.nodes.push(Node { id, wanted: true, alone: true, first: 0, count: 0, weight: 1 });
                    base_of.push(WHOLE);
                }
                continue;
            };
            let first = odb.first_of(pack);
            let bases = self.bases(odb, pack);
            let (mut at, mut child) = (position as u32, u32::MAX);
            loop {
                let known = node_of[pack][at as usize];
                let node = if known == u32::MAX { plan.nodes.len() as u32 } else { known };
                if child != u32::MAX {
                    base_of[child as usize] = node;
                }
                if known != u32::MAX {
                    break;
                }
                node_of[pack][at as usize] = node;
                let base = bases[at as usize];
                plan.nodes.push(Node {
                    id: first + at,
                    wanted: false,
                    alone: base == ALONE,
                    first: 0,
                    count: 0,
                    weight: 1,
                });
                base_of.push(WHOLE);
                if base == WHOLE || base == ALONE {
                    break;
                }
                child = node;
                at = base;
            }
            plan.nodes[node_of[pack][position] as usize].wanted = true;
        }
        plan.link(&base_of);
        plan
    }
}

impl Plan {
    /// Makes lists of children of the list of bases, heaviest child first: it is built last.
    fn link(&mut self, base_of: &[u32]) {
        for &base in base_of.iter().filter(|base| **base != WHOLE) {
            self.nodes[base as usize].count += 1;
        }
        let mut at = 0;
        for node in &mut self.nodes {
            node.first = at;
            at += node.count;
            node.count = 0;
        }
        self.children = vec![0; at as usize];
        for (node, &base) in base_of.iter().enumerate() {
            if base == WHOLE {
                self.roots.push(node as u32);
            } else {
                let base = &mut self.nodes[base as usize];
                self.children[(base.first + base.count) as usize] = node as u32;
                base.count += 1;
            }
        }
        let mut order = self.roots.clone();
        let mut next = 0;
        while next < order.len() {
            let node = &self.nodes[order[next] as usize];
            order.extend_from_slice(&self.children[node.first as usize..][..node.count as usize]);
            next += 1;
        }
        for &node in order.iter().rev() {
            let (first, count) = (self.nodes[node as usize].first as usize, self.nodes[node as usize].count as usize);
            let children = &mut self.children[first..][..count];
            children.sort_by_key(|child| std::cmp::Reverse(self.nodes[*child as usize].weight));
            let weight: u32 = children.iter().map(|child| self.nodes[*child as usize].weight).sum();
            self.nodes[node as usize].weight += weight;
        }
    }

    /// What is wanted and cannot be reached from any whole object.
    fn lost(&self) -> Vec<ObjId> {
        let mut reached = vec![false; self.nodes.len()];
        let mut open = self.roots.clone();
        let mut count = 0;
        while let Some(node) = open.pop() {
            reached[node as usize] = true;
            count += 1;
            let node = &self.nodes[node as usize];
            open.extend_from_slice(&self.children[node.first as usize..][..node.count as usize]);
        }
        if count == self.nodes.len() {
            return vec![];
        }
        let lost = self.nodes.iter().zip(&reached).filter(|(node, reached)| node.wanted && !**reached);
        lost.map(|(node, _)| node.id).collect()
    }
}

/// What all threads of a walk look at.
#[derive(Clone, Copy)]
struct Round<'a> {
    odb: &'a Odb,
    plan: &'a Plan,
    watch: &'a Watch,
    memory: Memory,
    shares: &'a [&'a Share],
}

impl Round<'_> {
    fn ended(&self) -> bool {
        self.watch.stopped() || self.shares.iter().any(|share| share.is_full())
    }
}

struct Walker<'a, W: Worker> {
    round: Round<'a>,
    shared: &'a Shared<W::Made>,
    worker: &'a mut W,
    inflater: Inflater,
    delta: Vec<u8>,
    copied: Vec<Copied>,
    spare: Vec<Vec<u8>>,
    stack: Vec<Task<W::Made>>,
    /// Counted in the queue's `working`.
    busy: bool,
    /// Bytes of objects that were built and not yet taken from what the run may build.
    spent: u64,
    /// Bytes of packs touched since pages were let go, roughly.
    read: u64,
}

impl<'a, W: Worker> Walker<'a, W> {
    fn new(round: Round<'a>, shared: &'a Shared<W::Made>, worker: &'a mut W) -> Self {
        Self {
            round,
            shared,
            worker,
            inflater: Inflater::new(),
            delta: vec![],
            copied: vec![],
            spare: vec![],
            stack: vec![],
            busy: false,
            spent: 0,
            read: 0,
        }
    }

    fn run(&mut self) {
        let mut built = 0;
        while let Some(task) = self.next() {
            self.build(task);
            built += 1;
            // Told now and then: a number that all threads write is slow to write.
            if built == TOLD_EVERY {
                self.round.watch.objects(std::mem::take(&mut built));
            }
            let half = self.stack.len() / 2;
            if half > 0 && self.shared.waiting.load(Ordering::Relaxed) > 0 && self.is_worth_giving(half) {
                let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
                queue.given.extend(self.stack.drain(..half));
                self.shared.changed.notify_all();
            }
        }
        self.round.watch.objects(built);
    }

    /// Whether the oldest so many of its tasks are worth waking another thread.
    fn is_worth_giving(&self, count: usize) -> bool {
        let weight = |task: &Task<W::Made>| self.round.plan.nodes[task.node as usize].weight;
        let large = |task: &Task<W::Made>| task.base.as_ref().is_some_and(|base| base.bytes.len() > WORTH_GIVING_BYTES);
        let tasks = &self.stack[..count];
        tasks.iter().map(weight).sum::<u32>() >= WORTH_GIVING || tasks.iter().any(large)
    }

    /// The next task: own, given by another thread, or the next tree. None when all is done, or the walk is to end.
    fn next(&mut self) -> Option<Task<W::Made>> {
        let ended = self.round.ended();
        if let Some(task) = self.stack.pop().filter(|_| !ended) {
            return Some(task);
        }
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.working -= usize::from(std::mem::take(&mut self.busy));
        loop {
            if ended || self.round.ended() {
                // Who waits is woken, and sees it too.
                self.shared.changed.notify_all();
                return None;
            }
            let mut task = queue.given.pop();
            if task.is_none() {
                let roots = &self.round.plan.roots[queue.next_root..];
                let roots = &roots[..roots.len().min(ROOTS_AT_ONCE)];
                queue.next_root += roots.len();
                self.stack.extend(roots.iter().rev().map(|root| Task { node: *root, base: None, alone: false }));
                task = self.stack.pop();
            }
            if task.is_some() {
                queue.working += 1;
                self.busy = true;
                return task;
            }
            if queue.working == 0 {
                self.shared.changed.notify_all();
                return None;
            }
            self.shared.waiting.fetch_add(1, Ordering::Relaxed);
            queue = self.shared.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
            self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

impl<'a, W: Worker> Walker<'a, W> {
    fn build(&mut self, task: Task<W::Made>) {
        let plan = self.round.plan;
        let node = &plan.nodes[task.node as usize];
        let children = &plan.children[node.first as usize..][..node.count as usize];
        let mut bytes = self.spare.pop().unwrap_or_default();
        let (kind, _large) = match self.decode(node, &task, &mut bytes) {
            Ok(decoded) => decoded,
            Err(error) => {
                self.lose(task.node, &error);
                return;
            }
        };
        let object = Object {
            id: node.id,
            kind,
            bytes: &bytes,
            base: task.base.as_ref().map(|base| (&base.made, self.copied.as_slice())),
            wanted: node.wanted,
        };
        let made = self.worker.object(object);
        if let Some(base) = task.base.and_then(Arc::into_inner) {
            self.shared.bases.give_back(cost::<W>(&base.bytes, &base.made));
            self.keep(base.bytes);
        }
        if children.is_empty() {
            self.keep(bytes);
            return;
        }
        let cost = cost::<W>(&bytes, &made);
        let alone = cost > 0 && !self.shared.bases.try_take(cost);
        let base = (!alone).then(|| Arc::new(Built { bytes, made, kind }));
        self.stack.extend(children.iter().map(|child| Task { node: *child, base: base.clone(), alone }));
    }

    fn keep(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS_MAX && buffer.capacity() <= SPARE_BYTES_MAX {
            self.spare.push(buffer);
        }
    }

    /// Takes an object's bytes from what the run may build.
    fn spend(&mut self, node: &Node, size: u64) -> Result<(), ObjectError> {
        self.spent += size;
        if self.spent < SPENT_EVERY { Ok(()) } else { self.round.odb.spend(node.id, std::mem::take(&mut self.spent)) }
    }

    /// Waits until no other thread works on a large object, if this one is.
    fn large(&self, size: u64) -> Option<MutexGuard<'a, ()>> {
        let lock = || self.shared.large.lock().unwrap_or_else(PoisonError::into_inner);
        (size > self.round.memory.large_bytes()).then(lock)
    }

    /// Builds an object's bytes. Who works on a large one holds a lock.
    fn decode(
        &mut self,
        node: &Node,
        task: &Task<W::Made>,
        bytes: &mut Vec<u8>,
    ) -> Result<(Kind, Option<MutexGuard<'a, ()>>), ObjectError> {
        let odb = self.round.odb;
        let most = self.round.memory.object_bytes();
        let place = if node.alone || task.alone { None } else { odb.place(node.id) };
        let Some((pack, position)) = place else {
            // Only what is built on a large object comes here often, and most others are small: the size isn't known before.
            let large = self.large(if task.alone { u64::MAX } else { 0 });
            let (kind, read) = odb.read_up_to(node.id, &mut self.inflater, most)?;
            *bytes = read;
            return Ok((kind, large));
        };
        let damaged = |what: &str| ObjectError::Damaged { oid: odb.oid(node.id), what: what.to_owned() };
        let too_large = |size: u64| ObjectError::TooLarge { oid: odb.oid(node.id), size, most };
        let pack = &odb.packs()[pack];
        let entry = pack.entry(pack.offset(position)?)?;
        // Compressed, an object takes about a third; and at least a page is touched.
        self.read += (entry.size / 3).max(4096);
        if self.read > self.round.memory.release_bytes() {
            self.read = 0;
            pack.release();
        }
        if entry.size > most {
            return Err(too_large(entry.size));
        }
        let base_size = task.base.as_ref().map_or(0, |base| base.bytes.len() as u64);
        let mut large = self.large(entry.size.max(base_size));
        match (entry.base, &task.base) {
            (Base::Whole(kind), _) => {
                self.spend(node, entry.size)?;
                self.inflater.inflate(pack.from(entry.data_at), entry.size, bytes).map_err(damaged)?;
                Ok((kind, large))
            }
            (_, Some(base)) => {
                self.inflater.inflate(pack.from(entry.data_at), entry.size, &mut self.delta).map_err(damaged)?;
                let size = delta::result_size(&self.delta).map_err(damaged)?;
                if size > most {
                    return Err(too_large(size));
                }
                large = large.or_else(|| self.large(size));
                self.spend(node, size)?;
                delta::apply(&base.bytes, &self.delta, size, bytes, &mut self.copied).map_err(damaged)?;
                if self.delta.capacity() > SPARE_BYTES_MAX {
                    self.delta = vec![];
                }
                Ok((base.kind, large))
            }
            (_, None) => Err(damaged("its base has vanished")),
        }
    }

    /// Tells of everything wanted that cannot be built because one object could not.
    fn lose(&mut self, node: u32, error: &ObjectError) {
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            let node = &self.round.plan.nodes[node as usize];
            open.extend_from_slice(&self.round.plan.children[node.first as usize..][..node.count as usize]);
            if node.wanted {
                self.worker.fault(node.id, error.clone());
            }
        }
    }
}
