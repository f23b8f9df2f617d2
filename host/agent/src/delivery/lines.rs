//! Sinks of lines: standard output or a file, one line a record, `{"integration":…,"model":…,"record":…}`, or in a form that
//! whoever shows them chooses. A stream cannot be asked what it holds, so after a crash between writing and acknowledging a
//! batch appears twice: who needs it once uses the folder.

use std::fs::File;
use std::io::{self, BufRead, BufReader, BufWriter, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::{Group, Verdict};

/// A record as a person is to see it: its model and its JSON in, a line out.
pub type Showing = Arc<dyn Fn(&str, &[u8]) -> String + Send + Sync>;

/// Where lines go.
pub enum LinesTo {
    Stdout,
    File(File),
    /// Records are taken and not shown.
    Nowhere,
}

/// A sink of lines.
pub struct Lines {
    to: LinesTo,
    /// How a record looks; as JSON if none.
    showing: Option<Showing>,
    /// Whether a reader that goes away (`| head`) has had enough, and is no fault.
    may_close: bool,
    closed: AtomicBool,
}

impl Lines {
    /// The sink `stdout` of a configuration: a reader that goes away is a fault, and what it has not taken waits.
    pub(super) fn stdout() -> Lines {
        Lines { to: LinesTo::Stdout, showing: None, may_close: false, closed: AtomicBool::new(false) }
    }

    /// Lines for whoever watches.
    #[must_use]
    pub fn watched(to: LinesTo, showing: Option<Showing>) -> Lines {
        Lines { to, showing, may_close: true, closed: AtomicBool::new(false) }
    }

    pub(super) fn take(&self, group: &Group) -> Verdict {
        let (written, name) = match &self.to {
            _ if self.closed.load(Ordering::Relaxed) => return Verdict::Accepted,
            LinesTo::Nowhere => return Verdict::Accepted,
            LinesTo::Stdout => (self.write(group, io::stdout().lock()), "standard output"),
            LinesTo::File(file) => (self.write(group, file), "the output file"),
        };
        match written {
            Ok(()) => Verdict::Accepted,
            Err(error) if self.may_close && error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed.store(true, Ordering::Relaxed);
                tracing::info!("nobody reads standard output any more; records after this are not shown");
                Verdict::Accepted
            }
            Err(error) => Verdict::Retry(format!("{name}: {error}")),
        }
    }

    fn write(&self, group: &Group, out: impl Write) -> io::Result<()> {
        let mut out = BufWriter::with_capacity(64 << 10, out);
        for batch in group {
            let integration = serde_json::to_string(&batch.integration)?;
            let model = serde_json::to_string(&batch.model)?;
            for line in BufReader::new(batch.read()?).split(b'\n') {
                let line = line?;
                if line.is_empty() {
                    continue;
                }
                if let Some(show) = &self.showing {
                    writeln!(out, "{}", show(&batch.model, &line))?;
                    continue;
                }
                write!(out, "{{\"integration\":{integration},\"model\":{model},\"record\":")?;
                out.write_all(&line)?;
                out.write_all(b"}\n")?;
            }
        }
        out.flush()
    }
}
