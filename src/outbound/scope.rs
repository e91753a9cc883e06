//! What one request of ours may cost.

use std::time::{Duration, Instant};

/// The longest a verification takes in all.
pub const VERIFICATION_DEADLINE: Duration = Duration::from_secs(20);

/// The most calls a verification may cause.
const VERIFICATION_CALLS: u32 = 100;

/// What calls are made for; it bounds how long they may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A verification: retried for ten seconds at most.
    Verify,
    /// A pull: retried up to its deadline.
    Pull,
    /// A check in the background, for which nobody waits: after everything else, and not at all where an origin is cut
    /// off or asks to be left alone.
    Check,
}

impl Purpose {
    /// The word for it in the log.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Pull => "pull",
            Self::Check => "check",
        }
    }
}

/// The bounds of one request of ours.
#[derive(Debug, Clone, Copy)]
pub struct CallScope {
    /// What the calls are for.
    pub purpose: Purpose,
    /// When the answer must be there.
    pub deadline: Instant,
    /// The most calls it may cause.
    pub max_calls: u32,
}

impl CallScope {
    /// The bounds of a verification that begins now.
    pub fn verification() -> Self {
        Self {
            purpose: Purpose::Verify,
            deadline: Instant::now() + VERIFICATION_DEADLINE,
            max_calls: VERIFICATION_CALLS,
        }
    }

    /// The bounds of a check that begins now.
    pub fn check() -> Self {
        Self { purpose: Purpose::Check, ..Self::verification() }
    }
}
