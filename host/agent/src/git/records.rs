//! The records that come out of a repository, and how their ids are made. The shapes are our own; what they say follows
//! the systems we succeed. A field that is not known is left out.

use serde::Serialize;
use sha2::{Digest, Sha256};
use time::format_description::well_known::Rfc3339;
use time::{OffsetDateTime, UtcOffset};

use super::history::{self, FileChange, Person, Status, When};

pub(super) const COMMIT: &str = "sourcecode.Commit";
pub(super) const BRANCH: &str = "sourcecode.Branch";
pub(super) const USER: &str = "sourcecode.User";
pub(super) const PULL_REQUEST_BRANCH: &str = "sourcecode.PullRequestBranch";

/// The source of all these records, whoever hosts the repository.
const REF_TYPE: &str = "git";

/// Bytes of one record. The session takes 8 MiB; a commit that changes more files than fit is cut and says so.
const RECORD_BYTES_MAX: usize = 7 << 20;

/// Whose records they are, and the repository that they are of.
#[derive(Debug, Clone, Copy)]
pub(super) struct Owner<'a> {
    pub customer_id: &'a str,
    pub integration: &'a str,
    pub repo_ref_id: &'a str,
    pub commit_url: Option<&'a str>,
    pub branch_url: Option<&'a str>,
}

/// An id: the first 16 bytes, in hexadecimal, of the SHA-256 of the parts, each after its length in 8 bytes, so that
/// `ab`, `c` and `a`, `bc` have different ids.
pub(super) fn id_of(parts: &[&str]) -> String {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    }
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Owner<'_> {
    fn id(&self, model: &str, ref_id: &str) -> String {
        id_of(&[model, self.customer_id, self.integration, REF_TYPE, self.repo_ref_id, ref_id])
    }

    /// People are the same in all repositories of an integration.
    fn user_ref_id(&self, email: &str) -> String {
        id_of(&[USER, self.customer_id, &email.to_lowercase()])
    }
}

#[derive(Debug, Serialize)]
struct Head<'a> {
    id: String,
    #[serde(skip_serializing_if = "str::is_empty")]
    customer_id: &'a str,
    integration: &'a str,
    ref_id: String,
    ref_type: &'static str,
}

#[derive(Debug, Serialize)]
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
    filename: &'a str,
    status: &'static str,
    renamed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    renamed_from: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    renamed_to: Option<&'a str>,
    /// Copies are not looked for, as git does not by default: it takes reading every file of every commit.
    copied: bool,
    additions: usize,
    deletions: usize,
    binary: bool,
}

#[derive(Debug, Serialize)]
struct Commit<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    repo_id: &'a str,
    sha: String,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    ahead_default_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    behind_default_count: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    merged: Option<bool>,
}

#[derive(Debug, Serialize)]
struct User<'a> {
    #[serde(flatten)]
    head: Head<'a>,
    name: &'a str,
    email: String,
}

/// A pull request as the integration names it in the repository's document.
#[derive(Debug, Clone, PartialEq, Eq, serde::Deserialize, Serialize)]
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
    head_sha: &'a str,
    /// Whether the head is among the commits that the server gives out.
    found: bool,
    /// Newest last; none where the head was not found.
    commit_shas: Vec<String>,
    commit_count: usize,
}

fn date(when: When) -> Date {
    // What no calendar of four-digit years has is put at its ends: such dates are a broken clock's.
    let first = time::macros::datetime!(0001-01-01 00:00 UTC);
    let last = time::macros::datetime!(9998-12-31 23:59:59 UTC);
    let seconds = when.seconds.clamp(first.unix_timestamp(), last.unix_timestamp());
    let utc = OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let offset = UtcOffset::from_whole_seconds(when.offset_minutes * 60).unwrap_or(UtcOffset::UTC);
    Date {
        epoch: seconds * 1000,
        offset: i32::from(offset.whole_minutes()),
        rfc3339: utc.to_offset(offset).format(&Rfc3339).unwrap_or_default(),
    }
}

