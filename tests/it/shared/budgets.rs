//! Limits towards trackers, and counters, kept by several processes together.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use affzero_connections::outbound::{Allowance, Ask, Bound, Change, Decision, Limits, Pace, Places, SharedBudget};
use affzero_connections::shared::{Shared, Taken, Window};
use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;
use serde_json::json;

use super::{eventually, in_session, joined, replicas};
use crate::app::TestApp;
use crate::connections::affise;
use crate::servers::PrivateRedis;
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::{Fault, Reply, Simulator};

const WIDE: Allowance = Allowance::of(1_000);

fn ask<'a>(origin: &'a str, account: &'a [u8; 32], limits: Limits) -> Ask<'a> {
    let places = Places { origin: limits.origin.concurrency, account: limits.account.concurrency };
    Ask { origin, account, limits, places, behind: false, timeout: Duration::from_secs(30), heeds_back_off: true }
}

fn granted(turn: Decision) -> Option<affzero_connections::outbound::Lease> {
    match turn {
        Decision::Granted { lease, .. } => lease,
        _ => None,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_together_never_call_a_tracker_more_often_than_it_takes() {
    // Answers are not kept, so that each question is a call.
    let Some((_redis, one, other)) = replicas(&[("STATS_CACHE_TTL_S", "0")]).await else { return };
    let network = Simulator::start(Affise::default());
    let user = one.user("acme", Plan::Pro);
    let id = user
        .add(json!({
            "name": "Network", "platform": "affise", "connection_type": "admin",
            "settings": { "base_url": network.url }, "credentials": { "api_key": ADMIN_KEY },
        }))
        .await;
    network.forget();
    network.always(Some(Fault::Stall(Duration::from_millis(60))));
    let answers = join_all((0..40).map(|number| {
        let app = if number % 2 == 0 { &one } else { &other };
        let day = number % 28 + 1;
        let path = format!(
            "/api/v1/connections/{id}/stats?group_by=offer&from=2026-0{m}-{day:02}&to=2026-0{m}-{day:02}",
            m = 8 + number / 28
        );
        async move { app.user("acme", Plan::Pro).get(&path).await.status }
    }))
    .await;
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
    assert_eq!(network.requests().len(), 40);
    let most = network.most_at_once();
    assert!(
        (4..=8).contains(&most),
        "one account begins with four calls at a time and never takes more than eight: {most}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn places_are_bounded_for_origin_and_account_and_come_back() {
    let Some(redis) = PrivateRedis::start() else { return };
    let ((one, _keeper), (other, _other_keeper)) = (in_session(&redis).await, in_session(&redis).await);
    let limits = Limits { origin: Allowance::of(3), account: Allowance::of(2) };
    let (red, blue) = ([1; 32], [2; 32]);
    let first = granted(one.ask(&ask("https://t.example", &red, limits)).await.0).expect("a lease");
    let second = granted(other.ask(&ask("https://t.example", &red, limits)).await.0).expect("a lease");
    let full = one.ask(&ask("https://t.example", &red, limits)).await.0;
    assert!(matches!(full, Decision::Full(Bound::Account)));
    let third = granted(one.ask(&ask("https://t.example", &blue, limits)).await.0).expect("a lease");
    assert!(matches!(other.ask(&ask("https://t.example", &blue, limits)).await.0, Decision::Full(Bound::Origin)));
    let elsewhere = granted(other.ask(&ask("https://u.example", &blue, limits)).await.0);
    assert!(elsewhere.is_some(), "another origin has places of its own");
    drop(second);
    let again = eventually("a place", async || granted(one.ask(&ask("https://t.example", &red, limits)).await.0)).await;
    drop((first, third, again, elsewhere));
    eventually("empty sets", async || redis.names("affzero:places:*").is_empty().then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_replica_finds_out_about_a_tracker_holds_for_all() {
    let Some(redis) = PrivateRedis::start() else { return };
    let ((one, _keeper), (other, _other_keeper)) = (in_session(&redis).await, in_session(&redis).await);
    let limits = Limits { origin: Allowance::of(2).up_to(8), account: Allowance::of(1).up_to(8) };
    let account = [1; 32];
    let ask = ask("https://t.example", &account, limits);
    let known = async || other.ask(&ask).await.1;
    assert_eq!(known().await, Places::default(), "nothing is known at first");
    let change = |from, to| Some(Change { from, to });
    one.resize("https://t.example", &account, [change(2, 4), change(1, 2)]).await;
    assert_eq!(known().await, Places { origin: Some(4), account: Some(2) });
    let leases = [granted(one.ask(&ask).await.0), granted(other.ask(&ask).await.0)];
    assert!(leases.iter().all(Option::is_some), "there are two places now, for any caller");
    assert!(matches!(one.ask(&ask).await.0, Decision::Full(Bound::Account)));
    assert!(matches!(one.ask(&Ask { behind: true, ..ask }).await.0, Decision::Full(Bound::Account)));
    // Both grew from the same number: once is enough.
    other.resize("https://t.example", &account, [change(2, 4), change(1, 2)]).await;
    assert_eq!(known().await, Places { origin: Some(4), account: Some(2) });
    // What went wrong for one is news to the other, whatever that one knew.
    other.resize("https://t.example", &account, [change(8, 3), change(2, 1)]).await;
    one.resize("https://t.example", &account, [change(4, 8), None]).await;
    assert_eq!(known().await, Places { origin: Some(3), account: Some(1) });
    let lifetimes: Vec<i64> =
        redis.names("affzero:concurrency:*").iter().map(|name| redis.ask(&["TTL", name])).collect();
    assert!(lifetimes.len() == 2 && lifetimes.iter().all(|seconds| (1..=600).contains(seconds)), "{lifetimes:?}");
    drop(leases);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_leases_of_the_living_last_and_those_of_the_dead_end() {
    let Some(redis) = PrivateRedis::start() else { return };
    let ((dying, keeper), (living, _keeper)) = (in_session(&redis).await, in_session(&redis).await);
    let limits = Limits { origin: Allowance::of(1), account: WIDE };
    let account = [1; 32];
    let lease = granted(dying.ask(&ask("https://t.example", &account, limits)).await.0).expect("a lease");
    // Nine seconds go by, twice; within each the lease is renewed.
    for _ in 0..2 {
        pass(&redis, Duration::from_secs(9));
        tokio::time::sleep(Duration::from_millis(1_500)).await;
    }
    assert!(matches!(living.ask(&ask("https://t.example", &account, limits)).await.0, Decision::Full(Bound::Origin)));
    keeper.abort();
    std::mem::forget(lease);
    tokio::time::sleep(Duration::from_millis(300)).await;
    pass(&redis, Duration::from_secs(9));
    assert!(matches!(living.ask(&ask("https://t.example", &account, limits)).await.0, Decision::Full(Bound::Origin)));
    pass(&redis, Duration::from_secs(1));
    assert!(granted(living.ask(&ask("https://t.example", &account, limits)).await.0).is_some());
}

/// Makes all leases older.
fn pass(redis: &PrivateRedis, time: Duration) {
    for set in redis.names("affzero:places:*") {
        for member in redis.ask::<Vec<String>>(&["ZRANGE", &set, "0", "-1"]) {
            let _: String = redis.ask(&["ZINCRBY", &set, &format!("-{}", time.as_micros()), &member]);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_pace_holds_for_all_processes_together() {
    let Some(redis) = PrivateRedis::start() else { return };
    let ((one, _keeper), (other, _other_keeper)) = (in_session(&redis).await, in_session(&redis).await);
    let limits = Limits { origin: WIDE.at(Pace::new(20, 5)), account: WIDE };
    let began = Instant::now();
    let mut moments = join_all((0..25_u8).map(|number| {
        let shared = if number % 2 == 0 { &one } else { &other };
        async move {
            let account = [number; 32];
            match shared.ask(&ask("https://t.example", &account, limits)).await.0 {
                Decision::Granted { wait, lease: Some(_), .. } => began.elapsed() + wait,
                _ => panic!("no turn"),
            }
        }
    }))
    .await;
    moments.sort();
    // Five at once, and then one every 50 ms, for all replicas together.
    let last = *moments.last().expect("calls");
    assert!(last >= Duration::from_millis(990) && last < Duration::from_millis(1_600), "{last:?}");
    for (place, moment) in moments.iter().enumerate().skip(5) {
        let due = Duration::from_millis(50 * (place as u64 - 4));
        assert!(*moment + Duration::from_millis(10) >= due, "call {place} at {moment:?}");
    }
    // Who cannot wait so long takes nobody's moment.
    let hasty = Ask { timeout: Duration::from_millis(100), ..ask("https://t.example", &[9; 32], limits) };
    assert!(matches!(one.ask(&hasty).await.0, Decision::TooLate(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_that_is_given_up_while_redis_is_asked_keeps_no_place() {
    let Some(redis) = PrivateRedis::start() else { return };
    let ((one, _keeper), (other, _other_keeper)) = (in_session(&redis).await, in_session(&redis).await);
    let limits = Limits { origin: Allowance::of(1), account: WIDE };
    let account = [1; 32];
    let question = ask("https://t.example", &account, limits);
    drop(granted(one.ask(&question).await.0).expect("a lease, and a Redis that knows the script"));
    for _ in 0..20 {
        let mut asking = std::pin::pin!(one.ask(&question));
        // On its way, and nobody waits for the answer.
        drop(futures_util::FutureExt::now_or_never(&mut asking));
    }
    let place = eventually("the place", async || granted(other.ask(&question).await.0));
    assert!(tokio::time::timeout(Duration::from_secs(5), place).await.is_ok(), "sooner than leases end");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_is_to_be_left_alone_is_left_alone_by_all_until_the_longest_time_is_over() {
    let Some(redis) = PrivateRedis::start() else { return };
    let ((one, _keeper), (other, _other_keeper)) = (in_session(&redis).await, in_session(&redis).await);
    let limits = Limits { origin: WIDE, account: WIDE };
    let (red, blue) = ([1; 32], [2; 32]);
    let left = async |account: &[u8; 32]| match other.ask(&ask("https://t.example", account, limits)).await.0 {
        Decision::BackingOff(left) => Some(left),
        _ => None,
    };
    one.back_off(&red, Duration::from_secs(20)).await;
    one.back_off(&red, Duration::from_secs(2)).await;
    let longest = left(&red).await.expect("a back-off");
    assert!(longest > Duration::from_secs(15) && longest <= Duration::from_secs(20), "{longest:?}");
    assert_eq!(left(&blue).await, None, "another account");
    one.back_off(&blue, Duration::from_millis(300)).await;
    assert!(left(&blue).await.is_some());
    tokio::time::sleep(Duration::from_millis(350)).await;
    assert_eq!(left(&blue).await, None, "its time is over");
    one.back_off(&blue, Duration::ZERO).await;
    assert!(one.standing() == affzero_connections::shared::Standing::Ok, "no time is none, and no error");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_call_in_spite_of_a_back_off_ends_that_one_and_none_that_began_since() {
    let Some(redis) = PrivateRedis::start() else { return };
    let ((one, _keeper), (other, _other_keeper)) = (in_session(&redis).await, in_session(&redis).await);
    let limits = Limits { origin: WIDE, account: WIDE };
    let account = [1; 32];
    let breaks = async || {
        let bold = Ask { heeds_back_off: false, ..ask("https://t.example", &account, limits) };
        match other.ask(&bold).await.0 {
            Decision::Granted { breaks, lease: Some(_), .. } => breaks,
            _ => panic!("no turn"),
        }
    };
    let backs_off =
        async || matches!(one.ask(&ask("https://t.example", &account, limits)).await.0, Decision::BackingOff(_));
    assert_eq!(breaks().await, None);
    one.back_off(&account, Duration::from_secs(30)).await;
    for time in [60, 10] {
        let before = breaks().await.expect("a back-off");
        one.back_off(&account, Duration::from_secs(time)).await;
        other.end_back_off(&account, before).await;
        assert!(backs_off().await, "the tracker has asked again since, for {time} seconds");
    }
    other.end_back_off(&account, breaks().await.expect("a back-off")).await;
    assert!(!backs_off().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_retry_after_counts_for_all_replicas_until_a_verification_works() {
    let Some((redis, one, other)) = replicas(&[("STATS_DEADLINE_MS", "20000")]).await else { return };
    let third = joined(&one, &redis).await;
    let network = Simulator::start(Affise::default());
    let id = one.user("acme", Plan::Pro).add(affise("Network", &network)).await;
    let pull = async |app: &TestApp, day: u8| {
        let query = format!("group_by=offer&from=2026-09-{day:02}&to=2026-09-{day:02}");
        app.user("acme", Plan::Pro).get(&format!("/api/v1/connections/{id}/stats?{query}")).await
    };
    let slower = |time: &str| Fault::Instead(Reply::text(429, "text/plain", "slower").with_header("retry-after", time));
    network.forget();
    network.inject([slower("2")]);
    let (began, asked) = (Instant::now(), pull(&one, 1));
    let (asked, waited) = tokio::join!(asked, async {
        eventually("a call", async || (!network.requests().is_empty()).then_some(())).await;
        tokio::time::sleep(Duration::from_millis(300)).await;
        (pull(&other, 2).await, began.elapsed())
    });
    asked.ok(200);
    waited.0.ok(200);
    assert!(waited.1 >= Duration::from_secs(2), "the other replica waits too: {:?}", waited.1);

    network.forget();
    // Nobody is believed for longer than five minutes.
    network.inject([slower("4000")]);
    pull(&one, 3).await.problem(503, "upstream_rate_limited");
    let refused = pull(&other, 4).await;
    refused.problem(503, "upstream_rate_limited");
    let left: u64 = refused.header("retry-after").and_then(|left| left.parse().ok()).expect("a time");
    assert!((280..=300).contains(&left), "{left}");
    assert_eq!(network.requests().len(), 1, "only one replica has called");

    let path = format!("/api/v1/connections/{id}/verify");
    let verified = other.user("acme", Plan::Pro).post(&path, &json!({})).await.ok(200);
    assert_eq!(verified["status"], "ok");
    network.forget();
    pull(&other, 5).await.ok(200);
    pull(&third, 6).await.ok(200);
    assert_eq!(network.requests().len(), 2);
    pull(&one, 7).await.problem(503, "upstream_rate_limited");
}

#[tokio::test(flavor = "multi_thread")]
async fn requests_of_an_organisation_are_counted_in_all_replicas() {
    let Some((_redis, one, other)) = replicas(&[("RATE_LIMIT_PER_ORG", "3")]).await else { return };
    let (here, there) = (one.user("acme", Plan::Pro), other.user("acme", Plan::Pro));
    // The second may be over between the last request here and the first one there: then again.
    eventually("a refusal of the first request", async || {
        while here.get("/api/v1/usage").await.status == 200 {}
        let refused = there.get("/api/v1/usage").await;
        if refused.status == 200 {
            tokio::time::sleep(Duration::from_millis(1_100)).await;
            return None;
        }
        assert_eq!(refused.problem(429, "rate_limited")["limit"], 3);
        assert_eq!(refused.header("retry-after"), Some("1"));
        Some(())
    })
    .await;
    one.user("other", Plan::Pro).get("/api/v1/usage").await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_counted_counts_everywhere_and_can_be_taken_back() {
    let Some(redis) = PrivateRedis::start() else { return };
    let ((one, _keeper), (other, _other_keeper)) = (in_session(&redis).await, in_session(&redis).await);
    let window = Window { label: "failures", most: 5, time: Duration::from_millis(1_500) };
    let counted = AtomicUsize::new(0);
    let both = [&one, &other];
    let mut tokens: Vec<_> = join_all((0..20).map(|number| {
        let (shared, counted): (&Shared, _) = (both[number % 2], &counted);
        async move {
            match shared.count(window, "acme").await.expect("Redis is there") {
                Taken::Within(token) => {
                    counted.fetch_add(1, Ordering::Relaxed);
                    Some(token)
                }
                Taken::Over(left) => {
                    assert!(left > Duration::ZERO && left <= window.time);
                    None
                }
            }
        }
    }))
    .await
    .into_iter()
    .flatten()
    .collect();
    assert_eq!(counted.load(Ordering::Relaxed), 5);
    assert!(matches!(one.count(window, "other").await, Some(Taken::Within(_))), "others are counted apart");
    other.take_back(tokens.pop().expect("a token")).await;
    assert!(matches!(one.count(window, "acme").await, Some(Taken::Within(_))));
    assert!(matches!(other.count(window, "acme").await, Some(Taken::Over(_))));
    tokio::time::sleep(window.time).await;
    // A new window: what was counted in the old one cannot be taken back from it.
    for _ in 0..window.most {
        assert!(matches!(one.count(window, "acme").await, Some(Taken::Within(_))));
    }
    one.take_back(tokens.pop().expect("a token")).await;
    assert!(matches!(one.count(window, "acme").await, Some(Taken::Over(_))));
}
