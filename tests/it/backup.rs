//! Backing up and restoring, with the real program and the commands that the operations guide gives.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use diesel::connection::SimpleConnection;
use diesel::{Connection, PgConnection};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{KEYS, SECRET};
use crate::process::{Service, complaint, run};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::Simulator;

const NEW_KEY: &str = "k2:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";

/// A database that is backed up and restored as its kind is.
enum Store {
    Sqlite,
    /// The URL of a database of its own, and that of the server's own.
    Postgres {
        url: String,
        name: String,
        server: String,
    },
}

impl Store {
    /// The database of this run: PostgreSQL where the tests have a server.
    fn of_this_run() -> Self {
        let Ok(server) = std::env::var("TEST_DATABASE_URL") else { return Self::Sqlite };
        let name = format!("backup_{}", uuid::Uuid::now_v7().simple());
        let mut connection = PgConnection::establish(&server).expect("the PostgreSQL server of the tests");
        connection.batch_execute(&format!("CREATE DATABASE {name}")).expect("a database");
        let (base, options) = server.split_once('?').unwrap_or((&server, ""));
        let (host, _) = base.rsplit_once('/').expect("a database in the URL");
        let url = format!("{host}/{name}{}{options}", if options.is_empty() { "" } else { "?" });
        Self::Postgres { url, name, server }
    }

    fn url(&self) -> &str {
        match self {
            Self::Sqlite => "sqlite://data/affzero.db",
            Self::Postgres { url, .. } => url,
        }
    }

    fn back_up(&self, folder: &Path) {
        match self {
            Self::Sqlite => {
                let output = run(folder, &["backup", "backup.db"], &[]);
                assert!(output.status.success(), "{}", complaint(&output));
                assert!(String::from_utf8_lossy(&output.stdout).contains("2 connections"), "it says what it saved");
                let mode = folder.join("backup.db").metadata().expect("the copy").permissions().mode();
                assert_eq!(mode & 0o777, 0o600);
            }
            Self::Postgres { .. } => {
                self.shell(folder, "pg_dump --format=custom --file=backup.dump \"$DATABASE_URL\"");
            }
        }
    }

    fn restore(&self, folder: &Path) {
        match self {
            Self::Sqlite => {
                self.shell(folder, "rm -f data/affzero.db-wal data/affzero.db-shm && cp backup.db data/affzero.db")
            }
            Self::Postgres { .. } => self.shell(
                folder,
                "pg_restore --clean --if-exists --no-owner --single-transaction --dbname=\"$DATABASE_URL\" backup.dump",
            ),
        }
    }

