//! Statistics through connections: pulled live, shared while in flight, kept in memory for a moment, never on disk.
//!
//! What is kept is found in this process first, then, where there is Redis, among what other replicas pulled.

mod fetch;
mod packed;
pub mod query;
pub mod stream;
pub mod table;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use moka::Expiry;
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use serde::Serialize;
use tracing::{Instrument, Span};
use utoipa::ToSchema;
use uuid::Uuid;

use self::fetch::{Brought, Way};
use self::query::{Asked, Question};
use self::table::{ConnectionRef, Orders, Place, Source, Table, Tally};
use super::service::{Connections, Opened, in_time};
use super::{Actor, Status, cursor, store};
use crate::clock::millis;
use crate::clock::now_micros;
use crate::metrics;
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::outbound::{CallScope, Purpose};
use crate::platforms::assemble;
use crate::problem::Problem;

/// Bytes of tables, and of written answers, that are kept.
const CACHE_BYTES: u64 = 64 * 1024 * 1024;

/// How old the knowledge of what other processes changed may be while answers come from memory.
const MOST_STALE: Duration = Duration::from_secs(1);

/// Connections of one question that are pulled at the same time.
const MANY_AT_ONCE: usize = 32;

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
}

impl Options {
    /// How long a table may be in use after the pull behind it began.
    pub(super) fn longest_life(&self) -> Duration {
        self.ttl.max(self.closed_ttl) + self.deadline
    }
}

type Outcome = Result<Brought, Problem>;
type Flight = Shared<BoxFuture<'static, Outcome>>;
type PullKey = (String, Uuid, String);
/// Pulls by what they pull, each with a number of its own.
type Flights = HashMap<PullKey, (u64, WeakShared<BoxFuture<'static, Outcome>>)>;

/// Tables and answers in memory, and pulls in flight.
pub(super) struct Stats {
    tables: Cache<PullKey, (Arc<Table>, Instant)>,
    answers: Cache<PullKey, (Arc<Answer>, Instant)>,
    flights: Mutex<Flights>,
    /// The least version that still counts, of connections that changed.
    forgotten: Cache<Uuid, i64>,
    /// When the database last told what others changed; `None` where there are no others.
    watched: Option<Mutex<Instant>>,
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
    version: i64,
}

/// Where an answer came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// From memory.
    Hit,
    /// From another replica.
    Replica {
        /// Whether another request had started looking for it.
        shared: bool,
        /// How long it still counts.
        left: Duration,
        /// Whether the answer is kept here too.
        stored: bool,
    },
    /// Pulled for this request.
    Pulled {
        /// Whether the caller had asked to pull whatever is kept.
        forced: bool,
        /// Whether another request had started the pull.
        shared: bool,
        /// Whether the answer is kept.
        stored: bool,
        /// Whether other replicas can have it, where there are any to ask.
        offered: Option<bool>,
    },
}

/// What a statistics request brings beside its question.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// Whether to go to the tracker whatever is kept.
    pub no_cache: bool,
    /// The calling automation.
    pub automation: Option<String>,
    /// When the answer must be there, where that is decided already.
    pub deadline: Option<Instant>,
}

/// One connection that could not answer.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = StatsFailure)]
pub struct Failure {
    /// The connection.
    pub connection_id: Uuid,
    /// Why, as a problem.
    #[schema(value_type = crate::problem::ProblemBody)]
    pub problem: serde_json::Value,
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

impl Stats {
    /// `others` says whether other processes may change connections too.
    pub(super) fn new(options: &Options, others: bool) -> Self {
        Self {
            watched: others.then(|| Mutex::new(Instant::now())),
            tables: Cache::builder()
                .max_capacity(CACHE_BYTES)
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(UntilThen)
                .weigher(|_, (table, _): &(Arc<Table>, Instant)| u32::try_from(table.weight()).unwrap_or(u32::MAX))
                .support_invalidation_closures()
                .build(),
            answers: Cache::builder()
                .max_capacity(CACHE_BYTES)
                .eviction_policy(EvictionPolicy::lru())
                .expire_after(UntilThen)
                .weigher(|_, (answer, _): &(Arc<Answer>, Instant)| {
                    u32::try_from(answer.body.len() + 512).unwrap_or(u32::MAX)
                })
                .support_invalidation_closures()
                .build(),
            flights: Mutex::default(),
            forgotten: Cache::builder().max_capacity(100_000).time_to_live(options.longest_life() * 2).build(),
        }
    }

