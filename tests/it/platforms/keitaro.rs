//! Keitaro: one report in two dialects, on panels of which nobody knows beforehand what they have.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use affzero_connections::outbound::error::{ErrorKind, PlatformError};
use affzero_connections::platforms::Pair;
use affzero_connections::platforms::calendar::{DateRange, Zone};
use affzero_connections::platforms::stats::{Dimension, Filters, Metrics, StatsQuery};
use affzero_connections::platforms::verification::{Detected, FailureCode, VerificationStatus};
use jiff::civil::{Date, date};
use jiff::{SignedDuration, Timestamp, ToSpan};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::{Value, json};

use crate::road::{Road, Table, code, hint, query, range};
use crate::stage::Stage;
use crate::support::keitaro::{
    Blank, COUNTRIES, CountedOn, Days, Dialect, Event, Front, Hours, KEY, Keitaro, Numbers, OLD_NAME, Objection,
    Readings, Sum, Total, Wrapping, parts, sample,
};
use crate::support::samples;
use crate::support::tracker::{Fault, Reply, Request, Simulator, Tracker};

use Dimension::{AffiliateNetwork, Campaign, Country, Hour, Offer, TrafficSource};

const DAY: Dimension = Dimension::Date;
const PAIR: Pair = Pair::KeitaroAdmin;

/// Five days around the end of summer time in Europe, and the night before them.
fn autumn() -> Vec<Event> {
    sample("2026-10-22T20:00:00Z".parse().expect("an instant"), 5 * 24)
}

fn day(number: i8) -> Date {
    date(2026, 10, number)
}

fn panel(change: impl FnOnce(&mut Readings)) -> Simulator {
    Simulator::start(Keitaro::new(autumn()).reading(change))
}

/// A connection whose last verification found this out.
fn remembering(simulator: &Simulator, dialect: Option<&str>, account: Option<&str>) -> Road {
    let [platform_version, account] = [dialect, account].map(|text| text.map(str::to_owned));
    Road {
        detected: Detected { platform_version, account, ..Detected::default() },
        ..Road::to(PAIR, &simulator.url, KEY)
    }
}

fn road(simulator: &Simulator) -> Road {
    remembering(simulator, None, None)
}

fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap_or_default()
}

#[derive(Debug, Clone)]
struct ReportCase {
    group_by: Vec<Dimension>,
    range: DateRange,
    zone: String,
    filters: Filters,
    counted_on: CountedOn,
    is_matured: bool,
}

impl ReportCase {
    fn by(group_by: &[Dimension], from: Date, to: Date, zone: &str) -> Self {
        Self {
            group_by: group_by.to_vec(),
            range: range(from, to),
            zone: zone.to_owned(),
            filters: Filters::new(),
            counted_on: CountedOn::Click,
            is_matured: false,
        }
    }

    fn only(mut self, dimension: Dimension, ids: &[&str]) -> Self {
        self.filters.insert(dimension, ids.iter().map(|id| (*id).into()).collect());
        self
    }

    fn query(&self) -> StatsQuery {
        let mut dimensions = self.group_by.clone();
        dimensions.extend(self.filters.keys().filter(|dimension| !self.group_by.contains(dimension)));
        StatsQuery { filters: self.filters.clone(), ..query(&dimensions, self.range, &self.zone) }
    }

    async fn ask(&self, road: &Road) -> Result<Table, PlatformError> {
        road.pull_by(&self.query(), &self.group_by).await
    }

    /// What the answer has to be, from the events alone.
    fn truth(&self, events: &[Event]) -> BTreeMap<Vec<String>, Sum> {
        let rules = Zone::find(&self.zone).expect("a zone").rules().clone();
        let mut groups: BTreeMap<Vec<String>, Vec<_>> = BTreeMap::new();
        for part in parts(events, self.counted_on) {
            let local = rules.to_datetime(part.at);
            let event = part.event;
            let id = |dimension: Dimension| -> String {
                match dimension {
                    Dimension::Date => local.date().to_string(),
                    Dimension::Hour => format!("{:02}", local.hour()),
                    Dimension::Campaign => event.campaign.to_string(),
                    Dimension::Offer => event.offer.map(|id| id.to_string()).unwrap_or_default(),
                    Dimension::AffiliateNetwork => event.network().unwrap_or_default().to_owned(),
                    Dimension::TrafficSource => event.source().to_string(),
                    _ => event.country.to_owned(),
                }
            };
            let passes = self.filters.iter().all(|(dimension, ids)| ids.contains(id(*dimension).as_str()));
            if self.range.contains(local.date()) && passes {
                groups.entry(self.group_by.iter().map(|dimension| id(*dimension)).collect()).or_default().push(part);
            }
        }
        groups.into_iter().map(|(key, parts)| (key, Sum::of(parts, self.is_matured))).collect()
    }
}

