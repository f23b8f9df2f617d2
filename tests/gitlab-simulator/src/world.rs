//! The invented group: people, projects, milestones, issues, merge requests and what hangs on them, made from a seed. The same
//! options give the same world. What changes in it is `change`'s, how it is shown is `show`'s.

use std::collections::BTreeMap;

use simulator::dice::Dice;

/// The path of the group, and of the group below it.
pub const GROUP: &str = "acme";
pub const SUBGROUP: &str = "acme/tools";

/// 2026-11-01T00:00:00Z: the world's clock when nothing has changed yet.
const BEGINNING_SECS: i64 = 1_793_491_200;
/// Everything was made in the three years before, and nothing in the last day.
const PAST_SECS: u64 = 3 * 365 * 86_400;
const QUIET_SECS: i64 = 86_400;
/// One in so many comments goes to one of a few things that everybody talks about.
const HOT_NOTE: u64 = 20;

/// How large the world is.
#[derive(Debug, Clone)]
pub struct Size {
    pub projects: u64,
    /// Over all projects, as the following.
    pub issues: u64,
    pub merge_requests: u64,
    /// Comments on both.
    pub notes: u64,
    /// Of each merge request.
    pub commits: u64,
    /// Of each project; the group has as many.
    pub milestones: u64,
    pub users: u64,
    pub seed: u64,
}

impl Default for Size {
    fn default() -> Size {
        Size { projects: 3, issues: 60, merge_requests: 30, notes: 200, commits: 3, milestones: 2, users: 20, seed: 1 }
    }
}

#[derive(Debug, Clone)]
pub struct User {
    pub id: u64,
    pub username: String,
    pub name: String,
    /// Shown among the members.
    pub public_email: Option<String>,
    pub email: String,
    pub member: bool,
}

#[derive(Debug, Clone)]
pub struct Note {
    pub id: u64,
    pub author: usize,
    pub body: String,
    /// Whether the server wrote it, of a change.
    pub system: bool,
    /// The file that it stands on.
    pub path: Option<String>,
    pub created: i64,
    pub updated: i64,
}

#[derive(Debug, Clone)]
pub struct Commit {
    pub sha: String,
    pub title: String,
    pub name: String,
    pub email: String,
    pub at: i64,
}

#[derive(Debug, Clone)]
pub struct Milestone {
    pub id: u64,
    pub title: String,
    pub closed: bool,
    pub updated: i64,
}

/// What issues and merge requests have in common.
#[derive(Debug, Clone)]
pub struct Thread {
    pub id: u64,
    pub iid: u64,
    pub title: String,
    pub body: String,
    /// `opened`, `closed`; `merged` for merge requests.
    pub state: &'static str,
    pub author: usize,
    pub labels: Vec<String>,
    pub created: i64,
    pub updated: i64,
    pub closed: Option<i64>,
    pub notes: Vec<Note>,
}

impl Thread {
    /// Comments of people.
    pub fn said(&self) -> impl Iterator<Item = &Note> {
        self.notes.iter().filter(|note| !note.system)
    }
}

