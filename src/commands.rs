//! The commands of the binary, and how the parts of the service are put together.

use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use actix_web::{HttpServer, web};
use clap::Parser;
use secrecy::ExposeSecret;

use crate::auth::{AuthConfig, Grant, MintError, Verifier, mint};
use crate::cli::{Cli, Command, TokenArgs};
use crate::config::{Config, ConfigError, Environment};
use crate::connections::rotation;
use crate::connections::service::{Connections, Options};
use crate::connections::stats;
use crate::db::{DatabaseUrl, Db};
use crate::doctor;
use crate::http;
use crate::http::state::State;
use crate::metrics;
use crate::outbound::{Transport, TransportConfig};
use crate::platforms::Platforms;
use crate::shared::Shared;
use crate::telemetry;
use crate::tenancy::{OrgId, Plan};
use crate::terminal::{Progress, Steps, one_line, print};
use crate::vault::Vault;

/// How long a connection that asks for metrics may ask nothing.
const METRICS_PATIENCE: Duration = Duration::from_secs(60);

/// As many descriptors as the process wants, if it may have them.
#[cfg(target_os = "linux")]
const DESCRIPTORS: u64 = 65_536;

const DAY: Duration = Duration::from_secs(24 * 3_600);

/// How long requests are still answered with `shutting_down` before the door closes.
const DRAIN_NOTICE: Duration = Duration::from_millis(300);

/// How long the background may take to hand its work over to others.
const HAND_OVER: Duration = Duration::from_secs(10);

/// How long the uses of the last moments may take to be written.
const LAST_USES: Duration = Duration::from_secs(5);

/// How long everything may take to be put away once all is said. What hangs in a database that is silent ends with the
/// process.
const LAST_ORDER: Duration = Duration::from_secs(2);

/// Connections to the database: SQLite has one writer, and readers are quick; each costs memory.
const CONNECTIONS: u32 = 8;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// What the exit code says; the help lists them.
const USAGE: u8 = 2;
const INTERRUPTED: u8 = 130;

/// Somebody pressed Ctrl-C.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("stopped; what is done stays done, and running this again goes on from there")]
struct Interrupted;

/// Something was found that has to be mended; it has been said already.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("something needs attention, see above")]
struct Unfinished;

/// Runs the command of the command line.
#[must_use]
pub fn run() -> ExitCode {
    keep_memory_private();
    keep_files_private();
    let cli = Cli::parse();
    let outcome = match cli.command.unwrap_or(Command::Serve) {
        Command::Openapi => print(http::openapi::document().trim_end()).map_err(Failure::from),
        Command::Token(arguments) => token(arguments),
        Command::Serve => configured().and_then(serve),
        Command::Migrate => configured().and_then(|config| migrate(&config)),
        Command::RotateKeys => configured().and_then(rotate_keys),
        Command::Backup { file } => configured().and_then(|config| backup(&config, &file)),
        Command::Doctor { json } => examine(json),
    };
    telemetry::flush();
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Nothing is left to do if standard error is gone too.
            let _ = writeln!(std::io::stderr(), "affzero-connections: {}", said(&*error));
            exit_code(&*error)
        }
    }
}

/// Why a command failed, on one line: scripts read the last one. What is wrong with the configuration is a list.
fn said(error: &(dyn std::error::Error + Send + Sync + 'static)) -> String {
    let chain = telemetry::chain(error);
    if error.is::<ConfigError>() { chain } else { one_line(&chain) }
}

fn exit_code(error: &(dyn std::error::Error + Send + Sync + 'static)) -> ExitCode {
    if error.is::<ConfigError>() || error.is::<MintError>() {
        ExitCode::from(USAGE)
    } else if error.is::<Interrupted>() {
        ExitCode::from(INTERRUPTED)
    } else {
        ExitCode::FAILURE
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
            // It may be the end of the process.
            telemetry::flush();
        } else {
            // Logging has not started.
            let _ = writeln!(std::io::stderr(), "affzero-connections: panic at {place}");
        }
    }));
}

