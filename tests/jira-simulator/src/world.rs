//! The invented site: users, projects, issues with their changes and comments, boards and sprints, made from a seed. The same
//! options give the same world. What changes in it is `change`'s, how it is shown is `show`'s.

use std::collections::BTreeMap;

use simulator::dice::Dice;

/// 2026-11-01T00:00:00Z: the world's clock when nothing has changed yet.
const BEGINNING_SECS: i64 = 1_793_491_200;
/// Everything was made in the three years before.
const PAST_SECS: u64 = 3 * 365 * 86_400;
/// One in so many comments, and changes, goes to one of a few issues that everybody talks about.
const HOT: u64 = 10;

/// Of which kind the server is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Cloud,
    Hosted,
}

/// How large the world is.
#[derive(Debug, Clone)]
pub struct Size {
    pub projects: u64,
    /// Over all projects, as the following.
    pub issues: u64,
    pub comments: u64,
    pub changes: u64,
    /// Of each board with sprints; there is a board for each project, and every third has none.
    pub sprints: u64,
    pub users: u64,
    /// How far apart ids are.
    pub id_step: u64,
    pub seed: u64,
}

impl Default for Size {
    fn default() -> Size {
        Size { projects: 3, issues: 60, comments: 240, changes: 300, sprints: 4, users: 20, id_step: 1, seed: 1 }
    }
}

/// Statuses: number, name, and key of the category.
pub const STATUSES: [(u64, &str, &str); 4] = [
    (1, "Open", "new"),
    (3, "In Progress", "indeterminate"),
    (4, "In Review", "indeterminate"),
    (10_001, "Done", "done"),
];
/// Types: number, name, level in the hierarchy.
pub const TYPES: [(u64, &str, i64); 5] =
    [(10_000, "Epic", 1), (10_001, "Story", 0), (10_002, "Task", 0), (10_003, "Sub-task", -1), (10_004, "Bug", 0)];
pub const PRIORITIES: [(u64, &str, &str); 4] =
    [(1, "Highest", "#d04437"), (2, "High", "#f15c75"), (3, "Medium", "#f79232"), (4, "Low", "#707070")];
pub const RESOLUTIONS: [(u64, &str); 2] = [(10_000, "Done"), (10_001, "Won't Do")];
const EPIC: u64 = 10_000;
const SUBTASK: u64 = 10_003;
pub const DONE: u64 = 10_001;

#[derive(Debug, Clone)]
pub struct User {
    /// Account id of the cloud, or key.
    pub id: String,
    pub name: String,
    pub display: String,
    pub email: String,
    pub app: bool,
    pub active: bool,
}

#[derive(Debug, Clone)]
pub struct Comment {
    pub id: u64,
    /// None: nobody is said to have written it.
    pub author: Option<usize>,
    pub body: String,
    pub created: i64,
    pub updated: i64,
}

/// A change of one field: what it is called, and what was and is there, as ids and as people see it.
#[derive(Debug, Clone)]
pub struct Change {
    pub id: u64,
    pub author: Option<usize>,
    pub at: i64,
    pub field: &'static str,
    pub from: (Option<String>, Option<String>),
    pub to: (Option<String>, Option<String>),
}

#[derive(Debug, Clone)]
pub struct Issue {
    pub id: u64,
    pub project: u64,
    pub number: u64,
    pub summary: String,
    pub description: Option<String>,
    pub kind: u64,
    pub status: u64,
    pub priority: u64,
    pub labels: Vec<String>,
    pub assignee: Option<usize>,
    pub reporter: Option<usize>,
    pub created: i64,
    pub updated: i64,
    pub resolved: Option<i64>,
    pub comments: Vec<Comment>,
    pub changes: Vec<Change>,
    pub sprints: Vec<u64>,
    pub epic: Option<u64>,
    pub parent: Option<u64>,
    pub blocks: Option<u64>,
    pub points: Option<u64>,
}

#[derive(Debug, Clone)]
pub struct Project {
    pub id: u64,
    pub key: String,
    pub name: String,
    pub next_number: u64,
}

