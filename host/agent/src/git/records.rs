//! The records that come out of a repository, and how their ids are made. The shapes are our own; what they say follows
//! the systems we succeed. A field that is not known is left out.
//!
//! Who owns a file's lines is told in runs (`owners`, `runs`, `classes`) and not line by line, as the systems we succeed
//! did it: in an old file most lines stand beside others of the same commit.
//! For the same reason an owner is a commit's hash and nothing else; who made the commit, and when, stands in its own
//! record, which is exported before.

use std::borrow::Cow;
use std::collections::HashMap;

use ripsrc::{BlameRecord, CommitRecord, FileRecord, Moment, Oid, Person};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};
use xxhash_rust::xxh64::Xxh64;

pub(super) const COMMIT: &str = "sourcecode.Commit";
pub(super) const BLAME: &str = "sourcecode.Blame";
pub(super) const BRANCH: &str = "sourcecode.Branch";
pub(super) const USER: &str = "sourcecode.User";
pub(super) const PULL_REQUEST_BRANCH: &str = "sourcecode.PullRequestBranch";

/// The source of all these records, whoever hosts the repository.
const REF_TYPE: &str = "git";

/// Bytes of one record. The session takes 8 MiB; a record that would have more is cut and says so.
const RECORD_BYTES_MAX: usize = 7 << 20;
/// Bytes of a blame record's owners and runs; the rest is for its other fields.
const OWNERS_BYTES_MAX: usize = 6 << 20;
/// Bytes of a run in JSON: two numbers of ten digits and what stands around them.
const RUN_BYTES: usize = 24;
/// Commits listed with a branch, the newest: with SHA-256 and their ids they take 5 MB. That there are more is told.
const BRANCH_COMMITS_MAX: usize = 50_000;
/// Bytes of a path. No file system has longer ones; a tree may.
const PATH_BYTES_MAX: usize = 4 << 10;
/// Of a commit's message; some are generated and have megabytes.
const MESSAGE_BYTES_MAX: usize = 256 << 10;
/// Of a name or an email address.
const PERSON_BYTES_MAX: usize = 1 << 10;

/// How ids are made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Ids {
    /// Unambiguously: see [`id_of`].
    #[default]
    Hashed,
    /// As the systems we succeed made them, for backends that hold records of theirs: see [`legacy_id`].
    Legacy,
}

/// Whose records they are, and the repository that they are of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    pub customer_id: &'a str,
    pub integration: &'a str,
    pub repo_ref_id: &'a str,
    /// What the integration says of the source; ids of old are made of it.
    pub ref_type: Option<&'a str>,
    pub ids: Ids,
    pub commit_url: Option<&'a str>,
    pub branch_url: Option<&'a str>,
}

