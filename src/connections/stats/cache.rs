//! What is kept of statistics for a moment: tables, written answers, and pulls in flight.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use moka::Expiry;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use parking_lot::Mutex;
use ring::digest;
use uuid::Uuid;

use super::table::Table;
use crate::metrics;
use crate::platforms::calendar::DateRange;
use crate::problem::Problem;
use crate::sizing::Sizing;

/// What the cache itself takes for each entry.
const ENTRY_BYTES: usize = 512;

/// Questions whose ranges are remembered.
const MOST_SERIES: u64 = 10_000;

/// How old the knowledge of what other processes changed may be while answers come from memory.
const MOST_STALE: Duration = Duration::from_secs(1);

/// How statistics are pulled.
#[derive(Debug, Clone)]
pub struct Options {
    /// The longest a pull may take.
    pub deadline: Duration,
    /// How long tables that include today are kept; zero for not at all.
    pub ttl: Duration,
    /// How long tables of closed days are kept.
    pub closed_ttl: Duration,
    /// The longest range of a question.
    pub max_range_days: u32,
    /// The most calls of one pull.
    pub max_upstream_calls: u32,
    /// The most rows of a stream.
    pub max_rows: usize,
    /// The most rows held in memory.
    pub max_rows_in_memory: usize,
    /// How the memory is divided.
    pub sizing: Sizing,
}

impl Options {
    /// How long a table may be in use after the pull behind it began.
    pub(in crate::connections) fn longest_life(&self) -> Duration {
        self.ttl.max(self.closed_ttl) + self.deadline
    }
}

pub(super) type Outcome = Result<Brought, Problem>;
pub(super) type Flight = Shared<BoxFuture<'static, Outcome>>;

/// What is kept, by a hash of all that tells it from others: however long a question is, its key is not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct PullKey {
    connection: Uuid,
    hash: [u8; 32],
}

