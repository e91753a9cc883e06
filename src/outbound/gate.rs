//! Who may call an origin, or use an account there, next: so many at the same time, so often a second, and each
//! organisation in its turn.
//!
//! Waiting calls stand in one lane per tenant, and a place that gets free goes to the lanes in rotation, so a tenant
//! with hundreds of waiting calls delays another's first by one call at most for each place.

use std::collections::VecDeque;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::sync::oneshot;

use super::Allowance;
use super::quiet::Quiet;
use crate::metrics;

/// How many calls of one tenant, and of all, may wait at one gate before further ones are turned away.
const MAX_WAITING_OF_TENANT: usize = 2_000;
const MAX_WAITING: usize = 10_000;

/// The gate of one origin, or of one account.
pub(super) struct Gate {
    lanes: Arc<Mutex<Lanes>>,
    pace: Option<DefaultDirectRateLimiter>,
    /// Of an account: how long it asked to be left alone.
    pub(super) quiet: Quiet,
}

struct Lanes {
    free: usize,
    /// The lanes in the order of their turns; none is empty.
    waiting: VecDeque<Lane>,
}

struct Lane {
    tenant: u64,
    /// A call that was given up leaves a closed sender behind.
    calls: VecDeque<oneshot::Sender<Place>>,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// A place among the calls that may run at the same time; free again when dropped.
pub(super) struct Place {
    lanes: Arc<Mutex<Lanes>>,
}

/// How often calls may be made.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Calls a second, on average.
    pub per_second: NonZeroU32,
    /// Calls in a row after a while of rest.
    pub burst: NonZeroU32,
}

impl Pace {
    /// A pace; a zero is taken for a one.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: at_least_one(per_second), burst: at_least_one(burst) }
    }
}

const fn at_least_one(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}

impl Gate {
    pub(super) fn new(allowance: Allowance) -> Self {
        let pace =
            allowance.pace.map(|pace| RateLimiter::direct(Quota::per_second(pace.per_second).allow_burst(pace.burst)));
        let lanes = Lanes { free: allowance.concurrency, waiting: VecDeque::new() };
        Self { lanes: Arc::new(Mutex::new(lanes)), pace, quiet: Quiet::default() }
    }

    /// Waits for a place in this tenant's turn. Giving up at any moment loses no place.
    pub(super) async fn enter(&self, tenant: u64) -> Result<Place, Full> {
        match self.ask(tenant)? {
            Turn::Now(place) => Ok(place),
            Turn::Later(turn) => {
                let _waiting = metrics::upstream_waiting();
                // The sender is kept until it is used: the lanes outlive everyone who waits.
                turn.await.map_err(|_| Full)
            }
        }
    }

    /// Waits for the moment at which the pace allows a call.
    pub(super) async fn keep_pace(&self) {
        if let Some(pace) = &self.pace {
            pace.until_ready().await;
        }
    }

    fn ask(&self, tenant: u64) -> Result<Turn, Full> {
        let mut lanes = lock(&self.lanes);
        if lanes.free > 0 {
            lanes.free -= 1;
            return Ok(Turn::Now(Place { lanes: Arc::clone(&self.lanes) }));
        }
        let (sender, turn) = oneshot::channel();
        lanes.queue(tenant, sender)?;
        Ok(Turn::Later(turn))
    }
}

enum Turn {
    Now(Place),
    Later(oneshot::Receiver<Place>),
}

impl Lanes {
    fn queue(&mut self, tenant: u64, call: oneshot::Sender<Place>) -> Result<(), Full> {
        if self.is_full(tenant) {
            self.forget_leavers();
            if self.is_full(tenant) {
                return Err(Full);
            }
        }
        match self.waiting.iter_mut().find(|lane| lane.tenant == tenant) {
            Some(lane) => lane.calls.push_back(call),
            None => self.waiting.push_back(Lane { tenant, calls: VecDeque::from([call]) }),
        }
        Ok(())
    }

    fn is_full(&self, tenant: u64) -> bool {
        let own = self.waiting.iter().find(|lane| lane.tenant == tenant).map_or(0, |lane| lane.calls.len());
        own >= MAX_WAITING_OF_TENANT || self.waiting.iter().map(|lane| lane.calls.len()).sum::<usize>() >= MAX_WAITING
    }

