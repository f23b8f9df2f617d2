//! The invented organisation: users, repositories, issues, pull requests and what hangs on them, made from a seed. The same
//! options give the same world. What changes in it is `change`'s, how it is shown is `graphql`'s and `rest`'s.

use std::collections::BTreeMap;

use simulator::dice::Dice;

/// The name of the organisation.
pub const ORGANISATION: &str = "acme";

/// 2026-11-01T00:00:00Z: the world's clock when nothing has changed yet.
const BEGINNING_SECS: i64 = 1_793_491_200;

/// Everything was made in the three years before.
const PAST_SECS: u64 = 3 * 365 * 86_400;

/// One in so many comments goes to one of a few issues that everybody talks about.
const HOT_COMMENT: u64 = 20;

/// How large the world is.
#[derive(Debug, Clone)]
pub struct Size {
    pub repositories: u64,
    /// Over all repositories, as the following.
    pub issues: u64,
    pub pull_requests: u64,
    /// On issues and on the conversations of pull requests.
    pub comments: u64,
    /// On the code of pull requests.
    pub review_comments: u64,
    /// Of each pull request, as the following.
    pub reviews: u64,
    pub commits: u64,
    pub users: u64,
    pub seed: u64,
}

impl Default for Size {
    fn default() -> Size {
        Size {
            repositories: 3,
            issues: 60,
            pull_requests: 30,
            comments: 200,
            review_comments: 40,
            reviews: 2,
            commits: 3,
            users: 20,
            seed: 1,
        }
    }
}

#[derive(Debug, Clone)]
pub struct User {
    pub id: u64,
    pub login: String,
    pub name: Option<String>,
    pub email: String,
    /// `User`, `Bot` or `Mannequin`.
    pub kind: &'static str,
    pub member: bool,
}

#[derive(Debug, Clone)]
pub struct Comment {
    pub id: u64,
    /// None: the account has been deleted.
    pub author: Option<usize>,
    pub body: String,
    pub created: i64,
    pub updated: i64,
}

#[derive(Debug, Clone)]
pub struct ReviewComment {
    pub comment: Comment,
    pub pull: u64,
    pub review: u64,
    pub path: String,
}

#[derive(Debug, Clone)]
pub struct Review {
    pub id: u64,
    pub author: Option<usize>,
    pub state: &'static str,
    pub body: String,
    pub submitted: i64,
}

#[derive(Debug, Clone)]
pub struct Commit {
    pub sha: String,
    pub message: String,
    pub name: String,
    pub email: String,
    pub user: Option<usize>,
    pub additions: u64,
    pub deletions: u64,
    pub at: i64,
}

/// What issues and pull requests have in common.
#[derive(Debug, Clone)]
pub struct Thread {
    pub number: u64,
    pub title: String,
    pub body: String,
    /// `OPEN`, `CLOSED`; `MERGED` for pull requests.
    pub state: &'static str,
    pub author: Option<usize>,
    pub assignees: Vec<usize>,
    pub labels: Vec<String>,
    pub created: i64,
    pub updated: i64,
    pub closed: Option<i64>,
    pub comments: Vec<Comment>,
}

#[derive(Debug, Clone)]
pub struct Pull {
    pub thread: Thread,
    pub draft: bool,
    pub merged: Option<i64>,
    pub merged_by: Option<usize>,
    pub branch: String,
    pub merge_sha: Option<String>,
    pub reviews: Vec<Review>,
    pub requests: Vec<usize>,
    pub commits: Vec<Commit>,
}

#[derive(Debug, Clone)]
pub struct Hook {
    pub id: u64,
    pub url: String,
    pub secret: String,
    pub events: Vec<String>,
}

#[derive(Debug, Clone)]
pub struct Repo {
    pub id: u64,
    pub name: String,
    pub private: bool,
    pub archived: bool,
    pub created: i64,
    pub updated: i64,
    pub pushed: i64,
    pub next_number: u64,
    pub issues: BTreeMap<u64, Thread>,
    pub pulls: BTreeMap<u64, Pull>,
    pub review_comments: Vec<ReviewComment>,
    pub hooks: Vec<Hook>,
}

impl Repo {
    pub fn full_name(&self) -> String {
        format!("{ORGANISATION}/{}", self.name)
    }
}

#[derive(Debug, Clone)]
pub struct World {
    pub users: Vec<User>,
    pub repos: Vec<Repo>,
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
const LABELS: [&str; 5] = ["bug", "enhancement", "good first issue", "docs", "security"];
const REVIEWS: [&str; 4] = ["APPROVED", "COMMENTED", "CHANGES_REQUESTED", "DISMISSED"];

impl World {
    pub fn new(size: &Size) -> World {
        let mut world = World {
            users: Vec::new(),
            repos: Vec::new(),
            hooks: Vec::new(),
            now: BEGINNING_SECS,
            next_id: 1_000_000,
            dice: Dice::new(size.seed),
        };
        world.users = (0..size.users.max(1)).map(|place| world.make_user(place)).collect();
        world.repos = (0..size.repositories).map(|place| world.make_repo(place)).collect();
        world.make_threads(size);
        world.make_comments(size.comments);
        world.make_review_comments(size.review_comments);
        for repo in &mut world.repos {
            repo.pushed = repo.pulls.values().map(|pull| pull.thread.updated).max().unwrap_or(repo.created);
            repo.updated = repo.pushed;
        }
        world
    }

