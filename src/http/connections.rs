//! Connections: add, list, show, change, delete and verify.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};

use super::edge::{ApiError, note_connection};
use super::extract::{
    Caller, JsonBody, OneConnection, ReadConnections, WriteConnections, idempotency_key, if_match, text_header,
};
use super::listing;
use super::negotiation::{Accepts, JsonOnly};
use super::params::{IfChanged, IfUnchanged, ListOfConnections, NamedPlan, Paging, Repetition, Saving};
use super::query::{NoParameters, Parameters, Query};
use super::state::State;
use super::tags;
use super::types::{ConnectionCreate, ConnectionPage, ConnectionPatch, ConnectionTry};
use crate::connections::create::VerifyMode;
use crate::connections::if_match::VersionTag;
use crate::connections::{ConnectionView, Usage};
use crate::input::InputCode;
use crate::platforms::verification::Verification;
use crate::problem::{Code, Problem};

type Answered = Result<HttpResponse, ApiError>;

/// Show how much of the plan is used.
///
/// Ask before offering to add a connection: `remaining` says how many the plan still allows. Demo connections never count.
#[utoipa::path(tag = "Connections", operation_id = "show_usage",
    security(("bearer" = ["connections:read"])), params(NamedPlan),
    responses((status = 200, description = "The usage", body = Usage)))]
#[get("/usage")]
pub(super) async fn usage(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    _: NoParameters,
) -> Answered {
    Ok(accepts.ok(&state.connections.usage(&caller.actor).await?))
}

/// Add a connection; it is verified first.
///
/// The credentials are tried at the tracker before anything is saved, and a refusal names its cause: `verification`
/// holds the stages, whose turn it is, and the next step. With `verify=deferred` the connection is saved at once as
/// `unverified` and verified in the background; read it again until its `status` changes.
///
/// Send an `Idempotency-Key` to repeat a request safely: after a timeout the same key and body create nothing twice.
///
/// ```text
/// POST /api/v1/connections?verify=deferred
/// Idempotency-Key: add-brand-a-1
///
/// {"name": "Demo network", "platform": "demo", "connection_type": "admin"}
/// ```
#[utoipa::path(tag = "Connections", operation_id = "create_connection",
    security(("bearer" = ["connections:write"])), params(Saving, Repetition, NamedPlan),
    request_body = ConnectionCreate,
    extensions(("x-problems" = json!([
        Code::ConnectionLimitReached, Code::NameTaken, Code::RequestInProgress, Code::VerificationFailed,
        Code::VerificationInconclusive, Code::IdempotencyKeyReused, Code::PlatformUnavailable,
    ]))),
    responses(
        (status = 201, description = "Created", body = ConnectionView, headers(
            ("Location" = String, description = "The connection's address"),
            ("ETag" = String, description = "The connection's version and state"),
            ("Idempotency-Replayed" = Option<String>, description = "`true` if an earlier request had created it"),
        )),
    ))]
#[post("/connections")]
pub(super) async fn create(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    query: Query,
    request: HttpRequest,
    body: JsonBody,
) -> Answered {
    let mode = verify_mode(&query)?;
    let key = idempotency_key(request.headers())?;
    let created = state.connections.create(&caller.actor, &body.0, mode, key).await?;
    note_connection(&request, created.connection.id);
    let mut response = HttpResponse::Created();
    response
        .insert_header((header::LOCATION, format!("/api/v1/connections/{}", created.connection.id)))
        .insert_header((header::ETAG, etag(&created.connection)));
    if created.replayed {
        response.insert_header(("idempotency-replayed", "true"));
    }
    Ok(accepts.write(response, &created.connection))
}

fn verify_mode(query: &Query) -> Result<VerifyMode, Problem> {
    let mut parameters = Parameters::of(&query.0, &["verify"], &[]);
    let mode = parameters.read("verify", |mode| match mode {
        "required" => Ok(VerifyMode::Required),
        "deferred" => Ok(VerifyMode::Deferred),
        _ => Err((InputCode::UnknownValue, "The parameter is required or deferred.".to_owned())),
    });
    parameters.finish(Some(mode.unwrap_or(VerifyMode::Required)))
}

/// Verify credentials without saving anything.
///
/// For the button "Test connection" of a form: the body is that of a create call, without `name` if there is none yet. The
/// answer is 200 with the verification whatever its outcome; 422 only says that the body itself is wrong.
#[utoipa::path(tag = "Connections", operation_id = "try_connection",
    security(("bearer" = ["connections:write"])), request_body = ConnectionTry,
    extensions(("x-problems" = json!([Code::PlatformUnavailable]))),
    responses((status = 200, description = "The verification, whatever its outcome", body = Verification)))]
#[post("/connections/verify")]
pub(super) async fn verify_draft(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    _: NoParameters,
    body: JsonBody,
) -> Answered {
    Ok(accepts.ok(&state.connections.verify_draft(&caller.actor, &body.0).await?))
}

/// List the organisation's connections.
///
/// `next_cursor` of one page is `cursor` of the next; `null` is the end. For example `?status=failing&sort=name` lists what
/// needs somebody's attention.
#[utoipa::path(tag = "Connections", operation_id = "list_connections",
    security(("bearer" = ["connections:read"])), params(Paging, ListOfConnections),
    responses((status = 200, description = "A page", body = ConnectionPage)))]
