//! Times and durations as they are stored and shown.
//!
//! Where processes on several machines share a database, stored times are of the database's clock: replicas whose own
//! clocks differ still agree on what came after what.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// Clocks that differ by less count as the same.
const SAME: Duration = Duration::from_millis(50);

/// How far the clock of stored times is ahead of this machine's, in microseconds.
static AHEAD: AtomicI64 = AtomicI64::new(0);

/// Microseconds since 1970, as times are stored.
pub fn now_micros() -> i64 {
    Timestamp::now().as_microsecond().saturating_add(ahead_micros())
}

/// How far the database's clock is ahead of this machine's, where it has one of its own.
pub fn ahead_micros() -> i64 {
    AHEAD.load(Ordering::Relaxed)
}

/// Takes over the database's clock, which said `there` between these two times of this machine's. An answer that took
/// long says too little.
pub fn follow(there: i64, asked: Timestamp, answered: Timestamp) {
    if let Some(ahead) = ahead_of(there, asked.as_microsecond(), answered.as_microsecond()) {
        AHEAD.store(ahead, Ordering::Relaxed);
    }
}

fn ahead_of(there: i64, asked: i64, answered: i64) -> Option<i64> {
    let took = answered.checked_sub(asked).filter(|took| (0..=micros(SAME)).contains(took))?;
    let ahead = there - (asked + took / 2);
    Some(if ahead.abs() < micros(SAME) { 0 } else { ahead })
}

/// A stored time.
pub fn time(micros: i64) -> Timestamp {
    Timestamp::from_microsecond(micros).unwrap_or_default()
}

/// Whole microseconds of a duration, as they are added to stored times.
pub fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

/// Whole milliseconds of a duration, as people and logs read them.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_databases_clock_counts_once_it_differs_and_was_asked_quickly() {
        let second = 1_000_000;
        assert_eq!(ahead_of(100 * second, 10 * second, 10 * second + 2_000), Some(90 * second - 1_000));
        assert_eq!(ahead_of(10 * second, 100 * second, 100 * second), Some(-90 * second));
        assert_eq!(ahead_of(10 * second + 20_000, 10 * second, 10 * second), Some(0), "as good as the same");
        assert_eq!(ahead_of(100 * second, 10 * second, 12 * second), None, "a slow answer says too little");
        assert_eq!(ahead_of(100 * second, 12 * second, 10 * second), None, "the clock was set meanwhile");
    }
}
