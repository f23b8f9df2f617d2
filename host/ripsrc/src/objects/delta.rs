//! Applying a delta, and remembering which stretches of the result came from the base: whoever has cut the base into
//! lines already need not cut those again.

/// A stretch of a result that was copied: `len` bytes at `to` are those at `from` of the base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Copied {
    pub to: usize,
    pub from: usize,
    pub len: usize,
}

/// More stretches of one object are not told: a list that a few bytes of delta could make as long as they like.
const COPIED_MAX: usize = 1 << 17;

/// Reads one of the two sizes that a delta begins with.
fn size(delta: &[u8], at: &mut usize) -> Result<u64, &'static str> {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let byte = *delta.get(*at).ok_or("a delta is cut short")?;
        *at += 1;
        if shift > 56 {
            return Err("a delta names an impossible size");
        }
        value |= u64::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            return Ok(value);
        }
    }
}

/// Bytes of what a delta makes, as it says.
pub(crate) fn result_size(delta: &[u8]) -> Result<u64, &'static str> {
    let mut at = 0;
    size(delta, &mut at)?;
    size(delta, &mut at)
}

/// Builds the result of a delta, of at most `most` bytes, in `out`, and lists in `copied` what came from the base, as far
/// as the list goes.
pub(crate) fn apply(
    base: &[u8],
    delta: &[u8],
    most: u64,
    out: &mut Vec<u8>,
    copied: &mut Vec<Copied>,
) -> Result<(), &'static str> {
    let mut at = 0;
    out.clear();
    copied.clear();
    if size(delta, &mut at)? != base.len() as u64 {
        return Err("a delta is for another base");
    }
    let size = size(delta, &mut at)?;
    if size > most {
        return Err("a delta makes an object larger than the limit");
    }
    let size = usize::try_from(size).map_err(|_| "a delta names an impossible size")?;
    out.reserve(size);
    while let Some(&op) = delta.get(at) {
        at += 1;
        if op & 0x80 != 0 {
            let mut operand = |bits: std::ops::Range<u32>| -> Result<usize, &'static str> {
                let mut value = 0;
                for (place, bit) in bits.enumerate() {
                    if op & (1 << bit) != 0 {
                        value |= (*delta.get(at).ok_or("a delta is cut short")? as usize) << (8 * place);
                        at += 1;
                    }
                }
                Ok(value)
            };
            let from = operand(0..4)?;
            let len = match operand(4..7)? {
                0 => 0x10000,
                len => len,
            };
            let piece = base.get(from..from.saturating_add(len)).ok_or("a delta copies from behind its base")?;
            if out.len() + len > size {
                return Err("a delta makes more than it says");
            }
            let listed = copied.len() < COPIED_MAX;
            match copied.last_mut() {
                // Long copies come in pieces of 64 KiB or less; whoever reads the list wants one.
                Some(last) if last.to + last.len == out.len() && last.from + last.len == from => last.len += len,
                _ if listed => copied.push(Copied { to: out.len(), from, len }),
                _ => {}
            }
            out.extend_from_slice(piece);
        } else if op != 0 {
            let piece = delta.get(at..at + op as usize).ok_or("a delta is cut short")?;
            if out.len() + piece.len() > size {
                return Err("a delta makes more than it says");
            }
            out.extend_from_slice(piece);
            at += op as usize;
        } else {
            return Err("a delta has an operation that is not defined");
        }
    }
    if out.len() == size { Ok(()) } else { Err("a delta makes less than it says") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copies_and_inserts() {
        let (mut out, mut copied) = (Vec::new(), Vec::new());
        // Base of 6, result of 7: copy 0..3, insert "XY", copy 4..6.
        let delta = [6, 7, 0x90, 3, 2, b'X', b'Y', 0x91, 4, 2];
        apply(b"abcdef", &delta, 100, &mut out, &mut copied).unwrap();
        assert_eq!(out, b"abcXYef");
        assert_eq!(copied, [Copied { to: 0, from: 0, len: 3 }, Copied { to: 5, from: 4, len: 2 }]);
        assert!(apply(b"abcdef", &delta, 6, &mut out, &mut copied).is_err());
        assert!(apply(b"abcde", &delta, 100, &mut out, &mut copied).is_err());
        for cut in 0..delta.len() {
            assert!(apply(b"abcdef", &delta[..cut], 100, &mut out, &mut copied).is_err());
        }
    }
}