    pub fn id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    fn make_user(&mut self, place: u64) -> User {
        let id = self.id();
        let bot = place % 50 == 49;
        let login = if bot { format!("robot-{place}") } else { format!("user-{place}") };
        User {
            id,
            name: (!self.dice.one_in(7)).then(|| format!("Person Number {place}")),
            email: format!("{login}@{ORGANISATION}.invalid"),
            login,
            kind: if bot { "Bot" } else { "User" },
            // Bots are no members, and some of the others have only passed by.
            member: !bot && !self.dice.one_in(5),
        }
    }

    fn make_repo(&mut self, place: u64) -> Repo {
        let id = self.id();
        let created = self.now - i64::try_from(PAST_SECS).unwrap_or(0);
        Repo {
            id,
            name: format!("{}-{place}", WORDS[self.dice.place(WORDS.len())]),
            private: self.dice.one_in(2),
            archived: false,
            created,
            updated: created,
            pushed: created,
            next_number: 1,
            issues: BTreeMap::new(),
            pulls: BTreeMap::new(),
            review_comments: Vec::new(),
            hooks: Vec::new(),
        }
    }

    /// Issues and pull requests in the order of their creation, so that numbers and times go the same way.
    fn make_threads(&mut self, size: &Size) {
        if self.repos.is_empty() {
            return;
        }
        let total = size.issues + size.pull_requests;
        let (mut issues, mut pulls) = (size.issues, size.pull_requests);
        for place in 0..total {
            let past = PAST_SECS * (total - place) / (total + 1);
            let at = self.now - i64::try_from(past).unwrap_or(0);
            let repo = self.dice.place(self.repos.len());
            if self.dice.below(issues + pulls) < issues {
                issues -= 1;
                self.add_issue(repo, at);
            } else {
                pulls -= 1;
                self.add_pull(repo, at, size.reviews, size.commits);
            }
        }
    }

    fn thread(&mut self, repo: usize, at: i64) -> Thread {
        let number = self.repos[repo].next_number;
        self.repos[repo].next_number += 1;
        let title = format!("{} the {}", VERBS[self.dice.place(VERBS.len())], WORDS[self.dice.place(WORDS.len())]);
        let labels = self.dice.below(3);
        let mut labels: Vec<String> = (0..labels).map(|_| LABELS[self.dice.place(LABELS.len())].to_owned()).collect();
        labels.sort();
        labels.dedup();
        Thread {
            number,
            body: format!("{title}.\n\nIt is number {number}; see also #{}.", number / 2 + 1),
            title,
            state: "OPEN",
            author: self.someone(),
            assignees: if self.dice.one_in(3) { self.someone().into_iter().collect() } else { Vec::new() },
            labels,
            created: at,
            updated: at,
            closed: None,
            comments: Vec::new(),
        }
    }

    /// A user; seldom one whose account has been deleted.
    pub fn someone(&mut self) -> Option<usize> {
        let user = self.dice.place(self.users.len());
        (!self.dice.one_in(40)).then_some(user)
    }

    pub fn add_issue(&mut self, repo: usize, at: i64) -> u64 {
        let mut thread = self.thread(repo, at);
        if self.dice.one_in(2) {
            thread.state = "CLOSED";
            thread.closed = Some(at);
        }
        let number = thread.number;
        self.repos[repo].issues.insert(number, thread);
        number
    }

    pub fn add_pull(&mut self, repo: usize, at: i64, reviews: u64, commits: u64) -> u64 {
        let thread = self.thread(repo, at);
        let number = thread.number;
        let mut pull = Pull {
            draft: self.dice.one_in(10),
            merged: None,
            merged_by: None,
            branch: format!("topic-{number}"),
            merge_sha: None,
            reviews: (0..reviews).map(|_| self.review(at)).collect(),
            requests: if self.dice.one_in(4) { vec![self.dice.place(self.users.len())] } else { Vec::new() },
            commits: (0..commits).map(|_| self.commit(at)).collect(),
            thread,
        };
        match self.dice.below(3) {
            0 => {
                (pull.thread.state, pull.thread.closed, pull.merged) = ("MERGED", Some(at), Some(at));
                pull.merged_by = self.someone();
                pull.merge_sha = Some(self.sha());
            }
            1 => (pull.thread.state, pull.thread.closed) = ("CLOSED", Some(at)),
            _ => {}
        }
        self.repos[repo].pulls.insert(number, pull);
        number
    }

    pub fn review(&mut self, at: i64) -> Review {
        let (id, author) = (self.id(), self.someone());
        Review {
            id,
            author,
            state: REVIEWS[self.dice.place(REVIEWS.len())],
            body: format!("Review {id}"),
            submitted: at,
        }
    }

