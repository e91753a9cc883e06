//! Statistics through connections: pulled live, shared while in flight, kept in memory for a moment, never on disk.
//!
//! What is kept is found in this process first, then, where there is Redis, among what other replicas pulled.

pub(super) mod cache;
pub mod compare;
mod days;
pub mod echo;
mod fetch;
pub mod file;
mod files;
pub(super) mod heavy;
pub mod layout;
pub mod merged;
mod numbers;
pub mod order;
mod packed;
pub mod page;
mod pull;
pub mod query;
mod sheet;
pub mod sift;
pub mod stream;
pub mod table;
pub mod tally;
pub mod values;
mod whole;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use futures_util::{FutureExt, StreamExt};
use jiff::Timestamp;
use serde::Serialize;
use tracing::{Instrument, Span};
use utoipa::ToSchema;
use uuid::Uuid;

pub use self::cache::{Answer, Options};
use self::cache::{Brought, Flight, PullKey, Way};
use self::order::RowPosition;
use self::pull::in_time;
use self::query::{Asked, Question};
use self::sheet::Part;
use self::table::Table;
use super::service::Connections;
use super::{Actor, cursor, readers, store};
use crate::metrics;
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::problem::{Code, Problem};
use crate::shares::{Owner, Share};

/// How long an outcome of the last moment has to get here from the threads that read.
const HANDING_OVER: Duration = Duration::from_millis(250);

