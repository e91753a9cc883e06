//! What the whole process shares of the way out: name lookups, connections and limits, by origin.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use ring::hmac;
use thread_local::ThreadLocal;
use url::{Host, Url};

use super::account::AccountId;
use super::allowance::Allowance;
use super::breaker::Breaker;
use super::clients::Clients;
use super::egress::EgressPolicy;
use super::error::{ErrorKind, PlatformError};
use super::faults::{blocked, unresolved};
use super::gate::Gate;
use super::memory::Memory;
use super::resolver::{CheckedResolver, Resolver};
use super::retry::Budget;
use super::sharing::SharedBudget;

/// What the transport needs to know at start.
#[derive(Debug, Clone)]
pub struct TransportConfig {
    /// Which addresses may be called.
    pub egress: EgressPolicy,
    /// The longest one call may take, connecting included.
    pub timeout: Duration,
    /// The longest connecting may take.
    pub connect_timeout: Duration,
}

/// The process-wide part: connections, name lookups and limits by origin.
#[derive(Clone)]
pub(super) struct TransportState {
    pub(super) config: TransportConfig,
    pub(super) resolver: Resolver,
    pub(super) tls: rustls::ClientConfig,
    pub(super) memory: Memory,
    pub(super) origins: Cache<String, Arc<Origin>>,
    /// Origins that webhooks are sent to: they share nothing with those of trackers but what is checked and trusted.
    pub(super) receivers: Cache<String, Arc<Clients>>,
    pub(super) accounts: Cache<AccountId, Arc<Gate>>,
    pub(super) names: hmac::Key,
    pub(super) budget: Option<Arc<dyn SharedBudget>>,
}

/// One scheme, host and port, shared by all connections that lead there.
pub(super) struct Origin {
    pub(super) name: String,
    pub(super) clients: Clients,
    pub(super) gate: Gate,
    pub(super) breaker: Breaker,
    pub(super) budget: Budget,
}

impl TransportState {
    /// Whether the address may be called; for names, whether any of their addresses may.
    pub(super) async fn check(&self, url: &Url) -> Result<(), PlatformError> {
        let https = url.scheme() == "https";
        let port = url.port_or_known_default().unwrap_or_default();
        let permits = |address: SocketAddr| self.config.egress.permits(address, https);
        let permitted = match url.host() {
            Some(Host::Ipv4(ip)) => permits(SocketAddr::from((ip, port))),
            Some(Host::Ipv6(ip)) => permits(SocketAddr::from((ip, port))),
            Some(Host::Domain(name)) => match self.resolver.lookup(name).await {
                Ok(addresses) => addresses.iter().any(|address| permits(SocketAddr::new(address.ip(), port))),
                // Whether an internal name exists is nobody's business outside.
                Err(_) if is_internal_name(name) => false,
                Err(error) => return Err(unresolved(&error, url)),
            },
            None => return Err(PlatformError::new(ErrorKind::InvalidUrl, "The address has no host.")),
        };
        if permitted { Ok(()) } else { Err(blocked(url)) }
    }

    /// The origin of an address, made where it is new.
    pub(super) fn origin(&self, url: &Url, allowance: Allowance) -> Result<Arc<Origin>, PlatformError> {
        let key = url.origin().ascii_serialization();
        if let Some(origin) = self.origins.get(&key) {
            return Ok(origin);
        }
        let made = Arc::new(Origin {
            name: key.clone(),
            clients: self.clients(url, allowance.most),
            gate: Gate::of_origin(allowance),
            breaker: Breaker::default(),
            budget: Budget::default(),
        });
        Ok(self.origins.get_with(key, || made))
    }

    /// The clients of an address that webhooks are sent to.
    pub(super) fn receiver(&self, url: &Url) -> Arc<Clients> {
        self.receivers.get_with(url.origin().ascii_serialization(), || Arc::new(self.clients(url, 1)))
    }

    /// Clients that reach the origin of this address, as far as it may be called, and keep so many connections.
    fn clients(&self, url: &Url, kept: usize) -> Clients {
        let https = url.scheme() == "https";
        let port = url.port_or_known_default().unwrap_or_default();
        let policy = self.config.egress.clone();
        let resolver = CheckedResolver {
            resolver: self.resolver.clone(),
            permits: Arc::new(move |address| policy.permits(SocketAddr::new(address.ip(), port), https)),
        };
        Clients {
            tls: self.tls.clone(),
            resolver,
            connect_timeout: self.config.connect_timeout,
            kept,
            of_threads: ThreadLocal::new(),
        }
    }
}

/// Names that only ever lead inside: what they resolve to is not told apart from their not existing.
fn is_internal_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    !name.contains('.')
        || [".localhost", ".local", ".internal", ".intranet", ".lan", ".home", ".corp", ".home.arpa", ".localdomain"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
}
