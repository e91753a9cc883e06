//! Whose turn it is to write.
//!
//! PostgreSQL lets one transaction at a time write an organisation's row, and SQLite one at a time write at all. A
//! transaction that has to wait for that waits here, where it takes neither a thread nor a connection from others.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Mutex as Turn, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// Beyond so many organisations, those where nobody writes are forgotten.
const MANY: usize = 1_000;

/// The turns of one process.
#[derive(Clone)]
pub(super) struct Turns {
    organisations: Arc<Mutex<HashMap<String, Weak<Turn<()>>>>>,
    /// SQLite has one writer.
    writer: Option<Arc<Turn<()>>>,
    /// Fewer than there are connections, so that reading goes on whatever writers wait for.
    writers: Arc<Semaphore>,
}

/// It is the holder's turn.
#[expect(dead_code, reason = "held, not read")]
pub(super) struct Held {
    organisation: Option<OwnedMutexGuard<()>>,
    writer: Option<OwnedMutexGuard<()>>,
    place: Option<OwnedSemaphorePermit>,
}

impl Turns {
    /// Turns for so many connections.
    pub(super) fn of(connections: u32, one_writer: bool) -> Self {
        let writers = usize::try_from(connections - connections.div_ceil(4)).unwrap_or(1).max(1);
        Self {
            organisations: Arc::default(),
            writer: one_writer.then(Arc::default),
            writers: Arc::new(Semaphore::new(writers)),
        }
    }

    /// Waits for the turn of an organisation, or of a writer for several.
    pub(super) async fn take(&self, organisation: Option<&str>) -> Held {
        let organisation = match organisation {
            Some(organisation) => Some(self.turn(organisation).lock_owned().await),
            None => None,
        };
        let writer = match &self.writer {
            Some(writer) => Some(Arc::clone(writer).lock_owned().await),
            None => None,
        };
        // Nobody ever closes it.
        let place = Arc::clone(&self.writers).acquire_owned().await.ok();
        Held { organisation, writer, place }
    }

    fn turn(&self, organisation: &str) -> Arc<Turn<()>> {
        let mut organisations = self.organisations.lock();
        if let Some(turn) = organisations.get(organisation).and_then(Weak::upgrade) {
            return turn;
        }
        if organisations.len() >= MANY {
            organisations.retain(|_, turn| turn.strong_count() > 0);
        }
        let turn = Arc::default();
        organisations.insert(organisation.to_owned(), Arc::downgrade(&turn));
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    const SOON: Duration = Duration::from_millis(50);

    #[tokio::test]
    async fn an_organisation_waits_for_itself_and_not_for_others() {
        let turns = Turns::of(8, false);
        let held = turns.take(Some("acme")).await;
        assert!(timeout(SOON, turns.take(Some("acme"))).await.is_err());
        timeout(SOON, turns.take(Some("other"))).await.expect("another's turn");
        timeout(SOON, turns.take(None)).await.expect("everybody's turn");
        drop(held);
        timeout(SOON, turns.take(Some("acme"))).await.expect("its turn again");
    }

    #[tokio::test]
    async fn writers_leave_connections_to_readers() {
        let turns = Turns::of(8, false);
        let mut held = Vec::new();
        for number in 0..6 {
            held.push(timeout(SOON, turns.take(Some(&number.to_string()))).await.expect("a turn"));
        }
        assert!(timeout(SOON, turns.take(Some("late"))).await.is_err());
        held.pop();
        timeout(SOON, turns.take(Some("late"))).await.expect("a turn");
    }

    #[tokio::test]
    async fn a_file_has_one_writer() {
        let turns = Turns::of(8, true);
        let held = turns.take(Some("acme")).await;
        assert!(timeout(SOON, turns.take(Some("other"))).await.is_err());
        drop(held);
        timeout(SOON, turns.take(Some("other"))).await.expect("its turn");
    }

    #[tokio::test]
    async fn organisations_that_do_not_write_are_forgotten() {
        let turns = Turns::of(8, false);
        for number in 0..10 * MANY {
            drop(turns.take(Some(&number.to_string())).await);
        }
        assert!(turns.organisations.lock().len() <= MANY);
    }
}
