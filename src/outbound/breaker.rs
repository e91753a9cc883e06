//! Leaves an origin alone that keeps failing, and finds out by itself when it is back.
//!
//! What counts as failing is what a struggling host does: no connection, no TLS, no answer in time, a 5xx, something in front of it that lets nobody through. A refusal, a 429 or
//! an answer that makes no sense is an answer. While a circuit is open calls are turned away at once with the last
//! cause; when its time is over a single pull goes through as a probe and decides.
//!
//! Nobody can have an origin cut off for others. What one organisation meets cuts off that organisation only: it has a
//! small share of what decides for everyone, so that takes the failures of three or more. And a 500 may be the
//! question's own: one that is asked again and again is cut off by itself, and counts once among the organisation's
//! calls. Many different questions that all end so are the host's failure again.
//!
//! A verification was asked for by someone who wants to know how the host is right now, so it is always let through.
//! Its success closes what is open for that organisation and for everyone. Its failure counts for nothing, because what
//! it was made with is not proven yet, and some platforms answer a wrong key with a 500.

use std::collections::HashMap;
use std::time::Instant;

use parking_lot::Mutex;

use super::circuit::{Circuit, Outcome, SAMPLE};
use super::retry::Fault;
use super::scope::Purpose;
use crate::outbound::error::{ErrorKind, PlatformError};

/// How many of the outcomes that decide for everyone may be one organisation's.
const SHARE: usize = 4;
/// Circuits of one origin. Calls beyond go uncounted until some of them are idle.
const MOST_CIRCUITS: usize = 1_000;

/// The breaker of one origin.
#[derive(Default)]
pub(super) struct Breaker {
    circuits: Mutex<HashMap<Scope, Circuit>>,
}

/// Whose calls a circuit stands in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Scope {
    Everyone,
    Tenant(u64),
    Question(u64, u64),
}

impl Scope {
    fn circuit(self) -> Circuit {
        Circuit::new(if self == Self::Everyone { SHARE } else { SAMPLE })
    }
}

/// Who calls, and with which question.
#[derive(Debug, Clone, Copy)]
pub(super) struct Asker {
    pub(super) tenant: u64,
    /// Tells questions apart, whatever they are.
    pub(super) question: u64,
}

impl Asker {
    const fn scopes(self) -> [Scope; 3] {
        [Scope::Everyone, Scope::Tenant(self.tenant), Scope::Question(self.tenant, self.question)]
    }
}

impl Breaker {
    /// Whether a call would be turned away right now.
    pub(super) fn check(&self, purpose: Purpose, asker: Asker, now: Instant) -> Result<(), PlatformError> {
        check(&self.circuits.lock(), purpose, asker, now)
    }

    /// Lets a call through, or turns it away. The pass is given back with the call's outcome; one that is dropped
    /// without (nobody waited for the answer) says nothing about the origin.
    pub(super) fn admit(&self, purpose: Purpose, asker: Asker, now: Instant) -> Result<Pass<'_>, PlatformError> {
        let mut circuits = self.circuits.lock();
        check(&circuits, purpose, asker, now)?;
        let probes = asker
            .scopes()
            .map(|scope| purpose != Purpose::Verify && circuits.get_mut(&scope).is_some_and(Circuit::pass));
        Ok(Pass { breaker: self, purpose, asker, probes })
    }
}

fn check(
    circuits: &HashMap<Scope, Circuit>,
    purpose: Purpose,
    asker: Asker,
    now: Instant,
) -> Result<(), PlatformError> {
    match purpose {
        Purpose::Verify => Ok(()),
        Purpose::Pull | Purpose::Check => {
            asker.scopes().iter().filter_map(|scope| circuits.get(scope)).try_for_each(|circuit| circuit.check(now))
        }
    }
}

/// The circuit of a scope, made if there is room.
fn circuit(circuits: &mut HashMap<Scope, Circuit>, scope: Scope, now: Instant) -> Option<&mut Circuit> {
    if !circuits.contains_key(&scope) {
        if circuits.len() >= MOST_CIRCUITS {
            circuits.retain(|_, circuit| !circuit.is_idle(now));
        }
        if circuits.len() >= MOST_CIRCUITS {
            return None;
        }
    }
    Some(circuits.entry(scope).or_insert_with(|| scope.circuit()))
}

/// The right to make one call.
pub(super) struct Pass<'a> {
    breaker: &'a Breaker,
    purpose: Purpose,
    asker: Asker,
    /// Of which of the asker's circuits it is the probe.
    probes: [bool; 3],
}

