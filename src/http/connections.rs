//! Connections: add, list, show, change, delete, verify, and what happened to them.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use serde::Serialize;
use uuid::Uuid;

use super::edge::ApiError;
use super::extract::{
    Caller, JsonBody, OneConnection, Query, ReadConnections, WriteConnections, idempotency_key, if_match, page_limit,
};
use super::negotiation::{Media, choose};
use super::params::{AboutConnection, IfUnchanged, ListOfConnections, NamedPlan, Paging, Repetition};
use super::state::State;
use super::types::{
    AuditEventPage, AutomationPage, ConnectionCreate, ConnectionPage, ConnectionPatch, ConnectionTry, VerificationPage,
};
use crate::connections::create::VerifyMode;
use crate::connections::draft::MAX_NAME;
use crate::connections::lists::read_sort;
use crate::connections::store::{ListQuery, SortColumn};
use crate::connections::{ConnectionView, Status, Usage};
use crate::platforms::verification::Verification;
use crate::platforms::{ConnectionType, Platform};
use crate::problem::{Code, FieldProblem, Problem};

type Answered = Result<HttpResponse, ApiError>;

/// Show how much of the plan is used.
#[utoipa::path(tag = "Connections", operation_id = "show_usage",
    security(("bearer" = ["connections:read"])), params(NamedPlan),
    responses((status = 200, description = "The usage", body = Usage)))]
#[get("/usage")]
pub(super) async fn usage(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    query: Query,
    request: HttpRequest,
) -> Answered {
    query.only([])?;
    json(&request, &state.connections.usage(&caller.actor).await?)
}

/// Add a connection; it is verified first.
#[utoipa::path(tag = "Connections", operation_id = "create_connection",
    security(("bearer" = ["connections:write"])),
    params(
        ("verify" = Option<VerifyMode>, Query, description = "`required` (unasked) verifies before saving; `deferred` saves at once and verifies in the background", example = "required"),
        Repetition, NamedPlan,
    ),
    request_body = ConnectionCreate,
    extensions(("x-problems" = json!([
        Code::ConnectionLimitReached, Code::NameTaken, Code::RequestInProgress, Code::VerificationFailed,
        Code::VerificationInconclusive, Code::IdempotencyKeyReused, Code::PlatformUnavailable,
    ]))),
    responses(
        (status = 201, description = "Created", body = ConnectionView, headers(
            ("Location" = String, description = "The connection's address"),
            ("ETag" = String, description = "The connection's version"),
            ("Idempotency-Replayed" = Option<String>, description = "`true` if an earlier request had created it"),
        )),
    ))]
#[post("/connections")]
pub(super) async fn create(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    query: Query,
    request: HttpRequest,
    body: JsonBody,
) -> Answered {
    choose(request.headers(), &[Media::Json])?;
    let mode = match query.only(["verify"])? {
        [None | Some("required")] => VerifyMode::Required,
        [Some("deferred")] => VerifyMode::Deferred,
        [Some(_)] => {
            let detail = "The parameter is required or deferred.";
            return Err(Problem::validation(vec![FieldProblem::new("/verify", "unknown_value", detail)]).into());
        }
    };
    let key = idempotency_key(request.headers())?;
    let created = state.connections.create(&caller.actor, &body.0, mode, key).await?;
    let mut response = HttpResponse::Created();
    response
        .insert_header((header::LOCATION, format!("/api/v1/connections/{}", created.connection.id)))
        .insert_header((header::ETAG, etag(created.connection.version)));
    if created.replayed {
        response.insert_header(("idempotency-replayed", "true"));
    }
    Ok(response.json(created.connection))
}

/// Verify credentials without saving anything.
#[utoipa::path(tag = "Connections", operation_id = "try_connection",
    security(("bearer" = ["connections:write"])), request_body = ConnectionTry,
    extensions(("x-problems" = json!([Code::PlatformUnavailable]))),
    responses((status = 200, description = "The verification, whatever its outcome", body = Verification)))]
#[post("/connections/verify")]
pub(super) async fn verify_draft(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    query: Query,
    request: HttpRequest,
    body: JsonBody,
) -> Answered {
    query.only([])?;
    choose(request.headers(), &[Media::Json])?;
    json(&request, &state.connections.verify_draft(&caller.actor, &body.0).await?)
}

/// List the organisation's connections.
#[utoipa::path(tag = "Connections", operation_id = "list_connections",
    security(("bearer" = ["connections:read"])), params(Paging, ListOfConnections),
    responses((status = 200, description = "A page", body = ConnectionPage)))]
