//! Connections: add, list, show, change, delete, verify, and what happened to them.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use serde::Serialize;
use uuid::Uuid;

use super::State;
use super::edge::ApiError;
use super::extract::{
    Caller, JsonBody, Query, ReadConnections, WriteConnections, connection_id, idempotency_key, if_match, page_limit,
};
use super::negotiation::{Media, choose};
use super::types::{ConnectionCreate, ConnectionPatch, ConnectionTry};
use crate::connections::draft::MAX_NAME;
use crate::connections::service::{VerifyMode, read_sort};
use crate::connections::store::{ListQuery, SortColumn};
use crate::connections::{AuditEventView, AutomationView, ConnectionView, Page, Status, Usage};
use crate::platforms::verification::Verification;
use crate::platforms::{ConnectionType, Platform};
use crate::problem::{FieldProblem, Problem, ProblemBody};

type Answered = Result<HttpResponse, ApiError>;

/// Show how much of the plan is used.
#[utoipa::path(tag = "Connections", operation_id = "show_usage",
    params(("X-Org-Plan" = Option<String>, Header, description = "The organisation's plan, from internal services only")),
    responses(
        (status = 200, description = "The usage", body = Usage),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ))]
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
    params(
        ("verify" = Option<String>, Query, description = "`required` (default) verifies before saving; `deferred` saves at once and verifies in the background", example = "required"),
        ("Idempotency-Key" = Option<String>, Header, description = "Repeating a request with the same key and body within 24 hours creates nothing new"),
        ("X-Org-Plan" = Option<String>, Header, description = "The organisation's plan, from internal services only"),
    ),
    request_body = ConnectionCreate,
    responses(
        (status = 201, description = "Created", body = ConnectionView, headers(
            ("Location" = String, description = "The connection's address"),
            ("ETag" = String, description = "The connection's version"),
            ("Idempotency-Replayed" = Option<String>, description = "`true` if an earlier request had created it"),
        )),
        (status = "default", description = "A problem; `verification_failed` and `verification_inconclusive` carry the verification", body = ProblemBody, content_type = "application/problem+json"),
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
#[utoipa::path(tag = "Connections", operation_id = "try_connection", request_body = ConnectionTry,
    responses(
        (status = 200, description = "The verification, whatever its outcome", body = Verification),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ))]
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
    params(
        ("limit" = Option<u32>, Query, description = "Entries of one page, 1 to 100", minimum = 1, maximum = 100, example = 25),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("platform" = Option<Platform>, Query, description = "Only this platform", example = "demo"),
        ("connection_type" = Option<ConnectionType>, Query, description = "Only this type", example = "admin"),
        ("status" = Option<Status>, Query, description = "Only this health", example = "active"),
        ("q" = Option<String>, Query, description = "Only names that contain this", example = "brand"),
        ("sort" = Option<String>, Query, description = "`name`, `created_at` or `updated_at`, with a leading `-` for the reverse", example = "-created_at"),
    ),
    responses(
        (status = 200, description = "A page", body = Page<ConnectionView>),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ))]
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
    params(("id" = Uuid, Path, description = "The connection")),
    responses(
        (status = 200, description = "The connection", body = ConnectionView, headers(("ETag" = String, description = "The connection's version"))),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ))]
#[get("/connections/{id}")]
pub(super) async fn show(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    id: web::Path<String>,
    query: Query,
    request: HttpRequest,
) -> Answered {
    query.only([])?;
    let connection = state.connections.get(&caller.actor.organisation, connection_id(&id)?).await?;
    choose(request.headers(), &[Media::Json])?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(connection.version))).json(connection))
}

/// Change a connection's name, settings or secrets; changed settings and secrets are verified first.
#[utoipa::path(tag = "Connections", operation_id = "update_connection",
    params(
        ("id" = Uuid, Path, description = "The connection"),
        ("If-Match" = Option<String>, Header, description = "The ETag the change was made for", example = "\"1\""),
    ),
    request_body(content((ConnectionPatch = "application/merge-patch+json"), (ConnectionPatch = "application/json"))),
    responses(
        (status = 200, description = "The changed connection", body = ConnectionView, headers(("ETag" = String, description = "The connection's version"))),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ))]
