//! What handlers take from a request. A handler gets at data only through a [`Caller`] of the right scope, so no
//! check can be forgotten.

use std::borrow::Cow;
use std::marker::PhantomData;
use std::time::Duration;

use actix_web::dev::Payload;
use actix_web::http::header::{self, HeaderMap, HeaderValue};
use actix_web::{FromRequest, HttpMessage, HttpRequest, web};
use futures_util::future::LocalBoxFuture;
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::edge::{ApiError, note_connection, note_organisation, request_id};
use super::state::State;
use super::tags;
use super::{admission, json};
use crate::auth::{AuthError, Scope, Token};
use crate::connections::Actor;
use crate::connections::if_match::IfMatch;
use crate::connections::wiped::Wiped;
use crate::problem::{Code, Problem};
use crate::shares::Owner;
use crate::tenancy::{OrgId, Plan};

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// What a token must carry for a call.
pub(super) trait Needs: 'static {
    /// The scope.
    const SCOPE: Scope;
}

/// `connections:read`.
pub(super) struct ReadConnections;
/// `connections:write`.
pub(super) struct WriteConnections;
/// `stats:read`.
pub(super) struct ReadStats;

impl Needs for ReadConnections {
    const SCOPE: Scope = Scope::ConnectionsRead;
}
impl Needs for WriteConnections {
    const SCOPE: Scope = Scope::ConnectionsWrite;
}
impl Needs for ReadStats {
    const SCOPE: Scope = Scope::StatsRead;
}

/// Anyone with a valid token, for what belongs to no organisation. A service need not name one.
pub(super) struct Holder;

impl FromRequest for Holder {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (state, token) = admitted(&request).await?;
            if token.organisation.is_some() || organisation_header(request.headers())?.is_some() {
                let (organisation, _) = whose(&token, request.headers())?;
                note_organisation(&request, &organisation);
                keep_to_the_limit(state, &organisation).await?;
            } else {
                plan_header(request.headers())?;
            }
            Ok(Self)
        })
    }
}

/// The caller, with the scope that the call needs.
pub(super) struct Caller<N> {
    /// For which organisation, and as whom.
    pub(super) actor: Actor,
    scope: PhantomData<N>,
}

impl<N: Needs> FromRequest for Caller<N> {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let request = request.clone();
        Box::pin(async move {
            let (state, token) = admitted(&request).await?;
            let (organisation, plan) = whose(&token, request.headers())?;
            note_organisation(&request, &organisation);
            if let Some(id) = connection_in_path(&request) {
                note_connection(&request, id);
            }
            keep_to_the_limit(state, &organisation).await?;
            if !token.scopes.has(N::SCOPE) {
                return Err(out_of_scope(N::SCOPE).into());
            }
            let party = admission::join(&state.places, Owner::of(organisation.as_str())).await?;
            request.extensions_mut().insert(party);
            let actor = Actor {
                organisation,
                plan,
                subject: token.subject.clone(),
                via_service: token.organisation.is_none(),
                address: state
                    .proxies
                    .caller(request.peer_addr(), request.headers())
                    .map(|address| address.to_string()),
                request_id: request_id(&request),
            };
            Ok(Self { actor, scope: PhantomData })
        })
    }
}

/// The connection that an address names, if there could be one of this id.
fn connection_in_path(request: &HttpRequest) -> Option<Uuid> {
    let is_of_connection = request.path().starts_with("/api/v1/connections/");
    request.match_info().get("id").filter(|_| is_of_connection)?.parse().ok()
}

/// The service, and the valid token that a request must carry.
async fn admitted(request: &HttpRequest) -> Result<(&web::Data<State>, Token), Problem> {
    let state =
        request.app_data::<web::Data<State>>().ok_or_else(|| Problem::internal("the application has no state"))?;
    let token = authenticate(state, request.headers()).await.map_err(|problem| hold_up(state, request, problem))?;
    Ok((state, token))
}

async fn keep_to_the_limit(state: &State, organisation: &OrgId) -> Result<(), Problem> {
    match &state.rate_limit {
        Some(limit) => limit.check(organisation, state.connections.shared()).await,
        None => Ok(()),
    }
}

async fn authenticate(state: &State, headers: &HeaderMap) -> Result<Token, Problem> {
    state.verifier.verify(bearer(headers)?).await.map_err(|error| match error {
        AuthError::KeysUnavailable => {
            Problem::new(Code::Overloaded, error.to_string()).retry_after(Duration::from_secs(5))
        }
        refused => Problem::new(Code::Unauthorized, refused.to_string()).hint(refused.hint()),
    })
}

/// The problem of a refused token or, where its sender has had too many of them, that.
fn hold_up(state: &State, request: &HttpRequest, problem: Problem) -> Problem {
    match (&state.auth_failures, state.proxies.caller(request.peer_addr(), request.headers())) {
        (Some(failures), Some(caller)) if problem.code == Code::Unauthorized => {
            failures.count(caller).err().unwrap_or(problem)
        }
        _ => problem,
    }
}

/// What anyone does who has no token yet, or not in its place.
const GET_A_TOKEN: &str = "Get a token from the token issuer, and send it as `Authorization: Bearer <token>`.";

