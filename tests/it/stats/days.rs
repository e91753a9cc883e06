//! Days that are over are asked for once while they are kept.

use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};

use super::{cache, path};
use crate::app::{TestApp, User};
use crate::support::binom::{Binom, KEY, sample};
use crate::support::tracker::Simulator;

/// An installation that is asked day by day.
async fn add(user: &User<'_>) -> (Simulator, String) {
    let events = sample("2025-09-30T20:00:00Z".parse().expect("an instant"), 20 * 24);
    let tracker = Simulator::start(Binom::v2("", events));
    let id = user
        .add(json!({
            "name": "Tracker", "platform": "binom", "connection_type": "admin",
            "settings": { "base_url": tracker.url }, "credentials": { "api_key": KEY },
        }))
        .await;
    (tracker, id)
}

fn days(id: &str, from: u8, to: u8) -> String {
    path(id, &format!("group_by=campaign,date&limit=500&sort=date&from=2025-10-{from:02}&to=2025-10-{to:02}"))
}

/// The first instants of what was asked for.
fn asked(tracker: &Simulator) -> Vec<String> {
    let requests = tracker.requests();
    tracker.forget();
    let mut from: Vec<String> =
        requests.iter().filter_map(|request| request.param("dateFrom").map(|from| from[..10].to_owned())).collect();
    from.sort();
    from
}

/// What the answer says of numbers.
fn numbers(mut answer: Value) -> Value {
    let members = answer.as_object_mut().expect("an answer");
    members
        .retain(|name, _| ["rows", "totals", "row_count", "integrity", "warnings", "query"].contains(&name.as_str()));
    answer
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_about_one_more_day_asks_for_that_day_alone() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let (tracker, id) = add(&user).await;
    tracker.forget();
    user.get(&days(&id, 5, 7)).await.ok(200);
    assert_eq!(asked(&tracker), ["2025-10-05", "2025-10-06", "2025-10-07"]);
    for (from, to, lacking) in [
        (5, 8, vec!["2025-10-08".to_owned()]),
        (4, 8, vec!["2025-10-04".to_owned()]),
        (6, 7, vec![]),
        // On both sides: one stretch is asked for whole.
        (3, 9, (3..=9).map(|day| format!("2025-10-{day:02}")).collect()),
        (7, 10, vec!["2025-10-10".to_owned()]),
    ] {
        let answer = user.get(&days(&id, from, to)).await;
        assert_eq!(asked(&tracker), lacking, "{from} to {to}");
        let fresh = user.get(&format!("{}&fresh=true", days(&id, from, to))).await;
        assert_eq!(asked(&tracker).len(), usize::from(to - from + 1), "fresh is fresh");
        assert_eq!(numbers(answer.ok(200)), numbers(fresh.ok(200)), "{from} to {to}");
    }
    let status = user.get(&days(&id, 4, 6)).await;
    assert!(status.header("cache-status").expect("a status").starts_with("affzero; hit; ttl="));
    assert_eq!(asked(&tracker), [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn days_are_not_kept_beyond_a_change_nor_for_another_question() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let (tracker, id) = add(&user).await;
    tracker.forget();
    user.get(&days(&id, 5, 6)).await.ok(200);
    assert_eq!(asked(&tracker).len(), 2);
    user.get(&format!("{}&filter[campaign]=7", days(&id, 5, 7))).await.ok(200);
    assert_eq!(asked(&tracker).len(), 3, "another filter is another question");
    user.get(&format!("{}&timezone=Europe/Berlin", days(&id, 5, 7))).await.ok(200);
    assert_eq!(asked(&tracker).len(), 3, "and so is another zone");
    cache::rename(&user, &id, "Other").await;
    user.get(&days(&id, 5, 7)).await.ok(200);
    assert_eq!(asked(&tracker).len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nothing_is_kept_no_days_are() {
    let app = TestApp::with(&[("STATS_CACHE_TTL_S", "0")]).await;
    let user = app.user("acme", Plan::Pro);
    let (tracker, id) = add(&user).await;
    tracker.forget();
    user.get(&days(&id, 5, 6)).await.ok(200);
    user.get(&days(&id, 5, 7)).await.ok(200);
    assert_eq!(asked(&tracker).len(), 5);
}
