//! A copy of a SQLite database, made while others read and write it.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_query;
use diesel::sql_types::Text;
use diesel::sqlite::SqliteConnection;

use super::schema::connections;
use super::{Db, DbConnection, DbError, pool};

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// PostgreSQL has tools of its own.
    #[error("this copies SQLite databases; for PostgreSQL run pg_dump")]
    NotSqlite,
    /// The copy would take the place of something, or cannot be written there.
    #[error("the copy cannot be made at this place")]
    File(#[source] io::Error),
    /// The database cannot be read, or the copy not be written.
    #[error("the database cannot be copied")]
    Database(#[source] DbError),
    /// The copy was made, and is no good.
    #[error("the copy is damaged: {0}")]
    Damaged(String),
}

impl From<DieselError> for BackupError {
    fn from(error: DieselError) -> Self {
        Self::Database(error.into())
    }
}

#[derive(QueryableByName)]
struct Verdict {
    #[diesel(sql_type = Text)]
    integrity_check: String,
}

impl Db {
    /// Copies the database into a new file that only its owner can read, and reads the copy back. Says how many
    /// connections are in it.
    ///
    /// # Errors
    /// A file that exists already, a full disk, or PostgreSQL.
    pub fn back_up(&self, to: &Path) -> Result<i64, BackupError> {
        if !self.is_file() {
            return Err(BackupError::NotSqlite);
        }
        let mut source = pool::connect_without_bounds(&self.pool.url).map_err(BackupError::Database)?;
        let DbConnection::Sqlite(source) = &mut source else { return Err(BackupError::NotSqlite) };
        // An empty file counts as none for SQLite, and this one has the right mode from the first byte on.
        let file = create_private(to).map_err(BackupError::File)?;
        let copied = copy(source, to).and_then(|count| {
            file.sync_all().map_err(BackupError::File)?;
            Ok(count)
        });
        if copied.is_err() {
            // Half a copy is worse than none.
            let _ = std::fs::remove_file(to);
        }
        copied
    }
}

fn create_private(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

fn copy(source: &mut SqliteConnection, to: &Path) -> Result<i64, BackupError> {
    let path = to.to_string_lossy();
    sql_query("VACUUM INTO ?").bind::<Text, _>(path.as_ref()).execute(source)?;
    let mut copy = SqliteConnection::establish(&path).map_err(|error| BackupError::Damaged(error.to_string()))?;
    let Verdict { integrity_check } = sql_query("PRAGMA integrity_check").get_result(&mut copy)?;
    if integrity_check != "ok" {
        return Err(BackupError::Damaged(integrity_check));
    }
    Ok(connections::table.filter(connections::deleted_at.is_null()).count().get_result(&mut copy)?)
}
