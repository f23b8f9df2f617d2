//! The model `mock.Issue`, and its source: the issue at a place is a function of the configuration and that place
//! alone, so that any run can begin anywhere. One record is filled over and over, and nothing is allocated for each.

use agent_sdk::Model;
use serde::Serialize;
use serde_json::{Value, json};

use crate::config::Config;

pub const STATUSES: [&str; 4] = ["open", "in_progress", "review", "closed"];
pub const PRIORITIES: [&str; 4] = ["low", "medium", "high", "urgent"];
const VERBS: [&str; 8] = ["Fix", "Speed up", "Document", "Remove", "Test", "Rework", "Translate", "Secure"];
const THINGS: [&str; 8] = ["login", "export", "search", "invoices", "sync", "audit log", "settings", "import"];
const PROSE: &str = "Steps to see it: open the page, wait for the list, and choose the second entry. What should happen: \
    the entry opens. What happens: nothing does, and the log has no line about it. It began with the last release. ";

/// 2024-01-01 in days since 1970-01-01, where issues begin; one an hour from then on.
const FIRST_DAY: u32 = 19_723;

#[derive(Debug, Default, Serialize)]
pub struct Issue {
    pub ref_id: String,
    ref_type: &'static str,
    project_ref_id: String,
    pub title: String,
    pub status: &'static str,
    pub priority: &'static str,
    pub assignee_ref_id: String,
    created_at: String,
    description: String,
}

impl Model for Issue {
    const NAME: &'static str = "mock.Issue";

    fn schema() -> Value {
        json!({
            "type": "object",
            "required": ["ref_id", "ref_type", "project_ref_id", "title", "status", "priority", "created_at"],
            "properties": {
                "ref_id": { "type": "string" },
                "ref_type": { "const": "mock" },
                "project_ref_id": { "type": "string" },
                "title": { "type": "string" },
                "status": { "enum": STATUSES },
                "priority": { "enum": PRIORITIES },
                "assignee_ref_id": { "type": "string" },
                "created_at": { "type": "string", "format": "date-time" },
                "description": { "type": "string" }
            }
        })
    }
}

impl Issue {
    /// The issue in a form that its schema does not have: a status that there is not.
    pub fn misfit(&self) -> Issue {
        Issue {
            ref_id: self.ref_id.clone(),
            project_ref_id: self.project_ref_id.clone(),
            title: self.title.clone(),
            created_at: self.created_at.clone(),
            status: "lost",
            priority: self.priority,
            ref_type: self.ref_type,
            ..Issue::default()
        }
    }
}

/// Where issues come from.
pub struct IssueSource<'a> {
    config: &'a Config,
    /// Text to cut descriptions from, beginning anywhere in the first repetition of [`PROSE`].
    prose: String,
    /// Bytes of an issue as JSON whose texts are all empty.
    frame_bytes: usize,
}

