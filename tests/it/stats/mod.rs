//! Statistics over HTTP, held against what the simulated trackers and Demo should add up to.

mod affise;
mod cache;
mod days;
mod demo;
mod files;
mod health;
mod json;
mod many;
mod questions;
mod streams;

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::civil::{Date, date};
use rust_decimal::Decimal;
use serde_json::{Map, Value, json};

use crate::app::{Answer, User};
use crate::support::affise::{ADMIN_KEY, AFFILIATE_KEY, Numbers, Owner};
use crate::support::tracker::{Request, Simulator};

/// A week in the middle of the simulated traffic.
const FROM: Date = date(2026, 9, 7);
const TO: Date = date(2026, 9, 13);
/// The same, as parameters.
const WEEK: &str = "from=2026-09-07&to=2026-09-13";

fn path(id: &str, query: &str) -> String {
    format!("/api/v1/connections/{id}/stats?{query}")
}

fn affise(simulator: &Simulator, owner: Owner) -> Value {
    let (kind, key) = match owner {
        Owner::Affiliate => ("affiliate", AFFILIATE_KEY),
        _ => ("admin", ADMIN_KEY),
    };
    json!({
        "name": format!("Affise {kind}"),
        "platform": "affise",
        "connection_type": kind,
        "settings": { "base_url": simulator.url },
        "credentials": { "api_key": key },
    })
}

/// Adds a connection to the simulated network and forgets what its verification asked.
async fn add(user: &User<'_>, simulator: &Simulator, owner: Owner) -> String {
    let id = user.add(affise(simulator, owner)).await;
    simulator.forget();
    id
}

/// The calls of pulls.
fn pulls(simulator: &Simulator) -> Vec<Request> {
    simulator.requests().into_iter().filter(|request| request.path == "/3.0/stats/custom").collect()
}

/// Asks again and again, for ten seconds at most, until there is an answer.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    for _ in 0..400 {
        if let Some(found) = ask().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("{what} did not come about");
}

async fn connection(user: &User<'_>, id: &str) -> Value {
    user.get(&format!("/api/v1/connections/{id}")).await.ok(200)
}

/// All rows of a question, page by page.
async fn walk(user: &User<'_>, id: &str, query: &str) -> Vec<Value> {
    let mut rows = Vec::new();
    let mut next = String::new();
    loop {
        let page = user.get(&path(id, &format!("{query}{next}"))).await.ok(200);
        rows.extend(list(&page["rows"]));
        match page["next_cursor"].as_str() {
            Some(cursor) => next = format!("&cursor={cursor}"),
            None => {
                assert_eq!(page["row_count"], rows.len(), "{query}");
                return rows;
            }
        }
        assert!(rows.len() < 100_000, "the pages never end");
    }
}

/// Every row, streamed, and the summary.
async fn ndjson(user: &User<'_>, id: &str, query: &str) -> (Vec<Value>, Value) {
    let answer = user.send("GET", &path(id, query), &[("accept", "application/x-ndjson")], None).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    let mut lines: Vec<Value> = answer.text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let last = lines.pop().expect("a summary");
    assert!(last.get("summary").is_some(), "{last}");
    (lines, last["summary"].clone())
}

fn list(value: &Value) -> Vec<Value> {
    value.as_array().expect("a list").clone()
}

/// The ids of a row's dimensions.
fn key(row: &Value, dimensions: &[&str]) -> Vec<String> {
    dimensions.iter().map(|dimension| row[dimension]["id"].as_str().expect("an id").to_owned()).collect()
}

/// The metrics of each row that add up, by its key. Unique clicks do not.
fn table(rows: &[Value], dimensions: &[&str]) -> BTreeMap<Vec<String>, Value> {
    let table: BTreeMap<_, _> = rows
        .iter()
        .map(|row| {
            let mut metrics = row.as_object().expect("a row").clone();
            metrics.retain(|name, _| !dimensions.contains(&name.as_str()));
            metrics.entry("unique_clicks").and_modify(|unique| *unique = Value::Null);
            (key(row, dimensions), Value::Object(metrics))
        })
        .collect();
    assert_eq!(table.len(), rows.len(), "every key comes once");
    table
}

/// A quotient as it must be written: rounded half-even to six places.
fn ratio(over: i128, under: i128) -> Value {
    if under == 0 {
        return Value::Null;
    }
    let (scaled, under) = (over * 1_000_000 * under.signum(), under.abs());
    let (whole, rest) = (scaled.div_euclid(under), scaled.rem_euclid(under));
    let up = match (rest * 2).cmp(&under) {
        std::cmp::Ordering::Less => 0,
        std::cmp::Ordering::Equal => whole.rem_euclid(2),
        std::cmp::Ordering::Greater => 1,
    };
    json!(Decimal::from_i128_with_scale(whole + up, 6).normalize().to_string())
}

fn money(ten_thousandths: i64) -> Value {
    json!(Decimal::new(ten_thousandths, 4).normalize().to_string())
}

/// What a row of the simulated network must say, all metrics of it.
fn metrics(owner: Owner, numbers: &Numbers) -> Value {
    let (revenue, payout, profit, currency) = match owner {
        Owner::Affiliate => (numbers.confirmed.revenue, Value::Null, Value::Null, Value::Null),
        _ => {
            let (charge, revenue) = (numbers.confirmed.charge, numbers.confirmed.revenue);
            (charge, money(revenue), money(charge - revenue), json!("EUR"))
        }
    };
    let (clicks, conversions) = (i128::from(numbers.clicks), i128::from(numbers.conversions()));
    json!({
        "impressions": numbers.views, "clicks": numbers.clicks, "unique_clicks": null,
        "conversions": numbers.conversions(), "approved": numbers.confirmed.count,
        "pending": numbers.pending.count, "rejected": numbers.declined.count, "hold": numbers.hold.count,
        "revenue": money(revenue), "payout": payout, "cost": null, "profit": profit,
        "cr": ratio(conversions, clicks), "epc": ratio(i128::from(revenue), clicks * 10_000),
        "ctr": ratio(clicks, i128::from(numbers.views)), "roi": null,
        "currency": currency,
    })
}

/// The sums of a table that was worked out from the traffic.
fn total<'a>(owner: Owner, rows: impl IntoIterator<Item = &'a Numbers>) -> Value {
    let mut sum = Numbers::default();
    rows.into_iter().for_each(|numbers| sum.add(numbers));
    metrics(owner, &sum)
}

/// Only these members.
fn only(value: &Value, members: &[&str]) -> Value {
    let kept: Map<String, Value> = members.iter().map(|name| ((*name).to_owned(), value[name].clone())).collect();
    Value::Object(kept)
}

/// Where in the query string something is wrong.
fn complaints(answer: &Answer) -> Vec<String> {
    let problem = answer.problem(422, "validation_failed");
    list(&problem["errors"]).iter().map(|error| error["pointer"].as_str().expect("a pointer").to_owned()).collect()
}
