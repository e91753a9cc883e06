//! Configuration as operators write it.

use std::cell::RefCell;
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use secrecy::ExposeSecret;
use tempfile::TempDir;

use super::*;
use crate::tenancy::Plan;

const SECRET: &str = "9f0c1a7be25d4836a1f3c5e7092b4d6f";

fn random_key() -> String {
    STANDARD.encode(std::array::from_fn::<u8, 32, _>(|index| u8::try_from(index * 7).expect("small")))
}

/// Loads with these variables, and with every file kept under `data`.
fn load_in(data: &Path, variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let mut variables: HashMap<String, String> =
        variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let database = format!("sqlite://{}", data.join("affzero.db").display());
    variables.entry("DATABASE_URL".to_owned()).or_insert(database);
    Config::load(|name| variables.get(name).cloned(), data)
}

fn load(variables: &[(&str, &str)]) -> Result<Config, ConfigError> {
    load_in(TempDir::new().expect("a directory").path(), variables)
}

fn problems(variables: &[(&str, &str)]) -> Vec<String> {
    load(variables).expect_err("problems").problems
}

fn only_problem(name: &str, value: &str) -> String {
    let problems = problems(&[(name, value)]);
    assert_eq!(problems.len(), 1, "{problems:?}");
    assert!(problems[0].starts_with(&format!("{name}: ")), "{problems:?}");
    problems[0].clone()
}

fn production(more: &[(&str, &str)]) -> Result<Config, ConfigError> {
    let keys = format!("k1:{}", random_key());
    let mut variables =
        vec![("APP_ENV", "production"), ("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", keys.as_str())];
    variables.retain(|(name, _)| more.iter().all(|(other, _)| name != other));
    variables.extend_from_slice(more);
    load(&variables)
}

#[test]
fn with_nothing_set_everything_has_its_default() {
    let config = load(&[]).expect("a configuration");
    assert_eq!(config.environment, Environment::Development);
    assert_eq!(config.bind_addr, "127.0.0.1:8080".parse().expect("an address"));
    assert_eq!(config.metrics_addr, None);
    assert!(config.redis_url.is_none() && config.auth.jwks_url.is_none());
    assert!(config.auth.issuer.is_none() && config.auth.audience.is_none());
    assert!(config.egress.allow.is_empty() && !config.egress.allow_http);
    assert_eq!(config.gateways.voluum, "https://api.voluum.com");
    assert_eq!(config.gateways.everflow_us, "https://api.eflow.team");
    assert_eq!(config.gateways.everflow_eu, "https://api-eu.eflow.team");
    assert_eq!(config.gateways.cake_domain, "cakemarketing.com");
    assert_eq!(config.gateways.tune, "https://{network_id}.api.hasoffers.com");
    assert_eq!(Plan::ALL.map(|plan| config.plan_limits.limit(plan)), [1, 3, 8, 10]);
    assert_eq!(config.upstream_timeout, Duration::from_secs(30));
    assert_eq!(config.upstream_connect_timeout, Duration::from_secs(5));
    assert_eq!(config.stats_deadline, Duration::from_secs(60));
    assert_eq!(config.stats_cache_ttl, Duration::from_secs(60));
    assert_eq!(config.stats_cache_closed_ttl, Duration::from_secs(900));
    let limits = StatsLimits {
        max_range_days: 366,
        max_upstream_calls: 2_000,
        max_rows: 2_000_000,
        max_rows_in_memory: 200_000,
    };
    assert_eq!(config.stats_limits, limits);
    assert_eq!(config.rate_limits.requests_per_second, None);
    assert_eq!(config.rate_limits.verify_failures_per_minute, NonZeroU32::new(120));
    assert_eq!(config.shutdown_grace, Duration::from_secs(30));
    assert_eq!(config.shutdown_notice, Duration::ZERO);
    assert!(config.cors_allowed_origins.is_empty());
    assert_eq!((config.log_format, config.log_filter.as_str()), (LogFormat::Pretty, "info"));
}

#[test]
fn the_default_database_is_a_file_under_data() {
    assert!(
        matches!(read_database_url("sqlite://data/affzero.db"), Ok(DatabaseUrl::Sqlite(path)) if path == Path::new("data/affzero.db"))
    );
}

