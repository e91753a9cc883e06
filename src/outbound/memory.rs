//! How much of trackers' answers is in memory at the same time, of all of them together and of each organisation's.
//!
//! One tracker's answer is bounded anyway; this bounds many large ones at once, from all trackers. An honest page is far
//! below a mebibyte, so that nobody meets this bound but those who try.

use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};

use crate::shares::{Exhausted, Owner, Pool, Share};
use crate::sizing::Sizing;

/// The most memory that an answer gets before it is there.
const MAX_RESERVED_BYTES: usize = 1024 * 1024;

/// An answer that has taken more than so much has to go on at this pace: the room it takes others wait for.
const PACE_BYTES: usize = 1024 * 1024;
const PACE: Duration = Duration::from_secs(10);

/// Room for answers. Clones share it.
#[derive(Clone)]
pub(super) struct Memory(Pool);

/// A body being gathered. It gives its room back when it is dropped, or when its frozen bytes are.
pub(super) struct Body {
    bytes: BytesMut,
    room: Share,
    /// How much was there at the last milestone, and how long its tracker was waited for since.
    milestone: (usize, Duration),
}

impl Memory {
    /// Room for so many bytes, half of them for one organisation.
    pub(super) fn of(sizing: &Sizing) -> Self {
        Self(Pool::new(sizing.upstream, sizing.upstream / 2))
    }

    /// An answer that is announced to be so large. What is announced is only believed within reason.
    pub(super) fn body(&self, owner: Owner, announced: Option<u64>) -> Body {
        let announced = announced.and_then(|length| usize::try_from(length).ok()).unwrap_or_default();
        let bytes = BytesMut::with_capacity(announced.min(MAX_RESERVED_BYTES));
        Body { bytes, room: self.0.share_of(owner), milestone: (0, Duration::ZERO) }
    }
}

impl Body {
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Adds a part, and waits for its room until the deadline.
    pub(super) async fn append(&mut self, part: &[u8], deadline: Instant) -> Result<(), Exhausted> {
        self.room.grow(part.len(), deadline).await?;
        self.bytes.extend_from_slice(part);
        let (bytes, _) = self.milestone;
        if self.bytes.len() - bytes >= PACE_BYTES {
            self.milestone = (self.bytes.len(), Duration::ZERO);
        }
        Ok(())
    }

    /// Waits for the next part: not for long, if the answer is so large that others may wait for its room.
    pub(super) async fn next<T>(&mut self, part: impl Future<Output = T>) -> Option<T> {
        let (bytes, waited) = self.milestone;
        let started = Instant::now();
        let timeout = if self.bytes.len() > PACE_BYTES { PACE.saturating_sub(waited) } else { Duration::MAX };
        let next = tokio::time::timeout(timeout, part).await.ok();
        self.milestone = (bytes, waited + started.elapsed());
        next
    }

    pub(super) fn freeze(self) -> Bytes {
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
    use futures_util::FutureExt;

    use super::*;

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3_600)
    }

    #[tokio::test]
    async fn all_answers_share_one_bound_until_their_bytes_are_dropped() {
        let memory = Memory(Pool::new(10, 10));
        let (mut first, mut second) = (memory.body(Owner::of(1), None), memory.body(Owner::of(2), None));
        first.append(b"123456", later()).await.expect("room");
        second.append(b"1234", later()).await.expect("room");
        let frozen = first.freeze();
        let copy = frozen.clone();
        drop(frozen);
        let mut waits = second.append(b"5", later()).boxed();
        assert!((&mut waits).now_or_never().is_none());
        assert_eq!(copy, "123456");
        drop(copy);
        assert_eq!(waits.await, Ok(()));
        drop(second);
        assert_eq!(memory.0.held(), 0);
    }

    #[tokio::test]
    async fn an_answer_that_does_not_come_in_time_goes_without() {
        let memory = Memory(Pool::new(10, 5));
        let mut body = memory.body(Owner::of(1), None);
        body.append(b"12345", later()).await.expect("room");
        assert_eq!(body.append(b"6", later()).await, Err(Exhausted), "more than one organisation has");
    }

    #[tokio::test]
    async fn a_large_answer_has_to_go_on_and_a_trickle_is_no_progress() {
        let memory = Memory::of(&Sizing::default());
        let mut body = memory.body(Owner::of(1), None);
        body.append(&vec![0; PACE_BYTES + 1], later()).await.expect("room");
        body.milestone.1 = PACE / 2;
        assert_eq!(body.next(async { 7 }).await, Some(7));
        body.append(&[0; 1_000], later()).await.expect("room");
        assert!(body.milestone.1 >= PACE / 2);
        body.milestone.1 = PACE;
        assert_eq!(body.next(std::future::pending::<()>()).await, None);
        body.append(&vec![0; PACE_BYTES], later()).await.expect("room");
        assert_eq!(body.milestone.1, Duration::ZERO);
    }
}
