//! Webhooks: who is notified of events.

use actix_web::http::header;
use actix_web::{HttpRequest, HttpResponse, delete, get, patch, post, web};
use serde::Deserialize;
use utoipa::IntoParams;
use uuid::Uuid;

use super::edge::ApiError;
use super::extract::{
    Caller, JsonBody, ReadConnections, WriteConnections, canonical_id, idempotency_key, if_match, text_header,
};
use super::listing;
use super::negotiation::{Accepts, JsonOnly};
use super::params::{IfChanged, IfUnchanged, Paging, Repetition};
use super::query::{NoParameters, Query};
use super::state::State;
use super::tags;
use super::types::{WebhookCreate, WebhookDeliveryPage, WebhookPage, WebhookPatch};
use crate::connections::if_match::VersionTag;
use crate::problem::{Code, Problem};
use crate::webhooks::view::{TestView, Versioned, WebhookView, WebhookWithSecret};

type Answered = Result<HttpResponse, ApiError>;

/// The webhook that a path names.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OneWebhook {
    /// The webhook
    #[param(value_type = Uuid, example = "01990000-0000-7000-8000-000000000001")]
    id: String,
}

impl OneWebhook {
    fn id(&self) -> Result<Uuid, Problem> {
        canonical_id(&self.id).ok_or_else(Problem::no_webhook)
    }
}

/// Add a webhook: an address that is notified of events.
///
/// From now on every event that it is for is sent there by POST, signed as Standard Webhooks 1.0 has it. Verify the
/// signature with one of its libraries and the `secret` of this answer, which is shown only here and when it is rotated.
/// Answer with any 2xx once the event is stored; events may come twice, and `webhook-id` shows it.
///
/// ```text
/// POST /api/v1/webhooks
///
/// {"url": "https://hooks.example.com/affzero", "events": ["connection.failing", "connection.recovered"]}
/// ```
#[utoipa::path(tag = "Webhooks", operation_id = "create_webhook",
    security(("bearer" = ["connections:write"])), params(Repetition), request_body = WebhookCreate,
    extensions(("x-problems" = json!([
        Code::WebhookLimitReached, Code::RequestInProgress, Code::IdempotencyKeyReused, Code::EgressBlocked,
        Code::NotFound, Code::CredentialsUnreadable,
    ]))),
    responses(
        (status = 201, description = "Created", body = WebhookWithSecret, headers(
            ("Location" = String, description = "The webhook's address"),
            ("ETag" = String, description = "The webhook's version and state"),
            ("Idempotency-Replayed" = Option<String>, description = "`true` if an earlier request had created it"),
        )),
    ))]
#[post("/webhooks")]
pub(super) async fn create(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    _: NoParameters,
    request: HttpRequest,
    body: JsonBody,
) -> Answered {
    let key = idempotency_key(request.headers())?;
    let created = state.webhooks.create(&caller.actor, &body.0, key).await?;
    let mut response = HttpResponse::Created();
    response
        .insert_header((header::LOCATION, format!("/api/v1/webhooks/{}", created.versioned.webhook.id)))
        .insert_header((header::ETAG, etag(&created.versioned)));
    if created.replayed {
        response.insert_header(("idempotency-replayed", "true"));
    }
    Ok(accepts.write(response, &created.webhook))
}

/// List the organisation's webhooks, newest first.
///
/// Their secrets are never shown again. One with a `paused_reason` waits to be resumed.
#[utoipa::path(tag = "Webhooks", operation_id = "list_webhooks",
    security(("bearer" = ["connections:read"])), params(Paging),
    responses((status = 200, description = "A page", body = WebhookPage)))]
#[get("/webhooks")]
pub(super) async fn list(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    query: Query,
) -> Answered {
    let page = listing::plain(&query)?;
    Ok(accepts.ok(&state.webhooks.list(&caller.actor.organisation, page.limit, page.cursor.as_deref()).await?))
}

/// Show a webhook.
///
/// `paused_reason` says why it is not active, if nobody has turned it off.
#[utoipa::path(tag = "Webhooks", operation_id = "show_webhook",
    security(("bearer" = ["connections:read"])), params(OneWebhook, IfChanged),
    extensions(("x-problems" = json!([Code::NotFound]))),
    responses(
        (status = 200, description = "The webhook", body = WebhookView, headers(
            ("ETag" = String, description = "The webhook's version and state"),
        )),
        (status = 304, description = "Nothing is new since the ETag sent", headers(
            ("ETag" = String, description = "The webhook's version and state"),
        )),
    ))]
#[get("/webhooks/{id}")]
pub(super) async fn show(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    at: web::Path<OneWebhook>,
    _: NoParameters,
    request: HttpRequest,
) -> Answered {
    let webhook = state.webhooks.get(&caller.actor.organisation, at.id()?).await?;
    let tag = etag(&webhook);
    if text_header(request.headers(), "if-none-match")?.is_some_and(|sent| tags::matches(sent, &tag)) {
        return Ok(HttpResponse::NotModified().insert_header((header::ETAG, tag)).finish());
    }
    Ok(show_version(accepts, &webhook))
}

