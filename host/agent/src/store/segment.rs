//! Segments: immutable files that hold the bulk beside the database. A segment is written while its session is open,
//! synced before the commit that names it, and garbage unless a row names it. Its bytes are newline JSON as the guest sent
//! it, plain or as zstd frames (RFC 8878; frames after one another are a valid file), so that a folder sink can take it
//! as it is.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How a segment's or an inline batch's bytes are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    Plain = 0,
    Zstd = 1,
}

/// zstd's fastest regular level: records compress six- to tenfold, and higher levels cost more CPU than disks do.
const ZSTD_LEVEL: i32 = 1;

impl Codec {
    pub(super) fn from_row(value: i64) -> Option<Codec> {
        match value {
            0 => Some(Codec::Plain),
            1 => Some(Codec::Zstd),
            _ => None,
        }
    }

    /// Encodes a whole batch.
    pub fn encode(self, plain: &[u8]) -> io::Result<Vec<u8>> {
        match self {
            Codec::Plain => Ok(plain.to_vec()),
            Codec::Zstd => zstd::bulk::compress(plain, ZSTD_LEVEL),
        }
    }

    /// Decodes to newline JSON, as a stream.
    pub fn decode<'a>(self, from: impl io::Read + 'a) -> io::Result<Box<dyn io::Read + 'a>> {
        match self {
            Codec::Plain => Ok(Box::new(from)),
            Codec::Zstd => Ok(Box::new(zstd::stream::read::Decoder::new(from)?)),
        }
    }
}

/// A segment being written. Dropped without `seal` its file is deleted.
pub(crate) struct SegmentWriter {
    path: PathBuf,
    name: String,
    output: Option<Output>,
    /// Bytes of newline JSON written.
    pub(crate) bytes: u64,
    pub(crate) records: u64,
}

enum Output {
    Plain(File),
    Zstd(Box<zstd::stream::write::Encoder<'static, File>>),
}

/// A segment that is complete, and perhaps not synced yet.
pub(crate) struct SealedSegment {
    path: PathBuf,
    pub(crate) name: String,
    pub(crate) file: Option<File>,
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    kept: bool,
}

impl SegmentWriter {
    pub(crate) fn create(folder: &Path, name: String, codec: Codec) -> io::Result<SegmentWriter> {
        let path = folder.join(&name);
        let file = OpenOptions::new().create_new(true).write(true).open(&path)?;
        let output = match codec {
            Codec::Plain => Output::Plain(file),
            Codec::Zstd => Output::Zstd(Box::new(zstd::stream::write::Encoder::new(file, ZSTD_LEVEL)?)),
        };
        Ok(SegmentWriter { path, name, output: Some(output), bytes: 0, records: 0 })
    }

    pub(crate) fn write(&mut self, ndjson: &[u8]) -> io::Result<()> {
        match &mut self.output {
            Some(Output::Plain(file)) => file.write_all(ndjson)?,
            Some(Output::Zstd(encoder)) => encoder.write_all(ndjson)?,
            None => return Err(io::Error::other("the segment is sealed")),
        }
        self.bytes += ndjson.len() as u64;
        Ok(())
    }

    /// A second handle on its file, to write back what it has so far.
    pub(crate) fn file(&self) -> io::Result<File> {
        match &self.output {
            Some(Output::Plain(file)) => file.try_clone(),
            Some(Output::Zstd(encoder)) => encoder.get_ref().try_clone(),
            None => Err(io::Error::other("the segment is sealed")),
        }
    }

    pub(crate) fn seal(mut self) -> io::Result<SealedSegment> {
        let file = match self.output.take() {
            Some(Output::Plain(file)) => file,
            Some(Output::Zstd(encoder)) => encoder.finish()?,
            None => return Err(io::Error::other("the segment is sealed")),
        };
        let sealed = SealedSegment {
            path: std::mem::take(&mut self.path),
            name: std::mem::take(&mut self.name),
            file: Some(file),
            bytes: self.bytes,
            records: self.records,
            kept: false,
        };
        Ok(sealed)
    }
}

impl Drop for SegmentWriter {
    fn drop(&mut self) {
        if !self.path.as_os_str().is_empty() {
            // What cannot be deleted now is collected when the root is opened next.
            drop(std::fs::remove_file(&self.path));
        }
    }
}

impl SealedSegment {
    /// Says that a row names it: it stays.
    pub(crate) fn keep(&mut self) {
        self.kept = true;
    }
}

impl Drop for SealedSegment {
    fn drop(&mut self) {
        if !self.kept {
            drop(std::fs::remove_file(&self.path));
        }
    }
}

/// Makes new names in a folder durable.
pub(crate) fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}
