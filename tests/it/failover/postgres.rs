//! PostgreSQL with a standby.

use std::collections::HashSet;
use std::time::Duration;

use affzero_connections::tenancy::Plan;
use diesel::connection::Connection;
use diesel::sql_types::Text;
use diesel::{PgConnection, QueryableByName, RunQueryDsl, sql_query};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{create, ready, until};
use crate::app::{KEYS, SECRET, TestApp};
use crate::process::{complaint, run};
use crate::servers::PrivatePostgres;

/// A database that both servers have, whichever is the primary.
fn both(primary: &PrivatePostgres, standby: &PrivatePostgres) -> String {
    format!("postgres://affzero@127.0.0.1:{},127.0.0.1:{}/postgres", primary.port(), standby.port())
}

#[derive(QueryableByName)]
struct Id {
    #[diesel(sql_type = Text)]
    id: String,
}

fn ids(server: &PrivatePostgres) -> HashSet<String> {
    let mut connection = PgConnection::establish(&server.url).expect("PostgreSQL");
    let rows: Vec<Id> = sql_query("SELECT id FROM connections").load(&mut connection).unwrap_or_default();
    rows.into_iter().map(|row| row.id).collect()
}

async fn until_followed(primary: &PrivatePostgres, standby: &PrivatePostgres) {
    until("the standby follows", async || (ids(primary) == ids(standby)).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_failover_that_lost_a_change_nothing_of_before_is_answered() {
    let Some(mut primary) = PrivatePostgres::start() else { return };
    let mut standby = primary.standby();
    let url = both(&primary, &standby);
    let one = TestApp::with(&[("DATABASE_URL", &url)]).await;
    let other = one.replica(&[("DATABASE_URL", &url)]).await;
    let user = one.user("acme", Plan::Pro);
    let id = user.add_demo("Kept").await;
    let path = format!("/api/v1/connections/{id}");
    let stats = format!("{path}/stats?group_by=date&from=2026-09-01&to=2026-09-01");
    until("the standby has it", async || ids(&standby).contains(&id).then_some(())).await;

    standby.stop();
    let lost = user.patch(&path, &json!({ "name": "Lost" })).await;
    assert_eq!(lost.ok(200)["version"], 2);
    let lost_tag = lost.header("etag").expect("a tag").to_owned();
    for app in [&one, &other] {
        // A replica that has not looked for changes for a moment does not answer from memory.
        until("an answer from memory", async || {
            let hit = app.user("acme", Plan::Pro).get(&stats).await;
            hit.header("cache-status").is_some_and(|status| status.contains("hit")).then_some(())
        })
        .await;
    }
    primary.stop();
    standby.restart();
    standby.promote();

    let rejected = json!({ "settings": { "scenario": "rejected_key" } });
    let changed = until("a change", async || {
        let answer = user.patch(&path, &rejected).await;
        (answer.status == 200).then_some(answer)
    })
    .await;
    assert_eq!(changed.ok(200)["version"], 2, "the lost number comes again");
    for app in [&one, &other] {
        let user = app.user("acme", Plan::Pro);
        until("what was kept is forgotten", async || (user.get(&stats).await.status == 424).then_some(())).await;
        user.get(&stats).await.problem(424, "credentials_rejected");
    }
    let stale = user.send("PATCH", &path, &[("if-match", &lost_tag)], Some(&json!({ "name": "Again" }))).await;
    stale.problem(412, "version_conflict");
    let healthy = json!({ "settings": { "scenario": "healthy" } });
    user.patch(&path, &healthy).await.ok(200);
    user.get(&stats).await.ok(200);
    until("it is cacheable again", async || {
        let hit = user.get(&stats).await;
        hit.header("cache-status").is_some_and(|status| status.contains("hit")).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_goes_back_to_an_old_primary_that_thaws() {
    let Some(primary) = PrivatePostgres::start() else { return };
    let standby = primary.standby();
    let url = both(&primary, &standby);
    let one = TestApp::with(&[("DATABASE_URL", &url)]).await;
    let other = one.replica(&[("DATABASE_URL", &url)]).await;
    let mut acknowledged = HashSet::new();
    let load = async |round: &str| -> Vec<Option<String>> {
        let creates = (0..8).map(|number| {
            let app = if number % 2 == 0 { &one } else { &other };
            let (organisation, name) = (format!("org{number}"), format!("{round} {number}"));
            async move {
                let answer = create(&app.user(&organisation, Plan::Business), &name).await;
                (answer.status == 201).then(|| answer.json()["id"].as_str().expect("an id").to_owned())
            }
        });
        join_all(creates).await
    };
    for round in 0..3 {
        acknowledged.extend(load(&format!("before {round}")).await.into_iter().flatten());
    }
    assert_eq!(acknowledged.len(), 24);
    until_followed(&primary, &standby).await;

    primary.stall();
    standby.promote();
    let mut round = 0;
    until("creates reach the new primary", async || {
        round += 1;
        let done = load(&format!("meanwhile {round}")).await;
        let all = done.iter().all(Option::is_some);
        acknowledged.extend(done.into_iter().flatten());
        all.then_some(())
    })
    .await;
    primary.go_on();
    for round in 0..20 {
        let done = load(&format!("after {round}")).await;
        assert!(done.iter().all(Option::is_some), "round {round}: {done:?}");
        acknowledged.extend(done.into_iter().flatten());
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let kept = ids(&standby);
    let missing: Vec<_> = acknowledged.difference(&kept).collect();
    assert!(missing.is_empty(), "{} of {} acknowledged creates are lost", missing.len(), acknowledged.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_isolation_that_a_role_is_given_changes_nothing() {
    let Some(server) = PrivatePostgres::start() else { return };
    for level in ["serializable", "repeatable read"] {
        server.run(&format!("ALTER ROLE affzero SET default_transaction_isolation = '{level}'"));
        let app = TestApp::with(&[("DATABASE_URL", &server.url)]).await;
        let replica = app.replica(&[("DATABASE_URL", &server.url)]).await;
        let users = [app.user("acme", Plan::Business), replica.user("acme", Plan::Business)];
        let creates = (0..60).map(|number| {
            let user = &users[number % 2];
            async move { create(user, &format!("{level} {number}")).await.status }
        });
        let refused = join_all(creates).await.into_iter().filter(|status| *status != 201).count();
        assert_eq!(refused, 0, "of 60 at {level}");
        let all = users[0].get("/api/v1/connections?limit=100").await.ok(200);
        for connection in all["data"].as_array().expect("connections") {
            let id = connection["id"].as_str().expect("an id");
            users[0].delete(&format!("/api/v1/connections/{id}")).await.ok(204);
        }
    }
}

fn doctor(folder: &TempDir, url: &str) -> Value {
    let variables = [
        ("DATABASE_URL", url),
        ("AUTH_JWT_SECRET", SECRET),
        ("CREDENTIALS_KEYS", KEYS),
        ("EGRESS_ALLOW", "127.0.0.0/8,::1/128"),
        ("VOLUUM_BASE_URL", "http://127.0.0.1:1"),
        ("EVERFLOW_BASE_URL", "http://127.0.0.1:1"),
        ("EVERFLOW_EU_BASE_URL", "http://127.0.0.1:1"),
        ("CAKE_BASE_DOMAIN", "localhost:1"),
        ("BIND_ADDR", "127.0.0.1:0"),
    ];
    let output = run(folder.path(), &["doctor", "--json"], &variables);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", complaint(&output)))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_only_reads_is_reported_in_one_sentence() {
    let Some(primary) = PrivatePostgres::start() else { return };
    let standby = primary.standby();
    let folder = TempDir::new().expect("a folder");
    let variables = [("DATABASE_URL", standby.url.as_str()), ("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", KEYS)];
    let refused = run(folder.path(), &["serve"], &variables);
    assert!(!refused.status.success());
    let said = complaint(&refused);
    assert!(said.contains("takes no writes: it is a standby; name the primary in DATABASE_URL"), "{said}");
    assert!(!said.contains("CREATE TABLE"), "{said}");
    assert!(doctor(&folder, &standby.url).to_string().contains("it is a standby"));

    let app = TestApp::with(&[("DATABASE_URL", &primary.url)]).await;
    assert_eq!(ready(&app).await["checks"]["database"], "ok");
    primary.run("ALTER ROLE affzero SET default_transaction_read_only = on");
    let over_read_only =
        run(folder.path(), &["migrate"], &[variables[1], variables[2], ("DATABASE_URL", &primary.url)]);
    assert!(
        complaint(&over_read_only).contains("default_transaction_read_only is on"),
        "{}",
        complaint(&over_read_only)
    );
    assert!(doctor(&folder, &primary.url).to_string().contains("default_transaction_read_only is on"));
    primary.run(
        "SET default_transaction_read_only = off; ALTER ROLE affzero RESET default_transaction_read_only; \
                 ALTER SYSTEM SET default_transaction_read_only = on",
    );
    primary.run("SELECT pg_reload_conf()");
    let unready = until("not ready", async || {
        let ready = ready(&app).await;
        (ready["status"] == "not_ready").then_some(ready)
    })
    .await;
    assert!(unready["reasons"]["database"].as_str().expect("a reason").contains("takes no writes"), "{unready}");
    primary.run("SET default_transaction_read_only = off; ALTER SYSTEM RESET default_transaction_read_only");
    primary.run("SELECT pg_reload_conf()");
    until("ready again", async || (ready(&app).await["status"] == "ready").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_synchronous_standby_that_is_away_shows_in_readiness() {
    let Some(primary) = PrivatePostgres::start() else { return };
    let mut standby = primary.standby();
    primary.run("ALTER SYSTEM SET synchronous_standby_names = '*'");
    primary.run("SELECT pg_reload_conf()");
    let app = TestApp::with(&[("DATABASE_URL", &primary.url)]).await;
    create(&app.user("acme", Plan::Pro), "Both have it").await.ok(201);
    assert_eq!(ready(&app).await["checks"]["standby"], "ok");
    standby.stop();
    let away = until("the standby is missed", async || {
        let ready = ready(&app).await;
        (ready["checks"]["standby"] == "away").then_some(ready)
    })
    .await;
    assert_eq!(away["status"], "ready", "reading goes on");
    assert!(away["reasons"]["standby"].as_str().expect("a reason").contains("synchronous_standby_names"));
    standby.restart();
    until("it is back", async || (ready(&app).await["checks"]["standby"] == "ok").then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_hosts_may_stand_where_libpq_takes_them() {
    let Some(primary) = PrivatePostgres::start() else { return };
    let standby = primary.standby();
    let (one, two) = (standby.port(), primary.port());
    for url in [
        format!("postgres://affzero@127.0.0.1:{one},127.0.0.1:{two}/postgres"),
        format!("postgres://affzero@127.0.0.1:{one},127.0.0.1:{two}/postgres?target_session_attrs=primary"),
        format!("postgresql://affzero@/postgres?host=127.0.0.1,127.0.0.1&port={one},{two}"),
        format!("postgres:///postgres?hostaddr=127.0.0.1,127.0.0.1&port={one},{two}&user=affzero"),
    ] {
        let app = TestApp::with(&[("DATABASE_URL", &url)]).await;
        create(&app.user("acme", Plan::Business), &url).await.ok(201);
    }
}
