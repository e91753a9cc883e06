//! The only way out of this service.
//!
//! Every call to a tracker goes through [`Upstream`]: the address is checked and pinned (`egress`), no redirect is
//! followed, no proxy variable is read, the answer is bounded in time and in bytes after decompression, and reads are
//! retried within the request's deadline. Calls to one origin and to one account are bounded in number and pace, shared
//! fairly between tenants (`gate`) and, where there are several, between processes (`turn`). An origin that keeps
//! failing is left alone for a while (`breaker`). An error that leaves here carries no URL.
//!
//! What is called is a label and an address here: nothing of this knows a platform.

mod answer;
mod breaker;
mod call;
mod certificate;
mod circuit;
mod clients;
pub mod egress;
pub mod error;
mod faults;
mod gate;
mod handshake;
mod host;
mod memory;
mod quiet;
mod quote;
mod resolver;
mod retry;
mod text;
mod timings;
mod tls;
mod turn;
mod wall;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use moka::sync::Cache;
use reqwest::Method;
use ring::hmac;
use secrecy::{ExposeSecret, SecretString};
use thread_local::ThreadLocal;
use url::{Host, Url};
use uuid::Uuid;
use zeroize::Zeroizing;

pub use self::answer::Answer;
use self::breaker::Breaker;
pub use self::call::Call;
use self::call::read_bounded;
use self::clients::Clients;
use self::egress::EgressPolicy;
use self::error::{ErrorKind, PlatformError, Stage};
use self::faults::{blocked, classify, redirected, unresolved};
use self::gate::Gate;
pub use self::gate::Pace;
use self::host::host_of;
use self::memory::Memory;
use self::resolver::{CheckedResolver, Resolver};
use self::retry::Budget;
pub use self::text::MARK;
pub use self::timings::Timings;
use self::tls::Handshake;
pub use self::turn::{AccountId, Ask, Bound, Lease, Quiet, SharedBudget, Turn};
pub use self::wall::Dialect;
use crate::shares::Owner;
use crate::sizing::Sizing;

/// The largest answer that is read, in bytes after decompression.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// The longest a verification takes in all.
pub const VERIFICATION_DEADLINE: Duration = Duration::from_secs(20);

/// The most calls a verification may cause.
const VERIFICATION_CALLS: u32 = 100;

/// The longest a public document may take to arrive.
const DOCUMENT_PATIENCE: Duration = Duration::from_secs(10);

/// Accounts whose limits are remembered.
const MAX_ACCOUNTS: u64 = 50_000;

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
pub struct Transport {
    shared: Arc<Shared>,
    tenant: u64,
}

#[derive(Clone)]
struct Shared {
    config: TransportConfig,
    resolver: Resolver,
    tls: rustls::ClientConfig,
    memory: Memory,
    origins: Cache<String, Arc<Origin>>,
    accounts: Cache<AccountId, Arc<Gate>>,
    names: hmac::Key,
    budget: Option<Arc<dyn SharedBudget>>,
}

/// One scheme, host and port, shared by all connections that lead there.
struct Origin {
    name: String,
    clients: Clients,
    gate: Gate,
    breaker: Breaker,
    budget: Budget,
}

/// How hard trackers may be worked, by all organisations together.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// One origin: a host, or a gateway that all customers of a platform share.
    pub origin: Allowance,
    /// One account there. What is known to be one is a key: accounts with several keys count several times.
    pub account: Allowance,
}

/// So many calls at the same time, so often.
#[derive(Debug, Clone, Copy)]
pub struct Allowance {
    /// Calls at the same time.
    pub concurrency: usize,
    /// How often, where the platform documents a limit.
    pub pace: Option<Pace>,
}

impl Limits {
    /// What is left for checks in the background.
    const fn behind(self) -> Self {
        Self { origin: self.origin.behind(), account: self.account.behind() }
    }
}

impl Allowance {
    /// What checks leave free for those that somebody waits for: half of the places, unless there is one only.
    const fn reserved(self) -> usize {
        self.concurrency / 2
    }

    /// What is left for checks: the other half, and a quarter of the pace.
    const fn behind(self) -> Self {
        let pace = match self.pace {
            Some(pace) => Some(pace.behind()),
            None => None,
        };
        Self { concurrency: self.concurrency - self.reserved(), pace }
    }