/// What this process writes is for its own user alone: the database names customers, even where it is sealed.
fn keep_files_private() {
    #[cfg(target_os = "linux")]
    rustix::process::umask(rustix::fs::Mode::RWXG | rustix::fs::Mode::RWXO);
}

fn configured() -> Result<Config, Failure> {
    let config = Config::from_env()?;
    telemetry::start(&config)?;
    Ok(config)
}

fn token(arguments: TokenArgs) -> Result<(), Failure> {
    let config = Config::from_env()?;
    let TokenArgs { org: organisation, plan, scope, sub: subject, ttl } = arguments;
    let grant = Grant { organisation, plan, scope, subject, ttl: Duration::from_secs(ttl) };
    Ok(print(&mint(&config.auth, &grant)?)?)
}

fn open_db(config: &Config) -> Result<Db, Failure> {
    Ok(Db::open(&config.database_url, CONNECTIONS)?)
}

/// Runs work that Ctrl-C may end. It is dropped where it waits next: no transaction is cut in two.
fn interruptible<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        tokio::select! {
            outcome = work => outcome,
            () = stop_signal() => Err(Interrupted.into()),
        }
    });
    // After success, all that may be left is a lookup of a name that nobody waits for; else a transaction that is not cut
    // in two, unless the database is silent.
    runtime.shutdown_timeout(if outcome.is_ok() { Duration::ZERO } else { HAND_OVER });
    outcome
}

fn migrate(config: &Config) -> Result<(), Failure> {
    let db = open_db(config)?;
    interruptible(async {
        let pending = db.pending_migrations().await?.len();
        let mut progress = Progress::new("migrations", u64::try_from(pending).unwrap_or(u64::MAX));
        let mut done = 0;
        while db.migrate_next().await? {
            done += 1;
            progress.at(done);
        }
        Ok(())
    })
}

fn rotate_keys(config: Config) -> Result<(), Failure> {
    let db = Db::open_for_work(&config.database_url, CONNECTIONS)?;
    let vault = Vault::new(config.credentials_keys);
    let report = interruptible(async {
        while !db.pending_migrations().await?.is_empty() {
            db.migrate_next().await?;
        }
        let mut progress = Progress::new("connections", rotation::count(&db).await?);
        progress.at(0);
        Ok(rotation::rotate(&db, &vault, |done| progress.at(done)).await?)
    })?;
    print(&report.to_string())?;
    if report.is_complete() { Ok(()) } else { Err(Unfinished.into()) }
}

fn backup(config: &Config, file: &Path) -> Result<(), Failure> {
    if let DatabaseUrl::Sqlite(path) = &config.database_url
        && !path.exists()
    {
        return Err(format!("there is no database at {}", path.display()).into());
    }
    let mut steps = Steps::new();
    let copied = open_db(config)?.back_up(file, |step| steps.begin(step))?;
    steps.finish();
    Ok(print(&format!("{} holds {copied} connections and was read back whole", file.display()))?)
}

fn examine(json: bool) -> Result<(), Failure> {
    let report = interruptible(async { Ok(doctor::examine(Config::from_env()).await) })?;
    print(&if json { report.json()? } else { report.text() })?;
    if report.has_failures() { Err(Unfinished.into()) } else { Ok(()) }
}

/// Puts the service together.
///
/// # Errors
/// A database that cannot be reached, or TLS or tokens that cannot be set up.
pub fn assemble(config: &Config, db: Db) -> Result<(Arc<State>, Connections), Failure> {
    let vault = Arc::new(Vault::new(config.credentials_keys.clone()));
    let shared = match &config.redis_url {
        Some(url) => Shared::over(url.expose_secret(), Arc::clone(&vault))?,
        None => Shared::nothing(),
    };
    let transport = Transport::new(TransportConfig {
        egress: config.egress.clone(),
        timeout: config.upstream_timeout,
        connect_timeout: config.upstream_connect_timeout,
    })?;
    let transport = transport.sharing(vault.pseudonyms("account"), Arc::new(shared.clone()));
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
    let connections = Connections::new(db, vault, platforms, shared, options);
    let state = State::new(connections.clone(), verifier, &config.rate_limits, config.cors_allowed_origins.clone());
    Ok((state, connections))
}

