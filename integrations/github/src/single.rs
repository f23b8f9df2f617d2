//! One issue or pull request as it is now, as the records that an export would send: the answer to a webhook or a mutation.
//! It is one query, which costs a point.

use agent_sdk::{Error, MutateResult, Result};
use integration_model::deletions::Accepted;
use integration_model::notes::Notes;
use integration_model::people::People;
use integration_model::threads::Refused;
use integration_model::{Stop, sourcecode, work};
use serde_json::{Value, json};

use crate::api::Api;
use crate::issue;
use crate::pull_request;
use crate::queries::{ISSUE, PULL_REQUEST};
use crate::repo::Found;
use crate::threads::Scope;
use crate::{REF_TYPE, walk};

fn refused(refused: Refused) -> Error {
    match refused {
        Refused::Stop(stop) => stop.into_error(),
        Refused::Node(why) => Error::msg(format!("the server's answer is not what it should be: {why}")),
    }
}

/// A node by its number; none where there is none.
fn node(api: &Api, repo: &Found, number: u64, query: &str, name: &'static str) -> Result<Option<Value>> {
    let (owner, repo_name) = repo.parts();
    let variables = json!({ "owner": owner, "name": repo_name, "number": number });
    let mut answer = api.query(query, &variables).map_err(|error| Stop::from(error).into_error())?;
    let field = if name == "Issue" { "issue" } else { "pullRequest" };
    let node = answer.data.pointer_mut(&format!("/repository/{field}")).map(Value::take).unwrap_or_default();
    if node.is_null() {
        let gone = answer.faults.iter().any(|fault| fault.is("NOT_FOUND"));
        return if gone { Ok(None) } else { Err(answer.whole().map_or_else(Error::from, |_| Error::not_found("it"))) };
    }
    let mut nodes = [node];
    walk::complete(api, name, &mut nodes).map_err(Stop::into_error)?;
    let [node] = nodes;
    Ok(Some(node))
}

/// An issue with its comments; one that has gone is said to be.
pub fn issue(api: &Api, repo: &Found, number: u64) -> Result<MutateResult> {
    let mut people = People::of_call(REF_TYPE);
    let accepted = Accepted::default();
    let mut scope = Scope { api, people: &mut people, notes: Notes::default(), repo, accepted: &accepted };
    let Some(node) = node(api, repo, number, ISSUE, "Issue")? else {
        return MutateResult::new().mutated(&work::Issue::gone_of_repo(
            REF_TYPE,
            &repo.ref_id(),
            scope.thread_id(number),
        ));
    };
    let (issue, comments) = issue::records(&mut scope, node).map_err(refused)?;
    let result = MutateResult::new().mutated(&issue)?;
    comments.iter().try_fold(result, MutateResult::mutated)
}

/// A pull request with what hangs on it; one that is not to be seen any more is said to have gone.
pub fn pull_request(api: &Api, repo: &Found, number: u64) -> Result<MutateResult> {
    let mut people = People::of_call(REF_TYPE);
    let accepted = Accepted::default();
    let mut scope = Scope { api, people: &mut people, notes: Notes::default(), repo, accepted: &accepted };
    let Some(node) = node(api, repo, number, PULL_REQUEST, "PullRequest")? else {
        let gone = sourcecode::PullRequest::gone(REF_TYPE, &repo.ref_id(), scope.thread_id(number));
        return MutateResult::new().mutated(&gone);
    };
    let records = pull_request::records(&mut scope, node).map_err(refused)?;
    let mut result = MutateResult::new().mutated(&records.pull_request)?;
    result = records.commits.iter().try_fold(result, MutateResult::mutated)?;
    result = records.reviews.iter().try_fold(result, MutateResult::mutated)?;
    result = records.requests.iter().try_fold(result, MutateResult::mutated)?;
    records.comments.iter().try_fold(result, MutateResult::mutated)
}
