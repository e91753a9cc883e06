//! How many verifications may fail: verification must not be a way to guess keys.
//!
//! A slot is taken before the tracker is asked and given back when the credentials turn out to be good, so that
//! guesses made at the same time are no more than guesses made one after the other. What is saved without being
//! verified keeps its slot until the background has verified it: a pull through it meanwhile may learn as much.
//!
//! Where replicas share counters a slot is taken among all of them too. One that another replica verifies in the
//! background comes back there when its time is over, not before: only who took a slot knows how to give it back.

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

/// For how long a slot is taken.
const MINUTE: Duration = Duration::from_secs(60);

/// Beyond so many organisations, those that have taken no slot lately are forgotten.
const MANY: usize = 10_000;

/// Counts, by organisation, the verifications of the last minute that failed or are not decided yet.
pub(super) struct FailureMeter {
    allowed: u32,
    slots: Arc<Slots>,
}

struct Slots {
    taken: Mutex<HashMap<OrgId, VecDeque<TakenSlot>>>,
    shared: Shared,
}

/// A slot that is taken.
struct TakenSlot {
    at: Instant,
    attempt: Uuid,
    /// The slot among all replicas.
    token: Option<Token>,
}

impl TakenSlot {
    fn is_over(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.at) >= MINUTE
    }
}

impl FailureMeter {
    /// Allows so many a minute; 0 for no limit.
    pub(super) fn new(allowed: u32, shared: Shared) -> Self {
        Self { allowed, slots: Arc::new(Slots { taken: Mutex::default(), shared }) }
    }

    /// Takes a slot for `attempt`: in this process first, which costs nothing, then among all replicas.
    ///
    /// # Errors
    /// All slots are taken.
    pub(super) async fn reserve(&self, organisation: &OrgId, attempt: Uuid) -> Result<Reservation, Problem> {
        let reservation =
            Reservation { slots: Arc::clone(&self.slots), organisation: organisation.clone(), attempt, keep: false };
        if self.allowed == 0 {
            return Ok(reservation);
        }
        self.take(organisation, attempt)?;
        let minute = Window { label: "verifications", most: self.allowed, time: MINUTE };
        match self.slots.shared.count(minute, organisation.as_str()).await {
            // Dropping the reservation gives the slot in this process back.
            Some(Taken::Over(left)) => return Err(self.refusal(left)),
            Some(Taken::Within(token)) => self.slots.set_token(organisation, attempt, token),
            None => {}
        }
        Ok(reservation)
    }

    fn take(&self, organisation: &OrgId, attempt: Uuid) -> Result<(), Problem> {
        let now = Instant::now();
        let mut all = self.slots.taken.lock();
        if all.len() >= MANY {
            all.retain(|_, taken| taken.back().is_some_and(|slot| !slot.is_over(now)));
        }
        let taken = all.entry(organisation.clone()).or_default();
        while taken.front().is_some_and(|slot| slot.is_over(now)) {
            taken.pop_front();
        }
        match taken.front() {
            Some(oldest) if taken.len() >= self.allowed as usize => {
                Err(self.refusal(MINUTE.saturating_sub(now.saturating_duration_since(oldest.at))))
            }
            _ => {
                taken.push_back(TakenSlot { at: now, attempt, token: None });
                Ok(())
            }
        }
    }

    /// Gives back the slot of an attempt that was decided elsewhere, and well.
    pub(super) fn forgive(&self, organisation: &OrgId, attempt: Uuid) {
        self.slots.give_back(organisation, attempt);
    }

    fn refusal(&self, wait: Duration) -> Problem {
        Problem::new(Code::RateLimited, "Too many verifications failed, or are not decided yet, within a minute.")
            .hint("Wait, and check the credentials before trying again.")
            .retry_after(wait)
            .with("limit", self.allowed)
            .with("limited_by", "verifications")
    }
}

impl Slots {
    fn set_token(&self, organisation: &OrgId, attempt: Uuid, token: Token) {
        let mut all = self.taken.lock();
        let slot = all.get_mut(organisation).and_then(|taken| taken.iter_mut().find(|it| it.attempt == attempt));
        if let Some(slot) = slot {
            slot.token = Some(token);
        }
    }