impl Pass<'_> {
    /// Learns how the call ended.
    pub(super) fn report(self, fault: Option<&Fault>, now: Instant) {
        match fault {
            Some(fault) if is_outage(fault.error().kind) => self.record_failure(fault, now),
            _ => self.record_answer(now),
        }
    }

    fn record_answer(&self, now: Instant) {
        let mut circuits = self.breaker.circuits.lock();
        let outcome = Outcome { at: now, tenant: self.asker.tenant, failed: false, question: None };
        for scope in self.asker.scopes() {
            // Only questions that ever failed have a circuit.
            if !matches!(scope, Scope::Question(..)) || circuits.contains_key(&scope) {
                circuit(&mut circuits, scope, now).into_iter().for_each(|circuit| circuit.record_answer(outcome));
            }
        }
    }

    fn record_failure(&self, fault: &Fault, now: Instant) {
        if self.purpose == Purpose::Verify {
            return;
        }
        let mut circuits = self.breaker.circuits.lock();
        let suspect = fault.may_be_the_question().then_some(self.asker.question);
        let outcome = Outcome { at: now, tenant: self.asker.tenant, failed: true, question: suspect };
        for (scope, probe) in self.asker.scopes().into_iter().zip(self.probes) {
            let outcome = match scope {
                Scope::Everyone | Scope::Tenant(_) => outcome,
                Scope::Question(..) if suspect.is_some() || probe => Outcome { question: None, ..outcome },
                Scope::Question(..) => continue,
            };
            if let Some(circuit) = circuit(&mut circuits, scope, now) {
                circuit.record_failure(outcome, fault.error(), probe);
            }
        }
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        if self.probes.contains(&true) {
            let mut circuits = self.breaker.circuits.lock();
            for (scope, _) in self.asker.scopes().iter().zip(self.probes).filter(|(_, probe)| *probe) {
                circuits.get_mut(scope).into_iter().for_each(Circuit::give_up_probe);
            }
        }
    }
}

