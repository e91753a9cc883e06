//! The first release and this one over one PostgreSQL and one Redis, while callers go on.
//!
//! It needs a build of the first release, so it runs on demand: `tests/upgrade.sh` makes one and runs it.

use std::path::PathBuf;
use std::time::Duration;

use super::load::{Balancer, Load};
use super::{Fleet, SIZE, affise};
use crate::support::affise::Affise;
use crate::support::tracker::Simulator;

/// Where the program of the first release is.
const RELEASE: &str = "FIRST_RELEASE";

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a build of the first release: tests/upgrade.sh"]
async fn a_rolling_upgrade_from_the_first_release_and_back_fails_no_request() {
    let release = PathBuf::from(std::env::var_os(RELEASE).expect("FIRST_RELEASE names its program"));
    let variables = [("SHUTDOWN_NOTICE_S", "1"), ("RUST_LOG", "info")];
    let fleet = Fleet::start_build(Some(&release), &variables).await;
    let mut fleet = fleet.expect("TEST_DATABASE_URL names a PostgreSQL, and Redis is installed");
    let network = Simulator::start(Affise::default());
    let token = fleet.token("acme", "business");
    let id = fleet.add(&token, &affise("Steady", &network)).await;
    let balancer = Balancer::before(&fleet).await;
    let load = Load::begin(&balancer, &token, &id);
    // Both releases side by side, a minute in all; then back.
    for (build, name, pause) in [(None, "new", 20), (Some(release), "old again", 5)] {
        fleet.build = build;
        for replaced in 1..=SIZE {
            fleet.replace_oldest(&balancer).await;
            println!("{replaced} of {SIZE} are {name}");
            tokio::time::sleep(Duration::from_secs(pause)).await;
        }
    }
    let done = load.end().await;
    println!("{done} requests, none failed");
    assert!(done > 1_000, "{done} requests are no load");
}
