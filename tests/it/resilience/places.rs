//! How many calls at the same time a tracker is found to take.

use std::time::Duration;

use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;
use serde_json::json;

use super::{Stage, report_of_day, uncached};
use crate::support::binom::{Binom, KEY};
use crate::support::tracker::{Fault, Reply, Simulator};

/// Longer than it takes until all questions have come in, so that the places decide how many are under way.
const STALL: Fault = Fault::Stall(Duration::from_millis(150));

/// Asks so many questions at once; all of them are answered.
async fn ask(stage: &Stage, questions: usize) {
    let statuses = join_all((0..questions).map(|day| {
        let (user, path) = (stage.user(), report_of_day(&stage.id, day));
        async move { user.get(&path).await.status }
    }));
    assert_eq!(statuses.await, vec![200; questions]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_answers_no_slower_is_called_more_at_once_up_to_its_ceiling() {
    let stage = Stage::set(&[]).await;
    stage.network.always(Some(STALL));
    ask(&stage, 40).await;
    assert_eq!(stage.network.most_at_once(), 8);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_that_refuses_is_called_less_at_once_and_won_back_one_by_one() {
    for refusal in [Reply::text(429, "text/plain", "slow down"), Reply::text(503, "text/plain", "busy")] {
        let stage = Stage::set(&[]).await;
        stage.network.inject(vec![Fault::Instead(refusal); 4]);
        stage.network.always(Some(STALL));
        ask(&stage, 16).await;
        // Four are refused and halved to two; rounds of two, three, four and five answers later it is six.
        let most = stage.network.most_at_once();
        assert!((4..=6).contains(&most), "{most}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tracker_is_too_slow_for_is_refused_before_it_is_called() {
    let tracker = Simulator::start(Binom::v2("", Vec::new()));
    let app = uncached(&[("STATS_DEADLINE_MS", "10000")]).await;
    let user = app.user("acme", Plan::Pro);
    let id = user
        .add(json!({
            "name": "Tracker", "platform": "binom", "connection_type": "admin",
            "settings": { "base_url": tracker.url }, "credentials": { "api_key": KEY },
        }))
        .await;
    tracker.always(Some(Fault::Stall(Duration::from_millis(400))));
    let question = |from: &str| format!("/api/v1/connections/{id}/stats?group_by=date,offer&from={from}&to=2026-09-08");
    user.get(&question("2026-09-01")).await.ok(200);
    tracker.forget();
    // A year of calls takes eighteen seconds with eight of them at once.
    let problem = user.get(&question("2025-09-09")).await.problem(422, "unsupported_query");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains("365 calls") && detail.contains("the longest range that would be is"), "{problem}");
    assert_eq!(tracker.requests().len(), 0);
}
