//! Two files cut into lines, and the hunks that make one of the other: Myers' algorithm with the shortcuts and the
//! sliding of hunks that `git blame` uses, because who owns a repeated line depends on each of them. Two things are
//! computed: the hunks as `git blame` would see them, and how many lines `git log --numstat` would count.
//!
//! What git does, in order: cut off a common tail in blocks of 1,024 bytes (blame only); cut off common first and last
//! lines; set lines aside that the other file doesn't have, or has so often that they tell nothing; find a short edit
//! script for what is left, giving up on the shortest where that gets expensive; slide hunks to where people expect.

use crate::lines::{BLANK, Lines, Text};

/// Lines of the old file `old..old + removed` became lines `new..new + added` of the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hunk {
    pub old: u32,
    pub removed: u32,
    pub new: u32,
    pub added: u32,
}

/// How two files differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Diff {
    pub hunks: Box<[Hunk]>,
    /// Lines as `git log --numstat` counts them, which in rare cases sees other hunks than `git blame`.
    pub added: u32,
    pub removed: u32,
}

/// A common tail is cut off in such blocks, in bytes.
const TAIL_BLOCK: usize = 1024;
/// A line that the other file has this often or more tells nothing, whatever the file's size.
const COMMON_LINE_MAX: u32 = 1024;
/// How far around a line the others are looked at when it is to be set aside, in lines.
const ASIDE_WINDOW: usize = 100;
/// A frequent line is set aside where lines that match nothing outnumber frequent ones this many times.
const ASIDE_RATIO: usize = 4;
/// Steps of the search from which on it may be content with less than the shortest script.
const COST_MIN: i32 = 256;
/// A run of equal lines that is worth ending a search at.
const SNAKE_LEN: i32 = 20;
/// How much further than its cost a path must have come to be taken early.
const PROGRESS_RATIO: i32 = 4;
/// Hunks are slid over at most so many lines.
const SLIDE_MAX: isize = 100;
/// Blank lines that are counted around a place.
const BLANKS_MAX: i32 = 20;

/// Memory that is used again for each pair of files; one for each thread.
#[derive(Default)]
pub(crate) struct Scratch {
    old: Side,
    new: Side,
    counts: Counts,
    forward: Vec<i32>,
    backward: Vec<i32>,
}

