//! Callers who go on while processes come and go.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, RwLock};
use std::time::Duration;

use reqwest::Client;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::{Fleet, eventually, question, send};
use crate::app::{Answer, client};

/// How often the balancer looks whether a process is ready.
const LOOK: Duration = Duration::from_millis(100);

/// Callers who only read and try, and callers who add connections, change them and delete them.
const READERS: usize = 6;
const WRITERS: usize = 2;

/// A plain balancer: requests go round among the processes that were ready when it looked last. It repeats nothing.
#[derive(Clone, Default)]
pub(super) struct Balancer {
    known: Arc<RwLock<Vec<String>>>,
    ready: Arc<RwLock<Vec<String>>>,
    next: Arc<AtomicUsize>,
}

impl Balancer {
    /// Before all processes of a fleet.
    pub(super) async fn before(fleet: &Fleet) -> Self {
        let balancer = Self::default();
        balancer.follow(fleet);
        balancer.look(&fleet.client).await;
        balancer
    }

    /// Knows the processes that there are now.
    pub(super) fn follow(&self, fleet: &Fleet) {
        *self.known.write().expect("a lock") = fleet.replicas.iter().map(|replica| replica.url.clone()).collect();
    }

    /// Waits until a process gets requests.
    pub(super) async fn until_ready(&self, url: &str) {
        eventually("the new process in the round", async || {
            self.ready.read().expect("a lock").iter().any(|ready| ready == url).then_some(())
        })
        .await;
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

/// Callers at work.
pub(super) struct Load {
    over: Arc<AtomicBool>,
    looking: JoinHandle<()>,
    callers: Vec<JoinHandle<usize>>,
}

impl Load {
    /// Begins, with a token and a connection to pull through.
    pub(super) fn begin(balancer: &Balancer, token: &str, id: &str) -> Self {
        let over = Arc::new(AtomicBool::new(false));
        let looking = tokio::spawn(balancer.clone().look_always());
        let caller = |number| Caller {
            number,
            balancer: balancer.clone(),
            over: Arc::clone(&over),
            client: client(),
            token: token.to_owned(),
        };
        let readers = (0..READERS).map(|number| tokio::spawn(caller(number).read(id.to_owned())));
        let writers = (READERS..READERS + WRITERS).map(|number| tokio::spawn(caller(number).write()));
        let callers = readers.chain(writers).collect();
        Self { over, looking, callers }
    }

    /// Ends; says how many requests were made, none of which failed.
    pub(super) async fn end(self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        let mut done = 0;
        for caller in self.callers {
            done += caller.await.expect("no request failed");
        }
        self.looking.abort();
        done
    }
}

struct Caller {
    number: usize,
    balancer: Balancer,
    over: Arc<AtomicBool>,
    client: Client,
    token: String,
}

impl Caller {
    /// One request to whichever process is next.
    async fn ask(&self, method: &str, path: &str, body: Option<&Value>, expected: u16) -> Answer {
        self.ask_for("application/json", method, path, body, expected).await
    }

    async fn ask_for(&self, form: &str, method: &str, path: &str, body: Option<&Value>, expected: u16) -> Answer {
        let headers = [("accept", form)];
        let url = self.balancer.pick();
        let answer = send(&self.client, &url, &self.token, method, path, &headers, body).await;
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path} of caller {}: {error:?}", self.number));
        assert_eq!(answer.status, expected, "{method} {path}: {}", answer.text);
        answer
    }

    async fn read(self, id: String) -> usize {
        let mut done = 0;
        while !self.over.load(Ordering::Relaxed) {
            let path = question(&id, done);
            let name = json!({ "name": format!("Demo {} {done}", self.number), "platform": "demo" });
            match done % 4 {
                0 => self.ask("GET", "/api/v1/connections?limit=5", None, 200).await,
                1 => self.ask("GET", &path, None, 200).await,
                2 => self.ask_for("application/x-ndjson", "GET", &path, None, 200).await,
                _ => self.ask("POST", "/api/v1/connections/verify", Some(&name), 200).await,
            };
            done += 1;
        }
        done
    }

    /// Each step meets another process, as likely as not: what one has written the others understand.
    async fn write(self) -> usize {
        let mut done = 0;
        while !self.over.load(Ordering::Relaxed) {
            let name = json!({ "name": format!("Passing {} {done}", self.number), "platform": "demo" });
            let created = self.ask("POST", "/api/v1/connections", Some(&name), 201).await.json();
            let path = format!("/api/v1/connections/{}", created["id"].as_str().expect("an id"));
            assert_eq!(self.ask("GET", &path, None, 200).await.json()["version"], 1);
            let changed = json!({ "name": format!("Passed {} {done}", self.number) });
            assert_eq!(self.ask("PATCH", &path, Some(&changed), 200).await.json()["version"], 2);
            assert_eq!(self.ask("POST", &format!("{path}/verify"), None, 200).await.json()["status"], "ok");
            self.ask("GET", &format!("{path}/verifications"), None, 200).await;
            self.ask("DELETE", &path, None, 204).await;
            self.ask("GET", &path, None, 410).await;
            done += 7;
        }
        done
    }
}
