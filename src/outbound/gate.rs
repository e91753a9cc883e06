//! Who may call an origin, or use an account there, next: so many at the same time, so often a second, and each
//! organisation in its turn.
//!
//! Waiting calls stand in one lane per tenant, and a place that gets free goes to the lanes in rotation, so a tenant
//! with hundreds of waiting calls delays another's first by one call at most for each place.
//!
//! How many places there are is found out as calls go on (`growth`): more where the tracker bears more.
//!
//! Checks in the background stand behind all lanes. They leave half of the places free (unless there is one only), and three
//! quarters of the pace, so that a call that somebody waits for finds a place as if there were none of them.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use parking_lot::Mutex;
use tokio::sync::oneshot;

use super::allowance::{Allowance, Pace};
use super::back_off::BackOff;
use super::growth::{Change, Growth};
use super::recent::Recent;
use super::scope::Purpose;
use crate::metrics;

/// How many calls of one tenant, and of all, may wait at one gate before further ones are turned away.
const MAX_WAITING_OF_TENANT: usize = MAX_WAITING / 8;
const MAX_WAITING: usize = 10_000;

/// The gate of one origin, or of one account.
pub(super) struct Gate {
    lanes: Arc<Mutex<Lanes>>,
    pace: Option<DefaultDirectRateLimiter>,
    /// What checks also keep to.
    pace_behind: Option<DefaultDirectRateLimiter>,
    /// Of an account: how long its calls took lately.
    pub(super) recent: Recent,
    /// Of an account: how long it asked to be left alone.
    pub(super) back_off: BackOff,
}

struct Lanes {
    /// Places that are taken; more than there are where their number has just gone down.
    taken: usize,
    growth: Growth,
    /// Shows the number of places of an account.
    shown: Option<metrics::PlacesGauge>,
    /// Checks. One that was given up leaves a closed sender behind.
    behind: VecDeque<oneshot::Sender<Permit>>,
    /// The lanes in the order of their turns; none is empty.
    waiting: VecDeque<Lane>,
}

struct Lane {
    tenant: u64,
    /// A call that was given up leaves a closed sender behind.
    calls: VecDeque<oneshot::Sender<Permit>>,
}

/// The queue is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Full;

/// A place among the calls that may run at the same time; free again when dropped.
pub(super) struct Permit {
    lanes: Arc<Mutex<Lanes>>,
}

impl Gate {
    /// The gate of an origin. What one account meets there takes no place away from the others: it never has fewer than
    /// it begins with.
    pub(super) fn of_origin(allowance: Allowance) -> Self {
        Self::new(allowance, allowance.concurrency, None)
    }

    /// The gate of an account of this platform.
    pub(super) fn of_account(allowance: Allowance, platform: &str) -> Self {
        Self::new(allowance, 1, Some(metrics::places(platform, allowance.concurrency)))
    }

    fn new(allowance: Allowance, least: usize, shown: Option<metrics::PlacesGauge>) -> Self {
        let limiter = |pace: Pace| RateLimiter::direct(Quota::per_second(pace.per_second).allow_burst(pace.burst));
        let growth = Growth::new(allowance, least);
        let lanes = Lanes { taken: 0, growth, shown, behind: VecDeque::new(), waiting: VecDeque::new() };
        Self {
            lanes: Arc::new(Mutex::new(lanes)),
            pace: allowance.pace.map(limiter),
            pace_behind: allowance.pace.map(Pace::behind).map(limiter),
            recent: Recent::default(),
            back_off: BackOff::default(),
        }
    }

    /// How many calls may go at the same time.
    pub(super) fn places(&self) -> usize {
        self.lanes.lock().growth.places()
    }

    /// A call with a place here was answered after this time.
    pub(super) fn record_answer(&self, time: Duration) -> Option<Change> {
        self.change(|lanes| if lanes.has_no_place() { lanes.growth.record_answer(time) } else { None })
    }