#[test]
fn every_problem_is_reported_at_once_one_a_line() {
    let error = load(&[
        ("BIND_ADDR", "nowhere"),
        ("STATS_DEADLINE_MS", "soon"),
        ("EGRESS_ALLOW", "10.0.0.0/8,10.0.0.0/99,here"),
        ("PLAN_LIMITS", "gold=1"),
        ("CREDENTIALS_KEYS", "k1:AAAA"),
        ("AUTH_JWT_SECRET", "short"),
        ("LOG_FORMAT", "xml"),
    ])
    .expect_err("problems");
    let names: Vec<&str> = error.problems.iter().filter_map(|line| line.split(':').next()).collect();
    for name in ["BIND_ADDR", "STATS_DEADLINE_MS", "PLAN_LIMITS", "CREDENTIALS_KEYS", "AUTH_JWT_SECRET", "LOG_FORMAT"] {
        assert_eq!(names.iter().filter(|found| **found == name).count(), 1, "{name} in {names:?}");
    }
    assert_eq!(names.iter().filter(|found| **found == "EGRESS_ALLOW").count(), 2);
    assert_eq!(error.to_string().lines().count(), error.problems.len());
}

#[test]
fn an_empty_variable_counts_as_unset() {
    let config = load(&[("REDIS_URL", ""), ("BIND_ADDR", "  "), ("PLAN_LIMITS", "")]).expect("a configuration");
    assert!(config.redis_url.is_none());
}

#[test]
fn values_are_read() {
    let config = load(&[
        ("BIND_ADDR", "0.0.0.0:9000"),
        ("METRICS_ADDR", "[::1]:9100"),
        ("EGRESS_ALLOW", "127.0.0.1/32:9000, 10.0.0.0/8"),
        ("EGRESS_ALLOW_HTTP", "true"),
        ("VOLUUM_BASE_URL", "http://127.0.0.1:9001/"),
        ("CAKE_BASE_DOMAIN", "Cake.Test:8443"),
        ("TUNE_BASE_URL", "http://127.0.0.1:9002/{network_id}/"),
        ("PLAN_LIMITS", "pro=5"),
        ("UPSTREAM_TIMEOUT_MS", "1500"),
        ("STATS_CACHE_TTL_S", "0"),
        ("RATE_LIMIT_PER_ORG", "50"),
        ("CORS_ALLOWED_ORIGINS", "https://app.affzero.test, http://localhost:5173"),
        ("REDIS_URL", "redis://:pass@127.0.0.1:6379/1"),
        ("RUST_LOG", "warn,affzero_connections=debug"),
        ("LOG_FORMAT", "json"),
    ])
    .expect("a configuration");
    assert_eq!(config.bind_addr.port(), 9000);
    assert_eq!(config.metrics_addr.map(|address| address.port()), Some(9100));
    assert_eq!(config.egress.allow.len(), 2);
    assert!(config.egress.allow_http);
    assert_eq!(config.gateways.voluum, "http://127.0.0.1:9001");
    assert_eq!(config.gateways.cake_domain, "cake.test:8443");
    assert_eq!(config.gateways.tune, "http://127.0.0.1:9002/{network_id}");
    assert_eq!(config.plan_limits.limit(Plan::Pro), 5);
    assert_eq!(config.upstream_timeout, Duration::from_millis(1500));
    assert!(config.stats_cache_ttl.is_zero());
    assert_eq!(config.rate_limits.requests_per_second, NonZeroU32::new(50));
    assert_eq!(config.cors_allowed_origins, ["https://app.affzero.test", "http://localhost:5173"]);
    assert!(config.redis_url.is_some());
    assert_eq!(config.log_format, LogFormat::Json);
    assert_eq!(config.log_filter, "warn,affzero_connections=debug");
}

#[test]
fn what_cannot_be_is_refused() {
    for (name, values) in [
        ("APP_ENV", &["staging"][..]),
        ("BIND_ADDR", &["8080", "127.0.0.1", "127.0.0.1:99999"]),
        ("UPSTREAM_TIMEOUT_MS", &["0", "-1", "1.5", "99999999999999999999", "30s"]),
        ("UPSTREAM_CONNECT_TIMEOUT_MS", &["0"]),
        ("STATS_DEADLINE_MS", &["0"]),
        ("STATS_CACHE_TTL_S", &["-1", "x", "18446744073709551615"]),
        ("STATS_MAX_RANGE_DAYS", &["0"]),
        ("STATS_MAX_ROWS", &["0"]),
        ("EGRESS_ALLOW_HTTP", &["yes"]),
        ("EGRESS_ALLOW", &["10.0.0.0/33", "host.internal"]),
        ("TRUSTED_PROXIES", &["10.0.0.0/33", "proxy.internal", "0.0.0.0/0", "::/0"]),
        ("MEMORY_MIB", &["0", "255", "65537", "1GiB"]),
        ("VOLUUM_BASE_URL", &["api.voluum.com", "ftp://a", "https://u:p@a.test", "https://a.test?x=1"]),
        ("TUNE_BASE_URL", &["{network_id}", "https://{network}.a.test", "https://a.test?id={network_id}"]),
        ("CAKE_BASE_DOMAIN", &["https://cakemarketing.com", "cake.test/x", "a b", "u@cake.test"]),
        (
            "REDIS_URL",
            &["localhost", "http://localhost", "redis://host/name", "redis+sentinel://host", "rediss://host/#insecure"],
        ),
        ("AUTH_JWKS_URL", &["keys.json", "file:///etc/passwd"]),
        ("RUST_LOG", &["affzero=loud"]),
        (
            "DATABASE_URL",
            &["mysql://x/y", "sqlite://", "sqlite://data/", "sqlite://a.db?mode=ro", "postgres:x", "postgres://a:x/db"],
        ),
    ] {
        for value in values {
            let all = problems(&[(name, value)]);
            assert!(all.iter().any(|problem| problem.starts_with(&format!("{name}: "))), "{name}={value}: {all:?}");
        }
    }
}

