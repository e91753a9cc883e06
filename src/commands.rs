//! The commands of the binary, and how the parts of the service are put together.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_web::HttpServer;
use clap::{Parser, Subcommand};
use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::auth::{AuthConfig, Grant, Verifier, mint};
use crate::config::{Config, Environment, LogFormat};
use crate::connections::rotation;
use crate::connections::service::{Connections, Options};
use crate::connections::stats;
use crate::db::Db;
use crate::http::{self, State};
use crate::metrics;
use crate::platforms::Platforms;
use crate::platforms::transport::{Transport, TransportConfig};
use crate::tenancy::{OrgId, Plan};
use crate::vault::Vault;

/// Connections to affiliate tracking platforms, and live statistics through them.
#[derive(Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Run pending migrations, then serve (the default).
    Serve,
    /// Run pending migrations and exit.
    Migrate,
    /// Print the OpenAPI document.
    Openapi,
    /// Mint a token with the configured secret, for development and tests.
    Token {
        /// The organisation the token is for.
        #[arg(long)]
        org: String,
        /// Its plan: starter, pro, pro_plus or business.
        #[arg(long)]
        plan: String,
        /// The scopes, separated by blanks; all of a user's if left out.
        #[arg(long)]
        scope: Option<String>,
        /// Who the token is for.
        #[arg(long)]
        sub: Option<String>,
        /// How long it is valid, in seconds.
        #[arg(long)]
        ttl: Option<u64>,
    },
    /// Seal every stored credential anew under the active key; the service may go on serving.
    RotateKeys,
}

/// How long the head of a request may take to arrive.
const HEAD_PATIENCE: Duration = Duration::from_secs(10);

const DAY: Duration = Duration::from_secs(24 * 3_600);

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Runs the command of the command line.
#[must_use]
pub fn run() -> ExitCode {
    keep_memory_private();
    let cli = Cli::parse();
    let outcome = match cli.command.unwrap_or(Command::Serve) {
        Command::Openapi => print(http::openapi::document().trim_end()),
        Command::Token { org, plan, scope, sub, ttl } => token(&org, &plan, scope, sub, ttl),
        Command::Serve => configured().and_then(serve),
        Command::Migrate => configured().and_then(|config| Ok(open_db(&config)?.migrate()?)),
        Command::RotateKeys => configured().and_then(rotate_keys),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let mut message = error.to_string();
            let mut cause = error.source();
            while let Some(source) = cause {
                message = format!("{message}: {source}");
                cause = source.source();
            }
            // Nothing is left to do if standard error is gone too.
            let _ = writeln!(std::io::stderr(), "affzero-connections: {message}");
            ExitCode::FAILURE
        }
    }
}

/// Secrets are in this process's memory: no core dump of it is written, and no other program of the same user may
/// look into it. What a panic says goes nowhere, for it may quote what it stumbled over; where it happened does.
fn keep_memory_private() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
        // A system that refuses dumps nothing that it would not have dumped before.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
        let _ = set_dumpable_behavior(DumpableBehavior::NotDumpable);
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        if tracing::event_enabled!(tracing::Level::ERROR) {
            tracing::error!(place, "panic");
        } else {
            // Logging has not started.
            let _ = writeln!(std::io::stderr(), "affzero-connections: panic at {place}");
        }
    }));
}

fn configured() -> Result<Config, Failure> {
    let config = Config::from_env()?;
    start_logging(&config)?;
    Ok(config)
}

fn start_logging(config: &Config) -> Result<(), Failure> {
    let filter = EnvFilter::try_new(&config.log_filter)?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colours = std::io::stderr().is_terminal();
    let discreet = filter_fn(is_discreet);
    match config.log_format {
        LogFormat::Json => builder.json().flatten_event(true).finish().with(discreet).init(),
        LogFormat::Pretty => builder.with_target(false).with_ansi(colours).finish().with(discreet).init(),
    }
    Ok(())
}

/// The libraries below name the hosts they call, and those are private: however loud the log is asked to be, their
/// details stay out of it.
fn is_discreet(metadata: &Metadata<'_>) -> bool {
    *metadata.level() <= Level::INFO || metadata.target().starts_with(env!("CARGO_CRATE_NAME"))
}

fn print(text: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout(), "{text}")?)
}

fn token(org: &str, plan: &str, scope: Option<String>, sub: Option<String>, ttl: Option<u64>) -> Result<(), Failure> {
    let config = Config::from_env()?;
    let mut grant = Grant::new(org.parse::<OrgId>()?, plan.parse::<Plan>()?);
    if let Some(scope) = scope {
        grant.scope = scope;
    }
    if let Some(subject) = sub {
        grant.subject = subject;
    }
    if let Some(seconds) = ttl {
        grant.ttl = Duration::from_secs(seconds);
    }
    print(&mint(&config.auth, &grant)?)
}

fn open_db(config: &Config) -> Result<Db, Failure> {
    // SQLite has one writer, and readers are quick; each connection costs memory.
    Ok(Db::open(&config.database_url, 8)?)
}

