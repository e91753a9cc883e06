//! Who used which connection, gathered in memory and written in batches, so that a pull waits for no database.
//!
//! A transaction is small and short, organisations take turns, and what fails is tried again in smaller parts: however
//! many uses one organisation has, the others can write.

mod batch;
mod pending;

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use moka::sync::Cache;
use parking_lot::{Mutex, MutexGuard};
use uuid::Uuid;

use self::pending::{OK, Pending, Seen, Use};
use super::Actor;
use super::schedule::Schedule;
use crate::clock::now_micros;
use crate::db::{Db, DbError};
use crate::problem::Problem;
use crate::telemetry;
use crate::tenancy::OrgId;

/// How long a batch waits for the one before it, and a list for what it shows to be written.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Organisations whose batches are written at the same time. Where so many fail one after the other, the database is
/// away.
const WRITERS: usize = 4;

/// Automations that are remembered not to be new, of all connections together.
const KNOWN: u64 = 100_000;

/// Notes uses, and writes them.
#[derive(Clone)]
pub(super) struct Uses {
    db: Db,
    schedule: Schedule,
    noted: Arc<Noted>,
}

struct Noted {
    pending: Mutex<HashMap<OrgId, Pending>>,
    /// Automations that have been taken up, by connection and a hash of the name.
    known: Cache<(Uuid, u64), ()>,
    hasher: RandomState,
}

/// What came of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Written {
    /// Nothing is left.
    All,
    /// There is more.
    Part,
    /// It has to wait.
    Failed,
}

impl Uses {
    pub(super) fn new(db: Db, schedule: Schedule) -> Self {
        let known = Cache::new(KNOWN);
        Self { db, schedule, noted: Arc::new(Noted { pending: Mutex::default(), known, hasher: RandomState::new() }) }
    }

    /// Notes a use. The same user, connection and automation take one place until the next batch.
    pub(super) fn record(&self, actor: &Actor, connection: Uuid, automation: Option<&str>) {
        self.note(actor, connection, automation, OK);
    }

    /// Notes a pull that worked, for any caller: it counts as a check of the connection.
    pub(super) fn record_success(&self, organisation: &OrgId, connection: Uuid) {
        let seen = Seen { used: None, worked: Some(now_micros()) };
        self.pending().entry(organisation.clone()).or_default().see(connection, seen);
    }

    /// Notes a pull that the tracker has refused: the audit trail has it, but it is no use that brought anything.
    pub(super) fn record_refusal(&self, actor: &Actor, connection: Uuid, automation: Option<&str>, problem: &Problem) {
        if problem.code.is_trackers_refusal() {
            self.note(actor, connection, automation, problem.code.slug());
        }
    }

    fn note(&self, actor: &Actor, connection: Uuid, automation: Option<&str>, outcome: &'static str) {
        let now = Instant::now();
        let key = automation.map(|automation| (connection, self.noted.hasher.hash_one(automation)));
        let is_known = key.is_none_or(|key| self.noted.known.get(&key).is_some());
        let mut all = self.pending();
        let pending = all.entry(actor.organisation.clone()).or_default();
        let is_admitted = is_known || pending.admit(connection, now);
        let automation = automation.filter(|_| is_admitted);
        pending.note(&Use { actor, connection, automation, outcome }, now);
        drop(all);
        // One whose pull was refused is no automation of the connection yet.
        if let Some(key) = key.filter(|_| is_admitted && !is_known && outcome == OK) {
            self.noted.known.insert(key, ());
        }
    }