#[test]
fn an_origin_must_be_written_as_browsers_send_it() {
    for bad in [
        "*",
        "https://app.test/",
        "https://app.test/x",
        "https://App.test",
        "https://app.test:443",
        "app.test",
        "null",
        "ftp://a",
    ] {
        only_problem("CORS_ALLOWED_ORIGINS", bad);
    }
    assert!(only_problem("CORS_ALLOWED_ORIGINS", "https://app.test/").contains("did you mean https://app.test?"));
}

#[test]
fn a_database_in_memory_is_refused_with_the_reason() {
    for url in ["sqlite::memory:", "sqlite://:memory:"] {
        assert!(only_problem("DATABASE_URL", url).contains("in memory"));
    }
}

#[test]
fn a_problem_never_repeats_a_secret() {
    let secret = "hunter2-hunter2";
    let error = load(&[
        ("AUTH_JWT_SECRET", secret),
        ("CREDENTIALS_KEYS", &format!("a:{secret}")),
        ("DATABASE_URL", &format!("postgres//u:{secret}@host")),
        ("REDIS_URL", &format!("redis//:{secret}@host")),
    ])
    .expect_err("problems");
    assert_eq!(error.problems.len(), 4, "{error}");
    assert!(!format!("{error} {error:?}").contains(secret));
}

#[test]
fn debug_shows_no_secret() {
    let config =
        production(&[("DATABASE_URL", "postgres://u:hunter2@host/db"), ("REDIS_URL", "redis://:hunter2@host")])
            .expect("a configuration");
    let shown = format!("{config:?}");
    for secret in [SECRET, "hunter2", &random_key()] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

#[test]
fn development_generates_secrets_and_keeps_them() {
    let data = TempDir::new().expect("a directory");
    let data = data.path().join("data");
    let config = load_in(&data, &[]).expect("a configuration");
    let secret = config.auth.secret.expect("a secret");
    let again = load_in(&data, &[]).expect("a configuration");
    assert_eq!(again.auth.secret.expect("a secret").expose_secret(), secret.expose_secret());

    let mut files: Vec<_> =
        fs::read_dir(&data).expect("a directory").map(|entry| entry.expect("an entry").file_name()).collect();
    files.sort();
    assert_eq!(files, ["auth_jwt_secret", "credentials_keys"]);
    let line = fs::read_to_string(data.join("credentials_keys")).expect("the keys");
    assert!(KeyRing::parse(line.trim()).is_ok());

    let other = load(&[]).expect("a configuration").auth.secret.expect("a secret");
    assert_ne!(other.expose_secret(), secret.expose_secret());
}

#[cfg(unix)]
#[test]
fn generated_secrets_are_for_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;

    let data = TempDir::new().expect("a directory");
    let data = data.path().join("data");
    load_in(&data, &[]).expect("a configuration");
    let mode = |path: &Path| fs::metadata(path).expect("it is there").permissions().mode() & 0o777;
    assert_eq!(mode(&data), 0o700);
    assert_eq!(mode(&data.join("auth_jwt_secret")), 0o600);
    assert_eq!(mode(&data.join("credentials_keys")), 0o600);
}

#[test]
fn a_spoilt_file_is_reported_and_not_replaced() {
    let data = TempDir::new().expect("a directory");
    fs::write(data.path().join("credentials_keys"), "").expect("written");
    let error = load_in(data.path(), &[]).expect_err("a problem");
    assert!(error.problems[0].starts_with("CREDENTIALS_KEYS: "), "{error}");
    assert_eq!(fs::read(data.path().join("credentials_keys")).expect("read"), b"");
}

