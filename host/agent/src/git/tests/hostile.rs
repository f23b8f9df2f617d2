//! Servers that are made to do harm: packs without an end, packs that describe more than there is memory, and lists that lead
//! elsewhere. None of this can be had from git itself, so it is written here byte by byte.

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::*;

// The server's side of a connection; the ban is on opening them.
#[allow(clippy::disallowed_types)]
type Connection = std::net::TcpStream;

/// A server of one repository with one branch, which answers a fetch with whatever a test writes.
// The server's side of a connection; the ban is on opening them.
#[allow(clippy::disallowed_types)]
struct Hostile {
    port: u16,
    connections: Arc<AtomicUsize>,
}

#[allow(clippy::disallowed_types)]
impl Hostile {
    fn new(
        refs: &str,
        pack: impl Fn(&mut std::net::TcpStream) -> std::io::Result<()> + Send + Sync + 'static,
    ) -> Hostile {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback has ports");
        let port = listener.local_addr().expect("it is bound").port();
        let (connections, refs) = (Arc::new(AtomicUsize::new(0)), refs.to_owned());
        let count = connections.clone();
        // Ends with the test's process; it waits in `accept` until then.
        std::thread::spawn(move || {
            for mut stream in listener.incoming().map_while(Result::ok) {
                count.fetch_add(1, Ordering::SeqCst);
                // The client goes away when it has had enough.
                let _ = answer(&mut stream, &refs, &pack);
            }
        });
        Hostile { port, connections }
    }

    fn url(&self) -> Url {
        Url::parse(&format!("http://127.0.0.1:{}/source.git", self.port)).expect("it is a URL")
    }

    /// Why a clone of it fails.
    fn refusal(&self) -> String {
        let client = Client::of(self.port);
        let mut door = client.door(&self.url(), None).expect("it is granted");
        door.pack_bytes_max = 4 << 20;
        let Err(said) = client.mirror_by(door, &[]) else { panic!("it cannot be cloned") };
        assert_eq!(std::fs::read_dir(client.cache.path()).expect("it is ours").count(), 0, "{said}: something is left");
        said
    }
}

#[allow(clippy::disallowed_types)]
fn answer(
    stream: &mut std::net::TcpStream,
    refs: &str,
    pack: &impl Fn(&mut std::net::TcpStream) -> std::io::Result<()>,
) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let (mut first, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 || line == "\r\n" {
            break;
        }
        if let Some(value) = line.to_lowercase().strip_prefix("content-length: ") {
            length = value.trim().parse().expect("it is a number");
        }
        if first.is_empty() {
            first = line;
        }
    }
    reader.read_exact(&mut vec![0; length])?;
    let head = |kind: &str| {
        format!("HTTP/1.1 200 OK\r\nContent-Type: application/x-git-upload-pack-{kind}\r\nConnection: close\r\n\r\n")
    };
    if first.starts_with("GET ") {
        let list = format!("{}0000{refs}0000", packet("# service=git-upload-pack\n"));
        return stream.write_all((head("advertisement") + &list).as_bytes());
    }
    stream.write_all((head("result") + "0008NAK\n").as_bytes())?;
    pack(stream)
}

fn packet(line: &str) -> String {
    format!("{:04x}{line}", line.len() + 4)
}

/// The list of refs: one branch at this object.
fn at(oid: &str) -> String {
    able(oid, "ofs-delta")
}

/// The same, of a server that says what it can.
fn able(oid: &str, capabilities: &str) -> String {
    packet(&format!("{oid} HEAD\0symref=HEAD:refs/heads/main {capabilities}\n"))
        + &packet(&format!("{oid} refs/heads/main\n"))
}

/// The head of a pack of so many objects.
fn head_of(objects: u32) -> Vec<u8> {
    [b"PACK", &2_u32.to_be_bytes()[..], &objects.to_be_bytes()].concat()
}

/// The head of an object in a pack: its kind and the size it says it has.
fn object(kind: u8, size: u64) -> Vec<u8> {
    let (mut bytes, mut rest) = (vec![kind << 4 | (size & 15) as u8], size >> 4);
    while rest > 0 {
        *bytes.last_mut().expect("there is one") |= 0x80;
        bytes.push((rest & 0x7f) as u8);
        rest >>= 7;
    }
    bytes
}

