//! What is repeated, how often, and for how long.

use std::time::{Duration, Instant, SystemTime};

use futures_util::future::join_all;
use serde_json::json;

use super::{Stage, report, report_of_day, unavailable};
use crate::support::tracker::{Fault, Reply};

fn throttling(retry_after: &str) -> Fault {
    Fault::Instead(Reply::text(429, "text/plain", "slower").with_header("retry-after", retry_after))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_passing_outage_is_bridged() {
    let stage = Stage::set(&[]).await;
    for status in [502, 503, 504] {
        stage.network.inject([Fault::Instead(Reply::text(status, "text/plain", ""))]);
        stage.user().get(&report(&stage.id)).await.ok(200);
    }
    assert_eq!(stage.reports(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_may_not_be_repeated_is_asked_once_and_a_500_twice() {
    let stage = Stage::set(&[]).await;
    for (status, calls) in [(500, 2), (501, 1), (505, 1)] {
        stage.network.forget();
        stage.network.inject(vec![Fault::Instead(Reply::text(status, "text/plain", "")); calls]);
        stage.user().get(&report(&stage.id)).await.problem(502, "upstream_unavailable");
        assert_eq!(stage.reports(), calls, "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn retry_after_is_honoured_in_both_forms() {
    let stage = Stage::set(&[]).await;
    let date = httpdate::fmt_http_date(SystemTime::now() + Duration::from_secs(3));
    for asked in ["1", &date] {
        let started = Instant::now();
        stage.network.inject([throttling(asked)]);
        stage.user().get(&report(&stage.id)).await.ok(200);
        assert!(started.elapsed() > Duration::from_millis(500), "{asked}: {:?}", started.elapsed());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_what_comes_after_the_deadline() {
    let stage = Stage::set(&[("STATS_DEADLINE_MS", "20000")]).await;
    stage.network.always(Some(throttling("120")));
    let started = Instant::now();
    let answer = stage.user().get(&report(&stage.id)).await;
    answer.problem(503, "upstream_rate_limited");
    assert_eq!(answer.header("retry-after"), Some("120"));
    assert!(started.elapsed() < Duration::from_secs(15));
    assert_eq!(stage.reports(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_retry_after_counts_for_all_calls_of_the_account() {
    let stage = Stage::set(&[("STATS_DEADLINE_MS", "20000")]).await;
    let (user, started) = (stage.user(), Instant::now());
    stage.network.inject([throttling("2")]);
    user.get(&report_of_day(&stage.id, 100)).await.ok(200);
    assert!(started.elapsed() >= Duration::from_secs(2));
    stage.network.forget();

    stage.network.inject([throttling("3")]);
    let crowd = join_all((0..50).map(|day| {
        let (user, path) = (user.clone(), report_of_day(&stage.id, day));
        async move { user.get(&path).await.ok(200) }
    }));
    let (_, early) = tokio::join!(crowd, async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        stage.reports()
    });
    // Those that were on their way already, and nobody after them.
    assert!(early <= 4, "{early} calls while the tracker had asked to be left alone");
    assert_eq!(stage.reports(), 51);

    stage.network.forget();
    stage.network.inject([throttling("120")]);
    user.get(&report_of_day(&stage.id, 60)).await.problem(503, "upstream_rate_limited");
    let refused = user.get(&report_of_day(&stage.id, 61)).await;
    refused.problem(503, "upstream_rate_limited");
    let left: u64 = refused.header("retry-after").and_then(|left| left.parse().ok()).expect("a time");
    assert!((100..=120).contains(&left), "{left}");
    assert_eq!(stage.reports(), 1, "it is not even asked");
    // A person who verifies gets an answer from the tracker, and a good one means that it takes calls again.
    let path = format!("/api/v1/connections/{}/verify", stage.id);
    assert_eq!(user.post(&path, &json!({})).await.ok(200)["status"], "ok");
    user.get(&report_of_day(&stage.id, 62)).await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tracker_in_trouble_gets_a_fifth_more_calls_at_most() {
    let stage = Stage::set(&[]).await;
    stage.network.always(Some(Fault::Instead(Reply::text(429, "text/plain", "slower"))));
    let pulls = 100;
    let user = stage.user();
    join_all((0..pulls).map(|day| {
        let (user, path) = (user.clone(), report_of_day(&stage.id, day));
        async move { user.get(&path).await.problem(503, "upstream_rate_limited") }
    }))
    .await;
    // The verification's few calls have saved a little beside the ten repetitions to start with.
    let repetitions = stage.reports() - pulls;
    assert!(repetitions <= pulls / 5 + 11, "{repetitions}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_does_not_go_on_for_longer_than_it_may() {
    let stage = Stage::set(&[]).await;
    stage.network.always(Some(Fault::Instead(unavailable().with_header("retry-after", "11"))));
    let started = Instant::now();
    let path = format!("/api/v1/connections/{}/verify", stage.id);
    let verification = stage.user().post(&path, &json!({})).await.ok(200);
    assert_eq!(verification["status"], "inconclusive");
    assert_eq!(verification["failure"]["code"], "platform_error");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());
}
