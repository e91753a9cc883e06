//! What is in the database, byte by byte, and what becomes of it when keys change or rows are damaged.

use std::path::Path;
use std::time::Duration;

use affzero_connections::connections::names;
use affzero_connections::db::schema::{connections, verifications};
use affzero_connections::db::{DbConnection, DbError};
use affzero_connections::tenancy::Plan;
use affzero_connections::vault::{self, KeyRing, Vault};
use affzero_connections::webhooks::rotation::rotate;
use diesel::connection::SimpleConnection;
use diesel::prelude::*;
use diesel::sql_query;
use serde_json::json;

use crate::app::{KEYS, TestApp, User, on_sqlite};
use crate::connections::{CONNECTIONS, affise, affise_at, eventually, execute, path};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::{Reply, Request, Simulator, Tracker};

/// A second key, for rotation.
const NEW_KEY: &str = "k2:Y2FuYXJ5LW9mLXRoZS1zZWNvbmQta2V5LTAxMjM0NTY=";
const TABLES: [&str; 10] = [
    "organisations",
    "connections",
    "verifications",
    "automations",
    "audit_events",
    "events",
    "idempotency_keys",
    "webhooks",
    "webhook_retries",
    "webhook_deliveries",
];

#[derive(QueryableByName)]
struct Line {
    #[diesel(sql_type = diesel::sql_types::Text)]
    line: String,
}

/// Everything that is stored, as text: of SQLite the bytes of its files, of PostgreSQL every row with its bytes in hex.
pub(crate) async fn dump(app: &TestApp) -> String {
    if on_sqlite(app) {
        let text: String = file_bytes(app).into_iter().map(char::from).collect();
        assert!(TABLES.iter().all(|table| text.contains(table)));
        return text;
    }
    app.db
        .read(|db| -> Result<String, DbError> {
            let DbConnection::Postgres(db) = db else { panic!("this is PostgreSQL") };
            let mut all = String::new();
            for table in TABLES {
                all.push_str(table);
                for row in sql_query(format!("SELECT t::text AS line FROM {table} t")).load::<Line>(db)? {
                    all.push('\n');
                    all.push_str(&row.line);
                }
            }
            Ok(all)
        })
        .await
        .expect("a dump")
}

/// The bytes of the database file, its write-ahead log and its index.
fn file_bytes(app: &TestApp) -> Vec<u8> {
    let files = std::fs::read_dir(app.folder.path()).expect("the folder");
    files.flat_map(|file| std::fs::read(file.expect("a file").path()).expect("its bytes")).collect()
}

fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What these tests read of a connection's row.
#[derive(Queryable, Selectable)]
#[diesel(table_name = connections)]
struct Kept {
    deleted_at: Option<i64>,
    settings_sealed: Option<Vec<u8>>,
    credentials_sealed: Option<Vec<u8>>,
    verification_sealed: Option<Vec<u8>>,
}

async fn row(app: &TestApp, id: &str) -> Kept {
    let id = id.to_owned();
    app.db
        .read(move |db| -> Result<Kept, DbError> {
            Ok(connections::table.filter(connections::id.eq(id)).select(Kept::as_select()).first(db)?)
        })
        .await
        .expect("a row")
}

/// Every sealed blob of a connection.
async fn blobs(app: &TestApp, id: &str) -> Vec<Vec<u8>> {
    let kept = row(app, id).await;
    let of = id.to_owned();
    let history: Vec<Vec<u8>> = app
        .db
        .read(move |db| -> Result<_, DbError> {
            let history = verifications::table.filter(verifications::connection_id.eq(of));
            Ok(history.select(verifications::report_sealed).load(db)?)
        })
        .await
        .expect("the history");
    [kept.settings_sealed, kept.credentials_sealed, kept.verification_sealed]
        .into_iter()
        .flatten()
        .chain(history)
        .collect()
}

/// Whether the end of a blob, which no other has, is anywhere in the database.
async fn is_stored(app: &TestApp, blob: &[u8]) -> bool {
    let tail = &blob[blob.len() - 24..];
    if on_sqlite(app) { contains(&file_bytes(app), tail) } else { dump(app).await.contains(&hex(tail)) }
}

async fn verify(user: &User<'_>, id: &str) -> serde_json::Value {
    user.post(&format!("{}/verify", path(id)), &json!({})).await.ok(200)
}