pub(super) fn no_token() -> Problem {
    Problem::new(Code::Unauthorized, "The request has no bearer token in its Authorization header.").hint(GET_A_TOKEN)
}

pub(super) fn out_of_scope(scope: Scope) -> Problem {
    Problem::new(Code::Forbidden, format!("The token does not carry the scope {}.", scope.key())).with("scope", scope)
}

/// Only the place is named: the text around it may hold a secret.
pub(super) fn unreadable_body(error: &serde_json::Error) -> Problem {
    let what = if error.is_data() { "names a field twice" } else { "is not valid JSON" };
    let place = format!("(line {}, column {})", error.line(), error.column());
    Problem::new(Code::MalformedRequest, format!("The body {what} {place}."))
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let mut all = headers.get_all(header::AUTHORIZATION);
    let text = match (all.next(), all.next()) {
        (Some(only), None) => only.to_str().unwrap_or_default(),
        (None, _) => return Err(no_token()),
        // A proxy in front may have looked at the other one.
        (Some(_), Some(_)) => {
            let detail = "The request has more than one Authorization header.";
            return Err(Problem::new(Code::Unauthorized, detail).hint("Send one Authorization header."));
        }
    };
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => {
            Err(Problem::new(Code::Unauthorized, "The Authorization header is not `Bearer` and a token.")
                .hint(GET_A_TOKEN))
        }
    }
}

/// Whose data the request is about: the token's own organisation, or the one an internal service names.
fn whose(token: &Token, headers: &HeaderMap) -> Result<(OrgId, Option<Plan>), Problem> {
    let named = organisation_header(headers)?;
    // A user's plan is what the token says; the header is still held to what it may be.
    let plan = plan_header(headers)?;
    match (&token.organisation, named) {
        (Some(own), None) => Ok((own.clone(), token.plan)),
        (Some(own), Some(named)) if *own == named => Ok((own.clone(), token.plan)),
        (Some(_), Some(_)) => {
            Err(Problem::new(Code::Forbidden, "The token belongs to another organisation than X-Org-Id names."))
        }
        (None, None) => {
            Err(Problem::new(Code::MalformedRequest, "A service's token must name the organisation in X-Org-Id."))
        }
        (None, Some(named)) => Ok((named, plan)),
    }
}

/// The organisation that `X-Org-Id` names: as UTF-8, or, for clients that send ASCII only, as RFC 8187 writes other
/// letters in a header (`UTF-8''%E7%B5%84`).
fn organisation_header(headers: &HeaderMap) -> Result<Option<OrgId>, Problem> {
    let Some(value) = only_header(headers, "x-org-id")? else { return Ok(None) };
    let sent = value.as_bytes().trim_ascii();
    let extended = sent.split_at_checked(ENCODED.len()).filter(|(start, _)| start.eq_ignore_ascii_case(ENCODED));
    let bytes = extended.map_or(Cow::Borrowed(sent), |(_, text)| percent_encoding::percent_decode(text).into());
    let organisation = std::str::from_utf8(&bytes).ok().and_then(|text| text.parse().ok());
    organisation.map(Some).ok_or_else(|| {
        Problem::new(Code::MalformedRequest, "X-Org-Id is not an organisation id.")
            .hint("Send 1 to 128 visible characters: in ASCII, in UTF-8, or percent-encoded after UTF-8''.")
    })
}

/// How RFC 8187 begins a text that is percent-encoded UTF-8.
const ENCODED: &[u8] = b"UTF-8''";

fn plan_header(headers: &HeaderMap) -> Result<Option<Plan>, Problem> {
    let Some(plan) = text_header(headers, "x-org-plan")? else { return Ok(None) };
    let known = || Plan::ALL.map(Plan::key).join(", ");
    let refuse = |_| Problem::new(Code::MalformedRequest, format!("X-Org-Plan must be one of {}.", known()));
    plan.trim().parse().map(Some).map_err(refuse)
}

/// A header that stands there once, so that everybody on the way reads the same.
fn only_header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>, Problem> {
    let mut all = headers.get_all(name);
    match (all.next(), all.next()) {
        (only, None) => Ok(only),
        (_, Some(_)) => {
            Err(Problem::new(Code::MalformedRequest, format!("The header {name} may stand there only once.")))
        }
    }
}

/// A header's text.
pub(super) fn text_header<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a str>, Problem> {
    let foreign =
        |_| Problem::new(Code::MalformedRequest, format!("The header {name} holds characters that are not ASCII."));
    only_header(headers, name)?.map(|value| value.to_str().map_err(foreign)).transpose()
}

/// A JSON body.
pub(super) struct JsonBody(pub(super) Wiped);

impl FromRequest for JsonBody {
    type Error = ApiError;
    type Future = LocalBoxFuture<'static, Result<Self, ApiError>>;

