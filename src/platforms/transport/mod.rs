//! The only way out of this service.
//!
//! Every call to a tracker goes through [`Upstream`]: the address is checked and pinned (`egress`), no redirect is
//! followed, no proxy variable is read, the answer is bounded in time and in bytes after decompression, reads are
//! retried within the request's deadline, calls to one origin are bounded in number and pace and shared fairly between
//! tenants (`gate`), and an origin that keeps failing is left alone for a while (`breaker`). An error that leaves here
//! carries no URL.

mod breaker;
pub mod egress;
mod gate;
mod resolver;
mod retry;

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use moka::sync::Cache;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use url::{Host, Url};
use zeroize::Zeroizing;

use self::breaker::Breaker;
use self::egress::EgressPolicy;
use self::gate::Gate;
pub use self::gate::Pace;
use self::resolver::{Blocked, CheckedResolver, ResolveError, Resolver};
use self::retry::Budget;
use super::error::{ErrorKind, PlatformError, Stage};
use super::verification::millis;
use super::{Credentials, Platform};

/// The largest answer that is read, in bytes after decompression.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// The longest a public document may take to arrive.
const DOCUMENT_PATIENCE: Duration = Duration::from_secs(10);

/// Text quoted from a tracker is cut at this many characters.
const MAX_QUOTE: usize = 300;

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

struct Shared {
    config: TransportConfig,
    resolver: Resolver,
    tls: rustls::ClientConfig,
    origins: Cache<String, Arc<Origin>>,
}

/// One scheme, host and port, shared by all connections that lead there.
struct Origin {
    client: reqwest::Client,
    gate: Gate,
    breaker: Breaker,
    budget: Budget,
}

/// How hard one origin may be worked, by all organisations together.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Calls at the same time.
    pub concurrency: usize,
    /// How often, where the platform documents a limit.
    pub pace: Option<Pace>,
}

/// What calls are made for; it bounds how long they may go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A verification: retried for ten seconds at most.
    Verify,
    /// A pull: retried up to its deadline.
    Pull,
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

impl Transport {
    /// Sets the transport up.
    ///
    /// # Errors
    /// TLS that cannot be initialised.
    pub fn new(config: TransportConfig) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let roots = rustls::RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_no_client_auth();
        let resolver = Resolver::new(config.connect_timeout);
        let origins = Cache::builder().max_capacity(2_000).time_to_idle(Duration::from_secs(600)).build();
        Ok(Self { shared: Arc::new(Shared { config, resolver, tls, origins }), tenant: 0 })
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
        let origin = self.shared.origin(url, Limits { concurrency: 2, pace: None })?;
        let patience = self.shared.config.timeout.min(DOCUMENT_PATIENCE);
        let request = origin.client.get(url.clone()).header("accept", "application/json").timeout(patience);
        let response = request.send().await.map_err(|error| classify(&error, url))?;
        match response.status() {
            status if status.is_redirection() => Err(redirected(url, response.headers())),
            status if status.is_success() => Ok(read_bounded(response, url).await?),
            status => Err(PlatformError::bad_response(format!("{} answered {}.", host_of(url), status.as_u16()))),
        }
    }

    /// The road of one request to one account.
    pub(super) fn upstream(
        &self,
        platform: Platform,
        address: Option<String>,
        credentials: &Credentials,
        limits: Limits,
        scope: CallScope,
    ) -> Upstream {
        Upstream {
            shared: Arc::clone(&self.shared),
            trip: Arc::new(Trip {
                platform,
                address,
                secrets: Mutex::new(credentials.values().cloned().collect()),
                limits,
                tenant: self.tenant,
                scope,
                calls: AtomicU32::new(0),
                timings: Mutex::new(Timings::default()),
            }),
        }
    }
}

/// The road of one request of ours to one tracker account. Clones share counters and deadline.
#[derive(Clone)]
pub struct Upstream {
    shared: Arc<Shared>,
    trip: Arc<Trip>,
}

struct Trip {
    platform: Platform,
    address: Option<String>,
    secrets: Mutex<Vec<SecretString>>,
    limits: Limits,
    tenant: u64,
    scope: CallScope,
    calls: AtomicU32,
    timings: Mutex<Timings>,
}

/// How long each stage took, as far as that could be measured.
#[derive(Debug, Clone)]
pub struct Timings {
    current: Stage,
    spent: [Option<Duration>; Stage::ALL.len()],
    skipped: [bool; Stage::ALL.len()],
}

impl Default for Timings {
    fn default() -> Self {
        Self { current: Stage::Request, spent: Default::default(), skipped: Default::default() }
    }
}

impl Timings {
    /// Milliseconds spent in a stage, where they could be told from the others'.
    #[must_use]
    pub fn millis(&self, stage: Stage) -> Option<u64> {
        self.spent.get(stage as usize).copied().flatten().map(millis)
    }

