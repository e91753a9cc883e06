//! When a delivery that failed is tried again, and when a receiver that keeps failing is left alone.
//!
//! Each event has pauses of its own, from seconds to hours, for three days. A receiver that has failed several times in a
//! row is asked once at a time only, so that one that is away costs little, however many events wait for it.

use std::time::Duration;

use crate::clock::micros;

/// The first pause; each later one is twice as long,
const FIRST: Duration = Duration::from_secs(5);
/// up to this.
const LONGEST: Duration = Duration::from_secs(3 * 3_600);
/// So many failures in a row, and the receiver is left alone for a while,
pub(super) const FAILING: i64 = 3;
/// at most for so long.
const LONGEST_REST: Duration = Duration::from_secs(15 * 60);
/// A receiver may ask to be left alone for so long.
const LONGEST_WISH: Duration = Duration::from_secs(3_600);
/// An event is tried for so long,
const GIVEN_UP_AFTER: Duration = Duration::from_secs(3 * 24 * 3_600);
/// and so often at least: a clock that jumps ahead gives up nothing.
const FEWEST_ATTEMPTS: i64 = 10;

/// No stored time is further ahead than this: one that is was stored by a clock that has gone back since.
pub(super) const FURTHEST: Duration = Duration::from_secs(4 * 3_600);

/// When an event is tried again after so many attempts.
pub(super) fn next_attempt(attempts: i64, now: i64) -> i64 {
    now + micros(spread(doubled(attempts - 1).min(LONGEST)))
}

/// Until when a receiver is left alone that has failed so often in a row, and may have asked for a time.
pub(super) fn rest(failures: i64, wish: Option<Duration>, now: i64) -> i64 {
    let own = if failures < FAILING { Duration::ZERO } else { doubled(failures - FAILING).min(LONGEST_REST) };
    let wish = wish.unwrap_or_default().min(LONGEST_WISH);
    now + micros(spread(own).max(wish))
}

/// Whether an event that was first tried then, and so often since, is given up.
pub(super) fn is_over(first_at: i64, attempts: i64, now: i64) -> bool {
    attempts >= FEWEST_ATTEMPTS && now.saturating_sub(first_at) >= micros(GIVEN_UP_AFTER)
}

/// Whether the time of something has come.
pub(super) fn has_come(at: i64, now: i64) -> bool {
    at <= now || at > now + micros(FURTHEST)
}

fn doubled(times: i64) -> Duration {
    FIRST.saturating_mul(1 << u32::try_from(times.clamp(0, 20)).unwrap_or_default())
}

/// Draws a pause out by up to a quarter, so that what failed together is not tried together forever.
fn spread(pause: Duration) -> Duration {
    pause + pause.mul_f64(fastrand::f64() / 4.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: i64 = 1_000_000;
    const DAY: i64 = 24 * 3_600 * SECOND;

    #[test]
    fn pauses_grow_from_seconds_to_hours() {
        for (attempts, seconds) in [(1, 5), (2, 10), (3, 20), (10, 2_560), (12, 10_240), (13, 10_800), (60, 10_800)] {
            let next = next_attempt(attempts, 0);
            assert!((seconds * SECOND..=seconds * SECOND * 5 / 4).contains(&next), "{attempts}: {next}");
            assert!(has_come(next, next) && !has_come(next, 0));
        }
    }

    #[test]
    fn a_receiver_that_keeps_failing_is_left_alone_longer_and_longer() {
        for (failures, least, most) in
            [(0, 0, 0), (2, 0, 0), (3, 5, 7), (4, 10, 13), (11, 900, 1_125), (99, 900, 1_125)]
        {
            let until = rest(failures, None, 0);
            assert!((least * SECOND..=most * SECOND).contains(&until), "{failures}: {until}");
        }
        assert_eq!(rest(1, Some(Duration::from_secs(60)), 0), 60 * SECOND);
        assert_eq!(rest(1, Some(Duration::from_secs(1_000_000)), 0), 3_600 * SECOND);
    }

    #[test]
    fn an_event_is_given_up_after_three_days_and_not_because_a_clock_jumped() {
        assert!(is_over(0, 30, 3 * DAY));
        assert!(!is_over(0, 30, 3 * DAY - 1));
        assert!(!is_over(0, 2, 30 * DAY));
        assert!(!is_over(DAY, 30, 0), "a clock that went back");
    }

    #[test]
    fn what_a_clock_that_went_back_has_left_is_due() {
        assert!(has_come(2 * DAY, DAY));
        assert!(!has_come(3_600 * SECOND, 0));
    }

    #[test]
    fn nobody_waits_longer_than_stored_times_may_be_ahead() {
        assert!(next_attempt(99, 0) < micros(FURTHEST) && rest(99, Some(Duration::MAX), 0) < micros(FURTHEST));
    }
}
