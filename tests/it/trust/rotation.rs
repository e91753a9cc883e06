//! Keys change while the service runs.

use std::sync::atomic::{AtomicBool, Ordering};

use affzero_connections::connections::rotation::Rotated;
use affzero_connections::db::DbError;
use affzero_connections::db::schema::{connections, verifications};
use affzero_connections::tenancy::Plan;
use affzero_connections::vault::{KeyRing, Vault, key_id};
use affzero_connections::webhooks::rotation::rotate;
use diesel::prelude::*;
use serde_json::json;

use crate::app::{KEYS, TestApp};

const NEW: &str = "k2://79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

fn ring(keys: &[&str]) -> Vault {
    Vault::new(KeyRing::parse(&keys.join(",")).expect("a ring"))
}

/// How many blobs stand under each key: under k1, and under k2.
async fn blobs(app: &TestApp) -> (usize, usize) {
    type Four = (Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>, Option<Vec<u8>>);
    let (rows, history) = app
        .db
        .read(|db| -> Result<(Vec<Four>, Vec<Vec<u8>>), DbError> {
            let columns = (
                connections::settings_sealed,
                connections::credentials_sealed,
                connections::verification_sealed,
                connections::health_sealed,
            );
            Ok((
                connections::table.select(columns).load(db)?,
                verifications::table.select(verifications::report_sealed).load(db)?,
            ))
        })
        .await
        .expect("blobs");
    let all: Vec<Vec<u8>> = rows.into_iter().flat_map(|(a, b, c, d)| [a, b, c, d]).flatten().chain(history).collect();
    let under = |key: &str| all.iter().filter(|blob| key_id(blob) == Some(key)).count();
    assert_eq!(under("k1") + under("k2"), all.len());
    (under("k1"), under("k2"))
}

/// An organisation with some Demo connections, and one that was deleted.
async fn populated(app: &TestApp, count: usize) -> Vec<String> {
    let user = app.user("acme", Plan::Pro);
    let mut ids = Vec::new();
    for number in 0..count {
        ids.push(user.add_demo(&format!("Demo {number}")).await);
    }
    let deleted = user.add_demo("deleted").await;
    assert_eq!(user.delete(&format!("/api/v1/connections/{deleted}")).await.status, 204);
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_that_may_come_again_keep_the_old_key_for_a_day() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let body = json!({ "name": "Once", "platform": "demo" });
    let create = async || user.send("POST", "/api/v1/connections", &[("idempotency-key", "k")], Some(&body)).await;
    create().await.ok(201);
    let report = rotate(&app.db, &ring(&[NEW, KEYS]), |_| {}).await.expect("rotated");
    let until = report.remembered_until.expect("a time");
    let day = jiff::SignedDuration::from_hours(24);
    assert!(until.duration_since(jiff::Timestamp::now()) <= day && report.is_complete());
    assert!(report.to_string().contains(&format!("no longer needed from {until:.0} on")), "{report}");
    let rotated = app.replica(&[("CREDENTIALS_KEYS", &[NEW, KEYS].join(","))]).await;
    let again = rotated.user("acme", Plan::Pro);
    let again = again.send("POST", "/api/v1/connections", &[("idempotency-key", "k")], Some(&body)).await;
    again.ok(201);
    assert_eq!(again.header("idempotency-replayed"), Some("true"));
}

