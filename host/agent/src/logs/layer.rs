//! Takes the events of `tracing` into the logs.

use std::fmt::{Debug, Write};
use std::sync::{Arc, Weak};

use tracing::field::{Field, Visit};
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer, SubscriberExt};

use super::line::{Line, Source};
use super::{Level, LogError, Shared};

/// Fields of one event at most; the agent's own have a handful.
const FIELDS_MAX: usize = 64;

/// Installs the one subscriber of this process.
pub(super) fn install(shared: &Arc<Shared>) -> Result<(), LogError> {
    // Weak: the subscriber lives as long as the process, and the files are complete when the last `Logs` is dropped.
    let layer = LogLayer { shared: Arc::downgrade(shared), level: shared.level };
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).map_err(|_| LogError::Installed)
}

struct LogLayer {
    shared: Weak<Shared>,
    level: Level,
}

impl<S: Subscriber> Layer<S> for LogLayer {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        // Of libraries only what is a warning: at finer levels some of them log header fields, and so secrets.
        let ours = metadata.target() == "agent" || metadata.target().starts_with("agent::");
        let level = if ours { self.level } else { self.level.min(Level::Warn) };
        Level::from(*metadata.level()) <= level
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let Some(shared) = self.shared.upgrade() else { return };
        let mut fields = Fields::default();
        event.record(&mut fields);
        if fields.left_out > 0 {
            fields.list.push(("fields_left_out".to_owned(), fields.left_out.to_string()));
        }
        shared.write(&Line {
            source: Source::Agent { target: event.metadata().target() },
            level: Level::from(*event.metadata().level()),
            message: &fields.message,
            fields: &fields.list,
        });
    }
}

#[derive(Default)]
struct Fields {
    message: String,
    list: Vec<(String, String)>,
    left_out: usize,
}

impl Fields {
    fn add(&mut self, field: &Field, value: String) {
        if field.name() == "message" {
            self.message = value;
        } else if self.list.len() < FIELDS_MAX {
            self.list.push((field.name().to_owned(), value));
        } else {
            self.left_out += 1;
        }
    }
}

impl Visit for Fields {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value.to_owned());
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        // The chain, outermost first.
        let mut text = value.to_string();
        let mut source = value.source();
        while let Some(error) = source {
            let _ = write!(text, ": {error}");
            source = error.source();
        }
        self.add(field, text);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, format!("{value:?}"));
    }
}
