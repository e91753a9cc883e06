//! How hard trackers may be worked.

use std::num::NonZeroU32;

/// How hard trackers may be worked, by all organisations together.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// One origin: a host, or a gateway that all customers of a platform share.
    pub origin: Allowance,
    /// One account there. What is known to be one is a key: accounts with several keys count several times.
    pub account: Allowance,
}

impl Limits {
    /// What is left for checks in the background.
    pub(super) const fn behind(self) -> Self {
        Self { origin: self.origin.behind(), account: self.account.behind() }
    }
}

/// So many calls at the same time, so often.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// Calls at the same time.
    pub concurrency: usize,
    /// How often, where the platform documents a limit.
    pub pace: Option<Pace>,
}

impl Allowance {
    /// What checks leave free for those that somebody waits for: half of the places, unless there is one only.
    pub(super) const fn reserved(self) -> usize {
        self.concurrency / 2
    }

    /// What is left for checks: the other half, and a quarter of the pace.
    pub(super) const fn behind(self) -> Self {
        let pace = match self.pace {
            Some(pace) => Some(pace.behind()),
            None => None,
        };
        Self { concurrency: self.concurrency - self.reserved(), pace }
    }

    /// Calls at the same time, as often as they come.
    #[must_use]
    pub const fn of(concurrency: usize) -> Self {
        Self { concurrency, pace: None }
    }

    /// The same, at this pace.
    #[must_use]
    pub const fn at(self, pace: Pace) -> Self {
        Self { pace: Some(pace), ..self }
    }
}

/// How often calls may be made.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Calls a second, on average.
    pub per_second: NonZeroU32,
    /// Calls in a row after a while of rest.
    pub burst: NonZeroU32,
}

impl Pace {
    /// A pace; a zero is taken for a one.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: at_least_one(per_second), burst: at_least_one(burst) }
    }

    /// The pace of checks: a quarter, and no burst.
    pub(super) const fn behind(self) -> Self {
        Self::new(self.per_second.get() / 4, 1)
    }
}

const fn at_least_one(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}
