//! Whether anything in a SQLite database has changed since it was last read.
//!
//! SQLite counts, for each connection, the commits of all others, whichever process they are of. A connection that never
//! writes and is asked for that number says within microseconds that what was read before still holds, and waits for
//! no lock of others meanwhile. PostgreSQL has nothing like it that costs less than the query.

use std::path::Path;
use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use parking_lot::Mutex;

use super::DatabaseUrl;

/// How long a connection is asked: what it has open may no longer be the file at this path.
const LIFETIME: Duration = Duration::from_secs(60);

/// How long one caller waits for another that asks: a file system that hangs holds up one thread, and no more.
const TIMEOUT: Duration = Duration::from_millis(2);

/// What a database held at one moment. Two that are equal have nothing between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    connection: u64,
    commits: i64,
}

/// Returns the stamps of one database.
#[derive(Default)]
pub(super) struct Changes(Mutex<Observer>);

/// Connections count for themselves: what one says means nothing to the next.
#[derive(Default)]
struct Observer {
    connection: Option<(SqliteConnection, Instant)>,
    number: u64,
}

#[derive(QueryableByName)]
struct DataVersion {
    #[diesel(sql_type = BigInt)]
    data_version: i64,
}

impl Changes {
    /// What the database holds now, as far as that can be said at once.
    pub(super) fn stamp(&self, url: &DatabaseUrl) -> Option<Stamp> {
        let DatabaseUrl::Sqlite(path) = url else { return None };
        let mut observer = self.0.try_lock_for(TIMEOUT)?;
        let Observer { connection, number } = &mut *observer;
        if connection.as_ref().is_none_or(|(_, opened)| opened.elapsed() >= LIFETIME) {
            *connection = Some((connect(path)?, Instant::now()));
            *number += 1;
        }
        let (connection, _) = connection.as_mut()?;
        let answer: DataVersion = sql_query("PRAGMA data_version").get_result(connection).ok()?;
        Some(Stamp { connection: *number, commits: answer.data_version })
    }
}

fn connect(path: &Path) -> Option<SqliteConnection> {
    let mut connection = SqliteConnection::establish(&path.to_string_lossy()).ok()?;
    connection.batch_execute("PRAGMA busy_timeout = 0; PRAGMA query_only = ON; PRAGMA cache_size = -16;").ok()?;
    Some(connection)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::{Db, DbConnection, DbError};

    async fn run(db: &Db, statement: &'static str) {
        db.write("acme".to_owned(), 0, move |db| -> Result<(), DbError> { Ok(db.batch_execute(statement)?) })
            .await
            .expect("it is written");
    }

    #[tokio::test]
    async fn every_commit_of_any_process_gives_another_stamp_and_reading_does_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("test.db");
        let db = Db::open(&DatabaseUrl::Sqlite(path.clone()), 2).expect("a database");
        db.migrate().expect("migrations");
        let before = db.stamp().expect("a stamp");
        let organisations = |db: &mut DbConnection| -> Result<i64, DbError> {
            Ok(crate::db::schema::organisations::table.count().get_result(db)?)
        };
        db.read(organisations).await.expect("a number");
        assert_eq!(db.stamp(), Some(before));
        run(&db, "SELECT 1").await;
        let after = db.stamp().expect("a stamp");
        assert_ne!(after, before, "the organisation counts its writes");
        let mut other = SqliteConnection::establish(&path.to_string_lossy()).expect("another process");
        other
            .batch_execute("BEGIN IMMEDIATE; INSERT INTO organisations (id, writes, created_at) VALUES ('other', 1, 0)")
            .expect("a row");
        assert_eq!(db.stamp(), Some(after), "it may be taken back");
        other.batch_execute("COMMIT").expect("it is kept");
        assert_ne!(db.stamp(), Some(after));
    }
}
