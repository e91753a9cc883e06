//! Serving: how the parts of the service are put together, how it starts and how it stops.

use std::sync::Arc;
use std::time::Duration;

use actix_web::web;

use crate::auth::{Grant, Verifier, mint};
use crate::config::{Config, Environment};
use crate::connections::service::{Connections, Options};
use crate::connections::stats;
use crate::db::Db;
use crate::http;
use crate::http::callers::Proxies;
use crate::http::state::State;
use crate::metrics;
use crate::outbound::{Transport, TransportConfig};
use crate::platforms::Platforms;
use crate::process::{Failure, have_descriptors, stop_signal, survive_large_files};
use crate::shared::Shared;
use crate::shares::Pool;
use crate::tenancy::{OrgId, Plan};
use crate::vault::Vault;
use crate::version;
use crate::webhooks::{self, service::Webhooks};

/// How long a connection that asks for metrics may ask nothing.
const METRICS_IDLE_TIMEOUT: Duration = Duration::from_secs(60);

/// Connections that ask for metrics.
const METRICS_CONNECTIONS: usize = 16;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How long requests are still answered with `shutting_down` before the door closes.
const DRAIN_NOTICE: Duration = Duration::from_millis(300);

/// How long the background may take to hand its work over to others.
pub(crate) const HAND_OVER: Duration = Duration::from_secs(10);

/// How long the uses of the last moments may take to be written.
const LAST_USES: Duration = Duration::from_secs(5);

/// How long everything may take to be put away once all is said. What hangs in a database that is silent ends with the
/// process.
const LAST_ORDER: Duration = Duration::from_secs(2);

/// Connections to the database: SQLite has one writer, and readers are quick; each costs memory.
pub(crate) const CONNECTIONS: u32 = 8;

pub(crate) fn open_db(config: &Config) -> Result<Db, Failure> {
    Ok(Db::open(&config.database_url, CONNECTIONS)?)
}

/// The parts of the service that are used from outside of it.
#[derive(Clone)]
pub struct Service {
    /// What handlers share.
    pub state: Arc<State>,
    /// Connections, and everything that hangs on them.
    pub connections: Connections,
    /// Webhooks, and what is sent to them.
    pub webhooks: Webhooks,
}

impl Service {
    /// Works in the background until [`Connections::stop_work`], or until the future is dropped.
    pub async fn work(self) {
        tokio::join!(self.connections.work(), self.webhooks.work());
    }
}

/// Puts the service together.
///
/// # Errors
/// A database that cannot be reached, or TLS or tokens that cannot be set up.
pub fn assemble(config: &Config, db: Db) -> Result<Service, Failure> {
    let vault = Arc::new(Vault::new(config.credentials_keys.clone()));
    let shared = match &config.redis_url {
        Some(address) => Shared::over(address.clone(), Arc::clone(&vault)),
        None => Shared::nothing(),
    };
    let transport = Transport::new(TransportConfig {
        egress: config.egress.clone(),
        timeout: config.upstream_timeout,
        connect_timeout: config.upstream_connect_timeout,
    })?;
    let transport = transport.within(&config.sizing).sharing(vault.pseudonyms("account"), Arc::new(shared.clone()));
    let verifier = Verifier::new(&config.auth, &transport)?;
    let platforms = Platforms::new(transport.clone(), config.gateways.clone());
    let options = Options {
        plan_limits: config.plan_limits,
        verify_failures_per_minute: config.rate_limits.verify_failures_per_minute.map_or(0, Into::into),
        audit_retention: config.audit_retention_days.map(|days| DAY * days.get()),
        check_interval: config.check_interval,
        stats: stats::Options {
            deadline: config.stats_deadline,
            ttl: config.stats_cache_ttl,
            closed_ttl: config.stats_cache_closed_ttl,
            max_range_days: config.stats_limits.max_range_days,
            max_upstream_calls: config.stats_limits.max_upstream_calls,
            max_rows: config.stats_limits.max_rows,
            max_rows_in_memory: config.stats_limits.max_rows_in_memory,
            sizing: config.sizing,
        },
    };
    let connections = Connections::new(db.clone(), Arc::clone(&vault), platforms, shared, options);
    let options = webhooks::service::Options {
        timeout: config.webhook_timeout,
        max_per_organisation: config.webhook_max_per_org,
    };
    let webhooks = Webhooks::new(db, vault, transport, &connections, options);
    let state = State::new(connections.clone(), webhooks.clone(), verifier, config);
    Ok(Service { state, connections, webhooks })
}

