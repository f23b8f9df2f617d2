//! What is in a repository: branches, and commits with their people, dates and changed files. Reads only, and knows
//! neither sessions nor records.
//!
//! Which changes a commit has: those against its parent; a first commit adds everything. A merge has only the files
//! that differ from *all* of its parents, with line counts against the first, as `git log -c` has it: what came in
//! from a branch is counted where it was made. A commit at the border of a shallow clone has none that could be known.

use std::collections::HashSet;

use git2::{Delta, Diff, DiffDelta, DiffFindOptions, DiffOptions, FileMode, Oid, Patch, Repository, Sort, Tree};

/// Files larger than this are counted as binary: telling their lines apart would take many times their size.
const DIFFED_BYTES_MAX: i64 = 32 << 20;
/// With more added and removed files than this in one commit, only unchanged files are recognized as renamed:
/// comparing contents costs their product.
const RENAMES_COMPARED_MAX: usize = 1_000;
/// Of a commit's message; some are generated and have megabytes.
const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Of a name or an email address.
const PERSON_BYTES_MAX: usize = 1 << 10;

/// Why a repository cannot be read on: the place and libgit2's reason.
#[derive(Debug, thiserror::Error)]
#[error("{place}: {reason}")]
pub(super) struct HistoryError {
    place: String,
    reason: String,
}

fn at(place: impl std::fmt::Display) -> impl FnOnce(git2::Error) -> HistoryError {
    move |fault| HistoryError { place: place.to_string(), reason: fault.message().to_owned() }
}

/// A branch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Branch {
    /// Without `refs/heads/`; bytes that are not UTF-8 are replaced.
    pub name: String,
    pub head: Oid,
    pub default: bool,
}

/// Where histories begin to be read.
#[derive(Debug, Default)]
pub(super) struct Refs {
    /// By name. Remote-tracking refs of a repository in place are somebody else's branches and are not among them.
    pub branches: Vec<Branch>,
    /// The commit of a `HEAD` that stands for no branch.
    pub detached: Option<Oid>,
    /// The commits whose parents were left out when a shallow clone was made.
    pub shallow: HashSet<Oid>,
}

impl Refs {
    pub(super) fn default_branch(&self) -> Option<&Branch> {
        self.branches.iter().find(|branch| branch.default)
    }

    /// The commits that all branches, and a detached `HEAD`, point to.
    pub(super) fn tips(&self) -> impl Iterator<Item = Oid> {
        self.branches.iter().map(|branch| branch.head).chain(self.detached)
    }
}

/// Reads branches and `HEAD`. An empty repository has none.
pub(super) fn refs(repository: &Repository) -> Result<Refs, HistoryError> {
    let head = repository.find_reference("HEAD").ok();
    let default = head.as_ref().and_then(|head| head.symbolic_target_bytes()).map(<[u8]>::to_vec);
    let mut found = Refs { shallow: shallow_border(repository), ..Refs::default() };
    for reference in repository.references_glob("refs/heads/*").map_err(at("the branches"))? {
        let reference = reference.map_err(at("the branches"))?;
        let name = reference.name_bytes();
        let shown = String::from_utf8_lossy(name.strip_prefix(b"refs/heads/").unwrap_or(name)).into_owned();
        match reference.peel_to_commit() {
            Ok(commit) => found.branches.push(Branch {
                default: default.as_deref() == Some(name),
                name: shown,
                head: commit.id(),
            }),
            Err(fault) => return Err(at(format!("the branch {shown}"))(fault)),
        }
    }
    found.branches.sort_by(|a, b| a.name.cmp(&b.name));
    found.detached = head.as_ref().and_then(git2::Reference::target);
    Ok(found)
}

/// The commits listed in a shallow clone's `shallow` file.
fn shallow_border(repository: &Repository) -> HashSet<Oid> {
    let file = repository.commondir().join("shallow");
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().filter_map(|line| Oid::from_str(line.trim()).ok()).collect()
}

/// The commits reachable from `tips` and not from `known`, parents before children. Known commits that are no longer
/// there (a branch was rewritten) are passed over.
pub(super) fn walk(repository: &Repository, tips: &[Oid], known: &[Oid]) -> Result<Vec<Oid>, HistoryError> {
    let mut walk = repository.revwalk().map_err(at("the history"))?;
    walk.set_sorting(Sort::TOPOLOGICAL | Sort::TIME | Sort::REVERSE).map_err(at("the history"))?;
    for tip in tips {
        walk.push(*tip).map_err(at(tip))?;
    }
    for commit in known {
        if repository.find_commit(*commit).is_ok() {
            walk.hide(*commit).map_err(at(commit))?;
        }
    }
    walk.map(|step| step.map_err(at("the history"))).collect()
}

