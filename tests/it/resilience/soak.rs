//! The real program for minutes on end: trackers over a bad network, callers who do everything and leave early, and at
//! the end memory and open files that did not grow. Run on demand, see docs/operations.md.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{KEYS, SECRET, client};
use crate::process::{Service, run};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::toxic::{At, Proxy, Toxic};
use crate::support::tracker::{Fault, Reply, Simulator};

const ORGANISATIONS: usize = 40;
const LINES: usize = 4;
/// How often memory and files are looked at.
const SAMPLE_EVERY: Duration = Duration::from_secs(10);

struct Line {
    network: Simulator,
    proxy: Proxy,
}

/// What was looked at, at one moment.
struct Sample {
    at: Duration,
    memory: u64,
    files: usize,
    requests: u64,
}

struct Load {
    url: String,
    urls: Vec<String>,
    requests: AtomicU64,
    until: Instant,
}

impl Load {
    /// Sends a request; now and then without waiting for the answer.
    async fn send(&self, token: &str, method: &str, path: &str, accept: &str, body: Option<Value>) -> Option<Value> {
        self.requests.fetch_add(1, Ordering::Relaxed);
        let mut request = client()
            .request(method.parse().expect("a method"), format!("{}{path}", self.url))
            .bearer_auth(token)
            .header("accept", accept);
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let answer = async { serde_json::from_str(&request.send().await.ok()?.text().await.ok()?).ok() };
        let timeout = if fastrand::u8(0..10) == 0 { fastrand::u64(1..400) } else { 60_000 };
        tokio::time::timeout(Duration::from_millis(timeout), answer).await.ok()?
    }

    /// One organisation, which does one thing after the other.
    async fn use_it(self: Arc<Self>, token: String) {
        let mut ids: Vec<String> = Vec::new();
        while Instant::now() < self.until {
            let id = fastrand::choice(&ids).cloned();
            match (fastrand::u8(0..20), id) {
                (0, Some(id)) => {
                    self.send(&token, "DELETE", &format!("/api/v1/connections/{id}"), "*/*", None).await;
                    ids.retain(|known| *known != id);
                }
                (1, Some(id)) => {
                    let body = json!({ "name": format!("Edit {}", fastrand::u64(..)) });
                    self.send(&token, "PATCH", &format!("/api/v1/connections/{id}"), "*/*", Some(body)).await;
                }
                (2, Some(id)) => {
                    self.send(&token, "POST", &format!("/api/v1/connections/{id}/verify"), "*/*", None).await;
                }
                (3, Some(_)) => {
                    self.send(&token, "GET", &format!("/api/v1/stats?{}", question()), "*/*", None).await;
                }
                (4..7, Some(id)) => self.stream(&token, &id).await,
                (7..16, Some(id)) => {
                    let path = format!("/api/v1/connections/{id}/stats?{}", question());
                    self.send(&token, "GET", &path, "application/json", None).await;
                }
                _ => self.create(&token, &mut ids).await,
            }
            tokio::time::sleep(Duration::from_millis(fastrand::u64(5..60))).await;
        }
    }

    async fn stream(&self, token: &str, id: &str) {
        let form = if fastrand::bool() { "application/x-ndjson" } else { "text/csv" };
        self.send(token, "GET", &format!("/api/v1/connections/{id}/stats?{}", question()), form, None).await;
    }

    async fn create(&self, token: &str, ids: &mut Vec<String>) {
        let mode = if fastrand::bool() { "deferred" } else { "required" };
        let body = json!({
            "name": format!("Network {}", fastrand::u64(..)), "platform": "affise", "connection_type": "admin",
            "settings": { "base_url": fastrand::choice(&self.urls) }, "credentials": { "api_key": ADMIN_KEY },
        });
        let path = format!("/api/v1/connections?verify={mode}");
        let created = self.send(token, "POST", &path, "application/json", Some(body)).await;
        ids.extend(created.and_then(|created| created["id"].as_str().map(str::to_owned)));
        // Those whose answer was not waited for are found in the list.
        if let Some(page) = self.send(token, "GET", "/api/v1/connections?limit=100", "*/*", None).await {
            let rows = page["data"].as_array().cloned().unwrap_or_default();
            *ids = rows.iter().filter_map(|row| row["id"].as_str().map(str::to_owned)).collect();
        }
    }
}

fn question() -> String {
    let day = fastrand::u8(1..29);
    let group_by = fastrand::choice(["offer", "date", "affiliate,date", "country"]).unwrap_or("offer");
    format!("group_by={group_by}&from=2026-09-{day:02}&to=2026-09-{:02}", fastrand::u8(day..30))
}