#[get("/connections")]
pub(super) async fn list(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    query: Query,
) -> Answered {
    let (wanted, cursor) = listing::connections(&query)?;
    Ok(accepts.written(state.connections.list(&caller.actor.organisation, wanted, cursor.as_deref()).await?))
}

/// Show a connection.
///
/// Secrets are never shown, only a hint of each. `health` says why a connection is failing, and what keeps it from being
/// checked. The `ETag` is the connection's version and state: send it as `If-Match` with the change that is made of what
/// was read (a pull or a check in between spoils no change), and as `If-None-Match` to ask whether anything is new.
#[utoipa::path(tag = "Connections", operation_id = "show_connection",
    security(("bearer" = ["connections:read"])), params(OneConnection, IfChanged),
    extensions(("x-problems" = json!([Code::NotFound, Code::ConnectionDeleted]))),
    responses(
        (status = 200, description = "The connection", body = ConnectionView, headers(
            ("ETag" = String, description = "The connection's version and state"),
        )),
        (status = 304, description = "Nothing is new since the ETag sent", headers(
            ("ETag" = String, description = "The connection's version and state"),
        )),
    ))]
#[get("/connections/{id}")]
pub(super) async fn show(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    at: web::Path<OneConnection>,
    _: NoParameters,
    request: HttpRequest,
) -> Answered {
    let connection = state.connections.get(&caller.actor.organisation, at.id()?).await?;
    let tag = etag(&connection);
    if text_header(request.headers(), "if-none-match")?.is_some_and(|sent| tags::matches(sent, &tag)) {
        return Ok(HttpResponse::NotModified().insert_header((header::ETAG, tag)).finish());
    }
    Ok(show_version(accepts, &connection))
}

/// Change a connection's name, settings or secrets; changed settings and secrets are verified first.
///
/// The body is a JSON merge patch (RFC 7396): it holds only what changes, and `null` takes a field away. If the tracker
/// refuses what is new, the old settings and secrets stay in force. A change that moves the connection to another host
/// needs all secrets again.
///
/// With `If-Match` the change is made only to the version that was read; 412 says that somebody changed it meanwhile.
///
/// ```text
/// PATCH /api/v1/connections/01990000-0000-7000-8000-000000000000
/// Content-Type: application/merge-patch+json
/// If-Match: "1"
///
/// {"name": "Brand A (new)", "credentials": {"api_key": "0123456789abcdef0123456789abcdef"}}
/// ```
#[utoipa::path(tag = "Connections", operation_id = "update_connection",
    security(("bearer" = ["connections:write"])), params(OneConnection, IfUnchanged),
    request_body(content((ConnectionPatch = "application/merge-patch+json"), (ConnectionPatch = "application/json"))),
    extensions(("x-problems" = json!([
        Code::NotFound, Code::NameTaken, Code::ConnectionDeleted, Code::VersionConflict, Code::SecretRequired,
        Code::VerificationFailed, Code::VerificationInconclusive, Code::CredentialsUnreadable,
    ]))),
    responses((status = 200, description = "The changed connection", body = ConnectionView, headers(
        ("ETag" = String, description = "The connection's version and state"),
    ))))]
#[patch("/connections/{id}")]
pub(super) async fn update(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    at: web::Path<OneConnection>,
    _: NoParameters,
    request: HttpRequest,
    body: JsonBody,
) -> Answered {
    let condition = if_match(request.headers())?;
    let connection = state.connections.update(&caller.actor, at.id()?, &body.0, condition.as_ref()).await?;
    Ok(show_version(accepts, &connection))
}

/// Delete a connection; its stored secrets are destroyed at once.
///
/// A second delete is 204 as well. Any other call on the id is 410 from now on, so that an automation that still uses it
/// fails with the cause. `If-Match: "1"` deletes only the version that was read.
#[utoipa::path(tag = "Connections", operation_id = "delete_connection",
    security(("bearer" = ["connections:write"])), params(OneConnection, IfUnchanged),
    extensions(("x-problems" = json!([Code::NotFound, Code::VersionConflict]))),
    responses((status = 204, description = "Deleted, now or before")))]
#[delete("/connections/{id}")]
pub(super) async fn delete(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    at: web::Path<OneConnection>,
    _: NoParameters,
    request: HttpRequest,
) -> Answered {
    let condition = if_match(request.headers())?;
    state.connections.delete(&caller.actor, at.id()?, condition).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Verify a connection again, now.
///
/// Tries the stored credentials at the tracker and keeps the outcome: a refusal turns the connection `failing`, a success
/// `active`, and an outage changes nothing. The answer is 200 whatever the outcome.
#[utoipa::path(tag = "Connections", operation_id = "verify_connection",
    security(("bearer" = ["connections:write"])), params(OneConnection),
    extensions(("x-problems" = json!([Code::NotFound, Code::ConnectionDeleted]))),
    responses((status = 200, description = "The verification, whatever its outcome", body = Verification)))]
#[post("/connections/{id}/verify")]
pub(super) async fn verify(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    at: web::Path<OneConnection>,
    _: NoParameters,
) -> Answered {
    Ok(accepts.ok(&state.connections.verify(&caller.actor, at.id()?).await?))
}

fn show_version(accepts: Accepts<JsonOnly>, connection: &ConnectionView) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::ETAG, etag(connection)));
    accepts.write(response, connection)
}

fn etag(connection: &ConnectionView) -> String {
    format!("\"{}\"", VersionTag::of(connection))
}
