//! A connection that is one of two kinds.

use diesel::PgConnection;
use diesel::sqlite::SqliteConnection;

/// A connection to either database, for one set of queries.
#[derive(diesel::MultiConnection)]
pub enum DbConnection {
    /// PostgreSQL.
    Postgres(PgConnection),
    /// SQLite.
    Sqlite(SqliteConnection),
}
