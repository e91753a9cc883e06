//! One pull: the connection opened, its platform asked, the rows gathered, and what that taught of its health.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tracing::Instrument;
use uuid::Uuid;

use super::query::Asked;
use super::table::{ConnectionRef, Memory, Orders, Source, Table};
use super::tally::Tally;
use crate::clock::{millis, now_micros};
use crate::connections::Actor;
use crate::connections::health::{self, Finding};
use crate::connections::learning::Lesson;
use crate::connections::service::{Connections, Opened};
use crate::connections::store::Stored;
use crate::db::DbError;
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::outbound::{CallScope, Purpose};
use crate::platforms::assemble::Room;
use crate::platforms::stats::StatsQuery;
use crate::platforms::{assemble, verification};
use crate::problem::Problem;
use crate::shares::{Owner, Share};

/// How long an answer waits until it is written what its pull taught. That happens anyway.
const LEARNING: Duration = Duration::from_secs(1);
impl Connections {
    /// Opens the connection for a pull, with the question as its platform takes it.
    pub(super) async fn prepare(
        &self,
        actor: &Actor,
        id: Uuid,
        asked: &Asked,
        scope: CallScope,
    ) -> Result<(Opened, StatsQuery), Problem> {
        let stored = in_time(scope.deadline, self.live(&actor.organisation, id)).await?;
        let opened = self.open(stored, scope)?;
        let query = asked.for_client(opened.client.pair(), self.inner.options.stats.max_range_days)?;
        Ok((opened, query))
    }

    /// Pulls a whole table, within the deadline.
    pub(super) async fn pull(
        &self,
        actor: &Actor,
        id: Uuid,
        asked: &Asked,
        deadline: Option<Instant>,
    ) -> Result<Table, Problem> {
        let scope = self.pull_scope(deadline);
        // Before the row is read: whatever changes it from now on makes the table one of the past.
        let pulled_at_micros = now_micros();
        let (opened, query) = self.prepare(actor, id, asked, scope).await?;
        let reading = self.read_table(&opened, asked, &query, pulled_at_micros);
        let outcome = tokio::time::timeout_at(scope.deadline.into(), reading).await;
        match outcome.unwrap_or_else(|_| Err(out_of_time(&opened))) {
            Ok(table) => {
                self.learn_from_pull(&opened.stored, Finding::Works).await;
                Ok(table)
            }
            Err(error) => Err(self.refused(&opened, error).await),
        }
    }

    pub(super) fn pull_scope(&self, deadline: Option<Instant>) -> CallScope {
        let options = &self.inner.options.stats;
        CallScope {
            purpose: Purpose::Pull,
            deadline: deadline.unwrap_or_else(|| Instant::now() + options.deadline),
            max_calls: options.max_upstream_calls,
        }
    }

    /// The problem that the caller gets for a platform's refusal; the connection's health learns from it too.
    pub(super) async fn refused(&self, opened: &Opened, error: PlatformError) -> Problem {
        if error.kind.is_refusal() {
            let failure = verification::failure(opened.client.pair().subject(), &error);
            self.learn_from_pull(&opened.stored, Finding::Refused(failure)).await;
        }
        error.into()
    }

    async fn read_table(
        &self,
        opened: &Opened,
        asked: &Asked,
        query: &StatsQuery,
        pulled_at_micros: i64,
    ) -> Result<Table, PlatformError> {
        match self.read_table_once(opened, asked, query, pulled_at_micros).await {
            // The rows moved while they were read: once more, from the start.
            Err(error) if error.kind == ErrorKind::Inconsistent => {
                self.read_table_once(opened, asked, query, pulled_at_micros).await
            }
            outcome => outcome,
        }
    }

    async fn read_table_once(
        &self,
        opened: &Opened,
        asked: &Asked,
        query: &StatsQuery,
        pulled_at_micros: i64,
    ) -> Result<Table, PlatformError> {
        let options = &self.inner.options.stats;
        let started = Instant::now();
        let report = opened.client.stats(query).await?;
        let (room, memory) = self.room_for_rows(opened);
        let mut batches = assemble::assemble(query, &asked.question.group_by, report, room);
        let mut rows = Vec::new();
        let mut tally = Tally::default();
        while let Some(batch) = batches.next().await {
            let mut batch = batch?;
            tally.add(&mut batch);
            if tally.row_count().saturating_add(batch.still_to_come) > options.max_rows_in_memory {
                return Err(assemble::too_many_rows(options.max_rows_in_memory));
            }
            rows.append(&mut batch.rows);
        }
        Ok(Table {
            memory: Memory::of(memory.lock().await.detach()),
            connection: reference(opened),
            rows,
            tally,
            fetched_at: Timestamp::now(),
            whole_at: Instant::now(),
            source: Source { upstream_calls: opened.client.upstream().calls(), duration_ms: millis(started.elapsed()) },
            perspective: opened.client.pair().entry().perspective,
            terms: opened.client.terms(query),
            pulled_at_micros,
            version: opened.stored.version,
            orders: Orders::default(),
        })
    }