/// An id: the first 16 bytes, in hexadecimal, of the SHA-256 of the parts, each after its length in 8 bytes, so that
/// `ab`, `c` and `a`, `bc` have different ids.
pub(super) fn id_of<P: AsRef<[u8]>>(parts: &[P]) -> String {
    let mut hash = Sha256::new();
    for part in parts.iter().map(AsRef::as_ref) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An id of old: xxHash64 with seed 0, in 16 hexadecimal digits, of the parts as they follow one another. It is ambiguous
/// (`ab`, `c` and `a`, `bc` are the same), and so only unique within a model and with luck.
fn legacy_id<P: AsRef<[u8]>>(parts: &[P]) -> String {
    let mut hash = Xxh64::new(0);
    parts.iter().for_each(|part| hash.update(part.as_ref()));
    format!("{:016x}", hash.digest())
}

impl Owner<'_> {
    fn ref_type(&self) -> &str {
        match self.ids {
            Ids::Hashed => REF_TYPE,
            Ids::Legacy => self.ref_type.unwrap_or(REF_TYPE),
        }
    }

    fn id(&self, model: &str, ref_id: &[u8]) -> String {
        let text = [model, self.customer_id, self.integration, REF_TYPE, self.repo_ref_id];
        let [model, customer, integration, ref_type, repo] = text.map(str::as_bytes);
        id_of(&[model, customer, integration, ref_type, repo, ref_id])
    }

    fn commit_id(&self, sha: &str) -> String {
        match self.ids {
            Ids::Hashed => self.id(COMMIT, sha.as_bytes()),
            Ids::Legacy => legacy_id(&[self.customer_id, sha, self.ref_type(), self.repo_ref_id]),
        }
    }

    fn blame_id(&self, sha: &str, path: &[u8]) -> String {
        match self.ids {
            Ids::Hashed => self.id(BLAME, &[sha.as_bytes(), b":", path].concat()),
            Ids::Legacy => {
                let parts = [self.customer_id, sha, self.ref_type(), self.repo_ref_id];
                legacy_id(&[&parts.map(str::as_bytes)[..], &[path]].concat())
            }
        }
    }

    fn branch_id(&self, name: &[u8], first_commit_id: Option<&str>) -> String {
        match self.ids {
            Ids::Hashed => self.id(BRANCH, name),
            Ids::Legacy => {
                let parts = [self.ref_type(), self.repo_ref_id, self.customer_id].map(str::as_bytes);
                legacy_id(&[&parts[..], &[name, first_commit_id.unwrap_or_default().as_bytes()]].concat())
            }
        }
    }

    fn pull_request_id(&self, ref_id: &str) -> String {
        match self.ids {
            Ids::Hashed => self.id(PULL_REQUEST_BRANCH, ref_id.as_bytes()),
            Ids::Legacy => legacy_id(&[self.customer_id, ref_id, self.ref_type(), self.repo_ref_id]),
        }
    }

    /// People are the same in all repositories of an integration.
    fn user_ref_id(&self, email: &str) -> String {
        let email = email.to_lowercase();
        match self.ids {
            Ids::Hashed => id_of(&[USER, self.customer_id, &email]),
            Ids::Legacy => legacy_id(&[self.customer_id, &email]),
        }
    }

    fn user_id(&self, email: &str, ref_id: &str) -> String {
        match self.ids {
            Ids::Hashed => id_of(&[USER, self.customer_id, self.integration, REF_TYPE, ref_id]),
            Ids::Legacy => legacy_id(&["User", self.customer_id, &email.to_lowercase(), self.ref_type()]),
        }
    }
}

#[derive(Debug, Serialize)]
struct Head<'a> {
    id: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    customer_id: &'a str,
    integration: &'a str,
    ref_id: String,
    ref_type: &'a str,
}

#[derive(Debug, Clone, Serialize)]
struct Date {
    /// Milliseconds since 1970.
    epoch: i64,
    /// Minutes east of UTC.
    offset: i32,
    rfc3339: String,
}

#[derive(Debug, Serialize)]
struct Who<'a> {
    name: &'a str,
    email: &'a str,
    date: Date,
}

#[derive(Debug, Serialize)]
struct File<'a> {
    filename: Cow<'a, str>,
    status: &'static str,
    renamed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    renamed_from: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renamed_to: Option<Cow<'a, str>>,
    /// Copies are not looked for, as git does not by default: it takes reading every file of every commit.
    copied: bool,
    additions: u32,
    deletions: u32,
    binary: bool,
}

#[derive(Debug, Serialize)]
struct Commit<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    repo_id: &'a str,
    sha: &'a str,
    message: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    message_truncated: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    author_ref_id: String,
    committer_ref_id: String,
    author: Who<'a>,
    committer: Who<'a>,
    created_date: Date,
    parents: Vec<String>,
    files: Vec<File<'a>>,
    /// Files changed; more than `files` has where the record would be too large.
    files_total: usize,
    /// Why `files` is empty though there may have been changes.
    #[serde(skip_serializing_if = "Option::is_none")]
    files_unknown: Option<&'static str>,
}

/// What a content comes to.
#[derive(Debug, Serialize)]
struct Counts {
    #[serde(skip_serializing_if = "Option::is_none")]
    language: Option<&'static str>,
    loc: u64,
    sloc: u64,
    comments: u64,
    blanks: u64,
    complexity: u64,
    weighted_complexity: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    license: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    license_confidence: Option<f64>,
}

