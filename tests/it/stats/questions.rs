//! The questions people ask: no grouping, weeks and months, sub-ids, filters by value, bounds and text, comparison, lists
//! of values. Each is held against a plain recomputation from rows that were asked for in the simplest way.

use std::collections::{BTreeMap, BTreeSet};

use affzero_connections::tenancy::Plan;
use jiff::ToSpan;
use rust_decimal::{Decimal, RoundingStrategy};
use serde_json::{Value, json};

use super::{key, list, ndjson, path, walk};
use crate::app::TestApp;

const RANGE: &str = "from=2026-10-24&to=2026-11-08";

fn decimal(cell: &Value) -> Option<Decimal> {
    match cell {
        Value::Null => None,
        Value::String(text) => Some(text.parse().expect("a number")),
        other => Some(other.to_string().parse().expect("a number")),
    }
}

/// Metrics that add up, of rows of the same key and currency.
fn sums<'a>(rows: impl IntoIterator<Item = (&'a Value, Vec<String>)>) -> BTreeMap<Vec<String>, Vec<Decimal>> {
    let mut sums: BTreeMap<Vec<String>, Vec<Decimal>> = BTreeMap::new();
    for (row, mut key) in rows {
        key.push(row["currency"].to_string());
        let cells = ADDITIVE.map(|metric| decimal(&row[metric]).unwrap_or_default());
        let sum = sums.entry(key).or_insert_with(|| vec![Decimal::ZERO; ADDITIVE.len()]);
        sum.iter_mut().zip(cells).for_each(|(sum, cell)| *sum += cell);
    }
    sums
}

const ADDITIVE: [&str; 5] = ["impressions", "clicks", "conversions", "revenue", "payout"];