/// Holds a table against the truth, number by number. Unique clicks are only compared where they are known.
fn assert_true(table: &Table, question: &ReportCase, events: &[Event]) {
    let truth = question.truth(events);
    let rows: BTreeMap<Vec<String>, Metrics> =
        table.by_ids().into_iter().map(|((ids, _), metrics)| (ids, metrics)).collect();
    assert_eq!(rows.keys().collect::<Vec<_>>(), truth.keys().collect::<Vec<_>>(), "{question:?}");
    for (key, sum) in &truth {
        let got = &rows[key];
        let counts = [got.clicks, got.conversions, got.approved, got.pending, got.rejected];
        let expected = [sum.clicks, sum.conversions, sum.sales, sum.leads, sum.rejected].map(Some);
        assert_eq!(counts, expected, "{key:?} of {question:?}");
        assert_eq!((got.revenue, got.cost), (Some(sum.revenue), Some(sum.cost)), "{key:?} of {question:?}");
        assert!(got.unique_clicks.is_none_or(|unique| unique == sum.unique), "{key:?} of {question:?}");
    }
    assert_eq!(table.mismatches, Vec::<String>::new(), "{question:?}");
}

async fn assert_asked(question: &ReportCase, road: &Road, events: &[Event]) -> Table {
    let table = question.ask(road).await.unwrap_or_else(|error| panic!("{question:?}: {error}"));
    assert_true(&table, question, events);
    table
}

const GROUPINGS: [&[Dimension]; 14] = [
    &[DAY],
    &[Hour],
    &[Campaign],
    &[Offer],
    &[AffiliateNetwork],
    &[TrafficSource],
    &[Country],
    &[DAY, Hour],
    &[Campaign, DAY],
    &[Hour, Offer],
    &[DAY, AffiliateNetwork, Country],
    &[TrafficSource, Campaign, Offer],
    &[DAY, Hour, Campaign],
    &[],
];

// Verification

#[actix_web::test]
async fn a_key_is_proven_by_the_smallest_report_and_its_rights_are_looked_up() {
    let last = Zone::utc().date_at(Timestamp::now());
    let events = sample(Timestamp::now() - SignedDuration::from_hours(48), 48);
    let simulator = Simulator::start(Keitaro::new(events));
    let verification = road(&simulator).verify().await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    assert_eq!(verification.detected.platform_version.as_deref(), Some("grouping"));
    assert_eq!(verification.detected.account.as_deref(), Some("an administrator's key"));
    let requests = simulator.requests();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["/admin_api/v1/report/build", "/admin_api/v1/users"]);
    assert!(requests.iter().all(|request| request.header("api-key") == Some(KEY) && request.query.is_empty()));
    let asked = body(&requests[0]);
    assert_eq!((&asked["limit"], &asked["grouping"]), (&json!(1), &json!(["campaign_id", "campaign"])));
    let yesterday = last.saturating_sub(1.day());
    assert_eq!(asked["range"]["from"], json!(format!("{yesterday} 00:00:00")));
    assert_eq!(asked["range"]["to"], json!(format!("{yesterday} 23:59:59")));
}

#[actix_web::test]
async fn what_a_panel_without_traffic_understands_is_found_out_later() {
    let simulator = panel(|readings| readings.dialect = Dialect::Dimensions);
    let verification = road(&simulator).verify().await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    assert_eq!(verification.detected.platform_version, None);
    assert_asked(&ReportCase::by(&[DAY], day(24), day(26), "UTC"), &road(&simulator), &autumn()).await;
    // What an earlier verification found is kept.
    let verification = remembering(&simulator, Some("dimensions"), None).verify().await;
    assert_eq!(verification.detected.platform_version.as_deref(), Some("dimensions"));
}

#[actix_web::test]
async fn a_wrong_key_is_rejected_and_the_hint_says_where_keys_are() {
    let simulator = panel(|_| {});
    let verification = Road::to(PAIR, &simulator.url, "wrong-key-of-some-length").verify().await;
    assert_eq!(code(&verification), Some(FailureCode::CredentialsRejected));
    assert!(hint(&verification).contains("Maintenance → Users"), "{}", hint(&verification));
    let told = serde_json::to_string(&verification).expect("JSON");
    assert!(told.contains("Unauthorized") && !told.contains("wrong-key-of-some-length"), "{told}");
    assert_eq!(simulator.requests().len(), 1, "nothing else is asked with a refused key");
}

#[actix_web::test]
async fn an_edition_without_the_api_is_no_fault_of_the_key() {
    let simulator = panel(|readings| readings.without_api = true);
    let verification = road(&simulator).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::InsufficientPermissions));
    assert!(hint(&verification).contains("edition"), "{}", hint(&verification));
    let refused = ReportCase::by(&[DAY], day(24), day(24), "UTC").ask(&road(&simulator)).await.expect_err("no API");
    assert_eq!(refused.kind, ErrorKind::InsufficientPermissions);
}

#[actix_web::test]
async fn a_user_that_may_not_see_reports_is_told_from_one_that_may_see_nothing() {
    let simulator = panel(|readings| readings.denies_reports = true);
    let verification = road(&simulator).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::InsufficientPermissions));
    assert!(hint(&verification).contains("The key is good"), "{}", hint(&verification));
    simulator.always(Some(Fault::Instead(Reply::json(403, &json!({"error": "Access denied"})))));
    let verification = road(&simulator).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::InsufficientPermissions));
    assert!(!hint(&verification).contains("The key is good"), "{}", hint(&verification));
}

