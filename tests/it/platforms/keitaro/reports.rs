//! What is asked for, and what comes out.

use super::*;

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
