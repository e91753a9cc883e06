//! Three real processes of the service over one PostgreSQL and one Redis, as they are run in production.
//!
//! What two replicas share within one process is tested beside this, in `shared`, closer and faster; here it is shown
//! that the whole holds for the program itself, while its servers and the processes come and go.

mod clocks;
mod events;
mod limits;
mod load;
mod outages;
mod restarts;
mod upgrade;
mod webhooks;
mod work;

use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::Client;
use serde_json::{Value, json};
use tempfile::TempDir;

use self::load::Balancer;
use crate::app::{Answer, KEYS, SECRET, client};
use crate::process::{Service, run};
use crate::servers::{PrivateRedis, Schema};
use crate::support::affise::ADMIN_KEY;
use crate::support::tracker::Simulator;

/// Processes of a fleet.
const SIZE: usize = 3;

/// The processes, and what they stand on.
struct Fleet {
    replicas: Vec<Service>,
    redis: PrivateRedis,
    client: Client,
    folder: TempDir,
    variables: Vec<(String, String)>,
    /// Another build than the one under test, for processes that are launched from now on.
    build: Option<PathBuf>,
    /// Dropped last: the processes have to be gone first.
    _schema: Option<Schema>,
}

impl Fleet {
    /// A fleet in a schema of its own. Nothing, where tests are to do without servers.
    async fn start(variables: &[(&str, &str)]) -> Option<Self> {
        Self::start_build(None, variables).await
    }

    /// The same of another build.
    async fn start_build(build: Option<&Path>, variables: &[(&str, &str)]) -> Option<Self> {
        let (redis, schema) = (PrivateRedis::start()?, Schema::make()?);
        let url = schema.url.clone();
        let mut fleet = Self::none_over(&url, redis, Some(schema), variables);
        fleet.build = build.map(Path::to_owned);
        Some(fleet.launched().await)
    }

    /// A fleet over these servers.
    async fn over(database: &str, redis: PrivateRedis, schema: Option<Schema>, variables: &[(&str, &str)]) -> Self {
        Self::none_over(database, redis, schema, variables).launched().await
    }

    /// A fleet of no processes yet.
    fn none_over(database: &str, redis: PrivateRedis, schema: Option<Schema>, variables: &[(&str, &str)]) -> Self {
        let own = [
            ("DATABASE_URL", database),
            ("REDIS_URL", redis.url.as_str()),
            ("AUTH_JWT_SECRET", SECRET),
            ("CREDENTIALS_KEYS", KEYS),
            ("EGRESS_ALLOW", "127.0.0.0/8"),
            ("LOG_FORMAT", "json"),
        ];
        let variables = own.iter().chain(variables).map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let variables = variables.collect();
        let folder = TempDir::new().expect("a folder");
        Self { replicas: Vec::new(), redis, client: client(), folder, variables, build: None, _schema: schema }
    }

    async fn launched(mut self) -> Self {
        // All at once, as a new release starts them: they have to agree on who migrates.
        self.replicas = std::thread::scope(|scope| {
            let starts: Vec<_> = (0..SIZE).map(|_| scope.spawn(|| self.launch())).collect();
            starts.into_iter().map(|start| start.join().expect("it starts")).collect()
        });
        self.until_redis_is("ok").await;
        self
    }

    /// A further process.
    fn launch(&self) -> Service {
        let variables: Vec<(&str, &str)> =
            self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        match &self.build {
            Some(build) => Service::start_build(build, self.folder.path(), &variables),
            None => Service::start(self.folder.path(), &variables),
        }
    }

    /// Launches a process, waits until a balancer knows it, and stops the oldest in order.
    async fn replace_oldest(&mut self, balancer: &Balancer) {
        let new = self.launch();
        let url = new.url.clone();
        self.replicas.push(new);
        balancer.follow(self);
        balancer.until_ready(&url).await;
        let old = self.replicas.remove(0);
        let (status, written) = tokio::task::spawn_blocking(move || old.stop()).await.expect("it stops");
        assert!(status.success(), "{written}");
    }

    fn token(&self, organisation: &str, plan: &str) -> String {
        let arguments = ["token", "--org", organisation, "--plan", plan];
        let minted = run(self.folder.path(), &arguments, &[("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", KEYS)]);
        String::from_utf8(minted.stdout).expect("text").trim().to_owned()
    }

    /// Asks one process.
    async fn ask(&self, replica: usize, token: &str, method: &str, path: &str, body: Option<&Value>) -> Answer {
        self.ask_with(replica, token, method, path, &[], body).await
    }

    async fn ask_with(
        &self,
        replica: usize,
        token: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<&Value>,
    ) -> Answer {
        let service = &self.replicas[replica % self.replicas.len()];
        send(&self.client, &service.url, token, method, path, headers, body).await.expect("an answer")
    }

    /// Asks all of them for a day that nobody has asked for, and for another one, until one call to the tracker was enough
    /// for all of them; gives that question and its answer. A Redis that is slow on a busy machine costs a call.
    async fn until_one_pulls_for_all(&self, token: &str, id: &str, network: &Simulator) -> (String, Answer) {
        let mut day = 0;
        eventually("one call for all processes", async || {
            network.forget();
            day = day % 28 + 1;
            let days = format!("from=2025-11-{day:02}&to=2025-11-{day:02}");
            let path = format!("/api/v1/connections/{id}/stats?group_by=offer&{days}");
            let first = self.ask(0, token, "GET", &path, None).await;
            first.ok(200);
            for answer in self.ask_all(token, &path).await {
                answer.ok(200);
            }
            (network.requests().len() == 1).then_some((path, first))
        })
        .await
    }

    /// The same question to all of them, one after the other.
    async fn ask_all(&self, token: &str, path: &str) -> Vec<Answer> {
        join_all((0..self.replicas.len()).map(|replica| self.ask(replica, token, "GET", path, None))).await
    }

    /// Adds a connection and returns its id.
    async fn add(&self, token: &str, body: &Value) -> String {
        let created = self.ask(0, token, "POST", "/api/v1/connections", Some(body)).await.ok(201);
        created["id"].as_str().expect("an id").to_owned()
    }

    async fn until_redis_is(&self, standing: &str) {
        for replica in 0..self.replicas.len() {
            eventually(standing, async || {
                let ready = self.ask(replica, "", "GET", "/readyz", None).await.json();
                (ready["checks"]["redis"] == standing).then_some(())
            })
            .await;
        }
    }
}

/// One request; nothing, where there is no answer, or no whole one.
async fn send(
    client: &Client,
    url: &str,
    token: &str,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<&Value>,
) -> Result<Answer, reqwest::Error> {
    let mut request = client.request(method.parse().expect("a method"), format!("{url}{path}"));
    if !token.is_empty() {
        request = request.bearer_auth(token);
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    Ok(Answer::read(request.send().await?).await)
}

fn affise(name: &str, network: &Simulator) -> Value {
    json!({
        "name": name, "platform": "affise", "connection_type": "admin",
        "settings": { "base_url": network.url }, "credentials": { "api_key": ADMIN_KEY },
    })
}

/// A question about one closed day of this year.
fn question(id: &str, number: usize) -> String {
    let (month, day) = (number / 28 % 9 + 1, number % 28 + 1);
    format!("/api/v1/connections/{id}/stats?group_by=offer&from=2026-0{month}-{day:02}&to=2026-0{month}-{day:02}")
}

/// Asks again and again, for half a minute at most, until there is an answer.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..600 {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not come about");
}
