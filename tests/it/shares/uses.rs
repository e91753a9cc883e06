//! Uses under made-up names, which are written to the database that all share.

use affzero_connections::tenancy::Plan;
use futures_util::StreamExt;
use serde_json::{Value, json};

use crate::app::{TestApp, User};
use crate::connections::{all_entries, eventually};

const PULLS: usize = 1_500;

async fn used(app: &TestApp, user: &User<'_>) -> Vec<Value> {
    app.connections.flush_uses().await;
    let mut events = all_entries(user, "/api/v1/audit-events", 100).await;
    events.retain(|event| event["action"] == "connection.used");
    events
}

#[tokio::test(flavor = "multi_thread")]
async fn made_up_automations_hide_nothing_and_hold_up_nobodys_writing() {
    let app = TestApp::start().await;
    let (attacker, bystander) = (app.user("evil", Plan::Pro), app.user("acme", Plan::ProPlus));
    let id = attacker.add_demo("Demo").await;
    let at = format!("/api/v1/connections/{id}");
    let stats = format!("{at}/stats?group_by=date&preset=yesterday");
    attacker.get(&stats).await.ok(200);
    let (attacker, stats) = (&attacker, stats.as_str());
    let attack = futures_util::stream::iter(0..PULLS)
        .map(async |n| {
            let name = format!("made up {n}");
            attacker.send("GET", stats, &[("x-automation-id", name.as_str())], None).await.ok(200);
        })
        .buffer_unordered(32)
        .collect::<Vec<()>>();
    let others = async {
        for n in 0..30 {
            let body = json!({ "name": format!("Demo {n}"), "platform": "demo" });
            let created = bystander.post("/api/v1/connections", &body).await.ok(201);
            let at = format!("/api/v1/connections/{}", created["id"].as_str().expect("an id"));
            let stats = format!("{at}/stats?group_by=date&preset=yesterday");
            bystander.send("GET", &stats, &[("x-automation-id", "weekly")], None).await.ok(200);
            bystander.delete(&at).await.ok(204);
        }
    };
    futures_util::join!(attack, others);

    // Sixty in each minute that the attack lasted, and as many in the one in which it began.
    let automations = all_entries(attacker, &format!("{at}/automations"), 100).await;
    let taken_up = automations.len();
    assert!(taken_up >= 60 && taken_up % 60 == 0, "{taken_up}");
    assert!(taken_up < PULLS / 5, "{taken_up}");
    assert_eq!(used(&app, attacker).await.len(), 1, "whatever the automations are called");
    assert_eq!(used(&app, &bystander).await.len(), 30);
    eventually("the use is shown", async || attacker.get(&at).await.ok(200)["last_used_at"].as_str().map(drop)).await;

    // What the connection knows goes on counting.
    let known = automations[0]["automation_id"].as_str().expect("a name");
    attacker.send("GET", stats, &[("x-automation-id", known)], None).await.ok(200);
    let after = all_entries(attacker, &format!("{at}/automations"), 100).await;
    assert_eq!((after.len(), &after[0]["automation_id"]), (taken_up, &automations[0]["automation_id"]));
    assert_ne!(after[0]["last_used_at"], automations[0]["last_used_at"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn uses_of_an_hour_are_counted_when_it_is_over_or_the_service_ends() {
    let app = TestApp::start().await;
    let (user, once) = (app.user("acme", Plan::Pro), app.user("other", Plan::Pro));
    let pull = async |user: &User<'_>, id: &str, automation: &str| {
        let stats = format!("/api/v1/connections/{id}/stats?group_by=date&preset=yesterday");
        user.send("GET", &stats, &[("x-automation-id", automation)], None).await.ok(200);
    };
    let (id, single) = (user.add_demo("Demo").await, once.add_demo("Demo").await);
    for automation in ["weekly", "daily", "weekly"] {
        pull(&user, &id, automation).await;
    }
    pull(&once, &single, "weekly").await;
    let first = used(&app, &user).await;
    assert_eq!(first.len(), 1);
    assert_eq!(first[0]["detail"], json!({ "automation_id": "weekly" }));
    assert!(first[0]["request_id"].is_string());
    app.connections.finish_uses().await;
    let all = used(&app, &user).await;
    assert_eq!(all.len(), 2);
    assert_eq!((&all[0]["detail"]["count"], &all[0]["outcome"]), (&json!(3), &json!("ok")));
    assert_eq!((&all[0]["detail"]["since"], &all[0]["actor"]), (&first[0]["at"], &first[0]["actor"]));
    assert_eq!((&all[0]["request_id"], &all[0]["address"]), (&Value::Null, &Value::Null));
    assert_eq!(used(&app, &once).await.len(), 1, "the event of a single use has said everything");
}