#[test]
fn set_secrets_are_used_and_nothing_is_written() {
    let data = TempDir::new().expect("a directory");
    let keys = format!("k1:{}", random_key());
    let config =
        load_in(data.path(), &[("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", &keys)]).expect("a configuration");
    assert_eq!(config.auth.secret.expect("a secret").expose_secret(), SECRET);
    assert_eq!(fs::read_dir(data.path()).expect("a directory").count(), 0);
}

#[test]
fn production_lists_all_missing_secrets_and_generates_none() {
    let data = TempDir::new().expect("a directory");
    let error = load_in(data.path(), &[("APP_ENV", "production")]).expect_err("problems");
    assert_eq!(
        error.problems,
        ["AUTH_JWT_SECRET: must be set in production", "CREDENTIALS_KEYS: must be set in production"]
    );
    assert_eq!(fs::read_dir(data.path()).expect("a directory").count(), 0);
}

#[test]
fn production_starts_with_real_secrets() {
    let config = production(&[]).expect("a configuration");
    assert_eq!(config.environment, Environment::Production);
    assert_eq!(config.log_format, LogFormat::Json);
    let with_issuer = production(&[("AUTH_JWT_SECRET", ""), ("AUTH_JWKS_URL", "https://id.affzero.test/keys")]);
    assert!(with_issuer.expect("a configuration").auth.secret.is_none());
}

#[test]
fn production_refuses_examples_repetitions_and_what_development_generated() {
    let data = TempDir::new().expect("a directory");
    let generated = load_in(data.path(), &[]).expect("a configuration").auth.secret.expect("a secret");
    let generated_keys = fs::read_to_string(data.path().join("credentials_keys")).expect("the keys");
    for secret in [
        "change-me-change-me-change-me-change-me",
        &"x".repeat(40),
        "An-Example-Secret-Of-Forty-Characters-yes!",
        generated.expose_secret(),
    ] {
        let error = production(&[("AUTH_JWT_SECRET", secret)]).expect_err(secret);
        assert_eq!(error.problems.len(), 1, "{error}");
        assert!(!error.to_string().contains(secret));
    }
    let zeros = format!("k1:{},k2:{}", random_key(), STANDARD.encode([0; 32]));
    for keys in [zeros.as_str(), generated_keys.trim(), &format!("example:{}", random_key())] {
        let error = production(&[("CREDENTIALS_KEYS", keys)]).expect_err(keys);
        assert!(error.to_string().starts_with("CREDENTIALS_KEYS: "), "{error}");
    }
    for (name, url) in [
        ("DATABASE_URL", "postgres://affzero:change-me@db.affzero.test/affzero"),
        ("DATABASE_URL", "postgres://affzero:change-me@db1.affzero.test,db2.affzero.test/affzero"),
        ("DATABASE_URL", "postgres://affzero@/affzero?host=db.affzero.test&password=change-me"),
        ("REDIS_URL", "redis://:change-me@redis.affzero.test"),
        ("REDIS_URL", "redis+sentinel://:change-me@s1.affzero.test,s2.affzero.test/primary"),
    ] {
        let error = production(&[(name, url)]).expect_err(url);
        assert!(error.to_string().starts_with(name) && !error.to_string().contains("change-me"), "{error}");
    }
}

#[test]
fn a_misspelt_environment_generates_nothing() {
    let data = TempDir::new().expect("a directory");
    assert!(load_in(data.path(), &[("APP_ENV", "prod")]).is_err());
    assert_eq!(fs::read_dir(data.path()).expect("a directory").count(), 0);
}

#[test]
fn the_env_file_is_read_and_its_lines_are_never_quoted() {
    let directory = TempDir::new().expect("a directory");
    let path = directory.path().join(".env");
    assert!(variables::read_dotenv(&path).expect("no file is fine").is_empty());
    fs::write(&path, "# a comment\nBIND_ADDR=127.0.0.1:1\nAUTH_JWT_SECRET=\"a b\"\n").expect("written");
    let pairs = variables::read_dotenv(&path).expect("pairs");
    assert_eq!(pairs.get("BIND_ADDR").map(String::as_str), Some("127.0.0.1:1"));
    assert_eq!(pairs.get("AUTH_JWT_SECRET").map(String::as_str), Some("a b"));
    fs::write(&path, "AUTH_JWT_SECRET='hunter2\n").expect("written");
    let error = variables::read_dotenv(&path).expect_err("a problem");
    assert!(!error.to_string().contains("hunter2"), "{error}");
}

