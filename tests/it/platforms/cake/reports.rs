//! What is asked for, and what comes out.

use super::*;

#[tokio::test]
async fn every_combination_of_an_affiliate_is_exact() {
    assert_affiliate_is_exact(|_| {}).await;
}

#[tokio::test]
async fn every_contested_reading_of_the_newer_paths_gives_the_same_numbers() {
    let readings: [fn(&mut Readings); 14] = [
        |cake| cake.format = Format::Xml,
        |cake| cake.format = Format::BareJson,
        |cake| cake.format = Format::BareXml,
        |cake| cake.end_included = true,
        |cake| (cake.row_count, cake.page_cap) = (RowCount::Total, 2),
        |cake| (cake.row_count, cake.page_cap) = (RowCount::Page, 100_000),
        |cake| cake.row_count = RowCount::Absent,
        |cake| cake.decimal_counts = true,
        |cake| cake.renamed = true,
        |cake| cake.money_with_symbol = true,
        |cake| cake.currency_list = false,
        |cake| cake.stray_days = true,
        |cake| cake.ignores_paging = true,
        |cake| cake.longest = 2,
    ];
    for change in readings {
        assert_affiliate_is_exact(change).await;
    }
}

#[tokio::test]
async fn hours_are_the_same_however_they_are_labelled() {
    for label in [HourLabel::Clock, HourLabel::HalfDay, HourLabel::Stamp, HourLabel::DateStamp] {
        for format in [Format::Json, Format::Xml] {
            assert_affiliate_is_exact(|cake| (cake.hour_label, cake.format) = (label, format)).await;
        }
    }
}

#[tokio::test]
async fn the_classic_services_stand_in_for_missing_paths_and_older_versions_for_newer_ones() {
    assert_affiliate_is_exact(|cake| cake.newer = false).await;
    assert_affiliate_is_exact(|cake| {
        cake.newer = false;
        cake.missing = &[
            "/affiliates/api/5/reports.asmx/CampaignSummary",
            "/affiliates/api/3/reports.asmx/DailySummary",
            "/affiliates/api/3/reports.asmx/HourlySummary",
        ];
    })
    .await;
}

#[tokio::test]
async fn every_combination_of_a_network_is_exact_in_newer_and_older_versions() {
    assert_admin_is_exact(|_| {}).await;
    assert_admin_is_exact(|cake| cake.longest = 1).await;
    assert_admin_is_exact(|cake| {
        cake.missing = &[
            "/api/3/reports.asmx/SourceAffiliateSummary",
            "/api/4/reports.asmx/SiteOfferSummary",
            "/api/3/reports.asmx/BrandAdvertiserSummary",
            "/api/2/reports.asmx/DailySummaryExport",
        ];
    })
    .await;
}

#[tokio::test]
async fn windows_end_at_the_last_second_or_the_next_midnight_and_are_as_long_as_allowed() {
    let bounds = |requests: Vec<Request>| -> Vec<(String, String)> {
        let bound = |request: &Request, name: &str| request.param(name).unwrap_or_default().to_owned();
        let mut bounds: Vec<_> =
            requests.iter().map(|request| (bound(request, "start_date"), bound(request, "end_date"))).collect();
        bounds.retain(|(start, _)| !start.is_empty());
        bounds.sort();
        bounds
    };
    let both = |start: &str, end: &str| (start.to_owned(), end.to_owned());
    let days = range(date(2026, 8, 1), date(2026, 9, 1));

    let simulator = Simulator::start(Cake::default());
    affiliate(&simulator).pull(&query(&[Dimension::Date], days)).await.expect("a table");
    assert_eq!(
        bounds(simulator.requests()),
        [both("2026-08-01 00:00:00", "2026-08-28 23:59:59"), both("2026-08-29 00:00:00", "2026-09-01 23:59:59")]
    );

    let simulator = Simulator::start(Cake::default());
    admin(&simulator).pull(&query(&[Dimension::Offer], days)).await.expect("a table");
    assert_eq!(
        bounds(simulator.requests()),
        [both("2026-08-01 00:00:00", "2026-09-01 00:00:00"), both("2026-09-01 00:00:00", "2026-09-02 00:00:00")]
    );
}

