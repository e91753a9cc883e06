//! Tables that one replica pulled, in the hands of another.

use std::time::{Duration, Instant};

use affzero_connections::shared::Change;
use affzero_connections::tenancy::Plan;
use serde_json::json;
use uuid::Uuid;

use super::{eventually, joined, replicas, shared};
use crate::app::{Answer, KEYS, TestApp, User};
use crate::servers::PrivateRedis;
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::{Fault, Simulator};

const NO_CACHE: (&str, &str) = ("cache-control", "no-cache");

async fn connect(user: &User<'_>, network: &Simulator) -> String {
    let id = user
        .add(json!({
            "name": "Quiet Brand", "platform": "affise", "connection_type": "admin",
            "settings": { "base_url": network.url }, "credentials": { "api_key": ADMIN_KEY },
        }))
        .await;
    network.forget();
    id
}

fn question(id: &str) -> String {
    format!("/api/v1/connections/{id}/stats?group_by=offer&from=2026-09-07&to=2026-09-13")
}

fn pulls(network: &Simulator) -> usize {
    network.requests().iter().filter(|request| request.path == "/3.0/stats/custom").count()
}

fn cache_status(answer: &Answer) -> &str {
    answer.header("cache-status").expect("a Cache-Status")
}

fn acme(app: &TestApp) -> User<'_> {
    app.user("acme", Plan::Pro)
}

async fn rename(user: &User<'_>, id: &str, name: &str) {
    user.patch(&format!("/api/v1/connections/{id}"), &json!({ "name": name })).await.ok(200);
}

