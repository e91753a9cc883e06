//! How many verifications may fail: verification must not be a way to guess keys.
//!
//! A place is taken before the tracker is asked and given back when the credentials turn out to be good, so that
//! guesses made at the same time are no more than guesses made one after the other. What is saved without being
//! verified keeps its place until the background has verified it: a pull through it meanwhile may learn as much.
//!
//! Where replicas share counters a place is taken among all of them too. One that another replica verifies in the
//! background comes back there when its time is over, not before: only who took a place knows how to give it back.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use uuid::Uuid;

use crate::platforms::verification::{Verification, VerificationStatus};
use crate::platforms::{self, Client};
use crate::problem::{Code, Problem};
use crate::shared::{Shared, Taken, Token, Window};
use crate::tenancy::OrgId;

/// For how long a place is taken.
const MINUTE: Duration = Duration::from_secs(60);

/// Beyond so many organisations, those that have taken no place lately are forgotten.
const MANY: usize = 10_000;

/// Counts, by organisation, the verifications of the last minute that failed or are not decided yet.
pub(super) struct FailureMeter {
    allowed: u32,
    places: Arc<Places>,
}

struct Places {
    taken: Mutex<HashMap<OrgId, VecDeque<Place>>>,
    shared: Shared,
}

/// A place that is taken.
struct Place {
    at: Instant,
    attempt: Uuid,
    /// The place among all replicas.
    token: Option<Token>,
}

impl Place {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= MINUTE
    }
}

impl FailureMeter {
    /// Allows so many a minute; 0 for no limit.
    pub(super) fn new(allowed: u32, shared: Shared) -> Self {
        Self { allowed, places: Arc::new(Places { taken: Mutex::default(), shared }) }
    }

    /// Takes a place for `attempt`: in this process first, which costs nothing, then among all replicas.
    ///
    /// # Errors
    /// All places are taken.
    pub(super) async fn reserve(&self, organisation: &OrgId, attempt: Uuid) -> Result<Slot, Problem> {
        let slot = Slot { places: Arc::clone(&self.places), organisation: organisation.clone(), attempt, keep: false };
        if self.allowed == 0 {
            return Ok(slot);
        }
        self.take(organisation, attempt)?;
        let minute = Window { label: "verifications", most: self.allowed, time: MINUTE };
        match self.places.shared.count(minute, organisation.as_str()).await {
            // Dropping the slot gives the place in this process back.
            Some(Taken::Over(left)) => return Err(self.refusal(left)),
            Some(Taken::Within(token)) => self.places.note(organisation, attempt, token),
            None => {}
        }
        Ok(slot)
    }

    fn take(&self, organisation: &OrgId, attempt: Uuid) -> Result<(), Problem> {
        let now = Instant::now();
        let mut all = self.places.taken.lock();
        if all.len() >= MANY {
            all.retain(|_, taken| taken.back().is_some_and(|place| !place.is_over(now)));
        }
        let taken = all.entry(organisation.clone()).or_default();
        while taken.front().is_some_and(|place| place.is_over(now)) {
            taken.pop_front();
        }
        match taken.front() {
            Some(oldest) if taken.len() >= self.allowed as usize => {
                Err(self.refusal(MINUTE.saturating_sub(now.saturating_duration_since(oldest.at))))
            }
            _ => {
                taken.push_back(Place { at: now, attempt, token: None });
                Ok(())
            }
        }
    }

    /// Gives back the place of an attempt that was decided elsewhere, and well.
    pub(super) fn forgive(&self, organisation: &OrgId, attempt: Uuid) {
        self.places.give_back(organisation, attempt);
    }

    fn refusal(&self, wait: Duration) -> Problem {
        Problem::new(Code::RateLimited, "Too many verifications failed, or are not decided yet, within a minute.")
            .hint("Wait, and check the credentials before trying again.")
            .retry_after(wait)
            .with("limit", self.allowed)
            .with("limited_by", "verifications")
    }
}

impl Places {
    fn note(&self, organisation: &OrgId, attempt: Uuid, token: Token) {
        let mut all = self.taken.lock();
        let place = all.get_mut(organisation).and_then(|taken| taken.iter_mut().find(|it| it.attempt == attempt));
        if let Some(place) = place {
            place.token = Some(token);
        }
    }

