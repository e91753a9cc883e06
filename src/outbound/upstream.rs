//! The road of one request of ours to one tracker account.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Instant;

use parking_lot::Mutex;
use secrecy::{ExposeSecret, SecretString};
use url::Url;
use uuid::Uuid;

use super::account::AccountId;
use super::allowance::Limits;
use super::error::{ErrorKind, PlatformError, Stage};
use super::host::host_of;
use super::origins::TransportState;
use super::quote;
use super::scope::CallScope;
use super::timings::Timings;
use super::wall::{self, Dialect};

/// The account that is called.
pub(crate) struct Callee<'a> {
    /// The kind of tracker, for metrics and the log.
    pub(crate) label: &'static str,
    /// The connection that is used, for the log.
    pub(crate) connection: Uuid,
    /// Where it is.
    pub(crate) address: Option<String>,
    /// Its secrets, by field and in an order that does not change: they tell accounts apart, and are never quoted.
    pub(crate) secrets: &'a BTreeMap<String, SecretString>,
}

/// The road of one request of ours to one tracker account. Clones share counters and deadline.
#[derive(Clone)]
pub struct Upstream {
    pub(super) state: Arc<TransportState>,
    pub(super) trip: Arc<Trip>,
}

/// What belongs to one request of ours.
pub(super) struct Trip {
    pub(super) label: &'static str,
    pub(super) connection: Uuid,
    pub(super) address: Option<String>,
    pub(super) account: AccountId,
    pub(super) secrets: Mutex<Vec<SecretString>>,
    pub(super) limits: Limits,
    pub(super) dialect: Dialect,
    pub(super) tenant: u64,
    pub(super) scope: CallScope,
    pub(super) started: Instant,
    pub(super) calls: AtomicU32,
    /// Whether any of them was answered by the platform.
    pub(super) answered: AtomicBool,
    /// Whether any of them had to be given up because others were before it.
    pub(super) held_up: AtomicBool,
    /// Whether a text in the answers had to be repaired before they could be read.
    pub(super) repaired: AtomicBool,
    pub(super) timings: Mutex<Timings>,
}

impl Upstream {
    /// What tells this account from others within this process. It is made of the account's secrets and says nothing
    /// of them.
    pub(crate) fn account_id(&self) -> &AccountId {
        &self.trip.account
    }

    /// Announces that the next calls belong to `stage` of a verification.
    pub fn enter(&self, stage: Stage) {
        self.timings_mut(|timings| timings.current = stage);
    }

    /// What has been measured so far.
    pub(crate) fn timings(&self) -> Timings {
        self.timings_mut(|timings| timings.clone())
    }

    /// How many calls went out so far.
    pub fn calls(&self) -> u32 {
        self.trip.calls.load(Ordering::Relaxed)
    }

    /// Whether a call never went out because others were before it: that says nothing of the platform.
    pub fn is_held_up(&self) -> bool {
        self.trip.held_up.load(Ordering::Relaxed)
    }

    /// Whether a text in the good answers so far was not as their format has it.
    pub(crate) fn has_repaired(&self) -> bool {
        self.trip.repaired.load(Ordering::Relaxed)
    }

    /// Notes that a reader had to repair a text, where the transport does not know the format.
    pub(crate) fn note_repaired(&self) {
        self.trip.repaired.store(true, Ordering::Relaxed);
    }

    /// The most calls this request may cause.
    pub fn max_calls(&self) -> u32 {
        self.trip.scope.max_calls
    }

    /// When the answer must be there.
    pub fn deadline(&self) -> Instant {
        self.trip.scope.deadline
    }

    /// Scheme, host and port this road leads to.
    pub fn address(&self) -> Option<&str> {
        self.trip.address.as_deref()
    }

    /// The host (and port) this road leads to, for messages to the connection's own users.
    pub fn host(&self) -> String {
        self.trip
            .address
            .as_deref()
            .and_then(|address| Url::parse(address).ok())
            .map(|url| host_of(&url))
            .unwrap_or_default()
    }

    /// The platform's refusal of the address that this service calls from, with the addresses that have to be let in.
    pub fn ip_not_allowed(&self, detail: String) -> PlatformError {
        let addresses = wall::own_addresses(&self.state.config.egress.own_addresses);
        PlatformError::new(ErrorKind::IpNotAllowed, detail)
            .hint(format!("Ask the tracker's administrator to allow {addresses} for this key."))
    }

    /// Has [`quote`](Self::quote) leave out a secret that only came up on the way, such as a session's token.
    pub(crate) fn conceal(&self, secret: &SecretString) {
        let mut secrets = self.trip.secrets.lock();
        if !secrets.iter().any(|known| known.expose_secret() == secret.expose_secret()) {
            secrets.push(secret.clone());
        }
    }

    /// A tracker's own words, safe to show: without the account's secrets (as they are or encoded), control characters
    /// and markup, and cut short.
    pub fn quote(&self, text: &str) -> String {
        quote::quote(text, self.trip.secrets.lock().iter())
    }

    /// Looks the host up and checks its addresses, so that a verification can tell these faults from later ones.
    pub(crate) async fn preflight(&self) -> Result<(), PlatformError> {
        let Some(url) = self.trip.address.as_deref().and_then(|address| Url::parse(address).ok()) else {
            self.timings_mut(|timings| {
                for stage in [Stage::Resolve, Stage::Connect, Stage::Tls, Stage::Request] {
                    timings.skip(stage);
                }
            });
            return Ok(());
        };
        if url.scheme() == "http" {
            self.timings_mut(|timings| timings.skip(Stage::Tls));
        }
        let started = Instant::now();
        let outcome = self.state.check(&url).await;
        self.timings_mut(|timings| timings.add(Stage::Resolve, started.elapsed()));
        outcome
    }

    pub(super) fn timings_mut<T>(&self, change: impl FnOnce(&mut Timings) -> T) -> T {
        change(&mut self.trip.timings.lock())
    }
}
