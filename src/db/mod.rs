//! The database: SQLite or PostgreSQL behind one set of queries.
//!
//! [`Db::read`] and [`Db::write`] are the only places that leave the async threads. A write is a transaction whose
//! first statement writes the organisation's row: SQLite takes its write lock there and PostgreSQL the row's lock, so
//! that everything after it, the plan's limit above all, sees the organisation alone.

mod backup;
mod condition;
mod connection;
pub mod models;
pub mod schema;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use diesel::backend::Backend;
use diesel::connection::SimpleConnection;
use diesel::migration::MigrationSource;
use diesel::prelude::*;
use diesel::r2d2::{ConnectionManager, Pool, PooledConnection, R2D2Connection};
use diesel::result::{DatabaseErrorKind, Error as DieselError};
use diesel::sqlite::SqliteConnection;
use diesel::{PgConnection, sql_query};
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use secrecy::{ExposeSecret, SecretString};
use tokio::sync::Mutex;

pub use self::backup::BackupError;
pub use self::condition::Condition;
pub use self::connection::DbConnection;
use crate::metrics;

const SQLITE_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES_MIGRATIONS: EmbeddedMigrations = embed_migrations!("migrations/postgres");

/// Where the data is.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server; the URL holds a password.
    Postgres(SecretString),
}

/// Why the database did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It cannot be reached, is out of space, or refuses to work just now.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// A unique index refused a row.
    #[error("a unique index refused the row")]
    Conflict,
    /// A query failed.
    #[error("a query failed")]
    Query(#[source] DieselError),
}

impl From<DieselError> for DbError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Self::Conflict,
            DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::ReadOnlyTransaction
                | DatabaseErrorKind::Unknown,
                _,
            )
            | DieselError::BrokenTransactionManager => Self::Unavailable(Box::new(error)),
            other => Self::Query(other),
        }
    }
}

/// Opens connections for the pool: the variant is chosen by the URL, once.
#[derive(Debug, Clone)]
struct Manager {
    url: DatabaseUrl,
}

impl diesel::r2d2::ManageConnection for Manager {
    type Connection = DbConnection;
    type Error = diesel::r2d2::Error;

    fn connect(&self) -> Result<DbConnection, Self::Error> {
        match &self.url {
            DatabaseUrl::Postgres(url) => {
                ConnectionManager::<PgConnection>::new(url.expose_secret()).connect().map(DbConnection::Postgres)
            }
            DatabaseUrl::Sqlite(path) => {
                let mut connection = ConnectionManager::<SqliteConnection>::new(path.to_string_lossy()).connect()?;
                // WAL lets readers go on while one writes; `synchronous = FULL` makes an acknowledged write survive a
                // power cut; `secure_delete` overwrites what is deleted.
                connection
                    .batch_execute(
                        "PRAGMA busy_timeout = 10000; PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                         PRAGMA foreign_keys = ON; PRAGMA secure_delete = ON; PRAGMA cache_size = -1000;",
                    )
                    .map_err(diesel::r2d2::Error::QueryError)?;
                Ok(DbConnection::Sqlite(connection))
            }
        }
    }

    fn is_valid(&self, connection: &mut DbConnection) -> Result<(), Self::Error> {
        match connection {
            DbConnection::Postgres(connection) => connection.ping().map_err(diesel::r2d2::Error::QueryError),
            DbConnection::Sqlite(_) => Ok(()),
        }
    }

    fn has_broken(&self, connection: &mut DbConnection) -> bool {
        match connection {
            DbConnection::Postgres(connection) => connection.is_broken(),
            DbConnection::Sqlite(connection) => connection.is_broken(),
        }
    }
}

/// The pool.
#[derive(Clone)]
pub struct Db {
    pool: Pool<Manager>,
    /// SQLite has one writer; waiting for it here is fair and burns no time.
    writer: Option<Arc<Mutex<()>>>,
    /// Whether the write-ahead log may still hold what was deleted.
    unscrubbed: Arc<AtomicBool>,
    /// Queries that wait for a connection.
    waiting: Arc<AtomicU32>,
}