#[actix_web::test]
async fn refusals_of_old_versions_and_of_addresses_are_told_by_their_words() {
    let simulator = panel(|_| {});
    for (status, words, expected) in [
        (400, "Invalid API key", FailureCode::CredentialsRejected),
        (403, "Api-Key is not valid", FailureCode::CredentialsRejected),
        (403, "Your IP is not allowed", FailureCode::IpNotAllowed),
        (500, "Database is away", FailureCode::PlatformError),
    ] {
        simulator.always(Some(Fault::Instead(Reply::json(status, &json!({"error": words})))));
        let verification = road(&simulator).verify().await;
        assert_eq!(code(&verification), Some(expected), "{status} {words}: {verification:?}");
    }
}

#[actix_web::test]
async fn a_domain_that_carries_campaigns_is_not_the_panel() {
    let simulator = panel(|readings| readings.front = Front::TrafficDomain);
    let verification = road(&simulator).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::NotThisPlatform));
    assert!(hint(&verification).contains("where you log in"), "{}", hint(&verification));
    let old = panel(|readings| readings.without_reports = true);
    let verification = road(&old).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::NotThisPlatform));
    assert!(hint(&verification).contains("Update"), "{}", hint(&verification));
}

#[actix_web::test]
async fn what_stands_in_front_of_the_panel_says_nothing_of_the_key() {
    for front in [Front::Challenge, Front::PasswordWall] {
        let simulator = panel(|readings| readings.front = front);
        let verification = road(&simulator).verify().await;
        let code = code(&verification).expect("a failure");
        assert!(!code.is_refusal(), "{front:?}: {verification:?}");
    }
}

#[actix_web::test]
async fn a_panel_that_understands_neither_dialect_fails_by_name() {
    let simulator = panel(|readings| readings.dialect = Dialect::Neither);
    let refused = ReportCase::by(&[DAY], day(24), day(24), "UTC").ask(&road(&simulator)).await.expect_err("no dialect");
    assert_eq!(refused.kind, ErrorKind::BadResponse);
    assert!(refused.detail.contains("not understood"), "{}", refused.detail);
    let members: Vec<Value> = simulator.requests().iter().map(body).collect();
    assert!(members.iter().any(|asked| asked.get("grouping").is_some()));
    assert_eq!(members.len(), 2, "each dialect is tried once");
}

#[actix_web::test]
async fn the_other_dialect_is_tried_once_and_remembered() {
    for dialect in [Dialect::Dimensions, Dialect::DimensionsIgnoringOthers] {
        let simulator = panel(|readings| readings.dialect = dialect);
        let question = ReportCase::by(&[DAY, Campaign], day(23), day(25), "UTC");
        assert_asked(&question, &road(&simulator), &autumn()).await;
        let first = body(&simulator.requests()[0]);
        assert!(first.get("grouping").is_some() && first.get("dimensions").is_none(), "the documented one comes first");
        simulator.forget();
        assert_asked(&question, &remembering(&simulator, Some("dimensions"), None), &autumn()).await;
        let requests = simulator.requests();
        assert_eq!(requests.len(), 2, "a page and the panel's own sum");
        assert!(requests.iter().all(|request| body(request).get("measures").is_some()));
    }
    // A panel that was updated since is found out too.
    let simulator = panel(|_| {});
    let question = ReportCase::by(&[DAY, Campaign], day(23), day(25), "UTC");
    assert_asked(&question, &remembering(&simulator, Some("dimensions"), None), &autumn()).await;
}

#[actix_web::test]
async fn a_limited_users_key_gives_less_without_an_error_and_is_warned_of() {
    let simulator = panel(|readings| readings.sees_only = Some(vec![7]));
    let verification = road(&simulator).verify().await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    let account = verification.detected.account.expect("an account");
    let question = ReportCase::by(&[Campaign], day(24), day(25), "UTC");
    let table = question.ask(&remembering(&simulator, None, Some(&account))).await.expect("a report");
    assert_eq!(table.rows.len(), 1);
    assert_eq!(table.codes(), ["data_may_be_limited"]);
    // With an administrator's key there is nothing to warn of.
    let simulator = panel(|_| {});
    let account = road(&simulator).verify().await.detected.account.expect("an account");
    let table = question.ask(&remembering(&simulator, None, Some(&account))).await.expect("a report");
    assert_eq!(table.codes(), Vec::<&str>::new());
}

#[actix_web::test]
async fn a_list_of_users_that_does_not_come_holds_nothing_up() {
    let simulator = panel(|_| {});
    // A page is asked for once more.
    for (fault, calls) in [(Fault::Stall(Duration::from_secs(60)), 1), (Fault::Instead(Reply::html(200)), 2)] {
        simulator.inject([Fault::None, Fault::None].into_iter().chain(vec![fault; calls]));
        let verification = remembering(&simulator, None, Some("a limited user's key")).verify().await;
        assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
        assert_eq!(verification.detected.account.as_deref(), Some("a limited user's key"));
    }
}

// Statistics

#[actix_web::test]
async fn every_dimension_is_right_alone_and_combined_in_any_zone() {
    let events = autumn();
    let simulator = panel(|_| {});
    let road = remembering(&simulator, Some("grouping"), None);
    for zone in ["UTC", "Europe/Berlin", "Asia/Calcutta", "America/St_Johns", "Etc/GMT-3"] {
        for group_by in GROUPINGS {
            let table = assert_asked(&ReportCase::by(group_by, day(24), day(26), zone), &road, &events).await;
            assert_eq!(table.warnings, []);
        }
    }
    assert!(simulator.most_at_once() <= 2);
}

