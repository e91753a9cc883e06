//! Health that comes by itself: checks in the background, events, and keys that run out.

mod background;
mod events;
mod expiry;

use affzero_connections::tenancy::Plan;
use serde_json::Value;

use crate::app::{TestApp, User};
use crate::connections::execute;
use crate::support::tracker::{Fault, Reply};

fn acme(app: &TestApp) -> User<'_> {
    app.user("acme", Plan::Business)
}

/// A tracker that no longer knows the key.
fn revoked() -> Fault {
    Fault::Instead(Reply::json(401, &serde_json::json!({"status": 2, "message": "Token is necessary"})))
}

/// A tracker that is down.
fn down() -> Fault {
    Fault::Instead(Reply::text(500, "text/plain", "oops"))
}

/// Makes a check due now.
async fn due_now(app: &TestApp, id: &str) {
    execute(app, format!("UPDATE connections SET check_after = 1 WHERE id = '{id}'")).await;
}

/// Everything in the feed, read by pages of this size.
async fn feed(user: &User<'_>, limit: usize) -> Vec<Value> {
    let (mut found, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = user.get(&format!("/api/v1/events?limit={limit}{cursor}")).await.ok(200);
        found.extend(page["data"].as_array().expect("data").clone());
        let next = page["next_cursor"].as_str().expect("always a cursor");
        cursor = format!("&cursor={next}");
        if page["has_more"] == false {
            return found;
        }
    }
}

/// The types of all events, in order.
async fn event_types(user: &User<'_>) -> Vec<String> {
    let types = feed(user, 100).await.into_iter().map(|event| event["type"].as_str().expect("a type").to_owned());
    types.collect()
}
