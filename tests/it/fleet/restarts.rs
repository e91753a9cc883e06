//! A new release, one process after the other, while callers go on.

use std::time::Duration;

use super::load::{Balancer, Load};
use super::{Fleet, SIZE, affise};
use crate::support::affise::Affise;
use crate::support::tracker::Simulator;

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_fails_no_request() {
    let Some(mut fleet) = Fleet::start(&[("SHUTDOWN_NOTICE_S", "1"), ("RUST_LOG", "info")]).await else { return };
    let network = Simulator::start(Affise::default());
    let token = fleet.token("acme", "business");
    let id = fleet.add(&token, &affise("Steady", &network)).await;
    let balancer = Balancer::before(&fleet).await;
    let load = Load::begin(&balancer, &token, &id);
    for _ in 0..SIZE {
        tokio::time::sleep(Duration::from_millis(300)).await;
        fleet.replace_oldest(&balancer).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    let done = load.end().await;
    assert!(done > 100, "{done} requests are no load");
}
