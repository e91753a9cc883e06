//! Deferred verifications with several workers, some of them dead.

use std::time::{Duration, Instant};

use affzero_connections::db::schema::connections;
use affzero_connections::db::{DbConnection, DbError};
use affzero_connections::tenancy::Plan;
use diesel::prelude::*;
use serde_json::json;

use super::{connect, uncached};
use crate::app::{TestApp, User};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::{Fault, Simulator};

/// Waits until no connection of the organisation is in this status.
async fn until_none_is(user: &User<'_>, status: &str) {
    let started = Instant::now();
    loop {
        let page = user.get(&format!("/api/v1/connections?limit=100&status={status}")).await.ok(200);
        if page["data"].as_array().expect("rows").is_empty() {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "still {status}: {page}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// How many verifications reached the tracker.
fn verifications(network: &Simulator) -> usize {
    network.requests().iter().filter(|request| request.path == "/3.0/stats/custom").count()
}

/// What a worker leaves that claimed everything and died.
async fn claimed_until(app: &TestApp, lease: i64) {
    app.db
        .write("test".to_owned(), 0, move |db: &mut DbConnection| -> Result<(), DbError> {
            diesel::update(connections::table)
                .set((
                    connections::status.eq("unverified"),
                    connections::verify_after.eq(Some(1_i64)),
                    connections::lease_until.eq(Some(lease)),
                ))
                .execute(db)?;
            Ok(())
        })
        .await
        .expect("a change");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_replicas_share_the_work_without_doing_any_twice() {
    let network = Simulator::start(Affise::default());
    network.always(Some(Fault::Stall(Duration::from_millis(30))));
    let app = uncached(&[]).await;
    let _second = app.replica(&[]).await;
    let _third = app.replica(&[]).await;
    let user = app.user("acme", Plan::Business);
    for number in 0..10 {
        let body = json!({
            "name": format!("Network {number}"), "platform": "affise", "connection_type": "admin",
            "settings": { "base_url": network.url }, "credentials": { "api_key": ADMIN_KEY },
        });
        let created = user.post("/api/v1/connections?verify=deferred", &body).await.ok(201);
        assert_eq!(created["status"], "unverified");
    }
    until_none_is(&user, "unverified").await;
    assert_eq!(verifications(&network), 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn work_of_a_dead_worker_is_left_alone_while_leased_and_taken_over_afterwards() {
    let network = Simulator::start(Affise::default());
    let app = uncached(&[]).await;
    let _second = app.replica(&[]).await;
    let user = app.user("acme", Plan::Pro);
    connect(&user, "Network", &network.url).await;
    network.forget();
    claimed_until(&app, i64::MAX).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(verifications(&network), 0);
    claimed_until(&app, 2).await;
    until_none_is(&user, "unverified").await;
    assert_eq!(verifications(&network), 1);
}
