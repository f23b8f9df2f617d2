//! The refs of a mirror: which of its server's it has, and how they are written, all in one file (`packed-refs`) and in one go.
//! What a server calls its refs is not believed: a name that git does not allow, that no file system takes, or that is a folder
//! of another's is left out and told.
//!
//! Format: `packed-refs` of `gitrepository-layout`, and the rules of `git check-ref-format`.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;

use git2::Oid;

use super::transport::Advertised;

/// Bytes between two slashes, and of a whole name: git keeps refs in files of these names, and more is taken by no file system.
const PART_BYTES_MAX: usize = 255;
const NAME_BYTES_MAX: usize = 4_000;
/// Refs that are left out and named; the rest is counted.
const TOLD_MAX: usize = 5;
/// Characters of a name that are told.
const TOLD_CHARS_MAX: usize = 200;

/// The advertised refs that a mirror has: branches, tags, and one for each wanted head.
pub(super) struct Refs {
    /// In the order of their names.
    pub kept: BTreeMap<Vec<u8>, Oid>,
    /// Names, and why they are none.
    pub left_out: Vec<(Vec<u8>, &'static str)>,
}

impl Refs {
    pub(super) fn of(advertised: &Advertised, heads: &HashSet<Oid>) -> Refs {
        let mut refs = Refs { kept: BTreeMap::new(), left_out: Vec::new() };
        let branches = advertised.refs.iter().filter(|(name, _)| name.starts_with(b"refs/heads/"));
        let mut found: HashSet<Oid> = branches.map(|(_, oid)| *oid).collect();
        for (name, oid) in &advertised.refs {
            let plain = name.starts_with(b"refs/heads/") || name.starts_with(b"refs/tags/");
            let other = name.starts_with(b"refs/") && heads.contains(oid) && !found.contains(oid);
            if !plain && !other {
                continue;
            }
            found.insert(*oid);
            if refs.kept.contains_key(name) {
                refs.left_out.push((name.clone(), "it is there twice"));
                continue;
            }
            match fault_of(name) {
                Some(why) => refs.left_out.push((name.clone(), why)),
                None => drop(refs.kept.insert(name.clone(), *oid)),
            }
        }
        refs.leave_out_below();
        refs
    }

    /// A ref `a` and a ref `a/b`, which git cannot have both: the former stays.
    fn leave_out_below(&mut self) {
        let below = |name: &[u8]| {
            let folders = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &name[..at]);
            { folders }.any(|folder| self.kept.contains_key(folder))
        };
        let names: Vec<Vec<u8>> = self.kept.keys().filter(|name| below(name)).cloned().collect();
        for name in names {
            self.kept.remove(&name);
            self.left_out.push((name, "another ref has the name of its folder"));
        }
    }

    /// Says what is left out.
    pub(super) fn tell(&self, url: &url::Url) {
        for (name, why) in self.left_out.iter().take(TOLD_MAX) {
            tracing::warn!(%url, name = %shown(name), %why, "this ref is left out");
        }
        if let Some(more) = self.left_out.len().checked_sub(TOLD_MAX).filter(|more| *more > 0) {
            tracing::warn!(%url, refs = more, "so many more refs are left out");
        }
    }

    /// Makes these the refs of a repository, and no others.
    pub(super) fn write(&self, repository: &Path) -> io::Result<()> {
        let new = repository.join("packed-refs.new");
        let mut file = BufWriter::new(File::create(&new)?);
        file.write_all(b"# pack-refs with: sorted \n")?;
        for (name, oid) in &self.kept {
            write!(file, "{oid} ")?;
            file.write_all(name)?;
            file.write_all(b"\n")?;
        }
        file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
        fs::rename(&new, repository.join("packed-refs"))?;
        // A ref in a file of its own goes before one in the list.
        clear(&repository.join("refs"), 0)
    }
}