#[actix_web::test]
async fn hours_of_days_with_23_24_and_25_of_them_are_right() {
    for (zone, date) in [
        ("Europe/Berlin", day(25)),
        ("Europe/Berlin", date(2026, 3, 29)),
        ("America/Santiago", date(2026, 9, 6)),
        ("Australia/Lord_Howe", date(2026, 4, 5)),
        ("America/Havana", date(2024, 11, 3)),
    ] {
        let from = Zone::find(zone).expect("a zone").start_of(date).expect("a start");
        let events = sample(from - SignedDuration::from_hours(2), 30);
        for hours in [Hours::Number, Hours::Dated] {
            let simulator = Simulator::start(Keitaro::new(events.clone()).reading(|readings| readings.hours = hours));
            for group_by in [&[DAY, Hour][..], &[Hour], &[DAY]] {
                assert_asked(&ReportCase::by(group_by, date, date, zone), &road(&simulator), &events).await;
            }
        }
    }
}

#[actix_web::test]
async fn a_question_names_its_zone_its_seconds_and_no_filter_on_time() {
    let simulator = panel(|_| {});
    let question = ReportCase::by(&[DAY, Offer], day(24), day(25), "Europe/Berlin").only(DAY, &["2026-10-24"]);
    assert_asked(&question, &road(&simulator), &autumn()).await;
    let asked = body(&simulator.requests()[0]);
    let expected = json!({"from": "2026-10-24 00:00:00", "to": "2026-10-25 23:59:59", "timezone": "Europe/Berlin"});
    assert_eq!(asked["range"], expected);
    assert_eq!(asked.get("filters"), None);
    assert_eq!(asked["sort"], json!([{"name": "day", "order": "ASC"}, {"name": "offer_id", "order": "ASC"}]));
}

