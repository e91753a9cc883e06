//! The network between: cut, stalled, dripping, truncated, flooding.

use std::time::{Duration, Instant};

use affzero_connections::tenancy::Plan;

use super::{connect, report, uncached};
use crate::app::{Answer, TestApp};
use crate::support::affise::Affise;
use crate::support::toxic::{Proxy, Toxic};
use crate::support::tracker::Simulator;

struct Line {
    app: TestApp,
    proxy: Proxy,
    id: String,
    _network: Simulator,
}

impl Line {
    async fn with(variables: &[(&str, &str)]) -> Self {
        let network = Simulator::start(Affise::default());
        let proxy = Proxy::before(&network.url).await;
        let app = uncached(variables).await;
        let id = connect(&app.user("acme", Plan::Pro), "Network", &proxy.url).await;
        Self { app, proxy, id, _network: network }
    }

    /// Pulls over a bad line; when it is good again, so is the next pull.
    async fn pull(&self, toxic: Toxic) -> Answer {
        let user = self.app.user("acme", Plan::Pro);
        self.proxy.turn(toxic);
        let started = Instant::now();
        let answer = user.get(&report(&self.id)).await;
        assert!(started.elapsed() < Duration::from_secs(30), "{toxic:?}: {:?}", started.elapsed());
        self.proxy.turn(Toxic::Pass);
        user.get(&report(&self.id)).await.ok(200);
        let shown = user.get(&format!("/api/v1/connections/{}", self.id)).await.ok(200);
        assert_eq!(shown["status"], "active");
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_breaks_is_an_unavailable_tracker() {
    for toxic in [Toxic::HangUp, Toxic::Truncate] {
        Line::with(&[]).await.pull(toxic).await.problem(502, "upstream_unavailable");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_line_that_stalls_or_drips_is_a_tracker_that_is_too_slow() {
    for (variable, toxic) in [
        ("UPSTREAM_TIMEOUT_MS", Toxic::Stall),
        ("UPSTREAM_TIMEOUT_MS", Toxic::Drip),
        ("STATS_DEADLINE_MS", Toxic::Stall),
        ("STATS_DEADLINE_MS", Toxic::Drip),
    ] {
        Line::with(&[(variable, "1500")]).await.pull(toxic).await.problem(504, "upstream_timeout");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_is_not_taken() {
    let line = Line::with(&[("UPSTREAM_TIMEOUT_MS", "25000")]).await;
    let problem = line.pull(Toxic::Flood).await.problem(502, "upstream_protocol_error");
    assert!(problem["detail"].as_str().expect("a detail").contains("32 MiB"), "{problem}");
    // What the service reads, and what lies in socket buffers.
    assert!(line.proxy.sent() < 64 << 20, "{}", line.proxy.sent());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gzip_bomb_is_not_unpacked() {
    let line = Line::with(&[("UPSTREAM_TIMEOUT_MS", "25000")]).await;
    let problem = line.pull(Toxic::Bomb).await.problem(502, "upstream_protocol_error");
    assert!(problem["detail"].as_str().expect("a detail").contains("32 MiB"), "{problem}");
}
