//! The right to do a piece of work that any process could do. It is a lease on a row, which is renewed while its holder
//! lives: a process that dies keeps the work from the others for ten seconds, however long it would have taken.

use std::collections::HashMap;
use std::convert::Infallible;
use std::time::Duration;

use parking_lot::Mutex;
use uuid::Uuid;

use crate::clock::{micros, now_micros};

/// How long a lease lasts that is not renewed. Everything is taken up again within 15 seconds of a restart.
const LEASE: Duration = Duration::from_secs(10);
/// A lease that seems to last longer, in microseconds, was given by a clock that has gone back since, and binds nobody. The
/// first release's lasted a minute.
pub(crate) const LONGEST_LEASE: i64 = 120 * 1_000_000;
/// How often it is renewed: two renewals may fail.
const RENEW: Duration = Duration::from_secs(3);

/// When a lease ends that is given or renewed now.
pub(crate) fn lease_end() -> i64 {
    now_micros() + micros(LEASE)
}

/// A name for the holder of a lease that no other holder has.
pub(crate) fn owner() -> String {
    Uuid::now_v7().simple().to_string()
}

/// Does work to its end while its lease is renewed. A renewal that fails is tried again.
pub(crate) async fn held<T, Renewal: Future<Output = ()>>(
    renew: impl FnMut() -> Renewal,
    work: impl Future<Output = T>,
) -> T {
    held_for(RENEW, renew, work).await
}

async fn held_for<T, Renewal: Future<Output = ()>>(
    pause: Duration,
    renew: impl FnMut() -> Renewal,
    work: impl Future<Output = T>,
) -> T {
    tokio::select! {
        outcome = work => outcome,
        never = renew_always(pause, renew) => match never {},
    }
}

async fn renew_always<Renewal: Future<Output = ()>>(pause: Duration, mut renew: impl FnMut() -> Renewal) -> Infallible {
    loop {
        tokio::time::sleep(pause).await;
        renew().await;
    }
}

/// Why a connection is verified in the background.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Work {
    /// It was saved first, and somebody waits to see whether it works.
    Deferred,
    /// Nothing has shown for long that it works.
    Check,
}

/// The right to verify one connection, as long as the lease lasts.
#[derive(Debug, Clone)]
pub(super) struct Claim {
    pub(super) work: Work,
    pub(super) organisation: String,
    pub(super) id: String,
    pub(super) owner: String,
}

/// Claims that this process holds, by the id of their row.
pub(crate) struct Claims<C>(Mutex<HashMap<String, C>>);

impl<C> Default for Claims<C> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<C: Clone> Claims<C> {
    pub(crate) fn add(&self, id: &str, claim: &C) {
        self.0.lock().insert(id.to_owned(), claim.clone());
    }

    pub(crate) fn remove(&self, id: &str) {
        self.0.lock().remove(id);
    }

    pub(crate) fn take(&self) -> Vec<C> {
        self.0.lock().drain().map(|(_, claim)| claim).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[tokio::test]
    async fn a_lease_is_renewed_for_as_long_as_the_work_takes() {
        const OFTEN: Duration = Duration::from_millis(1);
        let renewals = AtomicU32::new(0);
        let renew = || async {
            renewals.fetch_add(1, Ordering::Relaxed);
        };
        assert_eq!(held_for(OFTEN, renew, async { 7 }).await, 7);
        assert_eq!(renewals.load(Ordering::Relaxed), 0);
        let work = async {
            while renewals.load(Ordering::Relaxed) < 5 {
                tokio::time::sleep(OFTEN).await;
            }
        };
        held_for(OFTEN, renew, work).await;
    }

    #[test]
    fn two_renewals_may_fail() {
        assert!(3 * RENEW < LEASE);
    }
}