#[derive(Debug, Clone)]
pub struct Board {
    pub id: u64,
    pub name: String,
    pub kind: &'static str,
    pub project: u64,
}

#[derive(Debug, Clone)]
pub struct Sprint {
    pub id: u64,
    pub board: u64,
    pub name: String,
    pub state: &'static str,
    pub start: Option<i64>,
    pub end: Option<i64>,
    pub complete: Option<i64>,
}

#[derive(Debug, Clone)]
pub struct Hook {
    pub url: String,
    pub secret: String,
    pub events: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct World {
    pub kind: Kind,
    pub users: Vec<User>,
    pub projects: Vec<Project>,
    pub issues: BTreeMap<u64, Issue>,
    pub boards: Vec<Board>,
    pub sprints: Vec<Sprint>,
    pub hooks: Vec<Hook>,
    /// Seconds since 1970. It moves when something changes, and not by itself.
    pub now: i64,
    next_id: u64,
    id_step: u64,
    pub dice: Dice,
}

const WORDS: [&str; 12] =
    ["cache", "parser", "login", "report", "index", "queue", "widget", "token", "export", "search", "theme", "upload"];
const VERBS: [&str; 6] = ["Fix", "Add", "Remove", "Speed up", "Rename", "Document"];
const LABELS: [&str; 4] = ["backend", "frontend", "customer", "debt"];

impl World {
    pub fn new(kind: Kind, size: &Size) -> World {
        let mut world = World {
            kind,
            users: Vec::new(),
            projects: Vec::new(),
            issues: BTreeMap::new(),
            boards: Vec::new(),
            sprints: Vec::new(),
            hooks: Vec::new(),
            now: BEGINNING_SECS,
            next_id: 10_100,
            id_step: size.id_step,
            dice: Dice::new(size.seed),
        };
        world.users = (0..size.users.max(1)).map(|place| world.make_user(place)).collect();
        for place in 0..size.projects {
            world.make_project(place, size.sprints);
        }
        world.make_issues(size.issues);
        world.make_talk(size);
        world
    }

    pub fn id(&mut self) -> u64 {
        self.next_id += self.id_step;
        self.next_id
    }

    fn make_user(&mut self, place: u64) -> User {
        let id = self.id();
        let app = place % 20 == 19;
        User {
            id: if self.kind == Kind::Cloud { format!("5b10a{id:x}") } else { format!("JIRAUSER{id}") },
            name: format!("user-{place}"),
            display: if app { format!("Automation {place}") } else { format!("Person Number {place}") },
            email: format!("user-{place}@acme.invalid"),
            app,
            active: !self.dice.one_in(9),
        }
    }

    fn make_project(&mut self, place: u64, sprints: u64) {
        let word = WORDS[self.dice.place(WORDS.len())];
        let (id, board) = (self.id(), self.id());
        let key = format!("{}{place}", word[..3].to_uppercase());
        self.projects.push(Project { id, key: key.clone(), name: format!("The {word} ({place})"), next_number: 1 });
        let kind = if place % 3 == 2 { "kanban" } else { "scrum" };
        self.boards.push(Board { id: board, name: format!("{key} board"), kind, project: id });
        let count = if kind == "scrum" { sprints } else { 0 };
        for place in 0..count {
            let start = self.now - i64::try_from((count - place) * 14 * 86_400).unwrap_or(0) + 20 * 86_400;
            // The last lies in the future, the one before it is under way.
            let state = ["future", "active"].get(usize::try_from(count - 1 - place).unwrap_or(9)).copied();
            let state = state.unwrap_or("closed");
            let id = self.id();
            self.sprints.push(Sprint {
                id,
                board,
                name: format!("{key}, sprint {place} [of {count}]"),
                state,
                start: (state != "future").then_some(start),
                end: (state != "future").then_some(start + 14 * 86_400),
                complete: (state == "closed").then_some(start + 14 * 86_400),
            });
        }
    }