/// A size as a delta tells it.
fn size(mut size: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (size & 0x7f) as u8;
        size >>= 7;
        if size == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(bytes).expect("there is room");
    encoder.finish().expect("there is room")
}

/// The pack with its sum behind it.
fn summed(pack: &[u8]) -> Vec<u8> {
    let mut child = Command::new("sha1sum").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("coreutils");
    child.stdin.take().expect("it is piped").write_all(pack).expect("it reads");
    let sum = String::from_utf8(child.wait_with_output().expect("it ends").stdout).expect("it is hex");
    let bytes = (0..20).map(|at| u8::from_str_radix(&sum[2 * at..2 * at + 2], 16).expect("it is hex"));
    pack.iter().copied().chain(bytes).collect()
}

const BLOB: u8 = 3;
const DELTA: u8 = 6;
const NAMED_DELTA: u8 = 7;
const ANY: &str = "1111111111111111111111111111111111111111";

#[test]
fn packs_have_an_end() {
    // Objects without an end, one object without an end, and nothing that is a pack.
    let objects = Hostile::new(&at(ANY), |stream| {
        let mut stream = std::io::BufWriter::new(stream);
        stream.write_all(&head_of(40_000_000))?;
        (0_u64..).try_for_each(|number| stream.write_all(&[object(BLOB, 8), deflated(&number.to_le_bytes())].concat()))
    });
    let blob = Hostile::new(&at(ANY), |stream| {
        stream.write_all(&[head_of(1), object(BLOB, 1 << 40)].concat())?;
        let mut encoder = ZlibEncoder::new(stream, Compression::none());
        loop {
            encoder.write_all(&[b'x'; 1 << 16])?;
        }
    });
    // Words for a person beside the pack, and no pack.
    let words = Hostile::new(&able(ANY, "side-band-64k"), |stream| {
        loop {
            stream.write_all(packet("\u{2}counting objects\r").repeat(1_000).as_bytes())?;
        }
    });
    for server in [objects, blob, words] {
        let said = server.refusal();
        assert!(said.contains("larger than 4194304 bytes"), "{said}");
    }
}

#[test]
fn a_pack_may_not_say_that_it_has_more_objects_than_anybody_has() {
    let many = Hostile::new(&at(ANY), |stream| stream.write_all(&summed(&head_of(u32::MAX))));
    let said = many.refusal();
    assert!(said.contains("too short for its number of objects"), "{said}");
    // And not so many that what is known of each takes more than there is.
    let objects = Hostile::new(&at(ANY), |stream| {
        let empty = [object(BLOB, 0), deflated(b"")].concat();
        stream.write_all(&summed(&[head_of(300_000), empty.repeat(300_000)].concat()))
    });
    let client = Client::of(objects.port);
    let door = client.door(&objects.url(), None).expect("it is granted");
    let Err(said) = client.mirror_within(64 << 20, &door, &[]) else { panic!("it takes too much") };
    assert!(said.contains("raise `limits.git_memory` in agent.yaml to 92MiB or more"), "{said}");
}

/// Words beside a pack, without an end: nobody asked for them.
#[test]
fn a_servers_words_have_an_end() {
    let words = Hostile::new(&able(ANY, "side-band-64k"), |stream| {
        loop {
            stream.write_all(packet(&format!("\u{2}{}", "x".repeat(60_000))).as_bytes())?;
        }
    });
    let client = Client::of(words.port);
    let Err(said) = client.mirror(&words.url(), None, &[]) else { panic!("it never ends") };
    assert!(said.contains("says more than 16777216 bytes beside its pack"), "{said}");
}