    /// Whether nothing is kept nor being pulled. Entries are only counted once the cache has worked off what waits to be put in.
    pub(super) fn is_empty(&self) -> bool {
        self.tables.run_pending_tasks();
        self.answers.run_pending_tasks();
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|_, (_, flight)| flight.upgrade().is_some());
        flights.is_empty() && self.tables.entry_count() == 0 && self.answers.entry_count() == 0
    }

    /// How much memory is taken by what is kept.
    pub(super) fn bytes(&self) -> u64 {
        self.tables.run_pending_tasks();
        self.answers.run_pending_tasks();
        self.tables.weighted_size() + self.answers.weighted_size()
    }

    /// Forgets what was pulled through a connection before it had this version, and what is being pulled through it
    /// right now. Says whether this is news.
    pub(super) fn forget_older(&self, id: Uuid, version: i64) -> bool {
        if self.forgotten.get(&id).is_some_and(|known| known >= version) {
            return false;
        }
        self.forgotten.insert(id, version);
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.retain(|(_, connection, _), _| *connection != id);
        drop(flights);
        // The closures are registered, not run: an entry they match is never returned again.
        let _ = self.tables.invalidate_entries_if(move |(_, connection, _), _| *connection == id);
        let _ = self.answers.invalidate_entries_if(move |(_, connection, _), _| *connection == id);
        true
    }

    /// Notes that everything others changed before `began` has been forgotten.
    pub(super) fn watched(&self, began: Instant) {
        metrics::background_worked("changes");
        if let Some(watched) = &self.watched {
            *watched.lock().unwrap_or_else(PoisonError::into_inner) = began;
        }
    }

    /// Whether what is kept may be answered with: not while it is unknown what others changed in the last second.
    /// Nothing is lost by that: once the database answers again, so does what nobody changed.
    pub(super) fn is_watched(&self) -> bool {
        self.watched
            .as_ref()
            .is_none_or(|watched| watched.lock().unwrap_or_else(PoisonError::into_inner).elapsed() < MOST_STALE)
    }

    fn is_current(&self, id: Uuid, version: i64) -> bool {
        self.forgotten.get(&id).is_none_or(|least| least <= version)
    }
}

impl Connections {
    /// Answers a question about one connection with a page of JSON.
    ///
    /// # Errors
    /// Everything that stands between the question and a whole, exact table.
    pub async fn stats(
        &self,
        actor: &Actor,
        id: Uuid,
        question: Question,
        manner: &Manner,
    ) -> Result<(Arc<Answer>, Origin), Problem> {
        let mut asked = question.at(Timestamp::now());
        let of =
            |asked: &Asked| cursor::fingerprint(&[actor.organisation.as_str(), &id.to_string(), &asked.cursor_key()]);
        let after: Option<Place> =
            asked.question.cursor.as_deref().map(|cursor| cursor::decode(&of(&asked), cursor)).transpose()?;
        if let Some(range) = after.as_ref().and_then(Place::days) {
            asked.range = range;
        }
        let organisation = actor.organisation.as_str().to_owned();
        let cursor_text = asked.question.cursor.clone().unwrap_or_default();
        let answer_key =
            (organisation.clone(), id, format!("{} {} {cursor_text}", asked.table_key(), asked.question.limit));
        let now = Instant::now();
        if !manner.no_cache
            && let Some((answer, until)) = self.inner.stats.answers.get(&answer_key)
            && until > now
            && self.inner.stats.is_watched()
            && self.inner.stats.is_current(id, answer.version)
        {
            metrics::cache("hit");
            self.inner.uses.record(actor, id, manner.automation.as_deref());
            return Ok((answer, Origin::Hit));
        }
        let pull_key = (organisation, id, asked.pull_key());
        let (table, origin) = self.table(actor, id, &asked, pull_key, manner).await.inspect_err(|problem| {
            self.inner.uses.record_refusal(actor, id, manner.automation.as_deref(), problem);
        })?;
        self.inner.uses.record(actor, id, manner.automation.as_deref());
        let until = table.1;
        let answer = Arc::new(write_page(&table.0, &asked, after.as_ref(), &of(&asked), until));
        if until > Instant::now() && self.inner.stats.is_current(id, table.0.version) {
            self.inner.stats.answers.insert(answer_key, (Arc::clone(&answer), until));
        }
        Ok((answer, origin))
    }

