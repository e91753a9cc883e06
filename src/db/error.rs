//! Why the database did not do as asked.

use diesel::result::{DatabaseErrorKind, Error as DieselError};

/// Why the database did not do as asked.
#[derive(Debug, thiserror::Error)]
pub enum DbError {
    /// It cannot be reached, is out of space, or refuses to work just now.
    #[error("the database is not available")]
    Unavailable(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// It does not answer in time, or others are at work there for too long. What was asked for may still be done.
    #[error("the database took too long")]
    TooSlow,
    /// It can be read, and takes no writes.
    #[error("the database takes no writes: {0}")]
    ReadOnly(ReadOnly),
    /// A unique index refused a row.
    #[error("a unique index refused the row")]
    Conflict,
    /// A query failed.
    #[error("a query failed")]
    Query(#[source] DieselError),
}

/// Why a server takes no writes, and what to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReadOnly {
    /// It follows a primary.
    #[error("it is a standby; name the primary in DATABASE_URL, or all hosts: postgres://user:password@a,b/database")]
    Standby,
    /// The role, the database or the server is set so.
    #[error("default_transaction_read_only is on; turn it off for the service's role and database")]
    Setting,
    /// Another server was promoted meanwhile.
    #[error("it is an old primary, and another server was promoted since; stop it, or make it follow the new one")]
    OldPrimary,
}

impl From<DieselError> for DbError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(DatabaseErrorKind::UniqueViolation, _) => Self::Conflict,
            DieselError::DatabaseError(
                DatabaseErrorKind::ClosedConnection
                | DatabaseErrorKind::UnableToSendCommand
                | DatabaseErrorKind::SerializationFailure
                | DatabaseErrorKind::Unknown,
                _,
            )
            | DieselError::BrokenTransactionManager => Self::Unavailable(Box::new(error)),
            // The connection was asked before: the server, or its setting, has changed since.
            DieselError::DatabaseError(DatabaseErrorKind::ReadOnlyTransaction, _) => Self::ReadOnly(ReadOnly::Setting),
            other => Self::Query(other),
        }
    }
}
