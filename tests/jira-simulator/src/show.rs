//! How the world is shown: the JSON that Jira has for each of its things. The two kinds of server differ in how they name people,
//! write texts, and cut inner lists short.

use serde_json::{Value, json};

use crate::world::{
    Board, Change, Comment, Issue, Kind, PRIORITIES, Project, RESOLUTIONS, STATUSES, Sprint, TYPES, World, status_name,
};

/// Hours by which the profile of the user who asks is ahead of UTC. Times are shown, and searched, in that.
pub const OFFSET_HOURS: i64 = 11;
/// Comments, and changes, that come with an issue of the cloud.
pub const COMMENTS_INLINE: usize = 20;
pub const CHANGES_INLINE: usize = 40;

/// The numbers of a server's own fields: every server has others.
pub fn field(kind: Kind, name: &str) -> &'static str {
    match (kind, name) {
        (Kind::Cloud, "sprint") => "customfield_10020",
        (Kind::Cloud, "epic") => "customfield_10014",
        (Kind::Cloud, _) => "customfield_10016",
        (Kind::Hosted, "sprint") => "customfield_10105",
        (Kind::Hosted, "epic") => "customfield_10101",
        (Kind::Hosted, _) => "customfield_10106",
    }
}

/// All fields, as `field` lists them.
pub fn fields(kind: Kind) -> Value {
    let own = |name: &str, title: &str, custom: &str| {
        json!({
            "id": field(kind, name), "name": title, "custom": true, "navigable": true, "searchable": true,
            "schema": { "type": "any", "custom": custom }
        })
    };
    let (title, points) = match kind {
        Kind::Cloud => ("Story point estimate", "com.pyxis.greenhopper.jira:jsw-story-points"),
        Kind::Hosted => ("Story Points", "com.atlassian.jira.plugin.system.customfieldtypes:float"),
    };
    json!([
        { "id": "summary", "name": "Summary", "custom": false, "schema": { "type": "string", "system": "summary" } },
        { "id": "customfield_99999", "name": "Weight", "custom": true, "schema": { "type": "number", "custom": "com.atlassian.jira.plugin.system.customfieldtypes:float" } },
        own("sprint", "Sprint", "com.pyxis.greenhopper.jira:gh-sprint"),
        own("epic", "Epic Link", "com.pyxis.greenhopper.jira:gh-epic-link"),
        own("points", title, points)
    ])
}

/// A time in the time zone of whoever asks.
pub fn time(secs: i64) -> String {
    let local = simulator::clock::rfc3339(secs + OFFSET_HOURS * 3_600);
    format!("{}.000+{OFFSET_HOURS:02}00", local.trim_end_matches('Z'))
}

/// A text as a document of the cloud.
fn document(text: &str) -> Value {
    let paragraphs: Vec<Value> = text
        .split("\n\n")
        .map(|text| json!({ "type": "paragraph", "content": [{ "type": "text", "text": text }] }))
        .collect();
    json!({ "type": "doc", "version": 1, "content": paragraphs })
}

/// The plain text of a body that a client has sent.
pub fn plain(body: &Value) -> String {
    match body {
        Value::String(text) => text.clone(),
        _ => {
            let of = |node: &Value| node["text"].as_str().unwrap_or("\n").to_owned();
            let line =
                |paragraph: &Value| paragraph["content"].as_array().into_iter().flatten().map(of).collect::<String>();
            let lines: Vec<String> = body["content"].as_array().into_iter().flatten().map(line).collect();
            lines.join("\n\n")
        }
    }
}

impl World {
    fn body(&self, text: &str) -> Value {
        if self.kind == Kind::Cloud { document(text) } else { text.into() }
    }

    /// As servers render a text, with a link of a page of theirs.
    fn rendered(text: &str) -> String {
        let paragraphs: String = text.split("\n\n").map(|text| format!("<p>{text}</p>\n")).collect();
        format!("{paragraphs}<img class=\"emoticon\" src=\"/images/icons/emoticons/smile.png\"/>")
    }

    pub fn user(&self, user: Option<usize>) -> Value {
        let Some(user) = user.map(|user| &self.users[user]) else { return Value::Null };
        let avatars = json!({ "48x48": format!("https://avatars.invalid/{}", user.name), "16x16": "" });
        match self.kind {
            Kind::Cloud => json!({
                "self": "", "accountId": user.id, "accountType": if user.app { "app" } else { "atlassian" },
                "displayName": user.display, "active": user.active, "avatarUrls": avatars, "timeZone": "Australia/Sydney"
            }),
            Kind::Hosted => json!({
                "self": "", "key": user.id, "name": user.name, "displayName": user.display, "active": user.active,
                "emailAddress": user.email, "avatarUrls": avatars, "timeZone": "Australia/Sydney"
            }),
        }
    }