/// A point in time, with the zone that it was written down in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct When {
    /// Since 1970, UTC.
    pub seconds: i64,
    /// East of UTC. Zones that cannot be (some old tools wrote `+51800`) count as UTC; the instant is not affected.
    pub offset_minutes: i32,
}

/// Who made a commit, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Person {
    pub name: String,
    pub email: String,
    pub when: When,
}

/// A commit without its changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Commit {
    pub oid: Oid,
    pub parents: Vec<Oid>,
    pub author: Person,
    pub committer: Person,
    pub message: String,
    /// Whether the message is longer than is kept.
    pub message_cut: bool,
}

/// How a file changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Status {
    Added,
    Modified,
    Removed,
    Renamed,
}

/// A file that a commit changed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct FileChange {
    /// The path after the change (before it, if removed); bytes that are not UTF-8 are replaced.
    pub path: String,
    pub status: Status,
    /// The path before a rename.
    pub renamed_from: Option<String>,
    pub additions: usize,
    pub deletions: usize,
    /// Not text, or too large to be compared; has no line counts.
    pub binary: bool,
}

/// Reads a commit. libgit2's own reading refuses commits with malformed people; these exist, so the bytes are read here.
pub(super) fn commit(repository: &Repository, oid: Oid) -> Result<Commit, HistoryError> {
    let odb = repository.odb().map_err(at(oid))?;
    let object = odb.read(oid).map_err(at(oid))?;
    // Parents are libgit2's, which knows the border of a shallow clone.
    let parents = match repository.find_commit(oid) {
        Ok(commit) => Some(commit.parent_ids().collect()),
        Err(_) => None,
    };
    parse_commit(oid, object.data(), parents)
        .ok_or_else(|| HistoryError { place: oid.to_string(), reason: "the commit is damaged".to_owned() })
}

fn parse_commit(oid: Oid, data: &[u8], parents: Option<Vec<Oid>>) -> Option<Commit> {
    let end = memchr::memmem::find(data, b"\n\n").unwrap_or(data.len());
    let (head, body) = (&data[..end], data.get(end + 2..).unwrap_or_default());
    let (mut listed, mut author, mut committer, mut latin1) = (Vec::new(), None, None, false);
    for line in head.split(|byte| *byte == b'\n') {
        let Some(space) = line.iter().position(|byte| *byte == b' ') else { continue };
        let (key, value) = (&line[..space], &line[space + 1..]);
        match key {
            b"parent" => listed.push(Oid::from_str(std::str::from_utf8(value).ok()?).ok()?),
            b"author" if author.is_none() => author = Some(value),
            b"committer" if committer.is_none() => committer = Some(value),
            b"encoding" => {
                latin1 = [b"iso-8859-1".as_slice(), b"iso8859-1", b"latin1", b"latin-1"]
                    .iter()
                    .any(|name| value.eq_ignore_ascii_case(name))
            }
            _ => {}
        }
    }
    let text = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) if latin1 => bytes.iter().map(|byte| char::from(*byte)).collect(),
        Err(_) => String::from_utf8_lossy(bytes).into_owned(),
    };
    let mut message = text(body);
    let message_cut = cut(&mut message, MESSAGE_BYTES_MAX);
    let committer = committer.or(author)?;
    Some(Commit {
        oid,
        parents: parents.unwrap_or(listed),
        author: parse_person(author.unwrap_or(committer), &text),
        committer: parse_person(committer, &text),
        message,
        message_cut,
    })
}

/// Cuts a text at a character's border.
fn cut(text: &mut String, bytes_max: usize) -> bool {
    if text.len() <= bytes_max {
        return false;
    }
    let end = (0..=bytes_max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    true
}

/// Reads `Name <email> seconds zone`, taking from a malformed line what is there.
fn parse_person(line: &[u8], text: &impl Fn(&[u8]) -> String) -> Person {
    let open = line.iter().position(|byte| *byte == b'<').unwrap_or(line.len());
    let close = line.iter().rposition(|byte| *byte == b'>').filter(|close| *close > open).unwrap_or(line.len());
    let email = line.get(open + 1..close).unwrap_or_default();
    let rest = line.get(close + 1..).unwrap_or_default();
    let mut words = rest.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty());
    let mut number = || words.next().and_then(|word| std::str::from_utf8(word).ok());
    let seconds = number().and_then(|word| word.parse().ok()).unwrap_or(0);
    let offset_minutes = number().and_then(parse_zone).unwrap_or(0);
    let mut person = Person {
        name: text(line[..open].trim_ascii()),
        email: text(email.trim_ascii()),
        when: When { seconds, offset_minutes },
    };
    cut(&mut person.name, PERSON_BYTES_MAX);
    cut(&mut person.email, PERSON_BYTES_MAX);
    person
}

