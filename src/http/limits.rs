//! How much is taken from whom: requests by organisation, refused tokens by address, and requests at the same time.

use std::any::Any;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::ConnectionType;
use actix_web::middleware::Next;
use actix_web::{Error, ResponseError, web};
use governor::clock::{Clock, DefaultClock};
use governor::{DefaultDirectRateLimiter, DefaultKeyedRateLimiter, NotUntil, Quota, RateLimiter};
use moka::sync::Cache;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::State;
use super::edge::ApiError;
use super::lines::{Answering, Line};
use crate::problem::{Code, Problem};
use crate::shared::{Shared, Taken, Window};
use crate::tenancy::OrgId;

/// Requests that one process works on at the same time.
pub(super) const MAX_IN_FLIGHT: usize = 4_096;

/// The longest path and query together.
const MAX_TARGET_BYTES: usize = 16 * 1024;

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

/// What one caller has to himself: an IPv4 address, or the /64 of an IPv6 address.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
    }
}

fn wait<I: governor::clock::Reference>(not_until: &NotUntil<I>) -> Duration
where
    DefaultClock: Clock<Instant = I>,
{
    not_until.wait_time_from(DefaultClock::default().now()).max(Duration::from_millis(1))
}

/// A caller who takes nothing of its answer for this long is gone.
#[cfg(target_os = "linux")]
const READER_PATIENCE: Duration = Duration::from_secs(30);

/// Has the system close a connection whose other side reads nothing, or next to nothing, of what it is sent: the server
/// itself would wait for ever. Only Linux can.
#[cfg_attr(not(target_os = "linux"), expect(unused_variables, reason = "only Linux can"))]
pub(super) fn cut_off_when_stalled(socket: &dyn Any) {
    #[cfg(target_os = "linux")]
    if let Some(socket) = socket.downcast_ref::<actix_web::rt::net::TcpStream>() {
        let patience = u32::try_from(READER_PATIENCE.as_millis()).unwrap_or(u32::MAX);
        if let Err(error) = rustix::net::sockopt::set_tcp_user_timeout(socket, patience) {
            tracing::warn!(%error, "slow readers of this connection are not cut off");
        }
    }
}

/// An answer that keeps its request's place, and the connection it came by, until it is sent or its reader has gone.
pub struct Held {
    body: BoxBody,
    _place: Option<OwnedSemaphorePermit>,
    _line: Option<Answering>,
}

impl MessageBody for Held {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<web::Bytes, Self::Error>>> {
        self.get_mut().body.as_pin_mut().poll_next(context)
    }
}

/// Turns away what is too long, what is too much at once, and what comes after the order to stop. Health is always
/// told. An instance that is about to stop ends each connection with its answer, so that callers go elsewhere.
///
/// # Errors
/// What comes after it cannot answer.
pub async fn admit<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<Held, BoxBody>>, Error> {
    let state = request.app_data::<web::Data<State>>().cloned();
    let place = match (request.path(), &state) {
        ("/healthz" | "/readyz", _) | (_, None) => Ok(None),
        (_, Some(state)) if state.is_draining() => Err(shutting_down()),
        (_, Some(state)) => enter(&state.in_flight, request.uri()).map(Some),
    };
    let line = request.conn_data::<Arc<Line>>().map(Line::begin);
    let mut response = match place {
        Ok(place) => {
            let response = next.call(request).await?.map_into_boxed_body();
            response.map_body(|_, body| Held { body, _place: place, _line: line }).map_into_left_body()
        }
        Err(problem) => request.into_response(ApiError(problem).error_response()).map_into_right_body(),
    };
    if state.is_some_and(|state| state.is_leaving()) {
        response.response_mut().head_mut().set_connection_type(ConnectionType::Close);
    }
    Ok(response)
}

pub(super) fn shutting_down() -> Problem {
    Problem::new(Code::ShuttingDown, "This instance is being stopped.")
        .hint("Send the request again; another instance takes it.")
        .retry_after(Duration::from_secs(1))
}

fn enter(in_flight: &Arc<Semaphore>, target: &actix_web::http::Uri) -> Result<OwnedSemaphorePermit, Problem> {
    if target.path_and_query().is_some_and(|target| target.as_str().len() > MAX_TARGET_BYTES) {
        let detail = format!("The address with its query is longer than {} KiB.", MAX_TARGET_BYTES / 1024);
        return Err(Problem::new(Code::MalformedRequest, detail));
    }
    Arc::clone(in_flight).try_acquire_owned().map_err(|_| overloaded())
}

pub(super) fn overloaded() -> Problem {
    Problem::new(Code::Overloaded, "The service works on as many requests as it can.")
        .retry_after(Duration::from_secs(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[actix_web::test]
    async fn an_answer_keeps_its_place_until_it_is_sent() {
        let places = Arc::new(Semaphore::new(1));
        let place = Arc::clone(&places).try_acquire_owned().expect("a place");
        let held = Held { body: BoxBody::new("answer"), _place: Some(place), _line: None };
        assert_eq!((held.size(), places.available_permits()), (BodySize::Sized(6), 0));
        assert_eq!(actix_web::body::to_bytes(held).await.expect("a body"), "answer");
        assert_eq!(places.available_permits(), 1);
    }

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

    #[test]
    fn what_comes_when_all_places_are_taken_is_turned_away() {
        let places = Arc::new(Semaphore::new(1));
        let target = actix_web::http::Uri::from_static("/api/v1/usage");
        let first = enter(&places, &target).expect("a place");
        let problem = enter(&places, &target).expect_err("no place");
        assert_eq!((problem.code, problem.retry_after), (Code::Overloaded, Some(Duration::from_secs(1))));
        drop(first);
        assert!(enter(&places, &target).is_ok());
    }
}
