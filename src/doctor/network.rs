//! Who may call, whom the service may call, and whether it gets there.

use std::time::Duration;

use futures_util::future::join_all;
use url::Url;

use super::check::Check;
use crate::clock::millis;
use crate::config::{Config, Environment};
use crate::outbound::error::ErrorKind;
use crate::outbound::{Transport, TransportConfig};
use crate::shared::{self, Refusal};

/// The longest that anything outside is waited for.
const TIMEOUT: Duration = Duration::from_secs(5);

pub(super) fn cors(config: &Config) -> Check {
    let origins = &config.cors_allowed_origins;
    let plain: Vec<&str> = origins.iter().map(String::as_str).filter(|origin| origin.starts_with("http://")).collect();
    match (origins.len(), config.environment) {
        (0, _) => Check::ok("cors", "no browser application of another origin may call"),
        (_, Environment::Production) if !plain.is_empty() => {
            let fix = "serve it over https: anyone in between can change the page, and take its tokens";
            Check::warn("cors", format!("{} is not https", plain.join(", ")), fix)
        }
        (count, _) => Check::ok("cors", format!("{count} origins may call: {}", origins.join(", "))),
    }
}

pub(super) fn egress(config: &Config) -> Check {
    let policy = &config.egress;
    let allowed: Vec<String> = policy.allow.iter().map(ToString::to_string).collect();
    let beyond = if allowed.is_empty() { String::new() } else { format!(", and {}", allowed.join(", ")) };
    let schemes = if policy.allow_http { "https and http" } else { "https" };
    let found = format!("public hosts over {schemes}{beyond}");
    let wide: Vec<String> = policy.allow.iter().filter(|net| net.is_wide()).map(ToString::to_string).collect();
    if !wide.is_empty() {
        let fix = "name the trackers' own networks, best with a port: every user can have these called";
        return Check::warn("egress", format!("{found}; {} is wide open", wide.join(", ")), fix);
    }
    if policy.allow_http && config.environment == Environment::Production {
        return Check::warn("egress", found, "set EGRESS_ALLOW_HTTP=false: keys go over the line in the clear");
    }
    Check::ok("egress", found)
}

/// Whether Redis does what replicas need of it, where it is configured.
pub(super) async fn redis(config: &Config) -> Option<Check> {
    const CHECK: &str = "redis";
    let place = config.redis_url.as_ref()?;
    Some(match shared::knock(place.clone()).await {
        Ok(took) => Check::ok(CHECK, format!("{place} reads and writes, joined in {} ms", millis(took))),
        Err(Refusal { cause, fix, may_pass }) => {
            let found = format!("{place} {cause}; each replica keeps its own cache and limits");
            if may_pass { Check::warn(CHECK, found, fix) } else { Check::fail(CHECK, found, fix) }
        }
    })
}

/// The fixed gateways of platforms, and the keys of the token issuer.
pub(super) async fn outside(config: &Config) -> Vec<Check> {
    let transport = Transport::new(TransportConfig {
        egress: config.egress.clone(),
        timeout: TIMEOUT,
        connect_timeout: config.upstream_connect_timeout.min(TIMEOUT),
    });
    let transport = match transport {
        Ok(transport) => transport,
        Err(error) => return vec![Check::fail("tls", error.to_string(), "report this")],
    };
    let gateways = &config.gateways;
    let cake = format!("https://{}", gateways.cake_domain);
    // Which networks there are nobody knows; the API's own name stands under the same domain.
    let tune = gateways.tune.replace("{network_id}.", "");
    let probes = [
        ("gateway_voluum", gateways.voluum.as_str()),
        ("gateway_everflow_us", gateways.everflow_us.as_str()),
        ("gateway_everflow_eu", gateways.everflow_eu.as_str()),
        ("gateway_cake", cake.as_str()),
        ("gateway_tune", tune.as_str()),
    ];
    let probes = join_all(probes.map(|(check, address)| gateway(&transport, check, address)));
    let (mut checks, issuer) = tokio::join!(probes, issuer(&transport, config.auth.jwks_url.as_ref()));
    checks.extend(issuer);
    checks
}

async fn gateway(transport: &Transport, check: &'static str, address: &str) -> Check {
    let Ok(url) = Url::parse(address) else {
        return Check::fail(check, format!("{address} is no address"), "fix its variable");
    };
    match transport.probe(&url).await {
        Ok(took) => Check::ok(check, format!("{address} answers in {} ms", millis(took))),
        Err(error) if error.kind == ErrorKind::EgressBlocked => {
            Check::fail(check, error.detail, "add its network to EGRESS_ALLOW, or fix its variable")
        }
        Err(error) => {
            let fix = "look at this machine's DNS, routes, firewall and clock; fine if nobody needs this platform";
            Check::warn(check, error.detail, fix)
        }
    }
}

async fn issuer(transport: &Transport, url: Option<&Url>) -> Option<Check> {
    const CHECK: &str = "token_issuer";
    let url = url?;
    let fix = "fix AUTH_JWKS_URL or the way there: without its keys no token is believed";
    Some(match transport.fetch_public(url).await {
        Ok(body) => match keys_in(&body) {
            Some(count @ 1..) => Check::ok(CHECK, format!("{url} publishes {count} keys")),
            Some(0) | None => Check::fail(CHECK, format!("{url} answers without any key"), fix),
        },
        Err(error) => Check::fail(CHECK, error.detail, fix),
    })
}

fn keys_in(body: &[u8]) -> Option<usize> {
    let document: serde_json::Value = serde_json::from_slice(body).ok()?;
    document.get("keys")?.as_array().map(Vec::len)
}
