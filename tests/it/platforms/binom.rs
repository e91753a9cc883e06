//! Binom: two generations behind one connection type, asked by windows of real time.

use std::collections::{BTreeMap, BTreeSet};

use affzero_connections::outbound::error::{ErrorKind, PlatformError};
use affzero_connections::platforms::Pair;
use affzero_connections::platforms::calendar::{DateRange, Zone};
use affzero_connections::platforms::stats::{Against, Check, Dimension, Filters, StatsQuery, WarningCode};
use affzero_connections::platforms::verification::{Detected, FailureCode, VerificationStatus};
use jiff::civil::{Date, date};
use jiff::{Timestamp, ToSpan};
use proptest::prelude::*;
use rust_decimal::Decimal;
use serde_json::Value;

use crate::road::{Road, Table, code, hint, query, range};
use crate::support::binom::{
    Ambiguity, Binom, CAMPAIGNS, COUNTRIES, CountryStyle, Event, HourStyle, KEY, NETWORKS, NoData, OFFERS, SOURCES,
    Sum, Wrapping, WrongKey, sample,
};
use crate::support::tracker::{Fault, Reply, Request, Simulator, Tracker};

use Dimension::{AffiliateNetwork, Campaign, Country, Hour, Offer, TrafficSource};

const DAY: Dimension = Dimension::Date;

fn at(address: impl AsRef<str>) -> Road {
    Road::to(Pair::BinomAdmin, address.as_ref(), KEY)
}

/// A connection whose last verification found this generation.
fn remembering(generation: &str, address: impl AsRef<str>) -> Road {
    Road { detected: Detected { platform_version: Some(generation.to_owned()), ..Detected::default() }, ..at(address) }
}

fn v2(simulator: &Simulator) -> Road {
    remembering("v2", &simulator.url)
}

fn v1(simulator: &Simulator) -> Road {
    remembering("v1", format!("{}{PANEL}", simulator.url))
}

#[derive(Debug, Clone)]
struct ReportCase {
    group_by: Vec<Dimension>,
    range: DateRange,
    zone: &'static str,
    filters: Filters,
}

impl ReportCase {
    fn by(group_by: &[Dimension], from: Date, to: Date, zone: &'static str) -> Self {
        Self { group_by: group_by.to_vec(), range: range(from, to), zone, filters: Filters::new() }
    }

    fn only(mut self, dimension: Dimension, ids: &[&str]) -> Self {
        self.filters.insert(dimension, ids.iter().map(|id| (*id).into()).collect());
        self
    }

    fn query(&self) -> StatsQuery {
        let mut dimensions = self.group_by.clone();
        dimensions.extend(self.filters.keys().filter(|dimension| !self.group_by.contains(dimension)));
        StatsQuery { filters: self.filters.clone(), ..query(&dimensions, self.range, self.zone) }
    }

    async fn ask(&self, road: &Road) -> Result<Table, PlatformError> {
        let table = road.pull_by(&self.query(), &self.group_by).await?;
        // It fails where a key comes twice.
        table.by_key();
        Ok(table)
    }

    /// What the answer has to be, from the events alone.
    ///
    /// Clicks that reached no offer are in no list of offers or networks; in a nested report they are unknown.
    fn truth(&self, events: &[Event]) -> BTreeMap<Vec<String>, Sum> {
        let rules = Zone::find(self.zone).expect("a zone").rules().clone();
        let query = self.query();
        let entities: Vec<Dimension> =
            query.dimensions.iter().copied().filter(|dimension| !dimension.is_time()).collect();
        let mut groups: BTreeMap<Vec<String>, Vec<&Event>> = BTreeMap::new();
        for event in events {
            let local = rules.to_datetime(event.at);
            let id = |dimension: Dimension| -> Option<String> {
                Some(match dimension {
                    Dimension::Date => local.date().to_string(),
                    Dimension::Hour => format!("{:02}", local.hour()),
                    Dimension::Campaign => event.campaign.to_string(),
                    Dimension::Offer => event.offer?.to_string(),
                    Dimension::AffiliateNetwork => event.network()?.to_string(),
                    Dimension::TrafficSource => event.source().to_string(),
                    _ => event.country.to_owned(),
                })
            };
            let listed = entities.len() != 1 || entities.iter().all(|dimension| id(*dimension).is_some());
            let passes = self
                .filters
                .iter()
                .all(|(dimension, ids)| ids.contains(id(*dimension).unwrap_or_else(|| "unknown".to_owned()).as_str()));
            if self.range.contains(local.date()) && listed && passes {
                let key = self.group_by.iter().map(|dimension| id(*dimension).unwrap_or_else(|| "unknown".to_owned()));
                groups.entry(key.collect()).or_default().push(event);
            }
        }
        groups.into_iter().map(|(key, events)| (key, Sum::of(events))).collect()
    }
}

/// What its rows call each id.
fn names(table: &Table) -> BTreeMap<String, String> {
    let values = table.rows.iter().flat_map(|row| &row.key);
    values.map(|value| (value.id.to_string(), value.name.to_string())).collect()
}

fn currencies(table: &Table) -> BTreeSet<Option<String>> {
    table.rows.iter().map(|row| row.currency.map(|currency| currency.as_str().to_owned())).collect()
}

/// Holds a pull against the truth, number by number.
fn assert_true(pulled: &Table, question: &ReportCase, events: &[Event]) {
    let truth = question.truth(events);
    let rows = pulled.by_key();
    let keys: Vec<&Vec<String>> = rows.keys().collect();
    assert_eq!(keys, truth.keys().collect::<Vec<_>>(), "{question:?}");
    for (key, sum) in &truth {
        let got = &rows[key];
        // Visitors of several parts are not told apart.
        assert!(got.unique_clicks.is_none_or(|unique| unique == sum.unique), "{key:?} of {question:?}");
        let expected = (Some(sum.clicks), Some(sum.leads), Some(sum.revenue), Some(sum.cost));
        assert_eq!((got.clicks, got.conversions, got.revenue, got.cost), expected, "{key:?} of {question:?}");
    }
    assert!(pulled.checks.iter().all(|check| check.mismatch.is_none()), "{:?} of {question:?}", pulled.checks);
}

