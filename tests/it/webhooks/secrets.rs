//! A webhook's secret is shown to the one who asks for a new one, and to nobody else; its address stays sealed.

use affzero_connections::connections::rotation::Rotated;
use affzero_connections::tenancy::Plan;
use affzero_connections::vault::{KeyRing, Vault};
use affzero_connections::webhooks::inventory;
use affzero_connections::webhooks::rotation::rotate;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use tempfile::TempDir;

use super::{Hook, WEBHOOKS, acme, is_signed_with, receiver, subscribe, until_called};
use crate::app::{KEYS, TestApp, client};
use crate::process::{Service, run};
use crate::storage::dump;
use crate::support::tracker::{Fault, Reply};

const NEW: &str = "k2://79/Pv6+fj39vX08/Lx8O/u7ezr6uno5+bl5OPi4eA=";

fn ring(keys: &[&str]) -> Vault {
    Vault::new(KeyRing::parse(&keys.join(",")).expect("a ring"))
}

/// A secret as it may be spelt: its text, and its bytes in hexadecimal and as characters.
fn spellings(secret: &str) -> Vec<String> {
    let text = secret.strip_prefix("whsec_").expect("a secret");
    let bytes = STANDARD.decode(text).expect("base64");
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    vec![text.trim_end_matches('=').to_owned(), hex, bytes.into_iter().map(char::from).collect()]
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_of_a_webhook_and_no_receiver_is_seen_where_it_should_not_be() {
    let receiver = receiver();
    let folder = TempDir::new().expect("a folder");
    let variables = [
        ("RUST_LOG", "trace"),
        ("LOG_FORMAT", "json"),
        ("EGRESS_ALLOW", "127.0.0.0/8"),
        ("METRICS_ADDR", "127.0.0.1:0"),
    ];
    let service = Service::start(folder.path(), &variables);
    let metrics = service.wait_for("metrics: ");
    let minted = run(folder.path(), &["token", "--org", "acme", "--plan", "business"], &[]);
    let token = String::from_utf8(minted.stdout).expect("text").trim().to_owned();
    let url = format!("{}/private-path-7f3a", receiver.url);
    let first = Hook::of(&service.send(&token, "POST", WEBHOOKS, Some(&json!({ "url": url }))).await.ok(201));
    let rotate = format!("{}/rotate-secret", first.path());
    let second = Hook::of(&service.send(&token, "POST", &rotate, None).await.ok(200));
    let mut seen = Vec::new();
    for fault in [
        None,
        Some(Fault::Instead(Reply::text(500, "text/plain", "oops"))),
        Some(Fault::Instead(Reply::text(302, "text/plain", "").with_header("location", "http://127.0.0.1:1/"))),
        Some(Fault::Cut),
    ] {
        receiver.always(fault);
        let body = json!({ "name": "Event", "platform": "demo" });
        let created = service.send(&token, "POST", "/api/v1/connections", Some(&body)).await.ok(201);
        let path = format!("/api/v1/connections/{}", created["id"].as_str().expect("an id"));
        service.send(&token, "DELETE", &path, None).await;
        seen.push(service.send(&token, "POST", &format!("{}/test", first.path()), None).await.text);
    }
    until_called(&receiver, 5).await;
    for path in [WEBHOOKS, &first.path(), &format!("{}/deliveries", first.path()), "/api/v1/audit-events"] {
        seen.push(service.send(&token, "GET", path, None).await.text);
    }
    let secrets: Vec<String> = [&first, &second].into_iter().flat_map(|hook| spellings(&hook.secret)).collect();
    for text in &seen {
        assert!(secrets.iter().all(|secret| !text.contains(secret.as_str())), "{text}");
    }
    let counted = client().get(metrics).send().await.expect("an answer").text().await.expect("text");
    assert!(counted.contains("affzero_webhook_deliveries_total{outcome=\"retrying\"}"), "{counted}");
    let (_, written) = service.stop();
    let stored: String = std::fs::read_dir(folder.path().join("data"))
        .expect("the folder")
        .filter_map(|file| std::fs::read(file.expect("an entry").path()).ok())
        .flatten()
        .map(char::from)
        .collect();
    assert!(written.contains("webhook delivery") && stored.contains("webhook_retries"));
    let mut private = secrets;
    private.extend(["private-path-7f3a".to_owned(), receiver.url.trim_start_matches("http://").to_owned()]);
    for (what, text) in [("the log", &written), ("the metrics", &counted), ("the database", &stored)] {
        let found = private.iter().find(|secret| text.contains(secret.as_str()));
        assert!(found.is_none(), "{found:?} is in {what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rotated_keys_leave_nothing_of_a_webhook_under_the_old_one() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &receiver.url).await;
    let rotated = Hook::of(&user.send("POST", &format!("{}/rotate-secret", hook.path()), &[], None).await.ok(200));
    let before = inventory::take(&app.db, &ring(&[KEYS]), |_| {}).await.expect("an inventory");
    assert_eq!((before.webhooks, before.readable.get("k1")), (1, Some(&3)));
    let report = rotate(&app.db, &ring(&[NEW, KEYS]), |_| {}).await.expect("rotated");
    assert_eq!((report.rows, report.sealed, report.unreadable, report.left), (1, 3, 0, 0));
    let again = rotate(&app.db, &ring(&[NEW, KEYS]), |_| {}).await.expect("rotated");
    assert_eq!(again, Rotated { rows: 1, ..Rotated::default() });

    let after = inventory::take(&app.db, &ring(&[NEW]), |_| {}).await.expect("an inventory");
    assert_eq!((after.webhooks, after.readable.get("k2"), after.unusable_webhooks), (1, Some(&3), 0));
    let lost = inventory::take(&app.db, &ring(&[KEYS]), |_| {}).await.expect("an inventory");
    assert_eq!((lost.unusable_webhooks, lost.keyless.get("k2")), (1, Some(&3)));
    let replica = app.replica(&[("CREDENTIALS_KEYS", NEW)]).await;
    let user = replica.user("acme", Plan::Business);
    assert_eq!(user.send("POST", &format!("{}/test", hook.path()), &[], None).await.ok(200)["delivered"], true);
    let request = receiver.requests().remove(0);
    assert!(is_signed_with(&request, &hook.secret) && is_signed_with(&request, &rotated.secret));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_webhook_leaves_nothing_of_its_secret_or_address() {
    let (app, receiver) = (TestApp::start().await, receiver());
    let user = acme(&app);
    let hook = subscribe(&user, &format!("{}/leaving", receiver.url)).await;
    let sealed = |app: &TestApp| {
        let db = app.db.clone();
        async move {
            use affzero_connections::db::DbError;
            use affzero_connections::db::schema::webhooks;
            use diesel::prelude::*;
            db.read(|db| {
                Ok::<Vec<(Vec<u8>, Vec<u8>)>, DbError>(
                    webhooks::table.select((webhooks::url_sealed, webhooks::secret_sealed)).load(db)?,
                )
            })
            .await
            .expect("blobs")
        }
    };
    let (url, secret) = sealed(&app).await.remove(0);
    assert_eq!(user.delete(&hook.path()).await.status, 204);
    assert!(sealed(&app).await.is_empty());
    let stored = dump(&app).await;
    for blob in [url, secret] {
        let text: String = blob.iter().copied().map(char::from).collect();
        let hex: String = blob.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!stored.contains(&text) && !stored.contains(&hex));
    }
}
