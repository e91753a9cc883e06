//! What replicas share over Redis, and how they go on without it.

mod away;
mod budgets;
mod tables;

use std::sync::Arc;
use std::time::Duration;

use affzero_connections::shared::{Address, RedisSession, Shared};
use affzero_connections::vault::{KeyRing, Vault};

use crate::app::{KEYS, TestApp};
use crate::servers::PrivateRedis;

/// Two replicas of one service, with a Redis of their own. Nothing, where tests are to do without servers.
async fn replicas(variables: &[(&str, &str)]) -> Option<(PrivateRedis, TestApp, TestApp)> {
    let redis = PrivateRedis::start()?;
    let (one, other) = {
        let mut all = vec![("REDIS_URL", redis.url.as_str())];
        all.extend_from_slice(variables);
        let one = TestApp::with(&all).await;
        let other = one.replica(&all).await;
        (one, other)
    };
    for app in [&one, &other] {
        until_redis_is(app, "ok").await;
    }
    Some((redis, one, other))
}

/// A further replica, from the moment that it shares.
async fn joined(app: &TestApp, redis: &PrivateRedis) -> TestApp {
    let replica = app.replica(&[("REDIS_URL", &redis.url)]).await;
    until_redis_is(&replica, "ok").await;
    replica
}

async fn until_redis_is(app: &TestApp, standing: &str) {
    eventually(standing, async || {
        let ready = app.anonymous("GET", "/readyz").await.ok(200);
        (ready["checks"]["redis"] == standing).then_some(())
    })
    .await;
}

/// What one process shares, without the service around it.
fn shared(redis: &PrivateRedis, keys: &str) -> Shared {
    let vault = Arc::new(Vault::new(KeyRing::parse(keys).expect("a ring")));
    Shared::over(Address::read(&redis.url).expect("an address"), vault)
}

/// The same in a session that is kept up until it is dropped.
async fn in_session(redis: &PrivateRedis) -> (Shared, tokio::task::JoinHandle<()>) {
    let shared = shared(redis, KEYS);
    let session: RedisSession = shared.join().await;
    session.open();
    let keeper = tokio::spawn(async move {
        let mut session = session;
        while session.next_change().await.is_some() {}
    });
    (shared, keeper)
}

/// Asks again and again, for ten seconds at most, until there is an answer.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..500 {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{what} did not come about");
}
