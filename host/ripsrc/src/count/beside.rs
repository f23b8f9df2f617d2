//! What the lines of a version of a file came to, for the versions that are made from it: what a pack tells as copied from
//! another content need not be read again, and costs a copy in memory. Whether a version is handed in changes no result.

use super::classes::State;
use super::language::Language;
use super::memo;

/// What a content's lines came to. Empty for a content that was not counted.
#[derive(Clone, Debug, Default)]
pub struct Version {
    pub(super) language: Option<Language>,
    /// Of each line, as `memo::pack` makes them.
    pub(super) outcomes: Vec<u64>,
    /// Which list of patterns that tell languages apart was asked.
    pub(super) telling: Option<usize>,
    /// Which of its patterns matched; of the first lines only.
    pub(super) matched: Vec<u32>,
}

/// Lines that a content has from another: `count` lines from `new` on are those from `old` on of the other. Lines are
/// counted from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    pub new: u32,
    pub old: u32,
    pub count: u32,
}

/// Another content, and what lines one has from it, in order and without overlaps.
#[derive(Clone, Copy)]
pub struct Beside<'a> {
    pub version: &'a Version,
    pub kept: &'a [Kept],
}

impl Version {
    /// Bytes of memory, roughly.
    pub(crate) fn cost(&self) -> usize {
        (self.outcomes.capacity() * 8) + (self.matched.capacity() * 4)
    }

    /// The class of each line, four to a byte, the first in the lowest bits: 0 code, 1 comment, 2 blank.
    pub(crate) fn classes_packed(&self) -> Box<[u8]> {
        let class = |outcome: &u64| ((outcome & 3) as u8).wrapping_sub(1) & 3;
        let (fours, rest) = self.outcomes.as_chunks::<4>();
        let byte =
            |four: &[u64; 4]| class(&four[0]) | class(&four[1]) << 2 | class(&four[2]) << 4 | class(&four[3]) << 6;
        let mut packed = Vec::with_capacity(self.outcomes.len().div_ceil(4));
        packed.extend(fours.iter().map(byte));
        if !rest.is_empty() {
            packed.push(rest.iter().enumerate().fold(0, |byte, (at, outcome)| byte | class(outcome) << (2 * at)));
        }
        packed.into()
    }

    /// A letter for each line.
    pub(super) fn letters(&self) -> String {
        self.outcomes.iter().map(|outcome| memo::unpack(*outcome).class.letter()).collect()
    }

    /// The state in which a line begins.
    fn state_before(&self, line: usize) -> State {
        line.checked_sub(1).map_or(State::START, |before| memo::unpack(self.outcomes[before]).next)
    }
}

/// Fills `to` with a value for each of `count` lines: asks `read` for it, and copies what `from` has from where on
/// `agrees` says that it holds for all that follows of a kept stretch.
pub(super) fn fill<T: Copy, S>(
    count: usize,
    beside: Option<(&[T], &[Kept])>,
    to: &mut Vec<T>,
    state: &mut S,
    agrees: impl Fn(&S, usize) -> bool,
    mut read: impl FnMut(&mut S, usize) -> T,
    mut copied: impl FnMut(&mut S, &[T]),
) {
    let (from, kept) = beside.unwrap_or((&[], &[]));
    for kept in kept.iter().take_while(|kept| (kept.new as usize) < count) {
        let (new, old) = (kept.new as usize, kept.old as usize);
        let len = (kept.count as usize).min(from.len().saturating_sub(old)).min(count - new);
        while to.len() < new {
            let value = read(state, to.len());
            to.push(value);
        }
        // It may begin in another state than there; mostly it comes into the same after some lines.
        while to.len() < new + len {
            let at = old + (to.len() - new);
            if agrees(state, at) {
                let values = &from[at..old + len];
                to.extend_from_slice(values);
                copied(state, values);
                break;
            }
            let value = read(state, to.len());
            to.push(value);
        }
    }
    while to.len() < count {
        let value = read(state, to.len());
        to.push(value);
    }
}

impl Beside<'_> {
    /// What the other's lines came to, if it is in the same language.
    pub(super) fn outcomes(&self, language: Language) -> Option<(&[u64], &[Kept])> {
        (self.version.language == Some(language)).then_some((&self.version.outcomes, self.kept))
    }

    /// Which patterns of a list the other's lines matched.
    pub(super) fn matched(&self, telling: usize) -> Option<(&[u32], &[Kept])> {
        (self.version.telling == Some(telling)).then_some((&self.version.matched, self.kept))
    }

    /// Whether a line of the other began in this state.
    pub(super) fn agrees(&self, state: State, line: usize) -> bool {
        self.version.state_before(line) == state
    }
}

/// Lines by class, in the order of `Class`, and their decisions.
pub(super) fn totals(outcomes: &[u64]) -> ([u64; 3], u64) {
    let (mut by_class, mut complexity) = ([0u64; 4], 0);
    for outcome in outcomes {
        by_class[(outcome & 3) as usize] += 1;
        complexity += outcome >> 2 & u64::from(memo::COMPLEXITY_MAX);
    }
    ([by_class[1], by_class[2], by_class[3]], complexity)
}

/// The state after lines that came to this.
pub(super) fn state_after(outcomes: &[u64], before: State) -> State {
    outcomes.last().map_or(before, |last| memo::unpack(*last).next)
}
