//! Webhooks as they are delivered: with the secret as it is, one for each hook.

use serde_json::Value;
use simulator::delivery::Delivery;

use crate::world::Hook;

/// What a hook gets for an event.
pub fn delivery(hook: &Hook, event: &str, payload: &Value, id: u64) -> Delivery {
    let headers = [
        ("x-gitlab-event", event.to_owned()),
        ("x-gitlab-event-uuid", format!("event-{id}")),
        ("x-gitlab-instance", "https://gitlab.invalid".to_owned()),
        ("x-gitlab-token", hook.token.clone()),
    ];
    Delivery::new(&hook.url, headers, payload.to_string().into_bytes())
}
