//! After a crash: what the dead process was at is taken up within 15 seconds of the restart, or by another replica.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{Answer, KEYS, SECRET, client};
use crate::process::Service;
use crate::servers::Schema;
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::{Fault, Simulator};

/// What is promised.
const SOON: Duration = Duration::from_secs(15);

/// Real processes over one database.
struct World {
    folder: TempDir,
    network: Simulator,
    schema: Option<Schema>,
}

impl World {
    fn new(schema: Option<Schema>) -> Self {
        let network = Simulator::start(Affise::default());
        Self { folder: TempDir::new().expect("a folder"), network, schema }
    }

    fn serve(&self) -> Service {
        let database = self.schema.as_ref().map(|schema| ("DATABASE_URL", schema.url.as_str()));
        let own = [("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", KEYS), ("EGRESS_ALLOW", "127.0.0.0/8")];
        Service::start(self.folder.path(), &own.into_iter().chain(database).collect::<Vec<_>>())
    }

    fn body(&self, name: &str) -> Value {
        json!({
            "name": name, "platform": "affise", "connection_type": "admin",
            "settings": { "base_url": self.network.url }, "credentials": { "api_key": ADMIN_KEY },
        })
    }

    async fn until_called(&self, times: usize) {
        let started = Instant::now();
        while self.network.requests().len() < times {
            assert!(started.elapsed() < Duration::from_secs(30), "the tracker is not called");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// A process dies in the middle of a deferred verification and of a create with an `Idempotency-Key`; the same
    /// request, and a look at the connection, at another process that was there by then, or at one that is started.
    async fn crash(&self, with_survivor: bool) {
        let mut dying = self.serve();
        let token = dying.wait_for("valid for a day): ");
        self.network.always(Some(Fault::Stall(Duration::from_secs(15))));
        let deferred =
            dying.send(&token, "POST", "/api/v1/connections?verify=deferred", Some(&self.body("Later"))).await;
        let path = format!("/api/v1/connections/{}", deferred.ok(201)["id"].as_str().expect("an id"));
        self.until_called(1).await;
        let (url, body) = (dying.url.clone(), self.body("Keyed"));
        let pending = tokio::spawn(async move { keyed(&url, &token, &body).await.map(|_| token) });
        self.until_called(2).await;
        let survivor = with_survivor.then(|| self.serve());
        dying.kill();
        pending.await.expect("a task").expect_err("its process died");
        self.network.always(None);

        let service = survivor.unwrap_or_else(|| self.serve());
        let token = service.wait_for("valid for a day): ");
        let started = Instant::now();
        let mut created = None;
        loop {
            if created.is_none() {
                let answer = keyed(&service.url, &token, &self.body("Keyed")).await.expect("an answer");
                match answer.status {
                    201 => created = Some(answer.ok(201)),
                    _ => drop(answer.problem(409, "request_in_progress")),
                }
            }
            let verified = service.send(&token, "GET", &path, None).await.ok(200)["status"] == "active";
            if verified && created.is_some() {
                return;
            }
            assert!(started.elapsed() < SOON, "verified: {verified}, created: {}", created.is_some());
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

async fn keyed(url: &str, token: &str, body: &Value) -> Result<Answer, reqwest::Error> {
    let request =
        client().post(format!("{url}/api/v1/connections")).bearer_auth(token).header("idempotency-key", "one");
    let response = request.header("content-type", "application/json").body(body.to_string()).send().await?;
    Ok(Answer::read(response).await)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_killed_process_was_at_is_taken_up_soon_after_the_restart() {
    let world = World::new(None);
    world.crash(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_postgres_too_it_is_taken_up_soon_after_the_restart() {
    let Some(schema) = Schema::make() else { return };
    let world = World::new(Some(schema));
    world.crash(false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_replica_takes_it_up_without_a_restart() {
    let Some(schema) = Schema::make() else { return };
    let world = World::new(Some(schema));
    world.crash(true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_longer_than_its_lease_keeps_its_key() {
    let world = World::new(None);
    let service = world.serve();
    let token = service.wait_for("valid for a day): ");
    // Longer than a lease that nobody renews.
    world.network.always(Some(Fault::Stall(Duration::from_secs(12))));
    let (url, body, bearer) = (service.url.clone(), world.body("Keyed"), token.clone());
    let first = tokio::spawn(async move { keyed(&url, &bearer, &body).await });
    world.until_called(1).await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(!first.is_finished());
    keyed(&service.url, &token, &world.body("Keyed")).await.expect("an answer").problem(409, "request_in_progress");
    world.network.always(None);
    first.await.expect("a task").expect("an answer").ok(201);
    let again = keyed(&service.url, &token, &world.body("Keyed")).await.expect("an answer");
    assert_eq!((again.status, again.header("idempotency-replayed")), (201, Some("true")));
}