const PANEL: &str = "/jl8sn.php";

/// Five days around the end of summer time in Europe, and the night before them.
fn autumn() -> Vec<Event> {
    sample("2026-10-22T20:00:00Z".parse().expect("an instant"), 5 * 24)
}

fn day(number: i8) -> Date {
    date(2026, 10, number)
}

// Verification

#[actix_web::test]
async fn v2_is_found_out_by_its_own_greeting_and_proven_by_a_report() {
    let simulator = Simulator::start(Binom::v2("", autumn()));
    let verification = at(format!("{}/panel/campaigns", simulator.url)).verify().await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    assert_eq!(verification.detected.platform_version.as_deref(), Some("v2"));
    assert_eq!(verification.detected.account.as_deref(), Some("user 2 (admin)"));
    let requests = simulator.requests();
    let paths: Vec<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    assert_eq!(paths, ["/public/api/v1/user/role", "/public/api/v1/stats/campaign"]);
    assert!(requests.iter().all(|request| request.header("api-key") == Some(KEY)));
    assert!(requests.iter().all(|request| request.param("api_key").is_none()));
    assert_eq!((requests[1].param("limit"), requests[1].param("datePreset")), (Some("1"), Some("custom_time")));
}

#[actix_web::test]
async fn an_installation_below_a_path_keeps_its_path() {
    let simulator = Simulator::start(Binom::v2("/binom", autumn()).reading(|readings| readings.older_build = true));
    let verification = at(format!("{}/binom/public/api/v1/", simulator.url)).verify().await;
    assert_eq!(verification.status, VerificationStatus::Ok, "{verification:?}");
    assert_eq!(simulator.requests()[1].path, "/binom/public/api/v1/date_preset/list");
}

#[actix_web::test]
async fn v1_is_found_by_its_file_at_the_root_and_as_index_php() {
    for (path, typed, calls) in [
        (PANEL, PANEL, 2),
        ("/sub/x.php", "/sub/x.php?page=Campaigns", 2),
        ("/", "", 3),
        ("/index.php", "", 4),
        ("/b/index.php", "/b/", 4),
    ] {
        let simulator = Simulator::start(Binom::v1(path, autumn()));
        let verification = at(format!("{}{typed}", simulator.url)).verify().await;
        assert_eq!(verification.status, VerificationStatus::Ok, "{path}: {verification:?}");
        assert_eq!(verification.detected.platform_version.as_deref(), Some("v1"));
        let requests = simulator.requests();
        assert_eq!(requests.len(), calls, "{path}");
        let last = requests.last().expect("a request");
        assert_eq!(
            (last.path.as_str(), last.param("page"), last.param("api_key")),
            (path, Some("Campaigns"), Some(KEY))
        );
        assert_eq!(last.header("api-key"), None);
    }
}

#[actix_web::test]
async fn a_wrong_key_is_rejected_in_binoms_own_words() {
    let simulator = Simulator::start(Binom::v2("", autumn()));
    let verification = at(&simulator.url).with_credential("api_key", "wrong-key-of-some-length").verify().await;
    assert_eq!(verification.status, VerificationStatus::Failed);
    assert_eq!(code(&verification), Some(FailureCode::CredentialsRejected));
    assert!(hint(&verification).contains("Settings → User"));
    let failure = verification.failure.expect("a failure");
    assert_eq!(failure.pointer.as_deref(), Some("/credentials/api_key"));
    assert!(failure.detail.contains("Full authentication is required"));
}

#[actix_web::test]
async fn no_answer_of_v1_to_a_wrong_key_passes() {
    for (wrong_key, expected) in [
        (WrongKey::ErrorObject, FailureCode::CredentialsRejected),
        (WrongKey::Empty, FailureCode::CredentialsRejected),
        // An empty 403 may be anybody's.
        (WrongKey::Forbidden, FailureCode::AccessBlocked),
        (WrongKey::Html, FailureCode::NotThisPlatform),
        (WrongKey::Redirect, FailureCode::Redirected),
    ] {
        let simulator = Simulator::start(Binom::v1(PANEL, autumn()).reading(|readings| readings.wrong_key = wrong_key));
        let road =
            at(format!("{}{PANEL}", simulator.url)).with_credential("api_key", "&api_key=wrong-key-of-some-length");
        let verification = road.verify().await;
        assert_eq!(code(&verification), Some(expected), "{wrong_key:?}");
        let told = serde_json::to_string(&verification).expect("JSON");
        assert!(!told.contains("wrong-key-of-some-length"), "{told}");
        match wrong_key {
            WrongKey::Redirect => {}
            WrongKey::Forbidden => assert!(hint(&verification).contains("A wrong key can look the same")),
            _ => assert!(hint(&verification).contains(".php"), "{wrong_key:?}"),
        }
    }
}

#[actix_web::test]
async fn a_key_pasted_with_its_parameter_is_sent_bare() {
    let simulator = Simulator::start(Binom::v1(PANEL, autumn()));
    let road = at(format!("{}{PANEL}", simulator.url)).with_credential("api_key", &format!("&api_key={KEY}"));
    assert_eq!(road.verify().await.status, VerificationStatus::Ok);
}

