//! Reports of v2.

use super::*;

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
