//! Mutations of issues: title, status, priority, assignee, a comment; and which transitions are open to one. Each is by the
//! number that is the `ref_id`, so that an issue may have moved to another project by now. The answer has the record as it is
//! afterwards.

use agent_sdk::http::{Request, Response};
use agent_sdk::{Data, Error, MutateResult, Result};
use integration_model::Stop;
use integration_model::notes::Notes;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value, json};

use crate::api::{Api, Kind};
use crate::config::Config;
use crate::user::Account;
use crate::{html, issue, single};

/// The names that `mutate` knows.
pub const MUTATIONS: [&str; 6] = [
    "issue.add_comment",
    "issue.set_title",
    "issue.set_status",
    "issue.set_priority",
    "issue.set_assignee",
    "issue.get_transitions",
];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commented {
    ref_id: String,
    body: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Titled {
    ref_id: String,
    title: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Moved {
    ref_id: String,
    transition_ref_id: String,
    /// What the transition requires, as Jira has it: `{"resolution": {"id": "1"}}`.
    #[serde(default)]
    fields: Map<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prioritized {
    ref_id: String,
    priority_ref_id: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Assigned {
    ref_id: String,
    /// Nobody, where it is null.
    user_ref_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    ref_id: String,
}

/// Makes one mutation.
pub fn mutate(name: &str, data: &Data, config: &Config) -> Result<MutateResult> {
    if !MUTATIONS.contains(&name) {
        return Err(Error::not_supported(format!("mutation `{name}`: there are {}", MUTATIONS.join(", "))));
    }
    let api = || Api::open(config).map_err(Stop::into_error);
    let ref_id = match name {
        "issue.add_comment" => {
            let Commented { ref_id, body } = read(data)?;
            not_empty("body", &body)?;
            let api = api()?;
            let body = if api.kind == Kind::Cloud { html::document_of(&body) } else { Value::String(body) };
            send(of(&api, "POST", &ref_id, &["comment"])?.json(&json!({ "body": body })), &ref_id)?;
            ref_id
        }
        "issue.set_title" => {
            let Titled { ref_id, title } = read(data)?;
            not_empty("title", &title)?;
            set(&api()?, &ref_id, json!({ "summary": title }))?;
            ref_id
        }
        "issue.set_status" => {
            let Moved { ref_id, transition_ref_id, fields } = read(data)?;
            let body = json!({ "transition": { "id": transition_ref_id }, "fields": fields });
            send(of(&api()?, "POST", &ref_id, &["transitions"])?.json(&body), &ref_id)?;
            ref_id
        }
        "issue.set_priority" => {
            let Prioritized { ref_id, priority_ref_id } = read(data)?;
            set(&api()?, &ref_id, json!({ "priority": { "id": priority_ref_id } }))?;
            ref_id
        }
        "issue.set_assignee" => {
            let Assigned { ref_id, user_ref_id } = read(data)?;
            assign(&api()?, &ref_id, user_ref_id.as_deref())?;
            ref_id
        }
        _ => return transitions(&api()?, &read::<Named>(data)?.ref_id),
    };
    reread(&api()?, config, &ref_id)
}

fn read<T: DeserializeOwned>(data: &Data) -> Result<T> {
    data.parse()
}

fn not_empty(field: &str, text: &str) -> Result<()> {
    if text.trim().is_empty() { Err(Error::invalid(format!("{field} is empty: give one"))) } else { Ok(()) }
}

fn number(ref_id: &str) -> Result<u64> {
    ref_id.parse().map_err(|_| Error::invalid(format!("`{ref_id}` is no issue's ref_id: it is a number, not the key")))
}

/// A request to an issue, or to what is below it.
fn of(api: &Api, method: &str, ref_id: &str, below: &[&str]) -> Result<Request> {
    let id = number(ref_id)?.to_string();
    Ok(api.request(method, &[&["issue", id.as_str()], below].concat()))
}

fn set(api: &Api, ref_id: &str, fields: Value) -> Result<Response> {
    send(of(api, "PUT", ref_id, &[])?.json(&json!({ "fields": fields })), ref_id)
}

fn assign(api: &Api, ref_id: &str, user: Option<&str>) -> Result<Response> {
    let body = match (api.kind, user) {
        (Kind::Cloud, user) => json!({ "accountId": user }),
        (Kind::Hosted, None) => json!({ "name": null }),
        // There an account is changed by its name, which is no id: it may have another by now.
        (Kind::Hosted, Some(key)) => {
            let answer = api.get(&["user"]).query("key", key).send()?;
            if answer.status == 404 {
                return Err(Error::not_found(format!("there is no user `{key}`")));
            }
            let account: Account = answer.error_for_status()?.json()?;
            let name =
                account.name().ok_or_else(|| Error::msg(format!("the server does not say the name of `{key}`")))?;
            json!({ "name": name })
        }
    };
    send(of(api, "PUT", ref_id, &["assignee"])?.json(&body), ref_id)
}

/// Sends a change; what the server says to it, as an error of the right kind.
fn send(request: Request, ref_id: &str) -> Result<Response> {
    let answer = request.send()?;
    match answer.status {
        404 | 410 => {
            Err(Error::not_found(format!("there is no issue `{ref_id}`, or the credential may not see or change it")))
        }
        400 | 409 => Err(Error::invalid(format!("the server does not take it for `{ref_id}`: {}", faults(&answer)))),
        _ => answer.error_for_status(),
    }
}

/// What Jira says of a request that it does not take.
fn faults(answer: &Response) -> String {
    let body: Value = answer.json().unwrap_or_default();
    let messages = body["errorMessages"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned);
    let fields = body["errors"].as_object().into_iter().flatten();
    let fields = fields.map(|(field, why)| format!("{field}: {}", why.as_str().unwrap_or("not taken")));
    let all: Vec<String> = messages.chain(fields).collect();
    if all.is_empty() { "no reason given".to_owned() } else { all.join("; ") }
}

fn transitions(api: &Api, ref_id: &str) -> Result<MutateResult> {
    let mut body: Value =
        send(of(api, "GET", ref_id, &["transitions"])?.query("expand", "transitions.fields"), ref_id)?.json()?;
    let mut notes = Notes::default();
    let found = issue::transitions(body["transitions"].take(), ref_id, &mut notes);
    notes.tell("call");
    Ok(MutateResult::new().response(json!({ "ref_id": ref_id, "transitions": found })))
}

/// The issue as it is now.
fn reread(api: &Api, config: &Config, ref_id: &str) -> Result<MutateResult> {
    let result = single::issue(api, config, number(ref_id)?)?
        .ok_or_else(|| Error::not_found(format!("there is no issue `{ref_id}` any more")))?;
    let url = result.mutated.get("work.Issue").and_then(|records| records[0]["url"].as_str().map(str::to_owned));
    Ok(result.response(json!({ "ref_id": ref_id, "url": url })))
}