/// Change a webhook, or turn it on or off.
///
/// The body is a JSON merge patch (RFC 7396). `"active": true` resumes a paused webhook: it is notified of what happens
/// from then on; what it missed is in `GET /events`.
#[utoipa::path(tag = "Webhooks", operation_id = "update_webhook",
    security(("bearer" = ["connections:write"])), params(OneWebhook, IfUnchanged),
    request_body(content((WebhookPatch = "application/merge-patch+json"), (WebhookPatch = "application/json"))),
    extensions(("x-problems" = json!([Code::NotFound, Code::VersionConflict, Code::EgressBlocked]))),
    responses((status = 200, description = "The changed webhook", body = WebhookView, headers(
        ("ETag" = String, description = "The webhook's version and state"),
    ))))]
#[patch("/webhooks/{id}")]
pub(super) async fn update(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    at: web::Path<OneWebhook>,
    _: NoParameters,
    request: HttpRequest,
    body: JsonBody,
) -> Answered {
    let condition = if_match(request.headers())?;
    let webhook = state.webhooks.change(&caller.actor, at.id()?, &body.0, condition).await?;
    Ok(show_version(accepts, &webhook))
}

/// Delete a webhook; nothing more is sent.
///
/// Its secret is destroyed at once, and its deliveries are forgotten. `If-Match: "1"` deletes only the version that was read.
#[utoipa::path(tag = "Webhooks", operation_id = "delete_webhook",
    security(("bearer" = ["connections:write"])), params(OneWebhook, IfUnchanged),
    extensions(("x-problems" = json!([Code::NotFound, Code::VersionConflict]))),
    responses((status = 204, description = "Deleted")))]
#[delete("/webhooks/{id}")]
pub(super) async fn delete(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    at: web::Path<OneWebhook>,
    _: NoParameters,
    request: HttpRequest,
) -> Answered {
    let condition = if_match(request.headers())?;
    state.webhooks.delete(&caller.actor, at.id()?, condition).await?;
    Ok(HttpResponse::NoContent().finish())
}

/// Send a test event to a webhook, now.
///
/// The event has the type `webhook.test`, no connection, and is in no feed. It is sent once, also to a webhook that is not
/// active. The answer is 200 whatever the receiver says.
#[utoipa::path(tag = "Webhooks", operation_id = "test_webhook",
    security(("bearer" = ["connections:write"])), params(OneWebhook),
    extensions(("x-problems" = json!([Code::NotFound, Code::CredentialsUnreadable]))),
    responses((status = 200, description = "What came of it", body = TestView)))]
#[post("/webhooks/{id}/test")]
pub(super) async fn test(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    at: web::Path<OneWebhook>,
    _: NoParameters,
) -> Answered {
    Ok(accepts.ok(&state.webhooks.test(&caller.actor, at.id()?).await?))
}

/// Give a webhook another secret.
///
/// It is shown only in this answer. For 24 hours deliveries are signed with both, so that no event is refused while the
/// receiver is changed.
#[utoipa::path(tag = "Webhooks", operation_id = "rotate_webhook_secret",
    security(("bearer" = ["connections:write"])), params(OneWebhook),
    extensions(("x-problems" = json!([Code::NotFound]))),
    responses((status = 200, description = "The webhook with its new secret", body = WebhookWithSecret)))]
#[post("/webhooks/{id}/rotate-secret")]
pub(super) async fn rotate_secret(
    caller: Caller<WriteConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    at: web::Path<OneWebhook>,
    _: NoParameters,
) -> Answered {
    Ok(accepts.ok(&state.webhooks.rotate_secret(&caller.actor, at.id()?).await?))
}

/// List the attempts to deliver events to a webhook, newest first.
///
/// Attempts are kept for 30 days, tests too.
#[utoipa::path(tag = "Webhooks", operation_id = "list_webhook_deliveries",
    security(("bearer" = ["connections:read"])), params(OneWebhook, Paging),
    extensions(("x-problems" = json!([Code::NotFound]))),
    responses((status = 200, description = "A page", body = WebhookDeliveryPage)))]
#[get("/webhooks/{id}/deliveries")]
pub(super) async fn deliveries(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    at: web::Path<OneWebhook>,
    query: Query,
) -> Answered {
    let page = listing::plain(&query)?;
    let organisation = &caller.actor.organisation;
    Ok(accepts.ok(&state.webhooks.deliveries(organisation, at.id()?, page.limit, page.cursor.as_deref()).await?))
}

fn show_version(accepts: Accepts<JsonOnly>, webhook: &Versioned) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    response.insert_header((header::ETAG, etag(webhook)));
    accepts.write(response, &webhook.webhook)
}

fn etag(shown: &Versioned) -> String {
    format!("\"{}\"", VersionTag::of_version(shown.version, shown.updated_at, &shown.webhook))
}
