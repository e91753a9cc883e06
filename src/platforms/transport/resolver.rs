//! Names to addresses, checked by the egress policy before anything connects to them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use moka::sync::Cache;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};

/// Why a host has no address to connect to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ResolveError {
    /// The name has no address.
    #[error("the host name does not resolve")]
    NotFound,
    /// The lookup took too long.
    #[error("looking up the host name took too long")]
    TimedOut,
}

/// Looks names up, and remembers the answer for a moment so that the addresses that were checked are the
/// addresses that are connected to.
#[derive(Clone)]
pub(super) struct Resolver {
    known: Cache<String, Arc<[SocketAddr]>>,
    patience: Duration,
}

impl Resolver {
    pub(super) fn new(patience: Duration) -> Self {
        let known = Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(15)).build();
        Self { known, patience }
    }

    /// All addresses of a name, with port 0.
    pub(super) async fn lookup(&self, host: &str) -> Result<Arc<[SocketAddr]>, ResolveError> {
        let host = host.to_ascii_lowercase();
        if let Some(addresses) = self.known.get(&host) {
            return Ok(addresses);
        }
        let found = tokio::time::timeout(self.patience, tokio::net::lookup_host((host.as_str(), 0)))
            .await
            .map_err(|_| ResolveError::TimedOut)?
            .map_err(|_| ResolveError::NotFound)?;
        let addresses: Arc<[SocketAddr]> = found.collect();
        if addresses.is_empty() {
            return Err(ResolveError::NotFound);
        }
        self.known.insert(host, Arc::clone(&addresses));
        Ok(addresses)
    }
}

/// The address is not one this service may call.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("this address may not be called")]
pub(super) struct Blocked;

/// What the HTTP client asks when it opens a connection: it can only ever learn of permitted addresses.
///
/// There is one for https and one for http, because the policy differs; ports are checked against the URL by
/// the caller, who knows them.
pub(super) struct CheckedResolver {
    pub(super) resolver: Resolver,
    pub(super) permits: Arc<dyn Fn(SocketAddr) -> bool + Send + Sync>,
}

impl Resolve for CheckedResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let resolver = self.resolver.clone();
        let permits = Arc::clone(&self.permits);
        Box::pin(async move {
            let addresses = resolver.lookup(name.as_str()).await?;
            let permitted: Vec<SocketAddr> = addresses.iter().copied().filter(|address| permits(*address)).collect();
            if permitted.is_empty() {
                return Err(Blocked.into());
            }
            Ok(Box::new(permitted.into_iter()) as Addrs)
        })
    }
}