#[tokio::test(flavor = "multi_thread")]
async fn afterwards_the_new_key_alone_opens_everything() {
    let app = TestApp::start().await;
    let ids = populated(&app, 3).await;
    let (before, _) = blobs(&app).await;
    let mut heard = Vec::new();
    let report = rotate(&app.db, &ring(&[NEW, KEYS]), |done| heard.push(done)).await.expect("rotated");
    assert_eq!((report.rows, report.sealed, report.unreadable, report.left), (3, before as u64, 0, 0));
    assert!(report.to_string().ends_with("keys other than the active one are no longer needed"));
    assert_eq!(heard, [3, 3], "once to seal, once to see that nothing is left");
    assert_eq!(blobs(&app).await, (0, before));
    let after = app.replica(&[("CREDENTIALS_KEYS", NEW)]).await;
    let user = after.user("acme", Plan::Pro);
    for id in ids {
        let path = format!("/api/v1/connections/{id}");
        let shown = user.get(&path).await.ok(200);
        assert_eq!((&shown["status"], &shown["version"]), (&json!("active"), &json!(1)));
        let history = user.get(&format!("{path}/verifications")).await.ok(200);
        assert_eq!(history["data"][0]["status"], "ok");
        user.get(&format!("{path}/stats?group_by=date&preset=yesterday")).await.ok(200);
    }
    let again = rotate(&app.db, &ring(&[NEW, KEYS]), |_| {}).await.expect("rotated");
    assert_eq!(again, Rotated { rows: 3, ..Rotated::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_was_killed_is_taken_up_again() {
    let app = TestApp::start().await;
    populated(&app, 30).await;
    let (all, _) = blobs(&app).await;
    let vault = ring(&[NEW, KEYS]);
    let some_are_done = async { while blobs(&app).await.1 == 0 {} };
    let killed = tokio::select! {
        report = rotate(&app.db, &vault, |_| {}) => report.expect("rotated").sealed,
        () = some_are_done => 0,
    };
    let report = rotate(&app.db, &vault, |_| {}).await.expect("rotated");
    assert!(killed > 0 || (report.sealed as usize) < all, "what was done stays done");
    assert_eq!((report.left, blobs(&app).await), (0, (0, all)));
}

fn scenario(round: usize) -> &'static str {
    ["healthy", "slow"][round % 2]
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_made_meanwhile_are_kept_even_by_a_process_with_the_old_active_key() {
    let app = TestApp::start().await;
    let ids = populated(&app, 12).await;
    let serving = app.replica(&[("CREDENTIALS_KEYS", &format!("{KEYS},{NEW}"))]).await;
    let (user, vault, stop) = (serving.user("acme", Plan::Pro), ring(&[NEW, KEYS]), AtomicBool::new(false));
    let edits = async {
        let mut round = 0;
        while round == 0 || !stop.load(Ordering::SeqCst) {
            for (place, id) in ids.iter().enumerate() {
                let body = match place % 2 {
                    0 => json!({ "name": format!("Round {round} of {place}") }),
                    _ => json!({ "settings": { "scenario": scenario(round) } }),
                };
                user.patch(&format!("/api/v1/connections/{id}"), &body).await.ok(200);
            }
            round += 1;
        }
        round - 1
    };
    let rotation = async {
        let report = rotate(&app.db, &vault, |_| {}).await.expect("rotated");
        stop.store(true, Ordering::SeqCst);
        report
    };
    let (last, _) = tokio::join!(edits, rotation);
    let report = rotate(&app.db, &vault, |_| {}).await.expect("rotated");
    assert_eq!((report.unreadable, report.left, blobs(&app).await.0), (0, 0, 0));
    let after = app.replica(&[("CREDENTIALS_KEYS", NEW)]).await;
    for (place, id) in ids.iter().enumerate() {
        let shown = after.user("acme", Plan::Pro).get(&format!("/api/v1/connections/{id}")).await.ok(200);
        assert_eq!(shown["status"], "active", "{shown}");
        match place % 2 {
            0 => assert_eq!(shown["name"], format!("Round {last} of {place}")),
            _ => assert_eq!(shown["settings"]["scenario"], scenario(last)),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_bad_row_breaks_only_itself_and_keeps_the_old_key_needed() {
    let app = TestApp::start().await;
    let ids = populated(&app, 3).await;
    let (bad, other) = (ids[1].clone(), ids[0].clone());
    app.db
        .write("acme".to_owned(), 0, move |db| -> Result<(), DbError> {
            let blob: Option<Vec<u8>> = connections::table
                .filter(connections::id.eq(other))
                .select(connections::credentials_sealed)
                .first(db)?;
            diesel::update(connections::table.filter(connections::id.eq(bad)))
                .set(connections::credentials_sealed.eq(blob))
                .execute(db)?;
            Ok(())
        })
        .await
        .expect("a blob from elsewhere");
    let report = rotate(&app.db, &ring(&[NEW, KEYS]), |_| {}).await.expect("rotated");
    assert_eq!((report.unreadable, report.left), (1, 0));
    assert!(report.to_string().contains("1 blobs cannot be opened by any key: keep the old keys"), "{report}");
    assert_eq!(blobs(&app).await.0, 1);
    let after = app.replica(&[("CREDENTIALS_KEYS", NEW)]).await;
    let list = after.user("acme", Plan::Pro).get("/api/v1/connections?sort=name").await.ok(200);
    let states: Vec<_> = list["data"].as_array().expect("a list").iter().map(|row| row["status"].clone()).collect();
    assert_eq!(states, ["active", "failing", "active"]);
}
