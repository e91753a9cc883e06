//! Every fault of TLS, by a server that really has it.

use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::TestApp;
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::tls::{
    Authority, Front, GOOD, HANDSHAKE_FAILURE, Identity, PROTOCOL_VERSION, Says, TlsFront, UNRECOGNIZED_NAME,
};
use crate::support::tracker::Simulator;

const DRY_RUN: &str = "/api/v1/connections/verify";

/// A service that trusts an authority, and a tracker without TLS of its own.
struct Setting {
    app: TestApp,
    tracker: Simulator,
    trusted: Authority,
    _folder: TempDir,
}

impl Setting {
    async fn new(further: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("authorities.pem");
        let trusted = Authority::new("Trusted");
        trusted.save(&file);
        let mut variables = vec![("EGRESS_CA_FILE", file.to_str().expect("a path"))];
        variables.extend(further);
        let app = TestApp::with(&variables).await;
        Self { app, tracker: Simulator::start(Affise::default()), trusted, _folder: folder }
    }

    /// Verifies a tracker behind this front; says how often it was connected to.
    async fn verify(&self, front: Front) -> (Value, usize) {
        let front = TlsFront::before(&self.tracker.url, front).await;
        let verified = self.app.user("acme", Plan::Pro).post(DRY_RUN, &affise(&front.url)).await.ok(200);
        (verified, front.connections())
    }
}

fn affise(url: &str) -> Value {
    json!({ "name": "Brand", "platform": "affise", "connection_type": "admin",
            "settings": { "base_url": url }, "credentials": { "api_key": ADMIN_KEY } })
}

