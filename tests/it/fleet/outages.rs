//! The servers behind the processes, killed and started again under load.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Fleet, SIZE, affise, eventually, question, send};
use crate::app::{Answer, client};
use crate::servers::{PrivatePostgres, PrivateRedis};
use crate::support::affise::Affise;
use crate::support::tracker::Simulator;

/// Callers of all processes, until they are asked to stop.
struct Crowd {
    over: Arc<AtomicBool>,
    callers: Vec<tokio::task::JoinHandle<Tally>>,
}

/// What callers were answered.
#[derive(Default)]
struct Tally {
    answers: usize,
    /// How many times each problem was the answer.
    problems: BTreeMap<String, usize>,
    /// The names and ids of the connections that were acknowledged.
    created: Vec<(String, String)>,
}

impl Crowd {
    fn gather(fleet: &Fleet, token: &str, id: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let callers = (0..SIZE * 2).map(|caller| {
            let url = fleet.replicas[caller % SIZE].url.clone();
            let (over, token, id) = (Arc::clone(&over), token.to_owned(), id.to_owned());
            tokio::spawn(async move { keep_asking(caller, &url, &token, &id, &over).await })
        });
        let callers = callers.collect();
        Self { over, callers }
    }

    async fn go_home(self) -> Tally {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Tally::default();
        for caller in self.callers {
            let tally = caller.await.expect("every request is answered, and as it should be");
            all.answers += tally.answers;
            all.created.extend(tally.created);
            for (code, times) in tally.problems {
                *all.problems.entry(code).or_default() += times;
            }
        }
        all
    }
}

/// Lists, pulls and creates in turn. Every request has to be answered: with what was asked for, or with a problem.
async fn keep_asking(caller: usize, url: &str, token: &str, id: &str, over: &AtomicBool) -> Tally {
    let (client, mut tally) = (client(), Tally::default());
    while !over.load(Ordering::Relaxed) {
        let path = question(id, tally.answers);
        let name = format!("Demo {caller} {}", tally.answers);
        let body = json!({ "name": name, "platform": "demo" });
        // Few enough connections for the bound on Demo ones.
        let (method, path, body) = match tally.answers % 6 {
            0 if tally.created.len() < 15 => ("POST", "/api/v1/connections", Some(&body)),
            0 | 1 => ("GET", "/api/v1/connections?limit=5", None),
            _ => ("GET", path.as_str(), None),
        };
        let answer: Answer = send(&client, url, token, method, path, &[], body).await.expect("an answer");
        tally.answers += 1;
        match answer.status {
            200 => {}
            201 => {
                let id = answer.json()["id"].as_str().expect("an id").to_owned();
                tally.created.push((name, id));
            }
            _ => {
                let code = answer.json()["code"].as_str().expect("a problem").to_owned();
                assert!(answer.status != 503 || answer.header("retry-after").is_some());
                *tally.problems.entry(code).or_default() += 1;
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
    tally
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_killed_and_started_again_costs_no_answer() {
    let Some(mut fleet) = Fleet::start(&[("RUST_LOG", "info")]).await else { return };
    let network = Simulator::start(Affise::default());
    let token = fleet.token("acme", "business");
    let id = fleet.add(&token, &affise("Steady", &network)).await;
    let crowd = Crowd::gather(&fleet, &token, &id);
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        fleet.redis.stop();
        fleet.until_redis_is("unavailable").await;
        tokio::time::sleep(Duration::from_millis(500)).await;
        fleet.redis.restart();
        fleet.until_redis_is("ok").await;
    }
    let tally = crowd.go_home().await;
    assert_eq!(tally.problems, BTreeMap::new());
    assert!(tally.answers > 100, "{} answers are no load", tally.answers);

    // They share again, as soon as each has announced what it changed alone.
    fleet.until_one_pulls_for_all(&token, &id, &network).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_crashes_and_comes_back_loses_nothing_and_needs_no_restart() {
    let (Some(redis), Some(mut postgres)) = (PrivateRedis::start(), PrivatePostgres::start()) else { return };
    let url = postgres.url.clone();
    let fleet = Fleet::over(&url, redis, None, &[("RUST_LOG", "info")]).await;
    let network = Simulator::start(Affise::default());
    let token = fleet.token("acme", "business");
    let id = fleet.add(&token, &affise("Steady", &network)).await;
    let mut all = Tally::default();
    for _ in 0..2 {
        let crowd = Crowd::gather(&fleet, &token, &id);
        tokio::time::sleep(Duration::from_millis(700)).await;
        postgres.stop();
        for replica in 0..SIZE {
            eventually("readiness to say so", async || {
                let ready = fleet.ask(replica, "", "GET", "/readyz", None).await;
                let checks: Value = ready.json();
                (ready.status == 503 && checks["checks"]["database"] == "unavailable").then_some(())
            })
            .await;
        }
        postgres.restart();
        for replica in 0..SIZE {
            eventually("readiness again", async || {
                (fleet.ask(replica, "", "GET", "/readyz", None).await.status == 200).then_some(())
            })
            .await;
        }
        tokio::time::sleep(Duration::from_millis(300)).await;
        let tally = crowd.go_home().await;
        all.answers += tally.answers;
        all.created.extend(tally.created);
        all.problems.extend(tally.problems);
        // What can be answered afterwards is answered, by all of them.
        for answer in fleet.ask_all(&token, "/api/v1/connections?limit=1").await {
            answer.ok(200);
        }
    }
    // Names of the second round may be taken by what was saved in the first and never acknowledged.
    all.problems.remove("name_taken");
    assert_eq!(all.problems.keys().collect::<Vec<_>>(), ["overloaded"]);
    assert!(!all.created.is_empty() && all.answers > 50, "{} answers are no load", all.answers);
    for (name, id) in &all.created {
        let path = format!("/api/v1/connections/{id}");
        assert_eq!(fleet.ask(1, &token, "GET", &path, None).await.ok(200)["name"], *name);
    }
}
