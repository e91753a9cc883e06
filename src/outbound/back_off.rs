//! How long an account asked to be left alone.
//!
//! A tracker that answers 429 with `Retry-After` means everybody who calls with that key, not only the call it answered.
//! Pulls wait until then, or fail at once where their time is too short. Verifications go through: there are few of
//! them, mostly with a person who waits, and one that is answered shows that the tracker takes calls again.
//!
//! Other processes are notified, and pass it on to their own calls when these ask for a turn (`turn`). A verification
//! that is answered in one process ends the back-off in all but the one that the tracker had asked: that one waits
//! until the time is over. Without Redis each process knows what the tracker answered it itself. A back-off that Redis
//! did not know of when a verification went out is not ended by that one there, but by its time or by the next.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// The longest that is waited without asking again, whatever was said.
pub(super) const LONGEST: Duration = Duration::from_secs(300);

#[derive(Debug, Clone, Copy)]
struct Asked {
    at: Instant,
    until: Instant,
}

/// What one account asked for.
#[derive(Debug, Default)]
pub(super) struct BackOff {
    asked: Mutex<Option<Asked>>,
}

impl BackOff {
    /// The tracker asked to be left alone for this long.
    pub(super) fn begin(&self, time: Duration, now: Instant) {
        let until = now + time.min(LONGEST);
        let mut asked = self.asked.lock();
        // Asked again, be it for less: what was on its way before says nothing of that.
        *asked = Some(Asked { at: now, until: asked.map_or(until, |known| known.until.max(until)) });
    }

    /// A call that was begun at this moment was answered. One that had been on its way before says nothing.
    pub(super) fn record_answer(&self, began: Instant) {
        self.asked.lock().take_if(|known| known.at <= began);
    }

    /// When calls may go on, if that is not now.
    pub(super) fn until(&self, now: Instant) -> Option<Instant> {
        self.asked.lock().map(|known| known.until).filter(|until| *until > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_back_off_lasts_as_long_as_the_longest_that_was_asked_for() {
        let (back_off, now) = (BackOff::default(), Instant::now());
        assert_eq!(back_off.until(now), None);
        back_off.begin(10 * SECOND, now);
        back_off.begin(SECOND, now + SECOND);
        assert_eq!(back_off.until(now + SECOND), Some(now + 10 * SECOND));
        assert_eq!(back_off.until(now + 10 * SECOND), None);
        back_off.begin(100_000 * SECOND, now);
        assert_eq!(back_off.until(now), Some(now + LONGEST));
    }

    #[test]
    fn a_call_from_before_does_not_end_what_was_asked_for_again_and_for_less() {
        let (back_off, now) = (BackOff::default(), Instant::now());
        back_off.begin(100 * SECOND, now);
        back_off.begin(10 * SECOND, now + 2 * SECOND);
        back_off.record_answer(now + SECOND);
        assert_eq!(back_off.until(now + 3 * SECOND), Some(now + 100 * SECOND));
    }

    #[test]
    fn only_a_call_that_was_begun_since_ends_it() {
        let (back_off, now) = (BackOff::default(), Instant::now());
        back_off.begin(10 * SECOND, now + SECOND);
        back_off.record_answer(now);
        assert!(back_off.until(now + 2 * SECOND).is_some());
        back_off.record_answer(now + 2 * SECOND);
        assert_eq!(back_off.until(now + 2 * SECOND), None);
    }
}
