//! What many share and nobody may take for himself: bytes of memory, or places to work in.
//!
//! A [`Pool`] has so many units. One owner (an organisation, an address) has at most a fixed part of them, and at most
//! an eighth while others wait. Who finds none waits, and the owner that holds least is next: one with hundreds of
//! requests delays nobody's first. A request that has waited past its deadline goes without.
//!
//! A [`Share`] may grow until it settles, and keeps what it has while it waits for more. Once an owner has its eighth,
//! only the oldest of its growing shares goes on growing: a hundred tables are built one after the other then, and not
//! each to a hundredth. Growing shares of many owners could still wait for each other: before all of them do, the
//! youngest is refused, and what it gives back lets the others go on.

use std::collections::{BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

/// The part of a pool that one owner has while others wait.
const PART_WHILE_OTHERS_WAIT: usize = 8;

/// Who holds units, told apart by a hash that nobody outside can aim at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Owner(u64);

impl Owner {
    /// The owner that is known by this.
    pub fn of(known_by: impl Hash) -> Self {
        static HASH: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        Self(HASH.hash_one(known_by))
    }
}

/// There is no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

/// Units that many share. Clones are the same pool.
#[derive(Debug, Clone)]
pub struct Pool(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    size: usize,
    most_of_one: usize,
    free: usize,
    owners: HashMap<Owner, Holdings>,
    /// The age of the next share that grows.
    next_age: u64,
    /// In the order in which they came.
    waiting: Vec<Waiting>,
    /// Shares that hold something and do not wait for more: they are going to give back what they hold.
    running: usize,
}

#[derive(Debug, Default)]
struct Holdings {
    units: usize,
    running: usize,
    /// Shares that hold something and grow, the oldest first.
    growing: BTreeSet<u64>,
}

#[derive(Debug)]
struct Waiting {
    owner: Owner,
    units: usize,
    /// Of a share that goes on growing.
    age: Option<u64>,
    /// Whether it holds something while it waits.
    holds: bool,
    granted: oneshot::Sender<Share>,
    refused: Refused,
}

/// Set once somebody is refused. It tells those who wait apart, too.
type Refused = Arc<AtomicBool>;

/// Units of one owner, free again when dropped.
#[derive(Debug)]
pub struct Share {
    pool: Pool,
    owner: Owner,
    units: usize,
    age: Option<u64>,
}

impl Pool {
    /// So many units, of which one owner has at most so many.
    pub fn new(size: usize, most_of_one: usize) -> Self {
        Self(Arc::new(Mutex::new(State {
            size,
            most_of_one: most_of_one.min(size),
            free: size,
            owners: HashMap::new(),
            next_age: 0,
            waiting: Vec::new(),
            running: 0,
        })))
    }

    /// A share of nothing that is going to grow.
    #[must_use]
    pub fn share_of(&self, owner: Owner) -> Share {
        let mut state = self.0.lock();
        state.next_age += 1;
        Share { pool: self.clone(), owner, units: 0, age: Some(state.next_age) }
    }

    fn settled(&self, owner: Owner) -> Share {
        Share { pool: self.clone(), owner, units: 0, age: None }
    }

    /// Waits for units until the deadline.
    ///
    /// # Errors
    /// There is no room in time.
    pub async fn take(&self, owner: Owner, units: usize, deadline: Instant) -> Result<Share, Exhausted> {
        let mut share = self.settled(owner);
        share.grow(units, deadline).await?;
        Ok(share)
    }

    /// Takes units without waiting.
    ///
    /// # Errors
    /// There is no room, or others wait for it.
    pub fn take_now(&self, owner: Owner, units: usize) -> Result<Share, Exhausted> {
        let mut share = self.settled(owner);
        share.grow_now(units)?;
        Ok(share)
    }

    /// How many units are held.
    pub fn held(&self) -> usize {
        let state = self.0.lock();
        state.size - state.free
    }

    /// Whether an owner may take a unit and still have no more than it has while others wait.
    pub fn is_within_share(&self, owner: Owner) -> bool {
        let state = self.0.lock();
        state.held(owner) < state.size / PART_WHILE_OTHERS_WAIT
    }

    /// Puts a request into the queue, behind what is served at once.
    fn ask(&self, share: &Share, units: usize) -> (oneshot::Receiver<Share>, Refused) {
        let (granted, answer) = oneshot::channel();
        let (owner, age, holds, refused) = (share.owner, share.age, share.units > 0, Refused::default());
        let mut state = self.0.lock();
        state.waiting.push(Waiting { owner, units, age, holds, granted, refused: Arc::clone(&refused) });
        if holds {
            state.pause(owner);
        }
        self.serve(state, owner);
        (answer, refused)
    }

    /// Hands out what is free to those whose turn it is. `changed` is who may have come to wait for itself.
    fn serve(&self, mut state: MutexGuard<'_, State>, changed: Owner) {
        let mut served = Vec::new();
        while let Some(Waiting { owner, units, age, granted, .. }) = state.next() {
            state.give(owner, units, age);
            served.push((granted, Share { pool: self.clone(), owner, units, age }));
        }
        let relieved = state.relieve(changed);
        drop(state);
        // Unlocked: what nobody waits for any more comes back by being dropped.
        drop(relieved);
        for (waiting, share) in served {
            drop(waiting.send(share));
        }
    }
}

impl State {
    fn held(&self, owner: Owner) -> usize {
        self.owners.get(&owner).map_or(0, |held| held.units)
    }

    fn would_hold(&self, waiting: &Waiting) -> usize {
        self.held(waiting.owner).saturating_add(waiting.units)
    }

    /// Whether an older share of the same owner grows first.
    fn is_for_later(&self, waiting: &Waiting) -> bool {
        let oldest = self.owners.get(&waiting.owner).and_then(|held| held.growing.first());
        waiting.age.zip(oldest).is_some_and(|(age, oldest)| age > *oldest)
    }

    /// Takes the one out of the queue whose turn it is, if there is room for it. One that has its own bound in the way is
    /// passed over. Of the others those within their eighth come first, then those who have begun, then who holds least;
    /// a small request does not overtake a large one.
    fn next(&mut self) -> Option<Waiting> {
        self.waiting.retain(|waiting| !waiting.granted.is_closed());
        let in_turn = self.waiting.iter().enumerate().filter_map(|(place, waiting)| {
            let held = self.would_hold(waiting);
            let is_over = held > self.size / PART_WHILE_OTHERS_WAIT;
            let may = held <= self.most_of_one && !(is_over && self.is_for_later(waiting));
            may.then_some((is_over, !waiting.holds, held - waiting.units, place))
        });
        let (_, _, _, place) = in_turn.min()?;
        let fits = self.waiting.get(place).is_some_and(|waiting| waiting.units <= self.free);
        fits.then(|| self.waiting.remove(place))
    }

    /// If all who hold something wait for more, nothing ever comes back by itself: the youngest of them goes without.
    fn relieve(&mut self, owner: Owner) -> Option<Waiting> {
        let is_at_rest = self.owners.get(&owner).is_none_or(|held| held.running == 0);
        let is_in_its_own_way = is_at_rest
            && self.waiting.iter().any(|waiting| waiting.owner == owner && self.would_hold(waiting) > self.most_of_one);
        let stuck =
            self.waiting.iter().enumerate().filter(|(_, waiting)| {
                waiting.holds && (self.running == 0 || is_in_its_own_way && waiting.owner == owner)
            });
        let (place, _) = stuck.max_by_key(|(_, waiting)| waiting.age)?;
        let relieved = self.waiting.remove(place);
        relieved.refused.store(true, Ordering::Relaxed);
        self.resume(relieved.owner);
        Some(relieved)
    }

    fn give(&mut self, owner: Owner, units: usize, age: Option<u64>) {
        self.free = self.free.saturating_sub(units);
        let held = self.owners.entry(owner).or_default();
        held.units += units;
        held.growing.extend(age);
        self.resume(owner);
    }

    fn take_back(&mut self, owner: Owner, units: usize, age: Option<u64>) {
        self.free = (self.free + units).min(self.size);
        if let Some(held) = self.owners.get_mut(&owner) {
            held.units = held.units.saturating_sub(units);
        }
        self.settle(owner, age);
        self.pause(owner);
        if self.owners.get(&owner).is_some_and(|held| held.units == 0) {
            self.owners.remove(&owner);
        }
    }

    fn settle(&mut self, owner: Owner, age: Option<u64>) {
        if let (Some(age), Some(held)) = (age, self.owners.get_mut(&owner)) {
            held.growing.remove(&age);
        }
    }

    fn resume(&mut self, owner: Owner) {
        self.running += 1;
        self.owners.entry(owner).or_default().running += 1;
    }

    fn pause(&mut self, owner: Owner) {
        self.running = self.running.saturating_sub(1);
        if let Some(held) = self.owners.get_mut(&owner) {
            held.running = held.running.saturating_sub(1);
        }
    }
}

impl Share {
    /// Takes more units, and waits for them until the deadline.
    ///
    /// # Errors
    /// There is no room in time, or all who hold some wait for more. What it holds it keeps.
    pub async fn grow(&mut self, units: usize, deadline: Instant) -> Result<(), Exhausted> {
        if units == 0 {
            return Ok(());
        }
        let (mut answer, refused) = self.pool.ask(self, units);
        let pause = Pause { share: self, refused, is_over: false };
        let granted = match answer.try_recv() {
            Err(oneshot::error::TryRecvError::Empty) => {
                tokio::time::timeout_at(deadline.into(), answer).await.ok().and_then(Result::ok)
            }
            at_once => at_once.ok(),
        };
        let Some(more) = granted else { return Err(Exhausted) };
        pause.end();
        self.merge(more);
        Ok(())
    }

    /// Takes more units without waiting.
    ///
    /// # Errors
    /// There is no room, or others wait for it. What it holds it keeps.
    pub fn grow_now(&mut self, units: usize) -> Result<(), Exhausted> {
        if units == 0 {
            return Ok(());
        }
        let (mut answer, refused) = self.pool.ask(self, units);
        let pause = Pause { share: self, refused, is_over: false };
        match answer.try_recv() {
            Ok(more) => {
                pause.end();
                self.merge(more);
                Ok(())
            }
            Err(_) => Err(Exhausted),
        }
    }

    /// What it holds, settled; it begins again with nothing.
    pub fn detach(&mut self) -> Self {
        let mut held = std::mem::replace(self, self.pool.share_of(self.owner));
        held.settle();
        held
    }

    /// It does not grow any more: the next one may.
    pub fn settle(&mut self) {
        if let Some(age) = self.age.take() {
            let mut state = self.pool.0.lock();
            state.settle(self.owner, Some(age));
            self.pool.serve(state, self.owner);
        }
    }

    /// Both are one share then: what was granted counts as running, and this one paused for it.
    fn merge(&mut self, mut more: Self) {
        self.units += std::mem::take(&mut more.units);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        if self.units > 0 {
            let mut state = self.pool.0.lock();
            state.take_back(self.owner, self.units, self.age);
            self.pool.serve(state, self.owner);
        }
    }
}

/// A share that waits to grow. However the waiting ends, it counts as running afterwards: with what was granted, since it
/// was refused, or because it waits no more.
struct Pause<'a> {
    share: &'a Share,
    refused: Refused,
    is_over: bool,
}

