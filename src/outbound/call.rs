//! One call: put together, sent within its bounds, repeated where that is allowed, its answer read whole.

use std::borrow::Cow;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, StatusCode};
use secrecy::{ExposeSecret, SecretString};
use tokio::task::JoinSet;
use tracing::{Instrument, Span};
use url::Url;
use zeroize::Zeroizing;

use super::answer::Answer;
use super::breaker::Asker;
use super::faults::{
    asked_for_rest, asked_to_back_off, classify, out_of_memory, overloaded, redirected, timed_out, too_slow,
};
use super::gate::Gate;
use super::host::host_of;
use super::memory::{Body, Memory};
use super::origins::Origin;
use super::scope::Purpose;
use super::text::{self, Repaired};
use super::tls::Handshake;
use super::turn::NoTurn;
use super::upstream::{Trip, Upstream};
use super::wall::{self, Scene};
use super::{back_off, retry};
use crate::clock::millis;
use crate::outbound::error::{ErrorKind, PlatformError};
use crate::shares::Owner;

/// The largest answer that is read, in bytes after decompression.
pub const MAX_BODY_BYTES: usize = 32 * 1024 * 1024;

/// A call being put together.
#[must_use = "nothing is called before it is sent"]
pub struct Call {
    upstream: Upstream,
    method: Method,
    url: Url,
    headers: HeaderMap,
    secret_query: Vec<(&'static str, SecretString)>,
    body: Option<Bytes>,
    takes_any_401: bool,
    returned: Option<u16>,
    asks_for_rest: Option<AsksForRest>,
}

/// Sees in a body whether a platform asks to be called less often, and for how long.
type AsksForRest = fn(&[u8]) -> Option<Duration>;

impl Call {
    pub(super) fn new(upstream: Upstream, method: Method, url: Url, body: Option<Bytes>) -> Self {
        Self {
            upstream,
            method,
            url,
            headers: HeaderMap::new(),
            secret_query: Vec::new(),
            body,
            takes_any_401: false,
            returned: None,
            asks_for_rest: None,
        }
        .header("accept", "application/json")
    }

    /// With a header.
    pub fn header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Takes a 401 for the platform's own whatever its body: where a session has ended, what that looks like may be on no
    /// record, and the login that follows decides.
    pub(crate) fn taking_any_401(mut self) -> Self {
        self.takes_any_401 = true;
        self
    }

    /// With a header that holds a secret. `name` is in lower case.
    ///
    /// # Errors
    /// A secret that cannot stand in a header is no key of any platform.
    pub(crate) fn secret_header(mut self, name: &'static str, secret: &SecretString) -> Result<Self, PlatformError> {
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
    pub(crate) fn secret_query(mut self, name: &'static str, secret: &SecretString) -> Self {
        self.secret_query.push((name, secret.clone()));
        self
    }

    /// Returns an answer with this status instead of repeating the call: to this question it says that the question
    /// was too much, and the next one is another.
    pub fn returns(mut self, status: u16) -> Self {
        self.returned = Some(status);
        self
    }

    /// Takes an answer in which `asks_for_rest` finds a time for a 429 with that time, for platforms that ask for it with
    /// another status.
    pub(crate) fn rests_when(mut self, asks_for_rest: fn(&[u8]) -> Option<Duration>) -> Self {
        self.asks_for_rest = Some(asks_for_rest);
        self
    }

    /// Sends the call, repeats it where that is allowed and useful, and reads the answer.
    ///
    /// It runs by itself until it is over or nobody waits for it any more: a report fetches calls ahead and does not look
    /// at them while its own reader is slow, and a call that nobody drives would keep its place at the tracker all the
    /// while.
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
        let mut running = JoinSet::new();
        running.spawn(self.run().instrument(Span::current()));
        match running.join_next().await {
            Some(Ok(outcome)) => outcome,
            // As if it had been driven here: the caller panics with it, and no answer is made up.
            Some(Err(failed)) if failed.is_panic() => std::panic::resume_unwind(failed.into_panic()),
            _ => Err(PlatformError::bad_response("The call was given up.".to_owned())),
        }
    }

    async fn run(self) -> Result<Answer, PlatformError> {
        let stage = self.upstream.timings_mut(|timings| timings.current);
        let started = Instant::now();
        let attempts = AtomicU32::new(0);
        let outcome = self.send_with_retries(&attempts).await;
        let time = started.elapsed();
        self.upstream.timings_mut(|timings| timings.add(stage, time));
        self.report(&outcome, attempts.load(Ordering::Relaxed).saturating_sub(1), time);
        outcome
    }