    pub fn show_project(&self, project: &Project) -> Value {
        let issues = self.issues.values().filter(|issue| issue.project == project.id).count();
        let mut shown = json!({
            "id": project.id.to_string(), "key": project.key, "name": project.name, "description": "Made up",
            "projectTypeKey": "software", "projectCategory": { "id": "1", "name": "Made up", "description": "" }
        });
        if self.kind == Kind::Cloud {
            shown["insight"] = json!({ "totalIssueCount": issues, "lastIssueUpdateTime": time(self.now) });
            shown["isPrivate"] = false.into();
            shown["issueTypes"] =
                TYPES.iter().map(|(id, name, _)| json!({ "id": id.to_string(), "name": name })).collect();
        }
        shown
    }

    pub fn show_board(&self, board: &Board) -> Value {
        let mut shown = json!({ "id": board.id, "name": board.name, "type": board.kind });
        if self.kind == Kind::Cloud {
            shown["location"] = json!({ "projectId": board.project });
        }
        shown
    }

    pub fn show_sprint(&self, sprint: &Sprint) -> Value {
        let mut shown = json!({
            "id": sprint.id, "state": sprint.state, "name": sprint.name, "originBoardId": sprint.board, "goal": ""
        });
        let times = [("startDate", sprint.start), ("endDate", sprint.end), ("completeDate", sprint.complete)];
        for (name, secs) in times.into_iter().filter_map(|(name, secs)| Some((name, secs?))) {
            shown[name] = time(secs).into();
        }
        shown
    }

    /// A sprint as issues have it; old servers print an object of Java's.
    fn sprint_of_issue(&self, sprint: &Sprint) -> Value {
        if self.kind == Kind::Cloud {
            let mut shown = self.show_sprint(sprint);
            shown["boardId"] = shown["originBoardId"].take();
            return shown;
        }
        let at = |secs: Option<i64>| secs.map_or("<null>".to_owned(), time);
        format!(
            "com.atlassian.greenhopper.service.sprint.Sprint@{:x}[id={},rapidViewId={},state={},name={},startDate={},\
             endDate={},completeDate={},sequence={},goal=]",
            sprint.id,
            sprint.id,
            sprint.board,
            sprint.state.to_uppercase(),
            sprint.name,
            at(sprint.start),
            at(sprint.end),
            at(sprint.complete),
            sprint.id
        )
        .into()
    }

    pub fn show_comment(&self, comment: &Comment, rendered: bool) -> Value {
        let mut shown = json!({
            "id": comment.id.to_string(), "author": self.user(comment.author), "body": self.body(&comment.body),
            "created": time(comment.created), "updated": time(comment.updated)
        });
        if rendered {
            shown["renderedBody"] = World::rendered(&comment.body).into();
        }
        shown
    }

    pub fn show_change(&self, change: &Change) -> Value {
        let mut item = json!({
            "field": change.field, "fieldtype": "jira", "from": change.from.0, "fromString": change.from.1,
            "to": change.to.0, "toString": change.to.1
        });
        if self.kind == Kind::Cloud {
            item["fieldId"] = change.field.into();
        }
        json!({
            "id": change.id.to_string(), "author": self.user(change.author), "created": time(change.at), "items": [item]
        })
    }

    /// An issue, with these of its fields and expansions.
    pub fn show_issue(&self, issue: &Issue, fields: &[&str], expand: &[&str]) -> Value {
        let mut shown = json!({ "expand": "", "id": issue.id.to_string(), "self": "", "key": self.key(issue) });
        if fields.is_empty() || fields == ["id"] {
            return shown;
        }
        let all = self.all_fields(issue);
        let kept = all.as_object().into_iter().flatten().filter(|(name, _)| fields.contains(&name.as_str()));
        shown["fields"] =
            kept.map(|(name, value)| (name.clone(), value.clone())).collect::<serde_json::Map<_, _>>().into();
        if expand.contains(&"renderedFields") {
            let comments: Vec<Value> = self
                .inline_comments(issue)
                .iter()
                .map(|comment| json!({ "id": comment.id.to_string(), "body": World::rendered(&comment.body), "created": "3 days ago" }))
                .collect();
            shown["renderedFields"] = json!({
                "description": issue.description.as_deref().map(World::rendered), "created": "3 days ago",
                "comment": { "comments": comments }
            });
        }
        if expand.contains(&"changelog") {
            let histories: Vec<Value> = match self.kind {
                // The newest first, and not all.
                Kind::Cloud => {
                    issue.changes.iter().rev().take(CHANGES_INLINE).map(|change| self.show_change(change)).collect()
                }
                Kind::Hosted => issue.changes.iter().map(|change| self.show_change(change)).collect(),
            };
            let total = issue.changes.len();
            shown["changelog"] =
                json!({ "startAt": 0, "maxResults": histories.len(), "total": total, "histories": histories });
        }
        if expand.iter().any(|expanded| expanded.starts_with("transitions")) {
            shown["transitions"] = World::transitions(issue);
        }
        shown
    }

