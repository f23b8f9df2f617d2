//! `agent:integration/oauth`: new access tokens for credentials whose values stay in the host. What a token is had for, and
//! where it is kept, is `egress`'s.

use std::sync::Arc;

use super::Guest;
use crate::bindings::agent::integration::{oauth, types};
use crate::egress::{Caller, EgressError};

impl oauth::Host for Guest {
    async fn refresh(&mut self, credential: String) -> wasmtime::Result<Result<(), types::Error>> {
        self.enters("oauth.refresh");
        let Some((egress, policy)) = self.door.network.clone() else {
            return Ok(Err(types::Error::Denied(
                "this call may not use the network: nothing is granted to it".to_owned(),
            )));
        };
        let caller = Caller { integration: Arc::clone(&self.door.integration), class: self.door.class };
        let witness = self.door.witness.clone();
        let had = Guest::waiting(witness, egress.refresh(&policy, caller, &credential)).await;
        Ok(had.map_err(|fault| match fault {
            EgressError::Denied(why) => types::Error::Denied(why),
            EgressError::Invalid(why) => types::Error::Invalid(why),
            other => types::Error::Unavailable(other.to_string()),
        }))
    }
}
