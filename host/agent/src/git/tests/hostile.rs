//! Servers that are made to do harm: packs without an end, packs that describe more than there is memory, and lists that lead
//! elsewhere. None of this can be had from git itself, so it is written here byte by byte.

use flate2::Compression;
use flate2::write::ZlibEncoder;

use super::*;

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
const DELTA: u8 = 7;
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
    assert!(said.contains("too many objects"), "{said}");
}

/// A pack of a mebibyte of the same byte, and of an object that is so many copies of it and says to be so large.
fn copies(base: &[u8], said: u64, copies: usize) -> Vec<u8> {
    let copy = [0x80 | 0x70, 0xff, 0xff, 0x0f];
    let delta = [size(base.len() as u64), size(said), copy.repeat(copies)].concat();
    let (first, second) = (object(BLOB, base.len() as u64), object(DELTA, delta.len() as u64));
    summed(&[head_of(2), first, deflated(base), second, oid_of(base), deflated(&delta)].concat())
}

/// What one copy has.
const COPY_BYTES: u64 = 0xf_ffff;

#[test]
fn what_would_be_larger_than_memory_is_not_made() {
    let base = vec![b'x'; 1 << 20];
    // A terabyte by its word, four gigabytes by its copies, and what is below libgit2's own limit and above ours.
    for (said, count) in [(1 << 40, 1), (4_000 * COPY_BYTES, 4_000), (600 * COPY_BYTES, 600)] {
        let pack = copies(&base, said, count);
        assert!(pack.len() < 20_000, "{}", pack.len());
        let bomb = Hostile::new(&at(ANY), move |stream| stream.write_all(&pack));
        let said = bomb.refusal();
        assert!(said.contains("overly large object"), "{said}");
    }
    // The same shape within what is given is taken, so that it was the size that was refused.
    let pack = copies(&base, 3 * COPY_BYTES, 3);
    let fine = Hostile::new(&at(&lossy_hex(&oid_of(&base))), move |stream| stream.write_all(&pack));
    drop(Client::of(fine.port).mirror(&fine.url(), None, &[]).expect("it can be cloned"));
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
