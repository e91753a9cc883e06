//! What is in force and where it comes from, for the `config` command. Secrets are left out.

use std::fmt::Display;
use std::num::NonZeroU32;

use serde::Serialize;

use super::variables::{Origin, Variables};
use super::{Config, Environment, RateLimits, StatsLimits};
use crate::auth::AuthConfig;
use crate::db::DatabaseUrl;
use crate::hosts::Hosts;
use crate::outbound::egress::EgressPolicy;
use crate::platforms::Gateways;
use crate::telemetry::LogFormat;

/// What stands in the place of a secret.
const HIDDEN: &str = "(hidden)";

/// One variable, and what is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Setting {
    /// The variable.
    pub name: &'static str,
    /// Its value in the form of the variable, without secrets; `None` where there is none.
    pub value: Option<String>,
    /// Where it comes from.
    pub source: Origin,
}

/// Settings as they are added, each with its origin.
struct List<'a> {
    variables: &'a Variables,
    settings: Vec<Setting>,
}

impl List<'_> {
    fn add(&mut self, name: &'static str, value: impl Display) {
        self.add_if(name, Some(value));
    }

    fn add_if(&mut self, name: &'static str, value: Option<impl Display>) {
        let value = value.map(|value| value.to_string()).filter(|value| !value.is_empty());
        let source = self.variables.origin(name).unwrap_or(Origin::Default);
        self.settings.push(Setting { name, value, source });
    }

    /// What nobody has set and is there all the same was generated.
    fn add_secret(&mut self, name: &'static str, value: Option<String>) {
        let source = self.variables.origin(name).unwrap_or(match value {
            Some(_) => Origin::Generated,
            None => Origin::Default,
        });
        self.settings.push(Setting { name, value, source });
    }

    fn add_list<T: Display>(&mut self, name: &'static str, values: &[T]) {
        self.add(name, values.iter().map(ToString::to_string).collect::<Vec<_>>().join(","));
    }
}

