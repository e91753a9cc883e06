//! One circuit: the latest outcomes of some calls to an origin, and whether such calls are cut off.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::metrics;
use crate::outbound::error::{ErrorKind, PlatformError};

/// The latest outcomes that are looked at: at most this many,
pub(super) const SAMPLE: usize = 20;
/// none older than this,
const WINDOW: Duration = Duration::from_secs(60);
/// and fewer than these prove nothing.
pub(super) const FEWEST: usize = 10;
/// How long a circuit stays open at first; each failed probe doubles it.
pub(super) const FIRST_PAUSE: Duration = Duration::from_secs(5);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// Outcomes of calls, and what follows from them.
pub(super) struct Circuit {
    outcomes: VecDeque<Outcome>,
    /// How many of the outcomes may be one tenant's.
    share: usize,
    open: Option<Open>,
}

/// How one call ended.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outcome {
    pub(super) at: Instant,
    pub(super) tenant: u64,
    pub(super) failed: bool,
    /// The question, where the failure may be its own: then it counts once, however often it is asked.
    pub(super) question: Option<u64>,
}

struct Open {
    cause: PlatformError,
    pause: Duration,
    until: Instant,
    probing: bool,
}

impl Circuit {
    pub(super) fn new(share: usize) -> Self {
        Self { outcomes: VecDeque::new(), share, open: None }
    }

    /// Whether a call may pass now.
    pub(super) fn check(&self, now: Instant) -> Result<(), PlatformError> {
        match &self.open {
            Some(open) if !open.may_probe(now) => Err(open.refusal(now)),
            _ => Ok(()),
        }
    }

    /// Lets a call pass that was checked; says whether it is the probe of an open circuit.
    pub(super) fn pass(&mut self) -> bool {
        self.open.as_mut().is_some_and(|open| {
            open.probing = true;
            true
        })
    }

    /// Learns that nobody waited for the probe's answer.
    pub(super) fn give_up_probe(&mut self) {
        if let Some(open) = &mut self.open {
            open.probing = false;
        }
    }

    pub(super) fn record_answer(&mut self, outcome: Outcome) {
        if self.open.take().is_some() {
            self.outcomes.clear();
        }
        self.remember(outcome);
    }

    pub(super) fn record_failure(&mut self, outcome: Outcome, cause: &PlatformError, probe: bool) {
        let is_news = self.remember(outcome);
        let is_failing = self.is_failing();
        match &mut self.open {
            Some(open) if probe && is_news => {
                open.pause = (open.pause * 2).min(LONGEST_PAUSE);
                open.until = outcome.at + open.pause;
                open.cause = cause.clone();
            }
            // A call that was on its way when the circuit opened, or a question known to fail, says nothing new.
            Some(_) => {}
            None if is_failing => self.open = Some(Open::new(cause.clone(), outcome.at)),
            None => {}
        }
    }

    /// Whether nothing that happened to it matters any more.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        self.open.is_none() && self.outcomes.back().is_none_or(|last| is_old(last, now))
    }

    /// Returns whether the outcome says something that was not known.
    fn remember(&mut self, outcome: Outcome) -> bool {
        let before = self.outcomes.len();
        if outcome.question.is_some() {
            self.outcomes.retain(|known| known.question != outcome.question);
        }
        let is_news = self.outcomes.len() == before;
        self.outcomes.push_back(outcome);
        let of_tenant = |known: &Outcome| known.tenant == outcome.tenant;
        if self.outcomes.iter().filter(|known| of_tenant(known)).count() > self.share
            && let Some(oldest) = self.outcomes.iter().position(of_tenant)
        {
            self.outcomes.remove(oldest);
        }
        while self.outcomes.len() > SAMPLE || self.outcomes.front().is_some_and(|oldest| is_old(oldest, outcome.at)) {
            self.outcomes.pop_front();
        }
        is_news
    }

    /// Half of the sample or more has failed.
    fn is_failing(&self) -> bool {
        let failed = self.outcomes.iter().filter(|outcome| outcome.failed).count();
        self.outcomes.len() >= FEWEST && failed * 2 >= self.outcomes.len()
    }
}

fn is_old(outcome: &Outcome, now: Instant) -> bool {
    now.saturating_duration_since(outcome.at) > WINDOW
}

impl Open {
    fn new(cause: PlatformError, now: Instant) -> Self {
        metrics::breaker_opened();
        Self { cause, pause: FIRST_PAUSE, until: now + FIRST_PAUSE, probing: false }
    }

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

impl Drop for Open {
    fn drop(&mut self) {
        metrics::breaker_closed();
    }
}
