//! One issue or merge request as it is now, as the records that an export would send: the answer to a webhook or a mutation.

use agent_sdk::{Error, MutateResult, Result};
use integration_model::Stop;
use integration_model::deletions::Accepted;
use integration_model::notes::Notes;
use integration_model::people::People;
use integration_model::sourcecode::PullRequest;
use integration_model::threads::Refused;
use integration_model::work::Issue;
use serde_json::Value;

use crate::api::Api;
use crate::project::Found;
use crate::threads::{List, Scope};
use crate::{REF_TYPE, issue, merge_request};

fn refused(refused: Refused) -> Error {
    match refused {
        Refused::Stop(stop) => stop.into_error(),
        Refused::Node(why) => Error::msg(format!("the server's answer is not what it should be: {why}")),
    }
}

/// An item by its number, with what hangs on it; none where there is none.
fn node(scope: &mut Scope<'_>, list: &List, number: u64) -> Result<Option<Value>> {
    let (id, number) = (scope.project.ref_id(), number.to_string());
    let found = scope.api.find(&["projects", &id, list.kind, &number]).map_err(Stop::into_error)?;
    let Some(answer) = found else { return Ok(None) };
    let mut nodes = [answer.json()?];
    list.complete(scope, &mut nodes).map_err(Stop::into_error)?;
    let [node] = nodes;
    Ok(Some(node))
}

/// An issue with its comments; one that has gone is said to be.
pub fn issue(api: &Api, project: &Found, number: u64) -> Result<MutateResult> {
    let mut people = People::of_call(REF_TYPE);
    let accepted = Accepted::default();
    let mut scope = Scope { api, people: &mut people, notes: Notes::default(), project, accepted: &accepted };
    let Some(node) = node(&mut scope, &issue::LIST, number)? else {
        let gone = Issue::gone_of_repo(REF_TYPE, &project.ref_id(), scope.thread_id(number));
        return MutateResult::new().mutated(&gone);
    };
    let records = issue::records(&mut scope, node).map_err(refused)?;
    let result = MutateResult::new().mutated(&records.issue)?;
    records.comments.iter().try_fold(result, MutateResult::mutated)
}

/// A merge request with what hangs on it; one that has gone is said to be.
pub fn merge_request(api: &Api, project: &Found, number: u64) -> Result<MutateResult> {
    let mut people = People::of_call(REF_TYPE);
    let accepted = Accepted::default();
    let mut scope = Scope { api, people: &mut people, notes: Notes::default(), project, accepted: &accepted };
    let Some(node) = node(&mut scope, &merge_request::LIST, number)? else {
        let gone = PullRequest::gone(REF_TYPE, &project.ref_id(), scope.thread_id(number));
        return MutateResult::new().mutated(&gone);
    };
    let records = merge_request::records(&mut scope, node).map_err(refused)?;
    let mut result = MutateResult::new().mutated(&records.pull_request)?;
    result = records.commits.iter().try_fold(result, MutateResult::mutated)?;
    result = records.reviews.iter().try_fold(result, MutateResult::mutated)?;
    result = records.requests.iter().try_fold(result, MutateResult::mutated)?;
    records.comments.iter().try_fold(result, MutateResult::mutated)
}
