//! How much of large bodies is in memory at the same time, of all of them together.
//!
//! One tracker's answer is bounded anyway; this bounds many large ones at once, whoever sends them. An honest page is far
//! below a mebibyte, so that nobody meets this bound but those who try.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of answers, after decompression.
const MOST_AT_ONCE: usize = 256 * 1024 * 1024;

/// The most memory that an answer gets before it is there.
const MAX_RESERVED_BYTES: usize = 1024 * 1024;

/// Room for answers.
#[derive(Clone)]
pub(crate) struct Memory {
    free: Arc<Semaphore>,
}

/// There is no room left.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Exhausted;

/// A body being gathered. It gives its room back when it is dropped, or when its frozen bytes are.
pub(crate) struct Body {
    bytes: BytesMut,
    room: Option<OwnedSemaphorePermit>,
    free: Arc<Semaphore>,
}

impl Default for Memory {
    fn default() -> Self {
        Self::of(MOST_AT_ONCE)
    }
}

impl Memory {
    /// Room for so many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(bytes)) }
    }

    /// An answer that is announced to be so large. What is announced is only believed within reason.
    pub(crate) fn body(&self, announced: Option<u64>) -> Body {
        let announced = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        let bytes = BytesMut::with_capacity(announced.min(MAX_RESERVED_BYTES));
        Body { bytes, room: None, free: Arc::clone(&self.free) }
    }
}

impl Body {
    pub(crate) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(crate) fn append(&mut self, chunk: &[u8]) -> Result<(), Exhausted> {
        let wanted = u32::try_from(chunk.len()).map_err(|_| Exhausted)?;
        let more = Arc::clone(&self.free).try_acquire_many_owned(wanted).map_err(|_| Exhausted)?;
        match &mut self.room {
            Some(room) => room.merge(more),
            None => self.room = Some(more),
        }
        self.bytes.extend_from_slice(chunk);
        Ok(())
    }

    pub(crate) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Body {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_answers_share_one_bound_until_their_bytes_are_dropped() {
        let memory = Memory::of(10);
        let mut first = memory.body(None);
        first.append(b"123456").expect("room");
        let mut second = memory.body(None);
        second.append(b"1234").expect("room");
        assert_eq!(second.append(b"5"), Err(Exhausted));
        let frozen = first.freeze();
        let copy = frozen.clone();
        drop(frozen);
        assert_eq!(second.append(b"5"), Err(Exhausted));
        assert_eq!(copy, "123456");
        drop(copy);
        second.append(b"5").expect("room again");
        drop(second);
        assert_eq!(memory.free.available_permits(), 10);
    }
}