#[derive(Default)]
struct Side {
    /// Whether each line is part of a hunk; one more at the end, false.
    changed: Vec<bool>,
    /// What to do with each line of the middle.
    actions: Vec<Action>,
    /// Lines that are left after others were set aside, and where they are.
    tokens: Vec<u32>,
    index: Vec<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Action {
    /// The other file doesn't have it.
    Aside,
    Keep,
    /// The other file has it often.
    Frequent,
}

/// Which lines are compared after common ends were cut off.
#[derive(Clone, Copy)]
struct Middle {
    /// Lines before `start` are the same in both.
    start: usize,
    old_end: usize,
    new_end: usize,
    /// Lines of the files, without a tail that was cut off.
    old_len: usize,
    new_len: usize,
}

fn middle(a: &[u32], b: &[u32]) -> Middle {
    let start = common_prefix(a, b);
    let back = common_suffix(&a[start..], &b[start..]);
    Middle { start, old_end: a.len() - back, new_end: b.len() - back, old_len: a.len(), new_len: b.len() }
}

fn common_prefix(a: &[u32], b: &[u32]) -> usize {
    const STEP: usize = 16;
    let mut at = 0;
    for (left, right) in a.chunks_exact(STEP).zip(b.chunks_exact(STEP)) {
        if left != right {
            break;
        }
        at += STEP;
    }
    at + a[at..].iter().zip(&b[at..]).take_while(|(a, b)| a == b).count()
}

fn common_suffix(a: &[u32], b: &[u32]) -> usize {
    const STEP: usize = 16;
    let mut at = 0;
    for (left, right) in a.rchunks_exact(STEP).zip(b.rchunks_exact(STEP)) {
        if left != right {
            break;
        }
        at += STEP;
    }
    at + a[..a.len() - at].iter().rev().zip(b[..b.len() - at].iter().rev()).take_while(|(a, b)| a == b).count()
}

/// How many lines at the end `git blame` doesn't look at: it cuts off the common tail in blocks, and gives the line
/// that the last cut goes through back.
fn tail_lines(a: &Text, b: &Text, lines: &Lines) -> usize {
    let common = common_suffix(&a.tokens, &b.tokens);
    let size = |text: &Text| text.ends.last().map_or(0, |end| *end as usize);
    let start = |text: &Text, line: usize| if line == 0 { 0 } else { text.ends[line - 1] as usize };
    let left = a.tokens.len() - common;
    let mut bytes = size(a) - start(a, left);
    let right = b.tokens.len() - common;
    if left > 0 && right > 0 {
        // The lines before may have some bytes in common; it matters only if they fill up a block.
        let (a_len, b_len) = (start(a, left) - start(a, left - 1), start(b, right) - start(b, right - 1));
        if bytes % TAIL_BLOCK + a_len.min(b_len) >= TAIL_BLOCK {
            bytes += lines.common_tail(a.tokens[left - 1], b.tokens[right - 1]);
        }
    }
    let cut = bytes / TAIL_BLOCK * TAIL_BLOCK;
    if cut == 0 {
        return 0;
    }
    let through = a.ends.partition_point(|end| *end as usize <= size(a) - cut);
    a.tokens.len().saturating_sub(through + 1)
}

/// Compares two files.
pub(crate) fn diff(a: &Text, b: &Text, lines: &Lines, scratch: &mut Scratch) -> Diff {
    let tail = tail_lines(a, b, lines);
    let (old, new) = (&a.tokens[..a.tokens.len() - tail], &b.tokens[..b.tokens.len() - tail]);
    let part = middle(old, new);
    let easy = part.start == part.old_end || part.start == part.new_end;
    let mut counted = None;
    if easy {
        scratch.mark_all(part);
    } else {
        scratch.count(&a.tokens, &b.tokens, part);
        // With the tail, lines are more frequent and more must be to be set aside; mostly nothing comes of it.
        if tail > 0 {
            let whole = Middle { old_len: a.tokens.len(), new_len: b.tokens.len(), ..part };
            scratch.decide(&a.tokens, &b.tokens, whole, true);
            let with_tail = (scratch.old.actions.clone(), scratch.new.actions.clone());
            scratch.decide(old, new, part, false);
            if with_tail != (scratch.old.actions.clone(), scratch.new.actions.clone()) {
                (scratch.old.actions, scratch.new.actions) = with_tail;
                scratch.search(&a.tokens, &b.tokens, whole);
                counted = Some(scratch.changed_counts());
                scratch.decide(old, new, part, false);
            }
        } else {
            scratch.decide(old, new, part, false);
        }
        scratch.search(old, new, part);
    }
    let (removed, added) = counted.unwrap_or_else(|| scratch.changed_counts());
    compact(old, &mut scratch.old.changed, &scratch.new.changed, lines);
    compact(new, &mut scratch.new.changed, &scratch.old.changed, lines);
    Diff { hunks: hunks(&scratch.old.changed, &scratch.new.changed, part), added, removed }
}

/// Lists the hunks. Sliding may have moved them before the middle, never behind the last line.
fn hunks(old: &[bool], new: &[bool], part: Middle) -> Box<[Hunk]> {
    let mut hunks = vec![];
    let (mut i, mut j) = (0, 0);
    while i < part.old_len || j < part.new_len {
        // Lines that are the same in both, as far as both go on so.
        let same = run(&old[i..part.old_len], false).min(run(&new[j..part.new_len], false));
        (i, j) = (i + same, j + same);
        let removed = run(&old[i..part.old_len], true);
        let added = run(&new[j..part.new_len], true);
        if removed + added > 0 {
            hunks.push(Hunk { old: i as u32, removed: removed as u32, new: j as u32, added: added as u32 });
        } else if same == 0 {
            break;
        }
        (i, j) = (i + removed, j + added);
    }
    hunks.into()
}

/// Length of the run of a value that a list begins with.
fn run(list: &[bool], value: bool) -> usize {
    memchr::memchr(u8::from(!value), bytes_of(list)).unwrap_or(list.len())
}

/// Booleans as the bytes 0 and 1 that they are.
fn bytes_of(list: &[bool]) -> &[u8] {
    // SAFETY: a bool has the size of a byte and is 0 or 1.
    unsafe { std::slice::from_raw_parts(list.as_ptr().cast(), list.len()) }
}

/// How often lines of the middles occur in both files.
#[derive(Default)]
struct Counts {
    /// Token plus one, or zero; a power of two of them, at most half of them used.
    keys: Vec<u32>,
    counts: Vec<Count>,
}

#[derive(Clone, Copy, Default)]
struct Count {
    old: u32,
    new: u32,
    /// In the tail that was cut off, which is the same for both.
    tail: u32,
}

impl Counts {
    fn clear(&mut self, keys: usize) {
        let size = (keys * 2).next_power_of_two().max(16);
        self.keys.clear();
        self.keys.resize(size, 0);
        self.counts.clear();
        self.counts.resize(size, Count::default());
    }

