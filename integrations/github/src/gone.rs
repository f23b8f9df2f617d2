//! What has gone: issues and repositories that were exported and are not there any more. Nothing says so but the counts; only
//! where these differ is the list of numbers read, a point for a hundred, and each that is missing is asked for by itself
//! before a record says that it has gone. Pull requests cannot be deleted.

use agent_sdk::log;
use agent_sdk::sweep::{self, Ids};
use agent_sdk::updated::is_before;
use serde_json::{Value, json};

use crate::api::Stop;
use crate::issue::{Issue, Issues};
use crate::queries::{LOOK_UP_PAGE, NUMBERS, NUMBERS_PAGE, look_up};
use crate::threads::{Reader, Scope};
use crate::walk::{self, Walk};

/// Holds the issues that were exported against those that are there, where the counts differ: what has gone is said, what
/// was missed is exported.
pub fn sweep_issues(scope: &mut Scope<'_>, issues: &mut Reader<Issues>) -> Result<(), Stop> {
    let (Some(known), Some(total)) = (&issues.seen.known, issues.seen.total) else { return Ok(()) };
    if known.len() as u64 == total {
        return Ok(());
    }
    let Some(listed) = numbers(scope)? else { return Ok(()) };
    let missed: Vec<u64> = listed.iter().filter(|number| !known.contains(*number)).collect();
    match sweep::gone(known, &listed) {
        Ok(missing) => {
            for batch in missing.chunks(LOOK_UP_PAGE) {
                for number in confirmed(scope, batch)? {
                    let record = Issue::gone(&scope.repo.ref_id(), scope.thread_id(number));
                    issues.main.send(&record)?;
                    if let Some(known) = &mut issues.seen.known {
                        known.remove(number);
                    }
                }
            }
        }
        Err(too_many) => scope.notes.left_out(&format!("deleted issues: {too_many}")),
    }
    fetch(scope, issues, &missed)?;
    issues.checkpoint()?;
    Ok(())
}

/// The numbers of all issues; none where the list cannot be trusted.
fn numbers(scope: &mut Scope<'_>) -> Result<Option<Ids>, Stop> {
    let (owner, name) = scope.repo.parts();
    let variables = json!({ "owner": owner, "name": name });
    let mut walk = Walk::new(scope.api, (NUMBERS, NUMBERS), "/repository/issues", variables, NUMBERS_PAGE);
    let mut listed = Ids::new();
    while let Some(page) = walk.next()? {
        if let Some(why) = page.left_out.first() {
            scope.notes.left_out(&format!("deleted issues: the list of numbers is not whole: {why}"));
            return Ok(None);
        }
        let before = listed.len();
        listed.extend(page.nodes.iter().filter_map(|node| node["number"].as_u64()));
        walk.saw_new(listed.len() > before);
    }
    Ok(Some(listed))
}

/// Those of these numbers under which there is no issue.
fn confirmed(scope: &Scope<'_>, numbers: &[u64]) -> Result<Vec<u64>, Stop> {
    let (owner, name) = scope.repo.parts();
    let answer = scope.api.query(&look_up(numbers), &json!({ "owner": owner, "name": name }))?;
    let gone = |place: usize| {
        let alias = format!("n{place}");
        answer.data["repository"][&alias].is_null()
            && answer
                .faults
                .iter()
                .any(|fault| fault.is("NOT_FOUND") && fault.path.iter().any(|part| *part == alias.as_str()))
    };
    Ok(numbers.iter().enumerate().filter(|(place, _)| gone(*place)).map(|(_, number)| *number).collect())
}

/// Exports issues that have come without an update that the walk would have seen, as those moved from elsewhere do.
fn fetch(scope: &mut Scope<'_>, issues: &mut Reader<Issues>, numbers: &[u64]) -> Result<(), Stop> {
    let (owner, name) = scope.repo.parts();
    let variables = json!({ "owner": owner, "name": name });
    for batch in numbers.chunks(LOOK_UP_PAGE) {
        let mut answer = scope.api.query(&look_up(batch), &variables)?;
        let mut nodes: Vec<Value> = (0..batch.len())
            .filter_map(|place| answer.data.pointer_mut(&format!("/repository/n{place}")).map(Value::take))
            .collect();
        nodes.retain(|node| !node.is_null());
        for what in walk::complete(scope.api, "Issue", &mut nodes)? {
            scope.notes.left_out(&format!("Issue {what}"));
        }
        for node in nodes {
            let number = node["number"].as_u64();
            issues.send(scope, node)?;
            if let (Some(known), Some(number)) = (&mut issues.seen.known, number) {
                known.insert(number);
            }
        }
    }
    Ok(())
}

/// Repositories that were exported and are not listed any more, as far as it is believed and confirmed.
pub fn gone_repositories(api: &crate::api::Api, known: &Ids, listed: &Ids) -> Result<Vec<u64>, Stop> {
    let missing = match sweep::gone(known, listed) {
        Ok(missing) => missing,
        Err(too_many) => {
            log::warn("repositories are missing", &[("why", &too_many.to_string())]);
            return Ok(Vec::new());
        }
    };
    let mut gone = Vec::new();
    for id in missing {
        let answer = api.request("GET", &["repositories", &id.to_string()]).send()?;
        // One that has moved to another account is there, and not ours any more.
        if matches!(answer.status, 200 | 301 | 404 | 410 | 451) {
            gone.push(id);
        }
    }
    Ok(gone)
}

/// Whether the newest that was seen is as new as what the server had told of.
pub fn is_caught_up(seen: Option<&str>, told: Option<&str>) -> bool {
    match (seen, told) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(seen), Some(told)) => !is_before(seen, told),
    }
}