#[get("/connections")]
pub(super) async fn list(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    query: Query,
    request: HttpRequest,
) -> Answered {
    let (wanted, cursor) = read_list(&query)?;
    json(&request, &state.connections.list(&caller.actor.organisation, wanted, cursor).await?)
}

fn read_list(query: &Query) -> Result<(ListQuery, Option<&str>), Problem> {
    let [limit, cursor, platform, connection_type, status, name, sort] =
        query.only(["limit", "cursor", "platform", "connection_type", "status", "q", "sort"])?;
    let mut errors = Vec::new();
    let limit = page_limit(limit).unwrap_or_else(|error| {
        errors.push(error);
        1
    });
    let mut unknown = |parameter: &str, known: String| {
        errors.push(FieldProblem::new(format!("/{parameter}"), "unknown_value", format!("Known values are {known}.")));
    };
    let platform = platform.and_then(|key| {
        let found = key.parse::<Platform>().ok();
        if found.is_none() {
            unknown("platform", Platform::ALL.map(Platform::key).join(", "));
        }
        found
    });
    let connection_type = connection_type.and_then(|key| {
        let found = key.parse::<ConnectionType>().ok();
        if found.is_none() {
            unknown("connection_type", ConnectionType::ALL.map(ConnectionType::key).join(", "));
        }
        found
    });
    let status = status.and_then(|key| {
        let found = Status::find(key);
        if found.is_none() {
            unknown("status", Status::ALL.map(Status::key).join(", "));
        }
        found
    });
    let (sort, descending) = match sort.map(read_sort) {
        None => (SortColumn::CreatedAt, true),
        Some(Ok(sort)) => sort,
        Some(Err(error)) => {
            errors.push(error);
            (SortColumn::CreatedAt, true)
        }
    };
    if let Some(wrong) = name.and_then(impossible_part) {
        errors.push(wrong);
    }
    if !errors.is_empty() {
        return Err(Problem::validation(errors));
    }
    let wanted = ListQuery {
        platform,
        connection_type,
        status,
        name_contains: name.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned),
        sort,
        descending,
        after: None,
        limit,
    };
    Ok((wanted, cursor))
}

/// What is wrong with a `q` that no name can contain.
fn impossible_part(part: &str) -> Option<FieldProblem> {
    let (code, detail) = if part.chars().count() > MAX_NAME {
        ("too_long", format!("No name has more than {MAX_NAME} characters."))
    } else if part.chars().any(char::is_control) {
        ("invalid_characters", "No name contains control characters.".to_owned())
    } else {
        return None;
    };
    Some(FieldProblem::new("/q", code, detail))
}

/// Show a connection.
#[utoipa::path(tag = "Connections", operation_id = "show_connection",
    security(("bearer" = ["connections:read"])), params(OneConnection),
    extensions(("x-problems" = json!([Code::NotFound, Code::ConnectionDeleted]))),
    responses((status = 200, description = "The connection", body = ConnectionView, headers(
        ("ETag" = String, description = "The connection's version"),
    ))))]
#[get("/connections/{id}")]
pub(super) async fn show(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    at: web::Path<OneConnection>,
    query: Query,
    request: HttpRequest,
) -> Answered {
    query.only([])?;
    let connection = state.connections.get(&caller.actor.organisation, at.id()?).await?;
    choose(request.headers(), &[Media::Json])?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(connection.version))).json(connection))
}

/// Change a connection's name, settings or secrets; changed settings and secrets are verified first.
#[utoipa::path(tag = "Connections", operation_id = "update_connection",
    security(("bearer" = ["connections:write"])), params(OneConnection, IfUnchanged),
    request_body(content((ConnectionPatch = "application/merge-patch+json"), (ConnectionPatch = "application/json"))),
    extensions(("x-problems" = json!([
        Code::NotFound, Code::NameTaken, Code::ConnectionDeleted, Code::VersionConflict, Code::SecretRequired,
        Code::VerificationFailed, Code::VerificationInconclusive, Code::CredentialsUnreadable,
    ]))),
    responses((status = 200, description = "The changed connection", body = ConnectionView, headers(
        ("ETag" = String, description = "The connection's version"),
    ))))]