    fn from_request(request: &HttpRequest, payload: &mut Payload) -> Self::Future {
        let is_patch = request.method() == actix_web::http::Method::PATCH;
        let kind = request
            .headers()
            .get(header::CONTENT_TYPE)
            .and_then(|kind| kind.to_str().ok())
            .map(|kind| kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase());
        let accepted = match kind.as_deref() {
            Some("application/json") => true,
            Some("application/merge-patch+json") => is_patch,
            _ => false,
        };
        let bytes = web::Bytes::from_request(request, payload);
        Box::pin(async move {
            if !accepted {
                return Err(not_json().into());
            }
            let bytes = in_time(BODY_TIMEOUT, bytes).await?.map_err(|error| {
                if error.as_response_error().status_code() == actix_web::http::StatusCode::PAYLOAD_TOO_LARGE {
                    too_large()
                } else {
                    Problem::new(Code::MalformedRequest, "The body cannot be read.")
                }
            })?;
            Ok(Self(json::read(&bytes).map_err(|error| unreadable_body(&error))?))
        })
    }
}

pub(super) fn not_json() -> Problem {
    Problem::new(Code::UnsupportedMediaType, "The body is not announced as JSON.")
        .hint("Send the body with Content-Type: application/json.")
}

pub(super) fn too_large() -> Problem {
    Problem::new(Code::PayloadTooLarge, "The body is larger than 64 KiB.")
}

/// A caller that sends a body byte by byte is not waited for.
async fn in_time<T>(timeout: Duration, body: impl Future<Output = T>) -> Result<T, Problem> {
    let late = |_| Problem::new(Code::MalformedRequest, "The body did not arrive in time.");
    tokio::time::timeout(timeout, body).await.map_err(late)
}

/// The connection that a path names.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OneConnection {
    /// The connection
    #[param(value_type = Uuid, example = "01990000-0000-7000-8000-000000000000")]
    id: String,
}

impl OneConnection {
    /// Its id. What is no UUID can be no connection.
    pub(super) fn id(&self) -> Result<Uuid, Problem> {
        canonical(&self.id)
    }
}

/// A connection's id, only in its canonical spelling: one connection has one address.
pub(super) fn canonical(text: &str) -> Result<Uuid, Problem> {
    canonical_id(text).ok_or_else(Problem::no_connection)
}

/// An id in its canonical spelling.
pub(super) fn canonical_id(text: &str) -> Option<Uuid> {
    let is_canonical = |id: &Uuid| id.to_string() == text.to_ascii_lowercase();
    text.parse().ok().filter(is_canonical)
}

/// What an `If-Match` header allows. A weak tag counts as well: behind a proxy that compresses there is no other.
pub(super) fn if_match(headers: &HeaderMap) -> Result<Option<IfMatch>, Problem> {
    let Some(text) = text_header(headers, "if-match")? else { return Ok(None) };
    if text.trim() == "*" {
        return Ok(Some(IfMatch::Any));
    }
    Ok(Some(IfMatch::Versions(tags::read(text).filter_map(|tag| tag.parse().ok()).collect())))
}

/// An `Idempotency-Key`: 1 to 255 characters.
pub(super) fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(key) = text_header(headers, "idempotency-key")? else { return Ok(None) };
    if key.is_empty() || key.len() > 255 {
        return Err(Problem::new(Code::MalformedRequest, "An Idempotency-Key has 1 to 255 characters."));
    }
    Ok(Some(key.to_owned()))
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderName;

    use super::*;

    #[tokio::test]
    async fn a_body_that_never_ends_is_not_waited_for() {
        let late = in_time(Duration::from_millis(1), std::future::pending::<()>()).await.expect_err("no body");
        assert_eq!(late.code, Code::MalformedRequest);
        assert_eq!(in_time(Duration::ZERO, std::future::ready(7)).await.expect("a body"), 7);
    }

    fn organisation(value: &[u8]) -> Result<Option<OrgId>, Problem> {
        let mut headers = HeaderMap::new();
        headers.insert(HeaderName::from_static("x-org-id"), HeaderValue::from_bytes(value).expect("a header"));
        organisation_header(&headers)
    }

    #[test]
    fn an_organisation_is_named_in_utf_8_or_percent_encoded() {
        let named = |value: &[u8]| organisation(value).expect("an id").map(|id| id.as_str().to_owned());
        for value in ["組織".as_bytes(), " 組織 ".as_bytes(), b"UTF-8''%E7%B5%84%E7%B9%94"] {
            assert_eq!(named(value).as_deref(), Some("組織"));
        }
        assert_eq!(named(b"50%25").as_deref(), Some("50%25"), "nothing else is decoded");
        for bad in [&b""[..], b"\xff", b"UTF-8''", b"UTF-8''%FF", b"UTF-8''%E2%80%AE"] {
            assert!(organisation(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn only_a_version_as_it_is_written_is_one() {
        let versions = |text: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::IF_MATCH, HeaderValue::from_str(text).expect("a header"));
            match if_match(&headers) {
                Ok(Some(IfMatch::Versions(tags))) => tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
                _ => panic!("{text}"),
            }
        };
        assert_eq!(
            versions(r#""1", "+2", "03", " 4", "5 ", W/"6", 7, "8-gzip", "9.00000000000000ff-br", "+9.ff", "9.FF""#),
            ["1", "6", "8", "9.00000000000000ff"]
        );
    }
}
