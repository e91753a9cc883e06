//! Checks and events with several real processes: each change is reported once, and a check of the dead is taken up.

use std::time::{Duration, Instant};

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{Fleet, SIZE, affise, eventually};
use crate::support::affise::Affise;
use crate::support::tracker::{Fault, Reply, Simulator};

pub(super) fn revoked() -> Fault {
    Fault::Instead(Reply::json(401, &json!({"status": 2, "message": "Token is necessary"})))
}

/// Makes all checks due now.
pub(super) fn due_now(fleet: &Fleet) {
    let url = fleet.variables.iter().find(|(name, _)| name == "DATABASE_URL").map(|(_, url)| url.clone());
    let mut database = PgConnection::establish(&url.expect("a database")).expect("PostgreSQL");
    database.batch_execute("UPDATE connections SET check_after = 1").expect("checks that are due");
}

pub(super) async fn reported_events(fleet: &Fleet, token: &str) -> Vec<(i64, String)> {
    let page = fleet.ask(0, token, "GET", "/api/v1/events?limit=100", None).await.ok(200);
    let events = page["data"].as_array().expect("data").iter();
    let of = |event: &Value| {
        (event["sequence"].as_i64().expect("a number"), event["type"].as_str().expect("a type").to_owned())
    };
    events.map(of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_report_each_change_once() {
    let Some(fleet) = Fleet::start(&[]).await else { return };
    let network = Simulator::start(Affise::default());
    let token = fleet.token("acme", "business");
    let id = fleet.add(&token, &affise("Brand", &network)).await;
    let (stats, verify) = (
        format!("/api/v1/connections/{id}/stats?group_by=offer&from=2026-03-01&to=2026-03-02&fresh=true"),
        format!("/api/v1/connections/{id}/verify"),
    );
    let mut expected = Vec::new();
    for round in 0..6 {
        let fails = round % 2 == 0;
        network.always(fails.then(revoked));
        due_now(&fleet);
        join_all((0..SIZE).flat_map(|replica| {
            [fleet.ask(replica, &token, "GET", &stats, None), fleet.ask(replica, &token, "POST", &verify, None)]
        }))
        .await;
        let change = if fails { "connection.failing" } else { "connection.recovered" };
        expected.push((round + 1, change.to_owned()));
        assert_eq!(reported_events(&fleet, &token).await, expected);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_of_a_killed_process_is_taken_up_soon() {
    let Some(mut fleet) = Fleet::start(&[]).await else { return };
    let network = Simulator::start(Affise::default());
    let token = fleet.token("acme", "business");
    fleet.add(&token, &affise("Brand", &network)).await;
    network.forget();
    network.always(Some(Fault::Stall(Duration::from_secs(15))));
    due_now(&fleet);
    let killed = eventually("a process that checks", async || {
        let at_work = |replica: &crate::process::Service| replica.written().contains("background-");
        fleet.replicas.iter().position(at_work).filter(|_| !network.requests().is_empty())
    })
    .await;
    fleet.replicas[killed].kill();
    fleet.replicas.remove(killed);
    network.always(Some(revoked()));
    let (asked, started) = (network.requests().len(), Instant::now());
    while network.requests().len() == asked {
        assert!(started.elapsed() < Duration::from_secs(15), "nobody takes it up");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(reported_events(&fleet, &token).await, [], "one refusal is none yet");
}
