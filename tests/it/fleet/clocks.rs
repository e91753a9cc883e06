//! Clocks that are set while processes run, by an hour forward and back: each change is reported once, and in order.

use std::path::PathBuf;
use std::time::Duration;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};
use futures_util::future::join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::events::{due_now, reported_events, revoked};
use super::{Fleet, SIZE, affise, eventually, send};
use crate::app::{KEYS, SECRET, client};
use crate::failover::clocks::library;
use crate::process::{Service, run};
use crate::servers::{PrivateRedis, Schema};
use crate::support::affise::Affise;
use crate::support::tracker::Simulator;

/// A clock that is set by writing how far it is from the machine's.
struct Clock(PathBuf);

impl Clock {
    fn of(folder: &TempDir, replica: usize) -> Self {
        let clock = Self(folder.path().join(format!("clock-{replica}")));
        clock.set("+0s");
        clock
    }

    /// All at once: a process that reads meanwhile sees the old time or the new one.
    fn set(&self, offset: &str) {
        let written = self.0.with_extension("new");
        std::fs::write(&written, offset).expect("a file");
        std::fs::rename(&written, &self.0).expect("a file");
    }

    fn variables(&self) -> Vec<(String, String)> {
        let pairs = [
            ("LD_PRELOAD", library()),
            ("FAKETIME_TIMESTAMP_FILE", self.0.display().to_string()),
            ("FAKETIME_NO_CACHE", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value)).to_vec()
    }
}

/// A fleet whose processes have a clock each.
async fn with_clocks(folder: &TempDir) -> Option<(Fleet, Vec<Clock>)> {
    let (redis, schema) = (PrivateRedis::start()?, Schema::make()?);
    let url = schema.url.clone();
    let mut fleet = Fleet::none_over(&url, redis, Some(schema), &[]);
    let clocks: Vec<_> = (0..SIZE).map(|replica| Clock::of(folder, replica)).collect();
    let shared = fleet.variables.clone();
    for clock in &clocks {
        fleet.variables.extend(clock.variables());
        let replica = fleet.launch();
        fleet.replicas.push(replica);
        fleet.variables.clone_from(&shared);
    }
    fleet.until_redis_is("ok").await;
    Some((fleet, clocks))
}

/// What the clocks are set to, one round after the other.
const ROUNDS: [[&str; SIZE]; 6] = [
    ["+3600s", "+0s", "-3600s"],
    ["-3600s", "+3600s", "+0s"],
    ["+0s", "-3600s", "+3600s"],
    ["-3600s", "-3600s", "-3600s"],
    ["+3600s", "+3600s", "+3600s"],
    ["+0s", "+0s", "+0s"],
];

