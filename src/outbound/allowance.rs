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
    /// The most calls of one account at the same time, however well the tracker bears them: a report that has to make
    /// many begins so many of them.
    pub const fn most_at_once(self) -> usize {
        if self.account.most < self.origin.most { self.account.most } else { self.origin.most }
    }
}

/// So many calls at the same time, so often.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// Calls at the same time, as long as nothing else is known of the tracker.
    pub concurrency: usize,
    /// The most calls at the same time, however well the tracker bears them.
    pub most: usize,
    /// How often, where the platform documents a limit.
    pub pace: Option<Pace>,
}

impl Allowance {
    /// Calls at the same time, as often as they come.
    pub const fn of(concurrency: usize) -> Self {
        Self { concurrency, most: concurrency, pace: None }
    }

    /// The same to begin with, and up to `most` where the tracker bears that.
    #[must_use]
    pub const fn up_to(self, most: usize) -> Self {
        Self { most, ..self }
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
    /// Calls in a row after a pause.
    pub burst: NonZeroU32,
}

impl Pace {
    /// A pace; a zero is taken for a one.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: at_least_one(per_second), burst: at_least_one(burst) }
    }

    /// The pace of checks: a quarter, and no burst.
    #[must_use]
    pub fn behind(self) -> Self {
        Self::new(self.per_second.get() / 4, 1)
    }
}

const fn at_least_one(number: u32) -> NonZeroU32 {
    match NonZeroU32::new(number) {
        Some(number) => number,
        None => NonZeroU32::MIN,
    }
}
