//! Answers a query over the world: walks the selection, picks fields, pages connections. The fields of each type are in
//! `types`. A query that asks for what is not there is refused as a whole, as GitHub's own validation does.

use serde_json::{Map, Value, json};
use simulator::clock::rfc3339;
use simulator::graphql::{Document, Field, Selected, parse, value};

use super::cost::cost;
use super::types::{Object, implements};
use crate::limits::Limits;
use crate::world::World;

/// What the server answers, and what it cost.
pub struct Answered {
    pub body: Value,
    pub points: u64,
}

pub(super) struct Context<'w> {
    pub world: &'w World,
    pub variables: Map<String, Value>,
    document: Document,
    errors: Vec<Value>,
    rate: Value,
}

fn fault(kind: Option<&str>, message: &str) -> Value {
    let mut fault = json!({ "message": message, "locations": [{ "line": 1, "column": 1 }] });
    if let Some(kind) = kind {
        fault["type"] = kind.into();
    }
    fault
}

/// Answers a request's body.
pub fn answer(world: &World, limits: &Limits, request: &Value) -> Answered {
    let refuse =
        |kind: Option<&str>, message: &str| Answered { body: json!({ "errors": [fault(kind, message)] }), points: 1 };
    let Some(query) = request["query"].as_str() else {
        return refuse(None, "A query attribute must be specified and must be a string.");
    };
    let document = match parse(query) {
        Ok(document) => document,
        Err(why) => return refuse(None, &why),
    };
    let mut variables = document.defaults.clone();
    variables.extend(request["variables"].as_object().cloned().unwrap_or_default());
    let price = match cost(&document, &variables) {
        Ok(price) => price,
        Err(why) => return refuse(Some("MAX_NODE_LIMIT_EXCEEDED"), &why),
    };
    let points = price.points();
    let left = limits.remaining().saturating_sub(points);
    let rate = json!({
        "__typename": "RateLimit", "limit": limits.limit(), "cost": points, "remaining": left,
        "used": limits.limit() - left, "resetAt": rfc3339(limits.reset(world.now)), "nodeCount": price.nodes
    });
    let mut context = Context { world, variables, document, errors: Vec::new(), rate };
    let selection = context.document.selection.clone();
    let body = match context.select(&Object::Query, &selection, &mut Vec::new()) {
        Ok(data) => {
            let mut body = json!({ "data": data });
            if !context.errors.is_empty() {
                body["errors"] = context.errors.into();
            }
            body
        }
        Err(why) => json!({ "errors": [fault(None, &why)] }),
    };
    Answered { body, points }
}

impl<'w> Context<'w> {
    fn is_wanted(&self, field: &Field) -> bool {
        field.only_if.iter().all(|(include, literal)| value(literal, &self.variables) == Value::Bool(*include))
    }

    fn arguments(&self, field: &Field) -> Map<String, Value> {
        field.arguments.iter().map(|(name, literal)| (name.clone(), value(literal, &self.variables))).collect()
    }

    /// The fields that a selection has for an object of this type, fragments laid open.
    fn fields(&self, selection: &[Selected], kind: &str, found: &mut Vec<Field>) {
        for selected in selection {
            match selected {
                Selected::Field(field) if self.is_wanted(field) => found.push(field.clone()),
                Selected::Field(_) => {}
                Selected::On(on, inner) => {
                    if implements(kind, on) {
                        self.fields(inner, kind, found);
                    }
                }
                Selected::Fragment(name) => {
                    if let Some((on, inner)) = self.document.fragments.get(name)
                        && implements(kind, on)
                    {
                        self.fields(inner, kind, found);
                    }
                }
            }
        }
    }