#[patch("/connections/{id}")]
pub(super) async fn update(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    at: web::Path<OneConnection>,
    query: Query,
    request: HttpRequest,
    body: JsonBody,
) -> Answered {
    query.only([])?;
    choose(request.headers(), &[Media::Json])?;
    let condition = if_match(request.headers())?;
    let connection = state.connections.update(&caller.actor, at.id()?, &body.0, condition.as_ref()).await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(connection.version))).json(connection))
}

/// Delete a connection; its stored secrets are destroyed at once.
#[utoipa::path(tag = "Connections", operation_id = "delete_connection",
    security(("bearer" = ["connections:write"])), params(OneConnection, IfUnchanged),
    extensions(("x-problems" = json!([Code::NotFound, Code::VersionConflict]))),
    responses((status = 204, description = "Deleted, now or before")))]
#[delete("/connections/{id}")]
pub(super) async fn delete(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    at: web::Path<OneConnection>,
    query: Query,
    request: HttpRequest,
) -> Answered {
    query.only([])?;
    let condition = if_match(request.headers())?;
    state.connections.delete(&caller.actor, at.id()?, condition).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Verify a connection again, now.
#[utoipa::path(tag = "Connections", operation_id = "verify_connection",
    security(("bearer" = ["connections:write"])), params(OneConnection),
    extensions(("x-problems" = json!([Code::NotFound, Code::ConnectionDeleted]))),
    responses((status = 200, description = "The verification, whatever its outcome", body = Verification)))]
#[post("/connections/{id}/verify")]
pub(super) async fn verify(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    at: web::Path<OneConnection>,
    query: Query,
    request: HttpRequest,
) -> Answered {
    query.only([])?;
    choose(request.headers(), &[Media::Json])?;
    json(&request, &state.connections.verify(&caller.actor, at.id()?).await?)
}

/// List a connection's verifications, newest first.
#[utoipa::path(tag = "History", operation_id = "list_verifications",
    security(("bearer" = ["connections:read"])), params(OneConnection, Paging),
    extensions(("x-problems" = json!([Code::NotFound, Code::ConnectionDeleted]))),
    responses((status = 200, description = "A page", body = VerificationPage)))]
#[get("/connections/{id}/verifications")]
pub(super) async fn verifications(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    at: web::Path<OneConnection>,
    query: Query,
    request: HttpRequest,
) -> Answered {
    let (limit, cursor) = query.page()?;
    let organisation = &caller.actor.organisation;
    json(&request, &state.connections.verifications(organisation, at.id()?, limit, cursor).await?)
}

/// List the automations that pulled statistics through a connection.
#[utoipa::path(tag = "History", operation_id = "list_automations",
    security(("bearer" = ["connections:read"])), params(OneConnection, Paging),
    extensions(("x-problems" = json!([Code::NotFound, Code::ConnectionDeleted]))),
    responses((status = 200, description = "A page", body = AutomationPage)))]
#[get("/connections/{id}/automations")]
pub(super) async fn automations(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    at: web::Path<OneConnection>,
    query: Query,
    request: HttpRequest,
) -> Answered {
    let (limit, cursor) = query.page()?;
    let organisation = &caller.actor.organisation;
    json(&request, &state.connections.automations(organisation, at.id()?, limit, cursor).await?)
}

/// List who did what with the organisation's connections, newest first.
#[utoipa::path(tag = "History", operation_id = "list_audit_events",
    security(("bearer" = ["connections:read"])), params(Paging, AboutConnection),
    responses((status = 200, description = "A page", body = AuditEventPage)))]
#[get("/audit-events")]
pub(super) async fn audit_events(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    query: Query,
    request: HttpRequest,
) -> Answered {
    let [limit, cursor, connection] = query.only(["limit", "cursor", "connection_id"])?;
    let mut errors = Vec::new();
    let limit = page_limit(limit).unwrap_or_else(|error| {
        errors.push(error);
        1
    });
    let connection = connection.map(str::parse::<Uuid>).transpose().unwrap_or_else(|_| {
        errors.push(FieldProblem::new("/connection_id", "format", "This is not a connection's id."));
        None
    });
    if !errors.is_empty() {
        return Err(Problem::validation(errors).into());
    }
    json(&request, &state.connections.audit_events(&caller.actor.organisation, connection, limit, cursor).await?)
}

fn etag(version: i64) -> String {
    format!("\"{version}\"")
}

fn json(request: &HttpRequest, body: &impl Serialize) -> Answered {
    choose(request.headers(), &[Media::Json])?;
    Ok(HttpResponse::Ok().json(body))
}
