//! How a database is doing, for the `doctor` command.

use diesel::prelude::*;
use diesel::result::Error as DieselError;
use diesel::sql_query;
use diesel::sql_types::{BigInt, Text};

use super::schema::{connections, organisations};
use super::{Db, DbConnection, DbError, server};

/// What a database says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    /// Its name and version.
    pub version: String,
    /// Its clock, in microseconds since 1970.
    pub now: i64,
}

#[derive(QueryableByName)]
struct Answer {
    #[diesel(sql_type = Text)]
    version: String,
    #[diesel(sql_type = BigInt)]
    now: i64,
}

const ASK_SQLITE: &str = "SELECT 'SQLite ' || sqlite_version() AS version, \
                          CAST(unixepoch('subsec') * 1000000 AS INTEGER) AS now";
const ASK_POSTGRES: &str = "SELECT 'PostgreSQL ' || current_setting('server_version') AS version, \
                            CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS BIGINT) AS now";

/// How a database that takes writes goes about them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// They are done once they are written.
    AtOnce,
    /// They wait for a synchronous standby that is away.
    WaitForStandby,
}

impl Db {
    /// Asks whether changes can be written right now.
    ///
    /// # Errors
    /// It does not answer, or only reads.
    pub async fn writes(&self) -> Result<Writes, DbError> {
        self.read(|db| match db {
            DbConnection::Sqlite(_) => Ok(Writes::AtOnce),
            DbConnection::Postgres(db) => {
                server::demand_writes(db)?;
                // Within a savepoint: a server that does not know the question has not failed.
                let misses_standby = db.transaction(server::misses_standby).unwrap_or(false);
                Ok(if misses_standby { Writes::WaitForStandby } else { Writes::AtOnce })
            }
        })
        .await
    }

    /// Asks the database for its version and its clock.
    ///
    /// # Errors
    /// It does not answer.
    pub async fn condition(&self) -> Result<Condition, DbError> {
        self.read(|db| {
            let answer: Answer = match db {
                DbConnection::Sqlite(db) => sql_query(ASK_SQLITE).get_result(db)?,
                DbConnection::Postgres(db) => sql_query(ASK_POSTGRES).get_result(db)?,
            };
            Ok(Condition { version: answer.version, now: answer.now })
        })
        .await
    }

    /// Writes something and takes it back.
    ///
    /// # Errors
    /// The database cannot be written.
    pub async fn try_write(&self) -> Result<(), DbError> {
        /// Ends the transaction: there is no other way to ask for that.
        enum End {
            AsMeant,
            Failed(DbError),
        }
        impl From<DbError> for End {
            fn from(error: DbError) -> Self {
                Self::Failed(error)
            }
        }
        impl From<DieselError> for End {
            fn from(error: DieselError) -> Self {
                Self::Failed(error.into())
            }
        }
        let outcome = self
            .write_all(|db| -> Result<(), End> {
                let row =
                    (organisations::id.eq("doctor"), organisations::writes.eq(0), organisations::created_at.eq(0));
                // A customer of this name is there already, which proves as much.
                match diesel::insert_into(organisations::table).values(row).execute(db).map_err(DbError::from) {
                    Ok(_) | Err(DbError::Conflict) => Err(End::AsMeant),
                    Err(error) => Err(End::Failed(error)),
                }
            })
            .await;
        match outcome {
            Ok(()) | Err(End::AsMeant) => Ok(()),
            Err(End::Failed(error)) => Err(error),
        }
    }

    /// The latest time that any connection carries; `None` if there is none.
    pub async fn latest_change(&self) -> Result<Option<i64>, DbError> {
        self.read(|db| Ok(connections::table.select(diesel::dsl::max(connections::updated_at)).get_result(db)?)).await
    }
}