    fn slot(&self, token: u32) -> usize {
        let mask = self.keys.len() - 1;
        let mut slot = (token.wrapping_mul(0x9e37_79b1) >> 7) as usize & mask;
        while self.keys[slot] != 0 && self.keys[slot] != token + 1 {
            slot = (slot + 1) & mask;
        }
        slot
    }

    fn add(&mut self, token: u32, add: impl FnOnce(&mut Count)) {
        let slot = self.slot(token);
        self.keys[slot] = token + 1;
        add(&mut self.counts[slot]);
    }

    fn note(&mut self, token: u32, add: impl FnOnce(&mut Count)) {
        let slot = self.slot(token);
        if self.keys[slot] != 0 {
            add(&mut self.counts[slot]);
        }
    }
}

/// A power of two near the square root.
fn rough_root(mut n: usize) -> u32 {
    let mut root = 1;
    while n > 0 {
        root <<= 1;
        n >>= 2;
    }
    root
}

impl Scratch {
    fn changed_counts(&self) -> (u32, u32) {
        let count = |side: &Side| side.changed.iter().filter(|changed| **changed).count() as u32;
        (count(&self.old), count(&self.new))
    }

    fn clear_changed(&mut self, part: Middle) {
        for (side, len) in [(&mut self.old, part.old_len), (&mut self.new, part.new_len)] {
            side.changed.clear();
            side.changed.resize(len + 1, false);
        }
    }

    fn mark_all(&mut self, part: Middle) {
        self.clear_changed(part);
        self.old.changed[part.start..part.old_end].fill(true);
        self.new.changed[part.start..part.new_end].fill(true);
    }

    /// Counts the middles' lines in both files, all of them.
    fn count(&mut self, old: &[u32], new: &[u32], part: Middle) {
        let counts = &mut self.counts;
        counts.clear(part.old_end + part.new_end - 2 * part.start);
        old[part.start..part.old_end].iter().for_each(|token| counts.add(*token, |count| count.old += 1));
        new[part.start..part.new_end].iter().for_each(|token| counts.add(*token, |count| count.new += 1));
        for token in old[..part.start].iter().chain(&old[part.old_end..part.old_len]) {
            counts.note(*token, |count| {
                count.old += 1;
                count.new += 1;
            });
        }
        old[part.old_len..].iter().for_each(|token| counts.note(*token, |count| count.tail += 1));
    }

    /// Decides for each line of the middles whether it is looked at.
    fn decide(&mut self, old: &[u32], new: &[u32], part: Middle, tail: bool) {
        let Self { old: left, new: right, counts, .. } = self;
        let sides = [
            (left, &old[part.start..part.old_end], part.old_len, true),
            (right, &new[part.start..part.new_end], part.new_len, false),
        ];
        for (side, tokens, len, is_old) in sides {
            let limit = rough_root(len).min(COMMON_LINE_MAX);
            side.actions.clear();
            side.actions.extend(tokens.iter().map(|token| {
                let count = counts.counts[counts.slot(*token)];
                let found = if is_old { count.new } else { count.old } + if tail { count.tail } else { 0 };
                match found {
                    0 => Action::Aside,
                    found if found >= limit => Action::Frequent,
                    _ => Action::Keep,
                }
            }));
        }
    }

