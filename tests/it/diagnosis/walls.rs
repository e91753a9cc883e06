//! What answers instead of a tracker is never a verdict on the key, on any platform.

use std::collections::BTreeMap;

use affzero_connections::outbound::error::ErrorKind;
use affzero_connections::platforms::Pair;
use affzero_connections::platforms::stats::Dimension;
use affzero_connections::platforms::verification::{FailureCode, Owner, VerificationStatus};
use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;
use jiff::civil::{Date, date};
use serde_json::json;

use crate::app::TestApp;
use crate::road::range;
use crate::stage::Stage;
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::samples::{self, Address};
use crate::support::tracker::{Fault, Simulator};
use crate::support::walls::Wall;

const FROM: Date = date(2026, 10, 24);
/// The last day with traffic.
const LAST: Date = date(2026, 10, 31);

/// A stage for every sample that calls somebody, each with this wall in front of it.
fn behind(wall: Wall) -> Vec<Stage> {
    let samples = Pair::ALL.into_iter().flat_map(|pair| samples::of(pair, LAST));
    let stages: Vec<Stage> = samples.filter(|sample| sample.tracker.is_some()).map(Stage::set).collect();
    for stage in &stages {
        stage.simulator().always(Some(Fault::Instead(wall.reply())));
    }
    stages
}

