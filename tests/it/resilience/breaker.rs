//! An origin that keeps failing is left alone for a while; one that refuses is not.

use std::time::{Duration, Instant};

use affzero_connections::tenancy::Plan;
use serde_json::json;

use super::{Stage, connect, report, report_of_day, unavailable};
use crate::support::affise::Affise;
use crate::support::tracker::{Fault, Reply, Request, Simulator, Tracker};

/// Pulls until calls are answered without the tracker.
async fn cut_off(stage: &Stage) {
    stage.network.always(Some(Fault::Instead(unavailable())));
    for _ in 0..20 {
        let before = stage.reports();
        stage.user().get(&report(&stage.id)).await.problem(502, "upstream_unavailable");
        if stage.reports() == before {
            return;
        }
    }
    panic!("the breaker never opened");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_answers_at_once_with_the_cause_and_recovers_by_itself() {
    let stage = Stage::set(&[]).await;
    cut_off(&stage).await;
    let before = stage.reports();
    let answer = stage.user().get(&report(&stage.id)).await;
    let problem = answer.problem(502, "upstream_unavailable");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains("answered 503") && detail.contains("left alone"), "{detail}");
    let wait: u64 = answer.header("retry-after").expect("a time").parse().expect("seconds");
    assert!((1..=5).contains(&wait), "{wait}");
    assert_eq!(stage.reports(), before);

    stage.network.always(None);
    let started = Instant::now();
    while stage.user().get(&report(&stage.id)).await.status != 200 {
        assert!(started.elapsed() < Duration::from_secs(60), "it never recovered");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_verification_goes_through_an_open_breaker_and_closes_it_if_it_works() {
    let stage = Stage::set(&[]).await;
    cut_off(&stage).await;
    let path = format!("/api/v1/connections/{}/verify", stage.id);
    let before = stage.network.requests().len();
    let verification = stage.user().post(&path, &json!({})).await.ok(200);
    assert_eq!(verification["status"], "inconclusive");
    assert!(stage.network.requests().len() > before);

    stage.network.always(None);
    assert_eq!(stage.user().post(&path, &json!({})).await.ok(200)["status"], "ok");
    stage.user().get(&report(&stage.id)).await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_never_open_it_and_an_outage_never_makes_a_connection_failing() {
    let stage = Stage::set(&[]).await;
    let refusal = Reply::json(401, &json!({"status": 2, "message": "Token is necessary"}));
    stage.network.always(Some(Fault::Instead(refusal)));
    for _ in 0..30 {
        stage.user().get(&report(&stage.id)).await.problem(424, "credentials_rejected");
    }
    assert_eq!(stage.reports(), 30);
    let shown = format!("/api/v1/connections/{}", stage.id);
    assert_eq!(stage.user().get(&shown).await.ok(200)["status"], "failing");

    stage.network.always(None);
    stage.user().get(&report(&stage.id)).await.ok(200);
    assert_eq!(stage.user().get(&shown).await.ok(200)["status"], "active");

    cut_off(&stage).await;
    assert_eq!(stage.user().get(&shown).await.ok(200)["status"], "active");
}

/// A tracker that cannot stand questions about one day.
struct Touchy(Affise);

impl Tracker for Touchy {
    fn answer(&self, request: &Request) -> Reply {
        match request.param("filter[date_from]") {
            Some("2026-09-02") => Reply::text(500, "text/plain", "oops"),
            _ => self.0.answer(request),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_that_a_tracker_cannot_stand_is_cut_off_by_itself() {
    let network = Simulator::start(Touchy(Affise::default()));
    let app = super::uncached(&[]).await;
    let (clumsy, other) = (app.user("clumsy", Plan::Pro), app.user("other", Plan::Pro));
    let id = connect(&clumsy, "Network", &network.url).await;
    let others = connect(&other, "Network", &network.url).await;
    let mut answers = Vec::new();
    for _ in 0..30 {
        answers.push(clumsy.get(&report_of_day(&id, 1)).await);
        answers.last().expect("an answer").problem(502, "upstream_unavailable");
    }
    let last = answers.last().expect("an answer");
    assert!(last.text.contains("left alone") && last.header("retry-after").is_some(), "{}", last.text);
    clumsy.get(&report_of_day(&id, 2)).await.ok(200);
    other.get(&report_of_day(&others, 2)).await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_organisation_that_has_a_tracker_cut_off_has_it_cut_off_for_itself_only() {
    let stage = Stage::set(&[]).await;
    let other = stage.app.user("other", Plan::Pro);
    let others = connect(&other, "Network", &stage.network.url).await;
    cut_off(&stage).await;
    stage.network.always(None);
    other.get(&report(&others)).await.ok(200);
    stage.user().get(&report(&stage.id)).await.problem(502, "upstream_unavailable");
}