    fn shell(&self, folder: &Path, script: &str) {
        let output = Command::new("sh")
            .args(["-ec", script])
            .current_dir(folder)
            .env("DATABASE_URL", self.url())
            .output()
            .expect("a shell");
        assert!(output.status.success(), "{script}: {}", complaint(&output));
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        if let Self::Postgres { name, server, .. } = self
            && let Ok(mut connection) = PgConnection::establish(server)
        {
            let _ = connection.batch_execute(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}

/// An organisation at a service that comes and goes over one database.
struct House {
    folder: TempDir,
    store: Store,
    network: Simulator,
    token: String,
}

impl House {
    fn found() -> Self {
        let folder = TempDir::new().expect("a folder");
        let output =
            run(folder.path(), &["token", "--org", "acme", "--plan", "business"], &[("AUTH_JWT_SECRET", SECRET)]);
        let token = String::from_utf8(output.stdout).expect("text").trim().to_owned();
        Self { folder, store: Store::of_this_run(), network: Simulator::start(Affise::default()), token }
    }

    fn variables<'a>(&'a self, keys: &'a str) -> [(&'a str, &'a str); 4] {
        [
            ("DATABASE_URL", self.store.url()),
            ("CREDENTIALS_KEYS", keys),
            ("AUTH_JWT_SECRET", SECRET),
            ("EGRESS_ALLOW", "127.0.0.0/8"),
        ]
    }

    fn serve(&self, keys: &str) -> Service {
        Service::start(self.folder.path(), &self.variables(keys))
    }

    async fn add(&self, service: &Service, name: &str) -> String {
        let body = json!({
            "name": name, "platform": "affise", "connection_type": "admin",
            "settings": { "base_url": self.network.url }, "credentials": { "api_key": ADMIN_KEY },
        });
        let created = service.send(&self.token, "POST", "/api/v1/connections", Some(&body)).await.ok(201);
        created["id"].as_str().expect("an id").to_owned()
    }

    async fn verify(&self, service: &Service, id: &str) -> Value {
        service.send(&self.token, "POST", &format!("/api/v1/connections/{id}/verify"), None).await.ok(200)
    }

    async fn names(&self, service: &Service) -> Vec<String> {
        let page = service.send(&self.token, "GET", "/api/v1/connections?sort=name", None).await.ok(200);
        let rows = page["data"].as_array().expect("rows");
        rows.iter().map(|row| row["name"].as_str().expect("a name").to_owned()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_backup_is_the_service_of_that_moment_and_the_deleted_is_back() {
    let house = House::found();
    let service = house.serve(KEYS);
    let kept = house.add(&service, "Kept").await;
    let deleted = house.add(&service, "Deleted later").await;
    house.store.back_up(house.folder.path());

    let path = format!("/api/v1/connections/{deleted}");
    assert_eq!(service.send(&house.token, "DELETE", &path, None).await.status, 204);
    let added = house.add(&service, "Added later").await;
    assert_eq!(house.names(&service).await, ["Added later", "Kept"]);
    assert!(service.stop().0.success());

    house.store.restore(house.folder.path());
    let service = house.serve(KEYS);
    assert_eq!(house.names(&service).await, ["Deleted later", "Kept"]);
    for id in [&kept, &deleted] {
        assert_eq!(house.verify(&service, id).await["status"], "ok", "its credentials still open");
    }
    let mut variables = house.variables(KEYS).to_vec();
    variables.push(("BIND_ADDR", "127.0.0.1:0"));
    let doctor = run(house.folder.path(), &["doctor", "--json"], &variables);
    let report: Value = serde_json::from_slice(&doctor.stdout).expect("JSON");
    for name in ["database", "migrations", "key_ring"] {
        let check = report["checks"].as_array().and_then(|all| all.iter().find(|check| check["check"] == name));
        assert_eq!(check.map(|check| &check["status"]), Some(&json!("ok")), "{name} after a restore: {report}");
    }
    let gone = format!("/api/v1/connections/{added}");
    service.send(&house.token, "GET", &gone, None).await.problem(404, "not_found");
    // Deleted again, as the guide says, it is gone for good.
    assert_eq!(service.send(&house.token, "DELETE", &path, None).await.status, 204);
    service.send(&house.token, "GET", &path, None).await.problem(410, "connection_deleted");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_of_before_a_rotation_needs_the_key_of_its_time() {
    let house = House::found();
    let service = house.serve(KEYS);
    let first = house.add(&service, "First").await;
    house.add(&service, "Second").await;
    house.store.back_up(house.folder.path());
    assert!(service.stop().0.success());
    let both = format!("{NEW_KEY},{KEYS}");
    let rotated = run(house.folder.path(), &["rotate-keys"], &house.variables(&both));
    assert!(rotated.status.success(), "{}", complaint(&rotated));
    let service = house.serve(NEW_KEY);
    assert_eq!(house.verify(&service, &first).await["status"], "ok");
    assert!(service.stop().0.success());

    house.store.restore(house.folder.path());
    let service = house.serve(NEW_KEY);
    assert_eq!(house.verify(&service, &first).await["failure"]["code"], "credentials_unreadable");
    let mut variables = house.variables(NEW_KEY).to_vec();
    variables.push(("BIND_ADDR", "127.0.0.1:0"));
    let doctor = run(house.folder.path(), &["doctor"], &variables);
    let said = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert_eq!(doctor.status.code(), Some(1), "{said}");
    assert!(said.contains("`k1`") && said.contains("CREDENTIALS_KEYS"), "{said}");
    assert!(service.stop().0.success());

    let service = house.serve(&both);
    assert_eq!(house.verify(&service, &first).await["status"], "ok", "nothing was lost meanwhile");
    let again = run(house.folder.path(), &["rotate-keys"], &house.variables(&both));
    assert!(again.status.success(), "{}", complaint(&again));
    assert!(service.stop().0.success());
    let service = house.serve(NEW_KEY);
    assert_eq!(house.verify(&service, &first).await["status"], "ok");
}

#[test]
fn a_backup_takes_the_place_of_nothing_and_says_what_stands_in_its_way() {
    let folder = TempDir::new().expect("a folder");
    let nothing = run(folder.path(), &["backup", "backup.db"], &[]);
    assert_eq!(nothing.status.code(), Some(1));
    assert!(complaint(&nothing).contains("data/affzero.db") && !folder.path().join("backup.db").exists());

    assert!(run(folder.path(), &["migrate"], &[]).status.success());
    std::fs::write(folder.path().join("backup.db"), "precious").expect("a file");
    let taken = run(folder.path(), &["backup", "backup.db"], &[]);
    assert_eq!(taken.status.code(), Some(1));
    assert_eq!(std::fs::read_to_string(folder.path().join("backup.db")).expect("the file"), "precious");
    let nowhere = run(folder.path(), &["backup", "no/such/folder/backup.db"], &[]);
    assert_eq!(nowhere.status.code(), Some(1));

    // No room: what was begun is taken away again.
    let script = "ulimit -f 16; exec \"$1\" backup small.db";
    let cut = Command::new("sh")
        .args(["-c", script, "sh", env!("CARGO_BIN_EXE_affzero-connections")])
        .current_dir(folder.path())
        .output()
        .expect("a shell");
    assert!(!cut.status.success(), "{}", complaint(&cut));

    if let Store::Postgres { url, .. } = &Store::of_this_run() {
        let output = run(folder.path(), &["backup", "other.db"], &[("DATABASE_URL", url)]);
        assert_eq!(output.status.code(), Some(1));
        assert!(complaint(&output).contains("pg_dump") && !folder.path().join("other.db").exists());
    }
}