#[tokio::test]
async fn the_questions_carry_what_cake_wants_and_ask_for_json() {
    let simulator = Simulator::start(Cake::default());
    let connection = affiliate(&simulator);
    connection.pull(&query(&[Dimension::Campaign], september())).await.expect("a table");
    let requests = simulator.requests();
    let question = &requests[0];
    assert_eq!((question.method.as_str(), question.path.as_str()), ("GET", "/affiliates/api/Reports/CampaignSummary"));
    for (name, value) in [
        ("api_key", AFFILIATE_KEY),
        ("affiliate_id", AFFILIATE_ID),
        ("conversion_type", "all"),
        ("start_at_row", "1"),
        ("row_limit", "10000"),
        ("format", "json"),
    ] {
        assert_eq!(question.params(name), [value], "{name}");
    }
    assert_eq!(question.header("accept"), Some("application/json"));
}

#[tokio::test]
async fn pages_shorter_than_asked_are_followed_to_the_end() {
    for (row_count, calls) in [(RowCount::Total, 2), (RowCount::Page, 2), (RowCount::Absent, 2)] {
        let simulator = Simulator::start(Cake::with(|cake| {
            (cake.row_count, cake.page_cap, cake.currency_list) = (row_count, 3, false);
        }));
        let table = affiliate(&simulator)
            .pull(&query(&[Dimension::Campaign], range(date(2026, 9, 1), date(2026, 9, 5))))
            .await
            .expect("a table");
        assert_eq!(table.rows.len(), 4, "{row_count:?}");
        let starts: Vec<_> = simulator
            .requests()
            .iter()
            .filter_map(|request| request.param("start_at_row").map(str::to_owned))
            .collect();
        assert_eq!(starts.len(), calls);
        assert_eq!(starts[1], "4");
    }
}

#[tokio::test]
async fn a_page_that_is_sent_again_ends_the_report() {
    let simulator = Simulator::start(Cake::with(|cake| (cake.page_cap, cake.ignores_paging) = (2, true)));
    let refused = affiliate(&simulator).pull(&query(&[Dimension::Campaign], september())).await;
    assert_eq!(refused.expect_err("a refusal").kind, ErrorKind::BadResponse);
}

#[tokio::test]
async fn a_second_page_is_never_taken_from_another_version() {
    let simulator = Simulator::start(Cake::with(|cake| (cake.page_cap, cake.currency_list) = (2, false)));
    simulator.inject([Fault::None, Fault::Instead(Reply::html(404))]);
    let days = range(date(2026, 9, 1), date(2026, 9, 2));
    let refused = affiliate(&simulator).pull(&query(&[Dimension::Campaign], days)).await;
    assert_eq!(refused.map(|table| table.rows.len()).expect_err("a refusal").kind, ErrorKind::NotThisPlatform);
    assert_eq!(simulator.requests().len(), 2);
}

#[tokio::test]
async fn rows_that_are_counted_but_not_sent_end_the_report() {
    for body in [
        r#"{"success": true, "row_count": 3, "data": []}"#,
        r#"{"success": true, "row_count": 3, "data": null}"#,
        r#"{"success": true, "row_count": 1, "data": [{"date": "2026-09-01", "clicks": 1}, {"date": "2026-09-02", "clicks": 1}]}"#,
        r#"{"success": true, "row_count": 1, "data": [{"date": "2026-09-01", "clicks": "many"}]}"#,
        r#"{"success": true, "row_count": 1, "data": [{"clicks": 1}]}"#,
        r#"{"success": true"#,
        "<r><success>true</success><row_count>1</row_count><days>",
        "<!DOCTYPE r [<!ENTITY a 'b'>]><r>&a;</r>",
        "",
    ] {
        let simulator = Simulator::start(Cake::default());
        simulator.always(Some(Fault::Instead(Reply::text(200, "application/json", body))));
        let refused = affiliate(&simulator).pull(&query(&[Dimension::Date], september())).await;
        let kind = refused.expect_err(body).kind;
        assert!(matches!(kind, ErrorKind::BadResponse | ErrorKind::Inconsistent), "{kind:?} for {body}");
    }
}

