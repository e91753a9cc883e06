//! How many verifications may fail: verification must not be a way to guess keys.
//!
//! A place is taken before the tracker is asked and given back when the credentials turn out to be good, so that
//! guesses made at the same time are no more than guesses made one after the other. What is saved without being
//! verified keeps its place until the background has verified it: whoever pulls through it meanwhile may learn as much.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::platforms::Client;
use crate::platforms::verification::{self, Verification, VerificationStatus};
use crate::problem::{Code, Problem};
use crate::tenancy::OrgId;

/// For how long a place is taken.
const MINUTE: Duration = Duration::from_secs(60);

/// Beyond so many organisations, those that have taken no place lately are forgotten.
const MANY: usize = 10_000;

/// Counts, by organisation, the verifications of the last minute that failed or are not decided yet.
pub(super) struct FailureMeter {
    allowed: u32,
    taken: Arc<Taken>,
}

#[derive(Default)]
struct Taken {
    places: Mutex<HashMap<OrgId, VecDeque<(Instant, Uuid)>>>,
}

impl FailureMeter {
    /// Allows so many a minute; 0 for no limit.
    pub(super) fn new(allowed: u32) -> Self {
        Self { allowed, taken: Arc::default() }
    }

    /// Takes a place for `attempt`.
    ///
    /// # Errors
    /// All places are taken.
    pub(super) fn reserve(&self, organisation: &OrgId, attempt: Uuid) -> Result<Slot, Problem> {
        let slot = Slot { taken: Arc::clone(&self.taken), organisation: organisation.clone(), attempt, keep: false };
        if self.allowed == 0 {
            return Ok(slot);
        }
        let now = Instant::now();
        let mut places = self.taken.lock();
        if places.len() >= MANY {
            places.retain(|_, taken| taken.back().is_some_and(|(at, _)| now.saturating_duration_since(*at) < MINUTE));
        }
        let taken = places.entry(organisation.clone()).or_default();
        while taken.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) >= MINUTE) {
            taken.pop_front();
        }
        match taken.front() {
            Some((oldest, _)) if taken.len() >= self.allowed as usize => {
                Err(self.refusal(MINUTE.saturating_sub(now.saturating_duration_since(*oldest))))
            }
            _ => {
                taken.push_back((now, attempt));
                Ok(slot)
            }
        }
    }

    /// Gives back the place of an attempt that was decided elsewhere, and well.
    pub(super) fn forgive(&self, organisation: &OrgId, attempt: Uuid) {
        self.taken.give_back(organisation, attempt);
    }

    fn refusal(&self, wait: Duration) -> Problem {
        Problem::new(Code::RateLimited, "Too many verifications failed, or are not decided yet, within a minute.")
            .hint("Wait, and check the credentials before trying again.")
            .retry_after(wait)
            .with("limit", self.allowed)
            .with("limited_by", "verifications")
    }
}

impl Taken {
    fn lock(&self) -> MutexGuard<'_, HashMap<OrgId, VecDeque<(Instant, Uuid)>>> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn give_back(&self, organisation: &OrgId, attempt: Uuid) {
        let mut places = self.lock();
        if let Some(taken) = places.get_mut(organisation) {
            taken.retain(|(_, known)| *known != attempt);
            if taken.is_empty() {
                places.remove(organisation);
            }
        }
    }
}

/// A place that was taken. Dropped before the tracker was asked, it is given back.
#[must_use]
pub(super) struct Slot {
    taken: Arc<Taken>,
    organisation: OrgId,
    attempt: Uuid,
    keep: bool,
}

impl Slot {
    /// Verifies in this place. Only a good answer gives it back: whoever goes away while the tracker is asked has
    /// asked all the same.
    pub(super) async fn verify(mut self, client: &Client) -> Verification {
        self.keep = true;
        let verification = verification::verify(client).await;
        self.keep = verification.status != VerificationStatus::Ok;
        verification
    }

    /// Leaves the place taken until it is forgiven, or its time is over.
    pub(super) fn leave(mut self) {
        self.keep = true;
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        if !self.keep {
            self.taken.give_back(&self.organisation, self.attempt);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organisation(name: &str) -> OrgId {
        name.parse().expect("an organisation")
    }

    #[test]
    fn places_are_taken_until_they_are_given_back_and_by_organisation() {
        let meter = FailureMeter::new(2);
        let (acme, other) = (organisation("acme"), organisation("other"));
        let first = meter.reserve(&acme, Uuid::from_u128(1)).expect("a place");
        let second = meter.reserve(&acme, Uuid::from_u128(2)).expect("a place");
        let refused = meter.reserve(&acme, Uuid::from_u128(3)).err().expect("no place");
        assert_eq!(refused.code, Code::RateLimited);
        assert!(refused.retry_after.is_some_and(|wait| wait <= MINUTE && wait > MINUTE / 2));
        drop(meter.reserve(&other, Uuid::from_u128(4)).expect("a place of its own"));
        drop(first);
        meter.reserve(&acme, Uuid::from_u128(5)).expect("the place that was given back").leave();
        second.leave();
        assert!(meter.reserve(&acme, Uuid::from_u128(6)).is_err());
        meter.forgive(&acme, Uuid::from_u128(5));
        meter.forgive(&other, Uuid::from_u128(2));
        drop(meter.reserve(&acme, Uuid::from_u128(7)).expect("the place that was forgiven"));
        assert_eq!(meter.taken.lock().len(), 1, "nothing is kept of who has no place");
    }

    #[test]
    fn a_place_is_free_again_after_a_minute() {
        let meter = FailureMeter::new(1);
        let acme = organisation("acme");
        meter.reserve(&acme, Uuid::nil()).expect("a place").leave();
        assert!(meter.reserve(&acme, Uuid::nil()).is_err());
        let long_ago = Instant::now().checked_sub(MINUTE).expect("a clock that has run for a minute");
        meter.taken.lock().insert(acme.clone(), VecDeque::from([(long_ago, Uuid::nil())]));
        meter.reserve(&acme, Uuid::nil()).expect("the place of a minute ago").leave();
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let meter = FailureMeter::new(0);
        for attempt in 0..1_000 {
            meter.reserve(&organisation("acme"), Uuid::from_u128(attempt)).expect("no limit").leave();
        }
        assert!(meter.taken.lock().is_empty());
    }

    #[test]
    fn organisations_beyond_number_take_no_more_memory() {
        let meter = FailureMeter::new(1);
        let long_ago = Instant::now().checked_sub(MINUTE).expect("a clock that has run for a minute");
        for number in 0..MANY {
            let places = VecDeque::from([(long_ago, Uuid::nil())]);
            meter.taken.lock().insert(organisation(&format!("org-{number}")), places);
        }
        meter.reserve(&organisation("one more"), Uuid::nil()).expect("a place").leave();
        assert_eq!(meter.taken.lock().len(), 1);
    }
}
