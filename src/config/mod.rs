//! Configuration: environment variables in, one [`Config`] out.
//!
//! A `.env` in the working directory is read first and real variables win. Everything that is missing or bad is
//! reported at once, and nobody outside this module looks at the environment.

mod environment;
mod reader;
mod secrets;
mod settings;
mod variables;

use std::fmt;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use secrecy::{ExposeSecret, SecretString};
use tracing_subscriber::EnvFilter;
use url::Url;

pub use self::environment::Environment;
use self::reader::Reader;
pub use self::secrets::SECRET_FILES;
pub use self::settings::Setting;
pub use self::variables::{Misspelt, Origin, Variables};
use crate::auth::AuthConfig;
use crate::db::DatabaseUrl;
use crate::hosts::Hosts;
use crate::outbound::egress::EgressPolicy;
use crate::platforms::Gateways;
use crate::shared::Address;
use crate::sizing::{DEFAULT_MEMORY_MIB, MEMORY_MIB, Sizing};
use crate::telemetry::LogFormat;
use crate::tenancy::PlanLimits;
use crate::vault::KeyRing;

/// Where development keeps what it generates, and SQLite its file unless configured otherwise.
pub const DATA_DIR: &str = "data";

/// Everything an operator can decide. `Debug` shows no secret.
#[derive(Debug, Clone)]
pub struct Config {
    /// `APP_ENV`
    pub environment: Environment,
    /// `BIND_ADDR`: where the service listens.
    pub bind_addr: SocketAddr,
    /// `METRICS_ADDR`: where `/metrics` is served, if anywhere.
    pub metrics_addr: Option<SocketAddr>,
    /// `DATABASE_URL`
    pub database_url: DatabaseUrl,
    /// `REDIS_URL`
    pub redis_url: Option<Address>,
    /// `AUTH_JWT_SECRET`, `AUTH_JWKS_URL`, `AUTH_JWT_ISSUER`, `AUTH_JWT_AUDIENCE`
    pub auth: AuthConfig,
    /// `CREDENTIALS_KEYS`
    pub credentials_keys: KeyRing,
    /// `EGRESS_ALLOW`, `EGRESS_ALLOW_HTTP`, `EGRESS_CA_FILE`, `EGRESS_ADDRESSES`
    pub egress: EgressPolicy,
    /// `VOLUUM_BASE_URL`, `EVERFLOW_BASE_URL`, `EVERFLOW_EU_BASE_URL`, `CAKE_BASE_DOMAIN`, `TUNE_BASE_URL`
    pub gateways: Gateways,
    /// `PLAN_LIMITS`
    pub plan_limits: PlanLimits,
    /// `UPSTREAM_TIMEOUT_MS`: the longest one call to a tracker may take.
    pub upstream_timeout: Duration,
    /// `UPSTREAM_CONNECT_TIMEOUT_MS`
    pub upstream_connect_timeout: Duration,
    /// `STATS_DEADLINE_MS`: the longest a whole stats request may take.
    pub stats_deadline: Duration,
    /// `STATS_CACHE_TTL_S`, for ranges that include today. Zero turns caching off.
    pub stats_cache_ttl: Duration,
    /// `STATS_CACHE_CLOSED_TTL_S`, for ranges of closed days. Zero turns caching of these off.
    pub stats_cache_closed_ttl: Duration,
    /// `STATS_MAX_…`
    pub stats_limits: StatsLimits,
    /// `RATE_LIMIT_…`
    pub rate_limits: RateLimits,
    /// `AUDIT_RETENTION_DAYS`: how long audit events are kept; `None` is forever, written `0`.
    pub audit_retention_days: Option<NonZeroU32>,
    /// `TRUSTED_PROXIES`: who is believed whose requests it passes on.
    pub trusted_proxies: Vec<IpNet>,
    /// `MEMORY_MIB`: what the process may take, divided.
    pub sizing: Sizing,
    /// `SHUTDOWN_GRACE_S`: how long requests in flight may go on after SIGTERM.
    pub shutdown_grace: Duration,
    /// `HEALTH_CHECK_INTERVAL_S`: how long after it was last seen to work a connection is checked; never, if `None`.
    pub check_interval: Option<Duration>,
    /// `WEBHOOK_TIMEOUT_MS`: the longest that a webhook's receiver may take to answer.
    pub webhook_timeout: Duration,
    /// `WEBHOOK_MAX_PER_ORG`: webhooks that an organisation may have.
    pub webhook_max_per_org: u32,
    /// `SHUTDOWN_NOTICE_S`: how long everything is still answered after SIGTERM, while readiness says no.
    pub shutdown_notice: Duration,
    /// `CORS_ALLOWED_ORIGINS`, exact.
    pub cors_allowed_origins: Vec<String>,
    /// `CONSOLE`: whether the console is served.
    pub console: bool,
    /// `LOG_FORMAT`
    pub log_format: LogFormat,
    /// `RUST_LOG`, checked.
    pub log_filter: String,
}

