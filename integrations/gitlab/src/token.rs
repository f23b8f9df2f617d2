//! Whether a webhook is from the server: it brings along, as it is, the secret that it was made with. As long as the host does
//! not check this itself, the integration does.

use agent_sdk::{Error, Result, Webhook};

use crate::config::Config;

pub const TOKEN_HEADER: &str = "x-gitlab-token";

/// Insists that a webhook brings our secret.
pub fn check(webhook: &Webhook, config: &Config) -> Result<()> {
    let secret = config.webhook_secret.as_deref().ok_or_else(|| {
        Error::invalid("there is no `webhook_secret` in the configuration, and so nothing to hold the webhook against")
    })?;
    if is_same(webhook.header(TOKEN_HEADER).unwrap_or_default(), secret) {
        return Ok(());
    }
    Err(Error::unauthenticated(format!(
        "the webhook's {TOKEN_HEADER} is not our secret: it is not from the server, or the secrets differ"
    )))
}

/// Every byte is looked at, so that the time does not tell how many are right.
fn is_same(given: &str, secret: &str) -> bool {
    given.len() == secret.len() && given.bytes().zip(secret.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

#[cfg(test)]
mod tests {
    use super::is_same;

    #[test]
    fn only_the_secret_itself_is_the_secret() {
        assert!(is_same("a long secret", "a long secret"));
        for bad in ["", "a long secre", "a long secret ", "A long secret", "b long secret"] {
            assert!(!is_same(bad, "a long secret"), "{bad}");
        }
    }
}
