//! HTTP: parse, call one function, shape the answer. Every route of the service stands in [`routes`].

mod connections;
mod edge;
mod extract;
mod health;
pub mod json;
mod limits;
mod lines;
mod negotiation;
pub mod openapi;
mod params;
mod platforms;
mod problems;
mod stats;
mod types;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use actix_cors::Cors;
use actix_web::dev::ServiceFactory;
use actix_web::{App, dev, middleware, web};
use tokio::sync::Semaphore;
use utoipa_actix_web::AppExt;
use utoipa_actix_web::scope;
use utoipa_actix_web::service_config::ServiceConfig;

pub use self::limits::admit;
use self::limits::{AuthFailures, MAX_IN_FLIGHT, RateLimit};
pub use self::lines::{Lines, listen};
use crate::auth::Verifier;
use crate::config::RateLimits;
use crate::connections::service::Connections;

/// The largest body that is read.
const MAX_BODY_BYTES: usize = 64 * 1024;

/// What handlers share.
pub struct State {
    connections: Connections,
    verifier: Verifier,
    rate_limit: Option<RateLimit>,
    auth_failures: Option<AuthFailures>,
    in_flight: Arc<Semaphore>,
    cors_origins: Vec<String>,
    leaving: AtomicBool,
    draining: AtomicBool,
    database_away: AtomicBool,
}

impl State {
    /// Puts the state together.
    #[must_use]
    pub fn new(
        connections: Connections,
        verifier: Verifier,
        rate_limits: &RateLimits,
        cors_origins: Vec<String>,
    ) -> Arc<Self> {
        Arc::new(Self {
            connections,
            verifier,
            rate_limit: rate_limits.requests_per_second.map(RateLimit::new),
            auth_failures: rate_limits.auth_failures_per_minute.map(AuthFailures::new),
            in_flight: Arc::new(Semaphore::new(MAX_IN_FLIGHT)),
            cors_origins,
            leaving: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            database_away: AtomicBool::new(false),
        })
    }

    /// Says that this instance is going to stop: readiness turns to no, and connections end with their next answer.
    pub fn leave(&self) {
        self.leaving.store(true, Ordering::Relaxed);
    }

    /// Says that this instance takes no new work.
    pub fn drain(&self) {
        self.leave();
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Says in the log when the database goes away, why, and when it is back.
    fn note_database(&self, cause: Option<String>) {
        match (cause, self.database_away.load(Ordering::Relaxed)) {
            (Some(cause), false) => {
                tracing::error!(cause = ?cause, "not ready: the database is not available");
                self.database_away.store(true, Ordering::Relaxed);
            }
            (None, true) => {
                tracing::info!("ready again: the database is available");
                self.database_away.store(false, Ordering::Relaxed);
            }
            (Some(_), true) | (None, false) => {}
        }
    }

    fn is_leaving(&self) -> bool {
        self.leaving.load(Ordering::Relaxed)
    }

    fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}

/// Every route under `/api/v1`, and the open ones beside it. Within each of its groups the document keeps this order, in
/// which a user meets them.
pub fn routes(config: &mut ServiceConfig<'_>) {
    config
        .service(
            scope::scope("/api/v1")
                // Asked for most, and routes are tried one after the other.
                .service(stats::of_one)
                .service(platforms::list)
                .service(platforms::show)
                .service(connections::create)
                .service(connections::list)
                .service(connections::verify_draft)
                // Otherwise `verify` would be the id of a connection for any other method.
                .map(|scope| scope.service(web::resource("/connections/verify").to(problems::no_route)))
                .service(connections::show)
                .service(connections::update)
                .service(connections::delete)
                .service(connections::verify)
                .service(connections::usage)
                .service(stats::of_many)
                .service(connections::verifications)
                .service(connections::automations)
                .service(connections::audit_events),
        )
        .service(problems::page)
        .service(health::healthz)
        .service(health::readyz);
}

/// The whole application, for one worker.
pub fn app(
    state: &Arc<State>,
) -> App<
    impl ServiceFactory<
        dev::ServiceRequest,
        Config = (),
        Response = dev::ServiceResponse<impl actix_web::body::MessageBody + use<>>,
        Error = actix_web::Error,
        InitError = (),
    > + use<>,
> {
    let (app, _) = App::new().into_utoipa_app().configure(routes).split_for_parts();
    app.service(openapi::document_route())
        .service(openapi::swagger_redirect())
        .service(openapi::swagger_ui())
        .default_service(web::to(problems::no_route))
        .app_data(web::Data::from(Arc::clone(state)))
        .app_data(web::PayloadConfig::new(MAX_BODY_BYTES))
        .wrap(middleware::from_fn(edge::answer_head))
        .wrap(middleware::from_fn(limits::admit))
        .wrap(cors(&state.cors_origins))
        .wrap(middleware::from_fn(edge::write_problems))
        .wrap(middleware::from_fn(edge::observe))
}

/// Exact origins only; without any, no CORS header is ever sent.
fn cors(origins: &[String]) -> Cors {
    let cors = Cors::default()
        .allowed_methods(["GET", "POST", "PATCH", "DELETE"])
        // Whatever is asked for is allowed: `X-*` cannot be listed, and no header grants anything by itself.
        .allow_any_header()
        .expose_headers([
            "etag",
            "location",
            "retry-after",
            "cache-status",
            "age",
            "x-request-id",
            "idempotency-replayed",
        ])
        .max_age(3_600)
        // An origin that is not listed gets its answer without CORS headers; the browser does the rest.
        .block_on_origin_mismatch(false);
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin))
}