#[tokio::test]
async fn a_summary_that_disagrees_is_reported_and_not_hidden() {
    let simulator = Simulator::start(Cake::with(|cake| cake.summary_off_by = 5));
    let table = affiliate(&simulator).pull(&query(&[Dimension::Offer], september())).await.expect("a table");
    let mismatch = table.checks.iter().find_map(|check| check.mismatch.clone()).expect("a mismatch");
    assert!(mismatch.contains("clicks"), "{mismatch}");
    let simulator = Simulator::start(Cake::with(|cake| (cake.summary_off_by, cake.ignores_paging) = (5, true)));
    let again = affiliate(&simulator).pull(&query(&[Dimension::Offer], september())).await.expect("a table");
    assert_eq!(again.by_key(), table.by_key());
    assert!(!again.mismatches.is_empty());
}

#[tokio::test]
async fn a_range_that_is_too_long_is_halved_until_it_is_not() {
    let simulator = Simulator::start(Cake::with(|cake| cake.longest = 5));
    let table = affiliate(&simulator).pull(&query(&[Dimension::Date], september())).await.expect("a table");
    let whole = truth(september(), |_, _, campaign| is_own(campaign));
    assert_eq!(table.sum().clicks, Some(whole.clicks));
    assert_eq!(table.sum().revenue, Some(whole.revenue));
}

#[tokio::test]
async fn currencies_are_named_by_their_list_and_never_added_together() {
    for dimensions in [&[Dimension::Date][..], &[Dimension::Offer], &[Dimension::Campaign, Dimension::Date]] {
        let simulator = Simulator::start(Cake::with(|cake| cake.euro = true));
        let table = affiliate(&simulator).pull(&query(dimensions, september())).await.expect("a table");
        let revenue = |code: &str| {
            let rows = table.rows.iter().filter(|row| row.currency.is_some_and(|currency| currency.as_str() == code));
            rows.fold(Metrics::ZERO, |sum, row| sum.add(&row.metrics)).revenue
        };
        let euro = truth(september(), |_, _, campaign| campaign.id == 5123);
        let dollars = truth(september(), |_, _, campaign| is_own(campaign) && campaign.id != 5123);
        assert_eq!(revenue("EUR"), Some(euro.revenue));
        assert_eq!(revenue("USD"), Some(dollars.revenue));
        let lists = simulator.requests().iter().filter(|request| request.path.ends_with("Currencies")).count();
        assert_eq!(lists, 1, "the list is read once");
    }
}

#[tokio::test]
async fn without_a_list_the_setting_names_what_a_symbol_leaves_open() {
    let currencies = |table: &Table| {
        let mut codes: Vec<_> =
            table.rows.iter().map(|row| row.currency.map(|code| code.as_str().to_owned())).collect();
        codes.sort();
        codes.dedup();
        codes
    };
    let question = query(&[Dimension::Campaign], september());
    let some = |code: &str| Some(code.to_owned());
    let simulator = Simulator::start(Cake::with(|cake| (cake.euro, cake.currency_list) = (true, false)));
    let plain = affiliate(&simulator);
    assert_eq!(currencies(&plain.pull(&question).await.expect("a table")), [None, some("EUR")]);
    let labelled = plain.with_setting("currency", "CAD");
    assert_eq!(currencies(&labelled.pull(&question).await.expect("a table")), [some("CAD"), some("EUR")]);
    let admin = admin(&simulator);
    assert_eq!(currencies(&admin.pull(&question).await.expect("a table")), [None]);
}