#[patch("/connections/{id}")]
pub(super) async fn update(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    id: web::Path<String>,
    query: Query,
    request: HttpRequest,
    body: JsonBody,
) -> Answered {
    query.only([])?;
    choose(request.headers(), &[Media::Json])?;
    let condition = if_match(request.headers())?;
    let connection = state.connections.update(&caller.actor, connection_id(&id)?, &body.0, condition.as_ref()).await?;
    Ok(HttpResponse::Ok().insert_header((header::ETAG, etag(connection.version))).json(connection))
}

/// Delete a connection; its stored secrets are destroyed at once.
#[utoipa::path(tag = "Connections", operation_id = "delete_connection",
    params(
        ("id" = Uuid, Path, description = "The connection"),
        ("If-Match" = Option<String>, Header, description = "Delete only this version"),
    ),
    responses(
        (status = 204, description = "Deleted, now or before"),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ))]
#[delete("/connections/{id}")]
pub(super) async fn delete(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    id: web::Path<String>,
    query: Query,
    request: HttpRequest,
) -> Answered {
    query.only([])?;
    let condition = if_match(request.headers())?;
    state.connections.delete(&caller.actor, connection_id(&id)?, condition).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Verify a connection again, now.
#[utoipa::path(tag = "Connections", operation_id = "verify_connection",
    params(("id" = Uuid, Path, description = "The connection")),
    responses(
        (status = 200, description = "The verification, whatever its outcome", body = Verification),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ))]
#[post("/connections/{id}/verify")]
pub(super) async fn verify(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    id: web::Path<String>,
    query: Query,
    request: HttpRequest,
) -> Answered {
    query.only([])?;
    choose(request.headers(), &[Media::Json])?;
    json(&request, &state.connections.verify(&caller.actor, connection_id(&id)?).await?)
}

/// List a connection's verifications, newest first.
#[utoipa::path(tag = "Connections", operation_id = "list_verifications",
    params(
        ("id" = Uuid, Path, description = "The connection"),
        ("limit" = Option<u32>, Query, description = "Entries of one page, 1 to 100", minimum = 1, maximum = 100, example = 25),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Page<Verification>),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ))]
#[get("/connections/{id}/verifications")]
pub(super) async fn verifications(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    id: web::Path<String>,
    query: Query,
    request: HttpRequest,
) -> Answered {
    let [limit, cursor] = query.only(["limit", "cursor"])?;
    let limit = page_limit(limit).map_err(|error| Problem::validation(vec![error]))?;
    let organisation = &caller.actor.organisation;
    json(&request, &state.connections.verifications(organisation, connection_id(&id)?, limit, cursor).await?)
}

/// List the automations that pulled statistics through a connection.
#[utoipa::path(tag = "Connections", operation_id = "list_automations",
    params(
        ("id" = Uuid, Path, description = "The connection"),
        ("limit" = Option<u32>, Query, description = "Entries of one page, 1 to 100", minimum = 1, maximum = 100, example = 25),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
    ),
    responses(
        (status = 200, description = "A page", body = Page<AutomationView>),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ))]
#[get("/connections/{id}/automations")]
pub(super) async fn automations(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    id: web::Path<String>,
    query: Query,
    request: HttpRequest,
) -> Answered {
    let [limit, cursor] = query.only(["limit", "cursor"])?;
    let limit = page_limit(limit).map_err(|error| Problem::validation(vec![error]))?;
    let organisation = &caller.actor.organisation;
    json(&request, &state.connections.automations(organisation, connection_id(&id)?, limit, cursor).await?)
}

/// List who did what with the organisation's connections, newest first.
#[utoipa::path(tag = "Audit", operation_id = "list_audit_events",
    params(
        ("limit" = Option<u32>, Query, description = "Entries of one page, 1 to 100", minimum = 1, maximum = 100, example = 25),
        ("cursor" = Option<String>, Query, description = "`next_cursor` of the page before"),
        ("connection_id" = Option<Uuid>, Query, description = "Only this connection"),
    ),
    responses(
        (status = 200, description = "A page", body = Page<AuditEventView>),
        (status = "default", description = "A problem", body = ProblemBody, content_type = "application/problem+json"),
    ))]
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