impl Pause<'_> {
    fn end(mut self) {
        self.is_over = true;
    }
}

impl Drop for Pause<'_> {
    fn drop(&mut self) {
        if self.is_over {
            return;
        }
        let mut state = self.share.pool.0.lock();
        state.waiting.retain(|waiting| !Arc::ptr_eq(&waiting.refused, &self.refused));
        if self.share.units > 0 && !self.refused.load(Ordering::Relaxed) {
            state.resume(self.share.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    use super::*;

    fn owner(number: u64) -> Owner {
        Owner::of(number)
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(3_600)
    }

    fn grown(pool: &Pool, number: u64, units: usize) -> Share {
        let mut share = pool.share_of(owner(number));
        share.grow_now(units).expect("room");
        share
    }

    /// Asks, and is in the queue when this returns.
    fn queued(pool: &Pool, number: u64, units: usize) -> BoxFuture<'static, Result<Share, Exhausted>> {
        let pool = pool.clone();
        let mut waiting = async move { pool.take(owner(number), units, later()).await }.boxed();
        assert!((&mut waiting).now_or_never().is_none(), "room at once");
        waiting
    }

    #[tokio::test]
    async fn one_owner_has_its_bound_and_others_have_the_rest() {
        let pool = Pool::new(16, 8);
        let all: Vec<Share> = (0..8).map(|_| pool.take_now(owner(1), 1).expect("a place")).collect();
        assert_eq!(pool.take_now(owner(1), 1).expect_err("its bound"), Exhausted);
        let others: Vec<Share> = (2..10).map(|other| pool.take_now(owner(other), 1).expect("a place")).collect();
        assert_eq!((pool.held(), pool.take_now(owner(10), 1).is_err()), (16, true));
        drop((all, others));
        assert_eq!(pool.held(), 0);
    }

    #[tokio::test]
    async fn who_holds_least_is_next_and_a_crowd_delays_nobodys_first() {
        let pool = Pool::new(16, 16);
        let mut crowd: Vec<Share> = (0..16).map(|_| pool.take_now(owner(1), 1).expect("a place")).collect();
        let mut more: Vec<_> = (0..500).map(|_| queued(&pool, 1, 1)).collect();
        let newcomer = queued(&pool, 2, 1);
        drop(crowd.pop());
        assert!(newcomer.now_or_never().is_some_and(|share| share.is_ok()));
        drop(crowd.pop());
        assert!(more.remove(0).now_or_never().is_some(), "nobody else waits");
    }

    #[tokio::test]
    async fn over_an_eighth_there_is_nothing_while_another_waits() {
        let pool = Pool::new(16, 16);
        let (crowd, _other) = (pool.take_now(owner(1), 12).expect("room"), pool.take_now(owner(2), 3).expect("room"));
        let large = queued(&pool, 3, 2);
        assert_eq!(pool.take_now(owner(1), 1).expect_err("another waits"), Exhausted);
        drop(crowd);
        assert!(large.now_or_never().is_some_and(|share| share.is_ok()));
    }

    #[tokio::test]
    async fn who_waits_past_its_deadline_goes_without_and_loses_nothing() {
        let pool = Pool::new(2, 2);
        let mut share = pool.take_now(owner(1), 1).expect("room");
        let other = pool.take_now(owner(2), 1).expect("room");
        let deadline = Instant::now() + Duration::from_millis(5);
        assert_eq!(share.grow(1, deadline).await, Err(Exhausted));
        assert_eq!((share.units, pool.held()), (1, 2));
        drop(other);
        share.grow(1, later()).await.expect("room");
        drop(share);
        assert_eq!(pool.held(), 0);
    }

    #[tokio::test]
    async fn shares_that_would_all_wait_for_each_other_lose_the_last_one() {
        let pool = Pool::new(10, 10);
        let (mut first, mut last) = (grown(&pool, 1, 5), grown(&pool, 2, 5));
        let mut waiting = first.grow(4, later()).boxed();
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(last.grow(1, later()).now_or_never(), Some(Err(Exhausted)));
        drop(last);
        assert_eq!(waiting.now_or_never(), Some(Ok(())));
        assert_eq!((first.units, pool.held()), (9, 9));
    }

    #[tokio::test]
    async fn over_its_eighth_an_owner_grows_one_share_after_the_other() {
        let pool = Pool::new(80, 80);
        let (mut old, mut young) = (pool.share_of(owner(1)), pool.share_of(owner(1)));
        for share in [&mut old, &mut young] {
            share.grow(5, later()).await.expect("room");
        }
        assert_eq!(young.grow_now(1), Err(Exhausted), "the older one goes first");
        old.grow(40, later()).await.expect("room");
        let mut waiting = young.grow(20, later()).boxed();
        assert!((&mut waiting).now_or_never().is_none());
        pool.take_now(owner(1), 1).expect("what does not grow waits for nobody");
        old.settle();
        assert_eq!(waiting.now_or_never(), Some(Ok(())));
        assert_eq!((old.units, young.units, pool.held()), (45, 25, 70));
    }

    #[tokio::test]
    async fn shares_of_one_owner_do_not_wait_for_their_own_bound_forever() {
        let pool = Pool::new(100, 10);
        let _other = pool.take_now(owner(2), 1).expect("room");
        let (mut first, mut last) = (grown(&pool, 1, 5), grown(&pool, 1, 5));
        let mut waiting = first.grow(1, later()).boxed();
        assert!((&mut waiting).now_or_never().is_none());
        assert_eq!(last.grow(1, later()).now_or_never(), Some(Err(Exhausted)));
        drop(last);
        assert_eq!(waiting.now_or_never(), Some(Ok(())));
    }

    proptest::proptest! {
        #[test]
        fn nobody_holds_more_than_there_is_and_nothing_gets_lost(
            steps in proptest::collection::vec((0_u64..4, 0_u8..5, 1_usize..5), 1..200),
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().expect("a runtime");
            let _inside = runtime.enter();
            let pool = Pool::new(12, 6);
            let mut waiting: Vec<BoxFuture<'static, Result<Share, Exhausted>>> = Vec::new();
            let mut held: Vec<Share> = Vec::new();
            for (number, step, units) in steps {
                match step {
                    0 | 1 => {
                        let pool = pool.clone();
                        let mut share = if step == 0 { pool.share_of(owner(number)) } else { pool.settled(owner(number)) };
                        waiting.push(async move { share.grow(units, later()).await.map(|()| share) }.boxed());
                    }
                    2 => drop((!held.is_empty()).then(|| held.swap_remove(0))),
                    3 if !held.is_empty() => {
                        let mut share = held.swap_remove(0);
                        waiting.push(async move { share.grow(units, later()).await.map(|()| share) }.boxed());
                    }
                    _ => drop((!waiting.is_empty()).then(|| waiting.swap_remove(0))),
                }
                let mut still = Vec::new();
                for mut asked in waiting {
                    match (&mut asked).now_or_never() {
                        Some(share) => held.extend(share.ok()),
                        None => still.push(asked),
                    }
                }
                waiting = still;
                let units: usize = held.iter().map(|share: &Share| share.units).sum();
                proptest::prop_assert!(units <= pool.held() && pool.held() <= 12);
                for number in 0..4 {
                    let own = held.iter().filter(|share| share.owner == owner(number)).map(|share: &Share| share.units).sum::<usize>();
                    proptest::prop_assert!(own <= 6);
                }
            }
            drop((waiting, held));
            proptest::prop_assert_eq!(pool.held(), 0);
            let state = pool.0.lock();
            proptest::prop_assert_eq!((state.running, state.owners.len(), state.waiting.len()), (0, 0, 0));
        }
    }
}
