//! The JSON answer: its shape, its order, its pages, and the questions it refuses.

use std::collections::BTreeSet;

use affzero_connections::tenancy::Plan;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::{WEEK, add, complaints, key, list, only, path, pulls, walk};
use crate::app::TestApp;
use crate::support::affise::{Affise, Owner};
use crate::support::tracker::Simulator;

const METRICS: [&str; 16] = [
    "impressions",
    "clicks",
    "unique_clicks",
    "conversions",
    "approved",
    "pending",
    "rejected",
    "hold",
    "revenue",
    "payout",
    "cost",
    "profit",
    "cr",
    "epc",
    "ctr",
    "roi",
];

fn members(value: &Value) -> BTreeSet<&str> {
    value.as_object().expect("an object").keys().map(String::as_str).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_has_every_field_of_the_contract_and_no_other() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    let query = "group_by=affiliate,date&preset=last_30_days&timezone=europe/berlin&filter[offer]=907,906";
    let answer = user.get(&path(&id, query)).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let page = answer.ok(200);
    let expected = [
        "connection",
        "query",
        "columns",
        "rows",
        "totals",
        "row_count",
        "next_cursor",
        "fetched_at",
        "source",
        "integrity",
        "warnings",
    ];
    assert_eq!(members(&page), BTreeSet::from(expected));
    assert_eq!(
        page["connection"],
        json!({ "id": id, "name": "Affise admin", "platform": "affise", "connection_type": "admin" })
    );
    let echo = &page["query"];
    let echoed = [
        "group_by",
        "from",
        "to",
        "timezone",
        "requested_timezone",
        "day_of_conversion",
        "preset",
        "filters",
        "min",
        "max",
        "search",
        "compare",
    ];
    assert_eq!(members(echo), BTreeSet::from(echoed));
    assert_eq!(echo["requested_timezone"], "Europe/Berlin");
    assert_eq!(echo["day_of_conversion"], "conversion");
    assert_eq!(echo["group_by"], json!(["affiliate", "date"]));
    assert_eq!(echo["timezone"], "Europe/Berlin");
    assert_eq!(echo["preset"], "last_30_days");
    assert_eq!(echo["filters"], json!({ "offer": ["906", "907"] }));
    let fetched: Timestamp = page["fetched_at"].as_str().expect("a time").parse().expect("RFC 3339");
    assert!(Timestamp::now().duration_since(fetched).as_secs().abs() < 60);
    assert_eq!(members(&page["source"]), BTreeSet::from(["upstream_calls", "duration_ms"]));
    assert!(page["source"]["duration_ms"].is_u64());

    let page = user.get(&path(&id, &format!("group_by=affiliate,date&{WEEK}"))).await.ok(200);
    assert_eq!(page["query"]["preset"], Value::Null);
    assert_eq!(page["query"]["timezone"], "UTC");
    assert_eq!(page["query"]["filters"], json!({}));
    assert_eq!(only(&page["query"], &["from", "to"]), json!({ "from": "2026-09-07", "to": "2026-09-13" }));
    assert_eq!(page["next_cursor"], Value::Null);
    assert_eq!(page["warnings"], json!([]));
    let row = &page["rows"][0];
    assert_eq!(row["affiliate"], json!({ "id": "71", "name": "Affiliate 71" }));
    assert_eq!(row["date"], json!({ "id": "2026-09-07", "name": "2026-09-07" }));
    let cells: BTreeSet<&str> = ["affiliate", "date", "currency"].into_iter().chain(METRICS).collect();
    assert_eq!(members(row), cells);
    let sums: BTreeSet<&str> = ["currency"].into_iter().chain(METRICS).collect();
    assert_eq!(members(&page["totals"][0]), sums);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_say_what_each_key_of_a_row_is() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Columns").await;
    let page =
        user.get(&path(&id, "group_by=hour,traffic_source&preset=yesterday&metrics=epc,clicks,revenue")).await.ok(200);
    assert_eq!(
        page["columns"],
        json!([
            { "key": "hour", "kind": "dimension", "label": "Hour" },
            { "key": "traffic_source", "kind": "dimension", "label": "Traffic source" },
            { "key": "epc", "kind": "metric", "type": "ratio", "label": "EPC" },
            { "key": "clicks", "kind": "metric", "type": "integer", "label": "Clicks" },
            { "key": "revenue", "kind": "metric", "type": "money", "label": "Revenue" },
            { "key": "currency", "kind": "currency", "label": "Currency" },
        ])
    );
    for row in list(&page["rows"]) {
        assert_eq!(members(&row), BTreeSet::from(["hour", "traffic_source", "epc", "clicks", "revenue", "currency"]));
        let hour = row["hour"]["id"].as_str().expect("an hour");
        assert_eq!(row["hour"]["name"], format!("{hour}:00"));
    }
    for total in list(&page["totals"]) {
        assert_eq!(members(&total), BTreeSet::from(["epc", "clicks", "revenue", "currency"]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_portal_does_not_know_is_null_in_rows_and_totals() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let network = Affise { impressions: false, ..Affise::default() };
    let simulator = Simulator::start(network);
    for (owner, unknown) in [
        (Owner::Network, &["impressions", "cost", "ctr", "roi"][..]),
        (Owner::Affiliate, &["impressions", "payout", "cost", "profit", "ctr", "roi", "currency"]),
    ] {
        let id = add(&user, &simulator, owner).await;
        let page = user.get(&path(&id, &format!("group_by=offer&{WEEK}"))).await.ok(200);
        for values in list(&page["rows"]).iter().chain([&page["totals"][0]]) {
            // Unique clicks never add up.
            let others = METRICS.into_iter().filter(|name| *name != "unique_clicks");
            let found: Vec<&str> = others.chain(["currency"]).filter(|name| values[name].is_null()).collect();
            assert_eq!(BTreeSet::from_iter(found), BTreeSet::from_iter(unknown.iter().copied()), "{owner:?}");
        }
    }
}

/// The days of a preset, worked out from the day it is.
fn days(preset: &str, today: Date) -> (Date, Date) {
    let back = |days: i64| today.checked_sub(days.days()).expect("a day");
    let monday = back(i64::from(today.weekday().to_monday_zero_offset()));
    let first = today.first_of_month();
    let yesterday = back(1);
    match preset {
        "today" => (today, today),
        "yesterday" => (yesterday, yesterday),
        "last_7_days" => (back(7), yesterday),
        "last_14_days" => (back(14), yesterday),
        "last_30_days" => (back(30), yesterday),
        "this_week" => (monday, today),
        "last_week" => (monday - 7.days(), monday - 1.day()),
        "this_month" => (first, today),
        "last_month" => ((first - 1.day()).first_of_month(), first - 1.day()),
        "this_year" => (today.first_of_year(), today),
        other => panic!("{other}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn presets_follow_the_clock_of_the_zone() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Presets").await;
    let presets = user.get("/api/v1/platforms").await.ok(200)["presets"].clone();
    assert_eq!(list(&presets).len(), 10);
    for zone in ["UTC", "Europe/Berlin", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Asia/Kathmandu"] {
        let rules = TimeZone::get(zone).expect("a zone");
        for preset in list(&presets) {
            let preset = preset.as_str().expect("a key");
            let before = rules.to_datetime(Timestamp::now()).date();
            let query = format!("group_by=offer&preset={preset}&timezone={zone}&limit=1");
            let page = user.get(&path(&id, &query)).await.ok(200);
            let after = rules.to_datetime(Timestamp::now()).date();
            let found = only(&page["query"], &["from", "to"]);
            // Midnight may pass while the question is answered.
            let possible = [before, after].map(|today| {
                let (from, to) = days(preset, today);
                json!({ "from": from.to_string(), "to": to.to_string() })
            });
            assert!(possible.contains(&found), "{preset} in {zone}: {found}");
        }
    }
}

/// A cell as something with an order.
fn number(cell: &Value) -> Option<Decimal> {
    match cell {
        Value::Null => None,
        Value::String(text) => Some(text.parse().expect("a number")),
        other => Some(other.to_string().parse().expect("a number")),
    }
}

fn natural(id: &str) -> (bool, u64, String) {
    (id.parse::<u64>().is_err(), id.parse().unwrap_or_default(), id.to_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn any_column_sorts_both_ways_with_the_unknown_last_and_ties_by_the_group_key() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    let dimensions = ["country", "affiliate"];
    let group = |row: &Value| -> Vec<_> { key(row, &dimensions).iter().map(|id| natural(id)).collect() };
    let unsorted = walk(&user, &id, &format!("group_by=country,affiliate&{WEEK}&limit=1000")).await;
    let mut by_key = unsorted.clone();
    by_key.sort_by_key(group);
    assert_eq!(unsorted, by_key, "without a sort rows stand in the order of the group key");
    for metric in METRICS {
        for sign in ["", "-"] {
            let rows =
                walk(&user, &id, &format!("group_by=country,affiliate&{WEEK}&sort={sign}{metric}&limit=7")).await;
            let mut expected = unsorted.clone();
            expected.sort_by(|a, b| {
                let (x, y) = (number(&a[metric]), number(&b[metric]));
                let order = x.is_none().cmp(&y.is_none());
                order.then(if sign == "-" { y.cmp(&x) } else { x.cmp(&y) }).then_with(|| group(a).cmp(&group(b)))
            });
            assert_eq!(rows, expected, "{sign}{metric}");
        }
    }
    for (place, dimension) in dimensions.iter().enumerate() {
        for sign in ["", "-"] {
            let rows =
                walk(&user, &id, &format!("group_by=country,affiliate&{WEEK}&sort={sign}{dimension}&limit=5")).await;
            let mut expected = unsorted.clone();
            expected.sort_by(|a, b| {
                let order = group(a)[place].cmp(&group(b)[place]);
                if sign == "-" { order.reverse() } else { order }.then_with(|| group(a).cmp(&group(b)))
            });
            assert_eq!(rows, expected, "{sign}{dimension}");
        }
    }
    assert_eq!(pulls(&simulator).len(), 1, "one pull serves every order and page");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_walk_with_any_limit_is_the_whole_table_without_overlap() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Walk").await;
    for query in ["group_by=offer,country&preset=last_7_days", "group_by=affiliate&preset=last_month&sort=-roi"] {
        let whole = walk(&user, &id, &format!("{query}&limit=1000")).await;
        for limit in [1, 2, 3, 50, 999] {
            if whole.len() / limit > 60 {
                continue;
            }
            assert_eq!(walk(&user, &id, &format!("{query}&limit={limit}")).await, whole, "{query} {limit}");
        }
    }
    let exact = "group_by=offer,country&preset=last_7_days&limit=100";
    let page = user.get(&path(&id, "group_by=offer,country&preset=last_7_days")).await.ok(200);
    assert_eq!(page["rows"], user.get(&path(&id, exact)).await.ok(200)["rows"], "100 rows come by default");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_goes_on_without_any_cache_and_after_a_forced_pull() {
    let app = TestApp::with(&[("STATS_CACHE_TTL_S", "0")]).await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Network).await;
    let query = format!("group_by=affiliate,date&{WEEK}&sort=-clicks");
    let whole = walk(&user, &id, &format!("{query}&limit=1000")).await;
    simulator.forget();
    assert_eq!(walk(&user, &id, &format!("{query}&limit=9")).await, whole);
    assert_eq!(pulls(&simulator).len(), whole.len().div_ceil(9), "each page is pulled anew");

    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = add(&user, &simulator, Owner::Network).await;
    let first = user.get(&path(&id, &format!("{query}&limit=9"))).await.ok(200);
    let cursor = first["next_cursor"].as_str().expect("a cursor");
    let next = path(&id, &format!("{query}&limit=1000&cursor={cursor}"));
    let rest = user.send("GET", &next, &[("cache-control", "no-cache")], None).await.ok(200);
    assert_eq!([list(&first["rows"]), list(&rest["rows"])].concat(), whole);
    assert_eq!(rest["row_count"], whole.len());
    assert_eq!(rest["totals"], first["totals"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_something_else_is_refused() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let (id, other) = (user.add_demo("One").await, user.add_demo("Two").await);
    let stranger = app.user("other", Plan::Pro);
    let foreign = stranger.add_demo("One").await;
    let query = "group_by=offer,date&preset=last_7_days&limit=2";
    let page = user.get(&path(&id, query)).await.ok(200);
    let cursor = page["next_cursor"].as_str().expect("a cursor");
    let refused = ["/cursor".to_owned()];
    assert_eq!(complaints(&user.get(&path(&other, &format!("{query}&cursor={cursor}"))).await), refused);
    assert_eq!(complaints(&stranger.get(&path(&foreign, &format!("{query}&cursor={cursor}"))).await), refused);
    for changed in [
        "group_by=date,offer&preset=last_7_days&limit=2",
        "group_by=offer,date&preset=last_14_days&limit=2",
        "group_by=offer,date&preset=last_7_days&limit=2&timezone=Asia/Tokyo",
        "group_by=offer,date&preset=last_7_days&limit=2&sort=-clicks",
        "group_by=offer,date&preset=last_7_days&limit=2&metrics=clicks",
        "group_by=offer,date&preset=last_7_days&limit=2&filter[country]=US",
    ] {
        assert_eq!(
            complaints(&user.get(&path(&id, &format!("{changed}&cursor={cursor}"))).await),
            refused,
            "{changed}"
        );
    }
    for damaged in ["x", "%00", "e30", &cursor[1..], &"A".repeat(5_000)] {
        assert_eq!(complaints(&user.get(&path(&id, &format!("{query}&cursor={damaged}"))).await), refused, "{damaged}");
    }
    let longer = query.replace("limit=2", "limit=7");
    user.get(&path(&id, &format!("{longer}&cursor={cursor}"))).await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_wrong_parameter_is_named_at_once() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Wrong").await;
    let query =
        "group_by=date,colour&preset=someday&timezone=Mars/Base&sort=age&limit=0&metrics=fun&filter[x]=1&nonsense=1";
    let mut found = complaints(&user.get(&path(&id, query)).await);
    found.sort_unstable();
    assert_eq!(found, ["/filter[x]", "/group_by", "/limit", "/metrics", "/nonsense", "/preset", "/sort", "/timezone"]);
    for (query, pointer) in [
        ("group_by=date,date&preset=today", "/group_by"),
        ("group_by=date,hour,offer,country&preset=today", "/group_by"),
        ("group_by=date&group_by=date&preset=today", "/group_by"),
        ("group_by=date&from=2026-01-01", "/to"),
        ("group_by=date&from=2026-01-02&to=2026-01-01", "/to"),
        ("group_by=date&from=2026-02-30&to=2026-03-01", "/from"),
        ("group_by=date&from=26-01-01&to=2026-03-01", "/from"),
        ("group_by=date&preset=today&to=2026-03-01", "/preset"),
        ("group_by=date&preset=today&limit=1001", "/limit"),
        ("group_by=date&preset=today&limit=-1", "/limit"),
        ("group_by=date&preset=today&limit=ten", "/limit"),
        ("group_by=date&preset=today&sort=offer", "/sort"),
        ("group_by=date&preset=today&sort=--clicks", "/sort"),
        ("group_by=date&preset=today&filter[offer]=1,,2", "/filter[offer]"),
        ("group_by=date&preset=today&filter[sub1]=a%5Cb", "/filter[sub1]"),
        ("group_by=date&preset=today&min[clicks]=many", "/min[clicks]"),
        ("group_by=date&preset=today&max[age]=1", "/max[age]"),
        ("group_by=date&preset=today&compare=yesterday", "/compare"),
        ("group_by=date&preset=today&metrics=", "/metrics"),
        ("group_by=date&preset=today&Group_by=offer", "/Group_by"),
    ] {
        assert_eq!(complaints(&user.get(&path(&id, query)).await), [pointer], "{query}");
    }
    let repeated = "group_by=date&group_by=offer&metrics=clicks&metrics=cost&preset=today";
    let answer = user.get(&path(&id, repeated)).await;
    let vary = answer.header("vary").unwrap_or_default();
    assert!(vary.starts_with("accept, authorization, x-org-id"), "{vary}");
    let joined = user.get(&path(&id, "group_by=date,offer&metrics=clicks,cost&preset=today")).await;
    assert_eq!(answer.ok(200)["columns"], joined.ok(200)["columns"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn questions_a_platform_cannot_answer_name_what_it_can() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise::default());
    let id = add(&user, &simulator, Owner::Affiliate).await;
    for query in ["group_by=affiliate", "group_by=campaign,date", "group_by=offer&filter[advertiser]=1"] {
        let problem = user.get(&path(&id, &format!("{query}&{WEEK}"))).await.problem(422, "unsupported_query");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains("date, week, month, hour, offer, country, sub1"), "{detail}");
    }
    let year = "group_by=date&from=2025-01-01&to=2026-01-02";
    for accept in ["application/json", "text/csv"] {
        let answer = user.send("GET", &path(&id, year), &[("accept", accept)], None).await;
        let detail = answer.problem(422, "unsupported_query")["detail"].clone();
        assert!(detail.as_str().expect("a detail").contains("366 days"), "{detail}");
    }
    assert!(pulls(&simulator).is_empty(), "nothing is asked that is going to be refused");
    user.get(&path(&id, "group_by=date&from=9999-12-01&to=9999-12-31")).await.ok(200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_beyond_the_limits_is_refused_whole() {
    let limits = [("STATS_MAX_ROWS_IN_MEMORY", "20"), ("STATS_MAX_UPSTREAM_CALLS", "3"), ("STATS_MAX_ROWS", "60")];
    let app = TestApp::with(&limits).await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise { rows_per_page: 25, ..Affise::default() });
    let id = add(&user, &simulator, Owner::Network).await;
    let stream = [("accept", "application/x-ndjson")];
    // The limit counts what is left after the filter.
    let held = path(&id, &format!("group_by=affiliate,date&{WEEK}&filter[affiliate]=71,72"));
    assert_eq!(user.get(&held).await.ok(200)["row_count"], 14);
    // 36 rows on two pages: too many to hold, few enough to stream.
    let query = "group_by=offer,country,date&from=2026-09-07&to=2026-09-09";
    user.get(&path(&id, query)).await.problem(422, "unsupported_query");
    let answer = user.send("GET", &path(&id, query), &stream, None).await;
    assert_eq!(answer.text.lines().count(), 37, "36 rows and a summary");
    user.send("GET", &path(&id, &format!("{query}&sort=-clicks")), &stream, None)
        .await
        .problem(422, "unsupported_query");
    // More than three pages.
    simulator.forget();
    let problem = user
        .send("GET", &path(&id, &format!("group_by=offer,country,date&{WEEK}")), &stream, None)
        .await
        .problem(422, "unsupported_query");
    let detail = problem["detail"].as_str().expect("a detail");
    assert!(detail.contains("up to 5 days work"), "{detail}");
    assert_eq!(pulls(&simulator).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_the_tracker_counts_to_be_too_long_is_refused_after_its_first_page() {
    let app = TestApp::with(&[("STATS_MAX_ROWS_IN_MEMORY", "30"), ("STATS_MAX_ROWS", "80")]).await;
    let user = app.user("acme", Plan::Pro);
    let simulator = Simulator::start(Affise { rows_per_page: 5, ..Affise::default() });
    let id = add(&user, &simulator, Owner::Network).await;
    // 36 rows on 8 pages, and 84 on 17.
    for (accept, days, pages) in
        [("application/json", "from=2026-09-07&to=2026-09-09", 8), ("application/x-ndjson", WEEK, 17)]
    {
        simulator.forget();
        let query = path(&id, &format!("group_by=offer,country,date&{days}"));
        user.send("GET", &query, &[("accept", accept)], None).await.problem(422, "unsupported_query");
        // A few may have been asked for ahead.
        assert!(pulls(&simulator).len() < pages / 2, "{accept}: {} pages", pulls(&simulator).len());
        // What is left of them after a filter is not counted.
        user.send("GET", &format!("{query}&filter[offer]=901"), &[("accept", accept)], None).await.ok(200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_future_range_is_an_empty_table_and_not_an_error() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Future").await;
    let page = user.get(&path(&id, "group_by=date&from=2099-01-01&to=2099-01-31")).await.ok(200);
    assert_eq!(
        only(&page, &["rows", "totals", "row_count", "next_cursor"]),
        json!({ "rows": [], "totals": [], "row_count": 0, "next_cursor": null })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_ends_of_the_calendar_are_days_like_others() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Ends").await;
    for zone in ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago"] {
        for days in ["from=0001-01-01&to=0001-01-03", "from=9999-12-30&to=9999-12-31", "from=1969-12-31&to=1970-01-01"]
        {
            for group in ["date", "hour", "offer"] {
                user.get(&path(&id, &format!("group_by={group}&{days}&timezone={zone}"))).await.ok(200);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_string_may_be_escaped_and_may_not_be_garbage() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Escapes").await;
    let plain = user.get(&path(&id, "group_by=date,offer&preset=yesterday&filter[country]=US,DE")).await.ok(200);
    let escaped = "group_by=date%2Coffer&preset=yesterday&filter%5Bcountry%5D=DE%2C%20US";
    assert_eq!(user.get(&path(&id, escaped)).await.ok(200), plain);
    for garbage in ["%FF%00", "filter[", "filter[]=1", "filter[offer]x=1", "=", "&&&a", "group_by[]=date", "%"] {
        let answer = user.get(&path(&id, &format!("group_by=date&preset=today&{garbage}"))).await;
        answer.problem(422, "validation_failed");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn only_media_types_that_exist_are_answered() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Media").await;
    let query = path(&id, "group_by=date&preset=yesterday");
    for accept in ["application/xml", "text/html", "application/json;q=0"] {
        user.send("GET", &query, &[("accept", accept)], None).await.problem(406, "not_acceptable");
    }
    for (accept, given) in [
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("text/*", "text/csv; charset=utf-8; header=present"),
        ("text/csv;q=0.5, application/x-ndjson", "application/x-ndjson"),
    ] {
        let answer = user.send("GET", &query, &[("accept", accept)], None).await;
        assert_eq!((answer.status, answer.header("content-type")), (200, Some(given)), "{accept}");
    }
    let many = user.send("GET", "/api/v1/stats?group_by=date&preset=today", &[("accept", "text/csv")], None).await;
    many.problem(406, "not_acceptable");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_those_who_may_read_statistics_get_them() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Scopes").await;
    let query = path(&id, "group_by=date&preset=yesterday");
    let reader = app.user_with_scope("acme", Plan::Pro, "stats:read");
    reader.get(&query).await.ok(200);
    let blind = app.user_with_scope("acme", Plan::Pro, "connections:read connections:write");
    blind.get(&query).await.problem(403, "forbidden");
    blind.get("/api/v1/stats?group_by=date&preset=today").await.problem(403, "forbidden");
    app.anonymous("GET", &query).await.problem(401, "unauthorized");
    app.user("other", Plan::Pro).get(&query).await.problem(404, "not_found");
    user.get(&path("0199a000-0000-7000-8000-000000000000", "group_by=date&preset=today"))
        .await
        .problem(404, "not_found");
}
