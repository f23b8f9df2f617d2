//! Small questions about a repository, for those who keep books about it: where its histories begin, whether a commit is
//! there, and all of a commit's message. Runs over the history are `code`'s and `branches`'.

use crate::Repository;
use crate::commit;
use crate::objects::{Inflater, ObjectError, Oid};
use crate::options::RunError;
use crate::refs::Head;
use crate::walk;

/// Where the histories of a repository begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Heads {
    /// The branch that HEAD names, without `refs/heads/`, also one that has no commit yet; None where HEAD names a commit.
    pub default: Option<Vec<u8>>,
    /// HEAD's commit; None where there is none yet.
    pub head: Option<Oid>,
    /// Branches without `refs/heads/`, and their commits, by name.
    pub branches: Vec<(Vec<u8>, Oid)>,
    /// The history is cut off below these commits.
    pub shallow: Vec<Oid>,
}

/// Reads messages, one after the other.
pub struct Messages<'a> {
    repository: &'a Repository,
    inflater: Inflater,
}

impl Repository {
    /// Where its histories begin. What a branch's ref names must be there.
    pub fn heads(&self) -> Result<Heads, RunError> {
        let refs = self.layout.refs();
        let short = |name: &[u8]| name.strip_prefix(b"refs/heads/").unwrap_or(name).to_vec();
        let (default, head) = match self.layout.head(&refs) {
            Head::Branch(name, oid) => (Some(short(&name)), oid),
            Head::Detached(oid) => (None, Some(oid)),
            Head::Unknown => return Err(RunError::NoHead),
        };
        let mut inflater = Inflater::new();
        let mut peel = |oid: Oid| walk::peel(&self.odb, oid, &mut inflater);
        let head = head.map(&mut peel).transpose()?.flatten();
        let mut branches = vec![];
        for (name, oid) in refs.iter().filter(|(name, _)| name.starts_with(b"refs/heads/")) {
            branches.extend(peel(*oid)?.map(|oid| (short(name), oid)));
        }
        Ok(Heads { default, head, branches, shallow: self.layout.shallow.clone() })
    }

    /// Whether this is the name of a commit that is there.
    pub fn has_commit(&self, oid: &Oid) -> bool {
        self.odb.has(oid) && matches!(walk::peel(&self.odb, *oid, &mut Inflater::new()), Ok(Some(at)) if at == *oid)
    }

    /// For reading messages: records have only their first paragraphs.
    pub fn messages(&self) -> Messages<'_> {
        Messages { repository: self, inflater: Inflater::new() }
    }
}

impl Messages<'_> {
    /// All of a commit's message. Bytes that are no text are replaced.
    pub fn of(&mut self, commit: Oid) -> Result<String, ObjectError> {
        let odb = &self.repository.odb;
        let (_, bytes) = odb.read(odb.id(&commit), &mut self.inflater)?;
        Ok(commit::message(&bytes))
    }
}
