//! The catalogue.

use actix_web::{HttpResponse, get, web};

use super::edge::ApiError;
use super::extract::Holder;
use super::negotiation::{Accepts, JsonOnly};
use super::query::NoParameters;
use super::state::State;
use super::types::Catalogue;
use crate::platforms::catalogue::PlatformEntry;
use crate::platforms::{self, Platform};
use crate::problem::{Code, Problem};

/// List all platforms with everything a form and a query builder need.
///
/// Draw the form for adding a connection from `settings_schema` and `credentials_schema`, and the choices of a statistics
/// page from `dimensions`, `combinations` and `metrics`. It changes only with a new version of the service.
#[utoipa::path(tag = "Platforms", operation_id = "list_platforms", responses(
    (status = 200, description = "The catalogue", body = Catalogue),
))]
#[get("/platforms")]
pub(super) async fn list(
    _: Holder,
    state: web::Data<State>,
    accepts: Accepts<JsonOnly>,
    _: NoParameters,
) -> Result<HttpResponse, ApiError> {
    Ok(accepts.ok(&Catalogue::of(state.egress_addresses.clone())))
}

/// Show one platform.
///
/// The same entry that the list has, for example of `/api/v1/platforms/demo`.
#[utoipa::path(tag = "Platforms", operation_id = "show_platform",
    params(("platform" = Platform, Path, description = "The platform's key", example = "demo")),
    extensions(("x-problems" = json!([Code::NotFound]))),
    responses(
        (status = 200, description = "The platform", body = PlatformEntry),
    ))]
#[get("/platforms/{platform}")]
pub(super) async fn show(
    _: Holder,
    accepts: Accepts<JsonOnly>,
    key: web::Path<String>,
    _: NoParameters,
) -> Result<HttpResponse, ApiError> {
    let entry = key.parse::<Platform>().ok().and_then(platforms::entry);
    match entry {
        Some(entry) => Ok(accepts.ok(entry)),
        None => Err(Problem::new(Code::NotFound, "There is no platform with this key.").into()),
    }
}
