//! Webhooks with several real processes: any of them may write an event, and it is sent once and in its order.

use std::time::Duration;

use serde_json::json;

use super::{Fleet, eventually};
use crate::support::tracker::Fault;
use crate::webhooks::{Hook, WEBHOOKS, bodies, is_signed_with, receiver};

async fn happen(fleet: &Fleet, replica: usize, token: &str, name: &str) {
    let body = json!({ "name": name, "platform": "demo" });
    let created = fleet.ask(replica, token, "POST", "/api/v1/connections", Some(&body)).await.ok(201);
    let path = format!("/api/v1/connections/{}", created["id"].as_str().expect("an id"));
    assert_eq!(fleet.ask(replica + 1, token, "DELETE", &path, None).await.status, 204);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_send_each_event_once_and_in_order_and_one_that_dies_holds_up_none() {
    const EVENTS: usize = 12;
    let Some(mut fleet) = Fleet::start(&[]).await else { return };
    let receiver = receiver();
    let token = fleet.token("acme", "business");
    let created = fleet.ask(0, &token, "POST", WEBHOOKS, Some(&json!({ "url": receiver.url }))).await.ok(201);
    let hook = Hook::of(&created);
    for number in 0..EVENTS {
        happen(&fleet, number, &token, &format!("Event {number}")).await;
    }
    let numbers = || bodies(&receiver).into_iter().filter_map(|event| event["sequence"].as_u64()).collect::<Vec<_>>();
    eventually("all events", async || (numbers().len() >= EVENTS).then_some(())).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(numbers(), (1..=EVENTS as u64).collect::<Vec<_>>());
    assert_eq!(receiver.most_at_once(), 1);
    assert!(receiver.requests().iter().all(|request| is_signed_with(request, &hook.secret)));

    receiver.forget();
    receiver.always(Some(Fault::Stall(Duration::from_secs(6))));
    happen(&fleet, 0, &token, "On its way").await;
    eventually("a delivery", async || (!receiver.requests().is_empty()).then_some(())).await;
    // Whichever of them is at it: all but one are killed.
    let survivor = fleet.replicas.pop().expect("a process");
    for mut replica in fleet.replicas.drain(..) {
        replica.kill();
    }
    fleet.replicas.push(survivor);
    receiver.always(None);
    happen(&fleet, 0, &token, "Afterwards").await;
    eventually("both events", async || {
        let numbers = numbers();
        [EVENTS as u64 + 1, EVENTS as u64 + 2].iter().all(|number| numbers.contains(number)).then_some(())
    })
    .await;
}