/// What SQLite says of a checkpoint.
#[derive(QueryableByName)]
struct Checkpoint {
    /// Not 0 if others were reading or writing all the time.
    #[diesel(sql_type = diesel::sql_types::Integer)]
    busy: i32,
}

impl Db {
    /// Opens the pool. Connections are made when they are needed, at most `size` of them.
    ///
    /// # Errors
    /// A database that cannot be reached.
    pub fn open(url: &DatabaseUrl, size: u32) -> Result<Self, DbError> {
        let writer = match url {
            DatabaseUrl::Sqlite(_) => Some(Arc::default()),
            DatabaseUrl::Postgres(_) => None,
        };
        let pool = Pool::builder()
            .max_size(size)
            .min_idle(Some(1))
            .connection_timeout(Duration::from_secs(5))
            .test_on_check_out(true)
            .error_handler(Box::new(diesel::r2d2::NopErrorHandler))
            .build(Manager { url: url.clone() })
            .map_err(|error| DbError::Unavailable(Box::new(error)))?;
        // A process that died may have left its log behind.
        let unscrubbed = Arc::new(AtomicBool::new(writer.is_some()));
        Ok(Self { pool, writer, unscrubbed, waiting: Arc::default() })
    }

    /// The names of migrations that are still missing, the next one first.
    ///
    /// # Errors
    /// A database that cannot be reached.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, DbError> {
        self.with_harness_aside(|harness, migrations| match harness {
            Harness::Postgres(connection) => pending(connection, migrations),
            Harness::Sqlite(connection) => pending(connection, migrations),
        })
        .await
    }

    /// Applies the next migration that is still missing, if there is one, and says whether there was.
    ///
    /// # Errors
    /// A database that cannot be reached, or a migration that fails.
    pub async fn migrate_next(&self) -> Result<bool, DbError> {
        self.with_harness_aside(|harness, migrations| match harness {
            Harness::Postgres(connection) => alone(connection, |connection| run_next(connection, migrations)),
            Harness::Sqlite(connection) => run_next(connection, migrations),
        })
        .await
    }

    /// Whether processes on other machines may change what is in it.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.writer.is_none()
    }

    /// Applies every migration that is still missing.
    ///
    /// # Errors
    /// A database that cannot be reached, or a migration that fails.
    pub fn migrate(&self) -> Result<(), DbError> {
        self.with_harness(|harness, migrations| match harness {
            Harness::Postgres(connection) => {
                alone(connection, |connection| connection.run_pending_migrations(migrations).map(drop))
            }
            Harness::Sqlite(connection) => connection.run_pending_migrations(migrations).map(drop),
        })
    }

    /// Takes every migration back. Only tests do that.
    ///
    /// # Errors
    /// A database that cannot be reached, or a migration that fails.
    pub fn revert_all(&self) -> Result<(), DbError> {
        self.with_harness(|harness, migrations| match harness {
            Harness::Postgres(connection) => connection.revert_all_migrations(migrations).map(drop),
            Harness::Sqlite(connection) => connection.revert_all_migrations(migrations).map(drop),
        })
    }

    fn with_harness<T>(
        &self,
        run: impl FnOnce(Harness<'_>, EmbeddedMigrations) -> Result<T, MigrationFailure>,
    ) -> Result<T, DbError> {
        let mut connection = self.acquire()?;
        match &mut *connection {
            DbConnection::Postgres(connection) => run(Harness::Postgres(connection), POSTGRES_MIGRATIONS),
            DbConnection::Sqlite(connection) => run(Harness::Sqlite(connection), SQLITE_MIGRATIONS),
        }
        .map_err(DbError::Unavailable)
    }

    /// The same, without holding an async thread up.
    async fn with_harness_aside<T: Send + 'static>(
        &self,
        run: impl FnOnce(Harness<'_>, EmbeddedMigrations) -> Result<T, MigrationFailure> + Send + 'static,
    ) -> Result<T, DbError> {
        let db = self.clone();
        let done = tokio::task::spawn_blocking(move || db.with_harness(run)).await;
        done.unwrap_or_else(|error| Err(DbError::Unavailable(Box::new(error))))
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
        self.run(queries).await
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
        self.write_all(move |connection| {
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
        let turn = match &self.writer {
            Some(writer) => Some(Arc::clone(writer).lock_owned().await),
            None => None,
        };
        self.run(move |connection| {
            let outcome = connection.transaction(queries);
            drop(turn);
            outcome
        })
        .await
    }

    /// Clears SQLite's write-ahead log of what deleted rows left in it. PostgreSQL looks after itself.
    pub async fn scrub(&self) {
        if self.writer.is_some() {
            self.unscrubbed.store(true, Ordering::Relaxed);
            self.finish_scrub().await;
        }
    }

    /// Does what [`Db::scrub`] could not do because others were at work.
    pub async fn finish_scrub(&self) {
        if !self.unscrubbed.swap(false, Ordering::Relaxed) {
            return;
        }
        let outcome = self.run(|connection| checkpoint(connection).map_err(DbError::from)).await;
        if !matches!(outcome, Ok(true)) {
            self.unscrubbed.store(true, Ordering::Relaxed);
        }
        if let Err(error) = outcome {
            tracing::warn!(error = ?error.to_string(), "the write-ahead log could not be cleared; it is tried again");
        }
    }

    /// A connection, waited for if need be.
    fn acquire(&self) -> Result<PooledConnection<Manager>, DbError> {
        self.waiting.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let connection = self.pool.get();
        self.waiting.fetch_sub(1, Ordering::Relaxed);
        metrics::db_acquired(started.elapsed(), connection.is_ok());
        connection.map_err(|error| DbError::Unavailable(Box::new(error)))
    }

    /// How the pool is used right now.
    #[must_use]
    pub fn pool(&self) -> metrics::Pool {
        let state = self.pool.state();
        metrics::Pool {
            max: self.pool.max_size(),
            idle: state.idle_connections,
            in_use: state.connections.saturating_sub(state.idle_connections),
            waiting: self.waiting.load(Ordering::Relaxed),
        }
    }

    async fn run<T, E, F>(&self, queries: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<DbError> + Send + 'static,
        F: FnOnce(&mut DbConnection) -> Result<T, E> + Send + 'static,
    {
        let db = self.clone();
        let done = tokio::task::spawn_blocking(move || queries(&mut *db.acquire()?));
        match done.await {
            Ok(outcome) => outcome,
            Err(error) => Err(DbError::Unavailable(Box::new(error)).into()),
        }
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

type MigrationFailure = Box<dyn std::error::Error + Send + Sync>;

/// Replicas that start together migrate one after the other.
fn alone<T>(
    connection: &mut PgConnection,
    migrate: impl FnOnce(&mut PgConnection) -> Result<T, MigrationFailure>,
) -> Result<T, MigrationFailure> {
    connection.batch_execute("SELECT pg_advisory_lock(4021877)").map_err(Box::new)?;
    let outcome = migrate(connection);
    connection.batch_execute("SELECT pg_advisory_unlock(4021877)").map_err(Box::new)?;
    outcome
}

fn pending<DB: Backend>(
    connection: &mut impl MigrationHarness<DB>,
    migrations: EmbeddedMigrations,
) -> Result<Vec<String>, MigrationFailure>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let pending = connection.pending_migrations(migrations)?;
    Ok(pending.iter().map(|migration| migration.name().to_string()).collect())
}

fn run_next<DB: Backend>(
    connection: &mut impl MigrationHarness<DB>,
    migrations: EmbeddedMigrations,
) -> Result<bool, MigrationFailure>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let pending = connection.pending_migrations(migrations)?;
    if let Some(next) = pending.first() {
        connection.run_migration(next)?;
    }
    Ok(!pending.is_empty())
}

enum Harness<'a> {
    Postgres(&'a mut PgConnection),
    Sqlite(&'a mut SqliteConnection),
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