#[tokio::test(flavor = "multi_thread")]
async fn clocks_that_are_set_by_an_hour_both_ways_neither_double_nor_lose_a_change() {
    let folder = TempDir::new().expect("a folder");
    let Some((fleet, clocks)) = with_clocks(&folder).await else { return };
    let network = Simulator::start(Affise::default());
    let token = fleet.token("acme", "business");
    let id = fleet.add(&token, &affise("Brand", &network)).await;
    let stats = format!("/api/v1/connections/{id}/stats?group_by=offer&from=2026-03-01&to=2026-03-02&fresh=true");
    let verify = format!("/api/v1/connections/{id}/verify");
    let mut expected = Vec::new();
    for (round, offsets) in ROUNDS.iter().enumerate() {
        let fails = round % 2 == 0;
        network.always(fails.then(revoked));
        // Checks begin on the old time and end on the new one.
        due_now(&fleet);
        clocks.iter().zip(offsets).for_each(|(clock, offset)| clock.set(offset));
        due_now(&fleet);
        join_all((0..SIZE).flat_map(|replica| {
            [fleet.ask(replica, &token, "GET", &stats, None), fleet.ask(replica, &token, "POST", &verify, None)]
        }))
        .await;
        let change = if fails { "connection.failing" } else { "connection.recovered" };
        let sequence = i64::try_from(round).expect("few rounds") + 1;
        expected.push((sequence, change.to_owned()));
        assert_eq!(reported_events(&fleet, &token).await, expected, "{offsets:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn checks_go_on_while_clocks_are_set_and_come_to_what_a_person_would_see() {
    let folder = TempDir::new().expect("a folder");
    let Some((fleet, clocks)) = with_clocks(&folder).await else { return };
    let network = Simulator::start(Affise::default());
    let token = fleet.token("acme", "business");
    let id = fleet.add(&token, &affise("Brand", &network)).await;
    let shown = async || fleet.ask(0, &token, "GET", &format!("/api/v1/connections/{id}"), None).await.ok(200);
    // These clocks are the ones that the processes read.
    for (offset, standing) in [("+3600s", "differs"), ("+0s", "ok")] {
        clocks.iter().for_each(|clock| clock.set(offset));
        for replica in 0..SIZE {
            eventually(standing, async || {
                let ready = fleet.ask(replica, "", "GET", "/readyz", None).await.json();
                (ready["checks"]["clock"] == standing).then_some(())
            })
            .await;
        }
    }
    let mut expected: Vec<(i64, String)> = Vec::new();
    for (round, offsets) in ROUNDS.iter().enumerate() {
        let fails = round % 2 == 0;
        network.always(fails.then(revoked));
        network.forget();
        clocks.iter().zip(offsets).for_each(|(clock, offset)| clock.set(offset));
        // Nobody asks: the background finds out, and confirms a refusal before it reports it.
        let change = if fails { "connection.failing" } else { "connection.recovered" };
        expected.push((i64::try_from(round).expect("few rounds") + 1, change.to_owned()));
        eventually("the background reports it", async || {
            due_now(&fleet);
            tokio::time::sleep(Duration::from_millis(300)).await;
            (reported_events(&fleet, &token).await.len() == expected.len()).then_some(())
        })
        .await;
        assert_eq!(reported_events(&fleet, &token).await, expected, "{offsets:?}");
        let status = if fails { "failing" } else { "active" };
        assert_eq!(shown().await["status"], json!(status));
    }
    // The time of the next check is the database's, whatever the clock of the process said that ran the last one.
    let health: Value = eventually("a check on the clock of the database", async || {
        let health = shown().await["health"].clone();
        let next: jiff::Timestamp = health["next_check_at"].as_str()?.parse().ok()?;
        let hours = (next - jiff::Timestamp::now()).as_hours();
        (5..=8).contains(&hours).then_some(health)
    })
    .await;
    assert_eq!(health["reason"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_over_a_file_reports_each_change_once_while_its_clock_is_set() {
    // `faketime` is there where the servers of the tests are.
    if std::env::var_os("TEST_DATABASE_URL").is_none() {
        return;
    }
    let folder = TempDir::new().expect("a folder");
    let (clock, file) = (Clock::of(&folder, 0), folder.path().join("own.db").display().to_string());
    let url = format!("sqlite://{file}");
    let mut variables = clock.variables();
    let own = [
        ("DATABASE_URL", url.as_str()),
        ("AUTH_JWT_SECRET", SECRET),
        ("CREDENTIALS_KEYS", KEYS),
        ("EGRESS_ALLOW", "127.0.0.0/8"),
    ];
    variables.extend(own.map(|(name, value)| (name.to_owned(), value.to_owned())));
    let variables: Vec<_> = variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    let service = Service::start(folder.path(), &variables);
    let minted = run(folder.path(), &["token", "--org", "acme", "--plan", "business"], &own);
    let token = String::from_utf8(minted.stdout).expect("text").trim().to_owned();
    let client = client();
    let ask = async |method: &str, path: &str, body: Option<&Value>| {
        send(&client, &service.url, &token, method, path, &[], body).await.expect("an answer")
    };
    let network = Simulator::start(Affise::default());
    let made = ask("POST", "/api/v1/connections", Some(&affise("Brand", &network))).await.ok(201);
    let path = format!("/api/v1/connections/{}", made["id"].as_str().expect("an id"));
    let mut expected: Vec<String> = Vec::new();
    for (round, offset) in ["+3600s", "-3600s", "+0s", "+3600s", "+0s", "-3600s"].into_iter().enumerate() {
        let fails = round % 2 == 0;
        network.always(fails.then(revoked));
        clock.set(offset);
        // Half of the changes are found by the background alone, which confirms a refusal before it reports it.
        expected.push(if fails { "connection.failing" } else { "connection.recovered" }.to_owned());
        if round < 3 {
            ask("POST", &format!("{path}/verify"), None).await;
        }
        eventually("the change is reported", async || {
            let mut database = SqliteConnection::establish(&file).expect("the same file");
            let due = "PRAGMA busy_timeout = 5000; UPDATE connections SET check_after = 1";
            database.batch_execute(due).expect("a check that is due");
            tokio::time::sleep(Duration::from_millis(200)).await;
            let events = ask("GET", "/api/v1/events?limit=100", None).await.ok(200);
            let events = events["data"].as_array().expect("data").clone();
            let types: Vec<_> = events.iter().map(|event| event["type"].as_str().expect("a type")).collect();
            let numbers: Vec<_> = events.iter().map(|event| event["sequence"].as_u64().expect("a number")).collect();
            assert_eq!(numbers, (1..=events.len() as u64).collect::<Vec<_>>());
            assert!(types.len() <= expected.len(), "{offset}: {types:?}");
            (types == expected).then_some(())
        })
        .await;
    }
}
