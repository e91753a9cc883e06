//! What statistics can be filtered by.

use actix_web::{HttpRequest, HttpResponse, get, web};
use serde::Deserialize;
use utoipa::IntoParams;

use super::edge::ApiError;
use super::extract::{Caller, ReadStats, canonical};
use super::negotiation::{Accepts, JsonOnly};
use super::params::{PullHeaders, PullShape, WhichValues};
use super::query::Query;
use super::question;
use super::state::State;
use super::stats::manner;
use crate::connections::stats::values::DimensionValues;
use crate::problem::Code;

/// A dimension of a connection.
#[derive(Deserialize, IntoParams)]
#[into_params(parameter_in = Path)]
pub(super) struct OneDimension {
    /// The connection
    #[param(value_type = uuid::Uuid, example = "01990000-0000-7000-8000-000000000000")]
    id: String,
    /// The key of a dimension in the catalogue; not of one of time
    #[param(example = "affiliate")]
    dimension: String,
}

/// List the ids and names that statistics can be filtered by.
///
/// Those that had traffic in the last 30 days with today, most clicks first. For example the affiliates whose name contains
/// "nord": `/dimensions/affiliate/values?q=nord`. It is the question `group_by=affiliate` over these days, is kept as
/// long and costs as many calls.
#[utoipa::path(tag = "Stats", operation_id = "dimension_values",
    security(("bearer" = ["stats:read"])),
    params(OneDimension, WhichValues, PullShape, PullHeaders),
    extensions(("x-problems" = json!([
        Code::NotFound, Code::ConnectionDeleted, Code::UnsupportedQuery, Code::EgressBlocked,
        Code::CredentialsRejected, Code::InsufficientPermissions, Code::IpNotAllowed, Code::WrongPortal,
        Code::CredentialsUnreadable, Code::AccessBlocked, Code::UpstreamUnavailable, Code::UpstreamProtocolError,
        Code::UpstreamRateLimited, Code::UpstreamTimeout,
    ]))),
    responses((status = 200, description = "The values", body = DimensionValues)))]
#[get("/connections/{id}/dimensions/{dimension}/values")]
pub(super) async fn list(
    caller: Caller<ReadStats>,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    at: web::Path<OneDimension>,
    query: Query,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    let id = canonical(&at.id)?;
    let (wanted, shape) = question::read_values(&query.0, state.connections.longest_deadline())?;
    let manner = manner(request.headers(), &shape)?;
    let values = state.connections.dimension_values(&caller.actor, id, &at.dimension, &wanted, &manner).await?;
    Ok(accepts.ok(&values))
}