#[tokio::test]
async fn labels_say_which_offer_a_campaign_is_for() {
    let simulator = Simulator::start(Cake::default());
    let days = range(date(2026, 9, 1), date(2026, 9, 2));
    let table = affiliate(&simulator).pull(&query(&[Dimension::Campaign], days)).await.expect("a table");
    let names: Vec<_> = table.rows.iter().map(|row| row.key[0].name.as_str()).collect();
    assert_eq!(names, ["Solar Quote US (5120)", "Loan \"Fast\" (5121)", "Solar Quote US (5122)", "Casino äöü (5123)"]);
    let table = admin(&simulator).pull(&query(&[Dimension::Advertiser], days)).await.expect("a table");
    let names: Vec<_> = table.rows.iter().map(|row| row.key[0].name.as_str()).collect();
    assert_eq!(names, ["Sun <Co>", "House"]);
}

#[tokio::test]
async fn filters_are_applied_exactly() {
    let simulator = Simulator::start(Cake::default());
    let mut question = query(&[Dimension::Date, Dimension::Offer], range(date(2026, 9, 1), date(2026, 9, 3)));
    question.filters.insert(Dimension::Offer, ["77".into()].into());
    let table = affiliate(&simulator).pull(&question).await.expect("a table");
    let expected = truth(question.range, |_, _, campaign| is_own(campaign) && campaign.offer.0 == 77);
    assert_eq!(table.sum().clicks, Some(expected.clicks));
    assert!(table.rows.iter().all(|row| row.key[1].id == "77"));
}

#[tokio::test]
async fn the_true_time_zone_is_stated_and_never_pretended() {
    let simulator = Simulator::start(Cake::default());
    let mut question = query(&[Dimension::Date], range(date(2026, 9, 1), date(2026, 9, 2)));
    let warnings =
        async |connection: Road, question: &StatsQuery| connection.pull(question).await.expect("a table").warnings;
    for connection in [affiliate(&simulator), admin(&simulator)] {
        let unknown = warnings(connection.clone(), &question).await;
        assert_eq!(unknown[0].code, WarningCode::TimezoneFixedByPlatform);
        let known = connection.with_setting("timezone", "America/New_York");
        let other = warnings(known.clone(), &question).await;
        assert_eq!(other[0].code, WarningCode::TimezoneFixedByPlatform);
        assert!(other[0].detail.contains("America/New_York"));
        for same in ["US/Eastern", "America/Toronto"] {
            question.zone = Zone::find(same).expect("a zone");
            assert_eq!(warnings(known.clone(), &question).await, []);
        }
        question.zone = Zone::utc();
    }
}

#[tokio::test]
async fn what_cake_cannot_group_is_refused_before_anything_is_asked() {
    let simulator = Simulator::start(Cake::default());
    let affiliate = affiliate(&simulator);
    let mut few = affiliate.clone();
    few.max_calls = 10;
    for (connection, dimensions) in [
        (affiliate, &[Dimension::Hour, Dimension::Offer][..]),
        (admin(&simulator), &[Dimension::Hour]),
        (few, &[Dimension::Date, Dimension::Offer]),
    ] {
        let error = connection.pull(&query(dimensions, september())).await.expect_err("a refusal");
        assert_eq!(error.kind, ErrorKind::Unsupported);
        assert!(error.hint.is_some());
    }
    assert!(simulator.requests().is_empty());
}

#[tokio::test]
async fn a_failed_window_fails_the_report() {
    let simulator = Simulator::start(Cake::with(|cake| cake.currency_list = false));
    // A page of the moment is asked for once more.
    let page = || Fault::Instead(Reply::html(200));
    simulator.inject([Fault::None, Fault::None].into_iter().chain(std::iter::repeat_with(page).take(12)));
    let error = affiliate(&simulator)
        .pull(&query(&[Dimension::Date, Dimension::Offer], september()))
        .await
        .map(|table| table.rows.len())
        .expect_err("a failure");
    assert_eq!(error.kind, ErrorKind::NotThisPlatform);
}