#[actix_web::test]
async fn another_product_is_not_this_platform_and_the_full_address_is_asked_for() {
    for reply in [
        Reply::html(200),
        Reply::html(404),
        Reply::json(404, &serde_json::json!({"message": "no"})),
        Reply::json(200, &serde_json::json!({"hello": "world"})),
        Reply::text(200, "text/plain", "ok"),
        Reply::json(200, &serde_json::json!([])),
    ] {
        let simulator = Simulator::start(Binom::v2("", Vec::new()));
        simulator.always(Some(Fault::Instead(reply.clone())));
        let verification = at(&simulator.url).verify().await;
        assert_eq!(code(&verification), Some(FailureCode::NotThisPlatform), "{reply:?}");
        assert!(hint(&verification).contains(".php"), "{reply:?}");
    }
}

#[actix_web::test]
async fn a_redirect_is_named_and_not_followed() {
    let simulator = Simulator::start(Binom::v2("", Vec::new()));
    let elsewhere = Reply::html(301).with_header("location", "https://trk.example.com/?api_key=x");
    simulator.always(Some(Fault::Instead(elsewhere)));
    let verification = at(&simulator.url).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::Redirected));
    assert!(verification.failure.expect("a failure").detail.contains("https://trk.example.com."));
}

#[actix_web::test]
async fn a_key_that_may_not_read_reports_lacks_permissions() {
    let simulator = Simulator::start(Binom::v2("", autumn()));
    let denied = serde_json::json!({"errors": {"title": "AccessDenied", "detail": "Access Denied.", "status": 403}});
    simulator.inject([Fault::None, Fault::Instead(Reply::json(403, &denied))]);
    let verification = at(&simulator.url).verify().await;
    assert_eq!(code(&verification), Some(FailureCode::InsufficientPermissions));
}

// Statistics of v2

#[actix_web::test]
async fn v2_answers_every_dimension_alone_and_combined_in_any_zone() {
    let events = autumn();
    let simulator = Simulator::start(Binom::v2("", events.clone()));
    let road = v2(&simulator);
    for zone in ["UTC", "Europe/Berlin", "Asia/Calcutta", "America/St_Johns", "Etc/GMT-3"] {
        for group_by in [
            &[DAY][..],
            &[Hour],
            &[Campaign],
            &[Offer],
            &[AffiliateNetwork],
            &[TrafficSource],
            &[Country],
            &[DAY, Campaign],
            &[Offer, DAY],
            &[DAY, AffiliateNetwork],
            &[DAY, TrafficSource],
            &[Country, DAY],
            &[Campaign, Offer, Country],
            &[AffiliateNetwork, Offer],
            &[DAY, TrafficSource, Country],
            &[TrafficSource, Campaign, Offer],
        ] {
            let question = ReportCase::by(group_by, day(24), day(26), zone);
            let pulled = question.ask(&road).await.expect("a report");
            assert_true(&pulled, &question, &events);
            assert_eq!(pulled.warnings, []);
        }
    }
}

#[actix_web::test]
async fn v2_counts_the_hours_of_days_with_23_24_and_25_of_them() {
    for (zone, date, last) in [
        ("Europe/Berlin", day(25), 24),
        ("Europe/Berlin", day(24), 24),
        ("Asia/Kathmandu", day(24), 24),
        ("America/Santiago", date(2026, 9, 6), 23),
        ("Australia/Lord_Howe", date(2026, 4, 5), 24),
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("America/Havana", date(2024, 11, 3), 24),
    ] {
        let from = Zone::find(zone).expect("a zone").start_of(date).expect("a start");
        let events = sample(from - jiff::SignedDuration::from_hours(2), 30);
        for ambiguity in [Ambiguity::First, Ambiguity::Last, Ambiguity::Either] {
            let binom = Binom::v2("", events.clone()).reading(|readings| readings.ambiguity = ambiguity);
            let simulator = Simulator::start(binom);
            let question = ReportCase::by(&[DAY, Hour], date, date, zone);
            let pulled = question.ask(&v2(&simulator)).await.expect("a report");
            assert_true(&pulled, &question, &events);
            let requests = simulator.requests();
            let windows = requests.iter().filter(|request| !request.path.ends_with("/report/campaign"));
            // Two more are for the totals of the day as a whole, and for the campaigns that groupings are tried with.
            assert_eq!(windows.count(), last + 2, "{zone} {date}");
        }
    }
}

#[actix_web::test]
async fn v2_is_asked_for_windows_of_instants_to_the_second() {
    let simulator = Simulator::start(Binom::v2("", autumn()));
    let question = ReportCase::by(&[DAY, Offer], day(24), day(25), "Europe/Berlin");
    question.ask(&v2(&simulator)).await.expect("a report");
    let mut asked: Vec<_> = simulator
        .requests()
        .iter()
        .map(|request| {
            assert_eq!(request.path, "/public/api/v1/stats/offer");
            ["dateFrom", "dateTo", "timezone", "limit", "offset"]
                .map(|name| request.param(name).unwrap_or("").to_owned())
        })
        .collect();
    asked.sort();
    assert_eq!(
        asked,
        [
            ["2026-10-23 22:00:00", "2026-10-24 21:59:59", "UTC", "1000", "0"],
            ["2026-10-24 22:00:00", "2026-10-25 22:59:59", "UTC", "1000", "0"],
        ]
    );
}

#[actix_web::test]
async fn every_reading_of_v2_gives_the_same_numbers() {
    let events = autumn();
    let readings: [fn(&mut crate::support::binom::Readings); 13] = [
        |readings| readings.level_as_number = true,
        |readings| readings.country = CountryStyle::Code,
        |readings| readings.country = CountryStyle::Both,
        |readings| readings.country = CountryStyle::Own,
        |readings| readings.older_build = true,
        |readings| readings.wrapping = Wrapping::Data,
        |readings| (readings.wrapping, readings.totals_row_in_report) = (Wrapping::Bare, true),
        |readings| readings.totals_row_in_report = true,
        |readings| readings.limit_counts_outermost = true,
        |readings| readings.page_cap = Some(2),
        |readings| readings.custom_columns = false,
        |readings| readings.vague_content_type = true,
        |readings| readings.noise = true,
    ];
    for (number, reading) in readings.into_iter().enumerate() {
        let simulator = Simulator::start(Binom::v2("", events.clone()).reading(reading));
        for group_by in [&[Campaign][..], &[Campaign, Country], &[TrafficSource, Offer, Country]] {
            let question = ReportCase::by(group_by, day(23), day(26), "Europe/Berlin");
            let pulled = question.ask(&v2(&simulator)).await;
            let pulled = pulled.unwrap_or_else(|error| panic!("reading {number}: {error}"));
            assert_true(&pulled, &question, &events);
        }
    }
}

