//! What handlers share, and whether this instance still takes work.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Semaphore;

use super::limits::{AuthFailures, RateLimit};
use crate::auth::Verifier;
use crate::config::RateLimits;
use crate::connections::service::Connections;

/// Requests that one process works on at the same time.
pub(super) const MAX_IN_FLIGHT: usize = 4_096;

/// What handlers share.
pub struct State {
    pub(super) connections: Connections,
    pub(super) verifier: Verifier,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) auth_failures: Option<AuthFailures>,
    pub(super) in_flight: Arc<Semaphore>,
    pub(super) cors_origins: Vec<String>,
    pub(super) egress_addresses: Vec<IpAddr>,
    pub(super) serves_console: bool,
    leaving: AtomicBool,
    draining: AtomicBool,
    database_away: AtomicBool,
}

impl State {
    /// Puts the state together.
    #[must_use]
    pub fn new(
        connections: Connections,
        verifier: Verifier,
        rate_limits: &RateLimits,
        cors_origins: Vec<String>,
        egress_addresses: Vec<IpAddr>,
        serves_console: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            connections,
            verifier,
            rate_limit: rate_limits.requests_per_second.map(RateLimit::new),
            auth_failures: rate_limits.auth_failures_per_minute.map(AuthFailures::new),
            in_flight: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            cors_origins,
            egress_addresses,
            serves_console,
            leaving: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            database_away: AtomicBool::new(false),
        })
    }

    /// Says that this instance is going to stop: readiness turns to no, and connections end with their next answer.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Says that this instance takes no new work.
    pub fn drain(&self) {
        self.leave();
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Says in the log when the database goes away, why, and when it is back.
    pub(super) fn note_database(&self, cause: Option<String>) {
        match (cause, self.database_away.load(Ordering::Relaxed)) {
            (Some(cause), false) => {
                tracing::error!(cause = ?cause, "not ready: the database is not available");
                self.database_away.store(true, Ordering::Relaxed);
            }
            (None, true) => {
                tracing::info!("ready again: the database is available");
                self.database_away.store(false, Ordering::Relaxed);
            }
            (Some(_), true) | (None, false) => {}
        }
    }

    pub(super) fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
