//! As much of JQL as an integration needs: clauses with `AND` between them, and an order. What a server would refuse is refused.

use simulator::clock::parse_rfc3339;

use crate::world::{Issue, Kind, World};

/// A search as it is meant.
#[derive(Debug, Default)]
pub struct Query {
    clauses: Vec<Clause>,
    descending: bool,
    by_updated: bool,
}

#[derive(Debug)]
enum Clause {
    Project(u64),
    UpdatedSince(i64),
    Ids(Vec<u64>),
    Keys(Vec<String>),
}

impl Query {
    /// Reads a search. `offset_hours` is the time zone of the user who asks: times in a search are in it. `lenient` has what
    /// does not exist passed over, as one's own server does if it is told to.
    pub fn parse(text: &str, world: &World, offset_hours: i64, lenient: bool) -> Result<Query, String> {
        let (clauses, order) = text.split_once(" ORDER BY ").unwrap_or((text, "key ASC"));
        let mut query = Query::default();
        match order.trim() {
            "key ASC" => {}
            "key DESC" => query.descending = true,
            "updated DESC" => (query.descending, query.by_updated) = (true, true),
            other => return Err(format!("Not able to sort using field '{other}'.")),
        }
        for clause in clauses.split(" AND ").map(str::trim).filter(|clause| !clause.is_empty()) {
            query.clauses.push(Clause::parse(clause, world, offset_hours, lenient)?);
        }
        if query.clauses.is_empty() && world.kind == Kind::Cloud {
            return Err(
                "Unbounded JQL queries are not allowed here. Please add a search restriction to your query.".to_owned()
            );
        }
        Ok(query)
    }

    /// The issues that it finds, in its order.
    pub fn find<'w>(&self, world: &'w World) -> Vec<&'w Issue> {
        let mut found: Vec<&Issue> = world
            .issues
            .values()
            .filter(|issue| self.clauses.iter().all(|clause| clause.takes(world, issue)))
            .collect();
        match self.by_updated {
            true => found.sort_by_key(|issue| (issue.updated, issue.id)),
            false => found.sort_by_cached_key(|issue| place(world, issue)),
        }
        if self.descending {
            found.reverse();
        }
        found
    }
}

/// What sorting by key sorts by.
pub fn place(world: &World, issue: &Issue) -> (String, u64) {
    (world.project(issue.project).map_or_else(String::new, |project| project.key.clone()), issue.number)
}

impl Clause {
    fn parse(text: &str, world: &World, offset_hours: i64, lenient: bool) -> Result<Clause, String> {
        let list = |text: &str| -> Vec<String> {
            text.trim_matches(['(', ')']).split(',').map(|item| item.trim().to_owned()).collect()
        };
        if let Some(id) = text.strip_prefix("project = ") {
            let id: u64 = id.parse().map_err(|_| format!("`{id}` is no project's id"))?;
            return match world.project(id) {
                None => Err(format!("The value '{id}' does not exist for the field 'project'.")),
                Some(_) => Ok(Clause::Project(id)),
            };
        }
        if let Some(since) = text.strip_prefix("updated >= ") {
            return since_of(since, world.now, offset_hours).map(Clause::UpdatedSince);
        }
        if let Some(ids) = text.strip_prefix("id in ") {
            let ids: Vec<u64> = list(ids).iter().filter_map(|id| id.parse().ok()).collect();
            let missing = ids.iter().find(|id| !world.issues.contains_key(*id));
            return match missing {
                Some(id) if !lenient => Err(format!("An issue with key '{id}' does not exist for field 'id'.")),
                _ => Ok(Clause::Ids(ids)),
            };
        }
        if let Some(keys) = text.strip_prefix("key in ") {
            return Ok(Clause::Keys(list(keys)));
        }
        Err(format!("Error in the JQL Query: `{text}` is not understood."))
    }

    fn takes(&self, world: &World, issue: &Issue) -> bool {
        match self {
            Clause::Project(id) => issue.project == *id,
            Clause::UpdatedSince(secs) => issue.updated >= *secs,
            Clause::Ids(ids) => ids.contains(&issue.id),
            Clause::Keys(keys) => keys.contains(&world.key(issue)),
        }
    }
}

/// `-90m`, reckoned back from now, or a minute in the user's time zone: `"2026-11-01 10:00"`.
fn since_of(text: &str, now: i64, offset_hours: i64) -> Result<i64, String> {
    let minutes =
        text.strip_prefix('-').and_then(|rest| rest.strip_suffix('m')).and_then(|minutes| minutes.parse().ok());
    if let Some(minutes) = minutes {
        let minutes: i64 = minutes;
        return Ok(now - minutes * 60);
    }
    let day = text.trim_matches('"').replace(' ', "T");
    let secs = parse_rfc3339(&format!("{day}:00Z"))
        .ok_or_else(|| format!("Date value '{text}' for field 'updated' is invalid."))?;
    Ok(secs - offset_hours * 3_600)
}

#[cfg(test)]
mod tests {
    use super::Query;
    use crate::world::{Kind, Size, World};

    #[test]
    fn searches_find_what_they_say() {
        let world = World::new(Kind::Cloud, &Size::default());
        let find = |jql: &str| Query::parse(jql, &world, 11, false).map(|query| query.find(&world).len());
        let project = &world.projects[0];
        let of_project = world.issues.values().filter(|issue| issue.project == project.id).count();
        assert_eq!(find(&format!("project = {} ORDER BY key ASC", project.id)), Ok(of_project));
        let newest = world.issues.values().max_by_key(|issue| issue.updated).unwrap();
        let minutes = (world.now - newest.updated) / 60 + 1;
        assert!(find(&format!("updated >= -{minutes}m ORDER BY key ASC")).unwrap() >= 1);
        assert_eq!(find("updated >= -0m ORDER BY key ASC"), Ok(0));
        assert_eq!(find(&format!("id in ({}) ORDER BY key ASC", newest.id)), Ok(1));
        assert_eq!(find(&format!("key in ({},X-1) ORDER BY updated DESC", world.key(newest))), Ok(1));
        for refused in ["", "ORDER BY key ASC", "id in (1)", "project = 1", "updated >= soon", "status = Done"] {
            assert!(find(refused).is_err(), "{refused}");
        }
        assert_eq!(Query::parse("id in (1)", &world, 0, true).unwrap().find(&world).len(), 0);
    }

    #[test]
    fn times_are_in_the_time_zone_of_whoever_asks() {
        let mut world = World::new(Kind::Cloud, &Size { issues: 1, comments: 0, changes: 0, ..Size::default() });
        let id = *world.issues.keys().next().unwrap();
        // 2026-10-31T23:30:00Z
        world.issues.get_mut(&id).unwrap().updated = world.now - 1_800;
        let find = |hours: i64, time: &str| {
            Query::parse(&format!("updated >= \"{time}\""), &world, hours, false).unwrap().find(&world).len()
        };
        assert_eq!((find(0, "2026-10-31 23:00"), find(0, "2026-11-01 00:00")), (1, 0));
        assert_eq!((find(11, "2026-11-01 10:00"), find(11, "2026-11-01 11:00")), (1, 0));
        // Who takes them for UTC misses half a day.
        assert_eq!(find(-8, "2026-10-31 23:00"), 0);
    }
}
