//! What every request passes: its id, its log line, the headers of every answer, and problems in one form.

use std::cell::OnceCell;
use std::convert::Infallible;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use actix_web::body::{BodySize, BoxBody, EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Bytes;
use actix_web::{Error, HttpMessage, HttpRequest, HttpResponse, ResponseError};
use tracing::{Instrument, Span};
use uuid::Uuid;

use crate::clock::millis;
use crate::metrics;
use crate::problem::{Code, Problem};
use crate::telemetry::Trace;
use crate::tenancy::OrgId;

/// Where the console is.
pub(crate) const CONSOLE: &str = "/console/";

/// How to authenticate.
pub(super) const CHALLENGE: &str = "Bearer realm=\"affzero-connections\", error=\"invalid_token\"";

/// A problem on its way into a response.
#[derive(Debug)]
pub(super) struct ApiError(pub(super) Problem);

impl<T: Into<Problem>> From<T> for ApiError {
    fn from(problem: T) -> Self {
        Self(problem.into())
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(self.0.code.slug())
    }
}

impl ResponseError for ApiError {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    /// Only carries the problem: [`write_problems`] knows the request it belongs to.
    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::new(self.status_code());
        response.extensions_mut().insert(self.0.clone());
        response
    }
}

/// The id of a request.
#[derive(Debug, Clone)]
pub(super) struct RequestId(pub(super) String);

/// The id of the request that `message` belongs to.
pub(super) fn request_id(message: &impl HttpMessage) -> String {
    message.extensions().get::<RequestId>().map(|id| id.0.clone()).unwrap_or_default()
}

/// Whom a request is for and which connection it is about, as far as that has turned out: for its line in the log.
#[derive(Debug, Clone, Default)]
struct Concern(Rc<(OnceCell<OrgId>, OnceCell<Uuid>)>);

/// Notes whom a request is for.
pub(super) fn note_organisation(request: &HttpRequest, organisation: &OrgId) {
    if let Some(Concern(concern)) = request.extensions().get() {
        // It does not change any more.
        let _ = concern.0.set(organisation.clone());
    }
}

/// Notes which connection a request is about.
pub(super) fn note_connection(request: &HttpRequest, connection: Uuid) {
    if let Some(Concern(concern)) = request.extensions().get() {
        let _ = concern.1.set(connection);
    }
}

/// Gives the request its id and its place in the caller's trace, writes one log line, counts it, and sets the headers
/// that every answer has.
pub(super) async fn observe<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, Error> {
    let id = accepted_id(&request).unwrap_or_else(new_id);
    let span = accepted_trace(&request).unwrap_or_else(Trace::begin).request(&id);
    request.extensions_mut().insert(RequestId(id.clone()));
    let policy = policy_of(request.path());
    let concern = Concern::default();
    request.extensions_mut().insert(concern.clone());
    let watch = Watch::over(&request, span.clone(), concern);
    let mut response = match next.call(request).instrument(span).await {
        Ok(response) => response,
        Err(error) => {
            watch.finish_with_error(error.as_response_error().status_code());
            return Err(error);
        }
    };
    watch.finish_with(&response);
    let headers = response.headers_mut();
    if let Ok(value) = HeaderValue::from_str(&id) {
        headers.insert(HeaderName::from_static("x-request-id"), value);
    }
    set_security_headers(headers, policy);
    Ok(response)
}

/// Follows a request to its answer, or until its caller leaves.
struct Watch {
    started: Instant,
    span: Span,
    method: Method,
    route: String,
    concern: Concern,
    answered: bool,
    _in_flight: metrics::InFlight,
}

/// What is written down for a request whose caller left before there was an answer.
const CALLER_LEFT: u16 = 499;

impl Watch {
    fn over(request: &ServiceRequest, span: Span, concern: Concern) -> Self {
        Self {
            started: Instant::now(),
            span,
            method: request.method().clone(),
            route: request.match_pattern().unwrap_or_else(|| "unmatched".to_owned()),
            concern,
            answered: false,
            _in_flight: metrics::request_in_flight(),
        }
    }

