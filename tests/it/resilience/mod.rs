//! The service while trackers, networks and processes fail, seen by its callers.

mod bounds;
mod breaker;
mod crash;
mod database;
#[cfg(target_os = "linux")]
mod disk;
mod fairness;
mod leases;
mod leaving;
#[cfg(target_os = "linux")]
mod memory;
mod places;
mod queue;
mod retries;
#[cfg(target_os = "linux")]
mod soak;
mod taken_up;
mod toxic;

use affzero_connections::tenancy::Plan;
use serde_json::json;

use crate::app::{TestApp, User};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::{Reply, Simulator};

/// A network and a connection to it.
struct Stage {
    app: TestApp,
    network: Simulator,
    id: String,
}

impl Stage {
    async fn set(variables: &[(&str, &str)]) -> Self {
        Self::set_with(variables, Affise::default()).await
    }

    async fn set_with(variables: &[(&str, &str)], network: Affise) -> Self {
        let network = Simulator::start(network);
        let app = uncached(variables).await;
        let id = connect(&app.user("acme", Plan::Pro), "Network", &network.url).await;
        network.forget();
        Self { app, network, id }
    }

    fn user(&self) -> User<'_> {
        self.app.user("acme", Plan::Pro)
    }

    /// How often reports were asked for.
    fn reports(&self) -> usize {
        self.network.requests().iter().filter(|request| request.path == "/3.0/stats/custom").count()
    }
}

/// A service whose every answer comes from a tracker.
async fn uncached(variables: &[(&str, &str)]) -> TestApp {
    let mut all = vec![("STATS_CACHE_TTL_S", "0")];
    all.extend_from_slice(variables);
    TestApp::with(&all).await
}

async fn connect(user: &User<'_>, name: &str, url: &str) -> String {
    user.add(json!({
        "name": name, "platform": "affise", "connection_type": "admin",
        "settings": { "base_url": url }, "credentials": { "api_key": ADMIN_KEY },
    }))
    .await
}

/// A small report.
fn report(id: &str) -> String {
    report_of_day(id, 1)
}

/// A report that no other day's shares a pull with.
fn report_of_day(id: &str, day: usize) -> String {
    let (month, day) = (9 - day / 28, day % 28 + 1);
    format!("/api/v1/connections/{id}/stats?group_by=offer&from=2026-{month:02}-{day:02}&to=2026-{month:02}-{day:02}")
}

fn unavailable() -> Reply {
    Reply::text(503, "text/plain", "out of order")
}
