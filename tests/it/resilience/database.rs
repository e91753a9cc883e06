//! The service's own database does not answer for a while.

use std::time::Duration;

use affzero_connections::db::DatabaseUrl;
use affzero_connections::tenancy::Plan;
use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use secrecy::ExposeSecret;
use serde_json::json;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

use crate::app::{TestApp, on_sqlite};
use crate::connections::eventually;

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_written_is_said_so_and_needs_no_restart() {
    let app = TestApp::start().await;
    if !on_sqlite(&app) {
        // A shared PostgreSQL server is not this test's to stop.
        return;
    }
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Before").await;
    let file = app.folder.path().join("affzero.db");
    let mut hog = SqliteConnection::establish(&file.display().to_string()).expect("the same file");
    hog.batch_execute("BEGIN EXCLUSIVE").expect("the only writer");

    let answer = user.post("/api/v1/connections", &json!({ "name": "During", "platform": "demo" })).await;
    answer.problem(503, "overloaded");
    assert!(answer.header("retry-after").is_some());
    // Statistics need no write.
    user.get(&format!("/api/v1/connections/{id}/stats?group_by=date&preset=yesterday")).await.ok(200);

    hog.batch_execute("ROLLBACK").expect("room for others");
    user.add_demo("During").await;
}

/// The line to a database server, which can be cut and mended.
struct Wire {
    port: u16,
    whole: watch::Sender<bool>,
}

impl Wire {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let whole = watch::Sender::new(true);
        let state = whole.subscribe();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (server, mut state) = (server.clone(), state.clone());
                tokio::spawn(async move {
                    if *state.borrow_and_update()
                        && let Ok(mut server) = TcpStream::connect(&server).await
                    {
                        tokio::select! {
                            _ = copy_bidirectional(&mut client, &mut server) => {}
                            _ = state.changed() => {}
                        }
                    }
                });
            }
        });
        Self { port, whole }
    }

    fn is_whole(&self, whole: bool) {
        self.whole.send_replace(whole);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_from_the_database_it_answers_with_nothing_that_others_may_have_changed() {
    let app = TestApp::start().await;
    let DatabaseUrl::Postgres(url) = &app.config.database_url else {
        // A file has no line that could be cut, and no other machines behind it.
        return;
    };
    let mut url: Url = url.expose_secret().parse().expect("a URL");
    let server = format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5_432));
    let wire = Wire::to(server).await;
    url.set_host(Some("127.0.0.1")).expect("a host");
    url.set_port(Some(wire.port)).expect("a port");
    let replica = app.replica(&[("DATABASE_URL", url.as_str())]).await;
    let (user, near) = (app.user("acme", Plan::Pro), replica.user("acme", Plan::Pro));
    let stats = |id: &str| format!("/api/v1/connections/{id}/stats?group_by=date&preset=yesterday");
    let (changed, kept) = (user.add_demo("Before").await, user.add_demo("Kept").await);
    // The first look at what others changed may take an answer along that was pulled just after.
    let from_memory = async |id: &str| {
        let what = "answers come from memory";
        let answer = eventually(what, async || {
            let answer = near.get(&stats(id)).await;
            Some(answer).filter(|answer| answer.header("cache-status").is_some_and(|status| status.contains("hit")))
        });
        answer.await.json()["fetched_at"].clone()
    };
    from_memory(&changed).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    from_memory(&changed).await;
    let before = from_memory(&kept).await;

    wire.is_whole(false);
    user.patch(&format!("/api/v1/connections/{changed}"), &json!({ "name": "After" })).await.ok(200);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for id in [&changed, &kept] {
        near.get(&stats(id)).await.problem(503, "overloaded");
    }
    assert_eq!(replica.anonymous("GET", "/readyz").await.json()["checks"]["database"], "unavailable");

    wire.is_whole(true);
    let fresh = eventually("the database answers again", async || {
        Some(near.get(&stats(&changed)).await).filter(|answer| answer.status == 200)
    })
    .await;
    assert_eq!(fresh.json()["connection"]["name"], "After");
    from_memory(&changed).await;
    assert_eq!(from_memory(&kept).await, before, "what nobody changed was not thrown away");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_that_leaves_while_uses_are_written_takes_none_along() {
    let app = TestApp::start().await;
    if !on_sqlite(&app) {
        // Nobody else may hold the writer's place up on a shared server.
        return;
    }
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Used").await;
    let file = app.folder.path().join("affzero.db");
    let mut hog = SqliteConnection::establish(&file.display().to_string()).expect("the same file");
    hog.batch_execute("BEGIN EXCLUSIVE").expect("the only writer");
    let pull = format!("/api/v1/connections/{id}/stats?group_by=date&preset=yesterday");
    user.send("GET", &pull, &[("x-automation-id", "weekly-mail")], None).await.ok(200);
    let automations = format!("/api/v1/connections/{id}/automations");
    for _ in 0..3 {
        let impatient = tokio::time::timeout(Duration::from_millis(200), user.get(&automations)).await;
        assert!(impatient.is_err(), "what was used cannot be written yet");
    }
    hog.batch_execute("ROLLBACK").expect("room for others");
    eventually("the use", async || {
        let known = user.get(&automations).await.ok(200);
        (known["data"][0]["automation_id"] == "weekly-mail").then_some(())
    })
    .await;
}
