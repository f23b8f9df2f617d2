//! The outbox: batches that are committed and wait for the sink, and what became of them. A batch that is accepted is gone; one
//! that is rejected for good becomes a dead letter, and its marks are made void, so that its records come again.

use std::io::{self, BufRead, BufReader, Read};
use std::path::PathBuf;
use std::sync::atomic::Ordering;

use rusqlite::{Connection, Row, params};

use super::commit::{NewData, NewMarks, insert_marks};
use super::marks::{self, INLINE_MARKS_MAX, Mark, Run, VOID, sort_run};
use super::record::RecordReader;
use super::segment::Codec;
use super::{Store, StoreError, sync_folder};

/// A batch on its way to the sink. Its identity is (integration, path, seq).
#[derive(Debug, Clone)]
pub struct Batch {
    /// Grows with every commit: the order of delivery.
    pub id: i64,
    pub integration: String,
    /// The session's path.
    pub path: String,
    pub seq: u64,
    pub model: String,
    pub records: u64,
    /// Bytes of newline JSON.
    pub bytes: u64,
    pub codec: Codec,
    pub data: BatchData,
    scope: i64,
    key: String,
}

/// Where a batch's bytes are.
#[derive(Debug, Clone)]
pub enum BatchData {
    Inline(Vec<u8>),
    File(PathBuf),
}

/// A batch that the sink rejected for good.
#[derive(Debug, Clone, serde::Serialize)]
pub struct DeadBatch {
    pub id: i64,
    pub integration: String,
    pub path: String,
    pub seq: u64,
    pub model: String,
    pub records: u64,
    pub bytes: u64,
    pub reason: String,
    /// The file that still holds its records, where they are not in the database.
    pub file: Option<String>,
}

/// How much waits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct OutboxTotals {
    pub batches: u64,
    pub records: u64,
    pub bytes: u64,
}

impl Batch {
    /// Its newline JSON, as a stream.
    pub fn read(&self) -> io::Result<Box<dyn Read + '_>> {
        match &self.data {
            BatchData::Inline(bytes) => self.codec.decode(&bytes[..]),
            BatchData::File(path) => self.codec.decode(std::fs::File::open(path)?),
        }
    }
}

pub(super) fn waiting(db: &Connection) -> rusqlite::Result<OutboxTotals> {
    db.query_row(
        "SELECT count(*), coalesce(sum(records), 0), coalesce(sum(bytes), 0) FROM batch WHERE dead IS NULL",
        [],
        |r| {
            Ok(OutboxTotals {
                batches: r.get::<_, i64>(0)? as u64,
                records: r.get::<_, i64>(1)? as u64,
                bytes: r.get::<_, i64>(2)? as u64,
            })
        },
    )
}

impl Store {
    /// What waits for the sink, in order of delivery, at most `limit` batches after the one with id `after`.
    pub fn outbox_next(&self, sink: &str, after: i64, limit: usize) -> Result<Vec<Batch>, StoreError> {
        self.read(|db| {
            db.prepare_cached(
                "SELECT b.id, s.integration, b.path, b.seq, b.model, b.records, b.bytes, b.codec, b.file, b.data, b.scope, b.key
                 FROM batch b JOIN scope s ON s.id = b.scope
                 WHERE b.dead IS NULL AND b.id > ?1 AND s.sink = ?2 ORDER BY b.id LIMIT ?3",
            )?
            .query_map(params![after, sink, limit as i64], |r| self.batch(r))?
            .collect()
        })
    }

    fn batch(&self, r: &Row<'_>) -> rusqlite::Result<Batch> {
        let codec = r.get::<_, i64>(7)?;
        let codec = Codec::from_row(codec).ok_or(rusqlite::Error::IntegralValueOutOfRange(7, codec))?;
        let data = match r.get::<_, Option<String>>(8)? {
            Some(name) => BatchData::File(self.paths.segments.join(name)),
            None => BatchData::Inline(r.get(9)?),
        };
        Ok(Batch {
            id: r.get(0)?,
            integration: r.get(1)?,
            path: r.get(2)?,
            seq: r.get::<_, i64>(3)? as u64,
            model: r.get(4)?,
            records: r.get::<_, i64>(5)? as u64,
            bytes: r.get::<_, i64>(6)? as u64,
            codec,
            data,
            scope: r.get(10)?,
            key: r.get(11)?,
        })
    }