fn rotate_keys(config: Config) -> Result<(), Failure> {
    let db = open_db(&config)?;
    db.migrate()?;
    let vault = Vault::new(config.credentials_keys);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let report = runtime.block_on(rotation::rotate(&db, &vault, |done| {
        let _ = writeln!(std::io::stderr(), "{done} rows looked at");
    }))?;
    print(&report.to_string())
}

/// Puts the service together.
///
/// # Errors
/// A database that cannot be reached, or TLS or tokens that cannot be set up.
pub fn assemble(config: &Config, db: Db) -> Result<(Arc<State>, Connections), Failure> {
    let transport = Transport::new(TransportConfig {
        egress: config.egress.clone(),
        timeout: config.upstream_timeout,
        connect_timeout: config.upstream_connect_timeout,
    })?;
    let verifier = Verifier::new(&config.auth, &transport)?;
    let platforms = Platforms::new(transport, config.gateways.clone());
    let options = Options {
        plan_limits: config.plan_limits,
        verify_failures_per_minute: config.rate_limits.verify_failures_per_minute.map_or(0, Into::into),
        audit_retention: config.audit_retention_days.map(|days| DAY * days.get()),
        stats: stats::Options {
            deadline: config.stats_deadline,
            ttl: config.stats_cache_ttl,
            closed_ttl: config.stats_cache_closed_ttl,
            max_range_days: config.stats_limits.max_range_days,
            max_upstream_calls: config.stats_limits.max_upstream_calls,
            max_rows: config.stats_limits.max_rows,
            max_rows_in_memory: config.stats_limits.max_rows_in_memory,
        },
    };
    let vault = Arc::new(Vault::new(config.credentials_keys.clone()));
    let connections = Connections::new(db, vault, platforms, options);
    let state = State::new(connections.clone(), verifier, &config.rate_limits, config.cors_allowed_origins.clone());
    Ok((state, connections))
}

fn serve(config: Config) -> Result<(), Failure> {
    actix_web::rt::System::new().block_on(serve_until_stopped(config))
}

async fn serve_until_stopped(config: Config) -> Result<(), Failure> {
    let db = open_db(&config)?;
    db.migrate()?;
    let (state, connections) = assemble(&config, db)?;
    if config.redis_url.is_some() {
        tracing::warn!("REDIS_URL is set, but this version keeps its cache and budgets in the process");
    }

    let grace = config.shutdown_grace;
    let shared = Arc::clone(&state);
    let server = HttpServer::new(move || http::app(&shared))
        .disable_signals()
        .shutdown_timeout(grace.as_secs())
        .client_request_timeout(HEAD_PATIENCE)
        // A caller that closes its side has left: what nobody else waits for ends with it.
        .h1_allow_half_closed(false)
        .bind(config.bind_addr)
        .map_err(|error| format!("cannot listen on {}: {error}", config.bind_addr))?;
    let addresses = server.addrs();
    let server = server.run();
    let handle = server.handle();
    let metrics_server = config.metrics_addr.map(serve_metrics).transpose()?;
    let metrics_handle = metrics_server.as_ref().map(actix_web::dev::Server::handle);
    if let Some(server) = metrics_server {
        actix_web::rt::spawn(server);
    }
    let background = actix_web::rt::spawn(connections.clone().work());
    for address in addresses {
        announce(&config, address);
    }

    actix_web::rt::spawn(async move {
        stop_signal().await;
        tracing::info!("stopping: requests in flight may finish");
        state.drain();
        handle.stop(true).await;
    });
    server.await?;
    background.abort();
    connections.flush_uses().await;
    if let Some(handle) = metrics_handle {
        handle.stop(false).await;
    }
    tracing::info!("stopped");
    Ok(())
}

fn announce(config: &Config, address: std::net::SocketAddr) {
    tracing::info!("serving on http://{address}");
    tracing::info!("Swagger UI: http://{address}/swagger-ui/");
    if config.environment == Environment::Development
        && config.auth.jwks_url.is_none()
        && let Some(token) = development_token(&config.auth)
    {
        tracing::info!("a token to paste (organisation `dev`, plan business, valid for a day): {token}");
    }
}

fn development_token(auth: &AuthConfig) -> Option<String> {
    let organisation: OrgId = "dev".parse().ok()?;
    mint(auth, &Grant::new(organisation, Plan::Business)).ok()
}

fn serve_metrics(address: std::net::SocketAddr) -> Result<actix_web::dev::Server, Failure> {
    use actix_web::{App, HttpResponse, web};
    let server = HttpServer::new(|| {
        App::new().route(
            "/metrics",
            web::get().to(|| async {
                HttpResponse::Ok().content_type("text/plain; version=0.0.4; charset=utf-8").body(metrics::render())
            }),
        )
    })
    .workers(1)
    .disable_signals()
    .bind(address)
    .map_err(|error| format!("cannot serve metrics on {address}: {error}"))?;
    for address in server.addrs() {
        tracing::info!("metrics: http://{address}/metrics");
    }
    Ok(server.run())
}

async fn stop_signal() {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminated) = signal(SignalKind::terminate()) {
            tokio::select! {
                _ = interrupted => {}
                _ = terminated.recv() => {}
            }
            return;
        }
    }
    let _ = interrupted.await;
}