#[derive(Debug, Serialize)]
struct Blame<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    repo_id: &'a str,
    commit_id: &'a str,
    sha: &'a str,
    filename: Cow<'a, str>,
    status: &'static str,
    change_date: &'a Date,
    size: u64,
    line_count: u32,
    binary: bool,
    excluded: bool,
    #[serde(skip_serializing_if = "str::is_empty")]
    excluded_reason: &'a str,
    #[serde(flatten)]
    counts: Option<Counts>,
    owners: Vec<String>,
    /// Pairs of an owner, by its place in `owners` from zero, and a number of lines.
    runs: Vec<(u32, u32)>,
    /// How many of the lines `runs` tells of, where the record would be too large with all.
    #[serde(skip_serializing_if = "Option::is_none")]
    runs_truncated: Option<u32>,
    #[serde(skip_serializing_if = "String::is_empty")]
    classes: String,
}

/// What branches and pull requests have in common.
#[derive(Debug, Default, Serialize)]
struct Line {
    #[serde(skip_serializing_if = "Option::is_none")]
    branch_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merged: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merge_commit_sha: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merge_commit_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_commit_sha: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_commit_id: Option<String>,
    branched_from_commit_shas: Vec<String>,
    branched_from_commit_ids: Vec<String>,
    commit_shas: Vec<String>,
    commit_ids: Vec<String>,
    /// More than are listed where there are very many.
    commit_count: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    ahead_default_count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    behind_default_count: Option<u64>,
}

#[derive(Debug, Serialize)]
struct Branch<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    repo_id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    url: Option<String>,
    default: bool,
    head_sha: String,
    #[serde(flatten)]
    line: Line,
}

#[derive(Debug, Serialize)]
struct User<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    name: &'a str,
    email: String,
}

/// A pull request as the integration names it in the repository's document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize, Serialize)]
pub(super) struct PullRequest {
    #[serde(default)]
    pub id: String,
    pub ref_id: String,
    #[serde(default)]
    pub url: String,
    pub branch_name: String,
    pub last_commit_sha: String,
}

#[derive(Debug, Serialize)]
struct PullRequestBranch<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    repo_id: &'a str,
    pull_request_id: &'a str,
    pull_request_ref_id: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    url: &'a str,
    default: bool,
    head_sha: &'a str,
    /// Whether the head is among the commits that the server gives out.
    found: bool,
    #[serde(flatten)]
    line: Line,
}

fn date(when: Moment) -> Date {
    // What no calendar of four-digit years has is put at its ends: such dates are a broken clock's.
    let first = time::macros::datetime!(0001-01-01 00:00 UTC);
    let last = time::macros::datetime!(9998-12-31 23:59:59 UTC);
    let seconds = when.seconds.clamp(first.unix_timestamp(), last.unix_timestamp());
    let utc = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let offset = UtcOffset::from_whole_seconds(when.zone_minutes * 60).unwrap_or(UtcOffset::UTC);
    Date {
        epoch: seconds * 1000,
        offset: i32::from(offset.whole_minutes()),
        rfc3339: utc.to_offset(offset).format(&Rfc3339).unwrap_or_default(),
    }
}

fn who(person: &Person, when: Moment) -> Who<'_> {
    let short = |text| crate::cut(text, PERSON_BYTES_MAX);
    Who { name: short(&person.name), email: short(&person.email), date: date(when) }
}

/// A path for people: what is no text in it is replaced, and one that no file system has is cut.
fn shown(path: &[u8]) -> Cow<'_, str> {
    if path.len() <= PATH_BYTES_MAX {
        return String::from_utf8_lossy(path);
    }
    format!("{}…", String::from_utf8_lossy(&path[..PATH_BYTES_MAX])).into()
}

fn file(file: &FileRecord) -> File<'_> {
    File {
        filename: shown(&file.path),
        status: file.status.as_str(),
        renamed: file.renamed_from.is_some() || file.renamed_to.is_some(),
        renamed_from: file.renamed_from.as_deref().map(shown),
        renamed_to: file.renamed_to.as_deref().map(shown),
        copied: false,
        additions: file.additions,
        deletions: file.deletions,
        binary: file.binary,
    }
}

