//! Many objects at once, each inflated once and each delta applied once: packs are walked along their delta trees,
//! from whole objects to those that are told as differences from them. What is made of an object is up to a `Worker`,
//! who also sees which stretches came from the object's base.
//!
//! Memory: a base is let go as soon as its last child has been built, and the largest subtree is walked last, so a
//! thread holds a number of objects that grows with the logarithm of a tree's size.

use super::delta::{self, Copied};
use super::pack::Base;
use super::{Inflater, Kind, OBJECT_BYTES_MAX, ObjId, ObjectError, Odb};
use crate::watch::Watch;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};

/// Base of an object that is whole.
const WHOLE: u32 = u32::MAX;
/// The base is outside of the pack, or the header is damaged: the object is read alone, which tells what is wrong.
const ALONE: u32 = u32::MAX - 1;
/// Below this share of a pack's objects, reading each alone is cheaper than reading all headers.
const ALONE_SHARE: usize = 64;
/// After so many compressed bytes a thread lets the packs' pages go: a small part of the memory that a run may use.
const RELEASE_BYTES: u64 = 48 << 20;
/// Buffers that a thread keeps for reuse.
const SPARE_BUFFERS_MAX: usize = 8;

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
    fn object(&mut self, object: Object<'_, Self::Made>) -> Self::Made;
    /// A wanted object that cannot be read.
    fn fault(&mut self, id: ObjId, error: ObjectError);
}

/// The delta trees of all packs, found once and kept.
#[derive(Default)]
pub(crate) struct Forest {
    /// For each pack, the base of each object as a position of the pack's index.
    bases: HashMap<usize, Vec<u32>>,
    watch: Watch,
}

struct Node {
    id: ObjId,
    wanted: bool,
    /// Whole or alone; of those below, this isn't asked.
    alone: bool,
    /// Children are `children[first..][..count]`.
    first: u32,
    count: u32,
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
}

struct Queue<D> {
    next_root: usize,
    given: Vec<Task<D>>,
    working: usize,
}

struct Shared<D> {
    queue: Mutex<Queue<D>>,
    changed: Condvar,
    waiting: AtomicUsize,
}

impl Forest {
    /// Counts the objects that are read, and ends a walk early when it is asked to; what was made by then is not all.
    pub fn watched(watch: &Watch) -> Self {
        Self { watch: watch.clone(), ..Self::default() }
    }

    /// Whether a walk may have ended early.
    pub fn stopped(&self) -> bool {
        self.watch.stopped()
    }