    fn give_back(&self, organisation: &OrgId, attempt: Uuid) {
        let token = {
            let mut all = self.taken.lock();
            let Some(taken) = all.get_mut(organisation) else { return };
            let Some(at) = taken.iter().position(|slot| slot.attempt == attempt) else { return };
            let slot = taken.remove(at);
            if taken.is_empty() {
                all.remove(organisation);
            }
            slot.and_then(|slot| slot.token)
        };
        // Without a runtime to talk in, the shared slot comes back when its time is over.
        if let (Some(token), Ok(runtime)) = (token, tokio::runtime::Handle::try_current()) {
            let shared = self.shared.clone();
            runtime.spawn(async move { shared.take_back(token).await });
        }
    }
}

/// A slot that was taken. Dropped before the tracker was asked, it is given back.
#[must_use]
pub(super) struct Reservation {
    slots: Arc<Slots>,
    organisation: OrgId,
    attempt: Uuid,
    keep: bool,
}

impl Reservation {
    /// Verifies in this slot. Only a good answer gives it back: a caller that goes away while the tracker is asked has
    /// asked all the same.
    pub(super) async fn verify(mut self, client: &Client) -> Verification {
        self.keep = true;
        let verification = platforms::verify(client).await;
        self.keep = verification.status != VerificationStatus::Ok;
        verification
    }

    /// Leaves the slot taken until it is forgiven, or its time is over.
    pub(super) fn leave(mut self) {
        self.keep = true;
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if !self.keep {
            self.slots.give_back(&self.organisation, self.attempt);
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

    fn of_a_minute_ago() -> VecDeque<TakenSlot> {
        let at = Instant::now().checked_sub(MINUTE).expect("a clock that has run for a minute");
        VecDeque::from([TakenSlot { at, attempt: Uuid::nil(), token: None }])
    }

    #[tokio::test]
    async fn places_are_taken_until_they_are_given_back_and_by_organisation() {
        let meter = meter(2);
        let (acme, other) = (organisation("acme"), organisation("other"));
        let first = meter.reserve(&acme, Uuid::from_u128(1)).await.expect("a slot");
        let second = meter.reserve(&acme, Uuid::from_u128(2)).await.expect("a slot");
        let refused = meter.reserve(&acme, Uuid::from_u128(3)).await.err().expect("no slot");
        assert_eq!(refused.code, Code::RateLimited);
        assert!(refused.retry_after.is_some_and(|wait| wait <= MINUTE && wait > MINUTE / 2));
        drop(meter.reserve(&other, Uuid::from_u128(4)).await.expect("a slot of its own"));
        drop(first);
        meter.reserve(&acme, Uuid::from_u128(5)).await.expect("the slot that was given back").leave();
        second.leave();
        assert!(meter.reserve(&acme, Uuid::from_u128(6)).await.is_err());
        meter.forgive(&acme, Uuid::from_u128(5));
        meter.forgive(&other, Uuid::from_u128(2));
        drop(meter.reserve(&acme, Uuid::from_u128(7)).await.expect("the slot that was forgiven"));
        assert_eq!(meter.slots.taken.lock().len(), 1, "nothing is kept of who has no slot");
    }

    #[tokio::test]
    async fn a_place_is_free_again_after_a_minute() {
        let meter = meter(1);
        let acme = organisation("acme");
        meter.reserve(&acme, Uuid::nil()).await.expect("a slot").leave();
        assert!(meter.reserve(&acme, Uuid::nil()).await.is_err());
        meter.slots.taken.lock().insert(acme.clone(), of_a_minute_ago());
        meter.reserve(&acme, Uuid::nil()).await.expect("the slot of a minute ago").leave();
    }

    #[tokio::test]
    async fn without_a_limit_nothing_is_counted() {
        let meter = meter(0);
        for attempt in 0..1_000 {
            meter.reserve(&organisation("acme"), Uuid::from_u128(attempt)).await.expect("no limit").leave();
        }
        assert!(meter.slots.taken.lock().is_empty());
    }

    #[tokio::test]
    async fn organisations_beyond_number_take_no_more_memory() {
        let meter = meter(1);
        for number in 0..MANY {
            meter.slots.taken.lock().insert(organisation(&format!("org-{number}")), of_a_minute_ago());
        }
        meter.reserve(&organisation("one more"), Uuid::nil()).await.expect("a slot").leave();
        assert_eq!(meter.slots.taken.lock().len(), 1);
    }
}
