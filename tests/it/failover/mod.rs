//! Servers that fail over, and poolers before them: real clusters, made by the tests.
//!
//! They run where `TEST_DATABASE_URL` and `TEST_REDIS_URL` are set.

pub(crate) mod clocks;
mod pooler;
mod postgres;
mod proxy;
mod redis;

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::{Answer, TestApp, User};

/// How long a failover may take on a busy machine.
const TIMEOUT: Duration = Duration::from_secs(60);

/// Asks again and again until there is an answer.
async fn until<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(started.elapsed() < TIMEOUT, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ready(app: &TestApp) -> Value {
    app.anonymous("GET", "/readyz").await.json()
}

async fn create(user: &User<'_>, name: &str) -> Answer {
    user.post("/api/v1/connections", &json!({ "name": name, "platform": "demo" })).await
}
