//! Migrations: which are missing, and applying them, one replica at a time.

use std::sync::Arc;

use diesel::backend::Backend;
use diesel::connection::SimpleConnection;
use diesel::migration::Migration;
use diesel::pg::Pg;
use diesel::prelude::*;
use diesel::sqlite::SqliteConnection;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::pool::Pool;
use super::{Db, DbConnection, DbError};

const SQLITE: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("../../migrations/postgres");

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Db {
    /// The names of migrations that are still missing, the next one first.
    ///
    /// # Errors
    /// A database that cannot be reached.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, DbError> {
        self.with_connection_aside(|connection| match connection {
            DbConnection::Postgres(connection) => Ok(names(&pending_on_postgres(connection)?)),
            DbConnection::Sqlite(connection) => Ok(names(&connection.pending_migrations(SQLITE)?)),
        })
        .await
    }

    /// Applies the next migration that is still missing, if there is one, and says whether there was.
    ///
    /// # Errors
    /// A database that cannot be reached, or a migration that fails.
    pub async fn migrate_next(&self) -> Result<bool, DbError> {
        let pool = Arc::clone(&self.pool);
        self.with_connection_aside(move |connection| match connection {
            DbConnection::Postgres(connection) => alone(&pool, connection, run_next_on_postgres),
            DbConnection::Sqlite(connection) => run_next_on_sqlite(connection),
        })
        .await
    }

    /// Applies every migration that is still missing.
    ///
    /// # Errors
    /// A database that cannot be reached, or a migration that fails.
    pub fn migrate(&self) -> Result<(), DbError> {
        let pool = &self.pool;
        self.with_connection(|connection| match connection {
            DbConnection::Postgres(connection) => alone(pool, connection, |connection| {
                while run_next_on_postgres(connection)? {}
                Ok(())
            }),
            DbConnection::Sqlite(connection) => connection.run_pending_migrations(SQLITE).map(drop),
        })
    }

    /// Takes every migration back. Only tests do that.
    ///
    /// # Errors
    /// A database that cannot be reached, or a migration that fails.
    pub fn revert_all(&self) -> Result<(), DbError> {
        let pool = &self.pool;
        self.with_connection(|connection| match connection {
            DbConnection::Postgres(connection) => {
                alone(pool, connection, |connection| connection.revert_all_migrations(POSTGRES).map(drop))
            }
            DbConnection::Sqlite(connection) => connection.revert_all_migrations(SQLITE).map(drop),
        })
    }

    fn with_connection<T>(&self, run: impl FnOnce(&mut DbConnection) -> Result<T, Failure>) -> Result<T, DbError> {
        run(&mut self.pool.connect_without_bounds()?).map_err(DbError::Unavailable)
    }

    /// The same, without holding an async thread up.
    async fn with_connection_aside<T: Send + 'static>(
        &self,
        run: impl FnOnce(&mut DbConnection) -> Result<T, Failure> + Send + 'static,
    ) -> Result<T, DbError> {
        let db = self.clone();
        let done = tokio::task::spawn_blocking(move || db.with_connection(run)).await;
        done.unwrap_or_else(|error| Err(DbError::Unavailable(Box::new(error))))
    }
}

/// Replicas that start together migrate one after the other. The lock is that of a transaction on a connection of its own:
/// a session's lock would stay behind where a pooler gives the session to others, and some migrations cannot run within
/// a transaction.
fn alone<T>(
    pool: &Pool,
    connection: &mut PgConnection,
    migrate: impl FnOnce(&mut PgConnection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    let mut guard = pool.connect_without_bounds()?;
    let DbConnection::Postgres(guard) = &mut guard else { return migrate(connection) };
    guard.transaction(|guard| {
        guard.batch_execute(
            "SELECT set_config('idle_in_transaction_session_timeout', '0', true); SELECT pg_advisory_xact_lock(4021877)",
        )?;
        migrate(connection)
    })
}

/// Looks within a transaction: a pooler gives the statements of one to the same server connection.
fn pending_on_postgres(connection: &mut PgConnection) -> Result<Vec<Box<dyn Migration<Pg>>>, Failure> {
    connection.transaction(|connection| connection.pending_migrations(POSTGRES))
}

fn run_next_on_postgres(connection: &mut PgConnection) -> Result<bool, Failure> {
    let pending = pending_on_postgres(connection)?;
    if let Some(next) = pending.first() {
        connection.run_migration(next)?;
    }
    Ok(!pending.is_empty())
}

fn run_next_on_sqlite(connection: &mut SqliteConnection) -> Result<bool, Failure> {
    let pending = connection.pending_migrations(SQLITE)?;
    if let Some(next) = pending.first() {
        connection.run_migration(next)?;
    }
    Ok(!pending.is_empty())
}

fn names<DB: Backend>(pending: &[Box<dyn Migration<DB>>]) -> Vec<String> {
    pending.iter().map(|migration| migration.name().to_string()).collect()
}
