//! Random bytes from a seed: SHA-256 over seed, name and a counter, so that a seed of 32 bytes is all that a cassette has to
//! hold. As good as the seed is secret; for a guest that is recorded, its seed stands in the file.

use sha2::{Digest, Sha256};

/// Bytes that follow from a seed and a name.
#[derive(Debug, Clone)]
pub struct Stream {
    base: Sha256,
    counter: u64,
    block: [u8; 32],
    used: usize,
}

impl Stream {
    /// The stream of this name.
    #[must_use]
    pub fn new(seed: &[u8; 32], name: &str) -> Stream {
        let mut base = Sha256::new();
        base.update(seed);
        base.update(name.as_bytes());
        Stream { base, counter: 0, block: [0; 32], used: 32 }
    }

    /// Fills with the next bytes.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        for byte in bytes {
            if self.used == self.block.len() {
                let mut hash = self.base.clone();
                hash.update(self.counter.to_le_bytes());
                self.block = hash.finalize().into();
                self.counter += 1;
                self.used = 0;
            }
            *byte = self.block[self.used];
            self.used += 1;
        }
    }

    /// The next number.
    pub fn next_u64(&mut self) -> u64 {
        let mut bytes = [0; 8];
        self.fill(&mut bytes);
        u64::from_le_bytes(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_follows_from_its_seed_and_name() {
        let bytes = |seed: u8, name: &str, parts: &[usize]| {
            let mut stream = Stream::new(&[seed; 32], name);
            let mut all = Vec::new();
            for part in parts {
                let mut bytes = vec![0; *part];
                stream.fill(&mut bytes);
                all.extend(bytes);
            }
            all
        };
        let whole = bytes(1, "a", &[100]);
        assert_eq!(whole, bytes(1, "a", &[1, 31, 33, 35]), "how much is asked for at a time does not matter");
        assert_ne!(whole, bytes(1, "b", &[100]));
        assert_ne!(whole, bytes(2, "a", &[100]));
        assert_ne!(whole[..32], whole[32..64]);
    }
}
