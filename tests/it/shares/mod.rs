//! Nobody takes more than a share: an attacker takes all it can, and a bystander must not notice.
//!
//! Where memory counts the service is a process of its own. How long a bystander waits is printed, and only held against
//! a bound by the soak, which needs a machine for itself.

mod callers;
mod places;
mod soak;
mod sockets;
mod tables;
mod uses;

#[cfg(target_os = "linux")]
use std::net::Ipv4Addr;
use std::net::TcpStream;
use std::pin::pin;
use std::time::{Duration, Instant};

use affzero_connections::tenancy::Plan;
use serde_json::json;
use tempfile::TempDir;

#[cfg(target_os = "linux")]
use crate::app::client_from;
use crate::app::{Answer, client};
use crate::process::{Service, run};
use crate::servers::Schema;

const MIB: u64 = 1 << 20;

/// Where a hang was the fault, nobody waits longer than this, however busy the machine.
const NO_HANG: Duration = Duration::from_secs(5);

/// The real program, and the folder it runs in.
struct Victim {
    service: Service,
    folder: TempDir,
    _schema: Option<Schema>,
}

/// How long each of a bystander's requests took.
struct Waits(Vec<Duration>);

impl Waits {
    /// What all but a twentieth of the requests took at most.
    fn usually(&self) -> Duration {
        let mut waits = self.0.clone();
        waits.sort_unstable();
        waits.get(waits.len() * 95 / 100).or(waits.last()).copied().unwrap_or_default()
    }

    #[track_caller]
    fn show(&self, what: &str) {
        println!("{what}: {} requests of the bystander, usually {:?}", self.0.len(), self.usually());
        assert!(!self.0.is_empty());
        let longest = self.0.iter().max().copied().unwrap_or_default();
        assert!(longest < NO_HANG, "{longest:?}");
    }
}

impl Victim {
    fn start(variables: &[(&str, &str)]) -> Self {
        let (folder, schema) = (TempDir::new().expect("a folder"), Schema::make());
        let mut all = vec![("RUST_LOG", "info")];
        all.extend(schema.iter().map(|schema| ("DATABASE_URL", schema.url.as_str())));
        all.extend_from_slice(variables);
        let service = Service::start(folder.path(), &all);
        Self { service, folder, _schema: schema }
    }

    fn token(&self, organisation: &str, plan: Plan) -> String {
        let output = run(self.folder.path(), &["token", "--org", organisation, "--plan", plan.key()], &[]);
        assert!(output.status.success());
        String::from_utf8(output.stdout).expect("text").trim().to_owned()
    }

    async fn get(&self, token: &str, path: &str) -> Answer {
        self.service.send(token, "GET", path, None).await
    }

    /// What an attacker asks: no answer is owed to one that takes more than its share of connections.
    async fn try_to_get(&self, token: &str, path: &str) {
        let request = client().get(format!("{}{path}", self.service.url)).bearer_auth(token);
        if let Ok(answer) = request.send().await {
            // Read to its end, however that comes.
            drop(answer.bytes().await);
        }
    }

    /// What a bystander asks, from an address of its own.
    #[cfg(target_os = "linux")]
    async fn get_from_elsewhere(&self, token: &str, path: &str) -> Answer {
        let client = client_from(Some(Ipv4Addr::new(127, 0, 0, 2).into()));
        let request = client.get(format!("{}{path}", self.service.url)).bearer_auth(token);
        Answer::read(request.send().await.expect("an answer")).await
    }

    /// Elsewhere than on Linux there is one address.
    #[cfg(not(target_os = "linux"))]
    async fn get_from_elsewhere(&self, token: &str, path: &str) -> Answer {
        self.get(token, path).await
    }

    async fn add_demo(&self, token: &str, name: &str, scenario: &str) -> String {
        let body = json!({ "name": name, "platform": "demo", "settings": { "scenario": scenario } });
        let created = self.service.send(token, "POST", "/api/v1/connections", Some(&body)).await.ok(201);
        created["id"].as_str().expect("an id").to_owned()
    }

    /// A caller's connection.
    #[expect(clippy::disallowed_methods, reason = "a caller of this service, not a call of it")]
    fn connect(url: &str) -> Option<TcpStream> {
        TcpStream::connect(url.trim_start_matches("http://")).ok()
    }

    fn descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.service.id())).map_or(0, Iterator::count)
    }

    /// Attacks, with somebody else's small pulls beside it, all of which are answered. Says how much memory the attack
    /// took at most.
    async fn under<T>(&self, what: &str, attack: impl Future<Output = T>) -> (T, u64, Waits) {
        let token = self.token("bystander", Plan::Pro);
        let id = self.add_demo(&token, "Demo", "healthy").await;
        let path = format!("/api/v1/connections/{id}/stats?group_by=date&preset=yesterday");
        self.get(&token, &path).await.ok(200);
        let (memory, descriptors) = (self.service.memory("VmHWM"), self.descriptors());
        let mut attack = pin!(attack);
        let mut waits = Waits(Vec::new());
        let outcome = loop {
            let asked = async {
                let started = Instant::now();
                let answer = self.get_from_elsewhere(&token, &path).await;
                let time = started.elapsed();
                tokio::time::sleep(Duration::from_millis(20)).await;
                (answer, time)
            };
            tokio::select! {
                outcome = &mut attack => break outcome,
                (answer, time) = asked => {
                    answer.ok(200);
                    waits.0.push(time);
                }
            }
        };
        let growth = self.service.memory("VmHWM") - memory;
        println!("{what}: {} MiB more at most", growth / MIB);
        waits.show(what);
        crate::connections::eventually("all is as before", async || {
            // Some are those of the pool, which opens connections to the database as they are needed and keeps them.
            (self.descriptors() <= descriptors + 64).then_some(())
        })
        .await;
        self.get(&token, &path).await.ok(200);
        (outcome, growth, waits)
    }
}
