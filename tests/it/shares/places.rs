//! Places among the requests that are answered.

use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;

use super::Victim;

#[tokio::test(flavor = "multi_thread")]
async fn slow_requests_of_one_organisation_leave_places_to_others() {
    let victim = Victim::start(&[("STATS_DEADLINE_MS", "4000")]);
    let token = victim.token("evil", Plan::Pro);
    let (slow, good) =
        (victim.add_demo(&token, "Slow", "slow").await, victim.add_demo(&token, "Good", "healthy").await);
    let path = |id: &str| format!("/api/v1/connections/{id}/stats?group_by=date&preset=yesterday");
    let slow = path(&slow);
    let attack = join_all((0..470).map(|_| victim.get(&token, &slow)));
    let (answers, _, _) = victim.under("slow requests", attack).await;
    let refused: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
    assert!(refused.len() >= 470 - 1_024 * 3 / 8, "{}", refused.len());
    for answer in &answers {
        match answer.status {
            503 => {
                answer.problem(503, "overloaded");
                assert!(answer.header("retry-after").is_some());
            }
            _ => drop(answer.problem(504, "upstream_timeout")),
        }
    }
    victim.get(&token, &path(&good)).await.ok(200);
}
