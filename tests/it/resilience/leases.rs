//! Deferred verifications with several workers, some of them dead.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use affzero_connections::clock::now_micros;
use affzero_connections::db::schema::connections;
use affzero_connections::db::{DbConnection, DbError};
use affzero_connections::tenancy::Plan;
use diesel::prelude::*;
use serde_json::json;
use tempfile::TempDir;

use super::{connect, uncached};
use crate::app::{TestApp, User};
use crate::process::Service;
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
    claimed_until(&app, now_micros() + 60_000_000).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(verifications(&network), 0);
    claimed_until(&app, 2).await;
    until_none_is(&user, "unverified").await;
    assert_eq!(verifications(&network), 1);
}

/// Connections that are being verified right now, by organisation.
async fn leased(app: &TestApp) -> BTreeMap<String, i64> {
    let rows: Vec<(String, i64)> = app
        .db
        .read(|db| -> Result<_, DbError> {
            let leased = connections::table.filter(connections::lease_until.is_not_null());
            Ok(leased
                .group_by(connections::organisation_id)
                .select((connections::organisation_id, diesel::dsl::count_star()))
                .load(db)?)
        })
        .await
        .expect("counts");
    rows.into_iter().collect()
}

async fn add_deferred(user: &User<'_>, number: usize, url: &str) {
    let body = json!({
        "name": format!("Network {number}"), "platform": "affise", "connection_type": "admin",
        "settings": { "base_url": url }, "credentials": { "api_key": ADMIN_KEY },
    });
    user.post("/api/v1/connections?verify=deferred", &body).await.ok(201);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_with_many_holds_up_nobody_and_takes_few_places() {
    let network = Simulator::start(Affise::default());
    network.always(Some(Fault::Stall(Duration::from_secs(1))));
    let app = uncached(&[("PLAN_LIMITS", "starter=1,pro=3,pro_plus=8,business=40")]).await;
    let crowd = app.user("crowd", Plan::Business);
    for number in 0..30 {
        add_deferred(&crowd, number, &network.url).await;
    }
    let mut most = BTreeMap::new();
    for number in 0..6 {
        add_deferred(&app.user(&format!("single-{number}"), Plan::Pro), 0, &network.url).await;
    }
    let started = Instant::now();
    for number in 0..6 {
        let single = app.user(&format!("single-{number}"), Plan::Pro);
        while single.get("/api/v1/connections?status=active").await.ok(200)["data"] == json!([]) {
            assert!(started.elapsed() < Duration::from_secs(60), "single-{number} waits for the crowd");
            for (organisation, count) in leased(&app).await {
                let known = most.entry(organisation).or_insert(0);
                *known = count.max(*known);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
    assert_eq!(most["crowd"], 2, "{most:?}");
    let waiting = crowd.get("/api/v1/connections?limit=100&status=unverified").await.ok(200);
    assert!(waiting["data"].as_array().expect("rows").len() > 10, "most of the crowd came after the others");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stops_hands_its_claims_over_at_once() {
    let network = Simulator::start(Affise::default());
    network.always(Some(Fault::Stall(Duration::from_secs(15))));
    let folder = TempDir::new().expect("a folder");
    let variables = [("EGRESS_ALLOW", "127.0.0.0/8"), ("SHUTDOWN_GRACE_S", "1")];
    let first = Service::start(folder.path(), &variables);
    let token = first.wait_for("valid for a day): ");
    let body = json!({
        "name": "Network", "platform": "affise", "connection_type": "admin",
        "settings": { "base_url": network.url }, "credentials": { "api_key": ADMIN_KEY },
    });
    let created = first.send(&token, "POST", "/api/v1/connections?verify=deferred", Some(&body)).await.ok(201);
    let path = format!("/api/v1/connections/{}", created["id"].as_str().expect("an id"));
    let started = Instant::now();
    while network.requests().is_empty() {
        assert!(started.elapsed() < Duration::from_secs(30), "it is never verified");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (status, written) = first.stop();
    assert!(status.success(), "{written}");

    network.always(None);
    let second = Service::start(folder.path(), &variables);
    let started = Instant::now();
    while second.send(&token, "GET", &path, None).await.ok(200)["status"] != "active" {
        assert!(started.elapsed() < Duration::from_secs(30), "nobody takes over");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_says_that_the_background_works() {
    let app = TestApp::start().await;
    assert_eq!(app.anonymous("GET", "/readyz").await.ok(200)["checks"]["background"], "ok");
}