    async fn table(
        &self,
        actor: &Actor,
        id: Uuid,
        asked: &Asked,
        key: PullKey,
        manner: &Manner,
    ) -> Result<((Arc<Table>, Instant), Origin), Problem> {
        if !manner.no_cache
            && let Some(kept) = self.inner.stats.tables.get(&key)
            && kept.1 > Instant::now()
            && self.inner.stats.is_watched()
            && self.inner.stats.is_current(id, kept.0.version)
        {
            metrics::cache("hit");
            return Ok((kept, Origin::Hit));
        }
        let deadline = self.pull_scope(manner.deadline).deadline;
        loop {
            let (flight, shared) = self.flight(actor, id, asked, key.clone(), manner);
            metrics::cache(if shared { "shared" } else { "miss" });
            // A pull that another request began may take longer than this one has time.
            let brought = tokio::time::timeout_at(deadline.into(), flight).await;
            let Brought { table, until, way } = brought.unwrap_or_else(|_| Err(late().into()))?;
            // Who wants the tracker's answer of now does not take what a replica got a while ago.
            if manner.no_cache && way == Way::Replica {
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            let stored = !left.is_zero() && self.inner.stats.is_current(id, table.version);
            // Whoever shares the pull stores it too: the one who started it may have gone away.
            if stored {
                self.inner.stats.tables.insert(key, (Arc::clone(&table), until));
            }
            let origin = match way {
                Way::Replica => Origin::Replica { shared, left, stored },
                Way::Pull { offered } => Origin::Pulled { forced: manner.no_cache, shared, stored, offered },
            };
            return Ok(((table, until), origin));
        }
    }

    /// The pull of this table that is in flight, or a new one. It ends when the last caller goes away.
    fn flight(&self, actor: &Actor, id: Uuid, asked: &Asked, key: PullKey, manner: &Manner) -> (Flight, bool) {
        static NUMBERS: AtomicU64 = AtomicU64::new(0);
        let mut flights = self.inner.stats.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(flight) = flights.get(&key).and_then(|(_, flight)| flight.upgrade())
            && flight.peek().is_none()
        {
            return (flight, true);
        }
        if flights.len() > 1_000 {
            flights.retain(|_, (_, flight)| flight.upgrade().is_some());
        }
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let (service, actor, asked, own) = (self.clone(), actor.clone(), asked.clone(), key.clone());
        let (no_cache, deadline) = (manner.no_cache, manner.deadline);
        let flight = async move {
            let outcome = service.fetch(&actor, id, &asked, no_cache, deadline).await;
            let mut flights = service.inner.stats.flights.lock().unwrap_or_else(PoisonError::into_inner);
            // A change may have sent the next pull on its way already: that one is left alone.
            if flights.get(&own).is_some_and(|(known, _)| *known == number) {
                flights.remove(&own);
            }
            drop(flights);
            outcome
        }
        // Whoever waits for it, its lines are those of the request that began it.
        .instrument(Span::current())
        .boxed()
        .shared();
        if let Some(weak) = flight.downgrade() {
            flights.insert(key, (number, weak));
        }
        (flight, false)
    }

    /// How long a table is kept: days count as closed if they were over when the pull began.
    fn time_to_live(&self, asked: &Asked, pulled_at_micros: i64) -> Duration {
        let options = &self.inner.options.stats;
        let today = asked.question.zone.date_at(crate::clock::time(pulled_at_micros));
        match (options.ttl.is_zero(), asked.range.to() >= today) {
            (true, _) => Duration::ZERO,
            (false, true) => options.ttl,
            (false, false) => options.closed_ttl,
        }
    }

    /// Pulls a whole table, within the deadline.
    async fn pull(&self, actor: &Actor, id: Uuid, asked: &Asked, deadline: Option<Instant>) -> Result<Table, Problem> {
        let scope = self.pull_scope(deadline);
        // Before the row is read: whatever changes it from now on makes the table one of the past.
        let pulled_at_micros = now_micros();
        let row = in_time(scope.deadline, self.live(&actor.organisation, id)).await?;
        let opened = self.open_row(&actor.organisation, row, scope)?;
        let reading = self.read_table(&opened, asked, pulled_at_micros);
        let outcome = tokio::time::timeout_at(scope.deadline.into(), reading).await;
        let outcome = outcome.unwrap_or_else(|_| Err(out_of_time(&opened).into()));
        if outcome.is_ok() {
            self.learn_from_pull(&actor.organisation, &opened.row, Status::Active).await;
        }
        match outcome {
            Ok(table) => Ok(table),
            Err(Refusal::Platform(error)) => Err(self.refused(actor, &opened, error).await),
            Err(Refusal::Question(problem)) => Err(problem),
        }
    }

    fn pull_scope(&self, deadline: Option<Instant>) -> CallScope {
        let options = &self.inner.options.stats;
        CallScope {
            purpose: Purpose::Pull,
            deadline: deadline.unwrap_or_else(|| Instant::now() + options.deadline),
            max_calls: options.max_upstream_calls,
        }
    }

    /// What the caller is told of a platform's refusal; the connection's health learns from it too.
    async fn refused(&self, actor: &Actor, opened: &Opened, error: PlatformError) -> Problem {
        if error.kind.is_refusal() {
            self.learn_from_pull(&actor.organisation, &opened.row, Status::Failing).await;
        }
        error.into()
    }

    async fn read_table(&self, opened: &Opened, asked: &Asked, pulled_at_micros: i64) -> Result<Table, Refusal> {
        match self.read_table_once(opened, asked, pulled_at_micros).await {
            // The rows moved while they were read: once more, from the start.
            Err(Refusal::Platform(error)) if error.kind == ErrorKind::Inconsistent => {
                self.read_table_once(opened, asked, pulled_at_micros).await
            }
            outcome => outcome,
        }
    }

    async fn read_table_once(&self, opened: &Opened, asked: &Asked, pulled_at_micros: i64) -> Result<Table, Refusal> {
        let options = &self.inner.options.stats;
        let started = Instant::now();
        let pair = opened.client.pair();
        let query = asked.for_client(pair, options.max_range_days)?;
        let report = opened.client.stats(&query).await?;
        let mut batches = assemble::assemble(&query, &asked.question.group_by, report, options.max_rows_in_memory);
        let mut rows = Vec::new();
        let mut tally = Tally::default();
        while let Some(batch) = batches.next().await {
            let mut batch = batch?;
            tally.add(&mut batch);
            if tally.row_count() > options.max_rows_in_memory {
                return Err(assemble::too_many_rows(options.max_rows_in_memory).into());
            }
            rows.append(&mut batch.rows);
        }
        Ok(Table {
            connection: reference(opened),
            rows,
            tally,
            fetched_at: Timestamp::now(),
            whole_at: Instant::now(),
            source: Source { upstream_calls: opened.client.upstream().calls(), duration_ms: millis(started.elapsed()) },
            perspective: pair.entry().perspective,
            pulled_at_micros,
            version: opened.row.version,
            orders: Orders::default(),
        })
    }

    /// Answers a question about several connections, in parallel. A broken one never hides the good ones.
    ///
    /// # Errors
    /// A failing database.
    pub async fn stats_of_many(
        &self,
        actor: &Actor,
        ids: Vec<Uuid>,
        question: &Question,
        manner: &Manner,
    ) -> Result<Vec<(Uuid, Result<Arc<Answer>, Problem>)>, Problem> {
        let ids = if ids.is_empty() { self.all_ids(actor).await? } else { ids };
        // One deadline for the whole question, and nobody waits behind a slow one.
        let deadline = Some(Instant::now() + self.inner.options.stats.deadline);
        let manner = Manner { deadline, ..manner.clone() };
        let manner = &manner;
        let answers = futures_util::stream::iter(ids.into_iter().enumerate().map(|(place, id)| async move {
            let answer = self.stats(actor, id, question.clone(), manner).await.map(|(answer, _)| answer);
            (place, id, answer)
        }));
        let mut answers: Vec<_> = answers.buffer_unordered(MANY_AT_ONCE).collect().await;
        answers.sort_by_key(|(place, _, _)| *place);
        Ok(answers.into_iter().map(|(_, id, answer)| (id, answer)).collect())
    }

    async fn all_ids(&self, actor: &Actor) -> Result<Vec<Uuid>, Problem> {
        let owner = actor.organisation.clone();
        let asking = self.inner.db.read(move |db| store::ids(db, &owner).map_err(Problem::from));
        in_time(self.pull_scope(None).deadline, asking).await
    }
}

/// Why no table came about: the platform refused, or the question cannot be asked.
pub(super) enum Refusal {
    Platform(PlatformError),
    Question(Problem),
}

impl From<PlatformError> for Refusal {
    fn from(error: PlatformError) -> Self {
        Self::Platform(error)
    }
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Question(problem)
    }
}

