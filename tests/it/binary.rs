//! The binary as an operator meets it: its commands, its start, its end.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{KEYS, SECRET};
use crate::process::{Service, command, complaint, run};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::{Fault, Simulator};

const NEW_KEYS: &str =
    "k2:Y2FuYXJ5LW9mLWFub3RoZXItbmV3LWtleS0wMTIzNDU=,k1:Y2FuYXJ5LW9mLXRoZS1maXJzdC1rZXktMDEyMzQ1Njc=";

fn folder() -> TempDir {
    TempDir::new().expect("a folder")
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap_or_else(|error| panic!("{}: {error}", path.display())).permissions().mode() & 0o777
}

/// A token from the `token` command.
fn token(folder: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> String {
    let mut all = vec!["token", "--org", "acme", "--plan", "pro"];
    all.extend_from_slice(arguments);
    let output = run(folder, &all, variables);
    assert!(output.status.success(), "{}", complaint(&output));
    String::from_utf8(output.stdout).expect("text").trim().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn with_nothing_set_it_serves_and_says_how_to_begin() {
    let folder = folder();
    let service = Service::start(folder.path(), &[]);
    assert_eq!(service.wait_for("Swagger UI: "), format!("{}/swagger-ui/", service.url));
    let token = service.wait_for("valid for a day): ");
    let body = json!({"name": "Try", "platform": "demo"});
    let id = service.send(&token, "POST", "/api/v1/connections", Some(&body)).await.ok(201)["id"].clone();
    assert_eq!(service.send("", "GET", "/swagger-ui/", None).await.status, 200);
    service.send("", "GET", "/api/v1/connections", None).await.problem(401, "unauthorized");

    let data = folder.path().join("data");
    assert_eq!(mode(&data), 0o700);
    for file in ["auth_jwt_secret", "credentials_keys"] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    assert!(data.join("affzero.db").exists());
    let kept = std::fs::read(data.join("credentials_keys")).expect("the keys");
    let (status, written) = service.stop();
    assert!(status.success(), "{written}");
    assert!(!written.contains('\u{1b}'), "no colours where nobody sees them: {written}");

    let again = Service::start(folder.path(), &[]);
    let path = format!("/api/v1/connections/{}", id.as_str().expect("an id"));
    assert_eq!(again.send(&token, "GET", &path, None).await.ok(200)["name"], "Try", "the token and the data live on");
    assert_eq!(again.send(&token, "POST", &format!("{path}/verify"), None).await.ok(200)["status"], "ok");
    assert_eq!(std::fs::read(data.join("credentials_keys")).expect("the keys"), kept);
}

#[test]
fn production_without_secrets_names_everything_that_is_missing_at_once() {
    let folder = folder();
    let output = run(folder.path(), &[], &[("APP_ENV", "production"), ("BIND_ADDR", "nonsense")]);
    assert!(!output.status.success());
    let complaint = complaint(&output);
    for name in ["AUTH_JWT_SECRET", "CREDENTIALS_KEYS", "BIND_ADDR"] {
        assert!(complaint.contains(&format!("{name}: ")), "{name}: {complaint}");
    }
    assert!(!folder.path().join("data/credentials_keys").exists(), "nothing is generated");
    assert!(!folder.path().join("data/auth_jwt_secret").exists(), "nothing is generated");
}

#[tokio::test(flavor = "multi_thread")]
async fn production_refuses_generated_secrets_and_accepts_real_ones_without_printing_a_token() {
    let folder = folder();
    let production = ("APP_ENV", "production");
    let generated = [
        production,
        ("AUTH_JWT_SECRET", "generated-AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
        ("CREDENTIALS_KEYS", "generated:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="),
    ];
    let output = run(folder.path(), &[], &generated);
    assert!(!output.status.success());
    let complaint = complaint(&output);
    assert!(complaint.contains("AUTH_JWT_SECRET: ") && complaint.contains("CREDENTIALS_KEYS: "), "{complaint}");
    assert!(!complaint.contains("AAECAwQ"), "no secret is repeated: {complaint}");

    let real = [production, ("AUTH_JWT_SECRET", SECRET), ("CREDENTIALS_KEYS", KEYS)];
    let service = Service::start(folder.path(), &real);
    let token = token(folder.path(), &real, &[]);
    assert_eq!(service.send(&token, "GET", "/api/v1/usage", None).await.status, 200);
    let (status, written) = service.stop();
    assert!(status.success());
    assert!(!written.contains("eyJ"), "{written}");
    for line in written.lines() {
        serde_json::from_str::<Value>(line).unwrap_or_else(|_| panic!("production logs JSON: {line}"));
    }
}

#[test]
fn bad_settings_stop_the_start_with_a_clear_message() {
    for (name, value, says) in [
        ("EGRESS_ALLOW", "10.0.0.0/99", "10.0.0.0/99"),
        ("EGRESS_ALLOW", "everything", "everything"),
        ("EGRESS_ALLOW", "10.0.0.0/8,,", "EGRESS_ALLOW"),
        ("CREDENTIALS_KEYS", "k1", "CREDENTIALS_KEYS"),
        ("CREDENTIALS_KEYS", "k1:c2hvcnQ=", "32"),
        ("CREDENTIALS_KEYS", "k1:!!!", "base64"),
        ("PLAN_LIMITS", "starter=many", "starter"),
        ("PLAN_LIMITS", "gold=1", "gold"),
        ("PLAN_LIMITS", "starter=-1", "starter"),
        ("AUTH_JWT_SECRET", "short", "32"),
        ("DATABASE_URL", "mysql://x", "sqlite://"),
        ("APP_ENV", "prod", "production"),
        ("CORS_ALLOWED_ORIGINS", "https://app.test/", "https://app.test"),
        ("RUST_LOG", "affzero=loud", "RUST_LOG"),
        ("LOG_FORMAT", "xml", "json"),
    ] {
        let folder = folder();
        for command in ["serve", "migrate"] {
            let output = run(folder.path(), &[command], &[("BIND_ADDR", "127.0.0.1:0"), (name, value)]);
            let complaint = complaint(&output);
            assert!(!output.status.success(), "{name}={value}");
            assert!(complaint.contains(name) && complaint.contains(says), "{name}={value}: {complaint}");
            assert!(!complaint.contains("panicked"), "{complaint}");
        }
    }
}

#[test]
fn a_port_that_is_taken_is_named() {
    let folder = folder();
    let taken = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for variable in ["BIND_ADDR", "METRICS_ADDR"] {
        let mut variables = vec![("BIND_ADDR", "127.0.0.1:0")];
        variables.retain(|(name, _)| *name != variable);
        variables.push((variable, &address));
        let output = run(folder.path(), &[], &variables);
        let complaint = complaint(&output);
        assert!(!output.status.success() && complaint.contains(&address), "{variable}: {complaint}");
        assert!(!complaint.contains("panicked"), "{complaint}");
    }
}

#[test]
fn a_database_that_cannot_be_reached_is_said_without_its_password() {
    let folder = folder();
    let variables = [("DATABASE_URL", "postgres://user:canary-password@127.0.0.1:1/nothing")];
    // Each waits a while for the database; together they wait once.
    let outputs = ["serve", "migrate", "rotate-keys"].map(|name| {
        let mut command = command(folder.path(), &[name], &variables);
        command.stderr(Stdio::piped()).spawn().expect("the binary starts")
    });
    for child in outputs {
        let output = child.wait_with_output().expect("an end");
        assert!(!output.status.success());
        let complaint = complaint(&output);
        assert!(complaint.to_lowercase().contains("database"), "{complaint}");
        assert!(!complaint.contains("canary-password") && !complaint.contains("panicked"), "{complaint}");
    }
}

#[test]
fn the_document_is_printed_as_it_is_checked_in() {
    let folder = folder();
    let output = run(folder.path(), &["openapi"], &[("APP_ENV", "production")]);
    assert!(output.status.success());
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/openapi/openapi.json");
    assert!(output.stdout == std::fs::read(path).expect("openapi/openapi.json"));
    assert_eq!(folder.path().read_dir().expect("the folder").count(), 0, "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minted_token_says_what_was_asked_for() {
    let folder = folder();
    let service = Service::start(folder.path(), &[]);
    let reader = token(folder.path(), &[], &["--scope", "connections:read", "--sub", "somebody", "--ttl", "60"]);
    assert_eq!(service.send(&reader, "GET", "/api/v1/usage", None).await.ok(200)["plan"], "pro");
    let body = json!({"name": "Try", "platform": "demo"});
    service.send(&reader, "POST", "/api/v1/connections", Some(&body)).await.problem(403, "forbidden");
    let writer = token(folder.path(), &[], &["--sub", "somebody"]);
    let created = service.send(&writer, "POST", "/api/v1/connections", Some(&body)).await.ok(201);
    assert_eq!(created["created_by"], "somebody");

    for bad in [
        vec!["token"],
        vec!["token", "--org", "", "--plan", "pro"],
        vec!["token", "--org", "acme", "--plan", "gold"],
        vec!["token", "--org", "acme", "--plan", "pro", "--scope", "connections:reed"],
        vec!["token", "--org", "acme", "--plan", "pro", "--ttl", "-1"],
        vec!["nonsense"],
    ] {
        let output = run(folder.path(), &bad, &[]);
        assert!(!output.status.success() && output.stdout.is_empty(), "{bad:?}");
        assert!(!complaint(&output).is_empty() && !complaint(&output).contains("panicked"), "{bad:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrating_twice_is_the_same_as_once_and_leaves_a_database_to_serve() {
    let folder = folder();
    for _ in 0..2 {
        let output = run(folder.path(), &["migrate"], &[]);
        assert!(output.status.success(), "{}", complaint(&output));
    }
    let database = std::fs::metadata(folder.path().join("data/affzero.db")).expect("a database");
    #[cfg(target_os = "linux")]
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&database.permissions()) & 0o077, 0, "it is its owner's alone");
    assert!(database.is_file());
    let service = Service::start(folder.path(), &[]);
    assert_eq!(service.send("", "GET", "/readyz", None).await.ok(200)["status"], "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_while_the_service_serves() {
    let tracker = Simulator::start(Affise::default());
    let folder = folder();
    let with_keys = |keys| [("CREDENTIALS_KEYS", keys), ("AUTH_JWT_SECRET", SECRET), ("EGRESS_ALLOW", "127.0.0.0/8")];
    let user = token(folder.path(), &with_keys(KEYS), &[]);
    let first = Service::start(folder.path(), &with_keys(KEYS));
    let body = json!({"name": "Brand A", "platform": "affise", "connection_type": "admin", "settings": {"base_url": tracker.url}, "credentials": {"api_key": ADMIN_KEY}});
    let id = first.send(&user, "POST", "/api/v1/connections", Some(&body)).await.ok(201)["id"].clone();
    let verify = format!("/api/v1/connections/{}/verify", id.as_str().expect("an id"));
    assert!(first.stop().0.success());

    let serving = Service::start(folder.path(), &with_keys(NEW_KEYS));
    for _ in 0..2 {
        let output = run(folder.path(), &["rotate-keys"], &with_keys(NEW_KEYS));
        assert!(output.status.success(), "{}", complaint(&output));
        assert!(!output.stdout.is_empty(), "it reports");
    }
    assert_eq!(serving.send(&user, "POST", &verify, None).await.ok(200)["status"], "ok");
    assert!(serving.stop().0.success());

    let (new_alone, _) = NEW_KEYS.split_once(',').expect("two keys");
    let last = Service::start(folder.path(), &with_keys(new_alone));
    assert_eq!(last.send(&user, "POST", &verify, None).await.ok(200)["status"], "ok", "the old key is not needed");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dotenv_file_is_read_and_real_variables_win() {
    let folder = folder();
    let lines = "# a comment\nPLAN_LIMITS=pro=7\nLOG_FORMAT=json\nDATABASE_URL=sqlite://kept/elsewhere.db\n";
    std::fs::write(folder.path().join(".env"), lines).expect("a file");
    let service = Service::start(folder.path(), &[("LOG_FORMAT", "pretty")]);
    let user = token(folder.path(), &[], &[]);
    assert_eq!(service.send(&user, "GET", "/api/v1/usage", None).await.ok(200)["limit"], 7);
    assert!(folder.path().join("kept/elsewhere.db").exists());
    assert!(service.written().lines().all(|line| serde_json::from_str::<Value>(line).is_err()), "pretty wins");
    drop(service);

    let service = Service::start(folder.path(), &[("PLAN_LIMITS", "pro=2")]);
    assert_eq!(service.send(&user, "GET", "/api/v1/usage", None).await.ok(200)["limit"], 2);

    std::fs::write(folder.path().join(".env"), "AUTH_JWT_SECRET 'canary-secret\n").expect("a file");
    let output = run(folder.path(), &["migrate"], &[]);
    assert!(!output.status.success());
    assert!(complaint(&output).contains(".env") && !complaint(&output).contains("canary"), "{}", complaint(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_in_flight_is_answered_before_the_process_ends() {
    let tracker = Simulator::start(Affise::default());
    let folder = folder();
    let variables = [("EGRESS_ALLOW", "127.0.0.0/8"), ("SHUTDOWN_GRACE_S", "20")];
    let service = Service::start(folder.path(), &variables);
    let user = token(folder.path(), &[], &[]);
    let body = json!({"name": "Slow", "platform": "affise", "connection_type": "admin", "settings": {"base_url": tracker.url}, "credentials": {"api_key": ADMIN_KEY}});
    let id = service.send(&user, "POST", "/api/v1/connections", Some(&body)).await.ok(201)["id"].clone();
    let stats = format!(
        "/api/v1/connections/{}/stats?group_by=date&from=2026-09-01&to=2026-09-02",
        id.as_str().expect("an id")
    );
    tracker.forget();
    tracker.always(Some(Fault::Stall(Duration::from_millis(700))));
    let (answer, ()) = tokio::join!(service.send(&user, "GET", &stats, None), async {
        asked(&tracker).await;
        service.terminate();
    });
    assert_eq!(answer.ok(200)["row_count"], 2);
    let (status, written) = service.wait();
    assert_eq!(status.code(), Some(0), "{written}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_is_only_kept_open_does_not_hold_the_end_up() {
    let folder = folder();
    // Longer than any test waits.
    let service = Service::start(folder.path(), &[("SHUTDOWN_GRACE_S", "600")]);
    let client = crate::app::client();
    let answer = client.get(format!("{}/healthz", service.url)).send().await.expect("an answer");
    assert_eq!(answer.text().await.expect("text"), r#"{"status":"ok","checks":{}}"#);
    let (status, written) = service.stop();
    assert_eq!(status.code(), Some(0), "{written}");
    drop(client);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_longer_than_the_grace_is_given_up() {
    let tracker = Simulator::start(Affise::default());
    let folder = folder();
    let variables = [
        ("EGRESS_ALLOW", "127.0.0.0/8"),
        ("SHUTDOWN_GRACE_S", "1"),
        ("UPSTREAM_TIMEOUT_MS", "600000"),
        ("STATS_DEADLINE_MS", "600000"),
    ];
    let service = Service::start(folder.path(), &variables);
    let user = token(folder.path(), &[], &[]);
    let body = json!({"name": "Slow", "platform": "affise", "connection_type": "admin", "settings": {"base_url": tracker.url}, "credentials": {"api_key": ADMIN_KEY}});
    let id = service.send(&user, "POST", "/api/v1/connections", Some(&body)).await.ok(201)["id"].clone();
    let url =
        format!("{}/api/v1/connections/{}/stats?group_by=date&preset=today", service.url, id.as_str().expect("an id"));
    tracker.forget();
    tracker.always(Some(Fault::Stall(Duration::from_secs(600))));
    let hopeless = tokio::spawn(crate::app::client().get(url).bearer_auth(user).send());
    asked(&tracker).await;
    let (status, written) = service.stop();
    assert_eq!(status.code(), Some(0), "{written}");
    let answer = hopeless.await.expect("a task");
    assert!(answer.is_err(), "the caller sees that there is no answer: {answer:?} {written}");
}

/// Waits until a tracker has been asked something.
async fn asked(tracker: &Simulator) {
    for _ in 0..2_000 {
        if !tracker.requests().is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    panic!("the tracker is never asked");
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_have_their_own_port_and_name_nobody() {
    let folder = folder();
    let service = Service::start(folder.path(), &[("METRICS_ADDR", "127.0.0.1:0")]);
    let metrics = service.wait_for("metrics: ");
    let user = token(folder.path(), &[], &[]);
    let body = json!({"name": "Private Name", "platform": "demo"});
    let created = service.send(&user, "POST", "/api/v1/connections", Some(&body)).await.ok(201);
    let id = created["id"].as_str().expect("an id");
    for path in [
        "/nowhere/private",
        "/swagger-ui/private",
        &format!("/api/v1/connections/{id}"),
        &format!("/api/v1/connections/{id}/stats?group_by=date&preset=today"),
    ] {
        service.send(&user, "GET", path, None).await;
    }
    service.send("", "GET", "/metrics", None).await.problem(404, "not_found");
    let response = crate::app::client().get(metrics).send().await.expect("an answer");
    assert_eq!(response.status(), 200);
    let text = response.text().await.expect("text");
    for name in ["affzero_requests_total", "affzero_request_seconds", "affzero_stats_cache_total"] {
        assert!(text.contains(name), "{text}");
    }
    assert!(text.contains("/api/v1/connections/{id}/stats"), "{text}");
    for private in [id, "acme", "Private", "private", "127.0.0.1"] {
        assert!(!text.contains(private), "{private}: {text}");
    }
}
