//! Callers behind a proxy.

use affzero_connections::tenancy::Plan;

use crate::app::TestApp;

#[tokio::test(flavor = "multi_thread")]
async fn behind_a_trusted_proxy_each_caller_is_one_of_its_own() {
    let app = TestApp::with(&[("RATE_LIMIT_AUTH_FAILURES", "2"), ("TRUSTED_PROXIES", "127.0.0.0/8, ::1")]).await;
    let refused =
        async |forwarded: &str| app.send("GET", "/api/v1/usage", &[("x-forwarded-for", forwarded)], None).await;
    for _ in 0..2 {
        refused("192.0.2.1").await.problem(401, "unauthorized");
    }
    refused("192.0.2.1").await.problem(429, "rate_limited");
    refused("203.0.113.7, 192.0.2.1").await.problem(429, "rate_limited");
    refused("192.0.2.2").await.problem(401, "unauthorized");

    let user = app.user("acme", Plan::Pro);
    let bearer = format!("Bearer {}", user.token());
    let body = br#"{"name":"Demo","platform":"demo"}"#.to_vec();
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
        ("x-forwarded-for", "203.0.113.7, 192.0.2.9, 127.0.0.1"),
    ];
    app.send("POST", "/api/v1/connections", &headers, Some(body)).await.ok(201);
    let events = user.get("/api/v1/audit-events").await.ok(200);
    assert_eq!(events["data"][0]["address"], "192.0.2.9", "{events}");
}