    fn give_back(&self, organisation: &OrgId, attempt: Uuid) {
        let token = {
            let mut all = self.taken.lock();
            let Some(taken) = all.get_mut(organisation) else { return };
            let Some(at) = taken.iter().position(|place| place.attempt == attempt) else { return };
            let place = taken.remove(at);
            if taken.is_empty() {
                all.remove(organisation);
            }
            place.and_then(|place| place.token)
        };
        // Without a runtime to talk in, the shared place comes back when its time is over.
        if let (Some(token), Ok(runtime)) = (token, tokio::runtime::Handle::try_current()) {
            let shared = self.shared.clone();
            runtime.spawn(async move { shared.take_back(token).await });
        }
    }
}

/// A place that was taken. Dropped before the tracker was asked, it is given back.
#[must_use]
pub(super) struct Slot {
    places: Arc<Places>,
    organisation: OrgId,
    attempt: Uuid,
    keep: bool,
}

impl Slot {
    /// Verifies in this place. Only a good answer gives it back: a caller that goes away while the tracker is asked has
    /// asked all the same.
    pub(super) async fn verify(mut self, client: &Client) -> Verification {
        self.keep = true;
        let verification = platforms::verify(client).await;
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
            self.places.give_back(&self.organisation, self.attempt);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn organisation(name: &str) -> OrgId {
        name.parse().expect("an organisation")
    }

    fn meter(allowed: u32) -> FailureMeter {
        FailureMeter::new(allowed, Shared::nothing())
    }

    fn of_a_minute_ago() -> VecDeque<Place> {
        let at = Instant::now().checked_sub(MINUTE).expect("a clock that has run for a minute");
        VecDeque::from([Place { at, attempt: Uuid::nil(), token: None }])
    }

    #[tokio::test]
    async fn places_are_taken_until_they_are_given_back_and_by_organisation() {
        let meter = meter(2);
        let (acme, other) = (organisation("acme"), organisation("other"));
        let first = meter.reserve(&acme, Uuid::from_u128(1)).await.expect("a place");
        let second = meter.reserve(&acme, Uuid::from_u128(2)).await.expect("a place");
        let refused = meter.reserve(&acme, Uuid::from_u128(3)).await.err().expect("no place");
        assert_eq!(refused.code, Code::RateLimited);
        assert!(refused.retry_after.is_some_and(|wait| wait <= MINUTE && wait > MINUTE / 2));
        drop(meter.reserve(&other, Uuid::from_u128(4)).await.expect("a place of its own"));
        drop(first);
        meter.reserve(&acme, Uuid::from_u128(5)).await.expect("the place that was given back").leave();
        second.leave();
        assert!(meter.reserve(&acme, Uuid::from_u128(6)).await.is_err());
        meter.forgive(&acme, Uuid::from_u128(5));
        meter.forgive(&other, Uuid::from_u128(2));
        drop(meter.reserve(&acme, Uuid::from_u128(7)).await.expect("the place that was forgiven"));
        assert_eq!(meter.places.taken.lock().len(), 1, "nothing is kept of who has no place");
    }

    #[tokio::test]
    async fn a_place_is_free_again_after_a_minute() {
        let meter = meter(1);
        let acme = organisation("acme");
        meter.reserve(&acme, Uuid::nil()).await.expect("a place").leave();
        assert!(meter.reserve(&acme, Uuid::nil()).await.is_err());
        meter.places.taken.lock().insert(acme.clone(), of_a_minute_ago());
        meter.reserve(&acme, Uuid::nil()).await.expect("the place of a minute ago").leave();
    }

    #[tokio::test]
    async fn without_a_limit_nothing_is_counted() {
        let meter = meter(0);
        for attempt in 0..1_000 {
            meter.reserve(&organisation("acme"), Uuid::from_u128(attempt)).await.expect("no limit").leave();
        }
        assert!(meter.places.taken.lock().is_empty());
    }

    #[tokio::test]
    async fn organisations_beyond_number_take_no_more_memory() {
        let meter = meter(1);
        for number in 0..MANY {
            meter.places.taken.lock().insert(organisation(&format!("org-{number}")), of_a_minute_ago());
        }
        meter.reserve(&organisation("one more"), Uuid::nil()).await.expect("a place").leave();
        assert_eq!(meter.places.taken.lock().len(), 1);
    }
}