    /// Room for the rows of a pull, and the memory that is taken for them.
    pub(super) fn room_for_rows(&self, opened: &Opened) -> (Room, Arc<Mutex<Share>>) {
        let owner = Owner::of(opened.stored.organisation.as_str());
        let share = Arc::new(Mutex::new(self.inner.rows.share_of(owner)));
        let max_rows = self.inner.options.stats.max_rows_in_memory;
        let room = Room { max_rows, share: Arc::clone(&share), deadline: opened.client.upstream().deadline() };
        (room, share)
    }

    /// Writes what a pull taught about a connection's health. Neither a caller that leaves nor a database that hangs
    /// takes that along, or holds the answer up; where most likely there is nothing to write, nobody waits at all.
    pub(super) async fn learn_from_pull(&self, stored: &Stored, finding: Finding) {
        if finding == Finding::Works {
            self.inner.uses.record_success(&stored.organisation, stored.id);
        }
        let is_news = self.is_news(stored, &finding);
        let lesson = Lesson {
            organisation: stored.organisation.clone(),
            connection: stored.id,
            version: stored.version,
            finding,
            source: health::Source::Pull,
            verified: None,
        };
        let service = self.clone();
        let learning = async move { service.learn(lesson).await };
        let learning = tokio::spawn(learning.in_current_span());
        if is_news {
            let _ = tokio::time::timeout(LEARNING, learning).await;
        }
    }

    /// Whether a finding changes what is known. A refusal that is known already is not written with every pull.
    fn is_news(&self, stored: &Stored, finding: &Finding) -> bool {
        let condition = stored.condition(&self.inner.vault);
        match finding {
            Finding::Works => !condition.is_fine(),
            Finding::Refused(failure) => !condition.is_known(failure.code),
            Finding::Unknown(_) => true,
        }
    }

    async fn learn(&self, lesson: Lesson) {
        // The row may have changed during the pull: what it says now decides whether there is anything to write.
        let known = self.live(&lesson.organisation, lesson.connection).await;
        if known.is_ok_and(|known| !self.is_news(&known, &lesson.finding)) {
            return;
        }
        let (organisation, now) = (lesson.organisation.as_str().to_owned(), now_micros());
        let learner = self.learner();
        let outcome = self.inner.db.write(organisation, now, move |db| learner.learn(db, &lesson, now)).await;
        if let Err(problem) = outcome {
            tracing::warn!(cause = problem.cause.as_deref(), "a connection's health could not be written");
        }
    }
}

/// The least time that the database has for what a report needs of it.
const A_MOMENT: Duration = Duration::from_millis(500);

/// What the database says, where the whole has a deadline: it has half of the time, for the tracker needs some too.
pub(super) async fn in_time<T>(
    deadline: Instant,
    asking: impl Future<Output = Result<T, Problem>>,
) -> Result<T, Problem> {
    let timeout = deadline.saturating_duration_since(Instant::now()) / 2;
    let answer = tokio::time::timeout(timeout.max(A_MOMENT), asking).await;
    answer.unwrap_or_else(|_| Err(DbError::TooSlow.into()))
}

fn reference(opened: &Opened) -> ConnectionRef {
    let pair = opened.client.pair();
    ConnectionRef {
        id: opened.stored.id,
        name: opened.stored.name.clone(),
        platform: pair.platform(),
        connection_type: pair.connection_type(),
    }
}

pub(super) fn out_of_time(opened: &Opened) -> PlatformError {
    let host = opened.client.upstream().host();
    let who = if host.is_empty() { opened.client.pair().platform().title().to_owned() } else { host };
    PlatformError::new(ErrorKind::Timeout, format!("{who} did not answer everything in time."))
}
