//! A new release, one process after the other, while callers go on.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use reqwest::Client;
use serde_json::json;

use super::{Fleet, SIZE, affise, eventually, question, send};
use crate::app::client;
use crate::support::affise::Affise;
use crate::support::tracker::Simulator;

/// How often the balancer looks whether a process is ready.
const LOOK: Duration = Duration::from_millis(100);

/// A plain balancer: requests go round among the processes that were ready when it looked last. It repeats nothing.
#[derive(Clone, Default)]
struct Balancer {
    known: Arc<RwLock<Vec<String>>>,
    ready: Arc<RwLock<Vec<String>>>,
    next: Arc<AtomicUsize>,
}

impl Balancer {
    fn know(&self, urls: Vec<String>) {
        *self.known.write().expect("a lock") = urls;
    }

    fn pick(&self) -> String {
        let ready = self.ready.read().expect("a lock");
        ready[self.next.fetch_add(1, Ordering::Relaxed) % ready.len()].clone()
    }

    async fn look(&self, client: &Client) {
        let (known, mut ready) = (self.known.read().expect("a lock").clone(), Vec::new());
        for url in known {
            if let Ok(answer) = send(client, &url, "", "GET", "/readyz", &[], None).await
                && answer.status == 200
            {
                ready.push(url);
            }
        }
        *self.ready.write().expect("a lock") = ready;
    }

    async fn look_always(self) {
        let client = client();
        loop {
            self.look(&client).await;
            tokio::time::sleep(LOOK).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rolling_restart_under_load_fails_no_request() {
    let Some(mut fleet) = Fleet::start(&[("SHUTDOWN_NOTICE_S", "1"), ("RUST_LOG", "info")]).await else { return };
    let network = Simulator::start(Affise::default());
    let token = fleet.token("acme", "business");
    let id = fleet.add(&token, &affise("Steady", &network)).await;
    let balancer = Balancer::default();
    balancer.know(fleet.replicas.iter().map(|replica| replica.url.clone()).collect());
    balancer.look(&fleet.client).await;
    let looking = tokio::spawn(balancer.clone().look_always());

    let over = Arc::new(AtomicBool::new(false));
    let callers: Vec<_> = (0..6)
        .map(|caller| {
            let (balancer, over, token, id) = (balancer.clone(), Arc::clone(&over), token.clone(), id.clone());
            tokio::spawn(async move {
                let client = client();
                let mut done = 0;
                while !over.load(Ordering::Relaxed) {
                    let url = balancer.pick();
                    let path = question(&id, done);
                    let name = json!({ "name": format!("Demo {caller} {done}"), "platform": "demo" });
                    let (method, path, headers, body, expected) = match done % 4 {
                        0 => ("GET", "/api/v1/connections?limit=5", &[][..], None, 200),
                        1 => ("GET", path.as_str(), &[][..], None, 200),
                        2 => ("GET", path.as_str(), &[("accept", "application/x-ndjson")][..], None, 200),
                        _ => ("POST", "/api/v1/connections/verify", &[][..], Some(&name), 200),
                    };
                    let answer = send(&client, &url, &token, method, path, headers, body).await;
                    let answer = answer.unwrap_or_else(|error| panic!("request {done} of {caller}: {error:?}"));
                    assert_eq!(answer.status, expected, "{method} {path}: {}", answer.text);
                    done += 1;
                }
                done
            })
        })
        .collect();

    for _ in 0..SIZE {
        tokio::time::sleep(Duration::from_millis(300)).await;
        let new = fleet.launch();
        let url = new.url.clone();
        fleet.replicas.push(new);
        balancer.know(fleet.replicas.iter().map(|replica| replica.url.clone()).collect());
        eventually("the new process in the round", async || {
            balancer.ready.read().expect("a lock").contains(&url).then_some(())
        })
        .await;
        let old = fleet.replicas.remove(0);
        let (status, written) = tokio::task::spawn_blocking(move || old.stop()).await.expect("it stops");
        assert!(status.success(), "{written}");
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
    over.store(true, Ordering::Relaxed);
    let mut done = 0;
    for caller in callers {
        done += caller.await.expect("no request failed");
    }
    looking.abort();
    assert!(done > 100, "{done} requests are no load");
}