#[actix_web::test]
async fn columns_the_user_cannot_see_are_unknown_and_said_to_be() {
    let binom = Binom::v2("", autumn()).reading(|readings| readings.hidden = vec!["revenue", "cost"]);
    let simulator = Simulator::start(binom);
    for group_by in [&[Campaign][..], &[DAY], &[Campaign, Country]] {
        let question = ReportCase::by(group_by, day(23), day(24), "UTC");
        let pulled = question.ask(&v2(&simulator)).await.expect("a report");
        assert!(
            pulled.by_key().values().all(|row| row.clicks.is_some() && row.revenue.is_none() && row.cost.is_none())
        );
        let [warning] = pulled.warnings.as_slice() else { panic!("{:?}", pulled.warnings) };
        assert_eq!(warning.code, WarningCode::ColumnsHidden);
        assert!(warning.detail.contains("revenue, cost"), "{}", warning.detail);
    }
}

#[actix_web::test]
async fn names_come_from_the_tracker_and_the_currency_from_the_settings() {
    let simulator = Simulator::start(Binom::v2("", autumn()));
    let question = ReportCase::by(&[Campaign, Country], day(23), day(24), "UTC");
    let pulled = question.ask(&v2(&simulator).with_setting("currency", "EUR")).await.expect("a report");
    assert_eq!(currencies(&pulled), BTreeSet::from([Some("EUR".to_owned())]));
    let names = names(&pulled);
    assert_eq!(names["9"], "Sweeps (id:99)");
    assert_eq!(names["CI"], "Côte d'Ivoire");
    assert!(!names.contains_key("41"), "a campaign without traffic is no row");
    let pulled = question.ask(&v2(&simulator)).await.expect("a report");
    assert_eq!(currencies(&pulled), BTreeSet::from([None]));
}

#[actix_web::test]
async fn filters_reach_the_tracker_where_it_takes_ids_and_are_exact_everywhere() {
    let events = autumn();
    let simulator = Simulator::start(Binom::v2("", events.clone()));
    let question = ReportCase::by(&[Country], day(23), day(24), "UTC").only(Campaign, &["7", "12"]);
    let pulled = question.ask(&v2(&simulator)).await.expect("a report");
    assert_true(&pulled, &question, &events);
    let last = simulator.requests().pop().expect("a request");
    let mut ids = last.params("ids[]");
    ids.sort_unstable();
    assert_eq!((last.path.as_str(), ids), ("/public/api/v1/report/campaign", vec!["12", "7"]));
    for question in [
        ReportCase::by(&[Campaign], day(23), day(24), "UTC").only(TrafficSource, &["24"]).only(Country, &["DE"]),
        ReportCase::by(&[Offer], day(23), day(24), "UTC").only(Offer, &["41", "44"]),
    ] {
        let pulled = question.ask(&v2(&simulator)).await.expect("a report");
        assert_true(&pulled, &question, &events);
    }
}

#[actix_web::test]
async fn a_count_that_its_pages_do_not_hold_fails_and_wrong_totals_are_reported() {
    let simulator = Simulator::start(Binom::v2("", Vec::new()));
    let question = ReportCase::by(&[Campaign], day(23), day(24), "UTC");
    let page = |count: &str, clicks: &str| {
        let row = serde_json::json!({"id": "7", "name": "A", "clicks": "5", "leads": "1", "revenue": "2", "cost": "1"});
        let totals = serde_json::json!({"id": "totals", "clicks": clicks, "revenue": "2.0049", "total_count": count});
        Fault::Instead(Reply::json(200, &serde_json::json!([row, totals])))
    };
    simulator.always(Some(page("3", "5")));
    let error = question.ask(&v2(&simulator)).await.expect_err("rows are missing");
    assert_eq!(error.kind, ErrorKind::Inconsistent, "{error}");
    simulator.always(Some(page("1", "6")));
    let pulled = question.ask(&v2(&simulator)).await.expect("a report");
    let mismatch = pulled.checks[0].mismatch.as_deref().expect("a mismatch");
    assert!(mismatch.contains("clicks") && mismatch.contains('6'), "{mismatch}");
    simulator.always(Some(page("1", "5")));
    let pulled = question.ask(&v2(&simulator)).await.expect("a report");
    assert_eq!(pulled.checks, [Check { against: Against::Independent, mismatch: None }]);
}

/// A v2 installation with more campaigns than a page holds, each with five offers of one click.
struct Crowd {
    campaigns: usize,
    limit_counts_outermost: bool,
}

