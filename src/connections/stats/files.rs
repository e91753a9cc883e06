//! Files that are complete before their first byte leaves, and the room they take until they have left.

use bytes::{Bytes, BytesMut};

use crate::shares::{Exhausted, Share};

/// A file that is being gathered. It gives its room back when it is dropped, or when its frozen bytes are.
pub(super) struct Gathered {
    bytes: BytesMut,
    room: Share,
}

impl Gathered {
    pub(super) fn in_room(room: Share) -> Self {
        Self { bytes: BytesMut::new(), room }
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    pub(super) fn append(&mut self, part: &[u8]) -> Result<(), Exhausted> {
        self.room.grow_now(part.len())?;
        self.bytes.extend_from_slice(part);
        Ok(())
    }

    pub(super) fn freeze(self) -> Bytes {
        Bytes::from_owner(self)
    }
}

impl AsRef<[u8]> for Gathered {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}