/// `+0530` in minutes; nothing for what is not a zone.
fn parse_zone(word: &str) -> Option<i32> {
    let (sign, digits) = match word.as_bytes() {
        [b'+', digits @ ..] => (1, digits),
        [b'-', digits @ ..] => (-1, digits),
        _ => return None,
    };
    if digits.len() != 4 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let digit = |at: usize| i32::from(digits[at] - b'0');
    let (hours, minutes) = (digit(0) * 10 + digit(1), digit(2) * 10 + digit(3));
    (hours < 24 && minutes < 60).then_some(sign * (hours * 60 + minutes))
}

/// The files that a commit changed. Holds one file's contents at a time.
pub(super) fn changes(repository: &Repository, commit: &Commit) -> Result<Vec<FileChange>, HistoryError> {
    let place = || at(commit.oid);
    let tree_of = |oid: Oid| repository.find_object(oid, None).and_then(|object| object.peel_to_tree());
    let tree = tree_of(commit.oid).map_err(place())?;
    let parents =
        commit.parents.iter().map(|parent| tree_of(*parent).map_err(at(parent))).collect::<Result<Vec<_>, _>>()?;
    let mut options = DiffOptions::new();
    options
        .context_lines(0)
        .max_size(DIFFED_BYTES_MAX)
        .include_typechange(true)
        .ignore_submodules(false)
        .indent_heuristic(true);
    let mut diff = repository.diff_tree_to_tree(parents.first(), Some(&tree), Some(&mut options)).map_err(place())?;
    let merge = parents.len() > 1;
    if !merge {
        find_renames(&mut diff).map_err(place())?;
    }
    let mut found = Vec::new();
    for index in 0..diff.deltas().len() {
        if merge && !differs_from_others(&diff, index, &parents[1..]) {
            continue;
        }
        if let Some(change) = change(repository, &diff, index).map_err(place())? {
            found.push(change);
        }
    }
    Ok(found)
}

fn find_renames(diff: &mut Diff<'_>) -> Result<(), git2::Error> {
    let count = |status| diff.deltas().filter(|delta| delta.status() == status).count();
    let (added, removed) = (count(Delta::Added), count(Delta::Deleted));
    if added == 0 || removed == 0 {
        return Ok(());
    }
    let mut options = DiffFindOptions::new();
    options.renames(true).dont_ignore_whitespace(true).rename_limit(RENAMES_COMPARED_MAX);
    options.exact_match_only(added.max(removed) > RENAMES_COMPARED_MAX);
    diff.find_similar(Some(&mut options))
}

/// Whether a file of a merge differs from all parents but the first, from which it is known to differ.
fn differs_from_others(diff: &Diff<'_>, index: usize, others: &[Tree<'_>]) -> bool {
    let Some(delta) = diff.get_delta(index) else { return false };
    let (new, path) = (delta.new_file(), delta.new_file().path().or_else(|| delta.old_file().path()));
    let Some(path) = path else { return false };
    let gone = delta.status() == Delta::Deleted;
    others.iter().all(|tree| match tree.get_path(path) {
        Ok(entry) => gone || entry.id() != new.id() || entry.filemode() != i32::from(new.mode()),
        Err(_) => !gone,
    })
}

fn change(repository: &Repository, diff: &Diff<'_>, index: usize) -> Result<Option<FileChange>, git2::Error> {
    let Some(delta) = diff.get_delta(index) else { return Ok(None) };
    let status = match delta.status() {
        Delta::Added | Delta::Copied => Status::Added,
        Delta::Deleted => Status::Removed,
        Delta::Renamed => Status::Renamed,
        Delta::Modified | Delta::Typechange => Status::Modified,
        _ => return Ok(None),
    };
    let path = |file: git2::DiffFile<'_>| String::from_utf8_lossy(file.path_bytes().unwrap_or_default()).into_owned();
    let (additions, deletions, binary) = match delta.status() {
        Delta::Typechange => retyped(repository, &delta)?,
        _ => line_counts(diff, index)?,
    };
    Ok(Some(FileChange {
        path: path(if status == Status::Removed { delta.old_file() } else { delta.new_file() }),
        renamed_from: (status == Status::Renamed).then(|| path(delta.old_file())),
        status,
        additions,
        deletions,
        binary,
    }))
}

