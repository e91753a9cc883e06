//! A connection's health, and what each finding makes of it.
//!
//! | found out | status | reported beside it |
//! | --- | --- | --- |
//! | it works | `active` | |
//! | refused, by a person's verification, a deferred one or a pull | `failing` | the reason |
//! | refused, by a check in the background | `failing` at the second refusal in a row | the reason |
//! | an outage, throttling, something else that answers | stays | a warning; after three intervals, `unreachable` |
//!
//! Each change of status, and of whether it can be reached, is returned once, so that it can be reported once.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::status::Status;
use crate::platforms::verification::{Failure, FailureCode, Owner, Verification};

/// Who found something out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
#[schema(as = HealthSource)]
pub enum Source {
    /// A verification that somebody asked for.
    Verification,
    /// A pull of statistics.
    Pull,
    /// A check in the background.
    Background,
}

/// Why a connection is failing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = HealthReason)]
pub struct Reason {
    /// The cause.
    pub code: FailureCode,
    /// Who can fix it.
    pub owner: Owner,
    /// The field of the create body that the cause lies in.
    #[schema(required, example = "/credentials/api_key")]
    pub pointer: Option<String>,
    /// What happened, in the tracker's terms, with the host.
    pub detail: String,
    /// The one next step.
    pub hint: String,
    /// Who found out.
    pub source: Source,
}

impl Reason {
    /// What a failure is the reason of.
    pub fn new(failure: &Failure, source: Source) -> Self {
        let Failure { code, owner, pointer, detail, hint, retryable: _ } = failure.clone();
        Self { code, owner, pointer, detail, hint, source }
    }
}

/// What keeps the connection from being checked, and says nothing of its credentials.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = HealthWarning)]
pub struct Warning {
    /// The cause.
    pub code: FailureCode,
    /// What happened, in the tracker's terms, with the host.
    pub detail: String,
    /// Since when.
    #[schema(value_type = String, format = DateTime)]
    pub since: Timestamp,
}

/// What is known of a connection's health beside its status.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ConnectionHealth)]
pub struct HealthView {
    /// Since when the status is what it is; `null` where an earlier release did not write it down.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub since: Option<Timestamp>,
    /// What made it failing; `null` while it is not.
    #[schema(required)]
    pub reason: Option<Reason>,
    /// An outage, throttling, or something in front of the tracker: nothing that changes the status.
    #[schema(required)]
    pub warning: Option<Warning>,
    /// The last verification or pull that worked.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub last_success_at: Option<Timestamp>,
    /// The last verification, or the last pull that brought its statistics.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub last_checked_at: Option<Timestamp>,
    /// When it is checked next, if nothing else shows before that it works.
    #[schema(required, value_type = Option<String>, format = DateTime)]
    pub next_check_at: Option<Timestamp>,
}

/// What came of trying a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Finding {
    /// It works.
    Works,
    /// The tracker refused the credentials or the right to report.
    Refused(Failure),
    /// Nothing was found out about the credentials.
    Unknown(Failure),
}

impl Finding {
    /// What a verification has found out. A wrong page at the address says as little of the credentials as an outage.
    pub(crate) fn of(verification: &Verification) -> Self {
        match &verification.failure {
            None => Self::Works,
            Some(failure) if failure.code.is_refusal() => Self::Refused(failure.clone()),
            Some(failure) => Self::Unknown(failure.clone()),
        }
    }
}

/// A change that others are notified of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Change {
    /// It was unverified, and works.
    Verified,
    /// It was refused.
    Failing,
    /// It was failing, and works.
    Recovered,
    /// No check could be finished for three intervals.
    Unreachable,
    /// A check was finished again.
    Reachable,
}

/// When, and how long nothing may be known before that counts as a change.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment {
    pub(crate) now: Timestamp,
    /// The interval of checks, if there are any.
    pub(crate) interval: Option<Duration>,
    /// The last pull that worked. Those are not written into what is sealed.
    pub(crate) last_success: Option<Timestamp>,
}

/// A connection is unreachable when no check could be finished for so many intervals.
const SILENT_INTERVALS: u32 = 3;

/// The health of one connection as it is kept, sealed: what a tracker says names its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Condition {
    /// The status that the rest belongs to. Where the row has another, an earlier release has written that.
    pub(crate) status: Status,
    pub(crate) since: Option<Timestamp>,
    pub(crate) reason: Option<Reason>,
    pub(crate) warning: Option<Warning>,
    /// The background has met a refusal, which a second one has to confirm.
    #[serde(default)]
    is_suspected: bool,
    /// The last check that could be finished, or else the first that could not.
    #[serde(default)]
    finished_at: Option<Timestamp>,
    #[serde(default)]
    is_unreachable: bool,
}

