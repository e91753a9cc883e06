//! Webhooks: managed by an organisation, and notified of its events.

mod deliveries;
mod egress;
mod manage;
mod others;
mod retries;
mod secrets;

use affzero_connections::tenancy::Plan;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde_json::{Value, json};

use crate::app::{TestApp, User};
use crate::connections::{all_entries, eventually, execute, path};
use crate::support::tracker::{Reply, Request, Simulator, Tracker};

pub(crate) const WEBHOOKS: &str = "/api/v1/webhooks";

/// A receiver that takes everything.
pub(crate) struct Taking;

impl Tracker for Taking {
    fn answer(&self, _: &Request) -> Reply {
        Reply { status: 204, headers: Vec::new(), body: Vec::new() }
    }
}

/// A receiver that takes everything.
pub(crate) fn receiver() -> Simulator {
    Simulator::start(Taking)
}

/// A webhook as its owner knows it.
pub(crate) struct Hook {
    pub(crate) id: String,
    pub(crate) secret: String,
}

impl Hook {
    pub(crate) fn of(created: &Value) -> Self {
        let text = |key: &str| created[key].as_str().expect("text").to_owned();
        Self { id: text("id"), secret: text("secret") }
    }

    pub(crate) fn path(&self) -> String {
        format!("{WEBHOOKS}/{}", self.id)
    }

    pub(crate) async fn show(&self, user: &User<'_>) -> Value {
        user.get(&self.path()).await.ok(200)
    }

    /// All attempts, newest first.
    pub(crate) async fn attempts(&self, user: &User<'_>) -> Vec<Value> {
        all_entries(user, &format!("{}/deliveries", self.path()), 100).await
    }

    /// Outcomes of all attempts, oldest first.
    pub(crate) async fn outcomes(&self, user: &User<'_>) -> Vec<String> {
        let attempts = self.attempts(user).await;
        attempts.iter().rev().map(|attempt| attempt["outcome"].as_str().expect("text").to_owned()).collect()
    }
}

fn acme(app: &TestApp) -> User<'_> {
    app.user("acme", Plan::Business)
}

/// Adds a webhook for all events.
async fn subscribe(user: &User<'_>, url: &str) -> Hook {
    Hook::of(&user.post(WEBHOOKS, &json!({ "url": url })).await.ok(201))
}

/// Makes one event of its own connection, `connection.deleted`.
async fn happen(user: &User<'_>, name: &str) -> String {
    let id = user.add_demo(name).await;
    assert_eq!(user.delete(&path(&id)).await.status, 204);
    id
}

/// Makes two events of a Demo connection: it fails, and recovers.
async fn flip(user: &User<'_>, id: &str) {
    user.patch(&path(id), &json!({ "settings": { "scenario": "rejected_key" } })).await;
    user.get(&format!("{}/stats?group_by=date&preset=yesterday&fresh=true", path(id))).await;
    user.patch(&path(id), &json!({ "settings": { "scenario": "healthy" } })).await.ok(200);
}

/// What a receiver was sent, in order.
pub(crate) fn bodies(receiver: &Simulator) -> Vec<Value> {
    receiver.requests().iter().map(|request| serde_json::from_slice(&request.body).expect("JSON")).collect()
}

fn sequences(receiver: &Simulator) -> Vec<i64> {
    bodies(receiver).iter().filter_map(|event| event["sequence"].as_i64()).collect()
}

/// Waits until a receiver was called so often.
pub(crate) async fn until_called(receiver: &Simulator, times: usize) -> Vec<Request> {
    eventually(&format!("the receiver is called {times} times"), async || {
        Some(receiver.requests()).filter(|requests| requests.len() >= times)
    })
    .await
}

/// Waits until a webhook has so many attempts.
async fn until_attempts(user: &User<'_>, hook: &Hook, count: usize) -> Vec<Value> {
    eventually(&format!("there are {count} attempts"), async || {
        Some(hook.attempts(user).await).filter(|attempts| attempts.len() >= count)
    })
    .await
}

/// Whether one of a request's signatures is made with this secret, as a receiver looks at it.
pub(crate) fn is_signed_with(request: &Request, secret: &str) -> bool {
    let key = STANDARD.decode(secret.strip_prefix("whsec_").expect("a secret")).expect("base64 with padding");
    let header = |name: &str| request.header(name).expect("a header of Standard Webhooks");
    let mut content = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp")).into_bytes();
    content.extend_from_slice(&request.body);
    let key = hmac::Key::new(hmac::HMAC_SHA256, &key);
    header("webhook-signature").split(' ').any(|signature| {
        let tag = signature.strip_prefix("v1,").and_then(|text| STANDARD.decode(text).ok()).expect("a signature");
        hmac::verify(&key, &content, &tag).is_ok()
    })
}

/// Has everything that waits for its time be due now.
async fn due_now(app: &TestApp) {
    execute(app, "UPDATE webhook_retries SET next_at = 1".to_owned()).await;
    execute(
        app,
        "UPDATE webhooks SET rest_until = 0, retry_at = CASE WHEN retry_at IS NULL THEN NULL ELSE 1 END".to_owned(),
    )
    .await;
}