impl PullKey {
    pub(super) fn of(connection: Uuid, parts: &[&str]) -> Self {
        let mut hash = digest::Context::new(&digest::SHA256);
        for part in parts {
            hash.update(&(part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let mut key = Self { connection, hash: [0; 32] };
        key.hash.copy_from_slice(hash.finish().as_ref());
        key
    }
}

/// Pulls by what they pull and the deadline that their callers chose, each with a number of its own.
pub(super) type Flights = HashMap<(PullKey, Option<Duration>), (u64, WeakShared<BoxFuture<'static, Outcome>>)>;

/// Tables and answers in memory, and pulls in flight.
pub(in crate::connections) struct Stats {
    pub(super) tables: Cache<PullKey, (Arc<Table>, Instant)>,
    pub(super) answers: Cache<PullKey, (Arc<Answer>, Instant)>,
    /// Which tables there are of a question, whatever their range.
    pub(super) series: Cache<PullKey, Arc<[(DateRange, PullKey)]>>,
    pub(super) flights: Mutex<Flights>,
    /// A larger table is not kept at all.
    most_of_a_table: usize,
    /// The least version that still counts, of connections that changed.
    forgotten: Cache<Uuid, i64>,
    /// When the database last reported what others changed; `None` where there are no others.
    watched: Option<Mutex<Instant>>,
    /// Another one begins with everything being forgotten.
    era: AtomicU64,
}

/// A written answer.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The JSON.
    pub body: Bytes,
    /// Over the data, not over when it was fetched.
    pub etag: String,
    /// When the table was whole.
    pub fetched_at: Instant,
    /// Until when it is kept.
    pub fresh_until: Instant,
    /// The version of the connection it was pulled through.
    pub(super) version: i64,
}

/// A table that a flight brought.
#[derive(Clone)]
pub(super) struct Brought {
    pub(super) table: Arc<Table>,
    /// Until when it may be kept.
    pub(super) until: Instant,
    pub(super) way: Way,
}

/// How a table came here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Another replica had pulled it.
    Replica,
    /// It was pulled.
    Pull {
        /// Whether other replicas can have it, where there are any to ask.
        offered: Option<bool>,
    },
}

/// What is kept goes when its time is over, so that it takes no room from what comes after it.
struct UntilThen;

impl<T> Expiry<PullKey, (Arc<T>, Instant)> for UntilThen {
    fn expire_after_create(&self, _: &PullKey, (_, until): &(Arc<T>, Instant), now: Instant) -> Option<Duration> {
        Some(until.saturating_duration_since(now))
    }

    fn expire_after_update(
        &self,
        key: &PullKey,
        kept: &(Arc<T>, Instant),
        now: Instant,
        _: Option<Duration>,
    ) -> Option<Duration> {
        self.expire_after_create(key, kept, now)
    }
}

/// What an entry of so many bytes weighs.
fn in_cache(bytes: usize) -> u32 {
    u32::try_from(bytes + ENTRY_BYTES).unwrap_or(u32::MAX)
}

impl Stats {
    /// `others` says whether other processes may change connections too.
    pub(in crate::connections) fn new(options: &Options, others: bool) -> Self {
        Self {
            watched: others.then(|| Mutex::new(Instant::now())),
            era: AtomicU64::new(0),
            tables: Cache::builder()
                .max_capacity(options.sizing.kept_tables as u64)
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(UntilThen)
                .weigher(|_, (table, _): &(Arc<Table>, Instant)| in_cache(table.weight()))
                .support_invalidation_closures()
                .build(),
            answers: Cache::builder()
                .max_capacity(options.sizing.kept_answers as u64)
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(UntilThen)
                .weigher(|_, (answer, _): &(Arc<Answer>, Instant)| in_cache(answer.body.len() + answer.etag.len()))
                .support_invalidation_closures()
                .build(),
            series: Cache::builder().max_capacity(MOST_SERIES).time_to_live(options.longest_life()).build(),
            flights: Mutex::default(),
            most_of_a_table: options.sizing.kept_tables,
            forgotten: Cache::builder().max_capacity(100_000).time_to_live(options.longest_life() * 2).build(),
        }
    }

    /// Keeps a table. Its memory is weighed here from then on.
    pub(super) fn keep(&self, key: PullKey, table: &Arc<Table>, until: Instant) {
        if table.weight() + ENTRY_BYTES <= self.most_of_a_table {
            self.tables.insert(key, (Arc::clone(table), until));
            table.memory.give_back();
        }
    }

    /// Whether nothing is kept nor being pulled. Entries are only counted once the cache has worked off what waits to be put in.
    pub(in crate::connections) fn is_empty(&self) -> bool {
        self.tables.run_pending_tasks();
        self.answers.run_pending_tasks();
        let mut flights = self.flights.lock();
        flights.retain(|_, (_, flight)| flight.upgrade().is_some());
        flights.is_empty() && self.tables.entry_count() == 0 && self.answers.entry_count() == 0
    }

    /// How much memory is taken by what is kept.
    pub(in crate::connections) fn bytes(&self) -> u64 {
        self.tables.run_pending_tasks();
        self.answers.run_pending_tasks();
        self.tables.weighted_size() + self.answers.weighted_size()
    }

    /// Forgets what was pulled through a connection before it had this version, and what is being pulled through it
    /// right now. Says whether this is news.
    pub(in crate::connections) fn forget_older(&self, id: Uuid, version: i64) -> bool {
        if self.forgotten.get(&id).is_some_and(|known| known >= version) {
            return false;
        }
        self.forgotten.insert(id, version);
        let mut flights = self.flights.lock();
        flights.retain(|(key, _), _| key.connection != id);
        drop(flights);
        // The closures are registered, not run: an entry they match is never returned again.
        let _ = self.tables.invalidate_entries_if(move |key, _| key.connection == id);
        let _ = self.answers.invalidate_entries_if(move |key, _| key.connection == id);
        true
    }

    /// Forgets everything, also which versions there were: they may come again, for other changes.
    pub(in crate::connections) fn forget_all(&self) {
        self.era.fetch_add(1, Ordering::Relaxed);
        self.forgotten.invalidate_all();
        self.flights.lock().clear();
        self.tables.invalidate_all();
        self.series.invalidate_all();
        self.answers.invalidate_all();
    }

    /// What is pulled in one era is not kept in the next.
    pub(super) fn era(&self) -> u64 {
        self.era.load(Ordering::Relaxed)
    }

    /// Notes that everything others changed before `began` has been forgotten.
    pub(in crate::connections) fn mark_watched(&self, began: Instant) {
        metrics::background_worked("changes");
        if let Some(watched) = &self.watched {
            *watched.lock() = began;
        }
    }

    /// Whether what is kept may be answered with: not while it is unknown what others changed in the last second.
    /// Nothing is lost by that: once the database answers again, so does what nobody changed.
    pub(in crate::connections) fn is_watched(&self) -> bool {
        self.watched.as_ref().is_none_or(|watched| watched.lock().elapsed() < MOST_STALE)
    }

    pub(super) fn is_current(&self, id: Uuid, version: i64) -> bool {
        self.forgotten.get(&id).is_none_or(|least| least <= version)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer() -> Arc<Answer> {
        let now = Instant::now();
        Arc::new(Answer { body: Bytes::new(), etag: String::new(), fetched_at: now, fresh_until: now, version: 1 })
    }

    fn later() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    fn stats(others: bool) -> Stats {
        let second = Duration::from_secs(1);
        let options = Options {
            deadline: second,
            ttl: second,
            closed_ttl: second,
            max_range_days: 1,
            max_upstream_calls: 1,
            max_rows: 1,
            max_rows_in_memory: 1,
            sizing: Sizing::default(),
        };
        Stats::new(&options, others)
    }

    #[test]
    fn what_was_just_kept_counts_at_once() {
        let stats = stats(true);
        assert!(stats.is_empty());
        let key = PullKey::of(Uuid::nil(), &["acme"]);
        stats.answers.insert(key, (answer(), later()));
        assert!(!stats.is_empty());
    }

    #[test]
    fn what_is_over_takes_no_room_from_what_comes_after_it() {
        let stats = stats(false);
        let page = |bytes: usize| {
            let now = Instant::now();
            Arc::new(Answer {
                body: Bytes::from(vec![0; bytes]),
                etag: String::new(),
                fetched_at: now,
                fresh_until: now,
                version: 1,
            })
        };
        let key = |number: usize| PullKey::of(Uuid::nil(), &["acme", &number.to_string()]);
        let many = 64;
        let bytes = Sizing::default().kept_answers / many;
        for number in 0..many {
            stats.answers.insert(key(number), (page(bytes), Instant::now() + Duration::from_millis(50)));
        }
        // Popular while they lasted.
        for number in (0..many).cycle().take(many * 20) {
            stats.answers.get(&key(number));
        }
        std::thread::sleep(Duration::from_millis(60));
        for number in many..many + 30 {
            stats.answers.insert(key(number), (page(bytes), Instant::now() + Duration::from_secs(60)));
        }
        stats.answers.run_pending_tasks();
        let kept = (many..many + 30).filter(|number| stats.answers.get(&key(*number)).is_some()).count();
        assert_eq!(kept, 30);
        std::thread::sleep(Duration::from_millis(10));
        assert!(stats.bytes() <= Sizing::default().kept_answers as u64);
    }

    #[test]
    fn keys_are_told_apart_by_each_part_and_are_of_one_size() {
        let key = |parts: &[&str]| PullKey::of(Uuid::nil(), parts);
        assert_eq!(key(&["acme", "offer"]), key(&["acme", "offer"]));
        let long = "x".repeat(16 * 1024);
        for other in [&["acme", "offe", "r"][..], &["acmeo", "ffer"], &["acme"], &["acme", &long]] {
            assert_ne!(key(&["acme", "offer"]), key(other));
        }
        assert_ne!(PullKey::of(Uuid::from_u128(1), &["acme"]), PullKey::of(Uuid::nil(), &["acme"]));
    }

    #[test]
    fn what_is_kept_rests_while_others_may_change_it_unseen() {
        let (shared, alone) = (stats(true), stats(false));
        let long_ago = Instant::now().checked_sub(MOST_STALE).expect("a clock that runs");
        assert!(shared.is_watched() && alone.is_watched());
        for stats in [&shared, &alone] {
            stats.mark_watched(long_ago);
        }
        assert!(!shared.is_watched() && alone.is_watched());
        shared.mark_watched(Instant::now());
        assert!(shared.is_watched());
    }

    #[test]
    fn after_everything_was_forgotten_versions_begin_again() {
        let stats = stats(true);
        let id = Uuid::from_u128(1);
        let key = || PullKey::of(id, &["acme"]);
        let era = stats.era();
        assert!(stats.forget_older(id, i64::MAX));
        stats.answers.insert(key(), (answer(), later()));
        stats.forget_all();
        assert!(stats.answers.get(&key()).is_none() && stats.era() != era);
        assert!(stats.is_current(id, 1), "a deletion that was lost makes nothing uncacheable");
        stats.answers.insert(key(), (answer(), later()));
        assert!(stats.answers.get(&key()).is_some());
    }

    #[test]
    fn a_connection_is_forgotten_without_the_others() {
        let stats = stats(true);
        let (changed, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let key = |id| PullKey::of(id, &["acme"]);
        for id in [changed, other] {
            stats.answers.insert(key(id), (answer(), later()));
        }
        assert!(stats.forget_older(changed, 2));
        assert!(stats.answers.get(&key(changed)).is_none());
        assert!(stats.answers.get(&key(other)).is_some());
        assert!(!stats.is_current(changed, 1), "what was pulled through an older version is of the past");
        assert!(stats.is_current(changed, 2) && stats.is_current(other, 0));
        // The same change, noticed again, takes nothing that came after it.
        stats.answers.insert(key(changed), (answer(), later()));
        assert!(!stats.forget_older(changed, 2));
        assert!(stats.answers.get(&key(changed)).is_some());
    }
}