impl<'a> IssueSource<'a> {
    pub fn new(config: &'a Config) -> IssueSource<'a> {
        let repetitions = config.record_bytes as usize / PROSE.len() + 2;
        let frame_bytes = serde_json::to_vec(&Issue::default()).map_or(0, |json| json.len());
        IssueSource { config, prose: PROSE.repeat(repetitions), frame_bytes }
    }

    /// Makes `issue` the one at this place of this project, both counted from 0.
    pub fn fill(&self, issue: &mut Issue, project: u32, index: u32) {
        let changed = if index < self.config.changed { self.config.changed } else { 0 };
        let hash = mix(self.config.seed, changed, project, index);
        // 32 bits, so that a guest and a test on a wider machine pick the same.
        let pick = |shift: u32, len: usize| ((hash >> shift) & 0xffff_ffff) as usize % len;
        let unique = &self.config.unique;

        issue.ref_type = "mock";
        issue.status = STATUSES[pick(0, STATUSES.len())];
        issue.priority = PRIORITIES[pick(4, PRIORITIES.len())];
        let assignee = pick(8, self.config.users().max(1) as usize) + 1;
        let (verb, thing) = (VERBS[pick(16, VERBS.len())], THINGS[pick(20, THINGS.len())]);
        issue.title.clear();
        let edited = if changed == 0 { "" } else { " (edited)" };

        let (project, number) = (u64::from(project) + 1, u64::from(index) + 1);
        write_id(cleared(&mut issue.project_ref_id), unique, 'P', project);
        write_id(cleared(&mut issue.ref_id), unique, 'P', project);
        issue.ref_id.push('-');
        write_number(&mut issue.ref_id, number);
        write_id(cleared(&mut issue.assignee_ref_id), unique, 'U', assignee as u64);
        for part in [verb, " the ", thing, edited] {
            issue.title.push_str(part);
        }
        write_hour(cleared(&mut issue.created_at), index);
        let room = self.room(issue);
        let from = pick(24, PROSE.len());
        cleared(&mut issue.description).push_str(&self.prose[from..from + room]);
    }

    /// Bytes that are left for the description.
    fn room(&self, issue: &Issue) -> usize {
        let texts = [
            issue.ref_id.len(),
            issue.ref_type.len(),
            issue.project_ref_id.len(),
            issue.title.len(),
            issue.status.len(),
            issue.priority.len(),
            issue.assignee_ref_id.len(),
            issue.created_at.len(),
        ];
        (self.config.record_bytes as usize).saturating_sub(self.frame_bytes + texts.iter().sum::<usize>())
    }

    /// The place of the issue with this id, if there is one.
    pub fn find(&self, ref_id: &str) -> Option<(u32, u32)> {
        let (project, number) = ref_id.strip_prefix(self.config.unique.as_str())?.strip_prefix('P')?.split_once('-')?;
        let project = project.parse::<u32>().ok()?.checked_sub(1)?;
        let index = number.parse::<u32>().ok()?.checked_sub(1)?;
        let projects = self.config.projects;
        let exists = if self.config.sub_sessions {
            project < projects && index < self.config.records
        } else {
            let at = u64::from(index) * u64::from(projects.max(1)) + u64::from(project);
            project < projects.max(1) && at < u64::from(self.config.records)
        };
        exists.then_some((project, index))
    }

    /// The place of an issue in the one session at the top: they come from one project after the other.
    pub fn place(&self, at: u32) -> (u32, u32) {
        let projects = self.config.projects.max(1);
        (at % projects, at / projects)
    }
}

fn cleared(text: &mut String) -> &mut String {
    text.clear();
    text
}

fn write_id(out: &mut String, unique: &str, kind: char, number: u64) {
    out.push_str(unique);
    out.push(kind);
    write_number(out, number);
}

/// By hand, because `write!` for the four texts made a record take a third longer (measured, a million records).
fn write_number(out: &mut String, number: u64) {
    if number >= 10 {
        write_number(out, number / 10);
    }
    out.push(digit(number % 10));
}

/// One number from four, with all bits of each in all bits of it (the finalizer of `SplitMix64`).
fn mix(seed: u32, changed: u32, project: u32, index: u32) -> u64 {
    let mut hash =
        (u64::from(seed) << 32 | u64::from(index)) ^ (u64::from(changed) << 32 | u64::from(project)).rotate_left(17);
    hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

/// RFC 3339 of so many hours after [`FIRST_DAY`], by arithmetic over eras of 400 years that begin in March.
fn write_hour(out: &mut String, hours: u32) {
    let day = FIRST_DAY + hours / 24 + 719_468;
    let (era, day_of_era) = (day / 146_097, day % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year_of_era + u32::from(month <= 2);
    write_2(out, year / 100);
    write_2(out, year % 100);
    for (before, part) in [('-', month), ('-', day_of_month), ('T', hours % 24)] {
        out.push(before);
        write_2(out, part);
    }
    out.push_str(":00:00Z");
}

fn write_2(out: &mut String, number: u32) {
    out.push(digit(u64::from(number / 10 % 10)));
    out.push(digit(u64::from(number % 10)));
}

fn digit(number: u64) -> char {
    char::from(b"0123456789"[(number % 10) as usize])
}

#[cfg(test)]
mod tests {
    use super::{Issue, IssueSource, write_hour};
    use crate::config::Config;

    fn json(config: &Config, project: u32, index: u32) -> String {
        let mut issue = Issue::default();
        IssueSource::new(config).fill(&mut issue, project, index);
        serde_json::to_string(&issue).unwrap()
    }

    #[test]
    fn issues_have_the_size_asked_for() {
        for record_bytes in [250, 251, 1_000, 100_000] {
            let config = Config { record_bytes, ..Config::default() };
            for index in [0, 9, 99_999, 9_999_999] {
                assert_eq!(json(&config, 1, index).len(), record_bytes as usize, "{}", json(&config, 1, index));
            }
        }
    }

    #[test]
    fn only_what_is_changed_differs() {
        let (before, after) = (Config::default(), Config { changed: 2, ..Config::default() });
        assert_ne!(json(&before, 0, 1), json(&after, 0, 1));
        assert_eq!(json(&before, 0, 2), json(&after, 0, 2));
        assert_ne!(json(&before, 0, 2), json(&Config { seed: 2, ..Config::default() }, 0, 2));
    }

    #[test]
    fn every_issue_is_found_by_its_id() {
        for sub_sessions in [true, false] {
            let config = Config { sub_sessions, records: 7, unique: "x-".to_owned(), ..Config::default() };
            let source = IssueSource::new(&config);
            let mut issue = Issue::default();
            for at in 0..config.records {
                let (project, index) = if sub_sessions { (2, at) } else { source.place(at) };
                source.fill(&mut issue, project, index);
                assert_eq!(source.find(&issue.ref_id), Some((project, index)));
            }
            for unknown in ["P1-1", "x-P1-8", "x-P4-1", "x-P0-1", "x-P1-0", "x-P1", ""] {
                assert_eq!(source.find(unknown), None, "{unknown}");
            }
        }
    }

    #[test]
    fn hours_are_dates() {
        let date = |hours| {
            let mut out = String::new();
            write_hour(&mut out, hours);
            out
        };
        assert_eq!(date(0), "2024-01-01T00:00:00Z");
        assert_eq!(date(59 * 24 + 23), "2024-02-29T23:00:00Z");
        assert_eq!(date(366 * 24), "2025-01-01T00:00:00Z");
        assert_eq!(date(10_000_000), "3164-10-17T16:00:00Z");
    }
}
