//! Sorting and writing long tables, which would hold everyone up on the threads that answer.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use crate::problem::Problem;

/// Tables with fewer rows are written on the spot.
pub(super) const LONG: usize = 2_000;
/// Beyond so many organisations, those where nothing is being written are forgotten.
const MANY: usize = 1_000;

/// Locks for writing long tables: one of each organisation is written at a time.
#[derive(Default)]
pub(in crate::connections) struct Heavy {
    locks: Mutex<HashMap<String, Weak<AsyncMutex<()>>>>,
}

impl Heavy {
    /// Does this on a thread that nobody waits on, once it has the organisation's lock.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        organisation: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Problem> {
        let lock = self.lock_of(organisation).lock_owned().await;
        let working = tokio::task::spawn_blocking(move || {
            // Kept until it is done, whatever becomes of the caller.
            let _lock = lock;
            work()
        });
        working.await.map_err(|error| Problem::internal(error.to_string()))
    }

    fn lock_of(&self, organisation: &str) -> Arc<AsyncMutex<()>> {
        let mut locks = self.locks.lock();
        if let Some(lock) = locks.get(organisation).and_then(Weak::upgrade) {
            return lock;
        }
        if locks.len() >= MANY {
            locks.retain(|_, lock| lock.strong_count() > 0);
        }
        let lock = Arc::default();
        locks.insert(organisation.to_owned(), Arc::downgrade(&lock));
        lock
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use futures_util::future::join_all;

    use super::*;

    #[tokio::test]
    async fn an_organisation_has_one_long_table_written_at_a_time_and_others_have_theirs() {
        let heavy = Heavy::default();
        let (running, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let work = |organisation: &'static str| {
            let (running, most) = (Arc::clone(&running), Arc::clone(&most));
            heavy.run(organisation, move || {
                most.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                std::thread::sleep(Duration::from_millis(20));
                running.fetch_sub(1, Ordering::SeqCst);
            })
        };
        join_all((0..4).map(|_| work("acme"))).await;
        assert_eq!(most.load(Ordering::SeqCst), 1);
        join_all((0..4).map(|number| work(["a", "b", "c", "d"][number]))).await;
        assert!(most.load(Ordering::SeqCst) > 1);
    }
}
