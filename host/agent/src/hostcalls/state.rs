//! `agent:integration/state`: a small store for each integration. What it may hold in all, and when it becomes durable,
//! is `export`'s; the size of one key and one value is checked here.

use std::sync::Arc;

use super::taped::Refusal;
use super::{Guest, length};
use crate::bindings::agent::integration::{state, types};

const KEY_BYTES_MAX: usize = 256;
const VALUE_BYTES_MAX: usize = 64 << 10;
/// A year. What is to stay longer is set without an expiry.
const EXPIRES_SECS_MAX: u32 = 31_536_000;

impl state::Host for Guest {
    async fn get(&mut self, key: String) -> wasmtime::Result<Result<Option<String>, types::Error>> {
        self.enters("state.get");
        let get = || -> Result<Option<String>, types::Error> {
            let run = self.run()?;
            length("the key", &key, 1..=KEY_BYTES_MAX)?;
            Ok(run.state_get(&key)?)
        };
        let told = self.observe(&format!("state.get {key}"), || get().map_err(Refusal::from));
        Ok(told.map_err(types::Error::from))
    }

    async fn set(
        &mut self,
        key: String,
        value: String,
        expires_secs: Option<u32>,
    ) -> wasmtime::Result<Result<(), types::Error>> {
        self.enters("state.set");
        let set = || {
            let run = Arc::clone(self.run()?);
            let value = crate::secrets::strike_text(&value);
            length("the key", &key, 1..=KEY_BYTES_MAX)?;
            length("the value", &value, 0..=VALUE_BYTES_MAX)?;
            if let Some(secs) = expires_secs.filter(|secs| !(1..=EXPIRES_SECS_MAX).contains(secs)) {
                let why = format!("expires-secs is {secs}; it may be 1 to {EXPIRES_SECS_MAX}");
                return Err(types::Error::Invalid(why));
            }
            Ok(run.state_set(&key, &value, expires_secs)?)
        };
        Ok(set())
    }

    async fn delete(&mut self, key: String) -> wasmtime::Result<Result<(), types::Error>> {
        self.enters("state.delete");
        let delete = || {
            let run = self.run()?;
            length("the key", &key, 1..=KEY_BYTES_MAX)?;
            Ok(run.state_delete(&key)?)
        };
        Ok(delete())
    }
}
