//! Real processes: one that is killed, several that share the work, and clocks that differ.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;

use super::{Hook, WEBHOOKS, bodies, is_signed_with, receiver, until_called};
use crate::app::{KEYS, SECRET};
use crate::process::{Service, run};
use crate::servers::Schema;
use crate::support::tracker::{Fault, Simulator};

/// A folder with what processes are started with.
struct World {
    folder: TempDir,
    /// Dropped after the processes.
    schema: Option<Schema>,
}

impl World {
    fn of(schema: Option<Schema>) -> Self {
        Self { folder: TempDir::new().expect("a folder"), schema }
    }

    fn serve(&self) -> Service {
        self.serve_with(&[])
    }

    fn serve_with(&self, variables: &[(&str, &str)]) -> Service {
        let database = self.schema.as_ref().map(|schema| ("DATABASE_URL", schema.url.as_str()));
        let own = [("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", KEYS), ("EGRESS_ALLOW", "127.0.0.0/8")];
        let all: Vec<(&str, &str)> = own.into_iter().chain(database).chain(variables.iter().copied()).collect();
        Service::start(self.folder.path(), &all)
    }

    fn token(&self) -> String {
        let arguments = ["token", "--org", "acme", "--plan", "business"];
        let variables = [("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", KEYS)];
        let minted = run(self.folder.path(), &arguments, &variables);
        String::from_utf8(minted.stdout).expect("text").trim().to_owned()
    }
}

async fn happen(service: &Service, token: &str, name: &str) {
    let body = json!({ "name": name, "platform": "demo" });
    let created = service.send(token, "POST", "/api/v1/connections", Some(&body)).await.ok(201);
    let path = format!("/api/v1/connections/{}", created["id"].as_str().expect("an id"));
    assert_eq!(service.send(token, "DELETE", &path, None).await.status, 204);
}

async fn subscribe(service: &Service, token: &str, receiver: &Simulator) -> Hook {
    Hook::of(&service.send(token, "POST", WEBHOOKS, Some(&json!({ "url": receiver.url }))).await.ok(201))
}

/// How often each event came, by its number.
fn times(receiver: &Simulator) -> BTreeMap<i64, usize> {
    let mut times = BTreeMap::new();
    for event in bodies(receiver) {
        *times.entry(event["sequence"].as_i64().expect("a number")).or_default() += 1;
    }
    times
}

/// Killed between changes and deliveries, again and again: everything arrives, and signed.
async fn survives(schema: Option<Schema>) {
    const ROUNDS: usize = 4;
    const EACH: usize = 3;
    let world = World::of(schema);
    let receiver = receiver();
    let token = world.token();
    let mut service = world.serve();
    let hook = subscribe(&service, &token, &receiver).await;
    for round in 0..ROUNDS {
        // Some are on their way when it dies, and some not even begun.
        receiver.always(Some(Fault::Stall(Duration::from_millis(300))));
        for number in 0..EACH {
            happen(&service, &token, &format!("Event {round}.{number}")).await;
        }
        if round % 2 == 1 {
            until_called(&receiver, 1).await;
        }
        service.kill();
        service = world.serve();
    }
    receiver.always(None);
    let all: Vec<i64> = (1..).take(ROUNDS * EACH).collect();
    crate::connections::eventually("every event arrives", async || {
        (times(&receiver).keys().copied().collect::<Vec<i64>>() == all).then_some(())
    })
    .await;
    assert!(receiver.requests().iter().all(|request| is_signed_with(request, &hook.secret)));
    let twice: usize = times(&receiver).values().map(|count| count - 1).sum();
    assert!(twice <= ROUNDS, "only what was on its way at a kill comes twice: {twice}");
    let mut first = bodies(&receiver).into_iter().filter_map(|event| event["sequence"].as_i64()).collect::<Vec<_>>();
    let mut seen = std::collections::BTreeSet::new();
    first.retain(|sequence| seen.insert(*sequence));
    assert_eq!(first, all, "in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_lost_to_kill_9_between_the_change_and_the_delivery() {
    survives(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_postgres_too_no_event_is_lost_to_kill_9() {
    let Some(schema) = Schema::make() else { return };
    survives(Some(schema)).await;
}

/// A machine whose clock is wrong, and is set right while events wait.
async fn survives_a_clock(offset: &str) {
    // `faketime` is there where the servers of the tests are.
    if std::env::var_os("TEST_DATABASE_URL").is_none() {
        return;
    }
    let world = World::of(None);
    let receiver = receiver();
    let library = crate::failover::clocks::library();
    let faked = [("LD_PRELOAD", library.as_str()), ("FAKETIME", offset), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
    let mut wrong = world.serve_with(&faked);
    let arguments = ["token", "--org", "acme", "--plan", "business"];
    let own = [("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", KEYS)];
    let variables: Vec<(&str, &str)> = own.into_iter().chain(faked).collect();
    let minted = String::from_utf8(run(world.folder.path(), &arguments, &variables).stdout).expect("text");
    let hook = subscribe(&wrong, minted.trim(), &receiver).await;
    receiver.always(Some(Fault::Instead(crate::support::tracker::Reply::text(503, "text/plain", "down"))));
    for number in 0..4 {
        happen(&wrong, minted.trim(), &format!("Event {number}")).await;
    }
    until_called(&receiver, 3).await;
    // It dies with its claim, which lasts to a time of its own.
    receiver.always(Some(Fault::Stall(Duration::from_secs(60))));
    wrong.kill();
    receiver.always(None);
    receiver.forget();
    let (right, token) = (world.serve(), world.token());
    crate::connections::eventually("every event arrives", async || {
        (times(&receiver).keys().copied().collect::<Vec<i64>>() == [1, 2, 3, 4]).then_some(())
    })
    .await;
    let shown = right.send(&token, "GET", &hook.path(), None).await.ok(200);
    assert_eq!((&shown["active"], &shown["paused_reason"]), (&json!(true), &json!(null)), "three days have not passed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_goes_back_by_days_holds_up_no_event() {
    survives_a_clock("+10d").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_jumps_ahead_by_days_pauses_no_webhook() {
    survives_a_clock("-10d").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_process_had_claimed_is_taken_up_by_another() {
    let Some(schema) = Schema::make() else { return };
    let world = World::of(Some(schema));
    let receiver = receiver();
    let token = world.token();
    let mut first = world.serve();
    subscribe(&first, &token, &receiver).await;
    receiver.always(Some(Fault::Stall(Duration::from_secs(8))));
    happen(&first, &token, "Claimed").await;
    until_called(&receiver, 1).await;
    let second = world.serve();
    first.kill();
    receiver.always(None);
    let requests = until_called(&receiver, 2).await;
    assert_eq!(requests[0].header("webhook-id"), requests[1].header("webhook-id"));
    happen(&second, &token, "Next").await;
    until_called(&receiver, 3).await;
    assert_eq!(times(&receiver).into_iter().collect::<Vec<_>>(), [(1, 2), (2, 1)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_stops_in_order_gives_its_webhooks_to_another_at_once() {
    let world = World::of(None);
    let receiver = receiver();
    let token = world.token();
    let first = world.serve_with(&[("SHUTDOWN_GRACE_S", "1")]);
    subscribe(&first, &token, &receiver).await;
    receiver.always(Some(Fault::Stall(Duration::from_secs(8))));
    happen(&first, &token, "Cut short").await;
    until_called(&receiver, 1).await;
    let (status, written) = first.stop();
    assert!(status.success(), "{written}");
    receiver.always(None);
    let _second = world.serve();
    until_called(&receiver, 2).await;
}
