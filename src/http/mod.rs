//! HTTP: parse, call one function, shape the answer. Every route of the service stands in [`routes`].

pub mod admission;
pub(crate) mod callers;
pub(crate) mod client_connections;
mod connections;
mod console;
mod cors;
mod edge;
mod extract;
mod fallback;
mod files;
mod health;
mod history;
pub mod json;
mod limits;
mod listing;
mod negotiation;
pub mod openapi;
mod params;
mod platforms;
mod problems;
mod query;
pub mod question;
mod refusals;
pub mod server;
mod shape;
mod socket;
pub mod state;
mod stats;
mod tags;
mod types;
mod values;
mod webhooks;

use actix_web::web;
use utoipa_actix_web::scope;
use utoipa_actix_web::service_config::ServiceConfig;

pub(crate) use self::edge::CONSOLE;

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
                .map(|scope| scope.service(web::resource("/connections/verify").to(fallback::no_route)))
                .service(connections::show)
                .service(connections::update)
                .service(connections::delete)
                .service(connections::verify)
                .service(connections::usage)
                .service(stats::of_many)
                .service(values::list)
                .service(history::verifications)
                .service(history::automations)
                .service(history::events)
                .service(history::audit_events)
                .service(webhooks::create)
                .service(webhooks::list)
                .service(webhooks::show)
                .service(webhooks::update)
                .service(webhooks::delete)
                .service(webhooks::test)
                .service(webhooks::rotate_secret)
                .service(webhooks::deliveries),
        )
        .service(problems::page)
        .service(health::healthz)
        .service(health::readyz);
}
