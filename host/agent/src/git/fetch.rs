//! Fetches what a repository's refs name: one exchange, written to disk as it comes and indexed by all processors, within the
//! memory that reading repositories may take. What the indexer of `ripsrc` finds odd is libgit2's, which reads the same file, if
//! that too fits into the memory.
//!
//! Format: `gitprotocol-pack`, the smart protocol's version 0, of git's documentation. We say what we have once and do not
//! negotiate: a server that knows none of it sends everything.

use std::collections::{BTreeSet, HashSet};
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use git2::{Oid, Repository};
use ripsrc::{IndexError, Watch, index_pack, pack_weight};

use super::clone::CloneError;
use super::memory::{GitMemory, Place};
use super::transport::{Advertised, Door, packet, words};

/// What is asked of a server that can do it: packs whose deltas tell where their bases lie, words of its own beside the pack,
/// and as few of them as may be.
const OFFSETS: &str = "ofs-delta";
const BANDS: &str = "side-band-64k";
const QUIET: &str = "no-progress";
/// Bytes of words beside a pack. They were not asked for; what some servers say all the same is some lines.
const WORDS_BYTES_MAX: u64 = 16 << 20;
/// Refs of ours that a server is told of, 50 bytes for each: what the rest has besides is sent once more.
const HAD_MAX: usize = 2_000;
/// Bytes that are read of a pack at a time.
const PIECE_BYTES: usize = 64 << 10;

/// Fetches all that these objects are made of and that is not there. Leaves nothing behind if that fails.
pub(super) fn fetch(
    repository: &Repository,
    door: &Door,
    advertised: &Advertised,
    wanted: &HashSet<Oid>,
    memory: &Arc<GitMemory>,
    watch: &Watch,
) -> Result<(), CloneError> {
    let folder = repository.path().join("objects").join("pack");
    let taken = Taken { pack: folder.join("incoming.part"), index: folder.join("incoming-index.part") };
    receive(door, advertised, &question(advertised, wanted, &had(repository)), &taken.pack, watch)?;
    // Only now: what comes over a network takes hardly any, and may take hours.
    let place = memory.place(&|| watch.stopped()).ok_or(CloneError::Stopped)?;
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let checksum = match index_pack(&taken.pack, &taken.index, threads, place.bytes(), watch) {
        Ok(checksum) => checksum,
        Err(IndexError::Odd(why)) => return slowly(&folder, &taken.pack, why, door, &place, watch),
        Err(fault) => return Err(failed(fault, door)),
    };
    for (from, extension) in [(&taken.pack, "pack"), (&taken.index, "idx")] {
        let to = folder.join(format!("pack-{checksum}.{extension}"));
        fs::rename(from, &to).map_err(|fault| format!("{}: {fault}", to.display()))?;
    }
    Ok(())
}

fn failed(fault: IndexError, door: &Door) -> CloneError {
    match fault {
        IndexError::Stopped => CloneError::Stopped,
        IndexError::Io { path, what } => CloneError::Failed(format!("{}: {what}", path.display())),
        fault => CloneError::Failed(format!("{}: what the server sends cannot be used: {fault}", door.url)),
    }
}

/// Has libgit2 index a pack that is odd: it has one thread, and holds an object, its base and the difference between them.
fn slowly(folder: &Path, pack: &Path, why: &str, door: &Door, place: &Place, watch: &Watch) -> Result<(), CloneError> {
    let weight = pack_weight(pack, place.bytes(), watch).map_err(|fault| failed(fault, door))?;
    if weight > place.bytes() {
        return Err(CloneError::Failed(format!(
            "{}: its pack takes more memory than there is for one repository ({weight} bytes at least, and {} are given): raise `limits.git_memory` in agent.yaml to {}MiB or more",
            door.url,
            place.bytes(),
            place.all_for(weight).div_ceil(1 << 20),
        )));
    }
    tracing::info!(url = %door.url, %why, "the repository is indexed the long way");
    let judged = |fault: git2::Error| match watch.stopped() {
        true => CloneError::Stopped,
        false => CloneError::Failed(format!("{}: what the server sends cannot be used: {}", door.url, fault.message())),
    };
    let mut indexer = git2::Indexer::new(None, folder, 0, false).map_err(judged)?;
    indexer.progress(|_| !watch.stopped());
    let mut file = File::open(pack).map_err(|fault| format!("{}: {fault}", pack.display()))?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let size = file.read(&mut piece).map_err(|fault| format!("{}: {fault}", pack.display()))?;
        if size == 0 {
            break;
        }
        if watch.stopped() {
            return Err(CloneError::Stopped);
        }
        indexer.write_all(&piece[..size]).map_err(|fault| match fault.downcast::<git2::Error>() {
            Ok(fault) => judged(fault),
            Err(fault) => CloneError::Failed(format!("{}: {fault}", door.url)),
        })?;
    }
    indexer.commit().map(drop).map_err(judged)
}

