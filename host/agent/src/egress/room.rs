//! The room that one caller's requests and answers may take in memory together, counted as they are held. Who asks for more
//! gets an error and goes on with what it has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{EgressError, Response};

/// So much room, shared by all that is held in it.
#[derive(Debug, Clone)]
pub(crate) struct Room {
    held: Arc<AtomicUsize>,
    bytes_max: usize,
}

impl Room {
    pub(crate) fn new(bytes_max: usize) -> Room {
        Room { held: Arc::default(), bytes_max }
    }

    /// A part of the room, with nothing in it yet.
    pub(crate) fn part(&self) -> Held {
        Held { room: self.clone(), bytes: 0 }
    }

    /// Bytes held in it now.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::SeqCst)
    }
}

/// What one request or answer holds of its room; given back when it goes.
#[derive(Debug)]
pub(crate) struct Held {
    room: Room,
    bytes: usize,
}

impl Held {
    /// Takes more room, or none of it if there is not enough.
    pub(crate) fn grow(&mut self, by: usize) -> Result<(), EgressError> {
        let max = self.room.bytes_max;
        let fits = |held: usize| held.checked_add(by).filter(|held| *held <= max);
        match self.room.held.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fits) {
            Ok(_) => {
                self.bytes += by;
                Ok(())
            }
            Err(_) => Err(EgressError::NoRoom(max)),
        }
    }

    /// Gives all of it back.
    pub(super) fn clear(&mut self) {
        self.room.held.fetch_sub(std::mem::take(&mut self.bytes), Ordering::SeqCst);
    }

    /// Makes room in `body` for a piece, at most for `bytes_max` in all, and counts what that takes.
    pub(super) fn reserve(&mut self, body: &mut Vec<u8>, piece: usize, bytes_max: usize) -> Result<(), EgressError> {
        let (needed, has) = (body.len() + piece, body.capacity());
        if needed > has {
            // Doubled, so that it is not copied for each piece, and never beyond what it may have.
            let wanted = needed.max(has.saturating_mul(2).min(bytes_max));
            self.grow(wanted - has)?;
            body.reserve_exact(wanted - body.len());
        }
        Ok(())
    }

    /// Counts an answer's head.
    pub(super) fn head(&mut self, answer: &Response) -> Result<(), EgressError> {
        self.grow(fields_bytes(&answer.headers).saturating_add(answer.url.len()))
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.bytes, Ordering::SeqCst);
    }
}

/// What header fields take.
pub(crate) fn fields_bytes(fields: &[(String, String)]) -> usize {
    let texts: usize = fields.iter().map(|(name, value)| name.len() + value.len()).sum();
    texts + size_of_val(fields)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_counted_together_and_given_back() {
        let room = Room::new(100);
        let (mut one, mut other) = (room.part(), room.part());
        assert_eq!(one.grow(60), Ok(()));
        assert_eq!(other.grow(41), Err(EgressError::NoRoom(100)));
        assert_eq!(other.grow(40), Ok(()));
        assert_eq!(other.grow(usize::MAX), Err(EgressError::NoRoom(100)));
        drop(one);
        assert_eq!((room.held(), other.grow(60)), (40, Ok(())));
        drop(other);
        assert_eq!(room.held(), 0);
    }

    /// The vector has what was counted: no more, and never more than it may have.
    #[test]
    fn a_body_that_grows_is_counted_by_its_capacity() {
        let room = Room::new(1 << 20);
        let (mut held, mut body) = (room.part(), Vec::new());
        for piece in [1, 10, 100, 1000, 500, 389] {
            held.reserve(&mut body, piece, 2000).unwrap();
            body.resize(body.len() + piece, 0);
            assert_eq!(room.held(), body.capacity());
        }
        assert_eq!((body.len(), body.capacity()), (2000, 2000));
    }
}
