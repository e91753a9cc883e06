//! Leaves an origin alone that keeps failing, and finds out by itself when it is back.
//!
//! What counts as failing is what a struggling host does: no connection, no answer in time, a 5xx. A refusal, a 429 or
//! an answer that makes no sense is an answer. While the breaker is open calls are turned away at once with the last
//! cause; when its time is over a single pull goes through as a probe and decides.
//!
//! A verification was asked for by someone who wants to know how the host is right now, so it is always let through.
//! Its success closes the breaker. Its failure counts for nothing, because what it was made with is not proven yet, and
//! some platforms answer a wrong key with a 500.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Purpose;
use crate::metrics;
use crate::platforms::error::{ErrorKind, PlatformError};

/// The latest outcomes that are looked at: at most this many,
const SAMPLE: usize = 20;
/// none older than this,
const WINDOW: Duration = Duration::from_secs(60);
/// and fewer than these prove nothing.
const FEWEST: usize = 10;
/// How long the breaker stays open at first; each failed probe doubles it.
const FIRST_PAUSE: Duration = Duration::from_secs(5);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// The breaker of one origin.
#[derive(Default)]
pub(super) struct Breaker {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    outcomes: VecDeque<(Instant, Outcome)>,
    open: Option<Open>,
}

struct Open {
    cause: PlatformError,
    pause: Duration,
    until: Instant,
    probing: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Answered,
    Failed,
}

impl Breaker {
    /// Whether a call would be turned away right now.
    pub(super) fn check(&self, purpose: Purpose, now: Instant) -> Result<(), PlatformError> {
        match &self.lock().open {
            Some(open) if purpose == Purpose::Pull && !open.may_probe(now) => Err(open.refusal(now)),
            _ => Ok(()),
        }
    }

    /// Lets a call through, or turns it away. The pass is given back with the call's outcome; one that is dropped
    /// without (nobody waited for the answer) says nothing about the origin.
    pub(super) fn admit(&self, purpose: Purpose, now: Instant) -> Result<Pass<'_>, PlatformError> {
        let mut state = self.lock();
        let role = match (purpose, &mut state.open) {
            (Purpose::Verify, _) => Role::Verification,
            (Purpose::Pull, None) => Role::Pull,
            (Purpose::Pull, Some(open)) if open.may_probe(now) => {
                open.probing = true;
                Role::Probe
            }
            (Purpose::Pull, Some(open)) => return Err(open.refusal(now)),
        };
        Ok(Pass { breaker: self, role })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Breaker {
    fn drop(&mut self) {
        if self.lock().open.is_some() {
            metrics::breaker_closed();
        }
    }
}

impl State {
    fn answered(&mut self, now: Instant) {
        if self.open.take().is_some() {
            metrics::breaker_closed();
            self.outcomes.clear();
        }
        self.remember(now, Outcome::Answered);
    }

    fn failed(&mut self, now: Instant, cause: &PlatformError, role: Role) {
        match (role, &mut self.open) {
            (Role::Probe, Some(open)) => {
                open.pause = (open.pause * 2).min(LONGEST_PAUSE);
                open.until = now + open.pause;
                open.cause = cause.clone();
            }
            // A pull that was on its way when the breaker opened tells nothing new.
            (Role::Verification, _) | (Role::Pull, Some(_)) => {}
            (Role::Pull | Role::Probe, None) => {
                self.remember(now, Outcome::Failed);
                if self.is_failing() {
                    let pause = FIRST_PAUSE;
                    self.open = Some(Open { cause: cause.clone(), pause, until: now + pause, probing: false });
                    metrics::breaker_opened();
                }
            }
        }
    }

    fn remember(&mut self, now: Instant, outcome: Outcome) {
        self.outcomes.push_back((now, outcome));
        while self.outcomes.len() > SAMPLE
            || self.outcomes.front().is_some_and(|(at, _)| now.saturating_duration_since(*at) > WINDOW)
        {
            self.outcomes.pop_front();
        }
    }

    /// Half of the sample or more has failed.
    fn is_failing(&self) -> bool {
        let failed = self.outcomes.iter().filter(|(_, outcome)| *outcome == Outcome::Failed).count();
        self.outcomes.len() >= FEWEST && failed * 2 >= self.outcomes.len()
    }
}

impl Open {
    fn may_probe(&self, now: Instant) -> bool {
        !self.probing && now >= self.until
    }

    /// The cause, and when the next call will be let through.
    fn refusal(&self, now: Instant) -> PlatformError {
        // While a probe is on its way nobody knows; its answer will not be long.
        let wait = self.until.saturating_duration_since(now).max(Duration::from_secs(1));
        let seconds = wait.as_millis().div_ceil(1_000);
        PlatformError::new(
            ErrorKind::Failing,
            format!("{} It kept failing and is left alone; the next try is in {seconds} s.", self.cause.detail),
        )
        .retry_after(Some(wait))
    }
}

/// The right to make one call.
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    role: Role,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Pull,
    Probe,
    Verification,
}