/// Whatever it is that a fetch waits for: who asks for the end does not.
#[test]
fn a_silent_server_keeps_nobody_from_ending() {
    let silent: [fn(&mut Connection) -> std::io::Result<()>; 3] = [
        // Not even a head, half a packet, and a byte now and then.
        |stream| stream.read(&mut [0]).map(drop),
        |stream| stream.write_all(b"00").and_then(|()| stream.read(&mut [0]).map(drop)),
        |stream| loop {
            stream.write_all(b"0005\x02")?;
            std::thread::sleep(std::time::Duration::from_millis(20));
        },
    ];
    for (number, pack) in silent.into_iter().enumerate() {
        let server = Hostile::new(&able(ANY, "side-band-64k"), pack);
        let client = Client::of(server.port);
        let shutdown = Shutdown::default();
        let door = client.door_until(&server.url(), &shutdown);
        let told = std::thread::scope(|scope| {
            let clone = scope.spawn(|| {
                let memory = GitMemory::new(1 << 28, 1);
                let stop = ripsrc::Watch::stopped_by(shutdown.flag());
                clone::mirror(client.cache.path(), &door, &std::collections::HashSet::new(), &memory, &stop).map(drop)
            });
            // The list of refs, and the pack.
            while server.connections.load(Ordering::SeqCst) < 2 {
                std::thread::yield_now();
            }
            shutdown.request();
            clone.join().expect("it does not panic")
        });
        assert!(matches!(told, Err(CloneError::Stopped)), "{number}: {told:?}");
        assert_eq!(
            std::fs::read_dir(client.cache.path()).expect("it is ours").count(),
            0,
            "{number}: something is left"
        );
    }
}

/// A pack of a mebibyte of the same byte, and of an object that is so many copies of it and says to be so large. The second
/// names the first, or tells where it lies.
fn copies(base: &[u8], said: u64, copies: usize, named: bool) -> Vec<u8> {
    let copy = [0x80 | 0x70, 0xff, 0xff, 0x0f];
    let delta = [size(base.len() as u64), size(said), copy.repeat(copies)].concat();
    let first = [object(BLOB, base.len() as u64), deflated(base)].concat();
    let second = match named {
        true => [object(NAMED_DELTA, delta.len() as u64), oid_of(base)].concat(),
        false => [object(DELTA, delta.len() as u64), offset(first.len() as u64)].concat(),
    };
    summed(&[head_of(2), first, second, deflated(&delta)].concat())
}

