//! The first fetch of a repository: everything that its refs name, in one exchange without a negotiation, written to disk as it
//! comes and indexed by all processors. Later fetches, and whatever is odd here, are libgit2's, whose indexer has one thread.
//!
//! Format: `gitprotocol-pack`, the smart protocol's version 0, of git's documentation.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use git2::Oid;
use ripsrc::{IndexError, Watch, index_pack};

use super::transport::{Advertised, Door, packet};

/// What is asked of a server, all of which it must be able to do: packs whose deltas tell where their bases lie, and words of
/// its own beside the pack.
const CAPABILITIES: [&str; 2] = ["ofs-delta", "side-band-64k"];
/// Memory for the indexing of a pack; larger objects are libgit2's.
const MEMORY_BYTES_MAX: u64 = 512 << 20;
/// Packets between two looks whether the run has been asked to end: each has up to 64 KiB.
const ASKED_EVERY: u64 = 64;
/// Characters of a server's last words that are repeated.
const WORDS_MAX: usize = 500;

/// What became of it.
pub(super) enum First {
    /// The pack lies in the repository.
    Done,
    /// Nothing is there; another way is to be tried, and why.
    Odd(String),
    /// The run has been asked to end.
    Stopped,
}

/// Fetches all that these objects are made of into a repository that has nothing. The error is for a person.
pub(super) fn fetch(
    repository: &Path,
    door: &Door,
    advertised: &Advertised,
    wanted: &HashSet<Oid>,
    watch: &Watch,
) -> Result<First, String> {
    if let Some(lacks) = CAPABILITIES.iter().find(|name| !advertised.can(name)) {
        return Ok(First::Odd(format!("the server cannot do {lacks}")));
    }
    let folder = repository.join("objects").join("pack");
    let taken = Taken { pack: folder.join("incoming.part"), index: folder.join("incoming-index.part") };
    let io = |path: &Path, fault: &io::Error| format!("{}: {fault}", path.display());
    match receive(door, wanted, &taken.pack, watch)? {
        First::Done => {}
        other => return Ok(other),
    }
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let indexed = index_pack(&taken.pack, &taken.index, threads, MEMORY_BYTES_MAX, watch);
    let checksum = match indexed {
        Ok(checksum) => checksum,
        Err(IndexError::Stopped) => return Ok(First::Stopped),
        Err(IndexError::Io { path, what }) => return Err(format!("{}: {what}", path.display())),
        // What is damaged is fetched once more: the other indexer is the judge.
        Err(fault) => return Ok(First::Odd(fault.to_string())),
    };
    for (from, extension) in [(&taken.pack, "pack"), (&taken.index, "idx")] {
        let to = folder.join(format!("pack-{checksum}.{extension}"));
        fs::rename(from, &to).map_err(|fault| io(&to, &fault))?;
    }
    Ok(First::Done)
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

/// Asks for everything, and writes the pack that comes to disk.
fn receive(door: &Door, wanted: &HashSet<Oid>, pack: &Path, watch: &Watch) -> Result<First, String> {
    let stream = door.ask(question(wanted)).map_err(|fault| fault.message().to_owned())?;
    let mut packets = Packets { from: BufReader::with_capacity(PACKET_BYTES_MAX, stream), buffer: Vec::new() };
    let told = |what: String| format!("{}: {what}", door.url);
    match packets.next() {
        Ok(Some(b"NAK\n")) => {}
        Ok(Some(line)) => return Err(told(words(line))),
        Ok(None) => return Ok(First::Odd("the server has nothing to say".to_owned())),
        Err(fault) => return Err(told(door.words_of(fault))),
    }
    let on_disk = |fault: io::Error| format!("{}: {fault}", pack.display());
    let mut file = BufWriter::new(File::create(pack).map_err(on_disk)?);
    for number in 0u64.. {
        if number % ASKED_EVERY == 0 && watch.stopped() {
            return Ok(First::Stopped);
        }
        match packets.next() {
            Ok(Some([BAND_PACK, bytes @ ..])) => file.write_all(bytes).map_err(on_disk)?,
            Ok(Some([BAND_WORDS, ..])) => {}
            Ok(Some([BAND_FAULT, words @ ..])) => {
                return Err(told(format!("the server gives up: {}", self::words(words))));
            }
            Ok(Some(_)) => return Err(told("what the server sends is no pack".to_owned())),
            Ok(None) => break,
            Err(fault) => return Err(told(door.words_of(fault))),
        }
    }
    file.flush().map_err(on_disk)?;
    Ok(First::Done)
}

/// What a packet's first byte says of the rest.
const BAND_PACK: u8 = 1;
const BAND_WORDS: u8 = 2;
const BAND_FAULT: u8 = 3;
/// A packet with its length.
const PACKET_BYTES_MAX: usize = 65_520;

/// The question: these objects, all that they are made of, and we have nothing.
fn question(wanted: &HashSet<Oid>) -> Vec<u8> {
    let mut ordered: Vec<&Oid> = wanted.iter().collect();
    ordered.sort_unstable();
    let mut asked = Vec::new();
    for (at, oid) in ordered.into_iter().enumerate() {
        let capabilities = if at == 0 { format!(" {} no-progress", CAPABILITIES.join(" ")) } else { String::new() };
        asked.extend(packet(&format!("want {oid}{capabilities}\n")));
    }
    asked.extend(b"0000");
    asked.extend(packet("done\n"));
    asked
}

/// A server's words, for a person.
fn words(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes.strip_prefix(b"ERR ").unwrap_or(bytes)).into_owned();
    // Whole, before it is cut: of a secret at the cut a part would be left.
    crate::secrets::strike(&mut text);
    text.trim().chars().filter(|c| !c.is_control()).take(WORDS_MAX).collect()
}

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
    fn everything_is_asked_for_once() {
        let oid = |digit: &str| Oid::from_str(&digit.repeat(40)).expect("forty digits");
        let asked = String::from_utf8(question(&HashSet::from([oid("b"), oid("a")]))).expect("it is text");
        let (a, b) = ("a".repeat(40), "b".repeat(40));
        assert_eq!(asked, format!("0056want {a} ofs-delta side-band-64k no-progress\n0032want {b}\n00000009done\n"));
    }
}
