//! Replicas whose machines' clocks differ. The program runs under `libfaketime`.

use std::path::PathBuf;

use affzero_connections::tenancy::Plan;
use serde_json::json;
use tempfile::TempDir;

use super::{ready, until};
use crate::app::{Answer, KEYS, SECRET, TestApp, client};
use crate::process::Service;
use crate::servers::PrivatePostgres;

/// Debian's `faketime` puts it below a folder of the machine's kind.
pub(crate) fn library() -> String {
    let kinds = std::fs::read_dir("/usr/lib").expect("libraries").filter_map(Result::ok);
    let found = kinds.map(|kind| kind.path().join("faketime/libfaketimeMT.so.1")).find(|path: &PathBuf| path.exists());
    found.expect("faketime is installed").display().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_whose_clocks_differ_see_each_others_changes_within_a_second() {
    let Some(server) = PrivatePostgres::start() else { return };
    let app = TestApp::with(&[("DATABASE_URL", &server.url)]).await;
    assert_eq!(ready(&app).await["checks"]["clock"], "ok");
    let folder = TempDir::new().expect("a folder");
    let library = library();
    let behind = Service::start(
        folder.path(),
        &[
            ("DATABASE_URL", server.url.as_str()),
            ("AUTH_JWT_SECRET", SECRET),
            ("CREDENTIALS_KEYS", KEYS),
            ("LD_PRELOAD", &library),
            ("FAKETIME", "-90s"),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ],
    );
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Deleted elsewhere").await;
    let path = format!("/api/v1/connections/{id}");
    let stats = format!("{path}/stats?group_by=date&from=2026-09-01&to=2026-09-01");
    user.get(&stats).await.ok(200);
    let hit = user.get(&stats).await;
    assert!(hit.header("cache-status").is_some_and(|status| status.contains("hit")));

    let ask = async |method: &str, path: &str| {
        let request = client().request(method.parse().expect("a method"), format!("{}{path}", behind.url));
        let request = request.header("authorization", format!("Bearer {}", user.token()));
        Answer::read(request.send().await.expect("an answer")).await
    };
    let unready = until("the clock is reported", async || {
        let ready = ask("GET", "/readyz").await.json();
        (ready["checks"]["clock"] == "differs").then_some(ready)
    })
    .await;
    assert_eq!(unready["status"], "ready", "it turns nobody away");
    assert_eq!(ask("DELETE", &path).await.status, 204);
    tokio::time::sleep(std::time::Duration::from_secs(1)).await;
    user.get(&stats).await.problem(410, "connection_deleted");

    let other = json!({ "name": "Kept" });
    let kept = user.add_demo("Renamed").await;
    user.patch(&format!("/api/v1/connections/{kept}"), &other).await.ok(200);
}