/// The files of a fetch, removed where they still are when it ends.
struct Taken {
    pack: PathBuf,
    index: PathBuf,
}

impl Drop for Taken {
    fn drop(&mut self) {
        for path in [&self.pack, &self.index] {
            // Mostly it has its name by now.
            let _ = fs::remove_file(path);
        }
    }
}

/// What the refs name that are there, with all that it is made of. Of a branch that was rewritten, its server mostly still has
/// what it was.
fn had(repository: &Repository) -> BTreeSet<Oid> {
    let (Ok(refs), Ok(odb)) = (repository.references(), repository.odb()) else { return BTreeSet::new() };
    let head = repository.head().ok().and_then(|head| head.target());
    // Branches before tags, which are old.
    let (branches, others): (Vec<_>, Vec<_>) = refs.flatten().partition(git2::Reference::is_branch);
    let named = branches.iter().chain(&others).filter_map(git2::Reference::target);
    head.into_iter().chain(named).filter(|oid| odb.exists(*oid)).take(HAD_MAX).collect()
}

/// The question: these objects, and all that they are made of and we do not have.
fn question(advertised: &Advertised, wanted: &HashSet<Oid>, had: &BTreeSet<Oid>) -> Vec<u8> {
    let ordered: BTreeSet<&Oid> = wanted.iter().collect();
    let mut asked = Vec::new();
    for (at, oid) in ordered.into_iter().enumerate() {
        let able = [OFFSETS, BANDS, QUIET].into_iter().filter(|name| at == 0 && advertised.can(name));
        let able: String = able.map(|name| format!(" {name}")).collect();
        asked.extend(packet(&format!("want {oid}{able}\n")));
    }
    asked.extend(b"0000");
    had.iter().for_each(|oid| asked.extend(packet(&format!("have {oid}\n"))));
    asked.extend(packet("done\n"));
    asked
}

/// Asks, and writes the pack that comes to disk.
fn receive(
    door: &Door,
    advertised: &Advertised,
    question: &[u8],
    pack: &Path,
    watch: &Watch,
) -> Result<(), CloneError> {
    let told = |what: String| match watch.stopped() {
        true => CloneError::Stopped,
        false => CloneError::Failed(format!("{}: {what}", door.url)),
    };
    let stream = door.ask(question.to_vec()).map_err(|why| match watch.stopped() {
        true => CloneError::Stopped,
        false => CloneError::Failed(why),
    })?;
    let mut packets = Packets { from: BufReader::with_capacity(PACKET_BYTES_MAX, stream), buffer: Vec::new() };
    match packets.next() {
        Ok(Some(line)) if is_answer(line) => {}
        Ok(Some(line)) => return Err(told(format!("the server says: {}", words(line)))),
        Ok(None) => return Err(told("the server has nothing to say".to_owned())),
        Err(fault) => return Err(told(door.words_of(fault))),
    }
    let on_disk = |fault: io::Error| CloneError::Failed(format!("{}: {fault}", pack.display()));
    let mut file = BufWriter::new(File::create(pack).map_err(on_disk)?);
    let mut take = |bytes: &[u8]| file.write_all(bytes).map_err(on_disk);
    if advertised.can(BANDS) {
        packets.bands(&mut take, told, door, watch)?;
    } else {
        packets.raw(&mut take, told, door, watch)?;
    }
    file.flush().map_err(on_disk)
}

/// Whether a line says what of ours the server knows, which we need not know.
fn is_answer(line: &[u8]) -> bool {
    line == b"NAK\n" || line.starts_with(b"ACK ")
}

/// What a packet's first byte says of the rest.
const BAND_PACK: u8 = 1;
const BAND_WORDS: u8 = 2;
const BAND_FAULT: u8 = 3;
/// A packet with its length.
const PACKET_BYTES_MAX: usize = 65_520;

/// The answer ended too soon, or what else went wrong.
fn early(fault: io::Error) -> io::Error {
    match fault.kind() {
        io::ErrorKind::UnexpectedEof => io::Error::new(fault.kind(), "the server's answer ends early"),
        _ => fault,
    }
}

/// The packets of an answer.
struct Packets<R> {
    from: R,
    buffer: Vec<u8>,
}