#[test]
fn the_example_names_every_variable_that_is_read_and_no_other() {
    let asked = RefCell::new(BTreeSet::new());
    let data = TempDir::new().expect("a directory");
    let database = format!("sqlite://{}", data.path().join("affzero.db").display());
    let lookup = |name: &str| {
        asked.borrow_mut().insert(name.to_owned());
        (name == "DATABASE_URL").then(|| database.clone())
    };
    Config::load(lookup, data.path()).expect("a configuration");
    let named: BTreeSet<String> = variables::NAMES.iter().map(|name| (*name).to_owned()).collect();
    assert_eq!(asked.into_inner(), named);
}

/// The settings of a configuration, by variable.
fn settings(variables: &Variables) -> HashMap<&'static str, Setting> {
    let data = TempDir::new().expect("a directory");
    let config = Config::load(|name| variables.get(name), data.path()).expect("a configuration");
    let settings = config.settings(variables);
    let mut names: Vec<_> = settings.iter().map(|setting| setting.name).collect();
    assert_eq!(names.len(), variables::NAMES.len());
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), variables::NAMES.len(), "each stands there once");
    settings.into_iter().map(|setting| (setting.name, setting)).collect()
}

#[test]
fn settings_say_what_is_in_force_and_where_it_comes_from() {
    let data = TempDir::new().expect("a directory");
    let database = format!("sqlite://{}", data.path().join("affzero.db").display());
    let process = [("STATS_CACHE_TTL_S", " 30 "), ("RUST_LOG", ""), ("DATABASE_URL", database.as_str())];
    let file =
        [("STATS_CACHE_TTL_S", "7"), ("RUST_LOG", "debug"), ("PLAN_LIMITS", "pro=9"), ("EGRESS_ALLOW", "10.0.0.1")];
    let settings = settings(&Variables::made_of(&process, &file));
    let of = |name: &str| (settings[name].value.as_deref(), settings[name].source);
    assert_eq!(of("STATS_CACHE_TTL_S"), (Some("30"), Origin::Environment));
    assert_eq!(of("PLAN_LIMITS"), (Some("starter=1,pro=9,pro_plus=8,business=10"), Origin::File));
    assert_eq!(of("EGRESS_ALLOW"), (Some("10.0.0.1/32"), Origin::File));
    assert_eq!(of("RUST_LOG"), (Some("info"), Origin::Default), "an empty variable takes the line of the file back");
    assert_eq!(of("METRICS_ADDR"), (None, Origin::Default));
    assert_eq!(of("AUTH_JWT_SECRET"), (Some("(hidden)"), Origin::Generated));
    assert_eq!(of("CREDENTIALS_KEYS"), (Some("generated:(hidden)"), Origin::Generated));
}

#[test]
fn settings_show_no_secret() {
    let keys = format!("k2:{},k1:{}", random_key(), STANDARD.encode([1; 32]));
    let process = [
        ("DATABASE_URL", "postgres://affzero:hunter2@db1,db2:5433/affzero?sslmode=require&sslpassword=hunter2"),
        ("REDIS_URL", "rediss+sentinel://:hunter2@s1,s2/primary/0?sentinel_password=hunter2"),
        ("AUTH_JWT_SECRET", SECRET),
        ("CREDENTIALS_KEYS", keys.as_str()),
    ];
    let settings = settings(&Variables::made_of(&process, &[]));
    let value = |name: &str| settings[name].value.as_deref().expect("a value");
    assert_eq!(
        value("DATABASE_URL"),
        "postgres://affzero:(hidden)@db1,db2:5433/affzero?sslmode=require&sslpassword=(hidden)"
    );
    assert_eq!(value("REDIS_URL"), "rediss+sentinel://:(hidden)@s1,s2/primary/0?sentinel_password=(hidden)");
    assert_eq!(value("CREDENTIALS_KEYS"), "k2:(hidden),k1:(hidden)");
    let all = serde_json::to_string(&settings.values().collect::<Vec<_>>()).expect("JSON");
    assert!(!all.contains("hunter2") && !all.contains(SECRET) && !all.contains(&random_key()), "{all}");
}

#[test]
fn what_may_have_been_meant_stands_beside_what_is_missing() {
    let process = [("APP_ENV", "production"), ("AUTH_JWT_SECRET", SECRET), ("CREDENTIAL_KEYS", "k1:AAAA")];
    let error = Config::of(&Variables::made_of(&process, &[])).expect_err("a key ring is missing");
    assert_eq!(
        error.problems,
        [
            "CREDENTIALS_KEYS: must be set in production",
            "CREDENTIAL_KEYS is set, but no variable of this service; did you mean CREDENTIALS_KEYS?"
        ]
    );
}
