//! More calls than can wait for a tracker.

use std::time::Duration;

use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;

use super::{connect, report, report_of_day, uncached};
use crate::app::User;
use crate::support::affise::Affise;
use crate::support::tracker::{Fault, Simulator};

/// Connections of one organisation to one tracker; as many are pulled at once for one question.
const CONNECTIONS: usize = 32;
/// Enough questions about all of them to fill the organisation's places in the queue.
const QUESTIONS: usize = 80;

/// Fills the queue for as long as it is polled.
async fn crowd(user: &User<'_>) {
    join_all((0..QUESTIONS).map(|day| async move {
        let (month, day) = (9 - day / 28, day % 28 + 1);
        let date = format!("2026-{month:02}-{day:02}");
        user.get(&format!("/api/v1/stats?group_by=offer&from={date}&to={date}")).await
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "two thousand pulls at once: needs a machine that is not busy with other tests"]
async fn a_full_queue_turns_its_organisation_away_at_once_and_keeps_a_place_for_others() {
    let network = Simulator::start(Affise::default());
    let plans = ("PLAN_LIMITS", "starter=1,pro=3,pro_plus=8,business=40");
    let app = uncached(&[plans, ("UPSTREAM_TIMEOUT_MS", "30000")]).await;
    let (many, other) = (app.user("crowd", Plan::Business), app.user("other", Plan::Pro));
    let mut ids = Vec::new();
    for number in 0..CONNECTIONS {
        ids.push(connect(&many, &format!("Network {number}"), &network.url).await);
    }
    let alone = connect(&other, "Network", &network.url).await;
    network.always(Some(Fault::Stall(Duration::from_secs(10))));

    let refused = async {
        // Nobody waits longer than this while there is room; each leaves again.
        for day in 100..145 {
            let path = report_of_day(&ids[0], day);
            if let Ok(answer) = tokio::time::timeout(Duration::from_secs(1), many.get(&path)).await {
                return answer;
            }
        }
        panic!("the queue never filled");
    };
    let (refused, others) = tokio::select! {
        _ = crowd(&many) => panic!("the tracker is too slow for that"),
        found = async {
            let refused = refused.await;
            // Another organisation's call waits in a lane of its own, and has the next turn.
            let path = report(&alone);
            let relief = async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                network.always(None);
            };
            let (others, ()) = tokio::join!(other.get(&path), relief);
            (refused, others)
        } => found,
    };
    let problem = refused.problem(503, "overloaded");
    assert!(problem["detail"].as_str().expect("a detail").contains("waiting"), "{problem}");
    assert_eq!(refused.header("retry-after"), Some("5"));
    others.ok(200);

    // The crowd has left: there is room again.
    many.get(&report(&ids[0])).await.ok(200);
}
