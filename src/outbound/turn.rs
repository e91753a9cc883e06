//! A call's turn: its permit at the account, its permit at the origin, and what other processes leave of both.
//!
//! The account comes first, so that a call which waits for a busy account keeps nobody from the origin. Other processes
//! are asked last, by those who could go now: as many ask as there are places, however many wait behind them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::account::AccountId;
use super::back_off::LONGEST;
use super::gate::{Full, Gate, Permit};
use super::origins::Origin;
use super::retry::Fault;
use super::scope::Purpose;
use super::sharing::{Ask, BackOffId, Bound, Decision, Lease, Places, SharedBudget};
use super::upstream::{Trip, Upstream};
use crate::metrics;
use crate::outbound::error::ErrorKind;

/// The first pause before other processes are asked again is at most this long; each further one is at most twice as
/// long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(320);

/// The right to call now. It ends when dropped.
pub(super) struct Admission {
    _origin: Permit,
    _account: Permit,
    _lease: Option<Lease>,
    /// The back-off that this call breaks, as other processes know it.
    pub(super) breaks: Option<BackOffId>,
}

/// Why there is no turn.
pub(super) enum NoTurn {
    /// Too many wait already.
    Full,
    /// The account is to be left alone until then.
    BackingOff(Instant),
}

impl From<Full> for NoTurn {
    fn from(Full: Full) -> Self {
        Self::Full
    }
}

impl Upstream {
    /// Waits for this call's turn. Giving up at any moment loses no permit.
    pub(super) async fn turn(&self, origin: &Origin) -> Result<Admission, NoTurn> {
        let account = self.account();
        let at_account = self.permit_at(&account).await?;
        let mut at_origin = Some(self.permit_at(&origin.gate).await?);
        let mut longest = FIRST_PAUSE;
        loop {
            let permit = match at_origin.take() {
                Some(permit) => permit,
                None => self.permit_at(&origin.gate).await?,
            };
            match self.ask_others(origin, &account).await {
                Decision::Granted { lease, wait, breaks } => {
                    let moment = Instant::now() + wait;
                    let purpose = self.trip.scope.purpose;
                    account.keep_pace(purpose).await;
                    origin.gate.keep_pace(purpose).await;
                    pause(moment.saturating_duration_since(Instant::now())).await;
                    return Ok(Admission { _origin: permit, _account: at_account, _lease: lease, breaks });
                }
                Decision::TooLate(_) => return Err(NoTurn::Full),
                Decision::BackingOff(time) => return Err(NoTurn::BackingOff(Instant::now() + time.min(LONGEST))),
                Decision::Full(Bound::Origin) => at_origin = Some(permit),
                Decision::Full(Bound::Account) => drop(permit),
            }
            pause(longest.mul_f64(fastrand::f64())).await;
            longest = (longest * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits for a permit: behind everything that somebody waits for, where nobody does.
    async fn permit_at(&self, gate: &Gate) -> Result<Permit, Full> {
        match self.trip.scope.purpose {
            Purpose::Verify | Purpose::Pull => gate.enter(self.trip.tenant).await,
            Purpose::Check => gate.enter_behind().await,
        }
    }

    pub(super) fn account(&self) -> Arc<Gate> {
        let allowance = self.trip.limits.account;
        self.state.accounts.get_with(self.trip.account, || Arc::new(Gate::of_account(allowance, self.trip.label)))
    }

    /// Has other processes leave the account alone too.
    pub(super) async fn have_others_back_off(&self, time: Duration) {
        self.inform_others(move |budget, account| async move { budget.back_off(&account, time).await }).await;
    }

    /// Notifies other processes that the tracker takes this account's calls again.
    pub(super) async fn end_back_off_of_others(&self, back_off: Option<BackOffId>) {
        if let Some(back_off) = back_off {
            self.inform_others(move |budget, account| async move { budget.end_back_off(&account, back_off).await })
                .await;
        }
    }

    /// Notifies other processes of something, whatever becomes of the call meanwhile.
    async fn inform_others<T: Future<Output = ()> + Send + 'static>(
        &self,
        what: impl FnOnce(Arc<dyn SharedBudget>, AccountId) -> T,
    ) {
        if let Some(budget) = &self.state.budget {
            // It neither panics nor is it aborted.
            let _ = tokio::spawn(what(Arc::clone(budget), self.trip.account)).await;
        }
    }

    async fn ask_others(&self, origin: &Origin, at_account: &Gate) -> Decision {
        let Some(budget) = &self.state.budget else {
            return Decision::Granted { lease: None, wait: Duration::ZERO, breaks: None };
        };
        let Trip { ref account, limits, scope, .. } = *self.trip;
        let timeout = scope.deadline.saturating_duration_since(Instant::now());
        let heeds_back_off = scope.purpose != Purpose::Verify;
        let behind = scope.purpose == Purpose::Check;
        let places = Places { origin: origin.gate.places(), account: at_account.places() };
        let ask = Ask { origin: &origin.name, account, limits, places, behind, timeout, heeds_back_off };
        let (decision, known) = budget.ask(&ask).await;
        known.origin.into_iter().for_each(|places| origin.gate.adopt(places));
        known.account.into_iter().for_each(|places| at_account.adopt(places));
        decision
    }

    /// Learns from how a call ended that went out at `began` how many calls at once the tracker bears.
    pub(super) async fn learn_places(&self, origin: &Origin, account: &Gate, began: Instant, fault: Option<&Fault>) {
        let changes = match fault.map(|fault| fault.error().kind) {
            None => {
                let time = began.elapsed();
                if self.trip.scope.purpose == Purpose::Pull {
                    account.recent.add(time, Instant::now());
                }
                [origin.gate.record_answer(time), account.record_answer(time)]
            }
            Some(kind) if is_overload(kind) => [origin.gate.record_overload(began), account.record_overload(began)],
            Some(_) => [None, None],
        };
        if changes != [None, None] {
            let name = origin.name.clone();
            self.inform_others(move |budget, account| async move { budget.resize(&name, &account, changes).await })
                .await;
        }
    }
}

/// What a tracker does that is called too hard.
const fn is_overload(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::RateLimited | ErrorKind::Failing | ErrorKind::Timeout | ErrorKind::AccessBlocked)
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        let _waiting = metrics::upstream_waiting();
        tokio::time::sleep(time).await;
    }
}