/// Asserts a TLS fault in the one form: the stage, the words and who acts.
#[track_caller]
fn assert_fault(verified: &Value, words: &str, owner: &str, hint: &str, retryable: bool) {
    let failure = &verified["failure"];
    assert_eq!((&verified["status"], &failure["code"]), (&json!("inconclusive"), &json!("tls_failed")), "{verified}");
    let detail = failure["detail"].as_str().expect("a detail");
    assert!(detail.starts_with("TLS with localhost:") && detail.contains(words), "{words}: {detail}");
    assert_eq!((&failure["owner"], &failure["pointer"]), (&json!(owner), &json!("/settings/base_url")), "{detail}");
    assert!(failure["hint"].as_str().expect("a hint").contains(hint), "{hint}: {failure}");
    assert_eq!(failure["retryable"], retryable, "{detail}");
    let stages: Vec<_> = verified["stages"].as_array().expect("stages").iter().map(|stage| &stage["status"]).collect();
    assert_eq!(stages, ["ok", "ok", "failed", "skipped", "skipped", "skipped"], "{detail}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_refused_is_reported_by_what_is_wrong_with_it_and_not_tried_twice() {
    let setting = Setting::new(&[]).await;
    let (trusted, unknown) = (&setting.trusted, Authority::new("Unknown"));
    let elsewhere = Says { name: Some("other.example"), ..GOOD };
    let expired = Says { from: -60, to: -30, ..GOOD };
    let public = Says { public: true, ..GOOD };
    let openssl = Says { name: None, authority: true, ..GOOD };
    for (identity, words, owner, hint) in [
        (trusted.issue(expired), "has expired (on 20", "tracker_admin", "renew"),
        (
            trusted.issue(Says { from: 30, to: 60, ..GOOD }),
            "is not yet valid (it will be on 20",
            "tracker_admin",
            "clock",
        ),
        (trusted.issue(elsewhere), "has the wrong name: it is for other.example.", "you", "host name"),
        (Identity::self_signed(GOOD), "is self-signed", "tracker_admin", "EGRESS_CA_FILE"),
        (Identity::self_signed(openssl), "is self-signed", "tracker_admin", "EGRESS_CA_FILE"),
        (unknown.issue(GOOD), "is from an unknown authority, ", "tracker_admin", "EGRESS_CA_FILE"),
        (unknown.issue(GOOD).and(unknown.root()), "is from an unknown authority, ", "tracker_admin", "EGRESS_CA_FILE"),
        (trusted.issue(public).alone(), "comes with an incomplete chain", "tracker_admin", "fullchain"),
        // Whether the rest of the chain leads to an authority that is known here cannot be seen.
        (trusted.issue(GOOD).alone(), "unknown authority, or its chain is incomplete", "tracker_admin", "intermediate"),
        // Several at once: first what the user can act on.
        (
            Identity::self_signed(elsewhere),
            "wrong name: it is for other.example; it also is self-signed",
            "you",
            "host name",
        ),
        (Identity::self_signed(expired), "has expired", "tracker_admin", "renew"),
    ] {
        let (verified, connections) = setting.verify(identity.server()).await;
        assert_fault(&verified, words, owner, hint, false);
        assert_eq!(connections, 1, "{words}: a second try cannot change it");
    }
    assert!(setting.tracker.requests().is_empty(), "no key went to a host that was not proven");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_fails_is_reported_by_what_the_server_did() {
    let setting = Setting::new(&[("UPSTREAM_CONNECT_TIMEOUT_MS", "400")]).await;
    let trusted = &setting.trusted;
    let only_12: &[_] = &[&rustls::version::TLS12];
    let both: &[_] = &[&rustls::version::TLS13, &rustls::version::TLS12];
    for (front, words, owner, retried) in [
        (Front::Plain, "does not speak TLS", "you", false),
        (Front::Alert(PROTOCOL_VERSION), "no common version", "tracker_admin", false),
        (Front::Alert(HANDSHAKE_FAILURE), "no common version", "tracker_admin", false),
        (Front::Alert(UNRECOGNIZED_NAME), "no host of this name", "you", false),
        (trusted.issue(GOOD).demanding(trusted, both), "demands a client certificate", "tracker_admin", false),
        (trusted.issue(GOOD).demanding(trusted, only_12), "demands a client certificate", "tracker_admin", false),
        (Front::HangUp, "hung up during the handshake", "tracker_admin", true),
        (Front::Reset, "hung up during the handshake", "tracker_admin", true),
        (Front::Silence, "was silent during the handshake", "tracker_admin", true),
    ] {
        let (verified, connections) = setting.verify(front).await;
        assert_fault(&verified, words, owner, "", retried);
        assert_eq!(connections > 1, retried, "{words}: {connections} connections");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_private_authority_is_trusted_where_the_operator_says_so() {
    let setting = Setting::new(&[]).await;
    let (verified, _) = setting.verify(setting.trusted.issue(GOOD).server()).await;
    assert_eq!(verified["status"], "ok", "{verified}");
    let stages: Vec<_> = verified["stages"].as_array().expect("stages").iter().map(|stage| &stage["status"]).collect();
    assert_eq!(stages, ["ok"; 6]);
    let front = TlsFront::before(&setting.tracker.url, setting.trusted.issue(GOOD).server()).await;
    let user = setting.app.user("acme", Plan::Pro);
    let id = user.add(affise(&front.url)).await;
    let stats = format!("/api/v1/connections/{id}/stats?group_by=date&from=2026-11-16&to=2026-11-22");
    assert!(user.get(&stats).await.ok(200)["row_count"].is_number());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_servers_own_certificate_can_be_trusted_as_openssl_makes_it_but_only_for_its_name_and_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("authorities.pem");
    let openssl = Says { authority: true, ..GOOD };
    let own = Identity::self_signed(openssl);
    let elsewhere = Identity::self_signed(Says { name: Some("other.example"), ..openssl });
    let expired = Identity::self_signed(Says { from: -60, to: -30, ..openssl });
    let pem = [&own, &elsewhere, &expired].map(Identity::pem).concat();
    std::fs::write(&file, pem).expect("a file");
    let app = TestApp::with(&[("EGRESS_CA_FILE", file.to_str().expect("a path"))]).await;
    let (user, tracker) = (app.user("acme", Plan::Pro), Simulator::start(Affise::default()));
    for (identity, outcome, words) in
        [(own, "ok", ""), (elsewhere, "inconclusive", "wrong name"), (expired, "inconclusive", "expired")]
    {
        let front = TlsFront::before(&tracker.url, identity.server()).await;
        let verified = user.post(DRY_RUN, &affise(&front.url)).await.ok(200);
        assert_eq!(verified["status"], outcome, "{words}: {verified}");
        assert!(verified["failure"].to_string().contains(words), "{verified}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pull_meets_the_same_cause_and_the_connections_status_stays() {
    let setting = Setting::new(&[]).await;
    let user = setting.app.user("acme", Plan::Pro);
    let expired = setting.trusted.issue(Says { from: -60, to: -30, ..GOOD });
    let front = TlsFront::before(&setting.tracker.url, expired.server()).await;
    let created = user.post("/api/v1/connections?verify=deferred", &affise(&front.url)).await.ok(201);
    let path = format!("/api/v1/connections/{}", created["id"].as_str().expect("an id"));
    let stats = format!("{path}/stats?group_by=date&from=2026-11-16&to=2026-11-22");
    let problem = user.get(&stats).await.problem(502, "upstream_unavailable");
    assert!(problem["detail"].as_str().expect("a detail").contains("has expired"), "{problem}");
    assert!(problem["hint"].as_str().expect("a hint").contains("renew"), "{problem}");
    assert_eq!(user.get(&path).await.ok(200)["status"], "unverified");
}