impl Tracker for Crowd {
    fn answer(&self, request: &Request) -> Reply {
        let number = |name: &str| -> usize { request.param(name).and_then(|text| text.parse().ok()).expect(name) };
        let (limit, offset) = (number("limit"), number("offset"));
        let row = |clicks: usize| serde_json::json!({"clicks": clicks.to_string(), "leads": "0", "revenue": "0.1"});
        let with = |mut row: Value, more: Value| {
            row.as_object_mut().expect("a row").extend(more.as_object().expect("more").clone());
            row
        };
        if request.path.ends_with("/stats/campaign") {
            let page = (0..self.campaigns).skip(offset).take(limit);
            let mut rows: Vec<Value> =
                page.map(|id| with(row(5), serde_json::json!({"id": id.to_string(), "name": "A"}))).collect();
            let count = self.campaigns.to_string();
            let totals = serde_json::json!({"id": "totals", "revenue": null, "total_count": count});
            rows.push(with(row(self.campaigns * 5), totals));
            return Reply::json(200, &Value::Array(rows));
        }
        let ids = request.params("ids[]");
        let nested = |id: &&str| -> Vec<Value> {
            let root = with(row(5), serde_json::json!({"level": "1", "entity_id": id, "name": "A"}));
            let offers = (1..=5).map(|offer| {
                with(row(1), serde_json::json!({"level": "2", "entity_id": offer, "name": "B", "revenue": "0.02"}))
            });
            std::iter::once(root).chain(offers).collect()
        };
        let rows: Vec<Value> = if self.limit_counts_outermost {
            ids.iter().skip(offset).take(limit).flat_map(nested).collect()
        } else {
            ids.iter().flat_map(nested).skip(offset).take(limit).collect()
        };
        let totals = with(row(ids.len() * 5), serde_json::json!({"revenue": null}));
        Reply::json(200, &serde_json::json!({"report": rows, "totals": totals}))
    }
}

#[actix_web::test]
async fn thousands_of_campaigns_come_whole_over_all_pages_and_questions() {
    for limit_counts_outermost in [false, true] {
        let simulator = Simulator::start(Crowd { campaigns: 2_350, limit_counts_outermost });
        let question = ReportCase::by(&[Campaign], day(23), day(24), "UTC");
        let pulled = question.ask(&v2(&simulator)).await.expect("a report");
        assert_eq!((pulled.rows.len(), simulator.requests().len()), (2_350, 3));
        assert_eq!(pulled.checks, [Check { against: Against::Independent, mismatch: None }]);
        simulator.forget();
        let question = ReportCase::by(&[Campaign, Offer], day(23), day(24), "UTC");
        let pulled = question.ask(&v2(&simulator)).await.expect("a report");
        assert_eq!(pulled.rows.len(), 2_350 * 5);
        assert!(pulled.rows.iter().all(|row| row.metrics.clicks == Some(1)));
        assert!(pulled.checks.iter().all(|check| check.mismatch.is_none()));
        // Three pages of campaigns, and eight questions of at most 300 of them: two pages each where rows count.
        let expected = if limit_counts_outermost { 3 + 8 } else { 3 + 8 * 2 };
        assert_eq!(simulator.requests().len(), expected);
        assert!(simulator.requests().iter().all(|request| request.params("ids[]").len() <= 300));
    }
}

#[actix_web::test]
async fn a_page_that_comes_twice_is_no_report() {
    let simulator = Simulator::start(Binom::v2("", autumn()));
    let row = |id: usize| serde_json::json!({"level": "1", "entity_id": id, "name": "A", "clicks": "1"});
    let page: Vec<Value> = (0..1_000).map(row).collect();
    let question = ReportCase::by(&[Campaign, Offer], day(23), day(24), "UTC");
    let list = serde_json::json!([{"id": "7", "name": "A", "clicks": "1"}, {"id": "totals", "total_count": "1"}]);
    simulator.inject([Fault::Instead(Reply::json(200, &list))]);
    simulator.always(Some(Fault::Instead(Reply::json(200, &serde_json::json!({"report": page})))));
    let error = question.ask(&v2(&simulator)).await.expect_err("a loop");
    assert_eq!(error.kind, ErrorKind::Inconsistent, "{error}");
}

#[actix_web::test]
async fn a_report_with_one_failed_day_is_no_report() {
    let simulator = Simulator::start(Binom::v2("", autumn()));
    let broken =
        Reply::json(500, &serde_json::json!({"errors": {"title": "TypeError", "detail": "a bug", "status": 500}}));
    simulator.inject([
        Fault::None,
        Fault::Instead(broken.clone()),
        Fault::Instead(broken.clone()),
        Fault::Instead(broken),
    ]);
    let question = ReportCase::by(&[DAY, Offer], day(23), day(25), "UTC");
    let error = question.ask(&v2(&simulator)).await.expect_err("a day is missing");
    assert_eq!(error.kind, ErrorKind::Failing);
    assert!(error.detail.contains("a bug"), "{error}");
}

#[actix_web::test]
async fn a_body_that_is_no_report_is_an_error_and_never_an_empty_one() {
    let simulator = Simulator::start(Binom::v2("", Vec::new()));
    for (body, kind) in [
        ("{}", ErrorKind::BadResponse),
        ("null", ErrorKind::BadResponse),
        ("", ErrorKind::BadResponse),
        ("[{\"name\":\"x\"}]", ErrorKind::BadResponse),
        ("<html></html>", ErrorKind::NotThisPlatform),
    ] {
        simulator.always(Some(Fault::Instead(Reply::text(200, "application/json", body))));
        let question = ReportCase::by(&[Offer], day(23), day(25), "UTC");
        let error = question.ask(&v2(&simulator)).await.expect_err("no report");
        assert_eq!(error.kind, kind, "{body}");
    }
    simulator.always(Some(Fault::Instead(Reply::text(200, "application/json", "[]"))));
    let question = ReportCase::by(&[Offer], day(23), day(25), "UTC");
    assert!(question.ask(&v2(&simulator)).await.expect("a report").rows.is_empty());
}

#[actix_web::test]
async fn a_query_that_needs_too_many_calls_is_refused_before_any_with_the_longest_range_that_works() {
    let simulator = Simulator::start(Binom::v2("", autumn()));
    let road = Road { max_calls: 50, ..v2(&simulator) };
    let question = ReportCase::by(&[DAY, Hour], date(2026, 9, 1), date(2026, 9, 30), "UTC");
    let error = question.ask(&road).await.expect_err("too many calls");
    assert_eq!(error.kind, ErrorKind::Unsupported);
    assert!(error.detail.contains("720") && error.detail.contains("2 days"), "{error}");
    assert_eq!(simulator.requests().len(), 0);
    let question = ReportCase::by(&[DAY, Hour], date(2026, 9, 1), date(2026, 9, 2), "UTC");
    assert!(question.ask(&road).await.is_ok());
}

