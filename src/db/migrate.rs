//! Migrations: which are missing, and applying them, one replica at a time.

use diesel::PgConnection;
use diesel::backend::Backend;
use diesel::connection::SimpleConnection;
use diesel::migration::MigrationSource;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};

use super::{Db, DbConnection, DbError, pool};

const SQLITE: EmbeddedMigrations = embed_migrations!("migrations/sqlite");
const POSTGRES: EmbeddedMigrations = embed_migrations!("migrations/postgres");

type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Db {
    /// The names of migrations that are still missing, the next one first.
    ///
    /// # Errors
    /// A database that cannot be reached.
    pub async fn pending_migrations(&self) -> Result<Vec<String>, DbError> {
        self.with_connection_aside(|connection| match connection {
            DbConnection::Postgres(connection) => pending(connection, POSTGRES),
            DbConnection::Sqlite(connection) => pending(connection, SQLITE),
        })
        .await
    }

    /// Applies the next migration that is still missing, if there is one, and says whether there was.
    ///
    /// # Errors
    /// A database that cannot be reached, or a migration that fails.
    pub async fn migrate_next(&self) -> Result<bool, DbError> {
        self.with_connection_aside(|connection| match connection {
            DbConnection::Postgres(connection) => alone(connection, |connection| run_next(connection, POSTGRES)),
            DbConnection::Sqlite(connection) => run_next(connection, SQLITE),
        })
        .await
    }

    /// Applies every migration that is still missing.
    ///
    /// # Errors
    /// A database that cannot be reached, or a migration that fails.
    pub fn migrate(&self) -> Result<(), DbError> {
        self.with_connection(|connection| match connection {
            DbConnection::Postgres(connection) => {
                alone(connection, |connection| connection.run_pending_migrations(POSTGRES).map(drop))
            }
            DbConnection::Sqlite(connection) => connection.run_pending_migrations(SQLITE).map(drop),
        })
    }

    /// Takes every migration back. Only tests do that.
    ///
    /// # Errors
    /// A database that cannot be reached, or a migration that fails.
    pub fn revert_all(&self) -> Result<(), DbError> {
        self.with_connection(|connection| match connection {
            DbConnection::Postgres(connection) => connection.revert_all_migrations(POSTGRES).map(drop),
            DbConnection::Sqlite(connection) => connection.revert_all_migrations(SQLITE).map(drop),
        })
    }

    fn with_connection<T>(&self, run: impl FnOnce(&mut DbConnection) -> Result<T, Failure>) -> Result<T, DbError> {
        run(&mut pool::connect_without_bounds(&self.pool.url)?).map_err(DbError::Unavailable)
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

/// Replicas that start together migrate one after the other.
fn alone<T>(
    connection: &mut PgConnection,
    migrate: impl FnOnce(&mut PgConnection) -> Result<T, Failure>,
) -> Result<T, Failure> {
    connection.batch_execute("SELECT pg_advisory_lock(4021877)").map_err(Box::new)?;
    let outcome = migrate(connection);
    connection.batch_execute("SELECT pg_advisory_unlock(4021877)").map_err(Box::new)?;
    outcome
}

fn pending<DB: Backend>(
    connection: &mut impl MigrationHarness<DB>,
    migrations: EmbeddedMigrations,
) -> Result<Vec<String>, Failure>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let pending = connection.pending_migrations(migrations)?;
    Ok(pending.iter().map(|migration| migration.name().to_string()).collect())
}

fn run_next<DB: Backend>(
    connection: &mut impl MigrationHarness<DB>,
    migrations: EmbeddedMigrations,
) -> Result<bool, Failure>
where
    EmbeddedMigrations: MigrationSource<DB>,
{
    let pending = connection.pending_migrations(migrations)?;
    if let Some(next) = pending.first() {
        connection.run_migration(next)?;
    }
    Ok(!pending.is_empty())
}