impl Condition {
    /// Of a connection that has this status from now on.
    pub(crate) const fn new(status: Status, now: Timestamp) -> Self {
        let (reason, warning) = (None, None);
        Self {
            status,
            since: Some(now),
            reason,
            warning,
            is_suspected: false,
            finished_at: Some(now),
            is_unreachable: false,
        }
    }

    /// Of a connection whose health an earlier release has written: all that is known of it is its last verification.
    pub(crate) fn inherited(status: Status, last: Option<&Verification>) -> Self {
        let failure = last.and_then(|last| last.failure.as_ref());
        let reason = failure
            .filter(|failure| status == Status::Failing && failure.code.is_refusal())
            .map(|failure| Reason::new(failure, Source::Verification));
        let (warning, finished_at) = (None, last.map(|last| last.checked_at));
        Self { status, since: None, reason, warning, is_suspected: false, finished_at, is_unreachable: false }
    }

    /// Takes in what was found out, and returns what changed by that, in order.
    pub(crate) fn learn(&mut self, finding: &Finding, source: Source, moment: Moment) -> Vec<Change> {
        let mut changes = Vec::new();
        match finding {
            Finding::Works => {
                changes.extend(self.finish(moment.now));
                self.is_suspected = false;
                self.reason = None;
                changes.extend(self.enter(Status::Active, moment.now));
            }
            Finding::Refused(failure) => {
                changes.extend(self.finish(moment.now));
                let is_first = !std::mem::replace(&mut self.is_suspected, true);
                // One refusal may be a tracker's bad moment: nobody asked just now, so nobody is kept from an answer.
                if source == Source::Background && is_first && self.status != Status::Failing {
                    return changes;
                }
                self.is_suspected = false;
                // The same cause once more is no news; another one is what has to be fixed now.
                if !self.is_known(failure.code) {
                    self.reason = Some(Reason::new(failure, source));
                }
                changes.extend(self.enter(Status::Failing, moment.now));
            }
            Finding::Unknown(failure) => {
                let Failure { code, detail, .. } = failure.clone();
                let known = self.warning.as_ref().filter(|known| known.code == code);
                let since = known.map_or(moment.now, |known| known.since);
                self.warning = Some(Warning { code, detail, since });
                self.finished_at.get_or_insert(moment.now);
                if !self.is_unreachable && self.has_been_silent_too_long(moment) {
                    self.is_unreachable = true;
                    changes.push(Change::Unreachable);
                }
            }
        }
        changes
    }

    /// Notes that a check could be finished, however it ended.
    fn finish(&mut self, now: Timestamp) -> Option<Change> {
        self.warning = None;
        self.finished_at = Some(now);
        std::mem::take(&mut self.is_unreachable).then_some(Change::Reachable)
    }

    fn has_been_silent_too_long(&self, moment: Moment) -> bool {
        let finished = self.finished_at.unwrap_or(moment.now);
        let finished = moment.last_success.map_or(finished, |last| last.max(finished));
        let silence = Duration::try_from(moment.now.duration_since(finished)).unwrap_or_default();
        moment.interval.is_some_and(|interval| silence >= interval.saturating_mul(SILENT_INTERVALS))
    }

    fn enter(&mut self, status: Status, now: Timestamp) -> Option<Change> {
        let before = std::mem::replace(&mut self.status, status);
        if before == status {
            return None;
        }
        self.since = Some(now);
        match (before, status) {
            (Status::Unverified, Status::Active) => Some(Change::Verified),
            (_, Status::Active) => Some(Change::Recovered),
            (_, Status::Failing) => Some(Change::Failing),
            (_, Status::Unverified) => None,
        }
    }

    /// Whether a refusal has to be confirmed.
    pub(crate) const fn is_suspected(&self) -> bool {
        self.is_suspected
    }

    /// Whether it is failing for this cause already.
    pub(crate) fn is_known(&self, code: FailureCode) -> bool {
        self.status == Status::Failing && self.reason.as_ref().is_some_and(|reason| reason.code == code)
    }

