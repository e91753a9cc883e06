//! All rows as NDJSON and CSV: the same table, and never half of it taken for the whole.

use affzero_connections::tenancy::Plan;
use futures_util::StreamExt;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{WEEK, add, list, ndjson, path, pulls, walk};
use crate::app::{TestApp, User};
use crate::support::affise::{Affise, Owner};
use crate::support::tracker::{Fault, Reply, Request, Simulator, Tracker};

const NDJSON: (&str, &str) = ("accept", "application/x-ndjson");
const CSV: (&str, &str) = ("accept", "text/csv");

/// The table by date and hour has 168 rows: six pages of 30.
const LONG: &str = "group_by=date,hour&from=2026-09-07&to=2026-09-13";

fn paged() -> Simulator {
    Simulator::start(Affise { rows_per_page: 30, ..Affise::default() })
}

/// What came of a body, and whether it ended as a whole body does.
async fn read(app: &TestApp, user: &User<'_>, path: &str, accept: (&str, &str)) -> (u16, String, bool) {
    let bearer = format!("Bearer {}", user.token());
    let response = app.raw("GET", path, &[("authorization", &bearer), accept], None).await;
    let status = response.status().as_u16();
    let mut body = response.bytes_stream();
    let mut bytes = Vec::new();
    while let Some(part) = body.next().await {
        match part {
            Ok(part) => bytes.extend_from_slice(&part),
            Err(_) => return (status, String::from_utf8(bytes).expect("text"), false),
        }
    }
    (status, String::from_utf8(bytes).expect("text"), true)
}