    /// Issues in the order of their creation, so that numbers and times go the same way.
    fn make_issues(&mut self, total: u64) {
        if self.projects.is_empty() {
            return;
        }
        for place in 0..total {
            let past = PAST_SECS * (total - place) / (total + 1);
            let project = self.dice.place(self.projects.len());
            self.add_issue(project, self.now - i64::try_from(past).unwrap_or(0));
        }
    }

    pub fn add_issue(&mut self, project: usize, at: i64) -> u64 {
        let (id, number) = (self.id(), self.projects[project].next_number);
        self.projects[project].next_number += 1;
        let project = self.projects[project].id;
        let summary = format!("{} the {}", VERBS[self.dice.place(VERBS.len())], WORDS[self.dice.place(WORDS.len())]);
        let kind = TYPES[self.dice.place(TYPES.len())].0;
        let before: Vec<u64> =
            self.issues.values().filter(|issue| issue.project == project).map(|issue| issue.id).collect();
        let some = (!before.is_empty()).then(|| before[self.dice.place(before.len())]);
        let epic = self.issues.values().rev().find(|issue| issue.project == project && issue.kind == EPIC);
        let epic = epic.map(|issue| issue.id).filter(|_| kind != EPIC && kind != SUBTASK);
        let sprints = self.sprints_of(project);
        let done = self.dice.one_in(3);
        let issue = Issue {
            id,
            project,
            number,
            description: (!self.dice.one_in(5)).then(|| format!("{summary}.\n\nIt is number {number}.")),
            summary,
            kind,
            status: if done { DONE } else { STATUSES[self.dice.place(3)].0 },
            priority: PRIORITIES[self.dice.place(PRIORITIES.len())].0,
            labels: if self.dice.one_in(2) {
                vec![LABELS[self.dice.place(LABELS.len())].to_owned()]
            } else {
                Vec::new()
            },
            assignee: if self.dice.one_in(2) { self.someone() } else { None },
            reporter: self.someone(),
            created: at,
            updated: at,
            resolved: done.then_some(at),
            comments: Vec::new(),
            changes: Vec::new(),
            sprints,
            epic,
            parent: some.filter(|_| kind == SUBTASK),
            blocks: some.filter(|_| number % 7 == 0),
            points: (kind == 10_001).then(|| 1 + self.dice.below(8)),
        };
        self.issues.insert(id, issue);
        id
    }

    fn sprints_of(&mut self, project: u64) -> Vec<u64> {
        let boards: Vec<u64> =
            self.boards.iter().filter(|board| board.project == project).map(|board| board.id).collect();
        let all: Vec<u64> =
            self.sprints.iter().filter(|sprint| boards.contains(&sprint.board)).map(|sprint| sprint.id).collect();
        if all.is_empty() || self.dice.one_in(3) {
            return Vec::new();
        }
        vec![all[self.dice.place(all.len())]]
    }

    /// A user; seldom nobody.
    pub fn someone(&mut self) -> Option<usize> {
        let user = self.dice.place(self.users.len());
        (!self.dice.one_in(40)).then_some(user)
    }

    /// An issue, and seldom one of a few.
    pub fn some_issue(&mut self) -> Option<u64> {
        let count = if self.dice.one_in(HOT) { self.issues.len().div_ceil(50) } else { self.issues.len() };
        let place = self.dice.place(count.max(1));
        self.issues.keys().nth(place).copied()
    }

    fn make_talk(&mut self, size: &Size) {
        // Each step walks over a map otherwise, and there may be tens of thousands.
        let ids: Vec<u64> = self.issues.keys().copied().collect();
        let some = |world: &mut World| {
            let count = if world.dice.one_in(HOT) { ids.len().div_ceil(50) } else { ids.len() };
            ids.get(world.dice.place(count.max(1))).copied()
        };
        for _ in 0..size.comments {
            let Some(issue) = some(self) else { return };
            let at = self.after(issue);
            self.add_comment(issue, at);
        }
        for _ in 0..size.changes {
            let Some(issue) = some(self) else { return };
            let at = self.after(issue);
            self.edit(issue, at);
        }
    }