#[tokio::test(flavor = "multi_thread")]
async fn no_grouping_is_the_totals_of_any_grouping() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Whole").await;
    let by_offer = user.get(&path(&id, &format!("group_by=offer&{RANGE}"))).await.ok(200);
    for query in [RANGE.to_owned(), format!("group_by=&{RANGE}")] {
        let whole = user.get(&path(&id, &query)).await.ok(200);
        assert_eq!(whole["query"]["group_by"], json!([]));
        let expected = sums(list(&by_offer["totals"]).iter().map(|row| (row, vec![])));
        assert_eq!(sums(list(&whole["rows"]).iter().map(|row| (row, vec![]))), expected);
        assert_eq!(whole["row_count"], 2, "a row a currency");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn weeks_and_months_add_up_and_say_whether_they_are_whole() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Cycles").await;
    let days = walk(&user, &id, &format!("group_by=offer,date&{RANGE}&limit=1000")).await;
    let weeks = walk(&user, &id, &format!("group_by=offer,week&{RANGE}")).await;
    let week_of = |row: &Value| {
        let day: jiff::civil::Date = row["date"]["id"].as_str().expect("a day").parse().expect("a day");
        let week = day.iso_week_date();
        format!("{}-W{:02}", week.year(), week.week())
    };
    let expected = sums(days.iter().map(|row| (row, vec![key(row, &["offer"])[0].clone(), week_of(row)])));
    assert_eq!(sums(weeks.iter().map(|row| (row, key(row, &["offer", "week"])))), expected);
    let partial: BTreeMap<String, bool> = weeks
        .iter()
        .map(|row| (key(row, &["week"])[0].clone(), row["week"]["partial"].as_bool().expect("a flag")))
        .collect();
    // The 24th of October 2026 is a Saturday, the 8th of November a Sunday.
    let whole = [("2026-W43", true), ("2026-W44", false), ("2026-W45", false)];
    assert_eq!(partial, whole.map(|(week, is_cut)| (week.to_owned(), is_cut)).into());

    let months = walk(&user, &id, &format!("group_by=month&{RANGE}")).await;
    let expected = sums(days.iter().map(|row| (row, vec![key(row, &["date"])[0][..7].to_owned()])));
    assert_eq!(sums(months.iter().map(|row| (row, key(row, &["month"])))), expected);
    assert!(months.iter().all(|row| row["month"]["partial"] == true));
    assert_eq!(months[0]["month"]["name"], "2026-10");
    let whole = walk(&user, &id, "group_by=month&from=2026-10-01&to=2026-10-31").await;
    assert!(whole.iter().all(|row| row["month"]["partial"] == false));

    let csv = user.get(&path(&id, &format!("group_by=month&{RANGE}&metrics=clicks&format=csv"))).await;
    let mut lines = csv.text.lines();
    assert_eq!(lines.next(), Some(r#""month_id","month_name","month_partial","clicks","currency""#));
    assert!(lines.all(|line| line.starts_with("2026-1") && line.contains(",true,")), "{}", csv.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_filter_takes_any_value_and_the_lack_of_one() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Values").await;
    let all = walk(&user, &id, &format!("group_by=sub6&{RANGE}")).await;
    let ids: BTreeSet<String> = all.iter().map(|row| key(row, &["sub6"])[0].clone()).collect();
    let odd = BTreeSet::from(["", "travel, insurance", "страховка \\ онлайн"].map(str::to_owned));
    assert_eq!(ids, odd);
    let all = &all;
    for (filter, kept) in [
        ("filter[sub6]=", vec![""]),
        ("filter[sub6]=travel%5C,%20insurance", vec!["travel, insurance"]),
        ("filter[sub6]=&filter[sub6]=страховка%20%5C%5C%20онлайн", vec!["", "страховка \\ онлайн"]),
        ("filter[sub6]=travel", vec![]),
    ] {
        let rows = walk(&user, &id, &format!("group_by=sub6&{RANGE}&{filter}")).await;
        let expected: Vec<&Value> =
            all.iter().filter(|row| kept.contains(&row["sub6"]["id"].as_str().expect("an id"))).collect();
        assert_eq!(rows.iter().collect::<Vec<_>>(), expected, "{filter}");
        let hidden = walk(&user, &id, &format!("{RANGE}&{filter}")).await;
        let expected = sums(expected.into_iter().map(|row| (row, vec![])));
        assert_eq!(sums(hidden.iter().map(|row| (row, vec![]))), expected, "{filter}");
    }
    let week = walk(&user, &id, &format!("group_by=date&{RANGE}&filter[week]=2026-W44")).await;
    let days: BTreeSet<String> = week.iter().map(|row| key(row, &["date"])[0].clone()).collect();
    assert_eq!((days.first().map(String::as_str), days.len()), (Some("2026-10-26"), 7));
}

/// Which rows a question keeps.
type Keeps<'a> = Box<dyn Fn(&Value) -> bool + 'a>;

#[tokio::test(flavor = "multi_thread")]
async fn bounds_and_text_keep_rows_before_paging_and_totals_are_theirs() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Sieve").await;
    let plain = format!("group_by=affiliate,country&{RANGE}");
    let all = walk(&user, &id, &format!("{plain}&limit=1000")).await;
    let middle = |metric: &str| {
        let mut values: Vec<Decimal> = all.iter().filter_map(|row| decimal(&row[metric])).collect();
        values.sort_unstable();
        values[values.len() / 2]
    };
    let (clicks, cr) = (middle("clicks"), middle("cr"));
    let within = |row: &Value, metric: &str, keep: &dyn Fn(Decimal) -> bool| decimal(&row[metric]).is_some_and(keep);
    let cases: [(String, Keeps<'_>); 4] = [
        (format!("&min[clicks]={clicks}"), Box::new(|row| within(row, "clicks", &|value| value >= clicks))),
        (format!("&max[cr]={cr}"), Box::new(|row| within(row, "cr", &|value| value <= cr))),
        (
            format!("&min[clicks]={clicks}&max[cr]={cr}&search=МЕДИА"),
            Box::new(|row| {
                within(row, "clicks", &|value| value >= clicks)
                    && within(row, "cr", &|value| value <= cr)
                    && row.to_string().to_lowercase().contains("медиа")
            }),
        ),
        ("&search=blue%20heron".to_owned(), Box::new(|row| row["affiliate"]["id"] == "5008")),
    ];
    for (sieve, keeps) in &cases {
        let query = format!("{plain}{sieve}");
        let expected: Vec<&Value> = all.iter().filter(|row| keeps(row)).collect();
        for limit in [2, 1000] {
            let rows = walk(&user, &id, &format!("{query}&limit={limit}")).await;
            assert_eq!(rows.iter().collect::<Vec<_>>(), expected, "{sieve} {limit}");
        }
        let page = user.get(&path(&id, &format!("{query}&limit=1"))).await.ok(200);
        let totals = sums(expected.iter().map(|row| (*row, vec![])));
        assert_eq!(sums(list(&page["totals"]).iter().map(|row| (row, vec![]))), totals, "{sieve}");
        assert_eq!((&page["row_count"], &page["integrity"]["matches"]), (&json!(expected.len()), &json!(true)));
        let (lines, summary) = ndjson(&user, &id, &query).await;
        assert_eq!(lines.len(), expected.len(), "{sieve}");
        assert_eq!(sums(list(&summary["totals"]).iter().map(|row| (row, vec![]))), totals, "{sieve}");
    }
    let page = user.get(&path(&id, &format!("{plain}{}", cases[2].0))).await.ok(200);
    assert_eq!(page["query"]["min"], json!({ "clicks": clicks.to_string() }));
    assert_eq!(page["query"]["max"], json!({ "cr": cr.to_string() }));
    assert_eq!(page["query"]["search"], "МЕДИА");
    let none = user.get(&path(&id, &format!("{plain}&max[clicks]=-1"))).await.ok(200);
    assert_eq!((&none["rows"], &none["totals"]), (&json!([]), &json!([])));
}

/// How far a number is from an earlier one, over its absolute value.
fn change(now: Decimal, then: Decimal) -> Option<Decimal> {
    let change = (now - then).checked_div(then.abs())?;
    Some(change.round_dp_with_strategy(6, RoundingStrategy::MidpointNearestEven).normalize())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_comparison_puts_each_row_beside_what_it_was() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Before").await;
    let now = ("2026-10-19", "2026-10-25");
    for (mode, days, from, to) in [
        ("previous_period", 7, "2026-10-12", "2026-10-18"),
        ("previous_week", 7, "2026-10-12", "2026-10-18"),
        ("previous_year", 364, "2025-10-20", "2025-10-26"),
    ] {
        let query = format!("group_by=date,offer&from={}&to={}&compare={mode}&limit=1000", now.0, now.1);
        let page = user.get(&path(&id, &query)).await.ok(200);
        assert_eq!(page["query"]["compare"], json!({ "mode": mode, "from": from, "to": to }));
        assert_eq!(page["integrity"]["previous"]["matches"], true);
        assert_eq!(page["warnings"], json!([]));
        let then = walk(&user, &id, &format!("group_by=date,offer&from={from}&to={to}&limit=1000")).await;
        let shifted = |row: &Value| {
            let day: jiff::civil::Date = row["date"]["id"].as_str().expect("a day").parse().expect("a day");
            vec![day.saturating_add(i64::from(days).days()).to_string(), key(row, &["offer"])[0].clone()]
        };
        let then_by_key: BTreeMap<Vec<String>, &Value> =
            then.iter().map(|row| ([shifted(row), vec![row["currency"].to_string()]].concat(), row)).collect();
        let rows = list(&page["rows"]);
        assert!(!rows.is_empty());
        for row in &rows {
            let key = [key(row, &["date", "offer"]), vec![row["currency"].to_string()]].concat();
            let was = then_by_key.get(&key);
            for metric in ["clicks", "revenue", "profit"] {
                let expected = was.and_then(|was| decimal(&was[metric])).unwrap_or_default();
                assert_eq!(decimal(&row["previous"][metric]), Some(expected), "{mode} {metric} {row}");
                let now = decimal(&row[metric]).expect("a number");
                assert_eq!(decimal(&row["change"][metric]), change(now, expected), "{mode} {metric} {row}");
            }
            if let Some(was) = was {
                assert_eq!(row["previous"]["cr"], was["cr"]);
            }
        }
        let totals = sums(then.iter().map(|row| (row, vec![])));
        let previous = list(&page["totals"]).into_iter().map(|total| {
            let mut previous = total["previous"].clone();
            previous["currency"] = total["currency"].clone();
            previous
        });
        let previous: Vec<Value> = previous.collect();
        assert_eq!(sums(previous.iter().map(|row| (row, vec![]))), totals, "{mode}");

        let (lines, _) = ndjson(&user, &id, &query).await;
        assert_eq!(lines.len(), rows.len());
        assert!(lines.iter().all(|line| line.get("previous_clicks").is_some() && line.get("change_clicks").is_some()));
        let csv = user.get(&path(&id, &format!("{query}&format=csv&metrics=clicks"))).await;
        let header = csv.text.lines().next().expect("a header");
        assert!(header.ends_with(r#""clicks","previous_clicks","change_clicks","currency""#), "{header}");
        assert_eq!(csv.text.lines().count(), rows.len() + 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_is_refused_and_what_runs_says_so() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Limits").await;
    for (query, possible) in [
        ("group_by=week&compare=previous_month", "previous_period, previous_week, previous_year"),
        ("group_by=month&compare=previous_week", "previous_month, previous_year"),
    ] {
        for format in ["json", "csv"] {
            let answer = user.get(&path(&id, &format!("{query}&{RANGE}&format={format}"))).await;
            let problem = answer.problem(422, "unsupported_query");
            assert!(problem["detail"].as_str().expect("a detail").contains(possible), "{problem}");
            assert_eq!(problem["errors"][0]["pointer"], "/compare");
        }
    }
    user.get(&path(&id, "group_by=date&from=2026-03-30&to=2026-03-31&compare=previous_month"))
        .await
        .problem(422, "unsupported_query");
    let march = "group_by=date&from=2026-03-27&to=2026-03-31&compare=previous_month&limit=1000";
    let page = user.get(&path(&id, march)).await.ok(200);
    assert_eq!(page["query"]["compare"], json!({ "mode": "previous_month", "from": "2026-02-27", "to": "2026-02-28" }));
    for row in list(&page["rows"]) {
        let has_counterpart = row["date"]["id"].as_str() < Some("2026-03-29");
        assert_eq!(row["previous"]["clicks"].is_null(), !has_counterpart, "{row}");
    }
    let today = user.get(&path(&id, "group_by=date&preset=today&compare=previous_week")).await.ok(200);
    assert_eq!(today["warnings"][0]["code"], "period_running");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_of_a_comparison_are_kept_like_plain_questions() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Kept").await;
    let then = path(&id, "group_by=offer&from=2026-10-12&to=2026-10-18");
    let compared = path(&id, "group_by=offer&from=2026-10-19&to=2026-10-25&compare=previous_week&sort=-clicks");
    user.get(&compared).await.ok(200);
    let answer = user.get(&then).await;
    assert!(answer.header("cache-status").is_some_and(|status| status.starts_with("affzero; hit")), "{answer:?}");
    let again = user.get(&compared).await;
    assert!(again.header("cache-status").is_some_and(|status| status.starts_with("affzero; hit")), "{again:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_values_of_a_dimension_are_those_of_the_last_thirty_days() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let id = user.add_demo("Pick").await;
    let at = |dimension: &str, query: &str| format!("/api/v1/connections/{id}/dimensions/{dimension}/values?{query}");
    let listed = user.get(&at("affiliate", "timezone=Europe/Berlin&limit=100")).await.ok(200);
    let (from, to) = (listed["query"]["from"].as_str().expect("a day"), listed["query"]["to"].as_str().expect("a day"));
    let rows = walk(&user, &id, &format!("group_by=affiliate&from={from}&to={to}&timezone=Europe/Berlin")).await;
    let mut expected: BTreeMap<String, i64> = BTreeMap::new();
    for row in &rows {
        *expected.entry(key(row, &["affiliate"])[0].clone()).or_default() += row["clicks"].as_i64().expect("clicks");
    }
    let found: Vec<(String, i64)> = list(&listed["data"])
        .iter()
        .map(|value| (value["id"].as_str().expect("an id").to_owned(), value["clicks"].as_i64().expect("clicks")))
        .collect();
    assert_eq!(found.iter().cloned().collect::<BTreeMap<_, _>>(), expected);
    assert!(found.is_sorted_by(|one, other| one.1 >= other.1), "{found:?}");
    assert_eq!(listed["truncated"], false);
    let some = user.get(&at("affiliate", "limit=2")).await.ok(200);
    assert_eq!((list(&some["data"]).len(), &some["truncated"]), (2, &json!(true)));
    let heron = user.get(&at("affiliate", "q=HERON")).await.ok(200);
    assert_eq!(heron["data"][0]["id"], "5008");
    let blank = user.get(&at("sub1", "")).await.ok(200);
    assert!(list(&blank["data"]).iter().any(|value| value["id"] == ""), "{blank}");
    for dimension in ["date", "week", "month", "hour", "colour"] {
        let problem = user.get(&at(dimension, "")).await.problem(422, "unsupported_query");
        assert!(problem["detail"].as_str().expect("a detail").contains("affiliate"), "{problem}");
    }
    user.get(&at("affiliate", "limit=101&q=a&colour=red&timezone=Mars")).await.problem(422, "validation_failed");
    app.user("other", Plan::Pro).get(&at("affiliate", "")).await.problem(404, "not_found");
    app.user("other", Plan::Pro).get(&at("colour", "")).await.problem(404, "not_found");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_table_of_several_connections_has_the_rows_of_each() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let (one, two) = (user.add_demo("One").await, user.add_demo("Two").await);
    let question = format!("group_by=offer&{RANGE}");
    let mut expected = Vec::new();
    for (id, name) in [(&one, "One"), (&two, "Two")] {
        for mut row in walk(&user, id, &question).await {
            row["connection"] = json!({ "id": id, "name": name });
            expected.push(row);
        }
    }
    let merged = |query: &str| format!("/api/v1/stats?merge=true&{question}{query}");
    let page = user.get(&merged("&limit=1000&sort=connection")).await.ok(200);
    let by_id = |rows: &[Value]| -> BTreeMap<Vec<String>, Value> {
        let key = |row: &Value| [key(row, &["connection", "offer"]), vec![row["currency"].to_string()]].concat();
        rows.iter().map(|row| (key(row), row.clone())).collect()
    };
    assert_eq!(by_id(&list(&page["rows"])), by_id(&expected));
    assert_eq!(page["columns"][0], json!({ "key": "connection", "kind": "dimension", "label": "Connection" }));
    assert_eq!((&page["failures"], list(&page["connections"]).len()), (&json!([]), 2));
    let totals = sums(expected.iter().map(|row| (row, vec![])));
    assert_eq!(sums(list(&page["totals"]).iter().map(|row| (row, vec![]))), totals);
    for total in list(&page["totals"]) {
        let of = |metric: &str| decimal(&total[metric]).expect("a number");
        assert_eq!(of("profit"), of("revenue") - of("payout"));
    }

    let mut rows = Vec::new();
    let mut next = String::new();
    loop {
        let page = user.get(&merged(&format!("&limit=3&sort=-clicks{next}"))).await.ok(200);
        rows.extend(list(&page["rows"]));
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!((rows.len(), by_id(&rows)), (expected.len(), by_id(&expected)));
    assert!(rows.is_sorted_by(|one, other| one["clicks"].as_i64() >= other["clicks"].as_i64()));

    let csv = user.get(&merged("&format=csv&metrics=clicks")).await;
    assert_eq!(csv.text.lines().count(), expected.len() + 1);
    let header = r#""connection_id","connection_name","offer_id","offer_name","clicks","currency""#;
    assert_eq!(csv.text.lines().next(), Some(header));
    let head = user.send("HEAD", &merged("&format=csv&metrics=clicks"), &[], None).await;
    assert_eq!(head.header("content-disposition"), csv.header("content-disposition"));
    let compared = user.get(&merged("&compare=previous_period&limit=1000")).await.ok(200);
    assert_eq!(list(&compared["rows"]).len(), expected.len());
    assert!(list(&compared["rows"]).iter().all(|row| row["previous"]["clicks"].is_i64()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_fails_shows_in_a_merged_table_and_stops_a_file_without_a_place_for_it() {
    let app = TestApp::start().await;
    let user = app.user("acme", Plan::Pro);
    let good = user.add_demo("Good").await;
    let settings = json!({ "scenario": "rejected_key" });
    let bad = user.add(json!({ "name": "Bad", "platform": "demo", "settings": settings })).await;
    let merged = |query: &str| format!("/api/v1/stats?merge=true&group_by=offer&{RANGE}{query}");
    let page = user.get(&merged("")).await.ok(200);
    assert_eq!(page["failures"][0]["connection_id"], json!(bad));
    assert_eq!(page["failures"][0]["problem"]["code"], "credentials_rejected");
    assert_eq!(page["connections"][0]["connection"]["id"], json!(good));
    let refused = user.get(&merged("&format=csv")).await.problem(424, "credentials_rejected");
    assert_eq!(refused["failures"][0]["connection_id"], json!(bad));
    let partial = user.get(&merged("&format=csv&allow_partial=true")).await;
    assert_eq!(partial.status, 200, "{}", partial.text);
    let lines = user.get(&merged("&format=ndjson")).await;
    let last: Value = serde_json::from_str(lines.text.lines().last().expect("a summary")).expect("JSON");
    assert_eq!(last["summary"]["failures"][0]["connection_id"], json!(bad));
    user.get(&merged("&format=ndjson&summary=false")).await.problem(424, "credentials_rejected");
    user.get(&format!("/api/v1/stats?group_by=offer&{RANGE}&format=csv")).await.problem(422, "validation_failed");
}
