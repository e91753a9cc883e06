//! What must stay inside: no key and no tracker's host in any answer, any log line or any metric, however loud the
//! log and whatever goes wrong.

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{Answer, client};
use crate::process::{Service, run};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tracker::{Fault, Reply, Request, Simulator, Tracker};
use crate::support::voluum::{ACCESS_ID, ACCESS_KEY, Readings, TOKEN_PREFIX, Voluum};

/// A wrong key that every kind of encoding spells differently.
const WRONG_KEY: &str = "canary-wrong-key/+%&=\"7f3a";

/// A tracker that repeats all that it was sent, as some do in their errors.
struct Parrot;

impl Tracker for Parrot {
    fn answer(&self, request: &Request) -> Reply {
        let heard = format!(
            "{} {:?} {:?} {}",
            request.path,
            request.query,
            request.headers,
            String::from_utf8_lossy(&request.body)
        );
        Reply::json(403, &json!({"status": 0, "error": heard, "message": heard}))
    }
}

/// The spellings of a secret that must not be seen.
fn spellings(secret: &str) -> Vec<String> {
    let json = serde_json::to_string(secret).expect("text");
    let debug = format!("{secret:?}");
    vec![
        secret.to_owned(),
        form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
        json.trim_matches('"').to_owned(),
        debug.trim_matches('"').to_owned(),
        format!("{debug:?}").trim_matches(['"', '\\']).to_owned(),
    ]
}

/// Everything that came out of the service.
#[derive(Default)]
struct Seen(Vec<(String, String)>);

impl Seen {
    fn note(&mut self, what: &str, answer: &Answer) {
        assert!(answer.status != 500, "{what}: {}", answer.text);
        self.0.push((what.to_owned(), format!("{:?}\n{}", answer.headers, answer.text)));
    }

    #[track_caller]
    fn assert_without(&self, secrets: &[String]) {
        for (what, text) in &self.0 {
            for secret in secrets {
                let found = text.find(secret.as_str());
                assert!(found.is_none(), "{secret} is in {what}: {}", around(text, found.unwrap_or_default()));
            }
        }
    }
}

