//! The service in a process of its own, as in production but with a tracker on this machine.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use affzero_connections::auth::{AuthConfig, Grant, mint};
use affzero_connections::tenancy::Plan as Tariff;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::http::{Answer, Connection, Request};
use crate::plan::Plan;
use crate::tracker::{KEY, Tracker};

const SECRET: &str = "9f0c1a7be25d4836a1f3c5e7092b4d6f0123456789abcdef";
const SEALING_KEY: &str = "k1:MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=";

/// A running service; killed when dropped.
pub(crate) struct Service {
    child: Child,
    pub(crate) address: SocketAddr,
    /// The value of the `Authorization` header.
    pub(crate) bearer: String,
    folder: TempDir,
}

impl Service {
    /// Starts it over a new SQLite database and waits until it is ready.
    pub(crate) fn start(plan: &Plan) -> Self {
        Self::beside(plan, &[])
    }

    /// Starts it over a new SQLite database, with these variables also.
    pub(crate) fn beside(plan: &Plan, variables: &[(&str, String)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let sqlite = format!("sqlite://{}", folder.path().join("load.db").display());
        Self::start_with(plan, &sqlite, folder, variables).0
    }

    /// Starts it over this database.
    pub(crate) fn over(plan: &Plan, database: &str) -> Self {
        Self::start_in(plan, database, tempfile::tempdir().expect("a folder")).0
    }

    /// Starts it, and returns how long that took.
    pub(crate) fn start_in(plan: &Plan, database: &str, folder: TempDir) -> (Self, Duration) {
        Self::start_with(plan, database, folder, &[])
    }

    fn start_with(plan: &Plan, database: &str, folder: TempDir, variables: &[(&str, String)]) -> (Self, Duration) {
        // Free now, and nobody else on this machine asks for ports all the time.
        let probe = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = probe.local_addr().expect("an address");
        drop(probe);
        let program = plan.service.clone().unwrap_or_else(|| std::env::current_exe().expect("this program"));
        let log = std::fs::File::create(folder.path().join("service.log")).expect("a log");
        let started = Instant::now();
        let child = Command::new(program)
            .arg("serve")
            .current_dir(folder.path())
            .env_clear()
            .envs([
                ("APP_ENV", "production"),
                ("AUTH_JWT_SECRET", SECRET),
                ("CREDENTIALS_KEYS", SEALING_KEY),
                ("EGRESS_ALLOW", "127.0.0.1/32"),
                ("DATABASE_URL", database),
                ("BIND_ADDR", &address.to_string()),
            ])
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the service starts");
        let mut service = Self { child, address, bearer: bearer_of("load"), folder };
        service.wait_until_ready(started);
        (service, started.elapsed())
    }

    fn wait_until_ready(&mut self, since: Instant) {
        let request = Request::get("/readyz", &[]);
        while since.elapsed() < Duration::from_secs(30) {
            if let Ok(mut connection) = Connection::open(self.address)
                && connection.send(&request).is_ok_and(|answer| answer.status == 200)
            {
                return;
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                panic!("the service ended with {status}: {}", self.log());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        panic!("the service is not ready: {}", self.log());
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("service.log")).unwrap_or_default()
    }

    pub(crate) fn connect(&self) -> Connection {
        Connection::open(self.address).expect("a connection")
    }

    pub(crate) fn get(&self, path: &str, headers: &[(&str, &str)]) -> Request {
        let own = [("authorization", self.bearer.as_str())];
        Request::get(path, &own.iter().chain(headers).copied().collect::<Vec<_>>())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Request {
        Request::new("POST", path, &[("authorization", self.bearer.as_str())], &body.to_string())
    }

    /// Creates a connection and returns its path.
    pub(crate) fn create(&self, body: &Value) -> String {
        let Answer { status, body, .. } =
            self.connect().send(&self.post("/api/v1/connections", body)).expect("an answer");
        assert_eq!(status, 201, "{}", String::from_utf8_lossy(&body));
        let created: Value = serde_json::from_slice(&body).expect("JSON");
        format!("/api/v1/connections/{}", created["id"].as_str().expect("an id"))
    }

    /// A connection to the static tracker.
    pub(crate) fn connect_to(&self, tracker: &Tracker) -> String {
        self.create(&static_network("Load", tracker))
    }

    /// So many connections of another organisation to the static tracker.
    pub(crate) fn connect_many(&self, tracker: &Tracker, organisation: &str, count: usize) {
        let (mut connection, bearer) = (self.connect(), bearer_of(organisation));
        for number in 0..count {
            let body = static_network(&format!("Load {number}"), tracker).to_string();
            let create = Request::new("POST", "/api/v1/connections", &[("authorization", &bearer)], &body);
            let answer = connection.send(&create).expect("an answer");
            assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
        }
    }

    /// A number of the process's memory in MiB, by the kernel's name for it.
    pub(crate) fn memory(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
        kib.unwrap_or(f64::NAN) / 1_024.0
    }

    /// Seconds of processors that the process has taken so far, for itself and in the system.
    pub(crate) fn work(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        // Behind the program's name, in its brackets, come the state and ten more fields; in hundredths of a second.
        let fields = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace()).into_iter().flatten();
        fields.skip(11).take(2).filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() / 100.0
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn static_network(name: &str, tracker: &Tracker) -> Value {
    json!({
        "name": name, "platform": "affise", "connection_type": "admin",
        "settings": { "base_url": format!("http://{}", tracker.address) },
        "credentials": { "api_key": KEY },
    })
}

fn bearer_of(organisation: &str) -> String {
    let auth = AuthConfig { secret: Some(SECRET.into()), ..AuthConfig::default() };
    let grant = Grant::new(organisation.parse().expect("an organisation"), Tariff::Business);
    format!("Bearer {}", mint(&auth, &grant).expect("a token"))
}