#[actix_web::test]
async fn what_a_verification_found_out_is_not_found_out_again() {
    let simulator = Simulator::start(Binom::v2("", autumn()));
    let question = ReportCase::by(&[Campaign], day(23), day(24), "UTC");
    question.ask(&v2(&simulator)).await.expect("a report");
    assert_eq!(simulator.requests().len(), 1);
    simulator.forget();
    question.ask(&at(&simulator.url)).await.expect("a report");
    assert_eq!(simulator.requests()[0].path, "/public/api/v1/user/role");
}

#[actix_web::test]
async fn a_tracker_that_changed_its_generation_says_to_verify_again() {
    let simulator = Simulator::start(Binom::v1(PANEL, autumn()));
    let question = ReportCase::by(&[Campaign], day(23), day(24), "UTC");
    let error = question.ask(&v2(&simulator)).await.expect_err("another generation");
    assert_eq!(error.kind, ErrorKind::NotThisPlatform);
    assert!(error.hint.expect("a hint").contains("verify again"));
}

// Statistics of v1

#[actix_web::test]
async fn v1_answers_every_combination_it_can_tell_apart() {
    let events = autumn();
    let simulator = Simulator::start(Binom::v1(PANEL, events.clone()));
    let road = v1(&simulator);
    for (zone, from, to) in [("UTC", 24, 26), ("Europe/Berlin", 23, 24), ("America/Phoenix", 23, 26)] {
        for group_by in [
            &[DAY][..],
            &[Hour],
            &[Campaign],
            &[Offer],
            &[AffiliateNetwork],
            &[TrafficSource],
            &[Country],
            &[DAY, Campaign],
            &[Offer, DAY],
            &[DAY, AffiliateNetwork],
            &[DAY, TrafficSource],
            &[Country, DAY],
            &[Hour, DAY, Country],
            &[Campaign, TrafficSource],
            &[TrafficSource, Country, Hour],
            &[Country, Campaign, DAY],
        ] {
            let question = ReportCase::by(group_by, day(from), day(to), zone);
            let pulled = question.ask(&road).await.unwrap_or_else(|error| panic!("{group_by:?}: {error}"));
            assert_true(&pulled, &question, &events);
        }
    }
    for request in simulator.requests() {
        assert_eq!((request.param("date"), request.param("api_key")), (Some("12"), Some(KEY)));
        assert_ne!(request.param("val_page"), None);
    }
}

#[actix_web::test]
async fn v1_is_asked_once_for_every_stretch_of_one_offset() {
    let events = sample("2026-10-20T20:00:00Z".parse().expect("an instant"), 11 * 24);
    let simulator = Simulator::start(Binom::v1(PANEL, events.clone()));
    let question = ReportCase::by(&[Campaign], day(21), day(30), "Europe/Berlin");
    let pulled = question.ask(&v1(&simulator)).await.expect("a report");
    assert_true(&pulled, &question, &events);
    let mut sent: Vec<_> = simulator
        .requests()
        .iter()
        .map(|request| {
            ["page", "date_s", "date_e", "timezone"].map(|name| request.param(name).unwrap_or("").to_owned())
        })
        .collect();
    sent.sort();
    assert_eq!(
        sent,
        [
            ["Campaigns", "2026-10-21", "2026-10-24", "+2:00"],
            // The day of the change, from its hours at either offset.
            ["Campaigns", "2026-10-25", "2026-10-25", "+1:00"],
            ["Campaigns", "2026-10-25", "2026-10-25", "+2:00"],
            ["Campaigns", "2026-10-26", "2026-10-30", "+1:00"],
            ["Stats", "2026-10-25", "2026-10-25", "+1:00"],
            ["Stats", "2026-10-25", "2026-10-25", "+2:00"],
        ]
    );
}

#[actix_web::test]
async fn v1_puts_days_of_clock_changes_together_from_their_hours() {
    for (zone, date) in [
        ("Europe/Berlin", day(25)),
        ("Europe/Berlin", date(2026, 3, 29)),
        ("America/New_York", date(2026, 11, 1)),
        ("America/Santiago", date(2026, 9, 6)),
        ("America/Santiago", date(2026, 4, 4)),
        ("America/Havana", date(2024, 11, 3)),
        ("Pacific/Auckland", date(2026, 4, 5)),
    ] {
        let events = around(date, 1);
        let simulator = Simulator::start(Binom::v1(PANEL, events.clone()));
        let road = v1(&simulator);
        for group_by in [
            &[DAY][..],
            &[Hour],
            &[DAY, Hour, Country],
            &[Campaign],
            &[TrafficSource],
            &[DAY, TrafficSource],
            &[Campaign, TrafficSource, Country],
            &[Campaign, Country, DAY],
        ] {
            let question = ReportCase::by(group_by, date, date.saturating_add(1.day()), zone);
            match question.ask(&road).await {
                Ok(pulled) => assert_true(&pulled, &question, &events),
                // Summer time in Auckland is 13 hours from UTC.
                Err(error) => assert!(zone == "Pacific/Auckland" && error.detail.contains("whole hours"), "{error}"),
            }
        }
    }
}

