//! What a query costs, by GitHub's formula, from the query alone: the requests that it takes to fill every connection, each
//! filled to its `first` or `last`, over a hundred, rounded, and at least one. And how many nodes it may bring.

use serde_json::{Map, Value};
use simulator::graphql::{Document, Field, Selected, value};

/// Nodes that one query may ask for.
pub const NODES_MAX: u64 = 500_000;

/// Items that one connection may be asked for at a time.
pub const FIRST_MAX: u64 = 100;

/// What a query may bring, and what it takes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cost {
    /// Requests for connections.
    pub requests: u64,
    pub nodes: u64,
}

impl Cost {
    /// Points of the rate limit.
    pub fn points(self) -> u64 {
        ((self.requests + 50) / 100).max(1)
    }
}

/// Works out the cost; an error where a connection is asked for without saying how much of it, or for too much.
pub fn cost(document: &Document, variables: &Map<String, Value>) -> Result<Cost, String> {
    let mut cost = Cost::default();
    add(&document.selection, 1, document, variables, &mut cost)?;
    if cost.nodes > NODES_MAX {
        return Err(format!(
            "This query requests up to {} possible nodes which exceeds the maximum limit of {NODES_MAX}.",
            cost.nodes
        ));
    }
    Ok(cost)
}

/// How many items of a connection are asked for; nothing where the field is none.
fn asked_for(field: &Field, variables: &Map<String, Value>) -> Result<Option<u64>, String> {
    let argument = field.arguments.iter().find(|(name, _)| name == "first" || name == "last");
    let Some((name, literal)) = argument else { return Ok(None) };
    match value(literal, variables).as_u64() {
        Some(count @ 1..=FIRST_MAX) => Ok(Some(count)),
        Some(count) => Err(format!(
            "Requesting {count} records on the `{}` connection exceeds the `{name}` limit of {FIRST_MAX} records.",
            field.name
        )),
        None => Err(format!("`{name}` on the `{}` connection is no number.", field.name)),
    }
}

fn add(
    selection: &[Selected],
    parents: u64,
    document: &Document,
    variables: &Map<String, Value>,
    cost: &mut Cost,
) -> Result<(), String> {
    for selected in selection {
        match selected {
            Selected::On(_, inner) => add(inner, parents, document, variables, cost)?,
            Selected::Fragment(name) => {
                let (_, inner) = document.fragments.get(name).ok_or_else(|| format!("Fragment {name} is not there"))?;
                add(inner, parents, document, variables, cost)?;
            }
            Selected::Field(field) => {
                let below = match asked_for(field, variables)? {
                    Some(count) => {
                        cost.requests = cost.requests.saturating_add(parents);
                        let nodes = parents.saturating_mul(count);
                        cost.nodes = cost.nodes.saturating_add(nodes);
                        nodes
                    }
                    None => parents,
                };
                add(&field.selection, below, document, variables, cost)?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use simulator::graphql::parse;

    use super::*;

    fn of(query: &str) -> Result<Cost, String> {
        cost(&parse(query).unwrap(), &Map::new())
    }

    /// The two examples that GitHub's documentation works through.
    #[test]
    fn the_documented_examples_come_out() {
        let points = of("query { viewer { login repositories(first: 100) { edges { node { id
            issues(first: 50) { edges { node { id labels(first: 60) { edges { node { id name } } } } } } } } } } }");
        assert_eq!(points.map(|cost| (cost.requests, cost.points())), Ok((5_101, 51)));
        let nodes = of("query { viewer { repositories(first: 50) { edges { repository: node { name
            pullRequests(first: 20) { edges { pullRequest: node { title comments(first: 10) { edges { comment: node {
            bodyHTML } } } } } }
            issues(first: 20) { totalCount edges { issue: node { title bodyHTML comments(first: 10) { edges {
            comment: node { bodyHTML } } } } } } } } }
            followers(first: 10) { edges { follower: node { login } } } } }");
        assert_eq!(nodes.unwrap().nodes, 22_060);
    }

    #[test]
    fn rounding_is_to_the_nearest_and_at_least_one() {
        let points = |first: u32| {
            of(&format!("{{ a(first: {first}) {{ b(first: 1) {{ c }} d(first: 1) {{ e }} }} }}")).unwrap().points()
        };
        assert_eq!([1, 74, 75, 100].map(points), [1, 1, 2, 2]);
    }

    #[test]
    fn too_much_is_refused() {
        assert!(of("{ a(first: 101) { b } }").unwrap_err().contains("exceeds the `first` limit"));
        let deep = of("{ a(first: 100) { b(first: 100) { c(first: 51) { d } } } }").unwrap_err();
        assert!(deep.contains("up to 520100 possible nodes"), "{deep}");
        assert!(of("{ a(first: null) { b } }").is_err() && of("{ ...Missing }").is_err());
    }
}