#[actix_web::test]
async fn a_simulated_panel_compares_times_in_utc_as_the_real_one_does() {
    // Why no question has such a filter: the same minute is meant by the range in one zone and by the filter in another.
    let events = autumn();
    let simulator = Keitaro::new(events.clone());
    let clicks = |filter: Value| -> i64 {
        let range = json!({"from": "2026-10-24", "to": "2026-10-24", "timezone": "Europe/Berlin"});
        let asked = json!({"range": range, "metrics": ["clicks"], "filters": filter});
        let headers = [("api-key", KEY), ("content-type", "application/json")];
        let reply = simulator.answer(&Request {
            method: "POST".to_owned(),
            path: "/admin_api/v1/report/build".to_owned(),
            query: Vec::new(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            body: asked.to_string().into(),
        });
        let answer: Value = serde_json::from_slice(&reply.body).expect("JSON");
        answer["rows"][0]["clicks"].as_i64().unwrap_or_else(|| panic!("{answer}"))
    };
    let day = ["2026-10-24 00:00:00", "2026-10-24 23:59:59"];
    let filtered = clicks(json!([{"name": "datetime", "operator": "BETWEEN", "expression": day}]));
    assert!(filtered < clicks(json!([])), "the first two hours of the day are lost");
}

#[actix_web::test]
async fn every_reading_gives_the_same_numbers() {
    let events = autumn();
    let readings: [fn(&mut Readings); 22] = [
        |readings| readings.dialect = Dialect::Dimensions,
        |readings| readings.dialect = Dialect::DimensionsIgnoringOthers,
        |readings| readings.numbers = Numbers::Texts,
        |readings| readings.numbers = Numbers::Plain,
        |readings| readings.total = Total::Text,
        |readings| readings.total = Total::Absent,
        |readings| readings.wrapping = Wrapping::Data,
        |readings| readings.wrapping = Wrapping::Bare,
        |readings| readings.wrapping = Wrapping::Positions,
        |readings| readings.days = Days::Midnight,
        |readings| readings.days = Days::Odd,
        |readings| readings.hours = Hours::TwoDigits,
        |readings| readings.hours = Hours::Clock,
        |readings| readings.hours = Hours::Dated,
        |readings| readings.hours = Hours::Odd,
        |readings| readings.lacking = vec!["hour"],
        |readings| readings.lacking = vec!["day"],
        |readings| (readings.blank, readings.more_columns) = (Blank::Empty, true),
        |readings| readings.blank = Blank::Dash,
        |readings| readings.blank = Blank::Zero,
        |readings| readings.page_cap = Some(7),
        |readings| readings.most_rows = Some(100),
    ];
    for (number, reading) in readings.into_iter().enumerate() {
        let simulator = panel(reading);
        for group_by in GROUPINGS {
            let question = ReportCase::by(group_by, day(23), day(26), "Europe/Berlin");
            let table = question.ask(&road(&simulator)).await;
            let table = table.unwrap_or_else(|error| panic!("reading {number} by {group_by:?}: {error}"));
            assert_true(&table, &question, &events);
            assert_eq!(table.warnings, [], "reading {number} by {group_by:?}");
        }
        assert!(simulator.most_at_once() <= 2, "reading {number}");
    }
}

#[actix_web::test]
async fn where_a_day_cannot_be_read_each_is_asked_for_by_itself() {
    let simulator = panel(|readings| readings.days = Days::Odd);
    let road = remembering(&simulator, Some("grouping"), None);
    let question = ReportCase::by(&[DAY, Campaign], day(23), day(26), "Europe/Berlin");
    let table = assert_asked(&question, &road, &autumn()).await;
    assert!(table.rows.iter().all(|row| row.metrics.unique_clicks.is_some()), "a day is not put together");
    let windows: BTreeSet<(String, String)> = simulator.requests()[2..]
        .iter()
        .map(|request| {
            ["from", "to"].map(|end| body(request)["range"][end].as_str().expect("a time").to_owned()).into()
        })
        .collect();
    assert_eq!(windows.len(), 4);
    assert!(windows.contains(&("2026-10-25 00:00:00".to_owned(), "2026-10-25 23:59:59".to_owned())));
    // So many calls may be too many.
    let few = Road { max_calls: 4, ..remembering(&simulator, Some("grouping"), None) };
    let refused = question.ask(&few).await.expect_err("too many calls");
    assert_eq!(refused.kind, ErrorKind::Unsupported);
    assert!(refused.detail.contains("longest range that works is 1 days"), "{}", refused.detail);
}

#[actix_web::test]
async fn visitors_are_not_added_up_where_hours_of_several_days_are() {
    let simulator = panel(|readings| readings.hours = Hours::Dated);
    let table = assert_asked(&ReportCase::by(&[Hour], day(24), day(26), "UTC"), &road(&simulator), &autumn()).await;
    assert!(table.rows.iter().all(|row| row.metrics.unique_clicks.is_none()));
    let simulator = panel(|_| {});
    let table = assert_asked(&ReportCase::by(&[Hour], day(24), day(26), "UTC"), &road(&simulator), &autumn()).await;
    assert!(table.rows.iter().all(|row| row.metrics.unique_clicks.is_some()), "the panel added them up itself");
}

#[actix_web::test]
async fn a_column_that_a_panel_lacks_is_unknown_and_warned_of() {
    for objection in [Objection::NamesIt, Objection::ListsOthers, Objection::Both, Objection::ByMember] {
        for omits_quietly in [false, true] {
            let simulator = panel(|readings| {
                readings.lacking = vec!["rejected", "cost", "campaign"];
                (readings.objection, readings.omits_quietly) = (objection, omits_quietly);
            });
            let question = ReportCase::by(&[Campaign], day(24), day(25), "UTC");
            let table = question.ask(&road(&simulator)).await.expect("a report");
            assert_eq!(table.rows.len(), 3);
            for row in &table.rows {
                assert_eq!((row.metrics.rejected, row.metrics.cost), (None, None));
                assert!(row.metrics.clicks.is_some() && row.metrics.revenue.is_some());
                assert_eq!(row.key[0].id, row.key[0].name);
            }
            assert_eq!(table.codes(), ["columns_hidden"], "{objection:?}");
            let detail = &table.warnings[0].detail;
            assert!(["rejected", "cost"].iter().all(|name| detail.contains(name)), "{objection:?}: {detail}");
            assert!(!detail.contains("revenue"), "{objection:?}: {detail}");
        }
    }
}

#[actix_web::test]
async fn a_grouping_that_a_panel_lacks_is_refused_by_name() {
    let simulator = panel(|readings| readings.lacking = vec!["affiliate_network"]);
    let question = ReportCase::by(&[AffiliateNetwork], day(24), day(25), "UTC");
    let refused = question.ask(&road(&simulator)).await.expect_err("no such column");
    assert_eq!(refused.kind, ErrorKind::Unsupported);
    assert!(refused.detail.contains("affiliate_network"), "{}", refused.detail);
    assert!(refused.hint.expect("a hint").contains("campaign"));
}

#[actix_web::test]
async fn a_report_that_ignores_paging_is_whole_or_an_error() {
    let question = ReportCase::by(&[DAY, Hour, Campaign], day(23), day(26), "UTC");
    // More rows than a page may have, all of them.
    let simulator = panel(|readings| (readings.most_rows, readings.ignores_limit) = (Some(100), true));
    assert_asked(&question, &road(&simulator), &autumn()).await;
    // More rows than a page may have, and nothing that says how many there are.
    let simulator = panel(|readings| {
        (readings.most_rows, readings.ignores_limit, readings.total) = (Some(100), true, Total::Absent);
    });
    let error = question.ask(&road(&simulator)).await.expect_err("nothing says that it is whole");
    assert_eq!(error.kind, ErrorKind::Inconsistent, "{error}");
    // The same page for ever.
    let simulator = panel(|readings| (readings.most_rows, readings.ignores_offset) = (Some(100), true));
    let error = question.ask(&road(&simulator)).await.expect_err("a page came twice");
    assert_eq!(error.kind, ErrorKind::Inconsistent, "{error}");
    assert!(error.detail.contains("twice"), "{error}");
    // One page is all there is, so its offset does not matter.
    let simulator = panel(|readings| readings.ignores_offset = true);
    assert_asked(&question, &road(&simulator), &autumn()).await;
    // Fewer rows than are counted.
    let simulator = panel(|readings| readings.total = Total::TooMany);
    let error = question.ask(&road(&simulator)).await.expect_err("rows are missing");
    assert_eq!(error.kind, ErrorKind::Inconsistent, "{error}");
}

#[actix_web::test]
async fn a_count_of_something_else_than_rows_is_a_mismatch() {
    let simulator = panel(|readings| readings.total = Total::Objects);
    let question = ReportCase::by(&[Campaign, Country], day(24), day(24), "UTC");
    let table = question.ask(&road(&simulator)).await.expect("a report");
    assert_eq!(table.rows.len(), 12);
    assert_eq!(table.mismatches, ["There are 12 rows, but Keitaro counts 6."]);
}

#[actix_web::test]
async fn rows_that_a_panel_leaves_out_show_against_its_own_sum() {
    let simulator = panel(|readings| readings.drops_blanks = true);
    let question = ReportCase::by(&[Offer], day(24), day(24), "UTC");
    let table = question.ask(&road(&simulator)).await.expect("a report");
    let [mismatch] = table.mismatches.as_slice() else { panic!("{:?}", table.mismatches) };
    assert!(mismatch.contains("clicks: the rows add up to") && mismatch.contains("cost"), "{mismatch}");
    // Campaigns always have a value.
    assert_asked(&ReportCase::by(&[Campaign], day(24), day(24), "UTC"), &road(&simulator), &autumn()).await;
}

#[actix_web::test]
async fn a_panel_that_does_not_say_its_own_sum_is_said_not_to() {
    let simulator = panel(|_| {});
    let road = remembering(&simulator, Some("grouping"), None);
    // Enough for one of them to meet it twice.
    simulator.inject([Fault::None].into_iter().chain(vec![Fault::Instead(Reply::html(200)); 3]));
    let question = ReportCase::by(&[Campaign], day(24), day(24), "UTC");
    let outcome = question.ask(&road).await;
    // Both leave at the same time; whichever met the fault, no number is wrong.
    match outcome {
        Ok(table) => {
            assert_true(&table, &question, &autumn());
            assert_eq!(table.codes(), ["total_unknown"]);
        }
        Err(error) => assert_eq!(error.kind, ErrorKind::NotThisPlatform),
    }
}

#[actix_web::test]
async fn a_renamed_campaign_is_one_row_with_its_last_name() {
    let since = "2026-10-25T12:00:00Z".parse().expect("an instant");
    let simulator = panel(|readings| readings.renamed = Some((12, since)));
    let table = assert_asked(&ReportCase::by(&[Campaign], day(24), day(26), "UTC"), &road(&simulator), &autumn()).await;
    let row = table.rows.iter().find(|row| row.key[0].id == "12").expect("the campaign");
    assert!(["Spring push", OLD_NAME].contains(&row.key[0].name.as_str()));
}

#[actix_web::test]
async fn what_belongs_to_nothing_has_a_blank_id_and_countries_have_codes() {
    let simulator = panel(|_| {});
    let table = assert_asked(&ReportCase::by(&[Offer], day(24), day(24), "UTC"), &road(&simulator), &autumn()).await;
    let blank = table.rows.iter().find(|row| row.key[0].id.is_empty()).expect("clicks without an offer");
    assert_eq!(blank.key[0].name, "(none)");
    let table = assert_asked(&ReportCase::by(&[Country], day(24), day(24), "UTC"), &road(&simulator), &autumn()).await;
    for row in &table.rows {
        assert!(COUNTRIES.contains(&(row.key[0].id.as_str(), row.key[0].name.as_str())), "{:?}", row.key);
    }
}

#[actix_web::test]
async fn filters_by_number_reach_the_panel_and_all_are_exact() {
    let simulator = panel(|_| {});
    let road = remembering(&simulator, Some("grouping"), None);
    let question = ReportCase::by(&[Country], day(23), day(24), "UTC").only(Campaign, &["12", "7"]);
    assert_asked(&question, &road, &autumn()).await;
    for request in simulator.requests() {
        let expected = json!([{"name": "campaign_id", "operator": "IN_LIST", "expression": [12, 7]}]);
        assert_eq!(body(&request)["filters"], expected);
    }
    for question in [
        ReportCase::by(&[Campaign], day(23), day(24), "UTC").only(TrafficSource, &["3"]).only(Country, &["DE"]),
        ReportCase::by(&[DAY], day(23), day(24), "UTC").only(Offer, &["41", ""]),
        ReportCase::by(&[Offer], day(23), day(24), "UTC").only(AffiliateNetwork, &["North Net"]),
    ] {
        assert_asked(&question, &road, &autumn()).await;
    }
}

#[actix_web::test]
async fn days_move_when_a_lead_becomes_a_sale_and_the_panel_decides_which_day() {
    let keitaro = Keitaro::new(autumn());
    let matured = keitaro.matured.clone();
    let simulator = Simulator::start(keitaro);
    let mut question = ReportCase::by(&[DAY], day(23), day(25), "UTC");
    assert_asked(&question, &road(&simulator), &autumn()).await;
    matured.store(true, Ordering::SeqCst);
    question.is_matured = true;
    assert_asked(&question, &road(&simulator), &autumn()).await;
    let simulator = panel(|readings| readings.counted_on = CountedOn::Conversion);
    let question = ReportCase { counted_on: CountedOn::Conversion, ..ReportCase::by(&[DAY], day(23), day(25), "UTC") };
    assert_asked(&question, &road(&simulator), &autumn()).await;
    let by_click = ReportCase::by(&[DAY], day(23), day(25), "UTC").truth(&autumn());
    assert_ne!(question.truth(&autumn()), by_click, "two panels differ for the same traffic");
}

#[actix_web::test]
async fn a_broken_name_costs_no_number() {
    let simulator = panel(|readings| readings.broken_name = true);
    let table = assert_asked(&ReportCase::by(&[Campaign], day(24), day(24), "UTC"), &road(&simulator), &autumn()).await;
    assert_eq!(table.codes(), ["text_repaired"]);
    assert!(table.rows.iter().all(|row| row.key[0].name.ends_with('\u{fffd}')));
}

#[actix_web::test]
async fn the_currency_is_what_the_settings_say() {
    let simulator = panel(|_| {});
    let query = ReportCase::by(&[Campaign], day(24), day(24), "UTC").query();
    let mut road = road(&simulator);
    assert!(road.pull(&query).await.expect("rows").rows.iter().all(|row| row.currency.is_none()));
    road.settings.push(("currency", "EUR".to_owned()));
    let rows = road.pull(&query).await.expect("rows").rows;
    assert!(rows.iter().all(|row| row.currency.is_some_and(|currency| currency.as_str() == "EUR")));
}

#[actix_web::test]
async fn a_report_that_takes_too_long_is_asked_for_in_halves() {
    let mut stage_sample = samples::of(PAIR, date(2026, 10, 31)).swap_remove(0);
    stage_sample.tracker = None;
    let stage = Stage::play(stage_sample, Some(Keitaro::new(autumn())), Duration::from_millis(700));
    // The real one would take half a minute.
    stage.simulator().inject([Fault::Stall(Duration::from_secs(30))]);
    let table = stage.pull(&[Campaign], range(day(23), day(26)), "UTC").await.expect("a report");
    assert_true(&table, &ReportCase::by(&[Campaign], day(23), day(26), "UTC"), &autumn());
    assert!(table.rows.iter().all(|row| row.metrics.unique_clicks.is_none()), "visitors of two halves are not added");
    let asked = stage.simulator().requests();
    let ends: Vec<Value> = asked.iter().map(|request| body(request)["range"]["to"].clone()).collect();
    assert_eq!(ends[..2], [json!("2026-10-26 23:59:59"), json!("2026-10-24 23:59:59")]);
}

/// Recites answers, one after another, the last one for ever.
struct Reciting(std::sync::Mutex<Vec<(u16, String)>>);

impl Reciting {
    fn start<'a>(answers: impl IntoIterator<Item = (u16, &'a str)>) -> Simulator {
        let mut answers: Vec<(u16, String)> =
            answers.into_iter().map(|(status, text)| (status, text.to_owned())).collect();
        answers.reverse();
        Simulator::start(Self(std::sync::Mutex::new(answers)))
    }
}