#[actix_web::test]
async fn v1_refuses_what_it_would_get_wrong_and_says_what_works() {
    let simulator = Simulator::start(Binom::v1(PANEL, autumn()));
    let road = v1(&simulator);
    for (group_by, zone, words) in [
        (&[DAY][..], "Asia/Kolkata", "whole hours"),
        (&[DAY], "Pacific/Kiritimati", "whole hours"),
        (&[Offer], "Europe/Berlin", "2026-10-25"),
        (&[Offer, Country], "UTC", "by offer or by affiliate network, alone or with date"),
        (&[Offer, Campaign], "UTC", "Binom v1 cannot group like that"),
        (&[Offer, Hour], "UTC", "Binom v1 cannot group like that"),
        (&[AffiliateNetwork, DAY, Country], "UTC", "Binom v1 cannot group like that"),
    ] {
        let question = ReportCase::by(group_by, day(24), day(26), zone);
        let error = question.ask(&road).await.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.detail.contains(words), "{error}");
    }
    assert_eq!(simulator.requests().len(), 0);
}

#[actix_web::test]
async fn every_reading_of_v1_gives_the_same_numbers() {
    let events = autumn();
    let readings: [fn(&mut crate::support::binom::Readings); 9] = [
        |readings| readings.dressed_numbers = true,
        |readings| readings.hours = HourStyle::Bare,
        |readings| readings.hours = HourStyle::Span,
        |readings| readings.country = CountryStyle::Both,
        |readings| readings.old_names = true,
        |readings| readings.all_means = Some(25),
        |readings| readings.all_means = Some(100),
        |readings| readings.statuses = false,
        |readings| readings.vague_content_type = true,
    ];
    for (number, reading) in readings.into_iter().enumerate() {
        let simulator = Simulator::start(Binom::v1(PANEL, events.clone()).reading(reading));
        for group_by in [&[Offer][..], &[Campaign, DAY, Hour], &[Country, Hour]] {
            let question = ReportCase::by(group_by, day(23), day(26), "UTC");
            let pulled = question.ask(&v1(&simulator)).await;
            let pulled = pulled.unwrap_or_else(|error| panic!("reading {number}: {error}"));
            assert_true(&pulled, &question, &events);
        }
    }
}

#[actix_web::test]
async fn every_word_of_v1_for_no_data_is_an_empty_report() {
    for no_data in [NoData::NoClicks, NoData::Null, NoData::NullText, NoData::List] {
        let binom = Binom::v1(PANEL, autumn()).reading(|readings| readings.no_data = no_data);
        let simulator = Simulator::start(binom);
        for group_by in [&[Offer][..], &[DAY], &[Campaign, Hour]] {
            let question = ReportCase::by(group_by, date(2025, 1, 1), date(2025, 1, 2), "UTC");
            let pulled = question.ask(&v1(&simulator)).await.expect("a report");
            assert!(pulled.rows.is_empty() && pulled.warnings.is_empty());
        }
        assert_eq!(v1(&simulator).verify().await.status, VerificationStatus::Ok);
    }
}

#[actix_web::test]
async fn leads_are_split_by_status_only_where_the_owner_switched_that_on() {
    for statuses in [true, false] {
        let events = autumn();
        let binom = Binom::v1(PANEL, events.clone()).reading(|readings| readings.statuses = statuses);
        let simulator = Simulator::start(binom);
        let question = ReportCase::by(&[Campaign, DAY], day(24), day(25), "UTC");
        let pulled = question.ask(&v1(&simulator)).await.expect("a report");
        let rows = pulled.by_key();
        for (key, sum) in question.truth(&events) {
            let row = &rows[&key];
            let split = (sum.approved, sum.rejected, sum.leads - sum.approved - sum.rejected);
            let split = statuses.then_some(split);
            assert_eq!((row.approved, row.rejected), (split.map(|s| s.0), split.map(|s| s.1)));
            assert_eq!((row.hold, row.pending), (split.map(|s| s.2), None));
        }
        assert_eq!(pulled.warnings, []);
    }
}

#[actix_web::test]
async fn a_refusal_is_about_the_key_only_if_the_list_of_campaigns_is_refused_too() {
    let simulator = Simulator::start(Binom::v1(PANEL, autumn()));
    let question = ReportCase::by(&[Campaign, DAY], day(24), day(25), "UTC");
    let refusal = Reply::json(200, &serde_json::json!({"status": "error", "message": "busy"}));
    simulator.inject([Fault::None, Fault::Instead(refusal.clone())]);
    let error = question.ask(&v1(&simulator)).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::BadResponse, "{error}");
    assert!(error.detail.contains("busy"));
    simulator.always(Some(Fault::Instead(refusal)));
    let error = question.ask(&v1(&simulator)).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::CredentialsRejected, "{error}");
}

#[actix_web::test]
async fn sources_by_campaign_need_a_version_that_names_them() {
    let simulator = Simulator::start(Binom::v1(PANEL, autumn()).reading(|readings| readings.old_names = true));
    let question = ReportCase::by(&[TrafficSource, Country], day(24), day(25), "UTC");
    let error = question.ask(&v1(&simulator)).await.expect_err("a refusal");
    assert_eq!(error.kind, ErrorKind::Unsupported, "{error}");
}

// Invariants

#[test]
fn the_simulators_tables_have_no_id_twice() {
    let count = |ids: Vec<u32>| (ids.len(), ids.into_iter().collect::<BTreeSet<_>>().len());
    for (all, distinct) in [
        count(CAMPAIGNS.iter().map(|(id, ..)| *id).collect()),
        count(OFFERS.iter().map(|(id, ..)| *id).collect()),
        count(NETWORKS.iter().map(|(id, _)| *id).collect()),
        count(SOURCES.iter().map(|(id, _)| *id).collect()),
    ] {
        assert_eq!(all, distinct);
    }
    assert_eq!(COUNTRIES.len(), 4);
}