/// What the contract's table says: the failure code, the kind of a failed pull, how often one call goes out, and a word
/// that the detail has.
fn expected(wall: Wall) -> (FailureCode, ErrorKind, Option<usize>, &'static str) {
    let blocked = |calls, word| (FailureCode::AccessBlocked, ErrorKind::AccessBlocked, Some(calls), word);
    match wall {
        Wall::Challenge | Wall::ChallengeWithStatus200 | Wall::ChallengeWithStatus503 => {
            blocked(3, "challenge page of Cloudflare")
        }
        Wall::Block1010 => blocked(1, "error code 1010"),
        Wall::Block1020 => blocked(1, "error code 1020"),
        Wall::BlockedPage => blocked(3, "Cloudflare's firewall"),
        Wall::Password => blocked(1, "password wall"),
        Wall::Nginx403 => blocked(3, "(nginx)"),
        Wall::Apache403 => blocked(3, "(Apache)"),
        Wall::Empty401 | Wall::Empty403 | Wall::ForeignJson403 => blocked(3, "not the tracker's"),
        Wall::Proxy407 => blocked(3, "A proxy"),
        Wall::OriginDown521 | Wall::OriginLost530 => (FailureCode::PlatformError, ErrorKind::Failing, None, "CDN"),
        Wall::Maintenance503 => (FailureCode::PlatformError, ErrorKind::Failing, None, "maintenance page"),
        Wall::Idle408 => (FailureCode::PlatformError, ErrorKind::Failing, None, "gave up waiting"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_wall_is_a_verdict_on_the_key() {
    for wall in Wall::ALL {
        let (code, kind, calls, word) = expected(wall);
        let checks = behind(wall).into_iter().map(|stage| async move {
            let name = format!("{}, {}", stage.sample.name(), wall.key());
            let verification = stage.verify().await;
            assert_eq!(verification.status, VerificationStatus::Inconclusive, "{name}: {verification:?}");
            let failure = verification.failure.expect("a failure");
            assert_eq!(failure.code, code, "{name}: {failure:?}");
            assert!(failure.detail.contains(word), "{name}: {failure:?}");
            let is_gateway = matches!(stage.sample.address, Address::Gateway(_));
            let owner = if is_gateway { Owner::Platform } else { Owner::TrackerAdmin };
            assert_eq!((failure.owner, failure.pointer), (owner, None), "{name}: {}", failure.detail);
            let mut sent: BTreeMap<String, usize> = BTreeMap::new();
            for request in stage.simulator().requests() {
                *sent.entry(format!("{} {} {:?}", request.method, request.path, request.query)).or_default() += 1;
            }
            assert!(calls.is_none_or(|calls| sent.values().all(|sent| *sent == calls)), "{name}: {sent:?}");
            let refused = stage.pull(&[Dimension::Date], range(FROM, LAST), "UTC").await.expect_err(&name);
            assert_eq!(refused.kind, kind, "{name}: {refused:?}");
            assert!(!refused.kind.is_refusal());
        });
        join_all(checks).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_call_in_ten_that_meets_a_wall_costs_no_report() {
    for wall in [Wall::Block1010, Wall::Challenge, Wall::Password, Wall::Nginx403, Wall::OriginDown521] {
        let checks = behind(wall).into_iter().map(|stage| async move {
            let name = format!("{}, {}", stage.sample.name(), wall.key());
            stage.simulator().always(None);
            let days = range(FROM, LAST);
            let clean = stage.pull(&[Dimension::Date], days, "UTC").await.expect(&name).by_ids();
            stage.simulator().every(10, Fault::Instead(wall.reply()));
            let asked = stage.simulator().requests().len();
            while stage.simulator().requests().len() < asked + 25 {
                let through = stage.pull(&[Dimension::Date], days, "UTC").await;
                // A wall that is sure to stay is not knocked at before anything of the request was answered.
                let first_call = matches!(wall, Wall::Block1010 | Wall::Password)
                    && through.as_ref().is_err_and(|error| error.kind == ErrorKind::AccessBlocked);
                if !first_call {
                    assert_eq!(through.expect(&name).by_ids(), clean, "{name}");
                }
            }
        });
        join_all(checks).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_firewall_leaves_the_connection_as_it_is_and_the_hint_names_the_addresses_to_let_in() {
    let app = TestApp::with(&[("EGRESS_ADDRESSES", "192.0.2.10, 2001:db8::10")]).await;
    let (user, tracker) = (app.user("acme", Plan::Pro), Simulator::start(Affise::default()));
    let body = json!({ "name": "Brand", "platform": "affise", "connection_type": "admin",
                       "settings": { "base_url": tracker.url }, "credentials": { "api_key": ADMIN_KEY } });
    let path = format!("/api/v1/connections/{}", user.add(body.clone()).await);
    let stats = format!("{path}/stats?group_by=date&from=2026-11-16&to=2026-11-22");
    for wall in [Wall::Block1010, Wall::Challenge, Wall::Empty401] {
        tracker.always(Some(Fault::Instead(wall.reply())));
        let problem = user.get(&stats).await.problem(502, "access_blocked");
        assert!(problem["hint"].as_str().expect("a hint").contains("192.0.2.10, 2001:db8::10"), "{problem}");
        let verified = user.send("POST", &format!("{path}/verify"), &[], None).await.ok(200);
        assert_eq!(
            (&verified["status"], &verified["failure"]["code"]),
            (&json!("inconclusive"), &json!("access_blocked"))
        );
        assert_eq!(verified["failure"]["retryable"], wall != Wall::Block1010, "{verified}");
        assert_eq!(user.get(&path).await.ok(200)["status"], "active", "{wall:?}");
    }
    let mut other = body;
    other["name"] = json!("Other");
    let refused = user.post("/api/v1/connections", &other).await.problem(422, "verification_inconclusive");
    assert_eq!(refused["verification"]["failure"]["code"], "access_blocked");
    tracker.always(None);
    // The breaker is open, as after an outage: a verification closes it.
    assert_eq!(user.send("POST", &format!("{path}/verify"), &[], None).await.ok(200)["status"], "ok");
    assert!(user.get(&stats).await.ok(200)["row_count"].is_number());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_the_moment_is_asked_for_once_more() {
    let tracker = Simulator::start(Affise::default());
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let body = json!({ "name": "Brand", "platform": "affise", "connection_type": "admin",
                       "settings": { "base_url": tracker.url }, "credentials": { "api_key": ADMIN_KEY } });
    tracker.inject([Fault::Instead(crate::support::tracker::Reply::html(200))]);
    let verified = user.post("/api/v1/connections/verify", &body).await.ok(200);
    assert_eq!(verified["status"], "ok", "{verified}");
}