impl Pass<'_> {
    /// Learns how the call ended.
    pub(super) fn report(self, error: Option<&PlatformError>, now: Instant) {
        let mut state = self.breaker.lock();
        match error {
            Some(error) if is_outage(error.kind) => state.failed(now, error, self.role),
            _ => state.answered(now),
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.role == Role::Probe
            && let Some(open) = &mut self.breaker.lock().open
        {
            open.probing = false;
        }
    }
}

/// What a host does that cannot serve, as opposed to one that will not.
const fn is_outage(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::ConnectFailed | ErrorKind::Timeout | ErrorKind::Failing)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(kind: ErrorKind) -> PlatformError {
        PlatformError::new(kind, "tracker.example does something.")
    }

    fn call(breaker: &Breaker, now: Instant, outcome: Option<ErrorKind>) {
        breaker.admit(Purpose::Pull, now).expect("a pass").report(outcome.map(error).as_ref(), now);
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..FEWEST {
            call(&breaker, now, Some(ErrorKind::Failing));
        }
        breaker
    }

    #[test]
    fn it_opens_on_a_rate_of_failures_and_names_cause_and_time() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..FEWEST / 2 {
            call(&breaker, now, None);
            call(&breaker, now, Some(ErrorKind::Timeout));
        }
        let refusal = breaker.admit(Purpose::Pull, now).map(drop).expect_err("a refusal");
        assert_eq!((refusal.kind, refusal.retry_after), (ErrorKind::Failing, Some(FIRST_PAUSE)));
        assert!(refusal.detail.starts_with("tracker.example does something. "), "{}", refusal.detail);
        assert!(breaker.check(Purpose::Pull, now).is_err());
    }

    #[test]
    fn refusals_throttling_and_nonsense_never_open_it() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for kind in [
            ErrorKind::CredentialsRejected,
            ErrorKind::RateLimited,
            ErrorKind::BadResponse,
            ErrorKind::Redirected,
            ErrorKind::Overloaded,
        ] {
            for _ in 0..2 * SAMPLE {
                call(&breaker, now, Some(kind));
            }
        }
    }

    #[test]
    fn failures_of_long_ago_and_a_minority_of_failures_do_not_count() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for minute in 0..60 {
            call(&breaker, now + (WINDOW + Duration::from_secs(1)) * minute, Some(ErrorKind::ConnectFailed));
        }
        let breaker = Breaker::default();
        for round in 0..200 {
            call(&breaker, now, (round % 3 == 2).then_some(ErrorKind::ConnectFailed));
        }
    }

    #[test]
    fn one_probe_at_a_time_decides() {
        let start = Instant::now();
        let breaker = opened(start);
        let later = start + FIRST_PAUSE;
        let probe = breaker.admit(Purpose::Pull, later).expect("the probe");
        assert!(breaker.admit(Purpose::Pull, later).is_err(), "a second probe");
        probe.report(Some(&error(ErrorKind::Timeout)), later);
        let refusal = breaker.admit(Purpose::Pull, later).map(drop).expect_err("open again");
        assert_eq!(refusal.retry_after, Some(FIRST_PAUSE * 2));
        let later = later + FIRST_PAUSE * 2;
        call(&breaker, later, None);
        call(&breaker, later, Some(ErrorKind::Failing));
        call(&breaker, later, None);
    }

    #[test]
    fn a_probe_that_nobody_waits_for_makes_room_for_the_next() {
        let start = Instant::now();
        let breaker = opened(start);
        let later = start + FIRST_PAUSE;
        drop(breaker.admit(Purpose::Pull, later).expect("the probe"));
        call(&breaker, later, None);
        call(&breaker, later, None);
    }

    #[test]
    fn a_verification_goes_through_and_its_success_closes() {
        let now = Instant::now();
        let breaker = opened(now);
        breaker.admit(Purpose::Verify, now).expect("a pass").report(Some(&error(ErrorKind::Failing)), now);
        assert!(breaker.check(Purpose::Verify, now).is_ok());
        assert!(breaker.check(Purpose::Pull, now).is_err());
        breaker.admit(Purpose::Verify, now).expect("a pass").report(None, now);
        assert!(breaker.check(Purpose::Pull, now).is_ok());
    }

    #[test]
    fn failed_verifications_never_open_it() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..2 * SAMPLE {
            breaker.admit(Purpose::Verify, now).expect("a pass").report(Some(&error(ErrorKind::Failing)), now);
        }
        assert!(breaker.check(Purpose::Pull, now).is_ok());
    }

    #[test]
    fn the_pause_has_an_end() {
        let mut now = Instant::now();
        let breaker = opened(now);
        for _ in 0..10 {
            now += LONGEST_PAUSE;
            call(&breaker, now, Some(ErrorKind::Failing));
        }
        let refusal = breaker.check(Purpose::Pull, now).expect_err("open");
        assert_eq!(refusal.retry_after, Some(LONGEST_PAUSE));
    }
}