    /// Reads the wanted objects and gives them to the workers, one thread each. They come in no particular order, but
    /// trees are begun in the order in which their objects are first named in `wanted`.
    pub fn walk<W: Worker>(&mut self, odb: &Odb, wanted: &[ObjId], workers: &mut [W]) {
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
        };
        if let [only] = workers {
            Walker::new(odb, &plan, &shared, only, &self.watch).run();
            return;
        }
        std::thread::scope(|scope| {
            for worker in workers {
                let (plan, shared, watch) = (&plan, &shared, &self.watch);
                scope.spawn(move || Walker::new(odb, plan, shared, worker, watch).run());
            }
        });
    }

    /// The base of every object of a pack.
    fn bases(&mut self, odb: &Odb, pack: usize) -> &[u32] {
        self.bases.entry(pack).or_insert_with(|| {
            let pack = &odb.packs()[pack];
            let mut by_offset: Vec<(u64, u32)> = (0..pack.count() as u32)
                .filter_map(|position| Some((pack.offset(position as usize).ok()?, position)))
                .collect();
            by_offset.sort_unstable();
            let mut bases = vec![ALONE; pack.count()];
            for &(offset, position) in &by_offset {
                let Ok(entry) = pack.entry(offset) else { continue };
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
            bases
        })
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
                    plan.nodes.push(Node { id, wanted: true, alone: true, first: 0, count: 0 });
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
                plan.nodes.push(Node { id: first + at, wanted: false, alone: base == ALONE, first: 0, count: 0 });
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
        let mut weight = vec![1u32; self.nodes.len()];
        for &node in order.iter().rev() {
            let (first, count) = (self.nodes[node as usize].first as usize, self.nodes[node as usize].count as usize);
            let children = &mut self.children[first..][..count];
            children.sort_by_key(|child| std::cmp::Reverse(weight[*child as usize]));
            weight[node as usize] += children.iter().map(|child| weight[*child as usize]).sum::<u32>();
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

struct Walker<'a, W: Worker> {
    odb: &'a Odb,
    plan: &'a Plan,
    shared: &'a Shared<W::Made>,
    worker: &'a mut W,
    watch: &'a Watch,
    inflater: Inflater,
    delta: Vec<u8>,
    copied: Vec<Copied>,
    spare: Vec<Vec<u8>>,
    stack: Vec<Task<W::Made>>,
    /// Counted in the queue's `working`.
    busy: bool,
    /// Bytes of packs touched since pages were let go, roughly.
    read: u64,
}

impl<'a, W: Worker> Walker<'a, W> {
    fn new(odb: &'a Odb, plan: &'a Plan, shared: &'a Shared<W::Made>, worker: &'a mut W, watch: &'a Watch) -> Self {
        Self {
            odb,
            plan,
            shared,
            worker,
            watch,
            inflater: Inflater::new(),
            delta: vec![],
            copied: vec![],
            spare: vec![],
            stack: vec![],
            busy: false,
            read: 0,
        }
    }

    fn run(&mut self) {
        while let Some(task) = self.next() {
            self.build(task);
            self.watch.object();
            if self.stack.len() > 1 && self.shared.waiting.load(Ordering::Relaxed) > 0 {
                let half = self.stack.len() / 2;
                let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
                queue.given.extend(self.stack.drain(..half));
                self.shared.changed.notify_all();
            }
        }
    }

    /// The next task: own, given by another thread, or the next tree. None when all is done, or stopped.
    fn next(&mut self) -> Option<Task<W::Made>> {
        let stopped = self.watch.stopped();
        if let Some(task) = self.stack.pop().filter(|_| !stopped) {
            return Some(task);
        }
        let mut queue = self.shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.working -= usize::from(std::mem::take(&mut self.busy));
        loop {
            if stopped || self.watch.stopped() {
                // Who waits is woken, and sees it too.
                self.shared.changed.notify_all();
                return None;
            }
            let root = self.plan.roots.get(queue.next_root);
            let task = queue.given.pop().or_else(|| {
                queue.next_root += usize::from(root.is_some());
                root.map(|root| Task { node: *root, base: None })
            });
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

impl<W: Worker> Walker<'_, W> {
    fn build(&mut self, task: Task<W::Made>) {
        let node = &self.plan.nodes[task.node as usize];
        let children = &self.plan.children[node.first as usize..][..node.count as usize];
        let mut bytes = self.spare.pop().unwrap_or_default();
        let kind = match self.decode(node, task.base.as_deref(), &mut bytes) {
            Ok(kind) => kind,
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
            self.keep(base.bytes);
        }
        if children.is_empty() {
            self.keep(bytes);
            return;
        }
        let built = Arc::new(Built { bytes, made, kind });
        self.stack.extend(children.iter().map(|child| Task { node: *child, base: Some(Arc::clone(&built)) }));
    }

    fn keep(&mut self, buffer: Vec<u8>) {
        if self.spare.len() < SPARE_BUFFERS_MAX {
            self.spare.push(buffer);
        }
    }

    fn decode(&mut self, node: &Node, base: Option<&Built<W::Made>>, bytes: &mut Vec<u8>) -> Result<Kind, ObjectError> {
        let place = if node.alone { None } else { self.odb.place(node.id) };
        let Some((pack, position)) = place else {
            let (kind, read) = self.odb.read(node.id, &mut self.inflater)?;
            *bytes = read;
            return Ok(kind);
        };
        let damaged = |what: &str| ObjectError::Damaged { oid: self.odb.oid(node.id), what: what.to_owned() };
        let pack = &self.odb.packs()[pack];
        let entry = pack.entry(pack.offset(position)?)?;
        // Compressed, an object takes about a third; and at least a page is touched.
        self.read += (entry.size / 3).max(4096);
        if self.read > RELEASE_BYTES {
            self.read = 0;
            pack.release();
        }
        if entry.size > OBJECT_BYTES_MAX {
            return Err(ObjectError::TooLarge { oid: self.odb.oid(node.id), size: entry.size });
        }
        match (entry.base, base) {
            (Base::Whole(kind), _) => {
                self.odb.spend(node.id, entry.size)?;
                self.inflater.inflate(pack.from(entry.data_at), entry.size, bytes).map_err(damaged)?;
                Ok(kind)
            }
            (_, Some(base)) => {
                self.inflater.inflate(pack.from(entry.data_at), entry.size, &mut self.delta).map_err(damaged)?;
                self.odb.spend(node.id, delta::result_size(&self.delta).map_err(damaged)?)?;
                delta::apply(&base.bytes, &self.delta, OBJECT_BYTES_MAX, bytes, &mut self.copied).map_err(damaged)?;
                Ok(base.kind)
            }
            (_, None) => Err(damaged("its base has vanished")),
        }
    }

    /// Tells of everything wanted that cannot be built because one object could not.
    fn lose(&mut self, node: u32, error: &ObjectError) {
        let mut open = vec![node];
        while let Some(node) = open.pop() {
            let node = &self.plan.nodes[node as usize];
            open.extend_from_slice(&self.plan.children[node.first as usize..][..node.count as usize]);
            if node.wanted {
                self.worker.fault(node.id, error.clone());
            }
        }
    }
}