/// Changes the trackers' and the network's moods until the future is dropped.
async fn torment(lines: &[Line]) {
    loop {
        let line = fastrand::choice(lines).expect("a line");
        let at = fastrand::choice(At::ALL).expect("a place");
        line.proxy.turn(match fastrand::u8(0..12) {
            0 => Toxic::Cut(at),
            1 => Toxic::Stall(at),
            2 => Toxic::Drip(at),
            3 => Toxic::Bomb,
            _ => Toxic::Pass,
        });
        line.network.always(match fastrand::u8(0..8) {
            0 => Some(Fault::Instead(Reply::text(503, "text/plain", "out of order"))),
            1 => Some(Fault::Instead(Reply::text(429, "text/plain", "slower").with_header("retry-after", "1"))),
            2 => Some(Fault::Instead(Reply::html(200))),
            3 => Some(Fault::Stall(Duration::from_millis(300))),
            _ => None,
        });
        line.network.forget();
        tokio::time::sleep(Duration::from_millis(700)).await;
    }
}

fn files(service: &Service) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", service.id())).expect("a process on Linux").count()
}

/// Looks at the process until the time is over.
async fn watch(service: &Service, load: &Load) -> Vec<Sample> {
    let started = Instant::now();
    let mut samples = Vec::new();
    while Instant::now() < load.until {
        tokio::time::sleep(SAMPLE_EVERY).await;
        let sample = Sample {
            at: started.elapsed(),
            memory: service.memory("VmRSS"),
            files: files(service),
            requests: load.requests.load(Ordering::Relaxed),
        };
        println!(
            "{:>6} s {:>8.1} MiB {:>6} files {:>9} requests",
            sample.at.as_secs(),
            sample.memory as f64 / f64::from(1 << 20),
            sample.files,
            sample.requests
        );
        samples.push(sample);
    }
    samples
}

/// Half of the samples are no larger.
fn median<T: Ord + Copy>(samples: &[Sample], of: impl Fn(&Sample) -> T) -> T {
    let mut values: Vec<T> = samples.iter().map(of).collect();
    values.sort_unstable();
    values[values.len() / 2]
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs for SOAK_MINUTES; see docs/operations.md"]
async fn memory_and_open_files_stay_flat_under_everything_at_once() {
    let minutes: u64 = std::env::var("SOAK_MINUTES").map_or(2, |text| text.parse().expect("SOAK_MINUTES is a number"));
    let mut lines = Vec::new();
    for _ in 0..LINES {
        let network = Simulator::start(Affise { rows_per_page: 20, ..Affise::default() });
        lines.push(Line { proxy: Proxy::before(&network.url).await, network });
    }
    let folder = TempDir::new().expect("a folder");
    let variables = [
        ("AUTH_JWT_SECRET", SECRET),
        ("CREDENTIALS_KEYS", KEYS),
        ("EGRESS_ALLOW", "127.0.0.0/8"),
        ("UPSTREAM_TIMEOUT_MS", "1500"),
        ("STATS_DEADLINE_MS", "4000"),
        ("STATS_CACHE_TTL_S", "5"),
        ("STATS_CACHE_CLOSED_TTL_S", "20"),
        // No more than the lines that the start is waited for by, and panics.
        ("RUST_LOG", "error,affzero_connections::commands=info"),
    ];
    let service = Service::start(folder.path(), &variables);
    let load = Arc::new(Load {
        url: service.url.clone(),
        urls: lines.iter().map(|line| line.proxy.url.clone()).collect(),
        requests: AtomicU64::new(0),
        until: Instant::now() + Duration::from_secs(60 * minutes),
    });
    let users: Vec<_> = (0..ORGANISATIONS)
        .map(|number| {
            let organisation = format!("org-{number}");
            let arguments = ["token", "--org", &organisation, "--plan", "business"];
            let token = run(folder.path(), &arguments, &variables).stdout;
            let token = String::from_utf8(token).expect("text").trim().to_owned();
            tokio::spawn(Arc::clone(&load).use_it(token))
        })
        .collect();
    let samples = tokio::select! {
        samples = watch(&service, &load) => samples,
        () = torment(&lines) => unreachable!("it never ends"),
    };
    for user in users {
        user.await.expect("no surprises");
    }

    // The first quarter fills caches and pools; after that nothing may grow.
    let quarter = samples.len() / 4;
    let (early, late) = (&samples[quarter..2 * quarter], &samples[samples.len() - quarter..]);
    let (before, after) = (median(early, |sample| sample.memory), median(late, |sample| sample.memory));
    assert!(after < before + before / 4 + (16 << 20), "memory grew from {before} to {after} bytes");
    let (before, after) = (median(early, |sample| sample.files), median(late, |sample| sample.files));
    assert!(after < before + before / 4 + 32, "open files grew from {before} to {after}");
    assert_eq!(service.send("", "GET", "/readyz", None).await.ok(200)["checks"]["background"], "ok");
    let (status, written) = service.stop();
    assert!(status.success(), "{written}");
    assert!(!written.contains("panic"), "{written}");
}