    fn select(&mut self, object: &Object<'w>, selection: &[Selected], path: &mut Vec<Value>) -> Result<Value, String> {
        let mut fields = Vec::new();
        self.fields(selection, object.kind(self), &mut fields);
        let members = object.json(self);
        let mut out = Map::new();
        for field in fields {
            path.push(field.alias.clone().into());
            let arguments = self.arguments(&field);
            let found = if field.name == "rateLimit" {
                pick(&self.rate.clone(), &field.selection, self)?
            } else if let Some(items) = object.connection(&field.name, &arguments, self) {
                self.connection(items?, &field, &arguments, path)?
            } else if let Some(child) = object.child(&field.name, &arguments, self) {
                match child {
                    Ok(Some(child)) => self.select(&child, &field.selection, path)?,
                    Ok(None) => Value::Null,
                    Err(why) => {
                        let mut fault = fault(Some("NOT_FOUND"), &why);
                        fault["path"] = path.clone().into();
                        self.errors.push(fault);
                        Value::Null
                    }
                }
            } else {
                let kind = object.kind(self);
                let missing = || format!("Field '{}' doesn't exist on type '{kind}'", field.name);
                pick(members.get(&field.name).ok_or_else(missing)?, &field.selection, self)?
            };
            path.pop();
            merge(&mut out, field.alias, found);
        }
        Ok(Value::Object(out))
    }

    fn connection(
        &mut self,
        items: Vec<(String, Object<'w>)>,
        field: &Field,
        arguments: &Map<String, Value>,
        path: &mut Vec<Value>,
    ) -> Result<Value, String> {
        let Some(first) = arguments.get("first").and_then(Value::as_u64) else {
            return Err(format!(
                "You must provide a `first` or `last` value to properly paginate the `{}` connection.",
                field.name
            ));
        };
        let total = items.len();
        let after = arguments.get("after").and_then(Value::as_str);
        // Cursors are keys, as GitHub's are: what comes after one is found also when the one itself has moved away.
        let descending = arguments.get("orderBy").is_some_and(|order| order["direction"] == "DESC");
        let beyond = |key: &String| match after {
            None => true,
            Some(after) if descending => key.as_str() < after,
            Some(after) => key.as_str() > after,
        };
        let rest: Vec<(String, Object<'w>)> = items.into_iter().filter(|(key, _)| beyond(key)).collect();
        let count = usize::try_from(first).unwrap_or(usize::MAX).min(rest.len());
        let more = rest.len() > count;
        let end = rest[..count].last().map(|(key, _)| key.clone());
        let mut fields = Vec::new();
        self.fields(&field.selection, "Connection", &mut fields);
        let mut out = Map::new();
        for inner in fields {
            path.push(inner.alias.clone().into());
            let found = match inner.name.as_str() {
                "totalCount" => total.into(),
                "pageInfo" => {
                    let info = json!({ "__typename": "PageInfo", "hasNextPage": more, "endCursor": end });
                    pick(&info, &inner.selection, self)?
                }
                "nodes" => {
                    let mut nodes = Vec::new();
                    for (place, (_, item)) in rest[..count].iter().enumerate() {
                        path.push(place.into());
                        nodes.push(self.select(item, &inner.selection, path)?);
                        path.pop();
                    }
                    nodes.into()
                }
                other => return Err(format!("Field '{other}' doesn't exist on type 'Connection'")),
            };
            path.pop();
            merge(&mut out, inner.alias, found);
        }
        Ok(Value::Object(out))
    }
}

/// The same field asked for in two places gives one object.
fn merge(out: &mut Map<String, Value>, name: String, found: Value) {
    match (out.get_mut(&name), found) {
        (Some(Value::Object(known)), Value::Object(more)) => {
            for (name, member) in more {
                merge(known, name, member);
            }
        }
        (_, found) => {
            out.insert(name, found);
        }
    }
}

/// Picks from an object that is written out already, as authors are.
fn pick(from: &Value, selection: &[Selected], context: &Context<'_>) -> Result<Value, String> {
    match from {
        Value::Object(members) if !selection.is_empty() => {
            let kind = from["__typename"].as_str().unwrap_or_default();
            let mut fields = Vec::new();
            context.fields(selection, kind, &mut fields);
            let mut out = Map::new();
            for field in fields {
                let missing = || format!("Field '{}' doesn't exist on type '{kind}'", field.name);
                let member = members.get(&field.name).ok_or_else(missing)?;
                let found = pick(member, &field.selection, context)?;
                merge(&mut out, field.alias, found);
            }
            Ok(out.into())
        }
        Value::Array(items) => items.iter().map(|item| pick(item, selection, context)).collect(),
        Value::Object(_) => Err("Field must have selections".to_owned()),
        scalar => Ok(scalar.clone()),
    }
}