fn serve(config: Config) -> Result<(), Failure> {
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
    let (state, connections) = assemble(&config, db)?;
    connections.note_active_key().await;

    let (notice, grace) = (config.shutdown_notice, config.shutdown_grace);
    let workers = std::thread::available_parallelism().map_or(1, Into::into);
    let (addresses, server) = http::server::listen(&state, config.bind_addr, workers, grace)
        .map_err(|error| format!("cannot listen on {}: {error}", config.bind_addr))?;
    let handle = server.handle();
    let metrics_server = config.metrics_addr.map(|address| serve_metrics(address, &connections)).transpose()?;
    let metrics_handle = metrics_server.as_ref().map(actix_web::dev::Server::handle);
    if let Some(server) = metrics_server {
        actix_web::rt::spawn(server);
    }
    let background = actix_web::rt::spawn(connections.clone().work());
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
        // Whoever looks at readiness, or keeps a connection open, gets a moment to notice before nobody listens.
        tokio::time::sleep(DRAIN_NOTICE.min(grace)).await;
        handle.stop(true).await;
    });
    server.await?;
    connections.stop_work();
    if tokio::time::timeout(HAND_OVER, background).await.is_err() {
        tracing::warn!("the background does not end; what it had claimed is free when its leases end");
    }
    if tokio::time::timeout(LAST_USES, connections.flush_uses()).await.is_err() {
        tracing::warn!("the database does not answer; the uses of the last moments are not written");
    }
    if let Some(handle) = metrics_handle {
        handle.stop(false).await;
    }
    tracing::info!("stopped");
    Ok(())
}

/// Where the system bounds the size of files, a write beyond it is an error like a full disk, not the end of the process.
fn survive_large_files() {
    #[cfg(target_os = "linux")]
    {
        use tokio::signal::unix::{SignalKind, signal};
        // Once caught the signal stays caught. If it cannot be, the system does as before.
        drop(signal(SignalKind::from_raw(rustix::process::Signal::XFSZ.as_raw())));
    }
}

/// Takes the descriptors that the system lets a process take but does not give it unasked: each caller needs some.
fn have_descriptors() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
        let wanted = maximum.unwrap_or(u64::MAX).min(DESCRIPTORS);
        if current.is_some_and(|current| current < wanted) {
            // If it may not, there are fewer callers at the same time.
            let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum });
        }
    }
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

fn serve_metrics(address: std::net::SocketAddr, connections: &Connections) -> Result<actix_web::dev::Server, Failure> {
    let connections = web::Data::new(connections.clone());
    let lines = http::lines::Lines::watched(METRICS_PATIENCE);
    let server = HttpServer::new(move || {
        actix_web::App::new()
            .app_data(connections.clone())
            .route("/metrics", web::get().to(show_metrics))
            .wrap(actix_web::middleware::from_fn(http::admission::admit))
    })
    .workers(1)
    .disable_signals()
    .on_connect(move |socket, data| lines.add(socket, data))
    .bind(address)
    .map_err(|error| format!("cannot serve metrics on {address}: {error}"))?;
    for address in server.addrs() {
        tracing::info!("metrics: http://{address}/metrics");
    }
    Ok(server.run())
}

async fn show_metrics(connections: web::Data<Connections>) -> actix_web::HttpResponse {
    let sample = connections.sample().await;
    actix_web::HttpResponse::Ok()
        .content_type("text/plain; version=0.0.4; charset=utf-8")
        .body(metrics::render(&sample))
}

/// Waits for Ctrl-C or SIGTERM, and listens from the moment that it is called, not only once it is waited for.
fn stop_signal() -> impl Future<Output = ()> {
    #[cfg(unix)]
    let listeners = {
        use tokio::signal::unix::{SignalKind, signal};
        (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    };
    async move {
        #[cfg(unix)]
        if let (Ok(mut interrupted), Ok(mut terminated)) = listeners {
            tokio::select! {
                _ = interrupted.recv() => {}
                _ = terminated.recv() => {}
            }
            return;
        }
        let _ = tokio::signal::ctrl_c().await;
    }
}
