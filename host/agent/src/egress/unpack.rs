//! Bodies that come packed, unpacked as they come: gzip, the one form that the door asks for. A body may be packed once,
//! and may not grow without measure; how large it may be in all is for who reads it to say. What is packed in another way is
//! handed over as it is, with the header field that says so.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};

use super::EgressError;

/// Packed bytes that are unpacked at a time. They become at most a thousand times as many, which is what stands in memory
/// before anybody has looked at its size.
const PIECE_BYTES: usize = 1 << 10;
/// How many times a body may grow. Pages of JSON grow ten to fifty times; what was made to grow does so a thousand times.
const GROWTH_MAX: u64 = 100;
/// What a body may grow to without being measured: small bodies cost nothing, and the most repetitive pages are small.
const GROWTH_FREE_BYTES: u64 = 1 << 20;

/// The unpacking of one body.
pub(super) struct Unpack {
    gzip: Option<MultiGzDecoder<Vec<u8>>>,
    plain: Bytes,
    packed: u64,
    unpacked: u64,
}

impl Unpack {
    /// As an answer's header fields say. What they say of the packed form is taken out of them.
    pub(super) fn of(headers: &mut HeaderMap) -> Unpack {
        let packed = {
            let mut named = headers.get_all(CONTENT_ENCODING).iter();
            let gzip = |value: &[u8]| value.eq_ignore_ascii_case(b"gzip") || value.eq_ignore_ascii_case(b"x-gzip");
            named.next().is_some_and(|value| gzip(value.as_bytes())) && named.next().is_none()
        };
        if packed {
            headers.remove(CONTENT_ENCODING);
            headers.remove(CONTENT_LENGTH);
        }
        let gzip = packed.then(|| MultiGzDecoder::new(Vec::new()));
        Unpack { gzip, plain: Bytes::new(), packed: 0, unpacked: 0 }
    }

    /// Whether what comes is not what goes on.
    pub(super) fn is_packed(&self) -> bool {
        self.gzip.is_some()
    }

    /// The next piece of what a chunk stands for, taken out of it; none when nothing is left of the chunk.
    pub(super) fn piece(&mut self, chunk: &mut Bytes) -> Result<Option<&[u8]>, EgressError> {
        if chunk.is_empty() {
            return Ok(None);
        }
        let Some(gzip) = &mut self.gzip else {
            self.plain = std::mem::take(chunk);
            return Ok(Some(&self.plain));
        };
        let packed = chunk.split_to(chunk.len().min(PIECE_BYTES));
        gzip.get_mut().clear();
        gzip.write_all(&packed).map_err(|fault| damaged(&fault))?;
        self.packed += packed.len() as u64;
        self.unpacked += gzip.get_ref().len() as u64;
        if self.unpacked > GROWTH_FREE_BYTES && self.unpacked > self.packed.saturating_mul(GROWTH_MAX) {
            return Err(EgressError::Grows(GROWTH_MAX));
        }
        Ok(Some(gzip.get_ref()))
    }

    /// The last piece, after all chunks. A packed body that breaks off is no body.
    pub(super) fn end(&mut self) -> Result<&[u8], EgressError> {
        // An answer to HEAD, and a 304, name the form of a body that does not come.
        let Some(gzip) = self.gzip.as_mut().filter(|_| self.packed > 0) else { return Ok(&[]) };
        gzip.get_mut().clear();
        gzip.try_finish().map_err(|fault| damaged(&fault))?;
        Ok(gzip.get_ref())
    }
}

fn damaged(fault: &io::Error) -> EgressError {
    EgressError::Connection(format!("the answer broke off or is damaged: it is not gzip as it says: {fault}"))
}

#[cfg(test)]
mod tests {
    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// Unpacks a body that comes in chunks of this many bytes; the largest piece beside it.
    fn unpacked(encoding: &str, body: &[u8], chunk: usize) -> Result<(Vec<u8>, usize), EgressError> {
        let mut headers = HeaderMap::from_iter([(CONTENT_ENCODING, encoding.parse().unwrap())]);
        let mut unpack = Unpack::of(&mut headers);
        let (mut whole, mut largest) = (Vec::new(), 0);
        for chunk in body.chunks(chunk) {
            let mut chunk = Bytes::copy_from_slice(chunk);
            while let Some(piece) = unpack.piece(&mut chunk)? {
                largest = largest.max(piece.len());
                whole.extend_from_slice(piece);
            }
        }
        let last = unpack.end()?;
        whole.extend_from_slice(last);
        Ok((whole, largest))
    }

    /// Text that packs about as well as lists of objects do.
    fn page(bytes: usize) -> Vec<u8> {
        let objects = (0..).flat_map(|id| format!("{{\"id\":{id},\"state\":\"open\",\"author\":null}},").into_bytes());
        objects.take(bytes).collect()
    }

    #[test]
    fn what_was_packed_is_there_again_whatever_the_chunks() {
        let text = page(3 << 20);
        for chunk in [1 << 10, 1_500, 100_000, usize::MAX] {
            assert!(unpacked("gzip", &gzip(&text), chunk).unwrap().0 == text, "{chunk}");
        }
        assert_eq!(unpacked("GZIP", &gzip(b"a"), 1).unwrap().0, b"a");
        assert_eq!(
            unpacked("gzip", &[gzip(b"a"), gzip(b"b")].concat(), 7).unwrap().0,
            b"ab",
            "two members are one body"
        );
        assert_eq!(unpacked("gzip", &[], 1).unwrap().0, b"", "as the answer to HEAD");
    }

    #[test]
    fn what_is_packed_in_another_way_stays_as_it_is() {
        let twice = gzip(&gzip(b"a"));
        for encoding in ["br", "zstd", "deflate", "gzip, gzip", "identity", ""] {
            assert_eq!(unpacked(encoding, &twice, 10).unwrap().0, twice, "{encoding}");
        }
        assert_eq!(unpacked("gzip", &twice, 10).unwrap().0, gzip(b"a"), "one layer and no more");
    }

    #[test]
    fn what_grows_without_measure_is_cut_off_while_it_is_small() {
        let zeros = gzip(&vec![0; 64 << 20]);
        let grown = unpacked("gzip", &zeros, usize::MAX).map(|(whole, _)| whole.len());
        assert_eq!(grown, Err(EgressError::Grows(GROWTH_MAX)));
        // Below what is measured, anything may be.
        let (whole, largest) = unpacked("gzip", &gzip(&vec![0; 1 << 20]), usize::MAX).unwrap();
        assert!(whole.len() == 1 << 20 && largest <= 1_100 * PIECE_BYTES, "{largest}");
    }

    #[test]
    fn what_is_cut_or_changed_is_no_body() {
        let whole = gzip(&page(10_000));
        for cut in [1, 9, 10, whole.len() / 2, whole.len() - 8, whole.len() - 1] {
            assert!(matches!(unpacked("gzip", &whole[..cut], 100), Err(EgressError::Connection(_))), "{cut}");
        }
        let mut changed = whole.clone();
        let middle = changed.len() / 2;
        changed[middle] ^= 1;
        assert!(matches!(unpacked("gzip", &changed, 100), Err(EgressError::Connection(_))));
        assert!(matches!(unpacked("gzip", b"{\"plain\": true}", 100), Err(EgressError::Connection(_))));
    }
}
