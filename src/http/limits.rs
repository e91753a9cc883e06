//! How much is taken from whom: requests by organisation, and refused tokens by address.

use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use moka::sync::Cache;

use super::callers::network;
use crate::problem::{Code, Problem};
use crate::shared::{Shared, Taken, Window};
use crate::tenancy::OrgId;

/// How many addresses are remembered for their refused tokens.
const MAX_ADDRESSES: u64 = 10_000;

/// Requests a second, by organisation.
pub(super) struct RateLimit {
    limiter: DefaultKeyedRateLimiter<OrgId>,
    allowed: NonZeroU32,
}

impl RateLimit {
    pub(super) fn new(allowed: NonZeroU32) -> Self {
        Self { limiter: RateLimiter::keyed(Quota::per_second(allowed)), allowed }
    }

    /// Counts a request: in this process first, which costs nothing, then among all replicas.
    ///
    /// # Errors
    /// Too many of them.
    pub(super) async fn check(&self, organisation: &OrgId, shared: &Shared) -> Result<(), Problem> {
        if self.limiter.len() > 100_000 {
            self.limiter.retain_recent();
        }
        self.limiter.check_key(organisation).map_err(|not_until| self.too_many(wait(&not_until)))?;
        let second = Window { label: "requests", most: self.allowed.get(), time: Duration::from_secs(1) };
        match shared.count(second, organisation.as_str()).await {
            Some(Taken::Over(left)) => Err(self.too_many(left)),
            Some(Taken::Within(_)) | None => Ok(()),
        }
    }

    fn too_many(&self, wait: Duration) -> Problem {
        too_many(self.allowed, wait)
    }
}

/// More than so many requests a second.
pub(super) fn too_many(allowed: NonZeroU32, wait: Duration) -> Problem {
    let detail = format!("The organisation may make {allowed} requests a second.");
    Problem::new(Code::RateLimited, detail).retry_after(wait).with("limit", allowed.get())
}

/// Refused tokens a minute, by address. Only who is refused is held up: a good token gets through from any address,
/// so that callers who share one, behind a proxy say, cannot lock each other out.
pub(super) struct AuthFailures {
    by_address: Cache<IpAddr, Arc<DefaultDirectRateLimiter>>,
    allowed: NonZeroU32,
}

impl AuthFailures {
    pub(super) fn new(allowed: NonZeroU32) -> Self {
        let by_address = Cache::builder().max_capacity(MAX_ADDRESSES).time_to_idle(Duration::from_secs(60)).build();
        Self { by_address, allowed }
    }

    /// Counts a refused token.
    ///
    /// # Errors
    /// Too many of them.
    pub(super) fn count(&self, address: IpAddr) -> Result<(), Problem> {
        let quota = Quota::per_minute(self.allowed);
        let limiter = self.by_address.get_with(network(address), || Arc::new(RateLimiter::direct(quota)));
        limiter.check().map_err(|not_until| {
            Problem::new(Code::RateLimited, "Too many tokens from this address were refused within a minute.")
                .hint("Get a new token before trying again.")
                .retry_after(wait(&not_until))
                .with("limit", self.allowed.get())
                .with("limited_by", "address")
        })
    }
}

fn wait<I: governor::clock::Reference>(not_until: &NotUntil<I>) -> Duration
where
    DefaultClock: Clock<Instant = I>,
{
    not_until.wait_time_from(DefaultClock::default().now()).max(Duration::from_millis(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(failures: &AuthFailures, address: &str) -> bool {
        failures.count(address.parse().expect("an address")).is_err()
    }

    #[test]
    fn refused_tokens_are_counted_by_address_and_by_ipv6_network() {
        let failures = AuthFailures::new(NonZeroU32::new(2).expect("not zero"));
        for (address, over) in [
            ("192.0.2.1", false),
            ("::ffff:192.0.2.1", false),
            ("192.0.2.1", true),
            ("192.0.2.2", false),
            ("2001:db8::1", false),
            ("2001:db8::ffff", false),
            ("2001:db8::2", true),
            ("2001:db8:0:1::1", false),
        ] {
            assert_eq!(refused(&failures, address), over, "{address}");
        }
    }

    #[test]
    fn addresses_beyond_number_take_no_more_memory() {
        let failures = AuthFailures::new(NonZeroU32::MIN);
        for number in 0..50_000_u32 {
            let _ = failures.count(IpAddr::from(number.to_be_bytes()));
        }
        failures.by_address.run_pending_tasks();
        assert!(failures.by_address.entry_count() <= MAX_ADDRESSES);
    }
}
