//! Tables as files: how they are asked for, named and written, and what becomes of them when a pull fails.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use affzero_connections::tenancy::Plan;
use serde_json::json;

use super::{WEEK, add, complaints, path, pulls};
use crate::app::{TestApp, User};
use crate::support::affise::{Affise, Owner};
use crate::support::tracker::{Fault, Simulator};

/// A year by the hour: a table of it is no short file.
const LONG: &str = "group_by=date,hour,affiliate&from=2025-11-01&to=2026-10-31";

/// Fewer rows than that, and more than a short file has.
const TOO_FEW_ROWS: (&str, &str) = ("STATS_MAX_ROWS", "80000");

#[tokio::test(flavor = "multi_thread")]
async fn format_wins_over_accept_and_an_unknown_one_is_reported_with_everything_else() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Format").await;
    let week = "group_by=date&preset=last_7_days";
    for (format, kind) in [
        ("json", "application/json"),
        ("ndjson", "application/x-ndjson"),
        ("csv", "text/csv; charset=utf-8; header=present"),
    ] {
        for accept in ["application/json", "text/csv", "image/png"] {
            let query = path(&id, &format!("{week}&format={format}"));
            let answer = user.send("GET", &query, &[("accept", accept)], None).await;
            assert_eq!((answer.status, answer.header("content-type")), (200, Some(kind)), "{format} {accept}");
        }
    }
    let wrong = "group_by=date&preset=soon&format=xls&bom=1&summary=no&fresh=&deadline_ms=999";
    let mut found = complaints(&user.get(&path(&id, wrong)).await);
    found.sort();
    assert_eq!(found, ["/bom", "/deadline_ms", "/format", "/fresh", "/preset", "/summary"]);
    let cursor = user.get(&path(&id, &format!("{week}&format=csv&cursor=x"))).await;
    assert_eq!(complaints(&cursor), ["/cursor"]);
    let many = user.get(&format!("/api/v1/stats?{week}&format=csv")).await;
    assert_eq!(complaints(&many), ["/format"]);
    user.get(&format!("/api/v1/stats?{week}&format=json&fresh=true&deadline_ms=20000")).await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_is_written_so_that_nobody_guesses_a_wrong_type() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Types").await;
    let question = path(&id, "group_by=affiliate&preset=last_7_days&metrics=clicks,revenue,cr&format=csv");
    let text = user.get(&question).await.text;
    let (head, _) = text.split_once("\r\n").expect("lines");
    assert_eq!(head, "\"affiliate_id\",\"affiliate_name\",\"clicks\",\"revenue\",\"cr\",\"currency\"");
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let records: Vec<csv::StringRecord> = reader.records().map(|record| record.expect("a record")).collect();
    assert!(records.len() > 8);
    for record in records {
        for (place, decimals) in [(3, 4), (4, 6)] {
            let (_, fraction) = record[place].split_once('.').expect("decimals");
            assert_eq!(fraction.len(), decimals, "{record:?}");
        }
    }
    let marked = user.get(&format!("{question}&bom=true")).await.text;
    assert_eq!(marked, format!("\u{feff}{text}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_summary_can_be_left_out() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Rows").await;
    let question = path(&id, "group_by=date&preset=last_7_days&format=ndjson");
    let whole = user.get(&question).await.text;
    let rows = user.get(&format!("{question}&summary=false")).await.text;
    let summary = whole.strip_prefix(&rows).expect("the same rows");
    assert!(summary.starts_with("{\"summary\":") && summary.lines().count() == 1, "{summary}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_has_its_length_and_a_name_and_a_stream_is_held_back_by_nobody() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Nordwind Verlag & Söhne").await;
    let question = path(&id, "group_by=date&from=2026-09-07&to=2026-09-13&timezone=Europe/Berlin");
    let name = "attachment; filename=\"Nordwind-Verlag-Sohne_2026-09-07_2026-09-13_Europe-Berlin.csv\"";
    let file = user.get(&format!("{question}&format=csv")).await;
    assert_eq!(file.header("content-disposition"), Some(name));
    assert_eq!(file.header("content-length"), Some(file.text.len().to_string().as_str()));
    assert_eq!((file.header("transfer-encoding"), file.header("x-accel-buffering")), (None, None));
    let head = user.send("HEAD", &format!("{question}&format=csv"), &[], None).await;
    assert_eq!(head.header("content-disposition"), Some(name));
    let stream = user.get(&format!("{question}&format=ndjson")).await;
    assert_eq!(stream.header("x-accel-buffering"), Some("no"));
    assert_eq!((stream.header("content-length"), stream.header("content-disposition")), (None, None));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_file_is_streamed_and_shows_that_it_was_cut_off() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let question = path(&user.add_demo("Long").await, &format!("{LONG}&format=csv"));
    let file = user.get(&question).await;
    assert!(file.text.len() > 8 << 20);
    assert_eq!((file.status, file.header("content-length")), (200, None));
    assert_eq!(file.header("x-accel-buffering"), Some("no"));
    assert!(file.header("content-disposition").is_some());

    let app = TestApp::with(&[TOO_FEW_ROWS]).await;
    let user = app.user("acme", Plan::Pro);
    let question = path(&user.add_demo("Long").await, &format!("{LONG}&format=csv"));
    let bearer = format!("Bearer {}", user.token());
    let cut = app.raw("GET", &question, &[("authorization", &bearer)], None).await;
    assert_eq!(cut.status().as_u16(), 200);
    assert!(cut.bytes().await.is_err(), "a part of the file looks whole");
}