fn around(text: &str, place: usize) -> String {
    let line = text[..place].rfind('\n').map_or(0, |start| start + 1);
    text[line..].lines().next().unwrap_or_default().chars().take(600).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn no_secret_and_no_tracker_is_seen_outside_however_loud_the_log() {
    let (affise, voluum, parrot) = (
        Simulator::start(Affise::default()),
        Simulator::start(Voluum::new(Vec::new(), Readings::default())),
        Simulator::start(Parrot),
    );
    let folder = TempDir::new().expect("a folder");
    let variables = [
        ("RUST_LOG", "trace"),
        ("LOG_FORMAT", "json"),
        ("EGRESS_ALLOW", "127.0.0.0/8"),
        ("METRICS_ADDR", "127.0.0.1:0"),
        ("VOLUUM_BASE_URL", voluum.url.as_str()),
    ];
    let service = Service::start(folder.path(), &variables);
    let metrics = service.wait_for("metrics: ");
    let minted = run(folder.path(), &["token", "--org", "acme", "--plan", "business"], &[]);
    let token = String::from_utf8(minted.stdout).expect("text").trim().to_owned();
    let mut seen = Seen::default();
    let mut ids = Vec::new();

    let affise_at = |name: &str, url: &str, key: &str| json!({"name": name, "platform": "affise", "connection_type": "admin", "settings": {"base_url": url}, "credentials": {"api_key": key}});
    let bodies = [
        affise_at("good", &affise.url, ADMIN_KEY),
        affise_at("wrong", &affise.url, WRONG_KEY),
        affise_at("parrot", &parrot.url, WRONG_KEY),
        affise_at("away", "http://127.0.0.1:1", WRONG_KEY),
        affise_at("blocked", "http://10.1.2.3", WRONG_KEY),
        json!({"name": "voluum", "platform": "voluum", "credentials": {"access_key_id": ACCESS_ID, "access_key": ACCESS_KEY}}),
        json!({"name": "misspelt", "platform": "affise", "connection_type": "admin", "settings": {"base_url": affise.url, "token": WRONG_KEY}, "credentials": {"api_kye": WRONG_KEY}}),
        json!({"name": "moved", "platform": WRONG_KEY, "connection_type": WRONG_KEY, "settings": WRONG_KEY, "credentials": WRONG_KEY}),
        json!({"name": "typed", "platform": "affise", "connection_type": "admin", "settings": {"base_url": {"x": WRONG_KEY}}, "credentials": {"api_key": [WRONG_KEY]}}),
    ];
    for (place, body) in bodies.iter().enumerate() {
        for path in ["/api/v1/connections/verify", "/api/v1/connections", "/api/v1/connections?verify=deferred"] {
            let answer = service.send(&token, "POST", path, Some(body)).await;
            seen.note(&format!("{path} {place}"), &answer);
            if answer.status == 201 {
                ids.push(answer.json()["id"].as_str().expect("an id").to_owned());
            }
        }
    }
    assert!(ids.len() >= 4, "{ids:?}");
    let faults = [
        Fault::Instead(Reply::html(200)),
        Fault::Instead(
            Reply::json(302, &json!({})).with_header("location", format!("http://127.0.0.1:1/?key={ADMIN_KEY}")),
        ),
        Fault::Instead(Reply::text(500, "text/plain", format!("no such key {ADMIN_KEY} {ACCESS_KEY}"))),
        Fault::Instead(Reply::text(200, "application/json", format!("{{\"oops\": {ADMIN_KEY}"))),
        Fault::Cut,
    ];
    for id in &ids {
        let one = format!("/api/v1/connections/{id}");
        let stats = format!("{one}/stats?group_by=date&from=2026-09-01&to=2026-09-02");
        for fault in [Fault::None].iter().chain(&faults) {
            affise.inject([fault.clone()]);
            voluum.inject([fault.clone()]);
            for (method, path) in [("POST", format!("{one}/verify")), ("GET", stats.clone()), ("GET", one.clone())] {
                seen.note(
                    &format!("{method} {path} {fault:?}").replace(ADMIN_KEY, "").replace(ACCESS_KEY, ""),
                    &service.send(&token, method, &path, None).await,
                );
            }
        }
        for patch in [
            json!({"credentials": {"api_key": WRONG_KEY}}),
            json!({"settings": {"base_url": "http://127.0.0.1:2"}, "credentials": {"api_key": WRONG_KEY}}),
            json!({"credentials": {"nope": WRONG_KEY}}),
        ] {
            seen.note("PATCH", &service.send(&token, "PATCH", &one, Some(&patch)).await);
        }
    }
    for path in [
        "/api/v1/connections",
        "/api/v1/audit-events",
        "/api/v1/stats?group_by=date&from=2026-09-01&to=2026-09-02",
        &format!("/api/v1/connections/{}/verifications", ids[0]),
    ] {
        seen.note(path, &service.send(&token, "GET", path, None).await);
    }
    for id in &ids {
        seen.note("DELETE", &service.send(&token, "DELETE", &format!("/api/v1/connections/{id}"), None).await);
    }

    let counted = client().get(metrics).send().await.expect("an answer").text().await.expect("text");
    let (_, written) = service.stop();
    let secrets: Vec<String> =
        [ADMIN_KEY, WRONG_KEY, ACCESS_ID, ACCESS_KEY, TOKEN_PREFIX].into_iter().flat_map(spellings).collect();
    seen.assert_without(&secrets);

    // Nobody but the owner may learn which trackers there are, and no log needs to know who is let in.
    let mut private = secrets;
    private.extend([&affise, &voluum, &parrot].map(|tracker| tracker.url.trim_start_matches("http://").to_owned()));
    private.extend(["127.0.0.1:1/".to_owned(), "10.1.2.3".to_owned(), token]);
    let lines = written.lines().filter(|line| !line.contains("a token to paste")).count();
    assert!(lines > ids.len(), "the log is on");
    Seen(vec![("the log".to_owned(), written), ("the metrics".to_owned(), counted)]).assert_without(&private);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_line_of_a_request_has_what_finds_it_again() {
    let folder = TempDir::new().expect("a folder");
    let service = Service::start(folder.path(), &[("LOG_FORMAT", "json")]);
    let token = service.wait_for("valid for a day): ");
    let answer = service.send(&token, "GET", "/api/v1/connections?q=canary-name", None).await;
    let id = answer.header("x-request-id").expect("an id").to_owned();
    let (_, written) = service.stop();
    let line = written.lines().find(|line| line.contains(&id)).expect("a line");
    let line: Value = serde_json::from_str(line).expect("JSON");
    assert_eq!(line["http.route"], "/api/v1/connections");
    assert_eq!((line["http.status"].as_u64(), line["http.method"].as_str()), (Some(200), Some("GET")));
    assert!(!written.contains("canary-name"), "a query may name somebody's brand");
}
