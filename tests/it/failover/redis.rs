//! Redis behind Sentinels, and Redis that is a cluster.

use serde_json::Value;
use tempfile::TempDir;

use super::{ready, until};
use crate::app::{KEYS, SECRET, TestApp};
use crate::process::{complaint, run};
use crate::servers::{PrivateRedis, PrivateSentinel};

async fn until_redis_is(app: &TestApp, standing: &str) {
    until(standing, async || (ready(app).await["checks"]["redis"] == standing).then_some(())).await;
}

/// What `doctor` finds of Redis: the status, what is so, and what to do.
fn doctor(url: &str) -> [String; 3] {
    let folder = TempDir::new().expect("a folder");
    let variables = [
        ("REDIS_URL", url),
        ("AUTH_JWT_SECRET", SECRET),
        ("CREDENTIALS_KEYS", KEYS),
        ("EGRESS_ALLOW", "127.0.0.0/8,::1/128"),
        ("VOLUUM_BASE_URL", "http://127.0.0.1:1"),
        ("EVERFLOW_BASE_URL", "http://127.0.0.1:1"),
        ("EVERFLOW_EU_BASE_URL", "http://127.0.0.1:1"),
        ("CAKE_BASE_DOMAIN", "localhost:1"),
        ("BIND_ADDR", "127.0.0.1:0"),
    ];
    let output = run(folder.path(), &["doctor", "--json"], &variables);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", complaint(&output)));
    let checks = report["checks"].as_array().expect("checks");
    let check = checks.iter().find(|check| check["check"] == "redis").expect("the check");
    ["status", "found", "mend"].map(|member| check[member].as_str().unwrap_or_default().to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_is_refused_at_once_and_in_one_sentence() {
    let Some(redis) = PrivateRedis::start_with(&["--cluster-enabled", "yes"]) else { return };
    let _: String = redis.ask(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"]);
    until("the cluster is up", async || {
        let about: String = redis.ask(&["CLUSTER", "INFO"]);
        about.contains("cluster_state:ok").then_some(())
    })
    .await;
    let app = TestApp::with(&[("REDIS_URL", &redis.url)]).await;
    until_redis_is(&app, "unavailable").await;
    assert!(redis.names("*").is_empty(), "nothing was tried");
    let [status, found, fix] = doctor(&redis.url);
    assert_eq!(status, "fail");
    assert!(found.contains("is a cluster") && fix.contains("no cluster"), "{found} -> {fix}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_primary_that_sentinels_name_is_followed() {
    let Some(mut primary) = PrivateRedis::start() else { return };
    let follows = primary.port().to_string();
    let replica = PrivateRedis::start_with(&["--replicaof", "127.0.0.1", &follows]).expect("a replica");
    until("the replica follows", async || {
        let about: String = replica.ask(&["INFO", "replication"]);
        about.contains("master_link_status:up").then_some(())
    })
    .await;
    let sentinels = [0; 3].map(|_| PrivateSentinel::watch(&primary, 2));
    let hosts: Vec<String> = sentinels.iter().map(|sentinel| format!("127.0.0.1:{}", sentinel.port)).collect();
    let url = format!("redis+sentinel://{}/primary/2", hosts.join(","));
    let app = TestApp::with(&[("REDIS_URL", &url)]).await;
    until_redis_is(&app, "ok").await;
    let in_database = |server: &PrivateRedis| {
        let about: String = server.ask(&["INFO", "keyspace"]);
        about.contains("db2:keys=")
    };
    assert!(in_database(&primary), "the database of the URL is used");
    let [status, found, _] = doctor(&url);
    assert_eq!(status, "ok", "{found}");

    until("the sentinels know each other and the replica", async || {
        let client = redis::Client::open(format!("redis://{}", hosts[0])).expect("a URL");
        let mut sentinel = client.get_connection().expect("a sentinel");
        let known: Vec<redis::Value> =
            redis::cmd("SENTINEL").arg("SENTINELS").arg("primary").query(&mut sentinel).expect("an answer");
        let replicas: Vec<redis::Value> =
            redis::cmd("SENTINEL").arg("REPLICAS").arg("primary").query(&mut sentinel).expect("an answer");
        (known.len() == 2 && replicas.len() == 1).then_some(())
    })
    .await;
    primary.stop();
    until_redis_is(&app, "unavailable").await;
    until_redis_is(&app, "ok").await;
    let role: Vec<redis::Value> = replica.ask(&["ROLE"]);
    assert_eq!(role.first(), Some(&redis::Value::BulkString(b"master".to_vec())), "the replica was promoted");

    let [status, found, fix] = doctor(&format!("redis://{}", hosts[0]));
    assert_eq!(status, "fail");
    assert!(found.contains("is a Sentinel") && fix.contains("redis+sentinel://"), "{found} -> {fix}");
    let [_, found, fix] = doctor(&url.replace("/primary/", "/nobody/"));
    assert!(found.contains("no primary of this name") && fix.contains("the name"), "{found} -> {fix}");
}
