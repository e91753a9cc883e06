//! Keys that run out: the date, the list by it, and what is reported when it comes near.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan};
use serde_json::{Value, json};

use super::{acme, event_types, feed};
use crate::app::{TestApp, User};
use crate::connections::{CONNECTIONS, affise, eventually, path};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::Simulator;

fn in_days(days: i64) -> String {
    let today: Date = jiff::tz::TimeZone::UTC.to_datetime(Timestamp::now()).date();
    (today + days.days()).to_string()
}

fn demo(name: &str, date: &str) -> Value {
    json!({ "name": name, "platform": "demo", "credentials_expire_at": date })
}

async fn reported_days(user: &User<'_>, count: usize) -> Vec<Value> {
    let events =
        eventually("it is reported", async || Some(feed(user, 100).await).filter(|events| events.len() >= count)).await;
    events.iter().map(|event| event["data"]["days_left"].clone()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_date_is_kept_shown_and_changed_without_a_tracker() {
    let (app, tracker) = (TestApp::start().await, Simulator::start(Affise::default()));
    let user = acme(&app);
    let mut body = affise("Brand", &tracker);
    body["credentials_expire_at"] = json!("2029-03-31");
    let id = user.add(body).await;
    let date = async |user: &User<'_>| user.get(&path(&id)).await.ok(200)["credentials_expire_at"].clone();
    assert_eq!(date(&user).await, "2029-03-31");
    tracker.forget();
    let changed =
        user.patch(&path(&id), &json!({ "name": "New", "credentials_expire_at": "2029-06-30" })).await.ok(200);
    assert_eq!((&changed["credentials_expire_at"], &changed["version"]), (&json!("2029-06-30"), &json!(2)));
    let unchanged = user.patch(&path(&id), &json!({ "credentials_expire_at": "2029-06-30" })).await.ok(200);
    assert_eq!(unchanged["version"], 2);
    assert!(tracker.requests().is_empty(), "no tracker is asked for that");

    // What was known of the old key says nothing of the new one, unless it is said.
    let key = json!({ "api_key": ADMIN_KEY });
    user.patch(&path(&id), &json!({ "credentials": key, "credentials_expire_at": "2030-01-31" })).await.ok(200);
    assert_eq!(date(&user).await, "2030-01-31");
    user.patch(&path(&id), &json!({ "credentials": key })).await.ok(200);
    assert_eq!(date(&user).await, Value::Null);
    user.patch(&path(&id), &json!({ "credentials_expire_at": "2030-01-31" })).await.ok(200);
    user.patch(&path(&id), &json!({ "credentials_expire_at": null })).await.ok(200);
    assert_eq!(date(&user).await, Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_date_is_refused_with_the_form_of_one() {
    let app = TestApp::start().await;
    let user = acme(&app);
    let id = user.add_demo("Demo").await;
    for (bad, code) in [
        (json!("31.03.2029"), "format"),
        (json!("2029-02-30"), "format"),
        (json!(20290331), "type"),
        (json!(""), "format"),
    ] {
        let mut body = demo("Bad", "");
        body["credentials_expire_at"] = bad.clone();
        for problem in [
            user.post(CONNECTIONS, &body).await.problem(422, "validation_failed"),
            user.patch(&path(&id), &json!({ "credentials_expire_at": bad })).await.problem(422, "validation_failed"),
        ] {
            let error = &problem["errors"][0];
            assert_eq!(
                (&error["pointer"], &error["code"]),
                (&json!("/credentials_expire_at"), &json!(code)),
                "{problem}"
            );
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_by_date_has_those_without_one_last() {
    let app = TestApp::start().await;
    let user = acme(&app);
    for (name, date) in [("B", "2029-02-01"), ("D", ""), ("A", "2029-01-01"), ("C", "2029-02-01"), ("E", "")] {
        let mut body = demo(name, date);
        if date.is_empty() {
            body["credentials_expire_at"] = Value::Null;
        }
        user.add(body).await;
    }
    for (sort, expected) in
        [("credentials_expire_at", ["A", "B", "C", "D", "E"]), ("-credentials_expire_at", ["C", "B", "A", "E", "D"])]
    {
        for limit in 1..=5 {
            let all = crate::connections::all_entries(&user, &format!("{CONNECTIONS}?sort={sort}"), limit).await;
            let names: Vec<&str> = all.iter().map(|entry| entry["name"].as_str().expect("a name")).collect();
            assert_eq!(names, expected, "{sort} by {limit}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_reported_fourteen_and_three_days_before_and_on_the_last_day() {
    let app = TestApp::start().await;
    for (organisation, (days, is_reported)) in
        [(14, true), (15, false), (3, true), (2, true), (0, true), (-1, true)].iter().enumerate()
    {
        let organisation = format!("org-{organisation}");
        let user = app.user(&organisation, affzero_connections::tenancy::Plan::Pro);
        user.add(demo("Demo", &in_days(*days))).await;
        if *is_reported {
            assert_eq!(reported_days(&user, 1).await, [json!(days)], "of several marks only the nearest");
            let event = &feed(&user, 100).await[0];
            assert_eq!((&event["type"], &event["sequence"]), (&json!("connection.expiring"), &json!(1)));
            assert_eq!(event["data"]["credentials_expire_at"], in_days(*days));
        } else {
            app.connections.flush_uses().await;
            assert_eq!(event_types(&user).await, [""; 0]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_date_starts_again_and_the_same_one_does_not() {
    let app = TestApp::start().await;
    let _second = app.replica(&[]).await;
    let user = acme(&app);
    let id = user.add(demo("Demo", &in_days(10))).await;
    assert_eq!(reported_days(&user, 1).await, [json!(10)]);
    user.patch(&path(&id), &json!({ "credentials_expire_at": in_days(10), "name": "Again" })).await.ok(200);
    user.patch(&path(&id), &json!({ "credentials_expire_at": in_days(400) })).await.ok(200);
    user.patch(&path(&id), &json!({ "credentials_expire_at": in_days(1) })).await.ok(200);
    assert_eq!(reported_days(&user, 2).await, [json!(10), json!(1)], "two replicas report it once");
    assert_eq!(user.delete(&path(&id)).await.status, 204);
    assert_eq!(event_types(&user).await, ["connection.expiring", "connection.expiring", "connection.deleted"]);
}
