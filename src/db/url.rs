//! Where the data is.

use std::path::PathBuf;

use secrecy::SecretString;

/// Where the data is.
#[derive(Debug, Clone)]
pub enum DatabaseUrl {
    /// A SQLite file.
    Sqlite(PathBuf),
    /// A PostgreSQL server; the URL holds a password.
    Postgres(SecretString),
}