impl<R: Read> Packets<R> {
    /// None at a flush packet, which ends an answer. An answer that ends before one is an error.
    fn next(&mut self) -> io::Result<Option<&[u8]>> {
        let invalid = || io::Error::new(io::ErrorKind::InvalidData, "the answer is not made of packets");
        let mut length = [0; 4];
        self.from.read_exact(&mut length).map_err(early)?;
        let digits = std::str::from_utf8(&length).ok().filter(|text| text.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let length = digits.and_then(|text| usize::from_str_radix(text, 16).ok());
        match length {
            Some(0) => return Ok(None),
            Some(length @ 5..=PACKET_BYTES_MAX) => self.buffer.resize(length - 4, 0),
            _ => return Err(invalid()),
        }
        self.from.read_exact(&mut self.buffer).map_err(early)?;
        Ok(Some(&self.buffer))
    }

    /// A pack in packets, beside a server's words.
    fn bands(
        &mut self,
        take: &mut impl FnMut(&[u8]) -> Result<(), CloneError>,
        told: impl Fn(String) -> CloneError,
        door: &Door,
        watch: &Watch,
    ) -> Result<(), CloneError> {
        let mut said = 0;
        while !watch.stopped() {
            match self.next() {
                Ok(Some([BAND_PACK, bytes @ ..])) => take(bytes)?,
                Ok(Some([BAND_WORDS, bytes @ ..])) => said += 5 + bytes.len() as u64,
                Ok(Some([BAND_FAULT, bytes @ ..])) => {
                    return Err(told(format!("the server gives up: {}", words(bytes))));
                }
                Ok(Some(line)) if is_answer(line) => {}
                Ok(Some(_)) => return Err(told("what the server sends is no pack".to_owned())),
                Ok(None) => return Ok(()),
                Err(fault) => return Err(told(door.words_of(fault))),
            }
            if said > WORDS_BYTES_MAX {
                return Err(told(format!("the server says more than {WORDS_BYTES_MAX} bytes beside its pack")));
            }
        }
        Err(CloneError::Stopped)
    }

    /// A pack that is all the rest of an answer.
    fn raw(
        &mut self,
        take: &mut impl FnMut(&[u8]) -> Result<(), CloneError>,
        told: impl Fn(String) -> CloneError,
        door: &Door,
        watch: &Watch,
    ) -> Result<(), CloneError> {
        self.buffer.resize(PIECE_BYTES, 0);
        while !watch.stopped() {
            match self.from.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Ok(size) => take(&self.buffer[..size])?,
                Err(fault) => return Err(told(door.words_of(fault))),
            }
        }
        Err(CloneError::Stopped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_read_packet_by_packet() {
        let read = |bytes: &[u8]| {
            let mut packets = Packets { from: bytes, buffer: Vec::new() };
            let mut found = Vec::new();
            loop {
                match packets.next() {
                    Ok(Some(bytes)) => found.push(String::from_utf8_lossy(bytes).into_owned()),
                    Ok(None) => return Ok(found),
                    Err(fault) => return Err(fault.to_string()),
                }
            }
        };
        assert_eq!(read(b"0008NAK\n0009\x01PACK0000").unwrap(), ["NAK\n", "\u{1}PACK"]);
        for bad in ["", "0008NAK\n", "0008NA", "0001", "0004", "-001x", "fff1", "zzzz", "+009x"] {
            assert!(read(bad.as_bytes()).is_err(), "{bad}");
        }
    }

    #[test]
    fn everything_is_asked_for_once_and_what_is_there_is_told() {
        let oid = |digit: &str| Oid::from_str(&digit.repeat(40)).expect("forty digits");
        let (a, b, c) = ("a".repeat(40), "b".repeat(40), "c".repeat(40));
        let text = |able: &[&str], had: &[Oid]| {
            let able = able.iter().map(|name| name.as_bytes().to_vec()).collect();
            let advertised = Advertised { capabilities: able, ..Advertised::default() };
            let wanted = HashSet::from([oid("b"), oid("a")]);
            String::from_utf8(question(&advertised, &wanted, &had.iter().copied().collect())).expect("it is text")
        };
        assert_eq!(
            text(&["side-band-64k", "thin-pack", "ofs-delta", "no-progress"], &[]),
            format!("0056want {a} ofs-delta side-band-64k no-progress\n0032want {b}\n00000009done\n")
        );
        assert_eq!(text(&[], &[oid("c")]), format!("0032want {a}\n0032want {b}\n00000032have {c}\n0009done\n"));
    }
}
