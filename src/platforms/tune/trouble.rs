//! What stands between a request and its answer.

use crate::outbound::error::PlatformError;

/// Why a request was not answered.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The account may not use this column.
    Column(String),
    /// The report is too much for one request.
    TooMuch,
    /// A page may not have so many rows, in TUNE's words.
    PageTooLong(String),
    /// Anything else.
    Failed(PlatformError),
}

impl From<PlatformError> for Trouble {
    fn from(error: PlatformError) -> Self {
        Self::Failed(error)
    }
}
