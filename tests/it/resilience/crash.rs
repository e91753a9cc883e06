//! The real program, killed in the middle of load.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use affzero_connections::tenancy::Plan;
use futures_util::future::join_all;
use serde_json::json;
use tempfile::TempDir;

use crate::app::{KEYS, SECRET, TestApp};

/// The program as its own process; killed when dropped.
struct Program(Child);

impl Program {
    async fn start(folder: &TempDir, door: &TestApp, address: &str) -> Self {
        let child = Command::new(env!("CARGO_BIN_EXE_affzero-connections"))
            .current_dir(folder.path())
            .env_clear()
            .env("DATABASE_URL", format!("sqlite://{}", folder.path().join("crash.db").display()))
            .env("AUTH_JWT_SECRET", SECRET)
            .env("CREDENTIALS_KEYS", KEYS)
            .env("BIND_ADDR", address)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the program");
        let program = Self(child);
        let started = Instant::now();
        while tokio::net::TcpStream::connect(address).await.is_err() {
            assert!(started.elapsed() < Duration::from_secs(60), "it does not serve");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        assert_eq!(door.anonymous("GET", "/readyz").await.status, 200);
        program
    }
}

impl Drop for Program {
    /// SIGKILL: no warning, no last words.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_survives_kill_9_and_nothing_is_there_by_halves() {
    let folder = TempDir::new().expect("a folder");
    let address = {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        listener.local_addr().expect("an address").to_string()
    };
    // Lends its users and its client; the program stands in its place.
    let mut door = TestApp::start().await;
    door.url = format!("http://{address}");
    let door = door;

    let mut acknowledged: Vec<(usize, String)> = Vec::new();
    for round in 0..3 {
        let program = Program::start(&folder, &door, &address).await;
        let (door, already) = (&door, acknowledged.len());
        let (tell, mut told) = tokio::sync::mpsc::unbounded_channel();
        let load = join_all((0..8).map(|organisation| {
            let tell = tell.clone();
            async move {
                let user = door.user(&format!("org-{organisation}"), Plan::Pro);
                for number in 0..100 {
                    let body = json!({ "name": format!("{round}-{number}"), "platform": "demo" });
                    let created = user.post("/api/v1/connections", &body).await.ok(201);
                    let id = created["id"].as_str().expect("an id").to_owned();
                    tell.send((organisation, id)).expect("the test listens");
                }
            }
        }));
        let enough = async {
            while let Some(created) = told.recv().await {
                acknowledged.push(created);
                if acknowledged.len() >= already + 60 {
                    break;
                }
            }
        };
        // The load is dropped with requests in flight, and the program dies under them.
        tokio::select! {
            _ = load => panic!("the load ends before the kill"),
            () = enough => {}
        }
        drop(program);
        while let Ok(created) = told.try_recv() {
            acknowledged.push(created);
        }
    }

    let _program = Program::start(&folder, &door, &address).await;
    for (organisation, id) in &acknowledged {
        let user = door.user(&format!("org-{organisation}"), Plan::Pro);
        assert_eq!(user.get(&format!("/api/v1/connections/{id}")).await.ok(200)["status"], "active");
    }
    for organisation in 0..8 {
        let user = door.user(&format!("org-{organisation}"), Plan::Pro);
        let page = user.get("/api/v1/connections?limit=100").await.ok(200);
        let rows = page["data"].as_array().expect("rows");
        assert_eq!(user.get("/api/v1/usage").await.ok(200)["demo_used"], rows.len());
        for row in rows {
            // A row is there with its verification and its trail, or not at all.
            assert_eq!(row["last_verification"]["status"], "ok", "{row}");
            let id = row["id"].as_str().expect("an id");
            let history = user.get(&format!("/api/v1/connections/{id}/verifications")).await.ok(200);
            assert_eq!(history["data"].as_array().expect("rows").len(), 1, "{history}");
        }
    }
}
