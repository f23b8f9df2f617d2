//! The types of the schema that are modelled, with those of their fields that are: scalars and small objects as JSON, single
//! objects, and connections in their order, each item with the key that is its cursor.

use serde_json::{Map, Value, json};
use simulator::clock::{parse_rfc3339, rfc3339};

use super::execute::Context;
use crate::truth::node_id;
use crate::world::{Comment, Commit, ORGANISATION, Pull, Repo, Review, Thread, User, World};

/// An object of the schema.
pub enum Object<'w> {
    Query,
    Organization,
    Repository(&'w Repo),
    Issue(&'w Repo, &'w Thread),
    PullRequest(&'w Repo, &'w Pull),
    Comment(&'w Comment, String),
    Review(&'w Review),
    PullRequestCommit(&'w Commit),
    ReviewRequest(&'w User),
    Label(&'w str),
    User(&'w User),
}

/// Items of a connection with their cursors, in order.
type Items<'w> = Vec<(String, Object<'w>)>;

/// Whether a type is this one, or implements this interface.
pub fn implements(kind: &str, on: &str) -> bool {
    let actor = matches!(kind, "User" | "Bot" | "Mannequin" | "Organization");
    kind == on
        || match on {
            "Node" => kind != "Connection" && kind != "Query",
            "Actor" => actor,
            "RepositoryOwner" => matches!(kind, "User" | "Organization"),
            "RequestedReviewer" | "Assignee" => actor,
            _ => false,
        }
}

fn actor(world: &World, user: Option<usize>) -> Value {
    user.map_or(Value::Null, |user| user_json(&world.users[user]).into())
}

fn user_json(user: &User) -> Map<String, Value> {
    let json = json!({
        "__typename": user.kind, "id": node_id("U", user.id), "databaseId": user.id, "login": user.login,
        "name": user.name, "email": user.email, "avatarUrl": format!("https://avatars.invalid/{}", user.id),
        "url": format!("https://github.invalid/{}", user.login)
    });
    json.as_object().cloned().unwrap_or_default()
}

fn time(secs: Option<i64>) -> Value {
    secs.map(rfc3339).into()
}

/// The cursor of an item by its time and number.
fn key(at: i64, id: u64) -> String {
    format!("{at:012}:{id:012}")
}

impl<'w> Object<'w> {
    pub fn kind(&self, _: &Context<'w>) -> &'static str {
        match self {
            Object::Query => "Query",
            Object::Organization => "Organization",
            Object::Repository(_) => "Repository",
            Object::Issue(..) => "Issue",
            Object::PullRequest(..) => "PullRequest",
            Object::Comment(..) => "IssueComment",
            Object::Review(_) => "PullRequestReview",
            Object::PullRequestCommit(_) => "PullRequestCommit",
            Object::ReviewRequest(_) => "ReviewRequest",
            Object::Label(_) => "Label",
            Object::User(user) => user.kind,
        }
    }

    /// Scalars, and small objects written out.
    pub fn json(&self, context: &Context<'w>) -> Map<String, Value> {
        let world = context.world;
        let json = match self {
            Object::Query => json!({ "viewer": user_json(&world.users[0]) }),
            Object::Organization => json!({
                "id": "O_1", "databaseId": 1, "login": ORGANISATION, "name": "Acme",
                "url": format!("https://github.invalid/{ORGANISATION}"), "avatarUrl": "https://avatars.invalid/1"
            }),
            Object::Repository(repo) => repo_json(repo),
            Object::Issue(repo, issue) => thread_json(world, repo, issue, "issues"),
            Object::PullRequest(repo, pull) => pull_json(world, repo, pull),
            Object::Comment(comment, url) => json!({
                "id": node_id("IC", comment.id), "databaseId": comment.id, "body": comment.body, "url": url,
                "author": actor(world, comment.author), "createdAt": rfc3339(comment.created),
                "updatedAt": rfc3339(comment.updated)
            }),
            Object::Review(review) => json!({
                "id": node_id("PRR", review.id), "databaseId": review.id, "state": review.state, "body": review.body,
                "author": actor(world, review.author), "submittedAt": rfc3339(review.submitted),
                "createdAt": rfc3339(review.submitted), "updatedAt": rfc3339(review.submitted),
                "url": format!("https://github.invalid/pull#pullrequestreview-{}", review.id)
            }),
            Object::PullRequestCommit(commit) => json!({ "id": commit.sha, "commit": commit_json(world, commit) }),
            Object::ReviewRequest(user) => {
                json!({ "id": format!("RR_{}", user.id), "requestedReviewer": user_json(user) })
            }
            Object::Label(name) => json!({ "id": format!("L_{name}"), "name": name }),
            Object::User(user) => user_json(user).into(),
        };
        let mut members = json.as_object().cloned().unwrap_or_default();
        members.entry("__typename").or_insert_with(|| self.kind(context).into());
        members
    }

    /// A single object that has connections of its own; an error where there is none.
    pub fn child(
        &self,
        name: &str,
        arguments: &Map<String, Value>,
        context: &Context<'w>,
    ) -> Option<Result<Option<Object<'w>>, String>> {
        let world = context.world;
        let text = |name: &str| arguments.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let number = || arguments.get("number").and_then(Value::as_u64).unwrap_or_default();
        match (self, name) {
            (Object::Query, "repositoryOwner" | "organization") => {
                let found = text("login").eq_ignore_ascii_case(ORGANISATION);
                // Of the two, only the second is an error where there is nobody.
                Some(match (found, name) {
                    (true, _) => Ok(Some(Object::Organization)),
                    (false, "repositoryOwner") => Ok(None),
                    (false, _) => {
                        Err(format!("Could not resolve to an Organization with the login of '{}'.", text("login")))
                    }
                })
            }
            (Object::Query, "repository") => {
                let (owner, name) = (text("owner"), text("name"));
                let mut repos = world.repos.iter();
                let found = repos.find(|repo| owner.eq_ignore_ascii_case(ORGANISATION) && repo.name == name);
                let why = || format!("Could not resolve to a Repository with the name '{owner}/{name}'.");
                Some(found.map(|repo| Some(Object::Repository(repo))).ok_or_else(why))
            }
            (Object::Query, "node") => {
                let id = text("id");
                Some(
                    node(world, &id)
                        .map(Some)
                        .ok_or_else(|| format!("Could not resolve to a node with the global id of '{id}'")),
                )
            }
            (Object::Repository(repo), "issue") => {
                let found = repo.issues.get(&number()).map(|issue| Some(Object::Issue(repo, issue)));
                Some(found.ok_or_else(|| format!("Could not resolve to an Issue with the number of {}.", number())))
            }
            (Object::Repository(repo), "pullRequest") => {
                let found = repo.pulls.get(&number()).map(|pull| Some(Object::PullRequest(repo, pull)));
                Some(
                    found.ok_or_else(|| format!("Could not resolve to a PullRequest with the number of {}.", number())),
                )
            }
            _ => None,
        }
    }

    /// A connection's items, all of them, in the order asked for.
    pub fn connection(
        &self,
        name: &str,
        arguments: &Map<String, Value>,
        context: &Context<'w>,
    ) -> Option<Result<Items<'w>, String>> {
        let world = context.world;
        let order = arguments.get("orderBy").cloned().unwrap_or_default();
        let since = arguments.get("filterBy").and_then(|filter| filter["since"].as_str()).and_then(parse_rfc3339);
        let by = |created: i64, updated: i64, id: u64| match order["field"].as_str() {
            Some("UPDATED_AT") => key(updated, id),
            _ => key(created, id),
        };
        let url = |repo: &Repo, kind: &str, number: u64, id: u64| {
            format!("https://github.invalid/{}/{kind}/{number}#issuecomment-{id}", repo.full_name())
        };
        let mut items: Items<'w> = match (self, name) {
            (Object::Organization, "repositories") => {
                world.repos.iter().map(|repo| (key(repo.created, repo.id), Object::Repository(repo))).collect()
            }
            (Object::Organization, "membersWithRole") => {
                let members = world.users.iter().filter(|user| user.member);
                members.map(|user| (key(0, user.id), Object::User(user))).collect()
            }
            (Object::Repository(repo), "issues") => {
                let issues = repo.issues.values().filter(|issue| since.is_none_or(|since| issue.updated >= since));
                issues.map(|i| (by(i.created, i.updated, i.number), Object::Issue(repo, i))).collect()
            }
            (Object::Repository(repo), "pullRequests") => {
                let cursor = |pull: &Pull| by(pull.thread.created, pull.thread.updated, pull.thread.number);
                repo.pulls.values().map(|pull| (cursor(pull), Object::PullRequest(repo, pull))).collect()
            }
            (Object::Issue(repo, issue), "comments") => {
                let comment = |c: &'w Comment| Object::Comment(c, url(repo, "issues", issue.number, c.id));
                issue.comments.iter().map(|c| (key(0, c.id), comment(c))).collect()
            }
            (Object::PullRequest(repo, pull), "comments") => {
                let comment = |c: &'w Comment| Object::Comment(c, url(repo, "pull", pull.thread.number, c.id));
                pull.thread.comments.iter().map(|c| (key(0, c.id), comment(c))).collect()
            }
            (Object::Issue(_, thread), "labels" | "assignees") => thread_connection(world, thread, name),
            (Object::PullRequest(_, pull), "labels" | "assignees") => thread_connection(world, &pull.thread, name),
            (Object::PullRequest(_, pull), "reviews") => {
                pull.reviews.iter().map(|review| (key(0, review.id), Object::Review(review))).collect()
            }
            (Object::PullRequest(_, pull), "commits") => {
                let commits = (0_u64..).zip(&pull.commits);
                commits.map(|(place, commit)| (key(0, place), Object::PullRequestCommit(commit))).collect()
            }
            (Object::PullRequest(_, pull), "reviewRequests") => {
                let users = pull.requests.iter().map(|user| &world.users[*user]);
                users.map(|user| (key(0, user.id), Object::ReviewRequest(user))).collect()
            }
            _ => return None,
        };
        items.sort_by(|(a, _), (b, _)| a.cmp(b));
        if order["direction"] == "DESC" {
            items.reverse();
        }
        Some(Ok(items))
    }
}

fn thread_connection<'w>(world: &'w World, thread: &'w Thread, name: &str) -> Items<'w> {
    if name == "labels" {
        return thread.labels.iter().map(|label| (label.clone(), Object::Label(label))).collect();
    }
    let users = thread.assignees.iter().map(|user| &world.users[*user]);
    users.map(|user| (key(0, user.id), Object::User(user))).collect()
}

fn node<'w>(world: &'w World, id: &str) -> Option<Object<'w>> {
    let (kind, rest) = id.split_once('_')?;
    if kind == "IC" {
        let comment = world.comment_of_id(rest.parse().ok()?)?;
        return Some(Object::Comment(comment, String::new()));
    }
    let parts: Vec<u64> = rest.split('_').filter_map(|part| part.parse().ok()).collect();
    let repo = world.repos.iter().find(|repo| Some(&repo.id) == parts.first())?;
    let number = parts.get(1).copied().unwrap_or_default();
    match kind {
        "R" => Some(Object::Repository(repo)),
        "I" => repo.issues.get(&number).map(|issue| Object::Issue(repo, issue)),
        "PR" => repo.pulls.get(&number).map(|pull| Object::PullRequest(repo, pull)),
        _ => None,
    }
}

fn repo_json(repo: &Repo) -> Value {
    json!({
        "__typename": "Repository", "id": node_id("R", repo.id), "databaseId": repo.id, "name": repo.name,
        "nameWithOwner": repo.full_name(), "description": "An invented repository",
        "url": format!("https://github.invalid/{}", repo.full_name()), "isPrivate": repo.private,
        "isArchived": repo.archived, "isFork": false, "isDisabled": false, "hasIssuesEnabled": true,
        "visibility": if repo.private { "PRIVATE" } else { "PUBLIC" },
        "createdAt": rfc3339(repo.created), "updatedAt": rfc3339(repo.updated), "pushedAt": rfc3339(repo.pushed),
        "defaultBranchRef": { "__typename": "Ref", "name": "main" },
        "primaryLanguage": { "__typename": "Language", "name": "Rust" },
        "owner": { "__typename": "Organization", "login": ORGANISATION }
    })
}

fn thread_json(world: &World, repo: &Repo, thread: &Thread, kind: &str) -> Value {
    let node = if kind == "issues" { "I" } else { "PR" };
    json!({
        "id": format!("{node}_{}_{}", repo.id, thread.number), "number": thread.number, "title": thread.title,
        "body": thread.body, "state": thread.state, "locked": false, "author": actor(world, thread.author),
        "stateReason": (thread.state == "CLOSED").then_some("COMPLETED"),
        "url": format!("https://github.invalid/{}/{kind}/{}", repo.full_name(), thread.number),
        "createdAt": rfc3339(thread.created), "updatedAt": rfc3339(thread.updated), "closedAt": time(thread.closed)
    })
}

fn pull_json(world: &World, repo: &Repo, pull: &Pull) -> Value {
    let mut json = thread_json(world, repo, &pull.thread, "pull");
    let more = json!({
        "isDraft": pull.draft, "mergedAt": time(pull.merged), "mergedBy": actor(world, pull.merged_by),
        "headRefName": pull.branch, "headRefOid": pull.commits.last().map(|commit| commit.sha.clone()),
        "baseRefName": "main",
        "mergeCommit": pull.merge_sha.as_ref().map(|sha| json!({ "__typename": "Commit", "oid": sha }))
    });
    if let (Some(json), Some(more)) = (json.as_object_mut(), more.as_object()) {
        json.extend(more.clone());
    }
    json
}

fn commit_json(world: &World, commit: &Commit) -> Value {
    let who = json!({
        "__typename": "GitActor", "name": commit.name, "email": commit.email, "date": rfc3339(commit.at),
        "user": actor(world, commit.user)
    });
    json!({
        "__typename": "Commit", "oid": commit.sha, "message": commit.message, "additions": commit.additions,
        "deletions": commit.deletions, "authoredDate": rfc3339(commit.at), "committedDate": rfc3339(commit.at),
        "url": format!("https://github.invalid/commit/{}", commit.sha), "author": who, "committer": who
    })
}
