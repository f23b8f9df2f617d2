//! Writes object stores byte by byte, so that they can say what git would never write.

use std::path::Path;

/// A zlib stream of stored blocks: nothing is compressed, so that what is meant stands in it.
pub fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0x78, 0x01];
    let mut pieces = bytes.chunks(0xffff).peekable();
    if bytes.is_empty() {
        out.extend([1, 0, 0, 0xff, 0xff]);
    }
    while let Some(piece) = pieces.next() {
        out.push(u8::from(pieces.peek().is_none()));
        let len = piece.len() as u16;
        out.extend(len.to_le_bytes());
        out.extend((!len).to_le_bytes());
        out.extend_from_slice(piece);
    }
    let (mut a, mut b) = (1u32, 0u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    out.extend(((b << 16) | a).to_be_bytes());
    out
}

/// Writes a loose object under a name that need not be its own.
pub fn loose(repository: &Path, hex: &str, kind: &str, bytes: &[u8]) {
    let folder = repository.join("objects").join(&hex[..2]);
    std::fs::create_dir_all(&folder).unwrap();
    let path = folder.join(&hex[2..]);
    let _ = std::fs::remove_file(&path);
    let text = [format!("{kind} {}\0", bytes.len()).as_bytes(), bytes].concat();
    std::fs::write(path, zlib(&text)).unwrap();
}

pub fn raw(hex: &str) -> Vec<u8> {
    (0..hex.len() / 2).map(|at| u8::from_str_radix(&hex[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// How an object stands in a pack.
#[derive(Clone)]
pub enum Base {
    /// Whole, with its type's number.
    Whole(u8),
    /// A delta against the object that is so many places before.
    Back(usize),
    /// A delta against an object by its name.
    Name(Vec<u8>),
}

/// A pack that is being written, with its index.
#[derive(Default)]
pub struct Pack {
    pub bytes: Vec<u8>,
    offsets: Vec<u64>,
    names: Vec<Vec<u8>>,
}

impl Pack {
    /// Adds an object; of a delta, the delta. Its name is believed.
    pub fn add(&mut self, name: Vec<u8>, base: &Base, bytes: &[u8]) {
        if self.bytes.is_empty() {
            self.bytes.extend(b"PACK\0\0\0\x02\0\0\0\0");
        }
        let at = self.bytes.len() as u64;
        let kind = match base {
            Base::Whole(kind) => *kind,
            Base::Back(_) => 6,
            Base::Name(_) => 7,
        };
        let mut size = bytes.len();
        let mut byte = (kind << 4) | (size & 15) as u8;
        size >>= 4;
        while size > 0 {
            self.bytes.push(byte | 0x80);
            byte = (size & 0x7f) as u8;
            size >>= 7;
        }
        self.bytes.push(byte);
        match base {
            Base::Whole(_) => {}
            Base::Name(name) => self.bytes.extend_from_slice(name),
            Base::Back(back) => {
                let mut distance = at - self.offsets[self.offsets.len() - back];
                let mut code = vec![(distance & 0x7f) as u8];
                distance >>= 7;
                while distance > 0 {
                    distance -= 1;
                    code.push(0x80 | (distance & 0x7f) as u8);
                    distance >>= 7;
                }
                self.bytes.extend(code.iter().rev());
            }
        }
        self.bytes.extend(zlib(bytes));
        self.offsets.push(at);
        self.names.push(name);
    }

    /// Writes pack and index. The pack's own sum is `sum`, of as many bytes as names have.
    pub fn write(&self, repository: &Path, name: &str, sum: impl Fn(&[u8]) -> Vec<u8>) {
        let folder = repository.join("objects/pack");
        let mut pack = self.bytes.clone();
        pack[8..12].copy_from_slice(&(self.names.len() as u32).to_be_bytes());
        let sum = sum(&pack);
        pack.extend_from_slice(&sum);
        let mut order: Vec<usize> = (0..self.names.len()).collect();
        order.sort_by_key(|at| &self.names[*at]);
        let mut index = vec![0xff, b't', b'O', b'c', 0, 0, 0, 2];
        for first in 0..=255u8 {
            index.extend((order.iter().filter(|at| self.names[**at][0] <= first).count() as u32).to_be_bytes());
        }
        order.iter().for_each(|at| index.extend_from_slice(&self.names[*at]));
        order.iter().for_each(|_| index.extend([0; 4]));
        order.iter().for_each(|at| index.extend((self.offsets[*at] as u32).to_be_bytes()));
        index.extend_from_slice(&sum);
        index.extend(vec![0; sum.len()]);
        std::fs::write(folder.join(format!("{name}.pack")), pack).unwrap();
        std::fs::write(folder.join(format!("{name}.idx")), index).unwrap();
    }
}

/// A delta: sizes of base and result, then copies (from, length) and inserts.
pub struct Delta(pub Vec<u8>);

impl Delta {
    pub fn new(from: usize, to: usize) -> Self {
        let mut out = vec![];
        for mut size in [from, to] {
            while size >= 0x80 {
                out.push(size as u8 | 0x80);
                size >>= 7;
            }
            out.push(size as u8);
        }
        Self(out)
    }

    pub fn copy(mut self, from: usize, len: usize) -> Self {
        self.0.push(0xff);
        self.0.extend(&(from as u32).to_le_bytes());
        self.0.extend(&(len as u32).to_le_bytes()[..3]);
        self
    }

    pub fn insert(mut self, bytes: &[u8]) -> Self {
        for piece in bytes.chunks(127) {
            self.0.push(piece.len() as u8);
            self.0.extend_from_slice(piece);
        }
        self
    }
}