    /// Whether the stage was not needed.
    #[must_use]
    pub fn is_skipped(&self, stage: Stage) -> bool {
        self.skipped.get(stage as usize).copied().unwrap_or_default()
    }

    fn add(&mut self, stage: Stage, time: Duration) {
        if let Some(spent) = self.spent.get_mut(stage as usize) {
            *spent = Some(spent.unwrap_or_default() + time);
        }
    }

    fn skip(&mut self, stage: Stage) {
        if let Some(skipped) = self.skipped.get_mut(stage as usize) {
            *skipped = true;
        }
    }
}

/// An answer, read whole.
#[derive(Debug)]
pub struct Answer {
    /// The status: 2xx, 4xx but 429, or 500. Everything else is an error already.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, decompressed.
    pub body: Bytes,
}

impl Answer {
    /// Whether the body is a web page: what a login form, a proxy or another product answers.
    #[must_use]
    pub fn is_html(&self) -> bool {
        self.body.trim_ascii_start().first() == Some(&b'<') && !self.body.trim_ascii_start().starts_with(b"<?xml")
    }
}

/// A call being put together.
pub struct Call {
    upstream: Upstream,
    method: Method,
    url: Url,
    headers: HeaderMap,
    secret_query: Vec<(&'static str, SecretString)>,
    body: Option<Bytes>,
}

impl Upstream {
    /// A GET of `url`. Secrets do not belong in `url`; see [`Call::secret_query`].
    #[must_use]
    pub fn get(&self, url: Url) -> Call {
        self.call(Method::GET, url)
    }

    /// A POST that only reads (a report's question, a login), and so may be repeated.
    #[must_use]
    pub fn post_json(&self, url: Url, body: Vec<u8>) -> Call {
        let mut call = self.call(Method::POST, url).header("content-type", "application/json");
        call.body = Some(body.into());
        call
    }

    /// A POST whose body holds secrets; its memory is wiped once the call is over.
    #[must_use]
    pub fn post_secret_json(&self, url: Url, body: Zeroizing<Vec<u8>>) -> Call {
        let mut call = self.call(Method::POST, url).header("content-type", "application/json");
        call.body = Some(Bytes::from_owner(body));
        call
    }

    fn call(&self, method: Method, url: Url) -> Call {
        Call { upstream: self.clone(), method, url, headers: HeaderMap::new(), secret_query: Vec::new(), body: None }
            .header("accept", "application/json")
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

    /// Has [`quote`](Self::quote) leave out a secret that only came up on the way, such as a session's token.
    pub fn conceal(&self, secret: &SecretString) {
        let mut secrets = self.trip.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        if !secrets.iter().any(|known| known.expose_secret() == secret.expose_secret()) {
            secrets.push(secret.clone());
        }
    }

    /// A tracker's own words, safe to show: without the account's secrets (as they are or percent-encoded), control
    /// characters and markup, and cut short.
    #[must_use]
    pub fn quote(&self, text: &str) -> String {
        let mut clean = text.to_owned();
        for secret in self.trip.secrets.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let secret = secret.expose_secret().trim();
            if secret.is_empty() {
                continue;
            }
            let encoded: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
            let escaped = serde_json::to_string(secret).unwrap_or_default();
            for form in [secret, encoded.as_str(), escaped.trim_matches('"')] {
                clean = clean.replace(form, "[secret]");
            }
        }
        let clean: String = clean.chars().map(|letter| if letter.is_control() { ' ' } else { letter }).collect();
        let mut words = clean.split_whitespace().collect::<Vec<_>>().join(" ");
        if let Some((cut, _)) = words.char_indices().nth(MAX_QUOTE) {
            words.truncate(cut);
            words.push('…');
        }
        words
    }