    /// A call with a place here, gone out at `began`, was one too many.
    pub(super) fn record_overload(&self, began: Instant) -> Option<Change> {
        self.change(|lanes| lanes.growth.record_overload(began, Instant::now()))
    }

    /// Takes over what other processes have found out about the number of places.
    pub(super) fn adopt(&self, places: usize) {
        self.change(|lanes| lanes.growth.adopt(places));
    }

    fn change<T>(&self, change: impl FnOnce(&mut Lanes) -> T) -> T {
        let changed = {
            let mut lanes = self.lanes.lock();
            let changed = change(&mut lanes);
            let places = lanes.growth.places();
            lanes.shown.iter_mut().for_each(|shown| shown.set(places));
            changed
        };
        hand_out(&self.lanes);
        changed
    }

    /// Waits for a place that nobody else wants. Giving up at any moment loses no place.
    pub(super) async fn enter_behind(&self) -> Result<Permit, Full> {
        let turn = {
            let mut lanes = self.lanes.lock();
            if lanes.waiting.is_empty() && lanes.free() > lanes.reserved() {
                lanes.taken += 1;
                return Ok(Permit { lanes: Arc::clone(&self.lanes) });
            }
            let (sender, turn) = oneshot::channel();
            lanes.behind.push_back(sender);
            turn
        };
        turn.await.map_err(|_| Full)
    }

    /// Waits for a place in this tenant's turn. Giving up at any moment loses no place.
    pub(super) async fn enter(&self, tenant: u64) -> Result<Permit, Full> {
        match self.ask(tenant)? {
            Entry::Now(permit) => Ok(permit),
            Entry::Later(turn) => {
                let _waiting = metrics::upstream_waiting();
                // The sender is kept until it is used: the lanes outlive everyone who waits.
                turn.await.map_err(|_| Full)
            }
        }
    }

    /// Waits for the moment at which the pace allows a call.
    pub(super) async fn keep_pace(&self, purpose: Purpose) {
        let behind = self.pace_behind.as_ref().filter(|_| purpose == Purpose::Check);
        for pace in [behind, self.pace.as_ref()].into_iter().flatten() {
            pace.until_ready().await;
        }
    }

    fn ask(&self, tenant: u64) -> Result<Entry, Full> {
        let mut lanes = self.lanes.lock();
        if lanes.free() > 0 {
            lanes.taken += 1;
            return Ok(Entry::Now(Permit { lanes: Arc::clone(&self.lanes) }));
        }
        let (sender, turn) = oneshot::channel();
        lanes.queue(tenant, sender)?;
        Ok(Entry::Later(turn))
    }
}

enum Entry {
    Now(Permit),
    Later(oneshot::Receiver<Permit>),
}

impl Lanes {
    fn free(&self) -> usize {
        self.growth.places().saturating_sub(self.taken)
    }

    /// Places that are left free when one is given to a check: half of them, unless there is one only.
    fn reserved(&self) -> usize {
        self.growth.places() / 2
    }

    fn has_no_place(&self) -> bool {
        self.taken >= self.growth.places()
    }

