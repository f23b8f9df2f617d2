//! Records as newline-delimited JSON, one object a line; `schemas/record.json` describes them. What the objects say is
//! `record`'s.
//!
//! Runs of owners are most of the output, so they are written by hand; everything else goes through serde. Bytes that
//! are no text, in paths, are replaced by U+FFFD.

use crate::count::{FileFacts, Language};
use crate::record::{BlameRecord, Branch, CommitRecord, FileRecord, Owned, Record};
use crate::{Oid, Person};
use serde::Serialize;
use std::borrow::Cow;
use std::io::Write;

#[derive(Serialize)]
struct PersonLine<'a> {
    name: &'a str,
    email: &'a str,
}

impl<'a> From<&'a Person> for PersonLine<'a> {
    fn from(person: &'a Person) -> Self {
        Self { name: &person.name, email: &person.email }
    }
}

#[derive(Serialize)]
struct CommitLine<'a> {
    model: &'static str,
    sha: String,
    parents: Vec<String>,
    ordinal: u64,
    message: &'a str,
    author: PersonLine<'a>,
    committer: PersonLine<'a>,
    date: String,
    files: Vec<FileLine<'a>>,
}

#[derive(Serialize)]
struct FileLine<'a> {
    filename: Cow<'a, str>,
    status: &'static str,
    renamed: bool,
    renamed_from: Cow<'a, str>,
    renamed_to: Cow<'a, str>,
    copied: bool,
    copied_from: &'static str,
    additions: u32,
    deletions: u32,
    binary: bool,
}

/// What each line is, as a JSON Schema.
pub const SCHEMA: &str = include_str!("../schemas/record.json");

fn text(bytes: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(bytes)
}

fn hex(oids: &[Oid]) -> Vec<String> {
    oids.iter().map(Oid::to_string).collect()
}

impl<'a> From<&'a FileRecord> for FileLine<'a> {
    fn from(file: &'a FileRecord) -> Self {
        let path = |path: &'a Option<_>| path.as_deref().map_or(Cow::Borrowed(""), text);
        Self {
            filename: text(&file.path),
            status: file.status.as_str(),
            renamed: file.renamed_from.is_some() || file.renamed_to.is_some(),
            renamed_from: path(&file.renamed_from),
            renamed_to: path(&file.renamed_to),
            // Git tells copies only where it is asked to look for them, which the model's semantics don't do.
            copied: false,
            copied_from: "",
            additions: file.additions,
            deletions: file.deletions,
            binary: file.binary,
        }
    }
}

impl<'a> From<&'a CommitRecord<'a>> for CommitLine<'a> {
    fn from(commit: &'a CommitRecord<'a>) -> Self {
        Self {
            model: "commit",
            sha: commit.sha.to_string(),
            parents: hex(commit.parents),
            ordinal: commit.ordinal,
            message: commit.subject,
            author: commit.author.into(),
            committer: commit.committer.into(),
            date: commit.authored.rfc3339(),
            files: commit.files.iter().map(FileLine::from).collect(),
        }
    }
}

#[derive(Serialize)]
struct BranchLine<'a> {
    model: &'static str,
    id: &'a str,
    name: Cow<'a, str>,
    is_default: bool,
    is_pull_request: bool,
    is_merged: bool,
    head: String,
    merge_commit: String,
    branched_from: Vec<String>,
    commits: Vec<String>,
    first_commit: String,
    behind: u64,
    ahead: u64,
}

impl<'a> From<&'a Branch> for BranchLine<'a> {
    fn from(branch: &'a Branch) -> Self {
        let hex_or_empty = |oid: &Option<Oid>| oid.map(|oid| oid.to_string()).unwrap_or_default();
        Self {
            model: "branch",
            id: &branch.id,
            name: text(&branch.name),
            is_default: branch.is_default,
            is_pull_request: branch.is_pull_request,
            is_merged: branch.is_merged,
            head: branch.head.to_string(),
            merge_commit: hex_or_empty(&branch.merge_commit),
            branched_from: hex(&branch.branched_from),
            commits: hex(&branch.commits),
            first_commit: hex_or_empty(&branch.first_commit),
            behind: branch.behind,
            ahead: branch.ahead,
        }
    }
}

#[derive(Serialize)]
struct LicenseLine<'a> {
    name: Cow<'a, str>,
    confidence: f64,
}

/// A file's line, without its owners and classes.
#[derive(Serialize)]
struct BlameHead<'a> {
    model: &'static str,
    commit: String,
    filename: Cow<'a, str>,
    status: &'static str,
    language: &'a str,
    size: u64,
    size_normalized: u64,
    lines: u64,
    loc: u64,
    sloc: u64,
    comments: u64,
    blanks: u64,
    complexity: u64,
    weighted_complexity: f64,
    binary: bool,
    skipped: &'a str,
    license: LicenseLine<'a>,
}

