//! What was missed, and what has gone: issues and pull requests that the walk did not see, issues and repositories that were
//! exported and are not there any more. Nothing says so but the counts; only where these differ is the list of numbers read, a
//! point for a hundred, and each that is missing is asked for by itself before a record says that it has gone.

use agent_sdk::sweep::{self, Ids};
use agent_sdk::updated::is_before;
use integration_model::Stop;
use serde_json::{Value, json};

use crate::api::Api;
use crate::queries::{NUMBERS_PAGE, look_up};
use crate::threads::{Kind, Reader, Scope};
use crate::walk::{self, Walk};

/// Holds what was exported against what is there, where the counts differ: what has gone is said, what was missed is
/// exported. Whatever comes of it, the next run begins with what is there, so that nothing is looked for twice.
pub fn sweep<K: Kind>(scope: &mut Scope<'_>, reader: &mut Reader<K>) -> Result<(), Stop> {
    let (Some(known), Some(total)) = (&reader.seen.known, reader.seen.total) else { return Ok(()) };
    if known.len() as u64 == total {
        return Ok(());
    }
    let Some(listed) = numbers::<K>(scope)? else { return Ok(()) };
    let missed: Vec<u64> = listed.iter().filter(|number| !known.contains(*number)).collect();
    match sweep::gone(known, &listed) {
        Ok(missing) => {
            for batch in missing.chunks(K::LOOK_UP_PAGE) {
                for number in confirmed::<K>(scope, batch)? {
                    K::gone(scope, &mut reader.main, number)?;
                    if let Some(known) = &mut reader.seen.known {
                        known.remove(number);
                    }
                }
            }
        }
        Err(too_many) => scope.notes.left_out(&format!("what has gone of {}: {too_many}", K::AT)),
    }
    fetch(scope, reader, &missed)?;
    reader.checkpoint(scope)?;
    Ok(())
}

/// The numbers of all of them; none where the list cannot be trusted.
fn numbers<K: Kind>(scope: &mut Scope<'_>) -> Result<Option<Ids>, Stop> {
    let (owner, name) = scope.repo.parts();
    let variables = json!({ "owner": owner, "name": name });
    let mut walk = Walk::new(scope.api, (K::NUMBERS, K::NUMBERS), K::AT, variables, NUMBERS_PAGE);
    let mut listed = Ids::new();
    while let Some(page) = walk.next()? {
        if let Some(why) = page.left_out.first() {
            scope.notes.left_out(&format!("what has gone of {}: the list of numbers is not whole: {why}", K::AT));
            return Ok(None);
        }
        let before = listed.len();
        listed.extend(page.nodes.iter().filter_map(|node| node["number"].as_u64()));
        walk.saw_new(listed.len() > before);
    }
    Ok(Some(listed))
}

/// Those of these numbers under which there is nothing.
fn confirmed<K: Kind>(scope: &Scope<'_>, numbers: &[u64]) -> Result<Vec<u64>, Stop> {
    let (owner, name) = scope.repo.parts();
    let answer = scope.api.query(&look_up(K::NAME, numbers), &json!({ "owner": owner, "name": name }))?;
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

/// Exports by their numbers what the walk did not see: what has come without an update, as those moved from elsewhere do, what
/// pages that were repeated had no room for, and what was left out before.
pub fn fetch<K: Kind>(scope: &mut Scope<'_>, reader: &mut Reader<K>, numbers: &[u64]) -> Result<(), Stop> {
    let (owner, name) = scope.repo.parts();
    let variables = json!({ "owner": owner, "name": name });
    for batch in numbers.chunks(K::LOOK_UP_PAGE) {
        let mut answer = scope.api.query(&look_up(K::NAME, batch), &variables)?;
        let mut nodes = Vec::with_capacity(batch.len());
        for (place, number) in batch.iter().enumerate() {
            match answer.data.pointer_mut(&format!("/repository/n{place}")).map(Value::take) {
                Some(node) if node.is_object() => nodes.push(node),
                _ => scope.notes.left_out(&format!("{} {number}: it is listed, and not to be had", K::NAME)),
            }
            // One that cannot be had is not looked for again until it moves.
            if let Some(known) = &mut reader.seen.known {
                known.insert(*number);
            }
        }
        for what in walk::complete(scope.api, K::NAME, &mut nodes)? {
            scope.notes.left_out(&format!("{} {what}", K::NAME));
        }
        for node in nodes {
            reader.send(scope, node)?;
        }
    }
    Ok(())
}

/// Whether a repository that is not listed any more has gone.
pub fn is_repository_gone(api: &Api, id: u64) -> Result<bool, Stop> {
    let answer = api.request("GET", &["repositories", &id.to_string()]).send()?;
    // One that has moved to another account is there, and not ours any more.
    Ok(matches!(answer.status, 200 | 301 | 404 | 410 | 451))
}

/// Whether the newest that was seen is as new as what the server had told of.
pub fn is_caught_up(seen: Option<&str>, told: Option<&str>) -> bool {
    match (seen, told) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(seen), Some(told)) => !is_before(seen, told),
    }
}
