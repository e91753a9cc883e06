//! A copy of a SQLite database, made while others read and write it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};
use diesel::sqlite::SqliteConnection;

use super::schema::connections;
use super::{Db, DbConnection, DbError};

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

#[derive(QueryableByName)]
struct Size {
    #[diesel(sql_type = BigInt)]
    bytes: i64,
}

const ASK_SIZE: &str = "SELECT page_count * page_size AS bytes FROM pragma_page_count(), pragma_page_size()";

/// What takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Everything is copied.
    Copying {
        /// The size of the database.
        bytes: u64,
    },
    /// The copy is read from its first page to its last.
    ReadingBack,
}

impl fmt::Display for Step {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Copying { bytes } => write!(out, "copying {} KiB", bytes.div_ceil(1_024)),
            Self::ReadingBack => out.write_str("reading the copy back"),
        }
    }
}

impl Db {
    /// Copies the database into a new file that only its owner can read, and reads the copy back. Says how many
    /// connections are in it. `report` is given what is done next: SQLite says nothing in the middle of it.
    ///
    /// # Errors
    /// A file that exists already, a full disk, or PostgreSQL.
    pub fn back_up(&self, to: &Path, mut report: impl FnMut(Step)) -> Result<i64, BackupError> {
        if !self.is_file() {
            return Err(BackupError::NotSqlite);
        }
        let mut source = self.pool.connect_without_bounds().map_err(BackupError::Database)?;
        let DbConnection::Sqlite(source) = &mut source else { return Err(BackupError::NotSqlite) };
        // An empty file counts as none for SQLite, and this one has the right mode from the first byte on.
        let file = create_private(to).map_err(BackupError::File)?;
        let copied = copy(source, to, &mut report).and_then(|count| {
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

fn copy(source: &mut SqliteConnection, to: &Path, report: &mut impl FnMut(Step)) -> Result<i64, BackupError> {
    let path = to.to_string_lossy();
    let Size { bytes } = sql_query(ASK_SIZE).get_result(source)?;
    report(Step::Copying { bytes: u64::try_from(bytes).unwrap_or_default() });
    sql_query("VACUUM INTO ?").bind::<Text, _>(path.as_ref()).execute(source)?;
    report(Step::ReadingBack);
    let mut copy = SqliteConnection::establish(&path).map_err(|error| BackupError::Damaged(error.to_string()))?;
    let Verdict { integrity_check } = sql_query("PRAGMA integrity_check").get_result(&mut copy)?;
    if integrity_check != "ok" {
        return Err(BackupError::Damaged(integrity_check));
    }
    Ok(connections::table.filter(connections::deleted_at.is_null()).count().get_result(&mut copy)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::db::DatabaseUrl;

    #[test]
    fn each_step_is_reported_before_it_is_done() {
        let folder = tempfile::TempDir::new().expect("a folder");
        let db = Db::open(&DatabaseUrl::Sqlite(folder.path().join("affzero.db")), 1).expect("a database");
        db.migrate().expect("its tables");
        let to = folder.path().join("copy.db");
        let mut reported = Vec::new();
        let count = db.back_up(&to, |step| reported.push((step, to.metadata().expect("the file").len() > 0)));
        assert_eq!(count.expect("a copy"), 0);
        let [(Step::Copying { bytes }, false), (Step::ReadingBack, true)] = reported.as_slice() else {
            panic!("{reported:?}");
        };
        assert!(*bytes >= 4_096, "{bytes}");
    }
}