/// Events from before the first of these days begins anywhere until after the last has ended nearly everywhere.
fn around(from: Date, more_days: i64) -> Vec<Event> {
    let midnight = Zone::utc().start_of(from).expect("a midnight");
    sample(midnight - jiff::SignedDuration::from_hours(15), 24 * (more_days + 2))
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn v2_loses_and_doubles_nothing_in_any_zone_at_any_page_size(
        zone in prop::sample::select(&["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns",
                                       "Australia/Lord_Howe", "Pacific/Kiritimati", "America/Santiago"][..]),
        group_by in prop::sample::select(vec![vec![DAY], vec![Hour], vec![Offer, DAY], vec![Campaign, Country],
                                           vec![Country, Offer, Campaign], vec![TrafficSource, Offer]]),
        start in 0i64..365,
        length in 0i64..3,
        page_cap in prop::option::of(1usize..12),
        ambiguity in prop::sample::select(&[Ambiguity::First, Ambiguity::Last, Ambiguity::Either][..]),
    ) {
        let from = date(2026, 1, 1).saturating_add(start.days());
        let events = around(from, length);
        let binom = Binom::v2("", events.clone())
            .reading(|readings| (readings.page_cap, readings.ambiguity) = (page_cap, ambiguity));
        let simulator = Simulator::start(binom);
        let question = ReportCase::by(&group_by, from, from.saturating_add(length.days()), zone);
        let pulled = runtime().block_on(question.ask(&v2(&simulator))).expect("a report");
        assert_true(&pulled, &question, &events);
    }

    #[test]
    fn v1_is_right_or_refuses_in_any_zone(
        zone in prop::sample::select(&["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/New_York",
                                       "Asia/Tokyo", "Pacific/Auckland", "Australia/Lord_Howe"][..]),
        group_by in prop::sample::select(vec![vec![DAY], vec![Hour], vec![Offer, DAY], vec![Campaign, Country, Hour],
                                           vec![TrafficSource, Country], vec![Offer, Country]]),
        start in 0i64..365,
        length in 0i64..3,
        all_means in prop::option::of(prop::sample::select(vec![10usize, 25, 50])),
    ) {
        let from = date(2026, 1, 1).saturating_add(start.days());
        let events = around(from, length);
        let simulator =
            Simulator::start(Binom::v1(PANEL, events.clone()).reading(|readings| readings.all_means = all_means));
        let question = ReportCase::by(&group_by, from, from.saturating_add(length.days()), zone);
        match runtime().block_on(question.ask(&v1(&simulator))) {
            Ok(pulled) => assert_true(&pulled, &question, &events),
            Err(error) => prop_assert_eq!(error.kind, ErrorKind::Unsupported, "{}", error),
        }
    }

    #[test]
    fn the_sample_is_cut_without_remainder(hours in 1i64..50) {
        let events = sample(Timestamp::UNIX_EPOCH, hours);
        let question = ReportCase::by(&[Campaign, Hour], date(1970, 1, 1), date(1970, 1, 4), "UTC");
        let total: Decimal = question.truth(&events).values().map(|sum| sum.revenue).sum();
        prop_assert_eq!(total, Sum::of(&events).revenue);
    }
}

#[actix_web::test]
async fn a_threshold_of_the_keys_user_hides_nothing_and_a_list_that_is_short_is_found_out() {
    let events = autumn();
    for group_by in
        [vec![DAY], vec![Campaign], vec![Dimension::TrafficSource], vec![Offer], vec![DAY, Offer], vec![DAY, Campaign]]
    {
        let panel = Binom::v1(PANEL, events.clone()).reading(|readings| readings.least_clicks = 1_000);
        let simulator = Simulator::start(panel);
        let question = ReportCase::by(&group_by, day(22), day(24), "UTC");
        let pulled = question.ask(&v1(&simulator)).await.expect("a report");
        assert_true(&pulled, &question, &events);
        let lists = simulator.requests().into_iter().filter(|request| request.param("page") != Some("Stats"));
        assert!(lists.into_iter().all(|request| request.param("status") == Some("all")), "{group_by:?}");
    }
    // A list that leaves a campaign out, whatever the reason.
    for group_by in [vec![DAY], vec![Campaign], vec![Dimension::TrafficSource]] {
        let simulator = Simulator::start(Short(Binom::v1(PANEL, events.clone())));
        let question = ReportCase::by(&group_by, day(22), day(24), "UTC");
        let pulled = question.ask(&v1(&simulator)).await.expect("a report");
        let independent = pulled.checks.iter().find(|check| check.against == Against::Independent).expect("a check");
        let is_found = independent.mismatch.as_deref().is_some_and(|mismatch| mismatch.starts_with("clicks"));
        // Days are asked for of the campaigns on the list, so both lack the same.
        assert_eq!(is_found, group_by != [DAY] && group_by != [Campaign], "{group_by:?}: {:?}", pulled.checks);
    }
}

/// A panel whose list of campaigns lacks its last line.
struct Short(Binom);

impl Tracker for Short {
    fn answer(&self, request: &Request) -> Reply {
        let mut reply = self.0.answer(request);
        if request.param("page") == Some("Campaigns")
            && let Ok(Value::Array(mut rows)) = serde_json::from_slice(&reply.body)
        {
            rows.retain(|row| row["id"] != "12");
            reply.body = Value::Array(rows).to_string().into_bytes();
        }
        reply
    }
}

#[actix_web::test]
async fn days_are_those_of_todays_rules_whatever_tables_the_installation_has() {
    let events = sample("2026-10-26T00:00:00Z".parse().expect("an instant"), 4 * 24);
    for old_zone_tables in [false, true] {
        let installation = Binom::v2("", events.clone()).reading(|readings| readings.old_zone_tables = old_zone_tables);
        let simulator = Simulator::start(installation);
        let question = ReportCase::by(&[DAY], day(28), day(28), "Africa/Casablanca");
        let pulled = question.ask(&v2(&simulator)).await.expect("a report");
        assert_true(&pulled, &question, &events);
    }
}
