//! The work that waits on the connections' own rows, shared by several processes.

use std::time::Duration;

use serde_json::json;

use super::{Fleet, affise, eventually};
use crate::support::affise::Affise;
use crate::support::tracker::{Fault, Simulator};

const MANY: usize = 24;
const PLANS: (&str, &str) = ("PLAN_LIMITS", "starter=1,pro=3,pro_plus=8,business=40");
const DEFERRED: &str = "/api/v1/connections?verify=deferred";

/// Verifications that have ended, of all connections of the organisation.
async fn verifications(fleet: &Fleet, token: &str, ids: &[String]) -> usize {
    let mut all = 0;
    for id in ids {
        let path = format!("/api/v1/connections/{id}/verifications?limit=100");
        all += fleet.ask(0, token, "GET", &path, None).await.ok(200)["data"].as_array().expect("rows").len();
    }
    all
}

async fn add_many(fleet: &Fleet, token: &str, network: &Simulator) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 0..MANY {
        let body = affise(&format!("Brand {number}"), network);
        let created = fleet.ask(number, token, "POST", DEFERRED, Some(&body)).await.ok(201);
        assert_eq!(created["status"], "unverified");
        ids.push(created["id"].as_str().expect("an id").to_owned());
    }
    ids
}

async fn until_all_are_verified(fleet: &Fleet, token: &str) {
    let path = "/api/v1/connections?limit=100&status=unverified";
    eventually("the end of the work", async || {
        (fleet.ask(0, token, "GET", path, None).await.ok(200)["data"] == json!([])).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_share_the_verifications_and_do_none_twice() {
    let Some(fleet) = Fleet::start(&[PLANS]).await else { return };
    let network = Simulator::start(Affise::default());
    network.always(Some(Fault::Stall(Duration::from_millis(150))));
    let token = fleet.token("acme", "business");
    let ids = add_many(&fleet, &token, &network).await;
    until_all_are_verified(&fleet, &token).await;
    assert_eq!(verifications(&fleet, &token, &ids).await, MANY, "each is verified once");
    let workers = fleet.replicas.iter().filter(|replica| replica.written().contains("background-")).count();
    assert!(workers >= 2, "{workers} of the processes did all the work");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_verifications_of_a_killed_process_are_taken_up_by_the_others() {
    let Some(mut fleet) = Fleet::start(&[PLANS]).await else { return };
    let network = Simulator::start(Affise::default());
    network.always(Some(Fault::Stall(Duration::from_millis(700))));
    let token = fleet.token("acme", "business");
    let ids = add_many(&fleet, &token, &network).await;
    let killed = eventually("a process at work", async || {
        fleet.replicas.iter().position(|replica| replica.written().contains("background-"))
    })
    .await;
    fleet.replicas[killed].kill();
    fleet.replicas.remove(killed);
    network.always(None);
    until_all_are_verified(&fleet, &token).await;
    let done = verifications(&fleet, &token, &ids).await;
    // What the dead process had asked and not written down is asked once more, nothing else.
    assert!((MANY..=MANY + 8).contains(&done), "{done}");
    let active = fleet.ask(0, &token, "GET", "/api/v1/connections?limit=100&status=active", None).await.ok(200);
    assert_eq!(active["data"].as_array().expect("rows").len(), MANY);
}