    /// The sink has them: they are gone from the outbox. Frees their space.
    pub async fn outbox_accept(&self, batches: Vec<Batch>) -> Result<(), StoreError> {
        let ids: Vec<i64> = batches.iter().map(|b| b.id).collect();
        let path = self.paths.database.clone();
        self.writer
            .write(true, move |tx| {
                let mut delete =
                    tx.prepare_cached("DELETE FROM batch WHERE id = ?1").map_err(|e| super::schema::sql(&path, e))?;
                for id in ids {
                    delete.execute([id]).map_err(|e| super::schema::sql(&path, e))?;
                }
                Ok(())
            })
            .await?;
        for batch in &batches {
            if let BatchData::File(path) = &batch.data {
                // No row names it any more; what cannot be deleted now is collected when the root is opened next.
                drop(std::fs::remove_file(path));
            }
        }
        self.shrink(batches.iter().map(|b| b.bytes).sum());
        Ok(())
    }

    /// The sink rejects it for good: it is kept as a dead letter, and the marks that it brought are made void, unless a later
    /// record has replaced them.
    pub async fn outbox_reject(&self, batch: &Batch, reason: &str) -> Result<(), StoreError> {
        let set = self.mark_set(batch.scope, &batch.model)?;
        let mut void = self.marks_of(batch)?;
        // What cannot be read back is made void: to send a record once more does no harm.
        void.retain(|(key, record)| set.find(*key).map_or(true, |known| known == Some(*record)));
        void.iter_mut().for_each(|mark| mark.1 = VOID);
        sort_run(&mut void);
        let marks = if void.is_empty() { None } else { Some(self.new_marks(&batch.model, &void)?) };
        let (id, scope, why, path) = (batch.id, batch.scope, reason.to_owned(), self.paths.database.clone());
        self.writer
            .write(true, move |tx| {
                (|| {
                    tx.execute("UPDATE batch SET dead = ?2 WHERE id = ?1", params![id, why])?;
                    marks.iter().try_for_each(|marks| insert_marks(tx, scope, marks))
                })()
                .map_err(|e| super::schema::sql(&path, e))
            })
            .await?;
        set.add(vec![Run::Memory(std::sync::Arc::new(void))]);
        self.shrink(batch.bytes);
        Ok(())
    }

    /// Writes a sorted run to where it belongs, synced.
    fn new_marks(&self, model: &str, run: &[Mark]) -> Result<NewMarks, StoreError> {
        let data = if run.len() <= INLINE_MARKS_MAX {
            NewData::Inline(marks::encode(run))
        } else {
            let name = self.new_file_name();
            let path = self.paths.marks.join(&name);
            let written = std::fs::write(&path, marks::encode(run))
                .and_then(|()| std::fs::File::open(&path)?.sync_all())
                .and_then(|()| sync_folder(&self.paths.marks));
            written.map_err(|e| StoreError::io("write", &path, e))?;
            NewData::File(name)
        };
        Ok(NewMarks { model: model.to_owned(), runs: vec![run.len()], data })
    }

    fn marks_of(&self, batch: &Batch) -> Result<Vec<Mark>, StoreError> {
        let pointers: Vec<String> = serde_json::from_str(&batch.key).unwrap_or_default();
        let mut reader = RecordReader::new(&self.hash_key, &pointers);
        let io = |e| StoreError::io("read a batch of", &self.paths.segments, e);
        let mut marks = Vec::new();
        for line in BufReader::new(batch.read().map_err(io)?).split(b'\n') {
            if let Ok(mark) = reader.read(&line.map_err(io)?) {
                marks.push(mark);
            }
        }
        Ok(marks)
    }

    fn shrink(&self, bytes: u64) {
        let _ =
            self.outbox_bytes.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |now| Some(now.saturating_sub(bytes)));
        self.outbox_shrank.notify_waiters();
    }
}