#[tokio::test(flavor = "multi_thread")]
async fn ndjson_is_the_json_table_line_by_line_with_a_summary() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = paged();
    let id = add(&user, &simulator, Owner::Network).await;
    for query in [LONG.to_owned(), format!("group_by=offer&{WEEK}&metrics=epc,revenue&filter[country]=DE")] {
        let page = user.get(&path(&id, &format!("{query}&limit=1000"))).await.ok(200);
        let (rows, summary) = ndjson(&user, &id, &query).await;
        let (sorted, _) = ndjson(&user, &id, &format!("{query}&sort=-revenue")).await;
        assert_eq!(sorted, walk(&user, &id, &format!("{query}&sort=-revenue&limit=50")).await, "{query}");
        let text =
            |rows: &[Value]| -> std::collections::BTreeSet<String> { rows.iter().map(Value::to_string).collect() };
        assert_eq!(text(&rows), text(&list(&page["rows"])), "{query}");
        assert_eq!(rows.len(), page["row_count"], "{query}");
        for member in ["query", "totals", "row_count", "integrity", "warnings"] {
            assert_eq!(summary[member], page[member], "{query} {member}");
        }
        assert_eq!(summary.as_object().expect("an object").len(), 5);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn streams_neither_read_nor_fill_the_cache() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    let query = path(&id, &format!("group_by=offer&{WEEK}"));
    for (accept, calls) in [(NDJSON, 1), (CSV, 2), (("accept", "application/json"), 3), (NDJSON, 4)] {
        let answer = user.send("GET", &query, &[accept], None).await;
        assert_eq!(answer.status, 200);
        assert_eq!(answer.header("cache-control"), Some("private, no-cache"));
        assert_eq!(pulls(&simulator).len(), calls, "{accept:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn csv_has_two_columns_a_dimension_and_comes_back_as_the_table() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = paged();
    let id = add(&user, &simulator, Owner::Network).await;
    let query = format!("group_by=affiliate,date&{WEEK}&sort=affiliate");
    let answer = user.send("GET", &path(&id, &query), &[CSV], None).await;
    assert_eq!(answer.header("content-type"), Some("text/csv; charset=utf-8; header=present"));
    assert_eq!(answer.text.matches("\r\n").count(), answer.text.matches('\n').count(), "lines end as RFC 4180 says");
    let mut reader = csv::Reader::from_reader(answer.text.as_bytes());
    let header: Vec<String> = reader.headers().expect("a header").iter().map(str::to_owned).collect();
    assert_eq!(header[..4], ["affiliate_id", "affiliate_name", "date_id", "date_name"]);
    let rows = walk(&user, &id, &format!("{query}&limit=1000")).await;
    let records: Vec<csv::StringRecord> = reader.records().map(|record| record.expect("a record")).collect();
    assert_eq!(records.len(), rows.len());
    for (record, row) in records.iter().zip(&rows) {
        for (column, field) in header.iter().zip(record) {
            let cell = match column.strip_suffix("_id").or_else(|| column.strip_suffix("_name")) {
                Some(dimension) => &row[dimension][&column[dimension.len() + 1..]],
                None => &row[column],
            };
            match cell {
                Value::Null => assert_eq!(field, "", "{column}"),
                // Money and ratios have more decimals here, and the same value.
                Value::String(text) => match text.parse::<Decimal>() {
                    Ok(number) if row.get(column).is_some() => assert_eq!(field.parse(), Ok(number), "{column}"),
                    _ => assert_eq!(field, text, "{column}"),
                },
                other => assert_eq!(field, other.to_string(), "{column}"),
            }
        }
    }
}

/// A network with offers named by people who mean no good.
struct Mischief(Vec<&'static str>);

impl Tracker for Mischief {
    fn answer(&self, request: &Request) -> Reply {
        let mut reply = Affise::default().answer(request);
        if request.path != "/3.0/stats/custom" {
            return reply;
        }
        let mut body: Value = serde_json::from_slice(&reply.body).expect("JSON");
        for (row, name) in body["stats"].as_array_mut().expect("rows").iter_mut().zip(&self.0) {
            if row["slice"].get("offer").is_some() {
                row["slice"]["offer"]["title"] = json!(name);
            }
        }
        reply.body = body.to_string().into_bytes();
        reply
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_a_spreadsheet_would_run_is_defused_and_quotes_survive() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let names = vec!["=cmd|'/c calc'!A1", "@SUM(1,2)\n\"quoted\"", "-1+1, \u{5e7f}\u{544a}"];
    let simulator = Simulator::start(Mischief(names.clone()));
    let id = add(&user, &simulator, Owner::Network).await;
    let answer = user.send("GET", &path(&id, &format!("group_by=offer&{WEEK}")), &[CSV], None).await;
    let mut reader = csv::Reader::from_reader(answer.text.as_bytes());
    let found: Vec<String> = reader.records().map(|record| record.expect("a record")[1].to_owned()).collect();
    let defused: Vec<String> = names.iter().map(|name| format!("'{name}")).collect();
    assert_eq!(found, defused);
    let page = user.get(&path(&id, &format!("group_by=offer&{WEEK}"))).await.ok(200);
    let plain: Vec<Value> = list(&page["rows"]).iter().map(|row| row["offer"]["name"].clone()).collect();
    assert_eq!(json!(plain), json!(names), "JSON keeps names as they are");
}

fn failures() -> Vec<(&'static str, Fault, &'static str)> {
    vec![
        ("an outage", Fault::Instead(Reply::text(500, "text/plain", "oops")), "upstream_unavailable"),
        ("a web page", Fault::Instead(Reply::html(200)), "upstream_protocol_error"),
        (
            "half a document",
            Fault::Instead(Reply::text(200, "application/json", "{\"stats\":[")),
            "upstream_protocol_error",
        ),
        (
            "a lost key",
            Fault::Instead(Reply::json(401, &json!({"status": 2, "message": "Token is necessary"}))),
            "credentials_rejected",
        ),
        ("a broken connection", Fault::Cut, ""),
    ]
}

/// Lets the first page through and everything after it run into the fault.
fn after_first_page(simulator: &Simulator, fault: &Fault) {
    simulator.forget();
    simulator.inject([Fault::None]);
    simulator.always(Some(fault.clone()));
}

#[tokio::test(flavor = "multi_thread")]
async fn ndjson_that_breaks_off_has_no_end_and_says_why_and_a_short_csv_is_a_problem() {
    let app = TestApp::start().await;
    for (place, (name, fault, code)) in failures().into_iter().enumerate() {
        let organisation = format!("org-{place}");
        let user = app.user(&organisation, Plan::Pro);
        let simulator = paged();
        let id = add(&user, &simulator, Owner::Network).await;
        after_first_page(&simulator, &fault);
        let (status, text, whole) = read(&app, &user, &path(&id, LONG), NDJSON).await;
        assert_eq!((status, whole), (200, false), "{name}");
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        let (last, rows) = lines.split_last().expect("lines");
        assert_eq!(rows.len(), 30, "{name}");
        assert!(rows.iter().all(|row| row.get("date").is_some()), "{name}");
        let problem = &last["problem"];
        assert!(problem["code"].as_str().expect("a code").starts_with(code), "{name}: {problem}");
        assert_eq!(problem["type"], format!("/problems/{}", problem["code"].as_str().expect("a code")));
        assert_eq!(problem["instance"], format!("/api/v1/connections/{id}/stats"));
        assert!(problem["request_id"].is_string());

        let simulator = paged();
        let other = app.user(&format!("csv-{place}"), Plan::Pro);
        let id = add(&other, &simulator, Owner::Network).await;
        after_first_page(&simulator, &fault);
        let (status, text, whole) = read(&app, &other, &path(&id, LONG), CSV).await;
        let problem: Value = serde_json::from_str(&text).expect("a problem");
        assert!(
            status >= 424 && whole && problem["code"].as_str().expect("a code").starts_with(code),
            "{name}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_fails_before_the_first_row_is_a_problem_with_its_own_status() {
    let app = TestApp::start().await;
    for (place, (name, fault, code)) in failures().into_iter().enumerate() {
        for (turn, accept) in [NDJSON, CSV].into_iter().enumerate() {
            let organisation = format!("org-{place}-{turn}");
            let user = app.user(&organisation, Plan::Pro);
            let simulator = paged();
            let id = add(&user, &simulator, Owner::Network).await;
            simulator.always(Some(fault.clone()));
            let answer = user.send("GET", &path(&id, LONG), &[accept], None).await;
            let found = answer.json()["code"].as_str().expect("a code").to_owned();
            answer.problem(answer.status, &found);
            assert!(answer.status >= 424 && found.starts_with(code), "{name}: {found}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sorted_or_filtered_stream_that_has_sent_nothing_yet_fails_with_a_status() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    for (query, accept) in [
        (format!("{LONG}&sort=-clicks"), NDJSON),
        (format!("{LONG}&sort=-clicks"), CSV),
        (format!("{LONG}&filter[date]=2026-09-13"), NDJSON),
        (format!("{LONG}&filter[date]=2026-09-13"), CSV),
    ] {
        let simulator = paged();
        let id = add(&user, &simulator, Owner::Network).await;
        after_first_page(&simulator, &Fault::Instead(Reply::html(200)));
        user.send("GET", &path(&id, &query), &[accept], None).await.problem(502, "upstream_protocol_error");
        user.delete(&format!("/api/v1/connections/{id}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn json_is_never_part_of_a_table() {
    let app = TestApp::start().await;
    for (place, (name, fault, code)) in failures().into_iter().enumerate() {
        let organisation = format!("org-{place}");
        let user = app.user(&organisation, Plan::Pro);
        let simulator = paged();
        let id = add(&user, &simulator, Owner::Network).await;
        after_first_page(&simulator, &fault);
        let answer = user.get(&path(&id, LONG)).await;
        let found = answer.json()["code"].as_str().expect("a code").to_owned();
        answer.problem(answer.status, &found);
        assert!(answer.status >= 424 && found.starts_with(code), "{name}: {found}");
        // Nothing of it is remembered either.
        simulator.always(None);
        simulator.inject([]);
        simulator.forget();
        let again = user.get(&path(&id, LONG)).await;
        assert_ne!(again.header("cache-status").map(|status| status.contains("hit")), Some(true), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_means_nothing_to_a_stream() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Cursor").await;
    let answer = user.send("GET", &path(&id, "group_by=date&preset=yesterday&cursor=x"), &[NDJSON], None).await;
    assert_eq!(super::complaints(&answer), ["/cursor"]);
}
