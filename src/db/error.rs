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