fn blame_head<'a>(blame: &'a BlameRecord<'a>) -> BlameHead<'a> {
    let nothing = FileFacts::default();
    let facts = blame.facts.unwrap_or(&nothing);
    let license = facts.license.as_ref();
    BlameHead {
        model: "blame",
        commit: blame.commit.to_string(),
        filename: text(&blame.path),
        status: blame.status.as_str(),
        language: facts.language.map_or("", Language::name),
        size: blame.size,
        size_normalized: facts.size_normalized,
        lines: u64::from(blame.lines),
        loc: facts.loc,
        sloc: facts.sloc,
        comments: facts.comments,
        blanks: facts.blanks,
        complexity: facts.complexity,
        weighted_complexity: facts.weighted_complexity,
        binary: blame.binary,
        skipped: &blame.skipped,
        license: LicenseLine {
            name: license.map_or(Cow::Borrowed(""), |license| license.name.to_string().into()),
            confidence: license.map_or(0.0, |license| f64::from(license.confidence)),
        },
    }
}

/// All bytes as two hexadecimal digits each.
const HEX: [[u8; 2]; 256] = {
    let digits = *b"0123456789abcdef";
    let mut all = [[0; 2]; 256];
    let mut at = 0;
    while at < 256 {
        all[at] = [digits[at >> 4], digits[at & 15]];
        at += 1;
    }
    all
};

/// Writes a number in decimal digits, and gives how many there are.
fn number(out: &mut [u8], value: u32) -> usize {
    let len = value.checked_ilog10().map_or(1, |log| log as usize + 1);
    let mut value = value;
    for slot in out[..len].iter_mut().rev() {
        *slot = b'0' + (value % 10) as u8;
        value /= 10;
    }
    len
}

/// Appends `{"sha":"…","start":…,"count":…},`. There are millions of these.
fn push_owned(out: &mut Vec<u8>, owned: &Owned) {
    const SHA: &[u8] = b"{\"sha\":\"";
    const START: &[u8] = b"\",\"start\":";
    const COUNT: &[u8] = b",\"count\":";
    let mut line = [0u8; 128];
    let mut at = SHA.len();
    line[..at].copy_from_slice(SHA);
    for byte in owned.sha.as_bytes() {
        line[at..at + 2].copy_from_slice(&HEX[*byte as usize]);
        at += 2;
    }
    line[at..at + START.len()].copy_from_slice(START);
    at += START.len();
    at += number(&mut line[at..], owned.start);
    line[at..at + COUNT.len()].copy_from_slice(COUNT);
    at += COUNT.len();
    at += number(&mut line[at..], owned.count);
    line[at..at + 2].copy_from_slice(b"},");
    out.extend_from_slice(&line[..at + 2]);
}

/// Appends a record as one line of JSON.
pub fn line(record: &Record<'_>, out: &mut Vec<u8>) -> serde_json::Result<()> {
    match record {
        Record::Commit(commit) => serde_json::to_writer(&mut *out, &CommitLine::from(commit))?,
        Record::Branch(branch) => serde_json::to_writer(&mut *out, &BranchLine::from(*branch))?,
        Record::Blame(blame) => {
            serde_json::to_writer(&mut *out, &blame_head(blame))?;
            out.pop();
            out.extend_from_slice(b",\"owners\":[");
            let begin = out.len();
            blame.owners.iter().for_each(|owned| push_owned(out, &owned));
            if out.len() > begin {
                out.pop();
            }
            out.extend_from_slice(b"],\"classes\":\"");
            blame.classes.write(out);
            out.extend_from_slice(b"\"}");
        }
    }
    out.push(b'\n');
    Ok(())
}

/// Bytes that are gathered before they are written.
const BUFFER_LEN: usize = 1 << 20;

/// Writes records to a file or pipe.
pub struct Writer<W: Write> {
    to: W,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    pub fn new(to: W) -> Self {
        Self { to, buffer: Vec::with_capacity(BUFFER_LEN * 2) }
    }

    pub fn write(&mut self, record: &Record<'_>) -> std::io::Result<()> {
        line(record, &mut self.buffer)?;
        if self.buffer.len() >= BUFFER_LEN {
            self.to.write_all(&self.buffer)?;
            self.buffer.clear();
        }
        Ok(())
    }

    /// Writes what is left. Without, the end of the output may be missing.
    pub fn finish(mut self) -> std::io::Result<W> {
        self.to.write_all(&self.buffer)?;
        self.to.flush()?;
        Ok(self.to)
    }
}
