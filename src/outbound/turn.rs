//! A call's turn: its place at the account, its place at the origin, and what other processes leave of both.
//!
//! The account comes first, so that a call which waits for a busy account keeps nobody from the origin. Other processes
//! are asked last, by those who could go now: as many ask as there are places, however many wait behind them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use ring::hmac;
use ring::rand::{SecureRandom, SystemRandom};
use secrecy::{ExposeSecret, SecretString};

use super::gate::{Full, Gate, Place};
use super::quiet::LONGEST;
use super::{Limits, Origin, Purpose, Trip, Upstream};
use crate::metrics;

/// The first pause before other processes are asked again is at most this long; each further one is at most twice as
/// long.
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(320);

/// What an account is known by: a keyed hash of where it is and of its secrets.
pub type AccountId = [u8; 32];

/// Limits that several processes keep together.
#[async_trait]
pub trait SharedBudget: Send + Sync {
    /// Asks for the turn of one call. Answers soon, and as if there were no other process where nothing is known of
    /// them.
    async fn ask(&self, ask: &Ask<'_>) -> Turn;
    /// Has all processes leave an account alone for this long.
    async fn hush(&self, account: &AccountId, time: Duration);
    /// Ends a quiet of an account that a call broke and was answered all the same.
    async fn unhush(&self, account: &AccountId, quiet: Quiet);
}

/// What a call asks for.
#[derive(Debug, Clone, Copy)]
pub struct Ask<'a> {
    /// Scheme, host and port.
    pub origin: &'a str,
    /// The account.
    pub account: &'a AccountId,
    /// How hard they may be worked.
    pub limits: Limits,
    /// How long the call can wait.
    pub patience: Duration,
    /// Whether it leaves an account alone whose tracker asked for that.
    pub heeds_quiet: bool,
}

/// What a call is told.
pub enum Turn {
    /// It may go after `wait`, and keeps the lease until it is over.
    Granted {
        /// Nothing, where other processes are not known of.
        lease: Option<Lease>,
        /// How long the pace makes it wait.
        wait: Duration,
        /// The quiet that the call does not heed.
        breaks: Option<Quiet>,
    },
    /// So many calls are under way already.
    Full(Bound),
    /// The pace would make it wait this long: beyond its patience.
    TooLate(Duration),
    /// The tracker asked some process to leave the account alone, for this long from now on.
    Hushed(Duration),
}

/// Which quiet of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quiet(pub u64);

/// Something to be dropped when a call is over.
pub type Lease = Box<dyn Send + Sync>;

/// What is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// The origin.
    Origin,
    /// The account.
    Account,
}

/// The right to call now. It ends when dropped.
pub(super) struct Admission {
    _origin: Place,
    _account: Place,
    _lease: Option<Lease>,
    /// The quiet that this call breaks, as other processes know it.
    pub(super) breaks: Option<Quiet>,
}

/// Why there is no turn.
pub(super) enum NoTurn {
    /// Too many wait already.
    Full,
    /// The account is to be left alone until then.
    Hushed(Instant),
}

impl From<Full> for NoTurn {
    fn from(Full: Full) -> Self {
        Self::Full
    }
}

impl Upstream {
    /// Waits for this call's turn. Giving up at any moment loses no place.
    pub(super) async fn turn(&self, origin: &Origin) -> Result<Admission, NoTurn> {
        let account = self.account();
        let at_account = self.place_at(&account).await?;
        let mut at_origin = Some(self.place_at(&origin.gate).await?);
        let mut longest = FIRST_PAUSE;
        loop {
            let place = match at_origin.take() {
                Some(place) => place,
                None => self.place_at(&origin.gate).await?,
            };
            match self.ask_others(origin).await {
                Turn::Granted { lease, wait, breaks } => {
                    let moment = Instant::now() + wait;
                    let purpose = self.trip.scope.purpose;
                    account.keep_pace(purpose).await;
                    origin.gate.keep_pace(purpose).await;
                    pause(moment.saturating_duration_since(Instant::now())).await;
                    return Ok(Admission { _origin: place, _account: at_account, _lease: lease, breaks });
                }
                Turn::TooLate(_) => return Err(NoTurn::Full),
                Turn::Hushed(time) => return Err(NoTurn::Hushed(Instant::now() + time.min(LONGEST))),
                Turn::Full(Bound::Origin) => at_origin = Some(place),
                Turn::Full(Bound::Account) => drop(place),
            }
            pause(longest.mul_f64(fastrand::f64())).await;
            longest = (longest * 2).min(LONGEST_PAUSE);
        }
    }