/// How much one statistics query may ask for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatsLimits {
    /// `STATS_MAX_RANGE_DAYS`
    pub max_range_days: u32,
    /// `STATS_MAX_UPSTREAM_CALLS`
    pub max_upstream_calls: u32,
    /// `STATS_MAX_ROWS`
    pub max_rows: usize,
    /// `STATS_MAX_ROWS_IN_MEMORY`
    pub max_rows_in_memory: usize,
}

/// How often one organisation, or one address, may ask. `None` is unlimited, written `0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// `RATE_LIMIT_PER_ORG`
    pub requests_per_second: Option<NonZeroU32>,
    /// `RATE_LIMIT_VERIFY_FAILURES`
    pub verify_failures_per_minute: Option<NonZeroU32>,
    /// `RATE_LIMIT_AUTH_FAILURES`, by the caller's address.
    pub auth_failures_per_minute: Option<NonZeroU32>,
}

/// Why the service does not start: everything that is wrong, one problem a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// `VARIABLE: what is wrong with it`, without any secret.
    pub problems: Vec<String>,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.problems.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

impl Config {
    /// Reads these variables.
    ///
    /// # Errors
    /// Every missing or bad variable, and those that may have been meant.
    pub fn of(variables: &Variables) -> Result<Self, ConfigError> {
        Self::load(|name| variables.get(name), Path::new(DATA_DIR)).map_err(|ConfigError { mut problems }| {
            problems.extend(variables.misspelt().iter().map(ToString::to_string));
            ConfigError { problems }
        })
    }

    /// Reads variables through `lookup`; what has to be generated is kept in the directory `data`.
    ///
    /// # Errors
    /// Every missing or bad variable.
    pub fn load(lookup: impl Fn(&str) -> Option<String>, data: &Path) -> Result<Self, ConfigError> {
        let mut reader = Reader::new(&lookup);
        let config = Self::read(&mut reader, data);
        reader.finish(config).map_err(|problems| ConfigError { problems })
    }