#[derive(Debug, Clone)]
pub struct Issue {
    pub thread: Thread,
    pub kind: &'static str,
    pub assignees: Vec<usize>,
    pub milestone: Option<Milestone>,
    pub weight: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct MergeRequest {
    pub thread: Thread,
    pub draft: bool,
    pub merged: Option<i64>,
    pub merged_by: Option<usize>,
    pub branch: String,
    pub reviewers: Vec<(usize, &'static str)>,
    pub approvals: Vec<usize>,
    pub commits: Vec<Commit>,
}

#[derive(Debug, Clone)]
pub struct Hook {
    pub id: u64,
    pub url: String,
    pub token: String,
    pub disabled: bool,
}

#[derive(Debug, Clone)]
pub struct Project {
    pub id: u64,
    /// With that of its group.
    pub path: String,
    pub name: String,
    /// None of a group's.
    pub owner: Option<usize>,
    pub archived: bool,
    pub fork: bool,
    pub private: bool,
    pub has_issues: bool,
    pub created: i64,
    pub activity: i64,
    pub next_issue: u64,
    pub next_merge_request: u64,
    pub issues: BTreeMap<u64, Issue>,
    pub merge_requests: BTreeMap<u64, MergeRequest>,
    pub milestones: Vec<Milestone>,
    pub hooks: Vec<Hook>,
}

impl Project {
    /// An issue (true) or a merge request by its number.
    pub fn thread_mut(&mut self, issue: bool, iid: u64) -> Option<&mut Thread> {
        match issue {
            true => self.issues.get_mut(&iid).map(|issue| &mut issue.thread),
            false => self.merge_requests.get_mut(&iid).map(|one| &mut one.thread),
        }
    }

    /// All threads there are, by whether they are issues.
    pub fn numbers(&self) -> Vec<(bool, u64)> {
        let issues = self.issues.keys().map(|iid| (true, *iid));
        issues.chain(self.merge_requests.keys().map(|iid| (false, *iid))).collect()
    }
}

#[derive(Debug, Clone)]
pub struct World {
    pub users: Vec<User>,
    pub projects: Vec<Project>,
    /// Of the group.
    pub milestones: Vec<Milestone>,
    pub hooks: Vec<Hook>,
    /// Seconds since 1970. It moves when something changes, and not by itself.
    pub now: i64,
    pub next_id: u64,
    pub dice: Dice,
}

const WORDS: [&str; 16] = [
    "cache", "parser", "login", "report", "index", "queue", "widget", "token", "export", "search", "theme", "upload",
    "schema", "worker", "invoice", "layout",
];
const VERBS: [&str; 8] = ["Fix", "Add", "Remove", "Speed up", "Rename", "Document", "Test", "Split"];
const LABELS: [&str; 5] = ["bug", "type::feature", "priority::1", "docs", "security"];
const KINDS: [&str; 4] = ["issue", "issue", "incident", "task"];
const REVIEWS: [&str; 5] = ["unreviewed", "reviewed", "requested_changes", "unapproved", "review_started"];

fn secs(unsigned: u64) -> i64 {
    i64::try_from(unsigned).unwrap_or(0)
}

impl World {
    pub fn new(size: &Size) -> World {
        let mut world = World {
            users: Vec::new(),
            projects: Vec::new(),
            milestones: Vec::new(),
            hooks: Vec::new(),
            now: BEGINNING_SECS,
            next_id: 1_000,
            dice: Dice::new(size.seed),
        };
        world.users = (0..size.users.max(3)).map(|place| world.make_user(place)).collect();
        world.milestones = (0..size.milestones).map(|place| world.make_milestone(place)).collect();
        for place in 0..size.projects {
            let group = if place % 3 == 2 { SUBGROUP } else { GROUP };
            let mut project = world.make_project(place, group, None);
            project.milestones = (0..size.milestones).map(|place| world.make_milestone(place)).collect();
            world.projects.push(project);
        }
        world.make_threads(size);
        world.make_notes(size.notes);
        for project in &mut world.projects {
            let threads = project.issues.values().map(|issue| &issue.thread);
            let threads = threads.chain(project.merge_requests.values().map(|one| &one.thread));
            project.activity = threads.map(|thread| thread.updated).max().unwrap_or(project.created);
        }
        world
    }

    pub fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn word(&mut self, words: &[&'static str]) -> &'static str {
        words[self.dice.place(words.len())]
    }

    fn make_user(&mut self, place: u64) -> User {
        let id = self.id();
        let bot = place % 50 == 49;
        let username = if bot { format!("project_{place}_bot_x") } else { format!("user-{place}") };
        let email = format!("{username}@{GROUP}.invalid");
        User {
            id,
            name: format!("Person Number {place}"),
            public_email: self.dice.one_in(2).then(|| email.clone()),
            email,
            username,
            // Some have only passed by.
            member: !bot && !self.dice.one_in(5),
        }
    }

    fn make_milestone(&mut self, place: u64) -> Milestone {
        let (id, updated) = (self.id(), self.now - 90 * 86_400);
        Milestone { id, title: format!("{place}.0"), closed: place % 2 == 1, updated }
    }

    pub fn make_project(&mut self, place: u64, above: &str, owner: Option<usize>) -> Project {
        let (id, name) = (self.id(), format!("{}-{place}", self.word(&WORDS)));
        let created = self.now - secs(PAST_SECS);
        Project {
            id,
            path: format!("{above}/{name}"),
            name,
            owner,
            archived: false,
            fork: false,
            private: self.dice.one_in(2),
            has_issues: true,
            created,
            activity: created,
            next_issue: 1,
            next_merge_request: 1,
            issues: BTreeMap::new(),
            merge_requests: BTreeMap::new(),
            milestones: Vec::new(),
            hooks: Vec::new(),
        }
    }

    /// Issues and merge requests in the order of their creation, so that numbers and times go the same way.
    fn make_threads(&mut self, size: &Size) {
        if self.projects.is_empty() {
            return;
        }
        let total = size.issues + size.merge_requests;
        let (mut issues, mut merge_requests) = (size.issues, size.merge_requests);
        for place in 0..total {
            let at = self.now - QUIET_SECS - secs(PAST_SECS * (total - place) / (total + 1));
            let project = self.dice.place(self.projects.len());
            if self.dice.below(issues + merge_requests) < issues {
                issues -= 1;
                self.add_issue(project, at);
            } else {
                merge_requests -= 1;
                self.add_merge_request(project, at, size.commits);
            }
        }
    }

    fn make_thread(&mut self, iid: u64, at: i64) -> Thread {
        let title = format!("{} the {}", self.word(&VERBS), self.word(&WORDS));
        let labels = self.dice.below(3);
        let mut labels: Vec<String> = (0..labels).map(|_| self.word(&LABELS).to_owned()).collect();
        labels.sort();
        labels.dedup();
        let mut thread = Thread {
            id: self.id(),
            iid,
            body: format!("{title}.\n\nIt is number {iid}."),
            title,
            state: "opened",
            author: self.someone(),
            labels,
            created: at,
            updated: at,
            closed: None,
            notes: Vec::new(),
        };
        if self.dice.one_in(3) {
            let note = Note { system: true, body: "added ~bug label".to_owned(), ..self.note(at) };
            thread.notes.push(note);
        }
        thread
    }

    pub fn someone(&mut self) -> usize {
        self.dice.place(self.users.len())
    }

    pub fn add_issue(&mut self, project: usize, at: i64) -> u64 {
        let iid = self.projects[project].next_issue;
        self.projects[project].next_issue += 1;
        let mut thread = self.make_thread(iid, at);
        if self.dice.one_in(2) {
            (thread.state, thread.closed) = ("closed", Some(at));
        }
        let milestones: Vec<Milestone> =
            self.projects[project].milestones.iter().chain(&self.milestones).cloned().collect();
        let milestone =
            if self.dice.one_in(3) { milestones.get(self.dice.place(milestones.len())).cloned() } else { None };
        let issue = Issue {
            thread,
            kind: self.word(&KINDS),
            assignees: if self.dice.one_in(3) { vec![self.someone()] } else { Vec::new() },
            milestone,
            weight: self.dice.one_in(4).then_some(3),
        };
        self.projects[project].issues.insert(iid, issue);
        iid
    }

    pub fn add_merge_request(&mut self, project: usize, at: i64, commits: u64) -> u64 {
        let iid = self.projects[project].next_merge_request;
        self.projects[project].next_merge_request += 1;
        let thread = self.make_thread(iid, at);
        let (reviewer, approver) = (self.someone(), self.someone());
        let mut one = MergeRequest {
            draft: self.dice.one_in(10),
            merged: None,
            merged_by: None,
            branch: format!("topic-{iid}"),
            reviewers: if self.dice.one_in(2) { vec![(reviewer, self.word(&REVIEWS))] } else { Vec::new() },
            approvals: if self.dice.one_in(3) && approver != reviewer { vec![approver] } else { Vec::new() },
            commits: (0..commits).map(|_| self.commit(at)).collect(),
            thread,
        };
        match self.dice.below(3) {
            0 => {
                (one.thread.state, one.merged) = ("merged", Some(at));
                one.merged_by = Some(self.someone());
            }
            1 => (one.thread.state, one.thread.closed) = ("closed", Some(at)),
            _ => {}
        }
        self.projects[project].merge_requests.insert(iid, one);
        iid
    }

    fn sha(&mut self) -> String {
        let words: Vec<u64> = (0..3).map(|_| self.dice.roll()).collect();
        let text: String = words.iter().map(|word| format!("{word:016x}")).collect();
        text[..40].to_owned()
    }

    pub fn commit(&mut self, at: i64) -> Commit {
        let user = self.someone();
        let (name, email) = match self.dice.one_in(10) {
            false => (self.users[user].name.clone(), self.users[user].email.clone()),
            // Capitals in some, as people write their addresses.
            true => (format!("Outsider {user}"), format!("Outsider{user}@Example.invalid")),
        };
        Commit { sha: self.sha(), title: format!("{} things", self.word(&VERBS)), name, email, at }
    }

    pub fn note(&mut self, at: i64) -> Note {
        let (id, author) = (self.id(), self.someone());
        let body = format!("Note {id}: I see the same.");
        Note { id, author, body, system: false, path: None, created: at, updated: at }
    }

    fn make_notes(&mut self, count: u64) {
        let threads: Vec<(usize, (bool, u64))> = (self.projects.iter().enumerate())
            .flat_map(|(place, project)| project.numbers().into_iter().map(move |thread| (place, thread)))
            .collect();
        if threads.is_empty() {
            return;
        }
        let hot = threads.len().div_ceil(500);
        for _ in 0..count {
            let few = self.dice.one_in(HOT_NOTE);
            let (project, (issue, iid)) = threads[self.dice.place(if few { hot } else { threads.len() })];
            let (after, latest) = (secs(self.dice.below(86_400)), self.now - QUIET_SECS);
            let mut note = self.note(0);
            if !issue && self.dice.one_in(3) {
                note.path = Some("src/lib.rs".to_owned());
            }
            if let Some(thread) = self.projects[project].thread_mut(issue, iid) {
                let at = (thread.updated + after).min(latest);
                thread.notes.push(Note { created: at, updated: at, ..note });
                thread.updated = at;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_world() {
        let of = |seed| format!("{:?}", World::new(&Size { seed, ..Size::default() }));
        assert_eq!(of(7), of(7));
        assert_ne!(of(7), of(8));
    }

    #[test]
    fn there_is_as_much_as_was_asked_for() {
        let size = Size::default();
        let world = World::new(&size);
        let sum = |count: fn(&Project) -> usize| world.projects.iter().map(count).sum::<usize>() as u64;
        assert_eq!(sum(|project| project.issues.len()), size.issues);
        assert_eq!(sum(|project| project.merge_requests.len()), size.merge_requests);
        let notes = sum(|project| project.issues.values().map(|issue| issue.thread.said().count()).sum())
            + sum(|project| project.merge_requests.values().map(|one| one.thread.said().count()).sum());
        assert_eq!(notes, size.notes);
    }
}
