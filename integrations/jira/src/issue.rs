//! The models `work.Issue` and `work.IssueComment`: what the server says of an issue, as records.

use std::borrow::Cow;
use std::collections::HashMap;

use agent_sdk::updated::earlier;
use integration_model::notes::{self, Notes};
use integration_model::work::{Attachment, Issue, IssueComment, IssueFields, LinkedIssue, Sprint, Transition};
use integration_model::{Comment, CommentFields, Stop};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::REF_TYPE;
use crate::api::{Api, counted};
use crate::changelog::{self, History};
use crate::fields::{Fields, first};
use crate::html;
use crate::search::id_of;
use crate::sprint;
use crate::user::{self, Account, People};

/// What is asked of an issue beside its fields.
pub const EXPAND: &str = "renderedFields,changelog";
/// The same where it is to come with what can be done next.
pub const EXPAND_ALL: &str = "renderedFields,changelog,transitions.fields";
/// Comments, or changes, of one request.
const INNER_PAGE: u32 = 100;
/// Bytes of a key; far beyond what a server lets one have.
const KEY_BYTES_MAX: usize = 300;
/// What hierarchies call the level above issues.
const EPIC_LEVEL: i64 = 1;

/// What an export of issues works with.
pub struct Scope<'a> {
    pub api: &'a Api,
    pub fields: &'a Fields,
    pub people: &'a mut People,
    pub notes: Notes,
    /// Whether some of an inner list could not be had, of the issue that is read.
    partly: bool,
}

