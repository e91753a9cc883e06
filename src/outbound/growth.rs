//! How many calls at the same time a tracker bears, as its answers show.
//!
//! It begins with the number that every tracker of its platform is known to bear. A round is as many answers as there are
//! places, all of them given while every place was taken. After a round in which answers came no slower than in the one
//! before, the number doubles; once answers have come slower, or a call was refused, it only rises by one. A 429, a 5xx and
//! a timeout halve it, once for all calls that were under way together.

use std::time::{Duration, Instant};

use super::allowance::Allowance;

/// Answers that take longer than three halves of the round before are slower, by more than chance.
const SLOWER: (u32, u32) = (3, 2);
/// Differences up to this are chance, however short the answers are.
const CHANCE: Duration = Duration::from_millis(20);

/// A number of places that grows and shrinks.
#[derive(Debug)]
pub(super) struct Growth {
    places: usize,
    least: usize,
    most: usize,
    /// Whether nothing has come slower yet, and nothing was refused.
    doubles: bool,
    /// Answers of this round, and the time they took in all.
    answers: u32,
    time: Duration,
    /// How long an answer of the round before took.
    before: Option<Duration>,
    halved: Option<Instant>,
}

/// A change of the number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What it was.
    pub from: usize,
    /// What it is.
    pub to: usize,
}

impl Growth {
    /// A number that never goes below `least`.
    pub(super) fn new(allowance: Allowance, least: usize) -> Self {
        Self {
            places: allowance.concurrency,
            least,
            most: allowance.most.max(allowance.concurrency),
            doubles: true,
            answers: 0,
            time: Duration::ZERO,
            before: None,
            halved: None,
        }
    }

    /// The number.
    pub(super) fn places(&self) -> usize {
        self.places
    }

    /// A call was answered after `time`, while all places were taken.
    pub(super) fn record_answer(&mut self, time: Duration) -> Option<Change> {
        self.answers += 1;
        self.time = self.time.saturating_add(time);
        if usize::try_from(self.answers).is_ok_and(|answers| answers < self.places) {
            return None;
        }
        let mean = self.time / self.answers;
        let is_slower = self.before.is_some_and(|before| mean > (before * SLOWER.0 / SLOWER.1).max(before + CHANCE));
        self.begin_round(Some(mean));
        if is_slower {
            self.doubles = false;
            return None;
        }
        self.change_to(if self.doubles { self.places * 2 } else { self.places + 1 })
    }

    /// A call that went out at `began` was refused as one too many, or the tracker failed under it.
    pub(super) fn record_overload(&mut self, began: Instant, now: Instant) -> Option<Change> {
        if self.halved.is_some_and(|halved| began < halved) {
            return None;
        }
        self.doubles = false;
        self.halved = Some(now);
        self.begin_round(None);
        self.change_to(self.places / 2)
    }

    /// Takes over what other processes have found out.
    pub(super) fn adopt(&mut self, places: usize) {
        if places != self.places {
            self.doubles &= places > self.places;
            self.begin_round(self.before);
            self.change_to(places);
        }
    }

    fn begin_round(&mut self, before: Option<Duration>) {
        (self.answers, self.time, self.before) = (0, Duration::ZERO, before);
    }

    fn change_to(&mut self, places: usize) -> Option<Change> {
        let from = self.places;
        self.places = places.min(self.most).max(self.least);
        (self.places != from).then_some(Change { from, to: self.places })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn growth(first: usize, most: usize) -> Growth {
        Growth::new(Allowance::of(first).up_to(most), 1)
    }

    /// A round of answers that take so long each.
    fn round(growth: &mut Growth, time: Duration) -> usize {
        for _ in 0..growth.places() {
            growth.record_answer(time);
        }
        growth.places()
    }

    #[test]
    fn it_doubles_up_to_its_ceiling_while_answers_come_no_slower() {
        let mut growth = growth(2, 6);
        assert_eq!([round(&mut growth, SECOND), round(&mut growth, SECOND), round(&mut growth, SECOND)], [4, 6, 6]);
    }

    #[test]
    fn once_answers_have_come_slower_it_rises_by_one() {
        let mut growth = growth(2, 20);
        assert_eq!(round(&mut growth, SECOND), 4);
        assert_eq!(round(&mut growth, 2 * SECOND), 4);
        assert_eq!([round(&mut growth, 2 * SECOND), round(&mut growth, 2 * SECOND)], [5, 6]);
    }

    #[test]
    fn short_answers_may_differ_by_chance() {
        let mut growth = growth(2, 20);
        assert_eq!(round(&mut growth, Duration::from_millis(2)), 4);
        assert_eq!(round(&mut growth, Duration::from_millis(12)), 8);
    }

    #[test]
    fn a_refusal_halves_it_once_for_all_that_was_under_way() {
        let now = Instant::now();
        let mut growth = growth(8, 8);
        assert_eq!(growth.record_overload(now, now + SECOND), Some(Change { from: 8, to: 4 }));
        assert_eq!(growth.record_overload(now, now + SECOND), None, "it had gone out before");
        assert_eq!(growth.record_overload(now + 2 * SECOND, now + 3 * SECOND), Some(Change { from: 4, to: 2 }));
        growth.record_overload(now + 4 * SECOND, now + 5 * SECOND);
        assert_eq!(growth.record_overload(now + 6 * SECOND, now + 7 * SECOND), None, "one is the least");
        assert_eq!(growth.places(), 1);
        assert_eq!([round(&mut growth, SECOND), round(&mut growth, SECOND)], [2, 3], "it does not double again");
    }

    #[test]
    fn what_others_know_is_taken_over_within_its_bounds() {
        let mut growth = growth(2, 8);
        growth.adopt(100);
        assert_eq!(growth.places(), 8);
        growth.adopt(0);
        assert_eq!(growth.places(), 1);
        assert_eq!(round(&mut growth, SECOND), 2);
    }

    proptest! {
        #[test]
        fn it_stays_within_its_bounds_whatever_happens(
            first in 1_usize..5, more in 0_usize..8, least in 1_usize..5,
            steps in proptest::collection::vec((0_u8..4, 0_u64..3_000), 0..200),
        ) {
            let start = Instant::now();
            let least = least.min(first);
            let mut growth = Growth::new(Allowance::of(first).up_to(first + more), least);
            for (place, (step, number)) in steps.into_iter().enumerate() {
                let now = start + SECOND * u32::try_from(place).expect("few");
                match step {
                    0 => growth.adopt(usize::try_from(number).expect("small")),
                    1 => drop(growth.record_overload(now, now)),
                    _ => drop(growth.record_answer(Duration::from_millis(number))),
                }
                prop_assert!((least..=first + more).contains(&growth.places()));
            }
        }
    }
}