    /// Waits for a place: behind everything that somebody waits for, where nobody does.
    async fn place_at(&self, gate: &Gate) -> Result<Place, Full> {
        match self.trip.scope.purpose {
            Purpose::Verify | Purpose::Pull => gate.enter(self.trip.tenant).await,
            Purpose::Check => gate.enter_behind().await,
        }
    }

    pub(super) fn account(&self) -> Arc<Gate> {
        let allowance = self.trip.limits.account;
        self.shared.accounts.get_with(self.trip.account, || Arc::new(Gate::new(allowance)))
    }

    /// Has other processes leave the account alone too.
    pub(super) async fn hush_others(&self, time: Duration) {
        self.tell(move |budget, account| async move { budget.hush(&account, time).await }).await;
    }

    /// Tells other processes that the tracker takes this account's calls again.
    pub(super) async fn end_quiet_of_others(&self, quiet: Option<Quiet>) {
        if let Some(quiet) = quiet {
            self.tell(move |budget, account| async move { budget.unhush(&account, quiet).await }).await;
        }
    }

    /// Tells other processes something, whatever becomes of the call meanwhile.
    async fn tell<T: Future<Output = ()> + Send + 'static>(
        &self,
        what: impl FnOnce(Arc<dyn SharedBudget>, AccountId) -> T,
    ) {
        if let Some(budget) = &self.shared.budget {
            // It neither panics nor is it aborted.
            let _ = tokio::spawn(what(Arc::clone(budget), self.trip.account)).await;
        }
    }

    async fn ask_others(&self, origin: &Origin) -> Turn {
        let Some(budget) = &self.shared.budget else {
            return Turn::Granted { lease: None, wait: Duration::ZERO, breaks: None };
        };
        let Trip { ref account, limits, scope, .. } = *self.trip;
        let patience = scope.deadline.saturating_duration_since(Instant::now());
        let heeds_quiet = scope.purpose != Purpose::Verify;
        let limits = if scope.purpose == Purpose::Check { limits.behind() } else { limits };
        budget.ask(&Ask { origin: &origin.name, account, limits, patience, heeds_quiet }).await
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        let _waiting = metrics::upstream_waiting();
        tokio::time::sleep(time).await;
    }
}

/// What accounts are told apart by where no other process has to know.
pub(super) fn own_names() -> hmac::Key {
    let mut bytes = [0; 32];
    // Without random numbers the names can be guessed by who sees them, and nobody does.
    let _ = SystemRandom::new().fill(&mut bytes);
    hmac::Key::new(hmac::HMAC_SHA256, &bytes)
}

/// Which account a key opens.
pub(super) fn account_id(
    names: &hmac::Key,
    label: &str,
    address: Option<&str>,
    secrets: &BTreeMap<String, SecretString>,
) -> AccountId {
    let mut hash = hmac::Context::with_key(names);
    let mut add = |part: &str| {
        hash.update(&(part.len() as u64).to_be_bytes());
        hash.update(part.as_bytes());
    };
    add(label);
    add(address.unwrap_or_default());
    for (field, secret) in secrets {
        add(field);
        add(secret.expose_secret().trim());
    }
    let mut id = AccountId::default();
    id.copy_from_slice(hash.sign().as_ref());
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(label: &str, address: &str, secrets: &[(&str, &str)]) -> AccountId {
        let secrets =
            secrets.iter().map(|(field, secret)| ((*field).to_owned(), SecretString::from(*secret))).collect();
        account_id(&hmac::Key::new(hmac::HMAC_SHA256, b"names"), label, Some(address), &secrets)
    }

    #[test]
    fn an_account_is_told_by_platform_place_and_secrets() {
        let one = id("affise", "https://a.example", &[("api_key", "k1")]);
        assert_eq!(one, id("affise", "https://a.example", &[("api_key", " k1\n")]), "pasted with blanks");
        for other in [
            id("binom", "https://a.example", &[("api_key", "k1")]),
            id("affise", "https://b.example", &[("api_key", "k1")]),
            id("affise", "https://a.example", &[("api_key", "k2")]),
            id("affise", "https://a.example", &[("api_key", "k1"), ("more", "")]),
            id("affise", "https://a.example", &[]),
        ] {
            assert_ne!(one, other);
        }
        assert_ne!(own_names().sign_one(), own_names().sign_one());
    }

    trait SignOne {
        fn sign_one(&self) -> Vec<u8>;
    }

    impl SignOne for hmac::Key {
        fn sign_one(&self) -> Vec<u8> {
            hmac::sign(self, b"").as_ref().to_vec()
        }
    }
}
