//! What an operator sees of a running service: its metrics, its log and its readiness.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use affzero_connections::platforms::{Pair, Platform};
use affzero_connections::tenancy::Plan;
use jiff::tz::TimeZone;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::app::{TestApp, client};
use crate::connections::eventually;
use crate::process::{Service, run};
use crate::support::affise::{ADMIN_KEY, Affise};
use crate::support::samples::{self, Address, Sample};
use crate::support::tracker::{Fault, Reply, Simulator};

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const PARENT: &str = "00f067aa0ba902b7";

#[test]
fn bytes_that_are_no_http_are_answered_and_make_no_error_line() {
    let watched = Watched::start(&[]);
    let address = watched.service.url.trim_start_matches("http://");
    let mut caller = TcpStream::connect(address).expect("a connection");
    caller.write_all(b"GARBAGE\r\n\r\n").expect("sent");
    let mut answer = String::new();
    caller.read_to_string(&mut answer).expect("an answer");
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let (status, written) = watched.service.stop();
    assert!(status.success());
    assert!(written.contains("stopped") && !written.contains("ERROR"), "{written}");
}

/// Names and values.
type Variables = Vec<(String, String)>;

/// A running service with metrics, and an account at an Affise network.
struct Watched {
    service: Service,
    metrics: String,
    token: String,
    network: Simulator,
    _folder: TempDir,
}

impl Watched {
    fn start(variables: &[(&str, &str)]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut all = vec![("METRICS_ADDR", "127.0.0.1:0"), ("LOG_FORMAT", "json"), ("EGRESS_ALLOW", "127.0.0.0/8")];
        all.extend_from_slice(variables);
        let service = Service::start(folder.path(), &all);
        let (metrics, token) = (service.wait_for("metrics: "), service.wait_for("valid for a day): "));
        Self { service, metrics, token, network: Simulator::start(Affise::default()), _folder: folder }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: Option<&Value>) -> (u16, String) {
        let mut request = client()
            .request(method.parse().expect("a method"), format!("{}{path}", self.service.url))
            .bearer_auth(&self.token);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(body) = body {
            request = request.header("content-type", "application/json").body(body.to_string());
        }
        let response = request.send().await.expect("an answer");
        (response.status().as_u16(), response.text().await.expect("a whole body"))
    }

    async fn add(&self, body: &Value) -> String {
        let (status, text) = self.send("POST", "/api/v1/connections", &[], Some(body)).await;
        assert_eq!(status, 201, "{text}");
        serde_json::from_str::<Value>(&text).expect("JSON")["id"].as_str().expect("an id").to_owned()
    }

    async fn add_network(&self) -> String {
        self.add(&json!({
            "name": "Network", "platform": "affise", "connection_type": "admin",
            "settings": { "base_url": self.network.url }, "credentials": { "api_key": ADMIN_KEY },
        }))
        .await
    }

    async fn scrape(&self) -> String {
        client().get(&self.metrics).send().await.expect("an answer").text().await.expect("text")
    }

    /// The value of a series, written as Prometheus does.
    async fn value(&self, series: &str) -> Option<f64> {
        let text = self.scrape().await;
        text.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
    }

    /// Stops the service and reads its log.
    fn log(self) -> Vec<Value> {
        let (_, written) = self.service.stop();
        written.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| panic!("{line}"))).collect()
    }
}

fn stats(id: &str) -> String {
    format!("/api/v1/connections/{id}/stats?group_by=date&from=2026-09-01&to=2026-09-02")
}

fn with_message<'a>(log: &'a [Value], message: &str) -> Vec<&'a Value> {
    log.iter().filter(|line| line["message"] == message).collect()
}

fn of_request<'a>(log: &'a [Value], id: &str) -> Vec<&'a Value> {
    log.iter().filter(|line| line["span"]["request_id"] == id).collect()
}

/// Every label and its values.
fn labels(metrics: &str) -> BTreeMap<String, BTreeSet<String>> {
    let mut labels: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for line in metrics.lines().filter(|line| !line.starts_with('#')) {
        let Some((_, rest)) = line.split_once('{') else { continue };
        let (inside, _) = rest.rsplit_once('}').expect("an end");
        // Routes have braces and commas of their own, so labels are cut at their quotes.
        let mut parts = inside.split('"');
        while let (Some(name), Some(value)) = (parts.next(), parts.next()) {
            let name = name.trim_matches([',', '=', ' ']).to_owned();
            labels.entry(name).or_default().insert(value.to_owned());
        }
    }
    labels
}

