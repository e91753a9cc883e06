//! A disk without room: the real program, whose files may not grow any more.
//!
//! The system's bound on the size of a file stands in for the disk, because it needs no rights and hits in the middle of
//! a write: what fits is written, and the rest is refused.

use std::path::Path;

use diesel::prelude::*;
use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;
use tempfile::TempDir;

use crate::app::{Answer, KEYS, SECRET};
use crate::process::{Service, run};

const VARIABLES: [(&str, &str); 2] = [("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", KEYS)];

/// Bounds the size of files that the program writes; `None` takes the bound away.
fn bound_files(service: &Service, bytes: Option<u64>) {
    let pid = Pid::from_raw(service.id().try_into().expect("a process's number"));
    prlimit(pid, Resource::Fsize, Rlimit { current: bytes, maximum: None }).expect("a bound");
}

fn token(folder: &Path) -> String {
    let output = run(folder, &["token", "--org", "acme", "--plan", "pro"], &VARIABLES);
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

struct Shelf {
    service: Service,
    token: String,
    /// What was acknowledged.
    names: Vec<String>,
}

impl Shelf {
    async fn create(&mut self) -> Answer {
        let name = format!("Demo {}", self.names.len());
        let body = json!({ "name": name, "platform": "demo" });
        let answer = self.service.send(&self.token, "POST", "/api/v1/connections", Some(&body)).await;
        if answer.status == 201 {
            self.names.push(name);
        }
        answer
    }

    async fn get(&self, path: &str) -> Answer {
        self.service.send(&self.token, "GET", path, None).await
    }

    /// What is there is what was acknowledged, whole.
    async fn assert_whole(&self) {
        let page = self.get("/api/v1/connections?limit=100&sort=created_at").await.ok(200);
        let rows = page["data"].as_array().expect("rows");
        let names: Vec<&str> = rows.iter().map(|row| row["name"].as_str().expect("a name")).collect();
        assert_eq!(names, self.names);
        assert_eq!(self.get("/api/v1/usage").await.ok(200)["demo_used"], rows.len());
        let created = self.get("/api/v1/audit-events?limit=100").await.ok(200)["data"]
            .as_array()
            .expect("events")
            .iter()
            .filter(|event| event["action"] == "connection.created")
            .count();
        assert_eq!(created, rows.len());
        for row in rows {
            assert_eq!((&row["status"], &row["last_verification"]["status"]), (&json!("active"), &json!("ok")));
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_so_leaves_nothing_by_halves_and_needs_no_restart() {
    let folder = TempDir::new().expect("a folder");
    let data = folder.path().join("data");
    let mut shelf =
        Shelf { service: Service::start(folder.path(), &VARIABLES), token: token(folder.path()), names: Vec::new() };
    for _ in 0..5 {
        shelf.create().await.ok(201);
    }
    let first = shelf.get("/api/v1/connections?limit=1&sort=created_at").await.ok(200)["data"][0]["id"].clone();
    let first = first.as_str().expect("an id").to_owned();

    let log = data.join("affzero.db-wal").metadata().map_or(0, |log| log.len());
    // In the middle of a record of the log; and no room for anything, the database itself included.
    for room in [log + 1_500, 1] {
        bound_files(&shelf.service, Some(room));
        let mut refused = shelf.create().await;
        for _ in 0..50 {
            if refused.status != 201 {
                break;
            }
            refused = shelf.create().await;
        }
        refused.problem(503, "overloaded");
        assert!(refused.header("retry-after").is_some());
        let path = format!("/api/v1/connections/{first}");
        let rename = json!({ "name": "Another name" });
        shelf.service.send(&shelf.token, "PATCH", &path, Some(&rename)).await.problem(503, "overloaded");
        shelf.service.send(&shelf.token, "DELETE", &path, None).await.problem(503, "overloaded");
        // What needs no room goes on.
        shelf.get(&format!("{path}/stats?group_by=date&preset=yesterday")).await.ok(200);
        assert_eq!(shelf.service.send("", "GET", "/readyz", None).await.status, 200);
        shelf.assert_whole().await;

        bound_files(&shelf.service, None);
        shelf.create().await.ok(201);
        shelf.assert_whole().await;
    }

    // Killed while there is no room: the next start finds everything that was acknowledged.
    bound_files(&shelf.service, Some(1));
    shelf.create().await.problem(503, "overloaded");
    shelf.service.kill();
    shelf.service = Service::start(folder.path(), &VARIABLES);
    shelf.assert_whole().await;
    shelf.create().await.ok(201);
    let file = data.join("affzero.db");
    let mut database = SqliteConnection::establish(&file.display().to_string()).expect("the database");
    let verdict: Verdict = diesel::sql_query("PRAGMA integrity_check").get_result(&mut database).expect("a verdict");
    assert_eq!(verdict.integrity_check, "ok");
}

#[derive(QueryableByName)]
struct Verdict {
    #[diesel(sql_type = diesel::sql_types::Text)]
    integrity_check: String,
}
