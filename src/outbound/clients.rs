//! The clients of one origin: one for each thread that calls it. They are made here and nowhere else.
//!
//! A connection is driven by the runtime that opened it, and each thread that answers has a runtime of its own. A call
//! over another thread's connection would wake that thread twice, and wait for whatever else it has to do.

#![expect(clippy::disallowed_methods, clippy::disallowed_types, reason = "the one place where clients are made")]

use std::time::Duration;

use reqwest::Client;
use reqwest::redirect::Policy;
use thread_local::ThreadLocal;

use super::resolver::CheckedResolver;
use crate::outbound::error::{ErrorKind, PlatformError};

/// How long a connection is kept that nobody uses.
const IDLE: Duration = Duration::from_secs(60);

/// What all clients of an origin have in common.
pub(super) struct Clients {
    pub(super) tls: rustls::ClientConfig,
    pub(super) resolver: CheckedResolver,
    pub(super) connect_timeout: Duration,
    /// Connections that are kept for later calls.
    pub(super) kept: usize,
    pub(super) of_threads: ThreadLocal<Client>,
}

impl Clients {
    /// This thread's client.
    pub(super) fn own(&self) -> Result<&Client, PlatformError> {
        self.of_threads
            .get_or_try(|| self.make())
            .map_err(|_| PlatformError::new(ErrorKind::InvalidUrl, "No connection can be set up for this address."))
    }

    fn make(&self) -> reqwest::Result<Client> {
        Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .user_agent(concat!("affzero-connections/", env!("CARGO_PKG_VERSION")))
            .redirect(Policy::none())
            .referer(false)
            .no_proxy()
            .retry(reqwest::retry::never())
            .connect_timeout(self.connect_timeout)
            .pool_idle_timeout(IDLE)
            .pool_max_idle_per_host(self.kept)
            .tcp_nodelay(true)
            .dns_resolver(self.resolver.clone())
            .build()
    }
}