    /// Reads on past every problem. A variable without a sensible default makes the result `None`, at the very end.
    fn read(reader: &mut Reader<'_>, data: &Path) -> Option<Self> {
        let environment = environment(reader);
        let database_url = database_url(reader, environment);
        let redis_url = redis_url(reader, environment);
        let auth = auth(reader, environment, data);
        let credentials_keys = secrets::credentials_keys(reader, environment, data);
        let bind_addr = reader.read("BIND_ADDR", address);
        Some(Self {
            environment,
            bind_addr: bind_addr.unwrap_or(SocketAddr::from(([127, 0, 0, 1], 8080))),
            metrics_addr: reader.read("METRICS_ADDR", address),
            database_url,
            redis_url,
            auth,
            egress: EgressPolicy {
                allow: reader.list("EGRESS_ALLOW", str::parse),
                allow_http: reader.flag("EGRESS_ALLOW_HTTP", false),
                authorities: reader.read("EGRESS_CA_FILE", authorities).unwrap_or_default(),
                own_addresses: reader.list("EGRESS_ADDRESSES", own_address),
            },
            gateways: gateways(reader),
            plan_limits: reader.read("PLAN_LIMITS", str::parse).unwrap_or_default(),
            upstream_timeout: millis(reader, "UPSTREAM_TIMEOUT_MS", 30_000),
            upstream_connect_timeout: millis(reader, "UPSTREAM_CONNECT_TIMEOUT_MS", 5_000),
            stats_deadline: millis(reader, "STATS_DEADLINE_MS", 60_000),
            stats_cache_ttl: seconds(reader, "STATS_CACHE_TTL_S", 60),
            stats_cache_closed_ttl: seconds(reader, "STATS_CACHE_CLOSED_TTL_S", 900),
            stats_limits: StatsLimits {
                max_range_days: reader.number("STATS_MAX_RANGE_DAYS", 366, 1..=3_660),
                max_upstream_calls: reader.number("STATS_MAX_UPSTREAM_CALLS", 2_000, 1..=1_000_000),
                max_rows: reader.number("STATS_MAX_ROWS", 2_000_000, 1..=1_000_000_000),
                max_rows_in_memory: reader.number("STATS_MAX_ROWS_IN_MEMORY", 200_000, 1..=1_000_000_000),
            },
            rate_limits: RateLimits {
                requests_per_second: NonZeroU32::new(reader.number("RATE_LIMIT_PER_ORG", 0, 0..=1_000_000)),
                verify_failures_per_minute: NonZeroU32::new(reader.number(
                    "RATE_LIMIT_VERIFY_FAILURES",
                    120,
                    0..=1_000_000,
                )),
                auth_failures_per_minute: NonZeroU32::new(reader.number(
                    "RATE_LIMIT_AUTH_FAILURES",
                    600,
                    0..=1_000_000,
                )),
            },
            check_interval: Some(reader.number("HEALTH_CHECK_INTERVAL_S", 21_600, 0..=31_536_000))
                .filter(|seconds| *seconds > 0)
                .map(Duration::from_secs),
            webhook_timeout: millis(reader, "WEBHOOK_TIMEOUT_MS", 10_000),
            webhook_max_per_org: reader.number("WEBHOOK_MAX_PER_ORG", 20, 0..=10_000),
            audit_retention_days: NonZeroU32::new(reader.number("AUDIT_RETENTION_DAYS", 365, 0..=36_500)),
            trusted_proxies: reader.list("TRUSTED_PROXIES", proxies),
            sizing: Sizing::of(reader.number("MEMORY_MIB", DEFAULT_MEMORY_MIB, MEMORY_MIB)),
            shutdown_grace: seconds(reader, "SHUTDOWN_GRACE_S", 30),
            shutdown_notice: seconds(reader, "SHUTDOWN_NOTICE_S", 0),
            cors_allowed_origins: reader.list("CORS_ALLOWED_ORIGINS", exact_origin),
            console: reader.flag("CONSOLE", environment == Environment::Development),
            log_format: log_format(reader, environment),
            log_filter: reader.read("RUST_LOG", log_filter).unwrap_or_else(|| "info".to_owned()),
            credentials_keys: credentials_keys?,
        })
    }
}

fn environment(reader: &mut Reader<'_>) -> Environment {
    let known = |text: &str| match text {
        "development" => Ok(Environment::Development),
        "production" => Ok(Environment::Production),
        _ => Err("must be development or production"),
    };
    match (reader.text("APP_ENV"), reader.read("APP_ENV", known)) {
        (_, Some(environment)) => environment,
        (None, None) => Environment::Development,
        // Nothing is generated for somebody who may have meant production.
        (Some(_), None) => Environment::Production,
    }
}

fn auth(reader: &mut Reader<'_>, environment: Environment, data: &Path) -> AuthConfig {
    let jwks_is_set = reader.text("AUTH_JWKS_URL").is_some();
    AuthConfig {
        secret: secrets::auth_secret(reader, environment, data, !jwks_is_set),
        jwks_url: reader.read("AUTH_JWKS_URL", http_url),
        issuer: reader.text("AUTH_JWT_ISSUER"),
        audience: reader.text("AUTH_JWT_AUDIENCE"),
    }
}

