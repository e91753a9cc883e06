//! The real program, killed at random moments under load, and what is left of it.
//!
//! Every organisation has a ledger of what was acknowledged, and of the one change that was on its way when the program
//! died: that one may have happened or not, but never by halves, and never twice.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Child;
use std::time::{Duration, Instant};

use diesel::{Connection, PgConnection, RunQueryDsl};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{KEYS, SECRET, client};
use crate::process::{Service, command, complaint, run};
use crate::servers::Schema;

const NEW_KEY: &str = "k2:ISEhISEhISEhISEhISEhISEhISEhISEhISEhISEhISE=";
const ORGANISATIONS: usize = 6;
/// The program is killed at least so often,
const FEWEST_KILLS: usize = 8;
/// and for so long.
const TIME: Duration = Duration::from_secs(15);
/// A ledger does not grow beyond this.
const MOST_CONNECTIONS: usize = 30;

/// A connection as it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Known {
    name: String,
    scenario: &'static str,
    version: u64,
}

#[derive(Debug, Clone)]
enum Change {
    Create { name: String, deferred: bool },
    Edit { id: String, after: Known },
    Delete { id: String },
}

/// One organisation, its only caller, and what that caller was answered.
struct Ledger {
    token: String,
    connections: BTreeMap<String, Known>,
    deleted: BTreeSet<String>,
    /// Asked for, and not answered.
    pending: Option<Change>,
    names: usize,
}

async fn ask(url: &str, token: &str, method: &str, path: &str, body: Option<&Value>) -> Option<(u16, Value)> {
    let mut request = client().request(method.parse().expect("a method"), format!("{url}{path}")).bearer_auth(token);
    if let Some(body) = body {
        request = request.header("content-type", "application/json").body(body.to_string());
    }
    let response = request.send().await.ok()?;
    let status = response.status().as_u16();
    let text = response.text().await.ok()?;
    Some((status, serde_json::from_str(&text).unwrap_or_default()))
}

impl Ledger {
    fn new(folder: &Path, organisation: usize) -> Self {
        let organisation = format!("org-{organisation}");
        let arguments = ["token", "--org", &organisation, "--plan", "pro"];
        let token = run(folder, &arguments, &[("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", KEYS)]);
        Self {
            token: String::from_utf8(token.stdout).expect("text").trim().to_owned(),
            connections: BTreeMap::new(),
            deleted: BTreeSet::new(),
            pending: None,
            names: 0,
        }
    }

    fn next(&mut self) -> Change {
        let some = fastrand::choice(self.connections.iter());
        match (fastrand::u8(0..10), some) {
            (0..3, Some((id, _))) if self.connections.len() > 2 => Change::Delete { id: id.clone() },
            (3..6, Some((id, known))) => {
                self.names += 1;
                let scenario = if known.scenario == "healthy" { "rate_limited" } else { "healthy" };
                let after = Known { name: format!("Edit {}", self.names), scenario, version: known.version + 1 };
                Change::Edit { id: id.clone(), after }
            }
            (_, Some((id, _))) if self.connections.len() >= MOST_CONNECTIONS => Change::Delete { id: id.clone() },
            (number, _) => {
                self.names += 1;
                Change::Create { name: format!("New {}", self.names), deferred: number % 2 == 0 }
            }
        }
    }

    /// Changes one thing after the other until the program no longer answers.
    async fn keep_busy(mut self, url: String) -> Self {
        loop {
            let change = self.next();
            self.pending = Some(change.clone());
            let (method, path, body) = match &change {
                Change::Create { name, deferred } => {
                    let mode = if *deferred { "deferred" } else { "required" };
                    let body = json!({ "name": name, "platform": "demo" });
                    ("POST", format!("/api/v1/connections?verify={mode}"), Some(body))
                }
                Change::Edit { id, after } => {
                    let body = json!({ "name": after.name, "settings": { "scenario": after.scenario } });
                    ("PATCH", format!("/api/v1/connections/{id}"), Some(body))
                }
                Change::Delete { id } => ("DELETE", format!("/api/v1/connections/{id}"), None),
            };
            match ask(&url, &self.token, method, &path, body.as_ref()).await {
                None => return self,
                Some((201, created)) => self.happened(&change, created["id"].as_str()),
                Some((200 | 204, _)) => self.happened(&change, None),
                // A rotation holds the file's only writer for a moment: refused is not acknowledged.
                Some((503, _)) => self.pending = None,
                Some((status, body)) => panic!("{status}: {body}"),
            }
        }
    }

