//! One issue as it is now, as the records that an export would send: the answer to a webhook or a mutation.

use std::collections::HashMap;

use agent_sdk::{Error, MutateResult, Result};
use integration_model::Stop;
use serde_json::Value;

use crate::api::Api;
use crate::config::Config;
use crate::fields::Fields;
use crate::issue::{self, Refused, Scope, records};
use crate::issues::{look_up_epics, one};
use crate::user::People;

/// An issue with its comments; none where there is none.
pub fn issue(api: &Api, config: &Config, id: u64) -> Result<Option<MutateResult>> {
    let fields = Fields::of(api.list(&["field"]).map_err(Stop::into_error)?);
    let expand = if config.transitions { issue::EXPAND_ALL } else { issue::EXPAND };
    let answer = one(api, id).query("fields", fields.asked()).query("expand", expand).send()?;
    if matches!(answer.status, 404 | 410) {
        return Ok(None);
    }
    let node: Value = answer.error_for_status()?.json()?;
    let mut epics = HashMap::new();
    look_up_epics(api, &fields, &[&node], &mut epics).map_err(Stop::into_error)?;
    let mut people = People::of_call();
    let mut scope = Scope::new(api, &fields, &mut people);
    let found = records(&mut scope, node, &epics).map_err(|refused| match refused {
        Refused::Stop(stop) => stop.into_error(),
        Refused::Node(why) => Error::msg(format!("the server's answer is not what it should be: {why}")),
    })?;
    scope.notes.tell("call");
    let result = MutateResult::new().mutated(&found.issue)?;
    found.comments.iter().try_fold(result, MutateResult::mutated).map(Some)
}
