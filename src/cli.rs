//! The command line: what may be typed, and what is said about it.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::auth::Grant;
use crate::tenancy::{OrgId, Plan};
use crate::version;

const EXIT_CODES: &str = "\
Exit codes:
  0    done
  1    it failed; the last line on standard error says why
  2    wrong usage or configuration; nothing was begun
  130  stopped by Ctrl-C; what is done stays done";

/// Connections to affiliate tracking platforms, and live statistics through them.
///
/// Configured by environment variables and a .env file; .env.example lists them all.
#[derive(Debug, Parser)]
#[command(name = "affzero-connections", version, long_version = version::LONG.as_str(), about, after_help = EXIT_CODES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run pending migrations, then serve (the default).
    #[command(after_help = "Example:\n  BIND_ADDR=0.0.0.0:8080 affzero-connections serve\n\n\
        SIGTERM and Ctrl-C let requests in flight finish, for SHUTDOWN_GRACE_S seconds at most; the exit code is then 0.")]
    Serve,
    /// Run pending migrations and exit.
    #[command(
        after_help = "Example:\n  DATABASE_URL=postgres://user:password@host/database affzero-connections migrate\n\n\
        Each migration is a transaction. After Ctrl-C run it again."
    )]
    Migrate,
    /// Print the OpenAPI document.
    #[command(after_help = "Example:\n  affzero-connections openapi > openapi.json")]
    Openapi,
    /// Mint a token with the configured secret, for development and tests.
    #[command(
        after_help = "Example:\n  affzero-connections token --org acme --plan pro --scope 'stats:read' --ttl 3600"
    )]
    Token(TokenArgs),
    /// Seal every stored credential anew under the active key; the service may go on serving.
    #[command(after_help = "Example:\n  CREDENTIALS_KEYS=k2:…,k1:… affzero-connections rotate-keys\n\n\
        It works in batches. After Ctrl-C run it again: what is done is skipped. Exit code 1 if something is still\n\
        under another key, or opens with none.")]
    RotateKeys,
    /// Copy the SQLite database into a new file, while the service runs. (PostgreSQL has pg_dump.)
    #[command(after_help = "Example:\n  affzero-connections backup backup.db\n\n\
        The copy is checked before this says that it is done, and readable by its owner only. What is sealed in it\n\
        opens with the key ring of today; keep that elsewhere.")]
    Backup {
        /// The file to make; it must not exist.
        file: PathBuf,
    },
    /// Print every setting that is in force and where it comes from, without secrets.
    #[command(
        after_help = "Examples:\n  affzero-connections config\n  affzero-connections config --json | jq '.[] | select(.source != \"default\")'\n\n\
        A source is environment, .env (`file` in JSON), generated, or default. A variable that is probably misspelt is named\n\
        on standard error."
    )]
    Config {
        /// Print JSON, for programs.
        #[arg(long)]
        json: bool,
    },
    /// Check configuration, database, clock, network, key ring and files, and say what to fix.
    #[command(
        after_help = "Examples:\n  affzero-connections doctor\n  affzero-connections doctor --json | jq '.checks[] | select(.status != \"ok\")'\n\n\
        Nothing is changed that stays; in development missing secrets are made, as every command makes them. Exit code 1 if a check failed; warnings are no failures."
    )]
    Doctor {
        /// Print JSON, for programs.
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The organisation the token is for.
    #[arg(long)]
    pub(crate) org: OrgId,
    /// Its plan: starter, pro, pro_plus or business.
    #[arg(long)]
    pub(crate) plan: Plan,
    /// What it allows, separated by blanks: connections:read, connections:write, stats:read, and org:any for internal
    /// services, which name the organisation on each call.
    #[arg(long, default_value = Grant::SCOPE)]
    pub(crate) scope: String,
    /// Who the token is for.
    #[arg(long, default_value = Grant::SUBJECT)]
    pub(crate) sub: String,
    /// How long it is valid, in seconds.
    #[arg(long, default_value_t = Grant::TTL_S, value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) ttl: u64,
}
