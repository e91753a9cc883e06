//! The network between: cut, stalled, dripping, flooding, in every place of an answer and in every form of ours.

use std::time::{Duration, Instant};

use affzero_connections::tenancy::Plan;
use futures_util::StreamExt;
use futures_util::future::join_all;
use serde_json::{Value, json};

use super::{connect, report, uncached};
use crate::app::{Answer, TestApp, User};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::toxic::{At, Proxy, Stranger, Toxic, stranger};
use crate::support::tracker::Simulator;

/// A table of 168 rows: six pages of 30.
const LONG: &str = "group_by=date,hour&from=2026-09-07&to=2026-09-13";
const ROWS_OF_A_PAGE: usize = 30;
const FORMS: [&str; 3] = ["application/json", "application/x-ndjson", "text/csv"];

struct Line {
    app: TestApp,
    proxy: Proxy,
    id: String,
    _network: Simulator,
}

impl Line {
    async fn with(variables: &[(&str, &str)]) -> Self {
        let network = Simulator::start(Affise::default());
        let proxy = Proxy::before(&network.url).await;
        let app = uncached(variables).await;
        let id = connect(&app.user("acme", Plan::Pro), "Network", &proxy.url).await;
        Self { app, proxy, id, _network: network }
    }

    /// Pulls over a bad line; when it is good again, so is the next pull.
    async fn pull(&self, toxic: Toxic) -> Answer {
        let user = self.app.user("acme", Plan::Pro);
        self.proxy.turn(toxic);
        let started = Instant::now();
        let answer = user.get(&report(&self.id)).await;
        assert!(started.elapsed() < Duration::from_secs(30), "{toxic:?}: {:?}", started.elapsed());
        self.proxy.turn(Toxic::Pass);
        user.get(&report(&self.id)).await.ok(200);
        let shown = user.get(&format!("/api/v1/connections/{}", self.id)).await.ok(200);
        assert_eq!(shown["status"], "active");
        answer
    }
}

/// What each fault of the line is called.
fn faults() -> Vec<(Toxic, u16, &'static str)> {
    At::ALL
        .into_iter()
        .flat_map(|at| {
            [
                (Toxic::Cut(at), 502, "upstream_unavailable"),
                (Toxic::Stall(at), 504, "upstream_timeout"),
                (Toxic::Drip(at), 504, "upstream_timeout"),
            ]
        })
        .collect()
}

/// A body, and whether it ended as a whole body does.
async fn read(app: &TestApp, user: &User<'_>, path: &str, form: &str) -> (Answer, bool) {
    let bearer = format!("Bearer {}", user.token());
    let response = app.raw("GET", path, &[("authorization", &bearer), ("accept", form)], None).await;
    let (status, headers) = (response.status().as_u16(), response.headers().clone());
    let mut parts = response.bytes_stream();
    let (mut bytes, mut whole) = (Vec::new(), true);
    while let Some(part) = parts.next().await {
        match part {
            Ok(part) => bytes.extend_from_slice(&part),
            Err(_) => whole = false,
        }
    }
    (Answer { status, headers, text: String::from_utf8(bytes).expect("text") }, whole)
}