/// What a caller of HTTP/1.0 gets: the head, the body, and whether it ended in order.
fn over_http_1_0(app: &TestApp, user: &User<'_>, path: &str) -> (String, Vec<u8>, bool) {
    let mut stream = TcpStream::connect(app.url.trim_start_matches("http://")).expect("a connection");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    let request = format!("GET {path} HTTP/1.0\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", user.token());
    stream.write_all(request.as_bytes()).expect("a request");
    let mut bytes = Vec::new();
    let in_order = stream.read_to_end(&mut bytes).is_ok();
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    let body = bytes.split_off(end + 4);
    (String::from_utf8(bytes).expect("text"), body, in_order)
}

#[tokio::test(flavor = "multi_thread")]
async fn http_1_0_gets_no_chunks() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Old").await;
    for format in ["ndjson", "csv"] {
        let question = path(&id, &format!("group_by=date&preset=last_7_days&format={format}"));
        let (head, body, in_order) = over_http_1_0(&app, &user, &question);
        assert!(head.starts_with("HTTP/1.0 200"), "{head}");
        assert!(head.contains(&format!("\r\ncontent-length: {}\r\n", body.len())), "{head}");
        assert!(in_order && !head.contains("transfer-encoding"), "{head}");
        assert_eq!(String::from_utf8(body).expect("text"), user.get(&question).await.text, "{format}");
    }

    let question = path(&id, &format!("{LONG}&format=csv"));
    let (head, body, in_order) = over_http_1_0(&app, &user, &question);
    assert!(!head.contains("transfer-encoding") && !head.contains("content-length"), "{head}");
    assert!(in_order && body == user.get(&question).await.text.as_bytes(), "{} bytes", body.len());

    let app = TestApp::with(&[TOO_FEW_ROWS]).await;
    let user = app.user("acme", Plan::Pro);
    let question = path(&user.add_demo("Old").await, &format!("{LONG}&format=csv"));
    let (_, body, in_order) = over_http_1_0(&app, &user, &question);
    assert!(!in_order, "{} bytes look whole", body.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn fresh_goes_to_the_tracker_and_what_it_brings_is_kept() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    let question = path(&id, &format!("group_by=offer&{WEEK}"));
    for (query, calls) in [(String::new(), 1), ("&fresh=true".to_owned(), 2), ("&fresh=false".to_owned(), 2)] {
        user.get(&format!("{question}{query}")).await.ok(200);
        assert_eq!(pulls(&simulator).len(), calls, "{query}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_may_have_a_deadline_of_its_own_in_every_form() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let slow = json!({"name": "Slow", "platform": "demo", "settings": {"scenario": "slow"}});
    let id = user.add(slow).await;
    let week = "group_by=date&preset=last_7_days&deadline_ms=1000";
    // The deadline of the service is a minute.
    for format in ["json", "ndjson", "csv"] {
        let answer = user.get(&path(&id, &format!("{week}&format={format}"))).await;
        answer.problem(504, "upstream_timeout");
    }
    let many = user.get(&format!("/api/v1/stats?{week}")).await.ok(200);
    assert_eq!(many["failures"][0]["problem"]["code"], "upstream_timeout");
    for wrong in ["999", "60001", "soon"] {
        let query = path(&id, &format!("group_by=date&preset=today&deadline_ms={wrong}"));
        assert_eq!(complaints(&user.get(&query).await), ["/deadline_ms"], "{wrong}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_of_ones_own_ends_nobody_elses_pull() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    simulator.inject([Fault::Stall(Duration::from_secs(3)), Fault::Stall(Duration::from_secs(3))]);
    let question = path(&id, &format!("group_by=offer&{WEEK}"));
    let hurried = format!("{question}&deadline_ms=1000");
    let (hurried, patient) = tokio::join!(user.get(&hurried), user.get(&question));
    hurried.problem(504, "upstream_timeout");
    patient.ok(200);
}
