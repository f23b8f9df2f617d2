//! `agent:integration/oauth`: new access tokens for credentials whose values stay in the host. A credential's value is
//! read from its environment variable or file at each request, so there is nothing here to renew yet; the call says so.

use super::Guest;
use crate::bindings::agent::integration::{oauth, types};

impl oauth::Host for Guest {
    async fn refresh(&mut self, credential: String) -> wasmtime::Result<Result<(), types::Error>> {
        self.enters("oauth.refresh");
        let granted =
            self.door.network.as_ref().is_some_and(|(_, policy)| policy.credentials.contains_key(&credential));
        Ok(Err(if granted {
            types::Error::Invalid(format!(
                "the credential `{credential}` is not an OAuth 2 credential: its value is read anew for each request"
            ))
        } else {
            types::Error::Denied(format!(
                "the credential `{credential}` is not granted: the manifest must ask for it and the configuration name it \
                 under `grants.credentials`"
            ))
        }))
    }
}