    fn happened(&mut self, change: &Change, id: Option<&str>) {
        match change {
            Change::Create { name, .. } => {
                let known = Known { name: name.clone(), scenario: "healthy", version: 1 };
                self.connections.insert(id.expect("an id").to_owned(), known);
            }
            Change::Edit { id, after } => drop(self.connections.insert(id.clone(), after.clone())),
            Change::Delete { id } => {
                self.connections.remove(id);
                self.deleted.insert(id.clone());
            }
        }
        self.pending = None;
    }

    async fn get(&self, url: &str, path: &str) -> (u16, Value) {
        ask(url, &self.token, "GET", path, None).await.expect("an answer")
    }

    /// Every row of a list, page by page.
    async fn list(&self, url: &str, path: &str) -> Vec<Value> {
        let (mut rows, mut next) = (Vec::new(), String::new());
        loop {
            let (status, page) = self.get(url, &format!("{path}?limit=100{next}")).await;
            assert_eq!(status, 200, "{page}");
            rows.extend(page["data"].as_array().expect("rows").iter().cloned());
            match page["next_cursor"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => return rows,
            }
        }
    }

    /// Finds out whether the pending change happened, and that nothing else differs.
    async fn reconcile(&mut self, url: &str) {
        let rows = self.list(url, "/api/v1/connections").await;
        let found: BTreeMap<String, Known> = rows.iter().map(read).collect();
        if let Some(change) = self.pending.take() {
            let new = found.keys().find(|id| !self.connections.contains_key(*id));
            let happened = match &change {
                Change::Create { .. } => new.is_some(),
                Change::Edit { id, after } => found.get(id) == Some(after),
                Change::Delete { id } => !found.contains_key(id),
            };
            if happened {
                self.happened(&change, new.map(String::as_str));
            }
        }
        assert_eq!(found, self.connections);
        for row in &rows {
            // A row that cannot be opened shows as failing.
            assert_ne!(row["status"], "failing", "{row}");
            assert_eq!(row["status"] == "active", row["last_verification"]["status"] == "ok", "{row}");
        }
        let (_, usage) = self.get(url, "/api/v1/usage").await;
        assert_eq!(usage["demo_used"], rows.len());
    }

    /// The trail names every change exactly once, and every deletion is for good.
    async fn audit(&self, url: &str) {
        let mut trail: BTreeMap<(String, String), u64> = BTreeMap::new();
        for event in self.list(url, "/api/v1/audit-events").await {
            let text = |member: &str| event[member].as_str().expect("text").to_owned();
            *trail.entry((text("connection_id"), text("action"))).or_default() += 1;
        }
        let count = |id: &str, action: &str| trail.get(&(id.to_owned(), action.to_owned())).copied().unwrap_or(0);
        for (id, known) in &self.connections {
            assert_eq!(count(id, "connection.created"), 1, "{id}");
            assert_eq!(count(id, "connection.updated"), known.version - 1, "{id}");
            assert_eq!(count(id, "connection.deleted"), 0, "{id}");
        }
        for id in &self.deleted {
            assert_eq!((count(id, "connection.created"), count(id, "connection.deleted")), (1, 1), "{id}");
        }
        let named: BTreeSet<&String> = trail.keys().map(|(id, _)| id).collect();
        assert_eq!(named.len(), self.connections.len() + self.deleted.len(), "nobody else is named");
        for id in self.deleted.iter().take(5) {
            assert_eq!(self.get(url, &format!("/api/v1/connections/{id}")).await.0, 410);
        }
    }
}

fn read(row: &Value) -> (String, Known) {
    let scenario = match row["settings"]["scenario"].as_str() {
        Some("rate_limited") => "rate_limited",
        _ => "healthy",
    };
    let known = Known {
        name: row["name"].as_str().expect("a name").to_owned(),
        scenario,
        version: row["version"].as_u64().expect("a number"),
    };
    (row["id"].as_str().expect("an id").to_owned(), known)
}

/// The program, its database, and everybody who uses it.
struct World {
    folder: TempDir,
    /// In PostgreSQL; otherwise the database is a file in the folder.
    server: Option<Server>,
    ledgers: Vec<Ledger>,
}

/// A database in PostgreSQL, and the name by which its sessions are known.
struct Server {
    schema: Schema,
    sessions: String,
    url: String,
}

impl Server {
    fn new(schema: Schema) -> Self {
        let sessions = format!("crash-{}", uuid::Uuid::now_v7().simple());
        let url = format!("{}&application_name={sessions}", schema.url);
        Self { schema, sessions, url }
    }

