//! Whether the service is alive, and whether it should get requests.

use std::collections::BTreeMap;
use std::time::Duration;

use actix_web::{HttpResponse, get, web};

use super::state::State;
use super::types::{Health, HealthStatus};
use crate::clock;
use crate::db::{DbError, Writes};
use crate::problem::Problem;
use crate::shared::Standing;

/// Health is answered within this, even when the database hangs.
const TIMEOUT: Duration = Duration::from_secs(3);

/// Clocks of machines that follow a time server differ by far less.
const MOST_AHEAD: Duration = Duration::from_secs(5);

const CLOCKS_DIFFER: &str =
    "This machine's clock and the database's differ by more than five seconds; have both follow a time server.";

const READ_ONLY: &str = "The database takes no writes: it is a standby, or set to be read only; the log says which.";

const NO_STANDBY: &str = "A synchronous standby of the database is away, so changes wait for it and may fail; start it, or change \
     synchronous_standby_names.";

pub(super) const NO_DATABASE: &str = "The database cannot be reached, or refuses to work; the log says why.";

/// Say that the process is alive.
///
/// For liveness probes: it looks at nothing else, so that a database that is away restarts nobody.
#[utoipa::path(tag = "Health", operation_id = "healthz", security(()), responses(
    (status = 200, description = "Alive", body = Health),
))]
#[get("/healthz")]
#[expect(clippy::disallowed_methods, reason = "a probe is answered whatever it accepts")]
pub(super) async fn healthz() -> HttpResponse {
    HttpResponse::Ok().json(alive())
}

pub(super) const fn alive() -> Health {
    Health { status: HealthStatus::Ok, checks: BTreeMap::new(), reasons: BTreeMap::new() }
}

/// Say whether requests should be sent here, and why not.
///
/// For readiness probes and load balancers: 503 while the database is away or the instance is being stopped.
#[utoipa::path(tag = "Health", operation_id = "readyz", security(()), responses(
    (status = 200, description = "Ready", body = Health),
    (status = 503, description = "Not ready", body = Health),
))]
#[get("/readyz")]
#[expect(clippy::disallowed_methods, reason = "a probe is answered whatever it accepts")]
pub(super) async fn readyz(state: web::Data<State>) -> HttpResponse {
    let mut reasons = BTreeMap::new();
    let answered = tokio::time::timeout(TIMEOUT, state.connections.ready()).await;
    let cause = match answered {
        Ok(Ok(writes)) => {
            if writes == Writes::WaitForStandby {
                reasons.insert("standby", NO_STANDBY);
            }
            None
        }
        Ok(Err(error)) => {
            reasons.insert("database", if matches!(error, DbError::ReadOnly(_)) { READ_ONLY } else { NO_DATABASE });
            Problem::from(error).cause
        }
        Err(_) => {
            reasons.insert("database", "The database, or a free connection to it, took too long.");
            Some(format!("no answer within {} s", TIMEOUT.as_secs()))
        }
    };
    state.note_database(cause);
    if state.is_leaving() {
        reasons.insert("shutdown", "This instance is being stopped; another one takes the requests.");
    }
    let blocked = reasons.keys().any(|check| *check != "standby");
    // Requests are answered without these, so they are reported but turn nobody away.
    if !state.connections.is_working() || !state.webhooks.is_working() {
        reasons.insert("background", "A part of the background work does not come round; restart this instance.");
    }
    let redis = state.connections.shared().standing();
    if redis == Standing::Unavailable {
        reasons.insert("redis", "Redis cannot be used; this instance keeps its own cache and limits meanwhile.");
    }
    if Duration::from_micros(clock::ahead_micros().unsigned_abs()) > MOST_AHEAD {
        reasons.insert("clock", CLOCKS_DIFFER);
    }
    let health = readiness(blocked, redis, reasons);
    if blocked { HttpResponse::ServiceUnavailable().json(health) } else { HttpResponse::Ok().json(health) }
}

pub(super) fn readiness(blocked: bool, redis: Standing, reasons: BTreeMap<&'static str, &'static str>) -> Health {
    let entry = |check, well, ill| (check, if reasons.contains_key(check) { ill } else { well });
    let checks = BTreeMap::from([
        entry("database", "ok", "unavailable"),
        entry("standby", "ok", "away"),
        entry("clock", "ok", "differs"),
        entry("background", "ok", "stalled"),
        ("redis", redis.key()),
        entry("shutdown", "no", "draining"),
    ]);
    Health { status: if blocked { HealthStatus::NotReady } else { HealthStatus::Ready }, checks, reasons }
}
