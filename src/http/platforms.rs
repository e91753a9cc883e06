//! The catalogue.

use actix_web::{HttpRequest, HttpResponse, get, web};

use super::edge::ApiError;
use super::extract::{AnyToken, Caller, Query};
use super::negotiation::{Media, choose};
use super::types::Catalogue;
use crate::platforms::calendar::Preset;
use crate::platforms::catalogue::PlatformEntry;
use crate::platforms::{self, Platform};
use crate::problem::{Code, Problem};

/// List all platforms with everything a form and a query builder need.
#[utoipa::path(tag = "Platforms", operation_id = "list_platforms", responses(
    (status = 200, description = "The catalogue", body = Catalogue),
))]
#[get("/platforms")]
pub(super) async fn list(_: Caller<AnyToken>, query: Query, request: HttpRequest) -> Result<HttpResponse, ApiError> {
    query.only([])?;
    choose(request.headers(), &[Media::Json])?;
    let presets = Preset::ALL.to_vec();
    Ok(HttpResponse::Ok().json(Catalogue { data: platforms::entries(), presets, next_cursor: None }))
}

/// Show one platform.
#[utoipa::path(tag = "Platforms", operation_id = "show_platform",
    params(("platform" = Platform, Path, description = "The platform's key", example = "demo")),
    extensions(("x-problems" = json!([Code::NotFound]))),
    responses(
        (status = 200, description = "The platform", body = PlatformEntry),
    ))]
#[get("/platforms/{platform}")]
pub(super) async fn show(
    _: Caller<AnyToken>,
    key: web::Path<String>,
    query: Query,
    request: HttpRequest,
) -> Result<HttpResponse, ApiError> {
    query.only([])?;
    choose(request.headers(), &[Media::Json])?;
    let entry = key.parse::<Platform>().ok().and_then(platforms::entry);
    match entry {
        Some(entry) => Ok(HttpResponse::Ok().json(entry)),
        None => Err(Problem::new(Code::NotFound, "There is no platform with this key.").into()),
    }
}
