//! How long calls with an account took lately.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// So many calls are looked at,
const MOST: usize = 32;
/// none of them older than this,
const LATELY: Duration = Duration::from_secs(600);
/// and fewer than these say nothing.
const FEWEST: usize = 8;

/// The latest calls with an account that were answered.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<VecDeque<(Instant, Duration)>>);

impl Recent {
    /// A call was answered after this time.
    pub(super) fn add(&self, time: Duration, now: Instant) {
        let mut calls = self.0.lock();
        if calls.len() >= MOST {
            calls.pop_front();
        }
        calls.push_back((now, time));
    }

    /// The time of the call in the middle.
    pub(super) fn usual(&self, now: Instant) -> Option<Duration> {
        let calls = self.0.lock();
        let lately = calls.iter().filter(|(at, _)| now.saturating_duration_since(*at) < LATELY);
        let mut times: Vec<Duration> = lately.map(|(_, time)| *time).collect();
        times.sort_unstable();
        times.get(times.len() / 2).copied().filter(|_| times.len() >= FEWEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_few_calls_and_those_of_long_ago_say_nothing() {
        let (recent, now) = (Recent::default(), Instant::now());
        for _ in 1..FEWEST {
            recent.add(SECOND, now);
        }
        assert_eq!(recent.usual(now), None);
        recent.add(SECOND, now);
        assert_eq!(recent.usual(now), Some(SECOND));
        assert_eq!(recent.usual(now + LATELY), None);
    }

    #[test]
    fn the_usual_time_is_that_of_the_latest_calls_and_none_of_the_odd_ones() {
        let (recent, now) = (Recent::default(), Instant::now());
        for _ in 0..100 {
            recent.add(60 * SECOND, now);
        }
        for call in 0..MOST {
            recent.add(if call % 3 == 0 { 60 * SECOND } else { SECOND }, now);
        }
        assert_eq!(recent.usual(now), Some(SECOND));
    }
}
