//! The locks that a writer takes before its transaction.
//!
//! PostgreSQL lets one transaction at a time write an organisation's row, and SQLite one at a time write at all. A
//! transaction that has to wait for that waits here, where it takes neither a thread nor a connection from others.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

/// Beyond so many organisations, those where nobody writes are forgotten.
const MANY: usize = 1_000;

/// The locks of one process, by organisation.
#[derive(Clone)]
pub(super) struct WriteLocks {
    organisations: Arc<Mutex<HashMap<String, Weak<AsyncMutex<()>>>>>,
    /// SQLite has one writer.
    writer: Option<Arc<AsyncMutex<()>>>,
    /// Fewer than there are connections, so that reading goes on whatever writers wait for.
    writers: Arc<Semaphore>,
}

/// The locks of one writer, until it is dropped.
#[expect(dead_code, reason = "held, not read")]
pub(super) struct WriteGuard {
    organisation: Option<OwnedMutexGuard<()>>,
    writer: Option<OwnedMutexGuard<()>>,
    permit: Option<OwnedSemaphorePermit>,
}

impl WriteLocks {
    /// Locks for so many connections.
    pub(super) fn of(connections: u32, one_writer: bool) -> Self {
        let writers = usize::try_from(connections - connections.div_ceil(4)).unwrap_or(1).max(1);
        Self {
            organisations: Arc::default(),
            writer: one_writer.then(Arc::default),
            writers: Arc::new(Semaphore::new(writers)),
        }
    }

    /// Waits for the locks of a writer of one organisation, or of several where none is named.
    pub(super) async fn take(&self, organisation: Option<&str>) -> WriteGuard {
        let organisation = match organisation {
            Some(organisation) => Some(self.lock_of(organisation).lock_owned().await),
            None => None,
        };
        let writer = match &self.writer {
            Some(writer) => Some(Arc::clone(writer).lock_owned().await),
            None => None,
        };
        // Nobody ever closes it.
        let permit = Arc::clone(&self.writers).acquire_owned().await.ok();
        WriteGuard { organisation, writer, permit }
    }

    fn lock_of(&self, organisation: &str) -> Arc<AsyncMutex<()>> {
        let mut organisations = self.organisations.lock();
        if let Some(lock) = organisations.get(organisation).and_then(Weak::upgrade) {
            return lock;
        }
        if organisations.len() >= MANY {
            organisations.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::default();
        organisations.insert(organisation.to_owned(), Arc::downgrade(&lock));
        lock
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
        let locks = WriteLocks::of(8, false);
        let held = locks.take(Some("acme")).await;
        assert!(timeout(SOON, locks.take(Some("acme"))).await.is_err());
        timeout(SOON, locks.take(Some("other"))).await.expect("another's lock");
        timeout(SOON, locks.take(None)).await.expect("the lock of all");
        drop(held);
        timeout(SOON, locks.take(Some("acme"))).await.expect("its lock again");
    }

    #[tokio::test]
    async fn writers_leave_connections_to_readers() {
        let locks = WriteLocks::of(8, false);
        let mut held = Vec::new();
        for number in 0..6 {
            held.push(timeout(SOON, locks.take(Some(&number.to_string()))).await.expect("a lock"));
        }
        assert!(timeout(SOON, locks.take(Some("late"))).await.is_err());
        held.pop();
        timeout(SOON, locks.take(Some("late"))).await.expect("a lock");
    }

    #[tokio::test]
    async fn a_file_has_one_writer() {
        let locks = WriteLocks::of(8, true);
        let held = locks.take(Some("acme")).await;
        assert!(timeout(SOON, locks.take(Some("other"))).await.is_err());
        drop(held);
        timeout(SOON, locks.take(Some("other"))).await.expect("its lock");
    }

    #[tokio::test]
    async fn organisations_that_do_not_write_are_forgotten() {
        let locks = WriteLocks::of(8, false);
        for number in 0..10 * MANY {
            drop(locks.take(Some(&number.to_string())).await);
        }
        assert!(locks.organisations.lock().len() <= MANY);
    }
}