fn database_url(reader: &mut Reader<'_>, environment: Environment) -> DatabaseUrl {
    let url = reader.read("DATABASE_URL", read_database_url);
    let url = url.unwrap_or_else(|| DatabaseUrl::Sqlite(PathBuf::from("data/affzero.db")));
    match &url {
        DatabaseUrl::Sqlite(path) => {
            let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
            if let Some(Err(error)) = parent.map(secrets::make_private_dir) {
                reader.add_problem("DATABASE_URL", format!("the directory of the database cannot be made: {error}"));
            }
        }
        DatabaseUrl::Postgres(address) => {
            secrets::check_passwords(reader, environment, "DATABASE_URL", &passwords_in(address));
        }
    }
    url
}

fn read_database_url(text: &str) -> Result<DatabaseUrl, &'static str> {
    if text.starts_with("sqlite:") && text.contains(":memory:") {
        return Err(
            "a database in memory loses every connection at the end; name a file, such as sqlite://data/affzero.db",
        );
    }
    if let Some(path) = text.strip_prefix("sqlite://") {
        let plain = !path.is_empty() && !path.ends_with('/') && !path.contains(['?', '#']);
        return if plain {
            Ok(DatabaseUrl::Sqlite(path.into()))
        } else {
            Err("sqlite:// must be followed by a file, without options")
        };
    }
    let is_postgres = text.starts_with("postgres://") || text.starts_with("postgresql://");
    if is_postgres && Hosts::parse(text).is_some() {
        return Ok(DatabaseUrl::Postgres(text.into()));
    }
    Err("must look like sqlite://data/affzero.db, postgres://user:password@host/database, or \
         postgres://user:password@host1:5432,host2:5432/database where there are several hosts")
}

fn passwords_in(url: &SecretString) -> Vec<SecretString> {
    Hosts::parse(url.expose_secret()).map(|hosts| hosts.passwords().cloned().collect()).unwrap_or_default()
}

fn redis_url(reader: &mut Reader<'_>, environment: Environment) -> Option<Address> {
    let address = reader.read("REDIS_URL", |text| {
        Address::read(text).ok_or(
            "must look like redis://host:6379, rediss://host:6379 or redis+sentinel://host1,host2/name; a database is a \
             number at its end",
        )
    })?;
    secrets::check_passwords(reader, environment, "REDIS_URL", address.passwords());
    Some(address)
}

fn gateways(reader: &mut Reader<'_>) -> Gateways {
    let mut url = |name: &str, default: &str| {
        let url = reader.read(name, |text| http_url(text).map(|url| url.as_str().trim_end_matches('/').to_owned()));
        url.unwrap_or_else(|| default.to_owned())
    };
    Gateways {
        voluum: url("VOLUUM_BASE_URL", "https://api.voluum.com"),
        everflow_us: url("EVERFLOW_BASE_URL", "https://api.eflow.team"),
        everflow_eu: url("EVERFLOW_EU_BASE_URL", "https://api-eu.eflow.team"),
        cake_domain: reader.read("CAKE_BASE_DOMAIN", domain).unwrap_or_else(|| "cakemarketing.com".to_owned()),
        tune: reader
            .read("TUNE_BASE_URL", network_url)
            .unwrap_or_else(|| "https://{network_id}.api.hasoffers.com".to_owned()),
    }
}

/// An address, or a network of them. One of all addresses would let everybody say who they are.
fn proxies(text: &str) -> Result<IpNet, String> {
    let net: Option<IpNet> = text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
    match net {
        Some(net) if net.prefix_len() == 0 => Err(format!("`{text}` is everybody; name the addresses of the proxies")),
        Some(net) => Ok(net),
        None => Err(format!("`{text}` is not a CIDR such as 10.0.0.0/8")),
    }
}