    /// A time after an issue was last updated.
    fn after(&mut self, issue: u64) -> i64 {
        let updated = self.issues[&issue].updated;
        let left = u64::try_from(self.now - updated).unwrap_or(0);
        updated + i64::try_from(self.dice.below(left.clamp(1, 86_400))).unwrap_or(0)
    }

    pub fn add_comment(&mut self, issue: u64, at: i64) -> u64 {
        let (id, author) = (self.id(), self.someone());
        let body = format!("Comment {id}: have you tried the {}?", WORDS[self.dice.place(WORDS.len())]);
        if let Some(issue) = self.issues.get_mut(&issue) {
            issue.comments.push(Comment { id, author, body, created: at, updated: at });
            issue.updated = at;
        }
        id
    }

    /// Changes one of the fields of an issue, and notes it.
    pub fn edit(&mut self, id: u64, at: i64) {
        match self.dice.below(3) {
            0 => {
                let summary =
                    format!("{} the {} anew", VERBS[self.dice.place(VERBS.len())], WORDS[self.dice.place(WORDS.len())]);
                self.set_summary(id, summary, at);
            }
            1 => {
                let status = STATUSES[self.dice.place(STATUSES.len())].0;
                self.set_status(id, status, at);
            }
            _ => {
                let user = self.someone();
                self.set_assignee(id, user, at);
            }
        }
    }

    pub fn set_summary(&mut self, id: u64, summary: String, at: i64) {
        let Some(issue) = self.issues.get_mut(&id) else { return };
        let before = std::mem::replace(&mut issue.summary, summary.clone());
        self.note(id, at, "summary", (None, Some(before)), (None, Some(summary)));
    }

    pub fn set_status(&mut self, id: u64, status: u64, at: i64) {
        let Some(issue) = self.issues.get_mut(&id) else { return };
        let before = std::mem::replace(&mut issue.status, status);
        issue.resolved = (status == DONE).then_some(at);
        let said = |status: u64| (Some(status.to_string()), Some(status_name(status).to_owned()));
        self.note(id, at, "status", said(before), said(status));
    }

    pub fn set_assignee(&mut self, id: u64, user: Option<usize>, at: i64) {
        let Some(issue) = self.issues.get_mut(&id) else { return };
        let before = std::mem::replace(&mut issue.assignee, user);
        let said = |user: Option<usize>| {
            let user = user.map(|user| &self.users[user]);
            (user.map(|user| user.id.clone()), user.map(|user| user.display.clone()))
        };
        let (from, to) = (said(before), said(user));
        self.note(id, at, "assignee", from, to);
    }

    pub fn set_priority(&mut self, id: u64, priority: u64, at: i64) {
        let Some(issue) = self.issues.get_mut(&id) else { return };
        let before = std::mem::replace(&mut issue.priority, priority);
        let said = |priority: u64| {
            let name = PRIORITIES.iter().find(|(id, _, _)| *id == priority).map(|(_, name, _)| (*name).to_owned());
            (Some(priority.to_string()), name)
        };
        self.note(id, at, "priority", said(before), said(priority));
    }

    fn note(
        &mut self,
        issue: u64,
        at: i64,
        field: &'static str,
        from: (Option<String>, Option<String>),
        to: (Option<String>, Option<String>),
    ) {
        let (id, author) = (self.id(), self.someone());
        if let Some(issue) = self.issues.get_mut(&issue) {
            issue.changes.push(Change { id, author, at, field, from, to });
            issue.updated = at;
        }
    }

    pub fn project(&self, id: u64) -> Option<&Project> {
        self.projects.iter().find(|project| project.id == id)
    }

    pub fn key(&self, issue: &Issue) -> String {
        let project = self.project(issue.project).map_or("GONE", |project| project.key.as_str());
        format!("{project}-{}", issue.number)
    }
}

pub fn status_name(id: u64) -> &'static str {
    STATUSES.iter().find(|(status, _, _)| *status == id).map_or("Unheard of", |(_, name, _)| name)
}
