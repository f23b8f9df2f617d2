//! Webhooks as they are delivered: signed with HMAC-SHA256, one for each hook that wants the event.

use serde_json::Value;
use simulator::delivery::{Delivery, hmac_sha256};

use crate::world::Hook;

/// What a hook gets for an event.
pub fn delivery(hook: &Hook, event: &str, payload: &Value, id: u64) -> Delivery {
    let body = payload.to_string().into_bytes();
    let signature = format!("sha256={}", hmac_sha256(hook.secret.as_bytes(), &body));
    let headers = [
        ("x-github-event", event.to_owned()),
        ("x-github-delivery", format!("delivery-{id}")),
        ("x-github-hook-id", hook.id.to_string()),
        ("x-hub-signature-256", signature),
    ];
    Delivery::new(&hook.url, headers, body)
}
