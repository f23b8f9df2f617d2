//! From what people call a commit to the commit: HEAD, branches, tags, other refs, hashes and their beginnings. Git's
//! language for revisions (`HEAD~3`, `@{yesterday}`) is left to git.

use crate::Repository;
use crate::objects::{Inflater, ObjectError, Oid};
use crate::refs::Head;
use crate::walk;
use std::collections::BTreeSet;

/// Digits of a hash that are taken for one: as git has it, so that words like `add` are none.
const PREFIX_DIGITS_MIN: usize = 4;
/// Commits that are named where a beginning fits several.
const CANDIDATES_MAX: usize = 10;
/// Where a short name may lie, in git's order.
const PLACES: [&str; 6] = ["", "refs/", "refs/tags/", "refs/heads/", "refs/remotes/", "refs/remotes/*/HEAD"];

/// Why a name is no commit.
#[derive(Debug, thiserror::Error)]
pub enum ResolveError {
    #[error(
        "there is no commit `{0}`; give a branch, a tag, or a hash or its beginning (at least four digits); for others, such as HEAD~3, `git rev-parse` tells the hash"
    )]
    Unknown(String),
    #[error("`{name}` is the beginning of several commits: {}; give more digits", list(candidates))]
    Ambiguous { name: String, candidates: Vec<Oid> },
    #[error("`{0}` names something that is no commit")]
    NotACommit(String),
    #[error("`{name}` cannot be read")]
    Unreadable { name: String, source: ObjectError },
}

fn list(candidates: &[Oid]) -> String {
    let shown: Vec<String> = candidates.iter().take(CANDIDATES_MAX).map(Oid::to_string).collect();
    let more = candidates.len().saturating_sub(CANDIDATES_MAX);
    if more == 0 { shown.join(", ") } else { format!("{} and {more} more", shown.join(", ")) }
}

impl Repository {
    /// Finds the commit that a name stands for; tags are followed.
    pub fn resolve(&self, name: &str) -> Result<Oid, ResolveError> {
        let mut inflater = Inflater::new();
        let named = self.whole_hash(name).or_else(|| self.named(name));
        if let Some(oid) = named {
            return match walk::peel(&self.odb, oid, &mut inflater) {
                Ok(Some(commit)) => Ok(commit),
                Ok(None) => Err(ResolveError::NotACommit(name.to_owned())),
                Err(source) => Err(ResolveError::Unreadable { name: name.to_owned(), source }),
            };
        }
        let found = self.beginning(name);
        // What is no commit, or cannot be read, is not meant.
        let commits: BTreeSet<Oid> =
            found.iter().filter_map(|oid| walk::peel(&self.odb, *oid, &mut inflater).ok().flatten()).collect();
        match commits.len() {
            0 if found.is_empty() => Err(ResolveError::Unknown(name.to_owned())),
            0 => Err(ResolveError::NotACommit(name.to_owned())),
            1 => Ok(commits.into_iter().next().unwrap_or(found[0])),
            _ => Err(ResolveError::Ambiguous { name: name.to_owned(), candidates: commits.into_iter().collect() }),
        }
    }

    /// A whole hash of something that the repository has.
    fn whole_hash(&self, name: &str) -> Option<Oid> {
        Oid::from_hex(name.as_bytes()).filter(|oid| oid.as_bytes().len() == self.layout.hash_len && self.odb.has(oid))
    }

    fn named(&self, name: &str) -> Option<Oid> {
        let refs = self.layout.refs();
        if matches!(name, "HEAD" | "@") {
            return match self.layout.head(&refs) {
                Head::Branch(_, oid) => oid,
                Head::Detached(oid) => Some(oid),
                Head::Unknown => None,
            };
        }
        let full = |place: &str| match place.split_once('*') {
            Some((before, after)) => format!("{before}{name}{after}"),
            None => format!("{place}{name}"),
        };
        PLACES.iter().map(|place| full(place)).find_map(|full| refs.get(full.as_bytes()).copied())
    }

    /// Everything whose hash begins like this.
    fn beginning(&self, name: &str) -> Vec<Oid> {
        let digits = name.to_ascii_lowercase();
        let fits = digits.len() >= PREFIX_DIGITS_MIN
            && digits.len() < self.layout.hash_len * 2
            && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if fits { self.odb.begin_with(&digits) } else { vec![] }
    }
}
