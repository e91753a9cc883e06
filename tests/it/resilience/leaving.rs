//! Callers who go away: what nobody else waits for ends with them.

use std::time::Duration;

use affzero_connections::tenancy::Plan;
use futures_util::StreamExt;
use serde_json::{Value, json};

use super::{Stage, connect};
use crate::app::User;
use crate::support::affise::Affise;
use crate::support::tracker::Fault;

/// A report of many pages by which a stream goes on for long.
const LONG: &str = "group_by=date,offer,affiliate&from=2026-09-01&to=2026-09-30";
/// How long the tracker takes for each page.
const PAGE: Duration = Duration::from_millis(300);

/// A tracker that takes its time, and answers a row a page.
async fn slow() -> Stage {
    let stage = Stage::set_with(&[], Affise { rows_per_page: 1, ..Affise::default() }).await;
    stage.network.always(Some(Fault::Stall(PAGE)));
    stage
}

/// Calls on their way when the caller left may still be counted, on a busy machine for a while, and then no more. A pull
/// that goes on makes several calls in each of these spans.
async fn assert_quiet(stage: &Stage) {
    let mut asked = stage.network.requests().len();
    for _ in 0..4 {
        tokio::time::sleep(5 * PAGE).await;
        let before = std::mem::replace(&mut asked, stage.network.requests().len());
        if asked == before {
            assert!(asked > 0, "the tracker was called at all");
            return;
        }
    }
    panic!("the tracker is still called: {asked} calls so far");
}

/// Asks, and leaves before there is an answer.
async fn leave(user: &User<'_>, method: &str, path: &str, accept: &str, body: Option<&Value>) {
    let headers = [("accept", accept)];
    let answer = tokio::time::timeout(5 * PAGE, user.send(method, path, &headers, body)).await;
    assert!(answer.is_err(), "the tracker takes longer than that: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_of_a_report_takes_its_pull_along() {
    let stage = slow().await;
    let path = format!("/api/v1/connections/{}/stats?{LONG}", stage.id);
    leave(&stage.user(), "GET", &path, "application/json", None).await;
    assert_quiet(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_of_a_stream_takes_its_pull_along_before_and_after_the_first_row() {
    for form in ["application/x-ndjson", "text/csv"] {
        let stage = slow().await;
        let path = format!("/api/v1/connections/{}/stats?{LONG}", stage.id);
        // Sorted, so that there is nothing to send before the last page.
        leave(&stage.user(), "GET", &format!("{path}&sort=-clicks"), form, None).await;
        assert_quiet(&stage).await;
        if form == "text/csv" {
            // Nor is there of a short file.
            leave(&stage.user(), "GET", &path, form, None).await;
            assert_quiet(&stage).await;
            continue;
        }

        let bearer = format!("Bearer {}", stage.user().token());
        let headers = [("authorization", bearer.as_str()), ("accept", form)];
        let mut parts = stage.app.raw("GET", &path, &headers, None).await.bytes_stream();
        parts.next().await.expect("a first part").expect("rows");
        drop(parts);
        assert_quiet(&stage).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_of_many_reports_takes_all_of_them_along() {
    let stage = slow().await;
    stage.network.always(None);
    connect(&stage.user(), "Other", &stage.network.url).await;
    stage.network.forget();
    stage.network.always(Some(Fault::Stall(PAGE)));
    leave(&stage.user(), "GET", &format!("/api/v1/stats?{LONG}"), "application/json", None).await;
    assert_quiet(&stage).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_caller_of_a_verification_takes_it_along() {
    let stage = slow().await;
    // Longer than a verification is waited for: only a caller who leaves ends it early.
    stage.network.always(Some(Fault::Stall(7 * PAGE)));
    let draft = json!({
        "name": "Draft", "platform": "affise", "connection_type": "admin",
        "settings": { "base_url": stage.network.url },
        "credentials": { "api_key": crate::support::affise::ADMIN_KEY },
    });
    for (path, body) in [
        (format!("/api/v1/connections/{}/verify", stage.id), None),
        ("/api/v1/connections/verify".to_owned(), Some(&draft)),
        ("/api/v1/connections".to_owned(), Some(&draft)),
    ] {
        stage.network.forget();
        leave(&stage.user(), "POST", &path, "application/json", body).await;
        assert_eq!(stage.network.requests().len(), 1, "{path}");
        tokio::time::sleep(8 * PAGE).await;
        assert_eq!(stage.network.requests().len(), 1, "{path}: the steps after the first");
    }
    let names = stage.app.user("acme", Plan::Pro).get("/api/v1/connections").await.ok(200);
    assert_eq!(names["data"].as_array().expect("data").len(), 1, "what nobody waited for was not created");
}