impl<'a> Scope<'a> {
    pub fn new(api: &'a Api, fields: &'a Fields, people: &'a mut People) -> Scope<'a> {
        Scope { api, fields, people, notes: Notes::default(), partly: false }
    }
}

/// An issue with what came with it.
pub struct Records {
    pub issue: Issue,
    pub comments: Vec<IssueComment>,
    /// The ids of all comments that there are; none where some of them were not to be had.
    pub there: Option<Vec<String>>,
    pub sprints: Vec<Sprint>,
    /// Whether comments or changes are missing that could not be had now.
    pub partly: bool,
}

/// Why an issue brings no record.
pub enum Refused {
    /// It is not what it should be.
    Node(String),
    Stop(Stop),
}

impl From<Stop> for Refused {
    fn from(stop: Stop) -> Refused {
        Refused::Stop(stop)
    }
}

impl From<agent_sdk::Error> for Refused {
    fn from(error: agent_sdk::Error) -> Refused {
        Refused::Stop(error.into())
    }
}

/// An issue as the server says it, without what is asked for by itself.
#[derive(Debug, Deserialize)]
struct Node {
    key: String,
    fields: Known,
}

#[derive(Debug, Deserialize)]
struct Known {
    summary: String,
    project: Numbered,
    status: Status,
    created: String,
    updated: String,
    issuetype: Option<Named>,
    priority: Option<Named>,
    resolution: Option<Named>,
    #[serde(default)]
    labels: Option<Vec<String>>,
    parent: Option<Parent>,
    assignee: Option<Account>,
    reporter: Option<Account>,
    creator: Option<Account>,
    duedate: Option<String>,
    resolutiondate: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Numbered {
    id: String,
}

#[derive(Debug, Deserialize)]
struct Named {
    id: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Status {
    id: String,
    name: String,
}

#[derive(Debug, Deserialize)]
struct Parent {
    id: String,
    fields: Option<ParentFields>,
}

#[derive(Debug, Deserialize)]
struct ParentFields {
    issuetype: Option<ParentType>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ParentType {
    hierarchy_level: Option<i64>,
    name: Option<String>,
}

impl Parent {
    fn is_epic(&self) -> bool {
        let kind = self.fields.as_ref().and_then(|fields| fields.issuetype.as_ref());
        kind.is_some_and(|kind| match kind.hierarchy_level {
            Some(level) => level == EPIC_LEVEL,
            None => kind.name.as_deref() == Some("Epic"),
        })
    }
}

#[derive(Debug, Deserialize)]
struct Said {
    id: String,
    author: Option<Account>,
    created: String,
    updated: Option<String>,
    #[serde(default)]
    body: Value,
    #[serde(default, rename = "renderedBody")]
    rendered: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Link {
    id: String,
    r#type: LinkType,
    inward_issue: Option<Linked>,
    outward_issue: Option<Linked>,
}

#[derive(Debug, Deserialize)]
struct LinkType {
    name: String,
    inward: String,
    outward: String,
}

#[derive(Debug, Deserialize)]
struct Linked {
    id: String,
    key: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Attached {
    id: Value,
    filename: String,
    #[serde(default)]
    mime_type: Option<String>,
    size: Option<u64>,
    content: String,
    author: Option<Account>,
    created: String,
}

#[derive(Debug, Deserialize)]
struct Next {
    id: String,
    name: String,
    to: To,
    #[serde(default)]
    fields: HashMap<String, NextField>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct To {
    id: String,
    status_category: Option<Category>,
}

#[derive(Debug, Deserialize)]
struct Category {
    key: String,
}

#[derive(Debug, Deserialize)]
struct NextField {
    #[serde(default)]
    required: bool,
}

/// The items of a list that are what they should be; the others are noted.
fn items<T: DeserializeOwned>(list: Value, what: &str, key: &str, notes: &mut Notes) -> Vec<T> {
    let Value::Array(list) = list else { return Vec::new() };
    let mut found = Vec::with_capacity(list.len());
    for item in list {
        let id = item["id"].clone();
        match notes::read(item) {
            Ok(item) => found.push(item),
            Err(why) => notes.left_out(&format!("{what} {id} of issue {key}: {why}")),
        }
    }
    found
}

/// Takes something out of an answer, by a pointer: what is no object has nothing in it.
fn taken(value: &mut Value, pointer: &str) -> Value {
    value.pointer_mut(pointer).map(Value::take).unwrap_or_default()
}

/// The records of an issue. `epics` says which issue a key of an epic is.
pub fn records(scope: &mut Scope<'_>, mut node: Value, epics: &HashMap<String, String>) -> Result<Records, Refused> {
    let id = id_of(&node).ok_or_else(|| Refused::Node("id: it has no number".to_owned()))?;
    let key = node["key"].as_str().unwrap_or_default().to_owned();
    if key.len() > KEY_BYTES_MAX {
        return Err(Refused::Node(format!("key: it has {} bytes", key.len())));
    }
    scope.partly = false;
    let (said, there) = comments(scope, &mut node, id, &key)?;
    let histories = histories(scope, &mut node, id, &key)?;
    let rendered = taken(&mut node, "/renderedFields/description");
    let description = taken(&mut node, "/fields/description");
    let links: Vec<Link> = items(taken(&mut node, "/fields/issuelinks"), "link", &key, &mut scope.notes);
    let attached: Vec<Attached> = items(taken(&mut node, "/fields/attachment"), "attachment", &key, &mut scope.notes);
    let next = node.get("transitions").is_some_and(Value::is_array).then(|| taken(&mut node, "/transitions"));
    let next = next.map(|next| transitions(next, &key, &mut scope.notes));
    let own = own_fields(scope, &node, &key, epics);
    let node: Node = notes::read(node).map_err(Refused::Node)?;
    let known = node.fields;
    for account in [&known.assignee, &known.reporter, &known.creator] {
        scope.people.meet(account.as_ref())?;
    }
    let authors = said.iter().map(|said| &said.author).chain(attached.iter().map(|attached| &attached.author));
    for account in authors.chain(histories.iter().map(|history| &history.author)) {
        scope.people.meet(account.as_ref())?;
    }
    let (ref_id, project_id) = (id.to_string(), known.project.id);
    let notes = &mut scope.notes;
    let time = |text: &str, field: &str| {
        earlier(text, 0).ok_or_else(|| Refused::Node(format!("{field}: `{}` is no time", notes::shortened(text, 64))))
    };
    let (epic, own_parts) = (own.epic, own.sprints);
    let fields = IssueFields {
        number: node.key.rsplit('-').next().and_then(|number| number.parse().ok()),
        identifier: node.key.clone(),
        title: notes.text(known.summary),
        description: notes.text(html::body(rendered.as_str(), &description, &scope.api.server)),
        url: scope.api.browse(&node.key),
        status: Cow::Owned(notes.text(known.status.name)),
        status_ref_id: Some(known.status.id),
        type_ref_id: known.issuetype.as_ref().map(|kind| kind.id.clone()),
        r#type: known.issuetype.map(|kind| Cow::Owned(notes.text(kind.name))),
        priority_ref_id: known.priority.as_ref().map(|priority| priority.id.clone()),
        priority: known.priority.map(|priority| notes.text(priority.name)),
        resolution: known.resolution.map(|resolution| Cow::Owned(notes.text(resolution.name))),
        labels: known.labels.unwrap_or_default().into_iter().map(|label| notes.text(label)).collect(),
        story_points: own.points,
        sprint_ref_ids: own_parts.iter().map(sprint::Said::ref_id).collect(),
        epic_ref_id: epic
            .or_else(|| known.parent.as_ref().filter(|parent| parent.is_epic()).map(|parent| parent.id.clone())),
        parent_ref_id: known.parent.map(|parent| parent.id),
        created_by_ref_id: user::ref_id(known.creator.as_ref()),
        reporter_ref_id: user::ref_id(known.reporter.as_ref()),
        assignee_ref_ids: user::ref_id(known.assignee.as_ref()).into_iter().collect(),
        created_at: time(&known.created, "created")?,
        updated_at: time(&known.updated, "updated")?,
        due_on: day(known.duedate.as_deref()),
        planned_start_on: own.start,
        planned_end_on: own.end,
        closed_at: known.resolutiondate.as_deref().and_then(|time| earlier(time, 0)),
        linked_issues: links.into_iter().flat_map(linked).collect(),
        attachments: attached.into_iter().filter_map(|attached| attachment(attached, notes)).collect(),
        change_log: changelog::changes(histories, &key, notes),
        transitions: next,
        ..IssueFields::default()
    };
    let (issue_id, project) = (ref_id.clone(), project_id.clone());
    let said = said.into_iter().filter_map(|said| comment(scope, said, &node.key, &issue_id, &project)).collect();
    let sprints = own_parts.into_iter().map(|said| said.record(&mut scope.notes)).collect();
    let issue = Issue::of_project(REF_TYPE, project_id, ref_id, fields);
    Ok(Records { issue, comments: said, there, sprints, partly: scope.partly })
}

/// What is in the server's own fields.
struct Own {
    points: Option<f64>,
    sprints: Vec<sprint::Said>,
    epic: Option<String>,
    start: Option<String>,
    end: Option<String>,
}

fn own_fields(scope: &mut Scope<'_>, node: &Value, key: &str, epics: &HashMap<String, String>) -> Own {
    let (names, values) = (scope.fields, &node["fields"]);
    let field = first(values, &names.sprint);
    let sprints = sprint::of_field(field);
    let named =
        field.map_or(0, |field| field.as_array().map_or(1, |all| all.iter().filter(|one| !one.is_null()).count()));
    if sprints.len() < named {
        scope
            .notes
            .left_out(&format!("{} sprints of issue {key}: they are of no form that is known", named - sprints.len()));
    }
    let text = |names: &[String]| first(values, names).and_then(Value::as_str);
    Own {
        points: first(values, &names.points).and_then(Value::as_f64),
        sprints,
        epic: text(&names.epic).and_then(|epic| epics.get(epic).cloned()),
        start: day(text(&names.start)),
        end: day(text(&names.end)),
    }
}

/// A day, which is what a time of the server's begins with.
fn day(text: Option<&str>) -> Option<String> {
    let text = text?.get(..10)?;
    earlier(&format!("{text}T00:00:00Z"), 0).map(|_| text.to_owned())
}

/// The key of the epic that an issue is in, where the server says it in a field of its own.
pub fn epic_key<'a>(node: &'a Value, fields: &Fields) -> Option<&'a str> {
    first(&node["fields"], &fields.epic).and_then(Value::as_str)
}

fn linked(link: Link) -> Vec<LinkedIssue> {
    let name = link.r#type.name.to_lowercase();
    let kinds = [
        ("block", "BLOCKS"),
        ("clone", "CLONES"),
        ("duplicate", "DUPLICATES"),
        ("cause", "CAUSES"),
        ("relate", "RELATES"),
    ];
    let told = |text: &str| kinds.iter().find(|(part, _)| text.contains(part)).map(|(_, kind)| *kind);
    let link_type = told(&name).or_else(|| told(&link.r#type.outward.to_lowercase())).unwrap_or("OTHER");
    let ends = [(link.outward_issue, link.r#type.outward, false), (link.inward_issue, link.r#type.inward, true)];
    let of = |(issue, name, reverse): (Option<Linked>, String, bool)| {
        issue.map(|issue| LinkedIssue {
            ref_id: link.id.clone(),
            link_type,
            name,
            reverse,
            issue_ref_id: issue.id,
            identifier: issue.key,
        })
    };
    ends.into_iter().filter_map(of).collect()
}

fn attachment(attached: Attached, notes: &mut Notes) -> Option<Attachment> {
    let ref_id = match attached.id {
        Value::String(id) => id,
        id => id.to_string(),
    };
    let Some(created_at) = earlier(&attached.created, 0) else {
        notes.left_out(&format!("attachment {ref_id}: `{}` is no time", notes::shortened(&attached.created, 64)));
        return None;
    };
    Some(Attachment {
        ref_id,
        name: notes.text(attached.filename),
        mime_type: attached.mime_type.unwrap_or_default(),
        bytes: attached.size.unwrap_or(0),
        url: attached.content,
        user_ref_id: user::ref_id(attached.author.as_ref()),
        created_at,
    })
}

/// What can be done to an issue next.
pub fn transitions(list: Value, key: &str, notes: &mut Notes) -> Vec<Transition> {
    let list: Vec<Next> = items(list, "transition", key, notes);
    let of = |next: Next| {
        let mut requires: Vec<String> =
            next.fields.into_iter().filter(|(_, field)| field.required).map(|(name, _)| name).collect();
        requires.sort();
        Transition {
            ref_id: next.id,
            name: next.name,
            to_status_ref_id: next.to.id,
            requires,
            terminal: next.to.status_category.is_some_and(|category| category.key == "done"),
        }
    };
    list.into_iter().map(of).collect()
}

fn comment(scope: &mut Scope<'_>, said: Said, key: &str, issue: &str, project: &str) -> Option<IssueComment> {
    let Some(created_at) = earlier(&said.created, 0) else {
        scope.notes.left_out(&format!(
            "comment {} of issue {key}: `{}` is no time",
            said.id,
            notes::shortened(&said.created, 64)
        ));
        return None;
    };
    let url = format!(
        "{}?focusedCommentId={id}&page=com.atlassian.jira.plugin.system.issuetabpanels:comment-tabpanel#comment-{id}",
        scope.api.browse(key),
        id = said.id
    );
    let fields = CommentFields {
        body: scope.notes.text(html::body(said.rendered.as_deref(), &said.body, &scope.api.server)),
        url,
        user_ref_id: user::ref_id(said.author.as_ref()),
        updated_at: said.updated.as_deref().and_then(|time| earlier(time, 0)).unwrap_or_else(|| created_at.clone()),
        created_at,
    };
    Some(IssueComment::of_project(Comment::new(REF_TYPE, said.id, fields), project, issue))
}

/// The comments of an issue: those that came with it, or all of them by themselves where these are not all. And the ids of all
/// that there are, where they were had.
fn comments(
    scope: &mut Scope<'_>,
    node: &mut Value,
    id: u64,
    key: &str,
) -> Result<(Vec<Said>, Option<Vec<String>>), Stop> {
    let total = node.pointer("/fields/comment/total").and_then(Value::as_u64);
    let mut list = taken(node, "/fields/comment/comments");
    let rendered = taken(node, "/renderedFields/comment/comments");
    let inline = list.as_array().map_or(0, Vec::len) as u64;
    if total.is_some_and(|total| total > inline) {
        let request = scope.api.get(&["issue", &id.to_string(), "comment"]).query("orderBy", "created");
        let request = request.query("expand", "renderedBody").query("maxResults", INNER_PAGE);
        // Without them, what is there is better than nothing.
        if let Some(all) = rest(scope, request, "/comments", &format!("comments of issue {key}"))? {
            let there = ids(&all);
            return Ok((items(Value::Array(all), "comment", key, &mut scope.notes), there));
        }
    }
    let whole = list.as_array().filter(|_| total == Some(inline));
    let there = whole.and_then(|all| ids(all));
    let bodies = rendered.as_array().map(Vec::as_slice).unwrap_or_default();
    let body_of: HashMap<&str, &Value> =
        bodies.iter().filter_map(|comment| Some((comment["id"].as_str()?, &comment["body"]))).collect();
    for comment in list.as_array_mut().into_iter().flatten() {
        if let Some(body) = comment["id"].as_str().and_then(|id| body_of.get(id))
            && let Some(members) = comment.as_object_mut()
        {
            members.insert("renderedBody".to_owned(), (*body).clone());
        }
    }
    Ok((items(list, "comment", key, &mut scope.notes), there))
}

/// The ids of comments; none where one of them has none.
fn ids(comments: &[Value]) -> Option<Vec<String>> {
    comments.iter().map(|comment| comment.get("id")?.as_str().map(str::to_owned)).collect()
}

/// What was changed in an issue, in the same way.
fn histories(scope: &mut Scope<'_>, node: &mut Value, id: u64, key: &str) -> Result<Vec<History>, Stop> {
    let total = node.pointer("/changelog/total").and_then(Value::as_u64);
    let Value::Array(mut list) = taken(node, "/changelog/histories") else { return Ok(Vec::new()) };
    if total.is_some_and(|total| total > list.len() as u64) {
        let request = scope.api.get(&["issue", &id.to_string(), "changelog"]).query("maxResults", INNER_PAGE);
        if let Some(all) = rest(scope, request, "/values", &format!("changes of issue {key}"))? {
            list = all;
        }
    }
    Ok(changelog::read(list, key, &mut scope.notes))
}

/// The whole of an inner list; none where it cannot be had, which is noted.
fn rest(
    scope: &mut Scope<'_>,
    request: agent_sdk::http::Request,
    at: &str,
    what: &str,
) -> Result<Option<Vec<Value>>, Stop> {
    match counted(request, at) {
        Ok(all) => Ok(Some(all)),
        Err(stop) if matches!(stop, Stop::Failed(_)) && !stop.ends_all() => {
            scope.notes.left_out(&format!("more {what}: {}", stop.into_error()));
            scope.partly = true;
            Ok(None)
        }
        Err(stop) => Err(stop),
    }
}