/// Connections of one question that are pulled at the same time.
const MANY_AT_ONCE: usize = 32;

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
    /// The deadline that the caller gave the request, if shorter than everybody's.
    pub own_deadline: Option<Duration>,
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
        let after: Option<RowPosition> =
            asked.question.cursor.as_deref().map(|cursor| cursor::decode(&of(&asked), cursor)).transpose()?;
        if let Some(range) = after.as_ref().and_then(RowPosition::days) {
            asked.range = range;
        }
        let organisation = actor.organisation.as_str();
        let cursor_text = asked.question.cursor.as_deref().unwrap_or_default();
        let limit = asked.question.limit.to_string();
        let answer_key = PullKey::of(id, &[organisation, &asked.table_key(), &limit, cursor_text]);
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
        let (part, until, origin) = self.part(actor, id, &asked, manner).await.inspect_err(|problem| {
            self.inner.uses.record_refusal(actor, id, manner.automation.as_deref(), problem);
        })?;
        self.inner.uses.record(actor, id, manner.automation.as_deref());
        let of = of(&asked);
        let version = part.version();
        let answer = if part.row_count() < heavy::LONG {
            write_page(&part, &asked, after.as_ref(), &of, until)
        } else {
            let write = move || write_page(&part, &asked, after.as_ref(), &of, until);
            self.inner.heavy.run(actor.organisation.as_str(), write).await?
        };
        let answer = Arc::new(answer);
        if until > Instant::now() && self.inner.stats.is_current(id, version) {
            self.inner.stats.answers.insert(answer_key, (Arc::clone(&answer), until));
        }
        Ok((answer, origin))
    }

    /// The tables that answer a question, that of the days compared with among them: until when they may be kept, and
    /// where they came from.
    async fn part(
        &self,
        actor: &Actor,
        id: Uuid,
        asked: &Asked,
        manner: &Manner,
    ) -> Result<(Part, Instant, Origin), Problem> {
        let key = |asked: &Asked| PullKey::of(id, &[actor.organisation.as_str(), &asked.pull_key()]);
        let now = self.table(actor, id, asked, key(asked), manner);
        let Some(alignment) = asked.alignment()? else {
            let ((now, until), origin) = now.await?;
            return Ok((Part { now, then: None }, until, origin));
        };
        let earlier = asked.then(&alignment);
        let then = self.table(actor, id, &earlier, key(&earlier), manner);
        let (((now, until), origin), ((then, until_then), origin_then)) = futures_util::try_join!(now, then)?;
        // What had to be pulled says how fresh the whole is.
        let origin = if origin == Origin::Hit { origin_then } else { origin };
        Ok((Part { now, then: Some((alignment, then)) }, until.min(until_then), origin))
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
        if !manner.no_cache
            && let Some(known) = self.known_days(actor, id, asked)
            && let Some(((table, until), origin)) = self.complete(actor, id, asked, manner, known).await?
        {
            if until > Instant::now() && self.inner.stats.is_current(id, table.version) {
                self.inner.stats.keep(key, &table, until);
                self.note_days(actor, id, asked, key);
            }
            if origin == Origin::Hit {
                metrics::cache("hit");
            }
            return Ok(((table, until), origin));
        }
        let deadline = self.pull_scope(manner.deadline).deadline;
        loop {
            let (flight, shared) = self.flight(actor, id, asked, key, manner);
            metrics::cache(if shared { "shared" } else { "miss" });
            // A pull that another request began may take longer than this one has time.
            let brought = tokio::time::timeout_at((deadline + HANDING_OVER).into(), flight).await;
            let Brought { table, until, way } = brought.unwrap_or_else(|_| Err(late().into()))?;
            // Who wants the tracker's answer of now does not take what a replica got a while ago.
            if manner.no_cache && way == Way::Replica {
                continue;
            }
            let left = until.saturating_duration_since(Instant::now());
            let stored = !left.is_zero() && self.inner.stats.is_current(id, table.version);
            // Each request that shares the pull stores it: the one that started it may have gone away.
            if stored {
                self.inner.stats.keep(key, &table, until);
                self.note_days(actor, id, asked, key);
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
        let mut flights = self.inner.stats.flights.lock();
        let key = (key, manner.own_deadline);
        // Everybody may join a pull that has the time of all; one that ends early for its own caller ends for no other.
        for key in [(key.0, None), key] {
            if let Some(flight) = flights.get(&key).and_then(|(_, flight)| flight.upgrade())
                && flight.peek().is_none()
            {
                return (flight, true);
            }
        }
        if flights.len() > 1_000 {
            flights.retain(|_, (_, flight)| flight.upgrade().is_some());
        }
        let number = NUMBERS.fetch_add(1, Ordering::Relaxed);
        let (service, actor, asked, own) = (self.clone(), actor.clone(), asked.clone(), key);
        let (no_cache, deadline) = (manner.no_cache, manner.deadline);
        let pull = async move {
            let outcome = service.fetch(&actor, id, &asked, no_cache, deadline).await;
            let mut flights = service.inner.stats.flights.lock();
            // A change may have sent the next pull on its way already: that one is left alone.
            if flights.get(&own).is_some_and(|(known, _)| *known == number) {
                flights.remove(&own);
            }
            drop(flights);
            outcome
        };
        // However many wait for it, its lines are those of the request that began it.
        let flight = readers::run(pull).instrument(Span::current()).boxed().shared();
        if let Some(weak) = flight.downgrade() {
            flights.insert(key, (number, weak));
        }
        (flight, false)
    }

    /// Answers a question about several connections, in parallel. A broken one never hides the good ones.
    pub async fn stats_of_many(
        &self,
        actor: &Actor,
        ids: Vec<Uuid>,
        question: &Question,
        manner: &Manner,
    ) -> Result<Vec<(Uuid, Result<InRoom, Problem>)>, Problem> {
        let (ids, manner) = self.many(actor, ids, manner).await?;
        let deadline = self.pull_scope(manner.deadline).deadline;
        let manner = &manner;
        let answers = futures_util::stream::iter(ids.into_iter().enumerate().map(|(place, id)| async move {
            let answered = async {
                let (answer, _) = self.stats(actor, id, question.clone(), manner).await?;
                let owner = Owner::of(actor.organisation.as_str());
                let room = self.inner.results.take(owner, answer.body.len(), deadline).await.map_err(|_| no_room())?;
                Ok(InRoom { answer, room })
            };
            (place, id, answered.await)
        }));
        let mut answers: Vec<_> = answers.buffer_unordered(MANY_AT_ONCE).collect().await;
        answers.sort_by_key(|(place, _, _)| *place);
        Ok(answers.into_iter().map(|(_, id, answer)| (id, answer)).collect())
    }

    /// The longest that a statistics request may take.
    pub fn longest_deadline(&self) -> Duration {
        self.inner.options.stats.deadline
    }

    async fn all_ids(&self, actor: &Actor) -> Result<Vec<Uuid>, Problem> {
        let owner = actor.organisation.clone();
        let asking = self.inner.db.read(move |db| store::ids(db, &owner).map_err(Problem::from));
        in_time(self.pull_scope(None).deadline, asking).await
    }
}

/// An answer among others, and its room until all of them are read.
pub struct InRoom {
    /// The answer.
    pub answer: Arc<Answer>,
    /// Its room.
    pub room: Share,
}

fn no_room() -> Problem {
    Problem::new(Code::Overloaded, "There is no memory left for so many answers at once.")
        .hint("Ask for fewer connections at a time, or for smaller pages.")
        .retry_after(Duration::from_secs(5))
}

fn late() -> PlatformError {
    PlatformError::new(ErrorKind::Timeout, "The tracker did not answer everything in time.")
}

fn write_page(part: &Part, asked: &Asked, after: Option<&RowPosition>, of: &str, until: Instant) -> Answer {
    let encode = |position: &RowPosition| cursor::encode(of, position);
    let mut written = if asked.is_plain() {
        page::of_table(&part.now, asked, after, encode)
    } else {
        page::of_part(part, asked, after, encode)
    };
    // It is kept, and weighed by what is in it.
    written.body.shrink_to_fit();
    let data = written.body.get(..written.data_length).unwrap_or_default();
    let hash = ring::digest::digest(&ring::digest::SHA256, data);
    let tag = URL_SAFE_NO_PAD.encode(hash.as_ref().get(..16).unwrap_or_default());
    Answer {
        body: written.body.into(),
        // Weak: two answers with the same data may say different things about when they were fetched.
        etag: format!("W/\"{tag}\""),
        fetched_at: part.whole_at(),
        fresh_until: until,
        version: part.version(),
    }
}