impl Tracker for Reciting {
    fn answer(&self, _: &Request) -> Reply {
        let mut answers = self.0.lock().expect("no panic");
        let (status, text) =
            if answers.len() > 1 { answers.pop() } else { answers.last().cloned() }.expect("an answer");
        Reply::text(status, "application/json", text)
    }
}

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../../", $name))
    };
}

#[actix_web::test]
async fn the_fixtures_are_read_as_they_say() {
    let ok = fixture!("fixtures/keitaro/admin/stats_ok.json");
    let total = fixture!("fixtures/keitaro/admin/total.json");
    let question = ReportCase::by(&[DAY, Campaign], date(2026, 11, 16), date(2026, 11, 17), "Europe/Madrid");
    let table = question.ask(&road(&Reciting::start([(200, ok), (200, total)]))).await.expect("a report");
    let lines: Vec<String> = table
        .rows
        .iter()
        .map(|row| {
            let Metrics { clicks, unique_clicks, conversions, approved, pending, rejected, revenue, cost, .. } =
                row.metrics;
            let counts =
                [clicks, unique_clicks, conversions, approved, pending, rejected].map(Option::unwrap_or_default);
            let [revenue, cost] =
                [revenue, cost].map(|amount| amount.map_or_else(|| "-".to_owned(), |it| it.to_string()));
            format!("{} {} {} {counts:?} {revenue} {cost}", row.key[0].id, row.key[1].id, row.key[1].name)
        })
        .collect();
    assert_eq!(
        lines,
        [
            "2026-11-16 12 Spring push [1034, 861, 9, 4, 4, 1] 176.50 88.1200",
            "2026-11-16 31 Nutra – DE [20, 19, 0, 0, 0, 0] 0 0.0000000000000568434188608080",
            "2026-11-17 40 40 [3, 3, 1, 0, 0, 0] - 0.3",
        ]
    );
    assert_eq!(table.mismatches, Vec::<String>::new());

    let empty = fixture!("fixtures/keitaro/admin/stats_empty.json");
    let table = question.ask(&road(&Reciting::start([(200, empty)]))).await.expect("a report");
    assert!(table.rows.is_empty());

    for (status, text, expected) in [
        (401, fixture!("fixtures/keitaro/admin/rejected.json"), ErrorKind::CredentialsRejected),
        (402, fixture!("fixtures/keitaro/admin/no_api.json"), ErrorKind::InsufficientPermissions),
        (406, fixture!("fixtures/keitaro/admin/not_accepted.json"), ErrorKind::BadResponse),
    ] {
        let refused = question.ask(&road(&Reciting::start([(status, text)]))).await.expect_err("a refusal");
        assert_eq!(refused.kind, expected, "{refused}");
    }

    let unknown = fixture!("fixtures/keitaro/admin/unknown_column.json");
    let simulator = Reciting::start([(400, unknown), (200, ok), (200, total)]);
    let table = question.ask(&road(&simulator)).await.expect("a report");
    assert_eq!(table.codes(), ["columns_hidden"]);
    assert!(table.rows.iter().all(|row| row.metrics.rejected.is_none()));
    let metrics = body(&simulator.requests()[1])["metrics"].clone();
    assert!(!metrics.as_array().expect("a list").contains(&json!("rejected")));
}

