//! The way out as the rest of the process holds it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32};
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::sync::Cache;
use parking_lot::Mutex;
use ring::hmac;
use url::Url;

use super::account;
use super::allowance::{Allowance, Limits};
use super::call::read_bounded;
use super::error::PlatformError;
use super::faults::{classify, redirected};
use super::host::host_of;
use super::memory::Memory;
use super::origins::{TransportConfig, TransportState};
use super::quote;
use super::resolver::Resolver;
use super::scope::CallScope;
use super::sharing::SharedBudget;
use super::timings::Timings;
use super::tls::{self, Handshake};
use super::upstream::{Callee, Trip, Upstream};
use super::wall::Dialect;
use crate::shares::Owner;
use crate::sizing::Sizing;

/// The longest a public document may take to arrive.
const DOCUMENT_TIMEOUT: Duration = Duration::from_secs(10);

/// Accounts whose limits are remembered.
const MAX_ACCOUNTS: u64 = 50_000;

/// The way out. Clones share everything.
#[derive(Clone)]
pub struct Transport {
    state: Arc<TransportState>,
    tenant: u64,
}

impl Transport {
    /// Sets the transport up.
    ///
    /// # Errors
    /// TLS that cannot be initialised.
    pub fn new(config: TransportConfig) -> Result<Self, rustls::Error> {
        let tls = tls::config(&config.egress.authorities)?;
        let resolver = Resolver::new(config.connect_timeout);
        let idle = Duration::from_secs(600);
        let origins = Cache::builder().max_capacity(2_000).time_to_idle(idle).build();
        let receivers = Cache::builder().max_capacity(2_000).time_to_idle(idle).build();
        let accounts = Cache::builder().max_capacity(MAX_ACCOUNTS).time_to_idle(idle).build();
        let names = account::own_names();
        let memory = Memory::of(&Sizing::default());
        let state = TransportState { config, resolver, tls, memory, origins, receivers, accounts, names, budget: None };
        Ok(Self { state: Arc::new(state), tenant: 0 })
    }

    /// The same transport with limits that several processes keep together. `names` is what accounts are told apart by,
    /// and has to be the same in all of them.
    #[must_use]
    pub fn sharing(self, names: hmac::Key, budget: Arc<dyn SharedBudget>) -> Self {
        let state = TransportState { names, budget: Some(budget), ..TransportState::clone(&self.state) };
        Self { state: Arc::new(state), tenant: self.tenant }
    }

    /// The same transport with as much memory for trackers' answers as this says.
    #[must_use]
    pub fn within(self, sizing: &Sizing) -> Self {
        let state = TransportState { memory: Memory::of(sizing), ..TransportState::clone(&self.state) };
        Self { state: Arc::new(state), tenant: self.tenant }
    }

    pub(super) fn state(&self) -> &TransportState {
        &self.state
    }

    /// The same transport, used for this tenant: all tenants get their turn at an origin, however much one asks.
    pub fn on_behalf_of(&self, tenant: u64) -> Self {
        Self { state: Arc::clone(&self.state), tenant }
    }

    /// Reads a public document that belongs to no account, such as the keys of a token issuer, under the same rules
    /// as a tracker's answers but without repetition.
    ///
    /// # Errors
    /// An address that may not be called, no answer in time, any status but 2xx, or an answer that is too large.
    pub async fn fetch_public(&self, url: &Url) -> Result<Bytes, PlatformError> {
        self.state.check(url).await?;
        let origin = self.state.origin(url, Allowance::of(2))?;
        let timeout = self.state.config.timeout.min(DOCUMENT_TIMEOUT);
        let request = origin.clients.own()?.get(url.clone()).header("accept", "application/json").timeout(timeout);
        let (response, handshake) = Handshake::watch(request.send()).await;
        let response = response.map_err(|error| classify(&error, url, &handshake, plain))?;
        match response.status() {
            status if status.is_redirection() => Err(redirected(url, response.headers(), plain)),
            status if status.is_success() => {
                let body = self.state.memory.body(Owner::of("documents"), response.content_length());
                Ok(read_bounded(response, url, body, Instant::now() + timeout, &handshake, plain).await?)
            }
            status => Err(PlatformError::bad_response(format!("{} answered {}.", host_of(url), status.as_u16()))),
        }
    }

    /// Sees whether a host answers, whatever it answers: its name resolves, it may be called, its TLS holds. Says how
    /// long that took.
    ///
    /// # Errors
    /// What stands in the way.
    pub async fn probe(&self, url: &Url) -> Result<Duration, PlatformError> {
        let started = Instant::now();
        self.state.check(url).await?;
        let origin = self.state.origin(url, Allowance::of(2))?;
        let request = origin.clients.own()?.get(url.clone()).timeout(self.state.config.timeout);
        let (response, handshake) = Handshake::watch(request.send()).await;
        response.map_err(|error| classify(&error, url, &handshake, plain))?;
        Ok(started.elapsed())
    }

    /// The road of one request to one account.
    pub(crate) fn upstream(&self, callee: Callee<'_>, limits: Limits, dialect: Dialect, scope: CallScope) -> Upstream {
        let Callee { label, connection, address, secrets } = callee;
        let account = account::account_id(&self.state.names, label, address.as_deref(), secrets);
        Upstream {
            state: Arc::clone(&self.state),
            trip: Arc::new(Trip {
                label,
                connection,
                address,
                account,
                secrets: Mutex::new(secrets.values().cloned().collect()),
                limits,
                dialect,
                tenant: self.tenant,
                scope,
                started: Instant::now(),
                calls: AtomicU32::new(0),
                answered: AtomicBool::new(false),
                held_up: AtomicBool::new(false),
                repaired: AtomicBool::new(false),
                timings: Mutex::new(Timings::default()),
            }),
        }
    }
}

/// Words of a host that was not given any secret.
pub(super) fn plain(text: &str) -> String {
    quote::quote(text, [])
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::super::egress::EgressPolicy;
    use super::super::error::ErrorKind;
    use super::*;

    #[tokio::test]
    async fn a_name_that_leads_inside_when_it_is_connected_to_is_blocked_there_too() {
        let inside = TcpListener::bind("127.0.0.1:0").expect("a port");
        inside.set_nonblocking(true).expect("a socket");
        let port = inside.local_addr().expect("an address").port();
        let config = TransportConfig {
            egress: EgressPolicy { allow: Vec::new(), allow_http: true, ..EgressPolicy::default() },
            timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
        };
        let transport = Transport::new(config).expect("a transport");
        let url: Url = format!("http://localhost:{port}/").parse().expect("an address");
        // Past the check before the call, as a name that changes in between would be.
        let origin = transport.state.origin(&url, Allowance::of(1)).expect("a client");
        let client = origin.clients.own().expect("a client");
        let error = client.get(url.clone()).timeout(Duration::from_secs(5)).send().await;
        let error = error.expect_err("nothing inside is called");
        assert_eq!(classify(&error, &url, &Handshake::default(), plain).kind, ErrorKind::EgressBlocked, "{error:?}");
        assert!(inside.accept().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    }
}
