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
    timeout: Duration,
}

impl Resolver {
    pub(super) fn new(timeout: Duration) -> Self {
        let known = Cache::builder().max_capacity(10_000).time_to_live(Duration::from_secs(15)).build();
        Self { known, timeout }
    }

    /// All addresses of a name, with port 0.
    pub(super) async fn lookup(&self, host: &str) -> Result<Arc<[SocketAddr]>, ResolveError> {
        let host = host.to_ascii_lowercase();
        if let Some(addresses) = self.known.get(&host) {
            return Ok(addresses);
        }
        let found = tokio::time::timeout(self.timeout, tokio::net::lookup_host((host.as_str(), 0)))
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
/// Each origin has its own, because the policy depends on scheme and port.
#[derive(Clone)]
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

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use proptest::prelude::*;

    use super::super::egress::EgressPolicy;
    use super::*;

    /// What a connection would be opened to if DNS gave these addresses at that very moment.
    fn connectable(answers: &[IpAddr]) -> Option<Vec<IpAddr>> {
        let resolver = Resolver::new(Duration::ZERO);
        let addresses = answers.iter().map(|ip| SocketAddr::new(*ip, 0)).collect();
        resolver.known.insert("rebound.example".to_owned(), addresses);
        let policy = EgressPolicy::default();
        let checked = CheckedResolver { resolver, permits: Arc::new(move |address| policy.permits(address, true)) };
        let name = "Rebound.Example".parse().expect("a name");
        let found = futures_util::FutureExt::now_or_never(checked.resolve(name)).expect("no lookup");
        match found {
            Ok(addresses) => Some(addresses.map(|address| address.ip()).collect()),
            Err(error) => {
                assert!(error.is::<Blocked>(), "{error}");
                None
            }
        }
    }

    #[test]
    fn a_name_that_turns_inward_after_the_check_leads_nowhere() {
        let [public, inside]: [IpAddr; 2] = ["1.1.1.1", "169.254.169.254"].map(|ip| ip.parse().expect("an address"));
        assert_eq!(connectable(&[public]), Some(vec![public]));
        assert_eq!(connectable(&[inside]), None);
        assert_eq!(connectable(&[inside, public, inside]), Some(vec![public]));
    }

    proptest! {
        #[test]
        fn whatever_dns_says_only_public_addresses_are_connected_to(answers in prop::collection::vec(any::<IpAddr>(), 1..8)) {
            for ip in connectable(&answers).unwrap_or_default() {
                prop_assert!(super::super::egress::is_public(ip.to_canonical()), "{ip}");
            }
        }
    }
}
