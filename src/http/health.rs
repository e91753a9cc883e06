//! Whether the service is alive, and whether it should get requests.

use std::collections::BTreeMap;

use actix_web::{HttpResponse, get, web};

use super::State;
use super::types::Health;

/// Say that the process is alive.
#[utoipa::path(tag = "Health", operation_id = "healthz", security(()), responses(
    (status = 200, description = "Alive", body = Health),
))]
#[get("/healthz")]
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(Health { status: "ok", checks: BTreeMap::new() })
}

/// Say whether requests should be sent here, and why not.
#[utoipa::path(tag = "Health", operation_id = "readyz", security(()), responses(
    (status = 200, description = "Ready", body = Health),
    (status = 503, description = "Not ready", body = Health),
))]
#[get("/readyz")]
pub(super) async fn readyz(state: web::Data<State>) -> HttpResponse {
    let database = if state.connections.ready().await.is_ok() { "ok" } else { "unavailable" };
    let draining = state.is_draining();
    let checks = BTreeMap::from([("database", database), ("shutdown", if draining { "draining" } else { "no" })]);
    if database == "ok" && !draining {
        HttpResponse::Ok().json(Health { status: "ready", checks })
    } else {
        HttpResponse::ServiceUnavailable().json(Health { status: "not_ready", checks })
    }
}