    /// Finds which lines changed, of those that are looked at; the others have changed.
    fn search(&mut self, old: &[u32], new: &[u32], part: Middle) {
        self.clear_changed(part);
        self.old.set_aside(old, part.start);
        self.new.set_aside(new, part.start);
        let (n, m) = (self.old.tokens.len() as i32, self.new.tokens.len() as i32);
        let diagonals = (n + m + 3) as usize;
        for side in [&mut self.forward, &mut self.backward] {
            side.clear();
            side.resize(diagonals + 1, 0);
        }
        let mut search = Search {
            old: &self.old.tokens,
            new: &self.new.tokens,
            old_index: &self.old.index,
            new_index: &self.new.index,
            old_changed: &mut self.old.changed,
            new_changed: &mut self.new.changed,
            forward: &mut self.forward,
            backward: &mut self.backward,
            shift: m + 1,
            cost_max: (rough_root(diagonals) as i32).max(COST_MIN),
        };
        search.compare(Area { old: 0, old_end: n, new: 0, new_end: m }, false);
    }
}

impl Side {
    fn set_aside(&mut self, all: &[u32], start: usize) {
        self.tokens.clear();
        self.index.clear();
        for (at, action) in self.actions.iter().enumerate() {
            let keep = match action {
                Action::Aside => false,
                Action::Keep => true,
                Action::Frequent => !among_strangers(&self.actions, at),
            };
            if keep {
                self.tokens.push(all[start + at]);
                self.index.push((start + at) as u32);
            } else {
                self.changed[start + at] = true;
            }
        }
    }
}

/// Whether a frequent line stands among lines that match nothing, on both sides of it.
fn among_strangers(actions: &[Action], at: usize) -> bool {
    fn look<'a>(around: impl Iterator<Item = &'a Action>) -> (usize, usize) {
        let (mut aside, mut frequent) = (0, 1);
        for action in around.take(ASIDE_WINDOW) {
            match action {
                Action::Aside => aside += 1,
                Action::Frequent => frequent += 1,
                Action::Keep => break,
            }
        }
        (aside, frequent)
    }
    let (aside_before, frequent_before) = look(actions[..at].iter().rev());
    if aside_before == 0 {
        return false;
    }
    let (aside_after, frequent_after) = look(actions[at + 1..].iter());
    if aside_after == 0 {
        return false;
    }
    let (aside, frequent) = (aside_before + aside_after, frequent_before + frequent_after);
    frequent * ASIDE_RATIO < frequent + aside
}

/// A rectangle of the edit graph.
#[derive(Clone, Copy)]
struct Area {
    old: i32,
    old_end: i32,
    new: i32,
    new_end: i32,
}

/// Where an area is split in two, and which of the two must be searched without giving up early.
struct Split {
    old: i32,
    new: i32,
    exact_before: bool,
    exact_after: bool,
}

/// Myers' search from both ends at once.
struct Search<'a> {
    old: &'a [u32],
    new: &'a [u32],
    old_index: &'a [u32],
    new_index: &'a [u32],
    old_changed: &'a mut [bool],
    new_changed: &'a mut [bool],
    /// The furthest old line reached on each diagonal, from the start.
    forward: &'a mut [i32],
    /// And from the end.
    backward: &'a mut [i32],
    /// Diagonals are numbered from minus the new file's length.
    shift: i32,
    cost_max: i32,
}