impl Config {
    /// Everything that is in force, variable by variable.
    pub fn settings(&self, variables: &Variables) -> Vec<Setting> {
        // Without `..`: a new part of the configuration has to be shown.
        let Self {
            environment,
            bind_addr,
            metrics_addr,
            database_url,
            redis_url,
            auth: AuthConfig { secret, jwks_url, issuer, audience },
            credentials_keys,
            egress: EgressPolicy { allow, allow_http, authorities, own_addresses },
            gateways: Gateways { voluum, everflow_us, everflow_eu, cake_domain, tune },
            plan_limits,
            upstream_timeout,
            upstream_connect_timeout,
            stats_deadline,
            stats_cache_ttl,
            stats_cache_closed_ttl,
            stats_limits: StatsLimits { max_range_days, max_upstream_calls, max_rows, max_rows_in_memory },
            rate_limits: RateLimits { requests_per_second, verify_failures_per_minute, auth_failures_per_minute },
            audit_retention_days,
            check_interval,
            trusted_proxies,
            sizing,
            webhook_timeout,
            webhook_max_per_org,
            shutdown_grace,
            shutdown_notice,
            cors_allowed_origins,
            console,
            log_format,
            log_filter,
        } = self;
        let mut list = List { variables, settings: Vec::new() };
        list.add(
            "APP_ENV",
            match environment {
                Environment::Development => "development",
                Environment::Production => "production",
            },
        );
        list.add("BIND_ADDR", bind_addr);
        list.add_if("METRICS_ADDR", *metrics_addr);
        list.add(
            "DATABASE_URL",
            match database_url {
                DatabaseUrl::Sqlite(path) => format!("sqlite://{}", path.display()),
                DatabaseUrl::Postgres(_) => without_secrets(variables, "DATABASE_URL"),
            },
        );
        list.add_if("REDIS_URL", redis_url.as_ref().map(|_| without_secrets(variables, "REDIS_URL")));
        list.add_secret("AUTH_JWT_SECRET", secret.as_ref().map(|_| HIDDEN.to_owned()));
        list.add_if("AUTH_JWKS_URL", jwks_url.as_ref());
        list.add_if("AUTH_JWT_ISSUER", issuer.as_ref());
        list.add_if("AUTH_JWT_AUDIENCE", audience.as_ref());
        let keys: Vec<String> = credentials_keys.ids().map(|id| format!("{id}:{HIDDEN}")).collect();
        list.add_secret("CREDENTIALS_KEYS", Some(keys.join(",")));
        list.add_list("EGRESS_ALLOW", allow);
        list.add("EGRESS_ALLOW_HTTP", allow_http);
        let file = variables.get("EGRESS_CA_FILE").filter(|_| !authorities.is_empty());
        list.add_if("EGRESS_CA_FILE", file.as_deref().map(str::trim));
        list.add_list("EGRESS_ADDRESSES", own_addresses);
        list.add("VOLUUM_BASE_URL", voluum);
        list.add("EVERFLOW_BASE_URL", everflow_us);
        list.add("EVERFLOW_EU_BASE_URL", everflow_eu);
        list.add("CAKE_BASE_DOMAIN", cake_domain);
        list.add("TUNE_BASE_URL", tune);
        list.add("PLAN_LIMITS", plan_limits);
        list.add("UPSTREAM_TIMEOUT_MS", upstream_timeout.as_millis());
        list.add("UPSTREAM_CONNECT_TIMEOUT_MS", upstream_connect_timeout.as_millis());
        list.add("STATS_DEADLINE_MS", stats_deadline.as_millis());
        list.add("STATS_CACHE_TTL_S", stats_cache_ttl.as_secs());
        list.add("STATS_CACHE_CLOSED_TTL_S", stats_cache_closed_ttl.as_secs());
        // 0 is how "without a limit" is written.
        list.add("RATE_LIMIT_PER_ORG", requests_per_second.map_or(0, NonZeroU32::get));
        list.add("RATE_LIMIT_VERIFY_FAILURES", verify_failures_per_minute.map_or(0, NonZeroU32::get));
        list.add("RATE_LIMIT_AUTH_FAILURES", auth_failures_per_minute.map_or(0, NonZeroU32::get));
        list.add_list("TRUSTED_PROXIES", trusted_proxies);
        list.add("MEMORY_MIB", sizing.memory_mib);
        list.add("AUDIT_RETENTION_DAYS", audit_retention_days.map_or(0, NonZeroU32::get));
        list.add("HEALTH_CHECK_INTERVAL_S", check_interval.map_or(0, |interval| interval.as_secs()));
        list.add("WEBHOOK_TIMEOUT_MS", webhook_timeout.as_millis());
        list.add("WEBHOOK_MAX_PER_ORG", webhook_max_per_org);
        list.add("STATS_MAX_RANGE_DAYS", max_range_days);
        list.add("STATS_MAX_UPSTREAM_CALLS", max_upstream_calls);
        list.add("STATS_MAX_ROWS", max_rows);
        list.add("STATS_MAX_ROWS_IN_MEMORY", max_rows_in_memory);
        list.add("SHUTDOWN_GRACE_S", shutdown_grace.as_secs());
        list.add("SHUTDOWN_NOTICE_S", shutdown_notice.as_secs());
        list.add_list("CORS_ALLOWED_ORIGINS", cors_allowed_origins);
        list.add("CONSOLE", console);
        list.add("RUST_LOG", log_filter);
        list.add(
            "LOG_FORMAT",
            match log_format {
                LogFormat::Pretty => "pretty",
                LogFormat::Json => "json",
            },
        );
        list.settings
    }
}

/// An address without what stands in it for its user and for nobody else.
fn without_secrets(variables: &Variables, name: &str) -> String {
    let hosts = variables.get(name).and_then(|text| Hosts::parse(text.trim()));
    hosts.map_or_else(|| HIDDEN.to_owned(), |hosts| hosts.with_secrets_as(HIDDEN))
}
