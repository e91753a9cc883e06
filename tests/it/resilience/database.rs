//! The service's own database does not answer for a while.

use std::time::{Duration, Instant};

use affzero_connections::db::{DatabaseUrl, Db, DbConnection, DbError};
use affzero_connections::tenancy::Plan;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use futures_util::future::join_all;
use secrecy::ExposeSecret;
use serde_json::json;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use url::Url;

use crate::app::{KEYS, SECRET, TestApp, on_sqlite};
use crate::connections::eventually;
use crate::process::{Service, run};
use crate::servers::{PrivatePostgres, Schema};

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

#[tokio::test(flavor = "multi_thread")]
async fn all_who_wait_for_a_file_that_others_write_are_answered_in_time() {
    let app = TestApp::start().await;
    if !on_sqlite(&app) {
        // Nobody else may hold the writer's place up on a shared server.
        return;
    }
    let user = app.user("acme", Plan::Pro);
    user.add_demo("Before").await;
    let file = app.folder.path().join("affzero.db");
    let mut hog = SqliteConnection::establish(&file.display().to_string()).expect("the same file");
    hog.batch_execute("BEGIN IMMEDIATE").expect("the only writer");
    let started = Instant::now();
    let bodies: Vec<_> = (0..6).map(|number| json!({ "name": format!("{number}"), "platform": "demo" })).collect();
    let others = app.user("other", Plan::Pro);
    let writes = bodies.iter().enumerate().map(|(number, body)| {
        let writer = if number % 2 == 0 { &user } else { &others };
        writer.post("/api/v1/connections", body)
    });
    for answer in join_all(writes).await {
        answer.problem(503, "overloaded");
        assert!(answer.header("retry-after").is_some());
    }
    assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
    hog.batch_execute("ROLLBACK").expect("room for others");
    user.add_demo("After").await;
    assert_eq!(user.get("/api/v1/usage").await.ok(200)["demo_used"], 2, "what was refused was not done later");
}

/// The longest that anybody waits for the database, with a moment for a busy machine.
const IN_TIME: Duration = Duration::from_secs(13);

/// What becomes of the line to a database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Line {
    /// It carries everything.
    Whole,
    /// It is cut: anyone who uses it notices at once.
    Cut,
    /// It carries nothing, and nobody is notified.
    Silent,
    /// What it has gone silent for stays silent; only new connections are carried.
    Anew,
}

/// The line to a database server.
struct Wire {
    port: u16,
    line: watch::Sender<Line>,
}

impl Wire {
    async fn to(server: String) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("an address").port();
        let line = watch::Sender::new(Line::Whole);
        let state = line.subscribe();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, server.clone(), state.clone()));
            }
        });
        Self { port, line }
    }

    /// The line to the database of an app, and the URL that leads over it; nothing if the database is a file.
    async fn before(app: &TestApp) -> Option<(Self, Url)> {
        let DatabaseUrl::Postgres(url) = &app.config.database_url else { return None };
        Some(Self::to_url(url.expose_secret()).await)
    }

    async fn to_url(url: &str) -> (Self, Url) {
        let mut url: Url = url.parse().expect("a URL");
        let wire = Self::to(format!("{}:{}", url.host_str().expect("a host"), url.port().unwrap_or(5_432))).await;
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(wire.port)).expect("a port");
        (wire, url)
    }

    fn is(&self, line: Line) {
        self.line.send_replace(line);
    }
}

async fn carry(client: TcpStream, server: String, mut line: watch::Receiver<Line>) {
    let is_new = *line.borrow_and_update() == Line::Anew;
    if *line.borrow() == Line::Cut {
        return;
    }
    let mut cut = line.clone();
    let carrying = async {
        until_carried(&mut line, is_new).await;
        let Ok(server) = TcpStream::connect(&server).await else { return };
        let ((client_out, client_in), (server_out, server_in)) = (client.into_split(), server.into_split());
        let (there, back) =
            (pump(client_out, server_in, line.clone(), is_new), pump(server_out, client_in, line, is_new));
        tokio::join!(there, back);
    };
    tokio::select! {
        () = carrying => {}
        _ = cut.wait_for(|line| *line == Line::Cut) => {}
    }
}

async fn until_carried(line: &mut watch::Receiver<Line>, is_new: bool) {
    let _ = line.wait_for(|line| *line == Line::Whole || is_new && *line == Line::Anew).await;
}