/// Lines added and removed, and whether the contents are binary instead.
fn line_counts(diff: &Diff<'_>, index: usize) -> Result<(usize, usize, bool), git2::Error> {
    let patch = Patch::from_diff(diff, index)?;
    // Only now, because the contents have been looked at. A link to a commit has a line of text.
    let binary = diff.get_delta(index).is_some_and(|delta| {
        let link = delta.new_file().mode() == FileMode::Commit || delta.old_file().mode() == FileMode::Commit;
        delta.flags().is_binary() && !link
    });
    match patch {
        Some(patch) if !binary => patch.line_stats().map(|(_, additions, deletions)| (additions, deletions, false)),
        _ => Ok((0, 0, binary)),
    }
}

/// A file that has become a link, or the other way round: all of it went and all of it came, as git counts it.
fn retyped(repository: &Repository, delta: &DiffDelta<'_>) -> Result<(usize, usize, bool), git2::Error> {
    let lines = |file: git2::DiffFile<'_>| -> Result<Option<usize>, git2::Error> {
        if file.mode() == FileMode::Commit {
            return Ok(Some(1));
        }
        let blob = repository.find_blob(file.id())?;
        if blob.is_binary() || blob.size() as u64 > DIFFED_BYTES_MAX.unsigned_abs() {
            return Ok(None);
        }
        let ends = memchr::memchr_iter(b'\n', blob.content()).count();
        Ok(Some(ends + usize::from(blob.content().last().is_some_and(|last| *last != b'\n'))))
    };
    Ok(match (lines(delta.new_file())?, lines(delta.old_file())?) {
        (Some(additions), Some(deletions)) => (additions, deletions, false),
        _ => (0, 0, true),
    })
}

/// How many commits a branch has that another has not, and the other way round.
pub(super) fn ahead_behind(repository: &Repository, branch: Oid, of: Oid) -> Result<(usize, usize), HistoryError> {
    repository.graph_ahead_behind(branch, of).map_err(at(branch))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_read_from_malformed_lines_too() {
        let lossy = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        for (line, name, email, seconds, offset_minutes) in [
            ("A B <a@b.c> 1700000000 +0200", "A B", "a@b.c", 1_700_000_000, 120),
            ("A <a> 1 -0330", "A", "a", 1, -210),
            ("A <a> 1 +518:00", "A", "a", 1, 0),
            ("A <a> 1 +051800", "A", "a", 1, 0),
            ("A <a> 1 -7700", "A", "a", 1, 0),
            ("A <a> 1", "A", "a", 1, 0),
            ("A <a>", "A", "a", 0, 0),
            ("A <a> -5 +0000", "A", "a", -5, 0),
            ("A <a> 99999999999999999999 +0000", "A", "a", 0, 0),
            ("<> 7 +0000", "", "", 7, 0),
            ("A <x <a>> 7 +0100", "A", "x <a>", 7, 60),
            ("nothing", "nothing", "", 0, 0),
            ("", "", "", 0, 0),
        ] {
            let expected =
                Person { name: name.to_owned(), email: email.to_owned(), when: When { seconds, offset_minutes } };
            assert_eq!(parse_person(line.as_bytes(), &lossy), expected, "{line}");
        }
    }

    #[test]
    fn messages_are_read_in_their_encoding() {
        let oid = Oid::ZERO_SHA1;
        let read = |data: &[u8]| parse_commit(oid, data, None).map(|commit| commit.message);
        assert_eq!(read(b"tree x\nauthor A <a> 1 +0000\n\nh\xc3\xa9").as_deref(), Some("hé"));
        assert_eq!(read(b"tree x\nauthor A <a> 1 +0000\nencoding ISO-8859-1\n\nh\xe9").as_deref(), Some("hé"));
        assert_eq!(read(b"tree x\nauthor A <a> 1 +0000\n\nh\xe9").as_deref(), Some("h\u{fffd}"));
        assert_eq!(read(b"tree x\nauthor A <a> 1 +0000").as_deref(), Some(""));
        assert_eq!(read(b"tree x\n\nno people"), None);
    }
}
