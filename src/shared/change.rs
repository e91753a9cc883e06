//! What replicas report to each other.

/// A change of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The connection.
    pub connection: uuid::Uuid,
    /// Its version from then on; [`i64::MAX`] if it was deleted.
    pub version: i64,
}