/// A page of a report by campaign, in the panel's own shape.
fn page(total: usize, rows: &[(u32, i64)]) -> String {
    let rows: Vec<Value> = rows
        .iter()
        .map(|(id, clicks)| {
            json!({
                "campaign_id": id, "campaign": "A", "clicks": clicks, "campaign_unique_clicks": clicks, "conversions": 0,
                "sales": 0, "leads": 0, "rejected": 0, "revenue": 0, "cost": 0,
            })
        })
        .collect();
    json!({"rows": rows, "total": total}).to_string()
}

#[actix_web::test]
async fn rows_that_move_while_pages_are_read_are_counted_once_and_warned_of() {
    let question = ReportCase::by(&[Campaign], day(24), day(24), "UTC");
    // The sum is asked for once the first page has shown how; then the second page, into which a row was pushed.
    let answers =
        [page(3, &[(1, 10), (3, 30)]), page(1, &[(0, 90)]), page(4, &[(3, 30), (4, 50)]), page(1, &[(0, 92)])];
    let simulator = Reciting::start(answers.iter().map(|text| (200, text.as_str())));
    let table = question.ask(&road(&simulator)).await.expect("a report");
    assert_eq!(table.rows.iter().filter_map(|row| row.metrics.clicks).collect::<Vec<_>>(), [10, 30, 50]);
    assert_eq!(table.mismatches, Vec::<String>::new());
    assert_eq!(table.codes(), ["data_moved"]);
    // A page that repeats a row while nothing has moved has lost another.
    let answers = [page(4, &[(1, 10), (3, 30)]), page(1, &[(0, 90)]), page(4, &[(3, 30), (4, 50)])];
    let simulator = Reciting::start(answers.iter().map(|text| (200, text.as_str())));
    let error = question.ask(&road(&simulator)).await.expect_err("a row is missing");
    assert_eq!(error.kind, ErrorKind::Inconsistent, "{error}");
}

