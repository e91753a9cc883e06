//! What handlers share, and whether this instance still takes work.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::callers::Proxies;
use super::limits::{AuthFailures, RateLimit};
use crate::auth::Verifier;
use crate::config::Config;
use crate::connections::service::Connections;
use crate::shares::Pool;
use crate::sizing::Sizing;
use crate::webhooks::service::Webhooks;

/// What handlers share.
pub struct State {
    pub(super) connections: Connections,
    pub(super) webhooks: Webhooks,
    pub(super) verifier: Verifier,
    pub(super) rate_limit: Option<RateLimit>,
    pub(super) auth_failures: Option<AuthFailures>,
    /// Places of requests, by address.
    pub(super) in_flight: Pool,
    /// Places of requests, by organisation.
    pub(super) places: Pool,
    pub(super) proxies: Proxies,
    pub(super) sizing: Sizing,
    pub(super) cors_origins: Vec<String>,
    pub(super) egress_addresses: Vec<IpAddr>,
    pub(super) serves_console: bool,
    leaving: AtomicBool,
    draining: AtomicBool,
    database_away: AtomicBool,
}

impl State {
    /// Puts the state together.
    pub fn new(connections: Connections, webhooks: Webhooks, verifier: Verifier, config: &Config) -> Arc<Self> {
        let (limits, sizing) = (&config.rate_limits, config.sizing);
        Arc::new(Self {
            connections,
            webhooks,
            verifier,
            rate_limit: limits.requests_per_second.map(RateLimit::new),
            auth_failures: limits.auth_failures_per_minute.map(AuthFailures::new),
            in_flight: Pool::new(sizing.requests, sizing.requests / 2),
            // Fewer than an address has connections: some are left that can make room for who comes next.
            places: Pool::new(sizing.requests, sizing.requests * 3 / 8),
            proxies: Proxies::new(config.trusted_proxies.clone()),
            sizing,
            cors_origins: config.cors_allowed_origins.clone(),
            egress_addresses: config.egress.own_addresses.clone(),
            serves_console: config.console,
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