async fn pull(user: &User<'_>, id: &str) -> crate::app::Answer {
    user.get(&format!("{}/stats?group_by=date&from=2026-09-01&to=2026-09-01", path(id))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_go_up_down_and_up_again() {
    let app = TestApp::start().await;
    app.user("acme", Plan::Pro).add_demo("Demo").await;
    app.db.revert_all().expect("down");
    assert!(app.connections.ready().await.is_err(), "nothing is left");
    app.db.migrate().expect("up");
    app.db.migrate().expect("nothing to do");
    let user = app.user("acme", Plan::Pro);
    assert!(user.get(CONNECTIONS).await.ok(200)["data"].as_array().expect("data").is_empty());
    user.add_demo("Demo").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_host_is_readable_anywhere_in_the_database() {
    const WRONG_KEY: &str = "canary-key-5d41402abc4b2a76b9719d";
    const HOST: &str = "127.77.66.55:9";
    let app = TestApp::start().await;
    let tracker = Simulator::start(Affise::default());
    let user = app.user("acme", Plan::Business);
    let kept = user.add(affise("Kept", &tracker)).await;
    let deleted = user.add(affise("Deleted", &tracker)).await;
    let wrong = json!({ "credentials": { "api_key": WRONG_KEY } });
    user.patch(&path(&kept), &wrong).await.problem(422, "verification_failed");
    user.patch(&path(&kept), &json!({ "settings": { "currency": "EUR" } })).await.ok(200);
    verify(&user, &kept).await;
    pull(&user, &kept).await.ok(200);
    user.post(&format!("{CONNECTIONS}/verify"), &affise_at("Dry", &format!("http://{HOST}"), WRONG_KEY)).await.ok(200);
    let body = affise_at("Deferred", &format!("http://{HOST}"), WRONG_KEY);
    let headers = [("idempotency-key", "key-1")];
    let deferred = user.send("POST", &format!("{CONNECTIONS}?verify=deferred"), &headers, Some(&body)).await.ok(201);
    let deferred = path(deferred["id"].as_str().expect("an id"));
    eventually("it was tried", async || {
        user.get(&deferred).await.ok(200)["last_verification"]["status"].as_str().map(drop)
    })
    .await;
    user.delete(&path(&deleted)).await.ok(204);

    let dump = dump(&app).await;
    let tracker_host = tracker.url.trim_start_matches("http://");
    for canary in [ADMIN_KEY, WRONG_KEY, HOST, tracker_host, "127.77.66.55"] {
        assert!(!dump.contains(canary), "{canary} is readable");
        assert!(!dump.contains(&hex(canary.as_bytes())), "{canary} is readable in hex");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_sealed_is_destroyed_with_its_connection_in_the_files_too() {
    let app = TestApp::start().await;
    let tracker = Simulator::start(Affise::default());
    let user = app.user("acme", Plan::Pro);
    let id = user.add(affise("Brand", &tracker)).await;
    let other = user.add(affise("Other", &tracker)).await;
    verify(&user, &id).await;
    let before = row(&app, &id).await.credentials_sealed.expect("a blob");
    user.patch(&path(&id), &json!({ "credentials": { "api_key": ADMIN_KEY } })).await.ok(200);
    assert!(!is_stored(&app, &before).await, "a replaced secret is gone");
    let sealed = blobs(&app, &id).await;
    assert_eq!(sealed.len(), 3 + 3);
    user.delete(&path(&id)).await.ok(204);
    for blob in &sealed {
        assert!(!is_stored(&app, blob).await);
    }
    for blob in blobs(&app, &other).await {
        assert!(is_stored(&app, &blob).await, "others keep theirs");
    }
    assert!(blobs(&app, &id).await.is_empty());
    assert!(row(&app, &id).await.deleted_at.is_some());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_of_a_platform_that_only_a_later_version_knows_is_destroyed_all_the_same() {
    let app = TestApp::start().await;
    let tracker = Simulator::start(Affise::default());
    let user = app.user("acme", Plan::Pro);
    let id = user.add(affise("Brand", &tracker)).await;
    let sealed = blobs(&app, &id).await;
    execute(&app, format!("UPDATE connections SET platform = 'later' WHERE id = '{id}'")).await;
    user.get(&path(&id)).await.problem(500, "internal");
    user.delete(&path(&id)).await.ok(204);
    user.get(&path(&id)).await.problem(410, "connection_deleted");
    for blob in &sealed {
        assert!(!is_stored(&app, blob).await);
    }
    let events = user.get("/api/v1/audit-events?limit=1").await.ok(200);
    assert_eq!(events["data"][0]["action"], "connection.deleted", "{events}");
    assert_eq!(events["data"][0]["detail"]["platform"], "later", "{events}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_is_final_even_while_everybody_reads() {
    let app = TestApp::start().await;
    let tracker = Simulator::start(Affise::default());
    let replica = app.replica(&[]).await;
    let (user, reader) = (app.user("acme", Plan::Pro), replica.user("acme", Plan::Pro));
    let id = user.add(affise("Brand", &tracker)).await;
    let sealed = blobs(&app, &id).await;
    let reading = async {
        for _ in 0..25 {
            futures_util::future::join_all((0..4).map(|_| reader.get(CONNECTIONS))).await;
        }
    };
    let at = path(&id);
    let (deleted, ()) = tokio::join!(user.delete(&at), reading);
    deleted.ok(204);
    for blob in &sealed {
        assert!(!is_stored(&app, blob).await);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_whose_caller_leaves_destroys_what_was_sealed_all_the_same() {
    let app = TestApp::start().await;
    if !on_sqlite(&app) {
        // Nobody else may hold the writer's place up on a shared server, and PostgreSQL has no log that is read.
        return;
    }
    let tracker = Simulator::start(Affise::default());
    let user = app.user("acme", Plan::Pro);
    let id = user.add(affise("Brand", &tracker)).await;
    let file = app.folder.path().join("affzero.db").display().to_string();
    let leave = async |method: &str, body: Option<&serde_json::Value>| {
        // What is cleared at the start is cleared: what comes now is another matter.
        app.db.finish_scrub().await;
        let mut hog = SqliteConnection::establish(&file).expect("the same file");
        hog.batch_execute("BEGIN IMMEDIATE").expect("the only writer");
        let at = path(&id);
        let asked = user.send(method, &at, &[], body);
        let left = tokio::time::timeout(Duration::from_millis(1_000), asked).await;
        assert!(left.is_err(), "it cannot be written yet: {left:?}");
        // That the caller has left is noticed.
        tokio::time::sleep(Duration::from_millis(300)).await;
        hog.batch_execute("ROLLBACK").expect("room for others");
    };

    let before = row(&app, &id).await.credentials_sealed.expect("a blob");
    assert!(is_stored(&app, &before).await);
    leave("PATCH", Some(&json!({ "credentials": { "api_key": ADMIN_KEY } }))).await;
    eventually("the replaced secret is gone", async || (!is_stored(&app, &before).await).then_some(())).await;
    assert_eq!(user.get(&path(&id)).await.ok(200)["version"], 2);

    // This time without the background, which would notice what changed.
    pull(&user, &id).await.ok(200);
    let sealed = blobs(&app, &id).await;
    app.connections.stop_work();
    leave("DELETE", None).await;
    eventually("what was pulled through it is forgotten", async || {
        (pull(&user, &id).await.status == 410).then_some(())
    })
    .await;
    eventually("nothing of it is left", async || {
        for blob in &sealed {
            if is_stored(&app, blob).await {
                return None;
            }
        }
        Some(())
    })
    .await;
}

/// A tracker whose numbers and names are found again wherever they are.
struct Distinct(Affise);

const TITLE: &str = "Quixotic Zeppelin 48213";
const CHARGE: &str = "73519.428617";
const CLICKS: u32 = 618_247_395;

impl Tracker for Distinct {
    fn answer(&self, request: &Request) -> Reply {
        let mut reply = self.0.answer(request);
        if request.path == "/3.0/stats/custom" {
            let mut report: serde_json::Value = serde_json::from_slice(&reply.body).expect("JSON");
            for row in report["stats"].as_array_mut().into_iter().flatten() {
                row["traffic"]["raw"] = json!(CLICKS.to_string());
                row["actions"]["confirmed"]["charge"] = json!(CHARGE);
                if row["slice"]["offer"].is_object() {
                    row["slice"]["offer"]["title"] = json!(TITLE);
                }
            }
            reply.body = report.to_string().into_bytes();
        }
        reply
    }
}

/// Every byte of every file under a folder.
fn all_bytes(folder: &Path) -> Vec<u8> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries
        .flat_map(|path| if path.is_dir() { all_bytes(&path) } else { std::fs::read(&path).expect("its bytes") })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn statistics_are_in_no_file_and_in_no_table() {
    let app = TestApp::start().await;
    let tracker = Simulator::start(Distinct(Affise::default()));
    let user = app.user("acme", Plan::Pro);
    let id = user.add(affise("Brand", &tracker)).await;
    let closed = format!("{}/stats?group_by=offer&from=2026-09-01&to=2026-09-02", path(&id));
    let today = format!("{}/stats?group_by=offer,date&preset=this_year&sort=-clicks&limit=3", path(&id));
    let many = "/api/v1/stats?group_by=offer&from=2026-09-03&to=2026-09-03".to_owned();
    for question in [&closed, &today, &many] {
        for accept in ["application/json", "application/json", "application/x-ndjson", "text/csv"] {
            if *question == many && accept != "application/json" {
                continue;
            }
            let headers = [("accept", accept), ("x-automation-id", "weekly-mail")];
            let answer = user.send("GET", question, &headers, None).await;
            assert_eq!(answer.status, 200, "{}", answer.text);
            for part in [TITLE, CHARGE, &CLICKS.to_string()] {
                assert!(answer.text.contains(part), "{part} is not in the answer to {question} as {accept}");
            }
        }
    }
    eventually("the uses are written", async || {
        let known = user.get(&format!("{}/automations", path(&id))).await.ok(200);
        (known["data"][0]["automation_id"] == "weekly-mail").then_some(())
    })
    .await;
    let tables = dump(&app).await;
    let files = all_bytes(app.folder.path());
    let hex_of = |text: &str| hex(text.as_bytes());
    for part in [TITLE, CHARGE, &CLICKS.to_string()] {
        assert!(!tables.contains(part) && !tables.contains(&hex_of(part)), "{part} is in a table");
        assert!(!contains(&files, part.as_bytes()), "{part} is in a file");
    }
    for bytes in [CLICKS.to_be_bytes(), CLICKS.to_le_bytes()] {
        assert!(!contains(&files, &bytes) && !tables.contains(&hex(&bytes)), "the clicks are there as a number");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_blob_moved_to_another_row_or_organisation_does_not_open_and_hides_nothing_else() {
    let app = TestApp::start().await;
    let tracker = Simulator::start(Affise::default());
    let (user, stranger) = (app.user("acme", Plan::Pro), app.user("stranger", Plan::Pro));
    let theirs = stranger.add(affise("Theirs", &tracker)).await;
    let healthy = user.add(affise("Healthy", &tracker)).await;
    for (columns, source) in [
        (&["credentials_sealed"][..], &theirs),
        (&["settings_sealed"], &theirs),
        (&["credentials_sealed", "settings_sealed", "verification_sealed"], &theirs),
        (&["credentials_sealed"], &healthy),
    ] {
        let victim = user.add(affise("Victim", &tracker)).await;
        for column in columns {
            let moved = format!("SELECT {column} FROM connections WHERE id = '{source}'");
            execute(&app, format!("UPDATE connections SET {column} = ({moved}) WHERE id = '{victim}'")).await;
        }
        tracker.forget();
        let shown = user.get(&path(&victim)).await.ok(200);
        assert_eq!(shown["status"], "failing", "{columns:?}");
        assert_eq!(shown["last_verification"]["failure"]["code"], "credentials_unreadable");
        pull(&user, &victim).await.problem(424, "credentials_unreadable");
        assert_eq!(verify(&user, &victim).await["failure"]["code"], "credentials_unreadable");
        assert!(tracker.requests().is_empty(), "nothing is sent anywhere");
        let listed = user.get(&format!("{CONNECTIONS}?sort=name")).await.ok(200);
        assert_eq!(listed["data"][0]["status"], "active");
        assert_eq!(listed["data"][1]["status"], "failing");
        let all = user.get("/api/v1/stats?group_by=date&from=2026-09-01&to=2026-09-01").await.ok(200);
        assert_eq!(all["results"].as_array().expect("results").len(), 1);
        assert_eq!(all["failures"][0]["problem"]["code"], "credentials_unreadable");
        user.patch(&path(&victim), &json!({ "name": "Renamed" })).await.ok(200);
        let fixed = json!({ "settings": { "base_url": tracker.url }, "credentials": { "api_key": ADMIN_KEY } });
        assert_eq!(user.patch(&path(&victim), &fixed).await.ok(200)["status"], "active");
        pull(&user, &victim).await.ok(200);
        user.delete(&path(&victim)).await.ok(204);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_rotation_the_old_key_is_not_needed_any_more() {
    let app = TestApp::start().await;
    let tracker = Simulator::start(Affise::default());
    let user = app.user("acme", Plan::Pro);
    let mut ids = Vec::new();
    for name in ["One", "Two"] {
        let id = user.add(affise(name, &tracker)).await;
        verify(&user, &id).await;
        ids.push(id);
    }
    let gone = user.add(affise("Gone", &tracker)).await;
    user.delete(&path(&gone)).await.ok(204);

    let both = format!("{NEW_KEY},{KEYS}");
    let vault = Vault::new(KeyRing::parse(&both).expect("keys"));
    let mut heard = Vec::new();
    let report = rotate(&app.db, &vault, |rows| heard.push(rows)).await.expect("a rotation");
    assert_eq!((report.rows, report.sealed, report.unreadable), (2, 2 * (4 + 2), 0));
    assert_eq!(heard, [2, 2], "a second pass looks for what was left");
    let again = rotate(&app.db, &vault, |_| {}).await.expect("a rotation");
    assert_eq!((again.rows, again.sealed), (2, 0), "a second run finds everything done");
    for id in &ids {
        for blob in blobs(&app, id).await {
            assert_eq!(vault::key_id(&blob), Some("k2"));
        }
    }
    let replica = app.replica(&[("CREDENTIALS_KEYS", NEW_KEY)]).await;
    let user = replica.user("acme", Plan::Pro);
    for id in &ids {
        let shown = user.get(&path(id)).await.ok(200);
        assert_eq!((&shown["status"], &shown["credentials"]["api_key"]["hint"]), (&json!("active"), &json!("…0913")));
        assert_eq!(shown["version"], 1, "a rotation is no change to the user");
        pull(&user, id).await.ok(200);
        assert_eq!(verify(&user, id).await["status"], "ok");
        let history = user.get(&format!("{}/verifications", path(id))).await.ok(200);
        assert_eq!(history["data"].as_array().expect("data").len(), 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_under_a_key_that_is_gone_break_only_themselves() {
    let app = TestApp::start().await;
    let tracker = Simulator::start(Affise::default());
    let old = app.user("acme", Plan::Pro).add(affise("Old", &tracker)).await;
    let replica = app.replica(&[("CREDENTIALS_KEYS", NEW_KEY)]).await;
    let user = replica.user("acme", Plan::Pro);
    let new = user.add(affise("New", &tracker)).await;
    let listed = user.get(&format!("{CONNECTIONS}?sort=name")).await.ok(200);
    assert_eq!((&listed["data"][0]["status"], &listed["data"][1]["status"]), (&json!("active"), &json!("failing")));
    pull(&user, &new).await.ok(200);
    pull(&user, &old).await.problem(424, "credentials_unreadable");
    let report =
        rotate(&app.db, &Vault::new(KeyRing::parse(NEW_KEY).expect("keys")), |_| {}).await.expect("a rotation");
    assert_eq!((report.rows, report.sealed, report.unreadable), (2, 0, 4));
    assert!(report.to_string().contains("4 blobs cannot be opened"));
    assert_eq!(app.user("acme", Plan::Pro).get(&path(&old)).await.ok(200)["status"], "active", "with its key it works");
    let body = json!({ "settings": { "base_url": tracker.url }, "credentials": { "api_key": ADMIN_KEY } });
    assert_eq!(user.patch(&path(&old), &body).await.ok(200)["status"], "active");
    pull(&user, &old).await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_made_during_a_rotation_wins() {
    // The new key is known before anything is sealed with it.
    let app = TestApp::with(&[("CREDENTIALS_KEYS", &format!("{KEYS},{NEW_KEY}"))]).await;
    let tracker = Simulator::start(Affise::default());
    let user = app.user("acme", Plan::Pro);
    let id = user.add(affise("Brand", &tracker)).await;
    let vault = Vault::new(KeyRing::parse(&format!("{NEW_KEY},{KEYS}")).expect("keys"));
    let at = path(&id);
    let change = json!({ "settings": { "currency": "USD" } });
    let (report, changed) = tokio::join!(rotate(&app.db, &vault, |_| {}), user.patch(&at, &change));
    report.expect("a rotation");
    let both = app.replica(&[("CREDENTIALS_KEYS", &format!("{NEW_KEY},{KEYS}"))]).await;
    let shown = both.user("acme", Plan::Pro).get(&at).await.ok(200);
    assert_eq!(shown["status"], "active");
    assert_eq!(shown["settings"]["currency"], changed.ok(200)["settings"]["currency"]);
    assert_eq!(names::name_key(shown["name"].as_str().expect("a name")), "brand");
}
