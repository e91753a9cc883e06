//! HAProxy before both servers, configured as docs/operations.md says.

use affzero_connections::tenancy::Plan;

use super::{create, ready, until};
use crate::app::TestApp;
use crate::servers::{PrivatePostgres, PrivateProxy, PrivateRedis};

const GUIDE: &str = include_str!("../../../docs/operations.md");

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_of_the_guide_leads_to_the_promoted_postgres() {
    let Some(mut primary) = PrivatePostgres::start() else { return };
    let standby = primary.standby();
    let proxy = PrivateProxy::start(GUIDE, "postgres", [primary.port(), standby.port()]);
    let url = format!("postgres://affzero@127.0.0.1:{}/postgres", proxy.port);
    let app = TestApp::with(&[("DATABASE_URL", &url)]).await;
    let user = app.user("acme", Plan::Business);
    create(&user, "Before").await.ok(201);
    primary.stop();
    standby.promote();
    let mut tries = 0;
    until("creates reach the new primary", async || {
        tries += 1;
        (create(&user, &format!("After {tries}")).await.status == 201).then_some(())
    })
    .await;
    assert_eq!(ready(&app).await["checks"]["database"], "ok");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_of_the_guide_leads_to_the_promoted_redis() {
    let Some(mut primary) = PrivateRedis::start() else { return };
    let replica = PrivateRedis::start_with(&["--replicaof", "127.0.0.1", &primary.port().to_string()]);
    let replica = replica.expect("a replica");
    let proxy = PrivateProxy::start(GUIDE, "redis", [primary.port(), replica.port()]);
    let app = TestApp::with(&[("REDIS_URL", &format!("redis://127.0.0.1:{}", proxy.port))]).await;
    let standing = async |wanted: &str| {
        until(wanted, async || (ready(&app).await["checks"]["redis"] == wanted).then_some(())).await;
    };
    standing("ok").await;
    primary.stop();
    standing("unavailable").await;
    let _: String = replica.ask(&["REPLICAOF", "NO", "ONE"]);
    standing("ok").await;
}