fn reference(opened: &Opened) -> ConnectionRef {
    let pair = opened.client.pair();
    ConnectionRef {
        id: store::id_of(&opened.row),
        name: opened.row.name.clone(),
        platform: pair.platform(),
        connection_type: pair.connection_type(),
    }
}

fn out_of_time(opened: &Opened) -> PlatformError {
    let host = opened.client.upstream().host();
    let who = if host.is_empty() { opened.client.pair().platform().title().to_owned() } else { host };
    PlatformError::new(ErrorKind::Timeout, format!("{who} did not answer everything in time."))
}

fn late() -> PlatformError {
    PlatformError::new(ErrorKind::Timeout, "The tracker did not answer everything in time.")
}

fn write_page(table: &Table, asked: &Asked, after: Option<&Place>, of: &str, until: Instant) -> Answer {
    let written = table.page(asked, after, |place| cursor::encode(of, place));
    let data = written.body.get(..written.data_length).unwrap_or_default();
    let hash = ring::digest::digest(&ring::digest::SHA256, data);
    let tag = URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default());
    Answer {
        body: written.body.into(),
        // Weak: two answers with the same data may say different things about when they were fetched.
        etag: format!("W/\"{tag}\""),
        fetched_at: table.whole_at,
        fresh_until: until,
        version: table.version,
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
        };
        Stats::new(&options, others)
    }

    #[test]
    fn what_was_just_kept_counts_at_once() {
        let stats = stats(true);
        assert!(stats.is_empty());
        let key = ("acme".to_owned(), Uuid::nil(), String::new());
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
        let key = |number: usize| ("acme".to_owned(), Uuid::nil(), number.to_string());
        let many = 64;
        let bytes = usize::try_from(CACHE_BYTES).expect("a size") / many;
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
        assert!(stats.bytes() <= CACHE_BYTES);
    }

    #[test]
    fn what_is_kept_rests_while_others_may_change_it_unseen() {
        let (shared, alone) = (stats(true), stats(false));
        let long_ago = Instant::now().checked_sub(MOST_STALE).expect("a clock that runs");
        assert!(shared.is_watched() && alone.is_watched());
        for stats in [&shared, &alone] {
            stats.watched(long_ago);
        }
        assert!(!shared.is_watched() && alone.is_watched());
        shared.watched(Instant::now());
        assert!(shared.is_watched());
    }

    #[test]
    fn a_connection_is_forgotten_without_the_others() {
        let stats = stats(true);
        let (changed, other) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let key = |id| ("acme".to_owned(), id, String::new());
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