/// One connection of each pair whose simulator can be reached, and the variables that lead there.
fn all_trackers() -> (Vec<(Sample, Option<Simulator>)>, Variables) {
    let today = TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date();
    let mut trackers = Vec::new();
    let mut variables = Variables::new();
    for pair in Pair::ALL {
        let mut sample = samples::of(pair, today).into_iter().next().expect("a sample");
        let shared = match sample.address {
            Address::Gateway(name) => variables.iter().any(|(known, _)| known == name),
            Address::Setting(..) | Address::Nowhere => false,
        };
        let simulator = sample.tracker.take().filter(|_| !shared).map(Simulator::start);
        if let (Address::Gateway(name), Some(simulator)) = (sample.address, &simulator) {
            variables.push((name.to_owned(), simulator.url.clone()));
        }
        trackers.push((sample, simulator));
    }
    (trackers, variables)
}

#[tokio::test(flavor = "multi_thread")]
async fn labels_come_from_closed_sets_after_traffic_on_all_platforms() {
    let (trackers, gateways) = all_trackers();
    let mut variables = vec![("PLAN_LIMITS", "business=1000")];
    variables.extend(gateways.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    let watched = Watched::start(&variables);
    let mut private = vec!["acme".to_owned(), "dev".to_owned(), "Canary".to_owned(), "127.0.0.1".to_owned()];
    for (sample, simulator) in &trackers {
        let url = simulator.as_ref().map(|simulator| simulator.url.clone()).unwrap_or_default();
        let body = |credentials: &samples::Texts| {
            let object = |texts: samples::Texts| -> Value {
                texts
                    .into_iter()
                    .map(|(key, value)| (key.to_owned(), Value::from(value)))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            };
            json!({
                "name": format!("Canary {}", sample.name()), "platform": sample.pair.platform(),
                "connection_type": sample.pair.connection_type(),
                "settings": object(sample.settings_at(&url)), "credentials": object(credentials.clone()),
            })
        };
        let id = watched.add(&body(&sample.credentials)).await;
        watched.send("POST", "/api/v1/connections/verify", &[], Some(&body(&sample.wrong))).await;
        let pull = format!("/api/v1/connections/{id}/stats?group_by=date&preset=yesterday");
        for accept in ["application/json", "application/json", "application/x-ndjson", "text/csv"] {
            let (status, text) = watched.send("GET", &pull, &[("accept", accept)], None).await;
            assert_eq!(status, 200, "{}: {text}", sample.name());
        }
        if let Some(simulator) = simulator {
            simulator.inject([Fault::Instead(Reply::json(429, &json!({})).with_header("retry-after", "3600"))]);
            watched.send("GET", &pull, &[("cache-control", "no-cache")], None).await;
            private.push(simulator.url.trim_start_matches("http://").to_owned());
        }
        watched.send("DELETE", &format!("/api/v1/connections/{id}"), &[], None).await;
        private.push(id);
    }
    for (method, path) in [
        ("GET", "/canary/nowhere"),
        ("CANARY", "/api/v1/connections"),
        ("PROPFIND", "/canary"),
        ("GET", "/api/v1/connections/canary"),
        ("GET", "/api/v1/platforms/canary"),
        ("GET", "/problems/canary"),
        ("GET", "/swagger-ui/canary"),
        ("GET", "/console/canary"),
        ("GET", "/api/v1/connections?canary=1"),
    ] {
        watched.send(method, path, &[], None).await;
    }

    let text = watched.scrape().await;
    for word in &private {
        assert!(!text.contains(word.as_str()), "{word} is in the metrics");
    }
    let document: Value = serde_json::from_str(affzero_connections::http::openapi::document()).expect("the document");
    let mut routes: BTreeSet<&str> = document["paths"].as_object().expect("paths").keys().map(String::as_str).collect();
    routes.extend(["unmatched", "/swagger-ui/{_:.*}", "/console/{file:[^/]*}"]);
    let methods = ["GET", "HEAD", "POST", "PATCH", "PUT", "DELETE", "OPTIONS", "other"];
    let built_in = run(std::env::temp_dir().as_path(), &["--version"], &[]).stdout;
    let built_in = String::from_utf8(built_in).expect("text");
    let is_word = |value: &str| value.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
    let found = labels(&text);
    for (label, values) in &found {
        for value in values {
            let known = match label.as_str() {
                "route" => routes.contains(value.as_str()),
                "method" => methods.contains(&value.as_str()),
                "status" => value.len() == 3 && value.bytes().all(|byte| byte.is_ascii_digit()),
                "platform" => Platform::ALL.iter().any(|platform| platform.key() == value),
                "le" => value == "+Inf" || value.parse::<f64>().is_ok(),
                "version" => value == env!("CARGO_PKG_VERSION"),
                // As they are printed by `--version`.
                "commit" | "zone_tables" | "sqlite" | "libpq" => built_in.contains(value.as_str()),
                "outcome" | "state" | "form" | "work" | "task" | "operation" => is_word(value),
                _ => panic!("the label {label} is new: say here what its values may be"),
            };
            assert!(known, "{label}=\"{value}\"");
        }
    }
    let called: BTreeSet<&str> = found["platform"].iter().map(String::as_str).collect();
    assert_eq!(called.len(), Platform::ALL.len(), "{called:?}");
    assert!(found["outcome"].contains("refused") && found["outcome"].contains("rate_limited"));
    assert!(found["route"].contains("unmatched") && found["method"].contains("other"));
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_and_connections_that_have_not_changed_are_not_read_again_from_sqlite() {
    const TIMES: u32 = 60;
    let watched = Watched::start(&[]);
    let id = watched.add(&json!({ "name": "Try", "platform": "demo", "connection_type": "admin" })).await;
    let list = "/api/v1/connections".to_owned();
    let reads = async |paths: Vec<String>| {
        let count = async || watched.value("affzero_db_acquire_seconds_count").await.expect("a count");
        let before = count().await;
        for path in paths {
            assert_eq!(watched.send("GET", &path, &[], None).await.0, 200, "{path}");
        }
        count().await - before
    };
    let times = usize::try_from(TIMES).expect("few");
    // Pages that were not asked for before have to be read, which shows that reads are counted.
    let others = reads((1..=TIMES).map(|limit| format!("{list}?limit={limit}")).collect()).await;
    assert!(others >= f64::from(TIMES), "{others}");
    // A few are left to the work in the background.
    let again = reads(vec![list.clone(); times]).await;
    assert!(again < f64::from(TIMES) / 2.0, "{again}");
    let one = reads(vec![format!("{list}/{id}"); times]).await;
    assert!(one < f64::from(TIMES) / 2.0, "{one}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pool_keys_streams_retries_and_process_are_measured() {
    let watched = Watched::start(&[("STATS_CACHE_TTL_S", "60")]);
    let id = watched.add_network().await;
    watched.network.inject([Fault::Instead(Reply::text(503, "text/plain", "later"))]);
    let pull = stats(&id);
    for _ in 0..2 {
        assert_eq!(watched.send("GET", &pull, &[], None).await.0, 200);
    }
    watched.send("GET", &pull, &[("accept", "application/x-ndjson")], None).await;
    watched.send("GET", &pull, &[("accept", "text/csv")], None).await;
    // A web page may be one of the moment, so it is asked for once more.
    watched.network.inject([Fault::Instead(Reply::html(200)), Fault::Instead(Reply::html(200))]);
    watched.send("GET", &pull, &[("accept", "text/csv")], None).await;

    for (series, value) in [
        ("affzero_upstream_retries_total{platform=\"affise\"}", 2.0),
        ("affzero_stats_cache_total{outcome=\"hit\"}", 1.0),
        ("affzero_stats_cache_total{outcome=\"miss\"}", 1.0),
        ("affzero_streams_total{form=\"ndjson\",outcome=\"whole\"}", 1.0),
        ("affzero_streams_total{form=\"csv\",outcome=\"whole\"}", 1.0),
        ("affzero_requests_in_flight", 0.0),
        ("affzero_db_up", 1.0),
        ("affzero_db_connections_max", 8.0),
        ("affzero_db_waiting", 0.0),
        ("affzero_key_ring_keys", 1.0),
        ("affzero_key_ring_rotated_timestamp_seconds", 0.0),
        ("affzero_deferred_verifications{state=\"due\"}", 0.0),
        ("affzero_checks_due", 0.0),
        ("affzero_check_lateness_seconds", 0.0),
        ("affzero_breakers_open", 0.0),
    ] {
        // Work in the background may wait for a connection at that moment.
        eventually(series, async || (watched.value(series).await == Some(value)).then_some(())).await;
    }
    let build = watched.scrape().await;
    let build = build.lines().find(|line| line.starts_with("affzero_build_info{")).expect("the build");
    for label in ["commit=\"", "libpq=\"", "sqlite=\"3.", "version=\"", "zone_tables=\"20"] {
        assert!(build.contains(label) && build.ends_with("} 1"), "{label}: {build}");
    }
    let ready = client().get(format!("{}/readyz", watched.service.url)).send().await.expect("an answer");
    let headers = format!("{:?}", ready.headers());
    let strangers = headers + &ready.text().await.expect("text");
    for (_, value) in labels(build).iter().flat_map(|(label, values)| values.iter().map(move |value| (label, value))) {
        assert!(!strangers.contains(value.as_str()), "{value} is nobody else's business: {strangers}");
    }
    let positive = [
        "affzero_db_connections{state=\"idle\"}",
        "affzero_db_acquire_seconds_count",
        "affzero_stats_cache_bytes",
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_threads",
        "process_open_fds",
        "process_max_fds",
        "process_cpu_seconds_total",
    ];
    for series in positive {
        assert!(watched.value(series).await > Some(0.0), "{series}: {}", watched.scrape().await);
    }
    let now = f64::from(u32::try_from(jiff::Timestamp::now().as_second()).expect("before 2106"));
    for series in ["affzero_key_ring_active_since_timestamp_seconds", "process_start_time_seconds"] {
        let at = watched.value(series).await.expect("a time");
        assert!(at > now - 300.0 && at < now + 2.0, "{series}: {at}, and it is {now}");
    }
    eventually("the background has looked around", async || {
        let series = "affzero_background_last_success_timestamp_seconds{work=\"verifications\"}";
        watched.value(series).await.filter(|at| *at > now - 300.0)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_line_of_a_request_goes_on_with_the_callers_trace() {
    let watched = Watched::start(&[]);
    let id = watched.add_network().await;
    let parent = format!("00-{TRACE}-{PARENT}-01");
    let pull = stats(&id);
    watched.network.inject([Fault::Instead(Reply::text(503, "text/plain", "later"))]);
    for (name, accept) in [("of-json", "application/json"), ("of-stream", "application/x-ndjson")] {
        let headers = [("traceparent", parent.as_str()), ("x-request-id", name), ("accept", accept)];
        assert_eq!(watched.send("GET", &pull, &headers, None).await.0, 200);
    }
    let bad = [("traceparent", "00-zz-zz-01"), ("x-request-id", "of-nobody")];
    assert_eq!(watched.send("GET", "/api/v1/usage", &bad, None).await.0, 200);
    let host = watched.network.url.trim_start_matches("http://").to_owned();

    let log = watched.log();
    let mut spans = BTreeSet::new();
    for (name, messages) in
        [("of-json", vec!["request", "upstream call"]), ("of-stream", vec!["request", "stream", "upstream call"])]
    {
        let lines = of_request(&log, name);
        let mut said: Vec<&str> = lines.iter().map(|line| line["message"].as_str().expect("a message")).collect();
        said.sort_unstable();
        said.dedup();
        assert_eq!(said, messages, "{name}");
        for line in &lines {
            assert_eq!((&line["span"]["trace_id"], &line["span"]["parent_id"]), (&json!(TRACE), &json!(PARENT)));
            spans.insert(line["span"]["span_id"].as_str().expect("a span").to_owned());
            assert!(!line.to_string().contains(&host) && !line.to_string().contains("group_by"), "{line}");
        }
    }
    assert_eq!(spans.len(), 2, "a span for each request: {spans:?}");
    assert!(!spans.contains(PARENT));

    let own = of_request(&log, "of-nobody");
    assert!(own[0]["span"]["trace_id"].as_str().is_some_and(|trace| trace.len() == 32 && trace != TRACE));
    assert_eq!(own[0]["span"]["parent_id"], Value::Null);

    let call = of_request(&log, "of-json").into_iter().find(|line| line["message"] == "upstream call").expect("a line");
    assert_eq!((&call["platform"], &call["purpose"], &call["retries"]), (&json!("affise"), &json!("pull"), &json!(1)));
    assert_eq!((&call["upstream.outcome"], &call["upstream.status"]), (&json!("answered"), &json!(200)));
    assert!(call["duration_ms"].is_u64() && call["level"] == "INFO");
    let stream = with_message(&log, "stream");
    assert_eq!((&stream[0]["stream.outcome"], &stream[0]["stream.form"]), (&json!("whole"), &json!("ndjson")));
    assert_eq!(stream[0]["rows"], 2);
    let request = of_request(&log, "of-json").into_iter().find(|line| line["message"] == "request").expect("a line");
    assert!(request["cache"].as_str().is_some_and(|cache| cache.contains("fwd=uri-miss")), "{request}");
    for line in [request, call] {
        assert_eq!(line["connection"], id, "{line}");
    }
    assert_eq!(request["organisation"], "dev");
    assert_eq!((&own[0]["organisation"], &own[0]["connection"]), (&json!("dev"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn one_complaint_is_followed_by_its_organisation_and_its_connection() {
    let watched = Watched::start(&[]);
    let id = watched.add_network().await;
    watched.network.inject([Fault::Instead(Reply::json(401, &json!({ "status": 2, "error": "Wrong key" })))]);
    let (status, _) = watched.send("GET", &stats(&id), &[("x-request-id", "complaint")], None).await;
    assert_ne!(status, 200);
    watched.send("GET", "/api/v1/connections/not-an-id", &[("x-request-id", "odd")], None).await;
    watched.send("DELETE", &format!("/api/v1/connections/{id}"), &[("x-request-id", "deleted")], None).await;
    let unknown = client().get(format!("{}/api/v1/connections/{id}", watched.service.url));
    unknown.header("x-request-id", "stranger").send().await.expect("an answer");
    let log = watched.log();
    let all: Vec<_> = log.iter().filter(|line| line["connection"] == id).collect();
    let routes: Vec<_> = all.iter().filter_map(|line| line["http.route"].as_str()).collect();
    assert_eq!(
        routes,
        ["/api/v1/connections", "/api/v1/connections/{id}/stats", "/api/v1/connections/{id}"],
        "it was added, pulled through and deleted"
    );
    assert!(all.iter().filter(|line| line["message"] == "request").all(|line| line["organisation"] == "dev"));
    assert!(all.iter().any(|line| line["message"] == "upstream call" && line["upstream.outcome"] == "refused"));
    assert_eq!(of_request(&log, "odd")[0]["connection"], Value::Null);
    let stranger = of_request(&log, "stranger");
    assert!(stranger[0].get("organisation").is_none() && stranger[0].get("connection").is_none(), "{stranger:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_a_shared_pull_are_those_of_the_request_that_began_it() {
    let watched = Watched::start(&[]);
    let id = watched.add_network().await;
    let pull = stats(&id);
    watched.network.forget();
    watched.network.inject([Fault::Stall(Duration::from_millis(1_500))]);
    let second = async {
        eventually("the tracker is asked", async || (!watched.network.requests().is_empty()).then_some(())).await;
        watched.send("GET", &pull, &[("x-request-id", "second")], None).await
    };
    let (first, second) = tokio::join!(watched.send("GET", &pull, &[("x-request-id", "first")], None), second);
    assert_eq!((first.0, second.0), (200, 200));
    assert_eq!(watched.value("affzero_stats_cache_total{outcome=\"shared\"}").await, Some(1.0));
    let log = watched.log();
    let messages = |id| of_request(&log, id).iter().map(|line| line["message"].clone()).collect::<Vec<_>>();
    assert!(messages("first").contains(&json!("upstream call")));
    assert_eq!(messages("second"), ["request"]);
    assert!(of_request(&log, "second")[0]["cache"].as_str().is_some_and(|cache| cache.contains("collapsed")));
}

#[tokio::test(flavor = "multi_thread")]
async fn background_work_and_callers_that_leave_have_their_lines_too() {
    let watched = Watched::start(&[]);
    let body = json!({
        "name": "Later", "platform": "affise", "connection_type": "admin",
        "settings": { "base_url": watched.network.url }, "credentials": { "api_key": ADMIN_KEY },
    });
    let (status, text) = watched.send("POST", "/api/v1/connections?verify=deferred", &[], Some(&body)).await;
    assert_eq!(status, 201, "{text}");
    let id = serde_json::from_str::<Value>(&text).expect("JSON")["id"].as_str().expect("an id").to_owned();
    eventually("it is verified", async || {
        let (_, text) = watched.send("GET", &format!("/api/v1/connections/{id}"), &[], None).await;
        text.contains("\"status\":\"active\"").then_some(())
    })
    .await;

    watched.network.forget();
    watched.network.always(Some(Fault::Stall(Duration::from_secs(20))));
    let pull = stats(&id);
    let leaving = watched.send("GET", &pull, &[("x-request-id", "left")], None);
    let asked = eventually("the tracker is asked", async || (!watched.network.requests().is_empty()).then_some(()));
    tokio::select! {
        _ = leaving => panic!("the tracker never answers"),
        () = asked => {}
    }
    let route = "affzero_requests_total{method=\"GET\",route=\"/api/v1/connections/{id}/stats\",status=\"499\"}";
    eventually("it is noticed", async || watched.value(route).await).await;

    let log = watched.log();
    let call = with_message(&log, "upstream call");
    assert!(call.iter().any(|line| line["purpose"] == "verify"
        && line["span"]["name"] == "background"
        && line["span"]["trace_id"].as_str().is_some_and(|trace| trace.len() == 32)));
    let left = of_request(&log, "left");
    assert_eq!(left.iter().filter(|line| line["message"] == "request").count(), 1);
    assert!(left.iter().any(|line| line["http.status"] == 499));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_error_line_carries_its_cause_and_the_code_that_the_caller_got() {
    let watched = Watched::start(&[]);
    let pull = stats("01990000-0000-7000-8000-000000000000");
    assert_eq!(watched.send("GET", &pull, &[("x-request-id", "unknown")], None).await.0, 404);
    let file = watched._folder.path().join("data/affzero.db");
    use diesel::Connection;
    use diesel::connection::SimpleConnection;
    let mut hand = diesel::SqliteConnection::establish(&file.display().to_string()).expect("the file");
    hand.batch_execute("ALTER TABLE audit_events RENAME TO gone").expect("a change");
    let (status, _) = watched.send("GET", "/api/v1/audit-events", &[("x-request-id", "broken")], None).await;
    assert!(status >= 500);
    let log = watched.log();
    let unknown = of_request(&log, "unknown");
    assert_eq!(unknown[0]["problem.code"], "not_found");
    let broken = of_request(&log, "broken");
    let error = broken.iter().find(|line| line["level"] == "ERROR").expect("an error line");
    assert!(error["cause"].as_str().is_some_and(|cause| cause.contains("audit_events")), "{error}");
    assert!(broken.iter().any(|line| line["message"] == "request" && line["http.status"] == status));
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_can_forge_a_line_of_the_log_for_people() {
    let folder = TempDir::new().expect("a folder");
    let network = Simulator::start(Affise::default());
    let service = Service::start(folder.path(), &[("LOG_FORMAT", "pretty"), ("EGRESS_ALLOW", "127.0.0.0/8")]);
    let minted = run(folder.path(), &["token", "--org", "acme", "--plan", "pro"], &[]);
    let token = String::from_utf8(minted.stdout).expect("text").trim().to_owned();
    let forged = "2026-01-01T00:00:00Z ERROR forged";
    for name in ["x-request-id", "traceparent", "x-automation-id", "x-org-id", "user-agent", "authorization"] {
        for value in [format!("a\t{forged}"), format!("a\u{85}{forged}"), format!("a\u{2028}{forged}\u{9b}31m")] {
            let mut stream = TcpStream::connect(service.url.trim_start_matches("http://")).expect("a connection");
            let head = format!(
                "GET /a%0a{}%1b[31m/x HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer {token}\r\n{name}: {value}\r\n\r\n",
                forged.replace(' ', "%20")
            );
            stream.write_all(head.as_bytes()).expect("sent");
            let _ = stream.read_to_end(&mut Vec::new());
        }
    }
    network.always(Some(Fault::Instead(Reply::text(500, "text/plain", format!("\n{forged}\r\n\u{1b}[31m{forged}")))));
    let body = json!({
        "name": forged, "platform": "affise", "connection_type": "admin",
        "settings": { "base_url": network.url }, "credentials": { "api_key": ADMIN_KEY },
    });
    service.send(&token, "POST", "/api/v1/connections", Some(&body)).await;
    let (_, written) = service.stop();
    assert!(written.lines().count() > 20, "{written}");
    for line in written.lines() {
        let stamp = line.split(' ').next().unwrap_or_default();
        assert!(stamp.parse::<jiff::Timestamp>().is_ok(), "{line}");
        assert!(!line.contains("forged") && !line.chars().any(char::is_control), "{line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn readiness_gives_its_reasons() {
    let app = TestApp::start().await;
    let ready = app.anonymous("GET", "/readyz").await.ok(200);
    assert_eq!((&ready["status"], &ready["checks"]["database"]), (&json!("ready"), &json!("ok")));
    assert_eq!(ready.get("reasons"), None);
    app.user("acme", Plan::Pro).add_demo("Demo").await;
    app.db.revert_all().expect("down");
    let unready = app.anonymous("GET", "/readyz").await.ok(503);
    assert_eq!((&unready["status"], &unready["checks"]["database"]), (&json!("not_ready"), &json!("unavailable")));
    assert!(unready["reasons"]["database"].as_str().is_some_and(|reason| reason.starts_with("The database")));
    assert_eq!(unready["reasons"].get("shutdown"), None);
    app.db.migrate().expect("up");
    assert_eq!(app.anonymous("GET", "/readyz").await.ok(200)["status"], "ready");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_stops_says_so_until_nobody_listens() {
    let folder = TempDir::new().expect("a folder");
    let service = Service::start(folder.path(), &[]);
    let before = service.send("", "GET", "/readyz", None).await.ok(200);
    assert_eq!(before["checks"]["shutdown"], "no");
    service.terminate();
    service.wait_for("stopping:");
    let answer = client().get(format!("{}/readyz", service.url)).send().await;
    // The door is open for another moment only; anyone who comes later finds it closed.
    if let Ok(answer) = answer {
        assert_eq!(answer.status(), 503);
        let body: Value = serde_json::from_str(&answer.text().await.expect("text")).expect("JSON");
        assert_eq!(body["checks"]["shutdown"], "draining");
        assert!(body["reasons"]["shutdown"].is_string(), "{body}");
    }
    assert!(service.wait().0.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_breaker_is_counted_until_it_closes() {
    let watched = Watched::start(&[("STATS_CACHE_TTL_S", "0")]);
    let id = watched.add_network().await;
    let (opens, open) = ("affzero_breaker_opens_total", "affzero_breakers_open");
    let values = async || (watched.value(opens).await, watched.value(open).await);
    assert_eq!(values().await, (Some(0.0), Some(0.0)));
    watched.network.always(Some(Fault::Instead(Reply::text(503, "text/plain", "out of order"))));
    let pull = stats(&id);
    for _ in 0..20 {
        assert_eq!(watched.send("GET", &pull, &[], None).await.0, 502);
        if watched.value(open).await != Some(0.0) {
            break;
        }
    }
    let (opened, at_once) = values().await;
    assert!(opened >= Some(1.0) && opened == at_once, "{opened:?} {at_once:?}");
    // Asking again opens nothing that is open already.
    assert_eq!(watched.send("GET", &pull, &[], None).await.0, 502);
    assert_eq!(values().await, (opened, at_once));
    assert!(!watched.scrape().await.contains("127.0.0.1"), "which tracker it is stands in no metric");

    watched.network.always(None);
    eventually("the tracker is asked again", async || {
        let (status, _) = watched.send("GET", &pull, &[], None).await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        (status == 200).then_some(())
    })
    .await;
    assert_eq!(values().await, (opened, Some(0.0)), "it is closed, and stays counted");
}