/// What a host does that cannot serve, as opposed to one that will not.
const fn is_outage(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::ConnectFailed
            | ErrorKind::TlsFailed
            | ErrorKind::Timeout
            | ErrorKind::Failing
            | ErrorKind::AccessBlocked
    )
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::circuit::{FEWEST, FIRST_PAUSE, LONGEST_PAUSE};
    use super::*;

    const ASKER: Asker = Asker { tenant: 1, question: 1 };

    fn of(tenant: u64, question: u64) -> Asker {
        Asker { tenant, question }
    }

    fn fault(kind: ErrorKind) -> Fault {
        PlatformError::new(kind, "tracker.example does something.").into()
    }

    /// What a 500 comes as when it was repeated once.
    fn own_fault() -> Fault {
        Fault::last(PlatformError::new(ErrorKind::Failing, "tracker.example answered 500."))
    }

    fn ask(breaker: &Breaker, asker: Asker, now: Instant, fault: Option<&Fault>) {
        breaker.admit(Purpose::Pull, asker, now).expect("a pass").report(fault, now);
    }

    fn call(breaker: &Breaker, now: Instant, outcome: Option<ErrorKind>) {
        ask(breaker, ASKER, now, outcome.map(fault).as_ref());
    }

    fn opened(now: Instant) -> Breaker {
        let breaker = Breaker::default();
        for _ in 0..FEWEST {
            call(&breaker, now, Some(ErrorKind::Failing));
        }
        breaker
    }

    fn is_cut_off(breaker: &Breaker, asker: Asker, now: Instant) -> bool {
        breaker.check(Purpose::Pull, asker, now).is_err()
    }

    #[test]
    fn it_opens_on_a_rate_of_failures_and_names_cause_and_time() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..FEWEST / 2 {
            call(&breaker, now, None);
            call(&breaker, now, Some(ErrorKind::Timeout));
        }
        let refusal = breaker.admit(Purpose::Pull, ASKER, now).map(drop).expect_err("a refusal");
        assert_eq!((refusal.kind, refusal.retry_after), (ErrorKind::Failing, Some(FIRST_PAUSE)));
        assert!(refusal.detail.starts_with("tracker.example does something. "), "{}", refusal.detail);
        assert!(breaker.check(Purpose::Pull, ASKER, now).is_err());
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
            call(&breaker, now + Duration::from_secs(61) * minute, Some(ErrorKind::ConnectFailed));
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
        let probe = breaker.admit(Purpose::Pull, ASKER, later).expect("the probe");
        assert!(breaker.admit(Purpose::Pull, ASKER, later).is_err(), "a second probe");
        probe.report(Some(&fault(ErrorKind::Timeout)), later);
        let refusal = breaker.admit(Purpose::Pull, ASKER, later).map(drop).expect_err("open again");
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
        drop(breaker.admit(Purpose::Pull, ASKER, later).expect("the probe"));
        call(&breaker, later, None);
        call(&breaker, later, None);
    }

    #[test]
    fn a_verification_goes_through_and_its_success_closes() {
        let now = Instant::now();
        let breaker = opened(now);
        breaker.admit(Purpose::Verify, ASKER, now).expect("a pass").report(Some(&fault(ErrorKind::Failing)), now);
        assert!(breaker.check(Purpose::Verify, ASKER, now).is_ok());
        assert!(breaker.check(Purpose::Pull, ASKER, now).is_err());
        breaker.admit(Purpose::Verify, ASKER, now).expect("a pass").report(None, now);
        assert!(breaker.check(Purpose::Pull, ASKER, now).is_ok());
    }

    #[test]
    fn failed_verifications_never_open_it() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..2 * SAMPLE {
            breaker.admit(Purpose::Verify, ASKER, now).expect("a pass").report(Some(&fault(ErrorKind::Failing)), now);
        }
        assert!(breaker.check(Purpose::Pull, ASKER, now).is_ok());
    }

    #[test]
    fn the_pause_has_an_end() {
        let mut now = Instant::now();
        let breaker = opened(now);
        for _ in 0..10 {
            now += LONGEST_PAUSE;
            call(&breaker, now, Some(ErrorKind::Failing));
        }
        let refusal = breaker.check(Purpose::Pull, ASKER, now).expect_err("open");
        assert_eq!(refusal.retry_after, Some(LONGEST_PAUSE));
    }
    #[test]
    fn one_organisation_cuts_off_itself_and_nobody_else() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for round in 0..100 {
            if !is_cut_off(&breaker, of(1, round), now) {
                ask(&breaker, of(1, round), now, Some(&fault(ErrorKind::Timeout)));
            }
        }
        assert!(is_cut_off(&breaker, of(1, 1_000), now));
        assert!(!is_cut_off(&breaker, of(2, 1), now));
        for round in 0..6 {
            ask(&breaker, of(2, round), now, None);
        }
        assert!(!is_cut_off(&breaker, of(3, 1), now), "its share of the sample is small");
    }

    #[test]
    fn what_several_organisations_meet_cuts_off_everyone_and_one_success_ends_it() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for tenant in 1..=3 {
            for question in 0..SHARE as u64 {
                if !is_cut_off(&breaker, of(tenant, question), now) {
                    ask(&breaker, of(tenant, question), now, Some(&fault(ErrorKind::ConnectFailed)));
                }
            }
        }
        assert!(is_cut_off(&breaker, of(9, 1), now));
        let later = now + FIRST_PAUSE;
        ask(&breaker, of(9, 1), later, None);
        for tenant in [1, 2, 3, 9] {
            assert!(!is_cut_off(&breaker, of(tenant, 1), later), "{tenant}");
        }
    }

    #[test]
    fn a_question_that_fails_by_itself_is_cut_off_without_the_others() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for _ in 0..FEWEST {
            ask(&breaker, of(1, 1), now, Some(&own_fault()));
        }
        assert!(is_cut_off(&breaker, of(1, 1), now));
        assert!(!is_cut_off(&breaker, of(1, 2), now) && !is_cut_off(&breaker, of(2, 1), now));
        let later = now + FIRST_PAUSE;
        ask(&breaker, of(1, 1), later, None);
        assert!(!is_cut_off(&breaker, of(1, 1), later));
    }

    #[test]
    fn many_questions_that_all_fail_are_the_hosts_failure() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for question in 0..FEWEST as u64 {
            ask(&breaker, of(1, question), now, Some(&own_fault()));
        }
        assert!(is_cut_off(&breaker, of(1, 1_000), now));
    }

    #[test]
    fn a_question_known_to_fail_decides_nothing_as_a_probe() {
        let now = Instant::now();
        let breaker = Breaker::default();
        ask(&breaker, of(1, 7), now, Some(&own_fault()));
        for _ in 1..FEWEST {
            ask(&breaker, of(1, 1), now, Some(&fault(ErrorKind::Timeout)));
        }
        let later = now + FIRST_PAUSE;
        ask(&breaker, of(1, 7), later, Some(&own_fault()));
        assert!(!is_cut_off(&breaker, of(1, 1), later), "the next may try at once");
        ask(&breaker, of(1, 8), later, Some(&own_fault()));
        assert!(is_cut_off(&breaker, of(1, 1), later), "this failure is news");
    }

    #[test]
    fn circuits_without_number_take_no_more_memory() {
        let now = Instant::now();
        let breaker = Breaker::default();
        for number in 0..3 * MOST_CIRCUITS as u64 {
            ask(&breaker, of(number, number), now, Some(own_fault()).filter(|_| number % 3 == 0).as_ref());
        }
        assert!(breaker.circuits.lock().len() <= MOST_CIRCUITS);
        let later = now + Duration::from_secs(120);
        ask(&breaker, of(u64::MAX, 1), later, None);
        assert!(breaker.circuits.lock().len() < 10, "those nobody uses make room");
    }
}