/// Each fault in each form of answer, each over a line of its own, after some good pages.
async fn over_bad_lines(good_pages: usize, check: impl Fn(&str, Toxic, (u16, &str), &Answer, bool)) {
    let network = Simulator::start(Affise { rows_per_page: ROWS_OF_A_PAGE, ..Affise::default() });
    let app = uncached(&[("STATS_DEADLINE_MS", "30000")]).await;
    let (app, network, check) = (&app, &network, &check);
    let cases = FORMS.into_iter().enumerate().flat_map(|(place, form)| {
        faults().into_iter().map(move |(toxic, status, code)| async move {
            let user = app.user(&format!("org-{place}-{toxic:?}"), Plan::Pro);
            let proxy = Proxy::before(&network.url).await;
            let id = connect(&user, "Network", &proxy.url).await;
            let path = format!("/api/v1/connections/{id}/stats?{LONG}");
            proxy.turn_after(good_pages, toxic);
            let (answer, whole) = read(app, &user, &path, form).await;
            check(form, toxic, (status, code), &answer, whole);
            // Nothing of it is left behind; the verification ends the pause of a breaker that has opened.
            proxy.turn(Toxic::Pass);
            let verified = user.post(&format!("/api/v1/connections/{id}/verify"), &json!({})).await.ok(200);
            assert_eq!(verified["status"], "ok", "{form} {toxic:?}");
            let (answer, whole) = read(app, &user, &path, form).await;
            assert!(answer.status == 200 && whole, "{form} {toxic:?}: {}", answer.text);
            let shown = user.get(&format!("/api/v1/connections/{id}")).await.ok(200);
            assert_eq!(shown["status"], "active", "{form} {toxic:?}");
        })
    });
    // A few at a time, so that only the line is slow.
    futures_util::stream::iter(cases).buffer_unordered(6).collect::<Vec<()>>().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn before_the_first_row_every_fault_has_its_status_in_every_form() {
    over_bad_lines(0, |form, toxic, (status, code), answer, whole| {
        assert_eq!(answer.status, status, "{form} {toxic:?}: {}", answer.text);
        answer.problem(status, code);
        assert!(whole, "{form} {toxic:?}");
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_middle_a_page_and_a_file_have_their_status_and_a_stream_has_no_end() {
    over_bad_lines(1, |form, toxic, (status, code), answer, whole| match form {
        // A short file is complete before its first byte leaves.
        "application/json" | "text/csv" => drop(answer.problem(status, code)),
        _ => {
            assert_eq!((answer.status, whole), (200, false), "{toxic:?}");
            let lines: Vec<Value> =
                answer.text.lines().map(|line| serde_json::from_str(line).expect("whole lines")).collect();
            assert_eq!(lines.len(), ROWS_OF_A_PAGE + 1, "{toxic:?}");
            assert_eq!(lines[ROWS_OF_A_PAGE]["problem"]["code"], code, "{toxic:?}");
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_whole_report_has_one_deadline_however_alive_the_line_looks() {
    for toxic in [Toxic::Stall(At::Body), Toxic::Drip(At::Start)] {
        Line::with(&[("STATS_DEADLINE_MS", "1500")]).await.pull(toxic).await.problem(504, "upstream_timeout");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_comes_to_nothing_is_reported_with_its_cause() {
    let app = uncached(&[("UPSTREAM_CONNECT_TIMEOUT_MS", "1500"), ("UPSTREAM_TIMEOUT_MS", "4000")]).await;
    let cases = [
        (Stranger::Says(b""), 502, "upstream_unavailable"),
        (Stranger::Says(&[0x16, 3, 3, 0, 122, 2, 0, 0]), 502, "upstream_unavailable"),
        (Stranger::Says(b"HTTP/1.1 400 Bad Request\r\n\r\n"), 502, "upstream_unavailable"),
        (Stranger::IsSilent, 502, "upstream_unavailable"),
        (Stranger::Drips, 502, "upstream_unavailable"),
    ];
    let app = &app;
    join_all(cases.into_iter().enumerate().map(|(place, (what, status, code))| async move {
        let user = app.user(&format!("org-{place}"), Plan::Pro);
        let body = json!({
            "name": "Network", "platform": "affise", "connection_type": "admin",
            "settings": { "base_url": stranger(what).await }, "credentials": { "api_key": ADMIN_KEY },
        });
        let created = user.post("/api/v1/connections?verify=deferred", &body).await.ok(201);
        let id = created["id"].as_str().expect("an id");
        for form in FORMS {
            let path = format!("/api/v1/connections/{id}/stats?{LONG}");
            let answer = user.send("GET", &path, &[("accept", form)], None).await;
            assert_eq!(answer.status, status, "{what:?}: {}", answer.text);
            answer.problem(status, code);
        }
    }))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gibibyte_is_not_taken() {
    let line = Line::with(&[("UPSTREAM_TIMEOUT_MS", "25000")]).await;
    let problem = line.pull(Toxic::Flood).await.problem(502, "upstream_protocol_error");
    assert!(problem["detail"].as_str().expect("a detail").contains("32 MiB"), "{problem}");
    // What the service reads, and what lies in socket buffers.
    assert!(line.proxy.sent() < 64 << 20, "{}", line.proxy.sent());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gzip_bomb_is_not_unpacked() {
    let line = Line::with(&[("UPSTREAM_TIMEOUT_MS", "25000")]).await;
    let problem = line.pull(Toxic::Bomb).await.problem(502, "upstream_protocol_error");
    assert!(problem["detail"].as_str().expect("a detail").contains("32 MiB"), "{problem}");
}
