//! `agent:integration/control`: what an operator should know about the run. A pause is shown in the log; it changes
//! nothing about the run.

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Guest, length};
use crate::bindings::agent::integration::{control, types};

/// Bytes of the reason to pause.
const WHY_BYTES_MAX: usize = 1024;

impl control::Host for Guest {
    async fn pause(&mut self, until: String, why: String) -> wasmtime::Result<Result<(), types::Error>> {
        self.enters("control.pause");
        let pause = || {
            length("the reason", &why, 0..=WHY_BYTES_MAX)?;
            let until = timestamp(&until)?;
            self.door.log.line("info", &format!("paused until {until}: {why}"), &[]);
            Ok(())
        };
        Ok(pause())
    }

    async fn resume(&mut self) -> wasmtime::Result<()> {
        self.enters("control.resume");
        self.door.log.line("info", "goes on after a pause", &[]);
        Ok(())
    }

    async fn webhook_url(&mut self) -> wasmtime::Result<Option<String>> {
        self.enters("control.webhook-url");
        Ok(self.observe("control.webhook-url", || self.door.webhook_url.clone()))
    }
}

/// Reads a point in time and writes it again in one form.
fn timestamp(text: &str) -> Result<String, types::Error> {
    let time = OffsetDateTime::parse(text, &Rfc3339)
        .map_err(|error| types::Error::Invalid(format!("`until` is not a time like 2026-11-21T09:30:00Z: {error}")))?;
    time.format(&Rfc3339).map_err(|error| types::Error::Invalid(format!("`until` cannot be shown: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(timestamp("2026-11-21T09:30:00+01:00").unwrap(), "2026-11-21T09:30:00+01:00");
        assert!(matches!(timestamp("tomorrow"), Err(types::Error::Invalid(_))));
        assert!(matches!(timestamp("2026-02-30T00:00:00Z"), Err(types::Error::Invalid(_))));
    }
}