    fn finish_with<B>(mut self, response: &ServiceResponse<B>) {
        self.answered = true;
        let code = response.response().extensions().get::<Code>().copied();
        let cache = response.headers().get("cache-status").and_then(|status| status.to_str().ok());
        self.report(response.status(), code, cache);
    }

    fn finish_with_error(mut self, status: StatusCode) {
        self.answered = true;
        self.report(status, None, None);
    }

    fn report(&self, status: StatusCode, code: Option<Code>, cache: Option<&str>) {
        let time = self.started.elapsed();
        metrics::request(self.method.as_str(), &self.route, status.as_str(), time);
        let (organisation, connection) = &*self.concern.0;
        let _inside = self.span.enter();
        tracing::info!(
            http.method = metrics::known_method(self.method.as_str()),
            http.route = self.route,
            http.status = status.as_u16(),
            organisation = organisation.get().map(OrgId::as_str),
            connection = connection.get().map(tracing::field::display),
            problem.code = code.map(Code::slug),
            cache,
            duration_ms = millis(time),
            "request"
        );
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        if !self.answered {
            self.report(StatusCode::from_u16(CALLER_LEFT).unwrap_or_default(), None, None);
        }
    }
}

/// An id of our own, in the order of time. It is no secret, so it asks the system for no random numbers.
fn new_id() -> String {
    let millis = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    let random = fastrand::u128(..).to_be_bytes();
    let (_, random) = random.split_at(6);
    let random = random.first_chunk().copied().unwrap_or_default();
    uuid::Builder::from_unix_timestamp_millis(u64::try_from(millis).unwrap_or_default(), &random)
        .into_uuid()
        .to_string()
}

/// An id from the caller: 1 to 128 visible ASCII characters without quotes, so that no log line can be forged.
fn accepted_id(request: &ServiceRequest) -> Option<String> {
    let text = request.headers().get("x-request-id")?.to_str().ok()?;
    let safe =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b':' | b'/' | b'+' | b'=');
    ((1..=128).contains(&text.len()) && text.bytes().all(safe)).then(|| text.to_owned())
}

/// The caller's trace, if it sends exactly one.
fn accepted_trace(request: &ServiceRequest) -> Option<Trace> {
    let mut sent = request.headers().get_all("traceparent");
    let (only, None) = (sent.next()?, sent.next()) else { return None };
    Trace::resume(only.to_str().ok()?)
}

/// What a page may load and run, by its path.
fn policy_of(path: &str) -> &'static str {
    if path.starts_with(CONSOLE) {
        // Nothing is written into the page as code or markup, and only this service is asked for anything.
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; base-uri 'none'; \
         form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    } else if path.starts_with("/swagger-ui") {
        // Swagger UI styles itself inline and draws its icons from data URLs; everything comes from here.
        "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'; base-uri 'none'"
    } else {
        "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
    }
}

fn set_security_headers(headers: &mut header::HeaderMap, policy: &'static str) {
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, policy),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// That the request came as HEAD; its handler is the one of GET.
#[derive(Debug, Clone, Copy)]
struct Head;

/// Whether only the headers of the answer are wanted.
pub(super) fn is_head(request: &HttpRequest) -> bool {
    request.extensions().get::<Head>().is_some()
}

