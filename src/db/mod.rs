//! The database: SQLite or PostgreSQL behind one set of queries.
//!
//! [`Db::read`] and [`Db::write`] are the only places that leave the async threads. A write is a transaction whose
//! first statement writes the organisation's row: SQLite takes its write lock there and PostgreSQL the row's lock, so
//! that everything after it, the plan's limit above all, sees the organisation alone.
//!
//! Everybody is answered within ten seconds, even by a database that is silent: see `pool` for how long what may take.

mod backup;
mod changes;
mod condition;
mod connection;
mod error;
mod migrate;
mod pool;
pub mod schema;
mod server;
mod url;
mod write_locks;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_query;
use tokio::time::timeout_at;
use tracing::Instrument;

pub use self::backup::BackupError;
use self::changes::Changes;
pub(crate) use self::changes::Stamp;
pub use self::condition::{Condition, Writes};
pub use self::connection::DbConnection;
pub use self::error::{DbError, ReadOnly};
use self::pool::{Bounds, Pool};
pub use self::server::Timeline;
pub use self::url::DatabaseUrl;
use self::write_locks::{WriteGuard, WriteLocks};
use crate::metrics;

/// The longest that passes between a change's asking to be written and its being there for everybody to see, whatever
/// its caller was answered meanwhile. Nothing is committed once its time is over; and a commit that is on its way by
/// then arrives while the system still sends it, and takes no longer than a statement may.
pub const LONGEST_WRITE: Duration =
    Bounds::SERVING.total.saturating_add(pool::UNACKNOWLEDGED).saturating_add(Bounds::SERVING.statement);

/// The database.
#[derive(Clone)]
pub struct Db {
    pool: Arc<Pool>,
    write_locks: WriteLocks,
    /// Whether the write-ahead log may still hold what was deleted.
    unscrubbed: Arc<AtomicBool>,
    /// Queries that wait for a connection.
    waiting: Arc<AtomicU32>,
    changes: Arc<Changes>,
}

/// What SQLite says of a checkpoint.
#[derive(QueryableByName)]
struct Checkpoint {
    /// Not 0 if others were reading or writing all the time.
    #[diesel(sql_type = diesel::sql_types::Integer)]
    busy: i32,
}

impl Db {
    /// Opens it for a service whose callers wait. Connections are made when they are needed, at most `size` of them.
    ///
    /// # Errors
    /// A database that cannot be reached.
    pub fn open(url: &DatabaseUrl, size: u32) -> Result<Self, DbError> {
        Self::within(url, size, Bounds::SERVING)
    }

    /// Opens it for a command that goes through everything, and may take its time: [`LONGEST_WRITE`] does not hold for what
    /// it writes, so that must be nothing that others have to notice.
    ///
    /// # Errors
    /// A database that cannot be reached.
    pub fn open_for_work(url: &DatabaseUrl, size: u32) -> Result<Self, DbError> {
        Self::within(url, size, Bounds::WORKING)
    }

    fn within(url: &DatabaseUrl, size: u32, bounds: Bounds) -> Result<Self, DbError> {
        let pool = Pool::open(url, size, bounds)?;
        let is_file = matches!(url, DatabaseUrl::Sqlite(_));
        // A process that died may have left its log behind.
        let unscrubbed = Arc::new(AtomicBool::new(is_file));
        Ok(Self {
            pool,
            write_locks: WriteLocks::of(size, is_file),
            unscrubbed,
            waiting: Arc::default(),
            changes: Arc::default(),
        })
    }

    fn is_file(&self) -> bool {
        matches!(self.pool.url, DatabaseUrl::Sqlite(_))
    }

    /// Whether processes on other machines may change what is in it.
    pub(crate) fn is_shared(&self) -> bool {
        !self.is_file()
    }