    fn sha(&mut self) -> String {
        let words: Vec<u64> = (0..3).map(|_| self.dice.roll()).collect();
        let text: String = words.iter().map(|word| format!("{word:016x}")).collect();
        text[..40].to_owned()
    }

    pub fn commit(&mut self, at: i64) -> Commit {
        let user = self.dice.place(self.users.len());
        let known = !self.dice.one_in(10);
        let (name, email) = match known {
            true => {
                (self.users[user].name.clone().unwrap_or_else(|| "Unnamed".to_owned()), self.users[user].email.clone())
            }
            // Capitals in some, as people write their addresses.
            false => (format!("Outsider {user}"), format!("Outsider{user}@Example.invalid")),
        };
        Commit {
            sha: self.sha(),
            message: format!("{} things", VERBS[self.dice.place(VERBS.len())]),
            name,
            email,
            user: known.then_some(user),
            additions: self.dice.below(300),
            deletions: self.dice.below(100),
            at,
        }
    }

    /// A comment of a conversation by its id.
    pub fn comment_of_id(&self, id: u64) -> Option<&Comment> {
        let issues = self.repos.iter().flat_map(|repo| repo.issues.values());
        let pulls = self.repos.iter().flat_map(|repo| repo.pulls.values()).map(|pull| &pull.thread);
        issues.chain(pulls).flat_map(|thread| &thread.comments).find(|comment| comment.id == id)
    }

    pub fn comment(&mut self, at: i64) -> Comment {
        let (id, author) = (self.id(), self.someone());
        Comment { id, author, body: format!("Comment {id}: I see the same."), created: at, updated: at }
    }

    fn make_comments(&mut self, count: u64) {
        let threads: Vec<(usize, u64)> = self
            .repos
            .iter()
            .enumerate()
            .flat_map(|(place, repo)| repo.issues.keys().chain(repo.pulls.keys()).map(move |number| (place, *number)))
            .collect();
        if threads.is_empty() {
            return;
        }
        let hot = threads.len().div_ceil(500);
        for _ in 0..count {
            let few = self.dice.one_in(HOT_COMMENT);
            let (repo, number) = threads[self.dice.place(if few { hot } else { threads.len() })];
            let after = i64::try_from(self.dice.below(30 * 86_400)).unwrap_or(0);
            let now = self.now;
            let comment = self.comment(0);
            if let Some(thread) = self.repos[repo].thread_mut(number) {
                let at = (thread.updated + after / 50).min(now);
                thread.comments.push(Comment { created: at, updated: at, ..comment });
                thread.updated = at;
            }
        }
    }

    fn make_review_comments(&mut self, count: u64) {
        let pulls: Vec<(usize, u64)> = self
            .repos
            .iter()
            .enumerate()
            .flat_map(|(place, repo)| repo.pulls.values().map(move |pull| (place, pull)))
            .filter(|(_, pull)| !pull.reviews.is_empty())
            .map(|(place, pull)| (place, pull.thread.number))
            .collect();
        if pulls.is_empty() {
            return;
        }
        for _ in 0..count {
            let (repo, number) = pulls[self.dice.place(pulls.len())];
            let at = self.repos[repo].pulls.get(&number).map_or(0, |pull| pull.thread.updated);
            self.add_review_comment(repo, number, at);
        }
    }

    pub fn add_review_comment(&mut self, repo: usize, pull: u64, at: i64) {
        let mut comment = self.comment(at);
        let Some(found) = self.repos[repo].pulls.get_mut(&pull) else { return };
        let Some(review) = found.reviews.first() else { return };
        comment.author = review.author;
        let made = ReviewComment { comment, pull, review: review.id, path: "src/lib.rs".to_owned() };
        found.thread.updated = at;
        self.repos[repo].review_comments.push(made);
    }
}

impl Repo {
    pub fn thread_mut(&mut self, number: u64) -> Option<&mut Thread> {
        match self.issues.get_mut(&number) {
            Some(issue) => Some(issue),
            None => self.pulls.get_mut(&number).map(|pull| &mut pull.thread),
        }
    }

    /// When an issue was updated last; when a pull request was.
    pub fn latest(&self) -> (Option<i64>, Option<i64>) {
        (
            self.issues.values().map(|issue| issue.updated).max(),
            self.pulls.values().map(|pull| pull.thread.updated).max(),
        )
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
        let sum = |count: fn(&Repo) -> usize| world.repos.iter().map(count).sum::<usize>() as u64;
        assert_eq!(sum(|repo| repo.issues.len()), size.issues);
        assert_eq!(sum(|repo| repo.pulls.len()), size.pull_requests);
        assert_eq!(sum(|repo| repo.review_comments.len()), size.review_comments);
        let comments = sum(|repo| repo.issues.values().map(|issue| issue.comments.len()).sum())
            + sum(|repo| repo.pulls.values().map(|pull| pull.thread.comments.len()).sum());
        assert_eq!(comments, size.comments);
    }
}