    fn inline_comments<'w>(&self, issue: &'w Issue) -> &'w [Comment] {
        let most = if self.kind == Kind::Cloud { COMMENTS_INLINE } else { usize::MAX };
        &issue.comments[..issue.comments.len().min(most)]
    }

    fn all_fields(&self, issue: &Issue) -> Value {
        let project = self
            .project(issue.project)
            .map(|project| json!({ "id": project.id.to_string(), "key": project.key, "name": project.name }));
        let inline: Vec<Value> =
            self.inline_comments(issue).iter().map(|comment| self.show_comment(comment, false)).collect();
        let parent = match self.kind {
            Kind::Cloud => issue.parent.or(issue.epic),
            Kind::Hosted => issue.parent,
        };
        let sprints = self.sprints.iter().filter(|sprint| issue.sprints.contains(&sprint.id));
        let sprints: Vec<Value> = sprints.map(|sprint| self.sprint_of_issue(sprint)).collect();
        let mut all = json!({
            "summary": issue.summary,
            "description": issue.description.as_deref().map(|text| self.body(text)),
            "project": project,
            "issuetype": World::show_type(issue.kind),
            "status": World::show_status(issue.status),
            "priority": PRIORITIES.iter().find(|(id, _, _)| *id == issue.priority).map(World::show_priority),
            "resolution": issue.resolved.map(|_| json!({ "id": RESOLUTIONS[0].0.to_string(), "name": RESOLUTIONS[0].1 })),
            "labels": issue.labels,
            "assignee": self.user(issue.assignee), "reporter": self.user(issue.reporter), "creator": self.user(issue.reporter),
            "created": time(issue.created), "updated": time(issue.updated),
            "duedate": null, "resolutiondate": issue.resolved.map(time),
            "issuelinks": issue.blocks.and_then(|id| self.issues.get(&id)).map(|other| vec![json!({
                "id": (issue.id + 1_000_000).to_string(),
                "type": { "id": "10000", "name": "Blocks", "inward": "is blocked by", "outward": "blocks" },
                "outwardIssue": { "id": other.id.to_string(), "key": self.key(other) }
            })]).unwrap_or_default(),
            "attachment": [],
            "comment": { "comments": inline, "maxResults": inline.len(), "total": issue.comments.len(), "startAt": 0 },
        });
        if let Some(parent) = parent.and_then(|id| self.issues.get(&id)) {
            let kind = World::show_type(parent.kind);
            all["parent"] = json!({ "id": parent.id.to_string(), "key": self.key(parent), "fields": { "summary": parent.summary, "issuetype": kind } });
        }
        let epic = issue.epic.filter(|_| self.kind == Kind::Hosted).and_then(|id| self.issues.get(&id));
        all[field(self.kind, "epic")] = epic.map(|epic| self.key(epic)).into();
        all[field(self.kind, "sprint")] = if sprints.is_empty() { Value::Null } else { sprints.into() };
        all[field(self.kind, "points")] = issue.points.map(|points| points as f64).into();
        all
    }

    pub fn show_type(id: u64) -> Value {
        let found = TYPES.iter().find(|(kind, _, _)| *kind == id);
        let (name, level) = found.map_or(("Unheard of", 0), |(_, name, level)| (*name, *level));
        json!({ "id": id.to_string(), "name": name, "description": "", "iconUrl": "", "subtask": level < 0, "hierarchyLevel": level })
    }

    pub fn show_status(id: u64) -> Value {
        let category =
            STATUSES.iter().find(|(status, _, _)| *status == id).map_or("undefined", |(_, _, category)| *category);
        json!({
            "id": id.to_string(), "name": status_name(id), "description": "", "iconUrl": "",
            "statusCategory": { "id": 2, "key": category, "name": category }
        })
    }

    pub fn show_priority((id, name, color): &(u64, &str, &str)) -> Value {
        json!({ "id": id.to_string(), "name": name, "description": "", "iconUrl": "", "statusColor": color })
    }

    /// What can be done to an issue: it may get any other status. To close it, how must be said.
    pub fn transitions(issue: &Issue) -> Value {
        let others = STATUSES.iter().filter(|(id, _, _)| *id != issue.status);
        let of = |(id, name, category): &(u64, &str, &str)| {
            let fields = if *category == "done" {
                json!({ "resolution": { "required": true, "name": "Resolution" }, "comment": { "required": false } })
            } else {
                json!({})
            };
            json!({ "id": (id + 100).to_string(), "name": format!("To {name}"), "to": World::show_status(*id), "fields": fields })
        };
        others.map(of).collect()
    }
}