    /// Calls at the same time, as often as they come.
    #[must_use]
    pub const fn of(concurrency: usize) -> Self {
        Self { concurrency, pace: None }
    }

    /// The same, at this pace.
    #[must_use]
    pub const fn at(self, pace: Pace) -> Self {
        Self { pace: Some(pace), ..self }
    }
}

/// What calls are made for; it bounds how long they may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A verification: retried for ten seconds at most.
    Verify,
    /// A pull: retried up to its deadline.
    Pull,
    /// A check in the background, for which nobody waits: after everything else, and not at all where an origin is cut
    /// off or asks to be left alone.
    Check,
}

impl Purpose {
    /// The word for it in the log.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::Verify => "verify",
            Self::Pull => "pull",
            Self::Check => "check",
        }
    }
}

/// The bounds of one request of ours.
#[derive(Debug, Clone, Copy)]
pub struct CallScope {
    /// What the calls are for.
    pub purpose: Purpose,
    /// When the answer must be there.
    pub deadline: Instant,
    /// The most calls it may cause.
    pub max_calls: u32,
}

impl CallScope {
    /// The bounds of a verification that begins now.
    #[must_use]
    pub fn verification() -> Self {
        Self {
            purpose: Purpose::Verify,
            deadline: Instant::now() + VERIFICATION_DEADLINE,
            max_calls: VERIFICATION_CALLS,
        }
    }

