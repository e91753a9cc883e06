//! Whether a connection works, in one word.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// What is known about a connection's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// The last verification or pull worked.
    Active,
    /// The tracker refused the credentials or the right to report.
    Failing,
    /// Not verified yet.
    Unverified,
}

impl Status {
    /// All states.
    pub const ALL: [Self; 3] = [Self::Active, Self::Failing, Self::Unverified];

    /// The key in JSON and the database.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Failing => "failing",
            Self::Unverified => "unverified",
        }
    }

    /// Finds a state by its key.
    pub fn find(key: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.key() == key)
    }
}
