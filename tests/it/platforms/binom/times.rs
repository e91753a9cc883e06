//! Binom v2 that groups days and hours by itself, held against the same installation asked by windows.

use std::collections::BTreeMap;

use affzero_connections::tenancy::Plan;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::support::binom::{Binom, Event, KEY, sample};
use crate::support::tracker::{Fault, Reply, Simulator};

/// Five days around the end of summer time in Europe.
const RANGE: &str = "from=2025-10-24&to=2025-10-28&timezone=Europe/Berlin";

fn events() -> Vec<Event> {
    sample("2025-10-22T20:00:00Z".parse().expect("an instant"), 8 * 24)
}

/// A service with one installation behind it.
struct Stage {
    app: TestApp,
    tracker: Simulator,
    id: String,
}

impl Stage {
    async fn set(times: Option<(&'static str, &'static str)>, off_by: i64) -> Self {
        let tracker = Simulator::start(Binom::v2("", events()).reading(|readings| {
            readings.times = times;
            readings.times_are_off_by = off_by;
        }));
        let app = TestApp::with(&[("STATS_CACHE_TTL_S", "0")]).await;
        let id = app
            .user("acme", Plan::Pro)
            .add(json!({
                "name": "Tracker", "platform": "binom", "connection_type": "admin",
                "settings": { "base_url": tracker.url }, "credentials": { "api_key": KEY },
            }))
            .await;
        Self { app, tracker, id }
    }

    /// The rows, and whose numbers they are held against.
    async fn rows(&self, question: &str) -> (BTreeMap<String, Value>, Value) {
        self.tracker.forget();
        let path = format!("/api/v1/connections/{}/stats?limit=1000&{question}&{RANGE}", self.id);
        let answer = self.app.user("acme", Plan::Pro).get(&path).await.ok(200);
        let rows = answer["rows"].as_array().expect("rows").iter();
        (rows.map(|row| (row["dimensions"].to_string(), row["metrics"].clone())).collect(), answer["integrity"].clone())
    }

    /// How often it was asked for groupings.
    fn reports(&self) -> usize {
        self.tracker.requests().iter().filter(|request| request.path.ends_with("/report/campaign")).count()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn days_and_hours_that_the_installation_groups_are_those_of_windows() {
    let windows = Stage::set(None, 0).await;
    for names in [("day", "hour"), ("dateDay", "dateHour")] {
        let grouped = Stage::set(Some(names), 0).await;
        for question in ["group_by=hour", "group_by=date,hour", "group_by=date,hour,campaign&filter[campaign]=7,12"] {
            let (expected, _) = windows.rows(question).await;
            let (first, integrity) = grouped.rows(question).await;
            assert!(!first.is_empty());
            assert_eq!(first, expected, "{names:?}, {question}");
            assert_eq!((&integrity["matches"], &integrity["against"]), (&json!(true), &json!("independent")));
            assert!(grouped.tracker.requests().len() <= 14, "names are tried, and no windows");
            let (again, _) = grouped.rows(question).await;
            assert_eq!(again, expected, "{names:?}, {question}");
            assert!(grouped.tracker.requests().len() <= 6, "nothing is tried twice");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hours_that_do_not_add_up_are_asked_for_by_windows_from_then_on() {
    let windows = Stage::set(None, 0).await;
    let off = Stage::set(Some(("day", "hour")), 1).await;
    for question in ["group_by=hour", "group_by=date,hour"] {
        let (expected, _) = windows.rows(question).await;
        let (rows, _) = off.rows(question).await;
        assert_eq!(rows, expected, "{question}");
    }
    off.rows("group_by=hour").await;
    assert_eq!(off.reports(), 0, "it is remembered");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_without_such_groupings_is_tried_once() {
    let stage = Stage::set(None, 0).await;
    let (first, _) = stage.rows("group_by=date,hour").await;
    assert_eq!(stage.reports(), 8, "every name once");
    let (again, _) = stage.rows("group_by=date,hour").await;
    assert_eq!((first == again, stage.reports()), (true, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stops_adding_up_goes_back_to_windows_at_once() {
    let stage = Stage::set(Some(("day", "hour")), 0).await;
    let (expected, _) = stage.rows("group_by=date,hour").await;
    let nothing = Reply::json(200, &json!({"report": [], "totals": []}));
    // The campaigns, then the report and what it is held against, in whatever order they arrive.
    stage.tracker.inject([Fault::None, Fault::Instead(nothing.clone()), Fault::Instead(nothing)]);
    let (rows, _) = stage.rows("group_by=date,hour").await;
    assert_eq!(rows, expected);
    stage.rows("group_by=date,hour").await;
    assert_eq!(stage.reports(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installation_that_is_away_for_a_moment_keeps_its_groupings() {
    let stage = Stage::set(Some(("day", "hour")), 0).await;
    let (expected, _) = stage.rows("group_by=date,hour").await;
    let away = Reply::json(500, &json!({"error": "Internal Server Error"}));
    // The campaigns, then the report and what it is held against, and what is tried again of them.
    stage.tracker.inject([Fault::None].into_iter().chain((0..4).map(|_| Fault::Instead(away.clone()))));
    let (rows, _) = stage.rows("group_by=date,hour").await;
    assert_eq!(rows, expected, "windows have the same");
    assert!(stage.tracker.requests().len() > 100, "it was windows");
    let (rows, _) = stage.rows("group_by=date,hour").await;
    assert_eq!(rows, expected);
    assert!(stage.reports() > 0 && stage.tracker.requests().len() <= 6, "nothing bad is remembered of it");
}