fn counts(blame: &BlameRecord<'_>) -> Option<Counts> {
    let facts = blame.facts?;
    Some(Counts {
        language: facts.language.map(ripsrc::count::Language::name),
        loc: facts.loc,
        sloc: facts.sloc,
        comments: facts.comments,
        blanks: facts.blanks,
        complexity: facts.complexity,
        weighted_complexity: facts.weighted_complexity,
        license: facts.license.as_ref().map(|license| license.name.to_string()),
        license_confidence: facts.license.as_ref().map(|license| f64::from(license.confidence)),
    })
}

/// Owners, runs, and how many lines they tell of where that is not all.
fn runs_of(lines: impl Iterator<Item = (Oid, u32)>) -> (Vec<String>, Vec<(u32, u32)>, Option<u32>) {
    let (mut owners, mut runs, mut bytes, mut told) = (vec![], vec![], 0, 0);
    let mut places: HashMap<Oid, u32> = HashMap::new();
    for (sha, count) in lines {
        let known = places.get(&sha).copied();
        let name = if known.is_some() { String::new() } else { sha.to_string() };
        bytes += RUN_BYTES + if known.is_some() { 0 } else { name.len() + 3 };
        if bytes > OWNERS_BYTES_MAX {
            return (owners, runs, Some(told));
        }
        let place = known.unwrap_or_else(|| {
            owners.push(name);
            places.insert(sha, owners.len() as u32 - 1);
            owners.len() as u32 - 1
        });
        runs.push((place, count));
        told += count;
    }
    (owners, runs, None)
}

/// Classes of lines as runs: `c` code, `m` comment, `b` blank, each before its number of lines, as in `m3b1c40`.
fn class_runs(letters: &[u8]) -> String {
    let mut out = String::new();
    for run in letters.chunk_by(|a, b| a == b) {
        out.push(char::from(run[0]));
        out.push_str(&run.len().to_string());
    }
    out
}

/// Puts a value into a template's place: `{name}`, or `@@@name@@@` as the systems we succeed wrote it. The value is
/// percent-encoded but for what a path may have.
fn filled(template: Option<&str>, name: &str, value: &str) -> Option<String> {
    let encoded: String = value
        .bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'/' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    template.map(|text| text.replace(&format!("{{{name}}}"), &encoded).replace(&format!("@@@{name}@@@"), &encoded))
}

/// Records of one model as lines. What serializes to JSON cannot fail to: the types hold texts and numbers.
fn line(record: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(record).unwrap_or_default();
    line.push(b'\n');
    line
}

/// What all files of a commit have in common.
pub(super) struct OfCommit {
    sha: String,
    id: String,
    date: Date,
}

