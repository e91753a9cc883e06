//! The commands of the binary, and what their exit codes say.

use std::future::Future;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;

use crate::auth::{Grant, MintError, mint};
use crate::cli::{Cli, Command, TokenArgs};
use crate::config::{Config, ConfigError, Setting, Variables};
use crate::db::{DatabaseUrl, Db};
use crate::doctor;
use crate::http;
use crate::process::{Failure, keep_files_private, keep_memory_private, stop_signal};
use crate::serve::{CONNECTIONS, HAND_OVER, open_db, serve};
use crate::telemetry;
use crate::terminal::{Progress, Steps, one_line, print};
use crate::vault::Vault;
use crate::webhooks::rotation;

/// What the exit code says; the help lists them.
const USAGE: u8 = 2;
const INTERRUPTED: u8 = 130;

/// Somebody pressed Ctrl-C.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("stopped; what is done stays done, and running this again goes on from there")]
struct Interrupted;

/// Something was found that has to be fixed; it has been reported already.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("something needs attention, see above")]
struct Unfinished;

/// Runs the command of the command line.
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
        Command::Config { json } => show(json),
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

fn configured() -> Result<Config, Failure> {
    let variables = Variables::of_process()?;
    let config = Config::of(&variables)?;
    telemetry::start(config.log_format, &config.log_filter)?;
    for misspelt in variables.misspelt() {
        tracing::warn!("{misspelt}");
    }
    Ok(config)
}

/// What is in force, for people or for programs.
fn show(json: bool) -> Result<(), Failure> {
    let variables = Variables::of_process()?;
    let settings = Config::of(&variables)?.settings(&variables);
    if json {
        return Ok(print(&serde_json::to_string_pretty(&settings)?)?);
    }
    let width = settings.iter().map(|setting| setting.name.len()).max().unwrap_or_default();
    let lines = settings.iter().map(|Setting { name, value, source }| {
        let value = one_line(value.as_deref().unwrap_or("-"));
        format!("{name:<width$}  {source:<11}  {value}")
    });
    print(&lines.collect::<Vec<_>>().join("\n"))?;
    for misspelt in variables.misspelt() {
        writeln!(std::io::stderr(), "affzero-connections: {misspelt}")?;
    }
    Ok(())
}

fn token(arguments: TokenArgs) -> Result<(), Failure> {
    let config = Config::of(&Variables::of_process()?)?;
    let TokenArgs { org: organisation, plan, scope, sub: subject, ttl } = arguments;
    let grant = Grant { organisation, plan, scope, subject, ttl: Duration::from_secs(ttl) };
    Ok(print(&mint(&config.auth, &grant)?)?)
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
            progress.show(done);
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
        let mut progress = Progress::new("connections and webhooks", rotation::count(&db).await?);
        progress.show(0);
        Ok(rotation::rotate(&db, &vault, |done| progress.show(done)).await?)
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
    let report = interruptible(async { Ok(doctor::examine(Variables::of_process()).await) })?;
    print(&if json { report.json()? } else { report.text() })?;
    if report.has_failures() { Err(Unfinished.into()) } else { Ok(()) }
}
