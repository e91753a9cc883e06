//! What happened to connections.

use actix_web::{HttpResponse, get, web};

use super::edge::ApiError;
use super::extract::{Caller, OneConnection, ReadConnections};
use super::listing;
use super::negotiation::{Accepts, JsonOnly};
use super::params::{Paging, WhichAuditEvents};
use super::query::Query;
use super::state::State;
use super::types::{AuditEventPage, AutomationPage, VerificationPage};
use crate::connections::events::EventPage;
use crate::problem::Code;

type Answered = Result<HttpResponse, ApiError>;

/// List a connection's verifications, newest first.
///
/// What came of each attempt to verify the connection: by a person, after a deferred create, or in a change.
#[utoipa::path(tag = "History", operation_id = "list_verifications",
    security(("bearer" = ["connections:read"])), params(OneConnection, Paging),
    extensions(("x-problems" = json!([Code::NotFound, Code::ConnectionDeleted]))),
    responses((status = 200, description = "A page", body = VerificationPage)))]
#[get("/connections/{id}/verifications")]
pub(super) async fn verifications(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    at: web::Path<OneConnection>,
    query: Query,
) -> Answered {
    let page = listing::plain(&query)?;
    let organisation = &caller.actor.organisation;
    let found = state.connections.verifications(organisation, at.id()?, page.limit, page.cursor.as_deref()).await?;
    Ok(accepts.ok(&found))
}

/// List the automations that pulled statistics through a connection.
///
/// An automation is known by the `X-Automation-Id` of its statistics calls. Look here before deleting a connection.
#[utoipa::path(tag = "History", operation_id = "list_automations",
    security(("bearer" = ["connections:read"])), params(OneConnection, Paging),
    extensions(("x-problems" = json!([Code::NotFound, Code::ConnectionDeleted]))),
    responses((status = 200, description = "A page", body = AutomationPage)))]
#[get("/connections/{id}/automations")]
pub(super) async fn automations(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    at: web::Path<OneConnection>,
    query: Query,
) -> Answered {
    let page = listing::plain(&query)?;
    let organisation = &caller.actor.organisation;
    let found = state.connections.automations(organisation, at.id()?, page.limit, page.cursor.as_deref()).await?;
    Ok(accepts.ok(&found))
}

/// List who did what with the organisation's connections, newest first.
///
/// For one connection: `?connection_id=01990000-0000-7000-8000-000000000000`. Who deleted something in November:
/// `?action=connection.deleted&from=2026-11-01&to=2026-11-30`. Events of deleted connections stay.
#[utoipa::path(tag = "History", operation_id = "list_audit_events",
    security(("bearer" = ["connections:read"])), params(Paging, WhichAuditEvents),
    responses((status = 200, description = "A page", body = AuditEventPage)))]
#[get("/audit-events")]
pub(super) async fn audit_events(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    query: Query,
) -> Answered {
    let (page, wanted) = listing::audit_events(&query)?;
    let organisation = &caller.actor.organisation;
    let found = state.connections.audit_events(organisation, wanted, page.limit, page.cursor.as_deref()).await?;
    Ok(accepts.ok(&found))
}

/// List what happened to the organisation's connections, oldest first.
///
/// Keep `next_cursor` of the last page, and ask with it later: it goes on where the page ends, and no event is missed or
/// read twice while others write. `has_more` says whether to ask again at once. An event names no host and no secret;
/// events are kept as long as audit events.
#[utoipa::path(tag = "History", operation_id = "list_events",
    security(("bearer" = ["connections:read"])), params(Paging),
    responses((status = 200, description = "A page", body = EventPage)))]
#[get("/events")]
pub(super) async fn events(
    caller: Caller<ReadConnections>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    query: Query,
) -> Answered {
    let page = listing::plain(&query)?;
    let organisation = &caller.actor.organisation;
    Ok(accepts.ok(&state.connections.events(organisation, page.limit, page.cursor.as_deref()).await?))
}