    /// Waits until the sessions of the dead have ended: what one of them was about to commit may take a moment more.
    fn bury(&self) {
        let mut database = PgConnection::establish(&self.schema.url).expect("the database");
        let deadline = Instant::now() + Duration::from_secs(20);
        let living = format!("SELECT pid FROM pg_stat_activity WHERE application_name = '{}'", self.sessions);
        while diesel::sql_query(&living).execute(&mut database).expect("an answer") > 0 {
            assert!(Instant::now() < deadline, "sessions of the dead live on");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

impl World {
    fn variables<'a>(&'a self, keys: &'a str) -> Vec<(&'a str, &'a str)> {
        let database = self.server.as_ref().map(|server| ("DATABASE_URL", server.url.as_str()));
        [("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", keys)].into_iter().chain(database).collect()
    }

    fn serve(&self, keys: &str) -> Service {
        Service::start(self.folder.path(), &self.variables(keys))
    }

    fn rotate(&self) -> Child {
        let keys = both(NEW_KEY, KEYS);
        let mut rotation = command(self.folder.path(), &["rotate-keys"], &self.variables(&keys));
        rotation.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().expect("it runs")
    }

    /// Load, and a kill in the middle of it; every other time a rotation is killed too.
    async fn round(&mut self, number: usize) {
        // The old key seals first, so that there is always something to rotate.
        let mut service = self.serve(&both(KEYS, NEW_KEY));
        for ledger in &mut self.ledgers {
            ledger.reconcile(&service.url).await;
        }
        let busy: Vec<_> =
            self.ledgers.drain(..).map(|ledger| tokio::spawn(ledger.keep_busy(service.url.clone()))).collect();
        let rotation = (number % 2 == 1).then(|| self.rotate());
        tokio::time::sleep(Duration::from_millis(fastrand::u64(20..900))).await;
        service.kill();
        if let Some(mut rotation) = rotation {
            let _ = rotation.kill();
            let _ = rotation.wait();
        }
        if let Some(server) = &self.server {
            server.bury();
        }
        for ledger in busy {
            self.ledgers.push(ledger.await.expect("no surprises"));
        }
    }
}

fn both(first: &str, second: &str) -> String {
    format!("{first},{second}")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_at_any_moment_and_nothing_is_there_by_halves() {
    survive(None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_postgres_too_it_survives_kill_9_at_any_moment() {
    let Some(schema) = Schema::make() else { return };
    survive(Some(schema)).await;
}

async fn survive(schema: Option<Schema>) {
    let folder = TempDir::new().expect("a folder");
    let ledgers = (0..ORGANISATIONS).map(|organisation| Ledger::new(folder.path(), organisation)).collect();
    let mut world = World { folder, server: schema.map(Server::new), ledgers };
    let (started, mut kills) = (Instant::now(), 0);
    while kills < FEWEST_KILLS || started.elapsed() < TIME {
        world.round(kills).await;
        kills += 1;
    }
    let acknowledged: usize = world.ledgers.iter().map(|ledger| ledger.names + ledger.deleted.len()).sum();
    assert!(acknowledged > 3 * kills, "{acknowledged} changes in {kills} rounds are no load");

    // Everybody goes over to the new key, and what was interrupted is finished.
    let service = world.serve(&both(NEW_KEY, KEYS));
    for ledger in &mut world.ledgers {
        ledger.reconcile(&service.url).await;
        let deadline = Instant::now() + Duration::from_secs(30);
        while ledger.get(&service.url, "/api/v1/connections?status=unverified").await.1["data"] != json!([]) {
            assert!(Instant::now() < deadline, "deferred verifications are not finished");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        ledger.audit(&service.url).await;
    }
    let rotated = run(world.folder.path(), &["rotate-keys"], &world.variables(&both(NEW_KEY, KEYS)));
    let report = format!("{}{}", String::from_utf8_lossy(&rotated.stdout), complaint(&rotated));
    assert!(rotated.status.success() && report.contains("no longer needed"), "{report}");
    drop(service);

    let service = world.serve(NEW_KEY);
    for ledger in &mut world.ledgers {
        ledger.reconcile(&service.url).await;
        if let Some((id, _)) = ledger.connections.iter().find(|(_, known)| known.scenario == "healthy") {
            let path = format!("/api/v1/connections/{id}/stats?group_by=date&preset=yesterday");
            assert_eq!(ledger.get(&service.url, &path).await.0, 200);
        }
    }
}
