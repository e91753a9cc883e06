//! Redis dead, slow, locked and back again.

use std::time::{Duration, Instant};

use affzero_connections::shared::{Shared, Standing};
use affzero_connections::tenancy::Plan;
use serde_json::json;
use tempfile::TempDir;

use super::{replicas, until_redis_is};
use crate::app::TestApp;
use crate::process::Service;
use crate::servers::PrivateRedis;
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::{Fault, Reply, Simulator};

fn question(id: &str, day: u32) -> String {
    format!("/api/v1/connections/{id}/stats?group_by=offer&from=2026-09-{day:02}&to=2026-09-{day:02}")
}

#[tokio::test(flavor = "multi_thread")]
async fn without_redis_readiness_says_that_none_is_used() {
    let app = TestApp::start().await;
    assert_eq!(app.anonymous("GET", "/readyz").await.ok(200)["checks"]["redis"], "unused");
    let nothing = Shared::nothing();
    assert_eq!(nothing.standing(), Standing::Unused);
    assert!(nothing.announce(&[]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_service_starts_without_its_redis_and_finds_it_later() {
    let Some(mut redis) = PrivateRedis::start() else { return };
    redis.stop();
    let app = TestApp::with(&[("REDIS_URL", &redis.url)]).await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Alone").await;
    user.get(&question(&id, 1)).await.ok(200);
    assert_eq!(app.anonymous("GET", "/readyz").await.ok(200)["checks"]["redis"], "unavailable");
    redis.restart();
    until_redis_is(&app, "ok").await;
    user.get(&question(&id, 2)).await.ok(200);
    assert_eq!(redis.names("affzero:table:*").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_and_comes_back_costs_no_answer() {
    let Some((mut redis, one, other)) = replicas(&[("RATE_LIMIT_PER_ORG", "100000")]).await else { return };
    let id = one.user("acme", Plan::Pro).add_demo("Steady").await;
    let mut day = 0;
    let mut ask_both = async |times: u32| {
        for _ in 0..times {
            day = day % 28 + 1;
            for app in [&one, &other] {
                let headers = [("cache-control", "no-cache")];
                app.user("acme", Plan::Pro).send("GET", &question(&id, day), &headers, None).await.ok(200);
            }
        }
    };
    ask_both(5).await;
    for round in 0..2 {
        redis.stop();
        ask_both(5).await;
        for app in [&one, &other] {
            until_redis_is(app, "unavailable").await;
            let ready = app.anonymous("GET", "/readyz").await.ok(200);
            assert_eq!(ready["status"], "ready", "it goes on");
        }
        one.user("acme", Plan::Pro)
            .patch(&format!("/api/v1/connections/{id}"), &json!({ "name": format!("Steady {round}") }))
            .await
            .ok(200);
        redis.restart();
        for app in [&one, &other] {
            until_redis_is(app, "ok").await;
        }
        ask_both(5).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_does_not_answer_holds_one_request_up_for_a_moment() {
    let Some((redis, one, _other)) = replicas(&[("RATE_LIMIT_PER_ORG", "100000")]).await else { return };
    let user = one.user("acme", Plan::Pro);
    let id = user.add_demo("Steady").await;
    redis.stall();
    let first = Instant::now();
    user.get(&question(&id, 1)).await.ok(200);
    assert!(first.elapsed() < Duration::from_secs(1), "{:?}", first.elapsed());
    let rest = Instant::now();
    for day in 2..12 {
        user.get(&question(&id, day)).await.ok(200);
    }
    assert!(rest.elapsed() < Duration::from_secs(1), "nobody waits for it any more: {:?}", rest.elapsed());
    assert_eq!(one.anonymous("GET", "/readyz").await.ok(200)["checks"]["redis"], "unavailable");
    redis.go_on();
    until_redis_is(&one, "ok").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_of_an_access_list_needs_what_the_manual_says() {
    let Some(redis) = PrivateRedis::start() else { return };
    let manual = include_str!("../../../docs/operations.md");
    let commands =
        manual.split_once("and the commands `").and_then(|(_, rest)| rest.split_once('`')).expect("a list").0;
    let mut rule = vec!["ACL", "SETUSER", "service", "on", ">password", "~affzero:*", "&affzero:changed"];
    let allowed: Vec<String> = commands.split_whitespace().map(|name| format!("+{}", name.to_lowercase())).collect();
    rule.extend(allowed.iter().map(String::as_str));
    redis.ask::<()>(&rule);
    let url = redis.url.replace("redis://", "redis://service:password@");
    let app = TestApp::with(&[("REDIS_URL", &url), ("RATE_LIMIT_PER_ORG", "100000")]).await;
    until_redis_is(&app, "ok").await;
    let user = app.user("acme", Plan::Pro);
    let network = Simulator::start(Affise::default());
    let id = user
        .add(json!({
            "name": "Listed", "platform": "affise", "connection_type": "admin",
            "settings": { "base_url": network.url }, "credentials": { "api_key": ADMIN_KEY },
        }))
        .await;
    // Long enough for its leases to be renewed.
    network.inject([Fault::Stall(Duration::from_millis(1_500))]);
    let pulled = user.get(&question(&id, 1)).await;
    assert_eq!(
        pulled.header("cache-status"),
        Some("affzero-replicas; fwd=uri-miss; stored, affzero; fwd=uri-miss; stored")
    );
    network.inject([Fault::Instead(Reply::text(429, "text/plain", "slower").with_header("retry-after", "120"))]);
    user.get(&question(&id, 2)).await.problem(503, "upstream_rate_limited");
    user.post(&format!("/api/v1/connections/{id}/verify"), &json!({})).await.ok(200);
    user.delete(&format!("/api/v1/connections/{id}")).await;
    assert_eq!(app.anonymous("GET", "/readyz").await.ok(200)["checks"]["redis"], "ok");
    let denied: redis::Value = redis.ask(&["ACL", "LOG"]);
    assert_eq!(denied, redis::Value::Array(Vec::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_and_a_wrong_port_are_said_once_and_clearly() {
    let Some(redis) = PrivateRedis::start_with(&["--requirepass", "the-right-one"]) else { return };
    let folder = TempDir::new().expect("a folder");
    let locked = redis.url.replace("redis://", "redis://:the-wrong-one@");
    let plain = redis.url.replace("redis://", "rediss://");
    for (url, cause) in [(locked, "refuses the password"), (redis.url.clone(), "NOAUTH"), (plain, "unavailable")] {
        let service = Service::start(folder.path(), &[("REDIS_URL", &url), ("LOG_FORMAT", "json")]);
        service.wait_for("Redis is unavailable");
        let ready = service.send("", "GET", "/readyz", None).await.ok(200);
        assert_eq!(ready["checks"]["redis"], "unavailable");
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        let (status, written) = service.stop();
        assert!(status.success());
        assert_eq!(written.matches("Redis is unavailable").count(), 1, "{written}");
        assert!(written.contains(cause), "{written}");
        assert!(!written.contains("the-wrong-one"), "{written}");
    }
}