/// Answers HEAD wherever there is GET: the same headers, and a body that is never read.
pub(super) async fn answer_head<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, Unsent>>, Error> {
    if request.method() != Method::HEAD {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    request.extensions_mut().insert(Head);
    request.head_mut().method = Method::GET;
    let response = next.call(request).await?;
    Ok(response.map_body(|_, body| EitherBody::right(Unsent(body.size()))))
}

/// A body of a known size that stays away.
pub(super) struct Unsent(BodySize);

impl MessageBody for Unsent {
    type Error = Infallible;

    fn size(&self) -> BodySize {
        self.0
    }

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Bytes, Infallible>>> {
        Poll::Ready(None)
    }
}

/// What a problem keeps of the response it came in: the methods that there are, and who may read it.
const KEPT: [HeaderName; 4] =
    [header::ALLOW, header::VARY, header::ACCESS_CONTROL_ALLOW_ORIGIN, header::ACCESS_CONTROL_EXPOSE_HEADERS];

/// Writes every problem in the one form, those that actix itself has answered too.
pub(super) async fn write_problems<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B, BoxBody>>, Error> {
    let response = next.call(request).await?;
    let carried = response.response().extensions().get::<Problem>().cloned();
    let problem = match carried {
        Some(problem) => problem,
        None if is_bare_error(&response) => bare(response.status()),
        None => return Ok(response.map_into_left_body()),
    };
    let id = request_id(response.request());
    if let Some(cause) = &problem.cause {
        // Its `Debug`, here and elsewhere: foreign words are escaped, so that none can pass for a line of its own.
        tracing::error!(problem.code = problem.code.slug(), cause = ?cause, "request failed");
    }
    let instance = response.request().path().to_owned();
    let body = problem.body(&instance, &id);
    let mut written = HttpResponse::build(response.status());
    written.content_type("application/problem+json");
    for name in KEPT {
        if let Some(value) = response.headers().get(&name) {
            written.insert_header((name, value.clone()));
        }
    }
    // Actix answers for a few addresses itself, and does not know of HEAD.
    if response.headers().get(header::ALLOW).is_some_and(|allow| allow == "GET") {
        written.insert_header((header::ALLOW, "GET, HEAD"));
    }
    if problem.code == Code::Unauthorized {
        written.insert_header((header::WWW_AUTHENTICATE, CHALLENGE));
    }
    if let Some(wait) = problem.retry_after {
        let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
        written.insert_header((header::RETRY_AFTER, seconds.to_string()));
        if problem.code == Code::RateLimited {
            let limit = problem.members.get("limit").and_then(serde_json::Value::as_u64).unwrap_or_default();
            let of = problem.members.get("limited_by").and_then(serde_json::Value::as_str).unwrap_or("organisation");
            written.insert_header(("ratelimit-policy", format!("\"{of}\";q={limit}")));
            written.insert_header(("ratelimit", format!("\"{of}\";r=0;t={seconds}")));
        }
    }
    let mut written = match serde_json::to_vec(&body) {
        Ok(bytes) => written.body(bytes),
        Err(_) => written.finish(),
    };
    written.extensions_mut().insert(problem.code);
    Ok(response.into_response(written).map_into_right_body())
}

/// An error that nobody here has answered: actix has, in plain text or with nothing at all.
fn is_bare_error<B>(response: &ServiceResponse<B>) -> bool {
    let status = response.status();
    let is_html =
        response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"text/html"));
    (status.is_client_error() || status.is_server_error()) && !is_html && !is_json(response)
}

fn is_json<B>(response: &ServiceResponse<B>) -> bool {
    response.headers().get(header::CONTENT_TYPE).is_some_and(|kind| kind.as_bytes().starts_with(b"application/json"))
}

pub(super) fn bare(status: StatusCode) -> Problem {
    match status {
        StatusCode::NOT_FOUND => Problem::new(Code::NotFound, "There is nothing at this address."),
        StatusCode::METHOD_NOT_ALLOWED => {
            Problem::new(Code::MethodNotAllowed, "This address does not know the method.")
        }
        StatusCode::PAYLOAD_TOO_LARGE => Problem::new(Code::PayloadTooLarge, "The body is larger than 64 KiB."),
        StatusCode::UNSUPPORTED_MEDIA_TYPE => {
            Problem::new(Code::UnsupportedMediaType, "The body is not announced as JSON.")
        }
        status if status.is_client_error() => Problem::new(Code::MalformedRequest, "The request cannot be read."),
        status => Problem::internal(format!("answered {status} without a problem")),
    }
}