    /// Looks the host up and checks its addresses, so that a verification can tell these faults from later ones.
    pub(super) async fn preflight(&self) -> Result<(), PlatformError> {
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

impl Call {
    /// With a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// With a header that holds a secret. `name` is in lower case.
    ///
    /// # Errors
    /// A secret that cannot stand in a header is no key of any platform.
    pub fn secret_header(mut self, name: &'static str, secret: &SecretString) -> Result<Self, PlatformError> {
        let mut value = HeaderValue::from_str(secret.expose_secret().trim()).map_err(|_| {
            PlatformError::new(
                ErrorKind::CredentialsRejected,
                "The key contains characters that no key of this platform has.",
            )
        })?;
        value.set_sensitive(true);
        self.headers.insert(HeaderName::from_static(name), value);
        Ok(self)
    }

    /// With a query parameter that holds a secret, for platforms that take it nowhere else.
    #[must_use]
    pub fn secret_query(mut self, name: &'static str, secret: &SecretString) -> Self {
        self.secret_query.push((name, secret.clone()));
        self
    }

    /// Sends the call, repeats it where that is allowed and useful, and reads the answer.
    ///
    /// # Errors
    /// No answer, a redirect, 429, 502 to 504 after retries, or an answer that is too large.
    pub async fn send(self) -> Result<Answer, PlatformError> {
        let trip = &self.upstream.trip;
        let calls = trip.calls.fetch_add(1, Ordering::Relaxed);
        if calls >= trip.scope.max_calls {
            return Err(PlatformError::unsupported(format!(
                "The query needs more than {} calls to the platform.",
                trip.scope.max_calls
            ))
            .hint("Ask for a shorter range or fewer dimensions."));
        }
        let stage = self.upstream.timings_mut(|timings| timings.current);
        let started = Instant::now();
        let outcome = self.send_with_retries().await;
        let time = started.elapsed();
        self.upstream.timings_mut(|timings| timings.add(stage, time));
        let status = match &outcome {
            Ok(answer) => i64::from(answer.status.as_u16()),
            Err(_) => 0,
        };
        let label = match &outcome {
            Ok(_) => "answered",
            Err(error) => error.kind.label(),
        };
        crate::metrics::upstream_call(trip.platform.key(), label, time);
        tracing::debug!(
            platform = trip.platform.key(),
            upstream.status = status,
            upstream.outcome = label,
            duration_ms = millis(time),
            "upstream call"
        );
        outcome
    }

    async fn send_with_retries(&self) -> Result<Answer, PlatformError> {
        let shared = &self.upstream.shared;
        shared.check(&self.url).await?;
        let origin = shared.origin(&self.url, self.upstream.trip.limits)?;
        let url = self.full_url();
        retry::run(self.upstream.trip.scope, &origin.budget, || self.attempt(&origin, &url)).await
    }

    fn full_url(&self) -> Url {
        let mut url = self.url.clone();
        if !self.secret_query.is_empty() {
            let mut pairs = url.query_pairs_mut();
            for (name, secret) in &self.secret_query {
                pairs.append_pair(name, secret.expose_secret().trim());
            }
        }
        url
    }

    async fn attempt(&self, origin: &Origin, url: &Url) -> Result<Answer, retry::Fault> {
        let Trip { tenant, scope, .. } = *self.upstream.trip;
        origin.breaker.check(scope.purpose, Instant::now()).map_err(retry::Fault::last)?;
        let _place = tokio::time::timeout_at(scope.deadline.into(), origin.gate.enter(tenant))
            .await
            .map_err(|_| overloaded(&self.url))?
            .map_err(|_| overloaded(&self.url))?;
        let now = Instant::now();
        let pass = origin.breaker.admit(scope.purpose, now).map_err(retry::Fault::last)?;
        let patience = scope.deadline.saturating_duration_since(now).min(self.upstream.shared.config.timeout);
        if patience.is_zero() {
            return Err(timed_out(&self.url, None).into());
        }
        let outcome = self.exchange(origin, url, patience).await;
        pass.report(outcome.as_ref().err().map(retry::Fault::error), Instant::now());
        outcome
    }

    async fn exchange(&self, origin: &Origin, url: &Url, patience: Duration) -> Result<Answer, retry::Fault> {
        let mut request =
            origin.client.request(self.method.clone(), url.clone()).headers(self.headers.clone()).timeout(patience);
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let response = request.send().await.map_err(|error| retry::Fault::from(classify(&error, &self.url)))?;
        let status = response.status();
        let headers = response.headers().clone();
        if status.is_redirection() {
            return Err(redirected(&self.url, &headers).into());
        }
        let body = read_bounded(response, &self.url).await?;
        retry::judge(Answer { status, headers, body }, &host_of(&self.url))
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

    #[expect(clippy::disallowed_methods, reason = "this is the one place where a client is made")]
    fn origin(&self, url: &Url, limits: Limits) -> Result<Arc<Origin>, PlatformError> {
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
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.tls.clone())
            .user_agent(concat!("affzero-connections/", env!("CARGO_PKG_VERSION")))
            .redirect(reqwest::redirect::Policy::none())
            .referer(false)
            .no_proxy()
            .retry(reqwest::retry::never())
            .connect_timeout(self.config.connect_timeout)
            .pool_idle_timeout(Duration::from_secs(60))
            .pool_max_idle_per_host(limits.concurrency)
            .tcp_nodelay(true)
            .dns_resolver(resolver)
            .build()
            .map_err(|_| PlatformError::new(ErrorKind::InvalidUrl, "No connection can be set up for this address."))?;
        let made = Arc::new(Origin {
            client,
            gate: Gate::new(limits),
            breaker: Breaker::default(),
            budget: Budget::default(),
        });
        Ok(self.origins.get_with(key, || made))
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

async fn read_bounded(mut response: reqwest::Response, url: &Url) -> Result<Bytes, retry::Fault> {
    let mut body = BytesMut::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_BODY_BYTES => {
                return Err(PlatformError::bad_response(format!(
                    "{} sent an answer of more than {} MiB.",
                    host_of(url),
                    MAX_BODY_BYTES / (1024 * 1024)
                ))
                .into());
            }
            Ok(Some(chunk)) => body.extend_from_slice(&chunk),
            Ok(None) => return Ok(body.freeze()),
            Err(error) => return Err(classify(&error, url).into()),
        }
    }
}

/// Host and port as a person would write them.
fn host_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn overloaded(url: &Url) -> PlatformError {
    PlatformError::new(ErrorKind::Overloaded, format!("Too many calls are waiting for {} already.", host_of(url)))
        .retry_after(Some(Duration::from_secs(5)))
}

fn blocked(url: &Url) -> PlatformError {
    PlatformError::new(
        ErrorKind::EgressBlocked,
        format!("This service does not call {}: only public hosts over https are allowed.", host_of(url)),
    )
}

fn timed_out(url: &Url, stage: Option<Stage>) -> PlatformError {
    let mut error = PlatformError::new(ErrorKind::Timeout, format!("{} did not answer in time.", host_of(url)));
    error.stage = stage;
    error
}

fn unresolved(error: &ResolveError, url: &Url) -> PlatformError {
    let detail = match error {
        ResolveError::NotFound => format!("The host name {} does not resolve.", host_of(url)),
        ResolveError::TimedOut => format!("Looking up the host name {} took too long.", host_of(url)),
    };
    PlatformError::new(ErrorKind::DnsFailed, detail)
}

/// Names where a redirect leads, without following it. Query and user info are left out: they may hold a key.
fn redirected(url: &Url, headers: &HeaderMap) -> PlatformError {
    let target = headers
        .get(reqwest::header::LOCATION)
        .and_then(|location| location.to_str().ok())
        .and_then(|location| url.join(location).ok())
        .map(|target| format!("{}{}", target.origin().ascii_serialization(), target.path()))
        .map_or_else(|| "another address".to_owned(), |target| target.chars().take(200).collect());
    PlatformError::new(ErrorKind::Redirected, format!("{} redirects to {target}.", host_of(url)))
}

/// Finds the true cause in what the HTTP client reports. Its own text is never used: it contains the URL.
fn classify(error: &reqwest::Error, url: &Url) -> PlatformError {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(error);
    // Whatever happens to a body is called a decoding error; one of the connection has another error inside.
    let mut garbled = error.is_decode();
    while let Some(source) = cause {
        garbled &= !source.is::<reqwest::Error>();
        if let Some(unresolved_name) = source.downcast_ref::<ResolveError>() {
            return unresolved(unresolved_name, url);
        }
        if source.is::<Blocked>() {
            return blocked(url);
        }
        if let Some(tls) = source.downcast_ref::<rustls::Error>() {
            return tls_failed(tls, url);
        }
        // An I/O error hides the TLS error inside of it, not behind `source`.
        if let Some(tls) = source
            .downcast_ref::<std::io::Error>()
            .and_then(std::io::Error::get_ref)
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            return tls_failed(tls, url);
        }
        cause = source.source();
    }
    let host = host_of(url);
    if error.is_timeout() {
        return timed_out(url, error.is_connect().then_some(Stage::Connect));
    }
    if error.is_connect() {
        return PlatformError::new(ErrorKind::ConnectFailed, format!("{host} does not accept connections."));
    }
    if garbled {
        return PlatformError::bad_response(format!("The answer of {host} cannot be decompressed."));
    }
    PlatformError::new(ErrorKind::ConnectFailed, format!("{host} broke the connection before its answer was complete."))
        .at(Stage::Request)
}

fn tls_failed(error: &rustls::Error, url: &Url) -> PlatformError {
    use rustls::{CertificateError, Error};
    let reason = match error {
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "its certificate has expired"
        }
        Error::InvalidCertificate(CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. }) => {
            "its certificate is not valid yet"
        }
        Error::InvalidCertificate(
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
        ) => "its certificate is for another name",
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "its certificate is not trusted (self-signed, or from an unknown authority)"
        }
        Error::InvalidCertificate(CertificateError::Revoked) => "its certificate has been revoked",
        Error::InvalidCertificate(_) => "its certificate is not valid",
        _ => "no secure connection could be agreed on",
    };
    PlatformError::new(ErrorKind::TlsFailed, format!("TLS with {} failed: {reason}.", host_of(url)))
}