    fn queue(&mut self, tenant: u64, call: oneshot::Sender<Permit>) -> Result<(), Full> {
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

    /// The call whose turn it is; its lane goes to the end. Checks come last, and leave places free.
    fn next(&mut self) -> Option<oneshot::Sender<Permit>> {
        let Some(mut lane) = self.waiting.pop_front() else {
            return if self.free() > self.reserved() { self.behind.pop_front() } else { None };
        };
        let call = lane.calls.pop_front();
        if !lane.calls.is_empty() {
            self.waiting.push_back(lane);
        }
        call
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.lanes.lock().taken -= 1;
        hand_out(&self.lanes);
    }
}

/// Gives free places to those whose turn it is.
fn hand_out(lanes: &Arc<Mutex<Lanes>>) {
    loop {
        let mut guard = lanes.lock();
        if guard.has_no_place() {
            return;
        }
        let Some(call) = guard.next() else { return };
        if !call.is_closed() {
            guard.taken += 1;
            // Unlocked first: if the call is given up just now, its place comes back through here.
            drop(guard);
            drop(call.send(Permit { lanes: Arc::clone(lanes) }));
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;

    fn gate(concurrency: usize) -> Gate {
        Gate::of_origin(Allowance::of(concurrency))
    }

    /// Asks for a place, and is in the queue when this returns.
    fn queued(gate: &Gate, tenant: u64) -> BoxFuture<'_, Result<Permit, Full>> {
        let mut waiting = gate.enter(tenant).boxed();
        assert!((&mut waiting).now_or_never().is_none(), "a place at once");
        waiting
    }

    fn now(gate: &Gate, tenant: u64) -> Permit {
        match gate.enter(tenant).now_or_never() {
            Some(Ok(permit)) => permit,
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

    fn check(gate: &Gate) -> BoxFuture<'_, Result<Permit, Full>> {
        gate.enter_behind().boxed()
    }

    #[test]
    fn checks_leave_half_of_the_places_free_and_wait_for_everybody_else() {
        let gate = gate(4);
        let mut checks: Vec<_> = (0..3).filter_map(|_| check(&gate).now_or_never()).collect();
        assert_eq!(checks.len(), 2, "two places are left to others");
        let (first, second) = (now(&gate, 1), now(&gate, 1));
        let (mut late, mut person) = (check(&gate), queued(&gate, 1));
        assert!((&mut late).now_or_never().is_none());
        drop(checks.pop());
        let third = (&mut person).now_or_never().expect("before any check").ok();
        drop(checks.pop());
        drop(first);
        assert!((&mut late).now_or_never().is_none(), "two places are free, and those are left to others");
        drop(second);
        assert!((&mut late).now_or_never().is_some());
        drop(third);
    }

    #[test]
    fn where_there_is_one_place_a_check_has_it_when_nobody_else_wants_it() {
        let gate = gate(1);
        let running = now(&gate, 1);
        let (mut late, mut person) = (check(&gate), queued(&gate, 1));
        assert!((&mut late).now_or_never().is_none());
        drop(running);
        let turn = (&mut person).now_or_never().expect("before any check");
        assert!((&mut late).now_or_never().is_none());
        drop(turn);
        assert!((&mut late).now_or_never().is_some());
    }

    /// Since when a call waits, whether it is a check's, and what it waits for.
    type Waiting<'a> = (u64, bool, BoxFuture<'a, Result<Permit, Full>>);

    /// A gate in time that is counted and not lived through.
    #[derive(Default)]
    struct Simulation<'a> {
        waiting: Vec<Waiting<'a>>,
        running: Vec<(u64, bool, Permit)>,
        waits: Vec<u64>,
        checked: u32,
    }

    /// One step, in milliseconds.
    const STEP: u64 = 20;
    /// How long a tracker takes for a call, in steps.
    const CALL: u64 = 15;

    impl<'a> Simulation<'a> {
        /// Pulls every fifth of a second, and so many checks that are all due from the start, four of them under way.
        fn run(gate: &'a Gate, checks: u32, steps: u64) -> Self {
            let mut simulation = Self::default();
            for step in 0..steps {
                simulation.running.retain(|(until, ..)| *until > step);
                let under_way = simulation.waiting.iter().filter(|(_, is_check, _)| *is_check).count()
                    + simulation.running.iter().filter(|(_, is_check, _)| *is_check).count();
                for _ in under_way..usize::try_from(checks - simulation.checked.min(checks)).expect("a size").min(4) {
                    simulation.waiting.push((step, true, check(gate)));
                }
                if step % 10 == 0 {
                    simulation.waiting.push((step, false, gate.enter(step % 7).boxed()));
                }
                let mut still = Vec::new();
                for (since, is_check, mut call) in simulation.waiting.drain(..) {
                    match (&mut call).now_or_never() {
                        None => still.push((since, is_check, call)),
                        Some(place) => {
                            let Ok(place) = place else { panic!("it is full") };
                            simulation.running.push((step + CALL, is_check, place));
                            simulation.checked += u32::from(is_check);
                            simulation.waits.extend((!is_check).then_some((step - since) * STEP));
                        }
                    }
                }
                simulation.waiting = still;
            }
            simulation
        }
    }

    #[test]
    fn a_hundred_thousand_checks_due_at_once_delay_no_pull() {
        let (hours, checks) = (9, 100_000);
        let steps = hours * 3_600 * 1_000 / STEP;
        let gate = gate(4);
        let simulation = Simulation::run(&gate, checks, steps);
        assert!(simulation.checked >= checks, "{} of them in {hours} hours", simulation.checked);
        assert_eq!(simulation.waits.iter().max(), Some(&0), "as without any");
    }

    #[test]
    fn places_that_a_tracker_turns_out_to_bear_go_to_those_who_wait() {
        let gate = Gate::of_account(Allowance::of(2).up_to(4), "test");
        let running = [now(&gate, 1), now(&gate, 1)];
        let mut waiting: Vec<_> = (0..3).map(|_| queued(&gate, 1)).collect();
        assert_eq!(
            [gate.record_answer(Duration::ZERO), gate.record_answer(Duration::ZERO)],
            [None, Some(Change { from: 2, to: 4 })]
        );
        let more: Vec<_> = waiting.drain(..2).map(|call| call.now_or_never().expect("a place")).collect();
        let mut last = waiting.pop().expect("a call");
        assert!((&mut last).now_or_never().is_none());
        assert_eq!(gate.record_overload(Instant::now()), Some(Change { from: 4, to: 2 }));
        drop((running, more));
        let last = last.now_or_never().expect("a place").ok();
        let other = now(&gate, 1);
        drop(queued(&gate, 1));
        drop((last, other));
    }

    #[test]
    fn the_places_of_accounts_are_shown_as_long_as_these_are_known() {
        let shown = |label: &str| {
            let text = String::from_utf8(metrics::render(&metrics::Sample::default())).expect("text");
            let line = text.lines().find_map(|line| line.strip_prefix(&format!("{label}{{platform=\"shown\"}} ")));
            line.and_then(|number| number.parse::<u32>().ok())
        };
        let of_platform = || (shown("affzero_upstream_accounts"), shown("affzero_upstream_places"));
        let gates = [2, 3].map(|places| Gate::of_account(Allowance::of(places).up_to(8), "shown"));
        assert_eq!(of_platform(), (Some(2), Some(5)));
        gates[0].adopt(7);
        assert_eq!(of_platform(), (Some(2), Some(10)));
        drop(gates);
        assert_eq!(of_platform(), (Some(0), Some(0)));
    }

    #[test]
    fn a_place_that_is_not_needed_says_nothing_of_the_tracker() {
        let gate = Gate::of_account(Allowance::of(2).up_to(4), "test");
        let running = now(&gate, 1);
        assert!((0..10).all(|_| gate.record_answer(Duration::ZERO).is_none()));
        drop(running);
    }

    #[test]
    fn an_origin_keeps_the_places_it_begins_with_whatever_one_account_meets() {
        let gate = gate(2);
        assert_eq!(gate.record_overload(Instant::now()), None);
        assert_eq!(gate.places(), 2);
    }

    proptest::proptest! {
        #[test]
        fn never_more_run_than_there_are_places_and_none_gets_lost(
            places in 1_usize..4,
            steps in proptest::collection::vec((0_u64..4, 0_u8..5), 1..200),
        ) {
            let gate = gate(places);
            let mut waiting: Vec<BoxFuture<'_, Result<Permit, Full>>> = Vec::new();
            let mut running: Vec<Permit> = Vec::new();
            for (tenant, step) in steps {
                match step {
                    0 | 1 => waiting.push(gate.enter(tenant).boxed()),
                    4 => waiting.push(check(&gate)),
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
            let all: Vec<Permit> = (0..places).map(|_| now(&gate, 9)).collect();
            proptest::prop_assert_eq!(all.len(), places);
        }
    }
}