    /// The bounds of a check that begins now.
    #[must_use]
    pub fn check() -> Self {
        Self { purpose: Purpose::Check, ..Self::verification() }
    }
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
        let accounts = Cache::builder().max_capacity(MAX_ACCOUNTS).time_to_idle(idle).build();
        let names = turn::own_names();
        let memory = Memory::of(&Sizing::default());
        let shared = Shared { config, resolver, tls, memory, origins, accounts, names, budget: None };
        Ok(Self { shared: Arc::new(shared), tenant: 0 })
    }

    /// The same transport with limits that several processes keep together. `names` is what accounts are told apart by,
    /// and has to be the same in all of them.
    #[must_use]
    pub fn sharing(self, names: hmac::Key, budget: Arc<dyn SharedBudget>) -> Self {
        let shared = Shared { names, budget: Some(budget), ..Shared::clone(&self.shared) };
        Self { shared: Arc::new(shared), tenant: self.tenant }
    }

    /// The same transport with as much memory for trackers' answers as this says.
    #[must_use]
    pub fn within(self, sizing: &Sizing) -> Self {
        let shared = Shared { memory: Memory::of(sizing), ..Shared::clone(&self.shared) };
        Self { shared: Arc::new(shared), tenant: self.tenant }
    }

    /// The same transport, used for this tenant: all tenants get their turn at an origin, however much one asks.
    #[must_use]
    pub fn on_behalf_of(&self, tenant: u64) -> Self {
        Self { shared: Arc::clone(&self.shared), tenant }
    }

    /// Reads a public document that belongs to no account, such as the keys of a token issuer, under the same rules
    /// as a tracker's answers but without repetition.
    ///
    /// # Errors
    /// An address that may not be called, no answer in time, any status but 2xx, or an answer that is too large.
    pub async fn fetch_public(&self, url: &Url) -> Result<Bytes, PlatformError> {
        self.shared.check(url).await?;
        let origin = self.shared.origin(url, Allowance::of(2))?;
        let patience = self.shared.config.timeout.min(DOCUMENT_PATIENCE);
        let request = origin.clients.own()?.get(url.clone()).header("accept", "application/json").timeout(patience);
        let (response, handshake) = Handshake::watch(request.send()).await;
        let response = response.map_err(|error| classify(&error, url, &handshake, plain))?;
        match response.status() {
            status if status.is_redirection() => Err(redirected(url, response.headers(), plain)),
            status if status.is_success() => {
                let body = self.shared.memory.body(Owner::of("documents"), response.content_length());
                Ok(read_bounded(response, url, body, Instant::now() + patience, &handshake, plain).await?)
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
        self.shared.check(url).await?;
        let origin = self.shared.origin(url, Allowance::of(2))?;
        let request = origin.clients.own()?.get(url.clone()).timeout(self.shared.config.timeout);
        let (response, handshake) = Handshake::watch(request.send()).await;
        response.map_err(|error| classify(&error, url, &handshake, plain))?;
        Ok(started.elapsed())
    }

    /// The road of one request to one account.
    pub(crate) fn upstream(&self, callee: Callee<'_>, limits: Limits, dialect: Dialect, scope: CallScope) -> Upstream {
        let Callee { label, connection, address, secrets } = callee;
        let account = turn::account_id(&self.shared.names, label, address.as_deref(), secrets);
        Upstream {
            shared: Arc::clone(&self.shared),
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
    shared: Arc<Shared>,
    trip: Arc<Trip>,
}

struct Trip {
    label: &'static str,
    connection: Uuid,
    address: Option<String>,
    account: AccountId,
    secrets: Mutex<Vec<SecretString>>,
    limits: Limits,
    dialect: Dialect,
    tenant: u64,
    scope: CallScope,
    started: Instant,
    calls: AtomicU32,
    /// Whether any of them was answered by the platform.
    answered: AtomicBool,
    /// Whether any of them had to be given up because others were before it.
    held_up: AtomicBool,
    /// Whether a text in the answers had to be repaired before they could be read.
    repaired: AtomicBool,
    timings: Mutex<Timings>,
}

impl Upstream {
    /// A GET of `url`. Secrets do not belong in `url`; see [`Call::secret_query`].
    #[must_use]
    pub fn get(&self, url: Url) -> Call {
        Call::new(self.clone(), Method::GET, url, None)
    }

    /// A POST that only reads (a report's question, a login), and so may be repeated.
    #[must_use]
    pub fn post_json(&self, url: Url, body: Vec<u8>) -> Call {
        self.post(url, body.into())
    }

    /// A POST whose body holds secrets; its memory is wiped once the call is over.
    #[must_use]
    pub fn post_secret_json(&self, url: Url, body: Zeroizing<Vec<u8>>) -> Call {
        self.post(url, Bytes::from_owner(body))
    }

    /// The same with a form as its body, for platforms that take their key as a parameter.
    #[must_use]
    pub fn post_secret_form(&self, url: Url, body: Zeroizing<Vec<u8>>) -> Call {
        self.post(url, Bytes::from_owner(body)).header("content-type", "application/x-www-form-urlencoded")
    }

    fn post(&self, url: Url, body: Bytes) -> Call {
        Call::new(self.clone(), Method::POST, url, Some(body)).header("content-type", "application/json")
    }

    /// What tells this account from others within this process. It is made of the account's secrets and tells nothing
    /// of them.
    #[must_use]
    pub fn account_id(&self) -> &AccountId {
        &self.trip.account
    }

    /// Announces that the next calls belong to `stage` of a verification.
    pub fn enter(&self, stage: Stage) {
        self.timings_mut(|timings| timings.current = stage);
    }

    /// What has been measured so far.
    #[must_use]
    pub fn timings(&self) -> Timings {
        self.timings_mut(|timings| timings.clone())
    }

    /// How many calls went out so far.
    #[must_use]
    pub fn calls(&self) -> u32 {
        self.trip.calls.load(Ordering::Relaxed)
    }

    /// Whether a call never went out because others were before it: that says nothing of the platform.
    #[must_use]
    pub fn is_held_up(&self) -> bool {
        self.trip.held_up.load(Ordering::Relaxed)
    }

    /// Whether a text in the good answers so far was not as their format has it.
    #[must_use]
    pub fn has_repaired(&self) -> bool {
        self.trip.repaired.load(Ordering::Relaxed)
    }

    /// Notes that a reader had to repair a text, where the transport does not know the format.
    pub fn note_repaired(&self) {
        self.trip.repaired.store(true, Ordering::Relaxed);
    }

    /// The most calls this request may cause.
    #[must_use]
    pub fn max_calls(&self) -> u32 {
        self.trip.scope.max_calls
    }

    /// When the answer must be there.
    #[must_use]
    pub fn deadline(&self) -> Instant {
        self.trip.scope.deadline
    }

    /// Scheme, host and port this road leads to.
    #[must_use]
    pub fn address(&self) -> Option<&str> {
        self.trip.address.as_deref()
    }

    /// The host (and port) this road leads to, for messages to the connection's own users.
    #[must_use]
    pub fn host(&self) -> String {
        self.trip
            .address
            .as_deref()
            .and_then(|address| Url::parse(address).ok())
            .map(|url| host_of(&url))
            .unwrap_or_default()
    }

    /// The platform's refusal of the address that this service calls from, with the addresses that have to be let in.
    #[must_use]
    pub fn ip_not_allowed(&self, detail: String) -> PlatformError {
        let addresses = wall::own_addresses(&self.shared.config.egress.own_addresses);
        PlatformError::new(ErrorKind::IpNotAllowed, detail)
            .hint(format!("Ask the tracker's administrator to allow {addresses} for this key."))
    }

    /// Has [`quote`](Self::quote) leave out a secret that only came up on the way, such as a session's token.
    pub fn conceal(&self, secret: &SecretString) {
        let mut secrets = self.trip.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if !secrets.iter().any(|known| known.expose_secret() == secret.expose_secret()) {
            secrets.push(secret.clone());
        }
    }

    /// A tracker's own words, safe to show: without the account's secrets (as they are or encoded), control characters
    /// and markup, and cut short.
    #[must_use]
    pub fn quote(&self, text: &str) -> String {
        quote::quote(text, self.trip.secrets.lock().unwrap_or_else(PoisonError::into_inner).iter())
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
        let outcome = self.shared.check(&url).await;
        self.timings_mut(|timings| timings.add(Stage::Resolve, started.elapsed()));
        outcome
    }

    fn timings_mut<T>(&self, change: impl FnOnce(&mut Timings) -> T) -> T {
        change(&mut self.trip.timings.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shared {
    /// Whether the address may be called; for names, whether any of their addresses may.
    async fn check(&self, url: &Url) -> Result<(), PlatformError> {
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

    fn origin(&self, url: &Url, allowance: Allowance) -> Result<Arc<Origin>, PlatformError> {
        let key = url.origin().ascii_serialization();
        if let Some(origin) = self.origins.get(&key) {
            return Ok(origin);
        }
        let https = url.scheme() == "https";
        let port = url.port_or_known_default().unwrap_or_default();
        let policy = self.config.egress.clone();
        let resolver = CheckedResolver {
            resolver: self.resolver.clone(),
            permits: Arc::new(move |address| policy.permits(SocketAddr::new(address.ip(), port), https)),
        };
        let clients = Clients {
            tls: self.tls.clone(),
            resolver,
            connect_timeout: self.config.connect_timeout,
            kept: allowance.concurrency,
            of_threads: ThreadLocal::new(),
        };
        let made = Arc::new(Origin {
            name: key.clone(),
            clients,
            gate: Gate::new(allowance),
            breaker: Breaker::default(),
            budget: Budget::default(),
        });
        Ok(self.origins.get_with(key, || made))
    }
}

/// Words of a host that was not given any secret.
fn plain(text: &str) -> String {
    quote::quote(text, [])
}

/// Names that only ever lead inside: what they resolve to is not told apart from their not existing.
fn is_internal_name(name: &str) -> bool {
    let name = name.trim_end_matches('.').to_ascii_lowercase();
    !name.contains('.')
        || [".localhost", ".local", ".internal", ".intranet", ".lan", ".home", ".corp", ".home.arpa", ".localdomain"]
            .iter()
            .any(|suffix| name.ends_with(suffix))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

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
        let origin = transport.shared.origin(&url, Allowance::of(1)).expect("a client");
        let client = origin.clients.own().expect("a client");
        let error = client.get(url.clone()).timeout(Duration::from_secs(5)).send().await;
        let error = error.expect_err("nothing inside is called");
        assert_eq!(classify(&error, &url, &Handshake::default(), plain).kind, ErrorKind::EgressBlocked, "{error:?}");
        assert!(inside.accept().is_err_and(|error| error.kind() == std::io::ErrorKind::WouldBlock));
    }
}