    /// One line and one count for each call, however often it was repeated. Where it went is nobody's business here.
    fn report(&self, outcome: &Result<Answer, PlatformError>, retries: u32, time: Duration) {
        let trip = &self.upstream.trip;
        let (label, status) = match outcome {
            Ok(answer) if answer.status.is_success() => ("answered", Some(answer.status.as_u16())),
            Ok(answer) if answer.status.is_client_error() => ("refused", Some(answer.status.as_u16())),
            Ok(answer) => (ErrorKind::Failing.label(), Some(answer.status.as_u16())),
            Err(error) => (error.kind.label(), None),
        };
        crate::metrics::upstream_call(trip.label, label, retries, time);
        tracing::info!(
            platform = trip.label,
            connection = %trip.connection,
            purpose = trip.scope.purpose.key(),
            upstream.outcome = label,
            upstream.status = status,
            retries,
            duration_ms = millis(time),
            "upstream call"
        );
    }

    async fn send_with_retries(&self, attempts: &AtomicU32) -> Result<Answer, PlatformError> {
        let state = &self.upstream.state;
        state.check(&self.url).await?;
        let origin = state.origin(&self.url, self.upstream.trip.limits.origin)?;
        let url = self.full_url();
        retry::run(self.upstream.trip.scope, self.upstream.trip.started, &origin.budget, || {
            attempts.fetch_add(1, Ordering::Relaxed);
            self.attempt(&origin, &url)
        })
        .await
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

    /// Tells this call's question from others.
    fn question(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.method.as_str(), self.url.as_str(), &self.body).hash(&mut hasher);
        hasher.finish()
    }

    /// Sends the call once. In this order:
    ///
    /// 1. The breaker says whether the origin is called at all, before a call waits for something it cannot have.
    /// 2. A pull waits until the time is over for which the tracker asked to be left alone (`wait_while_backing_off`).
    /// 3. It takes its turn: a place at the account, one at the origin, what other processes leave of both, and the
    ///    pace (`turn`). Somebody may have been asked to wait in the meantime; then it starts again at 2.
    /// 4. The breaker lets it pass. While it tries whether the origin is back it lets one call through at a time, so
    ///    this comes last: a call that passes goes out.
    /// 5. The call goes out, and its answer is read (`exchange`).
    /// 6. The breaker learns how it ended, and both gates how many calls at once the tracker bears.
    /// 7. The places are given back, before other processes are informed of anything.
    /// 8. An answer ends a back-off that the call did not heed; a 429 that names a time begins one. Both are passed on to
    ///    other processes.
    async fn attempt(&self, origin: &Origin, url: &Url) -> Result<Answer, retry::Fault> {
        let Trip { tenant, scope, .. } = *self.upstream.trip;
        let asker = Asker { tenant, question: self.question() };
        origin.breaker.check(scope.purpose, asker, Instant::now()).map_err(retry::Fault::last)?;
        let account = self.upstream.account();
        let turn = loop {
            self.wait_while_backing_off(&account).await?;
            let turn = tokio::time::timeout_at(scope.deadline.into(), self.upstream.turn(origin));
            match turn.await.map_err(|_| self.held_up())? {
                // Somebody may have been asked to wait while this one waited for its turn.
                Ok(turn) if self.backs_off_until(&account).is_none() => break turn,
                Ok(_) => {}
                Err(NoTurn::BackingOff(until)) => self.wait_until(until).await?,
                Err(NoTurn::Full) => return Err(self.held_up().into()),
            }
        };
        let now = Instant::now();
        let pass = origin.breaker.admit(scope.purpose, asker, now).map_err(retry::Fault::last)?;
        let timeout = scope.deadline.saturating_duration_since(now).min(self.upstream.state.config.timeout);
        if timeout.is_zero() {
            return Err(timed_out(&self.url, None).into());
        }
        let outcome = self.exchange(origin, url, timeout).await;
        pass.report(outcome.as_ref().err(), Instant::now());
        let breaks = turn.breaks;
        // Before the places are given back: whether all were taken is part of it.
        self.upstream.learn_places(origin, &account, now, outcome.as_ref().err()).await;
        drop(turn);
        match &outcome {
            Ok(_) => {
                account.back_off.record_answer(now);
                self.upstream.end_back_off_of_others(breaks).await;
            }
            Err(fault) => {
                if let (ErrorKind::RateLimited, Some(time)) = (fault.error().kind, fault.error().retry_after) {
                    account.back_off.begin(time, Instant::now());
                    self.upstream.have_others_back_off(time.min(back_off::LONGEST)).await;
                }
            }
        }
        outcome
    }

    /// There is no turn for this call.
    fn held_up(&self) -> PlatformError {
        self.upstream.trip.held_up.store(true, Ordering::Relaxed);
        overloaded(&self.url)
    }

    /// When the account may be called again, if that is not now and the call is one that has to wait for it.
    fn backs_off_until(&self, account: &Gate) -> Option<Instant> {
        let waits = self.upstream.trip.scope.purpose != Purpose::Verify;
        account.back_off.until(Instant::now()).filter(|_| waits)
    }

    /// Waits for as long as the tracker asked to be left alone, if there is so much time.
    async fn wait_while_backing_off(&self, account: &Gate) -> Result<(), retry::Fault> {
        while let Some(until) = self.backs_off_until(account) {
            self.wait_until(until).await?;
        }
        Ok(())
    }

