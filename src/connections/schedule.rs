//! When a connection is checked next in the background.
//!
//! Every pause is drawn out by up to a quarter, so that connections that were added together are not checked together for
//! ever.

use std::time::Duration;

use super::health::{Condition, Finding};
use crate::clock::micros;

/// The longest pause between checks of what keeps failing, unless the interval itself is longer.
const LONGEST: Duration = Duration::from_secs(24 * 3_600);
/// A refusal is confirmed after this time.
const CONFIRM: Duration = Duration::from_secs(60);
/// So many checks in a row that do not end well come at the interval; after that, each pause is twice the one before.
const CHECKS_AT_INTERVAL: i64 = 3;

/// How often connections are checked.
#[derive(Debug, Clone, Copy)]
pub(super) struct Schedule {
    interval: Option<Duration>,
}

impl Schedule {
    /// Checks at this interval; none at all without one.
    pub(super) const fn every(interval: Option<Duration>) -> Self {
        Self { interval }
    }

    pub(super) const fn interval(self) -> Option<Duration> {
        self.interval
    }

    /// After a connection was seen to work.
    pub(super) fn after_success(self, now: i64) -> Option<i64> {
        self.interval.map(|interval| now + micros(spread(interval)))
    }

    /// After something was found out; `attempts` counts the checks in a row that did not end well, this one too.
    pub(super) fn after(self, finding: &Finding, condition: &Condition, attempts: i64, now: i64) -> Option<i64> {
        let interval = self.interval?;
        let pause = match finding {
            Finding::Works => interval,
            Finding::Refused(_) if condition.is_suspected() => CONFIRM,
            Finding::Refused(_) | Finding::Unknown(_) => pause(interval, attempts),
        };
        Some(now + micros(spread(pause)))
    }

    /// After a check that could not even be begun.
    pub(super) fn once_more(self, now: i64) -> Option<i64> {
        self.interval.map(|interval| now + micros(spread(interval.min(CONFIRM))))
    }

    /// Anywhere within an interval, for connections of which nothing is known.
    pub(super) fn anywhere(self, now: i64) -> Option<i64> {
        self.interval.map(|interval| now + micros(interval.mul_f64(fastrand::f64())))
    }
}

fn pause(interval: Duration, attempts: i64) -> Duration {
    let doublings = u32::try_from((attempts - CHECKS_AT_INTERVAL).clamp(0, 20)).unwrap_or_default();
    interval.saturating_mul(1 << doublings).min(LONGEST.max(interval))
}

fn spread(pause: Duration) -> Duration {
    pause + pause.mul_f64(fastrand::f64() / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_day() {
        let hours = |attempts| pause(Duration::from_secs(6 * 3_600), attempts).as_secs() / 3_600;
        assert_eq!([1, 2, 3, 4, 5, 6, 60].map(hours), [6, 6, 6, 12, 24, 24, 24]);
        let two_days = Duration::from_secs(48 * 3_600);
        assert_eq!(pause(two_days, 9), two_days);
    }

    #[test]
    fn what_was_added_together_is_not_checked_together() {
        let schedule = Schedule::every(Some(Duration::from_secs(1_000)));
        let times: Vec<i64> = (0..100).filter_map(|_| schedule.after_success(0)).collect();
        assert!(times.iter().all(|time| (1_000_000_000..=1_250_000_000).contains(time)), "{times:?}");
        assert!(times.iter().max() > times.iter().min().map(|least| least + 100_000_000).as_ref());
        assert_eq!(Schedule::every(None).after_success(0), None);
    }
}
