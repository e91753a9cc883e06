//! Databases that earlier releases have written, in the hands of this one. `tests/fixtures/release-0.1` holds one for
//! each kind of database, and says how it was made.

use std::path::Path;
use std::time::{Duration, Instant};

use affzero_connections::db::{DatabaseUrl, Db};
use affzero_connections::tenancy::Plan;
use diesel::connection::SimpleConnection;
use diesel::sql_types::Bool;
use diesel::{Connection, PgConnection, QueryableByName, RunQueryDsl, sql_query};
use serde_json::{Value, json};

use crate::app::{TestApp, User};
use crate::servers::Schema;
use crate::support::affise::Affise;
use crate::support::tracker::Simulator;

/// Where the release's Affise connection leads to.
const TRACKER_PORT: u16 = 27_127;
/// How long another run of the tests may keep that port.
const TIMEOUT: Duration = Duration::from_secs(60);

async fn release() -> TestApp {
    let release = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/release-0.1");
    // Its events are older every day.
    TestApp::over_release(&release, &[("AUDIT_RETENTION_DAYS", "0")]).await
}

fn tracker() -> Simulator {
    let started = Instant::now();
    loop {
        let tracker = Simulator::start_at(Affise::default(), TRACKER_PORT);
        if tracker.url.ends_with(&TRACKER_PORT.to_string()) {
            return tracker;
        }
        assert!(started.elapsed() < TIMEOUT, "port {TRACKER_PORT} is in use");
        std::thread::sleep(Duration::from_millis(100));
    }
}

async fn all(user: &User<'_>, path: &str) -> Vec<Value> {
    user.get(&format!("/api/v1/{path}")).await.ok(200)["data"].as_array().expect("a list").clone()
}

async fn named(user: &User<'_>, name: &str) -> Value {
    let connections = all(user, "connections?limit=100").await;
    connections.into_iter().find(|connection| connection["name"] == name).unwrap_or_else(|| panic!("no {name}"))
}

fn texts<'a>(of: &'a [Value], member: &str) -> Vec<&'a str> {
    of.iter().map(|one| one[member].as_str().unwrap_or_default()).collect()
}

#[derive(QueryableByName)]
struct Waits {
    #[diesel(sql_type = Bool)]
    waits: bool,
}

#[test]
fn migrations_and_a_writer_of_the_first_release_do_not_wait_for_each_other() {
    // SQLite has one lock for everything.
    let Some(schema) = Schema::make() else { return };
    let connect = || PgConnection::establish(&schema.url).expect("PostgreSQL");
    let dump = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/release-0.1/affzero.sql");
    let dump = std::fs::read_to_string(dump).expect("the release's dump");
    connect().batch_execute(&dump).expect("the release's database");
    // As the first release begins whatever it writes.
    let mut writer = connect();
    writer.batch_execute("BEGIN; UPDATE organisations SET writes = writes + 1").expect("the organisations are locked");

    let url = DatabaseUrl::Postgres(schema.url.clone().into());
    let migrations = std::thread::spawn(move || Db::open(&url, 1).expect("a database").migrate());
    let mut observer = connect();
    let started = Instant::now();
    let waiting = "SELECT EXISTS (SELECT FROM pg_locks \
                   WHERE NOT granted AND relation = 'organisations'::regclass) AS waits";
    while !sql_query(waiting).get_result::<Waits>(&mut observer).expect("the locks").waits {
        assert!(started.elapsed() < TIMEOUT, "the migrations wait for no writer");
        std::thread::sleep(Duration::from_millis(20));
    }
    writer.batch_execute("SELECT COUNT(*) FROM connections; COMMIT").expect("the writer goes on");
    migrations.join().expect("no panic").expect("the migrations go on");
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_and_history_of_the_first_release_are_readable() {
    let app = release().await;
    let user = app.user("acme", Plan::Pro);
    let mut connections = all(&user, "connections?limit=100&sort=name").await;
    // The attempts at the deferred one go on.
    connections.retain(|connection| connection["name"] != "Later");
    assert_eq!(texts(&connections, "name"), ["Brand A, renamed", "Demo network", "Rejected"]);
    assert_eq!(texts(&connections, "status"), ["active", "active", "failing"]);
    assert_eq!(connections[0]["version"], 2);
    assert_eq!(connections[0]["settings"]["base_url"], format!("http://127.0.0.1:{TRACKER_PORT}"));
    assert!(connections.iter().all(|connection| connection["last_verification"]["status"] == "ok"), "{connections:?}");
    assert_eq!(named(&user, "Later").await["status"], "unverified");

    let id = |connection: &Value| connection["id"].as_str().expect("an id").to_owned();
    let verifications = all(&user, &format!("connections/{}/verifications", id(&connections[0]))).await;
    assert_eq!(texts(&verifications, "status"), ["ok", "ok"]);
    let automations = all(&user, &format!("connections/{}/automations", id(&connections[1]))).await;
    let mut automations = texts(&automations, "automation_id");
    automations.sort_unstable();
    assert_eq!(automations, ["bid-optimiser", "nightly-report"]);

    let other = all(&app.user("other", Plan::Starter), "connections").await;
    assert_eq!(texts(&other, "name"), ["Demo network"], "an organisation sees its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_audit_trail_of_the_first_release_is_whole() {
    let app = release().await;
    let user = app.user("acme", Plan::Pro);
    let mut events = all(&user, "audit-events?limit=100").await;
    events.retain(|event| event["actor"] == "maria");
    let count = |action: &str| events.iter().filter(|event| event["action"] == action).count();
    let counts = ["created", "updated", "deleted", "used"].map(|action| count(&format!("connection.{action}")));
    assert_eq!(counts, [5, 1, 1, 3]);
    assert!(count("connection.verified") >= 3);
    let deleted = events.iter().find(|event| event["action"] == "connection.deleted").expect("the event");
    let path = format!("/api/v1/connections/{}", deleted["connection_id"].as_str().expect("an id"));
    user.get(&path).await.problem(410, "connection_deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_of_the_first_release_open_and_work() {
    let tracker = tracker();
    let app = release().await;
    let user = app.user("acme", Plan::Pro);
    let connection = named(&user, "Brand A, renamed").await;
    let path = format!("/api/v1/connections/{}", connection["id"].as_str().expect("an id"));
    let verification = user.post(&format!("{path}/verify"), &json!({})).await.ok(200);
    assert_eq!(verification["status"], "ok", "{verification}");
    assert!(!tracker.requests().is_empty(), "the tracker was asked with the release's key");
    let changed = user.patch(&path, &json!({ "name": "Brand A, again" })).await.ok(200);
    assert_eq!(changed["version"], 3);
    let demo = named(&user, "Demo network").await;
    let table =
        format!("/api/v1/connections/{}/stats?group_by=date&preset=yesterday", demo["id"].as_str().expect("an id"));
    user.get(&table).await.ok(200);
}
