//! Outbox → sink: verdicts, retry, dead letters.