impl Search<'_> {
    fn same(&self, old: i32, new: i32) -> bool {
        self.old[old as usize] == self.new[new as usize]
    }

    /// Compares an area, and the areas that it is split in: from a list, as how deep splits nest is up to the files.
    fn compare(&mut self, area: Area, exact: bool) {
        let mut open = vec![(area, exact)];
        while let Some((mut area, exact)) = open.pop() {
            while area.old < area.old_end && area.new < area.new_end && self.same(area.old, area.new) {
                area.old += 1;
                area.new += 1;
            }
            while area.old < area.old_end && area.new < area.new_end && self.same(area.old_end - 1, area.new_end - 1) {
                area.old_end -= 1;
                area.new_end -= 1;
            }
            if area.old == area.old_end || area.new == area.new_end {
                // One of the two is empty, so all of the other has changed.
                for at in &self.new_index[area.new as usize..area.new_end as usize] {
                    self.new_changed[*at as usize] = true;
                }
                for at in &self.old_index[area.old as usize..area.old_end as usize] {
                    self.old_changed[*at as usize] = true;
                }
                continue;
            }
            let split = self.split(area, exact);
            open.push((Area { old: split.old, new: split.new, ..area }, split.exact_after));
            open.push((Area { old_end: split.old, new_end: split.new, ..area }, split.exact_before));
        }
    }

    /// Finds a point that a short script goes through.
    fn split(&mut self, area: Area, exact: bool) -> Split {
        let (lowest, highest) = (area.old - area.new_end, area.old_end - area.new);
        let (fore_middle, back_middle) = (area.old - area.new, area.old_end - area.new_end);
        let odd = (fore_middle - back_middle) & 1 != 0;
        let (mut fore_min, mut fore_max) = (fore_middle, fore_middle);
        let (mut back_min, mut back_max) = (back_middle, back_middle);
        let shift = self.shift;
        let at = |diagonal: i32| (diagonal + shift) as usize;
        self.forward[at(fore_middle)] = area.old;
        self.backward[at(back_middle)] = area.old_end;
        for cost in 1.. {
            let mut long = false;
            // One step further from the start, on all diagonals that can be reached.
            if fore_min > lowest {
                fore_min -= 1;
                self.forward[at(fore_min - 1)] = -1;
            } else {
                fore_min += 1;
            }
            if fore_max < highest {
                fore_max += 1;
                self.forward[at(fore_max + 1)] = -1;
            } else {
                fore_max -= 1;
            }
            let mut d = fore_max;
            while d >= fore_min {
                let (below, above) = (self.forward[at(d - 1)], self.forward[at(d + 1)]);
                let from = if below >= above { below + 1 } else { above };
                let (mut i, mut j) = (from, from - d);
                while i < area.old_end && j < area.new_end && self.same(i, j) {
                    i += 1;
                    j += 1;
                }
                long |= i - from > SNAKE_LEN;
                self.forward[at(d)] = i;
                if odd && back_min <= d && d <= back_max && self.backward[at(d)] <= i {
                    return Split { old: i, new: j, exact_before: true, exact_after: true };
                }
                d -= 2;
            }
            // And from the end.
            if back_min > lowest {
                back_min -= 1;
                self.backward[at(back_min - 1)] = i32::MAX;
            } else {
                back_min += 1;
            }
            if back_max < highest {
                back_max += 1;
                self.backward[at(back_max + 1)] = i32::MAX;
            } else {
                back_max -= 1;
            }
            let mut d = back_max;
            while d >= back_min {
                let (below, above) = (self.backward[at(d - 1)], self.backward[at(d + 1)]);
                let from = if below < above { below } else { above - 1 };
                let (mut i, mut j) = (from, from - d);
                while i > area.old && j > area.new && self.same(i - 1, j - 1) {
                    i -= 1;
                    j -= 1;
                }
                long |= from - i > SNAKE_LEN;
                self.backward[at(d)] = i;
                if !odd && fore_min <= d && d <= fore_max && i <= self.forward[at(d)] {
                    return Split { old: i, new: j, exact_before: true, exact_after: true };
                }
                d -= 2;
            }
            if exact {
                continue;
            }
            if long
                && cost > COST_MIN
                && let Some(split) = self.early(area, cost, (fore_min, fore_max), (back_min, back_max))
            {
                return split;
            }
            if cost >= self.cost_max {
                return self.furthest(area, (fore_min, fore_max), (back_min, back_max));
            }
        }
        unreachable!("each step goes further, so the two searches meet")
    }

    /// A point that has come very far for its cost and stands at a long run of equal lines, if there is one.
    fn early(&self, area: Area, cost: i32, fore: (i32, i32), back: (i32, i32)) -> Option<Split> {
        let at = |diagonal: i32| (diagonal + self.shift) as usize;
        let middle = area.old - area.new;
        let (mut best, mut found) = (0, None);
        for d in (fore.0..=fore.1).rev().step_by(2) {
            let i = self.forward[at(d)];
            let j = i - d;
            let gain = (i - area.old) + (j - area.new) - (d - middle).abs();
            let inside = area.old + SNAKE_LEN <= i && i < area.old_end && area.new + SNAKE_LEN <= j && j < area.new_end;
            if gain > PROGRESS_RATIO * cost && gain > best && inside && (1..=SNAKE_LEN).all(|k| self.same(i - k, j - k))
            {
                best = gain;
                found = Some(Split { old: i, new: j, exact_before: true, exact_after: false });
            }
        }
        if found.is_some() {
            return found;
        }
        let middle = area.old_end - area.new_end;
        for d in (back.0..=back.1).rev().step_by(2) {
            let i = self.backward[at(d)];
            if i == i32::MAX {
                continue;
            }
            let j = i - d;
            let gain = (area.old_end - i) + (area.new_end - j) - (d - middle).abs();
            let inside = area.old < i && i <= area.old_end - SNAKE_LEN && area.new < j && j <= area.new_end - SNAKE_LEN;
            if gain > PROGRESS_RATIO * cost && gain > best && inside && (0..SNAKE_LEN).all(|k| self.same(i + k, j + k))
            {
                best = gain;
                found = Some(Split { old: i, new: j, exact_before: false, exact_after: true });
            }
        }
        found
    }

    /// The point that has come furthest, from either end: the search has become too expensive.
    fn furthest(&self, area: Area, fore: (i32, i32), back: (i32, i32)) -> Split {
        let at = |diagonal: i32| (diagonal + self.shift) as usize;
        let (mut fore_sum, mut fore_old) = (-1i64, -1);
        for d in (fore.0..=fore.1).rev().step_by(2) {
            let mut i = self.forward[at(d)].min(area.old_end);
            let mut j = i - d;
            if area.new_end < j {
                (i, j) = (area.new_end + d, area.new_end);
            }
            if fore_sum < i64::from(i) + i64::from(j) {
                (fore_sum, fore_old) = (i64::from(i) + i64::from(j), i);
            }
        }
        let (mut back_sum, mut back_old) = (i64::MAX, i32::MAX);
        for d in (back.0..=back.1).rev().step_by(2) {
            let mut i = self.backward[at(d)].max(area.old);
            let mut j = i64::from(i) - i64::from(d);
            if j < i64::from(area.new) {
                (i, j) = (area.new + d, i64::from(area.new));
            }
            if i64::from(i) + j < back_sum {
                (back_sum, back_old) = (i64::from(i) + j, i);
            }
        }
        let ends = i64::from(area.old_end) + i64::from(area.new_end);
        if ends - back_sum < fore_sum - (i64::from(area.old) + i64::from(area.new)) {
            let new = (fore_sum - i64::from(fore_old)) as i32;
            Split { old: fore_old, new, exact_before: true, exact_after: false }
        } else {
            let new = (back_sum - i64::from(back_old)) as i32;
            Split { old: back_old, new, exact_before: false, exact_after: true }
        }
    }
}