    /// Runs queries that change nothing.
    ///
    /// # Errors
    /// What the database refuses.
    pub async fn read<T, E, F>(&self, queries: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
        F: FnOnce(&mut DbConnection) -> Result<T, E> + Send + 'static,
    {
        self.run(self.deadline(), Work::READING, queries).await
    }

    /// Runs a transaction on behalf of an organisation, alone with its rows.
    ///
    /// # Errors
    /// What the database refuses, or what `queries` returns; then nothing is changed.
    pub async fn write<T, E, F>(&self, organisation: String, now: i64, queries: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + From<DieselError> + Send + 'static,
        F: FnOnce(&mut DbConnection) -> Result<T, E> + Send + 'static,
    {
        self.change(Some(organisation.clone()), false, move |connection| {
            lock_organisation(connection, &organisation, now)?;
            queries(connection)
        })
        .await
    }

    /// The same for what deletes or replaces secrets: [`Db::finish_scrub`] clears what that leaves behind, whatever
    /// becomes of the caller.
    ///
    /// # Errors
    /// What the database refuses, or what `queries` returns; then nothing is changed.
    pub(crate) async fn write_erasing<T, E, F>(&self, organisation: String, now: i64, queries: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + From<DieselError> + Send + 'static,
        F: FnOnce(&mut DbConnection) -> Result<T, E> + Send + 'static,
    {
        self.change(Some(organisation.clone()), true, move |connection| {
            lock_organisation(connection, &organisation, now)?;
            queries(connection)
        })
        .await
    }

    /// Runs a transaction that concerns several organisations. Its first statement must be a write.
    ///
    /// # Errors
    /// What the database refuses, or what `queries` returns; then nothing is changed.
    pub async fn write_all<T, E, F>(&self, queries: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + From<DieselError> + Send + 'static,
        F: FnOnce(&mut DbConnection) -> Result<T, E> + Send + 'static,
    {
        self.change(None, false, queries).await
    }

    async fn change<T, E, F>(&self, organisation: Option<String>, erases: bool, queries: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + From<DieselError> + Send + 'static,
        F: FnOnce(&mut DbConnection) -> Result<T, E> + Send + 'static,
    {
        let deadline = self.deadline();
        let Ok(lock) = timeout_at(deadline.into(), self.write_locks.take(organisation.as_deref())).await else {
            return Err(DbError::TooSlow.into());
        };
        let unscrubbed = (erases && self.is_file()).then(|| Arc::clone(&self.unscrubbed));
        self.run(deadline, Work { lock: Some(lock), writes: true, unscrubbed }, queries).await
    }

    /// Clears SQLite's write-ahead log of what deleted rows left in it, if any did; what cannot be done because others are
    /// at work is done the next time. PostgreSQL looks after itself.
    pub async fn finish_scrub(&self) {
        if !self.unscrubbed.swap(false, Ordering::Relaxed) {
            return;
        }
        let outcome =
            self.run(self.deadline(), Work::READING, |connection| Ok::<_, DbError>(checkpoint(connection)?)).await;
        if !matches!(outcome, Ok(true)) {
            self.unscrubbed.store(true, Ordering::Relaxed);
        }
        if let Err(error) = outcome {
            tracing::warn!(error = ?error.to_string(), "the write-ahead log could not be cleared; it is tried again");
        }
    }

    /// What the database holds now, as far as that can be said at once: what was read after an equal stamp still holds.
    pub(crate) fn stamp(&self) -> Option<Stamp> {
        self.changes.stamp(&self.pool.url)
    }

    /// How the connections are used right now.
    pub fn pool(&self) -> metrics::Pool {
        let (idle, in_use) = self.pool.state();
        metrics::Pool { max: self.pool.size, idle, in_use, waiting: self.waiting.load(Ordering::Relaxed) }
    }

    /// The history that the database writes, where it has several: after a failover it is another.
    pub(crate) fn timeline(&self) -> Option<Timeline> {
        self.pool.timeline()
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.pool.bounds.total
    }

    /// Runs queries in a thread that may wait for them. Who has a lock keeps it until they are over, or given up.
    async fn run<T, E, F>(&self, deadline: Instant, work: Work, queries: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
        F: FnOnce(&mut DbConnection) -> Result<T, E> + Send + 'static,
    {
        let Work { lock, writes, unscrubbed } = work;
        let started = Instant::now();
        let waiting = Waiting::one_more(&self.waiting);
        let permit =
            self.pool.permit(deadline).await.inspect_err(|_| metrics::db_acquired(started.elapsed(), false))?;
        let pool = Arc::clone(&self.pool);
        let running = tokio::task::spawn_blocking(move || {
            let fetched = pool.fetch();
            drop(waiting);
            metrics::db_acquired(started.elapsed(), fetched.is_ok());
            let outcome = fetched?.run(deadline, writes, queries);
            if let Some(unscrubbed) = unscrubbed {
                unscrubbed.store(true, Ordering::Relaxed);
            }
            outcome
        });
        let pool = Arc::clone(&self.pool);
        // A task of its own: permit and lock are those of the queries, which go on when their caller leaves.
        let watching = async move {
            let outcome = pool.watch(running, permit, deadline).await;
            drop(lock);
            outcome
        };
        match tokio::spawn(watching.in_current_span()).await {
            Ok(outcome) => outcome?,
            Err(error) => Err(DbError::Unavailable(Box::new(error)).into()),
        }
    }
}

/// What queries do, beside what they ask.
struct Work {
    lock: Option<WriteGuard>,
    writes: bool,
    /// Noted once they are over, whatever came of them.
    unscrubbed: Option<Arc<AtomicBool>>,
}

impl Work {
    const READING: Self = Self { lock: None, writes: false, unscrubbed: None };
}

/// Counts a query that waits for a connection, until it is dropped.
struct Waiting(Arc<AtomicU32>);

impl Waiting {
    fn one_more(waiting: &Arc<AtomicU32>) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(waiting))
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Moves the whole write-ahead log into the database and empties it; says whether nobody was in the way.
fn checkpoint(connection: &mut DbConnection) -> Result<bool, DieselError> {
    match connection {
        DbConnection::Postgres(_) => Ok(true),
        DbConnection::Sqlite(connection) => {
            let done: Checkpoint = sql_query("PRAGMA wal_checkpoint(TRUNCATE)").get_result(connection)?;
            Ok(done.busy == 0)
        }
    }
}

/// The first statement of a write: from here on the transaction is alone with the organisation.
fn lock_organisation(connection: &mut DbConnection, organisation: &str, now: i64) -> Result<(), DieselError> {
    // Both databases take `$1`, and both know this form of ON CONFLICT; the query builder knows it for neither.
    const LOCK: &str = "INSERT INTO organisations (id, writes, created_at) VALUES ($1, 1, $2) \
                        ON CONFLICT (id) DO UPDATE SET writes = organisations.writes + 1";
    use diesel::sql_types::{BigInt, Text};
    match connection {
        DbConnection::Postgres(connection) => {
            sql_query(LOCK).bind::<Text, _>(organisation).bind::<BigInt, _>(now).execute(connection)
        }
        DbConnection::Sqlite(connection) => {
            sql_query(LOCK).bind::<Text, _>(organisation).bind::<BigInt, _>(now).execute(connection)
        }
    }
    .map(drop)
}

#[cfg(test)]
mod tests {
    use diesel::connection::SimpleConnection;

    use super::*;

    #[derive(QueryableByName)]
    struct Count {
        #[diesel(sql_type = diesel::sql_types::BigInt)]
        count: i64,
    }

    #[tokio::test]
    async fn what_takes_too_long_fails_in_time_and_is_never_committed() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let url = DatabaseUrl::Sqlite(folder.path().join("test.db"));
        let total = Duration::from_secs(2);
        let db = Db::within(&url, 2, Bounds { total, ..Bounds::SERVING }).expect("a database");
        let run = |sql: &'static str, time: Duration| {
            db.write("acme".to_owned(), 0, move |db| -> Result<(), DbError> {
                db.batch_execute(sql)?;
                std::thread::sleep(time);
                Ok(())
            })
        };
        db.migrate().expect("migrations");
        run("CREATE TABLE marks (mark INTEGER)", Duration::ZERO).await.expect("a table");
        let started = Instant::now();
        let slow = run("INSERT INTO marks VALUES (1)", total + Duration::from_secs(1)).await;
        assert!(matches!(slow, Err(DbError::TooSlow)), "{slow:?}");
        assert!(started.elapsed() < total + Duration::from_millis(900), "{:?}", started.elapsed());
        // The lock is free again, but the file is not until the slow one has noticed.
        tokio::time::sleep(Duration::from_secs(1)).await;
        run("INSERT INTO marks VALUES (2)", Duration::ZERO).await.expect("the lock");
        let marks = db.read(|db| -> Result<Count, DbError> {
            let DbConnection::Sqlite(db) = db else { panic!("this is SQLite") };
            Ok(sql_query("SELECT sum(mark) AS count FROM marks").get_result(db)?)
        });
        assert_eq!(marks.await.expect("the marks").count, 2);
    }
}