/// The authorities in a PEM file. A file without any is a mistake, and so is one with an entry that is none.
fn authorities(path: &str) -> Result<Vec<CertificateDer<'static>>, String> {
    let entries = CertificateDer::pem_file_iter(path).map_err(|error| format!("{path} cannot be read: {error}"))?;
    let found: Vec<_> =
        entries.collect::<Result<_, _>>().map_err(|error| format!("{path} is not a PEM file: {error}"))?;
    if found.is_empty() {
        return Err(format!("{path} holds no certificate; one begins with -----BEGIN CERTIFICATE-----"));
    }
    let mut roots = RootCertStore::empty();
    for (number, authority) in (1..).zip(&found) {
        let outcome = roots.add(authority.clone());
        outcome.map_err(|_| format!("{path}: entry {number} is not a certificate of an authority"))?;
    }
    Ok(found)
}

/// An address that trackers may have to allow.
fn own_address(text: &str) -> Result<IpAddr, String> {
    text.parse().map_err(|_| format!("`{text}` is not an IP address such as 192.0.2.10"))
}

/// An address in which `{network_id}` may stand, also as a part of the host's name.
fn network_url(text: &str) -> Result<String, &'static str> {
    let example = text.replace("{network_id}", "network");
    if example.contains(['{', '}']) {
        return Err("only {network_id} may stand in braces");
    }
    http_url(&example)?;
    Ok(text.trim_end_matches('/').to_owned())
}

/// A domain, with a port if need be.
fn domain(text: &str) -> Result<String, String> {
    let text = text.to_ascii_lowercase();
    let alone = http_url(&format!("https://{text}")).is_ok_and(|url| {
        let with_port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
        url.domain().is_some_and(|name| format!("{name}{with_port}") == text)
    });
    if alone { Ok(text) } else { Err(format!("`{text}` is not a domain such as cakemarketing.com")) }
}

/// An address without user, query and fragment.
fn http_url(text: &str) -> Result<Url, &'static str> {
    let complaint = "must look like https://host, without user name, query or fragment";
    let url = Url::parse(text).map_err(|_| complaint)?;
    let plain = matches!(url.scheme(), "https" | "http")
        && url.has_host()
        && url.username().is_empty()
        && url.password().is_none()
        && url.query().is_none()
        && url.fragment().is_none();
    if plain { Ok(url) } else { Err(complaint) }
}

/// An origin in the very form that browsers send, so that comparing text is enough.
fn exact_origin(text: &str) -> Result<String, String> {
    let origin = http_url(text).map(|url| url.origin().ascii_serialization());
    match origin {
        Ok(origin) if origin == text => Ok(origin),
        Ok(origin) => Err(format!("`{text}` is not an origin; did you mean {origin}?")),
        Err(_) => Err(format!("`{text}` is not an origin such as https://app.your-domain.com")),
    }
}

/// `host:port`; a host name is looked up once, now.
fn address(text: &str) -> Result<SocketAddr, String> {
    let found = text.to_socket_addrs().ok().and_then(|mut addresses| addresses.next());
    found.ok_or_else(|| format!("`{text}` is not an address such as 127.0.0.1:8080"))
}

fn log_format(reader: &mut Reader<'_>, environment: Environment) -> LogFormat {
    let chosen = reader.read("LOG_FORMAT", |text| match text {
        "pretty" => Ok(LogFormat::Pretty),
        "json" => Ok(LogFormat::Json),
        _ => Err("must be pretty or json"),
    });
    chosen.unwrap_or(match environment {
        Environment::Development => LogFormat::Pretty,
        Environment::Production => LogFormat::Json,
    })
}

fn log_filter(text: &str) -> Result<String, String> {
    EnvFilter::try_new(text).map(|_| text.to_owned()).map_err(|error| error.to_string())
}

fn millis(reader: &mut Reader<'_>, name: &str, default: u64) -> Duration {
    Duration::from_millis(reader.number(name, default, 1..=3_600_000))
}

fn seconds(reader: &mut Reader<'_>, name: &str, default: u64) -> Duration {
    Duration::from_secs(reader.number(name, default, 0..=86_400))
}

#[cfg(test)]
mod tests;
