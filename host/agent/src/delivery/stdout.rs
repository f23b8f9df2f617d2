//! The standard-output sink: one line a record, `{"integration":…,"model":…,"record":…}`. A stream cannot be asked what it
//! holds, so after a crash between writing and acknowledging a batch appears twice: who needs it once uses the folder.

use std::io::{self, BufRead, BufReader, BufWriter, Write};

use super::{Group, Verdict};

pub(super) struct Stdout;

impl Stdout {
    pub(super) fn take(&self, group: &Group) -> Verdict {
        match write(group) {
            Ok(()) => Verdict::Accepted,
            Err(error) => Verdict::Retry(format!("standard output: {error}")),
        }
    }
}

fn write(group: &Group) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(64 << 10, io::stdout().lock());
    for batch in group {
        let integration = serde_json::to_string(&batch.integration)?;
        let model = serde_json::to_string(&batch.model)?;
        for line in BufReader::new(batch.read()?).split(b'\n') {
            let line = line?;
            if line.is_empty() {
                continue;
            }
            write!(out, "{{\"integration\":{integration},\"model\":{model},\"record\":")?;
            out.write_all(&line)?;
            out.write_all(b"}\n")?;
        }
    }
    out.flush()
}