pub(crate) fn serve(config: Config) -> Result<(), Failure> {
    let system = actix_web::rt::System::new();
    let outcome = system.block_on(serve_until_stopped(config));
    if outcome.is_ok() {
        // Dropping the system waits for threads, and those may wait for the database.
        std::thread::spawn(|| {
            std::thread::sleep(LAST_ORDER);
            std::process::exit(0);
        });
    }
    outcome
}

async fn serve_until_stopped(config: Config) -> Result<(), Failure> {
    survive_large_files();
    // Before anybody can know that this process runs.
    let stop = stop_signal();
    have_descriptors();
    let db = open_db(&config)?;
    db.migrate()?;
    let service = assemble(&config, db)?;
    let Service { state, connections, .. } = service.clone();
    connections.note_active_key().await;

    let (notice, grace) = (config.shutdown_notice, config.shutdown_grace);
    let workers = std::thread::available_parallelism().map_or(1, Into::into);
    let (addresses, server) = http::server::listen(&state, config.bind_addr, workers, grace)
        .map_err(|error| format!("cannot listen on {}: {error}", config.bind_addr))?;
    let handle = server.handle();
    let metrics_server = config.metrics_addr.map(|address| serve_metrics(address, &service)).transpose()?;
    let metrics_handle = metrics_server.as_ref().map(actix_web::dev::Server::handle);
    if let Some(server) = metrics_server {
        actix_web::rt::spawn(server);
    }
    let background = actix_web::rt::spawn(service.work());
    let worker = connections.clone();
    for address in addresses {
        announce(&config, address);
    }

    actix_web::rt::spawn(async move {
        stop.await;
        tracing::info!("stopping: requests in flight may finish");
        state.leave();
        worker.finish_work();
        tokio::time::sleep(notice).await;
        state.drain();
        // Balancers that look at readiness, and callers that keep connections open, get a moment to notice.
        tokio::time::sleep(DRAIN_NOTICE.min(grace)).await;
        handle.stop(true).await;
    });
    server.await?;
    connections.stop_work();
    if tokio::time::timeout(HAND_OVER, background).await.is_err() {
        tracing::warn!("the background does not end; what it had claimed is free when its leases end");
    }
    if tokio::time::timeout(LAST_USES, connections.finish_uses()).await.is_err() {
        tracing::warn!("the database does not answer; the uses of the last moments are not written");
    }
    if let Some(handle) = metrics_handle {
        handle.stop(false).await;
    }
    tracing::info!("stopped");
    Ok(())
}

fn announce(config: &Config, address: std::net::SocketAddr) {
    tracing::info!("serving on http://{address}");
    let token = development_token(config);
    if config.console {
        // Nothing can be opened at 0.0.0.0.
        let is_everywhere = address.ip().is_unspecified();
        let host = if is_everywhere { format!("localhost:{}", address.port()) } else { address.to_string() };
        // What stands behind the # is never sent, so that the token is in no log but this.
        let with = token.as_ref().map(|token| format!("#token={token}")).unwrap_or_default();
        tracing::info!("console: http://{host}{}{with}", http::CONSOLE);
    }
    tracing::info!("Swagger UI: http://{address}/swagger-ui/");
    if let Some(token) = token {
        tracing::info!("a token to paste (organisation `dev`, plan business, valid for a day): {token}");
    }
}

/// A token to begin with; in production there is none.
fn development_token(config: &Config) -> Option<String> {
    let is_own = config.environment == Environment::Development && config.auth.jwks_url.is_none();
    let organisation: OrgId = "dev".parse().ok().filter(|_| is_own)?;
    mint(&config.auth, &Grant::new(organisation, Plan::Business)).ok()
}

fn serve_metrics(address: std::net::SocketAddr, service: &Service) -> Result<actix_web::dev::Server, Failure> {
    let service = web::Data::new(service.clone());
    let connections = http::client_connections::ClientConnections::watched(
        METRICS_IDLE_TIMEOUT,
        METRICS_CONNECTIONS,
        Pool::new(0, 0),
        Proxies::default(),
    );
    let door = http::server::Door { address, workers: 1, grace: Duration::ZERO, connections };
    let opened = door.open(move || {
        actix_web::App::new()
            .app_data(service.clone())
            .route("/metrics", web::get().to(show_metrics))
            .wrap(actix_web::middleware::from_fn(http::admission::admit))
    });
    let (address, server) = opened.map_err(|error| format!("cannot serve metrics on {address}: {error}"))?;
    tracing::info!("metrics: http://{address}/metrics");
    Ok(server)
}

async fn show_metrics(service: web::Data<Service>) -> actix_web::HttpResponse {
    let (sample, undelivered) = tokio::join!(service.connections.sample(), service.webhooks.undelivered());
    let sample = metrics::Sample { undelivered, build: version::parts().to_vec(), ..sample };
    actix_web::HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(metrics::render(&sample))
}