/// A run of changed lines `start..end`, perhaps empty: there is one between any two lines that have not changed.
#[derive(Clone, Copy)]
struct Group {
    start: usize,
    end: usize,
}

impl Group {
    fn is_empty(self) -> bool {
        self.start == self.end
    }

    fn at(changed: &[bool], start: usize) -> Self {
        Self { start, end: start + run(&changed[start..changed.len() - 1], true) }
    }

    /// The next group; false if this is the last.
    fn next(&mut self, changed: &[bool]) -> bool {
        let len = changed.len() - 1;
        if self.end == len {
            return false;
        }
        let start = self.end + 1;
        let mut end = start;
        while changed[end] {
            end += 1;
        }
        *self = Self { start, end };
        true
    }

    fn previous(&mut self, changed: &[bool]) -> bool {
        if self.start == 0 {
            return false;
        }
        let end = self.start - 1;
        let mut start = end;
        while start > 0 && changed[start - 1] {
            start -= 1;
        }
        *self = Self { start, end };
        true
    }

    /// Moves a line up if the lines allow it, joining with a group that it then touches.
    fn slide_up(&mut self, tokens: &[u32], changed: &mut [bool]) -> bool {
        if self.start == 0 || tokens[self.start - 1] != tokens[self.end - 1] {
            return false;
        }
        self.start -= 1;
        self.end -= 1;
        changed[self.start] = true;
        changed[self.end] = false;
        while self.start > 0 && changed[self.start - 1] {
            self.start -= 1;
        }
        true
    }

    fn slide_down(&mut self, tokens: &[u32], changed: &mut [bool]) -> bool {
        if self.end >= tokens.len() || tokens[self.start] != tokens[self.end] {
            return false;
        }
        changed[self.start] = false;
        changed[self.end] = true;
        self.start += 1;
        self.end += 1;
        while changed[self.end] {
            self.end += 1;
        }
        true
    }
}