#[tokio::test]
async fn a_currency_list_that_cannot_be_read_is_said_and_fails_nothing() {
    let refused = Reply::json(403, &serde_json::json!({ "message": "no access to this list" }));
    for (answer, calls) in [(Reply::html(200), 2), (Reply::html(404), 1), (refused, 1)] {
        let simulator = Simulator::start(Cake::default());
        simulator.inject([Fault::None].into_iter().chain(vec![Fault::Instead(answer); calls]));
        let table = affiliate(&simulator)
            .with_setting("currency", "CAD")
            .pull(&query(&[Dimension::Offer], range(date(2026, 9, 1), date(2026, 9, 2))))
            .await
            .expect("a table");
        assert!(table.warnings.iter().any(|warning| warning.code == WarningCode::CurrenciesUnnamed));
        assert!(table.rows.iter().all(|row| row.currency.is_some_and(|code| code.as_str() == "CAD")));
    }
}

#[tokio::test]
async fn one_id_is_filtered_by_the_network_and_several_are_filtered_here() {
    let simulator = Simulator::start(Cake::default());
    let days = range(date(2026, 9, 1), date(2026, 9, 2));
    let parameter = |simulator: &Simulator| {
        let requests = simulator.requests();
        simulator.forget();
        requests[0].param("source_affiliate_id").map(str::to_owned)
    };
    for (ids, sent) in
        [(&["43"][..], "43"), (&["43", "44"], "0"), (&["unknown"], "0"), (&["0"], "0"), (&["999"], "999")]
    {
        let mut question = query(&[Dimension::Offer, Dimension::Affiliate], days);
        question.filters.insert(Dimension::Affiliate, ids.iter().map(|id| (*id).into()).collect());
        let table = admin(&simulator).pull(&question).await.expect("a table");
        let expected = truth(days, |_, _, campaign| ids.contains(&campaign.affiliate.0.to_string().as_str()));
        assert_eq!(table.sum().clicks, Some(expected.clicks), "{ids:?}");
        assert_eq!(parameter(&simulator).as_deref(), Some(sent));
    }
}

#[tokio::test]
async fn an_empty_bare_list_is_not_believed_when_the_key_is_refused() {
    let simulator = Simulator::start(Cake::with(|cake| cake.bare_refusal = true));
    let question = query(&[Dimension::Date], range(date(2026, 9, 1), date(2026, 9, 2)));
    let refused = admin(&simulator).with_credential("api_key", "revoked").pull(&question).await.expect_err("a refusal");
    assert_eq!(refused.kind, ErrorKind::CredentialsRejected);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 12, ..ProptestConfig::default() })]

    /// Windows of any cut, in either format, from either generation: nothing is lost and nothing is doubled.
    #[test]
    fn sums_are_those_of_the_traffic(
        start in 0_i32..300,
        length in 0_i32..70,
        longest in 1_u32..40,
        format in prop_oneof![Just(Format::Json), Just(Format::Xml), Just(Format::BareJson), Just(Format::BareXml)],
        end_included: bool,
        newer: bool,
        by_day: bool,
    ) {
        let from = date(2026, 1, 1).saturating_add(jiff::Span::new().days(start));
        let days = range(from, from.saturating_add(jiff::Span::new().days(length)));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        let table = runtime.block_on(async {
            let simulator = Simulator::start(Cake::with(|cake| {
                (cake.longest, cake.format, cake.end_included, cake.newer) = (longest, format, end_included, newer);
            }));
            let dimension = if by_day { Dimension::Date } else { Dimension::Campaign };
            affiliate(&simulator).pull(&query(&[dimension], days)).await
        }).expect("a table");
        let whole = truth(days, |_, _, campaign| is_own(campaign));
        prop_assert_eq!(table.sum().clicks, Some(whole.clicks));
        prop_assert_eq!(table.sum().conversions, Some(whole.conversions));
        prop_assert_eq!(table.sum().revenue, Some(whole.revenue));
        prop_assert!(table.mismatches.is_empty());
    }
}