async fn pump(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut line: watch::Receiver<Line>, is_new: bool) {
    let mut part = [0; 8_192];
    while let Ok(length @ 1..) = from.read(&mut part).await {
        until_carried(&mut line, is_new).await;
        if to.write_all(&part[..length]).await.is_err() {
            return;
        }
    }
}

const LIST: &str = "/api/v1/connections";

fn stats(id: &str, preset: &str) -> String {
    format!("/api/v1/connections/{id}/stats?group_by=date&preset={preset}")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_falls_silent_is_given_up_and_needs_no_restart() {
    let app = TestApp::start().await;
    let Some((wire, url)) = Wire::before(&app).await else { return };
    let replica = app.replica(&[("DATABASE_URL", url.as_str()), ("STATS_DEADLINE_MS", "3000")]).await;
    let user = replica.user("acme", Plan::Pro);
    let id = user.add_demo("Before").await;
    // All connections are open.
    for answer in join_all((0..20).map(|_| user.get(LIST))).await {
        answer.ok(200);
    }
    user.get(&stats(&id, "yesterday")).await.ok(200);

    wire.is(Line::Silent);
    let started = Instant::now();
    let report = async {
        let answer = user.get(&stats(&id, "last_7_days")).await;
        answer.problem(503, "overloaded");
        assert!(answer.header("retry-after").is_some());
        started.elapsed()
    };
    let created = json!({ "name": "During", "platform": "demo" });
    let lists = join_all((0..12).map(|_| user.get(LIST)));
    let (report, created, lists) = tokio::join!(report, user.post(LIST, &created), lists);
    assert!(report < Duration::from_secs(3), "a report has a deadline of its own: {report:?}");
    created.problem(503, "overloaded");
    lists.iter().for_each(|answer| drop(answer.problem(503, "overloaded")));
    assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());
    assert_eq!(replica.anonymous("GET", "/readyz").await.json()["checks"]["database"], "unavailable");

    // The lost connections are lost for good; others are not.
    wire.is(Line::Anew);
    eventually("the database answers over new connections", async || {
        (user.get(LIST).await.status == 200).then_some(())
    })
    .await;
    for answer in join_all((0..8).map(|_| user.get(LIST))).await {
        answer.ok(200);
    }
    user.add_demo("Anew").await;

    wire.is(Line::Whole);
    for answer in join_all((0..20).map(|_| user.get(LIST))).await {
        answer.ok(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_process_ends_in_order_though_its_database_is_silent() {
    let Some(schema) = Schema::make() else { return };
    let (wire, url) = Wire::to_url(&schema.url).await;
    let folder = TempDir::new().expect("a folder");
    let variables = [
        ("DATABASE_URL", url.as_str()),
        ("AUTH_JWT_SECRET", SECRET),
        ("CREDENTIALS_KEYS", KEYS),
        ("SHUTDOWN_GRACE_S", "1"),
    ];
    let service = Service::start(folder.path(), &variables);
    let minted = run(folder.path(), &["token", "--org", "acme", "--plan", "pro"], &variables);
    let token = String::from_utf8(minted.stdout).expect("text").trim().to_owned();
    let demo = json!({ "name": "Demo", "platform": "demo" });
    let created = service.send(&token, "POST", LIST, Some(&demo)).await.ok(201);
    let id = created["id"].as_str().expect("an id");
    // Enough connections for the background to hang in one of them too.
    for answer in join_all((0..20).map(|_| service.send(&token, "GET", LIST, None))).await {
        answer.ok(200);
    }
    wire.is(Line::Silent);
    // Something to be written at the end, and threads that hang in the database.
    service.send(&token, "GET", &stats(id, "yesterday"), None).await.problem(503, "overloaded");
    let stopped = tokio::task::spawn_blocking(move || service.stop()).await;
    let (status, written) = stopped.expect("it ends");
    assert_eq!(status.code(), Some(0), "{written}");
    assert!(written.contains("stopped"), "everything is said: {written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_a_lost_session_holds_holds_up_its_own_organisation_only() {
    let app = TestApp::start().await;
    let DatabaseUrl::Postgres(url) = &app.config.database_url else { return };
    let (user, other) = (app.user("acme", Plan::Pro), app.user("other", Plan::Pro));
    let (held, id) = (user.add_demo("Held").await, other.add_demo("Free").await);
    let mut lost = PgConnection::establish(url.expose_secret()).expect("a session");
    lost.batch_execute("BEGIN; UPDATE organisations SET writes = writes + 1 WHERE id = 'acme'").expect("a lock");

    let started = Instant::now();
    let body = |name: String| json!({ "name": name, "platform": "demo" });
    let bodies: Vec<_> = (0..10).map(|number| body(format!("Late {number}"))).collect();
    let late = join_all(bodies.iter().map(|body| user.post(LIST, body)));
    let others = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        while started.elapsed() < Duration::from_secs(8) {
            let asked = Instant::now();
            other.get(LIST).await.ok(200);
            other.get(&stats(&id, "last_7_days")).await.ok(200);
            other.patch(&format!("{LIST}/{id}"), &json!({ "name": format!("{:?}", asked.elapsed()) })).await.ok(200);
            // Reading needs no lock.
            user.get(&stats(&held, "last_7_days")).await.ok(200);
            assert_eq!(app.anonymous("GET", "/readyz").await.status, 200);
            assert!(asked.elapsed() < Duration::from_secs(3), "{:?}", asked.elapsed());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let (late, ()) = tokio::join!(late, others);
    for answer in late {
        answer.problem(503, "overloaded");
        assert!(answer.header("retry-after").is_some());
    }
    assert!(started.elapsed() < IN_TIME, "{:?}", started.elapsed());

    lost.batch_execute("ROLLBACK").expect("room for others");
    user.add_demo("After").await;
    assert_eq!(user.get("/api/v1/usage").await.ok(200)["demo_used"], 2, "what was refused was not done later");
}

#[derive(QueryableByName)]
struct Setting {
    #[diesel(sql_type = diesel::sql_types::Text)]
    setting: String,
}

/// What a session of the service says of its own bounds.
async fn bounds(app: &TestApp) -> Vec<String> {
    const ASK: &str = "SELECT setting FROM pg_settings WHERE name IN \
                       ('statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout') ORDER BY name";
    let asking = app.db.read(|db| -> Result<Vec<Setting>, DbError> {
        let DbConnection::Postgres(db) = db else { panic!("this is PostgreSQL") };
        Ok(sql_query(ASK).load(db)?)
    });
    asking.await.expect("settings").into_iter().map(|row| row.setting).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_lets_go_of_what_it_holds_by_itself_and_the_url_says_when() {
    let app = TestApp::start().await;
    let DatabaseUrl::Postgres(url) = &app.config.database_url else { return };
    assert_eq!(bounds(&app).await, ["10000", "3000", "5000"]);
    let own = format!("{}%20-cstatement_timeout%3D7s", url.expose_secret());
    let replica = app.replica(&[("DATABASE_URL", &own)]).await;
    assert_eq!(bounds(&replica).await, ["10000", "3000", "7000"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_waits_for_another_for_longer_than_a_request_waits_for_anything() {
    let Some(postgres) = PrivatePostgres::start() else { return };
    let db = Db::open(&DatabaseUrl::Postgres(postgres.url.as_str().into()), 2).expect("a database");
    let mut other = PgConnection::establish(&postgres.url).expect("a session");
    other.batch_execute("SELECT pg_advisory_lock(4021877)").expect("another one migrates");
    let migrating = tokio::spawn(async move { db.migrate_next().await });
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!migrating.is_finished());
    drop(other);
    assert!(migrating.await.expect("no panic").expect("a migration"));
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_from_the_database_it_answers_with_nothing_that_others_may_have_changed() {
    let app = TestApp::start().await;
    // A file has no line that could be cut, and no other machines behind it.
    let Some((wire, url)) = Wire::before(&app).await else { return };
    let replica = app.replica(&[("DATABASE_URL", url.as_str())]).await;
    let (user, near) = (app.user("acme", Plan::Pro), replica.user("acme", Plan::Pro));
    let stats = |id: &str| stats(id, "yesterday");
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

    wire.is(Line::Cut);
    user.patch(&format!("/api/v1/connections/{changed}"), &json!({ "name": "After" })).await.ok(200);
    tokio::time::sleep(Duration::from_secs(1)).await;
    for id in [&changed, &kept] {
        near.get(&stats(id)).await.problem(503, "overloaded");
    }
    assert_eq!(replica.anonymous("GET", "/readyz").await.json()["checks"]["database"], "unavailable");

    wire.is(Line::Whole);
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
