//! Who may ask for what: good and bad tokens, scopes on every operation, services, and other organisations.

use affzero_connections::auth::{Grant, install_provider, mint};
use affzero_connections::http::openapi;
use affzero_connections::tenancy::Plan;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header, get_current_timestamp};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};

use crate::app::{Answer, SECRET, TestApp, User};
use crate::support::tracker::{Reply, Request, Simulator, Tracker};

const SCOPES: [&str; 3] = ["connections:read", "connections:write", "stats:read"];
const ALL_SCOPES: &str = "connections:read connections:write stats:read";

/// An operation, as the document has it, with its path filled in.
struct Operation {
    id: String,
    method: String,
    path: String,
    is_open: bool,
}

impl Operation {
    /// What a token needs for it; `None` where any will do.
    fn scope(&self) -> Option<&'static str> {
        match self.id.as_str() {
            "list_platforms" | "show_platform" => None,
            "show_usage"
            | "list_connections"
            | "show_connection"
            | "list_verifications"
            | "list_automations"
            | "list_audit_events"
            | "list_events"
            | "list_webhooks"
            | "show_webhook"
            | "list_webhook_deliveries" => Some("connections:read"),
            "create_connection"
            | "try_connection"
            | "update_connection"
            | "delete_connection"
            | "verify_connection"
            | "create_webhook"
            | "update_webhook"
            | "delete_webhook"
            | "test_webhook"
            | "rotate_webhook_secret" => Some("connections:write"),
            "connection_stats" | "stats" | "dimension_values" => Some("stats:read"),
            other => panic!("{other} is new: say which scope it needs"),
        }
    }

    fn body(&self) -> Option<Value> {
        match self.id.as_str() {
            "create_connection" => Some(json!({"name": "Another", "platform": "demo"})),
            "try_connection" => Some(json!({"platform": "demo"})),
            "update_connection" => Some(json!({"name": "Renamed"})),
            "create_webhook" => Some(json!({ "url": RECEIVER })),
            "update_webhook" => Some(json!({"description": "Renamed"})),
            _ => None,
        }
    }

    async fn send(&self, user: &User<'_>, headers: &[(&str, &str)]) -> Answer {
        user.send(&self.method, &self.path, headers, self.body().as_ref()).await
    }
}

const NONE: &str = "01990000-0000-7000-8000-000000000000";

/// A receiver of webhooks that nobody is.
const RECEIVER: &str = "http://127.0.0.1:9/hook";

async fn add_webhook(user: &User<'_>) -> String {
    let created = user.post("/api/v1/webhooks", &json!({ "url": RECEIVER })).await.ok(201);
    created["id"].as_str().expect("an id").to_owned()
}

/// Every operation, those on a connection or a webhook for this one; deletions last.
fn operations(connection: &str, webhook: &str) -> Vec<Operation> {
    let document: Value = serde_json::from_str(openapi::document()).expect("the document");
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("methods") {
            let query = if path.ends_with("/stats") { "?group_by=date&preset=today" } else { "" };
            let id = if path.starts_with("/api/v1/webhooks/") { webhook } else { connection };
            let path = path.replace("{id}", id).replace("{platform}", "demo").replace("{code}", "internal");
            let path = path.replace("{dimension}", "affiliate");
            operations.push(Operation {
                id: operation["operationId"].as_str().expect("an id").to_owned(),
                method: method.to_uppercase(),
                path: format!("{path}{query}"),
                is_open: operation["security"] == json!([{}]),
            });
        }
    }
    operations.sort_by_key(|operation| operation.method == "DELETE");
    operations
}

/// A token of these claims, signed with a secret.
fn signed(algorithm: Algorithm, secret: &str, claims: &Value) -> String {
    let key = EncodingKey::from_secret(secret.as_bytes());
    install_provider();
    jsonwebtoken::encode(&Header::new(algorithm), claims, &key).expect("a token")
}

fn claims() -> Value {
    json!({"sub": "user-1", "org": "acme", "plan": "pro", "scope": ALL_SCOPES, "exp": get_current_timestamp() + 600})
}