    async fn wait_until(&self, until: Instant) -> Result<(), retry::Fault> {
        if until >= self.upstream.trip.scope.deadline {
            return Err(retry::Fault::last(asked_to_back_off(&self.url, until)));
        }
        tokio::time::sleep_until(until.into()).await;
        Ok(())
    }

    async fn exchange(&self, origin: &Origin, url: &Url, timeout: Duration) -> Result<Answer, retry::Fault> {
        let mut request = origin
            .clients
            .own()?
            .request(self.method.clone(), url.clone())
            .headers(self.headers.clone())
            .timeout(timeout);
        if let Some(body) = &self.body {
            request = request.body(body.clone());
        }
        let quote = |text: &str| self.upstream.quote(text);
        let (response, handshake) = Handshake::watch(request.send()).await;
        let response = response.map_err(|error| retry::Fault::from(classify(&error, &self.url, &handshake, quote)))?;
        let status = response.status();
        let headers = response.headers().clone();
        if status.is_redirection() {
            return Err(redirected(&self.url, &headers, quote).into());
        }
        let (owner, deadline) = (Owner::of(self.upstream.trip.tenant), Instant::now() + timeout);
        let memory = &self.upstream.state.memory;
        let body = memory.body(owner, response.content_length());
        let body = read_bounded(response, &self.url, body, deadline, &handshake, quote).await?;
        let (body, is_repaired) = legible(&body, memory, owner, deadline).await?;
        let host = host_of(&self.url);
        if let Some(rest) = self.asks_for_rest.and_then(|asks| asks(&body)) {
            return Err(asked_for_rest(&host, rest).into());
        }
        let answer = Answer { status, headers, body };
        if self.returned == Some(status.as_u16()) || self.takes_any_401 && status == StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let trip = &self.upstream.trip;
        let scene = Scene {
            host: &host,
            dialect: trip.dialect,
            own_addresses: &self.upstream.state.config.egress.own_addresses,
            was_answered: trip.answered.load(Ordering::Relaxed),
        };
        let answer = retry::judge(wall::judge(answer, &scene)?, &host)?;
        if answer.status.is_success() {
            trip.answered.store(true, Ordering::Relaxed);
            trip.repaired.fetch_or(is_repaired, Ordering::Relaxed);
        }
        Ok(answer)
    }
}

/// A body that parsers can read, and whether that took a repair.
async fn legible(
    body: &Bytes,
    memory: &Memory,
    owner: Owner,
    deadline: Instant,
) -> Result<(Bytes, bool), retry::Fault> {
    let Repaired { body: read, is_repaired } = text::repair(body);
    if let Cow::Borrowed(read) = read {
        let read = body.slice_ref(read);
        return Ok((read, is_repaired));
    }
    let mut repaired = memory.body(owner, u64::try_from(read.len()).ok());
    repaired.append(&read, deadline).await.map_err(|_| out_of_memory())?;
    Ok((repaired.freeze(), is_repaired))
}

impl Upstream {
    /// A GET of `url`. Secrets do not belong in `url`; see `Call::secret_query`.
    pub fn get(&self, url: Url) -> Call {
        Call::new(self.clone(), Method::GET, url, None)
    }

    /// A POST that only reads (a report's question, a login), and so may be repeated.
    pub(crate) fn post_json(&self, url: Url, body: Vec<u8>) -> Call {
        self.post(url, body.into())
    }

    /// A POST whose body holds secrets; its memory is wiped once the call is over.
    pub(crate) fn post_secret_json(&self, url: Url, body: Zeroizing<Vec<u8>>) -> Call {
        self.post(url, Bytes::from_owner(body))
    }

    /// The same with a form as its body, for platforms that take their key as a parameter.
    pub(crate) fn post_secret_form(&self, url: Url, body: Zeroizing<Vec<u8>>) -> Call {
        self.post(url, Bytes::from_owner(body)).header("content-type", "application/x-www-form-urlencoded")
    }

    fn post(&self, url: Url, body: Bytes) -> Call {
        Call::new(self.clone(), Method::POST, url, Some(body)).header("content-type", "application/json")
    }
}

/// Reads an answer, unless it is too large.
pub(super) async fn read_bounded(
    mut response: reqwest::Response,
    url: &Url,
    mut body: Body,
    deadline: Instant,
    handshake: &Handshake,
    quote: impl Fn(&str) -> String,
) -> Result<Bytes, retry::Fault> {
    loop {
        let Some(next) = body.next(response.chunk()).await else { return Err(too_slow(url).into()) };
        match next {
            Ok(Some(chunk)) if body.len() + chunk.len() > MAX_BODY_BYTES => {
                return Err(PlatformError::bad_response(format!(
                    "{} sent an answer of more than {} MiB.",
                    host_of(url),
                    MAX_BODY_BYTES / (1024 * 1024)
                ))
                .into());
            }
            Ok(Some(chunk)) => body.append(&chunk, deadline).await.map_err(|_| out_of_memory())?,
            Ok(None) => return Ok(body.freeze()),
            Err(error) => return Err(classify(&error, url, handshake, quote).into()),
        }
    }
}