#[actix_web::test]
async fn numbers_that_are_none_and_days_that_were_not_asked_for_are_errors() {
    let row = |change: &dyn Fn(&mut Value)| {
        let mut answer: Value = serde_json::from_str(fixture!("fixtures/keitaro/admin/stats_ok.json")).expect("JSON");
        change(&mut answer["rows"][0]);
        answer.to_string()
    };
    let question = ReportCase::by(&[DAY, Campaign], date(2026, 11, 16), date(2026, 11, 17), "Europe/Madrid");
    for (answer, expected) in [
        (row(&|row| row["clicks"] = json!("NaN")), ErrorKind::BadResponse),
        (row(&|row| row["revenue"] = json!("1,034.00 €")), ErrorKind::BadResponse),
        (row(&|row| row["day"] = json!("2026-11-15")), ErrorKind::Inconsistent),
        (row(&|row| row["campaign_id"] = json!({"id": 1})), ErrorKind::BadResponse),
    ] {
        let error = question.ask(&road(&Reciting::start([(200, answer.as_str())]))).await.expect_err("no report");
        assert_eq!(error.kind, expected, "{answer}: {error}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn every_question_is_answered_as_the_events_say(
        grouping in 0..GROUPINGS.len(), from in 23i8..27, length in 0i8..3, zone in "(UTC|Europe/Berlin|Asia/Kathmandu|America/New_York)",
        cap in 1usize..40, reading in 0usize..5,
    ) {
        let simulator = panel(|readings| {
            readings.page_cap = Some(cap);
            match reading {
                0 => readings.days = Days::Odd,
                1 => readings.dialect = Dialect::DimensionsIgnoringOthers,
                2 => (readings.numbers, readings.hours) = (Numbers::Texts, Hours::Dated),
                3 => readings.counted_on = CountedOn::Conversion,
                _ => {}
            }
        });
        let counted_on = if reading == 3 { CountedOn::Conversion } else { CountedOn::Click };
        let to = day(from).saturating_add(i64::from(length).days());
        let question = ReportCase { counted_on, ..ReportCase::by(GROUPINGS[grouping], day(from), to, &zone) };
        actix_web::rt::System::new().block_on(async {
            let table = question.ask(&road(&simulator)).await.expect("a report");
            if question.group_by.is_empty() {
                let clicks: i64 = question.truth(&autumn()).values().map(|sum| sum.clicks).sum();
                assert_eq!(table.rows[0].metrics.clicks, Some(clicks));
                let revenue: Decimal = question.truth(&autumn()).values().map(|sum| sum.revenue).sum();
                assert_eq!(table.rows[0].metrics.revenue, Some(revenue));
            } else {
                assert_true(&table, &question, &autumn());
            }
        });
    }
}