    fn pending(&self) -> MutexGuard<'_, HashMap<OrgId, Pending>> {
        self.noted.pending.lock()
    }

    /// Writes what was used since the last time, a few organisations in parallel and one batch of each in a round. What
    /// cannot be written now is tried again the next time. `progress` hears of every batch.
    pub(super) async fn flush(&self, progress: impl Fn()) {
        let mut waiting = self.waiting();
        let mut failed = 0;
        while !waiting.is_empty() {
            let mut round = futures_util::stream::iter(waiting)
                .map(async |organisation| (self.write(&organisation).await, organisation))
                .buffer_unordered(WRITERS);
            waiting = Vec::new();
            while let Some((written, organisation)) = round.next().await {
                progress();
                failed = if written == Written::Failed { failed + 1 } else { 0 };
                if failed >= WRITERS {
                    return;
                }
                if written == Written::Part {
                    waiting.push(organisation);
                }
            }
        }
    }

    /// The same at the end of the process: hours of the audit trail that are not over end now.
    pub(super) async fn finish(&self) {
        self.pending().values_mut().for_each(Pending::end_all_hours);
        self.flush(|| ()).await;
    }

    /// The same for one organisation, after any batch of it that is being written.
    pub(super) async fn flush_of(&self, organisation: &OrgId) {
        let began = Instant::now();
        while self.write(organisation).await == Written::Part && began.elapsed() < TIMEOUT {}
    }

    /// The organisations that have something to write. Those that have nothing at all are forgotten.
    fn waiting(&self) -> Vec<OrgId> {
        let now = Instant::now();
        let mut all = self.pending();
        all.retain(|_, pending| !pending.tidy(now));
        all.iter().filter(|(_, pending)| !pending.is_written()).map(|(organisation, _)| organisation.clone()).collect()
    }

    async fn write(&self, organisation: &OrgId) -> Written {
        let (uses, organisation) = (self.clone(), organisation.clone());
        // A task of its own: a caller that leaves must not take along what is not written yet.
        let writing = tokio::spawn(async move { uses.write_batch(organisation).await });
        writing.await.unwrap_or(Written::Failed)
    }

    async fn write_batch(&self, organisation: OrgId) -> Written {
        let Some(turn) = self.pending().get(&organisation).map(|pending| Arc::clone(&pending.turn)) else {
            return Written::All;
        };
        let Ok(_turn) = tokio::time::timeout(TIMEOUT, turn.lock()).await else { return Written::Failed };
        let items = self.pending().get_mut(&organisation).map(Pending::take).unwrap_or_default();
        if items.is_empty() {
            return Written::All;
        }
        let (batch, owner, schedule) = (items.clone(), organisation.clone(), self.schedule);
        let outcome = self
            .db
            .write(organisation.as_str().to_owned(), now_micros(), move |db| batch::write(db, schedule, &owner, &batch))
            .await;
        let mut all = self.pending();
        let pending = all.entry(organisation).or_default();
        match outcome {
            Ok(written) => {
                pending.grow();
                pending.put_back(items.into_iter().skip(written).collect::<Vec<_>>());
                if pending.is_written() { Written::All } else { Written::Part }
            }
            Err(error) => {
                let cause = telemetry::chain(&error);
                // The database is there and refuses this very one: it would refuse it forever.
                if items.len() == 1 && matches!(error, DbError::Query(_) | DbError::Conflict) {
                    tracing::error!(cause, "a use cannot be written and is lost");
                } else {
                    tracing::warn!(cause, "uses could not be written; they wait for the next batch");
                    pending.shrink(items.len());
                    pending.put_back(items);
                }
                Written::Failed
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;
    use diesel::prelude::*;

    use super::*;
    use crate::db::DatabaseUrl;
    use crate::db::schema::{audit_events, automations, connections};

    async fn database(folder: &tempfile::TempDir, connection: Uuid) -> Db {
        let db = Db::open(&DatabaseUrl::Sqlite(folder.path().join("test.db")), 2).expect("a database");
        db.migrate().expect("migrations");
        let row = format!(
            "INSERT INTO connections (id, organisation_id, name, name_key, platform, connection_type, status, \
             counts_toward_limit, version, verify_attempts, created_at, updated_at, created_by) \
             VALUES ('{connection}', 'acme', 'Demo', 'demo', 'demo', 'admin', 'active', FALSE, 1, 0, 0, 0, 'ann')"
        );
        db.write("acme".to_owned(), 0, move |db| -> Result<(), DbError> { Ok(db.batch_execute(&row)?) })
            .await
            .expect("a connection");
        db
    }

    async fn written(db: &Db) -> (i64, i64, i64) {
        db.read(|db| -> Result<_, DbError> {
            let used = connections::table.filter(connections::last_used_at.is_not_null()).count().get_result(db)?;
            let automations = automations::table.count().get_result(db)?;
            Ok((used, automations, audit_events::table.count().get_result(db)?))
        })
        .await
        .expect("rows")
    }

    #[tokio::test]
    async fn a_use_that_cannot_be_written_takes_no_other_along() {
        let (folder, good) = (tempfile::tempdir().expect("a folder"), Uuid::from_u128(1));
        let db = database(&folder, good).await;
        let uses = Uses::new(db.clone(), Schedule::every(None));
        let actor = Actor {
            organisation: "acme".parse().expect("an organisation"),
            plan: None,
            subject: "ann".to_owned(),
            via_service: false,
            address: None,
            request_id: "request".to_owned(),
        };
        for n in 0..50 {
            uses.record(&actor, good, Some(&format!("automation {n}")));
        }
        // There is no such connection, and the database knows.
        uses.record(&actor, Uuid::from_u128(2), Some("automation"));
        for _ in 0..20 {
            uses.flush(|| ()).await;
        }
        assert_eq!(written(&db).await, (1, 50, 2));
        assert!(uses.waiting().is_empty(), "nothing is tried forever");
    }

    #[tokio::test]
    async fn a_thousand_uses_are_written_in_one_flush_of_many_batches() {
        let (folder, good) = (tempfile::tempdir().expect("a folder"), Uuid::from_u128(1));
        let db = database(&folder, good).await;
        let uses = Uses::new(db.clone(), Schedule::every(None));
        for n in 0..500 {
            let actor = Actor {
                organisation: "acme".parse().expect("an organisation"),
                plan: None,
                subject: format!("user {n}"),
                via_service: false,
                address: None,
                request_id: "request".to_owned(),
            };
            uses.record(&actor, good, None);
        }
        let batches = std::cell::Cell::new(0);
        uses.flush(|| batches.set(batches.get() + 1)).await;
        assert_eq!(written(&db).await, (1, 0, 500));
        assert!(batches.get() >= 3, "{batches:?}");
    }
}