fn who(person: &Person) -> Who<'_> {
    Who { name: &person.name, email: &person.email, date: date(person.when) }
}

fn file(change: &FileChange) -> File<'_> {
    File {
        filename: &change.path,
        status: match change.status {
            Status::Added => "added",
            Status::Modified => "modified",
            Status::Removed => "removed",
            Status::Renamed => "renamed",
        },
        renamed: change.status == Status::Renamed,
        renamed_from: change.renamed_from.as_deref(),
        renamed_to: (change.status == Status::Renamed).then_some(change.path.as_str()),
        copied: false,
        additions: change.additions,
        deletions: change.deletions,
        binary: change.binary,
    }
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

impl<'a> Owner<'a> {
    fn head(&self, model: &str, ref_id: &str) -> Head<'a> {
        Head {
            id: self.id(model, ref_id),
            customer_id: self.customer_id,
            integration: self.integration,
            ref_id: ref_id.to_owned(),
            ref_type: REF_TYPE,
        }
    }

    /// A commit's line. `changes` is none where they cannot be known.
    pub(super) fn commit(&self, commit: &history::Commit, changes: Option<&[FileChange]>) -> Vec<u8> {
        let sha = commit.oid.to_string();
        let files = changes.unwrap_or_default();
        let mut record = Commit {
            head: self.head(COMMIT, &sha),
            repo_id: self.repo_ref_id,
            message: &commit.message,
            message_truncated: commit.message_cut,
            url: filled(self.commit_url, "sha", &sha),
            sha,
            author_ref_id: self.user_ref_id(&commit.author.email),
            committer_ref_id: self.user_ref_id(&commit.committer.email),
            author: who(&commit.author),
            committer: who(&commit.committer),
            created_date: date(commit.committer.when),
            parents: commit.parents.iter().map(ToString::to_string).collect(),
            files: files.iter().map(file).collect(),
            files_total: files.len(),
            files_unknown: changes.is_none().then_some("shallow"),
        };
        loop {
            let line = line(&record);
            if line.len() <= RECORD_BYTES_MAX || record.files.is_empty() {
                return line;
            }
            record.files.truncate(record.files.len() / 2);
        }
    }

    /// A branch's line. `compared` is how many commits it is ahead of the default branch and behind it.
    pub(super) fn branch(&self, branch: &history::Branch, compared: Option<(usize, usize)>) -> Vec<u8> {
        line(&Branch {
            head: self.head(BRANCH, &branch.name),
            repo_id: self.repo_ref_id,
            name: &branch.name,
            url: filled(self.branch_url, "branch", &branch.name),
            default: branch.default,
            head_sha: branch.head.to_string(),
            ahead_default_count: compared.map(|(ahead, _)| ahead),
            behind_default_count: compared.map(|(_, behind)| behind),
            merged: compared.filter(|_| !branch.default).map(|(ahead, _)| ahead == 0),
        })
    }

    /// The key of a person, and the line.
    pub(super) fn user(&self, person: &Person) -> (String, Vec<u8>) {
        let ref_id = self.user_ref_id(&person.email);
        let head = Head {
            id: id_of(&[USER, self.customer_id, self.integration, REF_TYPE, &ref_id]),
            customer_id: self.customer_id,
            integration: self.integration,
            ref_id: ref_id.clone(),
            ref_type: REF_TYPE,
        };
        (ref_id, line(&User { head, name: &person.name, email: person.email.to_lowercase() }))
    }

    /// A pull request's branch. `commits` is none where its head was not found; at most so many are listed as given.
    pub(super) fn pull_request(
        &self,
        request: &PullRequest,
        commits: Option<&[git2::Oid]>,
        listed_max: usize,
    ) -> Vec<u8> {
        let all = commits.unwrap_or_default();
        let newest = &all[all.len().saturating_sub(listed_max)..];
        line(&PullRequestBranch {
            head: self.head(PULL_REQUEST_BRANCH, &request.ref_id),
            repo_id: self.repo_ref_id,
            pull_request_id: &request.id,
            pull_request_ref_id: &request.ref_id,
            name: &request.branch_name,
            url: &request.url,
            head_sha: &request.last_commit_sha,
            found: commits.is_some(),
            commit_shas: newest.iter().map(ToString::to_string).collect(),
            commit_count: all.len(),
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
            commit_url: Some("https://h/c/@@@sha@@@"),
            branch_url: Some("https://h/b/{branch}"),
        }
    }

    #[test]
    fn ids_are_unambiguous_and_do_not_change() {
        assert_ne!(id_of(&["ab", "c"]), id_of(&["a", "bc"]));
        assert_ne!(id_of(&["a", ""]), id_of(&["a"]));
        // SHA-256 of eight zero bytes but the last, which is 1, and `a`; computed with sha256sum.
        assert_eq!(id_of(&["a"]), ID_OF_A);
    }

    const ID_OF_A: &str = "3b196fd4907bedf51c3090e9835f2f7c";

    #[test]
    fn dates_keep_their_zone_and_have_an_end() {
        let shown = |seconds, offset_minutes| date(When { seconds, offset_minutes }).rfc3339;
        assert_eq!(shown(0, 0), "1970-01-01T00:00:00Z");
        assert_eq!(shown(1_700_000_000, -210), "2023-11-14T18:43:20-03:30");
        assert_eq!(shown(i64::MAX, 600), "9999-01-01T09:59:59+10:00");
        assert_eq!(shown(i64::MIN, 23 * 60 + 59), "0001-01-01T23:59:00+23:59");
        assert_eq!(shown(i64::MIN, -(23 * 60 + 59)), "0000-12-31T00:01:00-23:59");
    }

    #[test]
    fn a_person_is_one_whatever_the_case_of_the_email() {
        let person = |name: &str, email: &str| Person {
            name: name.to_owned(),
            email: email.to_owned(),
            when: When { seconds: 0, offset_minutes: 0 },
        };
        let (one, line) = owner().user(&person("A", "A@Example.com"));
        let (other, _) = owner().user(&person("B", "a@example.COM"));
        assert_eq!(one, other);
        let record: serde_json::Value = serde_json::from_slice(&line).expect("a line is JSON");
        assert_eq!(
            (record["email"].as_str(), record["name"].as_str(), record["ref_id"].as_str()),
            (Some("a@example.com"), Some("A"), Some(one.as_str()))
        );
    }

    #[test]
    fn a_commit_that_changes_too_much_is_cut_and_says_so() {
        let person = Person { name: "A".into(), email: "a".into(), when: When { seconds: 0, offset_minutes: 0 } };
        let commit = history::Commit {
            oid: git2::Oid::ZERO_SHA1,
            parents: vec![],
            author: person.clone(),
            committer: person,
            message: "m".into(),
            message_cut: false,
        };
        let change = FileChange {
            path: "x".repeat(1000),
            status: Status::Added,
            renamed_from: None,
            additions: 1,
            deletions: 0,
            binary: false,
        };
        let line = owner().commit(&commit, Some(&vec![change; 10_000]));
        assert!(line.len() <= RECORD_BYTES_MAX);
        let record: serde_json::Value = serde_json::from_slice(&line).expect("a line is JSON");
        assert_eq!(record["files_total"], 10_000);
        assert_eq!(record["files"].as_array().map(Vec::len), Some(5_000));
        assert_eq!(record["url"].as_str(), Some(format!("https://h/c/{}", "0".repeat(40)).as_str()));
    }

    #[test]
    fn a_branch_is_named_in_its_url() {
        let branch = history::Branch { name: "feature/ä b".into(), head: git2::Oid::ZERO_SHA1, default: false };
        let record: serde_json::Value =
            serde_json::from_slice(&owner().branch(&branch, Some((0, 3)))).expect("a line is JSON");
        assert_eq!(record["url"], "https://h/b/feature/%C3%A4%20b");
        assert_eq!((&record["merged"], &record["behind_default_count"]), (&true.into(), &3.into()));
    }
}