    /// Whether a pull that works leaves nothing to be written.
    pub(crate) fn is_fine(&self) -> bool {
        self.status == Status::Active && self.warning.is_none() && !self.is_suspected && !self.is_unreachable
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use Change::{Failing, Reachable, Recovered, Unreachable, Verified};

    const INTERVAL: Duration = Duration::from_secs(100);

    fn failure(code: FailureCode) -> Failure {
        let (detail, hint) = ("tracker.example says no".to_owned(), "Ask.".to_owned());
        Failure { code, owner: Owner::You, retryable: false, pointer: None, detail, hint }
    }

    fn refused() -> Finding {
        Finding::Refused(failure(FailureCode::CredentialsRejected))
    }

    fn unknown() -> Finding {
        Finding::Unknown(failure(FailureCode::Timeout))
    }

    fn at(second: i64) -> Moment {
        let now = Timestamp::from_second(1_000_000 + second).expect("a time");
        Moment { now, interval: Some(INTERVAL), last_success: None }
    }

    fn active() -> Condition {
        Condition::new(Status::Active, at(0).now)
    }

    #[test]
    fn a_refusal_counts_at_once_unless_the_background_meets_it() {
        for source in [Source::Verification, Source::Pull] {
            assert_eq!(active().learn(&refused(), source, at(1)), [Failing]);
        }
        let mut condition = active();
        assert_eq!(condition.learn(&refused(), Source::Background, at(1)), []);
        assert_eq!((condition.status, condition.is_suspected()), (Status::Active, true));
        assert_eq!(condition.learn(&refused(), Source::Background, at(61)), [Failing]);
        let reason = condition.reason.clone().expect("a reason");
        assert_eq!((reason.source, condition.since), (Source::Background, Some(at(61).now)));
        assert_eq!(condition.learn(&refused(), Source::Background, at(200)), [], "once");
        assert_eq!(condition.learn(&Finding::Works, Source::Pull, at(300)), [Recovered]);
    }

    #[test]
    fn a_suspicion_ends_with_a_success_and_outlasts_an_outage() {
        let mut condition = active();
        condition.learn(&refused(), Source::Background, at(1));
        condition.learn(&unknown(), Source::Background, at(61));
        assert!(condition.is_suspected());
        condition.learn(&Finding::Works, Source::Background, at(200));
        assert!(condition.is_fine());
        assert_eq!(condition.learn(&refused(), Source::Background, at(300)), []);
    }

    #[test]
    fn what_is_out_of_reach_for_three_intervals_is_reported_once_and_so_is_its_return() {
        let mut condition = active();
        let reported: Vec<_> =
            (1..6).map(|round| condition.learn(&unknown(), Source::Background, at(100 * round))).collect();
        assert_eq!(reported, [vec![], vec![], vec![Unreachable], vec![], vec![]]);
        assert_eq!(
            (condition.status, condition.warning.as_ref().map(|it| it.since)),
            (Status::Active, Some(at(100).now))
        );
        assert_eq!(condition.clone().learn(&Finding::Works, Source::Pull, at(600)), [Reachable]);
        assert_eq!(condition.learn(&refused(), Source::Pull, at(600)), [Reachable, Failing]);
    }

    #[test]
    fn a_pull_that_worked_in_between_is_a_check_that_was_finished() {
        let mut condition = active();
        let moment = Moment { last_success: Some(at(150).now), ..at(400) };
        assert_eq!(condition.learn(&unknown(), Source::Background, moment), []);
        assert_eq!(
            condition.learn(&unknown(), Source::Background, Moment { now: at(450).now, ..moment }),
            [Unreachable]
        );
    }

    #[test]
    fn without_checks_nothing_is_ever_unreachable() {
        let moment = Moment { interval: None, ..at(1_000_000) };
        assert_eq!(active().learn(&unknown(), Source::Verification, moment), []);
    }

    fn findings() -> impl Strategy<Value = Vec<(Finding, Source, i64)>> {
        let finding = prop_oneof![Just(Finding::Works), Just(refused()), Just(unknown())];
        let source = prop_oneof![Just(Source::Verification), Just(Source::Pull), Just(Source::Background)];
        // Clocks jump back too.
        proptest::collection::vec((finding, source, -3_600_i64..3_600), 0..60)
    }

    proptest! {
        /// Changes alone are enough to know the status and whether it can be reached, whatever happens.
        #[test]
        fn the_changes_say_all_that_changes(findings in findings()) {
            let mut condition = Condition::new(Status::Unverified, at(0).now);
            let (mut status, mut unreachable, mut second) = (Status::Unverified, false, 0);
            for (finding, source, step) in findings {
                second += step;
                for change in condition.learn(&finding, source, at(second)) {
                    match change {
                        Verified => {
                            prop_assert_eq!(status, Status::Unverified);
                            status = Status::Active;
                        }
                        Recovered => {
                            prop_assert_eq!(status, Status::Failing);
                            status = Status::Active;
                        }
                        Failing => {
                            prop_assert_ne!(status, Status::Failing);
                            status = Status::Failing;
                        }
                        Unreachable | Reachable => {
                            prop_assert_eq!(unreachable, change == Reachable);
                            unreachable = !unreachable;
                        }
                    }
                }
                prop_assert_eq!((condition.status, condition.is_unreachable), (status, unreachable));
                prop_assert_eq!(condition.reason.is_some(), status == Status::Failing);
            }
        }
    }
}