/// The claims with some members changed, or taken away with `null`.
fn claims_but(changes: &Value) -> Value {
    let mut claims = claims();
    for (key, value) in changes.as_object().expect("members") {
        claims[key] = value.clone();
    }
    claims.as_object_mut().expect("members").retain(|_, value| !value.is_null());
    claims
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_token_only_the_open_addresses_answer() {
    let app = TestApp::start().await;
    for operation in operations(NONE, NONE) {
        let body = operation.body().map(|body| body.to_string().into_bytes());
        let headers = [("content-type", "application/json")];
        let answer = app.send(&operation.method, &operation.path, &headers, body).await;
        if operation.is_open {
            assert_eq!(answer.status, 200, "{}", operation.id);
        } else {
            answer.problem(401, "unauthorized");
            let challenge = answer.header("www-authenticate").expect("a challenge");
            assert!(challenge.starts_with("Bearer "), "{challenge}");
        }
    }
    for (kind, body) in [("text/plain", "x"), ("application/json", "{"), ("application/json", &" ".repeat(70_000))] {
        let answer = app.send("POST", "/api/v1/connections", &[("content-type", kind)], Some(body.into())).await;
        answer.problem(401, "unauthorized");
    }
    for path in [
        "/console/",
        "/console/console.js",
        "/api-docs/openapi.json",
        "/swagger-ui/",
        "/healthz",
        "/readyz",
        "/problems/internal",
    ] {
        assert_eq!(app.anonymous("GET", path).await.status, 200, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_token_is_believed_and_every_bad_one_refused() {
    let app = TestApp::start().await;
    let now = get_current_timestamp();
    let good = signed(Algorithm::HS256, SECRET, &claims());
    assert_eq!(app.holder(&good).get("/api/v1/usage").await.status, 200);

    let (head, rest) = good.split_once('.').expect("three parts");
    let (body, signature) = rest.split_once('.').expect("three parts");
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let bad = [
        String::new(),
        "garbage".to_owned(),
        "a.b.c".to_owned(),
        "..".to_owned(),
        "x".repeat(20_000),
        format!("{head}.{body}."),
        format!("{head}.{body}"),
        format!("{good}.{signature}"),
        format!("{head}.{}.{signature}", part(claims_but(&json!({"org": "other"})))),
        format!("{}.{body}.", part(json!({"alg": "none", "typ": "JWT"}))),
        format!("{}.{body}.{signature}", part(json!({"alg": "none"}))),
        format!("{}.{body}.{signature}", part(json!({"alg": "HS384"}))),
        format!("{}.{body}.{signature}", part(json!({"alg": "RS256", "jwk": {"kty": "oct", "k": "AAAA"}}))),
        signed(Algorithm::HS512, SECRET, &claims()),
        signed(Algorithm::HS384, SECRET, &claims()),
        signed(Algorithm::HS256, "another secret, which is also long enough", &claims()),
        signed(Algorithm::HS256, "", &claims()),
        signed(Algorithm::HS256, SECRET, &claims_but(&json!({"exp": now - 3_600}))),
        signed(Algorithm::HS256, SECRET, &claims_but(&json!({"exp": null}))),
        signed(Algorithm::HS256, SECRET, &claims_but(&json!({"exp": "soon"}))),
        signed(Algorithm::HS256, SECRET, &claims_but(&json!({"nbf": now + 3_600}))),
        signed(Algorithm::HS256, SECRET, &claims_but(&json!({"org": ""}))),
        signed(Algorithm::HS256, SECRET, &claims_but(&json!({"org": "  "}))),
        signed(Algorithm::HS256, SECRET, &claims_but(&json!({"org": null}))),
        signed(Algorithm::HS256, SECRET, &claims_but(&json!({"org": ["acme"]}))),
        signed(Algorithm::HS256, SECRET, &claims_but(&json!({"org": "a\u{0}b"}))),
        signed(Algorithm::HS256, SECRET, &claims_but(&json!({"plan": "gold"}))),
        signed(Algorithm::HS256, SECRET, &json!([])),
    ];
    for token in bad {
        let answer = app.holder(&token).get("/api/v1/usage").await;
        answer.problem(401, "unauthorized");
        assert!(answer.header("www-authenticate").is_some_and(|text| text.starts_with("Bearer ")));
        assert!(token.len() < 10 || !answer.text.contains(&token), "the token is not repeated");
    }
    for header in
        ["", "Bearer", "bearer", "Basic dXNlcjpwYXNz", &good, &format!("Token {good}"), &format!("Bearer{good}")]
    {
        app.send("GET", "/api/v1/usage", &[("authorization", header)], None).await.problem(401, "unauthorized");
    }
    for header in [format!("bearer {good}"), format!("BEARER   {good} ")] {
        assert_eq!(app.send("GET", "/api/v1/usage", &[("authorization", &header)], None).await.status, 200, "{header}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn issuer_and_audience_are_checked_where_they_are_configured() {
    let app = TestApp::with(&[("AUTH_JWT_ISSUER", "https://login.test/"), ("AUTH_JWT_AUDIENCE", "connections")]).await;
    for (changes, status) in [
        (json!({"iss": "https://login.test/", "aud": "connections"}), 200),
        (json!({"iss": "https://login.test/", "aud": ["other", "connections"]}), 200),
        (json!({"iss": "https://login.test/"}), 401),
        (json!({"aud": "connections"}), 401),
        (json!({"iss": "https://evil.test/", "aud": "connections"}), 401),
        (json!({"iss": "https://login.test/", "aud": "other"}), 401),
        (json!({"iss": "https://login.test/", "aud": []}), 401),
    ] {
        let token = signed(Algorithm::HS256, SECRET, &claims_but(&changes));
        assert_eq!(app.holder(&token).get("/api/v1/usage").await.status, status, "{changes}");
    }
    assert_eq!(app.user("acme", Plan::Pro).get("/api/v1/usage").await.status, 200, "minted tokens carry both");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_needs_its_scope_and_no_other() {
    let app = TestApp::start().await;
    let id = app.user("acme", Plan::Pro).add_demo("Try").await;
    let webhook = add_webhook(&app.user("acme", Plan::Pro)).await;
    for operation in operations(&id, &webhook).iter().filter(|operation| !operation.is_open) {
        let needed = operation.scope();
        let others = SCOPES.into_iter().filter(|scope| Some(*scope) != needed).collect::<Vec<_>>().join(" ");
        for scopes in [others.as_str(), "", "openid profile", "connections:READ connections", "connections:*"] {
            let answer = operation.send(&app.holder(&token(scopes)), &[]).await;
            match needed {
                Some(scope) => {
                    let problem = answer.problem(403, "forbidden");
                    assert!(problem["detail"].as_str().expect("a detail").contains(scope), "{problem}");
                }
                None => assert_eq!(answer.status, 200, "{}", operation.id),
            }
        }
        let answer = operation.send(&app.holder(&token(needed.unwrap_or_default())), &[]).await;
        assert!((200..300).contains(&answer.status), "{}: {}", operation.id, answer.text);
    }
}

fn token(scope: &str) -> String {
    signed(Algorithm::HS256, SECRET, &claims_but(&json!({"scope": scope})))
}

#[tokio::test(flavor = "multi_thread")]
async fn another_organisation_finds_nothing_here() {
    let app = TestApp::start().await;
    let owner = app.user("acme", Plan::Pro);
    let id = owner.add_demo("Try").await;
    let stranger = app.user("other", Plan::Business);
    let webhook = add_webhook(&owner).await;
    let mut tried = 0;
    let is_on_one = |path: &str| path.contains(&id) || path.contains(&webhook);
    for operation in operations(&id, &webhook).iter().filter(|operation| is_on_one(&operation.path)) {
        operation.send(&stranger, &[]).await.problem(404, "not_found");
        tried += 1;
    }
    assert_eq!(tried, 8 + 6, "all operations on a connection or a webhook");
    let many = stranger.get(&format!("/api/v1/stats?group_by=date&preset=today&connection_id={id}")).await.ok(200);
    assert_eq!(many["results"], json!([]));
    assert_eq!(many["failures"][0]["problem"]["code"], "not_found");
    assert_eq!(stranger.get("/api/v1/webhooks").await.ok(200)["data"], json!([]));
    for path in ["/api/v1/connections", "/api/v1/audit-events", &format!("/api/v1/audit-events?connection_id={id}")] {
        assert_eq!(stranger.get(path).await.ok(200)["data"], json!([]), "{path}");
    }
    assert_eq!(stranger.get("/api/v1/usage").await.ok(200)["demo_used"], 0);
    assert_eq!(owner.get(&format!("/api/v1/connections/{id}")).await.ok(200)["name"], "Try");

    assert_eq!(owner.delete(&format!("/api/v1/connections/{id}")).await.status, 204);
    for operation in operations(&id, &webhook).iter().filter(|operation| is_on_one(&operation.path)) {
        operation.send(&stranger, &[]).await.problem(404, "not_found");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_of_an_organisation_cannot_name_another() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Starter);
    for named in ["other", "ACME", "acme,other"] {
        user.send("GET", "/api/v1/usage", &[("x-org-id", named)], None).await.problem(403, "forbidden");
    }
    assert_eq!(user.send("GET", "/api/v1/usage", &[("x-org-id", "acme")], None).await.status, 200);
    let usage = user.send("GET", "/api/v1/usage", &[("x-org-plan", "business")], None).await.ok(200);
    assert_eq!(usage["plan"], "starter", "a user cannot choose a plan");
    for plan in ["", "gold"] {
        user.send("GET", "/api/v1/usage", &[("x-org-plan", plan)], None).await.problem(400, "malformed_request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_says_why_and_what_to_do() {
    let app = TestApp::start().await;
    let why = |problem: Value| {
        assert!(problem["hint"].as_str().is_some_and(|hint| !hint.is_empty()), "{problem}");
        problem["detail"].as_str().expect("a detail").to_owned()
    };
    let path = "/api/v1/connections";
    let none = why(app.anonymous("GET", path).await.problem(401, "unauthorized"));
    assert!(none.contains("no bearer token"), "{none}");
    let basic = app.send("GET", path, &[("authorization", "Basic dXNlcg==")], None).await;
    assert!(why(basic.problem(401, "unauthorized")).contains("Bearer"));
    let part = |json: Value| URL_SAFE_NO_PAD.encode(json.to_string());
    let unsigned = |header: Value, claims: Value| format!("{}.{}.c2ln", part(header), part(claims));
    for (token, said) in [
        ("0123456789abcdef".to_owned(), "not a JWT"),
        (unsigned(json!({"alg": "Ed25519"}), json!({})), "HS256"),
        (unsigned(json!({"alg": "RS256"}), json!({})), "HS256"),
    ] {
        let detail = why(app.holder(&token).get(path).await.problem(401, "unauthorized"));
        assert!(detail.contains(said), "{detail}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_serves_an_organisation_whose_id_is_not_ascii() {
    let app = TestApp::start().await;
    app.user("組織", Plan::Pro).add_demo("Try").await;
    let service = app.user_with_scope("any", Plan::Pro, "org:any connections:read");
    for written in ["UTF-8''%E7%B5%84%E7%B9%94", "utf-8''%e7%b5%84%e7%b9%94"] {
        let listed = service.send("GET", "/api/v1/connections", &[("x-org-id", written)], None).await.ok(200);
        assert_eq!(listed["data"][0]["name"], "Try", "{written}");
    }
    for broken in ["UTF-8''%FF", "UTF-8''", "UTF-8''%0A"] {
        let answer = service.send("GET", "/api/v1/connections", &[("x-org-id", broken)], None).await;
        answer.problem(400, "malformed_request");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_names_the_organisation_on_each_call_and_the_plan_where_it_counts() {
    let app = TestApp::start().await;
    let mut grant = Grant::new("ignored".parse().expect("an organisation"), Plan::Pro);
    grant.scope = format!("org:any {ALL_SCOPES}");
    let service = app.holder(&mint(&app.config.auth, &grant).expect("a token"));
    let id = app.user("acme", Plan::Pro).add_demo("Try").await;
    let webhook = add_webhook(&app.user("acme", Plan::Pro)).await;
    for operation in operations(&id, &webhook).iter().filter(|operation| !operation.is_open) {
        let unnamed = operation.send(&service, &[]).await;
        if operation.scope().is_some() {
            unnamed.problem(400, "malformed_request");
        } else {
            // The catalogue is no organisation's.
            unnamed.ok(200);
            operation.send(&service, &[("x-org-plan", "gold")]).await.problem(400, "malformed_request");
        }
        operation.send(&service, &[("x-org-id", "")]).await.problem(400, "malformed_request");
        operation.send(&service, &[("x-org-id", &"x".repeat(129))]).await.problem(400, "malformed_request");
        let bad_plan = [("x-org-id", "acme"), ("x-org-plan", "gold")];
        operation.send(&service, &bad_plan).await.problem(400, "malformed_request");
        let needs_plan = ["create_connection", "show_usage"].contains(&operation.id.as_str());
        let answer = operation.send(&service, &[("x-org-id", "acme")]).await;
        if needs_plan {
            let problem = answer.problem(400, "malformed_request");
            assert!(problem["hint"].as_str().expect("a hint").contains("X-Org-Plan"), "{problem}");
        } else if operation.method != "DELETE" {
            assert!((200..300).contains(&answer.status), "{}: {}", operation.id, answer.text);
        }
        let answer = operation.send(&service, &[("x-org-id", "acme"), ("x-org-plan", "business")]).await;
        let is_gone = operation.id == "delete_webhook" && answer.status == 404;
        assert!(is_gone || (200..300).contains(&answer.status), "{}: {}", operation.id, answer.text);
    }
    let usage = service.send("GET", "/api/v1/usage", &[("x-org-id", "acme"), ("x-org-plan", "starter")], None).await;
    assert_eq!(usage.ok(200)["plan"], "starter");
    let listed = service.send("GET", "/api/v1/connections", &[("x-org-id", "other")], None).await.ok(200);
    assert_eq!(listed["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_without_a_scope_may_not_use_it_either() {
    let app = TestApp::start().await;
    let service = app.user_with_scope("ignored", Plan::Pro, "org:any connections:read");
    let named = [("x-org-id", "acme"), ("x-org-plan", "pro")];
    assert_eq!(service.send("GET", "/api/v1/connections", &named, None).await.status, 200);
    let body = json!({"name": "Try", "platform": "demo"});
    service.send("POST", "/api/v1/connections", &named, Some(&body)).await.problem(403, "forbidden");
    service.send("GET", "/api/v1/stats?group_by=date&preset=today", &named, None).await.problem(403, "forbidden");
}

/// An issuer; all it serves is its keys.
struct Issuer(Value);

impl Tracker for Issuer {
    fn answer(&self, _: &Request) -> Reply {
        Reply::json(200, &self.0)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_of_an_issuer_are_checked_with_its_published_keys() {
    let random = SystemRandom::new();
    let edwards = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
    let elliptic = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).expect("a key");
    let x = Ed25519KeyPair::from_pkcs8(edwards.as_ref()).expect("a key").public_key().as_ref().to_vec();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, elliptic.as_ref(), &random).expect("a key");
    let point = pair.public_key().as_ref()[1..].to_vec();
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let issuer = Simulator::start(Issuer(json!({"keys": [
        {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "use": "sig", "alg": "EdDSA", "x": encode(&x)},
        {"kty": "EC", "crv": "P-256", "kid": "ec", "use": "sig", "alg": "ES256", "x": encode(&point[..32]), "y": encode(&point[32..])},
    ]})));
    let app = TestApp::with(&[("AUTH_JWKS_URL", &format!("{}/keys", issuer.url))]).await;
    install_provider();
    let token = |algorithm, kid: &str, key: &EncodingKey| {
        let header = Header { kid: Some(kid.to_owned()), ..Header::new(algorithm) };
        jsonwebtoken::encode(&header, &claims(), key).expect("a token")
    };
    let (ed, ec) = (EncodingKey::from_ed_der(edwards.as_ref()), EncodingKey::from_ec_der(elliptic.as_ref()));
    for good in [token(Algorithm::EdDSA, "ed", &ed), token(Algorithm::ES256, "ec", &ec)] {
        assert_eq!(app.holder(&good).get("/api/v1/usage").await.status, 200);
    }
    let stranger = Ed25519KeyPair::generate_pkcs8(&random).expect("a key");
    for bad in [
        token(Algorithm::EdDSA, "ec", &ed),
        token(Algorithm::ES256, "ed", &ec),
        token(Algorithm::EdDSA, "ed", &EncodingKey::from_ed_der(stranger.as_ref())),
        token(Algorithm::EdDSA, "unknown", &ed),
        signed(Algorithm::HS256, SECRET, &claims()),
        // A public key is no secret: a token that is signed with it as one must be refused.
        token(Algorithm::HS256, "ed", &EncodingKey::from_secret(&x)),
    ] {
        app.holder(&bad).get("/api/v1/usage").await.problem(401, "unauthorized");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_issuer_that_cannot_be_reached_is_not_the_callers_fault() {
    let gone = Simulator::start(Issuer(json!({}))).url.clone();
    let app = TestApp::with(&[("AUTH_JWKS_URL", &format!("{gone}/keys"))]).await;
    let pair = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).expect("a key");
    let header = Header { kid: Some("ed".to_owned()), ..Header::new(Algorithm::EdDSA) };
    install_provider();
    let token = jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_ed_der(pair.as_ref())).expect("a token");
    let answer = app.holder(&token).get("/api/v1/usage").await;
    answer.problem(503, "overloaded");
    assert!(answer.header("retry-after").is_some());
}