    fn forget_leavers(&mut self) {
        for lane in &mut self.waiting {
            lane.calls.retain(|call| !call.is_closed());
        }
        self.waiting.retain(|lane| !lane.calls.is_empty());
    }

    /// The call whose turn it is; its lane goes to the end.
    fn next(&mut self) -> Option<oneshot::Sender<Place>> {
        let mut lane = self.waiting.pop_front()?;
        let call = lane.calls.pop_front();
        if !lane.calls.is_empty() {
            self.waiting.push_back(lane);
        }
        call
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut lanes = lock(&self.lanes);
        loop {
            match lanes.next() {
                Some(call) if call.is_closed() => {}
                Some(call) => {
                    // Unlocked first: if the call is given up just now, its place comes back here.
                    drop(lanes);
                    drop(call.send(Self { lanes: Arc::clone(&self.lanes) }));
                    return;
                }
                None => {
                    lanes.free += 1;
                    return;
                }
            }
        }
    }
}

fn lock(lanes: &Mutex<Lanes>) -> MutexGuard<'_, Lanes> {
    lanes.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;

    fn gate(concurrency: usize) -> Gate {
        Gate::new(Allowance { concurrency, pace: None })
    }

    /// Asks for a place, and is in the queue when this returns.
    fn queued(gate: &Gate, tenant: u64) -> BoxFuture<'_, Result<Place, Full>> {
        let mut waiting = gate.enter(tenant).boxed();
        assert!((&mut waiting).now_or_never().is_none(), "a place at once");
        waiting
    }

    fn now(gate: &Gate, tenant: u64) -> Place {
        match gate.enter(tenant).now_or_never() {
            Some(Ok(place)) => place,
            _ => panic!("there is no place"),
        }
    }

    #[test]
    fn a_crowd_does_not_starve_a_newcomer() {
        let gate = gate(1);
        let running = now(&gate, 1);
        let mut crowd: VecDeque<_> = (0..500).map(|_| queued(&gate, 1)).collect();
        let mut newcomer = queued(&gate, 2);
        drop(running);
        let first = crowd.pop_front().and_then(FutureExt::now_or_never).expect("the longest wait").ok();
        assert!((&mut newcomer).now_or_never().is_none());
        drop(first);
        assert!((&mut newcomer).now_or_never().is_some(), "the newcomer is next");
    }

    #[test]
    fn who_gives_up_loses_no_place() {
        let gate = gate(1);
        let running = now(&gate, 1);
        drop(queued(&gate, 1));
        let handed_over = queued(&gate, 2);
        let last = queued(&gate, 3);
        drop(running);
        drop(handed_over);
        assert!(last.now_or_never().is_some());
        drop(now(&gate, 1));
    }

    #[test]
    fn the_queue_is_bounded_by_tenant_and_forgets_who_left() {
        let gate = gate(1);
        let running = now(&gate, 1);
        let crowd: Vec<_> = (0..MAX_WAITING_OF_TENANT).map(|_| queued(&gate, 1)).collect();
        assert!(matches!(gate.enter(1).now_or_never(), Some(Err(Full))));
        let other = queued(&gate, 2);
        drop(crowd);
        drop(queued(&gate, 1));
        drop(running);
        assert!(other.now_or_never().is_some());
    }

    proptest::proptest! {
        #[test]
        fn never_more_run_than_there_are_places_and_none_gets_lost(
            places in 1_usize..4,
            steps in proptest::collection::vec((0_u64..4, 0_u8..4), 1..200),
        ) {
            let gate = gate(places);
            let mut waiting: Vec<BoxFuture<'_, Result<Place, Full>>> = Vec::new();
            let mut running: Vec<Place> = Vec::new();
            for (tenant, step) in steps {
                match step {
                    0 | 1 => waiting.push(gate.enter(tenant).boxed()),
                    2 => drop((!running.is_empty()).then(|| running.swap_remove(0))),
                    _ => drop((!waiting.is_empty()).then(|| waiting.swap_remove(0))),
                }
                let mut still = Vec::new();
                for mut call in waiting {
                    match (&mut call).now_or_never() {
                        Some(place) => running.extend(place.ok()),
                        None => still.push(call),
                    }
                }
                waiting = still;
                proptest::prop_assert!(running.len() <= places);
            }
            drop((waiting, running));
            let all: Vec<Place> = (0..places).map(|_| now(&gate, 9)).collect();
            proptest::prop_assert_eq!(all.len(), places);
        }
    }
}