impl<'a> Owner<'a> {
    fn head(&'a self, id: String, ref_id: String) -> Head<'a> {
        let (customer_id, integration) = (self.customer_id, self.integration);
        Head { id, customer_id, integration, ref_id, ref_type: self.ref_type() }
    }

    /// A commit's line, and what its files need of it. `known` is whether its changed files are.
    pub(super) fn commit(&self, commit: &CommitRecord<'_>, message: &str, known: bool) -> (OfCommit, Vec<u8>) {
        let sha = commit.sha.to_string();
        let of = OfCommit { id: self.commit_id(&sha), date: date(commit.committed), sha };
        let files = if known { commit.files } else { &[] };
        let short = crate::cut(message, MESSAGE_BYTES_MAX);
        let (author, committer) = (who(commit.author, commit.authored), who(commit.committer, commit.committed));
        let mut record = Commit {
            head: self.head(of.id.clone(), of.sha.clone()),
            repo_id: self.repo_ref_id,
            sha: &of.sha,
            message: short,
            message_truncated: short.len() < message.len(),
            url: filled(self.commit_url, "sha", &of.sha),
            author_ref_id: self.user_ref_id(author.email),
            committer_ref_id: self.user_ref_id(committer.email),
            author,
            committer,
            created_date: of.date.clone(),
            parents: commit.parents.iter().map(ToString::to_string).collect(),
            files: files.iter().map(file).collect(),
            files_total: files.len(),
            files_unknown: (!known).then_some("shallow"),
        };
        loop {
            let line = line(&record);
            if line.len() <= RECORD_BYTES_MAX || record.files.is_empty() {
                return (of, line);
            }
            record.files.truncate(record.files.len() / 2);
        }
    }

    /// The line of a file as a commit left it.
    pub(super) fn blame(&self, of: &OfCommit, blame: &BlameRecord<'_>) -> Vec<u8> {
        let filename = shown(&blame.path);
        let (owners, runs, runs_truncated) = runs_of(blame.owners.iter().map(|owned| (owned.sha, owned.count)));
        let mut letters = vec![];
        blame.classes.write(&mut letters);
        line(&Blame {
            head: self.head(self.blame_id(&of.sha, &blame.path), format!("{}:{filename}", of.sha)),
            repo_id: self.repo_ref_id,
            commit_id: &of.id,
            sha: &of.sha,
            filename,
            status: blame.status.as_str(),
            change_date: &of.date,
            size: blame.size,
            line_count: blame.lines,
            binary: blame.binary,
            excluded: !blame.skipped.is_empty(),
            excluded_reason: &blame.skipped,
            counts: counts(blame),
            owners,
            runs,
            runs_truncated,
            classes: class_runs(&letters),
        })
    }

    /// What a branch is among the commits. `compared` is whether there is a default branch to compare it with.
    fn line_of(&self, branch: &ripsrc::Branch, compared: bool) -> Line {
        let shas = |list: &[Oid]| list.iter().map(ToString::to_string).collect::<Vec<String>>();
        let ids = |list: &[String]| list.iter().map(|sha| self.commit_id(sha)).collect();
        let newest = &branch.commits[branch.commits.len().saturating_sub(BRANCH_COMMITS_MAX)..];
        let (commit_shas, branched_from_commit_shas) = (shas(newest), shas(&branch.branched_from));
        let (merge, first) =
            (branch.merge_commit.map(|sha| sha.to_string()), branch.first_commit.map(|sha| sha.to_string()));
        let other = compared && !branch.is_default;
        Line {
            branch_id: Some(branch.id.clone()),
            merged: other.then_some(branch.is_merged),
            merge_commit_id: merge.as_deref().map(|sha| self.commit_id(sha)),
            merge_commit_sha: merge,
            first_commit_id: first.as_deref().map(|sha| self.commit_id(sha)),
            first_commit_sha: first,
            branched_from_commit_ids: ids(&branched_from_commit_shas),
            branched_from_commit_shas,
            commit_ids: ids(&commit_shas),
            commit_shas,
            commit_count: branch.commits.len(),
            ahead_default_count: compared.then_some(branch.ahead),
            behind_default_count: compared.then_some(branch.behind),
        }
    }

    /// A branch's line.
    pub(super) fn branch(&self, branch: &ripsrc::Branch, compared: bool) -> Vec<u8> {
        let name = shown(&branch.name);
        let line_of = self.line_of(branch, compared);
        line(&Branch {
            head: self
                .head(self.branch_id(&branch.name, line_of.first_commit_id.as_deref()), name.clone().into_owned()),
            repo_id: self.repo_ref_id,
            name: &name,
            url: filled(self.branch_url, "branch", &name),
            default: branch.is_default,
            head_sha: branch.head.to_string(),
            line: line_of,
        })
    }

    /// The key of a person, and the line.
    pub(super) fn user(&self, person: &Person) -> (String, Vec<u8>) {
        let (name, email) = (crate::cut(&person.name, PERSON_BYTES_MAX), crate::cut(&person.email, PERSON_BYTES_MAX));
        let ref_id = self.user_ref_id(email);
        let head = self.head(self.user_id(email, &ref_id), ref_id.clone());
        (ref_id, line(&User { head, name, email: email.to_lowercase() }))
    }

    /// A pull request's line. `branch` is none where its head was not found.
    pub(super) fn pull_request(
        &self,
        request: &PullRequest,
        branch: Option<&ripsrc::Branch>,
        compared: bool,
    ) -> Vec<u8> {
        line(&PullRequestBranch {
            head: self.head(self.pull_request_id(&request.ref_id), request.ref_id.clone()),
            repo_id: self.repo_ref_id,
            pull_request_id: &request.id,
            pull_request_ref_id: &request.ref_id,
            name: &request.branch_name,
            url: &request.url,
            default: false,
            head_sha: &request.last_commit_sha,
            found: branch.is_some(),
            line: branch.map(|branch| self.line_of(branch, compared)).unwrap_or_default(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner() -> Owner<'static> {
        Owner {
            customer_id: "c1",
            integration: "git",
            repo_ref_id: "r1",
            ref_type: None,
            ids: Ids::Hashed,
            commit_url: Some("https://h/c/@@@sha@@@"),
            branch_url: Some("https://h/b/{branch}"),
        }
    }

    fn person(name: &str, email: &str) -> Person {
        Person { name: name.to_owned(), email: email.to_owned() }
    }

    const SHA: &str = "33e223d1fd8393dc98596727d370e51e7b3b7fba";

    fn oid() -> Oid {
        Oid::from_hex(SHA.as_bytes()).expect("it is a name")
    }

    fn json(line: &[u8]) -> serde_json::Value {
        serde_json::from_slice(line).expect("a line is JSON")
    }

    #[test]
    fn ids_are_unambiguous_and_do_not_change() {
        assert_ne!(id_of(&["ab", "c"]), id_of(&["a", "bc"]));
        assert_ne!(id_of(&["a", ""]), id_of(&["a"]));
        // SHA-256 of eight zero bytes but the last, which is 1, and `a`; computed with sha256sum.
        assert_eq!(id_of(&["a"]), ID_OF_A);
        assert_ne!(owner().blame_id(SHA, b"a\xff"), owner().blame_id(SHA, b"a\xfe"));
    }

    const ID_OF_A: &str = "3b196fd4907bedf51c3090e9835f2f7c";

    /// The values that the tests of the systems we succeed have for the same input.
    #[test]
    fn legacy_ids_are_those_of_old() {
        let owner = Owner { ids: Ids::Legacy, ..owner() };
        assert_eq!(owner.user_ref_id("none"), "562d0daa5e0b4946");
        assert_eq!(owner.user_id("none", "562d0daa5e0b4946"), "3272aa1f3e23245f");
        assert_eq!(owner.commit_id(SHA), "c9074ba50d54337b");
        // The same parts in another order, and with more of them, are other ids.
        assert_eq!(owner.pull_request_id(SHA), owner.commit_id(SHA));
        assert_ne!(owner.blame_id(SHA, b"a"), owner.commit_id(SHA));
        assert_eq!(owner.blame_id(SHA, b""), owner.commit_id(SHA));
        assert_ne!(owner.branch_id(b"a", None), owner.branch_id(b"a", Some(SHA)));
        let github = Owner { ref_type: Some("github"), ..owner };
        assert_ne!(github.commit_id(SHA), owner.commit_id(SHA));
        assert_eq!((github.ref_type(), Owner { ids: Ids::Hashed, ..github }.ref_type()), ("github", "git"));
    }

    #[test]
    fn dates_keep_their_zone_and_have_an_end() {
        let shown = |seconds, zone_minutes| date(Moment { seconds, zone_minutes }).rfc3339;
        assert_eq!(shown(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(shown(1_700_000_000, -210), "2023-11-14T18:43:20-03:30");
        assert_eq!(shown(i64::MAX, 600), "9999-01-01T09:59:59+10:00");
        assert_eq!(shown(i64::MIN, 23 * 60 + 59), "0001-01-01T23:59:00+23:59");
        assert_eq!(shown(i64::MIN, -(23 * 60 + 59)), "0000-12-31T00:01:00-23:59");
    }

    #[test]
    fn a_person_is_one_whatever_the_case_of_the_email() {
        let (one, line) = owner().user(&person("A", "A@Example.com"));
        let (other, _) = owner().user(&person("B", "a@example.COM"));
        assert_eq!(one, other);
        let record = json(&line);
        assert_eq!(
            (record["email"].as_str(), record["name"].as_str(), record["ref_id"].as_str()),
            (Some("a@example.com"), Some("A"), Some(one.as_str()))
        );
    }

    #[test]
    fn a_commit_that_changes_too_much_is_cut_and_says_so() {
        let who = person(&"n".repeat(5_000), "a");
        let file = FileRecord {
            path: vec![b'x'; 1000].into(),
            status: ripsrc::Status::Added,
            renamed_from: None,
            renamed_to: None,
            additions: 1,
            deletions: 0,
            binary: false,
        };
        let mut files = vec![file.clone(); 9_999];
        files.insert(0, FileRecord { path: vec![b'y'; 5_000].into(), ..file });
        let commit = CommitRecord {
            sha: oid(),
            parents: &[],
            ordinal: 1,
            subject: "m",
            author: &who,
            authored: Moment::default(),
            committer: &who,
            committed: Moment::default(),
            files: &files,
        };
        let (_, line) = owner().commit(&commit, &"m".repeat(300 << 10), true);
        assert!(line.len() <= RECORD_BYTES_MAX);
        let record = json(&line);
        assert_eq!(record["files_total"], 10_000);
        assert_eq!(record["files"].as_array().map(Vec::len), Some(5_000));
        assert_eq!(
            record["files"][0]["filename"].as_str().map(|name| (name.len(), name.ends_with('…'))),
            Some((4_099, true))
        );
        assert_eq!(record["url"].as_str(), Some(format!("https://h/c/{SHA}").as_str()));
        assert_eq!(
            (record["message"].as_str().map(str::len), &record["message_truncated"]),
            (Some(256 << 10), &true.into())
        );
        assert_eq!(record["author"]["name"].as_str().map(str::len), Some(PERSON_BYTES_MAX));
        let (_, line) = owner().commit(&commit, "m", false);
        let record = json(&line);
        assert_eq!((&record["files_total"], &record["files_unknown"]), (&0.into(), &"shallow".into()));
    }

    #[test]
    fn owners_that_are_too_many_are_cut_and_it_says_so() {
        let oids: Vec<Oid> =
            (0..200_000).filter_map(|number| Oid::from_hex(format!("{number:040x}").as_bytes())).collect();
        let tell = |count: usize| {
            let owned = oids[..count].iter().map(|sha| (*sha, 3));
            runs_of(owned)
        };
        let (owners, runs, truncated) = tell(10);
        assert_eq!((owners.len(), runs.len(), truncated), (10, 10, None));
        let (owners, runs, truncated) = tell(200_000);
        assert_eq!((owners.len(), runs.len() as u32 * 3), (runs.len(), truncated.expect("it is cut")));
        let bytes = serde_json::to_vec(&(&owners, &runs)).expect("it is JSON").len();
        assert!(bytes <= OWNERS_BYTES_MAX && bytes > OWNERS_BYTES_MAX / 2, "{bytes}");
        assert_eq!(owners[0], oids[0].to_string());
        // An owner is named once, however many runs it has.
        let (owners, runs, _) = runs_of([(oids[1], 2), (oids[2], 1), (oids[1], 4)].into_iter());
        assert_eq!((owners.len(), runs), (2, vec![(0, 2), (1, 1), (0, 4)]));
    }

    #[test]
    fn classes_are_told_as_runs() {
        for (letters, told) in [("", ""), ("c", "c1"), ("mmmbcc", "m3b1c2"), ("cbcb", "c1b1c1b1")] {
            assert_eq!(class_runs(letters.as_bytes()), told);
        }
    }

    #[test]
    fn a_branch_is_named_in_its_url() {
        let branch = ripsrc::Branch {
            id: "b".into(),
            name: "feature/ä b".into(),
            is_default: false,
            is_pull_request: false,
            is_merged: true,
            head: oid(),
            merge_commit: None,
            branched_from: vec![],
            commits: vec![oid(); BRANCH_COMMITS_MAX + 1],
            first_commit: Some(oid()),
            behind: 3,
            ahead: 0,
        };
        let line = owner().branch(&branch, true);
        assert!(line.len() < RECORD_BYTES_MAX);
        let record = json(&line);
        assert_eq!(record["url"], "https://h/b/feature/%C3%A4%20b");
        assert_eq!((&record["merged"], &record["behind_default_count"]), (&true.into(), &3.into()));
        assert_eq!(record["commit_shas"].as_array().map(Vec::len), Some(BRANCH_COMMITS_MAX));
        assert_eq!(record["commit_count"], BRANCH_COMMITS_MAX + 1);
        assert!(json(&owner().branch(&branch, false)).get("merged").is_none());
    }
}