/// Removes all but the folders that make a repository one.
fn clear(folder: &Path, depth: usize) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let stays = depth == 0 && (entry.file_name() == "heads" || entry.file_name() == "tags");
        match (entry.file_type()?.is_dir(), stays) {
            (true, true) => clear(&entry.path(), 1)?,
            (true, false) => fs::remove_dir_all(entry.path())?,
            (false, _) => fs::remove_file(entry.path())?,
        }
    }
    Ok(())
}

/// A name, for a person.
pub(super) fn shown(name: &[u8]) -> String {
    let text = String::from_utf8_lossy(name);
    crate::cut(&text, TOLD_CHARS_MAX).escape_debug().to_string()
}

/// Why git allows no such name.
pub(super) fn fault_of(name: &[u8]) -> Option<&'static str> {
    let no_such = Some("git allows no such name");
    if name.len() > NAME_BYTES_MAX {
        return Some("its name is too long for a file");
    }
    for part in name.split(|byte| *byte == b'/') {
        if part.len() > PART_BYTES_MAX {
            return Some("its name is too long for a file");
        }
        if part.is_empty() || part[0] == b'.' || part.ends_with(b".lock") {
            return no_such;
        }
    }
    let bad = |byte: &u8| *byte < 0x20 || *byte == 0x7f || b" ~^:?*[\\".contains(byte);
    let pairs = name.windows(2).any(|pair| pair == b".." || pair == b"@{");
    if name.iter().any(bad) || pairs || name.ends_with(b".") {
        return no_such;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As libgit2 judges names, but for how long they are.
    #[test]
    fn names_are_those_that_git_allows() {
        for name in [
            "refs/heads/a",
            "refs/heads/a/b",
            "refs/heads/ä",
            "refs/heads/@",
            "refs/heads/a@b",
            "refs/heads/-x",
            "refs/heads/{a}",
            "refs/heads/a.b",
            "refs/heads/a!",
            "refs/tags/v1.0",
            "refs/heads/",
            "refs/heads//a",
            "refs/heads/.a",
            "refs/heads/a.",
            "refs/heads/a..b",
            "refs/heads/a.lock",
            "refs/heads/a.lock/b",
            "refs/heads/a b",
            "refs/heads/a~1",
            "refs/heads/a^",
            "refs/heads/a:b",
            "refs/heads/a?",
            "refs/heads/a*",
            "refs/heads/[a",
            "refs/heads/a\\b",
            "refs/heads/a@{1}",
            "refs/heads/../x",
            "refs/heads/a\u{7f}",
            "refs/heads/a\u{1}",
            "refs/heads/a\n",
        ] {
            let ours = fault_of(name.as_bytes()).is_none();
            assert_eq!(ours, git2::Reference::is_valid_name(name), "{name:?}");
        }
        let part = |bytes: usize| format!("refs/heads/{}", "x".repeat(bytes)).into_bytes();
        assert!(fault_of(&part(255)).is_none() && fault_of(&part(256)).is_some());
        assert!(fault_of(format!("refs/heads{}", "/x".repeat(2_000)).as_bytes()).is_some());
        assert!(fault_of(b"refs/heads/\xff\xfe").is_none(), "not all names are UTF-8");
    }

    #[test]
    fn what_is_file_and_folder_at_once_is_left_out() {
        let oid = Oid::from_bytes(&[7; 20]).expect("it has the length");
        let names = [
            "HEAD",
            "refs/heads/a/b",
            "refs/heads/a",
            "refs/heads/a/b/c",
            "refs/heads/ab",
            "refs/heads/ab",
            "refs/pull/1/head",
        ];
        let refs = names.iter().map(|name| (name.as_bytes().to_vec(), oid)).collect();
        let refs = Refs::of(&Advertised { refs, ..Advertised::default() }, &HashSet::new());
        let kept: Vec<String> = refs.kept.keys().map(|name| shown(name)).collect();
        assert_eq!(kept, ["refs/heads/a", "refs/heads/ab"]);
        let left: Vec<String> = refs.left_out.iter().map(|(name, _)| shown(name)).collect();
        assert_eq!(left, ["refs/heads/ab", "refs/heads/a/b", "refs/heads/a/b/c"]);
    }
}