/// Asks until the answer has this name; says how long that took.
async fn until_named(app: &TestApp, id: &str, name: &str) -> Duration {
    let since = Instant::now();
    eventually(name, async || {
        let page = acme(app).get(&question(id)).await.ok(200);
        (page["connection"]["name"] == name).then_some(())
    })
    .await;
    since.elapsed()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_answers_with_what_another_pulled() {
    let Some((_redis, one, other)) = replicas(&[]).await else { return };
    let network = Simulator::start(Affise::default());
    let id = connect(&acme(&one), &network).await;
    let pulled = acme(&one).get(&question(&id)).await;
    assert_eq!(cache_status(&pulled), "affzero-replicas; fwd=uri-miss; stored, affzero; fwd=uri-miss; stored");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    let found = acme(&other).get(&question(&id)).await;
    let left = cache_status(&found)
        .strip_prefix("affzero-replicas; hit; ttl=")
        .and_then(|rest| rest.strip_suffix(", affzero; fwd=uri-miss; stored"))
        .unwrap_or_else(|| panic!("{}", cache_status(&found)));
    assert!((880..899).contains(&left.parse::<u64>().expect("seconds")), "{left}");
    assert_eq!((found.status, &found.text), (200, &pulled.text));
    assert_eq!(found.header("etag"), pulled.header("etag"));
    let age: u64 = found.header("age").and_then(|age| age.parse().ok()).expect("an age");
    assert!((1..20).contains(&age), "it is as old as the pull: {age}");
    let kept = acme(&other).get(&question(&id)).await;
    assert!(cache_status(&kept).starts_with("affzero; hit; ttl="), "{}", cache_status(&kept));
    assert_eq!(pulls(&network), 1);

    let forced = acme(&other).send("GET", &question(&id), &[NO_CACHE], None).await;
    assert_eq!(cache_status(&forced), "affzero-replicas; fwd=request; stored, affzero; fwd=request; stored");
    assert_eq!(pulls(&network), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_at_the_same_time_look_once_and_an_insistent_one_pulls() {
    let Some((redis, one, other)) = replicas(&[]).await else { return };
    let network = Simulator::start(Affise::default());
    let id = connect(&acme(&one), &network).await;
    acme(&one).get(&question(&id)).await.ok(200);
    redis.ask::<()>(&["CONFIG", "RESETSTAT"]);
    let path = question(&id);
    let (insistent, rest) = tokio::join!(
        async { acme(&other).send("GET", &path, &[NO_CACHE], None).await },
        futures_util::future::join_all((0..8).map(|_| async { acme(&other).get(&path).await.ok(200) })),
    );
    assert_eq!(rest.len(), 8);
    assert!(cache_status(&insistent).contains("affzero; fwd=request"), "{}", cache_status(&insistent));
    assert_eq!(pulls(&network), 2, "only who insisted went to the tracker");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_in_redis_can_be_read() {
    let Some((redis, one, other)) = replicas(&[("RATE_LIMIT_PER_ORG", "1000")]).await else { return };
    let network = Simulator::start(Affise::default());
    let id = connect(&acme(&one), &network).await;
    let answer = acme(&one).get(&question(&id)).await.ok(200);
    acme(&other).get(&question(&id)).await.ok(200);
    network.always(Some(Fault::Stall(Duration::from_millis(300))));
    let path = question(&id);
    let running = acme(&one);
    let (_, contents) = tokio::join!(running.send("GET", &path, &[NO_CACHE], None), async {
        tokio::time::sleep(Duration::from_millis(150)).await;
        redis.contents()
    });
    for kind in ["state", "table", "places", "count"] {
        let pattern = format!("affzero:{kind}:*");
        assert!(!redis.names(&pattern).is_empty() || contents_have(&contents, &format!("affzero:{kind}:")), "{kind}");
    }
    let row = &answer["rows"][0];
    let clicks = row["clicks"].to_string();
    let mut canaries = vec!["acme", "Quiet", "127.0.0.1", "affise", "admin", ADMIN_KEY, id.as_str(), "offer"];
    canaries.extend([row["offer"]["name"].as_str().expect("a name"), row["revenue"].as_str().expect("money")]);
    canaries.extend([network.url.as_str(), clicks.as_str()].iter().filter(|text| text.len() > 4));
    let simple = id.replace('-', "");
    canaries.push(&simple);
    for canary in canaries {
        assert!(!contents_have(&contents, canary), "{canary}");
    }
    let raw = Uuid::parse_str(&id).expect("an id");
    assert!(!contents.windows(16).any(|window| window == raw.as_bytes()), "the id in bytes");
    for name in redis.names("*") {
        assert_ne!(redis.ask::<i64>(&["PTTL", &name]), -1, "{name} would stay for ever");
    }
}

fn contents_have(contents: &[u8], text: &str) -> bool {
    contents.windows(text.len()).any(|window| window == text.as_bytes())
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisation_finds_nothing() {
    let Some((_redis, one, other)) = replicas(&[]).await else { return };
    let network = Simulator::start(Affise::default());
    let id = connect(&acme(&one), &network).await;
    acme(&one).get(&question(&id)).await.ok(200);
    other.user("other", Plan::Pro).get(&question(&id)).await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_and_a_deletion_show_in_all_replicas_within_a_second() {
    let Some((redis, one, other)) = replicas(&[]).await else { return };
    let network = Simulator::start(Affise::default());
    let id = connect(&acme(&one), &network).await;
    for app in [&one, &other] {
        acme(app).get(&question(&id)).await.ok(200);
    }
    rename(&acme(&one), &id, "Renamed").await;
    assert!(until_named(&other, &id, "Renamed").await < Duration::from_secs(1));
    // One that holds nothing itself must not find what was shared before.
    let third = joined(&one, &redis).await;
    assert_eq!(acme(&third).get(&question(&id)).await.ok(200)["connection"]["name"], "Renamed");

    assert_eq!(acme(&other).delete(&format!("/api/v1/connections/{id}")).await.status, 204);
    let since = Instant::now();
    for app in [&one, &third] {
        eventually("the deletion", async || (acme(app).get(&question(&id)).await.status == 410).then_some(())).await;
    }
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_that_began_before_an_edit_is_not_shared() {
    let Some((redis, one, other)) = replicas(&[]).await else { return };
    let network = Simulator::start(Affise::default());
    let id = connect(&acme(&one), &network).await;
    network.inject([Fault::Stall(Duration::from_millis(900))]);
    let path = question(&id);
    let user = acme(&one);
    let (old, ()) = tokio::join!(user.get(&path), async {
        eventually("the pull", async || (pulls(&network) == 1).then_some(())).await;
        rename(&acme(&other), &id, "Renamed").await;
    });
    assert_eq!(old.json()["connection"]["name"], "Quiet Brand", "it was asked before the edit");
    assert_eq!(cache_status(&old), "affzero-replicas; fwd=uri-miss, affzero; fwd=uri-miss");
    assert!(redis.names("affzero:table:*").is_empty(), "nothing is shared yet");
    for app in [&other, &one, &joined(&one, &redis).await] {
        assert_eq!(acme(app).get(&path).await.ok(200)["connection"]["name"], "Renamed");
    }
    assert_eq!(pulls(&network), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_that_nobody_could_announce_is_announced_by_the_next_who_joins() {
    let Some(redis) = PrivateRedis::start() else { return };
    let lonely = TestApp::start().await;
    let network = Simulator::start(Affise::default());
    let id = connect(&acme(&lonely), &network).await;
    let first = joined(&lonely, &redis).await;
    acme(&first).get(&question(&id)).await.ok(200);
    drop(first);
    eventually("an end of its session", async || {
        let listening: Vec<(String, i64)> = redis.ask(&["PUBSUB", "NUMSUB", "affzero:changed"]);
        (listening == [("affzero:changed".to_owned(), 0)]).then_some(())
    })
    .await;
    // Nobody who makes or notices the edit knows of Redis.
    rename(&acme(&lonely), &id, "Renamed").await;
    assert_eq!(redis.names("affzero:table:*").len(), 1, "what was shared before is still there");
    let next = joined(&lonely, &redis).await;
    assert_eq!(acme(&next).get(&question(&id)).await.ok(200)["connection"]["name"], "Renamed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_by_a_replica_without_redis_is_announced_by_the_others() {
    let Some((redis, one, other)) = replicas(&[]).await else { return };
    let network = Simulator::start(Affise::default());
    let id = connect(&acme(&one), &network).await;
    for app in [&one, &other] {
        acme(app).get(&question(&id)).await.ok(200);
    }
    let lonely = one.replica(&[]).await;
    rename(&acme(&lonely), &id, "Renamed").await;
    for app in [&one, &other, &joined(&one, &redis).await] {
        let took = until_named(app, &id, "Renamed").await;
        assert!(took < Duration::from_millis(1_500), "{took:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_comes_back_from_a_snapshot_revives_nothing() {
    let Some((mut redis, one, _other)) = replicas(&[]).await else { return };
    let network = Simulator::start(Affise::default());
    let id = connect(&acme(&one), &network).await;
    acme(&one).get(&question(&id)).await.ok(200);
    redis.ask::<()>(&["SAVE"]);
    rename(&acme(&one), &id, "Renamed").await;
    redis.restart();
    assert!(!redis.names("affzero:table:*").is_empty(), "the snapshot was loaded");
    let fresh = joined(&one, &redis).await;
    assert_eq!(acme(&fresh).get(&question(&id)).await.ok(200)["connection"]["name"], "Renamed");
    assert_eq!(pulls(&network), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lifetime_of_zero_shares_nothing() {
    let Some((redis, one, other)) = replicas(&[("STATS_CACHE_TTL_S", "0")]).await else { return };
    let network = Simulator::start(Affise::default());
    let id = connect(&acme(&one), &network).await;
    for app in [&one, &other] {
        assert_eq!(cache_status(&acme(app).get(&question(&id)).await), "affzero; fwd=uri-miss");
    }
    assert!(redis.names("affzero:table:*").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_with_different_active_keys_still_notify_each_other_of_changes() {
    let Some(redis) = PrivateRedis::start() else { return };
    let second = "k2:AQECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
    let before = shared(&redis, &format!("{KEYS},{second}"));
    let after = shared(&redis, &format!("{second},{KEYS}"));
    let stranger = shared(&redis, second);
    let mut listening = before.join().await;
    let (_announcing, _shouting) = (after.join().await, stranger.join().await);
    let change = Change { connection: Uuid::now_v7(), version: 7 };
    // Anyone who has none of the keys can announce nothing that is believed; the same change twice is announced once.
    assert!(stranger.announce(&[Change { version: 6, ..change }]).await);
    assert!(before.announce(&[change]).await && before.announce(&[change]).await);
    let deleted = Change { version: i64::MAX, ..change };
    assert!(after.announce(&[deleted]).await);
    let mut heard = Vec::new();
    while heard.last() != Some(&deleted) {
        heard.push(
            tokio::time::timeout(Duration::from_secs(5), listening.next_change())
                .await
                .expect("a change")
                .expect("a session"),
        );
    }
    assert_eq!(heard, [Change { version: 6, ..change }, change, deleted]);
}