/// How far before it the base of a delta lies.
fn offset(back: u64) -> Vec<u8> {
    let (mut bytes, mut rest) = (vec![(back & 0x7f) as u8], back >> 7);
    while rest > 0 {
        rest -= 1;
        bytes.insert(0, (rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes
}

/// What one copy has.
const COPY_BYTES: u64 = 0xf_ffff;

#[test]
fn what_would_be_larger_than_memory_is_not_made() {
    let base = vec![b'x'; 1 << 20];
    for named in [true, false] {
        // A terabyte by its word, four gigabytes by its copies, and what is below libgit2's own limit and above ours.
        for (said, count) in [(1 << 40, 1), (4_000 * COPY_BYTES, 4_000), (200 * COPY_BYTES, 200)] {
            let pack = copies(&base, said, count, named);
            assert!(pack.len() < 20_000, "{}", pack.len());
            let bomb = Hostile::new(&at(ANY), move |stream| stream.write_all(&pack));
            let said = bomb.refusal();
            assert!(said.contains("raise `limits.git_memory` in agent.yaml to"), "{said}");
        }
        // The same shape within what is given is taken, so that it was the size that was refused; with more, more is.
        for (count, bytes) in [(3, 64 << 20), (20, 64 << 20), (200, 1 << 30)] {
            let pack = copies(&base, count * COPY_BYTES, count as usize, named);
            let fine = Hostile::new(&at(&lossy_hex(&oid_of(&base))), move |stream| stream.write_all(&pack));
            let client = Client::of(fine.port);
            let door = client.door(&fine.url(), None).expect("it is granted");
            drop(client.mirror_within(bytes, &door, &[]).unwrap_or_else(|why| panic!("{count}: {why}")));
        }
    }
}

/// What others are built on has to be held as well, however few bytes it has in the pack.
#[test]
fn a_base_that_is_larger_than_memory_is_not_made() {
    let base = vec![0; 100 << 20];
    for named in [true, false] {
        let pack = copies(&base, COPY_BYTES, 1, named);
        let bomb = Hostile::new(&at(&lossy_hex(&oid_of(&base))), move |stream| stream.write_all(&pack));
        let client = Client::of(bomb.port);
        let door = client.door(&bomb.url(), None).expect("it is granted");
        let Err(said) = client.mirror_within(64 << 20, &door, &[]) else { panic!("it is larger than all memory") };
        assert!(said.contains("raise `limits.git_memory` in agent.yaml to"), "{said}");
    }
    // On its own it is only hashed.
    let pack = summed(&[head_of(1), object(BLOB, base.len() as u64), deflated(&base)].concat());
    let alone = Hostile::new(&at(&lossy_hex(&oid_of(&base))), move |stream| stream.write_all(&pack));
    let client = Client::of(alone.port);
    let door = client.door(&alone.url(), None).expect("it is granted");
    drop(client.mirror_within(64 << 20, &door, &[]).unwrap_or_else(|why| panic!("{why}")));
}

fn oid_of(blob: &[u8]) -> Vec<u8> {
    Oid::hash_object(git2::ObjectType::Blob, blob).expect("it can be hashed").as_bytes().to_vec()
}

fn lossy_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn names_of_refs_lead_nowhere() {
    let base = b"x";
    let pack = summed(&[head_of(1), object(BLOB, 1), deflated(base)].concat());
    let oid = lossy_hex(&oid_of(base));
    for name in
        ["refs/heads/../../../../escape", "refs/heads/a/../../../../escape", "refs/tags//etc/passwd", "../../escape"]
    {
        let refs = at(&oid) + &packet(&format!("{oid} {name}\n"));
        let pack = pack.clone();
        let server = Hostile::new(&refs, move |stream| stream.write_all(&pack));
        let client = Client::of(server.port);
        // Refused or left out, and nothing lies outside of the clone.
        let cloned = client.mirror(&server.url(), None, &[]).map(drop);
        assert!(server.connections.load(Ordering::SeqCst) > 0, "{cloned:?}");
        let around = client.cache.path();
        let escaped = |folder: &Path| folder.join("escape").exists();
        assert!(!around.ancestors().any(escaped), "{name}: {cloned:?}");
        for entry in std::fs::read_dir(around).expect("it is ours") {
            let entry = entry.expect("it is ours").path();
            assert!(!escaped(&entry) && !escaped(&entry.join("refs")), "{name}: {cloned:?}");
        }
    }
}

/// Refs of one list at one object, and what a clone of it has.
fn refs_of(names: &[&str]) -> Vec<String> {
    let base = b"x";
    let pack = summed(&[head_of(1), object(BLOB, 1), deflated(base)].concat());
    let oid = lossy_hex(&oid_of(base));
    let more: String = names.iter().map(|name| packet(&format!("{oid} {name}\n"))).collect();
    let server = Hostile::new(&(at(&oid) + &more), move |stream| stream.write_all(&pack));
    let client = Client::of(server.port);
    let mirror = client.mirror(&server.url(), None, &[]).unwrap_or_else(|why| panic!("{why}"));
    let mut found = ref_names(&opened(&mirror));
    found.retain(|name| name.starts_with("refs/heads/"));
    found
}

/// One ref that cannot be is no reason to have none.
#[test]
fn refs_that_cannot_be_are_left_out() {
    let long = format!("refs/heads/{}", "x".repeat(300));
    let deep = format!("refs/heads/{}x", "y/".repeat(3_000));
    let found =
        refs_of(&["refs/heads/a", "refs/heads/a/b", "refs/heads/b/c", "refs/heads/b", &long, &deep, "refs/heads/z z"]);
    assert_eq!(found, ["refs/heads/a", "refs/heads/b", "refs/heads/main"]);
}

#[test]
fn many_refs_are_written_at_once() {
    let names: Vec<String> = (0..20_000).map(|number| format!("refs/heads/{}/{number}", number % 300)).collect();
    assert_eq!(refs_of(&names.iter().map(String::as_str).collect::<Vec<_>>()).len(), 20_001);
}

#[test]
fn a_ref_without_its_object_is_named() {
    let pack = summed(&[head_of(1), object(BLOB, 1), deflated(b"x")].concat());
    let refs = at(&lossy_hex(&oid_of(b"x"))) + &packet(&format!("{ANY} refs/heads/gone\n"));
    let said = Hostile::new(&refs, move |stream| stream.write_all(&pack)).refusal();
    assert!(said.contains(&format!("lists refs/heads/gone at {ANY}, and does not send that object")), "{said}");
}

#[test]
fn a_servers_refusal_is_told_in_its_words() {
    let refused = packet("ERR you may not read this\u{1b}[2J");
    let said = Hostile::new(&refused, |_| Ok(())).refusal();
    assert!(said.ends_with("the server says: you may not read this\\u{1b}[2J"), "{said}");
    let later =
        Hostile::new(&able(ANY, "side-band-64k"), |stream| stream.write_all(packet("\u{3}out of memory").as_bytes()));
    assert!(later.refusal().ends_with("the server gives up: out of memory"));
}