/// Slides the groups of one file: together where they touch, next to a change of the other file if there is one
/// within reach, else to where indentation and blank lines say that something begins.
fn compact(tokens: &[u32], changed: &mut [bool], other: &[bool], lines: &Lines) {
    // Before `start` nothing has changed in either file, so the groups there are empty and of one number.
    let start = run(&changed[..tokens.len()], false).min(run(&other[..other.len() - 1], false));
    let mut group = Group::at(changed, start);
    let mut mate = Group::at(other, start);
    loop {
        if !group.is_empty() {
            slide(tokens, changed, other, &mut group, &mut mate, lines);
        }
        if !group.next(changed) {
            return;
        }
        mate.next(other);
    }
}

fn slide(tokens: &[u32], changed: &mut [bool], other: &[bool], group: &mut Group, mate: &mut Group, lines: &Lines) {
    let (mut size, mut highest_end, mut mate_end);
    loop {
        size = group.end - group.start;
        mate_end = None;
        while group.slide_up(tokens, changed) {
            mate.previous(other);
        }
        highest_end = group.end;
        if !mate.is_empty() {
            mate_end = Some(group.end);
        }
        while group.slide_down(tokens, changed) {
            mate.next(other);
            if !mate.is_empty() {
                mate_end = Some(group.end);
            }
        }
        // Having joined with another, it may slide further than before.
        if size == group.end - group.start {
            break;
        }
    }
    if group.end == highest_end {
        return;
    }
    if mate_end.is_some() {
        while mate.is_empty() && group.slide_up(tokens, changed) {
            mate.previous(other);
        }
        return;
    }
    let end = group.end as isize;
    let size = size as isize;
    let first = (highest_end as isize).max(end - size - 1).max(end - SLIDE_MAX);
    let mut best: Option<(isize, Score)> = None;
    for shift in first..=end {
        let mut score = Score::default();
        score.add(&Place::look(tokens, shift as usize, lines));
        score.add(&Place::look(tokens, (shift - size) as usize, lines));
        if best.as_ref().is_none_or(|(_, best)| score.against(best) <= 0) {
            best = Some((shift, score));
        }
    }
    let best = best.map_or(end, |(shift, _)| shift);
    while group.end as isize > best && group.slide_up(tokens, changed) {
        mate.previous(other);
    }
}

/// What surrounds a place between two lines.
struct Place {
    at_end: bool,
    indent: i32,
    blanks_before: i32,
    indent_before: i32,
    blanks_after: i32,
    indent_after: i32,
}

const NONE: i32 = BLANK as i32;

impl Place {
    fn look(tokens: &[u32], at: usize, lines: &Lines) -> Self {
        let indent = |at: usize| i32::from(lines.indent(tokens[at]));
        let walk = |places: &mut dyn Iterator<Item = usize>| -> (i32, i32) {
            let mut blanks = 0;
            for place in places {
                let found = indent(place);
                if found != NONE {
                    return (blanks, found);
                }
                blanks += 1;
                if blanks == BLANKS_MAX {
                    return (blanks, 0);
                }
            }
            (blanks, NONE)
        };
        let at_end = at >= tokens.len();
        let (blanks_before, indent_before) = walk(&mut (0..at.min(tokens.len())).rev());
        let (blanks_after, indent_after) = walk(&mut (at + 1..tokens.len()));
        Self {
            at_end,
            indent: if at_end { NONE } else { indent(at) },
            blanks_before,
            indent_before,
            blanks_after,
            indent_after,
        }
    }
}

/// How bad a pair of places is as start and end of a hunk; smaller is better. The weights are git's.
#[derive(Default)]
struct Score {
    indent: i32,
    penalty: i32,
}

impl Score {
    fn add(&mut self, place: &Place) {
        if place.indent_before == NONE && place.blanks_before == 0 {
            self.penalty += 1;
        }
        if place.at_end {
            self.penalty += 21;
        }
        let blanks_after = if place.indent == NONE { 1 + place.blanks_after } else { 0 };
        let blanks = place.blanks_before + blanks_after;
        self.penalty += -30 * blanks + 6 * blanks_after;
        let indent = if place.indent == NONE { place.indent_after } else { place.indent };
        let any = blanks != 0;
        self.indent += indent;
        if indent == NONE || place.indent_before == NONE || indent == place.indent_before {
            return;
        }
        self.penalty += match indent > place.indent_before {
            true if any => 10,
            true => -4,
            false if any => 17,
            false if place.indent_after != NONE && place.indent_after > indent => 24,
            false => 23,
        };
    }

    fn against(&self, other: &Self) -> i32 {
        60 * (self.indent - other.indent).signum() + (self.penalty - other.penalty)
    }
}
