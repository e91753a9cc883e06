//! Connections over HTTP: adding, changing, deleting, verifying, and what is remembered of it.

mod create;
mod deferred;
mod delete;
mod health;
mod history;
mod idempotency;
mod limits;
mod list;
mod update;
mod verify;

use std::time::Duration;

use affzero_connections::tenancy::Plan;
use diesel::connection::SimpleConnection;
use serde_json::{Value, json};

use crate::app::{Answer, TestApp, User};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::{Fault, Reply, Simulator};

pub(crate) const CONNECTIONS: &str = "/api/v1/connections";

/// A create body for the simulated Affise network's owner.
pub(crate) fn affise(name: &str, tracker: &Simulator) -> Value {
    affise_at(name, &tracker.url, ADMIN_KEY)
}

/// A create body for an Affise network anywhere.
pub(crate) fn affise_at(name: &str, base_url: &str, key: &str) -> Value {
    json!({
        "name": name, "platform": "affise", "connection_type": "admin",
        "settings": { "base_url": base_url }, "credentials": { "api_key": key },
    })
}

/// The path of a connection.
pub(crate) fn path(id: &str) -> String {
    format!("{CONNECTIONS}/{id}")
}

/// A service, and a healthy Affise network.
async fn service_and_tracker() -> (TestApp, Simulator) {
    (TestApp::start().await, Simulator::start(Affise::default()))
}

fn acme(app: &TestApp) -> User<'_> {
    app.user("acme", Plan::Business)
}

/// A tracker that asks to be left alone for an hour: nobody retries that.
fn throttled() -> Fault {
    Fault::Instead(Reply::json(429, &json!({})).with_header("retry-after", "3600"))
}

/// A tracker that no longer knows the key.
fn revoked() -> Fault {
    Fault::Instead(Reply::json(401, &json!({"status": 2, "message": "Token is necessary"})))
}

/// An address of this machine where nobody listens.
fn nowhere() -> String {
    let listener = std::net::TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    format!("http://{}", listener.local_addr().expect("an address"))
}

/// The keys that the tracker was called with, each once.
fn keys_sent(tracker: &Simulator) -> Vec<String> {
    let mut keys: Vec<String> =
        tracker.requests().iter().filter_map(|request| request.header("api-key").map(str::to_owned)).collect();
    keys.sort();
    keys.dedup();
    keys
}

/// Pointer and code of every field that a problem names.
fn fields(problem: &Value) -> Vec<(String, String)> {
    let text = |error: &Value, key: &str| error[key].as_str().expect("text").to_owned();
    let errors = problem["errors"].as_array().expect("errors");
    errors.iter().map(|error| (text(error, "pointer"), text(error, "code"))).collect()
}

/// Asks again and again until there is an answer, for what happens in the background.
pub(crate) async fn eventually<T>(what: &str, mut probe: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..1_000 {
        if let Some(found) = probe().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("it never happened that {what}");
}

pub(crate) async fn all_entries(user: &User<'_>, path: &str, limit: usize) -> Vec<Value> {
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let separator = if path.contains('?') { '&' } else { '?' };
        let page = user.get(&format!("{path}{separator}limit={limit}{cursor}")).await.ok(200);
        found.extend(page["data"].as_array().expect("data").clone());
        match page["next_cursor"].as_str() {
            None => return found,
            Some(next) => cursor = format!("&cursor={next}"),
        }
        assert!(found.len() < 1_000, "the pages never end");
    }
}

/// Waits until a connection shows this status, and returns it.
pub(crate) async fn until_status(user: &User<'_>, id: &str, status: &str) -> Value {
    eventually(&format!("the connection is {status}"), async || {
        Some(user.get(&path(id)).await.ok(200)).filter(|connection| connection["status"] == status)
    })
    .await
}

/// Changes the database behind the service's back.
pub(crate) async fn execute(app: &TestApp, sql: String) {
    app.db
        .write_all(move |db| db.batch_execute(&sql).map_err(affzero_connections::db::DbError::from))
        .await
        .expect("the statement runs");
}

/// How many answers have this status.
fn with_status(answers: &[Answer], status: u16) -> usize {
    answers.iter().filter(|answer| answer.status == status).count()
}

/// The names of a list, in its order.
fn names(page: &Value) -> Vec<String> {
    let entries = page["data"].as_array().expect("data");
    entries.iter().map(|entry| entry["name"].as_str().expect("a name").to_owned()).collect()
}
